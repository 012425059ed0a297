package pages

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"coffre/domain"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// Login says how people log in: at an OpenID provider, by authorization code with PKCE (RFC
// 7636), as a client with a secret. All fields but Secret are required.
type Login struct {
	Provider Provider
	ClientID string
	Secret   string // "": a public client
	Scopes   []string
	Public   *url.URL // where browsers reach the pages
	// SignIns judges the ID tokens of the client.
	SignIns SignIns
}

// SignIns is the port to what ID tokens say. token.SignIns implements it.
type SignIns interface {
	// SignIn returns what an ID token says of the login with a nonce. Errors that wrap
	// token.ErrInvalid or token.ErrExpired mean that it does not count.
	SignIn(ctx context.Context, idToken, nonce string) (token.SignIn, error)
}

// Provider is the port to the OpenID provider. token.ProviderKeys implements it.
type Provider interface {
	// Login returns where the provider logs people in, or why that is not known now.
	Login() (token.Endpoints, error)
	// Client returns what asks the provider; its answers are bounded.
	Client() *http.Client
}

// backPath is where the provider sends browsers back.
const backPath = "/signin/back"

// errNoLogin says that the provider names no endpoint at which people log in.
var errNoLogin = errors.New("the identity provider names no authorization_endpoint and token_endpoint")

func (l *Login) config() (*oauth2.Config, error) {
	at, err := l.Provider.Login()
	if err != nil {
		return nil, err
	}
	if at.Authorization == "" || at.Token == "" {
		return nil, errNoLogin
	}
	style := oauth2.AuthStyleInHeader
	if l.Secret == "" {
		style = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: l.ClientID, ClientSecret: l.Secret, Scopes: l.Scopes, RedirectURL: l.Public.JoinPath(backPath).String(),
		Endpoint: oauth2.Endpoint{AuthURL: at.Authorization, TokenURL: at.Token, AuthStyle: style},
	}, nil
}

// origins returns those hosts of the provider to which forms of the pages lead, each after a
// blank, for a content security policy.
func (l *Login) origins() (all string) {
	at, err := l.Provider.Login()
	if err != nil {
		return ""
	}
	for _, one := range []string{at.Authorization, at.EndSession} {
		if u, err := url.Parse(one); err == nil && u.Host != "" {
			all += " " + u.Scheme + "://" + u.Host
		}
	}
	return all
}

// end returns the address at which the session at the provider ends, from which browsers come
// back to a page; that page where the provider has no such address.
func (l *Login) end(g granted, back string) string {
	at, err := l.Provider.Login()
	if err != nil || at.EndSession == "" {
		return back
	}
	query := url.Values{"client_id": {l.ClientID}, "post_logout_redirect_uri": {l.Public.JoinPath(back).String()}}
	if g.ID != "" {
		query.Set("id_token_hint", g.ID)
	}
	return at.EndSession + "?" + query.Encode()
}

// The secret of a login lies in a cookie of the browser that began it, and nowhere else. What is
// derived from it binds the way back to that browser, and the code to this login.
func (s secret) state() string { return base64.RawURLEncoding.EncodeToString(s.derive("state")) }

func (s secret) verifier() string {
	return base64.RawURLEncoding.EncodeToString(s.derive("verifier"))
}

func (s secret) nonce() string { return base64.RawURLEncoding.EncodeToString(s.derive("nonce")) }

// maxLogin is for how many seconds somebody may take to log in.
const maxLogin = 600

// toProvider sends the browser to the provider.
func (p *Pages) toProvider(w http.ResponseWriter, r *http.Request) {
	p.toProviderWith(w, r, newSecret(), false)
}

