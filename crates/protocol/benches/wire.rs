//! What the wire costs for each send: its header, its receipt. `cargo bench -p protocol`

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::hint::black_box;

use bytes::{BufMut, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use protocol::receipt_template::{ReceiptTemplate, ReceiptValues};
use protocol::request::SendMessageV2Header;
use protocol::{Encoding, Frame, properties};

/// As Java 5.x sends a message of 1 KiB.
const HEADER: &str = r#"{"code":310,"extFields":{"a":"producers","b":"orders","c":"TBW102","d":"4","e":"3","f":"0","g":"1795340067708","h":"0","i":"UNIQ_KEY\u00017F000001000012345678000000000001\u0002WAIT\u0001true\u0002","j":"0","k":"false","m":"false","n":"broker-a"},"flag":0,"language":"JAVA","opaque":12345,"serializeTypeCurrentRPC":"JSON","version":479}"#;
const FRAMES: usize = 50;

/// The same with white space, which the tolerant reader is for.
fn spaced() -> String {
    HEADER.replace(",\"", ", \"")
}

fn json(header: &str) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_u32(4 + header.len() as u32 + 1024);
    out.put_u32(header.len() as u32);
    out.put_slice(header.as_bytes());
    out.put_bytes(b'x', 1024);
    out.to_vec()
}

fn binary() -> Vec<u8> {
    let mut frame = Frame::decode(&mut BytesMut::from(&json(HEADER)[..])).unwrap().unwrap();
    frame.encoding = Encoding::Binary;
    let mut out = BytesMut::new();
    frame.encode(frame.opaque, &mut out);
    out.to_vec()
}

fn header_decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header_decode");
    group.throughput(Throughput::Elements(FRAMES as u64));
    for (name, frame) in [("json", json(HEADER)), ("json_unusual", json(&spaced())), ("binary", binary())] {
        let batch = frame.repeat(FRAMES);
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let mut buffer = BytesMut::from(&batch[..]);
                while let Some(frame) = Frame::decode(&mut buffer).unwrap() {
                    black_box(frame.header::<SendMessageV2Header<'_>>().unwrap());
                }
            });
        });
    }
}

fn receipt(criterion: &mut Criterion) {
    let template = ReceiptTemplate::new("DefaultRegion", true);
    let mut out = BytesMut::with_capacity(1 << 16);
    let mut receipt = ReceiptValues {
        opaque: 12345,
        store_host: "127.0.0.1:10911".parse().unwrap(),
        log_offset: 1 << 30,
        queue_id: 3,
        queue_offset: 1_000_000,
        unique_key: "7F000001000012345678000000000001",
    };
    criterion.bench_function("receipt", |bench| {
        bench.iter(|| {
            out.clear();
            receipt.opaque += 1;
            black_box(template.encode(black_box(&receipt), &mut out))
        });
    });
}

fn properties_read(criterion: &mut Criterion) {
    let mut text = String::new();
    for (name, value) in
        [("UNIQ_KEY", "7F000001000012345678000000000001"), ("WAIT", "true"), ("TAGS", "a"), ("KEYS", "k")]
    {
        properties::push(&mut text, name, value);
    }
    criterion.bench_function("properties", |bench| {
        bench.iter(|| properties::iter(black_box(&text)).map(|(name, value)| name.len() + value.len()).sum::<usize>());
    });
}

criterion_group!(benches, header_decode, receipt, properties_read);
criterion_main!(benches);
