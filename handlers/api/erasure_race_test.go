package api

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

const diplomaContent = `{"title":"Canary of Arts","institution":"Canary University","awardedOn":"2006-06-30","level":7}`

// beforeAppend runs meanwhile once, right before the n-th append from here on has its effect,
// so that the events of meanwhile come first in the log.
func (tv *testVault) beforeAppend(n int64, meanwhile func()) {
	var appends atomic.Int64
	tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
		if c.Method == faulty.Append && appends.Add(1) == n {
			meanwhile()
		}
		return faulty.Fault{}
	})
}

func (tv *testVault) tryIssue(t testing.TB, by domain.Organisation, body contract.DocumentIssue) error {
	t.Helper()
	body.SourceReference, body.ValidFrom = "ref-"+uuid.NewString(), "2026-01-01"
	_, err := tv.IssueDocument(tv.as(t, issuer(by), "issueDocument", body), contract.IssueDocumentRequestObject{
		Params: contract.IssueDocumentParams{IdempotencyKey: uuid.New()}, Body: &body,
	})
	return err
}

// E-1: a document whose issuer was told that it is recorded, while an erasure was
// being judged, is judged too: nothing is destroyed, and all is as it was.
func TestErasureJudgesDocumentsIssuedMeanwhile(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	id, err := tv.requestErasureOf(t, citizenCaller(ana), ana, domain.DocumentID{})
	if err != nil {
		t.Fatal(err)
	}
	issued := make(chan error, 1)
	tv.beforeAppend(2, func() { // the first is the approval, the second citizen.erasure-started
		issued <- tv.tryIssue(t, flanders, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "diploma", Content: contract.Content(diplomaContent)})
	})
	if err := tv.approve(t, officer, id); err != nil {
		t.Fatal(err)
	}
	if err := <-issued; err != nil {
		t.Fatal("it was not issued meanwhile: this proves nothing", err)
	}
	tv.waitIdle(t)
	stopped := recorded[citizen.ErasureStopped](t, tv)
	if len(stopped) != 1 || stopped[0].Erasure != id || len(stopped[0].Duties) != 1 || stopped[0].Duties[0].Type != "diploma" || stopped[0].Duties[0].Rule != "archiveAct" {
		t.Errorf("E-1 %+v", stopped)
	}
	if state := tv.erasureState(t, id); state != contract.ErasureStateStopped {
		t.Errorf("E-1 it is %s", state)
	}
	if len(recorded[citizen.KeyDestroyed](t, tv)) != 0 {
		t.Error("E-1 destroyed in spite of a duty")
	}
	for _, r := range tv.sealedRecordsOf(t, ana) {
		if err := tv.open(t, r); err != nil {
			t.Errorf("E-1 %s does not open: %v", r.Type, err)
		}
	}
	tv.household(t, 1) // as before
	if _, err := tv.requestErasureOf(t, officer, ana, domain.DocumentID{}); err != nil {
		t.Errorf("E-1 it may be asked for again: %v", err)
	}
}

