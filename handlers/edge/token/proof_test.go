package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	public443 = "https://vault.example.be"
	target    = "/vault/v1/documents"
)

// holder is a key that tokens are bound to.
type holder struct {
	alg  string
	jwk  string // public
	sign func([]byte) []byte
	jkt  string
}

func holderOf(alg string, key any, sign func([]byte) []byte) holder {
	k := jose.JSONWebKey{Key: key}
	text, err := k.MarshalJSON()
	if err != nil {
		panic(err)
	}
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return holder{alg, string(text), sign, b64(sum)}
}

func holders() map[string]holder {
	s := keys()
	return map[string]holder{
		"ES256": holderOf("ES256", &s.p256.PublicKey, withEC(s.p256)), "EdDSA": holderOf("EdDSA", s.ed.Public().(ed25519.PublicKey), withEd),
		"PS256": holderOf("PS256", &s.rsa.PublicKey, withPSS(s.rsa)), "RS256": holderOf("RS256", &s.rsa.PublicKey, withRSA(s.rsa)),
	}
}

// memory remembers proofs as a vault's processes do.
type memory struct {
	mu   sync.Mutex
	used map[string]time.Time
	away error
}

func (m *memory) use(_ context.Context, holder, proof []byte, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away != nil {
		return false, m.away
	}
	id := string(holder) + "\x00" + string(proof)
	_, used := m.used[id]
	m.used[id] = until
	return !used, nil
}

// bound returns a verifier that takes proofs, by a clock.
func bound(at func() time.Time) (*Verifier, *memory) {
	u, err := url.Parse(public443)
	if err != nil {
		panic(err)
	}
	m := &memory{used: make(map[string]time.Time)}
	v := New(NewProfile(issuer, Audience), public(), nil, at)
	v.Proofs = &Proofs{Public: u, Now: at, Use: m.use, MAC: func(parts ...[]byte) (sum [sha256.Size]byte) {
		mac := hmac.New(sha256.New, []byte("key of the deployment"))
		for _, p := range parts {
			mac.Write(p)
		}
		mac.Sum(sum[:0])
		return sum
	}}
	return v, m
}

func (h holder) token() string {
	return raw(edHeader, payload(map[string]any{"cnf": map[string]any{"jkt": h.jkt}}), withEd)
}

func (h holder) header() string {
	return `{"typ":"dpop+jwt","alg":"` + h.alg + `","jwk":` + h.jwk + `}`
}

// claims returns the claims of a good proof with changes; a nil value removes one.
func (h holder) claims(v *Verifier, token string, change map[string]any) string {
	hash := sha256.Sum256([]byte(token))
	c := map[string]any{"jti": rand.Text(), "htm": "POST", "htu": public443 + target, "iat": v.now().Unix(), "ath": b64(hash[:]), "nonce": v.Proofs.Nonce()}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, value any) bool { return value == nil })
	return text(c)
}

func with(token string, proofs ...string) Presented {
	return Presented{Token: token, DPoP: true, Proofs: proofs, Method: "POST", Path: target}
}

