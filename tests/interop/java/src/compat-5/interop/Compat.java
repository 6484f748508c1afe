package interop;

import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageRequestMode;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;

/** What has another package or another name in 5.x. */
final class Compat {
    static void broadcast(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static SubscriptionGroupConfig groupConfig() {
        return new SubscriptionGroupConfig();
    }

    /** The two arguments after the addresses have changed places between 4.x and 5.x, silently: both are strings. */
    static void deleteRoute(Env env, String topic) throws Exception {
        env.admin().deleteTopicInNameServer(Set.of(env.namesrv()), env.cluster(), topic);
    }

    static void deliverIn(Message message, long ms) {
        message.setDelayTimeMs(ms);
    }

    static void consumeByPop(Env env, DefaultMQPushConsumer consumer, String topic) throws Exception {
        letBrokersAssign(consumer);
        for (String broker : env.brokerAddresses()) {
            env.admin().setMessageRequestMode(
                broker, topic, consumer.getConsumerGroup(), MessageRequestMode.POP, 8, 3000);
        }
    }

    static void letBrokersAssign(DefaultMQPushConsumer consumer) {
        consumer.setClientRebalance(false);
    }

    static void createTopic(Env env, String topic, int queues, String type) throws Exception {
        var config = new TopicConfig(topic, queues, queues, 6);
        config.setAttributes(Map.of("+message.type", type));
        env.admin().createAndUpdateTopicConfig(env.brokerAddress(), config);
        env.awaitRoute(topic);
    }

    /** Returns the id of the message. */
    static String recall(DefaultMQProducer producer, String topic, SendResult sent) throws Exception {
        return producer.recallMessage(topic, sent.getRecallHandle());
    }

    static void prioritize(Message message, int priority) {
        message.setPriority(priority);
    }
}
