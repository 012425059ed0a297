package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/apitest"
	"coffre/handlers/edge/token"
)

// Every example of a body in the contract is answered by a vault with the sample registry as
// a newcomer would expect who copies it: with success, by those whom the example is for. Only
// ids are those of things that are there.
func TestF20EveryExampleRunsAgainstTheSampleRegistry(t *testing.T) {
	r := newRig(t)
	calls := make(map[string]apitest.Call)
	untold := make(map[string]bool)
	for _, c := range apitest.Calls(t, contract.YAML()) {
		calls[c.OperationID] = c
		if c.Schema != nil && c.Schema.Value.Example != nil {
			untold[c.OperationID] = true
		}
	}
	if len(untold) < 25 {
		t.Fatalf("only %d bodies have an example", len(untold))
	}
	ids, etag := holdings{}, ""
	run := func(operation string, g token.Grant, refusal string) {
		t.Helper()
		c := calls[operation]
		delete(untold, operation)
		if err := r.Runner.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, path, _ := strings.Cut(c.Pattern, " ")
		if aimed, ok := aim(c, ids); ok {
			path = aimed
		}
		body := string(c.Body)
		for _, name := range []string{"citizenId", "consentId", "documentId"} {
			body = strings.ReplaceAll(body, `"`+name+`":"`+apitest.ID+`"`, `"`+name+`":"`+ids[name]+`"`)
		}
		ask := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		for name := range c.Header {
			ask.Header.Set(name, c.Header.Get(name))
		}
		if c.Header.Get("Idempotency-Key") != "" {
			ask.Header.Set("Idempotency-Key", uuid.NewString())
		}
		if c.Header.Get("If-Match") != "" {
			ask.Header.Set("If-Match", etag)
		}
		w := r.ask(ask, r.bearer(t, g))
		if refusal == "" && w.Code >= 300 || refusal != "" && !strings.Contains(w.Body.String(), ":"+refusal+`"`) {
			t.Errorf("%s %s: %d %s", operation, body, w.Code, w.Body)
		}
		if w.Header().Get("ETag") != "" {
			etag = w.Header().Get("ETag")
		}
		var said map[string]any
		if json.Unmarshal(w.Body.Bytes(), &said) == nil && w.Code < 300 {
			for name, value := range said {
				if id, ok := value.(string); ok && strings.HasSuffix(name, "Id") {
					ids[name] = id
				}
			}
		}
	}
	const exampleSSIN = "53480200724"
	issuer, officer, second := grantFor(domain.RoleIssuer, orgA, domain.CitizenID{}), grantFor(domain.RolePrivacyOfficer, "", domain.CitizenID{}), token.Grant{Role: domain.RolePrivacyOfficer, Subject: "second"}
	homeAffairs, school := grantFor(domain.RoleIssuer, "0308356862", domain.CitizenID{}), grantFor(domain.RoleIssuer, "0220916609", domain.CitizenID{})
	flanders, railways, bosa := grantFor(domain.RoleConsumer, "0316380841", domain.CitizenID{}), grantFor(domain.RoleConsumer, "0203430576", domain.CitizenID{}), grantFor(domain.RoleConsumer, "0671516647", domain.CitizenID{})
	operator := grantFor(domain.RoleOperator, "", domain.CitizenID{})

	run("issueDocument", issuer, "")
	run("queryDocuments", issuer, "")
	run("updateDocument", issuer, "")
	run("suspendDocument", issuer, "")
	run("reinstateDocument", issuer, "")
	run("getCitizen", flanders, "")
	run("accessDocument", flanders, "")
	run("queryEvidence", flanders, "")
	citizen := r.citizen(t, exampleSSIN)
	me := grantFor(domain.RoleCitizen, "", citizen)
	ids["citizenId"] = citizen.String()
	run("grantConsent", me, "")
	run("validateConsent", railways, "")
	run("requestConsent", railways, "")
	ids["consentRequestId"] = ids["consentId"]
	run("grantConsentRequest", me, "")
	run("grantMandate", me, "")
	run("endMandate", me, "")
	run("subjectAccessReport", me, "")
	run("queryConsentLog", officer, "")
	run("queryAffectedPersons", officer, "")
	run("createExport", officer, "")
	if err := r.Core.WaitIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
	run("cancelExport", officer, "exportEnded")
	run("createComparison", anyAuditor, "")
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	run("setPreferences", me, "")
	run("makePetition", me, "")
	run("extendPetition", flanders, "")
	run("answerPetition", flanders, "")
	run("openInvestigation", flanders, "investigationEnd")  // which the example, written in another year, has passed
	run("renewInvestigation", flanders, "resourceNotFound") // so that there is none
	run("restrictProcessing", me, "")
	run("liftRestriction", officer, "")
	run("revokeDocument", issuer, "")
	ids["attachmentId"] = r.upload(t, school, apitest.PDF)
	var diploma struct{ DocumentID string }
	r.post(t, school, "/documents", `{"ssin":"`+exampleSSIN+`","documentType":"diploma","sourceReference":"d","validFrom":"2006-07-01","attachments":["`+ids["attachmentId"]+`"],"content":{"title":"Master","institution":"University","awardedOn":"2006-06-30","level":7}}`, &diploma)
	ids["documentId"] = diploma.DocumentID
	run("accessAttachment", bosa, "")
	run("requestErasure", me, "")
	run("placeHold", officer, "")
	run("proposeRelease", officer, "")
	run("approveRelease", second, "citizenNotErased") // nobody of the number was erased
	run("replaceSsin", homeAffairs, "")
	run("reportDeath", homeAffairs, "")
	run("correctDeath", homeAffairs, "")
	run("proposeCorrection", officer, "")
	run("proposeIdentityProvider", operator, "noIdentityProvider") // no provider vouches for this vault's callers
	run("createBackup", operator, "recipient")                     // a backup to the key of an example opens for nobody
	run("reportVerifiedBackup", operator, "backupUnknown")         // a digest of another backup
	run("reportBackupElsewhere", operator, "backupsTakenHere")     // this vault takes them itself
	run("pauseReactor", operator, "resourceNotFound")              // no reactor ever ran here
	run("resumeReactor", operator, "resourceNotFound")
	run("retryPoison", operator, "resourceNotFound") // nothing was set aside
	run("dropPoison", operator, "resourceNotFound")
	run("retryEboxMessages", operator, "resourceNotFound")       // nobody is written to
	run("createWebhookSubscription", issuer, "webhookHandshake") // nobody listens there
	for operation := range untold {
		t.Errorf("the example of %s was not sent", operation)
	}
}

