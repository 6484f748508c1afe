package interop;

import static interop.Env.equal;
import static interop.Env.message;
import static interop.Env.text;
import static interop.Env.texts;
import static interop.Env.that;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Sending, checked against the answers and against what is stored afterwards. */
final class Producing {
    static final List<Scenario> SCENARIOS = new Scenario.Group("together")
        .add("send-sync", Producing::sync)
        .add("send-async", Producing::async)
        .add("send-oneway", Producing::oneway)
        .add("send-batch", Producing::batch)
        .add("send-to-queue", Producing::toQueue)
        .add("send-by-selector", Producing::bySelector)
        .add("auto-topic-creation", Producing::autoCreate)
        .add("big-body", Producing::bigBody)
        .add("compressed-body", Producing::compressedBody)
        .add("unicode-and-binary-bodies", Producing::unicodeAndBinary)
        .add("properties-round-trip", Producing::properties)
        .add("message-too-large", Producing::tooLarge)
        .add("illegal-topic-name", Producing::illegalTopic)
        .add("delay-level", Producing::delayLevel)
        .all;

    private static void sync(Env env) throws Exception {
        String topic = env.topic("send-sync", 4);
        var producer = env.producer();
        Map<Integer, Long> next = new HashMap<>();
        var ids = new HashSet<String>();
        List<String> sent = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            SendResult result = producer.send(message(topic, "m" + i));
            sent.add("m" + i);
            equal(SendStatus.SEND_OK, result.getSendStatus(), "status");
            int queue = result.getMessageQueue().getQueueId();
            that(queue >= 0 && queue < 4, "queue " + queue);
            equal(env.brokerName(), result.getMessageQueue().getBrokerName(), "broker");
            equal(next.getOrDefault(queue, 0L), result.getQueueOffset(), "offset in queue " + queue);
            next.put(queue, result.getQueueOffset() + 1);
            for (String id : List.of(result.getMsgId(), result.getOffsetMsgId())) {
                that(id.matches("[0-9A-F]{32}|[0-9A-F]{56}"), "message id " + id);
                that(ids.add(id), "message id twice: " + id);
            }
        }
        equal(4, next.size(), "queues used");
        List<MessageExt> stored = env.stored(topic, 40);
        equal(Env.sorted(sent), Env.sorted(texts(stored)), "stored");
        for (MessageExt m : stored) {
            that(ids.contains(m.getMsgId()), "stored id " + m.getMsgId() + " was not answered");
        }
    }

    private static void async(Env env) throws Exception {
        String topic = env.topic("send-async", 4);
        var producer = env.producer();
        var done = new CountDownLatch(200);
        var failures = new ConcurrentLinkedQueue<Throwable>();
        var places = new ConcurrentLinkedQueue<String>();
        List<String> sent = new ArrayList<>();
        for (int i = 0; i < 200; i++) {
            sent.add("m" + i);
            producer.send(message(topic, "m" + i), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    places.add(result.getMessageQueue().getQueueId() + ":" + result.getQueueOffset());
                    done.countDown();
                }

                @Override
                public void onException(Throwable e) {
                    failures.add(e);
                    done.countDown();
                }
            });
        }
        that(done.await(30, TimeUnit.SECONDS), done.getCount() + " callbacks missing");
        that(failures.isEmpty(), failures.size() + " failures, first " + failures.peek());
        equal(200, new HashSet<>(places).size(), "distinct places");
        equal(Env.sorted(sent), Env.sorted(texts(env.stored(topic, 200))), "stored");
    }

    private static void oneway(Env env) throws Exception {
        String topic = env.topic("send-oneway", 2);
        var producer = env.producer();
        List<String> sent = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            producer.sendOneway(message(topic, "m" + i));
            sent.add("m" + i);
        }
        equal(Env.sorted(sent), Env.sorted(texts(env.stored(topic, 50))), "stored");
    }

    private static void batch(Env env) throws Exception {
        String topic = env.topic("send-batch", 1);
        var producer = env.producer();
        producer.send(message(topic, "before"));
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            Message m = new Message(topic, "tag" + i % 3, "key" + i, ("m" + i).getBytes(StandardCharsets.UTF_8));
            m.putUserProperty("n", "" + i);
            batch.add(m);
        }
        SendResult result = producer.send(batch);
        equal(SendStatus.SEND_OK, result.getSendStatus(), "status");
        equal(1L, result.getQueueOffset(), "offset of the first");
        equal(20, result.getOffsetMsgId().split(",").length, "offset message ids");
        equal(20, result.getMsgId().split(",").length, "message ids");
        List<MessageExt> stored = env.stored(topic, 21);
        for (int i = 0; i < 20; i++) {
            MessageExt m = stored.get(i + 1);
            equal("m" + i, text(m), "body");
            equal(i + 1L, m.getQueueOffset(), "offset");
            equal("tag" + i % 3, m.getTags(), "tag");
            equal("key" + i, m.getKeys(), "key");
            equal("" + i, m.getUserProperty("n"), "property");
            equal(result.getMsgId().split(",")[i], m.getMsgId(), "message id");
        }
    }

    private static void toQueue(Env env) throws Exception {
        String topic = env.topic("send-to-queue", 4);
        var producer = env.producer();
        for (int queue : new int[] {3, 0, 3, 3}) {
            SendResult result = producer.send(message(topic, "q" + queue), new MessageQueue(topic, env.brokerName(), queue));
            equal(queue, result.getMessageQueue().getQueueId(), "queue");
        }
        List<MessageExt> stored = env.stored(topic, 4);
        equal(List.of("q0", "q3", "q3", "q3"), texts(stored), "stored");
        equal(List.of(0, 3, 3, 3), stored.stream().map(MessageExt::getQueueId).toList(), "queues");
        try {
            producer.send(message(topic, "nowhere"), new MessageQueue(topic, env.brokerName(), 4));
            throw new AssertionError("a queue out of range was accepted");
        } catch (MQBrokerException e) {
            equal(29, e.getResponseCode(), "code");
        }
    }

    private static void bySelector(Env env) throws Exception {
        String topic = env.topic("send-by-selector", 4);
        var producer = env.producer();
        for (int i = 0; i < 40; i++) {
            producer.send(message(topic, "m" + i), (queues, m, arg) -> queues.get((Integer) arg % queues.size()), i);
        }
        for (MessageExt m : env.stored(topic, 40)) {
            int n = Integer.parseInt(text(m).substring(1));
            equal(n % 4, m.getQueueId(), "queue of " + n);
            equal((long) n / 4, m.getQueueOffset(), "offset of " + n);
        }
    }

    private static void autoCreate(Env env) throws Exception {
        String topic = Env.unique("auto-created");
        var producer = env.producer();
        for (int i = 0; i < 8; i++) {
            equal(SendStatus.SEND_OK, producer.send(message(topic, "m" + i)).getSendStatus(), "status");
        }
        env.awaitRoute(topic);
        var queues = env.admin().examineTopicRouteInfo(topic).getQueueDatas();
        equal(1, queues.size(), "brokers");
        equal(List.of(4, 4, 6), List.of(queues.get(0).getReadQueueNums(), queues.get(0).getWriteQueueNums(),
            queues.get(0).getPerm()), "read queues, write queues, perm");
        equal(8, env.stored(topic, 8).size(), "stored");
    }

    private static void bigBody(Env env) throws Exception {
        String topic = env.topic("big-body", 1);
        var producer = env.newProducer();
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.start();
        byte[] body = new byte[3_900_000];
        new Random(1).nextBytes(body);
        for (int i = 0; i < 3; i++) {
            equal(SendStatus.SEND_OK, producer.send(new Message(topic, body)).getSendStatus(), "status");
        }
        for (MessageExt m : env.stored(topic, 3)) {
            that(Arrays.equals(body, m.getBody()), "the body changed");
        }
    }

    private static void compressedBody(Env env) throws Exception {
        String topic = env.topic("compressed-body", 1);
        var producer = env.producer();
        String body = String.join(",", Collections.nCopies(20_000, "repeat"));
        producer.send(message(topic, body));
        MessageExt stored = env.stored(topic, 1).get(0);
        equal(body, text(stored), "body");
        that(stored.getStoreSize() < body.length() / 10, "stored in " + stored.getStoreSize() + " bytes");
    }

    private static void unicodeAndBinary(Env env) throws Exception {
        String topic = env.topic("bodies", 1);
        var producer = env.producer();
        byte[] every = new byte[256];
        for (int i = 0; i < 256; i++) {
            every[i] = (byte) i;
        }
        List<byte[]> bodies = List.of("żółć 漢字 🚀 \u0001\u0002".getBytes(StandardCharsets.UTF_8), every, new byte[1],
            new byte[] {(byte) 0xff, (byte) 0xfe});
        for (byte[] body : bodies) {
            producer.send(new Message(topic, body));
        }
        List<MessageExt> stored = env.stored(topic, bodies.size());
        for (int i = 0; i < bodies.size(); i++) {
            that(Arrays.equals(bodies.get(i), stored.get(i).getBody()), "body " + i + " changed");
        }
    }

    private static void properties(Env env) throws Exception {
        String topic = env.topic("properties", 1);
        var producer = env.producer();
        Message m = new Message(topic, "tag-ä", "key1 key2", "body".getBytes(StandardCharsets.UTF_8));
        m.setFlag(0x7fffffff);
        m.putUserProperty("plain", "value");
        m.putUserProperty("ключ", "значение 漢字 🚀");
        m.putUserProperty("spaces = : ; ,", " a=b:c;d,e ");
        long before = System.currentTimeMillis();
        SendResult result = producer.send(m);
        MessageExt stored = env.stored(topic, 1).get(0);
        equal("tag-ä", stored.getTags(), "tags");
        equal("key1 key2", stored.getKeys(), "keys");
        equal(0x7fffffff, stored.getFlag(), "flag");
        equal("value", stored.getUserProperty("plain"), "property");
        equal("значение 漢字 🚀", stored.getUserProperty("ключ"), "unicode property");
        equal(" a=b:c;d,e ", stored.getUserProperty("spaces = : ; ,"), "property with separators");
        equal(result.getMsgId(), stored.getMsgId(), "message id");
        equal(topic, stored.getTopic(), "topic");
        that(Math.abs(stored.getBornTimestamp() - before) < 10_000, "born timestamp");
        that(Math.abs(stored.getStoreTimestamp() - before) < 10_000, "store timestamp");
        equal(0, stored.getReconsumeTimes(), "reconsume times");
    }

    private static void tooLarge(Env env) throws Exception {
        String topic = env.topic("too-large", 1);
        var producer = env.newProducer();
        producer.setMaxMessageSize(8 << 20);
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.start();
        try {
            producer.send(new Message(topic, new byte[(4 << 20) + 1]));
            throw new AssertionError("accepted");
        } catch (MQBrokerException e) {
            equal(13, e.getResponseCode(), "code");
        }
        equal(0L, producer.send(message(topic, "fits")).getQueueOffset(), "offset of the next message");
    }

    private static void illegalTopic(Env env) throws Exception {
        var producer = env.producer();
        for (String topic : List.of("with space", "exclaim!", "t".repeat(128))) {
            try {
                producer.send(message(topic, "x"));
                throw new AssertionError("accepted " + topic);
            } catch (MQClientException e) {
                that(e.getMessage().contains("illegal characters") || e.getMessage().contains("max length"), e.getMessage());
            }
        }
    }

    private static void delayLevel(Env env) throws Exception {
        String topic = env.topic("delay-level", 1);
        var got = env.collect(Env.unique("delay-level"), topic);
        var producer = env.producer();
        for (int level : new int[] {2, 1, 0}) {
            Message m = message(topic, "level" + level);
            m.putUserProperty("sent", "" + System.currentTimeMillis());
            m.setDelayTimeLevel(level);
            equal(SendStatus.SEND_OK, producer.send(m).getSendStatus(), "status");
        }
        got.awaitExactly(List.of("level0", "level1", "level2"), 45_000);
        // By their places in the queue: the consumer may have started late, and its threads are several.
        var arrived = got.all().stream().sorted(java.util.Comparator.comparing(MessageExt::getQueueOffset)).toList();
        equal(List.of("level0", "level1", "level2"), texts(arrived), "order of arrival");
        long[] delays = {0, 1000, 5000};
        for (MessageExt m : got.all()) {
            int level = text(m).charAt(5) - '0';
            // The store's clock: the consumer's threads may be late on a busy machine.
            long took = m.getStoreTimestamp() - Long.parseLong(m.getUserProperty("sent"));
            that(took >= delays[level] - 5 && took <= delays[level] + 1500, "level " + level + " took " + took + " ms");
            equal(topic, m.getTopic(), "topic");
            equal(0, m.getQueueId(), "queue");
        }
    }
}
