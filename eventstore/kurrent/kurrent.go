// Package kurrent keeps the event log in KurrentDB (EventStoreDB), through its
// official client. It scales out: any number of vault processes may append and read.
//
// A record lies there as package form says. Every append names the exact
// revision it follows, so that KurrentDB's own rules about repetition, which are not
// the port's, never apply: whether a batch is there already is found out by reading.
// Appends to one stream wait for each other; those to different streams go at the
// same time.
//
// Positions are KurrentDB's pairs (commit, prepare). Other applications may have
// streams on the same server: those outside [Options].Categories are passed over.
//
// Invariant: no call waits longer than its context allows, whatever the client, the
// server or the network does; and an append that may have happened is never
// reported as one that has not.
package kurrent

import (
	"context"
	"errors"
	"io"
	"iter"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	lru "github.com/hashicorp/golang-lru/v2"

	"coffre/eventstore"
	"coffre/eventstore/kurrent/form"
)

const (
	callTimeout     = 10 * time.Second // of one call to the server
	defaultPatience = 5 * time.Second
	defaultQueue    = 4096
	defaultAppend   = 1 << 20
	defaultInFlight = 64 // a server may take a hundred calls on one connection, reads among them
	reservedShare   = 8  // one place in so many is kept free for eventstore.Reserved
	pageRecords     = 512
	pageBytes       = 1 << 20 // the record that exceeds it still belongs to the page
	readTries       = 3       // of a read whose connection is lost
	knownStreams    = 4096    // streams whose ids are remembered, for Any and StreamExists
	knownEnds       = 16_384  // streams whose ends are remembered
	knownIDs        = 10_000  // ids of one stream that are remembered
)

// Errors of an address.
var (
	ErrAddress  = errors.New("kurrent: the address is esdb://HOST:PORT or esdb+discover://HOST:PORT with the options of the official clients")
	ErrInsecure = errors.New("kurrent: off loopback the server is asked over TLS only, its certificate checked (leave out tls=false and tlsVerifyCert=false)")
)

// Options of a Store. The zero value takes every stream for the log's.
type Options struct {
	// Categories are those of the log's streams. Empty: every stream but KurrentDB's own.
	Categories []string
	// Name and Password, when set, stand in place of those in the address.
	Name, Password string
	// Insecure allows an address off loopback without TLS or check of certificates, in
	// a network that nobody else is in.
	Insecure bool
	// Patience is how long a call waits for a server that is away; 0 means five seconds.
	Patience time.Duration
	// MaxQueued bounds the appends that wait; 0 means 4096. An eighth is kept free for
	// eventstore.Reserved.
	MaxQueued int
	// InFlight bounds the appends on the wire; 0 means 64.
	InFlight int
	// MaxAppend is how many bytes the server takes in one append, its MaxAppendSize; 0
	// means 1 MiB, its default. A larger batch is refused with eventstore.ErrTooLarge:
	// the server's own refusal may get lost on the way.
	MaxAppend int
	// Report is told of each stream of the log that a reader finds deleted or told to be
	// truncated, at the place in the log where that was said; every reader that passes
	// there tells again. It may be called concurrently and must not block. nil: nobody.
	Report func(*eventstore.Corrupt)
}

// Store is an eventstore.Store. Its methods may be called concurrently.
type Store struct {
	o       Options
	link    *link
	waiting places                 // for appends
	flight  chan struct{}          // a token for each append on the wire
	locks   eventstore.StreamLocks // one append to a stream at a time
	known   *lru.Cache[eventstore.Stream, *contents]
	ends    *lru.Cache[eventstore.Stream, eventstore.Revision] // of a record that is surely there; changed by whoever holds the stream's lock
	tail    *tail

	mu        sync.Mutex
	gone      map[eventstore.Stream]said // streams of which the log said that they are deleted or truncated
	closed    bool
	appending sync.WaitGroup
	closing   sync.Once
}

var _ eventstore.Store = (*Store)(nil)

