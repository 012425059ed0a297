package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/accesslog"
)

// allowance is the request with which flanders reads household compositions by law; consents
// are given to the same organisation for the same purpose.
var allowance = contract.AccessRequest{Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010", CaseReference: "2026/4711-canary"}

// read makes one access and returns the answer as it went over the wire.
func (tv *testVault) read(t testing.TB, who edge.Caller, id domain.DocumentID, key uuid.UUID, body contract.AccessRequest) (contract.AccessAnswer, error) {
	t.Helper()
	ctx := tv.as(t, who, "accessDocument", body)
	answer, err := tv.AccessDocument(ctx, contract.AccessDocumentRequestObject{
		DocumentID: id, Params: contract.AccessDocumentParams{IdempotencyKey: key}, Body: &body,
	})
	if err != nil {
		if answer != nil {
			t.Fatal("an answer and an error")
		}
		return contract.AccessAnswer{}, err
	}
	w := writeAnswer(t, ctx, answer.VisitAccessDocumentResponse)
	var got contract.AccessAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	return got, nil
}

// consentTo grants a consent through the use case and returns its id.
func (tv *testVault) consentTo(t testing.TB, who domain.CitizenID, body contract.ConsentGrant) domain.ConsentID {
	t.Helper()
	if body.Consumer == "" {
		body.Consumer, body.Purpose = flanders, "schoolAllowance"
	}
	if body.Documents == nil && body.DocumentTypes == nil {
		body.DocumentTypes = []contract.DocumentTypeCode{"householdComposition"}
	}
	body.ShownText = shownToAll
	answer, err := tv.GrantConsent(tv.as(t, citizenCaller(who), "grantConsent", body), contract.GrantConsentRequestObject{
		Params: contract.GrantConsentParams{IdempotencyKey: uuid.New()}, Body: &body,
	})
	if err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	return answer.(contract.GrantConsent201JSONResponse).Body.ConsentID
}

func (tv *testVault) withdraw(t testing.TB, who domain.CitizenID, id domain.ConsentID) error {
	t.Helper()
	_, err := tv.WithdrawConsent(tv.as(t, citizenCaller(who), "withdrawConsent", id), contract.WithdrawConsentRequestObject{
		ConsentID: id, Params: contract.WithdrawConsentParams{IdempotencyKey: uuid.New()},
	})
	return err
}

// revokeDirectly appends the revocation of a document without going through the use case.
func (tv *testVault) revokeDirectly(t testing.TB, by domain.Organisation, id domain.DocumentID) {
	t.Helper()
	_, err := acting.Documents.TransactReserved(t.Context(), tv.Log, eventstore.Write{Stream: acting.DocumentStream(id)},
		document.Revoke{Expected: document.Expectation{Any: true}, Reason: "issuedInError", By: domain.Actor{Role: domain.RoleIssuer, Organisation: by}, At: tv.Clock.Now()})
	if err != nil {
		t.Error(err)
	}
}

// afterAppend runs act once, in the first read that follows the next append: between the
// authorisation and the revalidation of an access.
func (tv *testVault) afterAppend(t testing.TB, act func()) {
	t.Helper()
	tv.waitIdle(t) // or what is left to the background appends first
	var appended, done atomic.Bool
	tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
		switch c.Method {
		case faulty.Append:
			appended.Store(true)
		case faulty.ReadStream:
			if appended.Load() && done.CompareAndSwap(false, true) {
				act()
			}
		}
		return faulty.Fault{}
	})
}

