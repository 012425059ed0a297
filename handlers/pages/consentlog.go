package pages

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
)

// consentFilters are the parameters by which the consent log is narrowed.
var consentFilters = []string{"citizen", "consumer", "purpose", "type", "decision", "state", "from", "until"}

// decisionsAsked and statesAsked are the words by which the log is narrowed.
var (
	decisionsAsked = []contract.ConsentDecision{contract.ConsentDecisionRequested, contract.ConsentDecisionGranted, contract.ConsentDecisionRefused, contract.ConsentDecisionWithdrawn}
	statesAsked    = []contract.DecidedState{
		contract.DecidedStateRequested, contract.DecidedStateGranted, contract.DecidedStateRefused, contract.DecidedStateWithdrawn, contract.DecidedStateExpired, contract.DecidedStateExhausted,
	}
)

// consentLogView is a page of the consent log.
type consentLogView struct {
	choices         []question
	citizen, code   string // whom it is narrowed to; "": nobody
	from, until     string
	wrong           bool // a day is none
	totals          []fact
	decisions       []decisionView
	next, stateWhen string
}

// decisionView is a decision about a consent.
type decisionView struct {
	href, at, what, class, who, why, documents, state string
}

// serveConsentLog shows the decisions about consents, narrowed as the address says.
func (p *Pages) serveConsentLog(w http.ResponseWriter, r *http.Request, s session) error {
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	pg, q := s.page("consentLog.title"), s.query
	v := consentLogView{from: q.Get("from"), until: q.Get("until"), choices: pg.consentChoices(registry, q)}
	asked := contract.ConsentLogQuery{
		Consumer: contract.EnterpriseNumber(q.Get("consumer")), Purpose: contract.Purpose(q.Get("purpose")), DocumentType: contract.DocumentTypeCode(q.Get("type")), State: contract.DecidedState(q.Get("state")),
	}
	if d := q.Get("decision"); d != "" {
		asked.Decision = []contract.ConsentDecision{contract.ConsentDecision(d)}
	}
	if citizen := q.Get("citizen"); citizen != "" {
		id, err := uuid.Parse(citizen)
		if err != nil {
			return errNoPage
		}
		asked.CitizenID, v.citizen, v.code = &domain.CitizenID{UUID: id}, id.String(), page{of: id.String()}.code()
	}
	var wrongFrom, wrongUntil bool
	asked.From, wrongFrom = dayFrom(q.Get("from"), 0)
	asked.Until, wrongUntil = dayFrom(q.Get("until"), 1)
	if wrongFrom || wrongUntil {
		v.wrong = true
		return p.show(w, r, http.StatusBadRequest, consentLogPage(pg, v))
	}
	found, err := query[contract.ConsentLog](r.Context(), p, s, "/consentLog/query", s.paged(), asked)
	if err != nil {
		return err
	}
	v.stateWhen = pg.moment(found.StateAt)
	if t := found.Totals; t != nil {
		for _, one := range []struct {
			key string
			n   int64
		}{{"consents", t.Consents}, {"requested", t.Requested}, {"granted", t.Granted}, {"refused", t.Refused}, {"withdrawn", t.Withdrawn}} {
			v.totals = append(v.totals, fact{name: pg.say("total." + one.key), value: pg.number(one.n)})
		}
	}
	for _, one := range found.Items {
		d := decisionView{
			href: pg.to("/officer/consents/" + one.ConsentID.String()), at: pg.moment(one.At), what: pg.value(string(one.Decision)), class: string(one.Decision),
			who: pg.organisation(registry, one.Consumer), why: pg.codeLabel(registry.Purposes, string(one.Purpose)), documents: pg.types(registry, one.DocumentTypes, one.Documents),
		}
		if one.State != "" {
			d.state = pg.value(string(one.State))
		}
		v.decisions = append(v.decisions, d)
	}
	if found.NextCursor != "" {
		next := url.Values{"after": {string(found.NextCursor)}}
		for _, name := range consentFilters {
			if value := q.Get(name); value != "" {
				next.Set(name, value)
			}
		}
		v.next = "/officer/consents?" + next.Encode()
	}
	return p.show(w, r, http.StatusOK, consentLogPage(pg, v))
}

