package interop;

import static interop.Env.builder;
import static interop.Env.equal;
import static interop.Env.text;
import static interop.Env.that;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages between this client and the remoting client, both ways. */
final class Crossing {
    static final List<Scenario> SCENARIOS = new Scenario.Group("together")
        .add("from-remoting", Crossing::fromRemoting)
        .add("to-remoting", Crossing::toRemoting)
        .all;

    private static void fromRemoting(Env env) throws Exception {
        String topic = env.topic("from-remoting");
        var got = new Collector();
        env.push(env.group("from-remoting"), topic, got.succeeding());
        var producer = new DefaultMQProducer(Env.unique("remoting"));
        producer.setNamesrvAddr(env.namesrv());
        producer.setInstanceName(Env.unique("p"));
        producer.setSendMsgTimeout(10_000);
        env.closing(producer::shutdown);
        producer.start();
        // The last is long enough for the library to compress it.
        List<String> bodies = List.of("short äöü", "another", "long".repeat(3000));
        List<String> ids = new ArrayList<>();
        for (String body : bodies) {
            var m = new Message(topic, "tag", "k1 k2", body.getBytes(StandardCharsets.UTF_8));
            m.putUserProperty("text", "a b=c;значение");
            ids.add(producer.send(m).getMsgId());
        }
        got.awaitExactly(bodies);
        for (int i = 0; i < bodies.size(); i++) {
            var m = got.of(bodies.get(i)).get(0).message();
            equal(ids.get(i), m.getMessageId().toString(), "message id");
            equal("tag", m.getTag().orElse(null), "tag");
            equal(List.of("k1", "k2"), List.copyOf(m.getKeys()), "keys");
            equal("a b=c;значение", m.getProperties().get("text"), "property");
        }
    }

    private static void toRemoting(Env env) throws Exception {
        String topic = env.topic("to-remoting");
        var got = new CopyOnWriteArrayList<MessageExt>();
        var consumer = new DefaultMQPushConsumer(env.group("to-remoting"));
        consumer.setNamesrvAddr(env.namesrv());
        consumer.setInstanceName(Env.unique("c"));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "tag || other");
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            got.addAll(batch);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        env.closing(consumer::shutdown);
        consumer.start();
        var producer = env.producer(topic);
        Map<String, String> ids = new java.util.HashMap<>();
        for (String body : List.of("short äöü", "another", "long".repeat(3000))) {
            ids.put(body, producer.send(builder(topic, body).setTag("tag").setKeys("k1", "k2")
                .addProperty("text", "a b=c;значение").build()).getMessageId().toString());
        }
        producer.send(builder(topic, "filtered").setTag("unwanted").build());
        Env.await("all consumed", Env.LIMIT_MS, () -> got.size() >= 3);
        Thread.sleep(300);
        equal(3, got.size(), "consumed");
        for (MessageExt m : got) {
            String body = new String(m.getBody(), StandardCharsets.UTF_8);
            that(ids.containsKey(body), "body " + Env.brief(body));
            equal(ids.get(body), m.getMsgId(), "message id");
            equal("tag", m.getTags(), "tag");
            equal("k1 k2", m.getKeys(), "keys");
            equal("a b=c;значение", m.getUserProperty("text"), "property");
        }
    }
}
