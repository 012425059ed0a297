package edge

import (
	"net/http"
	"time"
)

// Limits on the cost of one request. Limits that OpenAPI can express stand in the contract.
const (
	MaxBody    = 320 << 10 // bytes of a body: content of 256 KiB and what goes with it
	MaxDepth   = 32        // levels of JSON; documents of the launch types have six
	MaxTarget  = 4 << 10   // bytes of a request's path and query
	maxHeaders = 32 << 10  // bytes of all headers, the largest token that a profile may accept among them

	// maxFindings bounds the issues that one refusal of the gate tells, and maxIssues those of
	// any answer, which the contract states.
	maxFindings, maxIssues = 20, 100

	// MaxTime bounds a request from its first byte to its answer. How long an answer may
	// take to be sent is bounded apart: MaxAnswer, MaxPiece.
	MaxTime = 30 * time.Second

	readHeaderTimeout = 5 * time.Second
	readTimeout       = 20 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
)

// NewHTTPServer returns a server of h with the limits of this package. Its address, its
// listener and its TLS configuration are the caller's to set.
func NewHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, MaxHeaderBytes: maxHeaders,
		DisableGeneralOptionsHandler: true, // OPTIONS * is answered like everything else, with our headers
		ConnContext:                  withConn, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
	}
}
