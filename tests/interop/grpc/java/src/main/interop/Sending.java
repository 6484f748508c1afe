package interop;

import static interop.Env.LIMIT_MS;
import static interop.Env.builder;
import static interop.Env.code;
import static interop.Env.equal;
import static interop.Env.message;
import static interop.Env.receive;
import static interop.Env.refused;
import static interop.Env.that;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.apis.producer.SendReceipt;

/** What is accepted and what is refused. */
final class Sending {
    private static final int BODY_BYTES_MAX = 4 * 1024 * 1024;

    static final List<Scenario> SCENARIOS = new Scenario.Group("together")
        .add("async-send", Sending::asyncSend)
        .add("large-body", Sending::largeBody)
        .add("oversized-refused", Sending::oversized)
        .add("illegal-topic", Sending::illegalTopic)
        .add("wrong-message-type", Sending::wrongType)
        .all;

    private static void asyncSend(Env env) throws Exception {
        String topic = env.topic("async");
        var producer = env.producer(topic);
        List<CompletableFuture<SendReceipt>> sends = new ArrayList<>();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 300; i++) {
            bodies.add("m" + i);
            sends.add(producer.sendAsync(message(topic, "m" + i)));
        }
        var ids = new HashSet<String>();
        for (var send : sends) {
            ids.add(send.get(LIMIT_MS, TimeUnit.MILLISECONDS).getMessageId().toString());
        }
        equal(300, ids.size(), "distinct message ids");
        var stored = env.stored(topic, 300);
        equal(Env.sorted(bodies), Env.sorted(stored.stream().map(m -> m.get("body").getAsString()).toList()), "stored");
        equal(Env.sorted(ids), Env.sorted(stored.stream()
            .map(m -> m.getAsJsonObject("properties").get("UNIQ_KEY").getAsString()).toList()), "ids stored");
        equal(4L, stored.stream().map(m -> m.get("queue").getAsInt()).distinct().count(), "queues used");
    }

    private static void largeBody(Env env) throws Exception {
        String topic = env.topic("large");
        byte[] body = new byte[BODY_BYTES_MAX];
        new Random(1).nextBytes(body);
        env.producer(topic).send(Env.PROVIDER.newMessageBuilder().setTopic(topic).setBody(body).build());
        var consumer = env.simple(env.group("large"), topic);
        var got = receive(consumer, 1, Duration.ofSeconds(30)).get(0);
        that(Arrays.equals(body, Env.bytes(got)), "the body came back changed");
        consumer.ack(got);
    }

    private static void oversized(Env env) throws Exception {
        String topic = env.topic("oversized");
        var producer = env.producer(topic);
        byte[] body = new byte[BODY_BYTES_MAX + 1];
        refused("a body of 4 MiB and a byte",
            () -> producer.send(Env.PROVIDER.newMessageBuilder().setTopic(topic).setBody(body).build()));
        var tooMany = builder(topic, "properties");
        for (int i = 0; i < 17; i++) {
            tooMany.addProperty("p" + i, "v".repeat(1024));
        }
        code(43101, refused("17 KiB of properties", () -> producer.send(tooMany.build())), "MESSAGE_PROPERTIES_TOO_LARGE");
        code(40007, refused("a reserved property", () -> producer.send(builder(topic, "r").addProperty("KEYS", "v").build())),
            "ILLEGAL_MESSAGE_PROPERTY_KEY");
        producer.send(message(topic, "fits"));
        equal("fits", env.stored(topic, 1).get(0).get("body").getAsString(), "the only message stored");
        equal(1, env.stored(topic, 1).size(), "messages stored");
    }

    private static void illegalTopic(Env env) throws Exception {
        // A producer each: the settings of one name all its topics, and the server ends the stream of such settings.
        code(40402, refused("a topic that nobody made", () -> env.producer().send(message(Env.unique("nobody"), "m"))),
            "TOPIC_NOT_FOUND");
        code(40002, refused("a system topic", () -> env.producer().send(message("SCHEDULE_TOPIC_XXXX", "m"))), "ILLEGAL_TOPIC");
        code(40002, refused("a long topic name", () -> env.producer().send(message("t".repeat(128), "m"))), "ILLEGAL_TOPIC");
        String topic = env.topic("legal");
        env.producer().send(message(topic, "m"));
        equal(1, env.stored(topic, 1).size(), "messages stored");
    }

    private static void wrongType(Env env) throws Exception {
        String topic = env.topic("type", "NORMAL", 1);
        var producer = env.producer(topic);
        // The client knows the type from the route and refuses by itself.
        refused("a message group in a normal topic",
            () -> producer.send(builder(topic, "fifo").setMessageGroup("g").build()));
        refused("a delay in a normal topic",
            () -> producer.send(builder(topic, "delay").setDeliveryTimestamp(System.currentTimeMillis() + 5000).build()));
        producer.send(message(topic, "normal"));
        // The producer keeps the old route for a while, so the server has to notice.
        env.changeType(topic, "FIFO", 1);
        code(40014, refused("a normal message in a FIFO topic", () -> producer.send(message(topic, "late"))),
            "MESSAGE_PROPERTY_CONFLICT_WITH_TYPE");
        equal("normal", env.stored(topic, 1).get(0).get("body").getAsString(), "the only message stored");
        equal(1, env.stored(topic, 1).size(), "messages stored");
    }
}
