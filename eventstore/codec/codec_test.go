package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

type sample struct {
	Clear    json.RawMessage `json:"clear"`
	Personal json.RawMessage `json:"personal,omitempty"`
}

// Every event ever released is kept as a file and must still be readable; a
// current form must write back the very same bytes. Files are added, never edited.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/events/*.json")
	if err != nil || len(files) != len(Catalog.byName) || len(files) == 0 {
		t.Fatalf("%d samples for %d catalogue lines (%v)", len(files), len(Catalog.byName), err)
	}
	for name, typ := range Catalog.Names() {
		t.Run(name, func(t *testing.T) {
			file, err := os.ReadFile("testdata/events/" + strings.ReplaceAll(name, "/", ".") + ".json")
			if err != nil {
				t.Fatal(err)
			}
			var s sample
			if err := json.Unmarshal(file, &s); err != nil {
				t.Fatal(err)
			}
			e, err := Catalog.Decode(name, s.Clear, s.Personal)
			if err != nil {
				t.Fatal(err)
			}
			if Catalog.byName[name].today != nil {
				return
			}
			again, clear, personal, err := Catalog.Encode(e)
			if err != nil || again != name {
				t.Fatal(again, err)
			}
			if !bytes.Equal(clear, s.Clear) || !bytes.Equal(personal, s.Personal) {
				t.Errorf("stored form changed:\n was %s %s\n now %s %s", s.Clear, s.Personal, clear, personal)
			}
			everyFieldShows(t, reflect.ValueOf(e), typ.String())
		})
	}
}

// A sample that leaves a member at its zero value would not notice the member's
// being renamed or dropped.
func everyFieldShows(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			t.Errorf("%s is absent from the sample", path)
			return
		}
		everyFieldShows(t, v.Elem(), path)
	case reflect.Struct:
		if _, isText := v.Interface().(interface{ MarshalText() ([]byte, error) }); isText {
			return
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			everyFieldShows(t, v.Field(i), path+"."+f.Name)
		}
	default:
		if v.IsZero() && !zeroIsFine[path] {
			t.Errorf("%s has no value in the sample", path)
		}
	}
}

// zeroIsFine lists members whose first value in real life is zero.
var zeroIsFine = map[string]bool{"audit.LogRead.FromLeaf": true}

// Every type that calls itself an event in domain/* has a line in the catalogue.
func TestCatalogIsComplete(t *testing.T) {
	listed := map[string]bool{}
	for _, typ := range Catalog.Names() {
		listed[typ.String()] = true
	}
	files, _ := filepath.Glob("../../domain/*/*.go")
	event := regexp.MustCompile(`(?m)^func \((?:\w+ )?(\w+)\) (?:\w+Event|registryEvent)\(\)`)
	seen := 0
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range event.FindAllStringSubmatch(string(src), -1) {
			seen++
			if typ := filepath.Base(filepath.Dir(f)) + "." + m[1]; !listed[typ] {
				t.Errorf("%s: %s is not in the catalogue", f, typ)
			}
		}
	}
	current := 0
	for _, e := range Catalog.byName {
		if e.today == nil {
			current++
		}
	}
	if seen < current {
		t.Fatalf("found %d events in the sources for %d in the catalogue", seen, current)
	}
}

type oldForm struct {
	Name     string       `json:"name"`
	Personal *oldPersonal `json:"-"`
}
type oldPersonal struct {
	Town string `json:"town"`
}
type newForm struct {
	Names    []string     `json:"names"`
	Personal *newPersonal `json:"-"`
}
type newPersonal struct {
	City string `json:"city"`
}

var evolved = New(
	Upcast("thing.happened/1", func(o oldForm) any {
		n := newForm{Names: []string{o.Name}}
		if o.Personal != nil {
			n.Personal = &newPersonal{City: o.Personal.Town}
		}
		return n
	}),
	Event[newForm]("thing.happened/2"),
)

func TestAnOldFormIsReadAsToday(t *testing.T) {
	e, err := evolved.Decode("thing.happened/1", []byte(`{"name":"a"}`), []byte(`{"town":"b"}`))
	if want := (newForm{Names: []string{"a"}, Personal: &newPersonal{City: "b"}}); err != nil || !reflect.DeepEqual(e, want) {
		t.Fatalf("%+v, %v", e, err)
	}
	sealed, err := evolved.Decode("thing.happened/1", []byte(`{"name":"a"}`), nil)
	if err != nil || sealed.(newForm).Personal != nil {
		t.Fatal(sealed, err)
	}
	if name, _, _, err := evolved.Encode(newForm{}); err != nil || name != "thing.happened/2" {
		t.Fatal(name, err)
	}
	if _, _, _, err := evolved.Encode(oldForm{}); err == nil {
		t.Fatal("an old form was written again")
	}
}

// What does not decode is refused, and the error never quotes it.
func TestMalformed(t *testing.T) {
	const secret = "canary"
	for _, tc := range []struct{ name, clear, personal string }{
		{"mandate.accepted/1", `{"mandate":"canary","at":"2026-03-01T12:00:00Z"}`, ""},
		{"mandate.accepted/1", `{"at":"canary"}`, ""},
		{"mandate.accepted/1", `{"canary":1}`, ""},
		{"mandate.accepted/1", `{}{}`, ""},
		{"mandate.accepted/1", `{"AT":"2026-03-01T12:00:00Z"}`, ""},
		{"mandate.accepted/1", `{}`, `{}`},
		{"citizen.deceased/1", `{}`, `{"date":5,"canary":"canary"}`},
	} {
		var personal []byte
		if tc.personal != "" {
			personal = []byte(tc.personal)
		}
		_, err := Catalog.Decode(tc.name, []byte(tc.clear), personal)
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s %s %s: %v", tc.name, tc.clear, tc.personal, err)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the error quotes what was stored: %v", err)
		}
	}
	if _, err := Catalog.Decode("canary/1", []byte(`{}`), nil); !errors.Is(err, ErrUnknownType) || strings.Contains(err.Error(), secret) {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	for name := range Catalog.Names() {
		file, err := os.ReadFile("testdata/events/" + strings.ReplaceAll(name, "/", ".") + ".json")
		if err != nil {
			f.Fatal(err)
		}
		var s sample
		if err := json.Unmarshal(file, &s); err != nil {
			f.Fatal(err)
		}
		f.Add(name, []byte(s.Clear), []byte(s.Personal))
	}
	f.Fuzz(func(t *testing.T, name string, clear, personal []byte) {
		e, err := Catalog.Decode(name, clear, personal)
		if err != nil {
			return
		}
		if _, _, _, err := Catalog.Encode(e); err != nil {
			t.Fatalf("decoded but does not encode: %v", err)
		}
		other := reflect.New(Catalog.Names()[name])
		dec := json.NewDecoder(bytes.NewReader(clear))
		dec.DisallowUnknownFields()
		if err := dec.Decode(other.Interface()); err != nil {
			t.Fatalf("decoded, and encoding/json does not read it: %v", err)
		}
		if again := reflect.New(Catalog.Names()[name]); strict(clear, again.Interface()) != nil || !reflect.DeepEqual(again.Interface(), other.Interface()) {
			t.Fatal("encoding/json reads something else")
		}
	})
}
