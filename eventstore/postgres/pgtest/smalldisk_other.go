//go:build !linux

package pgtest

import (
	"errors"
	"testing"
)

// TrySmallDisk leaves the database where it is, with an error: only on Linux a test mounts a disk.
func (s *Server) TrySmallDisk(testing.TB, string, int) (dir string, resize func(megabytes int), err error) {
	return "", nil, errors.New("only on Linux a test mounts a disk")
}
