"""Frames, good and bad."""

import json
import random
import resource
import socket
import struct

from harness import (GET_MAX_OFFSET, GET_ROUTEINFO, HEART_BEAT, NOT_SUPPORTED, PULL_MESSAGE, SEND_MESSAGE, SEND_MESSAGE_V2,
                     SUCCESS, expect, eventually, heartbeat, pull_header, scenario, send_header)
from remoting import ONEWAY, Closed, Connection, frame, json_header, messages, next_opaque, request


def round_trip(env, binary):
    topic = env.topic("framing")
    with env.connect(env.namesrv) as c:
        answer = expect(c.call(GET_ROUTEINFO, {"topic": topic}, binary=binary), SUCCESS)
        assert env.broker_name.encode() in answer.body
    with env.connect() as c:
        beat = heartbeat(env.unique("client"), env.unique("group"), topic)
        answer = expect(c.call(HEART_BEAT, {}, beat, binary=binary), SUCCESS)
        assert answer.flag & 1
        for n, (code, v2) in enumerate(((SEND_MESSAGE_V2, True), (SEND_MESSAGE, False))):
            body = b"\x00\x01binary\xff" + bytes([n])
            answer = expect(c.call(code, send_header(topic, 0, v2, "KEYS\x01kä\x02"), body, binary=binary), SUCCESS)
            assert answer.ext["queueId"] == "0" and answer.ext["queueOffset"] == str(n), answer
            assert len(answer.ext["msgId"]) in (32, 56), answer

        def both():
            answer = c.call(PULL_MESSAGE, pull_header(topic), binary=binary)
            found = messages(answer.body) if answer.code == SUCCESS else []
            return found if len(found) == 2 else None
        found = eventually(both)
        assert [m.body for m in found] == [b"\x00\x01binary\xff\x00", b"\x00\x01binary\xff\x01"]
        assert all(m.properties["KEYS"] == "kä" for m in found)


@scenario()
def frame_json_header(env):
    round_trip(env, binary=False)


@scenario()
def frame_binary_header(env):
    round_trip(env, binary=True)


@scenario()
def unknown_code(env):
    for address in (env.namesrv, env.broker, env.fast):
        with env.connect(address) as c:
            for code in (9999, 13, 22, 27):
                if address == env.namesrv or code != 13:
                    expect(c.call(code), NOT_SUPPORTED)


@scenario()
def oneway_gets_no_answer(env):
    topic = env.topic("oneway")
    with env.connect() as c:
        for code, ext in ((GET_MAX_OFFSET, {"topic": topic, "queueId": 0}), (9999, {}), (SEND_MESSAGE_V2, {})):
            c.send(request(code, ext, flag=ONEWAY)[1])
        # `call` fails on an answer with another opaque.
        for _ in range(5):
            expect(c.call(GET_MAX_OFFSET, {"topic": topic, "queueId": 0}), SUCCESS)
    with env.connect(env.namesrv) as c:
        c.send(request(GET_ROUTEINFO, {"topic": "no-such-topic"}, flag=ONEWAY)[1])
        expect(c.call(GET_ROUTEINFO, {"topic": topic}), SUCCESS)


@scenario()
def pipelined_requests(env):
    topic = env.topic("pipelined")
    for address, code, ext in ((env.broker, GET_MAX_OFFSET, {"topic": topic, "queueId": 0}),
                               (env.namesrv, GET_ROUTEINFO, {"topic": topic})):
        with env.connect(address, timeout=30) as c:
            made = [request(code, ext) for _ in range(1000)]
            c.send(b"".join(data for _, data in made))
            answered = [c.response() for _ in made]
            assert sorted(a.opaque for a in answered) == sorted(opaque for opaque, _ in made)
            assert all(a.code == SUCCESS for a in answered)


@scenario()
def pipelined_sends_keep_their_order(env):
    topic = env.topic("pipelined-sends")
    with env.connect(timeout=30) as c:
        for round_ in range(10):
            made = [request(SEND_MESSAGE_V2, send_header(topic), b"%d" % n) for n in range(20)]
            c.send(b"".join(data for _, data in made))
            offsets = [int(expect(c.response(), SUCCESS).ext["queueOffset"]) for _ in made]
            assert sorted(offsets) == list(range(round_ * 20, round_ * 20 + 20)), offsets


