//go:build !linux

package main

// forbidCoreDumps does nothing where Coffre is only tried out.
func forbidCoreDumps() error { return nil }
