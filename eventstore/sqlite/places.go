package sqlite

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
)

// Where the records of a stream lie is kept in the table places for settled records, and in
// memory for those after them. An append so touches the last pages of its tables and no
// others: what it would write into an index, at a random page for each record, is written
// later, in the order of the index. Until then the table recent has it, a row for each
// transaction, from which a start remembers it. It lies apart from the records, so that a
// record that is damaged is missed in its own stream.
//
// Logs of form 1 have an index of events instead, which each append writes; they stay as
// they are, and nothing of them is remembered here.

// moveShare is how many places are written to the table for each record that is appended,
// and defaultMove how many at least in a transaction: a run is through long before the
// next one begins.
const (
	moveShare   = 2
	defaultMove = 64
)

// place is where a record of a stream lies.
type place struct {
	stream   int64
	revision eventstore.Revision
	position int64
}

// tail remembers the places of the records after some position, the one under way of the
// sequencer included. Its methods may be called concurrently, those that change it by one
// goroutine.
type tail struct {
	mu      sync.RWMutex
	after   int64   // positions from after+1 on are remembered
	streams []int64 // of each of them
	runs    map[int64]*streamTail
}

// streamTail is the places of consecutive records of a stream.
type streamTail struct {
	first     eventstore.Revision
	positions []int64
}

// start forgets everything and remembers what comes after a position.
func (t *tail) start(after int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.after, t.streams, t.runs = after, nil, map[int64]*streamTail{}
}

// add remembers the next record.
func (t *tail) add(p place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.runs[p.stream]
	if r == nil {
		r = &streamTail{first: p.revision}
		t.runs[p.stream] = r
	}
	r.positions = append(r.positions, p.position)
	t.streams = append(t.streams, p.stream)
}

// next returns the position of the next record to remember.
func (t *tail) next() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.after + int64(len(t.streams)) + 1
}

// cut forgets what lies after a position: it was not committed.
func (t *tail) cut(last int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.after+int64(len(t.streams)) > last && len(t.streams) > 0 {
		stream := t.streams[len(t.streams)-1]
		t.streams = t.streams[:len(t.streams)-1]
		r := t.runs[stream]
		if r.positions = r.positions[:len(r.positions)-1]; len(r.positions) == 0 {
			delete(t.runs, stream)
		}
	}
}

// drop forgets what lies at a position or before: the table has it.
func (t *tail) drop(until int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(until-t.after, int64(len(t.streams)))
	if n <= 0 {
		return
	}
	for _, stream := range t.streams[:n] {
		r := t.runs[stream]
		r.first++
		if r.positions = r.positions[1:]; len(r.positions) == 0 {
			delete(t.runs, stream)
		}
	}
	t.streams, t.after = slices.Clone(t.streams[n:]), until
}

// upTo returns the places at a position or before, in the order of the table.
func (t *tail) upTo(until int64) (all []place) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for stream, r := range t.runs {
		for i, position := range r.positions {
			if position <= until {
				all = append(all, place{stream, r.first + eventstore.Revision(i), position})
			}
		}
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.revision, b.revision))
	})
	return all
}

// of returns the positions of at most n records of a stream from revision from on that lie
// at a position or before, and the revision of the first one; none and the greatest
// revision when nothing of the stream is remembered.
func (t *tail) of(stream int64, from eventstore.Revision, until int64, n int) (first eventstore.Revision, positions []int64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	r := t.runs[stream]
	if r == nil {
		return math.MaxInt64, nil
	}
	first = max(from, r.first)
	for _, position := range r.positions[min(int64(first-r.first), int64(len(r.positions))):] {
		if position > until || len(positions) == n {
			break
		}
		positions = append(positions, position)
	}
	return first, positions
}

// last returns the last revision of a stream that is remembered; -1 when none is.
func (t *tail) last(stream int64) eventstore.Revision {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if r := t.runs[stream]; r != nil {
		return r.first + eventstore.Revision(len(r.positions)) - 1
	}
	return -1
}

// lookup finds places over one connection.
type lookup struct {
	tail   *tail
	places *sqlite3.Stmt
}

// prepareLookup prepares what a log of a form is asked with.
func prepareLookup(c *sqlite3.Conn, t *tail, form int64) (l lookup, err error) {
	places := "places"
	if form == indexedForm {
		places = "events"
	}
	sql := `SELECT revision, position FROM ` + places + ` WHERE stream = ? AND revision >= ? AND revision < ? AND position <= ? ORDER BY revision LIMIT ?`
	l.tail = t
	if l.places, _, err = c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT); err != nil {
		return l, fmt.Errorf("prepare: %w", err)
	}
	return l, nil
}

// of returns the positions of at most n consecutive records of a stream from revision from
// on, which lie at a position or before. missing tells that the next one should be there
// and is not.
func (l lookup) of(stream int64, from eventstore.Revision, until int64, n int) (positions []int64, missing bool, err error) {
	// Memory is asked first: what it forgets before the table is asked, the table has.
	first, recent := l.tail.of(stream, from, until, n)
	next := from
	if from < first {
		for i, value := range [...]int64{stream, int64(from), int64(first), until, int64(n)} {
			if err := l.places.BindInt64(i+1, value); err != nil {
				return nil, false, err
			}
		}
		for l.places.Step() {
			if eventstore.Revision(l.places.ColumnInt64(0)) != next {
				missing = true
				break
			}
			positions = append(positions, l.places.ColumnInt64(1))
			next++
		}
		if err := ended(l.places); err != nil {
			return nil, false, err
		}
	}
	switch {
	case missing, len(positions) == n:
	case next < first:
		missing = len(recent) > 0
	default:
		positions = append(positions, recent[:min(len(recent), n-len(positions))]...)
	}
	return positions, missing, nil
}

