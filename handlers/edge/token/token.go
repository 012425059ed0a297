// Package token finds the caller to whom a bearer token belongs. Tokens are JWTs of an
// OpenID provider, or of the vault's own development key.
//
// Invariant: nobody is let in by default. A token counts only when its signature
// by a known key, its algorithm, type, issuer, audience and times all hold, its
// role is one of the six and its other claims fit the role. The SSIN a citizen's
// login carries is turned into a CitizenID at once and not kept.
package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"

	"coffre/domain"
	"coffre/handlers/contract/wire"
)

// Caller is the person or organisation that a token belongs to, with the scopes it gives.
type Caller struct {
	Role         domain.Role
	Organisation domain.Organisation // of an issuer or consumer; may be absent for others
	OnBehalfOf   domain.Organisation // for which a service integrator acts, if it does
	// Citizen identifies a caller in the role of citizen; zero for a person whom the vault
	// does not know yet, and in every other role.
	Citizen domain.CitizenID
	Subject string // the provider's name for them; never stored as it is
	Scopes  []string
	Session uuid.UUID // made from the token's hash: the same for the same token only
	Expires time.Time

	// Door, Why and Case are those of domain.Actor, Case in the caller's words. A
	// provider's token has none of them.
	Door domain.Door
	Why  domain.WorkReason
	Case string
}

// ErrInvalid and ErrExpired report a token that does not count. An error of this package
// that wraps neither means that the token could not be judged.
var (
	ErrInvalid = errors.New("token is not valid")
	// ErrExpired wraps ErrInvalid.
	ErrExpired = fmt.Errorf("%w: it expired", ErrInvalid)
)

// Limits of what is accepted and kept.
const (
	maxToken  = 8 << 10
	leeway    = 30 * time.Second // for clocks that lag, on nbf and iat only
	cacheSize = 16384            // tokens
	// cacheTime bounds how long a verified token is believed without looking at the
	// provider's keys and the citizen's number again.
	cacheTime = 5 * time.Minute
)

// algorithms lists the accepted signature algorithms.
var algorithms = []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.RS256}

// types are the media types of an access token (RFC 9068, section 4).
var types = []string{"at+jwt", "application/at+jwt"}

var roles = []domain.Role{domain.RoleIssuer, domain.RoleConsumer, domain.RoleCitizen, domain.RoleAuditor, domain.RolePrivacyOfficer, domain.RoleOperator}

// Keys is the port to the public keys that verify tokens.
type Keys interface {
	// Key returns the public key with an id: ErrInvalid when there is none, any other
	// error when the keys cannot be had now. It may be called concurrently.
	Key(ctx context.Context, id string) (jose.JSONWebKey, error)
}

// Verifier finds the callers of tokens, and implements edge.Authenticator. Make it with
// New; it may be used concurrently.
type Verifier struct {
	issuer, audience string
	keys             Keys
	resolve          func(context.Context, domain.SSIN) (domain.CitizenID, error)
	now              func() time.Time
	own              bool // the issuer is the development key, and may say more
	verified         *lru.Cache[[sha256.Size]byte, verified]
}

type verified struct {
	caller Caller
	until  time.Time
}

// New returns a verifier of tokens that issuer made for audience. resolve returns the
// citizen with a national number, the zero id for a person whom the vault does not know.
func New(issuer, audience string, keys Keys, resolve func(context.Context, domain.SSIN) (domain.CitizenID, error), now func() time.Time) *Verifier {
	cache, err := lru.New[[sha256.Size]byte, verified](cacheSize)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &Verifier{issuer: issuer, audience: audience, keys: keys, resolve: resolve, now: now, verified: cache}
}

// Forget drops every verified token, as when keys were withdrawn.
func (v *Verifier) Forget() { v.verified.Purge() }

