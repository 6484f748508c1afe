//! Messages between this client and remoting, both ways.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;

use crate::env::{build, message, same, send, strings, text, Env};
use crate::{together, Scenario};

const ODD: &str = "a b=c;значение";

pub fn scenarios() -> Vec<Scenario> {
    vec![together("from-remoting", from_remoting), together("to-remoting", to_remoting)]
}

async fn from_remoting(env: Arc<Env>) {
    let topic = env.topic("from-remoting", "NORMAL", 4).await;
    let bodies = strings(&["short äöü", "another"]);
    for body in &bodies {
        let properties = json!({"TAGS": "tag", "KEYS": "k1 k2", "UNIQ_KEY": format!("id of {body}"), "text": ODD});
        env.ask(json!({"do": "send", "topic": topic, "body": body, "properties": properties})).await;
    }
    let consumer = env.consumer(&env.group("from-remoting", false).await, &topic).await;
    for m in consumer.consume_exactly(&bodies).await {
        same(format!("id of {}", text(&m)).as_str(), m.message_id(), "message id");
        same(
            (Some("tag"), ODD, 1),
            (m.tag(), m.properties()["text"].as_str(), m.delivery_attempt()),
            "tag, property, attempt",
        );
        same(&strings(&["k1", "k2"])[..], m.keys(), "keys");
    }
}

async fn to_remoting(env: Arc<Env>) {
    let topic = env.topic("to-remoting", "NORMAL", 4).await;
    let producer = env.producer(&topic).await;
    let mut ids = HashMap::new();
    for body in ["short äöü".to_owned(), "long".repeat(3000)] {
        let m = message(&topic, &body)
            .set_tag("tag")
            .set_keys(vec!["k1", "k2"])
            .set_properties(HashMap::from([("text", ODD)]));
        ids.insert(body, send(&producer, build(m)).await.message_id().to_owned());
    }
    let stored = env.stored(&topic, 2).await;
    same(2, stored.len(), "messages stored");
    for m in stored {
        let property = |key: &str| m.properties.get(key).cloned().unwrap_or_default();
        same(ids[&m.body].clone(), property("UNIQ_KEY"), "message id");
        same(
            strings(&["tag", "k1 k2", ODD]),
            ["TAGS", "KEYS", "text"].map(property).to_vec(),
            "tag, keys and property",
        );
    }
}
