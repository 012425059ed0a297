package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/eventstore/memory"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/localkek"
	"coffre/eventstore/seal/transit/vaulttest"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/eventstore/storetest"
	"coffre/handlers/contract"
	"coffre/handlers/edge/apitest"
	"coffre/handlers/edge/token"
)

// seen is what people and auditors see of a vault, as it is answered.
func seen(t *testing.T, dir vault.DataDir, o vault.Options, people []domain.SSIN) (wallets []string, log string) {
	t.Helper()
	v, err := vault.Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := v.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	key, err := token.OpenDevKey(dir.File(vault.DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Instance: v, dir: dir, key: key}
	for _, ssin := range people {
		id, err := v.Ring.Resolve(t.Context(), ssin)
		if errors.Is(err, eventstore.ErrErased) {
			wallets = append(wallets, "erased")
			continue
		} else if err != nil {
			wallets = append(wallets, err.Error()) // never known
			continue
		}
		var w contract.Wallet
		wallets = append(wallets, r.read(t, token.Grant{Role: domain.RoleCitizen, SSIN: ssin},
			httptest.NewRequest(http.MethodGet, contract.Base+"/citizens/"+id.String()+"/wallet", nil), &w))
	}
	var text strings.Builder
	for after := ""; ; {
		var page contract.LogEvents
		text.WriteString(r.read(t, token.Grant{Role: domain.RoleAuditor, Subject: "copy"},
			httptest.NewRequest(http.MethodGet, contract.Base+"/events?pageSize=100"+after, nil), &page))
		if page.Next == "" {
			head, err := v.Core.PositionToken(t.Context(), eventstore.Position{}) // which a caller may hold
			if err != nil {
				t.Fatal(err)
			}
			return wallets, text.String() + string(head)
		}
		_, cursor, _ := strings.Cut(string(page.Next), "after=")
		cursor, _, _ = strings.Cut(cursor, "&")
		after = "&after=" + cursor
	}
}

// numbers returns the national numbers that the demo tells of.
func numbers(t *testing.T, out string) (people []domain.SSIN) {
	t.Helper()
	known := map[string]bool{}
	var walk func(any)
	walk = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			if text, ok := v["ssin"].(string); ok && !known[text] {
				known[text] = true
				if ssin, err := domain.ParseSSIN(text); err == nil {
					people = append(people, ssin)
				}
			}
			for _, one := range v {
				walk(one)
			}
		case []any:
			for _, one := range v {
				walk(one)
			}
		}
	}
	for line := range strings.Lines(out) {
		var step any
		if err := json.Unmarshal([]byte(line), &step); err != nil {
			t.Fatal(err)
		}
		walk(step)
	}
	if len(people) < 4 {
		t.Fatalf("the demo tells of %d people", len(people))
	}
	return people
}

