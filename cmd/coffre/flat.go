package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// flat turns decoded JSON into pairs of a path and a value, in order of path, for
// people to read.
func flat(indent string, v any) []string {
	var pairs []string
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				walk(strings.TrimPrefix(path+"."+name, "."), v[name])
			}
		case []any:
			for i, one := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), one)
			}
		default:
			pairs = append(pairs, indent+printable(path), fmt.Sprint(v))
		}
	}
	walk("", v)
	return pairs
}
