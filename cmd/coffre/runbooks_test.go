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
	"slices"
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
	"coffre/handlers/contract"
)

// blockIn is how long a block may take before it counts as hung.
const blockIn = 4 * time.Minute

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
	order   []int                                       // in which the blocks are typed, where it is not that of the page
	before  map[int]func(t *testing.T, i *installation) // what happens before a block
	instead map[int]func(t *testing.T, i *installation) // what is done for blocks that no test types; elsewhere says why
	says    map[int][]string                            // what is seen after a block
	then    func(t *testing.T, i *installation)         // what holds in the end
}

// typed returns the numbers of so many blocks in the order in which they are typed.
func (b runbook) typed(blocks int) []int {
	if b.order != nil {
		return b.order
	}
	order := make([]int, blocks)
	for n := range order {
		order[n] = n
	}
	return order
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
		file:    "unwritten.md",
		trouble: usageAndTracesAreLost,
		own:     map[int]bool{0: true},
		says:    map[int][]string{1: {"coffre_traffic_unwritten_age_seconds", "coffre_spans_lost_total"}, 2: {"traffic_days|DELETE INSERT SELECT UPDATE", "traffic_months|SELECT\n"}, 4: {"0206731645"}, 5: {"200"}, 6: {"UP", "coffre_spans_sent_total"}},
		then:    tracesEnd,
	},
	{
		file: "upgrade.md",
		says: map[int][]string{0: {"older"}, 2: {"yes"}, 4: {"UP"}, 5: {"live"}},
	},
	{
		file:    "erase.md",
		trouble: somebodyToForget,
		own:     map[int]bool{1: true},
		order:   []int{0, 1, 2, 3, 4, 8, 5, 6, 7, 9}, // Vault goes away after the approval
		before: map[int]func(*testing.T, *installation){
			4: func(t *testing.T, i *installation) { i.types(t, "stop destroyer\n") },
			8: func(t *testing.T, i *installation) {
				i.keys.Seal(t)
				i.types(t, "start destroyer\n") // and waits for Vault
				i.until(t, "DEGRADED", func() { i.issue(t, http.StatusServiceUnavailable) })
			},
			5: func(t *testing.T, i *installation) { i.keys.Unseal(t) }, // and the destroyer that waits goes on
		},
		says: map[int][]string{2: {"requested"}, 4: {"approved"}, 8: {"approved  law", "keys cannot be reached"}, 5: {"keysDestroyed"}, 7: {"holds", "whole"}, 9: {"keysDestroyed"}},
		then: nobodyIsForgottenElsewhere,
	},
	{
		file:    "breach.md",
		trouble: aConsumerReads,
		own:     map[int]bool{1: true},
		says:    map[int][]string{3: {"accesses.csv", "refusals.csv"}, 4: {"whole", "holds"}, 5: {"1 persons", "2 accesses", "access.authorized"}, 6: {"Success!", "UP"}, 7: {"UP"}},
		then: func(t *testing.T, i *installation) {
			if code, said := i.access(t); code != http.StatusNotFound || !strings.Contains(string(said), "noBasis") {
				t.Errorf("a consumer that was retired is answered %d %s", code, said)
			}
		},
	},
	{
		file:    "launch-day.md",
		trouble: func(t *testing.T, i *installation) { i.env["THREE"], i.env["OPS"] = freeAddress(t), freeAddress(t) },
		own:     map[int]bool{1: true},
		before:  map[int]func(*testing.T, *installation){7: func(t *testing.T, i *installation) { i.signal(t, "three", syscall.SIGKILL) }},
		instead: map[int]func(*testing.T, *installation){5: nothing},
		says:    map[int][]string{0: {"processes", "T11"}, 2: {"coffre events"}, 3: {"UP"}, 4: {"UP"}, 6: {`coffre_health{status="UP"} 1`, "coffre_requests_under_way"}, 7: {"UP"}, 8: {"OPERATION"}},
	},
	{
		file:    "clock.md",
		trouble: theClockJumped,
		own:     map[int]bool{4: true},
		instead: map[int]func(*testing.T, *installation){2: theClockIsRight},
		says:    map[int][]string{0: {"DEGRADED", "in doubt"}, 1: {"GMT"}, 3: {"UP"}, 5: {"access.authorized", "whole"}},
	},
	{
		file:    "store-full.md",
		trouble: theDiskIsFull,
		instead: map[int]func(*testing.T, *installation){2: func(t *testing.T, i *installation) {
			i.resize(2 * diskMegabytes)
			i.issue(t, http.StatusCreated) // a caller that tries again
		}},
		says: map[int][]string{0: {"DEGRADED", "PostgreSQL is full"}, 1: {"eventlog", "slot_name"}, 4: {"UP", "live"}},
	},
	{
		file:    "backup.md",
		trouble: placesForBackups,
		own:     map[int]bool{0: true},
		before:  map[int]func(*testing.T, *installation){7: aRowIsDamaged},
		instead: map[int]func(*testing.T, *installation){6: nothing},
		says:    map[int][]string{3: {"yes"}, 4: {"whole"}, 7: {"subjects", "UP"}},
	},
	{
		file: "rotation.md",
		own:  map[int]bool{2: true, 7: true},
		before: map[int]func(*testing.T, *installation){
			2: aKeyForBackups,
			7: func(t *testing.T, i *installation) {
				i.env["TAKEN"], i.env["MANIFEST"] = time.Now().UTC().Format(time.RFC3339Nano), file(t, "backup_manifest", "of PostgreSQL")
			},
		},
		says: map[int][]string{0: {"none; rotate begins"}, 1: {"take a backup"}, 3: {"yes"}, 6: {"none; rotate begins"}, 9: {"version 2, settled"}},
	},
	{
		file:    "move.md",
		trouble: aVaultOnALaptop,
		own:     map[int]bool{0: true},
		says:    map[int][]string{1: {"leaves"}, 2: {"UP"}, 3: {"whole"}},
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

// ofTheServer is why a test types none of the server's own tools.
const ofTheServer = "it asks a KurrentDB by its own tools, and the server of the tests speaks its clients' protocol alone"

// nothing stands for blocks that cannot be typed here and change nothing for those that follow.
func nothing(*testing.T, *installation) {}

// elsewhere are the blocks that TestRunbooks does not type, by their file and number, and why; a number
// of -1 stands for all of a file.
var elsewhere = map[string]map[int]string{
	"sealed.md":     {1: "it asks a person for a share at the terminal"},
	"launch-day.md": {5: "it needs a cluster; `make interop` installs the chart into one"},
	"clock.md":      {2: "it sets the machine's clock, which other tests use; what the vault remembers of it is changed instead"},
	"store-full.md": {2: "it makes a logical volume larger; the disk that the test mounted is made larger instead"},
	"backup.md":     {6: "it accepts that a log lost its end, and asks a person at the terminal; TestAcceptedLossIsOnRecordAndForgetsNothingErased runs it"},
	"kurrentdb.md": {
		1: "it names what curl asks", 2: ofTheServer, 3: ofTheServer, 6: ofTheServer, 9: ofTheServer,
	},
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
			i.play(t, book)
			i.issue(t, http.StatusCreated)
		})
		if !ok {
			return
		}
	}
}