def serves(env, address):
    with env.connect(address) as c:
        expect(c.call(9999), NOT_SUPPORTED)


def hostile(env, data):
    """The connection is closed or the answer is an error; others are served all the same."""
    for address in (env.namesrv, env.broker):
        with env.connect(address) as other, env.connect(address) as c:
            c.send(data)
            try:
                answer = c.response(timeout=5)
                assert answer.code != SUCCESS, answer
            except Closed:
                pass
            expect(other.call(9999), NOT_SUPPORTED)
        serves(env, address)


def wire(length, mark, rest=b""):
    return struct.pack(">iI", length, mark) + rest


@scenario()
def bad_length_17_megabytes(env):
    hostile(env, wire(17 << 20, 100, b"x" * 4096))


@scenario()
def bad_length_negative(env):
    hostile(env, wire(-1, 100, b"x" * 100))


@scenario()
def bad_length_minimum(env):
    hostile(env, wire(-2**31, 100, b"x" * 100))


@scenario()
def bad_length_below_four(env):
    # Java looks at twelve bytes before anything else (the PROXY protocol's signature), so six alone would wait.
    hostile(env, struct.pack(">i", 2) + b"x" * 20)


@scenario()
def bad_header_length(env):
    hostile(env, wire(104, 5000, b"x" * 100))


@scenario()
def bad_serialize_type(env):
    header = json_header(105, {"topic": "t"}, opaque=1)
    hostile(env, frame(header, kind=7))


@scenario()
def bad_json(env):
    hostile(env, frame(b'{"code":105,"opaque":1,'))


@scenario()
def bad_json_of_other_shape(env):
    hostile(env, frame(b'[1,2,3]'))


@scenario()
def bad_utf8(env):
    # Java decodes such bytes with replacement characters: the topic is then an unknown one, and the answer an error.
    hostile(env, frame(b'{"code":105,"flag":0,"opaque":1,"extFields":{"topic":"\xff\xfe\xc0"}}'))


@scenario()
def bad_binary_header(env):
    good = struct.pack(">hbhii", 105, 7, 493, 1, 0)
    for rest in (struct.pack(">i", 1 << 30), struct.pack(">ii", 0, 1 << 30), struct.pack(">iih", 0, 10, -5) + b"x" * 8,
                 struct.pack(">iihi", 0, 10, 0, -1) + b"xxxx"):
        hostile(env, frame(good + rest, kind=1))


@scenario()
def header_of_one_megabyte(env):
    # Large but well formed: served, or refused; the fields mean nothing to anybody.
    ext = {f"field{n}": "v" * 100 for n in range(10_000)}
    for address in (env.namesrv, env.broker):
        with env.connect(address) as c:
            try:
                c.call(9999, ext)
            except Closed:
                pass
        serves(env, address)


@scenario()
def random_bytes(env):
    dice = random.Random(20)
    for _ in range(20):
        for address in (env.namesrv, env.broker):
            with env.connect(address) as c:
                # The first byte must not announce TLS; the length is kept small so that the frame completes.
                c.send(struct.pack(">i", 60) + dice.randbytes(60))
                try:
                    assert c.response(timeout=5).code != SUCCESS
                except (Closed, TimeoutError):
                    pass
    serves(env, env.namesrv)
    serves(env, env.broker)


@scenario()
def truncated_frame_then_close(env):
    topic = env.topic("truncated")
    _, data = request(SEND_MESSAGE_V2, send_header(topic), b"never stored" * 100)
    for cut in (1, 4, 7, 60, len(data) - 1):
        with env.connect() as c:
            c.send(data[:cut])
    with env.connect() as c:
        answer = expect(c.call(GET_MAX_OFFSET, {"topic": topic, "queueId": 0}), SUCCESS)
        assert answer.ext["offset"] == "0", answer


@scenario()
def byte_by_byte_writer(env):
    topic = env.topic("slow-writer")
    for address, code, ext in ((env.namesrv, GET_ROUTEINFO, {"topic": topic}),
                               (env.broker, SEND_MESSAGE_V2, send_header(topic))):
        with env.connect(address) as c:
            opaque, data = request(code, ext, b"slow")
            for n in range(len(data)):
                c.send(data[n:n + 1])
            expect(c.response(opaque), SUCCESS)


