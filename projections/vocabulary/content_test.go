package vocabulary_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"coffre/domain"
	"coffre/domain/registry"
	. "coffre/projections/vocabulary"
)

const card = domain.DocumentType("isiPlusCard")

func TestContentIsMadeCanonical(t *testing.T) {
	v := sampleView(t)
	raw := []byte("{ \"name\" : \"\\u00c9va \\/ \\u0022x\\u0022\",\n \"birthDate\":\"2015-02-28\" }")
	before := bytes.Clone(raw)
	got, issues, err := v.CheckContent(card, raw)
	if err != nil {
		t.Fatal(err, issues)
	}
	if want := `{"birthDate":"2015-02-28","name":"Éva / \"x\""}`; string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !bytes.Equal(raw, before) {
		t.Error("the caller's bytes were changed")
	}
}

// D-5: what the schema does not allow is refused, with a place and a keyword.
func TestContentIsRefused(t *testing.T) {
	v := sampleView(t)
	deep := strings.Repeat(`[`, MaxDepth+1) + strings.Repeat(`]`, MaxDepth+1)
	for _, c := range []struct {
		name, content string
		typ           domain.DocumentType
		want          []broken
	}{
		{"an unknown member", `{"name":"A","birthDate":"2015-02-28","Kim Peeters":1}`, card, []broken{{"", "additionalProperties"}}},
		{"an unknown member further down", `{"family_name":"A","given_name":"B","birthdate":"1990-01-01","address":{"secret":1}}`, "identityData", []broken{{"/address", "additionalProperties"}}},
		{"a missing member", `{"name":"A"}`, card, []broken{{"/birthDate", "required"}}},
		{"a case variant", `{"Name":"A","birthDate":"2015-02-28"}`, card, []broken{{"", "additionalProperties"}, {"/name", "required"}}},
		{"a wrong type", `{"name":7,"birthDate":"2015-02-28"}`, card, []broken{{"/name", "type"}}},
		{"null", `{"name":null,"birthDate":"2015-02-28"}`, card, []broken{{"/name", "type"}}},
		{"a date that does not exist", `{"name":"A","birthDate":"2015-02-29"}`, card, []broken{{"/birthDate", "format"}}},
		{"a date of year 0", `{"name":"A","birthDate":"0000-01-01"}`, card, []broken{{"/birthDate", "format"}}},
		{"too long a text", `{"name":"` + strings.Repeat("x", 201) + `","birthDate":"2015-02-28"}`, card, []broken{{"/name", "maxLength"}}},
		{"a pattern", `{"name":"A","birthDate":"2015-02-28","cardNumber":"x"}`, card, []broken{{"/cardNumber", "pattern"}}},
		{"an unknown code", `{"benefit":"luck","entitled":true,"since":"2026-01-01"}`, "socialBenefitStatement", []broken{{"/benefit", "enum"}}},
		{"a number out of range", `{"asOf":"2026-01-01","householdSize":101,"members":[]}`, "householdComposition", []broken{{"/householdSize", "maximum"}}},
		{"an item", `{"asOf":"2026-01-01","householdSize":2,"members":[{"relation":"child"},{"relation":"friend"}]}`, "householdComposition", []broken{{"/members/1/relation", "enum"}}},
		{"behind a reference", `{"qdl":{"classes":[],"validity":{"code":1}},"photocardserialno":{"value":"1"}}`, "drivingLicence", []broken{{"/qdl/validity/code", "type"}}},
		{"none of several", `{"qdl":{"classes":[],"validity":{"code":"V"},"expirydate":{"value":"soon"}},"photocardserialno":{"value":"1"}}`, "drivingLicence", []broken{{"/qdl/expirydate/value", "anyOf"}}},
		{"not an object", `[]`, card, []broken{{"", "type"}}},
		{"a member twice", `{"name":"A","name":"B","birthDate":"2015-02-28"}`, card, []broken{{"", "json"}}},
		{"a second value", `{"name":"A","birthDate":"2015-02-28"}{}`, card, []broken{{"", "json"}}},
		{"a text that is not UTF-8", "{\"name\":\"\xff\",\"birthDate\":\"2015-02-28\"}", card, []broken{{"", "json"}}},
		{"half a surrogate pair", `{"name":"\ud800","birthDate":"2015-02-28"}`, card, []broken{{"", "json"}}},
		{"cut off", `{"name":"A","birthDate":"2015-02-28"`, card, []broken{{"", "json"}}},
		{"nothing", ``, card, []broken{{"", "json"}}},
		{"too deep", deep, card, []broken{{"", "depth"}}},
		{"too large", `{"name":"` + strings.Repeat("x", MaxContent) + `"}`, card, []broken{{"", "size"}}},
		{"a number that loses digits", `{"asOf":"2026-01-01","householdSize":9007199254740993,"members":[]}`, "householdComposition", []broken{{"", "number"}}},
		{"a number beyond all", `{"asOf":"2026-01-01","householdSize":1e999999999999,"members":[]}`, "householdComposition", []broken{{"", "number"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, issues, err := v.CheckContent(c.typ, []byte(c.content))
			if !errors.Is(err, ErrContent) || got != nil {
				t.Fatalf("err = %v, content %d bytes", err, len(got))
			}
			if got := brokenIn(issues); !slices.Equal(got, c.want) {
				t.Errorf("issues %v, want %v", got, c.want)
			}
		})
	}
	if _, _, err := v.CheckContent("passport", []byte(`{}`)); !errors.Is(err, ErrUnknownType) {
		t.Errorf("D-5 unknown type: %v", err)
	}
}

// broken is the place and the keyword of an issue.
type broken struct{ pointer, keyword string }

func brokenIn(issues []Issue) (all []broken) {
	for _, i := range issues {
		all = append(all, broken{i.Pointer, i.Keyword})
	}
	slices.SortFunc(all, func(a, b broken) int { return strings.Compare(a.pointer, b.pointer) })
	return all
}

// An issue says what the schema asks for and which member it does not declare.
func TestF25IssuesOfContentSayWhatIsWanted(t *testing.T) {
	v := sampleView(t)
	for content, want := range map[string]Issue{
		`{"name":7,"birthDate":"2015-02-28"}`:                                  {"/name", "type", "string", ""},
		`{"name":"A","birthDate":"2015-02-29"}`:                                {"/birthDate", "format", "date", ""},
		`{"name":"` + strings.Repeat("x", 201) + `","birthDate":"2015-02-28"}`: {"/name", "maxLength", "200", ""},
		`{"name":"A","birthDate":"2015-02-28","nickname":"B"}`:                 {"", "additionalProperties", "", "nickname"},
	} {
		if _, issues, _ := v.CheckContent(card, []byte(content)); len(issues) != 1 || issues[0] != want {
			t.Errorf("%s: %q, want %q", content, issues, want)
		}
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	v, err := Compile(registry.Published{Version: 1, Registry: numbers(t)})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "1": "1", "1.0": "1", "1e2": "100", "0.1": "0.1", "1E-7": "1e-7", "9007199254740991": "9007199254740991",
		"9007199254740992": "9007199254740992", "100000000000000000000": "100000000000000000000", "0.30000000000000004": "0.30000000000000004",
		"1234567890.12345": "1234567890.12345", "1e21": "1e+21", "0.000000000000000000000": "0", "5e-324": "5e-324",
		"9007199254740993": "", "0.1000000000000000055511": "", "1e400": "", "1e-400": "", "123456789012345678": "", "1e-99999999999999999999": "",
	} {
		got, _, err := v.CheckContent("amount", []byte(`{"n":`+text+`}`))
		if want == "" && err == nil || want != "" && string(got) != `{"n":`+want+`}` {
			t.Errorf("%s became %s, %v; want %q", text, got, err, want)
		}
	}
}

// numbers is the sample registry with a type whose content is a number.
func numbers(t testing.TB) registry.Registry {
	r := sampleView(t).Registry()
	typ := r.DocumentTypes[0]
	typ.Name, typ.Minimum, typ.Predicates = "amount", nil, nil
	typ.Schema = domain.JSON(`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,"required":["n"],"properties":{"n":{"type":"number"}}}`)
	r.DocumentTypes = append(slices.Clone(r.DocumentTypes), typ)
	return r
}

// FuzzCheckContent: whatever comes, no value of it comes back in an issue; what
// is accepted is its own canonical form, within the limits.
func FuzzCheckContent(f *testing.F) {
	for _, s := range []string{
		`{"name":"A","birthDate":"2015-02-28"}`, `{"name":"A","birthDate":"2015-02-29","zzz":[1,{"a":null}]}`, `{"a":{"a":{"a":1e400}}}`, `[[[[`, `"\ud800"`, `{"name":"\u0000\u2028","birthDate":"2016-02-29"}`,
		`{"family_name":"A","given_name":"B","birthdate":"1990-01-01","sex":"2","nationalities":["BE"],"picture":"iVBORw0KGgo="}`, `{"asOf":"2026-01-01","householdSize":1.0,"members":[]}`, "{\"\xff\":1}", `{"a":1,"a":2}`, ` 1 2`,
	} {
		for i := range launchTypes {
			f.Add(s, uint8(i))
		}
	}
	v := sampleView(f)
	declared := make(map[string]bool)
	for _, d := range v.Registry().DocumentTypes {
		for _, name := range bytes.FieldsFunc(d.Schema, func(r rune) bool { return r == '"' }) {
			declared[string(name)] = true
		}
	}
	f.Fuzz(func(t *testing.T, content string, which uint8) {
		name := launchTypes[int(which)%len(launchTypes)]
		if fast, slow := v.Judged(name, []byte(content)); fast && !slow {
			t.Fatal("accepted the fast way only")
		}
		got, issues, err := v.CheckContent(name, []byte(content))
		if (err == nil) != (len(issues) == 0) || (err == nil) != (got != nil) {
			t.Fatalf("err %v, %d issues, %d bytes", err, len(issues), len(got))
		}
		for _, i := range issues {
			for _, token := range strings.Split(i.Pointer, "/")[1:] {
				var n int
				if _, err := fmt.Sscanf(token, "%d", &n); err != nil && !declared[token] {
					t.Fatalf("the issue's pointer holds %q, which no schema declares", token)
				}
			}
		}
		if err != nil {
			return
		}
		if !utf8.Valid(got) || len(content) > MaxContent {
			t.Fatal("accepted beyond the limits")
		}
		again, _, err := v.CheckContent(name, got)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("the canonical form is not stable: %v", err)
		}
	})
}

