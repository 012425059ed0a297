package sqlite

import (
	"fmt"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/dense"
)

const (
	maxHeads    = 32 << 10 // streams whose head is remembered
	maxKnownIDs = 1 << 18  // ids remembered for streams appended to without a revision
)

// head is what the sequencer remembers of a stream.
type head struct {
	id       int64 // 0 as long as the stream has no row
	revision eventstore.Revision
	last     uuid.UUID                         // id of the last record; nil until it was asked for
	ids      map[uuid.UUID]eventstore.Revision // nil until somebody appends without a revision
}

// head returns what is known of a stream, reading it when nothing is.
func (q *sequencer) head(name eventstore.Stream) (*head, error) {
	if h, ok := q.heads.Get(name); ok {
		return h, nil
	}
	h := &head{revision: -1}
	if err := bindStream(q.selectHead, name, q.words); err != nil {
		return nil, err
	}
	if q.selectHead.Step() {
		h.id = q.selectHead.ColumnInt64(0)
		h.revision = max(eventstore.Revision(q.selectHead.ColumnInt64(1)), q.store.tail.last(h.id))
	}
	if err := ended(q.selectHead); err != nil {
		return nil, err
	}
	q.heads.Add(name, h)
	return h, nil
}

// knowIDs reads the ids of the stream, so that records without a revision are told
// from repeated ones. A stream written to like that stays known.
func (q *sequencer) knowIDs(h *head) error {
	for q.ids > maxKnownIDs && q.heads.Len() > 1 {
		q.heads.RemoveOldest() // never h: it was used last
	}
	if h.ids != nil {
		return nil
	}
	ids := make(map[uuid.UUID]eventstore.Revision, h.revision+1)
	err := q.eachID(h.id, 0, h.revision, func(_ int64, id []byte) bool {
		known, err := uuid.FromBytes(id)
		if err != nil {
			return false // a damaged id is nobody's; reading the stream will tell
		}
		ids[known] = eventstore.Revision(len(ids))
		return true
	})
	if err != nil {
		return err
	}
	h.ids = ids
	q.ids += len(ids)
	return nil
}

// follows tells whether the stream's last record has this id.
func (q *sequencer) follows(h *head, id uuid.UUID) (bool, error) {
	if h.last == uuid.Nil {
		err := q.eachID(h.id, h.revision, h.revision, func(_ int64, last []byte) bool {
			copy(h.last[:], last) // a damaged id is nobody's
			return false
		})
		if err != nil {
			return false, fmt.Errorf("look for the last id: %w", err)
		}
	}
	return h.last == id, nil
}

// eachID yields positions and ids of the records of a stream from revision first to last, as
// far as there are any, until yield says that it is enough.
func (q *sequencer) eachID(stream int64, first, last eventstore.Revision, yield func(position int64, id []byte) bool) error {
	for first <= last {
		positions, _, err := q.lookup.of(stream, first, q.last, int(min(last-first+1, pageRecords)))
		if err != nil || len(positions) == 0 {
			return err
		}
		for _, position := range positions {
			if err := q.selectID.BindInt64(1, position); err != nil {
				return err
			}
			more := q.selectID.Step() && yield(position, q.selectID.ColumnRawBlob(0))
			if err := ended(q.selectID); err != nil || !more {
				return err
			}
			first++
		}
	}
	return nil
}

// repeated answers with the places of b if the stream has exactly its ids from first
// on, otherwise with wrong.
func (q *sequencer) repeated(h *head, b *eventstore.Batch, first eventstore.Revision, wrong error) (eventstore.Appended, error) {
	last := first + eventstore.Revision(len(b.Records)) - 1
	if first < 0 || last > h.revision {
		return eventstore.Appended{}, wrong
	}
	n, at := 0, int64(0)
	err := q.eachID(h.id, first, last, func(position int64, id []byte) bool {
		if string(id) != string(b.Records[n].ID[:]) {
			return false
		}
		at = position
		n++
		return true
	})
	if err != nil {
		return eventstore.Appended{}, fmt.Errorf("look for ids: %w", err)
	}
	if n < len(b.Records) {
		return eventstore.Appended{}, wrong
	}
	return eventstore.Appended{First: first, Last: last, Position: dense.Position(at), Repeated: true}, nil
}
