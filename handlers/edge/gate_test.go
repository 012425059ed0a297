package edge

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"coffre/handlers/contract"
)

// The examples of the contract pass the gate, and arrive as they were sent.
func TestGateAdmitsExamples(t *testing.T) {
	e := newEdge(t)
	for _, c := range calls(t) {
		w := e.send(c.Request(c.Body))
		if len(e.reached) != 1 || e.reached[0] != c.OperationID || c.Schema != nil && !bytes.Equal(e.body, c.Body) {
			t.Errorf("%s: %d %s", c.OperationID, w.Code, w.Body)
		}
	}
}

// member is one member of an object, as text.
type rawMember struct{ name, value string }

func members(t testing.TB, body []byte) []rawMember {
	t.Helper()
	var all []rawMember
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	if _, err := dec.ReadToken(); err != nil {
		t.Fatal(err)
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			t.Fatal(err)
		}
		key := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rawMember{key, string(value)})
	}
	return all
}

func compose(all ...rawMember) string {
	var b strings.Builder
	for i, m := range all {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", m.name, m.value)
	}
	return "{" + b.String() + "}"
}

// smuggled returns every way we know to make two readers disagree about a body,
// or to slip something in that the contract does not name (attacks 6 and 7).
func smuggled(t testing.TB, c call) map[string]string {
	t.Helper()
	ms, good := members(t, c.Body), string(c.Body)
	extra := rawMember{"state", `"` + canary + `"`}
	if c.OperationID == "publishRegistry" { // its members are judged by the registry
		return map[string]string{
			"duplicate": `{"a":1,"a":2}`, "duplicate below": `{"a":{"b":1,"\u0062":2}}`, "null": `{"a":null}`,
			"array": `[]`, "trailing": `{}{}`, "number": `{"a":1e9999}`, "deep": `{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`,
			"not utf-8": "{\"a\":\"\xff\"}", "surrogate": `{"a":"\ud800"}`,
		}
	}
	bad := map[string]string{
		"array":              "[" + good + "]",
		"string":             `"` + canary + `"`,
		"number":             canary,
		"cut":                good[:len(good)-1],
		"trailing object":    good + good,
		"trailing brace":     good + "}",
		"trailing text":      good + canary,
		"trailing NUL":       good + "\x00",
		"byte order mark":    "\ufeff" + good,
		"comment":            "/* */" + good,
		"trailing comma":     good[:len(good)-1] + ",}",
		"single quotes":      strings.ReplaceAll(good, `"`, `'`),
		"UTF-16":             "\xff\xfe{\x00}\x00",
		"unknown member":     compose(append(slices.Clone(ms), extra)...),
		"hostile member":     compose(append(slices.Clone(ms), rawMember{canary, "1"})...),
		"__proto__":          compose(append(slices.Clone(ms), rawMember{"__proto__", `{"role":"operator"}`})...),
		"deep unknown":       compose(append(slices.Clone(ms), rawMember{"x", strings.Repeat("[", 10000) + strings.Repeat("]", 10000)})...),
		"invalid UTF-8 name": compose(append(slices.Clone(ms), rawMember{"x", "1"})...)[:1] + "\"\xc3\x28\":1," + good[1:],
	}
	if !operations()[c.Pattern].lenient { // else nothing unknown is said with them
		bad["empty"], bad["blank"], bad["null"] = "", " \n", "null"
	}
	for i, m := range ms {
		others := slices.Delete(slices.Clone(ms), i, i+1)
		with := func(more ...rawMember) string { return compose(append(slices.Clone(others), more...)...) }
		bad["duplicate "+m.name] = with(m, m)
		bad["duplicate, escaped "+m.name] = strings.TrimSuffix(with(m), "}") + fmt.Sprintf(`,"\u%04x%s":%s}`, m.name[0], m.name[1:], m.value)
		bad["upper case "+m.name] = with(rawMember{strings.ToUpper(m.name[:1]) + m.name[1:], m.value})
		bad["both cases "+m.name] = with(m, rawMember{strings.ToUpper(m.name), m.value})
		bad["lone surrogate "+m.name] = with(rawMember{m.name, `"\ud800"`})
		bad["invalid UTF-8 "+m.name] = with(rawMember{m.name, "\"\xff" + canary + "\""})
		bad["NUL "+m.name] = with(rawMember{m.name, `"` + canary + `\u0000"`})
		bad["huge number "+m.name] = with(rawMember{m.name, "1e9999"})
		bad["deep "+m.name] = with(rawMember{m.name, strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000)})
		bad["boolean "+m.name] = with(rawMember{m.name, "true"})
		if m.value[0] != '[' {
			bad["in an array "+m.name] = with(rawMember{m.name, "[" + m.value + "]"})
		}
		if slices.Contains(c.Schema.Value.Required, m.name) {
			bad["without "+m.name] = with()
			bad["null "+m.name] = with(rawMember{m.name, "null"})
		}
		if m.name == "content" {
			bad["null in content"] = with(rawMember{"content", `{"a":[{"b":null}]}`})
			bad["duplicate in content"] = with(rawMember{"content", `{"a":{"b":1,"\u0062":"` + canary + `"}}`})
			bad["huge number in content"] = with(rawMember{"content", `{"a":-1e9999}`})
			bad["invalid UTF-8 in content"] = with(rawMember{"content", "{\"a\":\"\xed\xa0\x80\"}"})
		}
	}
	return bad
}

