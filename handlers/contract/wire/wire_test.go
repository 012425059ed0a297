package wire

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
)

type sample struct {
	SSIN    SSIN              `json:"ssin"`
	Purpose domain.Purpose    `json:"purpose"`
	When    time.Time         `json:"when,omitempty,omitzero"`
	Content RawMessage        `json:"content,omitempty,omitzero"`
	Items   []string          `json:"items"`
	ID      domain.DocumentID `json:"id,omitempty,omitzero"`
	Flag    bool              `json:"flag,omitempty,omitzero"`
}

func TestUnmarshalIsStrict(t *testing.T) {
	var s sample
	if err := Unmarshal([]byte(`{"ssin":"53480200724","purpose":"p","when":"2026-01-01T00:00:00+01:00","content":{"b":1,"a":[ 2 ]},"items":["x"]}`), &s); err != nil {
		t.Fatal(err)
	}
	if s.SSIN.Reveal() != "53480200724" || string(s.Content) != `{"b":1,"a":[ 2 ]}` || s.When.UTC().Hour() != 23 {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{
		``, ` `, `{`, `{}{}`, `{} x`, `[]`, `{"purpose":"a","purpose":"b"}`, `{"purpose":"a","\u0070urpose":"b"}`, `{"PURPOSE":"a"}`, `{"other":1}`,
		"{\"purpose\":\"\xff\"}", `{"purpose":"\ud800"}`, `{"content":{"a":1,"a":2}}`, `{"ssin":"53480200725"}`, `{"ssin":53480200724}`, `{"purpose":1}`, "\ufeff{}", `{"when":"2026-01-01"}`,
	} {
		if err := Unmarshal([]byte(bad), new(sample)); !errors.Is(err, ErrMalformed) || err.Error() != ErrMalformed.Error() {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// The letters of a date-time may be small (RFC 3339, section 5.6), in a body as in a parameter.
func TestF15TimesMayHaveSmallLetters(t *testing.T) {
	for _, s := range []string{"2026-01-02T03:04:05Z", "2026-01-02t03:04:05z", "2026-01-02t03:04:05Z", "2026-01-02T03:04:05z", "2026-01-02t04:04:05+01:00", "2026-01-02t03:04:05.000000z"} {
		want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		var body sample
		if err := Unmarshal([]byte(`{"when":"`+s+`"}`), &body); err != nil || !body.When.Equal(want) {
			t.Errorf("%s in a body: %v, %v", s, body.When, err)
		}
		var parameter time.Time
		if err := BindQueryParameterWithOptions("form", true, true, "t", url.Values{"t": {s}}, &parameter, BindQueryParameterOptions{}); err != nil || !parameter.Equal(want) {
			t.Errorf("%s in a query: %v, %v", s, parameter, err)
		}
	}
	for _, s := range []string{"", "z", "t", "2026-01-02", "2026-01-02t", "2026-01-02T03:04:05", "2026-01-02 03:04:05Z", "2026-01-02x03:04:05Z", "2026-01-02T03:04:05y", "2026-01-02T24:00:00Z", "2026-02-30T00:00:00Z", "2026-01-02T03:04:05,5Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"} {
		if err := Unmarshal([]byte(`{"when":"`+s+`"}`), new(sample)); err == nil {
			t.Errorf("%q in a body is taken", s)
		}
	}
	if err := Unmarshal([]byte(`{"when":1}`), new(sample)); err == nil {
		t.Error("a number is taken for a time")
	}
}

func TestEncode(t *testing.T) {
	var b bytes.Buffer
	if err := NewEncoder(&b).Encode(sample{Purpose: "<&>"}); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != `{"ssin":"","purpose":"<&>","items":[]}`+"\n" {
		t.Errorf("%s", got)
	}
	if err := NewEncoder(&b).Encode(func() {}); err == nil {
		t.Error("encoded a function")
	}
}

// A body that the gate has read is not read again; any other is.
func TestBindJSONBody(t *testing.T) {
	text := []byte(`{"purpose":"p"}`)
	for _, body := range []io.ReadCloser{NewBody(text), io.NopCloser(bytes.NewReader(text))} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Body = body
		var s sample
		if err := BindJSONBody(r, &s); err != nil || s.Purpose != "p" {
			t.Errorf("%+v, %v", s, err)
		}
	}
	body := NewBody(text)
	if b, err := io.ReadAll(body); err != nil || !bytes.Equal(b, text) || !bytes.Equal(body.Bytes(), text) || body.Close() != nil {
		t.Errorf("%s, %v", b, err)
	}
	r := httptest.NewRequest("POST", "/", nil)
	if err := BindJSONBody(r, new(sample)); !errors.Is(err, io.EOF) {
		t.Errorf("empty: %v", err)
	}
	broken := errors.New("cut")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), failing{broken}))
	if err := BindJSONBody(r, new(sample)); !errors.Is(err, broken) {
		t.Errorf("cut: %v", err)
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

func TestBindParameters(t *testing.T) {
	query := url.Values{"a": {"1", "2"}, "n": {"7"}, "bad": {"x"}, "t": {"2026-01-01T00:00:00Z"}}
	get := func(required bool, name string, dest any) error {
		return BindQueryParameterWithOptions("form", true, required, name, query, dest, BindQueryParameterOptions{})
	}
	var (
		many  []domain.DocumentType
		n     int32
		small int8
		when  time.Time
		text  domain.Purpose
		id    domain.DocumentID
		flag  struct{}
	)
	for _, err := range []error{get(false, "a", &many), get(true, "n", &n), get(false, "t", &when), get(false, "absent", &text)} {
		if err != nil {
			t.Error(err)
		}
	}
	if len(many) != 2 || many[1] != "2" || n != 7 || when.Year() != 2026 || text != "" {
		t.Errorf("%v %d %v %q", many, n, when, text)
	}
	var required *RequiredParameterError
	if err := get(true, "absent", &n); !errors.As(err, &required) || !strings.Contains(err.Error(), "absent") {
		t.Errorf("absent: %v", err)
	}
	for _, err := range []error{get(false, "a", &n), get(false, "bad", &n), get(false, "bad", &when), get(false, "bad", &flag), get(false, "a", &[]time.Time{}), get(false, "n", &small)} {
		if err == nil {
			t.Error("bound what does not fit")
		}
	}
	// F1: a zero value that is sent is there; only what is absent is nil.
	var moment, never *time.Time
	query["zero"] = []string{"0001-01-01T00:00:00Z"}
	if err := get(false, "zero", &moment); err != nil || moment == nil || !moment.IsZero() {
		t.Errorf("F1 a zero time: %v, %v", moment, err)
	}
	if err := get(false, "absent", &never); err != nil || never != nil {
		t.Errorf("F1 an absent time: %v, %v", never, err)
	}
	if err := get(false, "bad", &never); err == nil || never != nil {
		t.Errorf("a bad time: %v, %v", never, err)
	}
	const one = "0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44"
	if err := BindStyledParameterWithOptions("simple", "id", one, &id, BindStyledParameterOptions{}); err != nil || id.UUID != uuid.MustParse(one) {
		t.Errorf("%v, %v", id, err)
	}
	if err := BindStyledParameterWithOptions("simple", "id", "x", &id, BindStyledParameterOptions{}); err == nil {
		t.Error("bound a bad id")
	}
}
