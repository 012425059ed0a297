package disclosure

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
	"coffre/domain/investigation"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/projections"
)

// Every disclosure for a consumer takes the steps of rule A-1 in one order: load the
// findings, judge the basis and then the document, record the access durably, load and
// judge again, and only then open.

// Basis is the ground on which a consumer reads: the citizen's consent, or a legal basis
// with the deliberation that lets the consumer use it.
type Basis struct {
	Consent      *domain.ConsentID // nil: by law
	LegalBasis   domain.LegalBasis
	Deliberation domain.Deliberation
}

// Reading is a consumer's request for one document.
type Reading struct {
	Basis
	Document      domain.DocumentID
	DocumentType  domain.DocumentType // the type the caller names, if any
	Access        domain.AccessID
	Purpose       domain.Purpose
	Procedure     domain.Procedure
	Fields        []domain.Field
	Predicate     registry.PredicateName
	Attachment    *domain.AttachmentID // one file, and nothing else; nil: the document
	CaseReference string
	// Investigation is the one under which the consumer reads by law (rule H-4); nil for none.
	Investigation *domain.InvestigationID
	Seen          bool // the request's key was used before (rule A-8)
}

// Findings hold the state of the streams on which a reading relies, loaded together.
type Findings struct {
	Document LoadedDocument
	Consent  consent.State
	Citizen  acting.Person
	// Investigation is the one that the reading names; the zero state where there is none.
	Investigation investigation.State

	read LoadedDocument // the document as its stream tells it, whoever's it is
}

// LoadedDocument is a document folded from its whole stream.
type LoadedDocument struct {
	State         document.State
	next          eventstore.Revision // of its stream, after the last fact that was read
	ref           eventstore.Reference
	ContentEvents []eventstore.Event // the event of version n at index n-1
	ChangedAt     time.Time          // when the newest of its facts was recorded
}

// LoadDocument reads a document's stream. A document that does not exist is the zero value
// and no error.
func (dis *Discloser) LoadDocument(ctx context.Context, id domain.DocumentID) (LoadedDocument, error) {
	return dis.loadDocumentAt(ctx, id, LoadedDocument{}, eventstore.Position{})
}

// LoadDocumentAsOf reads a document's stream as it was at a leaf; -1 is before the first. It is
// for whoever may read the document now, as View judges.
func (dis *Discloser) LoadDocumentAsOf(ctx context.Context, id domain.DocumentID, leaf int64) (LoadedDocument, error) {
	switch leaf {
	case -1:
		return LoadedDocument{}, nil
	case projections.Latest:
		return dis.LoadDocument(ctx, id)
	}
	last, err := dis.Log.Leaves().Position(ctx, leaf)
	if err != nil {
		return LoadedDocument{}, fmt.Errorf("position of a leaf: %w", err)
	}
	return dis.loadDocumentAt(ctx, id, LoadedDocument{}, last)
}

// loadDocumentAt reads a document's stream up to a position; the zero position stands for
// now. Where before is the same document, it reads on from there.
func (dis *Discloser) loadDocumentAt(ctx context.Context, id domain.DocumentID, before LoadedDocument, last eventstore.Position) (LoadedDocument, error) {
	if before.State.Document != id {
		before = LoadedDocument{}
	}
	a := before
	a.ContentEvents = slices.Clip(a.ContentEvents) // who has the former one keeps it
	stream := acting.DocumentStream(id)
	for e, err := range dis.Log.Read(ctx, stream, before.next) {
		if err != nil {
			return LoadedDocument{}, fmt.Errorf("read document: %w", err)
		}
		if !last.IsZero() && e.Position.Compare(last) > 0 {
			break
		}
		fact, ok := e.Data.(document.Event)
		if !ok {
			return LoadedDocument{}, fmt.Errorf("%s does not belong in a document's stream", e.Type)
		}
		a.State, a.ref, a.ChangedAt = document.Evolve(a.State, fact), eventstore.At(stream, e.Revision), e.Time
		a.next = e.Revision + 1
		switch fact.(type) {
		case document.Issued, document.Updated:
			a.ContentEvents = append(a.ContentEvents, e)
		}
	}
	return a, nil
}

