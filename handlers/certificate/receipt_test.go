package certificate

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore/proof"
	"coffre/handlers/contract"
)

// receipted returns a receipt of either standard whose grant is leaf 2 of a log of four events,
// signed by s, after change.
func receipted(t *testing.T, s signer, standard contract.ReceiptFormat, change func(map[string]any)) []byte {
	t.Helper()
	var leaves []proof.Hash
	for i := range 4 {
		leaves = append(leaves, sha256.Sum256([]byte{byte(i)}))
	}
	pair := func(a, b proof.Hash) proof.Hash { return proof.Subtree([]proof.Hash{a, b}) }
	root := proof.Subtree(leaves)
	now := time.Date(2026, time.November, 28, 10, 0, 0, 0, time.UTC)
	checkpoint, err := proof.Sign(t.Context(), proof.Checkpoint{Origin: proof.Origin(uuid.New(), 0), Size: 4, Root: root, Time: now}, s)
	if err != nil {
		t.Fatal(err)
	}
	left := pair(leaves[0], leaves[1])
	doc := map[string]any{
		"state": "granted", "stateAt": now, "text": "« ça & là » \u2028", "n": 1e21,
		"inLog": map[string]any{"leaf": 2, "leafHash": leaves[2][:], "size": 4, "hashes": [][]byte{leaves[3][:], left[:]}, "checkpoint": string(checkpoint)},
	}
	id := "0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44"
	if standard == contract.ReceiptFormatKantara {
		doc["consentReceiptID"] = id
	} else {
		doc["dct:identifier"] = id
	}
	change(doc)
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := SignReceipt(t.Context(), b, s)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func unchanged(map[string]any) {}

// A signed receipt of either standard holds with the key that signed it; with another byte at
// any place, of any other value, it does not.
func TestReceiptWithAnotherByteIsRefused(t *testing.T) {
	for _, standard := range []contract.ReceiptFormat{contract.ReceiptFormatKantara, contract.ReceiptFormatIso27560} {
		s := newSigner()
		signed := receipted(t, s, standard, unchanged)
		r, err := ReadReceipt(signed, s.public())
		if err != nil || r.Standard != standard || r.Leaf != 2 || r.State != contract.ConsentStateGranted || r.Consent.String() != "0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44" {
			t.Fatalf("%+v, %v", r, err)
		}
		for i := range signed {
			for _, by := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} {
				other := bytes.Clone(signed)
				other[i] ^= by
				if _, err := ReadReceipt(other, s.public()); err == nil {
					t.Fatalf("%s: byte %d, %q for %q, passes", standard, i, other[i], signed[i])
				}
			}
			for _, other := range [][]byte{append(bytes.Clone(signed[:i]), signed[i+1:]...), signed[:i], append(append(bytes.Clone(signed[:i]), ' '), signed[i:]...)} {
				if _, err := ReadReceipt(other, s.public()); err == nil {
					t.Fatalf("%s: a byte less, or a blank more, at %d passes", standard, i)
				}
			}
		}
	}
}

// After the key of the log was replaced, receipts of before hold with the former key, and with
// no other.
func TestReceiptsAndRotation(t *testing.T) {
	former, now, stranger := newSigner(), newSigner(), newSigner()
	old, fresh := receipted(t, former, contract.ReceiptFormatKantara, unchanged), receipted(t, now, contract.ReceiptFormatKantara, unchanged)
	for name, c := range map[string]struct {
		receipt []byte
		keys    []ed25519.PublicKey
		want    error
	}{
		"of before, with both keys":     {old, []ed25519.PublicKey{now.public(), former.public()}, nil},
		"of after, with both keys":      {fresh, []ed25519.PublicKey{now.public(), former.public()}, nil},
		"of before, with the new key":   {old, []ed25519.PublicKey{now.public()}, proof.ErrSignature},
		"of after, with the former key": {fresh, []ed25519.PublicKey{former.public()}, proof.ErrSignature},
		"with a stranger's key":         {fresh, []ed25519.PublicKey{stranger.public()}, proof.ErrSignature},
		"with no key":                   {fresh, nil, proof.ErrSignature},
	} {
		if _, err := ReadReceipt(c.receipt, c.keys...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// What a key of the log signed, and is no receipt that proves its consent, does not pass for one.
func TestReceiptsThatDoNotHold(t *testing.T) {
	s := newSigner()
	in := func(change func(map[string]any)) func(map[string]any) {
		return func(doc map[string]any) { change(doc["inLog"].(map[string]any)) }
	}
	another := sha256.Sum256([]byte("another"))
	for name, change := range map[string]func(map[string]any){
		"another leaf":         in(func(m map[string]any) { m["leaf"] = 1 }),
		"another leaf hash":    in(func(m map[string]any) { m["leafHash"] = another[:] }),
		"a shorter leaf hash":  in(func(m map[string]any) { m["leafHash"] = another[:31] }),
		"a path that is short": in(func(m map[string]any) { m["hashes"] = m["hashes"].([][]byte)[:1] }),
		"another size":         in(func(m map[string]any) { m["size"] = 3 }),
		"a negative leaf":      in(func(m map[string]any) { m["leaf"] = -1 }),
	} {
		if _, err := ReadReceipt(receipted(t, s, contract.ReceiptFormatKantara, change), s.public()); !errors.Is(err, ErrReceiptContent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	signed := string(receipted(t, s, contract.ReceiptFormatKantara, unchanged))
	start := strings.Index(signed, `"signature":"`) + len(`"signature":"`)
	line := signed[start : start+strings.Index(signed[start:], `"`)]
	for name, other := range map[string]string{
		"two signatures":        strings.Replace(signed, line, line+`\n`+line, 1),
		"no signature":          strings.Replace(signed, `"signature":"`+line+`",`, "", 1),
		"a name that is twice":  strings.Replace(signed, `"state":`, `"state":"withdrawn","state":`, 1),
		"a line feed behind it": signed + "\n",
		"a manifest":            "coffre export manifest v1\n{}\n\n" + line + "\n",
		"a list":                "[" + signed + "]",
		"null":                  "null",
		"nothing":               "",
	} {
		if _, err := ReadReceipt([]byte(other), s.public()); !errors.Is(err, ErrReceipt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(map[string]any){
		"both standards":       func(m map[string]any) { m["dct:identifier"] = m["consentReceiptID"] },
		"no id":                func(m map[string]any) { delete(m, "consentReceiptID") },
		"a state that is none": func(m map[string]any) { m["state"] = "asked" },
		"no moment":            func(m map[string]any) { delete(m, "stateAt") },
	} {
		doc := map[string]any{}
		if err := json.Unmarshal(receipted(t, s, contract.ReceiptFormatKantara, unchanged), &doc); err != nil {
			t.Fatal(err)
		}
		change(doc)
		b, _ := json.Marshal(doc)
		if _, err := SignReceipt(t.Context(), b, s); !errors.Is(err, ErrReceiptContent) {
			t.Errorf("%s is signed: %v", name, err)
		}
	}
}

// No note of another kind under the same key passes for a receipt, and no receipt for one.
func TestReceiptIsNoOtherNote(t *testing.T) {
	s := newSigner()
	signed := receipted(t, s, contract.ReceiptFormatKantara, unchanged)
	if _, err := ReadManifest(signed, s.public()); !errors.Is(err, ErrManifest) {
		t.Errorf("a receipt passes for a manifest: %v", err)
	}
	if _, err := proof.Open(signed, s.public()); err == nil {
		t.Error("a receipt passes for a checkpoint")
	}
}
