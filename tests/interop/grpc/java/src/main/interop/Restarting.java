package interop;

import static interop.Env.message;
import static interop.Env.that;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.apis.producer.Producer;

/** The server goes away and comes back while a producer and a push consumer work. */
final class Restarting {
    private static final int BEFORE = 300;
    private static final int MESSAGES = 900;
    /** What was on its way to the consumer comes again when its invisible time of a minute is over. */
    private static final int CONSUMED_MS = 150_000;

    static final List<Scenario> SCENARIOS = new Scenario.Group("restart")
        .add("restart-by-sigterm", 450, env -> traffic(env, "TERM"))
        .add("restart-by-sigkill", 450, env -> traffic(env, "KILL"))
        .all;

    private static void traffic(Env env, String how) throws Exception {
        String topic = env.topic("restart");
        var got = new Collector();
        env.push(env.group("restart"), topic, got.succeeding());
        Set<String> acknowledged = ConcurrentHashMap.newKeySet();
        // A send that failed may have been stored all the same.
        Set<String> uncertain = ConcurrentHashMap.newKeySet();
        var numbers = new AtomicInteger();
        var stop = new AtomicBoolean();
        var producer = env.producer(topic);
        List<Thread> senders = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            Thread sender = new Thread(() -> send(producer, topic, numbers, acknowledged, uncertain, stop));
            sender.start();
            senders.add(sender);
        }
        try {
            Env.await("the first messages", 60_000, () -> acknowledged.size() >= BEFORE);
            Main.restartServer(how);
            int atRestart = acknowledged.size();
            Env.await("all sent", 90_000, () -> acknowledged.size() >= Math.max(MESSAGES, atRestart + BEFORE));
        } finally {
            stop.set(true);
            for (Thread sender : senders) {
                sender.join();
            }
        }
        got.awaitAll(List.copyOf(acknowledged), CONSUMED_MS);
        Set<String> strange = new HashSet<>(got.texts());
        strange.removeAll(acknowledged);
        strange.removeAll(uncertain);
        that(strange.isEmpty(), "consumed but never sent: " + strange.stream().limit(5).toList());
    }

    private static void send(Producer producer, String topic, AtomicInteger numbers, Set<String> acknowledged,
        Set<String> uncertain, AtomicBoolean stop) {
        while (!stop.get()) {
            String body = "m" + numbers.getAndIncrement();
            try {
                producer.send(message(topic, body));
                acknowledged.add(body);
                Thread.sleep(3);
            } catch (Exception e) {
                uncertain.add(body);
                try {
                    Thread.sleep(100);
                } catch (InterruptedException interrupted) {
                    return;
                }
            }
        }
    }
}