// Attacks 6 and 7 of the threat list on every route that takes a body.
func TestGateRefusesSmuggling(t *testing.T) {
	e, routes, tried := newEdge(t), 0, 0
	for _, c := range calls(t) {
		if c.Schema == nil { // no body, or a file
			continue
		}
		routes++
		for name, body := range smuggled(t, c) {
			if body == string(c.Body) {
				continue // an example without members cannot be broken so
			}
			tried++
			t.Run(c.OperationID+"/"+name, func(t *testing.T) {
				p := refused(t, e.send(c.Request([]byte(body))), 400, belgifPrefix+"badRequest")
				if len(e.reached) > 0 {
					t.Error("reached the operation")
				}
				if p.Issues[0].In != contract.IssueLocationBody || !strings.Contains(p.Issues[0].Type, ":input-validation:") {
					t.Errorf("issues %+v", p.Issues)
				}
				others := p.Issues[1:]
				if strings.HasPrefix(name, "upper case ") { // the member is unknown, and the one that it should be is missing
					others = slices.DeleteFunc(others, func(i contract.InputValidationIssue) bool {
						return i.Type == issueExactlyOne || i.Type == issueRequired && i.Name == "/"+strings.TrimPrefix(name, "upper case ")
					})
				}
				if len(others) > 0 {
					t.Errorf("more issues than mistakes: %+v", p.Issues)
				}
			})
		}
	}
	if routes < 20 || tried < 800 {
		t.Errorf("only %d bodies on %d routes", tried, routes)
	}
}

// A call without a body refuses one; one with a body wants it whole, plain, and
// not too large.
func TestGateBodies(t *testing.T) {
	e := newEdge(t)
	for _, c := range calls(t) {
		if c.Body == nil {
			if c.Method == "POST" {
				refused(t, e.send(c.Request([]byte(canary))), 400, belgifPrefix+"badRequest")
			}
			continue
		}
		if c.Schema == nil {
			continue
		}
		for _, media := range []string{"", "text/plain", "application/json; charset=utf-16", "application/json; charset=utf-8; q=1", "application/jsonx", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/merge-patch+json"} {
			r := c.Request(c.Body)
			r.Header.Set("Content-Type", media)
			refused(t, e.send(r), 415, ProblemPrefix+"unsupportedMediaType")
		}
		for _, media := range []string{"application/json;charset=UTF-8", "Application/JSON; charset=\"utf-8\""} {
			r := c.Request(c.Body)
			r.Header.Set("Content-Type", media)
			if e.send(r); len(e.reached) != 1 {
				t.Errorf("%s: %s refused", c.OperationID, media)
			}
		}
		r := c.Request(c.Body)
		r.Header.Add("Content-Type", "application/json")
		refused(t, e.send(r), 415, ProblemPrefix)
		r = c.Request(c.Body)
		r.Header.Set("Content-Encoding", "gzip")
		refused(t, e.send(r), 415, ProblemPrefix)

		limit := operations()[c.Pattern].maxBody
		large := bytes.Repeat([]byte{' '}, int(limit)+1)
		copy(large, c.Body)
		for _, known := range []bool{true, false} {
			r = c.Request(large)
			if !known {
				r.ContentLength = -1
			}
			if p := refused(t, e.send(r), 413, belgifPrefix+"payloadTooLarge"); p.Limit != limit {
				t.Errorf("%s: limit %d", c.OperationID, p.Limit)
			}
		}
		if e.send(c.Request(large[:limit])); len(e.reached) != 1 {
			t.Errorf("%s: a body of the allowed size refused", c.OperationID)
		}
		r = c.Request(c.Body)
		r.ContentLength = 1 << 50 // said, not sent; no room is made for it
		refused(t, e.send(r), 413, belgifPrefix+"payloadTooLarge")
		r = c.Request(c.Body)
		r.ContentLength += 5 // the connection ends before the body does
		refused(t, e.send(r), 400, belgifPrefix+"badRequest")
	}
}

