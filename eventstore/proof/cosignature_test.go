package proof

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// cosigningKey makes a key of a witness.
func cosigningKey(t *testing.T, name string) (NamedKey, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return NamedKey{name, Cosigns, public}, private
}

// The example of C2SP tlog-cosignature: its line is of a witness whose key nobody published, so
// what is checked is that it is read as one, with its time.
const published = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n" +
	"\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n" +
	"\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"

func TestHeadsOfOtherLogsAreRead(t *testing.T) {
	h, err := PeekHead([]byte(published))
	if err != nil || h.Origin != "example.com/behind-the-sofa" || h.Size != 20852163 || base64.StdEncoding.EncodeToString(h.Root[:]) != "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=" {
		t.Fatalf("%+v, %v", h, err)
	}
	if names := Signers([]byte(published)); len(names) != 1 || names[0] != "witness.example.com/w1" {
		t.Fatalf("%q", names)
	}
	for name, change := range map[string][2]string{
		"size with a zero before":  {"\n20852163\n", "\n020852163\n"},
		"size with a sign":         {"\n20852163\n", "\n+20852163\n"},
		"root of another spelling": {"q2I=\n", "q2J=\n"},
		"root cut short":           {"CsUYapGG", "CsUY"},
		"empty origin":             {"example.com/behind-the-sofa\n2", "\n2"},
		"no signature":             {"=\n\n\u2014", "=\n\u2014"},
	} {
		if h, err := PeekHead([]byte(strings.Replace(published, change[0], change[1], 1))); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

// A cosignature counts over its own text and time, of its own key, and nothing else.
func TestCosignatureIsVerified(t *testing.T) {
	log, witness, other := newKey(t), "witness.example/w1", "witness.example/w2"
	key, private := cosigningKey(t, witness)
	otherKey, otherPrivate := cosigningKey(t, other)
	signed, err := Sign(t.Context(), someCheckpoint(), log)
	if err != nil {
		t.Fatal(err)
	}
	text := someCheckpoint().Text()
	at := time.Unix(1_772_366_420, 0).UTC()
	one := Cosign(text, witness, private, at.Add(700*time.Millisecond))
	both := AddCosignatures(signed, one, Cosign(text, other, otherPrivate, at), one)
	if strings.Count(string(both), "\u2014 ") != 3 {
		t.Fatalf("a line is there once: %s", both)
	}
	all, wrong, err := Cosignatures(both, []NamedKey{key, otherKey})
	if err != nil || len(all) != 2 || len(wrong) != 0 || !all[0].Witness.Equal(key) || !all[0].At.Equal(at) || all[0].Line != one.Line {
		t.Fatalf("%+v, %v, %v", all, wrong, err)
	}
	if all, wrong, err := Cosignatures(signed, []NamedKey{key}); err != nil || len(all)+len(wrong) != 0 {
		t.Fatalf("a checkpoint without cosignatures: %v, %v, %v", all, wrong, err)
	}
	if _, err := Open(both, log.public()); err != nil {
		t.Fatalf("the log's signature beside cosignatures: %v", err)
	}
	asLog := key
	asLog.Use = SignsNotes
	if all, _, err := Cosignatures(both, []NamedKey{asLog}); err != nil || len(all) != 0 {
		t.Fatalf("a key of a log is no witness's: %v, %v", all, err)
	}
	for name, forged := range map[string]string{
		"another text":   strings.Replace(string(both), "\n258\n", "\n259\n", 1),
		"another moment": strings.Replace(string(both), "T12:00:15", "T12:00:14", 1),
		"another time":   strings.Replace(string(both), one.Line, relined(t, one.Line, func(b []byte) []byte { b[11]++; return b }), 1),
		"a bit":          strings.Replace(string(both), one.Line, relined(t, one.Line, func(b []byte) []byte { b[40] ^= 1; return b }), 1),
		"no time":        strings.Replace(string(both), one.Line, relined(t, one.Line, func(b []byte) []byte { return append(b[:4:4], b[12:]...) }), 1),
		"the log's form": strings.Replace(string(both), one.Line, signatureLine(witness, key.Hash(), ed25519.Sign(private, []byte(text))), 1),
	} {
		if all, wrong, err := Cosignatures([]byte(forged), []NamedKey{key}); err != nil || len(all) != 0 || len(wrong) != 1 || !wrong[0].Equal(key) {
			t.Errorf("%s: %v, %v, %v", name, all, wrong, err)
		}
	}
}

// relined changes the bytes behind a line's base64.
func relined(t *testing.T, line string, change func([]byte) []byte) string {
	t.Helper()
	words := strings.Split(strings.TrimSuffix(line, "\n"), " ")
	b, err := base64.StdEncoding.DecodeString(words[2])
	if err != nil {
		t.Fatal(err)
	}
	words[2] = base64.StdEncoding.EncodeToString(change(b))
	return strings.Join(words, " ") + "\n"
}

func TestVerifierKeysHaveOneSpelling(t *testing.T) {
	key, private := cosigningKey(t, "witness.example/w1")
	text := key.String()
	if got, err := ParseKey(text); err != nil || !got.Equal(key) {
		t.Fatalf("%v, %v", got, err)
	}
	// Keys of logs are those of the note package.
	log := NamedKey{"log.example", SignsNotes, key.Public}
	if want, err := note.NewEd25519VerifierKey(log.Name, log.Public); err != nil || log.String() != want {
		t.Fatalf("%s, not %s, %v", log, want, err)
	}
	name, rest, _ := strings.Cut(text, "+")
	hash, encoded, _ := strings.Cut(rest, "+")
	raw, _ := base64.StdEncoding.DecodeString(encoded)
	for what, wrong := range map[string]string{
		"":                "",
		"no key":          name + "+" + hash,
		"another hash":    name + "+00000000+" + encoded,
		"upper case hash": name + "+" + strings.ToUpper("abcdefab") + "+" + encoded,
		"another name":    "other+" + hash + "+" + encoded,
		"a blank":         "a b+" + hash + "+" + encoded,
		"ML-DSA-44":       NamedKey{name, 6, key.Public}.String(),
		"a short key":     name + "+" + hash + "+" + base64.StdEncoding.EncodeToString(raw[:20]),
		"a secret key":    "PRIVATE+KEY+" + name + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{4}, private.Seed()...)),
	} {
		if got, err := ParseKey(wrong); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
}

// Several keys of one name sign one log, and a key counts for its own origin only.
func TestHeadOpensUnderKeysOfItsOrigin(t *testing.T) {
	former, now := newKey(t), newKey(t)
	c := someCheckpoint()
	signed, err := Sign(t.Context(), c, now)
	if err != nil {
		t.Fatal(err)
	}
	keys := []NamedKey{{c.Origin, SignsNotes, former.public()}, {c.Origin, SignsNotes, now.public()}}
	if h, err := OpenHead(signed, keys); err != nil || h.Size != c.Size || h.Root != c.Root || h.Text != c.Text() {
		t.Fatalf("%+v, %v", h, err)
	}
	if _, err := OpenHead(signed, keys[:1]); !errors.Is(err, ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	if _, err := OpenHead(signed, []NamedKey{{"log.example", SignsNotes, now.public()}}); !errors.Is(err, ErrOrigin) {
		t.Errorf("another origin: %v", err)
	}
	if _, err := OpenHead([]byte(strings.Replace(string(signed), "\n258\n", "\n259\n", 1)), keys); !errors.Is(err, ErrSignature) || errors.Is(err, ErrCheckpoint) {
		t.Errorf("another size: %v", err)
	}
	if _, err := OpenHead(append(signed, "no line\n"...), keys); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("no signed note: %v", err)
	}
}
