"""The JVM that runs mqadmin's commands, and the bookkeeping of one scenario."""

import pathlib
import re
import subprocess
import sys
import tempfile
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from servers import die_with_parent  # noqa: E402

# An exception of the command itself; messages and stacks that a command shows may speak of others.
FAILED = re.compile(r"^\S*Exception\b|^Caused by: |command failed|The command does not exist", re.MULTILINE)
HERE = pathlib.Path(__file__).resolve().parent


class Shell:
    """One JVM for all commands; see Shell.java for what it understands."""

    def __init__(self, jars, namesrv):
        self.home = tempfile.TemporaryDirectory(prefix="rocketmq-mqadmin-")
        command = ["java", "-Xmx512m", "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1", "-Djava.security.manager=allow",
                   "--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
                   # The messages of each command's own client would drown its output.
                   f"-Duser.home={self.home.name}", "-Drocketmq.client.logLevel=ERROR",
                   "-cp", f"{jars}/*", HERE / "Shell.java", namesrv]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        cwd=self.home.name, preexec_fn=die_with_parent)

    def call(self, *words):
        self.process.stdin.write(("\t".join(str(word) for word in words) + "\n").encode())
        self.process.stdin.flush()
        length = self.process.stdout.readline()
        if not length:
            raise AssertionError("the JVM that runs mqadmin ended")
        return self.process.stdout.read(int(length)).decode(errors="replace")

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.home.cleanup()


class Output:
    """What a command printed, with the questions a scenario asks of it."""

    def __init__(self, call, text):
        self.call, self.text = call, text

    def fail(self, what):
        raise AssertionError(f"{self.call}: {what} in: {self.text.strip()[-700:]}")

    def has(self, *patterns):
        """Every pattern is found; a line may be anywhere."""
        for pattern in patterns:
            if not re.search(pattern, self.text, re.MULTILINE):
                self.fail(f"no {pattern!r}")
        return self

    def lacks(self, *patterns):
        for pattern in patterns:
            if re.search(pattern, self.text, re.MULTILINE):
                self.fail(f"{pattern!r}")
        return self

    def find(self, pattern):
        found = re.search(pattern, self.text, re.MULTILINE)
        if not found:
            self.fail(f"no {pattern!r}")
        return found.group(1)

    def rows(self):
        """The cells of a table, the title line left out."""
        return [line.split() for line in self.text.splitlines() if line.strip() and not line.startswith("#")]


class Env:
    """What a scenario is given: mqadmin, names that nobody used before, and who is online ends with it."""

    def __init__(self, shell, namesrv, broker, cluster, address):
        self.shell, self.namesrv = shell, namesrv
        self.broker, self.cluster, self.address = broker, cluster, address
        self.online = []

    def name(self, stem):
        return f"{stem}-{uuid.uuid4().hex[:8]}"

    def run(self, command, *options, failing=False):
        """Runs a command. An exception in its output fails the scenario, unless it is asked for."""
        output = Output(f"{command} {' '.join(map(str, options))}", self.shell.call("mqadmin", command, *options))
        if not failing and FAILED.search(output.text):
            output.fail("an exception")
        return output

    def run_for(self, seconds, command, *options):
        """Runs a command that has no end of its own."""
        return Output(f"{command} {' '.join(map(str, options))}",
                      self.shell.call("seconds", seconds, "mqadmin", command, *options))

    def topic(self, stem, queues=1):
        topic = self.name(stem)
        self.run("updateTopic", "-b", self.address, "-t", topic, "-r", queues, "-w", queues).has("create topic to .* success")
        self.until(lambda: self.run("topicRoute", "-t", topic, failing=True).has('"queueDatas"'))
        return topic

    def send(self, topic, body, *options):
        """Sends a message and returns its unique id."""
        return self.run("sendMessage", "-t", topic, "-p", body, *options).has("SEND_OK").find(r"SEND_OK\s+(\w+)")

    def consumer(self, group, topic, expression="*"):
        self.online.append(group)
        return self.shell.call("consumer", group, topic, expression)

    def producer(self, group, topic):
        self.online.append(group)
        return self.shell.call("producer", group, topic)

    def stop(self, group):
        self.online.remove(group)
        self.shell.call("stop", group)

    def until(self, check, seconds=15):
        """Repeats what may need a moment, and returns what it returns."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return check()
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def close(self):
        for group in list(self.online):
            self.stop(group)