func TestAccess(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	who := tv.person(t, 1)

	t.Run("A-2 by law, no more than the registry's fields", func(t *testing.T) {
		got, err := tv.read(t, consumer(flanders), id, uuid.New(), allowance)
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Content) != `{"householdSize":4,"members":[{"relation":"child"}]}` {
			t.Errorf("content %s", got.Content)
		}
		if got.State != "valid" || got.Version != 1 || got.Issuer != homeAffairs || got.ValidFrom != "2026-01-01" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("A-2 only the fields asked for, and none beyond the basis", func(t *testing.T) {
		body := allowance
		body.Fields = []contract.FieldName{"householdSize"}
		got, err := tv.read(t, consumer(flanders), id, uuid.New(), body)
		if err != nil || string(got.Content) != `{"householdSize":4}` {
			t.Errorf("content %s, %v", got.Content, err)
		}
		body.Fields = []contract.FieldName{"householdSize", "address"}
		if _, err := tv.read(t, consumer(flanders), id, uuid.New(), body); !errors.Is(err, access.ErrNotCovered) || issuesOf(err) != "/fields/1" {
			t.Errorf("err %v, about %q", err, issuesOf(err))
		}
		body.Fields, body.Predicate = nil, contract.AskedPredicate{Name: "canary"}
		if _, err := tv.read(t, consumer(flanders), id, uuid.New(), body); !errors.Is(err, access.ErrNotCovered) || issuesOf(err) != "/predicate/name" || strings.Contains(problemText(err), "canary") {
			t.Errorf("err %v, about %q", err, issuesOf(err))
		}
	})
	t.Run("A-6 without a basis nothing is said of the fields", func(t *testing.T) {
		body := allowance
		body.Fields = []contract.FieldName{"address"}
		for _, absent := range []domain.DocumentID{id, {UUID: uuid.New()}} {
			if _, err := tv.read(t, consumer(railways), absent, uuid.New(), body); problemText(err) != problemText(access.ErrNoBasis) {
				t.Errorf("%s", problemText(err))
			}
		}
	})
	t.Run("A-2 a consent narrows further", func(t *testing.T) {
		c := tv.consentTo(t, who, contract.ConsentGrant{Fields: []contract.FieldName{"householdSize"}, Limits: contract.ConsentLimits{DataLife: 30}})
		got, err := tv.read(t, consumer(flanders), id, uuid.New(), contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &c})
		if err != nil || string(got.Content) != `{"householdSize":4}` || got.DataLife != 30 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("A-2 a predicate tells yes or no and nothing else", func(t *testing.T) {
		card := tv.childCard(t, 2)
		c := tv.consentTo(t, tv.person(t, 2), contract.ConsentGrant{Consumer: railways, Purpose: "ageVerification", DocumentTypes: []contract.DocumentTypeCode{"isiPlusCard"}})
		got, err := tv.read(t, consumer(railways), card, uuid.New(), contract.AccessRequest{Purpose: "ageVerification", ConsentID: &c, Predicate: contract.AskedPredicate{Name: "ageOver12"}})
		if err != nil {
			t.Fatal(err)
		}
		if got.Content != nil || got.Predicate != (contract.PredicateAnswer{Name: "ageOver12", Holds: false}) {
			t.Errorf("%+v", got)
		}
		if got.ValidFrom != "" || got.ValidUntil != "" {
			t.Errorf("dates that betray the age went out: %s %s", got.ValidFrom, got.ValidUntil)
		}
	})
	t.Run("A-1 on record with what it rests on, and what became of it", func(t *testing.T) {
		tv.waitIdle(t)
		var last eventstore.Event
		outcomes := map[domain.AccessID]access.Outcome{}
		for e, err := range tv.Log.ReadAll(t.Context(), eventstore.Position{}, 1<<20) {
			if err != nil {
				t.Fatal(err)
			}
			switch f := e.Data.(type) {
			case access.Authorized:
				last = e
			case access.Disclosed:
				outcomes[f.Access] = f.Outcome
			}
		}
		meta, err := last.Metadata()
		if err != nil || len(meta.BasedOn) != 2 || meta.Actor.Organisation != railways || meta.Registry != 1 {
			t.Errorf("%+v, %v", meta, err)
		}
		if authorized := recorded[access.Authorized](t, tv); len(authorized) != len(outcomes) || len(outcomes) != 4 {
			t.Errorf("%d authorised, outcomes %v", len(authorized), outcomes)
		}
		for _, o := range outcomes {
			if o != access.Delivered {
				t.Errorf("outcome %s", o)
			}
		}
	})
}

func TestAuthoriseThenOpen(t *testing.T) {
	away := errors.New("the disk is gone")
	t.Run("A-1 no byte without a durable access", func(t *testing.T) {
		tv := newVault(t)
		id := tv.household(t, 1)
		c := tv.consentTo(t, tv.person(t, 1), contract.ConsentGrant{})
		for name, body := range map[string]contract.AccessRequest{"by law": allowance, "by consent": {Purpose: "schoolAllowance", ConsentID: &c}} {
			for _, fault := range []faulty.Fault{{Before: eventstore.ErrUnavailable}, {Before: away}, {After: away}} {
				tv.Store.SetRule(faulty.At(faulty.Append, 1, fault))
				got, err := tv.read(t, consumer(flanders), id, uuid.New(), body)
				if err == nil || got.Content != nil {
					t.Errorf("%s: answered %+v, %v", name, got, err)
				}
			}
		}
		tv.Store.SetRule(nil)
	})

	type change func(t *testing.T, tv *testVault, id domain.DocumentID, c domain.ConsentID)
	for name, test := range map[string]struct {
		change change
		law    bool
		reason domain.ReasonCode
	}{
		"A-1 C-4 a withdrawal in between": {reason: "consentWithdrawn", change: func(t *testing.T, tv *testVault, _ domain.DocumentID, c domain.ConsentID) {
			if err := tv.withdraw(t, tv.person(t, 1), c); err != nil {
				t.Error(err)
			}
		}},
		"A-1 D-2 a revocation in between": {reason: "documentRevoked", change: func(t *testing.T, tv *testVault, id domain.DocumentID, _ domain.ConsentID) {
			tv.revokeDirectly(t, homeAffairs, id)
		}},
		"A-1 D-2 a revocation in between, by law": {law: true, reason: "documentRevoked", change: func(t *testing.T, tv *testVault, id domain.DocumentID, _ domain.ConsentID) {
			tv.revokeDirectly(t, homeAffairs, id)
		}},
		"A-1 a suspension in between": {law: true, reason: "documentSuspended", change: func(t *testing.T, tv *testVault, id domain.DocumentID, _ domain.ConsentID) {
			if _, err := acting.Documents.TransactReserved(t.Context(), tv.Log, eventstore.Write{Stream: acting.DocumentStream(id)}, document.Suspend{Expected: document.Expectation{Any: true},
				Reason: "underInvestigation", By: domain.Actor{Role: domain.RoleIssuer, Organisation: homeAffairs}, At: tv.Clock.Now(),
			}); err != nil {
				t.Error(err)
			}
		}},
		"A-1 C-3 a consent that expires in between": {reason: "consentExpired", change: func(_ *testing.T, tv *testVault, _ domain.DocumentID, _ domain.ConsentID) {
			tv.Clock.Advance(time.Hour)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			id := tv.household(t, 1)
			c := tv.consentTo(t, tv.person(t, 1), contract.ConsentGrant{Until: new(tv.Clock.Now().Add(time.Hour))})
			body := contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &c}
			if test.law {
				body = allowance
			}
			tv.afterAppend(t, func() { test.change(t, tv, id, c) })
			got, err := tv.read(t, consumer(flanders), id, uuid.New(), body)
			if slugOf(err) != string(test.reason) || got.Content != nil {
				t.Fatalf("answered %+v, %v", got, err)
			}
			authorized, outcomes := recorded[access.Authorized](t, tv), recorded[access.Disclosed](t, tv)
			if len(authorized) != 1 || len(outcomes) != 1 {
				t.Fatalf("%d authorised, %d outcomes", len(authorized), len(outcomes))
			}
			if o := outcomes[0]; o.Outcome != access.Withheld || o.Reason != test.reason || o.Access != authorized[0].Access {
				t.Errorf("%+v", o)
			}
		})
	}
	t.Run("A-1 an update in between takes nothing away", func(t *testing.T) {
		tv := newVault(t)
		id := tv.household(t, 1)
		tv.afterAppend(t, func() {
			_, err := acting.Documents.Transact(t.Context(), tv.Log, eventstore.Write{Stream: acting.DocumentStream(id), Citizen: tv.person(t, 1)}, document.Update{
				Expected: document.ExpectVersion(1), EffectiveFrom: "2026-01-01", Content: domain.JSON(`{"asOf":"2026-06-01","householdSize":5,"members":[]}`), Tag: document.Tag{1},
				By: domain.Actor{Role: domain.RoleIssuer, Organisation: homeAffairs}, At: tv.Clock.Now(),
			})
			if err != nil {
				t.Error(err)
			}
		})
		got, err := tv.read(t, consumer(flanders), id, uuid.New(), allowance)
		if err != nil || got.Version != 1 || !strings.Contains(string(got.Content), `"householdSize":4`) {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("A-1 what cannot be opened is recorded as failed", func(t *testing.T) {
		tv := newVault(t)
		id := tv.household(t, 1)
		tv.Opener.set(keysAway{})
		tv.Sealer.set(keysAway{})
		body := allowance
		body.CaseReference = ""
		if _, err := tv.read(t, consumer(flanders), id, uuid.New(), body); !errors.Is(err, eventstore.ErrKeysUnavailable) {
			t.Fatal(err)
		}
		tv.waitIdle(t)
		if o := recorded[access.Disclosed](t, tv); len(o) != 1 || o[0].Outcome != access.Failed || o[0].Reason != "keysUnavailable" {
			t.Errorf("%+v", o)
		}
	})
}

// keysAway is a sealer without keys.
type keysAway struct{}

func (keysAway) Seal(context.Context, domain.CitizenID, eventstore.Place, []byte) ([]byte, error) {
	return nil, eventstore.ErrKeysUnavailable
}

func (keysAway) Open(context.Context, []byte, eventstore.Place, []byte) ([]byte, error) {
	return nil, eventstore.ErrKeysUnavailable
}

// crowd starts n readers that read until they are refused. Begun is closed once n
// reads were answered; wait returns the refusals when all are done.
func (tv *testVault) crowd(t *testing.T, n int, id domain.DocumentID, body contract.AccessRequest, reads *atomic.Int64) (begun chan struct{}, wait func() []string) {
	t.Helper()
	var all sync.WaitGroup
	begun = make(chan struct{})
	said := make([]string, n)
	for i := range n {
		all.Go(func() {
			for {
				if _, err := tv.read(t, consumer(flanders), id, uuid.New(), body); err != nil {
					said[i] = slugOf(err)
					return
				}
				if reads.Add(1) == int64(n) {
					close(begun)
				}
			}
		})
	}
	return begun, func() []string { all.Wait(); return said }
}

func TestManyReaders(t *testing.T) {
	const readers = 64
	t.Run("C-4 C-6 a withdrawal among 64 readers is answered, and nothing is authorised after it", func(t *testing.T) {
		tv := newVault(t)
		id := tv.household(t, 1)
		who := tv.person(t, 1)
		c := tv.consentTo(t, who, contract.ConsentGrant{})
		var reads atomic.Int64
		begun, wait := tv.crowd(t, readers, id, contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &c}, &reads)
		<-begun
		if err := tv.withdraw(t, who, c); err != nil {
			t.Fatalf("the withdrawal: %v", err)
		}
		for _, slug := range wait() {
			if slug != "consentWithdrawn" {
				t.Errorf("a reader was told %s", slug)
			}
		}
		withdrawn := false
		for e, err := range tv.Log.Read(t.Context(), acting.ConsentStream(c), 0) {
			if err != nil {
				t.Fatal(err)
			}
			switch e.Data.(type) {
			case consent.Withdrawn:
				withdrawn = true
			case access.Authorized:
				if withdrawn {
					t.Error("an access was authorised after the withdrawal")
				}
			}
		}
		if !withdrawn {
			t.Error("no withdrawal on record")
		}
	})
	t.Run("D-2 A-1 a revocation among 64 readers", func(t *testing.T) {
		tv := newVault(t)
		id := tv.household(t, 1)
		var reads atomic.Int64
		begun, wait := tv.crowd(t, readers, id, allowance, &reads)
		<-begun
		tv.revokeDirectly(t, homeAffairs, id)
		for _, slug := range wait() {
			if slug != "documentRevoked" {
				t.Errorf("a reader was told %s", slug)
			}
		}
		tv.waitIdle(t)
		outcomes := map[domain.AccessID]access.Outcome{}
		for _, o := range recorded[access.Disclosed](t, tv) {
			outcomes[o.Access] = o.Outcome
		}
		revoked := false
		for e, err := range tv.Log.ReadAll(t.Context(), eventstore.Position{}, 1<<20) {
			if err != nil {
				t.Fatal(err)
			}
			switch f := e.Data.(type) {
			case document.Revoked:
				revoked = true
			case access.Authorized:
				if revoked && outcomes[f.Access] != access.Withheld {
					t.Errorf("authorised after the revocation: %s", outcomes[f.Access])
				}
			}
		}
		if !revoked {
			t.Error("no revocation on record")
		}
	})
	t.Run("C-3 of 64 readers a limit of 5 uses admits 5", func(t *testing.T) {
		tv := newVault(t)
		id := tv.household(t, 1)
		c := tv.consentTo(t, tv.person(t, 1), contract.ConsentGrant{Limits: contract.ConsentLimits{Uses: 5}})
		var reads atomic.Int64
		_, wait := tv.crowd(t, readers, id, contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &c}, &reads)
		for _, slug := range wait() {
			if slug != "consentExhausted" {
				t.Errorf("a reader was told %s", slug)
			}
		}
		if reads.Load() != 5 || len(recorded[access.Authorized](t, tv)) != 5 {
			t.Errorf("%d read, %d on record", reads.Load(), len(recorded[access.Authorized](t, tv)))
		}
	})
	t.Run("C-3 a frequency holds among readers, and opens again", func(t *testing.T) {
		tv := newVault(t)
		id := tv.household(t, 1)
		c := tv.consentTo(t, tv.person(t, 1), contract.ConsentGrant{Limits: contract.ConsentLimits{Frequency: contract.Frequency{Uses: 2, Per: "day"}}})
		body := contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &c}
		var reads atomic.Int64
		_, wait := tv.crowd(t, 8, id, body, &reads)
		for _, slug := range wait() {
			if slug != "consentFrequency" {
				t.Errorf("a reader was told %s", slug)
			}
		}
		if reads.Load() != 2 {
			t.Errorf("%d read", reads.Load())
		}
		tv.Clock.Advance(24 * time.Hour)
		if _, err := tv.read(t, consumer(flanders), id, uuid.New(), body); err != nil {
			t.Error(err)
		}
	})
}

func TestNoBasis(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	other := tv.household(t, 2)
	card := tv.childCard(t, 3)
	who := tv.person(t, 1)
	c := tv.consentTo(t, who, contract.ConsentGrant{})
	tv.Clock.Advance(time.Minute)
	later := tv.household(t, 1)
	gone := tv.household(t, 4)
	tv.revokeDirectly(t, homeAffairs, gone)
	under := contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &c}
	with := func(r contract.AccessRequest, change func(*contract.AccessRequest)) contract.AccessRequest {
		change(&r)
		return r
	}
	for _, test := range []struct {
		name string
		who  domain.Organisation
		id   domain.DocumentID
		body contract.AccessRequest
	}{
		{"A-6 a document that does not exist, by law", flanders, domain.DocumentID{UUID: uuid.New()}, allowance},
		{"A-6 a document that does not exist, by consent", flanders, domain.DocumentID{UUID: uuid.New()}, under},
		{"A-6 no such consent", flanders, id, with(under, func(r *contract.AccessRequest) { r.ConsentID = &domain.ConsentID{UUID: uuid.New()} })},
		{"A-6 another consumer's consent", railways, id, under},
		{"A-6 the consent of another citizen", flanders, other, under},
		{"A-6 the consent of another citizen, fields beyond it", flanders, other, with(under, func(r *contract.AccessRequest) { r.Fields = []contract.FieldName{"address"} })},
		{"C-2 a document issued after the grant", flanders, later, under},
		{"A-6 a type that the consent does not name", flanders, card, under},
		{"A-4 another deliberation", flanders, id, with(allowance, func(r *contract.AccessRequest) { r.Deliberation = "EX-26/999" })},
		{"A-4 another legal basis", flanders, id, with(allowance, func(r *contract.AccessRequest) { r.LegalBasis = "legalObligation" })},
		{"A-4 another purpose", flanders, id, with(allowance, func(r *contract.AccessRequest) { r.Purpose = "socialTariff" })},
		{"A-4 a consumer that may only ask for consent", railways, id, allowance},
		{"A-6 revoked or not, without a basis", railways, gone, allowance},
		{"A-4 F36 no procedure, where the registration lists some", flanders, id, with(allowance, func(r *contract.AccessRequest) { r.Procedure = "" })},
		{"A-4 a procedure that is not the consumer's", flanders, id, with(allowance, func(r *contract.AccessRequest) { r.Procedure = "socialTariffGrant" })},
		{"A-4 a procedure that the registry does not know", flanders, id, with(under, func(r *contract.AccessRequest) { r.Procedure = "canary" })},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(recorded[access.Authorized](t, tv))
			_, err := tv.read(t, consumer(test.who), test.id, uuid.New(), test.body)
			if !errors.Is(err, access.ErrNoBasis) {
				t.Errorf("answered %v", err)
			}
			if p, _, _, _ := edge.Describe(err, acting.ErrorAnswers); p.Status != 404 || p.Type != edge.ProblemPrefix+"noBasis" {
				t.Errorf("problem %+v", p)
			}
			if after := len(recorded[access.Authorized](t, tv)); after != before {
				t.Error("something was authorised")
			}
		})
	}
	t.Run("A-6 unknown and refused read the same streams", func(t *testing.T) {
		count := func(id domain.DocumentID, body contract.AccessRequest) (reads int64) {
			var n atomic.Int64
			tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
				if c.Method == faulty.ReadStream {
					n.Add(1)
				}
				return faulty.Fault{}
			})
			defer tv.Store.SetRule(nil)
			if err := tv.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			n.Store(0)
			in := tv.NewIntent(tv.as(t, consumer(railways), "accessDocument", body))
			_, err := tv.Disclose(callContext(t, in), in, disclosure.Reading{Basis: disclosure.Basis{Consent: body.ConsentID, LegalBasis: body.LegalBasis, Deliberation: body.Deliberation}, Document: id, Purpose: body.Purpose})
			if !errors.Is(err, access.ErrNoBasis) {
				t.Fatal(err)
			}
			return n.Load()
		}
		if a, b := count(id, allowance), count(domain.DocumentID{UUID: uuid.New()}, allowance); a != b || a == 0 {
			t.Errorf("%d reads for a document that exists, %d for none", a, b)
		}
		if a, b := count(id, under), count(domain.DocumentID{UUID: uuid.New()}, under); a != b || a == 0 {
			t.Errorf("%d reads for a document that exists, %d for none", a, b)
		}
	})
	t.Run("C-3 why a consent does not hold is told to its consumer", func(t *testing.T) {
		for slug, test := range map[string]struct {
			grant contract.ConsentGrant
			spoil func(domain.ConsentID)
			body  contract.AccessRequest
		}{
			"consentOtherPurpose": {body: contract.AccessRequest{Purpose: "housingAllowance"}},
			"consentWithdrawn": {spoil: func(c domain.ConsentID) {
				if err := tv.withdraw(t, who, c); err != nil {
					t.Fatal(err)
				}
			}, body: contract.AccessRequest{Purpose: "schoolAllowance"}},
			"consentExpired": {grant: contract.ConsentGrant{Until: new(noon.Add(time.Hour))}, spoil: func(domain.ConsentID) { tv.Clock.Advance(time.Hour) }, body: contract.AccessRequest{Purpose: "schoolAllowance"}},
		} {
			c := tv.consentTo(t, who, test.grant)
			if test.spoil != nil {
				test.spoil(c)
			}
			test.body.ConsentID = &c
			if _, err := tv.read(t, consumer(flanders), id, uuid.New(), test.body); slugOf(err) != slug {
				t.Errorf("%s: %v", slug, err)
			}
		}
	})
	t.Run("A-3 every refusal is on record, without what is no word of the registry", func(t *testing.T) {
		tv.waitIdle(t)
		n, slugs := 0, map[domain.ReasonCode]int{}
		for _, r := range recorded[access.Refused](t, tv) {
			n += r.Count
			slugs[r.Reason] += r.Count
			if r.Procedure == "canary" {
				t.Error("a stranger's word stands in clear")
			}
		}
		if n != 23 || slugs["noBasis"] != 20 || slugs["consentExpired"] != 1 {
			t.Errorf("%d refusals: %v", n, slugs)
		}
		entries, err := tv.AccessLog.Of(t.Context(), who, -1, accesslog.Filter{}, -1, 100)
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for _, e := range entries {
			if e.Outcome == accesslog.Refused {
				refused++
			}
		}
		if refused == 0 {
			t.Error("the citizen sees nothing of it")
		}
	})
}

