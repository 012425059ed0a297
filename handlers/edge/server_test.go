package edge

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/apitest"
	"coffre/handlers/edge/token"
)

// whole is the real handler over operations that all fail but health.
type whole struct {
	contract.StrictServerInterface
	s *Server
}

func (h whole) GetHealth(ctx context.Context, r contract.GetHealthRequestObject) (contract.GetHealthResponseObject, error) {
	return h.s.GetHealth(ctx, r)
}

func (h whole) GetCondition(ctx context.Context, r contract.GetConditionRequestObject) (contract.GetConditionResponseObject, error) {
	return h.s.GetCondition(ctx, r)
}

func (h whole) GetUsageHeartbeat(ctx context.Context, r contract.GetUsageHeartbeatRequestObject) (contract.GetUsageHeartbeatResponseObject, error) {
	return h.s.GetUsageHeartbeat(ctx, r)
}

func newServer() *Server {
	return &Server{Auth: believing{}, Now: time.Now, NewID: uuid.New, Slog: slog.New(slog.DiscardHandler), ErrorAnswers: faults}
}

// Everything in the contract is served, and everything served is in it or listed.
func TestRouteInventory(t *testing.T) {
	s := newServer()
	s.Metrics = http.NotFoundHandler()
	rt := s.Handler(whole{s: s}).(*routes)
	want := slices.Concat(Patterns(), uncontracted)
	if slices.Sort(want); len(want) < 50 {
		t.Fatalf("only %d routes", len(want))
	}
	got := slices.Clone(rt.served)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("served %v\nwant %v", got, want)
	}
	for _, pattern := range want { // and the mux knows each
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{projectionName}", "wallet", "{reactorName}", "ends").Replace(path)
		for strings.Contains(path, "{") {
			path = path[:strings.Index(path, "{")] + anID + path[strings.Index(path, "}")+1:]
		}
		if _, found := rt.mux.Handler(httptest.NewRequest(method, path, nil)); found != pattern {
			t.Errorf("%s is answered by %q", pattern, found)
		}
	}
}

// Every role on every route: who is not listed is refused, before anything else
// about the request is judged.
func TestRoleMatrix(t *testing.T) {
	e := newEdge(t)
	roles := []string{"issuer", "consumer", "citizen", "auditor", "privacyOfficer", "operator"}
	allowed := 0
	for _, c := range calls(t) {
		listed, _ := c.Extensions["x-roles"].([]any)
		for _, role := range roles {
			r := c.Request(c.Body)
			r.Header.Set("Authorization", "bearer "+role)
			w := e.send(r)
			may := len(listed) == 0 || slices.Contains(listed, any(role))
			if may != (len(e.reached) == 1) {
				t.Errorf("%s as %s: %d, reached %v", c.OperationID, role, w.Code, e.reached)
			}
			if may {
				allowed++
				continue
			}
			refused(t, w, 403, belgifPrefix+"missingPermission")
			r = c.Request([]byte("not even JSON"))
			r.Header.Set("Authorization", "Bearer "+role)
			refused(t, e.send(r), 403, belgifPrefix+"missingPermission")
		}
		if len(listed) == 0 {
			continue
		}
		for header, want := range map[string]string{
			"": "noAccessToken", "Bearer": "invalidAccessToken", "Bearer ": "invalidAccessToken", "Basic aXNzdWVyOng=": "invalidAccessToken",
			"Bearer nobody": "invalidAccessToken", "Bearer representative": "invalidAccessToken", "Bearer system": "invalidAccessToken",
			"Bearer expired": "expiredAccessToken", "Bearer " + strings.Repeat("x", token.LargestMaxBytes+1): "invalidAccessToken",
		} {
			r := c.Request(c.Body)
			r.Header.Del("Authorization")
			if header != "" {
				r.Header.Set("Authorization", header)
			}
			w := e.send(r)
			refused(t, w, 401, belgifPrefix+want)
			if challenge := w.Header().Get("WWW-Authenticate"); !strings.HasPrefix(challenge, `Bearer realm="coffre"`) || strings.Contains(challenge, "invalid_token") != (header != "") {
				t.Errorf("challenge %q to %q", challenge, header)
			}
		}
		r := c.Request(c.Body)
		r.Header.Add("Authorization", "Bearer operator")
		refused(t, e.send(r), 401, belgifPrefix+"invalidAccessToken")
		r = c.Request(c.Body)
		r.Header.Set("Authorization", "Bearer away")
		if w := e.send(r); w.Header().Get("Retry-After") != "7" || w.Code != 503 {
			t.Errorf("an identity provider that is away: %d", w.Code)
		}
		if slices.Contains(listed, any("issuer")) {
			r.Header.Set("Authorization", "Bearer scopeless")
			w := e.send(r)
			if p := refused(t, w, 403, belgifPrefix+"missingScope"); len(p.RequiredScopes) != 1 || !strings.Contains(w.Header().Get("WWW-Authenticate"), "insufficient_scope") {
				t.Errorf("%s: %+v", c.OperationID, p)
			}
		}
	}
	if allowed < 60 {
		t.Errorf("only %d calls allowed", allowed)
	}
}

