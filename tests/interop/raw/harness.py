"""Scenario registry, what a scenario is given, and a few waits."""

import itertools
import json
import os
import threading
import time

from remoting import Connection, await_route, route

SCENARIOS = {}

# Request codes by the names the protocol gives them.
SEND_MESSAGE, PULL_MESSAGE, QUERY_MESSAGE, QUERY_CONSUMER_OFFSET, UPDATE_CONSUMER_OFFSET = 10, 11, 12, 14, 15
UPDATE_AND_CREATE_TOPIC, GET_BROKER_CONFIG, SEARCH_OFFSET_BY_TIMESTAMP, GET_MAX_OFFSET, GET_MIN_OFFSET = 17, 26, 29, 30, 31
GET_EARLIEST_MSG_STORETIME, VIEW_MESSAGE_BY_ID, HEART_BEAT, UNREGISTER_CLIENT, CONSUMER_SEND_MSG_BACK = 32, 33, 34, 35, 36
GET_CONSUMER_LIST, NOTIFY_CONSUMER_IDS_CHANGED, LOCK_BATCH_MQ, UNLOCK_BATCH_MQ = 38, 40, 41, 42
PUT_KV_CONFIG, GET_KV_CONFIG, DELETE_KV_CONFIG, REGISTER_BROKER, UNREGISTER_BROKER = 100, 101, 102, 103, 104
GET_ROUTEINFO, GET_BROKER_CLUSTER_INFO, WIPE_WRITE_PERM, GET_ALL_TOPIC_LIST = 105, 106, 205, 206
DELETE_TOPIC_IN_NAMESRV, GET_KVLIST, SEND_MESSAGE_V2, SEND_BATCH_MESSAGE, QUERY_DATA_VERSION = 216, 219, 310, 320, 322
ADD_WRITE_PERM, DELETE_TOPIC_IN_BROKER, LITE_PULL_MESSAGE, UPDATE_GROUP = 327, 215, 361, 200

SUCCESS, SYSTEM_ERROR, NOT_SUPPORTED, MESSAGE_ILLEGAL, NO_PERMISSION, TOPIC_NOT_EXIST = 0, 1, 3, 13, 16, 17
PULL_NOT_FOUND, PULL_RETRY_IMMEDIATELY, PULL_OFFSET_MOVED, QUERY_NOT_FOUND, GROUP_NOT_EXIST = 19, 20, 21, 22, 26
INVALID_PARAMETER, CONSUMER_NOT_ONLINE = 29, 206

SUSPEND, SUBSCRIPTION, COMMIT = 2, 4, 1


def scenario(seconds=30, kind="together"):
    """Registers a function as a scenario; underscores of its name become hyphens."""
    def register(f):
        SCENARIOS[f.__name__.replace("_", "-")] = (f, kind, seconds)
        return f
    return register


class Env:
    """The server under test, and names nobody used before."""

    _numbers = itertools.count(1)
    _lock = threading.Lock()

    def __init__(self, namesrv):
        self.namesrv = namesrv
        data = route(namesrv, "TBW102")["brokerDatas"][0]
        self.broker_name, self.cluster = data["brokerName"], data["cluster"]
        self.broker = data["brokerAddrs"]["0"]
        host, port = self.broker.rsplit(":", 1)
        self.fast = f"{host}:{int(port) - 2}"

    def close(self):
        """Connections belong to the scenarios."""

    def unique(self, stem):
        with self._lock:
            return f"{stem}-{os.getpid()}-{int(time.time() * 1000) % 10**9}-{next(self._numbers)}"

    def connect(self, address=None, timeout=10.0):
        return Connection(address or self.broker, timeout)

    def topic(self, stem, queues=1):
        """Makes a topic and waits for its route."""
        name = self.unique(stem)
        with self.connect() as c:
            answer = c.call(UPDATE_AND_CREATE_TOPIC, {
                "topic": name, "defaultTopic": "TBW102", "readQueueNums": queues, "writeQueueNums": queues, "perm": 6,
                "topicFilterType": "SINGLE_TAG", "topicSysFlag": 0, "order": False})
            expect(answer, SUCCESS)
        await_route(self.namesrv, name, 10)
        return name


def send_header(topic, queue=0, v2=True, properties="", default="TBW102", batch=None, group="raw-producer", **more):
    """The header of a send, with one-letter names for code 310 and long ones for code 10."""
    values = {"producerGroup": group, "topic": topic, "defaultTopic": default, "defaultTopicQueueNums": 4,
              "queueId": queue, "sysFlag": 0, "bornTimestamp": int(time.time() * 1000), "flag": 0,
              "properties": properties, "reconsumeTimes": 0, "unitMode": False, "maxReconsumeTimes": None,
              "batch": batch}
    values.update(more)
    return dict(zip("abcdefghijklm", values.values())) if v2 else values


def send(c, topic, body=b"body", queue=0, code=SEND_MESSAGE_V2, **more):
    return expect(c.call(code, send_header(topic, queue, code != SEND_MESSAGE, **more), body), SUCCESS)


def pull_header(topic, queue=0, offset=0, group="raw-group", most=32, flags=SUBSCRIPTION, suspend=0,
                subscription="*", commit=0, **more):
    return {"consumerGroup": group, "topic": topic, "queueId": queue, "queueOffset": offset, "maxMsgNums": most,
            "sysFlag": flags, "commitOffset": commit, "suspendTimeoutMillis": suspend, "subscription": subscription,
            "subVersion": 0, "expressionType": "TAG", **more}


def pull_until(c, topic, count, queue=0, seconds=10.0, group="raw-group", **more):
    """Pulls from offset 0 on until `count` messages are there: an answered send may be dispatched a moment later."""
    from remoting import messages
    found, offset = [], 0
    deadline = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        answer = c.call(PULL_MESSAGE, pull_header(topic, queue, offset, group, **more))
        if answer.code == SUCCESS:
            found += messages(answer.body)
            offset = int(answer.ext["nextBeginOffset"])
        else:
            time.sleep(0.02)
    assert len(found) == count, f"{len(found)} messages of {count}"
    return found


def heartbeat(client, group=None, topic=None, producer=None):
    consumers = [] if group is None else [{
        "groupName": group, "consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING",
        "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET", "unitMode": False,
        "subscriptionDataSet": [{"topic": topic, "subString": "*", "tagsSet": [], "codeSet": [],
                                 "subVersion": int(time.time() * 1000), "classFilterMode": False,
                                 "expressionType": "TAG"}]}]
    producers = [] if producer is None else [{"groupName": producer}]
    return json.dumps({"clientID": client, "consumerDataSet": consumers, "producerDataSet": producers,
                       "heartbeatFingerprint": 0, "withoutSub": False}).encode()


def expect(answer, *codes):
    assert answer.code in codes, f"expected code {' or '.join(map(str, codes))}, got {answer}"
    return answer


def eventually(check, seconds=10.0, what="condition"):
    """Polls until `check` returns something true and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
