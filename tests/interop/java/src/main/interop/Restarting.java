package interop;

import static interop.Env.equal;
import static interop.Env.message;
import static interop.Env.sendNumbered;
import static interop.Env.that;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;

/** The server goes away and comes back while clients work. */
final class Restarting {
    private static final int MESSAGES = 10_000;
    private static final int BEFORE = 3_000;

    static final List<Scenario> SCENARIOS = new Scenario.Group("restart")
        .add("restart-by-sigterm", 300, Restarting::terminate)
        .add("restart-by-sigkill", 300, Restarting::kill)
        .all;

    private static void terminate(Env env) throws Exception {
        // A group that has read everything, and a message that waits for its time, both across the restart.
        String topic = env.topic("kept", 2);
        String group = Env.unique("kept");
        readAll(env, topic, group, sendNumbered(env.producer(), topic, "before", 30));
        env.admin().createAndUpdateKvConfig("interop", topic, "kept");
        var waiting = message(topic, "delayed");
        waiting.setDelayTimeLevel(2);
        env.producer().send(waiting);

        traffic(env, "TERM");

        equal("kept", env.admin().getKVConfig("interop", topic), "key and value");
        equal("delayed", Env.text(env.storedAtLeast(topic, 31).stream()
            .max(java.util.Comparator.comparing(m -> m.getStoreTimestamp())).orElseThrow()), "the delayed message");
        readAll(env, topic, group, List.of("delayed"));
    }

    private static void kill(Env env) throws Exception {
        traffic(env, "KILL");
    }

    private static void readAll(Env env, String topic, String group, List<String> expected) throws Exception {
        var got = new Collector();
        var consumer = env.push(group, topic, "*");
        consumer.registerMessageListener(got.concurrently());
        consumer.start();
        got.awaitExactly(expected, 60_000);
        consumer.shutdown();
        Env.await("the offsets stored", 10_000, () -> env.admin().examineConsumeStats(group, topic).computeTotalDiff() == 0);
    }

    private static void traffic(Env env, String how) throws Exception {
        String topic = env.topic("restart", 4);
        var got = new Collector();
        var consumer = env.push(Env.unique("restart"), topic, "*");
        consumer.registerMessageListener(got.concurrently());
        consumer.start();

        Set<String> acknowledged = ConcurrentHashMap.newKeySet();
        // A send that failed may have been stored all the same.
        Set<String> uncertain = ConcurrentHashMap.newKeySet();
        var numbers = new AtomicInteger();
        var stop = new AtomicBoolean();
        var producer = env.newProducer();
        producer.setRetryTimesWhenSendFailed(0);
        producer.setSendMsgTimeout(3_000);
        producer.start();
        List<Thread> senders = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            Thread sender = new Thread(() -> send(producer, topic, numbers, acknowledged, uncertain, stop));
            sender.start();
            senders.add(sender);
        }
        try {
            Env.await("the first messages", 60_000, () -> acknowledged.size() >= BEFORE);
            Main.restartServer(how);
            Env.await("all sent", 90_000, () -> acknowledged.size() >= MESSAGES);
        } finally {
            stop.set(true);
            for (Thread sender : senders) {
                sender.join();
            }
        }
        got.awaitAll(List.copyOf(acknowledged), 60_000);
        got.settle(1000);

        List<String> stored = Env.texts(env.storedAtLeast(topic, acknowledged.size()));
        Set<String> distinct = new HashSet<>(stored);
        equal(stored.size(), distinct.size(), "distinct messages stored of " + stored.size());
        that(distinct.containsAll(acknowledged), "an acknowledged message is not stored");
        distinct.removeAll(acknowledged);
        that(uncertain.containsAll(distinct), "stored but never sent: " + distinct.stream().limit(5).toList());
        that(numbers.get() == acknowledged.size() + uncertain.size(), "bookkeeping of the scenario");
        if (how.equals("TERM")) {
            // The consumer goes on from its own position, so an orderly restart doubles nothing.
            equal(got.distinct().size(), got.size(), "consumed once each");
        }
    }

    private static void send(org.apache.rocketmq.client.producer.DefaultMQProducer producer, String topic, AtomicInteger numbers,
        Set<String> acknowledged, Set<String> uncertain, AtomicBoolean stop) {
        while (!stop.get() && acknowledged.size() < MESSAGES) {
            String body = "m" + numbers.getAndIncrement();
            try {
                producer.send(message(topic, body));
                acknowledged.add(body);
            } catch (Exception e) {
                uncertain.add(body);
                try {
                    Thread.sleep(50);
                } catch (InterruptedException interrupted) {
                    return;
                }
            }
        }
    }
}
