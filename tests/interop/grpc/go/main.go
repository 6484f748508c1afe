// Runs the scenarios named on the command line with the Go gRPC client and prints one line of JSON for each.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

type scenario struct {
	name    string
	kind    string // together, alone or restart
	seconds int
	run     func(*env)
}

var scenarios = concat(sending, receiving, pushing, special, crossing, restarting)

var (
	output sync.Mutex
	input  = bufio.NewReader(os.Stdin)
)

func main() {
	server, parallel := &server{}, 1
	var wanted []scenario
	for args := os.Args[1:]; len(args) > 0; args = args[1:] {
		switch args[0] {
		case "--list":
			for _, s := range scenarios {
				fmt.Printf("%s\t%s\t%d\n", s.name, s.kind, s.seconds)
			}
			return
		case "--namesrv", "--grpc", "--helper":
			server.address(args[0], args[1])
			args = args[1:]
		case "--parallel":
			args = args[1:]
			parallel, _ = strconv.Atoi(args[0])
		default:
			for _, s := range scenarios {
				if s.name == args[0] {
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
		go func(s scenario) {
			defer all.Done()
			report(s, server)
			<-slots
		}(s)
	}
	all.Wait()
}

func report(s scenario, server *server) {
	began := time.Now()
	e := &env{server: server}
	done := make(chan string, 1)
	go func() {
		defer func() {
			if failure := recover(); failure != nil {
				done <- fmt.Sprintf("%v%s", failure, where())
				return
			}
			done <- ""
		}()
		s.run(e)
	}()
	result, reason := "PASS", ""
	select {
	case reason = <-done:
	case <-time.After(time.Duration(s.seconds) * time.Second):
		reason = fmt.Sprintf("still running after %d s", s.seconds)
	}
	if reason != "" {
		result = "FAIL"
	}
	seconds := time.Since(began).Seconds()
	e.close()
	say(map[string]interface{}{"scenario": s.name, "result": result, "seconds": seconds, "reason": reason})
}

// where is the innermost line of a scenario on the stack of a panic.
func where() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	text := ""
	for {
		frame, more := frames.Next()
		if len(frame.Function) > 5 && frame.Function[:5] == "main." {
			text += fmt.Sprintf(" at %s:%d", frame.Function, frame.Line)
		}
		if !more {
			return text
		}
	}
}

// restartServer has the runner restart the server and returns when it serves again.
func restartServer(how string) {
	say(map[string]interface{}{"restart": how})
	_, err := input.ReadString('\n')
	check(err)
}

func say(line map[string]interface{}) {
	text, err := json.Marshal(line)
	check(err)
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(text))
}

func concat(groups ...[]scenario) []scenario {
	var all []scenario
	for _, group := range groups {
		all = append(all, group...)
	}
	return all
}
