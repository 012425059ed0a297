package work

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"coffre/domain/citizen"
	"coffre/eventstore/certificates"
	"coffre/eventstore/jobs"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/shred"
	"coffre/handlers/disclosure"
	"coffre/projections"
	"coffre/projections/consentlog"
	"coffre/projections/erasures"
	"coffre/projections/transparency"
)

// Config holds the parts of a Worker. All fields are required unless they say otherwise.
type Config struct {
	Discloser *disclosure.Discloser
	// Destroyer destroys keys and is used by nothing else, like Rotator, which replaces them.
	// nil: this process may not.
	Destroyer *seal.Destroyer
	Rotator   *seal.Rotator
	// Others says that processes of their own destroy and replace keys for this vault, so
	// that what is approved here is carried out, and its certificate signed, elsewhere.
	Others bool
	// Answers says that this process answers requests: it registers who is pending, makes
	// exports, and removes what has expired.
	Answers   bool
	Certified *certificates.Kept // certificates that were signed
	Jobs      *jobs.Table        // what was asked for and goes on, for all processes
	Shreds    *shred.List        // of destroyed keys
	// Compare holds one read model in force against what the log makes of it, beside whoever
	// serves it; told gets the number of events that were taken in. nil: nobody asks this process.
	Compare    func(ctx context.Context, model string, told func(leaves int64)) (projections.Compared, error)
	ConsentLog *consentlog.Log
	Erasures   *erasures.Erasures
	EraseAfter time.Duration // time for which other processes may still use a key: seal.Ring.Lease; 0 when there are none
	Exports    Exports       // nil in a process that answers nobody
	Keeper     string        // place of the key-encryption key, as operators read it
	// Proof publishes checkpoints of the log, which certificates and exports name. nil: none.
	Proof     *transparency.Publisher
	LogSigner seal.Signer // signs the log; its public key is put on record here. nil: none
	// CertificateSigner signs certificates of erasure, and nothing else of the application
	// can (rule E-2). nil: nothing is erased here.
	CertificateSigner seal.Signer
	// Retentions states how long the operator keeps copies of the key ring and of its keeper.
	// nil: none is stated, and no certificate is final (rule E-3).
	Retentions *citizen.Retentions
}

// Worker runs the work that goes on after its request was answered, and destroys and
// replaces keys: erasures, exports, rotation, removal of files that no document names,
// publication of the registry. It holds the only Destroyer and the only Rotator of the
// process, where it has them, and the list of destroyed keys. Make it with [New]; its methods may be called
// concurrently.
type Worker struct {
	*disclosure.Discloser

	ConsentLog *consentlog.Log
	Erasures   *erasures.Erasures
	Proof      *transparency.Publisher // nil: no checkpoint of the log is published

	destroyer  *seal.Destroyer
	rotator    *seal.Rotator
	shreds     *shred.List
	eraseAfter time.Duration
	exports    Exports
	keeper     string
	logSigner  seal.Signer
	others     bool
	answers    bool
	certified  *certificates.Kept
	jobs       *jobs.Table
	compare    func(ctx context.Context, model string, told func(leaves int64)) (projections.Compared, error)
	certifier  seal.Signer         // nil: nothing is erased here
	retentions *citizen.Retentions // nil: none is stated

	tasks    tasks     // queue of the work in the background
	rewrap   progress  // of the last rotation of the key-encryption key
	repepper progress  // of the last rotation of the pepper
	signing  notedKeys // signing keys that are on record
	stops    sync.Map  // what stops each export that is being made here: context.CancelCauseFunc by id
	making   sync.Map  // how many rows each export has so far that is being made here: *atomic.Int64 by id

	removedFiles atomic.Int64 // by sweeps
}

// New returns a Worker; [Worker.Run] has to run beside it.
func New(c Config) *Worker {
	return &Worker{
		Discloser: c.Discloser, ConsentLog: c.ConsentLog, Erasures: c.Erasures, Proof: c.Proof,
		destroyer: c.Destroyer, rotator: c.Rotator, others: c.Others, answers: c.Answers, certified: c.Certified, jobs: c.Jobs, compare: c.Compare, shreds: c.Shreds, eraseAfter: c.EraseAfter, exports: c.Exports, keeper: c.Keeper,
		logSigner: c.LogSigner, certifier: c.CertificateSigner, retentions: c.Retentions,
	}
}
