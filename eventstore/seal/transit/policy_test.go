package transit_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coffre/eventstore/seal/transit"
	"coffre/eventstore/seal/transit/vaulttest"
)

// What each identity may do, and every other of these calls must be refused by the
// server itself, with the policies of deploy/vault as they are.
func TestPolicies(t *testing.T) {
	s := vaulttest.Shared(t)
	text := base64.StdEncoding.EncodeToString([]byte("key"))
	use := base64.StdEncoding.EncodeToString([]byte("use"))
	wrapped := s.Write(t, "coffre/encrypt/kek", map[string]any{"plaintext": text, "context": use}).Data["ciphertext"]
	type call struct {
		name, path string
		data       map[string]any // nil: read
		delete     bool
	}
	calls := []call{
		{"wrap", "coffre/encrypt/kek", map[string]any{"plaintext": text, "context": use}, false},
		{"unwrap", "coffre/decrypt/kek", map[string]any{"ciphertext": wrapped, "context": use}, false},
		{"rewrap", "coffre/rewrap/kek", map[string]any{"ciphertext": wrapped, "context": use}, false},
		{"read kek", "coffre/keys/kek", nil, false},
		{"read log", "coffre/keys/log", nil, false},
		{"read erasure", "coffre/keys/erasure", nil, false},
		{"sign checkpoint", "coffre/sign/log", map[string]any{"input": text}, false},
		{"sign certificate", "coffre/sign/erasure", map[string]any{"input": text}, false},
		{"rotate", "coffre/keys/kek/rotate", map[string]any{}, false},
		{"retire", "coffre/keys/kek/config", map[string]any{"min_decryption_version": 1, "min_encryption_version": 1}, false},
		{"trim", "coffre/keys/kek/trim", map[string]any{"min_available_version": 1}, false},

		{"wrap with a key that is not there", "coffre/encrypt/other", map[string]any{"plaintext": text}, false},
		{"data key", "coffre/datakey/plaintext/kek", map[string]any{"context": use}, false},
		{"wrapped data key", "coffre/datakey/wrapped/kek", map[string]any{"context": use}, false},
		{"make a key", "coffre/keys/other", map[string]any{"type": "aes256-gcm96"}, false},
		{"make the kek", "coffre/keys/kek", map[string]any{"type": "aes256-gcm96", "derived": true}, false},
		{"make a signing key", "coffre/keys/log", map[string]any{"type": "ed25519"}, false},
		{"make it exportable", "coffre/keys/kek/config", map[string]any{"exportable": true}, false},
		{"allow its backup", "coffre/keys/kek/config", map[string]any{"allow_plaintext_backup": true}, false},
		{"allow its deletion", "coffre/keys/kek/config", map[string]any{"deletion_allowed": true}, false},
		{"delete it", "coffre/keys/kek", nil, true},
		{"delete the log's key", "coffre/keys/log", nil, true},
		{"export it", "coffre/export/encryption-key/kek", nil, false},
		{"export a signing key", "coffre/export/signing-key/erasure", nil, false},
		{"back it up", "coffre/backup/kek", nil, false},
		{"restore a key", "coffre/restore", map[string]any{"backup": text}, false},
		{"import a version", "coffre/keys/kek/import", map[string]any{"ciphertext": text}, false},
		{"rotate a signing key", "coffre/keys/erasure/rotate", map[string]any{}, false},
		{"forbid upsert", "coffre/config/keys", map[string]any{"disable_upsert": true}, false},
		{"allow upsert", "coffre/config/keys", map[string]any{"disable_upsert": false}, false},
		{"unmount", "sys/mounts/coffre", nil, true},
		{"read a policy", "sys/policies/acl/coffre-application", nil, false},
		{"change a policy", "sys/policies/acl/coffre-application", map[string]any{"policy": s.Policy(t, "rotator")}, false},
		{"make a token", "auth/token/create", map[string]any{"policies": []string{"coffre-destroyer"}}, false},
		{"make a secret id", "auth/approle/role/coffre-destroyer/secret-id", map[string]any{}, false},
		{"seal", "sys/seal", map[string]any{}, false},
	}
	allowed := map[string][]string{
		vaulttest.Application: {"wrap", "unwrap", "read kek", "read log", "sign checkpoint"},
		vaulttest.Rotator:     {"rewrap", "read kek", "rotate", "retire", "trim"},
		vaulttest.Destroyer:   {"read erasure", "sign certificate"},
		vaulttest.Enrolment:   {"make the kek", "make a signing key", "forbid upsert"},
	}
	for identity, may := range allowed {
		api := s.As(t, s.Token(t, identity))
		mine := map[string]bool{}
		for _, name := range may {
			mine[name] = true
		}
		for _, c := range calls {
			var err error
			switch {
			case c.delete:
				_, err = api.Logical().DeleteWithContext(t.Context(), c.path)
			case c.data == nil:
				_, err = api.Logical().ReadWithContext(t.Context(), c.path)
			default:
				_, err = api.Logical().WriteWithContext(t.Context(), c.path, c.data)
			}
			switch {
			case mine[c.name] && err != nil:
				t.Errorf("%s cannot %s: %v", identity, c.name, err)
			case !mine[c.name] && !vaulttest.Refused(err):
				t.Errorf("%s may %s: %v", identity, c.name, err)
			}
			delete(mine, c.name)
		}
		for name := range mine {
			t.Errorf("%s: there is no call %q", identity, name)
		}
	}
}

