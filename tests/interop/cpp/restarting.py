"""The server goes away and comes back while a producer and a push consumer work."""

from env import Collector, message
from harness import scenario
from rocketmq.client import SendStatus
from traffic import across_restart

CONSUMED_SECONDS = 90


@scenario(300, kind="restart")
def restart_by_sigterm(env):
    restart(env, "TERM")


@scenario(300, kind="restart")
def restart_by_sigkill(env):
    restart(env, "KILL")


def restart(env, how):
    topic = env.topic("restart", 4)
    got = Collector()
    env.push(env.group("restart"), topic, got)
    producer = env.producer()

    def send(body):
        status = producer.send_sync(message(topic, body)).status
        assert status == SendStatus.OK, status

    across_restart(how, send, got, CONSUMED_SECONDS)
