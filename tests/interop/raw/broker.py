"""The broker seen by clients that are stranger than any library."""

import json
import time

from harness import (COMMIT, CONSUMER_SEND_MSG_BACK, GET_BROKER_CONFIG, GET_CONSUMER_LIST, GET_EARLIEST_MSG_STORETIME,
                     GET_MAX_OFFSET, GET_MIN_OFFSET, HEART_BEAT, INVALID_PARAMETER, LITE_PULL_MESSAGE,
                     LOCK_BATCH_MQ, MESSAGE_ILLEGAL, NO_PERMISSION, NOT_SUPPORTED, NOTIFY_CONSUMER_IDS_CHANGED, PULL_MESSAGE,
                     PULL_NOT_FOUND, PULL_OFFSET_MOVED, PULL_RETRY_IMMEDIATELY, QUERY_CONSUMER_OFFSET, QUERY_MESSAGE,
                     QUERY_NOT_FOUND, SEARCH_OFFSET_BY_TIMESTAMP, SEND_BATCH_MESSAGE, SEND_MESSAGE, SEND_MESSAGE_V2,
                     SUBSCRIPTION, SUCCESS, SUSPEND, SYSTEM_ERROR, TOPIC_NOT_EXIST, UNLOCK_BATCH_MQ, UNREGISTER_CLIENT,
                     UPDATE_CONSUMER_OFFSET, VIEW_MESSAGE_BY_ID, eventually, expect, heartbeat, pull_header, pull_until,
                     scenario, send, send_header)
from remoting import batch, messages, properties, request, route


# Sending.

@scenario()
def send_to_illegal_topic_names(env):
    with env.connect() as c:
        for topic in ("with space", "exclaim!", "täg", "a/b", "a.b", "", "t" * 128, "%RETRY%" + "g" * 249):
            for code in (SEND_MESSAGE_V2, SEND_MESSAGE):
                answer = c.call(code, send_header(topic, v2=code != SEND_MESSAGE), b"x")
                assert answer.code == INVALID_PARAMETER, f"{topic!r}: {answer}"
        expect(c.call(SEND_MESSAGE_V2, send_header(env.unique("t" * 80)), b"x"), SUCCESS)


@scenario()
def send_without_auto_create(env):
    topic = env.unique("never")
    with env.connect() as c:
        expect(c.call(SEND_MESSAGE_V2, send_header(topic, default="no-such-default"), b"x"), TOPIC_NOT_EXIST)
        # A default topic that exists but hands nothing down.
        existing = env.topic("no-inherit")
        expect(c.call(SEND_MESSAGE_V2, send_header(topic, default=existing), b"x"), TOPIC_NOT_EXIST)
    assert route(env.namesrv, topic) is None


@scenario()
def auto_create_takes_the_smaller_queue_count(env):
    for asked, made in ((2, 2), (4, 4), (100, 8)):
        topic = env.unique("auto")
        with env.connect() as c:
            answer = expect(c.call(SEND_MESSAGE_V2, send_header(topic, defaultTopicQueueNums=asked), b"x"), SUCCESS)
            assert answer.ext["queueOffset"] == "0"
        queues = eventually(lambda: route(env.namesrv, topic), 10)["queueDatas"]
        assert queues == [{"brokerName": env.broker_name, "perm": 6, "readQueueNums": made, "topicSysFlag": 0,
                           "writeQueueNums": made}], queues


@scenario()
def send_to_queue_out_of_range(env):
    topic = env.topic("two-queues", queues=2)
    with env.connect() as c:
        for queue in (2, 100, 2**31 - 1):
            expect(c.call(SEND_MESSAGE_V2, send_header(topic, queue), b"x"), INVALID_PARAMETER)
        picked = {send(c, topic, queue=-1).ext["queueId"] for _ in range(50)}
        assert picked == {"0", "1"}, f"a negative queue means any: {picked}"


