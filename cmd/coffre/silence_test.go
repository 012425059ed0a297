package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"coffre/cmd/coffre/bench"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/apitest"
	"coffre/handlers/edge/token"
)

// namesNobody are members of requests that hold an identifier and name neither a person nor
// a thing of one, each with what it is.
var namesNobody = map[string]string{
	"attachments":           "files that the issuer uploaded itself",
	"accessId":              "a filter on the caller's own log",
	"messageId":             "a message in My eBox, which operators see without whom it goes to",
	"eventId":               "an event that the caller's own webhook was told",
	"webhookSubscriptionId": "a webhook of the caller's own organisation; TestOrganisationsSeeToTheirWebhooks names another's",
	"renews":                "a consent of the person whom the same request names; TestRenewingAConsent names another's and none",
	"investigationId":       "an investigation, which names nobody; TestInvestigationsOfOthers names another's and none",
	"entryId":               "an entry of the caller's own log; TestDisputeOfAnAccess names another's and none",
}

// Consumers without a basis for anybody here: one that is registered for nothing, and one
// that may ask for consents, and by law for a purpose that no call names.
const registeredForNothing, mayAsk = "0308357852", "0671516647"

// mayTell are calls by which a caller lawfully learns whether the vault knows a person.
var mayTell = map[string]string{
	"getCitizen " + string(orgB): "an issuer finds whom it issues to, within its quota",
	"getCitizen " + mayAsk:       "a consumer by law finds whom it may ask about, within its quota",
}

// naming is one place of a request that names a person or a thing of one.
type naming struct{ in, name string }

// namings returns all places in a call that name a person or a thing of one, and fails the
// test for an identifier of which nobody has said what it names.
func namings(t *testing.T, c apitest.Call, known holdings) []naming {
	t.Helper()
	var all []naming
	add := func(in, name string, s *openapi3.Schema) {
		if _, named := known[name]; named {
			all = append(all, naming{in, name})
			return
		}
		if s.Format != "uuid" && !strings.HasSuffix(strings.ToLower(name), "ssin") {
			return
		}
		if namesNobody[name] == "" {
			t.Errorf("%s: nobody has said whom %s %q names", c.OperationID, in, name)
		}
	}
	for _, in := range parameter.FindAllStringSubmatch(c.Pattern, -1) {
		add("path", in[1], openapi3.NewUUIDSchema())
	}
	for _, p := range c.Parameters {
		if p.Value.In == "query" {
			add("query", p.Value.Name, p.Value.Schema.Value)
		}
	}
	if c.Schema != nil {
		for name, s := range c.Schema.Value.Properties {
			value := s.Value
			if value.Items != nil {
				value = value.Items.Value
			}
			add("body", name, value)
		}
	}
	slices.SortFunc(all, func(a, b naming) int { return strings.Compare(a.in+a.name, b.in+b.name) })
	return all
}

// subjects are the members of which a request has one: it names its person by it.
var subjects = []string{"ssin", "citizenRef", "citizenId", "documentId"}

// about returns the call's request with one place filled with a value, and in its path the
// identifiers of nothing unless that is the place.
func (n naming) about(t *testing.T, c apitest.Call, value string, nothing holdings) *http.Request {
	t.Helper()
	_, path, _ := strings.Cut(c.Pattern, " ")
	for _, name := range parameter.FindAllStringSubmatch(c.Pattern, -1) {
		id := nothing[name[1]]
		if n.in == "path" && n.name == name[1] {
			id = value
		}
		path = strings.ReplaceAll(path, name[0], id)
	}
	body := c.Body
	switch n.in {
	case "query":
		path += "?" + url.Values{n.name: {value}}.Encode()
	case "body":
		var members map[string]any
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatal(err)
		}
		if _, there := members[n.name]; !there && slices.Contains(subjects, n.name) {
			for _, other := range subjects {
				delete(members, other)
			}
			if n.name == "documentId" {
				delete(members, "documentType") // which the document says
			}
		}
		if c.OperationID == "requestConsent" { // a request that is recorded
			members["purpose"], members["documentTypes"], members["message"] = "recruitment", []string{"diploma"}, "May we see it?"
		}
		if _, there := members["sourceReference"]; there {
			members["sourceReference"] = uuid.NewString() // another document each time
		}
		if c.Schema.Value.Properties[n.name].Value.Items != nil {
			members[n.name] = []string{value}
		} else {
			members[n.name] = value
		}
		var err error
		if body, err = json.Marshal(members); err != nil {
			t.Fatal(err)
		}
	}
	req := httptest.NewRequest(c.Method, path, bytes.NewReader(body))
	req.Header = c.Header.Clone()
	if req.Header.Get("Idempotency-Key") != "" {
		req.Header.Set("Idempotency-Key", uuid.NewString())
	}
	return req
}

