package coffre_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// architecture is the only document whose sections code may cite by number.
const architecture = "docs/architecture.md"

// Documents name files, packages and sections that exist, and comments cite no paper
// that the repository does not hold.
func TestDocs(t *testing.T) {
	lib := readLibrary(t, os.DirFS("."))
	if len(lib.docs) < 20 || len(lib.sources) < 300 || len(lib.exported) < 40 {
		t.Fatalf("found %d documents, %d sources and %d packages only: this test looks in the wrong place", len(lib.docs), len(lib.sources), len(lib.exported))
	}
	for _, wrong := range lib.faults() {
		t.Error(wrong)
	}
}

// The rules above say no when they should.
// The map of the documents lists each decision once, and none that is not there.
func TestDecisionsAreListedOnce(t *testing.T) {
	text, err := os.ReadFile("docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed, there []string
	for _, row := range regexp.MustCompile(`(?m)^\| \[\d+\]\(decisions/([^)]+)\) \|`).FindAllSubmatch(text, -1) {
		listed = append(listed, string(row[1]))
	}
	files, err := os.ReadDir("docs/decisions")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		there = append(there, f.Name())
	}
	slices.Sort(listed)
	if !slices.Equal(listed, there) {
		t.Errorf("listed are %q, and there are %q", listed, there)
	}
}

func TestDocsSayNo(t *testing.T) {
	sound := map[string]string{
		"docs/architecture.md": "# The house\n\n## 1. The picture\n\nSee [words](words.md#the-words), `domain/consent`, `consent.Grant`, `consent.Grant.Decide`.\n",
		"docs/words.md":        "# All\n\n## The `words`\n\n`grant.go` and `domain/*/grant.go`, `deploy/vault` and `uuid.New`.\n```\n# no heading\n```\n",
		"domain/consent/grant.go": "// Package consent: docs/architecture.md §1, docs/words.md, \"The words\", GDPR art. 5 § 2.\npackage consent\n\n" +
			"type Grant struct{}\n\nfunc (Grant) Decide() {}\n",
		"deploy/vault/role.hcl": "# docs/words.md\n",
	}
	for _, tc := range []struct{ in, text, fault string }{
		{"", "", ""},
		{"docs/words.md", "[a](missing.md)", "links to docs/missing.md"},
		{"docs/words.md", "[a](architecture.md#the-words)", "links to docs/architecture.md#the-words"},
		{"docs/words.md", "[a](#nothing)", "links to docs/words.md#nothing"},
		{"docs/words.md", "[a](#no-heading)", "links to docs/words.md#no-heading"},
		{"docs/words.md", "`domain/consent/withdraw.go`", "names domain/consent/withdraw.go"},
		{"docs/words.md", "in domain/mandate, too", "names domain/mandate"},
		{"docs/words.md", "```\ndomain/mandate ──▶\n```", "names domain/mandate"},
		{"docs/words.md", "`withdraw.go`", "names withdraw.go"},
		{"docs/words.md", "`consent/withdraw.go`", "names consent/withdraw.go"},
		{"docs/words.md", "`consent.Withdraw`", "names consent.Withdraw"},
		{"docs/words.md", "`Grant.Fold`", "names Grant.Fold"},
		{"docs/words.md", "`consent.Grant.Fold`", "names consent.Grant.Fold"},
		{"docs/words.md", "architecture.md §2", "cites §2"},
		{"docs/words.md", "of which §1 tells", "cites §1"},
		{"docs/words.md", "(design: 2 s)", "cites (design:"},
		{"domain/consent/grant.go", "// See docs/missing.md.", "cites docs/missing.md"},
		{"domain/consent/grant.go", "// docs/architecture.md §1.2 says so.", "cites §1.2"},
		{"domain/consent/grant.go", "// docs/architecture.md,\n// §9.", "cites §9"},
		{"domain/consent/grant.go", "// docs/words.md, \"The\n// numbers\".", `cites "The numbers"`},
		{"domain/consent/grant.go", "// design.md section 6", "cites design.md"},
		{"domain/consent/grant.go", "// as the specification says", "cites the specification"},
		{"deploy/vault/role.hcl", "# docs/other.md", "cites docs/other.md"},
	} {
		files := make(fstest.MapFS)
		for name, text := range sound {
			if name == tc.in {
				text += "\n" + tc.text + "\n"
			}
			files[name] = &fstest.MapFile{Data: []byte(text)}
		}
		faults := readLibrary(t, files).faults()
		switch {
		case tc.fault == "" && len(faults) > 0:
			t.Errorf("sound documents: %q", faults)
		case tc.fault != "" && (len(faults) != 1 || !strings.Contains(faults[0], tc.in) || !strings.Contains(faults[0], tc.fault)):
			t.Errorf("%s with %q: %q, want that it %s", tc.in, tc.text, faults, tc.fault)
		}
	}
}

