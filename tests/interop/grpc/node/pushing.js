// The push consumer.
'use strict';

const { FilterExpression } = require('rocketmq-client-nodejs');
const { FilterType } = require('rocketmq-client-nodejs/proto/apache/rocketmq/v2/definition_pb');
const { Collector, assert, eventually, message, same } = require('./env.js');
const { COLORS, sendColors } = require('./receiving.js');

async function pushConsumer(env) {
  const [topic, group] = [await env.topic('push'), await env.group('push')];
  const got = new Collector();
  await env.push(group, topic, got);
  const producer = await env.producer(topic);
  const bodies = Array.from({ length: 100 }, (_, i) => `m${i}`);
  for (let i = 0; i < 100; i++) {
    await producer.send(message(topic, bodies[i], { tag: `t${i % 3}`, keys: [`k${i}`], properties: { n: `${i}` } }));
  }
  await got.awaitExactly(bodies);
  for (const a of got.arrivals) {
    const n = Number(a.message.properties.get('n'));
    same([`m${n}`, `t${n % 3}`, [`k${n}`], 1], [a.text, a.message.tag, a.message.keys, a.attempt],
      'body, tag, keys and attempt');
  }
  await env.awaitCommitted(topic, group, 100);
}

async function retryAndDeadLetter(env) {
  const [topic, group] = [await env.topic('retry', 'NORMAL', 1), await env.group('retry', false, 2)];
  const got = new Collector(a => a.text === 'good' || (a.text === 'second' && a.attempt === 2));
  await env.push(group, topic, got);
  const producer = await env.producer(topic);
  const ids = {};
  for (const body of ['good', 'second', 'never']) {
    ids[body] = (await producer.send(message(topic, body, { tag: 't', properties: { p: body } }))).messageId;
  }
  // After two retries the message is given up.
  const dead = await env.stored(`%DLQ%${group}`, 1);
  same(['never'], dead.map(m => m.body), 'dead letters');
  const p = dead[0].properties;
  same(['never', 't', ids.never], [p.p, p.TAGS, p.UNIQ_KEY], 'properties of the dead letter');
  same([1], got.of('good').map(a => a.attempt), 'attempts of good');
  same([1, 2], got.of('second').map(a => a.attempt), 'attempts of second');
  const never = got.of('never');
  same([1, 2, 3], never.map(a => a.attempt), 'attempts of never');
  assert(never[1].at - never[0].at >= 1000, `first retry after ${never[1].at - never[0].at} ms`);
  for (const a of got.arrivals) {
    same([ids[a.text], topic, a.text], [a.message.messageId, a.message.topic, a.message.properties.get('p')],
      'the same message');
  }
}

// In order for each group.
async function pushFifo(env) {
  const [topic, group] = [await env.topic('push-fifo', 'FIFO'), await env.group('push-fifo', true, 2)];
  // The library forwards a refused message to the dead letters at once, without the retries of the settings.
  const got = new Collector(a => a.text !== 'red2');
  await env.push(group, topic, got);
  await got.awaitAll(await sendColors(await env.producer(topic), topic, 6));
  same(['red2'], (await env.stored(`%DLQ%${group}`, 1)).map(m => m.body), 'dead letters');
  for (const color of COLORS) {
    const seen = got.texts().filter(t => t.startsWith(color));
    same(Array.from({ length: 6 }, (_, i) => `${color}${i}`), [...new Set(seen)], `group ${color}`);
    assert(color === 'red' || seen.length === 6, `group ${color} has ${seen.length} messages`);
  }
}

async function pushFilters(env) {
  const topic = await env.topic('push-filters');
  const [byTag, bySql] = [new Collector(), new Collector()];
  await env.push(await env.group('by-tag'), topic, byTag, new FilterExpression('a || b'));
  await env.push(await env.group('by-sql'), topic, bySql, new FilterExpression('n >= 5 AND n < 8', FilterType.SQL));
  const producer = await env.producer(topic);
  for (let i = 0; i < 12; i++) {
    await producer.send(message(topic, `m${i}`, { tag: 'abc'[i % 3], properties: { n: `${i}` } }));
  }
  await byTag.awaitExactly(['m0', 'm1', 'm3', 'm4', 'm6', 'm7', 'm9', 'm10']);
  await bySql.awaitExactly(['m5', 'm6', 'm7']);
}

async function share(env) {
  const [topic, group] = [await env.topic('share'), await env.group('share')];
  const [first, second] = [new Collector(), new Collector()];
  await env.push(group, topic, first);
  await env.push(group, topic, second);
  const producer = await env.producer(topic);
  const bodies = [];
  await eventually('both consumed', async () => {
    // More until each has had some: which poll a message wakes is chance.
    for (let i = 0; i < 20; i++) {
      bodies.push(`m${bodies.length}`);
      await producer.send(message(topic, bodies.at(-1)));
    }
    return first.arrivals.length > 0 && second.arrivals.length > 0;
  });
  await eventually('all consumed', () => first.arrivals.length + second.arrivals.length >= bodies.length);
  same(bodies.sort(), [...first.texts(), ...second.texts()].sort(), 'consumed by both');
}

async function many(env) {
  const [topic, group] = [await env.topic('many'), await env.group('many')];
  const got = new Collector();
  await env.push(group, topic, got);
  const producer = await env.producer(topic);
  const bodies = [];
  for (let batch = 0; batch < 20; batch++) {
    const some = Array.from({ length: 100 }, (_, i) => `m${batch}-${i}`);
    await Promise.all(some.map(b => producer.send(message(topic, b))));
    bodies.push(...some);
  }
  await got.awaitExactly(bodies);
  await env.awaitCommitted(topic, group, bodies.length);
}

exports.scenarios = {
  'push-consumer': { run: pushConsumer },
  'push-retry-and-dead-letter': { run: retryAndDeadLetter },
  'push-fifo': { run: pushFifo },
  'push-filters': { run: pushFilters },
  'two-consumers-share': { run: share },
  'many-messages': { run: many },
};
