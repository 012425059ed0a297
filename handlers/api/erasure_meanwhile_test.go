package api

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/quotas"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/ringtest"
	"coffre/handlers/certificate"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/wallet"
)

// A-1, E-3: an access that is on record when the erasure comes is withheld: no byte of
// the document leaves, of one document or of the whole citizen, under either basis.
func TestErasureAgainstDisclosure(t *testing.T) {
	for _, scope := range []contract.ErasureScope{contract.ErasureScopeCitizen, contract.ErasureScopeDocument} {
		for _, law := range []bool{true, false} {
			tv := newVault(t)
			id := tv.household(t, 1)
			ana := tv.person(t, 1)
			body := allowance
			if !law {
				body = contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: new(tv.consentTo(t, ana, contract.ConsentGrant{}))}
			}
			one := domain.DocumentID{}
			if scope == contract.ErasureScopeDocument {
				one = id
			}
			tv.afterAppend(t, func() {
				tv.Store.SetRule(nil)
				tv.erase(t, ana, one)
				if err := tv.WaitIdle(t.Context()); err != nil {
					t.Error(err)
				}
			})
			got, err := tv.read(t, consumer(flanders), id, uuid.New(), body)
			if err == nil || got.Content != nil {
				t.Errorf("A-1 %s, by law %t: %+v left", scope, law, got)
			}
			tv.waitIdle(t)
			outcomes := recorded[access.Disclosed](t, tv)
			if len(outcomes) != 1 || outcomes[0].Outcome != access.Withheld {
				t.Errorf("A-1 %s, by law %t: %v, recorded as %+v", scope, law, err, outcomes)
			}
		}
	}
}

// E-3: a subject access report that is on record when the erasure comes tells nothing of the
// citizen any more.
func TestErasureAgainstAReport(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	tv.afterAppend(t, func() {
		tv.Store.SetRule(nil)
		tv.erase(t, ana, domain.DocumentID{})
		if err := tv.WaitIdle(t.Context()); err != nil {
			t.Error(err)
		}
	})
	report, err := tv.reportOn(t, officer, ana, uuid.New())
	if err == nil || len(report.Documents) > 0 {
		t.Errorf("E-3 a report shows what was erased: %+v", report.Documents)
	}
}

// E-3: read models that are rebuilt while an erasure is under way end as those that
// were kept up: nothing sealed of the citizen is in a wallet, and the erasure is done.
func TestErasureAgainstRebuilding(t *testing.T) {
	tv := newVault(t)
	gone, stays := tv.household(t, 1), tv.household(t, 2)
	ana, bob := tv.person(t, 1), tv.person(t, 2)
	id, err := tv.requestErasureOf(t, citizenCaller(ana), ana, domain.DocumentID{})
	if err != nil {
		t.Fatal(err)
	}
	tv.stop()
	if err := tv.approve(t, officer, id); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{tv.Wallets.Name(), tv.Evidence.Name(), tv.Erasures.Name(), tv.AccessLog.Name()} {
		if _, err := tv.RebuildProjection(tv.as(t, operator, "rebuildProjection", name), contract.RebuildProjectionRequestObject{
			ProjectionName: name, Params: contract.RebuildProjectionParams{IdempotencyKey: uuid.New()},
		}); err != nil {
			t.Fatal(err)
		}
	}
	tv.EnqueueErasures(ana, citizen.State{Erasures: []citizen.Erasure{{ID: id, Scope: citizen.WholeCitizen, Step: citizen.Approved}}})
	tv.start() // both at once
	tv.waitIdle(t)
	tv.restart() // what found the read models not ready is found again
	tv.waitIdle(t)
	if state := tv.erasureState(t, id); state != contract.ErasureStateKeysDestroyed {
		t.Errorf("E-3 it is %s", state)
	}
	if _, known, err := tv.Wallets.Document(t.Context(), gone, projections.Latest); err != nil || known {
		t.Errorf("E-3 the wallet still has it, %v", err)
	}
	shown := 0
	if err := tv.Wallets.Of(t.Context(), ana, projections.Latest, func(*wallet.Held) error { shown++; return nil }); err != nil || shown > 0 {
		t.Errorf("E-3 %d documents in the wallet, %v", shown, err)
	}
	if d, known, err := tv.Wallets.Document(t.Context(), stays, projections.Latest); err != nil || !known || d.Citizen != bob || d.Sealed == nil {
		t.Errorf("E-3 somebody else's left the wallet, %v", err)
	}
}

// E-3: an export that is made while an erasure is under way holds what one made
// before or after it holds, ids and codes, and nothing that was sealed.
func TestErasureAgainstAnExport(t *testing.T) {
	tv := newVault(t)
	tv.grantAndWithdraw(t)
	ana := tv.person(t, 1)
	id, err := tv.requestErasureOf(t, citizenCaller(ana), ana, domain.DocumentID{})
	if err != nil {
		t.Fatal(err)
	}
	tv.stop()
	if err := tv.approve(t, officer, id); err != nil {
		t.Fatal(err)
	}
	file := tv.export(t, contract.ExportCreate{Format: contract.ExportFormatCsv})
	tv.start() // both wait
	tv.waitIdle(t)
	if state := tv.erasureState(t, id); state != contract.ErasureStateKeysDestroyed {
		t.Errorf("E-3 it is %s", state)
	}
	content := tv.fetch(t, file).Body.String()
	if strings.Count(content, "withdrawn") != 3 || strings.Contains(strings.ToLower(content), "canary") {
		t.Errorf("E-3 the export holds %q", content)
	}
}

