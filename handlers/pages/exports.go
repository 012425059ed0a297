package pages

import (
	_ "embed" // the script of progress
	"net/http"
	"net/url"
	"slices"

	"coffre/handlers/contract"
)

// exportKinds and exportFormats are what an officer chooses from.
var (
	exportKinds   = []contract.ExportKind{contract.ExportKindConsentLog, contract.ExportKindRegister, contract.ExportKindRefusals, contract.ExportKindAccessLog, contract.ExportKindAuditTrail}
	exportFormats = []contract.ExportFormat{contract.ExportFormatXlsx, contract.ExportFormatCsv, contract.ExportFormatJsonl, contract.ExportFormatParquet}
)

// exportsView is the exports that are kept, and the form for another.
type exportsView struct {
	items       []exportView
	next        string
	choices     []question
	from, until string
	wrong       bool // a day is none
}

// exportView is one export.
type exportView struct {
	id, href, what, state, rows, completed string
	running, failed                        bool
	sha256, manifest                       string
	content, note                          string // addresses; "": there is no file
}

func (p *Pages) serveExports(w http.ResponseWriter, r *http.Request, s session) error {
	return p.showExports(w, r, s, http.StatusOK)
}

func (p *Pages) showExports(w http.ResponseWriter, r *http.Request, s session, status int) error {
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	found, err := get[contract.ExportList](r.Context(), p, s, "/exports", s.paged())
	if err != nil {
		return err
	}
	s.path = "/officer/exports"
	pg, f := s.page("exports.title"), r.PostForm
	v := exportsView{from: f.Get("from"), until: f.Get("until"), wrong: status != http.StatusOK}
	for _, one := range found.Items {
		v.items = append(v.items, pg.export(one))
	}
	if found.NextCursor != "" {
		v.next = pg.to("/officer/exports", "after", string(found.NextCursor))
	}
	kind, format := question{name: "kind", text: pg.say("export.kind")}, question{name: "format", text: pg.say("export.format")}
	for _, k := range exportKinds {
		kind.choices = append(kind.choices, choice{string(k), pg.say("exportKind." + string(k)), f.Get("kind") == string(k)})
	}
	for _, one := range exportFormats {
		format.choices = append(format.choices, choice{string(one), pg.say("exportFormat." + string(one)), f.Get("format") == string(one)})
	}
	narrow := slices.DeleteFunc(pg.consentChoices(registry, f), func(q question) bool { return q.name != "consumer" && q.name != "purpose" })
	reason := question{name: "reason", text: pg.say("export.reason"), choices: pg.reasons(registry, contract.ReasonKindLegalHold, contract.ReasonKindInvestigation)}
	v.choices = append([]question{kind, format, reason}, narrow...)
	return p.show(w, r, status, exportsPage(pg, v))
}

func (p page) export(one contract.Export) exportView {
	id := one.ExportID.String()
	v := exportView{
		id: id, href: p.to("/officer/exports/" + id), what: p.say("export.of", p.say("exportKind."+string(one.Kind)), p.say("exportFormat."+string(one.Format))), state: p.say("task." + string(one.Status.State)),
		running: one.Status.State == contract.TaskStateProcessing, failed: one.Status.State == contract.TaskStateFailed, sha256: one.Sha256, manifest: one.Manifest,
	}
	if one.Rows != nil {
		v.rows = p.number(*one.Rows)
	}
	if !one.Status.Completed.IsZero() {
		v.completed = p.moment(one.Status.Completed)
	}
	if one.Content != "" {
		v.content = p.to("/officer/exports/" + id + "/content")
	}
	if one.Manifest != "" {
		v.note = p.to("/officer/exports/" + id + "/manifest")
	}
	return v
}

