package pages

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/pages/chart"
)

// yearsOfTrend is over how many years the trend of accesses goes.
const yearsOfTrend = 5

// figuresView is what a vault counts.
type figuresView struct {
	at, year, least    string
	afterWithdrawal    bool // a consent was used after it was withdrawn
	consents, accesses string
	charts             []barChart
	earlier, later     string // addresses of other years; "": none
	trend, weeks       string // addresses
	none               bool   // there are too few people for any figure
}

// barChart is a chart of bars with its words.
type barChart struct {
	caption, what, number string
	bars                  []chart.Bar
}

// serveFigures shows how many consents there are, and accesses there were in a year.
func (p *Pages) serveFigures(w http.ResponseWriter, r *http.Request, s session) error {
	this := domain.InBelgium(p.Now()).Year()
	year, err := yearFrom(s.query, this)
	if err != nil {
		return err
	}
	figures, err := p.figuresOf(r.Context(), s, year)
	if err != nil {
		return err
	}
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	pg := s.page("figures.title")
	v := figuresView{
		at: pg.moment(figures.At), year: strconv.Itoa(year), least: strconv.Itoa(figures.MinPeople), afterWithdrawal: figures.ReadAfterWithdrawal,
		consents: pg.number(figures.Consents.Total), accesses: pg.number(figures.Accesses.Total), earlier: pg.to("/officer", "year", strconv.Itoa(year-1)), trend: pg.to("/officer/trend"), weeks: pg.to("/officer/weeks", "year", strconv.Itoa(year)),
		none: figures.Consents.Total+figures.Accesses.Total == 0,
	}
	if year < this {
		v.later = pg.to("/officer", "year", strconv.Itoa(year+1))
	}
	add := func(caption, what string, of contract.FigureTable, word func(contract.FigureGroup) string, counted func(contract.FigureGroup) int64) {
		if bars := pg.bars(of.Groups, word, counted); len(bars) > 0 {
			v.charts = append(v.charts, barChart{pg.say(caption), pg.say(what), pg.say("figures.number"), bars})
		}
	}
	each := func(g contract.FigureGroup) int64 { return g.Count }
	add("figures.byState", "figures.state", figures.Consents, func(g contract.FigureGroup) string { return pg.spoken(string(g.State), pg.value) }, each)
	add("figures.consentsByConsumer", "figures.consumer", figures.Consents, func(g contract.FigureGroup) string { return pg.organisation(registry, g.Consumer) }, each)
	add("figures.lastRead", "figures.lastReadWhat", figures.Consents, func(g contract.FigureGroup) string {
		return pg.spoken(string(g.LastRead), func(v string) string { return pg.say("lastRead." + v) })
	}, func(g contract.FigureGroup) int64 {
		if g.State != contract.DecidedStateWithdrawn {
			return 0
		}
		return g.Count
	})
	add("figures.byBasis", "figures.basis", figures.Accesses, func(g contract.FigureGroup) string { return pg.basis(registry, g.LegalBasis) }, each)
	add("figures.accessesByConsumer", "figures.consumer", figures.Accesses, func(g contract.FigureGroup) string { return pg.organisation(registry, g.Consumer) }, each)
	add("figures.byProcedure", "figures.procedure", figures.Accesses, func(g contract.FigureGroup) string {
		return pg.spoken(string(g.Procedure), func(v string) string { return pg.codeLabel(registry.Procedures, v) })
	}, each)
	add("figures.notAsked", "figures.procedure", figures.Accesses, func(g contract.FigureGroup) string {
		return pg.spoken(string(g.Procedure), func(v string) string { return pg.codeLabel(registry.Procedures, v) })
	}, func(g contract.FigureGroup) int64 { return g.QuestionsNotAsked })
	return p.show(w, r, http.StatusOK, figuresPage(pg, v))
}

// yearFrom returns the year that an address names, this one where it names none.
func yearFrom(query url.Values, this int) (int, error) {
	if !query.Has("year") {
		return this, nil
	}
	year, err := strconv.Atoi(query.Get("year"))
	if err != nil || year < 2000 || year > this {
		return 0, errNoPage
	}
	return year, nil
}

