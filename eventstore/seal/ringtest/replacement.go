package ringtest

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
)

// column reads one column of one row past the ring.
func (e *env) column(t *testing.T, query string, args ...any) (value []byte) {
	t.Helper()
	s, err := e.db.Read(query)
	check(t, err)
	check(t, s.QueryRowxContext(t.Context(), args...).Scan(&value))
	return value
}

// wrapped returns the stored keys of a citizen and of one of their streams.
func (e *env) wrapped(t *testing.T, c domain.CitizenID, s eventstore.Stream) (dek, contentKey []byte) {
	t.Helper()
	return e.column(t, `SELECT wrapped FROM subjects WHERE citizen = ?`, c.UUID[:]), e.column(t, `SELECT wrapped FROM stream_keys WHERE stream = ?`, string(s))
}

// identity is what has to stay of a citizen whose data key is replaced.
type identity struct {
	document domain.DocumentID
	tag      [16]byte
	number   domain.SSIN
}

func identityOf(t *testing.T, r *Ring, c domain.CitizenID) (id identity) {
	t.Helper()
	var err error
	id.document, err = r.DocumentID(t.Context(), c, organisation, "isiPlusCard", "ref")
	check(t, err)
	id.tag, err = r.ContentTag(t.Context(), c, []byte("{}"))
	check(t, err)
	id.number, err = r.SSINOf(t.Context(), c)
	check(t, err)
	return id
}

// replacedDataKey: what is left of a citizen opens, is sealed and is found as before, under
// another data key; time after time.
func replacedDataKey(t *testing.T, e *env) {
	ctx := t.Context()
	c, bystander := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	kept, others := place(stream(t)), place(stream(t))
	part, ofOther := sealed(t, e.ring, c, kept, "kept"), sealed(t, e.ring, bystander, others, "other")
	before := identityOf(t, e.ring, c)
	otherDEK, otherKey := e.wrapped(t, bystander, others.Stream)
	check(t, e.ring.ReplaceDataKey(ctx, c)) // nothing was destroyed: nothing to do
	dek, contentKey := e.wrapped(t, c, kept.Stream)
	for round := range 3 {
		gone := place(stream(t))
		destroyed := sealed(t, e.ring, c, gone, "gone")
		if now, _ := e.wrapped(t, c, kept.Stream); !bytes.Equal(now, dek) {
			t.Fatal("a data key was replaced for nothing")
		}
		check(t, e.ring.DestroyStreamKeys(ctx, gone.Stream))
		check(t, e.ring.ReplaceDataKey(ctx, c))
		e.asksAnew(t, e.ring, c, "at once")
		newDEK, newKey := e.wrapped(t, c, kept.Stream)
		if bytes.Equal(newDEK, dek) || bytes.Equal(newKey, contentKey) || len(newKey) != len(contentKey) {
			t.Fatalf("round %d: a key is wrapped as before", round)
		}
		if plain, err := e.kek.Unwrap(ctx, []seal.UnwrapItem{{Wrapped: newDEK, AAD: c.UUID[:]}, {Wrapped: dek, AAD: c.UUID[:]}}); err != nil || bytes.Equal(plain[0].Plain, plain[1].Plain) {
			t.Fatalf("round %d: the data key is the former one, only wrapped again: %v", round, err)
		}
		dek, contentKey = newDEK, newKey
		check(t, e.ring.ReplaceDataKey(ctx, c)) // repeated
		check(t, e.ring.ReplaceDataKeys(ctx))
		if again, _ := e.wrapped(t, c, kept.Stream); !bytes.Equal(again, dek) {
			t.Fatal("a repetition replaced the key once more")
		}
		for _, r := range []*Ring{e.ring, e.process(t, seal.Config{})} {
			opens(t, r, kept, part, "kept")
			opens(t, r, others, ofOther, "other")
			refuses(t, r, gone, destroyed, eventstore.ErrErased)
			refusesToSeal(t, r, c, gone.Stream, eventstore.ErrErased)
			later := place(stream(t))
			opens(t, e.ring, later, sealed(t, r, c, later, "later"), "later")
			if after := identityOf(t, r, c); after != before {
				t.Fatalf("round %d: a document id, a content tag or the number changed", round)
			}
		}
	}
	if nowDEK, nowKey := e.wrapped(t, bystander, others.Stream); !bytes.Equal(nowDEK, otherDEK) || !bytes.Equal(nowKey, otherKey) {
		t.Error("another citizen's keys were touched")
	}
	wants(t, e.ring.ReplaceDataKey(ctx, domain.CitizenID{UUID: uuid.New()}), seal.ErrUnknown)
	e.erase(t, c, seal.Suppression{})
	check(t, e.ring.ReplaceDataKey(ctx, c)) // there is none to replace
	refuses(t, e.process(t, seal.Config{}), kept, part, eventstore.ErrErased)
}

