package coffre_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const keysFile = "docs/keys.md"

// keyFacts are what code and survey have to say alike about keys.
type keyFacts struct {
	labels, deployment, makers, tables []string
}

// The survey of keys in docs/keys.md has a row for every key that the code makes or
// derives, says who makes it and in which tables its wrapped forms lie, and names nothing
// that is not there.
func TestKeySurvey(t *testing.T) {
	said, have := surveyedKeys(t), codedKeys(t)
	for _, fact := range []struct {
		what       string
		said, have []string
		least      int
	}{
		{"the label of a derived key", said.labels, have.labels, 9},
		{"a deployment key", said.deployment, have.deployment, 6},
		{"a maker of keys", said.makers, have.makers, 9},
		{"a table with wrapped keys", said.tables, have.tables, 5},
	} {
		if len(fact.have) < fact.least {
			t.Errorf("%s: only %q in the code: this test looks in the wrong place", fact.what, fact.have)
		}
		for _, name := range fact.have {
			if !slices.Contains(fact.said, name) {
				t.Errorf("%s: %s is missing in %s", fact.what, name, keysFile)
			}
		}
		for _, name := range fact.said {
			if !slices.Contains(fact.have, name) {
				t.Errorf("%s: %s names %s, which the code does not have", fact.what, keysFile, name)
			}
		}
	}
}

var (
	quoted  = regexp.MustCompile("`([^`]+)`")
	label   = regexp.MustCompile(`^[a-z-]+/[a-z-]+/v[0-9]+$`)
	goName  = regexp.MustCompile(`^[A-Za-z]+(\.[A-Za-z]+)?$`)
	ofTable = regexp.MustCompile(`(?s)CREATE TABLE ([a-z_]+) \((.*?)\) STRICT`)
	wrapped = regexp.MustCompile(`(?m)^\twrapped\s`)
)

// The columns of the survey.
const (
	surveyKey = iota
	surveyUse
	surveyMaker
	surveyWrapper
	surveyPlace
	surveyReplaced
	surveyGone
	surveyColumns
)

func surveyedKeys(t *testing.T) (f keyFacts) {
	t.Helper()
	b, err := os.ReadFile(keysFile)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(b), "\n## Every key\n")
	section, _, ended := strings.Cut(section, "\n## ")
	if !found || !ended {
		t.Fatalf("%s has no survey", keysFile)
	}
	names := func(cell string) (all []string) {
		for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
			all = append(all, m[1])
		}
		return all
	}
	rows := 0
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| key |") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != surveyColumns {
			t.Fatalf("%s: %d cells in %q", keysFile, len(cells), line)
		}
		for _, cell := range cells {
			if strings.TrimSpace(cell) == "" {
				t.Errorf("%s: an empty cell in %q", keysFile, line)
			}
		}
		inRing := false
		for _, place := range names(cells[surveyPlace]) {
			if goName.MatchString(strings.ReplaceAll(place, "_", "")) && !strings.Contains(place, ".") {
				f.tables = append(f.tables, place)
				inRing = inRing || place == "deployment_keys"
			}
		}
		for _, name := range names(cells[surveyKey]) {
			switch {
			case label.MatchString(name):
				f.labels = append(f.labels, name)
			case inRing:
				f.deployment = append(f.deployment, name)
			}
		}
		for _, maker := range names(cells[surveyMaker]) {
			if goName.MatchString(maker) && maker != "localkek" {
				f.makers = append(f.makers, maker)
			}
		}
	}
	if rows < 15 {
		t.Fatalf("%s: a survey of %d rows", keysFile, rows)
	}
	return f
}

// codedKeys reads the product's code: nothing of tests, of their helpers and of measurements.
func codedKeys(t *testing.T) (f keyFacts) {
	t.Helper()
	const ring = "eventstore/seal"
	makers, values := map[string]bool{}, map[string]string{} // constants of the ring by name
	var deployment []string                                  // their names
	derivations := 0
	for _, p := range goFiles(t, false) {
		dir := path.Dir(p)
		if strings.HasSuffix(dir, "test") || strings.HasSuffix(dir, "/bench") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				name := functionName(d)
				ast.Inspect(d, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok {
						return true
					}
					if derived, ok := derivedByMAC(call); ok {
						f.labels = append(f.labels, derived)
					}
					switch callee(call) {
					case "newKey", "ed25519.GenerateKey", "rand.Read":
						if name != "newKey" {
							makers[name] = true
						}
					case "hkdf.Expand", "hkdf.Key", "hkdf.Extract":
						if derivations++; p != ring+"/derive.go" || name != "subKey" {
							t.Errorf("%s: %s derives a key past subKey, whose labels are surveyed", p, name)
						}
					}
					return true
				})
			case *ast.GenDecl:
				if dir != ring {
					continue
				}
				for _, spec := range d.Specs {
					v, ok := spec.(*ast.ValueSpec)
					if !ok {
						continue
					}
					for i, name := range v.Names {
						if i >= len(v.Values) {
							continue
						}
						switch value := v.Values[i].(type) {
						case *ast.BasicLit:
							if text, err := strconv.Unquote(value.Value); err == nil {
								values[name.Name] = text
							}
						case *ast.CompositeLit:
							if name.Name == "deploymentNames" {
								for _, e := range value.Elts {
									deployment = append(deployment, e.(*ast.Ident).Name)
								}
							}
							for _, e := range value.Elts {
								lit, ok := e.(*ast.BasicLit)
								if !ok || name.Name != "migrations" {
									continue
								}
								step, err := strconv.Unquote(lit.Value)
								if err != nil {
									t.Fatal(err)
								}
								for _, m := range ofTable.FindAllStringSubmatch(step, -1) {
									if wrapped.MatchString(m[2]) {
										f.tables = append(f.tables, m[1])
									}
								}
							}
						}
					}
				}
			}
		}
	}
	if derivations != 1 {
		t.Errorf("%d derivations, want the one in subKey", derivations)
	}
	for name, value := range values {
		if strings.HasPrefix(name, "info") {
			f.labels = append(f.labels, value)
		}
	}
	for _, name := range deployment {
		f.deployment = append(f.deployment, values[name])
	}
	f.makers = slices.Sorted(maps.Keys(makers))
	return f
}

// derivedByMAC returns the label of a key that is the MAC of nothing but its label.
func derivedByMAC(c *ast.CallExpr) (string, bool) {
	method, ok := c.Fun.(*ast.SelectorExpr)
	if !ok || method.Sel.Name != "MAC" || len(c.Args) != 1 {
		return "", false
	}
	bytes, ok := c.Args[0].(*ast.CallExpr)
	if !ok || len(bytes.Args) != 1 {
		return "", false
	}
	lit, ok := bytes.Args[0].(*ast.BasicLit)
	if !ok {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil && label.MatchString(text)
}

// functionName returns the name of a function, a method's after its receiver's type.
func functionName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name + "." + f.Name.Name
	}
	return f.Name.Name
}

// callee returns the name of what a call calls, with its package's where it has one.
func callee(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
	}
	return ""
}
