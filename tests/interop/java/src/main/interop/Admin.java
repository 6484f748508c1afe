package interop;

import static interop.Env.equal;
import static interop.Env.message;
import static interop.Env.sendNumbered;
import static interop.Env.text;
import static interop.Env.texts;
import static interop.Env.that;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** The administration client, as mqadmin and the dashboard use it. */
final class Admin {
    static final List<Scenario> SCENARIOS = new Scenario.Group("together")
        .add("admin-topic", Admin::topic)
        .add("admin-group", Admin::group)
        .add("admin-topic-stats", Admin::topicStats)
        .add("admin-consume-stats", Admin::consumeStats)
        .add("admin-cluster", Admin::cluster)
        .add("admin-view-message", Admin::viewMessage)
        .add("admin-query-message", Admin::queryMessage)
        .add("admin-offsets", Admin::offsets)
        .add("admin-consumer-connection", Admin::consumerConnection)
        .add("admin-producer-connection", Admin::producerConnection)
        .add("admin-reset-offset", 150, Admin::resetOffset)
        .add("admin-kv-config", Admin::kvConfig)
        .add("admin-topic-list", Admin::topicList)
        .add("admin-broker-config", Admin::brokerConfig)
        .add("admin-runtime-stats", Admin::runtimeStats)
        .add("admin-order-conf", Admin::orderConf)
        .all;

    private static void topic(Env env) throws Exception {
        String topic = env.topic("admin-topic", 3);
        var queues = env.admin().examineTopicRouteInfo(topic).getQueueDatas().get(0);
        equal(List.of(3, 3, 6), List.of(queues.getReadQueueNums(), queues.getWriteQueueNums(), queues.getPerm()), "route");
        env.producer().send(message(topic, "x"));

        TopicConfig changed = new TopicConfig(topic, 5, 2, 4);
        env.admin().createAndUpdateTopicConfig(env.brokerAddress(), changed);
        TopicConfig kept = env.admin().examineTopicConfig(env.brokerAddress(), topic);
        equal(List.of(5, 2, 4), List.of(kept.getReadQueueNums(), kept.getWriteQueueNums(), kept.getPerm()), "changed");
        Env.await("the changed route", 10_000, () -> {
            var q = env.admin().examineTopicRouteInfo(topic).getQueueDatas().get(0);
            return q.getReadQueueNums() == 5 && q.getWriteQueueNums() == 2 && q.getPerm() == 4;
        });

        env.admin().deleteTopicInBroker(Set.of(env.brokerAddress()), topic);
        // A registration of the broker that was under way may bring the topic back once in Java.
        Env.await("no route", 10_000, () -> {
            Compat.deleteRoute(env, topic);
            try {
                env.admin().examineTopicRouteInfo(topic);
                return false;
            } catch (MQClientException e) {
                return e.getResponseCode() == 17;
            }
        });
        that(!env.admin().getAllTopicConfig(env.brokerAddress(), 5000).getTopicConfigTable().containsKey(topic), "deleted");
        for (String illegal : List.of("with space", "TBW102", "SCHEDULE_TOPIC_XXXX")) {
            try {
                env.admin().createAndUpdateTopicConfig(env.brokerAddress(), new TopicConfig(illegal, 1, 1, 6));
                throw new AssertionError("accepted " + illegal);
            } catch (MQBrokerException e) {
                equal(29, e.getResponseCode(), "code for " + illegal);
            } catch (MQClientException e) {
                // Refused by the client itself; how much it checks depends on its version.
            }
        }
    }

    private static void group(Env env) throws Exception {
        String group = Env.unique("admin-group");
        var config = Compat.groupConfig();
        config.setGroupName(group);
        config.setRetryMaxTimes(3);
        config.setConsumeBroadcastEnable(false);
        env.admin().createAndUpdateSubscriptionGroupConfig(env.brokerAddress(), config);
        var kept = env.admin().examineSubscriptionGroupConfig(env.brokerAddress(), group);
        equal(List.of(group, 3, false, true, 1), List.of(kept.getGroupName(), kept.getRetryMaxTimes(),
            kept.isConsumeBroadcastEnable(), kept.isConsumeEnable(), kept.getRetryQueueNums()), "group");
        kept.setRetryMaxTimes(7);
        env.admin().createAndUpdateSubscriptionGroupConfig(env.brokerAddress(), kept);
        var table = env.admin().getAllSubscriptionGroup(env.brokerAddress(), 5000).getSubscriptionGroupTable();
        equal(7, table.get(group).getRetryMaxTimes(), "changed");
        that(table.containsKey("TOOLS_CONSUMER"), "the groups every broker has");
        env.admin().deleteSubscriptionGroup(env.brokerAddress(), group, true);
        // Java may make the group anew when the client reads it once more; then it has the defaults.
        var after = env.admin().getAllSubscriptionGroup(env.brokerAddress(), 5000).getSubscriptionGroupTable().get(group);
        that(after == null || after.getRetryMaxTimes() == 16, "deleted");
    }