// move writes places of the run under way to the table: so many as that it is through
// before the next one begins. Once it is, the settled position may move.
func (q *sequencer) move(inserted int64) error {
	n := min(len(q.moving)-q.moved, max(q.moveLeast, int(moveShare*inserted)))
	for _, p := range q.moving[q.moved : q.moved+n] {
		err := errors.Join(q.insertPlace.BindInt64(1, p.stream), q.insertPlace.BindInt64(2, int64(p.revision)), q.insertPlace.BindInt64(3, p.position))
		if err == nil {
			err = q.insertPlace.Exec()
		}
		if err != nil {
			return fmt.Errorf("insert place: %w", err)
		}
	}
	q.moved += n
	return nil
}

// appendPlaces appends places of consecutive positions: stream and revision of each, as
// varints.
func appendPlaces(b []byte, places []place) []byte {
	for _, p := range places {
		b = binary.AppendUvarint(b, uint64(p.stream))
		b = binary.AppendUvarint(b, uint64(p.revision))
	}
	return b
}

// cutPlaces reads what appendPlaces wrote for the positions from first on.
func cutPlaces(b []byte, first int64) (places []place, whole bool) {
	for position := first; len(b) > 0; position++ {
		stream, n := binary.Uvarint(b)
		revision, m := binary.Uvarint(b[max(n, 0):])
		if n <= 0 || m <= 0 {
			return nil, false
		}
		places = append(places, place{int64(stream), eventstore.Revision(revision), position})
		b = b[n+m:]
	}
	return places, true
}

// keepPlaces writes the places of a transaction's records where a start finds them.
func (q *sequencer) keepPlaces() error {
	if len(q.fresh) == 0 {
		return nil
	}
	q.encoded = appendPlaces(q.encoded[:0], q.fresh)
	if err := errors.Join(q.insertRecent.BindInt64(1, q.fresh[0].position), q.insertRecent.BindBlob(2, q.encoded), q.insertRecent.Exec()); err != nil {
		return fmt.Errorf("insert recent places: %w", err)
	}
	return nil
}

// readTail remembers the places of the records after the settled position: those that the
// transactions left, and where these end or cannot be read those that the records name.
func (q *sequencer) readTail() error {
	if q.store.tail.start(q.settled); q.form == indexedForm {
		return nil
	}
	if err := q.readRecent(); err == nil || !damage(err) && !errors.Is(err, eventstore.ErrIntegrity) {
		return err
	}
	return q.eachRow(`SELECT position, stream, revision FROM events WHERE position > ? ORDER BY position`, func(s *sqlite3.Stmt) error {
		if s.ColumnInt64(0) < q.store.tail.next() {
			return nil // the transactions said so much
		}
		for next := q.store.tail.next(); next < s.ColumnInt64(0); next++ {
			q.store.tail.add(place{position: next}) // missing: of no stream
		}
		q.store.tail.add(place{s.ColumnInt64(1), eventstore.Revision(s.ColumnInt64(2)), s.ColumnInt64(0)})
		return nil
	})
}

// rememberStrays asks findStrays until it answers, and then no more.
func rememberStrays(settled, head int64) func(*reader) (map[int64]bool, error) {
	var mu sync.Mutex
	var strays map[int64]bool
	return func(r *reader) (_ map[int64]bool, err error) {
		mu.Lock()
		defer mu.Unlock()
		if strays == nil {
			strays, err = r.findStrays(settled, head)
		}
		return strays, err
	}
}

// findStrays returns the streams that a record after the settled position names, though it is
// not where the stream's records are said to lie. Either may be what is damaged.
func (r *reader) findStrays(settled, head int64) (map[int64]bool, error) {
	strays := map[int64]bool{}
	s, _, err := r.conn.Prepare(`SELECT position, stream, revision FROM events WHERE position > ? AND position <= ?`)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := errors.Join(s.BindInt64(1, settled), s.BindInt64(2, head)); err != nil {
		return nil, err
	}
	for s.Step() {
		position, stream, revision := s.ColumnInt64(0), s.ColumnInt64(1), eventstore.Revision(s.ColumnInt64(2))
		positions, _, err := r.lookup.of(stream, revision, head, 1)
		if err != nil && !damage(err) {
			return nil, err
		}
		if len(positions) == 0 || positions[0] != position {
			strays[stream] = true
		}
	}
	if err := s.Err(); err != nil && !damage(err) { // what cannot be read names no stream
		return nil, err
	}
	return strays, nil
}

func (q *sequencer) readRecent() error {
	err := q.eachRow(`SELECT position, places FROM recent WHERE position >= (SELECT coalesce(max(position), 0) FROM recent WHERE position <= ? + 1)
		ORDER BY position`, func(s *sqlite3.Stmt) error {
		places, whole := cutPlaces(s.ColumnRawBlob(1), s.ColumnInt64(0))
		for _, p := range places {
			switch next := q.store.tail.next(); {
			case p.position == next:
				q.store.tail.add(p)
			case p.position > next:
				whole = false
			}
		}
		if !whole {
			return eventstore.ErrIntegrity
		}
		return nil
	})
	if err == nil && q.store.tail.next() <= q.last {
		return eventstore.ErrIntegrity
	}
	q.store.tail.cut(q.last) // records that are gone from the end leave no trace but this
	return err
}

// eachRow visits the rows of a query whose argument is the settled position.
func (q *sequencer) eachRow(query string, visit func(*sqlite3.Stmt) error) error {
	s, _, err := q.conn.Prepare(query)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.BindInt64(1, q.settled); err != nil {
		return err
	}
	for s.Step() {
		if err := visit(s); err != nil {
			return err
		}
	}
	return s.Err()
}
