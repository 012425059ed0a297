package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/kurrent/form"
	"coffre/eventstore/kurrent/wire"
	"coffre/eventstore/kurrent/wire/certtest"
	"coffre/eventstore/memory"
	"coffre/eventstore/storetest"
	"coffre/handlers/edge/token"
	"coffre/projections"
)

func TestKurrentFlags(t *testing.T) {
	for _, tc := range []struct {
		o    vault.KurrentListener
		says string // "": fine
	}{
		{vault.KurrentListener{}, ""},
		{vault.KurrentListener{Listen: "127.0.0.1:2113"}, ""},
		{vault.KurrentListener{Listen: "localhost:2113"}, ""},
		{vault.KurrentListener{Listen: "[::1]:2113", CertFile: "c", KeyFile: "k"}, ""},
		{vault.KurrentListener{Listen: "0.0.0.0:2113", CertFile: "c", KeyFile: "k", UsersFile: "u"}, ""},
		{vault.KurrentListener{Listen: "0.0.0.0:2113"}, "off loopback"},
		{vault.KurrentListener{Listen: ":2113", CertFile: "c", KeyFile: "k"}, "off loopback"},
		{vault.KurrentListener{Listen: "vault.example:2113", UsersFile: "u"}, "off loopback"},
		{vault.KurrentListener{Listen: "127.0.0.1"}, "HOST:PORT"},
		{vault.KurrentListener{Listen: "127.0.0.1:2113", UsersFile: "u"}, "over TLS only"},
		{vault.KurrentListener{CertFile: "c", KeyFile: "k"}, "go with"},
	} {
		switch err := (kurrentFlags{tc.o}).check(); {
		case tc.says == "" && err != nil:
			t.Errorf("%+v: %v", tc.o, err)
		case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)):
			t.Errorf("%+v: %v, want %q", tc.o, err, tc.says)
		}
	}
}

// kurrentTellsNothingPersonal reads a vault after its whole demo as an auditor's tool
// would, over TLS with a password: all records come, whole, and nobody's data.
func (p *played) kurrentTellsNothingPersonal(t *testing.T, f finder) {
	v, err := vault.Open(t.Context(), vault.DataDir(p.dir), vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	files, users := certtest.Make(t), filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("auditor:secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	failed := make(chan error, 1)
	o := vault.KurrentListener{Listen: "127.0.0.1:0", CertFile: files.Cert, KeyFile: files.Key, UsersFile: users}
	where, end, err := o.Offer(t.Context(), wire.Options{Store: v.Core.Log.Store(), Logger: slog.New(slog.NewJSONHandler(&logged, nil))}, failed)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	config, err := esdb.ParseConnectionString(strings.Replace(where, "esdb://", "esdb://auditor:secret@", 1) + "&tlsCAFile=" + files.CA)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = nil
	client, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	events, err := client.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	hits, n := map[string]string{}, 0
	for {
		e, err := events.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		r := e.Event
		if _, err := form.Decode(eventstore.Stream(r.StreamID), eventstore.Revision(r.EventNumber), r.EventType, r.Data, r.UserMetadata); err != nil {
			t.Fatalf("record %d: %v", n, err)
		}
		f.in(r.EventType, bytes.Join([][]byte{[]byte(r.StreamID), []byte(r.EventType), r.UserMetadata, r.Data}, []byte("\n")), hits)
	}
	if head, err := v.Core.Log.Head(t.Context()); err != nil || uint64(n) != head.Commit || n < 300 {
		t.Fatalf("%d of %d records, %v", n, head.Commit, err)
	}
	f.in("the log", logged.Bytes(), hits)
	for canary, where := range hits { // invented or public test data, so it may be shown
		t.Errorf("%q stands in %s", canary, where)
	}
	_, deleted := client.DeleteStream(t.Context(), "registry", esdb.DeleteStreamOptions{})
	_, appended := client.AppendToStream(t.Context(), "registry", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "x", Data: []byte("x")})
	for what, err := range map[string]error{"delete": deleted, "append": appended} {
		if e, ok := errors.AsType[*esdb.Error](err); !ok || e.Code() != esdb.ErrorCodeAccessDenied {
			t.Errorf("%s: %v, want access denied", what, err)
		}
	}
}

// onWire offers a store behind KurrentDB's protocol until the test ends, appends and
// all, and returns its address.
func onWire(t *testing.T, s eventstore.Store) string {
	t.Helper()
	address, _ := onWireUntil(t, s)
	return address
}

// onWireUntil is onWire until end is called.
func onWireUntil(t *testing.T, s eventstore.Store) (address string, end func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := wire.New(wire.Options{Store: s, Append: true})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "esdb://" + l.Addr().String() + "?tls=false", server.Close
}

// TestVaultOnKurrent plays the demo on a vault whose events are behind KurrentDB's
// protocol, twice with a new process in between, beside others' events: the story
// comes out, leaves are counted over ours alone, and the index belongs to this log.
func TestVaultOnKurrent(t *testing.T) {
	inner := memory.New()
	foreign := func() {
		t.Helper()
		if _, err := inner.Append(t.Context(), eventstore.Batch{Stream: "orders-1", Expected: eventstore.Any, Records: storetest.Records(50)}); err != nil {
			t.Fatal(err)
		}
	}
	foreign()
	dir := t.TempDir()
	o := vault.Options{Stores: vault.StoresConfig{Log: onWire(t, inner)}}
	s := &shell{t: t, adapt: func(p *program) {
		p.open = func(ctx context.Context, dir vault.DataDir) (runningVault, error) { return vault.Open(ctx, dir, o) }
	}}
	for range 2 {
		if told := s.must(0, "demo", "--data", dir); !strings.Contains(told.out, "steps, each as it must be.") {
			t.Errorf("%s", told.out)
		}
		foreign()
	}
	v, err := vault.Open(t.Context(), vault.DataDir(dir), o)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	ours := int64(0)
	for r, err := range inner.ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		if projections.Ours(r.Stream.Category()) {
			ours++
		}
	}
	head, err := v.Core.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err := v.Core.Log.Leaves().Leaf(t.Context(), head); err != nil || leaf != ours-1 || head.Commit <= uint64(ours) {
		t.Errorf("the last leaf is %d, %v, of %d records of ours up to position %d", leaf, err, ours, head.Commit)
	}
}