// TestCopyFromTheLaptopToProductionAndBack takes a vault with its keys in a file to
// PostgreSQL with its keys in Vault, and from there into files again.
func TestCopyFromTheLaptopToProductionAndBack(t *testing.T) {
	laptop, run, back := vault.DataDir(t.TempDir()), vault.DataDir(t.TempDir()), vault.DataDir(filepath.Join(t.TempDir(), "back"))
	people := numbers(t, (&shell{t: t}).must(0, "demo", "--json", "--data", string(laptop)).out)
	wallets, log := seen(t, laptop, vault.Options{}, people)
	if joined := strings.Join(wallets, ""); !strings.Contains(joined, `"content"`) || !strings.Contains(joined, "erased") {
		t.Fatalf("the demo's wallets hold too little for this test: %s", joined)
	}

	address, err := url.Parse(pgtest.Shared(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := address.User.Password()
	t.Setenv("PGPASSWORD", password)
	address.User = url.User(address.User.Username())
	pg := address.String()
	transit := vaultOf(t, vaulttest.Shared(t))
	inVault := &shell{t: t, adapt: func(p *program) {
		env := map[string]string{
			"COFFRE_VAULT_ADDR": transit.Address, "COFFRE_VAULT_CA_FILE": transit.CAFile, "COFFRE_VAULT_TIMEOUT": transit.Timeout.String(),
			"COFFRE_VAULT_ROLE": transit.Application.Role, "COFFRE_VAULT_SECRET_ID_FILE": transit.Application.SecretIDFile,
		}
		p.Getenv = func(name string) string { return env[name] }
	}}
	answer := func(args ...string) (c vault.Copied) {
		t.Helper()
		if err := json.Unmarshal([]byte(inVault.must(0, append([]string{"store", "copy", "--json"}, args...)...).out), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}

	there := answer("--from", "sqlite:"+string(laptop), "--to", pg, "--to-data", string(run))
	if there.Copied != there.Leaves || there.Leaves < 40 || !there.Rewrapped {
		t.Fatalf("%+v", there)
	}
	same := func(where string, dir vault.DataDir, o vault.Options) {
		t.Helper()
		gotWallets, gotLog := seen(t, dir, o, people)
		for i := range wallets {
			if gotWallets[i] != wallets[i] {
				t.Errorf("%s: a wallet differs:\n%s\n%s", where, gotWallets[i], wallets[i])
			}
		}
		// Looking at a vault is on record in it, so the ends of the logs are their own.
		if !strings.HasPrefix(gotLog, log[:len(log)/2]) {
			t.Errorf("%s: the log differs", where)
		}
	}
	same("in PostgreSQL", run, vault.Options{Transit: transit, Stores: vault.StoresConfig{Log: pg}})

	// One that is in use is not copied over.
	if got := inVault.must(exitFailed, "store", "copy", "--from", "sqlite:"+string(laptop), "--to", pg, "--to-data", string(run)); !strings.Contains(got.err, "empty") {
		t.Errorf("copied over a vault: %s", got.err)
	}
	for _, bad := range [][]string{
		{"--from", "sqlite:" + string(laptop), "--to", "sqlite:" + string(laptop)},
		{"--from", "sqlite:" + string(laptop), "--to", pg}, // where are its own files?
		{"--from", "sqlite:" + string(laptop), "--to", "mysql://h/d", "--to-data", "x"},
		{"--from", "sqlite:" + string(laptop), "--to", "postgres://u:word@h/d", "--to-data", "x"},
	} {
		if got := inVault.must(exitUsage, append([]string{"store", "copy"}, bad...)...); strings.Contains(got.err, "word@") {
			t.Errorf("a password was told: %s", got.err)
		}
	}

	recorded := func(dir vault.DataDir, o vault.Options, want int) {
		t.Helper()
		v, err := vault.Open(t.Context(), dir, o)
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{Instance: v, dir: dir}
		if all := r.operated(t, audit.CopyStore); len(all) != want {
			t.Errorf("%s: %d copies on record, want %d", dir, len(all), want)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
	recorded(laptop, vault.Options{}, 1) // not the one that was refused
	recorded(run, vault.Options{Transit: transit, Stores: vault.StoresConfig{Log: pg}}, 1)
	home := answer("--from", pg, "--from-data", string(run), "--to", "sqlite:"+string(back))
	if home.Rewrapped || home.Leaves < there.Leaves {
		t.Fatalf("%+v", home)
	}
	same("back in files", back, vault.Options{Transit: transit})
}

// TestCopyToKurrentDBKilledHalfWay takes a vault to KurrentDB. The first copy is killed
// with an append on its way; the second goes on. What the first left is no vault, and
// no source. Then the vault goes back into files, and to another KurrentDB while
// somebody writes to the source.
func TestCopyToKurrentDBKilledHalfWay(t *testing.T) {
	t.Parallel()
	laptop, run, back := vault.DataDir(t.TempDir()), vault.DataDir(t.TempDir()), vault.DataDir(filepath.Join(t.TempDir(), "back"))
	s := &shell{t: t}
	people := numbers(t, s.must(0, "demo", "--json", "--data", string(laptop)).out)
	wallets, _ := seen(t, laptop, vault.Options{}, people)
	answer := func(args ...string) (c vault.Copied) {
		t.Helper()
		if err := json.Unmarshal([]byte(s.must(0, append([]string{"store", "copy", "--json"}, args...)...).out), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	reached, killed := make(chan struct{}), make(chan struct{})
	const cut = 20 // the append that is on its way
	inner := memory.New()
	kurrent := onWire(t, faulty.New(inner, func(c faulty.Call) faulty.Fault {
		if c == (faulty.Call{Method: faulty.Append, N: cut}) {
			close(reached)
			<-killed // and then it has its effect
		}
		return faulty.Fault{}
	}))
	there := []string{"--from", "sqlite:" + string(laptop), "--to", kurrent, "--to-data", string(run)}

	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	first := exec.CommandContext(t.Context(), binary, append([]string{"store", "copy"}, there...)...)
	first.Env = append(os.Environ(), asProgram+"=1")
	if _, err := first.StdinPipe(); err != nil { // its end is closed when we end, however
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- first.Wait() }()
	select {
	case <-reached:
	case err := <-ended:
		t.Fatalf("ended before it was killed: %v", err)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	close(killed)

	o := vault.Options{Stores: vault.StoresConfig{Log: kurrent}}
	if v, err := vault.Open(t.Context(), run, o); !errors.Is(err, keysdb.ErrUnfinished) {
		if err == nil {
			err = v.Close()
		}
		t.Fatalf("half a vault opened: %v", err)
	}
	if got := s.must(exitFailed, "store", "copy", "--from", kurrent, "--from-data", string(run), "--to", "sqlite:"+string(back)); !strings.Contains(got.err, "not finished") {
		t.Errorf("half a vault was copied: %s", got.err)
	}
	rest := answer(there...)
	if rest.Copied <= 0 || rest.Copied > rest.Leaves-cut+1 {
		t.Errorf("the second copy did not go on where the first was: %+v", rest)
	}
	same := func(where string, dir vault.DataDir, o vault.Options) {
		t.Helper()
		got, _ := seen(t, dir, o, people)
		if !slices.Equal(got, wallets) {
			t.Errorf("%s: the wallets differ", where)
		}
	}
	same("in KurrentDB", run, o)

	// Where the source's address holds a password it is in the environment.
	env := map[string]string{}
	s.adapt = func(p *program) { p.Getenv = func(name string) string { return env[name] } }
	if got := s.must(exitUsage, "store", "copy", "--from", "esdb://vault:word@h:2113", "--from-data", string(run), "--to", "sqlite:"+string(back)); !strings.Contains(got.err, fromVariable) || strings.Contains(got.err, "vault:word") || strings.Contains(got.err, vault.StoreVariable) {
		t.Errorf("the way for a password is told wrong: %s", got.err)
	}
	env[fromVariable] = strings.Replace(kurrent, "esdb://", "esdb://vault:word@", 1)
	home := answer("--from-data", string(run), "--to", "sqlite:"+string(back))
	if home.Rewrapped == false || home.Leaves != home.Copied || home.Leaves < rest.Leaves {
		t.Errorf("%+v", home)
	}
	same("back in files", back, vault.Options{})

	other := vault.DataDir(t.TempDir())
	busy := []string{"--from", kurrent, "--from-data", string(run), "--to-data", string(other), "--to", onWire(t, faulty.New(memory.New(), func(c faulty.Call) faulty.Fault {
		if c == (faulty.Call{Method: faulty.Append, N: 5}) {
			written := storetest.Records(1)
			written[0].Sealed = nil // no ring has a key for it
			batch := eventstore.Batch{Stream: "document-0193a3e0-8f4b-7c1d-9a55-0e9f6a3b7c21", Expected: eventstore.NoStream, Records: written}
			if _, err := inner.Append(context.Background(), batch); err != nil {
				t.Error(err)
			}
		}
		return faulty.Fault{}
	}))}
	if got := s.must(exitFailed, append([]string{"store", "copy"}, busy...)...); !strings.Contains(got.err, "written to the source") {
		t.Errorf("copied a vault that somebody writes to: %s", got.err)
	}
	if again := answer(busy...); again.Leaves != home.Leaves+3 { // what was written, and the records of two attempts
		t.Errorf("%+v", again)
	}
}

// A target whose copy was not finished is no vault yet.
func TestUnfinishedCopyDoesNotOpen(t *testing.T) {
	dir := vault.DataDir(t.TempDir())
	kek, err := localkek.Open(dir.File(vault.KEKFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := kek.Close(); err != nil {
		t.Fatal(err)
	}
	keys, err := keysdb.Open(t.Context(), dir.File(vault.KeysFile), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.BeginCopy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := keys.Close(); err != nil {
		t.Fatal(err)
	}
	if err := (&shell{t: t}).must(exitFailed, "keys", "status", "--data", string(dir)); !strings.Contains(err.err, "not finished") {
		t.Errorf("opened: %s", err.err)
	}
	if err := (&shell{t: t}).must(exitFailed, "store", "copy", "--from", "sqlite:"+t.TempDir(), "--to", "sqlite:"+string(dir)); !strings.Contains(err.err, "no vault") {
		t.Errorf("copied from nothing: %s", err.err)
	}
}

// A copy brings the files of documents, those of what was erased apart, and is refused
// by a source that lacks one: its files lie elsewhere.
func TestCopyBringsTheFiles(t *testing.T) {
	y := newYesterday(t)
	s := &shell{t: t}
	to, lacking := vault.DataDir(filepath.Join(t.TempDir(), "copy")), vault.DataDir(filepath.Join(t.TempDir(), "lacking"))
	var done vault.Copied
	if err := json.Unmarshal([]byte(s.must(0, "store", "copy", "--json", "--from", "sqlite:"+string(y.dir), "--to", "sqlite:"+string(to)).out), &done); err != nil {
		t.Fatal(err)
	}
	if done.Attachments != 1 {
		t.Errorf("%+v", done)
	}
	r := rigOn(t, to)
	if w := r.get(t, attestor, "/documents/"+y.b2+"/attachments/"+y.files["b2"]); w.Body.String() != apitest.PDF {
		t.Errorf("the file of what was not erased: %d %q", w.Code, w.Body)
	}
	for path, want := range map[string]int{"/documents/" + y.a1: 410, "/documents/" + y.b1: 410, "/documents/" + y.later: 200} {
		if code := r.status(t, attestor, path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	r.close(t)

	if err := os.RemoveAll(y.dir.File(vault.BlobsFolder)); err != nil {
		t.Fatal(err)
	}
	if got := s.must(exitFailed, "store", "copy", "--from", "sqlite:"+string(y.dir), "--to", "sqlite:"+string(lacking)); !strings.Contains(got.err, "files") {
		t.Errorf("copied without its files: %s", got.err)
	}
	if _, err := vault.Open(t.Context(), lacking, vault.Options{}); !errors.Is(err, keysdb.ErrUnfinished) {
		t.Errorf("the target opens, or: %v", err)
	}
}
