package api

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/audit"
	"coffre/domain/consent"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

func (tv *testVault) history(t testing.TB, who edge.Caller, id domain.ConsentID, at *time.Time) (contract.ConsentHistory, error) {
	t.Helper()
	answer, err := tv.GetConsentHistory(tv.as(t, who, "getConsentHistory", nil), contract.GetConsentHistoryRequestObject{ConsentID: id, Params: contract.GetConsentHistoryParams{StateAt: at}})
	if err != nil {
		return contract.ConsentHistory{}, err
	}
	return contract.ConsentHistory(answer.(contract.GetConsentHistory200JSONResponse)), nil
}

func steps(h contract.ConsentHistory) (all []contract.DecidedState) {
	for _, s := range h.Steps {
		all = append(all, s.Step)
	}
	return all
}

// C-8: a renewal ends the consent that it renews before it holds, each names the other, and what
// the first allowed is allowed under the second alone.
func TestRenewingAConsent(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	tv.household(t, 2)
	me := citizenCaller(tv.person(t, 1))
	first, err := tv.grantAs(t, me, household1)
	if err != nil {
		t.Fatal(err)
	}
	renewal := household1
	renewal.Renews = &first.ConsentID
	stranger := renewal
	if _, err := tv.grantAs(t, citizenCaller(tv.person(t, 2)), stranger); slugStatus(err) != 404 {
		t.Errorf("a stranger renews it: %v", err)
	}
	_, another := tv.grantAs(t, citizenCaller(tv.person(t, 2)), stranger)
	stranger.Renews = new(domain.ConsentID{UUID: uuid.New()})
	if _, none := tv.grantAs(t, citizenCaller(tv.person(t, 2)), stranger); slugOf(another) == "" || slugOf(none) != slugOf(another) || slugStatus(none) != slugStatus(another) {
		t.Errorf("A-6 another's consent is told from none: %v, %v", another, none)
	}
	other := discount
	other.DocumentTypes, other.Renews = household1.DocumentTypes, &first.ConsentID
	if _, err := tv.grantAs(t, me, other); slugOf(err) != "consentNotRenewable" {
		t.Errorf("to another consumer: %v", err)
	}
	if now, err := tv.consent(t, me, first.ConsentID); err != nil || now.State != contract.ConsentStateGranted {
		t.Fatalf("a renewal that was refused ended it: %+v, %v", now, err)
	}
	second, err := tv.grantAs(t, me, renewal)
	if err != nil {
		t.Fatal(err)
	}
	under := func(id domain.ConsentID) error {
		_, err := tv.read(t, consumer(flanders), home, uuid.New(), contract.AccessRequest{Purpose: household1.Purpose, ConsentID: &id})
		return err
	}
	if err := under(first.ConsentID); slugOf(err) != "consentWithdrawn" {
		t.Errorf("the first still holds: %v", err)
	}
	if err := under(second.ConsentID); err != nil {
		t.Errorf("the second: %v", err)
	}
	tv.waitForReadModels(t)
	old, err := tv.history(t, me, first.ConsentID, nil)
	if err != nil || old.RenewedBy != second.ConsentID || old.State != contract.DecidedStateWithdrawn || old.Steps[len(old.Steps)-1].Reason != consent.ByRenewal {
		t.Errorf("%+v, %v", old, err)
	}
	if now, err := tv.consent(t, me, second.ConsentID); err != nil || now.Renews != first.ConsentID {
		t.Errorf("%+v, %v", now, err)
	}
	again := renewal // a third in the place of what a withdrawal ended
	again.Renews = &second.ConsentID
	if err := tv.withdraw(t, tv.person(t, 1), second.ConsentID); err != nil {
		t.Fatal(err)
	}
	third, err := tv.grantAs(t, me, again)
	if err != nil {
		t.Fatal(err)
	}
	if err := under(third.ConsentID); err != nil {
		t.Error(err)
	}
}

