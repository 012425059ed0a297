package api

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// Steps of issuing a document; each has event ids of its own.
const (
	stepRegister = iota
	stepIssue
	stepParent // and the following, two for each parent: registration and mandate
)

// issueAnswer is the stored answer to POST /documents.
type issueAnswer struct {
	New     bool
	Receipt contract.DocumentReceipt
	At      contract.PositionToken
}

// IssueDocument implements POST /documents: rules D-1, D-4, D-5, D-6 and, for
// parents that the source names, M-1.
func (v *Vault) IssueDocument(ctx context.Context, r contract.IssueDocumentRequestObject) (contract.IssueDocumentResponseObject, error) {
	var d draft
	done, err := acting.OncePreparing(ctx, v.Recorder, r.Params.IdempotencyKey,
		func(ctx context.Context, in acting.Intent) { d = v.draft(ctx, in, r.Body) },
		func(ctx context.Context, in acting.Intent) (issueAnswer, error) { return v.issue(ctx, in, r.Body, d) })
	switch {
	case err != nil:
		return nil, err
	case done.New:
		return contract.IssueDocument201JSONResponse{Body: done.Receipt, Headers: contract.IssueDocument201ResponseHeaders{CoffrePosition: done.At, ETag: edge.ETag(done.Receipt.Version), Location: done.Receipt.Href}}, nil
	}
	return contract.IssueDocument200JSONResponse{Body: done.Receipt, Headers: contract.IssueDocument200ResponseHeaders{CoffrePosition: done.At, ETag: edge.ETag(done.Receipt.Version), Location: done.Receipt.Href}}, nil
}

// draft is a document as far as it is judged before the vault knows whether the request is a
// repetition.
type draft struct {
	kind    *registry.DocumentType
	named   []domain.CitizenID // the citizen, then the parents; zero: one whom the vault does not know
	content domain.JSON
	refused error
}

// draft judges a document by the rules D-1 and D-5, and counts whom it names. For a
// citizen whom the vault knows it also makes the key of the document, which then becomes
// durable together with the request.
func (v *Vault) draft(ctx context.Context, in acting.Intent, body *contract.DocumentIssue) draft {
	t, known := in.Words.DocumentType(body.DocumentType)
	switch {
	case !known:
		return draft{refused: document.ErrUnknownType}
	case !in.Words.MayIssue(in.Actor.Organisation, t.Name): // before the content is judged (D-1)
		return draft{refused: document.ErrNotIssuer}
	}
	content, err := checkContent(in, t.Name, body.Content)
	if err == nil {
		err = judgeIssue(in, body, t, content)
	}
	if err == nil {
		err = v.checkFileOwner(ctx, in, body.Attachments)
	}
	if err != nil {
		return draft{refused: err}
	}
	named, err := v.nameForDocument(ctx, in, t.Name, body)
	if err != nil {
		return draft{refused: err}
	}
	if whose := named[0]; !whose.IsZero() { // an error comes up again where the document is sealed
		if id, err := v.Keys.DocumentID(ctx, whose, in.Actor.Organisation, t.Name, body.SourceReference); err == nil {
			_ = v.Keys.MakeStreamKey(ctx, whose, acting.DocumentStream(id))
		}
	}
	return draft{kind: t, named: named, content: content}
}

// nameForDocument counts the citizen of a document and the parents whom it names among those
// whom the issuer names today, and returns them: the zero id for one whom the vault does not
// know.
func (v *Vault) nameForDocument(ctx context.Context, in acting.Intent, t domain.DocumentType, body *contract.DocumentIssue) ([]domain.CitizenID, error) {
	numbers := append([]contract.SSIN{body.SSIN}, body.Parents...)
	return v.nameAll(ctx, in, t, numbers, func(ssin contract.SSIN) (domain.CitizenID, error) {
		id, err := v.Keys.Resolve(ctx, ssin.SSIN)
		if err == nil {
			id, err = v.Survivor(ctx, id)
		}
		if err != nil { // it comes up again where the person is registered, or the vault does not know them
			return domain.CitizenID{}, nil
		}
		return id, nil
	})
}

