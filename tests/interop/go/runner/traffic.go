package runner

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Traffic is messages that are sent one by one while the server restarts.
type Traffic struct {
	Senders int
	Pause   time.Duration // after each message
	Before  int           // so many are acknowledged before the restart, and at least as many after it
	Total   int           // at least so many are acknowledged in all
	Send    func(body string) error
}

// AcrossRestart sends. A send that failed may have been stored all the same, so it is uncertain.
func (t Traffic) AcrossRestart(how string) (acknowledged []string, uncertain map[string]bool) {
	uncertain = map[string]bool{}
	var mutex sync.Mutex
	count := func() int {
		mutex.Lock()
		defer mutex.Unlock()
		return len(acknowledged)
	}
	var number atomic.Int64
	var senders sync.WaitGroup
	var stop atomic.Bool
	for i := 0; i < t.Senders; i++ {
		senders.Add(1)
		go func() {
			defer senders.Done()
			for !stop.Load() {
				body := fmt.Sprint("m", number.Add(1))
				err := t.Send(body)
				mutex.Lock()
				if err == nil {
					acknowledged = append(acknowledged, body)
				} else {
					uncertain[body] = true
				}
				mutex.Unlock()
				time.Sleep(t.Pause)
				if err != nil {
					time.Sleep(100 * time.Millisecond)
				}
			}
		}()
	}
	defer stop.Store(true)
	Await("the first messages", time.Minute, func() bool { return count() >= t.Before })
	RestartServer(how)
	enough := count() + t.Before
	if enough < t.Total {
		enough = t.Total
	}
	Await("all sent", 90*time.Second, func() bool { return count() >= enough })
	stop.Store(true)
	senders.Wait()
	return acknowledged, uncertain
}
