package ebox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/petition"
	"coffre/domain/term"
	"coffre/eventstore/codec"
	"coffre/handlers/reactors"
)

// Topic is a matter that citizens choose to hear of or not.
type Topic string

// The topics, as in [citizen.Preferences].
const (
	Documents Topic = "documents"
	Expiries  Topic = "expiries"
	Accesses  Topic = "accesses"
	Consents  Topic = "consents"
)

// wayOf returns by which way a citizen hears of a topic.
func wayOf(p citizen.Preferences, t Topic) citizen.NoticeWay {
	switch t {
	case Documents:
		return p.Documents
	case Expiries:
		return p.Expiries
	case Accesses:
		return p.Accesses
	case Consents:
		return p.Consents
	}
	return citizen.NoNotice
}

// Kind is what happened.
type Kind string

// The kinds of notices. Each has a subject and a line in every language.
const (
	Issued           Kind = "issued"
	Updated          Kind = "updated"
	Suspended        Kind = "suspended"
	Reinstated       Kind = "reinstated"
	Revoked          Kind = "revoked"
	DocumentEnds     Kind = "documentEnds" // in Days days, of which there are less than 0 once it has
	Opened           Kind = "opened"
	OpenedByRelative Kind = "openedByRepresentative"
	OpenedByVault    Kind = "openedByVault"
	Told             Kind = "told"
	Found            Kind = "found"
	FoundByVault     Kind = "foundByVault"
	Refused          Kind = "refused"
	Requested        Kind = "requested"
	Withdrawn        Kind = "withdrawn"
	ConsentEnds      Kind = "consentEnds"    // likewise
	Unanswered       Kind = "unanswered"     // a petition, likewise
	Extended         Kind = "extended"       // whoever is to answer a petition takes until then, likewise
	ExtendedHere     Kind = "extendedHere"   // the vault's privacy officers do
	UnansweredHere   Kind = "unansweredHere" // one that the vault's privacy officers were to answer
)

// kinds lists the kinds of each topic.
var kinds = map[Topic][]Kind{
	Documents: {Issued, Updated, Suspended, Reinstated, Revoked},
	Expiries:  {DocumentEnds, Unanswered, UnansweredHere, Extended, ExtendedHere},
	Accesses:  {Opened, OpenedByRelative, OpenedByVault, Told, Found, FoundByVault, Refused},
	Consents:  {Requested, Withdrawn, ConsentEnds},
}

// Notice is one thing to tell a citizen of, in ids and codes.
type Notice struct {
	ID           uuid.UUID // the event's
	Citizen      domain.CitizenID
	Leaf         int64 // of the event
	Topic        Topic
	Kind         Kind
	Document     domain.DocumentID // zero: none
	Type         domain.DocumentType
	Organisation domain.Organisation
	Purpose      domain.Purpose
	Days         int // from At to the last day of what ends
	Correlation  uuid.UUID
	At           time.Time
}

// Reactor returns the reactor for a Router: it makes a notice of every event from now on that
// says something to a citizen, and forgets what it has of those who are erased.
func (e *Ebox) Reactor() reactors.Reactor {
	return reactors.Reactor{
		Name: "ebox", From: reactors.FromNow, Handle: e.handle,
		Topics: []string{"document", "consent", "access", "refusal", "term", "petition.extended", "citizen.key-destroyed"},
	}
}

func (e *Ebox) handle(ctx context.Context, n reactors.Notice) (reactors.Effect, error) {
	data, err := codec.Catalog.Decode(n.Type, n.Clear, nil)
	if err != nil {
		return reactors.Effect{}, err
	}
	if gone, ok := data.(citizen.KeyDestroyed); ok {
		return reactors.Effect{Store: func(ctx context.Context, tx *sqlx.Tx) error { return forget(ctx, tx, gone.Citizen) }}, nil
	}
	one, err := e.noticeOf(ctx, n, data)
	if err != nil || one.Kind == "" || one.Citizen.IsZero() {
		return reactors.Effect{}, err
	}
	one.ID, one.Leaf, one.Correlation, one.At = n.ID, n.Leaf, n.Correlation, n.Recorded
	return reactors.Effect{
		Store:    func(ctx context.Context, tx *sqlx.Tx) error { return Add(ctx, tx, one) },
		OnStored: func() { signal(e.o.DB) },
	}, nil
}

// Add stores a notice, once for each id, in the transaction of whoever found it.
func Add(ctx context.Context, tx *sqlx.Tx, n Notice) error {
	_, err := tx.ExecContext(ctx, tx.Rebind(`
		INSERT INTO ebox_notices (event, citizen, leaf, topic, kind, document, type, organisation, purpose, days, correlation, at, message)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`),
		n.ID[:], n.Citizen.UUID[:], n.Leaf, n.Topic, n.Kind, n.Document.UUID[:], n.Type, n.Organisation, n.Purpose, n.Days, n.Correlation[:], n.At.UnixMicro(), uuid.Nil[:])
	if err != nil {
		return fmt.Errorf("%w: store a notice: %w", reactors.ErrLater, err)
	}
	return nil
}

// forget removes all that is kept of a citizen.
func forget(ctx context.Context, tx *sqlx.Tx, c domain.CitizenID) error {
	for _, table := range []string{"ebox_notices", "ebox_messages", "ebox_turns"} {
		if _, err := tx.ExecContext(ctx, tx.Rebind(`DELETE FROM `+table+` WHERE citizen = ?`), c.UUID[:]); err != nil {
			return fmt.Errorf("%w: forget a citizen: %w", reactors.ErrLater, err)
		}
	}
	return nil
}