// A destroyed key is not made again by whoever encrypts with it.
func TestDestroyedKeyIsNotMadeAgain(t *testing.T) {
	s := vaulttest.Shared(t)
	k := s.Keeper(t, s.Config(t))
	s.Write(t, "coffre/keys/kek/config", map[string]any{"deletion_allowed": true})
	if _, err := s.Admin().Logical().DeleteWithContext(t.Context(), "coffre/keys/kek"); err != nil {
		t.Fatal(err)
	}
	away(t, wrapOne(t, k))
	if secret, err := s.Admin().Logical().ReadWithContext(t.Context(), "coffre/keys/kek"); err != nil || secret != nil {
		t.Fatal("the key is there again", err)
	}
	// Whatever the policy says: the mount makes no key either.
	_, err := s.Admin().Logical().WriteWithContext(t.Context(), "coffre/encrypt/kek", map[string]any{"plaintext": "AAAA"})
	if err == nil {
		t.Fatal("the mount makes keys by encrypting")
	}
}

// Start refuses a token that may do more than its role, or less, and keys that
// could leave.
func TestStartRefuses(t *testing.T) {
	s := vaulttest.Shared(t)
	refuses := func(t *testing.T, what, says string) {
		t.Helper()
		k, err := transit.Open(t.Context(), s.Config(t))
		if err == nil {
			k.Close()
			t.Fatal("started with", what)
		}
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q in it", what, err, says)
		}
	}
	grant := func(identity, path, capability string) string {
		return s.Policy(t, identity) + fmt.Sprintf("\npath %q {\n  capabilities = [%q]\n}\n", path, capability)
	}
	for _, c := range []struct{ identity, path, capability string }{
		{"application", "coffre/keys/+", "update"},
		{"application", "coffre/encrypt/*", "create"},
		{"application", "coffre/rewrap/kek", "update"},
		{"application", "coffre/keys/kek/config", "update"},
		{"application", "coffre/export/encryption-key/kek", "read"},
		{"application", "coffre/sign/erasure", "update"},
		{"application", "coffre/config/keys", "update"},
		{"application", "coffre/datakey/plaintext/kek", "update"},
		{"rotator", "coffre/decrypt/kek", "update"},
		{"rotator", "coffre/encrypt/kek", "update"},
		{"destroyer", "coffre/decrypt/kek", "update"},
		{"destroyer", "coffre/sign/log", "update"},
	} {
		s.SetPolicy(t, c.identity, grant(c.identity, c.path, c.capability))
		refuses(t, fmt.Sprint(c), "must have exactly")
		s.SetPolicy(t, c.identity, s.Policy(t, c.identity))
	}
	widened := strings.Replace(s.Policy(t, "application"), "path \"coffre/encrypt/kek\" {\n  capabilities = [\"update\"]", "path \"coffre/encrypt/kek\" {\n  capabilities = [\"create\", \"update\"]", 1)
	s.SetPolicy(t, "application", widened)
	refuses(t, "a token that could make the key it encrypts with", "create, update on coffre/encrypt/kek")
	blind := strings.Replace(s.Policy(t, "application"), "sys/capabilities-self", "sys/no-such-path", 1)
	s.SetPolicy(t, "application", blind)
	refuses(t, "a token that cannot say what it may do", "permission denied")
	s.SetPolicy(t, "application", s.Policy(t, "application"))

	s.Write(t, "coffre/keys/kek/config", map[string]any{"deletion_allowed": true})
	refuses(t, "a key that may be deleted", "key kek is not as deploy/vault makes it")
	s.Write(t, "coffre/keys/kek/config", map[string]any{"deletion_allowed": false, "exportable": true})
	refuses(t, "a key that may leave", "key kek is not as deploy/vault makes it")
	s.Fresh(t)
	s.Keeper(t, s.Config(t))
}

