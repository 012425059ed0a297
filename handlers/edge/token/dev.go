package token

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"coffre/domain"
)

// DevIssuer and Audience are the issuer and the audience of tokens of the development key,
// which are accepted on loopback, where no OpenID provider is configured.
const (
	DevIssuer = "coffre-dev"
	Audience  = "coffre"
)

// DevKey signs tokens for development and demonstrations. It implements Keys, and may be
// used concurrently.
type DevKey struct {
	private ed25519.PrivateKey
	id      string
	public  *Key
}

// OpenDevKey reads the key at path. When there is none it makes one first, readable by its
// owner only; of several processes that do so at once, one key wins.
func OpenDevKey(path string) (*DevKey, error) {
	seed, err := readSeed(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = writeSeed(path); err == nil {
			seed, err = readSeed(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the development key: %w", err)
	}
	k := &DevKey{private: ed25519.NewKeyFromSeed(seed)}
	sum := sha256.Sum256(k.private.Public().(ed25519.PublicKey))
	k.id = base64.RawURLEncoding.EncodeToString(sum[:12])
	k.public = &Key{jose.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Algorithm: string(jose.EdDSA), Use: "sig"}}
	return k, nil
}

var errSeed = errors.New("file does not hold 64 hexadecimal digits")

func readSeed(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errSeed // hex's error would quote the file
	}
	return seed, nil
}

// writeSeed puts a new seed at path whole, or leaves what another process put there.
func writeSeed(path string) error {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails, says crypto/rand
	f, err := os.CreateTemp(dir(path), "dev-token-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(hex.EncodeToString(seed) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func dir(path string) string {
	if i := strings.LastIndexByte(path, os.PathSeparator); i >= 0 {
		return path[:i+1]
	}
	return "."
}

// ID is the name of the key in its tokens, which tells nothing of it but whether it is another one.
func (k *DevKey) ID() string { return k.id }

// Key implements Keys.
func (k *DevKey) Key(_ context.Context, id string) (*Key, error) {
	if id != k.id {
		return nil, rejectKey("kid", "is not of the development key of this data directory")
	}
	return k.public, nil
}

// Grant holds the claims of a development token.
type Grant struct {
	Role         domain.Role
	Organisation domain.Organisation // of issuers and consumers
	OnBehalfOf   domain.Organisation // for which a service integrator acts; may be absent
	Citizen      domain.CitizenID    // of citizens: this, or SSIN
	SSIN         domain.SSIN
	Subject      string // "" is the role's name
	Scopes       []string
	Why          domain.WorkReason // why the holder works on the vault's own machine; may be absent
	Case         string            // reference of the case that the work is part of; needs Why
}

// MaxCase bounds the reference of a case, in bytes.
const MaxCase = 100

// Mint returns a signed token that is valid from now for the lifetime given.
func (k *DevKey) Mint(g Grant, now time.Time, life time.Duration) (string, error) {
	if g.Subject == "" {
		g.Subject = string(g.Role)
	}
	c := map[string]any{
		"iss": DevIssuer, "aud": Audience, "sub": g.Subject, "role": g.Role, "scope": strings.Join(g.Scopes, " "),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(life).Unix(), "jti": rand.Text(),
	}
	if !g.Organisation.IsZero() {
		c["organization"] = g.Organisation
	}
	if !g.OnBehalfOf.IsZero() {
		c["onBehalfOf"] = g.OnBehalfOf
	}
	if !g.Citizen.IsZero() {
		c["citizenId"] = g.Citizen.String()
	}
	if !g.SSIN.IsZero() {
		c["ssin"] = g.SSIN.Reveal()
	}
	if g.Why != "" {
		c["why"] = g.Why
	}
	if g.Case != "" {
		c["case"] = g.Case
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode a token: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: k.private},
		(&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", k.id))
	if err != nil {
		return "", fmt.Errorf("make a signer: %w", err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return jws.CompactSerialize()
}

// NewDev returns a verifier of tokens that the development key signed. Such tokens may name
// a citizen by CitizenID, and say for what work their holder comes. resolve and now are
// those of New.
func NewDev(key *DevKey, resolve func(context.Context, domain.SSIN) (domain.CitizenID, error), now func() time.Time) *Verifier {
	v := New(NewProfile(DevIssuer, Audience), key, resolve, now)
	v.own = true
	return v
}
