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
	"fmt"
	"regexp"
	"slices"
	"strconv"
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
	// TokenHash is the SHA-256 of the token, zero where none was shown. Client is the
	// application to which the provider gave it, in its word; "" where it says none.
	TokenHash [sha256.Size]byte
	Client    string
	Expires   time.Time

	// Door, Why and Case are those of domain.Actor, Case in the caller's words. A
	// provider's token has none of them.
	Door domain.Door
	Why  domain.WorkReason
	Case string
}

// Limits of what is accepted and kept.
const (
	leeway    = 30 * time.Second // for clocks that lag, on nbf and iat only
	cacheSize = 16384            // tokens
	// cacheTime bounds how long the claims of a verified token are remembered. Its key is
	// looked at each time.
	cacheTime = 5 * time.Minute
	maxKeyID  = 256 // bytes
)

// Key is a public key of whoever signs tokens. The same key is the same pointer for as long as
// it counts; a key that was withdrawn and came back may be another one.
type Key struct{ jose.JSONWebKey }

// Keys is the port to the public keys that verify tokens.
type Keys interface {
	// Key returns the public key with an id: an error that wraps ErrInvalid when there is
	// none, any other when the keys cannot be had now. It may be called concurrently.
	Key(ctx context.Context, id string) (*Key, error)
}

// Verifier finds the callers of tokens, and implements edge.Authenticator. Make it with
// New; it may be used concurrently.
type Verifier struct {
	// Proofs judges the proofs of those who hold the key that a token is bound to
	// (RFC 9449); nil: no bound token counts. It is set before the first use.
	Proofs *Proofs

	profile  Profile
	keys     Keys
	resolve  func(context.Context, domain.SSIN) (domain.CitizenID, error)
	now      func() time.Time
	own      bool // the issuer is the development key, and may say more
	signIn   bool // it judges ID tokens
	verified *lru.Cache[[sha256.Size]byte, verified]
}

type verified struct {
	caller Caller
	bound  binding
	keyID  string
	key    *Key
	until  time.Time
}

// New returns a verifier of tokens as a valid profile says. resolve returns the citizen with
// a national number, the zero id for a person whom the vault does not know.
func New(profile Profile, keys Keys, resolve func(context.Context, domain.SSIN) (domain.CitizenID, error), now func() time.Time) *Verifier {
	cache, err := lru.New[[sha256.Size]byte, verified](cacheSize)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &Verifier{profile: profile, keys: keys, resolve: resolve, now: now, verified: cache}
}

// Forget drops every verified token.
func (v *Verifier) Forget() { v.verified.Purge() }

// Presented is what a request brings to say whose it is.
type Presented struct {
	Token string
	// DPoP says that the token came with the scheme of that name (RFC 9449), not as a bearer
	// token (RFC 6750). Proofs, Method and Path belong to it.
	DPoP   bool
	Proofs []string // values of the header DPoP
	Method string
	Path   string // of the request's target, as it was sent, without the query
	// Certificate is the SHA-256 of the certificate of the client that the connection showed
	// and an authority vouches for (RFC 8705); zero when there is none.
	Certificate [sha256.Size]byte
}

// Bearer returns a token presented as a bearer token.
func Bearer(token string) Presented { return Presented{Token: token} }

// Authenticate returns the caller to whom a token belongs. Verified tokens are remembered by
// their hash, for at most five minutes, never past their end, and never longer than their key
// counts. A token that is bound to a key counts with a proof only, and a proof once. Errors
// that wrap ErrInvalid are the caller's, and are a *Rejection; any other means that the token
// cannot be judged now.
func (v *Verifier) Authenticate(ctx context.Context, p Presented) (Caller, error) {
	if len(p.Token) > v.profile.MaxBytes {
		return Caller{}, reject("size", "the access token is longer than "+strconv.Itoa(v.profile.MaxBytes)+" bytes")
	}
	known, err := v.known(ctx, p.Token)
	if err != nil {
		return Caller{}, err
	}
	if err := v.held(ctx, p, known.bound); err != nil {
		return Caller{}, err
	}
	return known.caller, nil
}