// noticeOf returns what an event says to a citizen; without a kind it says nothing.
func (e *Ebox) noticeOf(ctx context.Context, n reactors.Notice, data any) (Notice, error) {
	if hidden(data) {
		return Notice{}, nil
	}
	switch f := data.(type) {
	case document.Issued:
		return ofDocument(f, Issued), nil
	case document.Updated:
		return e.change(ctx, n, Updated)
	case document.Suspended:
		return e.change(ctx, n, Suspended)
	case document.Reinstated:
		return e.change(ctx, n, Reinstated)
	case document.Revoked:
		return e.change(ctx, n, Revoked)
	case consent.Requested:
		return Notice{Citizen: f.Citizen, Topic: Consents, Kind: Requested, Organisation: f.Terms.Consumer, Purpose: f.Terms.Purpose}, nil
	case consent.Withdrawn:
		return e.withdrawn(ctx, n, f)
	case petition.Extended:
		one := Notice{Citizen: f.Citizen, Topic: Expiries, Kind: Extended, Organisation: f.Organisation, Days: domain.BelgianDate(n.Recorded).DaysUntil(f.Deadline)}
		if f.Organisation.IsZero() {
			one.Kind = ExtendedHere
		}
		return one, nil
	case term.Announced:
		return ofTerm(f, domain.BelgianDate(n.Recorded)), nil
	case access.Authorized:
		return ofAccess(f), nil
	case access.Told:
		return Notice{Citizen: f.Citizen, Topic: Accesses, Kind: Told, Organisation: f.Consumer, Purpose: f.Purpose}, nil
	case access.Named:
		one := Notice{Citizen: f.Citizen, Topic: Accesses, Kind: Found, Organisation: f.Organisation, Purpose: f.Purpose}
		if f.Organisation.IsZero() {
			one.Kind = FoundByVault
		}
		return one, nil
	case access.Refused:
		return Notice{Citizen: f.Citizen, Topic: Accesses, Kind: Refused, Document: f.Document, Type: f.Type, Organisation: f.Consumer, Purpose: f.Purpose}, nil
	}
	return Notice{}, nil
}

// hidden reports whether an event is of an access under an investigation. Nobody is written to
// of those, also not once they are shown: the access log has them then (rules H-5, H-6).
func hidden(data any) bool {
	switch f := data.(type) {
	case access.Authorized:
		return !f.Investigation.IsZero()
	case access.Told:
		return !f.Investigation.IsZero()
	case access.Refused:
		return !f.Investigation.IsZero()
	}
	return false
}

// ofAccess returns what an access says to a citizen. Their own says nothing, and neither does
// a message to them: it would be followed by a message about it, for ever.
func ofAccess(f access.Authorized) Notice {
	one := Notice{Citizen: f.Citizen, Topic: Accesses, Kind: Opened, Document: f.Document, Type: f.Type, Organisation: f.Consumer, Purpose: f.Purpose}
	switch {
	case f.Kind == access.OpenedDelivery, f.Role == domain.RoleCitizen, f.Attempt > 1:
		return Notice{}
	case f.Role == domain.RoleRepresentative:
		one.Kind = OpenedByRelative
	case f.Consumer.IsZero():
		one.Kind = OpenedByVault
	}
	return one
}

// ofTerm returns what an end that is announced says on a day.
func ofTerm(f term.Announced, today domain.Date) Notice {
	one := Notice{Citizen: f.Citizen, Topic: Expiries, Document: f.Document, Type: f.Type, Organisation: f.Organisation, Purpose: f.Purpose, Days: today.DaysUntil(f.Ends)}
	switch {
	case f.Kind == term.Document:
		one.Kind = DocumentEnds
	case f.Kind == term.Consent:
		one.Kind, one.Topic = ConsentEnds, Consents
	case f.Organisation.IsZero():
		one.Kind = UnansweredHere
	default:
		one.Kind = Unanswered
	}
	return one
}

func ofDocument(f document.Issued, k Kind) Notice {
	return Notice{Citizen: f.Citizen, Topic: Documents, Kind: k, Document: f.Document, Type: f.Type, Organisation: f.Issuer}
}

// change returns what a change of a document says, which is about whom the first event of its
// stream names.
func (e *Ebox) change(ctx context.Context, n reactors.Notice, k Kind) (Notice, error) {
	f, err := first[document.Issued](ctx, e, n)
	return ofDocument(f, k), err
}

// withdrawn returns what the end of a consent says: nothing where the citizen died or gave
// another one in its place.
func (e *Ebox) withdrawn(ctx context.Context, n reactors.Notice, f consent.Withdrawn) (Notice, error) {
	if f.Reason == "death" || f.Reason == "renewed" {
		return Notice{}, nil
	}
	var who struct {
		Citizen domain.CitizenID `json:"citizen"`
		Terms   consent.Terms    `json:"terms"`
	}
	for r, err := range e.o.Log.Store().ReadStream(ctx, n.Stream, 0) {
		if err != nil {
			return Notice{}, fmt.Errorf("read the consent's stream: %w", err)
		}
		if json.Unmarshal(r.Clear, &who) == nil && !who.Citizen.IsZero() {
			break
		}
	}
	return Notice{Citizen: who.Citizen, Topic: Consents, Kind: Withdrawn, Organisation: who.Terms.Consumer, Purpose: who.Terms.Purpose}, nil
}

// first returns the first event of a notice's stream.
func first[T any](ctx context.Context, e *Ebox, n reactors.Notice) (T, error) {
	var none T
	for r, err := range e.o.Log.Store().ReadStream(ctx, n.Stream, 0) {
		if err != nil {
			return none, fmt.Errorf("read the stream of an event: %w", err)
		}
		data, err := codec.Catalog.Decode(r.Type, r.Clear, nil)
		if err != nil {
			return none, err
		}
		if f, ok := data.(T); ok {
			return f, nil
		}
		break
	}
	return none, reactors.ErrNotANotice
}
