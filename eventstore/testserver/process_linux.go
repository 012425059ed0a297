package testserver

import "syscall"

// DieWithUs ends a server when the thread that started it does, and so with the
// test's process, however that ends.
func DieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
