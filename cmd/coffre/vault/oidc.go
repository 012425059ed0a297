package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"coffre/cmd/coffre/files"
	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore/replays"
	"coffre/handlers/acting"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// OIDCConfig says which OpenID provider vouches for callers, and what its tokens look like;
// docs/identity.md explains each setting.
type OIDCConfig struct {
	Profile token.Profile
	Refresh time.Duration // how often its keys are fetched anew
	Outage  time.Duration // for how long they count while it does not tell them
	CAFile  string        // PEM certificates to trust; "": the system's
}

// NewOIDC returns the configuration of a provider whose tokens are as Coffre asks for them.
func NewOIDC(issuer string) *OIDCConfig {
	return &OIDCConfig{Profile: token.NewProfile(issuer, token.Audience), Refresh: token.DefaultRefresh, Outage: token.DefaultOutage}
}

// OIDCSetting is one setting of a provider, which a flag or a variable gives.
type OIDCSetting struct {
	Flag, Variable, Usage string
	set                   func(c *OIDCConfig, text string) error
}

// OIDCSettings lists the settings of a provider; the issuer comes first, and without it no
// other one is given.
var OIDCSettings = []OIDCSetting{
	{"oidc-issuer", "COFFRE_OIDC_ISSUER", "`URL` of the OpenID provider whose tokens count, as the provider writes it", func(c *OIDCConfig, text string) error {
		c.Profile.Issuer = text
		return token.CheckURL(text)
	}},
	{"oidc-audience", "COFFRE_OIDC_AUDIENCE", "the `audience` its tokens must name (default coffre)", func(c *OIDCConfig, text string) error {
		c.Profile.Audience = text
		return nil
	}},
	{"oidc-types", "COFFRE_OIDC_TYPES", "accepted `types` of tokens: at+jwt, JWT (default at+jwt)", func(c *OIDCConfig, text string) error {
		c.Profile.Types = splitList(text)
		return nil
	}},
	{"oidc-algorithms", "COFFRE_OIDC_ALGORITHMS", "accepted `algorithms` (default EdDSA,ES256,PS256,RS256)", func(c *OIDCConfig, text string) error {
		c.Profile.Algorithms = splitList(text)
		return nil
	}},
	{"oidc-claims", "COFFRE_OIDC_CLAIMS", "`claims` that hold role, organization, onBehalfOf, ssin and scope, such as role=/realm_access/roles,ssin=egovNRN", func(c *OIDCConfig, text string) error {
		return pairs(text, func(what, claim string) error {
			if !c.Profile.Claims.Name(what, claim) {
				return errors.New("claims are of role, organization, onBehalfOf, ssin and scope")
			}
			return nil
		})
	}},
	{"oidc-roles", "COFFRE_OIDC_ROLES", "the provider's names of `roles`, such as issuer=vault-issuer,citizen=burger (default: as Coffre's)", func(c *OIDCConfig, text string) error {
		return pairs(text, c.Profile.NameRole)
	}},
	{"oidc-default-role", "COFFRE_OIDC_DEFAULT_ROLE", "`role` of a token that names none: citizen (default: none, it is refused)", func(c *OIDCConfig, text string) error {
		c.Profile.DefaultRole = domain.Role(text)
		return nil
	}},
	{"oidc-token-bytes", "COFFRE_OIDC_TOKEN_BYTES", "the longest token in `bytes` (default 16384)", func(c *OIDCConfig, text string) (err error) {
		c.Profile.MaxBytes, err = strconv.Atoi(text)
		return numberOf(err)
	}},
	{"oidc-refresh", "COFFRE_OIDC_REFRESH", "how `often` its keys are fetched anew, from 30s to 1h (default 5m)", func(c *OIDCConfig, text string) (err error) {
		if c.Refresh, err = time.ParseDuration(text); err != nil || c.Refresh < token.SmallestRefresh || c.Refresh > token.LargestRefresh {
			return errors.New("it is a duration from 30s to 1h, such as 5m")
		}
		return nil
	}},
	{"oidc-outage", "COFFRE_OIDC_OUTAGE", "for how `long` its keys count while it does not tell them, up to 24h (default 24h)", func(c *OIDCConfig, text string) (err error) {
		if c.Outage, err = time.ParseDuration(text); err != nil || c.Outage <= 0 || c.Outage > token.DefaultOutage {
			return errors.New("it is a duration up to 24h, such as 1h")
		}
		return nil
	}},
	{"oidc-ca-file", "COFFRE_OIDC_CA_FILE", "`file` of PEM certificates to trust at the provider (default: the system's)", func(c *OIDCConfig, text string) error {
		c.CAFile = text
		_, err := Trusted(text)
		return err
	}},
}