// A token that is bound to a key counts with a proof of every algorithm, once a proof.
func TestProofOfPossession(t *testing.T) {
	clock := now
	v, m := bound(func() time.Time { return clock })
	for alg, h := range holders() {
		proof := raw(h.header(), h.claims(v, h.token(), nil), h.sign)
		token := h.token()
		if c, err := v.Authenticate(t.Context(), with(token, proof)); err != nil || c.Role != "issuer" {
			t.Errorf("%s: %+v, %v", alg, c, err)
		}
		for _, again := range []Presented{with(token, proof), with(h.token(), proof)} {
			if _, err := v.Authenticate(t.Context(), again); check(err) != "dpop.jti" {
				t.Errorf("%s: a proof used twice: %v", alg, err)
			}
		}
	}
	for _, until := range m.used {
		if !until.Equal(now.Add(proofLife)) {
			t.Errorf("a proof is remembered until %s", until)
		}
	}
	h := holders()["ES256"]
	for name, change := range map[string]map[string]any{
		"the port said": {"htu": public443 + ":443" + target}, "upper case": {"htu": "HTTPS://Vault.Example.be" + target},
		"a clock that is ahead": {"iat": now.Add(20 * time.Second).Unix()}, "a minute old": {"iat": now.Add(-time.Minute).Unix()}, "more claims": {"exp": 1},
	} {
		token := h.token()
		if _, err := v.Authenticate(t.Context(), with(token, raw(h.header(), h.claims(v, token, change), h.sign))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// check returns the check that a rejection names.
func check(err error) string {
	var why *Rejection
	if !errors.As(err, &why) || !errors.Is(err, ErrInvalid) {
		return ""
	}
	return why.Check
}

// hostileProofs returns proofs that must not count, by what is wrong, each for the token of
// the holder of ES256.
func hostileProofs(v *Verifier, token string) map[string]struct{ check, proof string } {
	h, other := holders()["ES256"], holders()["EdDSA"]
	claim := func(name string, value any) string {
		return raw(h.header(), h.claims(v, token, map[string]any{name: value}), h.sign)
	}
	head := func(header string) string { return raw(header, h.claims(v, token, nil), h.sign) }
	good := h.claims(v, token, nil)
	private, err := jose.JSONWebKey{Key: keys().p256}.MarshalJSON()
	if err != nil {
		panic(err)
	}
	small := holderOf("RS256", &keys().rsaSmall.PublicKey, withRSA(keys().rsaSmall))
	secret := []byte("secret of the client's own")
	hash := sha256.Sum256([]byte("another token"))
	return map[string]struct{ check, proof string }{
		"empty":                    {"dpop.form", ""},
		"three dots":               {"dpop.form", "a.b.c.d"},
		"no base64":                {"dpop.form", "{}.{}.x"},
		"a megabyte":               {"dpop.form", strings.Repeat("A", 1<<20)},
		"header no object":         {"dpop.header", raw(`"x"`, good, h.sign)},
		"header with a name twice": {"dpop.header", head(`{"typ":"dpop+jwt","alg":"none","alg":"ES256","jwk":` + h.jwk + `}`)},
		"crit":                     {"dpop.header", head(`{"typ":"dpop+jwt","alg":"ES256","crit":["x"],"jwk":` + h.jwk + `}`)},
		"b64":                      {"dpop.header", head(`{"typ":"dpop+jwt","alg":"ES256","b64":false,"jwk":` + h.jwk + `}`)},
		"typ JWT":                  {"dpop.typ", head(`{"typ":"JWT","alg":"ES256","jwk":` + h.jwk + `}`)},
		"typ absent":               {"dpop.typ", head(`{"alg":"ES256","jwk":` + h.jwk + `}`)},
		"an access token":          {"dpop.typ", token},
		"alg none":                 {"dpop.alg", raw(`{"typ":"dpop+jwt","alg":"none","jwk":`+h.jwk+`}`, good, func([]byte) []byte { return nil })},
		"alg HS256":                {"dpop.alg", raw(`{"typ":"dpop+jwt","alg":"HS256","jwk":{"kty":"oct","k":"`+b64(secret)+`"}}`, good, func(in []byte) []byte { m := hmac.New(sha256.New, secret); m.Write(in); return m.Sum(nil) })},
		"alg RS512":                {"dpop.alg", head(`{"typ":"dpop+jwt","alg":"RS512","jwk":` + h.jwk + `}`)},
		"no key":                   {"dpop.jwk", head(`{"typ":"dpop+jwt","alg":"ES256"}`)},
		"a key of null":            {"dpop.jwk", head(`{"typ":"dpop+jwt","alg":"ES256","jwk":null}`)},
		"a secret key":             {"dpop.jwk", head(`{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"oct","k":"` + b64(secret) + `"}}`)},
		"a private key":            {"dpop.jwk", head(`{"typ":"dpop+jwt","alg":"ES256","jwk":` + string(private) + `}`)},
		"a key that does not fit":  {"dpop.jwk", head(`{"typ":"dpop+jwt","alg":"ES256","jwk":` + other.jwk + `}`)},
		"a key for encryption":     {"dpop.jwk", head(`{"typ":"dpop+jwt","alg":"ES256","jwk":` + strings.Replace(h.jwk, "{", `{"key_ops":["encrypt"],`, 1) + `}`)},
		"a key for nothing":        {"dpop.jwk", head(`{"typ":"dpop+jwt","alg":"ES256","jwk":` + strings.Replace(h.jwk, "{", `{"key_ops":[],`, 1) + `}`)},
		"a weak key":               {"dpop.jwk", raw(small.header(), good, small.sign)},
		"another's key":            {"dpop.jwk", raw(other.header(), good, other.sign)},
		"signed by another":        {"dpop.signature", raw(h.header(), good, withEC(mustP256()))},
		"signature of zeros":       {"dpop.signature", raw(h.header(), good, func([]byte) []byte { return make([]byte, 64) })},
		"claims no object":         {"dpop.claims", raw(h.header(), `[]`, h.sign)},
		"a claim twice":            {"dpop.claims", raw(h.header(), strings.Replace(good, `"htm"`, `"htm":"GET","htm"`, 1), h.sign)},
		"htm other":                {"dpop.htm", claim("htm", "GET")},
		"htm in lower case":        {"dpop.htm", claim("htm", "post")},
		"htm absent":               {"dpop.htm", claim("htm", nil)},
		"htu other path":           {"dpop.htu", claim("htu", public443+target+"/x")},
		"htu other host":           {"dpop.htu", claim("htu", "https://evil.example"+target)},
		"htu other port":           {"dpop.htu", claim("htu", public443+":8443"+target)},
		"htu in clear":             {"dpop.htu", claim("htu", "http://vault.example.be"+target)},
		"htu with a query":         {"dpop.htu", claim("htu", public443+target+"?x=1")},
		"htu with a user":          {"dpop.htu", claim("htu", "https://vault.example.be@evil.example"+target)},
		"htu relative":             {"dpop.htu", claim("htu", target)},
		"htu a list":               {"dpop.htu", claim("htu", []string{public443 + target})},
		"htu absent":               {"dpop.htu", claim("htu", nil)},
		"ath of another token":     {"dpop.ath", claim("ath", b64(hash[:]))},
		"ath absent":               {"dpop.ath", claim("ath", nil)},
		"jti absent":               {"dpop.jti", claim("jti", nil)},
		"jti empty":                {"dpop.jti", claim("jti", "")},
		"jti long":                 {"dpop.jti", claim("jti", strings.Repeat("j", maxProofID+1))},
		"jti a number":             {"dpop.jti", claim("jti", 7)},
		"iat absent":               {"dpop.iat", claim("iat", nil)},
		"iat a text":               {"dpop.iat", claim("iat", "now")},
		"iat old":                  {"dpop.iat", claim("iat", now.Add(-proofLife-time.Second).Unix())},
		"iat later":                {"dpop.iat", claim("iat", now.Add(leeway+time.Second).Unix())},
		"iat beyond all":           {"dpop.iat", claim("iat", 1e300)},
		"nonce absent":             {"dpop.nonce", claim("nonce", nil)},
		"nonce other":              {"dpop.nonce", claim("nonce", "abc")},
		"nonce long":               {"dpop.nonce", claim("nonce", strings.Repeat("n", maxNonce+1))},
		"nonce a number":           {"dpop.nonce", claim("nonce", 1)},
		"nonce of long ago":        {"dpop.nonce", claim("nonce", v.Proofs.nonceOf(v.Proofs.step(now.Add(-2*nonceStep))))},
	}
}

func mustP256() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(keys().p256.Curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// A proof that must not count is refused by the name of what failed, says no value, and is
// not remembered.
func TestHostileProofs(t *testing.T) {
	v, m := bound(func() time.Time { return now })
	token := holders()["ES256"].token()
	corpus := hostileProofs(v, token)
	if len(corpus) < 45 {
		t.Fatalf("only %d proofs", len(corpus))
	}
	for name, tc := range corpus {
		_, err := v.Authenticate(t.Context(), with(token, tc.proof))
		var why *Rejection
		if !errors.As(err, &why) || why.Check != tc.check || !why.Proof || why.Challenge != invalidProof && why.Challenge != useNonce || (why.Challenge == useNonce) != (tc.check == "dpop.nonce") {
			t.Errorf("%s: %v, want %s", name, err, tc.check)
			continue
		}
		for _, value := range []string{"evil", "8443", "RS512", "HS256", "abc"} {
			if strings.Contains(why.Error()+why.Detail, value) {
				t.Errorf("%s: says too much: %v", name, err)
			}
		}
	}
	if len(m.used) != 0 {
		t.Errorf("%d refused proofs are remembered", len(m.used))
	}
}

// A token that is bound never counts as a plain bearer token, nor a plain one with a proof,
// nor any with several proofs, nor where no proof can be judged.
func TestBoundTokensAreNoBearerTokens(t *testing.T) {
	v, m := bound(func() time.Time { return now })
	h := holders()["ES256"]
	token, plain := h.token(), raw(edHeader, payload(nil), withEd)
	proof := func(token string) string { return raw(h.header(), h.claims(v, token, nil), h.sign) }
	bearer := Bearer(token)
	bearer.Proofs = []string{proof(token)}
	plainWithProof := Bearer(plain)
	plainWithProof.Proofs = []string{proof(plain)}
	other := with(token, proof(token))
	other.Method = "GET"
	elsewhere := with(token, proof(token))
	elsewhere.Path = target + "/query"
	for name, tc := range map[string]struct {
		p     Presented
		check string
	}{
		"as a bearer token":        {Bearer(token), "cnf.jkt"},
		"as one, with a proof":     {bearer, "cnf.jkt"},
		"a plain one as DPoP":      {with(plain, proof(plain)), "cnf"},
		"a plain one with a proof": {plainWithProof, "cnf"},
		"without a proof":          {with(token), "dpop.header"},
		"with two proofs":          {with(token, proof(token), proof(token)), "dpop.header"},
		"to another method":        {other, "dpop.htm"},
		"to another path":          {elsewhere, "dpop.htu"},
	} {
		for range 2 {
			if _, err := v.Authenticate(t.Context(), tc.p); check(err) != tc.check {
				t.Errorf("%s: %v, want %s", name, err, tc.check)
			}
		}
	}
	if _, err := v.Authenticate(t.Context(), with(token, proof(token))); err != nil {
		t.Errorf("with its proof: %v", err)
	}
	m.away = errors.New("the memory is away")
	if _, err := v.Authenticate(t.Context(), with(token, proof(token))); !errors.Is(err, m.away) || errors.Is(err, ErrInvalid) {
		t.Errorf("while nobody knows what was used: %v", err)
	}
	v.Proofs.Public = nil
	if _, err := v.Authenticate(t.Context(), with(token, proof(token))); check(err) != "cnf.jkt" {
		t.Errorf("without a public URL: %v", err)
	}
	v.Proofs = nil
	if _, err := v.Authenticate(t.Context(), with(token)); check(err) != "cnf.jkt" {
		t.Errorf("without proofs: %v", err)
	}
}

// A token that is bound to a certificate counts over a connection on which that certificate was
// shown, also when it is remembered, and neither with the scheme DPoP nor with a proof.
func TestTokensBoundToACertificate(t *testing.T) {
	v, _ := bound(func() time.Time { return now })
	mine, others := sha256.Sum256([]byte("mine")), sha256.Sum256([]byte("another's"))
	token := raw(edHeader, payload(map[string]any{"cnf": map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(mine[:])}}), withEd)
	over := func(certificate [sha256.Size]byte, change func(*Presented)) Presented {
		p := Bearer(token)
		p.Certificate = certificate
		if change != nil {
			change(&p)
		}
		return p
	}
	for range 2 {
		for name, tc := range map[string]struct {
			p     Presented
			check string
		}{
			"over a connection without one": {over([sha256.Size]byte{}, nil), "cnf.x5t#S256"},
			"over one with another":         {over(others, nil), "cnf.x5t#S256"},
			"with the scheme DPoP":          {over(mine, func(p *Presented) { p.DPoP = true }), "cnf"},
			"with a proof":                  {over(mine, func(p *Presented) { p.Proofs = []string{"x"} }), "cnf"},
		} {
			if _, err := v.Authenticate(t.Context(), tc.p); check(err) != tc.check {
				t.Errorf("%s: %v, want %s", name, err, tc.check)
			}
		}
		if _, err := v.Authenticate(t.Context(), over(mine, nil)); err != nil {
			t.Error(err)
		}
	}
	for name, cnf := range map[string]any{"twice bound": map[string]any{"x5t#S256": "x", "jkt": "x"}, "to nothing": map[string]any{"x5t#S256": ""}, "to a number": map[string]any{"x5t#S256": 1}} {
		p := over(mine, nil)
		p.Token = raw(edHeader, payload(map[string]any{"cnf": cnf}), withEd)
		if _, err := v.Authenticate(t.Context(), p); check(err) != "cnf" {
			t.Errorf("%s: %v", name, err)
		}
	}
	plain := over(others, nil)
	plain.Token = raw(edHeader, payload(nil), withEd)
	if _, err := v.Authenticate(t.Context(), plain); err != nil {
		t.Errorf("a token that is bound to nothing, over a connection with a certificate: %v", err)
	}
}

// A nonce counts for two to four minutes, in every process, and changes.
func TestNonceOfProofs(t *testing.T) {
	clock := now
	v, _ := bound(func() time.Time { return clock })
	first := v.Proofs.Nonce()
	if other, _ := bound(func() time.Time { return now }); other.Proofs.Nonce() != first {
		t.Error("two processes have two nonces")
	}
	for _, tc := range []struct {
		after time.Duration
		good  bool
	}{{0, true}, {nonceStep, true}, {2*nonceStep - time.Second, true}, {3 * nonceStep, false}, {-nonceStep, true}, {-3 * nonceStep, false}} {
		if v.Proofs.isNonce(first, now.Add(tc.after)) != tc.good {
			t.Errorf("after %s", tc.after)
		}
	}
	seen := []string{first}
	for range 5 {
		clock = clock.Add(nonceStep)
		seen = append(seen, v.Proofs.Nonce())
	}
	if slices.Sort(seen); len(slices.Compact(seen)) != 6 {
		t.Errorf("%q", seen)
	}
	clock = now
	h := holders()["ES256"]
	token := h.token()
	late := h.claims(v, token, map[string]any{"iat": now.Add(nonceStep).Unix()})
	if clock = now.Add(nonceStep); v.held(t.Context(), with(token, raw(h.header(), late, h.sign)), binding{thumbprint: h.jkt}) != nil {
		t.Error("the nonce of the step before does not count")
	}
}

// The path of a public URL stands before the path of the request.
func TestPublicURLWithAPath(t *testing.T) {
	for _, public := range []string{"https://gate.example/coffre", "https://gate.example:443/coffre/", "http://[::1]:8080"} {
		u, err := url.Parse(public)
		if err != nil {
			t.Fatal(err)
		}
		d := Proofs{Public: u}
		good := strings.TrimSuffix(public, "/") + target
		if !d.isTarget(good, target) || d.isTarget(good+"/", target) || d.isTarget(strings.Replace(good, "/coffre", "", 1)+"x", target) {
			t.Errorf("%s", public)
		}
	}
}

// FuzzProof: no proof counts but the one that was signed, for the request it names, and
// nothing panics.
func FuzzProof(f *testing.F) {
	v, m := bound(func() time.Time { return now })
	h := holders()["EdDSA"] // whose signatures are always the same
	token := h.token()
	for name, tc := range hostileProofs(v, token) {
		if len(tc.proof) < 2000 && name != "another's key" { // which is this holder's
			f.Add(tc.proof, "POST", target)
		}
	}
	good := raw(h.header(), h.claims(v, token, map[string]any{"jti": "one"}), h.sign)
	f.Add(good, "POST", target)
	f.Add(good, "GET", target)
	f.Fuzz(func(t *testing.T, proof, method, path string) {
		p := Presented{Token: token, DPoP: true, Proofs: []string{proof}, Method: method, Path: path}
		clear(m.used)
		c, err := v.Authenticate(t.Context(), p)
		if (err == nil) != (c.Role != "") || err == nil && (proof != good || method != "POST" || path != target) || err != nil && check(err) == "" {
			t.Fatalf("%+v, %v", c, err)
		}
		if _, err := v.Authenticate(t.Context(), p); err == nil {
			t.Fatal("a proof counts twice")
		}
	})
}