// What an operation is told of its request, and what it is told when there is none.
func TestCall(t *testing.T) {
	e := newEdge(t)
	var got Call
	e.do = func(_ http.ResponseWriter, r *http.Request) { got = *CallFrom(r.Context()) }
	var seen string
	e.Observe = func(o Observed) { seen = o.Operation + http.StatusText(o.Status) + o.Problem + string(o.Role) }
	c := calls(t)[slices.IndexFunc(calls(t), func(c call) bool { return c.OperationID == "issueDocument" })]
	w := e.send(c.Request(c.Body))
	if got.Role != domain.RoleIssuer || got.Operation != "issueDocument" || got.Trace.String() != w.Header().Get("BelGov-Trace-Id") || string(got.Body) != string(c.Body) || got.Received.IsZero() {
		t.Errorf("call %+v", got)
	}
	if seen != "issueDocumentissuer" { // nothing was written: no status
		t.Errorf("observed %q", seen)
	}
	if outside := CallFrom(t.Context()); outside.Role != "" || outside.Operation != "" {
		t.Errorf("outside a request: %+v", outside)
	}
	for _, bad := range []string{"", "a b", strings.Repeat("a", 37), "a\r\nX: y", "é"} {
		r := httptest.NewRequest("GET", contract.Base+"/health", nil)
		r.Header["Belgov-Trace-Id"] = []string{bad}
		if w := e.send(r); w.Header().Get("BelGov-Related-Trace-Id") != "" {
			t.Errorf("repeated the trace id %q", bad)
		}
	}
}

