package consentlog

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"time"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/projections"
)

// Line is a decision with the terms of its consent as they were at the decision. Lines may
// share the slices of their terms, which nobody changes.
type Line struct {
	Decision
	Terms consent.Terms
}

// Export yields all decisions up to a leaf, in log order, in constant memory and without
// keeping the tables from moving on. An error ends it.
func (l *Log) Export(ctx context.Context, asOf int64, f Filter) iter.Seq2[Line, error] {
	where, args := f.conditions("at", "d.")
	query := `SELECT d.leaf, d.consent, d.citizen, d.consumer, d.purpose, d.kind, d.at, d.until_at, d.mandate, d.reason,
		CASE WHEN c.granted_leaf <= d.leaf THEN c.granted_terms ELSE c.requested_terms END
	FROM decisions d JOIN consents c ON c.consent = d.consent WHERE d.leaf > ? AND d.leaf <= ?` + where + ` ORDER BY d.leaf LIMIT ?`
	var last knownTerms
	return projections.Pages(ctx, &l.view, asOf, func(asOf, after int64) (page []Line, _ int64, err error) {
		page = make([]Line, 0, projections.PageRows)
		bind := append(append([]any{after, asOf}, args...), int64(projections.PageRows))
		err = l.view.Each(ctx, query, bind, func(row projections.Row) error {
			terms, err := last.decode(row.Text(10))
			d := Decision{
				Leaf: row.Int64(0), Consumer: domain.Organisation(row.Text(3)), Purpose: domain.Purpose(row.Text(4)), Act: Act(row.Text(5)),
				At: projections.Instant(row.Int64(6)), Until: projections.Instant(row.Int64(7)), Reason: domain.ReasonCode(row.Text(9)),
			}
			copy(d.Consent.UUID[:], row.Bytes(1))
			copy(d.Citizen.UUID[:], row.Bytes(2))
			copy(d.Mandate.UUID[:], row.Bytes(8))
			page, after = append(page, Line{d, terms}), d.Leaf
			return err
		})
		return page, after, err
	})
}

// knownTerms remembers the terms that were decoded last, which the next line often has as
// well. The zero value knows none; it is used by one goroutine.
type knownTerms struct {
	text  []byte
	terms consent.Terms
}

func (k *knownTerms) decode(text []byte) (consent.Terms, error) {
	if k.text != nil && bytes.Equal(k.text, text) {
		return k.terms, nil
	}
	var t consent.Terms
	if json.Unmarshal(text, &t) != nil {
		return t, errTerms
	}
	k.text, k.terms = append(k.text[:0], text...), t
	return t, nil
}

// ExportConsents yields all consents as Consents does, up to a leaf and at a time, in constant
// memory and without keeping the tables from moving on. An error ends it.
func (l *Log) ExportConsents(ctx context.Context, asOf int64, now time.Time, f Filter) iter.Seq2[Consent, error] {
	return projections.Pages(ctx, &l.view, asOf, func(asOf, after int64) (page []Consent, _ int64, err error) {
		if page, err = l.Consents(ctx, asOf, now, f, "", after, projections.PageRows); len(page) > 0 {
			after = page[len(page)-1].FirstLeaf
		}
		return page, after, err
	})
}
