package seal_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/keystest"
	"coffre/eventstore/seal/ringtest"
	"coffre/eventstore/sqlite/sqlitedb"
)

func TestRingOnSQLite(t *testing.T) {
	ringtest.Run(t, func(t *testing.T) *keysdb.DB { return ringtest.OpenDB(t, t.TempDir()) })
}

// A wrapper around a key-encryption key keeps the contract too.
func TestRingOnPostgreSQL(t *testing.T) {
	ringtest.RunProcesses(t, func(t *testing.T) func() *keysdb.DB {
		dsn := pgtest.Shared(t).Database(t)
		return func() *keysdb.DB { return ringtest.OpenPostgres(t, dsn) }
	})
}

func TestKeeperContract(t *testing.T) {
	dirs := map[string]string{} // by test
	reopen := func(t *testing.T) keystest.Keys { return ringtest.OpenKeeper(t, dirs[t.Name()]) }
	keystest.Run(t, func(t *testing.T) keystest.Keys {
		dirs[t.Name()] = t.TempDir()
		return reopen(t)
	}, reopen)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func place(n int) eventstore.Place {
	return eventstore.Place{
		Stream: eventstore.Stream(fmt.Sprintf("document-00000000-0000-4000-8000-%012d", n)),
		ID:     uuid.MustParse("6f0c1f9a-6a6e-4e0b-9a3c-000000000001"),
		Type:   "document.issued/1",

		Revision: 7,
		Facts:    eventstore.Facts{1, 2, 3},
	}
}

// spy is a key-encryption key that remembers what it wrapped.
type spy struct {
	*ringtest.Keeper
	mu      sync.Mutex
	plain   [][]byte
	wrapped [][]byte
}

func (s *spy) Wrap(ctx context.Context, items []seal.WrapItem) ([]seal.Wrapped, error) {
	out, err := s.Keeper.Wrap(ctx, items)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, item := range items {
		s.plain = append(s.plain, bytes.Clone(item.Plain))
		if err == nil {
			s.wrapped = append(s.wrapped, bytes.Clone(out[i].Bytes))
		}
	}
	return out, err
}

// readIndependently opens a sealed part as docs/log-format.md describes it, sharing no code
// with the product but Go's cryptography.
func readIndependently(t *testing.T, dek []byte, wrapped []byte, p eventstore.Place, sealed []byte) (contentKey, plain []byte) {
	t.Helper()
	open := func(k, nonce, box, aad []byte) []byte {
		t.Helper()
		block, err := aes.NewCipher(k)
		check(t, err)
		gcm, err := cipher.NewGCM(block)
		check(t, err)
		out, err := gcm.Open(nil, nonce, box, aad)
		check(t, err)
		return out
	}
	if sealed[0] != 2 || sealed[1] != 1 || sealed[2] != 1 {
		t.Fatal("format, algorithm or what is bound")
	}
	keyID := sealed[3:19]
	sub, err := hkdf.Expand(sha256.New, dek, "coffre/content-keys/v1", 32)
	check(t, err)
	contentKey = open(sub, wrapped[:12], wrapped[12:], append(append([]byte("coffre/content-key/v1\x00"), keyID...), p.Stream...))

	aad := []byte("coffre/sealed/v2")
	for _, part := range [][]byte{[]byte(p.Stream), p.ID[:], []byte(p.Type), keyID} {
		aad = binary.BigEndian.AppendUint16(aad, uint16(len(part)))
		aad = append(aad, part...)
	}
	aad = binary.BigEndian.AppendUint64(aad, uint64(p.Revision))
	aad = append(aad, p.Facts[:]...)
	nonce, box, commitment := sealed[19:31], sealed[31:len(sealed)-32], sealed[len(sealed)-32:]
	key, err := hkdf.Expand(sha256.New, contentKey, "coffre/sealed-commitment/v2", 32)
	check(t, err)
	mac := hmac.New(sha256.New, key)
	mac.Write(bytes.Join([][]byte{aad, nonce, box[len(box)-16:]}, nil))
	if !bytes.Equal(mac.Sum(nil), commitment) {
		t.Fatal("the commitment is another")
	}
	key, err = hkdf.Expand(sha256.New, contentKey, "coffre/sealed-content/v2", 32)
	check(t, err)
	return contentKey, open(key, nonce, box, aad)
}

// wrappedContentKey reads a stream's row past the ring.
func wrappedContentKey(t *testing.T, db *keysdb.DB, p eventstore.Place) (wrapped []byte) {
	t.Helper()
	s, err := db.Read(`SELECT wrapped FROM stream_keys WHERE stream = ?`)
	check(t, err)
	check(t, s.Get(&wrapped, string(p.Stream)))
	return wrapped
}

func TestSealedBytesAreAsDocumented(t *testing.T) {
	dir := t.TempDir()
	db := ringtest.OpenDB(t, dir)
	kek := &spy{Keeper: ringtest.OpenKeeper(t, dir)}
	r := ringtest.OpenRing(t, db, kek, seal.Config{})
	c, p := ringtest.Citizen(t, r, 1), place(1)
	part, err := seal.Sealer{Ring: r.Ring}.Seal(t.Context(), c, p, []byte("secret"))
	check(t, err)
	dek := kek.plain[len(kek.plain)-1]
	if _, plain := readIndependently(t, dek, wrappedContentKey(t, db, p), p, part); string(plain) != "secret" {
		t.Fatalf("%q", plain)
	}
	if id, ok := seal.KeyID(part); !ok || !bytes.Equal(id[:], part[3:19]) {
		t.Fatal(id, ok)
	}
}

// Nothing on disk but the key file opens anything, and what was destroyed is in no
// file at all, not even wrapped.
func TestNoKeyAndNoNumberOnDisk(t *testing.T) {
	dir := t.TempDir()
	kek := &spy{Keeper: ringtest.OpenKeeper(t, dir)}
	db, err := keysdb.Open(t.Context(), filepath.Join(dir, "keys.db"), sqlitedb.Options{})
	check(t, err)
	opened, err := seal.OpenRing(t.Context(), db, kek, seal.Config{})
	check(t, err)
	r := ringtest.TakeAll(t, opened, kek)
	secrets := map[string][]byte{}
	const n = 40
	var doomed [][]byte // wrapped keys of those who will be erased
	for i := range n {
		c, p := ringtest.Citizen(t, r, i), place(i)
		part, err := seal.Sealer{Ring: r.Ring}.Seal(t.Context(), c, p, []byte("secret"))
		check(t, err)
		wrapped := wrappedContentKey(t, db, p)
		secrets[fmt.Sprint("content key ", i)], _ = readIndependently(t, kek.plain[len(kek.plain)-1], wrapped, p, part)
		secrets[fmt.Sprint("number ", i)] = []byte(ringtest.SSIN(i).Reveal())
		_, err = r.Ref(t.Context(), "0206731645", c)
		check(t, err)
		if i%3 == 0 {
			doomed = append(doomed, wrapped, kek.wrapped[len(kek.wrapped)-1])
		}
	}
	for i, k := range kek.plain {
		secrets[fmt.Sprint("wrapped key ", i)] = k
	}
	look := func(when string) (sawWrapped int) {
		t.Helper()
		files, err := os.ReadDir(dir)
		check(t, err)
		for _, f := range files {
			b, err := os.ReadFile(filepath.Join(dir, f.Name()))
			check(t, err)
			lower := bytes.ToLower(b)
			for what, secret := range secrets {
				raw := base64.StdEncoding.EncodeToString(secret)
				url := base64.RawURLEncoding.EncodeToString(secret)
				if bytes.Contains(b, secret) || bytes.Contains(b, []byte(strings.TrimRight(raw, "="))) || bytes.Contains(b, []byte(url)) || bytes.Contains(lower, []byte(hex.EncodeToString(secret))) {
					t.Errorf("%s: %s is in %s", when, what, f.Name())
				}
			}
			for _, wrapped := range doomed {
				if bytes.Contains(b, wrapped[16:48]) {
					sawWrapped++
				}
			}
		}
		return sawWrapped
	}
	if saw := look("open"); saw < len(doomed) {
		t.Fatalf("of %d wrapped keys %d are on disk: this test sees nothing", len(doomed), saw)
	}
	for i := 0; i < n; i += 3 {
		c, err := r.Resolve(t.Context(), ringtest.SSIN(i))
		check(t, err)
		check(t, r.BeginErase(t.Context(), c))
		check(t, r.DestroySubject(t.Context(), c, seal.Suppression{}))
	}
	if saw := look("after the erasures"); saw != 0 {
		t.Errorf("%d destroyed keys are still on disk, wrapped", saw)
	}
	check(t, r.Close())
	check(t, db.Close())
	if saw := look("closed"); saw != 0 {
		t.Errorf("%d destroyed keys are still on disk, wrapped", saw)
	}
}

// nobody's key is waited for as somebody's is, until the medium is synced.
func TestImitatedKeyWaitsForTheMedium(t *testing.T) {
	dir, medium := t.TempDir(), ringtest.NewMedium(t)
	db, err := keysdb.Open(t.Context(), filepath.Join(dir, "keys.db"), sqlitedb.Options{VFS: medium.Name})
	check(t, err)
	defer db.Close()
	r := ringtest.OpenRing(t, db, ringtest.OpenKeeper(t, dir), seal.Config{})
	c := ringtest.Citizen(t, r, 1)
	check(t, r.MakeStreamKey(t.Context(), c, place(1).Stream)) // and nothing is queued that nobody waits for
	syncs := func(what func() error) int {
		before := medium.Syncs()
		check(t, what())
		return medium.Syncs() - before
	}
	made := syncs(func() error { return r.MakeStreamKey(t.Context(), c, place(2).Stream) })
	imitated := syncs(func() error { return r.ImitateStreamKey(t.Context()) })
	if made == 0 || imitated != made {
		t.Errorf("%d syncs for a key, %d for none", made, imitated)
	}
}

// ringOn opens a ring over a file on a medium that is going to break; the caller closes both.
func ringOn(t *testing.T, dir string, medium *ringtest.Medium, kek *ringtest.Keeper) (*ringtest.Ring, *keysdb.DB) {
	t.Helper()
	db, err := keysdb.Open(t.Context(), filepath.Join(dir, "keys.db"), sqlitedb.Options{VFS: medium.Name})
	check(t, err)
	opened, err := seal.OpenRing(t.Context(), db, kek, seal.Config{})
	check(t, err)
	return ringtest.TakeAll(t, opened, kek), db
}

// Whatever call to the medium is the last one: what was sealed opens again, an
// erasure that was acknowledged stands, one that was not is resumed.
func TestKilledAtEveryCall(t *testing.T) {
	first, step := someCalls(t)
	for n := first; ; n += step {
		dir := t.TempDir()
		medium := ringtest.NewMedium(t)
		kek := ringtest.OpenKeeper(t, dir)
		r, db := ringOn(t, dir, medium, kek)
		early := ringtest.Citizen(t, r, 1)
		s := seal.Sealer{Ring: r.Ring}
		ofEarly, err := s.Seal(t.Context(), early, place(1), []byte("early"))
		check(t, err)

		medium.BreakAfter(n)
		late, _, enrolled := r.Enroll(t.Context(), ringtest.SSIN(2))
		var ofLate []byte
		unsealed := enrolled
		if enrolled == nil {
			ofLate, unsealed = s.Seal(t.Context(), late, place(2), []byte("late"))
		}
		begun := r.BeginErase(t.Context(), early)
		destroyed := r.DestroySubject(t.Context(), early, seal.Suppression{Basis: "06.1c"})
		broken := medium.Broken()
		for _, err := range []error{enrolled, unsealed, begun} {
			if err != nil && !errors.Is(err, eventstore.ErrKeysUnavailable) {
				t.Fatalf("call %d: %v", n, err)
			}
		}
		medium.BreakAfter(0) // dead: closing writes nothing either
		r.Close()
		db.Close()

		again := ringtest.OpenRing(t, ringtest.OpenDB(t, dir), kek, seal.Config{})
		s = seal.Sealer{Ring: again.Ring}
		if enrolled == nil {
			if c, err := again.Resolve(t.Context(), ringtest.SSIN(2)); err != nil || c != late {
				t.Fatalf("call %d: an enrolment is lost: %v", n, err)
			}
		}
		if unsealed == nil {
			if got, err := seal.Opener(s).Open(t.Context(), nil, place(2), ofLate); err != nil || string(got) != "late" {
				t.Fatalf("call %d: sealed with a key that is lost: %v", n, err)
			}
		}
		got, err := seal.Opener(s).Open(t.Context(), nil, place(1), ofEarly)
		if begun == nil && !errors.Is(err, eventstore.ErrErased) {
			t.Fatalf("call %d: opened after the erasure began: %v", n, err)
		}
		if begun != nil && err == nil && string(got) != "early" {
			t.Fatalf("call %d", n)
		}
		status, err := again.Status(t.Context())
		check(t, err)
		if destroyed == nil && (status.Destroyed != 1 || status.Suppressed != 1 || status.Erasing != 0) {
			t.Fatalf("call %d: %+v", n, status)
		}
		// Resumed: the rows are whole or gone, never half.
		check(t, again.BeginErase(t.Context(), early))
		check(t, again.DestroySubject(t.Context(), early, seal.Suppression{Basis: "06.1c"}))
		if _, err := seal.Opener(s).Open(t.Context(), nil, place(1), ofEarly); !errors.Is(err, eventstore.ErrErased) {
			t.Fatal(err)
		}
		if s, ok, err := again.Suppressed(t.Context(), ringtest.SSIN(1)); err != nil || !ok || s.Basis != "06.1c" {
			t.Fatalf("call %d: suppression %t, %v", n, ok, err)
		}
		if !broken {
			if n < 10 {
				t.Fatalf("only %d calls: this test broke nothing", n)
			}
			return
		}
	}
}

// With time of its own: an idle process drops destroyed keys, and without the
// database a lease ends.
func TestLeaseInTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := ringtest.OpenDB(t, dir)
		kek := ringtest.OpenKeeper(t, dir)
		one, other := ringtest.OpenRing(t, db, kek, seal.Config{}), ringtest.OpenRing(t, db, kek, seal.Config{})
		c, bystander := ringtest.Citizen(t, one, 1), ringtest.Citizen(t, one, 2)
		ofC, err := seal.Sealer{Ring: one.Ring}.Seal(t.Context(), c, place(1), []byte("secret"))
		check(t, err)
		ofBystander, err := seal.Sealer{Ring: one.Ring}.Seal(t.Context(), bystander, place(2), []byte("secret"))
		check(t, err)
		opens := func(n int, part []byte, want error) {
			t.Helper()
			if _, err := (seal.Opener{Ring: other.Ring}).Open(t.Context(), nil, place(n), part); !errors.Is(err, want) {
				t.Fatalf("%v, want %v", err, want)
			}
		}
		opens(1, ofC, nil)
		opens(2, ofBystander, nil)
		time.Sleep(5 * seal.MaxLease) // renewed all the time
		calls := kek.Calls("Unwrap")
		opens(1, ofC, nil)

		check(t, one.BeginErase(t.Context(), c))
		time.Sleep(other.Lease())
		opens(1, ofC, eventstore.ErrErased)
		opens(2, ofBystander, nil)
		if n := kek.Calls("Unwrap") - calls; n != 0 {
			t.Errorf("%d calls to the keeper for keys that were warm", n)
		}

		check(t, db.Close())
		opens(2, ofBystander, nil)
		time.Sleep(other.Lease())
		opens(2, ofBystander, eventstore.ErrKeysUnavailable)
	})
}

