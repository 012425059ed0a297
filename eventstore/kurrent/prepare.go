package kurrent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"coffre/eventstore"
	"coffre/eventstore/kurrent/form"
)

const (
	administrators = "$admins"
	everything     = "$all"
	settings       = "$settings" // where KurrentDB keeps the rights of streams that have none of their own
	userStreams    = "$userStreamAcl"
	anybody        = "$all" // in a list of roles
)

// PrepareOptions say what [Prepare] does.
type PrepareOptions struct {
	// User is the vault's on the server. Prepare lets it read $all, and, with Alone,
	// makes it the only one besides the administrators who may use streams. "" leaves
	// everybody's rights as they are.
	User string
	// Alone: nobody else uses this server, so the rights of streams in general may be set.
	Alone bool
}

// Prepared is the report of what [Prepare] found and did.
type Prepared struct {
	Records int      // of the log that were found
	Head    bool     // whether there is any
	ReadAll []string // who may read $all now
	Streams []string // who may append to streams that say nothing themselves; nil: the server's default
	// Lifted are the log's streams that somebody had told the server to truncate.
	Lifted []eventstore.Stream
	// Deleted are the log's streams that somebody deleted for good. The server takes
	// nothing back: the log has to be brought to another.
	Deleted []eventstore.Stream
	// Done are sentences: what was changed.
	Done []string
	// Doubts are sentences for the operator: what may still go wrong on this server.
	Doubts []string
}

// ErrAloneWithoutUser: nobody would be left who may use the streams.
var ErrAloneWithoutUser = errors.New("kurrent: who is alone on the server must be named")

// acl is an access control list as KurrentDB writes it; a role may stand for a list of one.
type acl struct {
	Read      roles `json:"$r,omitempty"`
	Write     roles `json:"$w,omitempty"`
	Delete    roles `json:"$d,omitempty"`
	MetaRead  roles `json:"$mr,omitempty"`
	MetaWrite roles `json:"$mw,omitempty"`
}

type roles []string

func (r *roles) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*r = roles{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(r))
}

// Prepare sets what the log needs on a server, as one of its administrators, and
// tells what it found: who may read and append, and which of the log's streams were
// to be truncated, which is lifted. It may be repeated, and changes nothing the
// second time.
func Prepare(ctx context.Context, address string, o Options, p PrepareOptions) (_ Prepared, err error) {
	if p.Alone && p.User == "" {
		return Prepared{}, ErrAloneWithoutUser
	}
	s, err := Open(ctx, address, o)
	if err != nil {
		return Prepared{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	w := &preparing{s: s, o: p}
	for _, step := range []func(context.Context) error{w.readAll, w.rights, w.truncation} {
		if err := step(ctx); err != nil {
			return Prepared{}, fmt.Errorf("prepare the event log: %w", err)
		}
	}
	return w.found, nil
}

type preparing struct {
	s     *Store
	o     PrepareOptions
	found Prepared
}

// last returns the data of a stream's last event, nil when there is none, and its
// revision.
func (w *preparing) last(ctx context.Context, stream string) ([]byte, esdb.ExpectedRevision, error) {
	p, err := w.s.fetch(ctx, 1, func(ctx context.Context, client *esdb.Client, deadline *time.Duration) (*esdb.ReadStream, error) {
		return client.ReadStream(ctx, stream, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}, Deadline: deadline}, 1)
	})
	if err != nil || len(p.events) == 0 {
		return nil, esdb.NoStream{}, err
	}
	return p.events[0].Data, esdb.Revision(p.events[0].EventNumber), nil
}

// write replaces what a system stream says, unless somebody was faster.
func (w *preparing) write(ctx context.Context, stream, typ string, expected esdb.ExpectedRevision, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = use(ctx, w.s.link, func(ctx context.Context, client *esdb.Client) (*esdb.WriteResult, error) {
		deadline := callTimeout
		return client.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: expected, Deadline: &deadline},
			esdb.EventData{EventType: typ, ContentType: esdb.ContentTypeJson, Data: data})
	})
	if codeOf(err) == esdb.ErrorCodeAccessDenied {
		return fmt.Errorf("%w: only an administrator may change %s", eventstore.ErrUnavailable, stream)
	}
	if err != nil {
		return fmt.Errorf("change %s: %w", stream, eventstore.ErrUnavailable)
	}
	return nil
}

// members are the members of a JSON object, so that what is not ours stays.
type members map[string]json.RawMessage

func parse(data []byte) (members, error) {
	m := members{}
	if len(data) == 0 {
		return m, nil
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, errors.New("the server's settings are not JSON") // the error would quote them
	}
	return m, nil
}

func (m members) acl(name string) (a acl, has bool) {
	raw, has := m[name]
	return a, has && json.Unmarshal(raw, &a) == nil
}

func (m members) set(name string, a acl) error {
	raw, err := json.Marshal(a)
	m[name] = raw
	return err
}

