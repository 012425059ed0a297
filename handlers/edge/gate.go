package edge

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/contract/wire"
)

// The gate holds a request to the contract before any use case sees it: its
// parameters, and its body, which it reads once from the first byte to the last.
// What it lets through, the generated code can decode; what it refuses, it
// refuses without repeating a value.

// admit checks the request against o and puts the checked body in its place. It
// returns the body's bytes, nil when there is none. A refusal tells everything in the query,
// the headers and the body that the contract refuses, in this order.
func (o *operation) admit(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	for _, p := range o.path {
		value := r.PathValue(p.name)
		if p.shape.judge(value) != nil {
			return nil, ErrNoResource // a name that nothing can have
		}
		if p.shape.isID {
			r.SetPathValue(p.name, strings.ToLower(value))
		}
	}
	issues := o.admitHeader(r.Header, o.admitQuery(r.URL.RawQuery))
	body, err := o.admitBody(w, r)
	if len(issues) == 0 {
		return body, err
	}
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
		issues = append(issues, refusal.Issues...)
	}
	return nil, BadInputs(issues[:min(len(issues), maxFindings)])
}

// admitHeader returns the issues with those of the headers added.
func (o *operation) admitHeader(header http.Header, issues []contract.InputValidationIssue) []contract.InputValidationIssue {
	for _, p := range o.header {
		values := header[p.name]
		if (p.name == ifMatch || p.name == ifNoneMatch) && len(values) > 1 {
			values = []string{strings.Join(values, ", ")}
			header[p.name] = values
		}
		switch {
		case len(values) == 0 && p.required:
			issues = append(issues, contract.InputValidationIssue{Type: issueRequired, Title: "Required input is missing", Detail: p.shape.expected(), In: contract.IssueLocationHeader, Name: p.told})
		case len(values) == 0:
		case len(values) > 1:
			issues = append(issues, contract.InputValidationIssue{Type: issueInvalid, Title: "Given more than once", Detail: p.shape.expected(), In: contract.IssueLocationHeader, Name: p.told})
		default:
			if p.shape.isID {
				values = []string{plainID(values[0])}
				header[p.name] = values
			}
			if v := p.shape.judge(values[0]); v != nil {
				issues = append(issues, v.at(contract.IssueLocationHeader, p.told))
			}
		}
	}
	return issues
}

// admitQuery returns the issues of a query, by the names of its parameters, at most
// maxFindings; those that are missing come last.
func (o *operation) admitQuery(raw string) (issues []contract.InputValidationIssue) {
	if raw == "" && len(o.mustAsk) == 0 {
		return nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return []contract.InputValidationIssue{{Type: IssueSchema, Title: "The query cannot be read", Detail: "name=value, with & between them and other signs percent-encoded", In: contract.IssueLocationQuery, Name: wholeQuery}}
	}
	unnamed := false
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(issues) == maxFindings {
			break
		}
		values := query[name]
		p, known := o.query[name]
		if !known {
			shown := MemberName(name)
			if shown == "" && unnamed {
				continue
			}
			unnamed = unnamed || shown == ""
			issues = append(issues, contract.InputValidationIssue{
				Type: issueUnknown, Title: "Unknown query parameter", Detail: listed("the parameters here are ", slices.Sorted(maps.Keys(o.query)), "this call takes none"),
				In: contract.IssueLocationQuery, Name: cmp.Or(shown, wholeQuery),
			})
			continue
		}
		s := p.shape
		if p.many {
			if s.bounded && int64(len(values)) > s.max {
				issues = append(issues, contract.InputValidationIssue{Type: IssueSchema, Title: "Too many values", Detail: s.expected(), In: contract.IssueLocationQuery, Name: name})
				continue
			}
			s = s.item
		} else if len(values) > 1 {
			issues = append(issues, contract.InputValidationIssue{Type: issueUnknown, Title: "Given more than once", Detail: s.expected(), In: contract.IssueLocationQuery, Name: name})
			continue
		}
		for _, value := range values {
			if v := s.judge(value); v != nil {
				issues = append(issues, v.at(contract.IssueLocationQuery, name))
				break
			}
		}
	}
	for _, name := range o.mustAsk {
		if _, given := query[name]; !given && len(issues) < maxFindings {
			issues = append(issues, contract.InputValidationIssue{Type: issueRequired, Title: "Required input is missing", Detail: o.query[name].shape.expected(), In: contract.IssueLocationQuery, Name: name})
		}
	}
	return issues
}

