// Package coffre_test holds the house to its rules: who may import whom, that
// the domain is pure, that every command can be sent, and that every rule is
// tested.
package coffre_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "coffre/"

// mayImport lists, for each top-level folder that holds Go, the folders of this
// module it may import.
var mayImport = map[string][]string{
	"domain":      {"domain"},
	"eventstore":  {"domain", "eventstore"},
	"projections": {"domain", "eventstore", "projections"},
	"handlers":    {"domain", "eventstore", "projections", "handlers"},
	"cmd":         {"domain", "eventstore", "projections", "handlers", "deploy", "cmd"},
	"deploy":      {},
	"docs":        {},
}

// mayWire are the folders that may import adapters: where vaults are put together, and
// the benchmarks, which measure adapters bare.
var mayWire = []string{"cmd/coffre/vault", "cmd/coffre/bench"}

// adapters are wired by cmd/coffre/vault, and nobody else but benchmarks and tests knows
// which there are.
var adapters = []string{
	"eventstore/memory", "eventstore/sqlite", "eventstore/postgres", "eventstore/kurrent", "eventstore/kurrent/wire", "eventstore/leaves",
	"eventstore/seal/localkek", "eventstore/seal/transit", "eventstore/spans/otlp", "eventstore/blob/folder", "eventstore/blob/s3",
	"projections/sqlitemodels", "projections/pgmodels",
}

// rooms are the parts of handlers, by who may see plaintext and who may destroy: what
// each may import of this module besides the domain. A room knows those below it only.
var rooms = map[string][]string{
	"handlers/contract":    {"handlers/contract"},
	"handlers/edge":        {"handlers/contract", "handlers/edge"},
	"handlers/acting":      {"eventstore", "projections", "handlers/contract", "handlers/edge", "handlers/acting"},
	"handlers/disclosure":  {"eventstore", "projections", "handlers/contract", "handlers/edge", "handlers/acting", "handlers/disclosure"},
	"handlers/certificate": {"eventstore", "handlers/contract", "handlers/certificate"},
	"handlers/work":        {"eventstore", "projections", "handlers/contract", "handlers/edge", "handlers/acting", "handlers/disclosure", "handlers/certificate", "handlers/work"},
	"handlers/api":         {"eventstore", "projections", "handlers/contract", "handlers/edge", "handlers/acting", "handlers/disclosure", "handlers/work", "handlers/api"},
	"handlers/pages":       {"handlers/contract", "handlers/edge", "handlers/pages"},
	"handlers/reactors":    {"eventstore", "handlers/reactors"},
}

// wiring is the part of cmd that hands authorities out.
const wiring = "cmd/coffre/vault"

// authorities are the names by which a file sees plaintext, or destroys and replaces keys:
// types and functions by their package, methods of the key ring by the name alone. Each may
// stand where it is made, in the one room that holds it, and in the wiring.
var authorities = []struct {
	pkg   string // "" for methods
	names []string
	room  string
	why   string
}{
	{module + "eventstore", []string{"Opener", "OpenEvent", "OpenPart"}, "handlers/disclosure", "opens what is personal"},
	{module + "eventstore/seal", []string{"Opener", "OpenFile"}, "handlers/disclosure", "opens what is personal"},
	{"", []string{"SSINOf"}, "handlers/disclosure", "gives a national number back"},
	{module + "eventstore/seal", []string{"Destroyer", "Rotator"}, "handlers/work", "destroys or replaces keys"},
	{module + "eventstore/seal/shred", []string{"List", "Open"}, "handlers/work", "keeps the list of destroyed keys"},
	{"", []string{"EnrollNewLife", "EndSuppression"}, "handlers/work", "lets an erased person be known again"},
	{"", []string{"TakeDestroyer", "TakeRotator"}, wiring, "takes an authority, which is done once"},
	{"", []string{"OpenRestored", "ReapplyDestroyed"}, wiring, "destroys again what a restored ring still has"},
}

// mayRotate measures the rotation bare, in Vault.
const mayRotate = "cmd/coffre/bench"

// mayAnswer lists what a part of cmd may import of handlers, where it is less than all.
var mayAnswer = map[string][]string{"cmd/coffre/client": {"handlers/contract"}}

