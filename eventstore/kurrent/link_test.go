package kurrent

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"coffre/eventstore"
	"coffre/eventstore/kurrent/wire"
	"coffre/eventstore/memory"
)

// TestCallThatNeverEnds: the client can leave a call waiting for ever, whatever its
// context says. Its caller is not, nor is whoever closes the store.
func TestCallThatNeverEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := wire.New(wire.Options{Store: memory.New()})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		server.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	s, err := Open(t.Context(), "esdb://"+l.Addr().String()+"?tls=false", Options{})
	if err != nil {
		t.Fatal(err)
	}
	never := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	_, err = use(ctx, s.link, func(context.Context, *esdb.Client) (int, error) {
		cancel()
		<-never
		return 1, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	close(never) // and only then is the client let go
	if _, err := use(t.Context(), s.link, func(context.Context, *esdb.Client) (int, error) { return 1, nil }); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}
