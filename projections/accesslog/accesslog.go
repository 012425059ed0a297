// Package accesslog answers a citizen's question: who read what of mine, when, why,
// under which basis, and for whom? It also counts, per consumer, whom it reached and
// which questions citizens were spared.
//
// An access is on record before a byte leaves (rule A-1), its outcome after: an
// entry whose outcome is not known may have been disclosed, and says so. Refusals
// are entries, too, where the citizen is known. A case reference stays sealed.
//
// Queries take a leaf as asOf; negative or projections.Latest means everything seen
// so far.
//
// Invariant: an entry, once shown, is shown for ever; of an erased citizen nothing
// sealed is.
package accesslog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/eventstore"
	"coffre/projections"
)

// Log is the projection and its queries, which may be called concurrently.
type Log struct{ view projections.View }

var _ projections.Projection = (*Log)(nil)

// New returns a log that answers projections.ErrNotReady until a runner has built it.
func New() *Log { return &Log{} }

// Name implements projections.Projection.
func (l *Log) Name() string { return "accesslog" }

// Version implements projections.Projection.
func (l *Log) Version() int { return 7 }

// Schema implements projections.Projection.
func (l *Log) Schema() projections.Schema { return schema }

// Categories implements projections.Projection.
func (l *Log) Categories() []string {
	return []string{"access", "consent", "refusal", "citizen", "audit", "investigation"}
}

// View implements projections.Projection.
func (l *Log) View() *projections.View { return &l.view }

// Outcome is what became of the access that an entry records.
type Outcome string

const (
	Disclosed            Outcome = "disclosed"
	Withheld             Outcome = "withheld"
	Failed               Outcome = "failed"
	MayHaveBeenDisclosed Outcome = "mayHaveBeenDisclosed" // authorised; nobody recorded what came of it
	Refused              Outcome = "refused"
)

// Refusal is the Kind of entries that were refused.
const Refusal access.Opened = "refusal"

// Entry is one attempt to read something of a citizen.
type Entry struct {
	Leaf    int64 // of the authorisation or refusal: the entry's place in the log
	Citizen domain.CitizenID
	At      time.Time
	Kind    access.Opened
	Outcome Outcome
	Reason  domain.ReasonCode // of a refusal, of what was withheld, or of a privacy officer's look-up
	Count   int               // above 1 for refusals that were recorded together

	Access  domain.AccessID // absent for refusals
	Attempt int             // from 1; 0 for refusals

	Role       domain.Role         // who read: consumer, issuer, representative, …
	Consumer   domain.Organisation // absent when a person read
	OnBehalfOf domain.Organisation // for whom the consumer acted, a service integrator
	Reader     domain.CitizenID    // the representative who read, under Mandate
	Mandate    domain.MandateID
	Document   domain.DocumentID
	Version    int
	Type       domain.DocumentType
	Purpose    domain.Purpose
	Procedure  domain.Procedure

	Consent      domain.ConsentID
	LegalBasis   domain.LegalBasis
	Deliberation domain.Deliberation
	Fields       []domain.Field
	Predicate    string
	Answers      []access.Answer // what was told, for access.OpenedPresence

	// Investigation is the one under which it was recorded; it was hidden until HiddenUntil,
	// because of HiddenFor.
	Investigation domain.InvestigationID
	HiddenUntil   time.Time
	HiddenFor     domain.ReasonCode

	// Operation is the call that had it recorded, Token the SHA-256 of its access token and
	// Client the application that showed it, as far as the event tells: of accesses of before
	// they were recorded, and of those of no call, nothing.
	Operation, Client string
	Token             []byte

	// OutcomeAt is when the outcome was known, zero while it is not.
	OutcomeAt time.Time

	// Place and Sealed are the personal part of access.authorized, access.told or
	// access.named, which holds the case reference; Sealed is nil when there is none.
	Place  eventstore.Place
	Sealed eventstore.Kept
}

// List is one of the three lists into which an access log falls.
type List string

const (
	Accesses List = "accesses" // something of the citizen was opened, or was to be
	Told     List = "told"     // nothing was opened: presence was told, or the citizen found by number
	Refusals List = "refused"
)

// Lists are all lists.
var Lists = []List{Accesses, Told, Refusals}

// listOf says in SQL to which list an entry belongs.
const listOf = `CASE e.kind WHEN 'refusal' THEN 'refused' WHEN 'presence' THEN 'told' WHEN 'lookup' THEN 'told' ELSE 'accesses' END`

// ID returns the name of the entry.
func (e Entry) ID() domain.EntryID { return domain.EntryID{UUID: e.Place.ID} }

// List returns the list to which the entry belongs.
func (e Entry) List() List {
	switch e.Kind {
	case Refusal:
		return Refusals
	case access.OpenedPresence, access.OpenedLookup:
		return Told
	}
	return Accesses
}

