package vaulttest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	vault "github.com/hashicorp/vault/api"

	"coffre/eventstore/seal/transit"
)

// Identities with an AppRole, as deploy/vault makes them.
const (
	Application = "application"
	Rotator     = "rotator"
	Destroyer   = "destroyer"
	Enrolment   = "enrolment" // has no AppRole
)

const mount = "coffre"

func (s *Server) deploy(name string) string { return filepath.Join(s.root, "deploy", "vault", name) }

// provision runs deploy/vault/provision as it is.
func (s *Server) provision(ctx context.Context) error {
	bin := s.file("bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return err
	}
	if err := os.Symlink(s.binary, filepath.Join(bin, "vault")); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, s.deploy("provision"))
	cmd.Env = append(s.environment(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+s.dir,
		"VAULT_ADDR="+s.api.Address(), "VAULT_CACERT="+s.CAFile, "VAULT_TOKEN="+s.api.Token())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("deploy/vault/provision: %w\n%s", err, tail(out))
	}
	return nil
}

// Provision runs deploy/vault/provision again.
func (s *Server) Provision(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(s.file("bin")); err != nil {
		t.Fatal(err)
	}
	if err := s.provision(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Fresh throws the mount away and makes it anew with fresh keys, and sets policies
// and roles back to what deploy/vault says.
func (s *Server) Fresh(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	sys := s.api.Sys()
	if err := sys.UnmountWithContext(ctx, mount); err != nil {
		t.Fatal(err)
	}
	if err := sys.MountWithContext(ctx, mount, &vault.MountInput{Type: "transit"}); err != nil {
		t.Fatal(err)
	}
	for _, identity := range []string{Application, Rotator, Destroyer, Enrolment} {
		s.SetPolicy(t, identity, s.Policy(t, identity))
	}
	s.TokenLife(t, "15m", "24h")
	s.Write(t, mount+"/config/keys", map[string]any{"disable_upsert": true})
	s.Write(t, mount+"/keys/kek", map[string]any{"type": "aes256-gcm96", "derived": true})
	s.Write(t, mount+"/keys/log", map[string]any{"type": "ed25519"})
	s.Write(t, mount+"/keys/erasure", map[string]any{"type": "ed25519"})
}

// Write writes as the administrator.
func (s *Server) Write(t testing.TB, path string, data map[string]any) *vault.Secret {
	t.Helper()
	secret, err := s.api.Logical().WriteWithContext(t.Context(), path, data)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// Policy returns the policy of an identity as deploy/vault has it.
func (s *Server) Policy(t testing.TB, identity string) string {
	t.Helper()
	b, err := os.ReadFile(s.deploy(identity + ".hcl"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// SetPolicy replaces the policy of an identity; "" takes every right away.
func (s *Server) SetPolicy(t testing.TB, identity, rules string) {
	t.Helper()
	var err error
	if rules == "" {
		err = s.api.Sys().DeletePolicyWithContext(t.Context(), "coffre-"+identity)
	} else {
		err = s.api.Sys().PutPolicyWithContext(t.Context(), "coffre-"+identity, rules)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TokenLife sets how long tokens of the AppRoles live, and at most, from the next
// login on.
func (s *Server) TokenLife(t testing.TB, ttl, most string) {
	t.Helper()
	for _, identity := range []string{Application, Rotator, Destroyer} {
		s.Write(t, "auth/approle/role/coffre-"+identity, map[string]any{
			"token_policies": "coffre-" + identity, "token_no_default_policy": true, "token_ttl": ttl, "token_max_ttl": most,
		})
	}
}

// Login returns the AppRole of an identity, with a secret id of its own in a file.
func (s *Server) Login(t testing.TB, identity string) transit.AppRole {
	t.Helper()
	role := "auth/approle/role/coffre-" + identity
	id, err := s.api.Logical().ReadWithContext(t.Context(), role+"/role-id")
	if err != nil {
		t.Fatal(err)
	}
	secret := s.Write(t, role+"/secret-id", nil)
	file := filepath.Join(t.TempDir(), identity+".secret-id")
	if err := os.WriteFile(file, []byte(secret.Data["secret_id"].(string)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return transit.AppRole{RoleID: id.Data["role_id"].(string), SecretIDFile: file}
}

// Config is that of a keeper with all three identities, through the proxy. Its
// calls may take as long as a busy machine needs.
func (s *Server) Config(t testing.TB) transit.Config {
	t.Helper()
	return transit.Config{
		Address: s.Address, CAFile: s.CAFile, Timeout: 20 * time.Second,
		Application: s.Login(t, Application), Rotator: s.Login(t, Rotator), Destroyer: s.Login(t, Destroyer),
	}
}

// Keeper opens a keeper until the test ends.
func (s *Server) Keeper(t testing.TB, cfg transit.Config) *transit.Keeper {
	t.Helper()
	k, err := transit.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// Token makes a token with the policy of an identity alone.
func (s *Server) Token(t testing.TB, identity string) string {
	t.Helper()
	secret, err := s.api.Auth().Token().CreateWithContext(t.Context(), &vault.TokenCreateRequest{
		Policies: []string{"coffre-" + identity}, NoDefaultPolicy: true, TTL: "10m",
	})
	if err != nil {
		t.Fatal(err)
	}
	return secret.Auth.ClientToken
}
