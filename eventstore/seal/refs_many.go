package seal

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/sync/errgroup"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

const (
	// refsAtOnce is how many references one query of Refs reads.
	refsAtOnce = 200
	// refsMadeAtOnce is how many references Refs makes at the same time, which the key
	// database then commits together.
	refsMadeAtOnce = 32
)

var readReferences = readReference + `c.organisation = ? AND c.citizen IN (?` + strings.Repeat(`, ?`, refsAtOnce-1) + `)`

// Refs returns what an organisation knows each of the citizens by, as [Ring.Ref] does. A
// citizen whom the ring does not know or has erased is not among the answers. The references
// stay out of the ring's memory, which those of everybody would take from the others.
func (r *Ring) Refs(ctx context.Context, organisation domain.Organisation, citizens []domain.CitizenID) (map[domain.CitizenID]domain.CitizenRef, error) {
	if err := r.leased(ctx); err != nil {
		return nil, err
	}
	found := make(map[domain.CitizenID]domain.CitizenRef, len(citizens))
	for len(citizens) > 0 {
		some := citizens[:min(len(citizens), refsAtOnce)]
		citizens = citizens[len(some):]
		if err := r.readRefs(ctx, organisation, some, found); err != nil {
			return nil, unavailable(ctx, "read references", err)
		}
		if err := r.makeRefs(ctx, organisation, some, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// readRefs adds those references to found that are there.
func (r *Ring) readRefs(ctx context.Context, organisation domain.Organisation, some []domain.CitizenID, found map[domain.CitizenID]domain.CitizenRef) error {
	args := []any{string(organisation)}
	for i := range refsAtOnce {
		args = append(args, some[min(i, len(some)-1)].UUID[:])
	}
	return r.db.Joined(ctx, readReferences, args, []*keysdb.Table{references, subjects}, func(rows []*keysdb.Entry) error {
		if rows[1] == nil {
			return r.db.Missing(subjects)
		}
		citizen, err := citizenOf(rows[0])
		if err != nil || !stateOfEntry(rows[1]).usable() {
			return err
		}
		found[citizen], err = citizenRef(rows[0].Bytes("ref"))
		return err
	})
}

// makeRefs adds those references to found that are not among them yet.
func (r *Ring) makeRefs(ctx context.Context, organisation domain.Organisation, some []domain.CitizenID, found map[domain.CitizenID]domain.CitizenRef) error {
	made := make([]domain.CitizenRef, len(some))
	making, ctx := errgroup.WithContext(ctx)
	making.SetLimit(refsMadeAtOnce)
	for i, citizen := range some {
		if _, ok := found[citizen]; ok {
			continue
		}
		making.Go(func() (err error) {
			made[i], err = r.findRef(ctx, organisation, citizen)
			if errors.Is(err, ErrUnknown) || errors.Is(err, eventstore.ErrErased) {
				err = nil
			}
			return err
		})
	}
	if err := making.Wait(); err != nil {
		return err
	}
	for i, ref := range made {
		if !ref.IsZero() {
			found[some[i]] = ref
		}
	}
	return nil
}
