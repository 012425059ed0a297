package edge

import (
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/handlers/contract"
)

// inputRefusal matches the declaration of a refusal of input.
var inputRefusal = regexp.MustCompile(`NewError\((?:domain\.)?Invalid, "([A-Za-z]+)"`)

// Every refusal of input that an operation can answer has a line that says where it stands,
// and every place is one of some operation.
func TestF43EveryRefusalOfInputHasAPlace(t *testing.T) {
	notAnswered := map[string]string{
		"accessOutcome": "outcomes are recorded by the server itself", "invalidTag": "tags are made by the server", "unknownAct": "acts are named by the server",
		"webhookSecretsInvalid": "the operator's configuration", "webhookSecretInvalid": "the operator's configuration",
	}
	declared := make(map[string]bool)
	for _, dir := range []string{"domain", "handlers", "projections"} {
		tree := os.DirFS("../../" + dir)
		err := fs.WalkDir(tree, ".", func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			b, err := fs.ReadFile(tree, file)
			for _, m := range inputRefusal.FindAllSubmatch(b, -1) {
				declared[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(declared) < 40 {
		t.Fatalf("found %d refusals of input only: this test looks in the wrong place", len(declared))
	}
	for slug := range declared {
		if _, placed := places[slug]; placed == (notAnswered[slug] != "") {
			t.Errorf("%s: in places %t; give it the members that it can be about", slug, placed)
		}
	}
	for slug, candidates := range places {
		if !declared[slug] {
			t.Errorf("%s is no refusal of input", slug)
		}
		for _, name := range candidates {
			if !slices.ContainsFunc(slices.Collect(maps.Values(operations())), func(o *operation) bool { return o.has(name) != "" }) {
				t.Errorf("%s: no operation has %s", slug, name)
			}
		}
	}
}

// Every refusal of a word that the registry lacks says where the caller finds those there are:
// itself, or by the causes that acting.CheckWords and its siblings give it.
func TestUnknownWordsPointToTheRegistry(t *testing.T) {
	byCause := []string{"unknownWord", "unknownReason", "unknownLegalBasis", "unknownField"}
	others := []string{"unknownAttachment", "unknownPosition", "unknownAct"} // no words of the registry
	unknown := regexp.MustCompile(`NewError\((?:domain\.)?Invalid, "(unknown[A-Za-z]+)", "([^"]+)"`)
	seen := make(map[string]bool)
	for _, dir := range []string{"domain", "handlers", "projections"} {
		tree := os.DirFS("../../" + dir)
		err := fs.WalkDir(tree, ".", func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			b, err := fs.ReadFile(tree, file)
			for _, m := range unknown.FindAllStringSubmatch(string(b), -1) {
				slug, detail := m[1], m[2]
				seen[slug] = true
				if !slices.Contains(byCause, slug) && !slices.Contains(others, slug) && !strings.Contains(detail, "GET /registry") {
					t.Errorf("%s does not say where the words are: %q", slug, detail)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, slug := range slices.Concat(byCause, others, []string{"unknownDocumentType", "unknownPredicate"}) {
		if !seen[slug] {
			t.Errorf("%s is not declared", slug)
		}
	}
}

// A refusal of a use case tells a place that the operation has; one with a place of its own
// keeps it.
func TestF43RefusalsOfUseCasesNameTheirPlace(t *testing.T) {
	e := newEdge(t)
	position := domain.NewError(domain.Invalid, "unknownPosition", "from an answer")
	for _, tc := range []struct {
		operation string
		err       error
		in        contract.IssueLocation
		name      string
	}{
		{"issueDocument", domain.NewError(domain.Invalid, "invalidValidity", "reversed"), "body", "/validUntil"},
		{"issueDocument", domain.NewError(domain.Invalid, "mandateToSelf", "nobody"), "body", "/parents"},
		{"grantMandate", domain.NewError(domain.Invalid, "mandateToSelf", "nobody"), "body", "/representativeSsin"},
		{"grantConsent", domain.NewError(domain.Invalid, "consentPeriod", "ends ahead"), "body", "/until"},
		{"uploadAttachment", domain.NewError(domain.Invalid, "fileContent", "no file"), "body", wholeBody},
		{"withdrawConsent", domain.NewError(domain.Invalid, "nilIdempotencyKey", "nil"), "header", "Idempotency-Key"},
		{"listEvents", position, "query", "after"},
		{"getDocument", position, "header", "Coffre-Min-Position"},
		{"getWallet", At(contract.IssueLocationHeader, "Coffre-Min-Position", position), "header", "Coffre-Min-Position"},
		{"listConsents", fmt.Errorf("page: %w", At(contract.IssueLocationQuery, "after", position)), "query", "after"},
		{"requestErasure", domain.NewError(domain.Invalid, "somethingNew", "no line in the table"), "body", wholeBody},
		{"createExport", At(contract.IssueLocationBody, "/purpose", domain.NewError(domain.Invalid, "unknownWord", "no such code")), "body", "/purpose"},
		{"grantConsent", domain.Because(domain.NewError(domain.Invalid, "consentLimits", "out of range"), domain.Cause{Of: "limits/frequency/uses", Expected: "1"}), "body", "/limits/frequency/uses"},
		{"getAccessLog", domain.Because(domain.NewError(domain.Invalid, "unknownWord", "no such code"), domain.Cause{Of: "documentType/1", Expected: "others"}), "query", "documentType"},
		{"requestErasure", domain.Because(domain.NewError(domain.Invalid, "unknownReason", "no such reason"), domain.Cause{Of: "limits", Expected: "no member of this call"}), "body", "/reason"},
	} {
		i := slices.IndexFunc(calls(t), func(c call) bool { return c.OperationID == tc.operation })
		c := calls(t)[i]
		e.do = func(w http.ResponseWriter, r *http.Request) { e.problem(w, r, tc.err) }
		p := refused(t, e.send(c.Request(c.Body)), 400, belgifPrefix+"badRequest")
		if len(p.Issues) != 1 || p.Issues[0].In != tc.in || p.Issues[0].Name != tc.name {
			t.Errorf("%s, %v: %+v", tc.operation, tc.err, p.Issues)
		}
	}
	// Each cause is an issue of its own, in their order, with what is expected there.
	_, err := consent.Request{
		Terms: consent.Terms{Consumer: "0671516647", Purpose: "p", Types: []domain.DocumentType{"t", "t"}, Fields: []domain.Field{"f", "f"}},
		By:    domain.Actor{Role: domain.RoleConsumer, Organisation: "0671516647"},
	}.Decide(consent.State{})
	i := slices.IndexFunc(calls(t), func(c call) bool { return c.OperationID == "requestConsent" })
	c := calls(t)[i]
	e.do = func(w http.ResponseWriter, r *http.Request) { e.problem(w, r, err) }
	p := refused(t, e.send(c.Request(c.Body)), 400, belgifPrefix+"badRequest")
	if len(p.Issues) != 2 || p.Issues[0].Name != "/documentTypes/1" || p.Issues[1].Name != "/fields/1" || !strings.HasSuffix(p.Issues[1].Detail, ": another than those before it: each stands once") {
		t.Errorf("%+v", p.Issues)
	}
	if At(contract.IssueLocationBody, "/x", nil) != nil {
		t.Error("a place makes an error of none")
	}
}

// Issues of the gate name the member by its path, also one that the contract does not have;
// a name in which there could be a value is not repeated, and the object around it is named.
func TestF43IssuesOfTheGateNameTheirPlace(t *testing.T) {
	e := newEdge(t)
	send := func(id, body, query string) contract.InputValidationIssue {
		i := slices.IndexFunc(calls(t), func(c call) bool { return c.OperationID == id })
		r := calls(t)[i].Request([]byte(body))
		r.URL.RawQuery = query
		p := refused(t, e.send(r), 400, belgifPrefix+"badRequest")
		for _, more := range p.Issues[1:] { // what the body lacks besides
			if more.Type != issueRequired && more.Type != issueExactlyOne || more.Name == p.Issues[0].Name {
				t.Fatalf("%s: %+v", body, p.Issues)
			}
		}
		return p.Issues[0]
	}
	const grant = `{"consumer":"0671516647","purpose":"p","documentTypes":["t"],`
	for _, tc := range []struct {
		id, body, query string
		in              contract.IssueLocation
		name, title     string
	}{
		{"issueDocument", `{"unknownMember":1}`, "", "body", "/unknownMember", "Unknown member"},
		{"grantConsent", grant + `"limits":{"useCount":1}}`, "", "body", "/limits/useCount", "Unknown member"},
		{"grantConsent", grant + `"limits":{"` + canary + `":1}}`, "", "body", "/limits", "Unknown member"},
		{"issueDocument", `{"` + canary + `":1}`, "", "body", wholeBody, "Unknown member"},
		{"issueDocument", `{"Jan Janssens":1}`, "", "body", wholeBody, "Unknown member"},
		{"issueDocument", `{"a/b~c":1}`, "", "body", wholeBody, "Unknown member"},
		{"issueDocument", `{"` + strings.Repeat("a", 41) + `":1}`, "", "body", wholeBody, "Unknown member"},
		{"issueDocument", `[]`, "", "body", wholeBody, "A value of another kind is expected"},
		{"issueDocument", `[`, "", "body", wholeBody, "The body is not the JSON this call takes"},
		{"issueDocument", `{`, "", "body", wholeBody, "The body is not the JSON this call takes"},
		{"issueDocument", ``, "", "body", wholeBody, "The body is missing"},
		{"issueDocument", `{}`, "", "body", "/ssin", "Required input is missing"},
		{"issueDocument", `{"ssin":"53480200725"}`, "", "body", "/ssin", "The check digits are wrong"},
		{"issueDocument", `{"ssin":"534802007"}`, "", "body", "/ssin", "The value does not have its form"},
		{"issueDocument", `{"ssin":"53.48.02-007.24"}`, "", "body", "/ssin", "The value does not have its form"},
		{"grantConsent", `{"consumer":"0671516648"}`, "", "body", "/consumer", "The check digits are wrong"},
		{"grantConsent", `{"consumer":"BE0671516647"}`, "", "body", "/consumer", "The value does not have its form"},
		{"accessDocument", `{"purpose":"p"}`, "", "body", wholeBody, "Exactly one of these is expected, whole"},
		{"queryDocuments", `{}`, "pagesize=1", "query", "pagesize", "Unknown query parameter"},
		{"queryDocuments", `{}`, canary + "=1", "query", wholeQuery, "Unknown query parameter"},
		{"queryDocuments", `{}`, "lang=%zz", "query", wholeQuery, "The query cannot be read"},
	} {
		if got := send(tc.id, tc.body, tc.query); got.In != tc.in || got.Name != tc.name || got.Title != tc.title {
			t.Errorf("%s %s?%s: %+v", tc.id, tc.body, tc.query, got)
		}
	}
	got := send("accessDocument", `{"purpose":"p"}`, "")
	if len(got.Inputs) != 3 || got.Inputs[0].Name != "/consentId" {
		t.Errorf("inputs %+v", got.Inputs)
	}
	if got := send("issueDocument", `{"x":1}`, ""); !strings.Contains(got.Detail, "sourceReference, ssin") {
		t.Errorf("the members that there are: %q", got.Detail)
	}
	if got := send("queryDocuments", `{}`, "x=1"); got.Detail != "the parameters here are after, pageSize" {
		t.Errorf("the parameters that there are: %q", got.Detail)
	}
}

// eachShape calls do for every shape that a request of the contract can hold.
func eachShape(do func(operation, name string, s *shape)) {
	for _, o := range operations() {
		var walk func(name string, s *shape)
		walk = func(name string, s *shape) {
			do(o.id, name, s)
			for below, m := range s.members {
				walk(name+"/"+below, m.shape)
			}
			if s.item != nil {
				walk(name+"/0", s.item)
			}
		}
		if o.body != nil {
			walk("", o.body)
		}
		for name, p := range o.query {
			walk(name, p.shape)
		}
		for _, p := range slices.Concat(o.path, o.header) {
			walk(p.name, p.shape)
		}
	}
}

// A value that is refused for its form, its length, its range or its kind is told what is
// expected, for everything that the contract takes.
func TestF25EveryFormIsNamed(t *testing.T) {
	forms, patterns, examples := 0, 0, 0
	eachShape(func(operation, name string, s *shape) {
		wants := s.expected()
		if wants == "" || strings.HasSuffix(wants, " ") {
			t.Errorf("%s %s: %q", operation, name, wants)
		}
		if s.kind != text {
			return
		}
		for _, bad := range []string{"\u00a4", "", "\x00", strings.Repeat("x", 20001), "2026-11-27T15:40:00", "2026-02-30"} {
			if v := s.judge(bad); v != nil && v.detail != wants {
				t.Errorf("%s %s: %q for %.20q, want %q", operation, name, v.detail, bad, wants)
			}
		}
		if s.check != nil || s.pattern != nil {
			if forms++; s.form == "" || !strings.Contains(wants, s.form) || s.judge("\u00a4") == nil && s.judge(" ") == nil {
				t.Errorf("%s %s: its form is not told: %q", operation, name, wants)
			}
		}
		if s.pattern != nil {
			if patterns++; strings.ContainsAny(s.form, `^$[]{}()*+?|\`) {
				t.Errorf("%s %s: its form is told as a pattern and not in words (x-form): %q", operation, name, wants)
			}
		}
		if s.example != "" {
			if examples++; !strings.Contains(wants, s.example) {
				t.Errorf("%s %s: its example is not told: %q", operation, name, wants)
			}
		}
	})
	if forms < 200 || patterns < 50 || examples < 150 {
		t.Errorf("only %d forms, %d patterns, %d examples", forms, patterns, examples)
	}
	e := newEdge(t)
	for query, want := range map[string]string{
		"asOf=2026-11-27T15:40:00": "an RFC 3339 date-time with an offset, such as 2026-03-01T12:00:00Z or 2026-03-01T13:00:00+01:00",
		"validAt=27/11/2026":       "a day of the calendar as yyyy-MM-dd, such as 2026-03-01",
		"lang=it":                  "one of nl, fr, de, en",
	} {
		r := httptest.NewRequest("GET", contract.Base+"/citizens/"+anID+"/wallet?"+query, nil)
		r.Header.Set("Authorization", "Bearer citizen")
		if p := refused(t, e.send(r), 400, belgifPrefix+"badRequest"); p.Issues[0].Detail != want {
			t.Errorf("%s: %q", query, p.Issues[0].Detail)
		}
	}
	for shape, want := range map[*shape]string{
		{kind: text}: "text",
		{kind: text, min: 1, max: 1, bounded: true}:  "text of 1 character",
		{kind: text, max: 9, bounded: true}:          "text of at most 9 characters",
		{kind: array, min: 1}:                        "an array of at least 1 item",
		{kind: array, min: 1, max: 4, bounded: true}: "an array of 1 to 4 items",
		{kind: integer, min: 1, max: 200}:            "a whole number from 1 to 200",
		{kind: boolean}:                              "true or false",
	} {
		if got := shape.expected(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
