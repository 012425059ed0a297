package seal

import (
	"context"

	"coffre/domain"
	"coffre/eventstore/seal/keysdb"
)

// The ring's tables. Every row carries a MAC, so that changed bits are noticed by whoever
// reads the row and by [Ring.Check], and a sum over the rows tells when one is gone:
// docs/decisions/0015. Rows are written with the methods of keysdb.Tx that take a table.
//
// Columns may only be added, at the end, and to Added.
var (
	deploymentKeys = &keysdb.Table{Name: "deployment_keys", Key: []string{"name", "version"},
		Columns: []string{"name", "version", "wrapped", "kek_version", "created"}}
	subjects = &keysdb.Table{Name: "subjects", Number: "id", Key: []string{"citizen"},
		Columns: []string{"citizen", "state", "wrapped", "kek_version", "created", "destroyed_version", "destroyed"}}
	numbers = &keysdb.Table{Name: "subject_ssins", Number: "id", Key: []string{"blind"},
		Columns: []string{"blind", "pepper_version", "citizen", "sealed", "suppression", "ordinal"}}
	references = &keysdb.Table{Name: "citizen_refs", Key: []string{"ref"},
		Columns: []string{"ref", "citizen", "organisation"}}
	streamKeys = &keysdb.Table{Name: "stream_keys", Number: "id", Key: []string{"stream"},
		Columns: []string{"stream", "citizen", "key_id", "state", "wrapped", "destroyed_version", "destroyed"}}
	indexKeys = &keysdb.Table{Name: "index_keys", Number: "id", Key: []string{"citizen"},
		Columns: []string{"citizen", "dek", "wrapped"}}
	exposedStreams = &keysdb.Table{Name: "exposed_streams", Number: "id", Key: []string{"stream"},
		Columns: []string{"stream", "citizen"}}
	suppressions = &keysdb.Table{Name: "suppressions", Key: []string{"ssin"},
		Columns: []string{"ssin", "until", "basis", "echo", "since", "key_version"}, Added: map[string]any{"since": 0, "key_version": 1}}
	suppressionOrder = &keysdb.Table{Name: "suppression_order", Key: []string{"ssin"},
		Columns: []string{"ssin", "next"}}
	destructions = &keysdb.Table{Name: "destructions", Key: []string{"seq"},
		Columns: []string{"seq", "citizen", "stream", "at"}}
	destructionClock = &keysdb.Table{Name: "destruction_clock", Key: []string{"id"},
		Columns: []string{"id", "seq"}}
	rotations = &keysdb.Table{Name: "rotations", Key: []string{"version"},
		Columns: []string{"version", "rotated", "rewrapped", "retired", "trimmed"}}
	keyBackups = &keysdb.Table{Name: "key_backups", Key: []string{"sha256"},
		Columns: []string{"sha256", "taken", "verified", "oldest_version"}}
	attachments = &keysdb.Table{Name: "attachments", Number: "id", Key: []string{"attachment"},
		Columns: []string{"attachment", "issuer", "state", "wrapped", "type", "size", "stream", "created", "changed", "key_version"}}
	signingKeys = &keysdb.Table{Name: "signing_keys", Key: []string{"purpose", "key_id"},
		Columns: []string{"purpose", "key_id", "public", "noted"}}
	ringStates = &keysdb.Table{Name: "ring_state", Key: []string{"id"},
		Columns: []string{"id", "kek_floor", "pepper_epoch", "pepper_phase", "pepper", "next_pepper"}}
)

// tables are all of the ring's.
var tables = []*keysdb.Table{
	deploymentKeys, subjects, numbers, references, streamKeys, indexKeys, exposedStreams, suppressions, destructions, destructionClock,
	rotations, keyBackups, attachments, signingKeys, ringStates, suppressionOrder,
}

// everybodys are the tables whose rows concern everybody: with one of them damaged the
// ring does not open. They are short, and so is suppressions, which a start verifies too.
var everybodys = []*keysdb.Table{deploymentKeys, ringStates}

// citizenOf returns the citizen that a row names.
func citizenOf(e *keysdb.Entry) (domain.CitizenID, error) { return citizenID(e.Bytes("citizen")) }

// stateOfEntry returns the state of a row of subjects.
func stateOfEntry(e *keysdb.Entry) state { return state(e.Int("state")) }

// Check verifies every row of the key database, those of its other components too, as of
// one moment, and returns the damaged ones. [keysdb.DB.Check] says more.
func (r *Ring) Check(ctx context.Context) ([]keysdb.Damage, error) {
	found, err := r.db.Check(ctx)
	return found, unavailable(ctx, "verify the key database", err)
}
