package seal

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// Refusals of the ring.
var (
	// ErrCitizenErased answers rule E-4: erased stays erased.
	ErrCitizenErased = domain.NewError(domain.Conflict, "citizenErased", "this person was erased; only a lawful new registration may follow")
	// ErrNotErased: a new life is for a person who was erased.
	ErrNotErased = domain.NewError(domain.Conflict, "citizenNotErased", "this person was not erased, so no new registration is needed")
	// ErrSSINTaken: a replacement number already belongs to another person.
	ErrSSINTaken = domain.NewError(domain.Conflict, "ssinTaken", "the number belongs to another person in the vault")
)

// Resolve returns the citizen with that number, by its blind index: pending
// ones too, for their registration may be in the log already. It returns
// ErrUnknown, or eventstore.ErrErased for a person whose erasure has begun, ended,
// or is remembered as a suppression.
func (r *Ring) Resolve(ctx context.Context, ssin domain.SSIN) (domain.CitizenID, error) {
	citizen, _, err := r.resolve(ctx, ssin)
	return citizen, err
}

func (r *Ring) resolve(ctx context.Context, ssin domain.SSIN) (domain.CitizenID, state, error) {
	if err := r.leased(ctx); err != nil {
		return domain.CitizenID{}, 0, err
	}
	suppression := r.suppression(ssin)
	for {
		p := r.peppers.Load()
		blind := blindOf(p.look(), ssin)
		if citizen, ok := r.numbers.get(blind); ok {
			return citizen, active, nil
		}
		gen := r.gen.Load()
		// One statement, so that known and unknown take the same way, and so that the
		// number is looked for under the pepper of that very moment.
		const query = `SELECT e.pepper_epoch, f.citizen, f.state FROM ring_state e LEFT JOIN (
				SELECT 1 AS rank, s.citizen, s.state FROM subject_ssins n JOIN subjects s ON s.citizen = n.citizen WHERE n.blind = ?
				UNION ALL SELECT 2, NULL, 0 FROM suppressions WHERE ssin = ? AND (until = 0 OR until > ?)
			) f ON 1 = 1 WHERE e.id = 1 ORDER BY f.rank LIMIT 1`
		var epoch int64
		var id []byte
		var st *state
		found, err := r.row(ctx, query, []any{blind[:], suppression[:], r.micros()}, &epoch, &id, &st)
		switch {
		case err != nil:
			return domain.CitizenID{}, 0, unavailable(ctx, "resolve citizen", err)
		case !found:
			return domain.CitizenID{}, 0, fmt.Errorf("resolve citizen: the key ring has no state: %w", eventstore.ErrTampered)
		case epoch != p.epoch:
			if err := r.readPeppers(ctx); err != nil {
				return domain.CitizenID{}, 0, err
			}
			continue
		case st == nil:
			return domain.CitizenID{}, 0, ErrUnknown
		case !st.usable():
			return domain.CitizenID{}, *st, eventstore.ErrErased
		}
		citizen, err := citizenID(id)
		if err != nil {
			return domain.CitizenID{}, 0, err
		}
		if *st == active {
			r.numbers.put(blind, citizen, r.unmoved(gen))
		}
		return citizen, *st, nil
	}
}

// suppression is what is left of the SSIN of an erased person.
func (r *Ring) suppression(ssin domain.SSIN) [32]byte {
	return r.deployment[suppressionKey].MAC([]byte("ssin/v1\x00"), []byte(ssin.Reveal()))
}

func citizenID(b []byte) (domain.CitizenID, error) {
	id, err := uuid.FromBytes(b)
	if err != nil {
		return domain.CitizenID{}, fmt.Errorf("citizen in the key ring: %w", err)
	}
	return domain.CitizenID{UUID: id}, nil
}

// Enroll returns the citizen with that number and makes one, with a key of their
// own, when there is none. isNew is set until [Ring.Activate]: the caller then
// appends citizen.registered at NoStream, which only one of several succeeds in,
// and activates. It returns ErrCitizenErased for an erased person (rule E-4).
func (r *Ring) Enroll(ctx context.Context, ssin domain.SSIN) (citizen domain.CitizenID, isNew bool, err error) {
	citizen, st, err := r.resolve(ctx, ssin)
	switch {
	case errors.Is(err, eventstore.ErrErased):
		return domain.CitizenID{}, false, ErrCitizenErased
	case errors.Is(err, ErrUnknown):
		return r.enroll(ctx, ssin, stillSuppressed)
	}
	return citizen, st == pending, err
}

