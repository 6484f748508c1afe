package interop;

import static interop.Env.LIMIT_MS;
import static interop.Env.builder;
import static interop.Env.code;
import static interop.Env.equal;
import static interop.Env.message;
import static interop.Env.refused;
import static interop.Env.text;
import static interop.Env.that;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;

/** Messages that are more than sent and received. */
final class Special {
    /** Java's timer has this precision and may be so early. */
    private static final long TIMER_MS = 1000;

    static final List<Scenario> SCENARIOS = new Scenario.Group("together")
        .add("delay", Special::delay)
        .add("recall", Special::recall)
        .add("transaction-commit-and-rollback", Special::transaction)
        .add("transaction-check", Special::transactionCheck)
        .add("priority", Special::priority)
        .add("lite-topic", Special::liteTopic)
        .all;

    private static void delay(Env env) throws Exception {
        String topic = env.topic("delay", "DELAY", 1);
        var got = new Collector();
        env.push(env.group("delay"), topic, got.succeeding());
        var producer = env.producer(topic);
        long now = System.currentTimeMillis();
        for (long delay : new long[] {8_000, 4_000}) {
            producer.send(builder(topic, "" + delay).setTag("t").addProperty("p", "v").setDeliveryTimestamp(now + delay).build());
        }
        long late = now + Duration.ofDays(1).toMillis() + 60_000;
        code(40012, refused("a delay of a day and a minute",
            () -> producer.send(builder(topic, "late").setDeliveryTimestamp(late).build())), "ILLEGAL_DELIVERY_TIME");
        got.awaitExactly(List.of("4000", "8000"));
        equal(List.of("4000", "8000"), got.texts(), "order of arrival");
        for (var a : got.all()) {
            long due = now + Long.parseLong(a.text());
            that(a.at() >= due - TIMER_MS, a.text() + " ms came after " + (a.at() - now) + " ms");
            equal("v", a.message().getProperties().get("p"), "property");
            equal("t", a.message().getTag().orElse(null), "tag");
            equal(1, a.attempt(), "delivery attempt");
        }
    }

    private static void recall(Env env) throws Exception {
        String topic = env.topic("recall", "DELAY", 1);
        var got = new Collector();
        env.push(env.group("recall"), topic, got.succeeding());
        var producer = env.producer(topic);
        long due = System.currentTimeMillis() + 8_000;
        var recalled = producer.send(builder(topic, "recalled").setDeliveryTimestamp(due).build());
        producer.send(builder(topic, "kept").setDeliveryTimestamp(due + 1500).build());
        equal(recalled.getMessageId().toString(),
            producer.recallMessage(topic, recalled.getRecallHandle()).getMessageId().toString(), "id of the recalled");
        refused("a recall handle of nothing", () -> producer.recallMessage(topic, "nothing"));
        got.awaitExactly(List.of("kept"));
        Thread.sleep(1500);
        equal(List.of("kept"), got.texts(), "consumed");
    }

    private static void transaction(Env env) throws Exception {
        String topic = env.topic("transaction", "TRANSACTION", 2);
        var got = new Collector();
        env.push(env.group("transaction"), topic, got.succeeding());
        var producer = env.producer(m -> TransactionResolution.UNKNOWN, topic);

        var first = producer.beginTransaction();
        producer.send(message(topic, "m0"), first);
        Thread.sleep(1500);
        equal(List.of(), got.texts(), "consumed before the commit");
        first.commit();
        got.awaitExactly(List.of("m0"));

        List<String> committed = new ArrayList<>(List.of("m0"));
        for (int i = 1; i < 10; i++) {
            var transaction = producer.beginTransaction();
            producer.send(builder(topic, "m" + i).setTag("t").setKeys("k" + i).addProperty("n", "" + i).build(), transaction);
            if (i % 2 == 0) {
                transaction.commit();
                committed.add("m" + i);
            } else {
                transaction.rollback();
            }
        }
        got.awaitExactly(committed);
        var m = got.of("m4").get(0).message();
        equal("t", m.getTag().orElse(null), "tag");
        equal(List.of("k4"), List.copyOf(m.getKeys()), "keys");
        equal("4", m.getProperties().get("n"), "property");
    }

