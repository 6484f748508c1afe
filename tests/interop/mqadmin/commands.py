"""The commands, each with what its output must say. Written against Java 5.5.0, which passes all of them."""

import functools
import json
import pathlib
import re
import tempfile
import time

SCENARIOS = {}
ADMIN_PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs" / "admin.md"


class Skip(Exception):
    """Nothing to be said about this server."""


def scenario(kind="together"):
    """Registers a function under its name in mqadmin's spelling: `topic_list` is `topicList`."""
    def register(f):
        name = re.sub(r"_(\w)", lambda m: m.group(1).upper(), f.__name__)
        SCENARIOS[{"cleanExpiredCq": "cleanExpiredCQ", "allocateMq": "allocateMQ", "checkMsgSendRt": "checkMsgSendRT",
                   "clusterRt": "clusterRT"}.get(name, name)] = (f, kind)
        return f
    return register


class Stage:
    """A topic of two queues with three messages, a consumer and a tracing producer online. Most commands look at it."""

    def __init__(self, env):
        self.topic, self.group, self.producer = env.topic("stage", 2), env.name("stage-group"), env.name("stage-producer")
        self.key = env.name("key")
        self.began = int(time.time() * 1000)
        self.id = env.send(self.topic, "first", "-k", self.key, "-c", "tagA", "-b", env.broker, "-i", 0)
        self.client = env.consumer(self.group, self.topic)
        self.traced = env.producer(self.producer, self.topic)
        # A Java consumer looks again after ten seconds when it found nothing at its first rebalance.
        env.until(lambda: env.run("consumerProgress", "-g", self.group).has(
            "Consume Diff Total: 0$", rf"^{self.topic} "), 45)
        self.offset_id = env.run("queryMsgById", "-t", self.topic, "-i", self.id).find(r"OffsetID:\s+(\w+)")


_stages = {}


def stage(env):
    if env not in _stages:
        _stages[env] = None
        _stages[env] = Stage(env)
    if _stages[env] is None:
        raise AssertionError("the topic and clients that most commands look at could not be made, see the first failure")
    return _stages[env]


def json_file(value):
    file = tempfile.NamedTemporaryFile("w", suffix=".json", delete=False)
    json.dump(value, file)
    file.close()
    return file.name


# Topics.

@scenario()
def update_topic(env):
    topic = env.name("update-topic")
    env.run("updateTopic", "-c", env.cluster, "-t", topic, "-r", 3, "-w", 2, "-a", "+message.type=FIFO").has(
        rf"create topic to {env.address} success", "readQueueNums=3, writeQueueNums=2, perm=RW-")
    env.until(lambda: env.run("topicRoute", "-t", topic, failing=True).has('"readQueueNums":3', '"writeQueueNums":2'))
    env.run("updateTopic", "-b", env.address, "-t", topic, "-r", 4, "-w", 4, "-p", 4).has("perm=R--")
    env.until(lambda: env.run("topicRoute", "-t", topic).has('"readQueueNums":4', '"perm":4'))
    env.run("updateTopic", "-b", env.address, "-t", "not/a/topic", failing=True).has("Exception|illegal")
    env.run("updateTopic", "-b", env.address, "-t", "SCHEDULE_TOPIC_XXXX", failing=True).has("CODE: 29|conflict")


@scenario()
def topic_route(env):
    topic = env.topic("route", 2)
    env.run("topicRoute", "-t", topic).has(rf'\d+:"{env.address}"', f'"brokerName":"{env.broker}"', '"writeQueueNums":2')
    env.run("topicRoute", "-t", topic, "-l").has(rf"^{env.cluster}\s+{env.broker}\s+\{{0={env.address}\}}\s+2\s+2\s+6")
    env.run("topicRoute", "-t", env.name("absent"), failing=True).has("CODE: 17", "No topic route info in name server")


@scenario()
def topic_cluster_list(env):
    env.run("topicClusterList", "-t", env.topic("clusters")).has(rf"^{env.cluster}$")


@scenario()
def topic_list(env):
    s = stage(env)
    env.run("topicList").has(rf"^{s.topic}$", "^TBW102$", "^SCHEDULE_TOPIC_XXXX$", f"^{env.broker}$")
    env.run("topicList", "-c").has(rf"^{env.cluster}\s+{s.topic}\s+{s.group}\s*$")


