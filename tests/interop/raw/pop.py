"""POP as a client sees it that builds its receipts itself."""

import base64
import json
import time

from harness import (INVALID_PARAMETER, MESSAGE_ILLEGAL, NO_PERMISSION, PULL_NOT_FOUND, SUCCESS,
                     TOPIC_NOT_EXIST, eventually, expect, heartbeat, scenario, send, HEART_BEAT)
from remoting import messages, properties, request

POP, ACK, BATCH_ACK, PEEK, CHANGE, NOTIFICATION, POLLING_INFO = 200050, 200051, 200151, 200052, 200053, 200054, 200055
QUERY_ASSIGNMENT, SET_MODE, ALL_MODES = 400, 401, 402
NO_MESSAGE, POLLING_FULL, POLLING_TIMEOUT, PARSE_FAILED = 208, 209, 210, 23
NOW = lambda: int(time.time() * 1000)


def pop_header(topic, group, queue=-1, most=32, invisible=10_000, poll=0, init=0, **more):
    return {"consumerGroup": group, "topic": topic, "queueId": queue, "maxMsgNums": most, "invisibleTime": invisible,
            "pollTime": poll, "bornTime": NOW(), "initMode": init, "order": False, **more}


def receipts(env, answer):
    """Every message of an answer with its receipt, made as the Java client makes it."""
    ext = answer.ext
    starts = {tuple(w.split(" ")[:2]): w.split(" ")[2] for w in ext["startOffsetInfo"].split(";")}
    offsets = {tuple(w.split(" ")[:2]): w.split(" ")[2].split(",") for w in ext["msgOffsetInfo"].split(";")}
    found = []
    for m in messages(answer.body):
        ready = m.properties.get("POP_CK")
        if ready is None:
            key = ("0", str(m.queue))
            assert str(m.offset) in offsets[key], f"{m.offset} is not among {offsets}"
            ready = " ".join([starts[key], ext["popTime"], ext["invisibleTime"], ext["reviveQid"], "0",
                              env.broker_name, str(m.queue), str(m.offset)])
        found.append((m, ready))
    return found


def pop_until(env, c, topic, group, count, seconds=20.0, **more):
    found, deadline = [], time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        answer = c.call(POP, pop_header(topic, group, poll=1000, **more))
        if answer.code == SUCCESS:
            found += receipts(env, answer)
        else:
            expect(answer, POLLING_TIMEOUT)
    assert len(found) == count, f"{len(found)} messages of {count}"
    return found


def ack_header(topic, group, receipt, **more):
    words = receipt.split(" ")
    real = topic if words[4] == "0" else f"%RETRY%{group}_{topic}"
    return {"consumerGroup": group, "topic": real, "queueId": words[6], "extraInfo": receipt, "offset": words[7], **more}


@scenario(seconds=60)
def pop_redelivers_after_the_invisible_time(env):
    topic, group = env.topic("pop", 1), env.unique("pop")
    with env.connect(timeout=20) as c:
        send(c, topic, b"a", properties=properties(user="x"))
        send(c, topic, b"b")
        found = pop_until(env, c, topic, group, 2, invisible=3000)
        popped = NOW()
        (a, receipt_a), (b, receipt_b) = sorted(found, key=lambda pair: pair[0].body)
        expect(c.call(ACK, ack_header(topic, group, receipt_b)), SUCCESS)
        expect(c.call(ACK, ack_header(topic, group, receipt_b)), SUCCESS)
        expect(c.call(POP, pop_header(topic, group)), POLLING_TIMEOUT)
        (again, receipt), = pop_until(env, c, topic, group, 1)
        took = NOW() - popped
        assert 2500 < took < 12_000, f"again after {took} ms"
        assert (again.topic, again.body, again.reconsume_times) == (topic, b"a", 1), again
        assert again.properties["user"] == "x" and "1ST_POP_TIME" in again.properties, again.properties
        assert receipt.split(" ")[4] == "1", receipt
        assert again.properties["ORIGIN_GROUP"] == group, again.properties
        expect(c.call(ACK, ack_header(topic, group, receipt_a)), SUCCESS)
        expect(c.call(ACK, ack_header(topic, group, receipt)), SUCCESS)


@scenario(seconds=60)
def pop_change_of_the_invisible_time(env):
    topic, group = env.topic("pop-change", 1), env.unique("pop")
    with env.connect(timeout=20) as c:
        send(c, topic, b"a")
        (_, receipt), = pop_until(env, c, topic, group, 1, invisible=60_000)
        before = NOW()
        answer = expect(c.call(CHANGE, ack_header(topic, group, receipt, invisibleTime=2000)), SUCCESS)
        assert answer.ext["invisibleTime"] == "2000" and abs(int(answer.ext["popTime"]) - before) < 5000, answer
        (again, receipt), = pop_until(env, c, topic, group, 1, invisible=60_000)
        assert again.reconsume_times == 1, again.reconsume_times
        expect(c.call(ACK, ack_header(topic, group, receipt)), SUCCESS)


