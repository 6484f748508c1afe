"""What is accepted and what is refused."""

import random
import time

from env import LIMIT_SECONDS, TOGETHER, message, receive, refused, same
from harness import scenario

BODY_BYTES_MAX = 4 << 20
# gRPC for Python takes frames of 4 MiB at most, message and all.
BODY_BYTES_BACK = BODY_BYTES_MAX - (16 << 10)
ILLEGAL_PROPERTY_KEY, TYPE_CONFLICT, PROPERTIES_TOO_LARGE = 40007, 40014, 43101


@scenario(TOGETHER)
def async_send(env):
    topic = env.topic("async")
    producer = env.producer(topic)
    bodies = [f"m{i}" for i in range(300)]
    sends = [producer.send_async(message(topic, b)) for b in bodies]
    ids = [s.result(LIMIT_SECONDS).message_id for s in sends]
    stored = env.stored(topic, 300)
    same(sorted(bodies), sorted(m["body"] for m in stored), "stored")
    same(sorted(ids), sorted(m["properties"]["UNIQ_KEY"] for m in stored), "ids stored")


@scenario(TOGETHER)
def large_body(env):
    topic = env.topic("large")
    producer = env.producer(topic)
    body = random.Random(1).randbytes(BODY_BYTES_BACK)
    producer.send(message(topic, body))
    consumer = env.simple(env.group("large"), topic)
    got = receive(consumer, 1, 30)[0]
    assert got.body == body, "the body came back changed"
    consumer.ack(got)
    largest = env.topic("largest")
    producer.send(message(largest, b"x" * BODY_BYTES_MAX))
    same(BODY_BYTES_MAX, len(env.stored(largest, 1)[0]["body"]), "length of the largest body")


@scenario(TOGETHER)
def oversized_refused(env):
    topic = env.topic("oversized")
    producer = env.producer(topic)
    refused("a body of 4 MiB and a byte", lambda: producer.send(message(topic, b"x" * (BODY_BYTES_MAX + 1))))
    many = message(topic, "properties", **{f"p{i}": "v" * 1024 for i in range(17)})
    refused("17 KiB of properties", lambda: producer.send(many), PROPERTIES_TOO_LARGE)
    refused("a reserved property", lambda: producer.send(message(topic, "r", KEYS="v")), ILLEGAL_PROPERTY_KEY)
    producer.send(message(topic, "fits"))
    same(["fits"], [m["body"] for m in env.stored(topic, 1)], "stored")


@scenario(TOGETHER)
def illegal_topic(env):
    topic = env.topic("legal")
    # A producer each: the settings of one name all its topics, and the server ends the stream of such settings.
    # The library does not pass on why it has no route.
    for what, name in (("a topic that nobody made", env.unique("nobody")), ("a system topic", "SCHEDULE_TOPIC_XXXX"),
                       ("a long topic name", "t" * 128)):
        producer = env.producer(topic)
        refused(what, lambda: producer.send(message(name, "m")))
    env.producer(topic).send(message(topic, "m"))
    same(1, len(env.stored(topic, 1)), "messages stored")


@scenario(TOGETHER)
def wrong_message_type(env):
    topic = env.topic("type", "NORMAL", 1)
    producer = env.producer(topic)
    refused("a message group in a normal topic", lambda: producer.send(message(topic, "fifo", group="g")))
    refused("a delay in a normal topic", lambda: producer.send(message(topic, "d", due=int(time.time()) + 5)))
    producer.send(message(topic, "normal"))
    # The producer keeps the old route for a while, so the server has to notice.
    env.ask("topic", name=topic, type="FIFO", queues=1)
    refused("a normal message in a FIFO topic", lambda: producer.send(message(topic, "late")), TYPE_CONFLICT)
    same(["normal"], [m["body"] for m in env.stored(topic, 1)], "stored")
