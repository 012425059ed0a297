package edge

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"coffre/handlers/contract"
)

// mistake is one wrong value for a member or a parameter, made from its schema.
type mistake struct {
	kind  string
	value any
	title string // of its issue
}

// wrongTexts returns texts of which every form that the contract has refuses one; each but the
// last holds what no answer repeats.
func wrongTexts() []string { return []string{"\u00a4" + canary, canary + " ", "\u00a4"} }

// mistakesOf returns a value of every wrong kind that the schema refuses.
func mistakesOf(t testing.TB, s *openapi3.Schema) []mistake {
	t.Helper()
	kind := func(values ...any) (all []mistake) {
		for _, v := range values {
			all = append(all, mistake{fmt.Sprintf("wrong type %T", v), v, "A value of another kind is expected"})
		}
		return all
	}
	number := 85073003328.0
	list, member := []any{canary}, map[string]any{canary: canary}
	switch {
	case s.Type.Is("object"):
		return kind(canary, number, true, list)
	case s.Type.Is("boolean"):
		return kind(canary, number, list, member)
	case s.Type.Is("array"):
		all := kind(canary, number, true, member)
		if s.MaxItems != nil {
			all = append(all, mistake{"too many", slices.Repeat([]any{sample(t, s.Items.Value)}, int(*s.MaxItems)+1), "Too many items"})
		}
		if s.MinItems > 0 {
			all = append(all, mistake{"too few", []any{}, "Too few items"})
		}
		return all
	case s.Type.Is("integer"):
		all := kind(canary, true, list, member)
		const range_ = "A whole number within its range is expected"
		all = append(all, mistake{"no whole number", 1.5, range_}, mistake{"far out of range", 1e300, range_})
		if s.Min != nil {
			all = append(all, mistake{"too small", *s.Min - 1, range_})
		}
		if s.Max != nil {
			all = append(all, mistake{"too large", *s.Max + 1, range_})
		}
		return all
	}
	all := kind(number, true, list, member)
	const control, length, blank, form = "A control character, or one that turns the direction of text", "Too short or too long", "The text says nothing: it is blank", "The value does not have its form"
	all = append(all, mistake{"control character", canary + "\u0007", control})
	if s.MaxLength != nil {
		all = append(all, mistake{"too long", canary + strings.Repeat("x", int(*s.MaxLength)), length})
	}
	if s.MinLength > 0 {
		all = append(all, mistake{"empty", "", length}, mistake{"blank", strings.Repeat(" ", int(s.MinLength)), blank})
	}
	if s.Pattern != "" || s.Format != "" && s.Format != "uri" {
		wrong := ""
		for _, text := range wrongTexts() {
			for uint64(len([]rune(text))) < s.MinLength {
				text += "\u00a4"
			}
			if wrong == "" && (s.MaxLength == nil || len([]rune(text)) <= int(*s.MaxLength)) && (s.Pattern == "" || !regexp.MustCompile(s.Pattern).MatchString(text)) {
				wrong = text
			}
		}
		all = append(all, mistake{"wrong form", wrong, form})
	}
	if len(s.Enum) > 0 {
		all = append(all, mistake{"unknown word", canary, "Not one of the values there are"})
	}
	return all
}

// wordsOf returns what the refusal of a value has to say of what is expected, as the schema
// has it.
func wordsOf(s *openapi3.Schema) (words []string) {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	switch {
	case s.Type.Is("object"):
		return []string{"an object"}
	case s.Type.Is("boolean"):
		return []string{"true or false"}
	case s.Type.Is("array"):
		words = append(words, "an array")
		if s.MaxItems != nil {
			words = append(words, number(*s.MaxItems))
		}
		if s.MinItems > 0 {
			words = append(words, number(s.MinItems))
		}
		return words
	case s.Type.Is("integer"):
		words = append(words, "a whole number from")
		for _, bound := range []*float64{s.Min, s.Max} {
			if bound != nil {
				words = append(words, strconv.FormatFloat(*bound, 'f', -1, 64))
			}
		}
		return words
	case len(s.Enum) > 0:
		return append(stringsOf(s.Enum), "one of")
	}
	if s.MaxLength != nil {
		words = append(words, number(*s.MaxLength))
	}
	if example, ok := s.Example.(string); ok {
		words = append(words, "such as "+example)
	}
	goType, _ := s.Extensions["x-go-type"].(string)
	switch {
	case s.Format == "uuid":
		words = append(words, "a UUID")
	case s.Format == "date-time":
		words = append(words, "an RFC 3339 date-time with an offset")
	case s.Format == "date":
		words = append(words, "yyyy-MM-dd")
	case strings.HasPrefix(goType, "wire.SSIN") || strings.HasPrefix(goType, "domain.Organisation"):
		words = append(words, "digits")
	case s.Pattern != "":
		form, _ := s.Extensions["x-form"].(string) // TestF25EveryFormIsNamed finds a pattern without one
		words = append(words, form)
	}
	return words
}