// Whoever asks after the destruction must not be given what was read before it.
func TestLoadThatBeganBeforeTheDestruction(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, kek := ringtest.OpenDB(t, dir), ringtest.OpenKeeper(t, dir)
		first := ringtest.OpenRing(t, db, kek, seal.Config{})
		c := ringtest.Citizen(t, first, 1)
		part, err := seal.Sealer{Ring: first.Ring}.Seal(t.Context(), c, place(1), []byte("secret"))
		check(t, err)
		r := ringtest.OpenRing(t, db, kek, seal.Config{}) // nothing in memory
		gate := make(chan struct{})
		kek.Before(func(string) error { <-gate; return nil })
		results := make(chan error, 2)
		open := func() {
			_, err := seal.Opener{Ring: r.Ring}.Open(t.Context(), nil, place(1), part)
			results <- err
		}
		go open()
		synctest.Wait() // it has read the row and waits for the keeper
		check(t, r.BeginErase(t.Context(), c))
		go open()
		synctest.Wait() // it waits for the same load
		close(gate)
		for range 2 {
			if err := <-results; !errors.Is(err, eventstore.ErrErased) {
				t.Error(err)
			}
		}
	})
}

// A lease counts from before the list of destructions is read, so that what was destroyed by
// then stands in it. At whichever look at the clock another process destroys a key, the key is
// out of use one lease later.
func TestLeaseCountsFromBeforeTheListIsRead(t *testing.T) {
	for look := int64(1); ; look++ {
		dir := t.TempDir()
		db, kek := ringtest.OpenDB(t, dir), ringtest.OpenKeeper(t, dir)
		one := ringtest.OpenRing(t, db, kek, seal.Config{})
		c := ringtest.Citizen(t, one, 1)
		at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		var destroyed time.Time
		looks, armed := int64(0), false
		other := ringtest.OpenRing(t, db, kek, seal.Config{Now: func() time.Time {
			if looks++; armed && looks == look {
				check(t, one.BeginErase(t.Context(), c))
				destroyed = at
				at = at.Add(time.Millisecond) // the next moment
			}
			return at
		}})
		part, err := seal.Sealer{Ring: one.Ring}.Seal(t.Context(), c, place(1), []byte("secret"))
		check(t, err)
		open := func() error {
			_, err := seal.Opener{Ring: other.Ring}.Open(t.Context(), nil, place(1), part)
			return err
		}
		check(t, open())
		at = at.Add(other.Lease())
		looks, armed = 0, true
		_ = open() // it renews the lease, and meets the destruction or not
		armed = false
		if destroyed.IsZero() {
			if look < 4 {
				t.Fatalf("only %d looks at the clock: this test saw no renewal", looks)
			}
			return
		}
		check(t, db.Close()) // nothing is renewed any more
		at = destroyed.Add(other.Lease())
		if err := open(); err == nil {
			t.Errorf("destroyed at look %d at the clock, it opens one lease later", look)
		}
	}
}