@scenario()
def topic_status(env):
    s = stage(env)
    rows = env.run("topicStatus", "-t", s.topic).has(r"Topic Put TPS: \d").rows()
    offsets = {int(row[1]): (int(row[2]), int(row[3])) for row in rows if row[0] == env.broker}
    assert set(offsets) == {0, 1} and sum(most - least for least, most in offsets.values()) >= 2, offsets
    env.run("topicStatus", "-t", env.name("absent"), failing=True).has("CODE: 17")


@scenario()
def update_topic_perm(env):
    topic = env.topic("perm")
    env.run("updateTopicPerm", "-b", env.address, "-t", topic, "-p", 4).has("from 6 to 4 in .* success", "perm=R--")
    env.until(lambda: env.run("topicRoute", "-t", topic).has('"perm":4'))
    env.run("updateTopicPerm", "-c", env.cluster, "-t", topic, "-p", 6).has("from 4 to 6 in .* success")


@scenario()
def update_topic_list(env):
    names = [env.name("list") for _ in range(2)]
    file = json_file([{"topicName": name, "readQueueNums": 2, "writeQueueNums": 2, "perm": 6,
                       "topicFilterType": "SINGLE_TAG", "topicSysFlag": 0, "order": False} for name in names])
    env.run("updateTopicList", "-b", env.address, "-f", file).has(f"submit batch of topic config to {env.address} success")
    for name in names:
        env.until(lambda name=name: env.run("topicRoute", "-t", name, failing=True).has('"readQueueNums":2'))


@scenario()
def delete_topic(env):
    topic = env.topic("delete")
    env.run("deleteTopic", "-t", topic, "-c", env.cluster).has(
        rf"delete topic \[{topic}\] from cluster \[{env.cluster}\] success", "from NameServer success")
    # A registration that was under way may bring the topic back once in Java.
    def gone():
        if "queueDatas" in env.run("topicRoute", "-t", topic, failing=True).text:
            env.run("deleteTopic", "-t", topic, "-c", env.cluster)
        env.run("topicRoute", "-t", topic, failing=True).has("CODE: 17")
    env.until(gone)


@scenario()
def allocate_mq(env):
    s = stage(env)
    result = json.loads(env.run("allocateMQ", "-t", s.topic, "-i", "10.0.0.1,10.0.0.2").find(r"(\{.*\})"))["result"]
    assert sorted(q["queueId"] for queues in result.values() for q in queues) == [0, 1], result
    assert all(len(queues) == 1 for queues in result.values()), result


@scenario()
def update_order_conf(env):
    topic = env.name("ordered")
    env.run("updateTopic", "-c", env.cluster, "-t", topic, "-r", 2, "-w", 2, "-o", "true").has(
        rf"set cluster orderConf. isOrder=true, orderConf=\[{env.broker}:2\]")
    env.run("updateOrderConf", "-t", topic, "-m", "get").has(rf"orderConf=\[{env.broker}:2\]")
    env.run("updateOrderConf", "-t", topic, "-m", "put", "-v", f"{env.broker}:1").has("update orderConf success")
    env.run("updateOrderConf", "-t", topic, "-m", "get").has(rf"orderConf=\[{env.broker}:1\]")
    env.run("updateOrderConf", "-t", topic, "-m", "delete").has("delete orderConf success")
    env.run("updateOrderConf", "-t", topic, "-m", "get", failing=True).has("CODE: 22")


# Groups and offsets.

@scenario()
def update_sub_group(env):
    group = env.name("group")
    env.run("updateSubGroup", "-b", env.address, "-g", group, "-r", 3, "-s", "false", "-d", "false").has(
        f"create subscription group to {env.address} success", "retryMaxTimes=3")
    env.run("getConsumerConfig", "-g", group).has(
        r"consumeEnable\s+=\s+false", r"retryMaxTimes\s+=\s+3", r"consumeBroadcastEnable\s+=\s+false")
    env.run("updateSubGroup", "-c", env.cluster, "-g", group, "-r", 5, "-s", "true", "--attributes", "+priority.factor=50")
    env.run("getConsumerConfig", "-g", group).has(r"consumeEnable\s+=\s+true", r"retryMaxTimes\s+=\s+5", "priority.factor")


