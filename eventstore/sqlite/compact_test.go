package sqlite

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
)

const someMeta = `{"actor":{"role":"issuer","org":"0316380841","sub":"1.aGFzaGhhc2hoYXNoaGFzaA"},"correlation":"0198f6a0-0000-7000-8000-000000000001","schemaVersion":1,"registry":1,"basedOn":["citizen-0198f6a0-0000-7000-8000-000000000002@0"]}`

var someUUID = uuid.MustParse("0198f6a0-0000-7000-8000-000000000001")

// What comes out of a row is what went into it, byte for byte, whatever it was.
func TestRowsGiveBackTheTextTheyWereMadeOf(t *testing.T) {
	texts := []string{
		"", "{", "\x00", "\x01", "\x01{}", "\x00\x00", strings.Repeat("x", 200), someMeta,
		`"0198F6A0-0000-7000-8000-000000000001"`, `"0198f6a0-0000-7000-8000-00000000000g"`, `{"at":"2026-03-01T12:30:15.123456Z"}`, `{"at":"2026-03-01T12:30:15.120Z"}`,
		`{"at":"2026-03-01T12:30:15.1234567Z"}`, `{"at":"2026-03-01T12:30:15Z"}`, `{"at":"9999-12-31T23:59:59Z","d":"0000-00-00","e":"2026-99-01","f":"9999-15-31"}`,
		`"0000000000" "9999999999" "99999999999"`, `"deadbeef0102030405060708090a0b0c"`, `"DEADBEEF0102030405060708090a0b0c"`, `"aGFzaGhhc2hoYXNoaGFzaB"`, `"` + strings.Repeat("A", 340) + `"`, `"` + strings.Repeat("A", 344) + `"`,
	}
	samples, err := filepath.Glob("../codec/testdata/events/*.json")
	if err != nil || len(samples) < 40 {
		t.Fatal(len(samples), err)
	}
	for _, name := range samples {
		sample, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var parts struct{ Clear json.RawMessage }
		if err := json.Unmarshal(sample, &parts); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(parts.Clear))
	}
	for _, text := range texts {
		for _, own := range []*uuid.UUID{nil, &someUUID} {
			back, err := expand([]byte("before"), compact(nil, []byte(text), own), own)
			if err != nil || string(back) != "before"+text {
				t.Errorf("%q came back as %q, %v", text, back, err)
			}
		}
		row := compact([]byte("before"), []byte(text), nil)
		if !bytes.HasPrefix(row, []byte("before")) || len(row)-6 > len(text)+1 {
			t.Errorf("%q became %q", text, row)
		}
	}
	if _, err := expand(nil, []byte{rowTokens, tokenStream}, nil); err == nil {
		t.Error("a stream without a UUID gave one")
	}
	if n := len(compact(nil, []byte(someMeta), nil)); n > 90 {
		t.Errorf("metadata of %d bytes takes %d", len(someMeta), n)
	}
}

// Files are read by the numbers of tokens and phrases, so a text has this row for ever.
func TestRowFormIsForEver(t *testing.T) {
	const want = "01001401830012db96a902c1312e85106861736868617368686173686861736803800198f6a00000700080000000000000010506c031071660800198f6a000007000800000000000000210"
	if got := hex.EncodeToString(compact(nil, []byte(someMeta), nil)); got != want {
		t.Errorf("%s", got)
	}
	const known, digest = 100, "11e16c3357281eab060c776e3ac6e35eabbc908d6065771f4f482705da55b1ae" // phrases that files have, and the SHA-256 of them
	if got := sha256.Sum256([]byte(strings.Join(phrases[:known], "\n"))); hex.EncodeToString(got[:]) != digest {
		t.Errorf("the phrases are others: %x", got)
	}
	seen := map[string]bool{}
	for _, phrase := range phrases {
		if seen[phrase] || phrase == "" {
			t.Errorf("phrase %q stands twice", phrase)
		}
		seen[phrase] = true
	}
	if len(phrases) > tokenUUID {
		t.Errorf("%d phrases", len(phrases))
	}
}

// Damaged rows are an error or another text, and never a panic.
func FuzzExpand(f *testing.F) {
	f.Add([]byte(someMeta))
	f.Add(compact(nil, []byte(someMeta), nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = expand(nil, b, nil) // whatever it says
		back, err := expand(nil, compact(nil, b, nil), nil)
		if err != nil || !bytes.Equal(back, b) {
			t.Errorf("%q came back as %q, %v", b, back, err)
		}
	})
}