// drivers speak to one database: the read side does so in its adapters only.
var drivers = []string{
	"github.com/ncruces/", "modernc.org/", "github.com/mattn/go-sqlite3", "github.com/jackc/", "github.com/lib/pq",
	module + "eventstore/sqlite", module + "eventstore/postgres",
}

// shared lie under an adapter's folder and are none: they open SQLite files, and
// schemas of PostgreSQL, for whoever keeps one.
var shared = []string{"eventstore/sqlite/sqlitedb", "eventstore/postgres/pgdb", "eventstore/postgres/pgtest"}

// ownTables are the handlers that keep tables of their own: where each reactor
// is, and what it has sent.
var ownTables = "handlers/reactors"

var (
	pureImports = []string{"bytes", "cmp", "errors", "fmt", "maps", "slices", "strconv", "strings", "time", "unicode", "unicode/utf8", "github.com/google/uuid"}
	// impure is what the domain may not use of packages it may import.
	impure = map[string][]string{
		"time":                   {"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTicker", "NewTimer", "Local", "LoadLocation"},
		"fmt":                    {"Print", "Println", "Printf", "Scan", "Scanf", "Scanln"},
		"github.com/google/uuid": {"New", "NewString", "NewRandom", "NewRandomFromReader", "NewUUID", "NewV6", "NewV7", "NewV7FromReader", "NewDCEPerson", "NewDCEGroup", "NewDCESecurity", "SetRand", "EnableRandPool"},
	}
)

// source is one Go file that ships.
type source struct {
	path string // with slashes, from the root
	file *ast.File
}

func (s source) folder() string { top, _, _ := strings.Cut(s.path, "/"); return top }

func (s source) in(folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(s.path, f+"/") })
}

// goFiles returns the paths of the module's Go files, tests or the others.
func goFiles(t *testing.T, tests bool) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || p == "testdata" || d.Name() == "node_modules"):
			return filepath.SkipDir // the root's own testdata holds programs that a test reads
		case !d.IsDir() && strings.HasSuffix(p, ".go") && strings.HasSuffix(p, "_test.go") == tests:
			paths = append(paths, filepath.ToSlash(p))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 20 {
		t.Fatalf("found %d files only: this test looks in the wrong place", len(paths))
	}
	return paths
}

func parse(t *testing.T, fset *token.FileSet, p string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(fset, filepath.FromSlash(p), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLayers(t *testing.T) {
	fset := token.NewFileSet()
	for _, p := range goFiles(t, false) {
		for _, wrong := range layering(source{p, parse(t, fset, p)}) {
			t.Errorf("%s: %s", p, wrong)
		}
	}
}

// layering returns what a file does that its place does not allow.
func layering(s source) (wrong []string) {
	allowed, known := mayImport[s.folder()]
	if !known {
		return []string{"Go lives in the mandated folders only"}
	}
	names := make(map[string]string) // how this file calls what it imports
	for _, spec := range s.file.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return append(wrong, "an import that is no string")
		}
		name := path.Base(imp)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = imp
		if name == "." && s.folder() != "cmd" { // whose client is generated over the contract's names
			wrong = append(wrong, "a dot import hides whose name it is: "+imp)
		}
		if why := importing(s, allowed, imp); why != "" {
			wrong = append(wrong, why)
		}
	}
	wrong = append(wrong, exceeding(s, names)...)
	if !s.isRule() {
		return wrong
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && slices.Contains(impure[names[pkg.Name]], n.Sel.Name) {
				wrong = append(wrong, "the domain is pure: what "+pkg.Name+"."+n.Sel.Name+" gives comes in with the command")
			}
		case *ast.GoStmt:
			wrong = append(wrong, "the domain is pure: it starts no goroutine")
		}
		return true
	})
	return wrong
}

// isRule reports whether the file holds rules: all of domain but its test helper.
func (s source) isRule() bool { return s.in("domain") && !s.in("domain/domaintest") }

