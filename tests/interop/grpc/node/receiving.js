// The simple consumer.
'use strict';

const { FilterExpression } = require('rocketmq-client-nodejs');
const { FilterType } = require('rocketmq-client-nodejs/proto/apache/rocketmq/v2/definition_pb');
const { Collector, LONG_MS, SHORT_MS, assert, eventually, message, receive, receiveOnce, receiveText, same, sleep, text,
  texts } = require('./env.js');

const COLORS = ['red', 'green', 'blue'];

async function sendColors(producer, topic, count) {
  const bodies = [];
  for (let i = 0; i < count; i++) {
    for (const color of COLORS) {
      bodies.push(`${color}${i}`);
      await producer.send(message(topic, `${color}${i}`, { messageGroup: color }));
    }
  }
  return bodies;
}

async function simpleConsumer(env) {
  const [topic, group] = [await env.topic('simple'), await env.group('simple')];
  const producer = await env.producer(topic);
  const before = Date.now();
  const sent = new Map();
  for (let i = 0; i < 12; i++) {
    const body = `m${i} äöü 消息`;
    const { messageId } = await producer.send(message(topic, body, { tag: `t${i % 3}`, keys: [`k${i}`, 'all'],
      properties: { n: `${i}`, text: 'a b=c;значение' } }));
    sent.set(messageId, body);
  }
  const after = Date.now();
  const consumer = await env.simple(group, topic);
  const received = Date.now();
  for (const m of await receive(consumer, 12, SHORT_MS)) {
    same(sent.get(m.messageId), text(m), 'body by message id');
    sent.delete(m.messageId);
    const n = Number(m.properties.get('n'));
    same(`m${n} äöü 消息`, text(m), 'body by property');
    same([topic, `t${n % 3}`, [`k${n}`, 'all'], 'a b=c;значение', 2, 1],
      [m.topic, m.tag, m.keys, m.properties.get('text'), m.properties.size, m.deliveryAttempt],
      'topic, tag, keys, properties and attempt');
    assert(m.bornTimestamp >= before && m.bornTimestamp <= after, `born at ${m.bornTimestamp}`);
    await consumer.ack(m);
  }
  await env.awaitCommitted(topic, group, 12);
  await sleep(Math.max(0, received + SHORT_MS + 1000 - Date.now()));
  same([], texts(await receiveOnce(consumer, 32, SHORT_MS)), 'received after the acknowledgement');
}

async function redelivery(env) {
  const topic = await env.topic('again', 'NORMAL', 1);
  const producer = await env.producer(topic);
  for (const body of ['a', 'b', 'c']) {
    await producer.send(message(topic, body, { tag: 't', keys: [`k-${body}`], properties: { p: body } }));
  }
  const consumer = await env.simple(await env.group('again'), topic);
  const asked = Date.now();
  const ids = new Map();
  for (const m of await receive(consumer, 3, SHORT_MS)) {
    ids.set(text(m), m.messageId);
    if (text(m) === 'b') {
      await consumer.ack(m);
    }
  }
  for (const attempt of [2, 3]) {
    const again = await receive(consumer, 2, SHORT_MS);
    const waited = Date.now() - asked;
    assert(waited >= (attempt - 1) * SHORT_MS, `came back after ${waited} ms`);
    same(['a', 'c'], texts(again).sort(), 'came back');
    for (const m of again) {
      same([attempt, ids.get(text(m)), topic, 't', [`k-${text(m)}`], text(m)],
        [m.deliveryAttempt, m.messageId, m.topic, m.tag, m.keys, m.properties.get('p')], 'the same message');
      if (attempt === 3) {
        await consumer.ack(m);
      }
    }
  }
}

async function shorter(env) {
  const topic = await env.topic('shorter', 'NORMAL', 1);
  await (await env.producer(topic)).send(message(topic, 'm'));
  const consumer = await env.simple(await env.group('shorter'), topic);
  const [m] = await receive(consumer, 1, LONG_MS);
  const changed = Date.now();
  await consumer.changeInvisibleDuration(m, 3000);
  const [again] = await receive(consumer, 1, LONG_MS);
  assert(Date.now() - changed >= 3000, `came back after ${Date.now() - changed} ms`);
  same(['m', 2], [text(again), again.deliveryAttempt], 'body and delivery attempt');
  await consumer.ack(again);
}

async function longer(env) {
  const topic = await env.topic('longer', 'NORMAL', 1);
  const producer = await env.producer(topic);
  const consumer = await env.simple(await env.group('longer'), topic);
  // The acknowledgement needs the handle that the change gave.
  await producer.send(message(topic, 'acked'));
  const [acked] = await receive(consumer, 1, SHORT_MS);
  await consumer.changeInvisibleDuration(acked, 15_000);
  await consumer.ack(acked);
  await producer.send(message(topic, 'kept'));
  const [kept] = await receive(consumer, 1, SHORT_MS);
  const changed = Date.now();
  await consumer.changeInvisibleDuration(kept, 18_000);
  const [again] = await receive(consumer, 1, LONG_MS);
  assert(Date.now() - changed >= 17_500, `came back after ${Date.now() - changed} ms`);
  same(['kept', 2], [text(again), again.deliveryAttempt], 'body and delivery attempt');
  await consumer.ack(again);
}