// A process that stops between taking the key and using it must ask again.
func TestLeaseEndsWhileOpening(t *testing.T) {
	dir := t.TempDir()
	db, kek := ringtest.OpenDB(t, dir), ringtest.OpenKeeper(t, dir)
	var skip atomic.Int64 // seconds the clock jumps at the second look from now
	var looks atomic.Int64
	start := time.Now()
	now := func() time.Time {
		if skip.Load() > 0 && looks.Add(1) >= 2 {
			return start.Add(time.Duration(skip.Load()) * time.Second)
		}
		return start
	}
	r := ringtest.OpenRing(t, db, kek, seal.Config{Now: now})
	c, s := ringtest.Citizen(t, r, 1), seal.Sealer{Ring: r.Ring}
	part, err := s.Seal(t.Context(), c, place(1), []byte("secret"))
	check(t, err)
	check(t, db.Close()) // the lease cannot be renewed
	for i, use := range []func() error{
		func() error { _, err := seal.Opener(s).Open(t.Context(), nil, place(1), part); return err },
		func() error { _, err := s.Seal(t.Context(), c, place(1), nil); return err },
		func() error { _, err := r.ContentTag(t.Context(), c, nil); return err },
	} {
		skip.Store(0)
		if err := use(); err != nil {
			t.Fatal(i, err)
		}
		looks.Store(0)
		skip.Store(31)
		if err := use(); !errors.Is(err, eventstore.ErrKeysUnavailable) {
			t.Errorf("use %d: %v", i, err)
		}
	}
}

