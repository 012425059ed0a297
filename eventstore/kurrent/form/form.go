// Package form says how a record lies in KurrentDB: what its event's data
// and metadata are, and how a stream is called there. docs/log-format.md specifies
// the bytes, which are for ever.
//
// KurrentDB's own event id names one attempt to append, not the record: the
// record's id is in the metadata. A repeated append is so never taken by the server
// for one it knows, by rules that are not the port's.
//
// Invariant: [Decode] returns what [Encode] was given, or an error; nothing that was
// changed on the way or in the store passes the checksum.
package form

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/proof"
)

// ContentType is what every event of ours says its data are.
const ContentType = "application/octet-stream"

// format is the first byte of an event's data.
const format = 1

// ErrForm: an event is not a record in this form, or not the one that was stored.
var ErrForm = errors.New("form: the event is not a record as it was stored")

// The metadata are JSON that is written and read in one way only.
const (
	metaID       = `{"coffre":1,"id":"`
	metaTime     = `","time":`
	metaSum      = `,"sum":"`
	metaJSON     = `","meta":`
	metaBytes    = `","metaBytes":"`
	metaNone     = `"}`
	uuidLength   = 36
	sumLength    = 44 // 32 bytes in base64
	maxTimeWidth = 20 // digits and sign of an int64
)

// Encode returns the data and the metadata of r's event. It uses Stream and
// Revision, because the checksum, the leaf hash, covers them.
func Encode(r *eventstore.Record) (data, metadata []byte) {
	data = make([]byte, 0, 1+4+len(r.Clear)+4+len(r.Sealed))
	data = append(data, format)
	for _, part := range [][]byte{r.Clear, r.Sealed} {
		data = binary.BigEndian.AppendUint32(data, uint32(len(part)))
		data = append(data, part...)
	}
	sum := proof.LeafHash(r)
	metadata = make([]byte, 0, len(metaID)+uuidLength+len(metaTime)+maxTimeWidth+len(metaSum)+sumLength+len(metaBytes)+len(r.Meta)+len(metaNone))
	metadata = append(metadata, metaID...)
	metadata = append(metadata, r.ID.String()...)
	metadata = append(metadata, metaTime...)
	metadata = strconv.AppendInt(metadata, r.Time.UnixMicro(), 10)
	metadata = append(metadata, metaSum...)
	metadata = base64.StdEncoding.AppendEncode(metadata, sum[:])
	switch {
	case len(r.Meta) == 0:
		metadata = append(metadata, metaNone...)
	case json.Valid(r.Meta) && len(bytes.TrimSpace(r.Meta)) == len(r.Meta):
		metadata = append(metadata, metaJSON...)
		metadata = append(metadata, r.Meta...)
		metadata = append(metadata, '}')
	default: // only what no codec of ours writes
		metadata = append(metadata, metaBytes...)
		metadata = base64.StdEncoding.AppendEncode(metadata, r.Meta)
		metadata = append(metadata, metaNone...)
	}
	return data, metadata
}

// Decode returns the record of an event: its stream and revision, which it must be
// stored under, its type, data and metadata. Position is left to the caller. The
// record's parts lie in data and metadata. It returns ErrForm for all that Encode
// did not write for this place.
func Decode(stream eventstore.Stream, revision eventstore.Revision, typ string, data, metadata []byte) (eventstore.Record, error) {
	r, sum, err := Parse(data, metadata)
	if err != nil {
		return r, err
	}
	r.Stream, r.Revision, r.Type = stream, revision, typ
	if r.Sum = proof.LeafHash(&r); r.Sum != sum {
		return eventstore.Record{}, ErrForm
	}
	return r, nil
}

