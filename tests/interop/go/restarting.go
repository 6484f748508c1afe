package main

import (
	"fmt"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	. "interop/runner"
)

var restarting = []scenario{
	{"restart-by-sigterm", "restart", 180, func(e *env) { restart(e, "TERM") }},
	{"restart-by-sigkill", "restart", 180, func(e *env) { restart(e, "KILL") }},
}

func restart(e *env, how string) {
	topic := e.topic("restart", 4)
	got := &collector{}
	e.push(e.group("restart"), topic, "*", got.listen)
	p := e.producer(producer.WithRetry(0), producer.WithSendMsgTimeout(3*time.Second))

	send := func(body string) error {
		r, err := p.SendSync(background, message(topic, body))
		if err == nil && r.Status != primitive.SendOK {
			err = fmt.Errorf("status %d", r.Status)
		}
		return err
	}
	traffic := Traffic{Senders: 4, Before: 3_000, Total: 10_000, Send: send}
	acknowledged, uncertain := traffic.AcrossRestart(how)
	got.awaitAll(acknowledged, time.Minute)

	stored := map[string]bool{}
	for _, body := range texts(e.stored(topic, len(acknowledged))) {
		That(!stored[body], "stored twice: %s", body)
		stored[body] = true
	}
	for _, body := range acknowledged {
		That(stored[body], "acknowledged but not stored: %s", body)
		delete(stored, body)
	}
	for body := range stored {
		That(uncertain[body], "stored but never sent: %s", body)
	}
}
