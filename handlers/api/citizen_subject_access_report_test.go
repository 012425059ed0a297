package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/eventstore"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// A report is a page or a PDF where that is asked for, made of what programs get, and each is on
// record as disclosed.
func TestSubjectAccessReportForPeople(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	ask := func(format contract.ReportFormat) *httptest.ResponseRecorder {
		t.Helper()
		body := contract.SubjectAccessRequest{Lang: "de", Format: format}
		ctx := tv.as(t, citizenCaller(ana), "subjectAccessReport", body)
		answer, err := tv.SubjectAccessReport(ctx, contract.SubjectAccessReportRequestObject{
			CitizenID: ana, Params: contract.SubjectAccessReportParams{IdempotencyKey: uuid.New()}, Body: &body,
		})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		err = answer.VisitSubjectAccessReportResponse(w)
		edge.CallFrom(ctx).Answered(err == nil)
		if err != nil {
			t.Fatal(err)
		}
		tv.waitIdle(t)
		return w
	}
	page := ask(contract.ReportFormatHTML)
	for _, want := range []string{`<html lang="de">`, "Alles, was der Tresor über Sie aufbewahrt", "Canaryville", "Haushaltszusammensetzung", "Datenschutzbehörde", "5 Jahre"} {
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if h := page.Header(); h.Get("Content-Type") != "text/html; charset=utf-8" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment;") || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("headers of the page: %v", h)
	}
	if pdf := ask(contract.ReportFormatPdf); !strings.HasPrefix(pdf.Body.String(), "%PDF-") || pdf.Header().Get("Content-Type") != "application/pdf" {
		t.Errorf("a PDF: %v %.20q", pdf.Header(), pdf.Body.String())
	}
	r, err := tv.reportOn(t, citizenCaller(ana), ana, uuid.New())
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, a := range r.Accesses {
		if a.Kind == contract.AccessKindSubjectAccessReport && a.Outcome == contract.AccessOutcomeDisclosed {
			told++
		}
	}
	if told != 2 {
		t.Errorf("A-1 %d reports on record as disclosed", told)
	}
}

func (tv *testVault) reportOn(t testing.TB, by edge.Caller, of domain.CitizenID, key uuid.UUID) (contract.SubjectAccessReport, error) {
	t.Helper()
	body := contract.SubjectAccessRequest{Lang: "fr"}
	ctx := tv.as(t, by, "subjectAccessReport", body)
	answer, err := tv.SubjectAccessReport(ctx, contract.SubjectAccessReportRequestObject{
		CitizenID: of, Params: contract.SubjectAccessReportParams{IdempotencyKey: key}, Body: &body,
	})
	if err != nil {
		return contract.SubjectAccessReport{}, err
	}
	w := httptest.NewRecorder()
	err = answer.VisitSubjectAccessReportResponse(w)
	edge.CallFrom(ctx).Answered(err == nil)
	if err != nil {
		if w.Body.Len() > 0 {
			t.Error("a report that is refused has begun")
		}
		return contract.SubjectAccessReport{}, err
	}
	var r contract.SubjectAccessReport
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r, nil
}

// A subject access report holds all data of the citizen and none of others; the access is on
// record before (rule A-1), and its key does not make the report again.
func TestSubjectAccessReport(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.childCard(t, child(2), 1)
	ana, child := tv.person(t, 1), tv.person(t, child(2))
	tv.consentTo(t, ana, discount)
	key := uuid.New()
	r, err := tv.reportOn(t, citizenCaller(ana), ana, key)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case !slices.Equal(r.SSIN, []contract.SSIN{ssin(1)}):
		t.Error("not every number")
	case len(r.Documents) != 1 || len(r.Documents[0].Versions) != 1 || !strings.Contains(string(r.Documents[0].Versions[0].Content), "Canaryville"):
		t.Errorf("documents %+v", r.Documents)
	case r.Documents[0].Label != "Composition de ménage" || !strings.Contains(r.Documents[0].Retention, "5 ans") || r.Documents[0].SourceReference == "":
		t.Errorf("document %+v", r.Documents[0])
	case len(r.Consents) != 1 || r.Consents[0].ShownText.Text == "":
		t.Errorf("consents %+v", r.Consents)
	case len(r.Mandates) != 1 || r.Mandates[0].HeldAs != contract.HeldAsRepresentative:
		t.Errorf("mandates %+v", r.Mandates)
	case len(r.Accesses) != 1 || r.Accesses[0].Kind != contract.AccessKindSubjectAccessReport:
		t.Errorf("A-1 accesses %+v", r.Accesses)
	case r.Rights == "":
		t.Error("no rights")
	}
	tv.waitIdle(t)
	if _, err := tv.reportOn(t, citizenCaller(ana), ana, key); problemOf(err) != "accessAlreadyUsed" {
		t.Errorf("A-8 again by its key: %v", err)
	}
	if _, err := tv.reportOn(t, citizenCaller(child), ana, uuid.New()); problemOf(err) != "resourceNotFound" {
		t.Errorf("A-6 somebody else: %v", err)
	}
	if _, err := tv.reportOn(t, officer, domain.CitizenID{UUID: uuid.New()}, uuid.New()); problemOf(err) != "resourceNotFound" {
		t.Errorf("A-6 nobody of that id: %v", err)
	}
	if again, err := tv.reportOn(t, officer, ana, uuid.New()); err != nil || len(again.Accesses) != 2 || again.Accesses[1].Outcome != contract.AccessOutcomeDisclosed {
		t.Errorf("A-1 an officer: %+v %v", again.Accesses, err)
	}
}