// library is everything that documents can name, and everything that can cite one.
type library struct {
	paths    map[string]bool     // files and folders, from the root
	bases    map[string]bool     // names of files, without their folders
	docs     map[string]string   // Markdown, by path
	sources  map[string]string   // what else holds comments, by path
	exported map[string][]string // by name of a package, what it exports, methods as Type.Method
}

// commented are the endings of files whose comments may cite documents.
var commented = []string{".go", ".yaml", ".hcl", ".sql", "Makefile", "/run", "/provision"}

func readLibrary(t *testing.T, files fs.FS) library {
	t.Helper()
	lib := library{make(map[string]bool), make(map[string]bool), make(map[string]string), make(map[string]string), make(map[string][]string)}
	err := fs.WalkDir(files, ".", func(p string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "bin" || name == "data"):
			return fs.SkipDir
		}
		lib.paths[p] = true
		if d.IsDir() {
			return nil
		}
		lib.bases[name] = true
		ours := slices.ContainsFunc(commented, func(end string) bool { return strings.HasSuffix(p, end) })
		if !ours && !strings.HasSuffix(p, ".md") {
			return nil
		}
		b, err := fs.ReadFile(files, p)
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(p, ".md"):
			lib.docs[p] = string(b)
		case p != "docs_test.go" && !bytes.Contains(b[:min(len(b), 200)], []byte("DO NOT EDIT")):
			lib.sources[p] = string(b)
		}
		if strings.HasSuffix(p, ".go") && !strings.HasSuffix(p, "_test.go") {
			return lib.export(p, b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lib
}

// export adds what a Go file exports.
func (lib library) export(p string, src []byte) error {
	file, err := parser.ParseFile(token.NewFileSet(), p, src, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	pkg := file.Name.Name
	add := func(name string) { lib.exported[pkg] = append(lib.exported[pkg], name) }
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				name = receiver(d.Recv.List[0].Type) + "." + name
			}
			add(name)
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.ValueSpec:
					for _, n := range s.Names {
						add(n.Name)
					}
				case *ast.TypeSpec:
					add(s.Name.Name)
					for _, member := range members(s.Type) {
						add(s.Name.Name + "." + member)
					}
				}
			}
		}
	}
	return nil
}

// receiver is the name of a method's type.
func receiver(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.IndexListExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}

// members are the fields of a struct, or the methods of an interface.
func members(x ast.Expr) (names []string) {
	var list *ast.FieldList
	switch x := x.(type) {
	case *ast.StructType:
		list = x.Fields
	case *ast.InterfaceType:
		list = x.Methods
	default:
		return nil
	}
	for _, field := range list.List {
		for _, n := range field.Names {
			names = append(names, n.Name)
		}
	}
	return names
}

var (
	fence      = regexp.MustCompile("(?ms)^```.*?^```[^\n]*$")
	codeSpan   = regexp.MustCompile("`([^`\n]+)`")
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading    = regexp.MustCompile(`(?m)^#+ +(.+?) *$`)
	rooted     = regexp.MustCompile(`(?:^|[\s(\x60"'])((?:cmd|deploy|docs|domain|eventstore|handlers|projections)/[A-Za-z0-9_.*/-]+)`)
	plainFile  = regexp.MustCompile(`^[A-Za-z0-9_.-]+\.(?:go|md|yaml|hcl)$`)
	located    = regexp.MustCompile(`^[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+\.(?:go|md|yaml|hcl)$`)
	member     = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*\.[A-Z][A-Za-z0-9]*$`)
	exportedID = regexp.MustCompile(`^([a-z][a-z0-9]*)\.([A-Z][A-Za-z0-9]*(?:\.[A-Z][A-Za-z0-9]*)?)(?:\(\))?$`)
	unfit      = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

	citation  = regexp.MustCompile(`docs/[A-Za-z0-9_/-]+\.md(?:, "([^"]+)")?`)
	section   = regexp.MustCompile(`(architecture\.md[,;]? |art\. \d+,? )?§ ?(\d+(?:\.\d+)*)`)
	paper     = regexp.MustCompile(`\bdesign\.md\b|\bdesign,? section|\(design:|\b(?i:the) specification(?:'s)?\b|\bfacts/|\(facts:`)
	ofComment = regexp.MustCompile(`(?m)\n[ \t]*(?://|#)[ \t]?`)
)