// known returns what a token says, remembered or verified now.
func (v *Verifier) known(ctx context.Context, token string) (verified, error) {
	sum, now := sha256.Sum256([]byte(token)), v.now()
	if known, ok := v.verified.Get(sum); ok {
		if now.Before(known.until) {
			if key, err := v.keys.Key(ctx, known.keyID); err == nil && key == known.key {
				return known, nil
			}
		}
		v.verified.Remove(sum)
	}
	known, err := v.verify(ctx, token, now)
	if err != nil {
		return verified{}, err
	}
	c := &known.caller
	c.TokenHash = sum
	c.Session = uuid.UUID(sum[:16])
	c.Session[6], c.Session[8] = c.Session[6]&0x0f|0x80, c.Session[8]&0x3f|0x80 // version 8, RFC 9562
	if c.Role != domain.RoleCitizen || !c.Citizen.IsZero() {
		known.until = now.Add(cacheTime)
		if c.Expires.Before(known.until) {
			known.until = c.Expires
		}
		v.verified.Add(sum, known)
	}
	return known, nil
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

func (v *Verifier) verify(ctx context.Context, token string, now time.Time) (verified, error) {
	out, payload, err := v.signed(ctx, token)
	if err != nil {
		return verified{}, err
	}
	c, err := readClaims(payload)
	if err != nil {
		return verified{}, err
	}
	expires, err := v.judge(c, now)
	if err != nil {
		return verified{}, err
	}
	if out.bound, err = bindingOf(c); err != nil {
		return verified{}, err
	}
	out.caller, err = v.caller(ctx, c)
	out.caller.Expires = expires
	return out, err
}

// judge holds the claims that every token has to the profile and the clock, and returns when
// the token ends.
func (v *Verifier) judge(c claims, now time.Time) (time.Time, error) {
	issuer, _, err := c.text("iss")
	if err != nil || issuer != v.profile.Issuer {
		return time.Time{}, reject("iss", "is not the issuer that this vault trusts, letter by letter")
	}
	audience, _, err := c.list("aud", "aud")
	if err != nil || !slices.Contains(audience, v.profile.Audience) {
		return time.Time{}, reject("aud", "does not name this vault's audience")
	}
	if subject, _, err := c.text("sub"); err != nil || subject == "" {
		return time.Time{}, reject("sub", "is missing")
	}
	if !v.own && !v.signIn {
		if kind := c.otherKind(); kind != "" {
			return time.Time{}, reject("typ", "this is "+kind+", not an access token")
		}
	}
	expires, found, err := c.moment("exp")
	if err != nil || !found {
		return time.Time{}, reject("exp", "is missing, or not a number of seconds since 1970, up to the year 9999")
	}
	for _, name := range []string{"nbf", "iat"} {
		from, _, err := c.moment(name)
		if err != nil {
			return time.Time{}, err
		}
		if now.Add(leeway).Before(from) {
			return time.Time{}, reject(name, "lies in the future: the clocks of the identity provider and of the vault differ")
		}
	}
	if !now.Before(expires) {
		r := reject("exp", "the access token has expired")
		r.expired = true
		return time.Time{}, r
	}
	return expires, nil
}

// signed returns the payload of a token whose signature holds, and the key that verified it.
func (v *Verifier) signed(ctx context.Context, token string) (out verified, payload []byte, err error) {
	first, _, found := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(first)
	switch parts := strings.Count(token, ".") + 1; {
	case parts == 5 && err == nil && encrypted(raw):
		return out, nil, reject("encryption", "the access token is encrypted (JWE); the identity provider has to sign it and leave it readable")
	case !found || parts != 3 || err != nil:
		return out, nil, reject("form", "this is not a signed JWT in compact form")
	}
	var h header
	if wire.Unmarshal(raw, &h) != nil {
		return out, nil, reject("header", "is not JSON, or has a member other than alg, kid, typ, x5t and x5t#S256")
	}
	switch {
	case !v.profile.acceptsType(h.Type):
		return out, nil, reject("typ", "is not accepted here; accepted is "+strings.Join(v.profile.Types, " or "))
	case !slices.Contains(v.profile.Algorithms, h.Algorithm):
		return out, nil, reject("alg", "is not accepted here; accepted is "+strings.Join(v.profile.Algorithms, ", "))
	case h.KeyID == "" || len(h.KeyID) > maxKeyID:
		return out, nil, reject("kid", "is missing or too long")
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(h.Algorithm)})
	if err != nil {
		return out, nil, reject("form", "this is not a signed JWT in compact form")
	}
	key, err := v.keys.Key(ctx, h.KeyID)
	if err != nil {
		return out, nil, err
	}
	if !keyFits(key.JSONWebKey, h.Algorithm) {
		return out, nil, rejectKey("alg", "does not fit the key that kid names")
	}
	if payload, err = jws.Verify(key.Key); err != nil {
		return out, nil, rejectKey("signature", "does not fit the key that kid names")
	}
	return verified{keyID: h.KeyID, key: key}, payload, nil
}

