package pgmodels

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"coffre/projections"
)

// lease is the name of the model's lease. Each version has one of its own, so that an
// old program and a new one run side by side.
func (s *model) lease() string { return fmt.Sprintf("%s.v%d", s.name, s.version) }

// TryAcquire implements projections.Turns: of all processes on the database one holds
// the lease, until it ends or its connection does.
func (s *model) TryAcquire(ctx context.Context) (*projections.Lease, error) {
	var token int64
	held, release, err := s.m.session.TryAcquire(ctx, s.lease(), func(ctx context.Context, conn *sqlx.Conn) error {
		return conn.GetContext(ctx, &token, `INSERT INTO `+controlSchema+`.runners AS r (name, token) VALUES ($1, 1)
			ON CONFLICT (name) DO UPDATE SET token = r.token + 1, poisoned_leaf = NULL, poisoned_type = NULL RETURNING token`, s.lease())
	})
	if err != nil || held == nil {
		return nil, err
	}
	return &projections.Lease{Held: held, Token: token, Release: release}, nil
}

// Report implements projections.Turns. A runner that was overtaken has nothing to say
// to those who follow its successor.
func (s *model) Report(ctx context.Context, token int64, stopped error) error {
	var at *projections.Poisoned
	if !errors.As(stopped, &at) {
		return nil
	}
	_, err := s.m.control.ExecContext(ctx, `UPDATE runners SET poisoned_leaf = $1, poisoned_type = $2 WHERE name = $3 AND token = $4`, at.Leaf, at.Type, s.lease(), token)
	if err != nil {
		return fmt.Errorf("report where it stopped: %w", err)
	}
	return nil
}

// errElsewhere: another process's runner stopped, which knows why.
var errElsewhere = errors.New("stopped in another process, whose log says why")

// InForce implements projections.Turns.
func (s *model) InForce(ctx context.Context) (generation int64, stopped error, err error) {
	var row struct {
		Generation int64          `db:"generation"`
		Leaf       sql.NullInt64  `db:"poisoned_leaf"`
		Type       sql.NullString `db:"poisoned_type"`
	}
	err = s.m.control.GetContext(ctx, &row, `SELECT COALESCE((SELECT generation FROM live WHERE name = $1 AND version = $2), 0) AS generation,
		(SELECT poisoned_leaf FROM runners WHERE name = $3), (SELECT poisoned_type FROM runners WHERE name = $3)`, s.name, s.version, s.lease())
	if err != nil {
		return 0, nil, fmt.Errorf("read model in force: %w", err)
	}
	if row.Leaf.Valid {
		stopped = &projections.Poisoned{Name: s.name, Leaf: row.Leaf.Int64, Type: row.Type.String, Err: errElsewhere}
	}
	return row.Generation, stopped, nil
}