func (o *operation) admitBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > o.maxBody {
		return nil, TooLarge(o.maxBody)
	}
	if encoding := r.Header["Content-Encoding"]; len(encoding) > 0 {
		return nil, errMediaType
	}
	if o.files != nil {
		return nil, o.admitFile(w, r)
	}
	if o.body == nil {
		return nil, admitNothing(r)
	}
	if !o.lenient && !isJSON(r.Header["Content-Type"]) {
		return nil, errMediaType
	}
	b, err := readBody(http.MaxBytesReader(w, r.Body, o.maxBody), r.ContentLength)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, TooLarge(o.maxBody)
	case err != nil:
		return nil, BadRequest(contract.InputValidationIssue{Type: IssueSchema, Title: "The body ended before its time", In: contract.IssueLocationBody, Name: wholeBody})
	case o.lenient && saysNothing(b):
		b = []byte("{}")
	case len(b) == 0:
		return nil, BadRequest(contract.InputValidationIssue{Type: issueRequired, Title: "The body is missing", In: contract.IssueLocationBody, Name: wholeBody})
	case o.lenient && !isJSON(r.Header["Content-Type"]):
		return nil, errMediaType
	}
	if found := o.body.read(b); len(found) > 0 {
		issues := make([]contract.InputValidationIssue, len(found))
		for i, v := range found {
			issues[i] = v.at(contract.IssueLocationBody, v.pointer())
		}
		return nil, BadInputs(issues)
	}
	if bytes.Contains(b, []byte("null")) {
		if b, err = o.body.withoutNulls(b); err != nil {
			return nil, fmt.Errorf("leave out what is null: %w", err)
		}
	}
	r.Body = wire.NewBody(b)
	return b, nil
}

// maxNothing bounds the bytes in which a caller may say nothing, to a call without a body.
const maxNothing = 1024

// admitNothing admits the body of a call that takes none: no bytes, blanks, null, or an
// object without members, of any media type. Nothing unknown was said with them, and a
// withdrawal is as easy as that (rule C-6).
func admitNothing(r *http.Request) error {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxNothing+1))
	switch {
	case err != nil:
		return BadRequest(contract.InputValidationIssue{Type: IssueSchema, Title: "The body ended before its time", In: contract.IssueLocationBody, Name: wholeBody})
	case !saysNothing(b) && (len(b) > maxNothing || len(nothing.read(b)) > 0):
		return BadRequest(contract.InputValidationIssue{Type: issueUnknown, Title: "This call takes no body", In: contract.IssueLocationBody, Name: wholeBody})
	}
	r.Body = http.NoBody
	return nil
}

// nothing is the shape of an object without members; nobody changes it.
var nothing = &shape{kind: object}

// saysNothing reports whether a body has no bytes but blanks, or is null.
func saysNothing(b []byte) bool {
	b = bytes.Trim(b, " \t\r\n")
	return len(b) == 0 || string(b) == "null"
}

// plainID returns an identifier in a header as it is written elsewhere: without the quotes of
// a structured field (RFC 9651), in small letters.
func plainID(value string) string {
	if inner, quoted := strings.CutPrefix(value, `"`); quoted {
		if inner, quoted = strings.CutSuffix(inner, `"`); quoted {
			value = inner
		}
	}
	return strings.ToLower(value)
}

// admitFile holds a file to its type and size; nobody has read it yet.
func (o *operation) admitFile(w http.ResponseWriter, r *http.Request) error {
	switch header := r.Header["Content-Type"]; {
	case len(header) != 1 || !slices.Contains(o.files, MediaTypeOf(header[0])):
		return errFileType
	case r.ContentLength < 0:
		return errNoLength
	case r.ContentLength == 0:
		return BadRequest(contract.InputValidationIssue{Type: issueRequired, Title: "The body is missing", In: contract.IssueLocationBody, Name: wholeBody})
	}
	r.Body = http.MaxBytesReader(w, r.Body, o.maxBody)
	CallFrom(r.Context()).Length = r.ContentLength
	return nil
}

// MediaTypeOf returns the media type in a Content-Type header; "" when the header cannot
// be read or has any parameter besides charset=utf-8.
func MediaTypeOf(header string) string {
	media, params, err := mime.ParseMediaType(header)
	charset, given := params["charset"]
	if err != nil || len(params) > 1 || len(params) == 1 && !(given && strings.EqualFold(charset, "utf-8")) {
		return ""
	}
	return media
}

