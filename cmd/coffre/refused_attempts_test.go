package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/access"
	"coffre/eventstore"
	"coffre/eventstore/kurrent/wire/certtest"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// refusedAttempt is one way to be refused, and what is left of it: an event access.refused
// with the same reason as the problem, or a metric only.
type refusedAttempt struct {
	who, what string
	problem   string // the answer's; "": it is no problem
	recorded  string // the reason in access.refused; "": it is a metric only
	seen      bool   // it stands in the citizen's access log
	why       string // it is a metric only
	try       func(t *testing.T, r *refusing) *httptest.ResponseRecorder
}

// refusing is a vault with a citizen to ask about.
type refusing struct {
	*rig
	things    holdings
	me, other domain.CitizenID
	household string // document of me
	theirs    string // document of the other
	consent   string // of the other, to railways
	withdrawn string // of me
	used      string // key of an access that was answered
}

// asking sends a request as somebody and returns the answer.
func (r *refusing) asking(t *testing.T, g token.Grant, method, path, key, body string) *httptest.ResponseRecorder {
	t.Helper()
	return r.sending(r.bearer(t, g), method, path, key, body)
}

func (r *refusing) sending(bearer, method, path, key, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, contract.Base+path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key == "" {
		key = uuid.NewString()
	}
	if method == http.MethodPost && (path == "/evidence/query" || !strings.HasSuffix(path, "/query")) && !strings.HasSuffix(path, "/get") && !strings.HasSuffix(path, "/validate") {
		req.Header.Set("Idempotency-Key", key)
	}
	return r.ask(req, bearer)
}

func (r *refusing) access(t *testing.T, document, key, basis string) *httptest.ResponseRecorder {
	t.Helper()
	return r.asking(t, grantFor(domain.RoleConsumer, railways, domain.CitizenID{}), http.MethodPost, "/documents/"+document+"/access", key, `{"purpose":"familyDiscount",`+basis+`}`)
}

const byLaw = `"legalBasis":"publicTask","deliberation":"EX-26/010"` // which railways does not have

var (
	consumerGrant = grantFor(domain.RoleConsumer, railways, domain.CitizenID{})
	issuerGrant   = grantFor(domain.RoleIssuer, orgA, domain.CitizenID{})
)

