package main

import (
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"

	. "interop/runner"
)

// What was on its way to the consumer comes again when its invisible time of a minute is over.
const restartConsumed = 150 * time.Second

var restarting = []scenario{
	{"restart-by-sigterm", "restart", 450, func(e *env) { restart(e, "TERM") }},
	{"restart-by-sigkill", "restart", 450, func(e *env) { restart(e, "KILL") }},
}

func restart(e *env, how string) {
	topic := e.topic("restart", "NORMAL", 4)
	got := &collector{}
	e.push(e.plainGroup("restart"), topic, rmq.SUB_ALL, got.succeed)
	p := e.producer(topic)
	send := func(body string) error {
		_, err := p.Send(background, message(topic, body))
		return err
	}
	traffic := Traffic{Senders: 2, Pause: 3 * time.Millisecond, Before: 300, Total: 900, Send: send}
	acknowledged, uncertain := traffic.AcrossRestart(how)
	got.awaitAll(acknowledged, restartConsumed)
	sent := map[string]bool{}
	for _, body := range acknowledged {
		sent[body] = true
	}
	for _, a := range got.all() {
		That(sent[a.text] || uncertain[a.text], "consumed but never sent: %s", a.text)
	}
}
