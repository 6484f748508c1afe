// Runs the scenarios named on the command line with rocketmq-client-nodejs and prints one line of JSON for each.
'use strict';

const readline = require('node:readline');
const { Env } = require('./env.js');

const scenarios = new Map();
for (const file of ['sending', 'receiving', 'pushing', 'special', 'crossing', 'restarting']) {
  for (const [name, scenario] of Object.entries(require(`./${file}.js`).scenarios)) {
    scenarios.set(name, { kind: 'together', seconds: 120, ...scenario });
  }
}

// The library prints now and then; the runner reads only lines of ours.
function say(line) {
  return new Promise(done => process.stdout.write(JSON.stringify(line) + '\n', done));
}

const restarts = [];
readline.createInterface({ input: process.stdin }).on('line', () => restarts.shift()?.());

// Has the runner restart the server; resolves when it serves again.
async function restartServer(how) {
  const restarted = new Promise(done => restarts.push(done));
  await say({ restart: how });
  await restarted;
}

async function run(name, addresses) {
  const began = performance.now();
  const { seconds: limit, run: body } = scenarios.get(name);
  const env = new Env(addresses, restartServer);
  let reason = '';
  let timer;
  try {
    const tooLate = new Promise((_, fail) => {
      timer = setTimeout(() => fail(new Error(`still running after ${limit} s`)), limit * 1000);
    });
    await Promise.race([body(env), tooLate]);
  } catch (e) {
    const at = /\/([a-z]+\.js:\d+)/g;
    const places = [...String(e?.stack).matchAll(at)].map(m => m[1]).filter(p => !/^(main|env)\./.test(p));
    reason = `${e?.name}: ${e?.message} at ${places[0] ?? '?'}`.slice(0, 500);
  }
  clearTimeout(timer);
  env.close();
  await say({ scenario: name, result: reason ? 'FAIL' : 'PASS', seconds: (performance.now() - began) / 1000, reason });
}

async function main() {
  const addresses = {};
  const wanted = [];
  let parallel = 1;
  for (let i = 2; i < process.argv.length; i++) {
    const argument = process.argv[i];
    if (argument === '--list') {
      scenarios.forEach((s, name) => console.log(`${name}\t${s.kind}\t${s.seconds}`));
      return;
    } else if (argument === '--parallel') {
      parallel = Number(process.argv[++i]);
    } else if (argument.startsWith('--')) {
      addresses[argument.slice(2)] = process.argv[++i];
    } else {
      wanted.push(argument);
    }
  }
  const names = wanted.length ? wanted : [...scenarios.keys()];
  const worker = async () => {
    for (let name = names.shift(); name; name = names.shift()) {
      await run(name, addresses);
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
}

// A failure of something that a scenario has left behind is nobody's.
process.on('unhandledRejection', e => process.stderr.write(`unhandled: ${e?.stack}\n`));
process.on('uncaughtException', e => process.stderr.write(`uncaught: ${e?.stack}\n`));
main().then(() => process.exit(0));
