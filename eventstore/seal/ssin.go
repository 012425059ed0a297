package seal

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// Resolve returns the citizen with that number, by its blind index: pending
// ones too, for their registration may be in the log already. It returns
// ErrUnknown, or eventstore.ErrErased for a person whose erasure has begun, ended,
// or is remembered as a suppression.
func (r *Ring) Resolve(ctx context.Context, ssin domain.SSIN) (domain.CitizenID, error) {
	citizen, _, err := r.resolve(ctx, ssin)
	return citizen, err
}

// ResolveUnremembered answers as [Ring.Resolve] does, and takes the same way for every
// number: it neither looks at the citizens remembered in memory nor adds to them. So the
// time tells nobody whether a number was known, nor whether somebody asked before
// (rule A-9).
func (r *Ring) ResolveUnremembered(ctx context.Context, ssin domain.SSIN) (domain.CitizenID, error) {
	if err := r.leased(ctx); err != nil {
		return domain.CitizenID{}, err
	}
	citizen, _, err := r.find(ctx, ssin)
	return citizen, err
}

// resolve returns a citizen who is remembered, or reads who it is and remembers them.
func (r *Ring) resolve(ctx context.Context, ssin domain.SSIN) (domain.CitizenID, state, error) {
	if err := r.leased(ctx); err != nil {
		return domain.CitizenID{}, 0, err
	}
	if citizen, ok := r.numbers.get(blindOf(r.peppers.Load().look(), ssin)); ok {
		return citizen, active, nil
	}
	gen := r.gen.Load()
	citizen, st, err := r.find(ctx, ssin)
	if err == nil && st == active {
		r.numbers.put(blindOf(r.peppers.Load().look(), ssin), citizen, r.unmoved(gen))
	}
	return citizen, st, err
}

// find reads the citizen with that number and the state of their keys.
func (r *Ring) find(ctx context.Context, ssin domain.SSIN) (domain.CitizenID, state, error) {
	for {
		p := r.peppers.Load()
		found, err := r.lookUp(ctx, p.blinds(ssin))
		switch {
		case err != nil:
			return domain.CitizenID{}, 0, unavailable(ctx, "resolve citizen", err)
		case found.epoch != p.epoch:
			if err := r.readPeppers(ctx); err != nil {
				return domain.CitizenID{}, 0, err
			}
			continue
		case found.hidden: // it is there, and its index is not what it was
			return domain.CitizenID{}, 0, unavailable(ctx, "resolve citizen", r.db.Missing(numbers))
		case found.subject == nil && found.suppressed:
			return domain.CitizenID{}, 0, eventstore.ErrErased
		case found.subject == nil:
			return domain.CitizenID{}, 0, ErrUnknown
		}
		st := stateOfEntry(found.subject)
		if !st.usable() {
			return domain.CitizenID{}, st, eventstore.ErrErased
		}
		citizen, err := citizenOf(found.subject)
		return citizen, st, err
	}
}

// lookedUp is what the ring knows of a number.
type lookedUp struct {
	epoch      int64         // of the peppers
	subject    *keysdb.Entry // whose number it is; nil: nobody's
	suppressed bool          // of an erased person
	hidden     bool          // a row of the number is there which the blind index does not find
}

// lookUpStatement is one statement, so that known and unknown take the same way, and so that
// the number is looked for under the pepper of that very moment, and under the versions of the
// suppression key, of which there are n.
func lookUpStatement(n int) string {
	if n == 1 {
		return lookUpOne
	}
	in := ` IN (` + strings.Repeat(`?, `, n-1) + `?)`
	return strings.NewReplacer(`n.suppression = ?`, `n.suppression`+in, `p.ssin = ?`, `p.ssin`+in, `p.echo = ?`, `p.echo`+in).Replace(lookUpOne)
}

var lookUpOne = `SELECT ` + ringStates.Of("e") + `, ` + numbers.Of("n") + `, ` + subjects.Of("s") + `, ` + suppressions.Of("p") + `
	FROM ring_state e LEFT JOIN subject_ssins n ON n.blind = ? OR n.suppression = ? LEFT JOIN subjects s ON s.citizen = n.citizen
	LEFT JOIN suppressions p ON p.ssin = ? OR p.echo = ? WHERE e.id = 1`

