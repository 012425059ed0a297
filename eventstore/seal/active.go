package seal

import (
	"context"

	"coffre/domain"
	"coffre/eventstore/seal/keysdb"
)

// EachActive calls each with every citizen whose registration was appended to the log, as
// far as the ring knows, in no order.
func (r *Ring) EachActive(ctx context.Context, each func(domain.CitizenID) error) error {
	err := r.db.Each(ctx, subjects, `state = ?`, []any{active}, func(e *keysdb.Entry, damage error) error {
		if damage != nil { // it is named, and must not keep the others waiting
			return nil
		}
		citizen, err := citizenOf(e)
		if err != nil {
			return err
		}
		return each(citizen)
	})
	return unavailable(ctx, "read subjects", err)
}