@scenario()
def update_sub_group_list(env):
    groups = [env.name("group-list") for _ in range(2)]
    file = json_file([{"groupName": groups[0], "retryMaxTimes": 5}, {"groupName": groups[1]}])
    env.run("updateSubGroupList", "-b", env.address, "-f", file).has(f"submit batch of group config to {env.address} success")
    env.run("getConsumerConfig", "-g", groups[0]).has(r"retryMaxTimes\s+=\s+5")
    env.run("getConsumerConfig", "-g", groups[1]).has(r"retryMaxTimes\s+=\s+16")


@scenario()
def get_consumer_config(env):
    s = stage(env)
    env.run("getConsumerConfig", "-g", s.group).has(
        f"={env.cluster}:{env.broker}=", rf"groupName\s+=\s+{s.group}", r"retryQueueNums\s+=\s+1", r"consumeTimeoutMinute\s+=\s+15")
    env.run("getConsumerConfig", "-g", env.name("absent")).lacks("groupName")


@scenario()
def delete_sub_group(env):
    group = env.name("deleted")
    for option, value in (("-b", env.address), ("-c", env.cluster)):
        env.run("updateSubGroup", "-b", env.address, "-g", group)
        env.run("deleteSubGroup", option, value, "-g", group, "-r", "true").has(
            rf"delete subscription group \[{group}\] from broker \[{env.address}\].*success")
        env.run("getConsumerConfig", "-g", group).lacks("groupName")


@scenario()
def consumer_progress(env):
    s = stage(env)
    env.run("consumerProgress").has(rf"^{s.group}\s+\d\s+V5_5_0\s+PUSH\s+CLUSTERING\s+\d+\s+0$")
    env.run("consumerProgress", "-g", s.group).has(
        rf"^{s.topic}\s+{env.broker}\s+0\s+(\d+)\s+\1\s+0\s+0\s+\d\d\d\d-", "Consume TPS: [0-9.]+",
        "Consume Diff Total: 0", "Consume Inflight Total: 0")
    env.run("consumerProgress", "-g", s.group, "-t", s.topic, "-s", "true").has(rf"^{s.topic} .*{s.client.split('@')[0]} ")
    env.run("consumerProgress", "-g", env.name("absent"), failing=True).has("CODE: ")


@scenario()
def consumer_status(env):
    s = stage(env)
    env.run("consumerStatus", "-g", s.group).has(rf"^1\s+{s.client}\s+V5_5_0", "Same subscription in the same group", "Rebalance OK")
    # A stack may go through methods whose names speak of exceptions.
    env.run("consumerStatus", "-g", s.group, "-i", s.client, "-s", failing=True).has(
        "#Consumer Properties#", "#Consumer Subscription#", rf"{s.topic}", "#Consumer RT&TPS#", "#Consumer jstack#")
    env.run("consumerStatus", "-g", env.name("absent"), failing=True).has("CODE: (17|206)")


@scenario()
def consumer_connection(env):
    s = stage(env)
    for option in ([], ["-b", env.address]):
        env.run("consumerConnection", "-g", s.group, *option).has(
            rf"^{s.client}\s+127.0.0.1:\d+\s+JAVA\s+V5_5_0", rf"^{s.topic}\s+\*", rf"^%RETRY%{s.group}\s+\*",
            "ConsumeType: CONSUME_PASSIVELY", "MessageModel: CLUSTERING", "ConsumeFromWhere: CONSUME_FROM_FIRST_OFFSET")


@scenario()
def producer_connection(env):
    s = stage(env)
    env.run("producerConnection", "-g", s.producer, "-t", s.topic).has(rf"^0001\s+\S+@{s.producer}\s+127.0.0.1:\d+\s+JAVA\s+V5_5_0")


@scenario()
def producer(env):
    s = stage(env)
    env.run("producer", "-b", env.address).has(
        rf"producer group \({s.producer}\) instance : clientId=\S+@{s.producer},remoteIP=/?127.0.0.1:\d+, language=JAVA, "
        r"version=\d+, lastUpdateTimestamp=\d{13}")


@scenario()
def set_consume_mode(env):
    topic, group = env.topic("mode"), env.name("mode-group")
    env.run("updateSubGroup", "-b", env.address, "-g", group)
    for option, value, mode in (("-b", env.address, "POP"), ("-c", env.cluster, "PULL")):
        env.run("setConsumeMode", option, value, "-t", topic, "-g", group, "-m", mode, "-q", 0).has(
            f"set consume mode to {env.address} success", rf"topic\[{topic}\] group\[{group}\] consume mode\[{mode}\]")


