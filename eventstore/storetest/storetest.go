// Package storetest says what an eventstore.Store must do. Every adapter runs the
// same cases, memory included, and so does every wrapper around one.
//
// Invariant: there are no switches. A store that cannot keep a promise of the port
// is not a store; only durability is left out for one that keeps nothing.
//
// With COFFRE_SOAK=1 in the environment the concurrent cases do twenty times the
// work; those of a store that repeats another's suite ([Harness.Repeats]) do their
// full work then, and a quarter of it otherwise.
package storetest

import (
	"os"
	"testing"

	"coffre/eventstore"
)

// Harness makes the stores under test.
type Harness struct {
	// Open returns a store without records. The suite closes it.
	Open func(t testing.TB) eventstore.Store
	// Reopen closes s, unless it is closed already, and opens what it kept. Nil for
	// a store that keeps nothing, which is memory alone.
	Reopen func(t testing.TB, s eventstore.Store) eventstore.Store
	// Repeats marks a store that wraps or carries one whose own run of the suite does
	// the full work: every case runs, with a quarter of its rounds.
	Repeats bool
}

type testCase struct {
	name string
	run  func(*testing.T, Harness)
}

// Run plays every case against stores from h.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if h.Open == nil {
		t.Fatal("storetest: no Open: nothing would be tested")
	}
	cases := append([]testCase{
		{"model/any history reads as the reference does", model},
	}, appendCases...)
	cases = append(cases, repetitionCases...)
	cases = append(cases, togetherCases...)
	cases = append(cases, readCases...)
	cases = append(cases, raceCases...)
	cases = append(cases, lifeCases...)
	if h.Reopen != nil {
		cases = append(cases, reopenCases...)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, h) })
	}
}

// scaled returns n, or twenty times n in a soak; for a store that repeats another's
// suite a quarter of n, or n in a soak.
func (h Harness) scaled(n int) int {
	switch soak := os.Getenv("COFFRE_SOAK") == "1"; {
	case h.Repeats && !soak:
		return max(1, n/4)
	case soak && !h.Repeats:
		return 20 * n
	}
	return n
}
