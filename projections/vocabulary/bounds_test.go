package vocabulary_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"coffre/domain"
	"coffre/domain/registry"
	. "coffre/projections/vocabulary"
)

const schemaHead = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,`

// nested is a schema of alternatives within alternatives.
func nested(depth int) string {
	if depth == 0 {
		return `{"type":"string","maxLength":1}`
	}
	sub := nested(depth - 1)
	return `{"anyOf":[` + sub + `,` + sub + `]}`
}

// What makes judging a content dear is refused when it is to be published, with its file and
// its place; the same is served where it is in force already.
func TestF33SchemasAreBoundedWhenPublished(t *testing.T) {
	deep := func(n int) string { // arrays in arrays by definitions, so that no file is deep itself
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"d%d":{"type":"array","items":{"$ref":"#/$defs/d%d"}},`, i, i+1)
		}
		return schemaHead + `"$defs":{` + b.String() + fmt.Sprintf(`"d%d":{"type":"string"}},"properties":{"n":{"$ref":"#/$defs/d0"}}}`, n)
	}
	doubling := func(n int) string { // each definition names the next one twice
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"d%d":{"anyOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, i+1, i+1)
		}
		return schemaHead + `"$defs":{` + b.String() + fmt.Sprintf(`"d%d":{"type":"string","maxLength":1}},"properties":{"n":{"$ref":"#/$defs/d0"}}}`, n)
	}
	for name, tc := range map[string]struct{ schema, told string }{
		"plain":                        {schemaHead + `"properties":{"n":{"type":"string"}}}`, ""},
		"alternatives of references":   {schemaHead + `"$defs":{"d":{"type":"string"}},"properties":{"n":{"anyOf":[{"$ref":"#/$defs/d"},{"type":"array","items":{"$ref":"#/$defs/d"}}]}}}`, ""},
		"many alternatives":            {schemaHead + `"properties":{"n":{"anyOf":[` + strings.Repeat(`{"type":"string"},`, 30) + `{"type":"number"}]}}}`, ""},
		"more alternatives":            {schemaHead + `"properties":{"n":{"anyOf":[` + strings.Repeat(`{"type":"string"},`, 31) + `{"type":"number"}]}}}`, "judges a value up to 33 times"},
		"alternatives in alternatives": {schemaHead + `"properties":{"n":` + nested(4) + `}}`, ""},
		"too many of them":             {schemaHead + `"properties":{"n":` + nested(8) + `}}`, "judges a value up to"},
		"references that double":       {doubling(30), "judges a value up to"},
		"deep":                         {deep(30), ""},
		"too deep":                     {deep(70), "is more than 64 deep"},
		"a reference to itself":        {schemaHead + `"$defs":{"d":{"$ref":"#/$defs/d"}},"properties":{"n":{"$ref":"#/$defs/d"}}}`, "schema #/$defs/d/$ref: refers to itself"},
		"a circle through members":     {schemaHead + `"$defs":{"a":{"type":"object","additionalProperties":false,"properties":{"b":{"$ref":"#/$defs/b"}}},"b":{"type":"array","items":{"$ref":"#/$defs/a"}}},"properties":{"n":{"$ref":"#/$defs/a"}}}`, "refers to itself, by way of a, b"},
		"a reference to the whole":     {schemaHead + `"properties":{"n":{"$ref":"#"}}}`, "schema #/properties/n/$ref: is no definition"},
		"a reference to a member":      {schemaHead + `"properties":{"a":{"type":"string"},"n":{"$ref":"#/properties/a"}}}`, "is no definition"},
		"definitions further down":     {schemaHead + `"properties":{"n":{"type":"object","additionalProperties":false,"$defs":{"d":{"type":"string"}},"properties":{}}}}`, "definitions stand at the root"},
		"a pattern":                    {schemaHead + `"properties":{"n":{"type":"string","pattern":"^[-a-zA-Z0-9]{1,65}$"}}}`, ""},
		"a pattern of a great program": {schemaHead + `"properties":{"n":{"type":"string","pattern":"^([a-z]{0,100} ){0,9}$"}}}`, "becomes a program of more than 1000 instructions"},
	} {
		r := numbers(t)
		r.DocumentTypes[len(r.DocumentTypes)-1].Schema = domain.JSON(tc.schema)
		err := CheckSchemas(r)
		if tc.told == "" && err != nil || tc.told != "" && (!errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), tc.told) || !strings.HasPrefix(err.Error(), `documentTypes "amount": schema`)) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "a reference to itself" {
			continue // which nothing ever served
		}
		if _, err := Compile(registry.Published{Version: 1, Registry: r}); err != nil {
			t.Errorf("%s: is not served: %v", name, err)
		}
	}
	if err := CheckSchemas(sampleView(t).Registry()); err != nil {
		t.Error(err)
	}
}

// Judging ends after a bounded number of steps, with few issues, also by a schema that was
// published when there were no bounds.
func TestF33JudgingIsBounded(t *testing.T) {
	for name, schema := range map[string]string{
		"alternatives":           schemaHead + `"properties":{"n":{"type":"array","items":` + nested(11) + `}}}`,
		"a circle":               schemaHead + `"$defs":{"d":{"anyOf":[{"type":"array","items":{"$ref":"#/$defs/d"}},{"type":"array","items":{"$ref":"#/$defs/d"}}]}},"properties":{"n":{"$ref":"#/$defs/d"}}}`,
		"an array of wrong ones": schemaHead + `"properties":{"n":{"type":"array","items":{"type":"string"}}}}`,
	} {
		v := everyKeyword(t, schema)
		for how, content := range map[string]string{
			"wide": `{"n":[` + strings.Repeat(`77,`, 80_000) + `77]}`,
			"deep": `{"n":` + strings.Repeat("[", 30) + `77` + strings.Repeat("]", 30) + `}`,
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, issues, _ := v.CheckContent("amount", []byte(content))
			runtime.ReadMemStats(&after)
			if len(issues) == 0 || len(issues) > 20 {
				t.Errorf("%s, %s: %d issues", name, how, len(issues))
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
				t.Errorf("%s, %s: %d bytes", name, how, n)
			}
		}
	}
}
