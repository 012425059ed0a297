package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/proof"
	"coffre/eventstore/queue"
)

const (
	maxHeads    = 32 << 10 // streams whose head is remembered
	maxKnownIDs = 1 << 18  // ids remembered for streams appended to without a revision
)

// head is what the sequencer remembers of a stream. All of it is committed, so what
// it says is in the stream is there; there may be more, from other processes.
type head struct {
	revision eventstore.Revision
	last     uuid.UUID                         // id of the last record; nil where nobody asked for it
	ids      map[uuid.UUID]eventstore.Revision // nil until somebody appends without a revision
	known    eventstore.Revision               // ids has all up to this revision
}

// knows tells whether ids are remembered up to the head.
func (h *head) knows() bool { return h.ids != nil && h.known == h.revision }

// remember returns the head of a stream, none so far where nothing is remembered.
func (q *sequencer) remember(name eventstore.Stream) *head {
	h, ok := q.heads.Get(name)
	if !ok {
		h = &head{revision: -1, known: -1}
		q.heads.Add(name, h)
	}
	return h
}

// lookUp asks the database for what batch needs and memory does not know: heads that
// are not remembered, or do not fit what a member expects, and the ids of streams
// that members append to without a revision. With all, it asks for every stream.
func (q *sequencer) lookUp(ctx context.Context, batch []*queue.Request, all bool) error {
	for q.ids > maxKnownIDs && q.heads.Len() > 1 {
		q.heads.RemoveOldest() // before anything relies on what is remembered
	}
	heads, ids := q.unsure(batch, all)
	if len(heads) > 0 {
		if err := q.readHeads(ctx, heads); err != nil {
			return err
		}
	}
	if len(ids) > 0 { // after the heads, so that no record up to a head is unknown
		return q.readIDs(ctx, ids)
	}
	return nil
}

// unsure returns the streams whose heads, and those whose ids, must be looked up.
func (q *sequencer) unsure(batch []*queue.Request, all bool) (heads, ids []eventstore.Stream) {
	at := make(map[eventstore.Stream]eventstore.Revision, len(batch)) // as the members before leave it
	asked, askedIDs := make(map[eventstore.Stream]bool), make(map[eventstore.Stream]bool)
	for _, r := range batch {
		b := &r.Batch
		h, remembered := q.heads.Get(b.Stream)
		now, touched := at[b.Stream]
		if !touched {
			if now = -1; remembered {
				now = h.revision
			}
		}
		sure := !all
		if b.Expected == eventstore.Any || b.Expected == eventstore.StreamExists {
			fresh := remembered && h.knows() && !all
			if !fresh && !askedIDs[b.Stream] {
				ids = append(ids, b.Stream)
				asked[b.Stream], askedIDs[b.Stream] = true, true // the last id is at the head
			}
			if fresh {
				known := func(r eventstore.Record) bool { _, ok := h.ids[r.ID]; return ok }
				sure = !slices.ContainsFunc(b.Records, known) && (now >= 0 || b.Expected == eventstore.Any)
			}
			now += eventstore.Revision(len(b.Records))
		} else {
			// No record at all is believed until the index objects.
			sure = sure && eventstore.Revision(b.Expected) == now && (remembered || touched || b.Expected == eventstore.NoStream)
			if b.Follows != uuid.Nil && remembered && h.last == uuid.Nil {
				sure = false
			}
			now = max(now, r.First+eventstore.Revision(len(b.Records))-1)
		}
		at[b.Stream] = now
		if !sure && !asked[b.Stream] {
			heads = append(heads, b.Stream)
			asked[b.Stream] = true
		}
	}
	return heads, ids
}

// readHeads asks for the last revisions of streams, and the ids there.
func (q *sequencer) readHeads(ctx context.Context, names []eventstore.Stream) error {
	rows, err := q.conn.Query(ctx, "heads", raw(names))
	if err != nil {
		return err
	}
	var n int64
	var revision *int64
	var id *[16]byte
	_, err = pgx.ForEachRow(rows, []any{&n, &revision, &id}, func() error {
		h := q.remember(names[n-1])
		if revision != nil && eventstore.Revision(*revision) >= h.revision {
			h.revision, h.last = eventstore.Revision(*revision), *id
		}
		return nil
	})
	return err
}