@scenario()
def reset_offset_by_time(env):
    topic, group = env.topic("reset"), env.name("reset-group")
    for number in range(4):
        env.send(topic, f"m{number}")
    env.consumer(group, topic)
    at = functools.partial(env.run, "consumerProgress", "-g", group, "-t", topic)
    env.until(lambda: at().has(rf"^{topic}\s+\S+\s+0\s+4\s+4\s+0 "), 45)
    env.stop(group)
    env.run("resetOffsetByTime", "-g", group, "-t", topic, "-s", int(time.time() * 1000) - 600_000).has(rf"^{env.broker}\s+0\s+0")
    env.until(lambda: at().has(rf"^{topic}\s+\S+\s+0\s+4\s+0\s+4 "))
    env.run("resetOffsetByTime", "-g", group, "-t", topic, "-s", "now", "-b", env.address, "-q", 0, "-o", 3).has("3")
    env.until(lambda: at().has(rf"^{topic}\s+\S+\s+0\s+4\s+3\s+1 "))
    env.run("resetOffsetByTime", "-g", group, "-t", topic, "-s", "now").has(rf"^{env.broker}\s+0\s+4")
    env.until(lambda: at().has("Consume Diff Total: 0"))


@scenario()
def skip_accumulated_message(env):
    topic, group = env.topic("skip"), env.name("skip-group")
    for number in range(3):
        env.send(topic, f"m{number}")
    env.consumer(group, topic)
    env.until(lambda: env.run("consumerProgress", "-g", group, "-t", topic).has("Consume Diff Total: 0"), 45)
    env.stop(group)
    for number in range(2):
        env.send(topic, f"more{number}")
    env.until(lambda: env.run("consumerProgress", "-g", group, "-t", topic).has("Consume Diff Total: 2"))
    env.run("skipAccumulatedMessage", "-g", group, "-t", topic).has(rf"^{env.broker}\s+0\s+5")
    env.until(lambda: env.run("consumerProgress", "-g", group, "-t", topic).has("Consume Diff Total: 0"))


@scenario()
def clone_group_offset(env):
    s, other = stage(env), env.name("clone")
    env.run("updateSubGroup", "-b", env.address, "-g", other)
    env.run("cloneGroupOffset", "-s", s.group, "-d", other, "-t", s.topic).has("clone group offset success")
    env.until(lambda: env.run("consumerProgress", "-g", other, "-t", s.topic).has(rf"^{s.topic}\s.*", "Consume Diff Total: 0"))


# Messages.

@scenario()
def send_message(env):
    topic = env.topic("send", 2)
    env.run("sendMessage", "-t", topic, "-p", "body", "-k", "k", "-c", "t", "-b", env.broker, "-i", 1).has(
        rf"^{env.broker}\s+1\s+SEND_OK\s+\w{{32,}}")
    env.run("sendMessage", "-t", topic, "-p", "body").has(rf"^{env.broker}\s+[01]\s+SEND_OK")


@scenario()
def consume_message(env):
    s = stage(env)
    env.run("consumeMessage", "-t", s.topic).has("Consume ok", rf"MSGID: {s.id} ")
    env.run("consumeMessage", "-t", s.topic, "-b", env.broker, "-i", 0, "-o", 0, "-c", 1).has(rf"MSGID: {s.id} ").lacks(rf"MSGID: {s.traced} ")
    env.run("consumeMessage", "-t", s.topic, "-g", env.name("reader"), "-s", s.began - 60_000, "-e", int(time.time() * 1000)).has(rf"MSGID: {s.id} ")


@scenario()
def query_msg_by_id(env):
    s = stage(env)
    shown = [rf"Topic:\s+{s.topic}", r"Tags:\s+\[tagA\]", rf"Keys:\s+\[{s.key}\]", r"Queue ID:\s+0", r"Queue Offset:\s+0",
             rf"Store Host:\s+{env.address}", r"Message Body Path:\s+/"]
    env.run("queryMsgById", "-t", s.topic, "-i", s.offset_id).has(*shown, rf"{s.group}.*CONSUMED")
    env.run("queryMsgById", "-t", s.topic, "-i", s.id).has(*shown)
    env.run("queryMsgById", "-t", s.topic, "-i", s.offset_id, "-f", "UTF-8").has(r"Message Body:\s+first")
    env.run("queryMsgById", "-t", s.topic, "-i", s.offset_id, "-g", s.group, "-d", s.client).has("consumeResult=CR_SUCCESS")
    env.run("queryMsgById", "-t", s.topic, "-i", "7F000001" + "00002A9F" + "7FFFFFFFFFFFFFFF", failing=True).has("Exception")


