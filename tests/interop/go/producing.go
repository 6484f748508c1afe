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
	topic := e.topic("go-sync", 4)
	p := e.producer()
	next, ids := map[int]int64{}, map[string]bool{}
	var sent []string
	for i := 0; i < 40; i++ {
		r, err := p.SendSync(background, message(topic, fmt.Sprint("m", i)))
		check(err)
		sent = append(sent, fmt.Sprint("m", i))
		same(primitive.SendOK, r.Status, "status")
		q := r.MessageQueue.QueueId
		that(q >= 0 && q < 4, "queue %d", q)
		same(next[q], r.QueueOffset, "offset")
		next[q]++
		for _, id := range []string{r.MsgID, r.OffsetMsgID} {
			that(messageID.MatchString(id), "message id %s", id)
			that(!ids[id], "message id twice: %s", id)
			ids[id] = true
		}
	}
	stored := e.stored(topic, 40)
	same(sorted(sent), sorted(texts(stored)), "stored")
	for _, m := range stored {
		that(ids[m.MsgId], "stored id %s was not answered", m.MsgId)
	}
}

func sendAsync(e *env) {
	topic := e.topic("go-async", 4)
	p := e.producer()
	var mutex sync.Mutex
	var failure error
	places := map[string]bool{}
	var sent []string
	var all sync.WaitGroup
	for i := 0; i < 200; i++ {
		all.Add(1)
		sent = append(sent, fmt.Sprint("m", i))
		check(p.SendAsync(background, func(_ context.Context, r *primitive.SendResult, err error) {
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
	check(failure)
	same(200, len(places), "distinct places")
	same(sorted(sent), sorted(texts(e.stored(topic, 200))), "stored")
}

func sendOneway(e *env) {
	topic := e.topic("go-oneway", 2)
	p := e.producer()
	var sent []string
	for i := 0; i < 50; i++ {
		check(p.SendOneWay(background, message(topic, fmt.Sprint("m", i))))
		sent = append(sent, fmt.Sprint("m", i))
	}
	same(sorted(sent), sorted(texts(e.stored(topic, 50))), "stored")
}

func sendBatch(e *env) {
	topic := e.topic("go-batch", 1)
	p := e.producer()
	var batch []*primitive.Message
	for i := 0; i < 20; i++ {
		m := message(topic, fmt.Sprint("m", i)).WithTag(fmt.Sprint("tag", i%3)).WithKeys([]string{fmt.Sprint("key", i)})
		m.WithProperty("n", fmt.Sprint(i))
		batch = append(batch, m)
	}
	r, err := p.SendSync(background, batch...)
	check(err)
	same(primitive.SendOK, r.Status, "status")
	same(20, len(strings.Split(r.OffsetMsgID, ",")), "offset message ids")
	stored := e.stored(topic, 20)
	same(20, len(stored), "stored")
	for i, m := range stored {
		same(fmt.Sprint("m", i), string(m.Body), "body")
		same(i, m.QueueOffset, "offset")
		same(fmt.Sprint("tag", i%3), m.GetTags(), "tag")
		same(fmt.Sprint("key", i), m.GetKeys(), "key")
		same(fmt.Sprint(i), m.GetProperty("n"), "property")
	}
}

func sendToQueue(e *env) {
	topic := e.topic("go-queue", 4)
	p := e.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	for _, q := range []int{3, 0, 3, 3} {
		m := message(topic, fmt.Sprint("q", q))
		m.Queue = &primitive.MessageQueue{Topic: topic, BrokerName: e.brokerName, QueueId: q}
		r, err := p.SendSync(background, m)
		check(err)
		same(q, r.MessageQueue.QueueId, "queue")
	}
	same([]string{"q0", "q3", "q3", "q3"}, texts(e.stored(topic, 4)), "stored")
}

func autoCreate(e *env) {
	topic := unique("go-auto")
	p := e.producer()
	sendNumbered(p, topic, "m", 8)
	await("the route", 10*time.Second, func() bool { return route(e.namesrv, topic) != nil })
	same("[{4 4 6}]", route(e.namesrv, topic).QueueDatas, "read queues, write queues, perm")
	same(8, len(e.stored(topic, 8)), "stored")
}

func bigBody(e *env) {
	topic := e.topic("go-big", 1)
	p := e.producer(producer.WithCompressMsgBodyOverHowmuch(1 << 30))
	body := make([]byte, 3_900_000)
	rand.New(rand.NewSource(1)).Read(body)
	for i := 0; i < 3; i++ {
		_, err := p.SendSync(background, primitive.NewMessage(topic, body))
		check(err)
	}
	for _, m := range e.stored(topic, 3) {
		that(bytes.Equal(body, m.Body), "the body changed")
	}
}

func compressedBody(e *env) {
	topic := e.topic("go-compressed", 1)
	p := e.producer()
	body := strings.Repeat("repeat,", 20_000)
	_, err := p.SendSync(background, message(topic, body))
	check(err)
	m := e.stored(topic, 1)[0]
	same(body, string(m.Body), "body")
	that(int(m.StoreSize) < len(body)/10, "stored in %d bytes", m.StoreSize)
}

func unicodeAndBinary(e *env) {
	topic := e.topic("go-bodies", 1)
	p := e.producer()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	bodies := [][]byte{[]byte("żółć 漢字 🚀 \x01\x02"), every, {0}, {0xff, 0xfe}}
	for _, body := range bodies {
		_, err := p.SendSync(background, primitive.NewMessage(topic, body))
		check(err)
	}
	for i, m := range e.stored(topic, len(bodies)) {
		that(bytes.Equal(bodies[i], m.Body), "body %d changed", i)
	}
}

func properties(e *env) {
	topic := e.topic("go-properties", 1)
	p := e.producer()
	m := message(topic, "body").WithTag("tag-ä").WithKeys([]string{"key1", "key2"})
	m.Flag = 12345
	m.WithProperty("ключ", "значение 漢字 🚀")
	m.WithProperty("spaces = : ; ,", " a=b:c;d,e ")
	before := time.Now().UnixMilli()
	r, err := p.SendSync(background, m)
	check(err)
	stored := e.stored(topic, 1)[0]
	same("tag-ä", stored.GetTags(), "tags")
	same("key1 key2", strings.TrimSpace(stored.GetKeys()), "keys")
	same(12345, stored.Flag, "flag")
	same("значение 漢字 🚀", stored.GetProperty("ключ"), "unicode property")
	same(" a=b:c;d,e ", stored.GetProperty("spaces = : ; ,"), "property with separators")
	same(r.MsgID, stored.MsgId, "message id")
	same(topic, stored.Topic, "topic")
	that(stored.StoreTimestamp-before < 10_000 && before-stored.StoreTimestamp < 10_000, "store timestamp")
}

func tooLarge(e *env) {
	topic := e.topic("go-too-large", 1)
	p := e.producer(producer.WithCompressMsgBodyOverHowmuch(1 << 30))
	_, err := p.SendSync(background, primitive.NewMessage(topic, make([]byte, 4<<20+1)))
	// The library wraps the answer in an error of its own that keeps the code only as text.
	that(err != nil && strings.Contains(err.Error(), "CODE: 13"), "expected code 13, got %v", err)
	r, err := p.SendSync(background, message(topic, "fits"))
	check(err)
	same(0, r.QueueOffset, "offset of the next message")
}

func delayLevel(e *env) {
	topic := e.topic("go-delay", 1)
	got := &collector{}
	e.push(e.group("go-delay"), topic, "*", got.listen)
	p := e.producer()
	sent := map[string]int64{}
	for _, level := range []int{2, 1, 0} {
		m := message(topic, fmt.Sprint("level", level))
		if level > 0 {
			m.WithDelayTimeLevel(level)
		}
		sent[string(m.Body)] = time.Now().UnixMilli()
		_, err := p.SendSync(background, m)
		check(err)
	}
	got.awaitExactly([]string{"level0", "level1", "level2"}, 30*time.Second)
	delays := map[string]int64{"level0": 0, "level1": 1000, "level2": 5000}
	for _, m := range got.all() {
		took := m.StoreTimestamp - sent[string(m.Body)]
		delay := delays[string(m.Body)]
		that(took >= delay-5 && took <= delay+1500, "%s took %d ms", m.Body, took)
	}
}

func adminTopic(e *env) {
	topic := e.topic("go-admin", 3)
	same("[{3 3 6}]", route(e.namesrv, topic).QueueDatas, "read queues, write queues, perm")
	listed := func() bool {
		list, err := e.admin.FetchAllTopicList(background)
		check(err)
		for _, t := range list.TopicList {
			if t == topic {
				return true
			}
		}
		return false
	}
	that(listed(), "the topic is not listed")
	check(e.admin.DeleteTopic(background, admin.WithTopicDelete(topic), admin.WithBrokerAddrDelete(e.broker),
		admin.WithNameSrvAddr([]string{e.namesrv})))
	that(!listed(), "the deleted topic is listed")
}
