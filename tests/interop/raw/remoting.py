"""The remoting protocol as far as the raw client needs it: frames, both headers, stored messages."""

import itertools
import json
import socket
import struct
import time
import zlib

GET_ROUTEINFO = 105
FRAME_BYTES_MAX = 16 * 1024 * 1024

RESPONSE = 1
ONEWAY = 2

_opaque = itertools.count(1)


def next_opaque():
    return next(_opaque)


class Closed(Exception):
    """The peer closed the connection."""


class Frame:
    """One decoded frame; `header` keeps the JSON object when the header was JSON."""

    def __init__(self, code, opaque, flag, remark, ext, body, header=None, binary=False):
        self.code, self.opaque, self.flag, self.remark = code, opaque, flag, remark
        self.ext, self.body, self.header, self.binary = ext, body, header, binary

    def __repr__(self):
        return f"code {self.code} remark {(self.remark or '')[:160]!r} ext {self.ext}"


def json_header(code, ext=None, opaque=0, flag=0, version=493, language="OTHER", **more):
    header = {"code": code, "flag": flag, "language": language, "opaque": opaque,
              "serializeTypeCurrentRPC": "JSON", "version": version}
    if ext is not None:
        header["extFields"] = {k: _text(v) for k, v in ext.items() if v is not None}
    header.update(more)
    return json.dumps(header, ensure_ascii=False).encode()


def binary_header(code, ext=None, opaque=0, flag=0, version=493, language=7, remark=""):
    fields = b""
    for key, value in (ext or {}).items():
        if value is None:
            continue
        k, v = key.encode(), _text(value).encode()
        fields += struct.pack(">h", len(k)) + k + struct.pack(">i", len(v)) + v
    r = remark.encode()
    return (struct.pack(">hbhiii", code, language, version, opaque, flag, len(r)) + r
            + struct.pack(">i", len(fields)) + fields)


def frame(header, body=b"", kind=0):
    """A frame around an encoded header; `kind` is the serialize type byte."""
    return struct.pack(">iI", 4 + len(header) + len(body), kind << 24 | len(header)) + header + body


def request(code, ext=None, body=b"", binary=False, opaque=None, flag=0, **more):
    opaque = next_opaque() if opaque is None else opaque
    encode = binary_header if binary else json_header
    return opaque, frame(encode(code, ext, opaque=opaque, flag=flag, **more), body, 1 if binary else 0)


def decode(data):
    """Decodes a frame without its length field."""
    mark, = struct.unpack_from(">I", data)
    kind, size = mark >> 24, mark & 0xFFFFFF
    header, body = data[4:4 + size], data[4 + size:]
    if kind == 0:
        h = json.loads(header)
        return Frame(h.get("code"), h.get("opaque"), h.get("flag"), h.get("remark"), h.get("extFields") or {}, body, h)
    assert kind == 1, f"serialize type {kind}"
    code, _language, _version, opaque, flag, n = struct.unpack_from(">hbhiii", header)
    at = 17
    remark = header[at:at + n].decode()
    at += n
    n, = struct.unpack_from(">i", header, at)
    at += 4
    end, ext = at + n, {}
    while at < end:
        n, = struct.unpack_from(">h", header, at)
        key = header[at + 2:at + 2 + n].decode()
        at += 2 + n
        n, = struct.unpack_from(">i", header, at)
        ext[key] = header[at + 4:at + 4 + n].decode()
        at += 4 + n
    return Frame(code, opaque, flag, remark, ext, body, binary=True)


