package pages

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"coffre/handlers/contract"
)

// pageOfAccesses bounds the groups, or accesses, on one page.
const pageOfAccesses = 50

// lookedView is an access log, with what repeats grouped, or each access by itself.
type lookedView struct {
	coverage []string // sentences
	lists    []listLink
	looks    []look
	next     string
	grouped  bool
	officer  bool // a privacy officer reads it, not the citizen
}

// listLink leads to one of the lists of an access log.
type listLink struct {
	href, text string
	current    bool
}

// look is one access, or several alike, in sentences.
type look struct {
	what, when, why, basis, outcome string
	consent                         string // address of the consent; "": none
	details                         []fact
	email, url                      string // of the organisation
	each                            string // address of each by itself; "": it is one
	dispute, petition               string // addresses: to dispute it, what became of that
	petitionState                   string
}

// serveLooked shows who looked, with what repeats grouped.
func (p *Pages) serveLooked(w http.ResponseWriter, r *http.Request, s session) error {
	pg, list := s.pageOf("looked.title", "people.looked"), contract.AccessList(s.query.Get("list"))
	base := "/citizens/" + s.whose() + "/accessLog"
	newest, err := get[contract.AccessLog](r.Context(), p, s, base, url.Values{"lang": {string(s.tongue)}, "pageSize": {"1"}})
	if err != nil {
		return err
	}
	query := url.Values{"lang": {string(s.tongue)}, "pageSize": {strconv.Itoa(pageOfAccesses)}}
	for name, value := range map[string]string{"list": string(list), "after": s.query.Get("after")} {
		if value != "" {
			query.Set(name, value)
		}
	}
	groups, err := get[contract.AccessGroups](r.Context(), p, s, base+"/groups", query)
	if err != nil {
		return err
	}
	v := lookedView{grouped: true, coverage: pg.coverage(newest.Coverage)}
	for _, l := range []contract.AccessList{"", contract.AccessListAccesses, contract.AccessListTold, contract.AccessListRefused} {
		v.lists = append(v.lists, listLink{pg.to("/looked", "list", string(l)), pg.say("list." + cmp.Or(string(l), "all")), l == list})
	}
	for _, g := range groups.Items {
		v.looks = append(v.looks, pg.group(g))
	}
	if groups.NextCursor != "" {
		v.next = pg.to("/looked", "list", string(list), "after", string(groups.NextCursor))
	}
	return p.show(w, r, http.StatusOK, lookedPage(pg, v))
}

// narrowed are the parameters by which a page of single accesses is narrowed.
var narrowed = []string{"accessId", "documentType", "organization", "list", "purpose", "from", "until", "after"}

// serveLookedEach shows accesses one by one.
func (p *Pages) serveLookedEach(w http.ResponseWriter, r *http.Request, s session) error {
	pg := s.page("looked.each")
	query := url.Values{"lang": {string(s.tongue)}, "pageSize": {strconv.Itoa(pageOfAccesses)}}
	for _, name := range narrowed {
		if values := s.query[name]; len(values) > 0 {
			query[name] = values
		}
	}
	log, err := get[contract.AccessLog](r.Context(), p, s, "/citizens/"+s.whose()+"/accessLog", query)
	if err != nil {
		return err
	}
	v := lookedView{}
	for _, item := range log.Items {
		v.looks = append(v.looks, pg.access(item))
	}
	if log.NextCursor != "" {
		query.Set("after", string(log.NextCursor))
		v.next = pg.each(query)
	}
	return p.show(w, r, http.StatusOK, lookedPage(pg, v))
}

// each returns the address of accesses one by one, narrowed as a query of the API says.
func (p page) each(query url.Values) string {
	to := url.Values{}
	for _, name := range narrowed {
		if values := query[name]; len(values) > 0 {
			to[name] = values
		}
	}
	if p.of != "" {
		to.Set("of", p.of)
	}
	return "/looked/each?" + to.Encode()
}

// coverage says since when the log is complete, and what the last days had: that nobody looked
// is an answer, too.
func (p page) coverage(c contract.AccessCoverage) []string {
	var said []string
	if !c.CompleteSince.IsZero() {
		said = append(said, p.say("looked.since", p.moment(c.CompleteSince)))
	}
	if c.LastDays == 0 {
		return said
	}
	days := strconv.Itoa(c.LastDays)
	if c.Accesses+c.Told+c.Refused == 0 {
		return append(said, p.whose("looked.nobody", "looked.nobodyOf", days))
	}
	return append(said, p.say("looked.lately", days, strconv.Itoa(c.Accesses), strconv.Itoa(c.Told), strconv.Itoa(c.Refused)))
}

