package vault

import (
	"os"
	"strings"
	"testing"

	"coffre/domain/citizen"
)

func TestConfigFromEnv(t *testing.T) {
	from := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if "COFFRE_VAULT_"+pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	if c, err := FromEnv(from()); err != nil || c.Transit != nil {
		t.Fatal(c.Transit, err)
	}
	c, err := FromEnv(from("ADDR", "https://v:8200", "ROLE", "r", "SECRET_ID_FILE", "/run/s"))
	if err != nil || c.Transit.Auth != "approle" || c.Transit.Application != (TransitLogin{Role: "r", SecretIDFile: "/run/s"}) {
		t.Fatalf("%+v, %v", c.Transit, err)
	}
	if k := c.Transit.Adapter(); k.Application == nil || k.Rotator != nil || k.Destroyer != nil {
		t.Fatalf("%+v", k)
	}
	c, err = FromEnv(from("ADDR", "https://v:8200", "AUTH", "kubernetes", "ROLE", "coffre", "ROTATOR_ROLE", "coffre-rotator"))
	if err != nil || c.Transit.Adapter().Rotator == nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		pairs []string
		says  []string
	}{
		{[]string{"ROLE", "r"}, []string{"COFFRE_VAULT_ROLE", "COFFRE_VAULT_ADDR"}},
		{[]string{"DESTROYER_TOKEN_FILE", "r"}, []string{"COFFRE_VAULT_DESTROYER_TOKEN_FILE"}},
		{[]string{"ADDR", "https://v"}, []string{"COFFRE_VAULT_ROLE is not set"}},
		{[]string{"ADDR", "https://v", "AUTH", "ldap", "TIMEOUT", "soon", "ROTATOR_SECRET_ID_FILE", "f", "DESTROYER_ROLE", "d", "DESTROYER_TOKEN_FILE", "t"},
			[]string{"COFFRE_VAULT_AUTH", "COFFRE_VAULT_TIMEOUT", "COFFRE_VAULT_ROLE", "COFFRE_VAULT_ROTATOR_ROLE"}},
		{[]string{"ADDR", "https://v", "ROLE", "r"}, []string{"COFFRE_VAULT_SECRET_ID_FILE"}},
		{[]string{"ADDR", "https://v", "AUTH", "kubernetes", "ROLE", "r", "SECRET_ID_FILE", "f"}, []string{"COFFRE_VAULT_TOKEN_FILE for kubernetes"}},
	} {
		_, err := FromEnv(from(tc.pairs...))
		if err == nil {
			t.Errorf("%v: taken", tc.pairs)
			continue
		}
		for _, part := range tc.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v: %v does not tell %q", tc.pairs, err, part)
			}
		}
	}
}

// E-3: retentions are stated whole, or not at all.
func TestRetentionsFromEnv(t *testing.T) {
	from := func(backups, archives, snapshots string) (Config, error) {
		return FromEnv(func(name string) string {
			return map[string]string{"COFFRE_BACKUP_DAYS": backups, "COFFRE_ARCHIVE_DAYS": archives, "COFFRE_SNAPSHOT_DAYS": snapshots}[name]
		})
	}
	if c, err := from("", "", ""); err != nil || c.Retentions != nil {
		t.Errorf("E-3 %+v %v", c.Retentions, err)
	}
	if c, err := from("30", "0", "14"); err != nil || *c.Retentions != (citizen.Retentions{Backups: 30, Archives: 0, Snapshots: 14}) {
		t.Errorf("E-3 %+v %v", c.Retentions, err)
	}
	for _, bad := range [][3]string{{"30", "", ""}, {"30", "7", "soon"}, {"-1", "7", "14"}, {"30", "7", "99999"}, {"1.5", "7", "14"}} {
		if c, err := from(bad[0], bad[1], bad[2]); err == nil || c.Retentions != nil || !strings.Contains(err.Error(), "_DAYS") {
			t.Errorf("E-3 %v: %+v %v", bad, c.Retentions, err)
		}
	}
}

// The guide names every variable there is.
func TestVaultsVariablesAreExplained(t *testing.T) {
	guide, err := os.ReadFile("../../../deploy/vault/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(transitVariables, "ADDR") {
		if !strings.Contains(string(guide), "`COFFRE_VAULT_"+name+"`") {
			t.Errorf("deploy/vault/README.md does not explain COFFRE_VAULT_%s", name)
		}
	}
}

func TestLimitsFromEnv(t *testing.T) {
	from := func(limits string) (Config, error) {
		return FromEnv(func(name string) string { return map[string]string{"COFFRE_LIMITS": limits}[name] })
	}
	if c, err := from("uploads.caller=7, calls.citizen=60"); err != nil || c.Limits["uploads.caller"] != 7 || c.Limits["calls.citizen"] != 60 {
		t.Errorf("%v %v", c.Limits, err)
	}
	if c, err := from(""); err != nil || c.Limits != nil {
		t.Errorf("%v %v", c.Limits, err)
	}
	for _, bad := range []string{"uploads", "uploads.caller=", "uploads.caller=0", "uploads.caller=1e3", "uploads.person=1", "nothing.caller=1", "uploads.caller=1,uploads.caller=2", "uploads.caller=1,"} {
		if _, err := from(bad); err == nil || !strings.Contains(err.Error(), "COFFRE_LIMITS") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
