package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What a scenario is given: the server, names nobody used before, and clients that are closed when it ends. */
final class Env extends Checks {
    /** One administration client and one reader serve all scenarios. */
    static final class Shared {
        final String namesrv;
        final DefaultMQAdminExt admin = new DefaultMQAdminExt(5000L);
        final DefaultMQPullConsumer reader;
        final String brokerName;
        final String brokerAddress;
        final String cluster;

        Shared(Map<String, String> addresses) throws Exception {
            namesrv = addresses.get("--namesrv");
            admin.setNamesrvAddr(namesrv);
            admin.setInstanceName(unique("admin"));
            admin.start();
            var broker = admin.examineTopicRouteInfo("TBW102").getBrokerDatas().get(0);
            brokerName = broker.getBrokerName();
            brokerAddress = broker.getBrokerAddrs().get(0L);
            cluster = broker.getCluster();
            reader = new DefaultMQPullConsumer(unique("reader"));
            reader.setNamesrvAddr(namesrv);
            reader.setInstanceName(unique("reader"));
            reader.start();
        }
    }

    private final Shared shared;
    private final List<Runnable> closing = new ArrayList<>();

    Env(Shared shared) {
        this.shared = shared;
    }

    String namesrv() {
        return shared.namesrv;
    }

    DefaultMQAdminExt admin() {
        return shared.admin;
    }

    String brokerName() {
        return shared.brokerName;
    }

    String brokerAddress() {
        return shared.brokerAddress;
    }

    String cluster() {
        return shared.cluster;
    }

    /** Of all brokers that are up now. */
    List<String> brokerAddresses() throws Exception {
        return admin().examineTopicRouteInfo("TBW102").getBrokerDatas().stream().map(b -> b.getBrokerAddrs().get(0L)).toList();
    }

    /** Makes a topic and waits for its route. */
    String topic(String stem, int queues) throws Exception {
        String topic = unique(stem);
        admin().createAndUpdateTopicConfig(brokerAddress(), new TopicConfig(topic, queues, queues, 6));
        awaitRoute(topic);
        return topic;
    }

    void awaitRoute(String topic) throws Exception {
        await("the route of " + topic, 10_000, () -> {
            try {
                return !admin().examineTopicRouteInfo(topic).getQueueDatas().isEmpty();
            } catch (Exception e) {
                return false;
            }
        });
    }

    DefaultMQProducer producer() throws Exception {
        DefaultMQProducer producer = newProducer();
        producer.start();
        return producer;
    }

    DefaultMQProducer newProducer() {
        DefaultMQProducer producer = prepared(new DefaultMQProducer(unique("producer")));
        // The default of three seconds is short for two cores that run everything at once.
        producer.setSendMsgTimeout(10_000);
        return producer;
    }

    /** A producer that knows the cluster and ends with the scenario; it is not started. */
    <P extends DefaultMQProducer> P prepared(P producer) {
        producer.setNamesrvAddr(namesrv());
        producer.setInstanceName(unique("p"));
        closing(producer::shutdown);
        return producer;
    }

    /** A consumer that has no listener yet and is not started; without an expression it has no subscription either. */
    DefaultMQPushConsumer push(String group, String topic, String expression) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(namesrv());
        consumer.setInstanceName(unique("c"));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(4);
        consumer.setConsumeThreadMax(4);
        if (expression != null) {
            consumer.subscribe(topic, expression);
        }
        closing(consumer::shutdown);
        return consumer;
    }

    /** What a new consumer gets of a topic from now on. */
    Collector collect(String group, String topic) throws Exception {
        var got = new Collector();
        var consumer = push(group, topic, "*");
        consumer.registerMessageListener(got.concurrently());
        consumer.start();
        return got;
    }

    DefaultLitePullConsumer litePull(String group) {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(group);
        consumer.setNamesrvAddr(namesrv());
        consumer.setInstanceName(unique("l"));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        closing(consumer::shutdown);
        return consumer;
    }

    /**
     * Makes a started consumer find its retry topic now. Left alone it would with its next poll of the route and the
     * rebalance after that, up to 50 seconds later.
     */
    void findRetryTopic(DefaultMQPushConsumer consumer) throws Exception {
        String retry = "%RETRY%" + consumer.getConsumerGroup();
        awaitRoute(retry);
        var impl = consumer.getDefaultMQPushConsumerImpl();
        await("the queue of the retry topic", 20_000, () -> {
            impl.getmQClientFactory().updateTopicRouteInfoFromNameServer(retry);
            impl.doRebalance();
            return impl.getRebalanceImpl().getProcessQueueTable().keySet().stream()
                .anyMatch(q -> q.getTopic().equals(retry));
        });
    }

    /** Everything stored in a topic, queue by queue in order, once there are {@code count} messages of it. */
    List<MessageExt> stored(String topic, int count) throws Exception {
        List<MessageExt> all = storedAtLeast(topic, count);
        equal(count, all.size(), "messages in " + topic);
        return all;
    }

    List<MessageExt> storedAtLeast(String topic, int count) throws Exception {
        var found = new TreeMap<MessageQueue, List<MessageExt>>();
        for (MessageQueue queue : queues(topic)) {
            found.put(queue, new ArrayList<>());
        }
        await(count + " messages in " + topic, 15_000, () -> {
            int sum = 0;
            for (var entry : found.entrySet()) {
                readOn(entry.getKey(), entry.getValue());
                sum += entry.getValue().size();
            }
            return sum >= count;
        });
        return found.values().stream().flatMap(List::stream).toList();
    }

    List<MessageQueue> queues(String topic) throws Exception {
        return shared.reader.fetchSubscribeMessageQueues(topic).stream().sorted().toList();
    }

    private void readOn(MessageQueue queue, List<MessageExt> read) throws Exception {
        long offset = read.isEmpty() ? 0 : read.get(read.size() - 1).getQueueOffset() + 1;
        while (true) {
            var result = shared.reader.pull(queue, "*", offset, 32);
            if (result.getPullStatus() != PullStatus.FOUND) {
                return;
            }
            read.addAll(result.getMsgFoundList());
            offset = result.getNextBeginOffset();
        }
    }

    void closing(Runnable close) {
        synchronized (closing) {
            closing.add(close);
        }
    }

    void close() {
        synchronized (closing) {
            for (Runnable close : closing) {
                try {
                    close.run();
                } catch (RuntimeException e) {
                    System.err.println("closing: " + e);
                }
            }
        }
    }

    static Message message(String topic, String body) {
        return new Message(topic, body.getBytes(StandardCharsets.UTF_8));
    }

    static String text(MessageExt message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }

    static List<String> texts(List<MessageExt> messages) {
        return messages.stream().map(Env::text).toList();
    }

    /** Sends numbered bodies {@code prefix0..} over the queues in turn and returns the bodies. */
    static List<String> sendNumbered(DefaultMQProducer producer, String topic, String prefix, int count) throws Exception {
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            String body = prefix + i;
            producer.send(message(topic, body));
            bodies.add(body);
        }
        return bodies;
    }

    static <K, V> Map<K, List<V>> grouped(List<V> values, java.util.function.Function<V, K> key) {
        var groups = new TreeMap<K, List<V>>();
        for (V value : values) {
            groups.computeIfAbsent(key.apply(value), k -> new ArrayList<>()).add(value);
        }
        return groups;
    }
}
