package accesslog

import (
	"context"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/projections"
)

// Counted is what figures count of an access by a consumer: a document that was opened and not
// withheld, or presence that was told. An access counts once, by its first attempt that went, or
// may have gone, to the consumer.
type Counted struct {
	Citizen    domain.CitizenID
	Consumer   domain.Organisation
	Procedure  domain.Procedure  // absent outside of one
	LegalBasis domain.LegalBasis // absent under a consent
	Told       bool
	Spared     int         // questions that were not put to the citizen
	Week       domain.Date // its Monday, in Belgium
}

// RefusedOften is what figures count of refusals about a citizen that were recorded together.
type RefusedOften struct {
	Citizen  domain.CitizenID
	Consumer domain.Organisation
	Reason   domain.ReasonCode
	Times    int
	Week     domain.Date // its Monday, in Belgium
}

const (
	notGone = `FROM outcomes o WHERE o.access = e.access AND o.leaf <= ? AND o.outcome IN ('withheld', 'failed')
		AND NOT EXISTS (SELECT 1 FROM outcomes d WHERE d.access = o.access AND d.attempt = o.attempt AND d.leaf <= ? AND d.outcome = 'disclosed')`
	selectCounted = `SELECT leaf, citizen, consumer, procedure_code, legal_basis, kind, spared, at FROM entries e
		WHERE leaf > ? AND leaf <= ? AND day >= ? AND day <= ? AND role = 'consumer' AND kind NOT IN ('refusal', 'lookup')
			AND NOT EXISTS (SELECT 1 ` + notGone + ` AND o.attempt = e.attempt)
			AND (SELECT COUNT(DISTINCT o.attempt) ` + notGone + ` AND o.attempt < e.attempt) = attempt - 1` + notHidden + `
		ORDER BY leaf LIMIT ?`
	selectRefusedOften = `SELECT leaf, citizen, consumer, reason, count, at FROM entries e
		WHERE leaf > ? AND leaf <= ? AND day >= ? AND day <= ? AND kind = 'refusal'` + notHidden + `
		ORDER BY leaf LIMIT ?`
)

// Count calls visit with every access by consumers on the days in Belgium from one through
// another, of what is known at a leaf, in constant memory and without keeping the tables from
// moving on. What an investigation hides at a moment is left out: whoever compares figures of
// before and after would learn of it.
func (l *Log) Count(ctx context.Context, asOf int64, now time.Time, from, through domain.Date, visit func(Counted)) error {
	first, last := domain.BelgianDay(domain.BelgianMidnight(from)), domain.BelgianDay(domain.BelgianMidnight(through))
	for one, err := range projections.Pages(ctx, &l.view, asOf, func(asOf, after int64) (page []Counted, _ int64, err error) {
		err = l.view.Select(ctx, selectCounted, []any{after, asOf, first, last, asOf, asOf, asOf, asOf, asOf, projections.Micros(now), projections.PageRows}, func(scan func(...any) error) error {
			var c Counted
			var citizen []byte
			var kind string
			var at int64
			if err := scan(&after, &citizen, &c.Consumer, &c.Procedure, &c.LegalBasis, &kind, &c.Spared, &at); err != nil {
				return err
			}
			copy(c.Citizen.UUID[:], citizen)
			c.Week = domain.BelgianDate(projections.Instant(at)).Monday()
			if c.Told = kind == "presence"; !c.Told && c.Procedure != "" {
				c.Spared = 1 // as of the first attempt, which the row tells of
			}
			page = append(page, c)
			return nil
		})
		return page, after, err
	}) {
		if err != nil {
			return fmt.Errorf("access log: %w", err)
		}
		visit(one)
	}
	return nil
}

// CountRefusals calls visit with the refusals about citizens on the days in Belgium from one through
// another, as Count does with accesses. Refusals about nobody whom the vault knows stand in nobody's
// log and are not among them.
func (l *Log) CountRefusals(ctx context.Context, asOf int64, now time.Time, from, through domain.Date, visit func(RefusedOften)) error {
	first, last := domain.BelgianDay(domain.BelgianMidnight(from)), domain.BelgianDay(domain.BelgianMidnight(through))
	for one, err := range projections.Pages(ctx, &l.view, asOf, func(asOf, after int64) (page []RefusedOften, _ int64, err error) {
		err = l.view.Select(ctx, selectRefusedOften, []any{after, asOf, first, last, asOf, projections.Micros(now), projections.PageRows}, func(scan func(...any) error) error {
			var r RefusedOften
			var citizen []byte
			var at int64
			if err := scan(&after, &citizen, &r.Consumer, &r.Reason, &r.Times, &at); err != nil {
				return err
			}
			copy(r.Citizen.UUID[:], citizen)
			r.Week = domain.BelgianDate(projections.Instant(at)).Monday()
			page = append(page, r)
			return nil
		})
		return page, after, err
	}) {
		if err != nil {
			return fmt.Errorf("access log: %w", err)
		}
		visit(one)
	}
	return nil
}
