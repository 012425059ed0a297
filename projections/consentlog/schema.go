package consentlog

import "coffre/projections"

// Times are microseconds since 1970, ids sixteen bytes; a leaf that has not come is
// projections.Latest. Nothing here is ever shortened but shown, which holds the sealed parts.
var schema = projections.Schema{
	Tables: `
CREATE TABLE consents (
	from_leaf BIGINT PRIMARY KEY,
	consent BYTEA NOT NULL,
	citizen BYTEA NOT NULL,
	consumer TEXT NOT NULL,
	purpose TEXT NOT NULL,
	requested_leaf BIGINT NOT NULL,
	requested_at BIGINT NOT NULL,
	requested_until BIGINT NOT NULL,
	requested_terms TEXT NOT NULL,
	tracked BIGINT NOT NULL,
	granted_leaf BIGINT NOT NULL,
	granted_at BIGINT NOT NULL,
	granted_until BIGINT NOT NULL,
	granted_terms TEXT NOT NULL,
	granted_mandate BYTEA,
	max_uses BIGINT NOT NULL,
	ended_leaf BIGINT NOT NULL,
	ended_at BIGINT NOT NULL,
	ended_as TEXT NOT NULL,
	ended_mandate BYTEA,
	reason TEXT NOT NULL,
	renews BYTEA
);
CREATE INDEX consents_consent ON consents (consent);

CREATE TABLE covered (
	type TEXT NOT NULL,
	consent BYTEA NOT NULL,
	PRIMARY KEY (type, consent)
);

CREATE TABLE decisions (
	leaf BIGINT PRIMARY KEY,
	consent BYTEA NOT NULL,
	citizen BYTEA NOT NULL,
	consumer TEXT NOT NULL,
	purpose TEXT NOT NULL,
	kind TEXT NOT NULL,
	at BIGINT NOT NULL,
	until_at BIGINT NOT NULL,
	mandate BYTEA,
	reason TEXT NOT NULL
);

CREATE TABLE uses (
	leaf BIGINT PRIMARY KEY,
	consent BYTEA NOT NULL,
	access BYTEA NOT NULL,
	at BIGINT NOT NULL
);

CREATE TABLE shown (
	leaf BIGINT PRIMARY KEY,
	consent BYTEA NOT NULL,
	citizen BYTEA NOT NULL,
	kind TEXT NOT NULL,
	stream TEXT NOT NULL,
	event BYTEA NOT NULL,
	event_type TEXT NOT NULL,
	sealed BYTEA NOT NULL
);

CREATE TABLE erased (citizen BYTEA PRIMARY KEY, leaf BIGINT NOT NULL);
`,
	Indexes: `
CREATE INDEX consents_citizen ON consents (citizen, from_leaf);
CREATE INDEX consents_consumer ON consents (consumer, from_leaf);
CREATE INDEX consents_renews ON consents (renews) WHERE renews IS NOT NULL;
CREATE INDEX decisions_citizen ON decisions (citizen, leaf);
CREATE INDEX decisions_consumer ON decisions (consumer, leaf);
CREATE INDEX uses_consent ON uses (consent, leaf);
CREATE INDEX shown_consent ON shown (consent, leaf);
CREATE INDEX shown_citizen ON shown (citizen);
`,
	Settle: `
DELETE FROM shown WHERE citizen IN (SELECT citizen FROM erased);
`,
}
