"""The name server seen by brokers and tools."""

import json
import time
import zlib

from harness import (ADD_WRITE_PERM, DELETE_KV_CONFIG, DELETE_TOPIC_IN_NAMESRV, GET_ALL_TOPIC_LIST, GET_BROKER_CLUSTER_INFO,
                     GET_KV_CONFIG, GET_KVLIST, GET_ROUTEINFO, PUT_KV_CONFIG, QUERY_DATA_VERSION, QUERY_NOT_FOUND,
                     REGISTER_BROKER, SUCCESS, SYSTEM_ERROR, TOPIC_NOT_EXIST, UNREGISTER_BROKER, WIPE_WRITE_PERM,
                     eventually, expect, scenario)
from remoting import Connection, route


class FakeBroker:
    """Registers at the name server as a broker does, with topics of its own."""

    def __init__(self, env, topics):
        self.env = env
        self.name, self.cluster = env.unique("fake-broker"), env.unique("fake-cluster")
        self.address = f"10.255.0.1:{10000 + int(time.time() * 1000) % 50000}"
        self.version = {"counter": 1, "stateVersion": 0, "timestamp": int(time.time() * 1000)}
        self.topics = topics
        self.connection = Connection(env.namesrv)

    def identity(self):
        return {"brokerName": self.name, "brokerAddr": self.address, "clusterName": self.cluster, "brokerId": 0}

    def body(self, perm=6):
        table = {t: {"topicName": t, "readQueueNums": 4, "writeQueueNums": 4, "perm": perm, "order": False,
                     "topicFilterType": "SINGLE_TAG", "topicSysFlag": 0, "attributes": {}} for t in self.topics}
        return json.dumps({"filterServerList": [], "topicConfigSerializeWrapper": {
            "dataVersion": self.version, "topicConfigTable": table, "topicQueueMappingDetailMap": {},
            "topicQueueMappingInfoMap": {}, "mappingDataVersion": {"counter": 0, "stateVersion": 0, "timestamp": 0}}}).encode()

    def register(self, crc=None, **more):
        body = self.body(**more)
        crc = zlib.crc32(body) & 0x7FFFFFFF if crc is None else crc
        return self.connection.call(REGISTER_BROKER, self.identity() | {
            "haServerAddr": "10.255.0.1:1", "heartbeatTimeoutMillis": 120000, "enableActingMaster": False,
            "compressed": False, "bodyCrc32": crc}, body)

    def unregister(self):
        return self.connection.call(UNREGISTER_BROKER, self.identity())


def gone(env, topic):
    eventually(lambda: route(env.namesrv, topic) is None, 10, f"{topic} leaves the route")


@scenario()
def register_and_unregister_broker(env):
    topics = [env.unique("fake-topic") for _ in range(2)]
    fake = FakeBroker(env, topics)
    answer = expect(fake.register(), SUCCESS)
    assert not answer.ext.get("masterAddr"), answer
    for topic in topics:
        found = route(env.namesrv, topic)
        assert found["brokerDatas"] == [{"brokerAddrs": {"0": fake.address}, "brokerName": fake.name,
                                         "cluster": fake.cluster, "enableActingMaster": False}], found
        assert found["queueDatas"] == [{"brokerName": fake.name, "perm": 6, "readQueueNums": 4, "topicSysFlag": 0,
                                        "writeQueueNums": 4}], found
    with env.connect(env.namesrv) as c:
        body = expect(c.call(GET_BROKER_CLUSTER_INFO), SUCCESS).body.decode()
        assert fake.name in body and fake.cluster in body and env.broker_name in body
    expect(fake.unregister(), SUCCESS)
    for topic in topics:
        gone(env, topic)


@scenario()
def broker_connection_lost(env):
    topics = [env.unique("fake-topic") for _ in range(2)]
    fake = FakeBroker(env, topics)
    expect(fake.register(), SUCCESS)
    assert route(env.namesrv, topics[0])
    fake.connection.socket.close()
    gone(env, topics[0])


@scenario()
def register_with_wrong_crc(env):
    fake = FakeBroker(env, [env.unique("fake-topic") for _ in range(2)])
    expect(fake.register(crc=12345), SYSTEM_ERROR)
    assert route(env.namesrv, fake.topics[0]) is None


