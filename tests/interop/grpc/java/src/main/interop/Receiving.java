package interop;

import static interop.Env.builder;
import static interop.Env.equal;
import static interop.Env.message;
import static interop.Env.receive;
import static interop.Env.sorted;
import static interop.Env.text;
import static interop.Env.texts;
import static interop.Env.that;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.FilterExpressionType;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;

/** The simple consumer. */
final class Receiving {
    /** The shortest that a proxy accepts. */
    private static final Duration SHORT = Duration.ofSeconds(10);
    private static final Duration LONG = Duration.ofMinutes(5);

    static final List<Scenario> SCENARIOS = new Scenario.Group("together")
        .add("simple-consumer", Receiving::sendAndReceive)
        .add("redelivery", Receiving::redelivery)
        .add("change-invisible-shorter", Receiving::shorter)
        .add("change-invisible-longer", Receiving::longer)
        .add("change-invisible-then-ack-a-batch", Receiving::changeBatch)
        .add("fifo-order", Receiving::fifoOrder)
        .add("fifo-blocking", Receiving::fifoBlocking)
        .add("fifo-again", Receiving::fifoAgain)
        .add("tag-filter", Receiving::tagFilter)
        .add("sql-filter", Receiving::sqlFilter)
        .add("subscribe-and-unsubscribe", Receiving::unsubscribe)
        .add("unknown-group", Receiving::unknownGroup)
        .all;

    private static void sendAndReceive(Env env) throws Exception {
        String topic = env.topic("simple");
        String group = env.group("simple");
        var producer = env.producer(topic);
        long before = System.currentTimeMillis();
        Map<String, String> sent = new HashMap<>();
        for (int i = 0; i < 12; i++) {
            var m = builder(topic, "m" + i + " äöü 消息").setTag("t" + i % 3).setKeys("k" + i, "all")
                .addProperty("n", "" + i).addProperty("text", "a b=c;значение").build();
            sent.put(producer.send(m).getMessageId().toString(), "m" + i + " äöü 消息");
        }
        long after = System.currentTimeMillis();
        var consumer = env.simple(group, topic);
        long received = System.currentTimeMillis();
        List<MessageView> got = receive(consumer, 12, SHORT);
        for (MessageView m : got) {
            equal(sent.remove(m.getMessageId().toString()), text(m), "body by message id");
            String n = m.getProperties().get("n");
            equal("m" + n + " äöü 消息", text(m), "body by property");
            equal(topic, m.getTopic(), "topic");
            equal("t" + Integer.parseInt(n) % 3, m.getTag().orElse(null), "tag");
            equal(List.of("k" + n, "all"), List.copyOf(m.getKeys()), "keys");
            equal(Map.of("n", n, "text", "a b=c;значение"), m.getProperties(), "properties");
            equal(1, m.getDeliveryAttempt(), "delivery attempt");
            that(m.getBornTimestamp() >= before && m.getBornTimestamp() <= after, "born at " + m.getBornTimestamp());
            that(!m.getBornHost().isEmpty(), "born host");
            that(m.getMessageGroup().isEmpty() && m.getDeliveryTimestamp().isEmpty(), "neither group nor delivery time");
            consumer.ack(m);
        }
        env.awaitCommitted(topic, group, 12);
        Thread.sleep(Math.max(0, received + SHORT.toMillis() + 1000 - System.currentTimeMillis()));
        equal(List.of(), texts(consumer.receive(32, SHORT)), "received after the acknowledgement");
    }

    private static void redelivery(Env env) throws Exception {
        String topic = env.topic("again", "NORMAL", 1);
        var producer = env.producer(topic);
        for (String body : List.of("a", "b", "c")) {
            producer.send(builder(topic, body).setTag("t").setKeys("k-" + body).addProperty("p", body).build());
        }
        var consumer = env.simple(env.group("again"), topic);
        long asked = System.currentTimeMillis();
        Map<String, String> ids = new HashMap<>();
        for (MessageView m : receive(consumer, 3, SHORT)) {
            ids.put(text(m), m.getMessageId().toString());
            if (text(m).equals("b")) {
                consumer.ack(m);
            }
        }
        for (int attempt = 2; attempt <= 3; attempt++) {
            List<MessageView> again = receive(consumer, 2, SHORT);
            long waited = System.currentTimeMillis() - asked;
            that(waited >= (attempt - 1) * SHORT.toMillis(), "came back after " + waited + " ms");
            equal(List.of("a", "c"), sorted(texts(again)), "came back");
            for (MessageView m : again) {
                equal(attempt, m.getDeliveryAttempt(), "delivery attempt");
                equal(ids.get(text(m)), m.getMessageId().toString(), "message id");
                equal(topic, m.getTopic(), "topic");
                equal("t", m.getTag().orElse(null), "tag");
                equal(List.of("k-" + text(m)), List.copyOf(m.getKeys()), "keys");
                equal(text(m), m.getProperties().get("p"), "property");
                if (attempt == 3) {
                    consumer.ack(m);
                }
            }
        }
    }

