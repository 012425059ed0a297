//go:build !linux

package sqlite

import "os"

// allocate gives f room for size bytes.
func allocate(f *os.File, size int64) error { return fill(f, size) }
