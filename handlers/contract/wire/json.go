// Package wire reads and writes what crosses the wire: JSON bodies and the
// parameters of a request. The code generated from the contract uses it in the
// place of encoding/json and of the generator's own runtime (see imports.tmpl).
//
// Invariant: reading is strict. A member that stands twice, is unknown, or is written in
// another case is refused; so are bytes that are not UTF-8 and bytes after the value.
// Errors carry no value.
package wire

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"coffre/domain"
)

// RawMessage is one JSON value that is not decoded.
type RawMessage = stdjson.RawMessage

// ErrMalformed stands for every error of a decoder, whose own text is dropped because it
// can carry the value.
var ErrMalformed = errors.New("body does not fit its schema")

// Body is the body of a request after the gate has read and checked it.
type Body struct {
	bytes.Reader
	b []byte
}

// NewBody returns a body that reads b; the caller must not change b.
func NewBody(b []byte) *Body {
	body := &Body{b: b}
	body.Reset(b)
	return body
}

// Close implements io.Closer; there is nothing to close.
func (*Body) Close() error { return nil }

// Bytes returns the whole body, read or not.
func (b *Body) Bytes() []byte { return b.b }

// BindJSONBody decodes the request's body into dest, strictly. An empty body is io.EOF,
// any other that does not fit ErrMalformed.
func BindJSONBody(r *http.Request, dest any) error {
	var b []byte
	if body, ok := r.Body.(*Body); ok {
		b = body.Bytes()
	} else {
		var err error
		if b, err = io.ReadAll(r.Body); err != nil {
			return err
		}
	}
	if len(b) == 0 {
		return io.EOF
	}
	return Unmarshal(b, dest)
}

var strict = json.JoinOptions(json.RejectUnknownMembers(true), jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false),
	json.WithUnmarshalers(json.UnmarshalFromFunc(readTime)))

// readTime decodes a time from a string as domain.ParseTime does.
func readTime(dec *jsontext.Decoder, t *time.Time) error {
	token, err := dec.ReadToken()
	switch {
	case err != nil:
		return err
	case token.Kind() == 'n': // no value, as of every other type
		*t = time.Time{}
		return nil
	case token.Kind() != '"':
		return ErrMalformed
	}
	*t, err = domain.ParseTime(token.String())
	return err
}

// Unmarshal decodes exactly one JSON value into dest, strictly. Its only error is
// ErrMalformed.
func Unmarshal(b []byte, dest any) error {
	if err := json.Unmarshal(b, dest, strict); err != nil {
		return ErrMalformed
	}
	return nil
}

// Encoder writes JSON values, each followed by a line feed.
type Encoder struct{ w io.Writer }

// NewEncoder returns an encoder that writes to w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w} }

// Encode writes v. Nil slices become [], as the REST guide wants of collections.
func (e *Encoder) Encode(v any) error {
	if err := json.MarshalWrite(e.w, v); err != nil {
		return err
	}
	_, err := e.w.Write([]byte{'\n'})
	return err
}

// SSIN is a national register or BIS number in a body. Decoding checks it;
// encoding reveals it, which only a citizen's own report does.
type SSIN struct{ domain.SSIN }

// UnmarshalText accepts eleven digits with good check digits.
func (s *SSIN) UnmarshalText(b []byte) (err error) {
	s.SSIN, err = domain.ParseSSIN(string(b))
	return err
}

// UserCode is a national number as the Estonian data tracker's protocol writes it: its digits,
// which a country may precede.
type UserCode struct{ domain.SSIN }

// UnmarshalText accepts eleven digits with good check digits, after BE or nothing.
func (u *UserCode) UnmarshalText(b []byte) (err error) {
	u.SSIN, err = domain.ParseSSIN(strings.TrimPrefix(string(b), "BE"))
	return err
}

// MarshalText writes the eleven digits after BE.
func (u UserCode) MarshalText() ([]byte, error) { return []byte("BE" + u.Reveal()), nil }

// MarshalText writes the eleven digits.
func (s SSIN) MarshalText() ([]byte, error) { return []byte(s.Reveal()), nil }
