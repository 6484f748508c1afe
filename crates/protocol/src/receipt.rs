//! The receipt of a popped message: what a consumer hands back to ack it or to change its invisible time.
//!
//! Words separated by one space; see [`Receipt`] for their order. Clients of the remoting protocol build it themselves
//! from the answer to a pop, and find it ready made in the property POP_CK of retried messages.
//! Source: `ExtraInfoUtil`, `ReceiptHandle`, `KeyBuilder`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::name::{self, RETRY_PREFIX};
use crate::request::PopMessageReply;

/// The number in place of a revive queue that marks a message popped in order. Source:
/// `KeyBuilder.POP_ORDER_REVIVE_QUEUE`.
pub const ORDER_REVIVE_QUEUE: i32 = 999;

/// In which topic a popped message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Retry {
    /// The topic that was asked for.
    None = 0,
    /// The retry topic with the older kind of name, `%RETRY%<group>_<topic>`.
    V1 = 1,
    /// The retry topic with the newer kind of name, `%RETRY%<group>+<topic>`.
    V2 = 2,
}

impl Retry {
    /// Reads the number.
    pub fn from_number(number: i32) -> Option<Retry> {
        [Retry::None, Retry::V1, Retry::V2].into_iter().find(|retry| *retry as i32 == number)
    }

    /// What kind of topic a popped topic is. Source: `ExtraInfoUtil.getRetry`, `KeyBuilder.isPopRetryTopicV2`.
    pub fn of_topic(topic: &str) -> Retry {
        match topic.strip_prefix(RETRY_PREFIX) {
            None => Retry::None,
            Some(rest) if rest.contains(name::POP_RETRY_SEPARATOR_V2) => Retry::V2,
            Some(_) => Retry::V1,
        }
    }
}

/// The receipt of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// First queue offset of the messages that were popped together.
    pub start_offset: i64,
    /// When they were popped, in milliseconds since 1970.
    pub pop_ms: i64,
    /// For how long nobody else sees them.
    pub invisible_ms: i64,
    /// [`ORDER_REVIVE_QUEUE`] of a message popped in order.
    pub revive_queue: i32,
    /// In which topic the message lies.
    pub retry: Retry,
    /// Broker that must be told.
    pub broker_name: Arc<str>,
    /// Queue of the message.
    pub queue_id: i32,
    /// Place of the message in its queue. Only receipts of a whole batch have none.
    pub queue_offset: i64,
    /// Place of the message in the log, which a proxy adds.
    pub log_offset: Option<u64>,
}

impl Receipt {
    /// When the message becomes visible again, in milliseconds since 1970.
    pub fn visible_ms(&self) -> i64 {
        self.pop_ms.saturating_add(self.invisible_ms)
    }

    /// Whether the message was popped in order.
    pub fn is_order(&self) -> bool {
        self.revive_queue == ORDER_REVIVE_QUEUE
    }

    /// The topic that the message lies in, for the topic that the consumer named: that one, or a retry topic of it.
    ///
    /// Source: `ExtraInfoUtil.getRealTopic`.
    pub fn real_topic(&self, topic: &str, group: &str) -> String {
        match self.retry {
            _ if topic.starts_with(RETRY_PREFIX) => topic.to_owned(),
            Retry::None => topic.to_owned(),
            Retry::V1 => name::pop_retry_topic_v1(group, topic),
            Retry::V2 => name::pop_retry_topic_v2(group, topic),
        }
    }

    /// Reads a receipt whose last word, the place in the queue, the peer may have sent apart from it.
    ///
    /// # Errors
    /// The text is no receipt.
    pub fn parse_with_offset(text: &str, queue_offset: i64) -> Result<Receipt, ReceiptError> {
        parse(text, Some(queue_offset))
    }
}

