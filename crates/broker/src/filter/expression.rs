//! A compiled expression and what it makes of a message.
//!
//! Source: `ComparisonExpression`, `LogicExpression`, `UnaryExpression`, `UnaryInExpression`.

use std::cmp::Ordering;

use super::number;

/// Nested no deeper than [`crate::limits::SQL_DEPTH_MAX`], so walking it recursively is safe.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(Box<str>),
    /// Place in the list of names.
    Property(usize),
    Negate(Box<Expression>),
    /// A property where a boolean is wanted. It holds a string, so this is never true.
    Cast(usize),
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    IsNull(Box<Expression>),
    Equal(Box<[Expression; 2]>),
    Order(Order, Box<[Expression; 2]>),
    /// Value, low, high.
    Between {
        not: bool,
        operands: Box<[Expression; 3]>,
    },
    In {
        not: bool,
        property: usize,
        list: Vec<Box<str>>,
    },
    Search {
        not: bool,
        place: Place,
        operand: Box<Expression>,
        text: Box<str>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Anywhere,
    Start,
    End,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(&'a str),
}

/// A value cannot be what the expression takes it for, such as the number in `a > 5` when `a` is `x`. The whole
/// expression fails then, unless an operand to the left has decided it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfit;

/// True, false or unknown.
type Truth = Option<bool>;

impl Expression {
    pub(super) fn is_constant(&self) -> bool {
        matches!(self, Self::Null | Self::Bool(_) | Self::Text(_)) || self.is_number()
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Long(_) | Self::Double(_))
    }

    pub(super) fn is_boolean(&self) -> bool {
        !matches!(self, Self::Text(_) | Self::Property(_) | Self::Negate(_)) && !self.is_number()
    }

    /// Of two number constants: whether this is the greater one.
    pub(super) fn is_greater_constant(&self, other: &Expression) -> Option<bool> {
        if !self.is_number() || !other.is_number() {
            return None;
        }
        let (left, right) = (self.value(&[]).ok()?, other.value(&[]).ok()?);
        Some(compare(left, right).ok()?.is_gt())
    }

    /// `properties` holds the values of the named properties.
    pub(super) fn value<'a>(&'a self, properties: &[Option<&'a str>]) -> Result<Value<'a>, Unfit> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Long(value) => Value::Long(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Text(text) => Value::Text(text),
            Self::Property(name) => properties[*name].map_or(Value::Null, Value::Text),
            Self::Negate(operand) => match operand.value(properties)? {
                Value::Int(value) => Value::Int(value.wrapping_neg()),
                Value::Long(value) => Value::Long(value.wrapping_neg()),
                Value::Double(value) => Value::Double(-value),
                _ => Value::Null,
            },
            boolean => boolean.truth(properties)?.map_or(Value::Null, Value::Bool),
        })
    }

    /// The value of an expression that is a boolean.
    pub(super) fn truth(&self, properties: &[Option<&str>]) -> Result<Truth, Unfit> {
        Ok(match self {
            Self::Bool(value) => Some(*value),
            Self::Cast(name) => properties[*name].map(|_| false),
            Self::Not(operand) => operand.truth(properties)?.map(|truth| !truth),
            Self::And(operands) => decide(false, operands.iter().map(|operand| operand.truth(properties)))?,
            Self::Or(operands) => decide(true, operands.iter().map(|operand| operand.truth(properties)))?,
            Self::IsNull(operand) => Some(matches!(operand.value(properties)?, Value::Null)),
            Self::Equal(operands) => match (operands[0].value(properties)?, operands[1].value(properties)?) {
                (Value::Null, Value::Null) => Some(true),
                (Value::Null, _) => None,
                (_, Value::Null) => Some(false),
                (left, right) => Some(equal(left, right)?),
            },
            Self::Order(order, operands) => operands[0].compared(*order, &operands[1], properties)?,
            Self::Between { not, operands } => {
                let [value, low, high] = &**operands;
                let (below, above) =
                    if *not { (Order::Less, Order::Greater) } else { (Order::GreaterEqual, Order::LessEqual) };
                let sides = [(below, low), (above, high)];
                decide(*not, sides.into_iter().map(|(order, bound)| value.compared(order, bound, properties)))?
            }
            Self::In { not, property, list } => {
                properties[*property].map(|value| list.iter().any(|text| **text == *value) != *not)
            }
            Self::Search { text, .. } if text.is_empty() => Some(false),
            Self::Search { not, place, operand, text } => match operand.value(properties)? {
                Value::Text(value) => Some(place.holds(value, text) != *not),
                _ => Some(false),
            },
            // Null, and what is no boolean and therefore never asked.
            _ => None,
        })
    }

    fn compared(&self, order: Order, right: &Expression, properties: &[Option<&str>]) -> Result<Truth, Unfit> {
        let left = self.value(properties)?;
        if matches!(left, Value::Null) {
            return Ok(None);
        }
        let ordering = match (left, right.value(properties)?) {
            (_, Value::Null) => return Ok(None),
            (Value::Text(left), Value::Text(right)) => {
                let (left, right) = (number::double(left).ok_or(Unfit)?, number::double(right).ok_or(Unfit)?);
                left.total_cmp(&right)
            }
            (left, right) => compare(left, right)?,
        };
        Ok(Some(match order {
            Order::Less => ordering.is_lt(),
            Order::LessEqual => ordering.is_le(),
            Order::Greater => ordering.is_gt(),
            Order::GreaterEqual => ordering.is_ge(),
        }))
    }
}

