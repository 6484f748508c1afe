package main

import (
	"fmt"
	"strings"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"

	. "interop/runner"
)

const (
	short = 10 * time.Second // the shortest invisible time that a proxy accepts
	long  = 5 * time.Minute
)

var receiving = []scenario{
	{"simple-consumer", "together", 120, sendAndReceive},
	{"redelivery", "together", 120, redelivery},
	{"change-invisible-shorter", "together", 120, shorter},
	{"change-invisible-longer", "together", 120, longer},
	{"fifo-order", "together", 120, fifoOrder},
	{"fifo-blocking", "together", 120, fifoBlocking},
	{"tag-filter", "together", 120, tagFilter},
	{"sql-filter", "together", 120, sqlFilter},
	// The library's Start waits for settings without end; this shows sooner that none come.
	{"unknown-group", "together", 45, unknownGroup},
}

func sendAndReceive(e *env) {
	topic, group := e.topic("simple", "NORMAL", 4), e.plainGroup("simple")
	p := e.producer(topic)
	before := time.Now().Truncate(time.Millisecond)
	sent := map[string]string{}
	for i := 0; i < 12; i++ {
		m := message(topic, fmt.Sprintf("m%d äöü 消息", i))
		m.SetTag(fmt.Sprint("t", i%3))
		m.SetKeys(fmt.Sprint("k", i), "all")
		m.AddProperty("n", fmt.Sprint(i))
		m.AddProperty("text", "a b=c;значение")
		sent[send(p, m).MessageID] = string(m.Body)
	}
	after := time.Now()
	c := e.simple(group, topic, rmq.SUB_ALL)
	received := time.Now()
	for _, m := range receive(c, 12, short) {
		Same(sent[m.GetMessageId()], string(m.GetBody()), "body by message id")
		delete(sent, m.GetMessageId())
		var n int
		_, err := fmt.Sscan(m.GetProperties()["n"], &n)
		Check(err)
		Same(fmt.Sprintf("m%d äöü 消息", n), string(m.GetBody()), "body by property")
		Same(topic, m.GetTopic(), "topic")
		Same(fmt.Sprint("t", n%3), tag(m), "tag")
		Same([]string{fmt.Sprint("k", n), "all"}, m.GetKeys(), "keys")
		Same(map[string]string{"n": fmt.Sprint(n), "text": "a b=c;значение"}, m.GetProperties(), "properties")
		Same(1, m.GetDeliveryAttempt(), "delivery attempt")
		born := *m.GetBornTimestamp()
		That(!born.Before(before) && !born.After(after), "born at %v", born)
		ack(c, m)
	}
	e.awaitCommitted(topic, group, 12)
	time.Sleep(time.Until(received.Add(short + time.Second)))
	Same(0, len(receiveOnce(c, 32, short)), "received after the acknowledgement")
}

func redelivery(e *env) {
	topic := e.topic("again", "NORMAL", 1)
	p := e.producer(topic)
	for _, body := range []string{"a", "b", "c"} {
		m := message(topic, body)
		m.SetTag("t")
		m.SetKeys("k-" + body)
		m.AddProperty("p", body)
		send(p, m)
	}
	c := e.simple(e.plainGroup("again"), topic, rmq.SUB_ALL)
	asked := time.Now()
	ids := map[string]string{}
	for _, m := range receive(c, 3, short) {
		ids[string(m.GetBody())] = m.GetMessageId()
		if string(m.GetBody()) == "b" {
			ack(c, m)
		}
	}
	for attempt := 2; attempt <= 3; attempt++ {
		again := receive(c, 2, short)
		waited := time.Since(asked)
		That(waited >= time.Duration(attempt-1)*short, "came back after %v", waited)
		Same([]string{"a", "c"}, Sorted(texts(again)), "came back")
		for _, m := range again {
			body := string(m.GetBody())
			Same(attempt, m.GetDeliveryAttempt(), "delivery attempt")
			Same(ids[body], m.GetMessageId(), "message id")
			Same(topic, m.GetTopic(), "topic")
			Same("t", tag(m), "tag")
			Same([]string{"k-" + body}, m.GetKeys(), "keys")
			Same(body, m.GetProperties()["p"], "property")
			if attempt == 3 {
				ack(c, m)
			}
		}
	}
}

func shorter(e *env) {
	topic := e.topic("shorter", "NORMAL", 1)
	send(e.producer(topic), message(topic, "m"))
	c := e.simple(e.plainGroup("shorter"), topic, rmq.SUB_ALL)
	m := receive(c, 1, long)[0]
	changed := time.Now()
	Check(c.ChangeInvisibleDuration(m, 3*time.Second))
	again := receive(c, 1, long)[0]
	That(time.Since(changed) >= 3*time.Second, "came back after %v", time.Since(changed))
	Same("m", string(again.GetBody()), "body")
	Same(2, again.GetDeliveryAttempt(), "delivery attempt")
	ack(c, again)
}

func longer(e *env) {
	topic := e.topic("longer", "NORMAL", 1)
	p := e.producer(topic)
	c := e.simple(e.plainGroup("longer"), topic, rmq.SUB_ALL)
	// The acknowledgement needs the handle that the change gave.
	send(p, message(topic, "acked"))
	acked := receive(c, 1, short)[0]
	Check(c.ChangeInvisibleDuration(acked, 15*time.Second))
	ack(c, acked)
	send(p, message(topic, "kept"))
	kept := receive(c, 1, short)[0]
	changed := time.Now()
	Check(c.ChangeInvisibleDuration(kept, 18*time.Second))
	again := receive(c, 1, long)[0]
	That(time.Since(changed) >= 17500*time.Millisecond, "came back after %v", time.Since(changed))
	Same("kept", string(again.GetBody()), "came back")
	Same(2, again.GetDeliveryAttempt(), "delivery attempt")
	ack(c, again)
}

