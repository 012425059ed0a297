package vault

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"coffre/eventstore/kurrent/wire"
	"coffre/eventstore/memory"
)

func TestKurrentUsers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"", "\n", "auditor", "auditor:", ":secret", "auditor:secret\n\n"} {
		write(text)
		if _, err := readUsers(file); !errors.Is(err, errUsers) {
			t.Errorf("%q: %v", text, err)
		}
	}
	write("auditor:s:cret\r\nother:x")
	allow, err := readUsers(file)
	if err != nil {
		t.Fatal(err)
	}
	for pair, want := range map[[2]string]bool{
		{"auditor", "s:cret"}: true, {"other", "x"}: true,
		{"auditor", "x"}: false, {"auditor", ""}: false, {"", ""}: false, {"other", "x\r"}: false,
	} {
		if got := allow(pair[0], pair[1]); got != want {
			t.Errorf("%q: %t", pair, got)
		}
	}
}

func TestKurrentIsOffUnlessAsked(t *testing.T) {
	where, end, err := KurrentListener{}.Offer(t.Context(), wire.Options{Store: memory.New()}, nil)
	if where != "" || err != nil {
		t.Fatalf("offered at %q, %v", where, err)
	}
	end()
}
