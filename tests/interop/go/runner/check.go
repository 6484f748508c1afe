package runner

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"sync/atomic"
	"time"
)

// Check fails with an error.
func Check(err error) {
	if err != nil {
		panic(err)
	}
}

// That fails unless something holds.
func That(holds bool, format string, args ...interface{}) {
	if !holds {
		panic(fmt.Sprintf(format, args...))
	}
}

// Same fails unless both print alike.
func Same(expected, actual interface{}, what string) {
	e, a := fmt.Sprintf("%v", expected), fmt.Sprintf("%v", actual)
	That(e == a, "%s: expected %s, got %s", what, brief(e), brief(a))
}

func brief(text string) string {
	if len(text) > 200 {
		text = text[:200] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}

// Await looks again and again until something holds.
func Await(what string, limit time.Duration, holds func() bool) {
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(20 * time.Millisecond) {
		That(time.Now().Before(deadline), "%s: not within %v", what, limit)
	}
}

// AwaitTexts waits until each of these came at least once; those who saw them say what came from a number on.
func AwaitTexts(texts []string, limit time.Duration, seen func(from int) []string) {
	wanted := map[string]bool{}
	for _, text := range texts {
		wanted[text] = true
	}
	what, count := fmt.Sprintf("%d messages consumed", len(wanted)), 0
	Await(what, limit, func() bool {
		more := seen(count)
		count += len(more)
		for _, text := range more {
			delete(wanted, text)
		}
		return len(wanted) == 0
	})
}

// Sorted is a sorted copy.
func Sorted(texts []string) []string {
	all := append([]string{}, texts...)
	sort.Strings(all)
	return all
}

var (
	numbers atomic.Int64
	run     = time.Now().UnixMilli() % 1_000_000_000
)

// Unique is a name that nobody used before.
func Unique(stem string) string {
	return fmt.Sprintf("go-%s-%d-%d-%d", stem, run, os.Getpid(), numbers.Add(1))
}
