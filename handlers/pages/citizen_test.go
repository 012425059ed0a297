package pages_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
)

var one = uuid.MustParse("2d9fbe3a-6c75-4f3e-9c99-4b2a8f3d0e66")

const someKey = "7d0b1f5e-3c1a-4b0e-9a55-2f6d8c9e4a11"

// readPages are the pages on which what others wrote is read.
var readPages = []string{"/documents/" + one.String(), "/looked", "/looked/each", "/petitions", "/petitions/" + one.String(), "/consents", "/consents/" + one.String(), "/consents/" + one.String() + "/looked"}

// allSay has every answer of the API say a text wherever it can.
func (s *site) allSay(text string) {
	log := "/citizens/" + me + "/accessLog"
	contact := contract.ReaderContact{Email: text, URL: text}
	s.answers["/documents/"+one.String()] = contract.VaultDocument{
		Label: text, IssuerName: text, State: contract.DocumentStateValid, Content: contract.Content(`{` + quoted(text) + `:` + quoted(text) + `}`), Attachments: []contract.Attachment{{MediaType: text}},
	}
	s.answers[log] = contract.AccessLog{Items: []contract.AccessLogItem{{
		Kind: contract.AccessKindDocument, Outcome: contract.AccessOutcomeDisclosed, OrganizationName: text, OnBehalfOfName: text, Label: text, PurposeLabel: text, LegalBasis: "a", LegalBasisLabel: text, ProcedureLabel: text,
		CaseReference: text, Categories: []contract.DataCategoryLabel{{Label: text}}, Contact: contact, Hidden: contract.HiddenAccess{Until: s.now, ReasonLabel: text},
	}}}
	s.answers[log+"/groups"] = contract.AccessGroups{Items: []contract.AccessGroup{{Kind: contract.AccessKindDocument, Outcome: contract.AccessOutcomeDisclosed, OrganizationName: text, Label: text, PurposeLabel: text, Contact: contact, Href: text}}}
	s.answers["/consents/"+one.String()+"/disclosures"] = s.answers[log]
	consent := contract.Consent{ConsentID: domain.ConsentID{UUID: one}, ConsumerName: text, Purpose: "a", PurposeLabel: text, State: contract.ConsentStateRequested, DocumentTypes: []contract.DocumentTypeCode{contract.DocumentTypeCode(text)}, Fields: []contract.FieldName{contract.FieldName(text)}, Message: text}
	s.answers["/consents/"+one.String()] = consent
	s.answers["/consents"] = contract.Consents{Items: []contract.Consent{consent}}
	s.answers["/consentRequests"] = s.answers["/consents"]
	petition := contract.Petition{PetitionID: domain.PetitionID{UUID: one}, Kind: contract.PetitionKindDispute, State: contract.PetitionStateOpen, OrganizationName: text, Text: text, Answer: text}
	s.answers["/petitions"] = contract.Petitions{Items: []contract.Petition{petition}}
	s.answers["/petitions/"+one.String()] = petition
}

func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// One document is shown with what it says, in its order, and with its files.
func TestADocumentIsShownWithItsFacts(t *testing.T) {
	s := newSite(t)
	s.answers["/documents/"+one.String()] = contract.VaultDocument{
		DocumentID: domain.DocumentID{UUID: one}, DocumentType: "diploma", Label: "Diplom", State: contract.DocumentStateSuspended, IssuedAt: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC),
		IssuerName: "Schule", ValidFrom: "2026-03-01", Content: contract.Content(`{"awardedOn":"2026-02-01","level":7,"honours":true,"field":null,"subjects":[{"name":"Recht <b>"},"Geschichte"]}`),
		Attachments: []contract.Attachment{{AttachmentID: domain.AttachmentID{UUID: one}, MediaType: "application/pdf", Size: 2049}},
	}
	body := s.page(s.signIn(), "/documents/"+one.String(), speaking("de"))
	if missing := lacks(body, "Diplom", "Ausgesetzt", "ab 1. März 2026", "Schule", "1. Mai 2026 um 12:00", "awarded on", "1. Februar 2026", "7", "ja", "Recht <b>", "Geschichte", "application/pdf, 3 kB", "/documents/"+one.String()+"/files/"+one.String()); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	if strings.Contains(body, "<title>Diplom") || strings.Index(body, "awarded on") > strings.Index(body, "level") {
		t.Error("the title names the document, or the order is another")
	}
}

