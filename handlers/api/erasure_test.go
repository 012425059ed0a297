package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/eventstore/proof"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/shred"
	"coffre/handlers/acting"
	"coffre/handlers/certificate"
	"coffre/handlers/contract"
	"coffre/handlers/contract/wire"
	"coffre/handlers/edge"
)

var (
	officer = officeCaller(domain.RolePrivacyOfficer)
	second  = edge.Caller{Role: domain.RolePrivacyOfficer, Subject: "another officer"}
)

// requestErasureOf requests the erasure of a document, or of the whole citizen for the zero id.
func (tv *testVault) requestErasureOf(t testing.TB, by edge.Caller, of domain.CitizenID, one domain.DocumentID) (domain.ErasureID, error) {
	t.Helper()
	body := contract.ErasureRequest{CitizenID: of, Scope: contract.ErasureScopeCitizen, Reason: "citizenRequest"}
	if !one.IsZero() {
		body.Scope, body.DocumentID = contract.ErasureScopeDocument, &one
	}
	answer, err := tv.RequestErasure(tv.as(t, by, "requestErasure", body), contract.RequestErasureRequestObject{
		Params: contract.RequestErasureParams{IdempotencyKey: uuid.New()}, Body: &body,
	})
	if err != nil {
		return domain.ErasureID{}, err
	}
	return answer.(contract.RequestErasure202JSONResponse).Body.ErasureID, nil
}

func (tv *testVault) approve(t testing.TB, by edge.Caller, id domain.ErasureID) error {
	t.Helper()
	_, err := tv.ApproveErasure(tv.as(t, by, "approveErasure", id), contract.ApproveErasureRequestObject{
		ErasureID: id, Params: contract.ApproveErasureParams{IdempotencyKey: uuid.New()},
	})
	return err
}

// erase asks for an erasure and has it approved.
func (tv *testVault) erase(t testing.TB, of domain.CitizenID, one domain.DocumentID) domain.ErasureID {
	t.Helper()
	id, err := tv.requestErasureOf(t, citizenCaller(of), of, one)
	if err != nil {
		t.Fatal(err)
	}
	if err := tv.approve(t, officer, id); err != nil {
		t.Fatal(err)
	}
	return id
}

func (tv *testVault) erasureState(t testing.TB, id domain.ErasureID) contract.ErasureState {
	t.Helper()
	answer, err := tv.GetErasure(tv.as(t, officer, "getErasure", nil), contract.GetErasureRequestObject{ErasureID: id})
	if err != nil {
		t.Fatal(err)
	}
	return answer.(contract.GetErasure200JSONResponse).State
}