func isJSON(header []string) bool {
	if len(header) != 1 {
		return false
	}
	if header[0] == "application/json" {
		return true
	}
	media, params, err := mime.ParseMediaType(header[0])
	if err != nil || media != "application/json" || len(params) > 1 {
		return false
	}
	charset, given := params["charset"]
	return len(params) == 0 || given && strings.EqualFold(charset, "utf-8")
}

func readBody(r io.Reader, size int64) ([]byte, error) {
	if size < 0 {
		return io.ReadAll(r)
	}
	b := make([]byte, size)
	_, err := io.ReadFull(r, b)
	return b, err
}

// violation is one mismatch between a value and its schema, with its place. Path holds
// names of the contract, indices, and what MemberName lets through, innermost first; the
// title and the detail hold no text of the caller.
type violation struct {
	issue  string
	title  string
	detail string // what is expected in its place
	path   []string
	inputs []string
}

func newViolation(issue, title string) *violation { return &violation{issue: issue, title: title} }

// expecting adds what the schema expects.
func (v *violation) expecting(s *shape) *violation {
	v.detail = s.expected()
	return v
}

func (v *violation) under(step string) *violation {
	v.path = append(v.path, step)
	return v
}

func (v *violation) pointer() string {
	var b strings.Builder
	for _, step := range slices.Backward(v.path) {
		b.WriteByte('/')
		b.WriteString(step)
	}
	return b.String()
}

func (v *violation) at(in contract.IssueLocation, name string) contract.InputValidationIssue {
	issue := contract.InputValidationIssue{Type: v.issue, Title: v.title, Detail: v.detail, In: in, Name: cmp.Or(name, wholeBody)}
	for _, input := range v.inputs {
		issue.Inputs = append(issue.Inputs, contract.InputReference{In: in, Name: v.pointer() + "/" + input})
	}
	return issue
}

// findings collects the violations of one body, in the order in which it has them.
type findings struct{ all []*violation }

// add keeps a violation unless there are enough.
func (f *findings) add(v *violation) {
	if len(f.all) < maxFindings {
		f.all = append(f.all, v)
	}
}

// under puts every violation from the n-th on under a step of the path.
func (f *findings) under(n int, step string) {
	for _, v := range f.all[n:] {
		v.under(step)
	}
}

var decoders = sync.Pool{New: func() any { return new(jsontext.Decoder) }}

// read judges a whole body and returns every violation, at most maxFindings. It reads every
// byte, exactly once. Of a body that is not the JSON this call takes only that is told.
func (s *shape) read(b []byte) []*violation {
	dec := decoders.Get().(*jsontext.Decoder)
	defer decoders.Put(dec)
	dec.Reset(bytes.NewBuffer(b))
	var f findings
	if !s.value(dec, &f) {
		return []*violation{malformed}
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return []*violation{{issue: IssueSchema, title: "Something follows the value", detail: "one JSON object and nothing after it"}}
	}
	return f.all
}

// value reads one value and adds what violates the shape. It reports false when the bytes are
// no JSON.
func (s *shape) value(dec *jsontext.Decoder, f *findings) bool {
	kind := dec.PeekKind()
	if kind == 'n' {
		if _, err := dec.ReadToken(); err != nil {
			return false
		}
		f.add(newViolation(IssueSchema, "null is not a value here").expecting(s))
		return true
	}
	if kind != s.kind.token() && !(kind == 'f' && s.kind == boolean) {
		if dec.SkipValue() != nil {
			return false
		}
		f.add(newViolation(IssueSchema, "A value of another kind is expected").expecting(s))
		return true
	}
	switch s.kind {
	case object:
		return s.object(dec, f)
	case array:
		return s.array(dec, f)
	}
	raw, err := dec.ReadValue()
	if err != nil {
		return false
	}
	var v *violation
	switch s.kind {
	case anyObject:
		v = judgeAnyObject(raw)
	case integer:
		v = s.judgeInteger(string(raw))
	case text:
		v = s.judgeText(unquote(raw))
	}
	if v != nil {
		f.add(v)
	}
	return true
}

// token returns the kind with which values of the type begin; of the two of a boolean, true.
func (t valueType) token() jsontext.Kind {
	switch t {
	case object, anyObject:
		return '{'
	case array:
		return '['
	case boolean:
		return 't'
	case integer:
		return '0'
	}
	return '"'
}

