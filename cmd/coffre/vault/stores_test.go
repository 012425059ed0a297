package vault

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/sqlite"
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
		{[]string{StoreVariable, pg}, StoresConfig{pg, pg, pg}},
		{[]string{ReadModelsVariable, pg}, StoresConfig{file, pg, pg}},
		{[]string{StoreVariable, pg, KeysVariable, other}, StoresConfig{pg, pg, other}},
		{[]string{StoreVariable, pg, ReadModelsVariable, "sqlite:m", KeysVariable, other}, StoresConfig{pg, "sqlite:m", other}},
		{[]string{StoreVariable, "esdb://u:secret-word@h:2113"}, StoresConfig{"esdb://u:secret-word@h:2113", file, file}},
		{[]string{StoreVariable, "esdb+discover://h", ReadModelsVariable, pg}, StoresConfig{"esdb+discover://h", pg, pg}},
	} {
		c, err := StoresFromEnv(from(tc.pairs...), [3]string{StoreVariable, ReadModelsVariable, KeysVariable})
		if got := c.In("d"); err != nil || got != tc.want {
			t.Errorf("%d variables: another place, %v", len(tc.pairs)/2, err)
		}
	}
	for _, bad := range []string{"secret-word", "sqlite:", "mysql://u:secret-word@h/d", "http://secret-word"} {
		_, err := StoresFromEnv(from(StoreVariable, bad, KeysVariable, bad), [3]string{StoreVariable, ReadModelsVariable, KeysVariable})
		if err == nil || !strings.Contains(err.Error(), StoreVariable) || !strings.Contains(err.Error(), KeysVariable) || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("%v", err)
		}
	}
	if _, err := StoresFromEnv(from(KeysVariable, "esdb://h"), [3]string{StoreVariable, ReadModelsVariable, KeysVariable}); err == nil {
		t.Error("keys in KurrentDB")
	}
}

// Processes that share a log would each make keys of their own.
func TestLogInPostgreSQLNeedsKeysThere(t *testing.T) {
	_, err := openStores(t.Context(), DataDir(t.TempDir()), Options{Stores: StoresConfig{Log: "postgres://h/d", Keys: "sqlite:k"}}, func(*eventstore.Corrupt) {}, func(func() error) {})
	if err != errAloneKeys {
		t.Fatal(err)
	}
}

func TestProcessKeepsItsID(t *testing.T) {
	dir := DataDir(t.TempDir())
	first, err := dir.process()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := dir.process(); err != nil || again != first {
		t.Fatal(again, err)
	}
}

// A database file that was cut off or overwritten stops the start with its name and the way on,
// and stays as it is.
func TestADamagedFileIsNamedWithTheWayOn(t *testing.T) {
	dir := DataDir(t.TempDir())
	v, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{sqlite.FileName, KeysFile} {
		whole, err := os.ReadFile(dir.File(name))
		if err != nil {
			t.Fatal(err)
		}
		for how, damaged := range map[string][]byte{"cut off": whole[:100_000], "overwritten": []byte("hello\n")} {
			if err := os.WriteFile(dir.File(name), damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(t.Context(), dir, Options{})
			if err == nil || !strings.Contains(err.Error(), name+" is damaged; keep the directory, and restore a backup") {
				t.Errorf("%s, %s: %v", name, how, err)
			}
			if after, err := os.ReadFile(dir.File(name)); err != nil || !bytes.Equal(after, damaged) {
				t.Errorf("%s, %s: the file was changed: %v", name, how, err)
			}
		}
		if err := os.WriteFile(dir.File(name), whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
