package token

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// binding says what a caller has to hold beside the token (the claim cnf, RFC 7800): nothing,
// the private key with a thumbprint, or that of a certificate, shown on the connection.
type binding struct{ thumbprint, certificate string }

// bindingOf returns what a token is bound to. A binding that this vault cannot check is
// refused, so that a bound token never counts as a plain one.
func bindingOf(c claims) (binding, error) {
	v, found := c.find("cnf")
	if !found {
		return binding{}, nil
	}
	var members claims
	if v.Kind() != '{' || json.Unmarshal(v, &members) != nil {
		return binding{}, reject("cnf", "is not an object")
	}
	thumbprint, _, noKey := members.text("jkt")
	certificate, _, noCertificate := members.text("x5t#S256")
	if noKey != nil || noCertificate != nil || len(members) != 1 || thumbprint+certificate == "" {
		return binding{}, reject("cnf", "the access token is bound in a way that this vault cannot check; use DPoP, or a TLS client certificate")
	}
	return binding{thumbprint, certificate}, nil
}

// held checks that whoever presents a token holds what it is bound to.
func (v *Verifier) held(ctx context.Context, p Presented, b binding) error {
	bound := b != binding{}
	switch {
	case !bound && !p.DPoP && len(p.Proofs) == 0:
		return nil
	case !bound && !p.DPoP:
		return reject("cnf", "a proof (header DPoP) came with an access token that is bound to no key")
	case !bound, b.thumbprint == "" && (p.DPoP || len(p.Proofs) > 0):
		return reject("cnf", "the access token is bound to no key, so it does not come with the scheme DPoP or a proof")
	case b.thumbprint == "":
		return heldCertificate(p.Certificate, b.certificate)
	case v.Proofs == nil || v.Proofs.Public == nil:
		return reject("cnf.jkt", "the access token is bound to a key, and this vault takes no proofs: its operator has to name its public URL")
	case !p.DPoP:
		r := reject("cnf.jkt", "the access token is bound to a key: it comes with the scheme DPoP and a proof, not as a bearer token")
		r.Proof = true
		return r
	}
	return v.Proofs.judge(ctx, p, b.thumbprint, v.now())
}

// heldCertificate checks that a token that is bound to a certificate came over a connection on
// which its holder showed it (RFC 8705, section 3).
func heldCertificate(shown [sha256.Size]byte, bound string) error {
	switch {
	case shown == [sha256.Size]byte{}:
		return reject("cnf.x5t#S256", "the access token is bound to a TLS client certificate (RFC 8705), and the connection showed none that this vault trusts")
	case base64.RawURLEncoding.EncodeToString(shown[:]) != bound:
		return reject("cnf.x5t#S256", "the access token is bound to another TLS client certificate than the connection showed")
	}
	return nil
}

// Limits of a proof, and of the time in which it counts.
const (
	maxProof   = 6 << 10 // bytes: a key and a signature of 8192 bits, and what goes with them
	maxProofID = 256     // bytes of jti
	// proofLife is how old a proof may be. It is remembered for as long.
	proofLife = 2 * time.Minute
	// nonceStep is how often the nonce changes; a nonce counts until the second change.
	nonceStep = 2 * time.Minute
	maxNonce  = 64 // bytes
)

// ProofAlgorithms lists the signature algorithms of proofs, for WWW-Authenticate.
var ProofAlgorithms = []string{string(jose.ES256), string(jose.EdDSA), string(jose.PS256), string(jose.RS256)}

// Proofs judges the proofs of possession that come with tokens bound to a key (DPoP,
// RFC 9449). All processes of a vault share its nonces and the memory of what was used. The
// fields are required but Public; Proofs may be used concurrently.
type Proofs struct {
	// Public is where callers reach the vault, as they write it; htu is compared with it.
	// nil: no proof counts, because who asks could choose what it is compared with.
	Public *url.URL
	// MAC is an HMAC-SHA256 under a key that all processes share.
	MAC func(parts ...[]byte) [sha256.Size]byte
	// Use remembers a proof until a time, and reports whether this is its first use. An
	// error says that it cannot be known now.
	Use func(ctx context.Context, holder, proof []byte, until time.Time) (first bool, err error)
	Now func() time.Time
}

// rejectProof returns the rejection of a proof.
func rejectProof(check, reason string) *Rejection {
	r := reject("dpop."+check, reason)
	r.Challenge, r.Proof = invalidProof, true
	return r
}

// proofHeader holds the members of a proof's header that are looked at. Others that do not
// say how to read it do not matter (RFC 7515, section 4).
type proofHeader struct {
	Type      string         `json:"typ"`
	Algorithm string         `json:"alg"`
	Key       jsontext.Value `json:"jwk"`
	Critical  jsontext.Value `json:"crit"`
	Encoded   jsontext.Value `json:"b64"`
}

// judge holds the proof of a request to RFC 9449, section 4.3, and marks it as used.
func (d *Proofs) judge(ctx context.Context, p Presented, thumbprint string, now time.Time) error {
	if len(p.Proofs) != 1 {
		return rejectProof("header", "one header DPoP with one proof is needed")
	}
	holder, payload, err := readProof(p.Proofs[0])
	if err != nil {
		return err
	}
	if holder != thumbprint {
		return rejectProof("jwk", "is not the key that the access token is bound to")
	}
	c, err := readClaims(payload)
	if err != nil {
		return rejectProof("claims", "are not one JSON object in UTF-8 in which each name stands once")
	}
	issued, id, err := d.judgeClaims(c, p, now)
	if err != nil {
		return err
	}
	first, err := d.Use(ctx, []byte(holder), []byte(id), issued.Add(proofLife))
	if err == nil && !first {
		err = rejectProof("jti", "this proof was used before")
	}
	return err
}

