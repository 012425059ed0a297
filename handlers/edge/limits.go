package edge

import (
	"net/http"
	"time"
)

// Limits on what one request may cost. What the contract can say, it says.
const (
	MaxBody    = 320 << 10 // bytes of a body: content of 256 KiB and what goes with it
	MaxDepth   = 32        // levels of JSON; documents of the launch types have six
	MaxTarget  = 4 << 10   // bytes of a request's path and query
	MaxToken   = 8 << 10   // bytes of a bearer token
	maxHeaders = 32 << 10  // bytes of all headers

	// MaxTime bounds a request from its first byte to its answer. Exports stream
	// longer and extend their own deadline.
	MaxTime = 30 * time.Second

	readHeaders = 5 * time.Second
	readAll     = 20 * time.Second
	writeAll    = 60 * time.Second
	idle        = 2 * time.Minute
)

// NewHTTPServer returns a server for h with every limit of this package set.
func NewHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, MaxHeaderBytes: maxHeaders,
		ReadHeaderTimeout: readHeaders, ReadTimeout: readAll, WriteTimeout: writeAll, IdleTimeout: idle,
	}
}