// OpenDates opens the sealed dates of a document, for a decision only. Dates whose key is
// destroyed or cannot be reached stay unreadable, so that no rule relies on them.
func (dis *Discloser) OpenDates(ctx context.Context, a LoadedDocument) (LoadedDocument, error) {
	return dis.OpenDatesExcept(ctx, a, eventstore.ErrErased, eventstore.ErrKeysUnavailable)
}

// OpenDatesExcept opens the sealed dates of a document. Dates that cannot be opened because
// of one of the errors in unreadable stay unreadable; any other error is returned.
func (dis *Discloser) OpenDatesExcept(ctx context.Context, a LoadedDocument, unreadable ...error) (LoadedDocument, error) {
	if !a.State.PersonalValidity {
		return a, nil
	}
	dates := make(map[int]document.Dates, len(a.ContentEvents))
	for i, e := range a.ContentEvents {
		opened, err := eventstore.OpenEvent(ctx, dis.openerFor(ctx), dis.codec, e)
		switch {
		case slices.ContainsFunc(unreadable, func(reason error) bool { return errors.Is(err, reason) }):
			continue
		case err != nil:
			return LoadedDocument{}, err
		}
		switch f := opened.(type) {
		case document.Issued:
			dates[i+1] = document.Dates{ValidFrom: f.Personal.ValidFrom, ValidUntil: f.Personal.ValidUntil}
		case document.Updated:
			dates[i+1] = document.Dates{EffectiveFrom: f.Personal.EffectiveFrom, ValidFrom: f.Personal.ValidFrom, ValidUntil: f.Personal.ValidUntil}
		}
	}
	a.State = a.State.Open(dates)
	return a, nil
}

// LoadFindings loads the streams on which a reading relies. It reads as much for a document
// that does not exist, so that the time it takes tells nothing. A document of another
// citizen than the one who consented counts as absent.
func (dis *Discloser) LoadFindings(ctx context.Context, r Reading) (Findings, error) {
	return dis.loadFindingsSince(ctx, r, LoadedDocument{})
}

// loadFindingsSince is LoadFindings with the document as the same reading read it before.
func (dis *Discloser) loadFindingsSince(ctx context.Context, r Reading, before LoadedDocument) (Findings, error) {
	var f Findings
	var err error
	if f.read, err = dis.loadDocumentAt(ctx, r.Document, before, eventstore.Position{}); err != nil {
		return Findings{}, err
	}
	f.Document = f.read
	whose := f.Document.State.Citizen
	if r.Consent != nil {
		if f.Consent, _, err = acting.Consents.Load(ctx, dis.Log, acting.ConsentStream(*r.Consent)); err != nil {
			return Findings{}, err
		}
		whose = f.Consent.Citizen
	}
	if r.Investigation != nil {
		if f.Investigation, _, err = acting.Investigations.Load(ctx, dis.Log, acting.InvestigationStream(*r.Investigation)); err != nil {
			return Findings{}, err
		}
	}
	if f.Citizen, err = dis.LoadPerson(ctx, whose); err != nil {
		return f, err
	}
	switch owner := f.Document.State.Citizen; {
	case !f.Citizen.Is(owner):
		f.Document = LoadedDocument{}
	case r.Consent != nil: // the rules compare it with the consent's, which may be of another life
		f.Document.State.Citizen = f.Consent.Citizen
	default:
		f.Document.State.Citizen = f.Citizen.ID
	}
	return f, nil
}

// question returns the question of a reading, with the document as it is today.
func (r Reading) question(in acting.Intent, f Findings) access.Question {
	q := access.Question{
		Kind: access.OpenedDocument, Document: f.Document.State.On(domain.BelgianDate(in.At)),
		Purpose: r.Purpose, Procedure: r.Procedure, Fields: r.Fields, Predicate: r.Predicate,
	}
	switch {
	case r.Predicate != "":
		q.Kind = access.OpenedPredicate
	case r.Attachment != nil:
		q.Kind = access.OpenedAttachment
		if n := q.Document.Version; n > 0 && slices.Contains(f.Document.State.Versions[n-1].Attachments, *r.Attachment) {
			q.Attachment = *r.Attachment
		}
	}
	if t, known := in.Words.DocumentType(r.typeOf(f)); known {
		q.Type = *t
	}
	return q
}

