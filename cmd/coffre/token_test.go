package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

func TestTokenOfEveryRole(t *testing.T) {
	dir := t.TempDir()
	citizen := domain.CitizenID{UUID: key()}
	release, err := vault.DataDir(dir).Own() // as a server does; a token must not wait for it
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	}()
	devKey, err := token.OpenDevKey(vault.DataDir(dir).File(vault.DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	known := func(context.Context, domain.SSIN) (domain.CitizenID, error) { return citizen, nil }
	s := &shell{t: t, in: "53480200724\n"}
	for _, role := range tokenRoles {
		args := []string{"token", "--data", dir, "--role", role, "--ttl", "5m", "--subject", "somebody"}
		switch domain.Role(role) {
		case domain.RoleIssuer, domain.RoleConsumer:
			args = append(args, "--org", "0206731645")
		case domain.RoleCitizen:
			args = append(args, "--ssin-file", "-")
		}
		got := s.must(0, args...)
		bearer, rest, _ := strings.Cut(got.out, "\n")
		if rest != "" || got.err != "" {
			t.Errorf("%s: more than a token: %q %q", role, rest, got.err)
		}
		caller, err := token.NewDev(devKey, known, time.Now).Authenticate(t.Context(), token.Bearer(bearer))
		if err != nil {
			t.Errorf("%s: %v", role, err)
			continue
		}
		if caller.Role != domain.Role(role) || caller.Subject != "somebody" || !slices.Equal(caller.Scopes, edge.Scopes(domain.Role(role))) ||
			time.Until(caller.Expires) > 5*time.Minute {
			t.Errorf("%s: the token says %+v", role, caller)
		}
		if role == "citizen" && caller.Citizen != citizen {
			t.Error("the citizen is another")
		}
	}
	one := s.must(0, "token", "--data", dir, "--role", "auditor", "--scopes", "events:read").out
	caller, err := token.NewDev(devKey, known, time.Now).Authenticate(t.Context(), token.Bearer(strings.TrimSpace(one)))
	if err != nil || !slices.Equal(caller.Scopes, []string{"events:read"}) {
		t.Errorf("scopes %v, %v", caller.Scopes, err)
	}
}

func TestTokenDoesNotShowANumber(t *testing.T) {
	s := &shell{t: t, in: "53480200725"}
	got := s.must(exitFailed, "token", "--data", t.TempDir(), "--role", "citizen", "--ssin-file", "-")
	if strings.Contains(got.out+got.err, "5348") || !strings.Contains(got.err, "invalidSsin") {
		t.Errorf("out %q, err %q", got.out, got.err)
	}
}