@scenario()
def query_data_version(env):
    fake = FakeBroker(env, [env.unique("fake-topic") for _ in range(2)])
    ask = lambda version: expect(fake.connection.call(  # noqa: E731
        QUERY_DATA_VERSION, fake.identity(), json.dumps(version).encode()), SUCCESS).ext["changed"]
    assert ask(fake.version) == "true", "unknown broker"
    expect(fake.register(), SUCCESS)
    assert ask(fake.version) == "false", "the registered version"
    assert ask(fake.version | {"counter": 2}) == "true", "a newer version"
    expect(fake.unregister(), SUCCESS)


@scenario()
def wipe_and_add_write_perm(env):
    topics = [env.unique("fake-topic") for _ in range(3)]
    fake = FakeBroker(env, topics)
    expect(fake.register(), SUCCESS)
    perm = lambda: {route(env.namesrv, t)["queueDatas"][0]["perm"] for t in topics}  # noqa: E731
    with env.connect(env.namesrv) as c:
        answer = expect(c.call(WIPE_WRITE_PERM, {"brokerName": fake.name}), SUCCESS)
        assert answer.ext["wipeTopicCount"] == "3", answer
        assert perm() == {4}
        expect(fake.register(), SUCCESS)
        assert perm() == {4}, "the same data version keeps what was wiped"
        answer = expect(c.call(ADD_WRITE_PERM, {"brokerName": fake.name}), SUCCESS)
        assert answer.ext["addTopicCount"] == "3", answer
        assert perm() == {6}
    expect(fake.unregister(), SUCCESS)


@scenario()
def delete_topic_in_namesrv(env):
    topics = [env.unique("fake-topic") for _ in range(2)]
    fake = FakeBroker(env, topics)
    expect(fake.register(), SUCCESS)
    with env.connect(env.namesrv) as c:
        listed = json.loads(expect(c.call(GET_ALL_TOPIC_LIST), SUCCESS).body)["topicList"]
        assert set(topics) <= set(listed)
        expect(c.call(DELETE_TOPIC_IN_NAMESRV, {"topic": topics[0]}), SUCCESS)
        gone(env, topics[0])
        assert route(env.namesrv, topics[1])
    expect(fake.unregister(), SUCCESS)


@scenario()
def kv_config(env):
    namespace, value = env.unique("namespace"), "value with ä=;"
    with env.connect(env.namesrv) as c:
        key = {"namespace": namespace, "key": "k"}
        expect(c.call(GET_KV_CONFIG, key), QUERY_NOT_FOUND)
        expect(c.call(GET_KVLIST, {"namespace": namespace}), QUERY_NOT_FOUND)
        expect(c.call(PUT_KV_CONFIG, key | {"value": value}), SUCCESS)
        assert c.call(GET_KV_CONFIG, key).ext["value"] == value
        listed = json.loads(expect(c.call(GET_KVLIST, {"namespace": namespace}), SUCCESS).body)
        assert listed == {"table": {"k": value}}, listed
        expect(c.call(DELETE_KV_CONFIG, key), SUCCESS)
        expect(c.call(GET_KV_CONFIG, key), QUERY_NOT_FOUND)


@scenario()
def route_of_unknown_topic(env):
    with env.connect(env.namesrv) as c:
        answer = expect(c.call(GET_ROUTEINFO, {"topic": env.unique("nowhere")}), TOPIC_NOT_EXIST)
        assert answer.remark.startswith("No topic route info in name server for the topic"), answer.remark


@scenario()
def route_json_for_old_and_new_clients(env):
    """Clients before 4.9.4 (ordinal 401) read unquoted broker ids, newer ones quoted ids."""
    topic = env.topic("route")
    with env.connect(env.namesrv) as c:
        old = expect(c.call(GET_ROUTEINFO, {"topic": topic}, version=317), SUCCESS).body
        new = expect(c.call(GET_ROUTEINFO, {"topic": topic}, version=401), SUCCESS).body
        asked = expect(c.call(GET_ROUTEINFO, {"topic": topic, "acceptStandardJsonOnly": "true"}, version=317), SUCCESS).body
    assert f'{{0:"{env.broker}"}}'.encode() in old, old
    assert f'{{"0":"{env.broker}"}}'.encode() in new, new
    assert json.loads(asked)["brokerDatas"] == json.loads(new)["brokerDatas"]