func TestDeploymentKeys(t *testing.T) {
	dir := t.TempDir()
	db, kek := ringtest.OpenDB(t, dir), ringtest.OpenKeeper(t, dir)
	r := ringtest.OpenRing(t, db, kek, seal.Config{})
	again := ringtest.OpenRing(t, db, kek, seal.Config{})
	seen := map[string]bool{}
	for _, name := range []string{seal.RequestKey, seal.AuditKey, seal.PageTokenKey} {
		k := r.DeploymentKey(name)
		if k.Version != 1 || len(k.Bytes()) != 32 || !bytes.Equal(k.Bytes(), again.DeploymentKey(name).Bytes()) || seen[string(k.Bytes())] {
			t.Fatalf("%s is not a key of its own that stays", name)
		}
		seen[string(k.Bytes())] = true
		if k.MAC([]byte("a"), []byte("b")) != k.MAC([]byte("ab")) || k.MAC([]byte("a")) == k.MAC([]byte("b")) {
			t.Error("MAC")
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			for _, value := range []any{k, &k, struct{ K seal.DeploymentKey }{k}} {
				if out := fmt.Sprintf(verb, value); strings.Contains(out, hex.EncodeToString(k.Bytes()[:4])) || strings.Contains(out, fmt.Sprint(k.Bytes()[0], k.Bytes()[1])) {
					t.Errorf("%s prints the key", verb)
				}
			}
		}
	}
	ringtest.Citizen(t, r, 1)
	_, err := keysdb.Do(t.Context(), db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`DELETE FROM deployment_keys WHERE name = 'pepper'`)
	})
	check(t, err)
	if _, err := seal.OpenRing(t.Context(), db, kek, seal.Config{}); err == nil {
		t.Fatal("a new pepper was made while citizens are found by the old one")
	}
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	db, kek := ringtest.OpenDB(t, dir), ringtest.OpenKeeper(t, dir)
	for _, lease := range []time.Duration{time.Millisecond, -1, seal.MaxLease + 1} {
		if _, err := seal.OpenRing(t.Context(), db, kek, seal.Config{Lease: lease}); err == nil {
			t.Errorf("a lease of %v was taken", lease)
		}
	}
}