@scenario()
def pop_refusals(env):
    topic, group = env.topic("pop-codes", 2), env.unique("pop")
    with env.connect(timeout=20) as c:
        expect(c.call(POP, pop_header(topic, group, most=33)), INVALID_PARAMETER)
        expect(c.call(POP, pop_header(env.unique("none"), group)), TOPIC_NOT_EXIST)
        expect(c.call(POP, pop_header(topic, group, queue=2)), INVALID_PARAMETER)
        expect(c.call(POP, pop_header(topic, group, expType="SQL92", exp="a >")), PARSE_FAILED)
        expect(c.call(POP, pop_header(topic, group, poll=100, bornTime=NOW() - 5000)), POLLING_TIMEOUT)
        expect(c.call(POP, pop_header(topic, group)), POLLING_TIMEOUT)
        send(c, topic, b"a")
        (_, receipt), = pop_until(env, c, topic, group, 1)
        header = ack_header(topic, group, receipt)
        expect(c.call(ACK, {**header, "topic": env.unique("none")}), TOPIC_NOT_EXIST)
        expect(c.call(ACK, {**header, "queueId": 2}), MESSAGE_ILLEGAL)
        expect(c.call(ACK, {**header, "offset": 100}), NO_MESSAGE)
        expect(c.call(BATCH_ACK, {}, b""), NO_MESSAGE)
        expect(c.call(CHANGE, {**header, "queueId": 2, "invisibleTime": 1}), MESSAGE_ILLEGAL)
        expect(c.call(CHANGE, {**header, "offset": 1, "invisibleTime": 1}), NO_MESSAGE)
        expect(c.call(ACK, header), SUCCESS)


@scenario()
def pop_filters(env):
    topic, group = env.topic("pop-filter", 1), env.unique("pop")
    with env.connect(timeout=20) as c:
        for i in range(12):
            send(c, topic, b"%d" % i, properties=properties(TAGS="even" if i % 2 == 0 else "odd", n=str(i)))
        even = pop_until(env, c, topic, group, 6, expType="TAG", exp="even")
        assert sorted(int(m.body) for m, _ in even) == [0, 2, 4, 6, 8, 10]
        big = pop_until(env, c, topic, env.unique("pop"), 3, expType="SQL92", exp="n > 8")
        assert sorted(int(m.body) for m, _ in big) == [9, 10, 11]


@scenario()
def pop_waits_for_a_message(env):
    topic, group = env.topic("pop-wait", 4), env.unique("pop")
    with env.connect(timeout=20) as c, env.connect(timeout=20) as other:
        began = time.monotonic()
        expect(c.call(POP, pop_header(topic, group, poll=1500)), POLLING_TIMEOUT)
        took = time.monotonic() - began
        assert 1.2 < took < 6, took
        opaque, data = request(POP, pop_header(topic, group, poll=10_000))
        c.send(data)
        polling = {"consumerGroup": group, "topic": topic, "queueId": -1}
        eventually(lambda: other.call(POLLING_INFO, polling).ext["pollingNum"] == "1", 5, "one waits")
        began = time.monotonic()
        send(other, topic, b"a", queue=2)
        answer = expect(c.response(opaque), SUCCESS)
        took = time.monotonic() - began
        assert messages(answer.body)[0].body == b"a" and took < 3, took
        assert answer.ext["startOffsetInfo"] == "0 2 0" and answer.ext["msgOffsetInfo"] == "0 2 0", answer
        assert answer.ext["restNum"] == "0", answer


@scenario(seconds=60)
def pop_in_order(env):
    topic, group = env.topic("pop-order", 1), env.unique("pop")
    with env.connect(timeout=20) as c:
        for body in (b"a", b"b", b"c"):
            send(c, topic, body)
        eventually(lambda: c.call(PEEK, {"topic": topic, "queueId": 0, "maxMsgNums": 3, "consumerGroup": group}).code
                   in (SUCCESS, PULL_NOT_FOUND), 5)
        header = lambda **more: pop_header(topic, group, most=2, invisible=2500, order=True, **more)
        answer = eventually(lambda: (lambda a: a if a.code == SUCCESS else None)(c.call(POP, header())), 10)
        assert [m.body for m in messages(answer.body)] == [b"a", b"b"]
        assert answer.ext["reviveQid"] == "999", answer
        assert answer.ext["orderCountInfo"] == "0 0 0", answer.ext
        first = receipts(env, answer)
        expect(c.call(POP, header()), POLLING_TIMEOUT)
        expect(c.call(ACK, ack_header(topic, group, first[0][1])), SUCCESS)
        expect(c.call(POP, header()), POLLING_TIMEOUT)
        answer = expect(c.call(POP, header(poll=10_000)), SUCCESS)
        assert messages(answer.body)[0].body == b"b", "it comes again in its place"
        assert answer.ext["orderCountInfo"] == "0 qo0%1 1;0 0 0", answer.ext
        second = receipts(env, answer)
        illegal = ack_header(topic, group, second[0][1], offset=0)
        expect(c.call(ACK, illegal), SUCCESS)
        expect(c.call(ACK, {**illegal, "offset": 3}), MESSAGE_ILLEGAL)
        for _, receipt in second:
            expect(c.call(ACK, ack_header(topic, group, receipt)), SUCCESS)
        expect(c.call(POP, header()), POLLING_TIMEOUT)


