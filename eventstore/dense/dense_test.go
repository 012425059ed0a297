package dense_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/dense"
)

// medium is a log of which some records are damaged and some pages hold few records.
type medium struct {
	head    int64
	damaged map[int64]bool
	few     map[int64]int // how many records fit the page that begins there

	mu    sync.Mutex
	asked []int
	open  int // calls under way
}

var errAway = errors.New("test: away")

func (m *medium) page(ctx context.Context, first int64, n int) (page []eventstore.Record, cut bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	m.mu.Lock()
	m.asked = append(m.asked, n)
	m.open++
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.open--
	}()
	for at := first; at <= m.head && len(page) < n; at++ {
		if fits, is := m.few[first]; is && len(page) == fits {
			return page, true, nil
		}
		if m.damaged[at] {
			return page, false, fmt.Errorf("read: %w", &eventstore.Corrupt{Revision: -1, Position: dense.Position(at)})
		}
		page = append(page, eventstore.Record{Stream: "consent-1", Revision: eventstore.Revision(at - 1), Position: dense.Position(at)})
	}
	return page, false, nil
}

// What is read ahead is what is read page by page: all of it in its order, up to the damage.
func TestAheadYieldsWhatRecordsDoes(t *testing.T) {
	logs := map[string]*medium{
		"whole":                {head: 37},
		"empty":                {},
		"pages that are cut":   {head: 37, few: map[int64]int{1: 1, 5: 2, 7: 1, 33: 3}},
		"damaged":              {head: 37, damaged: map[int64]bool{22: true}},
		"damaged behind a cut": {head: 37, few: map[int64]int{9: 2}, damaged: map[int64]bool{12: true}},
		"damaged at its end":   {head: 37, damaged: map[int64]bool{37: true}},
	}
	read := func(all iter.Seq2[eventstore.Record, error]) (said []string) {
		for r, err := range all {
			said = append(said, fmt.Sprint(r.Position.Commit, err))
		}
		return said
	}
	for name, m := range logs {
		for _, limit := range []int64{0, 1, 4, 10, 36, 37, 1000} {
			for _, pages := range []int{0, 1, 2, 5, 20} {
				p := dense.Page(m.page)
				want := read(p.Records(t.Context(), 3, limit, 4))
				if got := read(p.Ahead(t.Context(), 3, limit, 4, pages)); !slices.Equal(got, want) {
					t.Errorf("%s, limit %d, %d pages at once: %v, want %v", name, limit, pages, got, want)
				}
				if m.open != 0 {
					t.Fatalf("%s: %d pages are still being read", name, m.open)
				}
			}
		}
	}
}

func TestAheadEndsWithItsReaderAndItsContext(t *testing.T) {
	m := &medium{head: 1000}
	n := 0
	for range dense.Page(m.page).Ahead(t.Context(), 1, 1000, 4, 8) {
		if n++; n == 6 {
			break
		}
	}
	if m.open != 0 || len(m.asked) > 9 {
		t.Errorf("%d pages are still being read, %d were", m.open, len(m.asked))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	n = 0
	for _, err := range dense.Page(m.page).Ahead(ctx, 1, 1000, 4, 8) {
		n, last = n+1, err
		cancel()
	}
	if n != 2 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d records after the context ended, then %v", n-1, last)
	}
}

