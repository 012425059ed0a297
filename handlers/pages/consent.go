package pages

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"coffre/domain"
	"coffre/handlers/contract"
)

// consentsView is what waits for an answer, what runs, and what is past.
type consentsView struct {
	asked, running, past []consentView
	next                 string // address of more that is past
}

// consentView is one consent.
type consentView struct {
	href, id, who, why, state, stateText, until string
	limits, documents, message                  string
	fields                                      []domain.Field
	asked, granted, ended, uses                 string
	looked                                      string // address of what was read under it
	text, version                               string // what the citizen is shown before they say yes
	wrongUntil                                  bool   // the day that was filled in is none, or too late
}

var pastStates = []string{
	string(contract.ConsentStateWithdrawn), string(contract.ConsentStateExpired), string(contract.ConsentStateExhausted), string(contract.ConsentStateRefused), string(contract.ConsentStateErased),
}

// serveConsents lists a citizen's consents: asked, running, past.
func (p *Pages) serveConsents(w http.ResponseWriter, r *http.Request, s session) error {
	pg, v := s.pageOf("consents.title", "people.consents"), consentsView{}
	list := func(path, after string, states ...string) (contract.Consents, error) {
		query := url.Values{"citizenId": {s.whose()}, "lang": {string(s.tongue)}, "pageSize": {strconv.Itoa(pageOfAccesses)}}
		if len(states) > 0 {
			query["state"] = states
		}
		if after != "" {
			query.Set("after", after)
		}
		return get[contract.Consents](r.Context(), p, s, path, query)
	}
	asked, err := list("/consentRequests", "")
	if err != nil {
		return err
	}
	running, err := list("/consents", "", string(contract.ConsentStateGranted))
	if err != nil {
		return err
	}
	past, err := list("/consents", s.query.Get("after"), pastStates...)
	if err != nil {
		return err
	}
	v.asked, v.running, v.past = pg.consents(asked), pg.consents(running), pg.consents(past)
	if past.NextCursor != "" {
		v.next = pg.to("/consents", "after", string(past.NextCursor))
	}
	return p.show(w, r, http.StatusOK, consentsPage(pg, v))
}

func (p page) consents(found contract.Consents) (all []consentView) {
	for _, c := range found.Items {
		all = append(all, p.consent(c))
	}
	return all
}

// consent puts a consent into words.
func (p page) consent(c contract.Consent) consentView {
	v := consentView{
		href: p.to("/consents/" + c.ConsentID.String()), id: c.ConsentID.String(), who: cmp.Or(c.ConsumerName, string(c.Consumer)), why: cmp.Or(c.PurposeLabel, string(c.Purpose)),
		state: string(c.State), stateText: p.value(string(c.State)), message: c.Message, fields: c.Fields, uses: strconv.Itoa(c.Uses),
		looked: p.to("/consents/" + c.ConsentID.String() + "/looked"),
	}
	for to, at := range map[*string]time.Time{&v.asked: c.RequestedAt, &v.granted: c.GrantedAt, &v.ended: c.EndedAt, &v.until: c.Until} {
		if !at.IsZero() {
			*to = p.moment(at)
		}
	}
	var limits []string
	if c.Limits.Uses > 0 {
		limits = append(limits, p.say("consent.limitUses", strconv.Itoa(c.Limits.Uses)))
	}
	if f := c.Limits.Frequency; f.Uses > 0 {
		limits = append(limits, p.say("consent.limitOften", strconv.Itoa(f.Uses), p.value(string(f.Per))))
	}
	if c.Limits.DataLife > 0 {
		limits = append(limits, p.say("consent.limitLife", strconv.Itoa(c.Limits.DataLife)))
	}
	v.limits = strings.Join(limits, " ")
	return v
}

// serveConsent shows one consent; one that waits with the form to say yes or no, one that runs
// with the form to stop it.
func (p *Pages) serveConsent(w http.ResponseWriter, r *http.Request, s session) error {
	return p.showConsent(w, r, s, http.StatusOK)
}

func (p *Pages) showConsent(w http.ResponseWriter, r *http.Request, s session, status int) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	lang := string(s.tongue)
	c, err := get[contract.Consent](r.Context(), p, s, "/consents/"+id, url.Values{"lang": {lang}})
	if err != nil {
		return err
	}
	registry, err := get[contract.Registry](r.Context(), p, session{}, "/registry", nil)
	if err != nil {
		return err
	}
	s.path, s.query = "/consents/"+id, url.Values{}
	if s.of != "" {
		s.query.Set("of", s.of)
	}
	pg := s.page("consent.title")
	v := pg.consent(c)
	var what []string
	for _, t := range c.DocumentTypes {
		what = append(what, pg.typeLabel(registry, t))
	}
	if len(c.Documents) > 0 {
		what = append(what, pg.say("consent.documents", strconv.Itoa(len(c.Documents))))
	}
	v.documents = strings.Join(what, ", ")
	if c.State == contract.ConsentStateRequested {
		if v.message == "" {
			asked, err := get[contract.Consents](r.Context(), p, s, "/consentRequests", url.Values{"citizenId": {s.whose()}, "lang": {lang}})
			if err != nil {
				return err
			}
			if i := slices.IndexFunc(asked.Items, func(one contract.Consent) bool { return one.ConsentID == c.ConsentID }); i >= 0 {
				v.message = asked.Items[i].Message
			}
		}
		shown := shownText(registry, c, s.tongue, "")
		v.text, v.version = shown.Text, shown.Version
	}
	v.wrongUntil = status == http.StatusBadRequest
	return p.show(w, r, status, consentPage(pg, v))
}

