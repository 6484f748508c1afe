import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.Permission;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.tools.command.MQAdminStartup;
import org.apache.rocketmq.tools.command.SubCommand;

/**
 * Runs commands of mqadmin one after the other in one JVM, because starting one JVM for each would take minutes.
 *
 * A line of standard input is a request, its words separated by tabs; the answer is a length in bytes, a newline, and
 * that many bytes: everything the command wrote to standard output and error.
 *
 *     mqadmin NAME OPTION...                      as mqadmin itself would be called
 *     seconds N mqadmin NAME OPTION...            the same, interrupted after N seconds: for commands without an end
 *     consumer GROUP TOPIC EXPRESSION             a push consumer that stays online; answers its client id
 *     producer GROUP TOPIC                        a producer that stays online and traces; answers the id of the one
 *                                                 message it sends
 *     stop GROUP                                  ends it
 *     commands                                    the names of all registered commands
 */
public final class Shell {
    private static final PrintStream ANSWERS = System.out;
    private static final Map<String, Runnable> ONLINE = new HashMap<>();
    private static String namesrv;

    @SuppressWarnings("removal")
    public static void main(String[] args) throws Exception {
        namesrv = args[0];
        System.setProperty("rocketmq.namesrv.addr", namesrv);
        refuseExit();
        hurryClosing(Thread.currentThread());
        Scanner in = new Scanner(System.in, StandardCharsets.UTF_8);
        while (in.hasNextLine()) {
            List<String> words = Arrays.asList(in.nextLine().split("\t", -1));
            ByteArrayOutputStream written = new ByteArrayOutputStream();
            PrintStream capture = new PrintStream(written, true, StandardCharsets.UTF_8);
            System.setOut(capture);
            System.setErr(capture);
            try {
                run(words);
            } catch (Throwable e) {
                e.printStackTrace(capture);
            }
            capture.flush();
            byte[] answer = written.toByteArray();
            ANSWERS.println(answer.length);
            ANSWERS.write(answer);
            ANSWERS.flush();
        }
        System.setSecurityManager(null);
        // Clients keep threads of their own; nothing of theirs is worth waiting for.
        Runtime.getRuntime().halt(0);
    }

    private static void run(List<String> words) throws Exception {
        switch (words.get(0)) {
            case "mqadmin" -> {
                // Some commands keep a producer in a field, which serves only once.
                registered().clear();
                MQAdminStartup.main0(words.subList(1, words.size()).toArray(new String[0]), null);
            }
            case "seconds" -> {
                List<String> command = new ArrayList<>(words.subList(2, words.size()));
                Thread thread = new Thread(() -> {
                    try {
                        run(command);
                    } catch (Exception e) {
                        e.printStackTrace();
                    }
                });
                thread.start();
                thread.join(TimeUnit.SECONDS.toMillis(Long.parseLong(words.get(1))));
                thread.interrupt();
                thread.join(TimeUnit.SECONDS.toMillis(10));
            }
            case "consumer" -> consume(words.get(1), words.get(2), words.get(3));
            case "producer" -> produce(words.get(1), words.get(2));
            case "stop" -> ONLINE.remove(words.get(1)).run();
            case "commands" -> commands();
            default -> throw new IllegalArgumentException(words.toString());
        }
    }

    private static void consume(String group, String topic, String expression) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(namesrv);
        consumer.setInstanceName(group);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setPersistConsumerOffsetInterval(500);
        consumer.subscribe(topic, expression);
        consumer.registerMessageListener(
            (MessageListenerConcurrently) (messages, context) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        consumer.start();
        ONLINE.put(group, consumer::shutdown);
        System.out.print(consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId());
    }

    private static void produce(String group, String topic) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(group, null, true, null);
        producer.setNamesrvAddr(namesrv);
        producer.setInstanceName(group);
        producer.start();
        Message message = new Message(topic, "from a producer".getBytes(StandardCharsets.UTF_8));
        System.out.print(producer.send(message).getMsgId());
        // A producer learns the broker by its first send and makes itself known with its next heartbeat.
        producer.getDefaultMQProducerImpl().getMqClientFactory().sendHeartbeatToAllBrokerWithLock();
        ONLINE.put(group, producer::shutdown);
    }

    private static void commands() throws Exception {
        registered().clear();
        MQAdminStartup.initCommand();
        registered().forEach(command -> System.out.println(command.commandName()));
    }

    @SuppressWarnings("unchecked")
    private static List<SubCommand> registered() throws Exception {
        var field = MQAdminStartup.class.getDeclaredField("SUB_COMMANDS");
        field.setAccessible(true);
        return (List<SubCommand>) field.get(null);
    }

    /**
     * Closing a client waits for a thread that looks at its end only every three seconds, unless something happens to a
     * connection. A hundred commands would wait for minutes.
     */
    private static void hurryClosing(Thread running) {
        Thread hurry = new Thread(() -> {
            while (true) {
                try {
                    Thread.sleep(20);
                } catch (InterruptedException e) {
                    return;
                }
                boolean closing = Arrays.stream(running.getStackTrace()).anyMatch(frame ->
                    frame.getClassName().endsWith(".ServiceThread") && frame.getMethodName().equals("shutdown"));
                if (closing) {
                    Thread.getAllStackTraces().keySet().stream()
                        .filter(thread -> thread.getName().startsWith("NettyEventExecutor")).forEach(Thread::interrupt);
                }
            }
        });
        hurry.setDaemon(true);
        hurry.start();
    }

    /** A command that is called wrongly prints its help and ends the JVM; here it must end only itself. */
    @SuppressWarnings("removal")
    private static void refuseExit() {
        System.setSecurityManager(new SecurityManager() {
            @Override
            public void checkExit(int status) {
                throw new SecurityException("exit " + status);
            }

            @Override
            public void checkPermission(Permission permission) {
                // Everything else is allowed.
            }
        });
    }
}
