package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const (
	restartMessages = 10_000
	restartBefore   = 3_000
)

var restarting = []scenario{
	{"restart-by-sigterm", "restart", 180, func(e *env) { traffic(e, "TERM") }},
	{"restart-by-sigkill", "restart", 180, func(e *env) { traffic(e, "KILL") }},
}

func traffic(e *env, how string) {
	topic := e.topic("go-restart", 4)
	got := &collector{}
	e.push(e.group("go-restart"), topic, "*", got.listen)
	p := e.producer(producer.WithRetry(0), producer.WithSendMsgTimeout(3*time.Second))

	var mutex sync.Mutex
	var acknowledged []string
	uncertain := map[string]bool{} // a send that failed may have been stored all the same
	count := func() int {
		mutex.Lock()
		defer mutex.Unlock()
		return len(acknowledged)
	}
	var number atomic.Int64
	var senders sync.WaitGroup
	var stop atomic.Bool
	for i := 0; i < 4; i++ {
		senders.Add(1)
		go func() {
			defer senders.Done()
			for !stop.Load() && count() < restartMessages {
				body := fmt.Sprint("m", number.Add(1))
				r, err := p.SendSync(background, message(topic, body))
				mutex.Lock()
				if err == nil && r.Status == primitive.SendOK {
					acknowledged = append(acknowledged, body)
				} else {
					uncertain[body] = true
				}
				mutex.Unlock()
				if err != nil {
					time.Sleep(50 * time.Millisecond)
				}
			}
		}()
	}
	defer stop.Store(true)
	await("the first messages", time.Minute, func() bool { return count() >= restartBefore })
	restartServer(how)
	await("all sent", 90*time.Second, func() bool { return count() >= restartMessages })
	senders.Wait()
	got.awaitAll(acknowledged, time.Minute)

	stored := map[string]bool{}
	for _, body := range texts(e.stored(topic, len(acknowledged))) {
		that(!stored[body], "stored twice: %s", body)
		stored[body] = true
	}
	for _, body := range acknowledged {
		that(stored[body], "acknowledged but not stored: %s", body)
		delete(stored, body)
	}
	for body := range stored {
		that(uncertain[body], "stored but never sent: %s", body)
	}
}
