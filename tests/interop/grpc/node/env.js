// What a scenario is given: the server, names nobody used before, and clients that are closed when it ends.
'use strict';

const assert = require('node:assert');
const net = require('node:net');
const { ConsumeResult, FilterExpression, Producer, PushConsumer, SimpleConsumer } = require('rocketmq-client-nodejs');

// A poll that finds nothing lasts this long; the proxy allows no less.
const POLL_MS = 5_000;
const LIMIT_MS = 60_000;
// The shortest invisible time that a proxy accepts, and one that no scenario waits for.
const SHORT_MS = 10_000;
const LONG_MS = 300_000;
const NOT_FOUND = 40401;
const DEADLINE_EXCEEDED = 4;

const silent = Object.fromEntries(['debug', 'info', 'warn', 'error', 'log'].map(level => [level, () => {}]));
let numbers = 0;

class Env {
  constructor(addresses, restartServer) {
    this.addresses = addresses;
    this.restartServer = restartServer;
    this.clients = [];
  }

  close() {
    for (const client of this.clients) {
      // The library waits for polls under way; nobody needs that.
      client.shutdown().catch(() => {});
    }
  }

  // Asks the runner's helper, which can do what this client cannot; see helper.py.
  async ask(verb, fields) {
    const [host, port] = this.addresses.helper.split(':');
    const answer = await new Promise((done, fail) => {
      const chunks = [];
      const socket = net.connect(Number(port), host, () => socket.write(JSON.stringify({ do: verb, ...fields }) + '\n'));
      socket.on('data', chunk => chunks.push(chunk));
      socket.on('end', () => done(JSON.parse(Buffer.concat(chunks))));
      socket.on('error', fail);
    });
    assert(!answer.error, `helper, ${verb}: ${answer.error}`);
    return answer;
  }

  unique(stem) {
    return `node-${stem}-${process.pid}-${Date.now() % 1e9}-${++numbers}`;
  }

  async topic(stem, type = 'NORMAL', queues = 4) {
    const name = this.unique(stem);
    await this.ask('topic', { name, type, queues });
    return name;
  }

  async group(stem, order = false, retries = 16) {
    const name = this.unique(stem);
    await this.ask('group', { name, order, retries });
    return name;
  }

  async stored(topic, count) {
    return (await this.ask('stored', { topic, count })).messages;
  }

  async awaitCommitted(topic, group, count) {
    await eventually(`${count} messages committed`,
      async () => (await this.ask('committed', { topic, group })).committed === count);
  }

  async #started(client) {
    this.clients.push(client);
    await client.startup();
    return client;
  }

  #options() {
    // The default of three seconds is short for two cores that run everything at once.
    return { endpoints: this.addresses.grpc, namespace: '', requestTimeout: 30_000, logger: silent };
  }

  producer(topic, checker) {
    return this.#started(new Producer({ ...this.#options(), topics: [topic], topic, checker }));
  }

  simple(consumerGroup, topic, filter = FilterExpression.SUB_ALL) {
    return this.#started(new SimpleConsumer({ ...this.#options(), consumerGroup, subscriptions: new Map([[topic, filter]]),
      awaitDuration: POLL_MS }));
  }

  push(consumerGroup, topic, collector, filter = FilterExpression.SUB_ALL) {
    return this.#started(new PushConsumer({ ...this.#options(), consumerGroup, subscriptions: new Map([[topic, filter]]),
      messageListener: collector }));
  }
}

// Keeps what a push consumer was given, in the order of arrival; `good` decides what succeeds.
class Collector {
  constructor(good = () => true) {
    this.good = good;
    this.arrivals = [];
  }

  async consume(message) {
    const arrival = { message, text: text(message), attempt: message.deliveryAttempt, at: Date.now() };
    this.arrivals.push(arrival);
    return this.good(arrival) ? ConsumeResult.SUCCESS : ConsumeResult.FAILURE;
  }

  of(text) {
    return this.arrivals.filter(a => a.text === text);
  }

  texts() {
    return this.arrivals.map(a => a.text);
  }

  // Waits until each of these bodies came at least once.
  async awaitAll(bodies, ms = LIMIT_MS) {
    const missing = () => {
      const got = new Set(this.texts());
      return bodies.filter(b => !got.has(b));
    };
    try {
      await eventually('all consumed', () => missing().length === 0, ms);
    } catch {
      assert.fail(`${missing().length} of ${bodies.length} not consumed within ${ms} ms: ${missing().slice(0, 5)}`);
    }
  }

  // Waits for exactly these bodies in any order, and a moment longer for what should not come.
  async awaitExactly(bodies) {
    await this.awaitAll(bodies);
    await sleep(300);
    same([...bodies].sort(), this.texts().sort(), 'consumed');
  }
}

function message(topic, body, more = {}) {
  const { properties, ...rest } = more;
  return { topic, body: Buffer.from(body), properties: new Map(Object.entries(properties ?? {})), ...rest };
}

function text(message) {
  return message.body.toString();
}

function texts(messages) {
  return messages.map(text);
}

// One poll; the library reports a poll that found nothing as an error now and then.
async function receiveOnce(consumer, count, invisibleMs) {
  try {
    return await consumer.receive(count, invisibleMs);
  } catch (e) {
    if (e.code === NOT_FOUND || e.code === DEADLINE_EXCEEDED) {
      return [];
    }
    throw e;
  }
}

// Receives until there are so many messages, and leaves them without acknowledgement.
async function receive(consumer, count, invisibleMs) {
  const found = [];
  await eventually(`${count} messages received`, async () => {
    found.push(...await receiveOnce(consumer, 32, invisibleMs));
    return found.length >= count;
  });
  same(count, found.length, 'messages received');
  return found;
}

async function receiveText(consumer, invisibleMs) {
  let found = [];
  await eventually('a message', async () => (found = await receiveOnce(consumer, 1, invisibleMs)).length > 0);
  same(1, found.length, 'messages of a receive for one');
  return found[0];
}

async function refused(what, send, code) {
  let error;
  try {
    await send();
  } catch (e) {
    error = e;
  }
  assert(error, `${what} was accepted`);
  assert(!code || error.code === code || String(error.message).includes(String(code)),
    `${what}: code ${code} expected, got ${error.code} ${error.message}`);
}

function same(expected, actual, what) {
  const [e, a] = [JSON.stringify(expected), JSON.stringify(actual)];
  assert(e === a, `${what}: expected ${e.slice(0, 200)}, got ${String(a).slice(0, 200)}`);
}

async function eventually(what, holds, ms = LIMIT_MS) {
  for (const deadline = Date.now() + ms; !await holds(); await sleep(20)) {
    assert(Date.now() < deadline, `${what}: not within ${ms} ms`);
  }
}

function sleep(ms) {
  return new Promise(done => setTimeout(done, ms));
}

module.exports = { Collector, Env, LIMIT_MS, LONG_MS, SHORT_MS, assert, eventually, message, receive, receiveOnce,
  receiveText, refused, same, sleep, text, texts };
