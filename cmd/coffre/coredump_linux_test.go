package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// The memory of a server, where keys and plaintext are, does not come to lie in a file: no
// core may be dumped, and none is when the server is aborted.
func TestServeDumpsNoCore(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// As much as the system allows: a service manager may have set this.
	server := exec.Command("/bin/sh", "-c", `ulimit -S -c hard 2>/dev/null || ulimit -S -c unlimited; exec "$0" "$@"`,
		program, "serve", "--dev", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
	server.Dir = dir
	server.Env = append(os.Environ(), asProgram+"=1", "GOTRACEBACK=crash") // aborted, it would dump its core
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	words, err := server.StderrPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(words)
	for lines.Scan() && !drillAddress.MatchString(lines.Text()) {
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", server.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^Max core file size +0 +0 +bytes`).Match(limits) {
		t.Errorf("a core may be dumped:\n%s", limits)
	}
	if err := server.Process.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // it says what it was at
	}
	var ended *exec.ExitError
	if err := server.Wait(); !errors.As(err, &ended) {
		t.Fatalf("the server was not aborted: %v", err)
	}
	if status := ended.Sys().(syscall.WaitStatus); !status.Signaled() || status.CoreDump() {
		t.Errorf("aborted: %t, a core was dumped: %t", status.Signaled(), status.CoreDump())
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "core") {
			t.Errorf("%s was written", f.Name())
		}
	}
}

// What handlers behind a pipe are given does not depend on the limit, and what processes of
// the same user may read of memory neither.
func TestForbidCoreDumpsMakesTheProcessUndumpable(t *testing.T) {
	const child = "COFFRE_TEST_DUMPABLE"
	dumpable := func() uintptr {
		is, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_GET_DUMPABLE, 0, 0)
		if errno != 0 {
			t.Fatal(errno)
		}
		return is
	}
	if os.Getenv(child) == "" { // in a process of its own, because nothing takes it back
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if dumpable() != 1 {
		t.Fatal("not dumpable to begin with: this shows nothing")
	}
	if err := forbidCoreDumps(); err != nil {
		t.Fatal(err)
	}
	if dumpable() != 0 {
		t.Error("the process is dumpable")
	}
}
