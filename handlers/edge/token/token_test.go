package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"coffre/domain"
)

const issuer = "https://idp.example.org"

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// ring is a Keys of keys by id.
type ring map[string]*Key

var errAway = errors.New("provider away")

func (r ring) Key(_ context.Context, id string) (*Key, error) {
	if id == "away" {
		return nil, errAway
	}
	if k, ok := r[id]; ok {
		return k, nil
	}
	return nil, rejectKey("kid", "names no key")
}

type signers struct {
	ed       ed25519.PrivateKey
	p256     *ecdsa.PrivateKey
	p384     *ecdsa.PrivateKey
	rsa      *rsa.PrivateKey
	rsaSmall *rsa.PrivateKey
}

var keys = sync.OnceValue(func() signers {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var s signers
	var err error
	_, s.ed, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	s.p256, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	s.p384, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	s.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	s.rsaSmall, err = rsa.GenerateKey(rand.Reader, 1024)
	must(err)
	return s
})

func public() ring {
	s := keys()
	r := make(ring)
	for _, k := range []jose.JSONWebKey{
		{Key: s.ed.Public(), KeyID: "ed", Algorithm: "EdDSA", Use: "sig"}, {Key: &s.p256.PublicKey, KeyID: "es", Algorithm: "ES256"},
		{Key: &s.rsa.PublicKey, KeyID: "rs"}, {Key: &s.p384.PublicKey, KeyID: "p384"}, {Key: &s.rsaSmall.PublicKey, KeyID: "small"},
		{Key: s.ed.Public(), KeyID: "enc", Use: "enc"},
	} {
		r[k.KeyID] = &Key{k}
	}
	return r
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// raw signs any header and payload, also such that no library would.
func raw(header, payload string, sign func(input []byte) []byte) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	return input + "." + b64(sign([]byte(input)))
}

func withEd(input []byte) []byte { return ed25519.Sign(keys().ed, input) }

func withEC(key *ecdsa.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte {
		sum := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			panic(err)
		}
		out := make([]byte, 64)
		if key.Curve == elliptic.P256() {
			r.FillBytes(out[:32])
			s.FillBytes(out[32:])
		}
		return out
	}
}

func withRSA(key *rsa.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte {
		sum := sha256.Sum256(input)
		out, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			panic(err)
		}
		return out
	}
}

func withPSS(key *rsa.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte {
		sum := sha256.Sum256(input)
		out, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		if err != nil {
			panic(err)
		}
		return out
	}
}

