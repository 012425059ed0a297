package contract

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

func readContract(t testing.TB) *openapi3.T {
	t.Helper()
	b, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(b)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func eachOperation(t testing.TB, doc *openapi3.T, do func(method, path string, item *openapi3.PathItem, op *openapi3.Operation)) {
	t.Helper()
	n := 0
	for _, path := range doc.Paths.InMatchingOrder() {
		item := doc.Paths.Value(path)
		for method, op := range item.Operations() {
			n++
			do(method, path, item, op)
		}
	}
	if n < 48 {
		t.Fatalf("only %d operations", n)
	}
}

func TestContractIsValid(t *testing.T) {
	doc := readContract(t)
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.0.3" {
		t.Errorf("version %s", doc.OpenAPI)
	}
}

// gen.go is what the contract generates today.
func TestGeneratedCodeIsCurrent(t *testing.T) {
	out := filepath.Join(t.TempDir(), "gen.go")
	cmd := exec.CommandContext(t.Context(), "go", "tool", "oapi-codegen", "-config", "oapi-codegen.yaml", "-o", out, "openapi.yaml")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("gen.go is not what openapi.yaml generates: run go generate ./handlers/contract")
	}
}

// What the Belgian guide and our own rules ask of every operation.
func TestContractRules(t *testing.T) {
	doc := readContract(t)
	lower := regexp.MustCompile(`^[a-z][A-Za-z0-9]*$`)
	asks := []string{"getCitizen", "queryDocuments", "validateConsent", "queryConsentLog", "queryAffectedPersons", "createBackup"}
	conditional := []string{"updateDocument", "revokeDocument", "suspendDocument", "reinstateDocument"}
	roles := []string{"issuer", "consumer", "citizen", "auditor", "privacyOfficer", "operator"}
	public := []string{"getHealth", "getRegistry", "getSigningKeys", "getUsageHeartbeat"}
	seen := map[string]bool{}
	eachOperation(t, doc, func(method, path string, item *openapi3.PathItem, op *openapi3.Operation) {
		id := op.OperationID
		if !lower.MatchString(id) || seen[id] {
			t.Errorf("%s %s: operationId %q", method, path, id)
		}
		seen[id] = true
		for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
			if !lower.MatchString(strings.Trim(part, "{}")) {
				t.Errorf("%s: path segment %q", id, part)
			}
		}
		if len(op.Tags) != 1 || doc.Tags.Get(op.Tags[0]) == nil || op.Summary == "" {
			t.Errorf("%s: one declared tag and a summary", id)
		}
		if d := op.Responses.Default(); d == nil || d.Ref != "#/components/responses/Problem" {
			t.Errorf("%s: no default problem", id)
		}
		params := map[string]*openapi3.Parameter{}
		for _, p := range slices.Concat(item.Parameters, op.Parameters) {
			params[p.Value.Name] = p.Value
			if p.Value.In != "header" && !lower.MatchString(p.Value.Name) {
				t.Errorf("%s: parameter %q", id, p.Value.Name)
			}
			if strings.Contains(strings.ToLower(p.Value.Name), "ssin") {
				t.Errorf("%s: an SSIN outside the body", id)
			}
		}
		key := params["Idempotency-Key"]
		if writes := method == "POST" && !slices.Contains(asks, id); writes != (key != nil && key.Required) {
			t.Errorf("%s: writes %t, Idempotency-Key %t", id, writes, key != nil)
		}
		if match := params["If-Match"]; slices.Contains(conditional, id) != (match != nil && match.Required) {
			t.Errorf("%s: If-Match %t", id, match != nil)
		}
		allowed, _ := op.Extensions["x-roles"].([]any)
		for _, role := range allowed {
			if !slices.Contains(roles, role.(string)) {
				t.Errorf("%s: role %v", id, role)
			}
		}
		open := op.Security != nil && (len(*op.Security) == 0 || len((*op.Security)[0]) == 0)
		if open != slices.Contains(public, id) || open == (len(allowed) > 0) {
			t.Errorf("%s: public %t, roles %v", id, open, allowed)
		}
		if !open && (op.Security == nil || len((*op.Security)[0]["CoffreOauth"]) != 1) {
			t.Errorf("%s: not one scope", id)
		}
		if op.RequestBody != nil && op.RequestBody.Value.Required != saysSomething(op.RequestBody.Value) {
			t.Errorf("%s: its body is required exactly when a member of it is", id)
		}
	})
}

// saysSomething reports whether a body has something that must be there: a file, a required
// member, or one of a choice.
func saysSomething(body *openapi3.RequestBody) bool {
	media := body.Content["application/json"]
	if media == nil {
		return true
	}
	s := media.Schema.Value
	return len(s.Required) > 0 || s.Extensions["x-exactly-one-of"] != nil || s.AdditionalProperties.Has != nil
}

// unaddressed says of each page whose items have no address why.
var unaddressed = map[string]string{
	"AffectedPersons": "a row tells of a person by a reference, and no address holds one",
}

