package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
	v2 "github.com/apache/rocketmq-clients/golang/v5/protocol/v2"

	. "interop/runner"
)

const (
	poll  = 5 * time.Second // a poll that finds nothing lasts this long; the proxy allows no less
	limit = time.Minute
	// The default of three seconds is short for two cores that run everything at once.
	requestLimit = 30 * time.Second
)

var background = context.Background()

// server is where everything is. The helper does for the scenarios what this client cannot; see helper.py.
type server struct {
	namesrv, grpc, helper string
}

func (s *server) address(flag, value string) {
	switch flag {
	case "--namesrv":
		s.namesrv = value
	case "--grpc":
		s.grpc = value
	case "--helper":
		s.helper = value
	}
}

type storedMessage struct {
	Body       string
	Properties map[string]string
	Queue      int
	Topic      string
}

type helperAnswer struct {
	Error     string
	Messages  []storedMessage
	Committed int
}

type object = map[string]interface{}

func (s *server) ask(verb string, fields object) helperAnswer {
	fields["do"] = verb
	c, err := net.Dial("tcp", s.helper)
	Check(err)
	defer c.Close()
	line, err := json.Marshal(fields)
	Check(err)
	_, err = c.Write(append(line, '\n'))
	Check(err)
	var answer helperAnswer
	Check(json.NewDecoder(bufio.NewReader(c)).Decode(&answer))
	That(answer.Error == "", "helper, %s: %s", verb, answer.Error)
	return answer
}

// env is what a scenario is given: the server, and a list of clients that are closed when it ends.
type env struct {
	*server
	*Closing
}

func (e *env) topic(stem, kind string, queues int) string {
	name := Unique(stem)
	e.changeType(name, kind, queues)
	return name
}

func (e *env) changeType(topic, kind string, queues int) {
	e.ask("topic", object{"name": topic, "type": kind, "queues": queues})
}

func (e *env) group(stem string, order bool, retries int) string {
	name := Unique(stem)
	e.ask("group", object{"name": name, "order": order, "retries": retries})
	return name
}

func (e *env) plainGroup(stem string) string {
	return e.group(stem, false, 16)
}

func (e *env) stored(topic string, count int) []storedMessage {
	return e.ask("stored", object{"topic": topic, "count": count}).Messages
}

func (e *env) awaitCommitted(topic, group string, count int) {
	Await(fmt.Sprintf("%d messages committed", count), limit, func() bool {
		return e.ask("committed", object{"topic": topic, "group": group}).Committed == count
	})
}

func (e *env) config(group string) *rmq.Config {
	return &rmq.Config{Endpoint: e.grpc, ConsumerGroup: group, Credentials: &credentials.SessionCredentials{}}
}

// patient gives a client that is not yet started time for its requests.
func patient(client interface{}) {
	client.(interface{ SetRequestTimeout(time.Duration) }).SetRequestTimeout(requestLimit)
}

func (e *env) producer(topic string, options ...rmq.ProducerOption) rmq.Producer {
	// The library's Start does not return for a producer without topics.
	p, err := rmq.NewProducer(e.config(""), append(options, rmq.WithTopics(topic))...)
	Check(err)
	patient(p)
	Check(p.Start())
	e.CloseLater(p.GracefulStop)
	return p
}

func (e *env) simple(group, topic string, filter *rmq.FilterExpression) rmq.SimpleConsumer {
	c, err := rmq.NewSimpleConsumer(e.config(group), rmq.WithSimpleAwaitDuration(poll),
		rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: filter}))
	Check(err)
	patient(c)
	Check(c.Start())
	e.CloseLater(c.GracefulStop)
	return c
}

type listener = func(*rmq.MessageView) rmq.ConsumerResult

func (e *env) push(group, topic string, filter *rmq.FilterExpression, f listener) rmq.PushConsumer {
	c, err := rmq.NewPushConsumer(e.config(group), rmq.WithPushAwaitDuration(poll), rmq.WithPushConsumptionThreadCount(4),
		rmq.WithPushSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: filter}),
		rmq.WithPushMessageListener(&rmq.FuncMessageListener{Consume: f}))
	Check(err)
	patient(c)
	Check(c.Start())
	e.CloseLater(c.GracefulStop)
	return c
}

