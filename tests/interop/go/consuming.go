package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	. "interop/runner"
)

var consuming = []scenario{
	{"push-concurrent", "together", 60, pushConcurrent},
	{"push-tag-filter", "together", 60, pushTagFilter},
	{"push-ordered", "together", 120, pushOrdered},
	{"push-ordered-suspend", "together", 60, pushOrderedSuspend},
	{"push-broadcast", "together", 60, pushBroadcast},
	{"consume-from-first", "together", 60, func(e *env) { startingAt(e, consumer.ConsumeFromFirstOffset, true) }},
	{"consume-from-last", "together", 60, func(e *env) { startingAt(e, consumer.ConsumeFromLastOffset, false) }},
	{"offset-persistence", "together", 60, offsetPersistence},
	{"group-join-and-leave", "together", 120, joinAndLeave},
	{"retry", "together", 90, retry},
	{"dead-letter", "together", 90, deadLetter},
	{"pull-consumer", "together", 60, pullConsumer},
}

var alone = []scenario{
	{"pull-latency", "alone", 60, pullLatency},
}

func pushConcurrent(e *env) {
	topic := e.topic("push", 4)
	p := e.producer()
	sent := sendNumbered(p, topic, "before", 100)
	got := &collector{}
	e.push(e.group("push"), topic, "*", got.listen)
	sent = append(sent, sendNumbered(p, topic, "after", 100)...)
	got.awaitExactly(sent, 20*time.Second)
	for _, m := range got.all() {
		Same(topic, m.Topic, "topic")
		Same(0, m.ReconsumeTimes, "reconsume times")
	}
}

func pushTagFilter(e *env) {
	topic := e.topic("tags", 2)
	p := e.producer()
	got := &collector{}
	e.push(e.group("tags"), topic, "a || b", got.listen)
	var wanted []string
	tags := []string{"a", "b", "c", "ab", ""}
	for i := 0; i < 50; i++ {
		m := message(topic, fmt.Sprint("m", i))
		tag := tags[i%len(tags)]
		if tag != "" {
			m.WithTag(tag)
		}
		_, err := p.SendSync(background, m)
		Check(err)
		if tag == "a" || tag == "b" {
			wanted = append(wanted, string(m.Body))
		}
	}
	got.awaitExactly(wanted, 20*time.Second)
}

// One consumer only: when two share, this library now and then leaves a message of a queue that changes hands behind.
func pushOrdered(e *env) {
	topic := e.topic("ordered", 4)
	got := &collector{}
	e.push(e.group("ordered"), topic, "*", got.listen, consumer.WithConsumerOrder(true))
	p := e.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	var sent []string
	for i := 0; i < 400; i++ {
		m := message(topic, fmt.Sprint("m", i))
		m.Queue = &primitive.MessageQueue{Topic: topic, BrokerName: e.brokerName, QueueId: i % 4}
		_, err := p.SendSync(background, m)
		Check(err)
		sent = append(sent, string(m.Body))
	}
	got.awaitExactly(sent, 60*time.Second)
	next := map[int]int64{}
	for _, m := range got.all() {
		q := m.Queue.QueueId
		Same(next[q], m.QueueOffset, fmt.Sprint("order of queue ", q))
		next[q]++
	}
}

func pushOrderedSuspend(e *env) {
	topic := e.topic("suspend", 1)
	sent := sendNumbered(e.producer(), topic, "m", 10)
	attempts, done := &collector{}, &collector{}
	var refusals atomic.Int64
	e.push(e.group("suspend"), topic, "*",
		func(c context.Context, batch ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			_, _ = attempts.listen(c, batch...)
			if string(batch[0].Body) == "m3" && refusals.Add(1) <= 2 {
				return consumer.SuspendCurrentQueueAMoment, nil
			}
			return done.listen(c, batch...)
		}, consumer.WithConsumerOrder(true), consumer.WithConsumeMessageBatchMaxSize(1),
		consumer.WithSuspendCurrentQueueTimeMillis(100*time.Millisecond))
	done.awaitExactly(sent, 40*time.Second)
	Same(sent, texts(done.all()), "order")
	Same([]string{"m0", "m1", "m2", "m3", "m3", "m3", "m4"}, texts(attempts.all())[:7], "attempts")
}

