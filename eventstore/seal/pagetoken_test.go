package seal_test

import (
	"encoding/base64"
	"math"
	"slices"
	"testing"

	"coffre/eventstore/seal"
	"coffre/eventstore/seal/ringtest"
)

// A caller learns nothing from a position or a cursor, and can make none.
func TestPageTokens(t *testing.T) {
	tokens := ringtest.New(t).PageTokens()
	numbers := []int64{-1, 0, 1, 2, 255, 256, 1 << 40, math.MaxInt64}
	t.Run("each comes back, for its use alone", func(t *testing.T) {
		for _, n := range numbers {
			text := tokens.Seal("position", n)
			if got, ok := tokens.Open("position", text); !ok || got != n {
				t.Errorf("%d came back as %d, %v", n, got, ok)
			}
			if tokens.Seal("position", n) != text {
				t.Errorf("%d has two texts", n)
			}
			for _, use := range []string{"", "positio", "listConsents"} {
				if _, ok := tokens.Open(use, text); ok {
					t.Errorf("%d is read for %q", n, use)
				}
			}
		}
	})
	t.Run("several in one text come back together, and in no other number", func(t *testing.T) {
		text := tokens.Seal("position", numbers...)
		if got, ok := tokens.OpenAll("position", text, len(numbers)); !ok || !slices.Equal(got, numbers) {
			t.Errorf("%v, %v", got, ok)
		}
		for n := range 2 * len(numbers) {
			if _, ok := tokens.OpenAll("position", text, n); ok != (n == len(numbers)) {
				t.Errorf("%d numbers are read of %d", n, len(numbers))
			}
		}
	})
	t.Run("all have one length, and neighbours nothing in common", func(t *testing.T) {
		for use, n := range map[string]int64{"position": 7, "listConsents": 7} {
			a, b := tokens.Seal(use, n), tokens.Seal(use, n+1)
			same := 0
			for i := range min(len(a), len(b)) {
				if a[i] == b[i] {
					same++
				}
			}
			if len(a) != 32 || len(b) != 32 || same > 8 { // of 32, where chance gives 0.5
				t.Errorf("%q and %q", a, b)
			}
		}
		if tokens.Seal("position", 7) == tokens.Seal("listConsents", 7) {
			t.Error("two uses share a text")
		}
	})
	t.Run("a text with one bit changed, cut, grown or of another deployment is refused", func(t *testing.T) {
		text := tokens.Seal("position", 7)
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		forged := []string{"", "AAAAAAAAACo", text[1:], text + "A", text + "=", text[:len(text)-1] + "-", ringtest.New(t).PageTokens().Seal("position", 7)}
		for i := range len(raw) * 8 {
			changed := append([]byte(nil), raw...)
			changed[i/8] ^= 1 << (i % 8)
			forged = append(forged, base64.RawURLEncoding.EncodeToString(changed))
		}
		for _, f := range forged {
			if n, ok := tokens.Open("position", f); ok && f != text {
				t.Errorf("%q is read as %d", f, n)
			}
		}
	})
	t.Run("a process that opens the ring again reads them", func(t *testing.T) {
		dir := t.TempDir()
		db, keeper := ringtest.OpenDB(t, dir), ringtest.OpenKeeper(t, dir)
		text := ringtest.OpenRing(t, db, keeper, seal.Config{}).PageTokens().Seal("position", 7)
		if n, ok := ringtest.OpenRing(t, db, keeper, seal.Config{}).PageTokens().Open("position", text); !ok || n != 7 {
			t.Errorf("%d, %v", n, ok)
		}
	})
}