// ReadOIDC reads the settings of a provider, and reports all that is wrong with them, each
// under the name that it was given by. typed returns what was given by flag, lookup what the
// environment holds; the flag counts before the variable. nil: no provider.
func ReadOIDC(typed func(flag string) (string, bool), lookup func(string) string) (*OIDCConfig, error) {
	c, issuer := NewOIDC(""), OIDCSettings[0]
	var wrong []error
	given := ""
	for _, s := range OIDCSettings {
		name := "--" + s.Flag
		text, ok := typed(s.Flag)
		if !ok {
			name, text = s.Variable, lookup(s.Variable)
		}
		if text == "" && (!ok || s.Flag == issuer.Flag) {
			continue
		}
		if given == "" {
			given = name
		}
		if err := s.set(c, text); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", name, err))
		}
	}
	switch {
	case given == "":
		return nil, nil
	case c.Profile.Issuer == "":
		return nil, fmt.Errorf("%s is set, and no provider is named by --%s or %s", given, issuer.Flag, issuer.Variable)
	case len(wrong) == 0:
		wrong = append(wrong, c.Profile.Validate())
	}
	return c, errors.Join(wrong...)
}

// Provider returns what of the configuration is on record: the provider, and the settings
// that decide who somebody is.
func (c *OIDCConfig) Provider() (audit.Provider, error) {
	certificates := ""
	if c.CAFile != "" {
		text, err := files.ReadSmall(c.CAFile)
		if err != nil {
			return audit.Provider{}, fmt.Errorf("certificates to trust at the identity provider: %w", err)
		}
		certificates = digestOf(text)
	}
	return audit.Provider{Issuer: c.Profile.Issuer, Audience: c.Profile.Audience, Settings: c.Profile.Settings(certificates)}, nil
}

// digestOf returns the digest of a file of PEM certificates, whatever their order and the
// text between them.
func digestOf(text []byte) string {
	var all [][sha256.Size]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		all = append(all, sha256.Sum256(block.Bytes))
	}
	slices.SortFunc(all, func(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	whole := sha256.New()
	for _, one := range slices.Compact(all) {
		whole.Write(one[:])
	}
	return fmt.Sprintf("sha256:%x", whole.Sum(nil))
}

func splitList(text string) []string {
	var all []string
	for one := range strings.SplitSeq(text, ",") {
		all = append(all, strings.TrimSpace(one))
	}
	return all
}

// pairs gives each NAME=TEXT of a list to set.
func pairs(text string, set func(name, text string) error) error {
	var wrong []error
	for _, one := range splitList(text) {
		name, value, found := strings.Cut(one, "=")
		if !found || name == "" || value == "" {
			return errors.New("it is a list of NAME=VALUE with commas between")
		}
		wrong = append(wrong, set(name, value))
	}
	return errors.Join(wrong...)
}

func numberOf(err error) error {
	if err != nil {
		return errors.New("it is a number")
	}
	return nil
}

// Trusted returns the certificates of a PEM file. No error repeats its path.
func Trusted(path string) (*x509.CertPool, error) {
	text, err := files.ReadSmall(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("it holds no certificate")
	}
	return pool, nil
}

// keysOf returns the keys of the provider, which are fetched when the instance runs.
func (a *assembly) keysOf(c *OIDCConfig) (*token.ProviderKeys, error) {
	o := token.ProviderOptions{Logger: a.o.Logger, Refresh: c.Refresh, Outage: c.Outage}
	if c.CAFile != "" {
		pool, err := Trusted(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("certificates to trust at the identity provider: %w", err)
		}
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		a.onClose(func() error { transport.CloseIdleConnections(); return nil })
		o.Transport = transport
	}
	return token.NewProviderKeys(c.Profile.Issuer, o)
}

// proofs returns what judges proofs of possession.
func (a *assembly) proofs(public *url.URL) *token.Proofs {
	if public == nil {
		a.o.Logger.Info("tokens bound to a key (DPoP) are refused: --public-url or COFFRE_PUBLIC_URL does not say where callers reach the vault")
	}
	return &token.Proofs{Public: public, MAC: a.Ring.RequestMAC, Now: time.Now, Use: func(ctx context.Context, holder, proof []byte, until time.Time) (bool, error) {
		first, err := a.replays.Use(ctx, replays.Proof{Holder: holder, ID: proof, Until: until, Class: acting.ClassOf(edge.CallFrom(ctx).Operation)})
		if errors.Is(err, replays.ErrFull) {
			err = &token.UnavailableError{Reason: err.Error(), After: time.Minute}
		}
		return first, err
	}}
}
