package edge

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"coffre/handlers/contract"
)

const zeroTime = "0001-01-01T00:00:00Z"

// sample returns a value that fits a schema, with every member of every object but those of
// the choices that are not taken.
func sample(t testing.TB, s *openapi3.Schema) any {
	t.Helper()
	switch {
	case s.Type.Is("object"):
		all := map[string]any{}
		for name, p := range s.Properties {
			all[name] = sample(t, p.Value)
		}
		for _, groups := range choicesOf(s) {
			for i, group := range groups {
				for _, name := range group {
					if i > 0 && !slices.Contains(groups[0], name) {
						delete(all, name)
					}
				}
			}
		}
		return all
	case s.Type.Is("array"):
		return []any{sample(t, s.Items.Value)}
	case s.Type.Is("boolean"):
		return true
	case s.Type.Is("integer"):
		if s.Min != nil {
			return max(*s.Min, 1)
		}
		return 1.0
	case s.Example != nil:
		return s.Example
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Format == "uuid":
		return anID
	case s.Format == "date":
		return "2026-03-01"
	case s.Format == "date-time":
		return "2026-03-01T00:00:00Z"
	}
	for _, text := range []string{"a", "1", strings.Repeat("0", 64), "age1" + strings.Repeat("q", 58)} {
		if uint64(len(text)) >= s.MinLength && (s.Pattern == "" || regexp.MustCompile(s.Pattern).MatchString(text)) {
			return text
		}
	}
	t.Fatalf("no sample of a text with the pattern %s", s.Pattern)
	return nil
}

func choicesOf(s *openapi3.Schema) (all [][][]string) {
	choices, _ := s.Extensions["x-exactly-one-of"].([]any)
	for _, groups := range choices {
		var one [][]string
		for _, group := range groups.([]any) {
			one = append(one, stringsOf(group.([]any)))
		}
		all = append(all, one)
	}
	return all
}

// place is one member of a body: the object that holds it, which a change alters in place.
type place struct {
	pointer, name      string
	in                 map[string]any
	schema             *openapi3.Schema
	required, inChoice bool
}

