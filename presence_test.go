package coffre_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Presence is told by a type, a pointer or a slice, and never by a value: a zero id or a
// zero time in a request is a value that was sent. What a request type may hold is judged in
// handlers/contract; here it is judged what becomes of it on the way.

// filterName matches the structs that carry what a request asks for to those who look for it.
var filterName = regexp.MustCompile(`(Filter|Query|Basis|Reading|Viewing)$`)

// carried lists the fields of filters whose id is always there, with the reason.
var carried = map[string]string{
	"Reading.Document": "which document is read is decided before a reading is judged; there is none where nothing is held",
	"Reading.Access":   "each reading has an id of its own, made by the vault",

	"Filter.Now":              "the moment of the question, which the vault sets; the zero time hides whatever could be hidden",
	"InvestigationFilter.Now": "the moment of the question, which the vault sets",

	"formerFilter.From":  "it reads files of a time when zero stood for no bound",
	"formerFilter.Until": "it reads files of a time when zero stood for no bound",
}

// asked lists the fields of commands that a rule asks for their zero value, with the reason
// why a request cannot have sent it.
var asked = map[string]string{
	"access.RecordNamed.Citizen":      "the vault knows nobody by that number: no request names a citizen by id here",
	"consent.Request.Citizen":         "the vault knows nobody by that number: no request names a citizen by id here",
	"access.RecordTold.Citizen":       "the vault knows nobody by that number: no request names a citizen by id here",
	"access.RecordTold.Investigation": "the vault judged the one that the request names, and sets it only where it covers the query",
	"access.RecordTold.Access":        "made by the vault",
	"access.RecordOutcome.Access":     "made by the vault",
}

// sentinels returns how a file takes a zero id or a zero time for something that is absent.
// It forbids three patterns: a filter (filterName) in handlers or projections with a field
// that is an id of the domain, a uuid.UUID or a time.Time and no pointer, unless carried
// lists it; a command of the domain (a type with a method Decide) one of whose methods asks a
// field of that kind for IsZero or compares it with uuid.Nil or time.Time{}, unless asked
// lists it; and in handlers, the same question of a member of a request's body or parameters,
// but for an SSIN, whose zero value is no text that the gate lets through. used is told of the
// entries of the two lists that are needed.
func sentinels(s source, used map[string]bool) (wrong []string) {
	pkg := s.file.Name.Name
	fields := map[string]map[string]bool{} // ids and times by value, by struct
	ast.Inspect(s.file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		of, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		fields[spec.Name.Name] = map[string]bool{}
		for _, f := range of.Fields.List {
			for _, name := range f.Names {
				fields[spec.Name.Name][name.Name] = isSentinelType(f.Type)
			}
		}
		return true
	})
	if s.in("handlers", "projections") {
		for name, of := range fields {
			for field, byValue := range of {
				switch key := name + "." + field; {
				case !byValue || !filterName.MatchString(name):
				case carried[key] != "":
					used[key] = true
				default:
					wrong = append(wrong, key+" tells by its zero value that nothing is asked: make it a pointer")
				}
			}
		}
	}
	commands := decides(s.file)
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		if s.isRule() && f.Recv != nil && len(f.Recv.List[0].Names) == 1 {
			if of, ok := f.Recv.List[0].Type.(*ast.Ident); ok && slices.Contains(commands, of.Name) {
				for _, at := range zeroQuestions(f.Body, map[string]bool{f.Recv.List[0].Names[0].Name: true}) {
					field, rest, _ := strings.Cut(at, ".")
					switch key := pkg + "." + of.Name + "." + field; {
					case rest != "" || !fields[of.Name][field]:
					case asked[key] != "":
						used[key] = true
					default:
						wrong = append(wrong, key+" is asked for its zero value: make it a pointer")
					}
				}
			}
		}
		if s.in("handlers") {
			for _, at := range zeroQuestions(f.Body, requestsOf(f)) {
				if !strings.HasSuffix(at, "SSIN") {
					wrong = append(wrong, at+" of a request is asked for its zero value: ask the pointer")
				}
			}
		}
	}
	return wrong
}

// isSentinelType reports whether a type's zero value can be sent in a request: an id of the
// domain, a uuid.UUID or a time.Time, by value.
func isSentinelType(e ast.Expr) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	if !ok {
		return false
	}
	switch pkg.Name + "." + sel.Sel.Name {
	case "time.Time", "uuid.UUID", "domain.CitizenRef":
		return true
	}
	return pkg.Name == "domain" && strings.HasSuffix(sel.Sel.Name, "ID")
}

// requestsOf returns the names under which a function knows the body or the parameters of a
// request: arguments of a type of the contract, and what is assigned from r.Body or r.Params.
func requestsOf(f *ast.FuncDecl) map[string]bool {
	names := map[string]bool{"r.Body": true, "r.Params": true}
	for _, p := range f.Type.Params.List {
		t := p.Type
		if star, ok := t.(*ast.StarExpr); ok {
			t = star.X
		}
		if sel, ok := t.(*ast.SelectorExpr); ok && dotted(sel.X) == "contract" && (strings.HasSuffix(sel.Sel.Name, "Params") || t != p.Type) {
			for _, name := range p.Names {
				names[name.Name] = true
			}
		}
	}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == len(a.Rhs) {
			for i, from := range a.Rhs {
				if names[dotted(from)] {
					names[dotted(a.Lhs[i])] = true
				}
			}
		}
		return true
	})
	return names
}

