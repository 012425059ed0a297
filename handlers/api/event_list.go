package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
)

const (
	// maxEvents bounds the items of one page, which are stored records and cost no opening.
	maxEvents = 1000
	// auditRange is the number of leaves that one audit.log-read covers.
	auditRange = 100_000
	// clockTolerance is how far the recorded times of records may be out of the log's order
	// for a range of time to find all of them: what the clocks of processes may differ by, and
	// what an append may wait.
	clockTolerance = 5 * time.Minute
)

// ListEvents implements GET /events: the log in its order, personal parts
// sealed, so that replay needs no key. Reading is recorded first.
func (v *Vault) ListEvents(ctx context.Context, r contract.ListEventsRequestObject) (contract.ListEventsResponseObject, error) {
	p := r.Params
	p.Stream = strings.ToLower(p.Stream) // ids in it may come in letters of either case
	after, err := edge.LeafFrom(p.After, -1)
	if err != nil {
		return nil, err
	}
	if err := v.checkEventFilters(ctx, after, p); err != nil {
		return nil, err
	}
	from, last, err := v.eventRange(ctx, after, p)
	if err != nil {
		return nil, err
	}
	if err := v.recordLogRead(ctx, from+1, p); err != nil {
		return nil, err
	}
	position, err := v.Log.Leaves().Position(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("position of a leaf: %w", err)
	}
	size := eventPageSize(p)
	links := edge.LinksTo(contract.Base+"/events").Number("pageSize", p.PageSize).Texts("category", p.Category).Texts("type", p.Type).Text("stream", p.Stream).
		Texts("role", edge.AsStrings(p.Role)).Texts("organization", edge.AsStrings(p.Organization)).Time("from", p.From).Time("until", p.Until)
	page := contract.LogEvents{Self: links.At(p.After), Items: []contract.LogEvent{}, PageSize: size}
	leaf, more := from, false
	for record, err := range v.Log.Store().ReadAll(ctx, position, edge.MaxScanned) {
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		if !projections.Ours(record.Stream.Category()) {
			continue
		}
		if leaf == last {
			more = false
			break
		}
		if len(page.Items) == size {
			more = true
			break
		}
		leaf++
		more = leaf-from == edge.MaxScanned
		matches, err := matchesRecord(record, p)
		if err != nil {
			return nil, err
		}
		if !matches {
			continue
		}
		item, err := EventItem(record, leaf)
		if err != nil {
			return nil, err
		}
		page.Items = append(page.Items, item)
	}
	if more {
		page.Next, page.NextCursor = links.Next(contract.LeafToken(leaf))
	}
	return contract.ListEvents200JSONResponse(page), nil
}

// eventRange returns the leaves between which the records lie that a call asks for: the first
// one behind from, the last one last. Without a range of time these are the cursor and the end
// of the log.
func (v *Vault) eventRange(ctx context.Context, after int64, p contract.ListEventsParams) (from, last int64, err error) {
	from, last = after, math.MaxInt64
	if p.From != nil {
		begin, err := v.leafBy(ctx, p.From.Add(-clockTolerance))
		if err != nil {
			return 0, 0, err
		}
		from = max(from, begin)
	}
	if p.Until != nil {
		end, err := v.leafBy(ctx, p.Until.Add(clockTolerance))
		if err != nil {
			return 0, 0, err
		}
		last = max(from, end)
	}
	return from, last, nil
}

// eventTypes are the names of all types of event that there are, without their forms.
var eventTypes = sync.OnceValue(func() map[string]bool {
	names := make(map[string]bool)
	for form := range codec.Catalog.Names() {
		name, _, _ := strings.Cut(form, "/")
		names[name] = true
	}
	return names
})

