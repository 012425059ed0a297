package pgtest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// errNoBouncer: there is no PgBouncer on the machine.
var errNoBouncer = errors.New("no pgbouncer was found: install it (Debian: apt-get install pgbouncer)")

// Bouncer starts a PgBouncer before the server of dsn, gone with the test, and returns dsn
// with its address. mode is its pool_mode: session, transaction or statement; it drops the
// settings named in ignored, and refuses others that it does not know.
func Bouncer(t testing.TB, dsn, mode string, ignored ...string) string {
	t.Helper()
	drop := ""
	if len(ignored) > 0 {
		drop = "ignore_startup_parameters = " + strings.Join(ignored, ",") + "\n"
	}
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil { // not in everybody's path
			if os.Getenv("CI") != "true" {
				t.Skipf("not run: %v", errNoBouncer)
			}
			t.Fatal(errNoBouncer)
		}
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal("not a DSN")
	}
	password, _ := u.User.Password()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "coffre-bouncer-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf("[databases]\n* = host=%s port=%s user=%s password=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\n%sauth_type = any\npool_mode = %s\n",
		u.Hostname(), u.Port(), u.User.Username(), password, port, drop, mode)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	who, err := unprivileged() // PgBouncer refuses root, too
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-q", config)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	at := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for began := time.Now(); ; {
		c, err := net.Dial("tcp", at)
		if err == nil {
			c.Close()
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("pgbouncer does not listen: %v", err)
		}
	}
	return Via(t, dsn, at)
}
