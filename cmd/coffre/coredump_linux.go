package main

import (
	"errors"
	"fmt"
	"syscall"
)

// forbidCoreDumps keeps the memory of this process, where keys and plaintext are, out of
// files: no core is dumped, whatever ends it, and a process of the same user cannot attach
// to it. Only a privileged one still can. What it starts later dumps no core either.
func forbidCoreDumps() error {
	// The limit alone is not enough: a handler behind a pipe gets the core in spite of it.
	limit := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	var dumpable error
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0); errno != 0 {
		dumpable = errno
	}
	if err := errors.Join(limit, dumpable); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}
