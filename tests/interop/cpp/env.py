"""What a scenario is given: the server, names nobody used before, and clients that are closed when it ends."""

import time

import harness
from arrivals import Arrivals
from harness import SUCCESS, UPDATE_AND_CREATE_TOPIC, eventually, expect
from helper import Helper
from rocketmq.client import Message, Producer, PullConsumer, PushConsumer, RecvMessage
from rocketmq.exceptions import ffi_check
from rocketmq.ffi import MessageModel, dll

TOGETHER = 120
COMMIT_SECONDS = 30
CONSUMED, LATER = 0, 1


class Env(harness.Env):
    def __init__(self, namesrv):
        super().__init__(namesrv)
        self.helper = Helper(namesrv)
        self.clients = []

    def close(self):
        for client in self.clients:
            client.shutdown()
        self.helper.close()

    def unique(self, stem):
        return super().unique(f"cpp-{stem}")

    def group(self, stem, retries=16):
        """A group with its retry topic: this client looks for the route of a new one only every 30 seconds."""
        name = self.unique(stem)
        self.helper.do_group(name, retries=retries)
        with self.connect() as c:
            expect(c.call(UPDATE_AND_CREATE_TOPIC, {
                "topic": f"%RETRY%{name}", "defaultTopic": "TBW102", "readQueueNums": 1, "writeQueueNums": 1, "perm": 6,
                "topicFilterType": "SINGLE_TAG", "topicSysFlag": 0, "order": False}), SUCCESS)
        return name

    def stored(self, topic, count):
        return self.helper.do_stored(topic, count)["messages"]

    def await_committed(self, topic, group, count):
        eventually(lambda: self.helper.do_committed(topic, group)["committed"] == count, COMMIT_SECONDS,
                   f"{count} messages committed")

    def _started(self, client):
        client.set_namesrv_addr(self.namesrv)
        client.start()
        self.clients.append(client)
        return client

    def producer(self, **options):
        producer = Producer(self.unique("producers"), timeout=10_000, **options)
        ffi_check(dll.SetProducerInstanceName(producer._handle, self.unique("i").encode()))
        return self._started(producer)

    def push(self, group, topic, collector, tags="*", orderly=False, model=MessageModel.CLUSTERING):
        consumer = PushConsumer(group, orderly=orderly, message_model=model)
        # Clients of one name would share a client id, and a group with it.
        consumer.set_instance_name(self.unique("i"))
        consumer.set_thread_count(4)
        consumer.subscribe(topic, None, tags)
        # The package's own callback refuses a message by raising, which prints a trace.
        consumer._register_callback(collector.consume)
        return self._started(consumer)

    def pull(self):
        return self._started(PullConsumer(self.unique("pullers")))

    def leave(self, client):
        """Shuts a client down before its scenario ends."""
        self.clients.remove(client)
        client.shutdown()


class Arrival:
    """What a message was when it came; the library frees it after the callback."""

    def __init__(self, m):
        self.at = time.time()
        self.text, self.topic, self.id, self.queue, self.times = m.body.decode(), m.topic, m.id, m.queue_id, m.reconsume_times
        self.tags, self.keys = (m.tags or b"").decode(), (m.keys or b"").decode()
        self.property = (m.get_property("text") or b"").decode()


class Collector(Arrivals):
    """Keeps what a push consumer was given, in the order of arrival; `good` decides what succeeds."""

    def __init__(self, good=lambda arrival, times: True):
        super().__init__()
        self.good = good

    def consume(self, _consumer, handle):
        arrival = Arrival(RecvMessage(handle))
        return CONSUMED if self.good(arrival, self.add(arrival)) else LATER


def message(topic, body, tags="", keys="", text="", level=0):
    m = Message(topic)
    m.set_body(body)
    if tags:
        m.set_tags(tags)
    if keys:
        m.set_keys(keys)
    if text:
        m.set_property("text", text)
    if level:
        m.set_delay_time_level(level)
    return m


def send_numbered(producer, topic, prefix, count):
    for i in range(count):
        producer.send_sync(message(topic, f"{prefix}{i}"))
    return [f"{prefix}{i}" for i in range(count)]