// formerDataKeyInMemory: a process that still has the former data key neither stores
// anything under it nor fails.
func formerDataKeyInMemory(t *testing.T, e *env) {
	ctx := t.Context()
	hands := &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	behind := e.process(t, seal.Config{Now: hands.Now}) // its lease does not end
	c := Citizen(t, e.ring, 1)
	kept, gone, unread := place(stream(t)), place(stream(t)), place(stream(t))
	ofKept, ofUnread := sealed(t, e.ring, c, kept, "kept"), sealed(t, e.ring, c, unread, "unread")
	sealed(t, e.ring, c, gone, "gone")
	opens(t, behind, kept, ofKept, "kept") // it has the data key now
	replace := func() {
		t.Helper()
		check(t, e.ring.DestroyStreamKeys(ctx, gone.Stream))
		check(t, e.ring.ReplaceDataKey(ctx, c))
	}
	replace()
	opens(t, behind, unread, ofUnread, "unread") // a row under the next data key

	// What is being sent of other documents goes on, here and there.
	for _, r := range []*Ring{e.ring, behind} {
		lease := r.NewKeyLease(func(err error) { t.Errorf("an answer was cut off by a replaced data key: %v", err) })
		defer lease.Release()
		check(t, lease.Cover(ctx, kept.Stream))
	}

	opens(t, behind, kept, ofKept, "kept")
	gone = place(stream(t))
	sealed(t, e.ring, c, gone, "gone")
	replace()
	fresh := place(stream(t))
	part := sealed(t, behind, c, fresh, "fresh") // a key to be made
	opens(t, e.process(t, seal.Config{}), fresh, part, "fresh")

	gone = place(stream(t))
	sealed(t, e.ring, c, gone, "gone")
	identityOf(t, behind, c)
	replace()
	hands.advance(behind.Lease())
	e.asksAnew(t, behind, c, "when the lease ends")
}

// asksAnew fails unless the citizen's former data key has left the ring's memory.
func (e *env) asksAnew(t *testing.T, r *Ring, c domain.CitizenID, when string) {
	t.Helper()
	calls := e.kek.Calls("Unwrap")
	_, err := r.ContentTag(t.Context(), c, nil)
	check(t, err)
	if e.kek.Calls("Unwrap") == calls {
		t.Errorf("E-3 the former data key did not leave memory %s", when)
	}
}

// replacementRaces: two processes seal, open and make keys while a third destroys and
// replaces; in the end a fresh process opens all that was sealed.
func replacementRaces(t *testing.T, e *env) {
	ctx := t.Context()
	c := Citizen(t, e.ring, 1)
	type record struct {
		at   eventstore.Place
		part []byte
	}
	var mu sync.Mutex
	var all []record
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		r := e.process(t, seal.Config{})
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				p := place(eventstore.Stream("document-" + uuid.NewString()))
				part, err := seal.Sealer{Ring: r.Ring}.Seal(ctx, c, p, []byte("x"))
				if err == nil {
					_, err = seal.Opener{Ring: r.Ring}.Open(ctx, nil, p, part)
				}
				if err == nil {
					_, err = r.ContentTag(ctx, c, nil)
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				all = append(all, record{p, part})
				mu.Unlock()
			}
		})
	}
	rotator := e.process(t, seal.Config{})
	for round := range 12 {
		gone := stream(t)
		sealed(t, e.ring, c, place(gone), "gone")
		check(t, scrubbed(func() error { return e.ring.DestroyStreamKeys(ctx, gone) }))
		var both sync.WaitGroup // two that replace at once make one replacement
		both.Go(func() {
			if err := scrubbed(func() error { return e.ring.ReplaceDataKey(ctx, c) }); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			if err := scrubbed(func() error { return rotator.ReplaceDataKeys(ctx) }); err != nil {
				t.Error(err)
			}
		})
		if round%4 == 3 { // and a rotation meanwhile
			_, err := e.ring.Rotate(ctx)
			check(t, err)
			check(t, scrubbed(func() error { return e.ring.RewrapAll(ctx, nil) }))
		}
		both.Wait()
	}
	close(stop)
	wg.Wait()
	if len(all) == 0 {
		t.Fatal("nothing was sealed: this shows nothing")
	}
	fresh := e.process(t, seal.Config{})
	for _, r := range all {
		opens(t, fresh, r.at, r.part, "x")
	}
	if n := e.column(t, `SELECT count(*) FROM exposed_streams`); string(n) != "0" {
		t.Errorf("%s streams are still exposed", n)
	}
}

