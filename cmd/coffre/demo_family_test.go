package main

import (
	"strings"
	"testing"
	"time"

	"coffre/domain"
)

// TestInventedNumbers holds them to the rule, and to being nobody's.
func TestInventedNumbers(t *testing.T) {
	for range 2000 {
		for _, year := range []int{1950, 1999, 2000, 2020} {
			born := time.Date(year, time.Month(1+below(12)), 1+below(28), 0, 0, 0, 0, time.UTC)
			woman := below(2) == 0
			s := inventSSIN(born, woman).Reveal()
			if _, err := domain.ParseSSIN(s); err != nil {
				t.Fatalf("%d: %v", year, err)
			}
			if month := s[2:4]; month < "13" || month > "19" {
				t.Fatalf("month %s could be somebody's", month)
			}
			if odd := (s[8]-'0')%2 == 1; odd == woman {
				t.Fatalf("the serial number is of the other sex")
			}
			if century := inventSSIN(born, woman).Century(); century != year/100*100 {
				t.Fatalf("born in %d, the check digits say %d", year, century)
			}
		}
	}
}

func TestEveryFamilyIsAnother(t *testing.T) {
	today := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	seen, twice := map[string]bool{}, 0
	for range 50 {
		f := inventFamily(today)
		for _, i := range []invented{f.mother, f.father, f.child, f.aunt} {
			if seen[i.ssin.Reveal()] {
				twice++
			}
			seen[i.ssin.Reveal()] = true
			if strings.ContainsAny(i.name(), "\"\\") || len(i.given) < 5 || len(i.family) < 8 {
				t.Errorf("%q is hard to look for", i.name())
			}
		}
		if f.child.born < "2017-01-01" || f.child.born > "2021-12-31" {
			t.Errorf("the child is born on %s", f.child.born)
		}
		if f.mother.family == f.father.family || f.child.family != f.father.family {
			t.Error("the names do not fit")
		}
	}
	// Each is drawn from half a million numbers, or more: one of the 200 comes twice in one run of
	// some 150, three of them in none.
	if twice > 2 {
		t.Errorf("%d numbers were invented twice", twice)
	}
}
