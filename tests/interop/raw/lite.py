"""Lite topics as a client sees them that makes its requests itself."""

import json

from harness import (GET_MAX_OFFSET, GET_MIN_OFFSET, INVALID_PARAMETER, PULL_MESSAGE, PULL_NOT_FOUND, PULL_OFFSET_MOVED,
                     SEARCH_OFFSET_BY_TIMESTAMP, SUBSCRIPTION, SUCCESS, SUSPEND, UPDATE_AND_CREATE_TOPIC, UPDATE_GROUP,
                     eventually, expect, pull_header, scenario, send)
from pop import ACK, NOW, POLLING_TIMEOUT
from remoting import await_route, messages, properties, request

POP_LITE, SUBSCRIBE_LITE = 200070, 200071
ORDER_REVIVE_QUEUE = 999


def parent(env):
    """A topic of lite topics."""
    name = env.unique("lite")
    with env.connect() as c:
        expect(c.call(UPDATE_AND_CREATE_TOPIC, {
            "topic": name, "defaultTopic": "TBW102", "readQueueNums": 2, "writeQueueNums": 2, "perm": 6,
            "topicFilterType": "SINGLE_TAG", "topicSysFlag": 0, "order": False, "attributes": "+message.type=LITE"}), SUCCESS)
    await_route(env.namesrv, name, 10)
    return name


def put(c, topic, lite_topic, body, queue=0):
    send(c, topic, body, queue=queue, properties=properties(__LITE_TOPIC=lite_topic))


@scenario()
def lite_topic_pull(env):
    topic = parent(env)
    with env.connect(timeout=20) as c:
        def offset(code, of=topic, queue=0, **more):
            return int(expect(c.call(code, {"topic": of, "queueId": queue, **more}), SUCCESS).ext["offset"])

        def pull(at=0, queue=0, **more):
            return c.call(PULL_MESSAGE, pull_header(topic, queue, at, **more))

        name = f"%LMQ%${topic}$a"
        assert offset(SEARCH_OFFSET_BY_TIMESTAMP, timestamp=NOW(), liteTopic="a") == 0
        expect(pull(liteTopic="a"), PULL_NOT_FOUND)
        before = NOW()
        for number in range(3):
            put(c, topic, "a", b"a%d" % number, number % 2)
            put(c, topic, "b", b"b%d" % number)
        eventually(lambda: offset(GET_MAX_OFFSET, name) == 3)
        assert offset(GET_MIN_OFFSET, name) == 0
        found = expect(pull(liteTopic="a"), SUCCESS)
        assert [m.body for m in messages(found.body)] == [b"a0", b"a1", b"a2"], found
        assert (found.ext["nextBeginOffset"], found.ext["minOffset"], found.ext["maxOffset"]) == ("3", "0", "3"), found
        places = [int(m.properties["INNER_MULTI_QUEUE_OFFSET"]) for m in messages(found.body)]
        assert places == [0, 1, 2], places
        expect(pull(3, liteTopic="a"), PULL_NOT_FOUND)
        expect(pull(9, liteTopic="a"), PULL_OFFSET_MOVED)
        assert offset(SEARCH_OFFSET_BY_TIMESTAMP, timestamp=before - 60_000, liteTopic="a") == 0
        assert offset(SEARCH_OFFSET_BY_TIMESTAMP, timestamp=NOW() + 60_000, liteTopic="a") == 3
        assert offset(SEARCH_OFFSET_BY_TIMESTAMP, queue=1, timestamp=before, liteTopic="a") == 0
        # Blank means the topic itself.
        assert {m.body for m in messages(expect(pull(liteTopic=" "), SUCCESS).body)} == {b"a0", b"a2", b"b0", b"b1", b"b2"}

        # A held pull is answered by the next message of its lite topic.
        with env.connect() as other:
            header = pull_header(topic, 0, 3, flags=SUBSCRIPTION | SUSPEND, suspend=15_000, liteTopic="a")
            opaque, data = request(PULL_MESSAGE, header)
            c.send(data)
            put(other, topic, "a", b"a3")
            found = expect(c.response(opaque), SUCCESS)
            assert [m.body for m in messages(found.body)] == [b"a3"], found


@scenario(seconds=60)
def lite_topic_pop(env):
    topic, group, client = parent(env), env.unique("lite"), env.unique("client")
    config = {"groupName": group, "consumeEnable": True, "consumeFromMinEnable": True, "consumeBroadcastEnable": True,
              "retryQueueNums": 1, "retryMaxTimes": 16, "brokerId": 0, "whichBrokerWhenConsumeSlowly": 1,
              "notifyConsumerIdsChangedEnable": True, "attributes": {"+lite.bind.topic": topic}}
    with env.connect(timeout=20) as c:
        expect(c.call(UPDATE_GROUP, body=json.dumps(config).encode()), SUCCESS)

        def subscribe(action, *lite_topics):
            entry = {"action": action, "clientId": client, "group": group, "topic": topic, "version": 1,
                     "liteTopicSet": list(lite_topics)}
            expect(c.call(SUBSCRIBE_LITE, body=json.dumps({"subscriptionSet": [entry]}).encode()), SUCCESS)

        def pop(most=32, invisible=20_000, poll=0, **more):
            return c.call(POP_LITE, {"clientId": client, "consumerGroup": group, "topic": topic, "maxMsgNum": most,
                                     "invisibleTime": invisible, "pollTime": poll, "bornTime": NOW(), **more})

        def ack(answer, message):
            place = message.properties["INNER_MULTI_QUEUE_OFFSET"]
            receipt = f"0 {answer.ext['popTime']} {answer.ext['invisibleTime']} {ORDER_REVIVE_QUEUE} 0 {env.broker_name} 0 {place}"
            expect(c.call(ACK, {"consumerGroup": group, "topic": topic, "queueId": 0, "extraInfo": receipt,
                                "offset": int(place), "liteTopic": message.properties["__LITE_TOPIC"]}), SUCCESS)

        expect(pop(most=33), INVALID_PARAMETER)
        subscribe("PARTIAL_ADD", "a")
        put(c, topic, "a", b"a0")
        put(c, topic, "a", b"a1")
        put(c, topic, "b", b"b0")
        first = expect(eventually(lambda: [f for f in [pop(1, poll=1000)] if f.code == SUCCESS], 20)[0], SUCCESS)
        (message,) = messages(first.body)
        assert (message.body, first.ext["reviveQid"], first.ext["orderCountInfo"]) == (b"a0", "999", "0"), first
        # In order: nothing more before the ack.
        expect(pop(), POLLING_TIMEOUT)
        ack(first, message)
        second = expect(eventually(lambda: [f for f in [pop(invisible=3000, poll=1000)] if f.code == SUCCESS], 20)[0], SUCCESS)
        popped = NOW()
        assert [m.body for m in messages(second.body)] == [b"a1"], second
        # Not acked: it comes again in its place, with a count.
        again = eventually(lambda: [f for f in [pop(poll=1000)] if f.code == SUCCESS], 40)[0]
        took = NOW() - popped
        assert 2500 < took < 30_000, f"again after {took} ms"
        (message,) = messages(again.body)
        assert (message.body, again.ext["orderCountInfo"].split(" ")[-1]) == (b"a1", "1"), again
        ack(again, message)
        subscribe("PARTIAL_ADD", "b")
        third = eventually(lambda: [f for f in [pop(poll=1000)] if f.code == SUCCESS], 20)[0]
        assert [m.body for m in messages(third.body)] == [b"b0"], third
        subscribe("COMPLETE_REMOVE")