// Parse is Decode for those who do not know the place of the record yet: it returns
// what data and metadata say, with the checksum, which it does not check.
func Parse(data, metadata []byte) (r eventstore.Record, sum proof.Hash, err error) {
	if len(data) == 0 || data[0] != format {
		return r, sum, ErrForm
	}
	rest := data[1:]
	for _, into := range []*[]byte{&r.Clear, &r.Sealed} {
		if len(rest) < 4 {
			return eventstore.Record{}, sum, ErrForm
		}
		n := binary.BigEndian.Uint32(rest)
		rest = rest[4:]
		if uint64(n) > uint64(len(rest)) {
			return eventstore.Record{}, sum, ErrForm
		}
		if n > 0 {
			*into = rest[:n:n]
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return eventstore.Record{}, sum, ErrForm
	}
	if err := parseMetadata(&r, &sum, metadata); err != nil {
		return eventstore.Record{}, sum, err
	}
	return r, sum, nil
}

func parseMetadata(r *eventstore.Record, sum *proof.Hash, metadata []byte) error {
	rest, ok := bytes.CutPrefix(metadata, []byte(metaID))
	if !ok || len(rest) < uuidLength {
		return ErrForm
	}
	id, err := uuid.ParseBytes(rest[:uuidLength])
	if err != nil || id.String() != string(rest[:uuidLength]) {
		return ErrForm
	}
	r.ID = id
	if rest, ok = bytes.CutPrefix(rest[uuidLength:], []byte(metaTime)); !ok {
		return ErrForm
	}
	digits, rest, ok := bytes.Cut(rest, []byte(metaSum))
	micros, err := strconv.ParseInt(string(digits), 10, 64)
	if !ok || err != nil || strconv.FormatInt(micros, 10) != string(digits) || len(rest) < sumLength {
		return ErrForm
	}
	r.Time = time.UnixMicro(micros).UTC()
	var buf [sumLength]byte
	n, err := base64.StdEncoding.Strict().Decode(buf[:], rest[:sumLength])
	if err != nil || n != len(sum) {
		return ErrForm
	}
	copy(sum[:], buf[:n])
	rest = rest[sumLength:]
	switch {
	case string(rest) == metaNone:
		return nil
	case bytes.HasPrefix(rest, []byte(metaJSON)) && rest[len(rest)-1] == '}':
		meta := rest[len(metaJSON) : len(rest)-1]
		if len(meta) == 0 {
			return ErrForm
		}
		r.Meta = meta[:len(meta):len(meta)]
		return nil
	case bytes.HasPrefix(rest, []byte(metaBytes)) && bytes.HasSuffix(rest, []byte(metaNone)):
		encoded := rest[len(metaBytes):]
		if len(encoded) <= len(metaNone) {
			return ErrForm
		}
		if r.Meta, err = base64.StdEncoding.Strict().DecodeString(string(encoded[:len(encoded)-len(metaNone)])); err != nil {
			return ErrForm
		}
		return nil
	}
	return ErrForm
}

const hex = "0123456789ABCDEF"

// plain reports whether a byte stands for itself in a stream's name at place i.
func plain(c byte, i int) bool {
	return c > ' ' && c < 0x7f && c != '%' && (c != '$' || i > 0)
}

// StreamName is what s is called in KurrentDB: as it is, but that a byte outside
// printable ASCII, a percent sign, and a dollar sign at the beginning, which marks
// KurrentDB's own streams, are written as a percent sign and two hexadecimal digits.
func StreamName(s eventstore.Stream) string {
	for i := range len(s) {
		if !plain(s[i], i) {
			return escaped(s)
		}
	}
	return string(s)
}

func escaped(s eventstore.Stream) string {
	var name strings.Builder
	for i := range len(s) {
		if plain(s[i], i) {
			name.WriteByte(s[i])
			continue
		}
		name.WriteByte('%')
		name.WriteByte(hex[s[i]>>4])
		name.WriteByte(hex[s[i]&15])
	}
	return name.String()
}

// ParseStream returns the stream that is called so, and whether there is one: each
// has one name.
func ParseStream(name string) (eventstore.Stream, bool) {
	if name == "" {
		return "", false
	}
	raw := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] != '%' {
			raw = append(raw, name[i])
			continue
		}
		if i+2 >= len(name) {
			return "", false
		}
		high, low := strings.IndexByte(hex, name[i+1]), strings.IndexByte(hex, name[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		raw = append(raw, byte(high<<4|low))
		i += 2
	}
	s := eventstore.Stream(raw)
	return s, StreamName(s) == name
}
