package api

import (
	"coffre/handlers/work"
	"coffre/projections/evidence"
)

// Vault answers every call of the contract, each by a method that builds a command or asks a
// read model. All fields are required unless they say otherwise; its methods may be called
// concurrently.
type Vault struct {
	*work.Worker

	Evidence *evidence.Evidence
	Backups  Backups // nil: the databases are backed up by their own tools

	auditedReads   recentIDs // readings of the log that are on record
	cachedRegistry registryCache
}
