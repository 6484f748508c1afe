package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

const (
	restartBefore   = 300
	restartMessages = 900
	// What was on its way to the consumer comes again when its invisible time of a minute is over.
	restartConsumed = 150 * time.Second
)

var restarting = []scenario{
	{"restart-by-sigterm", "restart", 450, func(e *env) { traffic(e, "TERM") }},
	{"restart-by-sigkill", "restart", 450, func(e *env) { traffic(e, "KILL") }},
}

func traffic(e *env, how string) {
	topic := e.topic("restart", "NORMAL", 4)
	got := &collector{}
	e.push(e.plainGroup("restart"), topic, rmq.SUB_ALL, got.succeed)
	p := e.producer(topic)
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
	for i := 0; i < 2; i++ {
		senders.Add(1)
		go func() {
			defer senders.Done()
			for !stop.Load() {
				body := fmt.Sprint("m", number.Add(1))
				_, err := p.Send(background, message(topic, body))
				mutex.Lock()
				if err == nil {
					acknowledged = append(acknowledged, body)
				} else {
					uncertain[body] = true
				}
				mutex.Unlock()
				time.Sleep(3 * time.Millisecond)
				if err != nil {
					time.Sleep(100 * time.Millisecond)
				}
			}
		}()
	}
	defer stop.Store(true)
	await("the first messages", time.Minute, func() bool { return count() >= restartBefore })
	restartServer(how)
	enough := max(restartMessages, count()+restartBefore)
	await("all sent", 90*time.Second, func() bool { return count() >= enough })
	stop.Store(true)
	senders.Wait()
	got.awaitAll(acknowledged, restartConsumed)
	sent := map[string]bool{}
	for _, body := range acknowledged {
		sent[body] = true
	}
	for _, a := range got.all() {
		that(sent[a.text] || uncertain[a.text], "consumed but never sent: %s", a.text)
	}
}
