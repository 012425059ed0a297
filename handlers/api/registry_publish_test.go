package api

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/uuid"

	samples "coffre/deploy/registry"
	"coffre/domain/registry"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// registryFiles returns the sample registry as a body, changed.
func registryFiles(t testing.TB, change map[string]string) contract.RegistryFiles {
	t.Helper()
	files := make(map[string]json.RawMessage)
	err := fs.WalkDir(samples.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[name], err = fs.ReadFile(samples.Files, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range change {
		files[name] = json.RawMessage(content)
	}
	body, err := json.Marshal(files)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func (tv *testVault) publishFiles(t testing.TB, body contract.RegistryFiles) error {
	t.Helper()
	_, err := tv.PublishRegistry(tv.as(t, operator, "publishRegistry", body), contract.PublishRegistryRequestObject{Params: contract.PublishRegistryParams{IdempotencyKey: uuid.New()}, Body: &body})
	return err
}

// A registry whose files are not what they should be is refused as bad input that names the file
// and the place, and nothing is recorded of it.
func TestF33MalformedRegistriesAreRefused(t *testing.T) {
	tv := newVault(t)
	published := len(recorded[registry.Published](t, tv))
	diploma, err := fs.ReadFile(samples.Files, "documentTypes/diploma.json")
	if err != nil {
		t.Fatal(err)
	}
	withSchema := func(schema string) map[string]string {
		var typ map[string]json.RawMessage
		if err := json.Unmarshal(diploma, &typ); err != nil {
			t.Fatal(err)
		}
		typ["schema"], typ["minimum"] = json.RawMessage(schema), json.RawMessage(`[]`)
		b, err := json.Marshal(typ)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"documentTypes/diploma.json": string(b)}
	}
	const head = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,`
	for name, tc := range map[string]struct {
		change map[string]string
		at     string // pointer to the file
		told   string
	}{
		"an unknown file":               {map[string]string{"x.json": `{}`}, "/x.json", "is not a file of a registry"},
		"a file in an unknown folder":   {map[string]string{"documentTypes/old/x.json": `{}`}, "/documentTypes~1old~1x.json", "is not a file of a registry"},
		"an array for an object":        {map[string]string{"reasons.json": `[]`}, "/reasons.json", "is not a JSON object"},
		"null":                          {map[string]string{"reasons.json": `null`}, "/reasons.json", "is not a JSON object"},
		"a text":                        {map[string]string{"documentTypes/x.json": `"x"`}, "/documentTypes~1x.json", "is not a JSON object"},
		"an unknown member":             {map[string]string{"reasons.json": `{"item":[]}`}, "/reasons.json", "item"},
		"a list that is none":           {map[string]string{"reasons.json": `{"items":{}}`}, "/reasons.json", "/items"},
		"a number for a text":           {map[string]string{"purposes.json": `{"items":[{"code":7}]}`}, "/purposes.json", "/items/0/code"},
		"a number beyond all":           {map[string]string{"documentTypes/x.json": `{"retention":{"years":1e30}}`}, "/documentTypes~1x.json", "/retention/years"},
		"a null entry":                  {map[string]string{"procedures.json": `{"items":[null]}`}, "/procedures.json", "procedures"},
		"an empty organisation":         {map[string]string{"organisations/x.json": `{}`}, "/organisations~1x.json", "organisations"},
		"an empty type":                 {map[string]string{"documentTypes/x.json": `{}`}, "/documentTypes~1x.json", "documentTypes"},
		"a schema that is a text":       {withSchema(`"x"`), "/documentTypes~1diploma.json", "schema"},
		"a schema that is true":         {withSchema(`true`), "/documentTypes~1diploma.json", "schema"},
		"a schema of wrong keywords":    {withSchema(head + `"properties":{"n":{"type":"string","minLength":-1}}}`), "/documentTypes~1diploma.json", "schema"},
		"properties that are a list":    {withSchema(head + `"properties":[]}`), "/documentTypes~1diploma.json", "schema"},
		"alternatives that are none":    {withSchema(head + `"properties":{"n":{"anyOf":[]}}}`), "/documentTypes~1diploma.json", "schema"},
		"a pattern that is a number":    {withSchema(head + `"properties":{"n":{"type":"string","pattern":7}}}`), "/documentTypes~1diploma.json", "schema"},
		"a pattern that is none":        {withSchema(head + `"properties":{"n":{"type":"string","pattern":"("}}}`), "/documentTypes~1diploma.json", "schema"},
		"a reference that is a number":  {withSchema(head + `"properties":{"n":{"$ref":7}}}`), "/documentTypes~1diploma.json", "$ref"},
		"a reference to itself":         {withSchema(head + `"$defs":{"d":{"$ref":"#/$defs/d"}},"properties":{"n":{"$ref":"#/$defs/d"}}}`), "/documentTypes~1diploma.json", "#/$defs/d/$ref"},
		"alternatives in alternatives":  {withSchema(head + `"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"},{"$ref":"#/$defs/b"}]},"b":{"anyOf":[{"$ref":"#/$defs/c"},{"$ref":"#/$defs/c"}]},"c":{"anyOf":[{"$ref":"#/$defs/d"},{"$ref":"#/$defs/d"}]},"d":{"anyOf":[{"$ref":"#/$defs/e"},{"$ref":"#/$defs/e"}]},"e":{"type":"string"}},"properties":{"n":{"$ref":"#/$defs/a"}}}`), "/documentTypes~1diploma.json", "judges a value"},
		"a schema nested beyond reason": {withSchema(head + `"properties":{"n":` + strings.Repeat(`{"type":"array","items":`, 40) + `{"type":"string"}` + strings.Repeat(`}`, 40) + `}}`), "/documentTypes~1diploma.json", "schema"},
	} {
		err := tv.publishFiles(t, registryFiles(t, tc.change))
		var refusal *edge.Refusal
		if !errors.As(err, &refusal) || refusal.Problem.Status != 400 || len(refusal.Problem.Issues) == 0 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		found := false
		for _, i := range refusal.Problem.Issues {
			found = found || i.Name == tc.at && strings.Contains(i.Detail, tc.told) && i.In == contract.IssueLocationBody
		}
		if !found {
			t.Errorf("%s: %+v", name, refusal.Problem.Issues)
		}
	}
	for name, body := range map[string]string{
		"no file": `{}`, "a path upwards": `{"../x.json":{}}`, "an absolute path": `{"/x.json":{}}`, "no name": `{"":{}}`, "a folder that is a file": `{"documentTypes":{},"documentTypes/x.json":{}}`, "another system's path": `{"documentTypes\\x.json":{}}`, "a point": `{".":{}}`,
	} {
		if err := tv.publishFiles(t, contract.RegistryFiles(body)); slugOf(err) != "registryFiles" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(recorded[registry.Published](t, tv)); n != published {
		t.Errorf("%d registries were published", n-published)
	}
}
