package pages

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
)

// lookupReasons are those for which a privacy officer looks a citizen up.
var lookupReasons = []contract.LookupReason{
	contract.LookupReasonSubjectRequest, contract.LookupReasonComplaint, contract.LookupReasonCorrection, contract.LookupReasonInvestigation, contract.LookupReasonLegalDuty,
}

// lookupView is the form in which an officer says whom they look up, and for what work.
type lookupView struct {
	reasons []choice
	mistake string // "": there is none
}

func (p *Pages) serveLookup(w http.ResponseWriter, r *http.Request, s session) error {
	return p.showLookup(w, r, s, http.StatusOK, "")
}

func (p *Pages) showLookup(w http.ResponseWriter, r *http.Request, s session, status int, mistake string) error {
	s.path, s.query = "/officer/citizen", url.Values{}
	pg := s.page("lookup.title")
	v := lookupView{mistake: mistake}
	for _, reason := range lookupReasons {
		v.reasons = append(v.reasons, choice{string(reason), pg.say("reasonOfLookup." + string(reason)), r.PostForm.Get("reason") == string(reason)})
	}
	return p.show(w, r, status, lookupPage(pg, v))
}

// answerLookup finds a citizen by their number, which stands in no address and no page.
func (p *Pages) answerLookup(w http.ResponseWriter, r *http.Request, s session) error {
	number, err := domain.ParseSSIN(strings.TrimSpace(r.PostForm.Get("number")))
	if err != nil {
		return p.showLookup(w, r, s, http.StatusBadRequest, s.tongue.say("signIn.wrong"))
	}
	reason := contract.LookupReason(r.PostForm.Get("reason"))
	if reason == "" {
		return p.showLookup(w, r, s, http.StatusBadRequest, s.tongue.say("lookup.noReason"))
	}
	asked := contract.CitizenGet{SSIN: contract.SSIN{SSIN: number}, Reason: reason, CaseReference: strings.TrimSpace(r.PostForm.Get("case"))}
	found, err := query[contract.Citizen](r.Context(), p, s, "/citizens/get", nil, asked)
	var refused *refusedError
	switch {
	case errors.As(err, &refused) && refused.status == http.StatusNotFound:
		return p.showLookup(w, r, s, http.StatusNotFound, s.tongue.say("lookup.unknown"))
	case err != nil:
		return err
	}
	http.Redirect(w, r, "/officer/citizens/"+found.CitizenID.String(), http.StatusSeeOther)
	return nil
}

// citizenView is what an officer does about one citizen.
type citizenView struct {
	id, code                  string
	consents, looked          string // addresses
	restrictions, corrections []inboxItem
	holdReasons, eraseReasons []choice
}

// serveCitizen shows what stands for a citizen and what an officer may do. Nothing of what the
// vault holds about them is opened.
func (p *Pages) serveCitizen(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	restrictions, err := get[contract.Restrictions](r.Context(), p, s, "/citizens/"+id+"/restrictions", nil)
	if err != nil {
		return err
	}
	corrections, err := get[contract.Corrections](r.Context(), p, s, "/citizens/"+id+"/corrections", nil)
	if err != nil {
		return err
	}
	pg := s.page("citizen.title")
	v := citizenView{
		id: id, code: page{of: id}.code(), consents: pg.to("/officer/consents", "citizen", id), looked: pg.to("/officer/citizens/" + id + "/looked"),
		holdReasons: pg.reasons(registry, contract.ReasonKindLegalHold), eraseReasons: pg.reasons(registry, contract.ReasonKindErasure),
	}
	for _, one := range restrictions.Items {
		v.restrictions = append(v.restrictions, pg.restriction(registry, one))
	}
	for _, one := range corrections.Items {
		item := inboxItem{title: pg.say("correction." + string(one.Kind)), facts: []fact{{name: pg.say("petition.asked"), value: pg.moment(one.ProposedAt)}, {name: pg.say("petition.state"), value: pg.say("correctionState." + string(one.State))}}}
		v.corrections = append(v.corrections, item)
	}
	return p.show(w, r, http.StatusOK, citizenPage(pg, v))
}