// A file comes from the API as it is, with the API's headers; a refusal is a page.
func TestAFileIsHandedOn(t *testing.T) {
	s := newSite(t)
	c, path := s.signIn(), "/documents/"+one.String()+"/attachments/"+one.String()
	s.answers[path] = map[string]string{"a": "file"}
	target := "/documents/" + one.String() + "/files/" + one.String()
	if body := s.page(c, target); strings.TrimSpace(body) != `{"a":"file"}` {
		t.Error(body)
	}
	s.answers[path] = http.StatusGone
	resp := s.browser(http.MethodGet, target, nil, with(c), speaking("en"))
	if body := s.text(resp); resp.StatusCode != http.StatusGone || !strings.Contains(body, "This was erased") || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	if resp := s.browser(http.MethodGet, "/documents/no-id", nil, with(c)); resp.StatusCode != http.StatusNotFound {
		t.Errorf("no id: %d", resp.StatusCode)
	}
}

// Who looked is told in sentences: who, what, when, why, on which basis and with what outcome,
// what repeats in one; since when the list is complete; and that nobody looked.
func TestWhoLookedIsToldInSentences(t *testing.T) {
	s := newSite(t)
	c, log := s.signIn(), "/citizens/"+me+"/accessLog"
	since := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s.answers[log] = contract.AccessLog{Items: []contract.AccessLogItem{}, Coverage: contract.AccessCoverage{CompleteSince: since, LastDays: 30}}
	s.answers[log+"/groups"] = contract.AccessGroups{Items: []contract.AccessGroup{}}
	if missing := lacks(s.page(c, "/looked", speaking("en")), "Nobody looked at your data in the last 30 days.", "complete since 1 January 2026", "Nothing is in this list."); missing != nil {
		t.Errorf("of nobody the page lacks %q", missing)
	}
	s.answers[log] = contract.AccessLog{Items: []contract.AccessLogItem{}, Coverage: contract.AccessCoverage{LastDays: 30, Accesses: 12, Refused: 1}}
	s.answers[log+"/groups"] = contract.AccessGroups{Items: []contract.AccessGroup{
		{Kind: contract.AccessKindDocument, List: contract.AccessListAccesses, Role: contract.ActorRoleConsumer, OrganizationName: "Stad Gent", Label: "Gezinssamenstelling", PurposeLabel: "Huurtoelage", ConsentID: domain.ConsentID{UUID: one},
			Outcome: contract.AccessOutcomeDisclosed, Count: 12, Days: 4, FirstAt: since, LastAt: since.AddDate(0, 2, 2), Fields: []contract.FieldName{"householdSize"}, Contact: contract.ReaderContact{Email: "dpo@example.be"},
			Href: contract.Href("/vault/v1/citizens/" + me + "/accessLog?organization=0206731645&list=accesses&lang=nl")},
		{Kind: contract.AccessKindPredicate, List: contract.AccessListRefused, Role: contract.ActorRoleConsumer, Organization: "0206731645", OnBehalfOfName: "Stad Aalst", LegalBasis: "publicTask", LegalBasisLabel: "Taak", LegalArticle: "6.1.e", Deliberation: "EX-26/010",
			Outcome: contract.AccessOutcomeRefused, Count: 1, Days: 1, FirstAt: since, LastAt: since},
		{Kind: contract.AccessKindDocument, List: contract.AccessListAccesses, Role: contract.ActorRoleConsumer, Organization: "0203430576", Label: "Kaart", Outcome: contract.AccessOutcomeDisclosed, Count: 2, Days: 1, FirstAt: since, LastAt: since.Add(time.Hour)},
	}}
	for lang, want := range map[string][]string{
		"nl": {"Stad Gent las: Gezinssamenstelling.", "12 keer op 4 dagen, van 1 januari 2026 om 13:00 tot 3 maart 2026 om 13:00.", "Doel: Huurtoelage.", "Op grond van uw toestemming.", "De gegevens zijn gegeven.", "12 keer geopend"},
		"fr": {"Stad Gent a lu : Gezinssamenstelling.", "0206731645 (pour Stad Aalst) a posé une question", "C'est refusé"},
		"de": {"Aufgrund des Gesetzes: Taak (DSGVO, 6.1.e), Beratung EX-26/010."},
		"en": {"2 times on one day, from 1 January 2026 at 13:00 to 1 January 2026 at 14:00.", "household size", "dpo@example.be", "/consents/" + one.String(), "/looked/each?list=accesses&organization=0206731645\""},
	} {
		body := s.page(c, "/looked", speaking(lang))
		for _, text := range want {
			if text = strings.ReplaceAll(text, `"`, ""); len(lacks(body, text)) > 0 {
				t.Errorf("%s: the page lacks %q", lang, text)
			}
		}
	}
	if !strings.Contains(s.page(c, "/looked", speaking("nl")), `<dd lang="en">household size</dd>`) {
		t.Error("the English name of what was read is not marked as English")
	}
	s.asked = nil
	s.page(c, "/looked?list=refused&after=next")
	if len(s.asked) != 2 {
		t.Errorf("asked %q", s.asked)
	}
}

