package interop;

import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.common.subscription.SubscriptionGroupConfig;

/** What has another package or another name in 4.x. */
final class Compat {
    static void broadcast(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static SubscriptionGroupConfig groupConfig() {
        return new SubscriptionGroupConfig();
    }

    /** The two arguments after the addresses have changed places between 4.x and 5.x, silently: both are strings. */
    static void deleteRoute(Env env, String topic) throws Exception {
        env.admin().deleteTopicInNameServer(Set.of(env.namesrv()), topic, env.cluster());
    }

    static void deliverIn(Message message, long ms) {
        MessageAccessor.putProperty(message, "TIMER_DELIVER_MS", String.valueOf(System.currentTimeMillis() + ms));
    }

    static void consumeByPop(Env env, DefaultMQPushConsumer consumer, String topic) {
        throw new Skip("4.x has no POP");
    }

    static void letBrokersAssign(DefaultMQPushConsumer consumer) {
        throw new Skip("4.x rebalances by itself");
    }

    static void createTopic(Env env, String topic, int queues, String type) {
        throw new Skip("4.x has no types of topics");
    }

    static String recall(DefaultMQProducer producer, String topic, SendResult sent) throws Exception {
        throw new Skip("4.x does not recall");
    }

    static void prioritize(Message message, int priority) {
        throw new Skip("4.x has no priorities");
    }
}