// documentOf returns the id of the document that an issuer's source reference names, and the
// life of the subject whose it is (rule D-4). What was issued under a life that was merged
// since is met there.
func (v *Vault) documentOf(ctx context.Context, in acting.Intent, subject acting.Person, t domain.DocumentType, reference contract.SourceReference) (owner domain.CitizenID, id domain.DocumentID, err error) {
	for _, life := range subject.Lives {
		one, err := v.Keys.DocumentID(ctx, life, in.Actor.Organisation, t, reference)
		if err != nil {
			return owner, id, err
		}
		if id.IsZero() {
			owner, id = life, one
		}
		if len(subject.Lives) == 1 {
			break
		}
		state, _, err := acting.Documents.Load(ctx, v.Log, acting.DocumentStream(one))
		if err != nil {
			return owner, id, err
		}
		if state.Exists() {
			return life, one, nil
		}
	}
	return owner, id, nil
}

// issue issues a document as it was drafted, within the budget of documents. One that the
// citizen had before takes none of it.
func (v *Vault) issue(ctx context.Context, in acting.Intent, body *contract.DocumentIssue, d draft) (issueAnswer, error) {
	if d.refused != nil {
		return issueAnswer{}, d.refused
	}
	subject := v.quotaSubject(domain.CitizenID{}, body.SSIN, nil) // the same before and after they are registered
	takeBack, err := v.Add(ctx, in.Call, &acting.IssuedDocuments, subject.UUID[:])
	if err != nil {
		return issueAnswer{}, err
	}
	answer, err := v.issueCounted(ctx, in, body, d)
	if err == nil && !answer.New || err != nil && !acting.MayHaveWritten(err) {
		takeBack()
	}
	return answer, err
}

func (v *Vault) issueCounted(ctx context.Context, in acting.Intent, body *contract.DocumentIssue, d draft) (issueAnswer, error) {
	t, content := d.kind, d.content
	subject, err := v.Enroll(ctx, in, stepRegister, body.SSIN)
	if err != nil {
		return issueAnswer{}, v.QueueRefusals(in, err, refusedOf(t.Name, d.named[0])...)
	}
	owner, id, err := v.documentOf(ctx, in, subject, t.Name, body.SourceReference)
	if err != nil {
		return issueAnswer{}, err
	}
	files, err := v.reserveFiles(ctx, in, id, body.Attachments)
	if err != nil {
		return issueAnswer{}, err
	}
	tag, err := v.Keys.ContentTag(ctx, owner, contentTagInput(content, files))
	if err != nil {
		return issueAnswer{}, err
	}
	parents, err := v.parentMandates(ctx, in, subject, body, t, content)
	if err != nil {
		return issueAnswer{}, v.QueueRefusals(in, err, refusedOf(t.Name, d.named...)...)
	}
	write := in.Write(stepIssue, acting.DocumentStream(id), owner, subject.At)
	write.Fresh = true // most are issued once
	result, err := acting.Documents.Transact(ctx, v.Log, write, document.Issue{
		Document: id, Citizen: owner, Type: *t, SourceReference: body.SourceReference,
		ValidFrom: body.ValidFrom, ValidUntil: body.ValidUntil, Content: content, Attachments: files, Tag: tag, By: in.Actor, At: in.At,
	})
	if err == nil {
		v.claimFiles(ctx, result.State, body.Attachments)
		err = v.CheckErasureNotStarted(ctx, subject.ID, id)
	}
	if err != nil {
		return issueAnswer{}, err
	}
	position := result.Position
	for _, p := range parents {
		result, err := acting.Mandates.Transact(ctx, v.Log, p.write, p.grant)
		if err != nil {
			return issueAnswer{}, err
		}
		if result.Position.Compare(position) > 0 {
			position = result.Position
		}
	}
	receipt, err := v.documentReceipt(ctx, in, result.State)
	if err != nil {
		return issueAnswer{}, err
	}
	at, err := v.PositionToken(ctx, position)
	return issueAnswer{New: len(result.Events) > 0, Receipt: receipt, At: at}, err
}

