package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/contract"
)

// A disclosure takes its steps in one order, rule A-1: look at what it relies
// on, judge the basis and then what is held, record the access durably, look
// again, and only then open. Whoever discloses for a consumer takes these steps.

// basis is under what a consumer reads: the citizen's consent, or a legal basis
// with the deliberation that lets the consumer use it.
type basis struct {
	consent      domain.ConsentID
	legalBasis   domain.LegalBasis
	deliberation domain.Deliberation
}

// reading is what a consumer asks of one document.
type reading struct {
	basis
	document      domain.DocumentID
	documentType  domain.DocumentType // what the document should be, where a caller says it
	access        domain.AccessID
	purpose       domain.Purpose
	procedure     domain.Procedure
	fields        []domain.Field
	predicate     registry.PredicateName
	attachment    domain.AttachmentID // one file, and nothing else
	caseReference string
	seen          bool // its key was met before (rule A-8)
}

// findings are what the streams say, at one moment, of all that a reading
// relies on.
type findings struct {
	document attested
	consent  consent.State
	citizen  person
}

// attested is a document as its own stream has it.
type attested struct {
	state    document.State
	at       eventstore.Reference
	contents []eventstore.Event // the one that gave version n at index n-1
	changed  time.Time          // when the newest of its facts was recorded
}

// attested reads a document's whole stream. One that does not exist is the zero
// value.
func (v *Vault) attested(ctx context.Context, id domain.DocumentID) (attested, error) {
	return v.attestedUpTo(ctx, id, eventstore.Position{})
}

// attestedUpTo is attested as the document was at a position; the zero position
// stands for now.
func (v *Vault) attestedUpTo(ctx context.Context, id domain.DocumentID, last eventstore.Position) (attested, error) {
	var a attested
	stream := documentStream(id)
	for e, err := range v.Log.Read(ctx, stream, 0) {
		if err != nil {
			return attested{}, fmt.Errorf("read document: %w", err)
		}
		if !last.IsZero() && e.Position.Compare(last) > 0 {
			break
		}
		fact, ok := e.Data.(document.Event)
		if !ok {
			return attested{}, fmt.Errorf("%s does not belong in a document's stream", e.Type)
		}
		a.state, a.at, a.changed = document.Evolve(a.state, fact), eventstore.At(stream, e.Revision), e.Time
		switch fact.(type) {
		case document.Issued, document.Updated:
			a.contents = append(a.contents, e)
		}
	}
	return a, nil
}

// withDates opens the dates that are sealed, for the decision only. Those whose
// key is away or gone stay unreadable, and the rules rely on nothing then.
func (v *Vault) withDates(ctx context.Context, a attested) (attested, error) {
	return v.withDatesBut(ctx, a, eventstore.ErrErased, eventstore.ErrKeysUnavailable)
}

// withDatesBut opens the dates that are sealed; those that cannot be opened for one
// of these reasons stay unreadable.
func (v *Vault) withDatesBut(ctx context.Context, a attested, unreadable ...error) (attested, error) {
	if !a.state.PersonalValidity {
		return a, nil
	}
	dates := make(map[int]document.Dates, len(a.contents))
	for i, e := range a.contents {
		opened, err := eventstore.OpenEvent(ctx, v.Opener, v.Codec, e)
		switch {
		case slices.ContainsFunc(unreadable, func(reason error) bool { return errors.Is(err, reason) }):
			continue
		case err != nil:
			return attested{}, err
		}
		switch f := opened.(type) {
		case document.Issued:
			dates[i+1] = document.Dates{ValidFrom: f.Personal.ValidFrom, ValidUntil: f.Personal.ValidUntil}
		case document.Updated:
			dates[i+1] = document.Dates{EffectiveFrom: f.Personal.EffectiveFrom, ValidFrom: f.Personal.ValidFrom, ValidUntil: f.Personal.ValidUntil}
		}
	}
	a.state = a.state.Open(dates)
	return a, nil
}

// look reads what a reading relies on. It reads as much for what does not exist.
// A document of somebody else than the citizen who consented is not there.
func (v *Vault) look(ctx context.Context, r reading) (findings, error) {
	var f findings
	var err error
	if f.document, err = v.attested(ctx, r.document); err != nil {
		return findings{}, err
	}
	whose := f.document.state.Citizen
	if !r.consent.IsZero() {
		if f.consent, _, err = consents.Load(ctx, v.Log, consentStream(r.consent)); err != nil {
			return findings{}, err
		}
		if whose = f.consent.Citizen; whose != f.document.state.Citizen {
			f.document = attested{}
		}
	}
	f.citizen, err = v.meet(ctx, whose)
	return f, err
}

