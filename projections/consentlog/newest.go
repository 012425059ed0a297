package consentlog

import (
	"context"

	"coffre/projections"
)

// Newest returns at most limit decisions, newest first, of these acts or of all
// when none is given, from before the leaf given as cursor; projections.Latest to
// begin. The last one's Leaf is the next cursor.
func (l *Log) Newest(ctx context.Context, f Filter, acts []Act, cursor int64, limit int) ([]Decision, error) {
	query := `SELECT leaf, consent, citizen, consumer, purpose, kind, at, until_at, mandate, reason FROM decisions WHERE leaf < ?`
	where, args := f.conditions("at", "")
	args = append([]any{cursor}, args...)
	if len(acts) > 0 {
		where += ` AND kind IN (?, ?, ?, ?)` // the same text for one to four of them
		for i := range len(allActs) {
			args = append(args, string(acts[min(i, len(acts)-1)]))
		}
	}
	all := make([]Decision, 0, min(limit, projections.PageRows))
	err := l.selectDecisions(ctx, query+where+` ORDER BY leaf DESC LIMIT ?`, append(args, limit), func(d *Decision) { all = append(all, *d) })
	if err != nil {
		return nil, err
	}
	return all, nil
}

var allActs = []Act{Requested, Granted, Refused, Withdrawn}
