"""Push and pull consumers."""

from arrivals import same
from env import TOGETHER, Collector, message, send_numbered
from harness import eventually, scenario
from rocketmq.ffi import MessageModel


@scenario(TOGETHER)
def push_consumer(env):
    topic, group = env.topic("push", 4), env.group("push")
    got = Collector()
    env.push(group, topic, got)
    producer = env.producer()
    ids = {f"m{i}": producer.send_sync(message(topic, f"m{i}", f"t{i % 3}", f"k{i}", f"p {i}")).msg_id for i in range(100)}
    got.await_exactly(*ids)
    for a in got.all():
        i = int(a.text[1:])
        same((topic, f"t{i % 3}", f"k{i}", f"p {i}", 0), (a.topic, a.tags, a.keys, a.property, a.times), f"m{i}")
    same(ids, {a.text: a.id for a in got.all()}, "ids")
    env.await_committed(topic, group, 100)


@scenario(TOGETHER)
def retry(env):
    topic, group = env.topic("retry"), env.group("retry")
    got = Collector(lambda a, times: a.times == 1)
    env.push(group, topic, got)
    env.producer().send_sync(message(topic, "again", "tag", "key", "text"))
    eventually(lambda: len(got.all()) == 2, 60, "the second attempt")
    same([(0, topic, "text", "tag", "key"), (1, topic, "text", "tag", "key")],
         [(a.times, a.topic, a.property, a.tags, a.keys) for a in got.all()], "attempts")
    # Level 3 is ten seconds.
    waited = got.all()[1].at - got.all()[0].at
    assert 9.9 <= waited <= 30, f"it came again after {waited:.1f} s"


@scenario(TOGETHER)
def tag_filters(env):
    topic = env.topic("tags", 4)
    some, other = Collector(), Collector()
    env.push(env.group("some"), topic, some, "a || b")
    env.push(env.group("other"), topic, other, "c")
    producer = env.producer()
    for i in range(12):
        producer.send_sync(message(topic, f"m{i}", "abcd"[i % 4]))
    some.await_exactly("m0", "m1", "m4", "m5", "m8", "m9")
    other.await_exactly("m2", "m6", "m10")


@scenario(TOGETHER)
def broadcasting(env):
    topic, group = env.topic("broadcast", 4), env.group("broadcast")
    everyone = [Collector(), Collector()]
    for got in everyone:
        env.push(group, topic, got, model=MessageModel.BROADCASTING)
    await_assignment(env, topic, everyone)
    bodies = send_numbered(env.producer(), topic, "m", 30)
    for got in everyone:
        got.await_all(bodies)


def await_assignment(env, topic, collectors):
    """A broadcasting consumer may start at the end of its queues: sends to each until every consumer has had some of it."""
    producer, sent = env.producer(), []

    def ready():
        sent.extend(send_numbered(producer, topic, f"warm{len(sent)}-", 4))
        return all({a.queue for a in c.all()} == {0, 1, 2, 3} for c in collectors)

    eventually(ready, 60, "all queues at every consumer")


@scenario(TOGETHER)
def ordered_consumption(env):
    """Each queue in order; a refused message comes again before the next of its queue."""
    topic, group = env.topic("ordered", 4), env.group("ordered")
    got = Collector(lambda a, times: a.text != "q2-5" or times > 1)
    env.push(group, topic, got, orderly=True)
    producer = env.producer()
    for i in range(40):
        producer.send_orderly(message(topic, f"q{i % 4}-{i // 4}"), i % 4)
    got.await_all([f"q{q}-{i}" for q in range(4) for i in range(10)])
    for q in range(4):
        wanted = [f"q{q}-{i}" for i in range(10)]
        if q == 2:
            wanted.insert(5, "q2-5")
        same(wanted, [a.text for a in got.all() if a.queue == q], f"queue {q}")
    env.await_committed(topic, group, 40)


@scenario(TOGETHER)
def two_consumers_share(env):
    """Both have queues; when one leaves, the other has them all."""
    topic, group = env.topic("share", 4), env.group("share")
    first, second = Collector(), Collector()
    leaving = env.push(group, topic, first)
    env.push(group, topic, second)
    producer = env.producer()
    sent = []

    def shared():
        sent.extend(send_numbered(producer, topic, f"a{len(sent)}-", 4))
        queues = [{a.queue for a in c.all()[-8:]} for c in (first, second)]
        return all(queues) and not queues[0] & queues[1]

    eventually(shared, 60, "queues divided")
    eventually(lambda: set(sent) <= set(first.texts() + second.texts()), 60, "all consumed by the two")
    env.leave(leaving)
    had = len(first.all())
    rest = send_numbered(producer, topic, "b", 20)
    second.await_all(rest)
    same(had, len(first.all()), "consumed by the one that left")


@scenario(TOGETHER)
def offsets_survive_the_consumer(env):
    topic, group = env.topic("again", 4), env.group("again")
    before, after = Collector(), Collector()
    first = env.push(group, topic, before)
    producer = env.producer()
    before.await_exactly(*send_numbered(producer, topic, "a", 20))
    env.leave(first)
    env.await_committed(topic, group, 20)
    missed = send_numbered(producer, topic, "b", 20)
    env.push(group, topic, after)
    after.await_exactly(*missed)


@scenario(TOGETHER)
def pull_consumer(env):
    topic = env.topic("pull", 4)
    producer = env.producer()
    bodies = send_numbered(producer, topic, "a", 40)
    consumer = env.pull()
    found = []

    def pulled():
        found.extend(m.body.decode() for m in consumer.pull(topic, max_num=7))
        return len(found) >= len(bodies)

    eventually(pulled, 20, "all pulled")
    same(sorted(bodies), sorted(found), "pulled")
    bodies += send_numbered(producer, topic, "b", 8)
    eventually(pulled, 20, "the rest pulled")
    same(sorted(bodies), sorted(found), "pulled from where it was")


@scenario(TOGETHER)
def pull_by_tag(env):
    topic = env.topic("pull-tag")
    producer = env.producer()
    for i in range(30):
        producer.send_sync(message(topic, f"m{i}", "abc"[i % 3]))
    consumer, found = env.pull(), []

    def pulled():
        found.extend(m.body.decode() for m in consumer.pull(topic, "a || c"))
        return len(found) >= 20

    eventually(pulled, 20, "all pulled")
    same([f"m{i}" for i in range(30) if i % 3 != 1], found, "pulled")
