package coffre_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// TestNoTextOfPeopleStandsInCode finds what people read in Dutch, French or German and stands in
// the program instead of a data file (handlers/contract/texts, cmd/coffre/words, the registry): a
// text with a letter that English lacks, and texts side by side under the names of languages.
func TestNoTextOfPeopleStandsInCode(t *testing.T) {
	files := 0
	for _, p := range goFiles(t, false) {
		if strings.HasSuffix(p, "/gen.go") || strings.HasPrefix(p, "eventstore/") || strings.HasPrefix(p, "handlers/api/xmlfile/") || strings.HasPrefix(p, "cmd/coffre/bench/") {
			continue // the contract's own words, tests of bytes, the tables of XML's letters, and what is only measured
		}
		files++
		fset := token.NewFileSet()
		for _, where := range textsIn(parse(t, fset, p)) {
			t.Errorf("%s: a text for people; it belongs into a data file", fset.Position(where))
		}
	}
	if files < 300 {
		t.Fatalf("only %d files were read", files)
	}
}

// TestATextInCodeIsFound breaks the rule in each way.
func TestATextInCodeIsFound(t *testing.T) {
	for code, want := range map[string]int{
		`var a = "Einwilligung gültig"`:                                                  1,
		`var a = map[string]string{"nl": "geldig", "fr": "valable", "en": "valid"}`:      1,
		`var a = translated{nl: "geldig", fr: "valable", de: "echt"}`:                    1,
		`var a = MultiLanguage{Nl: "geldig", De: "echt"}`:                                1,
		`var a = map[string]string{"nl": m.Nl, "fr": m.Fr, "de": m.De, "en": m.En}`:      0,
		`var a = []string{"nl", "fr", "de", "en"}`:                                       0,
		`var a = "valid – until then, in 5 °C"`:                                          0,
		`var a = map[domain.Language]bool{"nl": true, "fr": true}`:                       0,
		`var a = map[domain.Language]string{domain.Dutch: "geldig", "fr": "", "de": ""}`: 0,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+code, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(textsIn(file)); got != want {
			t.Errorf("%d texts are found, want %d: %s", got, want, code)
		}
	}
}

// textsIn returns where texts for people stand.
func textsIn(file *ast.File) (found []token.Pos) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if strings.ContainsFunc(literal(n), func(r rune) bool { return r > unicode.MaxASCII && unicode.IsLetter(r) }) {
				found = append(found, n.Pos())
			}
		case *ast.CompositeLit:
			said := 0
			for _, e := range n.Elts {
				pair, is := e.(*ast.KeyValueExpr)
				if is && literal(pair.Value) != "" && isLanguage(pair.Key) {
					said++
				}
			}
			if said > 1 {
				found = append(found, n.Pos())
			}
		}
		return true
	})
	return found
}

// isLanguage reports whether a key is the name of a language that is not English.
func isLanguage(key ast.Expr) bool {
	name := literal(key)
	if field, is := key.(*ast.Ident); is {
		name = strings.ToLower(field.Name)
	}
	return name == "nl" || name == "fr" || name == "de"
}

// literal returns what a text in quotes says; "" for every other expression.
func literal(e ast.Expr) string {
	lit, is := e.(*ast.BasicLit)
	if !is || lit.Kind != token.STRING {
		return ""
	}
	said, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return said
}
