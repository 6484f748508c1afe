"""Messages between this client and the raw one, both ways."""

import re
import zlib

from arrivals import same
from env import TOGETHER, Collector, message
from harness import SEND_BATCH_MESSAGE, pull_until, scenario, send
from remoting import batch, properties

ODD = "a b=c;значение"
COMPRESSED = 1


@scenario(TOGETHER)
def from_raw(env):
    topic = env.topic("from-raw")
    got = Collector()
    env.push(env.group("from-raw"), topic, got)
    said = properties(TAGS="tag", KEYS="k1 k2", text=ODD)
    long = "long" * 50_000
    with env.connect() as c:
        send(c, topic, "short äöü".encode(), properties=said + properties(UNIQ_KEY="id1"))
        send(c, topic, long.encode(), properties=said + properties(UNIQ_KEY="id2"))
        send(c, topic, zlib.compress(b"compressed" * 900), properties=said + properties(UNIQ_KEY="id3"), sysFlag=COMPRESSED)
        send(c, topic, batch([b"b0", b"b1"], said), code=SEND_BATCH_MESSAGE, batch=True)
    got.await_exactly("short äöü", long, "compressed" * 900, "b0", "b1")
    for a in got.all():
        same(("tag", "k1 k2", ODD, 0), (a.tags, a.keys, a.property, a.times), f"tag, keys, property of {a.text[:10]}")
    same(["id1", "id2", "id3"], [a.id for a in got.all() if a.text[0] != "b"], "ids")


@scenario(TOGETHER)
def to_raw(env):
    topic = env.topic("to-raw")
    producer = env.producer()
    ids = [producer.send_sync(message(topic, body, "tag", "k1 k2", ODD)).msg_id for body in ("short äöü", "another")]
    with env.connect() as c:
        stored = pull_until(c, topic, 2)
    same(["short äöü", "another"], [m.body.decode() for m in stored], "bodies")
    for m, id in zip(stored, ids):
        same((id, "tag", "k1 k2", ODD, "true"), tuple(m.properties.get(k) for k in ("UNIQ_KEY", "TAGS", "KEYS", "text", "WAIT")),
             "id, tag, keys and property")


@scenario(TOGETHER)
def batch_stays_one_message(env):
    """This library does not say that its batch is one, so it is stored as it came."""
    topic = env.topic("batch")
    producer = env.producer()
    producer.send_batch([message(topic, f"b{i}") for i in range(5)])
    producer.send_sync(message(topic, "next"))
    with env.connect() as c:
        stored = pull_until(c, topic, 2)
    same([b"b0", b"b1", b"b2", b"b3", b"b4"], re.findall(rb"b\d", stored[0].body), "bodies in the first")
    same("next", stored[1].body.decode(), "what comes after")
