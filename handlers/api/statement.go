package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// recordStatement runs what an authentic source states about the person with a national number, the
// first of those that it names. Everybody named counts for the source's quota (rule A-7) and
// the person in the budget of statements, known or not. A refusal counts among those of the
// minute and is on record of the person, as a consumer's is (rule A-3). do gets the zero id
// for a person whom the vault does not know.
func recordStatement[R any](ctx context.Context, v *Vault, in acting.Intent, numbers []contract.SSIN, do func(domain.CitizenID) (R, error)) (result R, err error) {
	ids, err := v.nameAll(ctx, in, "", numbers, func(ssin contract.SSIN) (domain.CitizenID, error) {
		return v.Resolve(ctx, in.Call, ssin, nil)
	})
	if err != nil {
		return result, err
	}
	place := in.ID(statementPlace)
	subject := v.quotaSubject(ids[0], numbers[0], nil)
	if err := v.Take(ctx, in.Call, &acting.Statements, acting.Room{ID: place, Person: subject.UUID[:]}); err != nil {
		return result, err
	}
	defer func() { v.FreeIfRefused(&acting.Statements, place, err) }()
	if result, err = do(ids[0]); err != nil {
		return result, v.QueueRefusals(in, err, refusedOf("", ids...)...)
	}
	return result, nil
}

// statementPlace is the index of the id of a statement's place in its budget, apart from those
// of a request's events.
const statementPlace = 1 << 21

// nameAll counts the persons with these national numbers among those whom an issuer names today
// (rule A-7), and returns them as resolve does: the zero id for one whom the vault does not
// know. What is refused is on record, with the type of document that it was about.
func (v *Vault) nameAll(ctx context.Context, in acting.Intent, t domain.DocumentType, numbers []contract.SSIN, resolve func(contract.SSIN) (domain.CitizenID, error)) ([]domain.CitizenID, error) {
	if err := v.CheckRefusals(ctx, in); err != nil {
		return nil, err
	}
	ids := make([]domain.CitizenID, len(numbers))
	for i, ssin := range numbers {
		var err error
		if ids[i], err = resolve(ssin); err != nil {
			return nil, err
		}
		if err := v.claimNamed(ctx, in, ids[i], ssin, nil); err != nil {
			return nil, v.QueueRefusal(in, access.Refused{Citizen: ids[i], Type: t}, err)
		}
	}
	return ids, nil
}

// refusedOf returns the refusals of a request that names several persons, one for each.
func refusedOf(t domain.DocumentType, persons ...domain.CitizenID) []access.Refused {
	all := make([]access.Refused, len(persons))
	for i, id := range persons {
		all[i] = access.Refused{Citizen: id, Type: t}
	}
	return all
}