func importing(s source, allowed []string, imp string) string {
	ours, inModule := strings.CutPrefix(imp, module)
	to, _, _ := strings.Cut(ours, "/")
	under := func(list []string) bool {
		return slices.ContainsFunc(list, func(a string) bool { return ours == a || strings.HasPrefix(ours, a+"/") })
	}
	isTestHelper := strings.HasSuffix(path.Dir(s.path), "test") || s.in("eventstore/faulty")
	switch {
	case inModule && !slices.Contains(allowed, to):
		return s.folder() + " must not import " + imp
	case inModule && to != "domain" && !inRoom(s, ours):
		return "this part of handlers must not know " + imp
	case inModule && strings.HasPrefix(ours, "domain/") && s.in("eventstore") && !s.in("eventstore/codec") && !isTestHelper:
		return "only eventstore/codec knows the kinds of event; it must not import " + imp
	case inModule && under(adapters) && !under(shared) && !s.in(mayWire...) && !isTestHelper && !sameAdapter(s, ours):
		return "only cmd/coffre/vault and benchmarks may import the adapter " + imp
	case inModule && strings.HasSuffix(path.Base(ours), "test") && !isTestHelper:
		return "what helps tests does not ship: " + imp
	case s.in("projections") && !s.in(adapters...) && !isTestHelper && isDriver(imp):
		return "read models know a medium, not its driver: " + imp
	case imp == "database/sql" && s.in("domain", "handlers") && !s.in(ownTables):
		return "handlers ask read models, not databases"
	case ours == "eventstore/seal/keysdb" && s.in("handlers", "projections"):
		return "only the key ring reads and writes the database of keys"
	case imp == "text/template" || imp == "html/template":
		return "a template keeps every method of every type in the program, a fifth of its size; write it in Go: " + imp
	case imp == "reflect" && s.in("handlers") && !s.in("handlers/contract"):
		return "reflection calls what no rule sees"
	case s.in("cmd/coffre/client") && inModule && to != "domain" && ours != "handlers/contract" && !strings.HasPrefix(ours, "handlers/contract/"):
		return "the command line's client knows the contract alone, not " + imp
	case !inModule && s.isRule() && !slices.Contains(pureImports, imp):
		return "the domain is pure: it must not import " + imp
	}
	return ""
}

func isDriver(imp string) bool {
	return slices.ContainsFunc(drivers, func(d string) bool { return strings.HasPrefix(imp, d) })
}

// exceeding returns the authorities that a file names and whose room it is not in. names
// says how the file calls what it imports.
func exceeding(s source, names map[string]string) (wrong []string) {
	if path.Dir(s.path) == "eventstore" || s.in("eventstore/seal", "eventstore/faulty", wiring) || strings.HasSuffix(path.Dir(s.path), "test") {
		return nil
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg := ""
		if x, ok := sel.X.(*ast.Ident); ok {
			pkg = names[x.Name]
		}
		for _, a := range authorities {
			if (a.pkg == "" || a.pkg == pkg) && slices.Contains(a.names, sel.Sel.Name) && !s.in(a.room) && !(s.in(mayRotate) && sel.Sel.Name == "TakeRotator") {
				wrong = append(wrong, sel.Sel.Name+" "+a.why+": only "+a.room+" and the wiring may name it")
			}
		}
		return true
	})
	return wrong
}

// inRoom reports whether a file of handlers, or of a part of cmd that may know less than
// all of them, may import a package of this module.
func inRoom(s source, ours string) bool {
	within := func(list []string) bool {
		return slices.ContainsFunc(list, func(a string) bool { return ours == a || strings.HasPrefix(ours, a+"/") })
	}
	for room, allowed := range rooms {
		if s.in(room) {
			return within(allowed)
		}
	}
	for part, allowed := range mayAnswer {
		if s.in(part) {
			return !strings.HasPrefix(ours, "handlers/") || within(allowed)
		}
	}
	return s.folder() != "handlers"
}

// sameAdapter reports whether a file and a package are parts of one adapter, which may
// import each other.
func sameAdapter(s source, ours string) bool {
	return slices.ContainsFunc(adapters, func(a string) bool {
		return s.in(a) && (ours == a || strings.HasPrefix(ours, a+"/"))
	})
}

