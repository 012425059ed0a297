package projections_test

import (
	"slices"
	"strings"
	"testing"

	"coffre/eventstore/codec"
	"coffre/projections"
)

// Every kind of event has a category that is ours, and no category is without one.
func TestCategories(t *testing.T) {
	used := map[string]bool{}
	for name := range codec.Catalog.Names() {
		category, _, _ := strings.Cut(name, ".")
		used[category] = true
		if !projections.Ours(category) {
			t.Errorf("%s is in no category of ours", name)
		}
	}
	for _, c := range projections.Categories() {
		if !projections.Ours(c) {
			t.Errorf("%s is listed and not ours", c)
		}
	}
	for c := range used {
		if !slices.Contains(projections.Categories(), c) {
			t.Errorf("%s is not listed", c)
		}
	}
}
