package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/domaintest"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

func (s served) GetUsageHeartbeat(ctx context.Context, r contract.GetUsageHeartbeatRequestObject) (contract.GetUsageHeartbeatResponseObject, error) {
	return s.server.GetUsageHeartbeat(ctx, r)
}

// trackerRouter returns the routes of the data tracker's own contract; without the shared data
// there is none, and nothing is compared.
func trackerRouter(t *testing.T) routers.Router {
	t.Helper()
	path, ok := domaintest.SharedData(t, "estonia/dumonitor-openapi.yaml")
	if !ok {
		return nil
	}
	doc, err := openapi3.NewLoader().LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return router
}

// portal is a portal that speaks the data tracker's protocol, with the token of one citizen.
type portal struct {
	t      *testing.T
	tv     *testVault
	router routers.Router
	who    edge.Caller
	number string // of the citizen who is logged in
}

// ask sends a request of the protocol, holds request and answer against its contract, and
// returns the status and the answer.
func (p portal) ask(path string, query url.Values, answer any) int {
	p.t.Helper()
	e := &edge.Server{Auth: oneCaller{p.who}, Now: p.tv.Clock.Now, NewID: uuid.New, Slog: p.tv.Slog, ErrorAnswers: acting.ErrorAnswers, Admit: p.tv.Admit}
	r := httptest.NewRequest(http.MethodGet, contract.Base+"/dataTracker"+path+"?"+query.Encode(), nil)
	r.Header.Set("Authorization", "Bearer x")
	r.Header.Set("X-Road-UserId", p.number)
	r.Header.Set("Accept-Language", "en")
	w := httptest.NewRecorder()
	e.Handler(served{p.tv.Vault, e}).ServeHTTP(w, r)
	if w.Code == http.StatusOK && p.router != nil {
		p.conforms(path, query, w)
	}
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), answer); err != nil {
			p.t.Fatal(err)
		}
	}
	return w.Code
}

func (p portal) conforms(path string, query url.Values, w *httptest.ResponseRecorder) {
	p.t.Helper()
	r := httptest.NewRequest(http.MethodGet, path+"?"+query.Encode(), nil)
	r.Header.Set("X-Road-UserId", p.number)
	route, parameters, err := p.router.FindRoute(r)
	if err != nil {
		p.t.Fatal(err)
	}
	asked := &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route}
	if err := openapi3filter.ValidateRequest(p.t.Context(), asked); err != nil {
		p.t.Fatal(err)
	}
	err = openapi3filter.ValidateResponse(p.t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: asked, Status: w.Code, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		p.t.Errorf("%s answers against the data tracker's contract: %v", path, err)
	}
}

func userCodes(n contract.SSIN) string { return "BE" + n.Reveal() }

