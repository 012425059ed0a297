package api

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/handlers/contract/table"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/consentlog"
	"coffre/projections/figures"
)

// Words of the figures, from coarse to fine: groups of too few people are put together over the
// last ones first. Weeks follow them, where each group is divided by weeks.
var (
	consentKeys  = []contract.FigureKey{contract.FigureKeyState, contract.FigureKeyConsumer, contract.FigureKeyPurpose, contract.FigureKeyLastRead}
	accessKeys   = []contract.FigureKey{contract.FigureKeyKind, contract.FigureKeySpared, contract.FigureKeyLegalBasis, contract.FigureKeyConsumer, contract.FigureKeyProcedure}
	refusalKeys  = []contract.FigureKey{contract.FigureKeyReason, contract.FigureKeyConsumer}
	consentWeeks = []contract.FigureKey{contract.FigureKeyEndedWeek, contract.FigureKeyGrantedWeek}
	accessWeeks  = []contract.FigureKey{contract.FigureKeyWeek}
)

// noWeek stands for the week of what did not happen.
const noWeek = "-"

// GetFigures implements GET /figures: how many consents there are, and accesses and refusals there
// were in a year, in groups of enough people. That somebody looked is on record.
func (v *Vault) GetFigures(ctx context.Context, r contract.GetFiguresRequestObject) (contract.GetFiguresResponseObject, error) {
	in := v.NewIntent(ctx)
	if err := v.WaitForToken(ctx, r.Params.CoffreMinPosition, v.ConsentLog.Name(), v.AccessLog.Name()); err != nil {
		return nil, err
	}
	if err := v.recordLook(ctx, in, audit.Operate{Act: audit.ReadFigures}); err != nil {
		return nil, err
	}
	year := r.Params.Year
	if year == 0 {
		year = domain.InBelgium(in.At).Year()
	}
	told, err := v.Figures(ctx, in.At, year, r.Params.By)
	if err != nil {
		return nil, err
	}
	if r.Params.Format != contract.FigureFormatCsv {
		return contract.GetFigures200JSONResponse(told), nil
	}
	var out bytes.Buffer
	to := table.New[figureRow](table.Form{Format: contract.ExportFormatCsv, Name: "figures"}, &out)
	for _, g := range slices.Concat(told.Consents.Groups, told.Accesses.Groups, told.Refusals.Groups) {
		if err := to.Write(new(rowOf(g))); err != nil {
			return nil, err
		}
	}
	if err := to.End(); err != nil {
		return nil, err
	}
	return contract.GetFigures200TextCsvResponse{Body: &out, ContentLength: int64(out.Len())}, nil
}

// Figures counts consents as they are at a time, and the accesses and refusals of a year in Belgium
// that no investigation hides at that time; divided by weeks where they are asked for, and of the
// consents then those that were granted or ended in a week of the year. All end at the same leaf of
// their read models or at different ones, which run behind each other by less than a second.
//
// Which groups consents fall into does not depend on the year, so that the answers about two years
// tell of no smaller group together.
func (v *Vault) Figures(ctx context.Context, now time.Time, year int, by contract.FigureDivision) (contract.Figures, error) {
	consents, accesses, refusals := counted{words: len(consentKeys), by: by}, counted{words: len(accessKeys), by: by}, counted{words: len(refusalKeys), by: by}
	after := false
	err := v.ConsentLog.Count(ctx, projections.Latest, now, func(c consentlog.Counted) {
		after = after || c.LastRead == consentlog.AfterTheEnd
		consents.add(c.Citizen, figures.Counts{1}, string(c.State), string(c.Consumer), string(c.Purpose), string(c.LastRead), cmp.Or(string(c.Ended), noWeek), cmp.Or(string(c.Granted), noWeek))
	})
	if err != nil {
		return contract.Figures{}, err
	}
	first, last := domain.Date(fmt.Sprintf("%04d-01-01", year)), domain.Date(fmt.Sprintf("%04d-12-31", year))
	err = v.AccessLog.Count(ctx, projections.Latest, now, first, last, func(c accesslog.Counted) {
		kind, spared := contract.FigureKindOpened, "no"
		if c.Told {
			kind = contract.FigureKindTold
		}
		if c.Spared > 0 {
			spared = "yes"
		}
		accesses.add(c.Citizen, figures.Counts{1, int64(c.Spared)}, string(kind), spared, cmp.Or(string(c.LegalBasis), consentBasis), string(c.Consumer), string(c.Procedure), string(c.Week))
	})
	if err != nil {
		return contract.Figures{}, err
	}
	err = v.AccessLog.CountRefusals(ctx, projections.Latest, now, first, last, func(r accesslog.RefusedOften) {
		refusals.add(r.Citizen, figures.Counts{int64(r.Times)}, string(r.Reason), string(r.Consumer), string(r.Week))
	})
	if err != nil {
		return contract.Figures{}, err
	}
	inYear := func(g contract.FigureGroup) bool {
		return by == "" || slices.ContainsFunc([]domain.Date{g.GrantedWeek, g.EndedWeek}, func(w domain.Date) bool { return !w.Before(first.Monday()) && !last.Before(w) })
	}
	every := func(contract.FigureGroup) bool { return true }
	return contract.Figures{
		Self: contract.Base + "/figures", At: now, Year: year, MinPeople: figures.MinPeople, ReadAfterWithdrawal: after,
		Consents: consents.told(consentFigure, inYear), Accesses: accesses.told(accessFigure, every), Refusals: refusals.told(refusalFigure, every),
	}, nil
}