// Filter narrows Of to the members that it names.
type Filter struct {
	// Now is the moment of the question. What an investigation hides at that moment is left out;
	// at the zero time, everything that stands under one.
	Now      time.Time
	List     List
	Consumer domain.Organisation
	Purpose  domain.Purpose
	Document *domain.DocumentID
	Entry    *domain.EntryID
	Consent  *domain.ConsentID
	From     *time.Time // inclusive
	Until    *time.Time // exclusive
}

// An attempt has one outcome; should it ever have several, that it was disclosed
// prevails.
const selectEntries = `SELECT e.leaf, e.citizen, e.at, e.kind, e.access, e.attempt, e.role, e.consumer, e.on_behalf_of, e.reader, e.document, e.version, e.type,
	e.purpose, e.procedure_code, e.consent, e.legal_basis, e.deliberation, e.mandate, e.fields, e.predicate, e.answers, e.reason, e.count,
	e.stream, e.event, e.event_type, e.sealed, e.call_operation, e.call_token, e.call_client, e.investigation, ` + hiddenUntil + `, ` + hiddenFor + `, COALESCE(o.outcome, ''), COALESCE(o.reason, ''), COALESCE(o.at, 0)
	FROM entries e LEFT JOIN outcomes o ON o.leaf = (
		SELECT x.leaf FROM outcomes x WHERE x.access = e.access AND x.attempt = e.attempt AND x.leaf <= ?
		ORDER BY CASE x.outcome WHEN 'disclosed' THEN 0 ELSE 1 END, x.leaf LIMIT 1)
	WHERE e.leaf < ? AND e.leaf <= ?`

// narrow adds the citizens and the filter to a query over entries at a leaf.
func (f Filter) narrow(query string, args []any, at int64, citizens []domain.CitizenID) (string, []any) {
	query, args = ofCitizens(query, args, citizens)
	return f.ofEverybody(query, args, at)
}

// ofCitizens adds whom it is about to a query over rows e.
func ofCitizens(query string, args []any, citizens []domain.CitizenID) (string, []any) {
	query += ` AND e.citizen IN (?` + strings.Repeat(`, ?`, max(len(citizens)-1, 0)) + `)`
	for _, id := range citizens {
		args = append(args, id.UUID[:])
	}
	return query, args
}

// ofEverybody adds the filter alone to a query over entries at a leaf.
func (f Filter) ofEverybody(query string, args []any, at int64) (string, []any) {
	query += notHidden
	args = append(args, at, projections.Micros(f.Now))
	if f.List != "" {
		query += ` AND ` + listOf + ` = ?`
		args = append(args, string(f.List))
	}
	if f.Consumer != "" {
		query += ` AND e.consumer = ?`
		args = append(args, string(f.Consumer))
	}
	if f.Purpose != "" {
		query += ` AND e.purpose = ?`
		args = append(args, string(f.Purpose))
	}
	if f.Document != nil {
		query += ` AND e.document = ?`
		args = append(args, f.Document.UUID[:])
	}
	if f.Entry != nil {
		query += ` AND e.event = ?`
		args = append(args, f.Entry.UUID[:])
	}
	if f.Consent != nil {
		query += ` AND e.consent = ?`
		args = append(args, f.Consent.UUID[:])
	}
	if f.From != nil {
		query += ` AND e.at >= ?`
		args = append(args, f.From.UnixMicro())
	}
	if f.Until != nil {
		query += ` AND e.at < ?`
		args = append(args, f.Until.UnixMicro())
	}
	return query, args
}

var errFields = errors.New("an entry's fields do not decode") // the cause would quote them

// Of returns at most limit entries about a citizen as they were at a leaf, newest
// first, from before the leaf given as cursor; negative or projections.Latest to
// begin. The last one's Leaf is the next cursor.
func (l *Log) Of(ctx context.Context, citizen domain.CitizenID, asOf int64, f Filter, cursor int64, limit int) ([]Entry, error) {
	return l.OfAll(ctx, []domain.CitizenID{citizen}, asOf, f, cursor, limit)
}

