package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/audit"
	"coffre/domain/investigation"
	"coffre/domain/registry"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

func (tv *testVault) openInvestigation(t testing.TB, as edge.Caller, body contract.InvestigationOpen) (contract.Investigation, error) {
	t.Helper()
	answer, err := tv.OpenInvestigation(tv.as(t, as, "openInvestigation", body), contract.OpenInvestigationRequestObject{Params: contract.OpenInvestigationParams{IdempotencyKey: uuid.New()}, Body: &body})
	if err != nil {
		return contract.Investigation{}, err
	}
	return answer.(contract.OpenInvestigation201JSONResponse).Body, nil
}

func (tv *testVault) renewInvestigation(t testing.TB, as edge.Caller, id domain.InvestigationID, until time.Time) error {
	t.Helper()
	body := contract.InvestigationRenew{Until: until}
	_, err := tv.RenewInvestigation(tv.as(t, as, "renewInvestigation", body), contract.RenewInvestigationRequestObject{InvestigationID: id, Params: contract.RenewInvestigationParams{IdempotencyKey: uuid.New()}, Body: &body})
	return err
}

func (tv *testVault) liftInvestigation(t testing.TB, as edge.Caller, id domain.InvestigationID) error {
	t.Helper()
	_, err := tv.LiftInvestigation(tv.as(t, as, "liftInvestigation", nil), contract.LiftInvestigationRequestObject{InvestigationID: id, Params: contract.LiftInvestigationParams{IdempotencyKey: uuid.New()}})
	return err
}

func (tv *testVault) investigations(t testing.TB, as edge.Caller, p contract.ListInvestigationsParams) (all []contract.Investigation) {
	t.Helper()
	tv.waitForReadModels(t)
	for p.PageSize = 1; ; {
		answer, err := tv.ListInvestigations(tv.as(t, as, "listInvestigations", nil), contract.ListInvestigationsRequestObject{Params: p})
		if err != nil {
			t.Fatal(err)
		}
		page := answer.(contract.ListInvestigations200JSONResponse)
		if all = append(all, page.Items...); page.NextCursor == "" {
			return all
		}
		p.After = page.NextCursor
	}
}

