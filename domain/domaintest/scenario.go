// Package domaintest lets a rule be tested in the words it is specified in:
// given these facts, when this is asked, then these facts or this refusal.
// It also finds the data that tests share but the repository does not hold.
//
// Invariant: nothing here is imported by anything but tests.
package domaintest

import (
	"errors"
	"reflect"
	"testing"
)

// Command is something asked of a stream: it decides on facts, or refuses.
type Command[S, E any] interface{ Decide(S) ([]E, error) }

// Scenario is one row of a table of rules. Its name starts with the number of
// the rule it shows: "C-3 an expired consent authorises nothing". Err and Then
// exclude each other; both empty means that nothing is decided, without refusal.
type Scenario[S, E any] struct {
	Name  string
	Given []E
	When  Command[S, E]
	Then  []E
	Err   error
}

// Run plays every scenario as a subtest, from the zero state. An empty table, a
// row without command and two rows of one name fail: none of them tests anything.
func Run[S, E any](t *testing.T, evolve func(S, E) S, table []Scenario[S, E]) {
	t.Helper()
	if len(table) == 0 {
		t.Fatal("no scenarios")
	}
	names := make(map[string]bool)
	for _, sc := range table {
		if names[sc.Name] || sc.Name == "" {
			t.Errorf("scenario name %q is empty or taken", sc.Name)
		}
		names[sc.Name] = true
		t.Run(sc.Name, func(t *testing.T) {
			if sc.When == nil {
				t.Fatal("nothing is asked")
			}
			if sc.Err != nil && sc.Then != nil {
				t.Fatal("a scenario expects events or a refusal, not both")
			}
			var state S
			for _, e := range sc.Given {
				state = evolve(state, e)
			}
			got, err := sc.When.Decide(state)
			if !errors.Is(err, sc.Err) {
				t.Fatalf("err = %v, want %v", err, sc.Err)
			}
			if err != nil && len(got) > 0 {
				t.Errorf("refused, yet decided %+v", got)
			}
			if len(got)+len(sc.Then) > 0 && !reflect.DeepEqual(got, sc.Then) {
				t.Errorf("events:\n got %+v\nwant %+v", got, sc.Then)
			}
			for _, e := range got { // what was decided must also be foldable
				state = evolve(state, e)
			}
		})
	}
}