func pushBroadcast(e *env) {
	topic := e.topic("broadcast", 4)
	group := e.group("broadcast")
	p := e.producer()
	sent := sendNumbered(p, topic, "before", 20)
	collectors := []*collector{{}, {}}
	for _, got := range collectors {
		e.push(group, topic, "*", got.listen, consumer.WithConsumerModel(consumer.BroadCasting))
	}
	sent = append(sent, sendNumbered(p, topic, "after", 50)...)
	for _, got := range collectors {
		got.awaitExactly(sent, 20*time.Second)
	}
}

// A young topic is read from its beginning whatever a new group asks for: Java answers its offset query with zero.
func startingAt(e *env, where consumer.ConsumeFromWhere, oldWanted bool) {
	topic := e.topic("from", 2)
	p := e.producer()
	old := sendNumbered(p, topic, "old", 20)
	got := &collector{}
	e.push(e.group("from"), topic, "*", got.listen, consumer.WithConsumeFromWhere(where))
	// Nobody can ask this library whether it has begun; its first message shows it.
	var fresh []string
	Await("the first new message", 20*time.Second, func() bool {
		fresh = append(fresh, sendNumbered(p, topic, fmt.Sprintf("new%d-", len(fresh)), 2)...)
		return got.size() > 0
	})
	settled := sendNumbered(p, topic, "settled", 20)
	got.awaitAll(settled, 20*time.Second)
	got.settle(500 * time.Millisecond)
	seen := map[string]bool{}
	for _, body := range texts(got.all()) {
		That(!seen[body], "consumed twice: %s", body)
		seen[body] = true
	}
	That(seen[old[0]] || !oldWanted, "messages sent before are missing")
	if seen[old[0]] {
		got.awaitExactly(append(append(old, fresh...), settled...), 5*time.Second)
	}
}

func offsetPersistence(e *env) {
	topic := e.topic("offsets", 4)
	group := e.group("offsets")
	p := e.producer()
	for round := 0; round < 3; round++ {
		sent := sendNumbered(p, topic, fmt.Sprintf("round%d-", round), 40)
		got := &collector{}
		c := e.push(group, topic, "*", got.listen)
		got.awaitExactly(sent, 20*time.Second)
		Check(c.Shutdown())
		// The last offsets travel oneway, and this library has no way to ask for them.
		time.Sleep(300 * time.Millisecond)
	}
}

func joinAndLeave(e *env) {
	topic := e.topic("join", 8)
	group := e.group("join")
	p := e.producer()
	got, theirs := &collector{}, &collector{}
	e.push(group, topic, "*", got.listen)
	sent := sendNumbered(p, topic, "alone", 100)
	got.awaitExactly(sent, 20*time.Second)

	var mutex sync.Mutex
	stop := make(chan struct{})
	stopped := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				stopped <- nil
				return
			case <-time.After(2 * time.Millisecond):
			}
			body := fmt.Sprint("moving", i)
			if _, err := p.SendSync(background, message(topic, body)); err != nil {
				stopped <- err
				return
			}
			mutex.Lock()
			sent = append(sent, body)
			mutex.Unlock()
		}
	}()
	second := e.push(group, topic, "*",
		func(c context.Context, batch ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			_, _ = theirs.listen(c, batch...)
			return got.listen(c, batch...)
		})
	Await("a share for the second", 40*time.Second, func() bool { return theirs.size() > 50 })
	Check(second.Shutdown())
	left := theirs.size()
	close(stop)
	Check(<-stopped)
	mutex.Lock()
	all := append([]string(nil), sent...)
	mutex.Unlock()
	got.awaitAll(all, 60*time.Second)
	Same(left, theirs.size(), "consumed after the shutdown")

	got.settle(time.Second)
	before := got.size()
	settled := sendNumbered(p, topic, "settled", 100)
	got.awaitAll(settled, 30*time.Second)
	got.settle(500 * time.Millisecond)
	Same(Sorted(settled), Sorted(texts(got.all()[before:])), "consumed when settled")
}

