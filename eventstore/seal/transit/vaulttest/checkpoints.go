package vaulttest

import (
	"context"
	"testing"

	vault "github.com/hashicorp/vault/api"
)

// CheckpointsMount is where deploy/vault/README.md puts the key-value engine for checkpoints.
const CheckpointsMount = "coffre-checkpoints"

// MountCheckpoints makes the engine anew as deploy/vault/README.md says, and gives the
// application the policy of deploy/vault/checkpoints.hcl.
func (s *Server) MountCheckpoints(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	if err := s.api.Sys().UnmountWithContext(ctx, CheckpointsMount); err != nil {
		t.Fatal(err)
	}
	if err := s.api.Sys().MountWithContext(ctx, CheckpointsMount, &vault.MountInput{Type: "kv", Options: map[string]string{"version": "2"}}); err != nil {
		t.Fatal(err)
	}
	// The engine answers by errors until it has made itself one of version 2.
	err := s.until(ctx, "make its key-value engine ready", func(ctx context.Context) bool {
		_, err := s.api.Logical().WriteWithContext(ctx, CheckpointsMount+"/config", map[string]any{"cas_required": true})
		return err == nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.SetPolicy(t, "checkpoints", s.Policy(t, "checkpoints"))
	s.Write(t, "auth/approle/role/coffre-"+Application, map[string]any{
		"token_policies": "coffre-" + Application + ",coffre-checkpoints", "token_no_default_policy": true, "token_ttl": "15m", "token_max_ttl": "24h",
	})
}

// ApplicationWithCheckpoints returns the client of a token with the application's policies, past
// the proxy.
func (s *Server) ApplicationWithCheckpoints(t testing.TB) *vault.Client {
	t.Helper()
	made, err := s.api.Auth().Token().CreateWithContext(t.Context(), &vault.TokenCreateRequest{
		Policies: []string{"coffre-" + Application, "coffre-checkpoints"}, NoDefaultPolicy: true, TTL: "10m",
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.As(t, made.Auth.ClientToken)
}
