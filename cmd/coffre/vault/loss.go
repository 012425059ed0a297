package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal/keysdb"
	"coffre/handlers/acting"
	"coffre/projections/consentlog"
)

// The acceptance of a loss goes: a row beside the key ring, which forgets the marks in the
// same transaction → whatever follows the log and is further goes back, or is built anew →
// the log is compared with the key ring from its first event on, and the shred list is
// applied → citizens whose registration is lost are registered again → the event → the row
// counts as recorded. A start that finds a row that is not recorded goes on from there, so
// that nothing is served of a log half accepted.

// Loss is a log that ends before what was seen of it.
type Loss struct {
	LogEnd  string             `json:"logEnd"`  // its last place
	SeenEnd string             `json:"seenEnd"` // the last place that was seen
	Witness string             `json:"witness"` // who has seen it, for people
	Events  int64              `json:"events"`  // lost; 0 where places do not count them
	Last    time.Time          `json:"last"`    // when the last event that is left was recorded; zero: nobody knows one
	Reopen  []domain.ConsentID `json:"reopened"`
	Resumed bool               `json:"resumed"` // it was accepted before, by somebody who was interrupted
}

// AcceptedLoss is a loss that a vault goes on without.
type AcceptedLoss struct {
	Loss
	Requests   int64    `json:"doubtedRequests"`      // answered since the log's end, and to be settled anew if they are repeated
	ReadModels []string `json:"readModels"`           // to be built anew
	Registered int      `json:"registeredAgain"`      // citizens whose registration was lost
	Position   string   `json:"recordedAt,omitempty"` // of the event that says so
}

var errUnfinishedLoss = errors.New("the acceptance of a loss was interrupted; run `coffre restore --accept-loss` again")

var (
	// ErrNothingLost says that nobody has seen more than the log holds.
	ErrNothingLost = errors.New("nothing is lost: nobody has seen more than the log holds")
	// ErrOthersRun says that another process uses the databases.
	ErrOthersRun = errors.New("another coffre process uses these databases; stop every one first")
)

// AcceptLoss lets the vault of a directory, which the caller owns, go on with a log that
// ends before what was seen of it. decide is shown the loss and says who accepts it and
// why, or returns an error, and nothing is changed; it is not asked when an acceptance
// was interrupted. It returns ErrNothingLost, ErrOthersRun, or decide's error.
func AcceptLoss(ctx context.Context, dir DataDir, o Options, decide func(Loss) (by string, cause audit.LossCause, err error)) (done AcceptedLoss, err error) {
	if err := dir.restoredWhole(); err != nil {
		return done, err
	}
	o.acceptLoss = true
	a := newAssembly(ctx, dir, o)
	defer func() { err = errors.Join(err, a.Close()) }()
	for _, part := range []func(context.Context) error{a.openStores, a.openKeys, a.openLog, a.openReadModels, a.openCheckpoints, a.openReactors, a.alone} {
		if err := part(ctx); err != nil {
			return done, err
		}
	}
	row, err := unfinishedLoss(ctx, a.places.keys)
	if err != nil {
		return done, err
	}
	if row != nil {
		shown, err := a.show(ctx, row.cut)
		if err != nil {
			return done, err
		}
		done, err = a.finishLoss(ctx, *row)
		shown.Resumed = true
		done.Loss = shown
		return done, err
	}
	found, err := findCut(ctx, a.store, a.witnesses()...)
	if err != nil {
		return done, err
	}
	if found == nil {
		return done, ErrNothingLost
	}
	shown, err := a.show(ctx, *found)
	if err != nil {
		return done, err
	}
	by, cause, err := decide(shown)
	if err != nil {
		return done, err
	}
	subject := a.Ring.Audit().Subject(by)
	accepted := loss{id: uuid.New(), cut: *found, cause: cause, subject: subject, at: time.Now().UTC().Truncate(time.Microsecond)}
	if err := accepted.keep(ctx, a.places.keys); err != nil {
		return done, err
	}
	done, err = a.finishLoss(ctx, accepted)
	done.Loss = shown
	return done, err
}

// alone refuses when another process uses the same databases; it holds, until Close, what
// each of them needs to react.
func (a *assembly) alone(ctx context.Context) error {
	if a.places.leases == nil {
		return nil
	}
	held, release, err := a.places.leases.TryAcquire(ctx, "reactors", nil)
	if err != nil {
		return err
	}
	if held == nil {
		return ErrOthersRun
	}
	a.onClose(func() error { release(); return nil })
	return nil
}

