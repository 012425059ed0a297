package api

import (
	"bytes"
	"context"
	"fmt"
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
// last ones first.
var (
	consentKeys = []contract.FigureKey{contract.FigureKeyState, contract.FigureKeyConsumer, contract.FigureKeyPurpose, contract.FigureKeyLastRead}
	accessKeys  = []contract.FigureKey{contract.FigureKeyKind, contract.FigureKeySpared, contract.FigureKeyLegalBasis, contract.FigureKeyConsumer, contract.FigureKeyProcedure}
)

// GetFigures implements GET /figures: how many consents there are and accesses there were in a
// year, in groups of enough people. That somebody looked is on record.
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
	told, err := v.Figures(ctx, in.At, year)
	if err != nil {
		return nil, err
	}
	if r.Params.Format != contract.FigureFormatCsv {
		return contract.GetFigures200JSONResponse(told), nil
	}
	var out bytes.Buffer
	to := table.New[figureRow](table.Form{Format: contract.ExportFormatCsv, Name: "figures"}, &out)
	for _, g := range append(told.Consents.Groups, told.Accesses.Groups...) {
		if err := to.Write(new(rowOf(g))); err != nil {
			return nil, err
		}
	}
	if err := to.End(); err != nil {
		return nil, err
	}
	return contract.GetFigures200TextCsvResponse{Body: &out, ContentLength: int64(out.Len())}, nil
}

// Figures counts consents as they are at a time, and the accesses of a year in Belgium that no
// investigation hides at that time. Both
// end at the same leaf of their read models or at different ones, which run behind each other by
// less than a second.
func (v *Vault) Figures(ctx context.Context, now time.Time, year int) (contract.Figures, error) {
	var consents, accesses figures.Table
	after := false
	err := v.ConsentLog.Count(ctx, projections.Latest, now, func(c consentlog.Counted) {
		after = after || c.LastRead == consentlog.AfterTheEnd
		consents.Add(c.Citizen, figures.Counts{1}, string(c.State), string(c.Consumer), string(c.Purpose), string(c.LastRead))
	})
	if err != nil {
		return contract.Figures{}, err
	}
	first, last := domain.Date(fmt.Sprintf("%04d-01-01", year)), domain.Date(fmt.Sprintf("%04d-12-31", year))
	err = v.AccessLog.Count(ctx, projections.Latest, now, first, last, func(c accesslog.Counted) {
		kind, spared, basis := contract.FigureKindOpened, "no", string(c.LegalBasis)
		if c.Told {
			kind = contract.FigureKindTold
		}
		if c.Spared > 0 {
			spared = "yes"
		}
		if basis == "" {
			basis = consentBasis
		}
		accesses.Add(c.Citizen, figures.Counts{1, int64(c.Spared)}, string(kind), spared, basis, string(c.Consumer), string(c.Procedure))
	})
	if err != nil {
		return contract.Figures{}, err
	}
	return contract.Figures{
		Self: contract.Base + "/figures", At: now, Year: year, MinPeople: figures.MinPeople, ReadAfterWithdrawal: after,
		Consents: toldIn(consents.Groups(), consentFigure), Accesses: toldIn(accesses.Groups(), accessFigure),
	}, nil
}

// consentBasis is how figures call the basis of what a citizen consented to.
const consentBasis = "consent"

func toldIn(groups []figures.Group, shown func(figures.Group) contract.FigureGroup) contract.FigureTable {
	t := contract.FigureTable{Groups: []contract.FigureGroup{}}
	for _, g := range groups {
		t.Total += g.Counts[0]
		t.Groups = append(t.Groups, shown(g))
	}
	return t
}

func consentFigure(g figures.Group) contract.FigureGroup {
	k := padded(g.Keys, consentKeys)
	return contract.FigureGroup{
		Figure: contract.FigureNameConsents, Count: g.Counts[0], State: contract.DecidedState(k[0]), Consumer: domain.Organisation(k[1]), Purpose: domain.Purpose(k[2]),
		LastRead: contract.FigureLastRead(k[3]), PutTogether: consentKeys[len(g.Keys):],
	}
}

func accessFigure(g figures.Group) contract.FigureGroup {
	k := padded(g.Keys, accessKeys)
	shown := contract.FigureGroup{
		Figure: contract.FigureNameAccesses, Count: g.Counts[0], Kind: contract.FigureKind(k[0]), LegalBasis: domain.LegalBasis(k[2]), Consumer: domain.Organisation(k[3]),
		Procedure: domain.Procedure(k[4]), PutTogether: accessKeys[len(g.Keys):],
	}
	if k[1] == "yes" { // of everybody in the group
		shown.QuestionsNotAsked = g.Counts[1]
	}
	return shown
}

// padded returns the words of a group, "" for those over which it was put together.
func padded(keys []string, all []contract.FigureKey) []string {
	return append(keys[:len(keys):len(keys)], make([]string, len(all)-len(keys))...)
}

// figureRow is a group in CSV.
type figureRow struct {
	Figure            string       `json:"figure" parquet:"figure" about:"consents or accesses"`
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
}

func rowOf(g contract.FigureGroup) figureRow {
	over := make([]string, len(g.PutTogether))
	for i, k := range g.PutTogether {
		over[i] = string(k)
	}
	return figureRow{
		string(g.Figure), string(g.State), string(g.LastRead), string(g.Kind), string(g.LegalBasis), table.Digits(g.Consumer), string(g.Purpose), string(g.Procedure),
		int(g.Count), int(g.QuestionsNotAsked), strings.Join(over, " "),
	}
}
