//! Messages by id and by key.

use protocol::code;
use protocol::id::parse_offset_id;
use protocol::properties::UNIQUE_KEY;
use protocol::request::{QueryMessage, QueryMessageHeader, ViewMessage, ViewMessageHeader};

use super::{Admin, unless};
use crate::client::unreadable;
use crate::{Error, Received};

impl Admin {
    /// The message at the place that an offset id names.
    pub async fn view_message(&self, topic: &str, offset_id: &str) -> Result<Option<Received>, Error> {
        let Some((host, offset)) = parse_offset_id(offset_id) else {
            return Err(Error::Invalid(format!("{offset_id:?} is not an offset message id (32 hexadecimal digits)")));
        };
        let address = host.to_string();
        let header = ViewMessageHeader { topic: Some(topic), offset: offset as i64 };
        // There is no code for "nothing there"; it is an error like any other.
        let answer = self.at::<ViewMessage>(&address, &header).await;
        let Some(answer) = unless(answer, &[code::SYSTEM_ERROR, code::QUERY_NOT_FOUND])? else { return Ok(None) };
        let found = Received::decode_all("", &answer.frame.body);
        let found = found.map_err(|error| unreadable::<ViewMessage>(&address, error))?;
        Ok(found.into_iter().next())
    }

    /// Messages of a topic with a key, stored between two times in milliseconds since 1970; at most `count_max` per
    /// broker.
    pub async fn query_by_key(
        &self,
        topic: &str,
        key: &str,
        between_ms: (i64, i64),
        count_max: i32,
    ) -> Result<Vec<Received>, Error> {
        let header = QueryMessageHeader {
            topic,
            key,
            max_num: count_max,
            begin_timestamp: between_ms.0,
            end_timestamp: between_ms.1,
            index_type: None,
            unique_key_query: false,
        };
        let mut found = self.query(&header).await?;
        found.retain(|message| message.keys().any(|own| own == key));
        Ok(found)
    }

    /// Messages of a topic with a unique id: usually one, more if a producer had to send it again.
    pub async fn query_by_id(&self, topic: &str, id: &str) -> Result<Vec<Received>, Error> {
        let header = QueryMessageHeader {
            topic,
            key: id,
            max_num: 32,
            begin_timestamp: 0,
            end_timestamp: i64::MAX,
            index_type: Some("U"),
            unique_key_query: true,
        };
        let mut found = self.query(&header).await?;
        found.retain(|message| message.property(UNIQUE_KEY) == Some(id));
        Ok(found)
    }

    /// What all brokers of the topic find. Their index compares hashes, so the caller looks at the keys again.
    async fn query(&self, header: &QueryMessageHeader<'_>) -> Result<Vec<Received>, Error> {
        let mut all = Vec::new();
        for address in self.masters_of(header.topic).await? {
            let answer = self.at::<QueryMessage>(&address, header).await;
            let Some(answer) = unless(answer, &[code::QUERY_NOT_FOUND])? else { continue };
            let found = Received::decode_all("", &answer.frame.body);
            all.extend(found.map_err(|error| unreadable::<QueryMessage>(&address, error))?);
        }
        all.sort_by_key(|message| message.stored_ms);
        Ok(all)
    }
}
