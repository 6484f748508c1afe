//! Attributes of topics: which there are and how they change.
//!
//! Source: `TopicAttributes`, `AttributeUtil`.

use std::collections::BTreeMap;

use crate::Error;

type Attributes = BTreeMap<String, String>;

struct Attribute {
    name: &'static str,
    /// Cannot change once the topic exists.
    fixed: bool,
    values: Values,
}

enum Values {
    OneOf(&'static [&'static str]),
    Number { min: i64, max: i64 },
}

const ATTRIBUTES: [Attribute; 5] = [
    Attribute { name: "queue.type", fixed: true, values: Values::OneOf(&["SimpleCQ", "BatchCQ"]) },
    Attribute { name: "cleanup.policy", fixed: true, values: Values::OneOf(&["DELETE", "COMPACTION"]) },
    Attribute {
        name: "message.type",
        fixed: false,
        values: Values::OneOf(&["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "MIXED", "PRIORITY", "LITE"]),
    },
    Attribute { name: "reserve.time", fixed: false, values: Values::Number { min: -1, max: i64::MAX } },
    Attribute { name: "lite.topic.expiration", fixed: false, values: Values::Number { min: -1, max: 43_200 } },
];

/// Values that name a feature this server lacks: refused rather than accepted and ignored.
const UNSUPPORTED: [(&str, &str); 2] = [("queue.type", "BatchCQ"), ("cleanup.policy", "COMPACTION")];

/// Applies changes such as `+message.type=FIFO,-reserve.time` to the attributes of a topic, `None` for a new one.
pub(crate) fn apply(before: Option<&Attributes>, changes: &str) -> Result<Attributes, Error> {
    let mut after = before.cloned().unwrap_or_default();
    for change in changes.split(',').map(str::trim).filter(|change| !change.is_empty()) {
        if let Some(pair) = change.strip_prefix('+') {
            let (key, value) = pair.split_once('=').ok_or_else(|| bad(format!("attribute {pair:?} has no value")))?;
            let attribute = find(key)?;
            check_value(attribute, value)?;
            check_fixed(attribute, before)?;
            after.insert(key.to_owned(), value.to_owned());
        } else if let Some(key) = change.strip_prefix('-') {
            check_fixed(find(key)?, before)?;
            if after.remove(key).is_none() {
                return Err(bad(format!("attribute {key:?} is not set, so it cannot be removed")));
            }
        } else {
            return Err(bad(format!("attribute change {change:?} starts with neither + nor -")));
        }
    }
    Ok(after)
}

fn find(key: &str) -> Result<&'static Attribute, Error> {
    ATTRIBUTES.iter().find(|known| known.name == key).ok_or_else(|| {
        let known = ATTRIBUTES.map(|attribute| attribute.name).join(", ");
        bad(format!("unsupported key: {key}, the attributes of a topic are {known}"))
    })
}

fn check_value(attribute: &Attribute, value: &str) -> Result<(), Error> {
    let name = attribute.name;
    if UNSUPPORTED.contains(&(name, value)) {
        return Err(Error::Unsupported(format!("{name}={value} is not supported yet")));
    }
    match &attribute.values {
        Values::OneOf(values) if values.contains(&value) => Ok(()),
        Values::OneOf(values) => Err(bad(format!("{name}={value}: the values are {}", values.join(", ")))),
        Values::Number { min, max } => match value.parse::<i64>() {
            Ok(number) if (*min..=*max).contains(&number) => Ok(()),
            _ => Err(bad(format!("{name}={value} is not a number between {min} and {max}"))),
        },
    }
}

fn check_fixed(attribute: &Attribute, before: Option<&Attributes>) -> Result<(), Error> {
    if attribute.fixed && before.is_some() {
        return Err(bad(format!("{} cannot change once the topic exists", attribute.name)));
    }
    Ok(())
}

fn bad(reason: String) -> Error {
    Error::Attribute(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: Option<&[(&str, &str)]>, changes: &str, after: Result<&[(&str, &str)], &str>) {
        let map = |pairs: &[(&str, &str)]| -> Attributes {
            pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        match (apply(before.map(map).as_ref(), changes), after) {
            (Ok(got), Ok(wanted)) => assert_eq!(got, map(wanted)),
            (Err(got), Err(wanted)) => assert!(got.to_string().contains(wanted), "{got}"),
            (got, wanted) => panic!("{got:?} instead of {wanted:?}"),
        }
    }

    #[test]
    fn attributes_change_by_the_rules() {
        check(None, "", Ok(&[]));
        check(None, "+message.type=FIFO", Ok(&[("message.type", "FIFO")]));
        check(Some(&[("message.type", "FIFO")]), "-message.type,+reserve.time=5", Ok(&[("reserve.time", "5")]));
        check(None, "+colour=red", Err("unsupported key: colour"));
        check(None, "+message.type=RED", Err("the values are"));
        check(None, "-message.type", Err("is not set"));
        check(None, "message.type=FIFO", Err("neither + nor -"));
        check(Some(&[]), "+queue.type=SimpleCQ", Err("cannot change"));
        check(None, "+cleanup.policy=COMPACTION", Err("not supported yet"));
    }
}
