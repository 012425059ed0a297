package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/audit"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/faulty"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/contract/wire"
	"coffre/handlers/edge"
)

// wallet gets a wallet and returns it as it went over the wire, decoded strictly, and the
// bytes.
func (tv *testVault) wallet(t testing.TB, who edge.Caller, whose domain.CitizenID, p contract.GetWalletParams) (contract.Wallet, string, error) {
	t.Helper()
	ctx := tv.as(t, who, "getWallet", nil)
	answer, err := tv.GetWallet(ctx, contract.GetWalletRequestObject{CitizenID: whose, Params: p})
	if err != nil {
		if answer != nil {
			t.Fatal("an answer and an error")
		}
		return contract.Wallet{}, "", err
	}
	w := writeAnswer(t, ctx, answer.VisitGetWalletResponse)
	if w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("headers %v for %d bytes", w.Header(), w.Body.Len())
	}
	var got contract.Wallet
	if err := wire.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("not a wallet: %s", w.Body)
	}
	if got.Items == nil || got.CitizenID != whose {
		t.Errorf("%s", w.Body)
	}
	return got, w.Body.String(), nil
}

// recordFacts is a command that records the events it holds, whatever the state.
type recordFacts[S, E any] []E

func (h recordFacts[S, E]) Decide(S) ([]E, error) { return h, nil }

// TestNobodyMayReadWhatIsRevoked: a consent that stands gives nobody a revoked document, so
// the citizen is not told that somebody may read it.
func TestNobodyMayReadWhatIsRevoked(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	who := tv.person(t, 1)
	tv.Clock.Advance(time.Minute)
	tv.consentTo(t, who, contract.ConsentGrant{})
	for _, readers := range []int{1, 0} {
		tv.waitForReadModels(t)
		got, _, err := tv.wallet(t, citizenCaller(who), who, contract.GetWalletParams{})
		if err != nil || len(got.Items) != 1 || len(got.Items[0].WhoMayRead) != readers {
			t.Fatalf("%+v, %v; want %d who may read", got.Items, err, readers)
		}
		if readers > 0 {
			tv.revokeDirectly(t, homeAffairs, home)
		}
	}
}

