package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"coffre/domain/audit"
	"coffre/eventstore/backup"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
)

// Every row of the key database carries a MAC: whoever reads one verifies it. A walk over
// all of them, at once after a start and then once a day, finds what nobody asked for, and
// rows that are gone.

// walkEvery is how often every row of the key database is verified.
const walkEvery = 24 * time.Hour

// tellDamage returns what tells the operator of a damaged row: a table and the row's
// number or the id that the vault made, and nothing of a person.
func tellDamage(ctx context.Context, logger *slog.Logger) func(keysdb.Damage) {
	return func(d keysdb.Damage) {
		logger.ErrorContext(ctx, "the key database is damaged: `coffre keys check` says how it is brought back",
			slog.String("table", d.Table), slog.String("row", d.Row), slog.Any("error", d))
	}
}

// walkKeys verifies every row of the key database again and again until ctx ends. What it
// finds the database tells. A database that is away is asked again the next time.
func walkKeys(ctx context.Context, db *keysdb.DB, logger *slog.Logger) error {
	for {
		if _, err := db.Check(ctx); err != nil && ctx.Err() == nil {
			logger.WarnContext(ctx, "the key database was not verified to its end", slog.Any("error", err))
		}
		timer := time.NewTimer(walkEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// damagedRows counts the rows of the key database that are known to be damaged.
func (v *Instance) damagedRows() int {
	if v.keys == nil {
		return 0
	}
	return len(v.keys.Damaged())
}

// Errors of the commands on rows of the key database.
var (
	errNoMACs       = errors.New("the rows of this key database carry no MACs yet: start the vault once")
	errNoMACsBackup = errors.New("the rows of this backup carry no MACs: it is from before, and nothing in it can be verified")
	errNoKeyRing    = errors.New("there is no key ring")
)

// KeyRows is the key database of a vault that nobody serves, for who looks for damage.
type KeyRows struct {
	Dir    DataDir
	At     StoresConfig
	Config Config // of the keeper
	Logger *slog.Logger
}

// Check verifies every row and returns the damaged ones.
func (k KeyRows) Check(ctx context.Context) (found []keysdb.Damage, err error) {
	err = k.with(ctx, func(db *keysdb.DB, kek seal.KEK) error {
		if err := openRows(ctx, db, db, kek); err != nil {
			return err
		}
		found, err = db.Check(ctx)
		return err
	})
	return found, err
}

// Restore brings damaged and missing rows back from a backup that was restored elsewhere:
// the directory or the PostgreSQL that address says. See [keysdb.Mend]. The next start
// destroys again what the shred list names.
func (k KeyRows) Restore(ctx context.Context, address string, accept bool) (m keysdb.Mended, err error) {
	err = k.with(ctx, func(db *keysdb.DB, kek seal.KEK) (err error) {
		former := KeyRows{Dir: k.Dir, At: StoresConfig{Log: address, ReadModels: address, Keys: address}, Logger: k.Logger}
		if dir, file := SQLiteDir(address); file {
			former.Dir = dir
		}
		return former.open(ctx, func(from *keysdb.DB) error {
			if err := openRows(ctx, from, from, kek); errors.Is(err, errNoMACs) {
				return errNoMACsBackup
			} else if err != nil {
				return fmt.Errorf("the backup: %w", err)
			}
			if err := openRows(ctx, db, from, kek); err != nil { // its own key may be what is damaged
				return err
			}
			if m, err = keysdb.Mend(ctx, db, from, accept); err != nil || len(m.Found) == 0 {
				return err
			}
			return noteAct(ctx, db, audit.RestoreKeyRows, "")
		})
	})
	return m, err
}

// openRows has the rows of all components verified, under the key that keyIn holds.
func openRows(ctx context.Context, db, keyIn *keysdb.DB, kek seal.KEK) error {
	err := seal.OpenRows(ctx, db, keyIn, kek)
	if errors.Is(err, seal.ErrUnknown) {
		return errNoMACs
	}
	if err != nil {
		return err
	}
	if err := requests.Protect(ctx, db); err != nil {
		return err
	}
	_, err = backup.OpenLedger(ctx, db)
	return err
}

// with runs f on the key database and its keeper. The directory is this process's meanwhile.
func (k KeyRows) with(ctx context.Context, f func(*keysdb.DB, seal.KEK) error) (err error) {
	release, err := k.Dir.OwnStopped()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := k.Dir.restoredWhole(); err != nil {
		return err
	}
	return k.open(ctx, func(db *keysdb.DB) error {
		keeper, err := openKeeperOf(ctx, k.Dir, k.Config.Transit, db, k.Logger)
		if err != nil {
			return err
		}
		return errors.Join(f(db, keeper.KEK), keeper.Close())
	})
}

// open runs f on the key database. It makes none.
func (k KeyRows) open(ctx context.Context, f func(*keysdb.DB) error) (err error) {
	var closers []func() error
	s := &stores{at: k.At.In(k.Dir), dir: k.Dir, logger: k.Logger, onClose: func(c func() error) { closers = append(closers, c) }}
	if !s.shared() {
		there, err := isThere(s.folder(s.at.Keys).File(KeysFile))
		if err == nil && !there {
			err = fmt.Errorf("%w in %s", errNoKeyRing, s.folder(s.at.Keys))
		}
		if err != nil {
			return err
		}
	}
	if err := s.openKeys(ctx); err != nil {
		return err
	}
	defer func() {
		for _, c := range closers {
			err = errors.Join(err, c())
		}
	}()
	return f(s.keys)
}