    private static void topicStats(Env env) throws Exception {
        String topic = env.topic("topic-stats", 2);
        var producer = env.producer();
        long before = System.currentTimeMillis();
        for (int i = 0; i < 5; i++) {
            producer.send(message(topic, "m" + i), new MessageQueue(topic, env.brokerName(), 1));
        }
        env.stored(topic, 5);
        var table = env.admin().examineTopicStats(topic).getOffsetTable();
        equal(2, table.size(), "queues");
        var written = table.get(new MessageQueue(topic, env.brokerName(), 1));
        equal(List.of(0L, 5L), List.of(written.getMinOffset(), written.getMaxOffset()), "min, max");
        that(Math.abs(written.getLastUpdateTimestamp() - before) < 10_000, "last update " + written.getLastUpdateTimestamp());
        equal(0L, table.get(new MessageQueue(topic, env.brokerName(), 0)).getMaxOffset(), "the other queue");
    }

    private static void consumeStats(Env env) throws Exception {
        String topic = env.topic("consume-stats", 2);
        String group = Env.unique("consume-stats");
        var got = new Collector();
        var consumer = env.push(group, topic, "*");
        consumer.registerMessageListener(got.concurrently());
        consumer.start();
        var producer = env.producer();
        got.awaitExactly(sendNumbered(producer, topic, "m", 20), 45_000);
        consumer.shutdown();
        Env.await("the offsets stored", 10_000, () -> env.admin().examineConsumeStats(group, topic).computeTotalDiff() == 0);
        sendNumbered(producer, topic, "unread", 7);
        Env.await("what is behind", 10_000, () -> env.admin().examineConsumeStats(group).computeTotalDiff() == 7);
        long consumed = env.admin().examineConsumeStats(group, topic).getOffsetTable().values().stream()
            .mapToLong(o -> o.getConsumerOffset()).sum();
        equal(20L, consumed, "consumed");
        that(env.admin().queryTopicConsumeByWho(topic).getGroupList().contains(group), "who consumes the topic");
    }

    private static void cluster(Env env) throws Exception {
        var info = env.admin().examineBrokerClusterInfo();
        that(info.getClusterAddrTable().get(env.cluster()).contains(env.brokerName()), "cluster");
        equal(env.brokerAddress(), info.getBrokerAddrTable().get(env.brokerName()).getBrokerAddrs().get(0L), "address");
        that(env.admin().getClusterList(env.topic("cluster", 1)) != null, "clusters of a topic");
    }

    private static void viewMessage(Env env) throws Exception {
        String topic = env.topic("view", 2);
        SendResult result = env.producer().send(message(topic, "seen"));
        env.stored(topic, 1);
        for (String id : List.of(result.getOffsetMsgId(), result.getMsgId())) {
            Env.await("the message by " + id, 10_000, () -> {
                try {
                    return text(env.admin().viewMessage(topic, id)).equals("seen");
                } catch (MQClientException | MQBrokerException e) {
                    return false;
                }
            });
        }
    }

    private static void queryMessage(Env env) throws Exception {
        String topic = env.topic("query", 2);
        String key = Env.unique("key");
        var producer = env.producer();
        for (int i = 0; i < 5; i++) {
            producer.send(new Message(topic, "tag", key + " own" + i, ("m" + i).getBytes(StandardCharsets.UTF_8)));
        }
        producer.send(new Message(topic, "tag", "other", "other".getBytes(StandardCharsets.UTF_8)));
        long now = System.currentTimeMillis();
        Env.await("five by key", 10_000, () -> {
            try {
                QueryResult found = env.admin().queryMessage(topic, key, 32, now - 60_000, now + 60_000);
                return Env.sorted(texts(found.getMessageList())).equals(List.of("m0", "m1", "m2", "m3", "m4"));
            } catch (MQClientException e) {
                return false;
            }
        });
        List<MessageExt> one = env.admin().queryMessage(topic, "own3", 32, now - 60_000, now + 60_000).getMessageList();
        equal(List.of("m3"), texts(one), "by a key of its own");
        try {
            env.admin().queryMessage(topic, "absent", 32, now - 60_000, now + 60_000);
            throw new AssertionError("found an absent key");
        } catch (MQClientException e) {
            equal(208, e.getResponseCode(), "code of the client for no message");
        }
    }

