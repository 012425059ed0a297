package accesslog

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/audit"
	"coffre/domain/citizen"
	"coffre/domain/investigation"
	"coffre/eventstore"
	"coffre/projections"
)

const (
	insertEntry = `INSERT INTO entries (leaf, citizen, at, day, kind, access, attempt, role, consumer, on_behalf_of, reader, document, version, type,
			purpose, procedure_code, consent, legal_basis, deliberation, mandate, fields, predicate, answers, reason, count, spared,
			investigation, stream, event, event_type, sealed, call_operation, call_token, call_client)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	insertTold = `INSERT INTO entries (leaf, citizen, at, day, kind, access, attempt, role, consumer, on_behalf_of, version, type,
			purpose, procedure_code, consent, legal_basis, deliberation, fields, predicate, answers, reason, count, spared,
			investigation, stream, event, event_type, sealed, call_operation, call_token, call_client)
		VALUES (?, ?, ?, ?, 'presence', ?, 1, 'consumer', ?, ?, 0, '', ?, ?, ?, ?, ?, '', '', ?, '', 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	insertNamed = `INSERT INTO entries (leaf, citizen, at, day, kind, access, attempt, role, consumer, on_behalf_of, version, type,
			purpose, procedure_code, legal_basis, deliberation, fields, predicate, answers, reason, count, spared,
			stream, event, event_type, sealed, call_operation, call_token, call_client)
		VALUES (?, ?, ?, ?, 'lookup', ?, 1, ?, ?, ?, 0, '', ?, ?, '', '', '', '', '', ?, 1, 0, ?, ?, ?, ?, ?, ?, ?)`
	insertRefusal = `INSERT INTO entries (leaf, citizen, at, day, kind, attempt, role, consumer, on_behalf_of, document, version, type,
			purpose, procedure_code, legal_basis, deliberation, fields, predicate, answers, reason, count, spared, investigation, stream, event, event_type, call_operation, call_client)
		VALUES (?, ?, ?, ?, 'refusal', 0, 'consumer', ?, '', ?, 0, ?, ?, ?, '', '', '', '', '', ?, ?, 0, ?, ?, ?, ?, '', '')`
	insertOutcome = `INSERT INTO outcomes (leaf, access, attempt, outcome, reason, at) VALUES (?, ?, ?, ?, ?, ?)`

	insertReached = `INSERT INTO reached (consumer, day, citizen) VALUES (?, ?, ?) ON CONFLICT (consumer, day, citizen) DO NOTHING`
	countReach    = `INSERT INTO reach (consumer, day, citizens) VALUES (?, ?, 1)
		ON CONFLICT (consumer, day) DO UPDATE SET citizens = reach.citizens + 1`
	countSpared = `INSERT INTO spared (consumer, procedure_code, day, questions) VALUES (?, ?, ?, ?)
		ON CONFLICT (consumer, procedure_code, day) DO UPDATE SET questions = spared.questions + excluded.questions`

	insertKnown = `INSERT INTO known (citizen, since) VALUES (?, ?) ON CONFLICT (citizen) DO NOTHING`
	insertLoss  = `INSERT INTO losses (leaf, at) VALUES (?, ?)`

	insertErased = `INSERT INTO erased (citizen, leaf) SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM erased WHERE citizen = ?)`
	selectErased = `SELECT leaf FROM erased WHERE citizen = ?`
	emptySealed  = `UPDATE entries SET sealed = NULL WHERE citizen = ? AND sealed IS NOT NULL`
)

// Apply implements projections.Projection.
func (l *Log) Apply(ctx context.Context, tx *projections.Tx, e eventstore.Event, leaf int64) error {
	switch f := e.Data.(type) {
	case access.Authorized:
		return authorized(ctx, tx, e, f, leaf)
	case access.Told:
		if f.Citizen.IsZero() {
			return nil // nobody's log to show it in
		}
		return told(ctx, tx, e, f, leaf)
	case access.Named:
		if f.Citizen.IsZero() {
			return nil // nobody's log to show it in
		}
		return named(ctx, tx, e, f, leaf)
	case access.Disclosed:
		_, err := tx.Exec(ctx, insertOutcome, leaf, f.Access.UUID[:], f.Attempt, string(f.Outcome), string(f.Reason), f.At.UnixMicro())
		return err
	case access.Refused:
		if f.Citizen.IsZero() {
			return nil // nobody's log to show it in
		}
		_, err := tx.Exec(ctx, insertRefusal, leaf, f.Citizen.UUID[:], f.At.UnixMicro(), domain.BelgianDay(f.At), string(f.Consumer), optional(f.Document.UUID), string(f.Type),
			string(f.Purpose), string(f.Procedure), string(f.Reason), f.Count, optional(f.Investigation.UUID), string(e.Stream), e.ID[:], e.Type)
		return err
	case investigation.Event:
		return applyInvestigation(ctx, tx, f, leaf)
	case citizen.Registered:
		_, err := tx.Exec(ctx, insertKnown, f.Citizen.UUID[:], f.At.UnixMicro())
		return err
	case audit.LossAccepted:
		_, err := tx.Exec(ctx, insertLoss, leaf, f.At.UnixMicro())
		return err
	case citizen.KeyDestroyed:
		tx.Scrub()
		id := f.Citizen.UUID[:]
		if _, err := tx.Exec(ctx, insertErased, id, leaf, id); err != nil || tx.Building() {
			return err // Settle empties the rows
		}
		_, err := tx.Exec(ctx, emptySealed, id)
		return err
	}
	return nil // of no interest to this log
}

func authorized(ctx context.Context, tx *projections.Tx, e eventstore.Event, f access.Authorized, leaf int64) error {
	fields := ""
	if len(f.Fields) > 0 {
		b, err := json.Marshal(f.Fields)
		if err != nil {
			return err
		}
		fields = string(b)
	}
	sealed, err := sealedUnlessErased(ctx, tx, e, f.Citizen)
	if err != nil {
		return err
	}
	c, err := callOf(e)
	if err != nil {
		return err
	}
	spared := 0
	if f.Role == domain.RoleConsumer && f.Procedure != "" && f.Attempt == 1 {
		spared = 1
	}
	_, err = tx.Exec(ctx, insertEntry, leaf, f.Citizen.UUID[:], f.At.UnixMicro(), domain.BelgianDay(f.At), string(f.Kind), f.Access.UUID[:], f.Attempt, string(f.Role),
		string(f.Consumer), c.behalf, optional(f.Reader.UUID), optional(f.Document.UUID), f.Version, string(f.Type),
		string(f.Purpose), string(f.Procedure), optional(f.Consent.UUID), string(f.LegalBasis), string(f.Deliberation),
		optional(f.Mandate.UUID), fields, f.Predicate, spared, optional(f.Investigation.UUID), string(e.Stream), e.ID[:], e.Type, sealed, c.operation, c.token, c.client)
	if err != nil || f.Role != domain.RoleConsumer {
		return err
	}
	return count(ctx, tx, f.Consumer, f.Procedure, f.Citizen, f.At, spared)
}

// call is what the metadata of an access tell of the call that had it recorded.
type call struct {
	behalf            string // the organisation for which a service integrator acted; "" for none
	operation, client string
	token             any // nil for none
}

func callOf(e eventstore.Event) (call, error) {
	meta, err := e.Metadata()
	c := call{behalf: string(meta.OnBehalfOf)}
	if made := meta.Call; made != nil {
		c.operation, c.client = made.Operation, made.Client
		if len(made.Token) > 0 {
			c.token = made.Token
		}
	}
	return c, err
}

// sealedUnlessErased returns the sealed part of an event as the argument of a statement;
// nil when the citizen is erased.
func sealedUnlessErased(ctx context.Context, tx *projections.Tx, e eventstore.Event, of domain.CitizenID) (any, error) {
	if tx.Building() {
		return blob(e.Keep()), nil // Settle empties the rows
	}
	var since int64
	gone, err := tx.Get(ctx, selectErased, []any{of.UUID[:]}, &since)
	if err != nil || gone {
		return nil, err
	}
	return blob(e.Keep()), nil
}

func told(ctx context.Context, tx *projections.Tx, e eventstore.Event, f access.Told, leaf int64) error {
	answers, err := json.Marshal(f.Answers)
	if err != nil {
		return err
	}
	sealed, err := sealedUnlessErased(ctx, tx, e, f.Citizen)
	if err != nil {
		return err
	}
	c, err := callOf(e)
	if err != nil {
		return err
	}
	spared := 0
	for _, a := range f.Answers {
		if f.Procedure != "" && a.Presence == access.Held { // for what is not valid the citizen is asked
			spared++
		}
	}
	if _, err := tx.Exec(ctx, insertTold, leaf, f.Citizen.UUID[:], f.At.UnixMicro(), domain.BelgianDay(f.At), f.Access.UUID[:], string(f.Consumer), c.behalf,
		string(f.Purpose), string(f.Procedure), optional(f.Consent.UUID), string(f.LegalBasis), string(f.Deliberation), string(answers),
		spared, optional(f.Investigation.UUID), string(e.Stream), e.ID[:], e.Type, sealed, c.operation, c.token, c.client); err != nil {
		return err
	}
	return count(ctx, tx, f.Consumer, f.Procedure, f.Citizen, f.At, spared)
}

func named(ctx context.Context, tx *projections.Tx, e eventstore.Event, f access.Named, leaf int64) error {
	sealed, err := sealedUnlessErased(ctx, tx, e, f.Citizen)
	if err != nil {
		return err
	}
	c, err := callOf(e)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertNamed, leaf, f.Citizen.UUID[:], f.At.UnixMicro(), domain.BelgianDay(f.At), f.Access.UUID[:], string(f.Role), string(f.Organisation), c.behalf,
		string(f.Purpose), string(f.Procedure), string(f.Reason), string(e.Stream), e.ID[:], e.Type, sealed, c.operation, c.token, c.client)
	if err != nil || f.Role != domain.RoleConsumer {
		return err
	}
	return count(ctx, tx, f.Organisation, "", f.Citizen, f.At, 0)
}

// count counts whom a consumer reached, and the questions that were spared in a procedure.
// While the model builds, Settle counts.
func count(ctx context.Context, tx *projections.Tx, consumer domain.Organisation, p domain.Procedure, citizen domain.CitizenID, at time.Time, spared int) error {
	if tx.Building() {
		return nil
	}
	n, err := tx.Exec(ctx, insertReached, string(consumer), domain.BelgianDay(at), citizen.UUID[:])
	if err == nil && n == 1 {
		_, err = tx.Exec(ctx, countReach, string(consumer), domain.BelgianDay(at))
	}
	if err == nil && spared > 0 {
		_, err = tx.Exec(ctx, countSpared, string(consumer), string(p), domain.BelgianDay(at), spared)
	}
	return err
}

// optional is the argument for an id that may be absent.
func optional(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return id[:]
}

// blob is the argument for bytes that may be absent.
func blob(b eventstore.Kept) any {
	if b == nil {
		return nil
	}
	return []byte(b)
}