func TestOwnWallet(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	card := tv.childCard(t, 1)
	who := tv.person(t, 1)
	me := citizenCaller(who)
	tv.Clock.Advance(time.Minute)
	c := tv.consentTo(t, who, contract.ConsentGrant{})

	t.Run("A-1 shows everything, and makes no record", func(t *testing.T) {
		got, _, err := tv.wallet(t, me, who, contract.GetWalletParams{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Items) != 2 || len(recorded[access.Authorized](t, tv)) != 0 {
			t.Fatalf("%+v", got)
		}
		first, second := got.Items[0], got.Items[1]
		if first.DocumentID != home || string(first.Content) != household || first.Label != "Household composition" || first.IssuerName != "FPS Home Affairs" ||
			first.State != "valid" || first.Version != 1 || first.ValidFrom != "2026-01-01" || first.HeldAs != contract.HeldAsSubject || first.Href != contract.DocumentHref(home) {
			t.Errorf("%+v", first)
		}
		if second.DocumentID != card || second.ValidUntil != "2028-12-31" || string(second.Content) != childCard || len(second.WhoMayRead) != 0 {
			t.Errorf("%+v", second)
		}
		if len(first.WhoMayRead) != 1 || first.WhoMayRead[0].ConsentID != c || first.WhoMayRead[0].OrganizationName != "Government of Flanders" || !first.WhoMayRead[0].Until.Equal(tv.Clock.Now().AddDate(1, 0, 0)) {
			t.Errorf("%+v", first.WhoMayRead)
		}
	})
	t.Run("C-4 who was withdrawn from may read no longer", func(t *testing.T) {
		if err := tv.withdraw(t, who, c); err != nil {
			t.Fatal(err)
		}
		tv.waitForReadModels(t)
		got, _, err := tv.wallet(t, me, who, contract.GetWalletParams{})
		if err != nil || len(got.Items[0].WhoMayRead) != 0 {
			t.Errorf("%+v, %v", got.Items[0].WhoMayRead, err)
		}
	})
	t.Run("in the language asked for, escaped where need be", func(t *testing.T) {
		ctx := tv.as(t, me, "getWallet", nil)
		edge.CallFrom(ctx).Language = "fr"
		answer, err := tv.GetWallet(ctx, contract.GetWalletRequestObject{CitizenID: who, Params: contract.GetWalletParams{Lang: "fr"}})
		if err != nil {
			t.Fatal(err)
		}
		w := writeAnswer(t, ctx, answer.VisitGetWalletResponse)
		var got contract.Wallet
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Items[0].IssuerName != "SPF Intérieur" || !strings.HasSuffix(got.Self, "/wallet?lang=fr") {
			t.Errorf("%v %s", err, w.Body)
		}
	})
	t.Run("A-6 somebody else's is not there", func(t *testing.T) {
		tv.household(t, 2)
		for _, whose := range []domain.CitizenID{tv.person(t, 2), {UUID: uuid.New()}, {}} {
			if _, _, err := tv.wallet(t, me, whose, contract.GetWalletParams{}); !errors.Is(err, edge.ErrNoResource) {
				t.Errorf("%v", err)
			}
		}
		if _, _, err := tv.wallet(t, citizenCaller(domain.CitizenID{}), who, contract.GetWalletParams{}); !errors.Is(err, edge.ErrNoResource) {
			t.Errorf("a person unknown to the vault: %v", err)
		}
	})
	t.Run("an auditor sees no content and leaves a record", func(t *testing.T) {
		got, text, err := tv.wallet(t, officeCaller(domain.RoleAuditor), who, contract.GetWalletParams{})
		if err != nil || len(got.Items) != 2 {
			t.Fatalf("%+v, %v", got, err)
		}
		if strings.Contains(strings.ToLower(text), "canary") || strings.Contains(text, "2028") {
			t.Errorf("%s", text)
		}
		if reads := recorded[audit.LogRead](t, tv); len(reads) != 1 {
			t.Errorf("%d readings on record", len(reads))
		}
	})
	t.Run("without keys nothing is shown as if it were all", func(t *testing.T) {
		tv := &testVault{Vault: tv.Vault, Opener: tv.Opener, Clock: tv.Clock}
		defer tv.Opener.set(keysAway{})()
		if _, _, err := tv.wallet(t, me, who, contract.GetWalletParams{}); !errors.Is(err, eventstore.ErrKeysUnavailable) {
			t.Error(err)
		}
	})
	t.Run("E-3 erased is empty", func(t *testing.T) {
		erasure := domain.ErasureID{UUID: uuid.New()}
		facts := recordFacts[citizen.State, citizen.Event]{
			citizen.ErasureRequested{Citizen: who, Erasure: erasure, Scope: citizen.WholeCitizen, Reason: "citizenRequest", At: tv.Clock.Now()},
			citizen.ErasureStarted{Citizen: who, Erasure: erasure, At: tv.Clock.Now()},
			citizen.KeyDestroyed{Citizen: who, Erasure: erasure, At: tv.Clock.Now()},
		}
		if _, err := acting.Citizens.Transact(t.Context(), tv.Log, eventstore.Write{Stream: acting.CitizenStream(who)}, facts); err != nil {
			t.Fatal(err)
		}
		tv.waitForReadModels(t)
		if got, _, err := tv.wallet(t, me, who, contract.GetWalletParams{}); err != nil || len(got.Items) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// A wallet whose keys are not in memory asks the key database for all of them at once.
func TestWalletReadsItsKeysTogether(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.childCard(t, 1)
	who := tv.person(t, 1)
	tv.Keys.Forget(who)
	for i, want := range []int64{1, 0} { // then they are in memory
		before := tv.Keys.KeyReads()
		got, _, err := tv.wallet(t, citizenCaller(who), who, contract.GetWalletParams{})
		if err != nil || len(got.Items) != 2 {
			t.Fatal(got, err)
		}
		if reads := tv.Keys.KeyReads() - before; reads != want {
			t.Errorf("reading %d of the wallet asked the key database for content keys %d times, not %d", i+1, reads, want)
		}
	}
}

func TestWalletInTime(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	who := tv.person(t, 1)
	me := citizenCaller(who)
	issued := tv.Clock.Now()
	by := domain.Actor{Role: domain.RoleIssuer, Organisation: homeAffairs}
	change := func(cmd documentCommand) time.Time {
		tv.Clock.Advance(time.Hour)
		if _, err := acting.Documents.Transact(t.Context(), tv.Log, eventstore.Write{Stream: acting.DocumentStream(id), Citizen: who}, cmd); err != nil {
			t.Fatal(err)
		}
		tv.waitForReadModels(t)
		return tv.Clock.Now()
	}
	tv.Clock.Advance(-time.Hour)
	updated := change(document.Update{
		Expected: document.ExpectVersion(1), EffectiveFrom: "2026-07-01", Content: domain.JSON(`{"asOf":"2026-07-01","householdSize":5,"members":[]}`), Tag: document.Tag{1}, By: by, At: issued,
	})
	show := func(p contract.GetWalletParams) contract.WalletItem {
		t.Helper()
		got, _, err := tv.wallet(t, me, who, p)
		if err != nil || len(got.Items) != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		return got.Items[0]
	}
	t.Run("D-3 an update that applies later is not shown as in force", func(t *testing.T) {
		if item := show(contract.GetWalletParams{}); item.Version != 1 || string(item.Content) != household {
			t.Errorf("%+v", item)
		}
		if item := show(contract.GetWalletParams{ValidAt: "2026-07-01"}); item.Version != 2 || item.EffectiveFrom != "2026-07-01" || item.ValidFrom != "2026-01-01" || item.State != "valid" {
			t.Errorf("%+v", item)
		}
	})
	t.Run("D-6 not yet valid is shown as such", func(t *testing.T) {
		if item := show(contract.GetWalletParams{ValidAt: "2025-12-31"}); item.State != "notYetValid" {
			t.Errorf("%+v", item)
		}
	})
	revoked := change(document.Revoke{Expected: document.Expectation{Any: true}, Reason: "issuedInError", EffectiveFrom: "2026-08-01", By: by, At: tv.Clock.Now()})
	t.Run("D-2 a revocation counts from its day", func(t *testing.T) {
		if item := show(contract.GetWalletParams{}); item.State != "valid" {
			t.Errorf("%+v", item)
		}
		if item := show(contract.GetWalletParams{ValidAt: "2026-08-01"}); item.State != "revoked" || item.Reason != "issuedInError" {
			t.Errorf("%+v", item)
		}
	})
	t.Run("asOf shows what was known then", func(t *testing.T) {
		if item := show(contract.GetWalletParams{AsOf: new(revoked.Add(-time.Minute)), ValidAt: "2026-08-01"}); item.State != "valid" || item.Version != 2 {
			t.Errorf("%+v", item)
		}
		if item := show(contract.GetWalletParams{AsOf: &revoked, ValidAt: "2026-08-01"}); item.State != "revoked" {
			t.Errorf("%+v", item)
		}
		got, _, err := tv.wallet(t, me, who, contract.GetWalletParams{AsOf: new(issued.Add(-time.Minute))})
		if err != nil || len(got.Items) != 0 || got.AsOf.IsZero() {
			t.Errorf("%+v, %v", got, err)
		}
		if _, _, err := tv.wallet(t, me, who, contract.GetWalletParams{AsOf: new(tv.Clock.Now().Add(time.Second))}); !errors.Is(err, errNotSettled) {
			t.Errorf("the future: %v", err)
		}
	})
	_ = updated
}

func TestRepresentatives(t *testing.T) {
	tv := newVault(t)
	const mother, father, stranger = 2, 3, 4
	child := child(1)
	card := tv.childCard(t, child, mother, father)
	tv.household(t, child) // not what the parents' mandates are about
	tv.household(t, mother)
	tv.household(t, stranger)
	kid, parent := tv.person(t, child), tv.person(t, mother)
	me := citizenCaller(parent)
	source := domain.Actor{Role: domain.RoleIssuer, Organisation: socialSecurity}
	looks := func() []access.Authorized { return recorded[access.Authorized](t, tv) }

	t.Run("M-1.5 A-1 their own wallet shows the child's card, on record once per request", func(t *testing.T) {
		got, text, err := tv.wallet(t, me, parent, contract.GetWalletParams{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Items) != 2 || !strings.Contains(text, "Canary Child") {
			t.Fatalf("%s", text)
		}
		item := got.Items[1]
		if item.DocumentID != card || item.HeldAs != contract.HeldAsRepresentative || item.RepresentedCitizenID != kid || item.MandateID != tv.mandateOf(t, parent, kid) {
			t.Errorf("%+v", item)
		}
		all := looks()
		if len(all) != 1 || all[0].Kind != access.OpenedWallet || all[0].Role != domain.RoleRepresentative || all[0].Reader != parent || all[0].Citizen != kid || all[0].Mandate != item.MandateID {
			t.Errorf("%+v", all)
		}
		for e, err := range tv.Log.Read(t.Context(), acting.AccessStream(kid, tv.Clock.Now()), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if meta, err := e.Metadata(); err != nil || meta.Represents != kid || meta.Actor.Citizen != parent || len(meta.BasedOn) == 0 && e.Revision == 0 {
				t.Errorf("%+v, %v", meta, err)
			}
		}
	})
	t.Run("M-1.2 the child's wallet shows what the mandate covers", func(t *testing.T) {
		got, _, err := tv.wallet(t, me, kid, contract.GetWalletParams{})
		if err != nil || len(got.Items) != 1 || got.Items[0].DocumentID != card || got.Items[0].HeldAs != contract.HeldAsRepresentative {
			t.Fatalf("%+v, %v", got, err)
		}
		if len(looks()) != 2 {
			t.Errorf("%d on record", len(looks()))
		}
	})
	t.Run("A-6 to a stranger the child is not there", func(t *testing.T) {
		if _, _, err := tv.wallet(t, citizenCaller(tv.person(t, stranger)), kid, contract.GetWalletParams{}); !errors.Is(err, edge.ErrNoResource) {
			t.Error(err)
		}
		if _, _, err := tv.wallet(t, citizenCaller(kid), parent, contract.GetWalletParams{}); !errors.Is(err, edge.ErrNoResource) {
			t.Error(err)
		}
	})
	t.Run("A-1 nothing of the child is shown when it cannot be recorded", func(t *testing.T) {
		for _, whose := range []domain.CitizenID{parent, kid} {
			tv.waitIdle(t) // outcomes of the readings above are appended in the background
			tv.Store.SetRule(faulty.At(faulty.Append, 1, faulty.Fault{Before: eventstore.ErrUnavailable}))
			if _, text, err := tv.wallet(t, me, whose, contract.GetWalletParams{}); !errors.Is(err, eventstore.ErrUnavailable) || text != "" {
				t.Errorf("%s, %v", text, err)
			}
		}
		tv.Store.SetRule(nil)
	})
	t.Run("M-1.9 a mandate whose end cannot be opened shows nothing", func(t *testing.T) {
		defer tv.Opener.set(exceptMandates{tv.Opener.get()})()
		before := len(looks())
		got, _, err := tv.wallet(t, me, parent, contract.GetWalletParams{})
		if err != nil || len(got.Items) != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		if _, _, err := tv.wallet(t, me, kid, contract.GetWalletParams{}); !errors.Is(err, mandate.ErrUnreadable) {
			t.Error(err)
		}
		if len(looks()) != before {
			t.Error("a look is on record")
		}
	})
	t.Run("A-1 M-1.7 a mandate that ends in between shows nothing, and that is on record", func(t *testing.T) {
		id := tv.mandateOf(t, parent, kid)
		tv.afterAppend(t, func() { tv.endMandate(t, id, source, mandate.Decision) })
		got, text, err := tv.wallet(t, me, parent, contract.GetWalletParams{})
		if err != nil || len(got.Items) != 1 || strings.Contains(text, "Canary Child") {
			t.Fatalf("%s, %v", text, err)
		}
		all := looks()
		outcomes := recorded[access.Disclosed](t, tv)
		last := outcomes[len(outcomes)-1]
		if last.Outcome != access.Withheld || last.Access != all[len(all)-1].Access || last.Reason != "mandateNotInForce" {
			t.Errorf("%+v", last)
		}
		tv.Store.SetRule(nil)
		tv.waitForReadModels(t)
		if _, _, err := tv.wallet(t, me, kid, contract.GetWalletParams{}); !errors.Is(err, edge.ErrNoResource) {
			t.Error(err)
		}
	})
	t.Run("M-1.5 the other parent's stands, M-1.6 until the child is 18", func(t *testing.T) {
		other := tv.person(t, father)
		if got, _, err := tv.wallet(t, citizenCaller(other), other, contract.GetWalletParams{}); err != nil || len(got.Items) != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		tv.Clock.Advance(time.Date(2034, 4, 5, 0, 0, 0, 0, time.UTC).Sub(tv.Clock.Now()))
		before := len(looks())
		if got, _, err := tv.wallet(t, citizenCaller(other), other, contract.GetWalletParams{}); err != nil || len(got.Items) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
		if _, _, err := tv.wallet(t, citizenCaller(other), kid, contract.GetWalletParams{}); !errors.Is(err, edge.ErrNoResource) {
			t.Error(err)
		}
		if len(looks()) != before {
			t.Error("a look is on record")
		}
	})
}

// exceptMandates opens everything but the ends of mandates.
type exceptMandates struct{ eventstore.Opener }

func (s exceptMandates) Open(ctx context.Context, dst []byte, p eventstore.Place, sealed []byte) ([]byte, error) {
	if p.Stream.Category() == "mandate" {
		return nil, eventstore.ErrKeysUnavailable
	}
	return s.Opener.Open(ctx, dst, p, sealed)
}

func TestManyRepresentatives(t *testing.T) {
	t.Run("A-1 M-1.7 after a mandate ended nothing is shown under it", func(t *testing.T) {
		const readers = 64
		tv := newVault(t)
		tv.childCard(t, child(1), 2)
		kid, parent := tv.person(t, child(1)), tv.person(t, 2)
		id := tv.mandateOf(t, parent, kid)
		var all sync.WaitGroup
		var answered atomic.Int64
		begun := make(chan struct{})
		for range readers {
			all.Go(func() {
				for {
					if _, _, err := tv.wallet(t, citizenCaller(parent), kid, contract.GetWalletParams{}); err != nil {
						if slug := slugOf(err); slug != "resourceNotFound" && slug != "mandateNotInForce" && slug != "noBasis" {
							t.Errorf("told %s", slug)
						}
						return
					}
					if answered.Add(1) == readers {
						close(begun)
					}
				}
			})
		}
		<-begun
		tv.endMandate(t, id, domain.Actor{Role: domain.RoleCitizen, Citizen: parent}, "")
		all.Wait()
		tv.waitIdle(t)
		outcomes := map[domain.AccessID]access.Outcome{}
		for _, o := range recorded[access.Disclosed](t, tv) {
			outcomes[o.Access] = o.Outcome
		}
		ended := false
		for e, err := range tv.Log.ReadAll(t.Context(), eventstore.Position{}, 1<<20) {
			if err != nil {
				t.Fatal(err)
			}
			switch f := e.Data.(type) {
			case mandate.Ended:
				ended = true
			case access.Authorized:
				if ended && outcomes[f.Access] != access.Withheld {
					t.Errorf("authorised after the end: %s", outcomes[f.Access])
				}
			}
		}
		if !ended {
			t.Error("no end on record")
		}
	})
}

func TestSplitPersonal(t *testing.T) {
	for _, e := range []any{
		document.Issued{Personal: &document.IssuedPersonal{SourceReference: `a "quoted\" } one`, Content: domain.JSON(`{"a":{"b":["}",{"c":"\\"}]},"d":"<é>"}`), ValidFrom: "2026-01-01", ValidUntil: "2028-12-31"}},
		document.Issued{Personal: &document.IssuedPersonal{Content: domain.JSON(`{}`)}},
		document.Updated{Personal: &document.UpdatedPersonal{Content: domain.JSON(`{"x":"\"}"}`), EffectiveFrom: "2026-02-01"}},
	} {
		_, _, personal, err := codec.Catalog.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		part, ok := splitPersonal(personal)
		if !ok {
			t.Fatalf("not read: %s", personal)
		}
		var want struct {
			Content                              json.RawMessage
			EffectiveFrom, ValidFrom, ValidUntil domain.Date
		}
		if err := json.Unmarshal(personal, &want); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(part.content, want.Content) || part.effectiveFrom != want.EffectiveFrom || part.validFrom != want.ValidFrom || part.validUntil != want.ValidUntil {
			t.Errorf("%s read as %s", personal, part.content)
		}
		for n := range personal { // cut off anywhere it is nothing
			if _, ok := splitPersonal(personal[:n]); ok {
				t.Errorf("a part cut off at %d was read", n)
			}
		}
	}
	for _, broken := range []string{`{"content":[]}`, `{"content":{}}x`, `{"content":{},"validFrom":1}`, `{"validFrom":"2026-13-01","content":{}}`, `{"other":"x","content":{}}`, `{}`, `[]`, `null`} {
		if _, ok := splitPersonal([]byte(broken)); ok {
			t.Errorf("%s was read", broken)
		}
	}
}

func FuzzSplitPersonal(f *testing.F) {
	f.Add([]byte(`{"sourceReference":"a\"b","content":{"a":[{"b":"}"}]},"validFrom":"2026-01-01"}`))
	f.Add([]byte(`{"content":{},"effectiveFrom":"2026-01-01"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		part, ok := splitPersonal(b)
		if !ok || !json.Valid(b) {
			return
		}
		var all map[string]json.RawMessage
		if err := json.Unmarshal(b, &all); err != nil {
			t.Skip()
		}
		if !bytes.Equal(all["content"], part.content) {
			t.Errorf("%s: content %s", b, part.content)
		}
	})
}