// With the log away metadata are answered, so the process stays in service.
func TestServesMetadataWithoutTheLog(t *testing.T) {
	address, end := onWireUntil(t, memory.New())
	dir := vault.DataDir(t.TempDir())
	v, err := vault.Open(t.Context(), dir, vault.Options{Stores: vault.StoresConfig{Log: address}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	key, err := token.OpenDevKey(dir.File(vault.DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Instance: v, dir: dir, key: key}
	r.settle(t, ssinB, ssinA, "away-b") // who represents A is known
	things := r.settle(t, ssinA, ssinB, "away-a")
	if err := v.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	end()
	if _, err := v.Core.Log.Head(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Fatalf("the log is not away: %v", err)
	}
	me := grantFor(domain.RoleCitizen, "", r.citizen(t, ssinA))
	for _, path := range []string{"/citizens/" + things["citizenId"] + "/wallet", "/consents/" + things["consentId"]} {
		r.get(t, me, path)
	}
	if code := r.ready(); code != http.StatusOK {
		t.Errorf("it is taken out of service: %d", code)
	}
	if v.Leave(); r.ready() == http.StatusOK {
		t.Error("it leaves and stays in service")
	}
}

// ready asks whether requests should be sent here.
func (r *rig) ready() int {
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	return w.Code
}

// Reading the log through the port for KurrentDB's clients is on record before a record
// is handed out: who, in which range, once a day.
func TestReadingThroughKurrentIsOnRecord(t *testing.T) {
	r := newRig(t)
	r.settle(t, ssinB, ssinA, "port")
	where, end, err := r.OfferKurrent(t.Context(), vault.KurrentListener{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	config, err := esdb.ParseConnectionString(where)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = nil
	client, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 2 {
		events, err := client.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 1<<40)
		if err != nil {
			t.Fatal(err)
		}
		recorded := 0
		for {
			e, err := events.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if e.Event.EventType == "audit.log-read/2" {
				recorded++
			}
		}
		events.Close()
		if recorded != 1 {
			t.Errorf("what is read holds %d records of the reading", recorded)
		}
	}
	for record, err := range r.Core.Log.Store().ReadAll(t.Context(), eventstore.Position{}, 1<<20) {
		if err != nil {
			t.Fatal(err)
		}
		if meta, err := record.Metadata(); record.Type == "audit.log-read/2" && (err != nil || meta.Actor.Role != domain.RoleAuditor || meta.Actor.Door != domain.KurrentPort || meta.Actor.Subject != r.Core.Keys.Audit().Subject("kurrentdb:")) {
			t.Errorf("%+v, %v", meta.Actor, err)
		}
	}
}
