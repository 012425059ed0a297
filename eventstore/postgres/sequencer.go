package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/queue"
)

// channel is where a commit is told to the other processes.
const channel = "coffre_events"

// statements of the writing connection, by name. A batch needs no BEGIN of its own
// round trip: all of it is sent at once.
var statements = map[string]string{
	"begin":  `BEGIN ISOLATION LEVEL READ COMMITTED`,
	"commit": `COMMIT`,
	"lock":   fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, appending),
	"insert": `INSERT INTO events (position, stream, revision, type, time, id, sum, meta, clear, sealed)
		SELECT last.position + u.n, u.stream, u.revision, u.type, u.time, u.id, u.sum, u.meta, u.clear, u.sealed
		FROM (SELECT coalesce(max(position), 0) AS position FROM events) last,
			unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bigint[], $5::uuid[], $6::bytea[], $7::bytea[], $8::bytea[], $9::bytea[])
			WITH ORDINALITY u(stream, revision, type, time, id, sum, meta, clear, sealed, n)
		WHERE last.position >= $10`, // never a position again that was given before: see errLost
	"tell": `SELECT max(position), pg_notify('` + channel + `', max(position)::text) FROM events`,
	"heads": `SELECT u.n, e.revision, e.id FROM unnest($1::bytea[]) WITH ORDINALITY u(stream, n)
		LEFT JOIN LATERAL (SELECT revision, id FROM events WHERE stream = u.stream ORDER BY revision DESC LIMIT 1) e ON true`,
	"ids": `SELECT u.n, e.revision, e.id FROM unnest($1::bytea[], $2::bigint[]) WITH ORDINALITY u(stream, after, n)
		CROSS JOIN LATERAL (SELECT revision, id FROM events WHERE stream = u.stream AND revision > u.after) e
		ORDER BY u.n, e.revision`,
	"range": `SELECT id, position FROM events WHERE stream = $1 AND revision BETWEEN $2 AND $3 ORDER BY revision`,
	"last":  `SELECT coalesce(max(position), 0) FROM events`,
}

// sequencer is the only writer of this process. Its run goroutine owns everything
// below closing.
type sequencer struct {
	store   *Store
	config  *pgx.ConnConfig
	queue   *queue.Queue
	ended   chan struct{} // closed when run has returned
	closing context.Context
	close   context.CancelFunc

	conn   *pgx.Conn // nil while the server is away
	used   time.Time
	warned bool // the server had a doubt about the transaction under way
	last   int64

	heads *simplelru.LRU[eventstore.Stream, *head]
	ids   int // remembered in all heads together
	rows  columnar
}

func newSequencer(s *Store, c *pgx.ConnConfig, o queue.Options) *sequencer {
	q := &sequencer{store: s, config: c, queue: queue.New(o), ended: make(chan struct{})}
	q.closing, q.close = context.WithCancel(context.Background())
	// A cancelled wait for a synchronous replica is a success with a warning; nothing
	// may cancel one but ourselves, who then say that the outcome is unknown.
	c.RuntimeParams["statement_timeout"] = "0"
	c.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		q.warned = q.warned || n.SeverityUnlocalized == "WARNING"
	}
	q.heads, _ = simplelru.NewLRU(maxHeads, func(_ eventstore.Stream, h *head) { q.ids -= len(h.ids) }) // fails for no size only
	return q
}

// connect makes the connection, checks that the server keeps what it acknowledges and
// that it still has what it had.
func (q *sequencer) connect(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, q.config)
	if err != nil {
		return err
	}
	q.conn = conn
	last, err := q.greet(ctx)
	if err != nil {
		return errors.Join(err, q.disconnect())
	}
	before := max(q.last, q.store.head.Load())
	if err := q.store.kept(before, last); err != nil {
		return errors.Join(err, q.disconnect())
	}
	q.last, q.used = last, time.Now()
	return nil
}

func (q *sequencer) greet(ctx context.Context) (last int64, err error) {
	if err := durable(ctx, q.conn); err != nil {
		return 0, err
	}
	for name, sql := range statements {
		if _, err := q.conn.Prepare(ctx, name, sql); err != nil {
			return 0, fmt.Errorf("prepare %s: %w", name, err)
		}
	}
	err = q.conn.QueryRow(ctx, "last").Scan(&last)
	return last, err
}

func (q *sequencer) disconnect() error {
	conn := q.conn
	q.conn = nil
	if conn == nil || conn.IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return conn.Close(ctx)
}

// stop ends run; what is queued is answered ErrClosed.
func (q *sequencer) stop() {
	q.queue.Close(eventstore.ErrClosed)
	q.close()
	<-q.ended
}

// run commits batch after batch until the queue closes.
func (q *sequencer) run() {
	defer close(q.ended)
	for {
		batch := q.queue.Take()
		if batch == nil {
			q.disconnect() // an error here says nothing about what was answered
			return
		}
		q.sequence(batch)
	}
}

