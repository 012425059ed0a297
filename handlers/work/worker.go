package work

import (
	"time"

	"coffre/domain/citizen"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/shred"
	"coffre/handlers/disclosure"
	"coffre/projections/consentlog"
	"coffre/projections/erasures"
)

// Config is what a Worker is made of. All members are required unless they say
// otherwise.
type Config struct {
	Discloser  *disclosure.Discloser
	Destroyer  *seal.Destroyer // the Worker gives neither of these to anybody
	Rotator    *seal.Rotator
	Shreds     *shred.List // of destroyed keys
	ConsentLog *consentlog.Log
	Erasures   *erasures.Erasures
	EraseAfter time.Duration // how long other processes may still use a key: seal.Ring.Lease; 0 when there are none
	Exports    string        // folder of export files, readable by its owner only
	Keeper     string        // where the key-encryption key lives, as operators read it
	LogSigner  seal.Signer
	// CertificateSigner signs certificates of erasure, which nothing else of the application can
	// (rule E-2). nil: nothing is erased here.
	CertificateSigner seal.Signer
	// Retentions are those that the operator states for copies of the key ring and of its
	// keeper. nil: none is stated, and no certificate is final (rule E-3).
	Retentions *citizen.Retentions
}

// Worker does what goes on after its request was answered, and all that destroys or
// replaces a key: erasures, exports, rotation, files that nobody names, the registry. It
// holds the only Destroyer and the only Rotator of the program, and the list of destroyed
// keys. Make it with [New]; its methods may be called concurrently.
type Worker struct {
	*disclosure.Discloser

	ConsentLog *consentlog.Log
	Erasures   *erasures.Erasures

	destroyer  *seal.Destroyer
	rotator    *seal.Rotator
	shreds     *shred.List
	eraseAfter time.Duration
	exports    string
	keeper     string
	logSigner  seal.Signer
	certifier  seal.Signer         // nil: nothing is erased here
	retentions *citizen.Retentions // nil: none is stated

	tasks    tasks     // that go on after their request was answered
	rewrap   progress  // of the rotation under way, or the last one
	repepper progress  // of the pepper's
	signing  notedKeys // signing keys that are remembered
}

// New returns a Worker; [Worker.Run] has to run beside it.
func New(c Config) *Worker {
	return &Worker{
		Discloser: c.Discloser, ConsentLog: c.ConsentLog, Erasures: c.Erasures,
		destroyer: c.Destroyer, rotator: c.Rotator, shreds: c.Shreds, eraseAfter: c.EraseAfter, exports: c.Exports, keeper: c.Keeper,
		logSigner: c.LogSigner, certifier: c.CertificateSigner, retentions: c.Retentions,
	}
}
