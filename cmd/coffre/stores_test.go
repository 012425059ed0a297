package main

import (
	"strings"
	"testing"
)

func TestStoresFromEnv(t *testing.T) {
	from := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	file, pg, other := "sqlite:d", "postgres://u:secret-word@h/d", "postgres://u@other/d"
	for _, tc := range []struct {
		pairs []string
		want  StoresConfig
	}{
		{nil, StoresConfig{file, file, file}},
		{[]string{storeVariable, pg}, StoresConfig{pg, pg, pg}},
		{[]string{modelVariable, pg}, StoresConfig{file, pg, pg}},
		{[]string{storeVariable, pg, keysVariable, other}, StoresConfig{pg, pg, other}},
		{[]string{storeVariable, pg, modelVariable, "sqlite:m", keysVariable, other}, StoresConfig{pg, "sqlite:m", other}},
		{[]string{storeVariable, "esdb://u:secret-word@h:2113"}, StoresConfig{"esdb://u:secret-word@h:2113", file, file}},
		{[]string{storeVariable, "esdb+discover://h", modelVariable, pg}, StoresConfig{"esdb+discover://h", pg, pg}},
	} {
		c, err := storesFromEnv(from(tc.pairs...), [3]string{storeVariable, modelVariable, keysVariable})
		if got := c.in("d"); err != nil || got != tc.want {
			t.Errorf("%d variables: another place, %v", len(tc.pairs)/2, err)
		}
	}
	for _, bad := range []string{"secret-word", "sqlite:", "mysql://u:secret-word@h/d", "http://secret-word"} {
		_, err := storesFromEnv(from(storeVariable, bad, keysVariable, bad), [3]string{storeVariable, modelVariable, keysVariable})
		if err == nil || !strings.Contains(err.Error(), storeVariable) || !strings.Contains(err.Error(), keysVariable) || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("%v", err)
		}
	}
	if _, err := storesFromEnv(from(keysVariable, "esdb://h"), [3]string{storeVariable, modelVariable, keysVariable}); err == nil {
		t.Error("keys in KurrentDB")
	}
}

// Processes that share a log would each make keys of their own.
func TestLogInPostgreSQLNeedsKeysThere(t *testing.T) {
	_, err := openStores(t.Context(), dataDir(t.TempDir()), vaultOptions{Stores: StoresConfig{Log: "postgres://h/d", Keys: "sqlite:k"}}, func(func() error) {})
	if err != errAloneKeys {
		t.Fatal(err)
	}
}

func TestProcessKeepsItsID(t *testing.T) {
	dir := dataDir(t.TempDir())
	first, err := dir.process()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := dir.process(); err != nil || again != first {
		t.Fatal(again, err)
	}
}
