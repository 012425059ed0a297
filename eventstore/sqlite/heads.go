package sqlite

import (
	"errors"
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
		h.id, h.revision = q.selectHead.ColumnInt64(0), eventstore.Revision(q.selectHead.ColumnInt64(1))
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
	if err := q.selectIDs.BindInt64(1, h.id); err != nil {
		return err
	}
	for q.selectIDs.Step() {
		id, err := uuid.FromBytes(q.selectIDs.ColumnRawBlob(0))
		if err != nil {
			break // a damaged id is nobody's; reading the stream will tell
		}
		ids[id] = eventstore.Revision(len(ids))
	}
	if err := ended(q.selectIDs); err != nil {
		return err
	}
	h.ids = ids
	q.ids += len(ids)
	return nil
}

// repeated answers with the places of b if the stream has exactly its ids from first
// on, otherwise with wrong.
func (q *sequencer) repeated(h *head, b *eventstore.Batch, first eventstore.Revision, wrong error) (eventstore.Appended, error) {
	last := first + eventstore.Revision(len(b.Records)) - 1
	if first < 0 || last > h.revision {
		return eventstore.Appended{}, wrong
	}
	s := q.selectRange
	if err := errors.Join(s.BindInt64(1, h.id), s.BindInt64(2, int64(first)), s.BindInt64(3, int64(last))); err != nil {
		return eventstore.Appended{}, err
	}
	n, at := 0, int64(0)
	for s.Step() && string(s.ColumnRawBlob(0)) == string(b.Records[n].ID[:]) {
		at = s.ColumnInt64(1)
		n++
	}
	if err := ended(s); err != nil {
		return eventstore.Appended{}, fmt.Errorf("look for ids: %w", err)
	}
	if n < len(b.Records) {
		return eventstore.Appended{}, wrong
	}
	return eventstore.Appended{First: first, Last: last, Position: dense.Position(at), Repeated: true}, nil
}