// encrypted reports whether a header is that of a JWE.
func encrypted(header []byte) bool {
	var h struct {
		Encryption string `json:"enc"`
	}
	return json.Unmarshal(header, &h) == nil && h.Encryption != ""
}

// readKey reads a public key (RFC 7517) that may verify signatures, as far as it says.
func readKey(raw []byte) (key jose.JSONWebKey, ok bool) {
	var uses struct {
		Operations *[]string `json:"key_ops"`
	}
	if json.Unmarshal(raw, &uses) != nil || uses.Operations != nil && !slices.Contains(*uses.Operations, "verify") {
		return key, false
	}
	return key, key.UnmarshalJSON(raw) == nil && key.Valid() && key.IsPublic()
}

// Bounds of an RSA key's modulus, in bits: smaller ones are weak, larger ones take too long.
const (
	smallestRSA = 2048
	largestRSA  = 8192
)

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
		bits := k.N.BitLen()
		return (algorithm == string(jose.RS256) || algorithm == string(jose.PS256)) && bits >= smallestRSA && bits <= largestRSA
	}
	return false
}

// caller turns verified claims into a caller, if they fit the role.
func (v *Verifier) caller(ctx context.Context, c claims) (out Caller, err error) {
	if out.Subject, _, err = c.text("sub"); err != nil {
		return Caller{}, err
	}
	if out.Role, err = v.role(c); err != nil {
		return Caller{}, err
	}
	out.Client = clientOf(c, out.Subject)
	names := v.profile.Claims
	if out.Scopes, err = c.words("scope", names.Scope); err != nil {
		return Caller{}, err
	}
	for _, o := range []struct {
		check, name string
		out         *domain.Organisation
	}{{"organization", names.Organisation, &out.Organisation}, {"onBehalfOf", names.OnBehalfOf, &out.OnBehalfOf}} {
		text, found, err := c.single(o.check, o.name)
		if err != nil {
			return Caller{}, err
		}
		if !found {
			continue
		}
		if *o.out, err = domain.ParseOrganisation(text); err != nil {
			return Caller{}, reject(o.check, "is not an enterprise number of ten digits")
		}
	}
	if v.own {
		if out.Why, out.Case, err = work(c); err != nil {
			return Caller{}, err
		}
	}
	switch organised := !out.Organisation.IsZero(); {
	case (out.Role == domain.RoleIssuer || out.Role == domain.RoleConsumer) && !organised:
		return Caller{}, reject("organization", "is missing for an issuer or consumer")
	case out.Role == domain.RoleCitizen && (organised || !out.OnBehalfOf.IsZero()):
		return Caller{}, reject("organization", "is there for a citizen, who acts for no organisation")
	}
	out.Citizen, err = v.citizen(ctx, c, out.Role)
	if err != nil {
		return Caller{}, err
	}
	return out, nil
}

