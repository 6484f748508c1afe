"""The push consumer."""

from env import LIMIT_SECONDS, TOGETHER, Collector, eventually, message, same, send_numbered
from harness import scenario
from receiving import COLORS, send_colors
from rocketmq import FilterExpression
from rocketmq.grpc_protocol import FilterType


@scenario(TOGETHER)
def push_consumer(env):
    topic, group = env.topic("push"), env.group("push")
    got = Collector()
    env.push(group, topic, got)
    producer = env.producer(topic)
    for i in range(100):
        producer.send(message(topic, f"m{i}", tag=f"t{i % 3}", keys=(f"k{i}",), n=str(i)))
    got.await_exactly(*[f"m{i}" for i in range(100)])
    for a in got.all():
        n = a.message.properties["n"]
        same((f"m{n}", f"t{int(n) % 3}", {f"k{n}"}, 1), (a.text, a.message.tag, set(a.message.keys), a.attempt),
             "body, tag, keys and attempt")
    env.await_committed(topic, group, 100)


@scenario(TOGETHER)
def push_retry_and_dead_letter(env):
    topic, group = env.topic("retry", queues=1), env.group("retry", retries=2)
    got = Collector(lambda a, times: a.text == "good" or a.text == "second" and a.attempt == 2)
    env.push(group, topic, got)
    producer = env.producer(topic)
    ids = {body: producer.send(message(topic, body, tag="t", p=body)).message_id for body in ("good", "second", "never")}
    # The two retries wait one and five seconds; then the message is given up.
    dead = env.stored("%DLQ%" + group, 1)
    same(["never"], [m["body"] for m in dead], "dead letters")
    same(("never", "t", ids["never"]), tuple(dead[0]["properties"].get(k) for k in ("p", "TAGS", "UNIQ_KEY")),
         "properties of the dead letter")
    same([1], [a.attempt for a in got.of("good")], "attempts of good")
    same([1, 2], [a.attempt for a in got.of("second")], "attempts of second")
    never = got.of("never")
    same([1, 2, 3], [a.attempt for a in never], "attempts of never")
    assert never[1].at - never[0].at >= 1, f"first retry after {never[1].at - never[0].at} s"
    assert never[2].at - never[1].at >= 5, f"second retry after {never[2].at - never[1].at} s"
    for a in got.all():
        same((ids[a.text], topic, a.text), (a.message.message_id, a.message.topic, a.message.properties["p"]),
             "the same message")


@scenario(TOGETHER)
def push_fifo(env):
    """In order for each group; a refused message holds up its group until it succeeds or is given up."""
    topic, group = env.topic("push-fifo", "FIFO"), env.group("push-fifo", order=True, retries=2)
    # The library tries again by itself and does not count that in the message.
    got = Collector(lambda a, times: a.text != "red2" and not (a.text == "blue3" and times == 1))
    env.push(group, topic, got)
    got.await_all(send_colors(env.producer(topic), topic, 6))
    same(["red2"], [m["body"] for m in env.stored("%DLQ%" + group, 1)], "dead letters")
    for color in COLORS:
        wanted = []
        for i in range(6):
            wanted += [f"{color}{i}"] * {"red2": 3, "blue3": 2}.get(f"{color}{i}", 1)
        same(wanted, [t for t in got.texts() if t.startswith(color)], f"group {color}")


@scenario(TOGETHER)
def push_filters(env):
    topic = env.topic("push-filters")
    by_tag, by_sql = Collector(), Collector()
    env.push(env.group("by-tag"), topic, by_tag, FilterExpression("a || b"))
    env.push(env.group("by-sql"), topic, by_sql, FilterExpression("n >= 5 AND n < 8", FilterType.SQL))
    producer = env.producer(topic)
    for i in range(12):
        producer.send(message(topic, f"m{i}", tag="abc"[i % 3], n=str(i)))
    by_tag.await_exactly("m0", "m1", "m3", "m4", "m6", "m7", "m9", "m10")
    by_sql.await_exactly("m5", "m6", "m7")


@scenario(TOGETHER)
def two_consumers_share(env):
    topic, group = env.topic("share"), env.group("share")
    first, second = Collector(), Collector()
    env.push(group, topic, first)
    env.push(group, topic, second)
    producer = env.producer(topic)
    bodies = []

    def both():
        # More until each has had some: which poll a message wakes is chance.
        bodies.extend(send_numbered(producer, topic, f"r{len(bodies)}-", 20))
        return first.all() and second.all()

    eventually(both, what="both consumed")
    eventually(lambda: len(first.all()) + len(second.all()) >= len(bodies), what="all consumed")
    same(sorted(bodies), sorted(first.texts() + second.texts()), "consumed by both")


@scenario(TOGETHER)
def many_messages(env):
    topic, group = env.topic("many"), env.group("many")
    got = Collector()
    env.push(group, topic, got)
    producer = env.producer(topic)
    bodies = []
    for batch in range(20):
        batch_bodies = [f"m{batch}-{i}" for i in range(100)]
        for send in [producer.send_async(message(topic, b)) for b in batch_bodies]:
            send.result(LIMIT_SECONDS)
        bodies += batch_bodies
    got.await_exactly(*bodies)
    env.await_committed(topic, group, len(bodies))
