package pgtest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/gofrs/flock"
)

// settings are PostgreSQL's own but for these.
const settings = `
listen_addresses = '127.0.0.1'
max_connections = 300
shared_buffers = 64MB
fsync = on
full_page_writes = on
synchronous_commit = on
log_min_messages = warning
log_checkpoints = off
timezone = 'UTC'
wal_level = logical
`

// keeper waits until the test process is gone, by whatever end, and then takes the
// server and its directory away. Its standard input is a pipe that nobody writes to.
const keeper = `trap '' HUP INT TERM; cat >/dev/null; "$1/pg_ctl" -D "$2/data" -m immediate -w stop >/dev/null 2>&1; rm -rf "$2"`

// cluster is the directory of a server with its processes.
type cluster struct {
	bin, dir, password string
	port               int
	as                 *syscall.Credential // nil: as ourselves

	alive  io.Closer // closed: the keeper takes everything away
	keeper *exec.Cmd
	once   sync.Once
}

func newCluster() (*cluster, error) {
	return (&cluster{password: rand.Text()}).made((*cluster).init)
}

// standby returns a cluster that follows c.
func (c *cluster) standby() (*cluster, error) {
	return (&cluster{password: c.password}).made(func(s *cluster) error {
		copying := s.command(filepath.Join(s.bin, "pg_basebackup"), "-D", s.data(), "-h", "127.0.0.1", "-p", strconv.Itoa(c.port),
			"-U", superuser, "-c", "fast", "--no-sync", "--write-recovery-conf")
		copying.Env = append(copying.Env, "PGPASSWORD="+c.password)
		if err := run(copying); err != nil {
			return err
		}
		return s.configure("primary_conninfo = 'host=127.0.0.1 port=%d user=%s password=%s application_name=standby'\n", c.port, superuser, c.password)
	})
}

// made makes the directory and the processes of c, whose files fill makes.
func (c *cluster) made(fill func(*cluster) error) (_ *cluster, err error) {
	if c.bin, err = binaries(); err != nil {
		return nil, err
	}
	if c.as, err = unprivileged(); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "coffre-postgres-"); err != nil {
		return nil, err
	}
	if c.as != nil {
		if err := os.Chown(c.dir, int(c.as.Uid), int(c.as.Gid)); err != nil {
			return nil, errors.Join(err, os.RemoveAll(c.dir))
		}
	}
	if err := c.keep(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	if err = fill(c); err == nil {
		err = c.start()
	}
	if err != nil {
		c.remove()
		return nil, err
	}
	return c, nil
}

// keep starts the keeper. It has a process group of its own, so that an interrupt
// typed at the tests does not end it first.
func (c *cluster) keep() error {
	c.keeper = c.command("/bin/sh", "-c", keeper, "keeper", c.bin, c.dir)
	c.keeper.SysProcAttr.Setpgid = true
	in, err := c.keeper.StdinPipe()
	if err != nil {
		return err
	}
	c.alive = in
	return c.keeper.Start()
}

// init makes the files of a new server.
func (c *cluster) init() error {
	secret := filepath.Join(c.dir, "password")
	err := os.WriteFile(secret, []byte(c.password+"\n"), 0o600)
	if err == nil && c.as != nil {
		err = os.Chown(secret, int(c.as.Uid), int(c.as.Gid))
	}
	if err != nil {
		return err
	}
	// Not SCRAM: it costs every connection of a test 4096 hashes under the race detector.
	if err := run(c.command(filepath.Join(c.bin, "initdb"), "-D", c.data(), "-U", superuser, "-A", "password",
		"-E", "UTF8", "--locale=C", "--no-sync", "--pwfile", secret)); err != nil {
		return err
	}
	return c.configure("%s", settings)
}

// configure adds lines to the server's settings; of two for one setting the last counts.
func (c *cluster) configure(format string, args ...any) error {
	f, err := os.OpenFile(filepath.Join(c.data(), "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, format, args...)
	return errors.Join(err, f.Close())
}

// start starts the server on a port that was free.
func (c *cluster) start() error {
	const attempts = 5 // somebody else may take the port before the server does
	var err error
	for range attempts {
		if c.port, err = freePort(); err != nil {
			return err
		}
		if err = c.control("start"); err == nil {
			return nil
		}
	}
	return err
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }
func (c *cluster) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)) }

// control runs pg_ctl and waits until what it was told is done.
func (c *cluster) control(args ...string) error {
	// 60 s: a loaded machine recovers slowly.
	all := []string{"-D", c.data(), "-w", "-t", "60", "-s", "-l", filepath.Join(c.dir, "log"), "-o", fmt.Sprintf("-p %d -k %s", c.port, c.dir)}
	if err := run(c.command(filepath.Join(c.bin, "pg_ctl"), append(all, args...)...)); err != nil {
		log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
		return fmt.Errorf("%w\n%s", err, log[max(0, len(log)-2000):])
	}
	return nil
}

func (c *cluster) directory() (string, error) {
	dir, err := os.MkdirTemp(c.dir, "")
	if err == nil && c.as != nil {
		err = os.Chown(dir, int(c.as.Uid), int(c.as.Gid))
	}
	return dir, err
}

// remove lets the keeper do its work now.
func (c *cluster) remove() {
	c.once.Do(func() {
		c.alive.Close()
		c.keeper.Wait()
	})
}

func (c *cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as}
	// Not the variables that would tell the programs of another server.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	return cmd
}

// run runs cmd; its output becomes part of the error. The output goes through a
// file, because a server that is started keeps a pipe open.
func run(cmd *exec.Cmd) error {
	out, err := os.CreateTemp("", "coffre-postgres-out-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(string(said)))
	}
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// unprivileged returns whom to run the server as: PostgreSQL refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
	}
	return nil, errors.New("there is no user postgres or nobody to run it as, and PostgreSQL refuses root")
}

// errMissing: there is no PostgreSQL on the machine and none can be installed.
var errMissing = errors.New("no initdb was found: install PostgreSQL 15 or newer (Debian: apt-get install postgresql), or set " +
	Given + " to the DSN of a superuser")

// binaries returns the folder of PostgreSQL's programs, after installing them where
// that is possible.
func binaries() (string, error) {
	if dir, ok := findBinaries(); ok {
		return dir, nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return "", errMissing
	}
	lock := flock.New(filepath.Join(os.TempDir(), "coffre-postgres-install.lock"))
	if err := lock.Lock(); err != nil { // tests of other packages come here too
		return "", err
	}
	defer lock.Unlock()
	if dir, ok := findBinaries(); ok {
		return dir, nil
	}
	for _, args := range [][]string{{"update", "-q"}, {"install", "-q", "-y", "--no-install-recommends", "postgresql"}} {
		cmd := exec.Command(apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if err := run(cmd); err != nil {
			return "", fmt.Errorf("%w; %w", errMissing, err)
		}
	}
	if dir, ok := findBinaries(); ok {
		return dir, nil
	}
	return "", errMissing
}

// findBinaries looks where Debian keeps them, newest first, then in PATH.
func findBinaries() (dir string, ok bool) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.SortFunc(found, func(a, b string) int { return major(b) - major(a) })
	if len(found) > 0 {
		return filepath.Dir(found[0]), true
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), true
		}
	}
	return "", false
}

// major reads the version out of /usr/lib/postgresql/15/bin/initdb.
func major(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}
