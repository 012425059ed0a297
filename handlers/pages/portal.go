package pages

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"coffre/handlers/contract"
)

// Limit is one budget of an operation, in English as docs/limits.md says it.
type Limit struct {
	What, Until string
	Bounds      []string // such as "caller 20"
}

// portalPath begins the addresses of the pages for developers. Whoever asks sees them: they show
// the contract, the registry that everybody may read, and nothing of anybody.
const portalPath = "/doc"

// portalMenu leads from each page for developers to the others.
var portalMenu = []entry{
	{portalPath, "portal.operations"}, {portalPath + "/connect", "portal.connect"}, {portalPath + "/types", "portal.types"}, {portalPath + "/codes", "portal.codes"}, {portalPath + "/problems", "portal.problems"},
}

//go:embed try.js
var tryScript []byte

// trier is the script that sends a request of the contract from an operation's page.
var trier = newAsset("/assets/try-", ".js", "text/javascript; charset=utf-8", tryScript)

//go:embed connect.sh
var connectScript string

// connectStep is one step of the page that leads to a first answer; its texts have its name.
type connectStep struct{ name, commands string }

// connectSteps reads connect.sh, in which a line "# step NAME" begins each step.
var connectSteps = sync.OnceValue(func() (all []connectStep) {
	for _, part := range strings.Split(connectScript, "# step ")[1:] {
		name, commands, _ := strings.Cut(part, "\n")
		all = append(all, connectStep{name, strings.TrimSpace(commands)})
	}
	return all
})

//go:embed problems.json
var problemsFile []byte

