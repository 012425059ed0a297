package api

import (
	"context"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// documentAnswer is the stored answer to a change of a document.
type documentAnswer struct {
	Receipt contract.DocumentReceipt
	At      contract.PositionToken
}

type (
	documentCommand = eventstore.Command[document.State, document.Event]

	// documentAppend appends the events of a command: acting.Documents.Transact, or
	// TransactReserved for changes that must not starve.
	documentAppend func(context.Context, *eventstore.Log, eventstore.Write, documentCommand) (eventstore.Result[document.State, document.Event], error)
)

// expectation returns the version that a request's If-Match expects. A tag that names no
// version of ours is never met (RFC 9110, section 13.1.1).
func expectation(header contract.EntityTags) document.Expectation {
	tags, err := edge.ParseEntityTags(header)
	if err != nil { // the gate saw that it can be read
		return document.Expectation{}
	}
	e := document.Expectation{Any: tags.Any}
	for _, tag := range tags.List {
		e.Versions = append(e.Versions, edge.VersionOf(tag))
	}
	return e
}

// changeDocument runs the command that an issuer's request makes of a document's state, and
// appends its events with run.
func (v *Vault) changeDocument(ctx context.Context, key uuid.UUID, id domain.DocumentID, run documentAppend, command func(context.Context, acting.Intent, document.State) (documentCommand, error)) (documentAnswer, error) {
	return acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (_ documentAnswer, err error) {
		stream := acting.DocumentStream(id)
		state, _, err := acting.Documents.Load(ctx, v.Log, stream)
		if err != nil {
			return documentAnswer{}, err
		}
		if !state.Exists() || state.Issuer != in.Actor.Organisation { // before anything is judged or sealed
			return documentAnswer{}, document.ErrNotFound
		}
		if !acting.TakesBack[in.Call.Operation] {
			if err := v.Take(ctx, in.Call, &acting.DocumentChanges, acting.Room{ID: in.ID(0), Person: id.UUID[:]}); err != nil {
				return documentAnswer{}, err
			}
			defer func() { v.FreeIfRefused(&acting.DocumentChanges, in.ID(0), err) }()
		}
		cmd, err := command(ctx, in, state)
		if err != nil {
			return documentAnswer{}, err
		}
		result, err := run(ctx, v.Log, in.Write(0, stream, state.Citizen), cmd)
		if err != nil {
			return documentAnswer{}, err
		}
		receipt, err := v.documentReceipt(ctx, in, result.State)
		if err != nil {
			return documentAnswer{}, err
		}
		at, err := v.PositionToken(ctx, result.Position)
		return documentAnswer{receipt, at}, err
	})
}
