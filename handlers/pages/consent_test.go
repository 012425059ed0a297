package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
)

// isAsked has the API tell a request of the railways for the household of whoever signs in.
func (s *site) isAsked() contract.Consent {
	c := contract.Consent{
		ConsentID: domain.ConsentID{UUID: one}, Consumer: "0203430576", ConsumerName: "NMBS", Purpose: "familyDiscount", PurposeLabel: "Gezinskorting", State: contract.ConsentStateRequested,
		DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}, Fields: []contract.FieldName{"householdSize", "address"}, Until: s.now.AddDate(0, 6, 0), RequestedAt: s.now,
		Limits: contract.ConsentLimits{Uses: 3, DataLife: 30, Frequency: contract.Frequency{Uses: 1, Per: "week"}},
	}
	s.answers["/consents/"+one.String()] = c
	c.Message = "For your <discount>."
	s.answers["/consentRequests"] = contract.Consents{Items: []contract.Consent{c}}
	s.answers["/consents"] = contract.Consents{Items: []contract.Consent{}}
	words := func(w string) contract.MultiLanguage {
		return contract.MultiLanguage{Nl: w + " nl", Fr: w + " fr", De: w + " de", En: w + " en"}
	}
	s.answers["/registry"] = contract.Registry{
		DocumentTypes: []contract.RegistryDocumentType{{DocumentType: "householdComposition", Labels: words("Household"), Issuers: []contract.EnterpriseNumber{}}},
		Organizations: []contract.RegistryOrganization{{EnterpriseNumber: "0203430576", Labels: words("Railways")}}, Purposes: []contract.RegistryCode{{Code: "familyDiscount", Labels: words("Discount")}},
		ConsentTexts: []contract.RegistryConsentText{
			{Purpose: "familyDiscount", Version: "1", Texts: words("You let {consumer} read for {purpose}, first")}, {Purpose: "familyDiscount", Version: "2", Texts: words("You let {consumer} read for {purpose}")}, {Purpose: "other", Version: "3"},
		},
	}
	for _, act := range []string{"/consentRequests/" + one.String() + "/grant", "/consentRequests/" + one.String() + "/refuse", "/consents/" + one.String() + "/withdraw"} {
		s.answers[act] = contract.ConsentReceiptShort{ConsentID: domain.ConsentID{UUID: one}}
	}
	return c
}

// A request says what, who, why and until when, and that yes and no are as easy: two buttons of
// one form, and nothing is chosen beforehand.
func TestYesAndNoAreAsEasy(t *testing.T) {
	s := newSite(t)
	s.isAsked()
	c := s.signIn()
	if missing := lacks(s.page(c, "/consents", speaking("en")), "NMBS, for: Gezinskorting", "/consents/"+one.String(), "requested", "until 15 December 2026"); missing != nil {
		t.Errorf("the list lacks %q", missing)
	}
	past := s.isAsked()
	past.State, past.EndedAt = contract.ConsentStateWithdrawn, s.now
	s.answers["/consents"] = contract.Consents{Items: []contract.Consent{past}}
	s.answers["/consentRequests"] = contract.Consents{Items: []contract.Consent{}}
	if body := s.page(c, "/consents", speaking("en")); lacks(body, "withdrawn", "on 15 June 2026 at 14:00") != nil || strings.Contains(body, "until") {
		t.Error("of a consent that is past the page says until when it was to run, not when it ended")
	}
	s.isAsked()
	body := s.page(c, "/consents/"+one.String(), speaking("en"))
	if missing := lacks(body, "NMBS", "Gezinskorting", "Household en", "household size", "15 December 2026", "At most 3 times. At most 1 times in a week. Kept for 30 days at most.", "For your <discount>.", "You let Railways en read for Discount en en"); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	if strings.Contains(body, "checked") || strings.Contains(body, "<details open") || strings.Count(body, `<button name="answer"`) != 2 {
		t.Error("something is chosen beforehand, or yes and no are not alike")
	}
}

// Yes grants what was shown, in the words and the language that were shown, or less; no refuses.
func TestAnAnswerSaysWhatWasShown(t *testing.T) {
	s := newSite(t)
	s.isAsked()
	c, act := s.signIn(), "/consents/"+one.String()+"/answer"
	yes := func(more url.Values) (*http.Response, string) {
		form := url.Values{"answer": {"yes"}, "language": {"fr"}, "version": {"1"}, "key": {someKey}}
		for name, values := range more {
			form[name] = values
		}
		s.did = nil
		resp := s.send(c, act, form, speaking("en"))
		return resp, strings.Join(s.did, "\n")
	}
	shown := `"shownText":{"language":"fr","text":"You let Railways fr read for Discount fr, first fr","version":"1"}`
	granted := "/consentRequests/" + one.String() + "/grant " + someKey + " "
	for name, tc := range map[string]struct {
		more url.Values
		body string
	}{
		"all of it":      {nil, `{` + shown + `}`},
		"without a part": {url.Values{"leaveOut": {"address", "another"}}, `{"fields":["householdSize"],` + shown + `}`},
		"for less long":  {url.Values{"until": {"2026-07-01"}}, `{` + shown + `,"until":"2026-07-01T21:59:59.999999Z"}`},
	} {
		resp, did := yes(tc.more)
		if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/consents/"+one.String()+"?at=seen" || did != granted+tc.body {
			t.Errorf("%s: %d, did %q", name, resp.StatusCode, did)
		}
	}
	for name, more := range map[string]url.Values{
		"nothing left": {"leaveOut": {"address", "householdSize"}}, "past": {"until": {"2026-06-14"}}, "too late": {"until": {"2027-06-14"}}, "no day": {"until": {"tomorrow"}},
	} {
		if resp, did := yes(more); resp.StatusCode != http.StatusBadRequest || did != "" || !strings.Contains(s.text(resp), `role="alert"`) {
			t.Errorf("%s: %d, did %q", name, resp.StatusCode, did)
		}
	}
	if resp, did := yes(url.Values{"answer": {"no"}}); resp.StatusCode != http.StatusSeeOther || did != "/consentRequests/"+one.String()+"/refuse "+someKey+" " {
		t.Errorf("no: %d, did %q", resp.StatusCode, did)
	}
	if resp, did := yes(url.Values{"answer": {"perhaps"}}); resp.StatusCode != http.StatusBadRequest || did != "" {
		t.Errorf("neither: %d, did %q", resp.StatusCode, did)
	}
}

