package pages

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"coffre/domain"
	"coffre/handlers/contract"
)

// peopleView is whom somebody represents, and who represents them.
type peopleView struct {
	represented, representing []mandateView
	next                      string
	// of the form by which somebody is let act for the citizen
	types, allowed []choice
	until, mistake string
}

// mandateView is one mandate.
type mandateView struct {
	id, code, kind, state, actions, since, until string
	of                                           string // the represented person, where one may act for them; "": not
	accepts, ends                                bool   // what its form offers
}

// servePeople lists a citizen's mandates on either side.
func (p *Pages) servePeople(w http.ResponseWriter, r *http.Request, s session) error {
	return p.showPeople(w, r, s, http.StatusOK, "")
}

// showPeople shows the mandates and the form, with what was filled in where there is a mistake. The
// number is not shown again.
func (p *Pages) showPeople(w http.ResponseWriter, r *http.Request, s session, status int, mistake string) error {
	s.of, s.path = "", "/people" // mandates are one's own
	pg, query := s.page("people.title"), url.Values{"pageSize": {strconv.Itoa(pageOfAccesses)}}
	if after := s.query.Get("after"); after != "" {
		query.Set("after", after)
	}
	found, err := get[contract.Mandates](r.Context(), p, s, "/mandates", query)
	if err != nil {
		return err
	}
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	v := peopleView{until: r.PostForm.Get("until"), mistake: mistake}
	for _, one := range registry.DocumentTypes {
		v.types = append(v.types, choice{string(one.DocumentType), pg.label(one.Labels), slices.Contains(r.PostForm["type"], string(one.DocumentType))})
	}
	for _, allowed := range []string{"read", "readAndConsent"} {
		v.allowed = append(v.allowed, choice{allowed, pg.say("grantActions." + allowed), r.PostForm.Get("actions") == allowed})
	}
	for _, m := range found.Items {
		if m.HeldAs == contract.HeldAsRepresentative {
			v.represented = append(v.represented, pg.mandate(m))
		} else {
			v.representing = append(v.representing, pg.mandate(m))
		}
	}
	if found.NextCursor != "" {
		v.next = pg.to("/people", "after", string(found.NextCursor))
	}
	return p.show(w, r, status, peoplePage(pg, v))
}

// answerMandateGrant lets somebody act for the citizen, once they accept.
func (p *Pages) answerMandateGrant(w http.ResponseWriter, r *http.Request, s session) error {
	f := r.PostForm
	number, err := domain.ParseSSIN(strings.TrimSpace(f.Get("number")))
	if err != nil {
		return p.showPeople(w, r, s, http.StatusBadRequest, s.say("signIn.wrong"))
	}
	asked := contract.MandateGrant{RepresentativeSSIN: contract.SSIN{SSIN: number}, Kind: contract.MandateKindRepresentation, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: contract.Day(f.Get("until"))}
	switch f.Get("actions") {
	case "read":
	case "readAndConsent":
		asked.Actions = append(asked.Actions, contract.MandateActionConsent)
	default:
		return p.showPeople(w, r, s, http.StatusBadRequest, s.say("grant.noActions"))
	}
	for _, one := range f["type"] {
		asked.DocumentTypes = append(asked.DocumentTypes, contract.DocumentTypeCode(one))
	}
	_, at, err := post[contract.MandateReceipt](r.Context(), p, s, "/mandates", f.Get("key"), asked)
	var refused *refusedError
	if errors.As(err, &refused) && refused.status == http.StatusBadRequest {
		return p.showPeople(w, r, s, http.StatusBadRequest, s.say("grant.wrong"))
	}
	if err != nil {
		return err
	}
	s.of = ""
	http.Redirect(w, r, s.page("people.title").to("/people", "at", at), http.StatusSeeOther)
	return nil
}

func (p page) mandate(m contract.Mandate) mandateView {
	v := mandateView{
		id: m.MandateID.String(), kind: p.value(string(m.Kind)), state: p.value(string(m.State)),
		ends: m.State == contract.MandateStateGranted || m.State == contract.MandateStateAccepted,
	}
	other := m.RepresentativeCitizenID
	if m.HeldAs == contract.HeldAsRepresentative {
		other = m.CitizenID
		v.accepts = m.State == contract.MandateStateGranted
		if m.State == contract.MandateStateAccepted && slices.Contains(m.Actions, contract.MandateActionRead) {
			v.of = other.String()
		}
	}
	if !other.IsZero() {
		v.code = page{of: other.String()}.code()
	}
	var actions []string
	for _, a := range m.Actions {
		actions = append(actions, p.say("action."+string(a)))
	}
	v.actions = strings.Join(actions, ", ")
	if !m.AcceptedAt.IsZero() {
		v.since = p.moment(m.AcceptedAt)
	}
	if m.Until != "" {
		v.until = p.day(m.Until)
	}
	return v
}

// answerMandate accepts a mandate, or ends it.
func (p *Pages) answerMandate(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	act := r.PostForm.Get("answer")
	if act != "accept" && act != "end" {
		return &refusedError{status: http.StatusBadRequest}
	}
	_, at, err := post[contract.MandateReceipt](r.Context(), p, s, "/mandates/"+id+"/"+act, r.PostForm.Get("key"), nil)
	if err != nil {
		return err
	}
	s.of = ""
	http.Redirect(w, r, s.page("people.title").to("/people", "at", at), http.StatusSeeOther)
	return nil
}
