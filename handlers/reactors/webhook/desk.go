package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/domain"
	"coffre/handlers/reactors"
)

// receivers is what operators see of a receiver and ask of its sender, whichever process that is.
const receivers = `
CREATE TABLE IF NOT EXISTS webhook_receivers (
	url        BLOB    NOT NULL PRIMARY KEY, -- as in webhook_endpoints
	host       TEXT    NOT NULL, -- scheme and host: they hold no token
	secrets    TEXT    NOT NULL, -- fingerprints of those that sign, with commas between
	asked      INTEGER NOT NULL, -- how often somebody asked for the secrets to be read anew
	followed   INTEGER NOT NULL, -- the last of these that the sender has followed
	refused    INTEGER NOT NULL, -- 1: what it read then was no secret, and the former ones sign on
	started_at INTEGER NOT NULL  -- when a process that sends to it last started
) STRICT;
`

// Receiver is the webhook's consumer as operators see it.
type Receiver struct {
	ID      uuid.UUID // made of its URL, and the same after every start
	Host    string    // scheme and host of the URL
	Secrets []string  // fingerprints of the secrets that sign
	// Asked counts the requests to read the secrets anew, Followed is the last that the sender
	// has followed, and Refused tells that it then kept the former ones, because what it read
	// were none.
	Asked, Followed int64
	Refused         bool
	Started         time.Time // when a process that sends last started
	Status
}

// ErrNoReceiver refuses a call about a receiver that is not the webhook's.
var ErrNoReceiver = domain.NewError(domain.NotFound, "noSuchWebhook", "that is not the webhook of this vault")

// Desk is where operators see the webhook and act on it, also in a process in which none runs:
// the process that sends follows within a minute, and at once where it is the same one. Make it
// with NewDesk; its methods may be called concurrently.
type Desk struct{ db *reactors.DB }

// NewDesk creates missing tables and returns the desk.
func NewDesk(ctx context.Context, db *reactors.DB) (Desk, error) {
	if err := db.Ensure(ctx, schema+receivers); err != nil {
		return Desk{}, fmt.Errorf("webhook: %w", err)
	}
	return Desk{db}, nil
}

// Tables creates every missing table of the package, for a copy of the database.
func Tables(ctx context.Context, db *reactors.DB) error {
	return db.Ensure(ctx, schema+receivers+subscriptionTables)
}

// Receivers returns the receiver that a process was last started for; none when none ever was.
func (d Desk) Receivers(ctx context.Context) ([]Receiver, error) {
	var rows []struct {
		URL             []byte
		Host, Secrets   string
		Asked, Followed int64
		Refused         int64
		Started         int64 `db:"started_at"`
	}
	reader := d.db.Reader()
	if err := reader.SelectContext(ctx, &rows, `SELECT url, host, secrets, asked, followed, refused, started_at FROM webhook_receivers ORDER BY started_at DESC LIMIT 1`); err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	all := make([]Receiver, 0, len(rows))
	for _, r := range rows {
		status, err := statusOf(ctx, d.db, r.URL)
		if err != nil {
			return nil, err
		}
		all = append(all, Receiver{
			ID: receiverID(r.URL), Host: r.Host, Secrets: strings.Split(r.Secrets, ","), Asked: r.Asked, Followed: r.Followed, Refused: r.Refused != 0,
			Started: timeFromMicros(r.Started), Status: status,
		})
	}
	return all, nil
}

// Enable lets deliveries go again to a receiver that answered 410; those that waited are due.
func (d Desk) Enable(ctx context.Context, id uuid.UUID) error {
	return d.change(ctx, id, func(exec func(statement string, args ...any) error, url []byte) error {
		now := time.Now().UnixMicro()
		return errors.Join(
			exec(`UPDATE webhook_endpoints SET disabled_at = 0, resume_at = 0 WHERE url = ?`, url),
			exec(`UPDATE webhook_deliveries SET next_at = ? WHERE state = 'pending' AND next_at > ?`, now, now))
	})
}