// checkEventFilters refuses what the log does not have: filters are recorded in clear, for
// ever, so no text of the caller's own is among them.
func (v *Vault) checkEventFilters(ctx context.Context, after int64, p contract.ListEventsParams) error {
	unknown := func(name, title string) error {
		return edge.BadRequest(contract.InputValidationIssue{Type: edge.IssuePrefix + "unknownFilter", Title: title, In: contract.IssueLocationQuery, Name: name})
	}
	for _, c := range p.Category {
		if !projections.Ours(c) {
			return unknown("category", "There is no such category")
		}
	}
	for _, t := range p.Type {
		if !eventTypes()[t] {
			return unknown("type", "There is no such type of event")
		}
	}
	words := v.Words.Current()
	for _, o := range p.Organization {
		if _, known := words.Organisation(o); !known {
			return unknown("organization", "The registry has no such organisation; organizations of GET /registry has those there are")
		}
	}
	if p.Stream != "" {
		there, err := v.streamExists(ctx, eventstore.Stream(p.Stream))
		if err != nil {
			return err
		}
		if !there {
			return unknown("stream", "There is no such stream")
		}
	}
	head, err := v.Log.Head(ctx)
	if err != nil {
		return fmt.Errorf("head of the log: %w", err)
	}
	last, err := v.Log.Leaves().Leaf(ctx, head)
	if err != nil {
		return fmt.Errorf("leaf of the head: %w", err)
	}
	if after > last {
		return contract.ErrUnknownPosition
	}
	return nil
}

// streamExists reports whether the log has a stream of ours by that name.
func (v *Vault) streamExists(ctx context.Context, s eventstore.Stream) (bool, error) {
	if !projections.Ours(s.Category()) {
		return false, nil
	}
	for _, err := range v.Log.Store().ReadStream(ctx, s, 0) {
		if err != nil {
			return false, fmt.Errorf("look for a stream: %w", err)
		}
		return true, nil
	}
	return false, nil
}

// eventPageSize returns the largest number of events on a page, as edge.PageSize does for lists
// whose items are judged one by one.
func eventPageSize(p contract.ListEventsParams) int {
	if p.PageSize > edge.MaxPage {
		return min(int(p.PageSize), maxEvents)
	}
	return edge.PageSize(p.PageSize)
}

// matchesRecord reports whether a record passes the filters of a call.
func matchesRecord(r eventstore.Record, p contract.ListEventsParams) (bool, error) {
	name, _, _ := strings.Cut(r.Type, "/")
	if len(p.Category) > 0 && !slices.Contains(p.Category, r.Stream.Category()) ||
		len(p.Type) > 0 && !slices.Contains(p.Type, name) ||
		p.Stream != "" && p.Stream != string(r.Stream) ||
		p.From != nil && r.Time.Before(*p.From) || p.Until != nil && !r.Time.Before(*p.Until) {
		return false, nil
	}
	if len(p.Role) == 0 && len(p.Organization) == 0 {
		return true, nil
	}
	meta, err := r.Metadata()
	if err != nil {
		return false, err
	}
	return (len(p.Role) == 0 || slices.Contains(p.Role, contract.ActorRole(meta.Actor.Role))) &&
		(len(p.Organization) == 0 || slices.Contains(p.Organization, meta.Actor.Organisation)), nil
}

// EventItem returns a record of the log, at its leaf, as auditors see it: with the personal part
// sealed. The error says that its metadata do not decode.
func EventItem(r eventstore.Record, leaf int64) (contract.LogEvent, error) {
	meta, err := r.Metadata()
	if err != nil {
		return contract.LogEvent{}, err
	}
	name, form, _ := strings.Cut(r.Type, "/")
	number, err := strconv.Atoi(form)
	if err != nil {
		return contract.LogEvent{}, fmt.Errorf("form of %s: not a number", name)
	}
	metadata := sha256.Sum256(r.Meta)
	e := contract.LogEvent{
		Href: fmt.Sprintf("%s/events?after=%s&pageSize=1", contract.Base, contract.LeafToken(leaf-1)), Cursor: contract.LeafToken(leaf),
		EventID: r.ID, Stream: string(r.Stream), Revision: int64(r.Revision), Type: name, Form: number, RecordedAt: r.Time,
		Actor: eventActor(meta), OnBehalfOf: meta.OnBehalfOf, CorrelationID: meta.Correlation, CausationID: meta.Causation,
		RegistryVersion: &meta.Registry, Facts: contract.ClearFacts(r.Clear), MetadataHash: metadata[:], Metadata: r.Meta, Sealed: r.Sealed,
	}
	if leaf == 0 {
		e.Href = contract.Base + "/events?pageSize=1"
	}
	for _, ref := range meta.BasedOn {
		stream, revision, ok := ref.Split()
		if !ok {
			return contract.LogEvent{}, fmt.Errorf("basedOn of %s: not a reference", name)
		}
		e.BasedOn = append(e.BasedOn, contract.StreamRevision{Stream: string(stream), Revision: int64(revision)})
	}
	return e, nil
}