// typeOf returns the document's type; without a document, the type that was asked for.
func (r Reading) typeOf(f Findings) domain.DocumentType {
	if t := f.Document.State.Type; t != "" {
		return t
	}
	return r.DocumentType
}

// Use returns the command of a reading under a consent.
func (r Reading) Use(in acting.Intent, f Findings) consent.Use {
	return consent.Use{
		Access: r.Access, Question: r.question(in, f), Registrations: in.Words.Registrations(in.Actor.Organisation),
		Standing: f.Citizen.Standing, Restrictions: f.Citizen.Restrictions, Revived: f.Citizen.Revived,
		CaseReference: r.CaseReference, Seen: r.Seen, By: in.Actor, At: in.At,
	}
}

// authorizeByLaw returns the command of a reading by law.
func (r Reading) authorizeByLaw(in acting.Intent, f Findings) access.AuthorizeByLaw {
	cmd := access.AuthorizeByLaw{
		Access: r.Access, Citizen: f.Citizen.ID, Question: r.question(in, f), LegalBasis: r.LegalBasis, Deliberation: r.Deliberation,
		Registrations: in.Words.Registrations(in.Actor.Organisation), Standing: f.Citizen.Standing, Restrictions: f.Citizen.Restrictions,
		CaseReference: r.CaseReference, Seen: r.Seen, By: in.Actor, At: in.At,
	}
	if r.Investigation != nil {
		cmd.Investigation = &f.Investigation
	}
	return cmd
}

// under returns the investigation that hides a reading and whatever is refused of it; the zero id
// for none. What a citizen consented to is never hidden.
func (r Reading) under(in acting.Intent, f Findings) (none domain.InvestigationID) {
	if r.Investigation == nil || r.Consent != nil {
		return none
	}
	return r.authorizeByLaw(in, f).Under()
}

// CheckBasis judges whether a reading has a basis, by facts in clear, before any document
// is judged or opened (rule A-6).
func (r Reading) CheckBasis(in acting.Intent, f Findings) error {
	if r.Procedure != "" && !in.Words.ProcedureInUse(r.Procedure) {
		return access.ErrNoBasis
	}
	var err error
	if r.Consent == nil {
		_, err = r.authorizeByLaw(in, f).Basis()
	} else {
		_, err = r.Use(in, f).Basis(f.Consent)
	}
	if r.typeOf(f) == "" && (err == nil || errors.Is(err, access.ErrNotCovered)) {
		return access.ErrNoBasis // there is nothing that anything could cover
	}
	return err
}

// Lacking returns the word for which CheckBasis refused a reading with access.ErrNoBasis; "" for
// any other reason.
func (r Reading) Lacking(in acting.Intent, f Findings) access.Word {
	switch {
	case r.Procedure != "" && !in.Words.ProcedureInUse(r.Procedure):
		return access.WordProcedure
	case r.Consent == nil:
		return r.authorizeByLaw(in, f).Lacking()
	}
	return r.Use(in, f).Lacking(f.Consent)
}

// Restricted reports whether a restriction of processing keeps a document from a reading that
// has a basis (rule P-5), by the consent and the citizen of f; the zero id stands for whatever
// else there may be. What it keeps is left out before it is loaded, so that as much is done as
// where it is not held.
func (r Reading) Restricted(in acting.Intent, f Findings, id domain.DocumentID) bool {
	f.Document = LoadedDocument{State: document.State{Document: id, Type: r.DocumentType}}
	if r.Consent == nil {
		return r.authorizeByLaw(in, f).Restricted()
	}
	return r.Use(in, f).Restricted(f.Consent)
}

