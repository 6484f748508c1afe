"""What a push consumer was given, and waits for it; shared by the programs in Python."""

import threading
import time

from harness import eventually

ARRIVE_SECONDS = 60


class Arrivals:
    """Arrivals in their order. Each has a `text`, which is the body."""

    def __init__(self):
        self.lock, self.arrivals = threading.Lock(), []

    def add(self, arrival):
        """Keeps it and says how often its text has come by now."""
        with self.lock:
            self.arrivals.append(arrival)
            return sum(a.text == arrival.text for a in self.arrivals)

    def all(self):
        with self.lock:
            return list(self.arrivals)

    def of(self, text):
        return [a for a in self.all() if a.text == text]

    def texts(self):
        return [a.text for a in self.all()]

    def await_all(self, bodies, seconds=ARRIVE_SECONDS):
        """Waits until each of these bodies came at least once."""
        wanted = set(bodies)
        try:
            eventually(lambda: wanted <= set(self.texts()), seconds)
        except AssertionError:
            missing = wanted - set(self.texts())
            raise AssertionError(f"{len(missing)} of {len(wanted)} not consumed within {seconds} s: {sorted(missing)[:5]}")

    def await_exactly(self, *bodies):
        """Waits for exactly these bodies in any order, and a moment longer for what should not come."""
        self.await_all(bodies)
        time.sleep(0.3)
        same(sorted(bodies), sorted(self.texts()), "consumed")


def same(expected, actual, what):
    assert expected == actual, f"{what}: expected {str(expected)[:200]}, got {str(actual)[:200]}"
