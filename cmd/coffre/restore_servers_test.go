package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"coffre/cmd/coffre/vault"
	"coffre/eventstore"
	"coffre/eventstore/faulty/faultnet"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/keysdb"
)

// ontoServers restores yesterday's backup onto a database.
type ontoServers struct {
	*yesterday
	t *testing.T
}

// onto are the steps of a restore that bring it to servers; those before are of one into files.
var onto = []string{"mark the servers", "bring the log", "bring files", "bring keys", "bring reactors", "empty the directory", "unmark the servers", "done"}

// until restores, and ends as a kill would before the step named; "": it goes to its end.
func (o ontoServers) until(dir vault.DataDir, at, stop string) (ended bool, err error) {
	release, err := dir.Own()
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() {
		if err := release(); err != nil {
			o.t.Error(err)
		}
		if p := recover(); p != nil && p != (killed{}) {
			panic(p)
		}
	}()
	f, err := os.Open(o.archive)
	if err != nil {
		o.t.Fatal(err)
	}
	defer f.Close()
	var steps []string
	r := &vault.Restore{
		Dir: dir, Identities: []age.Identity{o.id}, ShredList: o.list, KEKFile: o.kek,
		Onto: &vault.RestoreServers{Stores: vault.StoresConfig{Log: at}, Logger: slog.New(slog.DiscardHandler)},
		BeforeStep: func(step string) {
			if steps = append(steps, step); step == stop {
				panic(killed{})
			}
		},
	}
	_, err = r.Run(o.t.Context(), f)
	if first := slices.Index(steps, onto[0]); err == nil && (first < 0 || !slices.Equal(steps[first:], onto) && !slices.Equal(steps[first:], []string{onto[0], "done"})) {
		o.t.Errorf("its steps are %q", steps)
	}
	return true, err
}

// refused fails the test unless neither the directory nor another one opens the database as a vault's.
func (o ontoServers) refused(dir vault.DataDir, at, when string, half bool) {
	o.t.Helper()
	for _, one := range []struct {
		dir  vault.DataDir
		want error
	}{{dir, vault.ErrUnfinishedRestore}, {o.elsewhere(), keysdb.ErrUnfinished}} {
		if one.dir != dir && !half {
			continue
		}
		v, err := vault.Open(o.t.Context(), one.dir, vault.Options{Duty: vault.Alone, Stores: vault.StoresConfig{Log: at}})
		if err == nil {
			err = v.Close()
		}
		if !errors.Is(err, one.want) {
			o.t.Errorf("%s, it opens: %v", when, err)
		}
	}
}

// elsewhere is a directory of a process that has the key file.
func (o ontoServers) elsewhere() vault.DataDir {
	o.t.Helper()
	dir := vault.DataDir(o.t.TempDir())
	if err := os.WriteFile(dir.File(vault.KEKFile), []byte(readFile(o.t, o.kek)), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return dir
}

// well fails the test unless the restored vault keeps erased what was erased, and the rest.
func (o ontoServers) well(dir vault.DataDir, at string) {
	o.t.Helper()
	v, err := vault.Open(o.t.Context(), dir, vault.Options{Duty: vault.Alone, Stores: vault.StoresConfig{Log: at}, KeyLease: time.Second})
	if err != nil {
		o.t.Fatalf("restored, it does not open: %v", err)
	}
	r := rigOf(o.t, v, dir)
	defer r.close(o.t)
	if err := r.sealedOpens(o.t, "document-"+o.a1); !errors.Is(err, eventstore.ErrErased) {
		o.t.Errorf("what was erased opens: %v", err)
	}
	if err := r.sealedOpens(o.t, "document-"+o.b2); err != nil {
		o.t.Error(err)
	}
}

// Wherever a restore onto a server is killed, nothing opens what is there, and the same words restore
// it: here each goes on from where the one before was killed, a step later, the first of all being a
// process that the system killed while it wrote the log. A vault that was served since is not touched.
func TestRestoreOntoServersKilledAtEachStep(t *testing.T) {
	t.Parallel()
	o := ontoServers{newYesterday(t), t}
	at, dir := pgtest.Shared(t).Database(t), vault.DataDir(filepath.Join(t.TempDir(), "restored"))
	o.killedBySystem(dir, at)
	for _, stop := range onto {
		if ended, err := o.until(dir, at, stop); ended || err != nil {
			t.Fatalf("until %q: %t %v", stop, ended, err)
		}
		o.refused(dir, at, fmt.Sprintf("killed before %q", stop), stop != "done")
	}
	if ended, err := o.until(dir, at, ""); !ended || err != nil {
		t.Fatal(ended, err)
	}
	o.well(dir, at)
	for mark, content := range map[string]string{"": "", "restore.unfinished": "brought\n"} {
		again := vault.DataDir(t.TempDir())
		if mark != "" {
			if err := os.WriteFile(again.File(mark), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := o.until(again, at, ""); err == nil || !strings.Contains(err.Error(), "in use already") {
			t.Errorf("onto a vault that was served since, marked %q: %v", content, err)
		}
	}
}

// killedBySystem kills the process of a restore while it brings the log.
func (o ontoServers) killedBySystem(dir vault.DataDir, at string) {
	t := o.t
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := faultnet.New(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	proxy.Delay(5 * time.Millisecond) // so that it is seen on its way
	through, err := url.Parse(pgtest.Via(t, at, proxy.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := through.User.Password()
	through.User = url.User(through.User.Username())
	cmd := exec.CommandContext(t.Context(), must1(os.Executable()), "restore", o.archive, "--data", string(dir), "--identity-file", o.key,
		"--shred-list", o.list, "--kek-file", o.kek, "--store", through.String())
	cmd.Env = append(os.Environ(), asProgram+"=1", "PGPASSWORD="+password)
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	db, err := pgdb.Open(at, pgdb.Options{Schema: "public", Conns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := poll(t.Context(), func() (there bool, _ time.Time, err error) { // until a part of the log is
		select {
		case err := <-ended:
			return false, time.Time{}, fmt.Errorf("it ended by itself: %w\n%s", err, said.String())
		default:
		}
		err = db.Get(&there, `SELECT to_regclass('eventlog.events') IS NOT NULL`)
		if there && err == nil {
			err = db.Get(&there, `SELECT EXISTS (SELECT FROM eventlog.events)`)
		}
		return there, time.Time{}, err
	}); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err, exit := <-ended, new(exec.ExitError); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed on its way: %v\n%s", err, said.String())
	}
	o.refused(dir, at, "killed by the system", true)
}
