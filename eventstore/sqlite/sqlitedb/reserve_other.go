//go:build !linux

package sqlitedb

import "os"

// allocate gives f room for size bytes.
func allocate(f *os.File, size int64) error { return fill(f, size) }

// freeAtLeast does not say.
func freeAtLeast(string, int64) bool { return true }