// refuser consumes all but messages whose body is "bad", which it refuses for the first attempts.
func refuser(attempts, done *collector, refusals int32) listener {
	return func(c context.Context, batch ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		_, _ = attempts.listen(c, batch...)
		for _, m := range batch {
			if string(m.Body) == "bad" && m.ReconsumeTimes < refusals {
				if settings, ok := primitive.GetConcurrentlyCtx(c); ok {
					settings.DelayLevelWhenNextConsume = 1
				}
				return consumer.ConsumeRetryLater, nil
			}
		}
		return done.listen(c, batch...)
	}
}

func retry(e *env) {
	topic := e.topic("retry", 2)
	attempts, done := &collector{}, &collector{}
	e.push(e.group("retry"), topic, "*", refuser(attempts, done, 2))
	p := e.producer()
	sent := append(sendNumbered(p, topic, "fine", 10), "bad")
	r, err := p.SendSync(background, message(topic, "bad"))
	Check(err)
	done.awaitExactly(sent, 40*time.Second)
	var times []int32
	for _, m := range attempts.all() {
		if string(m.Body) == "bad" {
			times = append(times, m.ReconsumeTimes)
			Same(topic, m.Topic, "topic")
			Same(r.MsgID, m.MsgId, "message id")
		}
	}
	Same([]int32{0, 1, 2}, times, "attempts")
}

func deadLetter(e *env) {
	topic := e.topic("dead", 1)
	group := e.group("dead")
	attempts := &collector{}
	e.push(group, topic, "*", refuser(attempts, &collector{}, 1<<30), consumer.WithMaxReconsumeTimes(1))
	_, err := e.producer().SendSync(background, message(topic, "bad"))
	Check(err)
	dead := "%DLQ%" + group
	Await("the dead letter topic", 40*time.Second, func() bool { return route(e.namesrv, dead) != nil })
	Same([]string{"bad"}, texts(e.stored(dead, 1)), "dead letters")
	Same(2, attempts.size(), "attempts")
}

func pullConsumer(e *env) {
	topic := e.topic("pull", 4)
	group := e.group("pull")
	p := e.producer()
	for round := 0; round < 2; round++ {
		sent := sendNumbered(p, topic, fmt.Sprintf("round%d-", round), 50)
		c := e.pull(group, topic)
		var got []string
		Await("all polled", 30*time.Second, func() bool {
			request, err := c.Poll(background, 100*time.Millisecond)
			if consumer.IsNoNewMsgError(err) {
				return len(got) >= len(sent)
			}
			Check(err)
			got = append(got, texts(request.GetMsgList())...)
			c.ACK(background, request, consumer.ConsumeSuccess)
			return false
		})
		Same(Sorted(sent), Sorted(got), "polled")
		Check(c.PersistOffset(background, topic))
		Check(c.Shutdown())
		time.Sleep(300 * time.Millisecond)
	}
}

func pullLatency(e *env) {
	topic := e.topic("latency", 1)
	got := &collector{}
	e.push(e.group("latency"), topic, "*", got.listen)
	p := e.producer()
	sendNumbered(p, topic, "warm", 1)
	Await("the first message", 20*time.Second, func() bool { return got.size() == 1 })
	fast := 0
	for i := 0; i < 11; i++ {
		// The consumer must be back at the server and wait there.
		time.Sleep(200 * time.Millisecond)
		sent := time.Now()
		sendNumbered(p, topic, fmt.Sprint("m", i), 1)
		Await("the message", 5*time.Second, func() bool { return got.size() == i+2 })
		if time.Since(sent) < 200*time.Millisecond {
			fast++
		}
	}
	That(fast > 5, "only %d of 11 messages came within 200 ms", fast)
}