    private static void offsets(Env env) throws Exception {
        String topic = env.topic("offsets", 1);
        MessageQueue queue = new MessageQueue(topic, env.brokerName(), 0);
        var producer = env.producer();
        equal(-1L, env.admin().earliestMsgStoreTime(queue), "earliest of an empty queue");
        sendNumbered(producer, topic, "m", 10);
        List<MessageExt> stored = env.stored(topic, 10);
        equal(List.of(0L, 10L), List.of(env.admin().minOffset(queue), env.admin().maxOffset(queue)), "min, max");
        equal(stored.get(0).getStoreTimestamp(), env.admin().earliestMsgStoreTime(queue), "earliest");
        long fifth = stored.get(5).getStoreTimestamp();
        long expected = stored.stream().filter(m -> m.getStoreTimestamp() == fifth).findFirst().orElseThrow().getQueueOffset();
        equal(expected, env.admin().searchOffset(queue, fifth), "offset of a time");
        equal(0L, env.admin().searchOffset(queue, stored.get(0).getStoreTimestamp() - 5000), "offset of a time before");
        equal(10L, env.admin().searchOffset(queue, stored.get(9).getStoreTimestamp() + 5000), "offset of a time after");
    }

    private static void consumerConnection(Env env) throws Exception {
        String topic = env.topic("connection", 1);
        String group = Env.unique("connection");
        var consumer = env.push(group, topic, "a || b");
        consumer.registerMessageListener(new Collector().concurrently());
        consumer.start();
        var info = env.admin().examineConsumerConnectionInfo(group);
        equal(1, info.getConnectionSet().size(), "connections");
        var connection = info.getConnectionSet().iterator().next();
        equal(consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId(), connection.getClientId(), "client");
        equal("a || b", info.getSubscriptionTable().get(topic).getSubString(), "subscription");
        that(info.getSubscriptionTable().containsKey("%RETRY%" + group), "subscription of the retry topic");
        equal("CLUSTERING", info.getMessageModel().name(), "model");
        equal("CONSUME_PASSIVELY", info.getConsumeType().name(), "type");
        var running = env.admin().getConsumerRunningInfo(group, connection.getClientId(), false);
        that(!running.getSubscriptionSet().isEmpty(), "running info relayed from the client");
        consumer.shutdown();
        Env.await("nobody", 10_000, () -> {
            try {
                env.admin().examineConsumerConnectionInfo(group);
                return false;
            } catch (MQBrokerException e) {
                return e.getResponseCode() == 206;
            }
        });
    }

    private static void producerConnection(Env env) throws Exception {
        String topic = env.topic("connection", 1);
        var producer = env.producer();
        producer.send(message(topic, "x"));
        // A producer learns the broker by its first send and makes itself known with its next heartbeat.
        producer.getDefaultMQProducerImpl().getMqClientFactory().sendHeartbeatToAllBrokerWithLock();
        var info = env.admin().examineProducerConnectionInfo(producer.getProducerGroup(), topic);
        equal(1, info.getConnectionSet().size(), "connections");
        equal(producer.getDefaultMQProducerImpl().getMqClientFactory().getClientId(),
            info.getConnectionSet().iterator().next().getClientId(), "client");
    }

    private static void resetOffset(Env env) throws Exception {
        String topic = env.topic("reset", 2);
        String group = Env.unique("reset");
        var got = new Collector();
        var consumer = env.push(group, topic, "*");
        consumer.registerMessageListener(got.concurrently());
        consumer.start();
        var producer = env.producer();
        List<String> sent = sendNumbered(producer, topic, "m", 40);
        got.awaitExactly(sent, 45_000);
        consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
        Env.await("the offsets stored", 10_000, () -> env.admin().examineConsumeStats(group, topic).computeTotalDiff() == 0);
        long first = env.stored(topic, 40).stream().mapToLong(MessageExt::getStoreTimestamp).min().orElseThrow();
        var offsets = env.admin().resetOffsetByTimestamp(topic, group, first - 1000, true);
        equal(2, offsets.size(), "queues reset");
        that(offsets.values().stream().allMatch(o -> o == 0), "offsets after the reset: " + offsets);
        // A client that is told of a moved offset pauses for ten seconds.
        Env.await("everything again", 60_000, () -> got.size() >= 80);
        got.settle(500);
        equal(80, got.size(), "consumed");
        Env.that(got.distinct().size() == 40, "each twice");
    }

    private static void kvConfig(Env env) throws Exception {
        String namespace = Env.unique("namespace");
        env.admin().createAndUpdateKvConfig(namespace, "key", "value=1;ä");
        equal("value=1;ä", env.admin().getKVConfig(namespace, "key"), "value");
        equal(java.util.Map.of("key", "value=1;ä"), env.admin().getKVListByNamespace(namespace).getTable(), "namespace");
        env.admin().deleteKvConfig(namespace, "key");
        try {
            env.admin().getKVConfig(namespace, "key");
            throw new AssertionError("still there");
        } catch (MQClientException e) {
            equal(22, e.getResponseCode(), "code");
        }
    }