// A file comes with one type that there is, with its length, plain, and not too
// large; the gate does not read it.
func TestGateFiles(t *testing.T) {
	e, files := newEdge(t), 0
	for _, c := range calls(t) {
		if c.Body == nil || c.Schema != nil {
			continue
		}
		files++
		for _, media := range []string{"", "text/html", "application/json", "image/svg+xml", "application/zip", "application/pdf; charset=latin1", "application/pdf; a=b", "application/pdf; charset=utf-8; a=b", "*/*"} {
			r := c.Request(c.Body)
			r.Header.Set("Content-Type", media)
			refused(t, e.send(r), 415, ProblemPrefix+"unsupportedMediaType")
		}
		for _, media := range []string{"application/pdf", "Application/PDF", "image/png", "image/jpeg", "application/xml;charset=UTF-8", "application/octet-stream"} {
			r := c.Request(c.Body)
			r.Header.Set("Content-Type", media)
			if e.send(r); len(e.reached) != 1 {
				t.Errorf("%s refused", media)
			}
		}
		r := c.Request(c.Body)
		r.Header.Add("Content-Type", "image/png")
		refused(t, e.send(r), 415, ProblemPrefix)
		r = c.Request(c.Body)
		r.Header.Set("Content-Encoding", "gzip")
		refused(t, e.send(r), 415, ProblemPrefix)
		r = c.Request(c.Body)
		r.ContentLength = -1
		refused(t, e.send(r), 411, ProblemPrefix+"lengthRequired")
		refused(t, e.send(c.Request([]byte{})), 400, belgifPrefix+"badRequest")
		for _, more := range []int64{1, 1 << 40} {
			r = c.Request(c.Body)
			r.ContentLength = 10<<20 + more
			if p := refused(t, e.send(r), 413, belgifPrefix+"payloadTooLarge"); p.Limit != 10<<20 {
				t.Errorf("limit %d", p.Limit)
			}
		}
		r = c.Request(c.Body)
		r.ContentLength = 10 << 20
		if e.send(r); len(e.reached) != 1 {
			t.Error("a file of the allowed size refused")
		}
	}
	if files != 1 {
		t.Errorf("%d calls take a file", files)
	}
}