// EnrollNewLife lifts the suppression of an erased person, on a basis that the
// caller has checked and puts into citizen.registered, and makes a citizen with an
// independent id and key. Asked again it answers as Enroll does. It returns
// ErrNotErased for a number that is not suppressed, and ErrCitizenErased while the
// former erasure is not done.
func (r *Ring) EnrollNewLife(ctx context.Context, ssin domain.SSIN) (citizen domain.CitizenID, isNew bool, err error) {
	citizen, st, err := r.resolve(ctx, ssin)
	switch {
	case errors.Is(err, eventstore.ErrErased) && st == erasing:
		return domain.CitizenID{}, false, ErrCitizenErased
	case errors.Is(err, eventstore.ErrErased), errors.Is(err, ErrUnknown):
		return r.enroll(ctx, ssin, liftSuppression)
	}
	return citizen, st == pending, err
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

func (r *Ring) enroll(ctx context.Context, ssin domain.SSIN, rule suppressionRule) (domain.CitizenID, bool, error) {
	fresh, err := uuid.NewRandom()
	if err != nil {
		return domain.CitizenID{}, false, fmt.Errorf("make citizen id: %w", err)
	}
	mine := domain.CitizenID{UUID: fresh}
	dek := newKey()
	defer clear(dek[:])
	gen := r.gen.Load()
	subject, err := newSubject(mine, dek[:], gen)
	if err != nil {
		return domain.CitizenID{}, false, err
	}
	sealed, err := subject.sealSSIN(ssin)
	if err != nil {
		return domain.CitizenID{}, false, err
	}
	var got enrolled
	for attempt := 0; ; attempt++ {
		wrapped, err := r.wraps.one(ctx, &WrapItem{Plain: bytes.Clone(dek[:]), AAD: dekAAD(mine)})
		if err != nil {
			return domain.CitizenID{}, false, fmt.Errorf("wrap data key: %w", err)
		}
		if got, err = r.storeSubject(ctx, mine, wrapped, ssin, sealed, rule); err != nil {
			return domain.CitizenID{}, false, unavailable(ctx, "enroll citizen", err)
		}
		if !got.stale {
			break
		}
		if err := r.catchUp(ctx, attempt); err != nil {
			return domain.CitizenID{}, false, err
		}
	}
	switch {
	case got.refusal != nil:
		return domain.CitizenID{}, false, got.refusal
	case !got.st.usable():
		return domain.CitizenID{}, false, ErrCitizenErased
	}
	citizen, err := citizenID(got.id)
	if err != nil {
		return domain.CitizenID{}, false, err
	}
	if citizen != mine || !r.subjects.put(mine, subject, r.unmoved(gen)) {
		subject.zero()
	}
	return citizen, got.st == pending, nil
}

// enrolled is what the transaction of an enrolment answers.
type enrolled struct {
	id      []byte
	st      state
	refusal error
	stale   bool // this process was behind: nothing was written
}

func (r *Ring) storeSubject(ctx context.Context, mine domain.CitizenID, wrapped Wrapped, ssin domain.SSIN, sealed []byte, rule suppressionRule) (enrolled, error) {
	blinds := r.blinds(ssin)
	suppression, now := r.suppression(ssin), r.micros()
	return keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (a enrolled, err error) {
		at, err := stateIn(tx)
		if err != nil || at.epoch != blinds.epoch || wrapped.Version < at.floor {
			return enrolled{stale: true}, err
		}
		for _, blind := range blinds.of {
			switch err := tx.Row(`SELECT s.citizen, s.state FROM subject_ssins n JOIN subjects s ON s.citizen = n.citizen WHERE n.blind = ?`,
				[]any{blind.hash[:]}, &a.id, &a.st); {
			case err == nil:
				return a, nil // another was faster
			case !errors.Is(err, sql.ErrNoRows):
				return a, err
			}
		}
		if err := rule(tx, suppression, now); err != nil {
			var refusal *domain.Error
			if errors.As(err, &refusal) { // it wrote nothing: an answer, not an error
				return enrolled{refusal: refusal}, nil
			}
			return a, err
		}
		if _, err := tx.Exec(`INSERT INTO subjects (citizen, state, wrapped, kek_version, created) VALUES (?, ?, ?, ?, ?)`,
			mine.UUID[:], pending, wrapped.Bytes, wrapped.Version, now); err != nil {
			return a, err
		}
		return enrolled{id: mine.UUID[:], st: pending}, insertSSIN(tx, blinds.of, mine, sealed, suppression)
	})
}

