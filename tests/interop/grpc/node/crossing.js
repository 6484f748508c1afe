// Messages between this client and remoting, both ways.
'use strict';

const { Collector, message, same } = require('./env.js');

const ODD = 'a b=c;значение';

async function fromRemoting(env) {
  const topic = await env.topic('from-remoting');
  const got = new Collector();
  await env.push(await env.group('from-remoting'), topic, got);
  for (const body of ['short äöü', 'another']) {
    await env.ask('send', { topic, body, properties: { TAGS: 'tag', KEYS: 'k1 k2', UNIQ_KEY: `id of ${body}`, text: ODD } });
  }
  await got.awaitExactly(['short äöü', 'another']);
  for (const { message: m, text, attempt } of got.arrivals) {
    same([`id of ${text}`, 'tag', ['k1', 'k2'], ODD, 1], [m.messageId, m.tag, m.keys, m.properties.get('text'), attempt],
      'id, tag, keys, property and attempt');
  }
}

async function toRemoting(env) {
  const topic = await env.topic('to-remoting');
  const producer = await env.producer(topic);
  const ids = {};
  for (const body of ['short äöü', 'long'.repeat(3000)]) {
    ids[body] = (await producer.send(message(topic, body, { tag: 'tag', keys: ['k1', 'k2'], properties: { text: ODD } })))
      .messageId;
  }
  const stored = await env.stored(topic, 2);
  same(2, stored.length, 'messages stored');
  for (const { body, properties: p } of stored) {
    same([ids[body], 'tag', 'k1 k2', ODD], [p.UNIQ_KEY, p.TAGS, p.KEYS, p.text], 'id, tag, keys and property');
  }
}

exports.scenarios = {
  'from-remoting': { run: fromRemoting },
  'to-remoting': { run: toRemoting },
};