    private static void shorter(Env env) throws Exception {
        String topic = env.topic("shorter", "NORMAL", 1);
        env.producer(topic).send(message(topic, "m"));
        var consumer = env.simple(env.group("shorter"), topic);
        MessageView m = receive(consumer, 1, LONG).get(0);
        long changed = System.currentTimeMillis();
        consumer.changeInvisibleDuration(m, Duration.ofSeconds(3));
        MessageView again = receive(consumer, 1, LONG).get(0);
        long waited = System.currentTimeMillis() - changed;
        that(waited >= 3000, "came back after " + waited + " ms");
        equal("m", text(again), "body");
        equal(2, again.getDeliveryAttempt(), "delivery attempt");
        consumer.ack(again);
    }

    private static void longer(Env env) throws Exception {
        String topic = env.topic("longer", "NORMAL", 1);
        var producer = env.producer(topic);
        var consumer = env.simple(env.group("longer"), topic);
        // The acknowledgement needs the handle that the change gave.
        producer.send(message(topic, "acked"));
        MessageView acked = receive(consumer, 1, SHORT).get(0);
        consumer.changeInvisibleDuration(acked, Duration.ofSeconds(15));
        consumer.ack(acked);
        producer.send(message(topic, "kept"));
        MessageView kept = receive(consumer, 1, SHORT).get(0);
        long changed = System.currentTimeMillis();
        consumer.changeInvisibleDuration(kept, Duration.ofSeconds(18));
        MessageView again = receive(consumer, 1, LONG).get(0);
        long waited = System.currentTimeMillis() - changed;
        that(waited >= 17_500, "came back after " + waited + " ms");
        equal("kept", text(again), "came back");
        equal(2, again.getDeliveryAttempt(), "delivery attempt");
        consumer.ack(again);
    }

    /** A change and then an acknowledgement of each message of a batch, not only of its first. */
    private static void changeBatch(Env env) throws Exception {
        String topic = env.topic("change-batch", "NORMAL", 1);
        var producer = env.producer(topic);
        Env.sendNumbered(producer, topic, "m", 8);
        var consumer = env.simple(env.group("change-batch"), topic);
        for (MessageView m : receive(consumer, 8, LONG)) {
            consumer.changeInvisibleDuration(m, Duration.ofSeconds(4));
            consumer.ack(m);
        }
        long acked = System.currentTimeMillis();
        while (System.currentTimeMillis() < acked + 8_000) {
            equal(List.of(), texts(consumer.receive(32, LONG)), "received after the acknowledgement");
        }
    }

