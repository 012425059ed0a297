package accesslog

import "coffre/projections"

// Times are microseconds since 1970, days are those of Belgium, counted from 1970, ids have
// sixteen bytes. Entries and outcomes are only ever added to; an erasure empties
// sealed. The three counters follow from entries. The time since which a citizen is known, and
// of each loss of the log that was accepted, tells since when the log is complete.
var schema = projections.Schema{
	Tables: `
CREATE TABLE entries (
	leaf BIGINT PRIMARY KEY,
	citizen BYTEA NOT NULL,
	at BIGINT NOT NULL,
	day BIGINT NOT NULL,
	kind TEXT NOT NULL,
	access BYTEA,
	attempt BIGINT NOT NULL,
	role TEXT NOT NULL,
	consumer TEXT NOT NULL,
	on_behalf_of TEXT NOT NULL,
	reader BYTEA,
	document BYTEA,
	version BIGINT NOT NULL,
	type TEXT NOT NULL,
	purpose TEXT NOT NULL,
	procedure_code TEXT NOT NULL,
	consent BYTEA,
	legal_basis TEXT NOT NULL,
	deliberation TEXT NOT NULL,
	mandate BYTEA,
	fields TEXT NOT NULL,
	predicate TEXT NOT NULL,
	answers TEXT NOT NULL,
	reason TEXT NOT NULL,
	count BIGINT NOT NULL,
	spared BIGINT NOT NULL,
	investigation BYTEA,
	stream TEXT NOT NULL,
	event BYTEA NOT NULL,
	event_type TEXT NOT NULL,
	sealed BYTEA,
	call_operation TEXT NOT NULL,
	call_token BYTEA,
	call_client TEXT NOT NULL
);

CREATE TABLE outcomes (
	leaf BIGINT PRIMARY KEY,
	access BYTEA NOT NULL,
	attempt BIGINT NOT NULL,
	outcome TEXT NOT NULL,
	reason TEXT NOT NULL,
	at BIGINT NOT NULL
);

CREATE TABLE reached (
	consumer TEXT NOT NULL,
	day BIGINT NOT NULL,
	citizen BYTEA NOT NULL,
	PRIMARY KEY (consumer, day, citizen)
);
CREATE TABLE reach (
	consumer TEXT NOT NULL,
	day BIGINT NOT NULL,
	citizens BIGINT NOT NULL,
	PRIMARY KEY (consumer, day)
);
CREATE TABLE spared (
	consumer TEXT NOT NULL,
	procedure_code TEXT NOT NULL,
	day BIGINT NOT NULL,
	questions BIGINT NOT NULL,
	PRIMARY KEY (consumer, procedure_code, day)
);

CREATE TABLE erased (citizen BYTEA PRIMARY KEY, leaf BIGINT NOT NULL);

CREATE TABLE known (citizen BYTEA PRIMARY KEY, since BIGINT NOT NULL);
CREATE TABLE losses (leaf BIGINT PRIMARY KEY, at BIGINT NOT NULL);
` + investigationTables,
	Indexes: `
CREATE INDEX entries_citizen ON entries (citizen, leaf);
CREATE INDEX outcomes_access ON outcomes (access, attempt);
CREATE INDEX entries_investigation ON entries (investigation) WHERE investigation IS NOT NULL;
`,
	Settle: `
UPDATE entries SET sealed = NULL WHERE sealed IS NOT NULL AND citizen IN (SELECT citizen FROM erased);
INSERT INTO reached (consumer, day, citizen)
	SELECT DISTINCT consumer, day, citizen FROM entries WHERE role = 'consumer' AND reason = '';
INSERT INTO reach (consumer, day, citizens)
	SELECT consumer, day, count(*) FROM reached GROUP BY consumer, day;
INSERT INTO spared (consumer, procedure_code, day, questions)
	SELECT consumer, procedure_code, day, sum(spared) FROM entries WHERE spared > 0
	GROUP BY consumer, procedure_code, day;
`,
}
