package api

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/domaintest"
	"coffre/handlers/contract"
	"coffre/handlers/contract/texts"
	"coffre/handlers/edge"
)

func (tv *testVault) receipt(t testing.TB, who edge.Caller, id domain.ConsentID, format contract.ReceiptFormat) (string, error) {
	t.Helper()
	ctx := tv.as(t, who, "getConsentReceipt", nil)
	answer, err := tv.GetConsentReceipt(ctx, contract.GetConsentReceiptRequestObject{
		ConsentID: id, Params: contract.GetConsentReceiptParams{Format: format},
	})
	if err != nil {
		return "", err
	}
	w := writeAnswer(t, ctx, answer.VisitGetConsentReceiptResponse)
	return w.Body.String(), nil
}

// kantaraSchema returns the standard's own schema, less the comments that make it no JSON.
func kantaraSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	path, ok := domaintest.SharedData(t, "kantara/kantara-consent-receipt-v1_1-schema.json")
	if !ok {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = regexp.MustCompile(`(?m)^\s*//.*$`).ReplaceAll(b, nil)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("kantara.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("kantara.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestKantaraReceiptIsValid(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	id := tv.consentTo(t, ana, discount)
	got, err := tv.receipt(t, citizenCaller(ana), id, contract.ReceiptFormatKantara)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"KI-CR-v1.1.0"`, id.String(), ana.String(), "Belgian Railways", "Family discount", "You allow canary to read"} {
		if !strings.Contains(got, want) {
			t.Errorf("the receipt does not say %s: %s", want, got)
		}
	}
	schema := kantaraSchema(t)
	if schema == nil {
		return
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Error(err)
	}
	members := doc.(map[string]any)
	delete(members, "piiControllers")
	if schema.Validate(members) == nil {
		t.Error("the schema lets everything pass")
	}
}

func TestISO27560Receipt(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	id := tv.consentTo(t, ana, discount)
	if err := tv.withdraw(t, ana, id); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	got, err := tv.receipt(t, citizenCaller(ana), id, contract.ReceiptFormatIso27560)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(got), &doc); err != nil {
		t.Fatal(err)
	}
	record, _ := doc["dpv:hasRecordOfActivity"].(map[string]any)
	process, _ := record["dpv:hasProcess"].(map[string]any)
	for member, in := range map[string]map[string]any{
		"@context": doc, "dct:identifier": doc, "dct:conformsTo": record, "dpv:hasDataSubject": record, "dpv:hasDataController": record, "dpv:hasNotice": record,
		"dpv:hasLegalBasis": record, "dpv:hasJurisdiction": record, "dpv:hasConsentControl": record, "dpv:hasRight": record, "dpv:hasAuthority": record,
		"dpv:hasPurpose": process, "dpv:hasPersonalData": process, "dpv:hasStorageCondition": process, "dpv:hasRecipientThirdParty": process,
	} {
		if in[member] == nil {
			t.Errorf("%s is mandatory and missing", member)
		}
	}
	steps, _ := record["dct:hasPart"].([]any)
	if len(steps) != 2 {
		t.Fatalf("%v", steps)
	}
	for i, want := range []string{"dpv:ConsentGiven", "dpv:ConsentWithdrawn"} {
		if got := steps[i].(map[string]any)["dpv:hasConsentStatus"].(map[string]any)["@id"]; got != want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

// A receipt is in the language that was asked for: what the registry names and what the vault
// says of itself; in no language does a text stay without words.
func TestReceiptsSpeakFourLanguages(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	id := tv.consentTo(t, ana, discount)
	seen := map[string]bool{}
	for _, lang := range edge.Languages {
		caller := citizenCaller(ana)
		for _, format := range []contract.ReceiptFormat{contract.ReceiptFormatKantara, contract.ReceiptFormatIso27560} {
			ctx := tv.as(t, caller, "getConsentReceipt", nil)
			edge.CallFrom(ctx).Language = lang
			answer, err := tv.GetConsentReceipt(ctx, contract.GetConsentReceiptRequestObject{ConsentID: id, Params: contract.GetConsentReceiptParams{Format: format}})
			if err != nil {
				t.Fatal(err)
			}
			w := writeAnswer(t, ctx, answer.VisitGetConsentReceiptResponse)
			if got, want := w.Header().Get("Content-Type"), map[contract.ReceiptFormat]string{contract.ReceiptFormatKantara: "application/json", contract.ReceiptFormatIso27560: "application/ld+json"}[format]; got != want {
				t.Errorf("%s is %s", format, got)
			}
			body := w.Body.String()
			if strings.Contains(body, "receipt.") || seen[body] || !strings.Contains(body, texts.Of(lang, "receipt.collection")) {
				t.Errorf("%s in %s: %s", format, lang, body)
			}
			seen[body] = true
		}
	}
}

// C-5: the text that the citizen was shown is opened for the citizen, and for a privacy
// officer after the access is on record (rule A-1); every other caller gets a 404.
func TestReceiptReaders(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.household(t, 2)
	ana, bob := tv.person(t, 1), tv.person(t, 2)
	id := tv.consentTo(t, ana, discount)
	if _, err := tv.receipt(t, citizenCaller(bob), id, ""); problemOf(err) != "resourceNotFound" {
		t.Errorf("C-5 a stranger: %v", err)
	}
	if n := len(recorded[access.Authorized](t, tv)); n != 0 {
		t.Errorf("%d accesses", n)
	}
	got, err := tv.receipt(t, officer, id, "")
	if err != nil || !strings.Contains(got, "You allow canary to read") {
		t.Errorf("C-5 an officer: %s %v", got, err)
	}
	if all := recorded[access.Authorized](t, tv); len(all) != 1 || all[0].Kind != access.OpenedExport || all[0].Role != domain.RolePrivacyOfficer || all[0].Citizen != ana {
		t.Errorf("A-1 %+v", all)
	}
	tv.erase(t, ana, domain.DocumentID{})
	tv.waitIdle(t)
	got, err = tv.receipt(t, officer, id, "")
	if err != nil || strings.Contains(got, "canary") || !strings.Contains(got, ana.String()) {
		t.Errorf("C-5 of an erased citizen: %s %v", got, err)
	}
}