// show says what is known of a loss, without changing anything that answers rest on.
func (a *assembly) show(ctx context.Context, c cut) (Loss, error) {
	shown := Loss{LogEnd: placeName(c.end), SeenEnd: placeName(c.seen), Witness: c.name}
	last, err := a.lastTime(ctx, c.end)
	if err != nil {
		return shown, err
	}
	shown.Last = last
	if !a.dense() {
		return shown, nil
	}
	shown.Events = int64(c.seen.Commit) - int64(c.end.Commit)
	model := a.places.models.Model(a.models.consents.Name(), a.models.consents.Version())
	tables, err := model.Start(ctx)
	if err == nil && tables == nil {
		tables, err = model.Open(ctx)
	}
	if err != nil || tables == nil {
		return shown, err
	}
	// The leaf of the last event that is left is its place less one.
	shown.Reopen, err = consentlog.WithdrawnAfter(ctx, tables, int64(c.end.Commit)-1)
	return shown, errors.Join(err, tables.Close())
}

// dense reports whether the places of the log count its events.
func (a *assembly) dense() bool { return !OnKurrent(a.places.at.Log) }

// lastTime returns when the event at a place was recorded; zero for the place before the
// first, and where places leave gaps.
func (a *assembly) lastTime(ctx context.Context, at eventstore.Position) (time.Time, error) {
	if at.IsZero() || !a.dense() {
		return time.Time{}, nil
	}
	for r, err := range a.store.ReadAll(ctx, eventstore.Position{Commit: at.Commit - 1, Prepare: at.Prepare - 1}, 1) {
		if err != nil {
			return time.Time{}, fmt.Errorf("end of the log: %w", err)
		}
		return r.Time, nil
	}
	return time.Time{}, nil
}

// loss is an accepted loss as it is kept beside the key ring.
type loss struct {
	id uuid.UUID
	cut
	cause   audit.LossCause
	subject string
	at      time.Time
}

// keep makes the acceptance durable and forgets the marks.
func (l loss) keep(ctx context.Context, db *keysdb.DB) error {
	_, err := keysdb.Do(ctx, db, func(tx *keysdb.Tx) (int64, error) {
		for _, table := range []string{"guard", "log_end"} {
			if _, err := tx.Exec(`DELETE FROM ` + table); err != nil {
				return 0, err
			}
		}
		return tx.Exec(`INSERT INTO losses (id, end_commit, end_prepare, seen_commit, seen_prepare, witness, cause, subject, at, recorded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`,
			l.id[:], int64(l.end.Commit), int64(l.end.Prepare), int64(l.seen.Commit), int64(l.seen.Prepare), string(l.kind), string(l.cause), l.subject, l.at.UnixMicro())
	})
	if err != nil {
		return fmt.Errorf("accept the loss: %w", err)
	}
	return nil
}

// unfinishedLoss returns the acceptance that was interrupted, if one was.
func unfinishedLoss(ctx context.Context, db *keysdb.DB) (*loss, error) {
	if err := db.Migrate(ctx, "guard", guardTables); err != nil {
		return nil, err
	}
	l, err := keysdb.Do(ctx, db, func(tx *keysdb.Tx) (*loss, error) {
		var l loss
		var id []byte
		var kind, cause string
		var at int64
		var places [4]int64
		err := tx.Row(`SELECT id, end_commit, end_prepare, seen_commit, seen_prepare, witness, cause, subject, at FROM losses WHERE recorded = 0 ORDER BY at LIMIT 1`, nil,
			&id, &places[0], &places[1], &places[2], &places[3], &kind, &cause, &l.subject, &at)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		l.id, err = uuid.FromBytes(id)
		l.kind, l.name, l.cause, l.at = audit.Witness(kind), kind, audit.LossCause(cause), time.UnixMicro(at).UTC()
		l.end = eventstore.Position{Commit: uint64(places[0]), Prepare: uint64(places[1])}
		l.seen = eventstore.Position{Commit: uint64(places[2]), Prepare: uint64(places[3])}
		return &l, err
	})
	if err != nil {
		return nil, fmt.Errorf("losses that were accepted: %w", err)
	}
	return l, nil
}