// toProviderWith sends the browser to the provider for the login of a secret. anew asks for a
// login now, whatever session there is at the provider.
func (p *Pages) toProviderWith(w http.ResponseWriter, r *http.Request, login secret, anew bool) {
	config, err := p.Login.config()
	if err != nil {
		p.fault(r, err)
		p.wrong(w, r, http.StatusServiceUnavailable)
		return
	}
	p.setLogin(w, login)
	ask := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(login.verifier()), oauth2.SetAuthURLParam("nonce", login.nonce()), oauth2.SetAuthURLParam("ui_locales", string(spoken(r)))}
	if anew { // max_age has the provider say when, prompt has it ask
		ask = append(ask, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	http.Redirect(w, r, config.AuthCodeURL(login.state(), ask...), http.StatusSeeOther)
}

// fromProvider begins a session for whoever comes back from the provider in the browser that
// went there, and does the act that waited for them. Whoever has no pages is told so, and logged
// in nowhere.
func (p *Pages) fromProvider(w http.ResponseWriter, r *http.Request) {
	gone := p.cookie(loginCookie, "")
	gone.MaxAge = -1
	http.SetCookie(w, gone) // it counts once
	s, has := secretFrom(r, loginCookie)
	query := r.URL.Query()
	if !has || subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(s.state())) != 1 {
		p.wrong(w, r, http.StatusBadRequest)
		return
	}
	act, waits, err := p.takeAct(r, s)
	if err == nil && query.Get("code") == "" { // they said no there, or may not
		to := "/signin"
		if waits {
			to = "/"
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	var g granted
	if err == nil {
		g, err = p.exchange(r.Context(), query.Get("code"), s)
	}
	var caller edge.Caller
	if err == nil {
		caller, err = p.Auth.Authenticate(r.Context(), token.Bearer(g.Access))
		if errors.Is(err, token.ErrInvalid) || errors.Is(err, token.ErrExpired) || err == nil && !p.hasPages(caller.Role) {
			p.fault(r, err)
			p.wrong(w, r, http.StatusForbidden)
			return
		}
	}
	if err == nil {
		g.At, err = p.signedIn(r, g, s, caller)
	}
	if err != nil {
		p.fault(r, err)
		p.wrong(w, r, http.StatusServiceUnavailable)
		return
	}
	p.enter(w, r, g, caller, act, waits)
}

// enter begins a session, and does the act that waited for it or leads to the first page. An act
// is for who wanted it, after a login of now; else it is refused, and the session of before goes on.
func (p *Pages) enter(w http.ResponseWriter, r *http.Request, g granted, caller edge.Caller, act waitingAct, waits bool) {
	switch {
	case waits && whoIs(caller) != act.Who:
		p.refuse(w, r, &refusedError{http.StatusForbidden, "anotherPerson"})
		return
	case waits && !p.isFresh(g.At):
		p.refuse(w, r, &refusedError{http.StatusForbidden, "loginNotFresh"})
		return
	}
	s, err := p.begin(w, r, g)
	switch {
	case err != nil:
		p.fault(r, err)
		p.wrong(w, r, http.StatusServiceUnavailable)
	case waits:
		p.resume(w, r, act, s)
	default:
		to := "/"
		if p.Login == nil {
			to = p.homeOf(caller.Role)
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
}

// signedIn returns when somebody proved who they are, as the provider's ID token for this login
// says; zero where it has none that counts, or where it is another's than the access token.
func (p *Pages) signedIn(r *http.Request, g granted, login secret, caller edge.Caller) (time.Time, error) {
	if g.ID == "" {
		return time.Time{}, nil
	}
	said, err := p.Login.SignIns.SignIn(r.Context(), g.ID, login.nonce())
	switch {
	case errors.Is(err, token.ErrInvalid), errors.Is(err, token.ErrExpired):
		p.fault(r, err)
		return time.Time{}, nil
	case err != nil || said.Subject != caller.Subject:
		return time.Time{}, err
	}
	return said.At, nil
}

// hasPages reports whether there are pages for a role.
func (p *Pages) hasPages(role domain.Role) bool { return len(p.menus[role]) > 0 }

// exchange gets the tokens for a code. Its errors say nothing that the provider wrote but the
// code of its error.
func (p *Pages) exchange(ctx context.Context, code string, s secret) (g granted, err error) {
	config, err := p.Login.config()
	if err != nil {
		return g, err
	}
	got, err := config.Exchange(context.WithValue(ctx, oauth2.HTTPClient, p.Login.Provider.Client()), code, oauth2.VerifierOption(s.verifier()))
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.Response != nil:
		return g, fmt.Errorf("the identity provider answers a code with HTTP status %d", refused.Response.StatusCode)
	case err != nil:
		return g, errors.New("the identity provider does not answer a code") // the error may hold what was sent
	}
	g.Access = got.AccessToken
	g.ID, _ = got.Extra("id_token").(string)
	return g, nil
}
