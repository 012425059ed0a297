package pages

//go:generate go tool templ generate -path .

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// Pages answers browsers. Fields are required; they are set once, before Handler.
type Pages struct {
	API      http.Handler       // what serves the contract
	Auth     edge.Authenticator // the one that API asks
	Sessions Sessions
	// Login says how people log in at the provider; nil: in a vault for trying out they are
	// believed.
	Login *Login
	// Mint returns an access token for somebody, or an error. It is asked where Login is nil.
	Mint func(Somebody) (string, error)
	// Limits returns the budgets of an operation for its roles; writes says that it takes an
	// Idempotency-Key. nil: the pages for developers tell none.
	Limits func(operation string, roles []domain.Role, writes bool) []Limit
	// Contact is where people turn to who cannot use a page: an address of e-mail, or of a page
	// (https); "": whoever gave them the address of the vault.
	Contact string
	Now     func() time.Time
	Slog    *slog.Logger

	inner http.Handler            // the pages, behind what guards them
	roots []string                // where the paths of pages begin
	menus map[domain.Role][]entry // what people are led to, by role
}

// Somebody is who signs in where people are believed: a citizen by their number, or a person in
// another role.
type Somebody struct {
	SSIN domain.SSIN // of a citizen
	Role domain.Role // of anybody else
	Name string      // tells two persons in one role apart; not of a citizen
}

// maxForm bounds the bytes of a form.
const maxForm = 16 << 10

// apiRoots lists where the paths of the API begin; no path of a page does.
var apiRoots = []string{contract.Base, "/health", "/livez", "/readyz"}

// under reports whether a path is one of the roots, or lies below one.
func under(path string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		rest, found := strings.CutPrefix(path, root)
		return found && (rest == "" || rest[0] == '/')
	})
}

// isOurs reports whether the pages answer a request: those of their own paths, and whatever a
// browser asks for that is no path of the API, so that people read in their language that there
// is no such page. Programs get the API's problem.
func (p *Pages) isOurs(r *http.Request) bool {
	if r.URL.Path == "/" || under(r.URL.Path, p.roots) {
		return true
	}
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") && !under(r.URL.Path, apiRoots)
}

// session is a request of somebody who is logged in.
type session struct {
	tongue
	secret secret
	token  string
	caller edge.Caller
	menu   []entry
	path   string     // of the page
	query  url.Values // of the page
	of     string     // id of the citizen in whose name they act; "": in their own
	at     time.Time  // when they proved who they are
	seen   string     // position that pages have to show; "": whatever they show
}

// whose returns the id of the citizen whom a page is about.
func (s session) whose() string { return cmp.Or(s.of, s.caller.Citizen.String()) }

// entry is a page that people are led to from every page.
type entry struct{ path, text string }

// page is what a frame shows.
type page struct {
	tongue
	title     string
	formToken string // "": nobody is logged in
	menu      []entry
	path      string
	query     url.Values
	of        string
	script    string // address of the script that adds to the page; "": none does
	refresh   string // seconds after which a browser without scripts loads the page anew; "": it does not
}

func (s session) page(title string) page {
	return page{s.tongue, s.say(title), s.secret.formToken(), s.menu, s.path, s.query, s.of, "", ""}
}

// pageOf returns a page with the title that it has for one's own data, or for another's.
func (s session) pageOf(own, of string) page {
	pg := s.page(own)
	pg.title = pg.whose(own, of)
	return pg
}

