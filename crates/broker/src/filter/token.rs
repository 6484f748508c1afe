//! The words of a SQL92 expression.
//!
//! Source: the token section of `SelectorParser.jj`. As there the longest match wins, and words are read only when the
//! parser asks for them: what follows a complete expression is never looked at beyond its first word.

use super::SqlError;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    End,
    Not,
    And,
    Or,
    Between,
    In,
    True,
    False,
    Null,
    Is,
    Contains,
    StartsWith,
    EndsWith,
    /// Digits and perhaps an `L`.
    Integer(&'a str),
    Float(&'a str),
    /// What stands between the quotes, quotes inside still doubled.
    Text(&'a str),
    Name(&'a str),
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Open,
    Close,
    Comma,
    Plus,
    Minus,
}

const KEYWORDS: [(&str, Token<'static>); 12] = [
    ("NOT", Token::Not),
    ("AND", Token::And),
    ("OR", Token::Or),
    ("BETWEEN", Token::Between),
    ("IN", Token::In),
    ("TRUE", Token::True),
    ("FALSE", Token::False),
    ("NULL", Token::Null),
    ("IS", Token::Is),
    ("CONTAINS", Token::Contains),
    ("STARTSWITH", Token::StartsWith),
    ("ENDSWITH", Token::EndsWith),
];

/// Longest first.
const SIGNS: [(&str, Token<'static>); 11] = [
    ("<>", Token::NotEqual),
    ("<=", Token::LessEqual),
    (">=", Token::GreaterEqual),
    ("=", Token::Equal),
    ("<", Token::Less),
    (">", Token::Greater),
    ("(", Token::Open),
    (")", Token::Close),
    (",", Token::Comma),
    ("+", Token::Plus),
    ("-", Token::Minus),
];

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0 }
    }

    /// The byte behind the last word.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next word and the byte it starts at.
    pub(super) fn next(&mut self) -> Result<(Token<'a>, usize), SqlError> {
        self.at += blank(&self.text[self.at..]);
        let rest = &self.text[self.at..];
        let (token, len) = word(rest).ok_or_else(|| self.unreadable(rest))?;
        let start = self.at;
        self.at += len;
        Ok((token, start))
    }

    fn unreadable(&self, rest: &str) -> SqlError {
        let reason = match rest.chars().next() {
            Some('\'') => "the text that starts here has no closing quote".to_owned(),
            Some('/') if rest.starts_with("/*") => "the comment that starts here has no end".to_owned(),
            Some('!') => "\"!\" means nothing here, not equal is <>".to_owned(),
            found => format!("{:?} means nothing here", found.unwrap_or_default()),
        };
        SqlError::new(self.text, self.at, reason)
    }
}

/// Bytes of white space and comments.
fn blank(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        at += match rest.as_bytes() {
            [b' ' | b'\t' | b'\n' | b'\r' | 0x0c, ..] => 1,
            // Without an end of line this is no comment but two signs.
            [b'-', b'-', ..] => match rest.find(['\n', '\r']) {
                Some(end) => end + 1,
                None => return at,
            },
            [b'/', b'*', ..] => match rest[2..].find("*/") {
                Some(end) => end + 4,
                None => return at,
            },
            _ => return at,
        };
    }
}

fn word(rest: &str) -> Option<(Token<'_>, usize)> {
    let bytes = rest.as_bytes();
    match *bytes {
        [] => Some((Token::End, 0)),
        [b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$', ..] => {
            let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
            let len = bytes.iter().take_while(|byte| in_name(byte)).count();
            let name = &rest[..len];
            let keyword = KEYWORDS.iter().find(|(keyword, _)| name.eq_ignore_ascii_case(keyword));
            Some((keyword.map_or(Token::Name(name), |(_, token)| *token), len))
        }
        [b'0'..=b'9' | b'.', ..] => number(rest),
        [b'\'', ..] => {
            let len = text_len(bytes)?;
            Some((Token::Text(&rest[1..len - 1]), len))
        }
        _ => SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)).map(|(sign, token)| (*token, sign.len())),
    }
}

fn number(rest: &str) -> Option<(Token<'_>, usize)> {
    let bytes = rest.as_bytes();
    let whole = digits(bytes);
    if bytes.get(whole) == Some(&b'.') {
        let fraction = digits(&bytes[whole + 1..]);
        if whole + fraction == 0 {
            return None;
        }
        let len = whole + 1 + fraction;
        let len = len + exponent(&bytes[len..]);
        return Some((Token::Float(&rest[..len]), len));
    }
    let exponent = exponent(&bytes[whole..]);
    if exponent > 0 {
        return Some((Token::Float(&rest[..whole + exponent]), whole + exponent));
    }
    // A number does not go on after a leading zero, not even with an `L`.
    let len = match (bytes[0], bytes.get(whole)) {
        (b'0', _) => 1,
        (_, Some(b'l' | b'L')) => whole + 1,
        _ => whole,
    };
    Some((Token::Integer(&rest[..len]), len))
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn exponent(bytes: &[u8]) -> usize {
    let sign = match bytes {
        [b'e' | b'E', b'+' | b'-', ..] => 2,
        [b'e' | b'E', ..] => 1,
        _ => return 0,
    };
    match digits(&bytes[sign..]) {
        0 => 0,
        digits => sign + digits,
    }
}

/// Bytes of a text with its quotes: up to the last quote that can be its end.
fn text_len(bytes: &[u8]) -> Option<usize> {
    let mut end = None;
    let mut at = 1;
    while at < bytes.len() {
        if bytes[at] == b'\'' {
            end = Some(at + 1);
            if bytes.get(at + 1) != Some(&b'\'') {
                break;
            }
            at += 1;
        }
        at += 1;
    }
    end
}
