package interop;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.MessageListener;
import org.apache.rocketmq.client.apis.message.MessageView;

/** Keeps what push consumers were given, in the order of arrival. */
final class Collector {
    record Arrival(MessageView message, String text, int attempt, long at) {
    }

    private final List<Arrival> arrivals = new ArrayList<>();

    synchronized void add(MessageView message) {
        arrivals.add(new Arrival(message, Env.text(message), message.getDeliveryAttempt(), System.currentTimeMillis()));
    }

    synchronized List<Arrival> all() {
        return new ArrayList<>(arrivals);
    }

    List<Arrival> of(String text) {
        return all().stream().filter(a -> a.text().equals(text)).toList();
    }

    List<String> texts() {
        return all().stream().map(Arrival::text).toList();
    }

    MessageListener succeeding() {
        return message -> {
            add(message);
            return ConsumeResult.SUCCESS;
        };
    }

    /** Waits for exactly these bodies in any order, and a moment longer for what should not come. */
    void awaitExactly(List<String> bodies) throws Exception {
        awaitAll(bodies);
        Thread.sleep(300);
        Env.equal(Env.sorted(bodies), Env.sorted(texts()), "consumed");
    }

    /** Waits until each of these bodies came at least once. */
    void awaitAll(List<String> bodies) throws Exception {
        awaitAll(bodies, Env.LIMIT_MS);
    }

    void awaitAll(List<String> bodies, long ms) throws Exception {
        Set<String> wanted = new HashSet<>(bodies);
        try {
            Env.await("all consumed", ms, () -> new HashSet<>(texts()).containsAll(wanted));
        } catch (AssertionError e) {
            Set<String> missing = new HashSet<>(wanted);
            missing.removeAll(new HashSet<>(texts()));
            throw new AssertionError(missing.size() + " of " + wanted.size() + " not consumed within " + ms
                + " ms, five of them at most: " + missing.stream().limit(5).toList());
        }
    }
}
