package interop;

import static interop.Env.equal;
import static interop.Env.message;
import static interop.Env.sendNumbered;
import static interop.Env.text;
import static interop.Env.that;

import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages that are not consumed at the first attempt. */
final class Retrying {
    static final List<Scenario> SCENARIOS = new Scenario.Group("together")
        .add("retry", 150, Retrying::retry)
        .add("dead-letter", 150, Retrying::deadLetter)
        .all;

    private record Attempt(String body, int times, long at) {}

    private static void retry(Env env) throws Exception {
        String topic = env.topic("retry", 2);
        var attempts = new ConcurrentLinkedQueue<Attempt>();
        var done = new Collector();
        var consumer = consumer(env, topic, attempts, done, 2);
        consumer.start();
        env.findRetryTopic(consumer);
        List<String> sent = sendNumbered(env.producer(), topic, "fine", 10);
        var result = env.producer().send(message(topic, "bad"));
        sent.add("bad");
        done.awaitExactly(sent, 40_000);
        List<Attempt> bad = attempts.stream().filter(a -> a.body.equals("bad")).toList();
        equal(List.of(0, 1, 2), bad.stream().map(Attempt::times).toList(), "attempts");
        for (int i = 1; i < bad.size(); i++) {
            long waited = bad.get(i).at - bad.get(i - 1).at;
            that(waited > 900 && waited < 5000, "attempt " + i + " after " + waited + " ms, level 1 is a second");
        }
        MessageExt last = done.all().stream().filter(m -> text(m).equals("bad")).findFirst().orElseThrow();
        equal(topic, last.getTopic(), "topic");
        equal(result.getMsgId(), last.getMsgId(), "message id");
        equal(result.getOffsetMsgId(), last.getProperty("ORIGIN_MESSAGE_ID"), "origin message id");
    }

    private static void deadLetter(Env env) throws Exception {
        String topic = env.topic("dead", 1);
        var attempts = new ConcurrentLinkedQueue<Attempt>();
        var consumer = consumer(env, topic, attempts, new Collector(), Integer.MAX_VALUE);
        consumer.setMaxReconsumeTimes(1);
        consumer.start();
        env.findRetryTopic(consumer);
        var message = message(topic, "bad");
        message.setKeys("key");
        env.producer().send(message);
        String dead = "%DLQ%" + consumer.getConsumerGroup();
        Env.await("the dead letter topic", 40_000, () -> env.admin().fetchAllTopicList().getTopicList().contains(dead));
        MessageExt letter = env.stored(dead, 1).get(0);
        equal("bad", text(letter), "body");
        equal("key", letter.getKeys(), "keys");
        equal(topic, letter.getProperty("RETRY_TOPIC"), "original topic");
        equal(List.of(0, 1), attempts.stream().map(Attempt::times).toList(), "attempts");
    }

    /** A consumer that refuses messages whose body is "bad" for the first attempts. */
    private static DefaultMQPushConsumer consumer(
        Env env, String topic, ConcurrentLinkedQueue<Attempt> attempts, Collector done, int refusals) throws Exception {
        var consumer = env.push(Env.unique("retry"), topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            for (MessageExt m : batch) {
                attempts.add(new Attempt(text(m), m.getReconsumeTimes(), System.currentTimeMillis()));
                if (text(m).equals("bad") && m.getReconsumeTimes() < refusals) {
                    context.setDelayLevelWhenNextConsume(1);
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
                done.add(m);
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        return consumer;
    }
}
