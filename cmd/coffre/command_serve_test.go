package main

import (
	"strings"
	"testing"

	"coffre/cmd/coffre/vault"
)

// Beyond loopback only with keys in Vault and a provider that vouches for callers.
func TestWhereToListen(t *testing.T) {
	transit := &vault.TransitConfig{Address: "https://v:8200"}
	const everywhere, here = "0.0.0.0:8080", "127.0.0.1:8080"
	for _, tc := range []struct {
		o       serveOptions
		refused string
	}{
		{serveOptions{Listen: here, Dev: true}, ""},
		{serveOptions{Listen: here, Dev: true, Vault: transit}, ""},
		{serveOptions{Listen: everywhere, Dev: true}, "keys in a file"},
		{serveOptions{Listen: everywhere, OIDC: vault.NewOIDC("https://i")}, "keys in a file"},
		{serveOptions{Listen: everywhere, Dev: true, Vault: transit}, "--oidc-issuer"},
		{serveOptions{Listen: everywhere, OIDC: vault.NewOIDC("https://i"), Vault: transit}, ""},
	} {
		err := tc.o.check()
		if (err == nil) != (tc.refused == "") || err != nil && !strings.Contains(err.Error(), tc.refused) {
			t.Errorf("%+v: %v, want %q", tc.o, err, tc.refused)
		}
	}
}