// holder is where a value stands in a body that a test changes: in an object, or in a list.
type holder struct {
	pointer            string
	schema             *openapi3.Schema
	required, inChoice bool
	set                func(any) (undo func())
	remove             func() (undo func()) // nil in a list
	object             map[string]any       // the value itself, when it is one whose members the contract has
}

// holdersIn returns every place of a body, the body itself left out.
func holdersIn(s *openapi3.Schema, value any, pointer string) (all []holder) {
	switch v := value.(type) {
	case map[string]any:
		for _, m := range placesIn(s, v, pointer) {
			if strings.Count(strings.TrimPrefix(m.pointer, pointer), "/") > 1 {
				continue // is reached from its own object
			}
			restore := func() func() {
				before, had := m.in[m.name]
				return func() {
					if delete(m.in, m.name); had {
						m.in[m.name] = before
					}
				}
			}
			h := holder{pointer: m.pointer, schema: m.schema, required: m.required, inChoice: m.inChoice}
			h.set = func(v any) func() { undo := restore(); m.in[m.name] = v; return undo }
			h.remove = func() func() { undo := restore(); delete(m.in, m.name); return undo }
			if len(m.schema.Properties) > 0 {
				h.object, _ = m.in[m.name].(map[string]any)
			}
			all = append(all, h)
			if m.in[m.name] != nil {
				all = append(all, holdersIn(m.schema, m.in[m.name], m.pointer)...)
			}
		}
	case []any:
		for i, item := range v {
			h := holder{pointer: fmt.Sprint(pointer, "/", i), schema: s.Items.Value, required: true}
			h.set = func(x any) func() { v[i] = x; return func() { v[i] = item } }
			if len(h.schema.Properties) > 0 {
				h.object, _ = item.(map[string]any)
			}
			all = append(all, h)
			all = append(all, holdersIn(s.Items.Value, item, h.pointer)...)
		}
	}
	return all
}

// told fails the test unless the refusal names that place once, under that title, and says
// what the schema expects there.
func told(t *testing.T, what string, p contract.Problem, in contract.IssueLocation, name, title string, words []string) {
	t.Helper()
	var found []contract.InputValidationIssue
	for _, issue := range p.Issues {
		if issue.In == in && issue.Name == name {
			found = append(found, issue)
		}
	}
	if len(found) != 1 || found[0].Title != title {
		t.Errorf("%s: %+v, want %q at %s %s once", what, p.Issues, title, in, name)
		return
	}
	for _, word := range words {
		if !strings.Contains(found[0].Detail, word) {
			t.Errorf("%s: %q does not say %q", what, found[0].Detail, word)
		}
	}
}

// Every member of every request, at every depth, with every kind of mistake that its schema
// refuses: the answer names the member's path and what is expected there, and never the value.
// The table is made from the contract, so that no member is left out.
func TestF43EveryMistakeNamesItsMember(t *testing.T) {
	e, members, tried := newEdge(t), 0, make(map[string]int)
	for _, c := range calls(t) {
		if c.Schema == nil {
			continue
		}
		send := func(body any) contract.Problem {
			t.Helper()
			w := e.send(c.Request(encode(t, body)))
			if len(e.reached) > 0 {
				t.Errorf("%s: reached the operation with %s", c.OperationID, encode(t, body))
			}
			return refused(t, w, 400, belgifPrefix+"badRequest")
		}
		schema := c.Schema.Value
		body, isObject := sample(t, schema).(map[string]any)
		if !isObject {
			t.Fatalf("%s: the body is no object", c.OperationID)
		}
		places := append(holdersIn(schema, body, ""), holder{pointer: "", schema: schema, object: body})
		if schema.AdditionalProperties.Has != nil && *schema.AdditionalProperties.Has { // judged by the registry
			places = nil
		}
		for _, h := range places {
			members++
			if h.set != nil {
				for _, m := range mistakesOf(t, h.schema) {
					tried[strings.Fields(m.kind)[0]]++
					undo := h.set(m.value)
					told(t, c.OperationID+h.pointer+" "+m.kind, send(body), contract.IssueLocationBody, h.pointer, m.title, wordsOf(h.schema))
					undo()
				}
			}
			if h.required {
				tried["null"]++
				undo := h.set(nil)
				told(t, c.OperationID+h.pointer+" null", send(body), contract.IssueLocationBody, h.pointer, "null is not a value here", wordsOf(h.schema))
				undo()
			}
			if h.required && h.remove != nil {
				tried["missing"]++
				undo := h.remove()
				told(t, c.OperationID+h.pointer+" missing", send(body), contract.IssueLocationBody, h.pointer, "Required input is missing", wordsOf(h.schema))
				undo()
			}
			if h.object != nil {
				known := slices.Sorted(maps.Keys(h.schema.Properties))
				at := h.pointer
				if at == "" {
					at = wholeBody
				}
				for name, at := range map[string]string{"strayMember": h.pointer + "/strayMember", canary: at, "other " + canary: at} {
					tried["unknown member"]++
					h.object[name] = canary
					told(t, c.OperationID+h.pointer+" with another member", send(body), contract.IssueLocationBody, at, "Unknown member", known)
					delete(h.object, name)
				}
			}
		}
	}
	for _, kind := range []string{"wrong", "too", "unknown", "empty", "blank", "control", "far", "null", "missing", "unknown member"} {
		if tried[kind] < 2 {
			t.Errorf("%s was tried %d times only", kind, tried[kind])
		}
	}
	if members < 150 {
		t.Errorf("only %d places", members)
	}
}