// zeroQuestions returns, for each place where something behind one of the names is asked for
// IsZero, or compared with uuid.Nil or time.Time{}, the way there from the name.
func zeroQuestions(body *ast.BlockStmt, names map[string]bool) (all []string) {
	add := func(e ast.Expr) {
		at := dotted(e)
		for name := range names {
			if rest, ok := strings.CutPrefix(at, name+"."); ok {
				all = append(all, rest)
			}
		}
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "IsZero" {
				add(sel.X)
			}
		case *ast.BinaryExpr:
			for _, sides := range [][2]ast.Expr{{n.X, n.Y}, {n.Y, n.X}} {
				if isZeroLiteral(sides[1]) {
					add(sides[0])
				}
			}
		}
		return true
	})
	return all
}

// isZeroLiteral reports whether an expression is uuid.Nil, time.Time{} or the zero value of an
// id.
func isZeroLiteral(e ast.Expr) bool {
	if paren, ok := e.(*ast.ParenExpr); ok {
		e = paren.X
	}
	if lit, ok := e.(*ast.CompositeLit); ok {
		return len(lit.Elts) == 0 && lit.Type != nil && isSentinelType(lit.Type)
	}
	return dotted(e) == "uuid.Nil"
}

// dotted returns an expression of names and dots as text; "" for any other.
func dotted(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return dotted(e.X)
	case *ast.SelectorExpr:
		if x := dotted(e.X); x != "" {
			return x + "." + e.Sel.Name
		}
	}
	return ""
}

// F1, F2: no filter, no command and no handler takes a zero id or a zero time of a request
// for one that is absent.
func TestF1NoZeroValueStandsForAbsent(t *testing.T) {
	fset, used, files := token.NewFileSet(), map[string]bool{}, 0
	for _, p := range goFiles(t, false) {
		s := source{p, parse(t, fset, p)}
		if !s.in("domain", "handlers", "projections") || strings.HasSuffix(p, "gen.go") {
			continue
		}
		files++
		for _, w := range sentinels(s, used) {
			t.Errorf("%s: %s", p, w)
		}
	}
	for _, list := range []map[string]string{carried, asked} {
		for name := range list {
			if !used[name] {
				t.Errorf("%s is listed and nothing needs it", name)
			}
		}
	}
	if files < 200 {
		t.Errorf("only %d files", files)
	}
}

// The rule above says no when it should.
func TestF1NoZeroValueStandsForAbsentSaysNo(t *testing.T) {
	for _, tc := range []struct{ path, src string }{
		{"projections/consentlog/x.go", `package x; type Filter struct { From time.Time }`},
		{"projections/wallet/x.go", `package x; type IssuedFilter struct { Citizen domain.CitizenID }`},
		{"handlers/disclosure/x.go", `package x; type Basis struct { Consent domain.ConsentID }`},
		{"handlers/api/x.go", `package x; type consentQuery struct { citizen domain.CitizenID }`},
		{"domain/consent/x.go", `package consent; type Grant struct { Until time.Time }; func (c Grant) Decide() { _ = c.Until.IsZero() }`},
		{"domain/citizen/x.go", `package citizen; type RequestErasure struct { Document domain.DocumentID }; func (c RequestErasure) Decide() { _ = c.Document == domain.DocumentID{} }`},
		{"handlers/api/x.go", `package x; func f(r contract.X) { if r.Body.CitizenID.IsZero() {} }`},
		{"handlers/api/x.go", `package x; func f(r contract.X) { call, p, q := 1, r.Params, r.Body; _, _ = call, q; if !p.AsOf.IsZero() {} }`},
		{"handlers/api/x.go", `package x; func f(body *contract.ErasureRequest) { if *body.DocumentID == uuid.Nil {} }`},
		{"handlers/api/x.go", `package x; func f(p contract.GetWalletParams) { _ = time.Time{} == p.AsOf }`},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), tc.path, tc.src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(sentinels(source{tc.path, file}, map[string]bool{})) == 0 {
			t.Errorf("%s may hold: %s", tc.path, tc.src)
		}
	}
	for _, tc := range []struct{ path, src string }{
		{"projections/consentlog/x.go", `package x; type Filter struct { From *time.Time; Purpose domain.Purpose }; type Entry struct { At time.Time }`},
		{"domain/consent/x.go", `package consent; type Grant struct { Until *time.Time; By domain.Actor }; func (c Grant) Decide() { _, _ = c.Until == nil, c.By.Organisation.IsZero() }`},
		{"handlers/api/x.go", `package x; func f(r contract.X) { _, _ = r.Body.SSIN.IsZero(), r.Body.CitizenID == nil }`},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), tc.path, tc.src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := sentinels(source{tc.path, file}, map[string]bool{}); len(wrong) > 0 {
			t.Errorf("%s: %v", tc.path, wrong)
		}
	}
}