    private static void fifoOrder(Env env) throws Exception {
        String topic = env.topic("fifo", "FIFO", 4);
        String group = env.group("fifo", true, 16);
        var producer = env.producer(topic);
        List<String> groups = List.of("red", "green", "blue");
        for (int i = 0; i < 8; i++) {
            for (String g : groups) {
                producer.send(builder(topic, g + i).setMessageGroup(g).build());
            }
        }
        var consumer = env.simple(group, topic);
        Map<String, List<String>> got = new HashMap<>();
        int[] count = {0};
        Env.await("all in order", Env.LIMIT_MS, () -> {
            for (MessageView m : consumer.receive(5, LONG)) {
                got.computeIfAbsent(m.getMessageGroup().orElseThrow(), k -> new ArrayList<>()).add(text(m));
                consumer.ack(m);
                count[0]++;
            }
            return count[0] >= 24;
        });
        for (String g : groups) {
            List<String> wanted = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                wanted.add(g + i);
            }
            equal(wanted, got.get(g), "group " + g);
        }
    }

    /** What was not acknowledged comes again with what its message group has behind it. */
    private static void fifoAgain(Env env) throws Exception {
        String topic = env.topic("again", "FIFO", 4);
        var producer = env.producer(topic);
        List<String> sent = List.of("m0", "m1", "m2");
        for (String body : sent) {
            producer.send(builder(topic, body).setMessageGroup("one").build());
        }
        var consumer = env.simple(env.group("again", true, 16), topic);
        List<MessageView> first = receive(consumer, 3, SHORT);
        equal(sent, texts(first), "received");
        consumer.ack(first.get(1));
        consumer.ack(first.get(2));
        List<MessageView> again = receive(consumer, 3, LONG);
        equal(sent, texts(again), "received again");
        equal(List.of(2, 2, 2), again.stream().map(MessageView::getDeliveryAttempt).toList(), "delivery attempts");
    }

    /** Nothing of a message group is delivered while an earlier message is neither acknowledged nor due again. */
    private static void fifoBlocking(Env env) throws Exception {
        String topic = env.topic("blocking", "FIFO", 4);
        String group = env.group("blocking", true, 16);
        var producer = env.producer(topic);
        for (int i = 0; i < 3; i++) {
            producer.send(builder(topic, "m" + i).setMessageGroup("one").build());
        }
        var consumer = env.simple(group, topic);
        MessageView first = one(consumer, LONG);
        equal("m0", text(first), "first");
        equal(List.of(), texts(consumer.receive(1, LONG)), "received while m0 is held");
        consumer.ack(first);

        long asked = System.currentTimeMillis();
        MessageView second = one(consumer, SHORT);
        equal("m1", text(second), "second");
        equal(1, second.getDeliveryAttempt(), "delivery attempt");
        // Not acknowledged: it comes again, before the third.
        MessageView again = one(consumer, LONG);
        long waited = System.currentTimeMillis() - asked;
        that(waited >= SHORT.toMillis(), "came back after " + waited + " ms");
        equal("m1", text(again), "after the invisible time");
        equal(2, again.getDeliveryAttempt(), "delivery attempt");
        consumer.ack(again);
        MessageView third = one(consumer, LONG);
        equal("m2", text(third), "third");
        consumer.ack(third);
        env.awaitCommitted(topic, group, 3);
    }

    private static MessageView one(SimpleConsumer consumer, Duration invisible) throws Exception {
        List<MessageView> got = new ArrayList<>();
        Env.await("a message", Env.LIMIT_MS, () -> {
            got.addAll(consumer.receive(1, invisible));
            return !got.isEmpty();
        });
        equal(1, got.size(), "messages of a receive for one");
        return got.get(0);
    }

    private static void tagFilter(Env env) throws Exception {
        String topic = env.topic("tags");
        var producer = env.producer(topic);
        List<String> wanted = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            String tag = List.of("red", "green", "blue", "").get(i % 4);
            var m = builder(topic, tag + i);
            if (!tag.isEmpty()) {
                m.setTag(tag);
            }
            producer.send(m.build());
            if (i % 4 == 0 || i % 4 == 2) {
                wanted.add(tag + i);
            }
        }
        var consumer = env.simple(env.group("tags"), topic, new FilterExpression("red || blue"));
        equal(sorted(wanted), sorted(texts(receive(consumer, wanted.size(), LONG))), "received");
        equal(List.of(), texts(consumer.receive(32, LONG)), "received beyond these");
    }

    private static void sqlFilter(Env env) throws Exception {
        String topic = env.topic("sql");
        String group = env.group("sql");
        var filter = new FilterExpression("n BETWEEN 3 AND 12 AND (color = 'red' OR color IS NULL) AND TAGS = 't'",
            FilterExpressionType.SQL92);
        var consumer = env.simple(group, topic, filter);
        var producer = env.producer(topic);
        List<String> wanted = new ArrayList<>();
        String[] colors = {"red", "blue", null};
        for (int i = 0; i < 20; i++) {
            var m = builder(topic, "m" + i).setTag("t").addProperty("n", "" + i);
            String color = colors[i % 3];
            if (color != null) {
                m.addProperty("color", color);
            }
            producer.send(m.build());
            if (i >= 3 && i <= 12 && !"blue".equals(color)) {
                wanted.add("m" + i);
            }
        }
        equal(sorted(wanted), sorted(texts(receive(consumer, wanted.size(), LONG))), "received");
        equal(List.of(), texts(consumer.receive(32, LONG)), "received beyond these");
    }

    private static void unsubscribe(Env env) throws Exception {
        String first = env.topic("first");
        String second = env.topic("second");
        var producer = env.producer(first, second);
        var consumer = env.simple(env.group("unsubscribe"), first);
        consumer.subscribe(second, FilterExpression.SUB_ALL);
        producer.send(message(first, "1"));
        producer.send(message(second, "2"));
        var both = receive(consumer, 2, LONG);
        equal(List.of("1", "2"), sorted(texts(both)), "from both topics");
        for (MessageView m : both) {
            equal(text(m).equals("1") ? first : second, m.getTopic(), "topic");
            consumer.ack(m);
        }
        consumer.unsubscribe(first);
        producer.send(message(first, "3"));
        producer.send(message(second, "4"));
        var one = receive(consumer, 1, LONG).get(0);
        equal("4", text(one), "after unsubscribe");
        consumer.ack(one);
        equal(List.of(), texts(consumer.receive(32, LONG)), "from the topic left");
    }

    private static void unknownGroup(Env env) throws Exception {
        String topic = env.topic("unknown");
        env.producer(topic).send(message(topic, "m"));
        var consumer = env.simple(Env.unique("nobody-made"), topic);
        MessageView m = receive(consumer, 1, LONG).get(0);
        equal("m", text(m), "received by the simple consumer");
        consumer.ack(m);
        var got = new Collector();
        env.push(Env.unique("nobody-made"), topic, got.succeeding());
        got.awaitExactly(List.of("m"));
    }
}
