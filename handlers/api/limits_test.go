package api

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/work"
)

// limitedVault is newVault with other limits than the defaults.
func limitedVault(t *testing.T, limits string) *testVault {
	t.Helper()
	parsed, err := acting.ParseLimits(limits)
	if err != nil {
		t.Fatal(err)
	}
	tv := newVault(t)
	tv.restart(func(s *settings) { s.Limits = parsed })
	return tv
}

// wantBudget fails the test unless an error is the refusal of that budget, with the wait that
// its answer names.
func wantBudget(t *testing.T, err error, b *acting.Budget) {
	t.Helper()
	p, _, wait, known := edge.Describe(err, acting.ErrorAnswers)
	if !errors.Is(err, acting.ErrBudget) || !known || p.Status != 429 || p.Type != edge.ProblemPrefix+"budgetExceeded" || wait != b.Retry {
		t.Errorf("answered %d %s, wait %v: %v", p.Status, p.Type, wait, err)
	}
}

// F30: files that no document names yet are bounded for each issuer and in all; a place is
// had again once a document names the file, its upload failed, or it was removed.
func TestF30UploadsAreBounded(t *testing.T) {
	try := func(t *testing.T, tv *testVault, by domain.Organisation) error {
		t.Helper()
		_, err := tv.tryUpload(t, by, uuid.New(), "application/pdf", bytes.NewReader(aPDF), int64(len(aPDF)))
		return err
	}
	t.Run("in number", func(t *testing.T) {
		tv := limitedVault(t, "uploads.caller=2,uploads.all=3")
		_, named := tv.householdWithFile(t, 1, aPDF)
		first := tv.upload(t, homeAffairs, aPDF)
		if _, err := tv.tryUpload(t, homeAffairs, uuid.New(), "application/pdf", bytes.NewReader([]byte("no PDF")), 6); slugOf(err) == "" || errors.Is(err, acting.ErrBudget) {
			t.Errorf("a file that is none: %v", err)
		}
		second := tv.upload(t, homeAffairs, aPDF)
		wantBudget(t, try(t, tv, homeAffairs), &acting.Uploads)
		tv.onlyFilesLeft(t, named, first, second) // nothing of the refused one
		tv.upload(t, flanders, aPDF)
		wantBudget(t, try(t, tv, socialSecurity), &acting.Uploads)
		tv.Clock.Advance(work.UnclaimedFileLifetime + time.Minute)
		tv.restart()
		tv.waitIdle(t)
		tv.onlyFilesLeft(t, named)
		if n := tv.RemovedFiles(); n != 3 {
			t.Errorf("the sweep counts %d files", n)
		}
		for range 2 {
			if err := try(t, tv, homeAffairs); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("in bytes", func(t *testing.T) {
		tv := limitedVault(t, fmt.Sprintf("uploads.caller.bytes=%d", 2*len(aPDF)-1))
		tv.upload(t, homeAffairs, aPDF)
		wantBudget(t, try(t, tv, homeAffairs), &acting.Uploads)
	})
}

// F30: requests for consent that nobody answered are bounded for each consumer and citizen and
// for each consumer, and whether the vault knows the citizen makes no difference.
func TestF30ConsentRequestsAreBounded(t *testing.T) {
	tv := limitedVault(t, "consentRequests.pair=2,consentRequests.caller=6,consentRequests.person=3")
	tv.household(t, 1)
	me := citizenCaller(tv.person(t, 1))
	ask := func(by domain.Organisation, n int) error {
		body := contract.ConsentAsk{SSIN: ssin(n), Purpose: "schoolAllowance", DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}}
		_, err := tv.askAs(t, consumer(by), body)
		return err
	}
	for _, n := range []int{1, 999} {
		for range 2 {
			if err := ask(flanders, n); err != nil {
				t.Fatal(err)
			}
		}
		before := len(recorded[any](t, tv))
		wantBudget(t, ask(flanders, n), &acting.ConsentRequests)
		if after := len(recorded[any](t, tv)); after != before {
			t.Errorf("a refusal left %d events", after-before)
		}
	}
	waiting := tv.requests(t, me, contract.ListConsentRequestsParams{})
	if len(waiting) != 2 {
		t.Fatalf("%v wait", waiting)
	}
	if _, err := tv.RefuseConsentRequest(tv.as(t, me, "refuseConsentRequest", nil), contract.RefuseConsentRequestRequestObject{
		ConsentRequestID: waiting[0], Params: contract.RefuseConsentRequestParams{IdempotencyKey: uuid.New()},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := tv.GrantConsentRequest(tv.as(t, me, "grantConsentRequest", nil), contract.GrantConsentRequestRequestObject{
		ConsentRequestID: waiting[1], Params: contract.GrantConsentRequestParams{IdempotencyKey: uuid.New()}, Body: &contract.ConsentRequestGrant{ShownText: shownToAll},
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // one for each answer
		if err := ask(flanders, 1); err != nil {
			t.Errorf("after an answer: %v", err)
		}
	}
	wantBudget(t, ask(flanders, 1), &acting.ConsentRequests)
	for n := 2; n < 4; n++ {
		if err := ask(flanders, n); err != nil {
			t.Fatal(err)
		}
	}
	wantBudget(t, ask(flanders, 4), &acting.ConsentRequests) // of one consumer
}

// F30: what a citizen or somebody of the office does in a day is bounded, what they take back
// is not.
func TestF30ActsOfADayAreBounded(t *testing.T) {
	tv := limitedVault(t, "citizenActs.caller=2,officeActs.caller=1,personActs.pair=1")
	tv.household(t, 1)
	who := tv.person(t, 1)
	me, officer := citizenCaller(who), officeCaller(domain.RolePrivacyOfficer)
	first, err := tv.grantAs(t, me, household1)
	if err != nil {
		t.Fatal(err)
	}
	refused := household1
	refused.Consumer = "0202239951"
	if _, err := tv.grantAs(t, me, refused); err == nil || errors.Is(err, acting.ErrBudget) {
		t.Fatalf("%v", err)
	}
	if _, err := tv.grantAs(t, me, household1); err != nil { // what was refused does not count
		t.Fatal(err)
	}
	_, err = tv.grantAs(t, me, household1)
	wantBudget(t, err, &acting.CitizenActs)
	if _, err := tv.WithdrawConsent(tv.as(t, me, "withdrawConsent", nil), contract.WithdrawConsentRequestObject{
		ConsentID: first.ConsentID, Params: contract.WithdrawConsentParams{IdempotencyKey: uuid.New()},
	}); err != nil {
		t.Errorf("C-6 %v", err)
	}
	hold := func(by edge.Caller) error {
		body := contract.PlaceHoldJSONRequestBody{Reason: "litigation"}
		_, err := tv.PlaceHold(tv.as(t, by, "placeHold", body), contract.PlaceHoldRequestObject{CitizenID: who, Params: contract.PlaceHoldParams{IdempotencyKey: uuid.New()}, Body: &body})
		return err
	}
	if err := hold(officer); err != nil {
		t.Fatal(err)
	}
	wantBudget(t, hold(officer), &acting.OfficeActs)
	tv.Clock.Advance(24 * time.Hour)
	if err := hold(officer); err != nil {
		t.Errorf("the day after: %v", err)
	}
}

// F30: what one caller asks about one citizen, the mandates that nobody accepts, the exports
// that are kept and the reports that are being made are bounded.
func TestF30WhatIsOpenIsBounded(t *testing.T) {
	tv := limitedVault(t, "personActs.pair=1,mandates.pair=1,exports.caller=1,reports.caller=1,documentChanges.pair=1")
	tv.household(t, 1)
	tv.household(t, 2)
	who := tv.person(t, 1)
	me, officer := citizenCaller(who), officeCaller(domain.RolePrivacyOfficer)
	erase := func(by edge.Caller) error {
		body := contract.ErasureRequest{CitizenID: who, Scope: contract.ErasureScopeCitizen, Reason: "citizenRequest"}
		_, err := tv.RequestErasure(tv.as(t, by, "requestErasure", body), contract.RequestErasureRequestObject{Params: contract.RequestErasureParams{IdempotencyKey: uuid.New()}, Body: &body})
		return err
	}
	restrict := func(by edge.Caller) error {
		body := contract.RestrictProcessingJSONRequestBody{Reason: "accuracyContested"}
		_, err := tv.RestrictProcessing(tv.as(t, by, "restrictProcessing", body), contract.RestrictProcessingRequestObject{CitizenID: who, Params: contract.RestrictProcessingParams{IdempotencyKey: uuid.New()}, Body: &body})
		return err
	}
	if err := restrict(officer); err != nil {
		t.Fatal(err)
	}
	wantBudget(t, restrict(officer), &acting.PersonActs)
	wantBudget(t, erase(officer), &acting.PersonActs)
	if err := erase(me); errors.Is(err, acting.ErrBudget) {
		t.Error("an officer uses up the citizen's own requests")
	}

	for _, n := range []int{2, 99} { // known, and not
		grant := func() (contract.MandateReceipt, error) {
			return tv.grantMandate(t, me, contract.MandateGrant{RepresentativeSSIN: ssin(n), Kind: contract.MandateKindRepresentation, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: "2027-01-01"})
		}
		got, err := grant()
		if err != nil {
			t.Fatal(err)
		}
		_, err = grant()
		wantBudget(t, err, &acting.OpenMandates)
		if n == 2 {
			if _, err := tv.AcceptMandate(tv.as(t, citizenCaller(tv.person(t, 2)), "acceptMandate", nil), contract.AcceptMandateRequestObject{MandateID: got.MandateID, Params: contract.AcceptMandateParams{IdempotencyKey: uuid.New()}}); err != nil {
				t.Fatal(err)
			}
			if _, err := grant(); err != nil {
				t.Errorf("after it was accepted: %v", err)
			}
		}
	}

	export := func() error {
		body := contract.ExportCreate{Kind: contract.ExportKindConsentLog, Format: contract.ExportFormatCsv}
		_, err := tv.CreateExport(tv.as(t, officer, "createExport", body), contract.CreateExportRequestObject{Params: contract.CreateExportParams{IdempotencyKey: uuid.New()}, Body: &body})
		return err
	}
	if err := export(); err != nil {
		t.Fatal(err)
	}
	wantBudget(t, export(), &acting.Exports)
	tv.Clock.Advance(work.ExportLifetime)
	if err := export(); err != nil {
		t.Errorf("after it was removed: %v", err)
	}

	paper := tv.household(t, 3)
	if _, err := tv.update(t, homeAffairs, paper, `"1"`, strings.Replace(household, "1000", "1001", 1)); err != nil {
		t.Fatal(err)
	}
	_, err := tv.update(t, homeAffairs, paper, `"2"`, strings.Replace(household, "1000", "1002", 1))
	wantBudget(t, err, &acting.DocumentChanges)

	call := edge.CallFrom(tv.as(t, me, "subjectAccessReport", nil))
	making := uuid.New()
	if err := tv.Take(t.Context(), call, &acting.Reports, acting.Room{ID: making, Person: who.UUID[:]}); err != nil {
		t.Fatal(err)
	}
	_, err = tv.reportOn(t, me, who, uuid.New())
	wantBudget(t, err, &acting.Reports)
	tv.Free(&acting.Reports, making)
	for range 2 { // one after the other
		if _, err := tv.reportOn(t, me, who, uuid.New()); err != nil {
			t.Error(err)
		}
	}
}

// F30: the updates and reinstatements of a day are bounded for each document and each issuer. A
// change that is refused costs nothing, and what takes a document back is never refused for it.
func TestF30ChangesOfADocumentAreBounded(t *testing.T) {
	tv := limitedVault(t, "documentChanges.pair=2,documentChanges.caller=3")
	first, second := tv.household(t, 1), tv.household(t, 2)
	change := func(id domain.DocumentID, tag contract.EntityTag, size int) error {
		_, err := tv.update(t, homeAffairs, id, tag, strings.Replace(household, "1000", fmt.Sprint(size), 1))
		return err
	}
	suspend := func() error {
		body := contract.DocumentSuspension{Reason: "underReview"}
		_, err := tv.SuspendDocument(tv.as(t, issuer(homeAffairs), "suspendDocument", body), contract.SuspendDocumentRequestObject{
			DocumentID: first, Params: contract.SuspendDocumentParams{IdempotencyKey: uuid.New(), IfMatch: "*"}, Body: &body,
		})
		return err
	}
	reinstate := func() error {
		body := contract.DocumentReinstatement{}
		_, err := tv.ReinstateDocument(tv.as(t, issuer(homeAffairs), "reinstateDocument", body), contract.ReinstateDocumentRequestObject{
			DocumentID: first, Params: contract.ReinstateDocumentParams{IdempotencyKey: uuid.New(), IfMatch: "*"}, Body: &body,
		})
		return err
	}
	if err := change(first, `"1"`, 1001); err != nil {
		t.Fatal(err)
	}
	for range 3 { // of a version that is none: nothing is changed, and no place taken
		if err := change(first, `"1"`, 1002); slugOf(err) != "documentVersionStale" {
			t.Fatal(err)
		}
	}
	if err := errors.Join(suspend(), reinstate()); err != nil {
		t.Fatal(err)
	}
	wantBudget(t, change(first, `"2"`, 1003), &acting.DocumentChanges)
	if err := suspend(); err != nil {
		t.Errorf("C-6: a suspension is refused: %v", err)
	}
	wantBudget(t, reinstate(), &acting.DocumentChanges)
	if err := change(second, `"1"`, 1001); err != nil {
		t.Errorf("another document: %v", err)
	}
	wantBudget(t, change(second, `"2"`, 1002), &acting.DocumentChanges) // of one issuer
	tv.Clock.Advance(24*time.Hour + time.Minute)
	if err := errors.Join(reinstate(), change(second, `"2"`, 1002)); err != nil {
		t.Errorf("the next day: %v", err)
	}
}

// F30: what an authentic source states is bounded for each person and each source, whichever
// statement it is. One that is refused costs nothing, and one beyond the bound leaves nothing
// and registers nobody.
func TestF30StatementsAreBounded(t *testing.T) {
	tv := newVault(t, func(r *registry.Registry) {
		org := organisation(t, r, homeAffairs)
		org.Attests = append(org.Attests, registry.CourtAppointment)
	})
	limits, err := acting.ParseLimits("statements.pair=1,statements.caller=2")
	if err != nil {
		t.Fatal(err)
	}
	tv.restart(func(s *settings) { s.Limits = limits })
	tv.household(t, 1)
	tv.household(t, 2)
	statements := namings(t, tv)
	for name := range statements {
		if !slices.Contains(acting.BudgetsOf[name], &acting.Statements) {
			delete(statements, name)
		}
	}
	if len(statements) != 4 {
		t.Fatalf("%d statements", len(statements))
	}
	for range 3 {
		if err := statements["reportDeath"](999); slugOf(err) != "citizenNotFound" {
			t.Fatalf("of somebody unknown: %v", err)
		}
	}
	if err := statements["reportDeath"](1); err != nil {
		t.Fatal(err)
	}
	tv.waitIdle(t)
	before := len(recorded[any](t, tv))
	for name, state := range statements {
		if err := state(1); !errors.Is(err, acting.ErrBudget) {
			t.Errorf("%s of one person: %v", name, err)
		}
	}
	wantBudget(t, statements["correctDeath"](1), &acting.Statements)
	if after := len(recorded[any](t, tv)); after != before {
		t.Errorf("refusals left %d events", after-before)
	}
	if err := statements["replaceSsin"](2); err != nil {
		t.Errorf("of another person: %v", err)
	}
	tv.waitIdle(t)
	known := len(recorded[citizen.Registered](t, tv))
	wantBudget(t, statements["grantMandate"](3), &acting.Statements) // of one source
	if now := len(recorded[citizen.Registered](t, tv)); now != known {
		t.Errorf("a refusal registered %d people", now-known)
	}
	tv.Clock.Advance(24*time.Hour + time.Minute)
	for name, n := range map[string]int{"correctDeath": 1, "grantMandate": 3} {
		if err := statements[name](n); err != nil {
			t.Errorf("the next day, %s: %v", name, err)
		}
	}
}

// F30: an organisation that the registry does not have is refused before anything is looked
// up, a retired one is not; nobody calls more often in a minute than they may, and whoever
// takes something back is never refused for it.
func TestF30CallersAreAdmitted(t *testing.T) {
	tv := limitedVault(t, "calls.citizen=3")
	admit := func(who edge.Caller, operation string) error {
		ctx := tv.as(t, who, operation, nil)
		return tv.Admit(ctx, edge.CallFrom(ctx))
	}
	for _, who := range []edge.Caller{issuer("0202239951"), consumer("0202239951"), issuer(""), consumer("")} {
		if err := admit(who, "uploadAttachment"); !errors.Is(err, acting.ErrUnknownOrganisation) || slugStatus(err) != 403 {
			t.Errorf("%+v: %v", who, err)
		}
	}
	for _, who := range []edge.Caller{issuer(homeAffairs), consumer(flanders), officeCaller(domain.RoleAuditor)} {
		if err := admit(who, "uploadAttachment"); err != nil {
			t.Errorf("%+v: %v", who, err)
		}
	}
	me := citizenCaller(domain.CitizenID{UUID: uuid.New()})
	for range 3 {
		if err := admit(me, "getWallet"); err != nil {
			t.Fatal(err)
		}
	}
	err := admit(me, "getWallet")
	if _, _, wait, _ := edge.Describe(err, acting.ErrorAnswers); !errors.Is(err, acting.ErrTooManyCalls) || slugStatus(err) != 429 || wait != time.Minute {
		t.Errorf("%v, wait %v", err, wait)
	}
	for operation := range acting.TakesBack {
		if err := admit(me, operation); err != nil {
			t.Errorf("C-6 %s: %v", operation, err)
		}
	}
	if err := admit(citizenCaller(domain.CitizenID{UUID: uuid.New()}), "getWallet"); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	tv.Clock.Advance(time.Minute)
	if err := admit(me, "getWallet"); err != nil {
		t.Errorf("in the next minute: %v", err)
	}
}
