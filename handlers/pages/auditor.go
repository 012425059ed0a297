package pages

import (
	_ "embed"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
)

// pageOfEvents bounds the events on one page.
const pageOfEvents = 50

//go:embed verify.js
var verifyScript []byte

// verifier is the script that recomputes proofs in the browser. A page without it says the same
// and names the command that checks it.
var verifier = newAsset("/assets/verify-", ".js", "text/javascript; charset=utf-8", verifyScript)

//go:embed rows.js
var rowsScript []byte

// rows is the script that moves through the log's table by keys. Without it the Tab key does.
var rows = newAsset("/assets/rows-", ".js", "text/javascript; charset=utf-8", rowsScript)

// eventWords begins the keys of the sentences for types of event.
const eventWords = "event."

// EventTypes returns the types of event that the pages have a sentence for, in order.
func EventTypes() (all []string) {
	for key := range allTexts["en"] {
		if name, found := strings.CutPrefix(key, eventWords); found && strings.Contains(name, ".") {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// eventFilters are the parameters by which the log is narrowed.
var eventFilters = []string{"category", "type", "role", "organization", "stream", "from", "until", "size"}

// categoriesOfEvents are those of the streams of the log.
var categoriesOfEvents = []string{"access", "audit", "citizen", "consent", "document", "investigation", "mandate", "petition", "refusal", "registry", "release", "term"}

// rolesOfEvents are those in which somebody acts.
var rolesOfEvents = []contract.ActorRole{
	contract.ActorRoleIssuer, contract.ActorRoleConsumer, contract.ActorRoleCitizen, contract.ActorRoleRepresentative, contract.ActorRolePrivacyOfficer, contract.ActorRoleAuditor, contract.ActorRoleOperator,
	contract.ActorRoleSystem,
}

// logView is a page of the log.
type logView struct {
	choices                   []question
	stream, from, until, size string
	leaf                      string // number of the event with which the page begins
	wrong                     bool
	events                    []eventView
	next                      string // address; "": that is all
	state                     folded // what the stream said last, after the events of the page
}

// eventView is an event in words.
type eventView struct {
	leaf, href, at, what, who, stream, streamHref, revision string
	facts                                                   []fact
	changed                                                 []fact // of what the stream said before
	sealed                                                  string // how many bytes are sealed; "": none
}

// serveLog shows the log in its order, narrowed as the address says.
func (p *Pages) serveLog(w http.ResponseWriter, r *http.Request, s session) error {
	p.runs(w.Header())
	return p.showLog(w, r, s, "log.title", "/auditor", rows.path, logPage)
}

// serveStream shows one stream as a story, each event with what is stored of it in clear.
func (p *Pages) serveStream(w http.ResponseWriter, r *http.Request, s session) error {
	if s.query.Get("stream") == "" {
		return errNoPage
	}
	return p.showLog(w, r, s, "stream.title", "/auditor/stream", "", streamPage)
}

func (p *Pages) showLog(w http.ResponseWriter, r *http.Request, s session, title, here, script string, view func(page, logView) templ.Component) error {
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	pg, q := s.page(title), s.query
	pg.script = script
	v := logView{stream: q.Get("stream"), from: q.Get("from"), until: q.Get("until"), size: q.Get("size"), leaf: q.Get("leaf"), choices: pg.eventChoices(registry, q)}
	ask, size, ok := eventQuery(q)
	if !ok {
		v.wrong = true
		return p.show(w, r, http.StatusBadRequest, view(pg, v))
	}
	found, err := get[contract.LogEvents](r.Context(), p, s, "/events", ask)
	if err != nil {
		return err
	}
	more := found.NextCursor != ""
	story := q.Get("stream") != "" && folds(q.Get("stream"))
	if after := q.Get("after"); story && after != "" {
		if v.state, err = p.foldedUntil(r.Context(), s, pg, q.Get("stream"), after); err != nil {
			return err
		}
	}
	for _, e := range found.Items {
		leaf, err := contract.ParseLeafToken(string(e.Cursor))
		if err != nil {
			return err
		}
		if size > 0 && leaf >= size { // recorded after the checkpoint
			more = false
			break
		}
		one := pg.event(registry, e, leaf, q)
		if story {
			v.state, one.changed = v.state.with(pg.tongue, string(e.Type), one.facts)
		}
		v.events = append(v.events, one)
	}
	kept := url.Values{}
	for _, name := range eventFilters {
		if value := q.Get(name); value != "" {
			kept.Set(name, value)
		}
	}
	if more {
		kept.Set("after", string(found.NextCursor))
		v.next = here + "?" + kept.Encode()
	}
	return p.show(w, r, http.StatusOK, view(pg, v))
}

// eventQuery returns what the API is asked for a page of the log, and the number of events of the
// checkpoint as of which it is asked, 0 for now. ok is false for days and numbers that are none.
func eventQuery(q url.Values) (ask url.Values, size int64, ok bool) {
	ask = url.Values{"pageSize": {strconv.Itoa(pageOfEvents)}}
	for _, name := range []string{"category", "type", "role", "organization", "stream", "after"} {
		if value := q.Get(name); value != "" {
			ask.Set(name, value)
		}
	}
	if text := q.Get("leaf"); text != "" && ask.Get("after") == "" {
		leaf, err := strconv.ParseInt(text, 10, 64)
		if err != nil || leaf < 0 {
			return nil, 0, false
		}
		if leaf > 0 {
			ask.Set("after", contract.LeafToken(leaf-1))
		}
	}
	if text := q.Get("size"); text != "" {
		var err error
		if size, err = strconv.ParseInt(text, 10, 64); err != nil || size < 1 {
			return nil, 0, false
		}
	}
	for name, later := range map[string]int{"from": 0, "until": 1} {
		at, wrong := momentFrom(q.Get(name), later)
		if wrong {
			return nil, 0, false
		}
		if at != nil {
			ask.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	return ask, size, true
}

// momentFrom reads a moment, or a day in Belgium as dayFrom does.
func momentFrom(text string, later int) (at *time.Time, wrong bool) {
	if moment, err := domain.ParseTime(text); err == nil {
		return &moment, false
	}
	return dayFrom(text, later)
}

// eventChoices are what the log can be narrowed to.
func (p page) eventChoices(registry contract.Registry, q url.Values) []question {
	ask := func(name string, values []string, words func(string) string) question {
		one := question{name: name, text: p.say("filter." + name), choices: []choice{{"", p.say("filter.all"), q.Get(name) == ""}}}
		for _, v := range values {
			one.choices = append(one.choices, choice{v, words(v), q.Get(name) == v})
		}
		return one
	}
	var roles, organisations []string
	for _, role := range rolesOfEvents {
		roles = append(roles, string(role))
	}
	for _, o := range registry.Organizations {
		organisations = append(organisations, string(o.EnterpriseNumber))
	}
	types := ask("type", EventTypes(), p.eventWords)
	types.text = p.say("log.what")
	return []question{
		ask("category", categoriesOfEvents, func(c string) string { return c }), types, ask("role", roles, p.value),
		ask("organization", organisations, func(o string) string { return p.organisation(registry, contract.EnterpriseNumber(o)) }),
	}
}

// eventWords says what happened, or names the type of a later version.
func (l tongue) eventWords(kind string) string {
	if text, known := allTexts[domain.Language(l)][eventWords+kind]; known {
		return text
	}
	return kind
}

// event puts an event into words; links keep as of which checkpoint somebody reads.
func (p page) event(registry contract.Registry, e contract.LogEvent, leaf int64, q url.Values) eventView {
	number := strconv.FormatInt(leaf, 10)
	v := eventView{
		leaf: number, href: p.to("/auditor/events/"+number, "size", q.Get("size")), at: p.exactly(e.RecordedAt), what: p.eventWords(string(e.Type)), who: p.actor(registry, e.Actor),
		stream: e.Stream, streamHref: p.to("/auditor/stream", "stream", e.Stream, "until", q.Get("until"), "size", q.Get("size")), revision: strconv.FormatInt(e.Revision, 10),
	}
	if facts, err := p.facts(contract.Content(e.Facts)); err == nil {
		v.facts = facts
	}
	if len(e.Sealed) > 0 {
		v.sealed = p.number(int64(len(e.Sealed)))
	}
	return v
}

// exactly returns a moment in Belgium to the second.
func (l tongue) exactly(t time.Time) string {
	return l.moment(t) + t.Format(":05")
}

// actor names who did it: an organisation, a citizen by a short code, or a role.
func (p page) actor(registry contract.Registry, a contract.EventActor) string {
	role := p.value(string(a.Role))
	switch {
	case !a.Organization.IsZero():
		return p.organisation(registry, a.Organization) + " (" + role + ")"
	case !a.CitizenID.IsZero():
		return p.say("people.code", role, page{of: a.CitizenID.String()}.code())
	}
	return role
}

// proofView is one event with all that its proof needs.
type proofView struct {
	eventView
	eventID, kind, recordedAt string
	registry                  string
	clear, metadata, sealed   string // as they are stored; sealed in base64
	micros                    string // the recorded time in microseconds
	clear64, metadata64       string
	checkpoint, path, size    string // path has one hash a line, in base64
	keys                      string // public keys of the log, one a line, in base64
	proof                     string // address of the path for another size
	pending                   bool   // no checkpoint covers the event yet
	bundle, earlier, later    string
}

// serveEvent shows one event as it is stored, and the proof that it is in the log.
func (p *Pages) serveEvent(w http.ResponseWriter, r *http.Request, s session) error {
	leaf, err := leafFrom(r)
	if err != nil {
		return err
	}
	ask := url.Values{"pageSize": {"1"}}
	if leaf > 0 {
		ask.Set("after", contract.LeafToken(leaf-1))
	}
	found, err := get[contract.LogEvents](r.Context(), p, s, "/events", ask)
	if err != nil {
		return err
	}
	if len(found.Items) == 0 {
		return errNoPage
	}
	e := found.Items[0]
	registry, err := p.registry(r.Context())
	if err != nil {
		return err
	}
	keys, err := get[contract.SigningKeys](r.Context(), p, s, "/signingKeys", nil)
	if err != nil {
		return err
	}
	pg, number := s.page("event.title"), strconv.FormatInt(leaf, 10)
	v := proofView{
		eventView: pg.event(registry, e, leaf, s.query), eventID: e.EventID.String(), kind: string(e.Type) + "/" + strconv.Itoa(e.Form), recordedAt: e.RecordedAt.UTC().Format(time.RFC3339Nano),
		clear: string(e.Facts), metadata: string(e.Metadata), sealed: base64.StdEncoding.EncodeToString(e.Sealed), micros: strconv.FormatInt(e.RecordedAt.UnixMicro(), 10),
		clear64: base64.StdEncoding.EncodeToString(e.Facts), metadata64: base64.StdEncoding.EncodeToString(e.Metadata), keys: logKeys(keys), proof: "/auditor/events/" + number + "/proof",
		bundle: "coffre audit bundle --url https://… --token-file t --stream " + e.Stream + " --out one.bundle", later: pg.to("/auditor/events/"+strconv.FormatInt(leaf+1, 10), "size", s.query.Get("size")),
	}
	if e.RegistryVersion != nil {
		v.registry = strconv.FormatInt(int64(*e.RegistryVersion), 10)
	}
	if leaf > 0 {
		v.earlier = pg.to("/auditor/events/"+strconv.FormatInt(leaf-1, 10), "size", s.query.Get("size"))
	}
	proof, err := get[contract.InclusionProof](r.Context(), p, s, "/log/proof/inclusion", proofQuery(number, s.query.Get("size")))
	var refused *refusedError
	switch {
	case err == nil:
		v.checkpoint, v.path, v.size = proof.Checkpoint, hashLines(proof.Hashes), strconv.FormatInt(proof.Size, 10)
	case errors.As(err, &refused) && refused.status < http.StatusInternalServerError:
		v.pending = true
	default:
		return err
	}
	p.scripted(w.Header())
	pg.script = verifier.path
	return p.show(w, r, http.StatusOK, eventPage(pg, v))
}

func proofQuery(leaf, size string) url.Values {
	q := url.Values{"leaf": {leaf}}
	if size != "" {
		q.Set("size", size)
	}
	return q
}

// leafFrom returns the number of an event of the path.
func leafFrom(r *http.Request) (int64, error) {
	leaf, err := strconv.ParseInt(r.PathValue("leaf"), 10, 64)
	if err != nil || leaf < 0 {
		return 0, errNoPage
	}
	return leaf, nil
}

// hashLines returns hashes in base64, one a line.
func hashLines(hashes contract.Hashes) string {
	var b strings.Builder
	for _, h := range hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(h) + "\n")
	}
	return b.String()
}

// logKeys returns the public keys by which the log signs and signed, in base64, one a line.
func logKeys(keys contract.SigningKeys) string {
	var b strings.Builder
	for _, k := range keys.Keys {
		if k.Purpose == contract.SigningPurposeLog {
			b.WriteString(base64.StdEncoding.EncodeToString(k.PublicKey) + "\n")
		}
	}
	return b.String()
}

// serveProof hands on the path from an event to the root of a log of another size.
func (p *Pages) serveProof(w http.ResponseWriter, r *http.Request, s session) error {
	leaf, err := leafFrom(r)
	if err != nil {
		return err
	}
	return p.download(w, r, s, "/log/proof/inclusion?"+proofQuery(strconv.FormatInt(leaf, 10), s.query.Get("size")).Encode(), "")
}

// checkpointView is the last checkpoint, and what it takes to compare an earlier one with it.
type checkpointView struct {
	note, size, keys string
	log              string // address of the log as of the checkpoint
}

// serveCheckpoint shows the last checkpoint of the log, and compares an earlier one with it.
func (p *Pages) serveCheckpoint(w http.ResponseWriter, r *http.Request, s session) error {
	note, err := p.checkpoint(r, s)
	if err != nil {
		return err
	}
	keys, err := get[contract.SigningKeys](r.Context(), p, s, "/signingKeys", nil)
	if err != nil {
		return err
	}
	pg, v := s.page("checkpoint.title"), checkpointView{note: note, keys: logKeys(keys)}
	if lines := strings.SplitN(note, "\n", 3); len(lines) == 3 {
		v.size = lines[1]
		v.log = pg.to("/auditor", "size", v.size)
	}
	p.scripted(w.Header())
	pg.script = verifier.path
	return p.show(w, r, http.StatusOK, checkpointPage(pg, v))
}

// checkpoint returns the last checkpoint, "" while there is none.
func (p *Pages) checkpoint(r *http.Request, s session) (string, error) {
	ask, err := request(r.Context(), s, http.MethodGet, "/log/checkpoint", http.NoBody)
	if err != nil {
		return "", err
	}
	a := &reply{header: http.Header{}}
	p.API.ServeHTTP(a, ask)
	switch a.status {
	case http.StatusOK:
		return a.body.String(), nil
	case http.StatusNotFound:
		return "", nil
	}
	return "", refused(a)
}

// serveConsistency hands on the proof that a smaller log is the beginning of a larger one.
func (p *Pages) serveConsistency(w http.ResponseWriter, r *http.Request, s session) error {
	q := url.Values{"former": {s.query.Get("former")}}
	if size := s.query.Get("size"); size != "" {
		q.Set("size", size)
	}
	return p.download(w, r, s, "/log/proof/consistency?"+q.Encode(), "")
}

// heldView is what a citizen held at a moment, without content.
type heldView struct {
	citizen, asOf string
	asked, wrong  bool
	documents     []inboxItem
	next          string
}

// serveHeld shows what a citizen held, as the vault knew it at a moment. Nothing is opened.
func (p *Pages) serveHeld(w http.ResponseWriter, r *http.Request, s session) error {
	pg, q := s.page("held.title"), s.query
	v := heldView{citizen: q.Get("citizen"), asOf: q.Get("asOf"), asked: q.Has("citizen")}
	if !v.asked {
		return p.show(w, r, http.StatusOK, heldPage(pg, v))
	}
	id, err := uuid.Parse(strings.TrimSpace(v.citizen))
	at, wrong := momentFrom(v.asOf, 1)
	if err != nil || wrong {
		v.wrong = true
		return p.show(w, r, http.StatusBadRequest, heldPage(pg, v))
	}
	ask := s.paged("lang", string(s.tongue))
	if at != nil {
		ask.Set("asOf", at.UTC().Format(time.RFC3339Nano))
	}
	found, err := get[contract.Wallet](r.Context(), p, s, "/citizens/"+id.String()+"/wallet", ask)
	if err != nil {
		return err
	}
	for _, d := range found.Items {
		v.documents = append(v.documents, inboxItem{title: d.Label, facts: []fact{
			{name: pg.say("wallet.state"), value: pg.say("state." + string(d.State))}, {name: pg.say("wallet.validity"), value: pg.validity(d.ValidFrom, d.ValidUntil)},
			{name: pg.say("wallet.issuer"), value: d.IssuerName}, {name: pg.say("held.version"), value: strconv.Itoa(int(d.Version))},
		}, href: pg.to("/auditor/stream", "stream", "document-"+d.DocumentID.String())})
	}
	if found.NextCursor != "" {
		v.next = pg.to("/auditor/wallet", "citizen", id.String(), "asOf", v.asOf, "after", string(found.NextCursor))
	}
	return p.show(w, r, http.StatusOK, heldPage(pg, v))
}

// scripted lets a page run our script, which asks this host alone.
func (p *Pages) scripted(h http.Header) {
	p.runs(h)
	h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), "script-src 'self'", "script-src 'self'; connect-src 'self'", 1))
}

// runs allows a page one of our scripts, which asks nobody.
func (p *Pages) runs(h http.Header) {
	h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), "style-src 'self'", "style-src 'self'; script-src 'self'", 1))
}