// kibibyte is an identity of about 1 KiB, as issuers send it.
const kibibyte = `{"family_name":"Voorbeeld","given_name":"Eefje","birth_family_name":"Voorbeeld","birth_given_name":"Eefje","birthdate":"1990-04-05","age_birth_year":1990,"age_in_years":36,"age_equal_or_over":{"14":true,"16":true,"18":true,"21":true,"65":false},"place_of_birth":{"country":"BE","region":"Luik","locality":"Eupen"},"sex":"2","nationalities":["BE"],"address":{"formatted":"Voorbeeldstraat 1, 9000 Gent","street_address":"Voorbeeldstraat","house_number":"1","postal_code":"9000","locality":"Gent","region":"Oost-Vlaanderen","country":"BE"},"email":"eefje@example.org","phone_number":"0400000000","document_number":"591-0000000-00","personal_administrative_number":"x-000000","date_of_issuance":"2025-12-21T11:37:43+01:00","date_of_expiry":"2027-01-20T11:37:43+01:00","expiry_date":"2027-01-20","issuing_authority":"example","issuing_country":"BE","issuing_jurisdiction":"example","picture":"iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAYAAADED76LAAAAFElEQVQYV2P8z8DwHwYGBgZGMAEADigBCCGZkB0AAAAASUVORK5CYII="}`

// BenchmarkCheckContent measures CheckContent beside the schema library alone, which
// is what the fast way has to earn its keep against.
func BenchmarkCheckContent(b *testing.B) {
	v := sampleView(b)
	for _, way := range []struct {
		name  string
		check func(domain.DocumentType, []byte) (domain.JSON, []Issue, error)
	}{{"fast", v.CheckContent}, {"library", v.CheckByLibrary}} {
		b.Run(way.name, func(b *testing.B) {
			b.SetBytes(int64(len(kibibyte)))
			b.ReportAllocs()
			for b.Loop() {
				if _, issues, err := way.check("identityData", []byte(kibibyte)); err != nil {
					b.Fatal(err, issues)
				}
			}
		})
	}
}
