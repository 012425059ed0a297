package api

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// A code that the registry does not have is refused by its place, whichever operation takes it,
// with the list of GET /registry that has those there are, and is not repeated. No search is
// answered as if it had found nothing.
func TestUnknownWordsAreNamedAndPointToTheRegistry(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	who := tv.person(t, 1)
	me, source := citizenCaller(who), issuer(homeAffairs)
	key := uuid.New
	const canary, nobody = "canary", domain.Organisation("0123456749")
	for name, test := range map[string]struct {
		ask          func() error
		names, lists string
	}{
		"issueDocument": {func() error {
			return tv.tryIssue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(1), DocumentType: canary, SourceReference: "r", ValidFrom: "2026-01-01", Content: []byte(`{}`)})
		}, "", "documentTypes"},
		"updateDocument": {func() error {
			_, err := tv.UpdateDocument(tv.as(t, source, "updateDocument", nil), contract.UpdateDocumentRequestObject{DocumentID: id, Params: contract.UpdateDocumentParams{IdempotencyKey: key(), IfMatch: `"1"`}, Body: &contract.DocumentUpdate{Content: []byte(`{}`), Reason: canary}})
			return err
		}, "/reason", "reasons of the kind update"},
		"revokeDocument": {func() error {
			_, err := tv.RevokeDocument(tv.as(t, source, "revokeDocument", nil), contract.RevokeDocumentRequestObject{DocumentID: id, Params: contract.RevokeDocumentParams{IdempotencyKey: key(), IfMatch: `"1"`}, Body: &contract.DocumentRevocation{Reason: canary}})
			return err
		}, "/reason", "reasons of the kind revocation"},
		"suspendDocument": {func() error {
			_, err := tv.SuspendDocument(tv.as(t, source, "suspendDocument", nil), contract.SuspendDocumentRequestObject{DocumentID: id, Params: contract.SuspendDocumentParams{IdempotencyKey: key(), IfMatch: `"1"`}, Body: &contract.DocumentSuspension{Reason: canary}})
			return err
		}, "/reason", "reasons of the kind suspension"},
		"queryDocuments": {func() error {
			_, err := tv.QueryDocuments(tv.as(t, source, "queryDocuments", nil), contract.QueryDocumentsRequestObject{Body: &contract.DocumentQuery{DocumentType: canary}})
			return err
		}, "/documentType", "documentTypes"},
		"getCitizen": {func() error {
			_, err := tv.lookUp(t, consumer(flanders), contract.CitizenGet{SSIN: ssin(1), Purpose: canary, Procedure: canary})
			return err
		}, "/purpose /procedure", "purposes procedures"},
		"grantMandate": {func() error {
			_, err := tv.grantMandate(t, me, contract.MandateGrant{RepresentativeSSIN: ssin(2), Kind: "voluntary", Actions: []contract.MandateAction{"view"}, Until: "2027-01-01", DocumentTypes: []contract.DocumentTypeCode{"diploma", canary, canary + "2"}})
			return err
		}, "/documentTypes/1 /documentTypes/2", "documentTypes documentTypes"},
		"grantConsent, fields": {func() error {
			body := household1
			body.Fields = []contract.FieldName{canary, "householdSize", canary + "2"}
			_, err := tv.grantAs(t, me, body)
			return err
		}, "/fields/0 /fields/2", "minimum of the type minimum of the type"},
		"createExport": {func() error {
			_, err := tv.CreateExport(tv.as(t, officer, "createExport", nil), contract.CreateExportRequestObject{Params: contract.CreateExportParams{IdempotencyKey: key()}, Body: &contract.ExportCreate{Kind: contract.ExportKindConsentLog, Format: contract.ExportFormatCsv, Purpose: canary, Consumer: nobody}})
			return err
		}, "/consumer /purpose", "organizations purposes"},
		"createExport, reason": {func() error {
			_, err := tv.CreateExport(tv.as(t, officer, "createExport", nil), contract.CreateExportRequestObject{Params: contract.CreateExportParams{IdempotencyKey: key()}, Body: &contract.ExportCreate{Kind: contract.ExportKindConsentLog, Format: contract.ExportFormatCsv, Reason: canary}})
			return err
		}, "/reason", "reasons"},
		"cancelExport": {func() error {
			_, err := tv.CancelExport(tv.as(t, officer, "cancelExport", nil), contract.CancelExportRequestObject{ExportID: uuid.New(), Params: contract.CancelExportParams{IdempotencyKey: key()}, Body: &contract.ExportCancel{Reason: canary}})
			return err
		}, "/reason", "reasons"},
		"createComparison": {func() error {
			_, err := tv.CreateComparison(tv.as(t, auditor, "createComparison", nil), contract.CreateComparisonRequestObject{Params: contract.CreateComparisonParams{IdempotencyKey: key()}, Body: &contract.ComparisonCreate{Reason: canary}})
			return err
		}, "/reason", "reasons"},
		"queryAffectedPersons": {func() error {
			_, err := tv.QueryAffectedPersons(tv.as(t, officer, "queryAffectedPersons", nil), contract.QueryAffectedPersonsRequestObject{Body: &contract.AffectedPersonsQuery{DocumentType: canary, Consumer: nobody, Reason: "audit"}})
			return err
		}, "/documentType /consumer", "documentTypes organizations"},
		"queryConsentLog": {func() error {
			_, err := tv.QueryConsentLog(tv.as(t, officer, "queryConsentLog", nil), contract.QueryConsentLogRequestObject{Body: &contract.ConsentLogQuery{Purpose: canary, Consumer: nobody}})
			return err
		}, "/consumer /purpose", "organizations purposes"},
		"getAccessLog": {func() error {
			_, err := tv.accessesOf(t, me, who, contract.GetAccessLogParams{DocumentType: []contract.DocumentTypeCode{"diploma", canary}, Organization: []domain.Organisation{flanders, nobody}})
			return err
		}, "/documentType/1 /organization", "documentTypes organizations"},
		"proposeRelease": {func() error {
			_, err := tv.proposeRelease(t, officer, contract.ReleasePropose{SSIN: ssin(1), Kind: contract.ReleaseKindNewLife, LegalBasis: canary})
			return err
		}, "/legalBasis", "legalBases"},
		"restrictProcessing": {func() error {
			_, err := tv.restrict(t, me, who, contract.RestrictionAsk{Reason: canary})
			return err
		}, "/reason", "reasons of the kind restriction"},
		"requestErasure": {func() error {
			_, err := tv.RequestErasure(tv.as(t, me, "requestErasure", nil), contract.RequestErasureRequestObject{Params: contract.RequestErasureParams{IdempotencyKey: key()}, Body: &contract.ErasureRequest{CitizenID: who, Scope: contract.ErasureScopeCitizen, Reason: canary}})
			return err
		}, "/reason", "reasons of the kind erasure"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.ask()
			p, _, _, _ := edge.Describe(err, acting.ErrorAnswers)
			if p.Status != 400 || issuesOf(err) != test.names || strings.Contains(problemText(err), canary) {
				t.Fatalf("%v about %q", problemText(err), issuesOf(err))
			}
			var lists []string
			for _, i := range p.Issues {
				before, _, found := strings.Cut(i.Detail, " in GET /registry has")
				if !found {
					before, _, found = strings.Cut(i.Detail, " of GET /registry has")
				}
				if !found {
					t.Fatalf("%q does not point to the registry", i.Detail)
				}
				lists = append(lists, before[strings.LastIndexAny(before, ":;")+2:])
			}
			if got := strings.Join(lists, " "); got != test.lists {
				t.Errorf("points to %q, want %q", got, test.lists)
			}
		})
	}
}

