package wallet

import (
	"coffre/projections"
	"coffre/projections/grants"
)

// Rows of versions are one version of a document in one state: a new version or
// state closes the open row at its leaf and starts another. Times are microseconds
// since 1970, dates yyyy-MM-dd or empty, ids sixteen bytes; "for ever" in a leaf
// column is projections.Latest.
var schema = projections.Schema{
	Tables: grants.Schema.Tables + `
CREATE TABLE versions (
	from_leaf BIGINT PRIMARY KEY,
	to_leaf BIGINT NOT NULL,
	citizen BYTEA NOT NULL,
	document BYTEA NOT NULL,
	type TEXT NOT NULL,
	issuer TEXT NOT NULL,
	issued_leaf BIGINT NOT NULL,
	issued_at BIGINT NOT NULL,
	changed_at BIGINT NOT NULL,
	version BIGINT NOT NULL,
	state TEXT NOT NULL,
	reason TEXT NOT NULL,
	valid_from TEXT NOT NULL,
	valid_until TEXT NOT NULL,
	effective_from TEXT NOT NULL,
	revoked_from TEXT NOT NULL,
	personal_validity BIGINT NOT NULL,
	destroyed BIGINT NOT NULL,
	stream TEXT NOT NULL,
	event BYTEA NOT NULL,
	event_type TEXT NOT NULL,
	sealed BYTEA
);
CREATE INDEX versions_document ON versions (document, to_leaf);

CREATE TABLE mandates (
	from_leaf BIGINT PRIMARY KEY,
	accepted_leaf BIGINT NOT NULL,
	to_leaf BIGINT NOT NULL,
	mandate BYTEA NOT NULL,
	citizen BYTEA NOT NULL,
	representative BYTEA NOT NULL,
	kind TEXT NOT NULL,
	scope TEXT NOT NULL,
	source TEXT NOT NULL,
	granted_at BIGINT NOT NULL,
	accepted_at BIGINT NOT NULL,
	ended_at BIGINT NOT NULL,
	reason TEXT NOT NULL,
	stream TEXT NOT NULL,
	event BYTEA NOT NULL,
	event_type TEXT NOT NULL,
	sealed BYTEA
);
CREATE INDEX mandates_mandate ON mandates (mandate);

CREATE TABLE lives (
	from_leaf BIGINT PRIMARY KEY,
	to_leaf BIGINT NOT NULL,
	former BYTEA NOT NULL,
	survivor BYTEA NOT NULL
);
CREATE INDEX lives_former ON lives (former);
CREATE INDEX lives_survivor ON lives (survivor);
`,
	Indexes: grants.Schema.Indexes + `
CREATE INDEX versions_citizen ON versions (citizen, issued_leaf, to_leaf, from_leaf);
CREATE INDEX versions_issuer ON versions (issuer, issued_leaf);
CREATE INDEX mandates_representative ON mandates (representative, to_leaf);
CREATE INDEX mandates_citizen ON mandates (citizen, to_leaf);
`,
	Settle: grants.Schema.Settle + `
DELETE FROM versions WHERE citizen IN (SELECT citizen FROM erased);
DELETE FROM mandates WHERE citizen IN (SELECT citizen FROM erased) OR representative IN (SELECT citizen FROM erased);
DELETE FROM lives WHERE former IN (SELECT citizen FROM erased) OR survivor IN (SELECT citizen FROM erased);
`,
}
