package disclosure

import (
	"context"
	"fmt"
	"slices"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/vocabulary"
	"coffre/projections/wallet"
)

// RetentionDuties returns the facts on which the duty to keep a document depends, for each
// document of a citizen whose key still exists, and the revisions that were read. Keys that
// cannot be reached are an error; a document that is being erased counts as not ended.
func (dis *Discloser) RetentionDuties(ctx context.Context, words *vocabulary.View, id domain.CitizenID, today domain.Date) ([]citizen.RetainedDocument, []eventstore.Reference, error) {
	return dis.RetentionDutiesAt(ctx, words, id, today, eventstore.Position{}, eventstore.ErrErased)
}

// RetentionDutiesAt returns the facts of RetentionDuties as they were at a position; the
// zero position stands for now. Dates that cannot be opened because of one of the errors in
// unreadable count as absent.
func (dis *Discloser) RetentionDutiesAt(ctx context.Context, words *vocabulary.View, id domain.CitizenID, today domain.Date, last eventstore.Position, unreadable ...error) ([]citizen.RetainedDocument, []eventstore.Reference, error) {
	held, err := dis.DocumentsOf(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	var documents []citizen.RetainedDocument
	var refs []eventstore.Reference
	for _, document := range held {
		d, err := dis.loadDocumentAt(ctx, document, LoadedDocument{}, last)
		if err != nil {
			return nil, nil, err
		}
		if !d.State.Readable() {
			continue
		}
		retention, known := words.Retention(d.State.Type)
		if !known {
			return nil, nil, fmt.Errorf("the registry has no type %s", d.State.Type)
		}
		if retention.Duty { // only then it matters when the document ended
			if d, err = dis.OpenDatesExcept(ctx, d, unreadable...); err != nil {
				return nil, nil, err
			}
		}
		documents = append(documents, citizen.RetainedDocument{
			Document: document, Type: d.State.Type, Issued: domain.BelgianDate(d.State.IssuedAt), Ended: d.State.EndedBy(today), Retention: retention,
		})
		refs = append(refs, d.ref)
	}
	return documents, refs, nil
}

// DocumentsOf returns all documents of a citizen that the log holds now; those of persons
// whom the citizen represents are not among them.
func (dis *Discloser) DocumentsOf(ctx context.Context, id domain.CitizenID) ([]domain.DocumentID, error) {
	if err := dis.WaitForHead(ctx, dis.Wallets.Name()); err != nil {
		return nil, err
	}
	person, err := dis.LoadPerson(ctx, id)
	if err != nil {
		return nil, err
	}
	var all []domain.DocumentID
	for _, life := range person.Lives {
		err := dis.Wallets.Of(ctx, life, projections.Latest, func(h *wallet.Held) error {
			if h.Mandate == nil && !slices.Contains(all, h.Document.Document) {
				all = append(all, h.Document.Document)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
