package token

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	stdjson "encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"coffre/domain"
)

// madeByLibrary returns an access token as OpenIddict makes one: signed by RS256, and encrypted
// to the resource server's key unless to is nil. A library writes both, and none of our code.
func madeByLibrary(t *testing.T, issuer string, to *rsa.PublicKey) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: keys().rsa, KeyID: "rs"}}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	claims, err := stdjson.Marshal(map[string]any{
		"iss": issuer, "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "aud": Audience, "scope": "documents:issue documents:read",
		"jti": "f8c1d6c2-4a0b-4a8e-8b44-2f8c1c7a9f10", "sub": "u1", "oi_prst": "u1", "client_id": "u1", "oi_tkn_id": "0d5b2b3e-6c1f-4a77-9a57-3f2d7e8c1b20",
		"role": "issuer", "organization": "0206731645",
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil || to == nil {
		return token
	}
	encrypter, err := jose.NewEncrypter(jose.A256CBC_HS512, jose.Recipient{Algorithm: jose.RSA_OAEP, Key: to, KeyID: "encryption"}, (&jose.EncrypterOptions{}).WithType("at+jwt").WithContentType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := encrypter.Encrypt([]byte(token))
	if err != nil {
		t.Fatal(err)
	}
	if token, err = sealed.CompactSerialize(); err != nil {
		t.Fatal(err)
	}
	return token
}

// F13: a token of OpenIddict counts where its issuer is configured with the slash that it ends
// in, and not without. Encrypted, as it is by default, it is refused with what to change, and
// nothing is tried to open it.
func TestF13TokensOfOpenIddict(t *testing.T) {
	recipient, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		token, issuer string
		check, says   string // "": it counts
	}{
		"signed":                       {madeByLibrary(t, issuer+"/", nil), issuer + "/", "", ""},
		"configured without the slash": {madeByLibrary(t, issuer+"/", nil), issuer, "iss", "issuer"},
		"named without the slash":      {madeByLibrary(t, issuer, nil), issuer + "/", "iss", "issuer"},
		"encrypted":                    {madeByLibrary(t, issuer+"/", &recipient.PublicKey), issuer + "/", "encryption", "encrypted (JWE); the identity provider has to sign it and leave it readable"},
		"encrypted to the signing key": {madeByLibrary(t, issuer+"/", &keys().rsa.PublicKey), issuer + "/", "encryption", "encrypted (JWE)"},
	} {
		v := as(func(p *Profile) { p.Issuer = tc.issuer })
		v.keys = forbiddenUnless(t, v.keys, tc.check != "encryption")
		c, err := v.Authenticate(t.Context(), Bearer(tc.token))
		if tc.check == "" {
			if err != nil || c.Role != domain.RoleIssuer || c.Organisation != "0206731645" {
				t.Errorf("%s: %+v, %v", name, c, err)
			}
			continue
		}
		var why *Rejection
		if !errors.As(err, &why) || why.Check != tc.check || !strings.Contains(why.Reason, tc.says) || c.Role != "" {
			t.Errorf("%s: %+v, %v; want the check %q that says %q", name, c, err, tc.check, tc.says)
		}
	}
}

// forbidden are keys that nobody asks for.
type forbidden struct{ t *testing.T }

func (f forbidden) Key(context.Context, string) (*Key, error) {
	f.t.Error("a key is asked for")
	return nil, errors.New("no key")
}

func forbiddenUnless(t *testing.T, keys Keys, may bool) Keys {
	if may {
		return keys
	}
	return forbidden{t}
}
