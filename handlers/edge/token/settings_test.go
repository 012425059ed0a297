package token_test

import (
	"slices"
	"strings"
	"testing"

	"coffre/domain"
	"coffre/handlers/edge/token"
)

// Settings hold whatever decides who somebody is, one writing for each, and nothing else.
func TestSettingsDecideWhoSomebodyIs(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	plain := token.NewProfile("https://login.example", "coffre")
	if err := token.CheckSettings(plain.Issuer, plain.Audience, plain.Settings("")); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		change       func(*token.Profile)
		certificates string
		differ       string
	}{
		"claims":       {func(p *token.Profile) { p.Claims.SSIN = "nickname" }, "", "claims.ssin"},
		"roles":        {func(p *token.Profile) { _ = p.NameRole("privacyOfficer", "everybody") }, "", "roles.privacyOfficer"},
		"types":        {func(p *token.Profile) { p.Types = []string{"JWT", "at+jwt"} }, "", "types"},
		"default role": {func(p *token.Profile) { p.DefaultRole = domain.RoleCitizen }, "", "defaultRole"},
		"certificates": {func(*token.Profile) {}, digest, "certificates"},
		"algorithms":   {func(p *token.Profile) { p.Algorithms = p.Algorithms[:1] }, "", ""},
		"length":       {func(p *token.Profile) { p.MaxBytes = 2048 }, "", ""},
	} {
		p := token.NewProfile("https://login.example", "coffre")
		c.change(&p)
		settings := p.Settings(c.certificates)
		if got := strings.Join(token.Differences(plain.Settings(""), settings), " "); got != c.differ {
			t.Errorf("%s: differ in %q", name, got)
		}
		if err := token.CheckSettings(p.Issuer, p.Audience, settings); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := token.NewProfile("https://login.example", "coffre")
	p.Types = []string{"JWT", "at+jwt"}
	q := p
	q.Types = []string{"at+jwt", "JWT"}
	if !slices.Equal(p.Settings(""), q.Settings("")) {
		t.Error("the order of types matters")
	}
	good := plain.Settings("")
	for name, settings := range map[string][]string{
		"none":               nil,
		"out of order":       append(slices.Clone(good[1:]), good[0]),
		"twice":              append(slices.Clone(good), good[len(good)-1]),
		"a claim of nothing": append([]string{"claims.name=x"}, good...),
		"an unknown role":    append(slices.Clone(good), "roles.king=x"),
		"a digest of none":   append([]string{"certificates=x"}, good...),
		"an unknown one":     append([]string{"a=b"}, good...),
		"no type":            good[:len(good)-1],
	} {
		if err := token.CheckSettings("https://login.example", "coffre", settings); err == nil {
			t.Errorf("settings with %s pass", name)
		}
	}
	for issuer, audience := range map[string]string{"http://login.example": "coffre", "https://login.example?x=1": "coffre", "https://login.example": ""} {
		if err := token.CheckSettings(issuer, audience, good); err == nil {
			t.Errorf("%s for %q passes", issuer, audience)
		}
	}
}
