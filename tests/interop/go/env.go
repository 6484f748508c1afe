package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	. "interop/runner"
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
	Check(err)
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
	Check(err)
	defer c.Close()
	Check(c.SetDeadline(time.Now().Add(10 * time.Second)))
	header, err := json.Marshal(map[string]interface{}{
		"code": code, "flag": 0, "language": "GO", "opaque": 1, "version": 493, "extFields": fields})
	Check(err)
	frame := make([]byte, 8, 8+len(header))
	binary.BigEndian.PutUint32(frame, uint32(4+len(header)))
	binary.BigEndian.PutUint32(frame[4:], uint32(len(header)))
	_, err = c.Write(append(frame, header...))
	Check(err)
	_, err = io.ReadFull(c, frame[:4])
	Check(err)
	answer := make([]byte, binary.BigEndian.Uint32(frame))
	_, err = io.ReadFull(c, answer)
	Check(err)
	end := 4 + binary.BigEndian.Uint32(answer)&0xffffff
	var decoded struct{ ExtFields map[string]string }
	Check(json.Unmarshal(answer[4:end], &decoded))
	return decoded.ExtFields, answer[end:]
}

// route is nil when the name server has none of the topic.
func route(namesrv, topic string) *routeData {
	_, body := ask(namesrv, 105, map[string]string{"topic": topic})
	if len(body) == 0 {
		return nil
	}
	r := &routeData{}
	Check(json.Unmarshal(body, r))
	return r
}

func maxOffset(broker, topic string, queue int) int {
	fields, _ := ask(broker, 30, map[string]string{"topic": topic, "queueId": strconv.Itoa(queue)})
	offset, err := strconv.Atoi(fields["offset"])
	Check(err)
	return offset
}

// env is what a scenario is given: the server, and a list of clients that are closed when it ends.
type env struct {
	*server
	*Closing
}

func (e *env) create(topic string, queues int) string {
	Check(e.admin.CreateTopic(background, admin.WithTopicCreate(topic), admin.WithBrokerAddrCreate(e.broker),
		admin.WithReadQueueNums(queues), admin.WithWriteQueueNums(queues), admin.WithPerm(6)))
	Await("the route of "+topic, 10*time.Second, func() bool { return route(e.namesrv, topic) != nil })
	return topic
}

func (e *env) topic(stem string, queues int) string {
	return e.create(Unique(stem), queues)
}

// group makes a name for a consumer group whose retry topic exists: the library would find one that is made later only
// with its next poll of the route, after up to 50 seconds.
func (e *env) group(stem string) string {
	group := Unique(stem)
	e.create("%RETRY%"+group, 1)
	return group
}

func (e *env) producer(options ...producer.Option) rocketmq.Producer {
	p, err := rocketmq.NewProducer(append([]producer.Option{
		producer.WithNameServer([]string{e.namesrv}), producer.WithGroupName(Unique("producer")),
		producer.WithInstanceName(Unique("p")), producer.WithSendMsgTimeout(10 * time.Second)}, options...)...)
	Check(err)
	Check(p.Start())
	e.CloseLater(p.Shutdown)
	return p
}

type listener = func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error)

func (e *env) push(group, topic, expression string, f listener, options ...consumer.Option) rocketmq.PushConsumer {
	c, err := rocketmq.NewPushConsumer(append([]consumer.Option{
		consumer.WithNameServer([]string{e.namesrv}), consumer.WithGroupName(group), consumer.WithInstance(Unique("c")),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset)}, options...)...)
	Check(err)
	Check(c.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: expression}, f))
	Check(c.Start())
	e.CloseLater(c.Shutdown)
	return c
}

func (e *env) pull(group, topic string) rocketmq.PullConsumer {
	c, err := rocketmq.NewPullConsumer(consumer.WithNameServer([]string{e.namesrv}), consumer.WithGroupName(group),
		consumer.WithInstance(Unique("l")), consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	Check(err)
	Check(c.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}))
	Check(c.Start())
	e.CloseLater(c.Shutdown)
	return c
}

// stored reads everything of a topic, queue by queue in order, once there are at least so many messages.
func (e *env) stored(topic string, atLeast int) []*primitive.MessageExt {
	reader := e.pull(e.group("reader"), topic)
	queues := route(e.namesrv, topic).QueueDatas[0].ReadQueueNums
	found := make([][]*primitive.MessageExt, queues)
	Await(fmt.Sprintf("%d messages in %s", atLeast, topic), 20*time.Second, func() bool {
		sum := 0
		for q := range found {
			// The library's pull waits at the end of a queue for 20 seconds.
			for max := maxOffset(e.broker, topic, q); len(found[q]) < max; {
				mq := &primitive.MessageQueue{Topic: topic, BrokerName: e.brokerName, QueueId: q}
				result, err := reader.PullFrom(background, mq, int64(len(found[q])), 32)
				Check(err)
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
	Await("silence", time.Minute, func() bool {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		return time.Since(c.last) > quiet
	})
}

// awaitAll waits until each of these bodies came at least once.
func (c *collector) awaitAll(bodies []string, limit time.Duration) {
	AwaitTexts(bodies, limit, func(from int) []string { return texts(c.all()[from:]) })
}

// awaitExactly waits for exactly these bodies in any order, and a moment longer for what should not come.
func (c *collector) awaitExactly(bodies []string, limit time.Duration) {
	c.awaitAll(bodies, limit)
	c.settle(300 * time.Millisecond)
	Same(Sorted(bodies), Sorted(texts(c.all())), "consumed")
}

func message(topic, body string) *primitive.Message {
	return primitive.NewMessage(topic, []byte(body))
}

func sendNumbered(p rocketmq.Producer, topic, prefix string, count int) []string {
	var bodies []string
	for i := 0; i < count; i++ {
		body := fmt.Sprintf("%s%d", prefix, i)
		_, err := p.SendSync(background, message(topic, body))
		Check(err)
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