// refusedAttempts lists the kinds of refused attempts, in the order in which the vault
// comes to them.
var refusedAttempts = []refusedAttempt{
	{"anybody", "no token", "noAccessToken", "", false, "nobody is known who could be named", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, contract.Base+"/consents", nil))
		return w
	}},
	{"anybody", "a token that is not signed by who may, or says what it must not", "invalidAccessToken", "", false, "what it says of its holder is not to be believed", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.sending("e30.e30.AAAA", http.MethodGet, "/consents", "", "")
	}},
	{"anybody", "an expired token", "expiredAccessToken", "", false, "an honest client's most usual mistake", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		old, err := r.key.Mint(consumerGrant, time.Now().Add(-time.Hour), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return r.sending(old, http.MethodGet, "/consents", "", "")
	}},
	{"a caller", "an operation of another role", "missingPermission", "", false, "it concerns nobody: nothing was looked up", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.asking(t, consumerGrant, http.MethodGet, "/events", "", "")
	}},
	{"a caller", "a token without the scope", "missingScope", "", false, "it concerns nobody: nothing was looked up", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		g := consumerGrant
		g.Scopes = []string{"consents:request"}
		return r.asking(t, g, http.MethodPost, "/evidence/query", "", `{}`)
	}},
	{"a caller", "input that does not fit the contract", "badRequest", "", false, "it concerns nobody: nothing was looked up", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.asking(t, consumerGrant, http.MethodPost, "/evidence/query", "", `{"x":1}`)
	}},
	{"a caller", "a path that is none", "resourceNotFound", "", false, "it concerns nobody", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.asking(t, consumerGrant, http.MethodGet, "/nothing", "", "")
	}},
	{"a citizen", "somebody else's wallet, document or consent, or one that is none", "resourceNotFound", "", false, "the caller is a citizen, whose attempts no organisation answers for; the token's provider knows who it was", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.asking(t, grantFor(domain.RoleCitizen, "", r.other), http.MethodGet, "/citizens/"+r.me.String()+"/wallet", "", "")
	}},
	{"an issuer", "another issuer's document, or one that is none", "resourceNotFound", "", false, "an issuer reads nothing but what it issued, so nothing was looked up of anybody", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.asking(t, issuerGrant, http.MethodGet, "/documents/"+r.household, "", "")
	}},
	{"an issuer", "a fact about persons that it has no right to state", "deathRightMissing", "", false, "the registry says it, so nothing was looked up of anybody", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.asking(t, grantFor(domain.RoleIssuer, "0206653946", domain.CitizenID{}), http.MethodPost, "/citizens/reportDeath", "", `{"ssin":"`+ssinA+`","date":"2026-01-01"}`)
	}},
	{"an issuer", "a number that the vault does not know", "resourceNotFound", "", false, "the look-up itself is on record, of nobody; it counts among the refusals of the minute", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.asking(t, issuerGrant, http.MethodPost, "/citizens/get", "", `{"ssin":"00010100105"}`)
	}},
	{"an issuer", "a statement about a citizen that the rules refuse", "citizenNotDeceased", "citizenNotDeceased", true, "", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.asking(t, grantFor(domain.RoleIssuer, homeAffairs, domain.CitizenID{}), http.MethodPost, "/citizens/correctDeath", "", `{"ssin":"`+ssinA+`"}`)
	}},
	{"an issuer", "a statement about somebody whom the vault does not know", "resourceNotFound", "citizenNotFound", false, "", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.asking(t, grantFor(domain.RoleIssuer, homeAffairs, domain.CitizenID{}), http.MethodPost, "/citizens/reportDeath", "", `{"ssin":"00010100105","date":"2026-01-01"}`)
	}},
	{"a consumer", "a look-up for a purpose that is not registered to it", "badRequest", "", false, "nothing was looked up of anybody", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.asking(t, consumerGrant, http.MethodPost, "/citizens/get", "", `{"ssin":"`+ssinA+`","purpose":"schoolAllowance"}`)
	}},
	{"a consumer", "a document that is none", "noBasis", "noBasis", false, "", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.access(t, uuid.NewString(), "", byLaw)
	}},
	{"a consumer", "a citizen's document without a basis", "noBasis", "noBasis", true, "", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.access(t, r.household, "", byLaw)
	}},
	{"a consumer that the registry does not know", "a citizen's document", "unknownOrganisation", "", false, "it is refused before anything of the request is read, so nothing was looked up of anybody", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		g := grantFor(domain.RoleConsumer, "0123456749", domain.CitizenID{})
		return r.asking(t, g, http.MethodPost, "/documents/"+r.household+"/access", "", `{"purpose":"familyDiscount",`+byLaw+`}`)
	}},
	{"a consumer", "a query about a citizen without a basis", "noBasis", "noBasis", true, "", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.asking(t, consumerGrant, http.MethodPost, "/evidence/query", "", `{"ssin":"`+ssinA+`","purpose":"familyDiscount","procedure":"schoolEnrolmentAllowance",`+byLaw+`,"needs":[{"documentType":"householdComposition"}]}`)
	}},
	{"a consumer", "a citizen's number without a basis", "resourceNotFound", "noBasis", true, "", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.asking(t, consumerGrant, http.MethodPost, "/citizens/get", "", `{"ssin":"`+ssinA+`"}`)
	}},
	{"a consumer", "whether an access would be lawful, and it is not", "", "consentWithdrawn", true, "", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.asking(t, consumerGrant, http.MethodPost, "/consents/validate", "", `{"documentId":"`+r.household+`","purpose":"familyDiscount","consentId":"`+r.withdrawn+`"}`)
	}},
	{"a consumer", "a document under a withdrawn consent", "consentWithdrawn", "consentWithdrawn", true, "", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.access(t, r.household, "", `"consentId":"`+r.withdrawn+`"`)
	}},
	{"a consumer", "an access again under its key, later or for something else", "idempotencyKeyReused", "", false, "a client's mistake: the answer says that the key was used, and nothing else", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		return r.access(t, r.theirs, r.used, `"consentId":"`+r.consent+`","fields":["householdSize"]`)
	}},
	{"a consumer", "one citizen more than its daily quota", "dailyQuotaExceeded", "dailyQuotaExceeded", true, "", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		r.limit(t, 1)
		var granted struct{ ConsentID string }
		r.post(t, grantFor(domain.RoleCitizen, "", r.me), "/consents", `{"consumer":"`+string(railways)+`","purpose":"familyDiscount","documentTypes":["householdComposition"],"shownText":{"text":"`+discountText()+`","language":"en","version":"1"}}`, &granted)
		return r.access(t, r.household, "", `"consentId":"`+granted.ConsentID+`"`)
	}},
	{"a consumer", "anything, once it was refused too often in a minute", "tooManyFailedRequests", "", false, "nothing is looked up any more of anybody; counted in `coffre_quota_slowed_total`, and told the operator once a day", func(t *testing.T, r *refusing) *httptest.ResponseRecorder {
		r.limit(t, 1)
		for range 60 { // of the newest minute, in which calls of now count as well
			r.Core.Quotas.Refused(railways, time.Now().Add(time.Minute))
		}
		return r.asking(t, consumerGrant, http.MethodPost, "/citizens/get", "", `{"ssin":"`+ssinA+`"}`)
	}},
}

// limit publishes a registry in which railways reads so many citizens a day.
func (r *refusing) limit(t *testing.T, quota int) {
	t.Helper()
	var files map[string]map[string]any
	if err := json.Unmarshal([]byte(registryBody(t)), &files); err != nil {
		t.Fatal(err)
	}
	files["organisations/"+string(railways)+".json"]["dailyQuota"] = quota
	body, err := json.Marshal(files)
	if err != nil {
		t.Fatal(err)
	}
	r.post(t, grantFor(domain.RoleOperator, "", domain.CitizenID{}), "/registry", string(body), nil)
}