func (r *Ring) lookUp(ctx context.Context, b blinds) (found lookedUp, err error) {
	any, now, blind := false, r.micros(), b.of[0].hash
	args := []interface{}{blind[:]}
	for range 2 {
		for i := range b.remembered {
			args = append(args, b.remembered[i].of[:])
		}
	}
	for i := range b.remembered {
		args = append(args, b.remembered[i].echo[:])
	}
	err = r.db.Joined(ctx, lookUpStatement(len(b.remembered)), args, []*keysdb.Table{ringStates, numbers, subjects, suppressions},
		func(rows []*keysdb.Entry) error {
			e, number, subject, suppression := rows[0], rows[1], rows[2], rows[3]
			any, found.epoch = true, e.Int("pepper_epoch")
			found.suppressed = found.suppressed || suppression != nil && holds(suppression, now)
			switch {
			case number == nil:
			case subject == nil:
				return r.db.Missing(subjects)
			case string(number.Bytes("blind")) == string(blind[:]):
				found.subject = subject
			default:
				found.hidden = true
			}
			return nil
		})
	if err == nil && !any {
		err = r.db.Missing(ringStates)
	}
	found.hidden = found.hidden && found.subject == nil
	return found, err
}

func citizenID(b []byte) (domain.CitizenID, error) {
	id, err := uuid.FromBytes(b)
	if err != nil {
		return domain.CitizenID{}, fmt.Errorf("citizen in the key ring: %w", err)
	}
	return domain.CitizenID{UUID: id}, nil
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
	now := r.micros()
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
		if err := stillSuppressed(tx, blinds.remembered, now); err == ErrCitizenErased {
			return err, nil
		} else if err != nil {
			return nil, err
		}
		known, err := knownNumber(tx, blinds)
		switch {
		case err != nil:
			return nil, err
		case known == nil:
			if err := r.trustAbsence(tx, blinds); err != nil { // it may be another's, or an erased person's
				return nil, err
			}
		case string(known.Bytes("citizen")) != string(citizen.UUID[:]):
			return ErrSSINTaken, nil
		}
		for _, blind := range blinds.of {
			e, err := tx.Entry(numbers, `blind = ?`, blind.hash[:])
			if err != nil {
				return nil, err
			}
			if e == nil {
				continue
			}
			// A former number that is the latest again goes to the end.
			if err := tx.Remove(e); err != nil {
				return nil, err
			}
		}
		return nil, insertSSIN(tx, blinds.of, citizen, sealed)
	})
}

// insertSSIN adds a number, as the latest of the citizen, under every pepper in use.
func insertSSIN(tx *keysdb.Tx, blinds []blindIndex, citizen domain.CitizenID, sealed []byte) error {
	var ordinal int64
	if err := tx.Row(`SELECT coalesce(max(ordinal), 0) + 1 FROM subject_ssins WHERE citizen = ?`, []any{citizen.UUID[:]}, &ordinal); err != nil {
		return err
	}
	for _, b := range blinds {
		if err := tx.Insert(numbers, b.hash[:], b.pepper, citizen.UUID[:], sealed, b.memory[:], ordinal); err != nil {
			return err
		}
	}
	return nil
}

// SSINOf opens the citizen's latest number. It returns ErrUnknown or
// eventstore.ErrErased.
func (r *Ring) SSINOf(ctx context.Context, citizen domain.CitizenID) (domain.SSIN, error) {
	if _, err := r.subject(ctx, citizen); err != nil {
		return domain.SSIN{}, err
	}
	number, err := r.db.Entry(ctx, numbers, `citizen = ? ORDER BY ordinal DESC LIMIT 1`, citizen.UUID[:])
	switch {
	case err != nil:
		return domain.SSIN{}, unavailable(ctx, "read number", err)
	case number == nil: // destroyed a moment ago, or damaged
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
		ssin, err = s.openSSIN(number.Bytes("sealed"))
		return err
	})
	if err != nil {
		return domain.SSIN{}, err
	}
	return ssin, nil
}
