package contract

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// goField is a field of a generated struct: whether it is a pointer, and whether its zero
// value is left out when it is written.
type goField struct{ pointer, omitted bool }

// goStructs returns the fields of each struct of gen.go by the struct's name in lower case
// and the name of the member or parameter.
func goStructs(t testing.TB) map[string]map[string]goField {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "gen.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]goField{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		of, ok := spec.Type.(*ast.StructType)
		if !ok {
			return false
		}
		fields := map[string]goField{}
		for _, f := range of.Fields.List {
			if f.Tag == nil {
				continue
			}
			literal, err := strconv.Unquote(f.Tag.Value)
			if err != nil {
				t.Fatal(err)
			}
			name, options, _ := strings.Cut(reflect.StructTag(literal).Get("json"), ",")
			_, pointer := f.Type.(*ast.StarExpr)
			fields[name] = goField{pointer, strings.Contains(options, "omit")}
		}
		all[strings.ToLower(spec.Name.Name)] = fields
		return false
	})
	if len(all) < 150 {
		t.Fatalf("gen.go has %d structs only", len(all))
	}
	return all
}

// zeroMeans lists the optional members whose zero value can be sent and means the same as
// no member at all, so that their Go type need not tell the two apart.
var zeroMeans = map[string]string{
	"ConsentGrant.limits":        "an object without any limit limits nothing",
	"ConsentAsk.limits":          "an object without any limit limits nothing",
	"ConsentRequestGrant.limits": "an object without any limit leaves those that were asked for",
	"EvidenceQuery.presenceOnly": "false is the default",

	"WebhookSubscriptionRotate.finish": "false is the default",

	"getRegistry.If-None-Match": "a list without a tag is as if it were absent",
	"getDocument.If-None-Match": "a list without a tag is as if it were absent",
	"getAttachment.Range":       "a range that is none is as if it were absent",
	"accessAttachment.Range":    "a range that is none is as if it were absent",
	"getExportContent.Range":    "a range that is none is as if it were absent",
}

// admitsZero reports whether a value that satisfies the schema becomes the zero value of its
// Go type: the nil UUID, the time 0001-01-01T00:00:00Z, 0, false, the empty text, and an
// object without members.
func admitsZero(s *openapi3.Schema) bool {
	switch {
	case s.Type.Is("array"):
		return false // none and empty are different slices
	case s.Type.Is("object"):
		return len(s.Required) == 0
	case s.Type.Is("boolean"):
		return true
	case s.Type.Is("integer"), s.Type.Is("number"):
		return s.Min == nil || *s.Min <= 0
	case s.Format == "uuid" || s.Format == "date-time":
		return true
	case s.Format == "date" || s.MinLength > 0 || len(s.Enum) > 0:
		return false
	}
	return s.Pattern == "" || regexp.MustCompile(s.Pattern).MatchString("")
}

// reachable adds the objects that a schema is made of, by the component's name.
func reachable(ref *openapi3.SchemaRef, into map[string]*openapi3.Schema) {
	if ref == nil || ref.Value == nil {
		return
	}
	name := strings.TrimPrefix(ref.Ref, "#/components/schemas/")
	if ref.Value.Type.Is("object") && name != "" {
		if into[name] != nil {
			return
		}
		into[name] = ref.Value
	}
	for _, p := range ref.Value.Properties {
		reachable(p, into)
	}
	reachable(ref.Value.Items, into)
}

func requestSchemas(t testing.TB, doc *openapi3.T) map[string]*openapi3.Schema {
	all := map[string]*openapi3.Schema{}
	eachOperation(t, doc, func(_, _ string, _ *openapi3.PathItem, op *openapi3.Operation) {
		if op.RequestBody != nil {
			if media := op.RequestBody.Value.Content["application/json"]; media != nil {
				reachable(media.Schema, all)
			}
		}
	})
	if len(all) < 25 {
		t.Fatalf("only %d schemas of requests", len(all))
	}
	return all
}

// F1, F2: whether an optional member or parameter of a request is there is told by its Go
// type, a pointer or a slice, whenever its zero value can be sent. A member that is added as
// a plain time or id is found here.
func TestF1PresenceInRequestsIsAType(t *testing.T) {
	doc, structs, unused, checked := readContract(t), goStructs(t), map[string]bool{}, 0
	for name := range zeroMeans {
		unused[name] = true
	}
	check := func(of, member, goName string, s *openapi3.Schema) {
		field, known := structs[goName][member]
		if !known {
			t.Errorf("%s.%s: gen.go has no such field", of, member)
			return
		}
		if !admitsZero(s) {
			return
		}
		if delete(unused, of+"."+member); zeroMeans[of+"."+member] != "" {
			return
		}
		if checked++; !field.pointer {
			t.Errorf("%s.%s: its zero value can be sent and would be taken for a member that is absent; give it x-go-type-skip-optional-pointer: false", of, member)
		}
	}
	for name, s := range requestSchemas(t, doc) {
		for member, p := range s.Properties {
			if !slices.Contains(s.Required, member) {
				check(name, member, strings.ToLower(name), p.Value)
			}
		}
	}
	eachOperation(t, doc, func(_, _ string, item *openapi3.PathItem, op *openapi3.Operation) {
		for _, p := range slices.Concat(item.Parameters, op.Parameters) {
			if v := p.Value; !v.Required {
				check(op.OperationID, v.Name, strings.ToLower(op.OperationID)+"params", v.Schema.Value)
			}
		}
	})
	for name := range unused {
		t.Errorf("zeroMeans lists %s, which is no optional member whose zero value can be sent", name)
	}
	if checked < 25 {
		t.Errorf("only %d members and parameters were checked", checked)
	}
}

// F38: a count, a flag or an amount of an answer that is 0 or false is sent as that: where a
// generated field leaves its zero value out, either it is a pointer, which is left out when
// there is no value, or the contract says that the value is at least 1.
func TestF38ZeroIsSentInAnswers(t *testing.T) {
	doc, structs, answers, checked := readContract(t), goStructs(t), map[string]*openapi3.Schema{}, 0
	eachOperation(t, doc, func(_, _ string, _ *openapi3.PathItem, op *openapi3.Operation) {
		for _, r := range op.Responses.Map() {
			for _, media := range r.Value.Content {
				reachable(media.Schema, answers)
			}
		}
	})
	for name, s := range answers {
		for member, p := range s.Properties {
			v := p.Value
			if !v.Type.Is("integer") && !v.Type.Is("number") && !v.Type.Is("boolean") {
				continue
			}
			field, known := structs[strings.ToLower(name)][member]
			if checked++; !known {
				t.Errorf("%s.%s: gen.go has no such field", name, member)
			} else if field.omitted && !field.pointer && (v.Min == nil || *v.Min < 1) {
				t.Errorf("%s.%s: 0 or false would be left out of the answer", name, member)
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d counts, flags and amounts", checked)
	}
}