// readIDs asks for the ids of streams that came after those that are known.
func (q *sequencer) readIDs(ctx context.Context, names []eventstore.Stream) error {
	after := make([]int64, len(names))
	for i, name := range names {
		h := q.remember(name)
		if h.ids == nil {
			h.ids, h.known = map[uuid.UUID]eventstore.Revision{}, -1
		}
		after[i] = int64(h.known)
	}
	rows, err := q.conn.Query(ctx, "ids", raw(names), after)
	if err != nil {
		return err
	}
	var n, revision int64
	var id [16]byte
	_, err = pgx.ForEachRow(rows, []any{&n, &revision, &id}, func() error {
		q.learn(q.remember(names[n-1]), id, eventstore.Revision(revision))
		return nil
	})
	return err
}

// learn adds the id of the record that follows what is known.
func (q *sequencer) learn(h *head, id uuid.UUID, at eventstore.Revision) {
	h.ids[id] = at
	h.known = at
	if at >= h.revision {
		h.revision, h.last = at, id
	}
	q.ids++
}

func raw(names []eventstore.Stream) [][]byte {
	all := make([][]byte, len(names))
	for i, name := range names {
		all[i] = []byte(name)
	}
	return all
}

// plan is what a batch will do once it is committed.
type plan struct {
	answers []queue.Answer
	at      []int // the row of each answer's last record in this transaction; -1: not in it
	streams map[eventstore.Stream]*planned
	refused bool // nothing of it is done
}

// unite refuses all members when one of them is refused.
func (p *plan) unite() {
	i := slices.IndexFunc(p.answers, func(a queue.Answer) bool { return a.Err != nil })
	if p.refused = i >= 0; p.refused {
		refusal := queue.Answer{Err: p.answers[i].Err}
		for i := range p.answers {
			p.answers[i] = refusal
		}
	}
}

// planned is a stream with the records that the plan adds to it.
type planned struct {
	head  *head
	added []addition
}

type addition struct {
	id  uuid.UUID
	row int
}

func (p *planned) revision() eventstore.Revision {
	return p.head.revision + eventstore.Revision(len(p.added))
}

// last returns the id of the last record, as far as it is known.
func (p *planned) last() uuid.UUID {
	if n := len(p.added); n > 0 {
		return p.added[n-1].id
	}
	return p.head.last
}

// find tells where an id is: in the stream, or among what is added to it.
func (p *planned) find(id uuid.UUID) (eventstore.Revision, bool) {
	if at, ok := p.head.ids[id]; ok {
		return at, true
	}
	for i, a := range p.added {
		if a.id == id {
			return p.head.revision + 1 + eventstore.Revision(i), true
		}
	}
	return 0, false
}

