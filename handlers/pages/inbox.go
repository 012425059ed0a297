package pages

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"coffre/handlers/contract"
)

// inboxSize bounds what the inbox shows of each of its lists.
const inboxSize = 5

// inboxLists are what waits for an officer, in the order of the page.
var inboxLists = []string{"erasures", "petitions", "holds", "restrictions", "due"}

// inboxView is one list of what waits.
type inboxView struct {
	name, title string
	items       []inboxItem
	next, all   string // addresses; "": that is all
}

// inboxItem is one thing that waits.
type inboxItem struct {
	title, href string // href "": it has no page
	facts       []fact
}

// serveInbox shows the first of everything that waits for an officer.
func (p *Pages) serveInbox(w http.ResponseWriter, r *http.Request, s session) error {
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	pg := s.page("inbox.title")
	var lists []inboxView
	for _, name := range inboxLists {
		list, err := p.inboxList(r.Context(), s, pg, registry, name, url.Values{"pageSize": {strconv.Itoa(inboxSize)}})
		if err != nil {
			return err
		}
		if list.next != "" {
			list.all, list.next = pg.to("/officer/inbox/"+name), ""
		}
		lists = append(lists, list)
	}
	return p.show(w, r, http.StatusOK, inboxPage(pg, lists))
}

// serveInboxList shows one of the lists, page by page.
func (p *Pages) serveInboxList(w http.ResponseWriter, r *http.Request, s session) error {
	name := r.PathValue("list")
	if !slices.Contains(inboxLists, name) {
		return errNoPage
	}
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	pg := s.page("inbox." + name)
	list, err := p.inboxList(r.Context(), s, pg, registry, name, s.paged())
	if err != nil {
		return err
	}
	list.title = ""
	return p.show(w, r, http.StatusOK, inboxPage(pg, []inboxView{list}))
}

func (p *Pages) inboxList(ctx context.Context, s session, pg page, registry contract.Registry, name string, query url.Values) (inboxView, error) {
	v := inboxView{name: name, title: pg.say("inbox." + name)}
	var next contract.Cursor
	switch name {
	case "erasures":
		query.Set("state", string(contract.ErasureStateRequested))
		found, err := get[contract.Erasures](ctx, p, s, "/erasures", query)
		if err != nil {
			return v, err
		}
		for _, one := range found.Items {
			v.items = append(v.items, inboxItem{pg.say("scopeAsked." + string(one.Scope)), pg.to("/officer/erasures/" + one.ErasureID.String()), []fact{
				{name: pg.say("petition.asked"), value: pg.moment(one.RequestedAt)}, {name: pg.say("officer.reason"), value: pg.reasonLabel(registry, one.Reason)},
			}})
		}
		next = found.NextCursor
	case "petitions":
		query["state"], query["lang"] = []string{string(contract.PetitionStateOpen), string(contract.PetitionStateOverdue)}, []string{string(s.tongue)}
		found, err := get[contract.Petitions](ctx, p, s, "/petitions", query)
		if err != nil {
			return v, err
		}
		for _, one := range found.Items {
			shown := pg.petition(one)
			v.items = append(v.items, inboxItem{pg.say("petition.of", shown.kind, shown.asked), pg.to("/officer/petitions/" + shown.id), []fact{
				{name: pg.say("petition.organisation"), value: shown.organisation}, {name: pg.say("petition.state"), value: shown.state}, {name: pg.say("petition.deadline"), value: shown.deadline},
			}})
		}
		next = found.NextCursor
	case "holds":
		query.Set("state", "standing")
		found, err := get[contract.LegalHolds](ctx, p, s, "/legalHolds", query)
		if err != nil {
			return v, err
		}
		for _, one := range found.Items {
			v.items = append(v.items, pg.hold(registry, one))
		}
		next = found.NextCursor
	case "restrictions":
		query.Set("state", "standing")
		found, err := get[contract.Restrictions](ctx, p, s, "/restrictions", query)
		if err != nil {
			return v, err
		}
		for _, one := range found.Items {
			v.items = append(v.items, pg.restriction(registry, one))
		}
		next = found.NextCursor
	case "due":
		found, err := get[contract.DueErasures](ctx, p, s, "/dueErasures", query)
		if err != nil {
			return v, err
		}
		for _, one := range found.Items {
			item := inboxItem{pg.typeLabel(registry, one.DocumentType), pg.to("/officer/citizens/" + one.CitizenID.String()), []fact{
				{name: pg.say("officer.reason"), value: pg.reasonLabel(registry, one.Rule)}, {name: pg.say("due.then"), value: pg.value(string(one.Then))},
			}}
			if one.Since != "" {
				item.facts = append(item.facts, fact{name: pg.say("due.since"), value: pg.day(one.Since)})
			}
			if one.LegalHold {
				item.facts = append(item.facts, fact{name: pg.say("due.but"), value: pg.say("due.hold")})
			}
			v.items = append(v.items, item)
		}
		next = found.NextCursor
	}
	if next != "" {
		v.next = pg.to("/officer/inbox/"+name, "after", string(next))
	}
	return v, nil
}