// Authenticate returns the caller to whom a token belongs. Verified tokens are remembered
// by their hash, for at most five minutes and never past their end. Errors that wrap
// ErrInvalid are the caller's; any other means that the token cannot be judged now.
func (v *Verifier) Authenticate(ctx context.Context, bearer string) (Caller, error) {
	if len(bearer) > maxToken {
		return Caller{}, ErrInvalid
	}
	sum, now := sha256.Sum256([]byte(bearer)), v.now()
	if known, ok := v.verified.Get(sum); ok {
		if now.Before(known.until) {
			return known.caller, nil
		}
		v.verified.Remove(sum)
	}
	caller, err := v.verify(ctx, bearer, now)
	if err != nil {
		return Caller{}, err
	}
	caller.Session = uuid.UUID(sum[:16])
	caller.Session[6], caller.Session[8] = caller.Session[6]&0x0f|0x80, caller.Session[8]&0x3f|0x80 // version 8, RFC 9562
	if caller.Role != domain.RoleCitizen || !caller.Citizen.IsZero() {
		until := now.Add(cacheTime)
		if caller.Expires.Before(until) {
			until = caller.Expires
		}
		v.verified.Add(sum, verified{caller, until})
	}
	return caller, nil
}

// header lists the members that a token's header may have. Members by which a token could
// bring its own key are unknown, and so refused.
type header struct {
	Algorithm   string `json:"alg"`
	KeyID       string `json:"kid"`
	Type        string `json:"typ"`
	Thumbprint  string `json:"x5t"`      // ignored: the key id decides
	Thumbprint2 string `json:"x5t#S256"` // ignored
}

type claims struct {
	Issuer       string       `json:"iss"`
	Subject      string       `json:"sub"`
	Audience     audience     `json:"aud"`
	Expires      *numericDate `json:"exp"`
	NotBefore    *numericDate `json:"nbf"`
	IssuedAt     *numericDate `json:"iat"`
	Scope        string       `json:"scope"`
	Role         domain.Role  `json:"role"`
	Organisation string       `json:"organization"`
	OnBehalfOf   string       `json:"onBehalfOf"`
	SSIN         string       `json:"ssin"`
	Citizen      string       `json:"citizenId"`
	Why          string       `json:"why"`  // of the development key's tokens only
	Case         string       `json:"case"` // the same
}

func (v *Verifier) verify(ctx context.Context, bearer string, now time.Time) (Caller, error) {
	payload, err := v.signed(ctx, bearer)
	if err != nil {
		return Caller{}, err
	}
	var c claims
	if json.Unmarshal(payload, &c) != nil { // its error would carry claims
		return Caller{}, ErrInvalid
	}
	switch {
	case c.Issuer != v.issuer, c.Subject == "", !slices.Contains(c.Audience, v.audience):
		return Caller{}, ErrInvalid
	case c.Expires == nil, c.NotBefore != nil && now.Add(leeway).Before(c.NotBefore.time()), c.IssuedAt != nil && now.Add(leeway).Before(c.IssuedAt.time()):
		return Caller{}, ErrInvalid
	case !now.Before(c.Expires.time()):
		return Caller{}, ErrExpired
	}
	return v.caller(ctx, c)
}

