// Package runner is what the programs of all Go clients share: it runs the scenarios named on the command line and
// prints one line of JSON for each. Scenarios fail by panicking.
package runner

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Scenario is given an environment E of its own.
type Scenario[E any] struct {
	Name    string
	Kind    string // together, alone or restart
	Seconds int
	Run     func(E)
}

var (
	output sync.Mutex
	input  = bufio.NewReader(os.Stdin)
)

// Main is given its addresses by flag, before the first environment is opened.
func Main[E any](scenarios []Scenario[E], address func(flag, value string), open func(*Closing) E) {
	parallel := 1
	var wanted []Scenario[E]
	for args := os.Args[1:]; len(args) > 0; args = args[1:] {
		switch {
		case args[0] == "--list":
			for _, s := range scenarios {
				fmt.Printf("%s\t%s\t%d\n", s.Name, s.Kind, s.Seconds)
			}
			return
		case args[0] == "--parallel":
			args = args[1:]
			parallel, _ = strconv.Atoi(args[0])
		case strings.HasPrefix(args[0], "--"):
			address(args[0], args[1])
			args = args[1:]
		default:
			for _, s := range scenarios {
				if s.Name == args[0] {
					wanted = append(wanted, s)
				}
			}
		}
	}
	if len(wanted) == 0 {
		wanted = scenarios
	}
	slots := make(chan struct{}, parallel)
	var all sync.WaitGroup
	for _, s := range wanted {
		slots <- struct{}{}
		all.Add(1)
		go func(s Scenario[E]) {
			defer all.Done()
			report(s, open)
			<-slots
		}(s)
	}
	all.Wait()
}

func report[E any](s Scenario[E], open func(*Closing) E) {
	began := time.Now()
	closing := &Closing{}
	done := make(chan string, 1)
	go func() {
		defer func() {
			if failure := recover(); failure != nil {
				done <- fmt.Sprintf("%v%s", failure, where())
				return
			}
			done <- ""
		}()
		s.Run(open(closing))
	}()
	result, reason := "PASS", ""
	select {
	case reason = <-done:
	case <-time.After(time.Duration(s.Seconds) * time.Second):
		reason = fmt.Sprintf("still running after %d s", s.Seconds)
	}
	if reason != "" {
		result = "FAIL"
	}
	seconds := time.Since(began).Seconds()
	closing.close()
	say(map[string]interface{}{"scenario": s.Name, "result": result, "seconds": seconds, "reason": reason})
}

// where is the lines of a scenario on the stack of a panic.
func where() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	text := ""
	for {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, "main.") {
			text += fmt.Sprintf(" at %s:%d", frame.Function, frame.Line)
		}
		if !more {
			return text
		}
	}
}

// RestartServer has the server restarted and returns when it serves again.
func RestartServer(how string) {
	say(map[string]interface{}{"restart": how})
	_, err := input.ReadString('\n')
	Check(err)
}

func say(line map[string]interface{}) {
	text, err := json.Marshal(line)
	Check(err)
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(text))
}

// Concat makes one list of all.
func Concat[T any](groups ...[]T) []T {
	var all []T
	for _, group := range groups {
		all = append(all, group...)
	}
	return all
}

// Closing keeps what is to be closed when a scenario ends.
type Closing struct {
	mutex sync.Mutex
	ends  []func() error
}

// CloseLater notes it.
func (c *Closing) CloseLater(end func() error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.ends = append(c.ends, end)
}

func (c *Closing) close() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, end := range c.ends {
		// Some libraries wait for polls under way; nobody needs that.
		go func(end func() error) { _ = end() }(end)
	}
}
