package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	. "interop/runner"
)

var producing = []scenario{
	{"send-sync", "together", 60, sendSync},
	{"send-async", "together", 60, sendAsync},
	{"send-oneway", "together", 60, sendOneway},
	{"send-batch", "together", 60, sendBatch},
	{"send-to-queue", "together", 60, sendToQueue},
	{"auto-topic-creation", "together", 60, autoCreate},
	{"big-body", "together", 60, bigBody},
	{"compressed-body", "together", 60, compressedBody},
	{"unicode-and-binary-bodies", "together", 60, unicodeAndBinary},
	{"properties-round-trip", "together", 60, properties},
	{"message-too-large", "together", 60, tooLarge},
	{"delay-level", "together", 60, delayLevel},
	{"admin-topic", "together", 60, adminTopic},
}

var messageID = regexp.MustCompile("^([0-9A-Fa-f]{32}|[0-9A-Fa-f]{56})$")

func sendSync(e *env) {
	topic := e.topic("sync", 4)
	p := e.producer()
	next, ids := map[int]int64{}, map[string]bool{}
	var sent []string
	for i := 0; i < 40; i++ {
		r, err := p.SendSync(background, message(topic, fmt.Sprint("m", i)))
		Check(err)
		sent = append(sent, fmt.Sprint("m", i))
		Same(primitive.SendOK, r.Status, "status")
		q := r.MessageQueue.QueueId
		That(q >= 0 && q < 4, "queue %d", q)
		Same(next[q], r.QueueOffset, "offset")
		next[q]++
		for _, id := range []string{r.MsgID, r.OffsetMsgID} {
			That(messageID.MatchString(id), "message id %s", id)
			That(!ids[id], "message id twice: %s", id)
			ids[id] = true
		}
	}
	stored := e.stored(topic, 40)
	Same(Sorted(sent), Sorted(texts(stored)), "stored")
	for _, m := range stored {
		That(ids[m.MsgId], "stored id %s was not answered", m.MsgId)
	}
}

func sendAsync(e *env) {
	topic := e.topic("async", 4)
	p := e.producer()
	var mutex sync.Mutex
	var failure error
	places := map[string]bool{}
	var sent []string
	var all sync.WaitGroup
	for i := 0; i < 200; i++ {
		all.Add(1)
		sent = append(sent, fmt.Sprint("m", i))
		Check(p.SendAsync(background, func(_ context.Context, r *primitive.SendResult, err error) {
			defer all.Done()
			mutex.Lock()
			defer mutex.Unlock()
			if err != nil {
				failure = err
				return
			}
			places[fmt.Sprint(r.MessageQueue.QueueId, ":", r.QueueOffset)] = true
		}, message(topic, fmt.Sprint("m", i))))
	}
	all.Wait()
	Check(failure)
	Same(200, len(places), "distinct places")
	Same(Sorted(sent), Sorted(texts(e.stored(topic, 200))), "stored")
}

func sendOneway(e *env) {
	topic := e.topic("oneway", 2)
	p := e.producer()
	var sent []string
	for i := 0; i < 50; i++ {
		Check(p.SendOneWay(background, message(topic, fmt.Sprint("m", i))))
		sent = append(sent, fmt.Sprint("m", i))
	}
	Same(Sorted(sent), Sorted(texts(e.stored(topic, 50))), "stored")
}

func sendBatch(e *env) {
	topic := e.topic("batch", 1)
	p := e.producer()
	var batch []*primitive.Message
	for i := 0; i < 20; i++ {
		m := message(topic, fmt.Sprint("m", i)).WithTag(fmt.Sprint("tag", i%3)).WithKeys([]string{fmt.Sprint("key", i)})
		m.WithProperty("n", fmt.Sprint(i))
		batch = append(batch, m)
	}
	r, err := p.SendSync(background, batch...)
	Check(err)
	Same(primitive.SendOK, r.Status, "status")
	Same(20, len(strings.Split(r.OffsetMsgID, ",")), "offset message ids")
	stored := e.stored(topic, 20)
	Same(20, len(stored), "stored")
	for i, m := range stored {
		Same(fmt.Sprint("m", i), string(m.Body), "body")
		Same(i, m.QueueOffset, "offset")
		Same(fmt.Sprint("tag", i%3), m.GetTags(), "tag")
		Same(fmt.Sprint("key", i), m.GetKeys(), "key")
		Same(fmt.Sprint(i), m.GetProperty("n"), "property")
	}
}

func sendToQueue(e *env) {
	topic := e.topic("queue", 4)
	p := e.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	for _, q := range []int{3, 0, 3, 3} {
		m := message(topic, fmt.Sprint("q", q))
		m.Queue = &primitive.MessageQueue{Topic: topic, BrokerName: e.brokerName, QueueId: q}
		r, err := p.SendSync(background, m)
		Check(err)
		Same(q, r.MessageQueue.QueueId, "queue")
	}
	Same([]string{"q0", "q3", "q3", "q3"}, texts(e.stored(topic, 4)), "stored")
}