// The rules above say no when they should.
func TestLayersSayNo(t *testing.T) {
	for _, tc := range []struct{ path, src string }{
		{"util/x.go", `package x`},
		{"main.go", `package x`},
		{"domain/consent/x.go", `package x; import "coffre/eventstore"`},
		{"domain/consent/x.go", `package x; import "encoding/json"`},
		{"domain/consent/x.go", `package x; import "context"`},
		{"domain/consent/x.go", `package x; import "log/slog"`},
		{"domain/consent/x.go", `package x; import "coffre/domain/domaintest"`},
		{"domain/consent/x.go", `package x; import clock "time"; var now = clock.Now`},
		{"domain/x.go", `package x; import "github.com/google/uuid"; var id = uuid.New()`},
		{"domain/x.go", `package x; func f() { go f() }`},
		{"eventstore/x.go", `package x; import "coffre/projections/wallet"`},
		{"eventstore/seal/x.go", `package x; import "coffre/domain/consent"`},
		{"eventstore/x.go", `package x; import "coffre/eventstore/sqlite"`},
		{"eventstore/proof/x.go", `package x; import "coffre/eventstore/sqlite"`},
		{"projections/wallet/x.go", `package x; import "coffre/handlers/api"`},
		{"projections/wallet/x.go", `package x; import "coffre/eventstore/memory"`},
		{"projections/x.go", `package x; import "coffre/projections/sqlitemodels"`},
		{"projections/x.go", `package x; import "coffre/eventstore/sqlite/sqlitedb"`},
		{"projections/x.go", `package x; import "coffre/eventstore/postgres/pgdb"`},
		{"projections/x.go", `package x; import "github.com/ncruces/go-sqlite3"`},
		{"projections/wallet/x.go", `package x; import "github.com/jackc/pgx/v5"`},
		{"projections/wallet/x.go", `package x; import "coffre/projections/pgmodels"`},
		{"projections/sqlitemodels/x.go", `package x; import "coffre/projections/pgmodels"`},
		{"handlers/api/x.go", `package x; import "coffre/projections/sqlitemodels"`},
		{"cmd/coffre/x.go", `package x; import "coffre/projections/pgmodels"`},
		{"handlers/contract/x.go", `package x; import "coffre/handlers/edge"`},
		{"handlers/edge/x.go", `package x; import "coffre/eventstore"`},
		{"handlers/api/x.go", `package x; import . "coffre/eventstore/seal"`},
		{"handlers/api/x.go", `package x; import ("coffre/eventstore/seal"; other "coffre/handlers/api/seal"); var o, _ = seal.Opener{}, other.X`},
		{"handlers/api/testdata/evil/x.go", `package x; import "coffre/eventstore/seal"; var o = seal.Opener{}`},
		{"handlers/api/x.go", `package x; import "coffre/eventstore/seal/keysdb"`},
		{"handlers/work/x.go", `package x; import "reflect"`},
		{"handlers/edge/x.go", `package x; import "html/template"`},
		{"cmd/coffre/x.go", `package x; import "text/template"`},
		{"handlers/api/x.go", `package x; import "coffre/eventstore/seal"; var o = seal.OpenRestored`},
		{"eventstore/kurrent/wire/x.go", `package x; import "coffre/eventstore"; var o eventstore.Opener`},
		{"cmd/coffre/client/x.go", `package x; import "coffre/eventstore/seal"`},
		{"handlers/edge/x.go", `package x; import "coffre/handlers/api"`},
		{"handlers/acting/x.go", `package x; import "coffre/handlers/disclosure"`},
		{"handlers/disclosure/x.go", `package x; import "coffre/handlers/work"`},
		{"handlers/work/x.go", `package x; import "coffre/handlers/api"`},
		{"handlers/certificate/x.go", `package x; import "coffre/handlers/edge"`},
		{"handlers/api/x.go", `package x; import "coffre/handlers/certificate"`},
		{"handlers/api/x.go", `package x; import "coffre/eventstore"; type v struct{ o eventstore.Opener }`},
		{"handlers/acting/x.go", `package x; import "coffre/eventstore"; var _, _ = eventstore.OpenEvent(nil, nil, nil, nil)`},
		{"handlers/work/x.go", `package x; import "coffre/eventstore"; var _, _ = eventstore.OpenPart(nil, nil, nil, nil, nil, nil)`},
		{"handlers/api/x.go", `package x; import "coffre/eventstore/seal"; var o = seal.Opener{}`},
		{"handlers/work/x.go", `package x; import keys "coffre/eventstore/seal"; var o = keys.OpenFile`},
		{"handlers/api/x.go", `package x; func f(v struct{ Keys interface{ SSINOf() } }) { v.Keys.SSINOf() }`},
		{"handlers/disclosure/x.go", `package x; import "coffre/eventstore/seal"; var d *seal.Destroyer`},
		{"handlers/api/x.go", `package x; import "coffre/eventstore/seal"; var r *seal.Rotator`},
		{"handlers/api/x.go", `package x; import "coffre/eventstore/seal/shred"; var l *shred.List`},
		{"handlers/work/x.go", `package x; func f(ring interface{ TakeDestroyer() }) { ring.TakeDestroyer() }`},
		{"cmd/coffre/x.go", `package x; func f(ring interface{ TakeRotator() }) { ring.TakeRotator() }`},
		{"handlers/newroom/x.go", `package x; import "coffre/eventstore"`},
		{"handlers/reactors/x.go", `package x; import "coffre/handlers/api"`},
		{"handlers/pages/x.go", `package x; import "coffre/handlers/api"`},
		{"handlers/pages/x.go", `package x; import "coffre/eventstore"`},
		{"handlers/pages/x.go", `package x; import "html/template"`},
		{"cmd/coffre/client/x.go", `package x; import "coffre/handlers/edge"`},
		{"handlers/api/x.go", `package x; import "database/sql"`},
		{"handlers/api/x.go", `package x; import "coffre/cmd/coffre"`},
		{"handlers/api/x.go", `package x; import "coffre/eventstore/seal/localkek"`},
		{"handlers/api/x.go", `package x; import "coffre/eventstore/blob/folder"`},
		{"cmd/coffre/x.go", `package x; import "coffre/eventstore/sqlite"`},
		{"cmd/coffre/client/x.go", `package x; import "coffre/eventstore/seal/transit"`},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), tc.path, tc.src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(layering(source{tc.path, file})) == 0 {
			t.Errorf("%s may hold: %s", tc.path, tc.src)
		}
	}
	for _, tc := range []struct{ path, src string }{
		{"domain/consent/x.go", `package x; import ("coffre/domain"; "time"; "github.com/google/uuid"); var d = time.Hour; var n = uuid.Nil`},
		{"handlers/disclosure/x.go", `package x; import ("coffre/eventstore"; "coffre/eventstore/seal"); var o eventstore.Opener; var f = seal.OpenFile`},
		{"handlers/work/x.go", `package x; import ("coffre/eventstore/seal"; "coffre/eventstore/seal/shred"); var d *seal.Destroyer; var r *seal.Rotator; var l *shred.List`},
		{"cmd/coffre/vault/x.go", `package x; import "coffre/eventstore/seal"; func f(ring *seal.Ring) { _, _ = ring.TakeDestroyer() }`},
		{"eventstore/codec/x.go", `package x; import "coffre/domain/consent"`},
		{"cmd/coffre/x.go", `package x; import ("coffre/eventstore/sqlite/sqlitedb"; "database/sql")`},
		{"cmd/coffre/vault/x.go", `package x; import ("coffre/eventstore/sqlite"; "database/sql")`},
		{"cmd/coffre/bench/x.go", `package x; import "coffre/eventstore/kurrent"`},
		{"eventstore/sqlite/x.go", `package x; import "coffre/eventstore/sqlite/sqlitedb"`},
		{"projections/sqlitemodels/x.go", `package x; import ("coffre/projections"; "coffre/eventstore/sqlite/sqlitedb"; "github.com/ncruces/go-sqlite3")`},
		{"projections/pgmodels/x.go", `package x; import ("coffre/eventstore/postgres/pgdb"; "github.com/jackc/pgx/v5")`},
		{"projections/x.go", `package x; import ("database/sql"; "github.com/jmoiron/sqlx")`},
		{"cmd/coffre/vault/x.go", `package x; import ("coffre/projections/sqlitemodels"; "coffre/projections/pgmodels")`},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), tc.path, tc.src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := layering(source{tc.path, file}); len(wrong) > 0 {
			t.Errorf("%s: %v", tc.path, wrong)
		}
	}
}

