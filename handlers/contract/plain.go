package contract

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Plain returns a copy of the contract as it is served: openapi.yaml in the words of YAML
// that every reader knows. It has no anchors, no mappings in braces and no extension that
// names a Go type, and says the same otherwise, in the same order.
func Plain() []byte { return slices.Clone(plain()) }

// plain panics when the embedded contract is no YAML: a broken program.
var plain = sync.OnceValue(func() []byte {
	b, err := makePlain(openapi)
	if err != nil {
		panic(fmt.Errorf("openapi.yaml: %w", err))
	}
	return b
})

func makePlain(source []byte) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(source, &document); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	writer := yaml.NewEncoder(&out)
	writer.SetIndent(2)
	if err := writer.Encode(plainNode(&document)); err != nil {
		return nil, err
	}
	return out.Bytes(), writer.Close()
}

// plainNode returns a copy of a node with aliases replaced by what they stand for.
func plainNode(in *yaml.Node) *yaml.Node {
	if in.Kind == yaml.AliasNode {
		return plainNode(in.Alias)
	}
	out := *in
	out.Anchor, out.Content = "", nil
	switch in.Kind {
	case yaml.MappingNode:
		if len(in.Content) > 0 { // an empty one is written {} in any style
			out.Style &^= yaml.FlowStyle
		}
		for i := 0; i < len(in.Content); i += 2 {
			if !strings.HasPrefix(in.Content[i].Value, "x-go-") {
				out.Content = append(out.Content, plainNode(in.Content[i]), plainNode(in.Content[i+1]))
			}
		}
	case yaml.ScalarNode:
		if ambiguous(in) {
			out.Style = yaml.SingleQuotedStyle
		}
	default:
		if len(in.Content) > 0 {
			out.Style &^= yaml.FlowStyle
		}
		for _, each := range in.Content {
			out.Content = append(out.Content, plainNode(each))
		}
	}
	return &out
}

// otherType matches plain scalars that YAML 1.1 does not read as text: booleans, numbers of
// any base, and times. Readers of YAML 1.1 are still in use.
var otherType = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|true|false|null|~|[-+]?[0-9][0-9_,.:]*(e[-+]?[0-9]+)?|0x[0-9a-f_]+|0b[01_]+|[-+]?\.(inf|nan)|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*)$`)

// ambiguous reports whether a scalar is text to this reader and something else to another.
func ambiguous(n *yaml.Node) bool {
	const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	return n.Kind == yaml.ScalarNode && n.Style&quoted == 0 && n.ShortTag() == "!!str" && otherType.MatchString(n.Value)
}