impl PopMessageReply<'_> {
    /// The receipts of the messages of the body, in their order, as a client makes them. `None` if the fields do not say
    /// what they should.
    ///
    /// Source: `ExtraInfoUtil.parseStartOffsetInfo`, `parseMsgOffsetInfo`.
    pub fn receipts(&self, broker_name: &Arc<str>) -> Option<Vec<Receipt>> {
        let (starts, offsets) = (self.start_offset_info?, self.msg_offset_info?);
        let mut receipts = Vec::new();
        for (start, of_queue) in starts.split(';').zip(offsets.split(';')) {
            let mut words = start.split(' ');
            let retry = Retry::from_number(words.next()?.parse().ok()?)?;
            let queue_id = words.next()?.parse().ok()?;
            let start_offset = words.next()?.parse().ok()?;
            for offset in of_queue.split(' ').nth(2)?.split(',') {
                receipts.push(Receipt {
                    start_offset,
                    pop_ms: self.pop_time,
                    invisible_ms: self.invisible_time,
                    revive_queue: self.revive_qid,
                    retry,
                    broker_name: broker_name.clone(),
                    queue_id,
                    queue_offset: offset.parse().ok()?,
                    log_offset: None,
                });
            }
        }
        Some(receipts)
    }
}

/// Why a text is no receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the receipt {text:?} is not valid: {reason}")]
pub struct ReceiptError {
    /// The text, cut to a readable length.
    pub text: String,
    /// Which word is wrong, and why.
    pub reason: &'static str,
}

impl FromStr for Receipt {
    type Err = ReceiptError;

    fn from_str(text: &str) -> Result<Receipt, ReceiptError> {
        parse(text, None)
    }
}