func eventActor(m eventstore.Meta) contract.EventActor {
	a := m.Actor
	return contract.EventActor{
		Role: contract.ActorRole(a.Role), Organization: a.Organisation, CitizenID: a.Citizen, Subject: a.Subject,
		Door: a.Door, Why: a.Why, Case: a.Case,
	}
}

// recordLogRead records that the caller reads the log, once per person, session and range of
// leaves in each process. It is called before any record is handed out.
func (v *Vault) recordLogRead(ctx context.Context, from int64, p contract.ListEventsParams) error {
	in := v.NewIntent(ctx)
	from -= from % auditRange
	e := audit.LogRead{
		Session: in.Call.Session, FromLeaf: from, Category: strings.Join(p.Category, " "), Type: strings.Join(p.Type, " "), Stream: p.Stream,
		Role: strings.Join(edge.AsStrings(p.Role), " "), Organisation: strings.Join(edge.AsStrings(p.Organization), " "),
		From: recordedMoment(p.From), Until: recordedMoment(p.Until),
	}
	what, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("what is read of the log: %w", err)
	}
	once := uuid.NewSHA1(looker(in), what)
	if v.auditedReads.has(once) {
		return nil
	}
	e.At = in.At
	if _, err := acting.Audits.Transact(ctx, v.Log, in.Write(0, acting.AuditStream(in.At), acting.NoCitizen), audit.Record{Event: e}); err != nil {
		return fmt.Errorf("record the reading: %w", err)
	}
	v.auditedReads.add(once)
	return nil
}

// recordedMoment returns a moment of a request as it is recorded, in UTC.
func recordedMoment(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	utc := t.UTC().Truncate(time.Microsecond)
	return &utc
}

// RecordPortReading records that somebody reads the log, or a stream of it, through the port
// for KurrentDB's clients: once per name, day (UTC), stream and range of leaves in each
// process. It returns once the record is durable. The name is the one by which a reader
// shows a password there; "" stands for whoever is on this machine. Of a stream that the log
// does not have only the category is recorded, for its name is the reader's own text.
func (v *Vault) RecordPortReading(ctx context.Context, name string, stream eventstore.Stream, from eventstore.Position) error {
	leaf, err := v.Log.Leaves().Leaf(ctx, from)
	if err != nil {
		return fmt.Errorf("leaf of a reading: %w", err)
	}
	leaf = max(leaf, 0)
	leaf -= leaf % auditRange
	e := audit.LogRead{FromLeaf: leaf, At: v.Timestamp()}
	if stream != "" {
		there, err := v.streamExists(ctx, stream)
		switch {
		case err != nil:
			return err
		case there:
			e.Stream = string(stream)
		case projections.Ours(stream.Category()):
			e.Category = stream.Category()
		}
	}
	e.Session = uuid.NewSHA1(uuid.Nil, []byte("port for KurrentDB's clients\x00"+string(domain.BelgianDate(e.At))+name))
	once := uuid.NewSHA1(e.Session, []byte(fmt.Sprint(leaf, e.Category, e.Stream)))
	if v.auditedReads.has(once) {
		return nil
	}
	w := v.SystemWrite(acting.AuditStream(e.At))
	w.Meta.Actor = domain.Actor{Role: domain.RoleAuditor, Subject: v.Keys.Audit().Subject("kurrentdb:" + name), Door: domain.KurrentPort}
	if _, err := acting.Audits.Transact(ctx, v.Log, w, audit.Record{Event: e}); err != nil {
		return fmt.Errorf("record the reading: %w", err)
	}
	v.auditedReads.add(once)
	return nil
}

// maxRecent bounds the ids of a recentIDs; a forgotten reading is recorded once more.
const maxRecent = 10_000

// recentIDs is a bounded set of recent ids. The zero value is empty; it may be used
// concurrently.
type recentIDs struct {
	mu  sync.Mutex
	ids map[uuid.UUID]bool
}

func (r *recentIDs) has(id uuid.UUID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[id]
}

func (r *recentIDs) add(id uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil || len(r.ids) >= maxRecent {
		r.ids = make(map[uuid.UUID]bool)
	}
	r.ids[id] = true
}
