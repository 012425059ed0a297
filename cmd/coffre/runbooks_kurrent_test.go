package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"coffre/domain"
	"coffre/eventstore/kurrent/kurrenttest"
)

// onKurrent is the runbook of a log in KurrentDB.
var onKurrent = runbook{
	file:   "kurrentdb.md",
	own:    map[int]bool{0: true},
	before: map[int]func(*testing.T, *installation){7: func(t *testing.T, i *installation) { i.issue(t, http.StatusCreated) }},
	instead: map[int]func(*testing.T, *installation){
		1: nothing, 2: nothing, 3: nothing, 6: nothing, 9: nothing,
	},
	says: map[int][]string{4: {"may append", "coffre"}, 5: {"UP", "whole"}, 7: {"UP", "live"}, 8: {"whole"}, 10: {"leaves"}, 11: {"UP", "whole"}},
	then: func(t *testing.T, i *installation) { i.issue(t, http.StatusCreated) },
}

// siteFunctions finds what the installation runbook writes into the file site behind the addresses.
var siteFunctions = regexp.MustCompile("(?s)cat >> \"\\$SETTINGS/site\" <<'END'\n(.*?)\nEND\n")

// TestKurrentRunbook types the commands of coffre that the runbook of KurrentDB has, with two
// servers that speak its clients' protocol.
func TestKurrentRunbook(t *testing.T) {
	t.Parallel()
	former, next, dir := kurrenttest.Start(t), kurrenttest.Start(t), t.TempDir()
	i := &installation{provider: newTokenProvider(t), env: map[string]string{
		"SETTINGS": filepath.Join(dir, "etc"), "STATE": filepath.Join(dir, "state"), "ONE": freeAddress(t),
		"KURRENT": former.Address, "NEW_KURRENT": next.Address, "ADMIN": file(t, "admin.txt", "admin:changeit\n"),
	}}
	token, err := i.provider.token(domain.RoleIssuer, "population-register", "0206731645")
	if err != nil {
		t.Fatal(err)
	}
	functions := siteFunctions.FindStringSubmatch(readFile(t, "../../deploy/runbooks/install.md"))
	if functions == nil {
		t.Fatal("the installation runbook writes no functions into the file site")
	}
	for name, text := range map[string]string{
		"etc/site":                 functions[1] + "\n",
		"etc/coffre.env":           fmt.Sprintf("COFFRE_STORE=%s\nCOFFRE_OIDC_ISSUER=%s\n", former.Address, i.provider.URL),
		"etc/secrets/issuer.token": token,
		"state/empty":              "",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	i.session = newSession(t)
	i.types(t, fmt.Sprintf("export SETTINGS='%s' STATE='%s' ONE='%s'\n. \"$SETTINGS/site\"\n", i.env["SETTINGS"], i.env["STATE"], i.env["ONE"]))
	i.play(t, onKurrent)
}
