//! The JSON header in the form in which nearly all clients write it, read in one pass.
//!
//! `None` is no error: the header has something unusual, and [`super::text`] reads it again, tolerantly. What is read
//! here means there exactly the same.

use super::Frame;
use super::text::language;
use crate::fields::{Fields, Span};
use crate::find::before_first;

pub(super) fn read(text: &str) -> Option<Frame> {
    let mut frame = Frame::default();
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0 };
    reader.eat(b'{')?;
    loop {
        if reader.skip(br#""code":"#) {
            frame.code = reader.int()?;
        } else if reader.skip(br#""extFields":"#) {
            frame.fields = reader.fields()?;
        } else if reader.skip(br#""flag":"#) {
            frame.flag = reader.int()?;
        } else if reader.skip(br#""language":"#) {
            frame.language = language(reader.string()?);
        } else if reader.skip(br#""opaque":"#) {
            frame.opaque = reader.int()?;
        } else if reader.skip(br#""serializeTypeCurrentRPC":"#) {
            reader.span()?;
        } else if reader.skip(br#""version":"#) {
            frame.version = reader.int()?;
        } else {
            return None;
        }
        if reader.ends()? {
            break;
        }
    }
    (reader.at == text.len()).then_some(frame)
}

struct Reader<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    /// Reads a name and its colon, if it is this one.
    fn skip<const N: usize>(&mut self, name: &[u8; N]) -> bool {
        let found = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) == Some(name);
        self.at += if found { N } else { 0 };
        found
    }

    /// Whether an object ends here; if not, another member follows.
    fn ends(&mut self) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(false),
            b'}' => Some(true),
            _ => None,
        }
    }

    fn int(&mut self) -> Option<i32> {
        let negative = self.eat(b'-').is_some();
        let start = self.at;
        let mut value = 0_i64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            value = value * 10 + i64::from(digit - b'0');
            self.at += 1;
            if self.at - start > 10 {
                return None;
            }
        }
        let value = if negative { -value } else { value };
        i32::try_from(value).ok().filter(|_| self.at > start)
    }

    /// A string without escapes, as its place.
    fn span(&mut self) -> Option<(usize, usize)> {
        let (start, end) = self.run()?;
        (self.bytes[end] == b'"').then_some((start, end))
    }

    fn string(&mut self) -> Option<&'t str> {
        let (start, end) = self.span()?;
        Some(&self.text[start..end])
    }

    /// Reads up to the first quote or backslash of a string, and that.
    fn run(&mut self) -> Option<(usize, usize)> {
        self.eat(b'"')?;
        self.rest()
    }

    fn rest(&mut self) -> Option<(usize, usize)> {
        let start = self.at;
        let end = start + before_first(self.bytes.get(start..)?, b'"', b'\\');
        self.at = end + 1;
        (end < self.bytes.len()).then_some((start, end))
    }

    fn fields(&mut self) -> Option<Fields> {
        let mut fields = Fields::over(self.text);
        self.eat(b'{')?;
        if self.eat(b'}').is_some() {
            return Some(fields);
        }
        loop {
            let name = self.name()?;
            let value = self.value(&mut fields)?;
            fields.add(name, value);
            if self.ends()? {
                return Some(fields);
            }
        }
    }

    /// The name of a field and the colon. Those of a send have one letter.
    fn name(&mut self) -> Option<Span> {
        if let Some([b'"', letter, b'"', b':', ..]) = self.bytes.get(self.at..)
            && !matches!(letter, b'"' | b'\\')
        {
            self.at += 4;
            return Some(Span::new(self.at - 3, self.at - 2));
        }
        let (start, end) = self.span()?;
        self.eat(b':')?;
        Some(Span::new(start, end))
    }

    /// A string, whose content is decoded behind the text if it has escapes. Many are one digit.
    fn value(&mut self, fields: &mut Fields) -> Option<Span> {
        if let Some([b'"', digit, b'"', ..]) = self.bytes.get(self.at..)
            && !matches!(digit, b'"' | b'\\')
        {
            self.at += 3;
            return Some(Span::new(self.at - 2, self.at - 1));
        }
        let (mut start, mut end) = self.run()?;
        if self.bytes[end] == b'"' {
            return Some(Span::new(start, end));
        }
        let decoded = fields.text_mut();
        let begin = decoded.len();
        loop {
            decoded.push_str(&self.text[start..end]);
            if self.bytes[end] == b'"' {
                return Some(Span::new(begin, decoded.len()));
            }
            decoded.push(self.escape()?);
            (start, end) = self.rest()?;
        }
    }

    /// What follows a backslash; the separators of properties are what there is most of.
    fn escape(&mut self) -> Option<char> {
        let (kind, used) = match self.bytes.get(self.at..)? {
            [b'u', b'0', b'0', high @ b'0'..=b'7', low, ..] => {
                let low = char::from(*low).to_digit(16)?;
                (char::from((high - b'0') << 4 | low as u8), 5)
            }
            [b'n', ..] => ('\n', 1),
            [b'r', ..] => ('\r', 1),
            [b't', ..] => ('\t', 1),
            [plain @ (b'"' | b'\\' | b'/'), ..] => (char::from(*plain), 1),
            _ => return None,
        };
        self.at += used;
        Some(kind)
    }
}