@scenario()
def send_to_topics_not_allowed(env):
    with env.connect() as c:
        for topic in ("SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC", "RMQ_SYS_TRANS_OP_HALF_TOPIC",
                      "TRANS_CHECK_MAX_TIME_TOPIC", "SELF_TEST_TOPIC", "OFFSET_MOVED_EVENT"):
            answer = c.call(SEND_MESSAGE_V2, send_header(topic), b"x")
            assert answer.code == NO_PERMISSION, f"{topic}: {answer}"


@scenario()
def send_sizes(env):
    topic = env.topic("sizes")
    limit = 4 * 1024 * 1024
    with env.connect(timeout=20) as c:
        expect(c.call(SEND_MESSAGE_V2, send_header(topic), b"x" * (limit + 1)), MESSAGE_ILLEGAL)
        expect(c.call(SEND_MESSAGE_V2, send_header(topic, properties="a\x01" + "p" * 33000 + "\x02"), b"x"), MESSAGE_ILLEGAL)
        answer = c.call(SEND_MESSAGE_V2, send_header(topic), b"")
        assert answer.code != SUCCESS, "a body of no bytes is refused"
        answer = send(c, topic, b"y" * limit)
        assert answer.ext["queueOffset"] == "0", "nothing refused was stored"
        assert pull_until(c, topic, 1)[0].body == b"y" * limit


@scenario()
def send_answer_and_stored_record(env):
    topic = env.topic("record")
    born = int(time.time() * 1000)
    text = properties(KEYS="k1 k2", TAGS="tag", user="välue", UNIQ_KEY="0A0B0C0D")
    with env.connect() as c:
        answer = send(c, topic, b"body", flag=42, bornTimestamp=born, properties=text, group="pg")
        assert answer.ext["transactionId"] == "0A0B0C0D", answer
        assert answer.ext["MSG_REGION"] == "DefaultRegion" and answer.ext["TRACE_ON"] == "true", answer
        m, = pull_until(c, topic, 1)
        assert (m.flag, m.born, m.queue, m.offset, m.topic) == (42, born, 0, 0, topic)
        assert m.properties["KEYS"] == "k1 k2" and m.properties["TAGS"] == "tag" and m.properties["user"] == "välue"
        assert m.properties["UNIQ_KEY"] == "0A0B0C0D" and m.properties["CLUSTER"] == env.cluster, m.properties
        assert m.properties["MSG_REGION"] == "DefaultRegion" and m.properties["TRACE_ON"] == "true", m.properties
        assert f"{m.store_host[0]}:{m.store_host[1]}" == env.broker
        assert m.born_host == c.socket.getsockname()[:2], "the born host is the peer address"
        assert abs(m.stored - born) < 60_000
        assert answer.ext["msgId"].endswith(f"{m.position:016X}"), "the message id holds the log position"
        send(c, topic, b"second")
        first, second = pull_until(c, topic, 2)
        assert len(second.properties["UNIQ_KEY"]) in (32, 56), "the broker makes an id when there is none"
        assert second.position >= first.position + first.size


@scenario()
def batch_send_splits(env):
    topic = env.topic("batch")
    bodies = [b"first", b"second", b"third"]
    with env.connect() as c:
        send(c, topic, b"before")
        for code, v2 in ((SEND_BATCH_MESSAGE, True), (SEND_MESSAGE_V2, True)):
            data = batch(bodies, properties(KEYS="k", TAGS="t"))
            answer = expect(c.call(code, send_header(topic, 0, v2, batch=True), data), SUCCESS)
            assert len(answer.ext["msgId"].split(",")) == 3, answer
        assert answer.ext["queueOffset"] == "4", answer
        found = pull_until(c, topic, 7)
        assert [m.body for m in found] == [b"before", *bodies, *bodies]
        assert [m.offset for m in found] == list(range(7))
        assert all(m.properties["KEYS"] == "k" and m.properties["TAGS"] == "t" for m in found[1:])
        ids = answer.ext["msgId"].split(",")
        assert [i[-16:] for i in ids] == [f"{m.position:016X}" for m in found[4:]]
        # A batch with a delay, and one to a retry topic, are refused.
        delayed = send_header(topic, batch=True, properties=properties(DELAY="1"))
        expect(c.call(SEND_BATCH_MESSAGE, delayed, batch(bodies)), MESSAGE_ILLEGAL)