// What runs is stopped where it stands, by as many steps as it was granted by.
func TestAConsentIsStoppedInOneStep(t *testing.T) {
	s := newSite(t)
	running := s.isAsked()
	running.State, running.GrantedAt, running.Uses, running.Fields = contract.ConsentStateGranted, s.now, 2, nil
	s.answers["/consents/"+one.String()] = running
	c := s.signIn()
	if missing := lacks(s.page(c, "/consents/"+one.String(), speaking("en")), "Stop this consent", "It changes nothing about what was read already.", "/consents/"+one.String()+"/looked", "Everything that this purpose needs"); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	resp := s.send(c, "/consents/"+one.String()+"/stop", url.Values{"key": {someKey}})
	if resp.StatusCode != http.StatusSeeOther || len(s.did) != 1 || s.did[0] != "/consents/"+one.String()+"/withdraw "+someKey+" " {
		t.Errorf("%d, did %q", resp.StatusCode, s.did)
	}
	running.State, running.EndedAt = contract.ConsentStateWithdrawn, s.now
	s.answers["/consents/"+one.String()] = running
	if missing := lacks(s.page(c, resp.Header.Get("Location"), speaking("en")), "You stopped this consent.", "withdrawn", "cannot be undone"); missing != nil {
		t.Errorf("afterwards the page lacks %q", missing)
	}
	s.answers["/consents/"+one.String()+"/disclosures"] = contract.AccessLog{Items: []contract.AccessLogItem{{Kind: contract.AccessKindDocument, OrganizationName: "NMBS", Label: "Household", Outcome: contract.AccessOutcomeDisclosed, At: time.Now()}}}
	if missing := lacks(s.page(c, "/consents/"+one.String()+"/looked", speaking("en")), "NMBS read: Household."); missing != nil {
		t.Errorf("what was read lacks %q", missing)
	}
}

// A representative decides in the other's name, and is told so.
func TestAConsentInAnothersName(t *testing.T) {
	s := newSite(t)
	s.isAsked()
	c := s.signIn()
	if missing := lacks(s.page(c, "/consents/"+one.String()+"?of="+child, speaking("en")), "in the name of another person (code 1C8F)", "/consents?of="+child); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	resp := s.send(c, "/consents/"+one.String()+"/answer", url.Values{"answer": {"no"}, "of": {child}, "key": {someKey}})
	if resp.Header.Get("Location") != "/consents/"+one.String()+"?at=seen&of="+child {
		t.Errorf("led to %q", resp.Header.Get("Location"))
	}
}

// Whom one represents and who represents one stand apart; what may be done is offered there.
func TestPeopleOneRepresents(t *testing.T) {
	s := newSite(t)
	id := func(n byte) domain.MandateID { u := one; u[15] = n; return domain.MandateID{UUID: u} }
	other := domain.CitizenID{UUID: uuid.MustParse(child)}
	s.answers["/mandates"] = contract.Mandates{Items: []contract.Mandate{
		{MandateID: id(1), Kind: contract.MandateKindParentOfMinor, State: contract.MandateStateAccepted, HeldAs: contract.HeldAsRepresentative, CitizenID: other, Actions: []contract.MandateAction{"read", "consent"}, AcceptedAt: s.now, Until: "2030-01-01"},
		{MandateID: id(2), Kind: contract.MandateKindRepresentation, State: contract.MandateStateGranted, HeldAs: contract.HeldAsRepresentative, CitizenID: other, Actions: []contract.MandateAction{"read"}},
		{MandateID: id(3), Kind: contract.MandateKindRepresentation, State: contract.MandateStateEnded, HeldAs: contract.HeldAsSubject, Actions: []contract.MandateAction{"read"}},
	}}
	c := s.signIn()
	body := s.page(c, "/people", speaking("en"))
	if missing := lacks(body, "parent of a minor, code 1C8F", "reading, consenting", "1 January 2030", "/wallet?of="+child, "/looked?of="+child, "/consents?of="+child, "/people/"+id(2).String()); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	if strings.Count(body, "/wallet?of=") != 1 || strings.Count(body, `value="accept"`) != 1 || strings.Count(body, `value="end"`) != 2 || strings.Contains(body, "/people/"+id(3).String()) {
		t.Error("it offers what may not be done")
	}
	s.answers["/mandates/"+id(2).String()+"/accept"] = contract.MandateReceipt{MandateID: id(2)}
	resp := s.send(c, "/people/"+id(2).String(), url.Values{"answer": {"accept"}, "key": {someKey}})
	if resp.Header.Get("Location") != "/people?at=seen" || len(s.did) != 1 || s.did[0] != "/mandates/"+id(2).String()+"/accept "+someKey+" " {
		t.Errorf("%d, did %q", resp.StatusCode, s.did)
	}
	if resp := s.send(c, "/people/"+id(2).String(), url.Values{"answer": {"../../keys/rotate"}, "key": {someKey}}); resp.StatusCode != http.StatusBadRequest || len(s.did) != 1 {
		t.Errorf("another act: %d, did %q", resp.StatusCode, s.did)
	}
}