// A consent's history tells each step, computed ones too, and its state at any moment; the text
// opens for the citizen, and for a privacy officer once that is on record (rules A-1, C-5).
func TestConsentHistory(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	tv.household(t, 2)
	ana := tv.person(t, 1)
	me := citizenCaller(ana)
	once := household1
	once.Limits.Uses = 1
	given, err := tv.grantAs(t, me, once)
	if err != nil {
		t.Fatal(err)
	}
	if h, err := tv.history(t, me, given.ConsentID, nil); err != nil || h.State != contract.DecidedStateGranted || h.Consent.ShownText != shownToAll || !slices.Equal(steps(h), []contract.DecidedState{"granted"}) {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := tv.read(t, consumer(flanders), home, uuid.New(), contract.AccessRequest{Purpose: once.Purpose, ConsentID: &given.ConsentID}); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	if h, err := tv.history(t, me, given.ConsentID, nil); err != nil || h.State != contract.DecidedStateExhausted || !slices.Equal(steps(h), []contract.DecidedState{"granted", "exhausted"}) {
		t.Errorf("%+v, %v", h, err)
	}
	if err := tv.withdraw(t, ana, given.ConsentID); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	for _, test := range []struct {
		at    time.Time
		state contract.DecidedState
		steps []contract.DecidedState
	}{
		{noon.AddDate(2, 0, 0), "withdrawn", []contract.DecidedState{"granted", "withdrawn"}},
		{given.Until.AddDate(-1, 0, 0).Add(-time.Second), "", nil},
	} {
		h, err := tv.history(t, me, given.ConsentID, &test.at)
		if h.State != test.state || !slices.Equal(steps(h), test.steps) || (test.state == "") != (slugStatus(err) == 404) {
			t.Errorf("at %s: %+v, %v", test.at, h, err)
		}
	}
	if _, err := tv.history(t, citizenCaller(tv.person(t, 2)), given.ConsentID, nil); slugStatus(err) != 404 {
		t.Errorf("to a stranger: %v", err)
	}
	if n := len(recorded[access.Authorized](t, tv)); n != 1 {
		t.Fatalf("%d accesses before an officer looked", n)
	}
	h, err := tv.history(t, officer, given.ConsentID, nil)
	if err != nil || h.Consent.ShownText != shownToAll || h.Consent.CitizenID != ana {
		t.Errorf("an officer: %+v, %v", h, err)
	}
	if all := recorded[access.Authorized](t, tv); len(all) != 2 || all[1].Role != domain.RolePrivacyOfficer || all[1].Citizen != ana {
		t.Errorf("A-1 %+v", all)
	}
	if all := recorded[audit.Operated](t, tv); len(all) != 1 || all[0].Act != audit.ReadConsentHistory || all[0].On != given.ConsentID.String() {
		t.Errorf("%+v", all)
	}
}

// The consent log is searched by what a consent covers, by its state at any moment and by its
// legal basis; the totals of the first page count what all pages show, whatever is decided meanwhile.
func TestSearchingTheConsentLog(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	ana := tv.person(t, 1)
	began := tv.Now()
	byType := tv.consentTo(t, ana, contract.ConsentGrant{})
	named := tv.consentTo(t, ana, contract.ConsentGrant{Documents: []contract.DocumentID{home}})
	gone := tv.consentTo(t, ana, contract.ConsentGrant{})
	if err := tv.withdraw(t, ana, gone); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	ask := func(q contract.ConsentLogQuery, p contract.QueryConsentLogParams) contract.ConsentLog {
		t.Helper()
		answer, err := tv.QueryConsentLog(tv.as(t, officer, "queryConsentLog", q), contract.QueryConsentLogRequestObject{Params: p, Body: &q})
		if err != nil {
			t.Fatal(err)
		}
		return contract.ConsentLog(answer.(contract.QueryConsentLog200JSONResponse))
	}
	for name, test := range map[string]struct {
		q    contract.ConsentLogQuery
		want []domain.ConsentID
	}{
		"all":                            {contract.ConsentLogQuery{}, []domain.ConsentID{gone, gone, named, byType}},
		"a type, of named documents":     {contract.ConsentLogQuery{DocumentType: "householdComposition"}, []domain.ConsentID{gone, gone, named, byType}},
		"another type":                   {contract.ConsentLogQuery{DocumentType: "diploma"}, nil},
		"in force now":                   {contract.ConsentLogQuery{State: "granted"}, []domain.ConsentID{named, byType}},
		"withdrawn":                      {contract.ConsentLogQuery{State: "withdrawn"}, []domain.ConsentID{gone, gone}},
		"over in two years":              {contract.ConsentLogQuery{State: "expired", StateAt: new(began.AddDate(2, 0, 0))}, []domain.ConsentID{named, byType}},
		"before any began":               {contract.ConsentLogQuery{State: "granted", StateAt: new(began.AddDate(0, 0, -1))}, nil},
		"on the citizen's consent":       {contract.ConsentLogQuery{LegalBasis: "consent"}, []domain.ConsentID{gone, gone, named, byType}},
		"on another basis there is none": {contract.ConsentLogQuery{LegalBasis: "publicTask"}, nil},
	} {
		page := ask(test.q, contract.QueryConsentLogParams{})
		var got []domain.ConsentID
		for _, i := range page.Items {
			got = append(got, i.ConsentID)
		}
		if !slices.Equal(got, test.want) || page.Totals == nil || page.Totals.Decisions != int64(len(test.want)) {
			t.Errorf("%s: %v, totals %+v, want %v", name, got, page.Totals, test.want)
		}
	}
	q := contract.ConsentLogQuery{LegalBasis: "canary"}
	if _, err := tv.QueryConsentLog(tv.as(t, officer, "queryConsentLog", q), contract.QueryConsentLogRequestObject{Body: &q}); slugOf(err) != "unknownLegalBasis" {
		t.Errorf("a basis that the registry does not have: %v", err)
	}
	inForce := contract.ConsentLogQuery{State: "granted"}
	first := ask(inForce, contract.QueryConsentLogParams{PageSize: 1})
	if err := tv.withdraw(t, ana, byType); err != nil {
		t.Fatal(err)
	}
	tv.consentTo(t, ana, contract.ConsentGrant{})
	second := ask(inForce, contract.QueryConsentLogParams{PageSize: 1, After: first.NextCursor})
	if first.Totals.Decisions != 2 || len(second.Items) != 1 || second.Items[0].ConsentID != byType || second.Totals != nil || second.NextCursor != "" || !second.StateAt.Equal(first.StateAt) {
		t.Errorf("%+v, then %+v", first, second)
	}
}

// Which disclosures rest on a consent, and back: each names the consent that it rested on.
func TestConsentDisclosures(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	tv.household(t, 2)
	ana := tv.person(t, 1)
	given, other := tv.consentTo(t, ana, contract.ConsentGrant{}), tv.consentTo(t, ana, contract.ConsentGrant{})
	for _, id := range []domain.ConsentID{given, other, given} {
		if _, err := tv.read(t, consumer(flanders), home, uuid.New(), contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &id}); err != nil {
			t.Fatal(err)
		}
	}
	tv.waitForReadModels(t)
	ask := func(who edge.Caller, after contract.Cursor) (contract.AccessLog, error) {
		answer, err := tv.ListConsentDisclosures(tv.as(t, who, "listConsentDisclosures", nil), contract.ListConsentDisclosuresRequestObject{ConsentID: given, Params: contract.ListConsentDisclosuresParams{PageSize: 1, After: after}})
		if err != nil {
			return contract.AccessLog{}, err
		}
		return contract.AccessLog(answer.(contract.ListConsentDisclosures200JSONResponse)), nil
	}
	for _, who := range []edge.Caller{citizenCaller(ana), officer} {
		var all []contract.AccessLogItem
		for after, more := contract.Cursor(""), true; more; {
			page, err := ask(who, after)
			if err != nil {
				t.Fatal(err)
			}
			all, after, more = append(all, page.Items...), page.NextCursor, page.NextCursor != ""
		}
		if len(all) != 2 || slices.ContainsFunc(all, func(i contract.AccessLogItem) bool { return i.ConsentID != given || i.DocumentID != home }) {
			t.Errorf("%+v", all)
		}
	}
	if _, err := ask(citizenCaller(tv.person(t, 2)), ""); slugStatus(err) != 404 {
		t.Errorf("to a stranger: %v", err)
	}
	if all := recorded[audit.Operated](t, tv); len(all) != 1 || all[0].Act != audit.ListConsentDisclosures {
		t.Errorf("%+v", all)
	}
}