// clientWord is what a client is called in clear: a word of an application, in which no national
// number can stand.
var clientWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$`)

// clientOf returns the application to which a token was given, by RFC 9068 or as OpenID
// providers say it; "" where that is no word that may stand in clear, or the subject's.
func clientOf(c claims, subject string) string {
	for _, name := range []string{"client_id", "azp"} {
		client, found, err := c.text(name)
		if found && err == nil && client != subject && clientWord.MatchString(client) && digits(client) < numberDigits {
			return client
		}
	}
	return ""
}

// numberDigits is how many digits a national number has.
const numberDigits = 11

// digits counts the digits of a text.
func digits(s string) (n int) {
	for _, r := range s {
		if '0' <= r && r <= '9' {
			n++
		}
	}
	return n
}

// role returns the one role of the vault that a token names.
func (v *Verifier) role(c claims) (domain.Role, error) {
	named, found, err := c.list("role", v.profile.Claims.Role)
	if err != nil {
		return "", err
	}
	if !found && v.profile.DefaultRole != "" {
		return v.profile.DefaultRole, nil
	}
	var role domain.Role
	for _, name := range named {
		r, known := v.profile.Roles[name]
		if known && role != "" && role != r {
			return "", reject("role", "names more than one role of the vault, and a caller has one")
		}
		if known {
			role = r
		}
	}
	if role == "" {
		return "", reject("role", "names no role of the vault (claim "+v.profile.Claims.Role+")")
	}
	return role, nil
}

// work returns why the holder of a token of the development key works on the vault's machine.
func work(c claims) (why domain.WorkReason, reference string, err error) {
	word, found, err := c.text("why")
	if err != nil {
		return "", "", err
	}
	reference, said, err := c.text("case")
	switch why = domain.WorkReason(word); {
	case err != nil:
		return "", "", err
	case !found && !said:
		return "", "", nil
	case !slices.Contains(domain.WorkReasons, why) || len(reference) > MaxCase:
		return "", "", reject("why", "is not one of the reasons there are, or the case is too long")
	}
	return why, reference, nil
}

// citizen returns the citizen of a login, and refuses a person's number in any other role.
func (v *Verifier) citizen(ctx context.Context, c claims, role domain.Role) (domain.CitizenID, error) {
	ssin, numbered, err := c.single("ssin", v.profile.Claims.SSIN)
	if err != nil {
		return domain.CitizenID{}, err
	}
	id, identified, err := c.text("citizenId")
	switch {
	case err != nil:
		return domain.CitizenID{}, err
	case identified && (!v.own || numbered):
		return domain.CitizenID{}, reject("citizenId", "is not for a token of an identity provider, nor beside a number")
	case role != domain.RoleCitizen && (numbered || identified):
		return domain.CitizenID{}, reject("ssin", "is there for a role other than citizen")
	case role != domain.RoleCitizen:
		return domain.CitizenID{}, nil
	case !numbered && !identified:
		return domain.CitizenID{}, reject("ssin", "is missing for a citizen (claim "+v.profile.Claims.SSIN+")")
	case identified:
		parsed, err := uuid.Parse(id)
		if err != nil || parsed == uuid.Nil || parsed.String() != id {
			return domain.CitizenID{}, reject("citizenId", "is not the id of a citizen")
		}
		return domain.CitizenID{UUID: parsed}, nil
	}
	number, err := domain.ParseSSIN(ssin)
	if err != nil {
		return domain.CitizenID{}, reject("ssin", "is not a national register or BIS number of eleven digits")
	}
	citizen, err := v.resolve(ctx, number)
	if err != nil {
		return domain.CitizenID{}, fmt.Errorf("find the citizen of a login: %w", err)
	}
	return citizen, nil
}
