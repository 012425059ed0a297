package seal

import (
	"context"

	"github.com/google/uuid"

	"coffre/domain"
)

// EachActive calls each with every citizen whose registration was appended to the log, as
// far as the ring knows, in no order.
func (r *Ring) EachActive(ctx context.Context, each func(domain.CitizenID) error) error {
	err := r.rows(ctx, `SELECT citizen FROM subjects WHERE state = ?`, []any{active}, func(scan func(...any) error) error {
		var id []byte
		if err := scan(&id); err != nil {
			return err
		}
		citizen, err := uuid.FromBytes(id)
		if err != nil {
			return err
		}
		return each(domain.CitizenID{UUID: citizen})
	})
	return unavailable(ctx, "read subjects", err)
}
