package ringtest

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
)

// later is after everything that a test does.
func later() time.Time { return time.Now().Add(time.Hour) }

// upload makes a file of the organisation and keeps it.
func (e *env) upload(t *testing.T) seal.File {
	t.Helper()
	f := seal.File{ID: domain.AttachmentID{UUID: uuid.New()}, Issuer: organisation, Type: "application/pdf", Size: 7}
	sum := sha256.Sum256(f.ID.UUID[:])
	f.Digest = sum[:]
	var err error
	f.Key, err = e.ring.Files.Make(t.Context(), f.ID, f.Issuer, f.Type)
	check(t, err)
	check(t, e.ring.Files.Keep(t.Context(), f))
	return f
}

func (e *env) doomed(t *testing.T) []domain.AttachmentID {
	t.Helper()
	all, err := e.ring.Doomed(t.Context(), 100)
	check(t, err)
	return all
}

func (e *env) reserve(t *testing.T, s eventstore.Stream, want error, files ...seal.File) []seal.File {
	t.Helper()
	ids := make([]domain.AttachmentID, len(files))
	for i, f := range files {
		ids[i] = f.ID
	}
	got, err := e.ring.Files.Reserve(t.Context(), organisation, s, ids)
	wants(t, err, want)
	return got
}

func unclaimedFiles(t *testing.T, e *env) {
	var want []domain.AttachmentID
	for range 3 {
		want = append(want, e.upload(t).ID)
	}
	named := e.upload(t)
	e.reserve(t, stream(t), nil, named)
	half := domain.AttachmentID{UUID: uuid.New()} // its upload has not ended
	_, err := e.ring.Files.Make(t.Context(), half, organisation, "application/pdf")
	check(t, err)
	list := func(issuer domain.Organisation, limit int) (all []domain.AttachmentID) {
		t.Helper()
		for after := int64(0); ; {
			page, err := e.ring.Files.Unclaimed(t.Context(), issuer, nil, after, limit)
			check(t, err)
			if len(page) > limit {
				t.Fatalf("%d files, of at most %d", len(page), limit)
			}
			for _, f := range page {
				if f.Issuer != organisation || f.Type != "application/pdf" || f.Size != 7 || f.Made.IsZero() || f.Place <= after {
					t.Errorf("%+v", f)
				}
				all, after = append(all, f.ID), f.Place
			}
			if len(page) == 0 {
				return all
			}
		}
	}
	for _, issuer := range []domain.Organisation{"", organisation} {
		for _, limit := range []int{1, 2, 10} {
			if got := list(issuer, limit); !slices.Equal(got, want) {
				t.Errorf("of %q, %d at a time: %v, want %v", issuer, limit, got, want)
			}
		}
	}
	for only, n := range map[domain.AttachmentID]int{want[1]: 1, named.ID: 0, half: 0} {
		if page, err := e.ring.Files.Unclaimed(t.Context(), organisation, &only, 0, 10); err != nil || len(page) != n || n == 1 && page[0].ID != only {
			t.Errorf("only one: %+v (%v), want %d", page, err, n)
		}
	}
	if got := list("0220916609", 10); len(got) != 0 {
		t.Errorf("another issuer has %v", got)
	}
}

func filesOfOneDocument(t *testing.T, e *env) {
	mine, other, s := e.upload(t), e.upload(t), stream(t)
	for range 2 { // it may be repeated
		got := e.reserve(t, s, nil, mine)
		if len(got) != 1 || !bytes.Equal(got[0].Key, mine.Key) || !bytes.Equal(got[0].Digest, mine.Digest) || got[0].Size != 7 || got[0].Type != mine.Type {
			t.Fatalf("%d files came back otherwise", len(got))
		}
	}
	e.reserve(t, stream(t), seal.ErrUnknown, mine)
	e.reserve(t, stream(t), seal.ErrUnknown, other, mine) // all or none
	if _, err := e.ring.Files.Reserve(t.Context(), "0314595348", stream(t), []domain.AttachmentID{other.ID}); err != seal.ErrUnknown {
		t.Fatalf("another organisation took it: %v", err)
	}
	e.reserve(t, stream(t), seal.ErrUnknown, seal.File{ID: domain.AttachmentID{UUID: uuid.New()}})
	e.reserve(t, stream(t), nil, other) // not taken by those who were refused

	for range 2 {
		check(t, e.ring.Files.Claim(t.Context(), s, []domain.AttachmentID{mine.ID}))
	}
	if got := e.reserve(t, s, nil, mine); got[0].Key != nil || got[0].Digest != nil {
		t.Fatal("a claimed file has a key here still")
	}
	e.reserve(t, stream(t), seal.ErrUnknown, mine)
	// What is claimed or reserved is not dropped for its age.
	check(t, e.ring.DoomStale(t.Context(), later()))
	if got := e.doomed(t); len(got) != 0 {
		t.Fatalf("%d files are doomed", len(got))
	}
}

