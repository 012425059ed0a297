package edge

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/contract/brief"
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
// when the contract uses a feature that this package cannot check: a broken program.
var operations = sync.OnceValue(compile)

func compile() map[string]*operation {
	read := brief.Read()
	c := compiler{schemas: read.Schemas, shapes: make([]*shape, len(read.Schemas))}
	all := make(map[string]*operation, len(read.Operations))
	for _, op := range read.Operations {
		o := c.operation(op)
		all[o.pattern] = o
	}
	return all
}

type compiler struct {
	schemas []brief.Schema
	shapes  []*shape // of each schema; nil until it is asked for
}

func (c *compiler) operation(op brief.Operation) *operation {
	o := &operation{
		id: op.ID, pattern: op.Method + " " + contract.Base + op.Path, summary: op.Summary, roles: op.Roles, public: op.Public, invites: op.Invites, scope: op.Scope,
		query: make(map[string]parameter), files: op.Files, maxBody: cmp.Or(op.MaxBody, MaxBody), success: op.Success,
	}
	for _, in := range op.Parameters {
		p := parameter{name: in.Name, required: in.Required, shape: c.shape(in.Schema)}
		switch in.In {
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
	if op.Body != nil {
		o.body = c.shape(*op.Body)
		o.lenient = o.body.kind == object && len(o.body.required)+len(o.body.choices) == 0
	}
	return o
}

func (c *compiler) shape(n int) *shape {
	if s := c.shapes[n]; s != nil {
		return s
	}
	in := c.schemas[n]
	s := &shape{min: in.MinLength, enum: in.Enum}
	c.shapes[n] = s
	switch {
	case in.Type == "object" && in.Open:
		s.kind = anyObject
	case in.Type == "object":
		s.kind, s.required, s.members = object, in.Required, make(map[string]member, len(in.Members))
		for name, property := range in.Members {
			s.members[name] = member{c.shape(property), len(s.members)}
		}
		if len(s.members) > 64 {
			panic("openapi.yaml: an object with more than 64 members")
		}
		for _, groups := range in.Choices {
			s.choices = append(s.choices, s.choice(groups))
		}
	case in.Type == "array":
		s.kind, s.item, s.min = array, c.shape(in.Items), in.MinItems
		if in.MaxItems != nil {
			s.max, s.bounded = *in.MaxItems, true
		}
	case in.Type == "string":
		s.kind = text
		if in.MaxLength != nil {
			s.max, s.bounded = *in.MaxLength, true
		}
		s.text(in)
	case in.Type == "integer":
		s.kind = integer
		s.min, s.max, s.bounded = -1<<53, 1<<53, true
		if in.Format == "int32" {
			s.min, s.max = -1<<31, 1<<31-1
		}
		if in.Min != nil {
			s.min = *in.Min
		}
		if in.Max != nil {
			s.max = *in.Max
		}
	case in.Type == "boolean":
		s.kind = boolean
	default:
		panic("openapi.yaml: a schema of a kind the gate does not know")
	}
	return s
}

func (s *shape) choice(groups [][]string) choice {
	var c choice
	var words []string
	for _, g := range groups {
		var group uint64
		words = append(words, cmp.Or(strings.Join(g, " with "), "none of them"))
		for _, name := range g {
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
func (s *shape) text(in brief.Schema) {
	s.example = in.Example
	switch {
	case in.Format == "uuid" || in.GoType == "uuid.UUID":
		s.check, s.isID, s.form = checkID, true, "a UUID (RFC 9562)"
		s.example = cmp.Or(s.example, "0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44")
	case in.Format == "date-time":
		s.check, s.form = func(v string) error { _, err := domain.ParseTime(v); return err }, "an RFC 3339 date-time with an offset"
		s.example = cmp.Or(s.example, "2026-03-01T12:00:00Z or 2026-03-01T13:00:00+01:00")
	case in.GoType == "domain.Date":
		s.check, s.issue = func(v string) error { _, err := domain.ParseDate(v); return err }, issueStructure
		s.form = "a day of the calendar as yyyy-MM-dd"
	case in.GoType == "wire.SSIN":
		s.check, s.issue = func(v string) error { _, err := domain.ParseSSIN(v); return err }, issueStructure
		s.form = "eleven digits without other characters, of which the last two check the others"
	case in.GoType == "domain.Organisation":
		s.check, s.issue = func(v string) error { _, err := domain.ParseOrganisation(v); return err }, issueStructure
		s.form = "ten digits without other characters, the first 0 or 1, of which the last two check the others"
	case in.Pattern != "":
		s.pattern = regexp.MustCompile(in.Pattern)
		s.form = cmp.Or(in.Form, "text that matches "+in.Pattern)
	case in.Format != "":
		s.form = "text in the format " + in.Format
	}
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