// malformed is the violation of every syntax error, duplicate names and invalid UTF-8 among
// them; nobody changes it.
var malformed = &violation{issue: IssueSchema, title: "The body is not the JSON this call takes", detail: "one JSON object in UTF-8, each member once"}

func (s *shape) object(dec *jsontext.Decoder, f *findings) bool {
	if _, err := dec.ReadToken(); err != nil {
		return false
	}
	var seen uint64
	unnamed := false
	for dec.PeekKind() != '}' {
		raw, err := dec.ReadValue()
		if err != nil {
			return false
		}
		m, known := s.lookup(raw)
		if !known {
			shown := MemberName(unquote(raw))
			if dec.SkipValue() != nil {
				return false
			}
			if shown != "" || !unnamed { // one for all that are not named
				f.add(s.unknown(shown))
			}
			unnamed = unnamed || shown == ""
			continue
		}
		if dec.PeekKind() == 'n' && !slices.Contains(s.required, s.name(m.index)) { // the member left out
			if _, err := dec.ReadToken(); err != nil {
				return false
			}
			continue
		}
		before := len(f.all)
		if !m.shape.value(dec, f) {
			return false
		}
		if len(f.all) > before {
			f.under(before, s.name(m.index))
		}
		seen |= 1 << m.index
	}
	if _, err := dec.ReadToken(); err != nil {
		return false
	}
	for _, name := range s.required {
		if seen&(1<<s.members[name].index) == 0 {
			f.add(newViolation(issueRequired, "Required input is missing").expecting(s.members[name].shape).under(name))
		}
	}
	s.exactlyOne(seen, f)
	return true
}

// unknown is the violation of a member that the schema does not have; shown is its name, ""
// when it may not be repeated.
func (s *shape) unknown(shown string) *violation {
	v := newViolation(issueUnknown, "Unknown member")
	v.detail = listed("the members here are ", slices.Sorted(maps.Keys(s.members)), "there are no members here")
	if shown != "" {
		return v.under(shown)
	}
	return v
}

func (s *shape) lookup(raw jsontext.Value) (member, bool) {
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') >= 0 {
		inner, _ = jsontext.AppendUnquote(nil, raw) // valid: the decoder read it
	}
	m, known := s.members[string(inner)]
	return m, known
}

func (s *shape) name(index int) string {
	for name, m := range s.members {
		if m.index == index {
			return name
		}
	}
	return ""
}

// exactlyOne implements x-exactly-one-of: of each choice one group is there whole,
// and nothing of the others.
func (s *shape) exactlyOne(seen uint64, f *findings) {
	for _, c := range s.choices {
		if !slices.Contains(c.groups, seen&c.all) {
			v := newViolation(issueExactlyOne, "Exactly one of these is expected, whole")
			v.inputs, v.detail = c.names, c.words
			f.add(v)
		}
	}
}

