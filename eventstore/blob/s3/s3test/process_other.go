//go:build !linux

package s3test

import "syscall"

// dieWithUs: only Linux tells a child that its parent has ended.
func dieWithUs() *syscall.SysProcAttr { return nil }
