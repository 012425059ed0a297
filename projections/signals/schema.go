package signals

import "coffre/projections"

// Times are microseconds since 1970, ids sixteen bytes; sixteen zeroes where a reading by law
// names no consent.
var schema = projections.Schema{
	Tables: `
CREATE TABLE documents (
	document BYTEA PRIMARY KEY,
	citizen BYTEA NOT NULL,
	issuer TEXT NOT NULL,
	type TEXT NOT NULL,
	version BIGINT NOT NULL,
	changes BIGINT NOT NULL,
	state TEXT NOT NULL
);

CREATE TABLE readings (
	consumer TEXT NOT NULL,
	document BYTEA NOT NULL,
	consent BYTEA NOT NULL,
	purpose TEXT NOT NULL,
	procedure_code TEXT NOT NULL,
	legal_basis TEXT NOT NULL,
	deliberation TEXT NOT NULL,
	PRIMARY KEY (document, consumer, consent, purpose, procedure_code, legal_basis, deliberation)
);

CREATE TABLE parties (
	id BYTEA PRIMARY KEY,
	citizen BYTEA NOT NULL,
	organisation TEXT NOT NULL,
	kind TEXT NOT NULL,
	document BYTEA
);

CREATE TABLE signals (
	role TEXT NOT NULL,
	organisation TEXT NOT NULL,
	leaf BIGINT NOT NULL,
	event BYTEA NOT NULL,
	what TEXT NOT NULL,
	id BYTEA NOT NULL,
	citizen BYTEA NOT NULL,
	document BYTEA,
	type TEXT NOT NULL,
	issuer TEXT NOT NULL,
	version BIGINT NOT NULL,
	changes BIGINT NOT NULL,
	state TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (role, organisation, leaf)
);

CREATE INDEX signals_at ON signals (at);
`,
}
