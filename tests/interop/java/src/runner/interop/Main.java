package interop;

import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import java.util.concurrent.Executors;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Runs the scenarios named on the command line and prints one line of JSON for each. A client program adds the classes
 * {@code Scenarios} and {@code Env}.
 */
public final class Main {
    // The library prints to standard output now and then; the runner reads only lines of ours.
    private static final PrintStream OUT = System.out;
    private static final Scanner IN = new Scanner(System.in);

    public static void main(String[] args) throws Exception {
        Map<String, Scenario> known = new LinkedHashMap<>();
        Scenarios.ALL.forEach(group -> group.forEach(s -> known.put(s.name(), s)));
        Map<String, String> addresses = new HashMap<>();
        int parallel = 1;
        List<Scenario> wanted = new ArrayList<>();
        for (int i = 0; i < args.length; i++) {
            switch (args[i]) {
                case "--list" -> {
                    known.values().forEach(s -> OUT.println(s.name() + "\t" + s.kind() + "\t" + s.seconds()));
                    return;
                }
                case "--namesrv", "--grpc", "--helper" -> addresses.put(args[i], args[++i]);
                case "--parallel" -> parallel = Integer.parseInt(args[++i]);
                default -> wanted.add(known.get(args[i]));
            }
        }
        Env.Shared shared = new Env.Shared(addresses);
        var pool = Executors.newFixedThreadPool(parallel);
        for (Scenario s : wanted.isEmpty() ? known.values() : wanted) {
            pool.execute(() -> run(s, shared));
        }
        pool.shutdown();
        pool.awaitTermination(1, TimeUnit.HOURS);
        // Clients keep threads of their own; nothing of theirs is worth waiting for.
        Runtime.getRuntime().halt(0);
    }

    private static void run(Scenario scenario, Env.Shared shared) {
        long began = System.nanoTime();
        String result = "PASS";
        String reason = "";
        Env env = new Env(shared);
        // A thread of its own: one that hangs is left behind and does not hold up the others.
        FutureTask<Void> task = new FutureTask<>(() -> {
            try {
                scenario.body().run(env);
                return null;
            } catch (Exception | Error e) {
                throw e;
            } catch (Throwable e) {
                throw new IllegalStateException(e);
            }
        });
        Thread thread = new Thread(task, scenario.name());
        thread.setDaemon(true);
        thread.start();
        try {
            task.get(scenario.seconds(), TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            result = "FAIL";
            reason = "still running after " + scenario.seconds() + " s at " + where(thread.getStackTrace());
            thread.interrupt();
        } catch (Exception e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            result = cause instanceof Skip ? "skip" : "FAIL";
            reason = cause instanceof Skip ? cause.getMessage() : describe(cause);
        }
        double seconds = (System.nanoTime() - began) / 1e9;
        env.close();
        say("{\"scenario\":\"" + scenario.name() + "\",\"result\":\"" + result + "\",\"seconds\":" + seconds
            + ",\"reason\":\"" + escape(reason) + "\"}");
    }

    /** Has the runner restart the server; returns when it serves again. */
    static void restartServer(String how) {
        say("{\"restart\":\"" + how + "\"}");
        IN.nextLine();
    }

    private static synchronized void say(String line) {
        OUT.println(line);
        OUT.flush();
    }

    private static String describe(Throwable e) {
        StringWriter trace = new StringWriter();
        e.printStackTrace(new PrintWriter(trace));
        System.err.println(trace);
        return e.getClass().getSimpleName() + ": " + e.getMessage() + " at " + where(e.getStackTrace());
    }

    private static String where(StackTraceElement[] stack) {
        for (StackTraceElement frame : stack) {
            if (frame.getClassName().startsWith("interop.") && !frame.getClassName().startsWith("interop.Env")
                && !frame.getClassName().equals("interop.Checks")) {
                return frame.getFileName() + ":" + frame.getLineNumber();
            }
        }
        return "?";
    }

    private static String escape(String text) {
        StringBuilder out = new StringBuilder();
        for (char c : text.substring(0, Math.min(text.length(), 500)).toCharArray()) {
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else {
                out.append(c < ' ' ? ' ' : c);
            }
        }
        return out.toString();
    }
}
