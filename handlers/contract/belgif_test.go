package contract

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// The mechanical rules of the Belgian REST guide, after the list that the guide's
// own validator checks. The validator itself runs in deploy/interop; this is what
// holds where it cannot be fetched. A rule may be ignored with x-ignore-rules and
// a reason, as for the validator; ignored counts how often.
func TestBelgianRESTGuide(t *testing.T) {
	doc, ignored := readContract(t), map[string]int{}
	upper, lower, kebab := regexp.MustCompile(`^([A-Z][a-z0-9]+)+$`), regexp.MustCompile(`^[a-z][a-z0-9]*([A-Z][a-z0-9]+)*$`), regexp.MustCompile(`^[A-Z][a-z]+(-[A-Z][a-z]+)*$`)
	expect := func(ok bool, rule, what string, extensions map[string]any) {
		t.Helper()
		if ok {
			return
		}
		if reasons, _ := extensions["x-ignore-rules"].(map[string]any); reasons[rule] != nil {
			ignored[rule]++
			return
		}
		t.Errorf("[%s] %s", rule, what)
	}

	server := regexp.MustCompile(`^(https://[^/]+)?(/[A-Za-z0-9]+)*/[a-z0-9]+([A-Z][a-z0-9]+)*/v[0-9]+$`)
	for _, s := range doc.Servers {
		expect(server.MatchString(s.URL), "uri-format", "server "+s.URL, nil)
	}
	c := doc.Components
	names := slices.Concat(keysOf(c.Schemas), keysOf(c.Parameters), keysOf(c.Responses), keysOf(c.Headers), keysOf(c.SecuritySchemes))
	if len(names) < 100 {
		t.Fatalf("only %d components", len(names))
	}
	for _, name := range names {
		expect(upper.MatchString(name), "oas-comp", "component "+name, nil)
	}
	for name, s := range c.Schemas {
		v := s.Value
		expect(s.Ref == "" && v.Type != nil, "sch-type", name+" has a type of its own", nil)
		expect(len(v.AllOf)+len(v.AnyOf)+len(v.OneOf) == 0 && v.Discriminator == nil, "sch-allof", name+" is composed", nil)
		expect(v.Title == "" || v.Title == name, "oas-descr", name+" has another title", nil)
		for _, code := range v.Enum {
			expect(lower.MatchString(code.(string)), "cod-design", name+": code "+code.(string), v.Extensions)
		}
		for _, required := range v.Required {
			p := v.Properties[required]
			expect(p != nil && !p.Value.ReadOnly, "oas-rdonly", name+": required "+required, nil)
		}
		for property, p := range v.Properties {
			expect(lower.MatchString(property), "jsn-naming", name+"."+property, nil)
			expect(!p.Value.Nullable, "jsn-null", name+"."+property, nil)
			expect(p.Ref != "" || !p.Value.Type.Is("object"), "oas-descr", name+"."+property+" is an object without a name", nil)
		}
	}
	eachOperation(t, doc, func(method, path string, item *openapi3.PathItem, op *openapi3.Operation) {
		id := op.OperationID
		expect(!strings.HasSuffix(path, "/") && !strings.Contains(path, "."), "uri-extens", path, nil)
		expect(!strings.Contains(path, "{id}") && !strings.Contains(path, "{code}"), "id-name", path, nil)
		statuses := keysOf(op.Responses.Map())
		for _, never := range map[string][]string{"GET": {"201", "202", "204", "409", "412", "413"}, "POST": {"304"}}[method] {
			expect(!slices.Contains(statuses, never), "stat-codes", id+" answers "+never, nil)
		}
		for status, r := range op.Responses.Map() {
			problem := r.Value.Content["application/problem+json"]
			failed := status == "default" || status[0] == '4' || status[0] == '5'
			expect(failed == (problem != nil) || id == "getHealth" && status == "503", "err-problem", id+" "+status, nil)
			if problem != nil {
				expect(problem.Schema.Ref == "#/components/schemas/Problem", "prb-defaul", id+" "+status, nil)
			}
			expect(status != "200" || len(r.Value.Content) > 0, "rep-struct", id+" 200 without content", nil)
			expect(status != "204" || len(r.Value.Content) == 0, "rep-struct", id+" 204 with content", nil)
			if media := r.Value.Content["application/json"]; media != nil {
				expect(media.Schema != nil && media.Schema.Value.Type.Is("object"), "evo-object", id+" "+status, nil)
			}
			for name := range r.Value.Headers {
				expect(name == "ETag" || kebab.MatchString(name), "hdr-case", id+": "+name, nil)
			}
			if page := r.Value.Content["application/json"]; method == "GET" && page != nil && page.Schema.Value.Properties["items"] != nil {
				expect(page.Schema.Value.Properties["items"].Value.Items.Value.Type.Is("object"), "col-repres", id, nil)
				expect(strings.HasSuffix(path, "s"), "col-name", path, item.Extensions)
			}
		}
		if doc.Paths.Value(path+"/{"+singular(path)+"Id}") != nil && method == "GET" {
			expect(op.Responses.Status(http.StatusOK).Value.Content["application/json"].Schema.Value.Properties["items"] != nil, "col-repres", id+" is a collection without items", nil)
		}
		expect(op.RequestBody == nil || method == "POST", "rep-struct", id+" has a body", nil)
		if op.RequestBody != nil && op.RequestBody.Value.Content["application/pdf"] == nil { // a file is its own representation
			media := op.RequestBody.Value.Content["application/json"]
			expect(media != nil && media.Schema.Value.Type.Is("object"), "evo-object", id+" request", nil)
		}
		for _, p := range slices.Concat(item.Parameters, op.Parameters) {
			v := p.Value
			switch {
			case v.In == "header":
				expect(kebab.MatchString(v.Name), "hdr-case", id+": "+v.Name, v.Extensions)
				expect(!strings.HasPrefix(v.Name, "BelGov-") && v.Name != "Accept-Language", "gen-header", id+": "+v.Name, nil)
			case v.In == "query" && v.Schema.Value.Type.Is("array"):
				expect(v.Style == "" && (v.Explode == nil || *v.Explode), "qry-multi", id+": "+v.Name, nil)
			}
		}
		if op.Security != nil {
			for _, need := range *op.Security {
				for scheme, scopes := range need {
					flows := c.SecuritySchemes[scheme].Value.Flows
					for _, scope := range scopes {
						expect(flows.AuthorizationCode.Scopes[scope] != "" && flows.ClientCredentials.Scopes[scope] != "", "sec-req", id+": scope "+scope, nil)
					}
				}
			}
		}
	})
	for _, tag := range doc.Tags {
		expect(regexp.MustCompile(`^[A-Z][a-z]+( [A-Z][a-z]+)*$`).MatchString(tag.Name), "oas-tags", tag.Name, nil)
	}
	health := doc.Paths.Value("/health")
	expect(health != nil && health.Get.Responses.Value("200") != nil && health.Get.Responses.Value("503") != nil, "hlth-res", "/health", nil)
	if ignored["cod-design"] != 5 || ignored["col-name"] != 2 || ignored["hdr-case"] != 1 || len(ignored) != 3 {
		t.Errorf("ignored %v; docs/decisions/0002-belgif-exceptions.md lists each", ignored)
	}
}

func keysOf[V any](m map[string]V) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	return all
}

// singular returns the last segment of a path without its plural s.
func singular(path string) string {
	return strings.TrimSuffix(path[strings.LastIndexByte(path, '/')+1:], "s")
}
