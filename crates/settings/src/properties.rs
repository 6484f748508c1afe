//! Java's properties format.
//!
//! Source: the rules of `java.util.Properties.load`. One thing is kinder here: bytes that are UTF-8 are read as such,
//! where Java reads ISO-8859-1, so that a name with an umlaut means what its author saw in the editor.

/// A pair and the line on which it starts, the first being 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Key.
    pub key: String,
    /// Value, white space at its end included.
    pub value: String,
    /// Line.
    pub line: usize,
}

/// A `\u` without four hexadecimal digits behind it, the only thing that is wrong in this format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: \\u must be followed by four hexadecimal digits")]
pub struct BadEscape {
    /// Line.
    pub line: usize,
}

/// Reads all pairs in their order. A key may come twice; the last one counts.
pub fn parse(bytes: &[u8]) -> Result<Vec<Pair>, BadEscape> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n");
    let mut lines = text.split(['\n', '\r']).enumerate();
    let mut pairs = Vec::new();
    while let Some((at, first)) = lines.next() {
        let first = first.trim_start_matches(is_space);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_owned();
        while ends_with_open_backslash(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(is_space));
        }
        pairs.push(pair(&logical, at + 1)?);
    }
    Ok(pairs)
}

/// One line that [`parse`] reads back. Source: `MixAll.properties2String`, plus escapes where the value needs them.
pub fn line(key: &str, value: &str) -> String {
    let mut line = format!("{key}=");
    for (at, c) in value.chars().enumerate() {
        match c {
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            ' ' if at == 0 => line.push_str("\\ "),
            _ => line.push(c),
        }
    }
    line.push('\n');
    line
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

fn ends_with_open_backslash(line: &str) -> bool {
    line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1
}

fn pair(logical: &str, line: usize) -> Result<Pair, BadEscape> {
    let mut escaped = false;
    let key_end = logical.find(|c: char| {
        let ends = !escaped && (is_space(c) || c == '=' || c == ':');
        escaped = !escaped && c == '\\';
        ends
    });
    let (key, rest) = logical.split_at(key_end.unwrap_or(logical.len()));
    let rest = rest.trim_start_matches(is_space);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(is_space);
    Ok(Pair { key: unescape(key, line)?, value: unescape(value, line)?, line })
}

fn unescape(text: &str, line: usize) -> Result<String, BadEscape> {
    // `\u` counts UTF-16 units, so a character beyond the first plane comes as two escapes.
    let mut units = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' { chars.next().map(|c| (c, true)) } else { Some((c, false)) };
        match c {
            None => {}
            Some(('u', true)) => {
                let digits = chars.as_str().get(..4).filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()));
                let digits = digits.ok_or(BadEscape { line })?;
                units.push(u16::from_str_radix(digits, 16).map_err(|_| BadEscape { line })?);
                chars = chars.as_str()[4..].chars();
            }
            Some((c, escaped)) => {
                let c = match c {
                    't' if escaped => '\t',
                    'n' if escaped => '\n',
                    'r' if escaped => '\r',
                    'f' if escaped => '\u{c}',
                    c => c,
                };
                units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            }
        }
    }
    Ok(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], expected: &[(&str, &str, usize)]) {
        let pairs = parse(text).expect("parses");
        let pairs: Vec<_> = pairs.iter().map(|pair| (&pair.key[..], &pair.value[..], pair.line)).collect();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn the_format_is_java_s() {
        check(
            b"a=b\r\n\n  # c=d\n! e=f\n\tg : h i \nj k\rl",
            &[("a", "b", 1), ("g", "h i ", 5), ("j", "k", 6), ("l", "", 7)],
        );
        check(b"long=1,\\\n   2,\\\n#3\nnext=4", &[("long", "1,2,#3", 1), ("next", "4", 4)]);
        check(
            b"path=C\\:\\\\tmp\\\\\nkey\\ with\\=signs==v\n",
            &[("path", "C:\\tmp\\", 1), ("key with=signs", "=v", 2)],
        );
        check(b"u=\\u65e5\\ud83d\\ude00 \\q\nend\\", &[("u", "日😀 q", 1), ("end", "", 2)]);
    }

    #[test]
    fn bytes_are_utf_8_or_latin_1() {
        check("name=bröker".as_bytes(), &[("name", "bröker", 1)]);
        check(b"name=br\xf6ker", &[("name", "bröker", 1)]);
    }

    #[test]
    fn a_bad_escape_names_its_line() {
        assert_eq!(parse(b"a=1\nb=\\u12"), Err(BadEscape { line: 2 }));
        assert_eq!(parse("b=\\u12日本".as_bytes()), Err(BadEscape { line: 1 }));
    }

    #[test]
    fn a_written_line_reads_back() {
        for value in ["", "plain", " lead", "back\\slash", "two\nlines\r", "日本 = :"] {
            check(line("key", value).as_bytes(), &[("key", value, 1)]);
        }
    }
}
