package interop;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.message.MessageExt;

/** Keeps what consumers were given, in the order of arrival. */
final class Collector {
    private final List<MessageExt> messages = new ArrayList<>();
    private volatile long last = System.nanoTime();

    synchronized void add(MessageExt message) {
        messages.add(message);
        last = System.nanoTime();
    }

    synchronized List<MessageExt> all() {
        return new ArrayList<>(messages);
    }

    synchronized int size() {
        return messages.size();
    }

    List<String> texts() {
        return Env.texts(all());
    }

    Set<String> distinct() {
        return new HashSet<>(texts());
    }

    MessageListenerConcurrently concurrently() {
        return (batch, context) -> {
            batch.forEach(this::add);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        };
    }

    MessageListenerOrderly orderly() {
        return (batch, context) -> {
            batch.forEach(this::add);
            return ConsumeOrderlyStatus.SUCCESS;
        };
    }

    /**
     * Waits for exactly these bodies in any order, and a moment longer for what should not come.
     *
     * <p>Callers allow more than 20 seconds: on a busy machine a consumer's first rebalance now and then finds nothing,
     * and the client's next one comes 20 seconds later.
     */
    void awaitExactly(List<String> bodies, long ms) throws Exception {
        awaitAll(bodies, ms);
        settle(300);
        Env.equal(Env.sorted(bodies), Env.sorted(texts()), "consumed");
    }

    /** Waits until each of these bodies came at least once. */
    void awaitAll(List<String> bodies, long ms) throws Exception {
        Set<String> wanted = new HashSet<>(bodies);
        try {
            Env.await("all consumed", ms, () -> size() >= wanted.size() && distinct().containsAll(wanted));
        } catch (AssertionError e) {
            Set<String> missing = new HashSet<>(wanted);
            missing.removeAll(distinct());
            throw new AssertionError(missing.size() + " of " + wanted.size() + " not consumed within " + ms
                + " ms, five of them at most: " + missing.stream().limit(5).toList());
        }
    }

    /** Waits until nothing came for so long. */
    void settle(long ms) throws Exception {
        Env.await("silence", 60_000, () -> System.nanoTime() - last > ms * 1_000_000);
    }
}
