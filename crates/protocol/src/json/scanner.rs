//! A pull reader over JSON text that tolerates what Java's reader tolerates.

use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use crate::find::before_first;
use crate::limits::JSON_DEPTH_MAX;

/// Why a text could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ScanError(String);

impl ScanError {
    pub(crate) fn new(reason: impl Display) -> ScanError {
        ScanError(reason.to_string())
    }
}

type Result<T> = std::result::Result<T, ScanError>;

/// Where the content of a string or another value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// In the text itself, in this range of it.
    Here(Range<usize>),
    /// It had to be decoded, and was appended to what the caller gave.
    Appended,
}

/// A position in a text. Members are read in a fixed rhythm: `begin_object`, then while
/// `next_member` says so a name, `colon` and a value.
pub struct Scanner<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    /// Whether a member of the innermost object was read, so that a comma must come before the next one.
    in_members: bool,
}

impl<'t> Scanner<'t> {
    /// Starts at the beginning of a text.
    pub fn new(text: &'t str) -> Self {
        Scanner { text, at: 0, depth: 0, in_members: false }
    }

    pub(crate) fn begin_object(&mut self) -> Result<()> {
        self.in_members = false;
        self.expect(b'{')
    }

    /// Whether another member follows; reads the comma before it or the brace that ends the object.
    pub(crate) fn next_member(&mut self) -> Result<bool> {
        if self.in_members && !matches!(self.peek(), Some(b',' | b'}')) {
            return Err(self.unexpected("',' or '}'"));
        }
        self.in_members = true;
        if self.peek() == Some(b',') {
            self.at += 1;
        }
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    pub(crate) fn colon(&mut self) -> Result<()> {
        self.expect(b':')
    }

    pub(crate) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end")),
        }
    }

    /// Reads `null` if it is next.
    pub(crate) fn null(&mut self) -> bool {
        self.peek();
        let found = self.text.as_bytes()[self.at..].starts_with(b"null");
        self.at += if found { 4 } else { 0 };
        found
    }

    /// A number, also as a string; `null` is 0.
    pub(crate) fn int<T: FromStr + Default>(&mut self) -> Result<T> {
        let mut decoded = String::new();
        let text = self.scalar(&mut decoded)?;
        if text == "null" {
            return Ok(T::default());
        }
        text.parse().map_err(|_| ScanError(format!("{text:?} at byte {} is not a valid number", self.at)))
    }

    pub(crate) fn nullable(&mut self) -> Result<Option<String>> {
        if self.null() {
            return Ok(None);
        }
        let mut decoded = String::new();
        self.scalar(&mut decoded).map(|text| Some(text.to_owned()))
    }

    /// The text of a string, number or word. Uses the empty `decoded` if it needs to.
    pub(crate) fn scalar<'d>(&mut self, decoded: &'d mut String) -> Result<&'d str>
    where
        't: 'd,
    {
        let content = self.value(decoded)?;
        Ok(self.resolve(content, decoded))
    }

    /// The name of a member. Uses the empty `decoded` if it needs to.
    pub(crate) fn name<'d>(&mut self, decoded: &'d mut String) -> Result<&'d str>
    where
        't: 'd,
    {
        let content = self.string(decoded)?;
        Ok(self.resolve(content, decoded))
    }

    fn resolve<'d>(&self, content: Content, decoded: &'d str) -> &'d str
    where
        't: 'd,
    {
        match content {
            Content::Here(range) => &self.text[range],
            Content::Appended => decoded,
        }
    }

    /// A string's content, or the JSON text of any other value.
    pub(crate) fn value(&mut self, out: &mut String) -> Result<Content> {
        if matches!(self.peek(), Some(b'"' | b'\'')) {
            return self.string(out);
        }
        let start = self.at;
        self.skip_value()?;
        Ok(Content::Here(start..start + self.text[start..self.at].trim_end().len()))
    }

    /// The content of a quoted string. Most have no escapes and need not be copied.
    pub(crate) fn string(&mut self, out: &mut String) -> Result<Content> {
        let Some(quote @ (b'"' | b'\'')) = self.peek() else { return Err(self.unexpected("a string")) };
        let bytes = self.text.as_bytes();
        let mut start = self.at + 1;
        let mut end = start + before_first(&bytes[start..], quote, b'\\');
        if bytes.get(end) == Some(&quote) {
            self.at = end + 1;
            return Ok(Content::Here(start..end));
        }
        loop {
            out.push_str(&self.text[start..end]);
            self.at = end;
            match bytes.get(end) {
                None => return Err(ScanError("the text ends inside a string".into())),
                Some(b'\\') => self.escape(out)?,
                Some(_) => {
                    self.at += 1;
                    return Ok(Content::Appended);
                }
            }
            start = self.at;
            end = start + before_first(bytes.get(start..).unwrap_or_default(), quote, b'\\');
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<()> {
        let kind = self.text.as_bytes().get(self.at + 1).copied();
        self.at += 2;
        out.push(match kind {
            Some(b'u') => {
                let unit = self.hex4()?;
                match char::from_u32(unit.into()) {
                    Some(character) => character,
                    None => return self.surrogates(unit, out),
                }
            }
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(plain @ (b'"' | b'\\' | b'/' | b'\'')) => char::from(plain),
            _ => return Err(ScanError(format!("unknown escape at byte {}", self.at - 1))),
        });
        Ok(())
    }

    fn surrogates(&mut self, unit: u16, out: &mut String) -> Result<()> {
        let mut units = vec![unit];
        if (0xd800..0xdc00).contains(&unit) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            units.push(self.hex4()?);
        }
        // A lone surrogate is no character; Java writes '?' for it when it encodes.
        out.extend(char::decode_utf16(units).map(|unit| unit.unwrap_or('?')));
        Ok(())
    }

    fn hex4(&mut self) -> Result<u16> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        let value = digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?));
        let value = value.filter(|_| digits.len() == 4);
        self.at += 4;
        value
            .map(|value| value as u16)
            .ok_or_else(|| ScanError(format!("four hexadecimal digits expected before byte {}", self.at)))
    }

    pub(crate) fn skip_value(&mut self) -> Result<()> {
        self.walk(&mut None)
    }

    /// Appends the value as standard JSON: every key a quoted string, no trailing commas.
    pub(crate) fn rewrite(&mut self, out: &mut String) -> Result<()> {
        self.walk(&mut Some(out))
    }

    fn walk(&mut self, out: &mut Option<&mut String>) -> Result<()> {
        match self.peek() {
            Some(b'{') => self.nested(out, b'}'),
            Some(b'[') => self.nested(out, b']'),
            Some(b'"' | b'\'') => {
                let mut decoded = String::new();
                let content = self.name(&mut decoded)?;
                if let Some(out) = out {
                    push_quoted(out, content);
                }
                Ok(())
            }
            _ => self.word(out),
        }
    }

    fn nested(&mut self, out: &mut Option<&mut String>, close: u8) -> Result<()> {
        if self.depth == JSON_DEPTH_MAX {
            return Err(ScanError(format!("nested deeper than {JSON_DEPTH_MAX}")));
        }
        self.depth += 1;
        push(out, if close == b'}' { '{' } else { '[' });
        self.at += 1;
        let mut any = false;
        while self.peek() != Some(close) {
            push_if(out, any, ',');
            any = true;
            if close == b'}' {
                self.key(out)?;
                self.colon()?;
                push(out, ':');
            }
            self.walk(out)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => {}
                _ => return Err(self.unexpected("',' or the end of the list")),
            }
        }
        self.at += 1;
        self.depth -= 1;
        push(out, char::from(close));
        Ok(())
    }

    fn key(&mut self, out: &mut Option<&mut String>) -> Result<()> {
        let Some(out) = out else { return self.walk(&mut None) };
        if matches!(self.peek(), Some(b'"' | b'\'')) {
            return self.walk(&mut Some(out));
        }
        let mut text = String::new();
        self.walk(&mut Some(&mut text))?;
        push_quoted(out, &text);
        Ok(())
    }

    fn word(&mut self, out: &mut Option<&mut String>) -> Result<()> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-._$".contains(c))).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.unexpected("a value"));
        }
        self.at += end;
        if let Some(out) = out {
            out.push_str(&rest[..end]);
        }
        Ok(())
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected(&format!("{:?}", char::from(byte))));
        }
        self.at += 1;
        Ok(())
    }

    fn unexpected(&self, wanted: &str) -> ScanError {
        match self.text[self.at..].chars().next() {
            Some(found) => ScanError(format!("{wanted} expected at byte {}, found {found:?}", self.at)),
            None => ScanError(format!("{wanted} expected, but the text ends at byte {}", self.at)),
        }
    }
}

fn push(out: &mut Option<&mut String>, c: char) {
    push_if(out, true, c);
}

fn push_if(out: &mut Option<&mut String>, condition: bool, c: char) {
    if let (Some(out), true) = (out, condition) {
        out.push(c);
    }
}

fn push_quoted(out: &mut String, content: &str) {
    out.push_str(&serde_json::to_string(content).expect("a string always serializes"));
}
