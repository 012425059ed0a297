package pages

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
)

// maxPetition bounds the characters of what somebody disputes, as the contract does.
const maxPetition = 4000

// disputeView is a form in which somebody says what is wrong.
type disputeView struct {
	entry, access, document string // what it is about
	look                    []look // the entry, where it can be shown
	missing                 bool   // nothing was said
}

// petitionView is what somebody disputed, and what became of it.
type petitionView struct {
	href, id, kind, state, by, organisation, asked, deadline, extended, extension, text, answered, answer string
}

// serveDispute shows the form.
func (p *Pages) serveDispute(w http.ResponseWriter, r *http.Request, s session) error {
	v := disputeView{entry: s.query.Get("entry"), access: s.query.Get("access"), document: s.query.Get("document")}
	return p.showDispute(w, r, s, v, http.StatusOK)
}

func (p *Pages) showDispute(w http.ResponseWriter, r *http.Request, s session, v disputeView, status int) error {
	title := "dispute.entry"
	if v.document != "" {
		title = "dispute.document"
	}
	s.path, s.query = "/dispute", url.Values{}
	for name, value := range map[string]string{"entry": v.entry, "access": v.access, "document": v.document, "of": s.of} {
		if value == "" {
			continue
		}
		if _, err := uuid.Parse(value); err != nil {
			return errNoPage
		}
		s.query.Set(name, value)
	}
	if (v.entry == "") == (v.document == "") {
		return errNoPage
	}
	pg := s.page(title)
	if v.access != "" {
		log, err := get[contract.AccessLog](r.Context(), p, s, "/citizens/"+s.whose()+"/accessLog", url.Values{"lang": {string(s.tongue)}, "accessId": {v.access}})
		if err != nil {
			return err
		}
		for _, item := range log.Items {
			if item.EntryID.String() == v.entry {
				v.look = append(v.look, pg.access(item))
			}
		}
	}
	return p.show(w, r, status, disputePage(pg, v))
}

// answerDispute makes a petition of what the form says.
func (p *Pages) answerDispute(w http.ResponseWriter, r *http.Request, s session) error {
	f := r.PostForm
	v := disputeView{entry: f.Get("entry"), access: f.Get("access"), document: f.Get("document")}
	made := contract.PetitionMake{Text: strings.TrimSpace(strings.ReplaceAll(f.Get("text"), "\r\n", "\n"))}
	if made.Text == "" {
		v.missing = true
		return p.showDispute(w, r, s, v, http.StatusBadRequest)
	}
	switch entry, err := uuid.Parse(cmp.Or(v.entry, v.document)); {
	case err != nil:
		return errNoPage
	case v.entry != "":
		made.EntryID = &domain.EntryID{UUID: entry}
	default:
		made.DocumentID, made.Restrict = &domain.DocumentID{UUID: entry}, new(f.Get("restrict") != "")
	}
	petition, at, err := post[contract.Petition](r.Context(), p, s, "/citizens/"+s.whose()+"/petitions", f.Get("key"), made)
	if err != nil {
		return err
	}
	http.Redirect(w, r, s.page("petition.title").to("/petitions/"+petition.PetitionID.String(), "at", at), http.StatusSeeOther)
	return nil
}

// servePetitions lists what somebody disputed.
func (p *Pages) servePetitions(w http.ResponseWriter, r *http.Request, s session) error {
	pg := s.page("petitions.title")
	query := url.Values{"lang": {string(s.tongue)}, "pageSize": {strconv.Itoa(pageOfAccesses)}}
	if after := s.query.Get("after"); after != "" {
		query.Set("after", after)
	}
	if s.of != "" {
		query.Set("citizenId", s.of)
	}
	found, err := get[contract.Petitions](r.Context(), p, s, "/petitions", query)
	if err != nil {
		return err
	}
	var all []petitionView
	for _, one := range found.Items {
		all = append(all, pg.petition(one))
	}
	next := ""
	if found.NextCursor != "" {
		next = pg.to("/petitions", "after", string(found.NextCursor))
	}
	return p.show(w, r, http.StatusOK, petitionsPage(pg, all, next))
}

// servePetition shows one, with its answer.
func (p *Pages) servePetition(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	found, err := get[contract.Petition](r.Context(), p, s, "/petitions/"+id, url.Values{"lang": {string(s.tongue)}})
	if err != nil {
		return err
	}
	pg := s.page("petition.title")
	return p.show(w, r, http.StatusOK, petitionPage(pg, pg.petition(found)))
}

func (p page) petition(one contract.Petition) petitionView {
	v := petitionView{
		href: p.to("/petitions/" + one.PetitionID.String()), id: one.PetitionID.String(), kind: p.value(string(one.Kind)), state: p.value(string(one.State)),
		organisation: cmp.Or(one.OrganizationName, string(one.Organization), p.say("petition.officer")), asked: p.moment(one.AskedAt), deadline: p.day(one.Deadline), text: one.Text, answer: one.Answer,
	}
	if !one.MandateID.IsZero() {
		v.by = p.say("petition.representative")
	}
	if one.Outcome != "" {
		v.state += ": " + p.value(string(one.Outcome))
	}
	if !one.ExtendedAt.IsZero() {
		v.extended, v.extension = p.moment(one.ExtendedAt), one.Extension
	}
	if !one.AnsweredAt.IsZero() {
		v.answered = p.moment(one.AnsweredAt)
	}
	return v
}