// Check judges a whole reading without recording it. Whether a reading by law was made before
// is not judged, because the citizen's stream alone tells.
func (r Reading) Check(in acting.Intent, f Findings) error {
	if r.Consent == nil {
		cmd := r.authorizeByLaw(in, f)
		cmd.Seen = false
		_, err := cmd.Decide(access.State{})
		return err
	}
	return r.Use(in, f).Validate(f.Consent)
}

// EstablishBasis loads the findings of a reading and judges its basis; only when there is
// one it proves the consent's terms and who gave it, and opens sealed dates.
func (dis *Discloser) EstablishBasis(ctx context.Context, in acting.Intent, r Reading) (Findings, error) {
	return dis.establishSince(ctx, in, r, LoadedDocument{})
}

func (dis *Discloser) establishSince(ctx context.Context, in acting.Intent, r Reading, before LoadedDocument) (Findings, error) {
	f, err := dis.loadFindingsSince(ctx, r, before)
	if err != nil {
		return f, err
	}
	if err := r.CheckBasis(in, f); err != nil {
		return f, err
	}
	if r.Consent != nil {
		if err := dis.proveConsent(ctx, f.Consent); err != nil {
			return f, err
		}
		if err := dis.CheckGiver(ctx, f.Consent); err != nil {
			return f, err
		}
	}
	f.Document, err = dis.OpenDates(ctx, f.Document)
	return f, err
}

// Disclosed is an authorised reading with the data it discloses.
type Disclosed struct {
	Authorized access.Authorized
	Position   eventstore.Position   // of the authorisation
	Findings   Findings              // as they were read again
	Content    contract.Content      // the fields covered
	Files      []document.Attachment // of the version, when they are covered
	Holds      bool                  // the predicate's answer
	Reading    Reading
}

// Disclose takes all steps of rule A-1 for one document. An access that was authorised is
// in the result even with an error, and so are the reading and its findings. The caller records that the answer was delivered.
func (dis *Discloser) Disclose(ctx context.Context, in acting.Intent, r Reading) (Disclosed, error) {
	f, err := dis.EstablishBasis(ctx, in, r)
	if err != nil {
		return Disclosed{Findings: f, Reading: r}, dis.QueueRefusal(in, r.AsRefused(in, f), err)
	}
	if err := dis.ClaimQuota(ctx, in, f.Citizen.ID); err != nil {
		return Disclosed{Findings: f, Reading: r}, dis.QueueRefusal(in, r.AsRefused(in, f), err)
	}
	d, err := dis.Authorize(ctx, in, r, f)
	if err != nil {
		return Disclosed{Findings: f, Reading: r}, dis.QueueRefusal(in, r.AsRefused(in, f), err)
	}
	d.Reading = r
	if d.Findings, err = dis.Revalidate(ctx, in, r, f, d.Authorized); err != nil {
		return d, dis.Withhold(ctx, in, d.Authorized, err)
	}
	return d, dis.OpenAuthorized(ctx, in, &d)
}

// AsRefused returns the record of a reading's refusal.
func (r Reading) AsRefused(in acting.Intent, f Findings) access.Refused {
	return access.Refused{
		Citizen: f.Citizen.ID, Document: f.Document.State.Document, Type: r.typeOf(f), Purpose: r.Purpose, Procedure: r.Procedure,
		Investigation: r.under(in, f),
	}
}

// Authorize records an access durably. Under a consent it is appended to the consent's own
// stream, so that the store orders it against a withdrawal (rule C-4); by law, to the
// citizen's stream of the month.
func (dis *Discloser) Authorize(ctx context.Context, in acting.Intent, r Reading, f Findings) (Disclosed, error) {
	var d Disclosed
	var err error
	basedOn := []eventstore.Reference{f.Document.ref, f.Citizen.At}
	if r.Consent == nil {
		result, failed := acting.Accesses.Transact(ctx, dis.Log, dis.accessWrite(in, acting.AccessStream(f.Citizen.ID, in.At), f.Citizen.ID, basedOn), r.authorizeByLaw(in, f))
		if failed != nil {
			return d, failed
		}
		d.Position = result.Position
		d.Authorized, err = AuthorizedIn(result.Events)
	} else {
		result, failed := acting.Consents.Transact(ctx, dis.Log, dis.accessWrite(in, acting.ConsentStream(*r.Consent), f.Consent.Citizen, basedOn), r.Use(in, f))
		if failed != nil {
			return d, failed
		}
		d.Position = result.Position
		d.Authorized, err = AuthorizedIn(result.Events)
	}
	return d, err
}

