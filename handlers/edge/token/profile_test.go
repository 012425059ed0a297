package token

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"coffre/domain"
)

// as returns a verifier of a profile that was changed.
func as(change func(*Profile)) *Verifier {
	v := verifier(nil)
	change(&v.profile)
	return v
}

// F13: what common providers send is accepted where the profile says so, and else refused with
// the name of the claim.
func TestF13ProfileOfAProvider(t *testing.T) {
	const jwt = `{"alg":"EdDSA","kid":"ed","typ":"JWT"}`
	keycloak := payload(map[string]any{"role": nil, "realm_access": map[string]any{"roles": []string{"offline_access", "vault-issuer", "uma_authorization"}}, "typ": "Bearer"})
	login := payload(map[string]any{"role": nil, "organization": nil, "scope": "wallet:read", "urn:be:fgov:person:ssin": "53480200724", "a/b~c": "issuer"})
	nested := func(p *Profile) {
		p.Claims.Role = "/realm_access/roles"
		if err := p.NameRole("issuer", "vault-issuer"); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		token  string
		change func(*Profile)
		role   domain.Role
		check  string
	}{
		"JWT is refused":              {raw(jwt, payload(nil), withEd), func(*Profile) {}, "", "typ"},
		"JWT by configuration":        {raw(jwt, payload(nil), withEd), func(p *Profile) { p.Types = Types }, domain.RoleIssuer, ""},
		"an ID token of the same typ": {raw(jwt, payload(map[string]any{"at_hash": "x"}), withEd), func(p *Profile) { p.Types = Types }, "", "typ"},
		"roles below an object":       {raw(edHeader, keycloak, withEd), nested, domain.RoleIssuer, ""},
		"the role's own name":         {raw(edHeader, strings.Replace(keycloak, "vault-issuer", "issuer", 1), withEd), nested, "", "role"},
		"a path that leads nowhere":   {raw(edHeader, keycloak, withEd), func(p *Profile) { p.Claims.Role = "/realm_access/roles/x" }, "", "role"},
		"a name with a colon":         {raw(edHeader, login, withEd), func(p *Profile) { p.Claims.SSIN, p.DefaultRole = "urn:be:fgov:person:ssin", domain.RoleCitizen }, domain.RoleCitizen, ""},
		"no role and no default":      {raw(edHeader, login, withEd), func(p *Profile) { p.Claims.SSIN = "urn:be:fgov:person:ssin" }, "", "role"},
		"a default role needs a SSIN": {raw(edHeader, login, withEd), func(p *Profile) { p.DefaultRole = domain.RoleCitizen }, "", "ssin"},
		"an escaped pointer":          {raw(edHeader, strings.Replace(login, "urn:be:fgov:person:ssin", "x", 1), withEd), func(p *Profile) { p.Claims.Role, p.Claims.Organisation = "/a~1b~0c", "sub" }, "", "organization"},
		"an algorithm left out":       {raw(edHeader, payload(nil), withEd), func(p *Profile) { p.Algorithms = []string{"PS256"} }, "", "alg"},
		"an issuer with a slash":      {raw(edHeader, payload(map[string]any{"iss": issuer + "/"}), withEd), func(p *Profile) { p.Issuer += "/" }, domain.RoleIssuer, ""},
		"a smaller limit":             {raw(edHeader, payload(map[string]any{"x": strings.Repeat("y", 1<<10)}), withEd), func(p *Profile) { p.MaxBytes = 1 << 10 }, "", "size"},
	} {
		c, err := as(tc.change).Authenticate(t.Context(), Bearer(tc.token))
		var why *Rejection
		if c.Role != tc.role || (err == nil) != (tc.check == "") || err != nil && (!errors.As(err, &why) || why.Check != tc.check) {
			t.Errorf("%s: %q, %v, want %q or the check %q", name, c.Role, err, tc.role, tc.check)
		}
	}
}

// A profile is judged as a whole, and each mistake of it is told.
func TestProfileIsValidated(t *testing.T) {
	if err := NewProfile(issuer, Audience).Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Profile){
		"issuer and audience": func(p *Profile) { p.Issuer = "" },
		"at least one type":   func(p *Profile) { p.Types = nil },
		"accepted type":       func(p *Profile) { p.Types = []string{"at+jwt", "id+jwt"} },
		"accepted algorithm":  func(p *Profile) { p.Algorithms = []string{"HS256"} },
		"token's limit":       func(p *Profile) { p.MaxBytes = LargestMaxBytes + 1 },
		"claim of role":       func(p *Profile) { p.Claims.Role = "/x~2" },
		"claim of scope":      func(p *Profile) { p.Claims.Scope = "" },
		"onBehalfOf and ssin": func(p *Profile) { p.Claims.SSIN = "onBehalfOf" },
		"is citizen":          func(p *Profile) { p.DefaultRole = domain.RoleOperator },
		"not empty":           func(p *Profile) { p.Roles = nil },
	} {
		p := NewProfile(issuer, Audience)
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	p := NewProfile("", Audience)
	p.MaxBytes, p.Algorithms = 0, nil
	if lines := strings.Split(p.Validate().Error(), "\n"); len(lines) != 3 {
		t.Errorf("not every mistake is told: %q", lines)
	}
	if p.NameRole("king", "x") == nil || p.NameRole("auditor", "issuer") == nil {
		t.Error("a role that is not there, or one name for two roles, is accepted")
	}
	if p = NewProfile(issuer, Audience); !p.Claims.Name("scope", "scp") || p.Claims.Scope != "scp" || p.Claims.Name("king", "x") {
		t.Error("claims are named wrongly")
	}
}

// Times beyond the year 9999 are no times, in every claim that is one.
func TestF36TimesBeyondTheYear9999(t *testing.T) {
	for _, name := range []string{"exp", "nbf", "iat"} {
		for _, value := range []any{lastSecond + 1, 1e300, -1, "1", true} {
			_, err := verifier(nil).Authenticate(t.Context(), Bearer(raw(edHeader, payload(map[string]any{name: value}), withEd)))
			var why *Rejection
			if !errors.As(err, &why) || why.Check != name {
				t.Errorf("%s of %v: %v", name, value, err)
			}
		}
	}
}

// The texts for a caller whose token no key verifies are the same, whatever failed.
func TestNobodyLearnsWhyNoKeyVerifiesAToken(t *testing.T) {
	var said []string
	for _, name := range []string{"kid unknown", "signature of another", "RS256 said of an EdDSA key", "a key for encryption"} {
		_, err := verifier(nil).Authenticate(t.Context(), Bearer(hostile()[name]))
		var why *Rejection
		if !errors.As(err, &why) {
			t.Fatal(name, err)
		}
		said = append(said, why.Detail)
	}
	if slices.Sort(said); len(slices.Compact(said)) != 1 {
		t.Errorf("%q", said)
	}
}
