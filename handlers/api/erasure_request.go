package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/erasures"
)

// erasureAnswer is the stored answer to a request or an approval of an erasure.
type erasureAnswer struct {
	Erasure contract.Erasure
	At      contract.PositionToken
}

// RequestErasure implements POST /erasures: the first of two persons (rule E-1).
// The request needs no key.
func (v *Vault) RequestErasure(ctx context.Context, r contract.RequestErasureRequestObject) (contract.RequestErasureResponseObject, error) {
	key := r.Params.IdempotencyKey
	done, err := acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (erasureAnswer, error) {
		return v.requestErasure(ctx, in, domain.ErasureID{UUID: uuid.NewSHA1(key, []byte(acting.RequestOwner(in.Call)))}, r.Body)
	})
	if err != nil {
		return nil, explainObstacles(err)
	}
	return contract.RequestErasure202JSONResponse{Body: done.Erasure, Headers: contract.RequestErasure202ResponseHeaders{CoffrePosition: done.At, Location: done.Erasure.Href}}, nil
}

func (v *Vault) requestErasure(ctx context.Context, in acting.Intent, id domain.ErasureID, body *contract.ErasureRequest) (_ erasureAnswer, err error) {
	if err := v.ActAlone(ctx, in.Call, body.CitizenID); err != nil {
		return erasureAnswer{}, err
	}
	if err := in.Reason(registry.ReasonErasure, body.Reason); err != nil {
		return erasureAnswer{}, err
	}
	person, err := v.LoadPerson(ctx, body.CitizenID)
	if err != nil {
		return erasureAnswer{}, err
	}
	whose := person.ID // of a document the life that it is sealed for
	if body.DocumentID != nil {
		state, _, err := acting.Documents.Load(ctx, v.Log, acting.DocumentStream(*body.DocumentID))
		switch {
		case err != nil:
			return erasureAnswer{}, err
		case !person.Is(state.Citizen) || !state.Readable():
			return erasureAnswer{}, citizen.ErrNothingToErase
		}
		whose = state.Citizen
	}
	others, err := v.OtherLives(ctx, whose)
	if err != nil {
		return erasureAnswer{}, err
	}
	if err := v.takePersonAct(ctx, in, body.CitizenID, id.UUID); err != nil {
		return erasureAnswer{}, err
	}
	defer func() { v.FreeIfRefused(&acting.PersonActs, id.UUID, err) }()
	if in.Actor = v.AsLife(in.Actor, whose); in.Call.Role == domain.RoleCitizen {
		in.Actor.Subject = v.requesterName(ctx, in, whose)
	}
	again, err := v.askedAgain(ctx, in, whose, body)
	if err != nil {
		return erasureAnswer{}, err
	}
	write := in.Write(0, acting.CitizenStream(whose), whose)
	write.Joins = true // of two requests at once the second joins the first
	result, err := acting.Citizens.TransactReserved(ctx, v.Log, write, citizen.RequestErasure{
		Erasure: id, Scope: citizen.Scope(body.Scope), Document: body.DocumentID, Reason: body.Reason, Others: others, Again: again, By: in.Actor, At: in.At,
	})
	if err != nil {
		return erasureAnswer{}, err
	}
	at, err := v.PositionToken(ctx, result.Position)
	if err != nil {
		return erasureAnswer{}, err
	}
	if waits, ok := result.State.Waiting(citizen.Scope(body.Scope), body.DocumentID); ok {
		id = waits.ID
	}
	for _, e := range result.Events {
		id = e.(citizen.ErasureRequested).Erasure
	}
	asked, err := v.ErasureHistory(ctx, whose, id)
	return erasureAnswer{erasureItem(asked.Erasure), at}, err
}