// consentChoices are what the consent log can be narrowed to.
func (p page) consentChoices(registry contract.Registry, q url.Values) []question {
	ask := func(name string) question {
		return question{name: name, text: p.say("filter." + name), choices: []choice{{"", p.say("filter.all"), q.Get(name) == ""}}}
	}
	add := func(to *question, value, text string) {
		to.choices = append(to.choices, choice{value, text, q.Get(to.name) == value})
	}
	consumer, purpose, kind, decision, state := ask("consumer"), ask("purpose"), ask("type"), ask("decision"), ask("state")
	for _, o := range registry.Organizations {
		if len(o.Purposes) > 0 {
			add(&consumer, string(o.EnterpriseNumber), p.label(o.Labels))
		}
	}
	for _, one := range registry.Purposes {
		add(&purpose, one.Code, p.label(one.Labels))
	}
	for _, t := range registry.DocumentTypes {
		add(&kind, string(t.DocumentType), p.label(t.Labels))
	}
	for _, d := range decisionsAsked {
		add(&decision, string(d), p.value(string(d)))
	}
	for _, st := range statesAsked {
		add(&state, string(st), p.value(string(st)))
	}
	return []question{consumer, purpose, kind, decision, state}
}

// dayFrom returns the moment at which a day begins in Belgium, some days later; nil for "". wrong
// reports a text that is no day.
func dayFrom(text string, later int) (at *time.Time, wrong bool) {
	if text == "" {
		return nil, false
	}
	day, err := domain.ParseDate(text)
	if err != nil {
		return nil, true
	}
	return new(domain.BelgianMidnight(day.AddDays(later))), false
}

// types names types of documents, and counts documents by name.
func (p page) types(registry contract.Registry, types []contract.DocumentTypeCode, documents []contract.DocumentID) string {
	var what []string
	for _, t := range types {
		what = append(what, p.typeLabel(registry, t))
	}
	if len(documents) > 0 {
		what = append(what, p.say("consent.documents", strconv.Itoa(len(documents))))
	}
	return strings.Join(what, ", ")
}

// historyView is what happened with one consent, and what the citizen was shown.
type historyView struct {
	id                                          string
	consent                                     consentView
	state, stateAt                              string
	steps                                       []fact
	text, language, version                     string // what the citizen was shown; "": it is not known
	citizen, renews, renewedBy, looked, receipt string // addresses
}

// serveConsentHistory shows the whole history of a consent.
func (p *Pages) serveConsentHistory(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	found, err := get[contract.ConsentHistory](r.Context(), p, s, "/consents/"+id+"/history", url.Values{"lang": {string(s.tongue)}})
	if err != nil {
		return err
	}
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	pg, c := s.page("history.title"), found.Consent
	v := historyView{id: id, consent: pg.consent(c), state: pg.value(string(found.State)), stateAt: pg.moment(found.StateAt), looked: pg.to("/officer/consents/" + id + "/looked"), receipt: pg.to("/officer/consents/" + id + "/receipt")}
	v.consent.documents = pg.types(registry, c.DocumentTypes, c.Documents)
	for _, step := range found.Steps {
		by := ""
		if step.Role != "" {
			by = pg.value(string(step.Role))
		}
		v.steps = append(v.steps, fact{name: pg.moment(step.At), value: strings.Join(slices.DeleteFunc([]string{pg.value(string(step.Step)), by, pg.reasonOf(registry, step.Reason)}, func(s string) bool { return s == "" }), ", ")})
	}
	if c.ShownText.Text != "" {
		v.text, v.version, v.language = c.ShownText.Text, string(c.ShownText.Version), string(c.ShownText.Language)
	}
	if !c.CitizenID.IsZero() {
		v.citizen = pg.to("/officer/citizens/" + c.CitizenID.String())
	}
	if !c.Renews.IsZero() {
		v.renews = pg.to("/officer/consents/" + c.Renews.String())
	}
	if !found.RenewedBy.IsZero() {
		v.renewedBy = pg.to("/officer/consents/" + found.RenewedBy.String())
	}
	return p.show(w, r, http.StatusOK, historyPage(pg, v))
}

func (p page) reasonOf(registry contract.Registry, code contract.ReasonCode) string {
	if code == "" {
		return ""
	}
	return p.reasonLabel(registry, code)
}

// serveReceipt hands on the signed receipt of a consent.
func (p *Pages) serveReceipt(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	return p.download(w, r, s, "/consents/"+id+"/receipt", "receipt.json")
}

// download hands on a file of the API, under a name unless it is "".
func (p *Pages) download(w http.ResponseWriter, r *http.Request, s session, path, name string) error {
	ask, err := request(r.Context(), s, http.MethodGet, path, http.NoBody)
	if err != nil {
		return err
	}
	for _, h := range []string{"Range", "If-Range"} { // a download that broke off goes on
		if value := r.Header.Get(h); value != "" {
			ask.Header.Set(h, value)
		}
	}
	if name != "" {
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	}
	return p.pass(w, ask)
}
