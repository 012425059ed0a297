//go:build !linux

package vaulttest

import "syscall"

// dieWithUs: only Linux tells a child that its parent has ended.
func dieWithUs() *syscall.SysProcAttr { return nil }