// E-4: a document that is sealed before the keys go and appended later is refused to its
// issuer, at every step of the erasure, and nothing of it opens.
func TestErasureRefusesDocumentsAppendedLater(t *testing.T) {
	for _, landing := range []struct {
		name  string
		lease time.Duration
		await string
	}{
		{"while the lease runs", time.Hour, "an erasure waits until no process can hold a key"},
		{"after the end", 0, "an erasure is done"},
	} {
		for _, change := range []struct {
			name  string
			scope contract.ErasureScope
			do    func(*testVault, domain.DocumentID) error
			said  string
		}{
			{"issue", contract.ErasureScopeCitizen, func(tv *testVault, _ domain.DocumentID) error {
				return tv.tryIssue(t, flanders, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "diploma", Content: contract.Content(diplomaContent)})
			}, "citizenErased"},
			{"update", contract.ErasureScopeCitizen, func(tv *testVault, id domain.DocumentID) error {
				_, err := tv.update(t, homeAffairs, id, edge.ETag(1), household)
				return err
			}, "citizenErased"},
			{"update of the document that goes", contract.ErasureScopeDocument, func(tv *testVault, id domain.DocumentID) error {
				_, err := tv.update(t, homeAffairs, id, edge.ETag(1), household)
				return err
			}, "documentErased"},
		} {
			if change.scope == contract.ErasureScopeDocument && landing.lease == 0 {
				continue // within one process an erasure's last word on a document waits for its turn
			}
			t.Run(change.name+" "+landing.name, func(t *testing.T) {
				tv := newVault(t)
				heard := tv.captureLog()
				tv.restart(func(s *settings) { s.Work.EraseAfter = landing.lease })
				doc := tv.household(t, 1)
				ana := tv.person(t, 1)
				tv.waitIdle(t)
				one := domain.DocumentID{}
				if change.scope == contract.ErasureScopeDocument {
					one = doc
				}
				var erasure domain.ErasureID
				tv.beforeAppend(1, func() {
					erasure = tv.erase(t, ana, one)
					for message := range heard {
						if message == landing.await {
							break
						}
					}
				})
				err := change.do(tv, doc)
				said := problemOf(err)
				if said == "erased" { // it had to be decided again, and the key was gone
					said = change.said
				}
				if said != change.said {
					t.Errorf("E-4 it was answered %q: %v", said, err)
				}
				tv.restart(func(s *settings) { s.Work.EraseAfter = 0 })
				tv.waitIdle(t)
				if state := tv.erasureState(t, erasure); state != contract.ErasureStateKeysDestroyed {
					t.Fatalf("E-4 it is %s", state)
				}
				for _, r := range tv.sealedRecordsOf(t, ana) {
					if err := tv.open(t, r); (one.IsZero() || r.Stream == acting.DocumentStream(one)) && !errors.Is(err, eventstore.ErrErased) {
						t.Errorf("E-3 %s opens, or: %v", r.Type, err)
					}
				}
				c, served := tv.certificateOf(t, erasure)
				verifiesOffline(t, tv, c, served)
				if n := len(recorded[citizen.ErasureStopped](t, tv)); n != 0 {
					t.Error("E-1 it was stopped for what nobody was told is recorded")
				}
			})
		}
	}
}

// E-1: a hold that is there when the destroyer begins stops it with the keys in use.
func TestErasureLeavesKeysInUseUnderAHold(t *testing.T) {
	tv := newVault(t)
	heard := tv.captureLog()
	tv.household(t, 1)
	ana := tv.person(t, 1)
	hold := domain.HoldID{UUID: uuid.New()}
	id, err := tv.requestErasureOf(t, citizenCaller(ana), ana, domain.DocumentID{})
	if err != nil {
		t.Fatal(err)
	}
	tv.Store.SetRule(faulty.At(faulty.Append, 2, faulty.Fault{After: eventstore.ErrUnavailable})) // the start
	if err := tv.approve(t, officer, id); err != nil {
		t.Fatal(err)
	}
	heard.await(t, triedAgain) // the start is recorded, and the destroyer pauses
	if _, err := acting.Citizens.TransactReserved(t.Context(), tv.Log, eventstore.Write{Stream: acting.CitizenStream(ana)}, recordRaced{citizen.LegalHoldPlaced{Citizen: ana, Hold: hold, Reason: "litigation", At: noon}}); err != nil {
		t.Fatal(err)
	}
	heard.await(t, "a task waits for somebody")
	for _, r := range tv.sealedRecordsOf(t, ana) {
		if err := tv.open(t, r); err != nil {
			t.Errorf("E-1 %s does not open under a hold: %v", r.Type, err)
		}
	}
	tv.liftHold(t, ana, hold)
	tv.waitIdle(t)
	if state := tv.erasureState(t, id); state != contract.ErasureStateKeysDestroyed {
		t.Errorf("E-1 the hold was lifted, and it is %s", state)
	}
}