// sequence commits batch and answers each of its members, after the commit: before
// it even a refusal may rest on a record that will never be there.
func (q *sequencer) sequence(batch []*queue.Request) {
	ctx, cancel := context.WithTimeout(context.Background(), q.store.answer)
	defer cancel()
	if err := q.ready(ctx); err != nil {
		q.refuse(batch, err)
		return
	}
	answers, sent, err := q.transact(ctx, batch, false)
	if pgdb.Code(err) == "23505" { // another process was first at a revision
		answers, sent, err = q.transact(ctx, batch, true)
	}
	q.store.room.Note(err)
	if err == nil {
		q.used = time.Now()
		q.store.publish(q.last)
		for i, r := range batch {
			r.Answer(answers[i])
		}
		return
	}
	// A server that answers with an error has undone the transaction. One that does
	// not answer may have committed it, or will.
	if sent && (q.warned || q.conn.IsClosed()) {
		err = fmt.Errorf("%w: %w", eventstore.ErrOutcomeUnknown, opaque{err})
	}
	q.disconnect()
	q.refuse(batch, err)
}

// ready sees to it that there is a connection, and one that lives.
func (q *sequencer) ready(ctx context.Context) error {
	if q.conn != nil && !q.conn.IsClosed() && time.Since(q.used) > freshFor && q.conn.Ping(ctx) != nil {
		q.disconnect()
	}
	if q.conn != nil && !q.conn.IsClosed() {
		return nil
	}
	// Close does not wait for a server that is away.
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(q.closing, cancel)()
	defer cancel()
	return q.connect(ctx)
}

// refuse answers all of batch with the port's word for err.
func (q *sequencer) refuse(batch []*queue.Request, err error) {
	switch {
	case errors.Is(err, eventstore.ErrOutcomeUnknown):
	case errors.Is(err, errLost):
		q.queue.Close(err) // until somebody who knows has looked at it
	case q.closing.Err() != nil:
		err = eventstore.ErrClosed
	case pgdb.Full(err):
		err = fmt.Errorf("%w: %w", eventstore.ErrDiskFull, opaque{err})
	default:
		err = fmt.Errorf("%w: %w", eventstore.ErrUnavailable, opaque{err})
	}
	for _, r := range batch {
		r.Answer(queue.Answer{Err: err})
	}
}

// transact writes what of batch may be written, in one transaction, and returns an
// answer for each member. With locked it takes the lock first, so that what it sees of
// the streams is how they are. sent tells that an error came after the commit was
// sent, or may have been.
func (q *sequencer) transact(ctx context.Context, batch []*queue.Request, locked bool) (_ []queue.Answer, sent bool, err error) {
	q.warned = false
	if locked {
		if err := q.rollback(ctx); err != nil {
			return nil, false, err
		}
		if err := q.send(ctx, func(b *pgx.Batch) { b.Queue("begin"); b.Queue("lock") }); err != nil {
			return nil, false, err
		}
	}
	if err := q.lookUp(ctx, batch, locked); err != nil {
		return nil, false, fmt.Errorf("look for streams: %w", err)
	}
	plan, err := q.plan(ctx, batch)
	if err != nil {
		return nil, false, err
	}
	if queue.Together(batch) {
		plan.unite()
	}
	if q.rows.len() == 0 || plan.refused {
		if locked {
			err = q.rollback(ctx)
		}
		return plan.answers, false, err
	}
	var inserted, last int64
	known := max(q.last, q.store.head.Load())
	err = q.send(ctx, func(b *pgx.Batch) {
		if !locked {
			b.Queue("begin")
			b.Queue("lock")
		}
		b.Queue("insert", q.rows.args(known)...).Exec(func(tag pgconn.CommandTag) error {
			inserted = tag.RowsAffected()
			return nil
		})
		b.Queue("tell").QueryRow(func(row pgx.Row) error { return row.Scan(&last, nil) }) // the last of ours, under the lock
		b.Queue("commit")
	})
	if err == nil && inserted == 0 {
		return nil, false, fmt.Errorf("%w: %w", eventstore.ErrFailed, errLost)
	}
	if err == nil && q.warned {
		err = errors.New("the server warned about the commit")
	}
	if err != nil {
		return nil, !pgconn.SafeToRetry(err), fmt.Errorf("insert: %w", err)
	}
	q.last = last
	q.keep(plan, last)
	return plan.answers, true, nil
}

// send sends what f queues, at once, and reads all answers.
func (q *sequencer) send(ctx context.Context, f func(*pgx.Batch)) error {
	b := &pgx.Batch{}
	f(b)
	return q.conn.SendBatch(ctx, b).Close()
}

// rollback ends a transaction that failed or is not needed.
func (q *sequencer) rollback(ctx context.Context) error {
	if q.conn.IsClosed() || q.conn.PgConn().TxStatus() == 'I' {
		return nil
	}
	_, err := q.conn.Exec(ctx, `ROLLBACK`)
	return err
}
