package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

var shownToAll = contract.ShownText{Text: "You allow canary to read", Language: "fr", Version: "7"}

func (tv *testVault) grantAs(t testing.TB, who edge.Caller, body contract.ConsentGrant) (contract.ConsentReceiptShort, error) {
	t.Helper()
	if body.ShownText == (contract.ShownText{}) {
		body.ShownText = shownToAll
	}
	answer, err := tv.GrantConsent(tv.as(t, who, "grantConsent", body), contract.GrantConsentRequestObject{Params: contract.GrantConsentParams{IdempotencyKey: uuid.New()}, Body: &body})
	if err != nil {
		return contract.ConsentReceiptShort{}, err
	}
	tv.waitForReadModels(t)
	return answer.(contract.GrantConsent201JSONResponse).Body, nil
}

func (tv *testVault) askAs(t testing.TB, who edge.Caller, body contract.ConsentAsk) (contract.RequestConsent202JSONResponse, error) {
	t.Helper()
	answer, err := tv.RequestConsent(tv.as(t, who, "requestConsent", body), contract.RequestConsentRequestObject{Params: contract.RequestConsentParams{IdempotencyKey: uuid.New()}, Body: &body})
	if err != nil {
		return contract.RequestConsent202JSONResponse{}, err
	}
	tv.waitForReadModels(t)
	return answer.(contract.RequestConsent202JSONResponse), nil
}

func (tv *testVault) consent(t testing.TB, who edge.Caller, id domain.ConsentID) (contract.Consent, error) {
	t.Helper()
	answer, err := tv.GetConsent(tv.as(t, who, "getConsent", nil), contract.GetConsentRequestObject{ConsentID: id})
	if err != nil {
		return contract.Consent{}, err
	}
	return contract.Consent(answer.(contract.GetConsent200JSONResponse)), nil
}

func (tv *testVault) requests(t testing.TB, who edge.Caller, p contract.ListConsentRequestsParams) []contract.ConsentID {
	t.Helper()
	answer, err := tv.ListConsentRequests(tv.as(t, who, "listConsentRequests", nil), contract.ListConsentRequestsRequestObject{Params: p})
	if err != nil {
		t.Fatal(err)
	}
	var ids []contract.ConsentID
	for _, c := range answer.(contract.ListConsentRequests200JSONResponse).Items {
		ids = append(ids, c.ConsentID)
	}
	return ids
}

var household1 = contract.ConsentGrant{Consumer: flanders, Purpose: "schoolAllowance", DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}}