func autoCreate(e *env) {
	topic := Unique("auto")
	p := e.producer()
	sendNumbered(p, topic, "m", 8)
	Await("the route", 10*time.Second, func() bool { return route(e.namesrv, topic) != nil })
	Same("[{4 4 6}]", route(e.namesrv, topic).QueueDatas, "read queues, write queues, perm")
	Same(8, len(e.stored(topic, 8)), "stored")
}

func bigBody(e *env) {
	topic := e.topic("big", 1)
	p := e.producer(producer.WithCompressMsgBodyOverHowmuch(1 << 30))
	body := make([]byte, 3_900_000)
	rand.New(rand.NewSource(1)).Read(body)
	for i := 0; i < 3; i++ {
		_, err := p.SendSync(background, primitive.NewMessage(topic, body))
		Check(err)
	}
	for _, m := range e.stored(topic, 3) {
		That(bytes.Equal(body, m.Body), "the body changed")
	}
}

func compressedBody(e *env) {
	topic := e.topic("compressed", 1)
	p := e.producer()
	body := strings.Repeat("repeat,", 20_000)
	_, err := p.SendSync(background, message(topic, body))
	Check(err)
	m := e.stored(topic, 1)[0]
	Same(body, string(m.Body), "body")
	That(int(m.StoreSize) < len(body)/10, "stored in %d bytes", m.StoreSize)
}

func unicodeAndBinary(e *env) {
	topic := e.topic("bodies", 1)
	p := e.producer()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	bodies := [][]byte{[]byte("żółć 漢字 🚀 \x01\x02"), every, {0}, {0xff, 0xfe}}
	for _, body := range bodies {
		_, err := p.SendSync(background, primitive.NewMessage(topic, body))
		Check(err)
	}
	for i, m := range e.stored(topic, len(bodies)) {
		That(bytes.Equal(bodies[i], m.Body), "body %d changed", i)
	}
}

func properties(e *env) {
	topic := e.topic("properties", 1)
	p := e.producer()
	m := message(topic, "body").WithTag("tag-ä").WithKeys([]string{"key1", "key2"})
	m.Flag = 12345
	m.WithProperty("ключ", "значение 漢字 🚀")
	m.WithProperty("spaces = : ; ,", " a=b:c;d,e ")
	before := time.Now().UnixMilli()
	r, err := p.SendSync(background, m)
	Check(err)
	stored := e.stored(topic, 1)[0]
	Same("tag-ä", stored.GetTags(), "tags")
	Same("key1 key2", strings.TrimSpace(stored.GetKeys()), "keys")
	Same(12345, stored.Flag, "flag")
	Same("значение 漢字 🚀", stored.GetProperty("ключ"), "unicode property")
	Same(" a=b:c;d,e ", stored.GetProperty("spaces = : ; ,"), "property with separators")
	Same(r.MsgID, stored.MsgId, "message id")
	Same(topic, stored.Topic, "topic")
	That(stored.StoreTimestamp-before < 10_000 && before-stored.StoreTimestamp < 10_000, "store timestamp")
}

func tooLarge(e *env) {
	topic := e.topic("too-large", 1)
	p := e.producer(producer.WithCompressMsgBodyOverHowmuch(1 << 30))
	_, err := p.SendSync(background, primitive.NewMessage(topic, make([]byte, 4<<20+1)))
	// The library wraps the answer in an error of its own that keeps the code only as text.
	That(err != nil && strings.Contains(err.Error(), "CODE: 13"), "expected code 13, got %v", err)
	r, err := p.SendSync(background, message(topic, "fits"))
	Check(err)
	Same(0, r.QueueOffset, "offset of the next message")
}

func delayLevel(e *env) {
	topic := e.topic("delay", 1)
	got := &collector{}
	e.push(e.group("delay"), topic, "*", got.listen)
	p := e.producer()
	sent := map[string]int64{}
	for _, level := range []int{2, 1, 0} {
		m := message(topic, fmt.Sprint("level", level))
		if level > 0 {
			m.WithDelayTimeLevel(level)
		}
		sent[string(m.Body)] = time.Now().UnixMilli()
		_, err := p.SendSync(background, m)
		Check(err)
	}
	got.awaitExactly([]string{"level0", "level1", "level2"}, 30*time.Second)
	delays := map[string]int64{"level0": 0, "level1": 1000, "level2": 5000}
	for _, m := range got.all() {
		took := m.StoreTimestamp - sent[string(m.Body)]
		delay := delays[string(m.Body)]
		That(took >= delay-5 && took <= delay+1500, "%s took %d ms", m.Body, took)
	}
}

func adminTopic(e *env) {
	topic := e.topic("admin", 3)
	Same("[{3 3 6}]", route(e.namesrv, topic).QueueDatas, "read queues, write queues, perm")
	listed := func() bool {
		list, err := e.admin.FetchAllTopicList(background)
		Check(err)
		for _, t := range list.TopicList {
			if t == topic {
				return true
			}
		}
		return false
	}
	That(listed(), "the topic is not listed")
	Check(e.admin.DeleteTopic(background, admin.WithTopicDelete(topic), admin.WithBrokerAddrDelete(e.broker),
		admin.WithNameSrvAddr([]string{e.namesrv})))
	That(!listed(), "the deleted topic is listed")
}
