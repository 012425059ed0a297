package seal

import (
	"context"
	"time"

	"coffre/domain"
	"coffre/eventstore/seal/keysdb"
)

// Suppression is the memory that a person was erased, kept as an HMAC of their numbers
// under a key of its own (rule E-4).
type Suppression struct {
	Until time.Time         // zero: without end
	Basis domain.LegalBasis // why it may be remembered
	Since time.Time         // the day of the erasure in Belgium, as the beginning of that date in UTC; zero: it was not kept
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
	e, err := r.db.Entry(ctx, suppressions, bySuppression, hash.of[:], hash.echo[:])
	if err != nil || e == nil || !holds(e, r.micros()) {
		return Suppression{}, false, unavailable(ctx, "read suppression", err)
	}
	return suppressionOf(e), true, nil
}

func suppressionOf(e *keysdb.Entry) Suppression {
	s := Suppression{Basis: domain.LegalBasis(e.Text("basis"))}
	if until := e.Int("until"); until != 0 {
		s.Until = time.UnixMicro(until).UTC()
	}
	if since := e.Int("since"); since != 0 {
		s.Since = time.UnixMicro(since).UTC()
	}
	return s
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
		return tx.Update(suppressions, bySuppression, []any{hash.of[:], hash.echo[:]}, s.put)
	})
	if err == nil && n == 0 {
		return ErrNotErased
	}
	return unavailable(ctx, "end suppression", err)
}

// put stores the term and the basis in a row.
func (s Suppression) put(e *keysdb.Entry) {
	e.Set("until", s.until())
	e.Set("basis", string(s.Basis))
}

// PurgeSuppressions removes the memories that have ended. A damaged one stays, whatever
// end it tells.
func (r *Ring) PurgeSuppressions(ctx context.Context) error {
	now := r.micros()
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (struct{}, error) {
		return struct{}{}, tx.Each(suppressions, `until <> 0 AND until <= ?`, []any{now}, func(e *keysdb.Entry, damage error) error {
			if damage != nil {
				return nil
			}
			return forget(tx, e)
		})
	})
	return unavailable(ctx, "remove suppressions", err)
}

// suppressed is what is left of the SSIN of an erased person: an HMAC, and one of that,
// which is the second way to the row.
type suppressed struct{ of, echo [32]byte }

func (r *Ring) suppression(ssin domain.SSIN) suppressed {
	return r.echoed(r.deployment[suppressionKey].MAC([]byte("ssin/v1\x00"), []byte(ssin.Reveal())))
}

// echoed adds the second way to the first.
func (r *Ring) echoed(of [32]byte) suppressed {
	return suppressed{of, r.deployment[suppressionKey].MAC([]byte("echo/v1\x00"), of[:])}
}

// bySuppression finds a row by either way; one whose MAC does not fit is a damage to
// whoever finds it by the other.
const bySuppression = `ssin = ? OR echo = ?`

// holds reports whether a suppression has not ended.
func holds(e *keysdb.Entry, now int64) bool {
	until := e.Int("until")
	return until == 0 || until > now
}

// suppressionRule is what an enrolment does about a suppression, in its transaction.
type suppressionRule func(tx *keysdb.Tx, ssin suppressed, now int64) error

func stillSuppressed(tx *keysdb.Tx, ssin suppressed, now int64) error {
	e, err := tx.Entry(suppressions, bySuppression, ssin.of[:], ssin.echo[:])
	switch {
	case err != nil:
		return err
	case e == nil:
		return notRemembered(tx, ssin.of)
	case holds(e, now):
		return ErrCitizenErased
	}
	return nil
}

func liftSuppression(tx *keysdb.Tx, ssin suppressed, now int64) error {
	e, err := tx.Entry(suppressions, bySuppression, ssin.of[:], ssin.echo[:])
	switch {
	case err != nil:
		return err
	case e != nil:
		return forget(tx, e)
	}
	if err := notRemembered(tx, ssin.of); err != nil {
		return err
	}
	return ErrNotErased
}

// suppress remembers that the person with a number was erased, since the day of at.
func (r *Ring) suppress(tx *keysdb.Tx, of []byte, s Suppression, at int64) error {
	s.Since = time.Unix(domain.BelgianDay(time.UnixMicro(at))*24*3600, 0)
	hash := r.echoed([32]byte(of))
	e, err := tx.Entry(suppressions, bySuppression, hash.of[:], hash.echo[:])
	switch {
	case err != nil:
		return err
	case e == nil:
		return remember(tx, hash, s)
	}
	s.put(e)
	return tx.Put(e)
}
