package sqlite

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/proof"
	"coffre/eventstore/queue"
	"coffre/eventstore/sqlite/sqlitedb"
)

const (
	defaultCheckpoint = 512      // pages in the write-ahead log (16 MiB) that are worth moving
	restartFactor     = 8        // from so many times as many on, readers are waited for
	defaultSettle     = 16 << 10 // a start verifies at most twice as many events …
	settleBytes       = 64 << 20 // … or twice as many bytes
)

// sequencer is the only writer. Its run goroutine owns everything below queue.
type sequencer struct {
	store *Store
	queue *queue.Queue
	ended chan struct{} // closed when run has returned

	conn                                                 *sqlite3.Conn
	begin, commit, insertStream, insertWord, insertEvent *sqlite3.Stmt
	insertRecent, insertPlace, dropRecent                *sqlite3.Stmt
	selectHead, selectID, setSettled                     *sqlite3.Stmt
	lookup                                               lookup
	form                                                 int64

	last       int64 // position of the last record inserted
	lastStream int64 // number of the last stream inserted
	words      *words

	heads *simplelru.LRU[eventstore.Stream, *head]
	ids   int // remembered in all heads together

	settled      int64 // what a start may skip
	settling     int64 // what it may skip once the places of the run under way are written
	settleNext   int64 // what it will be told to skip at the next turn
	moving       []place
	moved        int     // of them
	fresh        []place // of the transaction under way
	encoded      []byte
	sinceSettled int64 // bytes
	walPages     int

	reserve         *sqlitedb.Reserve
	checkpointPages int
	settleEvents    int64
	moveLeast       int
}

