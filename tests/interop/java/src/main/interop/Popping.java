package interop;

import static interop.Env.equal;
import static interop.Env.message;
import static interop.Env.sendNumbered;
import static interop.Env.text;
import static interop.Env.that;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;

/** Consumers that pop, because the broker says so. */
final class Popping {
    static final List<Scenario> SCENARIOS = new Scenario.Group("together")
        .add("pop-consumer", 60, Popping::consumer)
        .add("pop-more-consumers-than-queues", 120, Popping::moreConsumers)
        .add("pop-retry", 150, Popping::retry)
        .all;

    private static void consumer(Env env) throws Exception {
        String topic = env.topic("pop", 4);
        var got = new Collector();
        var consumer = env.push(Env.unique("pop"), topic, "*");
        Compat.consumeByPop(env, consumer, topic);
        consumer.registerMessageListener(got.concurrently());
        consumer.start();
        got.awaitExactly(sendNumbered(env.producer(), topic, "m", 100), 40_000);
    }

    private static void moreConsumers(Env env) throws Exception {
        String topic = env.topic("pop-share", 1);
        String group = Env.unique("pop-share");
        var all = new Collector();
        List<Collector> each = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            var got = new Collector();
            each.add(got);
            var consumer = env.push(group, topic, "*");
            Compat.consumeByPop(env, consumer, topic);
            consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
                batch.forEach(got::add);
                batch.forEach(all::add);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
        }
        List<String> sent = new ArrayList<>();
        var producer = env.producer();
        Env.await("all three take a share of one queue", 100_000, () -> {
            sent.addAll(sendNumbered(producer, topic, "r" + sent.size() + "-", 30));
            Thread.sleep(500);
            return each.stream().allMatch(got -> got.size() > 0);
        });
        all.awaitExactly(sent, 40_000);
    }

    private record Attempt(int times, long at) {}

    private static void retry(Env env) throws Exception {
        String topic = env.topic("pop-retry", 2);
        var attempts = new ConcurrentLinkedQueue<Attempt>();
        var done = new Collector();
        var consumer = env.push(Env.unique("pop-retry"), topic, "*");
        Compat.consumeByPop(env, consumer, topic);
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            for (var m : batch) {
                if (text(m).equals("bad")) {
                    attempts.add(new Attempt(m.getReconsumeTimes(), System.currentTimeMillis()));
                    if (m.getReconsumeTimes() < 2) {
                        return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                    }
                    equal(topic, m.getTopic(), "topic");
                }
                done.add(m);
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        List<String> sent = sendNumbered(env.producer(), topic, "fine", 10);
        env.producer().send(message(topic, "bad"));
        sent.add("bad");
        done.awaitExactly(sent, 120_000);
        equal(List.of(0, 1, 2), attempts.stream().map(Attempt::times).toList(), "attempts");
        long[] at = attempts.stream().mapToLong(Attempt::at).toArray();
        // The client asks for 10 and 30 seconds.
        that(at[1] - at[0] > 8_000 && at[1] - at[0] < 25_000, "second attempt after " + (at[1] - at[0]) + " ms");
        that(at[2] - at[1] > 25_000 && at[2] - at[1] < 60_000, "third attempt after " + (at[2] - at[1]) + " ms");
    }
}
