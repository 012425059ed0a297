package api

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/registry"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/evidence"
)

// need is one question of an evidence query on its way to its answer.
type need struct {
	disclosure.Reading
	item      contract.EvidenceItem
	findings  disclosure.Findings // of the document that answers best
	disclosed disclosure.Disclosed
}

// QueryEvidence implements POST /evidence/query. The basis is judged first, for
// all needs and whatever is held (rule A-6). The accesses to all valid documents are on
// record before the first content is opened (rule A-1); presence, state and absence are on
// record before they are told (rule A-10). The idempotency key names the accesses, one for
// each need, so that a repetition takes no second use; it is judged again (rule A-8).
func (v *Vault) QueryEvidence(ctx context.Context, r contract.QueryEvidenceRequestObject) (contract.QueryEvidenceResponseObject, error) {
	if err := v.WaitForToken(ctx, r.Params.CoffreMinPosition, v.Evidence.Name()); err != nil {
		return nil, err
	}
	in, b := v.NewIntent(ctx), r.Body
	if b.ConsentID == nil && b.Procedure == "" {
		return nil, edge.BadInput("/procedure", "procedureMissing", "a query by law names the procedure for which it asks")
	}
	if err := v.CheckRefusals(ctx, in); err != nil {
		return nil, err
	}
	if err := checkInvestigation(b.InvestigationID, b.ConsentID); err != nil {
		return nil, err
	}
	request := acting.RequestOf(in.Call, r.Params.IdempotencyKey)
	begun, err := v.Begin(ctx, request)
	if err != nil {
		return nil, err
	}
	needs := make([]*need, len(b.Needs))
	for i, n := range b.Needs {
		needs[i] = &need{
			item: contract.EvidenceItem{DocumentType: n.DocumentType, Outcome: contract.EvidenceOutcomeNotHeld},
			Reading: disclosure.Reading{
				Basis:        disclosure.Basis{Consent: b.ConsentID, LegalBasis: b.LegalBasis, Deliberation: b.Deliberation},
				DocumentType: n.DocumentType, Access: domain.AccessID{UUID: requests.EventID(request.Owner, request.Operation, request.Key, i)},
				Purpose: b.Purpose, Procedure: b.Procedure, Fields: n.Fields, Predicate: registry.PredicateName(n.Predicate.Name),
				CaseReference: b.CaseReference, Investigation: b.InvestigationID, Seen: begun.Standing == requests.Repeat && !b.PresenceOnly,
			},
		}
	}
	told, err := v.answerNeeds(ctx, in, b, needs)
	if begun.Standing != requests.Repeat {
		// After a refusal the key is free: what is on record by then is found by its access.
		if kept := v.settleRequestKey(begun.Claim, err == nil, err); kept != nil && err == nil {
			err = kept
		}
	}
	if err != nil {
		return nil, err
	}
	v.RecordOnceAnswered(in, told)
	if b.PresenceOnly {
		return evidenceAnswer(needs), nil
	}
	for _, n := range needs {
		if n.item.Outcome == contract.EvidenceOutcomeHeld {
			v.RecordOnceAnswered(in, n.disclosed.Authorized)
		}
	}
	return evidenceAnswer(needs), nil
}

// answerNeeds judges the basis, finds what answers each need, records, and discloses. It
// returns the record of what is told, also with an error; none when every need discloses a
// content.
func (v *Vault) answerNeeds(ctx context.Context, in acting.Intent, b *contract.EvidenceQuery, needs []*need) (access.Authorized, error) {
	subject, err := v.Resolve(ctx, in.Call, b.SSIN, b.CitizenRef)
	if err != nil {
		return access.Authorized{}, err
	}
	f, err := v.evidenceBasis(ctx, in, subject, needs)
	if err != nil {
		return access.Authorized{}, err
	}
	if err := v.ClaimQuota(ctx, in, v.quotaSubject(subject, b.SSIN, b.CitizenRef)); err != nil {
		return access.Authorized{}, v.QueueRefusal(in, needs[0].AsRefused(in, disclosure.Findings{Citizen: acting.Person{ID: subject}, Investigation: f.Investigation}), err)
	}
	if err := v.selectDocuments(ctx, in, subject, f, needs); err != nil {
		return access.Authorized{}, err
	}
	told, err := v.recordTold(ctx, in, subject, f, needs, b.PresenceOnly)
	if err == nil && !b.PresenceOnly {
		err = v.discloseNeeds(ctx, in, needs)
		if err != nil && !told.Access.IsZero() {
			err = errors.Join(v.RecordWithheld(ctx, in, told, err), err) // nothing of the answer leaves
		}
	}
	return told, err
}

