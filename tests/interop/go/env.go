package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

var background = context.Background()

// server is what is under test. The library's own administration client serves all scenarios.
type server struct {
	namesrv, broker, brokerName string
	admin                       interface {
		CreateTopic(context.Context, ...admin.OptionCreate) error
		DeleteTopic(context.Context, ...admin.OptionDelete) error
		FetchAllTopicList(context.Context) (*admin.TopicList, error)
	}
}

func newServer(namesrv string) *server {
	s := &server{namesrv: namesrv}
	r := route(namesrv, "TBW102")
	s.brokerName, s.broker = r.BrokerDatas[0].BrokerName, r.BrokerDatas[0].BrokerAddrs["0"]
	a, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver([]string{namesrv})))
	check(err)
	s.admin = a
	return s
}

type routeData struct {
	BrokerDatas []struct {
		BrokerName  string
		BrokerAddrs map[string]string
	}
	QueueDatas []struct{ ReadQueueNums, WriteQueueNums, Perm int }
}

// ask sends one request by hand, for what the library keeps to itself, and returns the answer's fields and body.
func ask(address string, code int, fields map[string]string) (map[string]string, []byte) {
	c, err := net.Dial("tcp", address)
	check(err)
	defer c.Close()
	check(c.SetDeadline(time.Now().Add(10 * time.Second)))
	header, err := json.Marshal(map[string]interface{}{
		"code": code, "flag": 0, "language": "GO", "opaque": 1, "version": 493, "extFields": fields})
	check(err)
	frame := make([]byte, 8, 8+len(header))
	binary.BigEndian.PutUint32(frame, uint32(4+len(header)))
	binary.BigEndian.PutUint32(frame[4:], uint32(len(header)))
	_, err = c.Write(append(frame, header...))
	check(err)
	_, err = io.ReadFull(c, frame[:4])
	check(err)
	answer := make([]byte, binary.BigEndian.Uint32(frame))
	_, err = io.ReadFull(c, answer)
	check(err)
	end := 4 + binary.BigEndian.Uint32(answer)&0xffffff
	var decoded struct{ ExtFields map[string]string }
	check(json.Unmarshal(answer[4:end], &decoded))
	return decoded.ExtFields, answer[end:]
}

// route is nil when the name server has none of the topic.
func route(namesrv, topic string) *routeData {
	_, body := ask(namesrv, 105, map[string]string{"topic": topic})
	if len(body) == 0 {
		return nil
	}
	r := &routeData{}
	check(json.Unmarshal(body, r))
	return r
}

func maxOffset(broker, topic string, queue int) int {
	fields, _ := ask(broker, 30, map[string]string{"topic": topic, "queueId": strconv.Itoa(queue)})
	offset, err := strconv.Atoi(fields["offset"])
	check(err)
	return offset
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
	return fmt.Sprintf("%s-%d-%d-%d", stem, run, os.Getpid(), numbers.Add(1))
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
		_ = f()
	}
}

func (e *env) create(topic string, queues int) string {
	check(e.admin.CreateTopic(background, admin.WithTopicCreate(topic), admin.WithBrokerAddrCreate(e.broker),
		admin.WithReadQueueNums(queues), admin.WithWriteQueueNums(queues), admin.WithPerm(6)))
	await("the route of "+topic, 10*time.Second, func() bool { return route(e.namesrv, topic) != nil })
	return topic
}

func (e *env) topic(stem string, queues int) string {
	return e.create(unique(stem), queues)
}

// group makes a name for a consumer group whose retry topic exists: the library would find one that is made later only
// with its next poll of the route, after up to 50 seconds.
func (e *env) group(stem string) string {
	group := unique(stem)
	e.create("%RETRY%"+group, 1)
	return group
}

func (e *env) producer(options ...producer.Option) rocketmq.Producer {
	p, err := rocketmq.NewProducer(append([]producer.Option{
		producer.WithNameServer([]string{e.namesrv}), producer.WithGroupName(unique("producer")),
		producer.WithInstanceName(unique("p")), producer.WithSendMsgTimeout(10 * time.Second)}, options...)...)
	check(err)
	check(p.Start())
	e.closeLater(p.Shutdown)
	return p
}

type listener = func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error)

