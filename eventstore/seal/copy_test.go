package seal_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
)

// A ring that was copied into another database, under another key-encryption key,
// opens what the first one sealed, finds whom it knew, and nothing more.
func TestRingCopied(t *testing.T) {
	const n = 1100 // more than one call to a keeper takes
	ctx := t.Context()
	from := ringtest.OpenDB(t, t.TempDir())
	kek := ringtest.OpenKeeper(t, t.TempDir())
	r := ringtest.OpenRing(t, from, kek, seal.Config{})
	var citizens [n]domain.CitizenID
	for i := range n {
		citizens[i] = ringtest.Citizen(t, r, i)
	}
	sealed := map[int][]byte{}
	for i := range 20 {
		part, err := seal.Sealer{Ring: r.Ring}.Seal(ctx, citizens[i], place(i), []byte("secret"))
		check(t, err)
		sealed[i] = part
	}
	ref, err := r.Ref(ctx, "0206731645", citizens[3])
	check(t, err)
	check(t, r.BeginErase(ctx, citizens[0]))
	check(t, r.DestroySubject(ctx, citizens[0], seal.Suppression{}))
	now := time.Now()
	check(t, r.NoteBackup(ctx, seal.BackupNote{Taken: now, Verified: now, OldestVersion: 1, SHA256: [32]byte{1}}))
	check(t, r.Close())

	to, _, err := keysdb.OpenPostgres(ctx, pgtest.Shared(t).Database(t))
	check(t, err)
	defer to.Close()
	check(t, to.BeginCopy(ctx))
	other := ringtest.OpenKeeper(t, t.TempDir())
	if _, err := seal.OpenRing(ctx, to, other, seal.Config{}); !errors.Is(err, keysdb.ErrUnfinished) {
		t.Fatalf("a ring was opened before its keys came: %v", err)
	}
	check(t, seal.Migrate(ctx, to))
	wraps := other.Calls("Wrap")
	check(t, keysdb.Copy(ctx, from, to, seal.Rewrapping(kek, other), nil))
	check(t, to.EndCopy(ctx))
	if calls := other.Calls("Wrap") - wraps; calls > 4 {
		t.Errorf("%d keys were wrapped in %d calls", n, calls)
	}

	copied := ringtest.OpenRing(t, to, other, seal.Config{})
	for i := 1; i < n; i += 7 {
		if c, err := copied.Resolve(ctx, ringtest.SSIN(i)); err != nil || c != citizens[i] {
			t.Fatalf("citizen %d is %v, %v", i, c, err)
		}
	}
	for i := 1; i < len(sealed); i++ {
		plain, err := seal.Opener{Ring: copied.Ring}.Open(ctx, nil, place(i), sealed[i])
		if err != nil || string(plain) != "secret" {
			t.Fatalf("part %d: %q, %v", i, plain, err)
		}
	}
	if again, err := copied.Ref(ctx, "0206731645", citizens[3]); err != nil || again != ref {
		t.Fatalf("the reference became %v, %v", again, err)
	}
	if _, err := (seal.Opener{Ring: copied.Ring}).Open(ctx, nil, place(0), sealed[0]); !errors.Is(err, eventstore.ErrErased) {
		t.Fatalf("an erased citizen's part: %v", err)
	}
	if _, _, err := copied.Enroll(ctx, ringtest.SSIN(0)); !errors.Is(err, seal.ErrCitizenErased) {
		t.Fatalf("an erased citizen: %v", err)
	}
	if _, noted, err := copied.LastBackup(ctx); err != nil || noted {
		t.Fatalf("the other keeper's backup came with it: %v", err)
	}
	fresh, isNew, err := copied.Enroll(ctx, ringtest.SSIN(n+1))
	if err != nil || !isNew || fresh.UUID == uuid.Nil {
		t.Fatalf("a new citizen: %v, %v", isNew, err)
	}
	_, err = other.Rotate(ctx)
	check(t, err)
	known, err := copied.Destructions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := known.Subject(ctx, citizens[0]); err != nil || d.WrappedBy != 2 || !d.TrimmedAt.IsZero() {
		t.Fatalf("what the former keeper's version says of a destruction came along: %+v, %v", d, err)
	}
	check(t, copied.RewrapAll(ctx, nil))
	status, err := copied.Status(ctx)
	if err != nil || status.Active+status.Pending != n || status.Destroyed != 1 || status.Behind() != 0 {
		t.Fatalf("%+v, %v", status, err)
	}
}

// A key that the first keeper does not open ends the copy.
func TestRingCopiedWithAnotherKeysKeeper(t *testing.T) {
	from := ringtest.OpenDB(t, t.TempDir())
	r := ringtest.OpenRing(t, from, ringtest.OpenKeeper(t, t.TempDir()), seal.Config{})
	ringtest.Citizen(t, r, 1)
	check(t, r.Close())
	stranger, other := ringtest.OpenKeeper(t, t.TempDir()), ringtest.OpenKeeper(t, t.TempDir())
	change := seal.Rewrapping(stranger, other)
	to := emptyDB(t)
	if err := keysdb.Copy(context.Background(), from, to, change, nil); !errors.Is(err, seal.ErrRefused) {
		t.Fatal(err)
	}
	if unfinished, err := to.Unfinished(t.Context()); err != nil || !unfinished {
		t.Fatalf("unfinished %v, %v", unfinished, err)
	}
}

func emptyDB(t *testing.T) *keysdb.DB {
	t.Helper()
	to := ringtest.OpenDB(t, t.TempDir())
	check(t, to.BeginCopy(t.Context()))
	check(t, seal.Migrate(t.Context(), to))
	return to
}