@scenario()
def query_msg_by_key(env):
    s = stage(env)
    env.until(lambda: env.run("queryMsgByKey", "-t", s.topic, "-k", s.key).has(rf"^{s.id}\s+0\s+0 "))
    env.run("queryMsgByKey", "-t", s.topic, "-k", s.key, "-b", s.began - 60_000, "-e", s.began + 600_000, "-m", 1).has(rf"^{s.id} ")
    env.run("queryMsgByKey", "-t", s.topic, "-k", env.name("absent"), failing=True).has("CODE: 208|no message")


@scenario()
def query_msg_by_unique_key(env):
    s = stage(env)
    for option in ([], ["-a"]):
        env.run("queryMsgByUniqueKey", "-t", s.topic, "-i", s.id, *option).has(
            rf"Topic:\s+{s.topic}", r"Reconsume Times:\s+0", rf"{s.group}.*CONSUMED")
    env.run("queryMsgByUniqueKey", "-t", s.topic, "-i", s.id, "-g", s.group, "-d", s.client).has("consumeResult=CR_SUCCESS")


@scenario()
def query_msg_by_offset(env):
    s = stage(env)
    env.run("queryMsgByOffset", "-t", s.topic, "-b", env.broker, "-i", 0, "-o", 0).has(
        rf"OffsetID:\s+{s.offset_id}", r"Tags:\s+\[tagA\]", "MIN_OFFSET=0", r"MAX_OFFSET=\d")


@scenario()
def query_msg_trace_by_id(env):
    s = stage(env)
    env.until(lambda: env.run("queryMsgTraceById", "-i", s.traced, failing=True).has(
        rf"^Pub\s+{s.producer}\s+\S+\s+.*success"), 30)


@scenario()
def print_msg(env):
    s = stage(env)
    env.run("printMsg", "-t", s.topic, "-d", "true").has(
        r"^minOffset=0, maxOffset=\d+, MessageQueue \[topic=", rf"MSGID: {s.id} .*BODY: first", rf"MSGID: {s.traced} ")
    env.run("printMsg", "-t", s.topic, "-s", "tagA").has(rf"MSGID: {s.id} ").lacks(s.traced)


@scenario()
def print_msg_by_queue(env):
    s = stage(env)
    env.run("printMsgByQueue", "-t", s.topic, "-a", env.broker, "-i", 0, "-p", "true", "-d", "true").has(rf"MSGID: {s.id} .*BODY: first")
    env.run("printMsgByQueue", "-t", s.topic, "-a", env.broker, "-i", 0, "-f", "true").has(r"Tag: tagA\s+Count: 1")


@scenario()
def query_cq(env):
    s = stage(env)
    first = rf"^max: \d+, min: 0$", r"ConsumeQueueData\{physicOffset=\d+, physicSize=\d+, tagsCode=3552231"
    env.run("queryCq", "-t", s.topic, "-q", 0, "-i", 0).has(*first)
    env.run("queryCq", "-t", s.topic, "-q", 0, "-i", 0, "-c", 1, "-b", env.address, "-g", s.group).has(*first, rf'"topic":"{s.topic}"')


@scenario()
def check_msg_send_rt(env):
    output = env.run("checkMsgSendRT", "-t", stage(env).topic, "-a", 3, "-s", 64).has(r"^Avg RT: [0-9.]+")
    assert len(re.findall(rf"^{env.broker}\s+\d\s+true\s", output.text, re.MULTILINE)) == 3, output.text


@scenario()
def send_msg_status(env):
    env.run("sendMsgStatus", "-b", env.broker, "-s", 64, "-c", 2).has(rf"rt=\d+ms, SendResult=SendResult \[sendStatus=SEND_OK.*topic={env.broker}")


@scenario()
def cluster_rt(env):
    env.run_for(3, "clusterRT", "-a", 2, "-s", 64, "-i", 1).has(rf"^{env.cluster}\s+{env.broker}\s+[0-9.]+\s+2\s+0")


# Brokers, clusters and figures.