// Identifiers, moments and positions are what two answers may differ in that say the same.
var (
	anyID   = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	moments = regexp.MustCompile(`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z`)
)

// whole returns a whole answer but for what differs between any two: status, every header,
// body.
func whole(w *httptest.ResponseRecorder) string {
	var text strings.Builder
	fmt.Fprintln(&text, w.Code)
	for _, name := range slices.Sorted(maps.Keys(w.Header())) {
		for _, value := range w.Header()[name] {
			if name == "Coffre-Position" {
				value = fmt.Sprintf("a position of %d characters", len(value))
			}
			fmt.Fprintf(&text, "%s: %s\n", name, value)
		}
	}
	text.Write(w.Body.Bytes())
	return moments.ReplaceAllString(anyID.ReplaceAllString(text.String(), "ID"), "MOMENT")
}

// whoever has no basis gets, to the byte and in every header, the same answer about a
// known person or thing and about an unknown one, by every place of every operation that
// can name one, the first time and again.
func TestAnswersTellNothingOfWhomTheVaultKnows(t *testing.T) {
	r := newRig(t)
	known := r.settle(t, ssinA, ssinC, "silence-a")
	var named struct{ CitizenRef string }
	r.post(t, grantFor(domain.RoleIssuer, orgA, domain.CitizenID{}), "/citizens/get", `{"ssin":"`+ssinA+`"}`, &named)
	known["ssin"], known["representativeSsin"], known["citizenRef"] = ssinA, ssinA, named.CitizenRef
	known["documents"], known["parents"] = known["documentId"], ssinA
	r.settle(t, ssinB, ssinC, "silence-b")
	other := r.citizen(t, ssinB)
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	strangers := 0
	unknown := func(name string) string {
		if strings.HasSuffix(strings.ToLower(name), "ssin") || name == "parents" {
			strangers++
			return bench.SSIN(5_000_000 + strangers).Reveal()
		}
		return uuid.NewString()
	}
	nothing := holdings{}
	for name := range known {
		nothing[name] = unknown(name)
	}
	callers := map[string][]token.Grant{
		"citizen":  {grantFor(domain.RoleCitizen, "", other)},
		"issuer":   {grantFor(domain.RoleIssuer, orgB, domain.CitizenID{})},
		"consumer": {grantFor(domain.RoleConsumer, registeredForNothing, domain.CitizenID{}), grantFor(domain.RoleConsumer, mayAsk, domain.CitizenID{})},
	}
	judged := map[string]bool{}                // members by which something beyond the gate was asked
	last := map[string]int{"issueDocument": 1} // it makes an issuer know people
	calls := apitest.Calls(t, contract.YAML())
	slices.SortStableFunc(calls, func(a, b apitest.Call) int { return cmp.Compare(last[a.OperationID], last[b.OperationID]) })
	for _, c := range calls {
		var strangers []token.Grant
		for _, role := range c.Roles {
			strangers = append(strangers, callers[role]...)
		}
		if len(strangers) == 0 {
			continue
		}
		for _, n := range namings(t, c, known) {
			for _, caller := range strangers {
				if mayTell[c.OperationID+" "+string(caller.Organisation)] == "" {
					if r.tells(t, c, n, caller, known[n.name], unknown, nothing) {
						judged[n.in+" "+n.name] = true
					}
				}
			}
		}
	}
	for _, place := range []string{"body ssin", "body citizenRef", "body representativeSsin", "body documentId", "body consentId", "path documentId", "path citizenId", "path consentId", "query citizenId", "query mandateId"} {
		if !judged[place] {
			t.Errorf("nothing was asked by %s that the gate let pass", place)
		}
	}
}