// faults returns what documents name and comments cite that does not exist.
func (lib library) faults() (faults []string) {
	wrong := func(where string, says ...string) { faults = append(faults, where+" "+strings.Join(says, " ")) }
	for p, text := range lib.docs {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if to, ok := lib.leadsTo(p, m[1]); !ok {
				wrong(p, "links to", to)
			}
		}
		if p == "CHANGELOG.md" { // tells what was so when it was written
			continue
		}
		names := make(map[string]bool)
		for _, m := range rooted.FindAllStringSubmatch(text, -1) {
			names[strings.TrimRight(m[1], "./-")] = true
		}
		for _, m := range codeSpan.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			names[m[1]] = true
		}
		for name := range names {
			if !lib.exists(name) {
				wrong(p, "names", name)
			}
		}
		lib.judgeSections(text, func(cited string) { wrong(p, "cites", cited) })
	}
	for p, text := range lib.sources {
		text = ofComment.ReplaceAllString("\n"+text, " ") // a comment may break a line in what it cites
		for _, m := range citation.FindAllStringSubmatch(text, -1) {
			cited, _, _ := strings.Cut(m[0], ",")
			switch to, there := lib.docs[cited]; {
			case !there:
				wrong(p, "cites", cited)
			case m[1] != "" && !slices.Contains(anchors(to), anchor(m[1])):
				wrong(p, `cites "`+m[1]+`" of`, cited)
			}
		}
		lib.judgeSections(text, func(cited string) { wrong(p, "cites", cited) })
	}
	slices.Sort(faults)
	return faults
}

// judgeSections tells of each section cited that is not one of the architecture, and of
// each paper that the repository does not hold.
func (lib library) judgeSections(text string, wrong func(cited string)) {
	for _, m := range section.FindAllStringSubmatch(text, -1) {
		switch {
		case strings.HasPrefix(m[1], "art."):
		case !strings.HasPrefix(m[1], "architecture"), !lib.hasSection(m[2]):
			wrong("§" + m[2])
		}
	}
	for _, cited := range paper.FindAllString(text, -1) {
		wrong(cited)
	}
}

func (lib library) hasSection(number string) bool {
	return slices.ContainsFunc(heading.FindAllStringSubmatch(lib.docs[architecture], -1), func(m []string) bool {
		first, _, _ := strings.Cut(m[1], " ")
		return strings.TrimSuffix(first, ".") == number
	})
}

// leadsTo reports whether a link on page p leads somewhere, and where it would.
func (lib library) leadsTo(p, target string) (to string, ok bool) {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return target, true
	}
	file, part, _ := strings.Cut(target, "#")
	to = p
	if file != "" {
		to = path.Join(path.Dir(p), file)
	}
	if part == "" {
		return to, lib.paths[to]
	}
	return to + "#" + part, slices.Contains(anchors(lib.docs[to]), part)
}

// anchors are what a page's headings may be linked by.
func anchors(text string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		all = append(all, anchor(m[1]))
	}
	return all
}

func anchor(heading string) string {
	return strings.ReplaceAll(unfit.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// exists reports whether a name in a document stands for something, or is of a kind
// that this test does not judge.
func (lib library) exists(name string) bool {
	switch m := exportedID.FindStringSubmatch(name); {
	case m != nil:
		known, ours := lib.exported[m[1]]
		return !ours || slices.Contains(known, m[2])
	case member.MatchString(name):
		for _, known := range lib.exported {
			if slices.Contains(known, name) {
				return true
			}
		}
		return false
	case plainFile.MatchString(name):
		return lib.bases[name]
	case located.MatchString(name):
		return lib.paths[name]
	case rooted.FindString(name) != name:
		return true
	case strings.Contains(name, "*"):
		for p := range lib.paths {
			if ok, _ := path.Match(name, p); ok {
				return true
			}
		}
		return false
	}
	return lib.paths[strings.TrimSuffix(name, "/")]
}