// lossAccepted reports whether a place lies in a part of the log whose loss was accepted.
func lossAccepted(ctx context.Context, db *keysdb.DB, at eventstore.Position) (bool, error) {
	n, err := keysdb.Do(ctx, db, func(tx *keysdb.Tx) (n int, err error) {
		commit, prepare := int64(at.Commit), int64(at.Prepare)
		err = tx.Row(`SELECT count(*) FROM losses WHERE (end_commit < ? OR end_commit = ? AND end_prepare < ?) AND (seen_commit > ? OR seen_commit = ? AND seen_prepare >= ?)`,
			[]any{commit, commit, prepare, commit, commit, prepare}, &n)
		return n, err
	})
	return n > 0, err
}

// finishLoss does what is left to do of an accepted loss. Each step may be repeated.
func (a *assembly) finishLoss(ctx context.Context, l loss) (done AcceptedLoss, err error) {
	if done.ReadModels, err = a.places.models.Discard(ctx, l.end); err != nil {
		return done, err
	}
	if err := a.places.reactors.Rewind(ctx, l.end); err != nil {
		return done, err
	}
	last, err := a.lastTime(ctx, l.end)
	if err != nil {
		return done, err
	}
	since := time.UnixMicro(0)
	if !last.IsZero() {
		since = last.Add(-requests.MaxLease) // whatever was appended later was begun after that
	}
	if done.Requests, err = a.requests.DoubtSince(ctx, since); err != nil {
		return done, err
	}
	for _, name := range []string{endFile, leavesFile, leavesFile + "-wal", leavesFile + "-shm"} {
		if name != endFile && a.places.ahead == nil {
			continue
		}
		if err := os.Remove(a.dir.File(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return done, fmt.Errorf("accept the loss: %w", err)
		}
	}
	if done.Registered, err = a.registerAgain(ctx, l); err != nil {
		return done, err
	}
	e := audit.LossAccepted{LogEnd: placeName(l.end), SeenEnd: placeName(l.seen), Witness: l.kind, Cause: l.cause, At: l.at}
	if a.dense() {
		e.Events = int64(l.seen.Commit) - int64(l.end.Commit)
	}
	w := eventstore.Write{
		Stream: acting.AuditStream(l.at), Settle: true,
		Meta: eventstore.Meta{Actor: domain.Actor{Role: domain.RoleOperator, Subject: l.subject}, Correlation: l.id},
		ID:   func(i int) uuid.UUID { return uuid.NewSHA1(l.id, fmt.Append(nil, "loss ", i)) },
	}
	recorded, err := acting.Audits.Transact(ctx, a.log, w, audit.Record{Event: e})
	if err != nil {
		return done, fmt.Errorf("record the loss: %w", err)
	}
	done.Position = placeName(recorded.Position)
	_, err = keysdb.Do(ctx, a.places.keys, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`UPDATE losses SET recorded = 1 WHERE id = ?`, l.id[:])
	})
	if err != nil {
		return done, fmt.Errorf("accept the loss: %w", err)
	}
	return done, nil
}

// namingRing is a key ring that remembers which citizens the log names.
type namingRing struct {
	servedRing
	named map[domain.CitizenID]bool
}

// Missing implements keyRing.
func (n namingRing) Missing(ctx context.Context, citizens []domain.CitizenID) ([]domain.CitizenID, error) {
	for _, c := range citizens {
		n.named[c] = true
	}
	return n.servedRing.Missing(ctx, citizens)
}

// registerAgain compares the whole log with the key ring and registers the citizens that
// the ring has in use and the log does not know any more: whatever is recorded about one
// follows their registration.
func (a *assembly) registerAgain(ctx context.Context, l loss) (n int, err error) {
	ring := namingRing{servedRing{a.Ring, a.destroyer}, map[domain.CitizenID]bool{}}
	if err := guard(ctx, a.log, a.places.keys, ring, a.shreds); err != nil {
		return 0, err
	}
	var lost []domain.CitizenID
	if err := a.Ring.EachActive(ctx, func(id domain.CitizenID) error {
		if !ring.named[id] {
			lost = append(lost, id)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	system := domain.Actor{Role: domain.RoleSystem}
	for _, id := range lost {
		w := eventstore.Write{
			Stream: acting.CitizenStream(id), Citizen: id, Settle: true,
			Meta: eventstore.Meta{Actor: system, Correlation: l.id},
			ID:   func(int) uuid.UUID { return uuid.NewSHA1(l.id, id.UUID[:]) },
		}
		if _, err := acting.Citizens.Transact(ctx, a.log, w, citizen.Register{Citizen: id, By: system, At: l.at}); err != nil {
			return n, fmt.Errorf("register a citizen again: %w", err)
		}
		n++
	}
	return n, nil
}
