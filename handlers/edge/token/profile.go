package token

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"coffre/domain"
)

// Profile says which tokens of a provider count, and where in them its claims stand
// (docs/identity.md). Make one with NewProfile and change what the provider does otherwise.
type Profile struct {
	Issuer   string // compared byte by byte with iss, a slash at the end included
	Audience string // a name that aud must hold
	// Types lists the accepted values of typ without "application/": at+jwt (RFC 9068), JWT.
	Types []string
	// Algorithms lists the accepted signature algorithms, of those that Algorithms names.
	Algorithms []string
	MaxBytes   int // of a token
	Claims     ClaimNames
	// Roles maps the provider's names of roles to those of the vault.
	Roles map[string]domain.Role
	// DefaultRole is the role of a token that names none: none, or citizen.
	DefaultRole domain.Role
}

// ClaimNames says which claim holds what. A name that begins with a slash is a JSON Pointer
// (RFC 6901) into the token's claims, such as /realm_access/roles; every other is the name of
// a claim as it is written, also one that is a URL.
type ClaimNames struct {
	Role         string // a text, or a list in which exactly one name is a role of the vault
	Organisation string // an enterprise number
	OnBehalfOf   string // an enterprise number
	SSIN         string // a national register or BIS number
	Scope        string // words with blanks between them, or a list of words
}

// Limits of a token's length, in bytes. The largest leaves room among the 32 KiB that all
// headers of a request may have.
const (
	DefaultMaxBytes  = 16 << 10
	smallestMaxBytes = 1 << 10
	LargestMaxBytes  = 24 << 10
)

// Types and Algorithms list what a profile may accept.
var (
	Types      = []string{"at+jwt", "JWT"}
	Algorithms = []string{string(jose.EdDSA), string(jose.ES256), string(jose.PS256), string(jose.RS256)}
)

var roles = []domain.Role{domain.RoleIssuer, domain.RoleConsumer, domain.RoleCitizen, domain.RoleAuditor, domain.RolePrivacyOfficer, domain.RoleOperator}

// NewProfile returns the profile of a provider whose tokens are as Coffre asks for them.
func NewProfile(issuer, audience string) Profile {
	p := Profile{
		Issuer: issuer, Audience: audience, Types: []string{"at+jwt"}, Algorithms: slices.Clone(Algorithms), MaxBytes: DefaultMaxBytes,
		Claims: ClaimNames{Role: "role", Organisation: "organization", OnBehalfOf: "onBehalfOf", SSIN: "ssin", Scope: "scope"},
		Roles:  make(map[string]domain.Role, len(roles)),
	}
	for _, r := range roles {
		p.Roles[string(r)] = r
	}
	return p
}

// Name sets the claim that holds one of role, organization, onBehalfOf, ssin and scope, and
// reports whether there is such a thing.
func (c *ClaimNames) Name(what, claim string) bool {
	to, known := map[string]*string{"role": &c.Role, "organization": &c.Organisation, "onBehalfOf": &c.OnBehalfOf, "ssin": &c.SSIN, "scope": &c.Scope}[what]
	if known {
		*to = claim
	}
	return known
}

// ErrRole reports a word that is no role of the vault.
var ErrRole = errors.New("roles are issuer, consumer, citizen, auditor, privacyOfficer and operator")

// NameRole has the provider's name stand for a role of the vault; the role's own name does
// not stand for it any more, unless it is named, too.
func (p *Profile) NameRole(role, providers string) error {
	r := domain.Role(role)
	if !slices.Contains(roles, r) {
		return ErrRole
	}
	if providers != role && p.Roles[role] == r {
		delete(p.Roles, role)
	}
	if other, taken := p.Roles[providers]; taken && other != r {
		return fmt.Errorf("one name stands for two roles, %s and %s", other, r)
	}
	p.Roles[providers] = r
	return nil
}

// Validate returns everything that is wrong with a profile, joined.
func (p Profile) Validate() error {
	var wrong []error
	if p.Issuer == "" || p.Audience == "" {
		wrong = append(wrong, errors.New("issuer and audience are needed"))
	}
	wrong = append(wrong, eachOf("type", p.Types, Types), eachOf("algorithm", p.Algorithms, Algorithms))
	if p.MaxBytes < smallestMaxBytes || p.MaxBytes > LargestMaxBytes {
		wrong = append(wrong, fmt.Errorf("a token's limit is from %d to %d bytes", smallestMaxBytes, LargestMaxBytes))
	}
	for what, claim := range map[string]string{"role": p.Claims.Role, "organization": p.Claims.Organisation, "onBehalfOf": p.Claims.OnBehalfOf, "ssin": p.Claims.SSIN, "scope": p.Claims.Scope} {
		if claim == "" || claim == "/" || strings.ContainsAny(claim, "\x00\n\r") || !validPointer(claim) {
			wrong = append(wrong, fmt.Errorf("the claim of %s is a claim's name, or a JSON Pointer such as /realm_access/roles", what))
		}
	}
	seen := make(map[string]string)
	for what, claim := range map[string]string{"organization": p.Claims.Organisation, "onBehalfOf": p.Claims.OnBehalfOf, "ssin": p.Claims.SSIN} {
		if other, taken := seen[claim]; taken {
			wrong = append(wrong, fmt.Errorf("one claim holds both %s and %s", min(what, other), max(what, other)))
		}
		seen[claim] = what
	}
	if p.DefaultRole != "" && p.DefaultRole != domain.RoleCitizen {
		wrong = append(wrong, errors.New("the role of a token that names none is citizen, or no role"))
	}
	if len(p.Roles) == 0 || slices.Contains(slices.Collect(maps.Keys(p.Roles)), "") {
		wrong = append(wrong, errors.New("the provider's name of a role is not empty"))
	}
	return errors.Join(wrong...)
}

func eachOf(what string, given, known []string) error {
	if len(given) == 0 {
		return fmt.Errorf("at least one %s is accepted: %s", what, strings.Join(known, ", "))
	}
	for _, one := range given {
		if !slices.Contains(known, one) {
			return fmt.Errorf("each accepted %s is one of %s", what, strings.Join(known, ", "))
		}
	}
	return nil
}

// validPointer reports whether a claim's name that begins with a slash is a JSON Pointer.
func validPointer(claim string) bool {
	if !strings.HasPrefix(claim, "/") {
		return true
	}
	plain := strings.NewReplacer("~0", "", "~1", "").Replace(claim)
	return !strings.Contains(plain, "~")
}

// acceptsType reports whether a token's typ is accepted, in any letter case and with or
// without "application/" (RFC 7515, section 4.1.9).
func (p Profile) acceptsType(typ string) bool {
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return slices.ContainsFunc(p.Types, func(t string) bool { return strings.ToLower(t) == typ })
}
