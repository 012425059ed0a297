package certificate

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore/proof"
	"coffre/handlers/contract"
	"coffre/handlers/contract/table"
)

// signer signs with one key.
type signer struct{ key ed25519.PrivateKey }

func (s signer) Sign(_ context.Context, message []byte) ([]byte, string, error) {
	return ed25519.Sign(s.key, message), "k", nil
}

func (s signer) PublicKey(context.Context, string) (ed25519.PublicKey, string, error) {
	return s.key.Public().(ed25519.PublicKey), "k", nil
}

func newSigner() signer {
	_, key, _ := ed25519.GenerateKey(nil)
	return signer{key}
}

func (s signer) public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

// line is a row of an export.
type line struct {
	Word string `json:"word" parquet:"word" about:"a word"`
}

// exported returns a file of some rows with the manifest that belongs to it.
func exported(t *testing.T, s signer, f table.Form, rows int) (file []byte, m Manifest) {
	t.Helper()
	var out bytes.Buffer
	to := table.New[line](f, &out)
	for range rows {
		if err := to.Write(&line{"a\nb \"c\""}); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.End(); err != nil {
		t.Fatal(err)
	}
	checkpoint, err := proof.Sign(t.Context(), proof.Checkpoint{Origin: proof.Origin(uuid.New(), 0), Size: 7, Time: time.Now().UTC().Truncate(time.Microsecond)}, s)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(out.Bytes())
	return out.Bytes(), Manifest{Export: uuid.New(), Kind: contract.ExportKindRegister, Format: f.Format, Dialect: f.Dialect, Separator: f.Separator,
		Rows: int64(rows), Sha256: hex.EncodeToString(sum[:]), Events: 7, Checkpoint: string(checkpoint)}
}

func (m Manifest) holds(t *testing.T, file []byte) error {
	t.Helper()
	return m.CheckFile(t.Context(), bytes.NewReader(file), int64(len(file)), func(int64) {})
}

// A file of every format holds with its manifest, and no file with a byte or a row more does.
func TestExportsHoldInEveryFormat(t *testing.T) {
	s := newSigner()
	for _, f := range []table.Form{
		{Format: contract.ExportFormatCsv}, {Format: contract.ExportFormatCsv, Separator: contract.ExportSeparatorTab}, {Format: contract.ExportFormatCsv, Dialect: contract.ExportDialectSpreadsheet},
		{Format: contract.ExportFormatJsonl}, {Format: contract.ExportFormatXlsx, Name: "s"}, {Format: contract.ExportFormatParquet},
	} {
		for _, rows := range []int{0, 1, 300} {
			file, m := exported(t, s, f, rows)
			note, err := SignManifest(t.Context(), m, s)
			if err != nil {
				t.Fatal(err)
			}
			read, err := ReadManifest(note, s.public())
			if err != nil || read != m {
				t.Fatalf("%+v: %+v, %v", f, read, err)
			}
			if err := read.holds(t, file); err != nil {
				t.Errorf("%+v of %d rows: %v", f, rows, err)
			}
			read.Rows++
			if err := read.holds(t, file); !errors.Is(err, ErrFile) {
				t.Errorf("%+v: %d rows pass for %d: %v", f, rows, read.Rows, err)
			}
			if len(file) == 0 { // JSON Lines of nothing
				continue
			}
			file[len(file)/2] ^= 1
			if err := m.holds(t, file); !errors.Is(err, ErrFile) {
				t.Errorf("%+v: another byte passes: %v", f, err)
			}
		}
	}
}

// A manifest holds with the key that signed it and its checkpoint, and in no other words.
func TestManifestsThatDoNotHold(t *testing.T) {
	s, other := newSigner(), newSigner()
	_, m := exported(t, s, table.Form{Format: contract.ExportFormatCsv}, 2)
	sign := func(by signer, change func(*Manifest)) []byte {
		changed := m
		change(&changed)
		note, err := SignManifest(t.Context(), changed, by)
		if err != nil {
			t.Fatal(err)
		}
		return note
	}
	note := sign(s, func(*Manifest) {})
	_, foreign := exported(t, other, table.Form{Format: contract.ExportFormatCsv}, 2)
	for name, c := range map[string]struct {
		note []byte
		keys []ed25519.PublicKey
		want error
	}{
		"another key":              {note, []ed25519.PublicKey{other.public()}, proof.ErrSignature},
		"no key":                   {note, nil, proof.ErrSignature},
		"other rows":               {bytes.Replace(note, []byte(`"rows":2`), []byte(`"rows":3`), 1), []ed25519.PublicKey{s.public()}, proof.ErrSignature},
		"another's checkpoint":     {sign(s, func(m *Manifest) { m.Checkpoint = foreign.Checkpoint }), []ed25519.PublicKey{s.public()}, proof.ErrSignature},
		"a checkpoint":             {[]byte(m.Checkpoint), []ed25519.PublicKey{s.public()}, ErrManifest},
		"nothing":                  {nil, nil, ErrManifest},
		"a line more":              {bytes.Replace(note, []byte("\n\n"), []byte("\nmore\n\n"), 1), []ed25519.PublicKey{s.public()}, proof.ErrSignature},
		"more events than covered": {[]byte(strings.Replace(string(note), `"events":7`, `"events":8`, 1)), []ed25519.PublicKey{s.public()}, ErrManifestContent},
	} {
		if _, err := ReadManifest(c.note, c.keys...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	m.Events = 6
	if _, err := SignManifest(t.Context(), m, s); !errors.Is(err, ErrManifestContent) {
		t.Errorf("fewer events than the checkpoint has, and no moment: %v", err)
	}
}
