"""Messages that are more than sent and received."""

import collections
import time

from env import LONG, TOGETHER, Collector, eventually, message, refused, same, text
from harness import scenario
from rocketmq import TransactionChecker, TransactionResolution

# Java's timer has this precision and may be so early.
TIMER_SECONDS = 1


@scenario(TOGETHER)
def delay(env):
    topic = env.topic("delay", "DELAY", 1)
    got = Collector()
    env.push(env.group("delay"), topic, got)
    producer = env.producer(topic)
    # This client's delivery timestamps are of whole seconds.
    now = int(time.time())
    for seconds in (9, 5):
        producer.send(message(topic, str(seconds), tag="t", due=now + seconds, p="v"))
    got.await_exactly("5", "9")
    same(["5", "9"], got.texts(), "order of arrival")
    for a in got.all():
        assert a.at >= now + int(a.text) - TIMER_SECONDS, f"{a.text} s came after {a.at - now} s"
        same(("v", "t", 1), (a.message.properties["p"], a.message.tag, a.attempt), "property, tag and attempt")


@scenario(TOGETHER)
def recall(env):
    topic = env.topic("recall", "DELAY", 1)
    got = Collector()
    env.push(env.group("recall"), topic, got)
    producer = env.producer(topic)
    due = int(time.time()) + 8
    recalled = producer.send(message(topic, "recalled", due=due))
    producer.send(message(topic, "kept", due=due + 2))
    same(recalled.message_id, producer.recall_message(topic, recalled.recall_handle), "id of the recalled")
    refused("a recall handle of nothing", lambda: producer.recall_message(topic, "nothing"))
    got.await_exactly("kept")
    time.sleep(1.5)
    same(["kept"], got.texts(), "consumed")


class Checker(TransactionChecker):
    def __init__(self, decide=lambda body, times: None):
        self.decide, self.times = decide, collections.Counter()

    def check(self, message):
        self.times[text(message)] += 1
        assert message.properties.get("p") == "v", "property in the check"
        return self.decide(text(message), self.times[text(message)])


@scenario(TOGETHER)
def transaction_commit_and_rollback(env):
    topic = env.topic("transaction", "TRANSACTION", 2)
    got = Collector()
    env.push(env.group("transaction"), topic, got)
    producer = env.producer(topic, checker=Checker(
        lambda body, times: TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED))
    first = producer.begin_transaction()
    producer.send(message(topic, "m0", p="v"), first)
    time.sleep(1.5)
    same([], got.texts(), "consumed before the commit")
    first.commit()
    got.await_exactly("m0")
    committed = ["m0"]
    for i in range(1, 10):
        transaction = producer.begin_transaction()
        producer.send(message(topic, f"m{i}", tag="t", keys=(f"k{i}",), p="v", n=str(i)), transaction)
        if i % 2 == 0:
            transaction.commit()
            committed.append(f"m{i}")
        else:
            transaction.rollback()
    got.await_exactly(*committed)
    m = got.of("m4")[0].message
    same(("t", {"k4"}, "4"), (m.tag, set(m.keys), m.properties["n"]), "tag, keys and property")


@scenario(TOGETHER)
def transaction_check(env):
    topic = env.topic("check", "TRANSACTION", 1)
    got = Collector()
    env.push(env.group("check"), topic, got)

    def decide(body, times):
        if body == "later" and times == 1:
            return TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED
        return TransactionResolution.ROLLBACK if body == "no" else TransactionResolution.COMMIT

    checker = Checker(decide)
    producer = env.producer(topic, checker=checker)
    for body in ("yes", "no", "later"):
        producer.send(message(topic, body, p="v"), producer.begin_transaction())
    eventually(lambda: checker.times["yes"] and checker.times["no"] and checker.times["later"] > 1, what="all checked")
    got.await_all(["yes", "later"])
    time.sleep(0.3)
    # A check may cross the commit of the one before, and then the message comes twice.
    same({"yes", "later"}, set(got.texts()), "consumed")


@scenario(TOGETHER)
def priority(env):
    topic = env.topic("priority", "PRIORITY", 4)
    producer = env.producer(topic)
    for i in range(8):
        producer.send(message(topic, f"m{i}", priority=i % 4))
    consumer = env.simple(env.group("priority"), topic)
    order = []

    def all_received():
        for m in consumer.receive(1, LONG):
            same(int(text(m)[1:]) % 4, m.priority, f"priority of {text(m)}")
            order.append(m.priority)
            consumer.ack(m)
        return len(order) >= 8

    eventually(all_received, what="all received")
    same([3, 3, 2, 2, 1, 1, 0, 0], order, "priorities as received")
