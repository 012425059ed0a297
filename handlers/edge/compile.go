package edge

import (
	"cmp"
	_ "embed"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"

	"coffre/domain"
	"coffre/handlers/contract"
)

// operation is one operation of the contract, compiled for checking requests.
type operation struct {
	id      string
	pattern string // as http.ServeMux wants it: "POST /vault/v1/documents"
	summary string
	roles   []domain.Role
	public  bool   // everybody may call it
	invites bool   // public, and answers whoever says who they are with more
	scope   string // "" for a public one
	path    []parameter
	query   map[string]parameter
	mustAsk []string // the names of query parameters that must be there
	header  []parameter
	body    *shape   // nil: the call takes none
	lenient bool     // its body has no member that must be there, so it may be left out
	files   []string // media types of a body that the use case reads itself; nil: it is JSON, or none
	maxBody int64
	success int // the status of its first answer that is no problem; 0: it has none
}

// ifMatch and ifNoneMatch are headers whose value is a list, of which a request may have
// several lines.
const ifMatch, ifNoneMatch = "If-Match", "If-None-Match"

type parameter struct {
	name     string // of a header: as net/http has it
	told     string // of a header: as the contract has it
	required bool
	many     bool
	shape    *shape
}

// shape is one schema of the contract, compiled for checking a value in one pass.
type shape struct {
	kind     valueType
	members  map[string]member // of an object
	required []string          // its members that must be there
	choices  []choice          // x-exactly-one-of
	item     *shape            // of an array
	min, max int64             // items of an array, characters of a text, value of an integer
	bounded  bool              // max holds
	enum     []string
	pattern  *regexp.Regexp
	check    func(string) error // in place of a pattern, for a form with a parser of its own
	issue    string             // the issue's type when check refuses; "" is schemaViolation
	isID     bool               // a UUID, whose letters may be of either case
	form     string             // of a text, in words: what a format or a pattern asks for
	example  string             // of the schema, "" for none
}

// choice is a set of groups of members, one of which is there: as the names and the words
// that a refusal tells, and as bits.
type choice struct {
	names  []string
	words  string // which names belong together
	groups []uint64
	all    uint64
}

type member struct {
	shape *shape
	index int // its bit among the members of one object
}

// valueType is the type of JSON value that a shape takes.
type valueType uint8

const (
	object valueType = iota + 1
	array
	text
	integer
	boolean
	anyObject // an object whose members another schema judges
)

// operations returns the contract's operations, by pattern; nobody changes them. It panics
// when the embedded contract uses a feature that this package cannot check: a broken
// program.
var operations = sync.OnceValue(compile)

func compile() map[string]*operation {
	doc, err := openapi3.NewLoader().LoadFromData(contractYAML)
	if err != nil {
		panic(fmt.Errorf("openapi.yaml: %w", err))
	}
	c := compiler{shapes: make(map[*openapi3.Schema]*shape)}
	all := make(map[string]*operation)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			o := c.operation(method, path, item, op)
			all[o.pattern] = o
		}
	}
	return all
}

type compiler struct{ shapes map[*openapi3.Schema]*shape }

func (c *compiler) operation(method, path string, item *openapi3.PathItem, op *openapi3.Operation) *operation {
	o := &operation{
		id: op.OperationID, pattern: method + " " + contract.Base + path, summary: op.Summary,
		public:  isPublic(op),
		invites: isPublic(op) && len(*op.Security) > 0,
		query:   make(map[string]parameter),
		maxBody: MaxBody,
	}
	for status := range op.Responses.Map() {
		if n, err := strconv.Atoi(status); err == nil && n < 300 && (o.success == 0 || n < o.success) {
			o.success = n
		}
	}
	if roles, ok := op.Extensions["x-roles"].([]any); ok {
		for _, r := range roles {
			o.roles = append(o.roles, domain.Role(r.(string)))
		}
	}
	if !o.public {
		o.scope = (*op.Security)[0]["CoffreOauth"][0]
	}
	if n, ok := op.Extensions["x-max-body-bytes"].(float64); ok {
		o.maxBody = int64(n)
	}
	for _, ref := range slices.Concat(item.Parameters, op.Parameters) {
		p := parameter{name: ref.Value.Name, required: ref.Value.Required, shape: c.shape(ref.Value.Schema)}
		switch ref.Value.In {
		case "path":
			o.path = append(o.path, p)
		case "query":
			p.many = p.shape.kind == array
			if o.query[p.name] = p; p.required {
				o.mustAsk = append(o.mustAsk, p.name)
			}
		case "header":
			p.told, p.name = p.name, http.CanonicalHeaderKey(p.name)
			if p.shape.isID { // a key, which names nothing: who takes it judges the nil UUID
				key := *p.shape
				key.check = checkUUID
				p.shape = &key
			}
			if p.name == ifMatch {
				tags := *p.shape
				tags.check, tags.form = checkTags, "an entity tag in quotes, a list of them, or * (RFC 9110)"
				p.shape = &tags
			}
			o.header = append(o.header, p)
		}
	}
	if op.RequestBody != nil {
		if media := op.RequestBody.Value.Content["application/json"]; media != nil {
			o.body = c.shape(media.Schema)
			o.lenient = o.body.kind == object && len(o.body.required)+len(o.body.choices) == 0
		} else {
			o.files = slices.Collect(maps.Keys(op.RequestBody.Value.Content))
		}
	}
	return o
}