// refusals returns the refusals on record.
func (r *refusing) refusals(t *testing.T) (all []access.Refused) {
	t.Helper()
	if err := r.Core.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	for record, err := range r.Core.Log.Store().ReadAll(t.Context(), eventstore.Position{}, 1<<20) {
		if err != nil {
			t.Fatal(err)
		}
		if record.Type != "access.refused/2" {
			continue
		}
		data, err := r.Core.Log.Decode(record)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data.(access.Refused))
	}
	return all
}

// metric returns the sum of a metric's values whose labels match.
func (r *refusing) metric(t *testing.T, name, labels string) (sum int) {
	t.Helper()
	w := httptest.NewRecorder()
	r.Operators().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, m := range regexp.MustCompile(`(?m)^`+name+`(?:\{[^}]*`+labels+`[^}]*\})? (\d+)$`).FindAllStringSubmatch(w.Body.String(), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// Each kind of refused attempt leaves what the table says: a record, with the citizen
// where one is concerned, or a metric only.
func TestRefusedAttempts(t *testing.T) {
	r := &refusing{rig: newRig(t)}
	r.settle(t, ssinB, ssinA, "refused-b")
	r.things = r.settle(t, ssinA, ssinB, "refused-a")
	r.me, r.other = r.citizen(t, ssinA), r.citizen(t, ssinB)
	for i, ssin := range []string{ssinA, ssinB} {
		var issued struct{ DocumentID string }
		r.post(t, grantFor(domain.RoleIssuer, homeAffairs, domain.CitizenID{}), "/documents", fmt.Sprintf(
			`{"ssin":"%s","documentType":"householdComposition","sourceReference":"refused-%d","validFrom":"2020-01-02","content":{"address":{"municipality":"Town","postalCode":"1000"},"asOf":"2026-01-01","householdSize":4,"members":[{"relation":"child"}]}}`, ssin, i), &issued)
		if i == 0 {
			r.household = issued.DocumentID
		} else {
			r.theirs = issued.DocumentID
		}
	}
	var granted struct{ ConsentID string }
	r.post(t, grantFor(domain.RoleCitizen, "", r.other), "/consents", `{"consumer":"`+string(railways)+`","purpose":"familyDiscount","documentTypes":["householdComposition"],"shownText":{"text":"`+discountText()+`","language":"en","version":"1"}}`, &granted)
	r.consent, r.withdrawn, r.used = granted.ConsentID, r.things["consentId"], uuid.NewString()
	r.post(t, grantFor(domain.RoleCitizen, "", r.me), "/consents/"+r.withdrawn+"/withdraw", "", nil)
	if w := r.access(t, r.theirs, r.used, `"consentId":"`+r.consent+`"`); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, a := range refusedAttempts {
		t.Run(a.who+": "+a.what, func(t *testing.T) {
			before, counted := len(r.refusals(t)), r.metric(t, "coffre_refused_total", `problem="`+a.problem+`"`)
			w := a.try(t, r)
			var problem struct{ Type string }
			if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil {
				t.Fatal(err)
			}
			if said := problem.Type[strings.LastIndexByte(problem.Type, ':')+1:]; said != a.problem {
				t.Errorf("answered %d %q, want %q", w.Code, said, a.problem)
			}
			if a.problem != "" && r.metric(t, "coffre_refused_total", `problem="`+a.problem+`"`) != counted+1 {
				t.Error("it is not counted")
			}
			left := r.refusals(t)[before:]
			if a.recorded == "" {
				if len(left) != 0 {
					t.Errorf("recorded: %+v", left)
				}
				return
			}
			if len(left) != 1 || string(left[0].Reason) != a.recorded || left[0].Consumer.IsZero() {
				t.Fatalf("recorded: %+v", left)
			}
			if a.seen != (left[0].Citizen == r.me) {
				t.Errorf("it concerns %v", left[0].Citizen)
			}
		})
	}
}

// Who shows no good password on the port for KurrentDB's clients is counted.
func TestRefusedPasswordsOfThePortAreCounted(t *testing.T) {
	r := &refusing{rig: newRig(t)}
	files, users := certtest.Make(t), t.TempDir()+"/users"
	if err := os.WriteFile(users, []byte("auditor:secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	where, end, err := r.OfferKurrent(t.Context(), vault.KurrentListener{Listen: "127.0.0.1:0", CertFile: files.Cert, KeyFile: files.Key, UsersFile: users})
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	config, err := esdb.ParseConnectionString(strings.Replace(where, "esdb://", "esdb://auditor:wrong@", 1) + "&tlsCAFile=" + files.CA)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = nil
	client, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	events, err := client.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 1)
	if err == nil {
		_, err = events.Recv()
	}
	if e, ok := errors.AsType[*esdb.Error](err); !ok || e.Code() != esdb.ErrorCodeUnauthenticated {
		t.Errorf("%v", err)
	}
	if n := r.metric(t, "coffre_kurrent_refused_total", ""); n == 0 {
		t.Error("it is not counted")
	}
}
