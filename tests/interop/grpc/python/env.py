"""What a scenario is given: the server, names nobody used before, and clients that are closed when it ends."""

import itertools
import json
import os
import socket
import threading
import time

from arrivals import Arrivals, same  # noqa: F401  the scenarios take `same` from here
from rocketmq import (ClientConfiguration, ConsumeResult, Credentials, FilterExpression, Message, MessageListener, Producer,
                      PushConsumer, SimpleConsumer)
from rocketmq.v5.exception import InternalErrorException

# A poll that finds nothing lasts this long; the proxy allows no less.
POLL_SECONDS = 5
LIMIT_SECONDS = 60
# The shortest invisible time that a proxy accepts, and one that no scenario waits for.
SHORT, LONG = 10, 300
TOGETHER = 120


class Env:
    _numbers = itertools.count(1)

    def __init__(self, grpc, helper):
        self.grpc, self.helper = grpc, helper
        self.clients = []

    def close(self):
        for client in self.clients:
            # The library waits for polls under way; nobody needs that.
            threading.Thread(target=client.shutdown, daemon=True).start()

    def ask(self, verb, **fields):
        """Asks the runner's helper, which can do what this client cannot; see helper.py."""
        host, port = self.helper.split(":")
        with socket.create_connection((host, int(port))) as s:
            s.sendall(json.dumps({"do": verb, **fields}).encode() + b"\n")
            answer = json.loads(s.makefile().readline())
        assert "error" not in answer, f"helper, {verb}: {answer['error']}"
        return answer

    def unique(self, stem):
        return f"py-{stem}-{os.getpid()}-{int(time.time() * 1000) % 10**9}-{next(self._numbers)}"

    def topic(self, stem, type="NORMAL", queues=4):
        name = self.unique(stem)
        self.ask("topic", name=name, type=type, queues=queues)
        return name

    def group(self, stem, order=False, retries=16):
        name = self.unique(stem)
        self.ask("group", name=name, order=order, retries=retries)
        return name

    def stored(self, topic, count):
        return self.ask("stored", topic=topic, count=count)["messages"]

    def await_committed(self, topic, group, count):
        eventually(lambda: self.ask("committed", topic=topic, group=group)["committed"] == count,
                   what=f"{count} messages committed")

    def _started(self, client):
        client.startup()
        self.clients.append(client)
        return client

    def _configuration(self):
        # The default of three seconds is short for two cores that run everything at once.
        return ClientConfiguration(self.grpc, Credentials(), request_timeout=30)

    def producer(self, *topics, checker=None):
        return self._started(Producer(self._configuration(), topics, checker=checker))

    def simple(self, group, topic, filter=None):
        return self._started(Simple(self._configuration(), group, {topic: filter or FilterExpression()},
                                    await_duration=POLL_SECONDS))

    def push(self, group, topic, collector, filter=None):
        return self._started(PushConsumer(self._configuration(), group, collector, {topic: filter or FilterExpression()},
                                          consumption_thread_count=4))


class Simple(SimpleConsumer):
    def receive(self, count, invisible):
        # The library's startup does not wait for the settings, and Java's proxy fails a receive that comes before them.
        deadline = time.monotonic() + 10
        while True:
            try:
                return super().receive(count, invisible)
            except InternalErrorException as e:
                if "settings" not in str(e) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


class Arrival:
    def __init__(self, message):
        self.message, self.at = message, time.time()
        self.text, self.attempt = text(message), message.delivery_attempt


class Collector(Arrivals, MessageListener):
    """Keeps what a push consumer was given, in the order of arrival; `good` decides what succeeds."""

    def __init__(self, good=lambda arrival, times: True):
        super().__init__()
        self.good = good

    def consume(self, message):
        arrival = Arrival(message)
        times = self.add(arrival)
        return ConsumeResult.SUCCESS if self.good(arrival, times) else ConsumeResult.FAILURE


def message(topic, body, tag=None, keys=(), group=None, due=None, priority=None, **properties):
    m = Message()
    m.topic, m.body = topic, body if isinstance(body, bytes) else body.encode()
    if tag:
        m.tag = tag
    for key in keys:
        m.keys = key
    if group:
        m.message_group = group
    if due:
        m.delivery_timestamp = due
    if priority is not None:
        m.priority = priority
    for key, value in properties.items():
        m.add_property(key, value)
    return m


def text(m):
    return m.body.decode(errors="replace")


def texts(messages):
    return [text(m) for m in messages]


def send_numbered(producer, topic, prefix, count):
    for i in range(count):
        producer.send(message(topic, f"{prefix}{i}"))
    return [f"{prefix}{i}" for i in range(count)]


def receive(consumer, count, invisible):
    """Receives until there are so many messages, and leaves them without acknowledgement."""
    found = []

    def enough():
        found.extend(consumer.receive(32, invisible))
        return len(found) >= count

    eventually(enough, what=f"{count} messages received")
    same(count, len(found), f"messages received, {texts(found)}")
    return found


def receive_one(consumer, invisible):
    found = eventually(lambda: consumer.receive(1, invisible), what="a message")
    same(1, len(found), "messages of a receive for one")
    return found[0]


def refused(what, f, code=None):
    try:
        f()
    except Exception as e:
        assert code is None or getattr(e, "code", None) == code, f"{what}: code {code} expected, got {e!r}"
        return
    raise AssertionError(f"{what} was accepted")


def eventually(check, seconds=LIMIT_SECONDS, what="condition"):
    """Polls until `check` returns something true and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
