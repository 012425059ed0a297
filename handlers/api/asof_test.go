package api

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
	retold "coffre/projections/history"
	"coffre/projections/wallet"
)

// What the vault answers about a past moment is what a fresh replay of the log to that moment
// tells, of documents, consents and mandates, in histories that nobody thought of.
func TestAsOfEqualsAReplay(t *testing.T) {
	compared := 0
	for seed := range uint64(2) {
		tv, dice := newVault(t), rand.New(rand.NewPCG(seed, 7))
		began := tv.Clock.Now()
		docs, people := randomHistory(t, tv, dice)
		for range 12 {
			at := began.Add(time.Duration(dice.Int64N(int64(tv.Clock.Now().Sub(began)))))
			var day domain.Date
			if dice.IntN(2) == 0 {
				day = domain.BelgianDate(began).AddDays(dice.IntN(500) - 20)
			}
			for _, who := range people {
				compared += tv.equalsReplay(t, who, docs, at, day)
			}
		}
	}
	if compared < 100 {
		t.Fatalf("only %d facts were compared", compared)
	}
}

// randomHistory lets three people have documents, consents and mandates, and lose them again.
func randomHistory(t *testing.T, tv *testVault, dice *rand.Rand) (docs []domain.DocumentID, people []domain.CitizenID) {
	versions := map[domain.DocumentID]int{}
	owner := map[domain.DocumentID]domain.CitizenID{}
	issue := func(n int) {
		id := tv.household(t, n)
		docs, versions[id], owner[id] = append(docs, id), 1, tv.person(t, n)
	}
	for n := range 3 {
		issue(n)
		people = append(people, tv.person(t, n))
	}
	tv.Clock.Advance(time.Hour)
	tv.childCard(t, child(1), 1)
	kid := tv.person(t, child(1))
	people = append(people, kid)
	var granted []domain.ConsentID
	by := domain.Actor{Role: domain.RoleIssuer, Organisation: homeAffairs}
	change := func(id domain.DocumentID, cmd documentCommand) {
		_, err := acting.Documents.Transact(t.Context(), tv.Log, eventstore.Write{Stream: acting.DocumentStream(id), Citizen: owner[id]}, cmd)
		if _, refused := errors.AsType[*domain.Error](err); err != nil && !refused {
			t.Fatal(err)
		}
		if _, updates := cmd.(document.Update); updates && err == nil {
			versions[id]++
		}
	}
	for step := range 30 {
		tv.Clock.Advance(time.Duration(1+dice.IntN(900)) * time.Minute)
		now, id := tv.Clock.Now(), docs[dice.IntN(len(docs))]
		switch dice.IntN(8) {
		case 0:
			issue(dice.IntN(3))
		case 1, 2:
			change(id, document.Update{
				Expected: document.ExpectVersion(versions[id]), EffectiveFrom: domain.BelgianDate(now).AddDays(dice.IntN(200)),
				Content: domain.JSON(fmt.Sprintf(`{"asOf":"2026-01-01","householdSize":%d,"members":[]}`, step)), Tag: document.Tag{byte(step), 1}, By: by, At: now,
			})
		case 3:
			change(id, document.Suspend{Expected: document.Expectation{Any: true}, Reason: "underInvestigation", By: by, At: now})
		case 4:
			change(id, document.Reinstate{Expected: document.Expectation{Any: true}, Reason: "investigationClosed", By: by, At: now})
		case 5, 6:
			granted = append(granted, tv.consentTo(t, people[dice.IntN(3)], contract.ConsentGrant{Until: new(now.AddDate(0, 0, 1+dice.IntN(20)))}))
		case 7:
			if len(granted) > 0 {
				n := dice.IntN(len(granted))
				c, _, err := tv.ConsentLog.Consent(t.Context(), granted[n], projections.Latest, now)
				if err != nil {
					t.Fatal(err)
				}
				if err := tv.withdraw(t, c.Citizen, granted[n]); err != nil { // it may have ended already
					if _, refused := errors.AsType[*domain.Error](err); !refused {
						t.Fatal(err)
					}
				}
			}
		}
	}
	change(docs[0], document.Revoke{Expected: document.Expectation{Any: true}, Reason: "issuedInError", EffectiveFrom: domain.BelgianDate(tv.Clock.Now()).AddDays(3), By: by, At: tv.Clock.Now()})
	tv.Clock.Advance(time.Hour)
	tv.endMandate(t, tv.mandateOf(t, people[1], kid), domain.Actor{Role: domain.RoleCitizen, Citizen: people[1]}, mandate.ByRepresentative)
	tv.Clock.Advance(time.Hour)
	tv.waitForReadModels(t)
	return docs, people
}

