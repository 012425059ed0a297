package coffre_test

import (
	"go/ast"
	"go/printer"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

// wordsMade are the words of spans that are no constants, with why none names anybody. All
// others are constants of the program.
var wordsMade = map[string]string{
	"cmd/coffre/vault/traces.go operation":           "an operation of the contract, which edge.RouteOf knows",
	"cmd/coffre/vault/traces.go route.Method":        "of the contract",
	"cmd/coffre/vault/traces.go route.Path":          "of the contract, with the names of its parameters",
	"cmd/coffre/vault/traces.go o.Problem":           "last word of a problem's type, of a list in the program",
	"cmd/coffre/vault/traces.go o.Role":              "one of the roles",
	"eventstore/seal/transit/client.go doing":        "what a call is for, constants of the package",
	"handlers/reactors/router.go reactor.Name":       "of a reactor of the program",
	"handlers/reactors/router.go n.Type":             "of an event, of the catalogue",
	"handlers/reactors/broker/broker.go f.link.Name": "of a link in the operator's file, which is of a-z, 0-9 and -",
}

// No span holds a word of a request: what becomes a word is a constant, or stands in wordsMade.
func TestSpansHoldWordsOfTheProgram(t *testing.T) {
	left, seen, fset := maps.Clone(wordsMade), 0, token.NewFileSet()
	for _, p := range goFiles(t, false) {
		ast.Inspect(parse(t, fset, p), func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			if of, ok := call.Fun.(*ast.SelectorExpr); !ok || of.Sel.Name != "Word" || !isNamed(of.X, "spans") {
				return true
			}
			seen++
			if _, constant := call.Args[0].(*ast.BasicLit); constant {
				return true
			}
			var text strings.Builder
			if err := printer.Fprint(&text, fset, call.Args[0]); err != nil {
				t.Fatal(err)
			}
			key := p + " " + text.String()
			if wordsMade[key] == "" {
				t.Errorf("%s becomes a word of a span: say in wordsMade why it names nobody", key)
			}
			delete(left, key)
			return true
		})
	}
	if len(left) > 0 || seen < 5 {
		t.Errorf("no longer there: %q", slices.Sorted(maps.Keys(left)))
	}
}

func isNamed(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}