// recordTold records what the answer tells of documents of which nothing is opened (rule
// A-10), and judges the basis again. It returns the zero access when every need discloses a
// content. After an error an access that was recorded is recorded as withheld.
func (v *Vault) recordTold(ctx context.Context, in acting.Intent, subject domain.CitizenID, f disclosure.Findings, needs []*need, presenceOnly bool) (access.Authorized, error) {
	var answers []access.Answer
	for _, n := range needs {
		if presenceOnly || n.item.Outcome != contract.EvidenceOutcomeHeld {
			answers = append(answers, access.Answer{Type: n.DocumentType, Presence: access.Presence(n.item.Outcome), Document: n.item.DocumentID, Version: n.item.Version})
		}
	}
	if len(answers) == 0 {
		return access.Authorized{}, nil
	}
	told, err := v.RecordTold(ctx, in, needs[0].Reading, f, subject, answers)
	if err != nil {
		return access.Authorized{}, err
	}
	if _, err := v.evidenceBasis(ctx, in, subject, needs); err != nil {
		return told, v.Withhold(ctx, in, told, err)
	}
	return told, nil
}

// quotaSubject returns the id under which a citizen counts for the quota. A person whom the
// vault does not know counts under an id derived from the number or reference, so that an
// exhausted quota tells nothing.
func (v *Vault) quotaSubject(subject domain.CitizenID, ssin contract.SSIN, ref *domain.CitizenRef) domain.CitizenID {
	if !subject.IsZero() {
		return subject
	}
	var named uuid.UUID
	if ref != nil {
		named = ref.UUID
	}
	sum := v.Keys.DeploymentKey(seal.RequestKey).MAC([]byte("nobody/v1\x00"), []byte(ssin.Reveal()), named[:])
	return domain.CitizenID{UUID: uuid.UUID(sum[:16])}
}

// claimNamed counts the person with a national number, or a reference, among those whom the
// calling organisation names today (rule A-7), once, also when the vault came to know them that
// day. id is the zero id for a person whom the vault does not know.
func (v *Vault) claimNamed(ctx context.Context, in acting.Intent, id domain.CitizenID, ssin contract.SSIN, ref *domain.CitizenRef) error {
	return v.ClaimQuotaOnce(ctx, in, v.quotaSubject(id, ssin, ref), v.quotaSubject(domain.CitizenID{}, ssin, ref))
}

// evidenceBasis judges the basis of every need before the held documents are looked at. Of
// several refusals the first is recorded. It returns the findings by which it judged.
func (v *Vault) evidenceBasis(ctx context.Context, in acting.Intent, subject domain.CitizenID, needs []*need) (disclosure.Findings, error) {
	f, err := v.loadBasis(ctx, subject, needs[0].Reading)
	if err != nil {
		return f, err
	}
	for _, n := range needs {
		if err := n.CheckBasis(in, f); err != nil {
			if queued := v.QueueRefusal(in, n.AsRefused(in, f), err); errors.Is(queued, disclosure.ErrRefusalsWait) {
				return f, queued
			}
			return f, v.explainRefusal(ctx, in, subject, needs, f, err)
		}
	}
	if err := v.CheckGiver(ctx, f.Consent); err != nil {
		return f, v.QueueRefusal(in, needs[0].AsRefused(in, f), err)
	}
	return f, nil
}

// loadBasis loads the findings by which the basis of a reading is judged before it is looked
// at what the person holds: the consent, if it is theirs. As much is read for everybody.
func (v *Vault) loadBasis(ctx context.Context, subject domain.CitizenID, r disclosure.Reading) (disclosure.Findings, error) {
	f, err := v.LoadFindings(ctx, r)
	if err != nil {
		return f, err
	}
	if f.Citizen, err = v.LoadPerson(ctx, subject); err != nil { // of whom processing may be restricted
		return f, err
	}
	if !f.Citizen.Is(f.Consent.Citizen) {
		f.Consent = consent.State{} // somebody else's is none
	}
	return f, nil
}

