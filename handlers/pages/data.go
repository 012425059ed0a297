package pages

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// byCitizen is the reason for an erasure that the citizen asks for.
const byCitizen = "citizenRequest"

// erasureView is a request for erasure, and how far it is.
type erasureView struct {
	id, scope, state, asked, approved, destroyed, stopped string
	final                                                 string
	duties                                                []string // what must stay, and by which rule
	certificate                                           string   // its address; "": there is none yet
}

// choice is one of several answers to a question of a form.
type choice struct {
	value, text string
	chosen      bool
}

// question is a question of a form with its choices.
type question struct {
	name, text string
	choices    []choice
}

// serveData shows what people may do about all that the vault holds of them.
func (p *Pages) serveData(w http.ResponseWriter, r *http.Request, s session) error {
	s.of = "" // what follows is for the person alone
	return p.show(w, r, http.StatusOK, dataPage(s.page("data.title")))
}

// answerReport hands on the report of everything that the vault holds of a person.
func (p *Pages) answerReport(w http.ResponseWriter, r *http.Request, s session) error {
	s.of = ""
	ask, err := act(r.Context(), s, "/citizens/"+s.whose()+"/subjectAccessReport", r.PostForm.Get("key"), contract.SubjectAccessRequest{
		Format: contract.ReportFormat(r.PostForm.Get("format")), Lang: contract.Language(s.tongue),
	})
	if err != nil {
		return err
	}
	return p.pass(w, ask)
}

// serveErase says what an erasure does and what must stay, before it is asked for.
func (p *Pages) serveErase(w http.ResponseWriter, r *http.Request, s session) error {
	document := s.query.Get("document")
	if document != "" {
		if _, err := uuid.Parse(document); err != nil {
			return errNoPage
		}
	}
	s.of = ""
	return p.show(w, r, http.StatusOK, erasePage(s.page("erase.title"), document))
}

// answerErase asks for an erasure.
func (p *Pages) answerErase(w http.ResponseWriter, r *http.Request, s session) error {
	s.of = ""
	asked := contract.ErasureRequest{CitizenID: s.caller.Citizen, Reason: byCitizen, Scope: contract.ErasureScopeCitizen}
	if document := r.PostForm.Get("document"); document != "" {
		id, err := uuid.Parse(document)
		if err != nil {
			return errNoPage
		}
		asked.Scope, asked.DocumentID = contract.ErasureScopeDocument, &domain.DocumentID{UUID: id}
	}
	done, at, err := post[contract.Erasure](r.Context(), p, s, "/erasures", r.PostForm.Get("key"), asked)
	if err != nil {
		return err
	}
	http.Redirect(w, r, s.page("erasure.title").to("/erasures/"+done.ErasureID.String(), "at", at), http.StatusSeeOther)
	return nil
}

// serveErasure shows how far an erasure is, and what must stay and why.
func (p *Pages) serveErasure(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	s.of = ""
	found, err := get[contract.Erasure](r.Context(), p, s, "/erasures/"+id, nil)
	if err != nil {
		return err
	}
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	pg := s.page("erasure.title")
	return p.show(w, r, http.StatusOK, erasurePage(pg, pg.erasure(found, registry)))
}

// erasure puts into words how far an erasure is.
func (p page) erasure(found contract.Erasure, registry contract.Registry) erasureView {
	id := found.ErasureID.String()
	v := erasureView{id: id, scope: p.say("scope." + string(found.Scope)), state: p.value(string(found.State)), asked: p.moment(found.RequestedAt)}
	for to, at := range map[*string]time.Time{&v.approved: found.ApprovedAt, &v.destroyed: found.KeysDestroyedAt, &v.stopped: found.StoppedAt, &v.final: found.FinalAt} {
		if !at.IsZero() {
			*to = p.moment(at)
		}
	}
	if found.Certificate != "" {
		v.certificate = p.to("/erasures/" + id + "/certificate")
	}
	for _, d := range found.Duties {
		v.duties = append(v.duties, p.say("erasure.duty", p.typeLabel(registry, d.DocumentType), p.reasonLabel(registry, d.Rule)))
	}
	return v
}

// serveCertificate hands on the certificate of an erasure.
func (p *Pages) serveCertificate(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	ask, err := request(r.Context(), s, http.MethodGet, "/erasures/"+id+"/certificate", http.NoBody)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Disposition", `attachment; filename="certificate.json"`)
	return p.pass(w, ask)
}

// servePreferences shows what a person chose to hear of.
func (p *Pages) servePreferences(w http.ResponseWriter, r *http.Request, s session) error {
	s.of = ""
	chosen, err := get[contract.Preferences](r.Context(), p, s, "/citizens/"+s.whose()+"/preferences", nil)
	if err != nil {
		return err
	}
	pg := s.page("preferences.title")
	since := ""
	if !chosen.ChosenAt.IsZero() {
		since = pg.moment(chosen.ChosenAt)
	}
	var questions []question
	for _, q := range []struct {
		name string
		way  contract.NoticeWay
	}{
		{"documentNotices", chosen.DocumentNotices}, {"expiryNotices", chosen.ExpiryNotices}, {"accessNotices", chosen.AccessNotices}, {"consentNotices", chosen.ConsentNotices},
	} {
		one := question{name: q.name, text: pg.say("notices." + q.name)}
		for _, way := range []contract.NoticeWay{contract.NoticeWayEboxEach, contract.NoticeWayEboxDaily, contract.NoticeWayNone} {
			one.choices = append(one.choices, choice{string(way), pg.value(string(way)), way == q.way})
		}
		questions = append(questions, one)
	}
	language := question{name: "language", text: pg.say("preferences.language")}
	for _, l := range edge.Languages {
		language.choices = append(language.choices, choice{string(l), tongue(l).say("language"), l == chosen.Language})
	}
	return p.show(w, r, http.StatusOK, preferencesPage(pg, append(questions, language), since))
}

// answerPreferences keeps what a person chose.
func (p *Pages) answerPreferences(w http.ResponseWriter, r *http.Request, s session) error {
	s.of = ""
	f := r.PostForm
	way := func(name string) contract.NoticeWay { return contract.NoticeWay(f.Get(name)) }
	_, at, err := post[contract.Preferences](r.Context(), p, s, "/citizens/"+s.whose()+"/preferences", f.Get("key"), contract.PreferencesChoice{
		DocumentNotices: way("documentNotices"), ExpiryNotices: way("expiryNotices"), AccessNotices: way("accessNotices"), ConsentNotices: way("consentNotices"), Language: contract.Language(f.Get("language")),
	})
	if err != nil {
		return err
	}
	http.Redirect(w, r, s.page("preferences.title").to("/preferences", "at", at), http.StatusSeeOther)
	return nil
}

// typeLabel returns the name of a type of document.
func (l tongue) typeLabel(registry contract.Registry, t contract.DocumentTypeCode) string {
	for _, one := range registry.DocumentTypes {
		if one.DocumentType == t {
			return l.label(one.Labels)
		}
	}
	return string(t)
}

// reasonLabel returns the words for a reason.
func (l tongue) reasonLabel(registry contract.Registry, code contract.ReasonCode) string {
	for _, one := range registry.Reasons {
		if one.Code == code {
			return l.label(one.Labels)
		}
	}
	return string(code)
}
