package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	samples "coffre/deploy/registry"
	"coffre/domain"
	"coffre/domain/mandate"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/eventstore/blob/folder"
	"coffre/eventstore/codec"
	"coffre/eventstore/faulty"
	"coffre/eventstore/faulty/faultyblob"
	"coffre/eventstore/jobs"
	"coffre/eventstore/memory"
	"coffre/eventstore/quotas"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
	"coffre/eventstore/seal/shred"
	"coffre/eventstore/traffic"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/handlers/work"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/consentlog"
	"coffre/projections/erasures"
	"coffre/projections/evidence"
	"coffre/projections/projectiontest"
	"coffre/projections/signals"
	"coffre/projections/terms"
	"coffre/projections/vocabulary"
	"coffre/projections/wallet"
)

// Organisations of the sample registry that tests call as.
const (
	homeAffairs    domain.Organisation = "0308356862" // issues household compositions and identity data
	socialSecurity domain.Organisation = "0206731645" // issues ISI+ cards; reads by law
	flanders       domain.Organisation = "0316380841" // reads by law and by consent
	railways       domain.Organisation = "0203430576" // reads by consent only
	economy        domain.Organisation = "0314595348" // reads by law, for the social tariff
)

// testVault is a complete vault: a log in memory, sealed under a real key ring, with real
// read models that follow it. Its clock moves when the test moves it.
type testVault struct {
	*Vault
	Settings settings        // parts of which restart makes the vault again
	Opener   *switchedOpener // of Settings
	Sealer   *switchedSealer // of the log
	Store    *faulty.Store   // in memory, without faults until a test sets a rule
	Keeper   *ringtest.Keeper
	KeysDB   *keysdb.DB
	Files    *faultyblob.Store // in a folder, without faults until a test sets a rule
	Clock    *testClock

	running *projectiontest.Running
	stop    func() // stops the work in the background
}

// settings are the parts of a testVault.
type settings struct {
	acting.Recorder
	Disclosure disclosure.Config
	Work       work.Config
	Evidence   *evidence.Evidence
	Signals    *signals.Signals
	Terms      *terms.Terms
	Backups    Backups
	Webhooks   Webhooks
	Reactors   Reactors
	Traffic    *traffic.Table
	Prices     *Prices
}

// vault returns a new vault made of copies of the settings.
func (s settings) vault() *Vault {
	recorder, disclosing, working := s.Recorder, s.Disclosure, s.Work
	disclosing.Recorder = &recorder
	working.Discloser = disclosure.New(disclosing)
	return &Vault{Worker: work.New(working), Evidence: s.Evidence, Signals: s.Signals, Backups: s.Backups, Webhooks: s.Webhooks, Reactors: s.Reactors, Traffic: s.Traffic, Prices: s.Prices}
}

// switched is a part of a vault that a test replaces while the vault runs.
type switched[T any] struct{ now atomic.Pointer[T] }

func (s *switched[T]) get() T { return *s.now.Load() }

// set replaces the part, and returns what puts the former one back.
func (s *switched[T]) set(next T) (back func()) {
	former := s.now.Swap(&next)
	return func() { s.now.Store(former) }
}

type switchedOpener struct{ switched[eventstore.Opener] }

func (s *switchedOpener) Open(ctx context.Context, dst []byte, p eventstore.Place, sealed []byte) ([]byte, error) {
	return s.get().Open(ctx, dst, p, sealed)
}

type switchedSealer struct{ switched[eventstore.Sealer] }

func (s *switchedSealer) Seal(ctx context.Context, citizen domain.CitizenID, p eventstore.Place, plain []byte) ([]byte, error) {
	return s.get().Seal(ctx, citizen, p, plain)
}

// useKeys makes the parts that seal and open use a ring.
func (tv *testVault) useKeys(ring *seal.Ring) {
	tv.Opener.set(seal.Opener{Ring: ring})
	tv.Sealer.set(seal.Sealer{Ring: ring})
}

// testClock is a clock that moves only by Advance. It may be used concurrently.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// noon is the time at which every testClock starts: 12:00 in Belgium.
var noon = time.Date(2026, time.June, 15, 10, 0, 0, 0, time.UTC)

// newVault returns a vault with the sample registry in force. change may alter
// the registry before it is published.
func newVault(t testing.TB, change ...func(*registry.Registry)) *testVault {
	t.Helper()
	dir := t.TempDir()
	return newVaultOn(t, dir, ringtest.OpenDB(t, dir), change...)
}