@scenario()
def batch_malformed(env):
    topic = env.topic("bad-batch")
    with env.connect() as c:
        for data in (b"garbage", batch([b"x" * 100])[:50], b"\xff" * 64):
            answer = c.call(SEND_BATCH_MESSAGE, send_header(topic, batch=True), data)
            assert answer.code != SUCCESS, answer
        assert send(c, topic).ext["queueOffset"] == "0", "nothing of it was stored"


@scenario()
def fast_port(env):
    topic = env.topic("fast")
    with env.connect(env.fast) as c, env.connect() as normal:
        assert send(c, topic, b"through the fast port").ext["queueOffset"] == "0"
        expect(c.call(PULL_MESSAGE, pull_header(topic)), NOT_SUPPORTED)
        expect(c.call(LITE_PULL_MESSAGE, pull_header(topic)), NOT_SUPPORTED)
        expect(c.call(HEART_BEAT, {}, heartbeat(env.unique("client"), producer="p")), SUCCESS)
        expect(c.call(GET_MAX_OFFSET, {"topic": topic, "queueId": 0}), SUCCESS)
        assert pull_until(normal, topic, 1)[0].body == b"through the fast port"


# Pulling.

@scenario()
def pull_codes(env):
    """The table of read results: code, next offset, bounds."""
    empty, topic = env.topic("empty"), env.topic("pull", queues=2)
    with env.connect() as c:
        for n in range(10):
            send(c, topic, b"%d" % n)
        pull_until(c, topic, 10)

        def check(name, header, code, next_offset=None, bounds=(0, 10)):
            answer = c.call(PULL_MESSAGE, header)
            assert answer.code == code, f"{name}: expected {code}, got {answer}"
            if next_offset is not None:
                got = tuple(int(answer.ext[k]) for k in ("nextBeginOffset", "minOffset", "maxOffset"))
                assert got == (next_offset, *bounds), f"{name}: next, min, max are {got}"
            return answer

        check("empty queue", pull_header(empty), PULL_NOT_FOUND, 0, (0, 0))
        check("empty queue, offset beyond", pull_header(empty, offset=5), PULL_OFFSET_MOVED, 0, (0, 0))
        check("queue never written", pull_header(topic, queue=1), PULL_NOT_FOUND, 0, (0, 0))
        check("below the minimum", pull_header(topic, offset=-5), PULL_OFFSET_MOVED, 0)
        check("at the end", pull_header(topic, offset=10), PULL_NOT_FOUND, 10)
        check("far beyond the end", pull_header(topic, offset=11), PULL_OFFSET_MOVED, 10)
        answer = check("all", pull_header(topic), SUCCESS, 10)
        assert [m.body for m in messages(answer.body)] == [b"%d" % n for n in range(10)]
        answer = check("three from four on", pull_header(topic, offset=4, most=3), SUCCESS, 7)
        assert [m.offset for m in messages(answer.body)] == [4, 5, 6]
        check("nothing matches", pull_header(topic, subscription="absent"), PULL_RETRY_IMMEDIATELY, 10)
        check("unknown topic", pull_header(env.unique("nowhere")), TOPIC_NOT_EXIST)
        check("queue out of range", pull_header(topic, queue=2), INVALID_PARAMETER)
        check("negative queue", pull_header(topic, queue=-1), INVALID_PARAMETER)
        check("lite", pull_header(topic), SUCCESS, 10)
        answer = expect(c.call(LITE_PULL_MESSAGE, pull_header(topic)), SUCCESS)
        assert len(messages(answer.body)) == 10


@scenario()
def pull_filters_by_tag(env):
    topic = env.topic("tags")
    with env.connect() as c:
        for n in range(30):
            send(c, topic, b"%d" % n, properties=properties(TAGS="abc"[n % 3]))
        pull_until(c, topic, 30)
        for expression, wanted in (("a", "a"), ("a || b", "ab"), ("b||c", "bc"), ("*", "abc"), (" a ||  || c ", "ac")):
            answer = expect(c.call(PULL_MESSAGE, pull_header(topic, subscription=expression)), SUCCESS)
            got = [m.body for m in messages(answer.body)]
            assert got == [b"%d" % n for n in range(30) if "abc"[n % 3] in wanted], f"{expression!r}: {got}"
            assert answer.ext["nextBeginOffset"] == "30"


