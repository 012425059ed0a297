package seal

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"coffre/domain"
	"coffre/eventstore/seal/keysdb"
)

// Suppression is the memory that a person was erased, kept as an HMAC of their numbers
// under a key of its own (rule E-4).
type Suppression struct {
	Until time.Time         // zero: without end
	Basis domain.LegalBasis // why it may be remembered
}

func (s Suppression) until() int64 {
	if s.Until.IsZero() {
		return 0
	}
	return s.Until.UnixMicro()
}

// Suppressed returns what is remembered of an erased person's number, if anything.
func (r *Ring) Suppressed(ctx context.Context, ssin domain.SSIN) (Suppression, bool, error) {
	hash := r.suppression(ssin)
	var until int64
	var basis string
	found, err := r.row(ctx, `SELECT until, basis FROM suppressions WHERE ssin = ? AND (until = 0 OR until > ?)`, []any{hash[:], r.micros()}, &until, &basis)
	if err != nil || !found {
		return Suppression{}, false, unavailable(ctx, "read suppression", err)
	}
	s := Suppression{Basis: domain.LegalBasis(basis)}
	if until != 0 {
		s.Until = time.UnixMicro(until).UTC()
	}
	return s, true, nil
}

// ReleaseTag returns a keyed digest of a number for one release: by it an approver is held
// to the number that was proposed, and no two releases have one in common.
func (r *Ring) ReleaseTag(release domain.ReleaseID, ssin domain.SSIN) (tag [16]byte) {
	sum := r.deployment[suppressionKey].MAC([]byte("release/v1\x00"), release.UUID[:], []byte(ssin.Reveal()))
	copy(tag[:], sum[:])
	return tag
}

// EndSuppression sets when the memory of an erased person's number ends, and on which legal
// basis it is kept until then. It returns ErrNotErased when there is none.
func (r *Ring) EndSuppression(ctx context.Context, ssin domain.SSIN, s Suppression) error {
	hash := r.suppression(ssin)
	n, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`UPDATE suppressions SET until = ?, basis = ? WHERE ssin = ?`, s.until(), string(s.Basis), hash[:])
	})
	if err == nil && n == 0 {
		return ErrNotErased
	}
	return unavailable(ctx, "end suppression", err)
}

// PurgeSuppressions removes the memories that have ended.
func (r *Ring) PurgeSuppressions(ctx context.Context) error {
	now := r.micros()
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`DELETE FROM suppressions WHERE until <> 0 AND until <= ?`, now)
	})
	return unavailable(ctx, "remove suppressions", err)
}

// suppression is what is left of the SSIN of an erased person.
func (r *Ring) suppression(ssin domain.SSIN) [32]byte {
	return r.deployment[suppressionKey].MAC([]byte("ssin/v1\x00"), []byte(ssin.Reveal()))
}

// suppressionRule is what an enrolment does about a suppression, in its transaction.
type suppressionRule func(tx *keysdb.Tx, ssin [32]byte, now int64) error

func stillSuppressed(tx *keysdb.Tx, ssin [32]byte, now int64) error {
	var one int
	err := tx.Row(`SELECT 1 FROM suppressions WHERE ssin = ? AND (until = 0 OR until > ?)`, []any{ssin[:], now}, &one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	return ErrCitizenErased
}

func liftSuppression(tx *keysdb.Tx, ssin [32]byte, now int64) error {
	n, err := tx.Exec(`DELETE FROM suppressions WHERE ssin = ?`, ssin[:])
	if err == nil && n == 0 {
		return ErrNotErased
	}
	return err
}