// readProof returns the thumbprint of the key that signed a proof, and what it signed.
func readProof(proof string) (holder string, payload []byte, err error) {
	first, _, _ := strings.Cut(proof, ".")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil || len(proof) > maxProof || strings.Count(proof, ".") != 2 {
		return "", nil, rejectProof("form", "the proof is not a signed JWT in compact form, or is too long")
	}
	var h proofHeader
	unread := json.Unmarshal(raw, &h) != nil
	key, ok := readKey(h.Key)
	switch {
	case unread || h.Critical != nil || h.Encoded != nil:
		return "", nil, rejectProof("header", "the proof's header is not JSON, or has crit or b64")
	case !strings.EqualFold(strings.TrimPrefix(h.Type, "application/"), "dpop+jwt"):
		return "", nil, rejectProof("typ", "is not dpop+jwt")
	case !slices.Contains(ProofAlgorithms, h.Algorithm):
		return "", nil, rejectProof("alg", "is not accepted here; accepted is "+strings.Join(ProofAlgorithms, ", "))
	case !ok || !keyFits(key, h.Algorithm):
		return "", nil, rejectProof("jwk", "is not a public key that fits alg")
	}
	jws, err := jose.ParseSignedCompact(proof, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(h.Algorithm)})
	if err != nil {
		return "", nil, rejectProof("form", "the proof is not a signed JWT in compact form, or is too long")
	}
	if payload, err = jws.Verify(key.Key); err != nil {
		return "", nil, rejectProof("signature", "the proof is not signed by the key in its header")
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", nil, rejectProof("jwk", "is not a public key that fits alg")
	}
	return base64.RawURLEncoding.EncodeToString(sum), payload, nil
}

// judgeClaims holds a proof's claims to the request, and returns when it was made and its id.
func (d *Proofs) judgeClaims(c claims, p Presented, now time.Time) (issued time.Time, id string, err error) {
	method, _, _ := c.text("htm")
	target, _, _ := c.text("htu")
	token, _, _ := c.text("ath")
	nonce, nonced, badNonce := c.text("nonce")
	id, _, _ = c.text("jti")
	issued, found, badTime := c.moment("iat")
	hash := sha256.Sum256([]byte(p.Token))
	switch {
	case method != p.Method:
		err = rejectProof("htm", "is not the method of the request")
	case !d.isTarget(target, p.Path):
		err = rejectProof("htu", "is not the URL of the request, which begins with "+d.Public.String())
	case token != base64.RawURLEncoding.EncodeToString(hash[:]):
		err = rejectProof("ath", "is not the SHA-256 of the access token")
	case id == "" || len(id) > maxProofID:
		err = rejectProof("jti", "is missing or too long")
	case badTime != nil || !found:
		err = rejectProof("iat", "is missing, or not a number of seconds since 1970")
	case badNonce != nil || !nonced || !d.isNonce(nonce, now):
		// Asked for before the clock is looked at: a client whose clock is wrong learns the
		// nonce first, and then that.
		err = &Rejection{Check: "dpop.nonce", Reason: "is missing or has ended; the answer gives one", Detail: "dpop.nonce: use the nonce in the header DPoP-Nonce", Challenge: useNonce, Proof: true}
	case issued.Before(now.Add(-proofLife)), issued.After(now.Add(leeway)):
		err = rejectProof("iat", "is too far from now: the clocks of the caller and of the vault differ, or the proof is old")
	}
	return issued, id, err
}

// isTarget reports whether htu names the request's target, without its query, at the vault's
// public URL. Scheme and host are compared in lower case, and the scheme's own port may be
// left out (RFC 3986, section 6.2); the path is compared as it was sent.
func (d *Proofs) isTarget(htu, path string) bool {
	u, err := url.Parse(htu)
	if err != nil || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Opaque != "" {
		return false
	}
	return origin(u) == origin(d.Public) && u.EscapedPath() == strings.TrimSuffix(d.Public.EscapedPath(), "/")+path
}

// origin returns scheme, host and port of a URL in one form.
func origin(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String()
	}
	scheme := strings.ToLower(u.Scheme)
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[scheme]
	}
	return scheme + "://" + host + ":" + port
}

// Nonce returns the nonce of this moment, which every process of the vault accepts for two to
// four minutes. It tells nothing.
func (d *Proofs) Nonce() string { return d.nonceOf(d.step(d.Now())) }

// isNonce reports whether a nonce is that of now or the one before; the one after counts for
// processes whose clocks run ahead.
func (d *Proofs) isNonce(nonce string, now time.Time) bool {
	if len(nonce) > maxNonce {
		return false
	}
	known := false
	for _, step := range []int64{-1, 0, 1} {
		known = hmac.Equal([]byte(nonce), []byte(d.nonceOf(d.step(now)+step))) || known
	}
	return known
}

func (d *Proofs) step(at time.Time) int64 { return at.Unix() / int64(nonceStep/time.Second) }

func (d *Proofs) nonceOf(step int64) string {
	sum := d.MAC([]byte("dpop-nonce/v1\x00"), binary.BigEndian.AppendUint64(nil, uint64(step)))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
