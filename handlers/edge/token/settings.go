package token

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"coffre/domain"
)

// Settings returns those of a profile that decide who somebody is, each as NAME=VALUE, in
// order: which tokens count, where their claims stand, and what roles are called. Whoever
// changes one of them changes who may be whom, as another provider does. Algorithms and
// lengths are none of them. Certificates is the digest of those that are trusted at the
// provider; "" for the system's.
func (p Profile) Settings(certificates string) []string {
	all := []string{
		"claims.onBehalfOf=" + p.Claims.OnBehalfOf, "claims.organization=" + p.Claims.Organisation, "claims.role=" + p.Claims.Role,
		"claims.scope=" + p.Claims.Scope, "claims.ssin=" + p.Claims.SSIN,
	}
	for name, role := range p.Roles {
		all = append(all, "roles."+string(role)+"="+name)
	}
	for _, t := range p.Types {
		all = append(all, "types="+t)
	}
	if p.DefaultRole != "" {
		all = append(all, "defaultRole="+string(p.DefaultRole))
	}
	if certificates != "" {
		all = append(all, "certificates="+certificates)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// ErrSettings refuses settings that no configuration makes.
var ErrSettings = errors.New("the settings are not those of a provider as `coffre identity propose` writes them")

var certificateDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// CheckSettings returns nil for an issuer, an audience and settings that [Profile.Settings]
// makes of some configuration, and an error that repeats none of them.
func CheckSettings(issuer, audience string, settings []string) error {
	p := NewProfile(issuer, audience)
	p.Types, p.Roles = nil, map[string]domain.Role{}
	certificates := ""
	for _, one := range settings {
		name, value, _ := strings.Cut(one, "=")
		switch what, of, _ := strings.Cut(name, "."); what {
		case "claims":
			if !p.Claims.Name(of, value) {
				return ErrSettings
			}
		case "roles":
			if err := p.NameRole(of, value); err != nil {
				return ErrSettings
			}
		case "types":
			p.Types = append(p.Types, value)
		case "defaultRole":
			p.DefaultRole = domain.Role(value)
		case "certificates":
			if certificates = value; !certificateDigest.MatchString(value) {
				return ErrSettings
			}
		default:
			return ErrSettings
		}
	}
	if err := CheckURL(issuer); err != nil {
		return err
	}
	if err := p.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrSettings, err)
	}
	if !slices.Equal(p.Settings(certificates), settings) {
		return ErrSettings
	}
	return nil
}

// Differences returns the names of the settings in which two lists of them differ, in order.
func Differences(these, those []string) []string {
	names := map[string]bool{}
	differ := func(a, b []string) {
		for _, one := range a {
			if !slices.Contains(b, one) {
				name, _, _ := strings.Cut(one, "=")
				names[name] = true
			}
		}
	}
	differ(these, those)
	differ(those, these)
	return slices.Sorted(maps.Keys(names))
}