// hidden is the request with which flanders reads under an investigation.
func hidden(under domain.InvestigationID) contract.AccessRequest {
	return contract.AccessRequest{Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/012", InvestigationID: &under}
}

func fraud(until time.Time) contract.InvestigationOpen {
	return contract.InvestigationOpen{Purpose: "schoolAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/012", Reason: "allowanceFraud", Until: until}
}

// seenOfAccesses returns everything that a vault tells somebody of the accesses to a citizen's
// data, byte for byte: pages of every size, every list, groups, coverage, the data tracker.
func (tv *testVault) seenOfAccesses(t *testing.T, who edge.Caller, whose domain.CitizenID, number contract.SSIN) string {
	t.Helper()
	tv.waitIdle(t)
	tv.waitForReadModels(t)
	var said bytes.Buffer
	say := func(v any, err error) {
		b, failed := json.Marshal(v)
		if failed != nil {
			t.Fatal(failed)
		}
		fmt.Fprintf(&said, "%s %v\n", b, err)
	}
	for _, list := range []contract.AccessList{"", contract.AccessListAccesses, contract.AccessListTold, contract.AccessListRefused} {
		for _, size := range []contract.PageSize{1, 3, 200} {
			for p := (contract.GetAccessLogParams{List: list, PageSize: size}); ; {
				page, err := tv.accessesOf(t, who, whose, p)
				say(page, err)
				if p.After = page.NextCursor; p.After == "" {
					break
				}
			}
		}
		for p := (contract.ListAccessGroupsParams{List: list, PageSize: 1}); ; {
			page, err := tv.accessGroupsOf(t, who, whose, p)
			say(page, err)
			if p.After = page.NextCursor; p.After == "" {
				break
			}
		}
	}
	if who.Role == domain.RoleCitizen {
		var usage contract.UsagesFound
		p := portal{t, tv, nil, who, userCodes(number)}
		fmt.Fprintln(&said, p.ask("/v2/findUsage", url.Values{"userCode": {p.number}}, &usage))
		say(usage, nil)
	}
	return said.String()
}

// H-5: while an investigation is open nothing that the citizen can ask tells an access, an answer
// or a refusal under it from none, and neither does anything an officer asks about the citizen.
// When it is over everything is shown, with until when it was hidden, and why.
func TestInvestigationHidesUntilItIsLifted(t *testing.T) {
	for name, ends := range map[string]func(t *testing.T, tv *testVault, one contract.Investigation){
		"lifted by the consumer": func(t *testing.T, tv *testVault, one contract.Investigation) {
			if err := tv.liftInvestigation(t, consumer(flanders), one.InvestigationID); err != nil {
				t.Fatal(err)
			}
		},
		"lifted by an officer": func(t *testing.T, tv *testVault, one contract.Investigation) {
			if err := tv.liftInvestigation(t, officer, one.InvestigationID); err != nil {
				t.Fatal(err)
			}
		},
		"its end passes": func(_ *testing.T, tv *testVault, one contract.Investigation) {
			tv.Clock.Advance(one.Until.Sub(tv.Clock.Now()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			home := tv.household(t, 1)
			diploma := tv.diploma(t, 1)
			who := tv.person(t, 1)
			if _, err := tv.read(t, consumer(flanders), home, uuid.New(), allowance); err != nil {
				t.Fatal(err)
			}
			one, err := tv.openInvestigation(t, consumer(flanders), fraud(tv.Clock.Now().Add(100*24*time.Hour)))
			if err != nil {
				t.Fatal(err)
			}
			me := citizenCaller(who)
			report := tv.reportedAccesses(t, who)
			before, officers := tv.seenOfAccesses(t, me, who, ssin(1)), tv.seenOfAccesses(t, officer, who, ssin(1))

			secret := hidden(one.InvestigationID)
			if got, err := tv.read(t, consumer(flanders), home, uuid.New(), secret); err != nil || len(got.Content) == 0 {
				t.Fatal(err)
			}
			if _, err := tv.read(t, consumer(flanders), home, uuid.New(), func() contract.AccessRequest { b := secret; b.Fields = []contract.FieldName{"nothing"}; return b }()); slugOf(err) != "fieldsNotCovered" {
				t.Fatal(err)
			}
			if _, err := tv.read(t, consumer(flanders), diploma, uuid.New(), secret); !errors.Is(err, access.ErrNoBasis) {
				t.Fatal(err)
			}
			if got, err := tv.evidenceOf(t, flanders, contract.EvidenceQuery{SSIN: ssin(1), Purpose: secret.Purpose, Procedure: secret.Procedure, LegalBasis: secret.LegalBasis, Deliberation: secret.Deliberation,
				InvestigationID: &one.InvestigationID, Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}, {DocumentType: "isiPlusCard"}}}); err != nil || len(got.Items) != 2 {
				t.Fatal(err)
			}
			if err := tv.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := tv.seenOfAccesses(t, me, who, ssin(1)); got != before {
				t.Errorf("H-5 the citizen sees\n%s\nbefore\n%s", got, before)
			}
			if got := tv.seenOfAccesses(t, officer, who, ssin(1)); got != officers {
				t.Errorf("H-5 an officer sees of the citizen\n%s\nbefore\n%s", got, officers)
			}
			again := tv.reportedAccesses(t, who)
			if !slices.Equal(again, report) {
				t.Errorf("H-5 the report tells %v, before %v", again, report)
			}
			visible := tv.seenOfAccesses(t, me, who, ssin(1))
			hides := 0
			for _, e := range recorded[access.Authorized](t, tv) {
				if !e.Investigation.IsZero() {
					hides++
				}
			}
			for _, r := range tv.log(t) { // every entry that could be disputed
				id := domain.EntryID{UUID: r.ID}
				if _, err := tv.petition(t, who, contract.PetitionMake{EntryID: &id, Text: wrong}); slugOf(err) != "entryNotFound" && (err != nil || !bytes.Contains([]byte(visible), []byte(id.String()))) {
					t.Errorf("H-5 disputing %s %s: %v", r.Type, id, err)
				}
			}
			told := recorded[access.Told](t, tv)
			refused := slices.DeleteFunc(recorded[access.Refused](t, tv), func(e access.Refused) bool { return e.Investigation.IsZero() })
			if hides != 2 || len(told) != 1 || told[0].Investigation != one.InvestigationID || len(refused) != 2 {
				t.Fatalf("on record: %d accesses, %+v, %+v", hides, told, refused)
			}
			for _, caller := range []edge.Caller{consumer(flanders), officer, officeCaller(domain.RoleAuditor)} {
				listed := tv.investigations(t, caller, contract.ListInvestigationsParams{State: contract.InvestigationStateOpen})
				if len(listed) != 1 || listed[0].InvestigationID != one.InvestigationID || *listed[0].Records != 5 || *listed[0].Citizens != 1 || listed[0].OrganizationName == "" || listed[0].ReasonLabel == "" {
					t.Errorf("H-5 %s lists %+v", caller.Role, listed)
				}
			}

			tv.Clock.Advance(time.Hour)
			ends(t, tv, one)
			over := tv.Clock.Now()
			tv.waitForReadModels(t)
			got, err := tv.accessesOf(t, me, who, contract.GetAccessLogParams{PageSize: 200})
			if err != nil {
				t.Fatal(err)
			}
			shown := 0
			for _, e := range got.Items {
				if e.Deliberation != "EX-26/012" && e.Hidden.InvestigationID.IsZero() {
					continue
				}
				shown++
				if want := (contract.HiddenAccess{InvestigationID: one.InvestigationID, Until: over, Reason: "allowanceFraud", ReasonLabel: "Investigation of abuse of allowances"}); e.Hidden != want {
					t.Errorf("H-6 %+v, want %+v", e.Hidden, want)
				}
			}
			groups, err := tv.accessGroupsOf(t, me, who, contract.ListAccessGroupsParams{PageSize: 200})
			if shown != 5 || err != nil || !slices.ContainsFunc(groups.Items, func(g contract.AccessGroup) bool { return g.Hidden.Until.Equal(over) && g.Count == 2 }) {
				t.Errorf("H-6 %d entries are shown, groups %+v, %v", shown, groups.Items, err)
			}
			if len(tv.reportedAccesses(t, who)) != len(again)+5 {
				t.Error("H-6 the report does not tell them")
			}
			if listed := tv.investigations(t, officer, contract.ListInvestigationsParams{State: contract.InvestigationStateOpen}); len(listed) != 0 {
				t.Errorf("H-3 open: %+v", listed)
			}
			if _, err := tv.read(t, consumer(flanders), home, uuid.New(), secret); !errors.Is(err, access.ErrNoBasis) {
				t.Errorf("H-4 read under what is over: %v", err)
			}
			if err := tv.renewInvestigation(t, consumer(flanders), one.InvestigationID, tv.Clock.Now().Add(24*time.Hour)); !errors.Is(err, investigation.ErrOver) {
				t.Errorf("H-2 renewed when it was over: %v", err)
			}
		})
	}
}