@scenario()
def half_open(env):
    topic = env.topic("half-open")
    for address, code, ext in ((env.namesrv, GET_ROUTEINFO, {"topic": topic}),
                               (env.broker, GET_MAX_OFFSET, {"topic": topic, "queueId": 0})):
        with env.connect(address) as c:
            opaque, data = request(code, ext)
            c.send(data)
            c.socket.shutdown(socket.SHUT_WR)
            try:
                expect(c.response(opaque), SUCCESS)
            except Closed:
                pass
        serves(env, address)


@scenario(seconds=60)
def idle_connections_2000(env):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    topic = env.topic("idle")
    idle = []
    try:
        for n in range(2000):
            idle.append(Connection(env.broker if n % 2 else env.namesrv, timeout=10))
        with env.connect() as c:
            for _ in range(50):
                expect(c.call(SEND_MESSAGE_V2, send_header(topic), b"x"), SUCCESS)
        with env.connect(env.namesrv) as c:
            expect(c.call(GET_ROUTEINFO, {"topic": topic}), SUCCESS)
        # They were accepted, not merely queued by the kernel: each answers.
        for c in idle[::50]:
            expect(c.call(9999), NOT_SUPPORTED)
    finally:
        for c in idle:
            c.socket.close()
    serves(env, env.broker)


@scenario()
def tls_client_hello(env):
    # Java has a self-signed certificate by default and answers with TLS. A server without TLS closes. No server may hang
    # or answer with a plain frame.
    hello = bytes.fromhex("160301002f0100002b0303") + bytes(32) + bytes.fromhex("000004" "002f00ff" "0100")
    for address in (env.namesrv, env.broker):
        with env.connect(address) as c:
            c.send(hello)
            c.socket.settimeout(8)
            try:
                data = c.socket.recv(4096)
            except ConnectionError:
                data = b""
            assert data == b"" or data[0] in (0x15, 0x16), data[:20]
        serves(env, address)


@scenario()
def header_json_variants(env):
    """What lenient readers accept: numbers as text, absent members, unknown members and fields, null members."""
    topic = env.topic("variants")
    opaque = next_opaque()
    variants = {
        "numbers as text": {"code": "105", "flag": "0", "opaque": str(opaque), "version": "493", "language": "OTHER",
                            "extFields": {"topic": topic}},
        "field values as numbers": {"code": 105, "flag": 0, "opaque": opaque, "extFields": {"topic": topic, "n": 5, "b": True}},
        "unknown members": {"code": 105, "flag": 0, "opaque": opaque, "extFields": {"topic": topic, "unknown": "x"},
                            "another": {"a": [1]}},
        "nothing optional": {"code": 105, "opaque": opaque, "extFields": {"topic": topic}},
        "null members": {"code": 105, "flag": 0, "opaque": opaque, "remark": None, "language": None,
                         "extFields": {"topic": topic, "ns": None}},
        "unknown language": {"code": 105, "flag": 0, "opaque": opaque, "language": "COBOL", "extFields": {"topic": topic}},
        "language by number": {"code": 105, "flag": 0, "opaque": opaque, "language": 9, "extFields": {"topic": topic}},
        "spaces": None,
    }
    with env.connect(env.namesrv) as c:
        for name, header in variants.items():
            text = json.dumps(header).encode() if header else (
                b' { "code" : 105 ,\n "opaque" : %d , "extFields" : { "topic" : "%s" } } ' % (opaque, topic.encode()))
            c.send(frame(text))
            answer = c.response(opaque)
            assert answer.code == SUCCESS, f"{name}: {answer}"
    with env.connect() as c:
        # No extFields at all, on a request that needs none.
        c.send(frame(b'{"code":9999,"opaque":77}'))
        expect(c.response(77), NOT_SUPPORTED)
        values = send_header(topic)
        header = {"code": 310, "opaque": 78, "extFields": values | {"e": 0, "k": False, "zz": "unknown"}}
        c.send(frame(json.dumps(header).encode(), b"numbers in fields"))
        expect(c.response(78), SUCCESS)


@scenario()
def opaque_is_copied(env):
    with env.connect() as c:
        for opaque in (0, -1, 2**31 - 1, -2**31):
            for binary in (False, True):
                _, data = request(9999, opaque=opaque, binary=binary)
                c.send(data)
                answer = c.response(opaque)
                assert answer.flag & 1 and not answer.flag & 2, answer