func reservationSettled(t *testing.T, e *env) {
	f, s := e.upload(t), stream(t)
	e.reserve(t, s, nil, f)
	before := time.Now().Add(-time.Hour)
	if held, err := e.ring.Reserved(t.Context(), before, 10); err != nil || len(held) != 0 {
		t.Fatalf("%v %v", held, err)
	}
	check(t, e.ring.Files.Release(t.Context(), seal.Reservation{ID: f.ID, Stream: s}, before)) // too young: somebody may be at it
	e.reserve(t, stream(t), seal.ErrUnknown, f)
	held, err := e.ring.Reserved(t.Context(), later(), 10)
	if err != nil || len(held) != 1 || held[0].ID != f.ID || held[0].Stream != s {
		t.Fatalf("%v %v", held, err)
	}
	check(t, e.ring.Files.Release(t.Context(), held[0], later()))
	e.reserve(t, stream(t), nil, f)
}

func filesDropped(t *testing.T, e *env) {
	ctx := t.Context()
	half := seal.File{ID: domain.AttachmentID{UUID: uuid.New()}, Issuer: organisation, Type: "image/png"}
	key, err := e.ring.Files.Make(ctx, half.ID, organisation, half.Type)
	check(t, err)
	e.reserve(t, stream(t), seal.ErrUnknown, half) // not uploaded yet
	kept, dropped := e.upload(t), e.upload(t)
	check(t, e.ring.DoomStale(ctx, time.Now().Add(-time.Hour)))
	if got := e.doomed(t); len(got) != 0 {
		t.Fatalf("%d young files are doomed", len(got))
	}
	check(t, e.ring.Files.Doom(ctx, dropped.ID))
	e.reserve(t, stream(t), seal.ErrUnknown, dropped)
	check(t, e.ring.DoomStale(ctx, later()))
	if got := e.doomed(t); len(got) != 3 {
		t.Fatalf("%d files are doomed", len(got))
	}
	e.reserve(t, stream(t), seal.ErrUnknown, kept)
	half.Key, half.Digest = key, make([]byte, sha256.Size)
	wants(t, e.ring.Files.Keep(ctx, half), seal.ErrUnknown) // an upload that ends too late
	for _, id := range e.doomed(t) {
		check(t, e.ring.Files.Forget(ctx, id))
		if known, err := e.ring.Files.Knows(ctx, id); err != nil || known {
			t.Fatal(known, err)
		}
	}
	live := e.upload(t)
	check(t, e.ring.Files.Forget(ctx, live.ID)) // only what is doomed
	if known, err := e.ring.Files.Knows(ctx, live.ID); err != nil || !known {
		t.Fatal(known, err)
	}
}

func filesErased(t *testing.T, e *env) {
	ctx := t.Context()
	c, _, err := e.ring.Enroll(ctx, SSIN(1))
	check(t, err)
	first, second, third := stream(t), stream(t), stream(t)
	for _, s := range []eventstore.Stream{first, second, third} {
		check(t, e.ring.MakeStreamKey(ctx, c, s))
	}
	held, about, other := e.upload(t), e.upload(t), e.upload(t)
	e.reserve(t, first, nil, held, about)
	check(t, e.ring.Files.Claim(ctx, first, []domain.AttachmentID{held.ID}))
	e.reserve(t, second, nil, other)
	check(t, e.ring.DestroyStreamKeys(ctx, first))
	if got := e.doomed(t); len(got) != 2 || got[0] != held.ID || got[1] != about.ID {
		t.Fatalf("of one document's files %d are doomed", len(got))
	}
	e.erase(t, c, seal.Suppression{Basis: "06.1c"})
	if got := e.doomed(t); len(got) != 3 {
		t.Fatalf("of a citizen's files %d are doomed", len(got))
	}
	// One that is reserved for a document that is gone already.
	late := e.upload(t)
	e.reserve(t, third, nil, late)
	check(t, e.ring.DoomStale(ctx, time.Now().Add(-time.Hour)))
	if got := e.doomed(t); len(got) != 4 {
		t.Fatalf("%d files are doomed", len(got))
	}
}

