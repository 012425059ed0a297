package pages

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"coffre/handlers/contract"
	"coffre/handlers/pages/chart"
)

// trafficView is what a month's requests were.
type trafficView struct {
	said       string
	former     string // address of the month before
	names      []string
	days       []chart.Column
	callers    trafficTable
	operations trafficTable
	problems   trafficTable
	used       trafficTable
	priced     string
	live       liveView
}

// trafficTable is rows of words, with a heading for each column.
type trafficTable struct {
	id, caption string
	heads       []string
	rows        [][]string
}

// serveTraffic shows who called what in a month, where it was refused, and what it costs.
func (p *Pages) serveTraffic(w http.ResponseWriter, r *http.Request, s session) error {
	query := url.Values{}
	if month := s.query.Get("month"); month != "" {
		if _, err := time.Parse("2006-01", month); err != nil {
			return errNoPage
		}
		query.Set("month", month)
	}
	found, err := get[contract.Traffic](r.Context(), p, s, "/traffic", query)
	if err != nil {
		return err
	}
	used, err := get[contract.MonthlyUsage](r.Context(), p, s, "/monthlyUsage", query)
	if err != nil {
		return err
	}
	pg := s.page("traffic.title")
	v := trafficView{
		said:  pg.say("traffic.said", pg.month(found.Month), pg.number(found.Requests), pg.number(found.Refused), pg.number(found.Failed)),
		names: []string{pg.say("traffic.answered"), pg.say("traffic.refused"), pg.say("traffic.failed")},
		callers: trafficTable{id: "callers", caption: pg.say("traffic.callers"), heads: []string{
			pg.say("traffic.role"), pg.say("traffic.organisation"), pg.say("traffic.requests"), pg.say("traffic.refused"), pg.say("traffic.failed"),
		}},
		operations: trafficTable{id: "operations", caption: pg.say("traffic.operations"), heads: []string{
			pg.say("traffic.operation"), pg.say("traffic.requests"), pg.say("traffic.refused"), pg.say("traffic.failed"), pg.say("traffic.half"), pg.say("traffic.most"),
		}},
		problems: trafficTable{id: "problems", caption: pg.say("traffic.problems"), heads: []string{
			pg.say("traffic.problem"), pg.say("traffic.operation"), pg.say("traffic.role"), pg.say("traffic.organisation"), pg.say("traffic.requests"),
		}},
		used: trafficTable{id: "used", caption: pg.say("traffic.used"), heads: []string{pg.say("traffic.organisation"), pg.say("traffic.calls"), pg.say("traffic.refused"), pg.say("traffic.costs")}},
	}
	if month, err := time.Parse("2006-01", found.Month); err == nil {
		v.former = pg.to("/operator/traffic", "month", month.AddDate(0, -1, 0).Format("2006-01"))
	}
	for _, d := range found.Days {
		parts := []chart.Part{}
		for _, n := range []int64{d.Requests - d.Refused - d.Failed, d.Refused, d.Failed} {
			parts = append(parts, chart.Part{Number: n, Shown: pg.number(n)})
		}
		v.days = append(v.days, chart.Column{Label: string(d.Date)[len("yyyy-MM-"):], Parts: parts})
	}
	for _, c := range found.Callers {
		v.callers.rows = append(v.callers.rows, []string{pg.say("trafficRole." + string(c.Role)), string(c.Organization), pg.number(c.Requests), pg.number(c.Refused), pg.number(c.Failed)})
	}
	for _, o := range found.Operations {
		v.operations.rows = append(v.operations.rows, []string{o.Operation, pg.number(o.Requests), pg.number(o.Refused), pg.number(o.Failed), pg.within(o.HalfWithin), pg.within(o.MostWithin)})
	}
	for _, q := range found.Problems {
		v.problems.rows = append(v.problems.rows, []string{strconv.Itoa(q.Status) + " " + q.Problem, q.Operation, pg.say("trafficRole." + string(q.Role)), string(q.Organization), pg.number(q.Requests)})
	}
	for _, o := range used.Organizations {
		v.used.rows = append(v.used.rows, []string{string(o.Organization), pg.number(o.Calls), pg.number(o.Refused), o.Costs})
	}
	v.priced = pg.say("traffic.unpriced")
	if used.Currency != "" {
		v.priced = pg.say("traffic.priced", used.Currency, string(used.PricesFrom))
	}
	if !s.query.Has("month") { // a month that is over stays as it was
		v.live = p.live(w.Header(), s, &pg)
	}
	return p.show(w, r, http.StatusOK, trafficPage(pg, v))
}

// within says within which time of the contract something was answered; "" for none.
func (p page) within(milliseconds int) string {
	if milliseconds == 0 {
		return ""
	}
	return p.say("traffic.milliseconds", p.number(int64(milliseconds)))
}
