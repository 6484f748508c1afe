// Load for a gRPC server of RocketMQ, made with the official Go client.
//
//	load send    -endpoint HOST:PORT -topic T -workers 64 -clients 4 -warm-up 3s -time 8s
//	load fill    -endpoint HOST:PORT -topic T -workers 64 -clients 4 -count 50000
//	load receive -endpoint HOST:PORT -topic T -group G -workers 8 -count 50000
//	load idle    -endpoint HOST:PORT -topic T -clients 1000
//
// It prints `begin` and `end` around what is measured, so that whoever runs it can read the CPU time of the server at
// both, and a line of JSON at last. `idle` prints `begin` when all clients are there and stays until its input ends.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"sync"
	"sync/atomic"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

const invisible = time.Minute

type load struct {
	endpoint, topic, group  string
	workers, clients, bytes int
	count                   int64
	warmUp, duration        time.Duration
	done, failed            atomic.Int64
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("load send | fill | receive | idle, then flags; see main.go")
	}
	var l load
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&l.endpoint, "endpoint", "127.0.0.1:8081", "of the gRPC server")
	flags.StringVar(&l.topic, "topic", "", "a topic that is there")
	flags.StringVar(&l.group, "group", "", "the consumer group")
	flags.IntVar(&l.workers, "workers", 64, "each does one thing at a time")
	flags.IntVar(&l.clients, "clients", 4, "connections, with a telemetry stream each")
	flags.IntVar(&l.bytes, "bytes", 1024, "of a body")
	flags.Int64Var(&l.count, "count", 50000, "messages to fill in, or to receive")
	flags.DurationVar(&l.warmUp, "warm-up", 3*time.Second, "before sends are measured")
	flags.DurationVar(&l.duration, "time", 8*time.Second, "for which sends are measured")
	_ = flags.Parse(os.Args[2:])
	run := map[string]func(){"send": l.send, "fill": l.fill, "receive": l.receive, "idle": l.idle}[os.Args[1]]
	if run == nil {
		log.Fatalf("there is no %s", os.Args[1])
	}
	run()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func (l *load) config() *rmq.Config {
	return &rmq.Config{Endpoint: l.endpoint, ConsumerGroup: l.group, Credentials: &credentials.SessionCredentials{}}
}

func (l *load) producers(count int) []rmq.Producer {
	all := make([]rmq.Producer, count)
	var starting sync.WaitGroup
	atOnce := make(chan struct{}, 16)
	for i := range all {
		starting.Add(1)
		atOnce <- struct{}{}
		go func() {
			defer starting.Done()
			p, err := rmq.NewProducer(l.config(), rmq.WithTopics(l.topic))
			check(err)
			check(p.Start())
			all[i] = p
			<-atOnce
		}()
	}
	starting.Wait()
	return all
}

// sending sends with all workers while more says so.
func (l *load) sending(more func() bool) *sync.WaitGroup {
	producers, body := l.producers(l.clients), make([]byte, l.bytes)
	var workers sync.WaitGroup
	for i := range l.workers {
		producer := producers[i%len(producers)]
		workers.Add(1)
		go func() {
			defer workers.Done()
			for more() {
				_, err := producer.Send(context.Background(), &rmq.Message{Topic: l.topic, Body: body})
				l.count1(err)
			}
		}()
	}
	return &workers
}

func (l *load) count1(err error) {
	if err != nil {
		if l.failed.Add(1) == 1 {
			log.Printf("the first failure: %v", err)
		}
		return
	}
	l.done.Add(1)
}

func (l *load) send() {
	var stop atomic.Bool
	workers := l.sending(func() bool { return !stop.Load() })
	time.Sleep(l.warmUp)
	before, began := l.begin()
	time.Sleep(l.duration)
	l.end(before, began)
	stop.Store(true)
	workers.Wait()
}

func (l *load) fill() {
	var left atomic.Int64
	left.Store(l.count)
	before, began := l.begin()
	l.sending(func() bool { return left.Add(-1) >= 0 }).Wait()
	l.end(before, began)
}

// receive receives and acks what was filled in; the first tenth is the warm-up, the last one may find empty queues.
func (l *load) receive() {
	var ended atomic.Bool
	consumers := make([]rmq.SimpleConsumer, l.workers)
	for i := range consumers {
		consumer, err := rmq.NewSimpleConsumer(l.config(), rmq.WithSimpleAwaitDuration(5*time.Second),
			rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{l.topic: rmq.SUB_ALL}))
		check(err)
		check(consumer.Start())
		consumers[i] = consumer
	}
	for _, consumer := range consumers {
		go func() {
			for !ended.Load() {
				// An error is an empty answer, too.
				messages, _ := consumer.Receive(context.Background(), 32, invisible)
				for _, message := range messages {
					l.count1(consumer.Ack(context.Background(), message))
				}
			}
		}()
	}
	reach := func(count int64) {
		for began := time.Now(); l.done.Load() < count; time.Sleep(time.Millisecond) {
			if time.Since(began) > 5*time.Minute {
				log.Fatalf("%d of %d messages after five minutes", l.done.Load(), count)
			}
		}
	}
	reach(l.count / 10)
	before, began := l.begin()
	reach(l.count * 9 / 10)
	l.end(before, began)
	ended.Store(true)
}

func (l *load) idle() {
	l.producers(l.clients)
	before, began := l.begin()
	_, _ = io.Copy(io.Discard, os.Stdin)
	l.end(before, began)
}

func (l *load) begin() (int64, time.Time) {
	fmt.Println("begin")
	return l.done.Load(), time.Now()
}

func (l *load) end(before int64, began time.Time) {
	messages, seconds := l.done.Load()-before, time.Since(began).Seconds()
	fmt.Println("end")
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{"messages": messages, "seconds": seconds, "failed": l.failed.Load()}))
}
