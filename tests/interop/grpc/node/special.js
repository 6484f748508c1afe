// Messages that are more than sent and received.
'use strict';

const { TransactionResolution } = require('rocketmq-client-nodejs/proto/apache/rocketmq/v2/definition_pb');
const { Collector, LONG_MS, assert, eventually, message, receiveOnce, refused, same, sleep, text } = require('./env.js');

// Java's timer has this precision and may be so early.
const TIMER_MS = 1000;

async function delay(env) {
  const topic = await env.topic('delay', 'DELAY', 1);
  const got = new Collector();
  await env.push(await env.group('delay'), topic, got);
  const producer = await env.producer(topic);
  const now = Date.now();
  for (const ms of [8000, 4000]) {
    await producer.send(message(topic, `${ms}`, { tag: 't', properties: { p: 'v' }, deliveryTimestamp: new Date(now + ms) }));
  }
  await got.awaitExactly(['4000', '8000']);
  same(['4000', '8000'], got.texts(), 'order of arrival');
  for (const a of got.arrivals) {
    assert(a.at >= now + Number(a.text) - TIMER_MS, `${a.text} ms came after ${a.at - now} ms`);
    same(['v', 't', 1], [a.message.properties.get('p'), a.message.tag, a.attempt], 'property, tag and attempt');
  }
}

async function recall(env) {
  const topic = await env.topic('recall', 'DELAY', 1);
  const got = new Collector();
  await env.push(await env.group('recall'), topic, got);
  const producer = await env.producer(topic);
  const due = Date.now() + 8000;
  const recalled = await producer.send(message(topic, 'recalled', { deliveryTimestamp: new Date(due) }));
  await producer.send(message(topic, 'kept', { deliveryTimestamp: new Date(due + 1500) }));
  same(recalled.messageId, (await producer.recallMessage(topic, recalled.recallHandle)).messageId, 'id of the recalled');
  await refused('a recall handle of nothing', () => producer.recallMessage(topic, 'nothing'));
  await got.awaitExactly(['kept']);
  await sleep(1500);
  same(['kept'], got.texts(), 'consumed');
}

async function transaction(env) {
  const topic = await env.topic('transaction', 'TRANSACTION', 2);
  const got = new Collector();
  await env.push(await env.group('transaction'), topic, got);
  const producer = await env.producer(topic,
    { check: async () => TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED });
  const first = producer.beginTransaction();
  await producer.send(message(topic, 'm0'), first);
  await sleep(1500);
  same([], got.texts(), 'consumed before the commit');
  await first.commit();
  await got.awaitExactly(['m0']);
  const committed = ['m0'];
  for (let i = 1; i < 10; i++) {
    const t = producer.beginTransaction();
    await producer.send(message(topic, `m${i}`, { tag: 't', keys: [`k${i}`], properties: { n: `${i}` } }), t);
    if (i % 2 === 0) {
      await t.commit();
      committed.push(`m${i}`);
    } else {
      await t.rollback();
    }
  }
  await got.awaitExactly(committed);
  const [{ message: m }] = got.of('m4');
  same(['t', ['k4'], '4'], [m.tag, m.keys, m.properties.get('n')], 'tag, keys and property');
}

async function transactionCheck(env) {
  const topic = await env.topic('check', 'TRANSACTION', 1);
  const got = new Collector();
  await env.push(await env.group('check'), topic, got);
  const times = { yes: 0, no: 0, later: 0 };
  const producer = await env.producer(topic, {
    check: async m => {
      assert(m.properties.get('p') === 'v', 'property in the check');
      times[text(m)]++;
      if (text(m) === 'later' && times.later === 1) {
        return TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED;
      }
      return text(m) === 'no' ? TransactionResolution.ROLLBACK : TransactionResolution.COMMIT;
    },
  });
  for (const body of Object.keys(times)) {
    await producer.send(message(topic, body, { properties: { p: 'v' } }), producer.beginTransaction());
  }
  await eventually('all checked', () => times.yes && times.no && times.later > 1);
  await got.awaitAll(['yes', 'later']);
  await sleep(300);
  // A check may cross the commit of the one before, and then the message comes twice.
  same(['later', 'yes'], [...new Set(got.texts())].sort(), 'consumed');
}

async function priority(env) {
  const topic = await env.topic('priority', 'PRIORITY', 4);
  const producer = await env.producer(topic);
  // The library takes priority 0 for none.
  for (let i = 0; i < 6; i++) {
    await producer.send(message(topic, `m${i}`, { priority: 1 + i % 3 }));
  }
  const consumer = await env.simple(await env.group('priority'), topic);
  const order = [];
  await eventually('all received', async () => {
    for (const m of await receiveOnce(consumer, 1, LONG_MS)) {
      same(1 + Number(text(m).slice(1)) % 3, m.priority, `priority of ${text(m)}`);
      order.push(m.priority);
      await consumer.ack(m);
    }
    return order.length >= 6;
  });
  same([3, 3, 2, 2, 1, 1], order, 'priorities as received');
}

exports.scenarios = {
  'delay': { run: delay },
  'recall': { run: recall },
  'transaction-commit-and-rollback': { run: transaction },
  'transaction-check': { run: transactionCheck },
  'priority': { run: priority },
};
