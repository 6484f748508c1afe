"""Servers under test: ours, Java's, or one that runs already."""

import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE / "raw"))
from remoting import await_route  # noqa: E402

BROKER = "broker-a"
SECOND_BROKER = "broker-b"
READY_SECONDS = 90
STOP_SECONDS = 60
PR_SET_PDEATHSIG = 1


def free_ports():
    """A listen port whose neighbours (fast port at -2, replication at +1) are free; name server at +3, gRPC at +5, and
    at +7 that of a proxy in front."""
    def is_free(port):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return True
            except OSError:
                return False
    base = 20000 + os.getpid() % 1000 * 10
    for port in list(range(base, 32000, 10)) + list(range(20000, base, 10)):
        if all(is_free(port + d) for d in (-2, 0, 1, 3, 5, 6, 7)):
            return port, port + 3, port + 5
    raise RuntimeError("no free ports")


def die_with_parent():
    # A runner killed with -9 cannot stop what it started; the kernel does it then.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """A server of ours or Java's that this run starts and may restart."""

    def __init__(self, kind, keep, conf, ports=None, grpc=False):
        self.kind, self.keep = kind, keep
        self.ports = self.listen, namesrv_port, grpc_port = ports or free_ports()
        self.namesrv = f"127.0.0.1:{namesrv_port}"
        self.grpc = f"127.0.0.1:{grpc_port}"
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="rocketmq-interop-"))
        conf_file = self.data / "interop.conf"
        # Ours keeps the store in the data directory itself; Java's script puts it below, beside configuration and log.
        self.store = self.data / "data" / "store" if kind == "java" else self.data / "data"
        values = {"brokerName": BROKER, "brokerClusterName": "DefaultCluster", "brokerIP1": "127.0.0.1",
                  # How full the disk of this machine is decides nothing.
                  "diskSpaceCleanForciblyRatio": "95", "diskSpaceWarningLevelRatio": "99"}
        if kind == "java":
            values.update({"storePathRootDir": self.store, "storePathCommitLog": self.store / "commitlog"})
            # Without these Java takes messages of lite topics, and hands none of them out.
            values.update({"enableLmq": "true", "enableMultiDispatch": "true"})
        values.update(pair.split("=", 1) for pair in conf)
        conf_file.write_text("".join(f"{k}={v}\n" for k, v in values.items()))
        flags = ["--data", self.data / "data", "--listen-port", str(self.listen), "--namesrv-port", str(namesrv_port),
                 "-c", conf_file]
        # Ours always has one, which must not meet that of another run.
        if grpc or kind == "ours":
            flags += ["--grpc-port", str(grpc_port)]
        if kind == "java":
            # A JVM that has just started leaves requests in the queue for longer than the default of 200 ms.
            self.command = [HERE / "java-server", *flags, "--conf", "waitTimeMillsInSendQueue=5000"]
        else:
            self.command = [our_binary(), "server", *flags, "--metrics-port", "0"]
        self.broker = BROKER
        self.process = None

    def start(self):
        began = time.monotonic()
        log = open(self.data / "server.out", "ab")
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
                                        preexec_fn=die_with_parent)
        ready = threading.Event()

        def read():
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                if b"ready" in line:
                    ready.set()

        threading.Thread(target=read, daemon=True).start()
        while not ready.wait(0.1):
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.log_tail()}")
            if time.monotonic() - began > READY_SECONDS:
                raise RuntimeError(f"the server is not ready after {READY_SECONDS} s:\n{self.log_tail()}")
        await_route(self.namesrv, self.broker, READY_SECONDS)
        return time.monotonic() - began

    def log_tail(self):
        return (self.data / "server.out").read_text(errors="replace")[-3000:]

    def restart(self, how):
        began = time.monotonic()
        if how == "KILL":
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(60)
        else:
            self.terminate()
        self.start()
        print(f"  server restarted ({how}) in {time.monotonic() - began:.1f} s", flush=True)

    def crashed(self):
        return self.process.poll() is not None

    def terminate(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise RuntimeError(f"the server did not stop within {STOP_SECONDS} s of SIGTERM") from None

    def stop(self):
        if self.process and self.process.poll() is None:
            try:
                self.terminate()
            except RuntimeError as e:
                print(e, flush=True)
        if self.keep:
            print(f"data kept in {self.data}")
        else:
            shutil.rmtree(self.data, ignore_errors=True)


class SecondBroker(Server):
    """One more broker of a running server's cluster, with settings of its own."""

    def __init__(self, first, conf):
        super().__init__(first.kind, first.keep, [*conf, f"brokerName={SECOND_BROKER}"])
        self.namesrv, self.broker = first.namesrv, SECOND_BROKER
        if self.kind == "java":
            self.command += ["--join", first.namesrv]
        else:
            self.command = [our_binary(), "broker", "--namesrv", first.namesrv, "--data", self.data / "data",
                            "--listen-port", str(self.listen), "--metrics-port", "0", "-c", self.data / "interop.conf"]


class Proxy:
    """Our proxy in front of a server, which stays while that restarts."""

    def __init__(self, namesrv, port):
        self.address = f"127.0.0.1:{port}"
        self.command = [our_binary(), "proxy", "--namesrv", namesrv, "--grpc-port", str(port), "--metrics-port", "0"]
        self.log = tempfile.TemporaryFile()
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.log, start_new_session=True,
                                        preexec_fn=die_with_parent)
        for line in self.process.stdout:
            if b"ready" in line:
                return
        self.log.seek(0)
        raise RuntimeError(f"the proxy ended:\n{self.log.read().decode(errors='replace')[-3000:]}")

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            print(f"the proxy did not stop within {STOP_SECONDS} s of SIGTERM", flush=True)


class Running:
    """A server somebody else started."""

    def __init__(self, namesrv, restart_cmd, grpc):
        self.namesrv, self.restart_cmd, self.grpc = namesrv, restart_cmd, grpc

    def start(self):
        await_route(self.namesrv, "TBW102", 10)
        return 0.0

    def restart(self, how):
        subprocess.run(self.restart_cmd, shell=True, check=True, env=dict(os.environ, RESTART_SIGNAL=how))
        await_route(self.namesrv, "TBW102", READY_SECONDS)

    def crashed(self):
        return False

    def stop(self):
        pass


def our_binary():
    binary = pathlib.Path(os.environ.get("ROCKETMQ_BIN") or ROOT / "target" / "release" / "rocketmq")
    if not binary.exists():
        print("building the server", flush=True)
        subprocess.run(["cargo", "build", "--release", "--bin", "rocketmq"], cwd=ROOT, check=True)
    return binary
