package ebox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"go.yaml.in/yaml/v3"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/domaintest"
	"coffre/domain/petition"
	"coffre/domain/term"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/reactors"
)

const (
	number       = "53480200724" // of Belgif's own example
	clientSecret = "canary-secret-of-the-client"
	accessToken  = "canary-token"
)

// contractOf returns the routes and schemas of one of eBox's own documents; without the shared
// data there are none, and nothing is compared.
func contractOf(t testing.TB, name, base string) (*openapi3.T, routers.Router) {
	t.Helper()
	path, ok := domaintest.SharedData(t, "ebox/"+name)
	if !ok {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = b[bytes.Index(b, []byte("swagger:")):] // one of them has a page's title before
	var read any
	if err := yaml.Unmarshal(b, &read); err != nil {
		t.Fatal(err)
	}
	if b, err = json.Marshal(named(read)); err != nil {
		t.Fatal(err)
	}
	var two openapi2.T
	if err := json.Unmarshal(b, &two); err != nil {
		t.Fatal(err)
	}
	two.BasePath, two.Host, two.Schemes = base, "", nil
	three, err := openapi2conv.ToV3(&two)
	if err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(three, openapi3.DisableExamplesValidation(), openapi3.DisableSchemaPatternValidation())
	if err != nil {
		t.Fatal(err)
	}
	return three, router
}

// named returns what YAML read with text for every key: the documents have statuses as numbers.
func named(read any) any {
	switch read := read.(type) {
	case map[any]any:
		all := map[string]any{}
		for k, v := range read {
			all[fmt.Sprint(k)] = named(v)
		}
		return all
	case map[string]any:
		for k, v := range read {
			read[k] = named(v)
		}
	case []any:
		for i, v := range read {
			read[i] = named(v)
		}
	}
	return read
}

// published is a publication as eBox saw it.
type published struct {
	key, number, language, subject, body, file string
}

// provider is eBox and its login, which hold every call against eBox's own documents.
type provider struct {
	t      testing.TB
	server *httptest.Server
	rest   *openapi3.T
	routes [2]routers.Router

	mu     sync.Mutex
	calls  []published
	keys   map[string]int // messages by key
	logins int
	answer func(n int, p published) (status int, body string, header http.Header)
	events string
}

func newProvider(t testing.TB) *provider {
	p := &provider{t: t, keys: map[string]int{}}
	p.rest, p.routes[0] = contractOf(t, "e-Box-Enterprise-swagger-v2.1-AP-Public.yaml", "/ebox/citizen/v2")
	_, p.routes[1] = contractOf(t, "ebox-enterprise-event-api-1.1.1.yaml", "/events-api/1.0.0")
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	if r.URL.Path == "/token" {
		p.mu.Lock()
		p.logins++
		p.mu.Unlock()
		if id, secret, _ := r.BasicAuth(); id != "coffre" || secret != clientSecret || !bytes.Contains(body, []byte("client_credentials")) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":600}`, accessToken)
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+accessToken {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	for _, part := range []string{r.URL.String(), fmt.Sprint(r.Header)} {
		if strings.Contains(part, number) {
			p.t.Errorf("a number in an address or a header: %s", part)
		}
	}
	var input *openapi3filter.RequestValidationInput
	for _, routes := range p.routes {
		if routes == nil {
			continue
		}
		if route, params, err := routes.FindRoute(r); err == nil {
			input = &openapi3filter.RequestValidationInput{Request: r, Route: route, PathParams: params, Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
			if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
				p.t.Errorf("eBox's document refuses the request: %v", err)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
	}
	if p.rest != nil && input == nil {
		p.t.Errorf("eBox's documents have no %s %s", r.Method, r.URL.Path)
	}
	status, answer, header := http.StatusOK, p.events, http.Header{}
	if r.Method == http.MethodPost {
		status, answer, header = p.publication(r)
	}
	header.Set("Content-Type", "application/json")
	if input != nil && (status == 200 || status == 201) {
		err := openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: status, Header: header, Body: io.NopCloser(strings.NewReader(answer))})
		if err != nil && !strings.Contains(answer, "broken") {
			p.t.Errorf("the test's answer is none of eBox's: %v", err)
		}
	}
	for k, v := range header {
		w.Header()[k] = v
	}
	w.WriteHeader(status)
	fmt.Fprint(w, answer)
}

// publication holds a publication against the document, and answers it.
func (p *provider) publication(r *http.Request) (int, string, http.Header) {
	if err := r.ParseMultipartForm(1 << 20); err != nil {
		p.t.Error(err)
	}
	described := r.FormValue("messageToPublish")
	var any map[string]any
	if err := json.Unmarshal([]byte(described), &any); err != nil {
		p.t.Error(err)
	}
	if p.rest != nil {
		if err := p.rest.Components.Schemas["MessageToPublish"].Value.VisitJSON(any); err != nil {
			p.t.Errorf("eBox's document refuses the message: %v", err)
		}
	}
	if strings.Contains(described, "null") {
		p.t.Errorf("a null: %s", described)
	}
	var m messageToPublish
	if err := json.Unmarshal([]byte(described), &m); err != nil {
		p.t.Error(err)
	}
	one := published{key: r.Header.Get("Idempotency-Key"), number: m.Recipient.Value}
	if len(m.Subject) != 1 || len(m.BodyContent) != 1 {
		p.t.Errorf("more than one language: %s", described)
	}
	for lang, text := range m.Subject {
		one.language, one.subject, one.body = lang, text, m.BodyContent[lang]
		if len([]rune(text)) > 255 || text == "" || one.body == "" || strings.ContainsAny(text+one.body, "{}") {
			p.t.Errorf("a text: %q %q", text, one.body)
		}
	}
	for _, a := range m.Attachments {
		f, _, err := r.FormFile(a.HTTPPartName)
		if err != nil {
			p.t.Errorf("the file that is described is not there: %v", err)
			continue
		}
		b, _ := io.ReadAll(f)
		if sum := sha256.Sum256(b); a.Digest.Value != base64.URLEncoding.EncodeToString(sum[:]) {
			p.t.Error("the digest is another file's")
		}
		one.file = string(b)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.calls)
	p.calls = append(p.calls, one)
	if p.answer != nil {
		if status, body, header := p.answer(n, one); status != 0 {
			if header == nil {
				header = http.Header{}
			}
			if status == 201 {
				p.keys[one.key]++
			}
			return status, body, header
		}
	}
	if p.keys[one.key] > 0 {
		return http.StatusConflict, `{"id":"` + uuid.NewString() + `","code":"IDEMPOTENCY","message":"idempotency violation"}`, http.Header{}
	}
	p.keys[one.key]++
	return http.StatusCreated, receipt(one.key, ""), http.Header{}
}

// receipt is eBox's answer to a publication.
func receipt(key, code string) string {
	return `{"messageId":"m-` + key + `","expirationDate":"2027-03-01T12:00:00+01:00","code":"` + code + `"}`
}

func (p *provider) seen() []published {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

// people are citizens who are written to, and what is on record of them.
type people struct {
	mu       sync.Mutex
	all      map[domain.CitizenID]Addressee
	recorded []string
	failing  error // of the record
}

func (v *people) WrittenTo(_ context.Context, c domain.CitizenID) (Addressee, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.all[c], nil
}

func (v *people) Deliver(ctx context.Context, m Message, send func(context.Context, domain.SSIN) error) error {
	v.mu.Lock()
	failing := v.failing
	v.recorded = append(v.recorded, "authorized "+m.ID.String())
	v.mu.Unlock()
	if failing != nil {
		return failing
	}
	ssin, err := domain.ParseSSIN(number)
	if err != nil {
		return err
	}
	return send(ctx, ssin)
}

func (v *people) Delivered(_ context.Context, m Message) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.recorded = append(v.recorded, "disclosed "+m.ID.String())
	return nil
}

func (v *people) Label(_ Labels, code string, lang domain.Language) string {
	return code + " (" + string(lang) + ")"
}

func (v *people) set(c domain.CitizenID, a Addressee) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all[c] = a
}

// kit is an eBox with citizens and the other side.
type kit struct {
	t        testing.TB
	db       *reactors.DB
	people   *people
	provider *provider
	ebox     *Ebox
	desk     Desk
	logged   *bytes.Buffer
	now      time.Time
	leaf     int64
}

var (
	ana = domain.CitizenID{UUID: uuid.UUID{1}}
	bob = domain.CitizenID{UUID: uuid.UUID{2}}
)

func living(way citizen.NoticeWay, lang domain.Language) Addressee {
	return Addressee{Standing: citizen.Living, Preferences: citizen.Preferences{Language: lang, Documents: way, Expiries: way, Accesses: way, Consents: way}}
}

func newKit(t testing.TB) *kit {
	t.Helper()
	k := &kit{t: t, people: &people{all: map[domain.CitizenID]Addressee{}}, provider: newProvider(t), logged: &bytes.Buffer{}, now: time.Now().Round(0)}
	var err error
	if k.db, err = reactors.Open(t.Context(), filepath.Join(t.TempDir(), "reactors.db"), sqlitedb.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.db.Close() })
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(clientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.ebox = k.open(secret)
	if k.desk, err = NewDesk(t.Context(), k.db); err != nil {
		t.Fatal(err)
	}
	k.people.set(ana, living(citizen.ByEboxEach, "fr"))
	k.people.set(bob, living(citizen.ByEboxEach, "de"))
	t.Cleanup(func() {
		for _, canary := range []string{number, clientSecret, accessToken} {
			if strings.Contains(k.logged.String(), canary) {
				t.Errorf("%s in the log: %s", canary, k.logged)
			}
		}
	})
	return k
}

// open is another process.
func (k *kit) open(secret string) *Ebox {
	k.t.Helper()
	at := func(path string) *url.URL {
		u, err := url.Parse(k.provider.server.URL + path)
		if err != nil {
			k.t.Fatal(err)
		}
		return u
	}
	e, err := New(k.t.Context(), Options{
		DB: k.db, Vault: k.people, Logger: slog.New(slog.NewTextHandler(k.logged, nil)), Jitter: func() float64 { return 0 },
		Client: NewClient(ClientOptions{
			API: at("/ebox/citizen/v2"), Events: at("/events-api/1.0.0"), Token: at("/token"), ClientID: "coffre", SecretFile: secret,
			Sender: Sender{Organisation: "0671516647", Application: "coffre", MessageType: "vault"},
			HTTP:   &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		}),
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return e
}

// tell makes a notice for a citizen.
func (k *kit) tell(c domain.CitizenID, topic Topic, kind Kind) Notice {
	k.t.Helper()
	k.leaf++
	n := Notice{ID: uuid.New(), Citizen: c, Leaf: k.leaf, Topic: topic, Kind: kind, Type: "diploma", Organisation: "0316380841", Purpose: "recruitment", Days: 30, At: k.now}
	if err := k.db.Write(k.t.Context(), func(tx *sqlx.Tx) error { return Add(k.t.Context(), tx, n) }); err != nil {
		k.t.Fatal(err)
	}
	return n
}

func (k *kit) turn() {
	k.t.Helper()
	if err := k.ebox.Turn(k.t.Context(), k.now); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kit) messages(in State) []Sent {
	k.t.Helper()
	all, err := k.desk.Messages(k.t.Context(), in, 1000)
	if err != nil {
		k.t.Fatal(err)
	}
	return all
}

// Each kind of notice becomes one message, in the citizen's one language, as eBox's document
// wants it, after its access is on record.
func TestEveryKindIsPublished(t *testing.T) {
	for _, lang := range citizen.Languages {
		k := newKit(t)
		k.people.set(ana, living(citizen.ByEboxEach, lang))
		count := 0
		for topic, all := range kinds {
			for _, kind := range all {
				k.tell(ana, topic, kind)
				count++
			}
		}
		k.turn()
		calls := k.provider.seen()
		if len(calls) != count || len(k.messages(Published)) != count {
			t.Fatalf("%s: %d messages left of %d, %d published", lang, len(calls), count, len(k.messages(Published)))
		}
		for i, one := range calls {
			if one.language != string(lang) || one.number != number || len(k.people.recorded) != 2*count || k.people.recorded[2*i] != "authorized "+one.key {
				t.Errorf("%s: %+v, on record %v", lang, one, k.people.recorded)
			}
		}
		if k.provider.logins != 1 {
			t.Errorf("%d logins", k.provider.logins)
		}
	}
}

// Every language says everything.
func TestTextsAreComplete(t *testing.T) {
	all, err := loadTexts()
	if err != nil || len(all) != len(citizen.Languages) {
		t.Fatal(len(all), err)
	}
	for lang, said := range all {
		for _, key := range textKeys() {
			if strings.TrimSpace(said[key]) == "" {
				t.Errorf("%s says nothing for %s", lang, key)
			}
			if i := strings.Index(said[key], "{"); i >= 0 && fieldsOf(said[key]) != fieldsOf(all["en"][key]) {
				t.Errorf("%s names for %s: %s, English %s", lang, key, fieldsOf(said[key]), fieldsOf(all["en"][key]))
			}
		}
		if len(said) != len(textKeys()) {
			t.Errorf("%s has %d texts, %d are used", lang, len(said), len(textKeys()))
		}
	}
}

// fieldsOf lists the placeholders of a text.
func fieldsOf(text string) string {
	var all []string
	for _, name := range []string{"{type}", "{organisation}", "{purpose}", "{date}", "{count}"} {
		if strings.Contains(text, name) {
			all = append(all, name)
		}
	}
	return strings.Join(all, " ")
}

// What a day brings is one message on the morning after, with a file of all where it is long; none
// is sent to who wants none, and a choice meanwhile counts.
func TestDailyAndNone(t *testing.T) {
	k := newKit(t)
	k.people.set(ana, living(citizen.ByEboxDaily, "nl"))
	k.people.set(bob, living(citizen.NoNotice, "de"))
	for range 25 {
		k.tell(ana, Accesses, Opened)
		k.tell(bob, Accesses, Opened)
	}
	k.tell(ana, Consents, Requested)
	k.turn()
	if calls := k.provider.seen(); len(calls) != 0 || len(k.messages(Gathering)) != 2 {
		t.Fatalf("before the day is over: %+v", calls)
	}
	k.people.set(ana, func() Addressee {
		a := living(citizen.ByEboxDaily, "nl")
		a.Preferences.Consents = citizen.NoNotice
		return a
	}())
	k.now = domain.BelgianDayEnd(domain.BelgianDate(k.now)).Add(dailyHour * time.Hour)
	k.turn()
	k.turn()
	calls := k.provider.seen()
	if len(calls) != 1 || strings.Count(calls[0].file, "\n") != 25 || !strings.Contains(calls[0].subject, "25") || len(k.messages(Unwanted)) != 1 {
		t.Fatalf("%+v, %+v", calls, k.messages(""))
	}
	if left, err := k.ebox.notices(t.Context(), uuid.Nil, 10); err != nil || len(left) != 0 {
		t.Errorf("notices that nobody wants stay: %+v, %v", left, err)
	}
}

// An eBox that hangs up, fails, is busy, and repeats itself gets each message once and those of a
// citizen in order; a citizen whose message waits holds up nobody.
func TestExactlyOnceInOrder(t *testing.T) {
	k := newKit(t)
	k.provider.answer = func(n int, p published) (int, string, http.Header) {
		switch {
		case p.language == "de": // Bob
		case n%7 == 0:
			return 503, "broken", http.Header{"Retry-After": {"120"}}
		case n%7 == 2:
			return 500, "", nil
		case n%7 == 4: // eBox has it and says something unreadable
			if k.provider.keys[p.key] == 0 {
				return 201, "broken", nil
			}
		case n%7 == 5:
			return 429, "{}", nil
		}
		return 0, "", nil
	}
	var want []string
	for range 20 {
		n := k.tell(ana, Documents, Updated)
		want = append(want, uuid.NewSHA1(namespace, n.ID[:]).String())
	}
	k.tell(bob, Documents, Updated)
	k.turn()
	if len(k.messages(Published)) < 1 || k.messages(Pending) == nil {
		t.Fatalf("%+v", k.messages(""))
	}
	for range 200 {
		k.now = k.now.Add(10 * time.Minute)
		k.turn()
	}
	if got := len(k.messages(Published)); got != 21 {
		t.Fatalf("%d of 21 are published: %+v", got, k.messages(Pending))
	}
	for key, n := range k.provider.keys {
		if n != 1 {
			t.Errorf("message %s was taken %d times", key, n)
		}
	}
	var order []string
	for _, c := range k.provider.seen() {
		if c.language == "fr" && !slices.Contains(order, c.key) {
			order = append(order, c.key)
		}
	}
	if !slices.Equal(order, want) {
		t.Errorf("the order of a citizen: %v, want %v", order, want)
	}
}

// What eBox will refuse again is not tried again and is shown; nor is what reached somebody
// without a digital eBox; an operator's retry uses the same key.
func TestFinalAnswers(t *testing.T) {
	k := newKit(t)
	code, body := 400, `{"id":"`+uuid.NewString()+`","code":"INVALID","message":"`+number+` is no recipient"}`
	k.provider.answer = func(_ int, p published) (int, string, http.Header) {
		if p.language == "de" {
			return 201, receipt(p.key, noDigitalUser), nil
		}
		return code, body, nil
	}
	k.tell(ana, Documents, Issued)
	k.tell(bob, Documents, Issued)
	k.turn()
	k.now = k.now.Add(48 * time.Hour)
	k.turn()
	failed, none := k.messages(Failed), k.messages(NoDigitalUser)
	if len(k.provider.seen()) != 2 || len(failed) != 1 || failed[0].Reason != "http400" || len(none) != 1 {
		t.Fatalf("%+v", k.messages(""))
	}
	code = 0
	if n, err := k.desk.Retry(t.Context(), nil); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if _, err := k.desk.Retry(t.Context(), &none[0].ID); !errors.Is(err, ErrNoMessage) {
		t.Errorf("a message without a reader is tried again: %v", err)
	}
	k.now = time.Now().Add(time.Second)
	k.turn()
	calls := k.provider.seen()
	if len(calls) != 3 || calls[2].key != failed[0].ID.String() || len(k.messages(Published)) != 1 {
		t.Fatalf("%+v", k.messages(""))
	}
}

// A citizen who died, was erased, or whose document is restricted is not written to.
func TestNotWrittenTo(t *testing.T) {
	k := newKit(t)
	paper := k.tell(ana, Documents, Revoked)
	k.people.set(ana, Addressee{Standing: citizen.Living, Preferences: living(citizen.ByEboxEach, "fr").Preferences, Restrictions: citizen.Restrictions{{Document: paper.Document}}})
	k.tell(bob, Documents, Revoked)
	if err := k.ebox.place(t.Context(), k.now); err != nil {
		t.Fatal(err)
	}
	k.people.set(bob, Addressee{Standing: citizen.Dead})
	k.turn()
	if all := k.messages(Withheld); len(all) != 2 || len(k.provider.seen()) != 0 {
		t.Fatalf("%+v", k.messages(""))
	}
	k.tell(bob, Documents, Revoked)
	k.turn() // nothing is kept of what nobody is told
	if len(k.messages("")) != 2 {
		t.Fatalf("%+v", k.messages(""))
	}
	if err := k.db.Write(t.Context(), func(tx *sqlx.Tx) error { return forget(t.Context(), tx, ana) }); err != nil || len(k.messages("")) != 1 {
		t.Fatal(k.messages(""), err)
	}
}

// Nothing leaves before its access is on record, and what cannot be recorded waits.
func TestNothingLeavesUnrecorded(t *testing.T) {
	k := newKit(t)
	k.people.failing = errors.New("the log is away")
	k.tell(ana, Documents, Issued)
	k.turn()
	if waiting := k.messages(Pending); len(k.provider.seen()) != 0 || len(waiting) != 1 || waiting[0].Reason != "fault" {
		t.Fatalf("%+v", k.messages(""))
	}
	k.people.failing = nil
	k.now = k.now.Add(time.Hour)
	k.turn()
	if len(k.provider.seen()) != 1 || len(k.messages(Published)) != 1 {
		t.Fatalf("%+v", k.messages(""))
	}
}

// Two processes publish each message once.
func TestTwoProcesses(t *testing.T) {
	k := newKit(t)
	other := k.open(k.ebox.o.Client.o.SecretFile)
	for range 20 {
		k.tell(ana, Documents, Updated)
		k.tell(bob, Documents, Updated)
	}
	var both sync.WaitGroup
	for _, e := range []*Ebox{k.ebox, other} {
		both.Go(func() {
			if err := e.Turn(t.Context(), k.now); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	k.turn()
	if len(k.provider.seen()) != 40 || len(k.messages(Published)) != 40 {
		t.Fatalf("%d calls, %d published", len(k.provider.seen()), len(k.messages(Published)))
	}
}

// What eBox tells of messages is read on from where it was, and shown.
func TestReadBack(t *testing.T) {
	k := newKit(t)
	k.tell(ana, Documents, Issued)
	k.tell(bob, Documents, Issued)
	k.turn()
	calls := k.provider.seen()
	event := func(n int, typ, message string) string {
		return fmt.Sprintf(`{"eventSequenceNbr":%d,"eventTime":"2026-12-%02dT10:00:00Z","eventProviderId":"p","eventData":{"eventType":%q,"enterpriseId":"0671516647","messageId":%q,"receiptDate":"2026-11-28T10:00:00Z","expirationDate":"2027-01-01T10:00:00Z","registeredMail":false}}`, n, n, typ, message)
	}
	k.provider.events = `{"EboxEnterpriseDocumentEvents":[` + strings.Join([]string{
		event(1, "readDocument", "m-"+calls[0].key), event(2, "newDocumentReminder", "m-"+calls[1].key), event(3, "documentExpirationAlert", "m-"+calls[1].key),
		event(4, "readDocument", "another's"), event(5, "readDocument", "m-"+calls[0].key),
	}, ",") + `],"pageInfo":{"lastSequenceNbr":5,"hasNext":true}}`
	for range 2 {
		if err := k.ebox.ReadBack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s, err := k.desk.Status(t.Context())
	if err != nil || s.Read != 1 || s.Reminded != 1 || s.Event != 5 || s.Messages[Published] != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	for _, m := range k.messages(Published) {
		if read := m.ID.String() == calls[0].key; read == m.Read.IsZero() || read && m.Read.Day() != 1 || read == !m.Reminded.IsZero() || m.Expires.Month() != time.January {
			t.Errorf("%+v", m)
		}
	}
	k.provider.events = "broken"
	if err := k.ebox.ReadBack(t.Context()); class(err) != "unreadable" {
		t.Errorf("%v", err)
	}
}

// A login that fails says nothing of the secret, a redirect is not followed, and a token that
// eBox does not take is replaced once.
func TestLogin(t *testing.T) {
	k := newKit(t)
	k.tell(ana, Documents, Issued)
	file := k.ebox.o.Client.o.SecretFile
	if err := os.WriteFile(file, []byte("another-"+clientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	k.turn()
	if waiting := k.messages(Pending); len(waiting) != 1 || waiting[0].Reason != "token" {
		t.Fatalf("%+v", k.messages(""))
	}
	if err := os.WriteFile(file, []byte(clientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	k.provider.answer = func(n int, _ published) (int, string, http.Header) {
		return []int{401, 307, 0}[min(n, 2)], "", http.Header{"Location": {"https://elsewhere.example/"}}
	}
	for range 2 {
		k.now = k.now.Add(2 * time.Hour)
		k.turn()
	}
	if len(k.messages(Published)) != 1 || len(k.provider.seen()) != 3 {
		t.Fatalf("%d calls, %+v", len(k.provider.seen()), k.messages(""))
	}
}

// H-5: nobody is written to of an access under an investigation, and of the same access without
// one somebody is.
func TestH5HiddenAccessesAreNotWrittenOf(t *testing.T) {
	k := newKit(t)
	under := domain.InvestigationID{UUID: uuid.New()}
	for name, pair := range map[string][2]any{
		"read": {
			access.Authorized{Citizen: ana, Consumer: "0316380841", Role: domain.RoleConsumer, Attempt: 1},
			access.Authorized{Citizen: ana, Consumer: "0316380841", Role: domain.RoleConsumer, Attempt: 1, Investigation: under},
		},
		"told":    {access.Told{Citizen: ana, Consumer: "0316380841"}, access.Told{Citizen: ana, Consumer: "0316380841", Investigation: under}},
		"refused": {access.Refused{Citizen: ana, Consumer: "0316380841"}, access.Refused{Citizen: ana, Consumer: "0316380841", Investigation: under}},
	} {
		shown, err := k.ebox.noticeOf(t.Context(), reactors.Notice{}, pair[0])
		if err != nil || shown.Kind == "" || shown.Topic != Accesses {
			t.Errorf("%s: %+v, %v", name, shown, err)
		}
		hidden, err := k.ebox.noticeOf(t.Context(), reactors.Notice{}, pair[1])
		if err != nil || hidden != (Notice{}) {
			t.Errorf("%s under an investigation: %+v, %v", name, hidden, err)
		}
	}
}

// N-1: what the clock announces is written of by the last day, whichever step it was, under the
// topic that the citizen chose a way for; once for each announcement, however often it is handled.
func TestN1EndsAreWrittenOf(t *testing.T) {
	k := newKit(t)
	k.people.set(ana, living(citizen.ByEboxEach, "en"))
	k.now = time.Date(2026, 12, 30, 23, 30, 0, 0, time.UTC) // the 31st in Belgium
	card := domain.DocumentID{UUID: uuid.UUID{7}}
	said := map[string]any{
		"valid until 31/12/2026":                 term.Announced{Kind: term.Document, Citizen: ana, Document: card, Type: "diploma", Organisation: "0316380841", Ends: "2026-12-31", Before: 0},
		"valid until 29/01/2027":                 term.Announced{Kind: term.Document, Citizen: ana, Document: card, Type: "diploma", Organisation: "0316380841", Ends: "2027-01-29", Before: 30},
		"was valid until 30/12/2026":             term.Announced{Kind: term.Consent, Citizen: ana, Organisation: "0316380841", Purpose: "recruitment", Ends: "2026-12-30"},
		"had until 30/12/2026 to answer":         term.Announced{Kind: term.Petition, Citizen: ana, Organisation: "0316380841", Ends: "2026-12-30"},
		"The privacy officers of the vault had ": term.Announced{Kind: term.Petition, Citizen: ana, Ends: "2026-12-30"},
		"takes until 15/03/2027 to answer":       petition.Extended{Citizen: ana, Organisation: "0316380841", Deadline: "2027-03-15", At: k.now},
		"vault take until 15/03/2027":            petition.Extended{Citizen: ana, Deadline: "2027-03-15", At: k.now},
	}
	for _, f := range said {
		name, clear, _, err := codec.Catalog.Encode(f)
		if err != nil {
			t.Fatal(err)
		}
		k.leaf++
		n := reactors.Notice{ID: uuid.New(), Type: name, Stream: "term-" + eventstore.Stream(uuid.NewString()), Leaf: k.leaf, Recorded: k.now, Citizen: ana, Clear: clear}
		for range 2 {
			effect, err := k.ebox.handle(t.Context(), n)
			if err != nil || effect.Store == nil {
				t.Fatal(err)
			}
			if err := k.db.Write(t.Context(), func(tx *sqlx.Tx) error { return effect.Store(t.Context(), tx) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	k.turn()
	calls := k.provider.seen()
	if len(calls) != len(said) {
		t.Fatalf("%d messages", len(calls))
	}
	for text := range said {
		if !slices.ContainsFunc(calls, func(c published) bool { return strings.Contains(c.body, text) }) {
			t.Errorf("no message says %q: %+v", text, calls)
		}
	}
	for _, none := range []struct {
		choice citizen.Preferences
		left   int
	}{{citizen.Preferences{Expiries: citizen.NoNotice, Consents: citizen.ByEboxEach}, 1}, {citizen.Preferences{Expiries: citizen.ByEboxEach, Consents: citizen.NoNotice}, 6}} {
		left := 0
		for _, f := range said {
			one, err := k.ebox.noticeOf(t.Context(), reactors.Notice{Recorded: k.now}, f)
			if err != nil {
				t.Fatal(err)
			}
			if wayOf(none.choice, one.Topic) != citizen.NoNotice {
				left++
			}
		}
		if left != none.left {
			t.Errorf("%+v: %d", none.choice, left)
		}
	}
}