// reasons returns the reasons of the registry of some kinds, as choices.
func (l tongue) reasons(registry contract.Registry, kinds ...contract.ReasonKind) (all []choice) {
	for _, kind := range kinds {
		for _, one := range registry.Reasons {
			if one.Kind == kind {
				all = append(all, choice{value: string(one.Code), text: l.label(one.Labels)})
			}
		}
	}
	return all
}

// serveCitizenLooked shows who looked at the data of a citizen.
func (p *Pages) serveCitizenLooked(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	return p.showUses(w, r, s, "officerLooked.title", "/citizens/"+id+"/accessLog", "/officer/citizens/"+id+"/looked")
}

// serveConsentUses shows what was read under a consent.
func (p *Pages) serveConsentUses(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	return p.showUses(w, r, s, "consent.looked", "/consents/"+id+"/disclosures", "/officer/consents/"+id+"/looked")
}

// showUses shows accesses one by one, as an officer reads them: nothing is disputed there.
func (p *Pages) showUses(w http.ResponseWriter, r *http.Request, s session, title, path, here string) error {
	log, err := get[contract.AccessLog](r.Context(), p, s, path, s.paged("lang", string(s.tongue)))
	if err != nil {
		return err
	}
	pg, v := s.page(title), lookedView{officer: true}
	for _, item := range log.Items {
		one := pg.access(item)
		one.dispute, one.petition = "", ""
		if !item.ConsentID.IsZero() {
			one.consent = pg.to("/officer/consents/" + item.ConsentID.String())
		}
		if !item.PetitionID.IsZero() {
			one.petition = pg.to("/officer/petitions/" + item.PetitionID.String())
		}
		v.looks = append(v.looks, one)
	}
	if log.NextCursor != "" {
		v.next = pg.to(here, "after", string(log.NextCursor))
	}
	return p.show(w, r, http.StatusOK, lookedPage(pg, v))
}

// paged returns the query for a page of a list, with pairs of a name and a value.
func (s session) paged(pairs ...string) url.Values {
	query := url.Values{"pageSize": {strconv.Itoa(pageOfAccesses)}}
	if after := s.query.Get("after"); after != "" {
		query.Set("after", after)
	}
	for i := 0; i < len(pairs); i += 2 {
		query.Add(pairs[i], pairs[i+1])
	}
	return query
}

// answerHold places a legal hold.
func (p *Pages) answerHold(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	f := r.PostForm
	held, at, err := post[contract.LegalHold](r.Context(), p, s, "/citizens/"+id+"/legalHolds", f.Get("key"), contract.LegalHoldPlace{Reason: contract.ReasonCode(f.Get("reason")), CaseReference: strings.TrimSpace(f.Get("case"))})
	if err != nil {
		return err
	}
	http.Redirect(w, r, s.page("hold.title").to("/officer/holds/"+id+"/"+held.LegalHoldID.String(), "at", at), http.StatusSeeOther)
	return nil
}

// answerOfficerErase asks for the erasure of a citizen, which another officer approves.
func (p *Pages) answerOfficerErase(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return errNoPage
	}
	f := r.PostForm
	asked, at, err := post[contract.Erasure](r.Context(), p, s, "/erasures", f.Get("key"), contract.ErasureRequest{
		CitizenID: domain.CitizenID{UUID: id}, Reason: contract.ReasonCode(f.Get("reason")), Scope: contract.ErasureScopeCitizen,
	})
	if err != nil {
		return err
	}
	http.Redirect(w, r, s.page("asked.title").to("/officer/erasures/"+asked.ErasureID.String(), "at", at), http.StatusSeeOther)
	return nil
}

// query asks the API a question whose words stand in no address, as whoever is logged in. Answers
// other than of success are a *refusedError.
func query[T any](ctx context.Context, p *Pages, s session, path string, with url.Values, body any) (out T, err error) {
	r, err := act(ctx, s, path+"?"+with.Encode(), "", body)
	if err != nil {
		return out, err
	}
	r.Header.Del("Idempotency-Key")
	if s.seen != "" {
		r.Header.Set("Coffre-Min-Position", s.seen)
	}
	_, err = answer(p, r, &out)
	return out, err
}
