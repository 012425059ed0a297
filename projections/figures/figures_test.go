package figures

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"coffre/domain"
)

func someone(n int) domain.CitizenID {
	var id domain.CitizenID
	id.UUID = uuid.UUID{15: byte(n), 14: byte(n >> 8), 6: 0x40, 8: 0x80}
	return id
}

// counted is one thing that was counted: of whom, under which words.
type counted struct {
	person int
	keys   []string
}

func drawn(t *rapid.T) []counted {
	word := rapid.SampledFrom([]string{"a", "b", "c"})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) counted {
		return counted{rapid.IntRange(0, 40).Draw(t, "person"), []string{word.Draw(t, "1"), word.Draw(t, "2"), word.Draw(t, "3")}}
	}), 0, 150).Draw(t, "counted")
}

func tableOf(all []counted) *Table {
	var t Table
	for _, c := range all {
		t.Add(someone(c.person), Counts{1, 2}, c.keys...)
	}
	return &t
}

// members assigns each thing that was counted to the group that it is told in, by the words alone:
// the group with the most words that it begins with.
func members(groups []Group, all []counted) [][]counted {
	in := make([][]counted, len(groups))
	for _, c := range all {
		best := -1
		for i, g := range groups {
			if slices.Equal(c.keys[:len(g.Keys)], g.Keys) && (best < 0 || len(g.Keys) > len(groups[best].Keys)) {
				best = i
			}
		}
		if best >= 0 {
			in[best] = append(in[best], c)
		}
	}
	return in
}

func people(all []counted) int {
	distinct := map[int]bool{}
	for _, c := range all {
		distinct[c.person] = true
	}
	return len(distinct)
}

// Groups have nothing in common, together are everything that was counted, and each has enough
// people; where everybody together is too few, nothing is told.
func TestNoGroupIsTooSmall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawn(t)
		groups := told(tableOf(all), 3)
		var total Counts
		for _, g := range groups {
			total = total.plus(g.Counts)
		}
		if people(all) < MinPeople {
			if len(groups) != 0 {
				t.Fatalf("%d people, and %v is told", people(all), groups)
			}
			return
		}
		if total != (Counts{int64(len(all)), 2 * int64(len(all))}) {
			t.Fatalf("%v of %d", total, len(all))
		}
		for i, in := range members(groups, all) {
			if people(in) < MinPeople || groups[i].Counts[0] != int64(len(in)) {
				t.Fatalf("%v has %d people, %d things: %v", groups[i], people(in), len(in), groups)
			}
		}
	})
}

// Parts of a group are together that group, which is told without them too, and each has enough
// people: so what is told coarsely and finely, added and taken away, is whole parts. The words that
// follow are those of everything in the part, or none.
func TestPartsAreOfTheGroupsThatAreTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"a", "a", "a", "a", "a", "b", "c"}) // most have enough people, some too few
		all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) counted {
			return counted{rapid.IntRange(0, 60).Draw(t, "person"), []string{word.Draw(t, "1"), word.Draw(t, "2"), word.Draw(t, "3")}}
		}), 40, 120).Draw(t, "counted")
		coarse := make([]counted, len(all))
		for i, c := range all {
			coarse[i] = counted{c.person, c.keys[:1]}
		}
		groups, parts := told(tableOf(coarse), 1), tableOf(all).Parts(1)
		at := 0
		for _, g := range groups {
			var sum Counts
			for first := at; sum != g.Counts; at++ {
				if at == len(parts) || !slices.Equal(parts[at].Keys, g.Keys) {
					t.Fatalf("%v is not the sum of %v", g, parts[first:at])
				}
				sum = sum.plus(parts[at].Counts)
			}
		}
		if at != len(parts) {
			t.Fatalf("%v are parts of nothing", parts[at:])
		}
		in := make([][]counted, len(parts))
		for i, things := range members(groups, all) {
			for _, c := range things {
				at := partOf(parts, groups[i].Keys, c)
				in[at] = append(in[at], c)
			}
		}
		for i, p := range parts {
			if people(in[i]) < MinPeople || int64(len(in[i])) != p.Counts[0] {
				t.Fatalf("%v has %d people, %d things", p, people(in[i]), len(in[i]))
			}
		}
	})
}

// partOf returns the part of the group with the keys that a thing is told in, by the words alone.
func partOf(parts []Part, keys []string, c counted) int {
	var of []int
	for i, p := range parts {
		if slices.Equal(p.Keys, keys) {
			of = append(of, i)
		}
	}
	for at, word := range c.keys[1:] {
		with := func(word string) (some []int) {
			for _, i := range of {
				if parts[i].Further[at] == word {
					some = append(some, i)
				}
			}
			return some
		}
		if named := with(word); len(named) > 0 {
			of = named
		} else {
			of = with("")
		}
	}
	return of[0]
}

// told returns the groups of a table whose words are all those of groups.
func told(table *Table, words int) (groups []Group) {
	for _, p := range table.Parts(words) {
		groups = append(groups, p.Group)
	}
	return groups
}