// Open connects to the server at the address, a connection string of the official
// clients. It returns eventstore.ErrUnavailable where the server does not answer, or
// does not let the log's user read, within o.Patience.
func Open(ctx context.Context, address string, o Options) (*Store, error) {
	config, err := configure(address, o)
	if err != nil {
		return nil, err
	}
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.InFlight <= 0 {
		o.InFlight = defaultInFlight
	}
	if o.MaxQueued <= 0 {
		o.MaxQueued = defaultQueue
	}
	if o.MaxAppend <= 0 {
		o.MaxAppend = defaultAppend
	}
	known, err := lru.New[eventstore.Stream, *contents](knownStreams)
	if err != nil {
		return nil, err
	}
	ends, err := lru.New[eventstore.Stream, eventstore.Revision](knownEnds)
	if err != nil {
		return nil, err
	}
	s := &Store{
		o: o, known: known, ends: ends,
		waiting: places{most: o.MaxQueued, end: make(chan struct{})},
		flight:  make(chan struct{}, o.InFlight),
		link:    newLink(*config, o.Patience),
	}
	s.tail = newTail(s)
	session, err := s.link.acquire(ctx)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	session.release()
	if o.Report != nil {
		s.link.calls.Add(1)
		go s.watch()
	}
	return s, nil
}

// configure reads an address. Its errors say nothing of what is in it, which may be
// a password.
func configure(address string, o Options) (*esdb.Configuration, error) {
	config, err := esdb.ParseConnectionString(address)
	if err != nil {
		return nil, ErrAddress
	}
	config.Logger = nil // what it says quotes the server
	config.MaxDiscoverAttempts = discoverAttempts
	if o.Name != "" {
		config.Username, config.Password = o.Name, o.Password
	}
	hosts := []string{config.Address}
	if len(config.GossipSeeds) > 0 {
		hosts = nil
		for _, seed := range config.GossipSeeds {
			hosts = append(hosts, seed.String())
		}
	}
	open := config.DisableTLS || config.SkipCertificateVerification
	if open && !o.Insecure && slices.ContainsFunc(hosts, func(h string) bool { return !loopback(h) }) {
		return nil, ErrInsecure
	}
	if config.Validate() != nil {
		return nil, ErrAddress
	}
	return config, nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// ours returns the stream that an event's stream is, and whether it is the log's.
func (s *Store) ours(name string) (eventstore.Stream, bool) {
	if name == "" || name[0] == '$' {
		return "", false
	}
	stream, ok := form.ParseStream(name)
	return stream, ok && (len(s.o.Categories) == 0 || slices.Contains(s.o.Categories, stream.Category()))
}

// tombstone is the type of the event that the server puts in a stream that somebody
// deleted for good. It is no record, and its number is the largest there is.
const tombstone = "$streamDeleted"

// passed returns the stream of an event that is a record of the log, and whether it is
// one. It reports what says that one of the log's streams is deleted, or is to be
// truncated: readers go on behind that, and the stream itself does not.
func (s *Store) passed(e *esdb.RecordedEvent) (stream eventstore.Stream, record bool) {
	if stream, ours := s.ours(e.StreamID); ours {
		if e.EventType != tombstone {
			return stream, true
		}
		s.settle(stream, place(e), true)
		return "", false
	}
	if stream, limited, about := s.limited(e); about {
		s.settle(stream, place(e), limited)
	}
	return "", false
}

// settle notes that a stream is gone, or to be truncated, or is not any more, as was
// said at a place in the log; what was said last counts.
func (s *Store) settle(stream eventstore.Stream, at eventstore.Position, gone bool) {
	s.mu.Lock()
	if s.gone == nil {
		s.gone = map[eventstore.Stream]said{}
	}
	if before := s.gone[stream]; before.at.Compare(at) > 0 || !gone && before.at.IsZero() {
		s.mu.Unlock()
		return
	}
	s.gone[stream] = said{at, gone}
	s.mu.Unlock()
	if gone && s.o.Report != nil {
		s.o.Report(&eventstore.Corrupt{Stream: stream, Revision: -1, Position: at})
	}
}

// said is what the log said of a stream, and where.
type said struct {
	at   eventstore.Position
	gone bool
}

// whole returns *eventstore.Corrupt for a stream that is known to be gone.
func (s *Store) whole(stream eventstore.Stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.gone[stream]; last.gone {
		return &eventstore.Corrupt{Stream: stream, Revision: -1, Position: last.at}
	}
	return nil
}

// Deleted returns the streams of the log of which readers have passed, in the log, that
// somebody deleted them or told the server to truncate them, and not that it was lifted.
func (s *Store) Deleted() (all []eventstore.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream, last := range s.gone {
		if last.gone {
			all = append(all, stream)
		}
	}
	slices.Sort(all)
	return all
}

// limits are the members of a stream's metadata by which the server forgets events.
var limits = []string{"$maxCount", "$maxAge", "$tb"}

// limited tells whether an event is about one of the log's streams, as its metadata, and
// whether they tell the server to forget events of it. What is not JSON counts as that.
func (s *Store) limited(e *esdb.RecordedEvent) (stream eventstore.Stream, limited, about bool) {
	of, isMetadata := strings.CutPrefix(e.StreamID, "$$")
	stream, ours := s.ours(of)
	if !isMetadata || !ours {
		return "", false, false
	}
	m, err := parse(e.Data)
	return stream, err != nil || slices.ContainsFunc(limits, func(l string) bool { _, has := m[l]; return has }), true
}

// place returns where an event lies.
func place(e *esdb.RecordedEvent) eventstore.Position {
	return eventstore.Position{Commit: e.Position.Commit, Prepare: e.Position.Prepare}
}

// record returns the record that an event of one of our streams is.
func record(stream eventstore.Stream, e *esdb.RecordedEvent) (eventstore.Record, error) {
	r, err := form.Decode(stream, eventstore.Revision(e.EventNumber), e.EventType, e.Data, e.UserMetadata)
	if err != nil {
		return r, &eventstore.Corrupt{Stream: stream, Revision: eventstore.Revision(e.EventNumber), Position: place(e)}
	}
	r.Position = place(e)
	return r, nil
}

// usable tells why nothing can be done now, if so.
func (s *Store) usable(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return eventstore.ErrClosed
	}
	return ctx.Err()
}