// shownText returns the text of the registry for a consent, in a language: the last version of
// it, or the one that is named; without text where the registry has none.
func shownText(registry contract.Registry, c contract.Consent, l tongue, version string) contract.ShownText {
	shown := contract.ShownText{Language: contract.Language(l)}
	for _, t := range registry.ConsentTexts {
		if t.Purpose == c.Purpose && (version == "" || t.Version == version) {
			shown.Text, shown.Version = l.label(t.Texts), t.Version
		}
	}
	consumer, purpose := string(c.Consumer), string(c.Purpose)
	for _, o := range registry.Organizations {
		if o.EnterpriseNumber == c.Consumer {
			consumer = l.label(o.Labels)
		}
	}
	for _, one := range registry.Purposes {
		if one.Code == string(c.Purpose) {
			purpose = l.label(one.Labels)
		}
	}
	shown.Text = strings.NewReplacer("{consumer}", consumer, "{purpose}", purpose).Replace(shown.Text)
	return shown
}

// answerConsent says yes or no to a request.
func (p *Pages) answerConsent(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	f := r.PostForm
	if f.Get("answer") == "no" {
		_, at, err := post[contract.ConsentReceiptShort](r.Context(), p, s, "/consentRequests/"+id+"/refuse", f.Get("key"), nil)
		return p.toConsent(w, r, s, id, at, err)
	}
	l := tongue(f.Get("language"))
	if f.Get("answer") != "yes" || !known(string(l)) {
		return &refusedError{status: http.StatusBadRequest}
	}
	c, err := get[contract.Consent](r.Context(), p, s, "/consents/"+id, url.Values{"lang": {string(l)}})
	if err != nil {
		return err
	}
	registry, err := get[contract.Registry](r.Context(), p, session{}, "/registry", nil)
	if err != nil {
		return err
	}
	grant := contract.ConsentRequestGrant{ShownText: shownText(registry, c, l, f.Get("version"))}
	if len(f["leaveOut"]) > 0 {
		grant.Fields = slices.DeleteFunc(slices.Clone(c.Fields), func(one domain.Field) bool { return slices.Contains(f["leaveOut"], string(one)) })
		if len(grant.Fields) == 0 {
			return p.showConsent(w, r, s, http.StatusBadRequest)
		}
	}
	if day := f.Get("until"); day != "" {
		until := domain.BelgianDayEnd(domain.Date(day))
		if _, err := domain.ParseDate(day); err != nil || !until.After(p.Now()) || !c.Until.IsZero() && until.After(c.Until) {
			return p.showConsent(w, r, s, http.StatusBadRequest)
		}
		grant.Until = &until
	}
	_, at, err := post[contract.ConsentReceiptShort](r.Context(), p, s, "/consentRequests/"+id+"/grant", f.Get("key"), grant)
	return p.toConsent(w, r, s, id, at, err)
}

// answerStop withdraws a consent.
func (p *Pages) answerStop(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	_, at, err := post[contract.ConsentReceiptShort](r.Context(), p, s, "/consents/"+id+"/withdraw", r.PostForm.Get("key"), nil)
	return p.toConsent(w, r, s, id, at, err)
}

// toConsent leads to a consent after something was decided about it.
func (p *Pages) toConsent(w http.ResponseWriter, r *http.Request, s session, id, at string, err error) error {
	if err == nil {
		http.Redirect(w, r, s.page("consent.title").to("/consents/"+id, "at", at), http.StatusSeeOther)
	}
	return err
}

// serveConsentLooked shows what was read under a consent.
func (p *Pages) serveConsentLooked(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	query := url.Values{"lang": {string(s.tongue)}, "pageSize": {strconv.Itoa(pageOfAccesses)}}
	if after := s.query.Get("after"); after != "" {
		query.Set("after", after)
	}
	log, err := get[contract.AccessLog](r.Context(), p, s, "/consents/"+id+"/disclosures", query)
	if err != nil {
		return err
	}
	pg, v := s.page("consent.looked"), lookedView{}
	for _, item := range log.Items {
		v.looks = append(v.looks, pg.access(item))
	}
	if log.NextCursor != "" {
		v.next = pg.to("/consents/"+id+"/looked", "after", string(log.NextCursor))
	}
	return p.show(w, r, http.StatusOK, lookedPage(pg, v))
}