class Connection:
    """A blocking connection. Requests the server sends on its own are kept in `pushed`."""

    def __init__(self, address, timeout=10.0):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.buffer = b""
        self.pushed = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _fill(self, n, deadline):
        while len(self.buffer) < n:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer in time")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionError as e:
                raise Closed(str(e)) from e
            if not data:
                raise Closed("end of stream" if not self.buffer else "end of stream within a frame")
            self.buffer += data

    def receive(self, timeout=None):
        """The next frame of any kind."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        self._fill(4, deadline)
        n, = struct.unpack_from(">i", self.buffer)
        assert 4 <= n <= FRAME_BYTES_MAX, f"frame of {n} bytes"
        self._fill(4 + n, deadline)
        data, self.buffer = self.buffer[4:4 + n], self.buffer[4 + n:]
        return decode(data)

    def response(self, opaque=None, timeout=None):
        """The next response; with `opaque` it must be the one to that request."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            answer = self.receive(max(0.0, deadline - time.monotonic()))
            if answer.flag & RESPONSE:
                assert opaque is None or answer.opaque == opaque, f"opaque {answer.opaque}, expected {opaque}"
                return answer
            self.pushed.append(answer)

    def call(self, code, ext=None, body=b"", timeout=None, **more):
        opaque, data = request(code, ext, body, **more)
        self.send(data)
        return self.response(opaque, timeout)


def route(namesrv, topic, timeout=3.0):
    """The route of a topic as a dict, None when the name server has none."""
    with Connection(namesrv, timeout) as c:
        answer = c.call(GET_ROUTEINFO, {"topic": topic, "acceptStandardJsonOnly": True})
        return json.loads(answer.body) if answer.code == 0 else None


def await_route(namesrv, topic, seconds):
    """Waits for a topic's route, which appears once a broker has registered it."""
    deadline = time.monotonic() + seconds
    error = None
    while time.monotonic() < deadline:
        try:
            found = route(namesrv, topic)
            if found and found.get("brokerDatas"):
                return found
        except (OSError, Closed) as e:
            error = e
        time.sleep(0.1)
    raise TimeoutError(f"no route of {topic} after {seconds} s: {error}")


class Message:
    """A stored message, decoded."""

    def __init__(self, data, at):
        (self.size, self.magic, self.crc, self.queue, self.flag, self.offset, self.position, self.sys_flag,
         self.born) = struct.unpack_from(">iiiiiqqiq", data, at)
        p = at + 48
        self.born_host, p = _host(data, p, self.sys_flag & 0x10)
        self.stored, = struct.unpack_from(">q", data, p)
        self.store_host, p = _host(data, p + 8, self.sys_flag & 0x20)
        self.reconsume_times, self.prepared, n = struct.unpack_from(">iqi", data, p)
        p += 16
        self.body = data[p:p + n]
        p += n
        if self.magic == -626843481:
            n = data[p]
            p += 1
        else:
            assert self.magic == -626843477, f"magic {self.magic}"
            n, = struct.unpack_from(">h", data, p)
            p += 2
        self.topic = data[p:p + n].decode()
        p += n
        n, = struct.unpack_from(">h", data, p)
        text = data[p + 2:p + 2 + n].decode()
        assert p + 2 + n == at + self.size, "the record's parts do not add up to its size"
        self.properties = dict(pair.split("\x01", 1) for pair in text.split("\x02") if pair)
        assert zlib.crc32(self.body) & 0x7FFFFFFF == self.crc, "body CRC"


def _host(data, at, v6):
    n = 16 if v6 else 4
    address = socket.inet_ntop(socket.AF_INET6 if v6 else socket.AF_INET, data[at:at + n])
    return (address, struct.unpack_from(">i", data, at + n)[0]), at + n + 4


def messages(data):
    at, found = 0, []
    while at < len(data):
        found.append(Message(data, at))
        at += found[-1].size
    return found


def batch(bodies, properties=""):
    """The body of a batch send."""
    p = properties.encode()
    return b"".join(struct.pack(">iiiii", 22 + len(b) + len(p), 0, 0, 0, len(b)) + b + struct.pack(">h", len(p)) + p
                    for b in bodies)


def properties(**pairs):
    return "".join(f"{k}\x01{v}\x02" for k, v in pairs.items())


def _text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)
