"""The simple consumer."""

import time

from env import LONG, SHORT, TOGETHER, Collector, eventually, message, receive, receive_one, same, text, texts
from harness import scenario
from rocketmq import FilterExpression
from rocketmq.grpc_protocol import FilterType

COLORS = ["red", "green", "blue"]


def send_colors(producer, topic, count):
    bodies = []
    for i in range(count):
        for color in COLORS:
            producer.send(message(topic, f"{color}{i}", group=color))
            bodies.append(f"{color}{i}")
    return bodies


@scenario(TOGETHER)
def simple_consumer(env):
    topic, group = env.topic("simple"), env.group("simple")
    producer = env.producer(topic)
    # This client's born timestamps are of whole seconds.
    before, sent = int(time.time()) * 1000, {}
    for i in range(12):
        body = f"m{i} äöü 消息"
        m = message(topic, body, tag=f"t{i % 3}", keys=(f"k{i}", "all"), n=str(i), text="a b=c;значение")
        sent[producer.send(m).message_id] = body
    after = time.time() * 1000
    consumer = env.simple(group, topic)
    received = time.time()
    for m in receive(consumer, 12, SHORT):
        same(sent.pop(m.message_id), text(m), "body by message id")
        n = m.properties["n"]
        same(f"m{n} äöü 消息", text(m), "body by property")
        same(topic, m.topic, "topic")
        same(f"t{int(n) % 3}", m.tag, "tag")
        same({f"k{n}", "all"}, set(m.keys), "keys")
        same({"n": n, "text": "a b=c;значение"}, dict(m.properties), "properties")
        same(1, m.delivery_attempt, "delivery attempt")
        assert before <= m.born_timestamp <= after, f"born at {m.born_timestamp}"
        consumer.ack(m)
    env.await_committed(topic, group, 12)
    time.sleep(max(0.0, received + SHORT + 1 - time.time()))
    same([], texts(consumer.receive(32, SHORT)), "received after the acknowledgement")


@scenario(TOGETHER)
def redelivery(env):
    topic = env.topic("again", queues=1)
    producer = env.producer(topic)
    for body in "abc":
        producer.send(message(topic, body, tag="t", keys=(f"k-{body}",), p=body))
    consumer = env.simple(env.group("again"), topic)
    asked, ids = time.time(), {}
    for m in receive(consumer, 3, SHORT):
        ids[text(m)] = m.message_id
        if text(m) == "b":
            consumer.ack(m)
    for attempt in (2, 3):
        again = receive(consumer, 2, SHORT)
        waited = time.time() - asked
        assert waited >= (attempt - 1) * SHORT, f"came back after {waited} s"
        same(["a", "c"], sorted(texts(again)), "came back")
        for m in again:
            same(attempt, m.delivery_attempt, "delivery attempt")
            same((ids[text(m)], topic, "t", {f"k-{text(m)}"}, text(m)),
                 (m.message_id, m.topic, m.tag, set(m.keys), m.properties["p"]), "the same message")
            if attempt == 3:
                consumer.ack(m)


@scenario(TOGETHER)
def change_invisible_shorter(env):
    topic = env.topic("shorter", queues=1)
    env.producer(topic).send(message(topic, "m"))
    consumer = env.simple(env.group("shorter"), topic)
    m = receive(consumer, 1, LONG)[0]
    changed = time.time()
    consumer.change_invisible_duration(m, 3)
    again = receive(consumer, 1, LONG)[0]
    assert time.time() - changed >= 3, f"came back after {time.time() - changed} s"
    same(("m", 2), (text(again), again.delivery_attempt), "body and delivery attempt")
    consumer.ack(again)


