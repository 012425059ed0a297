package domaintest

import (
	"runtime"
	"testing"
)

// recorder is a test that remembers what was said of it.
type recorder struct {
	testing.TB
	failed bool
	logs   int
}

func (r *recorder) Helper()             {}
func (r *recorder) Logf(string, ...any) { r.logs++ }
func (r *recorder) Fatalf(string, ...any) {
	r.failed = true
	runtime.Goexit()
}
