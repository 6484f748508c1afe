package interop;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.AckCallback;
import org.apache.rocketmq.client.consumer.AckResult;
import org.apache.rocketmq.client.consumer.PopCallback;
import org.apache.rocketmq.client.consumer.PopResult;
import org.apache.rocketmq.client.consumer.PopStatus;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.header.AckMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.ChangeInvisibleTimeRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.ExtraInfoUtil;
import org.apache.rocketmq.remoting.protocol.header.PopMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.QueryConsumerOffsetRequestHeader;

/** Pops by the library's own calls: its push consumer pops nothing in order, and settles by itself. */
final class Pops {
    private static final long TIMEOUT_MS = 10_000;

    private final Env env;
    private final MQClientAPIImpl api;
    private final String group;
    private final String topic;
    private final boolean order;

    Pops(Env env, String group, String topic, boolean order) throws Exception {
        this.env = env;
        this.api = env.producer().getDefaultMQProducerImpl().getMqClientFactory().getMQClientAPIImpl();
        this.group = group;
        this.topic = topic;
        this.order = order;
    }

    /** Pops of all queues, once. */
    List<MessageExt> pop(int most, long invisibleMs, String attempt) throws Exception {
        var header = new PopMessageRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(-1);
        header.setMaxMsgNums(most);
        header.setInvisibleTime(invisibleMs);
        header.setPollTime(0);
        header.setBornTime(System.currentTimeMillis());
        header.setInitMode(0);
        header.setExpType("TAG");
        header.setExp("*");
        header.setOrder(order);
        header.setAttemptId(attempt);
        var popped = new CompletableFuture<PopResult>();
        api.popMessageAsync(env.brokerName(), env.brokerAddress(), header, TIMEOUT_MS, new PopCallback() {
            @Override
            public void onSuccess(PopResult result) {
                popped.complete(result);
            }

            @Override
            public void onException(Throwable e) {
                popped.completeExceptionally(e);
            }
        });
        PopResult result = popped.get(TIMEOUT_MS, TimeUnit.MILLISECONDS);
        return result.getPopStatus() == PopStatus.FOUND ? result.getMsgFoundList() : List.of();
    }

    /** Pops until there is something. */
    List<MessageExt> popSome(int most, long invisibleMs, String attempt, long limitMs) throws Exception {
        long deadline = System.currentTimeMillis() + limitMs;
        while (true) {
            List<MessageExt> found = pop(most, invisibleMs, attempt);
            if (!found.isEmpty()) {
                return found;
            }
            Env.that(System.currentTimeMillis() < deadline, "nothing popped within " + limitMs + " ms");
            Thread.sleep(50);
        }
    }

    void ack(MessageExt message) throws Exception {
        var header = new AckMessageRequestHeader();
        String[] receipt = receipt(message);
        header.setConsumerGroup(group);
        header.setTopic(ExtraInfoUtil.getRealTopic(receipt, topic, group));
        header.setQueueId(ExtraInfoUtil.getQueueId(receipt));
        header.setOffset(ExtraInfoUtil.getQueueOffset(receipt));
        header.setExtraInfo(message.getProperty(MessageConst.PROPERTY_POP_CK));
        var acked = new Settled();
        api.ackMessageAsync(env.brokerAddress(), TIMEOUT_MS, acked, header);
        acked.await();
    }

    /** Makes a message visible at another time, so long from now. */
    void change(MessageExt message, long invisibleMs) throws Exception {
        var header = new ChangeInvisibleTimeRequestHeader();
        String[] receipt = receipt(message);
        header.setConsumerGroup(group);
        header.setTopic(ExtraInfoUtil.getRealTopic(receipt, topic, group));
        header.setQueueId(ExtraInfoUtil.getQueueId(receipt));
        header.setOffset(ExtraInfoUtil.getQueueOffset(receipt));
        header.setExtraInfo(message.getProperty(MessageConst.PROPERTY_POP_CK));
        header.setInvisibleTime(invisibleMs);
        var changed = new Settled();
        api.changeInvisibleTimeAsync(env.brokerName(), env.brokerAddress(), header, TIMEOUT_MS, changed);
        changed.await();
    }

    /** Gives a message up, as a proxy does for its clients. */
    void giveUp(MessageExt message) throws Exception {
        api.consumerSendMessageBack(env.brokerAddress(), env.brokerName(), message, group, -1, TIMEOUT_MS, 1);
        ack(message);
    }

    /** Where the group stands in queue 0 of a topic. */
    long committed(String of) throws Exception {
        var header = new QueryConsumerOffsetRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(of);
        header.setQueueId(0);
        return api.queryConsumerOffset(env.brokerAddress(), header, TIMEOUT_MS);
    }

    private static String[] receipt(MessageExt message) {
        return ExtraInfoUtil.split(message.getProperty(MessageConst.PROPERTY_POP_CK));
    }

    private static final class Settled implements AckCallback {
        private final CompletableFuture<AckResult> result = new CompletableFuture<>();

        @Override
        public void onSuccess(AckResult settled) {
            result.complete(settled);
        }

        @Override
        public void onException(Throwable e) {
            result.completeExceptionally(e);
        }

        void await() throws Exception {
            Env.equal("OK", result.get(TIMEOUT_MS, TimeUnit.MILLISECONDS).getStatus().name(), "answer");
        }
    }
}