// insertSSIN adds a number, as the latest of the citizen, under every pepper in use.
func insertSSIN(tx *keysdb.Tx, blinds []blindIndex, citizen domain.CitizenID, sealed []byte, suppression [32]byte) error {
	var ordinal int64
	if err := tx.Row(`SELECT coalesce(max(ordinal), 0) + 1 FROM subject_ssins WHERE citizen = ?`, []any{citizen.UUID[:]}, &ordinal); err != nil {
		return err
	}
	for _, b := range blinds {
		if _, err := tx.Exec(`INSERT INTO subject_ssins (blind, pepper_version, citizen, sealed, suppression, ordinal) VALUES (?, ?, ?, ?, ?, ?)`,
			b.hash[:], b.pepper, citizen.UUID[:], sealed, suppression[:], ordinal); err != nil {
			return err
		}
	}
	return nil
}

// Activate says that citizen.registered of a pending citizen is in the log. It is
// not awaited: a crash may lose it, and then [Ring.Pending] still names the citizen.
func (r *Ring) Activate(citizen domain.CitizenID) error {
	err := r.db.Post(func(tx *keysdb.Tx) error {
		_, err := tx.Exec(`UPDATE subjects SET state = ? WHERE citizen = ? AND state = ?`, active, citizen.UUID[:], pending)
		return err
	})
	if err != nil {
		return fmt.Errorf("activate citizen: %w: %w", eventstore.ErrKeysUnavailable, err)
	}
	return nil
}

// Pending returns the citizens whose registration was not confirmed. At start the
// caller looks whether citizen.registered is in the log, appends it where it is
// not, and activates each.
func (r *Ring) Pending(ctx context.Context) ([]domain.CitizenID, error) {
	return r.inState(ctx, pending)
}

// Erasing returns the citizens whose erasure has begun and has not ended.
func (r *Ring) Erasing(ctx context.Context) ([]domain.CitizenID, error) {
	return r.inState(ctx, erasing)
}

// Fate says what became of a citizen's keys.
type Fate int

const (
	InUse     Fate = iota + 1
	Withdrawn      // their erasure has begun: nobody uses them, and they are still there
	Gone           // destroyed
)

// FateOf asks the database what became of the citizen's keys. It returns ErrUnknown.
func (r *Ring) FateOf(ctx context.Context, citizen domain.CitizenID) (Fate, error) {
	var st state
	found, err := r.row(ctx, `SELECT state FROM subjects WHERE citizen = ?`, []any{citizen.UUID[:]}, &st)
	switch {
	case err != nil:
		return 0, unavailable(ctx, "read subject", err)
	case !found:
		return 0, ErrUnknown
	case st == erasing:
		return Withdrawn, nil
	case st == destroyed:
		return Gone, nil
	}
	return InUse, nil
}

func (r *Ring) inState(ctx context.Context, st state) ([]domain.CitizenID, error) {
	var out []domain.CitizenID
	// The first condition is that of the partial index.
	err := r.rows(ctx, `SELECT citizen FROM subjects WHERE state IN (1, 3) AND state = ? ORDER BY id`, []any{st}, func(scan func(...any) error) error {
		var id []byte
		if err := scan(&id); err != nil {
			return err
		}
		citizen, err := citizenID(id)
		out = append(out, citizen)
		return err
	})
	return out, unavailable(ctx, "read subjects", err)
}

// Missing returns those of the citizens, which the log names, that the ring does not
// know: it is older than the log, and the program must not start.
func (r *Ring) Missing(ctx context.Context, citizens []domain.CitizenID) ([]domain.CitizenID, error) {
	var missing []domain.CitizenID
	for _, citizen := range citizens {
		var one int
		found, err := r.row(ctx, `SELECT 1 FROM subjects WHERE citizen = ?`, []any{citizen.UUID[:]}, &one)
		if err != nil {
			return nil, unavailable(ctx, "read subjects", err)
		}
		if !found {
			missing = append(missing, citizen)
		}
	}
	return missing, nil
}

// AddSSIN gives the citizen a further number, which becomes the one SSINOf
// returns (citizen.ssin-replaced). Repeated with the latest number it does nothing.
// It returns ErrSSINTaken, ErrCitizenErased, eventstore.ErrErased or ErrUnknown.
func (r *Ring) AddSSIN(ctx context.Context, citizen domain.CitizenID, ssin domain.SSIN) error {
	var sealed []byte
	err := r.using(ctx, citizen, func(s *subject) (err error) {
		sealed, err = s.sealSSIN(ssin)
		return err
	})
	if err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		refusal, err := r.addSSIN(ctx, citizen, ssin, sealed)
		switch {
		case err != nil:
			return unavailable(ctx, "add number", err)
		case !errors.Is(refusal, errStale):
			return refusal
		}
		if err := r.catchUp(ctx, attempt); err != nil {
			return err
		}
	}
}