// question is what is asked, with what is known of the document today.
func (r reading) question(in intent, f findings) access.Question {
	q := access.Question{
		Kind: access.OpenedDocument, Document: f.document.state.On(domain.BelgianDate(in.at)),
		Purpose: r.purpose, Procedure: r.procedure, Fields: r.fields, Predicate: r.predicate,
	}
	switch {
	case r.predicate != "":
		q.Kind = access.OpenedPredicate
	case !r.attachment.IsZero():
		q.Kind = access.OpenedAttachment
		if n := len(f.document.state.Versions); n > 0 && slices.Contains(f.document.state.Versions[n-1].Attachments, r.attachment) {
			q.Attachment = r.attachment
		}
	}
	if t, known := in.words.DocumentType(r.typeOf(f)); known {
		q.Type = *t
	}
	return q
}

// typeOf is the type of the document; when there is none, of what was asked for.
func (r reading) typeOf(f findings) domain.DocumentType {
	if t := f.document.state.Type; t != "" {
		return t
	}
	return r.documentType
}

// use is the command of a reading under a consent.
func (r reading) use(in intent, f findings) consent.Use {
	return consent.Use{
		Access: r.access, Question: r.question(in, f), Standing: f.citizen.standing,
		CaseReference: r.caseReference, Seen: r.seen, By: in.actor, At: in.at,
	}
}

// byLaw is the command of a reading by law.
func (r reading) byLaw(in intent, f findings) access.AuthorizeByLaw {
	return access.AuthorizeByLaw{
		Access: r.access, Citizen: f.citizen.id, Question: r.question(in, f), LegalBasis: r.legalBasis, Deliberation: r.deliberation,
		Registrations: in.words.Registrations(in.actor.Organisation), Standing: f.citizen.standing,
		CaseReference: r.caseReference, Seen: r.seen, By: in.actor, At: in.at,
	}
}

// established implements A-6: whether there is a basis at all, by clear facts,
// before anything of what is held is judged or opened.
func (r reading) established(in intent, f findings) error {
	if r.procedure != "" && !in.words.ProcedureInUse(r.procedure) {
		return access.ErrNoBasis
	}
	var err error
	if r.consent.IsZero() {
		_, err = r.byLaw(in, f).Basis()
	} else {
		_, err = r.use(in, f).Basis(f.consent)
	}
	if r.typeOf(f) == "" && (err == nil || errors.Is(err, access.ErrNotCovered)) {
		return access.ErrNoBasis // there is nothing that anything could cover
	}
	return err
}

// lawful judges the whole reading as it stands, without recording it.
func (r reading) lawful(in intent, f findings) error {
	if r.consent.IsZero() {
		_, err := r.byLaw(in, f).Decide(access.State{})
		return err
	}
	return r.use(in, f).Validate(f.consent)
}

// survey looks, and judges the basis; sealed dates are opened only when there is one.
func (v *Vault) survey(ctx context.Context, in intent, r reading) (findings, error) {
	f, err := v.look(ctx, r)
	if err != nil {
		return f, err
	}
	if err := r.established(in, f); err != nil {
		return f, err
	}
	f.document, err = v.withDates(ctx, f.document)
	return f, err
}

// disclosed is a reading that was authorised, and what came out of it.
type disclosed struct {
	authorized access.Authorized
	position   eventstore.Position   // of the authorisation
	findings   findings              // as they were read again
	content    contract.Content      // the fields covered
	files      []document.Attachment // of the version, when they are covered
	holds      bool                  // the predicate's answer
}

// disclose takes all steps for one document. When an access was authorised, it
// is in the result even with an error. The caller records that it was delivered.
func (v *Vault) disclose(ctx context.Context, in intent, r reading) (disclosed, error) {
	f, err := v.survey(ctx, in, r)
	if err != nil {
		return disclosed{}, v.refused(in, r.asked(f), err)
	}
	turn, err := v.admit(ctx, in, f.citizen.id)
	if err != nil {
		return disclosed{}, v.refused(in, r.asked(f), err)
	}
	d, err := v.authorize(ctx, in, r, f)
	turn.done(d.position)
	if err != nil {
		return disclosed{}, v.refused(in, r.asked(f), err)
	}
	if d.findings, err = v.lookAgain(ctx, in, r, d.authorized); err != nil {
		return d, v.withhold(ctx, in, d.authorized, err)
	}
	return d, v.open(ctx, in, &d)
}

// asked is a reading as its refusal is recorded.
func (r reading) asked(f findings) access.Refused {
	return access.Refused{
		Citizen: f.citizen.id, Document: f.document.state.Document, Type: r.typeOf(f), Purpose: r.purpose, Procedure: r.procedure,
	}
}

