package interop;

import java.util.List;
import org.apache.rocketmq.common.message.MessageExt;

/** 4.x pops nothing. */
final class Pops {
    Pops(Env env, String group, String topic, boolean order) {
        throw new Skip("4.x has no POP");
    }

    List<MessageExt> pop(int most, long invisibleMs, String attempt) {
        return List.of();
    }

    List<MessageExt> popSome(int most, long invisibleMs, String attempt, long limitMs) {
        return List.of();
    }

    void ack(MessageExt message) {}

    void change(MessageExt message, long invisibleMs) {}

    void giveUp(MessageExt message) {}

    long committed(String of) {
        return -1;
    }
}