// newVaultOn is newVault with a given folder and database of keys.
func newVaultOn(t testing.TB, dir string, db *keysdb.DB, change ...func(*registry.Registry)) *testVault {
	t.Helper()
	tv := &testVault{
		Store: faulty.New(memory.New(), nil), Keeper: ringtest.OpenKeeper(t, dir),
		KeysDB: db, Clock: &testClock{now: noon},
	}
	ring := ringtest.OpenRing(t, tv.KeysDB, tv.Keeper, seal.Config{Now: tv.Clock.Now})
	table, err := requests.Open(t.Context(), tv.KeysDB, ring.RequestMAC, tv.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := quotas.Open(t.Context(), tv.KeysDB, ring.RequestMAC, quotas.Options{Now: tv.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	under, err := jobs.Open(t.Context(), tv.KeysDB, tv.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	files, err := folder.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	tv.Files = faultyblob.New(files, nil)
	tv.Opener, tv.Sealer = new(switchedOpener), new(switchedSealer)
	tv.useKeys(ring.Ring)
	m := &tv.Settings
	m.Recorder = acting.Recorder{
		Log:  eventstore.NewLog(eventstore.Options{Store: tv.Store, Codec: codec.Catalog, Sealer: tv.Sealer, Now: tv.Clock.Now}),
		Keys: ring.Ring, Requests: table.AlsoUnder(ring.OtherRequestMACs), Quotas: counts, Words: new(vocabulary.Holder),
		Now: tv.Clock.Now, NewID: uuid.New, Slog: slog.New(slog.DiscardHandler),
	}
	m.Disclosure = disclosure.Config{Opener: tv.Opener, Codec: codec.Catalog, Wallets: wallet.New(), AccessLog: accesslog.New(), Blobs: tv.Files}
	m.Work = work.Config{
		Answers: true, Jobs: under,
		Compare: func(_ context.Context, model string, _ func(int64)) (projections.Compared, error) {
			return projections.Compared{Model: model, Differences: []projections.Difference{}}, nil
		},
		Destroyer: ring.Destroyer, Rotator: ring.Rotator, Shreds: shred.Open(filepath.Join(dir, "shred.list")),
		ConsentLog: consentlog.New(), Erasures: erasures.New(), Exports: work.NewExportFolder(t.TempDir()), Keeper: "a test's",
		LogSigner: tv.Keeper, CertificateSigner: tv.Keeper,
	}
	if m.Traffic, err = traffic.Open(t.Context(), tv.KeysDB, traffic.Options{Now: tv.Clock.Now}); err != nil {
		t.Fatal(err)
	}
	m.Evidence, m.Signals, m.Terms = evidence.New(), signals.New(), terms.New()
	tv.running = projectiontest.Start(t, tv.Store, t.TempDir(), m.Disclosure.Wallets, m.Work.ConsentLog, m.Disclosure.AccessLog, m.Evidence, m.Work.Erasures, m.Signals, m.Terms)
	m.Runner = tv.running.Runner
	tv.Vault = m.vault()
	tv.publish(t, change...)
	tv.start()
	t.Cleanup(func() { tv.stop() })
	return tv
}

// start starts the work in the background and waits until the registry is served. The tasks
// that a former process left undone are enqueued by then, so that waitIdle waits for them.
func (tv *testVault) start() {
	v := tv.Vault
	ctx, cancel := context.WithCancel(context.Background())
	begun, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		_ = v.Run(ctx, work.RunOptions{Registry: samples.Files, Ready: func(err error) { begun <- err }}) // begun tells
	}()
	if err := <-begun; err != nil {
		panic(err)
	}
	tv.stop = func() { cancel(); <-ended }
}

// restart simulates a new process: it stops the vault and starts another one with the same
// log, keys and folders, after change has altered the settings.
func (tv *testVault) restart(change ...func(*settings)) {
	tv.stop()
	for _, c := range change {
		c(&tv.Settings)
	}
	tv.Vault = tv.Settings.vault()
	tv.start()
}

// restartOn simulates a new process on a database of keys opened anew, with no key in memory.
func (tv *testVault) restartOn(t testing.TB, db *keysdb.DB) {
	t.Helper()
	ring := ringtest.OpenRing(t, db, tv.Keeper, seal.Config{})
	table, err := requests.Open(t.Context(), db, ring.RequestMAC, tv.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := quotas.Open(t.Context(), db, ring.RequestMAC, quotas.Options{Now: tv.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	under, err := jobs.Open(t.Context(), db, tv.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	tv.KeysDB = db
	tv.restart(func(s *settings) {
		tv.useKeys(ring.Ring)
		s.Log = eventstore.NewLog(eventstore.Options{Store: tv.Store, Codec: codec.Catalog, Sealer: tv.Sealer, Now: tv.Clock.Now})
		s.Keys, s.Requests, s.Quotas = ring.Ring, table.AlsoUnder(ring.OtherRequestMACs), counts
		s.Work.Destroyer, s.Work.Rotator, s.Work.Jobs = ring.Destroyer, ring.Rotator, under
	})
}

// publish publishes the sample registry as the next version, after change has altered it.
func (tv *testVault) publish(t testing.TB, change ...func(*registry.Registry)) {
	t.Helper()
	all, err := vocabulary.Load(samples.Files, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range slices.Clone(all.ConsentTexts) {
		text.Version = shownToAll.Version
		text.Texts = registry.Labels{NL: shownToAll.Text, FR: shownToAll.Text, DE: shownToAll.Text, EN: shownToAll.Text}
		all.ConsentTexts = append(all.ConsentTexts, text)
	}
	for _, c := range change {
		c(&all)
	}
	next := tv.Words.Current().Version() + 1
	cmd := registry.Publish{Version: next, Registry: all, By: domain.Actor{Role: domain.RoleOperator}}
	if next == 1 {
		cmd.By.Role = domain.RoleSystem
	}
	if _, err := acting.Registries.Transact(t.Context(), tv.Log, eventstore.Write{Stream: registry.StreamName}, cmd); err != nil {
		t.Fatal(err)
	}
	if err := tv.Words.Apply(registry.Published{Version: next, Registry: all}); err != nil {
		t.Fatal(err)
	}
}

// organisation returns one organisation of a registry about to be published.
func organisation(t testing.TB, r *registry.Registry, number domain.Organisation) *registry.Organisation {
	t.Helper()
	i := slices.IndexFunc(r.Organisations, func(o registry.Organisation) bool { return o.Number == number })
	if i < 0 {
		t.Fatalf("no organisation %s", number)
	}
	return &r.Organisations[i]
}

// issuer returns a clerk of an organisation that issues documents.
func issuer(o domain.Organisation) edge.Caller {
	return edge.Caller{Role: domain.RoleIssuer, Organisation: o, Subject: "clerk"}
}

// consumer returns a clerk of an organisation that reads documents.
func consumer(o domain.Organisation) edge.Caller {
	return edge.Caller{Role: domain.RoleConsumer, Organisation: o, Subject: "clerk"}
}

// citizenCaller returns a citizen who is logged in.
func citizenCaller(id domain.CitizenID) edge.Caller {
	return edge.Caller{Role: domain.RoleCitizen, Citizen: id, Subject: "login of " + id.String()}
}

// officeCaller returns a caller with a role of the vault's own office, with one session per
// role.
func officeCaller(role domain.Role) edge.Caller {
	return edge.Caller{Role: role, Subject: "office " + string(role), Session: uuid.NewSHA1(uuid.Nil, []byte(role))}
}

// as returns the context of a call. The request is the body that the idempotency check
// compares; it may be nil.
func (tv *testVault) as(t testing.TB, who edge.Caller, operation string, request any) context.Context {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return edge.WithCall(t.Context(), &edge.Call{Caller: who, Trace: uuid.New(), Operation: operation, Received: tv.Clock.Now(), Language: "en", Body: body})
}

// writeAnswer writes the answer to a call, as the server does, and returns it.
func writeAnswer(t testing.TB, ctx context.Context, visit func(http.ResponseWriter) error) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	err := visit(w)
	edge.CallFrom(ctx).Answered(err == nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// waitForReadModels waits until the read models have applied the whole log.
func (tv *testVault) waitForReadModels(t testing.TB) {
	t.Helper()
	tv.running.CaughtUp(t)
}

// waitIdle waits until no task waits or runs and the read models have applied the whole log.
func (tv *testVault) waitIdle(t testing.TB) {
	t.Helper()
	if err := tv.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tv.WaitIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
}

// ssin returns the national number of the n-th test person.
func ssin(n int) contract.SSIN {
	if n < child(0) {
		return contract.SSIN{SSIN: ringtest.SSIN(n)}
	}
	base := 160405_001 + n - child(0)
	number, err := domain.ParseSSIN(fmt.Sprintf("%09d%02d", base, 97-(2_000_000_000+base)%97))
	if err != nil {
		panic(err)
	}
	return contract.SSIN{SSIN: number}
}

// child returns the number among the test persons of the n-th child, who was born on 5 April
// 2016 as childCard says. The others' numbers tell no day of birth: they count as adults.
func child(n int) int { return 1_000_000 + n }

// person returns the id of the n-th test person, who is registered already.
func (tv *testVault) person(t testing.TB, n int) domain.CitizenID {
	t.Helper()
	id, err := tv.Keys.Resolve(t.Context(), ssin(n).SSIN)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Contents that satisfy the sample schemas. Each holds a canary, a word that must turn up in
// answers only and never in the log, in files or in messages.
const (
	household = `{"address":{"municipality":"Canaryville","postalCode":"1000"},"asOf":"2026-01-01","householdSize":4,"members":[{"relation":"child"}]}`
	identity  = `{"birthdate":"1980-02-29","family_name":"Canary","given_name":"Carla","nationalities":["BE"]}`
	childCard = `{"birthDate":"2016-04-05","cardNumber":"0123456789","insurer":"Canary Mutual","name":"Canary Child"}`
)

// issue issues a document through the use case and waits until the read models show it.
func (tv *testVault) issue(t testing.TB, by domain.Organisation, body contract.DocumentIssue) domain.DocumentID {
	t.Helper()
	if body.SourceReference == "" {
		body.SourceReference = "ref-" + uuid.NewString()
	}
	if body.ValidFrom == "" {
		body.ValidFrom = "2026-01-01"
	}
	answer, err := tv.IssueDocument(tv.as(t, issuer(by), "issueDocument", body), contract.IssueDocumentRequestObject{
		Params: contract.IssueDocumentParams{IdempotencyKey: uuid.New()}, Body: &body,
	})
	if err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	return answer.(contract.IssueDocument201JSONResponse).Body.DocumentID
}

// household issues a household composition about the n-th test person.
func (tv *testVault) household(t testing.TB, n int) domain.DocumentID {
	t.Helper()
	return tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(n), DocumentType: "householdComposition", Content: contract.Content(household)})
}

// childCard issues an ISI+ card about a child that names its parents.
func (tv *testVault) childCard(t testing.TB, child int, parents ...int) domain.DocumentID {
	t.Helper()
	body := contract.DocumentIssue{SSIN: ssin(child), DocumentType: "isiPlusCard", Content: contract.Content(childCard), ValidUntil: "2028-12-31"}
	for _, p := range parents {
		body.Parents = append(body.Parents, ssin(p))
	}
	return tv.issue(t, socialSecurity, body)
}

// mandateOf returns the only mandate under which one person represents another.
func (tv *testVault) mandateOf(t testing.TB, representative, represented domain.CitizenID) domain.MandateID {
	t.Helper()
	all, err := tv.Wallets.Represents(t.Context(), representative, projections.Latest)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Citizen == represented {
			return m.Mandate
		}
	}
	t.Fatal("no such mandate")
	return domain.MandateID{}
}

// endMandate appends the end of a mandate without going through a use case.
func (tv *testVault) endMandate(t testing.TB, id domain.MandateID, by domain.Actor, reason domain.ReasonCode) {
	t.Helper()
	if _, err := acting.Mandates.TransactReserved(t.Context(), tv.Log, eventstore.Write{Stream: acting.MandateStream(id)}, mandate.End{Reason: reason, By: by, At: tv.Clock.Now()}); err != nil {
		t.Fatal(err)
	}
}

// recorded returns the events of one type in the log, in order.
func recorded[E any](t testing.TB, tv *testVault) []E {
	t.Helper()
	return recordedSince[E](t, tv, eventstore.Position{})
}

// recordedSince is recorded of what came after a position.
func recordedSince[E any](t testing.TB, tv *testVault, after eventstore.Position) []E {
	t.Helper()
	var all []E
	for e, err := range tv.Log.ReadAll(t.Context(), after, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		if fact, ok := e.Data.(E); ok {
			all = append(all, fact)
		}
	}
	return all
}

// slugOf returns the slug of a refusal; "" for no error, and the text of any other error.
func slugOf(err error) string {
	p, _, _, known := edge.Describe(err, acting.ErrorAnswers)
	switch {
	case err == nil:
		return ""
	case !known:
		return "fault: " + err.Error()
	}
	var said *domain.Error
	if errors.As(err, &said) {
		return said.Slug
	}
	return p.Type[strings.LastIndexByte(p.Type, ':')+1:]
}

// is reports whether an optional number of an answer is there and has a value.
func is[N comparable](got *N, want N) bool { return got != nil && *got == want }
