package coffre_test

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// speakingPlace is the one file that decides whether a caller speaks for a person (rule
// M-1.10): by itself for the caller's own sake, by a mandate for another's.
const speakingPlace = "handlers/disclosure/representation.go"

// A path that compared the caller with a person by itself, gathered by itself what a mandate
// is judged by, or made up a mandate in force would be a second place.
func TestF26OnePlaceDecidesWhoSpeaksForWhom(t *testing.T) {
	seen := map[string]int{}
	for _, p := range goFiles(t, false) {
		if strings.HasPrefix(p, "domain/mandate/") || strings.HasSuffix(p, "/gen.go") {
			continue
		}
		outside := strings.HasPrefix(p, "handlers/") || strings.HasPrefix(p, "cmd/")
		fset := token.NewFileSet()
		file := parse(t, fset, p)
		found := func(what string, at ast.Node) {
			seen[what]++
			if p != speakingPlace {
				t.Errorf("%s: %s outside %s", fset.Position(at.Pos()), what, speakingPlace)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				switch name := qualified(n.Type); {
				case name == "mandate.Circumstances" && len(n.Elts) > 0:
					found("circumstances of a mandate", n)
				case name == "mandate.InForce" && len(n.Elts) > 0:
					found("a mandate in force made up", n)
				case strings.HasSuffix(name, "Representation") && slices.ContainsFunc(n.Elts, isMember("Mandates")):
					found("a representation made up", n)
				}
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && outside && (s.Sel.Name == "Represents" || s.Sel.Name == "Mandate") && strings.HasSuffix(qualified(s.X), "Wallets") && !strings.HasPrefix(p, "handlers/work/") {
					found("mandates looked up", n)
				}
			case *ast.BinaryExpr:
				if outside && (n.Op == token.EQL || n.Op == token.NEQ) && (isCaller(n.X) || isCaller(n.Y)) {
					found("the caller compared with a person", n)
				}
			}
			return true
		})
	}
	for _, what := range []string{"circumstances of a mandate", "mandates looked up", "the caller compared with a person"} {
		if seen[what] == 0 {
			t.Errorf("%s: nowhere, so this test sees nothing", what)
		}
	}
}

// qualified returns the dotted name of an expression; "" for any other.
func qualified(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return strings.TrimPrefix(qualified(e.X)+"."+e.Sel.Name, ".")
	}
	return ""
}

func isMember(name string) func(ast.Expr) bool {
	return func(e ast.Expr) bool {
		kv, ok := e.(*ast.KeyValueExpr)
		return ok && qualified(kv.Key) == name
	}
}

// isCaller reports whether an expression is the citizen that a caller is.
func isCaller(e ast.Expr) bool {
	name := strings.ToLower(qualified(e))
	return strings.HasSuffix(name, "call.citizen") || strings.HasSuffix(name, "actor.citizen")
}