// selectDocuments finds for each need the document that answers it best, and judges whether
// the disclosures are lawful as if they were made one after the other. What a restriction of
// processing keeps from the consumer is not held for it, and is on record for the citizen as
// refused (rule P-5).
func (v *Vault) selectDocuments(ctx context.Context, in acting.Intent, subject domain.CitizenID, f disclosure.Findings, needs []*need) error {
	types := make([]domain.DocumentType, len(needs))
	for i, n := range needs {
		types[i] = n.DocumentType
	}
	held, err := v.heldBy(ctx, subject, types...)
	if err != nil {
		return err
	}
	var after consent.State // the uses before counted in
	used := false
	for _, n := range needs {
		open, restricted := withoutRestricted(in, n.Reading, f, held)
		late, err := v.selectDocument(ctx, in, n, open, after, used)
		if err == nil && (restricted || late) {
			err = v.QueueRestricted(in, n.AsRefused(in, f))
		}
		if err != nil {
			return v.QueueRefusal(in, n.AsRefused(in, n.findings), err)
		}
		if n.item.Outcome != contract.EvidenceOutcomeHeld || n.Consent == nil {
			continue
		}
		events, err := n.Use(in, n.findings).Decide(n.findings.Consent)
		if err != nil {
			return v.QueueRefusal(in, n.AsRefused(in, n.findings), err)
		}
		after, used = n.findings.Consent, true
		for _, e := range events {
			after = consent.Evolve(after, e)
		}
	}
	return nil
}

// heldBy returns what all lives of a person hold of some types, in the order of issue.
func (v *Vault) heldBy(ctx context.Context, subject domain.CitizenID, types ...domain.DocumentType) ([]evidence.Holding, error) {
	person, err := v.LoadPerson(ctx, subject)
	if err != nil {
		return nil, err
	}
	var held []evidence.Holding
	for _, life := range person.Lives {
		more, err := v.Evidence.Held(ctx, life, projections.Latest, types...)
		if err != nil {
			return nil, err
		}
		held = append(held, more...)
	}
	slices.SortStableFunc(held, func(a, b evidence.Holding) int { return cmp.Compare(a.IssuedLeaf, b.IssuedLeaf) })
	return held, nil
}

// withoutRestricted returns the documents that no restriction of processing keeps from a
// reading, and whether one keeps anything from it: a document of its type, or whatever there is.
func withoutRestricted(in acting.Intent, r disclosure.Reading, f disclosure.Findings, held []evidence.Holding) ([]evidence.Holding, bool) {
	open, restricted := make([]evidence.Holding, 0, len(held)), r.Restricted(in, f, domain.DocumentID{})
	for _, h := range held {
		if r.Restricted(in, f, h.Document) {
			restricted = restricted || h.Type == r.DocumentType
			continue
		}
		open = append(open, h)
	}
	return open, restricted
}

// selectDocument looks at the documents of a need's type, newest first, until one is valid;
// without a valid one it chooses the document whose status is worth most. It reports whether
// one was restricted since the documents were found.
func (v *Vault) selectDocument(ctx context.Context, in acting.Intent, n *need, held []evidence.Holding, after consent.State, used bool) (restricted bool, err error) {
	best := -1
	for i := len(held) - 1; i >= 0 && best < len(outcomesByWorth)-1; i-- {
		if held[i].Type != n.DocumentType {
			continue
		}
		r := n.Reading
		r.Document = held[i].Document
		f, err := v.EstablishBasis(ctx, in, r)
		if used {
			f.Consent = after
		}
		if err == nil {
			err = r.Check(in, f)
		}
		status := f.Document.State.StatusAt(domain.BelgianDate(in.At))
		switch {
		case errors.Is(err, access.ErrNoBasis):
			restricted = restricted || errors.Is(err, access.ErrRestricted)
			continue // not covered, or not there for this consumer
		case err != nil && !errors.Is(err, document.ErrRevoked) && !errors.Is(err, access.ErrSuspended):
			return restricted, err
		}
		for rank, o := range outcomesByWorth {
			if o.status == status && rank > best {
				best, n.findings, n.Document = rank, f, r.Document
				n.item.Outcome = o.outcome
			}
		}
	}
	if best >= 0 {
		s := n.findings.Document.State
		n.item.DocumentID, n.item.Href, n.item.Issuer, n.item.Version = s.Document, contract.DocumentHref(s.Document), s.Issuer, s.VersionAt(domain.BelgianDate(in.At))
	}
	return restricted, nil
}