@scenario()
def broker_status(env):
    keys = ["bootTimestamp", "brokerActive", "brokerVersionDesc", "commitLogMaxOffset", "commitLogMinOffset", "commitLogDiskRatio",
            "dispatchBehindBytes", "earliestMessageTimeStamp", "getTotalTps", "msgPutTotalTodayNow", "pageCacheLockTimeMills",
            "putMessageTimesTotal", "putTps", "runtime", "sendThreadPoolQueueSize", "timerReadBehind"]
    env.run("brokerStatus", "-b", env.address).has(*[rf"^{key}\s*: \S" for key in keys])
    env.run("brokerStatus", "-c", env.cluster).has(*[rf"^{env.address}\s+{key}\s*: \S" for key in keys])


@scenario()
def cluster_list(env):
    row = rf"^{env.cluster}\s+{env.broker}\s+0\s+{env.address}\s+V5_5_0\s+[0-9.]+\(0,0ms\)\s+[0-9.]+\(0,0ms\|0,0ms\)\s.*\strue\s*$"
    env.run("clusterList").has(row)
    env.run("clusterList", "-c", env.cluster).has(row)
    env.run("clusterList", "-m").has(rf"^{env.cluster}\s+{env.broker}\s+\d+\s+\d+\s+\d+\s+\d+$")


@scenario()
def broker_consume_stats(env):
    s = stage(env)
    env.run("brokerConsumeStats", "-b", env.address, "-l", 0).has(rf"^{s.topic}\s+{s.group}\s+{env.broker}\s+0\s+(\d+)\s+\1\s+0", r"Diff Total: \d+")
    env.run("brokerConsumeStats", "-b", env.address, "-o", "true").lacks(rf"^{s.topic} ")


@scenario()
def stats_all(env):
    s = stage(env)
    env.run("statsAll").has(rf"^{s.topic}\s+{s.group}\s+0\s+[0-9.]+\s+[0-9.]+\s+\d+\s+\d+", r"^TBW102\s+0\s+0.00\s+0\s+NO_CONSUMER")
    # Java takes a sample every ten seconds; two are needed for a figure.
    env.until(lambda: env.run("statsAll", "-t", s.topic).has(rf"^{s.topic}\s+{s.group}\s+0\s+[0-9.]+\s+[0-9.]+\s+\d+\s+\d+"))
    def moving():
        env.send(s.topic, "more")
        time.sleep(1)
        env.run("statsAll", "-a").has(rf"^{s.topic}\s+{s.group}\s+0\s+0\.[0-9]+\s+0\.[0-9]+\s+[1-9]\d*\s+[1-9]\d*")
    env.until(moving, 40)


@scenario()
def get_broker_config(env):
    for option, value in (("-b", env.address), ("-c", env.cluster)):
        env.run("getBrokerConfig", option, value).has(
            rf"^brokerName\s+=\s+{env.broker}", r"^listenPort\s+=\s+\d+", r"^flushDiskType\s+=\s+\w+", r"^fileReservedTime\s+=\s+\d+",
            r"^brokerPermission\s+=\s+6")


@scenario("alone")
def update_broker_config(env):
    config = functools.partial(env.run, "getBrokerConfig", "-b", env.address)
    before = config().find(r"^transactionCheckMax\s+=\s+(\d+)")
    env.run("updateBrokerConfig", "-b", env.address, "-k", "transactionCheckMax", "-v", 7).has(f"update broker config success, {env.address}")
    config().has(r"^transactionCheckMax\s+=\s+7$")
    env.run("updateBrokerConfig", "-c", env.cluster, "-k", "transactionCheckMax", "-v", before).has("update broker config success")
    config().has(rf"^transactionCheckMax\s+=\s+{before}$")
    env.run("updateBrokerConfig", "-b", env.address, "-k", "configBlackList", "-v", "x", failing=True).has("CODE: 16")
    env.run("updateBrokerConfig", "-b", env.address, "-k", "brokerPermission", "-v", "99", failing=True).has("CODE: (1|16) .*brokerPermission")
    config().has(r"^brokerPermission\s+=\s+6$")


@scenario()
def ha_status(env):
    env.run("haStatus", "-b", env.address).has(r"#MasterAddr\s+\S*", r"#MasterCommitLogMaxOffset\s+\d+", r"#SlaveNum\s+0")