// replacementBetweenVersions: a data key that was wrapped before a rotation is not stored
// after it, and one that was read before a retirement is read again.
func replacementBetweenVersions(t *testing.T, e *env) {
	ctx := t.Context()
	c, gone, kept := Citizen(t, e.ring, 1), stream(t), place(stream(t))
	sealed(t, e.ring, c, place(gone), "gone")
	part := sealed(t, e.ring, c, kept, "kept")
	check(t, e.ring.DestroyStreamKeys(ctx, gone))
	rotated := 0
	e.kek.After(func(method string) {
		if method == "Wrap" && rotated == 0 {
			rotated++
			e.kek.After(nil)
			e.rotate(t)
		}
	})
	check(t, e.ring.ReplaceDataKey(ctx, c))
	if rotated != 1 {
		t.Fatal("nothing came between: this shows nothing")
	}
	if s, err := e.ring.Status(ctx); err != nil || s.Behind() != 0 {
		t.Fatalf("%+v %v", s, err)
	}
	opens(t, e.process(t, seal.Config{}), kept, part, "kept")
}

// replacementOvertaken: a replacement that was prepared before another one, and comes to be
// stored after it, begins anew.
func replacementOvertaken(t *testing.T, e *env) {
	ctx := t.Context()
	c, gone, goneToo, goneAtLast, kept := Citizen(t, e.ring, 1), stream(t), stream(t), stream(t), place(stream(t))
	for _, name := range []eventstore.Stream{gone, goneToo, goneAtLast} {
		sealed(t, e.ring, c, place(name), "gone")
	}
	part := sealed(t, e.ring, c, kept, "kept")
	before := identityOf(t, e.ring, c)
	other := e.process(t, seal.Config{})
	check(t, e.ring.DestroyStreamKeys(ctx, gone))
	overtaken := false
	e.kek.After(func(method string) {
		if method == "Wrap" && !overtaken {
			overtaken = true
			check(t, other.DestroyStreamKeys(ctx, goneToo))
			check(t, other.ReplaceDataKey(ctx, c))
			check(t, other.DestroyStreamKeys(ctx, goneAtLast))
		}
	})
	check(t, e.ring.ReplaceDataKey(ctx, c))
	e.kek.After(nil)
	if !overtaken {
		t.Fatal("nothing came between: this shows nothing")
	}
	fresh := e.process(t, seal.Config{})
	opens(t, fresh, kept, part, "kept")
	if after := identityOf(t, fresh, c); after != before {
		t.Error("a document id, a content tag or the number changed")
	}
	if n := e.column(t, `SELECT count(*) FROM exposed_streams`); string(n) != "0" {
		t.Errorf("%s streams are still exposed", n)
	}
}

// replacementOfADamagedKey: a content key that does not open would be lost with the former
// data key, so nothing is replaced until it is back.
func replacementOfADamagedKey(t *testing.T, e *env) {
	ctx := t.Context()
	c, d := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	gone, goneToo, kept, damaged := stream(t), stream(t), place(stream(t)), place(stream(t))
	sealed(t, e.ring, c, place(gone), "gone")
	sealed(t, e.ring, d, place(goneToo), "gone")
	ofKept, ofDamaged := sealed(t, e.ring, c, kept, "kept"), sealed(t, e.ring, c, damaged, "damaged")
	_, whole := e.wrapped(t, c, damaged.Stream)
	write := func(wrapped []byte) {
		t.Helper()
		_, err := keysdb.Do(ctx, e.db, func(tx *keysdb.Tx) (int64, error) {
			return tx.Update(Table(t, e.db, "stream_keys"), `stream = ?`, []any{string(damaged.Stream)}, func(e *keysdb.Entry) { e.Set("wrapped", wrapped) })
		})
		check(t, err)
	}
	spoilt := bytes.Clone(whole)
	spoilt[20] ^= 1
	write(spoilt)
	check(t, e.ring.DestroyStreamKeys(ctx, gone, goneToo))
	dek, _ := e.wrapped(t, c, kept.Stream)
	other, _ := e.wrapped(t, d, kept.Stream)
	wants(t, e.ring.ReplaceDataKey(ctx, c), seal.ErrRefused)
	wants(t, e.ring.ReplaceDataKeys(ctx), seal.ErrRefused)
	if now, _ := e.wrapped(t, c, kept.Stream); !bytes.Equal(now, dek) {
		t.Fatal("the data key was replaced all the same")
	}
	if now, _ := e.wrapped(t, d, kept.Stream); bytes.Equal(now, other) {
		t.Error("the damage held up another citizen")
	}
	opens(t, e.process(t, seal.Config{}), kept, ofKept, "kept")
	write(whole)
	check(t, e.ring.ReplaceDataKey(ctx, c))
	opens(t, e.process(t, seal.Config{}), kept, ofKept, "kept")
	opens(t, e.process(t, seal.Config{}), damaged, ofDamaged, "damaged")
}