// RecordTold records durably what a consumer is about to be told of presence, state or
// absence (rule A-10), and returns it as an access of which an outcome is recorded. For
// nobody, of whom only absence can be told, the same is written into a stream of its own.
func (dis *Discloser) RecordTold(ctx context.Context, in acting.Intent, r Reading, f Findings, of domain.CitizenID, answers []access.Answer) (access.Authorized, error) {
	cmd := access.RecordTold{
		Access: domain.AccessID{UUID: dis.NewID()}, Citizen: of, Purpose: r.Purpose, Procedure: r.Procedure,
		Consent: r.Consent, LegalBasis: r.LegalBasis, Deliberation: r.Deliberation, Answers: answers,
		CaseReference: r.CaseReference, Investigation: r.under(in, f), By: in.Actor, At: in.At,
	}
	w := dis.accessWrite(in, acting.AccessStream(of, in.At), of, nil)
	if of.IsZero() {
		w.Stream, w.Fresh = acting.UnknownStream(cmd.Access, in.At), true
	}
	if _, err := acting.Accesses.Transact(ctx, dis.Log, w, cmd); err != nil {
		return access.Authorized{}, fmt.Errorf("record what is told: %w", err)
	}
	return access.Authorized{Access: cmd.Access, Citizen: of, Attempt: 1}, nil
}

// Lookup holds what somebody says who finds a citizen by number.
type Lookup struct {
	Purpose       domain.Purpose
	Procedure     domain.Procedure
	Reason        domain.ReasonCode // of a privacy officer
	CaseReference string
}

// RecordLookup records durably that the caller is about to learn how to name a citizen (rule
// A-11), and returns it as an access of which an outcome is recorded; the zero access when
// the same stands there already today, and for nobody, of whom the same is written into a
// stream of its own. A person whose keys were destroyed meanwhile is eventstore.ErrErased.
func (dis *Discloser) RecordLookup(ctx context.Context, in acting.Intent, l Lookup, of domain.CitizenID) (access.Authorized, error) {
	cmd := access.RecordNamed{
		Access: domain.AccessID{UUID: dis.NewID()}, Citizen: of, Purpose: l.Purpose, Procedure: l.Procedure, Reason: l.Reason,
		CaseReference: l.CaseReference, By: in.Actor, At: in.At,
	}
	w := dis.accessWrite(in, acting.AccessStream(of, in.At), of, nil)
	if of.IsZero() {
		w.Stream, w.Fresh = acting.UnknownStream(cmd.Access, in.At), true
	}
	result, err := acting.Accesses.Transact(ctx, dis.Log, w, cmd)
	switch {
	case err != nil:
		return access.Authorized{}, fmt.Errorf("record a look-up: %w", err)
	case len(result.Events) == 0 || of.IsZero():
		return access.Authorized{}, nil
	}
	return access.Authorized{Access: cmd.Access, Citizen: of, Attempt: 1}, nil
}

// accessWrite returns the write of an access. Each attempt is a fact of its own, so the
// event's id is fresh; the access's id is the one that repeats.
func (dis *Discloser) accessWrite(in acting.Intent, s eventstore.Stream, of domain.CitizenID, basedOn []eventstore.Reference) eventstore.Write {
	w := acting.WithCall(in.Write(0, s, of, basedOn...), in.Call)
	w.ID, w.Settle = nil, false
	return w
}

// AuthorizedIn returns the authorised access, the only one of the events; any other events
// are an error.
func AuthorizedIn[E any](events []E) (access.Authorized, error) {
	if len(events) == 1 {
		if a, ok := any(events[0]).(access.Authorized); ok {
			return a, nil
		}
	}
	return access.Authorized{}, fmt.Errorf("%d events and no access authorised", len(events))
}