// What looks wrong is disputed where it stands: once for each form, and the answer is where
// the person is led to.
func TestAnAccessIsDisputed(t *testing.T) {
	s := newSite(t)
	c, log := s.signIn(), "/citizens/"+me+"/accessLog"
	s.answers[log] = contract.AccessLog{Items: []contract.AccessLogItem{{
		Kind: contract.AccessKindWallet, Role: contract.ActorRoleRepresentative, Outcome: contract.AccessOutcomeMayHaveBeenDisclosed, At: s.now,
		AccessID: domain.AccessID{UUID: one}, EntryID: domain.EntryID{UUID: one},
	}}}
	address := "/dispute?access=" + one.String() + "&entry=" + one.String()
	if missing := lacks(s.page(c, "/looked/each?list=accesses", speaking("en")), "Somebody who represents you opened your documents.", "may have been given", address); missing != nil {
		t.Errorf("the list lacks %q", missing)
	}
	if missing := lacks(s.page(c, address, speaking("en")), "Somebody who represents you opened your documents.", "What is wrong?"); missing != nil {
		t.Errorf("the form lacks %q", missing)
	}
	form := url.Values{"entry": {one.String()}, "access": {one.String()}, "text": {"  "}, "key": {someKey}}
	if resp := s.send(c, "/dispute", form, speaking("en")); resp.StatusCode != http.StatusBadRequest || !strings.Contains(s.text(resp), `role="alert"`) || len(s.did) > 0 {
		t.Errorf("nothing said: %d, did %q", resp.StatusCode, s.did)
	}
	petition := contract.Petition{PetitionID: domain.PetitionID{UUID: one}, Kind: contract.PetitionKindDispute, State: contract.PetitionStateOpen, Deadline: "2026-07-15", AskedAt: s.now, Text: "Not me\n<i>"}
	s.answers["/citizens/"+me+"/petitions"] = petition
	form.Set("text", "Not me\r\n<i>")
	resp := s.send(c, "/dispute", form)
	if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || to != "/petitions/"+one.String()+"?at=seen" {
		t.Errorf("%d to %q", resp.StatusCode, to)
	}
	if want := "/citizens/" + me + "/petitions " + someKey + ` {"entryId":"` + one.String() + `","text":"Not me\n\u003ci\u003e"}`; len(s.did) != 1 || s.did[0] != want {
		t.Errorf("did %q", s.did)
	}
	s.answers["/petitions/"+one.String()] = petition
	if missing := lacks(s.page(c, "/petitions/"+one.String()+"?at=seen", speaking("en")), one.String(), "waits for an answer", "15 July 2026", "Not me\n<i>"); missing != nil {
		t.Errorf("the petition lacks %q", missing)
	}
	s.answers["/petitions"] = contract.Petitions{Items: []contract.Petition{petition}}
	if missing := lacks(s.page(c, "/petitions", speaking("en")), "a dispute of an access of 15 June 2026 at 14:00", "/petitions/"+one.String()); missing != nil {
		t.Errorf("the list lacks %q", missing)
	}
	if s.browser(http.MethodGet, "/dispute", nil, with(c)).StatusCode != http.StatusNotFound {
		t.Error("a dispute of nothing has a form")
	}
}

