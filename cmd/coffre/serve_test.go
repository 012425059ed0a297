package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"coffre/cmd/coffre/vault"
	"coffre/eventstore/seal/transit/vaulttest"
)

// firstLine tells once that something was logged.
type firstLine struct {
	once sync.Once
	told chan struct{}
}

func (f *firstLine) Write(b []byte) (int, error) {
	f.once.Do(func() { close(f.told) })
	return len(b), nil
}

// A server that starts before its Vault says so, and serves when Vault answers; one that is told
// to stop meanwhile stops.
func TestServeWaitsForVault(t *testing.T) {
	cfg := vaultOf(t, vaulttest.Shared(t))
	there, err := url.Parse(cfg.Address)
	if err != nil {
		t.Fatal(err)
	}
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := door.Addr().String()
	if err := door.Close(); err != nil {
		t.Fatal(err)
	}
	away := *cfg
	away.Address = there.Scheme + "://" + at
	heard := &firstLine{told: make(chan struct{})}
	o := vault.Options{Transit: &away, Logger: slog.New(slog.NewTextHandler(heard, &slog.HandlerOptions{Level: slog.LevelWarn}))}

	stopped, stop := context.WithCancel(t.Context())
	go func() { <-heard.told; stop() }()
	if v, err := openWhenKeysAnswer(stopped, vault.DataDir(t.TempDir()), o, time.Hour); v != nil || err != nil {
		t.Fatalf("told to stop: %v", err)
	}

	heard = &firstLine{told: make(chan struct{})}
	o.Logger = slog.New(slog.NewTextHandler(heard, &slog.HandlerOptions{Level: slog.LevelWarn}))
	go func() {
		<-heard.told
		forward(t.Context(), at, there.Host)
	}()
	v, err := openWhenKeysAnswer(t.Context(), vault.DataDir(t.TempDir()), o, time.Millisecond)
	if err != nil || v == nil {
		t.Fatalf("Vault is there: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

// forward passes the connections to one address on to another, until ctx ends.
func forward(ctx context.Context, at, to string) {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return // the test waits for what never answers, and says so
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		onward, err := net.Dial("tcp", to)
		if err != nil {
			_ = from.Close()
			continue
		}
		context.AfterFunc(ctx, func() { _, _ = from.Close(), onward.Close() })
		go func() { _, _ = io.Copy(onward, from) }()
		go func() { _, _ = io.Copy(from, onward) }()
	}
}
