package interop;

import static interop.Env.equal;
import static interop.Env.message;
import static interop.Env.text;
import static interop.Env.that;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages that are more than sent and received. */
final class Special {
    static final List<Scenario> SCENARIOS = new Scenario.Group("together")
        .add("request-reply", Special::requestReply)
        .add("transaction-commit-and-rollback", Special::transaction)
        .add("transaction-check", 120, Special::transactionCheck)
        .add("sql-filter", Special::sqlFilter)
        .add("timer-message", Special::timerMessage)
        .add("message-trace", Special::messageTrace)
        .add("recall", Special::recall)
        .all;

    private static void requestReply(Env env) throws Exception {
        String topic = env.topic("request", 1);
        var replier = env.producer();
        var consumer = env.push(Env.unique("request"), topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            for (MessageExt m : batch) {
                try {
                    replier.send(MessageUtil.createReplyMessage(m, ("reply to " + text(m)).getBytes()));
                } catch (Exception e) {
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        var producer = env.producer();
        for (int i = 0; i < 5; i++) {
            Message reply = producer.request(message(topic, "request" + i), 15_000);
            equal("reply to request" + i, new String(reply.getBody()), "reply");
        }
    }

    private static TransactionMQProducer transactional(Env env, Map<String, AtomicInteger> checks) throws Exception {
        var producer = env.prepared(new TransactionMQProducer(Env.unique("transaction")));
        producer.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message m, Object arg) {
                return (LocalTransactionState) arg;
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt m) {
                checks.computeIfAbsent(text(m), k -> new AtomicInteger()).incrementAndGet();
                return text(m).startsWith("yes") ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE;
            }
        });
        producer.start();
        return producer;
    }

