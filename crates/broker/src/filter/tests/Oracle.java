import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.rocketmq.filter.expression.*;
import org.apache.rocketmq.filter.parser.SelectorParser;

/**
 * What RocketMQ's own filter makes of the cases on standard input: expression, tab, name=value pairs separated by semicolons.
 *
 *   java -cp "<directory of a server's jars>/*" Oracle.java < cases > cases-with-answers
 *
 * Writes T, F, N (unknown), E (cannot be computed) or C (does not compile), a tab, and the case.
 */
public class Oracle {
    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(new BufferedOutputStream(System.out, 1 << 16), false, "UTF-8");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            String[] parts = line.split("\t", -1);
            out.println(answer(unescape(parts[0]), parts[1]) + "\t" + line);
        }
        out.flush();
    }

    static String unescape(String text) {
        return text.replace("\\n", "\n").replace("\\t", "\t");
    }

    static String answer(String expression, String pairs) {
        BooleanExpression compiled;
        try {
            compiled = SelectorParser.parse(expression);
        } catch (Throwable error) {
            return "C";
        }
        Map<String, String> properties = new HashMap<>();
        for (String pair : pairs.split(";")) {
            int at = pair.indexOf('=');
            if (at > 0 && at + 1 < pair.length()) {
                properties.put(pair.substring(0, at), pair.substring(at + 1));
            }
        }
        EvaluationContext context = new EvaluationContext() {
            public Object get(String name) {
                return properties.get(name);
            }

            public Map<String, Object> keyValues() {
                return new HashMap<>(properties);
            }
        };
        try {
            Object result = compiled.evaluate(context);
            return result == null ? "N" : result == Boolean.TRUE ? "T" : result == Boolean.FALSE ? "F" : "?";
        } catch (Throwable error) {
            return "E";
        }
    }
}