// isPublic reports whether the contract lets everybody call an operation: it needs no
// security, or none is among the alternatives.
func isPublic(op *openapi3.Operation) bool {
	return op.Security != nil && (len(*op.Security) == 0 || slices.ContainsFunc(*op.Security, func(need openapi3.SecurityRequirement) bool { return len(need) == 0 }))
}

func (c *compiler) shape(ref *openapi3.SchemaRef) *shape {
	in := ref.Value
	if s := c.shapes[in]; s != nil {
		return s
	}
	s := &shape{min: int64(in.MinLength), enum: stringsOf(in.Enum)}
	c.shapes[in] = s
	switch {
	case in.Type.Is("object") && in.AdditionalProperties.Has != nil && *in.AdditionalProperties.Has:
		s.kind = anyObject
	case in.Type.Is("object"):
		s.kind, s.required, s.members = object, in.Required, make(map[string]member)
		for name, property := range in.Properties {
			s.members[name] = member{c.shape(property), len(s.members)}
		}
		if len(s.members) > 64 {
			panic("openapi.yaml: an object with more than 64 members")
		}
		choices, _ := in.Extensions["x-exactly-one-of"].([]any)
		for _, groups := range choices {
			s.choices = append(s.choices, s.choice(groups.([]any)))
		}
	case in.Type.Is("array"):
		s.kind, s.item, s.min = array, c.shape(in.Items), int64(in.MinItems)
		if in.MaxItems != nil {
			s.max, s.bounded = int64(*in.MaxItems), true
		}
	case in.Type.Is("string"):
		s.kind = text
		if in.MaxLength != nil {
			s.max, s.bounded = int64(*in.MaxLength), true
		}
		s.text(in)
	case in.Type.Is("integer"):
		s.kind = integer
		s.min, s.max, s.bounded = -1<<53, 1<<53, true
		if in.Format == "int32" {
			s.min, s.max = -1<<31, 1<<31-1
		}
		if in.Min != nil {
			s.min = int64(*in.Min)
		}
		if in.Max != nil {
			s.max = int64(*in.Max)
		}
	case in.Type.Is("boolean"):
		s.kind = boolean
	default:
		panic("openapi.yaml: a schema of a kind the gate does not know")
	}
	return s
}

func (s *shape) choice(groups []any) choice {
	var c choice
	var words []string
	for _, g := range groups {
		var group uint64
		words = append(words, cmp.Or(strings.Join(stringsOf(g.([]any)), " with "), "none of them"))
		for _, name := range stringsOf(g.([]any)) {
			m, known := s.members[name]
			if !known {
				panic("openapi.yaml: x-exactly-one-of names what is no member")
			}
			group |= 1 << m.index
			if !slices.Contains(c.names, name) {
				c.names = append(c.names, name)
			}
		}
		c.groups, c.all = append(c.groups, group), c.all|group
	}
	c.words = "either " + strings.Join(words, ", or ")
	return c
}

// text chooses the check of a string beyond its length: a parser where the type is known,
// which is also faster, else the schema's pattern.
func (s *shape) text(in *openapi3.Schema) {
	goType, _ := in.Extensions["x-go-type"].(string)
	s.example, _ = in.Example.(string)
	switch {
	case in.Format == "uuid" || goType == "uuid.UUID":
		s.check, s.isID, s.form = checkID, true, "a UUID (RFC 9562)"
		s.example = cmp.Or(s.example, "0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44")
	case in.Format == "date-time":
		s.check, s.form = func(v string) error { _, err := domain.ParseTime(v); return err }, "an RFC 3339 date-time with an offset"
		s.example = cmp.Or(s.example, "2026-03-01T12:00:00Z or 2026-03-01T13:00:00+01:00")
	case goType == "domain.Date":
		s.check, s.issue = func(v string) error { _, err := domain.ParseDate(v); return err }, issueStructure
		s.form = "a day of the calendar as yyyy-MM-dd"
	case goType == "wire.SSIN":
		s.check, s.issue = func(v string) error { _, err := domain.ParseSSIN(v); return err }, issueStructure
		s.form = "eleven digits without other characters, of which the last two check the others"
	case goType == "domain.Organisation":
		s.check, s.issue = func(v string) error { _, err := domain.ParseOrganisation(v); return err }, issueStructure
		s.form = "ten digits without other characters, the first 0 or 1, of which the last two check the others"
	case in.Pattern != "":
		s.pattern = regexp.MustCompile(in.Pattern)
		words, _ := in.Extensions["x-form"].(string)
		s.form = cmp.Or(words, "text that matches "+in.Pattern)
	case in.Format != "":
		s.form = "text in the format " + in.Format
	}
}

func stringsOf(in []any) []string {
	out := make([]string, 0, len(in))
	for _, w := range in {
		out = append(out, w.(string))
	}
	return out
}

// Patterns lists the routes of the contract, by path and then method, in the form
// "GET /vault/v1/health".
func Patterns() []string {
	var all []string
	for pattern := range operations() {
		all = append(all, pattern)
	}
	slices.SortFunc(all, func(a, b string) int {
		_, a, _ = strings.Cut(a, " ")
		_, b, _ = strings.Cut(b, " ")
		return strings.Compare(a, b)
	})
	return all
}

// Scopes lists every scope that a role can use, in order.
func Scopes(role domain.Role) []string {
	var all []string
	for _, op := range operations() {
		if slices.Contains(op.roles, role) && !slices.Contains(all, op.scope) {
			all = append(all, op.scope)
		}
	}
	slices.Sort(all)
	return all
}
