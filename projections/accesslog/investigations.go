package accesslog

import (
	"context"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/domain/investigation"
	"coffre/projections"
)

// An investigation has a row that tells what it is now, and one in hidings for each fact that
// said until when it hides, so that a query as of a leaf knows what was to be then. Nothing
// in entries changes when one is renewed or lifted.
const (
	investigationTables = `
CREATE TABLE investigations (
	leaf BIGINT PRIMARY KEY,
	investigation BYTEA NOT NULL,
	organisation TEXT NOT NULL,
	purpose TEXT NOT NULL,
	legal_basis TEXT NOT NULL,
	deliberation TEXT NOT NULL,
	reason TEXT NOT NULL,
	opened_at BIGINT NOT NULL,
	until BIGINT NOT NULL,
	lifted_at BIGINT NOT NULL
);
CREATE INDEX investigations_investigation ON investigations (investigation);
CREATE TABLE hidings (leaf BIGINT PRIMARY KEY, investigation BYTEA NOT NULL, ends BIGINT NOT NULL);
CREATE INDEX hidings_investigation ON hidings (investigation, leaf);
`
	insertInvestigation    = `INSERT INTO investigations (leaf, investigation, organisation, purpose, legal_basis, deliberation, reason, opened_at, until, lifted_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`
	setInvestigationUntil  = `UPDATE investigations SET until = ? WHERE investigation = ?`
	setInvestigationLifted = `UPDATE investigations SET lifted_at = ? WHERE investigation = ?`
	insertHiding           = `INSERT INTO hidings (leaf, investigation, ends) VALUES (?, ?, ?)`

	// endOf is when the investigation of an entry ends, as known at a leaf.
	endOf = `(SELECT h.ends FROM hidings h WHERE h.investigation = e.investigation AND h.leaf <= ? ORDER BY h.leaf DESC LIMIT 1)`
	// notHidden leaves out what an investigation hides at a moment, and what stands under one
	// of which nothing is known.
	notHidden = ` AND (e.investigation IS NULL OR COALESCE(` + endOf + ` <= ?, FALSE))`

	hiddenUntil = `COALESCE(` + endOf + `, 0)`
	hiddenFor   = `COALESCE((SELECT i.reason FROM investigations i WHERE i.investigation = e.investigation), '')`
)

func applyInvestigation(ctx context.Context, tx *projections.Tx, event investigation.Event, leaf int64) (err error) {
	var of domain.InvestigationID
	var ends time.Time
	switch f := event.(type) {
	case investigation.Opened:
		of, ends = f.Investigation, f.Until
		_, err = tx.Exec(ctx, insertInvestigation, leaf, of.UUID[:], string(f.Grounds.Organisation), string(f.Grounds.Purpose), string(f.Grounds.LegalBasis), string(f.Grounds.Deliberation),
			string(f.Reason), f.At.UnixMicro(), ends.UnixMicro())
	case investigation.Renewed:
		of, ends = f.Investigation, f.Until
		_, err = tx.Exec(ctx, setInvestigationUntil, ends.UnixMicro(), of.UUID[:])
	case investigation.Lifted:
		of, ends = f.Investigation, f.At
		_, err = tx.Exec(ctx, setInvestigationLifted, ends.UnixMicro(), of.UUID[:])
	}
	if err == nil {
		_, err = tx.Exec(ctx, insertHiding, leaf, of.UUID[:], ends.UnixMicro())
	}
	return err
}

// Investigation is an investigation with how much stands under it. Whom it is about is not told.
type Investigation struct {
	FirstLeaf int64 // of its opening: its place in lists
	investigation.State
	Records  int // accesses, what was told, and refusals about persons
	Citizens int // distinct ones
}

// InvestigationFilter narrows Investigations to the members that it names.
type InvestigationFilter struct {
	Organisation  domain.Organisation
	Investigation *domain.InvestigationID
	Open          *bool // at Now: whether it hides anything
	Now           time.Time
}

// Investigations returns at most limit investigations, oldest first, from behind the FirstLeaf
// given as cursor; -1 to begin.
func (l *Log) Investigations(ctx context.Context, f InvestigationFilter, cursor int64, limit int) ([]Investigation, error) {
	query, args := `SELECT i.leaf, i.investigation, i.organisation, i.purpose, i.legal_basis, i.deliberation, i.reason, i.opened_at, i.until, i.lifted_at,
		(SELECT COUNT(*) FROM entries e WHERE e.investigation = i.investigation),
		(SELECT COUNT(DISTINCT e.citizen) FROM entries e WHERE e.investigation = i.investigation)
		FROM investigations i WHERE i.leaf > ?`, []any{cursor}
	if f.Organisation != "" {
		query += ` AND i.organisation = ?`
		args = append(args, string(f.Organisation))
	}
	if f.Investigation != nil {
		query += ` AND i.investigation = ?`
		args = append(args, f.Investigation.UUID[:])
	}
	if f.Open != nil {
		query += ` AND CASE WHEN i.lifted_at = 0 AND i.until > ? THEN 1 ELSE 0 END = ?`
		open := 0
		if *f.Open {
			open = 1
		}
		args = append(args, projections.Micros(f.Now), open)
	}
	all := []Investigation{}
	err := l.view.Select(ctx, query+` ORDER BY i.leaf LIMIT ?`, append(args, limit), func(scan func(...any) error) error {
		var one Investigation
		var id []byte
		var opened, until, lifted int64
		if err := scan(&one.FirstLeaf, &id, &one.Grounds.Organisation, &one.Grounds.Purpose, &one.Grounds.LegalBasis, &one.Grounds.Deliberation, &one.Reason,
			&opened, &until, &lifted, &one.Records, &one.Citizens); err != nil {
			return err
		}
		copy(one.State.Investigation.UUID[:], id)
		one.OpenedAt, one.Until, one.LiftedAt = projections.Instant(opened), projections.Instant(until), projections.Instant(lifted)
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("investigations: %w", err)
	}
	return all, nil
}