// C-2: a consent that the consumer is not registered for is refused with the words at fault, to
// the citizen as to the consumer, and the words come before the fields.
func TestAConsentWithoutRegistrationNamesTheWords(t *testing.T) {
	tv := newVault(t)
	home, paper := tv.household(t, 1), tv.diploma(t, 1)
	me := citizenCaller(tv.person(t, 1))
	for name, test := range map[string]struct {
		change       func(*contract.ConsentGrant)
		names, words string
	}{
		"an organisation that the registry lacks": {func(g *contract.ConsentGrant) { g.Consumer, g.Fields = "0123456749", []contract.FieldName{"canary"} }, "/consumer", "the registry has no such organisation"},
		"an organisation without registration":    {func(g *contract.ConsentGrant) { g.Consumer = economy }, "/purpose", "this organisation has no registration"},
		"a purpose that the registry lacks":       {func(g *contract.ConsentGrant) { g.Purpose, g.Fields = "canary", []contract.FieldName{"canary"} }, "/purpose", "the registry has no such purpose"},
		"types": {func(g *contract.ConsentGrant) {
			g.DocumentTypes = []contract.DocumentTypeCode{"householdComposition", "canary", "diploma"}
		}, "/documentTypes/1 /documentTypes/2", "the registry has no such type of document"},
		"documents": {func(g *contract.ConsentGrant) {
			g.DocumentTypes, g.Documents = nil, []contract.DocumentID{home, paper}
		}, "/documents/1", "this organisation has no registration to ask consent for this document's type"},
	} {
		t.Run(name, func(t *testing.T) {
			body := household1
			test.change(&body)
			_, err := tv.grantAs(t, me, body)
			p, _, _, _ := edge.Describe(err, acting.ErrorAnswers)
			if slugOf(err) != "consumerNotRegistered" || issuesOf(err) != test.names || !strings.HasPrefix(p.Issues[0].Detail, test.words) || !strings.Contains(p.Issues[0].Detail, "GET /registry") || strings.Contains(problemText(err), "canary") {
				t.Errorf("%v about %q", problemText(err), issuesOf(err))
			}
		})
	}
}

