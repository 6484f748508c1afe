//! Attributes of topics and groups: which there are and how they change.
//!
//! Source: RocketMQ 5.5.0, `TopicAttributes`, `LiteTopicAttributes`, `SubscriptionGroupAttributes`, `AttributeUtil`.

use std::collections::BTreeMap;

use crate::Error;

pub(crate) type Attributes = BTreeMap<String, String>;

/// What a topic is for.
pub const MESSAGE_TYPE: &str = "message.type";
/// Minutes after its last message that a lite topic is deleted; -1 means never.
pub(crate) const LITE_EXPIRATION: &str = "lite.topic.expiration";
/// Percent of pops that respect priorities.
pub(crate) const PRIORITY_FACTOR: &str = "priority.factor";
/// The parent topic of a group that reads lite topics.
pub(crate) const LITE_BIND_TOPIC: &str = "lite.bind.topic";
/// Whether a lite topic belongs to one client of the group at a time.
pub(crate) const LITE_SUB_MODEL: &str = "lite.sub.model";
/// Begin again when a client loses a lite topic to another.
pub(crate) const LITE_RESET_EXCLUSIVE: &str = "lite.sub.reset.offset.exclusive";
/// Begin again when a client gives up a lite topic.
pub(crate) const LITE_RESET_UNSUBSCRIBE: &str = "lite.sub.reset.offset.unsubscribe";
/// Lite topics that one client may name.
pub(crate) const LITE_CLIENT_QUOTA: &str = "lite.sub.client.quota";
/// Events that may wait for one client.
pub(crate) const LITE_CLIENT_EVENTS: &str = "lite.sub.client.max.event.cnt";
/// There, with any value: the group reads all lite topics of its parent.
pub(crate) const LITE_WILDCARD: &str = "lite.sub.wildcard";

struct Attribute {
    name: &'static str,
    /// Cannot change once the topic or group exists.
    fixed: bool,
    values: Values,
}

enum Values {
    OneOf(&'static [&'static str]),
    Number { min: i64, max: i64 },
    Any,
}

const fn attribute(name: &'static str, values: Values) -> Attribute {
    Attribute { name, fixed: false, values }
}

const fn fixed(name: &'static str, values: Values) -> Attribute {
    Attribute { name, fixed: true, values }
}

const BOOLEAN: Values = Values::OneOf(&["true", "false"]);

/// Whose attributes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of {
    Topic,
    Group,
}

const TOPIC_ATTRIBUTES: &[Attribute] = &[
    fixed("queue.type", Values::OneOf(&["SimpleCQ", "BatchCQ"])),
    fixed("cleanup.policy", Values::OneOf(&["DELETE", "COMPACTION"])),
    attribute(
        MESSAGE_TYPE,
        Values::OneOf(&["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "MIXED", "PRIORITY", "LITE"]),
    ),
    attribute("reserve.time", Values::Number { min: -1, max: i64::MAX }),
    attribute(LITE_EXPIRATION, Values::Number { min: -1, max: 43_200 }),
];

const GROUP_ATTRIBUTES: &[Attribute] = &[
    attribute(PRIORITY_FACTOR, Values::Number { min: 0, max: 100 }),
    attribute(LITE_BIND_TOPIC, Values::Any),
    attribute(LITE_SUB_MODEL, Values::OneOf(&["Shared", "Exclusive"])),
    attribute(LITE_RESET_EXCLUSIVE, BOOLEAN),
    attribute(LITE_RESET_UNSUBSCRIBE, BOOLEAN),
    attribute(LITE_CLIENT_QUOTA, Values::Number { min: -1, max: i64::MAX }),
    attribute(LITE_CLIENT_EVENTS, Values::Number { min: 10, max: i64::MAX }),
    attribute(LITE_WILDCARD, Values::Any),
];

/// Values that name a feature this server lacks: refused rather than accepted and ignored.
const UNSUPPORTED: [(&str, &str); 2] = [("queue.type", "BatchCQ"), ("cleanup.policy", "COMPACTION")];

impl Of {
    fn attributes(self) -> &'static [Attribute] {
        match self {
            Of::Topic => TOPIC_ATTRIBUTES,
            Of::Group => GROUP_ATTRIBUTES,
        }
    }

    /// Applies changes such as `+message.type=FIFO,-reserve.time`; `before` is `None` for something new.
    pub(crate) fn apply(self, before: Option<&Attributes>, changes: &str) -> Result<Attributes, Error> {
        let changes = changes.split(',').map(str::trim).filter(|change| !change.is_empty());
        self.apply_pairs(before, changes.map(|change| change.split_once('=').unwrap_or((change, ""))))
    }

    /// The same for pairs of `+key` and value, or `-key` and nothing.
    pub(crate) fn apply_pairs<'a>(
        self,
        before: Option<&Attributes>,
        changes: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Attributes, Error> {
        let mut after = before.cloned().unwrap_or_default();
        for (change, value) in changes {
            if let Some(key) = change.strip_prefix('+') {
                let attribute = self.find(key)?;
                if value.is_empty() {
                    return Err(bad(format!("attribute {key:?} has no value")));
                }
                check_value(attribute, value)?;
                check_fixed(attribute, before)?;
                after.insert(key.to_owned(), value.to_owned());
            } else if let Some(key) = change.strip_prefix('-') {
                check_fixed(self.find(key)?, before)?;
                if after.remove(key).is_none() {
                    return Err(bad(format!("attribute {key:?} is not set, so it cannot be removed")));
                }
            } else {
                return Err(bad(format!("attribute change {change:?} starts with neither + nor -")));
            }
        }
        Ok(after)
    }

    fn find(self, key: &str) -> Result<&'static Attribute, Error> {
        self.attributes().iter().find(|known| known.name == key).ok_or_else(|| {
            let known: Vec<_> = self.attributes().iter().map(|attribute| attribute.name).collect();
            let what = match self {
                Of::Topic => "topic",
                Of::Group => "consumer group",
            };
            bad(format!("unsupported key: {key}, the attributes of a {what} are {}", known.join(", ")))
        })
    }
}

fn check_value(attribute: &Attribute, value: &str) -> Result<(), Error> {
    let name = attribute.name;
    if UNSUPPORTED.contains(&(name, value)) {
        return Err(Error::Unsupported(format!("{name}={value} is not supported yet")));
    }
    match &attribute.values {
        Values::Any => Ok(()),
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
        match (Of::Topic.apply(before.map(map).as_ref(), changes), after) {
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

    #[test]
    fn groups_have_attributes_of_their_own() {
        let changes = [("+lite.bind.topic", "P"), ("+lite.sub.model", "Exclusive")];
        let after = Of::Group.apply_pairs(None, changes.into_iter()).unwrap();
        assert_eq!(after.get("lite.bind.topic").map(String::as_str), Some("P"));
        assert!(Of::Group.apply_pairs(None, [("lite.bind.topic", "P")].into_iter()).is_err());
        assert!(Of::Group.apply(None, "+message.type=FIFO").is_err());
        assert_eq!(Of::Group.apply(Some(&after), "-lite.sub.model").unwrap().len(), 1);
    }
}