func placesIn(s *openapi3.Schema, value any, pointer string) (all []place) {
	switch v := value.(type) {
	case map[string]any:
		for name, p := range s.Properties {
			inChoice := slices.ContainsFunc(choicesOf(s), func(groups [][]string) bool {
				return slices.ContainsFunc(groups, func(g []string) bool { return slices.Contains(g, name) })
			})
			at := pointer + "/" + name
			all = append(all, place{at, name, v, p.Value, slices.Contains(s.Required, name), inChoice})
			if v[name] != nil {
				all = append(all, placesIn(p.Value, v[name], at)...)
			}
		}
	case []any:
		for i, item := range v {
			all = append(all, placesIn(s.Items.Value, item, fmt.Sprint(pointer, "/", i))...)
		}
	}
	return all
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fits reports whether the contract lets a text through: the empty one and zero numbers are
// values like others, which have a form or have not.
func fits(s *openapi3.Schema, value any) bool {
	if s.Type.Is("array") {
		return s.MinItems == 0
	}
	if f, isNumber := value.(float64); isNumber {
		return s.Min == nil || *s.Min <= f
	}
	text := value.(string)
	return s.MinLength == 0 && len(s.Enum) == 0 && s.Format == "" && (s.Pattern == "" || regexp.MustCompile(s.Pattern).MatchString(text))
}

// F1, F2, F12, F24: each member of each body of the contract is absent, null, the nil UUID,
// the zero time, 0, empty, an empty list, and in capitals. A member that need not be there may
// be null, which is the member left out to everybody behind the gate; a required one may not.
// The nil UUID names nothing, a zero time is a time, and what else is zero is admitted where
// the contract has such values.
func TestF24EveryMemberOfEveryBody(t *testing.T) {
	e, tried := newEdge(t), 0
	for _, c := range calls(t) {
		if c.Schema == nil || c.OperationID == "publishRegistry" { // whose members the registry judges
			continue
		}
		schema := c.Schema.Value
		body := sample(t, schema)
		if w := e.send(c.Request(encode(t, body))); len(e.reached) != 1 {
			t.Fatalf("%s: the sample is refused: %s", c.OperationID, w.Body)
		}
		for _, m := range placesIn(schema, body, "") {
			send := func(name string, value any, admitted bool) []byte {
				t.Helper()
				tried++
				before, had := m.in[m.name]
				m.in[m.name] = value
				if value == absent {
					delete(m.in, m.name)
				}
				w := e.send(c.Request(encode(t, body)))
				delete(m.in, m.name)
				if had {
					m.in[m.name] = before
				}
				if (len(e.reached) == 1) != admitted {
					t.Errorf("%s%s %s: admitted %t, want %t: %s", c.OperationID, m.pointer, name, len(e.reached) == 1, admitted, w.Body)
				}
				if !admitted {
					p := refused(t, w, 400, belgifPrefix+"badRequest")
					if at := p.Issues[0].Name; !m.inChoice && at != m.pointer && !strings.HasPrefix(at, m.pointer+"/") {
						t.Errorf("%s%s %s: the issue is at %s", c.OperationID, m.pointer, name, at)
					}
				}
				return slices.Clone(e.body)
			}
			_, chosen := m.in[m.name]
			optional := !m.required && (!m.inChoice || !chosen)
			if without, null := send("absent", absent, optional), send("null", nil, optional); optional && canonical(t, without) != canonical(t, null) {
				t.Errorf("%s%s: null arrives as %s, absent as %s", c.OperationID, m.pointer, null, without)
			}
			if !chosen {
				continue
			}
			switch s := m.schema; {
			case s.Type.Is("array"):
				send("an empty list", []any{}, fits(s, nil))
				send("a list of null", []any{nil}, false)
				if s.Items.Value.Format == "uuid" {
					send("a list of the nil UUID", []any{nilID}, false)
					send("a list in capitals", []any{strings.ToUpper(anID)}, true)
				}
			case s.Type.Is("integer"):
				send("zero", 0.0, fits(s, 0.0))
			case s.Type.Is("boolean"):
				send("false", false, true)
			case s.Format == "uuid":
				send("the nil UUID", nilID, false)
				send("in capitals", strings.ToUpper(anID), true)
				send("empty", "", false)
			case s.Format == "date-time":
				send("the zero time", zeroTime, true)
				send("empty", "", false)
			case s.Type.Is("string"):
				send("empty", "", fits(s, ""))
			}
		}
	}
	if tried < 400 {
		t.Errorf("only %d bodies", tried)
	}
}

// F24: a client that sends every member it has, those that nobody set as null, as clients
// that NSwag makes for .NET do by default, asks for what it asks for without them: in every
// object of every body, and in each choice with each of its groups.
func TestF24EveryUnsetMemberMayBeNullAtOnce(t *testing.T) {
	e, tried, nulls := newEdge(t), 0, 0
	for _, c := range calls(t) {
		if c.Schema == nil || c.OperationID == "publishRegistry" { // whose members the registry judges
			continue
		}
		for nth := range 8 { // of the choices, their groups in turn
			body, more := barest(t, c.Schema.Value, nth)
			bare := c.Request(encode(t, body))
			if w := e.send(bare); len(e.reached) != 1 {
				t.Fatalf("%s: what is required alone is refused: %s", c.OperationID, w.Body)
			}
			want := canonical(t, e.body)
			n := unset(c.Schema.Value, body)
			if w := e.send(c.Request(encode(t, body))); len(e.reached) != 1 || canonical(t, e.body) != want {
				t.Errorf("%s: with %d members of null it arrives as %s, without as %s: %s", c.OperationID, n, e.body, want, w.Body)
			}
			tried, nulls = tried+1, nulls+n
			if !more {
				break
			}
		}
	}
	if tried < 38 || nulls < 110 {
		t.Errorf("only %d bodies with %d members of null", tried, nulls)
	}
}

// barest returns a value that fits a schema with nothing in it that may be absent, and of each
// choice the nth group, the first where there are fewer. more is false when no choice has
// groups beyond it. Objects that a group or a required list holds are bare, too.
func barest(t testing.TB, s *openapi3.Schema, nth int) (value any, more bool) {
	t.Helper()
	switch {
	case s.Type.Is("array"):
		one, more := barest(t, s.Items.Value, nth)
		return []any{one}, more
	case !s.Type.Is("object") || len(s.Properties) == 0:
		return sample(t, s), false
	}
	names := slices.Clone(s.Required)
	for _, groups := range choicesOf(s) {
		at := nth
		if nth >= len(groups) {
			at = 0
		}
		names = append(names, groups[at]...)
		more = more || nth+1 < len(groups)
	}
	all := map[string]any{}
	for _, name := range names {
		member, deeper := barest(t, s.Properties[name].Value, nth)
		all[name], more = member, more || deeper
	}
	return all, more
}

// unset gives every object in a value, in place, null for each member that is not there, and
// returns how many.
func unset(s *openapi3.Schema, value any) (n int) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			n += unset(s.Items.Value, item)
		}
	case map[string]any:
		for name, p := range s.Properties {
			if member, there := v[name]; there {
				n += unset(p.Value, member)
			} else {
				v[name] = nil
				n++
			}
		}
	}
	return n
}