// replayed is the log counted again up to a time.
func (tv *testVault) replayed(t *testing.T, at time.Time) *retold.History {
	t.Helper()
	h, leaf, over := retold.New(projections.Latest), int64(-1), false
	for _, r := range tv.log(t) {
		if !projections.Ours(r.Stream.Category()) {
			continue
		}
		leaf++
		if r.Time.After(at) && !over {
			h.End(leaf - 1)
			over = true
		}
		data, err := codec.Catalog.Decode(r.Type, r.Clear, nil)
		if err != nil {
			t.Fatal(err)
		}
		h.Apply(data, leaf)
	}
	return h
}

func (tv *testVault) equalsReplay(t *testing.T, who domain.CitizenID, docs []domain.DocumentID, at time.Time, validAt domain.Date) (facts int) {
	t.Helper()
	me, h := citizenCaller(who), tv.replayed(t, at)
	day, moment := domain.BelgianDate(at), at
	if validAt != "" && validAt != day {
		day, moment = validAt, domain.BelgianMidnight(validAt.AddDays(1)).Add(-time.Microsecond)
	}
	same := func(what string, got, want []string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Fatalf("%s as of %s, valid at %s:\n%s\nwant\n%s", what, at, validAt, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		facts += len(want)
	}

	list, err := tv.ListConsents(tv.as(t, me, "listConsents", nil), contract.ListConsentsRequestObject{Params: contract.ListConsentsParams{AsOf: &at, ValidAt: validAt, PageSize: 200}})
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, c := range list.(contract.ListConsents200JSONResponse).Items {
		got = append(got, fmt.Sprint(c.ConsentID, c.State, c.Uses, c.GrantedAt, c.EndedAt, c.Until))
		one, err := tv.GetConsent(tv.as(t, me, "getConsent", nil), contract.GetConsentRequestObject{ConsentID: c.ConsentID, Params: contract.GetConsentParams{AsOf: &at, ValidAt: validAt}})
		if err != nil || one.(contract.GetConsent200JSONResponse).State != c.State {
			t.Fatalf("%v %v, listed as %s", one, err, c.State)
		}
	}
	for _, c := range slices.Backward(h.Consents(who, moment)) {
		want = append(want, fmt.Sprint(c.Consent, contract.ConsentState(c.State), c.Uses, c.GrantedAt, c.EndedAt, c.Terms.Until))
	}
	same("consents", got, want)

	mandates, err := tv.ListMandates(tv.as(t, me, "listMandates", nil), contract.ListMandatesRequestObject{Params: contract.ListMandatesParams{AsOf: &at, ValidAt: validAt}})
	if err != nil {
		t.Fatal(err)
	}
	got, want = nil, nil
	for _, m := range mandates.(contract.ListMandates200JSONResponse).Items {
		got = append(got, fmt.Sprint(m.MandateID, m.State == contract.MandateStateEnded, m.AcceptedAt, m.EndedAt, m.Reason))
	}
	for _, m := range h.Mandates(who) {
		want = append(want, fmt.Sprint(m.Mandate, m.EndedLeaf != projections.Latest, m.AcceptedAt, m.EndedAt, m.Reason))
	}
	same("mandates", got, want)

	for _, id := range docs {
		rows := h.Versions(id)
		answer, err := tv.GetDocument(tv.as(t, me, "getDocument", nil), contract.GetDocumentRequestObject{DocumentID: id, Params: contract.GetDocumentParams{AsOf: &at, ValidAt: validAt}})
		if len(rows) == 0 || rows[0].Citizen != who {
			if !errors.Is(err, edge.ErrNoResource) {
				t.Fatalf("a document that was not there, or is another's: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		d := answer.(contract.GetDocument200JSONResponse).Body
		in, state, _, err := wallet.InForce(rows, day, domain.BelgianDate, func(d *wallet.Document) (domain.Date, error) { return d.EffectiveFrom, nil })
		if err != nil {
			t.Fatal(err)
		}
		version := rows[len(rows)-1].Version
		if validAt != "" {
			version = in.Version
		}
		shown := contract.DocumentStateValid
		switch {
		case state != wallet.Active:
			shown = contract.DocumentState(state)
		case day < rows[0].ValidFrom:
			shown = contract.DocumentStateNotYetValid
		}
		same("document", []string{fmt.Sprint(d.Version, d.State, d.ChangedAt)}, []string{fmt.Sprint(version, shown, rows[len(rows)-1].ChangedAt)})
		all, err := tv.GetDocumentVersions(tv.as(t, me, "getDocumentVersions", nil), contract.GetDocumentVersionsRequestObject{DocumentID: id, Params: contract.GetDocumentVersionsParams{AsOf: &at, ValidAt: validAt}})
		if err != nil {
			t.Fatal(err)
		}
		if v := all.(contract.GetDocumentVersions200JSONResponse); len(v.Items) != rows[len(rows)-1].Version || v.State != shown {
			t.Fatalf("%d versions, %s; want %d, %s", len(v.Items), v.State, rows[len(rows)-1].Version, shown)
		}
	}
	return facts
}

// Before the first event nothing was known, and what will be known is not told.
func TestAsOfTheBeginningAndTheFuture(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	who := tv.person(t, 1)
	me, given := citizenCaller(who), tv.consentTo(t, who, contract.ConsentGrant{})
	before, later := tv.Clock.Now().AddDate(-10, 0, 0), tv.Clock.Now().Add(time.Hour)
	ask := func(at time.Time) (items int, errs []error) {
		list, err := tv.ListConsents(tv.as(t, me, "listConsents", nil), contract.ListConsentsRequestObject{Params: contract.ListConsentsParams{AsOf: &at}})
		if err == nil {
			items += len(list.(contract.ListConsents200JSONResponse).Items)
		}
		own, ownErr := tv.ListConsents(tv.as(t, consumer(flanders), "listConsents", nil), contract.ListConsentsRequestObject{Params: contract.ListConsentsParams{AsOf: &at}})
		if ownErr == nil {
			items += len(own.(contract.ListConsents200JSONResponse).Items)
		}
		mandates, mandatesErr := tv.ListMandates(tv.as(t, me, "listMandates", nil), contract.ListMandatesRequestObject{Params: contract.ListMandatesParams{AsOf: &at}})
		if mandatesErr == nil {
			items += len(mandates.(contract.ListMandates200JSONResponse).Items)
		}
		_, one := tv.GetConsent(tv.as(t, me, "getConsent", nil), contract.GetConsentRequestObject{ConsentID: given, Params: contract.GetConsentParams{AsOf: &at}})
		_, doc := tv.GetDocument(tv.as(t, me, "getDocument", nil), contract.GetDocumentRequestObject{DocumentID: id, Params: contract.GetDocumentParams{AsOf: &at}})
		return items, []error{err, ownErr, mandatesErr, one, doc}
	}
	if items, errs := ask(before); items != 0 || errs[0] != nil || errs[1] != nil || errs[2] != nil || !errors.Is(errs[3], consent.ErrNotFound) || !errors.Is(errs[4], edge.ErrNoResource) {
		t.Errorf("before the first event: %d items, %v", items, errs)
	}
	_, errs := ask(later)
	for _, err := range errs {
		if !errors.Is(err, errNotSettled) {
			t.Errorf("of the future: %v", err)
		}
	}
}
