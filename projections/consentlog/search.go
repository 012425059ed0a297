package consentlog

import (
	"context"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/projections"
)

// Search narrows the log to decisions about some consents. Its zero value finds all.
type Search struct {
	Filter
	Of     *domain.ConsentID   // only this consent; a filter by its citizen finds it sooner
	Acts   []Act               // none: all
	Type   domain.DocumentType // a type that the consent covers; "": any
	State  State               // of the consent at Moment; "": any
	Moment time.Time           // of the states that are told
}

// Found is a decision with the state of its consent at the moment of the search; "" when the
// consent had not begun by then.
type Found struct {
	Decision
	State State
}

// selectFound selects decisions with the state of their consent at a leaf and a moment: by what
// had happened at that moment, of what is known at the leaf.
const selectFound = ` FROM decisions JOIN (SELECT consent AS told_of, CASE
		WHEN CASE WHEN requested_at > 0 THEN requested_at ELSE granted_at END > ? THEN ''
		WHEN ended_leaf <= ? AND ended_at <= ? THEN ended_as
		WHEN CASE WHEN granted_leaf <= ? AND granted_at <= ? THEN granted_until ELSE requested_until END <= ? THEN 'expired'
		WHEN granted_leaf > ? OR granted_at > ? THEN 'requested'
		WHEN max_uses > 0 AND (SELECT count(*) FROM uses u WHERE u.consent = c.consent AND u.leaf <= ? AND u.at <= ?) >= max_uses THEN 'exhausted'
		ELSE 'granted' END AS state FROM consents c) AS told ON told_of = consent
	WHERE leaf <= ?`

// query returns the FROM and WHERE of a search, with its arguments.
func (s Search) query(asOf int64) (sql string, args []any) {
	at, now := projections.At(asOf), s.Moment.UnixMicro()
	args = []any{now, at, now, at, now, now, at, now, at, now, at}
	where, more := s.conditions("at", "")
	sql, args = selectFound+where, append(args, more...)
	if len(s.Acts) > 0 {
		sql += ` AND kind IN (?, ?, ?, ?)` // the same text for one to four of them
		for i := range len(allActs) {
			args = append(args, string(s.Acts[min(i, len(s.Acts)-1)]))
		}
	}
	if s.Of != nil {
		sql += ` AND consent = ?`
		args = append(args, s.Of.UUID[:])
	}
	if s.Type != "" {
		sql += ` AND EXISTS (SELECT 1 FROM covered WHERE covered.type = ? AND covered.consent = decisions.consent)`
		args = append(args, string(s.Type))
	}
	if s.State != "" {
		sql += ` AND state = ?`
		args = append(args, string(s.State))
	}
	return sql, args
}

// Search returns at most limit decisions up to a leaf, newest first, from before the leaf given
// as cursor; projections.Latest to begin. The last one's Leaf is the next cursor.
func (l *Log) Search(ctx context.Context, asOf int64, s Search, cursor int64, limit int) ([]Found, error) {
	from, args := s.query(asOf)
	all := []Found{}
	var d Found
	var id, of, mandate []byte
	var at, until int64
	err := l.view.Select(ctx, `SELECT leaf, consent, citizen, consumer, purpose, kind, at, until_at, mandate, reason, state`+from+` AND leaf < ? ORDER BY leaf DESC LIMIT ?`,
		append(args, cursor, limit), func(scan func(...any) error) error {
			d, mandate = Found{}, nil
			if err := scan(&d.Leaf, &id, &of, &d.Consumer, &d.Purpose, &d.Act, &at, &until, &mandate, &d.Reason, &d.State); err != nil {
				return err
			}
			copy(d.Consent.UUID[:], id)
			copy(d.Citizen.UUID[:], of)
			copy(d.Mandate.UUID[:], mandate)
			d.At, d.Until = projections.Instant(at), projections.Instant(until)
			all = append(all, d)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("consent log: %w", err)
	}
	return all, nil
}

// Totals returns how many decisions a search finds up to a leaf, of each act, and how many
// consents they are about.
func (l *Log) Totals(ctx context.Context, asOf int64, s Search) (decisions map[Act]int64, consents int64, err error) {
	from, args := s.query(asOf)
	decisions = make(map[Act]int64, len(allActs))
	err = l.view.Select(ctx, `SELECT kind, count(*)`+from+` GROUP BY kind`, args, func(scan func(...any) error) error {
		var act Act
		var n int64
		err := scan(&act, &n)
		decisions[act] = n
		return err
	})
	if err == nil {
		_, err = l.view.Get(ctx, `SELECT count(DISTINCT consent)`+from, args, &consents)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("consent log: %w", err)
	}
	return decisions, consents, nil
}

// Seen returns the last leaf that the log has come to; -1 before the first.
func (l *Log) Seen(ctx context.Context) (int64, error) {
	now, err := l.view.Checkpoint(ctx)
	if err != nil {
		return 0, fmt.Errorf("consent log: %w", err)
	}
	return now.Next - 1, nil
}

// RenewedBy returns the newest consent up to a leaf that renews another; ok is false when none does.
func (l *Log) RenewedBy(ctx context.Context, id domain.ConsentID, asOf int64) (by domain.ConsentID, ok bool, err error) {
	var renewal []byte
	ok, err = l.view.Get(ctx, `SELECT consent FROM consents WHERE renews = ? AND granted_leaf <= ? ORDER BY granted_leaf DESC LIMIT 1`,
		[]any{id.UUID[:], projections.At(asOf)}, &renewal)
	if err != nil {
		return domain.ConsentID{}, false, fmt.Errorf("consent log: %w", err)
	}
	copy(by.UUID[:], renewal)
	return by, ok, nil
}

var allActs = []Act{Requested, Granted, Refused, Withdrawn}
