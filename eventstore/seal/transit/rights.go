package transit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// role is what one identity is for.
type role int

const (
	application role = iota
	rotator
	destroyer
)

func (r role) String() string { return [...]string{"application", "rotator", "destroyer"}[r] }

const (
	read   = "read"
	update = "update"
	none   = "deny"

	otherKey = "coffre-no-such-key" // stands for every key that is not ours
)

// rights lists, for every path under the mount that matters, the one thing a role
// may do there. The application must not make a key, by encrypting with one that is
// not there least of all: a destroyed key would come back as another.
var rights = map[role]map[string]string{
	application: {"encrypt/" + kekKey: update, "decrypt/" + kekKey: update, "keys/" + kekKey: read, "sign/" + logKey: update, "keys/" + logKey: read},
	rotator: {
		"keys/" + kekKey: read, "keys/" + kekKey + "/rotate": update, "keys/" + kekKey + "/config": update,
		"keys/" + kekKey + "/trim": update, "rewrap/" + kekKey: update,
	},
	destroyer: {"sign/" + erasureKey: update, "keys/" + erasureKey: read},
}

// watched are the paths where a role may do what the table says, and else nothing.
var watched = func() (paths []string) {
	for _, key := range []string{kekKey, logKey, erasureKey, otherKey} {
		paths = append(paths, "keys/"+key)
		for _, act := range []string{"encrypt/", "decrypt/", "rewrap/", "datakey/plaintext/", "datakey/wrapped/", "sign/",
			"export/encryption-key/", "export/signing-key/", "backup/", "restore/", "keys/"} {
			if act != "keys/" {
				paths = append(paths, act+key)
			}
		}
		for _, act := range []string{"/rotate", "/config", "/trim", "/import"} {
			paths = append(paths, "keys/"+key+act)
		}
	}
	return append(paths, "config/keys", "restore")
}()

// checkRights refuses a token that may do more or less than its role. What cannot
// be read counts as too much.
func (c *client) checkRights(ctx context.Context) error {
	paths := make([]string, len(watched))
	for i, path := range watched {
		paths[i] = c.cfg.Mount + "/" + path
	}
	var may map[string][]string
	if _, err := c.exchange(ctx, "sys/capabilities-self", map[string]any{"paths": paths}, http.StatusOK, &may); err != nil {
		return fmt.Errorf("read what its token may do: %w", err)
	}
	var wrong []error
	for i, path := range watched {
		want, listed := rights[c.role][path]
		if !listed {
			want = none
		}
		if got := may[paths[i]]; !slices.Equal(got, []string{want}) {
			wrong = append(wrong, fmt.Errorf("its token may %s on %s, and must have exactly %s (deploy/vault/%s.hcl)", spoken(got), paths[i], want, c.role))
		}
	}
	return errors.Join(wrong...)
}

func spoken(capabilities []string) string {
	if len(capabilities) == 0 {
		return "do what is not told"
	}
	return strings.Join(capabilities, ", ")
}

// keyInfo is what Vault tells about a key.
type keyInfo struct {
	Type          string                     `json:"type"`
	Derived       bool                       `json:"derived"`
	Exportable    bool                       `json:"exportable"`
	Backup        bool                       `json:"allow_plaintext_backup"`
	Deletion      bool                       `json:"deletion_allowed"`
	Convergent    bool                       `json:"convergent_encryption"`
	Latest        int                        `json:"latest_version"`
	MinDecryption int                        `json:"min_decryption_version"`
	MinAvailable  int                        `json:"min_available_version"`
	Keys          map[string]json.RawMessage `json:"keys"`
}

// checkKeys refuses keys that could leave Vault, be deleted, or are of another kind.
func (c *client) checkKeys(ctx context.Context) error {
	for _, path := range slices.Sorted(maps.Keys(rights[c.role])) {
		name, ok := strings.CutPrefix(path, "keys/")
		if !ok || strings.Contains(name, "/") {
			continue
		}
		var info keyInfo
		if _, err := c.exchange(ctx, c.cfg.Mount+"/"+path, nil, http.StatusOK, &info); err != nil {
			return fmt.Errorf("key %s: %w", name, err)
		}
		kind, derived := "ed25519", false
		if name == kekKey {
			kind, derived = "aes256-gcm96", true
		}
		if info.Type != kind || info.Derived != derived || info.Exportable || info.Backup || info.Deletion || info.Convergent {
			return fmt.Errorf("key %s is not as deploy/vault makes it: %s, derived %t, not convergent, never exported, backed up in clear or deleted", name, kind, derived)
		}
	}
	return nil
}