// A portal of the Estonian kind shows the access log by its own contract: newest first, with
// the number of all, for the citizen and for a child; refusals, on which nothing was handed on,
// are not usage.
func TestFindUsageIsTheAccessLog(t *testing.T) {
	tv := newVault(t)
	router := trackerRouter(t)
	home := tv.household(t, 1)
	tv.childCard(t, child(2), 1)
	ana := tv.person(t, 1)
	for range 3 {
		tv.Clock.Advance(time.Hour)
		if _, err := tv.read(t, consumer(flanders), home, uuid.New(), allowance); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tv.read(t, consumer(economy), home, uuid.New(), allowance); err == nil {
		t.Fatal("it was read")
	}
	tv.waitIdle(t)
	p := portal{t, tv, router, citizenCaller(ana), userCodes(ssin(1))}
	own := url.Values{"userCode": {p.number}}

	var all contract.UsagesFound
	if code := p.ask("/v2/findUsage", own, &all); code != 200 || all.TotalUsages != 3 || len(all.Usages) != 3 {
		t.Fatalf("%d %+v", code, all)
	}
	u := all.Usages[0]
	if !u.Logtime.Equal(tv.Clock.Now()) || u.ReceiverCode != string(flanders) || u.ReceiverName == "" || u.ReceiverName == u.ReceiverCode || u.ReceiverSystem != "School allowance on enrolment" || u.Action != "a document; Household composition; School allowance; Public task" {
		t.Errorf("usage %+v", u)
	}
	for i := 1; i < 3; i++ {
		if !all.Usages[i].Logtime.Before(all.Usages[i-1].Logtime) {
			t.Error("not newest first")
		}
	}
	part := url.Values{"userCode": {ssin(1).Reveal()}, "offset": {"1"}, "limit": {"1"}}
	var one contract.UsagesFound
	if code := p.ask("/v2/findUsage", part, &one); code != 200 || one.TotalUsages != 3 || len(one.Usages) != 1 || !one.Usages[0].Logtime.Equal(all.Usages[1].Logtime) {
		t.Errorf("offset 1, limit 1: %d %+v", code, one)
	}
	none := url.Values{"userCode": {p.number}, "limit": {"0"}}
	if code := p.ask("/v2/findUsage", none, &one); code != 200 || one.TotalUsages != 3 || len(one.Usages) != 0 {
		t.Errorf("limit 0: %d %+v", code, one)
	}
	period := url.Values{"userCode": {p.number}, "periodStart": {all.Usages[1].Logtime.Format(time.RFC3339Nano)}, "periodEnd": {all.Usages[0].Logtime.Format(time.RFC3339Nano)}}
	if code := p.ask("/v2/findUsage", period, &one); code != 200 || one.TotalUsages != 1 {
		t.Errorf("a period: %d %+v", code, one)
	}
	var since contract.UsagePeriod
	if code := p.ask("/v2/usagePeriod", nil, &since); code != 200 || since.PeriodStart.IsZero() || since.PeriodStart.After(all.Usages[2].Logtime) {
		t.Errorf("period %d %+v", code, since)
	}
	var beat contract.UsageHeartbeat
	if code := p.ask("/v2/heartbeat", nil, &beat); code != 200 || beat.Status != contract.HeartbeatStatusOK {
		t.Errorf("heartbeat %d %+v", code, beat)
	}

	before := len(recorded[any](t, tv))
	if code := p.ask("/v2/findUsage", url.Values{"userCode": {userCodes(ssin(child(2)))}}, &one); code != 200 {
		t.Errorf("a parent about their child: %d", code)
	}
	tv.waitIdle(t)
	if len(recorded[any](t, tv)) == before {
		t.Error("A-1 a representative's reading is not on record")
	}
}

// somebody else's number is no resource, whether the vault knows it or not, and so is a
// number of the logged in that is not the token's.
func TestFindUsageTellsNothingOfOthers(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.household(t, 3)
	ana := tv.person(t, 1)
	mine, known, unknown := userCodes(ssin(1)), userCodes(ssin(3)), userCodes(ssin(4))
	for _, tc := range []struct {
		who          edge.Caller
		number, code string
		want         int
	}{
		{citizenCaller(ana), mine, known, 404}, {citizenCaller(ana), mine, unknown, 404},
		{citizenCaller(ana), known, known, 404}, {citizenCaller(ana), known, mine, 404}, {citizenCaller(ana), unknown, mine, 404},
		{citizenCaller(domain.CitizenID{}), unknown, unknown, 200}, {citizenCaller(domain.CitizenID{}), unknown, known, 404}, {citizenCaller(domain.CitizenID{}), unknown, userCodes(ssin(5)), 404},
		{officer, mine, mine, 403}, {consumer(flanders), mine, mine, 403},
		{citizenCaller(ana), mine, "EE12345678901", 400}, {citizenCaller(ana), mine, "BE12345678901", 400}, {citizenCaller(ana), "", mine, 400},
	} {
		var got contract.UsagesFound
		p := portal{t, tv, nil, tc.who, tc.number}
		if code := p.ask("/v2/findUsage", url.Values{"userCode": {tc.code}}, &got); code != tc.want || got.TotalUsages != 0 {
			t.Errorf("%s as %s: %d %+v", tc.code, tc.number, code, got)
		}
	}
}