var colors = []string{"red", "green", "blue"}

func sendColors(p rmq.Producer, topic string, count int) []string {
	var bodies []string
	for i := 0; i < count; i++ {
		for _, color := range colors {
			m := message(topic, fmt.Sprint(color, i))
			m.SetMessageGroup(color)
			send(p, m)
			bodies = append(bodies, string(m.Body))
		}
	}
	return bodies
}

func fifoOrder(e *env) {
	topic, group := e.topic("fifo", "FIFO", 4), e.group("fifo", true, 16)
	sendColors(e.producer(topic), topic, 8)
	c := e.simple(group, topic, rmq.SUB_ALL)
	got, seen := map[string][]string{}, map[string]bool{}
	count := 0
	Await("all in order", limit, func() bool {
		for _, m := range receiveOnce(c, 5, long) {
			ack(c, m)
			// What the proxy could not write in time it gives again, and says so.
			if m.GetDeliveryAttempt() == 1 || !seen[string(m.GetBody())] {
				seen[string(m.GetBody())] = true
				got[*m.GetMessageGroup()] = append(got[*m.GetMessageGroup()], string(m.GetBody()))
				count++
			}
		}
		return count >= 24
	})
	for _, color := range colors {
		var wanted []string
		for i := 0; i < 8; i++ {
			wanted = append(wanted, fmt.Sprint(color, i))
		}
		Same(wanted, got[color], "group "+color)
	}
}

// Nothing of a message group is delivered while an earlier message is neither acknowledged nor due again.
func fifoBlocking(e *env) {
	topic, group := e.topic("blocking", "FIFO", 4), e.group("blocking", true, 16)
	p := e.producer(topic)
	for i := 0; i < 3; i++ {
		m := message(topic, fmt.Sprint("m", i))
		m.SetMessageGroup("one")
		send(p, m)
	}
	c := e.simple(group, topic, rmq.SUB_ALL)
	one := func(invisible time.Duration) *rmq.MessageView {
		var got []*rmq.MessageView
		Await("a message", limit, func() bool {
			got = receiveOnce(c, 1, invisible)
			return len(got) > 0
		})
		Same(1, len(got), "messages of a receive for one")
		return got[0]
	}
	first := one(long)
	Same("m0", string(first.GetBody()), "first")
	Same(0, len(receiveOnce(c, 1, long)), "received while m0 is held")
	ack(c, first)

	asked := time.Now()
	second := one(short)
	Same("m1", string(second.GetBody()), "second")
	// Not acknowledged: it comes again, before the third.
	again := one(long)
	That(time.Since(asked) >= short, "came back after %v", time.Since(asked))
	Same("m1", string(again.GetBody()), "after the invisible time")
	Same(2, again.GetDeliveryAttempt(), "delivery attempt")
	ack(c, again)
	third := one(long)
	Same("m2", string(third.GetBody()), "third")
	ack(c, third)
	e.awaitCommitted(topic, group, 3)
}

func tagFilter(e *env) {
	topic := e.topic("tags", "NORMAL", 4)
	p := e.producer(topic)
	var wanted []string
	for i := 0; i < 20; i++ {
		color := append(colors, "")[i%4]
		m := message(topic, fmt.Sprint(color, i))
		if color != "" {
			m.SetTag(color)
		}
		send(p, m)
		if color == "red" || color == "blue" {
			wanted = append(wanted, string(m.Body))
		}
	}
	c := e.simple(e.plainGroup("tags"), topic, rmq.NewFilterExpression("red || blue"))
	Same(Sorted(wanted), Sorted(texts(receive(c, len(wanted), long))), "received")
	Same(0, len(receiveOnce(c, 32, long)), "received beyond these")
}

func sqlFilter(e *env) {
	topic := e.topic("sql", "NORMAL", 4)
	c := e.simple(e.plainGroup("sql"), topic, rmq.NewFilterExpressionWithType(
		"n BETWEEN 3 AND 12 AND (color = 'red' OR color IS NULL) AND TAGS = 't'", rmq.SQL92))
	p := e.producer(topic)
	var wanted []string
	for i := 0; i < 20; i++ {
		m := message(topic, fmt.Sprint("m", i))
		m.SetTag("t")
		m.AddProperty("n", fmt.Sprint(i))
		if i%3 < 2 {
			m.AddProperty("color", []string{"red", "blue"}[i%3])
		}
		send(p, m)
		if i >= 3 && i <= 12 && i%3 != 1 {
			wanted = append(wanted, string(m.Body))
		}
	}
	Same(Sorted(wanted), Sorted(texts(receive(c, len(wanted), long))), "received")
	Same(0, len(receiveOnce(c, 32, long)), "received beyond these")
}

func unknownGroup(e *env) {
	topic := e.topic("unknown", "NORMAL", 4)
	send(e.producer(topic), message(topic, "m"))
	c := e.simple(Unique("nobody-made"), topic, rmq.SUB_ALL)
	m := receive(c, 1, long)[0]
	Same("m", string(m.GetBody()), "received by the simple consumer")
	ack(c, m)
	got := &collector{}
	e.push(Unique("nobody-made"), topic, rmq.SUB_ALL, got.succeed)
	got.awaitExactly(strings.Fields("m")...)
}
