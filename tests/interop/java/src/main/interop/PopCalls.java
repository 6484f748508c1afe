package interop;

import static interop.Env.equal;
import static interop.Env.message;
import static interop.Env.sendNumbered;
import static interop.Env.text;
import static interop.Env.texts;
import static interop.Env.that;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** What push consumers do not show of POP: order, attempts, giving up, priorities. */
final class PopCalls {
    private static final long LONG_MS = 60_000;

    static final List<Scenario> SCENARIOS = new Scenario.Group("together")
        .add("pop-fifo", 60, PopCalls::inOrder)
        .add("pop-dead-letter", 60, PopCalls::deadLetter)
        .add("pop-too-many-attempts", 150, PopCalls::tooManyAttempts)
        .add("priority", 60, PopCalls::priority)
        .all;

    private static void inOrder(Env env) throws Exception {
        String topic = env.topic("pop-fifo", 1);
        var pops = new Pops(env, Env.unique("pop-fifo"), topic, true);
        sendNumbered(env.producer(), topic, "m", 8);
        equal(List.of("m0", "m1"), texts(pops.popSome(2, LONG_MS, "first", 10_000)), "first batch");
        equal(List.of(), texts(pops.pop(2, LONG_MS, "second")), "another attempt while the batch is not acked");
        List<MessageExt> same = pops.pop(2, LONG_MS, "first");
        equal(List.of("m0", "m1"), texts(same), "the same attempt again");
        equal(List.of(0, 0), attempts(same), "attempts of the same attempt");
        for (MessageExt m : same) {
            pops.ack(m);
        }

        long popped = System.currentTimeMillis();
        List<MessageExt> batch = pops.popSome(3, 3_000, "third", 10_000);
        equal(List.of("m2", "m3", "m4"), texts(batch), "second batch");
        pops.ack(batch.get(0));
        equal(List.of(), texts(pops.pop(3, LONG_MS, "fourth")), "the next attempt while some are not acked");
        batch = pops.popSome(3, LONG_MS, "fifth", 20_000);
        long took = System.currentTimeMillis() - popped;
        that(took > 2_500 && took < 12_000, "again after " + took + " ms");
        equal(List.of("m3", "m4", "m5"), texts(batch), "what was not acked, in its place");
        equal(List.of(1, 1, 0), attempts(batch), "attempts");

        pops.ack(batch.get(0));
        pops.ack(batch.get(1));
        long changed = System.currentTimeMillis();
        pops.change(batch.get(2), 2_000);
        equal(List.of(), texts(pops.pop(1, LONG_MS, "sixth")), "while the last one is invisible");
        batch = pops.popSome(1, LONG_MS, "seventh", 20_000);
        took = System.currentTimeMillis() - changed;
        that(took > 1_500 && took < 10_000, "after a change again after " + took + " ms");
        equal(List.of("m5"), texts(batch), "after a change");
        equal(List.of(1), attempts(batch), "attempts after a change");
        pops.ack(batch.get(0));
        batch = pops.popSome(32, LONG_MS, "eighth", 10_000);
        equal(List.of("m6", "m7"), texts(batch), "the rest");
        for (MessageExt m : batch) {
            pops.ack(m);
        }
        equal(8L, pops.committed(topic), "where the group stands");
    }

    private static List<Integer> attempts(List<MessageExt> messages) {
        return messages.stream().map(MessageExt::getReconsumeTimes).toList();
    }

    private static void deadLetter(Env env) throws Exception {
        String topic = env.topic("pop-dead-letter", 1);
        String group = Env.unique("pop-dead-letter");
        var pops = new Pops(env, group, topic, false);
        env.producer().send(message(topic, "bad"));
        equal(List.of(0), attempts(pops.popSome(1, 2_000, null, 10_000)), "first attempt");
        MessageExt again = pops.popSome(1, 5_000, null, 20_000).get(0);
        equal(1, again.getReconsumeTimes(), "second attempt");
        equal(topic, again.getTopic(), "topic of the second attempt");
        pops.giveUp(again);
        String dead = "%DLQ%" + group;
        env.awaitRoute(dead);
        MessageExt letter = env.stored(dead, 1).get(0);
        equal("bad", text(letter), "dead letter");
        long until = System.currentTimeMillis() + 7_000;
        while (System.currentTimeMillis() < until) {
            equal(List.of(), texts(pops.pop(1, LONG_MS, null)), "after it was given up");
            Thread.sleep(100);
        }
    }

    /** Beyond the greatest number of attempts the client acks what it pops, and makes no dead letter. */
    private static void tooManyAttempts(Env env) throws Exception {
        String topic = env.topic("pop-attempts", 1);
        String group = Env.unique("pop-attempts");
        var pops = new Pops(env, group, topic, false);
        var attempts = new ConcurrentLinkedQueue<Integer>();
        var consumer = env.push(group, topic, "*");
        Compat.consumeByPop(env, consumer, topic);
        consumer.setMaxReconsumeTimes(1);
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            batch.forEach(m -> attempts.add(m.getReconsumeTimes()));
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        consumer.start();
        env.producer().send(message(topic, "bad"));
        Env.await("two attempts", 60_000, () -> attempts.size() == 2);
        // The client asks for 30 seconds now, and drops what comes then.
        String retry = "%RETRY%" + group + "_" + topic;
        Env.await("the third is consumed", 75_000, () -> pops.committed(retry) == 2);
        equal(List.of(0, 1), List.copyOf(attempts), "attempts");
        that(env.admin().fetchAllTopicList().getTopicList().stream().noneMatch(t -> t.equals("%DLQ%" + group)),
            "there is a dead letter");
    }

    private static void priority(Env env) throws Exception {
        String topic = Env.unique("priority");
        Compat.createTopic(env, topic, 4, "PRIORITY");
        var pops = new Pops(env, Env.unique("priority"), topic, false);
        var producer = env.producer();
        List<Integer> sent = List.of(0, 1, 2, 3, 9, 0, 1, 2, 3);
        for (int i = 0; i < sent.size(); i++) {
            Message m = message(topic, "m" + i);
            Compat.prioritize(m, sent.get(i));
            // The last queue is that of all higher priorities.
            equal(Math.min(sent.get(i), 3), producer.send(m).getMessageQueue().getQueueId(), "queue of priority " + sent.get(i));
        }
        List<Integer> queues = new ArrayList<>();
        while (queues.size() < sent.size()) {
            MessageExt m = pops.popSome(1, LONG_MS, null, 10_000).get(0);
            queues.add(m.getQueueId());
            pops.ack(m);
        }
        equal(List.of(3, 3, 3, 2, 2, 1, 1, 0, 0), queues, "priorities as popped");
    }
}