func text(m map[string]any) string {
	b, err := stdjson.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// payload returns good claims with changes; a nil value removes one.
func payload(change map[string]any) string {
	c := map[string]any{
		"iss": issuer, "aud": Audience, "sub": "u1", "exp": now.Add(time.Hour).Unix(), "nbf": now.Unix(), "iat": now.Unix(),
		"role": "issuer", "organization": "0206731645", "scope": "documents:issue documents:read",
	}
	maps.Copy(c, change)
	for k, v := range c {
		if v == nil {
			delete(c, k)
		}
	}
	return text(c)
}

const edHeader = `{"alg":"EdDSA","kid":"ed","typ":"at+jwt"}`

var citizen = domain.CitizenID{UUID: uuid.MustParse("0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44")}

func verifier(resolve func(context.Context, domain.SSIN) (domain.CitizenID, error)) *Verifier {
	if resolve == nil {
		resolve = func(context.Context, domain.SSIN) (domain.CitizenID, error) { return citizen, nil }
	}
	return New(NewProfile(issuer, Audience), public(), resolve, func() time.Time { return now })
}

func TestGoodTokens(t *testing.T) {
	for name, tok := range map[string]string{
		"EdDSA":            raw(edHeader, payload(nil), withEd),
		"ES256":            raw(`{"alg":"ES256","kid":"es","typ":"application/at+jwt"}`, payload(nil), withEC(keys().p256)),
		"RS256":            raw(`{"alg":"RS256","kid":"rs","typ":"AT+JWT","x5t":"abc"}`, payload(nil), withRSA(keys().rsa)),
		"list of audience": raw(edHeader, payload(map[string]any{"aud": []string{"other", Audience}}), withEd),
		"foreign claims":   raw(edHeader, payload(map[string]any{"acr": "urn:be:fedict:iam:fas:Level500", "x": map[string]any{"y": 1}}), withEd),
		"fraction":         raw(edHeader, payload(map[string]any{"exp": float64(now.Unix()) + 1.5}), withEd),
		"PS256":            raw(`{"alg":"PS256","kid":"rs","typ":"at+jwt"}`, payload(nil), withPSS(keys().rsa)),
		"one role of many": raw(edHeader, payload(map[string]any{"role": []string{"offline_access", "issuer", "issuer"}}), withEd),
		"list of scopes":   raw(edHeader, payload(map[string]any{"scope": []string{"documents:issue", "documents:read"}}), withEd),
		"one organization": raw(edHeader, payload(map[string]any{"organization": []string{"0206731645"}}), withEd),
		"claims of null":   raw(edHeader, payload(nil)[:len(payload(nil))-1]+`,"ssin":null,"cnf":null,"onBehalfOf":null}`, withEd),
		"14 KB":            raw(edHeader, payload(map[string]any{"groups": strings.Repeat("g", 10_300)}), withEd),
		"clock lags":       raw(edHeader, payload(map[string]any{"nbf": now.Unix() + 20}), withEd),
	} {
		c, err := verifier(nil).Authenticate(t.Context(), Bearer(tok))
		if err != nil || c.Role != domain.RoleIssuer || c.Organisation != "0206731645" || len(c.Scopes) != 2 || c.Subject != "u1" || c.Session == uuid.Nil || !c.Citizen.IsZero() {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	for _, said := range []struct {
		claims map[string]any
		client string
	}{
		{map[string]any{"client_id": "allowances-app"}, "allowances-app"}, {map[string]any{"azp": "0203430576.back-end"}, "0203430576.back-end"},
		{map[string]any{"client_id": "a", "azp": "b"}, "a"}, {map[string]any{"client_id": 7, "azp": "b"}, "b"}, {nil, ""},
		{map[string]any{"client_id": "u1"}, ""}, // the subject
		{map[string]any{"client_id": "app-53.48.02-007.24"}, ""}, {map[string]any{"client_id": "the app"}, ""}, {map[string]any{"client_id": strings.Repeat("a", 101)}, ""},
	} {
		tok := raw(edHeader, payload(said.claims), withEd)
		c, err := verifier(nil).Authenticate(t.Context(), Bearer(tok))
		if err != nil || c.Client != said.client || c.TokenHash != sha256.Sum256([]byte(tok)) {
			t.Errorf("%v: client %q, hash %x, %v", said.claims, c.Client, c.TokenHash, err)
		}
	}
	c, err := verifier(nil).Authenticate(t.Context(), Bearer(raw(edHeader, payload(map[string]any{"role": "citizen", "organization": nil, "ssin": "53480200724"}), withEd)))
	if err != nil || c.Citizen != citizen {
		t.Errorf("citizen: %+v, %v", c, err)
	}
	c, err = verifier(nil).Authenticate(t.Context(), Bearer(raw(edHeader, payload(map[string]any{"onBehalfOf": "0671516647"}), withEd)))
	if err != nil || c.OnBehalfOf != "0671516647" {
		t.Errorf("integrator: %+v, %v", c, err)
	}
}

// hostile returns tokens that must not count, by what is wrong (attack 19).
func hostile() map[string]string {
	ed := func(header string) string { return raw(header, payload(nil), withEd) }
	claim := func(name string, value any) string {
		return raw(edHeader, payload(map[string]any{name: value}), withEd)
	}
	jwk := text(map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(keys().ed.Public().(ed25519.PublicKey))})
	good := ed(edHeader)
	parts := strings.Split(good, ".")
	mac := func(secret []byte) func([]byte) []byte {
		return func(input []byte) []byte { m := hmac.New(sha256.New, secret); m.Write(input); return m.Sum(nil) }
	}
	zero := func([]byte) []byte { return make([]byte, 64) }
	return map[string]string{
		"empty": "", "dots": "..", "one part": parts[0], "two parts": parts[0] + "." + parts[1], "four parts": good + ".x", "five parts": good + ".x.y",
		"blank inside": parts[0] + ". " + parts[1] + "." + parts[2], "standard base64": strings.Replace(good, parts[0], parts[0]+"==", 1),
		"no signature": parts[0] + "." + parts[1] + ".", "JSON form": `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"alg none":                   raw(`{"alg":"none","kid":"ed","typ":"at+jwt"}`, payload(nil), func([]byte) []byte { return nil }),
		"alg None":                   raw(`{"alg":"None","kid":"ed","typ":"at+jwt"}`, payload(nil), func([]byte) []byte { return nil }),
		"alg absent":                 ed(`{"kid":"ed","typ":"at+jwt"}`),
		"alg empty":                  ed(`{"alg":"","kid":"ed","typ":"at+jwt"}`),
		"alg null":                   ed(`{"alg":null,"kid":"ed","typ":"at+jwt"}`),
		"HS256 with the public key":  raw(`{"alg":"HS256","kid":"ed","typ":"at+jwt"}`, payload(nil), mac(keys().ed.Public().(ed25519.PublicKey))),
		"HS256 with the RSA key":     raw(`{"alg":"HS256","kid":"rs","typ":"at+jwt"}`, payload(nil), mac(keys().rsa.N.Bytes())),
		"RS512":                      raw(`{"alg":"RS512","kid":"rs","typ":"at+jwt"}`, payload(nil), withRSA(keys().rsa)),
		"PS256 signed as RS256":      raw(`{"alg":"PS256","kid":"rs","typ":"at+jwt"}`, payload(nil), withRSA(keys().rsa)),
		"RS256 said of an EdDSA key": raw(`{"alg":"RS256","kid":"ed","typ":"at+jwt"}`, payload(nil), withRSA(keys().rsa)),
		"EdDSA said of an EC key":    raw(`{"alg":"EdDSA","kid":"es","typ":"at+jwt"}`, payload(nil), withEd),
		"ES256 on P-384":             raw(`{"alg":"ES256","kid":"p384","typ":"at+jwt"}`, payload(nil), withEC(keys().p384)),
		"ES256 of zeros":             raw(`{"alg":"ES256","kid":"es","typ":"at+jwt"}`, payload(nil), zero),
		"RSA of 1024 bits":           raw(`{"alg":"RS256","kid":"small","typ":"at+jwt"}`, payload(nil), withRSA(keys().rsaSmall)),
		"a key for encryption":       ed(`{"alg":"EdDSA","kid":"enc","typ":"at+jwt"}`),
		"own key in jwk":             ed(`{"alg":"EdDSA","kid":"ed","typ":"at+jwt","jwk":` + jwk + `}`),
		"jwk without kid":            ed(`{"alg":"EdDSA","typ":"at+jwt","jwk":` + jwk + `}`),
		"jku":                        ed(`{"alg":"EdDSA","kid":"ed","typ":"at+jwt","jku":"https://evil.example/keys"}`),
		"x5u":                        ed(`{"alg":"EdDSA","kid":"ed","typ":"at+jwt","x5u":"https://evil.example/cert"}`),
		"x5c":                        ed(`{"alg":"EdDSA","kid":"ed","typ":"at+jwt","x5c":[]}`),
		"crit":                       ed(`{"alg":"EdDSA","kid":"ed","typ":"at+jwt","crit":["exp"]}`),
		"b64":                        ed(`{"alg":"EdDSA","kid":"ed","typ":"at+jwt","b64":false}`),
		"kid absent":                 ed(`{"alg":"EdDSA","typ":"at+jwt"}`),
		"kid unknown":                ed(`{"alg":"EdDSA","kid":"other","typ":"at+jwt"}`),
		"kid a path":                 ed(`{"alg":"EdDSA","kid":"../../dev/null","typ":"at+jwt"}`),
		"kid SQL":                    ed(`{"alg":"EdDSA","kid":"x' UNION SELECT 'y","typ":"at+jwt"}`),
		"kid twice":                  ed(`{"alg":"EdDSA","kid":"x","kid":"ed","typ":"at+jwt"}`),
		"alg twice":                  ed(`{"alg":"none","alg":"EdDSA","kid":"ed","typ":"at+jwt"}`),
		"ALG":                        ed(`{"ALG":"EdDSA","kid":"ed","typ":"at+jwt"}`),
		"typ absent":                 ed(`{"alg":"EdDSA","kid":"ed"}`),
		"typ JWT, as an ID token":    ed(`{"alg":"EdDSA","kid":"ed","typ":"JWT"}`),
		"typ logout":                 ed(`{"alg":"EdDSA","kid":"ed","typ":"logout+jwt"}`),
		"header no object":           ed(`"EdDSA"`),
		"header followed":            ed(edHeader + "{}"),
		"payload no object":          raw(edHeader, `"x"`, withEd),
		"payload not JSON":           raw(edHeader, `{`, withEd),
		"payload followed":           raw(edHeader, payload(nil)+"{}", withEd),
		"payload not UTF-8":          raw(edHeader, strings.Replace(payload(nil), "u1", "\xff", 1), withEd),
		"role twice":                 raw(edHeader, strings.Replace(payload(nil), `"role"`, `"role":"operator","role"`, 1), withEd),
		"signature of another":       parts[0] + "." + b64([]byte(payload(map[string]any{"role": "operator"}))) + "." + parts[2],
		"signature cut":              good[:len(good)-4],
		"iss other":                  claim("iss", "https://idp.example.org.evil"),
		"iss with slash":             claim("iss", issuer+"/"),
		"iss absent":                 claim("iss", nil),
		"aud other":                  claim("aud", "another-api"),
		"aud absent":                 claim("aud", nil),
		"aud empty list":             claim("aud", []string{}),
		"aud a number":               claim("aud", 1),
		"sub absent":                 claim("sub", nil),
		"exp absent":                 claim("exp", nil),
		"exp a string":               claim("exp", fmt.Sprint(now.Add(time.Hour).Unix())),
		"exp beyond all":             claim("exp", 1e300),
		"exp negative":               claim("exp", -1),
		"exp infinite":               raw(edHeader, strings.Replace(payload(map[string]any{"exp": 777}), "777", "1e9999", 1), withEd),
		"nbf later":                  claim("nbf", now.Add(time.Minute).Unix()),
		"iat later":                  claim("iat", now.Add(time.Minute).Unix()),
		"role absent":                claim("role", nil),
		"role unknown":               claim("role", "admin"),
		"role system":                claim("role", "system"),
		"role representative":        claim("role", "representative"),
		"role a list of two":         claim("role", []string{"issuer", "x", "consumer"}),
		"role a list of none":        claim("role", []string{}),
		"role a list of others":      claim("role", []string{"offline_access", "admin"}),
		"role a list of numbers":     claim("role", []int{1}),
		"role an object":             claim("role", map[string]any{"issuer": true}),
		"scope a number":             claim("scope", 1),
		"organization empty":         claim("organization", ""),
		"two organizations":          claim("organization", []string{"0206731645", "0671516647"}),
		"ssin empty":                 raw(edHeader, payload(map[string]any{"role": "citizen", "organization": nil, "ssin": ""}), withEd),
		"ssin a number":              raw(edHeader, payload(map[string]any{"role": "citizen", "organization": nil, "ssin": 53480200724}), withEd),
		"sub a list":                 claim("sub", []string{"u1"}),
		"iss a list":                 claim("iss", []string{issuer}),
		"an ID token":                claim("at_hash", "x"),
		"an ID token with nonce":     claim("nonce", "x"),
		"a logout token":             claim("events", map[string]any{}),
		"a refresh token":            claim("typ", "Refresh"),
		"bound to a certificate":     claim("cnf", map[string]any{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
		"bound to a key":             claim("cnf", map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
		"bound to both":              claim("cnf", map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "kid": "x"}),
		"bound to an unknown thing":  claim("cnf", map[string]any{"kid": "x"}),
		"bound to nothing":           claim("cnf", map[string]any{}),
		"bound to an empty key":      claim("cnf", map[string]any{"jkt": ""}),
		"bound to a text":            claim("cnf", "x"),
		"encrypted":                  b64([]byte(`{"alg":"RSA-OAEP","enc":"A256GCM","typ":"at+jwt","cty":"JWT"}`)) + ".a.b.c.d",
		"issuer without number":      claim("organization", nil),
		"issuer with a bad number":   claim("organization", "0206731646"),
		"issuer who is a person":     claim("ssin", "53480200724"),
		"issuer with a citizenId":    claim("citizenId", citizen.String()),
		"bad onBehalfOf":             claim("onBehalfOf", "x"),
		"citizen of an organization": claim("role", "citizen"),
		"citizen without number":     raw(edHeader, payload(map[string]any{"role": "citizen", "organization": nil}), withEd),
		"citizen with a bad number":  raw(edHeader, payload(map[string]any{"role": "citizen", "organization": nil, "ssin": "53480200725"}), withEd),
		"citizenId of a provider":    raw(edHeader, payload(map[string]any{"role": "citizen", "organization": nil, "citizenId": citizen.String()}), withEd),
		"number and citizenId":       raw(edHeader, payload(map[string]any{"role": "citizen", "organization": nil, "ssin": "53480200724", "citizenId": citizen.String()}), withEd),
		"large":                      claim("x", strings.Repeat("y", DefaultMaxBytes)),
		"a megabyte":                 strings.Repeat("A", 1<<20),
	}
}

// failedChecks names, for each hostile token, the claim or check that the log has to name.
var failedChecks = map[string][]string{
	"form":         {"empty", "one part", "two parts", "four parts", "five parts", "blank inside", "standard base64", "JSON form"},
	"header":       {"dots", "own key in jwk", "jwk without kid", "jku", "x5u", "x5c", "crit", "b64", "kid twice", "alg twice", "ALG", "header no object", "header followed"},
	"alg":          {"alg none", "alg None", "alg null", "alg absent", "alg empty", "HS256 with the public key", "HS256 with the RSA key", "RS512", "RS256 said of an EdDSA key", "EdDSA said of an EC key", "ES256 on P-384", "RSA of 1024 bits", "a key for encryption"},
	"signature":    {"no signature", "PS256 signed as RS256", "ES256 of zeros", "signature of another", "signature cut"},
	"kid":          {"kid absent", "kid unknown", "kid a path", "kid SQL"},
	"typ":          {"typ absent", "typ JWT, as an ID token", "typ logout", "an ID token", "an ID token with nonce", "a logout token", "a refresh token"},
	"claims":       {"payload no object", "payload not JSON", "payload followed", "payload not UTF-8", "role twice"},
	"iss":          {"iss other", "iss with slash", "iss absent", "iss a list"},
	"aud":          {"aud other", "aud absent", "aud empty list", "aud a number"},
	"sub":          {"sub absent", "sub a list"},
	"exp":          {"exp absent", "exp a string", "exp beyond all", "exp negative", "exp infinite"},
	"nbf":          {"nbf later"},
	"iat":          {"iat later"},
	"role":         {"role absent", "role unknown", "role system", "role representative", "role a list of two", "role a list of none", "role a list of others", "role a list of numbers", "role an object"},
	"scope":        {"scope a number"},
	"organization": {"issuer without number", "issuer with a bad number", "organization empty", "two organizations", "citizen of an organization"},
	"onBehalfOf":   {"bad onBehalfOf"},
	"ssin":         {"issuer who is a person", "citizen without number", "citizen with a bad number", "ssin empty", "ssin a number"},
	"citizenId":    {"issuer with a citizenId", "citizenId of a provider", "number and citizenId"},
	"cnf":          {"bound to both", "bound to an unknown thing", "bound to nothing", "bound to an empty key", "bound to a text"},
	"cnf.jkt":      {"bound to a key"},
	"cnf.x5t#S256": {"bound to a certificate"},
	"encryption":   {"encrypted"},
	"size":         {"large", "a megabyte"},
}

// A token that must not count is refused with the name of the claim or check that failed, and
// neither the log nor the answer repeats a value of it.
func TestHostileTokens(t *testing.T) {
	corpus, v := hostile(), verifier(nil)
	if len(corpus) < 90 {
		t.Fatalf("only %d tokens", len(corpus))
	}
	want := make(map[string]string)
	for check, names := range failedChecks {
		for _, name := range names {
			want[name] = check
		}
	}
	for name, tok := range corpus {
		for range 2 { // what was refused is not remembered as good
			c, err := v.Authenticate(t.Context(), Bearer(tok))
			if !errors.Is(err, ErrInvalid) || c.Role != "" {
				t.Errorf("%s: %+v, %v", name, c, err)
				continue
			}
			var why *Rejection
			if !errors.As(err, &why) || want[name] == "" || why.Check != want[name] || why.Reason == "" || why.Detail == "" {
				t.Errorf("%s: %v, want the check %q", name, err, want[name])
				continue
			}
			for _, value := range []string{"evil", "another-api", "u1", "020673", "067151", "534802", "0b7f9c1e", "dev/null", "UNION", "RS512", "HS256", "None", "admin", "offline", "bwcK0esc", "0ZcOCORZ", tok} {
				if value != "" && strings.Contains(why.Error()+why.Detail, value) {
					t.Errorf("%s: says too much: %v, %s", name, err, why.Detail)
				}
			}
		}
	}
	if v.verified.Len() != 2 { // those that count with a proof, and over a connection with a certificate
		t.Errorf("%d remembered", v.verified.Len())
	}
}

func TestExpiry(t *testing.T) {
	clock := now
	v := New(NewProfile(issuer, Audience), public(), nil, func() time.Time { return clock })
	tok := raw(edHeader, payload(map[string]any{"exp": now.Add(time.Minute).Unix()}), withEd)
	for _, step := range []struct {
		at   time.Duration
		want error
	}{{0, nil}, {59 * time.Second, nil}, {time.Minute, ErrExpired}, {time.Hour, ErrExpired}} {
		clock = now.Add(step.at)
		if _, err := v.Authenticate(t.Context(), Bearer(tok)); !errors.Is(err, step.want) || (err == nil) != (step.want == nil) {
			t.Errorf("after %s: %v", step.at, err)
		}
	}
}

// A verified token is remembered for five minutes, never longer than its key is there; a
// person who is not known yet is asked for each time.
func TestF34RememberedTokensEndWithTheirKey(t *testing.T) {
	clock, have := now, public()
	asked, found := 0, domain.CitizenID{}
	v := New(NewProfile(issuer, Audience), have, func(context.Context, domain.SSIN) (domain.CitizenID, error) { asked++; return found, nil }, func() time.Time { return clock })
	tok := raw(edHeader, payload(nil), withEd)
	login := raw(edHeader, payload(map[string]any{"role": "citizen", "organization": nil, "ssin": "53480200724"}), withEd)
	for want := range 3 {
		if want == 2 {
			found = citizen
		}
		if c, err := v.Authenticate(t.Context(), Bearer(login)); err != nil || c.Citizen != found || asked != want+1 {
			t.Errorf("%+v, %v, asked %d", c, err, asked)
		}
	}
	for _, at := range []time.Duration{cacheTime - time.Second, cacheTime} {
		clock = now.Add(at)
		if c, err := v.Authenticate(t.Context(), Bearer(login)); err != nil || c.Citizen != citizen || asked != 3+int(at/cacheTime) {
			t.Errorf("after %s: %+v, %v, asked %d", at, c, err, asked)
		}
	}
	clock = now
	if _, err := v.Authenticate(t.Context(), Bearer(tok)); err != nil || v.verified.Len() != 2 {
		t.Fatal(err, v.verified.Len())
	}
	other := *have["ed"]
	have["ed"] = &other // the id was given to another key
	other.Key = keys().p256.Public()
	if _, err := v.Authenticate(t.Context(), Bearer(tok)); !errors.Is(err, ErrInvalid) {
		t.Errorf("its id is another key's: %v", err)
	}
	delete(have, "ed")
	for _, tok := range []string{tok, login} {
		if _, err := v.Authenticate(t.Context(), Bearer(tok)); !errors.Is(err, ErrInvalid) {
			t.Errorf("its key is gone: %v", err)
		}
	}
	if v.verified.Len() != 0 {
		t.Errorf("%d are remembered without their key", v.verified.Len())
	}
}

// What cannot be known now is no verdict about the token.
func TestAway(t *testing.T) {
	if _, err := verifier(nil).Authenticate(t.Context(), Bearer(raw(`{"alg":"EdDSA","kid":"away","typ":"at+jwt"}`, payload(nil), withEd))); !errors.Is(err, errAway) || errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
	v := verifier(func(context.Context, domain.SSIN) (domain.CitizenID, error) { return domain.CitizenID{}, errAway })
	_, err := v.Authenticate(t.Context(), Bearer(raw(edHeader, payload(map[string]any{"role": "citizen", "organization": nil, "ssin": "53480200724"}), withEd)))
	if !errors.Is(err, errAway) || errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "53480200724") {
		t.Errorf("%v", err)
	}
}

func TestDevKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dev-token.key")
	opened := make([]*DevKey, 8)
	var wg sync.WaitGroup
	for i := range opened {
		wg.Go(func() {
			k, err := OpenDevKey(path)
			if err != nil {
				t.Error(err)
				return
			}
			opened[i] = k
		})
	}
	if wg.Wait(); t.Failed() {
		return
	}
	for _, k := range opened {
		if k.id != opened[0].id {
			t.Fatal("two keys")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	number, err := domain.ParseSSIN("53480200724")
	if err != nil {
		t.Fatal(err)
	}
	v := NewDev(opened[0], func(context.Context, domain.SSIN) (domain.CitizenID, error) { return citizen, nil }, func() time.Time { return now })
	for _, g := range []Grant{
		{Role: domain.RoleIssuer, Organisation: "0206731645", Scopes: []string{"a", "b"}}, {Role: domain.RoleConsumer, Organisation: "0206731645", OnBehalfOf: "0671516647"},
		{Role: domain.RoleCitizen, Citizen: citizen}, {Role: domain.RoleCitizen, SSIN: number}, {Role: domain.RoleAuditor, Subject: "eve"},
	} {
		tok, err := opened[0].Mint(g, now, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		c, err := v.Authenticate(t.Context(), Bearer(tok))
		if err != nil || c.Role != g.Role || c.Organisation != g.Organisation || c.OnBehalfOf != g.OnBehalfOf || strings.Join(c.Scopes, " ") != strings.Join(g.Scopes, " ") || (g.Role == domain.RoleCitizen) != (c.Citizen == citizen) || c.Expires.Unix() != now.Add(time.Hour).Unix() {
			t.Errorf("%+v: %+v, %v", g.Role, c, err)
		}
		again, err := opened[0].Mint(g, now, time.Hour)
		if err != nil || again == tok {
			t.Errorf("two tokens are one: %v", err)
		}
	}
	other, err := OpenDevKey(filepath.Join(t.TempDir(), "k"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := other.Mint(Grant{Role: domain.RoleOperator}, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Authenticate(t.Context(), Bearer(tok)); !errors.Is(err, ErrInvalid) {
		t.Errorf("another key's token: %v", err)
	}
	if err := os.WriteFile(path, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDevKey(path); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a broken key file: %v", err)
	}
	if _, err := OpenDevKey(filepath.Join(path, "below")); err == nil {
		t.Error("opened a key below a file")
	}
}

// Only the development key's tokens say why their holder works on the vault's machine, in
// words that are known; a provider's do not.
func TestWhyIsSaidByOwnTokensOnly(t *testing.T) {
	key, err := OpenDevKey(filepath.Join(t.TempDir(), "dev-token.key"))
	if err != nil {
		t.Fatal(err)
	}
	v := NewDev(key, nil, func() time.Time { return now })
	for _, tc := range []struct {
		g    Grant
		good bool
	}{
		{Grant{Role: domain.RoleOperator, Why: "incident", Case: "INC-1"}, true},
		{Grant{Role: domain.RoleOperator, Why: "incident"}, true},
		{Grant{Role: domain.RoleOperator, Why: "curiosity"}, false},
		{Grant{Role: domain.RoleOperator, Case: "INC-1"}, false},
		{Grant{Role: domain.RoleOperator, Why: "incident", Case: strings.Repeat("c", MaxCase+1)}, false},
	} {
		tok, err := key.Mint(tc.g, now, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		c, err := v.Authenticate(t.Context(), Bearer(tok))
		if tc.good != (err == nil) || tc.good && (c.Why != tc.g.Why || c.Case != tc.g.Case) {
			t.Errorf("%+v: %+v, %v", tc.g, c, err)
		}
	}
	provided := verifier(nil)
	c, err := provided.Authenticate(t.Context(), Bearer(raw(edHeader, payload(map[string]any{"role": "operator", "organization": nil, "why": "incident", "case": "INC-1"}), withEd)))
	if err != nil || c.Why != "" || c.Case != "" || c.Door != "" {
		t.Errorf("a provider's token: %+v, %v", c, err)
	}
}

// FuzzToken: nothing but what was signed is believed, and nothing panics.
func FuzzToken(f *testing.F) {
	for name, tok := range hostile() {
		if len(tok) < 2000 && !strings.HasPrefix(name, "ES256") {
			f.Add(tok)
		}
	}
	good := raw(edHeader, payload(nil), withEd)
	v := verifier(nil)
	f.Fuzz(func(t *testing.T, tok string) {
		if c, err := v.Authenticate(t.Context(), Bearer(tok)); (err == nil && tok[:len(good)-4] != good[:len(good)-4]) || (err != nil && c.Role != "") {
			t.Fatalf("%+v, %v", c, err)
		}
	})
}
