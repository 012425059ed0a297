package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
	"coffre/handlers/acting"
)

// Some acts happen while nobody serves a vault, and where nothing can be appended to its log: a
// restore of a backup has no key, and so cannot name who acts. Such an act is noted beside the
// key ring, and the next process that opens the vault records it before it serves, once, however
// often it dies meanwhile: the events have ids that the note gives them.

// osAccount names the account of the operating system that runs this process, as the control
// socket names whoever is at its other end.
func osAccount() string { return "os-account:" + strconv.Itoa(os.Getuid()) }

// noteAct notes an act on a vault that nobody serves, durably. digest is that of the backup that
// it is about, or empty.
func noteAct(ctx context.Context, db *keysdb.DB, act audit.Act, digest string) error {
	if err := db.Migrate(ctx, "guard", guardTables); err != nil {
		return err
	}
	id := uuid.New()
	_, err := keysdb.Do(ctx, db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`INSERT INTO offline_acts (id, act, digest, account, at, recorded) VALUES (?, ?, ?, ?, ?, 0)`,
			id[:], string(act), digest, osAccount(), time.Now().UnixMicro())
	})
	if err != nil {
		return fmt.Errorf("note an act: %w", err)
	}
	return nil
}

// notedAct is an act that was noted.
type notedAct struct {
	ID      []byte `db:"id"`
	Act     string `db:"act"`
	Digest  string `db:"digest"`
	Account string `db:"account"`
	At      int64  `db:"at"`
}

// recordActs records the acts that were noted and are not on record yet. Where the disk is full
// they stay noted, for the next start.
func (a *assembly) recordActs(ctx context.Context) error {
	noted, err := keysdb.Do(ctx, a.places.keys, func(tx *keysdb.Tx) (all []notedAct, err error) {
		return all, tx.Select(&all, `SELECT id, act, digest, account, at FROM offline_acts WHERE recorded = 0 ORDER BY at`)
	})
	if err != nil {
		return fmt.Errorf("acts that were noted: %w", err)
	}
	for _, n := range noted {
		err := a.recordAct(ctx, n)
		if errors.Is(err, eventstore.ErrDiskFull) {
			a.o.Logger.WarnContext(ctx, "the disk is full: what was done while nobody served the vault is recorded by the next start", slog.String("act", n.Act))
			return nil
		}
		if err != nil {
			return fmt.Errorf("record what was done while nobody served the vault: %w", err)
		}
	}
	return nil
}

func (a *assembly) recordAct(ctx context.Context, n notedAct) error {
	id, err := uuid.FromBytes(n.ID)
	if err != nil {
		return err
	}
	act := audit.Operate{Act: audit.Act(n.Act), Digest: n.Digest, At: time.UnixMicro(n.At).UTC()}
	w := operatorWrite(a.Ring.Audit().Subject(n.Account), id, act.At)
	if _, err := acting.Audits.Transact(ctx, a.log, w, act); err != nil {
		return err
	}
	_, err = keysdb.Do(ctx, a.places.keys, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`UPDATE offline_acts SET recorded = 1 WHERE id = ?`, n.ID)
	})
	return err
}

// operatorWrite is the write of what an operator did by a command of their own, the same at
// every repetition.
func operatorWrite(subject string, id uuid.UUID, at time.Time) eventstore.Write {
	return eventstore.Write{
		Stream: acting.AuditStream(at), Citizen: acting.NoCitizen, Settle: true,
		Meta: eventstore.Meta{Actor: domain.Actor{Role: domain.RoleOperator, Subject: subject}, Correlation: id},
		ID:   func(i int) uuid.UUID { return uuid.NewSHA1(id, fmt.Append(nil, "act ", i)) },
	}
}
