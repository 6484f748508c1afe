"""The server goes away and comes back while a producer and a push consumer work."""

import itertools
import sys
import threading
import time

from env import Collector, eventually, message
from harness import scenario
from runner import say

BEFORE, MESSAGES = 300, 900
# What was on its way to the consumer comes again when its invisible time of a minute is over.
CONSUMED_SECONDS = 150


@scenario(450, kind="restart")
def restart_by_sigterm(env):
    traffic(env, "TERM")


@scenario(450, kind="restart")
def restart_by_sigkill(env):
    traffic(env, "KILL")


def traffic(env, how):
    topic = env.topic("restart")
    got = Collector()
    env.push(env.group("restart"), topic, got)
    producer = env.producer(topic)
    # A send that failed may have been stored all the same.
    acknowledged, uncertain, numbers, stop = set(), set(), itertools.count(), threading.Event()

    def send():
        while not stop.is_set():
            body = f"m{next(numbers)}"
            try:
                producer.send(message(topic, body))
                acknowledged.add(body)
                time.sleep(0.003)
            except Exception:
                uncertain.add(body)
                time.sleep(0.1)

    senders = [threading.Thread(target=send, daemon=True) for _ in range(2)]
    for sender in senders:
        sender.start()
    try:
        eventually(lambda: len(acknowledged) >= BEFORE, what="the first messages")
        say(restart=how)
        sys.stdin.readline()
        enough = max(MESSAGES, len(acknowledged) + BEFORE)
        eventually(lambda: len(acknowledged) >= enough, 90, "all sent")
    finally:
        stop.set()
        for sender in senders:
            sender.join(30)
    got.await_all(acknowledged, CONSUMED_SECONDS)
    strange = set(got.texts()) - acknowledged - uncertain
    assert not strange, f"consumed but never sent: {sorted(strange)[:5]}"
