package vault

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"coffre/cmd/coffre/files"
	"coffre/domain"
	"coffre/handlers/acting"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
	"coffre/handlers/pages"
)

// LoginConfig says as which client of the OpenID provider the pages log people in;
// docs/identity.md explains it.
type LoginConfig struct {
	ClientID string
	Secret   string // "": a public client
	Scopes   []string
}

// ReadLogin reads as which client the pages log people in: its id, the file of its secret ("": it
// has none) and the scopes it asks for ("": openid, and those of every role that has pages).
func ReadLogin(id, secretFile, scopes string) (*LoginConfig, error) {
	c := &LoginConfig{ClientID: id, Scopes: []string{"openid"}}
	for _, role := range pages.Roles() {
		c.Scopes = append(c.Scopes, edge.Scopes(role)...)
	}
	slices.Sort(c.Scopes[1:])
	c.Scopes = slices.Compact(c.Scopes)
	if scopes != "" {
		c.Scopes = splitList(scopes)
	}
	if secretFile != "" {
		text, err := files.ReadSmall(secretFile)
		if err != nil {
			return nil, fmt.Errorf("the secret of the pages' client: %w", err)
		}
		if c.Secret = strings.TrimSpace(string(text)); c.Secret == "" {
			return nil, errors.New("the secret of the pages' client: the file is empty")
		}
	}
	return c, nil
}

// devSession is for how long a token of somebody who signed in at the pages of a vault for
// trying out counts: longer than any session.
const devSession = 9 * time.Hour

// makePages puts the pages before the API: where a client of the provider is configured, and in a
// vault for trying out, where whoever signs in is believed.
func (a *assembly) makePages(auth edge.Authenticator) error {
	p := &pages.Pages{API: a.handler, Auth: auth, Sessions: a.sessions, Limits: a.limitsOf, Contact: a.o.Contact, Now: time.Now, Slog: a.o.Logger}
	switch {
	case a.o.Login != nil && a.provider != nil:
		if a.o.Public == nil {
			return errors.New("the pages need to know where browsers reach them: --public-url (COFFRE_PUBLIC_URL)")
		}
		p.Login = &pages.Login{Provider: a.provider, ClientID: a.o.Login.ClientID, Secret: a.o.Login.Secret, Scopes: a.o.Login.Scopes, Public: a.o.Public,
			SignIns: token.NewSignIns(a.o.OIDC.Profile, a.provider, a.o.Login.ClientID, time.Now)}
	case a.o.Dev:
		key, err := token.OpenDevKey(a.dir.File(DevKeyFile))
		if err != nil {
			return err
		}
		p.Mint = func(s pages.Somebody) (string, error) {
			return key.Mint(token.Grant{Role: s.Role, SSIN: s.SSIN, Subject: cmp.Or(s.Name, "page"), Scopes: edge.Scopes(s.Role)}, time.Now(), devSession)
		}
	default:
		return nil
	}
	a.handler = p.Handler()
	return nil
}

// limitsOf returns the budgets of an operation, as they are in force.
func (a *assembly) limitsOf(operation string, roles []domain.Role, writes bool) (all []pages.Limit) {
	budgets := slices.Clone(acting.BudgetsOf[operation])
	for _, role := range roles {
		all = append(all, pages.Limit{What: "calls of a minute, " + string(role), Bounds: []string{strconv.FormatInt(a.o.Limits.CallsOf(role), 10)}})
		if acts := acting.ActsOf(role); acts != nil && writes && !acting.TakesBack[operation] && !slices.Contains(budgets, acts) {
			budgets = append(budgets, acts)
		}
	}
	for _, b := range budgets {
		all = append(all, pages.Limit{What: b.What, Until: b.Until, Bounds: a.o.Limits.Told(b)})
	}
	return all
}
