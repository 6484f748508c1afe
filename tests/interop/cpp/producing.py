"""The producer."""

import random
import threading
import time

from arrivals import same
from env import TOGETHER, Collector, message
from harness import eventually, pull_until, scenario
from rocketmq.client import SendStatus

COMPRESSED = 1


@scenario(TOGETHER)
def send_sync(env):
    topic = env.topic("sync", 4)
    producer = env.producer()
    results = [producer.send_sync(message(topic, f"m{i}")) for i in range(20)]
    same({SendStatus.OK}, {r.status for r in results}, "status")
    stored = env.stored(topic, 20)
    same({f"m{i}": r.msg_id for i, r in enumerate(results)}, {m["body"]: m["properties"]["UNIQ_KEY"] for m in stored}, "ids")
    same({0, 1, 2, 3}, {m["queue"] for m in stored}, "queues in turn")


@scenario(TOGETHER)
def send_async(env):
    topic = env.topic("async", 4)
    producer = env.producer()
    ids, errors, lock = {}, [], threading.Lock()

    def sent(body):
        def keep(result):
            with lock:
                ids[body] = result.msg_id
        return keep

    for i in range(50):
        producer.send_async(message(topic, f"m{i}"), sent(f"m{i}"), errors.append)
    eventually(lambda: len(ids) + len(errors) == 50, 30, "all callbacks")
    same([], errors, "errors")
    same(ids, {m["body"]: m["properties"]["UNIQ_KEY"] for m in env.stored(topic, 50)}, "ids")


@scenario(TOGETHER)
def send_oneway(env):
    topic = env.topic("oneway", 4)
    producer = env.producer()
    for i in range(50):
        producer.send_oneway(message(topic, f"m{i}"))
    same(sorted(f"m{i}" for i in range(50)), sorted(m["body"] for m in env.stored(topic, 50)), "stored")


@scenario(TOGETHER)
def send_orderly(env):
    topic = env.topic("orderly", 4)
    producer = env.producer()
    for i in range(20):
        r = producer.send_orderly(message(topic, f"m{i}"), i)
        same((SendStatus.OK, i // 4), (r.status, r.offset), f"status and offset of m{i}")
    same({f"m{i}": i % 4 for i in range(20)}, {m["body"]: m["queue"] for m in env.stored(topic, 20)}, "queues")


@scenario(TOGETHER)
def large_bodies(env):
    """Long bodies are compressed; this library takes 128 KiB unless told otherwise."""
    topic = env.topic("large")
    got = Collector()
    env.push(env.group("large"), topic, got)
    producer = env.producer(max_message_size=4 << 20)
    bodies = ["x" * 100_000, random.Random(1).randbytes(700_000).hex()]
    for body in bodies:
        same(SendStatus.OK, producer.send_sync(message(topic, body)).status, "status")
    got.await_exactly(*bodies)
    with env.connect() as c:
        stored = pull_until(c, topic, 2)
    same([COMPRESSED] * 2, [m.sys_flag & COMPRESSED for m in stored], "flag of compression")
    assert len(stored[0].body) < 1_000 < len(stored[1].body) < 800_000, f"stored {[len(m.body) for m in stored]} bytes"


@scenario(TOGETHER)
def delay_level(env):
    topic = env.topic("delay", 4)
    got = Collector()
    env.push(env.group("delay"), topic, got)
    producer = env.producer()
    producer.send_sync(message(topic, "now"))
    got.await_exactly("now")
    began = time.time()
    producer.send_sync(message(topic, "later", level=2))
    got.await_exactly("now", "later")
    waited = got.of("later")[0].at - began
    assert 4.9 <= waited <= 10, f"level 2, which is five seconds, took {waited:.1f} s"
    same((topic, 0), (got.of("later")[0].topic, got.of("later")[0].times), "topic and attempts")
