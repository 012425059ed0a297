package sqlite

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/eventstore/queue"
)

// Metadata and clear facts are JSON in which member names, identifiers and times take most
// of the bytes. Rows of form 3 hold them as tokens that stand for exactly these bytes: what
// the log hashes and whoever reads gets is the text as it was appended. Whatever has no
// shorter form is kept as it is.
//
// The first byte of a column says what follows. Other text than JSON may begin with one of
// the two, and then has rowText before it.
const (
	rowTokens = 0x01 // tokens
	rowText   = 0x00 // the text
)

// Tokens are a byte each, and what the table says. Those below tokenUUID are numbers of
// phrases. For ever: files are read by them.
const (
	tokenUUID    = 0x80 // 16 bytes: a canonical UUID
	tokenTime    = 0x81 // 8 bytes: microseconds since 1970, of an RFC 3339 time in UTC without trailing zeros
	tokenHex     = 0x82 // 16 bytes: 32 lower-case hexadecimal digits
	tokenDigits  = 0x83 // 5 bytes: a number of ten digits
	tokenDate    = 0x84 // 3 bytes: yyyy-mm-dd
	tokenBase64  = 0x85 // a length n and n bytes: unpadded base64url
	tokenStream  = 0x86 // the UUID in the name of the record's stream
	tokenLiteral = 0xC0 // and above: 1 to 64 bytes as they are, so many as the six low bits say and one
)

const (
	maxLiteral  = 64
	leastBase64 = 20 // characters; a shorter run may well be a word
	maxBase64   = 340
)

// phrases are what tokens below tokenUUID stand for, by number. Phrases are only ever added
// at the end, up to 128: the numbers are for ever. None may stand twice.
var phrases = [...]string{
	// Metadata.
	`{"actor":{"role":"`, `","org":"`, `","sub":"`, `"},"correlation":"`, `","causation":"`, `","schemaVersion":1`, `,"registry":`,
	`,"basedOn":["`, `"},"schemaVersion":1`, `"},"onBehalfOf":"`, `"},"represents":"`, `","correlation":"`, `","citizen":"`,
	`","door":"`, `","why":"`, `","case":"`, `@0"]}`, `@0","`, `"]}`, `"}`,
	`issuer`, `consumer`, `citizen`, `document`, `consent`, `mandate`, `registry`, `access`, `request`, `auditor`, `operator`, `system`,
	// Clear facts.
	`{"document":"`, `{"citizen":"`, `{"consent":"`, `{"access":"`, `{"mandate":"`, `","type":"`, `","issuer":"`, `","validFrom":"`, `","validUntil":"`,
	`","personalValidity":true`, `,"categories":["`, `"],"attachments":["`, `"],"tag":"`, `","tag":"`, `","at":"`, `"],"at":"`, `","version":`, `,"replaces":`,
	`,"reason":"`, `","reason":"`, `","effectiveFrom":"`, `","kind":"`, `","role":"`, `","consumer":"`, `","reader":"`, `","document":"`, `","attachment":"`,
	`,"type":"`, `","purpose":"`, `","procedure":"`, `","consent":"`, `","legalBasis":"`, `","deliberation":"`, `","mandate":"`, `","fields":["`, `"],"predicate":"`,
	`","predicate":"`, `","attempt":`, `,"at":"`, `","outcome":"`, `","terms":{"consumer":"`, `","documents":["`, `"],"types":["`, `","types":["`, `"],"fields":["`,
	`"],"until":"`, `","until":"`, `"},"at":"`, `"},"mandate":"`, `,"limits":{"`, `"],"attempt":`, `","basis":"`, `","newLife":true`, `","representative":"`,
	`","scope":{"actions":["`, `"],"types":`, `","effective":"`, `"`, `","`, `":"`, `,"`, `":`, `}`, `]`, `-`, `@`,
	`","categories":["`, `":[`,
}

