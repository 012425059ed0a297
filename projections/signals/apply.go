package signals

import (
	"context"
	"math"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/petition"
	"coffre/domain/term"
	"coffre/eventstore"
	"coffre/projections"
)

const (
	insertDocument = `INSERT INTO documents (document, citizen, issuer, type, version, changes, state)
		VALUES (?, ?, ?, ?, 1, 1, 'valid') ON CONFLICT (document) DO NOTHING`
	setVersion = `UPDATE documents SET version = version + 1, changes = changes + 1 WHERE document = ?`
	setState   = `UPDATE documents SET state = ?, changes = changes + 1 WHERE document = ?`

	insertReading = `INSERT INTO readings (consumer, document, consent, purpose, procedure_code, legal_basis, deliberation)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	insertParty = `INSERT INTO parties (id, citizen, organisation, kind, document) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`

	insertForIssuer = `INSERT INTO signals (role, organisation, leaf, event, what, id, citizen, document, type, issuer, version, changes, state, at)
		SELECT 'issuer', issuer, ?, ?, ?, document, citizen, document, type, issuer, version, changes, state, ? FROM documents WHERE document = ?
		ON CONFLICT DO NOTHING`
	insertForReaders = `INSERT INTO signals (role, organisation, leaf, event, what, id, citizen, document, type, issuer, version, changes, state, at)
		SELECT 'consumer', r.consumer, ?, ?, ?, d.document, d.citizen, d.document, d.type, d.issuer, d.version, d.changes, d.state, ?
		FROM documents AS d JOIN readings AS r ON r.document = d.document WHERE d.document = ?
		ON CONFLICT DO NOTHING`
	insertForParty = `INSERT INTO signals (role, organisation, leaf, event, what, id, citizen, document, type, issuer, version, changes, state, at)
		SELECT ?, p.organisation, ?, ?, ?, p.id, p.citizen, p.document, coalesce(d.type, ''), coalesce(d.issuer, ''), 0, 0, '', ?
		FROM parties AS p LEFT JOIN documents AS d ON d.document = p.document WHERE p.id = ?
		ON CONFLICT DO NOTHING`
	forget = `DELETE FROM signals WHERE at < ?`
)

// opened are the kinds of access by which a consumer comes to know a document.
var opened = map[access.Opened]bool{access.OpenedDocument: true, access.OpenedPredicate: true, access.OpenedAttachment: true}

// Apply implements projections.Projection.
func (s *Signals) Apply(ctx context.Context, tx *projections.Tx, e eventstore.Event, leaf int64) error {
	oldest := unknown
	return apply(ctx, telling{tx, e, leaf, &oldest})
}

// ApplyAll implements projections.Gathering: what is too old is looked for only where something may
// be, and not after each signal. It keeps a moment in microseconds that no signal is older than.
func (s *Signals) ApplyAll(ctx context.Context, tx *projections.Tx, events []projections.Taken) error {
	oldest, known := tx.Kept().(int64)
	if !known {
		oldest = unknown
	}
	for _, one := range events {
		if err := apply(ctx, telling{tx, *one.Event, one.Leaf, &oldest}); err != nil {
			return err
		}
	}
	tx.Keep(oldest)
	return nil
}

func apply(ctx context.Context, t telling) error {
	tx := t.tx
	switch f := t.e.Data.(type) {
	case access.Authorized:
		if f.Role != domain.RoleConsumer || f.Document.IsZero() || !opened[f.Kind] {
			return nil
		}
		_, err := tx.Exec(ctx, insertReading, string(f.Consumer), f.Document.UUID[:], f.Consent.UUID[:], string(f.Purpose), string(f.Procedure), string(f.LegalBasis), string(f.Deliberation))
		return err
	case document.Event:
		return t.document(ctx, f)
	case consent.Requested:
		if f.Citizen.IsZero() {
			return nil // it reached nobody, and nobody decides about it
		}
		return t.party(ctx, f.Consent.UUID, f.Citizen, f.Terms.Consumer, "", domain.DocumentID{})
	case consent.Granted:
		if err := t.party(ctx, f.Consent.UUID, f.Citizen, f.Terms.Consumer, "", domain.DocumentID{}); err != nil {
			return err
		}
		return t.tellParty(ctx, f.Consent.UUID, Granted, domain.RoleConsumer)
	case consent.Refused:
		return t.tellParty(ctx, f.Consent.UUID, Refused, domain.RoleConsumer)
	case consent.Withdrawn:
		return t.tellParty(ctx, f.Consent.UUID, Withdrawn, domain.RoleConsumer)
	case term.Announced:
		switch f.Kind {
		case term.Consent:
			return t.tellParty(ctx, f.Consent.UUID, Ended, domain.RoleConsumer)
		case term.Petition:
			return t.tellParty(ctx, f.Petition.UUID, Overdue, domain.RoleConsumer, domain.RoleIssuer)
		}
	case petition.Disputed:
		if err := t.party(ctx, f.Petition.UUID, f.Citizen, f.Organisation, petition.Disputes, domain.DocumentID{}); err != nil {
			return err
		}
		return t.tellParty(ctx, f.Petition.UUID, Petitioned, domain.RoleConsumer, domain.RoleIssuer)
	case petition.Requested:
		if err := t.party(ctx, f.Petition.UUID, f.Citizen, f.Organisation, f.Kind, f.Document); err != nil {
			return err
		}
		return t.tellParty(ctx, f.Petition.UUID, Petitioned, domain.RoleConsumer, domain.RoleIssuer)
	case petition.DisputeAnswered:
		return t.tellParty(ctx, f.Petition.UUID, Answered, domain.RoleConsumer, domain.RoleIssuer)
	case petition.Answered:
		return t.tellParty(ctx, f.Petition.UUID, Answered, domain.RoleConsumer, domain.RoleIssuer)
	}
	return nil // of no interest to organisations
}

// telling is one event with the transaction that its signals are written in.
type telling struct {
	tx     *projections.Tx
	e      eventstore.Event
	leaf   int64
	oldest *int64 // no signal is older than this moment
}

// unknown is older than every signal.
const unknown int64 = math.MinInt64

// document changes the document's row and tells its issuer and its readers.
func (t telling) document(ctx context.Context, event document.Event) (err error) {
	var id domain.DocumentID
	var what What
	switch f := event.(type) {
	case document.Issued:
		id, what = f.Document, Issued
		_, err = t.tx.Exec(ctx, insertDocument, f.Document.UUID[:], f.Citizen.UUID[:], string(f.Issuer), string(f.Type))
	case document.Updated:
		id, what = f.Document, Updated
		_, err = t.tx.Exec(ctx, setVersion, f.Document.UUID[:])
	case document.Suspended:
		id, what = f.Document, Suspended
		_, err = t.tx.Exec(ctx, setState, "suspended", f.Document.UUID[:])
	case document.Reinstated:
		id, what = f.Document, Reinstated
		_, err = t.tx.Exec(ctx, setState, "valid", f.Document.UUID[:])
	case document.Revoked:
		id, what = f.Document, Revoked
		_, err = t.tx.Exec(ctx, setState, "revoked", f.Document.UUID[:])
	case document.ContentDestroyed:
		id, what = f.Document, Erased
		_, err = t.tx.Exec(ctx, setState, "erased", f.Document.UUID[:])
	}
	if err != nil || id.IsZero() {
		return err
	}
	if err := t.tell(ctx, insertForIssuer, what, id.UUID); err != nil || what == Issued || what == Erased {
		return err // nobody read it before, or readers do not learn that it was erased (decision 35)
	}
	return t.tell(ctx, insertForReaders, what, id.UUID)
}

// tell writes signals and forgets those that are older than any may be.
func (t telling) tell(ctx context.Context, statement string, what What, id uuid.UUID) error {
	if _, err := t.tx.Exec(ctx, statement, t.leaf, t.e.ID[:], string(what), t.e.Time.UnixMicro(), id[:]); err != nil {
		return err
	}
	return t.forget(ctx)
}

// forget deletes the signals of the days that lie further back than Keep, once they do: of a long
// log built at once it would else be a statement for each signal, and PostgreSQL passes over what a
// transaction has deleted each time.
func (t telling) forget(ctx context.Context) error {
	*t.oldest = min(*t.oldest, t.e.Time.UnixMicro())
	before := t.e.Time.Add(-Keep).Truncate(24 * time.Hour).UnixMicro()
	if *t.oldest >= before {
		return nil
	}
	*t.oldest = before
	_, err := t.tx.Exec(ctx, forget, before)
	return err
}

// party remembers whose consent or petition an id is, and which organisation hears of it.
func (t telling) party(ctx context.Context, id uuid.UUID, citizen domain.CitizenID, organisation domain.Organisation, kind petition.Kind, about domain.DocumentID) error {
	var document []byte
	if !about.IsZero() {
		document = about.UUID[:]
	}
	if organisation == "" {
		return nil // for privacy officers of the vault
	}
	_, err := t.tx.Exec(ctx, insertParty, id[:], citizen.UUID[:], string(organisation), string(kind), document)
	return err
}

// tellParty tells the organisation of a consent or petition, in each of the roles.
func (t telling) tellParty(ctx context.Context, id uuid.UUID, what What, roles ...domain.Role) error {
	for _, role := range roles {
		if _, err := t.tx.Exec(ctx, insertForParty, string(role), t.leaf, t.e.ID[:], string(what), t.e.Time.UnixMicro(), id[:]); err != nil {
			return err
		}
	}
	return t.forget(ctx)
}
