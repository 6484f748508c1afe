package interop;

import java.util.List;

/** All scenarios of this client. */
final class Scenarios {
    static final List<List<Scenario>> ALL = List.of(
        Producing.SCENARIOS, Consuming.SCENARIOS, Rebalancing.SCENARIOS, Retrying.SCENARIOS, Pulling.SCENARIOS,
        Admin.SCENARIOS, Alone.SCENARIOS, Restarting.SCENARIOS, Special.SCENARIOS, Popping.SCENARIOS,
        PopCalls.SCENARIOS, Clustered.SCENARIOS);
}
