// Package figures counts what happens in a vault without telling of anybody: it tells groups of
// at least MinPeople people and nothing smaller, also not as the difference of what it tells.
//
// What is counted falls into cells by its words, in an order from coarse to fine. Cells with too
// few people are put together with others, first with those that share the most words, until
// each group has enough. The groups have nothing in common and together are everything, and every
// total is a sum of whole groups: so whatever is added to or taken from each other, what comes out
// are whole groups again.
//
// A table is told coarsely, by its first words, or more finely: then each group is divided by the
// words that follow, and the parts of a group are together that group. Who adds and takes away what
// is told of both still gets whole parts.
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

// Part is a part of a group that may be told. Further are the words that follow those of the group,
// "" for each over which the part was put together.
type Part struct {
	Group
	Further []string
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

// Parts returns what may be told: the groups of a table of the first words alone, in the order of
// their words, those that were put together last, each divided by the words that follow. It returns
// none when there are too few people in all. No word that follows may be "".
func (t *Table) Parts(words int) (parts []Part) {
	coarse := make(map[string]*pool)
	for _, c := range slices.SortedFunc(maps.Values(t.cells), byKeys) {
		name := strings.Join(c.keys[:words], keyEnd)
		if coarse[name] == nil {
			coarse[name] = &pool{keys: c.keys[:words:words], people: make(map[domain.CitizenID]bool)}
		}
		coarse[name] = coarse[name].with(&pool{keys: c.keys, counts: c.counts, people: c.people, cells: []*pool{c}}, c.keys[:words:words])
	}
	for _, g := range groupsOf(slices.SortedFunc(maps.Values(coarse), byKeys)) {
		parts = append(parts, g.divide(words, nil)...)
	}
	return parts
}

func byKeys(a, b *pool) int { return slices.Compare(a.keys, b.keys) }

// divide returns the parts of a group by the words of its cells from depth on, after those by which
// it is a part already.
func (p *pool) divide(depth int, further []string) []Part {
	if len(p.cells) == 0 || depth == len(p.cells[0].keys) {
		return []Part{{Group{p.keys, p.counts}, further}}
	}
	by := make(map[string]*pool)
	for _, c := range p.cells {
		word := c.keys[depth]
		if by[word] == nil {
			by[word] = &pool{keys: p.keys, people: make(map[domain.CitizenID]bool)}
		}
		by[word] = by[word].with(&pool{counts: c.counts, people: c.people, cells: []*pool{c}}, p.keys)
	}
	var rest *pool
	for _, word := range slices.Sorted(maps.Keys(by)) {
		if by[word].enough() {
			continue
		}
		if rest == nil {
			rest = &pool{keys: p.keys, people: make(map[domain.CitizenID]bool)}
		}
		rest = rest.with(by[word], p.keys)
		delete(by, word)
	}
	if rest != nil && !rest.enough() && len(by) > 0 { // the smallest part takes them in
		least := ""
		for _, word := range slices.Sorted(maps.Keys(by)) {
			if least == "" || by[word].counts[0] < by[least].counts[0] {
				least = word
			}
		}
		rest = rest.with(by[least], p.keys)
		delete(by, least)
	}
	var parts []Part
	for _, word := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, by[word].divide(depth+1, append(further[:len(further):len(further)], word))...)
	}
	if rest != nil {
		parts = append(parts, rest.divide(depth+1, append(further[:len(further):len(further)], ""))...)
	}
	return parts
}

// groupsOf returns the groups that may be told of cells in the order of their words.
func groupsOf(cells []*pool) []*pool {
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
	slices.SortStableFunc(told, func(a, b *pool) int {
		for i := range min(len(a.keys), len(b.keys)) {
			if c := strings.Compare(a.keys[i], b.keys[i]); c != 0 {
				return c
			}
		}
		return len(b.keys) - len(a.keys)
	})
	return told
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
	cells  []*pool                   // of a finer table, of which it was put together
}

func (p *pool) join(person domain.CitizenID) {
	if !p.enough() {
		p.people[person] = true
	}
}

func (p *pool) enough() bool { return len(p.people) >= MinPeople }

// with returns both put together, under words that both share.
func (p *pool) with(o *pool, keys []string) *pool {
	both := &pool{keys: keys, counts: p.counts.plus(o.counts), people: maps.Clone(p.people), cells: slices.Concat(p.cells, o.cells)}
	for person := range o.people {
		both.join(person)
	}
	return both
}
