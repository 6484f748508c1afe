"""Sends that go on while the server goes away and comes back; shared by the programs in Python."""

import itertools
import sys
import threading
import time

from harness import eventually
from runner import say

SENDERS, BEFORE, MESSAGES = 2, 300, 900


def across_restart(how, send, got, consumed_seconds):
    """Sends `m0`, `m1` and so on before, during and after a restart. All that was acknowledged must come to the collector;
    what failed may have been stored all the same, and nothing else comes."""
    acknowledged, uncertain, numbers, stop = set(), set(), itertools.count(), threading.Event()

    def work():
        while not stop.is_set():
            body = f"m{next(numbers)}"
            try:
                send(body)
                acknowledged.add(body)
                time.sleep(0.003)
            except Exception:
                uncertain.add(body)
                time.sleep(0.1)

    senders = [threading.Thread(target=work, daemon=True) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        eventually(lambda: len(acknowledged) >= BEFORE, 60, "the first messages")
        say(restart=how)
        sys.stdin.readline()
        enough = max(MESSAGES, len(acknowledged) + BEFORE)
        eventually(lambda: len(acknowledged) >= enough, 90, "all sent")
    finally:
        stop.set()
        for sender in senders:
            sender.join(30)
    got.await_all(acknowledged, consumed_seconds)
    strange = set(got.texts()) - acknowledged - uncertain
    assert not strange, f"consumed but never sent: {sorted(strange)[:5]}"
