//go:build !linux

package testserver

import "syscall"

// DieWithUs does nothing: only Linux tells a child that its parent has ended.
func DieWithUs() *syscall.SysProcAttr { return nil }
