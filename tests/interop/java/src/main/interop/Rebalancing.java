package interop;

import static interop.Env.message;
import static interop.Env.sendNumbered;
import static interop.Env.that;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;

/** Consumers of one group that come and go. */
final class Rebalancing {
    // Without a notification by the server a consumer would look again after 20 seconds.
    private static final long NOTIFIED_MS = 5_000;

    static final List<Scenario> SCENARIOS = new Scenario.Group("together")
        .add("group-join-and-leave", 150, Rebalancing::joinAndLeave)
        .add("rebalance-speed", Rebalancing::speed)
        .all;

    static long queuesOf(DefaultMQPushConsumer consumer, String topic) {
        return consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet().stream()
            .filter(q -> q.getTopic().equals(topic)).count();
    }

    private static void joinAndLeave(Env env) throws Exception {
        String topic = env.topic("join", 8);
        String group = Env.unique("join");
        var producer = env.producer();
        var got = new Collector();
        var first = start(env, group, topic, got);
        Env.await("all queues", 45_000, () -> queuesOf(first, topic) == 8);
        List<String> sent = Collections.synchronizedList(new ArrayList<>(sendNumbered(producer, topic, "alone", 100)));
        got.awaitExactly(sent, 45_000);

        var stop = new AtomicBoolean();
        Thread sender = new Thread(() -> {
            for (int i = 0; !stop.get(); i++) {
                try {
                    producer.send(message(topic, "moving" + i));
                    sent.add("moving" + i);
                    Thread.sleep(2);
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
            }
        });
        sender.start();
        try {
            var theirs = new Collector();
            var second = start(env, group, topic, got, theirs);
            Env.await("a share for the second", 30_000, () -> theirs.size() > 50);
            second.shutdown();
            Env.await("all queues again", 30_000, () -> queuesOf(first, topic) == 8);
        } finally {
            stop.set(true);
            sender.join();
        }
        got.awaitAll(sent, 30_000);

        // Settled with two members: nothing is lost and nothing doubled.
        var third = start(env, group, topic, got);
        Env.await("four queues each", 30_000, () -> queuesOf(first, topic) == 4 && queuesOf(third, topic) == 4);
        got.settle(1000);
        int before = got.size();
        List<String> settled = sendNumbered(producer, topic, "settled", 200);
        got.awaitAll(settled, 45_000);
        got.settle(500);
        Env.equal(Env.sorted(settled), Env.sorted(got.texts().subList(before, got.size())), "consumed when settled");
    }

    private static void speed(Env env) throws Exception {
        String topic = env.topic("rebalance", 4);
        String group = Env.unique("rebalance");
        var first = start(env, group, topic, new Collector());
        Env.await("all queues", 45_000, () -> queuesOf(first, topic) == 4);
        // Long enough for a client that waits a second between two rebalances.
        var second = start(env, group, topic, new Collector());
        Env.await("two queues each", NOTIFIED_MS, () -> queuesOf(first, topic) == 2 && queuesOf(second, topic) == 2);
        second.shutdown();
        Env.await("all queues again", NOTIFIED_MS, () -> queuesOf(first, topic) == 4);
        that(env.admin().examineConsumerConnectionInfo(group).getConnectionSet().size() == 1, "one member is left");
    }

    private static DefaultMQPushConsumer start(Env env, String group, String topic, Collector... collectors) throws Exception {
        var consumer = env.push(group, topic, "*");
        consumer.registerMessageListener((org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently)
            (batch, context) -> {
                for (Collector c : collectors) {
                    batch.forEach(c::add);
                }
                return org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
        consumer.start();
        return consumer;
    }
}