// a consumer sees a request to somebody unknown wait exactly as one to a citizen, by
// every way in which it can look, also after the citizen's death.
func TestAWaitingRequestTellsNothing(t *testing.T) {
	r := newRig(t)
	r.settle(t, ssinA, ssinC, "waiting")
	asks := grantFor(domain.RoleConsumer, mayAsk, domain.CitizenID{})
	look := func(when string) {
		t.Helper()
		var seen [2][]string
		for i, ssin := range []string{ssinA, bench.SSIN(6_000_000).Reveal()} {
			var made struct{ ConsentID string }
			w := r.post(t, asks, "/consentRequests", `{"ssin":"`+ssin+`","purpose":"recruitment","documentTypes":["diploma"],"message":"May we?"}`, &made)
			for _, path := range []string{"/consents/" + made.ConsentID, "/consentRequests?pageSize=200", "/consents?state=requested&pageSize=200", "/consents/" + made.ConsentID + "?lang=fr"} {
				req := httptest.NewRequest(http.MethodGet, contract.Base+path, nil)
				req.Header.Set("Coffre-Min-Position", w.Header().Get("Coffre-Position"))
				got := r.ask(req, r.bearer(t, asks))
				text := whole(got)
				if !strings.HasPrefix(text, "200\n") || !strings.Contains(text, `"requested"`) || !strings.Contains(got.Body.String(), made.ConsentID) {
					t.Fatalf("%s: %s is not seen to wait:\n%s", when, path, text)
				}
				if !strings.HasPrefix(path, "/consents/") { // each list has one item more than the last
					var page struct{ Items []json.RawMessage }
					if err := json.Unmarshal(got.Body.Bytes(), &page); err != nil {
						t.Fatal(err)
					}
					text = anyID.ReplaceAllString(moments.ReplaceAllString(string(page.Items[len(page.Items)-1]), "MOMENT"), "ID")
				}
				seen[i] = append(seen[i], text)
			}
		}
		if !slices.Equal(seen[0], seen[1]) {
			t.Errorf("%s:\n known   %s\n unknown %s", when, seen[0], seen[1])
		}
	}
	look("alive")
	r.post(t, grantFor(domain.RoleIssuer, "0308356862", domain.CitizenID{}), "/citizens/reportDeath", `{"ssin":"`+ssinA+`","date":"2026-01-01"}`, nil)
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	var page struct{ Items []struct{ State string } }
	r.read(t, asks, httptest.NewRequest(http.MethodGet, contract.Base+"/consentRequests", nil), &page)
	if len(page.Items) != 2 || page.Items[0] != page.Items[1] {
		t.Errorf("after a death: %+v", page.Items)
	}
	look("after the citizen's death")
}

// tells makes a call twice about what is known and about what is not, and fails the test
// where the answers differ. It reports whether the gate let the call pass.
func (r *rig) tells(t *testing.T, c apitest.Call, n naming, caller token.Grant, known string, unknown func(name string) string, nothing holdings) (judged bool) {
	t.Helper()
	for range 2 {
		of := whole(r.ask(n.about(t, c, known, nothing), r.bearer(t, caller)))
		ofNobody := whole(r.ask(n.about(t, c, unknown(n.name), nothing), r.bearer(t, caller)))
		if of != ofNobody {
			t.Errorf("%s as %s, by %s %s:\n known   %s\n unknown %s", c.OperationID, caller.Role, n.in, n.name, of, ofNobody)
		}
		if c.OperationID == "requestConsent" && caller.Organisation == mayAsk && !strings.HasPrefix(of, "202\n") {
			t.Errorf("no request was recorded:\n%s", of)
		}
		judged = judged || !strings.HasPrefix(of, "400\n")
	}
	return judged
}