@scenario()
def pull_answer_has_at_most_32(env):
    topic = env.topic("many")
    with env.connect() as c:
        for n in range(100):
            send(c, topic, b"%d" % n)
        pull_until(c, topic, 100)
        answer = expect(c.call(PULL_MESSAGE, pull_header(topic, most=1000)), SUCCESS)
        found = messages(answer.body)
        assert 1 <= len(found) <= 100 and [m.offset for m in found] == list(range(len(found)))
        assert int(answer.ext["nextBeginOffset"]) == len(found)
        answer = expect(c.call(PULL_MESSAGE, pull_header(topic, most=5)), SUCCESS)
        assert len(messages(answer.body)) == 5


@scenario()
def pull_without_subscription_in_header(env):
    topic, group = env.topic("stored-subscription"), env.unique("group")
    with env.connect() as c:
        send(c, topic)
        expect(c.call(PULL_MESSAGE, pull_header(topic, group=group, flags=0)), 24)
        expect(c.call(HEART_BEAT, {}, heartbeat(env.unique("client"), group, topic)), SUCCESS)
        pull_until(c, topic, 1, group=group, flags=0)
        expect(c.call(PULL_MESSAGE, pull_header(env.topic("other"), group=group, flags=0)), 24)


def no_answer(c, seconds):
    """Nothing comes for a while: the only proof that a request is held."""
    try:
        answer = c.response(timeout=seconds)
    except TimeoutError:
        return
    raise AssertionError(f"answered early: {answer}")


@scenario()
def long_poll_wakes(env):
    topic = env.topic("long-poll")
    with env.connect() as c, env.connect() as producer:
        for n in range(5):
            opaque, data = request(PULL_MESSAGE, pull_header(topic, offset=n, flags=SUSPEND | SUBSCRIPTION, suspend=15000))
            c.send(data)
            no_answer(c, 0.3)
            began = time.monotonic()
            send(producer, topic, b"%d" % n)
            answer = expect(c.response(opaque), SUCCESS)
            waited = time.monotonic() - began
            assert messages(answer.body)[0].body == b"%d" % n
            assert waited < 0.5, f"woken after {waited:.3f} s"


@scenario()
def long_poll_wakes_only_for_matching_tags(env):
    topic = env.topic("long-poll-tags")
    with env.connect() as c, env.connect() as producer:
        header = pull_header(topic, flags=SUSPEND | SUBSCRIPTION, suspend=15000, subscription="yes")
        opaque, data = request(PULL_MESSAGE, header)
        c.send(data)
        no_answer(c, 0.3)
        send(producer, topic, b"0", properties=properties(TAGS="no"))
        try:
            # Java's round every five seconds wakes without looking at tags; the answer is then that nothing matches.
            answer = expect(c.response(opaque, timeout=1), PULL_RETRY_IMMEDIATELY)
            assert answer.ext["nextBeginOffset"] == "1", answer
            opaque, data = request(PULL_MESSAGE, header | {"queueOffset": 1})
            c.send(data)
        except TimeoutError:
            pass
        send(producer, topic, b"1", properties=properties(TAGS="yes"))
        answer = expect(c.response(opaque), SUCCESS)
        assert [m.body for m in messages(answer.body)] == [b"1"]
        assert answer.ext["nextBeginOffset"] == "2"


@scenario()
def long_poll_times_out(env):
    topic = env.topic("long-poll-timeout")
    with env.connect(timeout=15) as c:
        began = time.monotonic()
        answer = c.call(PULL_MESSAGE, pull_header(topic, flags=SUSPEND | SUBSCRIPTION, suspend=1500))
        waited = time.monotonic() - began
        expect(answer, PULL_NOT_FOUND)
        assert answer.ext["nextBeginOffset"] == "0"
        # Java looks every five seconds only.
        assert 1.4 < waited < 8, f"answered after {waited:.2f} s"
        began = time.monotonic()
        expect(c.call(PULL_MESSAGE, pull_header(topic, flags=SUBSCRIPTION, suspend=15000)), PULL_NOT_FOUND)
        assert time.monotonic() - began < 1, "without the suspend bit the answer comes at once"