func TestGrantingConsent(t *testing.T) {
	tv := newVault(t)
	home, other := tv.household(t, 1), tv.household(t, 2)
	who := tv.person(t, 1)
	me := citizenCaller(who)
	with := func(change func(*contract.ConsentGrant)) contract.ConsentGrant { g := household1; change(&g); return g }

	t.Run("C-2 C-5 granted, and what was shown comes back to the citizen alone", func(t *testing.T) {
		receipt, err := tv.grantAs(t, me, with(func(g *contract.ConsentGrant) { g.Limits = contract.ConsentLimits{Uses: 3, DataLife: 10} }))
		if err != nil {
			t.Fatal(err)
		}
		if receipt.State != "granted" || !receipt.Until.Equal(noon.AddDate(1, 0, 0)) || receipt.Href != contract.ConsentHref(receipt.ConsentID) {
			t.Errorf("%+v", receipt)
		}
		mine, err := tv.consent(t, me, receipt.ConsentID)
		if err != nil || mine.ShownText != shownToAll || mine.CitizenID != who || mine.Limits.Uses != 3 || mine.ConsumerName != "Government of Flanders" {
			t.Errorf("%+v, %v", mine, err)
		}
		theirs, err := tv.consent(t, consumer(flanders), receipt.ConsentID)
		if err != nil || theirs.ShownText != (contract.ShownText{}) || !theirs.CitizenID.IsZero() || theirs.CitizenRef.IsZero() || theirs.State != "granted" {
			t.Errorf("%+v, %v", theirs, err)
		}
		office, err := tv.consent(t, officeCaller(domain.RolePrivacyOfficer), receipt.ConsentID)
		if err != nil || office.ShownText != (contract.ShownText{}) || office.CitizenID != who {
			t.Errorf("%+v, %v", office, err)
		}
		for _, nobody := range []edge.Caller{consumer(railways), citizenCaller(tv.person(t, 2))} {
			if _, err := tv.consent(t, nobody, receipt.ConsentID); slugStatus(err) != 404 {
				t.Errorf("A-6 to a stranger: %v", err)
			}
		}
	})
	for _, test := range []struct {
		name, slug string
		body       contract.ConsentGrant
	}{
		{"C-2 a consumer not registered for that", "consumerNotRegistered", with(func(g *contract.ConsentGrant) { g.Consumer = economy })},
		{"C-2 a purpose that the registry does not know", "consumerNotRegistered", with(func(g *contract.ConsentGrant) { g.Purpose = "canary" })},
		{"C-5 other words than those registered", "shownTextNotRegistered", with(func(g *contract.ConsentGrant) {
			g.ShownText = contract.ShownText{Text: shownToAll.Text + " and more", Language: "fr", Version: "7"}
		})},
		{"C-5 a version that is not registered", "shownTextNotRegistered", with(func(g *contract.ConsentGrant) {
			g.ShownText = contract.ShownText{Text: shownToAll.Text, Language: "fr", Version: "8"}
		})},
		{"C-5 the words of another version", "shownTextNotRegistered", with(func(g *contract.ConsentGrant) {
			g.ShownText = contract.ShownText{Text: shownToAll.Text, Language: "fr", Version: "1"}
		})},
		{"C-2 a field that the purpose does not offer", "unknownField", with(func(g *contract.ConsentGrant) { g.Fields = []contract.FieldName{"address"} })},
		{"C-2 longer than a year", "consentPeriod", with(func(g *contract.ConsentGrant) { g.Until = new(noon.AddDate(1, 0, 1)) })},
		{"C-2 somebody else's document", "documentNotFound", with(func(g *contract.ConsentGrant) { g.DocumentTypes, g.Documents = nil, []contract.DocumentID{home, other} })},
		{"C-2 a document that does not exist", "documentNotFound", with(func(g *contract.ConsentGrant) {
			g.DocumentTypes, g.Documents = nil, []contract.DocumentID{{UUID: uuid.New()}}
		})},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := tv.grantAs(t, me, test.body); slugOf(err) != test.slug {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("C-1 nobody consents for a person they do not represent", func(t *testing.T) {
		if _, err := tv.grantAs(t, me, with(func(g *contract.ConsentGrant) { g.CitizenID = new(tv.person(t, 2)) })); !errors.Is(err, edge.ErrNoResource) {
			t.Error(err)
		}
		if _, err := tv.grantAs(t, citizenCaller(domain.CitizenID{}), household1); err == nil {
			t.Error("a person unknown to the vault consents")
		}
	})
	t.Run("C-2 by document, and no other is covered", func(t *testing.T) {
		receipt, err := tv.grantAs(t, me, with(func(g *contract.ConsentGrant) { g.DocumentTypes, g.Documents = nil, []contract.DocumentID{home} }))
		if err != nil {
			t.Fatal(err)
		}
		body := contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: new(receipt.ConsentID)}
		if _, err := tv.read(t, consumer(flanders), home, uuid.New(), body); err != nil {
			t.Error(err)
		}
		if _, err := tv.read(t, consumer(flanders), other, uuid.New(), body); !errors.Is(err, access.ErrNoBasis) {
			t.Error(err)
		}
	})
	t.Run("C-6 withdrawn without a key, twice is no error", func(t *testing.T) {
		receipt, err := tv.grantAs(t, me, household1)
		if err != nil {
			t.Fatal(err)
		}
		tv.Keeper.Before(func(string) error { return errors.New("away") })
		defer tv.Keeper.Before(nil)
		defer tv.Sealer.set(keysAway{})()
		for range 2 {
			if err := tv.withdraw(t, who, receipt.ConsentID); err != nil {
				t.Error(err)
			}
		}
		if err := tv.withdraw(t, tv.person(t, 2), receipt.ConsentID); slugStatus(err) != 404 {
			t.Errorf("C-1 by somebody else: %v", err)
		}
	})
}

// slugStatus is the HTTP status of a refusal.
func slugStatus(err error) int {
	p, _, _, _ := edge.Describe(err, acting.ErrorAnswers)
	return p.Status
}

func TestRequestingConsent(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	who := tv.person(t, 1)
	me := citizenCaller(who)
	ask := contract.ConsentAsk{SSIN: ssin(1), Purpose: "schoolAllowance", DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}, Message: "canary: we need this"}

	t.Run("A-6 the same answer whether the person is known or not", func(t *testing.T) {
		var answers, seen []string
		var appends []int
		tv.household(t, 7)
		stranger := tv.person(t, 7)
		for _, n := range []int{1, 999} {
			before := len(recorded[any](t, tv))
			body := ask
			body.SSIN = ssin(n)
			a, err := tv.askAs(t, consumer(flanders), body)
			if err != nil {
				t.Fatal(err)
			}
			appends = append(appends, len(recorded[any](t, tv))-before)
			text := fmt.Sprintf("%+v", a.Body)
			answers = append(answers, strings.ReplaceAll(text, a.Body.ConsentID.String(), "ID"))
			shown, err := tv.consent(t, consumer(flanders), a.Body.ConsentID)
			if err != nil || shown.State != "requested" || !shown.CitizenRef.IsZero() {
				t.Errorf("the consumer does not see its request wait: %+v, %v", shown, err)
			}
			text = fmt.Sprintf("%+v", shown)
			seen = append(seen, strings.ReplaceAll(text, a.Body.ConsentID.String(), "ID"))
			if got := tv.requests(t, consumer(flanders), contract.ListConsentRequestsParams{}); !slices.Contains(got, a.Body.ConsentID) {
				t.Errorf("a request that waits is not listed to its consumer: %v", got)
			}
			for _, other := range []edge.Caller{consumer(railways), citizenCaller(stranger)} {
				if _, err := tv.consent(t, other, a.Body.ConsentID); !errors.Is(err, consent.ErrNotFound) && slugStatus(err) != 404 {
					t.Errorf("somebody else sees it: %v", err)
				}
			}
		}
		if answers[0] != answers[1] || appends[0] != 1 || appends[1] != 1 {
			t.Errorf("%q with %v facts", answers, appends)
		}
		if seen[0] != seen[1] {
			t.Errorf("the consumer sees %q of somebody known, %q of somebody unknown", seen[0], seen[1])
		}
		if _, err := tv.consent(t, consumer(flanders), domain.ConsentID{UUID: uuid.New()}); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("a request that was never made: %v", err)
		}
		for i, r := range recorded[consent.Requested](t, tv) {
			if r.Citizen != []domain.CitizenID{who, {}}[i] {
				t.Errorf("request %d: %+v", i, r)
			}
		}
		body := ask
		body.SSIN, body.Purpose = ssin(999), "housingAllowance"
		if _, err := tv.askAs(t, consumer(flanders), body); !errors.Is(err, consent.ErrNotRegistered) {
			t.Errorf("C-2 a purpose not registered: %v", err)
		}
	})
	t.Run("C-2 a refusal names what the consumer is not registered for", func(t *testing.T) {
		for _, tc := range []struct {
			change      func(*contract.ConsentAsk)
			slug, names string
		}{
			{func(a *contract.ConsentAsk) { a.Purpose = "canary" }, "consumerNotRegistered", "/purpose"},
			{func(a *contract.ConsentAsk) { a.Purpose, a.Fields = "canary", []contract.FieldName{"canary"} }, "consumerNotRegistered", "/purpose"},
			{func(a *contract.ConsentAsk) { a.Purpose = "housingAllowance" }, "consumerNotRegistered", "/purpose"},
			{func(a *contract.ConsentAsk) { a.DocumentTypes = append(a.DocumentTypes[:1:1], "canary", "diploma") }, "consumerNotRegistered", "/documentTypes/1 /documentTypes/2"},
			{func(a *contract.ConsentAsk) { a.Fields = []contract.FieldName{"householdSize", "canary"} }, "unknownField", "/fields/1"},
		} {
			var told []string
			for _, n := range []int{1, 999} {
				body := ask
				body.SSIN, body.Message = ssin(n), ""
				tc.change(&body)
				_, err := tv.askAs(t, consumer(flanders), body)
				if slugOf(err) != tc.slug || issuesOf(err) != tc.names || strings.Contains(problemText(err), "canary") {
					t.Errorf("%s about %q", problemText(err), issuesOf(err))
				}
				told = append(told, problemText(err))
			}
			if told[0] != told[1] {
				t.Errorf("A-6: %q", told)
			}
		}
	})
	t.Run("A-6 while the keys are away nobody's message can be sealed, whoever is remembered", func(t *testing.T) {
		defer tv.keysAway(false)
		tv.keysAway(true)
		for _, n := range []int{1, 998} {
			body := ask
			body.SSIN = ssin(n)
			if _, err := tv.askAs(t, consumer(flanders), body); !errors.Is(err, eventstore.ErrKeysUnavailable) {
				t.Errorf("%d: %v", n, err)
			}
		}
	})
	t.Run("C-2 the citizen sees it, with the message, and grants it narrower", func(t *testing.T) {
		waiting := tv.requests(t, me, contract.ListConsentRequestsParams{})
		if len(waiting) != 1 {
			t.Fatalf("%v wait", waiting)
		}
		shown, err := tv.consent(t, me, waiting[0])
		if err != nil || shown.Message != ask.Message || shown.State != "requested" {
			t.Errorf("%+v, %v", shown, err)
		}
		list := func(who edge.Caller) string {
			t.Helper()
			answer, err := tv.ListConsentRequests(tv.as(t, who, "listConsentRequests", nil), contract.ListConsentRequestsRequestObject{})
			if err != nil {
				t.Fatal(err)
			}
			var messages []string
			for _, c := range answer.(contract.ListConsentRequests200JSONResponse).Items {
				messages = append(messages, c.Message)
			}
			return strings.Join(messages, "")
		}
		if got := list(me); got != ask.Message {
			t.Errorf("listed with the message %q", got)
		}
		if got := list(consumer(flanders)); got != "" {
			t.Errorf("the consumer's list has the message %q", got)
		}
		grant := func(who edge.Caller, body contract.ConsentRequestGrant) error {
			body.ShownText = shownToAll
			_, err := tv.GrantConsentRequest(tv.as(t, who, "grantConsentRequest", body), contract.GrantConsentRequestRequestObject{
				ConsentRequestID: waiting[0], Params: contract.GrantConsentRequestParams{IdempotencyKey: uuid.New()}, Body: &body,
			})
			return err
		}
		tv.household(t, 2)
		if err := grant(citizenCaller(tv.person(t, 2)), contract.ConsentRequestGrant{}); slugStatus(err) != 404 {
			t.Errorf("C-1 by somebody else: %v", err)
		}
		if err := grant(me, contract.ConsentRequestGrant{Until: new(shown.Until.Add(time.Hour))}); !errors.Is(err, consent.ErrWider) {
			t.Error(err)
		}
		if err := grant(me, contract.ConsentRequestGrant{Fields: []contract.FieldName{"householdSize"}, Limits: contract.ConsentLimits{Uses: 1}}); err != nil {
			t.Fatal(err)
		}
		if err := grant(me, contract.ConsentRequestGrant{}); !errors.Is(err, consent.ErrAlreadyDecided) {
			t.Error(err)
		}
		tv.waitForReadModels(t)
		got, err := tv.consent(t, consumer(flanders), waiting[0])
		if err != nil || got.State != "granted" || !slices.Equal(got.Fields, []contract.FieldName{"householdSize"}) || got.Message != "" {
			t.Errorf("%+v, %v", got, err)
		}
		granted := contract.ListConsentRequestsParams{State: []contract.ConsentState{contract.ConsentStateGranted}}
		if listed := tv.requests(t, consumer(flanders), granted); !slices.Equal(listed, waiting) {
			t.Errorf("the consumer's granted requests: %v", listed)
		}
	})
	t.Run("C-1 or refuses it", func(t *testing.T) {
		a, err := tv.askAs(t, consumer(flanders), ask)
		if err != nil {
			t.Fatal(err)
		}
		refuse := func(who edge.Caller) error {
			_, err := tv.RefuseConsentRequest(tv.as(t, who, "refuseConsentRequest", nil), contract.RefuseConsentRequestRequestObject{
				ConsentRequestID: a.Body.ConsentID, Params: contract.RefuseConsentRequestParams{IdempotencyKey: uuid.New()},
			})
			return err
		}
		if err := refuse(citizenCaller(tv.person(t, 2))); slugStatus(err) != 404 {
			t.Errorf("by somebody else: %v", err)
		}
		if err := refuse(me); err != nil {
			t.Fatal(err)
		}
		tv.waitForReadModels(t)
		if c, err := tv.consent(t, consumer(flanders), a.Body.ConsentID); err != nil || c.State != "refused" {
			t.Errorf("%+v, %v", c, err)
		}
	})
	t.Run("E-4 an erased person is asked for as an unknown one", func(t *testing.T) {
		tv.household(t, 5)
		gone := tv.person(t, 5)
		if err := tv.Settings.Work.Destroyer.BeginErase(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		if _, err := tv.Keys.Resolve(t.Context(), ssin(5).SSIN); !errors.Is(err, eventstore.ErrErased) && !errors.Is(err, seal.ErrUnknown) {
			t.Fatal(err)
		}
		body := ask
		body.SSIN = ssin(5)
		if _, err := tv.askAs(t, consumer(flanders), body); err != nil {
			t.Error(err)
		}
	})
}

