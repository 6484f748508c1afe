//! Timers and half messages at random, and what the outside world may believe of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use broker::{Broker, EndTransaction};
use protocol::{name, properties as p};
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::help::*;

/// What the outside world may believe of a message.
#[derive(Debug, Default, Clone)]
pub(crate) struct Message {
    /// Its producer heard that it is stored.
    acknowledged: bool,
    /// Timers: when it is due.
    pub(crate) due_ms: i64,
    handle: Option<String>,
    recall_asked: bool,
    recalled: bool,
    /// Halves: queue offset and log offset.
    half: Option<(i64, i64)>,
    /// Decisions asked for, and the first that was acknowledged.
    commit_asked: bool,
    rollback_asked: bool,
    decided: Option<bool>,
    /// The answer to a check.
    answer: Option<bool>,
}

pub(crate) type Model = RefCell<BTreeMap<String, Message>>;

async fn wait(broker: &Broker, end: store::LogOffset) {
    broker.store().acknowledged().wait(end).await.unwrap();
}

async fn decide(broker: &Broker, model: &Model, body: &str, commit: bool, from_check: bool, patient: bool) {
    let (queue_offset, log_offset) = {
        let mut model = model.borrow_mut();
        let message = model.get_mut(body).unwrap();
        if commit {
            message.commit_asked = true
        } else {
            message.rollback_asked = true
        }
        message.half.unwrap()
    };
    let end = EndTransaction { producer_group: "G", queue_offset, log_offset, commit, from_check };
    match broker.end_transaction(&end).await {
        Ok(ended) if patient => {
            wait(broker, ended.end).await;
            let before = model.borrow_mut().get_mut(body).unwrap().decided.replace(commit);
            assert_eq!(before, None, "{body} was decided twice");
        }
        Ok(_) | Err(broker::Error::NotFound(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Asks for something that the next line may crash away, if it is not patient.
pub(crate) async fn step(broker: &Broker, model: &Model, random: &mut SmallRng, number: usize) {
    let patient = random.random_bool(0.8);
    let pick = |model: &Model, random: &mut SmallRng, wanted: fn(&Message) -> bool| {
        let model = model.borrow();
        let all: Vec<_> = model.iter().filter(|(_, message)| wanted(message)).map(|(body, _)| body.clone()).collect();
        (!all.is_empty()).then(|| all[random.random_range(0..all.len())].clone())
    };
    match random.random_range(0..10) {
        0..4 => {
            let body = format!("timer{number}");
            let due_ms = broker.now_ms() + random.random_range(1..20_000);
            let at = due_ms.to_string();
            let text = properties(&[(p::TIMER_DELIVER_MS, &at), (p::UNIQUE_KEY, &body)]);
            model.borrow_mut().insert(body.clone(), Message { due_ms, ..Message::default() });
            let receipt = broker.send(&message("T", &text, &body)).unwrap();
            model.borrow_mut().get_mut(&body).unwrap().handle = receipt.recall_handle.clone();
            if patient {
                wait(broker, receipt.appended.end).await;
                model.borrow_mut().get_mut(&body).unwrap().acknowledged = true;
            }
        }
        4 => {
            let Some(body) = pick(model, random, |message| message.handle.is_some()) else { return };
            let handle = model.borrow()[&body].handle.clone().unwrap();
            let host = "10.0.0.1:1".parse().unwrap();
            // Refused when it is too late.
            let Ok(recalled) = broker.recall("T", &handle, host, host) else { return };
            let Some(appended) = recalled.appended else { return };
            model.borrow_mut().get_mut(&body).unwrap().recall_asked = true;
            if patient {
                wait(broker, appended.end).await;
                model.borrow_mut().get_mut(&body).unwrap().recalled = true;
            }
        }
        5..8 => {
            let body = format!("half{number}");
            let pairs = [(p::TRANSACTION_PREPARED, "true"), (p::PRODUCER_GROUP, "G"), (p::UNIQUE_KEY, &body)];
            let answer = [Some(true), Some(false), None][random.random_range(0..3)];
            model.borrow_mut().insert(body.clone(), Message { answer, ..Message::default() });
            let receipt = broker.send(&message("T", &properties(&pairs), &body)).unwrap();
            if patient {
                wait(broker, receipt.appended.end).await;
                let place = (receipt.appended.queue_offset.0 as i64, receipt.appended.log_offset.0 as i64);
                let mut model = model.borrow_mut();
                let message = model.get_mut(&body).unwrap();
                (message.acknowledged, message.half) = (true, Some(place));
            }
        }
        _ => {
            let Some(body) = pick(model, random, |message| message.half.is_some()) else { return };
            let commit = random.random_bool(0.5);
            if random.random_bool(0.3) {
                // Two at once, one of them wins.
                let both = (
                    decide(broker, model, &body, commit, false, true),
                    decide(broker, model, &body, !commit, true, true),
                );
                tokio::join!(both.0, both.1);
            } else {
                decide(broker, model, &body, commit, false, patient).await;
            }
        }
    }
}

/// The producer's side: answers what it knows an answer to.
async fn answer_checks(broker: &Broker, model: &Model) {
    loop {
        for check in broker.due_checks().await {
            let answer = model.borrow().get(&check.unique_key).and_then(|message| message.answer);
            let place = (check.queue_offset as i64, check.log_offset as i64);
            // A half whose send was never acknowledged may exist all the same.
            model.borrow_mut().get_mut(&check.unique_key).unwrap().half = Some(place);
            if let Some(commit) = answer {
                decide(broker, model, &check.unique_key, commit, true, true).await;
            }
        }
    }
}

pub(crate) async fn live(broker: &Arc<Broker>, model: &Model, work: impl Future<Output = ()>) {
    heartbeat(broker, 1, "G");
    tokio::select! {
        () = work => {}
        () = answer_checks(broker, model) => {}
    }
}

/// Compares what was delivered in the end. `is_other` tells of messages that are not of this model.
pub(crate) async fn check(
    broker: &Broker,
    model: &BTreeMap<String, Message>,
    crashes: usize,
    is_other: impl Fn(&str) -> bool,
) {
    let mut times: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for found in consume(broker, "T").await {
        times.entry(found.body).or_default().push(found.stored_ms);
    }
    let aside = bodies(broker, name::CHECK_MAX_TIME_TOPIC).await;
    assert!(times.keys().all(|body| model.contains_key(body) || is_other(body)));
    for (body, message) in model {
        let delivered = times.get(body).map_or(&[][..], Vec::as_slice);
        let context = format!("{body}: {message:?}, delivered at {delivered:?}");
        assert!(delivered.iter().all(|at| *at >= message.due_ms), "early: {context}");
        if body.starts_with("timer") {
            assert!(delivered.len() <= 1 + crashes, "too often: {context}");
            assert!(delivered.len() <= 1 || crashes > 0, "twice without a crash: {context}");
            assert!(!message.acknowledged || message.recall_asked || !delivered.is_empty(), "lost: {context}");
            assert!(!message.recalled || delivered.is_empty(), "recalled: {context}");
        } else {
            let set_aside = aside.iter().filter(|aside| *aside == body).count();
            assert!(delivered.len() + set_aside <= 1, "decided twice: {context}");
            assert!(delivered.is_empty() || message.commit_asked, "never committed: {context}");
            match message.decided {
                Some(commit) => assert_eq!((delivered.len(), set_aside), (usize::from(commit), 0), "{context}"),
                None if message.acknowledged && !message.rollback_asked => {
                    assert_eq!(delivered.len() + set_aside, 1, "lost: {context}");
                }
                None => {}
            }
        }
    }
}
