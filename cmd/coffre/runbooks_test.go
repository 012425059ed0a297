package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/cmd/coffre/bench"
	"coffre/cmd/coffre/vault"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/transit/vaulttest"
)

// blockIn is how long a block may take before it counts as hung.
const blockIn = 2 * time.Minute

// session is a shell in which an operator types what the runbooks say, a block after the other,
// and in which coffre is this program.
type session struct {
	t     *testing.T
	dir   string
	shell *exec.Cmd
	in    io.WriteCloser
	done  chan struct{} // a block ended well
	ended chan struct{} // the shell did
	n     int           // blocks
}

// newSession starts a shell with these variables beside the test's own. With the test everything
// ends that was started in it.
func newSession(t *testing.T, env ...string) *session {
	t.Helper()
	s := &session{t: t, dir: t.TempDir(), done: make(chan struct{}), ended: make(chan struct{})}
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(s.dir, "bin")
	self, err := os.Executable()
	fail(err)
	fail(os.Mkdir(bin, 0o700))
	// The processes of a shell's background read nothing; those of this program end with their input.
	fail(os.WriteFile(filepath.Join(bin, "coffre"), fmt.Appendf(nil, "#!/bin/sh\nexec env %s=1 '%s' \"$@\" <&3\n", asProgram, self), 0o700))
	vault, err := vaulttest.Binary(t.Context())
	fail(err)
	fail(os.Symlink(vault, filepath.Join(bin, "vault")))
	keygen := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "age-keygen"), "filippo.io/age/cmd/age-keygen")
	if said, err := keygen.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	open, stop, err := os.Pipe()
	fail(err)
	ends, says, err := os.Pipe()
	fail(err)
	out, err := os.Create(s.file("out"))
	fail(err)

	s.shell = exec.Command("bash", "-euo", "pipefail", "-s")
	s.shell.Dir, s.shell.Stdout, s.shell.Stderr, s.shell.ExtraFiles = "../..", out, out, []*os.File{open, says}
	s.shell.Env = append(os.Environ(), append(env, "PATH="+bin+string(os.PathListSeparator)+pgtest.Programs(t)+string(os.PathListSeparator)+os.Getenv("PATH"))...)
	s.shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with all that it starts
	s.in, err = s.shell.StdinPipe()
	fail(err)
	fail(s.shell.Start())
	go func() {
		defer close(s.ended)
		_ = s.shell.Wait() // how it ended shows in what it said
	}()
	go func() {
		for lines := bufio.NewScanner(ends); lines.Scan(); {
			s.done <- struct{}{}
		}
	}()
	t.Cleanup(func() {
		_ = s.in.Close()
		if err := syscall.Kill(-s.shell.Process.Pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Error(err)
		}
		if err := poll(context.WithoutCancel(t.Context()), func() (bool, time.Time, error) {
			return errors.Is(syscall.Kill(-s.shell.Process.Pid, 0), syscall.ESRCH), time.Time{}, nil
		}); err != nil {
			t.Error(err)
		}
		for _, f := range []io.Closer{open, stop, says, ends, out} {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

func (s *session) file(name string) string { return filepath.Join(s.dir, name) }

// types runs a block, which must end well, and returns what was said meanwhile, by processes in
// the background too.
func (s *session) types(t *testing.T, block string) string {
	t.Helper()
	s.n++
	script := s.file(fmt.Sprintf("%d.sh", s.n))
	before, err := os.ReadFile(s.file("out"))
	if err == nil {
		err = os.WriteFile(script, []byte(block), 0o600)
	}
	if err == nil {
		_, err = fmt.Fprintf(s.in, ". '%s' </dev/null\necho ended >&4\n", script)
	}
	if err != nil {
		t.Fatal(err)
	}
	said := func() string { return readFile(t, s.file("out"))[len(before):] }
	ctx, cancel := context.WithTimeout(t.Context(), blockIn)
	defer cancel()
	select {
	case <-s.done:
	case <-s.ended:
		t.Fatalf("the shell ended in\n%s\nand said\n%s", block, said())
	case <-ctx.Done():
		t.Fatalf("it does not end:\n%s\n%s", block, said())
	}
	return said()
}

// runbook is what a test adds to a runbook: the trouble, and what people do beside typing.
type runbook struct {
	file    string
	trouble func(t *testing.T, i *installation)
	own     map[int]bool                                // blocks that say what is the reader's own, from 0
	instead map[int]func(t *testing.T, i *installation) // what is done for blocks that no test types; elsewhere says why
	says    map[int][]string                            // what is seen after a block
}

// runbooks are those that are played on one installation, in this order.
var runbooks = []runbook{
	{
		file: "sealed.md",
		trouble: func(t *testing.T, i *installation) {
			i.keys.Seal(t)
			i.until(t, "DEGRADED", func() { i.issue(t, http.StatusServiceUnavailable) })
		},
		instead: map[int]func(*testing.T, *installation){1: func(t *testing.T, i *installation) { i.keys.Unseal(t) }},
		says:    map[int][]string{0: {"DEGRADED", "Sealed", "true"}, 2: {"false", "UP"}, 3: {"UP"}},
	},
	{
		file: "read-model.md",
		trouble: func(t *testing.T, i *installation) {
			i.poison(t)
			i.issue(t, http.StatusCreated)
			i.until(t, "DEGRADED", func() {})
		},
		says: map[int][]string{0: {"DEGRADED", "wallet"}, 2: {"live", "UP"}},
	},
	{
		file: "upgrade.md",
		says: map[int][]string{0: {"older"}, 2: {"yes"}, 4: {"UP"}, 5: {"live"}},
	},
	{
		file: "restore.md",
		trouble: func(t *testing.T, i *installation) {
			i.backUp(t)
			i.database.Stop(t)
			i.moveTo(t, pgtest.Start(t))
		},
		own:  map[int]bool{1: true},
		says: map[int][]string{2: {"RESTORED"}, 4: {"UP"}, 5: {"whole"}},
	},
}

// elsewhere are the blocks that TestRunbooks does not type, by their file and number, and why; a number
// of -1 stands for all of a file.
var elsewhere = map[string]map[int]string{
	"sealed.md":         {1: "it asks a person for a share at the terminal"},
	"backup.md":         {-1: "its names have the day in them; TestRestoreKeepsErasedWhatWasErased, TestBackupOnPostgreSQL and the restore of keys' rows run the same commands"},
	"rotation.md":       {-1: "weeks lie between its steps; TestRotationByHand and TestRotationByHandOnPostgreSQL run them"},
	"move.md":           {-1: "its source is a vault on a laptop; TestCopyFromTheLaptopToProductionAndBack runs it"},
	"deleted-stream.md": {-1: "it needs a KurrentDB; TestADeletedStreamTakesNothingElseWithIt runs it on one"},
	"witnesses.md":      {-1: "it needs witnesses; TestSplitViewIsFoundByAWitness runs it with some"},
	"install.md":        {},
}

// TestRunbooks installs a vault and plays each trouble that a runbook is for: the trouble is brought
// about, the blocks are typed as they stand, and afterwards the vault is well.
func TestRunbooks(t *testing.T) {
	t.Parallel()
	i := install(t)
	for _, book := range runbooks {
		ok := t.Run(strings.TrimSuffix(book.file, ".md"), func(t *testing.T) {
			blocks := blocksOf(t, filepath.Join("../../deploy/runbooks", book.file))
			if book.trouble != nil {
				book.trouble(t, i)
			}
			for n, block := range blocks {
				if instead := book.instead[n]; instead != nil {
					instead(t, i)
					continue
				}
				if book.own[n] {
					block = i.own(t, block)
				}
				said := i.types(t, block)
				if strings.Contains(said, "address already in use") {
					t.Errorf("a process was not stopped before\n%s\n%s", block, said)
				}
				for _, want := range book.says[n] {
					if !strings.Contains(said, want) {
						t.Errorf("%q is not said after\n%s\nbut\n%s", want, block, said)
					}
				}
			}
			i.issue(t, http.StatusCreated)
		})
		if !ok {
			return
		}
	}
}

// Every block of every runbook is typed by a test, or stands in elsewhere with the reason.
func TestEveryBlockOfTheRunbooksIsTyped(t *testing.T) {
	played := map[string]runbook{"install.md": {}}
	for _, book := range runbooks {
		played[book.file] = book
	}
	seen := maps.Clone(elsewhere)
	err := filepath.WalkDir("../../deploy/runbooks", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		delete(seen, d.Name())
		book, typed := played[d.Name()]
		if fenced := strings.Count(readFile(t, path), "```sh\n"); fenced > 0 && !typed && elsewhere[d.Name()][-1] == "" {
			t.Errorf("%s has %d blocks that no test types", d.Name(), fenced)
		} else if typed && fenced != len(blocksOf(t, path)) {
			t.Errorf("%s has blocks that are not at the margin, and no test types those", d.Name())
		}
		for n := range book.instead {
			if elsewhere[d.Name()][n] == "" {
				t.Errorf("%s: nothing says why block %d is not typed", d.Name(), n)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range seen {
		t.Errorf("there is no %s", name)
	}
}

// issue issues a document to somebody new through the first process, and wants that answer.
func (i *installation) issue(t *testing.T, want int) {
	t.Helper()
	i.issued++
	body := fmt.Sprintf(`{"ssin":"%s","documentType":"isiPlusCard","sourceReference":"runbook-%d","validFrom":"2026-01-01","content":{"name":"An Example","birthDate":"1953-08-02"}}`, bench.SSIN(i.issued).Reveal(), i.issued)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+i.env["ONE"]+"/vault/v1/documents", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", uuid.NewString())
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(readFile(t, filepath.Join(i.env["SETTINGS"], "secrets", "issuer.token"))))
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if said, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != want {
		t.Fatalf("issuing is answered %d %s, %v; want %d", answer.StatusCode, said, err, want)
	}
}

// until calls again until the health of the first process is that.
func (i *installation) until(t *testing.T, health string, again func()) {
	t.Helper()
	at := filepath.Join(i.env["STATE"], "one")
	if err := poll(t.Context(), func() (bool, time.Time, error) {
		again()
		return strings.Contains((&shell{t: t}).run("health", "--data", at).out, health), time.Time{}, nil
	}); err != nil {
		t.Fatal(err)
	}
}

// poison has the server refuse every new row of a read model's tables.
func (i *installation) poison(t *testing.T) {
	t.Helper()
	db, err := pgdb.Open(i.database.Superuser(t, i.owner.String()), pgdb.Options{Schema: "public", Conns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var tables []string
	if err := db.Select(&tables, `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname LIKE 'coffre\_wallet\_v%' AND tablename <> 'checkpoint'`); err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	for _, table := range tables {
		if _, err := db.Exec(`ALTER TABLE ` + table + ` ADD CONSTRAINT poisoned CHECK (false) NOT VALID`); err != nil {
			t.Fatal(err)
		}
	}
}

// backUp takes the backup of last night, and keeps the shred list apart.
func (i *installation) backUp(t *testing.T) {
	t.Helper()
	id, identity := ageKey(t)
	i.env["ARCHIVE"], i.env["IDENTITY"], i.env["LIST"] = filepath.Join(t.TempDir(), "night.age"), identity, filepath.Join(t.TempDir(), "shred.list")
	(&shell{t: t}).must(0, "backup", "--data", filepath.Join(i.env["STATE"], "one"), "--why", "maintenance", "--out", i.env["ARCHIVE"], "--recipient", id.Recipient().String())
	kept := []byte(readFileIf(t, vault.DataDir(filepath.Join(i.env["STATE"], "destroyer")).File(vault.ShredFile)))
	if err := os.WriteFile(i.env["LIST"], kept, 0o600); err != nil {
		t.Fatal(err)
	}
}

// moveTo says that an empty database on that server is the reader's own from now on.
func (i *installation) moveTo(t *testing.T, server *pgtest.Server) {
	t.Helper()
	owner, err := url.Parse(server.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	i.database, i.owner = server, owner
	i.env["OWNER"], i.env["DATABASE"] = owner.User.Username(), owner.Host+owner.Path+"?"+owner.RawQuery
	password, _ := owner.User.Password()
	pass, err := os.OpenFile(filepath.Join(i.home, ".pgpass"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(pass, "*:*:*:%s:%s\n", owner.User.Username(), password)
	if err := errors.Join(err, pass.Close()); err != nil {
		t.Fatal(err)
	}
}
