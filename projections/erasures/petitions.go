package erasures

import (
	"context"
	"fmt"
	"strings"

	"coffre/domain"
	"coffre/domain/petition"
	"coffre/projections"
)

const (
	petitionTables = `
CREATE TABLE petitions (
	from_leaf BIGINT PRIMARY KEY,
	petition BYTEA NOT NULL,
	citizen BYTEA NOT NULL,
	kind TEXT NOT NULL,
	organisation TEXT NOT NULL,
	entry BYTEA,
	access BYTEA,
	document BYTEA,
	version BIGINT NOT NULL,
	purpose TEXT NOT NULL,
	restricts BIGINT NOT NULL,
	mandate BYTEA,
	deadline TEXT NOT NULL,
	asked_at BIGINT NOT NULL,
	extended_at BIGINT NOT NULL,
	outcome TEXT NOT NULL,
	rectified BIGINT NOT NULL,
	answered_at BIGINT NOT NULL
);
CREATE INDEX petitions_petition ON petitions (petition);
`
	petitionIndexes = `
CREATE INDEX petitions_citizen ON petitions (citizen, from_leaf);
CREATE INDEX petitions_organisation ON petitions (organisation, from_leaf);
CREATE INDEX petitions_open ON petitions (from_leaf) WHERE answered_at = 0;
`

	insertPetition = `INSERT INTO petitions (from_leaf, petition, citizen, kind, organisation, entry, access, document, version, purpose, restricts, mandate, deadline, asked_at, extended_at, outcome, rectified, answered_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', 0, 0)`
	setExtended = `UPDATE petitions SET deadline = ?, extended_at = ? WHERE petition = ?`
	setAnswered = `UPDATE petitions SET outcome = ?, rectified = ?, answered_at = ? WHERE petition = ? AND answered_at = 0`

	selectPetitions = `SELECT from_leaf, petition, citizen, kind, organisation, entry, access, document, version, purpose, restricts, mandate, deadline, asked_at, extended_at, outcome, rectified, answered_at
		FROM petitions WHERE from_leaf > ? AND CASE WHEN answered_at > 0 THEN 'answered' WHEN deadline < ? THEN 'overdue' ELSE 'open' END IN (?, ?, ?)`
)

func applyPetition(ctx context.Context, tx *projections.Tx, event petition.Event, leaf int64) (err error) {
	switch f := event.(type) {
	case petition.Disputed:
		_, err = tx.Exec(ctx, insertPetition, leaf, f.Petition.UUID[:], f.Citizen.UUID[:], string(petition.Disputes), string(f.Organisation), f.Entry.UUID[:], present(f.Access.UUID), nil, 0, "", 0, present(f.Mandate.UUID), string(f.Deadline), f.At.UnixMicro())
	case petition.Requested:
		restricts := 0
		if f.Restricts {
			restricts = 1
		}
		_, err = tx.Exec(ctx, insertPetition, leaf, f.Petition.UUID[:], f.Citizen.UUID[:], string(f.Kind), string(f.Organisation), nil, nil, present(f.Document.UUID), f.Version, string(f.Purpose), restricts, present(f.Mandate.UUID), string(f.Deadline), f.At.UnixMicro())
	case petition.Extended:
		_, err = tx.Exec(ctx, setExtended, string(f.Deadline), f.At.UnixMicro(), f.Petition.UUID[:])
	case petition.DisputeAnswered:
		_, err = tx.Exec(ctx, setAnswered, string(f.Outcome), 0, f.At.UnixMicro(), f.Petition.UUID[:])
	case petition.Answered:
		_, err = tx.Exec(ctx, setAnswered, string(f.Outcome), f.Rectified, f.At.UnixMicro(), f.Petition.UUID[:])
	}
	return err
}

// present is the argument for an id that may be absent.
func present(id [16]byte) any {
	if id == [16]byte{} {
		return nil
	}
	return id[:]
}

// Petition is one petition of a citizen.
type Petition struct {
	FirstLeaf int64 // of the petition: its place in lists
	petition.State
}

// PetitionState is how far a petition is on a day.
type PetitionState string

const (
	PetitionOpen     PetitionState = "open"
	PetitionOverdue  PetitionState = "overdue" // open after its deadline
	PetitionAnswered PetitionState = "answered"
)

// StateOn returns how far the petition is on a day.
func (p Petition) StateOn(today domain.Date) PetitionState {
	switch {
	case !p.Open():
		return PetitionAnswered
	case p.Overdue(today):
		return PetitionOverdue
	}
	return PetitionOpen
}

// PetitionFilter narrows a list of petitions to what it names; an empty list of states is all.
type PetitionFilter struct {
	Citizens     []domain.CitizenID // all lives of one person
	Organisation *domain.Organisation
	Petition     *domain.PetitionID
	In           []PetitionState
}

// Petitions returns at most limit petitions as they are on a day, oldest first, from behind the
// FirstLeaf given as cursor; -1 to begin.
func (e *Erasures) Petitions(ctx context.Context, f PetitionFilter, today domain.Date, cursor int64, limit int) ([]Petition, error) {
	in := f.In
	if len(in) == 0 {
		in = []PetitionState{PetitionOpen, PetitionOverdue, PetitionAnswered}
	}
	query, args := selectPetitions, []any{cursor, string(today)}
	for i := range 3 { // the same text for one to three of them
		args = append(args, string(in[min(i, len(in)-1)]))
	}
	if len(f.Citizens) > 0 {
		query += ` AND citizen IN (?` + strings.Repeat(`, ?`, len(f.Citizens)-1) + `)`
		for _, id := range f.Citizens {
			args = append(args, id.UUID[:])
		}
	}
	if f.Organisation != nil {
		query, args = query+` AND organisation = ?`, append(args, string(*f.Organisation))
	}
	if f.Petition != nil {
		query, args = query+` AND petition = ?`, append(args, f.Petition.UUID[:])
	}
	all := []Petition{}
	err := e.view.Select(ctx, query+inOrder, append(args, limit), func(scan func(...any) error) error {
		var one Petition
		var id, of, entry, accessID, document, under []byte
		var restricts, asked, extended, answered int64
		if err := scan(&one.FirstLeaf, &id, &of, &one.Kind, &one.Organisation, &entry, &accessID, &document, &one.Version, &one.Purpose, &restricts, &under, &one.Deadline, &asked, &extended, &one.Outcome, &one.Rectified, &answered); err != nil {
			return err
		}
		copy(one.Petition.UUID[:], id)
		copy(one.Citizen.UUID[:], of)
		copy(one.Entry.UUID[:], entry)
		copy(one.Access.UUID[:], accessID)
		copy(one.Document.UUID[:], document)
		copy(one.Mandate.UUID[:], under)
		one.Restricts, one.At, one.ExtendedAt, one.AnsweredAt = restricts == 1, projections.Instant(asked), projections.Instant(extended), projections.Instant(answered)
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("petitions: %w", err)
	}
	return all, nil
}