// The script is run again after an upgrade: the keys stay.
func TestProvisionAgain(t *testing.T) {
	s := vaulttest.Shared(t)
	k := s.Keeper(t, s.Config(t))
	item := wrapped(t, k)
	s.Provision(t)
	opens(t, k, item)
	opens(t, s.Keeper(t, s.Config(t)), item)
}

// Without a login of its own nothing is done in another's name.
func TestMissingIdentities(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := s.Config(t)
	cfg.Rotator, cfg.Destroyer = nil, nil
	k := s.Keeper(t, cfg)
	item := wrapped(t, k)
	opens(t, k, item)
	if got := fmt.Sprint(k.Missing()); got != "[rotator destroyer]" {
		t.Error(got)
	}
	if k.Certificates() != nil {
		t.Error("somebody signs certificates")
	}
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"Rewrap":           func() error { _, err := k.Rewrap(ctx, items(item)); return err },
		"Rotate":           func() error { _, err := k.Rotate(ctx); return err },
		"SetMinDecryption": func() error { return k.SetMinDecryption(ctx, 1) },
		"Trim":             func() error { return k.Trim(ctx, 1) },
	} {
		t.Run(name, func(t *testing.T) { noIdentity(t, call()) })
	}
}

// The certificates' key is another than the log's.
func TestCertificates(t *testing.T) {
	s := vaulttest.Shared(t)
	k := s.Keeper(t, s.Config(t))
	_, ofLog, err := k.Sign(t.Context(), []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	first := signs(t, k.Certificates())
	if first == ofLog {
		t.Fatal("one key signs checkpoints and certificates")
	}
	s.Write(t, "coffre/keys/erasure/rotate", map[string]any{})
	if again := signs(t, k.Certificates()); again != first {
		t.Fatalf("signed by %s while %s was the one it knew", again, first)
	}
	second := signs(t, s.Keeper(t, s.Config(t)).Certificates())
	if first == second {
		t.Fatal("a rotated key has the name of the one before")
	}
	for _, signer := range []*transit.Keeper{k, s.Keeper(t, s.Config(t))} {
		for _, id := range []string{first, second} { // old versions stay
			if _, same, err := signer.Certificates().PublicKey(t.Context(), id); err != nil || same != id {
				t.Fatalf("%s: %q, %v", id, same, err)
			}
		}
	}
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	_, err := transit.Open(t.Context(), transit.Config{Address: "http://vault.example:8200", Mount: "a//b", Timeout: -1,
		Application: transit.AppRole{RoleID: "r"}, Rotator: transit.Kubernetes{Mount: "../x", Role: "r"}})
	if err == nil {
		t.Fatal("taken")
	}
	for _, part := range []string{"vault address", "vault mount", "timeouts", "AppRole"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not tell %q", err, part)
		}
	}
	for _, address := range []string{"", "vault:8200", "https://", "http://10.0.0.1:8200", "https://u:p@h", "https://h/path", "https://h?x", "ftp://h", "http://localhost.example"} {
		if _, err := transit.Open(t.Context(), transit.Config{Address: address, Application: transit.Kubernetes{Role: "r", TokenFile: missing}}); err == nil || !strings.Contains(err.Error(), "vault address") {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := transit.Open(t.Context(), transit.Config{Address: "https://127.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), "no login") {
		t.Error(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := transit.Open(t.Context(), transit.Config{Address: "https://127.0.0.1:1", CAFile: ca, Application: transit.Kubernetes{Role: "r"}}); err == nil || !strings.Contains(err.Error(), "CA file") {
		t.Error(err)
	}
}
