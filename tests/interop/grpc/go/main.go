// Runs the scenarios named on the command line with the Go gRPC client and prints one line of JSON for each.
package main

import . "interop/runner"

type scenario = Scenario[*env]

var scenarios = Concat(sending, receiving, pushing, special, crossing, restarting)

func main() {
	s := &server{}
	Main(scenarios, s.address, func(c *Closing) *env { return &env{s, c} })
}