// Examples of codes in the contract are codes of the sample registry.
func TestF20ExamplesOfCodesAreInTheSampleRegistry(t *testing.T) {
	r := newRig(t)
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, contract.Base+"/registry", nil))
	var all contract.Registry
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil || len(all.DocumentTypes) == 0 {
		t.Fatalf("%d, %v", w.Code, err)
	}
	has := func(codes []contract.RegistryCode) func(string) bool {
		return func(code string) bool {
			return slices.ContainsFunc(codes, func(c contract.RegistryCode) bool { return c.Code == code })
		}
	}
	schemas := apitest.Document(t, contract.YAML()).Components.Schemas
	for name, known := range map[string]func(string) bool{
		"Purpose": has(all.Purposes), "Procedure": has(all.Procedures), "DataCategory": has(all.Categories),
		"LegalBasis": func(code string) bool {
			return slices.ContainsFunc(all.LegalBases, func(b contract.RegistryLegalBasis) bool { return string(b.Code) == code })
		},
		"ReasonCode": func(code string) bool {
			return slices.ContainsFunc(all.Reasons, func(r contract.RegistryReason) bool { return string(r.Code) == code })
		},
		"DocumentTypeCode": func(code string) bool {
			return slices.ContainsFunc(all.DocumentTypes, func(d contract.RegistryDocumentType) bool { return string(d.DocumentType) == code })
		},
		"EnterpriseNumber": func(number string) bool {
			return slices.ContainsFunc(all.Organizations, func(o contract.RegistryOrganization) bool { return string(o.EnterpriseNumber) == number })
		},
		"PredicateName": func(predicate string) bool {
			return slices.ContainsFunc(all.DocumentTypes, func(d contract.RegistryDocumentType) bool { return slices.Contains(d.Predicates, predicate) })
		},
	} {
		if example, ok := schemas[name].Value.Example.(string); !ok || !known(example) {
			t.Errorf("%s: the example %q is not in the sample registry", name, schemas[name].Value.Example)
		}
	}
}