// absent stands for a member that is left out.
var absent = &struct{ byte }{}

func canonical(t testing.TB, b []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return string(encode(t, v))
}

// F1, F2, F12: the same of each optional parameter of each query, and of the ids in paths.
func TestF12EveryParameter(t *testing.T) {
	e, tried := newEdge(t), 0
	for _, c := range calls(t) {
		send := func(r *http.Request, name string, admitted bool) {
			t.Helper()
			if tried++; (e.send(r) != nil && len(e.reached) == 1) != admitted {
				t.Errorf("%s %s: admitted %t", c.OperationID, name, !admitted)
			}
		}
		send(c.Request(c.Body), "without parameters", true)
		for name, p := range operations()[c.Pattern].query {
			s := p.shape
			if p.many {
				s = s.item
			}
			values := map[string]bool{"": false}
			switch {
			case s.isID:
				values[nilID], values[anID], values[strings.ToUpper(anID)] = false, true, true
			case s.kind == integer:
				values["0"], values["1"], values[fmt.Sprint(max(s.min, 0))] = s.min <= 0, s.min <= 1, true
			case s.kind == text && s.check != nil && s.check(zeroTime) == nil:
				values[zeroTime], values["0001-01-01T00:00:01Z"] = true, true
			}
			for value, admitted := range values {
				r := c.Request(c.Body)
				others := r.URL.Query() // those that must be there
				others.Set(name, value)
				r.URL.RawQuery = others.Encode()
				send(r, name+"="+value, admitted)
			}
		}
		if strings.Contains(c.Path, anID) {
			r := c.Request(c.Body)
			r.URL.Path = strings.ReplaceAll(c.Path, anID, strings.ToUpper(anID))
			targets := map[string]bool{}
			e.do = func(_ http.ResponseWriter, r *http.Request) {
				targets[CallFrom(r.Context()).Target] = true
				for _, p := range operations()[c.Pattern].path {
					if got := r.PathValue(p.name); p.shape.isID && got != anID {
						t.Errorf("%s: %s arrives as %s", c.OperationID, p.name, got)
					}
				}
			}
			send(r, "a path in capitals", true)
			send(c.Request(c.Body), "a path in small letters", true)
			if e.do = nil; len(targets) != 1 {
				t.Errorf("%s: capitals make it another request: %v", c.OperationID, slices.Collect(maps.Keys(targets)))
			}
			r = c.Request(c.Body)
			r.URL.Path = strings.ReplaceAll(c.Path, anID, nilID)
			send(r, "a path with the nil UUID", false)
		}
	}
	if tried < 200 {
		t.Errorf("only %d requests", tried)
	}
}