func (e *env) push(group, topic, expression string, f listener, options ...consumer.Option) rocketmq.PushConsumer {
	c, err := rocketmq.NewPushConsumer(append([]consumer.Option{
		consumer.WithNameServer([]string{e.namesrv}), consumer.WithGroupName(group), consumer.WithInstance(unique("c")),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset)}, options...)...)
	check(err)
	check(c.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: expression}, f))
	check(c.Start())
	e.closeLater(c.Shutdown)
	return c
}

func (e *env) pull(group, topic string) rocketmq.PullConsumer {
	c, err := rocketmq.NewPullConsumer(consumer.WithNameServer([]string{e.namesrv}), consumer.WithGroupName(group),
		consumer.WithInstance(unique("l")), consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	check(err)
	check(c.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}))
	check(c.Start())
	e.closeLater(c.Shutdown)
	return c
}

// stored reads everything of a topic, queue by queue in order, once there are at least so many messages.
func (e *env) stored(topic string, atLeast int) []*primitive.MessageExt {
	reader := e.pull(e.group("reader"), topic)
	queues := route(e.namesrv, topic).QueueDatas[0].ReadQueueNums
	found := make([][]*primitive.MessageExt, queues)
	await(fmt.Sprintf("%d messages in %s", atLeast, topic), 20*time.Second, func() bool {
		sum := 0
		for q := range found {
			// The library's pull waits at the end of a queue for 20 seconds.
			for max := maxOffset(e.broker, topic, q); len(found[q]) < max; {
				mq := &primitive.MessageQueue{Topic: topic, BrokerName: e.brokerName, QueueId: q}
				result, err := reader.PullFrom(background, mq, int64(len(found[q])), 32)
				check(err)
				if result.Status != primitive.PullFound {
					break
				}
				found[q] = append(found[q], result.GetMessageExts()...)
			}
			sum += len(found[q])
		}
		return sum >= atLeast
	})
	var all []*primitive.MessageExt
	for _, queue := range found {
		all = append(all, queue...)
	}
	return all
}

// collector keeps what consumers were given, in the order of arrival.
type collector struct {
	mutex    sync.Mutex
	messages []*primitive.MessageExt
	last     time.Time
}

func (c *collector) listen(_ context.Context, batch ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.messages = append(c.messages, batch...)
	c.last = time.Now()
	return consumer.ConsumeSuccess, nil
}

func (c *collector) all() []*primitive.MessageExt {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return append([]*primitive.MessageExt(nil), c.messages...)
}

func (c *collector) size() int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return len(c.messages)
}

func (c *collector) settle(quiet time.Duration) {
	await("silence", time.Minute, func() bool {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		return time.Since(c.last) > quiet
	})
}

// awaitAll waits until each of these bodies came at least once.
func (c *collector) awaitAll(bodies []string, limit time.Duration) {
	wanted := map[string]bool{}
	for _, b := range bodies {
		wanted[b] = true
	}
	seen := 0
	await(fmt.Sprintf("%d messages consumed", len(wanted)), limit, func() bool {
		messages := c.all()
		for ; seen < len(messages); seen++ {
			delete(wanted, string(messages[seen].Body))
		}
		return len(wanted) == 0
	})
}

// awaitExactly waits for exactly these bodies in any order, and a moment longer for what should not come.
func (c *collector) awaitExactly(bodies []string, limit time.Duration) {
	c.awaitAll(bodies, limit)
	c.settle(300 * time.Millisecond)
	same(sorted(bodies), sorted(texts(c.all())), "consumed")
}

func message(topic, body string) *primitive.Message {
	return primitive.NewMessage(topic, []byte(body))
}

func sendNumbered(p rocketmq.Producer, topic, prefix string, count int) []string {
	var bodies []string
	for i := 0; i < count; i++ {
		body := fmt.Sprintf("%s%d", prefix, i)
		_, err := p.SendSync(background, message(topic, body))
		check(err)
		bodies = append(bodies, body)
	}
	return bodies
}

func texts(messages []*primitive.MessageExt) []string {
	var all []string
	for _, m := range messages {
		all = append(all, string(m.Body))
	}
	return all
}

func sorted(texts []string) []string {
	all := append([]string(nil), texts...)
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

func brief(text string) string {
	if len(text) > 200 {
		text = text[:200] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}