// readAll lets the vault's user read $all, without which it sees nothing.
func (w *preparing) readAll(ctx context.Context) error {
	stream := "$$" + everything
	data, at, err := w.last(ctx, stream)
	if err != nil {
		return err
	}
	m, err := parse(data)
	if err != nil {
		return err
	}
	a, has := m.acl("$acl")
	if !has || a.Read == nil {
		a.Read = roles{administrators}
	}
	if w.o.User != "" && !slices.Contains(a.Read, w.o.User) && !slices.Contains(a.Read, anybody) {
		a.Read = append(a.Read, w.o.User)
		if err := m.set("$acl", a); err != nil {
			return err
		}
		if err := w.write(ctx, stream, "$metadata", at, m); err != nil {
			return err
		}
		w.found.Done = append(w.found.Done, fmt.Sprintf("%s may read $all", w.o.User))
	}
	if slices.Contains(a.Read, anybody) {
		w.found.Doubts = append(w.found.Doubts, "everybody with access to the server may read $all, sealed but with its clear facts")
	}
	w.found.ReadAll = a.Read
	return nil
}

// rights says, or sets, who may use streams that have no rights of their own, as the
// log's have not.
func (w *preparing) rights(ctx context.Context) error {
	data, at, err := w.last(ctx, settings)
	if err != nil {
		return err
	}
	m, err := parse(data)
	if err != nil {
		return err
	}
	a, _ := m.acl(userStreams)
	if w.o.Alone {
		both := roles{w.o.User, administrators}
		want := acl{Read: both, Write: both, Delete: roles{administrators}, MetaRead: both, MetaWrite: roles{administrators}}
		if !equal(a, want) {
			if err := m.set(userStreams, want); err != nil {
				return err
			}
			if err := w.write(ctx, settings, settings, at, m); err != nil {
				return err
			}
			w.found.Done = append(w.found.Done, fmt.Sprintf("of all users only %s and administrators may read and append, and only administrators may delete and truncate", w.o.User))
			a = want
		}
	}
	w.found.Streams = a.Write
	for what, who := range map[string]roles{"append to": a.Write, "delete": a.Delete, "truncate": a.MetaWrite} {
		if who == nil || slices.Contains(who, anybody) {
			w.found.Doubts = append(w.found.Doubts, fmt.Sprintf("every user of the server may %s the log's streams; on a server for the vault alone, prepare it so", what))
		}
	}
	slices.Sort(w.found.Doubts)
	return nil
}

func equal(a, b acl) bool {
	return slices.Equal(a.Read, b.Read) && slices.Equal(a.Write, b.Write) && slices.Equal(a.Delete, b.Delete) &&
		slices.Equal(a.MetaRead, b.MetaRead) && slices.Equal(a.MetaWrite, b.MetaWrite)
}

// truncation reads everything, counts the log's records, and lifts what somebody told
// the server to forget of them.
func (w *preparing) truncation(ctx context.Context) error {
	limited := map[eventstore.Stream]bool{}
	at := eventstore.Position{}
	for {
		var from esdb.AllPosition = esdb.Start{}
		if !at.IsZero() {
			from = esdb.Position{Commit: at.Commit, Prepare: at.Prepare}
		}
		p, err := w.s.allPage(ctx, from, esdb.Forwards, pageRecords)
		if err != nil {
			return err
		}
		before := at
		for _, e := range p.events {
			if place(e).Compare(at) <= 0 {
				continue
			}
			at = place(e)
			stream, ours := w.s.ours(e.StreamID)
			switch {
			case ours && e.EventType == tombstone:
				w.found.Deleted = append(w.found.Deleted, stream)
			case ours:
				w.found.Records++
				w.found.Head = true
			default:
				if of, isMetadata := strings.CutPrefix(e.StreamID, "$$"); isMetadata {
					if stream, ours := w.s.ours(of); ours {
						_, limited[stream], _ = w.s.limited(e)
					}
				}
			}
		}
		if !p.whole || at == before {
			break
		}
	}
	for _, stream := range slices.Sorted(maps.Keys(limited)) {
		if limited[stream] {
			if err := w.lift(ctx, stream); err != nil {
				return err
			}
		}
	}
	if n := len(w.found.Deleted); n > 0 {
		w.found.Doubts = append(w.found.Doubts, fmt.Sprintf("%d streams of the log were deleted for good, the first %s: bring the log to a new server from a backup (deploy/runbooks/deleted-stream.md)", n, w.found.Deleted[0]))
	}
	if n := len(w.found.Lifted); n > 0 {
		w.found.Doubts = append(w.found.Doubts, fmt.Sprintf("%d streams of the log were to be truncated: run `coffre audit verify`, and restore what a scavenge took", n))
	}
	return nil
}

// lift removes the limits from a stream's metadata.
func (w *preparing) lift(ctx context.Context, stream eventstore.Stream) error {
	name := "$$" + form.StreamName(stream)
	data, at, err := w.last(ctx, name)
	if err != nil {
		return err
	}
	m, err := parse(data)
	if err != nil {
		m = members{}
	}
	for _, l := range limits {
		delete(m, l)
	}
	if err := w.write(ctx, name, "$metadata", at, m); err != nil {
		return err
	}
	w.found.Lifted = append(w.found.Lifted, stream)
	w.found.Done = append(w.found.Done, fmt.Sprintf("%s is not truncated any more", stream))
	return nil
}
