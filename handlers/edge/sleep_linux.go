package edge

import (
	"syscall"
	"time"
)

// sleepExactly sleeps as long as the system's clock can tell, some 0.1 ms too long at most
// on an idle machine, where time.Sleep would round to milliseconds. It holds a thread
// meanwhile.
func sleepExactly(d time.Duration) {
	rest := syscall.NsecToTimespec(int64(d))
	for syscall.Nanosleep(&rest, &rest) == syscall.EINTR {
	}
}