func (p page) hold(registry contract.Registry, one contract.LegalHold) inboxItem {
	item := inboxItem{title: p.reasonLabel(registry, one.Reason), facts: []fact{{name: p.say("hold.placed"), value: p.moment(one.PlacedAt)}}}
	if !one.CitizenID.IsZero() {
		item.href = p.to("/officer/holds/" + one.CitizenID.String() + "/" + one.LegalHoldID.String())
	}
	if !one.LiftedAt.IsZero() {
		item.facts = append(item.facts, fact{name: p.say("hold.lifted"), value: p.moment(one.LiftedAt)})
	}
	return item
}

func (p page) restriction(registry contract.Registry, one contract.Restriction) inboxItem {
	item := inboxItem{title: p.reasonLabel(registry, one.Reason), facts: []fact{
		{name: p.say("restriction.since"), value: p.moment(one.RestrictedAt)}, {name: p.say("restriction.by"), value: p.value(string(one.AskedBy))},
	}}
	if !one.CitizenID.IsZero() {
		item.href = p.to("/officer/citizens/" + one.CitizenID.String())
	}
	if !one.LiftedAt.IsZero() {
		item.facts = append(item.facts, fact{name: p.say("hold.lifted"), value: p.moment(one.LiftedAt)})
	}
	return item
}

// askedView is an erasure that an officer decides about.
type askedView struct {
	erasureView
	reason, citizen string // citizen is an address; "": everything is erased
	waits           bool   // for another officer
}

// serveAskedErasure shows an erasure, and lets an officer approve one that waits.
func (p *Pages) serveAskedErasure(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	found, err := get[contract.Erasure](r.Context(), p, s, "/erasures/"+id, nil)
	if err != nil {
		return err
	}
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	pg := s.page("asked.title")
	v := askedView{erasureView: pg.erasure(found, registry), reason: pg.reasonLabel(registry, found.Reason), waits: found.State == contract.ErasureStateRequested}
	if v.certificate != "" {
		v.certificate = pg.to("/officer/erasures/" + id + "/certificate")
	}
	if !found.CitizenID.IsZero() {
		v.citizen = pg.to("/officer/citizens/" + found.CitizenID.String())
	}
	return p.show(w, r, http.StatusOK, askedPage(pg, v))
}

// answerApprove approves an erasure. Whoever asked for it is refused by the use case.
func (p *Pages) answerApprove(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	_, at, err := post[contract.Erasure](r.Context(), p, s, "/erasures/"+id+"/approve", r.PostForm.Get("key"), nil)
	if err != nil {
		return err
	}
	http.Redirect(w, r, s.page("asked.title").to("/officer/erasures/"+id, "at", at), http.StatusSeeOther)
	return nil
}

// holdView is a legal hold and the addresses of its citizen and of its lifting; "": it was lifted.
type holdView struct {
	inboxItem
	citizen, lift string
}

// serveHold shows a legal hold, and asks whether it is to be lifted.
func (p *Pages) serveHold(w http.ResponseWriter, r *http.Request, s session) error {
	citizen, err := idFrom(r, "citizen")
	if err != nil {
		return err
	}
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	found, err := get[contract.LegalHolds](r.Context(), p, s, "/legalHolds", url.Values{"legalHoldId": {id}})
	if err != nil {
		return err
	}
	at := slices.IndexFunc(found.Items, func(h contract.LegalHold) bool {
		return h.LegalHoldID.String() == id && h.CitizenID.String() == citizen
	})
	if at < 0 {
		return errNoPage
	}
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	pg := s.page("hold.title")
	v := holdView{inboxItem: pg.hold(registry, found.Items[at]), citizen: pg.to("/officer/citizens/" + citizen)}
	if found.Items[at].LiftedAt.IsZero() {
		v.lift = "/officer/holds/" + citizen + "/" + id + "/lift"
	}
	return p.show(w, r, http.StatusOK, holdPage(pg, v))
}

