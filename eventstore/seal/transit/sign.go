package transit

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"coffre/eventstore/seal"
)

// signingKeys is what is known of a signing key: public, so it may be kept.
type signingKeys struct {
	mu     sync.Mutex
	asked  time.Time
	latest publicKey
	byID   map[string]publicKey
}

type publicKey struct {
	id      string
	version int
	key     ed25519.PublicKey
}

// askAgain is how old what is known of a signing key may be: so long the version
// before is used after somebody rotated the key.
const askAgain = 10 * time.Minute

// signingKey is the key this identity signs with.
func (c *client) signingKey() string {
	if c.role == destroyer {
		return erasureKey
	}
	return logKey
}

// keyID names a version for ever. It is made from the public key too, so that no
// two keys have one name, whatever becomes of Vault.
func keyID(name string, version int, public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return fmt.Sprintf("vault-%s-v%d-%s", name, version, hex.EncodeToString(sum[:8]))
}

// publicKeys returns the latest version, and that of id, after asking Vault if it
// must.
func (c *client) publicKeys(ctx context.Context, id string) (latest, asked publicKey, err error) {
	c.signing.mu.Lock()
	known, found := c.signing.byID[id]
	latest, fresh := c.signing.latest, time.Since(c.signing.asked) < askAgain
	c.signing.mu.Unlock()
	if found || fresh && id == "" {
		return latest, known, ctx.Err()
	}
	info, err := c.key(ctx, "read public keys", c.signingKey())
	if err != nil {
		if latest.key != nil && id == "" && ctx.Err() == nil {
			return latest, publicKey{}, nil // Vault is away: what was known still holds
		}
		return publicKey{}, publicKey{}, err
	}
	byID := make(map[string]publicKey, len(info.Keys))
	for _, number := range slices.Sorted(maps.Keys(info.Keys)) {
		var entry struct {
			Public []byte `json:"public_key"`
		}
		version, err := strconv.Atoi(number)
		if err != nil || json.Unmarshal(info.Keys[number], &entry) != nil || len(entry.Public) != ed25519.PublicKeySize {
			return publicKey{}, publicKey{}, c.unavailable("read public keys", errAnswer)
		}
		k := publicKey{keyID(c.signingKey(), version, entry.Public), version, entry.Public}
		byID[k.id] = k
		if version == info.Latest {
			latest = k
		}
	}
	if latest.version != info.Latest {
		return publicKey{}, publicKey{}, c.unavailable("read public keys", errAnswer)
	}
	c.signing.mu.Lock()
	defer c.signing.mu.Unlock()
	c.signing.asked, c.signing.latest, c.signing.byID = time.Now(), latest, byID
	return latest, byID[id], nil
}

// sign names the version it wants: so the name of the key is true whoever rotates
// it meanwhile.
func (c *client) sign(ctx context.Context, message []byte) ([]byte, string, error) {
	k, _, err := c.publicKeys(ctx, "")
	if err != nil {
		return nil, "", err
	}
	var out struct {
		Signature string `json:"signature"`
	}
	if message == nil {
		message = []byte{}
	}
	in := map[string]any{"input": message, "key_version": k.version}
	if _, err := c.call(ctx, "sign", c.cfg.Mount+"/sign/"+c.signingKey(), in, http.StatusOK, &out); err != nil {
		return nil, "", err
	}
	text, ok := strings.CutPrefix(out.Signature, prefix+strconv.Itoa(k.version)+":")
	signature, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || !ed25519.Verify(k.key, message, signature) {
		return nil, "", c.unavailable("sign", errAnswer)
	}
	return signature, k.id, nil
}

func (c *client) publicKey(ctx context.Context, id string) (ed25519.PublicKey, string, error) {
	latest, asked, err := c.publicKeys(ctx, id)
	if err != nil {
		return nil, "", err
	}
	if id == "" {
		asked = latest
	}
	if asked.key == nil {
		return nil, "", seal.ErrNoSigningKey
	}
	return slices.Clone(asked.key), asked.id, nil
}