// exposedUntilReplaced (E-3): a trim does not make the destruction of a content key final
// while its citizen has the data key of then.
func exposedUntilReplaced(t *testing.T, e *env) {
	ctx := t.Context()
	c, d := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	first, second, ofD := stream(t), stream(t), stream(t)
	for citizen, names := range map[domain.CitizenID][]eventstore.Stream{c: {first, second, stream(t)}, d: {ofD}} {
		for _, name := range names {
			sealed(t, e.ring, citizen, place(name), "x")
		}
	}
	final := func(name eventstore.Stream, want bool) seal.Destruction {
		t.Helper()
		known, err := e.destroyedStream(t, name)
		check(t, err)
		if final := !known.TrimmedAt.IsZero() && known.Oldest > known.WrappedBy; final != want {
			t.Fatalf("final: %t, want %t: %+v", final, want, known)
		}
		return known
	}
	noted := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	check(t, e.ring.DestroyStreamKeys(ctx, first, ofD))
	final(first, false)
	oldest := e.trim(t, 1, noted)
	final(first, false) // the data key under which it lies was only wrapped again
	before := time.Now().UTC().Add(-time.Millisecond)
	check(t, e.ring.ReplaceDataKey(ctx, c))
	if known := final(first, false); known.WrappedBy != oldest || known.At.Before(before) {
		t.Fatalf("it counts from its citizen's former data key: %+v", known)
	}
	last := e.trim(t, 1, noted.Add(time.Hour))
	known := final(first, true)

	check(t, e.ring.DestroyStreamKeys(ctx, second)) // another one says nothing about the first
	final(second, false)
	if again := final(first, true); again != known {
		t.Fatalf("%+v, was %+v", again, known)
	}
	// The data key of a citizen who is erased is destroyed, not replaced.
	e.erase(t, d, seal.Suppression{})
	if known := final(ofD, false); known.WrappedBy != last {
		t.Fatalf("%+v", known)
	}
	e.trim(t, 1, noted.Add(2*time.Hour))
	final(ofD, true)
	final(second, false)
	// While their erasure waits, it is replaced as of others.
	check(t, e.ring.BeginErase(ctx, c))
	check(t, e.ring.ReplaceDataKey(ctx, c))
	e.trim(t, 1, noted.Add(3*time.Hour))
	final(second, true)
	check(t, e.ring.DestroySubject(ctx, c, seal.Suppression{}))
	if again := final(first, true); again != known && again.Oldest == known.Oldest {
		t.Fatalf("%+v, was %+v", again, known)
	}
}

// replacementWithoutKeeper: a content key is destroyed while keys are away; the citizen
// keeps the data key until they are back.
func replacementWithoutKeeper(t *testing.T, e *env) {
	ctx := t.Context()
	c, gone, kept := Citizen(t, e.ring, 1), place(stream(t)), place(stream(t))
	part, ofKept := sealed(t, e.ring, c, gone, "gone"), sealed(t, e.ring, c, kept, "kept")
	e.kek.Before(func(string) error { return errAway })
	check(t, e.ring.DestroyStreamKeys(ctx, gone.Stream))
	for _, replace := range []func() error{
		func() error { return e.ring.ReplaceDataKey(ctx, c) }, func() error { return e.ring.ReplaceDataKeys(ctx) },
	} {
		if err := replace(); !errors.Is(err, eventstore.ErrKeysUnavailable) {
			t.Fatal(err)
		}
	}
	refuses(t, e.ring, gone, part, eventstore.ErrErased)
	e.kek.Before(nil)
	dek, _ := e.wrapped(t, c, kept.Stream)
	check(t, e.ring.ReplaceDataKeys(ctx))
	if now, _ := e.wrapped(t, c, kept.Stream); bytes.Equal(now, dek) {
		t.Fatal("nothing was replaced")
	}
	opens(t, e.process(t, seal.Config{}), kept, ofKept, "kept")
}

// scrubbed repeats a step of which only the removal of old rows waited in vain for readers
// that are never still, as callers of it do.
func scrubbed(step func() error) (err error) {
	for range 20 {
		if err = step(); !errors.Is(err, pgdb.ErrSeen) {
			return err
		}
	}
	return err
}