func TestPlacesThatAreNone(t *testing.T) {
	r := ringtest.New(t)
	c, s := ringtest.Citizen(t, r, 1), seal.Sealer{Ring: r.Ring}
	good := place(1)
	part, err := s.Seal(t.Context(), c, good, nil)
	check(t, err)
	for _, spoil := range []func(*eventstore.Place){
		func(p *eventstore.Place) { p.Stream = "" },
		func(p *eventstore.Place) {
			p.Stream = eventstore.Stream(strings.Repeat("x", eventstore.MaxStreamName+1))
		},
		func(p *eventstore.Place) { p.Type = "" },
		func(p *eventstore.Place) { p.Type = strings.Repeat("x", 1<<16) },
	} {
		p := good
		spoil(&p)
		if _, err := s.Seal(t.Context(), c, p, nil); !errors.Is(err, eventstore.ErrInvalid) {
			t.Error(err)
		}
		if _, err := seal.Opener(s).Open(t.Context(), nil, p, part); !errors.Is(err, eventstore.ErrInvalid) {
			t.Error(err)
		}
	}
}

// No bytes but those that were sealed for the place open, and none makes a fault of
// another kind than tampering.
func FuzzOpen(f *testing.F) {
	r := ringtest.New(f)
	c, s, p := ringtest.Citizen(f, r, 1), seal.Sealer{Ring: r.Ring}, place(1)
	good, err := s.Seal(f.Context(), c, p, []byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, p.Type)
	f.Add(good, "document.issued/2")
	f.Add(good[:seal.Overhead], p.Type)
	f.Add(append(bytes.Clone(good[:19]), make([]byte, 60)...), p.Type)
	f.Add(append([]byte{1, 1}, good[3:]...), p.Type)
	f.Add(append([]byte{2, 2}, good[2:]...), p.Type)
	f.Add(append([]byte{2, 1, 0}, good[3:]...), p.Type)
	f.Add(append([]byte{3, 1}, good[2:]...), p.Type)
	f.Fuzz(func(t *testing.T, sealed []byte, typ string) {
		if typ == "" || len(typ) > 1<<10 || bytes.Equal(sealed, good) {
			return
		}
		p := p
		p.Type = typ
		if got, err := seal.Opener(s).Open(t.Context(), nil, p, sealed); !errors.Is(err, eventstore.ErrTampered) || got != nil {
			t.Fatalf("opened %d bytes: %v", len(got), err)
		}
	})
}

