package projectiontest

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/memory"
)

// World is a log in memory, sealed for real under keys that are in memory, too.
type World struct {
	*memory.Store
	Keys *Keys

	recorded []Recorded
}

// Recorded is one event as a test recorded it.
type Recorded struct {
	eventstore.Event
	Leaf    int64
	Citizen domain.CitizenID // whose key sealed it
}

// PlaceInRow returns the event's place as far as a row of a read model tells it: the rest
// is in the sealed part that the row keeps.
func (r Recorded) PlaceInRow() eventstore.Place {
	return eventstore.Place{Stream: r.Stream, ID: r.ID, Type: r.Type}
}

// NewWorld returns an empty log.
func NewWorld() *World {
	return &World{Store: memory.New(), Keys: &Keys{}}
}

// Record appends one event, its personal part sealed for the citizen, and returns
// its leaf and position.
func (w *World) Record(t testing.TB, s eventstore.Stream, citizen domain.CitizenID, event any) Recorded {
	t.Helper()
	return w.RecordAt(t, time.Now(), s, citizen, event)
}

// RecordAt is Record at another moment, whole microseconds of it.
func (w *World) RecordAt(t testing.TB, moment time.Time, s eventstore.Stream, citizen domain.CitizenID, event any) Recorded {
	t.Helper()
	typ, clear, personal, err := codec.Catalog.Encode(event)
	if err != nil {
		t.Fatal(err)
	}
	r := eventstore.Record{
		ID: uuid.New(), Type: typ, Clear: clear, Time: moment.UTC().Truncate(time.Microsecond),
		Meta: meta(event),
	}
	r.Stream, r.Revision = s, eventstore.AnyRevision
	if personal != nil {
		if r.Sealed, err = w.Keys.Seal(t.Context(), citizen, r.Place(), personal); err != nil {
			t.Fatal(err)
		}
	}
	at, err := w.Append(t.Context(), eventstore.Batch{Stream: s, Expected: eventstore.Any, Records: []eventstore.Record{r}})
	if err != nil {
		t.Fatal(err)
	}
	r.Revision, r.Position = at.Last, at.Position
	done := Recorded{Event: eventstore.Event{Record: r, Data: event}, Leaf: int64(len(w.recorded)), Citizen: citizen}
	w.recorded = append(w.recorded, done)
	return done
}

// Recorded returns everything recorded, by leaf. Do not change it.
func (w *World) Recorded() []Recorded { return w.recorded }

// meta returns the metadata of an event: some accesses are those of a service integrator.
func meta(event any) []byte {
	if a, is := event.(access.Authorized); is && a.Role == domain.RoleConsumer && a.Access.UUID[0]%3 == 0 {
		return []byte(`{"actor":{"role":"consumer"},"onBehalfOf":"` + string(Consumers[0]) + `","schemaVersion":1,"call":{"op":"accessDocument","token":"c29tZSBoYXNo","client":"app"}}`)
	}
	return []byte(`{"actor":{"role":"system"},"schemaVersion":1}`)
}

// Open opens a sealed part that a read model kept, and decodes it into personal.
func (w *World) Open(t testing.TB, p eventstore.Place, sealed eventstore.Kept, personal any) {
	t.Helper()
	plain, err := eventstore.OpenKept(t.Context(), w.Keys, nil, p, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(plain, personal); err != nil {
		t.Fatal(err)
	}
}

// Keys is an eventstore.Sealer and Opener with one key per citizen. The zero value is ready.
type Keys struct {
	mu   sync.Mutex
	dead map[domain.CitizenID]bool
	keys map[domain.CitizenID]cipher.AEAD
	of   map[eventstore.Stream]domain.CitizenID
}

var (
	_ eventstore.Sealer = (*Keys)(nil)
	_ eventstore.Opener = (*Keys)(nil)
)

// Seal implements eventstore.Sealer.
func (k *Keys) Seal(_ context.Context, citizen domain.CitizenID, p eventstore.Place, plain []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead[citizen] {
		return nil, eventstore.ErrErased
	}
	if k.keys == nil {
		k.keys, k.of = map[domain.CitizenID]cipher.AEAD{}, map[eventstore.Stream]domain.CitizenID{}
	}
	key := k.keys[citizen]
	if key == nil {
		secret := make([]byte, 32)
		rand.Read(secret)
		block, err := aes.NewCipher(secret)
		if err != nil {
			return nil, err
		}
		if key, err = cipher.NewGCM(block); err != nil {
			return nil, err
		}
		k.keys[citizen] = key
	}
	k.of[p.Stream] = citizen
	nonce := make([]byte, key.NonceSize())
	rand.Read(nonce)
	return key.Seal(nonce, nonce, plain, place(p)), nil
}

// Open implements eventstore.Opener.
func (k *Keys) Open(_ context.Context, dst []byte, p eventstore.Place, sealed []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	citizen := k.of[p.Stream]
	key := k.keys[citizen]
	switch {
	case k.dead[citizen]:
		return nil, eventstore.ErrErased
	case key == nil || len(sealed) < key.NonceSize():
		return nil, eventstore.ErrTampered
	}
	plain, err := key.Open(dst, sealed[:key.NonceSize()], sealed[key.NonceSize():], place(p))
	if err != nil {
		return nil, eventstore.ErrTampered
	}
	return plain, nil
}

// Destroy makes everything of the citizen unreadable.
func (k *Keys) Destroy(citizen domain.CitizenID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead == nil {
		k.dead = map[domain.CitizenID]bool{}
	}
	k.dead[citizen] = true
	delete(k.keys, citizen)
}

// place is what a sealed part is bound to: all of the place but the revision, which a
// world does not know when it seals.
func place(p eventstore.Place) []byte {
	return bytes.Join([][]byte{[]byte(p.Stream), p.ID[:], []byte(p.Type), p.Facts[:]}, []byte{0})
}

// until shows a log up to and with a position only.
type until struct {
	eventstore.Store
	last eventstore.Position
}

func (u until) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for r, err := range u.Store.ReadAll(ctx, after, limit) {
			if err == nil && r.Position.Compare(u.last) > 0 || !yield(r, err) {
				return
			}
		}
	}
}

func (u until) Wait(ctx context.Context, after eventstore.Position) error {
	if after.Compare(u.last) < 0 {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (u until) Head(context.Context) (eventstore.Position, error) { return u.last, nil }

// stutter repeats what it has yielded already: every read begins up to three
// records too early, and every record is followed by itself.
type stutter struct{ eventstore.Store }

func (s stutter) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		var past []eventstore.Record
		for r, err := range s.Store.ReadAll(ctx, eventstore.Position{}, 1<<30) {
			if err != nil {
				yield(r, err)
				return
			}
			if r.Position.Compare(after) <= 0 {
				past = append(past, r)
				continue
			}
			for _, again := range past[max(0, len(past)-3):] {
				if !yield(again, nil) {
					return
				}
			}
			if limit--; limit < 0 || !yield(r, nil) {
				return
			}
			past = append(past, r)
		}
	}
}
