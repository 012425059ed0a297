package coffre_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// listens lists the files that listen, with what comes in there.
var listens = map[string]string{
	"eventstore/kurrent/given/given.go": "nothing: it is closed at once, for its port",
	"cmd/coffre/ports.go":               "callers of the API, and operators",
	"cmd/coffre/serve.go":               "the control socket",
	"cmd/coffre/command_witness.go":     "logs that ask for a cosignature",
	"cmd/coffre/connect.go":             "the control socket, of a command that serves it meanwhile",
	"cmd/coffre/vault/datadir.go":       "the control socket",
	"cmd/coffre/vault/kurrent.go":       "clients of KurrentDB",
	"cmd/coffre/bench/http.go":          "the benchmarks' callers",
	"cmd/coffre/bench/kurrent.go":       "the benchmarks' KurrentDB",
}

// servesOther lists the calls that serve a listener as it is, by file and receiver, with the
// reason why no request of HTTP/1 is read from it by a lenient reader.
var servesOther = map[string]string{
	"eventstore/kurrent/wire/wire.go s.grpc": "HTTP/2 says where each request ends",
	"cmd/coffre/vault/kurrent.go server":     "a wire.Server wraps what speaks HTTP/1 by its options",
	"cmd/coffre/bench/kurrent.go server":     "a wire.Server closes what speaks HTTP/1 without the option",
}

// serving are the methods and functions that take requests from a listener, or make one.
var serving = []string{"Serve", "ServeTLS", "ServeConn", "ListenAndServe", "ListenAndServeTLS"}

// listening are those that make a listener.
var listening = []string{"Listen", "ListenTCP", "ListenUnix", "FileListener", "NewListener", "ListenPacket", "NewServer", "NewTLSServer"}

// strictFraming returns where a file serves a listener whose requests are not held to strict
// framing, or listens without being listed. used is told of the entries that are needed.
func strictFraming(s source, used map[string]bool) (wrong []string) {
	called := map[*ast.SelectorExpr]*ast.CallExpr{}
	imported := map[string]string{}
	for _, spec := range s.file.Imports {
		imp := strings.Trim(spec.Path.Value, `"`)
		imported[path.Base(imp)] = imp
		if spec.Name != nil {
			imported[spec.Name.Name] = imp
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok {
				called[sel] = n
			}
		case *ast.AssignStmt:
			for i, to := range n.Lhs {
				if sel, ok := to.(*ast.SelectorExpr); ok && sel.Sel.Name == "HTTP1" && len(n.Rhs) == len(n.Lhs) && text(n.Rhs[i]) != "edge.StrictListener" {
					wrong = append(wrong, "HTTP1 is edge.StrictListener and nothing else")
				}
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "HTTP1" && text(n.Value) != "edge.StrictListener" {
				wrong = append(wrong, "HTTP1 is edge.StrictListener and nothing else")
			}
		case *ast.SelectorExpr:
			switch from := imported[text(n.X)]; {
			case slices.Contains(listening, n.Sel.Name) && from == "google.golang.org/grpc": // it makes a server, which has to be served
			case slices.Contains(listening, n.Sel.Name) && called[n] == nil && from == "": // a field
			case slices.Contains(listening, n.Sel.Name):
				used["listens "+s.path] = true
				if listens[s.path] == "" {
					wrong = append(wrong, n.Sel.Name+": say in this test what comes in there, and serve it through edge.StrictListener")
				}
			case slices.Contains(serving, n.Sel.Name):
				by := s.path + " " + text(n.X)
				used["serves "+by] = true
				call := called[n]
				if servesOther[by] == "" && (call == nil || len(call.Args) != 1 || !strict(call.Args[0])) {
					wrong = append(wrong, text(n.X)+"."+n.Sel.Name+" takes edge.StrictListener(listener)")
				}
			}
		}
		return true
	})
	return wrong
}

// strict reports whether an expression is a listener behind the strict framing.
func strict(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	return ok && (text(call.Fun) == "edge.StrictListener" || text(call.Fun) == "s.o.HTTP1")
}

// text returns a name, or names with dots between; "" for every other expression.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return text(e.X) + "." + e.Sel.Name
	}
	return ""
}

// Every listener of the program is behind edge.StrictListener, so that no two readers see
// different requests in the same bytes. A new one cannot be forgotten.
func TestEveryListenerIsStrictAboutFraming(t *testing.T) {
	fset, used := token.NewFileSet(), map[string]bool{}
	for _, p := range goFiles(t, false) {
		if strings.HasSuffix(path.Dir(p), "test") || strings.HasPrefix(p, "eventstore/faulty/") || strings.HasPrefix(p, "deploy/interop/") {
			continue // what helps tests does not ship
		}
		for _, wrong := range strictFraming(source{p, parse(t, fset, p)}, used) {
			t.Errorf("%s: %s", p, wrong)
		}
	}
	for file := range listens {
		if !used["listens "+file] {
			t.Errorf("%s does not listen: the list has it for nothing", file)
		}
	}
	for by := range servesOther {
		if !used["serves "+by] {
			t.Errorf("%s serves nothing: the list has it for nothing", by)
		}
	}
}

func TestEveryListenerIsStrictSaysNo(t *testing.T) {
	for _, src := range []string{
		`package x; func f() { server.Serve(l) }`,
		`package x; func f() { go server.Serve(edge.StrictListener(l), other) }`,
		`package x; func f() { http.Serve(l, nil) }`,
		`package x; func f() { run(server.Serve) }`,
		`package x; func f() { http.ListenAndServe(":1", nil) }`,
		`package x; func f() { server.ServeTLS(edge.StrictListener(l), "", "") }`,
		`package x; import "net"; func f() { net.Listen("tcp", ":1") }`,
		`package x; import "crypto/tls"; func f() { tls.NewListener(l, nil) }`,
		`package x; func f() { o.HTTP1 = lenient }`,
		`package x; var o = wire.Options{HTTP1: func(l net.Listener) net.Listener { return l }}`,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(strictFraming(source{"cmd/coffre/x.go", file}, map[string]bool{})) == 0 {
			t.Errorf("let through: %s", src)
		}
	}
}
