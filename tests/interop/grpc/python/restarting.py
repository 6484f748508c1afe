"""The server goes away and comes back while a producer and a push consumer work."""

from env import Collector, message
from harness import scenario
from traffic import across_restart

# What was on its way to the consumer comes again when its invisible time of a minute is over.
CONSUMED_SECONDS = 150


@scenario(450, kind="restart")
def restart_by_sigterm(env):
    restart(env, "TERM")


@scenario(450, kind="restart")
def restart_by_sigkill(env):
    restart(env, "KILL")


def restart(env, how):
    topic = env.topic("restart")
    got = Collector()
    env.push(env.group("restart"), topic, got)
    producer = env.producer(topic)
    across_restart(how, lambda body: producer.send(message(topic, body)), got, CONSUMED_SECONDS)
