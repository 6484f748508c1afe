//! The flat string map that a custom header becomes.

use std::fmt;

use bytes::{BufMut, BytesMut};

use crate::header::Header;
use crate::json::{Content, put_member};

/// Room for the names and values of most typed headers.
const TYPED_BYTES: usize = 160;

/// The `extFields` of a frame: names and values in one piece of text, in the order they came.
///
/// One allocation however many fields there are. Looking a name up walks the list; typed headers walk it once.
#[derive(Clone, Default)]
pub struct Fields {
    text: String,
    entries: Vec<Entry>,
}

/// Where a field's name and its value lie in the text.
#[derive(Debug, Clone, Copy)]
struct Entry {
    name: Span,
    value: Span,
}

/// A part of the text. Headers are bounded far below 4 GiB by `limits::HEADER_BYTES_MAX`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }
}

impl Fields {
    pub(crate) fn with_capacity(bytes: usize) -> Fields {
        Fields { text: String::with_capacity(bytes), entries: Vec::with_capacity(16) }
    }

    /// No fields yet; those of [`Content::Here`] will lie in this text.
    pub(crate) fn over(text: &str) -> Fields {
        // What is decoded follows, mostly one value that takes about a third of the text.
        let mut fields = Fields::with_capacity(text.len() + text.len() / 2);
        fields.text.push_str(text);
        fields
    }

    /// The fields of a typed header.
    pub fn of<'a>(header: &impl Header<'a>) -> Fields {
        let mut fields = Fields::with_capacity(TYPED_BYTES);
        header.encode(&mut FieldWriter(Form::Fields(&mut fields)));
        fields
    }

    /// Adds a field. A name that is there already keeps its first value when looked up.
    pub fn push(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(value);
        self.add(Span::new(start, middle), Span::new(middle, self.text.len()));
    }

    /// Where decoded text is to be appended.
    pub(crate) fn text_mut(&mut self) -> &mut String {
        &mut self.text
    }

    /// Takes what was read of the text these fields are over, or decoded from it.
    pub(crate) fn put<E>(&mut self, read: impl FnOnce(&mut String) -> Result<Content, E>) -> Result<Span, E> {
        let start = self.text.len();
        Ok(match read(&mut self.text)? {
            Content::Here(range) => Span::new(range.start, range.end),
            Content::Appended => Span::new(start, self.text.len()),
        })
    }

    pub(crate) fn add(&mut self, name: Span, value: Span) {
        self.entries.push(Entry { name, value });
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (self.part(entry.name), self.part(entry.value)))
    }

    fn part(&self, span: Span) -> &str {
        &self.text[span.start as usize..span.end as usize]
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn write(&self, writer: &mut FieldWriter<'_>) {
        for (name, value) in self.iter() {
            writer.text(name, value);
        }
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Fields) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Where the fields of a header are written to.
pub struct FieldWriter<'w>(Form<'w>);

enum Form<'w> {
    Json { out: &'w mut BytesMut, any: bool },
    Binary(&'w mut BytesMut),
    Fields(&'w mut Fields),
}

impl<'w> FieldWriter<'w> {
    pub(crate) fn json(out: &'w mut BytesMut) -> Self {
        FieldWriter(Form::Json { out, any: false })
    }

    pub(crate) fn binary(out: &'w mut BytesMut) -> Self {
        FieldWriter(Form::Binary(out))
    }

    /// Writes one field.
    pub fn text(&mut self, name: &str, value: &str) {
        match &mut self.0 {
            Form::Json { out, any } => put_member(out, std::mem::replace(any, true), name, value),
            Form::Binary(out) => {
                out.put_i16(name.len() as i16);
                out.put_slice(name.as_bytes());
                out.put_i32(value.len() as i32);
                out.put_slice(value.as_bytes());
            }
            Form::Fields(fields) => fields.push(name, value),
        }
    }

    /// Writes a number as text.
    pub fn int(&mut self, name: &str, value: i64) {
        self.text(name, itoa::Buffer::new().format(value));
    }
}

pub(crate) fn put_int(out: &mut BytesMut, value: i64) {
    out.put_slice(itoa::Buffer::new().format(value).as_bytes());
}
