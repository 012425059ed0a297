package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	samples "coffre/deploy/registry"
	"coffre/domain"
	"coffre/handlers/api"
	"coffre/handlers/contract"
	"coffre/handlers/edge/apitest"
	"coffre/handlers/edge/token"
	"coffre/handlers/reactors/webhook"
)

// judged is a vault whose every answer is held against the contract by a reader
// of OpenAPI that is not ours.
type judged struct {
	*vault.Instance
	validator *apitest.Validator
}

func (j judged) Control() http.Handler { return j.validator }

// Every operation of the contract succeeds at least once, and every answer on the
// way, to the whole story and to what it leaves out, fits its schema.
func TestEveryOperationFitsItsSchema(t *testing.T) {
	dir := t.TempDir()
	var v judged
	program := newProgram(terminal{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Getenv: func(string) string { return "" }})
	program.open = func(ctx context.Context, d vault.DataDir) (runningVault, error) {
		o, err := vault.Open(ctx, d, vault.Options{})
		if err != nil {
			return nil, err
		}
		v = judged{o, apitest.Validating(t, contract.YAML(), o.Handler())}
		return v, nil
	}
	if code := program.run(t.Context(), []string{"demo", "--data", dir}); code != 0 {
		t.Fatalf("the demo ended with %d", code)
	}
	seen, traced, taken := map[string]bool{}, map[string]string{}, map[string][]string{}
	note := func() {
		maps.Copy(traced, v.validator.Traced())
		for _, s := range v.Core.Quotas.BudgetTotals() {
			if s.Taken > 0 {
				taken[s.Operation] = append(taken[s.Operation], s.Budget)
			}
		}
		for _, c := range apitest.Calls(t, contract.YAML()) {
			for status := range v.validator.Seen(c.OperationID) {
				seen[c.OperationID] = seen[c.OperationID] || status < 300
			}
		}
	}
	note()

	// The rest, on the same data.
	secrets, err := webhook.ParseSecrets(webhook.NewSecretText())
	if err != nil {
		t.Fatal(err)
	}
	o, err := vault.Open(t.Context(), vault.DataDir(dir), vault.Options{Dev: true, Webhook: &vault.WebhookOptions{URL: "http://127.0.0.1:65000", Dev: true, Secrets: secrets}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := o.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	v = judged{o, apitest.Validating(t, contract.YAML(), o.Handler())}
	key, err := token.OpenDevKey(vault.DataDir(dir).File(vault.DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Instance: o, dir: vault.DataDir(dir), key: key}
	r.front = v.validator
	restOfTheContract(t, r)
	note()
	for _, c := range apitest.Calls(t, contract.YAML()) {
		if !seen[c.OperationID] {
			t.Errorf("%s never succeeded", c.OperationID)
		}
	}
	compareWithLog(t, r, traced)
	compareWithBudgets(t, taken)
}

// get asks and returns the answer, which must be a success.
func (r *rig) get(t *testing.T, g token.Grant, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := r.ask(httptest.NewRequest(http.MethodGet, contract.Base+path, nil), r.bearer(t, g))
	if w.Code >= 300 {
		t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	return w
}

// restOfTheContract calls what the demo leaves out.
func restOfTheContract(t *testing.T, r *rig) {
	t.Helper()
	issuer, officer, operator := grantFor(domain.RoleIssuer, orgA, domain.CitizenID{}), grantFor(domain.RolePrivacyOfficer, "", domain.CitizenID{}), grantFor(domain.RoleOperator, "", domain.CitizenID{})
	r.settle(t, ssinB, ssinA, "rest-b") // so that a representative is known
	things := r.settle(t, ssinA, ssinB, "rest-a")
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, b := r.citizen(t, ssinA), r.citizen(t, ssinB)
	me, friend := grantFor(domain.RoleCitizen, "", a), grantFor(domain.RoleCitizen, "", b)

	// The links of an answer in a language lead to answers in it; the validator looks at them.
	r.get(t, issuer, "/documents/"+things["documentId"]+"?lang=de")
	for _, list := range []string{"/citizens/" + a.String() + "/wallet", "/citizens/" + a.String() + "/accessLog", "/consents", "/consentRequests", "/consents/" + things["consentId"]} {
		r.get(t, me, list+"?lang=fr")
	}
	r.get(t, me, "/citizens/"+a.String()+"/accessLog?lang=fr&pageSize=1")
	r.get(t, me, "/citizens/"+a.String()+"/accessLog/groups?lang=fr&pageSize=1")
	r.get(t, issuer, "/documents/"+things["documentId"])
	r.get(t, issuer, "/documents/"+things["documentId"]+"/versions")
	r.get(t, issuer, "/documents/"+things["documentId"]+"/attachments/"+things["attachmentId"])
	paper := r.upload(t, grantFor(domain.RoleIssuer, "0220916609", domain.CitizenID{}), apitest.PDF)
	var diploma struct{ DocumentID string }
	r.post(t, grantFor(domain.RoleIssuer, "0220916609", domain.CitizenID{}), "/documents",
		`{"ssin":"`+ssinA+`","documentType":"diploma","sourceReference":"rest","validFrom":"2006-07-01","attachments":["`+paper+`"],"content":{"title":"Master","institution":"University","awardedOn":"2006-06-30","level":7}}`, &diploma)
	bosa := grantFor(domain.RoleConsumer, "0671516647", domain.CitizenID{})
	if w := r.post(t, bosa, "/documents/"+diploma.DocumentID+"/attachments/"+paper+"/access",
		`{"purpose":"recruitment","procedure":"publicJobApplication","legalBasis":"publicTask","deliberation":"EX-26/050"}`, nil); w.Body.String() != apitest.PDF {
		t.Errorf("%q", w.Body)
	}
	r.post(t, issuer, "/documents/query", `{}`, &struct{}{})
	r.post(t, grantFor(domain.RoleConsumer, "0203430576", domain.CitizenID{}), "/consents/validate",
		`{"ssin":"`+ssinA+`","documentType":"householdComposition","purpose":"familyDiscount","consentId":"`+things["consentId"]+`"}`, &struct{}{})
	r.get(t, grantFor(domain.RoleConsumer, "0203430576", domain.CitizenID{}), "/consents/"+things["consentId"]+"/documents")
	r.get(t, me, "/consents/"+things["consentId"])
	r.get(t, me, "/consents/"+things["consentId"]+"/receipt")
	r.get(t, me, "/consents/"+things["consentId"]+"/receipt?format=iso27560")
	r.post(t, friend, "/mandates/"+things["mandateId"]+"/accept", "", nil)
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/citizens/" + a.String() + "/accessLog/groups", "/consents?citizenId=" + a.String(), "/consentRequests?citizenId=" + a.String(), "/consents/" + things["consentId"], "/petitions?citizenId=" + a.String(), "/petitions/" + things["petitionId"]} {
		r.get(t, friend, path)
	}
	r.get(t, me, "/dataTracker/v2/usagePeriod")
	r.get(t, me, "/dataTracker/v2/heartbeat")
	usage := httptest.NewRequest(http.MethodGet, contract.Base+"/dataTracker/v2/findUsage?userCode=BE"+ssinA, nil)
	usage.Header.Set("X-Road-UserId", "BE"+ssinB)
	if w := r.ask(usage, r.bearer(t, friend)); w.Code != http.StatusOK {
		t.Fatalf("the usages of a represented person: %d %s", w.Code, w.Body)
	}
	r.get(t, officer, "/consents/"+things["consentId"])
	r.get(t, officer, "/consents/"+things["consentId"]+"/receipt")
	for _, path := range []string{"/history", "/disclosures"} {
		for _, who := range []token.Grant{me, friend, officer} {
			r.get(t, who, "/consents/"+things["consentId"]+path)
		}
	}
	r.get(t, officer, "/citizens/"+a.String()+"/accessLog")
	r.get(t, officer, "/citizens/"+a.String()+"/accessLog/groups")
	r.dispute(t, a, things["petitionId"])
	r.post(t, me, "/citizens/"+a.String()+"/preferences", `{"language":"fr","documentNotices":"eboxEach","expiryNotices":"none","accessNotices":"eboxDaily","consentNotices":"eboxEach"}`, &struct{}{})
	r.get(t, me, "/citizens/"+a.String()+"/preferences")
	r.get(t, grantFor(domain.RoleAuditor, "", domain.CitizenID{}), "/citizens/"+a.String()+"/wallet")
	r.post(t, me, "/mandates/"+things["mandateId"]+"/end", `{}`, &struct{}{})
	r.get(t, me, "/mandates")
	r.get(t, operator, "/signingKeys")
	r.checkpoint(t)
	for _, path := range []string{"/log/checkpoint", "/log/proof/inclusion?leaf=0", "/log/proof/consistency?former=1"} {
		r.get(t, anyAuditor, path)
	}
	r.get(t, officer, "/dueErasures")
	r.get(t, officer, "/exports")
	r.post(t, officer, "/exports/"+r.waitingExport(t).String()+"/cancel", `{"reason":"noLongerWanted"}`, nil)
	r.get(t, operator, "/attachments")
	r.get(t, officer, "/erasures?state=requested&state=final")
	r.get(t, officer, "/legalHolds?state=standing&state=lifted")
	r.get(t, officer, "/restrictions?state=standing")
	r.get(t, officer, "/releases?state=proposed")
	r.post(t, me, "/citizens/"+a.String()+"/subjectAccessReport", `{}`, &struct{}{})

	consumer := grantFor(domain.RoleConsumer, "0203430576", domain.CitizenID{})
	var asked struct{ ConsentID string }
	r.post(t, consumer, "/consentRequests", `{"ssin":"`+ssinA+`","purpose":"familyDiscount","documentTypes":["householdComposition"]}`, &asked)
	r.post(t, consumer, "/consentRequests", `{"ssin":"`+ssinC+`","purpose":"familyDiscount","documentTypes":["householdComposition"]}`, &struct{}{})
	r.post(t, me, "/consentRequests/"+asked.ConsentID+"/refuse", "", nil)
	r.get(t, consumer, "/consentRequests")
	r.post(t, consumer, "/citizens/get", `{"ssin":"`+ssinA+`","purpose":"familyDiscount","caseReference":"2026/1"}`, &struct{}{})
	r.post(t, officer, "/citizens/get", `{"ssin":"`+ssinA+`","reason":"complaint","caseReference":"2026/1"}`, &struct{}{})

	var hold struct{ LegalHoldID string }
	r.post(t, officer, "/citizens/"+a.String()+"/legalHolds", `{"reason":"litigation","caseReference":"2026/1"}`, &hold)
	r.post(t, officer, "/citizens/"+a.String()+"/legalHolds/"+hold.LegalHoldID+"/lift", "", nil)
	r.get(t, me, "/citizens/"+a.String()+"/restrictions")
	r.get(t, officer, "/citizens/"+a.String()+"/restrictions")
	r.get(t, officer, "/citizens/"+a.String()+"/restrictions/"+things["restrictionId"])
	r.post(t, me, "/consents", `{"consumer":"0203430576","purpose":"familyDiscount","documentTypes":["householdComposition"],"renews":"`+things["consentId"]+`","shownText":{"text":"`+discountText()+`","language":"en","version":"1"}}`, &struct{}{})
	r.post(t, officer, "/consentLog/query", `{}`, &struct{}{})
	r.get(t, officer, "/figures")
	r.get(t, officer, "/figures?format=csv&year=2026")
	r.post(t, officer, "/affectedPersons/query", `{"documentType":"householdComposition","consumer":"0203430576","from":"2026-01-01T00:00:00Z","until":"2100-01-01T00:00:00Z","reason":"audit"}`, &struct{}{})
	r.release(t, officer, "00010100105")

	r.get(t, operator, "/traffic?top=3")
	r.get(t, operator, "/traffic?format=csv&month=2026-01")
	r.get(t, consumer, "/monthlyUsage")
	r.get(t, operator, "/monthlyUsage?format=csv")

	r.get(t, operator, "/projections")
	var rebuild contract.Rebuild
	r.post(t, operator, "/projections/wallet/rebuild", "", &rebuild)
	r.get(t, operator, "/rebuilds/"+rebuild.RebuildID.String())
	auditor := grantFor(domain.RoleAuditor, "", domain.CitizenID{})
	var compared contract.ModelComparison
	r.post(t, auditor, "/comparisons", `{"reason":"audit"}`, &compared)
	r.get(t, auditor, "/comparisons/"+compared.ComparisonID.String())
	r.get(t, auditor, "/comparisons")
	var hooks contract.Webhooks
	if err := json.Unmarshal(r.get(t, operator, "/webhooks").Body.Bytes(), &hooks); err != nil || len(hooks.Items) != 1 {
		t.Fatalf("%+v, %v", hooks, err)
	}
	r.subscribe(t)
	hook := "/webhooks/" + hooks.Items[0].WebhookID.String()
	r.post(t, operator, hook+"/enable", "", nil)
	r.post(t, operator, hook+"/replay", "{}", nil)
	r.post(t, operator, hook+"/rotate", "", nil)
	var reacting contract.Reactors
	if err := json.Unmarshal(r.get(t, operator, "/reactors").Body.Bytes(), &reacting); err != nil || len(reacting.Items) != 2 {
		t.Fatalf("%+v, %v", reacting, err)
	}
	r.post(t, operator, "/reactors/ends/pause", `{"reason":"maintenance"}`, nil)
	r.post(t, operator, "/reactors/ends/resume", `{"reason":"maintenance"}`, nil)
	r.Core.Reactors = onePoison{r.Core.Reactors} // real ones set nothing aside here
	r.Core.Ebox = oneLetter{}
	r.get(t, operator, "/eboxMessages")
	r.get(t, operator, "/eboxMessages?state=failed")
	r.post(t, operator, "/eboxMessages/retry", `{"reason":"repaired"}`, nil)
	r.get(t, operator, "/poisonedEvents")
	r.post(t, operator, "/poisonedEvents/retry", `{"reactor":"ends","leaf":7,"reason":"repaired"}`, nil)
	r.post(t, operator, "/poisonedEvents/drop", `{"reactor":"ends","leaf":7,"reason":"obsolete"}`, nil)
	r.get(t, operator, "/keys")
	r.post(t, operator, "/keys/retire", "", nil) // nothing is old yet
	r.post(t, operator, "/keys/trim", "", nil)
	r.post(t, operator, "/keys/rotatePepper", "", nil)
	r.post(t, operator, "/keys/rotateAudit", "", &struct{}{})
	r.post(t, operator, "/keys/rotateRequests", "", &struct{}{})
	r.post(t, operator, "/keys/rotate", "", nil)
	id, _ := ageKey(t)
	taken := r.post(t, operator, "/backups", `{"recipients":["`+id.Recipient().String()+`"]}`, nil)
	r.post(t, operator, "/backups/reportVerified", fmt.Sprintf(`{"sha256":"%x"}`, sha256.Sum256(taken.Body.Bytes())), &struct{}{})
	r.Core.Backups = nil // as where the databases have tools of their own
	r.post(t, operator, "/backups/reportElsewhere", fmt.Sprintf(`{"takenAt":"2026-03-01T02:00:00Z","sha256":"%x"}`, sha256.Sum256([]byte("a manifest"))), &struct{}{})
	r.get(t, operator, "/registry")
	r.get(t, operator, "/health")
	changed := strings.Replace(registryBody(t), `"dailyQuota":`, `"dailyQuota": 1`, 1) // ten times as many, or more
	r.post(t, operator, "/registry", changed, nil)

	home := grantFor(domain.RoleIssuer, "0308356862", domain.CitizenID{})
	kid := inventFamily(time.Now()).child.ssin.Reveal()
	r.post(t, home, "/mandates", `{"ssin":"`+kid+`","representativeSsin":"`+ssinA+`","kind":"parentOfMinor","actions":["read"],"until":"`+time.Now().AddDate(5, 0, 0).Format(time.DateOnly)+`"}`, &struct{}{})
	r.post(t, home, "/citizens/replaceSsin", `{"ssin":"`+ssinA+`","replacedBy":"`+ssinC+`"}`, nil)
	r.post(t, home, "/citizens/reportDeath", `{"ssin":"`+ssinB+`","date":"`+time.Now().AddDate(0, 0, -2).Format(time.DateOnly)+`"}`, nil)
	r.correct(t, officer, home, b)
	r.merge(t, officer, home)
	r.identity(t)
}

// dispute has a citizen dispute an entry of the access log, and everybody who may look at it.
func (r *rig) dispute(t *testing.T, a domain.CitizenID, rectification string) {
	t.Helper()
	me, officer := grantFor(domain.RoleCitizen, "", a), grantFor(domain.RolePrivacyOfficer, "", domain.CitizenID{})
	var log contract.AccessLog
	if err := json.Unmarshal(r.get(t, me, "/citizens/"+a.String()+"/accessLog").Body.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(log.Items, func(one contract.AccessLogItem) bool { return one.Organization == "" })
	if i < 0 {
		t.Fatal("nobody but organisations read")
	}
	var disputed contract.Petition
	r.post(t, me, "/citizens/"+a.String()+"/petitions", `{"entryId":"`+log.Items[i].EntryID.String()+`","text":"I know nothing of it."}`, &disputed)
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	flanders := grantFor(domain.RoleConsumer, "0316380841", domain.CitizenID{})
	var secret struct{ InvestigationID string }
	ends := func(days int) string { return time.Now().AddDate(0, 0, days).UTC().Format(time.RFC3339) }
	r.post(t, flanders, "/investigations", `{"purpose":"schoolAllowance","legalBasis":"publicTask","deliberation":"EX-26/012","reason":"allowanceFraud","until":"`+ends(30)+`"}`, &secret)
	r.post(t, flanders, "/investigations/"+secret.InvestigationID+"/renew", `{"until":"`+ends(60)+`"}`, nil)
	r.get(t, officer, "/investigations?state=open")
	r.post(t, officer, "/investigations/"+secret.InvestigationID+"/lift", "", nil)
	r.get(t, me, "/petitions")
	r.get(t, officer, "/petitions?state=open&state=overdue")
	r.get(t, officer, "/processingRegister")
	r.get(t, grantFor(domain.RoleOperator, "", domain.CitizenID{}), "/condition")
	r.get(t, officer, "/petitions/"+disputed.PetitionID.String())
	r.post(t, officer, "/petitions/"+disputed.PetitionID.String()+"/extend", `{"text":"We have to ask the archive."}`, nil)
	r.post(t, officer, "/petitions/"+disputed.PetitionID.String()+"/answer", `{"outcome":"upheld"}`, nil)
	issuer := grantFor(domain.RoleIssuer, orgA, domain.CitizenID{})
	r.get(t, issuer, "/petitions?state=answered")
	r.get(t, issuer, "/signals")
	r.get(t, issuer, "/signals?type=be.coffre.vault.v1.petitions.notify.made&documentType=householdComposition&pageSize=1")
	r.get(t, issuer, "/petitions/"+rectification)
	r.get(t, me, "/petitions/"+rectification)
	r.get(t, me, "/citizens/"+a.String()+"/accessLog")
}

// correct corrects the death of a person, which the source and an officer say was reported in
// error.
func (r *rig) correct(t *testing.T, officer, source token.Grant, id domain.CitizenID) {
	t.Helper()
	second := officer
	second.Subject = "second officer"
	corrections := "/citizens/" + id.String() + "/corrections"
	r.post(t, source, "/citizens/correctDeath", `{"ssin":"`+ssinB+`"}`, nil)
	var proposed struct{ CorrectionID string }
	r.post(t, officer, corrections, `{"kind":"deathInError","caseReference":"2026/1"}`, &proposed)
	r.get(t, officer, corrections)
	r.post(t, second, corrections+"/"+proposed.CorrectionID+"/approve", "", &struct{}{})
}

// merge lets a person have two numbers, and finds out that they are two persons after all.
func (r *rig) merge(t *testing.T, officer, source token.Grant) {
	t.Helper()
	second := officer
	second.Subject = "second officer"
	const former, survivor, other = "00010100204", "00010100303", "00010100402"
	issued := func(ssin string) domain.CitizenID {
		r.post(t, source, "/documents",
			`{"ssin":"`+ssin+`","documentType":"householdComposition","sourceReference":"m","validFrom":"2026-01-01","content":{"asOf":"2026-01-01","householdSize":1,"members":[]}}`, &struct{}{})
		return r.citizen(t, ssin)
	}
	approve := func(of domain.CitizenID, body string) {
		var proposed struct{ CorrectionID string }
		corrections := "/citizens/" + of.String() + "/corrections"
		r.post(t, officer, corrections, body, &proposed)
		r.post(t, second, corrections+"/"+proposed.CorrectionID+"/approve", "", &struct{}{})
	}
	a, c := issued(former), issued(survivor)
	issued(other)
	approve(a, `{"kind":"merge","survivingCitizenId":"`+c.String()+`","caseReference":"2026/1"}`)
	approve(a, `{"kind":"separation"}`)
	r.post(t, source, "/citizens/replaceSsin", `{"ssin":"`+former+`","replacedBy":"`+other+`"}`, nil)
}

// release erases a person whom the vault did not know, and lets them be known again.
func (r *rig) release(t *testing.T, officer token.Grant, ssin string) {
	t.Helper()
	second := officer
	second.Subject = "second officer"
	r.post(t, grantFor(domain.RoleIssuer, "0308356862", domain.CitizenID{}), "/documents",
		`{"ssin":"`+ssin+`","documentType":"householdComposition","sourceReference":"r","validFrom":"2026-01-01","content":{"asOf":"2026-01-01","householdSize":1,"members":[]}}`, &struct{}{})
	id := r.citizen(t, ssin)
	var erasure struct{ ErasureID string }
	r.post(t, grantFor(domain.RoleCitizen, "", id), "/erasures", `{"citizenId":"`+id.String()+`","scope":"citizen","reason":"citizenRequest"}`, &erasure)
	r.post(t, second, "/erasures/"+erasure.ErasureID+"/approve", "", nil)
	if err := r.Core.WaitIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
	var release struct{ ReleaseID string }
	r.get(t, officer, "/suppressions?state=kept&state=reviewDue")
	r.post(t, officer, "/releases", `{"ssin":"`+ssin+`","kind":"newLife","legalBasis":"legalObligation"}`, &release)
	r.post(t, second, "/releases/"+release.ReleaseID+"/approve", `{"ssin":"`+ssin+`"}`, &struct{}{})
	r.get(t, officer, "/releases/"+release.ReleaseID)
}

// registryBody is a registry directory as the contract takes it: the samples.
func registryBody(t *testing.T) string {
	t.Helper()
	files := map[string]json.RawMessage{}
	err := fs.WalkDir(samples.Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") {
			return err
		}
		files[path], err = fs.ReadFile(samples.Files, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(files)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// onePoison are reactors of which one set an event aside.
type onePoison struct{ api.Reactors }

func (onePoison) SetAside(context.Context, int) ([]api.Poison, error) {
	return []api.Poison{{Reactor: "ends", Leaf: 7, Event: uuid.UUID{1}, Type: "citizen.deceased/1", Reason: "fault", Attempts: 5, Tried: time.Now().UTC()}}, nil
}

func (p onePoison) Poison(ctx context.Context, _ string, _ int64) (api.Poison, error) {
	all, err := p.SetAside(ctx, 1)
	return all[0], err
}

func (onePoison) Retry(context.Context, string, int64) error { return nil }
func (onePoison) Drop(context.Context, string, int64) error  { return nil }

// oneLetter is a desk of My eBox with one message, which failed.
type oneLetter struct{}

func (oneLetter) Messages(context.Context, contract.EboxMessageState, int) ([]api.EboxMessage, error) {
	return []api.EboxMessage{{ID: uuid.UUID{1}, Topic: "documents", State: contract.EboxMessageStateFailed, Attempts: 3, Reason: "status500", Made: time.Now().UTC(), Changed: time.Now().UTC()}}, nil
}

func (oneLetter) Retry(context.Context, *uuid.UUID) (int64, error) { return 1, nil }

// subscribe has an organisation be told by webhook, and does whatever can be done with that.
func (r *rig) subscribe(t *testing.T) {
	t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("WebHook-Allowed-Origin", "*")
		w.WriteHeader(http.StatusOK)
	}))
	defer receiver.Close()
	issuer := grantFor(domain.RoleIssuer, orgA, domain.CitizenID{})
	var made contract.WebhookSubscription
	r.post(t, issuer, "/webhookSubscriptions", `{"url":"`+receiver.URL+`/hook?token=hidden","types":["be.coffre.vault.v1.documents.notify.revoked"]}`, &made)
	if made.Key == "" || strings.Contains(made.Host, "hidden") {
		t.Errorf("%+v", made)
	}
	one := "/webhookSubscriptions/" + made.WebhookSubscriptionID.String()
	r.get(t, issuer, "/webhookSubscriptions")
	r.get(t, issuer, one+"/deliveries?pageSize=1")
	for _, who := range []token.Grant{issuer, grantFor(domain.RoleOperator, "", domain.CitizenID{})} {
		r.post(t, who, one+"/enable", "", nil)
		r.post(t, who, one+"/replay", `{}`, nil)
	}
	r.post(t, issuer, one+"/rotate", `{}`, nil)
	r.post(t, issuer, one+"/rotate", `{"finish":true}`, nil)
	r.post(t, issuer, one+"/remove", "", nil)
}