// group puts accesses that are alike into sentences.
func (p page) group(g contract.AccessGroup) look {
	l := p.access(contract.AccessLogItem{
		Categories: g.Categories, ConsentID: g.ConsentID, Contact: g.Contact, Deliberation: g.Deliberation, DocumentType: g.DocumentType, Fields: g.Fields, Hidden: g.Hidden,
		Kind: g.Kind, Label: g.Label, LegalArticle: g.LegalArticle, LegalBasis: g.LegalBasis, LegalBasisLabel: g.LegalBasisLabel, OnBehalfOf: g.OnBehalfOf, OnBehalfOfName: g.OnBehalfOfName,
		Organization: g.Organization, OrganizationName: g.OrganizationName, Outcome: g.Outcome, Predicate: g.Predicate, Procedure: g.Procedure, ProcedureLabel: g.ProcedureLabel,
		Purpose: g.Purpose, PurposeLabel: g.PurposeLabel, Reason: g.Reason, Role: g.Role, At: g.LastAt,
	})
	switch {
	case g.Count > 1 && g.Days == 1:
		l.when = p.say("looked.oftenDay", strconv.Itoa(g.Count), p.moment(g.FirstAt), p.moment(g.LastAt))
	case g.Count > 1:
		l.when = p.say("looked.often", strconv.Itoa(g.Count), strconv.Itoa(g.Days), p.moment(g.FirstAt), p.moment(g.LastAt))
	}
	if _, query, found := strings.Cut(string(g.Href), "?"); found {
		if narrow, err := url.ParseQuery(query); err == nil {
			l.each = p.each(narrow)
		}
	}
	return l
}

// access puts one access into sentences.
func (p page) access(i contract.AccessLogItem) look {
	l := look{
		what: p.say("look."+string(i.Kind), p.reader(i), cmp.Or(i.Label, string(i.DocumentType), p.say("look.unnamed"))), when: p.say("looked.once", p.moment(i.At)),
		outcome: p.say("outcome." + string(i.Outcome)), email: i.Contact.Email, url: i.Contact.URL,
	}
	if purpose := cmp.Or(i.PurposeLabel, string(i.Purpose)); purpose != "" {
		l.why = p.say("looked.why", purpose)
	}
	switch {
	case !i.ConsentID.IsZero():
		l.basis, l.consent = p.whose("looked.byConsent", "looked.byConsentOf"), p.to("/consents/"+i.ConsentID.String())
	case i.LegalBasis != "":
		l.basis = p.say("looked.byLaw", cmp.Or(i.LegalBasisLabel, string(i.LegalBasis)), i.LegalArticle, string(i.Deliberation))
	}
	add := func(key, value string) {
		if value != "" {
			l.details = append(l.details, fact{name: p.say(key), value: value})
		}
	}
	add("looked.procedure", cmp.Or(i.ProcedureLabel, string(i.Procedure)))
	var fields, categories, told []string
	for _, f := range i.Fields {
		fields = append(fields, readable(string(f)))
	}
	for _, c := range i.Categories {
		categories = append(categories, c.Label)
	}
	for _, a := range i.Answers {
		told = append(told, cmp.Or(a.Label, string(a.DocumentType))+": "+p.value(string(a.Outcome)))
	}
	named := func(key, value string) {
		if add(key, value); value != "" {
			l.details[len(l.details)-1].english = true
		}
	}
	named("looked.fields", strings.Join(fields, ", "))
	named("looked.question", readable(string(i.Predicate)))
	add("looked.categories", strings.Join(slices.Compact(categories), ", "))
	add("looked.told", strings.Join(told, "; "))
	add("looked.case", i.CaseReference)
	if !i.Hidden.Until.IsZero() {
		add("looked.hidden", p.say("looked.hiddenUntil", p.moment(i.Hidden.Until), cmp.Or(i.Hidden.ReasonLabel, string(i.Hidden.Reason))))
	}
	switch {
	case !i.PetitionID.IsZero():
		l.petition, l.petitionState = p.to("/petitions/"+i.PetitionID.String()), p.value(string(i.PetitionState))
	case !i.EntryID.IsZero():
		access := ""
		if !i.AccessID.IsZero() {
			access = i.AccessID.String()
		}
		l.dispute = p.to("/dispute", "entry", i.EntryID.String(), "access", access)
	}
	return l
}

// reader names who looked. Whoever looked as a person is told by their role.
func (p page) reader(i contract.AccessLogItem) string {
	who := cmp.Or(i.OrganizationName, string(i.Organization))
	switch {
	case who != "":
	case i.Role == contract.ActorRoleCitizen:
		return p.whose("reader.citizen", "readerOf.citizen")
	case i.Role == contract.ActorRoleRepresentative:
		return p.whose("reader.representative", "readerOf.representative")
	default:
		return p.say("reader." + string(i.Role))
	}
	if other := cmp.Or(i.OnBehalfOfName, string(i.OnBehalfOf)); other != "" {
		return p.say("reader.onBehalfOf", who, other)
	}
	return who
}
