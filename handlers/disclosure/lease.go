package disclosure

import (
	"context"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/handlers/edge"
)

// Whatever is opened for an answer is opened under the answer's lease: when a key is
// withdrawn or destroyed, the answers that hold what it opened end, in this process
// before the destruction goes on (rule E-3).

// leasedOpener opens for one answer.
type leasedOpener struct {
	eventstore.Opener
	lease *seal.KeyLease
}

// Open implements eventstore.Opener.
func (o leasedOpener) Open(ctx context.Context, dst []byte, place eventstore.Place, sealed []byte) ([]byte, error) {
	if err := o.lease.Cover(ctx, place.Stream); err != nil {
		return nil, err
	}
	return o.Opener.Open(ctx, dst, place, sealed)
}

// openerFor returns the opener for the work of ctx: for an answer, under its lease.
func (dis *Discloser) openerFor(ctx context.Context) eventstore.Opener {
	if lease := dis.leaseOf(ctx); lease != nil {
		return leasedOpener{dis.opener, lease}
	}
	return dis.opener
}

// leaseOf returns the lease of the answer that ctx belongs to, nil outside a request.
func (dis *Discloser) leaseOf(ctx context.Context) *seal.KeyLease {
	lease, _ := edge.CallFrom(ctx).Lease(func(ended func(error)) edge.Lease { return dis.Keys.NewKeyLease(ended) }).(*seal.KeyLease)
	return lease
}

// openSSIN opens the latest number of a citizen for the work of ctx.
func (dis *Discloser) openSSIN(ctx context.Context, id domain.CitizenID) (domain.SSIN, error) {
	if lease := dis.leaseOf(ctx); lease != nil {
		lease.CoverCitizen(id)
	}
	return dis.Keys.SSINOf(ctx, id)
}