// OfAll returns the entries about several citizens as Of does: about all lives of one person.
func (l *Log) OfAll(ctx context.Context, citizens []domain.CitizenID, asOf int64, f Filter, cursor int64, limit int) ([]Entry, error) {
	at := projections.At(asOf)
	if cursor < 0 {
		cursor = projections.Latest
	}
	query, args := f.narrow(selectEntries, []any{at, at, cursor, at}, at, citizens)
	all := []Entry{}
	err := l.view.Select(ctx, query+` ORDER BY e.leaf DESC LIMIT ?`, append(args, limit), func(scan func(...any) error) error {
		e, err := scanEntry(scan)
		if err == nil {
			all = append(all, e)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return all, nil
}

// Each yields the entries about several citizens that pass a filter, as they are now, newest
// first, in constant memory. An error ends it.
func (l *Log) Each(ctx context.Context, citizens []domain.CitizenID, f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for before, more := int64(projections.Latest), true; more; {
			page, err := l.OfAll(ctx, citizens, projections.Latest, f, before, eachPage)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range page {
				if before = e.Leaf; !yield(e, nil) {
					return
				}
			}
			more = len(page) == eachPage
		}
	}
}

// eachPage is how many entries Each asks for at once.
const eachPage = 200

func scanEntry(scan func(...any) error) (Entry, error) {
	var e Entry
	var citizen, accessID, reader, document, consent, mandate, event, under []byte
	var at, outcomeAt, until int64
	var fields, answers, stream, outcome, outcomeReason string
	err := scan(&e.Leaf, &citizen, &at, &e.Kind, &accessID, &e.Attempt, &e.Role, &e.Consumer, &e.OnBehalfOf, &reader, &document, &e.Version, &e.Type,
		&e.Purpose, &e.Procedure, &consent, &e.LegalBasis, &e.Deliberation, &mandate, &fields, &e.Predicate, &answers, &e.Reason, &e.Count,
		&stream, &event, &e.Place.Type, (*[]byte)(&e.Sealed), &e.Operation, &e.Token, &e.Client, &under, &until, &e.HiddenFor, &outcome, &outcomeReason, &outcomeAt)
	if err != nil {
		return Entry{}, err
	}
	if fields != "" && json.Unmarshal([]byte(fields), &e.Fields) != nil {
		return Entry{}, errFields
	}
	if answers != "" && json.Unmarshal([]byte(answers), &e.Answers) != nil {
		return Entry{}, errFields
	}
	copy(e.Citizen.UUID[:], citizen)
	copy(e.Access.UUID[:], accessID)
	copy(e.Reader.UUID[:], reader)
	copy(e.Document.UUID[:], document)
	copy(e.Consent.UUID[:], consent)
	copy(e.Mandate.UUID[:], mandate)
	copy(e.Place.ID[:], event)
	e.Place.Stream = eventstore.Stream(stream)
	copy(e.Investigation.UUID[:], under)
	e.HiddenUntil = projections.Instant(until)
	e.At = time.UnixMicro(at).UTC()
	switch {
	case e.Kind == Refusal:
		e.Outcome = Refused
	case outcome == "":
		e.Outcome = MayHaveBeenDisclosed
	default:
		if outcomeReason != "" {
			e.Reason = domain.ReasonCode(outcomeReason)
		}
		e.Outcome = Outcome(outcome)
		e.OutcomeAt = time.UnixMicro(outcomeAt).UTC()
	}
	return e, nil
}

// Reach returns how many distinct citizens the consumer was authorised to read on
// the UTC day of t, and whether this citizen is one of them (rule A-7).
func (l *Log) Reach(ctx context.Context, consumer domain.Organisation, t time.Time, citizen domain.CitizenID) (citizens int, among bool, err error) {
	_, err = l.view.Get(ctx, `SELECT COALESCE((SELECT citizens FROM reach WHERE consumer = ? AND day = ?), 0),
		EXISTS (SELECT 1 FROM reached WHERE consumer = ? AND day = ? AND citizen = ?)`,
		[]any{string(consumer), domain.BelgianDay(t), string(consumer), domain.BelgianDay(t), citizen.UUID[:]}, &citizens, &among)
	if err != nil {
		return 0, false, fmt.Errorf("access log: %w", err)
	}
	return citizens, among, nil
}

// Spared is how many questions a consumer did not put to citizens in a procedure.
type Spared struct {
	Consumer  domain.Organisation
	Procedure domain.Procedure
	Questions int
}

// Spared counts, per consumer and procedure, the questions not put to citizens on the days
// in Belgium from one through another: each access by a consumer that named a procedure, and each
// document of which such a query was told that it is held. An absent consumer means all.
func (l *Log) Spared(ctx context.Context, consumer domain.Organisation, from, through time.Time) ([]Spared, error) {
	query, args := `SELECT consumer, procedure_code, CAST(sum(questions) AS BIGINT) FROM spared WHERE day >= ? AND day <= ?`, []any{domain.BelgianDay(from), domain.BelgianDay(through)}
	if consumer != "" {
		query += ` AND consumer = ?`
		args = append(args, string(consumer))
	}
	all := []Spared{}
	err := l.view.Select(ctx, query+` GROUP BY consumer, procedure_code ORDER BY consumer, procedure_code`, args, func(scan func(...any) error) error {
		var s Spared
		if err := scan(&s.Consumer, &s.Procedure, &s.Questions); err != nil {
			return err
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return all, nil
}
