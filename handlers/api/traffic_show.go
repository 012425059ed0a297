package api

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"coffre/domain"
	"coffre/eventstore/traffic"
	"coffre/handlers/contract"
	"coffre/handlers/contract/table"
)

// topOfTraffic is how many items a list has when nobody says.
const topOfTraffic = 5

// nameless is how figures of traffic call what is no operation, and nobody's role.
const nameless = "none"

// sum counts requests by what became of them.
type sum struct{ requests, refused, failed int64 }

func (s *sum) add(c traffic.Count) {
	n := c.Requests()
	s.requests += n
	switch {
	case c.Status >= 500:
		s.failed += n
	case c.Status >= 400:
		s.refused += n
	}
}

// GetTraffic implements GET /traffic.
func (v *Vault) GetTraffic(ctx context.Context, r contract.GetTrafficRequestObject) (contract.GetTrafficResponseObject, error) {
	now := v.Now()
	month := parseMonth(r.Params.Month, now)
	counts, err := v.Traffic.Of(ctx, month, "")
	if err != nil {
		return nil, err
	}
	if r.Params.Format == contract.FigureFormatCsv {
		out, err := trafficCSV(month, counts)
		return contract.GetTraffic200TextCsvResponse{Body: out, ContentLength: int64(out.Len())}, err
	}
	days, err := v.Traffic.Days(ctx, month)
	if err != nil {
		return nil, err
	}
	return contract.GetTraffic200JSONResponse(trafficOf(month, now, counts, days, cmp.Or(r.Params.Top, topOfTraffic))), nil
}

// trafficOf makes lists of counts, each with the most requests first and at most top long.
func trafficOf(month traffic.Month, now time.Time, counts []traffic.Count, days []traffic.Day, top int) contract.Traffic {
	told := contract.Traffic{
		Self: contract.Href(contract.Base + "/traffic"), Month: monthText(month), At: now,
		Days: []contract.TrafficDay{}, Callers: []contract.TrafficCaller{}, Operations: []contract.TrafficOperation{}, Problems: []contract.TrafficProblem{},
	}
	for _, d := range days {
		told.Days = append(told.Days, contract.TrafficDay{Date: d.Date, Requests: d.Requests, Refused: d.Refused, Failed: d.Failed})
	}
	type caller struct {
		role domain.Role
		of   domain.Organisation
	}
	callers, operations, took := map[caller]*sum{}, map[string]*sum{}, map[string][len(traffic.Bounds) + 1]int64{}
	var all sum
	for _, c := range counts {
		all.add(c)
		sumOf(callers, caller{c.Role, c.Organisation}).add(c)
		sumOf(operations, c.Operation).add(c)
		if c.Status < 400 {
			t := took[c.Operation]
			for i, n := range c.Took {
				t[i] += n
			}
			took[c.Operation] = t
			continue
		}
		told.Problems = append(told.Problems, contract.TrafficProblem{
			Role: trafficRole(c.Role), Organization: c.Organisation, Operation: operationName(c.Operation), Status: c.Status, Problem: c.Problem, Requests: c.Requests(),
		})
	}
	told.Requests, told.Refused, told.Failed = all.requests, all.refused, all.failed
	for who, s := range callers {
		told.Callers = append(told.Callers, contract.TrafficCaller{Role: trafficRole(who.role), Organization: who.of, Requests: s.requests, Refused: s.refused, Failed: s.failed})
	}
	for operation, s := range operations {
		t := took[operation]
		told.Operations = append(told.Operations, contract.TrafficOperation{
			Operation: operationName(operation), Requests: s.requests, Refused: s.refused, Failed: s.failed, HalfWithin: boundOf(t, 1, 2), MostWithin: boundOf(t, 19, 20),
		})
	}
	slices.SortFunc(told.Callers, func(a, b contract.TrafficCaller) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Organization, b.Organization))
	})
	slices.SortFunc(told.Operations, func(a, b contract.TrafficOperation) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Operation, b.Operation))
	})
	slices.SortStableFunc(told.Problems, func(a, b contract.TrafficProblem) int { return cmp.Compare(b.Requests, a.Requests) })
	told.Callers, told.Operations, told.Problems = first(told.Callers, top), first(told.Operations, top), first(told.Problems, top)
	return told
}

func sumOf[K comparable](sums map[K]*sum, k K) *sum {
	s := sums[k]
	if s == nil {
		s = new(sum)
		sums[k] = s
	}
	return s
}

func first[T any](all []T, top int) []T { return all[:min(len(all), top)] }

// boundOf returns the bound in milliseconds within which a share of requests was answered, 0
// when there are none or it took longer than every bound.
func boundOf(took [len(traffic.Bounds) + 1]int64, share, of int64) int {
	var all, so int64
	for _, n := range took {
		all += n
	}
	if all == 0 {
		return 0
	}
	for i, bound := range traffic.Bounds {
		if so += took[i]; so*of >= all*share {
			return int(bound / time.Millisecond)
		}
	}
	return 0
}

func trafficRole(r domain.Role) contract.TrafficRole {
	return contract.TrafficRole(cmp.Or(string(r), nameless))
}

func operationName(operation string) string { return cmp.Or(operation, nameless) }

// trafficRow is a line of CSV.
type trafficRow struct {
	Month        string       `json:"month" parquet:"month" about:"in Belgium"`
	Role         string       `json:"role" parquet:"role" about:"of callers"`
	Organization table.Digits `json:"organization" parquet:"organization" about:"enterprise number"`
	Operation    string       `json:"operation" parquet:"operation" about:"of the contract"`
	Status       int          `json:"status" parquet:"status" about:"of HTTP"`
	Problem      string       `json:"problem" parquet:"problem" about:"last word of its type"`
	Requests     int          `json:"requests" parquet:"requests" about:"that were answered so"`
	Within10     int          `json:"within10ms" parquet:"within10ms" about:"of them, answered within 10 milliseconds"`
	Within50     int          `json:"within50ms" parquet:"within50ms" about:"within 50, and no sooner"`
	Within250    int          `json:"within250ms" parquet:"within250ms" about:"within 250, and no sooner"`
	Within1000   int          `json:"within1s" parquet:"within1s" about:"within a second, and no sooner"`
	Within5000   int          `json:"within5s" parquet:"within5s" about:"within five seconds, and no sooner"`
	Within30000  int          `json:"within30s" parquet:"within30s" about:"within half a minute, and no sooner"`
	Beyond       int          `json:"longer" parquet:"longer" about:"later"`
}

func trafficCSV(month traffic.Month, counts []traffic.Count) (*bytes.Buffer, error) {
	var out bytes.Buffer
	to := table.New[trafficRow](table.Form{Format: contract.ExportFormatCsv, Name: "traffic"}, &out)
	for _, c := range counts {
		t := c.Took
		row := trafficRow{
			monthText(month), string(trafficRole(c.Role)), table.Digits(c.Organisation), operationName(c.Operation), c.Status, c.Problem, int(c.Requests()),
			int(t[0]), int(t[1]), int(t[2]), int(t[3]), int(t[4]), int(t[5]), int(t[6]),
		}
		if err := to.Write(&row); err != nil {
			return nil, err
		}
	}
	return &out, to.End()
}