    private static void topicList(Env env) throws Exception {
        String topic = env.topic("listed", 1);
        Set<String> all = env.admin().fetchAllTopicList().getTopicList();
        that(all.contains(topic), "all topics");
        that(all.containsAll(Set.of("TBW102", "SELF_TEST_TOPIC", "BenchmarkTest", "OFFSET_MOVED_EVENT", env.cluster(),
            env.brokerName())), "system topics in " + all);
        that(env.admin().fetchTopicsByCLuster(env.cluster()).getTopicList().contains(topic), "topics of the cluster");
        equal(Set.of(env.cluster()), env.admin().getTopicClusterList(topic), "clusters of the topic");
    }

    private static void brokerConfig(Env env) throws Exception {
        Properties config = env.admin().getBrokerConfig(env.brokerAddress());
        equal(env.brokerName(), config.getProperty("brokerName"), "name");
        equal(env.cluster(), config.getProperty("brokerClusterName"), "cluster");
        equal("4194304", config.getProperty("maxMessageSize"), "message size");
        String key = "deleteWhen";
        String old = config.getProperty(key);
        Properties change = new Properties();
        change.setProperty(key, "05");
        env.admin().updateBrokerConfig(env.brokerAddress(), change);
        equal("05", env.admin().getBrokerConfig(env.brokerAddress()).getProperty(key), "changed");
        change.setProperty(key, old);
        env.admin().updateBrokerConfig(env.brokerAddress(), change);
        equal(old, env.admin().getBrokerConfig(env.brokerAddress()).getProperty(key), "changed back");
        Properties forbidden = new Properties();
        forbidden.setProperty("brokerConfigPath", "/elsewhere");
        try {
            env.admin().updateBrokerConfig(env.brokerAddress(), forbidden);
            throw new AssertionError("changed a key of the black list");
        } catch (MQBrokerException e) {
            equal(16, e.getResponseCode(), "code");
        }
        that(env.admin().getNameServerConfig(List.of(env.namesrv())).get(env.namesrv()).containsKey("listenPort"),
            "name server config");
    }

    private static void runtimeStats(Env env) throws Exception {
        var table = env.admin().fetchBrokerRuntimeStats(env.brokerAddress()).getTable();
        // What `mqadmin clusterList` parses without looking.
        for (String key : List.of("putTps", "getTransferredTps")) {
            // The last 10, 60 and 600 seconds; a Java server younger than that leaves them empty.
            equal(3, table.get(key).split(" ", -1).length, key);
        }
        for (String key : List.of("sendThreadPoolQueueSize", "pullThreadPoolQueueSize", "sendThreadPoolQueueHeadWaitTimeMills",
            "pullThreadPoolQueueHeadWaitTimeMills", "pageCacheLockTimeMills", "earliestMessageTimeStamp",
            "commitLogDiskRatio", "msgPutTotalYesterdayMorning", "msgPutTotalTodayMorning", "msgPutTotalTodayNow",
            "msgGetTotalYesterdayMorning", "msgGetTotalTodayMorning", "msgGetTotalTodayNow", "bootTimestamp",
            "commitLogMaxOffset", "commitLogMinOffset", "dispatchBehindBytes", "timerReadBehind", "timerCongestNum")) {
            that(table.get(key) != null, key + " is missing");
            Double.parseDouble(table.get(key).trim());
        }
        that(table.get("brokerVersionDesc") != null && table.get("brokerActive") != null, "version and activity");
        var ownStats = env.admin().fetchConsumeStatsInBroker(env.brokerAddress(), false, 5000);
        that(ownStats.getConsumeStatsList() != null, "consume stats of the broker");
    }

    private static void orderConf(Env env) throws Exception {
        String topic = env.topic("order-conf", 4);
        String value = env.brokerName() + ":4";
        env.admin().createOrUpdateOrderConf(topic, value, true);
        equal(value, env.admin().getKVConfig("ORDER_TOPIC_CONFIG", topic), "order configuration");
        env.admin().createOrUpdateOrderConf(topic, env.brokerName() + ":2", false);
        equal(env.brokerName() + ":2", env.admin().getKVConfig("ORDER_TOPIC_CONFIG", topic), "changed");
        TopicConfig ordered = new TopicConfig(topic, 4, 4, 6);
        ordered.setOrder(true);
        env.admin().createAndUpdateTopicConfig(env.brokerAddress(), ordered);
        that(env.admin().examineTopicConfig(env.brokerAddress(), topic).isOrder(), "the topic is an order topic");
        env.admin().deleteKvConfig("ORDER_TOPIC_CONFIG", topic);
    }
}
