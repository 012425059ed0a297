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
	if err := r.readPeppers(ctx); err != nil { // another process may have made a version of the key
		return Suppression{}, false, err
	}
	for _, hash := range r.blinds(ssin).remembered {
		e, err := r.db.Entry(ctx, suppressions, bySuppression, hash.of[:], hash.echo[:])
		if err != nil {
			return Suppression{}, false, unavailable(ctx, "read suppression", err)
		}
		if e != nil && holds(e, r.micros()) {
			return suppressionOf(e), true, nil
		}
	}
	return Suppression{}, false, nil
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
// to the number that was proposed, and no two releases have one in common. It is proposed, if
// that is the number's under any version of the key that is left.
func (r *Ring) ReleaseTag(release domain.ReleaseID, ssin domain.SSIN, proposed [16]byte) (tag [16]byte) {
	for i, k := range r.peppers.Load().memories {
		sum := k.MAC([]byte("release/v1\x00"), release.UUID[:], []byte(ssin.Reveal()))
		if mine := [16]byte(sum[:16]); i == 0 || mine == proposed {
			tag = mine
		}
	}
	return tag
}

// EndSuppression sets when the memory of an erased person's number ends, and on which legal
// basis it is kept until then. It returns ErrNotErased when there is none.
func (r *Ring) EndSuppression(ctx context.Context, ssin domain.SSIN, s Suppression) error {
	for attempt := 0; ; attempt++ {
		b := r.blinds(ssin)
		n, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (n int64, err error) {
			if at, err := stateIn(tx); err != nil || at.epoch != b.epoch {
				return -1, err
			}
			for _, hash := range b.remembered {
				ended, err := tx.Update(suppressions, bySuppression, []any{hash.of[:], hash.echo[:]}, s.put)
				if err != nil {
					return 0, err
				}
				n += ended
			}
			return n, nil
		})
		switch {
		case err != nil:
			return unavailable(ctx, "end suppression", err)
		case n == 0:
			return ErrNotErased
		case n > 0:
			return nil
		}
		if err := r.catchUp(ctx, attempt); err != nil {
			return err
		}
	}
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
type suppressed struct {
	of, echo [32]byte
	version  int // of the key that both are under
}

// memoryUnder is the digest by which a number is remembered once its person is erased.
func memoryUnder(k DeploymentKey, ssin domain.SSIN) [32]byte {
	return k.MAC([]byte("ssin/v1\x00"), []byte(ssin.Reveal()))
}

// echoed adds the second way to the first.
func echoed(k DeploymentKey, of [32]byte) suppressed {
	return suppressed{of, k.MAC([]byte("echo/v1\x00"), of[:]), k.Version}
}

// bySuppression finds a row by either way; one whose MAC does not fit is a damage to
// whoever finds it by the other.
const bySuppression = `ssin = ? OR echo = ?`

// holds reports whether a suppression has not ended.
func holds(e *keysdb.Entry, now int64) bool {
	until := e.Int("until")
	return until == 0 || until > now
}

// suppressionRule is what an enrolment does about a suppression, in its transaction. It is given
// the digests of the number under every version of the key.
type suppressionRule func(tx *keysdb.Tx, of []suppressed, now int64) error

func stillSuppressed(tx *keysdb.Tx, of []suppressed, now int64) error {
	for _, hash := range of {
		e, err := tx.Entry(suppressions, bySuppression, hash.of[:], hash.echo[:])
		switch {
		case err != nil:
			return err
		case e != nil && holds(e, now):
			return ErrCitizenErased
		case e == nil:
			if err := notRemembered(tx, hash.of); err != nil {
				return err
			}
		}
	}
	return nil
}

func liftSuppression(tx *keysdb.Tx, of []suppressed, now int64) error {
	lifted := false
	for _, hash := range of {
		e, err := tx.Entry(suppressions, bySuppression, hash.of[:], hash.echo[:])
		switch {
		case err != nil:
			return err
		case e != nil:
			if err := forget(tx, e); err != nil {
				return err
			}
			lifted = true
		default:
			if err := notRemembered(tx, hash.of); err != nil {
				return err
			}
		}
	}
	if !lifted {
		return ErrNotErased
	}
	return nil
}

// suppress remembers that the person with a number was erased, since the day of at. It returns
// errStale when this process does not know the present versions of the key.
func (r *Ring) suppress(tx *keysdb.Tx, number *keysdb.Entry, s Suppression, at int64) error {
	p := r.peppers.Load()
	if now, err := stateIn(tx); err != nil {
		return err
	} else if now.epoch != p.epoch {
		return errStale
	}
	s.Since = time.Unix(domain.BelgianDay(time.UnixMicro(at))*24*3600, 0)
	hash := echoed(p.memoryOf(int(number.Int("pepper_version"))), [32]byte(number.Bytes("suppression")))
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
