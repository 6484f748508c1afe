package interop;

import static interop.Env.equal;
import static interop.Env.message;
import static interop.Env.text;
import static interop.Env.that;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** What disturbs others, or is disturbed by them. */
final class Alone {
    static final List<Scenario> SCENARIOS = new Scenario.Group("alone")
        .add("pull-latency", Alone::latency)
        .add("admin-write-perm", Alone::writePerm)
        .all;

    private static void latency(Env env) throws Exception {
        String topic = env.topic("latency", 1);
        var got = new Collector();
        var arrivals = Collections.synchronizedList(new ArrayList<Long>());
        var consumer = env.push(Env.unique("latency"), topic, "*");
        consumer.registerMessageListener((org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently)
            (batch, context) -> {
                arrivals.add(System.nanoTime());
                batch.forEach(got::add);
                return org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
        consumer.start();
        var producer = env.producer();
        producer.send(message(topic, "warm"));
        Env.await("the first message", 45_000, () -> got.size() == 1);
        List<Long> took = new ArrayList<>();
        for (int i = 0; i < 11; i++) {
            // The consumer must be back at the server and wait there.
            Thread.sleep(200);
            long sent = System.nanoTime();
            producer.send(message(topic, "m" + i));
            int count = i + 2;
            Env.await("message " + i, 5_000, () -> got.size() == count);
            took.add((arrivals.get(count - 1) - sent) / 1_000_000);
        }
        took.sort(null);
        // The median: one slow round on a busy machine proves nothing, a server that polls is slow every time.
        that(took.get(5) < 200, "milliseconds from send to listener: " + took);
    }

    private static void writePerm(Env env) throws Exception {
        String topic = env.topic("write-perm", 1);
        env.producer().send(message(topic, "before"));
        try {
            that(env.admin().wipeWritePermOfBroker(env.namesrv(), env.brokerName()) > 0, "topics wiped");
            equal(4, perm(env, topic), "perm without write");
            try {
                env.producer().send(message(topic, "refused"));
                throw new AssertionError("a producer found a queue to write to");
            } catch (org.apache.rocketmq.client.exception.MQClientException e) {
                that(e.getMessage().contains("route"), e.getMessage());
            }
        } finally {
            env.admin().addWritePermOfBroker(env.namesrv(), env.brokerName());
        }
        equal(6, perm(env, topic), "perm with write");
        env.producer().send(message(topic, "after"));
        equal("after", text(env.stored(topic, 2).get(1)), "stored");
    }

    private static int perm(Env env, String topic) throws Exception {
        return env.admin().examineTopicRouteInfo(topic).getQueueDatas().get(0).getPerm();
    }
}
