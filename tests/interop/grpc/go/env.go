package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
	v2 "github.com/apache/rocketmq-clients/golang/v5/protocol/v2"
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
	check(err)
	defer c.Close()
	line, err := json.Marshal(fields)
	check(err)
	_, err = c.Write(append(line, '\n'))
	check(err)
	var answer helperAnswer
	check(json.NewDecoder(bufio.NewReader(c)).Decode(&answer))
	that(answer.Error == "", "helper, %s: %s", verb, answer.Error)
	return answer
}

// env is what a scenario is given: names nobody used before, and clients that are closed when it ends.
type env struct {
	*server
	mutex   sync.Mutex
	closing []func() error
}

var (
	numbers atomic.Int64
	run     = time.Now().UnixMilli() % 1_000_000_000
)

func unique(stem string) string {
	return fmt.Sprintf("go-%s-%d-%d-%d", stem, run, os.Getpid(), numbers.Add(1))
}

func (e *env) closeLater(f func() error) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.closing = append(e.closing, f)
}

func (e *env) close() {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	for _, f := range e.closing {
		// The library waits for polls under way; nobody needs that.
		go func() { _ = f() }()
	}
}

func (e *env) topic(stem, kind string, queues int) string {
	name := unique(stem)
	e.changeType(name, kind, queues)
	return name
}

func (e *env) changeType(topic, kind string, queues int) {
	e.ask("topic", object{"name": topic, "type": kind, "queues": queues})
}

func (e *env) group(stem string, order bool, retries int) string {
	name := unique(stem)
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
	await(fmt.Sprintf("%d messages committed", count), limit, func() bool {
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
	check(err)
	patient(p)
	check(p.Start())
	e.closeLater(p.GracefulStop)
	return p
}

func (e *env) simple(group, topic string, filter *rmq.FilterExpression) rmq.SimpleConsumer {
	c, err := rmq.NewSimpleConsumer(e.config(group), rmq.WithSimpleAwaitDuration(poll),
		rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: filter}))
	check(err)
	patient(c)
	check(c.Start())
	e.closeLater(c.GracefulStop)
	return c
}

type listener = func(*rmq.MessageView) rmq.ConsumerResult

func (e *env) push(group, topic string, filter *rmq.FilterExpression, f listener) rmq.PushConsumer {
	c, err := rmq.NewPushConsumer(e.config(group), rmq.WithPushAwaitDuration(poll), rmq.WithPushConsumptionThreadCount(4),
		rmq.WithPushSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: filter}),
		rmq.WithPushMessageListener(&rmq.FuncMessageListener{Consume: f}))
	check(err)
	patient(c)
	check(c.Start())
	e.closeLater(c.GracefulStop)
	return c
}

func message(topic, body string) *rmq.Message {
	return &rmq.Message{Topic: topic, Body: []byte(body)}
}

func send(p rmq.Producer, m *rmq.Message) *rmq.SendReceipt {
	receipts, err := p.Send(background, m)
	check(err)
	that(len(receipts) == 1, "%d receipts", len(receipts))
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
	check(err)
	return got
}

// receive polls until there are so many messages, and leaves them without acknowledgement.
func receive(c rmq.SimpleConsumer, count int, invisible time.Duration) []*rmq.MessageView {
	var all []*rmq.MessageView
	await(fmt.Sprintf("%d messages received", count), limit, func() bool {
		all = append(all, receiveOnce(c, 32, invisible)...)
		return len(all) >= count
	})
	that(len(all) == count, "%d messages received, expected %d: %v", len(all), count, texts(all))
	return all
}

func ack(c rmq.SimpleConsumer, m *rmq.MessageView) {
	check(c.Ack(background, m))
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
	wanted := map[string]bool{}
	for _, b := range bodies {
		wanted[b] = true
	}
	seen := 0
	await(fmt.Sprintf("%d messages consumed", len(wanted)), limit, func() bool {
		arrivals := c.all()
		for ; seen < len(arrivals); seen++ {
			delete(wanted, arrivals[seen].text)
		}
		return len(wanted) == 0
	})
}

// awaitExactly waits for exactly these bodies in any order, and a moment longer for what should not come.
func (c *collector) awaitExactly(bodies ...string) {
	c.awaitAll(bodies, limit)
	time.Sleep(300 * time.Millisecond)
	same(sorted(bodies), sorted(c.texts("")), "consumed")
}

func texts(messages []*rmq.MessageView) []string {
	all := []string{}
	for _, m := range messages {
		all = append(all, string(m.GetBody()))
	}
	return all
}

func sorted(texts []string) []string {
	all := append([]string{}, texts...)
	sort.Strings(all)
	return all
}

func await(what string, limit time.Duration, holds func() bool) {
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(20 * time.Millisecond) {
		that(time.Now().Before(deadline), "%s: not within %v", what, limit)
	}
}

// Scenarios fail by panicking; the reporter recovers.

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func that(holds bool, format string, args ...interface{}) {
	if !holds {
		panic(fmt.Sprintf(format, args...))
	}
}

func same(expected, actual interface{}, what string) {
	e, a := fmt.Sprintf("%v", expected), fmt.Sprintf("%v", actual)
	that(e == a, "%s: expected %s, got %s", what, brief(e), brief(a))
}

// tag of a message that has one.
func tag(m *rmq.MessageView) string {
	if m.GetTag() == nil {
		return ""
	}
	return *m.GetTag()
}

func brief(text string) string {
	if len(text) > 200 {
		text = text[:200] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}
