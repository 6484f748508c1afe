"""What gRPC clients cannot do for themselves: make topics of a type and groups, and look from the remoting side.

A client program connects, writes one line of JSON and reads one:

    {"do": "topic", "name": "t", "type": "FIFO", "queues": 4}      makes it, or changes its type
    {"do": "group", "name": "g", "order": true, "retries": 2, "attributes": {"+key": "value"}}
    {"do": "send", "topic": "t", "body": "b", "properties": {"TAGS": "x"}}
    {"do": "stored", "topic": "t", "count": 3}                     waits for so many, answers all: body, properties, queue
    {"do": "committed", "topic": "t", "group": "g"}                the sum of the offsets of all queues

The answer is an object; `error` says what went wrong.
"""

import json
import pathlib
import socketserver
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "raw"))
from harness import (GET_MAX_OFFSET, PULL_MESSAGE, QUERY_CONSUMER_OFFSET, SUCCESS, UPDATE_AND_CREATE_TOPIC,  # noqa: E402
                     UPDATE_GROUP, expect, pull_header, send)
from remoting import Connection, await_route, messages, route  # noqa: E402
from remoting import properties as properties_of  # noqa: E402

ROUTE_SECONDS = 60
# A JVM that has just started takes its time.
BROKER_SECONDS = 60
# The third attempt of a message that is given up comes after some 20 seconds on a quiet machine.
STORED_SECONDS = 90


class Helper:
    def __init__(self, namesrv, topic_of_broker="TBW102", remembered_seconds=0):
        """A proxy of a cluster remembers what a topic is like for `remembered_seconds`."""
        self.namesrv, self.remembered_seconds = namesrv, remembered_seconds
        data = route(namesrv, topic_of_broker)["brokerDatas"][0]
        self.broker, self.broker_name = data["brokerAddrs"]["0"], data["brokerName"]
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                try:
                    asked = json.loads(self.rfile.readline())
                    verb = asked.pop("do")
                    answer = getattr(outer, f"do_{verb}")(**asked) or {}
                except Exception as e:  # the scenario that asked fails with it
                    answer = {"error": f"{type(e).__name__}: {e}"}
                self.wfile.write(json.dumps(answer).encode() + b"\n")

        class Listener(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 64

        self.listener = Listener(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.listener.server_address[1]}"
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()

    def close(self):
        self.listener.shutdown()
        self.listener.server_close()

    def do_topic(self, name, type="NORMAL", queues=4):
        known = route(self.namesrv, name)
        with Connection(self.broker, BROKER_SECONDS) as c:
            expect(c.call(UPDATE_AND_CREATE_TOPIC, {
                "topic": name, "defaultTopic": "TBW102", "readQueueNums": queues, "writeQueueNums": queues, "perm": 6,
                "topicFilterType": "SINGLE_TAG", "topicSysFlag": 0, "order": False,
                "attributes": f"+message.type={type}"}), SUCCESS)
        await_route(self.namesrv, name, ROUTE_SECONDS)
        if known:
            time.sleep(self.remembered_seconds)

    def do_group(self, name, order=False, retries=16, attributes=None):
        config = {"groupName": name, "consumeEnable": True, "consumeFromMinEnable": True, "consumeBroadcastEnable": True,
                  "consumeMessageOrderly": order, "retryQueueNums": 1, "retryMaxTimes": retries, "brokerId": 0,
                  "whichBrokerWhenConsumeSlowly": 1, "notifyConsumerIdsChangedEnable": True,
                  "attributes": attributes or {}}
        with Connection(self.broker, BROKER_SECONDS) as c:
            expect(c.call(UPDATE_GROUP, body=json.dumps(config).encode()), SUCCESS)

    def do_send(self, topic, body, properties=()):
        with Connection(self.broker, BROKER_SECONDS) as c:
            send(c, topic, body.encode(), properties=properties_of(**dict(properties)))

    def do_stored(self, topic, count):
        deadline = time.monotonic() + STORED_SECONDS
        found = {}
        while True:
            known = route(self.namesrv, topic)
            queues = known["queueDatas"][0]["readQueueNums"] if known else 0
            with Connection(self.broker, BROKER_SECONDS) as c:
                for queue in range(queues):
                    _read_on(c, topic, queue, found.setdefault(queue, []))
            everything = [m for queue in sorted(found) for m in found[queue]]
            if len(everything) >= count:
                break
            assert time.monotonic() < deadline, f"{len(everything)} messages of {count} in {topic}"
            time.sleep(0.1)
        return {"messages": [{"body": m.body.decode(errors="replace"), "properties": m.properties, "queue": m.queue,
                              "topic": m.topic, "reconsumeTimes": m.reconsume_times} for m in everything]}

    def do_committed(self, topic, group):
        queues = await_route(self.namesrv, topic, ROUTE_SECONDS)["queueDatas"][0]["readQueueNums"]
        committed = 0
        with Connection(self.broker, BROKER_SECONDS) as c:
            for queue in range(queues):
                answer = c.call(QUERY_CONSUMER_OFFSET, {"consumerGroup": group, "topic": topic, "queueId": queue})
                committed += int(answer.ext["offset"]) if answer.code == SUCCESS else 0
        return {"committed": committed}


def _read_on(c, topic, queue, read):
    """Reads to the end that the queue has now."""
    end = int(expect(c.call(GET_MAX_OFFSET, {"topic": topic, "queueId": queue}), SUCCESS).ext["offset"])
    offset = read[-1].offset + 1 if read else 0
    while offset < end:
        answer = c.call(PULL_MESSAGE, pull_header(topic, queue, offset, "helper-reader"))
        if answer.code == SUCCESS:
            read += messages(answer.body)
        offset_before, offset = offset, int(answer.ext["nextBeginOffset"])
        if offset <= offset_before:
            return
