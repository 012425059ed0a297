package consentlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/eventstore"
	"coffre/projections"
)

var errTerms = errors.New("a consent's terms do not decode") // the cause would quote them

// Decisions returns at most limit decisions up to a leaf, in log order, of one act
// or of all when act is "", from behind the leaf given as cursor; -1 to begin. The
// last one's Leaf is the next cursor.
func (l *Log) Decisions(ctx context.Context, asOf int64, f Filter, act Act, cursor int64, limit int) ([]Decision, error) {
	all := make([]Decision, 0, min(limit, projections.PageRows))
	err := l.decisions(ctx, asOf, f, act, cursor, limit, func(d *Decision) { all = append(all, *d) })
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (l *Log) decisions(ctx context.Context, asOf int64, f Filter, act Act, cursor int64, limit int, visit func(*Decision)) error {
	query := `SELECT leaf, consent, citizen, consumer, purpose, kind, at, until_at, mandate, reason FROM decisions WHERE leaf > ? AND leaf <= ?`
	where, args := f.conditions("at", "")
	args = append([]any{cursor, projections.At(asOf)}, args...)
	if act != "" {
		where += ` AND kind = ?`
		args = append(args, string(act))
	}
	return l.selectDecisions(ctx, query+where+` ORDER BY leaf LIMIT ?`, append(args, limit), visit)
}

func (l *Log) selectDecisions(ctx context.Context, query string, args []any, visit func(*Decision)) error {
	var d Decision
	var id, of, mandate []byte
	var at, until int64
	err := l.view.Select(ctx, query, args, func(scan func(...any) error) error {
		d, mandate = Decision{}, nil
		if err := scan(&d.Leaf, &id, &of, &d.Consumer, &d.Purpose, &d.Act, &at, &until, &mandate, &d.Reason); err != nil {
			return err
		}
		copy(d.Consent.UUID[:], id)
		copy(d.Citizen.UUID[:], of)
		copy(d.Mandate.UUID[:], mandate)
		d.At, d.Until = projections.Instant(at), projections.Instant(until)
		visit(&d)
		return nil
	})
	if err != nil {
		return fmt.Errorf("consent log: %w", err)
	}
	return nil
}

// conditions returns the SQL for the filter, with the name of its time column and what stands
// before the names of columns.
func (f Filter) conditions(at, table string) (where string, args []any) {
	add := func(condition string, arg any) {
		where += ` AND ` + table + condition
		args = append(args, arg)
	}
	if f.Citizen != nil {
		add(`citizen IN (?`+strings.Repeat(`, ?`, len(f.Former))+`)`, f.Citizen.UUID[:])
		for _, id := range f.Former {
			args = append(args, id.UUID[:])
		}
	}
	if f.Consumer != "" {
		add(`consumer = ?`, string(f.Consumer))
	}
	if f.Purpose != "" {
		add(`purpose = ?`, string(f.Purpose))
	}
	if f.From != nil {
		add(at+` >= ?`, f.From.UnixMicro())
	}
	if f.Until != nil {
		add(at+` < ?`, f.Until.UnixMicro())
	}
	return where, args
}

// Consents returns at most limit consents as they were at a leaf and a time, in the
// order in which they began, in one state or in all when state is "", from behind
// the FirstLeaf given as cursor; -1 to begin.
func (l *Log) Consents(ctx context.Context, asOf int64, now time.Time, f Filter, state State, cursor int64, limit int) ([]Consent, error) {
	where, args := f.conditions(`CASE WHEN requested_at > 0 THEN requested_at ELSE granted_at END`, "")
	if state != "" {
		where += ` AND state = ?`
		args = append(args, string(state))
	}
	return l.consents(ctx, asOf, now, where, args, cursor, limit)
}

// MadeTo returns at most limit consents and requests of a consumer as they were at a leaf and a
// time, each as [Consent.AsConsumer] shows it, in the order in which they began. A request that reached nobody is among them as
// one that waits. Requests from before those were recorded are left out until they are
// answered, so that neither the pages nor their number tell the consumer how many of its
// requests reached somebody (rule A-6).
func (l *Log) MadeTo(ctx context.Context, consumer domain.Organisation, asOf int64, now time.Time, cursor int64, limit int) ([]Consent, error) {
	at := projections.At(asOf)
	all, err := l.consents(ctx, asOf, now, ` AND consumer = ? AND (tracked = 1 OR granted_leaf <= ? OR ended_as = 'refused' AND ended_leaf <= ?)`,
		[]any{string(consumer), at, at}, cursor, limit)
	for i := range all {
		all[i] = all[i].AsConsumer(now)
	}
	return all, err
}

// maxRows is the limit of queries about one citizen or one consent.
const maxRows = 1 << 20

// Of returns all consents of a citizen as they were at a leaf and a time.
func (l *Log) Of(ctx context.Context, citizen domain.CitizenID, asOf int64, now time.Time) ([]Consent, error) {
	return l.Consents(ctx, asOf, now, Filter{Citizen: &citizen}, "", -1, maxRows)
}

// OpenOf returns the citizen's consents and requests that may still have effect:
// neither refused, withdrawn nor expired. A consent that is used up is among them.
func (l *Log) OpenOf(ctx context.Context, citizen domain.CitizenID, now time.Time) ([]Consent, error) {
	return l.consents(ctx, projections.Latest, now, ` AND citizen = ? AND state IN ('requested', 'granted', 'exhausted')`, []any{citizen.UUID[:]}, -1, maxRows)
}

// Consent returns one consent as it was at a leaf and a time; ok is false when it
// was not known then.
func (l *Log) Consent(ctx context.Context, id domain.ConsentID, asOf int64, now time.Time) (c Consent, ok bool, err error) {
	all, err := l.consents(ctx, asOf, now, ` AND consent = ?`, []any{id.UUID[:]}, -1, 1)
	if err != nil || len(all) == 0 {
		return Consent{}, false, err
	}
	return all[0], true, nil
}

func (l *Log) consents(ctx context.Context, asOf int64, now time.Time, where string, args []any, cursor int64, limit int) ([]Consent, error) {
	at := projections.At(asOf)
	query := selectWithState + ` WHERE from_leaf > ? AND from_leaf <= ?` + where + ` ORDER BY from_leaf LIMIT ?`
	args = append(append([]any{at, at, now.UnixMicro(), at, at, at, cursor, at}, args...), limit)
	all := []Consent{}
	err := l.view.Select(ctx, query, args, func(scan func(...any) error) error {
		c, err := scanConsent(scan, at)
		if err == nil {
			all = append(all, c)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("consent log: %w", err)
	}
	return all, nil
}

// selectWithState selects each consent with its state at a leaf and a time.
const selectWithState = `SELECT from_leaf, consent, citizen, requested_leaf, requested_at, requested_terms,
	tracked, granted_leaf, granted_at, granted_terms, granted_mandate, ended_leaf, ended_at, ended_mandate, reason, renews, used, state
FROM (SELECT c.*, CASE
		WHEN ended_leaf <= ? THEN ended_as
		WHEN CASE WHEN granted_leaf <= ? THEN granted_until ELSE requested_until END <= ? THEN 'expired'
		WHEN granted_leaf > ? THEN 'requested'
		WHEN max_uses > 0 AND (SELECT count(*) FROM uses u WHERE u.consent = c.consent AND u.leaf <= ?) >= max_uses THEN 'exhausted'
		ELSE 'granted' END AS state,
		(SELECT count(*) FROM uses u WHERE u.consent = c.consent AND u.leaf <= ?) AS used
	FROM consents c) AS told`

func scanConsent(scan func(...any) error, at int64) (Consent, error) {
	var c Consent
	var id, of, mandate, endMandate, renews []byte
	var requestedTerms, grantedTerms []byte
	var requested, tracked, granted, ended int64
	err := scan(&c.FirstLeaf, &id, &of, &c.RequestedLeaf, &requested, &requestedTerms,
		&tracked, &c.GrantedLeaf, &granted, &grantedTerms, &mandate, &c.EndedLeaf, &ended, &endMandate, &c.Reason, &renews, &c.Uses, &c.State)
	if err != nil {
		return Consent{}, err
	}
	copy(c.Consent.UUID[:], id)
	copy(c.Citizen.UUID[:], of)
	c.RequestedAt, c.Tracked = projections.Instant(requested), tracked == 1
	terms := requestedTerms
	if c.GrantedLeaf <= at {
		terms, c.GrantedAt = grantedTerms, projections.Instant(granted)
		copy(c.Mandate.UUID[:], mandate)
		copy(c.Renews.UUID[:], renews)
	} else {
		c.GrantedLeaf = projections.Latest
	}
	if c.EndedLeaf <= at {
		c.EndedAt = projections.Instant(ended)
		copy(c.EndMandate.UUID[:], endMandate)
	} else {
		c.EndedLeaf, c.Reason = projections.Latest, ""
	}
	var t consent.Terms
	if json.Unmarshal(terms, &t) != nil {
		return Consent{}, errTerms
	}
	c.Terms = t
	return c, nil
}

// Uses returns the accesses under a consent up to a leaf, in log order.
func (l *Log) Uses(ctx context.Context, id domain.ConsentID, asOf int64) ([]Use, error) {
	all := []Use{}
	err := l.view.Select(ctx, `SELECT leaf, access, at FROM uses WHERE consent = ? AND leaf <= ? ORDER BY leaf`,
		[]any{id.UUID[:], projections.At(asOf)}, func(scan func(...any) error) error {
			var u Use
			var access []byte
			var at int64
			if err := scan(&u.Leaf, &access, &at); err != nil {
				return err
			}
			copy(u.Access.UUID[:], access)
			u.At = projections.Instant(at)
			all = append(all, u)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("consent log: %w", err)
	}
	return all, nil
}

// Shown returns the sealed parts of a consent's request and grant, as far as there
// are; none after an erasure.
func (l *Log) Shown(ctx context.Context, id domain.ConsentID) ([]Shown, error) {
	all := []Shown{}
	err := l.view.Select(ctx, `SELECT leaf, kind, stream, event, event_type, sealed FROM shown WHERE consent = ? ORDER BY leaf`,
		[]any{id.UUID[:]}, func(scan func(...any) error) error {
			var s Shown
			var stream string
			var event []byte
			if err := scan(&s.Leaf, &s.Act, &stream, &event, &s.Place.Type, (*[]byte)(&s.Sealed)); err != nil {
				return err
			}
			s.Place.Stream = eventstore.Stream(stream)
			copy(s.Place.ID[:], event)
			all = append(all, s)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("consent log: %w", err)
	}
	return all, nil
}
