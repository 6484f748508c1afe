package interop;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;

/** Names nobody used before, waits with a limit, and assertions. */
class Checks {
    private static final AtomicInteger NUMBERS = new AtomicInteger();
    private static final String RUN = Long.toString(System.currentTimeMillis() % 1_000_000_000L, 36);

    interface Check {
        boolean holds() throws Exception;
    }

    static String unique(String stem) {
        return stem + "-" + RUN + "-" + ProcessHandle.current().pid() + "-" + NUMBERS.incrementAndGet();
    }

    static void await(String what, long ms, Check check) throws Exception {
        long deadline = System.nanoTime() + ms * 1_000_000;
        while (!check.holds()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError(what + ": not within " + ms + " ms");
            }
            Thread.sleep(20);
        }
    }

    static void equal(Object expected, Object actual, String what) {
        if (!Objects.equals(expected, actual)) {
            throw new AssertionError(what + ": expected " + brief(expected) + ", got " + brief(actual));
        }
    }

    static void that(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static String brief(Object value) {
        String text = String.valueOf(value);
        return text.length() > 200 ? text.substring(0, 200) + "..." : text;
    }

    static List<String> sorted(Iterable<String> texts) {
        List<String> all = new ArrayList<>();
        texts.forEach(all::add);
        all.sort(null);
        return all;
    }
}
