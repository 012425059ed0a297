package pages

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// For how long a session lasts: idleTime after its last request, sessionTime in any case.
const (
	idleTime    = 15 * time.Minute
	sessionTime = 8 * time.Hour
)

// Names of cookies. Those of a vault for trying out are not of __Host- and not Secure: they go
// over plain HTTP on loopback.
const (
	devCookie      = "coffre-dev-session"
	devLoginCookie = "coffre-dev-login"
	sessionCookie  = "__Host-coffre-session"
	loginCookie    = "__Host-coffre-login"
)

// unattended is a header of what a page's script asks for by itself: it does not keep a session that
// nobody uses.
const unattended = "Coffre-Unattended"

// cookieName is the name of the cookie of sessions.
func (p *Pages) cookieName() string {
	if p.Login == nil {
		return devCookie
	}
	return sessionCookie
}

// loginCookieName is the name of the cookie of a login that was begun.
func (p *Pages) loginCookieName() string {
	if p.Login == nil {
		return devLoginCookie
	}
	return loginCookie
}

// cookie returns a cookie with those attributes that every one of the pages has, which lasts as
// long as the browser runs.
func (p *Pages) cookie(name, value string) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: p.Login != nil, SameSite: http.SameSiteLaxMode}
}

// Sessions is the port to what all processes remember of sessions. sessions.Table implements
// it. Its methods may be called concurrently.
type Sessions interface {
	// Begin remembers a session durably, or returns why not.
	Begin(ctx context.Context, id, sealed []byte, now, idle, until time.Time) error
	// Use returns what was sealed of a session and extends it until idle; nil when there is
	// none, it was ended or it is over.
	Use(ctx context.Context, id []byte, now, idle time.Time) (sealed []byte, err error)
	// End forgets a session durably; there may be none.
	End(ctx context.Context, id []byte) error
}

// secret is what a browser has of a session, and nobody else: 32 random bytes.
type secret [32]byte

func newSecret() (s secret) {
	rand.Read(s[:]) // never fails, says crypto/rand
	return s
}

// text returns the secret as a cookie holds it.
func (s secret) text() string { return base64.RawURLEncoding.EncodeToString(s[:]) }

// secretFrom reads the secret of a request in a cookie; false when it has none.
func secretFrom(r *http.Request, cookie string) (s secret, ok bool) {
	all := r.CookiesNamed(cookie)
	if len(all) != 1 {
		return s, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(all[0].Value)
	return s, err == nil && len(b) == len(s) && copy(s[:], b) == len(s)
}

// derive returns what the secret gives for one use, from which neither it nor what it gives for
// another use can be had.
func (s secret) derive(use string) []byte {
	mac := hmac.New(sha256.New, s[:])
	mac.Write([]byte("coffre/page-session/v1\x00" + use))
	return mac.Sum(nil)
}

func (s secret) id() []byte { return s.derive("id") }

// formToken stands in every form of the session, and in no other page.
func (s secret) formToken() string { return base64.RawURLEncoding.EncodeToString(s.derive("form")) }

func (s secret) fits(formToken string) bool {
	return subtle.ConstantTimeCompare([]byte(formToken), []byte(s.formToken())) == 1
}

func (s secret) cipher() (cipher.AEAD, error) {
	block, err := aes.NewCipher(s.derive("seal"))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// granted is what the provider gave for a login.
type granted struct {
	Access string // the access token
	ID     string `json:",omitempty"` // the ID token, which says to the provider whom to log out
	// At is when the person proved who they are; zero: it is not known, and so long ago.
	At time.Time `json:",omitzero"`
}

// begin begins a session for what was granted, and returns its secret. Its id is new, whatever the
// browser had before.
func (p *Pages) begin(w http.ResponseWriter, r *http.Request, g granted) (secret, error) {
	if old, had := secretFrom(r, p.cookieName()); had {
		if err := p.Sessions.End(r.Context(), old.id()); err != nil {
			return old, err
		}
	}
	s := newSecret()
	if err := p.remember(r.Context(), s, g, idleTime, sessionTime); err != nil {
		return s, err
	}
	http.SetCookie(w, p.cookie(p.cookieName(), s.text()))
	return s, nil
}

// remember keeps something under a secret, in a row that nobody finds or opens without it.
func (p *Pages) remember(ctx context.Context, s secret, what any, idle, until time.Duration) error {
	seal, err := s.cipher()
	if err != nil {
		return fmt.Errorf("seal a session: %w", err)
	}
	content, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("seal a session: %w", err)
	}
	id, now := s.id(), p.Now()
	return p.Sessions.Begin(ctx, id, seal.Seal(nil, nil, content, id), now, now.Add(idle), now.Add(until))
}

// recall reads what was kept under a secret; false when there is nothing, or it is over.
func (p *Pages) recall(ctx context.Context, s secret, what any, idle time.Duration) (bool, error) {
	now, id := p.Now(), s.id()
	sealed, err := p.Sessions.Use(ctx, id, now, now.Add(idle))
	if err != nil || sealed == nil {
		return false, err
	}
	seal, err := s.cipher()
	if err != nil {
		return false, fmt.Errorf("open a session: %w", err)
	}
	opened, err := seal.Open(nil, nil, sealed, id)
	return err == nil && json.Unmarshal(opened, what) == nil, nil // a row that was changed is nobody's
}

var errNoSession = errors.New("nobody is logged in")

// grantedOf returns what was granted to the request's session, or errNoSession.
func (p *Pages) grantedOf(r *http.Request) (g granted, s secret, err error) {
	s, ok := secretFrom(r, p.cookieName())
	if !ok {
		return g, s, errNoSession
	}
	idle := idleTime
	if r.Header.Get(unattended) != "" {
		idle = 0
	}
	found, err := p.recall(r.Context(), s, &g, idle)
	if err == nil && !found {
		return granted{}, s, errNoSession
	}
	return g, s, err
}

// forget has the browser drop the cookie and what it keeps of the pages.
func (p *Pages) forget(w http.ResponseWriter) {
	gone := p.cookie(p.cookieName(), "")
	gone.MaxAge = -1
	http.SetCookie(w, gone)
	w.Header().Set("Clear-Site-Data", `"cache"`)
}
