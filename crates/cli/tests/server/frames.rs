//! What no client should send.

use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use protocol::frame::FLAG_ONEWAY;
use protocol::{Encoding, Fields, Frame, code};
use rand::RngExt;
use rand::rngs::SmallRng;
use testkit::{Batch, DEADLINE, Message, Pull, Seed, Sent, Wire, eventually, send_frame};
use tokio::io::AsyncReadExt as _;

use crate::{is_well, rocketmq};

/// A frame of which every part can be wrong.
fn raw(length: i32, mark: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_i32(length);
    bytes.put_u32(mark);
    bytes.put_slice(rest);
    bytes.to_vec()
}

fn json(header: &[u8]) -> Vec<u8> {
    raw(4 + header.len() as i32, header.len() as u32, header)
}

#[tokio::test]
async fn frames_that_make_no_sense_end_their_connection_only() {
    let server = rocketmq().start();
    let mib = 1 << 20;
    let huge = format!(r#"{{"code":105,"opaque":1,"extFields":{{"x":"{}"}}}}"#, "y".repeat(5 * mib));
    let cases: &[(&str, Vec<u8>)] = &[
        ("negative length", raw(-1, 0, b"")),
        ("smallest length", raw(i32::MIN, 0, b"")),
        ("a length without a header", raw(0, 0, b"")),
        ("length 3", raw(3, 0, b"")),
        ("over 16 MiB", raw(16 * mib as i32, 0, b"")),
        ("largest length", raw(i32::MAX, 0, b"")),
        ("header longer than the frame", raw(20, 17, b"0123456789abcdef")),
        ("header length over the limit", json(huge.as_bytes())),
        ("largest header length", raw(15 * mib as i32, 0x00FF_FFFF, b"")),
        ("unknown encoding", raw(20, (7 << 24) | 16, b"0123456789abcdef")),
        ("encoding 255", raw(20, (255 << 24) | 16, b"0123456789abcdef")),
        ("no JSON", json(b"hello, world")),
        ("half of JSON", json(br#"{"code":105,"opaque":1,"extFields":{"#)),
        ("JSON of another shape", json(b"[1,2,3]")),
        ("empty header", json(b"")),
        ("invalid UTF-8", json(b"{\"code\":105,\"opaque\":1,\"extFields\":{\"topic\":\"\xff\xfe\"}}")),
        ("deep JSON", json(format!(r#"{{"x":{}"#, "[".repeat(100_000)).as_bytes())),
        ("a binary header cut short", raw(14, (1 << 24) | 10, b"0123456789")),
        ("a binary header of lies", raw(29, (1 << 24) | 25, &[0xFF; 25])),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ];
    for address in [server.address(), server.fast_address(), server.name_server()] {
        for (what, bytes) in cases {
            let mut wire = Wire::connect(address).await;
            wire.write(bytes).await;
            // It has to end by itself: this side neither closes nor sends more.
            let answer = wire.read().await;
            assert!(answer.is_none(), "{what}: answered {answer:?}");
        }
    }
    is_well(&server).await;
}

#[tokio::test]
async fn requests_that_make_no_sense_are_answered() {
    let server = rocketmq().start();
    let mut wire = Wire::connect(server.address()).await;
    let mut numbers = 1..;
    let mut check = async |frame: Frame, expected: i32, remark: &str| {
        let number = numbers.next().expect("there are more numbers");
        wire.send(&frame, number).await;
        let answer = wire.read().await.expect("the connection lives");
        let said = answer.remark.clone().unwrap_or_default();
        assert_eq!((answer.opaque, answer.code), (number, expected), "{said}");
        assert!(said.contains(remark), "{said:?} does not say {remark:?}");
    };
    let request = |code: i32, pairs: &[(&str, &str)], body: &[u8]| {
        let mut fields = Fields::default();
        pairs.iter().for_each(|(name, value)| fields.push(name, value));
        Frame { code, fields, ..Frame::default() }.with_body(body.to_vec())
    };
    let unsupported = code::REQUEST_CODE_NOT_SUPPORTED.0;
    for unknown in [9999, -1, 0, i32::MAX, i32::MIN] {
        check(request(unknown, &[], b""), unsupported, "not supported").await;
    }
    check(request(10, &[], b"x"), code::SYSTEM_ERROR.0, "topic").await;
    check(request(310, &[("b", "T")], b"x"), code::SYSTEM_ERROR.0, "e").await;
    check(request(310, &[("b", "T"), ("e", "many")], b"x"), code::SYSTEM_ERROR.0, "many").await;
    check(request(11, &[("consumerGroup", "G")], b""), code::SYSTEM_ERROR.0, "topic").await;
    for (code, body) in
        [(34, &b"no json"[..]), (34, b"{"), (41, b"nope"), (42, b"\xff"), (18, b"{\"a\":"), (200, b"nope")]
    {
        check(request(code, &[], body), code::SYSTEM_ERROR.0, "").await;
    }
    let oversized = send_frame("T", 0, "", vec![b'x'; (4 << 20) + 1]);
    check(oversized, code::MESSAGE_ILLEGAL.0, "limit").await;
    check(send_frame("T", 0, "", b"".to_vec()), code::MESSAGE_ILLEGAL.0, "empty").await;
    check(send_frame("T", 0, &"x\u{1}y\u{2}".repeat(8200), "b"), code::MESSAGE_ILLEGAL.0, "32KB").await;
    for name in ["", "a b", "t\u{e9}st", "../up", "a\u{0}b", &"x".repeat(128)] {
        check(send_frame(name, 0, "", "b"), code::INVALID_PARAMETER.0, "topic").await;
    }
    check(send_frame("T", 1 << 20, "", "b"), code::INVALID_PARAMETER.0, "queueId").await;
    let mut bad_batch = Batch::default().with(&Message::new("b")).frame("T", 0);
    bad_batch.body = bad_batch.body.slice(..bad_batch.body.len() - 1);
    check(bad_batch, code::MESSAGE_ILLEGAL.0, "batch").await;
    is_well(&server).await;
}

#[tokio::test]
async fn both_encodings_are_answered_in_kind() {
    let server = rocketmq().start();
    let mut wire = Wire::connect(server.address()).await;
    for encoding in [Encoding::Json, Encoding::Binary] {
        wire.send(&Frame { encoding, ..send_frame("T", 0, "", "b") }, 7).await;
        let answer = wire.read().await.expect("an answer");
        assert_eq!((answer.code, answer.encoding, answer.opaque), (0, encoding, 7));
    }
}

#[tokio::test]
async fn a_frame_that_comes_byte_by_byte_is_answered() {
    let server = rocketmq().start();
    let mut wire = Wire::connect(server.address()).await;
    let mut bytes = BytesMut::new();
    send_frame("T", 0, "", "slow").encode(5, &mut bytes);
    for byte in bytes {
        wire.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(wire.read().await.map(|answer| (answer.code, answer.opaque)), Some((0, 5)));
}

#[tokio::test]
async fn a_frame_that_never_ends_costs_its_connection_only() {
    let server = rocketmq().start();
    let mut wires = Vec::new();
    for length in [4, 5, 100, 15 << 20] {
        let mut wire = Wire::connect(server.address()).await;
        wire.write(&raw(length, 0, b"")[..if length == 4 { 6 } else { 8 }]).await;
        wires.push(wire);
    }
    is_well(&server).await;
    for mut wire in wires {
        wire.finish().await;
        assert!(wire.read().await.is_none());
    }
}

#[tokio::test]
async fn a_client_that_sends_no_more_still_hears_its_answers() {
    let server = rocketmq().start();
    let mut wire = Wire::connect(server.address()).await;
    for number in 0..100 {
        wire.send(&send_frame("T", 0, "", vec![b'x'; 1000]), number).await;
    }
    wire.finish().await;
    for number in 0..100 {
        let answer = wire.read().await.expect("every request is answered");
        assert_eq!((answer.code, answer.opaque), (0, number));
    }
    assert!(wire.read().await.is_none());
}

#[tokio::test]
async fn what_one_connection_sends_is_stored_in_its_order() {
    let server = rocketmq().start();
    let mut wire = Wire::connect(server.address()).await;
    let mut bytes = BytesMut::new();
    for number in 0..2000 {
        send_frame("T", 0, "", number.to_string()).encode(number, &mut bytes);
        if number % 7 == 0 {
            Frame { code: 9999, ..Frame::default() }.encode(100_000 + number, &mut bytes);
        }
    }
    wire.write(&bytes).await;
    let mut offsets = Vec::new();
    let mut others = 0;
    while offsets.len() < 2000 || others < 286 {
        let answer = wire.read().await.expect("every request is answered");
        match answer.opaque {
            100_000.. => others += 1,
            _ => offsets.push((answer.opaque, Sent::from_answer(&answer).expect("it is stored").offset)),
        }
    }
    let expected: Vec<_> = (0..2000).map(|number| (number, i64::from(number))).collect();
    assert_eq!(offsets, expected, "answers to sends come in their order, each with its own offset");
    let stored = server.client().await.read("T", 0, 0).await;
    assert!(stored.iter().enumerate().all(|(at, message)| message.text() == at.to_string()));
}

#[tokio::test]
async fn a_oneway_request_is_carried_out_and_not_answered() {
    let server = rocketmq().start();
    let mut wire = Wire::connect(server.address()).await;
    let oneway = |frame: Frame| Frame { flag: FLAG_ONEWAY, ..frame };
    wire.send(&oneway(send_frame("T", 0, "", "quiet")), 1).await;
    wire.send(&oneway(Frame { code: 9999, ..Frame::default() }), 2).await;
    wire.send(&oneway(send_frame("not legal", 0, "", "quiet")), 3).await;
    wire.send(&send_frame("T", 0, "", "loud"), 4).await;
    let answer = wire.read().await.expect("the last one wants an answer");
    assert_eq!((answer.opaque, Sent::from_answer(&answer).expect("it is stored").offset), (4, 1));
    assert_eq!(server.client().await.read("T", 0, 0).await[0].text(), "quiet");
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_ignored() {
    let server = rocketmq().start();
    let mut wire = Wire::connect(server.address()).await;
    wire.send(&Frame { code: 0, flag: protocol::frame::FLAG_RESPONSE, ..Frame::default() }, 77).await;
    wire.send(&send_frame("T", 0, "", "b"), 1).await;
    assert_eq!(wire.read().await.map(|answer| answer.opaque), Some(1));
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_costs_little() {
    let server = rocketmq().start();
    let client = server.client().await;
    for _ in 0..8 {
        client.send("T", 0, &Message::new(vec![b'x'; 200_000])).await.expect("it is stored");
    }
    let what = "all are visible";
    eventually(what, async || (client.range("T", 0).await.1 == 8).then_some(())).await;
    is_well(&server).await;
    let before = server.resident_bytes();
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut wire = Wire::connect(server.address()).await;
        let mut bytes = BytesMut::new();
        // Over a megabyte each: together far more than the machine has.
        for number in 0..100_000 {
            Pull::from("T", 0, 0).frame().encode(number, &mut bytes);
        }
        silent.push(tokio::spawn(async move {
            // Ends when the server takes no more; the socket stays open and unread.
            let _ = tokio::time::timeout(Duration::from_secs(2), wire.write(&bytes)).await;
            wire
        }));
    }
    let mut wires = Vec::new();
    for wire in silent {
        wires.push(wire.await.expect("writing does not panic"));
    }
    let grown = server.resident_bytes().saturating_sub(before);
    println!("8 clients that never read cost {} KiB", grown >> 10);
    assert!(grown < 64 << 20, "{grown} bytes");
    let begin = Instant::now();
    is_well(&server).await;
    assert!(begin.elapsed() < DEADLINE / 3, "others are served in the meantime");
    drop(wires);
}

/// Flips, cuts, doubles and invents bytes.
fn spoil(rng: &mut SmallRng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..bytes.len().max(1));
        match rng.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), rng.random()),
            2 if !bytes.is_empty() => bytes[at] = rng.random(),
            3 if !bytes.is_empty() => bytes[at] ^= 1 << rng.random_range(0..8),
            4 => {
                let piece = bytes[at.min(bytes.len())..].to_vec();
                bytes.extend_from_slice(&piece);
            }
            _ if !bytes.is_empty() => {
                // A digit somewhere: numbers of another size, codes of other requests.
                let digits: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
                if !digits.is_empty() {
                    bytes[digits[rng.random_range(0..digits.len())]] = rng.random_range(b'0'..=b'9');
                }
            }
            _ => {}
        }
    }
}

/// The content types of TLS records (RFC 8446, 5.1) that tell TLS from frames and an alert from an answer.
const TLS_HANDSHAKE: u8 = 22;
const TLS_ALERT: u8 = 21;

#[tokio::test]
async fn random_bytes_do_no_harm() {
    let seed = Seed::take("random_bytes_do_no_harm");
    let mut rng = seed.stream(0);
    let server = rocketmq().start();
    let requests: Vec<i32> = protocol::request::table().into_iter().map(|(code, _)| code).collect();
    let samples = |rng: &mut SmallRng| -> Frame {
        match rng.random_range(0..5) {
            0 => Message::new("fuzz").tag("a").delay(1).frame("fuzz", 0),
            1 => Pull { wait: Some(Duration::from_millis(5)), ..Pull::from("fuzz", 0, 0) }.frame(),
            2 => Batch::default().with(&Message::new("1")).with(&Message::new("2")).frame("fuzz", 1),
            _ => {
                let code = requests[rng.random_range(0..requests.len())];
                let mut fields = Fields::default();
                for name in ["topic", "consumerGroup", "group", "queueId", "offset", "key", "brokerName", "timestamp"] {
                    let value = ["fuzz", "0", "-1", "9223372036854775807", "", "%RETRY%g", "true"];
                    fields.push(name, value[rng.random_range(0..value.len())]);
                }
                Frame { code, fields, ..Frame::default() }.with_body("{\"topicConfigTable\":{},\"a\":[1]}")
            }
        }
    };
    let rounds = std::env::var("FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(400);
    for round in 0..rounds {
        let address = if round % 4 == 0 { server.name_server() } else { server.address() };
        let mut wire = Wire::connect(address).await;
        let mut bytes = BytesMut::new();
        for number in 0..rng.random_range(1..4) {
            let encoding = if rng.random() { Encoding::Json } else { Encoding::Binary };
            Frame { encoding, ..samples(&mut rng) }.encode(number, &mut bytes);
        }
        let mut bytes = bytes.to_vec();
        match rng.random_range(0..4) {
            0 => {}
            1 => bytes = (0..rng.random_range(0..200)).map(|_| rng.random()).collect(),
            _ => spoil(&mut rng, &mut bytes),
        }
        if round % 16 == 0 {
            bytes.insert(0, TLS_HANDSHAKE);
        }
        wire.write(&bytes).await;
        wire.finish().await;
        if bytes.first() == Some(&TLS_HANDSHAKE) {
            let mut answer = Vec::new();
            let ended = tokio::time::timeout(DEADLINE, wire.into_stream().read_to_end(&mut answer)).await;
            ended.expect("it ends in time").ok();
            assert!(answer.first().is_none_or(|first| *first == TLS_ALERT), "{answer:?} to {bytes:?}");
        } else {
            while wire.read().await.is_some() {}
        }
    }
    is_well(&server).await;
    // Whatever was stored by chance can be read at the next start.
    let server = server.kill().start();
    is_well(&server).await;
}
