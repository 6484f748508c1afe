package interop;

import java.util.ArrayList;
import java.util.List;

/** A named scenario; {@code kind} is one of together, alone, restart, brokers, later. */
record Scenario(String name, String kind, int seconds, Body body) {
    interface Body {
        void run(Env env) throws Throwable;
    }

    /** A group of scenarios under construction. */
    static final class Group {
        final List<Scenario> all = new ArrayList<>();
        private final String kind;

        Group(String kind) {
            this.kind = kind;
        }

        Group add(String name, Body body) {
            return add(name, 120, body);
        }

        Group add(String name, int seconds, Body body) {
            all.add(new Scenario(name, kind, seconds, body));
            return this;
        }
    }
}
