// Package figures counts what happens in a vault without telling of anybody: it tells groups of
// at least MinPeople people and nothing smaller, also not as the difference of what it tells.
//
// What is counted falls into cells by its words, in an order from coarse to fine. Cells with too
// few people are put together with others, first with those that share the most words, until
// each group has enough. The groups have nothing in common and together are everything, and every
// total is a sum of whole groups: so whatever is added to or taken from each other, what comes out
// are whole groups again.
//
// Invariant: a group that is told has at least MinPeople people, or nothing is told.
package figures

import (
	"maps"
	"slices"
	"strings"

	"coffre/domain"
)

// MinPeople is how many people a group has at least.
const MinPeople = 10

// Counts are what is counted of a group: up to two things, of the same people.
type Counts [2]int64

func (c Counts) plus(o Counts) Counts { return Counts{c[0] + o[0], c[1] + o[1]} }

// Group is a group that may be told. Keys are its words; a group that was put together has fewer
// than its table, those that all of it shares.
type Group struct {
	Keys   []string
	Counts Counts
}

// Table gathers what is counted. The zero value is empty. It must not be used concurrently.
type Table struct{ cells map[string]*pool }

// keyEnd stands between the words of a cell; no code of the registry has it.
const keyEnd = "\x00"

// Add counts something of a person under words, of which every call has as many.
func (t *Table) Add(person domain.CitizenID, counts Counts, keys ...string) {
	if t.cells == nil {
		t.cells = make(map[string]*pool)
	}
	name := strings.Join(keys, keyEnd)
	c := t.cells[name]
	if c == nil {
		c = &pool{keys: keys, people: make(map[domain.CitizenID]bool)}
		t.cells[name] = c
	}
	c.counts = c.counts.plus(counts)
	c.join(person)
}

// Groups returns the groups that may be told, in the order of their words, those that were put
// together last. It returns none when there are too few people in all.
func (t *Table) Groups() []Group {
	cells := slices.SortedFunc(maps.Values(t.cells), func(a, b *pool) int { return slices.Compare(a.keys, b.keys) })
	told, rest := gather(cells, 0)
	if rest != nil { // too few to be told: of the groups that are next to them, the smallest takes them in
		if len(told) == 0 {
			return nil
		}
		least := 0
		for i, g := range told {
			nearer := len(shared(g.keys, rest.keys)) - len(shared(told[least].keys, rest.keys))
			if nearer > 0 || nearer == 0 && g.counts[0] < told[least].counts[0] {
				least = i
			}
		}
		with := told[least]
		told = append(slices.Delete(slices.Clone(told), least, least+1), with.with(rest, shared(with.keys, rest.keys)))
	}
	groups := make([]Group, len(told))
	for i, g := range told {
		groups[i] = Group{g.keys, g.counts}
	}
	slices.SortStableFunc(groups, func(a, b Group) int {
		for i := range min(len(a.Keys), len(b.Keys)) {
			if c := strings.Compare(a.Keys[i], b.Keys[i]); c != 0 {
				return c
			}
		}
		return len(b.Keys) - len(a.Keys)
	})
	return groups
}

// gather puts cells that share their first depth words together until each has enough people.
// rest is what is left, of too few; nil for nothing.
func gather(cells []*pool, depth int) (told []*pool, rest *pool) {
	if len(cells) == 0 {
		return nil, nil
	}
	if depth == len(cells[0].keys) {
		if cells[0].enough() {
			return cells[:1:1], nil
		}
		return nil, cells[0]
	}
	for len(cells) > 0 {
		n := slices.IndexFunc(cells, func(c *pool) bool { return c.keys[depth] != cells[0].keys[depth] })
		if n < 0 {
			n = len(cells)
		}
		of, left := gather(cells[:n], depth+1)
		cells, told = cells[n:], append(told, of...)
		switch {
		case left == nil:
		case rest == nil:
			rest = left
		default:
			rest = rest.with(left, rest.keys[:depth])
		}
	}
	if rest != nil && rest.enough() {
		return append(told, rest), nil
	}
	return told, rest
}

// shared returns the words with which both begin.
func shared(a, b []string) []string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// pool is a cell, or several that were put together.
type pool struct {
	keys   []string
	counts Counts
	people map[domain.CitizenID]bool // MinPeople of them at most
}

func (p *pool) join(person domain.CitizenID) {
	if !p.enough() {
		p.people[person] = true
	}
}

func (p *pool) enough() bool { return len(p.people) >= MinPeople }

// with returns both put together, under words that both share.
func (p *pool) with(o *pool, keys []string) *pool {
	both := &pool{keys: keys, counts: p.counts.plus(o.counts), people: maps.Clone(p.people)}
	for person := range o.people {
		both.join(person)
	}
	return both
}
