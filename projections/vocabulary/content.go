package vocabulary

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"coffre/domain"
)

// Limits of a document's content.
const (
	MaxContent = 256 << 10 // bytes as received
	MaxDepth   = 32        // arrays and objects within each other
	maxIssues  = 20        // told at once
)

var (
	ErrUnknownType = domain.NewError(domain.Invalid, "unknownDocumentType", "the document type is not in the registry; documentTypes of GET /registry has those there are")
	ErrContent     = domain.NewError(domain.Invalid, "invalidContent", "the content does not satisfy the schema of its document type")
)

// Issue is one place where content breaks its schema, in words that betray
// nothing of it.
type Issue struct {
	// Pointer is the JSON pointer (RFC 6901) of the place, "" for the whole content.
	// It holds indexes and names that the schema declares, no others: for a member
	// that is not declared it points at the object around it.
	Pointer string
	// Keyword is the keyword of JSON Schema that is broken, or one of ours: "json",
	// "size", "depth", "number", "text" (a control character, or one that turns the
	// direction of what follows).
	Keyword string
	// Want is what the schema says at the keyword, as "date" for "format" or "40" for
	// "maxLength"; "" for a keyword that is no bound and no form.
	Want string
	// Undeclared is the name of a member that the schema does not declare, as the content
	// has it, so it can hold anything; "" unless Keyword is "additionalProperties".
	Undeclared string
}

// CheckContent decides whether raw is a content of the type (rule D-5) and
// returns it in the form of RFC 8785. It refuses an unknown type
// (ErrUnknownType), and what is no strict JSON, over the limits, has a number
// that would lose digits, or breaks the schema: ErrContent with at least one
// issue. raw is neither kept nor changed.
func (v *View) CheckContent(name domain.DocumentType, raw []byte) (domain.JSON, []Issue, error) {
	t := v.types[name]
	if t == nil {
		return nil, nil, ErrUnknownType
	}
	if canonical, ok := t.schema.fast.check(raw); ok {
		return canonical, nil, nil
	}
	return t.schema.explain(raw)
}

// explain is CheckContent without the fast way to "yes". It says what it refuses.
func (s *contentSchema) explain(raw []byte) (domain.JSON, []Issue, error) {
	value, err := decode(raw)
	if err != nil {
		return nil, []Issue{issueOf(err)}, ErrContent
	}
	if *s.fast.opaque { // published when schemas could refer to any part of themselves
		if err := s.compiled.Validate(value); err != nil {
			return nil, issues(err), ErrContent
		}
	} else if issues := s.fast.explain(value); len(issues) > 0 {
		return nil, issues, ErrContent
	}
	canonical, err := canonicalize(raw)
	if err != nil {
		return nil, []Issue{issueOf(err)}, ErrContent
	}
	return canonical, nil, nil
}

// canonicalize returns the form of RFC 8785 in memory of its own.
func canonicalize(raw []byte) (domain.JSON, error) {
	c := jsontext.Value(bytes.Clone(raw))
	if err := c.Canonicalize(); err != nil {
		return nil, errJSON // the library's text may quote the content
	}
	return domain.JSON(c), nil
}

// The errors of decode have keywords of issues as their texts; nothing is quoted.
var (
	errJSON   = errors.New("json")
	errSize   = errors.New("size")
	errDepth  = errors.New("depth")
	errNumber = errors.New("number")
)

func issueOf(err error) Issue { return Issue{Keyword: err.Error()} }

// decode returns one JSON value as the schema library takes it. Duplicate
// members, invalid UTF-8, trailing data, and what is over the limits are refused.
func decode(raw []byte) (any, error) {
	if len(raw) > MaxContent {
		return nil, errSize
	}
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	value, err := decodeValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, errJSON
	}
	return value, nil
}

