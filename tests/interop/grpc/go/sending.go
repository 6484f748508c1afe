package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	v2 "github.com/apache/rocketmq-clients/golang/v5/protocol/v2"

	. "interop/runner"
)

const (
	bodyBytesMax = 4 << 20
	// The library's simple consumer takes frames of 4 MiB at most, message and all.
	bodyBytesBack = bodyBytesMax - 16<<10
)

var sending = []scenario{
	{"async-send", "together", 120, asyncSend},
	{"large-body", "together", 120, largeBody},
	{"oversized-refused", "together", 120, oversized},
	{"illegal-topic", "together", 120, illegalTopic},
	{"wrong-message-type", "together", 120, wrongType},
}

func asyncSend(e *env) {
	topic := e.topic("async", "NORMAL", 4)
	p := e.producer(topic)
	var mutex sync.Mutex
	var bodies, ids []string
	var failure error
	var all sync.WaitGroup
	for i := 0; i < 300; i++ {
		bodies = append(bodies, fmt.Sprint("m", i))
		all.Add(1)
		p.SendAsync(background, message(topic, bodies[i]), func(_ context.Context, receipts []*rmq.SendReceipt, err error) {
			defer all.Done()
			mutex.Lock()
			defer mutex.Unlock()
			if err != nil {
				failure = err
				return
			}
			ids = append(ids, receipts[0].MessageID)
		})
	}
	all.Wait()
	Check(failure)
	var storedBodies, storedIds []string
	for _, m := range e.stored(topic, 300) {
		storedBodies = append(storedBodies, m.Body)
		storedIds = append(storedIds, m.Properties["UNIQ_KEY"])
	}
	Same(strings.Join(Sorted(bodies), " "), strings.Join(Sorted(storedBodies), " "), "stored")
	Same(strings.Join(Sorted(ids), " "), strings.Join(Sorted(storedIds), " "), "ids stored")
}

func largeBody(e *env) {
	topic := e.topic("large", "NORMAL", 4)
	p := e.producer(topic)
	body := make([]byte, bodyBytesBack)
	rand.New(rand.NewSource(1)).Read(body)
	send(p, &rmq.Message{Topic: topic, Body: body})
	c := e.simple(e.plainGroup("large"), topic, rmq.SUB_ALL)
	got := receive(c, 1, 30*time.Second)[0]
	That(bytes.Equal(body, got.GetBody()), "the body came back changed")
	ack(c, got)
	largest := e.topic("largest", "NORMAL", 4)
	send(p, message(largest, strings.Repeat("x", bodyBytesMax)))
	Same(bodyBytesMax, len(e.stored(largest, 1)[0].Body), "length of the largest body")
}

func oversized(e *env) {
	topic := e.topic("oversized", "NORMAL", 4)
	p := e.producer(topic)
	_, err := p.Send(background, &rmq.Message{Topic: topic, Body: make([]byte, bodyBytesMax+1)})
	That(err != nil, "a body of 4 MiB and a byte was accepted")
	many := message(topic, "properties")
	for i := 0; i < 17; i++ {
		many.AddProperty(fmt.Sprint("p", i), strings.Repeat("v", 1024))
	}
	refused(p, many, v2.Code_MESSAGE_PROPERTIES_TOO_LARGE)
	reserved := message(topic, "reserved")
	reserved.AddProperty("KEYS", "v")
	refused(p, reserved, v2.Code_ILLEGAL_MESSAGE_PROPERTY_KEY)
	send(p, message(topic, "fits"))
	stored := e.stored(topic, 1)
	Same(1, len(stored), "messages stored")
	Same("fits", stored[0].Body, "the only message stored")
}

func illegalTopic(e *env) {
	topic := e.topic("legal", "NORMAL", 4)
	refused(e.producer(topic), message(Unique("nobody"), "m"), v2.Code_TOPIC_NOT_FOUND)
	refused(e.producer(topic), message("SCHEDULE_TOPIC_XXXX", "m"), v2.Code_ILLEGAL_TOPIC)
	refused(e.producer(topic), message(strings.Repeat("t", 128), "m"), v2.Code_ILLEGAL_TOPIC)
	refused(e.producer(topic), message("not a topic!", "m"), v2.Code_ILLEGAL_TOPIC)
	send(e.producer(topic), message(topic, "m"))
	Same(1, len(e.stored(topic, 1)), "messages stored")
}

func wrongType(e *env) {
	topic := e.topic("type", "NORMAL", 1)
	p := e.producer(topic)
	fifo := message(topic, "fifo")
	fifo.SetMessageGroup("g")
	_, err := p.Send(background, fifo)
	That(err != nil, "a message group in a normal topic was accepted")
	late := message(topic, "late")
	late.SetDelayTimestamp(time.Now().Add(5 * time.Second))
	_, err = p.Send(background, late)
	That(err != nil, "a delay in a normal topic was accepted")
	send(p, message(topic, "normal"))
	// The producer keeps the old route for a while, so the server has to notice.
	e.changeType(topic, "FIFO", 1)
	refused(p, message(topic, "m"), v2.Code_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE)
	stored := e.stored(topic, 1)
	Same(1, len(stored), "messages stored")
	Same("normal", stored[0].Body, "the only message stored")
}

func refused(p rmq.Producer, m *rmq.Message, code v2.Code) {
	_, err := p.Send(background, m)
	That(err != nil, "%s expected, the message was accepted", code)
	// What a retry of the library wraps is text only.
	That(codeOf(err) == int32(code) || strings.Contains(err.Error(), code.String()), "%s expected, got %v", code, err)
}