// Revalidate loads all findings again once an access is on record, then reads the clock
// again, and judges the access for the version that was authorised (rule A-1). before are
// the findings of the same reading: of the document only what was recorded since is read.
func (dis *Discloser) Revalidate(ctx context.Context, in acting.Intent, r Reading, before Findings, a access.Authorized) (Findings, error) {
	f, err := dis.establishSince(ctx, dis.Renew(in), r, before.read)
	if err != nil {
		return f, err
	}
	in = dis.Renew(in) // after all was read, so that what ends by time has not ended meanwhile
	r.Seen = false     // judged once
	if r.Consent == nil {
		cmd := r.authorizeByLaw(in, f)
		cmd.Document, cmd.Attachment = ofVersion(cmd.Document, a.Version), a.Attachment
		_, err = cmd.Decide(access.State{})
		return f, err
	}
	use := r.Use(in, f)
	use.Document, use.Attachment = ofVersion(use.Document, a.Version), a.Attachment
	now := f.Consent
	now.Memory = access.Memory{}.Add(a) // this access counts already
	return f, use.Validate(now)
}

// ofVersion returns the document as it is now with the version that was authorised, so that
// an update in between takes nothing away.
func ofVersion(s document.Snapshot, version int) document.Snapshot {
	if s.Version != 0 {
		s.Version = version
	}
	return s
}

// OpenAuthorized opens the authorised version and sets in d the data that the basis covers
// (rule A-2). An error is queued as the outcome failed.
func (dis *Discloser) OpenAuthorized(ctx context.Context, in acting.Intent, d *Disclosed) error {
	a := d.Authorized
	opened, err := dis.OpenVersion(ctx, d.Findings.Document, a.Version)
	for i, other := range d.Findings.Document.ContentEvents { // which say that this one applies
		if err == nil && i != a.Version-1 {
			_, err = eventstore.OpenEvent(ctx, dis.opener, dis.codec, other)
		}
	}
	if err == nil && slices.Contains(a.Fields, registry.Attachments) {
		d.Files = opened.Files
	}
	if err == nil {
		switch a.Kind {
		case access.OpenedPredicate:
			d.Holds, err = in.Words.Predicate(a.Type, registry.PredicateName(a.Predicate), opened.Content, domain.BelgianDate(in.At))
		case access.OpenedDocument:
			d.Content, err = onlyFields(opened.Content, a.Fields)
		}
	}
	if err != nil {
		dis.QueueOutcome(in, a, access.Failed, err)
	}
	return err
}

// OpenedVersion is the personal part of one version of a document.
type OpenedVersion struct {
	Content domain.JSON
	Files   []document.Attachment
	Reason  domain.ReasonCode // for the update; "" for what was issued
}

// OpenVersion opens one version of a document; versions count from 1, the one that was
// issued.
func (dis *Discloser) OpenVersion(ctx context.Context, d LoadedDocument, version int) (OpenedVersion, error) {
	if version < 1 || version > len(d.ContentEvents) {
		return OpenedVersion{}, fmt.Errorf("document has no version %d", version)
	}
	opened, err := eventstore.OpenEvent(ctx, dis.openerFor(ctx), dis.codec, d.ContentEvents[version-1])
	if err != nil {
		return OpenedVersion{}, err
	}
	switch f := opened.(type) {
	case document.Issued:
		return OpenedVersion{Content: f.Personal.Content, Files: f.Personal.Attachments}, nil
	case document.Updated:
		return OpenedVersion{f.Personal.Content, f.Personal.Attachments, f.Reason}, nil
	}
	return OpenedVersion{}, fmt.Errorf("%T holds no content", opened)
}

var errContent = errors.New("a content is not a JSON object") // the cause would quote it

// onlyFields returns a JSON object with the named top-level members only.
func onlyFields(content domain.JSON, fields []domain.Field) (contract.Content, error) {
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
