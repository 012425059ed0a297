package ringtest

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
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