// Attack 8, and what the guide says of unknown parameters and headers.
func TestGateParameters(t *testing.T) {
	e := newEdge(t)
	for _, c := range calls(t) {
		for name, query := range map[string]string{
			"unknown": "x=" + canary, "unknown ssin": "ssin=" + canary, "other case": "PageSize=1&ASOF=1",
			"bad escape": "lang=%zz", "semicolon": "lang=nl;lang=fr", "only a name": canary,
		} {
			r := c.Request(c.Body)
			r.URL.RawQuery = query
			refused(t, e.send(r), 400, belgifPrefix+"badRequest")
			if len(e.reached) > 0 {
				t.Errorf("%s: %s reached the operation", c.OperationID, name)
			}
		}
		r := c.Request(c.Body)
		r.Header.Set("X-Whatever", canary)
		r.Header.Set("Accept-Language", "fr-BE")
		if e.send(r); len(e.reached) != 1 {
			t.Errorf("%s: an unknown header refused", c.OperationID)
		}
		for _, name := range []string{"Idempotency-Key", "If-Match", "Coffre-Min-Position"} {
			if slices.ContainsFunc(operations()[c.Pattern].header, func(p parameter) bool { return p.name == name }) {
				for _, value := range []string{canary, "", "*", anID + anID, `"` + anID, `W/"1"`, "../" + canary, `W/1`, `w/"1"`, `"1" "2"`, `*, "1"`, ","} {
					if name == "If-Match" && (value == "*" || value == `W/"1"`) {
						continue // TestF11IfMatch
					}
					if name == "Coffre-Min-Position" && !strings.ContainsAny(value, `*"/`) && value != "" {
						continue
					}
					r := c.Request(c.Body)
					r.Header.Set(name, value)
					p := refused(t, e.send(r), 400, belgifPrefix+"badRequest")
					if len(p.Issues) != 1 || p.Issues[0].In != contract.IssueLocationHeader || p.Issues[0].Name != name {
						t.Errorf("%s: issues %+v", c.OperationID, p.Issues)
					}
				}
				r := c.Request(c.Body)
				r.Header.Add(name, "a")
				r.Header.Add(name, "b")
				refused(t, e.send(r), 400, belgifPrefix+"badRequest")
			}
		}
		for _, name := range []string{"Idempotency-Key", "If-Match"} {
			if c.Header.Get(name) != "" {
				r := c.Request(c.Body)
				r.Header.Del(name)
				refused(t, e.send(r), 400, belgifPrefix+"badRequest")
			}
		}
	}
	wallet := contract.Base + "/citizens/" + anID + "/wallet?"
	for target, name := range map[string]string{
		wallet + "lang=nl&lang=fr": "", wallet + "lang=": "lang", wallet + "lang=it": "lang", wallet + "validAt=2026-02-30": "validAt",
		wallet + "asOf=2026-01-01T00:00:00": "asOf", wallet + "asOf=2026-01-01": "asOf", wallet + "asOf=now": "asOf", wallet + "validAt=%00": "validAt",
		contract.Base + "/citizens/" + anID + "/accessLog?pageSize=1&pageSize=9999": "", contract.Base + "/citizens/" + anID + "/accessLog?pageSize=0": "pageSize",
		contract.Base + "/citizens/" + anID + "/accessLog?pageSize=1000000000": "pageSize", contract.Base + "/citizens/" + anID + "/accessLog?pageSize=%2B5": "pageSize",
		contract.Base + "/citizens/" + anID + "/accessLog?pageSize=1e2": "pageSize", contract.Base + "/citizens/" + anID + "/accessLog?after=a'--": "after",
		contract.Base + "/citizens/" + anID + "/accessLog?" + strings.Repeat("documentType=a&", 20) + "documentType=a": "documentType",
		contract.Base + "/citizens/" + anID + "/accessLog?organization=0206731646":                                     "organization",
	} {
		r := httptest.NewRequest("GET", target, nil)
		r.Header.Set("Authorization", "Bearer citizen")
		p := refused(t, e.send(r), 400, belgifPrefix+"badRequest")
		if name != "" && (p.Issues[0].Name != name || p.Issues[0].In != contract.IssueLocationQuery) {
			t.Errorf("%s: issues %+v", target, p.Issues)
		}
	}
	r := httptest.NewRequest("GET", contract.Base+"/citizens/"+anID+"/accessLog?documentType=isiPlusCard&documentType=diploma&pageSize=200&organization=0206731645", nil)
	r.Header.Set("Authorization", "Bearer citizen")
	if w := e.send(r); len(e.reached) != 1 {
		t.Errorf("several values refused: %s", w.Body)
	}
}

