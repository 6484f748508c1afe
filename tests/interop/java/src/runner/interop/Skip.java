package interop;

/** Thrown by a scenario this client cannot run. */
final class Skip extends RuntimeException {
    Skip(String reason) {
        super(reason);
    }
}
