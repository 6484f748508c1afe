"""Every command of mqadmin 5.5.0, unchanged, as one more client of `tests/interop/run`. By hand:

    python3 tests/interop/mqadmin/main.py --jars tests/interop/.cache/java-5.5.0/lib --namesrv 127.0.0.1:9876 [command ...]

A scenario is a command and has its name. `commands` holds them against what mqadmin has registered.
"""

import argparse
import json
import os
import pathlib
import re
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "raw"))
from remoting import route  # noqa: E402

import commands as listed  # noqa: E402
from shell import Env, Shell  # noqa: E402


def report(name, result, seconds, reason=""):
    print(json.dumps({"scenario": name, "result": result, "seconds": seconds, "reason": reason}), flush=True)


def run(name, env):
    began = time.monotonic()
    try:
        listed.SCENARIOS[name][0](env)
        report(name, "PASS", time.monotonic() - began)
    except listed.Skip as e:
        report(name, "skip", time.monotonic() - began, str(e))
    except Exception as e:
        at = [f for f in traceback.extract_tb(e.__traceback__) if os.path.basename(f.filename) == "commands.py"]
        line = f"commands.py:{at[-1].lineno}" if at else "?"
        report(name, "FAIL", time.monotonic() - began, f"{type(e).__name__}: {e} at {line}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jars", required=True)
    parser.add_argument("--namesrv")
    parser.add_argument("--parallel", type=int, default=1, help="taken and not used: one JVM, one command at a time")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("scenarios", nargs="*")
    args = parser.parse_args()
    if args.list:
        for name, (_f, kind) in listed.SCENARIOS.items():
            print(f"{name}\t{kind}")
        return
    names = args.scenarios or list(listed.SCENARIOS)
    broker = route(args.namesrv, "TBW102")["brokerDatas"][0]
    shell = Shell(args.jars, args.namesrv)
    env = Env(shell, args.namesrv, broker["brokerName"], broker["cluster"], broker["brokerAddrs"]["0"])
    for name in names:
        run(name, env)
    env.close()
    shell.close()


if __name__ == "__main__":
    main()