// play brings the trouble of a runbook about and types its blocks.
func (i *installation) play(t *testing.T, book runbook) {
	t.Helper()
	blocks := blocksOf(t, filepath.Join("../../deploy/runbooks", book.file))
	if book.trouble != nil {
		book.trouble(t, i)
	}
	for _, n := range book.typed(len(blocks)) {
		block := blocks[n]
		if before := book.before[n]; before != nil {
			before(t, i)
		}
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
	if book.then != nil {
		book.then(t, i)
	}
}

// Every block of every runbook is typed by a test, or stands in elsewhere with the reason.
func TestEveryBlockOfTheRunbooksIsTyped(t *testing.T) {
	played := map[string]runbook{"install.md": {}, onKurrent.file: onKurrent}
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
		if typed && len(book.order) > 0 && !slices.Equal(slices.Sorted(slices.Values(book.order)), (runbook{}).typed(len(blocksOf(t, path)))) {
			t.Errorf("%s: the order in which it is typed has not each of its blocks once", d.Name())
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
	if code, said := i.tryIssue(t); code != want {
		t.Fatalf("issuing is answered %d %s; want %d", code, said, want)
	}
}

func (i *installation) tryIssue(t *testing.T) (code int, said []byte) {
	t.Helper()
	i.issued++
	return i.issueTo(t, i.issued)
}

// issueTo issues a document to the person of that number.
func (i *installation) issueTo(t *testing.T, n int) (code int, said []byte) {
	t.Helper()
	return i.post(t, filepath.Join(i.env["SETTINGS"], "secrets", "issuer.token"), "/documents",
		fmt.Sprintf(`{"ssin":"%s","documentType":"isiPlusCard","sourceReference":"runbook-%d","validFrom":"2026-01-01","content":{"name":"An Example","birthDate":"1953-08-02"}}`, bench.SSIN(n).Reveal(), n))
}

// post sends a body to the first process with the token of a file.
func (i *installation) post(t *testing.T, tokenFile, path, body string) (code int, said []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+i.env["ONE"]+contract.Base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", uuid.NewString())
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(readFile(t, tokenFile)))
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if said, err = io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, said
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