// fileKeyReplaced (E-3): with a version of the key-encryption key goes the deployment key
// that sealed keys of files in its time, so that a trim ends old copies of these, too.
func fileKeyReplaced(t *testing.T, e *env) {
	ctx := t.Context()
	behind := e.process(t, seal.Config{})
	kept, claimed, s, taken := e.upload(t), e.upload(t), stream(t), stream(t)
	e.reserve(t, taken, nil, claimed)
	check(t, e.ring.Claim(ctx, taken, []domain.AttachmentID{claimed.ID}))
	formerKey := e.column(t, `SELECT wrapped FROM deployment_keys WHERE name = 'attachment'`)
	for version := 2; version <= 4; version++ {
		before := e.column(t, `SELECT wrapped FROM attachments WHERE attachment = ?`, kept.ID.UUID[:])
		_, err := e.ring.Rotate(ctx)
		check(t, err)
		for range 2 { // repeated
			check(t, e.ring.RewrapAll(ctx, nil))
		}
		for query, want := range map[string]int{
			`SELECT min(version) FROM deployment_keys WHERE name = 'attachment'`:  version,
			`SELECT max(version) FROM deployment_keys WHERE name = 'attachment'`:  version,
			`SELECT min(kek_version) FROM deployment_keys`:                        version,
			`SELECT max(version) FROM deployment_keys WHERE name <> 'attachment'`: 1,
			`SELECT min(key_version) FROM attachments WHERE wrapped IS NOT NULL`:  version,
			`SELECT count(*) FROM attachments WHERE wrapped IS NOT NULL`:          1,
		} {
			if got := string(e.column(t, query)); got != strconv.Itoa(want) {
				t.Errorf("version %d: %s: %s, want %d", version, query, got, want)
			}
		}
		if after := e.column(t, `SELECT wrapped FROM attachments WHERE attachment = ?`, kept.ID.UUID[:]); bytes.Equal(after, before) || len(after) != len(before) {
			t.Errorf("version %d: the key of a file is sealed as before", version)
		}
	}
	if plain, err := e.kek.Unwrap(ctx, []seal.UnwrapItem{{Wrapped: formerKey, AAD: []byte("coffre/deployment-key/v2/attachment/1")}}); err != nil || plain[0].Err != nil {
		t.Fatalf("the former deployment key is in no old copy: the trim shows nothing: %v", err)
	}
	e.backUp(t)
	check(t, e.ring.Retire(ctx))
	check(t, e.ring.Trim(ctx))
	if plain, err := e.kek.Unwrap(ctx, []seal.UnwrapItem{{Wrapped: formerKey, AAD: []byte("coffre/deployment-key/v2/attachment/1")}}); err == nil && plain[0].Err == nil {
		t.Error("E-3 the former deployment key opens after the trim")
	}

	// A process that has the first version only reads and writes under the present one.
	ids := []domain.AttachmentID{kept.ID}
	for _, r := range []*Ring{behind, e.process(t, seal.Config{})} {
		got, err := r.Files.Reserve(ctx, organisation, s, ids)
		if err != nil || !bytes.Equal(got[0].Key, kept.Key) || !bytes.Equal(got[0].Digest, kept.Digest) {
			t.Fatal("a file does not come back", err)
		}
	}
	writer := e.process(t, seal.Config{})
	e.rotate(t)
	fresh := seal.File{ID: domain.AttachmentID{UUID: uuid.New()}, Issuer: organisation, Type: "application/pdf", Size: 7, Digest: kept.Digest}
	var err error
	fresh.Key, err = writer.Make(ctx, fresh.ID, fresh.Issuer, fresh.Type)
	check(t, err)
	e.rotate(t)
	check(t, writer.Keep(ctx, fresh))
	if got := e.reserve(t, s, nil, fresh); !bytes.Equal(got[0].Key, fresh.Key) {
		t.Error("a file that was uploaded meanwhile does not come back")
	}
}

