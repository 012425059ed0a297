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
	devCookie     = "coffre-dev-session"
	sessionCookie = "__Host-coffre-session"
	loginCookie   = "__Host-coffre-login"
)

// cookieName is the name of the cookie of sessions.
func (p *Pages) cookieName() string {
	if p.Login == nil {
		return devCookie
	}
	return sessionCookie
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
}

// begin begins a session for what was granted. Its id is new, whatever the browser had before.
func (p *Pages) begin(w http.ResponseWriter, r *http.Request, g granted) error {
	if old, had := secretFrom(r, p.cookieName()); had {
		if err := p.Sessions.End(r.Context(), old.id()); err != nil {
			return err
		}
	}
	s, now := newSecret(), p.Now()
	seal, err := s.cipher()
	if err != nil {
		return fmt.Errorf("seal a session: %w", err)
	}
	content, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("seal a session: %w", err)
	}
	id := s.id()
	if err := p.Sessions.Begin(r.Context(), id, seal.Seal(nil, nil, content, id), now, now.Add(idleTime), now.Add(sessionTime)); err != nil {
		return err
	}
	http.SetCookie(w, p.cookie(p.cookieName(), s.text()))
	return nil
}

var errNoSession = errors.New("nobody is logged in")

// grantedOf returns what was granted to the request's session, or errNoSession.
func (p *Pages) grantedOf(r *http.Request) (g granted, s secret, err error) {
	s, ok := secretFrom(r, p.cookieName())
	if !ok {
		return g, s, errNoSession
	}
	now, id := p.Now(), s.id()
	sealed, err := p.Sessions.Use(r.Context(), id, now, now.Add(idleTime))
	if err != nil {
		return g, s, err
	}
	if sealed == nil {
		return g, s, errNoSession
	}
	seal, err := s.cipher()
	if err != nil {
		return g, s, fmt.Errorf("open a session: %w", err)
	}
	opened, err := seal.Open(nil, nil, sealed, id)
	if err != nil || json.Unmarshal(opened, &g) != nil {
		return granted{}, s, errNoSession // a row that was changed is nobody's
	}
	return g, s, nil
}

// forget has the browser drop the cookie and what it keeps of the pages.
func (p *Pages) forget(w http.ResponseWriter) {
	gone := p.cookie(p.cookieName(), "")
	gone.MaxAge = -1
	http.SetCookie(w, gone)
	w.Header().Set("Clear-Site-Data", `"cache"`)
}
