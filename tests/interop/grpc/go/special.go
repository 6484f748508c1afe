package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"

	. "interop/runner"
)

// Java's timer has this precision and may be so early.
const timerPrecision = time.Second

// The library has neither recall nor priorities nor lite topics.
var special = []scenario{
	{"delay", "together", 120, delay},
	{"transaction-commit-and-rollback", "together", 120, transaction},
	{"transaction-check", "together", 120, transactionCheck},
}

func delay(e *env) {
	topic := e.topic("delay", "DELAY", 1)
	got := &collector{}
	e.push(e.plainGroup("delay"), topic, rmq.SUB_ALL, got.succeed)
	p := e.producer(topic)
	now := time.Now()
	for _, delay := range []int{8000, 4000} {
		m := message(topic, fmt.Sprint(delay))
		m.SetTag("t")
		m.AddProperty("p", "v")
		m.SetDelayTimestamp(now.Add(time.Duration(delay) * time.Millisecond))
		send(p, m)
	}
	got.awaitExactly("4000", "8000")
	Same([]string{"4000", "8000"}, got.texts(""), "order of arrival")
	for _, a := range got.all() {
		delay, err := strconv.Atoi(a.text)
		Check(err)
		due := now.Add(time.Duration(delay)*time.Millisecond - timerPrecision)
		That(!a.at.Before(due), "%d ms came after %v", delay, a.at.Sub(now))
		Same("v", a.GetProperties()["p"], "property")
		Same("t", tag(a.MessageView), "tag")
		Same(1, a.attempt, "delivery attempt")
	}
}

func transactional(e *env, topic string, decide func(*rmq.MessageView) rmq.TransactionResolution) rmq.Producer {
	return e.producer(topic, rmq.WithTransactionChecker(&rmq.TransactionChecker{Check: decide}))
}

func transaction(e *env) {
	topic := e.topic("transaction", "TRANSACTION", 2)
	got := &collector{}
	e.push(e.plainGroup("transaction"), topic, rmq.SUB_ALL, got.succeed)
	p := transactional(e, topic, func(*rmq.MessageView) rmq.TransactionResolution { return rmq.UNKNOWN })

	first := p.BeginTransaction()
	_, err := p.SendWithTransaction(background, message(topic, "m0"), first)
	Check(err)
	time.Sleep(1500 * time.Millisecond)
	Same(0, len(got.all()), "consumed before the commit")
	Check(first.Commit())
	got.awaitExactly("m0")

	committed := []string{"m0"}
	for i := 1; i < 10; i++ {
		t := p.BeginTransaction()
		m := message(topic, fmt.Sprint("m", i))
		m.SetTag("t")
		m.SetKeys(fmt.Sprint("k", i))
		m.AddProperty("n", fmt.Sprint(i))
		_, err := p.SendWithTransaction(background, m, t)
		Check(err)
		if i%2 == 0 {
			Check(t.Commit())
			committed = append(committed, string(m.Body))
		} else {
			Check(t.RollBack())
		}
	}
	got.awaitExactly(committed...)
	m := got.of("m4")[0]
	Same("t", tag(m.MessageView), "tag")
	Same([]string{"k4"}, m.GetKeys(), "keys")
	Same("4", m.GetProperties()["n"], "property")
}

func transactionCheck(e *env) {
	topic := e.topic("check", "TRANSACTION", 1)
	got := &collector{}
	e.push(e.plainGroup("check"), topic, rmq.SUB_ALL, got.succeed)
	var mutex sync.Mutex
	checks := map[string]int{}
	p := transactional(e, topic, func(m *rmq.MessageView) rmq.TransactionResolution {
		mutex.Lock()
		defer mutex.Unlock()
		body := string(m.GetBody())
		if m.GetProperties()["p"] != "v" {
			return rmq.UNKNOWN
		}
		checks[body]++
		switch {
		case body == "no":
			return rmq.ROLLBACK
		case body == "later" && checks[body] == 1:
			return rmq.UNKNOWN
		}
		return rmq.COMMIT
	})
	for _, body := range strings.Fields("yes no later") {
		m := message(topic, body)
		m.AddProperty("p", "v")
		_, err := p.SendWithTransaction(background, m, p.BeginTransaction())
		Check(err)
	}
	times := func(body string) int {
		mutex.Lock()
		defer mutex.Unlock()
		return checks[body]
	}
	Await("all checked", limit, func() bool { return times("yes") > 0 && times("no") > 0 && times("later") > 1 })
	got.awaitAll([]string{"yes", "later"}, limit)
	time.Sleep(300 * time.Millisecond)
	// A check may cross the commit of the one before, and then the message comes twice.
	Same(0, len(got.of("no")), "consumed of the one that was rolled back")
}