// authorize records the access durably: under a consent in the consent's own
// stream, so that the store orders use against withdrawal (rule C-4), by law in
// the citizen's of the month.
func (v *Vault) authorize(ctx context.Context, in intent, r reading, f findings) (disclosed, error) {
	var d disclosed
	var err error
	basedOn := []eventstore.Reference{f.document.at, f.citizen.at}
	if r.consent.IsZero() {
		result, failed := accesses.Transact(ctx, v.Log, v.accessWrite(in, accessStream(f.citizen.id, in.at), f.citizen.id, basedOn), r.byLaw(in, f))
		if failed != nil {
			return d, failed
		}
		d.position = result.Position
		d.authorized, err = authorizedIn(result.Events)
	} else {
		result, failed := consents.Transact(ctx, v.Log, v.accessWrite(in, consentStream(r.consent), f.citizen.id, basedOn), r.use(in, f))
		if failed != nil {
			return d, failed
		}
		d.position = result.Position
		d.authorized, err = authorizedIn(result.Events)
	}
	return d, err
}

// accessWrite is what is recorded with an access. Each attempt is a fact of its
// own, so its event's id is fresh; the access's id is what repeats.
func (v *Vault) accessWrite(in intent, s eventstore.Stream, of domain.CitizenID, basedOn []eventstore.Reference) eventstore.Write {
	w := in.write(0, s, of, basedOn...)
	w.ID, w.Settle = nil, false
	return w
}

// authorizedIn returns the one access that was authorised.
func authorizedIn[E any](events []E) (access.Authorized, error) {
	if len(events) == 1 {
		if a, ok := any(events[0]).(access.Authorized); ok {
			return a, nil
		}
	}
	return access.Authorized{}, fmt.Errorf("%d events and no access authorised", len(events))
}

// lookAgain reads everything anew once the access is on record, and judges it
// again for the version that was authorised (rule A-1).
func (v *Vault) lookAgain(ctx context.Context, in intent, r reading, a access.Authorized) (findings, error) {
	f, err := v.survey(ctx, in, r)
	if err != nil {
		return f, err
	}
	r.seen = false // judged once
	if r.consent.IsZero() {
		cmd := r.byLaw(in, f)
		cmd.Document, cmd.Attachment = ofVersion(cmd.Document, a.Version), a.Attachment
		_, err = cmd.Decide(access.State{})
		return f, err
	}
	use := r.use(in, f)
	use.Document, use.Attachment = ofVersion(use.Document, a.Version), a.Attachment
	now := f.consent
	now.Memory = access.Memory{}.Add(a) // this access counts already
	return f, use.Validate(now)
}

// ofVersion is a document as it is now, with the version that was authorised:
// an update in between takes nothing away.
func ofVersion(s document.Snapshot, version int) document.Snapshot {
	if s.Version != 0 {
		s.Version = version
	}
	return s
}

// open opens the authorised version and takes from it what the basis covers
// (rule A-2). What cannot be opened is recorded as failed.
func (v *Vault) open(ctx context.Context, in intent, d *disclosed) error {
	a := d.authorized
	content, files, err := v.contentOf(ctx, d.findings.document, a.Version)
	if err == nil && slices.Contains(a.Fields, registry.Attachments) {
		d.files = files
	}
	if err == nil {
		switch a.Kind {
		case access.OpenedPredicate:
			d.holds, err = in.words.Predicate(a.Type, registry.PredicateName(a.Predicate), content, domain.BelgianDate(in.at))
		case access.OpenedDocument:
			d.content, err = only(content, a.Fields)
		}
	}
	if err != nil {
		v.told(in, a, access.Failed, err)
	}
	return err
}

// contentOf opens the content of one version, and what there is to know of its files.
func (v *Vault) contentOf(ctx context.Context, d attested, version int) (domain.JSON, []document.Attachment, error) {
	if version < 1 || version > len(d.contents) {
		return nil, nil, fmt.Errorf("document has no version %d", version)
	}
	opened, err := eventstore.OpenEvent(ctx, v.Opener, v.Codec, d.contents[version-1])
	if err != nil {
		return nil, nil, err
	}
	switch f := opened.(type) {
	case document.Issued:
		return f.Personal.Content, f.Personal.Attachments, nil
	case document.Updated:
		return f.Personal.Content, f.Personal.Attachments, nil
	}
	return nil, nil, fmt.Errorf("%T holds no content", opened)
}

var errContent = errors.New("a content is not a JSON object") // the cause would quote it

// only returns the content with no other top-level members than these.
func only(content domain.JSON, fields []domain.Field) (contract.Content, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(content))
	if t, err := dec.ReadToken(); err != nil || t.Kind() != '{' {
		return nil, errContent
	}
	out := append(make(contract.Content, 0, len(content)), '{')
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, errContent
		}
		field := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, errContent
		}
		if !slices.Contains(fields, domain.Field(field)) {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		if out, err = jsontext.AppendQuote(out, field); err != nil {
			return nil, errContent
		}
		out = append(append(out, ':'), value...)
	}
	if t, err := dec.ReadToken(); err != nil || t.Kind() != '}' {
		return nil, errContent
	}
	return append(out, '}'), nil
}