// checkContent returns the canonical content, or a refusal that tells the place of each
// mistake without repeating the value (rule D-5).
func checkContent(in acting.Intent, name domain.DocumentType, raw []byte) (domain.JSON, error) {
	content, issues, err := in.Words.CheckContent(name, raw)
	if err == nil || len(issues) == 0 {
		return content, err
	}
	list := make([]contract.InputValidationIssue, len(issues))
	for i, issue := range issues {
		list[i] = contract.InputValidationIssue{
			Type: edge.IssueSchema, Title: "The content does not satisfy its schema", Detail: issue.Keyword,
			In: contract.IssueLocationBody, Name: "/content" + issue.Pointer,
		}
		if issue.Want != "" {
			list[i].Detail += ": " + issue.Want
		}
		if issue.Keyword == "additionalProperties" {
			list[i].Title = "Additional property: the schema of the type does not declare it"
			if name := edge.MemberName(issue.Undeclared); name != "" {
				list[i].Name += "/" + name
			}
		}
	}
	return nil, edge.BadInputs(list)
}

var errBirthDate = domain.NewError(domain.Invalid, "birthDateMissing", "a parent's mandate ends when the child is 18, and this type of document does not tell the day of birth")

// judgeIssue refuses a document for mistakes that do not depend on what the vault knows of
// the person, so that a refusal registers nobody (rules D-6, M-1.4, M-1.11).
func judgeIssue(in acting.Intent, body *contract.DocumentIssue, t *registry.DocumentType, content domain.JSON) error {
	if err := checkBorn(in, "/ssin", body.SSIN); err != nil {
		return err
	}
	for i, parent := range body.Parents {
		if err := checkBorn(in, fmt.Sprintf("/parents/%d", i), parent); err != nil {
			return err
		}
	}
	if err := judgeParents(in, body, t, content); err != nil {
		return err
	}
	files := make([]document.Attachment, len(body.Attachments))
	for i, id := range body.Attachments {
		files[i].ID = id
	}
	_, err := document.Issue{
		Attachments: files,
		Type:        *t, SourceReference: body.SourceReference, ValidFrom: body.ValidFrom, ValidUntil: body.ValidUntil, Content: content, By: in.Actor, At: in.At,
	}.Decide(document.State{})
	if errors.Is(err, document.ErrUnknownType) { // retired since: what was issued before is answered still
		return nil
	}
	return err
}

// checkBorn refuses a number, in its place of the request, of somebody who is not born yet.
func checkBorn(in acting.Intent, place string, ssin contract.SSIN) error {
	return edge.At(contract.IssueLocationBody, place, ssin.CheckBorn(domain.BelgianDate(in.At)))
}

// judgeParents refuses parents whom the issuer may not name, or may not name for this person,
// by what the request alone says.
func judgeParents(in acting.Intent, body *contract.DocumentIssue, t *registry.DocumentType, content domain.JSON) error {
	if len(body.Parents) == 0 {
		return nil
	}
	attestors, err := checkAttests(in, registry.Parentage)
	if err != nil {
		return err
	}
	born, ok := in.Words.BirthDate(t.Name, content)
	if !ok {
		return errBirthDate
	}
	for i, parent := range body.Parents {
		somebody, another := domain.CitizenID{UUID: in.ID(parentOfNobody)}, domain.CitizenID{UUID: in.ID(parentOfNobody + 1 + i)}
		if parent == body.SSIN {
			another = somebody
		}
		grant := parentGrant(in, t, born, body.SSIN, attestors)
		grant.Citizen, grant.CitizenIs, grant.Representative, grant.RepresentativeIs = somebody, citizen.Living, another, citizen.Living
		if _, err := grant.Decide(mandate.State{}); err != nil && !(errors.Is(err, mandate.ErrNotMinor) && adultBySource(in, born)) {
			return err
		}
	}
	return nil
}

// parentOfNobody is the index of the id of a child whom nobody looked up, apart from those of
// a request's events; the ids of such parents follow it.
const parentOfNobody = 1 << 20

// adultBySource reports whether the source itself says that the person is an adult. Such a
// person's parents get no mandate, and the document is issued all the same.
func adultBySource(in acting.Intent, born domain.Date) bool {
	return !domain.BelgianDate(in.At).Before(born.AddYears(registry.Majority))
}

