// The server goes away and comes back while a producer and a push consumer work.
'use strict';

const { Collector, assert, eventually, message, sleep } = require('./env.js');

const BEFORE = 300;
const MESSAGES = 900;
// What was on its way to the consumer comes again when its invisible time of a minute is over.
const CONSUMED_MS = 150_000;

async function traffic(env, how) {
  const topic = await env.topic('restart');
  const got = new Collector();
  await env.push(await env.group('restart'), topic, got);
  const producer = await env.producer(topic);
  // A send that failed may have been stored all the same.
  const [acknowledged, uncertain] = [new Set(), new Set()];
  let number = 0;
  let stop = false;
  const send = async () => {
    while (!stop) {
      const body = `m${number++}`;
      try {
        await producer.send(message(topic, body));
        acknowledged.add(body);
        await sleep(3);
      } catch {
        uncertain.add(body);
        await sleep(100);
      }
    }
  };
  const senders = [send(), send()];
  try {
    await eventually('the first messages', () => acknowledged.size >= BEFORE);
    await env.restartServer(how);
    const enough = Math.max(MESSAGES, acknowledged.size + BEFORE);
    await eventually('all sent', () => acknowledged.size >= enough, 90_000);
  } finally {
    stop = true;
  }
  await Promise.all(senders);
  await got.awaitAll([...acknowledged], CONSUMED_MS);
  const strange = got.texts().filter(t => !acknowledged.has(t) && !uncertain.has(t));
  assert(strange.length === 0, `consumed but never sent: ${strange.slice(0, 5)}`);
}

exports.scenarios = {
  'restart-by-sigterm': { kind: 'restart', seconds: 450, run: env => traffic(env, 'TERM') },
  'restart-by-sigkill': { kind: 'restart', seconds: 450, run: env => traffic(env, 'KILL') },
};
