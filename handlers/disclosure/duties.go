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

// RetentionDuties returns, for each document of a citizen whose key is still there,
// what the duty to keep it depends on, as the documents' own streams have it. What
// cannot be opened because the keys are away is not judged at all; what is being erased
// counts as not ended.
func (dis *Discloser) RetentionDuties(ctx context.Context, words *vocabulary.View, id domain.CitizenID, today domain.Date) ([]citizen.RetainedDocument, []eventstore.Reference, error) {
	return dis.RetentionDutiesAt(ctx, words, id, today, eventstore.Position{}, eventstore.ErrErased)
}

// RetentionDutiesAt returns what RetentionDuties returns, as they were at a position; the zero
// position stands for now. Dates that cannot be opened for a reason among unreadable
// count as not there.
func (dis *Discloser) RetentionDutiesAt(ctx context.Context, words *vocabulary.View, id domain.CitizenID, today domain.Date, last eventstore.Position, unreadable ...error) ([]citizen.RetainedDocument, []eventstore.Reference, error) {
	held, err := dis.DocumentsOf(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	var documents []citizen.RetainedDocument
	var refs []eventstore.Reference
	for _, document := range held {
		d, err := dis.loadDocumentAt(ctx, document, last)
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

// DocumentsOf returns a citizen's own documents, all that the log holds now.
func (dis *Discloser) DocumentsOf(ctx context.Context, id domain.CitizenID) ([]domain.DocumentID, error) {
	if err := dis.WaitForHead(ctx, dis.Wallets.Name()); err != nil {
		return nil, err
	}
	var all []domain.DocumentID
	err := dis.Wallets.Of(ctx, id, projections.Latest, func(h *wallet.Held) error {
		if h.Mandate == nil && !slices.Contains(all, h.Document.Document) {
			all = append(all, h.Document.Document)
		}
		return nil
	})
	return all, err
}
