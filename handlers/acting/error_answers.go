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
	errOverloaded        = domain.NewError(domain.Unavailable, "overloaded", "too much is waiting; try again")
	errStoreUnavailable  = domain.NewError(domain.Unavailable, "storeUnavailable", "what you ask cannot be read or recorded now")
	errOutcomeUnknown    = domain.NewError(domain.Unavailable, "outcomeUnknown", "it may or may not have been recorded; repeat it with the same key")
	errModelsUnavailable = domain.NewError(domain.Unavailable, "readModelUnavailable", "what you ask is being made ready; try again")
	errKeysUnavailable   = domain.NewError(domain.Unavailable, "keysUnavailable", "the keys cannot be reached now")
	errNoIdentity        = domain.NewError(domain.Unavailable, "identityNotConfigured", "this server was given no login to do that with; its operator can")
	errDiskFull          = domain.NewError(domain.Full, "storageFull", "there is no room to record it")
	errErased            = domain.NewError(domain.Gone, "erased", "it was erased")
	errFilesUnavailable  = domain.NewError(domain.Unavailable, "filesUnavailable", "files cannot be stored or read now")
	errIntegrity         = domain.NewError(domain.Unavailable, "integrityViolated", "what is stored about this was changed or lost, so nothing of it is answered until it is restored")
	errTooLarge          = domain.NewError(domain.Invalid, "tooLarge", "what would be recorded is too large")
)

// ErrorAnswers pairs each error of the stores, the keys, the read models and the files
// that a caller can wait out, or that answers the call, with its refusal and Retry-After.
// Nobody changes it.
var ErrorAnswers = []edge.ErrorAnswer{
	{Err: eventstore.ErrIntegrity, Refusal: errIntegrity, RetryAfter: time.Hour, Alarm: true}, // a person has to act
	{Err: eventstore.ErrOverloaded, Refusal: errOverloaded, RetryAfter: time.Second},
	{Err: eventstore.ErrTooLarge, Refusal: errTooLarge, RetryAfter: 0},
	{Err: eventstore.ErrDiskFull, Refusal: errDiskFull, RetryAfter: time.Minute},
	{Err: eventstore.ErrFailed, Refusal: errStoreUnavailable, RetryAfter: time.Minute},
	{Err: eventstore.ErrUnavailable, Refusal: errStoreUnavailable, RetryAfter: 5 * time.Second},
	{Err: eventstore.ErrClosed, Refusal: errStoreUnavailable, RetryAfter: 5 * time.Second},
	{Err: eventstore.ErrOutcomeUnknown, Refusal: errOutcomeUnknown, RetryAfter: time.Second},
	{Err: projections.ErrNotReady, Refusal: errModelsUnavailable, RetryAfter: time.Second},
	{Err: eventstore.ErrErased, Refusal: errErased, RetryAfter: 0},
	{Err: seal.ErrNoIdentity, Refusal: errNoIdentity, RetryAfter: time.Minute},
	{Err: eventstore.ErrKeysUnavailable, Refusal: errKeysUnavailable, RetryAfter: 5 * time.Second},
	{Err: blob.ErrUnavailable, Refusal: errFilesUnavailable, RetryAfter: 5 * time.Second},
}
