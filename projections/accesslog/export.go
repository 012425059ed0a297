package accesslog

import (
	"context"
	"fmt"
	"iter"

	"coffre/domain"
	"coffre/projections"
)

// Exported narrows Export: to what was authorised, or told, or to what was refused.
type Exported struct {
	Filter
	Citizens []domain.CitizenID // the lives of one person; nil for everybody
	Refused  bool
	// Successes leaves out what is known to have disclosed nothing: what was withheld or failed.
	Successes bool
}

// Export yields entries as they were at a leaf, in log order, in constant memory and without
// keeping the tables from moving on. An error ends it.
func (l *Log) Export(ctx context.Context, asOf int64, f Exported) iter.Seq2[Entry, error] {
	kind := ` AND e.kind <> 'refusal'`
	if f.Refused {
		kind = ` AND e.kind = 'refusal'`
	}
	if f.Successes {
		kind += ` AND COALESCE(o.outcome, 'disclosed') = 'disclosed'`
	}
	return projections.Pages(ctx, &l.view, asOf, func(asOf, after int64) (page []Entry, _ int64, err error) {
		page = make([]Entry, 0, projections.PageRows)
		query, args := selectEntries, []any{asOf, asOf, int64(projections.Latest), asOf}
		if f.Citizens != nil {
			query, args = ofCitizens(query, args, f.Citizens)
		}
		query, args = f.ofEverybody(query, args, asOf)
		err = l.view.Select(ctx, query+kind+` AND e.leaf > ? ORDER BY e.leaf LIMIT ?`, append(args, after, projections.PageRows), func(scan func(...any) error) error {
			e, err := scanEntry(scan)
			if err == nil {
				page, after = append(page, e), e.Leaf
			}
			return err
		})
		if err != nil {
			err = fmt.Errorf("access log: %w", err)
		}
		return page, after, err
	})
}
