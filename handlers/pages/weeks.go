package pages

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/pages/chart"
)

// namedParts bounds how many parts of a column have a name of their own; the others are together.
const namedParts = chart.Colours - 1

// weeksView is what a vault counts by week in a year.
type weeksView struct {
	year, least    string
	charts         []weekChart
	earlier, later string // addresses of other years; "": none
}

// weekChart is a chart with a column for each week.
type weekChart struct {
	id, caption, text string
	names             []string
	columns           []chart.Column
}

// weekly is one thing that is counted by week.
type weekly struct {
	name   string // of its text
	groups []contract.FigureGroup
	week   func(contract.FigureGroup) contract.Day // "": the group has none
	part   func(contract.FigureGroup) string
}

// serveWeeks shows a year by weeks: consents that were granted, withdrawn and expired, accesses and
// refusals. Every number is a sum of groups none of which has too few people.
func (p *Pages) serveWeeks(w http.ResponseWriter, r *http.Request, s session) error {
	now := domain.InBelgium(p.Now())
	year, err := yearFrom(s.query, now.Year())
	if err != nil {
		return err
	}
	figures, err := get[contract.Figures](r.Context(), p, s, "/figures", url.Values{"year": {strconv.Itoa(year)}, "by": {string(contract.FigureDivisionWeek)}})
	if err != nil {
		return err
	}
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	pg := s.page("weeks.title")
	consumer := func(g contract.FigureGroup) string { return pg.organisation(registry, g.Consumer) }
	ended := func(as contract.DecidedState) func(contract.FigureGroup) contract.Day {
		return func(g contract.FigureGroup) contract.Day {
			if g.State != as {
				return ""
			}
			return g.EndedWeek
		}
	}
	week := func(g contract.FigureGroup) contract.Day { return g.Week }
	v := weeksView{year: strconv.Itoa(year), least: strconv.Itoa(figures.MinPeople), earlier: pg.to("/officer/weeks", "year", strconv.Itoa(year-1))}
	if year < now.Year() {
		v.later = pg.to("/officer/weeks", "year", strconv.Itoa(year+1))
	}
	mondays := mondaysOf(year, domain.BelgianDate(p.Now()))
	for _, one := range []weekly{
		{"weeks.granted", figures.Consents.Groups, func(g contract.FigureGroup) contract.Day { return g.GrantedWeek }, consumer},
		{"weeks.withdrawn", figures.Consents.Groups, ended(contract.DecidedStateWithdrawn), consumer},
		{"weeks.expired", figures.Consents.Groups, ended(contract.DecidedStateExpired), consumer},
		{"weeks.accesses", figures.Accesses.Groups, week, func(g contract.FigureGroup) string { return pg.basis(registry, g.LegalBasis) }},
		{"weeks.refusals", figures.Refusals.Groups, week, func(g contract.FigureGroup) string {
			return pg.spoken(string(g.Reason), func(code string) string { return pg.reasonLabel(registry, contract.ReasonCode(code)) })
		}},
	} {
		if c := pg.byWeek(one, mondays); len(c.names) > 0 {
			v.charts = append(v.charts, c)
		}
	}
	return p.show(w, r, http.StatusOK, weeksPage(pg, v))
}

// mondaysOf returns the first days of the weeks of a year, as far as they have begun.
func mondaysOf(year int, today domain.Date) (all []domain.Date) {
	first := domain.Date(strconv.Itoa(year) + "-01-01").Monday()
	last := domain.Date(strconv.Itoa(year) + "-12-31")
	if today.Before(last) {
		last = today
	}
	for monday := first; !last.Before(monday); monday = monday.AddDays(7) {
		all = append(all, monday)
	}
	return all
}

// byWeek returns the chart of what was counted, without names where nothing was.
func (l tongue) byWeek(of weekly, mondays []domain.Date) weekChart {
	sums, names := make(map[domain.Date]map[string]int64), make(map[string]int64)
	for _, g := range of.groups {
		monday := of.week(g)
		if !slices.Contains(mondays, monday) {
			continue
		}
		if sums[monday] == nil {
			sums[monday] = make(map[string]int64)
		}
		sums[monday][of.part(g)] += g.Count
		names[of.part(g)] += g.Count
	}
	c := weekChart{id: strings.ReplaceAll(of.name, ".", "-"), caption: l.say(of.name), names: slices.Sorted(maps.Keys(names))}
	slices.SortStableFunc(c.names, func(a, b string) int { return cmp.Compare(names[b], names[a]) })
	var others []string
	if len(c.names) > namedParts+1 {
		others = slices.Clone(c.names[namedParts:])
		c.names = append(c.names[:namedParts:namedParts], l.say("weeks.others"))
	}
	var said []string
	for _, monday := range mondays {
		column := chart.Column{Label: l.say("weeks.week", strconv.Itoa(isoWeek(monday)), l.day(monday)), Short: strconv.Itoa(isoWeek(monday))}
		var all int64
		for i, name := range c.names {
			n := sums[monday][name]
			if len(others) > 0 && i == namedParts {
				n = 0
				for _, other := range others {
					n += sums[monday][other]
				}
			}
			column.Parts = append(column.Parts, chart.Part{Number: n, Shown: l.number(n)})
			all += n
		}
		if all > 0 {
			said = append(said, column.Short+": "+l.number(all))
		}
		c.columns = append(c.columns, column)
	}
	c.text = l.say("weeks.text", strings.Join(said, "; "))
	return c
}

// isoWeek returns the number of a week (ISO 8601) by its Monday.
func isoWeek(monday domain.Date) int {
	t, err := time.Parse(time.DateOnly, string(monday))
	if err != nil {
		return 0
	}
	_, week := t.ISOWeek()
	return week
}