// outcomesByWorth orders the statuses of a document from the least to the most useful.
var outcomesByWorth = []struct {
	status  document.Status
	outcome contract.EvidenceOutcome
}{
	{document.IsRevoked, contract.EvidenceOutcomeRevoked},
	{document.Expired, contract.EvidenceOutcomeExpired},
	{document.NotYetValid, contract.EvidenceOutcomeNotYetValid},
	{document.IsSuspended, contract.EvidenceOutcomeSuspended},
	{document.Valid, contract.EvidenceOutcomeHeld},
}

// discloseNeeds authorises every access, reads again, and opens. After an error there is no
// answer, and accesses authorised by then are recorded as withheld or failed.
func (v *Vault) discloseNeeds(ctx context.Context, in acting.Intent, needs []*need) error {
	for _, n := range needs {
		if n.item.Outcome != contract.EvidenceOutcomeHeld {
			continue
		}
		got, err := v.Authorize(ctx, in, n.Reading, n.findings)
		if err != nil {
			return v.withholdRest(ctx, in, needs, v.QueueRefusal(in, n.AsRefused(in, n.findings), err))
		}
		n.disclosed = got
	}
	for _, n := range needs {
		if n.item.Outcome != contract.EvidenceOutcomeHeld {
			continue
		}
		var err error
		n.disclosed.Findings, err = v.Revalidate(ctx, in, n.Reading, n.findings, n.disclosed.Authorized)
		switch {
		case err == nil:
			continue
		case errors.Is(err, document.ErrRevoked):
			n.item.Outcome = contract.EvidenceOutcomeRevoked
		case errors.Is(err, access.ErrSuspended):
			n.item.Outcome = contract.EvidenceOutcomeSuspended
		default:
			return v.withholdRest(ctx, in, needs, err)
		}
		if err := v.RecordWithheld(ctx, in, n.disclosed.Authorized, err); err != nil {
			return v.withholdRest(ctx, in, needs, err)
		}
	}
	for _, n := range needs {
		if n.item.Outcome != contract.EvidenceOutcomeHeld {
			continue
		}
		if err := v.OpenAuthorized(ctx, in, &n.disclosed); err != nil {
			n.disclosed.Authorized = access.Authorized{} // recorded as failed
			return v.withholdRest(ctx, in, needs, err)
		}
		n.fillItem()
	}
	return nil
}

// withholdRest records as withheld every access that was authorised and is not settled yet.
func (v *Vault) withholdRest(ctx context.Context, in acting.Intent, needs []*need, why error) error {
	all := []error{why}
	for _, n := range needs {
		if a := n.disclosed.Authorized; n.item.Outcome == contract.EvidenceOutcomeHeld && !a.Access.IsZero() {
			all = append(all, v.RecordWithheld(ctx, in, a, why))
		}
	}
	return errors.Join(all...)
}

// fillItem copies the disclosed content, dates and predicate into the item of the answer.
func (n *need) fillItem() {
	a := n.disclosed.Authorized
	dates := clearDates(n.disclosed.Findings.Document.State, a.Version)
	n.item.AccessID, n.item.Version, n.item.Content = a.Access, a.Version, n.disclosed.Content
	n.item.ValidFrom, n.item.ValidUntil = dates.ValidFrom, dates.ValidUntil
	if a.Kind == access.OpenedPredicate {
		n.item.Predicate = contract.PredicateAnswer{Name: a.Predicate, Holds: n.disclosed.Holds}
	}
}

func evidenceAnswer(needs []*need) contract.QueryEvidence200JSONResponse {
	answer := contract.EvidenceAnswer{Self: contract.Base + "/evidence/query", Items: make([]contract.EvidenceItem, len(needs))}
	for i, n := range needs {
		if answer.Items[i] = n.item; n.item.Outcome == contract.EvidenceOutcomeHeld {
			answer.NotAsked++
		}
	}
	return contract.QueryEvidence200JSONResponse(answer)
}