// going is usable for what is under way, which the end of the link stops.
func (s *Store) going(ctx context.Context) error {
	if s.link.life.Err() != nil {
		return eventstore.ErrClosed
	}
	return ctx.Err()
}

// alive returns a context that ends with ctx and when the store is closed.
func (s *Store) alive(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.link.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// page is what one call of the server brought.
type page struct {
	events []*esdb.RecordedEvent
	whole  bool // as many as were asked for: there may be more
	absent bool // the stream is not there
	denied bool // this user may not read it
}

// fetch reads events until there are enough. It stays away from what the log has to
// say: only the shape of events is looked at.
func (s *Store) fetch(ctx context.Context, count uint64, begin func(context.Context, *esdb.Client, *time.Duration) (*esdb.ReadStream, error)) (page, error) {
	alive, cancel := s.alive(ctx)
	defer cancel()
	for try := 1; ; try++ {
		p, err := s.fetchOnce(alive, count, begin)
		switch {
		case err == nil:
			return p, nil
		case !errors.Is(err, errLost) || try == readTries:
			return page{denied: codeOf(err) == esdb.ErrorCodeAccessDenied}, s.reading(ctx, err)
		}
	}
}

func (s *Store) fetchOnce(ctx context.Context, count uint64, begin func(context.Context, *esdb.Client, *time.Duration) (*esdb.ReadStream, error)) (page, error) {
	return use(ctx, s.link, func(ctx context.Context, client *esdb.Client) (page, error) {
		deadline := callTimeout
		var p page
		events, err := begin(ctx, client, &deadline)
		for size := 0; err == nil && size < pageBytes; {
			var e *esdb.ResolvedEvent
			if e, err = events.Recv(); err != nil {
				break
			}
			if e == nil || e.OriginalEvent() == nil {
				err = errPanic
				break
			}
			recorded := e.OriginalEvent()
			p.events = append(p.events, recorded)
			size += len(recorded.Data) + len(recorded.UserMetadata)
		}
		if events != nil {
			events.Close()
		}
		p.whole = err == nil || uint64(len(p.events)) == count
		switch code := codeOf(err); {
		case err == nil, ended(err):
			return p, nil
		case code == esdb.ErrorCodeResourceNotFound:
			return page{absent: true}, nil
		}
		return page{}, err
	})
}

// reading is the port's error for one of a read.
func (s *Store) reading(ctx context.Context, err error) error {
	if stopped := s.going(ctx); stopped != nil {
		return stopped
	}
	switch {
	case errors.Is(err, eventstore.ErrUnavailable), errors.Is(err, eventstore.ErrClosed):
		return err
	case errors.As(err, new(malformed)), codeOf(err) == esdb.ErrorCodeStreamDeleted:
		return &eventstore.Corrupt{Revision: -1}
	}
	return eventstore.ErrUnavailable // the text of err may quote what was read
}

func ended(err error) bool { return errors.Is(err, io.EOF) }

// codeOf returns the client's code for an error; Unknown for all that has none.
func codeOf(err error) esdb.ErrorCode {
	if e, ok := errors.AsType[*esdb.Error](err); ok {
		return e.Code()
	}
	return esdb.ErrorCodeUnknown
}

// streamPage reads events of one stream.
func (s *Store) streamPage(ctx context.Context, name eventstore.Stream, from esdb.StreamPosition, direction esdb.Direction, count uint64) (page, error) {
	p, err := s.fetch(ctx, count, func(ctx context.Context, client *esdb.Client, deadline *time.Duration) (*esdb.ReadStream, error) {
		return client.ReadStream(ctx, form.StreamName(name), esdb.ReadStreamOptions{Direction: direction, From: from, Deadline: deadline}, count)
	})
	if corrupt, ok := errors.AsType[*eventstore.Corrupt](err); ok {
		corrupt.Stream = name
	}
	return p, err
}

func (s *Store) allPage(ctx context.Context, from esdb.AllPosition, direction esdb.Direction, count uint64) (page, error) {
	return s.fetch(ctx, count, func(ctx context.Context, client *esdb.Client, deadline *time.Duration) (*esdb.ReadStream, error) {
		return client.ReadAll(ctx, esdb.ReadAllOptions{Direction: direction, From: from, Deadline: deadline}, count)
	})
}

// ReadStream implements eventstore.Store. A stream that lost records, be it that
// somebody truncated or deleted it, ends with *eventstore.Corrupt: it is never taken for
// one that was never there.
func (s *Store) ReadStream(ctx context.Context, name eventstore.Stream, from eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		if err := s.usable(ctx); err != nil {
			yield(eventstore.Record{}, err)
			return
		}
		if err := s.whole(name); err != nil {
			yield(eventstore.Record{}, err)
			return
		}
		s.stream(ctx, name, max(from, 0))(yield)
	}
}

