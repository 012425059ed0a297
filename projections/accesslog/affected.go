package accesslog

import (
	"context"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/projections"
)

// Affected asks whose documents of a type went to an organisation in a time, by itself or through
// an integrator that acted for it.
type Affected struct {
	Type        domain.DocumentType
	Consumer    domain.Organisation
	From, Until time.Time // of the authorisation: inclusive, exclusive
	Now         time.Time // as in Filter: what an investigation hides then is left out
}

// AffectedPerson is what of one citizen went, or may have gone, to the organisation. A citizen of
// several lives is one for each.
type AffectedPerson struct {
	Citizen     domain.CitizenID
	Accesses    int       // distinct accesses that were disclosed, or may have been
	Disclosed   int       // of these, the ones of which it is recorded that they were
	First, Last time.Time // of the authorisations
}

// AffectedTotals counts what all pages of Affected tell, and whom none names.
type AffectedTotals struct {
	Persons   int // lives; the erased are not among them
	Erased    int // citizens whose key was destroyed since
	Accesses  int // of all, the erased too
	Disclosed int
}

// affectedAccesses are the entries that Affected is about: what was opened and not withheld, and
// did not fail before anything was opened. Presence and look-ups hand no document on.
const affectedAccesses = ` FROM entries e LEFT JOIN outcomes o ON o.leaf = (
		SELECT x.leaf FROM outcomes x WHERE x.access = e.access AND x.attempt = e.attempt AND x.leaf <= ?
		ORDER BY CASE x.outcome WHEN 'disclosed' THEN 0 ELSE 1 END, x.leaf LIMIT 1)
	WHERE e.leaf <= ? AND e.type = ? AND (e.consumer = ? OR e.on_behalf_of = ?) AND e.at >= ? AND e.at < ?
		AND e.kind NOT IN ('refusal', 'presence', 'lookup') AND COALESCE(o.outcome, '') NOT IN ('withheld', 'failed')` + notHidden

// affectedCounts count distinct accesses: all, and those that were disclosed for sure.
const affectedCounts = `COUNT(DISTINCT e.access), COUNT(DISTINCT CASE WHEN o.outcome = 'disclosed' THEN e.access END)`

func (a Affected) args(asOf int64) []any {
	return []any{asOf, asOf, string(a.Type), string(a.Consumer), string(a.Consumer), a.From.UnixMicro(), a.Until.UnixMicro(), asOf, projections.Micros(a.Now)}
}

// AffectedPersons returns at most limit citizens who are affected by what was recorded up to a
// leaf, ordered by their id, behind the one given; the zero id to begin. The erased are left out.
func (l *Log) AffectedPersons(ctx context.Context, asOf int64, a Affected, after domain.CitizenID, limit int) ([]AffectedPerson, error) {
	query := `SELECT e.citizen, ` + affectedCounts + `, MIN(e.at), MAX(e.at)` + affectedAccesses + `
		AND e.citizen > ? AND e.citizen NOT IN (SELECT citizen FROM erased) GROUP BY e.citizen ORDER BY e.citizen LIMIT ?`
	all := []AffectedPerson{}
	err := l.view.Select(ctx, query, append(a.args(projections.At(asOf)), after.UUID[:], limit), func(scan func(...any) error) error {
		var one AffectedPerson
		var citizen []byte
		var first, last int64
		if err := scan(&citizen, &one.Accesses, &one.Disclosed, &first, &last); err != nil {
			return err
		}
		copy(one.Citizen.UUID[:], citizen)
		one.First, one.Last = time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC()
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return all, nil
}

// AffectedTotals counts all citizens who are affected by what was recorded up to a leaf.
func (l *Log) AffectedTotals(ctx context.Context, asOf int64, a Affected) (t AffectedTotals, err error) {
	query := `SELECT COUNT(DISTINCT e.citizen), COUNT(DISTINCT CASE WHEN e.citizen IN (SELECT citizen FROM erased) THEN e.citizen END), ` + affectedCounts + affectedAccesses
	var lives int
	_, err = l.view.Get(ctx, query, a.args(projections.At(asOf)), &lives, &t.Erased, &t.Accesses, &t.Disclosed)
	if err != nil {
		return AffectedTotals{}, fmt.Errorf("access log: %w", err)
	}
	t.Persons = lives - t.Erased
	return t, nil
}