// handled names the file that sends a command where its name does not say so:
// domain/consent/grant.go is sent by handlers/api/consent_grant.go or by
// handlers/reactors/consent_grant.go.
var handled = map[string]string{
	"domain/access/by_law.go":                    "handlers/disclosure/reading.go",
	"domain/access/by_mandate.go":                "handlers/disclosure/representation.go",
	"domain/access/read_back.go":                 "handlers/disclosure/view.go",
	"domain/access/report.go":                    "handlers/api/citizen_subject_access_report.go",
	"domain/access/told.go":                      "handlers/disclosure/reading.go",
	"domain/access/named.go":                     "handlers/disclosure/reading.go",
	"domain/access/outcome.go":                   "handlers/disclosure/outcome_queue.go",
	"domain/access/refusals.go":                  "handlers/disclosure/refused.go",
	"domain/audit/events.go":                     "handlers/api/event_list.go",
	"domain/audit/provider.go":                   "handlers/acting/provider.go",
	"domain/citizen/register.go":                 "handlers/acting/person.go",
	"domain/citizen/propose_death_correction.go": "handlers/api/citizen_propose_correction.go",
	"domain/citizen/propose_merge.go":            "handlers/api/citizen_propose_correction.go",
	"domain/citizen/merge.go":                    "handlers/api/citizen_approve_correction.go",
	"domain/citizen/erase_with_survivor.go":      "handlers/work/erasure_run.go",
	"domain/citizen/correct_death.go":            "handlers/api/citizen_approve_correction.go",
	"domain/citizen/request_erasure.go":          "handlers/api/erasure_request.go",
	"domain/citizen/approve_erasure.go":          "handlers/api/erasure_approve.go",
	"domain/citizen/start_erasure.go":            "handlers/work/erasure_run.go",
	"domain/citizen/stop_erasure.go":             "handlers/work/erasure_run.go",
	"domain/citizen/destroy_key.go":              "handlers/work/erasure_run.go",
	"domain/citizen/complete_erasure.go":         "handlers/work/erasure_run.go",
	"domain/citizen/finalise_erasure.go":         "handlers/work/erasure_final.go",
	"domain/document/destroy_content.go":         "handlers/work/erasure_run.go",
	"domain/registry/publish.go":                 "handlers/work/registry.go",
	"domain/petition/dispute.go":                 "handlers/api/petition_make.go",
	"domain/petition/request.go":                 "handlers/api/petition_make.go",
	"domain/release/complete.go":                 "handlers/api/release_approve.go",
	"domain/term/announce.go":                    "handlers/work/terms.go",
	"domain/access/deliver.go":                   "handlers/disclosure/delivery.go",
	"domain/consent/use.go":                      "handlers/disclosure/reading.go",
}