// stream is ReadStream also for appends under way while the store is being closed.
func (s *Store) stream(ctx context.Context, name eventstore.Stream, next eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		next := next
		for {
			p, err := s.streamPage(ctx, name, esdb.Revision(uint64(next)), esdb.Forwards, pageRecords)
			if err == nil && p.absent {
				err = s.neverThere(ctx, name)
			}
			if err != nil {
				yield(eventstore.Record{}, err)
				return
			}
			for _, e := range p.events {
				r, err := record(name, e)
				if err == nil && r.Revision != next {
					err = &eventstore.Corrupt{Stream: name, Revision: next, Position: r.Position}
				}
				if err == nil {
					err = s.going(ctx)
				}
				if err != nil {
					yield(eventstore.Record{}, err)
					return
				}
				if !yield(r, nil) {
					return
				}
				next++
			}
			if !p.whole {
				return
			}
		}
	}
}

// neverThere returns *eventstore.Corrupt unless a stream that the server says is absent
// was never there, as far as anybody knows: the server says so too of one that was
// deleted and may come back. Where the vault may not read metadata nobody knows.
func (s *Store) neverThere(ctx context.Context, name eventstore.Stream) error {
	if _, known := s.ends.Get(name); known {
		return &eventstore.Corrupt{Stream: name, Revision: 0}
	}
	p, err := s.fetch(ctx, 1, func(ctx context.Context, client *esdb.Client, deadline *time.Duration) (*esdb.ReadStream, error) {
		return client.ReadStream(ctx, "$$"+form.StreamName(name), esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}, Deadline: deadline}, 1)
	})
	if err != nil && !p.denied {
		return err
	}
	if len(p.events) > 0 {
		if _, limited, _ := s.limited(p.events[0]); limited {
			return &eventstore.Corrupt{Stream: name, Revision: 0, Position: place(p.events[0])}
		}
	}
	return nil
}

