//! Two looks at everything as lines of text, or as JSON.

use std::cmp::Reverse;
use std::fmt;

use serde_json::{Value, json};

use super::sample::{GroupSum, Sample, TopicSum};
use crate::output::{self, Rows, count};

/// By what topics and groups are sorted, the largest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Rate,
    Waiting,
    Name,
}

impl Sort {
    pub(super) fn next(self) -> Sort {
        match self {
            Sort::Rate => Sort::Waiting,
            Sort::Waiting => Sort::Name,
            Sort::Name => Sort::Rate,
        }
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sort::Rate => "rate",
            Sort::Waiting => "lag",
            Sort::Name => "name",
        })
    }
}

/// What happened between two looks.
pub(super) struct View<'s> {
    now: &'s Sample,
    topics: Vec<(&'s str, TopicSum, f64)>,
    groups: Vec<(&'s str, GroupSum, f64)>,
}

impl<'s> View<'s> {
    pub(super) fn between(before: &Sample, now: &'s Sample, sort: Sort) -> View<'s> {
        let seconds = now.taken.duration_since(before.taken).as_secs_f64();
        // Offsets go back when a topic is made anew or a group is reset: that is no rate.
        let rate = |from: Option<i64>, to: i64| match from {
            Some(from) if seconds > 0.0 => (to - from).max(0) as f64 / seconds,
            _ => 0.0,
        };
        let topics = now.topics.iter().map(|(name, sum)| {
            let from = before.topics.get(name).map(|before| before.ends);
            (name.as_str(), *sum, rate(from, sum.ends))
        });
        let groups = now.groups.iter().map(|(name, sum)| {
            let from = before.groups.get(name).map(|before| before.consumed);
            (name.as_str(), *sum, rate(from, sum.consumed))
        });
        let mut view = View { now, topics: topics.collect(), groups: groups.collect() };
        // They come sorted by name, and these keep the order of what is equal.
        match sort {
            Sort::Name => {}
            Sort::Rate => {
                view.topics.sort_by(|one, other| other.2.total_cmp(&one.2));
                view.groups.sort_by(|one, other| other.2.total_cmp(&one.2));
            }
            Sort::Waiting => {
                view.topics.sort_by_key(|(_, sum, _)| Reverse(sum.kept));
                view.groups.sort_by_key(|(_, sum, _)| Reverse(sum.lag));
            }
        }
        view
    }

    /// As tables of at most so many lines together: brokers have what they need up to a third, groups half of the rest.
    pub(super) fn lines(&self, rows_max: usize) -> Vec<String> {
        let brokers = self.brokers();
        let for_brokers = brokers.len().min((rows_max / 3).max(2));
        let rest = rows_max.saturating_sub(for_brokers + 2);
        let (topics, groups) = (self.topics(), self.groups());
        let for_groups = groups.len().min((rest / 2).max(rest.saturating_sub(topics.len())));
        let mut lines: Vec<String> = brokers.into_iter().take(for_brokers).collect();
        lines.push(String::new());
        lines.extend(topics.into_iter().take(rest - for_groups));
        lines.push(String::new());
        lines.extend(groups.into_iter().take(for_groups));
        lines
    }

    fn brokers(&self) -> Vec<String> {
        let mut rows = Rows::new(["broker", "#id", "#in/s", "#out/s", "#send p99", "#disk", "#timers"]);
        for (broker, figures) in &self.now.brokers {
            let Some(figures) = figures else {
                let gone = [broker.name.clone(), broker.id.to_string(), "unreachable".into()];
                rows.push(gone.into_iter().chain(std::iter::repeat_n(String::new(), 4)));
                continue;
            };
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
            rows.push([
                broker.name.clone(),
                broker.id.to_string(),
                or_dash(figures.in_per_second().map(output::rate)),
                or_dash(figures.out_per_second().map(output::rate)),
                or_dash(figures.send_p99_ms().map(|ms| format!("{ms} ms"))),
                or_dash(figures.disk_used().map(output::percent)),
                or_dash(figures.timers().map(count)),
            ]);
        }
        lines_of(&rows, "no broker is registered", self.now.brokers.len(), self.now.brokers.len())
    }

    fn topics(&self) -> Vec<String> {
        let mut rows = Rows::new(["topic", "#in/s", "#messages", "#queues"]);
        for (name, sum, rate) in &self.topics {
            rows.push([(*name).to_owned(), output::rate(*rate), count(sum.kept), sum.queues.to_string()]);
        }
        lines_of(&rows, "no topics", self.topics.len(), self.now.found.0)
    }

    fn groups(&self) -> Vec<String> {
        let mut rows = Rows::new(["group", "#done/s", "#lag", "#behind", "#members"]);
        for (name, sum, rate) in &self.groups {
            let behind = sum.behind_ms.map_or("-".into(), |ms| format!("{} s", count(ms / 1000)));
            rows.push([(*name).to_owned(), output::rate(*rate), count(sum.lag), behind, sum.members.to_string()]);
        }
        lines_of(&rows, "no groups", self.groups.len(), self.now.found.1)
    }

    /// One look for programs.
    pub(super) fn json(&self) -> Value {
        let brokers = self.now.brokers.iter().map(|(broker, figures)| {
            let figures = figures.as_ref();
            json!({
                "broker": broker.name, "id": broker.id, "address": broker.address, "reachable": figures.is_some(),
                "inPerSecond": figures.and_then(|figures| figures.in_per_second()),
                "outPerSecond": figures.and_then(|figures| figures.out_per_second()),
                "diskUsed": figures.and_then(|figures| figures.disk_used()),
            })
        });
        let topics = self.topics.iter().map(
            |(name, sum, rate)| json!({"topic": name, "inPerSecond": rate, "messages": sum.kept, "queues": sum.queues}),
        );
        let groups = self.groups.iter().map(|(name, sum, rate)| {
            let behind = sum.behind_ms.map(|ms| ms / 1000);
            json!({"group": name, "donePerSecond": rate, "lag": sum.lag, "behindSeconds": behind, "members": sum.members})
        });
        json!({
            "brokers": brokers.collect::<Vec<_>>(),
            "topics": topics.collect::<Vec<_>>(),
            "groups": groups.collect::<Vec<_>>(),
            "topicsFound": self.now.found.0,
            "groupsFound": self.now.found.1,
        })
    }
}

/// The lines of a table; the first says how many there are when not all were asked for.
fn lines_of(rows: &Rows, empty: &str, asked: usize, found: usize) -> Vec<String> {
    if asked == 0 {
        return vec![empty.to_owned()];
    }
    let mut lines: Vec<String> = rows.text().lines().map(str::to_owned).collect();
    if found > asked {
        lines[0].push_str(&format!("  (the first {asked} of {found})"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use super::*;

    fn sample(at: Instant, ends: [i64; 2], group: GroupSum) -> Sample {
        let topic = |ends| TopicSum { queues: 4, ends, kept: ends };
        Sample {
            taken: at,
            brokers: Vec::new(),
            topics: BTreeMap::from([("a".into(), topic(ends[0])), ("b".into(), topic(ends[1]))]),
            groups: BTreeMap::from([("G".into(), group)]),
            found: (2, 700),
        }
    }

    #[test]
    fn rates_are_what_moved_between_two_looks() {
        let begin = Instant::now();
        let group = GroupSum { members: 1, consumed: 10, lag: 5, behind_ms: Some(61_000) };
        let before = sample(begin, [100, 10], group);
        let now = sample(begin + Duration::from_secs(2), [100, 30], GroupSum { consumed: 4, ..group });
        let view = View::between(&before, &now, Sort::Rate);
        assert_eq!(
            view.lines(usize::MAX),
            [
                "no broker is registered",
                "",
                "TOPIC  IN/S  MESSAGES  QUEUES",
                "b      10.0        30       4",
                "a       0.0       100       4",
                "",
                "GROUP  DONE/S  LAG  BEHIND  MEMBERS  (the first 1 of 700)",
                "G         0.0    5    61 s        1",
            ],
            "a group that was moved back does not consume"
        );
        let by_messages = View::between(&before, &now, Sort::Rate.next());
        assert_eq!(by_messages.topics[0].0, "a");
        assert_eq!(view.json()["topics"][0]["inPerSecond"], 10.0);
    }

    #[test]
    fn a_small_screen_shows_some_of_everything() {
        let mut now = sample(Instant::now(), [1, 2], GroupSum::default());
        now.topics = (0..50).map(|at| (format!("t{at}"), TopicSum::default())).collect();
        now.groups = (0..50).map(|at| (format!("g{at}"), GroupSum::default())).collect();
        let view = View::between(&now, &now, Sort::Name);
        for rows in [6, 10, 22, 60] {
            let lines = view.lines(rows);
            assert!(lines.len() <= rows, "{rows}: {lines:?}");
            assert!(["TOPIC", "GROUP"].iter().all(|head| lines.iter().any(|line| line.starts_with(head))), "{lines:?}");
        }
    }
}
