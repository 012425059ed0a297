package pages

import (
	"net/http"
	"strconv"
	"strings"

	"coffre/handlers/contract"
)

// driftView is the last comparisons of the read models with the log, and the form for another.
type driftView struct {
	items  []inboxItem
	reason question
}

// comparisonView is one comparison.
type comparisonView struct {
	id, href, state, asked, ended string
	progress, class, verdict      string
	running, failed               bool
	models                        []comparedView
}

// comparedView is what a comparison found of one read model.
type comparedView struct {
	name, state, size, rows, differing string
	rowsDiffering                      []differenceView
	more                               string // how many differ that are not named; "": none
}

// differenceView is one row that differs.
type differenceView struct {
	what, row, columns string
	leaf, href         string // of the event that explains it; "": none does
}

// serveDrift shows the last comparisons of the read models with the log, and asks for another.
func (p *Pages) serveDrift(w http.ResponseWriter, r *http.Request, s session) error {
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	s.seen = "" // a comparison is no read model
	last, err := get[contract.ModelComparisons](r.Context(), p, s, "/comparisons", nil)
	if err != nil {
		return err
	}
	pg := s.page("drift.title")
	v := driftView{reason: question{name: "reason", text: pg.say("export.reason"), choices: pg.reasons(registry, contract.ReasonKindLegalHold, contract.ReasonKindInvestigation)}}
	for _, one := range last.Items {
		v.items = append(v.items, inboxItem{
			title: pg.exactly(one.RequestedAt), href: pg.to("/auditor/drift/" + one.ComparisonID.String()),
			facts: []fact{{name: pg.say("petition.state"), value: pg.say("driftState." + string(one.State))}},
		})
	}
	return p.show(w, r, http.StatusOK, driftPage(pg, v))
}

// answerDrift starts a comparison, or joins the one that is under way.
func (p *Pages) answerDrift(w http.ResponseWriter, r *http.Request, s session) error {
	f := r.PostForm
	begun, _, err := post[contract.ModelComparison](r.Context(), p, s, "/comparisons", f.Get("key"), contract.ComparisonCreate{Reason: contract.ReasonCode(f.Get("reason"))})
	if err != nil {
		return err
	}
	http.Redirect(w, r, s.page("drift.title").to("/auditor/drift/"+begun.ComparisonID.String()), http.StatusSeeOther)
	return nil
}

// serveComparison shows how far a comparison is, and what it found.
func (p *Pages) serveComparison(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	s.seen = "" // a comparison is no read model
	found, err := get[contract.ModelComparison](r.Context(), p, s, "/comparisons/"+id, nil)
	if err != nil {
		return err
	}
	pg := s.page("drift.title")
	v := pg.comparison(found)
	if v.running {
		pg.script = progress.path
		if !s.query.Has("still") {
			pg.refresh = refreshSeconds
		}
		p.scripted(w.Header())
	}
	return p.show(w, r, http.StatusOK, comparisonPage(pg, v))
}

func (p page) comparison(one contract.ModelComparison) comparisonView {
	id := one.ComparisonID.String()
	v := comparisonView{
		id: id, href: p.to("/auditor/drift/" + id), state: p.say("driftState." + string(one.State)), asked: p.exactly(one.RequestedAt),
		running: one.State == contract.ComparisonStateWaiting || one.State == contract.ComparisonStateRunning, failed: one.State == contract.ComparisonStateFailed,
	}
	if !one.EndedAt.IsZero() {
		v.ended = p.exactly(one.EndedAt)
	}
	var compared, taken, differing int64
	hindered := false
	for _, m := range one.Models {
		taken += m.Taken
		differing += m.Differing
		hindered = hindered || m.Hindrance != ""
		if m.State == contract.ComparedStateCompared {
			compared++
		}
		v.models = append(v.models, p.comparedModel(m))
	}
	v.progress = p.say("drift.progress", p.number(compared), p.number(int64(len(one.Models))), p.number(taken))
	switch {
	case differing > 0:
		v.class, v.verdict = "mistake", p.say("drift.differs", p.number(differing))
	case one.State != contract.ComparisonStateDone:
	case hindered:
		v.class, v.verdict = "warning", p.say("drift.incomplete")
	default:
		v.class, v.verdict = "valid", p.say("drift.same")
	}
	return v
}

func (p page) comparedModel(m contract.ComparedModel) comparedView {
	v := comparedView{name: m.Projection, state: p.say("driftModel." + string(m.State))}
	switch {
	case m.Hindrance == contract.ComparisonHindranceLogUnreadable && m.StoppedAt != nil:
		v.state = p.say("driftHindrance.logUnreadable", strconv.FormatInt(*m.StoppedAt, 10))
	case m.Hindrance != "":
		v.state = p.say("driftHindrance." + string(m.Hindrance))
	}
	if m.State == contract.ComparedStateCompared {
		v.size, v.rows, v.differing = p.number(m.Size), p.number(m.Rows), p.number(m.Differing)
	}
	for _, d := range m.Differences {
		one := differenceView{what: p.say("driftRow." + string(d.Divergence)), row: d.Table, columns: strings.Join(d.Columns, ", ")}
		if d.Row != "" {
			one.row += ": " + d.Row
		}
		if d.Leaf != nil {
			one.leaf = strconv.FormatInt(*d.Leaf, 10)
			one.href = p.to("/auditor/events/" + one.leaf)
		}
		v.rowsDiffering = append(v.rowsDiffering, one)
	}
	if rest := m.Differing - int64(len(m.Differences)); rest > 0 && len(m.Differences) > 0 {
		v.more = p.number(rest)
	}
	return v
}

// live is how the script is told whether there is more to come.
func (v comparisonView) live() string {
	if v.running {
		return "running"
	}
	return "over"
}