// The authority to destroy and the one to rotate are given out once, and the ring
// itself has neither.
func TestAuthoritiesAreTakenOnce(t *testing.T) {
	dir := t.TempDir()
	kek := ringtest.OpenKeeper(t, dir)
	r := ringtest.OpenRing(t, ringtest.OpenDB(t, dir), kek, seal.Config{}) // takes both
	if d, err := r.TakeDestroyer(); !errors.Is(err, seal.ErrTaken) || d != nil {
		t.Errorf("a second destroyer was given out: %v", err)
	}
	if again, err := r.TakeRotator(kek); !errors.Is(err, seal.ErrTaken) || again != nil {
		t.Errorf("a second rotator was given out: %v", err)
	}
	ring := reflect.TypeFor[*seal.Ring]()
	for _, authority := range []reflect.Type{reflect.TypeFor[*seal.Destroyer](), reflect.TypeFor[*seal.Rotator](), reflect.TypeFor[seal.Opener]()} {
		if authority.NumMethod() == 0 {
			t.Fatalf("%v does nothing: this test looks at the wrong type", authority)
		}
		for i := range authority.NumMethod() {
			if name := authority.Method(i).Name; hasMethod(ring, name) {
				t.Errorf("whoever holds the ring may %s", name)
			}
		}
	}
}

func hasMethod(t reflect.Type, name string) bool {
	_, has := t.MethodByName(name)
	return has
}
