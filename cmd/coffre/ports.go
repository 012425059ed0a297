package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"

	"coffre/cmd/coffre/vault"
	"coffre/handlers/edge"
)

// ports are the addresses and the socket on which a process answers. They listen before the
// vault is open, so that whoever looks after the process sees how far it is.
type ports struct {
	logger  *slog.Logger
	servers []*http.Server
	stopped chan error // told when a server ends
}

// maxPorts is how many there may be, so that none waits to tell that it ended.
const maxPorts = 4

func newPorts(logger *slog.Logger) *ports {
	return &ports{logger: logger, stopped: make(chan error, maxPorts)}
}

// open listens to an address and answers with a handler until another one takes its place, over
// TLS where there are certificates.
func (p *ports) open(ctx context.Context, address string, secure *vault.Certificates, first http.Handler) (where string, r *relay, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return "", nil, err
	}
	where = l.Addr().String()
	if secure != nil {
		l = secure.Listener(l)
	}
	r = &relay{}
	r.become(first)
	p.serve(edge.NewHTTPServer(r), l)
	return where, r, nil
}

// serve answers on a listener.
func (p *ports) serve(server *http.Server, l net.Listener) {
	server.ErrorLog = slog.NewLogLogger(p.logger.Handler(), slog.LevelDebug)
	p.servers = append(p.servers, server)
	go func() { p.stopped <- server.Serve(edge.StrictListener(l)) }()
}

// shutdown lets requests under way end, until ctx does.
func (p *ports) shutdown(ctx context.Context) error {
	var all []error
	for _, server := range p.servers {
		all = append(all, server.Shutdown(ctx))
	}
	return errors.Join(all...)
}

// close ends whatever is left.
func (p *ports) close() {
	for _, server := range p.servers {
		_ = server.Close() // nobody waits for an answer any more
	}
}

// relay answers with the handler that it was given last.
type relay struct{ now atomic.Pointer[http.Handler] }

// become lets requests that come from now on be answered by h. A nil relay is of no address.
func (r *relay) become(h http.Handler) {
	if r != nil {
		r.now.Store(&h)
	}
}

// ServeHTTP implements http.Handler.
func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	(*r.now.Load()).ServeHTTP(w, req)
}
