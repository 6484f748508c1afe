"""Client programs: how each is built and started. What is built or fetched stays in the cache."""

import os
import pathlib
import shutil
import subprocess
import sys

from servers import HERE

CACHE = HERE / ".cache"
REMOTING = ["java-5.5.0", "java-4.9.8", "go", "cpp", "raw", "mqadmin"]
GRPC = ["grpc-java", "grpc-go", "grpc-python", "grpc-node", "grpc-rust"]
# The same programs through `rocketmq proxy` in front of the server.
PROXY = [client.replace("grpc-", "proxy-") for client in GRPC]
# The Java programs over TLS, which their clients speak at once when they are told so.
TLS = ["tls-" + client for client in REMOTING if client.startswith("java-")]
ALL = REMOTING + TLS + GRPC + PROXY
# What a run without --clients takes.
DEFAULT = REMOTING + ["tls-java-5.5.0"] + GRPC + ["proxy-java", "proxy-go"]

JVM = ["java", "-Dcom.rocketmq.recall.default.trace.enable=true", "-Xmx1g", "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1",
       "--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED"]


def command_of(client):
    CACHE.mkdir(exist_ok=True)
    if client in PROXY:
        client = client.replace("proxy-", "grpc-")
    if client in TLS:
        java, *arguments = command_of(client.removeprefix("tls-"))
        return [java, "-Dtls.enable=true", *arguments]
    if client.startswith("java-"):
        return build_java(client.removeprefix("java-"))
    return {"go": build_go, "cpp": build_cpp, "raw": raw, "mqadmin": mqadmin, "grpc-java": build_grpc_java, "grpc-go": build_grpc_go,
            "grpc-python": build_grpc_python, "grpc-node": build_grpc_node, "grpc-rust": build_grpc_rust}[client]()


def stale(stamp, *sources):
    return not stamp.exists() or stamp.stat().st_mtime < newest(*sources)


def newest(*sources):
    files = [f for s in map(pathlib.Path, sources) for f in ([s] if s.is_file() else s.rglob("*")) if f.is_file()]
    return max(f.stat().st_mtime for f in files)


def build_java(version):
    out = CACHE / f"java-{version}"
    if stale(out / ".built", HERE / "java"):
        print(f"building the Java client {version}", flush=True)
        maven(out, HERE / "java", f"-Drocketmq.version={version}", f"-Dcompat=compat-{version[0]}")
    return [*JVM, f"-Duser.home={out}", "-Drocketmq.client.logUseSlf4j=false", "-Drocketmq.client.logLevel=ERROR",
            "-cp", f"{out / 'classes'}:{out / 'lib'}/*", "interop.Main"]


def maven(out, project, *flags):
    shutil.rmtree(out / "classes", ignore_errors=True)
    shutil.rmtree(out / "maven-status", ignore_errors=True)
    subprocess.run(["mvn", "-q", "-B", "-Dstyle.color=never", "-f", project / "pom.xml", f"-DoutputRoot={out}", *flags,
                    "process-classes"], check=True)
    (out / ".built").touch()


def build_go():
    return go_program("go-client", HERE / "go", "the Go client")


def go_program(name, source, what):
    program = CACHE / name
    if stale(program, source, HERE / "go" / "runner"):
        print(f"building {what}", flush=True)
        subprocess.run(["go", "build", "-o", program, "."], cwd=source, check=True)
    return [program]


def raw():
    return [sys.executable, HERE / "raw" / "main.py"]


def mqadmin():
    build_java("5.5.0")
    return [sys.executable, HERE / "mqadmin" / "main.py", "--jars", CACHE / "java-5.5.0" / "lib"]


def build_grpc_java():
    out = CACHE / "grpc-java"
    if stale(out / ".built", HERE / "grpc" / "java", HERE / "java" / "src" / "runner"):
        print("building the Java gRPC client", flush=True)
        maven(out, HERE / "grpc" / "java")
    return [*JVM, f"-Duser.home={out}", "-Drocketmq.client.logUseSlf4j=false", "-Drocketmq.client.logLevel=ERROR",
            f"-Drocketmq.log.root={out / 'logs'}", "-Drocketmq.log.level=WARN",
            "-cp", f"{out / 'classes'}:{out / 'lib'}/*", "interop.Main"]


def build_grpc_go():
    return ["env", f"rocketmq.client.logRoot={CACHE / 'grpc-go-logs'}", "rocketmq.client.logLevel=error",
            *go_program("grpc-go", HERE / "grpc" / "go", "the Go gRPC client")]


def build_cpp():
    python = installed_python("cpp", HERE / "cpp", "the C++ client")
    return ["env", f"HOME={python.parent.parent}", python, HERE / "cpp" / "main.py"]


def installed_python(name, source, what):
    """Python with the packages that `requirements.txt` names."""
    venv = CACHE / name
    if stale(venv / ".built", source / "requirements.txt"):
        print(f"installing {what}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check",
                        "-r", source / "requirements.txt"], check=True)
        (venv / ".built").touch()
    return venv / "bin" / "python"


def python_of_grpc():
    """Python with the official client, gRPC and OpenTelemetry's packages."""
    return installed_python("grpc-python", HERE / "grpc" / "python", "the Python gRPC client")


def build_grpc_python():
    python = python_of_grpc()
    return ["env", f"HOME={python.parent.parent}", python, HERE / "grpc" / "python" / "main.py"]


def build_grpc_node():
    out, source = CACHE / "grpc-node", HERE / "grpc" / "node"
    if stale(out / ".built", source / "package-lock.json"):
        print("installing the Node gRPC client", flush=True)
        out.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, out / name)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=out, check=True)
        (out / ".built").touch()
    # Node looks for packages beside the program, and for these through NODE_PATH.
    return ["env", f"HOME={out}", f"NODE_PATH={out / 'node_modules'}", "node", source / "main.js"]


def build_grpc_rust():
    out, source = CACHE / "grpc-rust", HERE / "grpc" / "rust"
    program = out / "debug" / "grpc-client"
    if stale(program, source):
        print("building the Rust gRPC client", flush=True)
        subprocess.run(["cargo", "build", "--quiet", "--locked", "--manifest-path", source / "Cargo.toml"], check=True,
                       env=dict(os.environ, CARGO_TARGET_DIR=str(out)))
        os.utime(program)
    return [program]