// byFirst are the numbers of phrases that begin with a byte, the longest first.
var byFirst = func() (all [256][]uint8) {
	for number, phrase := range phrases {
		all[phrase[0]] = append(all[phrase[0]], uint8(number))
	}
	for _, numbers := range all {
		slices.SortStableFunc(numbers, func(a, b uint8) int { return len(phrases[b]) - len(phrases[a]) })
	}
	return all
}()

// rowForm returns the columns of a record. It runs in the goroutine of the caller.
func rowForm(r *eventstore.Record) queue.Row {
	own := streamUUID(r.Stream)
	buf := compact(make([]byte, 0, (len(r.Meta)+len(r.Clear))/2+8), r.Meta, own)
	n := len(buf)
	buf = compact(buf, r.Clear, own)
	return queue.Row{Meta: buf[:n:n], Clear: buf[n:]}
}

// streamUUID is the UUID in a stream's name; nil when there is no canonical one.
func streamUUID(name eventstore.Stream) *uuid.UUID {
	_, identifier, _ := strings.Cut(string(name), "-")
	if len(identifier) != uuidText {
		return nil
	}
	id, ok := canonicalUUID([]byte(identifier))
	if !ok {
		return nil
	}
	return &id
}

// canonicalUUID reads a UUID that is written as [uuid.UUID.String] writes it.
func canonicalUUID(text []byte) (id uuid.UUID, ok bool) {
	if text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' || !lower(text) {
		return id, false
	}
	id, err := uuid.ParseBytes(text)
	return id, err == nil
}

// lower reports whether no digit is an upper-case hexadecimal one.
func lower(text []byte) bool {
	for _, c := range text {
		if c >= 'A' && c <= 'F' {
			return false
		}
	}
	return true
}

// memory is where the parts of records that are read together lie: side by side in blocks,
// because memory for each by itself costs a tenth of reading a log.
type memory struct {
	text  []byte // what is expanded; its contents mean nothing
	block []byte
	least int // bytes of a new block, unless a record needs more
}

const memoryBlock = 64 << 10

// begin lets the records that follow lie in blocks of at least that many bytes of their own.
func (m *memory) begin(least int) { m.block, m.least = nil, least }

// room returns that many bytes to be written once.
func (m *memory) room(n int) []byte {
	if n > cap(m.block)-len(m.block) {
		m.block = make([]byte, 0, max(n, m.least))
	}
	at := len(m.block)
	m.block = m.block[:at+n]
	return m.block[at:][:0:n]
}

// setParts gives a record, whose stream is known, its parts.
func (in *memory) setParts(r *eventstore.Record, meta, clear, sealed []byte) (err error) {
	own := streamUUID(r.Stream)
	if in.text, err = expand(in.text[:0], meta, own); err != nil {
		return err
	}
	n := len(in.text)
	if in.text, err = expand(in.text, clear, own); err != nil {
		return err
	}
	m := len(in.text)
	buf := append(append(in.room(m+len(sealed)), in.text...), sealed...)
	part := func(from, to int) []byte {
		if from == to {
			return nil
		}
		return buf[from:to:to]
	}
	r.Meta, r.Clear, r.Sealed = part(0, n), part(n, m), part(m, len(buf))
	return nil
}

// bound returns the checksum of a record as it lies at a position, and of what lies there
// the checksum again. So a row whose number has changed is no record of the log, although
// all else in it is as it was: the leaf hash leaves out where a store keeps a record.
func bound(sum proof.Hash, position int64) proof.Hash {
	at := binary.BigEndian.Uint64(sum[:8]) ^ uint64(position)
	binary.BigEndian.PutUint64(sum[:8], at)
	return sum
}