func (p *Pages) figuresOf(ctx context.Context, s session, year int) (contract.Figures, error) {
	return get[contract.Figures](ctx, p, s, "/figures", url.Values{"year": {strconv.Itoa(year)}})
}

// registry returns the registry as everybody reads it.
func (p *Pages) registry(ctx context.Context) (contract.Registry, error) {
	return get[contract.Registry](ctx, p, session{}, "/registry", nil)
}

// spoken puts a word of figures into a language; groups of too few people have none.
func (l tongue) spoken(word string, say func(string) string) string {
	if word == "" {
		return l.say("figures.together")
	}
	return say(word)
}

// bars sums groups by a word, the greatest first.
func (l tongue) bars(groups []contract.FigureGroup, word func(contract.FigureGroup) string, counted func(contract.FigureGroup) int64) (bars []chart.Bar) {
	sums := make(map[string]int64)
	for _, g := range groups {
		if n := counted(g); n > 0 {
			sums[word(g)] += n
		}
	}
	for _, label := range slices.Sorted(maps.Keys(sums)) {
		bars = append(bars, chart.Bar{Label: label, Number: sums[label], Shown: l.number(sums[label])})
	}
	slices.SortStableFunc(bars, func(a, b chart.Bar) int { return cmp.Compare(b.Number, a.Number) })
	return bars
}

// serveTrend shows the accesses of the last years by what they rested on. Every number is a sum of
// the groups of one year, none of which has too few people.
func (p *Pages) serveTrend(w http.ResponseWriter, r *http.Request, s session) error {
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	pg, this := s.page("trend.title"), domain.InBelgium(p.Now()).Year()
	sums, names := make([]map[string]int64, yearsOfTrend), make(map[string]int64)
	least := 0
	for i := range sums {
		figures, err := p.figuresOf(r.Context(), s, this-yearsOfTrend+1+i)
		if err != nil {
			return err
		}
		least, sums[i] = figures.MinPeople, make(map[string]int64)
		for _, g := range figures.Accesses.Groups {
			basis := pg.basis(registry, g.LegalBasis)
			sums[i][basis] += g.Count
			names[basis] += g.Count
		}
	}
	bases := slices.Sorted(maps.Keys(names))
	slices.SortStableFunc(bases, func(a, b string) int { return cmp.Compare(names[b], names[a]) })
	columns := make([]chart.Column, len(sums))
	var said []string
	for i, sum := range sums {
		columns[i].Label = strconv.Itoa(this - yearsOfTrend + 1 + i)
		var all int64
		for _, b := range bases {
			columns[i].Parts = append(columns[i].Parts, chart.Part{Number: sum[b], Shown: pg.number(sum[b])})
			all += sum[b]
		}
		said = append(said, columns[i].Label+": "+pg.number(all))
	}
	return p.show(w, r, http.StatusOK, trendPage(pg, strconv.Itoa(least), strings.Join(said, "; "), bases, columns))
}

// organisation names an organisation of the registry; "" is several, put together.
func (l tongue) organisation(registry contract.Registry, number contract.EnterpriseNumber) string {
	for _, o := range registry.Organizations {
		if o.EnterpriseNumber == number && number != "" {
			return l.label(o.Labels)
		}
	}
	return l.spoken(string(number), func(v string) string { return v })
}

// basis names what an access rests on: the consent of the citizen, or a ground of the registry.
func (l tongue) basis(registry contract.Registry, basis contract.LegalBasis) string {
	for _, b := range registry.LegalBases {
		if string(b.Code) == string(basis) && basis != "" {
			return l.label(b.Labels)
		}
	}
	return l.spoken(string(basis), func(v string) string {
		if v == "consent" {
			return l.value(v)
		}
		return v
	})
}

// codeLabel names a code of the registry.
func (l tongue) codeLabel(codes []contract.RegistryCode, code string) string {
	for _, one := range codes {
		if one.Code == code {
			return l.label(one.Labels)
		}
	}
	return code
}

// number returns a number as people write it, such as 12 345: with the space of SI in Dutch,
// French and German, with a comma in English.
func (l tongue) number(n int64) string {
	digits, between := strconv.FormatInt(n, 10), "\u202f"
	if l == "en" {
		between = ","
	}
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + between + digits[at:]
	}
	return digits
}
