package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

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
	writeAnswer(t, ctx, answer.VisitSubjectAccessReportResponse)
	return answer.(contract.SubjectAccessReport200JSONResponse).Body, nil
}

// A subject access report holds all data of the citizen and none of others; the access is on
// record before (rule A-1), and its key does not make the report again.
func TestSubjectAccessReport(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.childCard(t, 2, 1)
	ana, child := tv.person(t, 1), tv.person(t, 2)
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
