package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/apitest"
	"coffre/handlers/edge/token"
)

// post sends a JSON body with a fresh key and decodes the answer.
func (r *rig) post(t *testing.T, g token.Grant, path, body string, into any) *httptest.ResponseRecorder {
	t.Helper()
	w := r.send(t, g, path, body)
	if w.Code >= 300 {
		t.Fatalf("POST %s: %d %s", path, w.Code, w.Body)
	}
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// send sends a POST and returns the answer, whatever it is.
func (r *rig) send(t *testing.T, g token.Grant, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, contract.Base+path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Idempotency-Key", uuid.NewString())
	return r.ask(req, r.bearer(t, g))
}

// upload uploads a file and returns its id.
func (r *rig) upload(t *testing.T, g token.Grant, content string) string {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, contract.Base+"/attachments", strings.NewReader(content))
	req.Header.Set("Content-Type", "application/pdf")
	req.Header.Set("Idempotency-Key", uuid.NewString())
	w := r.ask(req, r.bearer(t, g))
	var got struct{ AttachmentID string }
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return got.AttachmentID
}

// citizen returns who has a number.
func (r *rig) citizen(t *testing.T, ssin string) domain.CitizenID {
	t.Helper()
	number, err := domain.ParseSSIN(ssin)
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.Ring.Resolve(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// holdings are the things of one citizen, as the paths of the contract name them.
type holdings map[string]string

const (
	ssinA = "84022711082"
	ssinB = "71022722582"
	ssinC = "85073003328"
)

// settle gives a person everything that has an identifier in the contract.
func (r *rig) settle(t *testing.T, ssin, representative string, reference string) holdings {
	t.Helper()
	var doc struct{ DocumentID string }
	issuer := grantFor(domain.RoleIssuer, orgA, domain.CitizenID{})
	file := r.upload(t, issuer, apitest.PDF)
	r.post(t, issuer, "/documents",
		`{"ssin":"`+ssin+`","documentType":"marriageCertificate","sourceReference":"`+reference+`","validFrom":"2020-01-02","attachments":["`+file+`"],"content":{"certificateNumber":"4711","country":"BE","date":"2020-01-02"}}`, &doc)
	id := r.citizen(t, ssin)
	me := grantFor(domain.RoleCitizen, "", id)
	var given struct{ ConsentID string }
	r.post(t, me, "/consents", `{"consumer":"0203430576","purpose":"familyDiscount","documentTypes":["householdComposition"],"shownText":{"text":"`+discountText()+`","language":"en","version":"1"}}`, &given)
	var mandate struct{ MandateID string }
	r.post(t, me, "/mandates", `{"representativeSsin":"`+representative+`","kind":"representation","actions":["read"],"until":"2030-01-01"}`, &mandate)
	var erasure struct{ ErasureID string }
	r.post(t, me, "/erasures", `{"citizenId":"`+id.String()+`","scope":"document","documentId":"`+doc.DocumentID+`","reason":"citizenRequest"}`, &erasure)
	var restriction struct{ RestrictionID string }
	r.post(t, me, "/citizens/"+id.String()+"/restrictions", `{"reason":"accuracyContested"}`, &restriction)
	r.post(t, me, "/citizens/"+id.String()+"/restrictions/"+restriction.RestrictionID+"/lift", `{}`, nil)
	var petition struct{ PetitionID string }
	r.post(t, me, "/citizens/"+id.String()+"/petitions", `{"documentId":"`+doc.DocumentID+`","text":"It is not right.","restrict":true}`, &petition)
	r.post(t, issuer, "/petitions/"+petition.PetitionID+"/answer", `{"outcome":"rejected","text":"It is right."}`, nil)
	return holdings{
		"petitionId": petition.PetitionID,
		"documentId": doc.DocumentID, "citizenId": id.String(), "consentId": given.ConsentID, "consentRequestId": given.ConsentID,
		"attachmentId": file, "mandateId": mandate.MandateID, "erasureId": erasure.ErasureID, "restrictionId": restriction.RestrictionID,
	}
}

var parameter = regexp.MustCompile(`\{(\w+)\}`)

// aim puts identifiers into the call's path; ok is false when it has none of these.
func aim(c apitest.Call, ids holdings) (path string, ok bool) {
	_, path, _ = strings.Cut(c.Pattern, " ")
	for _, name := range parameter.FindAllStringSubmatch(c.Pattern, -1) {
		id, known := ids[name[1]]
		if !known {
			return "", false
		}
		path = strings.ReplaceAll(path, name[0], id)
	}
	return path, strings.Contains(c.Pattern, "{")
}
