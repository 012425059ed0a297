package work

import (
	"context"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/term"
	"coffre/handlers/acting"
)

// AnnounceTerm announces the end of a document, a consent or a petition, if one of its steps was
// reached, and reports whether it did (rules N-1 to N-3). What its stream and the citizen's say at
// that moment counts. Called again, also by another process, it records nothing more.
func (work *Worker) AnnounceTerm(ctx context.Context, kind term.Kind, subject uuid.UUID) (bool, error) {
	one, runs, err := work.loadTerm(ctx, kind, subject)
	if err != nil || !runs {
		return false, err
	}
	cmd := term.Announce{Term: one, At: work.Timestamp()}
	step, reached := one.Reached(cmd.At)
	if !reached {
		return false, nil
	}
	person, err := work.LoadPerson(ctx, one.Citizen)
	if err != nil {
		return false, err
	}
	cmd.Standing = person.Standing
	w, _, _ := Consequence{}.write(work, acting.TermStream(subject))
	w.Citizen, w.ID = one.Citizen, func(int) uuid.UUID { return one.ID(step) }
	w.Meta.BasedOn = append(w.Meta.BasedOn, person.At)
	result, err := acting.Terms.Transact(ctx, work.Log, w, cmd)
	return len(result.Events) > 0 && !result.Repeated, err
}

// loadTerm returns the term of a subject; ok is false where none runs.
func (work *Worker) loadTerm(ctx context.Context, kind term.Kind, subject uuid.UUID) (one term.Term, ok bool, err error) {
	switch kind {
	case term.Document:
		state, _, err := acting.Documents.Load(ctx, work.Log, acting.DocumentStream(domain.DocumentID{UUID: subject}))
		one, ok = term.OfDocument(state)
		return one, ok, err
	case term.Consent:
		state, _, err := acting.Consents.Load(ctx, work.Log, acting.ConsentStream(domain.ConsentID{UUID: subject}))
		one, ok = term.OfConsent(state)
		return one, ok, err
	case term.Petition:
		state, _, err := acting.Petitions.Load(ctx, work.Log, acting.PetitionStream(domain.PetitionID{UUID: subject}))
		one, ok = term.OfPetition(state)
		return one, ok, err
	}
	return term.Term{}, false, nil
}