// knownProblem is one type of problem, or of an issue of badRequest.
type knownProblem struct {
	Type   string `json:"type"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Issue  bool   `json:"issue,omitempty"`
}

// slug is the end of the type, which programs compare.
func (k knownProblem) slug() string { return k.Type[strings.LastIndexByte(k.Type, ':')+1:] }

// theProblems returns every type of problem; nobody changes them.
var theProblems = sync.OnceValue(func() (all []knownProblem) {
	if err := json.Unmarshal(problemsFile, &all); err != nil { // a broken program
		panic(fmt.Errorf("problems.json: %w", err))
	}
	return all
})

// portalRoutes serves the pages for developers. Nobody has to be logged in.
func (p *Pages) portalRoutes(mux *http.ServeMux) {
	for path, serve := range map[string]func(*http.Request, page) (int, portalView, error){
		"":                 p.serveOperations,
		"/operations/{id}": p.serveOperation,
		"/schemas/{name}":  p.serveSchema,
		"/connect":         p.serveConnect,
		"/types":           p.serveTypes,
		"/types/{name}":    p.serveType,
		"/codes":           p.serveCodes,
		"/problems":        p.serveProblems,
	} {
		mux.HandleFunc("GET "+portalPath+path, func(w http.ResponseWriter, r *http.Request) {
			l := spoken(r)
			pg := page{tongue: l, menu: portalMenu, path: r.URL.Path, query: r.URL.Query()}
			status, view, err := serve(r, pg)
			switch {
			case err != nil:
				p.fault(r, err)
				p.wrong(w, r, http.StatusServiceUnavailable)
			case status != http.StatusOK:
				p.wrong(w, r, status)
			default:
				pg.title = view.title
				if view.operation != nil {
					p.scripted(w.Header())
					pg.script = trier.path
				}
				p.fault(r, p.show(w, r, status, portalPage(pg, view)))
			}
		})
	}
	mux.HandleFunc("GET "+portalPath+"/openapi.yaml", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, contract.Base+"/doc/openapi.yaml", http.StatusFound)
	})
	mux.HandleFunc("GET "+trier.path, trier.serve)
}

// portalView is what one page for developers shows; the first of these that is there.
type portalView struct {
	title     string
	contract  *portalDoc
	operation *portalOperation
	limits    []Limit
	command   string         // that sends the operation's request
	mentioned []knownProblem // by the operation's description
	schema    *portalSchema
	steps     []connectStep
	types     []portalType
	docType   *portalType
	codes     []codeList
	problems  []knownProblem
}

// portalType is a type of document.
type portalType struct {
	name, label      string
	issuers, classes []string
	predicates       []string
	readers          []string // what may be learned for a purpose
	schema, sample   string
}

// codeList is one list of the registry.
type codeList struct {
	title string
	codes []registryCode
}

// registryCode is one code with its label and what more is to say, none of them in the contract's words.
type registryCode struct{ code, label, more string }

func (p *Pages) serveOperations(_ *http.Request, pg page) (int, portalView, error) {
	return http.StatusOK, portalView{title: pg.say("portal.title"), contract: theContract()}, nil
}

func (p *Pages) serveOperation(r *http.Request, _ page) (int, portalView, error) {
	op := theContract().operations[r.PathValue("id")]
	if op == nil {
		return http.StatusNotFound, portalView{}, nil
	}
	v := portalView{title: op.id, operation: op, command: op.command()}
	if p.Limits != nil {
		v.limits = p.Limits(op.id, op.roles, slices.ContainsFunc(op.parameters, func(a portalParameter) bool { return a.name == "Idempotency-Key" }))
	}
	for _, one := range theProblems() {
		if slices.ContainsFunc(op.about, func(par paragraph) bool {
			return slices.ContainsFunc(par, func(s piece) bool { return s.kind == "code" && s.text == one.slug() })
		}) {
			v.mentioned = append(v.mentioned, one)
		}
	}
	return http.StatusOK, v, nil
}

// command returns the request of the operation as a command of the shell, with $VAULT and $TOKEN
// for what is the reader's own.
func (op *portalOperation) command() string {
	path, query := op.path, []string(nil)
	var out strings.Builder
	for _, a := range op.parameters {
		switch {
		case a.in == "path":
			path = strings.ReplaceAll(path, "{"+a.name+"}", cmp.Or(a.example, "…"))
		case a.in == "query" && a.must:
			query = append(query, a.name+"="+cmp.Or(a.example, "1"))
		case a.name == "Idempotency-Key":
			out.WriteString(` -H "Idempotency-Key: $(cat /proc/sys/kernel/random/uuid)"`)
		case a.in == "header" && a.must:
			fmt.Fprintf(&out, ` -H '%s: %s'`, a.name, cmp.Or(a.example, `"1"`))
		}
	}
	if query != nil {
		path += "?" + strings.Join(query, "&")
	}
	method := ""
	if op.method != http.MethodGet {
		method = " -X " + op.method
	}
	if op.scope != "" {
		method += ` -H "Authorization: Bearer $TOKEN"`
	}
	said := `curl -s` + method + out.String()
	switch {
	case op.example != "":
		said += " -H 'Content-Type: application/json' -d '" + strings.ReplaceAll(compactJSON(op.example), "'", `'\''`) + "'"
	case op.media != nil:
		said += " -H 'Content-Type: " + op.media[0] + "' --data-binary @file"
	}
	return said + ` "$VAULT` + path + `"`
}

func compactJSON(text string) string {
	var out bytes.Buffer
	if json.Compact(&out, []byte(text)) != nil {
		return text
	}
	return out.String()
}

func (p *Pages) serveSchema(r *http.Request, _ page) (int, portalView, error) {
	schema := theContract().schemas[r.PathValue("name")]
	if schema == nil {
		return http.StatusNotFound, portalView{}, nil
	}
	return http.StatusOK, portalView{title: schema.name, schema: schema}, nil
}

func (p *Pages) serveConnect(_ *http.Request, pg page) (int, portalView, error) {
	return http.StatusOK, portalView{title: pg.say("portal.connect"), steps: connectSteps()}, nil
}

func (p *Pages) serveTypes(r *http.Request, pg page) (int, portalView, error) {
	registry, err := p.registry(r.Context())
	v := portalView{title: pg.say("portal.types")}
	for _, one := range registry.DocumentTypes {
		v.types = append(v.types, portalType{name: string(one.DocumentType), label: pg.label(one.Labels)})
	}
	return http.StatusOK, v, err
}

func (p *Pages) serveType(r *http.Request, pg page) (int, portalView, error) {
	registry, err := p.registry(r.Context())
	at := slices.IndexFunc(registry.DocumentTypes, func(t contract.RegistryDocumentType) bool { return string(t.DocumentType) == r.PathValue("name") })
	if err != nil || at < 0 {
		return http.StatusNotFound, portalView{}, err
	}
	one := registry.DocumentTypes[at]
	t := portalType{name: string(one.DocumentType), label: pg.label(one.Labels), schema: string(one.Schema)}
	var indented bytes.Buffer
	if json.Indent(&indented, one.Schema, "", "  ") == nil {
		t.schema, t.sample = indented.String(), sample(one.Schema)
	}
	for _, o := range one.Issuers {
		t.issuers = append(t.issuers, pg.organisation(registry, o)+" ("+string(o)+")")
	}
	for _, c := range one.Categories {
		t.classes = append(t.classes, pg.codeLabel(registry.Categories, string(c))+" ("+string(c)+")")
	}
	for _, name := range one.Predicates {
		t.predicates = append(t.predicates, string(name))
	}
	for _, m := range one.Minimum {
		names := make([]string, 0, len(m.Fields)+len(m.Predicates))
		for _, f := range m.Fields {
			names = append(names, string(f))
		}
		for _, f := range m.Predicates {
			names = append(names, string(f))
		}
		t.readers = append(t.readers, pg.codeLabel(registry.Purposes, string(m.Purpose))+" ("+string(m.Purpose)+"): "+strings.Join(names, ", "))
	}
	return http.StatusOK, portalView{title: t.label, docType: &t}, nil
}

func (p *Pages) serveCodes(r *http.Request, pg page) (int, portalView, error) {
	registry, err := p.registry(r.Context())
	coded := func(title string, codes []contract.RegistryCode) codeList {
		list := codeList{title: pg.say(title)}
		for _, c := range codes {
			list.codes = append(list.codes, registryCode{c.Code, pg.label(c.Labels), ""})
		}
		return list
	}
	bases, reasons, organisations := codeList{title: pg.say("codes.bases")}, codeList{title: pg.say("codes.reasons")}, codeList{title: pg.say("codes.organisations")}
	for _, b := range registry.LegalBases {
		bases.codes = append(bases.codes, registryCode{string(b.Code), pg.label(b.Labels), b.Article})
	}
	for _, reason := range registry.Reasons {
		reasons.codes = append(reasons.codes, registryCode{string(reason.Code), pg.label(reason.Labels), string(reason.Kind)})
	}
	for _, o := range registry.Organizations {
		var purposes []string
		for _, purpose := range o.Purposes {
			purposes = append(purposes, string(purpose))
		}
		organisations.codes = append(organisations.codes, registryCode{string(o.EnterpriseNumber), pg.label(o.Labels), strings.Join(purposes, ", ")})
	}
	return http.StatusOK, portalView{title: pg.say("portal.codes"), codes: []codeList{
		coded("codes.purposes", registry.Purposes), bases, reasons, coded("codes.procedures", registry.Procedures), coded("codes.categories", registry.Categories), organisations,
	}}, err
}

func (p *Pages) serveProblems(_ *http.Request, pg page) (int, portalView, error) {
	return http.StatusOK, portalView{title: pg.say("portal.problems"), problems: theProblems()}, nil
}

// fieldID is the id of the field of a parameter in the form of an operation's page.
func fieldID(a portalParameter) string { return "try-" + a.in + "-" + a.name }

// statusText returns a status as a table shows it.
func (k knownProblem) statusText() string { return strconv.Itoa(k.Status) }