// Rotate asks the sender to read its secrets anew.
func (d Desk) Rotate(ctx context.Context, id uuid.UUID) error {
	return d.change(ctx, id, func(exec func(statement string, args ...any) error, url []byte) error {
		return exec(`UPDATE webhook_receivers SET asked = asked + 1 WHERE url = ?`, url)
	})
}

// change changes rows of a receiver in one transaction and has the sender look.
func (d Desk) change(ctx context.Context, id uuid.UUID, rows func(exec func(statement string, args ...any) error, url []byte) error) error {
	url, err := d.url(ctx, id)
	if err != nil {
		return err
	}
	if err := d.db.Write(ctx, func(tx *sqlx.Tx) error {
		return rows(func(statement string, args ...any) error {
			_, err := tx.ExecContext(ctx, tx.Rebind(statement), args...)
			return err
		}, url)
	}); err != nil {
		return fmt.Errorf("change a webhook: %w", err)
	}
	wake(d.db)
	return nil
}

// Replay starts the schedule of failed deliveries again, now, and returns how many there were:
// of all that failed, or of the one about an event, which may wait as well.
func (d Desk) Replay(ctx context.Context, id uuid.UUID, event *uuid.UUID) (n int64, err error) {
	if _, err := d.url(ctx, id); err != nil {
		return 0, err
	}
	if event == nil {
		n, err = restart(ctx, d.db, `state = ?`, Failed)
	} else if n, err = restart(ctx, d.db, `event = ? AND state IN ('failed', 'pending')`, event[:]); err == nil && n == 0 {
		err = errNoDelivery
	}
	if err != nil {
		return 0, err
	}
	wake(d.db)
	return n, nil
}

// url returns the key of the receiver with the id.
func (d Desk) url(ctx context.Context, id uuid.UUID) ([]byte, error) {
	var all [][]byte
	if err := d.db.Reader().SelectContext(ctx, &all, `SELECT url FROM webhook_receivers`); err != nil {
		return nil, fmt.Errorf("find a webhook: %w", err)
	}
	for _, url := range all {
		if receiverID(url) == id {
			return url, nil
		}
	}
	return nil, ErrNoReceiver
}

// receiverID names a receiver by the hash of its URL, in a UUID of version 8 (RFC 9562, section 5.8).
func receiverID(url []byte) uuid.UUID {
	var id uuid.UUID
	copy(id[:], url)
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return id
}

// Fingerprint names a secret without telling it: the first eight hexadecimal digits of its
// SHA-256.
func (s Secret) Fingerprint() string {
	sum := sha256.Sum256(s.key)
	return hex.EncodeToString(sum[:4])
}

// wake has the sender of this process look for something to do.
func wake(db *reactors.DB) {
	select {
	case db.Signal(signalName) <- struct{}{}:
	default: // it will look anyway
	}
}

// signalName names the signal that has the sender look.
const signalName = "webhook"

// followSecrets reads the secrets anew when somebody asked for that, or when always. Where they are none the
// former ones sign on, and that is told.
func (w *Webhook) followSecrets(ctx context.Context, always bool) error {
	var row struct{ Asked, Followed int64 }
	if err := w.o.DB.Reader().GetContext(ctx, &row, w.o.DB.Reader().Rebind(`SELECT asked, followed FROM webhook_receivers WHERE url = ?`), w.endpoint); err != nil {
		return fmt.Errorf("look for a rotation: %w", err)
	}
	if row.Asked == row.Followed && !always {
		return nil
	}
	secrets, err := w.o.Secrets, error(nil)
	if w.o.ReadSecrets != nil {
		secrets, err = w.o.ReadSecrets()
	}
	if err == nil {
		err = w.signWith(secrets)
	}
	refused := 0
	if err != nil {
		refused = 1
		w.o.Logger.Error("the webhook's secrets could not be read anew; the former ones sign on", "endpoint", w.o.Endpoint.String(), "err", err)
	}
	return w.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE webhook_receivers SET secrets = ?, followed = ?, refused = ? WHERE url = ?`), w.fingerprints(), row.Asked, refused, w.endpoint)
		return err
	})
}

// fingerprints names the secrets that sign.
func (w *Webhook) fingerprints() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, s := range w.secrets {
		all = append(all, s.Fingerprint())
	}
	return strings.Join(all, ",")
}