// E-3: a hold that lands when a document's key is gone already comes too late: what
// happened is put on record, by whoever resumes it.
func TestErasureOfADocumentIsRecordedUnderAHoldThatCameTooLate(t *testing.T) {
	tv := newVault(t)
	heard := tv.captureLog()
	tv.restart(func(s *settings) { s.Work.EraseAfter = time.Hour })
	doc := tv.household(t, 1)
	ana := tv.person(t, 1)
	id := tv.erase(t, ana, doc)
	heard.await(t, "an erasure waits until no process can hold a key")
	keys, err := tv.Keys.StreamKeys(t.Context(), ana)
	if err != nil || !slices.ContainsFunc(keys, func(k seal.StreamKey) bool { return k.Destroyed && k.Stream == acting.DocumentStream(doc) }) {
		t.Fatal("the key is still there: this proves nothing", err)
	}
	held := recordRaced{citizen.LegalHoldPlaced{Citizen: ana, Hold: domain.HoldID{UUID: uuid.New()}, Reason: "litigation", At: noon}}
	if _, err := acting.Citizens.TransactReserved(t.Context(), tv.Log, eventstore.Write{Stream: acting.CitizenStream(ana)}, held); err != nil {
		t.Fatal(err)
	}
	tv.restart(func(s *settings) { s.Work.EraseAfter = 0 })
	tv.waitIdle(t)
	if state := tv.erasureState(t, id); state != contract.ErasureStateKeysDestroyed {
		t.Fatalf("E-3 the key is gone, and it is %s", state)
	}
	c, served := tv.certificateOf(t, id)
	verifiesOffline(t, tv, c, served)
}

// E-1: while keys are away nothing is judged, rather than judged wrongly.
func TestErasureIsNotJudgedWithoutKeys(t *testing.T) {
	tv := newVault(t, func(r *registry.Registry) {
		for i := range r.DocumentTypes {
			if d := &r.DocumentTypes[i]; d.Name == "isiPlusCard" {
				d.Retention.Duty = true
			}
		}
	})
	tv.childCard(t, 1)
	ana := tv.person(t, 1)
	id, err := tv.requestErasureOf(t, citizenCaller(ana), ana, domain.DocumentID{})
	if err != nil {
		t.Fatal(err)
	}
	tv.Keys.Forget(ana)
	tv.Keeper.Before(func(string) error { return eventstore.ErrKeysUnavailable })
	if slug := problemOf(tv.approve(t, officer, id)); slug != "keysUnavailable" {
		t.Errorf("E-1 judged without keys: %q", slug)
	}
	tv.Keeper.Before(nil)
	if slug := problemOf(tv.approve(t, officer, id)); slug != "retentionDuty" {
		t.Errorf("E-1 with keys: %q", slug)
	}
}

// E-1: of two requests for one erasure at one instant, in one process or two, the second joins
// the first, as it does one after the other.
func TestErasuresAskedForAtOnceAreOne(t *testing.T) {
	for name, process := range map[string]func(*testVault) *testVault{
		"in one process": func(tv *testVault) *testVault { return tv },
		"in two":         func(tv *testVault) *testVault { return tv.otherProcess(t, tv.Clock.Now) },
	} {
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			doc := tv.household(t, 1)
			ana := tv.person(t, 1)
			tv.waitIdle(t)
			for _, one := range []domain.DocumentID{doc, {}} {
				other := process(tv)
				var theirs domain.ErasureID
				tv.beforeAppend(1, func() {
					var err error
					if theirs, err = other.requestErasureOf(t, officer, ana, one); err != nil {
						t.Error(err)
					}
				})
				mine, err := tv.requestErasureOf(t, citizenCaller(ana), ana, one)
				tv.Store.SetRule(nil)
				if err != nil || theirs.IsZero() || mine != theirs {
					t.Errorf("%v and %v, %v", mine, theirs, err)
				}
			}
			if all := recorded[citizen.ErasureRequested](t, tv); len(all) != 4 {
				t.Errorf("%d requests are on record, want that both are of both erasures", len(all))
			}
		})
	}
}
