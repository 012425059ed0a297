package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// wire plays the vault's side of the line.
type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

func says(status int, header http.Header, body string) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

// TestEveryOperationOfTheContract calls every generated method: each reaches one
// operation, and none is left out.
func TestEveryOperationOfTheContract(t *testing.T) {
	routes := http.NewServeMux()
	for _, pattern := range edge.Patterns() {
		routes.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) {})
	}
	reached := make(map[string]bool)
	c := &Client{Base: "http://vault" + contract.Base, HTTP: &http.Client{Transport: wire(func(r *http.Request) (*http.Response, error) {
		_, pattern := routes.Handler(r)
		if pattern == "" {
			t.Errorf("%s %s is not in the contract", r.Method, r.URL)
		}
		reached[pattern] = true
		return says(204, nil, ""), nil
	})}}
	methods := reflect.TypeOf(c)
	for i := range methods.NumMethod() {
		m := methods.Method(i)
		if m.Name == "IssueDocumentLine" || m.Name == "GetTile" { // a second form of one; paths that the contract cannot write
			continue
		}
		in := []reflect.Value{reflect.ValueOf(c), reflect.ValueOf(t.Context())}
		for n := 2; n < m.Type.NumIn(); n++ {
			v := reflect.New(m.Type.In(n)).Elem()
			if v.Kind() == reflect.String {
				v.SetString("x")
			}
			if v.Type() == reflect.TypeFor[contract.RegistryFiles]() {
				v.SetBytes([]byte("{}"))
			}
			fill(v)
			in = append(in, v)
		}
		if out := m.Func.Call(in); !out[1].IsNil() {
			t.Errorf("%s: %v", m.Name, out[1])
		}
	}
	for _, pattern := range edge.Patterns() {
		if !reached[pattern] {
			t.Errorf("no method for %s", pattern)
		}
	}
}

// fill gives raw JSON members a value, since none cannot be written.
func fill(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		if f := v.Field(i); f.Type() == reflect.TypeFor[contract.Content]() {
			f.SetBytes([]byte("{}"))
		}
	}
}

func TestParameters(t *testing.T) {
	var got *http.Request
	c := &Client{Base: "http://vault/vault/v1", Token: func() (string, error) { return "t", nil }, HTTP: &http.Client{Transport: wire(func(r *http.Request) (*http.Response, error) {
		got = r
		return says(200, nil, `{}`), nil
	})}}
	citizen := domain.CitizenID{UUID: uuid.MustParse("0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44")}
	at := time.Date(2026, 3, 1, 12, 0, 0, 5000, time.FixedZone("", 3600))
	if _, err := c.GetAccessLog(t.Context(), citizen, contract.GetAccessLogParams{DocumentType: []domain.DocumentType{"a", "b"}, From: &at, PageSize: 7, Lang: "fr"}); err != nil {
		t.Fatal(err)
	}
	if want := "/vault/v1/citizens/" + citizen.String() + "/accessLog"; got.URL.Path != want {
		t.Errorf("path %s, want %s", got.URL.Path, want)
	}
	if want := "documentType=a&documentType=b&from=2026-03-01T12%3A00%3A00.000005%2B01%3A00&lang=fr&pageSize=7"; got.URL.RawQuery != want {
		t.Errorf("query %s, want %s", got.URL.RawQuery, want)
	}
	if got.Header.Get("Authorization") != "Bearer t" || got.Header.Get("Coffre-Min-Position") != "" || got.Body != nil {
		t.Errorf("header %v", got.Header)
	}
	if _, err := c.IssueDocumentLine(t.Context(), contract.IssueDocumentParams{IdempotencyKey: citizen.UUID}, []byte(`{"a":1,"a":2} junk`)); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(got.Body); err != nil || string(b) != `{"a":1,"a":2} junk` || got.Header.Get("Idempotency-Key") != citizen.String() || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("body %q, header %v, %v", b, got.Header, err)
	}
}

// TestReadsSeeEarlierWrites: who shares a position waits for each other's writes.
func TestReadsSeeEarlierWrites(t *testing.T) {
	var waited []string
	line := &http.Client{Transport: wire(func(r *http.Request) (*http.Response, error) {
		waited = append(waited, r.Header.Get("Coffre-Min-Position"))
		if r.Method == http.MethodPost {
			return says(200, http.Header{"Coffre-Position": {"p1"}}, `{}`), nil
		}
		return says(200, nil, `{}`), nil
	})}
	seen := new(Position)
	writer, reader := &Client{HTTP: line, Seen: seen}, &Client{HTTP: line, Seen: seen}
	ask := func(_ *http.Response, err error) {
		if err != nil {
			t.Error(err)
		}
	}
	ask(reader.GetWallet(t.Context(), domain.CitizenID{}, contract.GetWalletParams{}))
	ask(writer.WithdrawConsent(t.Context(), domain.ConsentID{}, contract.WithdrawConsentParams{}))
	ask(reader.GetWallet(t.Context(), domain.CitizenID{}, contract.GetWalletParams{}))
	ask(reader.GetWallet(t.Context(), domain.CitizenID{}, contract.GetWalletParams{CoffreMinPosition: "mine"}))
	ask(reader.GetRegistry(t.Context(), contract.GetRegistryParams{})) // does not wait, says the contract
	if want := []string{"", "", "p1", "mine", ""}; !reflect.DeepEqual(waited, want) {
		t.Errorf("waited for %q, want %q", waited, want)
	}
}

func TestAnswers(t *testing.T) {
	good, err := Read[contract.Health](says(200, nil, `{"status":"UP","later":{"members":1}}`), nil)
	if err != nil || good.Body.Status != "UP" || good.Status != 200 {
		t.Errorf("%+v, %v", good, err)
	}
	if _, err := Read[None](says(204, nil, ""), nil); err != nil {
		t.Error(err)
	}
	for _, body := range []string{`{"status":7}`, `{"status":"secret"`, `secret`, `{"status":"a","status":"b"}`} {
		if _, err := Read[contract.Health](says(200, nil, body), nil); !errors.Is(err, errAnswer) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", body, err)
		}
	}
	problem := `{"type":"urn:problem-type:coffre:consentWithdrawn","title":"Forbidden","status":403,"detail":"it was withdrawn",
		"issues":[{"in":"body","name":"/content/a","detail":"type"},{"in":"query","name":"lang","title":"Unknown"}]}`
	for _, read := range []func() error{
		func() error {
			_, err := Read[contract.Health](says(403, http.Header{"Retry-After": {"3"}}, problem), nil)
			return err
		},
		func() error { _, err := Stream(says(403, http.Header{"Retry-After": {"3"}}, problem), nil); return err },
	} {
		var no *Refusal
		if err := read(); !errors.As(err, &no) || no.Slug() != "consentWithdrawn" || no.Status != 403 || no.RetryAfter != 3*time.Second ||
			no.Error() != "consentWithdrawn: it was withdrawn (/content/a: type; lang: Unknown)" {
			t.Errorf("%v", err)
		}
	}
	var no *Refusal
	if _, err := Read[contract.Health](says(502, nil, "<html>secret"), nil); !errors.As(err, &no) || no.Error() != "Bad Gateway" {
		t.Errorf("%v", err)
	}
	if _, err := Read[contract.Health](nil, context.Canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	body, err := Stream(says(200, nil, "content"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(body); err != nil || string(b) != "content" {
		t.Errorf("%q, %v", b, err)
	}
}