// callContext is the context of the call an intent was made for.
func callContext(t testing.TB, in acting.Intent) context.Context {
	return edge.WithCall(t.Context(), in.Call)
}

func TestRepeat(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	who := tv.person(t, 1)
	c := tv.consentTo(t, who, contract.ConsentGrant{Limits: contract.ConsentLimits{Uses: 1}})
	body, key := contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &c}, uuid.New()
	first, err := tv.read(t, consumer(flanders), id, key, body)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("A-8 within five minutes the same access is answered again, as one use", func(t *testing.T) {
		tv.Clock.Advance(access.RepeatWithin)
		again, err := tv.read(t, consumer(flanders), id, key, body)
		if err != nil {
			t.Fatal(err)
		}
		if again.AccessID != first.AccessID || again.Attempt != 2 || string(again.Content) != string(first.Content) {
			t.Errorf("%+v, first %+v", again, first)
		}
		if _, err := tv.read(t, consumer(flanders), id, uuid.New(), body); !errors.Is(err, consent.ErrExhausted) {
			t.Errorf("another key: %v", err)
		}
	})
	t.Run("A-8 the key with another body is refused", func(t *testing.T) {
		other := body
		other.Fields = []contract.FieldName{"householdSize"}
		if _, err := tv.read(t, consumer(flanders), id, key, other); slugOf(err) != "idempotencyKeyReused" {
			t.Error(err)
		}
	})
	t.Run("A-8 later it is used up", func(t *testing.T) {
		tv.Clock.Advance(time.Microsecond)
		for range 2 {
			if _, err := tv.read(t, consumer(flanders), id, key, body); !errors.Is(err, access.ErrAlreadyUsed) {
				t.Error(err)
			}
		}
	})
	t.Run("A-8 a repetition is judged by what holds then", func(t *testing.T) {
		key := uuid.New()
		c := tv.consentTo(t, who, contract.ConsentGrant{})
		body := contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &c}
		if _, err := tv.read(t, consumer(flanders), id, key, body); err != nil {
			t.Fatal(err)
		}
		if err := tv.withdraw(t, who, c); err != nil {
			t.Fatal(err)
		}
		if _, err := tv.read(t, consumer(flanders), id, key, body); !errors.Is(err, consent.ErrWithdrawn) {
			t.Error(err)
		}
	})
	t.Run("A-8 C-3 an access that many others followed is not a new one", func(t *testing.T) {
		const others = 64 // as many as a stream's state remembers
		c := tv.consentTo(t, who, contract.ConsentGrant{Limits: contract.ConsentLimits{Uses: others + 1}})
		body, key := contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &c}, uuid.New()
		tv.afterAppend(t, func() { // between the authorisation and the second look
			for range others {
				if _, err := tv.read(t, consumer(flanders), id, uuid.New(), body); err != nil {
					t.Error(err)
				}
			}
		})
		if _, err := tv.read(t, consumer(flanders), id, key, body); err != nil {
			t.Errorf("its own use counted twice: %v", err)
		}
		if _, err := tv.read(t, consumer(flanders), id, key, body); !errors.Is(err, access.ErrAlreadyUsed) {
			t.Errorf("repeated after it was forgotten: %v", err)
		}
	})
	t.Run("A-8 a key whose access was refused is free again", func(t *testing.T) {
		key := uuid.New()
		if _, err := tv.read(t, consumer(railways), id, key, allowance); !errors.Is(err, access.ErrNoBasis) {
			t.Fatal(err)
		}
		body := allowance
		body.Purpose = "familyDiscount"
		if _, err := tv.read(t, consumer(railways), id, key, body); !errors.Is(err, access.ErrNoBasis) {
			t.Errorf("another body under it: %v", err)
		}
	})
}