func get(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Probes and load balancers ask with HEAD: what anybody may GET answers with the same status
// and headers, and nothing else does.
func TestF15ProbesMayAskWithHEAD(t *testing.T) {
	s := newServer()
	s.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metrics")) })
	h := s.Handler(whole{s: s})
	server, operators := httptest.NewServer(h), httptest.NewServer(s.Operators())
	defer server.Close()
	defer operators.Close()
	ask := func(method, path string) (int, http.Header, string) {
		at := server.URL
		if path == "/metrics" {
			at = operators.URL
		}
		r, err := http.NewRequest(method, at+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		answer.Header.Del("BelGov-Trace-Id")
		answer.Header.Del("Date")
		return answer.StatusCode, answer.Header, string(b)
	}
	compare := func(path string) {
		t.Helper()
		want, header, _ := ask("GET", path)
		status, got, body := ask("HEAD", path)
		if want == http.StatusOK && len(header["Content-Length"]) == 0 {
			header.Del("Transfer-Encoding") // of an answer that is sent in pieces
		}
		if status != want || body != "" || !maps.EqualFunc(got, header, slices.Equal) {
			t.Errorf("HEAD %s: %d %v %q, GET: %d %v", path, status, got, body, want, header)
		}
	}
	for _, path := range []string{"/health", "/livez", "/readyz", "/metrics", contract.Base + "/health", contract.Base + "/doc", contract.Base + "/doc/openapi.yaml"} {
		compare(path)
	}
	s.Ready = func(context.Context) error { return errors.New("catching up") }
	if status, _, body := ask("HEAD", "/readyz"); status != 503 || body != "" {
		t.Errorf("HEAD /readyz of one that is not ready: %d %q", status, body)
	}
	for path, allow := range map[string]string{"/livez": "GET, HEAD", contract.Base + "/consents": "GET, POST"} {
		for _, method := range []string{"DELETE", "OPTIONS"} {
			if status, header, _ := ask(method, path); status != 405 || header.Get("Allow") != allow {
				t.Errorf("%s %s: %d, Allow %q", method, path, status, header.Get("Allow"))
			}
		}
	}
	if status, _, _ := ask("HEAD", contract.Base+"/consents"); status != 405 {
		t.Errorf("HEAD of what needs a token: %d", status)
	}
}

// An operation that everybody may call and that tells an organisation more: no token is
// needed, one that comes is judged, and caches are told that the answer depends on it.
func TestWhoeverSaysWhoTheyAreIsBelievedOrRefused(t *testing.T) {
	e := newEdge(t)
	var caller Caller
	e.do = func(_ http.ResponseWriter, r *http.Request) { caller = CallFrom(r.Context()).Caller }
	get := func(path, authorization string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, contract.Base+path, nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		caller = Caller{}
		return e.send(r)
	}
	for authorization, role := range map[string]domain.Role{"": "", "Bearer consumer": domain.RoleConsumer, "Bearer scopeless": domain.RoleIssuer} {
		w := get("/registry", authorization)
		if len(e.reached) != 1 || caller.Role != role || !slices.Contains(w.Header()["Vary"], "Authorization") {
			t.Errorf("%q: reached %v as %q, Vary %q", authorization, e.reached, caller.Role, w.Header()["Vary"])
		}
	}
	for authorization, want := range map[string]string{"Bearer nobody": "invalidAccessToken", "Bearer expired": "expiredAccessToken", "Basic aXNzdWVyOng=": "invalidAccessToken"} {
		refused(t, get("/registry", authorization), 401, belgifPrefix+want)
	}
	if w := get("/signingKeys", "Bearer nobody"); len(e.reached) != 1 || caller.Role != "" || w.Header()["Vary"] != nil {
		t.Errorf("the same for everybody: reached %v as %q, Vary %q", e.reached, caller.Role, w.Header()["Vary"])
	}
}

func TestHealthAndDocumentation(t *testing.T) {
	s, now := newServer(), time.Unix(1000, 0)
	s.Now = func() time.Time { return now }
	status, asked := contract.HealthStatusUP, 0
	s.Health = func(context.Context) contract.HealthStatus { asked++; return status }
	notReady := errors.New("catching up")
	s.Ready = func(context.Context) error { return notReady }
	s.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })
	h := s.Handler(whole{s: s})

	for _, path := range []string{"/health", contract.Base + "/health"} {
		if w := get(h, path); w.Code != 200 || w.Body.String() != `{"status":"UP"}`+"\n" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times within a second", asked)
	}
	status, now = contract.HealthStatusDOWN, now.Add(time.Second)
	if w := get(h, "/health"); w.Code != 503 || !strings.Contains(w.Body.String(), "DOWN") {
		t.Errorf("down: %d %s", w.Code, w.Body)
	}
	status, now = contract.HealthStatusDEGRADED, now.Add(-time.Hour) // the clock went back
	if w := get(h, "/health"); w.Code != 200 || !strings.Contains(w.Body.String(), "DEGRADED") {
		t.Errorf("degraded: %d %s", w.Code, w.Body)
	}
	if w := get(h, "/livez"); w.Code != 200 {
		t.Errorf("livez %d", w.Code)
	}
	refused(t, get(h, "/readyz"), 503, ProblemPrefix+"notReady")
	operators := s.Operators()
	if p := refused(t, get(operators, "/readyz"), 503, ProblemPrefix+"notReady"); !strings.Contains(p.Detail, "catching up") {
		t.Errorf("operators are not told why: %s", p.Detail)
	}
	if w := get(h, "/readyz"); strings.Contains(w.Body.String(), "catching up") {
		t.Errorf("strangers are told why: %s", w.Body)
	}
	notReady = nil
	for _, path := range []string{"/readyz", "/metrics", "/livez", "/health"} {
		if w := get(operators, path); w.Code != 200 && path != "/health" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("operators: %s %d", path, w.Code)
		}
	}
	if get(h, "/readyz").Code != 200 {
		t.Error("not ready")
	}
	for _, path := range []string{"/", "/debug/pprof/", contract.Base + "/registry"} {
		refused(t, get(operators, path), 404, belgifPrefix+"resourceNotFound")
	}
	w := get(h, contract.Base+"/doc/openapi.yaml")
	if w.Code != 200 || w.Body.String() != string(contract.Plain()) || w.Header().Get("Content-Type") != "application/yaml" {
		t.Errorf("contract %d", w.Code)
	}
	if w := get(h, contract.Base+"/doc/openapi.yaml", "If-None-Match", w.Header().Get("ETag")); w.Code != 304 || w.Body.Len() > 0 {
		t.Errorf("contract again %d", w.Code)
	}
	if w := get(h, contract.Base+"/doc"); w.Code != 200 || strings.Count(w.Body.String(), "<tr>") != len(Patterns())+1 {
		t.Errorf("doc %d %s", w.Code, w.Body)
	}
	for _, path := range []string{"/", "/metrics", "/metricsx", contract.Base, contract.Base + "/", contract.Base + "/doc/", "/favicon.ico", "/debug/pprof/"} {
		refused(t, get(h, path), 404, belgifPrefix+"resourceNotFound")
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"} {
		if got := get(h, "/health").Header().Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Through the generated code: parameters and bodies arrive as what they are.
type echo struct {
	contract.StrictServerInterface
	issued  *contract.DocumentIssue
	wallet  contract.GetWalletRequestObject
	log     contract.GetAccessLogRequestObject
	updated contract.UpdateDocumentRequestObject
}

func (e *echo) IssueDocument(_ context.Context, r contract.IssueDocumentRequestObject) (contract.IssueDocumentResponseObject, error) {
	e.issued = r.Body
	return contract.IssueDocument201JSONResponse{
		Body:    contract.DocumentReceipt{Href: "/x", DocumentID: contract.DocumentID{UUID: uuid.MustParse(anID)}, Version: 1, State: contract.DocumentStateValid},
		Headers: contract.IssueDocument201ResponseHeaders{Location: "/x", ETag: `"1"`, CoffrePosition: "AAA"},
	}, nil
}

func (e *echo) GetWallet(_ context.Context, r contract.GetWalletRequestObject) (contract.GetWalletResponseObject, error) {
	e.wallet = r
	return contract.GetWallet200JSONResponse{Self: "/x"}, nil
}

func (e *echo) GetAccessLog(_ context.Context, r contract.GetAccessLogRequestObject) (contract.GetAccessLogResponseObject, error) {
	e.log = r
	return nil, domain.NewError(domain.NotFound, "x", "y")
}

func (e *echo) UpdateDocument(_ context.Context, r contract.UpdateDocumentRequestObject) (contract.UpdateDocumentResponseObject, error) {
	e.updated = r
	return nil, errors.New("fault")
}

func TestGeneratedCodeBehindTheGate(t *testing.T) {
	e := &echo{}
	h := newServer().Handler(e)
	all := calls(t)
	pick := func(id string) call {
		return all[slices.IndexFunc(all, func(c call) bool { return c.OperationID == id })]
	}
	do := func(r *http.Request) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	w := do(pick("issueDocument").Request(pick("issueDocument").Body))
	if w.Code != 201 || w.Header().Get("ETag") != `"1"` || w.Header().Get("Location") != "/x" || w.Header().Get("Coffre-Position") != "AAA" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if got := w.Body.String(); got != `{"documentId":"`+anID+`","href":"/x","state":"valid","version":1}`+"\n" {
		t.Errorf("answer %s", got)
	}
	if e.issued.SSIN.Reveal() != "53480200724" || e.issued.ValidFrom != "2026-03-01" || string(e.issued.Content) != `{"birthDate":"1953-08-02","name":"An Example"}` {
		t.Errorf("issued %+v", e.issued)
	}
	r := pick("getWallet").Request(nil)
	r.URL.RawQuery = "asOf=2026-01-01T00%3A00%3A00%2B01%3A00&validAt=2026-02-28&lang=de"
	r.Header.Set("Coffre-Min-Position", "AAB")
	if w := do(r); w.Code != 200 || w.Body.String() != `{"citizenId":"00000000-0000-0000-0000-000000000000","items":[],"self":"/x"}`+"\n" {
		t.Errorf("wallet %d %s", w.Code, w.Body)
	}
	if p := e.wallet.Params; e.wallet.CitizenID.String() != anID || p.AsOf.UTC() != time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC) || p.ValidAt != "2026-02-28" || p.Lang != "de" || p.CoffreMinPosition != "AAB" {
		t.Errorf("wallet %+v", e.wallet)
	}
	r = pick("getAccessLog").Request(nil)
	r.URL.RawQuery = "documentType=a&documentType=b&organization=0206731645&pageSize=7&accessId=" + anID
	refused(t, do(r), 404, belgifPrefix+"resourceNotFound")
	if p := e.log.Params; !slices.Equal(p.DocumentType, []domain.DocumentType{"a", "b"}) || p.Organization[0] != "0206731645" || p.PageSize != 7 || p.AccessID.String() != anID {
		t.Errorf("access log %+v", p)
	}
	refused(t, do(pick("updateDocument").Request(pick("updateDocument").Body)), 500, belgifPrefix+"internalServerError")
	if p := e.updated; p.Params.IfMatch != `"1"` || p.Params.IdempotencyKey.String() != anID || p.DocumentID.String() != anID || p.Body.EffectiveFrom != "2026-04-01" {
		t.Errorf("updated %+v", p)
	}
}