@scenario("alone")
def clean_expired_cq(env):
    for option, value in (("-b", env.address), ("-c", env.cluster)):
        env.run("cleanExpiredCQ", option, value).has("success")


@scenario("alone")
def clean_unused_topic(env):
    for option, value in (("-b", env.address), ("-c", env.cluster)):
        env.run("cleanUnusedTopic", option, value).has("success")


@scenario("alone")
def delete_expired_commit_log(env):
    for option, value in (("-b", env.address), ("-c", env.cluster)):
        env.run("deleteExpiredCommitLog", option, value).has("success")


# Lite topics.

def lite_parent(env):
    """A parent topic and a group bound to it."""
    topic, group = env.name("parent"), env.name("lite-group")
    env.run("updateTopic", "-b", env.address, "-t", topic, "-r", 1, "-w", 1, "-a", "+message.type=LITE")
    env.run("updateSubGroup", "-b", env.address, "-g", group, "--attributes", f"+lite.bind.topic={topic}")
    env.until(lambda: env.run("topicRoute", "-t", topic, failing=True).has('"queueDatas"'))
    return topic, group


@scenario()
def get_broker_lite_info(env):
    topic, group = lite_parent(env)
    for option, value in (("-b", env.address), ("-c", env.cluster)):
        env.run("getBrokerLiteInfo", option, value).has(rf"^{env.address}\s+\w+\s+\d+\s+\d+\s+\d+\s+\d+\s+\d+\s+\d+\s+\d+")
    env.run("getBrokerLiteInfo", "-b", env.address, "-d").has(rf'Topic Meta: .*"{topic}":-1', rf'Group Meta: .*"{topic}":\["{group}"\]')


@scenario()
def get_parent_topic_info(env):
    topic, group = lite_parent(env)
    env.run("getParentTopicInfo", "-p", topic).has(rf"^{env.broker}\s+-1\s+0\s+0\s+\[{group}\]")
    env.run("getParentTopicInfo", "-p", env.topic("ordinary"), failing=True).has(rf"^\[{env.broker}\] error")


@scenario()
def get_lite_topic_info(env):
    topic, _group = lite_parent(env)
    env.run("getLiteTopicInfo", "-p", topic, "-l", "one").has(
        rf"\[{topic}\] \[one\] \[%LMQ%\${topic}\$one\]", rf"^{env.broker}\s+0\s+0\s+-\s+true\s+0")


@scenario()
def get_lite_group_info(env):
    topic, group = lite_parent(env)
    env.run("getLiteGroupInfo", "-p", topic, "-g", group).has(rf"\[{group}\] \[{topic}\]", "Total Lag Count: 0", "TopK by lag time")
    env.run("getLiteGroupInfo", "-p", topic, "-g", group, "-l", "one").has(rf"^{env.broker}\s+-\s+-\s+-\s+-")


@scenario()
def get_lite_client_info(env):
    topic, group = lite_parent(env)
    env.run("getLiteClientInfo", "-p", topic, "-g", group, "-c", "nobody").has(rf"^{env.broker}\s+N/A\s+N/A\s+N/A")


@scenario()
def trigger_lite_dispatch(env):
    topic, group = lite_parent(env)
    env.run("triggerLiteDispatch", "-p", topic, "-g", group).has(rf"^{env.broker}\s+dispatched")


# Name servers.

@scenario()
def get_namesrv_config(env):
    env.run("getNamesrvConfig").has(env.namesrv, r"^enableTopicList\s+=\s+true", r"^listenPort\s+=\s+\d+")


@scenario()
def update_namesrv_config(env):
    env.run("updateNamesrvConfig", "-k", "scanNotActiveBrokerInterval", "-v", 4000).has("update name server config success!")
    env.run("getNamesrvConfig").has(r"^scanNotActiveBrokerInterval\s+=\s+4000")
    env.run("updateNamesrvConfig", "-k", "scanNotActiveBrokerInterval", "-v", 5000)
    env.run("updateNamesrvConfig", "-k", "kvConfigPath", "-v", "/x", failing=True).has("CODE: 16")


@scenario()
def update_kv_config(env):
    env.run("updateKvConfig", "-s", env.name("space"), "-k", "key", "-v", "value").has("create or update kv config to namespace success")