    private static void transactionCheck(Env env) throws Exception {
        String topic = env.topic("check", "TRANSACTION", 1);
        var got = new Collector();
        env.push(env.group("check"), topic, got.succeeding());
        Map<String, AtomicInteger> checks = new ConcurrentHashMap<>();
        var producer = env.producer(m -> {
            int times = checks.computeIfAbsent(text(m), k -> new AtomicInteger()).incrementAndGet();
            that("v".equals(m.getProperties().get("p")), "property in the check");
            return switch (text(m)) {
                case "yes" -> TransactionResolution.COMMIT;
                case "no" -> TransactionResolution.ROLLBACK;
                default -> times == 1 ? TransactionResolution.UNKNOWN : TransactionResolution.COMMIT;
            };
        }, topic);
        for (String body : List.of("yes", "no", "later")) {
            producer.send(builder(topic, body).addProperty("p", "v").build(), producer.beginTransaction());
        }
        Env.await("all checked", LIMIT_MS, () -> checks.size() == 3);
        got.awaitAll(List.of("yes", "later"));
        Thread.sleep(300);
        // A check may cross the commit of the one before, and then the message comes twice.
        equal(Set.of("yes", "later"), Set.copyOf(got.texts()), "consumed");
        that(checks.get("later").get() >= 2, "checks of the undecided");
    }

    private static void priority(Env env) throws Exception {
        String topic = env.topic("priority", "PRIORITY", 4);
        var producer = env.producer(topic);
        for (int i = 0; i < 8; i++) {
            producer.send(builder(topic, "m" + i).setPriority(i % 4).build());
        }
        var consumer = env.simple(env.group("priority"), topic);
        List<Integer> order = new ArrayList<>();
        Env.await("all received", LIMIT_MS, () -> {
            for (MessageView m : consumer.receive(1, Duration.ofMinutes(5))) {
                int priority = Integer.parseInt(text(m).substring(1)) % 4;
                equal(priority, m.getPriority().orElse(null), "priority of " + text(m));
                order.add(priority);
                consumer.ack(m);
            }
            return order.size() >= 8;
        });
        equal(List.of(3, 3, 2, 2, 1, 1, 0, 0), order, "priorities as received");
    }

    private static void liteTopic(Env env) throws Exception {
        String topic = env.topic("lite", "LITE", 4);
        String group = env.liteGroup("lite", topic);
        var got = new Collector();
        var consumer = env.closing(Env.PROVIDER.newLitePushConsumerBuilder().setClientConfiguration(env.configuration())
            .setConsumerGroup(group).bindTopic(topic).setMessageListener(got.succeeding()).build());
        consumer.subscribeLite("a");
        consumer.subscribeLite("b");
        var producer = env.producer(topic);
        for (int i = 0; i < 5; i++) {
            for (String lite : List.of("a", "b", "c")) {
                producer.send(builder(topic, lite + i).setLiteTopic(lite).build());
            }
        }
        got.awaitExactly(List.of("a0", "a1", "a2", "a3", "a4", "b0", "b1", "b2", "b3", "b4"));
        for (String lite : List.of("a", "b")) {
            equal(List.of(lite + 0, lite + 1, lite + 2, lite + 3, lite + 4),
                got.texts().stream().filter(t -> t.startsWith(lite)).toList(), "order in " + lite);
        }
        consumer.unsubscribeLite("b");
        producer.send(builder(topic, "b5").setLiteTopic("b").build());
        producer.send(builder(topic, "a5").setLiteTopic("a").build());
        got.awaitAll(List.of("a5"));
        Thread.sleep(1000);
        equal(11, got.all().size(), "consumed after unsubscribing");
    }
}