// answerLift lifts a legal hold.
func (p *Pages) answerLift(w http.ResponseWriter, r *http.Request, s session) error {
	citizen, err := idFrom(r, "citizen")
	if err != nil {
		return err
	}
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	_, at, err := post[struct{}](r.Context(), p, s, "/citizens/"+citizen+"/legalHolds/"+id+"/lift", r.PostForm.Get("key"), nil)
	if err != nil {
		return err
	}
	http.Redirect(w, r, s.page("hold.title").to("/officer/holds/"+citizen+"/"+id, "at", at), http.StatusSeeOther)
	return nil
}

// answerView is a petition that an officer reads, and answers where it is addressed to none else.
type answerView struct {
	petitionView
	citizen string // address; "": it is not told
	ours    bool   // it waits for an answer of the vault
	extends bool   // and may take longer
	missing bool   // a rejection does not say why
}

func (p *Pages) servePetitionToAnswer(w http.ResponseWriter, r *http.Request, s session) error {
	return p.showPetitionToAnswer(w, r, s, http.StatusOK)
}

func (p *Pages) showPetitionToAnswer(w http.ResponseWriter, r *http.Request, s session, status int) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	found, err := get[contract.Petition](r.Context(), p, s, "/petitions/"+id, url.Values{"lang": {string(s.tongue)}})
	if err != nil {
		return err
	}
	s.path = "/officer/petitions/" + id
	pg := s.page("officerPetition.title")
	v := answerView{petitionView: pg.petition(found), ours: found.Organization == "" && found.State != contract.PetitionStateAnswered, missing: status != http.StatusOK}
	v.extends = v.ours && found.State == contract.PetitionStateOpen && found.ExtendedAt.IsZero()
	if !found.CitizenID.IsZero() {
		v.citizen = pg.to("/officer/citizens/" + found.CitizenID.String())
	}
	return p.show(w, r, status, officerPetitionPage(pg, v))
}

// answerPetition answers a petition that is addressed to the vault.
func (p *Pages) answerPetition(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	f := r.PostForm
	said := contract.PetitionAnswer{Outcome: contract.PetitionOutcome(f.Get("outcome")), Text: strings.TrimSpace(strings.ReplaceAll(f.Get("text"), "\r\n", "\n"))}
	if said.Outcome == "" || said.Outcome == contract.PetitionOutcomeRejected && said.Text == "" {
		return p.showPetitionToAnswer(w, r, s, http.StatusBadRequest)
	}
	_, at, err := post[struct{}](r.Context(), p, s, "/petitions/"+id+"/answer", f.Get("key"), said)
	if err != nil {
		return err
	}
	http.Redirect(w, r, s.page("officerPetition.title").to("/officer/petitions/"+id, "at", at), http.StatusSeeOther)
	return nil
}

// answerExtend takes two further months to answer a petition that is addressed to the vault.
func (p *Pages) answerExtend(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	said := contract.PetitionExtend{Text: strings.TrimSpace(strings.ReplaceAll(r.PostForm.Get("text"), "\r\n", "\n"))}
	if said.Text == "" {
		return p.showPetitionToAnswer(w, r, s, http.StatusBadRequest)
	}
	_, at, err := post[contract.Petition](r.Context(), p, s, "/petitions/"+id+"/extend", r.PostForm.Get("key"), said)
	if err != nil {
		return err
	}
	http.Redirect(w, r, s.page("officerPetition.title").to("/officer/petitions/"+id, "at", at), http.StatusSeeOther)
	return nil
}

// serveRegister says what the register of processing is, and leads to it.
func (p *Pages) serveRegister(w http.ResponseWriter, r *http.Request, s session) error {
	pg := s.page("register.title")
	return p.show(w, r, http.StatusOK, registerPage(pg))
}

// serveRegisterFile hands on the register of processing, to read or to print.
func (p *Pages) serveRegisterFile(w http.ResponseWriter, r *http.Request, s session) error {
	format := cmp.Or(s.query.Get("format"), "html")
	return p.download(w, r, s, "/processingRegister?"+url.Values{"format": {format}, "lang": {string(s.tongue)}}.Encode(), "")
}