@scenario(seconds=60)
def pop_attempt_id(env):
    topic, group = env.topic("pop-attempt", 1), env.unique("pop")
    with env.connect(timeout=20) as c:
        send(c, topic, b"a")
        header = lambda attempt: pop_header(topic, group, invisible=20_000, order=True, attemptId=attempt)
        eventually(lambda: c.call(POP, header("x")).code == SUCCESS, 10)
        expect(c.call(POP, header("y")), POLLING_TIMEOUT)
        answer = expect(c.call(POP, header("x")), SUCCESS)
        assert messages(answer.body)[0].body == b"a" and answer.ext["orderCountInfo"] == "0 0 0", answer
        (_, receipt), = receipts(env, answer)
        changed = expect(c.call(CHANGE, ack_header(topic, group, receipt, invisibleTime=30_000)), SUCCESS)
        assert changed.ext["popTime"] == receipt.split(" ")[1], changed
        assert int(changed.ext["invisibleTime"]) >= 30_000 and changed.ext["reviveQid"] == "999", changed


@scenario(seconds=60)
def pop_batch_ack(env):
    topic, group = env.topic("pop-batch", 1), env.unique("pop")
    with env.connect(timeout=20) as c:
        for i in range(10):
            send(c, topic, b"%d" % i)
        eventually(lambda: c.call(PEEK, {"topic": topic, "queueId": 0, "maxMsgNums": 32, "consumerGroup": group}).code
                   in (SUCCESS, PULL_NOT_FOUND), 5)
        time.sleep(0.5)
        answer = expect(c.call(POP, pop_header(topic, group, invisible=3000)), SUCCESS)
        assert len(messages(answer.body)) == 10
        # All but 3 and 9, and some that were never there.
        bits = base64.b64encode(bytes([0b11110111, 0b11111101])).decode()
        ack = {"c": group, "t": topic, "r": "0", "so": 0, "q": 0, "rq": int(answer.ext["reviveQid"]),
               "pt": int(answer.ext["popTime"]), "it": 3000, "b": bits}
        expect(c.call(BATCH_ACK, {}, json.dumps({"brokerName": env.broker_name, "acks": [ack]}).encode()), SUCCESS)
        again = pop_until(env, c, topic, group, 2, invisible=60_000, seconds=40)
        assert sorted(m.body for m, _ in again) == [b"3", b"9"]


@scenario()
def pop_notification(env):
    topic, group = env.topic("pop-notice", 2), env.unique("pop")
    header = lambda poll: {"consumerGroup": group, "topic": topic, "queueId": -1, "pollTime": poll, "bornTime": NOW()}
    with env.connect(timeout=20) as c, env.connect(timeout=20) as other:
        # A group that is new has messages when the topic has.
        assert expect(c.call(NOTIFICATION, header(0)), SUCCESS).ext["hasMsg"] == "false"
        expect(c.call(POP, pop_header(topic, group)), POLLING_TIMEOUT)
        opaque, data = request(NOTIFICATION, header(8000))
        c.send(data)
        time.sleep(0.3)
        send(other, topic, b"a")
        answer = expect(c.response(opaque), SUCCESS)
        assert answer.ext["hasMsg"] == "true" and answer.ext.get("pollingFull", "false") == "false", answer


@scenario()
def request_modes(env):
    topic, group = env.topic("modes", 3), env.unique("modes")
    set_mode = lambda c, **more: c.call(SET_MODE, {}, json.dumps(
        {"topic": topic, "consumerGroup": group, "mode": "POP", "popShareQueueNum": 0, **more}).encode())
    ask = lambda c: expect(c.call(QUERY_ASSIGNMENT, {}, json.dumps(
        {"topic": topic, "consumerGroup": group, "clientId": "one", "strategyName": "AVG",
         "messageModel": "CLUSTERING"}).encode()), SUCCESS)
    with env.connect(timeout=20) as c:
        expect(set_mode(c, topic=env.unique("none")), TOPIC_NOT_EXIST)
        expect(set_mode(c, topic="%RETRY%" + group), NO_PERMISSION)
        expect(c.call(HEART_BEAT, {}, heartbeat("one", group, topic)), SUCCESS)
        rows = eventually(lambda: json.loads(ask(c).body).get("messageQueueAssignments"), 10)
        assert sorted((r["messageQueue"]["queueId"], r["mode"]) for r in rows) == [(i, "PULL") for i in range(3)], rows
        eventually(lambda: set_mode(c).code == SUCCESS, 10)
        rows = json.loads(ask(c).body)["messageQueueAssignments"]
        assert [(r["messageQueue"]["queueId"], r["messageQueue"]["brokerName"], r["mode"]) for r in rows] == [
            (-1, env.broker_name, "POP")], rows
        table = json.loads(expect(c.call(ALL_MODES), SUCCESS).body)["messageRequestModeMap"]
        assert table[topic][group]["mode"] == "POP", table[topic]
