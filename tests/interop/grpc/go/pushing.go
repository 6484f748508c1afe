package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"

	. "interop/runner"
)

var pushing = []scenario{
	{"push-consumer", "together", 120, pushConsumer},
	{"push-retry-and-dead-letter", "together", 120, pushRetry},
	{"push-fifo", "together", 120, pushFifo},
	{"push-filters", "together", 120, pushFilters},
	{"two-consumers-share", "together", 120, share},
	{"many-messages", "together", 120, many},
}

func pushConsumer(e *env) {
	topic, group := e.topic("push", "NORMAL", 4), e.plainGroup("push")
	got := &collector{}
	e.push(group, topic, rmq.SUB_ALL, got.succeed)
	p := e.producer(topic)
	var bodies []string
	for i := 0; i < 100; i++ {
		m := message(topic, fmt.Sprint("m", i))
		m.SetTag(fmt.Sprint("t", i%3))
		m.SetKeys(fmt.Sprint("k", i))
		m.AddProperty("n", fmt.Sprint(i))
		send(p, m)
		bodies = append(bodies, string(m.Body))
	}
	got.awaitExactly(bodies...)
	for _, a := range got.all() {
		var n int
		_, err := fmt.Sscan(a.GetProperties()["n"], &n)
		Check(err)
		Same(fmt.Sprint("m", n), a.text, "body by property")
		Same(fmt.Sprint("t", n%3), tag(a.MessageView), "tag")
		Same([]string{fmt.Sprint("k", n)}, a.GetKeys(), "keys")
		Same(1, a.attempt, "delivery attempt")
	}
	e.awaitCommitted(topic, group, 100)
}

func pushRetry(e *env) {
	topic, group := e.topic("retry", "NORMAL", 1), e.group("retry", false, 2)
	got := &collector{}
	e.push(group, topic, rmq.SUB_ALL, func(m *rmq.MessageView) rmq.ConsumerResult {
		got.add(m)
		body := string(m.GetBody())
		if body == "good" || body == "second" && m.GetDeliveryAttempt() == 2 {
			return rmq.SUCCESS
		}
		return rmq.FAILURE
	})
	p := e.producer(topic)
	ids := map[string]string{}
	for _, body := range []string{"good", "second", "never"} {
		m := message(topic, body)
		m.SetTag("t")
		m.AddProperty("p", body)
		ids[body] = send(p, m).MessageID
	}
	// The two retries wait one and five seconds; then the message is given up.
	dead := e.stored("%DLQ%"+group, 1)
	Same(1, len(dead), "dead letters")
	Same("never", dead[0].Body, "dead letter")
	Same("never", dead[0].Properties["p"], "property of the dead letter")
	Same("t", dead[0].Properties["TAGS"], "tag of the dead letter")
	Same(ids["never"], dead[0].Properties["UNIQ_KEY"], "message id of the dead letter")
	attempts := func(text string) []int32 {
		var all []int32
		for _, a := range got.of(text) {
			all = append(all, a.attempt)
			Same(ids[text], a.GetMessageId(), "message id of "+text)
			Same(topic, a.GetTopic(), "topic")
			Same(text, a.GetProperties()["p"], "property")
		}
		return all
	}
	Same([]int32{1}, attempts("good"), "attempts of good")
	Same([]int32{1, 2}, attempts("second"), "attempts of second")
	Same([]int32{1, 2, 3}, attempts("never"), "attempts of never")
	never := got.of("never")
	That(never[1].at.Sub(never[0].at) >= time.Second, "first retry after %v", never[1].at.Sub(never[0].at))
	That(never[2].at.Sub(never[1].at) >= 5*time.Second, "second retry after %v", never[2].at.Sub(never[1].at))
}