func (s *shape) array(dec *jsontext.Decoder, f *findings) bool {
	if _, err := dec.ReadToken(); err != nil {
		return false
	}
	n := int64(0)
	for ; dec.PeekKind() != ']'; n++ {
		if s.bounded && n >= s.max { // those that are too many are not judged
			if dec.SkipValue() != nil {
				return false
			}
			continue
		}
		before := len(f.all)
		if !s.item.value(dec, f) {
			return false
		}
		if len(f.all) > before {
			f.under(before, strconv.FormatInt(n, 10))
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return false
	}
	switch {
	case s.bounded && n > s.max:
		f.add(newViolation(IssueSchema, "Too many items").expecting(s))
	case n < s.min:
		f.add(newViolation(IssueSchema, "Too few items").expecting(s))
	}
	return true
}

// judge decides about a parameter's text.
func (s *shape) judge(value string) *violation {
	if s.kind == integer {
		return s.judgeInteger(value)
	}
	if !utf8.ValidString(value) {
		return newViolation(IssueSchema, "The value is not UTF-8").expecting(s)
	}
	return s.judgeText(value)
}

func (s *shape) judgeInteger(value string) *violation {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || value[0] == '+' || n < s.min || n > s.max {
		return newViolation(IssueSchema, "A whole number within its range is expected").expecting(s)
	}
	return nil
}

func (s *shape) judgeText(value string) *violation {
	if domain.Unprintable(value) {
		return newViolation(IssueSchema, "A control character, or one that turns the direction of text").expecting(s)
	}
	if n := int64(utf8.RuneCountInString(value)); n < s.min || s.bounded && n > s.max {
		return newViolation(IssueSchema, "Too short or too long").expecting(s)
	}
	switch {
	case s.min > 0 && domain.Blank(value):
		return newViolation(IssueSchema, "The text says nothing: it is blank").expecting(s)
	case len(s.enum) > 0 && !slices.Contains(s.enum, value):
		return newViolation(IssueSchema, "Not one of the values there are").expecting(s)
	case s.pattern != nil && !s.pattern.MatchString(value):
		return newViolation(IssueSchema, "The value does not have its form").expecting(s)
	}
	if s.check == nil {
		return nil
	}
	switch err := s.check(value); {
	case errors.Is(err, domain.ErrCheckDigits):
		return newViolation(cmp.Or(s.issue, IssueSchema), "The check digits are wrong").expecting(s)
	case errors.Is(err, errNilID):
		return newViolation(IssueSchema, "The nil UUID names nothing; give an id, or leave it out where it may be absent").expecting(s)
	case err != nil:
		return newViolation(cmp.Or(s.issue, IssueSchema), "The value does not have its form").expecting(s)
	}
	return nil
}

var errForm = errors.New("not of its form")

// errNilID refuses the nil UUID, which clients send for an id that they did not set.
var errNilID = errors.New("the nil UUID")

const nilID = "00000000-0000-0000-0000-000000000000"

// checkID accepts a UUID that can name something.
func checkID(v string) error {
	if v == nilID {
		return errNilID
	}
	return checkUUID(v)
}

// checkUUID accepts the one form we write, with dashes, in letters of either case (RFC 9562,
// section 4).
func checkUUID(v string) error {
	if len(v) != 36 {
		return errForm
	}
	for i := range len(v) {
		c := v[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return errForm
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F'):
			return errForm
		}
	}
	return nil
}

// unquote returns the text of a JSON string that the decoder found valid.
func unquote(raw jsontext.Value) string {
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	b, _ := jsontext.AppendUnquote(nil, raw)
	return string(b)
}

// judgeAnyObject judges a valid JSON value that another schema will judge: not deeper than
// MaxDepth, no null, no number that is too large for any schema.
func judgeAnyObject(raw jsontext.Value) *violation {
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return &violation{issue: IssueSchema, title: "Too many levels", detail: "at most " + counted(MaxDepth, "level")}
			}
		case c == '}' || c == ']':
			depth--
		case c == 'n':
			return newViolation(IssueSchema, "null is not a value here; leave the member out")
		case c == '-' || '0' <= c && c <= '9':
			start := i
			for i+1 < len(raw) && strings.IndexByte("+-.eE0123456789", raw[i+1]) >= 0 {
				i++
			}
			if _, err := strconv.ParseFloat(string(raw[start:i+1]), 64); err != nil {
				return &violation{issue: IssueSchema, title: "A number is out of range", detail: "a number that fits a double (IEEE 754)"}
			}
		}
	}
	return nil
}

// withoutNulls returns a body that the shape was found to fit without its members that are
// null, so that a member that is null and one that is left out are the same to everybody
// behind the gate. What another schema judges is copied as it is.
func (s *shape) withoutNulls(b []byte) ([]byte, error) {
	var out bytes.Buffer
	if err := s.copyGiven(jsontext.NewDecoder(bytes.NewBuffer(b)), jsontext.NewEncoder(&out)); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'}), nil
}

func (s *shape) copyGiven(from *jsontext.Decoder, to *jsontext.Encoder) error {
	if s.kind != object && s.kind != array {
		value, err := from.ReadValue()
		if err != nil {
			return err
		}
		return to.WriteValue(value)
	}
	begin, err := from.ReadToken()
	if err != nil {
		return err
	}
	if err := to.WriteToken(begin); err != nil {
		return err
	}
	for kind := from.PeekKind(); kind != '}' && kind != ']'; kind = from.PeekKind() {
		of := s.item
		if s.kind == object {
			name, err := from.ReadValue()
			if err != nil {
				return err
			}
			if from.PeekKind() == 'n' {
				if err := from.SkipValue(); err != nil {
					return err
				}
				continue
			}
			m, known := s.lookup(name)
			if !known {
				return errForm
			}
			of = m.shape
			if err := to.WriteValue(name); err != nil {
				return err
			}
		}
		if err := of.copyGiven(from, to); err != nil {
			return err
		}
	}
	end, err := from.ReadToken()
	if err != nil {
		return err
	}
	return to.WriteToken(end)
}
