package domaintest

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Immutable fails when evolve changes a state it was given, or one that shares
// memory with it: it grows a tree of states, each from any earlier one, and then
// looks whether all still say what they said when they were made.
func Immutable[S, E any](t *testing.T, evolve func(S, E) S, event func(*rapid.T) E) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		states := make([]S, 1)
		texts := []string{fmt.Sprintf("%+v", states[0])}
		for range rapid.IntRange(2, 40).Draw(t, "states") {
			// Mostly grow, now and then fork.
			from := len(states) - 1 - min(rapid.IntRange(0, 3).Draw(t, "back"), len(states)-1)
			next := evolve(states[from], event(t))
			states, texts = append(states, next), append(texts, fmt.Sprintf("%+v", next))
		}
		for i, s := range states {
			if now := fmt.Sprintf("%+v", s); now != texts[i] {
				t.Fatalf("a state changed after it was handed out:\n was %s\n now %s", texts[i], now)
			}
		}
	})
}
