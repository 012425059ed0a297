// Package wire speaks the protocol of KurrentDB (EventStoreDB) over any
// eventstore.Store, so that the official clients of any language read the log and
// subscribe to it, with filters and checkpoints, and our own adapter appends.
//
// What cannot be said to a Store is refused, never half done: deleting, tombstones,
// stream metadata, persistent subscriptions. Records travel as package form
// says: what is personal stays sealed.
//
// Invariant: nobody writes unless [Options].Append is set, and off loopback nobody
// is served without TLS and a password.
package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"coffre/eventstore"
)

const (
	maxMessage = 17 << 20 // what official clients send and take at most
	maxStreams = 1024     // calls at the same time on one connection
	handshake  = 10 * time.Second

	maxHTTP1Headers = 16 << 10 // bytes
	// Clients ping every 10 s, calls or not. The default of the library would end
	// their connections for it.
	pingsAllowed = 5 * time.Second
	// A client that is gone without a word is noticed after these two.
	pingIdle, pingWait = 30 * time.Second, 10 * time.Second
	grace              = 2 * time.Second // for calls under way when the server stops
)

// ErrNotPrivate: the address is not loopback, and TLS or passwords are missing.
var ErrNotPrivate = errors.New("wire: off loopback the protocol is served with TLS and passwords only")

// Options of a Server. Store is required.
type Options struct {
	Store eventstore.Store
	// Append lets clients append records in the form of package form.
	Append bool
	// Allow says whether a name and password may come in; nil lets everybody in, on
	// loopback only.
	Allow func(name, password string) bool
	// Refused is called for every call that shows no good password. nil: not called.
	Refused func()
	// Dropped is called for every connection that is closed because there are too many, or
	// because no call on it was let in within 20 seconds. nil: not called.
	Dropped func()
	// Paused is called when an address has sent so many wrong passwords that those of it are
	// not looked at for a while. nil: not called.
	Paused func()
	// Reading is told of every read and subscription before anything is answered; an error
	// refuses it. nil: nobody is told.
	Reading func(context.Context, Reading) error
	// HTTP1 wraps the listener of the connections that speak HTTP/1, which have left TLS already;
	// whoever serves strangers puts one there that refuses ambiguous requests. nil: such a
	// connection is closed without an answer.
	HTTP1 func(net.Listener) net.Listener
	// TLS, with a certificate, makes the server speak TLS only.
	TLS *tls.Config
	// Logger gets what fails inside; default: nothing is logged.
	Logger *slog.Logger
}

// Reading says who reads what: a read of any direction, or a subscription.
type Reading struct {
	Name   string              // the reader's, who showed a password; "" where none is asked for
	Stream eventstore.Stream   // "": the whole log
	From   eventstore.Position // of the whole log, where a reading forwards begins; zero: at the beginning, or not known
}

// Server serves one store. Make it with [New]; its methods may be called concurrently.
type Server struct {
	o     Options
	grpc  *grpc.Server
	other *http.Server // answers HTTP/1, where Options.HTTP1 lets it
	id    uuid.UUID    // of this member, for gossip
	door  *doorkeeper

	life context.Context // ends when the server stops
	stop context.CancelFunc

	streams.UnimplementedStreamsServer
	serverfeatures.UnimplementedServerFeaturesServer
}

// New returns a server that does not listen yet.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, id: uuid.New(), door: newDoorkeeper(o)}
	s.life, s.stop = context.WithCancel(context.Background())
	s.grpc = grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshake),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsAllowed, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingIdle, Timeout: pingWait}),
		grpc.UnaryInterceptor(s.admitCall),
		grpc.StreamInterceptor(s.admitStream),
	)
	streams.RegisterStreamsServer(s.grpc, s)
	serverfeatures.RegisterServerFeaturesServer(s.grpc, s)
	gossip.RegisterGossipServer(s.grpc, member{id: s.id})
	s.other = &http.Server{
		Handler:           http.HandlerFunc(http.NotFound),
		ReadHeaderTimeout: handshake,
		IdleTimeout:       handshake,
		MaxHeaderBytes:    maxHTTP1Headers,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve takes connections from l until Close, which makes it return nil, or until l
// fails. It closes l. It returns ErrNotPrivate at once where l is not loopback and
// TLS or passwords are missing.
func (s *Server) Serve(l net.Listener) error {
	if !loopback(l.Addr()) && (s.o.TLS == nil || s.o.Allow == nil) {
		return errors.Join(ErrNotPrivate, l.Close())
	}
	m := newMux(l, s.o.TLS, s.door)
	var running sync.WaitGroup
	running.Go(func() { _ = s.grpc.Serve(m.grpc) }) // both end when the mux does
	if s.o.HTTP1 != nil {
		m.other = &lane{m, make(chan net.Conn)}
		running.Go(func() { _ = s.other.Serve(s.o.HTTP1(m.other)) })
	}
	end := context.AfterFunc(s.life, m.close)
	err := m.run()
	end()
	s.Close()
	running.Wait()
	if s.life.Err() != nil && errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Close ends everything: subscriptions at once, other calls after two seconds at
// most. The store stays open. A second Close does nothing.
func (s *Server) Close() {
	s.stop()
	_ = s.other.Close() // what it serves is not worth waiting for
	hard := time.AfterFunc(grace, s.grpc.Stop)
	defer hard.Stop()
	s.grpc.GracefulStop()
}

func loopback(a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}
