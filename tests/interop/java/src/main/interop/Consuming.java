package interop;

import static interop.Env.equal;
import static interop.Env.message;
import static interop.Env.sendNumbered;
import static interop.Env.text;
import static interop.Env.that;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Push consumers: filters, order, where they start and go on. */
final class Consuming {
    static final List<Scenario> SCENARIOS = new Scenario.Group("together")
        .add("push-concurrent", Consuming::concurrent)
        .add("push-tag-filter", Consuming::tagFilter)
        .add("push-ordered", 150, Consuming::ordered)
        .add("push-ordered-suspend", Consuming::orderedSuspend)
        .add("push-broadcast", Consuming::broadcast)
        .add("consume-from-first", Consuming::fromFirst)
        .add("consume-from-last", Consuming::fromLast)
        .add("consume-from-timestamp", Consuming::fromTimestamp)
        .add("offset-persistence", Consuming::offsetPersistence)
        .all;

    private static void concurrent(Env env) throws Exception {
        String topic = env.topic("push", 4);
        var producer = env.producer();
        List<String> sent = sendNumbered(producer, topic, "before", 100);
        var got = env.collect(Env.unique("push"), topic);
        sent.addAll(sendNumbered(producer, topic, "after", 100));
        got.awaitExactly(sent, 45_000);
        for (MessageExt m : got.all()) {
            equal(topic, m.getTopic(), "topic");
            equal(0, m.getReconsumeTimes(), "reconsume times");
        }
    }

    private static void tagFilter(Env env) throws Exception {
        String topic = env.topic("tags", 2);
        var producer = env.producer();
        var got = new Collector();
        var consumer = env.push(Env.unique("tags"), topic, "a || b");
        consumer.registerMessageListener(got.concurrently());
        consumer.start();
        List<String> wanted = new ArrayList<>();
        // "Aa" and "BB" have one hash code; so have "AaBB" and "BBAa". The server may let such through, the client must not.
        String[] tags = {"a", "b", "c", "ab", "Aa", "BB", null};
        for (int i = 0; i < 70; i++) {
            String tag = tags[i % tags.length];
            producer.send(new Message(topic, tag, ("m" + i).getBytes(StandardCharsets.UTF_8)));
            if ("a".equals(tag) || "b".equals(tag)) {
                wanted.add("m" + i);
            }
        }
        var collided = new Collector();
        var other = env.push(Env.unique("tags"), topic, "Aa");
        other.registerMessageListener(collided.concurrently());
        other.start();
        got.awaitExactly(wanted, 45_000);
        collided.awaitExactly(java.util.stream.IntStream.range(0, 70).filter(i -> i % 7 == 4).mapToObj(i -> "m" + i).toList(),
            45_000);
    }

