package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/kurrent"
	"coffre/eventstore/kurrent/form"
	"coffre/eventstore/kurrent/given"
	"coffre/eventstore/kurrent/wire"
	"coffre/eventstore/memory"
)

const (
	kurrentFlavour = "the bare client on the same endpoint"
	kurrentEvents  = 50_000 // that a tailing reader reads
	kurrentStreams = 1000   // of one event each, for reads by stream
	kurrentReady   = 60_000 // records made for a round of appends
)

// kurrentBench is an endpoint that speaks KurrentDB's protocol over memory, so that
// next to nothing but the clients is measured, with the store and the bare client
// beside each other on it; or a real server in memory, where one is given.
type kurrentBench struct {
	store   *kurrent.Store
	client  *esdb.Client
	end     func() error // of the endpoint
	names   []eventstore.Stream
	payload []byte
}

func openKurrentBench(ctx context.Context) (_ *kurrentBench, err error) {
	k := &kurrentBench{payload: make([]byte, payload)}
	address, end, err := kurrentEndpoint(ctx)
	if err != nil {
		return nil, err
	}
	k.end = end
	defer func() {
		if err != nil {
			err = errors.Join(err, k.Close())
		}
	}()
	if k.store, err = kurrent.Open(ctx, address, kurrent.Options{}); err != nil {
		return nil, err
	}
	config, err := esdb.ParseConnectionString(address)
	if err != nil {
		return nil, err
	}
	config.Logger = nil
	k.client, err = esdb.NewClient(config)
	return k, err
}

func (k *kurrentBench) Close() error {
	var errs []error
	if k.store != nil {
		errs = append(errs, k.store.Close())
	}
	if k.client != nil {
		errs = append(errs, k.client.Close())
	}
	return errors.Join(append(errs, k.end())...)
}

