package interop;

import static interop.Env.LIMIT_MS;
import static interop.Env.builder;
import static interop.Env.equal;
import static interop.Env.message;
import static interop.Env.sendNumbered;
import static interop.Env.text;
import static interop.Env.that;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.FilterExpressionType;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.SendReceipt;

/** The push consumer. */
final class Pushing {
    static final List<Scenario> SCENARIOS = new Scenario.Group("together")
        .add("push-consumer", Pushing::push)
        .add("push-retry-and-dead-letter", Pushing::retry)
        .add("push-fifo", Pushing::fifo)
        .add("push-filters", Pushing::filters)
        .add("two-consumers-share", Pushing::share)
        .add("many-messages", Pushing::many)
        .all;

    private static void push(Env env) throws Exception {
        String topic = env.topic("push");
        String group = env.group("push");
        var got = new Collector();
        env.push(group, topic, got.succeeding());
        var producer = env.producer(topic);
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            producer.send(builder(topic, "m" + i).setTag("t" + i % 3).setKeys("k" + i).addProperty("n", "" + i).build());
            bodies.add("m" + i);
        }
        got.awaitExactly(bodies);
        for (var a : got.all()) {
            MessageView m = a.message();
            String n = m.getProperties().get("n");
            equal("m" + n, a.text(), "body by property");
            equal("t" + Integer.parseInt(n) % 3, m.getTag().orElse(null), "tag");
            equal(List.of("k" + n), List.copyOf(m.getKeys()), "keys");
            equal(1, a.attempt(), "delivery attempt");
        }
        env.awaitCommitted(topic, group, 100);
    }

    private static void retry(Env env) throws Exception {
        String topic = env.topic("retry", "NORMAL", 1);
        String group = env.group("retry", false, 2);
        var got = new Collector();
        env.push(group, topic, m -> {
            got.add(m);
            boolean good = text(m).equals("good") || text(m).equals("second") && m.getDeliveryAttempt() == 2;
            return good ? ConsumeResult.SUCCESS : ConsumeResult.FAILURE;
        });
        var producer = env.producer(topic);
        Map<String, String> ids = new HashMap<>();
        for (String body : List.of("good", "second", "never")) {
            ids.put(body, producer.send(builder(topic, body).setTag("t").setKeys("k").addProperty("p", body).build())
                .getMessageId().toString());
        }
        // The two retries wait one and five seconds; then the message is given up.
        var dead = env.stored("%DLQ%" + group, 1);
        equal(1, dead.size(), "dead letters");
        equal("never", dead.get(0).get("body").getAsString(), "dead letter");
        var properties = dead.get(0).getAsJsonObject("properties");
        equal("never", properties.get("p").getAsString(), "property of the dead letter");
        equal("t", properties.get("TAGS").getAsString(), "tag of the dead letter");
        equal(ids.get("never"), properties.get("UNIQ_KEY").getAsString(), "message id of the dead letter");
        equal(List.of(1), got.of("good").stream().map(Collector.Arrival::attempt).toList(), "attempts of good");
        equal(List.of(1, 2), got.of("second").stream().map(Collector.Arrival::attempt).toList(), "attempts of second");
        var never = got.of("never");
        equal(List.of(1, 2, 3), never.stream().map(Collector.Arrival::attempt).toList(), "attempts of never");
        that(never.get(1).at() - never.get(0).at() >= 1000, "first retry after " + (never.get(1).at() - never.get(0).at()));
        that(never.get(2).at() - never.get(1).at() >= 5000, "second retry after " + (never.get(2).at() - never.get(1).at()));
        for (var a : got.all()) {
            equal(ids.get(a.text()), a.message().getMessageId().toString(), "message id of " + a.text());
            equal(topic, a.message().getTopic(), "topic");
            equal(a.text(), a.message().getProperties().get("p"), "property");
        }
    }

    /** In order for each group; a refused message holds up its group until it succeeds or is given up. */
    private static void fifo(Env env) throws Exception {
        String topic = env.topic("push-fifo", "FIFO", 4);
        String group = env.group("push-fifo", true, 2);
        var got = new Collector();
        env.push(group, topic, m -> {
            got.add(m);
            boolean good = !text(m).equals("red2") && !(text(m).equals("blue3") && m.getDeliveryAttempt() == 1);
            return good ? ConsumeResult.SUCCESS : ConsumeResult.FAILURE;
        });
        var producer = env.producer(topic);
        List<String> groups = List.of("red", "green", "blue");
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            for (String g : groups) {
                producer.send(builder(topic, g + i).setMessageGroup(g).build());
                bodies.add(g + i);
            }
        }
        got.awaitAll(bodies);
        var dead = env.stored("%DLQ%" + group, 1);
        equal("red2", dead.get(0).get("body").getAsString(), "dead letter");
        for (String g : groups) {
            List<String> wanted = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                int times = (g + i).equals("red2") ? 3 : (g + i).equals("blue3") ? 2 : 1;
                for (int t = 0; t < times; t++) {
                    wanted.add(g + i);
                }
            }
            equal(wanted, got.texts().stream().filter(t -> t.startsWith(g)).toList(), "group " + g);
        }
    }

    private static void filters(Env env) throws Exception {
        String topic = env.topic("push-filters");
        var byTag = new Collector();
        env.push(env.group("by-tag"), topic, new FilterExpression("a || b"), byTag.succeeding());
        var bySql = new Collector();
        env.push(env.group("by-sql"), topic, new FilterExpression("n >= 5 AND n < 8", FilterExpressionType.SQL92),
            bySql.succeeding());
        var producer = env.producer(topic);
        for (int i = 0; i < 12; i++) {
            producer.send(builder(topic, "m" + i).setTag(List.of("a", "b", "c").get(i % 3)).addProperty("n", "" + i).build());
        }
        byTag.awaitExactly(List.of("m0", "m1", "m3", "m4", "m6", "m7", "m9", "m10"));
        bySql.awaitExactly(List.of("m5", "m6", "m7"));
    }

    private static void share(Env env) throws Exception {
        String topic = env.topic("share");
        String group = env.group("share");
        var first = new Collector();
        var second = new Collector();
        env.push(group, topic, first.succeeding());
        env.push(group, topic, second.succeeding());
        var producer = env.producer(topic);
        // More until each has had some: which poll a message wakes is chance.
        List<String> bodies = new ArrayList<>();
        Env.await("both consumed", LIMIT_MS, () -> {
            bodies.addAll(sendNumbered(producer, topic, "r" + bodies.size() + "-", 20));
            return !first.all().isEmpty() && !second.all().isEmpty();
        });
        Env.await("all consumed", LIMIT_MS, () -> first.all().size() + second.all().size() >= bodies.size());
        List<String> all = new ArrayList<>(first.texts());
        all.addAll(second.texts());
        equal(Env.sorted(bodies), Env.sorted(all), "consumed by both");
    }

    private static void many(Env env) throws Exception {
        String topic = env.topic("many");
        String group = env.group("many");
        var got = new Collector();
        env.push(group, topic, got.succeeding());
        var producer = env.producer(topic);
        List<String> bodies = new ArrayList<>();
        for (int batch = 0; batch < 20; batch++) {
            List<CompletableFuture<SendReceipt>> sends = new ArrayList<>();
            for (int i = 0; i < 100; i++) {
                String body = "m" + batch + "-" + i;
                bodies.add(body);
                sends.add(producer.sendAsync(message(topic, body)));
            }
            for (var send : sends) {
                send.get(LIMIT_MS, TimeUnit.MILLISECONDS);
            }
        }
        got.awaitExactly(bodies);
        env.awaitCommitted(topic, group, bodies.size());
    }
}
