package s3test

import "syscall"

// dieWithUs ends the server when the thread that started it does, and so with the
// test's process, however that ends.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