// In order for each group; a refused message is tried again until it succeeds or is given up.
func pushFifo(e *env) {
	topic, group := e.topic("push-fifo", "FIFO", 4), e.group("push-fifo", true, 2)
	got := &collector{}
	e.push(group, topic, rmq.SUB_ALL, func(m *rmq.MessageView) rmq.ConsumerResult {
		got.add(m)
		body := string(m.GetBody())
		if body == "red2" || body == "blue3" && m.GetDeliveryAttempt() == 1 {
			return rmq.FAILURE
		}
		return rmq.SUCCESS
	})
	got.awaitAll(sendColors(e.producer(topic), topic, 6), limit)
	Same("red2", e.stored("%DLQ%"+group, 1)[0].Body, "dead letter")
	for _, color := range colors {
		// While the library waits to retry a message it goes on with the rest of the batch, so only first attempts are in order.
		var wanted, firsts []string
		times := map[string]int{}
		for i := 0; i < 6; i++ {
			wanted = append(wanted, fmt.Sprint(color, i))
		}
		for _, text := range got.texts(color) {
			if times[text]++; times[text] == 1 {
				firsts = append(firsts, text)
			}
		}
		Same(wanted, firsts, "group "+color)
		for text, count := range times {
			expected := map[string]int{"red2": 3, "blue3": 2}[text]
			Same(max(1, expected), count, "attempts of "+text)
		}
	}
}

func pushFilters(e *env) {
	topic := e.topic("push-filters", "NORMAL", 4)
	byTag, bySql := &collector{}, &collector{}
	e.push(e.plainGroup("by-tag"), topic, rmq.NewFilterExpression("a || b"), byTag.succeed)
	e.push(e.plainGroup("by-sql"), topic, rmq.NewFilterExpressionWithType("n >= 5 AND n < 8", rmq.SQL92), bySql.succeed)
	p := e.producer(topic)
	for i := 0; i < 12; i++ {
		m := message(topic, fmt.Sprint("m", i))
		m.SetTag([]string{"a", "b", "c"}[i%3])
		m.AddProperty("n", fmt.Sprint(i))
		send(p, m)
	}
	byTag.awaitExactly(strings.Fields("m0 m1 m3 m4 m6 m7 m9 m10")...)
	bySql.awaitExactly(strings.Fields("m5 m6 m7")...)
}

func share(e *env) {
	topic, group := e.topic("share", "NORMAL", 4), e.plainGroup("share")
	first, second := &collector{}, &collector{}
	e.push(group, topic, rmq.SUB_ALL, first.succeed)
	e.push(group, topic, rmq.SUB_ALL, second.succeed)
	p := e.producer(topic)
	// More until each has had some: which poll a message wakes is chance.
	var bodies []string
	Await("both consumed", limit, func() bool {
		bodies = append(bodies, sendNumbered(p, topic, fmt.Sprint("r", len(bodies), "-"), 20)...)
		return len(first.all()) > 0 && len(second.all()) > 0
	})
	Await("all consumed", limit, func() bool { return len(first.all())+len(second.all()) >= len(bodies) })
	Same(Sorted(bodies), Sorted(append(first.texts(""), second.texts("")...)), "consumed by both")
}

func many(e *env) {
	topic, group := e.topic("many", "NORMAL", 4), e.plainGroup("many")
	got := &collector{}
	e.push(group, topic, rmq.SUB_ALL, got.succeed)
	p := e.producer(topic)
	var bodies []string
	for batch := 0; batch < 20; batch++ {
		var all sync.WaitGroup
		var failure error
		for i := 0; i < 100; i++ {
			body := fmt.Sprintf("m%d-%d", batch, i)
			bodies = append(bodies, body)
			all.Add(1)
			p.SendAsync(background, message(topic, body), func(_ context.Context, _ []*rmq.SendReceipt, err error) {
				defer all.Done()
				if err != nil {
					failure = err
				}
			})
		}
		all.Wait()
		Check(failure)
	}
	got.awaitExactly(bodies...)
	e.awaitCommitted(topic, group, len(bodies))
}