// plan judges each member of batch, those before it included, and fills q.rows.
func (q *sequencer) plan(ctx context.Context, batch []*queue.Request) (*plan, error) {
	q.rows.reset()
	p := &plan{
		answers: make([]queue.Answer, len(batch)),
		at:      make([]int, len(batch)),
		streams: make(map[eventstore.Stream]*planned, len(batch)),
	}
	for i, r := range batch {
		s := p.streams[r.Batch.Stream]
		if s == nil {
			s = &planned{head: q.remember(r.Batch.Stream)}
			p.streams[r.Batch.Stream] = s
		}
		var err error
		if p.answers[i], p.at[i], err = q.judge(ctx, r, s); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// judge checks r against what it expects and adds its records to the rows. An error
// ends the transaction; that the expectation is wrong is an answer.
func (q *sequencer) judge(ctx context.Context, r *queue.Request, s *planned) (_ queue.Answer, row int, _ error) {
	b := &r.Batch
	now := s.revision()
	wrong := queue.Answer{Err: &eventstore.WrongRevision{Stream: b.Stream, Expected: b.Expected, Actual: now}}
	switch {
	case b.Expected == eventstore.StreamExists && now < 0:
		return wrong, -1, nil
	case b.Expected == eventstore.Any, b.Expected == eventstore.StreamExists:
		known := func(r eventstore.Record) bool { _, ok := s.find(r.ID); return ok }
		if slices.ContainsFunc(b.Records, known) {
			if first, ok := s.find(b.Records[0].ID); ok {
				return q.repeated(ctx, b, s, first, wrong)
			}
			return wrong, -1, nil
		}
	case eventstore.Revision(b.Expected) != now:
		return q.repeated(ctx, b, s, r.First, wrong)
	case b.Follows != uuid.Nil && b.Follows != s.last():
		return wrong, -1, nil
	}
	first := now + 1
	for i := range b.Records {
		record := &b.Records[i]
		record.Revision = first + eventstore.Revision(i)
		var sum proof.Hash
		if r.Sums != nil { // the expectation was right, so first is what the caller computed with
			sum = r.Sums[i]
		} else {
			sum = proof.LeafHash(record)
		}
		s.added = append(s.added, addition{record.ID, q.rows.len()})
		q.rows.add(record, sum)
	}
	done := eventstore.Appended{First: first, Last: s.revision()}
	return queue.Answer{Appended: done}, q.rows.len() - 1, nil
}

// repeated answers with the places of b if the stream has exactly its ids from first
// on, what this plan adds included, otherwise with wrong.
func (q *sequencer) repeated(ctx context.Context, b *eventstore.Batch, s *planned, first eventstore.Revision, wrong queue.Answer) (queue.Answer, int, error) {
	last := first + eventstore.Revision(len(b.Records)) - 1
	if first < 0 || last > s.revision() {
		return wrong, -1, nil
	}
	done := eventstore.Appended{First: first, Last: last, Repeated: true}
	n := 0 // records of b that were found
	if first <= s.head.revision {
		rows, err := q.conn.Query(ctx, "range", []byte(b.Stream), int64(first), int64(min(last, s.head.revision)))
		if err != nil {
			return wrong, -1, fmt.Errorf("look for ids: %w", err)
		}
		var id [16]byte
		var at int64
		_, err = pgx.ForEachRow(rows, []any{&id, &at}, func() error {
			if n < len(b.Records) && b.Records[n].ID == id {
				n++
			}
			return nil
		})
		if err != nil {
			return wrong, -1, fmt.Errorf("look for ids: %w", err)
		}
		if eventstore.Revision(n) != min(last, s.head.revision)-first+1 {
			return wrong, -1, nil
		}
		done.Position = dense.Position(at)
	}
	row := -1
	for ; n < len(b.Records); n++ {
		a := s.added[first+eventstore.Revision(n)-s.head.revision-1]
		if a.id != b.Records[n].ID {
			return wrong, -1, nil
		}
		row = a.row
	}
	return queue.Answer{Appended: done}, row, nil
}

// keep remembers what was committed, and tells the answers their positions: the last
// row of the transaction is at last.
func (q *sequencer) keep(p *plan, last int64) {
	first := last - int64(q.rows.len()) + 1
	for i, row := range p.at {
		if row >= 0 {
			p.answers[i].Appended.Position = dense.Position(first + int64(row))
		}
	}
	for _, s := range p.streams {
		h := s.head
		follow := h.knows()
		for _, a := range s.added {
			h.revision++
			h.last = a.id
			if follow {
				q.learn(h, a.id, h.revision)
			}
		}
	}
}

// columnar holds rows to insert by column, as unnest takes them.
type columnar struct {
	streams, types, sums, metas, clears, seals [][]byte
	revisions, times                           []int64
	ids                                        [][16]byte
}

func (c *columnar) len() int { return len(c.revisions) }

func (c *columnar) reset() {
	for _, column := range []*[][]byte{&c.streams, &c.types, &c.sums, &c.metas, &c.clears, &c.seals} {
		clear(*column) // a batch must not be kept alive by the next one
		*column = (*column)[:0]
	}
	c.revisions, c.times, c.ids = c.revisions[:0], c.times[:0], c.ids[:0]
}

func (c *columnar) add(r *eventstore.Record, sum proof.Hash) {
	c.streams = append(c.streams, []byte(r.Stream))
	c.revisions = append(c.revisions, int64(r.Revision))
	c.types = append(c.types, []byte(r.Type))
	c.times = append(c.times, r.Time.UnixMicro())
	c.ids = append(c.ids, r.ID)
	c.sums = append(c.sums, sum[:])
	c.metas = append(c.metas, some(r.Meta))
	c.clears = append(c.clears, some(r.Clear))
	c.seals = append(c.seals, some(r.Sealed))
}

// some makes nothing NULL, so that it reads as nil.
func some(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func (c *columnar) args(known int64) []any {
	return []any{c.streams, c.revisions, c.types, c.times, c.ids, c.sums, c.metas, c.clears, c.seals, known}
}