func (tv *testVault) placeHold(t testing.TB, of domain.CitizenID) domain.HoldID {
	t.Helper()
	body := contract.LegalHoldPlace{Reason: "litigation", CaseReference: "canary-case"}
	answer, err := tv.PlaceHold(tv.as(t, officer, "placeHold", body), contract.PlaceHoldRequestObject{
		CitizenID: of, Params: contract.PlaceHoldParams{IdempotencyKey: uuid.New()}, Body: &body,
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer.(contract.PlaceHold201JSONResponse).Body.LegalHoldID
}

func (tv *testVault) liftHold(t testing.TB, of domain.CitizenID, hold domain.HoldID) {
	t.Helper()
	if _, err := tv.LiftHold(tv.as(t, officer, "liftHold", hold), contract.LiftHoldRequestObject{
		CitizenID: of, LegalHoldID: hold, Params: contract.LiftHoldParams{IdempotencyKey: uuid.New()},
	}); err != nil {
		t.Fatal(err)
	}
}

func (tv *testVault) diploma(t testing.TB, n int) domain.DocumentID {
	t.Helper()
	return tv.issue(t, flanders, contract.DocumentIssue{SSIN: ssin(n), DocumentType: "diploma",
		Content: contract.Content(`{"title":"Canary of Arts","institution":"Canary University","awardedOn":"2006-06-30","level":7}`)})
}

// log returns every record of the log.
func (tv *testVault) log(t testing.TB) []eventstore.Record {
	t.Helper()
	var all []eventstore.Record
	for r, err := range tv.Store.ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func hashes(records []eventstore.Record) []proof.Hash {
	all := make([]proof.Hash, len(records))
	for i := range records {
		all[i] = proof.LeafHash(&records[i])
	}
	return all
}

// sealedRecordsOf returns the sealed records of streams that are sealed for a citizen.
func (tv *testVault) sealedRecordsOf(t testing.TB, id domain.CitizenID) []eventstore.Record {
	t.Helper()
	keys, err := tv.Keys.StreamKeys(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var all []eventstore.Record
	for _, r := range tv.log(t) {
		if r.Sealed != nil && slices.ContainsFunc(keys, func(k seal.StreamKey) bool { return k.Stream == r.Stream }) {
			all = append(all, r)
		}
	}
	return all
}

func (tv *testVault) open(t testing.TB, r eventstore.Record) error {
	t.Helper()
	_, err := tv.Opener.Open(t.Context(), nil, r.Place(), r.Sealed)
	return err
}

func digestOf(records []eventstore.Record) []byte {
	sum := sha256.New()
	for _, h := range hashes(records) {
		sum.Write(h[:])
	}
	return sum.Sum(nil)
}

func (tv *testVault) certificateOf(t testing.TB, id domain.ErasureID) (contract.ErasureCertificate, []byte) {
	t.Helper()
	answer, err := tv.GetErasureCertificate(tv.as(t, officer, "getErasureCertificate", nil), contract.GetErasureCertificateRequestObject{ErasureID: id})
	if err != nil {
		t.Fatal(err)
	}
	c := contract.ErasureCertificate(answer.(contract.GetErasureCertificate200JSONResponse))
	var served bytes.Buffer
	if err := wire.NewEncoder(&served).Encode(c); err != nil {
		t.Fatal(err)
	}
	return c, served.Bytes()
}

// E-1: holds and duties stand in the way, and the refusal says which.
func TestErasureIsRefused(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	hold := tv.placeHold(t, ana)
	_, err := tv.requestErasureOf(t, citizenCaller(ana), ana, domain.DocumentID{})
	if slug := problemOf(err); slug != "legalHold" || !strings.Contains(detailOf(err), hold.String()) {
		t.Errorf("E-1 under a legal hold: %s %q", slug, detailOf(err))
	}
	tv.liftHold(t, ana, hold)
	id, err := tv.requestErasureOf(t, citizenCaller(ana), ana, domain.DocumentID{})
	if err != nil {
		t.Fatal(err)
	}
	again := tv.placeHold(t, ana)
	if slug := problemOf(tv.approve(t, officer, id)); slug != "legalHold" {
		t.Errorf("E-1 approved under a legal hold: %s", slug)
	}
	tv.liftHold(t, ana, again)
	diploma := tv.diploma(t, 1)
	err = tv.approve(t, officer, id)
	if slug := problemOf(err); slug != "retentionDuty" || !strings.Contains(detailOf(err), diploma.String()) || !strings.Contains(detailOf(err), "archiveAct") {
		t.Errorf("E-1 a duty to keep stands: %s %q", slug, detailOf(err))
	}
	if state := tv.erasureState(t, id); state != contract.ErasureStateRequested {
		t.Errorf("E-1 refused, and it is %s", state)
	}
	tv.waitIdle(t)
	for _, r := range tv.sealedRecordsOf(t, ana) {
		if err := tv.open(t, r); err != nil {
			t.Errorf("%s does not open after a refusal: %v", r.Type, err)
		}
	}
}

// E-1: judged per content key: a document may go while another must stay.
func TestErasureOfOneDocumentBesideADuty(t *testing.T) {
	tv := newVault(t)
	household, diploma := tv.household(t, 1), tv.diploma(t, 1)
	ana := tv.person(t, 1)
	id, err := tv.requestErasureOf(t, officer, ana, diploma)
	if err != nil {
		t.Fatal(err)
	}
	if slug := problemOf(tv.approve(t, second, id)); slug != "retentionDuty" {
		t.Errorf("E-1 a diploma is erased: %s", slug)
	}
	done := tv.erase(t, ana, household)
	tv.waitIdle(t)
	if state := tv.erasureState(t, done); state != contract.ErasureStateKeysDestroyed {
		t.Errorf("E-1 another document's duty stood in the way: %s", state)
	}
}

// E-1: two persons, of whom one is the citizen or the law.
func TestErasureNeedsASecondPerson(t *testing.T) {
	tv := newVault(t)
	household := tv.household(t, 1)
	tv.household(t, 2)
	ana, bob := tv.person(t, 1), tv.person(t, 2)
	if _, err := tv.requestErasureOf(t, citizenCaller(bob), ana, domain.DocumentID{}); problemOf(err) != "resourceNotFound" {
		t.Errorf("E-1 a stranger asks: %v", err)
	}
	if _, err := tv.requestErasureOf(t, citizenCaller(bob), bob, household); problemOf(err) != "resourceNotFound" {
		t.Errorf("E-1 of somebody else's document: %v", err)
	}
	id, err := tv.requestErasureOf(t, officer, ana, domain.DocumentID{})
	if err != nil {
		t.Fatal(err)
	}
	if slug := problemOf(tv.approve(t, officer, id)); slug != "secondPersonNeeded" {
		t.Errorf("E-1 who asked approves: %s", slug)
	}
	ask := func(who edge.Caller) string {
		_, err := tv.GetErasure(tv.as(t, who, "getErasure", nil), contract.GetErasureRequestObject{ErasureID: id})
		return problemOf(err)
	}
	if ask(citizenCaller(bob)) != "resourceNotFound" || ask(citizenCaller(ana)) != "" {
		t.Error("an erasure is the citizen's and the office's to know")
	}
	if err := tv.approve(t, second, id); err != nil {
		t.Errorf("E-1 a second person: %v", err)
	}
	if slug := problemOf(tv.approve(t, second, domain.ErasureID{UUID: uuid.New()})); slug != "resourceNotFound" {
		t.Errorf("E-1 an erasure nobody asked for: %s", slug)
	}
}

// E-1: who asked is told from who approves by their login, whatever role each has, also
// when the audit key was replaced in between; where that cannot be told, nobody approves.
func TestErasureIsNotApprovedByTheSameLogin(t *testing.T) {
	both := edge.Caller{Role: domain.RolePrivacyOfficer, Subject: "one login"}
	for _, tc := range []struct {
		name    string
		by      func(domain.CitizenID) edge.Caller
		away    bool // the keys, when it is asked for
		rotate  int
		refused []edge.Caller
	}{
		{"a citizen who is an officer too", func(c domain.CitizenID) edge.Caller {
			return edge.Caller{Role: domain.RoleCitizen, Citizen: c, Subject: both.Subject}
		}, false, 0, []edge.Caller{both}},
		{"a citizen who is an officer too, the audit key replaced", func(c domain.CitizenID) edge.Caller {
			return edge.Caller{Role: domain.RoleCitizen, Citizen: c, Subject: both.Subject}
		}, false, 3, []edge.Caller{both}},
		{"a citizen while keys are away", citizenCaller, true, 0, []edge.Caller{both, second}},
		{"an officer, the audit key replaced", func(domain.CitizenID) edge.Caller { return both }, false, 1, []edge.Caller{both}},
		{"an officer, the audit key replaced twice", func(domain.CitizenID) edge.Caller { return both }, false, 2, []edge.Caller{both, second}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tv := newVault(t)
			tv.household(t, 1)
			ana := tv.person(t, 1)
			tv.waitIdle(t)
			if tc.away {
				tv.Keys.Forget(ana)
				tv.keysAway(true)
			}
			id, err := tv.requestErasureOf(t, tc.by(ana), ana, domain.DocumentID{})
			if err != nil {
				t.Fatal(err)
			}
			tv.keysAway(false)
			for range tc.rotate {
				if _, err := tv.RotateAudit(tv.as(t, operator, "rotateAudit", nil), contract.RotateAuditRequestObject{Params: contract.RotateAuditParams{IdempotencyKey: uuid.New()}}); err != nil {
					t.Fatal(err)
				}
			}
			for _, who := range tc.refused {
				if slug := problemOf(tv.approve(t, who, id)); slug != "secondPersonNeeded" {
					t.Errorf("E-1 %s approves: %q", who.Subject, slug)
				}
			}
			if len(tc.refused) > 1 { // it is asked for anew
				if again, err := tv.requestErasureOf(t, tc.by(ana), ana, domain.DocumentID{}); err != nil || again != id {
					t.Fatalf("asked for anew it is %s, was %s (%v)", again, id, err)
				}
				if who := tc.by(ana); who.Role == domain.RolePrivacyOfficer {
					if slug := problemOf(tv.approve(t, who, id)); slug != "secondPersonNeeded" {
						t.Errorf("E-1 who asked anew approves: %q", slug)
					}
				}
			}
			if err := tv.approve(t, second, id); err != nil {
				t.Errorf("E-1 another person approves: %v", err)
			}
		})
	}
}

// E-1: what several persons ask for while it waits is one erasure, which is approved by
// somebody who asked for it neither first nor later; each request is on record once.
func TestErasureAskedForByMany(t *testing.T) {
	tv := newVault(t)
	one := tv.household(t, 1)
	ana := tv.person(t, 1)
	third := edge.Caller{Role: domain.RolePrivacyOfficer, Subject: "a third officer"}
	requests := func() (n int) {
		for e, err := range tv.Log.Read(t.Context(), acting.CitizenStream(ana), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := e.Data.(citizen.ErasureRequested); ok {
				n++
			}
		}
		return n
	}
	ask := func(who edge.Caller, one domain.DocumentID) domain.ErasureID {
		t.Helper()
		id, err := tv.requestErasureOf(t, who, ana, one)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	id := ask(officer, domain.DocumentID{})
	for i, who := range []edge.Caller{second, citizenCaller(ana), officer, second, citizenCaller(ana)} {
		if again := ask(who, domain.DocumentID{}); again != id {
			t.Errorf("request %d: %s, want %s", i, again, id)
		}
	}
	if n := requests(); n != 3 {
		t.Errorf("%d requests on record, want one of each person", n)
	}
	document := ask(officer, one)
	if document == id {
		t.Error("one document is not everything")
	}
	for _, who := range []edge.Caller{officer, second} {
		if slug := problemOf(tv.approve(t, who, id)); slug != "secondPersonNeeded" {
			t.Errorf("E-1 %s asked and approves: %q", who.Subject, slug)
		}
	}
	if err := tv.approve(t, second, document); err != nil {
		t.Errorf("E-1 of one document only one asked: %v", err)
	}
	tv.waitIdle(t)
	if err := tv.approve(t, third, id); err != nil {
		t.Errorf("E-1 a third officer: %v", err)
	}
	tv.waitIdle(t)
	if state := tv.erasureState(t, id); state != contract.ErasureStateKeysDestroyed {
		t.Errorf("the erasure is %s", state)
	}
	if err := tv.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	answer, err := tv.ListErasures(tv.as(t, officer, "listErasures", nil), contract.ListErasuresRequestObject{})
	if err != nil || len(answer.(contract.ListErasures200JSONResponse).Items) != 2 {
		t.Errorf("%+v (%v), want two erasures", answer, err)
	}
}

// E-3, E-4: after an erasure nothing decrypts, the log is what it was, the
// certificate holds, and erased stays erased.
func TestErasureOfACitizen(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.household(t, 2)
	tv.childCard(t, child(3), 1)
	ana, bob, child := tv.person(t, 1), tv.person(t, 2), tv.person(t, child(3))
	tv.liftHold(t, ana, tv.placeHold(t, ana))
	tv.waitIdle(t)
	sealed, before := tv.sealedRecordsOf(t, ana), hashes(tv.log(t))
	if len(sealed) < 2 {
		t.Fatalf("only %d sealed records", len(sealed))
	}

	id := tv.erase(t, ana, domain.DocumentID{})
	tv.waitIdle(t)
	if state := tv.erasureState(t, id); state != contract.ErasureStateKeysDestroyed {
		t.Fatalf("it is %s", state)
	}
	for _, r := range sealed {
		if err := tv.open(t, r); !errors.Is(err, eventstore.ErrErased) {
			t.Errorf("E-3 %s opens, or: %v", r.Type, err)
		}
	}
	for _, r := range slices.Concat(tv.sealedRecordsOf(t, bob), tv.sealedRecordsOf(t, child)) {
		if err := tv.open(t, r); err != nil {
			t.Errorf("E-3 %s of another citizen: %v", r.Type, err)
		}
	}
	if after := hashes(tv.log(t)); !slices.Equal(after[:len(before)], before) {
		t.Error("E-3 the log changed")
	}

	c, served := tv.certificateOf(t, id)
	if c.UnreadableEvents != int64(len(sealed)) || !bytes.Equal(c.Digest, digestOf(sealed)) {
		t.Errorf("E-3 the certificate counts %d events, want %d", c.UnreadableEvents, len(sealed))
	}
	keys, err := tv.Keys.StreamKeys(t.Context(), ana)
	if err != nil || len(c.Keys) != len(keys) || len(keys) == 0 {
		t.Errorf("E-3 %d keys in the certificate, %d in the ring, %v", len(c.Keys), len(keys), err)
	}
	if len(c.Approvers) != 2 || c.Approvers[0].CitizenID != ana || c.Approvers[1].Role != contract.ActorRolePrivacyOfficer || len(c.Remains) == 0 {
		t.Errorf("E-3 %+v", c)
	}
	verifiesOffline(t, tv, c, served)
	if _, again := tv.certificateOf(t, id); !bytes.Equal(again, served) {
		t.Error("E-3 a second look gives another certificate")
	}

	body := contract.DocumentIssue{SSIN: ssin(1), DocumentType: "householdComposition", SourceReference: "anew", ValidFrom: "2026-01-01", Content: contract.Content(household)}
	_, err = tv.IssueDocument(tv.as(t, issuer(homeAffairs), "issueDocument", body), contract.IssueDocumentRequestObject{
		Params: contract.IssueDocumentParams{IdempotencyKey: uuid.New()}, Body: &body,
	})
	if slug := problemOf(err); slug != "citizenErased" {
		t.Errorf("E-4 issued again: %s", slug)
	}
	if _, err := tv.requestErasureOf(t, officer, ana, domain.DocumentID{}); problemOf(err) != "citizenErased" {
		t.Errorf("E-4 asked again: %v", err)
	}
	listed, _, err := tv.Settings.Work.Shreds.Read()
	if err != nil || len(listed) != 1 || listed[0].Citizen != ana {
		t.Errorf("E-3 the shred list names %v, %v", listed, err)
	}
	for _, e := range recorded[citizen.KeyDestroyed](t, tv) {
		if e.Erasure != id {
			t.Error("another erasure is on record")
		}
	}
	for _, r := range tv.log(t) { // E-2
		meta, err := r.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		if (r.Type == "citizen.erasure-started/1" || r.Type == "citizen.key-destroyed/1") && meta.Actor != (domain.Actor{Role: domain.RoleSystem}) {
			t.Errorf("E-2 %s by %+v", r.Type, meta.Actor)
		}
	}
}

// events returns the whole log as an auditor gets it.
func (tv *testVault) events(t testing.TB) []contract.LogEvent {
	t.Helper()
	auditor := officeCaller(domain.RoleAuditor)
	var all []contract.LogEvent
	for p := (contract.ListEventsParams{PageSize: 1000}); ; {
		answer, err := tv.ListEvents(tv.as(t, auditor, "listEvents", nil), contract.ListEventsRequestObject{Params: p})
		if err != nil {
			t.Fatal(err)
		}
		page := contract.LogEvents(answer.(contract.ListEvents200JSONResponse))
		var served bytes.Buffer // as it leaves the vault
		if err := wire.NewEncoder(&served).Encode(page); err != nil {
			t.Fatal(err)
		}
		page = contract.LogEvents{}
		if err := json.Unmarshal(served.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all
		}
		p.After = page.Items[len(page.Items)-1].Cursor
	}
}

// verifiesOffline checks a certificate with nothing but its bytes and the public
// key, and that no other bytes pass.
func verifiesOffline(t testing.TB, tv *testVault, c contract.ErasureCertificate, served []byte) {
	t.Helper()
	key, _, err := tv.Settings.Work.CertificateSigner.PublicKey(t.Context(), c.SigningKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := certificate.Verify(served, key); err != nil {
		t.Fatalf("E-3 the certificate: %v", err)
	}
	read, err := certificate.Read(served, key)
	if err != nil || read.ErasureID != c.ErasureID || read.State != c.State {
		t.Fatalf("E-3 the certificate says too little: %v", err)
	}
	audit := certificate.NewAudit(read)
	for _, e := range tv.events(t) {
		if err := audit.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if n, _, err := audit.Result(); err != nil || n != c.UnreadableEvents {
		t.Fatalf("E-3 against the log: %d, %v", n, err)
	}
	for i := range served {
		changed := slices.Clone(served)
		changed[i] ^= 1
		if certificate.Verify(changed, key) == nil {
			t.Fatalf("E-3 the certificate with byte %d changed passes: %q", i, changed[max(0, i-20):min(len(changed), i+20)])
		}
	}
	other := slices.Clone(key)
	other[0] ^= 1
	if certificate.Verify(served, other) == nil || certificate.Verify(served, nil) == nil {
		t.Error("E-3 the certificate passes under another key")
	}
}

// E-3: one document is forgotten, the citizen is not.
func TestErasureOfOneDocument(t *testing.T) {
	tv := newVault(t)
	gone, stays := tv.household(t, 1), tv.diploma(t, 1)
	ana := tv.person(t, 1)
	id := tv.erase(t, ana, gone)
	tv.waitIdle(t)
	var lost []eventstore.Record
	for _, r := range tv.sealedRecordsOf(t, ana) {
		err := tv.open(t, r)
		if r.Stream == acting.DocumentStream(gone) {
			lost = append(lost, r)
			if !errors.Is(err, eventstore.ErrErased) {
				t.Errorf("E-3 %s opens, or: %v", r.Type, err)
			}
		} else if err != nil {
			t.Errorf("E-3 %s does not open: %v", r.Type, err)
		}
	}
	c, served := tv.certificateOf(t, id)
	if c.Scope != contract.ErasureScopeDocument || c.DocumentID != gone || len(c.Keys) != 1 || c.UnreadableEvents != int64(len(lost)) || !bytes.Equal(c.Digest, digestOf(lost)) {
		t.Errorf("E-3 %+v", c)
	}
	verifiesOffline(t, tv, c, served)
	if done := recorded[document.ContentDestroyed](t, tv); len(done) != 1 || done[0].Document != gone {
		t.Errorf("E-3 %+v", done)
	}
	if done := recorded[citizen.KeyDestroyed](t, tv); len(done) != 0 {
		t.Error("E-3 one document took the whole citizen along")
	}
	row, known, err := tv.Wallets.Document(t.Context(), stays, -1)
	if err != nil || !known || row.Sealed == nil {
		t.Errorf("E-3 the other document left the wallet: %v", err)
	}
	tv.placeHold(t, ana) // E-1: possible again
	_, streams, err := tv.Settings.Work.Shreds.Read()
	if err != nil || len(streams) != 1 || streams[0].Stream != acting.DocumentStream(gone) {
		t.Errorf("E-3 the shred list names %v, %v", streams, err)
	}
	if _, err := tv.requestErasureOf(t, citizenCaller(ana), ana, gone); problemOf(err) == "" {
		t.Error("E-4 what is erased is asked to be erased")
	}
}

// logSignal is a slog.Handler that sends each message on a channel.
type logSignal chan string

func (logSignal) Enabled(context.Context, slog.Level) bool { return true }
func (s logSignal) Handle(_ context.Context, r slog.Record) error {
	select {
	case s <- r.Message:
	default:
	}
	return nil
}
func (s logSignal) WithAttrs([]slog.Attr) slog.Handler { return s }
func (s logSignal) WithGroup(string) slog.Handler      { return s }

func (s logSignal) await(t testing.TB, message string) {
	t.Helper()
	for {
		select {
		case got := <-s:
			switch got {
			case message:
				return
			case "an erasure is done":
				t.Fatalf("%s, before: %s", got, message)
			}
		case <-t.Context().Done():
			t.Fatal("the test ended")
		}
	}
}

const triedAgain = "a task is tried again"

// captureLog makes the vault log to a logSignal, on whose messages a test can wait.
func (tv *testVault) captureLog() logSignal {
	s := make(logSignal, 1000)
	tv.restart(func(made *settings) { made.Slog = slog.New(s) })
	return s
}

// workUntilFault returns once the vault has met a fault, after which it tries again, or has
// nothing left to do.
func (tv *testVault) workUntilFault(t testing.TB, heard logSignal) {
	t.Helper()
	worked := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waitIdle := tv.WaitIdle // of this process: after a restart tv is another one
	go func() { worked <- waitIdle(ctx) }()
	for {
		select {
		case message := <-heard:
			if message == triedAgain {
				return
			}
		case err := <-worked:
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}

// E-3: an erasure whose process ends before or after any of its appends is resumed: the same
// facts, once each, and the same certificate.
func TestErasureResumes(t *testing.T) {
	for _, scope := range []contract.ErasureScope{contract.ErasureScopeCitizen, contract.ErasureScopeDocument} {
		for step := 1; ; step++ {
			broke := resumedAt(t, scope, step, faulty.Fault{Before: eventstore.ErrUnavailable})
			resumedAt(t, scope, step, faulty.Fault{After: eventstore.ErrOutcomeUnknown})
			if !broke {
				if step < 3 {
					t.Errorf("E-3 %s: only %d appends", scope, step-1)
				}
				break
			}
		}
	}
}

// resumedAt reports whether the n-th append happened at all.
func resumedAt(t *testing.T, scope contract.ErasureScope, n int, f faulty.Fault) (broke bool) {
	t.Helper()
	tv := newVault(t)
	heard := tv.captureLog()
	gone := tv.household(t, 1)
	ana := tv.person(t, 1)
	tv.waitIdle(t)
	sealed := tv.sealedRecordsOf(t, ana)
	var one domain.DocumentID
	if scope == contract.ErasureScopeDocument {
		one = gone
	}
	id, err := tv.requestErasureOf(t, citizenCaller(ana), ana, one)
	if err != nil {
		t.Fatal(err)
	}
	approved := make(chan struct{})
	hit := make(chan struct{}, 1)
	var appends atomic.Int64
	tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
		if c.Method != faulty.Append {
			return faulty.Fault{}
		}
		select {
		case <-approved:
		default:
			return faulty.Fault{} // the approval itself
		}
		if appends.Add(1) < int64(n) {
			return faulty.Fault{}
		}
		select {
		case hit <- struct{}{}:
		default:
		}
		return f
	})
	tv.stop() // so that the destroyer waits for the rule
	if err := tv.approve(t, officer, id); err != nil {
		t.Fatal(err)
	}
	close(approved)
	tv.restart(func(s *settings) { s.Work.EraseAfter = time.Nanosecond })
	tv.workUntilFault(t, heard) // or settle what it left unknown
	select {
	case <-hit:
		broke = true
	default:
	}
	tv.stop() // it dies
	tv.Store.SetRule(nil)
	tv.restart()
	tv.waitIdle(t)
	if state := tv.erasureState(t, id); state != contract.ErasureStateKeysDestroyed {
		t.Fatalf("E-3 %s, dead at append %d: it is %s", scope, n, state)
	}
	c, served := tv.certificateOf(t, id)
	if c.UnreadableEvents != int64(len(sealed)) || !bytes.Equal(c.Digest, digestOf(sealed)) {
		t.Errorf("E-3 %s, dead at append %d: %d events, want %d", scope, n, c.UnreadableEvents, len(sealed))
	}
	verifiesOffline(t, tv, c, served)
	types := make(map[string]int)
	for _, r := range tv.log(t) {
		types[r.Type]++
	}
	want := map[string]int{"citizen.erasure-started/1": 1, "citizen.key-destroyed/1": 1}
	if scope == contract.ErasureScopeDocument {
		want = map[string]int{"citizen.erasure-started/1": 1, "document.content-destroyed/1": 1, "citizen.erasure-completed/1": 1}
	}
	for name, count := range want {
		if types[name] != count {
			t.Errorf("E-3 %s, dead at append %d: %d × %s", scope, n, types[name], name)
		}
	}
	return broke
}

// E-3: an erasure is resumed whose process ended between the destruction of the keys and its
// record, when only the key ring knows of it.
func TestErasureResumesAfterTheKeysAreGone(t *testing.T) {
	tv := newVault(t)
	heard := tv.captureLog()
	tv.household(t, 1)
	ana := tv.person(t, 1)
	sealed := tv.sealedRecordsOf(t, ana)
	good := tv.Settings.Work.Shreds
	tv.restart(func(s *settings) { s.Work.Shreds = shred.Open(filepath.Join(t.TempDir(), "missing", "shred.list")) })
	id := tv.erase(t, ana, domain.DocumentID{})
	heard.await(t, triedAgain)
	if done := recorded[citizen.KeyDestroyed](t, tv); len(done) != 0 {
		t.Error("E-3 on record before it is on the shred list")
	}
	for _, r := range sealed {
		if err := tv.open(t, r); !errors.Is(err, eventstore.ErrErased) {
			t.Errorf("E-3 %s opens, or: %v", r.Type, err)
		}
	}
	tv.restart(func(s *settings) { s.Work.Shreds = good })
	tv.waitIdle(t)
	if c, _ := tv.certificateOf(t, id); c.UnreadableEvents != int64(len(sealed)) {
		t.Errorf("E-3 %d events, want %d", c.UnreadableEvents, len(sealed))
	}
}

// E-1, E-3: while other processes may hold keys nothing is destroyed; a hold that
// raced with the start still stops it, and lifting the hold lets it go on.
func TestErasureWaitsForLeasesAndRechecksHolds(t *testing.T) {
	tv := newVault(t)
	heard := tv.captureLog()
	tv.restart(func(s *settings) { s.Work.EraseAfter = time.Hour })
	tv.household(t, 1)
	ana := tv.person(t, 1)
	id := tv.erase(t, ana, domain.DocumentID{})
	heard.await(t, "an erasure waits until no process can hold a key")
	tv.stop()
	for _, r := range tv.sealedRecordsOf(t, ana) {
		if err := tv.open(t, r); !errors.Is(err, eventstore.ErrErased) {
			t.Errorf("E-3 %s opens while its key is being destroyed, or: %v", r.Type, err)
		}
	}
	if state, _, err := acting.Citizens.Load(t.Context(), tv.Log, acting.CitizenStream(ana)); err != nil || state.Standing() != citizen.Erasing {
		t.Fatalf("E-3 %s %v", state.Standing(), err)
	}
	hold := domain.HoldID{UUID: uuid.New()}
	if _, err := acting.Citizens.TransactReserved(t.Context(), tv.Log, eventstore.Write{Stream: acting.CitizenStream(ana)}, recordRaced{citizen.LegalHoldPlaced{Citizen: ana, Hold: hold, Reason: "litigation", At: noon}}); err != nil {
		t.Fatal(err)
	}
	tv.restart(func(s *settings) { s.Work.EraseAfter = 0 })
	heard.await(t, "a task waits for somebody")
	tv.waitIdle(t)
	if erasing, err := tv.Keys.Erasing(t.Context()); err != nil || !slices.Equal(erasing, []domain.CitizenID{ana}) {
		t.Errorf("E-1 destroyed under a hold: %v %v", erasing, err)
	}
	if state := tv.erasureState(t, id); state != contract.ErasureStateStarted {
		t.Errorf("E-1 it is %s", state)
	}
	if _, err := tv.GetErasureCertificate(tv.as(t, officer, "getErasureCertificate", nil), contract.GetErasureCertificateRequestObject{ErasureID: id}); problemOf(err) != "erasureNotDone" {
		t.Errorf("E-3 a certificate before its time: %v", err)
	}
	tv.liftHold(t, ana, hold)
	tv.waitIdle(t)
	if state := tv.erasureState(t, id); state != contract.ErasureStateKeysDestroyed {
		t.Errorf("E-1 the hold was lifted, and it is %s", state)
	}
}

// recordRaced is a command that records a fact as another process would meanwhile.
type recordRaced struct{ citizen.Event }

func (r recordRaced) Decide(citizen.State) ([]citizen.Event, error) {
	return []citizen.Event{r.Event}, nil
}

// E-3: a document erased before its citizen has its own record and no other.
func TestErasureOfADocumentThenOfTheCitizen(t *testing.T) {
	tv := newVault(t)
	gone := tv.household(t, 1)
	tv.issue(t, socialSecurity, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "identityData", Content: contract.Content(identity)})
	ana := tv.person(t, 1)
	tv.erase(t, ana, gone)
	tv.waitIdle(t)
	rest := slices.DeleteFunc(tv.sealedRecordsOf(t, ana), func(r eventstore.Record) bool { return r.Stream == acting.DocumentStream(gone) })
	id := tv.erase(t, ana, domain.DocumentID{})
	tv.waitIdle(t)
	if c, _ := tv.certificateOf(t, id); c.UnreadableEvents != int64(len(rest)) || !bytes.Equal(c.Digest, digestOf(rest)) {
		t.Errorf("E-3 %d events, want %d", c.UnreadableEvents, len(rest))
	}
}

// P-1: a key without a registration, left by a crash, is registered at the start.
func TestPendingCitizensAreRegistered(t *testing.T) {
	tv := newVault(t)
	id, isNew, err := tv.Keys.Enroll(t.Context(), ssin(1).SSIN)
	if err != nil || !isNew {
		t.Fatal(isNew, err)
	}
	tv.restart()
	tv.waitIdle(t)
	if all := recorded[citizen.Registered](t, tv); len(all) != 1 || all[0].Citizen != id {
		t.Errorf("P-1 %+v", all)
	}
}

// E-4, A-1: a subject access report about an erased citizen is refused.
func TestNoReportOfAnErasedCitizen(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	tv.erase(t, ana, domain.DocumentID{})
	tv.waitIdle(t)
	if _, err := tv.reportOn(t, officer, ana, uuid.New()); problemOf(err) != access.ErrDocumentGone.Slug {
		t.Errorf("E-4 %v", err)
	}
}

// problemOf returns the last word of a problem's type; "" for no error.
func problemOf(err error) string {
	if err == nil {
		return ""
	}
	p, _, _, known := edge.Describe(err, acting.ErrorAnswers)
	if !known {
		return "fault: " + err.Error()
	}
	return p.Type[strings.LastIndexByte(p.Type, ':')+1:]
}

func detailOf(err error) string {
	if err == nil {
		return ""
	}
	p, _, _, _ := edge.Describe(err, acting.ErrorAnswers)
	return p.Detail
}

func TestErasureRequestIsMadeOnce(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	body := contract.ErasureRequest{CitizenID: ana, Scope: contract.ErasureScopeCitizen, Reason: "citizenRequest"}
	request := contract.RequestErasureRequestObject{Params: contract.RequestErasureParams{IdempotencyKey: uuid.New()}, Body: &body}
	var answers []contract.RequestErasureResponseObject
	for range 2 {
		answer, err := tv.RequestErasure(tv.as(t, citizenCaller(ana), "requestErasure", body), request)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, answer)
	}
	if !reflect.DeepEqual(answers[0], answers[1]) || len(recorded[citizen.ErasureRequested](t, tv)) != 1 {
		t.Error("E-1 asked twice by one key")
	}
}