// What a citizen widens of a request, and how long a consent may last, is said by name; GET
// /registry tells the longest time as well.
func TestWhatIsWiderOrTooLongIsNamed(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	me := citizenCaller(tv.person(t, 1))
	asked, err := tv.askAs(t, consumer(flanders), contract.ConsentAsk{SSIN: ssin(1), Purpose: "schoolAllowance", DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}, Fields: []contract.FieldName{"householdSize"}, Limits: contract.ConsentLimits{Uses: 2}})
	if err != nil {
		t.Fatal(err)
	}
	body := contract.ConsentRequestGrant{Fields: []contract.FieldName{"householdSize", "address"}, Limits: contract.ConsentLimits{Uses: 3}, Until: new(noon.AddDate(2, 0, 0)), ShownText: shownToAll}
	if _, err := tv.GrantConsentRequest(tv.as(t, me, "grantConsentRequest", body), contract.GrantConsentRequestRequestObject{ConsentRequestID: asked.Body.ConsentID, Params: contract.GrantConsentRequestParams{IdempotencyKey: uuid.New()}, Body: &body}); slugOf(err) != "unknownField" || issuesOf(err) != "/fields/1" {
		t.Errorf("%v about %q", problemText(err), issuesOf(err))
	}
	body.Fields = []contract.FieldName{"householdSize"}
	_, err = tv.GrantConsentRequest(tv.as(t, me, "grantConsentRequest", body), contract.GrantConsentRequestRequestObject{ConsentRequestID: asked.Body.ConsentID, Params: contract.GrantConsentRequestParams{IdempotencyKey: uuid.New()}, Body: &body})
	if slugOf(err) != "consentWider" || issuesOf(err) != "/until /limits/uses" {
		t.Errorf("%v about %q", problemText(err), issuesOf(err))
	}
	longer := household1
	longer.Until = new(noon.AddDate(2, 0, 0))
	if _, err := tv.grantAs(t, me, longer); slugOf(err) != "consentPeriod" || issuesOf(err) != "/until" || !strings.Contains(problemText(err), "P1Y") {
		t.Errorf("%v", problemText(err))
	}
	shown, err := tv.GetRegistry(tv.as(t, me, "getRegistry", nil), contract.GetRegistryRequestObject{})
	if err != nil || shown.(contract.GetRegistry200JSONResponse).Body.LongestConsent != "P1Y" {
		t.Errorf("the registry says %+v, %v", shown, err)
	}
}