// compact appends to dst the row form of a text of a record in whose stream's name own is,
// if not nil.
func compact(dst, text []byte, own *uuid.UUID) []byte {
	begin := len(dst)
	dst = append(dst, rowTokens)
	literal := 0 // bytes before i that have no token yet
	for i := 0; i < len(text); {
		before := len(dst)
		more, n := token(dst, text[i:], own, i > 0 && (text[i-1] == '"' || text[i-1] == '.'))
		if n == 0 {
			literal, i = literal+1, i+1
			continue
		}
		if literal > 0 { // it stands before the token
			end := len(more)
			more = appendLiteral(more, text[i-literal:i])
			rotate(more[before:], end-before)
			literal = 0
		}
		dst, i = more, i+n
	}
	dst = appendLiteral(dst, text[len(text)-literal:])
	if len(dst)-begin < len(text) {
		return dst
	}
	dst = dst[:begin]
	if len(text) > 0 && (text[0] == rowTokens || text[0] == rowText) {
		dst = append(dst, rowText)
	}
	return append(dst, text...)
}

// rotate moves the first n bytes behind the others.
func rotate(b []byte, n int) {
	slices.Reverse(b[:n])
	slices.Reverse(b[n:])
	slices.Reverse(b)
}

func appendLiteral(dst, text []byte) []byte {
	for part := range slices.Chunk(text, maxLiteral) {
		dst = append(append(dst, tokenLiteral+byte(len(part)-1)), part...)
	}
	return dst
}

// token appends the token for the beginning of a text, and returns how many bytes it stands
// for; 0 when none does. run says that a quotation mark or a dot stands before.
func token(dst, text []byte, own *uuid.UUID, run bool) ([]byte, int) {
	switch c := text[0]; {
	case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		if more, n := identifier(dst, text, own); n > 0 {
			return more, n
		}
	}
	for _, number := range byFirst[text[0]] {
		if phrase := phrases[number]; len(text) >= len(phrase) && string(text[:len(phrase)]) == phrase {
			return append(dst, number), len(phrase)
		}
	}
	if run {
		return base64Run(dst, text)
	}
	return dst, 0
}

// identifier is token for what begins with a hexadecimal digit.
func identifier(dst, text []byte, own *uuid.UUID) ([]byte, int) {
	if len(text) >= uuidText {
		switch id, ok := canonicalUUID(text[:uuidText]); {
		case ok && own != nil && id == *own:
			return append(dst, tokenStream), uuidText
		case ok:
			return append(append(dst, tokenUUID), id[:]...), uuidText
		}
	}
	if len(text) >= 11 && text[4] == '-' && text[7] == '-' && text[10] == 'T' {
		if end := slices.Index(text[:min(len(text), 28)], 'Z'); end > 0 {
			at, err := time.Parse(time.RFC3339Nano, string(text[:end+1]))
			if err == nil && at.Nanosecond()%1000 == 0 && at.UTC().Format(time.RFC3339Nano) == string(text[:end+1]) {
				return binary.BigEndian.AppendUint64(append(dst, tokenTime), uint64(at.UnixMicro())), end + 1
			}
		}
	}
	if len(text) >= 10 {
		if packed, ok := packDate(text[:10]); ok {
			return append(dst, tokenDate, byte(packed>>16), byte(packed>>8), byte(packed)), 10
		}
		if n, ok := decimal(text[:10]); ok {
			return append(dst, tokenDigits, byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), 10
		}
	}
	if len(text) >= 32 {
		var raw [16]byte
		if _, err := hex.Decode(raw[:], text[:32]); err == nil && lower(text[:32]) {
			return append(append(dst, tokenHex), raw[:]...), 32
		}
	}
	return dst, 0
}

// decimal reads a number of which every byte is a digit.
func decimal(text []byte) (n uint64, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return n, true
}

// packDate puts a date into 23 bits: 14 for the year, 4 for the month, 5 for the day.
func packDate(text []byte) (packed uint32, ok bool) {
	if text[4] != '-' || text[7] != '-' {
		return 0, false
	}
	year, okYear := decimal(text[:4])
	month, okMonth := decimal(text[5:7])
	day, okDay := decimal(text[8:])
	return uint32(year<<9 | month<<5 | day), okYear && okMonth && okDay && month < 16 && day < 32
}