// signed returns the payload of a token whose signature holds.
func (v *Verifier) signed(ctx context.Context, bearer string) ([]byte, error) {
	first, _, found := strings.Cut(bearer, ".")
	if !found || strings.Count(bearer, ".") != 2 {
		return nil, ErrInvalid
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil {
		return nil, ErrInvalid
	}
	var h header
	if wire.Unmarshal(raw, &h) != nil || h.KeyID == "" || len(h.KeyID) > 256 || !slices.Contains(types, strings.ToLower(h.Type)) ||
		!slices.Contains(algorithms, jose.SignatureAlgorithm(h.Algorithm)) {
		return nil, ErrInvalid
	}
	jws, err := jose.ParseSignedCompact(bearer, algorithms)
	if err != nil {
		return nil, ErrInvalid
	}
	key, err := v.keys.Key(ctx, h.KeyID)
	if err != nil {
		return nil, err
	}
	if !keyFits(key, h.Algorithm) {
		return nil, ErrInvalid
	}
	payload, err := jws.Verify(key.Key)
	if err != nil {
		return nil, ErrInvalid
	}
	return payload, nil
}

// keyFits reports whether a key may be used with an algorithm, so that the token alone
// never chooses.
func keyFits(key jose.JSONWebKey, algorithm string) bool {
	if key.Algorithm != "" && key.Algorithm != algorithm || key.Use != "" && key.Use != "sig" {
		return false
	}
	switch k := key.Key.(type) {
	case ed25519.PublicKey:
		return algorithm == string(jose.EdDSA)
	case *ecdsa.PublicKey:
		return algorithm == string(jose.ES256) && k.Curve == elliptic.P256()
	case *rsa.PublicKey:
		return algorithm == string(jose.RS256) && k.N.BitLen() >= 2048
	}
	return false
}

// caller turns verified claims into a caller, if they fit the role.
func (v *Verifier) caller(ctx context.Context, c claims) (Caller, error) {
	out := Caller{Role: c.Role, Subject: c.Subject, Scopes: strings.Fields(c.Scope), Expires: c.Expires.time()}
	if !slices.Contains(roles, c.Role) {
		return Caller{}, ErrInvalid
	}
	for _, o := range []struct {
		in  string
		out *domain.Organisation
	}{{c.Organisation, &out.Organisation}, {c.OnBehalfOf, &out.OnBehalfOf}} {
		if o.in == "" {
			continue
		}
		parsed, err := domain.ParseOrganisation(o.in)
		if err != nil {
			return Caller{}, ErrInvalid
		}
		*o.out = parsed
	}
	if v.own && (c.Why != "" || c.Case != "") {
		out.Why, out.Case = domain.WorkReason(c.Why), c.Case
		if !slices.Contains(domain.WorkReasons, out.Why) || len(c.Case) > MaxCase {
			return Caller{}, ErrInvalid
		}
	}
	organisational := c.Role == domain.RoleIssuer || c.Role == domain.RoleConsumer
	personal := c.SSIN != "" || c.Citizen != ""
	if organisational && out.Organisation.IsZero() || personal != (c.Role == domain.RoleCitizen) ||
		c.Role == domain.RoleCitizen && (!out.Organisation.IsZero() || !out.OnBehalfOf.IsZero()) {
		return Caller{}, ErrInvalid
	}
	switch {
	case !personal:
		return out, nil
	case c.SSIN != "" && c.Citizen == "":
		number, err := domain.ParseSSIN(c.SSIN)
		if err != nil {
			return Caller{}, ErrInvalid
		}
		if out.Citizen, err = v.resolve(ctx, number); err != nil {
			return Caller{}, fmt.Errorf("find the citizen of a login: %w", err)
		}
		return out, nil
	case c.SSIN == "" && v.own:
		id, err := uuid.Parse(c.Citizen)
		if err != nil || id == uuid.Nil || id.String() != c.Citizen {
			return Caller{}, ErrInvalid
		}
		out.Citizen = domain.CitizenID{UUID: id}
		return out, nil
	}
	return Caller{}, ErrInvalid
}

// audience is one name or a list of names.
type audience []string

// UnmarshalJSON implements RFC 7519, section 4.1.3.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		*a = audience{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return err
	}
	*a = many
	return nil
}

// numericDate is seconds since 1970, perhaps with a fraction (RFC 7519, section 2).
type numericDate float64

const lastSecond = 253402300799 // 9999-12-31T23:59:59Z

func (n numericDate) time() time.Time {
	f := float64(n)
	if math.IsNaN(f) || f < 0 || f > lastSecond {
		return time.Time{}
	}
	return time.Unix(int64(f), 0)
}