@scenario(TOGETHER)
def change_invisible_longer(env):
    topic = env.topic("longer", queues=1)
    producer = env.producer(topic)
    consumer = env.simple(env.group("longer"), topic)
    # The acknowledgement needs the handle that the change gave.
    producer.send(message(topic, "acked"))
    acked = receive(consumer, 1, SHORT)[0]
    consumer.change_invisible_duration(acked, 15)
    consumer.ack(acked)
    producer.send(message(topic, "kept"))
    kept = receive(consumer, 1, SHORT)[0]
    changed = time.time()
    consumer.change_invisible_duration(kept, 18)
    again = receive(consumer, 1, LONG)[0]
    assert time.time() - changed >= 17.5, f"came back after {time.time() - changed} s"
    same(("kept", 2), (text(again), again.delivery_attempt), "body and delivery attempt")
    consumer.ack(again)


@scenario(TOGETHER)
def fifo_order(env):
    topic, group = env.topic("fifo", "FIFO"), env.group("fifo", order=True)
    wanted = send_colors(env.producer(topic), topic, 8)
    consumer = env.simple(group, topic)
    got = []

    def all_received():
        for m in consumer.receive(5, LONG):
            got.append((m.message_group, text(m)))
            consumer.ack(m)
        return len(got) >= len(wanted)

    eventually(all_received, what="all in order")
    for color in COLORS:
        same([f"{color}{i}" for i in range(8)], [t for g, t in got if g == color], f"group {color}")


@scenario(TOGETHER)
def fifo_blocking(env):
    """Nothing of a message group is delivered while an earlier message is neither acknowledged nor due again."""
    topic, group = env.topic("blocking", "FIFO"), env.group("blocking", order=True)
    producer = env.producer(topic)
    for i in range(3):
        producer.send(message(topic, f"m{i}", group="one"))
    consumer = env.simple(group, topic)
    first = receive_one(consumer, LONG)
    same("m0", text(first), "first")
    same([], texts(consumer.receive(1, LONG)), "received while m0 is held")
    consumer.ack(first)

    asked = time.time()
    same("m1", text(receive_one(consumer, SHORT)), "second")
    # Not acknowledged: it comes again, before the third.
    again = receive_one(consumer, LONG)
    assert time.time() - asked >= SHORT, f"came back after {time.time() - asked} s"
    same(("m1", 2), (text(again), again.delivery_attempt), "after the invisible time")
    consumer.ack(again)
    third = receive_one(consumer, LONG)
    same("m2", text(third), "third")
    consumer.ack(third)
    env.await_committed(topic, group, 3)


@scenario(TOGETHER)
def tag_filter(env):
    topic = env.topic("tags")
    producer = env.producer(topic)
    wanted = []
    for i in range(20):
        tag = ["red", "green", "blue", ""][i % 4]
        producer.send(message(topic, f"{tag}{i}", tag=tag))
        if tag in ("red", "blue"):
            wanted.append(f"{tag}{i}")
    consumer = env.simple(env.group("tags"), topic, FilterExpression("red || blue"))
    same(sorted(wanted), sorted(texts(receive(consumer, len(wanted), LONG))), "received")
    same([], texts(consumer.receive(32, LONG)), "received beyond these")


@scenario(TOGETHER)
def sql_filter(env):
    topic = env.topic("sql")
    consumer = env.simple(env.group("sql"), topic, FilterExpression(
        "n BETWEEN 3 AND 12 AND (color = 'red' OR color IS NULL) AND TAGS = 't'", FilterType.SQL))
    producer = env.producer(topic)
    wanted = []
    for i in range(20):
        color = [{"color": "red"}, {"color": "blue"}, {}][i % 3]
        producer.send(message(topic, f"m{i}", tag="t", n=str(i), **color))
        if 3 <= i <= 12 and color != {"color": "blue"}:
            wanted.append(f"m{i}")
    same(sorted(wanted), sorted(texts(receive(consumer, len(wanted), LONG))), "received")
    same([], texts(consumer.receive(32, LONG)), "received beyond these")


@scenario(TOGETHER)
def unknown_group(env):
    topic = env.topic("unknown")
    env.producer(topic).send(message(topic, "m"))
    consumer = env.simple(env.unique("nobody-made"), topic)
    m = receive(consumer, 1, LONG)[0]
    same("m", text(m), "received by the simple consumer")
    consumer.ack(m)
    got = Collector()
    env.push(env.unique("nobody-made"), topic, got)
    got.await_exactly("m")