/// Three-valued AND (`by` false) or OR (`by` true): the first operand that decides ends it, else unknown wins.
fn decide(by: bool, operands: impl Iterator<Item = Result<Truth, Unfit>>) -> Result<Truth, Unfit> {
    let mut result = Some(!by);
    for operand in operands {
        match operand? {
            Some(truth) if truth == by => return Ok(Some(by)),
            Some(_) => {}
            None => result = None,
        }
    }
    Ok(result)
}

fn equal(left: Value<'_>, right: Value<'_>) -> Result<bool, Unfit> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => Ok(left == right),
        (left, right) => Ok(compare(left, right)?.is_eq()),
    }
}

/// Compares two values after turning the string into the type of the other one, if there is a string, and the narrower
/// number into the wider type. Source: `ComparisonExpression.__compare`.
fn compare(left: Value<'_>, right: Value<'_>) -> Result<Ordering, Unfit> {
    use Value::{Bool, Double, Int, Long, Null, Text};
    Ok(match (left, right) {
        (Int(left), Int(right)) => left.cmp(&right),
        (Long(left), Long(right)) => left.cmp(&right),
        (Int(left), Long(right)) => i64::from(left).cmp(&right),
        (Long(left), Int(right)) => left.cmp(&i64::from(right)),
        // As in Java the zeros differ and NaN is the greatest number. Only positive NaN occur.
        (Double(left), Double(right)) => left.total_cmp(&right),
        (Int(left), Double(right)) => f64::from(left).total_cmp(&right),
        (Double(left), Int(right)) => left.total_cmp(&f64::from(right)),
        (Long(left), Double(right)) => (left as f64).total_cmp(&right),
        (Double(left), Long(right)) => left.total_cmp(&(right as f64)),
        (Bool(left), Bool(right)) => left.cmp(&right),
        (Text(left), Int(right)) => left.parse::<i32>().map_err(|_| Unfit)?.cmp(&right),
        (Int(left), Text(right)) => left.cmp(&right.parse().map_err(|_| Unfit)?),
        (Text(left), Long(right)) => left.parse::<i64>().map_err(|_| Unfit)?.cmp(&right),
        (Long(left), Text(right)) => left.cmp(&right.parse().map_err(|_| Unfit)?),
        (Text(left), Double(right)) => number::double(left).ok_or(Unfit)?.total_cmp(&right),
        (Double(left), Text(right)) => left.total_cmp(&number::double(right).ok_or(Unfit)?),
        (Text(left), Bool(right)) => left.eq_ignore_ascii_case("true").cmp(&right),
        // Java casts the boolean to a string here, which fails.
        (Bool(_), Text(_)) => return Err(Unfit),
        (Bool(_), _) | (_, Bool(_)) => Ordering::Less,
        (Text(left), Text(right)) => left.cmp(right),
        (Null, _) | (_, Null) => return Err(Unfit),
    })
}

impl Place {
    fn holds(self, value: &str, text: &str) -> bool {
        match self {
            Place::Anywhere => value.contains(text),
            Place::Start => value.starts_with(text),
            Place::End => value.ends_with(text),
        }
    }
}
