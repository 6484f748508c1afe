//! Typed custom headers: one declaration gives the struct, its reader and its writer.

pub use crate::fields::FieldWriter;
use crate::fields::Fields;

/// A custom header: a struct that travels as a flat map of strings.
pub trait Header<'a>: Sized {
    /// Reads the header. Unknown fields are ignored, as every peer does.
    fn decode(fields: &'a Fields) -> Result<Self, HeaderError>;
    /// Writes the fields that have a value.
    fn encode(&self, out: &mut FieldWriter<'_>);
}

/// What is wrong with a header; the requester is told, the connection lives on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HeaderError {
    /// A field without which the request means nothing.
    #[error("the header field {0:?} is missing")]
    Missing(&'static str),
    /// A field that is not a number or not in range.
    #[error("the header field {name:?} is {value:?}, which is not a valid {wanted}")]
    Invalid {
        /// Name of the field.
        name: &'static str,
        /// What was sent, cut to a readable length.
        value: String,
        /// The type it should have.
        wanted: &'static str,
    },
}

/// A type that a header field may have.
pub trait Value<'a>: Sized {
    /// Reads the value, `None` when the field is absent.
    fn read(name: &'static str, raw: Option<&'a str>) -> Result<Self, HeaderError>;
    /// Writes the value, or nothing when there is none.
    fn write(&self, name: &'static str, out: &mut FieldWriter<'_>);
}

impl<'a> Value<'a> for &'a str {
    fn read(name: &'static str, raw: Option<&'a str>) -> Result<Self, HeaderError> {
        raw.ok_or(HeaderError::Missing(name))
    }

    fn write(&self, name: &'static str, out: &mut FieldWriter<'_>) {
        out.text(name, self);
    }
}

macro_rules! number {
    ($($type:ty)*) => {$(
        impl<'a> Value<'a> for $type {
            fn read(name: &'static str, raw: Option<&'a str>) -> Result<Self, HeaderError> {
                let raw = raw.ok_or(HeaderError::Missing(name))?;
                raw.parse().map_err(|_| invalid(name, raw, stringify!($type)))
            }

            fn write(&self, name: &'static str, out: &mut FieldWriter<'_>) {
                out.int(name, i64::from(*self));
            }
        }
    )*};
}
number!(i32 i64);

impl<'a> Value<'a> for bool {
    // Only "true" in any case is true, anything else is false, absence too. Source: `Boolean.parseBoolean`.
    fn read(_name: &'static str, raw: Option<&'a str>) -> Result<Self, HeaderError> {
        Ok(raw.is_some_and(|raw| raw.eq_ignore_ascii_case("true")))
    }

    fn write(&self, name: &'static str, out: &mut FieldWriter<'_>) {
        out.text(name, if *self { "true" } else { "false" });
    }
}

impl<'a, T: Value<'a>> Value<'a> for Option<T> {
    fn read(name: &'static str, raw: Option<&'a str>) -> Result<Self, HeaderError> {
        match raw {
            // The binary header has no null; Java reads an empty number as absent.
            None | Some("") => Ok(None),
            some => T::read(name, some).map(Some),
        }
    }

    fn write(&self, name: &'static str, out: &mut FieldWriter<'_>) {
        if let Some(value) = self {
            value.write(name, out);
        }
    }
}

fn invalid(name: &'static str, raw: &str, wanted: &'static str) -> HeaderError {
    HeaderError::Invalid { name, value: raw.chars().take(64).collect(), wanted }
}

/// Declares a custom header: each field with its type and its name on the wire.
///
/// A plain type is required, an `Option` may be absent, a `bool` is false when absent.
#[macro_export]
macro_rules! header {
    ($(#[$doc:meta])* pub struct $name:ident $(<$lt:lifetime>)? {
        $($(#[$field_doc:meta])* pub $field:ident : $type:ty = $wire:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name $(<$lt>)? { $($(#[$field_doc])* pub $field: $type,)* }

        #[allow(unused_variables, reason = "a header may have no fields")]
        impl<'f $(, $lt)?> $crate::header::Header<'f> for $name $(<$lt>)? where $('f: $lt, $lt: 'f)? {
            fn decode(fields: &'f $crate::Fields) -> Result<Self, $crate::HeaderError> {
                $(let mut $field: Option<&'f str> = None;)*
                for (name, value) in fields.iter() {
                    match name {
                        $($wire => { $field.get_or_insert(value); })*
                        _ => {}
                    }
                }
                Ok(Self { $($field: $crate::header::Value::read($wire, $field)?,)* })
            }

            fn encode(&self, out: &mut $crate::header::FieldWriter<'_>) {
                $($crate::header::Value::write(&self.$field, $wire, out);)*
            }
        }
    };
}
