package interop;

import static interop.Env.equal;
import static interop.Env.sendNumbered;

import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.TopicConfig;

/** Topics that lie at two brokers, whose queues the brokers assign. */
final class Clustered {
    private static final int QUEUES = 2;

    static final List<Scenario> SCENARIOS = new Scenario.Group("brokers")
        .add("pop-of-two-brokers", 150, env -> consume(env, true))
        .add("assigned-queues-of-two-brokers", 150, env -> consume(env, false))
        .all;

    private static void consume(Env env, boolean pop) throws Exception {
        List<String> brokers = env.brokerAddresses();
        equal(2, brokers.size(), "brokers");
        String topic = Env.unique("clustered");
        for (String broker : brokers) {
            env.admin().createAndUpdateTopicConfig(broker, new TopicConfig(topic, QUEUES, QUEUES, 6));
        }
        Env.await("the route of both brokers", 10_000, () -> {
            env.awaitRoute(topic);
            return env.admin().examineTopicRouteInfo(topic).getQueueDatas().size() == 2;
        });
        var got = new Collector();
        String group = Env.unique("clustered");
        for (int i = 0; i < 2; i++) {
            DefaultMQPushConsumer consumer = env.push(group, topic, "*");
            if (pop) {
                Compat.consumeByPop(env, consumer, topic);
            } else {
                Compat.letBrokersAssign(consumer);
            }
            consumer.registerMessageListener(got.concurrently());
            consumer.start();
        }
        got.awaitExactly(sendNumbered(env.producer(), topic, "m", 100), 90_000);
        equal(2L, env.stored(topic, 100).stream().map(m -> m.getStoreHost()).distinct().count(), "brokers that stored some");
    }
}