@scenario()
def long_poll_does_not_hold_up_its_connection(env):
    topic = env.topic("long-poll-shared")
    with env.connect() as c:
        opaque, data = request(PULL_MESSAGE, pull_header(topic, flags=SUSPEND | SUBSCRIPTION, suspend=15000))
        c.send(data)
        for n in range(20):
            expect(c.call(GET_MIN_OFFSET, {"topic": topic, "queueId": 0}), SUCCESS)
        sent, data = request(SEND_MESSAGE_V2, send_header(topic), b"mine")
        c.send(data)
        answers = {a.opaque: a for a in (c.response(), c.response())}
        assert set(answers) == {opaque, sent}
        assert messages(answers[opaque].body)[0].body == b"mine"


# Offsets.

@scenario()
def consumer_offsets(env):
    topic, group = env.topic("offsets"), env.unique("group")
    key = {"consumerGroup": group, "topic": topic, "queueId": 0}
    with env.connect() as c:
        for n in range(5):
            send(c, topic)
        pull_until(c, topic, 5)
        expect(c.call(QUERY_CONSUMER_OFFSET, key | {"setZeroIfNotFound": False}), QUERY_NOT_FOUND)
        # The log is young: everything is in memory, so a new group starts at zero.
        answer = expect(c.call(QUERY_CONSUMER_OFFSET, key), SUCCESS)
        assert answer.ext["offset"] == "0"
        expect(c.call(QUERY_CONSUMER_OFFSET, key | {"setZeroIfNotFound": False}), QUERY_NOT_FOUND)
        expect(c.call(HEART_BEAT, {}, heartbeat(env.unique("client"), group, topic)), SUCCESS)
        for offset in (3, 5, 1):
            expect(c.call(UPDATE_CONSUMER_OFFSET, key | {"commitOffset": offset}), SUCCESS)
            assert c.call(QUERY_CONSUMER_OFFSET, key).ext["offset"] == str(offset)
        expect(c.call(UPDATE_CONSUMER_OFFSET, key | {"topic": env.unique("nowhere"), "commitOffset": 1}), TOPIC_NOT_EXIST)


@scenario()
def pull_commits_offset(env):
    topic, group = env.topic("pull-commit"), env.unique("group")
    key = {"consumerGroup": group, "topic": topic, "queueId": 0}
    with env.connect() as c:
        send(c, topic)
        pull_until(c, topic, 1)
        expect(c.call(PULL_MESSAGE, pull_header(topic, group=group, flags=COMMIT | SUBSCRIPTION, commit=1)), SUCCESS)
        assert expect(c.call(QUERY_CONSUMER_OFFSET, key), SUCCESS).ext["offset"] == "1"


@scenario()
def queue_bounds_and_times(env):
    topic = env.topic("bounds", queues=2)
    with env.connect() as c:
        key = {"topic": topic, "queueId": 0}
        before = int(time.time() * 1000) - 1000
        assert c.call(GET_EARLIEST_MSG_STORETIME, key).ext["timestamp"] == "-1"
        for n in range(5):
            send(c, topic)
        found = pull_until(c, topic, 5)
        value = lambda code, **more: int(expect(c.call(code, key | more), SUCCESS).ext["offset"])  # noqa: E731
        assert value(GET_MAX_OFFSET) == 5 and value(GET_MIN_OFFSET) == 0
        assert c.call(GET_EARLIEST_MSG_STORETIME, key).ext["timestamp"] == str(found[0].stored)
        assert value(SEARCH_OFFSET_BY_TIMESTAMP, timestamp=before) == 0
        assert value(SEARCH_OFFSET_BY_TIMESTAMP, timestamp=found[-1].stored + 1) == 5
        third = found[2].stored
        first_at = next(m.offset for m in found if m.stored == third)
        assert value(SEARCH_OFFSET_BY_TIMESTAMP, timestamp=third) == first_at
        last_at = [m.offset for m in found if m.stored == third][-1]
        assert value(SEARCH_OFFSET_BY_TIMESTAMP, timestamp=third, boundaryType="upper") == last_at
        key["queueId"] = 1
        assert value(GET_MAX_OFFSET) == 0 and value(GET_MIN_OFFSET) == 0
        assert value(SEARCH_OFFSET_BY_TIMESTAMP, timestamp=before) == 0