func (r *Ring) addSSIN(ctx context.Context, citizen domain.CitizenID, ssin domain.SSIN, sealed []byte) (refusal, err error) {
	blinds := r.blinds(ssin)
	suppression, now := r.suppression(ssin), r.micros()
	return keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (refusal error, err error) {
		if at, err := stateIn(tx); err != nil {
			return nil, err
		} else if at.epoch != blinds.epoch {
			return errStale, nil
		}
		if st, err := stateOf(tx, citizen); err != nil {
			return nil, err
		} else if st == 0 {
			return ErrUnknown, nil
		} else if !st.usable() {
			return eventstore.ErrErased, nil
		}
		if err := stillSuppressed(tx, suppression, now); err == ErrCitizenErased {
			return err, nil
		} else if err != nil {
			return nil, err
		}
		for _, blind := range blinds.of {
			var id []byte
			err := tx.Row(`SELECT citizen FROM subject_ssins WHERE blind = ?`, []any{blind.hash[:]}, &id)
			switch {
			case errors.Is(err, sql.ErrNoRows):
				continue
			case err != nil:
				return nil, err
			case [16]byte(id) != citizen.UUID:
				return ErrSSINTaken, nil
			}
			// A former number that is the latest again goes to the end.
			if _, err := tx.Exec(`DELETE FROM subject_ssins WHERE blind = ?`, blind.hash[:]); err != nil {
				return nil, err
			}
		}
		return nil, insertSSIN(tx, blinds.of, citizen, sealed, suppression)
	})
}

// stateOf is 0 for a citizen who is not in the ring.
func stateOf(tx *keysdb.Tx, citizen domain.CitizenID) (st state, err error) {
	err = tx.Row(`SELECT state FROM subjects WHERE citizen = ?`, []any{citizen.UUID[:]}, &st)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return st, err
}

// SSINOf opens the citizen's latest number. It returns ErrUnknown or
// eventstore.ErrErased.
func (r *Ring) SSINOf(ctx context.Context, citizen domain.CitizenID) (domain.SSIN, error) {
	if _, err := r.subject(ctx, citizen); err != nil {
		return domain.SSIN{}, err
	}
	var sealed []byte
	found, err := r.row(ctx, `SELECT sealed FROM subject_ssins WHERE citizen = ? ORDER BY ordinal DESC LIMIT 1`, []any{citizen.UUID[:]}, &sealed)
	switch {
	case err != nil:
		return domain.SSIN{}, unavailable(ctx, "read number", err)
	case !found: // destroyed a moment ago, or damaged
		if err := r.read(ctx); err != nil {
			return domain.SSIN{}, err
		}
		if _, err := r.subject(ctx, citizen); err != nil {
			return domain.SSIN{}, err
		}
		return domain.SSIN{}, fmt.Errorf("citizen without a number: %w", eventstore.ErrTampered)
	}
	var ssin domain.SSIN
	err = r.using(ctx, citizen, func(s *subject) (err error) {
		ssin, err = s.openSSIN(sealed)
		return err
	})
	if err != nil {
		return domain.SSIN{}, err
	}
	return ssin, nil
}

// DocumentID is the id of the document that this issuer, type and source
// reference make for the citizen (rule D-4): the same each time, and nobody can compute
// it without the citizen's key.
func (r *Ring) DocumentID(ctx context.Context, citizen domain.CitizenID, issuer domain.Organisation, typ domain.DocumentType, sourceReference string) (domain.DocumentID, error) {
	var id domain.DocumentID
	err := r.using(ctx, citizen, func(s *subject) error {
		id.UUID = s.documentID.documentUUID(issuer, typ, sourceReference)
		return nil
	})
	return id, err
}

// ContentTag tells equal contents of one citizen apart from others (rule D-4).
// canonical is the content in the form of RFC 8785.
func (r *Ring) ContentTag(ctx context.Context, citizen domain.CitizenID, canonical []byte) (tag [16]byte, err error) {
	err = r.using(ctx, citizen, func(s *subject) error {
		sum := s.contentTag.mac(canonical)
		copy(tag[:], sum[:])
		return nil
	})
	return tag, err
}