fn parse(text: &str, queue_offset: Option<i64>) -> Result<Receipt, ReceiptError> {
    let bad = |reason| ReceiptError { text: text.chars().take(256).collect(), reason };
    let mut words = text.split(' ');
    let mut number = |what| {
        let number: Option<i64> = words.next().and_then(|word| word.parse().ok());
        number.ok_or_else(|| bad(what))
    };
    let start_offset = number("the first word must be the start offset")?;
    let pop_ms = number("the second word must be the time of the pop")?;
    let invisible_ms = number("the third word must be the invisible time")?;
    let revive_queue = number("the fourth word must be the revive queue")?;
    let retry = number("the fifth word must be the kind of topic")?;
    let broker_name = words.next().filter(|name| !name.is_empty());
    let broker_name = broker_name.ok_or_else(|| bad("the sixth word must be the name of the broker"))?;
    let mut number = |what| words.next().map(|word| word.parse::<i64>().map_err(|_| bad(what))).transpose();
    let no_queue = "the seventh word must be the queue";
    let queue_id = number(no_queue)?.ok_or_else(|| bad(no_queue))?;
    let no_offset = "the eighth word must be the offset of the message in its queue";
    let offset = number(no_offset)?;
    let log_offset = number("the ninth word must be the offset of the message in the log")?;
    Ok(Receipt {
        start_offset,
        pop_ms,
        invisible_ms,
        revive_queue: i32::try_from(revive_queue).map_err(|_| bad("the revive queue is out of range"))?,
        retry: i32::try_from(retry)
            .ok()
            .and_then(Retry::from_number)
            .ok_or_else(|| bad("the kind of topic is 0, 1 or 2"))?,
        broker_name: broker_name.into(),
        queue_id: i32::try_from(queue_id).map_err(|_| bad("the queue is out of range"))?,
        queue_offset: queue_offset.or(offset).ok_or_else(|| bad(no_offset))?,
        log_offset: log_offset.and_then(|offset| u64::try_from(offset).ok()),
    })
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receipt { start_offset, pop_ms, invisible_ms, revive_queue, retry, .. } = self;
        let (broker, queue, offset) = (&self.broker_name, self.queue_id, self.queue_offset);
        let retry = *retry as i32;
        write!(f, "{start_offset} {pop_ms} {invisible_ms} {revive_queue} {retry} {broker} {queue} {offset}")?;
        match self.log_offset {
            Some(log_offset) => write!(f, " {log_offset}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "12 1700000000000 30000 3 1 broker-a 2 17";

    #[test]
    fn a_receipt_is_read_and_written() {
        let receipt: Receipt = EXAMPLE.parse().unwrap();
        let wanted = Receipt {
            start_offset: 12,
            pop_ms: 1_700_000_000_000,
            invisible_ms: 30_000,
            revive_queue: 3,
            retry: Retry::V1,
            broker_name: "broker-a".into(),
            queue_id: 2,
            queue_offset: 17,
            log_offset: None,
        };
        assert_eq!(receipt, wanted);
        assert_eq!(receipt.to_string(), EXAMPLE);
        assert_eq!(receipt.visible_ms(), 1_700_000_030_000);
        assert_eq!(receipt.real_topic("T", "G"), "%RETRY%G_T");
        assert_eq!(receipt.real_topic("%RETRY%G_T", "G"), "%RETRY%G_T");
        let with_log: Receipt = format!("{EXAMPLE} 4096").parse().unwrap();
        assert_eq!(with_log.log_offset, Some(4096));
        let unknown: Receipt = format!("{EXAMPLE} -1").parse().unwrap();
        assert_eq!(unknown.log_offset, None);
    }

    #[test]
    fn the_offset_may_come_apart() {
        let short = EXAMPLE.rsplit_once(' ').unwrap().0;
        assert!(short.parse::<Receipt>().is_err());
        assert_eq!(Receipt::parse_with_offset(short, 18).unwrap().queue_offset, 18);
        // Java takes the offset of the header when there are two.
        assert_eq!(Receipt::parse_with_offset(EXAMPLE, 18).unwrap().queue_offset, 18);
    }

    #[test]
    fn what_is_no_receipt_is_refused() {
        for bad in
            ["", " ", "1 2 3", "x 1 1 1 0 b 1 1", "1 1 1 1 3 b 1 1", "1 1 1 1 0  1 1", "1 1 1 1 0 b 99999999999 1"]
        {
            assert!(bad.parse::<Receipt>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_answer_to_a_pop_makes_receipts() {
        let reply = PopMessageReply {
            pop_time: 1_700_000_000_000,
            invisible_time: 30_000,
            revive_qid: 3,
            rest_num: 0,
            start_offset_info: Some("1 2 12;0 1 5"),
            msg_offset_info: Some("1 2 12,17;0 1 5"),
            order_count_info: None,
        };
        let shown: Vec<_> = reply.receipts(&"broker-a".into()).unwrap().iter().map(Receipt::to_string).collect();
        let first = "12 1700000000000 30000 3 1 broker-a 2 12";
        assert_eq!(shown, [first, EXAMPLE, "5 1700000000000 30000 3 0 broker-a 1 5"]);
        let broken = PopMessageReply { msg_offset_info: Some("1 2;0 1 5"), ..reply };
        assert_eq!(broken.receipts(&"broker-a".into()), None);
    }

    #[test]
    fn topics_tell_their_kind() {
        assert_eq!(Retry::of_topic("T"), Retry::None);
        assert_eq!(Retry::of_topic("%RETRY%G_T"), Retry::V1);
        assert_eq!(Retry::of_topic("%RETRY%G+T"), Retry::V2);
    }

    proptest! {
        #[test]
        fn receipts_round_trip(numbers: [i64; 4], queues: [i32; 2], retry in 0..3, log: Option<u32>) {
            let receipt = Receipt {
                start_offset: numbers[0],
                pop_ms: numbers[1],
                invisible_ms: numbers[2],
                revive_queue: queues[0],
                retry: Retry::from_number(retry).unwrap(),
                broker_name: "b".into(),
                queue_id: queues[1],
                queue_offset: numbers[3],
                log_offset: log.map(u64::from),
            };
            prop_assert_eq!(receipt.to_string().parse(), Ok(receipt));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "[0-9a-z \u{e9}-]{0,60}") {
            let _ = text.parse::<Receipt>();
        }
    }
}
