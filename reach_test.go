package coffre_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// production is the program whose declarations count as run.
const production = "coffre/cmd/coffre"

// reach says which declarations of the module a program comes to from its main
// function and its initialisers. A reached declaration reaches all that it names. The
// call of an interface's method reaches that method of every reached type that has the
// interface; interfaces from outside the module count as called, because their callers
// are not read. So reach errs on one side: what it leaves out is run by nothing.
type reach struct {
	places  map[string]bool // reached declarations, as place names them
	folders map[string]bool // of the packages that are linked into the program
	dead    []string        // functions and methods that are not reached, as "file `Name`"
}

// reachOfProduction is reachOf production, followed once for all tests.
func reachOfProduction(t *testing.T) reach {
	t.Helper()
	followProduction.Do(func() { reachedByProduction = reachOf(t, production) })
	if len(reachedByProduction.folders) < 20 || len(reachedByProduction.places) < 1000 {
		t.Fatalf("production reaches %d declarations of %d packages only", len(reachedByProduction.places), len(reachedByProduction.folders))
	}
	return reachedByProduction
}

var (
	followProduction    sync.Once
	reachedByProduction reach
)

// unit is one package of the module, type-checked.
type unit struct {
	folder string
	pkg    *types.Package
	info   types.Info
	paths  []string // of files, in the order of files
	files  []*ast.File
}

// reachOf type-checks a program and follows it from its main function.
func reachOf(t *testing.T, program string) reach {
	t.Helper()
	units, outside := typeCheck(t, program)
	w := walk{own: make(map[*types.Package]bool), names: make(map[types.Object][]types.Object), outside: outside, reached: make(map[types.Object]bool)}
	for _, u := range units {
		w.own[u.pkg] = true
	}
	for _, u := range units {
		for _, f := range u.files {
			for _, d := range f.Decls {
				w.declare(u, d)
			}
		}
	}
	for _, u := range units {
		for _, f := range u.files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && (fn.Name.Name == "init" || fn.Name.Name == "main" && u.pkg.Path() == program) {
					w.reach(u.info.Defs[fn.Name])
				}
			}
		}
	}
	w.follow()
	out := reach{places: make(map[string]bool), folders: make(map[string]bool)}
	for _, u := range units {
		out.folders[u.folder] = true
		for i, f := range u.files {
			for _, d := range f.Decls {
				if slices.ContainsFunc(objectsOf(u, d), func(o types.Object) bool { return w.reached[o] }) {
					out.places[place(u.paths[i], d)] = true
				} else if _, ok := d.(*ast.FuncDecl); ok {
					out.dead = append(out.dead, place(u.paths[i], d))
				}
			}
		}
	}
	return out
}

func place(path string, d ast.Decl) string { return path + " `" + declared(d) + "`" }

// typeCheck returns the module's packages of a program, dependencies first, and the
// interfaces that the other packages declare.
func typeCheck(t *testing.T, program string) (units []*unit, outside []*types.Interface) {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles,Module", program)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the packages of %s: %v", program, err)
	}
	exported := make(map[string]string)
	fset := token.NewFileSet()
	imports := packageImports{own: make(map[string]*types.Package), other: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exported[path])
	})}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath, Dir, Export string
			GoFiles                 []string
			Module                  *struct{ Main bool }
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Module == nil || !p.Module.Main {
			exported[p.ImportPath] = p.Export
			if !strings.Contains(p.ImportPath, "internal") && p.ImportPath != "unsafe" {
				pkg, err := imports.Import(p.ImportPath)
				if err != nil {
					t.Fatal(err)
				}
				outside = append(outside, interfacesOf(pkg)...)
			}
			continue
		}
		folder, err := filepath.Rel(here, p.Dir)
		if err != nil {
			t.Fatal(err)
		}
		u := &unit{folder: filepath.ToSlash(folder), info: types.Info{Defs: make(map[*ast.Ident]types.Object), Uses: make(map[*ast.Ident]types.Object)}}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			u.paths, u.files = append(u.paths, u.folder+"/"+name), append(u.files, file)
		}
		conf := types.Config{Importer: imports}
		if u.pkg, err = conf.Check(p.ImportPath, fset, u.files, &u.info); err != nil {
			t.Fatalf("check %s: %v", p.ImportPath, err)
		}
		imports.own[p.ImportPath] = u.pkg
		units = append(units, u)
	}
	if len(units) == 0 || len(outside) == 0 {
		t.Fatalf("%d packages and %d interfaces only: this test looks in the wrong place", len(units), len(outside))
	}
	return units, outside
}

// packageImports gives the module's packages as they were checked, others as compiled.
type packageImports struct {
	own   map[string]*types.Package
	other types.Importer
}

func (i packageImports) Import(path string) (*types.Package, error) {
	if p := i.own[path]; p != nil {
		return p, nil
	}
	return i.other.Import(path)
}

func interfacesOf(p *types.Package) (all []*types.Interface) {
	for _, name := range p.Scope().Names() {
		of, ok := p.Scope().Lookup(name).(*types.TypeName)
		if !ok || !of.Exported() {
			continue
		}
		if i, ok := of.Type().Underlying().(*types.Interface); ok && i.NumMethods() > 0 && i.IsMethodSet() {
			all = append(all, i)
		}
	}
	return all
}

// walk follows what declarations name.
type walk struct {
	own     map[*types.Package]bool
	names   map[types.Object][]types.Object
	outside []*types.Interface
	reached map[types.Object]bool
	queue   []types.Object
	types   []*types.Named // reached ones that have methods
	called  []*types.Func  // methods of interfaces
}

