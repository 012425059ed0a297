package seal

import (
	"bytes"
	"context"
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

func (r *Ring) enroll(ctx context.Context, ssin domain.SSIN, rule suppressionRule) (domain.CitizenID, bool, error) {
	fresh, err := uuid.NewRandom()
	if err != nil {
		return domain.CitizenID{}, false, fmt.Errorf("make citizen id: %w", err)
	}
	mine := domain.CitizenID{UUID: fresh}
	dek := newKey()
	defer clear(dek[:])
	gen := r.gen.Load()
	subject, err := newSubject(mine, dek[:], 1, nil, gen)
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
	now := r.micros()
	return keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (a enrolled, err error) {
		at, err := stateIn(tx)
		if err != nil || at.epoch != blinds.epoch || wrapped.Version < at.floor {
			return enrolled{stale: true}, err
		}
		known, err := knownNumber(tx, blinds)
		if err != nil {
			return a, err
		}
		if known != nil { // another was faster
			return enrolled{id: known.Bytes("citizen"), st: stateOfEntry(known)}, nil
		}
		if err := r.trustAbsence(tx, blinds); err != nil {
			return a, err
		}
		if err := rule(tx, blinds.remembered, now); err != nil {
			var refusal *domain.Error
			if errors.As(err, &refusal) { // it wrote nothing: an answer, not an error
				return enrolled{refusal: refusal}, nil
			}
			return a, err
		}
		if err := tx.Insert(subjects, mine.UUID[:], pending, wrapped.Bytes, wrapped.Version, now, 0, 0); err != nil {
			return a, err
		}
		return enrolled{id: mine.UUID[:], st: pending}, insertSSIN(tx, blinds.of, mine, sealed)
	})
}

// knownNumber returns the row of the citizen who has a number; nil when nobody has. Its
// error is a keysdb.Damage when what would find them is damaged.
func knownNumber(tx *keysdb.Tx, b blinds) (*keysdb.Entry, error) {
	for _, blind := range b.of {
		number, err := tx.Entry(numbers, `blind = ?`, blind.hash[:])
		if err != nil {
			return nil, err
		}
		if number == nil {
			continue
		}
		subject, err := tx.Entry(subjects, `citizen = ?`, number.Bytes("citizen"))
		if err == nil && subject == nil {
			err = tx.Missing(subjects)
		}
		return subject, err
	}
	// The second way: found here only, its index is not what it was.
	for _, hash := range b.remembered {
		number, err := tx.Entry(numbers, `suppression = ?`, hash.of[:])
		if err == nil && number != nil {
			err = tx.Missing(numbers)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// trustAbsence returns an error when the number may be known although nothing finds it.
// While rows by which a person, or the memory of an erased one, would be found are missing
// nobody new is made. Neither is somebody whose row was changed in every column that finds
// it: their number makes it whole.
func (r *Ring) trustAbsence(tx *keysdb.Tx, blinds blinds) error {
	for _, d := range r.db.Damaged() {
		if d.Row == "" && (d.Table == numbers.Name || d.Table == suppressions.Name) || d.Sums() {
			return d
		}
	}
	ways := make([]map[string][]byte, len(blinds.remembered))
	for i, hash := range blinds.remembered {
		ways[i] = map[string][]byte{"ssin": hash.of[:], "echo": hash.echo[:]}
	}
	if err := tx.Misplaced(suppressions, ways...); err != nil {
		return err
	}
	ways = make([]map[string][]byte, len(blinds.of))
	for i, blind := range blinds.of {
		ways[i] = map[string][]byte{"blind": blind.hash[:], "suppression": blind.memory[:]}
	}
	return tx.Misplaced(numbers, ways...)
}

// Activate says that citizen.registered of a pending citizen is in the log. It is
// not awaited: a crash may lose it, and then [Ring.Pending] still names the citizen.
func (r *Ring) Activate(citizen domain.CitizenID) error {
	err := r.db.Post(func(tx *keysdb.Tx) error {
		_, err := tx.Update(subjects, `citizen = ? AND state = ?`, []any{citizen.UUID[:], pending}, func(e *keysdb.Entry) { e.Set("state", active) })
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
