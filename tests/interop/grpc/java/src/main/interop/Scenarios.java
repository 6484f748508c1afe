package interop;

import java.util.List;

/** All scenarios of this client. */
final class Scenarios {
    static final List<List<Scenario>> ALL = List.of(
        Sending.SCENARIOS, Receiving.SCENARIOS, Pushing.SCENARIOS, Special.SCENARIOS, Crossing.SCENARIOS,
        Restarting.SCENARIOS);
}