func decodeValue(d *jsontext.Decoder, depth int) (any, error) {
	tok, err := d.ReadToken()
	if err != nil {
		return nil, errJSON
	}
	switch tok.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return tok.Bool(), nil
	case '"':
		return tok.String(), nil
	case '0':
		return number(tok.String())
	case '{':
		if depth == MaxDepth {
			return nil, errDepth
		}
		object := make(map[string]any)
		for d.PeekKind() != '}' {
			name, err := d.ReadToken()
			if err != nil {
				return nil, errJSON
			}
			key := name.String()
			if object[key], err = decodeValue(d, depth+1); err != nil {
				return nil, err
			}
		}
		return object, closeOf(d)
	case '[':
		if depth == MaxDepth {
			return nil, errDepth
		}
		list := []any{}
		for d.PeekKind() != ']' {
			item, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		return list, closeOf(d)
	}
	return nil, errJSON
}

func closeOf(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); err != nil {
		return errJSON
	}
	return nil
}

// number returns a number that RFC 8785 can write without losing a digit. It
// writes IEEE doubles; a longer number would be attested as another one.
func number(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, errNumber
	}
	if len(text) <= 15 && !strings.ContainsAny(text, "eE") { // 15 digits always fit
		return f, nil
	}
	digits, exponent, ok := decimal(text)
	written, writtenExponent, okWritten := decimal(string(jsontext.AppendFloat(nil, f, 64)))
	if !ok || !okWritten || digits != written || exponent != writtenExponent {
		return 0, errNumber
	}
	return f, nil
}

// decimal returns a number's significant digits, without zeros at either end,
// and the power of ten of the last; its sign is left out. ok is false when the
// power is beyond what any double has.
func decimal(text string) (digits string, exponent int, ok bool) {
	mantissa := strings.TrimPrefix(text, "-")
	if i := strings.IndexAny(mantissa, "eE"); i >= 0 {
		e, err := strconv.Atoi(mantissa[i+1:])
		if err != nil || e < -100_000 || e > 100_000 {
			return "", 0, false
		}
		mantissa, exponent = mantissa[:i], e
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	exponent -= len(fraction)
	digits = strings.TrimLeft(whole+fraction, "0")
	short := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(short)
	if short == "" {
		exponent = 0
	}
	return short, exponent, true
}

// issues translates the schema library's errors. Their texts quote values, so
// only the place and the keyword are taken.
func issues(err error) []Issue {
	var list []Issue
	add := func(i Issue) {
		if len(list) < maxIssues {
			list = append(list, i)
		}
	}
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		at := pointer(e.InstanceLocation)
		switch k := e.ErrorKind.(type) {
		case *kind.Required:
			for _, name := range k.Missing {
				add(Issue{Pointer: at + pointer([]string{name}), Keyword: "required"})
			}
		case *kind.AdditionalProperties:
			for _, name := range k.Properties {
				add(Issue{Pointer: at, Keyword: "additionalProperties", Undeclared: name})
			}
		case *kind.Schema, *kind.Group, *kind.Reference:
			for _, cause := range e.Causes {
				walk(cause)
			}
		default:
			keyword := "schema"
			if path := e.ErrorKind.KeywordPath(); len(path) > 0 {
				keyword = path[0]
			}
			add(Issue{Pointer: at, Keyword: keyword, Want: want(e.ErrorKind)})
		}
	}
	var root *jsonschema.ValidationError
	if errors.As(err, &root) {
		walk(root)
	}
	if len(list) == 0 {
		list = []Issue{{Keyword: "schema"}}
	}
	return list
}

// want returns what a schema says at a keyword. It is taken from the schema, never from the
// content.
func want(broken jsonschema.ErrorKind) string {
	switch k := broken.(type) {
	case *kind.Type:
		return strings.Join(k.Want, " or ")
	case *kind.Format:
		return k.Want
	case *kind.Pattern:
		return k.Want
	case *kind.Enum:
		var values []string
		for _, v := range k.Want {
			if text, ok := v.(string); ok {
				values = append(values, text)
			}
		}
		return strings.Join(values, ", ")
	case *kind.MinLength:
		return strconv.Itoa(k.Want)
	case *kind.MaxLength:
		return strconv.Itoa(k.Want)
	case *kind.MinItems:
		return strconv.Itoa(k.Want)
	case *kind.MaxItems:
		return strconv.Itoa(k.Want)
	case *kind.Minimum:
		return k.Want.RatString()
	case *kind.Maximum:
		return k.Want.RatString()
	}
	return ""
}

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

func pointer(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(escapePointer.Replace(t))
	}
	return b.String()
}
