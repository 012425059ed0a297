package api

import (
	"encoding/csv"
	"io"
	"strings"
	"testing"
	"time"

	"coffre/domain"
	"coffre/eventstore/traffic"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// somePrices are those of 2026: a month costs ten euros, an access one and a quarter cents.
const somePrices = `{"currency":"EUR","lists":[
	{"effectiveFrom":"2026-01-01","monthly":"10","calls":{"accessDocument":"0.0125"},"other":"0.001"},
	{"effectiveFrom":"2026-12-01","other":"0"}]}`

// monthOfTraffic returns a vault whose traffic of June 2026 is known.
func monthOfTraffic(t *testing.T, prices string) *testVault {
	t.Helper()
	tv := newVault(t)
	if prices != "" {
		p, err := ParsePrices([]byte(prices))
		if err != nil {
			t.Fatal(err)
		}
		tv.restart(func(s *settings) { s.Prices = p })
	}
	for _, c := range []struct {
		n         int
		role      domain.Role
		of        domain.Organisation
		operation string
		status    int
		problem   string
		took      time.Duration
	}{
		{7, domain.RoleConsumer, railways, "accessDocument", 200, "", 20 * time.Millisecond},
		{3, domain.RoleConsumer, railways, "accessDocument", 403, "noBasis", 600 * time.Millisecond},
		{2, domain.RoleIssuer, railways, "issueDocument", 201, "", time.Millisecond},
		{1, domain.RoleConsumer, flanders, "queryEvidence", 200, "", 2 * time.Second},
		{1, domain.RoleConsumer, flanders, "queryEvidence", 503, "busy", time.Millisecond},
		{20, domain.RoleCitizen, "", "getWallet", 200, "", time.Millisecond},
		{1, domain.RoleCitizen, "", "getWallet", 200, "", time.Minute},
		{1, "", "", "", 404, "resourceNotFound", time.Millisecond},
	} {
		for range c.n {
			tv.Traffic.Count(traffic.Request{At: noon, Took: c.took, Role: c.role, Organisation: c.of, Operation: c.operation, Status: c.status, Problem: c.problem})
		}
	}
	if err := tv.Traffic.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return tv
}

func (tv *testVault) usage(t *testing.T, who edge.Caller, p contract.GetMonthlyUsageParams) (contract.MonthlyUsage, [][]string) {
	t.Helper()
	ctx := tv.as(t, who, "getMonthlyUsage", nil)
	answer, err := tv.GetMonthlyUsage(ctx, contract.GetMonthlyUsageRequestObject{Params: p})
	if err != nil {
		t.Fatal(err)
	}
	w := writeAnswer(t, ctx, answer.VisitGetMonthlyUsageResponse)
	if p.Format != contract.FigureFormatCsv {
		return contract.MonthlyUsage(answer.(contract.GetMonthlyUsage200JSONResponse)), nil
	}
	lines, err := csv.NewReader(io.Reader(w.Body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return contract.MonthlyUsage{}, lines
}

// Traffic tells who called most, what was called most and how fast it was, and where it failed.
func TestTraffic(t *testing.T) {
	tv := monthOfTraffic(t, "")
	ask := func(p contract.GetTrafficParams) contract.GetTrafficResponseObject {
		t.Helper()
		ctx := tv.as(t, operator, "getTraffic", nil)
		answer, err := tv.GetTraffic(ctx, contract.GetTrafficRequestObject{Params: p})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	got := contract.Traffic(ask(contract.GetTrafficParams{}).(contract.GetTraffic200JSONResponse))
	if got.Month != "2026-06" || got.Requests != 36 || got.Refused != 4 || got.Failed != 1 || len(got.Days) != 1 || got.Days[0] != (contract.TrafficDay{Date: "2026-06-15", Requests: 36, Refused: 4, Failed: 1}) {
		t.Errorf("%+v", got)
	}
	if len(got.Callers) != 5 || got.Callers[0] != (contract.TrafficCaller{Role: "citizen", Requests: 21}) || got.Callers[1] != (contract.TrafficCaller{Role: "consumer", Organization: railways, Requests: 10, Refused: 3}) {
		t.Errorf("callers %+v", got.Callers)
	}
	if want := (contract.TrafficOperation{Operation: "getWallet", Requests: 21, HalfWithin: 10, MostWithin: 10}); got.Operations[0] != want {
		t.Errorf("operations %+v", got.Operations)
	}
	if want := (contract.TrafficOperation{Operation: "accessDocument", Requests: 10, Refused: 3, HalfWithin: 50, MostWithin: 50}); got.Operations[1] != want {
		t.Errorf("operations %+v", got.Operations)
	}
	if want := (contract.TrafficProblem{Role: "consumer", Organization: railways, Operation: "accessDocument", Status: 403, Problem: "noBasis", Requests: 3}); got.Problems[0] != want || len(got.Problems) != 3 {
		t.Errorf("problems %+v", got.Problems)
	}
	if top := contract.Traffic(ask(contract.GetTrafficParams{Top: 1, Month: "2026-06"}).(contract.GetTraffic200JSONResponse)); len(top.Callers)+len(top.Operations)+len(top.Problems) != 3 || top.Requests != 36 {
		t.Errorf("%+v", top)
	}
	if none := contract.Traffic(ask(contract.GetTrafficParams{Month: "2026-05"}).(contract.GetTraffic200JSONResponse)); none.Requests != 0 || none.Month != "2026-05" {
		t.Errorf("%+v", none)
	}
	lines, err := csv.NewReader(ask(contract.GetTrafficParams{Format: contract.FigureFormatCsv}).(contract.GetTraffic200TextCsvResponse).Body).ReadAll()
	if err != nil || len(lines) != 8 || strings.Join(lines[4][:7], " ") != "2026-06 consumer "+string(railways)+" accessDocument 403 noBasis 3" {
		t.Errorf("%v: %q", err, lines)
	}
}

// What succeeded costs what the list in force on the first of the month says; what was refused
// costs nothing, and neither does a month without a call.
func TestUsageHasItsPrice(t *testing.T) {
	tv := monthOfTraffic(t, somePrices)
	got, _ := tv.usage(t, operator, contract.GetMonthlyUsageParams{})
	if got.Currency != "EUR" || got.PricesFrom != "2026-01-01" || len(got.Organizations) != 2 {
		t.Fatalf("%+v", got)
	}
	if o := got.Organizations[0]; o.Organization != railways || o.Calls != 9 || o.Refused != 3 || o.Monthly != "10.00" || o.Costs != "10.09" { // 10 + 7 × 0.0125 + 2 × 0.001 = 10.0895
		t.Errorf("%+v", o)
	}
	if l := got.Organizations[0].Lines[0]; l != (contract.UsageLine{Role: "consumer", Operation: "accessDocument", Calls: 7, Refused: 3, Price: "0.0125", Costs: "0.0875"}) {
		t.Errorf("%+v", l)
	}
	if _, lines := tv.usage(t, operator, contract.GetMonthlyUsageParams{Format: contract.FigureFormatCsv}); len(lines) != 6 || strings.Join(lines[2], " ") != "2026-06 "+string(railways)+" consumer accessDocument 7 3 0.0125 0.0875 EUR" {
		t.Errorf("%q", lines)
	}
	tv.Traffic.Count(traffic.Request{At: noon.AddDate(-1, 0, 0), Role: domain.RoleConsumer, Organisation: flanders, Operation: "queryEvidence", Status: 200})
	tv.Traffic.Count(traffic.Request{At: noon.AddDate(0, 1, 0), Role: domain.RoleConsumer, Organisation: flanders, Operation: "queryEvidence", Status: 403, Problem: "noBasis"})
	if err := tv.Traffic.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if before, _ := tv.usage(t, operator, contract.GetMonthlyUsageParams{Month: "2025-06"}); before.Currency != "" || before.Organizations[0].Costs != "" {
		t.Errorf("before the first list: %+v", before)
	}
	if refused, _ := tv.usage(t, operator, contract.GetMonthlyUsageParams{Month: "2026-07"}); refused.Organizations[0].Costs != "0.00" {
		t.Errorf("a month of refusals: %+v", refused)
	}
}

// An organisation sees what it used in the role of its token, and nothing of another.
func TestAnOrganisationSeesItsOwnUsage(t *testing.T) {
	tv := monthOfTraffic(t, "")
	got, _ := tv.usage(t, consumer(railways), contract.GetMonthlyUsageParams{})
	if len(got.Organizations) != 1 || got.Organizations[0].Organization != railways || len(got.Organizations[0].Lines) != 1 || got.Organizations[0].Calls != 7 || got.Organizations[0].Costs != "" {
		t.Errorf("%+v", got)
	}
	if got, _ := tv.usage(t, issuer(flanders), contract.GetMonthlyUsageParams{}); len(got.Organizations) != 0 {
		t.Errorf("%+v", got)
	}
}

// A price list with a mistake is refused by name, and quotes nothing of what stands there.
func TestPricesWithMistakes(t *testing.T) {
	const list = `{"currency":"EUR","lists":[%]}`
	for in, want := range map[string]string{
		`{`:                             "currency and lists",
		`{"currency":"EUR","lists":[]}`: "currency and lists",
		`{"currency":"euro","lists":[{"effectiveFrom":"2026-01-01"}]}`:                                 "three capital letters",
		strings.Replace(list, "%", `{"effectiveFrom":"2026-01-02"}`, 1):                                "first day of a month",
		strings.Replace(list, "%", `{"effectiveFrom":"soon"}`, 1):                                      "first day of a month",
		strings.Replace(list, "%", `{"effectiveFrom":"2026-02-01"},{"effectiveFrom":"2026-01-01"}`, 1): "list 2: effectiveFrom",
		strings.Replace(list, "%", `{"effectiveFrom":"2026-01-01","free":"3"}`, 1):                     "currency and lists",
		strings.Replace(list, "%", `{"effectiveFrom":"2026-01-01","monthly":0.5}`, 1):                  "currency and lists",
		strings.Replace(list, "%", `{"effectiveFrom":"2026-01-01","monthly":"-4711"}`, 1):              "list 1: monthly",
		strings.Replace(list, "%", `{"effectiveFrom":"2026-01-01","other":"0.0000001"}`, 1):            "list 1: other",
		strings.Replace(list, "%", `{"effectiveFrom":"2026-01-01","other":"4711"}`, 1):                 "list 1: other",
		strings.Replace(list, "%", `{"effectiveFrom":"2026-01-01","calls":{"moonWalk":"1"}}`, 1):       "list 1: calls",
	} {
		if p, err := ParsePrices([]byte(in)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "4711") || strings.Contains(err.Error(), "moonWalk") {
			t.Errorf("%s: %+v, %v", in, p, err)
		}
	}
	for text, want := range map[string]string{"0": "0.00", "12": "12.00", "0.5": "0.50", "0.0025": "0.0025", "999.123456": "999.123456"} {
		if a, err := ParseAmount(text); err != nil || a.String() != want {
			t.Errorf("%s is read as %s, %v", text, a, err)
		}
	}
}