// Whatever goes wrong at the edge, the answer is what the contract says.
func TestEdgeAnswersAreInTheContract(t *testing.T) {
	s := newServer()
	v := apitest.Validating(t, contract.YAML(), s.Handler(whole{s: s}))
	for _, c := range calls(t) {
		for _, bearer := range []string{"", "nobody", "expired", "away", "scopeless", c.Header.Get("Authorization")} {
			for _, body := range [][]byte{c.Body, []byte("x")} {
				if body == nil {
					continue
				}
				r := c.Request(body)
				r.Header.Set("Authorization", "Bearer "+strings.TrimPrefix(bearer, "Bearer "))
				v.ServeHTTP(httptest.NewRecorder(), r)
			}
		}
		v.ServeHTTP(httptest.NewRecorder(), c.Request(c.Body)) // fails inside, but for health
		want := 500
		if c.OperationID == "getHealth" || c.OperationID == "getCondition" || c.OperationID == "getUsageHeartbeat" {
			want = 200
		}
		if v.Seen(c.OperationID)[want] == 0 {
			t.Errorf("%s: %v", c.OperationID, v.Seen(c.OperationID))
		}
	}
}

// The query decides, then Accept-Language, then Dutch.
func TestLanguage(t *testing.T) {
	e := newEdge(t)
	var got domain.Language
	e.do = func(_ http.ResponseWriter, r *http.Request) { got = CallFrom(r.Context()).Language }
	for _, tc := range []struct{ query, header, want string }{
		{"", "", "nl"}, {"", "fr-BE", "fr"}, {"", "it, de-BE;q=0.7, fr;q=0.5", "de"}, {"", "fr;q=0.1,en ; q=0.9", "en"}, {"", "FR-be;Q=0.9,en;Q=0.1", "fr"}, {"", "*", "nl"},
		{"lang=de", "fr", "de"}, {"", "fr;q=2,en;q=x", "nl"}, {"", "fr;q=0", "nl"}, {"", strings.Repeat("x,", 1000) + "EN", "en"}, {"", ";;;,,", "nl"},
	} {
		r := httptest.NewRequest("GET", contract.Base+"/citizens/"+anID+"/wallet?"+tc.query, nil)
		r.Header.Set("Authorization", "Bearer citizen")
		if tc.header != "" {
			r.Header.Set("Accept-Language", tc.header)
		}
		if w := e.send(r); string(got) != tc.want || w.Header().Get("Content-Language") != tc.want || w.Header().Get("Vary") != "Accept-Language" {
			t.Errorf("%+v: %q %v", tc, got, w.Header())
		}
	}
	e.do = func(w http.ResponseWriter, r *http.Request) { e.problem(w, r, ErrNoResource) }
	r := httptest.NewRequest("GET", contract.Base+"/citizens/"+anID+"/wallet", nil)
	r.Header.Set("Authorization", "Bearer citizen")
	if w := e.send(r); w.Header().Get("Content-Language") != "" {
		t.Error("a problem is in English")
	}
	if got := operations()["POST "+contract.Base+"/registry"].maxBody; got != 4<<20 {
		t.Errorf("x-max-body-bytes is %d", got)
	}
}

// BenchmarkEdge is what the edge costs a POST: routes, gate, decoding, answer.
func BenchmarkEdge(b *testing.B) {
	h, all := newServer().Handler(&echo{}), calls(b)
	c := all[slices.IndexFunc(all, func(c call) bool { return c.OperationID == "issueDocument" })]
	body := []byte(strings.Replace(string(c.Body), "An Example", strings.Repeat("An Example ", 80), 1))
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, c.Request(body)); w.Code != http.StatusCreated {
			b.Fatal(w.Code)
		}
	}
}
