"""Runs the scenarios named on the command line and prints a line of JSON for each."""

import argparse
import concurrent.futures
import json
import os
import threading
import time
import traceback

from harness import SCENARIOS

_print = threading.Lock()
_NOT_SCENARIOS = ("harness.py", "runner.py", "remoting.py", "env.py")


def say(**line):
    with _print:
        print(json.dumps(line), flush=True)


def reason_of(error, scenario_file):
    here = os.path.dirname(scenario_file)
    ours = [f for f in traceback.extract_tb(error.__traceback__)
            if os.path.dirname(f.filename) == here and os.path.basename(f.filename) not in _NOT_SCENARIOS]
    line = f"{os.path.basename(ours[-1].filename)}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__}: {error} at {line}"


def run(name, make_env):
    f, _kind, limit = SCENARIOS[name]
    began = time.monotonic()
    outcome = {}
    env = make_env()

    def body():
        try:
            f(env)
            outcome["PASS"] = ""
        except Exception as e:
            outcome["FAIL"] = reason_of(e, f.__code__.co_filename)

    # A thread of its own: one that hangs is left behind and does not hold up the others.
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(limit)
    result, reason = next(iter(outcome.items()), ("FAIL", f"still running after {limit} s"))
    seconds = time.monotonic() - began
    env.close()
    say(scenario=name, result=result, seconds=seconds, reason=reason)


def main(env_of):
    """`env_of` makes of the parsed arguments what makes the environment of a scenario."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--namesrv")
    parser.add_argument("--grpc")
    parser.add_argument("--helper")
    parser.add_argument("--parallel", type=int, default=6)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("scenarios", nargs="*")
    args = parser.parse_args()
    if args.list:
        for name, (_f, kind, seconds) in SCENARIOS.items():
            print(f"{name}\t{kind}\t{seconds}")
        return
    make_env = env_of(args)
    names = args.scenarios or list(SCENARIOS)
    with concurrent.futures.ThreadPoolExecutor(args.parallel) as pool:
        list(pool.map(lambda name: run(name, make_env), names))
    os._exit(0)
