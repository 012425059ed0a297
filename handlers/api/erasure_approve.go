package api

import (
	"context"
	"fmt"
	"slices"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/handlers/contract"
	"coffre/projections"
	"coffre/projections/erasures"
	"coffre/projections/vocabulary"
	"coffre/projections/wallet"
)

// ApproveErasure implements POST /erasures/{id}/approve: the second of two persons
// (rule E-1). The destroyer does the rest.
func (v *Vault) ApproveErasure(ctx context.Context, r contract.ApproveErasureRequestObject) (contract.ApproveErasureResponseObject, error) {
	if v.CertificateSigner == nil {
		return nil, errNoDestroyer
	}
	done, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, in intent) (asked, error) {
		return v.approveErasure(ctx, in, r.ErasureID)
	})
	if err != nil {
		return nil, explained(err)
	}
	return contract.ApproveErasure202JSONResponse{Body: done.Erasure, Headers: contract.ApproveErasure202ResponseHeaders{CoffrePosition: done.At, Location: done.Erasure.Href}}, nil
}

func (v *Vault) approveErasure(ctx context.Context, in intent, id domain.ErasureID) (asked, error) {
	e, err := v.erasure(ctx, id)
	if err != nil {
		return asked{}, err
	}
	steps, err := v.erasureSteps(ctx, e.Citizen, id)
	if err != nil {
		return asked{}, err
	}
	documents, refs, err := v.retentionDuties(ctx, in.words, e.Citizen, domain.BelgianDate(in.at))
	if err != nil {
		return asked{}, err
	}
	result, err := citizens.Transact(ctx, v.Log, in.write(0, citizenStream(e.Citizen), e.Citizen, refs...), citizen.ApproveErasure{
		Erasure: id, RequestedBy: steps.requestedBy, Documents: documents, By: in.actor, At: in.at,
	})
	if err != nil {
		return asked{}, err
	}
	v.goOnErasing(e.Citizen, result.State)
	if e.ApprovedAt.IsZero() {
		e.ApprovedAt = in.at
	}
	at, err := v.position(ctx, result.Position)
	return asked{erasureItem(e), at}, err
}

// retentionDuties returns, for each document of a citizen whose key is still there,
// what the duty to keep it depends on, as the documents' own streams have it. What
// cannot be opened because the keys are away is not judged at all; what is being erased
// counts as not ended.
func (v *Vault) retentionDuties(ctx context.Context, words *vocabulary.View, id domain.CitizenID, today domain.Date) ([]citizen.RetainedDocument, []eventstore.Reference, error) {
	return v.retentionDutiesAt(ctx, words, id, today, eventstore.Position{}, eventstore.ErrErased)
}

// retentionDutiesAt returns retentionDuties as they were at a position; the zero
// position stands for now. Dates that cannot be opened for a reason among unreadable
// count as not there.
func (v *Vault) retentionDutiesAt(ctx context.Context, words *vocabulary.View, id domain.CitizenID, today domain.Date, last eventstore.Position, unreadable ...error) ([]citizen.RetainedDocument, []eventstore.Reference, error) {
	held, err := v.documentsOf(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	var documents []citizen.RetainedDocument
	var refs []eventstore.Reference
	for _, document := range held {
		d, err := v.attestedUpTo(ctx, document, last)
		if err != nil {
			return nil, nil, err
		}
		if !d.state.Readable() {
			continue
		}
		retention, known := words.Retention(d.state.Type)
		if !known {
			return nil, nil, fmt.Errorf("the registry has no type %s", d.state.Type)
		}
		if retention.Duty { // only then it matters when the document ended
			if d, err = v.withDatesBut(ctx, d, unreadable...); err != nil {
				return nil, nil, err
			}
		}
		documents = append(documents, citizen.RetainedDocument{
			Document: document, Type: d.state.Type, Issued: domain.BelgianDate(d.state.IssuedAt), Ended: d.state.EndedBy(today), Retention: retention,
		})
		refs = append(refs, d.at)
	}
	return documents, refs, nil
}

// documentsOf returns a citizen's own documents, all that the log holds now.
func (v *Vault) documentsOf(ctx context.Context, id domain.CitizenID) ([]domain.DocumentID, error) {
	if err := v.abreast(ctx, v.Wallets.Name()); err != nil {
		return nil, err
	}
	var all []domain.DocumentID
	err := v.Wallets.Of(ctx, id, projections.Latest, func(h *wallet.Held) error {
		if h.Mandate == nil && !slices.Contains(all, h.Document.Document) {
			all = append(all, h.Document.Document)
		}
		return nil
	})
	return all, err
}

// erasureSteps is an erasure as the citizen's stream has it: who did what when.
type erasureSteps struct {
	erasures.Erasure
	requestedBy, approvedBy domain.Actor
	duties                  []citizen.StandingDuty   // when it was stopped
	destroyed               citizen.KeyDestroyed     // when the whole citizen was erased
	destroyedIn             eventstore.Record        // that says so
	final                   citizen.ErasureFinalised // when it is final
}

// erasureSteps reads the facts of one erasure.
func (v *Vault) erasureSteps(ctx context.Context, of domain.CitizenID, id domain.ErasureID) (erasureSteps, error) {
	var s erasureSteps
	for e, err := range v.Log.Read(ctx, citizenStream(of), 0) {
		if err != nil {
			return erasureSteps{}, fmt.Errorf("read citizen: %w", err)
		}
		meta, err := e.Metadata()
		if err != nil {
			return erasureSteps{}, err
		}
		switch f := e.Data.(type) {
		case citizen.ErasureRequested:
			if f.Erasure == id && s.RequestedAt.IsZero() {
				s.Erasure = erasures.Erasure{Erasure: id, Citizen: of, Scope: f.Scope, Document: f.Document, Reason: f.Reason, RequestedAt: f.At}
				s.requestedBy = meta.Actor
			}
		case citizen.ErasureApproved:
			if f.Erasure == id {
				s.ApprovedAt, s.approvedBy = f.At, meta.Actor
			}
		case citizen.ErasureStarted:
			if f.Erasure == id {
				s.StartedAt = f.At
			}
		case citizen.ErasureStopped:
			if f.Erasure == id {
				s.StoppedAt, s.duties = f.At, f.Duties
			}
		case citizen.KeyDestroyed:
			if f.Erasure == id {
				s.DoneAt, s.destroyed, s.destroyedIn = f.At, f, e.Record
			}
		case citizen.ErasureFinalised:
			if f.Erasure == id {
				s.FinalAt, s.final = f.At, f
			}
		case citizen.ErasureCompleted:
			if f.Erasure == id {
				s.DoneAt = f.At
			}
		}
	}
	if s.RequestedAt.IsZero() {
		return erasureSteps{}, citizen.ErrNoErasure
	}
	return s, nil
}
