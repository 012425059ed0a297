package disclosure

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"coffre/eventstore"
	"coffre/eventstore/blob"
	"coffre/handlers/acting"
	"coffre/projections/accesslog"
	"coffre/projections/wallet"
)

// Config holds the parts of a Discloser. All fields are required.
type Config struct {
	Recorder  *acting.Recorder
	Opener    eventstore.Opener // of personal parts; nobody gets it from the Discloser
	Codec     eventstore.Codec
	Wallets   *wallet.Wallets
	AccessLog *accesslog.Log
	Blobs     blob.Store // sealed files of documents
}

// Discloser opens personal data for readers who may see it: it judges the basis, records
// the access, reads everything again, and opens (rule A-1). It holds the only Opener of the
// program. Make it with [New]; its methods may be called concurrently.
type Discloser struct {
	*acting.Recorder

	Wallets   *wallet.Wallets
	AccessLog *accesslog.Log
	Blobs     blob.Store // sealed files of documents

	opener   eventstore.Opener
	codec    eventstore.Codec
	refusals refusalQueue                       // to be recorded
	outcomes outcomeQueue                       // of accesses, to be recorded
	proven   *lru.Cache[eventstore.Stream, any] // grants whose facts were proven, without their personal part
}

// New returns a Discloser; [Discloser.Run] has to run beside it.
func New(c Config) *Discloser {
	proven, err := lru.New[eventstore.Stream, any](maxProven)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &Discloser{Recorder: c.Recorder, Wallets: c.Wallets, AccessLog: c.AccessLog, Blobs: c.Blobs, opener: c.Opener, codec: c.Codec, proven: proven}
}