// A document that is not right goes to its issuer, who may be kept from using it meanwhile.
func TestADocumentIsToBeRectified(t *testing.T) {
	s := newSite(t)
	s.answers["/citizens/"+me+"/petitions"] = contract.Petition{PetitionID: domain.PetitionID{UUID: one}}
	s.send(s.signIn(), "/dispute", url.Values{"document": {one.String()}, "text": {"a"}, "restrict": {"yes"}, "key": {someKey}})
	if want := "/citizens/" + me + "/petitions " + someKey + ` {"documentId":"` + one.String() + `","restrict":true,"text":"a"}`; len(s.did) != 1 || s.did[0] != want {
		t.Errorf("did %q", s.did)
	}
}

// In whose name somebody acts is said on every page, asked of the API, and kept by every link
// and form; in the person's own name nothing is said.
func TestInWhoseNameIsAlwaysVisible(t *testing.T) {
	s := newSite(t)
	c := s.signIn()
	for _, of := range []string{child, me} {
		s.answers["/citizens/"+of+"/accessLog"] = contract.AccessLog{Items: []contract.AccessLogItem{}}
		s.answers["/citizens/"+of+"/accessLog/groups"] = contract.AccessGroups{Items: []contract.AccessGroup{}}
	}
	for _, target := range []string{"/wallet?of=" + child, "/looked?of=" + child, "/dispute?of=" + child + "&document=" + one.String()} {
		body := s.page(c, target, speaking("en"))
		if missing := lacks(body, "You act in the name of another person (code 1C8F).", "/looked?of="+child, "lang=fr"); missing != nil {
			t.Errorf("%s lacks %q", target, missing)
		}
		if strings.HasPrefix(target, "/dispute") && !strings.Contains(body, `name="of" value="`+child+`"`) {
			t.Error("the form is in another's name")
		}
	}
	for target, title := range map[string]string{"/wallet": "Documents of this person", "/looked": "Who looked at this person's data", "/consents": "Consents of this person"} {
		s.answers["/consents"], s.answers["/consentRequests"] = contract.Consents{Items: []contract.Consent{}}, contract.Consents{Items: []contract.Consent{}}
		if body := s.page(c, target+"?of="+child, speaking("en")); !strings.Contains(body, "<h1>"+html.EscapeString(title)+"</h1>") || len(lacks(body, "of yours", "asks you", "your data", "your consent")) < 4 {
			t.Errorf("%s speaks to the child as to whoever acts for it", target)
		}
		if body := s.page(c, target, speaking("en")); strings.Contains(body, "this person") {
			t.Errorf("%s speaks of another person", target)
		}
	}
	if !strings.Contains(strings.Join(s.asked, "\n"), "/citizens/"+child+"/wallet") {
		t.Errorf("asked %q", s.asked)
	}
	if body := s.page(c, "/wallet", speaking("en")); strings.Contains(body, "another person (code") {
		t.Error("in their own name a person is told that they act for another")
	}
	s.answers["/citizens/"+child+"/petitions"] = contract.Petition{PetitionID: domain.PetitionID{UUID: one}}
	resp := s.send(c, "/dispute", url.Values{"of": {child}, "document": {one.String()}, "text": {"a"}, "key": {someKey}})
	if !strings.HasPrefix(s.did[0], "/citizens/"+child+"/petitions ") || !strings.Contains(resp.Header.Get("Location"), "of="+child) {
		t.Errorf("did %q, led to %q", s.did, resp.Header.Get("Location"))
	}
	s.answers["/petitions"] = contract.Petitions{Items: []contract.Petition{{PetitionID: domain.PetitionID{UUID: one}}}}
	s.page(c, "/petitions?of="+child, speaking("en"))
	if !slices.ContainsFunc(s.queries, func(q string) bool { return strings.Contains(q, "citizenId="+child) }) {
		t.Errorf("asked with %q", s.queries)
	}
	if body := s.page(c, "/dispute?document="+one.String()+"&of="+child, speaking("en")); strings.Contains(body, `name="restrict"`) {
		t.Error("a representative is offered to restrict processing")
	}
	if resp := s.browser(http.MethodGet, "/wallet?of=nobody", nil, with(c)); resp.StatusCode != http.StatusNotFound {
		t.Errorf("of nobody: %d", resp.StatusCode)
	}
}