// kurrentEndpoint starts the server that is measured through, and returns its connection string
// and what ends it.
func kurrentEndpoint(ctx context.Context) (address string, end func() error, err error) {
	if given.Program() != "" {
		s, err := given.Start(ctx, "")
		if err != nil {
			return "", nil, err
		}
		return s.Address, s.Kill, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server, served := wire.New(wire.Options{Store: memory.New(), Append: true, Logger: slog.New(slog.DiscardHandler)}), make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	return "esdb://" + l.Addr().String() + "?tls=false", func() error { server.Close(); return <-served }, nil
}

func (k *kurrentBench) record() eventstore.Record {
	return eventstore.Record{
		ID: uuid.New(), Type: "document.issued/1", Time: time.Now().UTC().Truncate(time.Microsecond),
		Meta: []byte(`{"actor":{"role":"issuer","org":"0206731645"}}`), Clear: []byte(`{"documentType":"marriageCertificate"}`), Sealed: k.payload,
	}
}

func newDocument() eventstore.Stream { return eventstore.Stream("document-" + uuid.NewString()) }

func (k *kurrentBench) append(ctx context.Context, name eventstore.Stream, records ...eventstore.Record) error {
	_, err := k.store.Append(ctx, eventstore.Batch{Stream: name, Expected: eventstore.NoStream, Records: records})
	return err
}

// fill appends what is read later.
func (k *kurrentBench) fill(ctx context.Context) error {
	for range kurrentStreams {
		k.names = append(k.names, newDocument())
	}
	for _, name := range k.names {
		if err := k.append(ctx, name, k.record()); err != nil {
			return err
		}
	}
	for n := kurrentStreams; n < kurrentEvents; n += eventstore.MaxBatch {
		records := make([]eventstore.Record, eventstore.MaxBatch)
		for i := range records {
			records[i] = k.record()
		}
		if err := k.append(ctx, newDocument(), records...); err != nil {
			return err
		}
	}
	return nil
}

// kurrentClient is T12 and T13 for KurrentDB: what the store adds to its client.
func (b *bench) kurrentClient(ctx context.Context) (err error) {
	k, err := openKurrentBench(ctx)
	if err != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	if err := k.fill(ctx); err != nil {
		return fmt.Errorf("fill: %w", err)
	}

	// The bare client reads what is there before the appends make it more.
	got, err := b.compare(ctx, "T13kurrent", k.bareTail, k.tail)
	if err == nil {
		err = b.tell(got.measure("T13.kurrent", "events/s", kurrentFlavour, ">= 0.6"))
	}
	if err != nil {
		return err
	}
	got, err = b.compare(ctx, "T12reads", k.during(b.span, k.bareRead), k.during(b.span, k.read))
	if err == nil {
		err = b.tell(got.measure("T12.reads", "1/s", kurrentFlavour, ">= 0.9"))
	}
	if err != nil {
		return err
	}
	got, err = b.compare(ctx, "T12appends", k.bareAppends(b.span), k.appends(b.span))
	if err != nil {
		return err
	}
	return b.tell(got.measure("T12.appends", "events/s", kurrentFlavour, ">= 0.9"))
}

func (k *kurrentBench) during(span time.Duration, op func(context.Context, int) error) side {
	return func(ctx context.Context) (pace, error) { return load(ctx, callers, span, op) }
}

// ready makes records before the clock runs, each the first of a new stream.
func (k *kurrentBench) ready() []eventstore.Record {
	records := make([]eventstore.Record, kurrentReady)
	for i := range records {
		records[i] = k.record()
		records[i].Stream = newDocument()
	}
	return records
}

// appends sends what is ready through the store.
func (k *kurrentBench) appends(span time.Duration) side {
	return func(ctx context.Context) (pace, error) {
		records := k.ready()
		var next atomic.Int64
		return load(ctx, callers, span, func(ctx context.Context, _ int) error {
			n := next.Add(1) - 1
			if n >= int64(len(records)) {
				return errors.New("this machine is faster than the benchmark is ready for")
			}
			return k.append(ctx, records[n].Stream, records[n])
		})
	}
}

// bareAppends sends the same through the client alone, in the form it lies there.
func (k *kurrentBench) bareAppends(span time.Duration) side {
	return func(ctx context.Context) (pace, error) {
		records := k.ready()
		events := make([]esdb.EventData, len(records))
		for i := range records {
			data, metadata := form.Encode(&records[i])
			events[i] = esdb.EventData{EventID: uuid.New(), EventType: records[i].Type, ContentType: esdb.ContentTypeBinary, Data: data, Metadata: metadata}
		}
		var next atomic.Int64
		return load(ctx, callers, span, func(ctx context.Context, _ int) error {
			n := next.Add(1) - 1
			if n >= int64(len(records)) {
				return errors.New("this machine is faster than the benchmark is ready for")
			}
			_, err := k.client.AppendToStream(ctx, string(records[n].Stream), esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, events[n])
			return err
		})
	}
}

func (k *kurrentBench) name() eventstore.Stream { return k.names[rand.IntN(len(k.names))] }

func (k *kurrentBench) read(ctx context.Context, _ int) error {
	for _, err := range k.store.ReadStream(ctx, k.name(), 0) {
		if err != nil {
			return err
		}
	}
	return nil
}

func (k *kurrentBench) bareRead(ctx context.Context, _ int) error {
	events, err := k.client.ReadStream(ctx, string(k.name()), esdb.ReadStreamOptions{From: esdb.Start{}}, 512)
	_, err = drained(events, err)
	return err
}

// tail reads the log from its start, as a reader that catches up does.
func (k *kurrentBench) tail(ctx context.Context) (pace, error) {
	began, n := time.Now(), 0
	for _, err := range k.store.ReadAll(ctx, eventstore.Position{}, kurrentEvents) {
		if err != nil {
			return pace{}, err
		}
		n++
	}
	return over(n, began), nil
}

func (k *kurrentBench) bareTail(ctx context.Context) (pace, error) {
	began := time.Now()
	events, err := k.client.ReadAll(ctx, esdb.ReadAllOptions{From: esdb.Start{}}, kurrentEvents)
	n, err := drained(events, err)
	return over(n, began), err
}

// drained reads to the end.
func drained(events *esdb.ReadStream, err error) (n int, _ error) {
	if err != nil {
		return 0, err
	}
	defer events.Close()
	for {
		if _, err := events.Recv(); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n++
	}
}
