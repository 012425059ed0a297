package main

import (
	"net/http"
	"strings"
	"testing"

	"coffre/handlers/contract"
)

// A newcomer reads every word that a request needs from the command: what types offer for
// which purpose, procedures, bases by law, reasons by kind, and what the caller may ask for.
func TestRegistryShowPrintsAllWordsOfARequest(t *testing.T) {
	labels := contract.MultiLanguage{En: "in English", Nl: "in het Nederlands"}
	registry := contract.Registry{
		Version: 7,
		DocumentTypes: []contract.RegistryDocumentType{{DocumentType: "householdComposition", Labels: labels, Minimum: []contract.RegistryMinimum{
			{Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", Fields: []contract.FieldName{"householdSize", "members"}, Predicates: []contract.PredicateName{"ageOver18"}},
		}}},
		Procedures: []contract.RegistryCode{{Code: "schoolEnrolmentAllowance", Labels: labels}},
		LegalBases: []contract.RegistryLegalBasis{{Code: "publicTask", Labels: labels, Article: "6(1)(e)"}},
		Reasons:    []contract.RegistryReason{{Kind: contract.ReasonKindLegalHold, Code: "litigation", Labels: labels}},
		Caller: contract.RegistryCaller{EnterpriseNumber: "0316380841", DailyQuota: 4711, Issues: []contract.DocumentTypeCode{"diploma"}, Registrations: []contract.RegistryRegistration{
			{Purpose: "schoolAllowance", DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}, Bases: []contract.RegistryBasis{{LegalBasis: "publicTask", Deliberation: "EX-26/010"}}, Consent: true},
		}},
	}
	sh := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method+" "+r.URL.Path != "GET /vault/v1/registry" {
			t.Errorf("asked for %s %s", r.Method, r.URL.Path)
		}
		answer(t, w, 200, registry)
	})
	out := strings.Join(strings.Fields(sh.must(0, "registry", "show", "--data", t.TempDir(), "--lang", "nl").out), " ")
	for _, line := range []string{
		"householdComposition schoolAllowance schoolEnrolmentAllowance householdSize, members ageOver18",
		"PROCEDURE BENAMING schoolEnrolmentAllowance in het Nederlands",
		"publicTask in het Nederlands 6(1)(e)",
		"legalHold litigation in het Nederlands",
		"0316380841 4711 diploma",
		"schoolAllowance householdComposition - publicTask EX-26/010 ja",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("%q is not in\n%s", line, out)
		}
	}
	registry.Caller = contract.RegistryCaller{}
	if out := sh.must(0, "registry", "show", "--data", t.TempDir()).out; strings.Contains(out, "CALLER") {
		t.Errorf("a caller who is no organisation is told what it may:\n%s", out)
	}
}