# Groups.

@scenario()
def group_members_and_notifications(env):
    topic, group = env.topic("members"), env.unique("group")
    one, two = env.unique("one"), env.unique("two")
    members = lambda c: sorted(json.loads(expect(  # noqa: E731
        c.call(GET_CONSUMER_LIST, {"consumerGroup": group}), SUCCESS).body)["consumerIdList"])
    notified = lambda c: sum(1 for f in c.pushed  # noqa: E731
                             if f.code == NOTIFY_CONSUMER_IDS_CHANGED and f.ext["consumerGroup"] == group)

    def notified_again(c, before):
        def look():
            members(c)
            return notified(c) > before
        eventually(look, 5, "a notification that the members changed")

    with env.connect() as a, env.connect() as b:
        expect(a.call(GET_CONSUMER_LIST, {"consumerGroup": group}), SYSTEM_ERROR)
        expect(a.call(HEART_BEAT, {}, heartbeat(one, group, topic)), SUCCESS)
        assert members(a) == [one]
        before = notified(a)
        expect(b.call(HEART_BEAT, {}, heartbeat(two, group, topic)), SUCCESS)
        assert members(a) == sorted([one, two])
        notified_again(a, before)
        before = notified(a)
        expect(b.call(UNREGISTER_CLIENT, {"clientID": two, "consumerGroup": group}), SUCCESS)
        assert members(a) == [one]
        notified_again(a, before)
        expect(b.call(HEART_BEAT, {}, heartbeat(two, group, topic)), SUCCESS)
        before = notified(a)
        b.socket.close()
        eventually(lambda: members(a) == [one], 10, "a closed connection leaves the group")
        notified_again(a, before)
    with env.connect() as c:
        eventually(lambda: c.call(GET_CONSUMER_LIST, {"consumerGroup": group}).code == SYSTEM_ERROR, 10, "empty group")


@scenario()
def heartbeat_makes_the_retry_topic(env):
    topic, group = env.topic("beat"), env.unique("group")
    with env.connect() as c:
        answer = expect(c.call(HEART_BEAT, {}, heartbeat(env.unique("client"), group, topic)), SUCCESS)
        assert answer.ext["IS_SUPPORT_HEART_BEAT_V2"] == "true" and answer.ext["IS_SUB_CHANGE"] == "true", answer
        found = eventually(lambda: route(env.namesrv, "%RETRY%" + group), 10, "the retry topic")
        assert found["queueDatas"][0]["readQueueNums"] == 1 and found["queueDatas"][0]["perm"] == 6, found
        expect(c.call(HEART_BEAT, {}, b"not json"), SYSTEM_ERROR)


@scenario()
def lock_and_unlock_queues(env):
    topic, group = env.topic("locks", queues=4), env.unique("group")
    queue = lambda n: {"topic": topic, "brokerName": env.broker_name, "queueId": n}  # noqa: E731

    def lock(c, client, *queues):
        body = {"clientId": client, "consumerGroup": group, "mqSet": [queue(n) for n in queues], "onlyThisBroker": False}
        answer = expect(c.call(LOCK_BATCH_MQ, {}, json.dumps(body).encode()), SUCCESS)
        return sorted(q["queueId"] for q in json.loads(answer.body)["lockOKMQSet"])

    def unlock(c, client, *queues):
        body = {"clientId": client, "consumerGroup": group, "mqSet": [queue(n) for n in queues]}
        expect(c.call(UNLOCK_BATCH_MQ, {}, json.dumps(body).encode()), SUCCESS)

    with env.connect() as c:
        assert lock(c, "one", 0, 1) == [0, 1]
        assert lock(c, "one", 0, 1) == [0, 1], "one's own locks again"
        assert lock(c, "two", 0, 1, 2) == [2]
        unlock(c, "two", 0)
        assert lock(c, "two", 0) == [], "only the owner unlocks"
        unlock(c, "one", 0, 1)
        assert lock(c, "two", 0, 1, 3) == [0, 1, 3]