// A path is written one way; another way of writing it names nothing.
func TestGatePaths(t *testing.T) {
	e := newEdge(t)
	for _, c := range calls(t) {
		for _, path := range []string{
			c.Path + "/", c.Path + "//", "/" + c.Path, strings.Replace(c.Path, "/v1/", "/v1//", 1), strings.Replace(c.Path, "/v1/", "/v1/./", 1),
			strings.Replace(c.Path, "/v1/", "/v1/x/../", 1), strings.Replace(c.Path, "/v1/", "/V1/", 1), strings.Replace(c.Path, "/v1/", "/v2/", 1),
			strings.Replace(c.Path, "/v1/", "/v1%2f", 1), strings.Replace(c.Path, "vault", "v%61ult", 1), c.Path + ".json", c.Path + "%00",
			strings.Replace(c.Path, anID, nilID, 1) + map[bool]string{false: "/x"}[strings.Contains(c.Path, anID)],
			strings.Replace(c.Path, anID, canary, 1) + map[bool]string{false: "/" + canary}[strings.Contains(c.Path, anID)],
			strings.Replace(c.Path, anID, "urn:uuid:"+anID, 1) + map[bool]string{false: "/x"}[strings.Contains(c.Path, anID)],
		} {
			r := c.Request(c.Body)
			u, err := url.ParseRequestURI(path) // as net/http does
			if err != nil {
				continue
			}
			r.URL, r.RequestURI = u, path
			if strings.HasPrefix(path, "//") {
				u.Host, u.Path = "", path
			}
			w := e.send(r)
			if len(e.reached) > 0 || w.Code == 301 || w.Code == 307 || w.Code == 308 {
				t.Errorf("%s as %s: %d, reached %v", c.OperationID, path, w.Code, e.reached)
			}
			if w.Code == 405 { // another call's path, as /consents/x is getConsent's
				continue
			}
			refused(t, w, 404, belgifPrefix+"resourceNotFound")
		}
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "X"} {
		w := e.send(httptest.NewRequest(method, contract.Base+"/consents", nil))
		if w.Code != 405 || w.Header().Get("Allow") != "GET, POST" || len(e.reached) > 0 {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
	}
	if w := e.send(httptest.NewRequest("GET", contract.Base+"/documents", nil)); w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET /documents: %d", w.Code)
	}
	for _, path := range []string{"/documents/query", "/consents/validate", "/citizens/get"} {
		for _, method := range []string{"GET", "OPTIONS", "DELETE", "HEAD"} {
			w := e.send(httptest.NewRequest(method, contract.Base+path, nil))
			if w.Code != 405 || w.Header().Get("Allow") != "POST" || len(e.reached) > 0 {
				t.Errorf("%s %s: %d, Allow %q, reached %v", method, path, w.Code, w.Header().Get("Allow"), e.reached)
			}
		}
	}
	if w := e.send(httptest.NewRequest("OPTIONS", contract.Base+"/documents/"+anID, nil)); w.Code != 405 || w.Header().Get("Allow") != "GET" {
		t.Errorf("OPTIONS of a document: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	r := httptest.NewRequest("GET", contract.Base+"/health?"+strings.Repeat("a", MaxTarget), nil)
	refused(t, e.send(r), 414, ProblemPrefix+"uriTooLong")
}

// What x-exactly-one-of says: one group whole, nothing of the others.
func TestGateExactlyOne(t *testing.T) {
	e := newEdge(t)
	for _, tc := range []struct {
		id, body string
		ok       bool
	}{
		{"queryEvidence", `{"ssin":"53480200724","procedure":"x","purpose":"p","consentId":"` + anID + `","needs":[{"documentType":"t"}]}`, true},
		{"queryEvidence", `{"citizenRef":"` + anID + `","procedure":"x","purpose":"p","consentId":"` + anID + `","needs":[{"documentType":"t"}]}`, true},
		{"queryEvidence", `{"procedure":"x","purpose":"p","consentId":"` + anID + `","needs":[{"documentType":"t"}]}`, false},
		{"queryEvidence", `{"ssin":"53480200724","citizenRef":"` + anID + `","procedure":"x","purpose":"p","consentId":"` + anID + `","needs":[{"documentType":"t"}]}`, false},
		{"validateConsent", `{"documentId":"` + anID + `","purpose":"p","consentId":"` + anID + `"}`, true},
		{"validateConsent", `{"ssin":"53480200724","documentType":"t","purpose":"p","consentId":"` + anID + `"}`, true},
		{"validateConsent", `{"ssin":"53480200724","purpose":"p","consentId":"` + anID + `"}`, false},
		{"validateConsent", `{"documentId":"` + anID + `","ssin":"53480200724","purpose":"p","consentId":"` + anID + `"}`, false},
	} {
		i := slices.IndexFunc(calls(t), func(c call) bool { return c.OperationID == tc.id })
		w := e.send(calls(t)[i].Request([]byte(tc.body)))
		if (len(e.reached) == 1) != tc.ok {
			t.Errorf("%s: %d %s", tc.body, w.Code, w.Body)
		}
	}
	for body, ok := range map[string]bool{
		`{"purpose":"p","consentId":"` + anID + `"}`:                     true,
		`{"purpose":"p","legalBasis":"06.1e","deliberation":"21 / 008"}`: true,
		`{"purpose":"p"}`:                                                                         false,
		`{"purpose":"p","legalBasis":"06.1e"}`:                                                    false,
		`{"purpose":"p","deliberation":"21/008"}`:                                                 false,
		`{"purpose":"p","consentId":"` + anID + `","legalBasis":"06.1e"}`:                         false,
		`{"purpose":"p","consentId":"` + anID + `","legalBasis":"06.1e","deliberation":"21/008"}`: false,
	} {
		i := slices.IndexFunc(calls(t), func(c call) bool { return c.OperationID == "accessDocument" })
		w := e.send(calls(t)[i].Request([]byte(body)))
		if (len(e.reached) == 1) != ok {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
		if !ok {
			if p := refused(t, w, 400, belgifPrefix+"badRequest"); p.Issues[0].Type != issueExactlyOne || len(p.Issues[0].Inputs) != 3 || p.Issues[0].Detail != "either consentId, or legalBasis with deliberation" {
				t.Errorf("issues %+v", p.Issues)
			}
		}
	}
}

// Errors point at members of the contract by their place.
func TestGatePointsAtTheMember(t *testing.T) {
	e := newEdge(t)
	i := slices.IndexFunc(calls(t), func(c call) bool { return c.OperationID == "issueDocument" })
	c := calls(t)[i]
	for body, want := range map[string]contract.InputValidationIssue{
		strings.Replace(string(c.Body), "53480200724", "53480200725", 1):                   {Type: issueStructure, Name: "/ssin"},
		strings.Replace(string(c.Body), "2026-03-01", "2026-02-29", 1):                     {Type: issueStructure, Name: "/validFrom"},
		strings.Replace(string(c.Body), `"content"`, `"parents":["1"],"content"`, 1):       {Type: issueStructure, Name: "/parents/0"},
		strings.Replace(string(c.Body), `"isi-4711"`, `""`, 1):                             {Type: IssueSchema, Name: "/sourceReference"},
		strings.Replace(string(c.Body), `"isi-4711"`, `"`+strings.Repeat("é", 129)+`"`, 1): {Type: IssueSchema, Name: "/sourceReference"},
	} {
		p := refused(t, e.send(c.Request([]byte(body))), 400, belgifPrefix+"badRequest")
		if got := p.Issues[0]; got.Type != want.Type || got.Name != want.Name {
			t.Errorf("%s: %+v, want %+v", body, got, want)
		}
	}
	if w := e.send(c.Request([]byte(strings.Replace(string(c.Body), `"isi-4711"`, `"`+strings.Repeat("é", 128)+`"`, 1)))); len(e.reached) != 1 {
		t.Errorf("128 characters refused: %s", w.Body)
	}
}

// FuzzGate holds the gate against an independent reading of the contract: what
// it admits, that one admits too. What is refused never reaches an operation.
func FuzzGate(f *testing.F) {
	all := calls(f)
	for _, c := range all {
		if c.Schema != nil {
			f.Add(c.OperationID, c.Body)
		}
	}
	e := newEdge(f)
	f.Fuzz(func(t *testing.T, which string, body []byte) {
		c := all[len(which)%len(all)]
		if i := slices.IndexFunc(all, func(c call) bool { return c.OperationID == which }); i >= 0 {
			c = all[i]
		}
		if c.Schema == nil {
			t.Skip("takes no JSON")
		}
		w := e.send(c.Request(body))
		if len(e.reached) == 0 {
			if w.Code < 400 || w.Code > 499 || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			return
		}
		var value any
		if err := json.Unmarshal(e.body, &value); err != nil { // as the use case sees it, without what is null
			t.Fatalf("admitted what is no JSON: %v", err)
		}
		if err := c.Schema.Value.VisitJSON(value, openapi3.VisitAsRequest(), openapi3.EnableFormatValidation()); err != nil {
			t.Fatalf("admitted what the contract refuses: %v", err)
		}
	})
}

// FuzzQuery feeds query strings to a route with many parameters.
func FuzzQuery(f *testing.F) {
	f.Add("documentType=a&documentType=b&pageSize=3&lang=nl")
	f.Add("pageSize=1&pageSize=2")
	f.Add("after=%ff;x")
	e := newEdge(f)
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest("GET", contract.Base+"/citizens/"+anID+"/accessLog", nil)
		r.URL.RawQuery = query
		r.Header.Set("Authorization", "Bearer citizen")
		w := e.send(r)
		if (len(e.reached) == 1) != (w.Code == http.StatusOK) || w.Code > 499 {
			t.Fatalf("%d, reached %v", w.Code, e.reached)
		}
		if len(e.reached) == 1 {
			for name, values := range r.URL.Query() {
				if op := operations()["GET "+contract.Base+"/citizens/{citizenId}/accessLog"]; !op.query[name].many && len(values) > 1 || op.query[name].shape == nil {
					t.Fatalf("admitted %q", query)
				}
			}
		}
	})
}

func BenchmarkGate(b *testing.B) {
	all := calls(b)
	c := all[slices.IndexFunc(all, func(c call) bool { return c.OperationID == "issueDocument" })]
	body := []byte(strings.Replace(string(c.Body), `"An Example"`, `"`+strings.Repeat("An Example ", 80)+`"`, 1))
	shape := operations()[c.Pattern].body
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if found := shape.read(body); len(found) > 0 {
			b.Fatal(found[0].title)
		}
	}
}