func TestQuota(t *testing.T) {
	t.Run("A-7 a lagging read model lets nobody past the quota", func(t *testing.T) {
		tv := newVault(t, func(r *registry.Registry) { organisation(t, r, flanders).DailyQuota = 3 })
		ids := make([]domain.DocumentID, 12)
		for n := range ids {
			ids[n] = tv.household(t, n)
		}
		var all sync.WaitGroup
		var answered, refused atomic.Int64
		for _, id := range ids {
			for range 3 {
				all.Go(func() {
					switch _, err := tv.read(t, consumer(flanders), id, uuid.New(), allowance); {
					case err == nil:
						answered.Add(1)
					case errors.Is(err, access.ErrQuota):
						refused.Add(1)
					default:
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		citizens := map[domain.CitizenID]bool{}
		for _, a := range recorded[access.Authorized](t, tv) {
			citizens[a.Citizen] = true
		}
		if len(citizens) != 3 || answered.Load()+refused.Load() != 36 {
			t.Errorf("%d citizens read, %d answers, %d refusals", len(citizens), answered.Load(), refused.Load())
		}
		tv.waitIdle(t)
		for id := range citizens { // read already today: free
			for n := range ids {
				if tv.person(t, n) == id {
					if _, err := tv.read(t, consumer(flanders), ids[n], uuid.New(), allowance); err != nil {
						t.Error(err)
					}
				}
			}
		}
		tv.Clock.Advance(24 * time.Hour)
		if _, err := tv.read(t, consumer(flanders), ids[11], uuid.New(), allowance); err != nil {
			t.Errorf("the next day: %v", err)
		}
	})
}

func TestRefusalsAreBounded(t *testing.T) {
	tv := newVault(t)
	t.Run("A-3 beyond thirty a minute they are counted together", func(t *testing.T) {
		const asked = 500
		for n := range asked {
			in := tv.NewIntent(tv.as(t, consumer(flanders), "accessDocument", n))
			if err := tv.QueueRefusal(in, access.Refused{Purpose: "schoolAllowance", Document: domain.DocumentID{UUID: uuid.New()}}, access.ErrNoBasis); !errors.Is(err, access.ErrNoBasis) {
				t.Fatal(err)
			}
		}
		tv.waitIdle(t)
		all, count := recorded[access.Refused](t, tv), 0
		for _, r := range all {
			count += r.Count
		}
		if count != asked || len(all) > access.ApartPerMinute+5 {
			t.Errorf("%d refusals in %d facts", count, len(all))
		}
	})
	t.Run("A-3 a citizen's log shows three tries behind thirty-one about nothing", func(t *testing.T) {
		tv := newVault(t)
		home := tv.household(t, 1)
		who := tv.person(t, 1)
		ask := func(id domain.DocumentID) {
			t.Helper()
			if _, err := tv.read(t, consumer(railways), id, uuid.New(), contract.AccessRequest{Purpose: "familyDiscount", LegalBasis: "publicTask", Deliberation: "EX-26/010"}); !errors.Is(err, access.ErrNoBasis) {
				t.Fatal(err)
			}
		}
		for range access.ApartPerMinute + 1 {
			ask(domain.DocumentID{UUID: uuid.New()})
		}
		for range 3 {
			ask(home)
		}
		tv.waitIdle(t)
		entries, err := tv.AccessLog.Of(t.Context(), who, projections.Latest, accesslog.Filter{}, projections.Latest, 10)
		if err != nil || len(entries) != 3 {
			t.Fatalf("%d entries, %v", len(entries), err)
		}
		for _, e := range entries {
			if e.Kind != accesslog.Refusal || e.Count != 1 || e.Document != home || e.Consumer != railways {
				t.Errorf("%+v", e)
			}
		}
	})
	t.Run("A-3 A-6 without room for the record nobody is told no, whomever they name", func(t *testing.T) {
		tv := newVault(t)
		home := tv.household(t, 1)
		tv.waitIdle(t)
		tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
			if c.Method == faulty.Append {
				return faulty.Fault{Before: eventstore.ErrUnavailable}
			}
			return faulty.Fault{}
		})
		in := tv.NewIntent(tv.as(t, consumer(railways), "accessDocument", nil))
		full := false
		for range 100_000 {
			if err := tv.QueueRefusal(in, access.Refused{Citizen: domain.CitizenID{UUID: uuid.New()}}, access.ErrNoBasis); errors.Is(err, disclosure.ErrRefusalsWait) {
				full = true
				break
			}
		}
		if !full {
			t.Fatal("the queue never fills")
		}
		tv.Clock.Advance(time.Minute) // as many refusals as fill the queue are too many for one minute
		ask := func(id domain.DocumentID, n int) (slugs []string) {
			t.Helper()
			_, err := tv.read(t, consumer(railways), id, uuid.New(), contract.AccessRequest{Purpose: "familyDiscount", LegalBasis: "publicTask", Deliberation: "EX-26/010"})
			slugs = append(slugs, slugOf(err))
			_, err = tv.evidenceOf(t, railways, contract.EvidenceQuery{SSIN: ssin(n), Purpose: "familyDiscount", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010", Needs: []contract.EvidenceNeed{{DocumentType: "diploma"}}})
			slugs = append(slugs, slugOf(err))
			body := contract.ConsentValidation{SSIN: ssin(n), DocumentType: "diploma", Purpose: "familyDiscount", LegalBasis: "publicTask", Deliberation: "EX-26/010"}
			_, err = tv.ValidateConsent(tv.as(t, consumer(railways), "validateConsent", body), contract.ValidateConsentRequestObject{Body: &body})
			slugs = append(slugs, slugOf(err))
			get := contract.CitizenGet{SSIN: ssin(n)}
			_, err = tv.GetCitizen(tv.as(t, consumer(railways), "getCitizen", get), contract.GetCitizenRequestObject{Body: &get})
			return append(slugs, slugOf(err))
		}
		want := []string{"refusalsNotRecorded", "refusalsNotRecorded", "refusalsNotRecorded", "refusalsNotRecorded"}
		if known, unknown := ask(home, 1), ask(domain.DocumentID{UUID: uuid.New()}, 999); !slices.Equal(known, want) || !slices.Equal(unknown, want) {
			t.Errorf("of the known %v, of the unknown %v", known, unknown)
		}
		tv.Store.SetRule(nil)
		tv.waitIdle(t)
		if got := ask(home, 1); got[0] != "noBasis" {
			t.Errorf("once there is room: %v", got)
		}
	})
	t.Run("A-3 what cannot be recorded waits until it can", func(t *testing.T) {
		tv := newVault(t)
		tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
			if c.Method == faulty.Append {
				return faulty.Fault{Before: eventstore.ErrUnavailable}
			}
			return faulty.Fault{}
		})
		for minute := range 100 {
			for n := range 50 {
				in := tv.NewIntent(tv.as(t, consumer(flanders), "accessDocument", fmt.Sprint(minute, n)))
				_ = tv.QueueRefusal(in, access.Refused{}, access.ErrNoBasis)
			}
			tv.Clock.Advance(time.Minute)
		}
		tv.Store.SetRule(nil)
		tv.waitIdle(t)
		count := 0
		for _, r := range recorded[access.Refused](t, tv) {
			count += r.Count
		}
		if count != 5000 {
			t.Errorf("%d refusals on record", count)
		}
	})
}