// A citizen lets somebody act for them: only for what they choose, and the number is on no page and
// in no address.
func TestACitizenLetsSomebodyActForThem(t *testing.T) {
	s := newSite(t)
	s.answers["/mandates"] = contract.Mandates{}
	s.answers["/registry"] = contract.Registry{DocumentTypes: []contract.RegistryDocumentType{{DocumentType: "diploma", Labels: contract.MultiLanguage{Nl: "Diploma"}}}}
	c := s.signIn()
	form := func() url.Values {
		return url.Values{"key": {someKey}, "number": {number}, "actions": {"readAndConsent"}, "type": {"diploma"}, "until": {"2027-01-01"}}
	}
	if missing := lacks(s.page(c, "/people"), "until", "Diploma"); missing != nil {
		t.Errorf("the form lacks %q", missing)
	}
	s.answers["/mandates"] = contract.MandateReceipt{}
	done := s.send(c, "/people", form())
	s.answers["/mandates"] = contract.Mandates{}
	want := "/mandates " + someKey + ` {"actions":["read","consent"],"documentTypes":["diploma"],"kind":"representation","representativeSsin":"` + number + `","until":"2027-01-01"}`
	if done.StatusCode != http.StatusSeeOther || done.Header.Get("Location") != "/people?at=seen" || len(s.did) != 1 || !sameJSON(t, s.did[0], want) {
		t.Errorf("%d to %q, did %q", done.StatusCode, done.Header.Get("Location"), s.did)
	}
	for name, change := range map[string]func(url.Values){
		"a number that is none": func(f url.Values) { f.Set("number", "84022711083") },
		"nothing allowed":       func(f url.Values) { f.Del("actions") },
		"something else":        func(f url.Values) { f.Set("actions", "everything") },
	} {
		s.did = nil
		asked := form()
		change(asked)
		resp := s.send(c, "/people", asked)
		body := s.text(resp)
		if resp.StatusCode != http.StatusBadRequest || len(s.did) > 0 || strings.Contains(body, asked.Get("number")) || !strings.Contains(body, `role="alert"`) || !strings.Contains(body, `value="2027-01-01"`) {
			t.Errorf("%s: %d, did %q", name, resp.StatusCode, s.did)
		}
	}
}

// sameJSON reports whether two acts are the same but for the order of members.
func sameJSON(t *testing.T, got, want string) bool {
	t.Helper()
	var a, b map[string]any
	i, j := strings.IndexByte(got, '{'), strings.IndexByte(want, '{')
	if i < 0 || got[:i] != want[:j] || json.Unmarshal([]byte(got[i:]), &a) != nil || json.Unmarshal([]byte(want[j:]), &b) != nil {
		return false
	}
	return reflect.DeepEqual(a, b)
}

// Every page leads to help, where the address stands that the operator names.
func TestHelpNamesTheContact(t *testing.T) {
	for contact, link := range map[string]string{"": "", "help@vault.example": `href="mailto:help@vault.example"`, "https://vault.example/help": `href="https://vault.example/help"`} {
		s := newSite(t)
		s.pages.Contact = contact
		page := s.text(s.browser(http.MethodGet, "/accessibility", nil))
		if !strings.Contains(page, link) || !strings.Contains(page, `id="feedback"`) {
			t.Errorf("%q is not named: %s", contact, page)
		}
		if !strings.Contains(s.text(s.browser(http.MethodGet, "/signin", nil)), `href="/accessibility#feedback"`) {
			t.Error("a page does not lead to help")
		}
	}
}