    private static void transaction(Env env) throws Exception {
        String topic = env.topic("transaction", 2);
        var got = env.collect(Env.unique("transaction"), topic);
        var producer = transactional(env, new ConcurrentHashMap<>());
        List<String> committed = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            var state = i % 2 == 0 ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE;
            producer.sendMessageInTransaction(message(topic, "m" + i), state);
            if (i % 2 == 0) {
                committed.add("m" + i);
            }
        }
        got.awaitExactly(committed, 45_000);
    }

    private static void transactionCheck(Env env) throws Exception {
        String topic = env.topic("check", 1);
        var got = env.collect(Env.unique("check"), topic);
        Map<String, AtomicInteger> checks = new ConcurrentHashMap<>();
        var producer = transactional(env, checks);
        for (String body : List.of("yes", "no")) {
            producer.sendMessageInTransaction(message(topic, body), LocalTransactionState.UNKNOW);
        }
        producer.getDefaultMQProducerImpl().getMqClientFactory().sendHeartbeatToAllBrokerWithLock();
        Env.await("both checked", 100_000, () -> checks.size() == 2);
        got.awaitExactly(List.of("yes"), 45_000);
    }

    private static void sqlFilter(Env env) throws Exception {
        String topic = env.topic("sql", 2);
        var got = new Collector();
        var consumer = env.push(Env.unique("sql"), topic, null);
        consumer.subscribe(topic, MessageSelector.bySql("n BETWEEN 3 AND 12 AND (color = 'red' OR color IS NULL) AND TAGS = 't'"));
        consumer.registerMessageListener(got.concurrently());
        consumer.start();
        var producer = env.producer();
        List<String> wanted = new ArrayList<>();
        String[] colors = {"red", "blue", null};
        for (int i = 0; i < 20; i++) {
            Message m = message(topic, "m" + i);
            m.setTags("t");
            m.putUserProperty("n", "" + i);
            String color = colors[i % 3];
            if (color != null) {
                m.putUserProperty("color", color);
            }
            producer.send(m);
            if (i >= 3 && i <= 12 && !"blue".equals(color)) {
                wanted.add("m" + i);
            }
        }
        got.awaitExactly(wanted, 50_000);
    }

    private static void timerMessage(Env env) throws Exception {
        String topic = env.topic("timer", 1);
        var got = env.collect(Env.unique("timer"), topic);
        long sent = System.currentTimeMillis();
        for (long delay : new long[] {5_000, 2_500}) {
            Message m = message(topic, "" + delay);
            Compat.deliverIn(m, delay);
            env.producer().send(m);
        }
        got.awaitExactly(List.of("2500", "5000"), 30_000);
        equal(List.of("2500", "5000"), got.texts(), "order of arrival");
        for (MessageExt m : got.all()) {
            long took = m.getStoreTimestamp() - sent;
            long delay = Long.parseLong(text(m));
            that(took >= delay - 1000 && took < delay + 4000, delay + " ms took " + took + " ms");
        }
    }

    /** What clients tell of a message: who sent it, who consumed it. Our own command shows it. */
    private static void messageTrace(Env env) throws Exception {
        String topic = env.topic("traced", 1);
        var producer = tracing(env);
        String group = Env.unique("traced");
        var consumer = new DefaultMQPushConsumer(group, null, new AllocateMessageQueueAveragely(), true, null);
        consumer.setNamesrvAddr(env.namesrv());
        consumer.setInstanceName(Env.unique("c"));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        var got = new Collector();
        consumer.registerMessageListener(got.concurrently());
        env.closing(consumer::shutdown);
        consumer.start();
        String id = producer.send(message(topic, "watched")).getMsgId();
        got.awaitExactly(List.of("watched"), 30_000);
        long begin = System.currentTimeMillis() - 600_000;
        Env.await("both told of it", 30_000, () -> told(env, id, begin, "Pub") && told(env, id, begin, "SubAfter"));
        String tool = System.getenv("ROCKETMQ_BIN");
        if (tool != null) {
            var shown = new ProcessBuilder(tool, "message", "trace", id, "--namesrv", env.namesrv(), "--json")
                .redirectErrorStream(true).start();
            String said = new String(shown.getInputStream().readAllBytes());
            that(shown.waitFor(10, TimeUnit.SECONDS) && shown.exitValue() == 0, said);
            for (String part : List.of(producer.getProducerGroup(), group, topic, id)) {
                that(said.contains(part), part + " is not in " + said);
            }
        }
    }

    private static DefaultMQProducer tracing(Env env) throws Exception {
        var producer = env.prepared(new DefaultMQProducer(Env.unique("tracing"), null, true, null));
        producer.start();
        return producer;
    }

    private static boolean told(Env env, String id, long begin, String kind) throws Exception {
        try {
            var found = env.admin().queryMessage("RMQ_SYS_TRACE_TOPIC", id, 64, begin, Long.MAX_VALUE).getMessageList();
            return found.stream().map(Env::text).flatMap(text -> text.lines()).anyMatch(line -> line.contains(kind));
        } catch (MQClientException none) {
            return false;
        }
    }

    private static void recall(Env env) throws Exception {
        String topic = env.topic("recall", 1);
        var got = env.collect(Env.unique("recall"), topic);
        var producer = tracing(env);
        long begin = System.currentTimeMillis() - 600_000;
        Message stays = message(topic, "stays");
        Compat.deliverIn(stays, 6_000);
        producer.send(stays);
        Message goes = message(topic, "goes");
        Compat.deliverIn(goes, 4_000);
        SendResult sent = producer.send(goes);
        String id = Compat.recall(producer, topic, sent);
        equal(sent.getMsgId(), id, "id of what was recalled");
        got.awaitExactly(List.of("stays"), 30_000);
        try {
            Compat.recall(producer, topic, sent);
            throw new AssertionError("a message that is due was recalled");
        } catch (MQBrokerException refused) {
            that(refused.getErrorMessage().contains("timestamp invalid"), refused.getMessage());
        }
        Env.await("the recall was told", 30_000, () -> told(env, id, begin, "Recall"));
    }
}
