package pages

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"

	"coffre/handlers/edge"
)

// freshTime is how old a login may be for an act that cannot be undone, or that two persons
// decide: whoever finds a browser open does not do it.
const freshTime = 5 * time.Minute

// grave lists the routes of such acts; in that of an operator, those of the acts that end keys
// or what an event would have led to.
var grave = map[string]func(*http.Request) bool{
	"POST /erase":                             always,
	"POST /officer/citizens/{id}/erase":       always,
	"POST /officer/erasures/{id}/approve":     always,
	"POST /officer/holds/{citizen}/{id}/lift": always,
	"POST /operator/acts/{act}": func(r *http.Request) bool {
		act := r.PathValue("act")
		return act == "retire" || act == "trim" || act == "drop"
	},
}

func always(*http.Request) bool { return true }

// isFresh reports whether somebody proved who they are a moment ago.
func (p *Pages) isFresh(at time.Time) bool {
	age := p.Now().Sub(at)
	return age >= -30*time.Second && age <= freshTime // a provider's clock may be ahead
}

// waitingAct is what somebody wants done once they have logged in anew.
type waitingAct struct {
	Path  string     // of the route
	Form  url.Values // as it was sent
	Who   string     // whom it is waiting for
	Login string     // for which login
}

// whoIs returns a digest of who somebody is, for comparing.
func whoIs(c edge.Caller) string {
	sum := sha256.Sum256([]byte(string(c.Role) + "\x00" + c.Subject + "\x00" + c.Citizen.String()))
	return hex.EncodeToString(sum[:])
}

// forAct is the secret under which the one act lies that waits for a session's person.
func (s secret) forAct() (out secret) {
	copy(out[:], s.derive("act"))
	return out
}

// again keeps an act in the database, sealed, for as long as a login may take, and has the person
// log in anew. The act is done after that, or never; another one takes its place.
func (p *Pages) again(w http.ResponseWriter, r *http.Request, s session) error {
	login, at := newSecret(), s.secret.forAct()
	act := waitingAct{Path: r.URL.Path, Form: r.PostForm, Who: whoIs(s.caller), Login: login.state()}
	if err := p.Sessions.End(r.Context(), at.id()); err != nil {
		return err
	}
	if err := p.remember(r.Context(), at, act, maxLogin*time.Second, maxLogin*time.Second); err != nil {
		return err
	}
	if p.Login != nil {
		p.toProviderWith(w, r, login, true)
		return nil
	}
	p.setLogin(w, login)
	http.Redirect(w, r, "/signin", http.StatusSeeOther)
	return nil
}

// setLogin gives a browser the secret of the login that it begins.
func (p *Pages) setLogin(w http.ResponseWriter, login secret) {
	c := p.cookie(p.loginCookieName(), login.text())
	c.MaxAge = maxLogin
	http.SetCookie(w, c)
}

// waiting returns the act that waits in the browser's session for a login; false when none does.
func (p *Pages) waiting(r *http.Request, login secret) (act waitingAct, at secret, waits bool, err error) {
	s, has := secretFrom(r, p.cookieName())
	if !has {
		return act, at, false, nil
	}
	at = s.forAct()
	waits, err = p.recall(r.Context(), at, &act, idleTime)
	return act, at, waits && act.Login == login.state(), err
}

// takeAct returns the act that waits for a login and forgets it; false when none does.
func (p *Pages) takeAct(r *http.Request, login secret) (waitingAct, bool, error) {
	act, at, waits, err := p.waiting(r, login)
	if waits {
		err = p.Sessions.End(r.Context(), at.id())
	}
	return act, waits && err == nil, err
}

// waits reports whether an act waits for the login that a browser began.
func (p *Pages) waits(r *http.Request) bool {
	login, began := secretFrom(r, p.loginCookieName())
	if !began {
		return false
	}
	_, _, waits, err := p.waiting(r, login)
	p.fault(r, err)
	return waits
}

// resume does an act for whoever logged in anew, as the form that was sent, in the session that
// they have now. The address is one of ours: the row that it comes from is made by again alone.
func (p *Pages) resume(w http.ResponseWriter, r *http.Request, act waitingAct, now secret) {
	form := act.Form
	form.Set("form", now.formToken())
	sent, err := http.NewRequestWithContext(r.Context(), http.MethodPost, act.Path, strings.NewReader(form.Encode()))
	if err != nil {
		p.fault(r, err)
		p.wrong(w, r, http.StatusServiceUnavailable)
		return
	}
	sent.RemoteAddr, sent.Host = r.RemoteAddr, r.Host
	sent.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sent.Header.Set("Accept-Language", r.Header.Get("Accept-Language"))
	for _, c := range r.Cookies() {
		if c.Name == languageCookie {
			sent.AddCookie(c)
		}
	}
	sent.AddCookie(&http.Cookie{Name: p.cookieName(), Value: now.text()})
	p.inner.ServeHTTP(w, sent)
}