func newSequencer(s *Store, conn *sqlite3.Conn, o Options) (*sequencer, error) {
	q := &sequencer{
		store: s, queue: queue.New(queue.Options{MaxCount: o.MaxQueued, MaxBytes: o.MaxQueuedBytes, Gather: o.Gather}), ended: make(chan struct{}), conn: conn, reserve: o.Reserve,
		checkpointPages: o.checkpointPages, settleEvents: o.settleEvents, moveLeast: o.moveLeast,
	}
	if q.moveLeast == 0 {
		q.moveLeast = defaultMove
	}
	if q.settleEvents == 0 {
		q.settleEvents = defaultSettle
	}
	if q.checkpointPages == 0 {
		q.checkpointPages = defaultCheckpoint
	}
	var err error
	if q.form, err = prepareSchema(conn); err != nil {
		return nil, err
	}
	if q.form == compactForm {
		q.queue.FormRows(rowForm)
	}
	if q.lookup, err = prepareLookup(conn, &s.tail, q.form); err != nil {
		return nil, err
	}
	places := "places"
	if q.form == indexedForm {
		places = "events"
	}
	statements := map[**sqlite3.Stmt]string{
		&q.begin:        `BEGIN IMMEDIATE`,
		&q.commit:       `COMMIT`,
		&q.insertStream: `INSERT INTO streams (id, hash, category, name) VALUES (?, ?, ?, ?)`,
		&q.insertWord:   `INSERT INTO words (id, word) VALUES (?, ?)`,
		&q.insertEvent: `INSERT INTO events (position, stream, revision, type, time, id, sum, meta, clear, sealed)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		&q.selectHead: `SELECT id, coalesce((SELECT max(revision) FROM ` + places + ` WHERE stream = streams.id), -1) FROM streams
			WHERE hash = ? AND category = ? AND name IS ?`,
		&q.selectID:   `SELECT id FROM events WHERE position = ?`,
		&q.setSettled: `UPDATE settled SET position = ?`,
	}
	if q.form >= placesForm {
		// Some are there already where a run was not through when the process ended.
		statements[&q.insertRecent] = `INSERT INTO recent (position, places) VALUES (?, ?)`
		statements[&q.dropRecent] = `DELETE FROM recent WHERE position < (SELECT max(position) FROM recent WHERE position <= ? + 1)`
		statements[&q.insertPlace] = `INSERT OR IGNORE INTO places (stream, revision, position) VALUES (?, ?, ?)`
	}
	for into, sql := range statements {
		if *into, _, err = conn.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT); err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
	}
	if err := errors.Join(q.load(), q.readTail()); err != nil {
		return nil, err
	}
	// The sequencer moves the write-ahead log itself, after it has answered, because
	// SQLite would keep what went wrong there to itself.
	conn.WALHook(func(_ *sqlite3.Conn, _ string, pages int) error {
		q.walPages = pages
		return nil
	})
	return q, nil
}

// load reads what the database holds; memory is right again after it.
func (q *sequencer) load() error {
	if err := row(q.conn, `SELECT (SELECT max(position) FROM events), (SELECT max(id) FROM streams), (SELECT position FROM settled)`,
		&q.last, &q.lastStream, &q.settled); err != nil {
		return err
	}
	var err error
	if q.words, err = readWords(q.conn); err != nil {
		return err
	}
	q.settleNext = max(q.settled, q.last-q.settleEvents)
	q.store.tail.cut(q.last)
	q.moving, q.moved, q.settling = nil, 0, q.settled
	q.heads, err = simplelru.NewLRU(maxHeads, func(_ eventstore.Stream, h *head) { q.ids -= len(h.ids) })
	q.ids = 0
	if err != nil {
		return err
	}
	q.store.publish(q.last, q.words)
	return nil
}

// stop ends run; what is queued is answered ErrClosed.
func (q *sequencer) stop() {
	q.queue.Close(eventstore.ErrClosed)
	<-q.ended
}

// run commits batch after batch until the queue closes or the medium fails.
func (q *sequencer) run() {
	defer close(q.ended)
	for {
		batch := q.queue.Take()
		if batch == nil {
			return
		}
		if !q.reserve.Hold() {
			batch = onlyReserved(batch, eventstore.ErrDiskFull)
		}
		if len(batch) > 0 {
			q.sequence(batch)
			q.checkpoint()
		}
	}
}

// onlyReserved answers the ordinary members of batch with err and returns the rest.
func onlyReserved(batch []*queue.Request, err error) []*queue.Request {
	return slices.DeleteFunc(batch, func(r *queue.Request) bool {
		ordinary := r.Batch.Class != eventstore.Reserved
		if ordinary {
			r.Answer(queue.Answer{Err: err})
		}
		return ordinary
	})
}

// sequence commits batch and answers each of its members, after the commit: before
// it even a refusal may rest on a record that will never be there.
func (q *sequencer) sequence(batch []*queue.Request) {
	answers, committing, err := q.transact(batch)
	if err == nil {
		q.store.ends.change(func(moved func(eventstore.Stream, eventstore.Revision)) {
			for i, r := range batch {
				if a := answers[i]; a.Err == nil && !a.Appended.Repeated {
					moved(r.Batch.Stream, a.Appended.Last)
				}
			}
		}, func() { q.store.publish(q.last, q.words) })
		q.store.tail.drop(q.settled)
		for i, r := range batch {
			r.Answer(answers[i])
		}
		return
	}
	if undone := errors.Join(rollback(q.conn), q.load()); undone != nil {
		q.fail(batch, errors.Join(err, undone), committing)
		return
	}
	switch {
	case wrongRevision(err):
		answerAll(batch, err)
	case damage(err) && queue.Together(batch):
		answerAll(batch, fmt.Errorf("append together: %w: %w", &eventstore.Corrupt{Revision: -1}, err))
	case damage(err) && len(batch) > 1:
		// Something was unreadable on the way of one of them; the others go on.
		for i := range batch {
			q.sequence(batch[i : i+1])
		}
	case damage(err):
		r := batch[0]
		r.Answer(queue.Answer{Err: fmt.Errorf("append: %w: %w", &eventstore.Corrupt{Stream: r.Batch.Stream, Revision: r.First}, err)})
	case full(err):
		if committing {
			if err := q.writeOver(); err != nil {
				q.fail(batch, err, true)
				return
			}
		}
		q.reserve.Filled()
		err := fmt.Errorf("%w: %w", eventstore.ErrDiskFull, err)
		batch = onlyReserved(batch, err)
		if len(batch) > 0 && q.reserve.Release() {
			q.sequence(batch)
			return
		}
		answerAll(batch, err)
	case errors.Is(err, sqlite3.BUSY) && !committing:
		answerAll(batch, fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err))
	default:
		q.fail(batch, err, committing)
	}
}

// writeOver destroys what a commit that found no room left in the write-ahead log. A
// new process would take it for a commit if the half of a frame that was written
// happens to be all that differs from what lay there before. A commit of our own at
// the same place breaks the chain of checksums. It needs no room where the other one
// found some; where that found none at all, nothing was left.
func (q *sequencer) writeOver() error {
	err := q.conn.Exec(`BEGIN IMMEDIATE; UPDATE settled SET remains = remains + 1; COMMIT`)
	if err = errors.Join(err, rollback(q.conn)); err != nil && !full(err) {
		return fmt.Errorf("write over a failed commit: %w", err)
	}
	return nil
}

// fail refuses every append from now on. After a failed sync nobody knows what is on
// the medium, and a second one that succeeds proves nothing; only a start, which
// reads the medium, can tell. So those whose commit had begun learn that too.
func (q *sequencer) fail(batch []*queue.Request, err error, committing bool) {
	failed := fmt.Errorf("%w: %w", eventstore.ErrFailed, err)
	told := failed
	if committing {
		told = fmt.Errorf("%w: %w", eventstore.ErrOutcomeUnknown, failed)
	}
	answerAll(batch, told)
	q.queue.Close(failed)
}

func answerAll(batch []*queue.Request, err error) {
	for _, r := range batch {
		r.Answer(queue.Answer{Err: err})
	}
}

func wrongRevision(err error) bool {
	_, ok := errors.AsType[*eventstore.WrongRevision](err)
	return ok
}

// transact writes what of batch may be written, in one transaction, and returns an
// answer for each member; committing tells whether an error came from the commit. Where a
// member that belongs together with the others has a wrong expectation, that is the error.
func (q *sequencer) transact(batch []*queue.Request) (answers []queue.Answer, committing bool, err error) {
	if err := q.begin.Exec(); err != nil {
		return nil, false, fmt.Errorf("begin: %w", err)
	}
	before := q.last
	q.fresh = q.fresh[:0]
	answers = make([]queue.Answer, len(batch))
	for i, r := range batch {
		a, err := q.apply(r)
		if wrongRevision(err) && !queue.Together(batch) {
			answers[i].Err = err
			continue
		}
		if err != nil {
			return nil, false, err
		}
		answers[i].Appended = a
		if !a.Repeated {
			q.sinceSettled += int64(r.Size)
		}
	}
	if q.last == before {
		return answers, false, rollback(q.conn)
	}
	if err := errors.Join(q.keepPlaces(), q.settle(q.last-before)); err != nil {
		return nil, false, err
	}
	if err := q.commit.Exec(); err != nil {
		return nil, true, fmt.Errorf("commit: %w", err)
	}
	return answers, false, nil
}

// settle moves the position a start verifies from, now and then, to where it was
// going to be moved the last time: so that much is always verified again. Before, the
// places of what lies before it are written, some in each transaction.
func (q *sequencer) settle(inserted int64) error {
	if q.settling == q.settled {
		if q.last-q.settleNext < q.settleEvents && q.sinceSettled < settleBytes {
			return nil
		}
		q.settling, q.settleNext, q.sinceSettled = q.settleNext, q.last, 0
		q.moving, q.moved = q.store.tail.upTo(q.settling), 0
	}
	if err := q.move(inserted); err != nil {
		return err
	}
	if q.moved < len(q.moving) {
		return nil
	}
	if err := errors.Join(q.setSettled.BindInt64(1, q.settling), q.setSettled.Exec()); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	if q.form >= placesForm {
		if err := errors.Join(q.dropRecent.BindInt64(1, q.settling), q.dropRecent.Exec()); err != nil {
			return fmt.Errorf("drop recent places: %w", err)
		}
	}
	q.settled, q.moving = q.settling, nil
	return nil
}

// apply checks r against what it expects, earlier members of the transaction
// included, and inserts its records. A *WrongRevision is an answer, any other error
// ends the transaction.
func (q *sequencer) apply(r *queue.Request) (eventstore.Appended, error) {
	b := &r.Batch
	h, err := q.head(b.Stream)
	if err != nil {
		return eventstore.Appended{}, fmt.Errorf("look for stream: %w", err)
	}
	wrong := &eventstore.WrongRevision{Stream: b.Stream, Expected: b.Expected, Actual: h.revision}
	switch {
	case b.Expected == eventstore.Any && h.revision < 0:
	case b.Expected == eventstore.StreamExists && h.revision < 0:
		return eventstore.Appended{}, wrong
	case b.Expected == eventstore.Any, b.Expected == eventstore.StreamExists:
		if err := q.knowIDs(h); err != nil {
			return eventstore.Appended{}, fmt.Errorf("look for ids: %w", err)
		}
		known := func(r eventstore.Record) bool { _, ok := h.ids[r.ID]; return ok }
		if slices.ContainsFunc(b.Records, known) {
			if first, ok := h.ids[b.Records[0].ID]; ok {
				return q.repeated(h, b, first, wrong)
			}
			return eventstore.Appended{}, wrong
		}
	case eventstore.Revision(b.Expected) != h.revision:
		return q.repeated(h, b, r.First, wrong)
	case b.Follows != uuid.Nil:
		if same, err := q.follows(h, b.Follows); err != nil || !same {
			return eventstore.Appended{}, cmp.Or(err, error(wrong))
		}
	}
	return q.insert(r, h)
}

// insert writes the records of r after h.
func (q *sequencer) insert(r *queue.Request, h *head) (eventstore.Appended, error) {
	if h.id == 0 {
		if err := q.insertName(r.Batch.Stream); err != nil {
			return eventstore.Appended{}, fmt.Errorf("insert stream: %w", err)
		}
		h.id = q.lastStream
	}
	first := h.revision + 1
	for i := range r.Batch.Records {
		record := &r.Batch.Records[i]
		record.Revision = first + eventstore.Revision(i)
		sum := proof.Hash{}
		if r.Sums != nil { // the expectation was right, so first is what the caller computed with
			sum = r.Sums[i]
		} else {
			sum = proof.LeafHash(record)
		}
		row := queue.Row{Meta: record.Meta, Clear: record.Clear}
		if r.Rows != nil {
			row = r.Rows[i]
		}
		if err := q.insertRecord(h.id, record, row, sum); err != nil {
			return eventstore.Appended{}, err
		}
		if h.ids != nil {
			h.ids[record.ID] = record.Revision
			q.ids++
		}
		h.revision, h.last = record.Revision, record.ID
	}
	return eventstore.Appended{First: first, Last: h.revision, Position: dense.Position(q.last)}, nil
}

func (q *sequencer) insertName(name eventstore.Stream) error {
	category, err := q.word(name.Category())
	if err != nil {
		return err
	}
	q.lastStream++
	s := q.insertStream
	return errors.Join(s.BindInt64(1, q.lastStream), s.BindInt64(2, hash(name)), s.BindInt64(3, category), bindName(s, 4, name), s.Exec())
}

func (q *sequencer) insertRecord(stream int64, r *eventstore.Record, row queue.Row, sum proof.Hash) error {
	number, err := q.word(r.Type)
	if err != nil {
		return err
	}
	if q.form == compactForm {
		sum = bound(sum, q.last+1)
	}
	s := q.insertEvent
	for param, value := range [...]int64{q.last + 1, stream, int64(r.Revision), number, r.Time.UnixMicro()} {
		if err := s.BindInt64(param+1, value); err != nil {
			return err
		}
	}
	for i, value := range [...][]byte{r.ID[:], sum[:], row.Meta, row.Clear, r.Sealed} {
		if len(value) == 0 {
			err = s.BindNull(6 + i)
		} else {
			err = s.BindBlob(6+i, value)
		}
		if err != nil {
			return err
		}
	}
	if err := s.Exec(); err != nil {
		return fmt.Errorf("insert event: %w", err)
	}
	q.last++
	if q.form >= placesForm {
		p := place{stream, r.Revision, q.last}
		q.fresh = append(q.fresh, p)
		q.store.tail.add(p)
	}
	return nil
}

// word returns the number that stands for a word, giving it one at first use.
func (q *sequencer) word(word string) (int64, error) {
	if number, ok := q.words.number[word]; ok {
		return number, nil
	}
	number := int64(len(q.words.word))
	s := q.insertWord
	if err := errors.Join(s.BindInt64(1, number), s.BindText(2, word), s.Exec()); err != nil {
		return 0, fmt.Errorf("insert word: %w", err)
	}
	q.words = q.words.with(word)
	return number, nil
}

// checkpoint moves the write-ahead log into the database once it is worth it.
func (q *sequencer) checkpoint() {
	if q.walPages < q.checkpointPages {
		return
	}
	mode := sqlite3.CHECKPOINT_PASSIVE
	if q.walPages >= restartFactor*q.checkpointPages {
		mode = sqlite3.CHECKPOINT_RESTART // readers follow each other so closely that the log never starts anew
	}
	_, _, err := q.conn.WALCheckpoint("main", mode)
	switch {
	case err == nil, errors.Is(err, sqlite3.BUSY), full(err), damage(err):
		// Nothing is lost: the log still has it all. It is tried again after the next batch.
	default:
		q.fail(nil, fmt.Errorf("checkpoint: %w", err), false)
	}
}