func TestRecords(t *testing.T) {
	m := &medium{head: 20, few: map[int64]int{5: 2}}
	for _, test := range []struct {
		first, limit, want int64
		asked              []int
	}{
		{first: 1, limit: 100, want: 20, asked: []int{4, 4, 3, 4, 4, 4}}, // after a page that was cut, one more than fitted
		{first: 1, limit: 6, want: 6, asked: []int{4, 2}},
		{first: 19, limit: 100, want: 2, asked: []int{4}},
		{first: 21, limit: 100, want: 0, asked: []int{4}},
		{first: 1, limit: 0, want: 0},
	} {
		m.asked = nil
		n := int64(0)
		for r, err := range dense.Page(m.page).Records(t.Context(), test.first, test.limit, 4) {
			if err != nil || r.Position != dense.Position(test.first+n) {
				t.Fatalf("from %d: %v, %v after %d records", test.first, r.Position, err, n)
			}
			n++
		}
		if n != test.want || !slices.Equal(m.asked, test.asked) {
			t.Errorf("from %d: %d records by pages of %v, want %d by %v", test.first, n, m.asked, test.want, test.asked)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	n := 0
	var last error
	for _, err := range dense.Page(m.page).Records(ctx, 1, 100, 4) {
		if last = err; err == nil {
			n++
			stop()
		}
	}
	if n != 1 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d records after the caller went, %v", n, last)
	}
}

func TestVerifyNamesWhatIsDamaged(t *testing.T) {
	m := &medium{head: 20, damaged: map[int64]bool{3: true, 4: true, 9: true, 20: true}, few: map[int64]int{5: 1}}
	last := int64(0)
	damaged, err := dense.Page(m.page).Verify(t.Context(), eventstore.Position{}, 20, 4, func(done, total int64) {
		if done < last || done > total || total != 20 {
			t.Errorf("%d of %d after %d", done, total, last)
		}
		last = done
	})
	var at []uint64
	for _, c := range damaged {
		at = append(at, c.Position.Commit)
	}
	if err != nil || !slices.Equal(at, []uint64{3, 4, 9, 20}) || last != 20 {
		t.Errorf("damaged %v after %d, %v", at, last, err)
	}
	if damaged, err := dense.Page(m.page).Verify(t.Context(), dense.Position(9), 19, 4, nil); err != nil || len(damaged) > 0 {
		t.Errorf("behind the damage: %v, %v", damaged, err)
	}
	// Records that were acknowledged and are not there.
	m = &medium{head: 6}
	if damaged, err := dense.Page(m.page).Verify(t.Context(), eventstore.Position{}, 8, 4, nil); err != nil || len(damaged) != 1 || damaged[0].Position != dense.Position(7) {
		t.Errorf("a short log: %v, %v", damaged, err)
	}
	away := dense.Page(func(context.Context, int64, int) ([]eventstore.Record, bool, error) { return nil, false, errAway })
	if _, err := away.Verify(t.Context(), eventstore.Position{}, 8, 4, nil); !errors.Is(err, errAway) {
		t.Error(err)
	}
	everything := dense.Page(func(_ context.Context, first int64, _ int) ([]eventstore.Record, bool, error) {
		return nil, false, &eventstore.Corrupt{Revision: -1, Position: dense.Position(first)}
	})
	if damaged, err := everything.Verify(t.Context(), eventstore.Position{}, 1<<20, 4, nil); err == nil || len(damaged) > 1001 {
		t.Errorf("a lost log: %d damaged, %v", len(damaged), err)
	}
}

func TestVerifyFindsAGapInAStream(t *testing.T) {
	gap := dense.Page(func(_ context.Context, first int64, n int) (page []eventstore.Record, cut bool, err error) {
		for at := first; at <= 6 && len(page) < n; at++ {
			if at == 2 { // its absence from the stream excuses no later one
				return page, false, &eventstore.Corrupt{Revision: -1, Position: dense.Position(at)}
			}
			revision := eventstore.Revision(at - 1)
			if at > 3 {
				revision++
			}
			page = append(page, eventstore.Record{Stream: "consent-1", Revision: revision, Position: dense.Position(at)})
		}
		return page, false, nil
	})
	damaged, err := gap.Verify(t.Context(), eventstore.Position{}, 6, 2, nil)
	if err != nil || len(damaged) != 2 || damaged[0].Position != dense.Position(2) || damaged[1].Revision != 3 || damaged[1].Position != dense.Position(4) {
		t.Errorf("%v, %v", damaged, err)
	}
}

func TestScrubEndsWithItsContext(t *testing.T) {
	m := &medium{head: 1000, damaged: map[int64]bool{3: true}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	err := dense.Page(m.page).Scrub(ctx, 1000, 4, 1, func(*eventstore.Corrupt) { stop() })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	found := 0
	if err := dense.Page(m.page).Scrub(t.Context(), 40, 4, 1<<20, func(*eventstore.Corrupt) { found++ }); err != nil || found != 1 {
		t.Errorf("%d damaged, %v", found, err)
	}
}

func TestNext(t *testing.T) {
	for p, want := range map[eventstore.Position]int64{
		{}:                        1,
		dense.Position(1):         2,
		{Commit: 5, Prepare: 4}:   5, // before record 5
		{Commit: 5, Prepare: 6}:   6,
		{Commit: 1 << 63}:         1<<63 - 1,
		dense.Position(1<<63 - 1): 1<<63 - 1,
	} {
		if got := dense.Next(p); got != want {
			t.Errorf("after %v comes %d, want %d", p, got, want)
		}
	}
}
