package form_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"coffre/eventstore"
	"coffre/eventstore/kurrent/form"
)

// golden is a record as it must lie in KurrentDB for ever (docs/log-format.md).
var golden = eventstore.Record{
	Stream: "consent-0198f6a0-0000-7000-8000-000000000001", Revision: 3,
	ID: uuid.MustParse("0198f6a0-1111-7000-8000-000000000002"), Type: "consent.granted/1",
	Time: time.Date(2026, 11, 22, 1, 2, 3, 456789000, time.UTC),
	Meta: []byte(`{"actor":{"role":"citizen"}}`), Clear: []byte(`{"purpose":"benefits"}`), Sealed: []byte{1, 1, 0xff, 0},
}

const (
	goldenData     = "01" + "00000016" + "7b22707572706f7365223a2262656e6566697473227d" + "00000004" + "0101ff00"
	goldenMetadata = `{"coffre":1,"id":"0198f6a0-1111-7000-8000-000000000002","time":1795309323456789,"sum":"`
	goldenRest     = `","meta":{"actor":{"role":"citizen"}}}`
)

func TestGolden(t *testing.T) {
	data, metadata := form.Encode(&golden)
	if hex.EncodeToString(data) != goldenData {
		t.Errorf("data %x", data)
	}
	if !bytes.HasPrefix(metadata, []byte(goldenMetadata)) || !bytes.HasSuffix(metadata, []byte(goldenRest)) {
		t.Errorf("metadata %s", metadata)
	}
}

var parts = rapid.OneOf(
	rapid.SampledFrom([][]byte{nil, []byte(`{}`), []byte(`null`), []byte(`"}`), []byte(` {"a":1}`), []byte(`{"a":"\u2028<&"}`), []byte("}"), {0}}),
	rapid.SliceOfN(rapid.Byte(), 0, 40),
)

// anyRecord draws what the port lets a record be.
func anyRecord(t *rapid.T) eventstore.Record {
	return eventstore.Record{
		Stream:   eventstore.Stream(rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "stream")),
		Revision: eventstore.Revision(rapid.Int64Min(0).Draw(t, "revision")),
		ID:       uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
		Type:     string(rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "type")),
		Time:     time.UnixMicro(rapid.Int64Range(-1<<55, 1<<55).Draw(t, "time")).UTC(),
		Meta:     parts.Draw(t, "meta"), Clear: parts.Draw(t, "clear"), Sealed: parts.Draw(t, "sealed"),
	}
}

func TestComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyRecord(t)
		data, metadata := form.Encode(&want)
		got, err := form.Decode(want.Stream, want.Revision, want.Type, data, metadata)
		if err != nil || got.ID != want.ID || !got.Time.Equal(want.Time) ||
			!bytes.Equal(got.Meta, want.Meta) || !bytes.Equal(got.Clear, want.Clear) || !bytes.Equal(got.Sealed, want.Sealed) {
			t.Fatalf("%+v came back as %+v, %v", want, got, err)
		}
		if got.Meta != nil && len(got.Meta) == 0 || got.Clear != nil && len(got.Clear) == 0 || got.Sealed != nil && len(got.Sealed) == 0 {
			t.Fatal("an empty part is not nil")
		}
	})
}

// What was changed, moved or renamed is refused.
func TestNothingChangedPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRecord(t)
		data, metadata := form.Encode(&r)
		stream, revision, typ := r.Stream, r.Revision, r.Type
		switch rapid.IntRange(0, 8).Draw(t, "what") {
		case 0:
			data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case 1:
			metadata[rapid.IntRange(0, len(metadata)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case 2:
			data = data[:rapid.IntRange(0, len(data)-1).Draw(t, "cut")]
		case 3:
			metadata = metadata[:rapid.IntRange(0, len(metadata)-1).Draw(t, "cut")]
		case 4:
			stream += "x"
		case 5:
			revision ^= 1
		case 6:
			typ += "x"
		case 7:
			data = append(data, 0)
		case 8:
			metadata = append(metadata, ' ')
		}
		if got, err := form.Decode(stream, revision, typ, data, metadata); !errors.Is(err, form.ErrForm) {
			t.Fatalf("changed, it reads as %+v, %v", got, err)
		}
	})
}

func TestStreamNames(t *testing.T) {
	for stream, name := range map[eventstore.Stream]string{
		"consent-0198f6a0-0000-7000-8000-000000000001": "consent-0198f6a0-0000-7000-8000-000000000001",
		"registry": "registry",
		"$all":     "%24all", "a$b": "a$b", "50%": "50%25", "a b": "a%20b", "nul-\x00": "nul-%00", "bytes-\xff\xfe": "bytes-%FF%FE",
	} {
		if got := form.StreamName(stream); got != name {
			t.Errorf("%q is called %q, want %q", stream, got, name)
		}
	}
	for _, name := range []string{"", "$all", "$$consent-1", "a%", "a%2", "a%zz", "a%ff", "%61", "a%41", "a b"} {
		if s, ok := form.ParseStream(name); ok {
			t.Errorf("%q is the stream %q", name, s)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := eventstore.Stream(rapid.SliceOfN(rapid.Byte(), 1, 128).Draw(t, "stream"))
		if got, ok := form.ParseStream(form.StreamName(want)); !ok || got != want {
			t.Fatalf("%q comes back as %q, %t", want, got, ok)
		}
	})
}

func FuzzParse(f *testing.F) {
	data, metadata := form.Encode(&golden)
	f.Add(data, metadata)
	f.Add([]byte{1}, []byte(`{"coffre":1,"id":"`))
	f.Fuzz(func(t *testing.T, data, metadata []byte) {
		r, sum, err := form.Parse(data, metadata)
		if err != nil {
			return
		}
		// What parses has one way to be written, whatever place it is in.
		againData, againMetadata := form.Encode(&r)
		again, _, err := form.Parse(againData, againMetadata)
		if err != nil || again.ID != r.ID || !bytes.Equal(againData, data) || !bytes.Equal(again.Meta, r.Meta) {
			t.Fatalf("%x and %s (%x) read as %+v, and again as %+v, %v", data, metadata, sum, r, again, err)
		}
	})
}