// askedAgain reports whether the caller asked for the erasure that waits, and is named there
// so that an approver can be told from them: then nothing more is recorded. While keys are
// away a citizen is not named so, and asks anew once they are back.
func (v *Vault) askedAgain(ctx context.Context, in acting.Intent, whose domain.CitizenID, body *contract.ErasureRequest) (bool, error) {
	state, _, err := acting.Citizens.Load(ctx, v.Log, acting.CitizenStream(whose))
	if err != nil {
		return false, err
	}
	waits, ok := state.Waiting(citizen.Scope(body.Scope), body.DocumentID)
	if !ok {
		return false, nil
	}
	history, err := v.ErasureHistory(ctx, whose, waits.ID)
	names := v.Keys.Audit()
	return slices.ContainsFunc(history.Requests, func(a domain.Actor) bool {
		if a.Role == domain.RoleCitizen {
			return in.Actor.Role == domain.RoleCitizen && seal.IsLoginTag(a.Subject) && (a.Subject == in.Actor.Subject || !seal.IsLoginTag(in.Actor.Subject))
		}
		return a.Role == in.Actor.Role && names.Comparable(a.Subject) && slices.Contains(names.Subjects(in.Call.Subject), a.Subject)
	}), err
}

// requesterTimeout bounds the wait for a key by which a citizen who asks is named: the
// request passes without.
const requesterTimeout = time.Second

// requesterName returns the name of a citizen who asks for their erasure, by which an
// approver can be compared with them, and nobody once they are erased. While keys are away
// it is the name that every event of theirs has: then nobody may approve (rule E-1), and
// they ask anew.
func (v *Vault) requesterName(ctx context.Context, in acting.Intent, whose domain.CitizenID) string {
	ctx, cancel := context.WithTimeout(ctx, requesterTimeout)
	defer cancel()
	if name, err := v.Keys.CitizenLoginTag(ctx, whose, in.Call.Subject); err == nil {
		return name
	}
	return in.Actor.Subject
}

// explainObstacles returns the refusal of an erasure with the holds and duties that stand in
// its way (rule E-1): their ids and codes, and nothing personal.
func explainObstacles(err error) error {
	var o *citizen.Obstacles
	if !errors.As(err, &o) {
		return err
	}
	var why []string
	refusal := citizen.ErrRetentionDuty
	for _, d := range o.Duties {
		until := "until a day that is not known yet"
		if !d.Until.IsZero() {
			until = "until " + string(d.Until)
		}
		why = append(why, fmt.Sprintf("document %s (%s) is kept %s, by the rule %s", d.Document, d.Type, until, d.Rule))
	}
	for _, r := range o.Restrictions {
		refusal = citizen.ErrRestrictionStands
		why = append(why, fmt.Sprintf("restriction %s stands (%s)", r.ID, r.Reason))
	}
	for _, h := range o.Holds {
		refusal = citizen.ErrLegalHold
		why = append(why, fmt.Sprintf("legal hold %s stands (%s)", h.ID, h.Reason))
	}
	status := edge.Statuses[refusal.Code]
	return &edge.Refusal{Problem: contract.Problem{
		Type: edge.ProblemPrefix + refusal.Slug, Title: http.StatusText(status), Status: status,
		Detail: refusal.Detail + ": " + strings.Join(why, "; "),
	}}
}

// erasureItem returns an erasure as the contract shows it.
func erasureItem(e erasures.Erasure) contract.Erasure {
	item := contract.Erasure{
		Href: contract.ErasureHref(e.Erasure), ErasureID: e.Erasure, CitizenID: e.Citizen, Scope: contract.ErasureScope(e.Scope), DocumentID: e.Document,
		State: contract.ErasureState(e.State()), Reason: e.Reason, RequestedAt: e.RequestedAt, ApprovedAt: e.ApprovedAt, StoppedAt: e.StoppedAt, KeysDestroyedAt: e.DoneAt, FinalAt: e.FinalAt,
	}
	if !e.DoneAt.IsZero() {
		item.Certificate = item.Href + "/certificate"
	}
	return item
}