// C-7, E-4: a citizen who died or was erased gives no consent.
func TestOnlyTheLivingConsent(t *testing.T) {
	tv := newVault(t)
	for n := 1; n <= 3; n++ {
		tv.household(t, n)
	}
	tv.reportDeath(t, 2)
	gone := tv.person(t, 3)
	tv.erase(t, gone, domain.DocumentID{})
	tv.waitIdle(t)
	for who, want := range map[domain.CitizenID]string{
		tv.person(t, 1): "", tv.person(t, 2): slugOf(consent.ErrNotYours), gone: slugOf(citizen.ErrErased),
	} {
		if _, err := tv.grantAs(t, citizenCaller(who), household1); slugOf(err) != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestListingConsents(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.household(t, 2)
	me := citizenCaller(tv.person(t, 1))
	var mine []contract.ConsentID
	for range 5 {
		tv.Clock.Advance(time.Minute)
		receipt, err := tv.grantAs(t, me, household1)
		if err != nil {
			t.Fatal(err)
		}
		mine = append(mine, receipt.ConsentID)
	}
	if _, err := tv.grantAs(t, citizenCaller(tv.person(t, 2)), household1); err != nil {
		t.Fatal(err)
	}
	if err := tv.withdraw(t, tv.person(t, 1), mine[0]); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	pages := func(who edge.Caller, p contract.ListConsentsParams) (ids []contract.ConsentID) {
		t.Helper()
		for range 20 {
			answer, err := tv.ListConsents(tv.as(t, who, "listConsents", nil), contract.ListConsentsRequestObject{Params: p})
			if err != nil {
				t.Fatal(err)
			}
			page := answer.(contract.ListConsents200JSONResponse)
			for _, c := range page.Items {
				ids = append(ids, c.ConsentID)
			}
			if page.Next == "" {
				return ids
			}
			if len(page.Items) != int(p.PageSize) {
				t.Fatalf("%d items on a page of %d", len(page.Items), p.PageSize)
			}
			_, query, _ := strings.Cut(page.Next, "after=")
			p.After, _, _ = strings.Cut(query, "&")
		}
		t.Fatal("no last page")
		return nil
	}
	newest := slices.Clone(mine)
	slices.Reverse(newest)
	if got := pages(me, contract.ListConsentsParams{PageSize: 2}); !slices.Equal(got, newest) {
		t.Errorf("%v, want %v", got, newest)
	}
	if got := pages(me, contract.ListConsentsParams{PageSize: 2, State: []contract.ConsentState{"granted"}}); !slices.Equal(got, newest[:4]) {
		t.Errorf("granted: %v", got)
	}
	if got := pages(consumer(flanders), contract.ListConsentsParams{PageSize: 4}); len(got) != 6 || !slices.Equal(got[:5], mine) {
		t.Errorf("the consumer's: %v", got)
	}
	if got := pages(consumer(railways), contract.ListConsentsParams{}); len(got) != 0 {
		t.Errorf("another consumer's: %v", got)
	}
	if _, err := tv.ListConsents(tv.as(t, consumer(flanders), "listConsents", nil), contract.ListConsentsRequestObject{Params: contract.ListConsentsParams{CitizenID: new(tv.person(t, 1))}}); !errors.Is(err, edge.ErrNoResource) {
		t.Errorf("A-6 a consumer names a citizen by id: %v", err)
	}
	if _, err := tv.ListConsents(tv.as(t, me, "listConsents", nil), contract.ListConsentsRequestObject{Params: contract.ListConsentsParams{After: "nonsense"}}); slugStatus(err) != 400 {
		t.Errorf("a cursor of nobody's: %v", err)
	}
}

func TestConsentByRepresentative(t *testing.T) {
	tv := newVault(t)
	card := tv.childCard(t, child(1), 2)
	tv.household(t, child(1))
	kid, parent := tv.person(t, child(1)), tv.person(t, 2)
	me := citizenCaller(parent)
	body := contract.ConsentGrant{CitizenID: &kid, Consumer: railways, Purpose: "ageVerification", DocumentTypes: []contract.DocumentTypeCode{"isiPlusCard"}}

	receipt, err := tv.grantAs(t, me, body)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("C-1 recorded as the representative's", func(t *testing.T) {
		granted := recorded[consent.Granted](t, tv)
		if len(granted) != 1 || granted[0].Citizen != kid || granted[0].Mandate != tv.mandateOf(t, parent, kid) {
			t.Fatalf("%+v", granted)
		}
		for e, err := range tv.Log.Read(t.Context(), acting.ConsentStream(receipt.ConsentID), 0) {
			meta, failed := e.Metadata()
			if err != nil || failed != nil || meta.Represents != kid || meta.Actor.Role != domain.RoleRepresentative || meta.Actor.Citizen != parent || len(meta.BasedOn) != 2 {
				t.Errorf("%+v, %v, %v", meta, err, failed)
			}
		}
	})
	t.Run("M-1.2 beyond the mandate's types there is none", func(t *testing.T) {
		wide := body
		wide.Consumer, wide.Purpose, wide.DocumentTypes = flanders, "schoolAllowance", []contract.DocumentTypeCode{"isiPlusCard", "householdComposition"}
		if _, err := tv.grantAs(t, me, wide); !errors.Is(err, consent.ErrNotYours) {
			t.Error(err)
		}
	})
	t.Run("A-1 listing for another is on record, once", func(t *testing.T) {
		other := tv.parentOf(t, child(1), 3, "householdComposition")
		theirs := household1
		theirs.CitizenID = &kid
		own, err := tv.grantAs(t, citizenCaller(other), theirs) // about what this parent has nothing to do with
		if err != nil {
			t.Fatal(err)
		}
		before := len(recorded[access.Authorized](t, tv))
		answer, err := tv.ListConsents(tv.as(t, me, "listConsents", nil), contract.ListConsentsRequestObject{Params: contract.ListConsentsParams{CitizenID: &kid}})
		if err != nil {
			t.Fatal(err)
		}
		page := answer.(contract.ListConsents200JSONResponse)
		if len(page.Items) != 1 || page.Items[0].ConsentID != receipt.ConsentID {
			t.Errorf("%+v", page.Items)
		}
		if after := len(recorded[access.Authorized](t, tv)); after != before+1 {
			t.Errorf("%d records", after-before)
		}
		if _, err := tv.consent(t, me, own.ConsentID); slugStatus(err) != 404 {
			t.Errorf("M-1.2 one beyond the mandate: %v", err)
		}
		if err := tv.withdraw(t, parent, own.ConsentID); slugStatus(err) != 404 {
			t.Errorf("M-1.2 withdrawn beyond the mandate: %v", err)
		}
	})
	t.Run("C-1 C-6 the representative withdraws, and once the mandate ended no longer", func(t *testing.T) {
		second, err := tv.grantAs(t, me, body)
		if err != nil {
			t.Fatal(err)
		}
		if err := tv.withdraw(t, parent, receipt.ConsentID); err != nil {
			t.Fatal(err)
		}
		tv.endMandate(t, tv.mandateOf(t, parent, kid), domain.Actor{Role: domain.RoleCitizen, Citizen: parent}, mandate.ByRepresentative)
		if err := tv.withdraw(t, parent, second.ConsentID); slugStatus(err) != 404 {
			t.Errorf("%v", err)
		}
		if _, err := tv.read(t, consumer(railways), card, uuid.New(), contract.AccessRequest{Purpose: "ageVerification", ConsentID: new(second.ConsentID), Predicate: contract.AskedPredicate{Name: "ageOver12"}}); err != nil {
			t.Errorf("what was granted in time stands: %v", err)
		}
	})
}

func TestValidating(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	card := tv.childCard(t, 3)
	who := tv.person(t, 1)
	c := tv.consentTo(t, who, contract.ConsentGrant{Limits: contract.ConsentLimits{Uses: 2}})
	validate := func(who domain.Organisation, body contract.ConsentValidation) contract.ConsentJudgement {
		t.Helper()
		answer, err := tv.ValidateConsent(tv.as(t, consumer(who), "validateConsent", body), contract.ValidateConsentRequestObject{Body: &body})
		if err != nil {
			t.Fatal(err)
		}
		return contract.ConsentJudgement(answer.(contract.ValidateConsent200JSONResponse))
	}
	t.Run("C-3 lawful, by document and by type, and no use counted", func(t *testing.T) {
		for _, body := range []contract.ConsentValidation{
			{DocumentID: &home, Purpose: "schoolAllowance", ConsentID: &c},
			{SSIN: ssin(1), DocumentType: "householdComposition", Purpose: "schoolAllowance", ConsentID: &c},
			{SSIN: ssin(1), DocumentType: "householdComposition", Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010"},
			{DocumentID: &card, Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010"}, // its dates are sealed
		} {
			got := validate(flanders, body)
			if !got.Lawful || got.Reason != "" || body.ConsentID != nil && (!is(got.UsesLeft, 2) || got.Until.IsZero()) {
				t.Errorf("%+v: %+v", body, got)
			}
		}
		if n := len(recorded[access.Authorized](t, tv)); n != 0 {
			t.Errorf("%d accesses on record", n)
		}
	})
	t.Run("A-6 A-3 why not, recorded, and the same for whom the vault does not know", func(t *testing.T) {
		byLaw := func(n int) contract.ConsentValidation {
			return contract.ConsentValidation{SSIN: ssin(n), DocumentType: "identityData", Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010"}
		}
		for name, body := range map[string]contract.ConsentValidation{
			"nothing held":     byLaw(1),
			"nobody":           byLaw(999),
			"other's consent":  {SSIN: ssin(3), DocumentType: "householdComposition", Purpose: "schoolAllowance", ConsentID: &c},
			"nobody's consent": {SSIN: ssin(999), DocumentType: "householdComposition", Purpose: "schoolAllowance", ConsentID: &c},
		} {
			if got := validate(flanders, body); got != (contract.ConsentJudgement{Reason: "noBasis"}) {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if got := validate(flanders, contract.ConsentValidation{DocumentID: &home, Purpose: "housingAllowance", ConsentID: &c}); got.Lawful || got.Reason != "consentOtherPurpose" {
			t.Errorf("%+v", got)
		}
		tv.waitIdle(t)
		if n := len(recorded[access.Refused](t, tv)); n != 5 {
			t.Errorf("%d refusals on record", n)
		}
	})
	t.Run("a fault is no judgement", func(t *testing.T) {
		tv.Store.SetRule(faulty.At(faulty.ReadStream, 1, faulty.Fault{Before: eventstore.ErrUnavailable}))
		defer tv.Store.SetRule(nil)
		body := contract.ConsentValidation{DocumentID: &home, Purpose: "schoolAllowance", ConsentID: &c}
		if answer, err := tv.ValidateConsent(tv.as(t, consumer(flanders), "validateConsent", body), contract.ValidateConsentRequestObject{Body: &body}); err == nil {
			t.Errorf("%+v", answer)
		}
	})
}
