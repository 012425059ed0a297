package apitest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"coffre/handlers/contract"
	"coffre/handlers/edge/apitest"
)

// listener is a testing.TB that notes complaints instead of failing.
type listener struct {
	testing.TB
	said []string
}

func (l *listener) Errorf(format string, args ...any) {
	l.said = append(l.said, fmt.Sprintf(format, args...))
}

const receipt = `{"href":"/x","consentId":"` + apitest.ID + `","state":"withdrawn"}`

// Each way to break the contract is complained about, and keeping it is not.
func TestValidatingComplains(t *testing.T) {
	var withdraw, list apitest.Call
	calls := apitest.Calls(t, contract.YAML())
	for _, c := range calls {
		switch c.OperationID {
		case "withdrawConsent":
			withdraw = c
		case "listConsents":
			list = c
		}
	}
	if len(calls) < 48 || len(withdraw.Roles) != 1 {
		t.Fatalf("%d calls", len(calls))
	}
	answers := func(status int, media, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.Header().Set("BelGov-Trace-Id", apitest.ID)
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	const plain, problem = "application/json", "application/problem+json"
	for name, tc := range map[string]struct {
		call     apitest.Call
		h        http.HandlerFunc
		query    string
		complain string
	}{
		"good":                     {withdraw, answers(200, plain, receipt, "Coffre-Position", "AAA"), "", ""},
		"good page":                {list, answers(200, plain, `{"self":"/x","items":[]}`), "", ""},
		"good problem":             {withdraw, answers(409, problem, `{"type":"urn:x"}`), "", ""},
		"missing member":           {withdraw, answers(200, plain, `{"href":"/x","state":"withdrawn"}`, "Coffre-Position", "AAA"), "", "consentId"},
		"unknown code":             {withdraw, answers(200, plain, strings.Replace(receipt, "withdrawn", "gone", 1), "Coffre-Position", "AAA"), "", "state"},
		"missing header":           {withdraw, answers(200, plain, receipt), "", "Coffre-Position"},
		"no items":                 {list, answers(200, plain, `{"self":"/x"}`), "", "items"},
		"null items":               {list, answers(200, plain, `{"self":"/x","items":null}`), "", "items"},
		"next with its cursor":     {list, answers(200, plain, `{"self":"/x","items":[],"next":"/x?after=c1","nextCursor":"c1"}`), "", ""},
		"next without its cursor":  {list, answers(200, plain, `{"self":"/x","items":[],"next":"/x?after=c1"}`), "", "nextCursor"},
		"cursor of another page":   {list, answers(200, plain, `{"self":"/x","items":[],"next":"/x?after=c1","nextCursor":"c2"}`), "", "nextCursor"},
		"links in the language":    {list, answers(200, plain, `{"self":"/vault/v1/consents?lang=fr","items":[]}`), "lang=fr", ""},
		"link without language":    {list, answers(200, plain, `{"self":"/vault/v1/consents","items":[]}`), "lang=fr", "instead of"},
		"link in another language": {list, answers(200, plain, `{"self":"/vault/v1/consents?lang=nl","items":[]}`), "lang=fr", "instead of"},
		"language nobody asked":    {list, answers(200, plain, `{"self":"/vault/v1/consents?lang=nl","items":[]}`), "", "instead of"},
		"status not in contract":   {withdraw, answers(201, plain, receipt, "Coffre-Position", "AAA"), "", "201"},
		"other media type":         {withdraw, answers(200, "text/plain", receipt, "Coffre-Position", "AAA"), "", "text/plain"},
		"problem without type":     {withdraw, answers(409, problem, `{}`), "", "type"},
		"error that is no problem": {withdraw, answers(409, plain, `{"type":"urn:x"}`), "", "application/json"},
		"accepted a bad query":     {list, answers(200, plain, `{"self":"/x","items":[]}`), "pageSize=0", "refuses"},
	} {
		l := &listener{TB: t}
		v := apitest.Validating(l, contract.YAML(), tc.h)
		r := tc.call.Request(tc.call.Body)
		r.URL.RawQuery = tc.query
		w := httptest.NewRecorder()
		v.ServeHTTP(w, r)
		if said := strings.Join(l.said, "\n"); (tc.complain == "") != (said == "") || !strings.Contains(said, tc.complain) {
			t.Errorf("%s: said %q", name, said)
		}
		if n := v.Seen(tc.call.OperationID)[w.Code]; n != 1 {
			t.Errorf("%s: seen %d times", name, n)
		}
	}
	l := &listener{TB: t}
	v := apitest.Validating(l, contract.YAML(), answers(200, "text/plain", "alive"))
	v.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/livez", nil))
	if len(l.said) > 0 {
		t.Errorf("a path outside the contract: %v", l.said)
	}
}
