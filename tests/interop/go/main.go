// Runs the scenarios named on the command line with the Go client library and prints one line of JSON for each.
package main

import (
	"github.com/apache/rocketmq-client-go/v2/rlog"

	. "interop/runner"
)

type scenario = Scenario[*env]

var scenarios = Concat(producing, consuming, alone, restarting)

func main() {
	rlog.SetLogLevel("fatal")
	var s *server
	Main(scenarios, func(_, namesrv string) { s = newServer(namesrv) }, func(c *Closing) *env { return &env{s, c} })
}