func message(topic, body string) *rmq.Message {
	return &rmq.Message{Topic: topic, Body: []byte(body)}
}

func send(p rmq.Producer, m *rmq.Message) *rmq.SendReceipt {
	receipts, err := p.Send(background, m)
	Check(err)
	That(len(receipts) == 1, "%d receipts", len(receipts))
	return receipts[0]
}

func sendNumbered(p rmq.Producer, topic, prefix string, count int) []string {
	var bodies []string
	for i := 0; i < count; i++ {
		bodies = append(bodies, fmt.Sprint(prefix, i))
		send(p, message(topic, bodies[i]))
	}
	return bodies
}

// receiveOnce is one poll; the library reports a poll that found nothing as an error.
func receiveOnce(c rmq.SimpleConsumer, count int, invisible time.Duration) []*rmq.MessageView {
	got, err := c.Receive(background, int32(count), invisible)
	if codeOf(err) == int32(v2.Code_MESSAGE_NOT_FOUND) {
		return nil
	}
	Check(err)
	return got
}

// receive polls until there are so many messages, and leaves them without acknowledgement.
func receive(c rmq.SimpleConsumer, count int, invisible time.Duration) []*rmq.MessageView {
	var all []*rmq.MessageView
	Await(fmt.Sprintf("%d messages received", count), limit, func() bool {
		all = append(all, receiveOnce(c, 32, invisible)...)
		return len(all) >= count
	})
	That(len(all) == count, "%d messages received, expected %d: %v", len(all), count, texts(all))
	return all
}

func ack(c rmq.SimpleConsumer, m *rmq.MessageView) {
	Check(c.Ack(background, m))
}

func codeOf(err error) int32 {
	var status *rmq.ErrRpcStatus
	if errors.As(err, &status) {
		return status.Code
	}
	return 0
}

// arrival is a message as a push consumer was given it.
type arrival struct {
	*rmq.MessageView
	text    string
	attempt int32
	at      time.Time
}

type collector struct {
	mutex    sync.Mutex
	arrivals []arrival
}

func (c *collector) add(m *rmq.MessageView) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.arrivals = append(c.arrivals, arrival{m, string(m.GetBody()), m.GetDeliveryAttempt(), time.Now()})
}

func (c *collector) succeed(m *rmq.MessageView) rmq.ConsumerResult {
	c.add(m)
	return rmq.SUCCESS
}

func (c *collector) all() []arrival {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return append([]arrival(nil), c.arrivals...)
}

func (c *collector) of(text string) []arrival {
	var found []arrival
	for _, a := range c.all() {
		if a.text == text {
			found = append(found, a)
		}
	}
	return found
}

func (c *collector) texts(prefix string) []string {
	found := []string{}
	for _, a := range c.all() {
		if strings.HasPrefix(a.text, prefix) {
			found = append(found, a.text)
		}
	}
	return found
}

// awaitAll waits until each of these bodies came at least once.
func (c *collector) awaitAll(bodies []string, limit time.Duration) {
	AwaitTexts(bodies, limit, func(from int) []string { return c.texts("")[from:] })
}

// awaitExactly waits for exactly these bodies in any order, and a moment longer for what should not come.
func (c *collector) awaitExactly(bodies ...string) {
	c.awaitAll(bodies, limit)
	time.Sleep(300 * time.Millisecond)
	Same(Sorted(bodies), Sorted(c.texts("")), "consumed")
}

func texts(messages []*rmq.MessageView) []string {
	all := []string{}
	for _, m := range messages {
		all = append(all, string(m.GetBody()))
	}
	return all
}

// tag of a message that has one.
func tag(m *rmq.MessageView) string {
	if m.GetTag() == nil {
		return ""
	}
	return *m.GetTag()
}