// F12: an Idempotency-Key names the same request in capitals and in quotes (RFC 9562, section
// 4; RFC 9651, section 3.3.3).
func TestF12IdempotencyKey(t *testing.T) {
	e, tried := newEdge(t), 0
	for _, c := range calls(t) {
		if c.Header.Get("Idempotency-Key") == "" {
			continue
		}
		tried++
		e.do = func(_ http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Idempotency-Key"); got != anID {
				t.Errorf("%s: the key arrives as %s", c.OperationID, got)
			}
		}
		for _, key := range []string{anID, strings.ToUpper(anID), `"` + anID + `"`, `"` + strings.ToUpper(anID) + `"`} {
			r := c.Request(c.Body)
			r.Header.Set("Idempotency-Key", key)
			if w := e.send(r); len(e.reached) != 1 {
				t.Errorf("%s: the key %s is refused: %s", c.OperationID, key, w.Body)
			}
		}
	}
	if tried < 20 {
		t.Errorf("only %d calls", tried)
	}
}

// F7: a call that takes no body, or none with a member that must be there, is made with no
// bytes, blanks, null, or an object without members, which are one request; the first kind
// says nothing whatever its media type is. What is unknown is refused.
func TestF7NothingIsSaidInManyWays(t *testing.T) {
	e, without, lenient := newEdge(t), 0, 0
	for _, c := range calls(t) {
		op := operations()[c.Pattern]
		if c.Method != "POST" || op.files != nil || op.body != nil && !op.lenient {
			continue
		}
		want := ""
		if op.lenient {
			lenient++
			want = "{}"
		} else {
			without++
		}
		for _, body := range []string{"", " \r\n\t", "null", " null\n", "{}", " { } "} {
			for _, media := range []string{"application/json", "", "text/plain"} {
				if op.lenient && strings.Contains(body, "{") && media != "application/json" {
					continue
				}
				for _, known := range []bool{true, false} {
					r := c.Request([]byte(body))
					if r.Header.Del("Content-Type"); media != "" {
						r.Header.Set("Content-Type", media)
					}
					if !known {
						r.ContentLength = -1
					}
					if w := e.send(r); len(e.reached) != 1 || strings.ReplaceAll(string(e.body), " ", "") != want {
						t.Errorf("%s %q as %q: %d, reached %v with %q", c.OperationID, body, media, w.Code, e.reached, e.body)
					}
				}
			}
		}
		r := c.Request(nil)
		r.Header.Del("Content-Type")
		if e.send(r); len(e.reached) != 1 {
			t.Errorf("%s: refused without a body", c.OperationID)
		}
		for _, body := range []string{`{"` + canary + `":1}`, `{"x":null}`, "[]", `""`, "0", "false", "null null", "{}{}", "{", "nul", strings.Repeat(" ", maxNothing) + "x"} {
			r := c.Request([]byte(body))
			r.Header.Set("Content-Type", "application/json")
			p := refused(t, e.send(r), 400, belgifPrefix+"badRequest")
			if len(e.reached) > 0 || p.Issues[0].In != contract.IssueLocationBody {
				t.Errorf("%s: %s reached the operation, or is not said to be the body: %+v", c.OperationID, body, p.Issues)
			}
		}
	}
	if without < 10 || lenient < 7 {
		t.Errorf("only %d calls without and %d with a body that may be left out", without, lenient)
	}
}