// A use case has one name everywhere, and a command that nobody can send is dead.
func TestEveryCommandHasAHandler(t *testing.T) {
	fset := token.NewFileSet()
	commands := 0
	unused := make(map[string]bool)
	for p := range handled {
		unused[p] = true
	}
	for _, p := range goFiles(t, false) {
		s := source{p, parse(t, fset, p)}
		deciders := decides(s.file)
		if !s.isRule() || len(deciders) == 0 {
			continue
		}
		commands++
		noun, verb := path.Base(path.Dir(p)), path.Base(p)
		places := []string{"handlers/api/" + noun + "_" + verb, "handlers/reactors/" + noun + "_" + verb}
		if other, ok := handled[p]; ok {
			places = []string{other}
			delete(unused, p)
		}
		for _, command := range deciders {
			sent := slices.ContainsFunc(places, func(place string) bool { return mentions(place, noun+"."+command) })
			if !sent {
				t.Errorf("%s.%s is sent by none of %v", noun, command, places)
			}
		}
	}
	for p := range unused {
		t.Errorf("the table names %s, which holds no command", p)
	}
	if commands < 25 {
		t.Errorf("found %d commands only", commands)
	}
}

// decides returns the names of the commands a file declares.
func decides(file *ast.File) (commands []string) {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv == nil || f.Name.Name != "Decide" {
			continue
		}
		if id, ok := f.Recv.List[0].Type.(*ast.Ident); ok {
			commands = append(commands, id.Name)
		}
	}
	return commands
}

// mentions reports whether the file is there and names the command.
func mentions(p, command string) bool {
	src, err := os.ReadFile(filepath.FromSlash(p))
	return err == nil && strings.Contains(string(src), command)
}
