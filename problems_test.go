package coffre_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"go/ast"
	"go/token"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/eventstore/jobs"
	"coffre/handlers/edge"
)

// problemsList is the catalogue of problems as the pages for developers show it.
const problemsList = "handlers/pages/problems.json"

// listed is a type of problem, or of an issue of badRequest, in the catalogue.
type listed struct {
	Type   string `json:"type"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Issue  bool   `json:"issue,omitempty"`
}

// Every refusal that the program declares is in the catalogue of problems, as it is answered.
func TestProblemsAreListed(t *testing.T) {
	var all []listed
	add := func(one listed) {
		if !slices.ContainsFunc(all, func(l listed) bool { return l.Type == one.Type && l.Status == one.Status }) {
			all = append(all, one)
		}
	}
	fset, refusals := token.NewFileSet(), 0
	for _, p := range goFiles(t, false) {
		if s := (source{path: p}); !s.in("domain", "eventstore", "projections", "handlers") {
			continue
		}
		ast.Inspect(parse(t, fset, p), func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if nameOf(n.Fun) != "NewError" || p == "handlers/edge/operators.go" { // which adds to a detail
					break
				}
				said, ok := refusalIn(n)
				if !ok {
					t.Errorf("%s: a refusal that is not made of constants is not in the catalogue", fset.Position(n.Pos()))
					break
				}
				refusals++
				add(answered(said))
			case *ast.CompositeLit:
				if one, ok := problemIn(n); ok {
					add(one)
				}
			}
			return true
		})
	}
	for _, slug := range []string{"noAccessToken", "invalidAccessToken", "expiredAccessToken"} { // whose details say which check failed
		add(listed{Type: "urn:problem-type:belgif:" + slug, Status: http.StatusUnauthorized})
	}
	if refusals < 200 || len(all) < 150 {
		t.Fatalf("%d refusals, %d types: this test looks in the wrong place", refusals, len(all))
	}
	slices.SortFunc(all, func(a, b listed) int { return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Type, b.Type)) })
	var want bytes.Buffer
	write := json.NewEncoder(&want)
	write.SetEscapeHTML(false)
	write.SetIndent("", "\t")
	if err := write.Encode(all); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(problemsList, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(problemsList); err != nil || !bytes.Equal(have, want.Bytes()) {
		t.Errorf("%s is behind the code: go test . -run TestProblemsAreListed -update (%v)", problemsList, err)
	}
}

// answered returns a refusal as callers read it.
func answered(said *domain.Error) listed {
	if said.Slug == access.ErrNoBasis.Slug {
		said = access.ErrNoBasis
	}
	p, _, _, _ := edge.Describe(said, nil)
	if said.Code == domain.Invalid {
		return listed{p.Issues[0].Type, p.Status, said.Detail, true}
	}
	return listed{p.Type, p.Status, p.Detail, false}
}

// codesByName are the names by which refusals are declared.
var codesByName = map[string]domain.Code{
	"Invalid": domain.Invalid, "Unauthenticated": domain.Unauthenticated, "Forbidden": domain.Forbidden, "NotFound": domain.NotFound, "Conflict": domain.Conflict,
	"Gone": domain.Gone, "Stale": domain.Stale, "Unprocessable": domain.Unprocessable, "TooMany": domain.TooMany, "Unavailable": domain.Unavailable, "Full": domain.Full,
}

// refusalIn returns the refusal that a call of domain.NewError makes of constants.
func refusalIn(call *ast.CallExpr) (*domain.Error, bool) {
	if len(call.Args) != 3 {
		return nil, false
	}
	code, known := codesByName[nameOf(call.Args[0])]
	slug, isText := textOf(call.Args[1])
	detail, isDetail := textOf(call.Args[2])
	return domain.NewError(code, slug, detail), known && isText && isDetail
}

// problemIn returns the problem that a literal of constants is.
func problemIn(lit *ast.CompositeLit) (one listed, ok bool) {
	if lit.Type == nil || nameOf(lit.Type) != "Problem" {
		return one, false
	}
	for _, e := range lit.Elts {
		pair, isPair := e.(*ast.KeyValueExpr)
		if !isPair {
			return one, false
		}
		switch nameOf(pair.Key) {
		case "Type":
			one.Type, ok = textOf(pair.Value)
		case "Status":
			one.Status = statusOf(nameOf(pair.Value))
		case "Detail":
			one.Detail, _ = textOf(pair.Value)
		}
	}
	return one, ok && one.Status != 0
}

// nameOf returns the last name of an expression; "" where it is none.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// textOf returns a text that is made of literals and of the beginnings of problem types.
func textOf(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		left, ok := textOf(e.X)
		right, also := textOf(e.Y)
		return left + right, ok && also && e.Op == token.ADD
	}
	switch nameOf(e) {
	case "belgifPrefix":
		return "urn:problem-type:belgif:", true
	case "ProblemPrefix":
		return edge.ProblemPrefix, true
	case "Interrupted":
		return jobs.Interrupted, true
	}
	return "", false
}

// statusOf returns the status that a constant of net/http names, 0 where it names none.
func statusOf(name string) int {
	for status := 400; status < 600; status++ {
		if text := http.StatusText(status); text != "" && name == "Status"+strings.ReplaceAll(text, " ", "") {
			return status
		}
	}
	return 0
}