// isRecord reports whether an event is a record of the log.
func (s *Store) isRecord(e *esdb.RecordedEvent) bool {
	_, ours := s.ours(e.StreamID)
	return ours && e.EventType != tombstone
}

// ReadAll implements eventstore.Store.
func (s *Store) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		if err := s.usable(ctx); err != nil {
			yield(eventstore.Record{}, err)
			return
		}
		at := after // what lies up to here was read
		for limit > 0 {
			count := uint64(min(limit, pageRecords)) + 1 // a read begins with the event it is told to follow
			var from esdb.AllPosition = esdb.Start{}
			if !at.IsZero() {
				from = esdb.Position{Commit: at.Commit, Prepare: at.Prepare}
			}
			p, err := s.allPage(ctx, from, esdb.Forwards, count)
			if err != nil {
				yield(eventstore.Record{}, err)
				return
			}
			before := at
			for _, e := range p.events {
				if place(e).Compare(at) <= 0 {
					continue
				}
				at = place(e)
				name, ours := s.passed(e)
				if !ours {
					continue
				}
				r, err := record(name, e)
				if err == nil {
					err = s.going(ctx)
				}
				if err != nil {
					yield(eventstore.Record{}, err)
					return
				}
				if !yield(r, nil) {
					return
				}
				if limit--; limit == 0 {
					return
				}
			}
			if !p.whole || at == before {
				return
			}
		}
	}
}

// Head implements eventstore.Store. It looks from the end, past what is not ours,
// until it meets what it knows.
func (s *Store) Head(ctx context.Context) (eventstore.Position, error) {
	if err := s.usable(ctx); err != nil {
		return eventstore.Position{}, err
	}
	known, clean := s.tail.seen()
	var from esdb.AllPosition = esdb.End{}
	var end eventstore.Position
	for count := uint64(4); ; count = pageRecords {
		p, err := s.allPage(ctx, from, esdb.Backwards, count)
		if err != nil {
			return eventstore.Position{}, err
		}
		for _, e := range p.events {
			at := place(e)
			if end.IsZero() {
				end = at
			}
			if s.isRecord(e) {
				s.tail.saw(at)
			} else if at.Compare(known) > 0 && at.Compare(clean) > 0 {
				from = esdb.Position{Commit: at.Commit, Prepare: at.Prepare}
				continue
			}
			return s.tail.looked(end), nil
		}
		if !p.whole || len(p.events) == 0 {
			return s.tail.looked(end), nil
		}
	}
}

// Wait implements eventstore.Store.
func (s *Store) Wait(ctx context.Context, after eventstore.Position) error {
	return s.tail.wait(ctx, after)
}

// Close implements eventstore.Store. Appends on the wire are answered, everything
// else ends with eventstore.ErrClosed.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.tail.wakeAll()
		s.waiting.close()
		s.appending.Wait()
		s.link.close()
	})
	return nil
}

// lastRevision is the highest there can be.
const lastRevision = eventstore.Revision(math.MaxInt64)

// filterOf is what a subscription to the log's streams asks for.
func (s *Store) filterOf() *esdb.SubscriptionFilter {
	if len(s.o.Categories) == 0 {
		return esdb.ExcludeSystemEventsFilter()
	}
	prefixes := make([]string, len(s.o.Categories))
	for i, c := range s.o.Categories {
		prefixes[i] = strings.TrimSuffix(form.StreamName(eventstore.Stream(c+"-")), "-")
	}
	return &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: prefixes}
}
