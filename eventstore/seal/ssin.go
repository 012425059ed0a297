package seal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
	suppression := r.suppression(ssin)
	for {
		p := r.peppers.Load()
		blind := blindOf(p.look(), ssin)
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
		return citizen, *st, err
	}
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
