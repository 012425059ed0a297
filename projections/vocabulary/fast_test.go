package vocabulary_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"coffre/domain"
	"coffre/domain/registry"
	. "coffre/projections/vocabulary"
)

// everything is a schema in which every allowed keyword occurs.
const everything = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,"required":["s","n"],
"$defs":{"node":{"type":"object","additionalProperties":false,"properties":{"v":{"type":"integer"},"next":{"$ref":"#/$defs/node"}}}},
"properties":{
"s":{"type":"string","minLength":1,"maxLength":4},"p":{"type":"string","pattern":"^[a-z]+$"},
"d":{"type":"string","format":"date"},"t":{"type":"string","format":"date-time"},"m":{"type":"string","format":"email"},"w":{"type":"string","format":"uri"},"g":{"type":"string","format":"uuid"},
"n":{"type":["number","null"],"minimum":-2.5,"maximum":100},"i":{"type":"integer","minimum":0},"b":{"type":"boolean"},
"c":{"const":"é\"\n"},"e":{"enum":["a",1,2.5,true,null]},
"a":{"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3,"uniqueItems":true},
"o":{"oneOf":[{"type":"string","maxLength":2},{"type":"string","minLength":2},{"type":"integer"}]},
"y":{"anyOf":[{"type":"string","format":"date"},{"const":""},{"type":"array","items":{"type":"boolean"}}]},
"r":{"$ref":"#/$defs/node"},"q":{"type":["object","array"],"additionalProperties":false,"properties":{"x":{"type":"number"}},"items":{"type":"string"}}}}`

func everyKeyword(t testing.TB, schema string) *View {
	r := numbers(t)
	r.DocumentTypes[len(r.DocumentTypes)-1].Schema = domain.JSON(schema)
	v, err := Compile(registry.Published{Version: 1, Registry: r})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// values are drawn for every member; good and bad ones, in several spellings.
var values = []string{
	`""`, `"a"`, `"ab"`, `"abc"`, `"abcde"`, `"é\"\n"`, `"\u00e9\u0022\u000a"`, `"😀"`, `"\ud83d\ude00bcd"`, `"A"`, `"2024-02-29"`, `"2023-02-29"`,
	`"2024-02-29T10:00:00+01:00"`, `"2024-02-29T10:00:00.5Z"`, `"2024-02-29T10:00:00"`, `"2024-02-29T1:00:00,5Z"`, `"a@b.example"`, `"a@b@c"`, `"@b"`, `"https://x.example/?a=b"`, `"x"`, `"not a uri:"`,
	`"2cbc8b4f-2175-4643-a541-01f5aa3f5d57"`, `"2cbc8b4f21754643a54101f5aa3f5d57"`, `0`, `-0`, `1`, `1.0`, `1.5`, `2.5`, `2.50`, `-2.5`, `-2.51`, `100`, `1e2`, `100.5`, `1e21`, `1E-7`, `9007199254740993`, `123456789012345`, `1234567890123456`,
	`true`, `false`, `null`, `[]`, `[1]`, `[1,1.0]`, `[1,2,3]`, `[1,2,3,4]`, `[true,false]`, `[true,1]`, `["a","b"]`, `[[]]`, `{}`, `{"x":1}`, `{"x":"1"}`, `{"y":1}`, `{"v":1}`, `{"next":{"v":1,"next":{"v":2}}}`, `{"next":{"next":{"z":2}}}`,
	`{"next": {"v" :1.5}}`, `[ 1 , 2 ]`, strings.Repeat(`{"next":`, 30) + `{}` + strings.Repeat(`}`, 30), strings.Repeat(`{"next":`, 33) + `{}` + strings.Repeat(`}`, 33),
}

// The fast way accepts nothing that the schema library would refuse, and does
// accept what is plain.
func TestFastWayAgrees(t *testing.T) {
	v := everyKeyword(t, everything)
	members := []string{"s", "p", "d", "t", "m", "w", "g", "n", "i", "b", "c", "e", "a", "o", "y", "r", "q", "unknown"}
	accepted, slowly := 0, 0
	judge := func(t interface{ Fatalf(string, ...any) }, content string) {
		fast, slow := v.Judged("amount", []byte(content))
		if fast && !slow {
			t.Fatalf("accepted the fast way only: %s", content)
		}
		if fast {
			accepted++
		} else if slow {
			slowly++
		}
	}
	for _, m := range members {
		for _, value := range values {
			switch m {
			case "s":
				judge(t, fmt.Sprintf(`{"n":1,"s":%s}`, value))
			case "n":
				judge(t, fmt.Sprintf(`{"s":"a","n":%s}`, value))
			default:
				judge(t, fmt.Sprintf(`{"s":"a","n":1,%q:%s}`, m, value))
				judge(t, fmt.Sprintf(`{"n":1,%q:%s}`, m, value))
			}
		}
	}
	if accepted < 80 || slowly > accepted/5 {
		t.Fatalf("%d accepted the fast way, %d only by the library", accepted, slowly)
	}
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		b.WriteString(`{"n":1,"s":"ab"`)
		for _, m := range rapid.SliceOfNDistinct(rapid.SampledFrom(members), 0, 5, rapid.ID[string]).Draw(t, "members") {
			fmt.Fprintf(&b, `,%q:%s`, m, rapid.SampledFrom(values).Draw(t, "value"))
		}
		judge(t, b.String()+`}`)
	})
}

// What only the library can judge goes to the library.
func TestSlowWayIsTaken(t *testing.T) {
	const head = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,`
	v := everyKeyword(t, head+`"properties":{"a":{"type":"string"},"b":{"type":"string"}},"dependentRequired":{"a":["b"]}}`)
	for content, want := range map[string][]broken{
		`{"b":"1"}`: nil, `{"a":"1","b":"1"}`: nil, `{"a":"1"}`: {{"", "dependentRequired"}},
	} {
		_, issues, _ := v.CheckContent("amount", []byte(content))
		if !slices.Equal(brokenIn(issues), want) {
			t.Errorf("%s: %v", content, issues)
		}
	}
}

func TestOrdinaryContentTakesTheFastWay(t *testing.T) {
	if fast, slow := sampleView(t).Judged("identityData", []byte(kibibyte)); !fast || !slow {
		t.Errorf("fast %v, slow %v", fast, slow)
	}
}
