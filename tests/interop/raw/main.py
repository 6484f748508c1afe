"""The raw client: what no library sends. Run by `tests/interop/run`, usable by hand:

    python3 tests/interop/raw/main.py --namesrv 127.0.0.1:9876 [scenario ...]
"""

import argparse
import concurrent.futures
import json
import os
import threading
import time
import traceback

import broker    # noqa: F401  registers its scenarios
import framing   # noqa: F401
import namesrv   # noqa: F401
import pop       # noqa: F401
from harness import SCENARIOS, Env

_print = threading.Lock()


def report(name, result, seconds, reason=""):
    with _print:
        print(json.dumps({"scenario": name, "result": result, "seconds": seconds, "reason": reason}), flush=True)


def reason_of(error):
    at = traceback.extract_tb(error.__traceback__)
    ours = [f for f in at if os.path.basename(f.filename) in ("broker.py", "framing.py", "namesrv.py", "pop.py")]
    line = f"{os.path.basename(ours[-1].filename)}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__}: {error} at {line}"


def run(name, env):
    f, _kind, limit = SCENARIOS[name]
    began = time.monotonic()
    outcome = {}

    def body():
        try:
            f(env)
            outcome["PASS"] = ""
        except Exception as e:
            outcome["FAIL"] = reason_of(e)

    # A thread of its own: one that hangs is left behind and does not hold up the others.
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(limit)
    result, reason = next(iter(outcome.items()), ("FAIL", f"still running after {limit} s"))
    report(name, result, time.monotonic() - began, reason)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--namesrv")
    parser.add_argument("--parallel", type=int, default=6)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("scenarios", nargs="*")
    args = parser.parse_args()
    if args.list:
        for name, (_f, kind, seconds) in SCENARIOS.items():
            print(f"{name}\t{kind}\t{seconds}")
        return
    env = Env(args.namesrv)
    names = args.scenarios or list(SCENARIOS)
    with concurrent.futures.ThreadPoolExecutor(args.parallel) as pool:
        list(pool.map(lambda name: run(name, env), names))
    os._exit(0)


if __name__ == "__main__":
    main()