// The same of every parameter of every query and of every header that a request carries.
func TestF43EveryMistakeNamesItsParameter(t *testing.T) {
	e, tried := newEdge(t), 0
	for _, c := range calls(t) {
		for _, ref := range c.Parameters {
			p, schema := ref.Value, ref.Value.Schema.Value
			many := schema.Type.Is("array")
			if many {
				schema = schema.Items.Value
			}
			if p.In == "path" {
				continue // what nothing can have is not found
			}
			in := contract.IssueLocation(p.In)
			send := func(what, title string, change func(r *http.Request)) {
				t.Helper()
				tried++
				r := c.Request(c.Body)
				change(r)
				words := wordsOf(schema)
				if title == "Too many values" {
					words = wordsOf(ref.Value.Schema.Value)
				}
				if p.Name == ifMatch {
					words = []string{"entity tag"}
				}
				w := e.send(r)
				if len(e.reached) > 0 {
					t.Errorf("%s %s %s: reached the operation", c.OperationID, p.Name, what)
					return
				}
				told(t, c.OperationID+" "+p.Name+" "+what, refused(t, w, 400, belgifPrefix+"badRequest"), in, p.Name, title, words)
			}
			set := func(r *http.Request, values ...string) {
				if p.In == "query" {
					r.URL.RawQuery = url.Values{p.Name: values}.Encode()
				} else {
					r.Header[http.CanonicalHeaderKey(p.Name)] = values
				}
			}
			for _, m := range mistakesOf(t, schema) {
				value, isText := m.value.(string)
				if schema.Type.Is("integer") { // whose text is judged as a number
					if number, isNumber := m.value.(float64); isNumber {
						value, isText = strconv.FormatFloat(number, 'f', -1, 64), true
					} else if isText {
						value = "x" + value
					}
					m.title = "A whole number within its range is expected"
				}
				if !isText || p.Name == ifNoneMatch || p.Name == "Range" { // one that cannot be read is none (RFC 9110)
					continue
				}
				send(m.kind, m.title, func(r *http.Request) { set(r, value) })
			}
			good := fmt.Sprint(sample(t, schema))
			switch {
			case many:
				if limit := ref.Value.Schema.Value.MaxItems; limit != nil {
					send("too many", "Too many values", func(r *http.Request) { set(r, slices.Repeat([]string{good}, int(*limit)+1)...) })
				}
			case p.Name != ifMatch && p.Name != ifNoneMatch && p.Name != "Range":
				send("twice", "Given more than once", func(r *http.Request) { set(r, good, good) })
			}
			if p.Required {
				send("missing", "Required input is missing", func(r *http.Request) { set(r) })
			}
		}
		for name, at := range map[string]string{"strayParameter": "strayParameter", canary: wholeQuery} {
			r := c.Request(c.Body)
			r.URL.RawQuery = name + "=" + canary
			told(t, c.OperationID+" with another parameter", refused(t, e.send(r), 400, belgifPrefix+"badRequest"), contract.IssueLocationQuery, at, "Unknown query parameter", nil)
		}
	}
	if tried < 300 {
		t.Errorf("only %d requests", tried)
	}
}