    private static void ordered(Env env) throws Exception {
        String topic = env.topic("ordered", 4);
        String group = Env.unique("ordered");
        var got = new Collector();
        Map<Integer, AtomicInteger> active = new ConcurrentHashMap<>();
        var overlaps = new AtomicInteger();
        List<DefaultMQPushConsumer> consumers = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            var consumer = env.push(group, topic, "*");
            consumer.registerMessageListener((org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly)
                (batch, context) -> {
                    var inQueue = active.computeIfAbsent(context.getMessageQueue().getQueueId(), q -> new AtomicInteger());
                    if (inQueue.incrementAndGet() > 1) {
                        overlaps.incrementAndGet();
                    }
                    batch.forEach(got::add);
                    Thread.yield();
                    inQueue.decrementAndGet();
                    return ConsumeOrderlyStatus.SUCCESS;
                });
            consumer.start();
            consumers.add(consumer);
        }
        for (var consumer : consumers) {
            Env.await("two queues locked by each", 60_000, () -> Rebalancing.queuesOf(consumer, topic) == 2);
        }
        var producer = env.producer();
        List<String> sent = new ArrayList<>();
        for (int i = 0; i < 400; i++) {
            producer.send(message(topic, "m" + i), (queues, m, arg) -> queues.get((Integer) arg % 4), i);
            sent.add("m" + i);
        }
        got.awaitExactly(sent, 40_000);
        Env.grouped(got.all(), MessageExt::getQueueId).forEach((queue, messages) -> {
            for (int i = 0; i < messages.size(); i++) {
                equal((long) i, messages.get(i).getQueueOffset(), "order of queue " + queue);
            }
        });
        equal(0, overlaps.get(), "calls for one queue at the same time");
    }

    private static void orderedSuspend(Env env) throws Exception {
        String topic = env.topic("suspend", 1);
        var producer = env.producer();
        List<String> sent = sendNumbered(producer, topic, "m", 10);
        var attempts = new Collector();
        var done = new Collector();
        var refusals = new AtomicInteger();
        var consumer = env.push(Env.unique("suspend"), topic, "*");
        consumer.setConsumeMessageBatchMaxSize(1);
        consumer.setSuspendCurrentQueueTimeMillis(100);
        consumer.registerMessageListener((org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly)
            (batch, context) -> {
                batch.forEach(attempts::add);
                if (text(batch.get(0)).equals("m3") && refusals.incrementAndGet() <= 2) {
                    return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
                }
                batch.forEach(done::add);
                return ConsumeOrderlyStatus.SUCCESS;
            });
        consumer.start();
        done.awaitExactly(sent, 40_000);
        equal(sent, done.texts(), "order");
        equal(List.of("m0", "m1", "m2", "m3", "m3", "m3", "m4"), attempts.texts().subList(0, 7), "attempts");
    }

    private static void broadcast(Env env) throws Exception {
        String topic = env.topic("broadcast", 4);
        String group = Env.unique("broadcast");
        var producer = env.producer();
        List<String> sent = sendNumbered(producer, topic, "before", 20);
        List<Collector> collectors = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            var got = new Collector();
            var consumer = env.push(group, topic, "*");
            Compat.broadcast(consumer);
            consumer.registerMessageListener(got.concurrently());
            consumer.start();
            collectors.add(got);
        }
        sent.addAll(sendNumbered(producer, topic, "after", 50));
        for (Collector got : collectors) {
            got.awaitExactly(sent, 45_000);
        }
    }

    private static void fromFirst(Env env) throws Exception {
        startingAt(env, ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, true);
    }

    // On a young topic, whose first message is still in memory, Java answers a new group's offset query with zero, and the
    // client never comes to its own rule. So what was sent before arrives as well there, all of it.
    private static void fromLast(Env env) throws Exception {
        startingAt(env, ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET, false);
    }

    private static void fromTimestamp(Env env) throws Exception {
        startingAt(env, ConsumeFromWhere.CONSUME_FROM_TIMESTAMP, false);
    }

    private static void startingAt(Env env, ConsumeFromWhere where, boolean oldWanted) throws Exception {
        String topic = env.topic("from", 2);
        var producer = env.producer();
        List<String> old = sendNumbered(producer, topic, "old", 20);
        var got = new Collector();
        var consumer = env.push(Env.unique("from"), topic, "*");
        consumer.setConsumeFromWhere(where);
        consumer.setConsumeTimestamp(UtilAll.timeMillisToHumanString3(System.currentTimeMillis() + 1000));
        consumer.registerMessageListener(got.concurrently());
        consumer.start();
        Env.await("the queues", 45_000, () -> Rebalancing.queuesOf(consumer, topic) == 2);
        List<String> fresh = sendNumbered(producer, topic, "new", 20);
        got.awaitAll(fresh, 45_000);
        got.settle(500);
        boolean oldCame = got.distinct().contains("old0");
        that(oldCame || !oldWanted, "messages sent before are missing");
        List<String> expected = new ArrayList<>(fresh);
        if (oldCame) {
            expected.addAll(old);
        }
        got.awaitExactly(expected, 5_000);
    }

    private static void offsetPersistence(Env env) throws Exception {
        String topic = env.topic("offsets", 4);
        String group = Env.unique("offsets");
        var producer = env.producer();
        for (int round = 0; round < 3; round++) {
            List<String> sent = sendNumbered(producer, topic, "round" + round + "-", 40);
            var got = new Collector();
            var consumer = env.push(group, topic, "*");
            consumer.registerMessageListener(got.concurrently());
            consumer.start();
            got.awaitExactly(sent, 45_000);
            consumer.shutdown();
            // The last offsets travel oneway.
            Env.await("the offsets stored", 10_000, () -> env.admin().examineConsumeStats(group, topic).computeTotalDiff() == 0);
        }
    }
}