// objectsOf returns what a declaration declares.
func objectsOf(u *unit, d ast.Decl) (all []types.Object) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		all = append(all, u.info.Defs[d.Name])
	case *ast.GenDecl:
		for _, s := range d.Specs {
			all = append(all, declaredBy(u, s)...)
		}
	}
	return all
}

func declaredBy(u *unit, s ast.Spec) (all []types.Object) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		all = append(all, u.info.Defs[s.Name])
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.Name != "_" {
				all = append(all, u.info.Defs[name])
			}
		}
	}
	return all
}

// declare notes what each object of a declaration names.
func (w *walk) declare(u *unit, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		w.names[u.info.Defs[d.Name]] = w.namedIn(u, d)
	case *ast.GenDecl:
		for _, s := range d.Specs {
			for _, o := range declaredBy(u, s) {
				w.names[o] = w.namedIn(u, s)
				if of, ok := o.Type().(*types.Named); ok {
					w.names[o] = append(w.names[o], of.Obj())
				}
			}
		}
	}
}

func (w *walk) namedIn(u *unit, n ast.Node) (all []types.Object) {
	ast.Inspect(n, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		switch o := u.info.Uses[id].(type) {
		case *types.Func:
			if w.own[o.Pkg()] {
				all = append(all, o.Origin())
			}
		case *types.TypeName, *types.Const, *types.Var:
			if w.own[o.Pkg()] && o.Parent() == o.Pkg().Scope() {
				all = append(all, o)
			}
		}
		return true
	})
	return all
}

func (w *walk) reach(o types.Object) {
	if !w.reached[o] {
		w.reached[o] = true
		w.queue = append(w.queue, o)
	}
}

func (w *walk) follow() {
	for len(w.queue) > 0 {
		o := w.queue[len(w.queue)-1]
		w.queue = w.queue[:len(w.queue)-1]
		for _, named := range w.names[o] {
			w.reach(named)
		}
		switch o := o.(type) {
		case *types.TypeName:
			if of, ok := o.Type().(*types.Named); ok && !types.IsInterface(of) {
				w.types = append(w.types, of)
				w.asOutside(of)
				for _, m := range w.called {
					w.dispatch(of, m)
				}
			}
		case *types.Func:
			if recv := o.Signature().Recv(); recv != nil && types.IsInterface(recv.Type()) {
				w.called = append(w.called, o)
				for _, of := range w.types {
					w.dispatch(of, o)
				}
			}
		}
	}
}

// asOutside reaches the methods by which other modules' code may call a type.
func (w *walk) asOutside(of *types.Named) {
	methods := types.NewMethodSet(types.NewPointer(of))
	if methods.Len() == 0 {
		return
	}
	isError := types.Implements(types.NewPointer(of), types.Universe.Lookup("error").Type().Underlying().(*types.Interface))
	for i := range methods.Len() {
		m := methods.At(i).Obj().(*types.Func)
		// Names by which package errors and encoders ask without an interface that they export.
		if m.Name() == "IsZero" || isError && slices.Contains([]string{"Error", "Unwrap", "Is", "As"}, m.Name()) {
			w.reach(m.Origin())
		}
	}
	for _, i := range w.outside {
		if methods.Lookup(nil, i.Method(0).Name()) == nil || !types.Implements(types.NewPointer(of), i) {
			continue
		}
		for m := range i.Methods() {
			if found := methods.Lookup(m.Pkg(), m.Name()); found != nil {
				w.reach(found.Obj().(*types.Func).Origin())
			}
		}
	}
}

// dispatch reaches the method that a call of an interface's method would run if a
// value of the type lay behind it. An interface with type parameters is compared by the
// names of its methods.
func (w *walk) dispatch(of *types.Named, called *types.Func) {
	methods := types.NewMethodSet(types.NewPointer(of))
	found := methods.Lookup(called.Pkg(), called.Name())
	if found == nil {
		return
	}
	i := called.Signature().Recv().Type().Underlying().(*types.Interface)
	generic := of.TypeParams().Len() > 0
	for m := range i.Methods() {
		generic = generic || hasParameter(m.Signature())
		if methods.Lookup(m.Pkg(), m.Name()) == nil {
			return
		}
	}
	if generic || types.Implements(types.NewPointer(of), i) {
		w.reach(found.Obj().(*types.Func).Origin())
	}
}

// hasParameter reports whether a signature mentions a type parameter.
func hasParameter(s *types.Signature) bool {
	var in func(types.Type) bool
	in = func(t types.Type) bool {
		switch t := t.(type) {
		case *types.TypeParam:
			return true
		case *types.Pointer:
			return in(t.Elem())
		case *types.Slice:
			return in(t.Elem())
		case *types.Map:
			return in(t.Key()) || in(t.Elem())
		case *types.Signature:
			return hasParameter(t)
		case *types.Named:
			for a := range t.TypeArgs().Types() {
				if in(a) {
					return true
				}
			}
		}
		return false
	}
	for _, tuple := range []*types.Tuple{s.Params(), s.Results()} {
		for v := range tuple.Variables() {
			if in(v.Type()) {
				return true
			}
		}
	}
	return false
}

// What reach leaves out of a program made for it is what that program never runs.
func TestReach(t *testing.T) {
	r := reachOf(t, "coffre/testdata/reach")
	want := []string{"deadAdapter.reachedCall", "deadFunction", "reachedAdapter.deadMethod", "reachedGeneric.deadMethod"}
	for i := range want {
		want[i] = "testdata/reach/main.go `" + want[i] + "`"
	}
	if slices.Sort(r.dead); !slices.Equal(r.dead, want) {
		t.Errorf("not reached: %q", r.dead)
	}
	if !r.places["testdata/reach/main.go `reachedPort`"] || r.places["testdata/reach/main.go `deadAdapter`"] {
		t.Error("types are reached when they are named in what is reached")
	}
}