// parentGrant returns a parent's mandate over a child's documents of one type, until the
// child's majority, without the persons.
func parentGrant(in acting.Intent, t *registry.DocumentType, born domain.Date, child contract.SSIN, attestors []domain.Organisation) mandate.Grant {
	return mandate.Grant{
		Kind:  mandate.ParentOfMinor,
		Scope: mandate.Scope{Types: []domain.DocumentType{t.Name}, Actions: []mandate.Action{mandate.Read, mandate.Consent}},
		Until: born.AddYears(registry.Majority), Born: born, Numbered: child.EarliestBirth(),
		Attestors: attestors, By: in.Actor, At: in.At,
	}
}

// parentMandate is a parent's mandate that is about to be recorded.
type parentMandate struct {
	write eventstore.Write
	grant mandate.Grant
}

// parentMandateID returns the id of a parent's mandate over a child's documents of a type. It
// is another one after a death of either was corrected, because that death ended the former
// for good (rule P-6).
func parentMandateID(child, parent acting.Person, t domain.DocumentType) domain.MandateID {
	name := append(parent.ID.UUID[:], t...)
	for _, revived := range []time.Time{child.Revived, parent.Revived} {
		if !revived.IsZero() {
			name = binary.BigEndian.AppendUint64(name, uint64(revived.UnixMicro()))
		}
	}
	return domain.MandateID{UUID: uuid.NewSHA1(child.ID.UUID, name)}
}

// parentMandates returns for each parent a mandate over the child's documents of this type,
// until the child is 18 (M-1.4 to M-1.6, M-1.11), and none for a child who is 18 already by
// the source's own word. A
// mandate's id is made of both citizens' ids, so that naming the parent again changes
// nothing. The mandates are judged before the document is recorded, which is not issued when
// one of them is refused.
func (v *Vault) parentMandates(ctx context.Context, in acting.Intent, child acting.Person, body *contract.DocumentIssue, t *registry.DocumentType, content domain.JSON) ([]parentMandate, error) {
	var all []parentMandate
	var numbered domain.Date
	if len(body.Parents) > 0 {
		var err error
		if numbered, err = v.birthOfChild(ctx, child); err != nil {
			return nil, err
		}
	}
	for i, ssin := range body.Parents {
		born, ok := in.Words.BirthDate(t.Name, content)
		if !ok {
			return nil, errBirthDate
		}
		step := stepParent + 2*i
		parent, err := v.enrollForMandate(ctx, in, step, ssin)
		if err != nil {
			return nil, err
		}
		id := parentMandateID(child, parent, t.Name)
		p := parentMandate{in.Write(step+1, acting.MandateStream(id), child.ID, child.At, parent.At), parentGrant(in, t, born, body.SSIN, in.Words.Registry().Attestors(registry.Parentage))}
		p.grant.NumberedToday = numbered
		p.grant.Mandate, p.grant.Citizen, p.grant.CitizenIs = id, child.ID, child.Standing
		p.grant.Representative, p.grant.RepresentativeIs = parent.ID, parent.Standing
		state, _, err := acting.Mandates.Load(ctx, v.Log, p.write.Stream)
		if err != nil {
			return nil, err
		}
		switch _, err := p.grant.Decide(state); {
		case errors.Is(err, mandate.ErrNotMinor) && adultBySource(in, born):
		case err != nil:
			return nil, err
		default:
			all = append(all, p)
		}
	}
	return all, nil
}

// documentReceipt returns the version and the state of a document today, for its issuer.
func (v *Vault) documentReceipt(ctx context.Context, in acting.Intent, s document.State) (contract.DocumentReceipt, error) {
	ref, err := v.Keys.Ref(ctx, in.Actor.Organisation, s.Citizen)
	if err != nil {
		return contract.DocumentReceipt{}, err
	}
	return contract.DocumentReceipt{
		Href: contract.DocumentHref(s.Document), DocumentID: s.Document, CitizenRef: ref,
		Version: s.Current(), State: receiptState(s, domain.BelgianDate(in.At)),
	}, nil
}

// receiptState returns the state of a document by its clear facts: where the dates are
// sealed, a document that was neither revoked nor suspended counts as valid.
func receiptState(s document.State, today domain.Date) contract.DocumentState {
	if status := s.StatusAt(today); status != document.UnknownDates {
		return contract.DocumentState(status)
	}
	return contract.DocumentStateValid
}