// H-5: the question after a breach leaves out what is hidden, from the persons and from the totals;
// when it is over it is counted, and an answer as of before stays what it was.
func TestInvestigationAfterABreach(t *testing.T) {
	tv := newVault(t)
	began := tv.Clock.Now()
	one, err := tv.openInvestigation(t, consumer(flanders), fraud(began.Add(10*24*time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	for n, body := range []contract.AccessRequest{allowance, hidden(one.InvestigationID), allowance} {
		if _, err := tv.read(t, consumer(flanders), tv.household(t, 1+n%2), uuid.New(), body); err != nil {
			t.Fatal(err)
		}
	}
	q := contract.AffectedPersonsQuery{DocumentType: "householdComposition", Consumer: flanders, From: began, Until: began.Add(time.Hour), Reason: "audit"}
	want := func(q contract.AffectedPersonsQuery, persons, accesses int) {
		t.Helper()
		tv.waitIdle(t)
		tv.waitForReadModels(t)
		got, _, err := tv.affected(t, officer, q, contract.QueryAffectedPersonsParams{PageSize: 1})
		if err != nil || got.Totals == nil || *got.Totals != (contract.AffectedTotals{Persons: persons, Accesses: accesses}) {
			t.Fatalf("%+v, %v", got.Totals, err)
		}
		told := got.Items
		for got.NextCursor != "" {
			if got, _, err = tv.affected(t, officer, q, contract.QueryAffectedPersonsParams{PageSize: 1, After: got.NextCursor}); err != nil {
				t.Fatal(err)
			}
			told = append(told, got.Items...)
		}
		if len(told) != persons {
			t.Errorf("H-5 %+v", told)
		}
	}
	want(q, 1, 2)
	before := tv.Clock.Now()
	tv.Clock.Advance(time.Hour)
	if err := tv.liftInvestigation(t, consumer(flanders), one.InvestigationID); err != nil {
		t.Fatal(err)
	}
	want(q, 2, 3)
	q.AsOf = &before
	want(q, 1, 2)
}

// reportedAccesses returns the entries by consumers that a subject access report tells.
func (tv *testVault) reportedAccesses(t *testing.T, who domain.CitizenID) (ids []string) {
	t.Helper()
	r, err := tv.reportOn(t, citizenCaller(who), who, uuid.New())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Accesses {
		if e.Role == contract.ActorRoleConsumer {
			ids = append(ids, e.EntryID.String())
		}
	}
	return ids
}

// An objection is taken only to what the access log shows, so what is hidden allows none.
func TestInvestigationAllowsNoObjection(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	who := tv.person(t, 1)
	one, err := tv.openInvestigation(t, consumer(flanders), fraud(tv.Clock.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tv.read(t, consumer(flanders), home, uuid.New(), hidden(one.InvestigationID)); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	object := contract.PetitionMake{Organization: flanders, Purpose: "schoolAllowance", Text: wrong}
	if _, err := tv.petition(t, who, object); slugOf(err) != "nothingRead" {
		t.Errorf("while it is hidden: %v", err)
	}
	tv.Clock.Advance(time.Hour)
	if _, err := tv.petition(t, who, object); err != nil {
		t.Errorf("when it is over: %v", err)
	}
}

// H-4: nobody hides without an investigation that covers the reading; what was refused for that
// is shown to the citizen as every other refusal.
func TestInvestigationThatDoesNotCoverHidesNothing(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	who := tv.person(t, 1)
	one, err := tv.openInvestigation(t, consumer(flanders), fraud(tv.Clock.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	given := tv.consentTo(t, who, contract.ConsentGrant{CitizenID: &who, Consumer: flanders, Purpose: "schoolAllowance", DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}})
	for name, c := range map[string]struct {
		by   domain.Organisation
		body func(*contract.AccessRequest)
		want string
	}{
		"another basis":       {flanders, func(b *contract.AccessRequest) { b.Deliberation = "EX-26/010" }, "noBasis"},
		"no investigation":    {flanders, func(b *contract.AccessRequest) { b.InvestigationID = new(domain.InvestigationID{UUID: uuid.New()}) }, "noBasis"},
		"another's":           {economy, func(*contract.AccessRequest) {}, "noBasis"},
		"with a case":         {flanders, func(b *contract.AccessRequest) { b.CaseReference = "2026/1" }, "caseUnderInvestigation"},
		"under a consent too": {flanders, func(b *contract.AccessRequest) { b.ConsentID, b.LegalBasis, b.Deliberation = &given, "", "" }, "badRequest"},
	} {
		body := hidden(one.InvestigationID)
		c.body(&body)
		if _, err := tv.read(t, consumer(c.by), home, uuid.New(), body); slugOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if err := tv.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	got, err := tv.accessesOf(t, citizenCaller(who), who, contract.GetAccessLogParams{List: contract.AccessListRefused, PageSize: 100})
	if err != nil || len(got.Items) != 3 {
		t.Errorf("%d refusals are shown, %v", len(got.Items), err)
	}
}

// H-1 to H-3: who may, and that others learn of no investigation.
func TestInvestigationsOfOthers(t *testing.T) {
	tv := newVault(t)
	soon := tv.Clock.Now().Add(10 * 24 * time.Hour)
	for name, c := range map[string]struct {
		by   edge.Caller
		body func(*contract.InvestigationOpen)
		want string
	}{
		"not in the registry":   {consumer(economy), func(*contract.InvestigationOpen) {}, "mayNotHide"},
		"a basis without it":    {consumer(flanders), func(b *contract.InvestigationOpen) { b.Deliberation = "EX-26/010" }, "mayNotHide"},
		"for longer":            {consumer(flanders), func(b *contract.InvestigationOpen) { b.Until = tv.Clock.Now().Add(181 * 24 * time.Hour) }, "investigationEnd"},
		"for another reason":    {consumer(flanders), func(b *contract.InvestigationOpen) { b.Reason = "litigation" }, "unknownReason"},
		"until a moment passed": {consumer(flanders), func(b *contract.InvestigationOpen) { b.Until = tv.Clock.Now() }, "investigationEnd"},
	} {
		body := fraud(soon)
		c.body(&body)
		if _, err := tv.openInvestigation(t, c.by, body); slugOf(err) != c.want {
			t.Errorf("H-1 %s: %v, want %s", name, err, c.want)
		}
	}
	one, err := tv.openInvestigation(t, consumer(flanders), fraud(soon))
	if err != nil {
		t.Fatal(err)
	}
	none := domain.InvestigationID{UUID: uuid.New()}
	for _, id := range []domain.InvestigationID{one.InvestigationID, none} {
		for name, err := range map[string]error{
			"renews": tv.renewInvestigation(t, consumer(economy), id, soon.Add(time.Hour)), "lifts": tv.liftInvestigation(t, consumer(economy), id),
		} {
			if !errors.Is(err, investigation.ErrUnknown) {
				t.Errorf("another %s %s: %v", name, id, err)
			}
		}
		if listed := tv.investigations(t, consumer(economy), contract.ListInvestigationsParams{InvestigationID: &id}); len(listed) != 0 {
			t.Errorf("another lists %+v", listed)
		}
	}
	if err := tv.renewInvestigation(t, consumer(flanders), one.InvestigationID, soon.Add(24*time.Hour)); err != nil {
		t.Error(err)
	}
	tv.investigations(t, officer, contract.ListInvestigationsParams{InvestigationID: &one.InvestigationID})
	looks := slices.DeleteFunc(recorded[audit.Operated](t, tv), func(e audit.Operated) bool { return e.Act != audit.ListInvestigations })
	if len(looks) != 1 || looks[0].On != one.InvestigationID.String() {
		t.Errorf("looks on record: %+v", looks)
	}
	tv.publish(t, func(r *registry.Registry) {
		for i := range organisation(t, r, flanders).Registrations {
			for j := range organisation(t, r, flanders).Registrations[i].Bases {
				organisation(t, r, flanders).Registrations[i].Bases[j].HidesForDays = 0
			}
		}
	})
	if err := tv.renewInvestigation(t, consumer(flanders), one.InvestigationID, soon.Add(48*time.Hour)); slugOf(err) != "mayNotHide" {
		t.Errorf("H-2 renewed against the registry: %v", err)
	}
}

// An export of the access log and of refusals tells what was shown at its checkpoint, so that
// the same export made again later, as of then, has the same rows.
func TestInvestigationInExports(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	one, err := tv.openInvestigation(t, consumer(flanders), fraud(tv.Clock.Now().Add(10*24*time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []contract.AccessRequest{allowance, hidden(one.InvestigationID)} {
		if _, err := tv.read(t, consumer(flanders), home, uuid.New(), body); err != nil {
			t.Fatal(err)
		}
	}
	tv.waitIdle(t)
	ask := contract.ExportCreate{Kind: contract.ExportKindAccessLog, Format: contract.ExportFormatCsv, Reason: "audit"}
	if rows := tv.table(t, ask); len(rows) != 1 {
		t.Errorf("while it is open: %v", rows)
	}
	then := tv.Clock.Now()
	tv.Clock.Advance(time.Hour)
	if err := tv.liftInvestigation(t, consumer(flanders), one.InvestigationID); err != nil {
		t.Fatal(err)
	}
	tv.waitIdle(t)
	if rows := tv.table(t, ask); len(rows) != 2 {
		t.Errorf("lifted: %v", rows)
	}
	ask.AsOf = &then
	if rows := tv.table(t, ask); len(rows) != 1 {
		t.Errorf("lifted, as of before: %v", rows)
	}
}
