package acting

import (
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/blob"
	"coffre/eventstore/seal"
	"coffre/handlers/edge"
	"coffre/projections"
)

var (
	errOverloaded = domain.NewError(domain.Unavailable, "overloaded", "too much is waiting; try again")
	errStoreAway  = domain.NewError(domain.Unavailable, "storeUnavailable", "what you ask cannot be read or recorded now")
	errUnknown    = domain.NewError(domain.Unavailable, "outcomeUnknown", "it may or may not have been recorded; repeat it with the same key")
	errModelsAway = domain.NewError(domain.Unavailable, "readModelUnavailable", "what you ask is being made ready; try again")
	errKeysAway   = domain.NewError(domain.Unavailable, "keysUnavailable", "the keys cannot be reached now")
	errNoIdentity = domain.NewError(domain.Unavailable, "identityNotConfigured", "this server was given no login to do that with; its operator can")
	errDiskFull   = domain.NewError(domain.Full, "storageFull", "there is no room to record it")
	errErased     = domain.NewError(domain.Gone, "erased", "it was erased")
	errFilesAway  = domain.NewError(domain.Unavailable, "filesUnavailable", "files cannot be stored or read now")
	errLarge      = domain.NewError(domain.Invalid, "tooLarge", "what would be recorded is too large")
)

// Faults says which refusal stands for an error of the stores, the keys, the read models
// and the files: what callers can wait out, and what is the answer to what they asked.
var Faults = []edge.Fault{
	{Is: eventstore.ErrOverloaded, Says: errOverloaded, RetryAfter: time.Second},
	{Is: eventstore.ErrTooLarge, Says: errLarge, RetryAfter: 0},
	{Is: eventstore.ErrDiskFull, Says: errDiskFull, RetryAfter: time.Minute},
	{Is: eventstore.ErrFailed, Says: errStoreAway, RetryAfter: time.Minute},
	{Is: eventstore.ErrUnavailable, Says: errStoreAway, RetryAfter: 5 * time.Second},
	{Is: eventstore.ErrClosed, Says: errStoreAway, RetryAfter: 5 * time.Second},
	{Is: eventstore.ErrOutcomeUnknown, Says: errUnknown, RetryAfter: time.Second},
	{Is: projections.ErrNotReady, Says: errModelsAway, RetryAfter: time.Second},
	{Is: eventstore.ErrErased, Says: errErased, RetryAfter: 0},
	{Is: seal.ErrNoIdentity, Says: errNoIdentity, RetryAfter: time.Minute},
	{Is: eventstore.ErrKeysUnavailable, Says: errKeysAway, RetryAfter: 5 * time.Second},
	{Is: blob.ErrUnavailable, Says: errFilesAway, RetryAfter: 5 * time.Second},
}