// noticesOf are the notices of a webhook that has told of some documents.
type noticesOf []Notice

func (n noticesOf) About(_ context.Context, documents []domain.DocumentID) ([]Notice, error) {
	return slices.DeleteFunc(slices.Clone(n), func(one Notice) bool { return !slices.Contains(documents, one.Document) }), nil
}

// A subject access report also holds what was done about the citizen's data: legal holds with
// their case, restrictions, requests to be forgotten, refused readings, and notices.
func TestSubjectAccessReportHoldsWhatWasDone(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	other := tv.household(t, 2)
	ana := tv.person(t, 1)
	me := citizenCaller(ana)
	erasure := tv.erase(t, ana, tv.issue(t, socialSecurity, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "identityData", Content: contract.Content(identity)}))
	tv.waitIdle(t)
	hold := tv.placeHold(t, ana)
	tv.Clock.Advance(time.Minute)
	tv.liftHold(t, ana, hold)
	restriction, err := tv.restrict(t, me, ana, contested)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tv.read(t, consumer(flanders), id, uuid.New(), allowance); err == nil {
		t.Fatal("it was read")
	}
	tv.waitIdle(t)
	told := Notice{Event: uuid.New(), Document: id, State: "delivered", Changed: noon}
	tv.Notices = noticesOf{told, {Event: uuid.New(), Document: other, State: "delivered", Changed: noon}}
	for _, by := range []edge.Caller{me, officer} {
		r, err := tv.reportOn(t, by, ana, uuid.New())
		if err != nil {
			t.Fatal(err)
		}
		refused := slices.IndexFunc(r.Accesses, func(a contract.AccessLogItem) bool { return a.Outcome == contract.AccessOutcomeRefused })
		switch {
		case !slices.Equal(r.LegalHolds, []contract.ReportLegalHold{{LegalHoldID: hold, Reason: "litigation", CaseReference: "canary-case", PlacedAt: noon, LiftedAt: noon.Add(time.Minute)}}):
			t.Errorf("holds %+v", r.LegalHolds)
		case !slices.Equal(r.Restrictions, []contract.Restriction{restriction}):
			t.Errorf("restrictions %+v", r.Restrictions)
		case len(r.Erasures) != 1 || r.Erasures[0].ErasureID != erasure || r.Erasures[0].State != contract.ErasureStateKeysDestroyed || r.Erasures[0].RequestedAt.IsZero():
			t.Errorf("erasures %+v", r.Erasures)
		case refused < 0 || r.Accesses[refused].Organization != flanders || r.Accesses[refused].Purpose != allowance.Purpose || r.Accesses[refused].Reason != access.Restricted:
			t.Errorf("accesses %+v", r.Accesses)
		case len(r.Notices) != 1 || r.Notices[0] != (contract.ReportNotice{EventID: told.Event, DocumentID: id, State: contract.NoticeStateDelivered, ChangedAt: noon}):
			t.Errorf("notices %+v", r.Notices)
		}
	}
}

// breakingOpener opens until it is told to break.
type breakingOpener struct {
	eventstore.Opener
	opens atomic.Int64
	limit int64 // of parts that it opens; below 0: all
}

// Open implements eventstore.Opener.
func (o *breakingOpener) Open(ctx context.Context, dst []byte, p eventstore.Place, sealed []byte) ([]byte, error) {
	if n := o.opens.Add(1); o.limit >= 0 && n > o.limit {
		return nil, errors.New("the keys broke")
	}
	return o.Opener.Open(ctx, dst, p, sealed)
}

// F30: a report is sent while it is made. A long one that cannot be finished is broken off, so
// that its beginning does not pass for all; a short one is a problem.
func TestF30ReportsStream(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	me := tv.person(t, 1)
	for range 40 {
		tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "householdComposition", Content: contract.Content(manyMembers(99))})
	}
	opener := &breakingOpener{Opener: tv.Opener.get(), limit: -1}
	tv.Opener.set(opener)
	ask := func() (*httptest.ResponseRecorder, func() error) {
		body := contract.SubjectAccessRequest{Lang: "fr"}
		ctx := tv.as(t, citizenCaller(me), "subjectAccessReport", body)
		answer, err := tv.SubjectAccessReport(ctx, contract.SubjectAccessReportRequestObject{CitizenID: me, Params: contract.SubjectAccessReportParams{IdempotencyKey: uuid.New()}, Body: &body})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		return w, func() (err error) {
			defer func() { edge.CallFrom(ctx).Answered(err == nil) }()
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("panic: %v", p)
				}
			}()
			return answer.VisitSubjectAccessReportResponse(w)
		}
	}
	w, visit := ask()
	if err := visit(); err != nil || w.Body.Len() < reportHead {
		t.Fatalf("%d bytes, %v", w.Body.Len(), err)
	}
	parts := opener.opens.Load()
	for limit, begun := range map[int64]bool{0: false, parts - 1: true} {
		opener.limit = limit
		opener.opens.Store(0)
		w, visit := ask()
		err := visit()
		if err == nil || w.Body.Len() > 0 != begun || strings.HasPrefix(err.Error(), "panic") != begun {
			t.Errorf("after %d parts of %d: %d bytes, %v", limit, parts, w.Body.Len(), err)
		}
	}
}

// manyMembers returns a household of so many people.
func manyMembers(n int) string {
	return strings.Replace(household, `[{"relation":"child"}]`, "["+strings.Repeat(`{"relation":"child"},`, n-1)+`{"relation":"child"}]`, 1)
}