async function fifoOrder(env) {
  const [topic, group] = [await env.topic('fifo', 'FIFO'), await env.group('fifo', true)];
  const wanted = await sendColors(await env.producer(topic), topic, 8);
  const consumer = await env.simple(group, topic);
  const got = [];
  await eventually('all in order', async () => {
    for (const m of await receiveOnce(consumer, 5, LONG_MS)) {
      got.push([m.messageGroup, text(m)]);
      await consumer.ack(m);
    }
    return got.length >= wanted.length;
  });
  for (const color of COLORS) {
    same(wanted.filter(b => b.startsWith(color)), got.filter(g => g[0] === color).map(g => g[1]), `group ${color}`);
  }
}

// Nothing of a message group is delivered while an earlier message is neither acknowledged nor due again.
async function fifoBlocking(env) {
  const [topic, group] = [await env.topic('blocking', 'FIFO'), await env.group('blocking', true)];
  const producer = await env.producer(topic);
  for (let i = 0; i < 3; i++) {
    await producer.send(message(topic, `m${i}`, { messageGroup: 'one' }));
  }
  const consumer = await env.simple(group, topic);
  const first = await receiveText(consumer, LONG_MS);
  same('m0', text(first), 'first');
  same([], texts(await receiveOnce(consumer, 1, LONG_MS)), 'received while m0 is held');
  await consumer.ack(first);

  const asked = Date.now();
  same('m1', text(await receiveText(consumer, SHORT_MS)), 'second');
  // Not acknowledged: it comes again, before the third.
  const again = await receiveText(consumer, LONG_MS);
  assert(Date.now() - asked >= SHORT_MS, `came back after ${Date.now() - asked} ms`);
  same(['m1', 2], [text(again), again.deliveryAttempt], 'after the invisible time');
  await consumer.ack(again);
  const third = await receiveText(consumer, LONG_MS);
  same('m2', text(third), 'third');
  await consumer.ack(third);
  await env.awaitCommitted(topic, group, 3);
}

async function tagFilter(env) {
  const topic = await env.topic('tags');
  const producer = await env.producer(topic);
  const wanted = [];
  for (let i = 0; i < 20; i++) {
    const tag = [...COLORS, undefined][i % 4];
    await producer.send(message(topic, `${tag}${i}`, { tag }));
    if (tag === 'red' || tag === 'blue') {
      wanted.push(`${tag}${i}`);
    }
  }
  const consumer = await env.simple(await env.group('tags'), topic, new FilterExpression('red || blue'));
  same(wanted.sort(), texts(await receive(consumer, wanted.length, LONG_MS)).sort(), 'received');
  same([], texts(await receiveOnce(consumer, 32, LONG_MS)), 'received beyond these');
}

async function sqlFilter(env) {
  const topic = await env.topic('sql');
  const consumer = await env.simple(await env.group('sql'), topic, new FilterExpression(
    "n BETWEEN 3 AND 12 AND (color = 'red' OR color IS NULL) AND TAGS = 't'", FilterType.SQL));
  const producer = await env.producer(topic);
  const wanted = [];
  for (let i = 0; i < 20; i++) {
    const color = [{ color: 'red' }, { color: 'blue' }, {}][i % 3];
    await producer.send(message(topic, `m${i}`, { tag: 't', properties: { n: `${i}`, ...color } }));
    if (i >= 3 && i <= 12 && color.color !== 'blue') {
      wanted.push(`m${i}`);
    }
  }
  same(wanted.sort(), texts(await receive(consumer, wanted.length, LONG_MS)).sort(), 'received');
  same([], texts(await receiveOnce(consumer, 32, LONG_MS)), 'received beyond these');
}

async function unknownGroup(env) {
  const topic = await env.topic('unknown');
  await (await env.producer(topic)).send(message(topic, 'm'));
  const consumer = await env.simple(env.unique('nobody-made'), topic);
  const [m] = await receive(consumer, 1, LONG_MS);
  same('m', text(m), 'received by the simple consumer');
  await consumer.ack(m);
  const got = new Collector();
  await env.push(env.unique('nobody-made'), topic, got);
  await got.awaitExactly(['m']);
}

exports.COLORS = COLORS;
exports.sendColors = sendColors;
exports.scenarios = {
  'simple-consumer': { run: simpleConsumer },
  'redelivery': { run: redelivery },
  'change-invisible-shorter': { run: shorter },
  'change-invisible-longer': { run: longer },
  'fifo-order': { run: fifoOrder },
  'fifo-blocking': { run: fifoBlocking },
  'tag-filter': { run: tagFilter },
  'sql-filter': { run: sqlFilter },
  // The library's startup waits for settings without end; this shows sooner that none come.
  'unknown-group': { run: unknownGroup, seconds: 45 },
};
