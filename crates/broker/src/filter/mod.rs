//! Which messages a consumer wants: by tag or by a SQL92 expression over the properties.
//!
//! SQL92 is RocketMQ's dialect with all its corners, checked against `rocketmq-filter` 5.5.0 by the cases in
//! `tests/sql92.txt`: what that library makes of an expression and a message is what this one makes of them. Three
//! things differ on purpose: an expression is bounded in length and depth, digits are those of ASCII, and a property
//! that holds a hexadecimal floating-point number is none.

mod expression;
mod number;
mod parse;
mod token;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use protocol::properties;
use protocol::tag::{TagFilter, java_hash};

use self::expression::Expression;
use crate::limits::{FILTERS_BYTES_MAX, FILTERS_KEPT, SQL_NAMES_IN_PLACE};
use crate::{Broker, Error};

/// A filter as text.
#[derive(Debug, Clone, Copy)]
pub struct FilterText<'a> {
    /// `TAG` or `SQL92`; nothing means `TAG`.
    pub kind: Option<&'a str>,
    /// The expression.
    pub expression: &'a str,
}

/// A compiled filter.
#[derive(Debug, Clone)]
pub(crate) enum Filter {
    /// Everything.
    All,
    /// One of the tags with these hashes; the client compares the tags themselves.
    Tags(Arc<[i32]>),
    /// Only the record can tell.
    Sql(Arc<Sql>),
}

impl Filter {
    pub(crate) fn tags(expression: &str) -> Filter {
        match TagFilter::parse(expression) {
            TagFilter::All => Filter::All,
            TagFilter::AnyOf(tags) => Filter::Tags(tags.iter().map(|tag| java_hash(tag)).collect()),
        }
    }

    /// Whether the record of a consume queue entry may match.
    pub(crate) fn may_match(&self, tag_code: i64) -> bool {
        match self {
            Filter::All | Filter::Sql(_) => true,
            // Only the low 32 bits count: the entry holds the hash sign-extended.
            Filter::Tags(hashes) => hashes.contains(&(tag_code as i32)),
        }
    }
}

/// A compiled SQL92 expression.
#[derive(Debug)]
pub struct Sql {
    root: Expression,
    /// Properties that it reads.
    names: Vec<Box<str>>,
}

/// Where a SQL92 expression is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {position}: {reason}")]
pub struct SqlError {
    /// Character of the expression, the first being 1.
    pub position: usize,
    /// What was expected there.
    pub reason: String,
}

impl SqlError {
    fn new(text: &str, at_byte: usize, reason: impl Into<String>) -> SqlError {
        SqlError { position: text[..at_byte].chars().count() + 1, reason: reason.into() }
    }
}

impl Sql {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Correct the expression at the place the error names.
    pub fn parse(text: &str) -> Result<Sql, SqlError> {
        let (root, names) = parse::parse(text)?;
        Ok(Sql { root, names })
    }

    /// Whether the expression is true for a message with these properties. Where it is false, unknown or cannot be
    /// computed, because a property is no number where one is needed, the message does not match.
    pub fn matches(&self, properties: &str) -> bool {
        self.truth(properties) == Ok(Some(true))
    }

    fn truth(&self, text: &str) -> Result<Option<bool>, expression::Unfit> {
        let mut in_place = [None; SQL_NAMES_IN_PLACE];
        let mut elsewhere;
        let values = if let Some(values) = in_place.get_mut(..self.names.len()) {
            values
        } else {
            elsewhere = vec![None; self.names.len()];
            &mut elsewhere[..]
        };
        // Of a name that is there twice the last value counts, as in a hash map.
        for (name, value) in properties::iter(text) {
            if let Some(at) = self.names.iter().position(|wanted| **wanted == *name) {
                values[at] = Some(value);
            }
        }
        self.root.truth(values)
    }
}

/// Compiled expressions by their text.
#[derive(Debug, Default)]
pub(crate) struct Filters(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_text: HashMap<Box<str>, Arc<Sql>>,
    /// Of all texts.
    bytes: usize,
}

impl Filters {
    fn sql(&self, text: &str) -> Result<Arc<Sql>, SqlError> {
        if let Some(known) = self.0.lock().by_text.get(text) {
            return Ok(known.clone());
        }
        let sql = Arc::new(Sql::parse(text)?);
        let mut kept = self.0.lock();
        if kept.by_text.len() >= FILTERS_KEPT || kept.bytes + text.len() > FILTERS_BYTES_MAX {
            // Compiling takes microseconds; knowing which one is used least would cost more than starting over.
            *kept = Kept::default();
        }
        if kept.by_text.insert(text.into(), sql.clone()).is_none() {
            kept.bytes += text.len();
        }
        Ok(sql)
    }
}

impl Broker {
    /// Checks a filter as a pull would.
    ///
    /// # Errors
    /// [`Error::Filter`] names the place in the expression.
    pub fn check_filter(&self, text: FilterText<'_>) -> Result<(), Error> {
        self.filter(text).map(drop)
    }

    pub(crate) fn filter(&self, text: FilterText<'_>) -> Result<Filter, Error> {
        match text.kind {
            None | Some("" | "TAG") => Ok(Filter::tags(text.expression)),
            Some(kind) if !self.config().sql_filter => {
                Err(Error::Unsupported(format!("The broker does not support consumer to filter message by {kind}")))
            }
            Some("SQL92") => match self.filters.sql(text.expression) {
                Ok(sql) => Ok(Filter::Sql(sql)),
                Err(error) => Err(Error::Filter(error.to_string())),
            },
            Some(other) => Err(Error::Filter(format!("unknown expression type {other:?}, it is TAG or SQL92"))),
        }
    }
}