// Every page has items with a reference each, and says where it is.
func TestCollections(t *testing.T) {
	doc, pages := readContract(t), 0
	for name, s := range doc.Components.Schemas {
		items := s.Value.Properties["items"]
		if items == nil {
			continue
		}
		pages++
		if !slices.Contains(s.Value.Required, "items") || !slices.Contains(s.Value.Required, "self") {
			t.Errorf("%s: items and self are not required", name)
		}
		if (items.Value.Items.Value.Properties["href"] == nil) != (unaddressed[name] != "") {
			t.Errorf("%s: its items have no href", name)
		}
	}
	if pages < 10 {
		t.Errorf("only %d pages", pages)
	}
}

// boundedArrays says of each operation that answers an array and has no pages why the array ends.
var boundedArrays = map[string]string{
	"getDocument":           "the files of one version, of which a request names at most 10",
	"accessDocument":        "the files of one version, of which a request names at most 10",
	"subjectAccessReport":   "everything of one person, by law in one answer; it is sent while it is made",
	"findUsage":             "at most 1,000, as the data tracker's contract says, which has an offset for the others",
	"getConsent":            "what one request for consent names",
	"getConsentHistory":     "the decisions about one consent, each of which is taken once",
	"queryEvidence":         "one for each need that the request names, at most 20",
	"requestErasure":        "the documents of one citizen that stand in the way, told when it stopped",
	"getErasure":            "the documents of one citizen that stand in the way",
	"approveErasure":        "the documents of one citizen that stand in the way",
	"getErasureCertificate": "what one certificate attests",
	"getSigningKeys":        "one key for each rotation of it",
	"listCorrections":       "what was proposed about one citizen, of which at most twenty wait",
	"proveInclusion":        "one hash for each level of the tree over the log, of which there are at most 63",
	"proveConsistency":      "one hash for each level of the tree over the log, and one more",
	"listProjections":       "the read models of the program",
	"listComparisons":       "the twenty that were asked for last",
	"createComparison":      "the read models of the program, each with at most twenty rows",
	"getComparison":         "the read models of the program, each with at most twenty rows",
	"getKeys":               "one version for each rotation, of those that are not trimmed",
	"rotateKeys":            "one version for each rotation, of those that are not trimmed",
	"retireKeys":            "one version for each rotation, of those that are not trimmed",
	"trimKeys":              "one version for each rotation, of those that are not trimmed",
	"rotatePepper":          "one version for each rotation, of those that are not trimmed",
	"getRegistry":           "one published registry, whose size is bounded when it is published",
	"getProcessingRegister": "made of one published registry, whose size is bounded when it is published",
	"getCondition":          "one reason for each part of the program that can fail",
	"listWebhooks":          "at most one",
	"getTraffic":            "as many as are asked for, at most a hundred in a list; a month has 31 days",
	"getMonthlyUsage":       "what the organisations of the registry called, by operation of the contract",
	"listReactors":          "the reactors of the program, and of former ones",
	"listPoison":            "the two hundred that were set aside first",
	"listEboxMessages":      "the two hundred that were made first",
	"enableWebhook":         "two secrets while they rotate",

	"listWebhookSubscriptions":  "at most twenty of an organisation",
	"createWebhookSubscription": "two keys, and twenty words of each filter",
	"enableWebhookSubscription": "two keys, and twenty words of each filter",
	"rotateWebhookSubscription": "two keys, and twenty words of each filter",
}

// Every answer with an array comes in pages, whose next one is reached by a cursor, or is known to
// end and says why.
func TestEveryArrayEnds(t *testing.T) {
	reasons, paged := maps.Clone(boundedArrays), 0
	for path, item := range readContract(t).Paths.Map() {
		for _, op := range item.Operations() {
			parameters := make(map[string]bool)
			for _, p := range append(slices.Clone(item.Parameters), op.Parameters...) {
				parameters[p.Value.In+" "+p.Value.Name] = true
			}
			for status, r := range op.Responses.Map() {
				media := r.Value.Content["application/json"]
				if status[0] != '2' || media == nil {
					continue
				}
				answer := media.Schema.Value
				array := answer.Type.Is("array")
				for _, member := range answer.Properties {
					array = array || member.Value.Type.Is("array")
				}
				_, bounded := boundedArrays[op.OperationID]
				switch cursor := parameters["query after"] && parameters["query pageSize"]; {
				case !array:
				case cursor:
					paged++
					for _, name := range []string{"items", "next", "nextCursor", "pageSize"} {
						if answer.Properties[name] == nil {
							t.Errorf("%s (%s): a page has no %s", op.OperationID, path, name)
						}
					}
					if bounded {
						t.Errorf("%s has pages, and needs no reason why its array ends", op.OperationID)
					}
				case !bounded:
					t.Errorf("%s (%s) answers an array that has no pages: give it after and pageSize, or say why it ends", op.OperationID, path)
				default:
					delete(reasons, op.OperationID)
				}
			}
		}
	}
	for id := range reasons {
		t.Errorf("%s answers no array", id)
	}
	if paged < 15 {
		t.Errorf("only %d lists have pages", paged)
	}
}
