package interop;

import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientException;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.MessageListener;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.TransactionChecker;

/** What a scenario is given: the server, names nobody used before, and clients that are closed when it ends. */
final class Env extends Checks {
    static final ClientServiceProvider PROVIDER = ClientServiceProvider.loadService();
    /** A poll that finds nothing lasts this long; the proxy allows no less. */
    static final Duration POLL = Duration.ofSeconds(5);
    static final int LIMIT_MS = 60_000;

    /** Where everything is. */
    static final class Shared {
        final String namesrv;
        final String grpc;
        private final String helper;

        Shared(Map<String, String> addresses) {
            namesrv = addresses.get("--namesrv");
            grpc = addresses.get("--grpc");
            helper = addresses.get("--helper");
        }

        /** Asks the runner's helper, which can do what this client cannot; see helper.py. */
        JsonObject ask(String verb, Object... pairs) throws IOException {
            Map<String, Object> asked = new HashMap<>(Map.of("do", verb));
            for (int i = 0; i < pairs.length; i += 2) {
                asked.put((String) pairs[i], pairs[i + 1]);
            }
            String[] address = helper.split(":");
            try (Socket socket = new Socket(address[0], Integer.parseInt(address[1]))) {
                socket.getOutputStream().write((new Gson().toJson(asked) + "\n").getBytes(StandardCharsets.UTF_8));
                var in = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8));
                JsonObject answer = new Gson().fromJson(in.readLine(), JsonObject.class);
                that(!answer.has("error"), "helper, " + verb + ": " + answer.get("error"));
                return answer;
            }
        }
    }

    private final Shared shared;
    private final List<Closeable> closing = new ArrayList<>();

    Env(Shared shared) {
        this.shared = shared;
    }

    String namesrv() {
        return shared.namesrv;
    }

    String topic(String stem, String type, int queues) throws IOException {
        String topic = unique(stem);
        shared.ask("topic", "name", topic, "type", type, "queues", queues);
        return topic;
    }

    String topic(String stem) throws IOException {
        return topic(stem, "NORMAL", 4);
    }

    void changeType(String topic, String type, int queues) throws IOException {
        shared.ask("topic", "name", topic, "type", type, "queues", queues);
    }

    String group(String stem) throws IOException {
        return group(stem, false, 16);
    }

    String group(String stem, boolean order, int retries) throws IOException {
        String group = unique(stem);
        shared.ask("group", "name", group, "order", order, "retries", retries);
        return group;
    }

    String liteGroup(String stem, String topic) throws IOException {
        String group = unique(stem);
        shared.ask("group", "name", group, "attributes", Map.of("+lite.bind.topic", topic));
        return group;
    }

    /** What is stored in a topic as a remoting client sees it, once there are so many. */
    List<JsonObject> stored(String topic, int count) throws IOException {
        List<JsonObject> all = new ArrayList<>();
        for (JsonElement m : shared.ask("stored", "topic", topic, "count", count).getAsJsonArray("messages")) {
            all.add(m.getAsJsonObject());
        }
        return all;
    }

    void awaitCommitted(String topic, String group, int count) throws Exception {
        await(count + " messages committed", LIMIT_MS,
            () -> shared.ask("committed", "topic", topic, "group", group).get("committed").getAsInt() == count);
    }

    ClientConfiguration configuration() {
        // The default of three seconds is short for two cores that run everything at once.
        return ClientConfiguration.newBuilder().setEndpoints(shared.grpc).setRequestTimeout(Duration.ofSeconds(30)).build();
    }

    Producer producer(String... topics) throws Exception {
        return producer(null, topics);
    }

    Producer producer(TransactionChecker checker, String... topics) throws Exception {
        var builder = PROVIDER.newProducerBuilder().setClientConfiguration(configuration()).setTopics(topics);
        if (checker != null) {
            builder.setTransactionChecker(checker);
        }
        return closing(builder.build());
    }

    SimpleConsumer simple(String group, String topic) throws Exception {
        return simple(group, topic, FilterExpression.SUB_ALL);
    }

    SimpleConsumer simple(String group, String topic, FilterExpression filter) throws Exception {
        return closing(PROVIDER.newSimpleConsumerBuilder().setClientConfiguration(configuration()).setConsumerGroup(group)
            .setSubscriptionExpressions(new HashMap<>(Map.of(topic, filter))).setAwaitDuration(POLL).build());
    }

    PushConsumer push(String group, String topic, MessageListener listener) throws Exception {
        return push(group, topic, FilterExpression.SUB_ALL, listener);
    }

    PushConsumer push(String group, String topic, FilterExpression filter, MessageListener listener) throws Exception {
        return closing(PROVIDER.newPushConsumerBuilder().setClientConfiguration(configuration()).setConsumerGroup(group)
            .setSubscriptionExpressions(Map.of(topic, filter)).setConsumptionThreadCount(4).setMessageListener(listener)
            .build());
    }

    <T extends Closeable> T closing(T client) {
        synchronized (closing) {
            closing.add(client);
        }
        return client;
    }

    void close() {
        synchronized (closing) {
            for (Closeable client : closing) {
                try {
                    client.close();
                } catch (IOException | RuntimeException e) {
                    System.err.println("closing: " + e);
                }
            }
        }
    }

    static MessageBuilder builder(String topic, String body) {
        return PROVIDER.newMessageBuilder().setTopic(topic).setBody(body.getBytes(StandardCharsets.UTF_8));
    }

    static Message message(String topic, String body) {
        return builder(topic, body).build();
    }

    static byte[] bytes(MessageView message) {
        ByteBuffer body = message.getBody();
        byte[] bytes = new byte[body.remaining()];
        body.get(bytes);
        return bytes;
    }

    static String text(MessageView message) {
        return new String(bytes(message), StandardCharsets.UTF_8);
    }

    static List<String> texts(List<MessageView> messages) {
        return messages.stream().map(Env::text).toList();
    }

    static List<String> sendNumbered(Producer producer, String topic, String prefix, int count) throws Exception {
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            producer.send(message(topic, prefix + i));
            bodies.add(prefix + i);
        }
        return bodies;
    }

    /** Receives until there are so many messages, and leaves them without acknowledgement. */
    static List<MessageView> receive(SimpleConsumer consumer, int count, Duration invisible) throws Exception {
        List<MessageView> all = new ArrayList<>();
        await(count + " messages received", LIMIT_MS, () -> {
            all.addAll(consumer.receive(32, invisible));
            return all.size() >= count;
        });
        equal(count, all.size(), "messages received, " + texts(all));
        return all;
    }

    /** The message of {@code send} must be refused; answers the reason. */
    static Throwable refused(String what, Refusal send) {
        try {
            send.run();
        } catch (Throwable e) {
            return e;
        }
        throw new AssertionError(what + " was accepted");
    }

    /** The refusal must have this code. */
    static void code(int expected, Throwable e, String name) {
        that(e instanceof ClientException, name + " expected, got " + e);
        that(e.getMessage().contains("response-code=" + expected), name + " (" + expected + ") expected, got " + e.getMessage());
    }

    interface Refusal {
        void run() throws Throwable;
    }
}
