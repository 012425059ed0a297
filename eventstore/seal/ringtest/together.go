package ringtest

import (
	"testing"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
)

// ofOneCitizen: the keys of a citizen's streams come by one query, and what is found otherwise,
// destroyed ones, another citizen's and those of a replaced data key, is as if each had come alone.
func ofOneCitizen(t *testing.T, e *env) {
	ctx := t.Context()
	c, bystander := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	const n = 12 // more than the shorter statement has room for
	var streams []eventstore.Stream
	var places []eventstore.Place
	var parts [][]byte
	keep := func(of domain.CitizenID) {
		p := place(stream(t))
		streams, places, parts = append(streams, p.Stream), append(places, p), append(parts, sealed(t, e.ring, of, p, "secret"))
	}
	for range n {
		keep(c)
	}
	gone := place(stream(t))
	ofGone := sealed(t, e.ring, c, gone, "gone")
	check(t, e.ring.DestroyStreamKeys(ctx, gone.Stream))
	streams = append(streams, gone.Stream)

	reads := func(r *Ring, want int64) {
		t.Helper()
		before := r.KeyReads()
		check(t, r.PrefetchStreamsOf(ctx, c, streams))
		if reads := r.KeyReads() - before; reads != want {
			t.Errorf("the keys of %d streams took %d queries, want %d", len(streams), reads, want)
		}
	}
	all := func(r *Ring) {
		t.Helper()
		for i, p := range places {
			opens(t, r, p, parts[i], "secret")
		}
		refuses(t, r, gone, ofGone, eventstore.ErrErased)
	}
	prefetch := func(r *Ring, want int64) {
		t.Helper()
		reads(r, want)
		before := r.KeyReads()
		all(r)
		if reads := r.KeyReads() - before; reads != 0 {
			t.Errorf("%d queries once the keys are in memory", reads)
		}
	}
	behind := e.process(t, seal.Config{})
	check(t, behind.Prefetch(ctx, []domain.CitizenID{c})) // it has the data key
	alone := e.process(t, seal.Config{})
	prefetch(alone, 1)
	prefetch(alone, 0)

	keep(bystander)
	prefetch(e.process(t, seal.Config{}), 2)
	check(t, e.process(t, seal.Config{}).PrefetchStreamsOf(ctx, c, []eventstore.Stream{stream(t)})) // nobody's
	check(t, alone.PrefetchStreamsOf(ctx, c, nil))

	check(t, e.ring.ReplaceDataKey(ctx, c))
	reads(behind, 2) // the rows are under the next data key
	all(behind)

	away := e.process(t, seal.Config{})
	e.kek.Before(func(string) error { return errAway })
	wants(t, away.PrefetchStreamsOf(ctx, c, streams), eventstore.ErrKeysUnavailable)
}