// consentBasis is how figures call the basis of what a citizen consented to.
const consentBasis = "consent"

// counted is a table of figures: words of the groups, after which weeks come.
type counted struct {
	figures.Table
	words int
	by    contract.FigureDivision
}

func (c *counted) add(person domain.CitizenID, counts figures.Counts, keys ...string) {
	if c.by == "" {
		keys = keys[:c.words]
	}
	c.Add(person, counts, keys...)
}

// told returns the groups as they are shown, of those for which which reports true.
func (c *counted) told(shown func(figures.Part) contract.FigureGroup, which func(contract.FigureGroup) bool) contract.FigureTable {
	t := contract.FigureTable{Groups: []contract.FigureGroup{}}
	for _, p := range c.Parts(c.words) {
		if g := shown(p); which(g) {
			t.Total += g.Count
			t.Groups = append(t.Groups, g)
		}
	}
	return t
}

// weeks returns the weeks of a part, zero where there is none, and those over which it was put
// together.
func weeks(p figures.Part, keys []contract.FigureKey) (of []domain.Date, over []contract.FigureKey) {
	of = make([]domain.Date, len(keys))
	for i, week := range p.Further {
		switch week {
		case "":
			over = append(over, keys[i])
		case noWeek:
		default:
			of[i] = domain.Date(week)
		}
	}
	return of, over
}

func consentFigure(p figures.Part) contract.FigureGroup {
	k := padded(p.Keys, consentKeys)
	week, over := weeks(p, consentWeeks)
	return contract.FigureGroup{
		Figure: contract.FigureNameConsents, Count: p.Counts[0], State: contract.DecidedState(k[0]), Consumer: domain.Organisation(k[1]), Purpose: domain.Purpose(k[2]),
		LastRead: contract.FigureLastRead(k[3]), EndedWeek: week[0], GrantedWeek: week[1], PutTogether: slices.Concat(consentKeys[len(p.Keys):], over),
	}
}

func accessFigure(p figures.Part) contract.FigureGroup {
	k := padded(p.Keys, accessKeys)
	week, over := weeks(p, accessWeeks)
	shown := contract.FigureGroup{
		Figure: contract.FigureNameAccesses, Count: p.Counts[0], Kind: contract.FigureKind(k[0]), LegalBasis: domain.LegalBasis(k[2]), Consumer: domain.Organisation(k[3]),
		Procedure: domain.Procedure(k[4]), Week: week[0], PutTogether: slices.Concat(accessKeys[len(p.Keys):], over),
	}
	if k[1] == "yes" { // of everybody in the group
		shown.QuestionsNotAsked = p.Counts[1]
	}
	return shown
}

func refusalFigure(p figures.Part) contract.FigureGroup {
	k := padded(p.Keys, refusalKeys)
	week, over := weeks(p, accessWeeks)
	return contract.FigureGroup{
		Figure: contract.FigureNameRefusals, Count: p.Counts[0], Reason: domain.ReasonCode(k[0]), Consumer: domain.Organisation(k[1]), Week: week[0],
		PutTogether: slices.Concat(refusalKeys[len(p.Keys):], over),
	}
}

// padded returns the words of a group, "" for those over which it was put together.
func padded(keys []string, all []contract.FigureKey) []string {
	return append(keys[:len(keys):len(keys)], make([]string, len(all)-len(keys))...)
}

// figureRow is a group in CSV.
type figureRow struct {
	Figure            string       `json:"figure" parquet:"figure" about:"consents, accesses or refusals"`
	State             string       `json:"state" parquet:"state" about:"of the consents"`
	LastRead          string       `json:"lastRead" parquet:"lastRead" about:"how long before its withdrawal a consent was last used"`
	Kind              string       `json:"kind" parquet:"kind" about:"opened or told"`
	LegalBasis        string       `json:"legalBasis" parquet:"legalBasis" about:"consent, or a code of the registry"`
	Consumer          table.Digits `json:"consumer" parquet:"consumer" about:"enterprise number"`
	Purpose           string       `json:"purpose" parquet:"purpose" about:"code of the registry"`
	ProcedureCode     string       `json:"procedureCode" parquet:"procedureCode" about:"code of the registry"`
	Number            int          `json:"number" parquet:"number" about:"of consents or accesses"`
	QuestionsNotAsked int          `json:"questionsNotAsked" parquet:"questionsNotAsked" about:"to citizens"`
	PutTogether       string       `json:"putTogether" parquet:"putTogether" about:"words over which the group was put together"`
	Reason            string       `json:"reason" parquet:"reason" about:"why consumers were refused"`
	Week              string       `json:"week" parquet:"week" about:"Monday of the week of accesses and refusals"`
	GrantedWeek       string       `json:"grantedWeek" parquet:"grantedWeek" about:"Monday of the week in which consents were granted"`
	EndedWeek         string       `json:"endedWeek" parquet:"endedWeek" about:"Monday of the week in which consents were refused, withdrawn or expired"`
}

func rowOf(g contract.FigureGroup) figureRow {
	over := make([]string, len(g.PutTogether))
	for i, k := range g.PutTogether {
		over[i] = string(k)
	}
	return figureRow{
		string(g.Figure), string(g.State), string(g.LastRead), string(g.Kind), string(g.LegalBasis), table.Digits(g.Consumer), string(g.Purpose), string(g.Procedure),
		int(g.Count), int(g.QuestionsNotAsked), strings.Join(over, " "), string(g.Reason), string(g.Week), string(g.GrantedWeek), string(g.EndedWeek),
	}
}