@scenario()
def delete_kv_config(env):
    space = env.name("space")
    env.run("updateKvConfig", "-s", space, "-k", "key", "-v", "value")
    env.run("deleteKvConfig", "-s", space, "-k", "key").has("delete kv config from namespace success")


@scenario("alone")
def wipe_write_perm(env):
    topic = env.topic("wiped")
    env.run("wipeWritePerm", "-b", env.broker).has(rf"wipe write perm of broker\[{env.broker}\] in name server\[{env.namesrv}\] OK, \d+")
    try:
        env.run("topicRoute", "-t", topic).has('"perm":4')
    finally:
        env.run("addWritePerm", "-b", env.broker)


@scenario("alone")
def add_write_perm(env):
    topic = env.topic("given-back")
    env.run("wipeWritePerm", "-b", env.broker)
    env.run("addWritePerm", "-b", env.broker).has(rf"add write perm of broker\[{env.broker}\] in name server\[{env.namesrv}\] OK, [1-9]\d*")
    env.run("topicRoute", "-t", topic).has('"perm":6')
    env.send(topic, "writable again")


# Exports.

def exported(env, command, *options):
    with tempfile.TemporaryDirectory() as directory:
        output = env.run(command, "-f", directory, *options).has("success")
        file = pathlib.Path(output.find(r"(/\S+\.json)"))
        return json.loads(file.read_text())


@scenario()
def export_configs(env):
    configs = exported(env, "exportConfigs", "-c", env.cluster)
    assert env.broker in json.dumps(configs["brokerConfigs"]), configs
    assert configs["clusterScale"] == {"namesrvSize": 1, "masterBrokerSize": 1, "slaveBrokerSize": 0}, configs


@scenario()
def export_metadata(env):
    s = stage(env)
    both = exported(env, "exportMetadata", "-c", env.cluster)
    assert both["topicConfigTable"][s.topic]["readQueueNums"] == 2 and s.group in both["subscriptionGroupTable"], both
    topics = exported(env, "exportMetadata", "-b", env.address, "-t")
    assert s.topic in topics["topicConfigTable"] and "SCHEDULE_TOPIC_XXXX" not in topics["topicConfigTable"], list(topics)
    special = exported(env, "exportMetadata", "-b", env.address, "-t", "-s")
    assert f"%RETRY%{s.group}" in special["topicConfigTable"], list(special["topicConfigTable"])
    assert s.group in exported(env, "exportMetadata", "-b", env.address, "-g")["subscriptionGroupTable"]


@scenario()
def export_metrics(env):
    metrics = exported(env, "exportMetrics", "-c", env.cluster)
    report = metrics["evaluateReport"][env.broker]
    assert {"runtimeEnv", "runtimeQuota", "runtimeVersion"} <= set(report), report
    assert int(report["runtimeQuota"]["topicSize"]) > 0, report
    assert "totalTps" in metrics["totalData"], metrics["totalData"]


# What is left.

@scenario()
def commands(env):
    """Every registered command is a scenario here or has its reason in docs/admin.md, and the page tells no lies."""
    registered = set(env.shell.call("commands").split())
    rows = dict(re.findall(r"^\| `(\w+)` \| (works|not yet|never)\b", ADMIN_PAGE.read_text(), re.MULTILINE))
    tested = set(SCENARIOS) - {"commands", "unservedCommands"}
    assert registered == set(rows), f"docs/admin.md lacks {sorted(registered - set(rows))}, has {sorted(set(rows) - registered)}"
    works = {name for name, state in rows.items() if state == "works"}
    assert works == tested, f"works by docs/admin.md, not tested: {sorted(works - tested)}; tested: {sorted(tested - works)}"


@scenario()
def unserved_commands(env):
    """What is not there is refused in so many words, at once."""
    if "haListenPort" in env.run("getBrokerConfig", "-b", env.address).text:
        raise Skip("Java serves these")
    for command, *options in (
            ["setCommitLogReadAheadMode", "-b", env.address, "-m", 1], ["getColdDataFlowCtrInfo", "-b", env.address],
            ["updateStaticTopic", "-t", "static", "-qn", 2, "-b", env.broker], ["listUser", "-b", env.address],
            ["listAcl", "-b", env.address], ["resetMasterFlushOffset", "-b", env.address, "-o", 0],
            ["checkRocksdbCqWriteProgress", "-c", env.cluster, "-n", env.namesrv]):
        env.run(command, *options, failing=True).has("CODE: 3 .*not supported")
