package api

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

func (tv *testVault) figures(t testing.TB, who edge.Caller, p contract.GetFiguresParams) (contract.Figures, [][]string) {
	t.Helper()
	ctx := tv.as(t, who, "getFigures", nil)
	answer, err := tv.GetFigures(ctx, contract.GetFiguresRequestObject{Params: p})
	if err != nil {
		t.Fatal(err)
	}
	w := writeAnswer(t, ctx, answer.VisitGetFiguresResponse)
	if p.Format != contract.FigureFormatCsv {
		return contract.Figures(answer.(contract.GetFigures200JSONResponse)), nil
	}
	lines, err := csv.NewReader(io.Reader(w.Body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return contract.Figures{}, lines
}

// Figures count consents and accesses in groups of ten people or more; of nine people they tell
// nothing, and the words of a small group are those that it shares with the group that took it in.
func TestFigures(t *testing.T) {
	tv := newVault(t)
	for n := 1; n <= 13; n++ {
		doc := tv.household(t, n)
		who := tv.person(t, n)
		id := tv.consentTo(t, who, discount)
		if n <= 12 {
			if _, err := tv.read(t, consumer(flanders), doc, uuid.New(), allowance); err != nil {
				t.Fatal(err)
			}
		}
		if n > 10 { // three who withdraw
			if err := tv.withdraw(t, who, id); err != nil {
				t.Fatal(err)
			}
		}
		if n == 9 {
			tv.waitForReadModels(t)
			if f, _ := tv.figures(t, officer, contract.GetFiguresParams{}); f.Consents.Total != 0 || len(f.Consents.Groups)+len(f.Accesses.Groups) != 0 {
				t.Errorf("of nine people: %+v", f)
			}
		}
	}
	tv.waitForReadModels(t)
	f, _ := tv.figures(t, officer, contract.GetFiguresParams{})
	if len(f.Consents.Groups) != 1 || f.Consents.Total != 13 || f.Consents.Groups[0].State != "" || len(f.Consents.Groups[0].PutTogether) != 4 {
		t.Errorf("three who withdrew are told of, or their share can be computed: %+v", f.Consents)
	}
	if len(f.Accesses.Groups) != 1 || f.ReadAfterWithdrawal || f.MinPeople != 10 {
		t.Fatalf("%+v", f)
	}
	if g := f.Accesses.Groups[0]; g.Count != 12 || g.QuestionsNotAsked != 12 || g.Consumer != flanders || g.LegalBasis != "publicTask" || g.Procedure != "schoolEnrolmentAllowance" || len(g.PutTogether) != 0 {
		t.Errorf("%+v", g)
	}
	if f, _ := tv.figures(t, officer, contract.GetFiguresParams{Year: 2001}); f.Accesses.Total != 0 || f.Consents.Total != 13 {
		t.Errorf("of another year: %+v", f)
	}
	f, _ = tv.figures(t, officer, contract.GetFiguresParams{By: contract.FigureDivisionWeek})
	if g := f.Consents.Groups; len(g) != 1 || g[0].Count != 13 || g[0].GrantedWeek != "2026-06-15" || !slices.Contains(g[0].PutTogether, contract.FigureKeyEndedWeek) {
		t.Errorf("three who withdrew are told of by their week: %+v", g)
	}
	if g := f.Accesses.Groups; len(g) != 1 || g[0].Count != 12 || g[0].Week != "2026-06-15" || len(g[0].PutTogether) != 0 {
		t.Errorf("%+v", g)
	}
	if f, _ := tv.figures(t, officer, contract.GetFiguresParams{By: contract.FigureDivisionWeek, Year: 2025}); len(f.Consents.Groups)+len(f.Accesses.Groups) != 0 {
		t.Errorf("of another year: %+v", f)
	}
	for n := 1; n <= 13; n++ {
		if _, err := tv.read(t, consumer(economy), tv.household(t, n), uuid.New(), allowance); err == nil {
			t.Fatal("a consumer without a basis reads")
		}
		if n == 9 || n == 13 {
			tv.waitIdle(t) // refusals are recorded after their answers
			f, _ := tv.figures(t, officer, contract.GetFiguresParams{By: contract.FigureDivisionWeek})
			if g := f.Refusals.Groups; (len(g) == 1) != (n == 13) || n == 13 && (g[0].Count != 13 || g[0].Reason != "noBasis" || g[0].Consumer != economy || g[0].Week != "2026-06-15") {
				t.Errorf("of %d who were refused: %+v", n, g)
			}
		}
	}
	_, lines := tv.figures(t, officer, contract.GetFiguresParams{Format: contract.FigureFormatCsv})
	if len(lines) != 4 || lines[0][0] != "figure" || lines[2][8] != strconv.Itoa(12) {
		t.Errorf("%q", lines)
	}
}

// What an investigation hides is counted when it is over, and not before: figures of two days
// would tell that somebody is investigated.
func TestFiguresLeaveOutWhatIsHidden(t *testing.T) {
	tv := newVault(t)
	one, err := tv.openInvestigation(t, consumer(flanders), fraud(tv.Clock.Now().Add(10*24*time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 22; n++ {
		how := allowance
		if n > 10 {
			how = hidden(one.InvestigationID)
		}
		if _, err := tv.read(t, consumer(flanders), tv.household(t, n), uuid.New(), how); err != nil {
			t.Fatal(err)
		}
	}
	for _, total := range []int64{10, 22} {
		tv.waitForReadModels(t)
		if f, _ := tv.figures(t, officer, contract.GetFiguresParams{}); f.Accesses.Total != total {
			t.Errorf("%+v, want %d accesses", f.Accesses, total)
		}
		if total == 10 {
			if err := tv.liftInvestigation(t, consumer(flanders), one.InvestigationID); err != nil {
				t.Fatal(err)
			}
		}
	}
}
