//! The flat string map that a custom header becomes.

use std::fmt;

use bytes::{BufMut, BytesMut};
use smallvec::SmallVec;

use crate::header::Header;
use crate::json::put_string;

/// The `extFields` of a frame: names and values in one piece of text, in the order they came.
///
/// One allocation however many fields there are. Looking a name up walks the list; typed headers walk it once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields {
    text: String,
    entries: SmallVec<[Entry; 16]>,
}

/// Where a field's name starts, where its value starts and where that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    name: u32,
    value: u32,
    end: u32,
}

/// A field whose name or value is still being written.
pub(crate) struct Open {
    name: usize,
    value: usize,
}

impl Fields {
    pub(crate) fn with_capacity(bytes: usize) -> Fields {
        Fields { text: String::with_capacity(bytes), entries: SmallVec::new() }
    }

    /// The fields of a typed header.
    pub fn of<'a>(header: &impl Header<'a>) -> Fields {
        let mut fields = Fields::default();
        header.encode(&mut FieldWriter(Form::Fields(&mut fields)));
        fields
    }

    /// Adds a field. A name that is there already keeps its first value when looked up.
    pub fn push(&mut self, name: &str, value: &str) {
        let entry = self.begin();
        self.text.push_str(name);
        let entry = self.value_follows(entry);
        self.text.push_str(value);
        self.finish(entry);
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| {
            let (name, value, end) = (entry.name as usize, entry.value as usize, entry.end as usize);
            (&self.text[name..value], &self.text[value..end])
        })
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

    // A field is built in place: begin, append its name to `text_mut`, value_follows, append its value, finish.
    pub(crate) fn begin(&self) -> Open {
        Open { name: self.text.len(), value: 0 }
    }

    pub(crate) fn text_mut(&mut self) -> &mut String {
        &mut self.text
    }

    pub(crate) fn value_follows(&self, open: Open) -> Open {
        Open { value: self.text.len(), ..open }
    }

    pub(crate) fn finish(&mut self, open: Open) {
        // Headers are bounded far below 4 GiB by `limits::HEADER_BYTES_MAX`.
        self.entries.push(Entry { name: open.name as u32, value: open.value as u32, end: self.text.len() as u32 });
    }

    pub(crate) fn abandon(&mut self, open: Open) {
        self.text.truncate(open.name);
    }
}

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
            Form::Json { out, any } => {
                begin_json_field(out, any, name);
                put_string(out, value);
            }
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
        match &mut self.0 {
            Form::Json { out, any } => {
                begin_json_field(out, any, name);
                out.put_u8(b'"');
                put_int(out, value);
                out.put_u8(b'"');
            }
            _ => self.text(name, itoa::Buffer::new().format(value)),
        }
    }
}

fn begin_json_field(out: &mut BytesMut, any: &mut bool, name: &str) {
    if std::mem::replace(any, true) {
        out.put_u8(b',');
    }
    put_string(out, name);
    out.put_u8(b':');
}

pub(crate) fn put_int(out: &mut BytesMut, value: i64) {
    out.put_slice(itoa::Buffer::new().format(value).as_bytes());
}
