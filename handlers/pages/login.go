package pages

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"

	"coffre/domain"
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

// maxLogin is for how many seconds somebody may take to log in.
const maxLogin = 600

// toProvider sends the browser to the provider.
func (p *Pages) toProvider(w http.ResponseWriter, r *http.Request) {
	config, err := p.Login.config()
	if err != nil {
		p.fault(r, err)
		p.wrong(w, r, http.StatusServiceUnavailable)
		return
	}
	s := newSecret()
	c := p.cookie(loginCookie, s.text())
	c.MaxAge = maxLogin
	http.SetCookie(w, c)
	http.Redirect(w, r, config.AuthCodeURL(s.state(), oauth2.S256ChallengeOption(s.verifier()), oauth2.SetAuthURLParam("ui_locales", string(spoken(r)))), http.StatusSeeOther)
}

// fromProvider begins a session for whoever comes back from the provider in the browser that
// went there. Whoever has no pages is told so, and logged in nowhere.
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
	if query.Get("code") == "" { // they said no there, or may not
		http.Redirect(w, r, "/signin", http.StatusSeeOther)
		return
	}
	g, err := p.exchange(r.Context(), query.Get("code"), s)
	if err == nil {
		caller, refused := p.Auth.Authenticate(r.Context(), token.Bearer(g.Access))
		switch {
		case errors.Is(refused, token.ErrInvalid), errors.Is(refused, token.ErrExpired), refused == nil && !p.hasPages(caller.Role):
			p.fault(r, refused)
			p.wrong(w, r, http.StatusForbidden)
			return
		case refused != nil:
			err = refused
		default:
			err = p.begin(w, r, g)
		}
	}
	if err != nil {
		p.fault(r, err)
		p.wrong(w, r, http.StatusServiceUnavailable)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
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