// to returns the address of a page with pairs of a name and a value, in whose name ever one
// acts. Pairs without a value are left out.
func (p page) to(path string, pairs ...string) string {
	query := url.Values{}
	if p.of != "" {
		query.Set("of", p.of)
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	return (&url.URL{Path: path, RawQuery: query.Encode()}).String()
}

// speaking returns the address of the same page in another language.
func (p page) speaking(lang string) string {
	query := url.Values{}
	maps.Copy(query, p.query)
	query.Set("lang", lang)
	return "?" + query.Encode()
}

// code is a short name of the citizen in whose name somebody acts.
func (p page) code() string { return strings.ToUpper(p.of[:4]) }

// key returns a new key for a form: however often the form is sent, it has one effect.
func (page) key() string { return uuid.NewString() }

// personal is a route of those who are logged in: its pattern, the text by which people are
// led to it from every page ("" for one that nobody is led to), and the roles that may use it.
type personal struct {
	pattern, menu string
	roles         []domain.Role
	serve         func(p *Pages, w http.ResponseWriter, r *http.Request, s session) error
}

var (
	citizens  = []domain.Role{domain.RoleCitizen}
	officers  = []domain.Role{domain.RolePrivacyOfficer}
	auditors  = []domain.Role{domain.RoleAuditor}
	operators = []domain.Role{domain.RoleOperator}
)

// believed are the persons in other roles than the citizen's as whom somebody signs in where
// people are believed, by what the form calls them. Two are privacy officers: whoever asked for
// an erasure cannot approve it.
var believed = map[string]Somebody{
	"auditor":  {Role: domain.RoleAuditor, Name: "page auditor"},
	"officer1": {Role: domain.RolePrivacyOfficer, Name: "page officer 1"},
	"officer2": {Role: domain.RolePrivacyOfficer, Name: "page officer 2"},
	"operator": {Role: domain.RoleOperator, Name: "page operator"},
}

// personals are the routes of those who are logged in, one a line.
var personals = []personal{
	{"GET /wallet", "menu.wallet", citizens, (*Pages).serveWallet},
	{"GET /documents/{id}", "", citizens, (*Pages).serveDocument},
	{"GET /documents/{id}/files/{file}", "", citizens, (*Pages).serveFile},
	{"GET /looked", "menu.looked", citizens, (*Pages).serveLooked},
	{"GET /looked/each", "", citizens, (*Pages).serveLookedEach},
	{"GET /consents", "menu.consents", citizens, (*Pages).serveConsents},
	{"GET /consents/{id}", "", citizens, (*Pages).serveConsent},
	{"GET /consents/{id}/looked", "", citizens, (*Pages).serveConsentLooked},
	{"POST /consents/{id}/answer", "", citizens, (*Pages).answerConsent},
	{"POST /consents/{id}/stop", "", citizens, (*Pages).answerStop},
	{"GET /people", "menu.people", citizens, (*Pages).servePeople},
	{"POST /people", "", citizens, (*Pages).answerMandateGrant},
	{"POST /people/{id}", "", citizens, (*Pages).answerMandate},
	{"GET /data", "menu.data", citizens, (*Pages).serveData},
	{"POST /data/report", "", citizens, (*Pages).answerReport},
	{"GET /erase", "", citizens, (*Pages).serveErase},
	{"POST /erase", "", citizens, (*Pages).answerErase},
	{"GET /erasures/{id}", "", citizens, (*Pages).serveErasure},
	{"GET /erasures/{id}/certificate", "", citizens, (*Pages).serveCertificate},
	{"GET /preferences", "", citizens, (*Pages).servePreferences},
	{"POST /preferences", "", citizens, (*Pages).answerPreferences},
	{"GET /petitions", "", citizens, (*Pages).servePetitions},
	{"GET /petitions/{id}", "", citizens, (*Pages).servePetition},
	{"GET /dispute", "", citizens, (*Pages).serveDispute},
	{"POST /dispute", "", citizens, (*Pages).answerDispute},
	{"GET /officer", "menu.figures", officers, (*Pages).serveFigures},
	{"GET /officer/trend", "", officers, (*Pages).serveTrend},
	{"GET /officer/citizen", "menu.lookup", officers, (*Pages).serveLookup},
	{"POST /officer/citizen", "", officers, (*Pages).answerLookup},
	{"GET /officer/citizens/{id}", "", officers, (*Pages).serveCitizen},
	{"GET /officer/citizens/{id}/looked", "", officers, (*Pages).serveCitizenLooked},
	{"POST /officer/citizens/{id}/hold", "", officers, (*Pages).answerHold},
	{"POST /officer/citizens/{id}/erase", "", officers, (*Pages).answerOfficerErase},
	{"GET /officer/weeks", "", officers, (*Pages).serveWeeks},
	{"GET /officer/consents", "menu.consentLog", officers, (*Pages).serveConsentLog},
	{"GET /officer/consents/{id}", "", officers, (*Pages).serveConsentHistory},
	{"GET /officer/consents/{id}/looked", "", officers, (*Pages).serveConsentUses},
	{"GET /officer/consents/{id}/receipt", "", officers, (*Pages).serveReceipt},
	{"GET /officer/exports", "menu.exports", officers, (*Pages).serveExports},
	{"POST /officer/exports", "", officers, (*Pages).answerExport},
	{"GET /officer/exports/{id}", "", officers, (*Pages).serveExport},
	{"POST /officer/exports/{id}/cancel", "", officers, (*Pages).answerCancel},
	{"GET /officer/exports/{id}/content", "", officers, (*Pages).serveExportContent},
	{"GET /officer/exports/{id}/manifest", "", officers, (*Pages).serveExportManifest},
	{"GET /officer/inbox", "menu.inbox", officers, (*Pages).serveInbox},
	{"GET /officer/inbox/{list}", "", officers, (*Pages).serveInboxList},
	{"GET /officer/erasures/{id}", "", officers, (*Pages).serveAskedErasure},
	{"POST /officer/erasures/{id}/approve", "", officers, (*Pages).answerApprove},
	{"GET /officer/erasures/{id}/certificate", "", officers, (*Pages).serveCertificate},
	{"GET /officer/holds/{citizen}/{id}", "", officers, (*Pages).serveHold},
	{"POST /officer/holds/{citizen}/{id}/lift", "", officers, (*Pages).answerLift},
	{"GET /officer/petitions/{id}", "", officers, (*Pages).servePetitionToAnswer},
	{"POST /officer/petitions/{id}/answer", "", officers, (*Pages).answerPetition},
	{"POST /officer/petitions/{id}/extend", "", officers, (*Pages).answerExtend},
	{"GET /officer/register", "menu.register", officers, (*Pages).serveRegister},
	{"GET /officer/register/file", "", officers, (*Pages).serveRegisterFile},
	{"GET /auditor", "menu.log", auditors, (*Pages).serveLog},
	{"GET /auditor/stream", "", auditors, (*Pages).serveStream},
	{"GET /auditor/events/{leaf}", "", auditors, (*Pages).serveEvent},
	{"GET /auditor/events/{leaf}/proof", "", auditors, (*Pages).serveProof},
	{"GET /auditor/checkpoint", "menu.checkpoint", auditors, (*Pages).serveCheckpoint},
	{"GET /auditor/checkpoint/consistency", "", auditors, (*Pages).serveConsistency},
	{"GET /auditor/wallet", "menu.held", auditors, (*Pages).serveHeld},
	{"GET /auditor/drift", "menu.drift", auditors, (*Pages).serveDrift},
	{"POST /auditor/drift", "", auditors, (*Pages).answerDrift},
	{"GET /auditor/drift/{id}", "", auditors, (*Pages).serveComparison},
	{"GET /operator", "menu.operator", operators, (*Pages).serveOperator},
	{"GET /operator/keys", "menu.keys", operators, (*Pages).serveKeys},
	{"GET /operator/reactors", "menu.reactors", operators, (*Pages).serveReactors},
	{"GET /operator/traffic", "menu.traffic", operators, (*Pages).serveTraffic},
	{"GET /operator/acts/{act}", "", operators, (*Pages).serveAct},
	{"POST /operator/acts/{act}", "", operators, (*Pages).answerAct},
}

// Roles returns the roles that have pages.
func Roles() (all []domain.Role) {
	for _, route := range personals {
		for _, role := range route.roles {
			if !slices.Contains(all, role) {
				all = append(all, role)
			}
		}
	}
	return all
}

// Handler returns the pages, and the API for every path that is none of theirs. Where people are
// believed, pages are served on this machine alone, by its own names.
func (p *Pages) Handler() http.Handler {
	p.roots = []string{"/signin", "/signout", "/signedout", "/accessibility", "/assets", portalPath, manifestPath, workerPath, offlinePath}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.home)
	mux.HandleFunc("GET /signin", func(w http.ResponseWriter, r *http.Request) { p.signIn(w, r, http.StatusOK, false) })
	if p.Login == nil {
		mux.HandleFunc("POST /signin", p.answerSignIn)
	} else {
		mux.HandleFunc("POST /signin", p.toProvider)
		mux.HandleFunc("GET "+backPath, p.fromProvider)
	}
	mux.HandleFunc("POST /signout", p.signOut)
	mux.HandleFunc("GET /signedout", func(w http.ResponseWriter, r *http.Request) {
		l := spoken(r)
		p.fault(r, p.show(w, r, http.StatusOK, signedOutPage(page{tongue: l, title: l.say("signedOut.title")})))
	})
	mux.HandleFunc("GET /accessibility", func(w http.ResponseWriter, r *http.Request) {
		l := spoken(r)
		p.fault(r, p.show(w, r, http.StatusOK, accessibilityPage(page{tongue: l, title: l.say("access.title")}, p.Contact)))
	})
	mux.HandleFunc("GET "+stylesheet.path, stylesheet.serve)
	mux.HandleFunc("GET "+verifier.path, verifier.serve)
	mux.HandleFunc("GET "+rows.path, rows.serve)
	p.portalRoutes(mux)
	mux.HandleFunc("GET "+progress.path, progress.serve)
	p.installRoutes(mux)
	p.menus = make(map[domain.Role][]entry)
	for _, route := range personals {
		mux.HandleFunc(route.pattern, p.personal(route))
		_, path, _ := strings.Cut(route.pattern, " ")
		for _, role := range route.roles {
			if route.menu != "" {
				p.menus[role] = append(p.menus[role], entry{path, route.menu})
			}
		}
		p.roots = append(p.roots, "/"+strings.SplitN(path, "/", 3)[1])
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { p.wrong(w, r, http.StatusNotFound) })
	p.inner = mux
	guarded := http.NewCrossOriginProtection()
	guarded.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.wrong(w, r, http.StatusForbidden) }))
	if p.Login != nil {
		if err := guarded.AddTrustedOrigin(p.Login.Public.Scheme + "://" + p.Login.Public.Host); err != nil { // a broken configuration
			panic(err)
		}
	}
	inner := guarded.Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.isOurs(r) {
			p.API.ServeHTTP(w, r)
			return
		}
		p.headers(w.Header())
		if p.Login == nil && !here(r) {
			p.wrong(w, r, http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if r.Method == http.MethodGet && chooseLanguage(w, r) {
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// headers sets those of every page. The stylesheet's own replace Cache-Control.
func (p *Pages) headers(h http.Header) {
	h.Set("Cache-Control", "no-store")
	forms := "'self'"
	if p.Login != nil {
		forms += p.Login.origins()
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; manifest-src 'self'; form-action "+forms+"; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// here reports whether a request comes from this machine, under one of its own names: a name
// of somebody else that leads here (DNS rebinding) is none.
func here(r *http.Request) bool {
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && loopback(from) && loopback((&url.URL{Host: r.Host}).Hostname())
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// chooseLanguage answers a request for a page in another language: the choice is kept, and the
// browser sent to the page itself, on this host whatever its address says.
func chooseLanguage(w http.ResponseWriter, r *http.Request) bool {
	query := r.URL.Query()
	if !known(query.Get("lang")) {
		return false
	}
	http.SetCookie(w, &http.Cookie{Name: languageCookie, Value: query.Get("lang"), Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	query.Del("lang")
	to := (&url.URL{Path: r.URL.Path, RawQuery: query.Encode()}).String()
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return true
}

// personal returns a route behind its session and its roles.
func (p *Pages) personal(route personal) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, held := edge.WithHeld(r.Context())
		defer held.Release()
		r = r.WithContext(ctx)
		s, err := p.sessionOf(r)
		if err == nil && !slices.Contains(route.roles, s.caller.Role) {
			err = &refusedError{status: http.StatusForbidden}
		}
		if err == nil {
			err = s.read(r)
		}
		if err == nil && s.caller.Role == domain.RoleCitizen && s.caller.Citizen.IsZero() && s.of == "" && s.path != "/wallet" {
			http.Redirect(w, r, "/wallet", http.StatusSeeOther) // the vault does not know them, and says so there
			return
		}
		if isGrave := grave[route.pattern]; err == nil && isGrave != nil && isGrave(r) && !p.isFresh(s.at) {
			err = p.again(w, r, s)
		} else if err == nil {
			err = route.serve(p, w, r, s)
		}
		var refused *refusedError
		switch {
		case err == nil:
		case errors.Is(err, errNoSession):
			http.Redirect(w, r, "/signin", http.StatusSeeOther)
		case errors.As(err, &refused):
			p.refuse(w, r, refused)
		default:
			p.fault(r, err)
			p.wrong(w, r, http.StatusServiceUnavailable)
		}
	}
}

// sessionOf returns who sends a request, or errNoSession.
func (p *Pages) sessionOf(r *http.Request) (s session, err error) {
	s.tongue = spoken(r)
	g, secret, err := p.grantedOf(r)
	if err != nil {
		return s, err
	}
	s.token, s.secret, s.at = g.Access, secret, g.At
	s.caller, err = p.Auth.Authenticate(r.Context(), token.Bearer(s.token))
	s.menu = p.menus[s.caller.Role]
	if errors.Is(err, token.ErrInvalid) || errors.Is(err, token.ErrExpired) {
		return s, errNoSession
	}
	return s, err
}

// read reads what every page is asked with: in whose name one acts and, of a form, that it is
// one of this session.
func (s *session) read(r *http.Request) error {
	s.path, s.query = r.URL.Path, r.URL.Query()
	s.seen = s.query.Get("at")
	if s.caller.Role == domain.RoleCitizen { // nobody else acts in another's name
		s.of = s.query.Get("of")
	}
	if r.Method == http.MethodPost {
		if r.ParseForm() != nil {
			return &refusedError{status: http.StatusBadRequest}
		}
		if !s.secret.fits(r.PostForm.Get("form")) {
			return &refusedError{status: http.StatusForbidden}
		}
		if s.caller.Role == domain.RoleCitizen {
			s.of = r.PostForm.Get("of")
		}
	}
	if s.of == "" {
		return nil
	}
	of, err := uuid.Parse(s.of)
	if s.of = of.String(); err != nil {
		return errNoPage
	}
	return nil
}

// errNoPage says that an address leads nowhere.
var errNoPage = &refusedError{status: http.StatusNotFound}

// idFrom returns an id of the path; one that nothing can have is errNoPage.
func idFrom(r *http.Request, name string) (string, error) {
	id, err := uuid.Parse(r.PathValue(name))
	if err != nil {
		return "", errNoPage
	}
	return id.String(), nil
}

// signIn shows the form for whoever tries the vault out.
func (p *Pages) signIn(w http.ResponseWriter, r *http.Request, status int, wrong bool) {
	l := spoken(r)
	p.installable(w.Header())
	if p.Login != nil {
		p.fault(r, p.show(w, r, status, loginPage(page{tongue: l, title: l.say("login.title"), script: installer.path})))
		return
	}
	var roles []string // those of believed that have pages
	for _, name := range slices.Sorted(maps.Keys(believed)) {
		if p.hasPages(believed[name].Role) {
			roles = append(roles, name)
		}
	}
	p.fault(r, p.show(w, r, status, signInPage(page{tongue: l, title: l.say("signIn.title"), script: installer.path}, wrong, p.waits(r), roles)))
}

func (p *Pages) answerSignIn(w http.ResponseWriter, r *http.Request) {
	if r.ParseForm() != nil {
		p.wrong(w, r, http.StatusBadRequest)
		return
	}
	who, err := believed[r.PostForm.Get("as")], error(nil)
	if who.Role == "" {
		who.Role = domain.RoleCitizen
		if who.SSIN, err = domain.ParseSSIN(strings.TrimSpace(r.PostForm.Get("number"))); err != nil {
			p.signIn(w, r, http.StatusBadRequest, true)
			return
		}
	}
	var act waitingAct
	waits := false
	if login, began := secretFrom(r, devLoginCookie); began {
		act, waits, err = p.takeAct(r, login)
		gone := p.cookie(devLoginCookie, "")
		gone.MaxAge = -1
		http.SetCookie(w, gone)
	}
	g := granted{At: p.Now()}
	if err == nil {
		g.Access, err = p.Mint(who)
	}
	caller := edge.Caller{Role: who.Role}
	if err == nil && waits {
		caller, err = p.Auth.Authenticate(r.Context(), token.Bearer(g.Access))
	}
	if err != nil {
		p.fault(r, err)
		p.wrong(w, r, http.StatusServiceUnavailable)
		return
	}
	p.enter(w, r, g, caller, act, waits)
}

// homeOf returns the address of the first page that a role is led to; that of the login for a
// role without pages.
func (p *Pages) homeOf(role domain.Role) string {
	if p.hasPages(role) {
		return p.menus[role][0].path
	}
	return "/signin"
}

// home leads whoever is logged in to the first page of their role.
func (p *Pages) home(w http.ResponseWriter, r *http.Request) {
	s, err := p.sessionOf(r)
	if err != nil && !errors.Is(err, errNoSession) {
		p.fault(r, err)
		p.wrong(w, r, http.StatusServiceUnavailable)
		return
	}
	http.Redirect(w, r, p.homeOf(s.caller.Role), http.StatusSeeOther)
}

// signOut ends the session before it says so, and then the one at the provider. A form of
// another session ends nothing.
func (p *Pages) signOut(w http.ResponseWriter, r *http.Request) {
	s, has := secretFrom(r, p.cookieName())
	g := granted{}
	switch {
	case r.ParseForm() != nil:
		p.wrong(w, r, http.StatusBadRequest)
		return
	case has && !s.fits(r.PostForm.Get("form")):
		p.wrong(w, r, http.StatusForbidden)
		return
	case has:
		var err error
		if g, _, err = p.grantedOf(r); err == nil || errors.Is(err, errNoSession) {
			err = p.Sessions.End(r.Context(), s.id())
		}
		if err != nil {
			p.fault(r, err)
			p.wrong(w, r, http.StatusServiceUnavailable)
			return
		}
	}
	p.forget(w)
	to := "/signedout"
	if p.Login != nil && has {
		to = p.Login.end(g, to)
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// wrong shows why there is no page. Statuses that have no words of their own are 503.
func (p *Pages) wrong(w http.ResponseWriter, r *http.Request, status int) {
	switch status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusGone, http.StatusTooManyRequests:
	default:
		status = http.StatusServiceUnavailable
	}
	l, key := spoken(r), "wrong."+strconv.Itoa(status)
	p.fault(r, p.show(w, r, status, wrongPage(page{tongue: l, title: l.say(key + ".title")}, l.say(key+".text"))))
}

// refuse shows why the API refused: in words of its own where there are some for the slug.
func (p *Pages) refuse(w http.ResponseWriter, r *http.Request, refused *refusedError) {
	l := spoken(r)
	if text, known := allTexts[domain.Language(l)]["refused."+refused.slug]; known {
		p.fault(r, p.show(w, r, refused.status, wrongPage(page{tongue: l, title: l.say("refused")}, text)))
		return
	}
	p.wrong(w, r, refused.status)
}

// show sends a page, made whole first, in pieces, while what it holds may be sent.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, status int, view templ.Component) error {
	var made bytes.Buffer
	if err := view.Render(r.Context(), &made); err != nil {
		return err
	}
	held := edge.HeldBy(r.Context())
	for began := false; made.Len() > 0; began = true {
		if err := held.MaySend(r.Context(), w); err != nil {
			if began {
				panic(http.ErrAbortHandler) // what came is not a whole page
			}
			return err
		}
		if !began {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(status)
		}
		if _, err := w.Write(made.Next(edge.PieceSize)); err != nil {
			return nil // the browser has gone
		}
	}
	_ = http.NewResponseController(w).Flush() // under the deadline, before the leases end
	return nil
}

// fault tells the log of an error that is nobody's in the browser; it holds nothing personal.
func (p *Pages) fault(r *http.Request, err error) {
	if err != nil {
		p.Slog.ErrorContext(r.Context(), "a page failed", slog.Any("error", err))
	}
}

//go:embed style.css
var style []byte

// asset is a file that never changes under its name.
type asset struct {
	path, kind     string // kind is the media type
	plain, smaller []byte
}

var stylesheet = newAsset("/assets/style-", ".css", "text/css; charset=utf-8", style)

func newAsset(before, after, kind string, content []byte) asset {
	sum := sha256.Sum256(content)
	var small bytes.Buffer
	z, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(content)
	}
	if err = errors.Join(err, z.Close()); err != nil { // memory takes everything
		panic(err)
	}
	return asset{before + hex.EncodeToString(sum[:8]) + after, kind, content, small.Bytes()}
}

func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Type", a.kind)
	h.Set("Vary", "Accept-Encoding")
	b := a.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		b = a.smaller
	}
	_, _ = w.Write(b) // the browser has gone
}