@scenario()
def send_back_to_retry_topic(env):
    topic, group = env.topic("send-back"), env.unique("group")
    with env.connect() as c:
        expect(c.call(HEART_BEAT, {}, heartbeat(env.unique("client"), group, topic)), SUCCESS)
        answer = send(c, topic, b"again", properties=properties(KEYS="k", TAGS="t"))
        original, = pull_until(c, topic, 1)
        back = {"offset": original.position, "group": group, "delayLevel": 1, "originMsgId": answer.ext["msgId"],
                "originTopic": topic, "unitMode": False, "maxReconsumeTimes": 16}
        expect(c.call(CONSUMER_SEND_MSG_BACK, back), SUCCESS)
        began = time.monotonic()
        retried, = pull_until(c, "%RETRY%" + group, 1, group=group)
        assert 0.5 < time.monotonic() - began < 6, "level 1 is a second"
        assert retried.body == b"again" and retried.reconsume_times == 1
        assert retried.properties["RETRY_TOPIC"] == topic and retried.properties["ORIGIN_MESSAGE_ID"] == answer.ext["msgId"]
        assert retried.properties["KEYS"] == "k" and retried.properties["TAGS"] == "t"
        # A negative level goes to the dead letters at once.
        expect(c.call(CONSUMER_SEND_MSG_BACK, back | {"delayLevel": -1}), SUCCESS)
        dead, = pull_until(c, "%DLQ%" + group, 1, group=group)
        assert dead.body == b"again" and dead.reconsume_times == 1
        expect(c.call(CONSUMER_SEND_MSG_BACK, back | {"offset": 10**15}), SYSTEM_ERROR)


# Finding messages.

@scenario()
def view_message_by_id(env):
    topic = env.topic("view")
    with env.connect() as c:
        position = int(send(c, topic, b"seen").ext["msgId"][-16:], 16)
        found, = messages(expect(c.call(VIEW_MESSAGE_BY_ID, {"topic": topic, "offset": position}), SUCCESS).body)
        assert found.body == b"seen" and found.position == position
        expect(c.call(VIEW_MESSAGE_BY_ID, {"topic": topic, "offset": 10**15}), SYSTEM_ERROR)


@scenario()
def query_message_by_key(env):
    topic, key = env.topic("query"), env.unique("key")
    header = {"topic": topic, "key": key, "maxNum": 10, "beginTimestamp": 0, "endTimestamp": 2**62}
    with env.connect() as c:
        expect(c.call(QUERY_MESSAGE, header), QUERY_NOT_FOUND)
        for n in range(3):
            send(c, topic, b"%d" % n, properties=properties(KEYS=f"{key} other", UNIQ_KEY=f"{key}-{n}"))
        send(c, topic, b"not this", properties=properties(KEYS="something"))

        def found(**more):
            answer = c.call(QUERY_MESSAGE, header | more)
            return sorted(m.body for m in messages(answer.body)) if answer.code == SUCCESS else []
        eventually(lambda: found() == [b"0", b"1", b"2"], 10, "three by key")
        assert found(key="other") == [b"0", b"1", b"2"]
        assert found(key=f"{key}-1", _UNIQUE_KEY_QUERY="true") == [b"1"]
        assert len(found(maxNum=2)) == 2
        assert found(endTimestamp=1000) == []


@scenario()
def broker_config(env):
    with env.connect() as c:
        text = expect(c.call(GET_BROKER_CONFIG), SUCCESS).body.decode()
        values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        assert values["brokerName"] == env.broker_name and values["brokerClusterName"] == env.cluster, text[:500]