// answerExport starts an export.
func (p *Pages) answerExport(w http.ResponseWriter, r *http.Request, s session) error {
	f := r.PostForm
	asked := contract.ExportCreate{
		Kind: contract.ExportKind(f.Get("kind")), Format: contract.ExportFormat(f.Get("format")), Reason: contract.ReasonCode(f.Get("reason")),
		Consumer: contract.EnterpriseNumber(f.Get("consumer")), Purpose: contract.Purpose(f.Get("purpose")),
	}
	var wrongFrom, wrongUntil bool
	asked.From, wrongFrom = dayFrom(f.Get("from"), 0)
	asked.Until, wrongUntil = dayFrom(f.Get("until"), 1)
	if wrongFrom || wrongUntil {
		s.query = url.Values{}
		return p.showExports(w, r, s, http.StatusBadRequest)
	}
	made, at, err := post[contract.Export](r.Context(), p, s, "/exports", f.Get("key"), asked)
	if err != nil {
		return err
	}
	http.Redirect(w, r, s.page("export.title").to("/officer/exports/"+made.ExportID.String(), "at", at), http.StatusSeeOther)
	return nil
}

func (p *Pages) exportOf(r *http.Request, s session) (contract.Export, error) {
	id, err := idFrom(r, "id")
	if err != nil {
		return contract.Export{}, err
	}
	s.seen = "" // an export is no read model
	return get[contract.Export](r.Context(), p, s, "/exports/"+id, nil)
}

// serveExport shows how far an export is.
func (p *Pages) serveExport(w http.ResponseWriter, r *http.Request, s session) error {
	found, err := p.exportOf(r, s)
	if err != nil {
		return err
	}
	pg := s.page("export.title")
	v := pg.export(found)
	if v.running {
		pg.script = progress.path
		if !s.query.Has("still") {
			pg.refresh = refreshSeconds
		}
		p.scripted(w.Header())
	}
	return p.show(w, r, http.StatusOK, exportPage(pg, v))
}

// refreshSeconds is after how many seconds a browser without scripts loads a page anew that tells
// how far something is. Whoever does not want that finds a link.
const refreshSeconds = "10"

//go:embed progress.js
var progressScript []byte

// progress is the script that shows how far something is without a reload.
var progress = newAsset("/assets/progress-", ".js", "text/javascript; charset=utf-8", progressScript)

// liveView says whether a page is shown anew by the script, and until when what it shows holds.
type liveView struct {
	on           bool
	at           string // when it was so
	stop, resume string // addresses of the page without and with being shown anew
}

// everyLook is after how many milliseconds the script shows a page anew that has no end.
const everyLook = "10000"

// live has a page shown anew by the script, unless somebody stopped that.
func (p *Pages) live(h http.Header, s session, pg *page) liveView {
	v := liveView{on: !s.query.Has("still"), at: pg.exactly(p.Now()), stop: pg.to(s.path, "still", "yes"), resume: pg.to(s.path)}
	if v.on {
		pg.script = progress.path
		p.scripted(h)
	}
	return v
}

// running is how the script is told whether there is more to come.
func (v liveView) running() string {
	if v.on {
		return "running"
	}
	return "over"
}

// live is how the script is told whether there is more to come.
func (v exportView) live() string {
	if v.running {
		return "running"
	}
	return "over"
}

// told differs when what is told of the progress does.
func (v exportView) told() string { return v.live() + " " + v.rows + " " + v.state }

// noLongerWanted is the reason for which an officer cancels an export at the pages.
const noLongerWanted = "noLongerWanted"

// answerCancel ends an export that is not made yet.
func (p *Pages) answerCancel(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	if _, _, err := post[contract.Export](r.Context(), p, s, "/exports/"+id+"/cancel", r.PostForm.Get("key"), contract.ExportCancel{Reason: noLongerWanted}); err != nil {
		return err
	}
	http.Redirect(w, r, "/officer/exports/"+id, http.StatusSeeOther)
	return nil
}

// serveExportContent hands on the file of an export.
func (p *Pages) serveExportContent(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	return p.download(w, r, s, "/exports/"+id+"/content", "")
}

// serveExportManifest hands on the signed note that says what the file of an export is.
func (p *Pages) serveExportManifest(w http.ResponseWriter, r *http.Request, s session) error {
	found, err := p.exportOf(r, s)
	if err != nil {
		return err
	}
	if found.Manifest == "" {
		return errNoPage
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="manifest.txt"`)
	_, _ = w.Write([]byte(found.Manifest)) // the browser has gone
	return nil
}
