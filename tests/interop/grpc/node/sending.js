// What is accepted and what is refused.
'use strict';

const { randomBytes } = require('node:crypto');
const { assert, message, receive, refused, same } = require('./env.js');

const BODY_BYTES_MAX = 4 << 20;
// gRPC for Node takes frames of 4 MiB at most, message and all.
const BODY_BYTES_BACK = BODY_BYTES_MAX - (16 << 10);
const ILLEGAL_TOPIC = 40002, ILLEGAL_PROPERTY_KEY = 40007, TYPE_CONFLICT = 40014, TOPIC_NOT_FOUND = 40402;
const PROPERTIES_TOO_LARGE = 43101;

async function asyncSend(env) {
  const topic = await env.topic('async');
  const producer = await env.producer(topic);
  const bodies = Array.from({ length: 300 }, (_, i) => `m${i}`);
  const receipts = await Promise.all(bodies.map(b => producer.send(message(topic, b))));
  const stored = await env.stored(topic, 300);
  same(bodies.sort(), stored.map(m => m.body).sort(), 'stored');
  same(receipts.map(r => r.messageId).sort(), stored.map(m => m.properties.UNIQ_KEY).sort(), 'ids stored');
}

async function largeBody(env) {
  const topic = await env.topic('large');
  const producer = await env.producer(topic);
  const body = randomBytes(BODY_BYTES_BACK);
  await producer.send(message(topic, body));
  const consumer = await env.simple(await env.group('large'), topic);
  const [got] = await receive(consumer, 1, 30_000);
  assert(body.equals(got.body), 'the body came back changed');
  await consumer.ack(got);
  const largest = await env.topic('largest');
  await producer.send(message(largest, 'x'.repeat(BODY_BYTES_MAX)));
  same(BODY_BYTES_MAX, (await env.stored(largest, 1))[0].body.length, 'length of the largest body');
}

async function oversized(env) {
  const topic = await env.topic('oversized');
  const producer = await env.producer(topic);
  await refused('a body of 4 MiB and a byte', () => producer.send(message(topic, 'x'.repeat(BODY_BYTES_MAX + 1))));
  const properties = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`p${i}`, 'v'.repeat(1024)]));
  await refused('17 KiB of properties', () => producer.send(message(topic, 'p', { properties })), PROPERTIES_TOO_LARGE);
  await refused('a reserved property', () => producer.send(message(topic, 'r', { properties: { KEYS: 'v' } })),
    ILLEGAL_PROPERTY_KEY);
  await producer.send(message(topic, 'fits'));
  same(['fits'], (await env.stored(topic, 1)).map(m => m.body), 'stored');
}

async function illegalTopic(env) {
  const topic = await env.topic('legal');
  // A producer each: the settings of one name all its topics, and the server ends the stream of such settings.
  for (const [what, name, code] of [['a topic that nobody made', env.unique('nobody'), TOPIC_NOT_FOUND],
    ['a system topic', 'SCHEDULE_TOPIC_XXXX', ILLEGAL_TOPIC], ['a long topic name', 't'.repeat(128), ILLEGAL_TOPIC],
    ['not a name', 'not a topic!', ILLEGAL_TOPIC]]) {
    const producer = await env.producer(topic);
    await refused(what, () => producer.send(message(name, 'm')), code);
  }
  await (await env.producer(topic)).send(message(topic, 'm'));
  same(1, (await env.stored(topic, 1)).length, 'messages stored');
}

async function wrongType(env) {
  const topic = await env.topic('type', 'NORMAL', 1);
  const producer = await env.producer(topic);
  await refused('a message group in a normal topic', () => producer.send(message(topic, 'fifo', { messageGroup: 'g' })));
  await refused('a delay in a normal topic', () => producer.send(message(topic, 'delay', { delay: 5000 })));
  await producer.send(message(topic, 'normal'));
  // The producer keeps the old route for a while, so the server has to notice.
  await env.ask('topic', { name: topic, type: 'FIFO', queues: 1 });
  await refused('a normal message in a FIFO topic', () => producer.send(message(topic, 'late')), TYPE_CONFLICT);
  same(['normal'], (await env.stored(topic, 1)).map(m => m.body), 'stored');
}

exports.scenarios = {
  'async-send': { run: asyncSend },
  'large-body': { run: largeBody },
  'oversized-refused': { run: oversized },
  'illegal-topic': { run: illegalTopic },
  'wrong-message-type': { run: wrongType },
};
