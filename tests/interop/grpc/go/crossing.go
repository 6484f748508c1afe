package main

import (
	"strings"

	rmq "github.com/apache/rocketmq-clients/golang/v5"

	. "interop/runner"
)

var crossing = []scenario{
	{"from-remoting", "together", 120, fromRemoting},
	{"to-remoting", "together", 120, toRemoting},
}

const oddText = "a b=c;значение"

func fromRemoting(e *env) {
	topic := e.topic("from-remoting", "NORMAL", 4)
	got := &collector{}
	e.push(e.plainGroup("from-remoting"), topic, rmq.SUB_ALL, got.succeed)
	for _, body := range []string{"short äöü", "another"} {
		e.ask("send", object{"topic": topic, "body": body, "properties": map[string]string{
			"TAGS": "tag", "KEYS": "k1 k2", "UNIQ_KEY": "id of " + body, "text": oddText}})
	}
	got.awaitExactly("short äöü", "another")
	for _, m := range got.all() {
		Same("id of "+m.text, m.GetMessageId(), "message id")
		Same("tag", tag(m.MessageView), "tag")
		Same([]string{"k1", "k2"}, m.GetKeys(), "keys")
		Same(oddText, m.GetProperties()["text"], "property")
		Same(1, m.attempt, "delivery attempt")
	}
}

func toRemoting(e *env) {
	topic := e.topic("to-remoting", "NORMAL", 4)
	p := e.producer(topic)
	ids := map[string]string{}
	for _, body := range []string{"short äöü", strings.Repeat("long", 3000)} {
		m := message(topic, body)
		m.SetTag("tag")
		m.SetKeys("k1", "k2")
		m.AddProperty("text", oddText)
		ids[body] = send(p, m).MessageID
	}
	stored := e.stored(topic, 2)
	Same(2, len(stored), "messages stored")
	for _, m := range stored {
		Same(ids[m.Body], m.Properties["UNIQ_KEY"], "message id")
		Same("tag", m.Properties["TAGS"], "tag")
		Same("k1 k2", m.Properties["KEYS"], "keys")
		Same(oddText, m.Properties["text"], "property")
	}
}
