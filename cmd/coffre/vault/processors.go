package vault

import "runtime"

// SpareProcessors lets twice as many threads run Go code as there are processors,
// unless the operator said how many. A goroutine that comes back from syncing the
// disk, for which everybody waits, else queues behind all who have work to do; so
// the system shares the processors out, and it goes on at once. On two cores with 64
// callers it is worth a fifth to a third (docs/performance.md).
func SpareProcessors(asked string) {
	if asked == "" {
		runtime.GOMAXPROCS(2 * processors)
	}
}

// processors this process may use, by what the system grants it.
var processors = runtime.GOMAXPROCS(0)
