package seal

import (
	"context"
)

// Status counts what the ring holds.
type Status struct {
	Versions   Versions    // of the key-encryption key
	ByVersion  map[int]int // DEKs and deployment keys by the version they are wrapped by
	Pending    int         // citizens, by state
	Active     int
	Erasing    int
	Destroyed  int
	Streams    int // live content keys
	Suppressed int // numbers
}

// Behind counts the keys that RewrapAll would move.
func (s Status) Behind() (n int) {
	for version, count := range s.ByVersion {
		if version < s.Versions.Latest {
			n += count
		}
	}
	return n
}

// Oldest is the oldest version of the key-encryption key that something is wrapped
// by.
func (s Status) Oldest() int {
	oldest := s.Versions.Latest
	for version, count := range s.ByVersion {
		if count > 0 {
			oldest = min(oldest, version)
		}
	}
	return oldest
}

// Status counts the keys of the whole ring: seconds for millions of citizens.
func (l Ledger) Status(ctx context.Context) (Status, error) {
	s := Status{ByVersion: map[int]int{}}
	var err error
	if s.Versions, err = l.ring.kek.Versions(ctx); err != nil {
		return Status{}, unavailable(ctx, "read versions", err)
	}
	err = l.ring.rows(ctx, `SELECT state, kek_version, count(*) FROM subjects GROUP BY state, kek_version
		UNION ALL SELECT 0, kek_version, count(*) FROM deployment_keys GROUP BY kek_version`, nil, func(scan func(...any) error) error {
		var st state
		var version, n int
		if err := scan(&st, &version, &n); err != nil {
			return err
		}
		switch st {
		case pending:
			s.Pending += n
		case active:
			s.Active += n
		case erasing:
			s.Erasing += n
		case destroyed:
			s.Destroyed += n
			return nil // has no key
		}
		s.ByVersion[version] += n
		return nil
	})
	if err == nil {
		_, err = l.ring.row(ctx, `SELECT (SELECT count(*) FROM stream_keys WHERE state = ?), (SELECT count(*) FROM suppressions WHERE until = 0 OR until > ?)`,
			[]any{keyLive, l.ring.micros()}, &s.Streams, &s.Suppressed)
	}
	if err != nil {
		return Status{}, unavailable(ctx, "read status", err)
	}
	return s, nil
}

// older counts what is wrapped by a version below one: a statement per table, of
// which each takes the version as its parameter.
var older = []string{
	`SELECT count(*) FROM subjects WHERE kek_version < ? AND wrapped IS NOT NULL`,
	`SELECT count(*) FROM deployment_keys WHERE kek_version < ?`,
}

// olderThan counts everything that is wrapped by a version below oldest.
func (r *Ring) olderThan(ctx context.Context, oldest int) (n int, err error) {
	for _, query := range older {
		var some int
		if _, err := r.row(ctx, query, []any{oldest}, &some); err != nil {
			return 0, unavailable(ctx, "count wrapped keys", err)
		}
		n += some
	}
	return n, nil
}
