// Package ends makes a death end what the citizen had set up: their consents are
// withdrawn and their mandates end, those given and those held (rule M-1).
//
// Invariant: each end is an event whose id follows from the report of the death, so
// that however often it is carried out it happens once.
package ends

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/handlers/reactors"
)

// Cause identifies the origin of an event that follows from a death.
type Cause struct {
	ID          uuid.UUID // for the event to append: the same at every repetition
	Event       uuid.UUID // the report of the death: the causation
	Correlation uuid.UUID // of the request that reported it; Nil when it named none
}

// Ends holds the reactor's functions into the rest of the program. All fields are required.
type Ends struct {
	// WaitForLeaf waits until the read models behind OpenConsents and Mandates show every
	// event up to a leaf, and returns an error when they do not in time.
	WaitForLeaf func(ctx context.Context, leaf int64) error
	// OpenConsents returns the citizen's consents that are requested or granted and not
	// over. The list may hold some that are over.
	OpenConsents func(ctx context.Context, c domain.CitizenID) ([]domain.ConsentID, error)
	// Mandates returns the mandates not over in which the citizen is either side. The list
	// may hold some that are over.
	Mandates func(ctx context.Context, c domain.CitizenID) ([]domain.MandateID, error)
	// Withdraw withdraws a consent by reason of death; EndMandate ends a mandate by
	// that reason. They return nil when it is over already.
	Withdraw   func(ctx context.Context, c domain.ConsentID, cause Cause) error
	EndMandate func(ctx context.Context, m domain.MandateID, cause Cause) error
}

// Reactor returns the reactor for a Router. It begins at the start of the log: deaths
// reported before the reactor existed count, too.
func (e Ends) Reactor() reactors.Reactor {
	return reactors.Reactor{Name: "ends", Topics: []string{"citizen.deceased"}, From: reactors.FromBeginning, Handle: e.handle}
}

func (e Ends) handle(ctx context.Context, n reactors.Notice) (reactors.Effect, error) {
	data, err := codec.Catalog.Decode(n.Type, n.Clear, nil)
	if err != nil {
		return reactors.Effect{}, err
	}
	death, ok := data.(citizen.Deceased)
	if !ok || death.Citizen.IsZero() || n.Stream != eventstore.Stream("citizen-"+death.Citizen.String()) {
		return reactors.Effect{}, reactors.ErrNotANotice
	}
	// A consent granted a moment before the death may not be listed yet. It is no
	// fault of this event when the lists are late.
	if err := e.WaitForLeaf(ctx, n.Leaf); err != nil {
		return reactors.Effect{}, fmt.Errorf("%w: read models are behind: %w", reactors.ErrLater, err)
	}
	consents, err := e.OpenConsents(ctx, death.Citizen)
	if err != nil {
		return reactors.Effect{}, fmt.Errorf("list open consents: %w", err)
	}
	mandates, err := e.Mandates(ctx, death.Citizen)
	if err != nil {
		return reactors.Effect{}, fmt.Errorf("list mandates: %w", err)
	}
	// One that cannot be ended must not keep the others open.
	var failed []error
	for _, c := range consents {
		if err := e.Withdraw(ctx, c, causeOf(n, c.UUID)); err != nil {
			failed = append(failed, fmt.Errorf("withdraw a consent: %w", err))
		}
	}
	for _, m := range mandates {
		if err := e.EndMandate(ctx, m, causeOf(n, m.UUID)); err != nil {
			failed = append(failed, fmt.Errorf("end a mandate: %w", err))
		}
	}
	return reactors.Effect{}, errors.Join(failed...)
}

// causeOf returns the cause of the event that ends the consent or mandate with an id.
func causeOf(n reactors.Notice, what uuid.UUID) Cause {
	return Cause{ID: uuid.NewSHA1(n.ID, what[:]), Event: n.ID, Correlation: n.Correlation}
}
