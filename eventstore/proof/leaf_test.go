package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
)

func sample() eventstore.Record {
	return eventstore.Record{
		ID: uuid.MustParse("0193a0b0-0000-7000-8000-000000000001"), Stream: "consent-5f0c", Revision: 258,
		Type: "consent.granted/1", Time: time.UnixMicro(1_772_366_415_123_456).UTC(),
		Meta: []byte(`{"actor":{}}`), Clear: []byte(`{}`), Sealed: []byte{1, 1, 2},
	}
}

// The bytes of a leaf are for ever. This vector was put together by hand from
// docs/log-format.md.
func TestLeafEntryBytes(t *testing.T) {
	sum := func(s string) string {
		h := sha256.Sum256([]byte(s))
		return hex.EncodeToString(h[:])
	}
	want := "01" + "0193a0b00000700080000000000000" + "01" +
		"000c" + hex.EncodeToString([]byte("consent-5f0c")) +
		"0000000000000102" +
		"0011" + hex.EncodeToString([]byte("consent.granted/1")) +
		"00064bf53695d400" +
		sum(`{"actor":{}}`) + sum(`{}`) + sum("\x01\x01\x02")
	r := sample()
	if got := hex.EncodeToString(AppendLeafEntry(nil, &r)); got != want {
		t.Fatalf("leaf entry\n got %s\nwant %s", got, want)
	}
	whole, _ := hex.DecodeString("00" + want)
	if LeafHash(&r) != Hash(sha256.Sum256(whole)) {
		t.Fatal("leaf hash is not SHA-256(0x00 || entry)")
	}
}

func TestLeafCoversTheRecordAndNotItsPlace(t *testing.T) {
	base := sample()
	for field, change := range map[string]func(*eventstore.Record){
		"id":       func(r *eventstore.Record) { r.ID = uuid.New() },
		"stream":   func(r *eventstore.Record) { r.Stream = "consent-5f0d" },
		"revision": func(r *eventstore.Record) { r.Revision++ },
		"type":     func(r *eventstore.Record) { r.Type = "consent.granted/2" },
		"time":     func(r *eventstore.Record) { r.Time = r.Time.Add(time.Microsecond) },
		"meta":     func(r *eventstore.Record) { r.Meta = []byte(`{"actor":1}`) },
		"clear":    func(r *eventstore.Record) { r.Clear = nil },
		"sealed":   func(r *eventstore.Record) { r.Sealed = []byte{1, 1, 3} },
	} {
		r := sample()
		change(&r)
		if LeafHash(&r) == LeafHash(&base) {
			t.Errorf("a changed %s goes unnoticed", field)
		}
	}
	r := sample()
	r.Position = eventstore.Position{Commit: 9, Prepare: 9}
	if LeafHash(&r) != LeafHash(&base) {
		t.Error("the store's position must not count")
	}
}