// F11: If-Match is a list of entity tags over any number of lines, or "*"; a proxy may have
// weakened a tag (RFC 9110, section 13.1.1, with the exception of docs/decisions/0024).
func TestF11IfMatch(t *testing.T) {
	e, tried := newEdge(t), 0
	for _, c := range calls(t) {
		if c.Header.Get("If-Match") == "" {
			continue
		}
		for lines, want := range map[string]EntityTags{
			`"1"`: {List: []string{`"1"`}}, `W/"1"`: {List: []string{`"1"`}}, `*`: {Any: true}, " * ": {Any: true},
			`"1", W/"2" ,"x,y"`: {List: []string{`"1"`, `"2"`, `"x,y"`}}, `, "1",, `: {List: []string{`"1"`}}, "\"1\"|W/\"2\"": {List: []string{`"1"`, `"2"`}},
			`"1-0123456789abcdef"`: {List: []string{`"1-0123456789abcdef"`}}, `""`: {List: []string{`""`}},
		} {
			tried++
			r := c.Request(c.Body)
			r.Header["If-Match"] = strings.Split(lines, "|")
			var got EntityTags
			e.do = func(_ http.ResponseWriter, r *http.Request) {
				if len(r.Header["If-Match"]) == 1 {
					got, _ = ParseEntityTags(r.Header.Get("If-Match"))
				}
			}
			if w := e.send(r); got.Any != want.Any || !slices.Equal(got.List, want.List) {
				t.Errorf("%s %s: %d, %+v", c.OperationID, lines, w.Code, got)
			}
		}
	}
	if tried < 30 {
		t.Errorf("only %d requests", tried)
	}
	for tag, want := range map[string]int{`"1"`: 1, `"12-0123456789abcdef"`: 12, `"0"`: -1, `"01"`: -1, `"1-"`: -1, `"1-0123"`: -1, `"1-x123456789abcdef"`: -1, `"-1"`: -1, `1`: -1, `"+1"`: -1, `""`: -1, StateTag(3, [32]byte{1}): 3} {
		if got := VersionOf(tag); got != want {
			t.Errorf("the version of %s is %d, not %d", tag, got, want)
		}
	}
}

// F11: every GET whose answer has a tag is answered 304 without a body to whoever has it, by
// weak comparison; every other answer is whole (RFC 9110, section 13.1.2).
func TestF11IfNoneMatch(t *testing.T) {
	e, tagged := newEdge(t), 0
	for _, c := range calls(t) {
		r200 := c.Responses.Status(http.StatusOK)
		gives := r200 != nil && r200.Value.Headers["ETag"] != nil
		if c.Method == "GET" && gives {
			tagged++
			if c.Responses.Status(http.StatusNotModified) == nil {
				t.Errorf("%s: the contract does not name 304", c.OperationID)
			}
		}
		e.do = func(w http.ResponseWriter, _ *http.Request) {
			if gives {
				w.Header().Set("ETag", `"1"`)
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "2")
			_, _ = w.Write([]byte("{}"))
		}
		for lines, has := range map[string]bool{`"1"`: true, `W/"1"`: true, `"0", W/"1"`: true, `"0"|"1"`: true, "*": true, `"2"`: false, `1`: false, "": false, `"1-0"`: false} {
			r := c.Request(c.Body)
			r.Header["If-None-Match"] = strings.Split(lines, "|")
			w := e.send(r)
			if len(e.reached) != 1 {
				t.Errorf("%s %s: not reached", c.OperationID, lines)
			}
			want, body := http.StatusOK, "{}"
			if has && gives && c.Method == "GET" {
				want, body = http.StatusNotModified, ""
			}
			if h := w.Result().Header; w.Code != want || w.Body.String() != body || want == http.StatusNotModified && (h.Get("ETag") == "" || h.Get("Content-Type")+h.Get("Content-Length") != "" || h.Get("Cache-Control") == "") {
				t.Errorf("%s %s: %d %q %v", c.OperationID, lines, w.Code, w.Body, h)
			}
		}
	}
	if tagged < 2 {
		t.Errorf("only %d answers have a tag", tagged)
	}
}

func stringsOf(in []any) []string {
	out := make([]string, 0, len(in))
	for _, w := range in {
		out = append(out, w.(string))
	}
	return out
}
