package seal

import (
	"context"
	"fmt"

	"coffre/eventstore/seal/keysdb"
)

// Migrate makes the ring's tables, or brings them up to date, and puts nothing into
// them: for the target of a copy. [OpenRing] does the same first.
func Migrate(ctx context.Context, db *keysdb.DB) error {
	if err := db.MigrateSums(ctx); err != nil {
		return err
	}
	return db.Migrate(ctx, "seal", migrations)
}

// HasKeys reports whether a key database holds keys. Then there is a key-encryption key that
// wrapped them, and no other opens them. It changes nothing.
func HasKeys(ctx context.Context, db *keysdb.DB) (bool, error) {
	if made, err := db.Has(ctx, "deployment_keys"); err != nil || !made {
		return false, err
	}
	rows, err := keysdb.Do(ctx, db, func(tx *keysdb.Tx) (n int64, err error) {
		err = tx.Row(`SELECT count(*) FROM deployment_keys`, nil, &n)
		return n, err
	})
	if err != nil {
		return false, fmt.Errorf("look for keys: %w", err)
	}
	return rows > 0, nil
}

// migrations of the ring's tables; steps are added, never edited. Identifiers and
// keys are raw bytes, times are microseconds since 1970 UTC.
//
// Rows with key material are only ever appended and overwritten where they lie
// (a table by row number, random keys in its indexes only), so that pages are not
// split and no copy of a key stays behind in one.
var migrations = []string{`
CREATE TABLE deployment_keys (
	name        TEXT    NOT NULL,
	version     INTEGER NOT NULL,
	wrapped     BLOB    NOT NULL,
	kek_version INTEGER NOT NULL,
	created     INTEGER NOT NULL,
	PRIMARY KEY (name, version)
) STRICT;

CREATE TABLE subjects (
	id          INTEGER PRIMARY KEY,
	citizen     BLOB    NOT NULL UNIQUE,
	state       INTEGER NOT NULL,
	wrapped     BLOB,             -- the DEK; NULL once destroyed
	kek_version INTEGER NOT NULL, -- 0 once destroyed
	created     INTEGER NOT NULL
) STRICT;
CREATE INDEX subjects_unsettled ON subjects (state) WHERE state IN (1, 3);

CREATE TABLE subject_ssins (
	id             INTEGER PRIMARY KEY,
	blind          BLOB    NOT NULL UNIQUE, -- HMAC of the SSIN under the pepper
	pepper_version INTEGER NOT NULL,
	citizen        BLOB    NOT NULL,
	sealed         BLOB    NOT NULL,        -- the SSIN under a sub-key of the DEK
	suppression    BLOB    NOT NULL         -- HMAC of the SSIN under the suppression key
) STRICT;
CREATE INDEX subject_ssins_citizen ON subject_ssins (citizen);

CREATE TABLE citizen_refs (
	ref          BLOB NOT NULL PRIMARY KEY,
	citizen      BLOB NOT NULL,
	organisation TEXT NOT NULL,
	UNIQUE (citizen, organisation)
) STRICT;

CREATE TABLE stream_keys (
	id      INTEGER PRIMARY KEY,
	stream  TEXT    NOT NULL UNIQUE,
	citizen BLOB    NOT NULL,
	key_id  BLOB    NOT NULL,
	state   INTEGER NOT NULL,
	wrapped BLOB              -- the content key under the DEK; NULL once destroyed
) STRICT;
CREATE INDEX stream_keys_citizen ON stream_keys (citizen);

CREATE TABLE suppressions (
	ssin  BLOB    NOT NULL PRIMARY KEY, -- HMAC of the SSIN under the suppression key
	until INTEGER NOT NULL,             -- 0: without end
	basis TEXT    NOT NULL
) STRICT;

-- What may no longer be used, in the order it was decided: every process reads on
-- from where it was when it renews its lease.
CREATE TABLE destructions (
	seq     INTEGER PRIMARY KEY,
	citizen BLOB,
	stream  TEXT,
	at      INTEGER NOT NULL
) STRICT;
CREATE TABLE destruction_clock (
	id  INTEGER PRIMARY KEY CHECK (id = 1),
	seq INTEGER NOT NULL
) STRICT;
INSERT INTO destruction_clock (id, seq) VALUES (1, 0);
`, `
-- How far each version of the key-encryption key is on its way; 0: not yet.
CREATE TABLE rotations (
	version   INTEGER NOT NULL PRIMARY KEY,
	rotated   INTEGER NOT NULL, -- it became the latest
	rewrapped INTEGER NOT NULL, -- nothing was wrapped by an older one any more
	retired   INTEGER NOT NULL, -- it opens nothing any more
	trimmed   INTEGER NOT NULL  -- it is destroyed
) STRICT;

-- Copies of this database that were restored and read for a test.
CREATE TABLE key_backups (
	sha256         BLOB    NOT NULL PRIMARY KEY,
	taken          INTEGER NOT NULL,
	verified       INTEGER NOT NULL,
	oldest_version INTEGER NOT NULL -- of the key-encryption key, that wraps something in it
) STRICT;
`, `
-- Files on their way into a document; see attachmentState.
CREATE TABLE attachments (
	id         INTEGER PRIMARY KEY,
	attachment BLOB    NOT NULL UNIQUE,
	issuer     TEXT    NOT NULL,
	state      INTEGER NOT NULL,
	wrapped    BLOB,             -- its key and SHA-256 under the deployment key; NULL once a document holds them, or nobody
	type       TEXT    NOT NULL, -- media type
	size       INTEGER NOT NULL, -- bytes; 0 until it was uploaded
	stream     TEXT    NOT NULL, -- of the document that reserved or holds it; or empty
	created    INTEGER NOT NULL,
	changed    INTEGER NOT NULL
) STRICT;
CREATE INDEX attachments_unsettled ON attachments (state) WHERE state <> 4;
CREATE INDEX attachments_stream ON attachments (stream) WHERE state IN (3, 4);
`, `
-- The latest version of the key-encryption key that ever wrapped what was destroyed,
-- and when it was last destroyed; 0: it is not, or was before these were kept.
ALTER TABLE subjects ADD COLUMN destroyed_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subjects ADD COLUMN destroyed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stream_keys ADD COLUMN destroyed_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stream_keys ADD COLUMN destroyed INTEGER NOT NULL DEFAULT 0;

-- Public keys that signed something, for whoever verifies it after they changed.
CREATE TABLE signing_keys (
	purpose TEXT    NOT NULL,
	key_id  TEXT    NOT NULL,
	public  BLOB    NOT NULL,
	noted   INTEGER NOT NULL,
	PRIMARY KEY (purpose, key_id)
) STRICT;
`, `
-- What every change that makes a row asks in its own transaction, and what every
-- search for a number reads with it: a process that is behind finds out at once.
CREATE TABLE ring_state (
	id           INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
	kek_floor    INTEGER NOT NULL, -- nothing is stored that an older version wraps
	pepper_epoch INTEGER NOT NULL, -- counts the steps of pepper rotations
	pepper_phase INTEGER NOT NULL,
	pepper       INTEGER NOT NULL, -- version of the pepper
	next_pepper  INTEGER NOT NULL  -- of the one that replaces it; 0 for none
) STRICT;
INSERT INTO ring_state (id, kek_floor, pepper_epoch, pepper_phase, pepper, next_pepper) VALUES (1, 1, 0, 1, 1, 0);

-- While the pepper is replaced a number has two rows. ordinal is what they share:
-- the latest number of a citizen has the highest.
ALTER TABLE subject_ssins ADD COLUMN ordinal INTEGER NOT NULL DEFAULT 0;
UPDATE subject_ssins SET ordinal = id;
`, `
-- Changed where there is nobody to make a key for, so that it is waited for as long.
CREATE TABLE imitations (
	id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
	n  INTEGER NOT NULL
) STRICT;
INSERT INTO imitations (id, n) VALUES (1, 0);
`, `
-- Destroyed content keys that lie in old copies under the present data key of their
-- citizen, until that one is replaced.
CREATE TABLE exposed_streams (
	id      INTEGER PRIMARY KEY,
	stream  TEXT    NOT NULL UNIQUE,
	citizen BLOB    NOT NULL
) STRICT;
CREATE INDEX exposed_streams_citizen ON exposed_streams (citizen);
INSERT INTO exposed_streams (stream, citizen)
	SELECT k.stream, k.citizen FROM stream_keys k JOIN subjects s ON s.citizen = k.citizen WHERE k.state = 2 AND s.state <> 4;

-- Citizens whose data key was replaced. The first one, number 1, gave the keys of their
-- document ids, content tags and sealed numbers; these stay, under each later one.
CREATE TABLE index_keys (
	id      INTEGER PRIMARY KEY,
	citizen BLOB    NOT NULL UNIQUE,
	dek     INTEGER NOT NULL, -- number of the present data key, from 2
	wrapped BLOB    NOT NULL  -- the three keys under it
) STRICT;
`, `
-- The version of the deployment key that seals a file's key.
ALTER TABLE attachments ADD COLUMN key_version INTEGER NOT NULL DEFAULT 1;
`, `
-- Each row carries a MAC: see rows.go.
ALTER TABLE deployment_keys ADD COLUMN mac BLOB;
ALTER TABLE subjects ADD COLUMN mac BLOB;
ALTER TABLE subject_ssins ADD COLUMN mac BLOB;
ALTER TABLE citizen_refs ADD COLUMN mac BLOB;
ALTER TABLE stream_keys ADD COLUMN mac BLOB;
ALTER TABLE index_keys ADD COLUMN mac BLOB;
ALTER TABLE exposed_streams ADD COLUMN mac BLOB;
ALTER TABLE suppressions ADD COLUMN mac BLOB;
ALTER TABLE destructions ADD COLUMN mac BLOB;
ALTER TABLE destruction_clock ADD COLUMN mac BLOB;
ALTER TABLE rotations ADD COLUMN mac BLOB;
ALTER TABLE key_backups ADD COLUMN mac BLOB;
ALTER TABLE attachments ADD COLUMN mac BLOB;
ALTER TABLE signing_keys ADD COLUMN mac BLOB;
ALTER TABLE ring_state ADD COLUMN mac BLOB;

-- A second way to each number and to each suppression, so that no damaged column hides one.
CREATE INDEX subject_ssins_suppression ON subject_ssins (suppression);
ALTER TABLE suppressions ADD COLUMN echo BLOB;
CREATE UNIQUE INDEX suppressions_echo ON suppressions (echo);

-- Restores of a copy of which the next process that has the key takes note.
CREATE TABLE restores (
	id INTEGER PRIMARY KEY,
	at INTEGER NOT NULL
) STRICT;
`, `
-- The digests of suppressions in their order, each with the next one: see suppression_order.go.
CREATE TABLE suppression_order (
	ssin BLOB NOT NULL PRIMARY KEY, -- empty: the beginning
	next BLOB NOT NULL,             -- empty: the end
	mac  BLOB
) STRICT;
`, `
-- The day in Belgium on which the person was erased, for whoever reviews what is remembered: the
-- moment would lead to the events of the erasure. 0: it was not kept.
ALTER TABLE suppressions ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
`, `
-- The version of the suppression key that the digest is under.
ALTER TABLE suppressions ADD COLUMN key_version INTEGER NOT NULL DEFAULT 1;
`, `
-- A citizen's keys are found in one place of it: names of streams are random. No row of the table is
-- ever deleted, so what is left in the pages of the other index is in it, too (keysdb: oldIndex).
CREATE INDEX stream_keys_citizen_stream ON stream_keys (citizen, stream);
DROP INDEX stream_keys_citizen;
`}