// otherProcess returns a vault on the same log and keys with a clock of its own, as another
// process would be.
func (tv *testVault) otherProcess(t testing.TB, clock func() time.Time) *testVault {
	t.Helper()
	ring := ringtest.OpenRing(t, tv.KeysDB, tv.Keeper, seal.Config{Now: clock})
	table, err := requests.Open(t.Context(), tv.KeysDB, ring.DeploymentKey(seal.RequestKey).MAC, tv.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := quotas.Open(t.Context(), tv.KeysDB, ring.DeploymentKey(seal.RequestKey).MAC, quotas.Options{Now: tv.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	other := *tv
	other.stop = func() {}
	other.Opener, other.Sealer = new(switchedOpener), new(switchedSealer)
	other.useKeys(ring.Ring)
	made := &other.Settings
	made.Log = eventstore.NewLog(eventstore.Options{Store: tv.Store, Codec: codec.Catalog, Sealer: other.Sealer, Now: tv.Clock.Now})
	made.Keys, made.Requests, made.Quotas = ring.Ring, table, counts
	made.Disclosure.Opener = other.Opener
	made.Work.Destroyer, made.Work.Rotator, made.Work.EraseAfter, made.Work.Retentions = ring.Destroyer, ring.Rotator, 0, nil
	other.Vault = made.vault()
	return &other
}

// E-3: another process that has the keys in memory, and is not told, opens and seals
// nothing once its lease has run out, and never again.
func TestErasureAgainstAProcessThatHasTheKeys(t *testing.T) {
	tv := newVault(t)
	doc := tv.household(t, 1)
	ana := tv.person(t, 1)
	tv.waitIdle(t)
	clock := &testClock{now: time.Now()}
	other := tv.otherProcess(t, clock.Now)
	sealed := tv.sealedRecordsOf(t, ana)
	for _, r := range sealed {
		if err := other.open(t, r); err != nil {
			t.Fatal(err)
		}
	}
	clock.Advance(seal.MaxLease) // it stalls while the erasure waits that long
	tv.erase(t, ana, domain.DocumentID{})
	tv.waitIdle(t)
	for range 2 {
		for _, r := range sealed {
			if err := other.open(t, r); !errors.Is(err, eventstore.ErrErased) {
				t.Errorf("E-3 %s opens elsewhere, or: %v", r.Type, err)
			}
		}
		if _, err := (seal.Sealer{Ring: other.Keys}).Seal(t.Context(), ana, sealed[0].Place(), []byte("canary")); !errors.Is(err, eventstore.ErrErased) {
			t.Errorf("E-4 sealed elsewhere: %v", err)
		}
		if _, err := other.update(t, homeAffairs, doc, edge.ETag(1), household); problemOf(err) == "" {
			t.Error("E-4 updated elsewhere")
		}
		clock.Advance(time.Hour)
	}
}

// E-1, E-4: what another process had sealed before it stalled, and appends when the
// erasure is over, is refused to its issuer and opens nowhere; the certificate holds
// against the log that has it, and says that it came too late.
func TestErasureAgainstAStalledProcess(t *testing.T) {
	for _, tc := range []struct {
		name  string
		scope contract.ErasureScope
		do    func(*testVault, domain.DocumentID) error
		said  []string
	}{
		{"issue", contract.ErasureScopeCitizen, func(other *testVault, _ domain.DocumentID) error {
			return other.tryIssue(t, flanders, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "diploma", Content: contract.Content(diplomaContent)})
		}, []string{"citizenErased"}},
		{"update", contract.ErasureScopeCitizen, func(other *testVault, id domain.DocumentID) error {
			_, err := other.update(t, homeAffairs, id, edge.ETag(1), household)
			return err
		}, []string{"citizenErased"}},
		{"update of the document that goes", contract.ErasureScopeDocument, func(other *testVault, id domain.DocumentID) error {
			_, err := other.update(t, homeAffairs, id, edge.ETag(1), household)
			return err
		}, []string{"documentErased"}}, // it lands behind the record, so it is decided again
	} {
		t.Run(tc.name, func(t *testing.T) {
			tv := newVault(t)
			doc := tv.household(t, 1)
			ana := tv.person(t, 1)
			tv.waitIdle(t)
			one := domain.DocumentID{}
			if tc.scope == contract.ErasureScopeDocument {
				one = doc
			}
			other := tv.otherProcess(t, (&testClock{now: time.Now()}).Now)
			var id domain.ErasureID
			var before int
			tv.beforeAppend(1, func() {
				before = len(tv.sealedRecordsOf(t, ana))
				id = tv.erase(t, ana, one)
				if err := tv.WaitIdle(t.Context()); err != nil {
					t.Error(err)
				}
			})
			said := problemOf(tc.do(other, doc))
			known := false
			for _, want := range tc.said {
				known = known || said == want
			}
			if !known {
				t.Errorf("E-4 it was answered %q, want %v", said, tc.said)
			}
			tv.waitIdle(t)
			for _, r := range tv.sealedRecordsOf(t, ana) {
				if err := tv.open(t, r); !errors.Is(err, eventstore.ErrErased) {
					t.Errorf("E-3 %s opens, or: %v", r.Type, err)
				}
			}
			c, _ := tv.certificateOf(t, id)
			if c.UnreadableEvents != int64(before) {
				t.Errorf("E-3 %d events, want %d", c.UnreadableEvents, before)
			}
			audit := certificate.NewAudit(c)
			for _, e := range tv.events(t) {
				if err := audit.Add(e); err != nil {
					t.Fatal(err)
				}
			}
			n, later, err := audit.Result()
			if err != nil || n != c.UnreadableEvents || later != int64(len(tv.sealedRecordsOf(t, ana))-before) {
				t.Errorf("E-3 against the log: %d and %d later, %v", n, later, err)
			}
			t.Logf("%d events came too late", later)
		})
	}
}
