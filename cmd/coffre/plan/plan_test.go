package plan

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func country() Size {
	return Size{Citizens: 11_700_000, Documents: 20, Changes: 2, Accesses: 600_000_000, Wallets: 12, Years: 5, Bytes: 1024, Peak: 10, Cores: 2, Store: Postgres}
}

func figure(t *testing.T, all []Figure, name string) float64 {
	t.Helper()
	for _, one := range all {
		if one.Name == name {
			return one.Value
		}
	}
	t.Fatalf("no figure %q", name)
	return 0
}

// docs/scale.md computed a country by hand, from the same measurements.
func TestACountryIsAsItWasComputedByHand(t *testing.T) {
	all, warnings, err := Of(country())
	if err != nil || len(warnings) != 0 {
		t.Fatal(warnings, err)
	}
	for name, want := range map[string]float64{
		"events, after the first load":                     245e6,
		"log, after the first load":                        0.31e12,
		"log, each year":                                   0.8e12,
		"keys, after the first load":                       66e9,
		"read models, after the first load":                0.36e12,
		"read models, each year":                           0.5e12,
		"of these the Merkle tree, after the first load":   10e9,
		"of these the Merkle tree, each year":              49e9,
		"accesses":                                         190,
		"rebuild of all read models, after the first load": 2.5 * 3600,
		"backup, after the first load":                     35 * 60,
		"store copy, after the first load":                 5.5 * 3600,
	} {
		if got := figure(t, all, name); math.Abs(got/want-1) > 0.08 {
			t.Errorf("%s: %g, by hand %g", name, got, want)
		}
	}
}

// More of anything never needs less, and every figure is a number.
func TestMoreNeverNeedsLess(t *testing.T) {
	for range 2000 {
		s := Size{Store: SQLite}
		if rand.IntN(2) == 0 {
			s.Store = Postgres
		}
		more := s
		for i, b := range s.Bounds() {
			value := b.From + rand.Int64N(b.To-b.From+1)
			*numbers(&s)[i], *numbers(&more)[i] = value, value
		}
		grown := rand.IntN(len(s.Bounds()) - 1) // cores, the last, make it less
		if b := more.Bounds()[grown]; b.Value < b.To {
			*numbers(&more)[grown] = b.Value + 1 + rand.Int64N(b.To-b.Value)
		}
		less, _, err := Of(s)
		if err != nil {
			t.Fatal(err)
		}
		larger, _, err := Of(more)
		if err != nil {
			t.Fatal(err)
		}
		for i, one := range less {
			if math.IsNaN(one.Value) || math.IsInf(one.Value, 0) || one.Value < 0 || one.Value > larger[i].Value*(1+1e-9) {
				t.Fatalf("%s: %g of %+v, %g of %+v", one.Name, one.Value, s, larger[i].Value, more)
			}
		}
	}
}

// numbers are those of a size, in the order of its bounds.
func numbers(s *Size) []*int64 {
	return []*int64{&s.Citizens, &s.Documents, &s.Changes, &s.Accesses, &s.Wallets, &s.Years, &s.Bytes, &s.Peak, &s.Cores}
}

func TestWhatNoVaultHasIsRefused(t *testing.T) {
	for i, b := range country().Bounds() {
		for _, value := range []int64{b.From - 1, b.To + 1, math.MinInt64, math.MaxInt64} {
			s := country()
			*numbers(&s)[i] = value
			var out *OutOfBounds
			if _, _, err := Of(s); !errors.As(err, &out) || out.Name != b.Name {
				t.Errorf("%s of %d: %v", b.Name, value, err)
			}
		}
	}
}

// A data directory has one process: what needs more is said, and a server gets one that may end.
func TestADirectoryHasOneProcess(t *testing.T) {
	small := country()
	small.Citizens, small.Accesses, small.Store = 50_000, 1_000_000, SQLite
	all, warnings, err := Of(small)
	if err != nil || len(warnings) != 0 || figure(t, all, "of 2 cores, half busy") != 1 {
		t.Errorf("a town on a directory: %q, %v", warnings, err)
	}
	small.Store = Postgres
	if all, _, _ := Of(small); figure(t, all, "of 2 cores, half busy") != 2 {
		t.Error("a town on a server has nothing that may end")
	}
	launch := country()
	launch.Peak, launch.Store = 1000, SQLite
	_, warnings, err = Of(launch)
	if err != nil || len(warnings) != 2 || !strings.Contains(warnings[0], "one process owns a data directory") {
		t.Errorf("a launch day on a directory: %q, %v", warnings, err)
	}
	huge := country()
	huge.Citizens, huge.Store = 10_000_000_000, SQLite
	_, warnings, _ = Of(huge)
	if !strings.Contains(strings.Join(warnings, "\n"), "2³² pages") {
		t.Errorf("files that end: %q", warnings)
	}
}