// fileKeyRaces: files are made, kept and reserved while the deployment key is replaced; all
// come back.
func fileKeyRaces(t *testing.T, e *env) {
	ctx := t.Context()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	made := atomic.Int64{}
	for range 2 {
		r := e.process(t, seal.Config{})
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				f := seal.File{ID: domain.AttachmentID{UUID: uuid.New()}, Issuer: organisation, Type: "application/pdf", Size: 7, Digest: bytes.Repeat([]byte{7}, 32)}
				var err error
				if f.Key, err = r.Make(ctx, f.ID, f.Issuer, f.Type); err == nil {
					err = r.Keep(ctx, f)
				}
				if err != nil {
					t.Error(err)
					return
				}
				got, err := r.Files.Reserve(ctx, organisation, eventstore.Stream("document-"+f.ID.String()), []domain.AttachmentID{f.ID})
				if err != nil || !bytes.Equal(got[0].Key, f.Key) {
					t.Error("a file does not come back", err)
					return
				}
				made.Add(1)
			}
		})
	}
	for range 5 {
		e.rotate(t)
	}
	close(stop)
	wg.Wait()
	if made.Load() == 0 {
		t.Error("no file was made: this shows nothing")
	}
}

// damagedFileKey: a key of a file that does not open holds back the trim of the deployment
// key it is under, and no other key.
func damagedFileKey(t *testing.T, e *env) {
	ctx := t.Context()
	damaged, whole, c, p := e.upload(t), e.upload(t), Citizen(t, e.ring, 1), place(stream(t))
	part := sealed(t, e.ring, c, p, "x")
	_, err := keysdb.Do(ctx, e.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Update(Table(t, e.db, "attachments"), `attachment = ?`, []any{damaged.ID.UUID[:]}, func(e *keysdb.Entry) { e.Set("wrapped", make([]byte, 92)) })
	})
	check(t, err)
	_, err = e.ring.Rotate(ctx)
	check(t, err)
	wants(t, e.ring.RewrapAll(ctx, nil), seal.ErrRefused)
	if s, err := e.ring.Status(ctx); err != nil || s.Behind() != 1 {
		t.Fatalf("%+v %v", s, err)
	}
	wants(t, e.ring.Retire(ctx), seal.ErrNotRewrapped)
	check(t, e.ring.Doom(ctx, damaged.ID)) // as every file that no document names, after a day
	check(t, e.ring.RewrapAll(ctx, nil))
	e.backUp(t)
	check(t, e.ring.Retire(ctx))
	opens(t, e.process(t, seal.Config{}), p, part, "x")
	if got := e.reserve(t, stream(t), nil, whole); !bytes.Equal(got[0].Key, whole.Key) {
		t.Error("another file does not come back")
	}
}

// destroyedWhileRewrapping (E-3): files may be sealed under the next version before the
// citizens' keys are, and what is destroyed then needs the trim of that one.
func destroyedWhileRewrapping(t *testing.T, e *env) {
	ctx := t.Context()
	keeps, gone := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	s := stream(t)
	sealed(t, e.ring, keeps, place(s), "x")
	latest, err := e.ring.Rotate(ctx)
	check(t, err)
	calls := 0
	e.kek.Before(func(method string) error {
		if method == "Rewrap" {
			if calls++; calls == 2 { // the citizens, after the deployment keys: read, not stored
				check(t, e.ring.DestroyStreamKeys(ctx, s))
				check(t, e.ring.ReplaceDataKey(ctx, keeps))
				e.erase(t, gone, seal.Suppression{})
			}
		}
		return nil
	})
	check(t, e.ring.RewrapAll(ctx, nil))
	e.kek.Before(nil)
	if calls != 2 {
		t.Fatalf("%d calls to Rewrap: nothing came between", calls)
	}
	ofStream, err := e.destroyedStream(t, s)
	check(t, err)
	ofSubject, err := e.destroyedSubject(t, gone)
	if err != nil || ofStream.WrappedBy != latest || ofSubject.WrappedBy != latest {
		t.Errorf("E-3 wrapped by %d and %d, want %d: %v", ofStream.WrappedBy, ofSubject.WrappedBy, latest, err)
	}
}
