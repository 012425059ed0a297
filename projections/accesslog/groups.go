package accesslog

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/projections"
)

// Group is what the same reader did with the same of a citizen, for the same reason and with
// the same outcome, again and again.
type Group struct {
	LastLeaf int64 // of its newest entry: the group's place in lists
	List     List
	Kind     access.Opened
	Outcome  Outcome
	Reason   domain.ReasonCode // of refusals, of what was withheld, or of a privacy officer's look-up

	Role       domain.Role
	Consumer   domain.Organisation
	OnBehalfOf domain.Organisation
	Reader     domain.CitizenID
	Mandate    domain.MandateID
	Type       domain.DocumentType
	Purpose    domain.Purpose
	Procedure  domain.Procedure

	Consent      domain.ConsentID
	LegalBasis   domain.LegalBasis
	Deliberation domain.Deliberation
	Fields       []domain.Field
	Predicate    string

	// The investigation under which it was recorded, as in Entry.
	Investigation domain.InvestigationID
	HiddenUntil   time.Time
	HiddenFor     domain.ReasonCode

	Count       int // how often, above the number of entries where refusals were recorded together
	Days        int // on how many days in Belgium
	First, Last time.Time
	// Weekday is the day on which all of it happened, 1 for Monday to 7; 0 where it happened on
	// several days of the week.
	Weekday int
}

// The members that are the same within a group. The day 0 of the column day was a Thursday.
const (
	groupKey = `e.kind, e.role, e.consumer, e.on_behalf_of, e.reader, e.mandate, e.type, e.purpose, e.procedure_code,
		e.consent, e.legal_basis, e.deliberation, e.fields, e.predicate, e.investigation, COALESCE(o.outcome, ''), COALESCE(NULLIF(o.reason, ''), e.reason)`
	selectGroups = `SELECT ` + groupKey + `, MAX(e.leaf), CAST(SUM(e.count) AS BIGINT), COUNT(DISTINCT e.day), MIN(e.at), MAX(e.at), MIN((e.day + 3) % 7), MAX((e.day + 3) % 7),
		` + hiddenUntil + `, ` + hiddenFor + `
	FROM entries e LEFT JOIN outcomes o ON o.leaf = (
		SELECT x.leaf FROM outcomes x WHERE x.access = e.access AND x.attempt = e.attempt
		ORDER BY CASE x.outcome WHEN 'disclosed' THEN 0 ELSE 1 END, x.leaf LIMIT 1)
	WHERE 1 = 1`
	afterGroup = ` GROUP BY ` + groupKey + ` HAVING MAX(e.leaf) < ? ORDER BY MAX(e.leaf) DESC LIMIT ?`
)

// Groups returns at most limit groups of entries about all lives of one person, that with the
// newest entry first, from before the LastLeaf given as cursor; negative or
// projections.Latest to begin. The last one's LastLeaf is the next cursor.
func (l *Log) Groups(ctx context.Context, citizens []domain.CitizenID, f Filter, cursor int64, limit int) ([]Group, error) {
	if cursor < 0 {
		cursor = projections.Latest
	}
	at := projections.At(projections.Latest)
	query, args := f.narrow(selectGroups, []any{at}, at, citizens)
	all := []Group{}
	err := l.view.Select(ctx, query+afterGroup, append(args, cursor, limit), func(scan func(...any) error) error {
		g, err := scanGroup(scan)
		if err == nil {
			all = append(all, g)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("groups of the access log: %w", err)
	}
	return all, nil
}

func scanGroup(scan func(...any) error) (Group, error) {
	var g Group
	var reader, mandate, consent, under []byte
	var fields, outcome string
	var first, last, until int64
	var from, to int
	err := scan(&g.Kind, &g.Role, &g.Consumer, &g.OnBehalfOf, &reader, &mandate, &g.Type, &g.Purpose, &g.Procedure,
		&consent, &g.LegalBasis, &g.Deliberation, &fields, &g.Predicate, &under, &outcome, &g.Reason,
		&g.LastLeaf, &g.Count, &g.Days, &first, &last, &from, &to, &until, &g.HiddenFor)
	if err != nil {
		return Group{}, err
	}
	if fields != "" && json.Unmarshal([]byte(fields), &g.Fields) != nil {
		return Group{}, errFields
	}
	copy(g.Reader.UUID[:], reader)
	copy(g.Mandate.UUID[:], mandate)
	copy(g.Consent.UUID[:], consent)
	copy(g.Investigation.UUID[:], under)
	g.HiddenUntil = projections.Instant(until)
	g.First, g.Last = time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC()
	if from == to {
		g.Weekday = from + 1
	}
	one := Entry{Kind: g.Kind}
	switch g.List = one.List(); {
	case g.Kind == Refusal:
		g.Outcome = Refused
	case outcome == "":
		g.Outcome = MayHaveBeenDisclosed
	default:
		g.Outcome = Outcome(outcome)
	}
	return g, nil
}

// CompleteSince returns the time from which on the log has everything about a person, whose
// lives are given: since the vault knows them, or since the last loss of the log that an
// operator accepted, whichever is later. It is zero for a person whom the vault does not know.
func (l *Log) CompleteSince(ctx context.Context, citizens []domain.CitizenID) (time.Time, error) {
	query, args := ofCitizens(`SELECT MIN(e.since) FROM known e WHERE 1 = 1`, nil, citizens)
	var known, lost *int64
	if _, err := l.view.Get(ctx, query, args, &known); err != nil {
		return time.Time{}, fmt.Errorf("coverage of the access log: %w", err)
	}
	if _, err := l.view.Get(ctx, `SELECT MAX(at) FROM losses`, nil, &lost); err != nil {
		return time.Time{}, fmt.Errorf("losses of the access log: %w", err)
	}
	switch {
	case known == nil:
		return time.Time{}, nil
	case lost != nil:
		return time.UnixMicro(max(*known, *lost)).UTC(), nil
	}
	return time.UnixMicro(*known).UTC(), nil
}