// A refusal tells at once everything that the contract refuses in a request, in the query, the
// headers and every member of the body, in this order and that of the body; the same request
// gets the same answer.
func TestEverythingThatIsWrongIsToldAtOnce(t *testing.T) {
	e, most := newEdge(t), 0
	for _, c := range calls(t) {
		if c.Schema == nil || len(c.Schema.Value.Properties) == 0 {
			continue
		}
		want := []string{"strayParameter"}
		r := c.Request(nil)
		for _, ref := range c.Parameters {
			if p := ref.Value; p.In == "header" && p.Required {
				r.Header.Del(p.Name)
				want = append(want, p.Name)
			}
		}
		var spoil func(s *openapi3.Schema, value any, pointer string) any
		spoil = func(s *openapi3.Schema, value any, pointer string) any {
			switch v := value.(type) {
			case map[string]any:
				if len(s.Properties) == 0 {
					break
				}
				for _, name := range slices.Sorted(maps.Keys(v)) {
					v[name] = spoil(s.Properties[name].Value, v[name], pointer+"/"+name)
				}
				v["zStray"] = canary // sorts last
				want = append(want, pointer+"/zStray")
				return v
			case []any:
				for i := range v {
					v[i] = spoil(s.Items.Value, v[i], fmt.Sprint(pointer, "/", i))
				}
				return v
			}
			want = append(want, pointer)
			return []any{[]any{canary}}
		}
		body := encode(t, spoil(c.Schema.Value, sample(t, c.Schema.Value), ""))
		most = max(most, len(want))
		if len(want) > maxFindings {
			want = want[:maxFindings]
		}
		for range 4 {
			again := c.Request(body)
			again.Header = r.Header.Clone()
			again.URL.RawQuery = "strayParameter=1"
			var got []string
			for _, issue := range refused(t, e.send(again), 400, belgifPrefix+"badRequest").Issues {
				got = append(got, issue.Name)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", c.OperationID, got, want)
			}
		}
	}
	if most < 12 {
		t.Errorf("at most %d mistakes in one request", most)
	}
}

// A refusal of the gate has at most maxFindings issues, and any answer maxIssues, as the
// contract says.
func TestIssuesAreBounded(t *testing.T) {
	e := newEdge(t)
	i := slices.IndexFunc(calls(t), func(c call) bool { return c.OperationID == "queryEvidence" })
	c := calls(t)[i]
	need := `{"documentType":1,"fields":[` + strings.Repeat("1,", 49) + `1]}`
	body := `{"purpose":1,"needs":[` + strings.Repeat(need+",", 9) + need + `]}`
	if p := refused(t, e.send(c.Request([]byte(body))), 400, belgifPrefix+"badRequest"); len(p.Issues) != maxFindings || p.Issues[maxFindings-1].Name != "/needs/0/fields/17" {
		t.Errorf("%d issues, %+v", len(p.Issues), p.Issues[len(p.Issues)-1])
	}
	r := c.Request([]byte(body))
	var query []string
	for i := range 30 {
		query = append(query, strings.Repeat("a", i+1)+"=1")
	}
	r.URL.RawQuery = strings.Join(query, "&")
	if p := refused(t, e.send(r), 400, belgifPrefix+"badRequest"); len(p.Issues) != maxFindings {
		t.Errorf("%d issues", len(p.Issues))
	}
	e.do = func(w http.ResponseWriter, r *http.Request) {
		e.problem(w, r, BadInputs(slices.Repeat([]contract.InputValidationIssue{{Type: IssueSchema, Title: "x", In: contract.IssueLocationBody, Name: "/x"}}, 500)))
	}
	if p := refused(t, e.send(c.Request(c.Body)), 400, belgifPrefix+"badRequest"); len(p.Issues) != maxIssues {
		t.Errorf("%d issues", len(p.Issues))
	}
	doc, err := openapi3.NewLoader().LoadFromData(contract.YAML())
	if err != nil {
		t.Fatal(err)
	}
	if said := doc.Components.Schemas["Problem"].Value.Properties["issues"].Value.MaxItems; said == nil || *said != maxIssues {
		t.Errorf("the contract says %v", said)
	}
	if text := doc.Info.Description; !strings.Contains(text, fmt.Sprintf("at most %d", maxFindings)) {
		t.Error("the contract does not say how many issues of a request are told")
	}
}

// Of a body that is not the JSON the call takes only that is told, whatever stands before the
// place where it breaks; values after it are read and thrown away like those before.
func TestWhatIsNoJSONIsToldAlone(t *testing.T) {
	e := newEdge(t)
	i := slices.IndexFunc(calls(t), func(c call) bool { return c.OperationID == "issueDocument" })
	c := calls(t)[i]
	for _, body := range []string{`{"ssin":1,"documentType":2,`, `{"ssin":1,"ssin":2}`, `{"ssin":1,"content":{"a":1,"a":2}}`, `{"strayMember":{"a":1,"a":2}}`, `{"strayMember":{"a":`, "{\"ssin\":1,\"parents\":[\"\xff\"]}", `{"ssin":1} {}`, `{"parents":[` + strings.Repeat("1,", 60) + `}`} {
		p := refused(t, e.send(c.Request([]byte(body))), 400, belgifPrefix+"badRequest")
		if len(p.Issues) != 1 || p.Issues[0].Name != wholeBody {
			t.Errorf("%s: %+v", body, p.Issues)
		}
	}
}
