package consentlog

import "context"

// Newest returns at most limit decisions, newest first, of these kinds or of all
// when none is given, from before the leaf given as cursor; projections.Latest to
// begin. The last one's Leaf is the next cursor.
func (l *Log) Newest(ctx context.Context, f Filter, kinds []Kind, cursor int64, limit int) ([]Decision, error) {
	query := `SELECT leaf, consent, citizen, consumer, purpose, kind, at, until_at, mandate, reason FROM decisions WHERE leaf < ?`
	where, args := f.conditions("at")
	args = append([]any{cursor}, args...)
	if len(kinds) > 0 {
		where += ` AND kind IN (?, ?, ?, ?)` // the same text for one to four of them
		for i := range len(allKinds) {
			args = append(args, string(kinds[min(i, len(kinds)-1)]))
		}
	}
	all := make([]Decision, 0, min(limit, exportPage))
	err := l.selectDecisions(ctx, query+where+` ORDER BY leaf DESC LIMIT ?`, append(args, limit), func(d *Decision) { all = append(all, *d) })
	if err != nil {
		return nil, err
	}
	return all, nil
}

var allKinds = []Kind{Requested, Granted, Refused, Withdrawn}
