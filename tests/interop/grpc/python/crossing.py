"""Messages between this client and remoting, both ways."""

from env import TOGETHER, Collector, message, same
from harness import scenario

ODD = "a b=c;значение"


@scenario(TOGETHER)
def from_remoting(env):
    topic = env.topic("from-remoting")
    got = Collector()
    env.push(env.group("from-remoting"), topic, got)
    for body in ("short äöü", "another"):
        env.ask("send", topic=topic, body=body,
                properties={"TAGS": "tag", "KEYS": "k1 k2", "UNIQ_KEY": f"id of {body}", "text": ODD})
    got.await_exactly("short äöü", "another")
    for a in got.all():
        m = a.message
        same((f"id of {a.text}", "tag", {"k1", "k2"}, ODD, 1),
             (m.message_id, m.tag, set(m.keys), m.properties["text"], a.attempt), "id, tag, keys, property and attempt")


@scenario(TOGETHER)
def to_remoting(env):
    topic = env.topic("to-remoting")
    producer = env.producer(topic)
    bodies = ["short äöü", "long" * 3000]
    ids = {b: producer.send(message(topic, b, tag="tag", keys=("k1", "k2"), text=ODD)).message_id for b in bodies}
    stored = env.stored(topic, 2)
    same(sorted(bodies), sorted(m["body"] for m in stored), "stored")
    for m in stored:
        p = m["properties"]
        same((ids[m["body"]], "tag", ["k1", "k2"], ODD), (p["UNIQ_KEY"], p["TAGS"], sorted(p["KEYS"].split()), p["text"]),
             "id, tag, keys and property")
