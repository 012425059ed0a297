package consentlog

import (
	"context"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/projections"
)

// LastRead is how long before its withdrawal a consent was last used.
type LastRead string

// How long before.
const (
	NeverRead    LastRead = "never"
	WithinMinute LastRead = "withinMinute"
	WithinHour   LastRead = "withinHour"
	WithinDay    LastRead = "withinDay"
	WithinMonth  LastRead = "withinMonth" // 30 days
	Earlier      LastRead = "earlier"
	AfterTheEnd  LastRead = "after" // which rule C-4 forbids
	NotWithdrawn LastRead = ""
)

const (
	day   = 24 * time.Hour
	month = 30 * day
)

// Counted is what figures count of a consent.
type Counted struct {
	Citizen  domain.CitizenID
	Consumer domain.Organisation
	Purpose  domain.Purpose
	State    State
	LastRead LastRead
	Granted  domain.Date // the Monday of the week in Belgium in which it was; zero: never
	Ended    domain.Date // likewise, in which it was refused or withdrawn, or expired
}

const selectCounted = `SELECT from_leaf, citizen, consumer, purpose, CASE
		WHEN ended_leaf <= ? THEN ended_as
		WHEN CASE WHEN granted_leaf <= ? THEN granted_until ELSE requested_until END <= ? THEN 'expired'
		WHEN granted_leaf > ? THEN 'requested'
		WHEN max_uses > 0 AND (SELECT count(*) FROM uses u WHERE u.consent = c.consent AND u.leaf <= ?) >= max_uses THEN 'exhausted'
		ELSE 'granted' END, ended_at, ended_leaf,
		CASE WHEN granted_leaf <= ? THEN granted_at ELSE 0 END, CASE WHEN granted_leaf <= ? THEN granted_until ELSE requested_until END,
		COALESCE((SELECT MAX(u.leaf) FROM uses u WHERE u.consent = c.consent AND u.leaf <= ?), -1),
		COALESCE((SELECT MAX(u.at) FROM uses u WHERE u.consent = c.consent AND u.leaf <= ?), 0)
	FROM consents c WHERE from_leaf > ? AND from_leaf <= ? ORDER BY from_leaf LIMIT ?`

// Count calls visit with every consent of somebody whom the vault knows, as it was at a leaf and a
// time, in constant memory and without keeping the tables from moving on.
func (l *Log) Count(ctx context.Context, asOf int64, now time.Time, visit func(Counted)) error {
	for one, err := range projections.Pages(ctx, &l.view, asOf, func(asOf, after int64) (page []Counted, _ int64, err error) {
		args := []any{asOf, asOf, projections.Micros(now), asOf, asOf, asOf, asOf, asOf, asOf, after, asOf, projections.PageRows}
		err = l.view.Select(ctx, selectCounted, args, func(scan func(...any) error) error {
			var c Counted
			var citizen []byte
			var ended, endedLeaf, granted, until, usedLeaf, used int64
			if err := scan(&after, &citizen, &c.Consumer, &c.Purpose, &c.State, &ended, &endedLeaf, &granted, &until, &usedLeaf, &used); err != nil {
				return err
			}
			copy(c.Citizen.UUID[:], citizen)
			if c.State == IsWithdrawn {
				c.LastRead = lastRead(time.Duration(ended-used)*time.Microsecond, usedLeaf >= 0, usedLeaf > endedLeaf)
			}
			if granted > 0 {
				c.Granted = weekOf(granted)
			}
			switch c.State {
			case IsWithdrawn, IsRefused:
				c.Ended = weekOf(ended)
			case IsExpired:
				c.Ended = weekOf(until)
			}
			page = append(page, c)
			return nil
		})
		return page, after, err
	}) {
		if err != nil {
			return fmt.Errorf("consent log: %w", err)
		}
		if !one.Citizen.IsZero() {
			visit(one)
		}
	}
	return nil
}

// weekOf returns the Monday of the week in Belgium of a moment in microseconds since 1970.
func weekOf(at int64) domain.Date { return domain.BelgianDate(projections.Instant(at)).Monday() }

func lastRead(before time.Duration, ever, after bool) LastRead {
	switch {
	case !ever:
		return NeverRead
	case after:
		return AfterTheEnd
	case before <= time.Minute:
		return WithinMinute
	case before <= time.Hour:
		return WithinHour
	case before <= day:
		return WithinDay
	case before <= month:
		return WithinMonth
	}
	return Earlier
}