// What is too few for a part is put together, with the smallest part where it is still too few, and
// the group is divided by the next word nevertheless.
func TestSmallPartsArePutTogether(t *testing.T) {
	var table Table
	add := func(from, to int, keys ...string) {
		for n := from; n < to; n++ {
			table.Add(someone(n), Counts{1}, keys...)
		}
	}
	add(0, 12, "a", "w1", "-")
	add(12, 13, "a", "w2", "-")
	add(20, 30, "a", "w3", "v1")
	add(30, 41, "a", "w3", "v2")
	add(50, 53, "b", "w1", "-") // too few for a group
	var got []string
	for _, p := range table.Parts(1) {
		got = append(got, fmt.Sprintf("%q %q %d", p.Keys, p.Further, p.Counts[0]))
	}
	if want := []string{`[] ["w3" "v1"] 10`, `[] ["w3" "v2"] 11`, `[] ["" "-"] 16`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Nobody learns of a smaller group by adding and taking away what is told: the groups, and the
// totals of all that begin with the same words or hold the same word at a place. Of every sum with
// signs that counts some things once and the others not, those things are of enough people.
func TestDifferencesTellOfNoSmallerGroup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawn(t)
		groups := told(tableOf(all), 3)
		in := members(groups, all)
		// What is told, as which groups it sums.
		told := map[string][]bool{}
		note := func(name string, which func(Group) bool) {
			row := make([]bool, len(groups))
			for i, g := range groups {
				row[i] = which(g)
			}
			told[name] = row
		}
		note("total", func(Group) bool { return true })
		for i, g := range groups {
			note("group "+strings.Join(g.Keys, " "), func(o Group) bool { return slices.Equal(o.Keys, groups[i].Keys) })
			for at, word := range g.Keys {
				note(string(rune('0'+at))+word, func(o Group) bool { return len(o.Keys) > at && o.Keys[at] == word })
			}
		}
		names := []string{}
		for name := range told {
			names = append(names, name)
		}
		slices.Sort(names)
		for range 200 { // sums of up to six of them, with signs
			sum := make([]int, len(groups))
			for range rapid.IntRange(1, 6).Draw(t, "terms") {
				sign := rapid.SampledFrom([]int{-1, 1}).Draw(t, "sign")
				for i, counts := range told[rapid.SampledFrom(append(names, "total")).Draw(t, "term")] {
					if counts {
						sum[i] += sign
					}
				}
			}
			var once []counted
			plain := true
			for i, n := range sum {
				plain = plain && (n == 0 || n == 1)
				if n == 1 {
					once = append(once, in[i]...)
				}
			}
			if plain && len(once) > 0 && people(once) < MinPeople {
				t.Fatalf("%v tells of %d people: %v", sum, people(once), groups)
			}
		}
	})
}

// The order in which things are counted changes nothing.
func TestOrderChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawn(t)
		a, b := told(tableOf(all), 3), told(tableOf(rapid.Permutation(all).Draw(t, "order")), 3)
		if !slices.EqualFunc(a, b, func(x, y Group) bool { return slices.Equal(x.Keys, y.Keys) && x.Counts == y.Counts }) {
			t.Fatalf("%v\n%v", a, b)
		}
	})
}

// A single small cell beside a large one is never told by what is left out.
func TestSmallCellIsPutTogether(t *testing.T) {
	for name, test := range map[string]struct {
		cells map[string]int // people in each
		want  []Group
	}{
		"nobody":           {nil, nil},
		"too few in all":   {map[string]int{"a x": 4, "b x": 5}, nil},
		"enough":           {map[string]int{"a x": 10, "b x": 12}, []Group{{[]string{"a", "x"}, Counts{10}}, {[]string{"b", "x"}, Counts{12}}}},
		"siblings":         {map[string]int{"a x": 6, "a y": 5, "b x": 12}, []Group{{[]string{"a"}, Counts{11}}, {[]string{"b", "x"}, Counts{12}}}},
		"one small":        {map[string]int{"a x": 3, "b x": 57}, []Group{{[]string{}, Counts{60}}}},
		"one small of two": {map[string]int{"a x": 3, "b x": 57, "c x": 20}, []Group{{[]string{"b", "x"}, Counts{57}}, {[]string{}, Counts{23}}}},
		"under one word":   {map[string]int{"a x": 3, "a y": 20, "b x": 57}, []Group{{[]string{"a"}, Counts{23}}, {[]string{"b", "x"}, Counts{57}}}},
	} {
		var table Table
		n := 0
		for cell, size := range test.cells {
			for range size {
				n++
				table.Add(someone(n), Counts{1}, strings.Fields(cell)...)
			}
		}
		if got := told(&table, 2); !slices.EqualFunc(got, test.want, func(x, y Group) bool { return slices.Equal(x.Keys, y.Keys) && x.Counts == y.Counts }) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