// base64Run is token for an unpadded base64url text that fills a string of JSON.
func base64Run(dst, text []byte) ([]byte, int) {
	n := slices.Index(text[:min(len(text), maxBase64+1)], '"')
	if n < leastBase64 {
		return dst, 0
	}
	begin := len(dst)
	dst = append(dst, tokenBase64, byte(base64.RawURLEncoding.DecodedLen(n)))
	dst, err := base64.RawURLEncoding.Strict().AppendDecode(dst, text[:n])
	if err != nil {
		return dst[:begin], 0
	}
	return dst, n
}

// errRow: bytes that compact does not make.
var errRow = errors.New("sqlite: a column of a row is damaged")

// expand appends to dst the text that compact made row of, with the same own.
func expand(dst, row []byte, own *uuid.UUID) ([]byte, error) {
	switch {
	case len(row) == 0:
		return dst, nil
	case row[0] == rowText:
		return append(dst, row[1:]...), nil
	case row[0] != rowTokens:
		return append(dst, row...), nil
	}
	for row = row[1:]; len(row) > 0; {
		kind := row[0]
		if kind < tokenUUID {
			if int(kind) >= len(phrases) {
				return dst, errRow
			}
			dst, row = append(dst, phrases[kind]...), row[1:]
			continue
		}
		n, ok := argument(row)
		if !ok || len(row) < n {
			return dst, errRow
		}
		arg := row[1:n]
		switch kind {
		case tokenUUID:
			dst = appendUUID(dst, arg)
		case tokenStream:
			if own == nil {
				return dst, errRow
			}
			dst = appendUUID(dst, own[:])
		case tokenTime:
			dst = time.UnixMicro(int64(binary.BigEndian.Uint64(arg))).UTC().AppendFormat(dst, time.RFC3339Nano)
		case tokenHex:
			dst = hex.AppendEncode(dst, arg)
		case tokenDigits:
			dst = appendDecimal(dst, uint64(arg[0])<<32|uint64(binary.BigEndian.Uint32(arg[1:])), 10)
		case tokenDate:
			packed := uint64(arg[0])<<16 | uint64(arg[1])<<8 | uint64(arg[2])
			dst = append(appendDecimal(dst, packed>>9, 4), '-')
			dst = append(appendDecimal(dst, packed>>5&15, 2), '-')
			dst = appendDecimal(dst, packed&31, 2)
		case tokenBase64:
			dst = base64.RawURLEncoding.AppendEncode(dst, arg[1:])
		default:
			dst = append(dst, arg...)
		}
		row = row[n:]
	}
	return dst, nil
}

func appendUUID(dst, id []byte) []byte {
	var text [uuidText]byte
	hex.Encode(text[:], id[:4])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	hex.Encode(text[9:], id[4:6])
	hex.Encode(text[14:], id[6:8])
	hex.Encode(text[19:], id[8:10])
	hex.Encode(text[24:], id[10:])
	return append(dst, text[:]...)
}

// argument returns the bytes of the token that row begins with, its kind included.
func argument(row []byte) (n int, ok bool) {
	switch kind := row[0]; {
	case kind >= tokenLiteral:
		return 2 + int(kind-tokenLiteral), true
	case kind == tokenUUID, kind == tokenHex:
		return 17, true
	case kind == tokenTime:
		return 9, true
	case kind == tokenDigits:
		return 6, true
	case kind == tokenDate:
		return 4, true
	case kind == tokenStream:
		return 1, true
	case kind == tokenBase64 && len(row) > 1:
		return 2 + int(row[1]), true
	}
	return 0, false
}

func appendDecimal(dst []byte, n uint64, digits int) []byte {
	dst = slices.Grow(dst, digits)
	dst = dst[:len(dst)+digits]
	for i := 1; i <= digits; i++ {
		dst[len(dst)-i] = '0' + byte(n%10)
		n /= 10
	}
	return dst
}
