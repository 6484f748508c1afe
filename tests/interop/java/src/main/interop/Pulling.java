package interop;

import static interop.Env.equal;
import static interop.Env.message;
import static interop.Env.sendNumbered;
import static interop.Env.texts;
import static interop.Env.that;

import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Consumers that ask. */
final class Pulling {
    static final List<Scenario> SCENARIOS = new Scenario.Group("together")
        .add("lite-pull-subscribe", Pulling::subscribe)
        .add("lite-pull-assign-seek-commit", Pulling::assign)
        .add("pull-consumer", Pulling::pullConsumer)
        .all;

    private static void subscribe(Env env) throws Exception {
        String topic = env.topic("lite", 4);
        String group = Env.unique("lite");
        var producer = env.producer();
        for (int round = 0; round < 2; round++) {
            List<String> sent = sendNumbered(producer, topic, "round" + round + "-", 50);
            var consumer = env.litePull(group);
            consumer.setAutoCommit(false);
            consumer.subscribe(topic, "*");
            consumer.start();
            List<MessageExt> got = poll(consumer, 50);
            equal(Env.sorted(sent), Env.sorted(texts(got)), "polled in round " + round);
            consumer.commitSync();
            Env.await("the offsets stored", 10_000, () -> env.admin().examineConsumeStats(group, topic).computeTotalDiff() == 0);
            consumer.shutdown();
        }
    }

    private static void assign(Env env) throws Exception {
        String topic = env.topic("assign", 2);
        var producer = env.producer();
        MessageQueue queue = new MessageQueue(topic, env.brokerName(), 1);
        for (int i = 0; i < 30; i++) {
            producer.send(message(topic, "m" + i), queue);
        }
        var consumer = env.litePull(Env.unique("assign"));
        consumer.setAutoCommit(false);
        consumer.start();
        that(consumer.fetchMessageQueues(topic).contains(queue), "the queue is offered");
        consumer.assign(List.of(queue));
        consumer.seek(queue, 10);
        equal("m10", Env.text(poll(consumer, 20).get(0)), "after seek");
        consumer.seekToBegin(queue);
        List<MessageExt> all = poll(consumer, 30);
        for (int i = 0; i < 30; i++) {
            equal("m" + i, Env.text(all.get(i)), "order");
        }
        consumer.commitSync();
        Env.await("the commit", 10_000, () -> consumer.committed(queue) == 30);
        consumer.seekToEnd(queue);
        producer.send(message(topic, "last"), queue);
        equal(List.of("last"), texts(poll(consumer, 1)), "after seek to end");
        long before = all.get(0).getStoreTimestamp() - 1000;
        equal(0L, consumer.offsetForTimestamp(queue, before), "offset for a time before");
    }

    private static List<MessageExt> poll(DefaultLitePullConsumer consumer, int count) throws Exception {
        List<MessageExt> got = new ArrayList<>();
        Env.await(count + " messages polled", 45_000, () -> {
            got.addAll(consumer.poll(100));
            return got.size() >= count;
        });
        equal(count, got.size(), "polled");
        return got;
    }

    private static void pullConsumer(Env env) throws Exception {
        String topic = env.topic("pull", 1);
        String group = Env.unique("pull");
        var producer = env.producer();
        var consumer = new DefaultMQPullConsumer(group);
        consumer.setNamesrvAddr(env.namesrv());
        consumer.setInstanceName(Env.unique("pull"));
        consumer.start();
        env.closing(consumer::shutdown);
        MessageQueue queue = consumer.fetchSubscribeMessageQueues(topic).iterator().next();
        equal(PullStatus.NO_NEW_MSG, consumer.pull(queue, "*", 0, 10).getPullStatus(), "empty queue");
        // With Java 4 and ours it begins at the end of an empty queue, with Java 5 the client has to ask for that end.
        long begin = consumer.fetchConsumeOffset(queue, true);
        that(begin == 0 || begin == -1, "offset of a new group: " + begin);
        List<String> sent = sendNumbered(producer, topic, "m", 20);
        env.stored(topic, 20);
        var result = consumer.pull(queue, "*", 5, 10);
        equal(PullStatus.FOUND, result.getPullStatus(), "status");
        equal(sent.subList(5, 15), texts(result.getMsgFoundList()), "pulled");
        equal(List.of(15L, 0L, 20L),
            List.of(result.getNextBeginOffset(), result.getMinOffset(), result.getMaxOffset()), "next, min, max");
        equal(PullStatus.NO_NEW_MSG, consumer.pull(queue, "*", 20, 10).getPullStatus(), "at the end");
        var beyond = consumer.pull(queue, "*", 100, 10);
        equal(PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus(), "beyond the end");
        equal(20L, beyond.getNextBeginOffset(), "corrected offset");
        equal(List.of(0L, 20L), List.of(consumer.minOffset(queue), consumer.maxOffset(queue)), "min, max");
        consumer.updateConsumeOffset(queue, 7);
        consumer.getDefaultMQPullConsumerImpl().getOffsetStore().persist(queue);
        Env.await("the offset stored", 10_000, () -> consumer.fetchConsumeOffset(queue, true) == 7);
        // A pull that waits for what is sent meanwhile.
        Thread late = new Thread(() -> {
            try {
                Thread.sleep(300);
                producer.send(message(topic, "late"));
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
        late.start();
        long began = System.nanoTime();
        result = consumer.pullBlockIfNotFound(queue, "*", 20, 10);
        long waited = (System.nanoTime() - began) / 1_000_000;
        equal(PullStatus.FOUND, result.getPullStatus(), "status of the blocking pull");
        equal(List.of("late"), texts(result.getMsgFoundList()), "pulled");
        that(waited < 3000, "woken after " + waited + " ms");
        sendNumbered(producer, topic, "more", 20);
        env.stored(topic, 41);
        equal(32, consumer.pull(queue, "*", 0, 40).getMsgFoundList().size(), "pulled of the 40 that were asked for");
    }
}
