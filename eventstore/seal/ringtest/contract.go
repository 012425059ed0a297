package ringtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
)

// Run tests the contract of a ring. open returns an empty database that ends with
// the test; several rings share it, as several processes would.
func Run(t *testing.T, open func(t *testing.T) *keysdb.DB) {
	RunProcesses(t, func(t *testing.T) func() *keysdb.DB {
		db := open(t)
		return func() *keysdb.DB { return db }
	})
}

// RunProcesses is Run for a database that several processes open: open makes an
// empty one, and what it returns opens that again for each ring.
func RunProcesses(t *testing.T, open func(t *testing.T) func() *keysdb.DB) {
	RunKeeper(t, open, func(t *testing.T) *Keeper { return OpenKeeper(t, t.TempDir()) })
}

// RunKeeper is RunProcesses with a keeper of one's own: keeper makes one with a
// fresh key.
func RunKeeper(t *testing.T, open func(t *testing.T) func() *keysdb.DB, keeper func(t *testing.T) *Keeper) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, e *env)
	}{
		{"a person is found by their number", found},
		{"64 enrolments of one person make one citizen", enrolRace},
		{"pending until activated", pendingUntilActivated},
		{"a replaced number leads to the same citizen", replaced},
		{"references cannot be joined", references},
		{"document ids and content tags", derived},
		{"a sealed part opens in its place only", moved},
		{"every bit counts", bits},
		{"one key per stream", oneKey},
		{"a stream has one citizen", otherCitizen},
		{"E-3 a destroyed citizen never opens again", erased},
		{"E-3 a destroyed stream never opens again", streamDestroyed},
		{"E-3 another process stops within the lease", otherProcess},
		{"E-3 what is being sent ends with its keys, in every process", sentUnderLease},
		{"E-3 a gap in the list of destructions", listHasGap},
		{"E-3 nothing but streams names the erased", nothingOfTheErased},
		{"E-2 a data key is bound to its citizen", keysAreBoundToTheirCitizen},
		{"E-3 destruction against sealing, opening, prefetching", destroyRaces},
		{"E-3 a restored copy is shredded again", restored},
		{"E-3 when no copy brings a key back", destructions},
		{"E-3 a destroyed content key is not final under a living data key", exposedUntilReplaced},
		{"a data key is replaced, and everything else stays", replacedDataKey},
		{"a data key is replaced: another process has the former one", formerDataKeyInMemory},
		{"a data key is replaced against sealing and rotation", replacementRaces},
		{"a data key is replaced between two versions", replacementBetweenVersions},
		{"a data key is replaced twice at once", replacementOvertaken},
		{"a data key is replaced: a damaged content key", replacementOfADamagedKey},
		{"a data key is replaced once keys are back", replacementWithoutKeeper},
		{"signing keys are remembered", signingKeys},
		{"E-4 erased stays erased, until a new life", suppressed},
		{"E-4 the memory of an erasure ends at the moment that is set", suppressionEnds},
		{"erasure needs no key-encryption key", withoutKeeper},
		{"keys away: nothing is sealed", keeperAway},
		{"prefetch asks once per thousand", prefetch},
		{"the keys of one citizen's streams come together", ofOneCitizen},
		{"warm: neither keeper nor database", warm},
		{"A-9 whoever is guessed at is looked for in the database", unremembered},
		{"many who miss one key load it once", singleFlight},
		{"a destroyed key is remembered: neither keeper nor database", destroyedIsWarm},
		{"a file belongs to one document", filesOfOneDocument},
		{"a file that no document names is listed, page by page and by issuer", unclaimedFiles},
		{"a reservation is settled", reservationSettled},
		{"a file that nobody names is dropped", filesDropped},
		{"E-3 files go with their document's key", filesErased},
		{"E-3 the deployment key of files is replaced with the key-encryption key", fileKeyReplaced},
		{"the deployment key of files is replaced against uploads", fileKeyRaces},
		{"the deployment key of files is replaced: a damaged key", damagedFileKey},
		{"E-3 destroyed while keys are wrapped again", destroyedWhileRewrapping},
		{"rewrap", rewrapAll},
		{"rewrap against destruction", rewrapAgainstDestruction},
		{"backups of the ring are remembered", backups},
		{"a rotation goes in its order", rotationInOrder},
		{"a rotation is not ended without a backup that needs no older version", rotationBackup},
		{"a copy that nobody here has read needs what the ring recorded", rotationElsewhere},
		{"a key wrapped before a rotation is not stored after it", wrappedBeforeRotation},
		{"a key read before a rotation opens after it", readBeforeRotation},
		{"rotation under load", rotationUnderLoad},
		{"the pepper is replaced", pepperReplaced},
		{"the pepper: steps in their order", pepperInOrder},
		{"E-4 the suppression key is replaced with the pepper", suppressionKeyReplaced},
		{"the pepper: another process is behind", pepperBehind},
		{"the pepper: citizens who are being erased", pepperErasing},
		{"the pepper: numbers replaced meanwhile", pepperNumbers},
		{"the pepper: two processes, any order", pepperRaces},
		{"E-1 names under the audit key, which is replaced", auditReplaced},
		{"the request key is replaced", requestKeyReplaced},
		{"small caches", smallCaches},
		{"every column is under its row's MAC", columnsCovered},
		{"a changed bit is named, in every column", bitsNamed},
		{"a row that is gone, or older, is noticed", rowsMissed},
		{"damage hides no row that is gone, or older", damageHidesNothing},
		{"a damaged number is given to nobody else", damagedNumberIsNotAnothers},
		{"a damaged row's citizen alone waits", damagedCitizenAlone},
		{"E-4 a damaged suppression lets nobody in", suppressionDamaged},
		{"E-4 a suppression that is deleted lets nobody in, at once", suppressionDeleted},
		{"a ring from before gets its MACs once", upgraded},
		{"MACs cannot be taken away", macsStay},
	} {
		t.Run(c.name, func(t *testing.T) {
			another := open(t)
			e := &env{another: another, db: another(), kek: keeper(t)}
			e.ring = OpenRing(t, e.db, e.kek, seal.Config{})
			c.test(t, e)
		})
	}
}

// env is one deployment.
type env struct {
	another func() *keysdb.DB
	db      *keysdb.DB // of ring
	kek     *Keeper
	ring    *Ring
}

// process opens one more ring over the same keys.
func (e *env) process(t *testing.T, cfg seal.Config) *Ring {
	t.Helper()
	return OpenRing(t, e.another(), e.kek, cfg)
}

const organisation = domain.Organisation("0206731645")

func place(stream eventstore.Stream) eventstore.Place {
	return eventstore.Place{Stream: stream, ID: uuid.New(), Type: "document.issued/1", Revision: 3, Facts: eventstore.Facts{4}}
}

func stream(t *testing.T) eventstore.Stream {
	t.Helper()
	return eventstore.Stream("document-" + uuid.NewString())
}

func sealed(t *testing.T, r *Ring, c domain.CitizenID, p eventstore.Place, plain string) []byte {
	t.Helper()
	out, err := seal.Sealer{Ring: r.Ring}.Seal(t.Context(), c, p, []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func opens(t *testing.T, r *Ring, p eventstore.Place, part []byte, want string) {
	t.Helper()
	got, err := seal.Opener{Ring: r.Ring}.Open(t.Context(), []byte("before "), p, part)
	if err != nil || string(got) != "before "+want {
		t.Fatalf("opened %d bytes: %v", len(got), err)
	}
}

func refuses(t *testing.T, r *Ring, p eventstore.Place, part []byte, want error) {
	t.Helper()
	if got, err := (seal.Opener{Ring: r.Ring}).Open(t.Context(), nil, p, part); !errors.Is(err, want) || got != nil {
		t.Fatalf("opened %d bytes with %v, want %v", len(got), err, want)
	}
}

func refusesToSeal(t *testing.T, r *Ring, c domain.CitizenID, s eventstore.Stream, want error) {
	t.Helper()
	if got, err := (seal.Sealer{Ring: r.Ring}).Seal(t.Context(), c, place(s), []byte("x")); !errors.Is(err, want) || got != nil {
		t.Fatalf("sealed %d bytes with %v, want %v", len(got), err, want)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%v, want %v", err, want)
	}
}

func (e *env) erase(t *testing.T, c domain.CitizenID, s seal.Suppression) {
	t.Helper()
	check(t, e.ring.BeginErase(t.Context(), c))
	check(t, e.ring.DestroySubject(t.Context(), c, s))
}

func found(t *testing.T, e *env) {
	ctx := t.Context()
	_, err := e.ring.Resolve(ctx, SSIN(1))
	wants(t, err, seal.ErrUnknown)
	c, isNew, err := e.ring.Enroll(ctx, SSIN(1))
	if err != nil || !isNew || c.IsZero() {
		t.Fatal(isNew, err)
	}
	for _, r := range []*Ring{e.ring, e.process(t, seal.Config{})} {
		if again, err := r.Resolve(ctx, SSIN(1)); err != nil || again != c {
			t.Fatal("not found again", err)
		}
		if number, err := r.SSINOf(ctx, c); err != nil || number != SSIN(1) {
			t.Fatal("the number does not come back", err)
		}
		_, err := r.Resolve(ctx, SSIN(2))
		wants(t, err, seal.ErrUnknown)
		if again, err := r.ResolveUnremembered(ctx, SSIN(1)); err != nil || again != c {
			t.Fatal("not found again, unremembered", err)
		}
		_, err = r.ResolveUnremembered(ctx, SSIN(2))
		wants(t, err, seal.ErrUnknown)
		_, err = r.SSINOf(ctx, domain.CitizenID{UUID: uuid.New()})
		wants(t, err, seal.ErrUnknown)
	}
	if missing, err := e.ring.Missing(ctx, []domain.CitizenID{c, {UUID: uuid.UUID{1}}}); err != nil || len(missing) != 1 || missing[0].UUID != (uuid.UUID{1}) {
		t.Fatal(missing, err)
	}
}

func enrolRace(t *testing.T, e *env) {
	other := e.process(t, seal.Config{})
	ids := make([]domain.CitizenID, 64)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			r := e.ring
			if i%2 == 1 {
				r = other
			}
			var err error
			if ids[i], _, err = r.Enroll(t.Context(), SSIN(7)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || id.IsZero() {
			t.Fatal("two citizens for one person")
		}
	}
	if p, err := e.ring.Pending(t.Context()); err != nil || len(p) != 1 {
		t.Fatal(p, err)
	}
}

func pendingUntilActivated(t *testing.T, e *env) {
	ctx := t.Context()
	c, _, err := e.ring.Enroll(ctx, SSIN(1))
	check(t, err)
	if p, err := e.ring.Pending(ctx); err != nil || len(p) != 1 || p[0] != c {
		t.Fatal(p, err)
	}
	if _, isNew, err := e.ring.Enroll(ctx, SSIN(1)); err != nil || !isNew {
		t.Fatal("whoever meets a pending citizen must register them", err)
	}
	check(t, e.ring.Activate(c))
	_, err = keysdb.Do(ctx, e.db, func(*keysdb.Tx) (int, error) { return 0, nil }) // Activate is queued before
	check(t, err)
	if p, err := e.ring.Pending(ctx); err != nil || len(p) != 0 {
		t.Fatal(p, err)
	}
	for range 2 { // from the database, then from memory
		if again, isNew, err := e.ring.Enroll(ctx, SSIN(1)); err != nil || isNew || again != c {
			t.Fatal(isNew, err)
		}
	}
}

func replaced(t *testing.T, e *env) {
	ctx := t.Context()
	c, other := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	for range 2 {
		check(t, e.ring.AddSSIN(ctx, c, SSIN(3)))
	}
	for _, n := range []int{1, 3} {
		if got, err := e.ring.Resolve(ctx, SSIN(n)); err != nil || got != c {
			t.Fatal(n, err)
		}
	}
	if number, err := e.ring.SSINOf(ctx, c); err != nil || number != SSIN(3) {
		t.Fatal("the latest number does not count", err)
	}
	wants(t, e.ring.AddSSIN(ctx, other, SSIN(3)), seal.ErrSSINTaken)
	wants(t, e.ring.AddSSIN(ctx, domain.CitizenID{UUID: uuid.New()}, SSIN(4)), seal.ErrUnknown)
	check(t, e.ring.AddSSIN(ctx, c, SSIN(1)))
	if number, err := e.ring.SSINOf(ctx, c); err != nil || number != SSIN(1) {
		t.Fatal("a former number cannot be the latest again", err)
	}
	e.erase(t, c, seal.Suppression{})
	for _, n := range []int{1, 3} { // every number of the person
		_, _, err := e.ring.Enroll(ctx, SSIN(n))
		wants(t, err, seal.ErrCitizenErased)
	}
	wants(t, e.ring.AddSSIN(ctx, other, SSIN(3)), seal.ErrCitizenErased)
}

func references(t *testing.T, e *env) {
	ctx := t.Context()
	const elsewhere = domain.Organisation("0308357159")
	c := Citizen(t, e.ring, 1)
	refs := make([]domain.CitizenRef, 16)
	var wg sync.WaitGroup
	for i := range refs {
		wg.Go(func() {
			var err error
			if refs[i], err = e.ring.Ref(ctx, organisation, c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, ref := range refs {
		if ref != refs[0] || ref.IsZero() || ref.UUID == c.UUID {
			t.Fatal("two references for one pair, or none")
		}
	}
	theirs, err := e.ring.Ref(ctx, elsewhere, c)
	if err != nil || theirs == refs[0] {
		t.Fatal("two organisations share a reference", err)
	}
	if got, err := e.ring.ByRef(ctx, organisation, refs[0]); err != nil || got != c {
		t.Fatal(err)
	}
	many := []domain.CitizenID{c, {UUID: uuid.New()}} // one whom nobody knows
	for n := range 250 {
		many = append(many, Citizen(t, e.ring, 1000+n))
	}
	all, err := e.ring.Refs(ctx, organisation, many)
	if err != nil || len(all) != len(many)-1 || all[c] != refs[0] {
		t.Fatalf("%d references of %d citizens, %v", len(all), len(many), err)
	}
	for citizen, ref := range all {
		if one, err := e.ring.Ref(ctx, organisation, citizen); err != nil || one != ref {
			t.Fatal("one of many is another than alone", err)
		}
	}
	_, err = e.ring.ByRef(ctx, elsewhere, refs[0])
	wants(t, err, seal.ErrUnknown)
	_, err = e.ring.Ref(ctx, organisation, domain.CitizenID{UUID: uuid.New()})
	wants(t, err, seal.ErrUnknown)

	check(t, e.ring.BeginErase(ctx, c))
	_, err = e.ring.ByRef(ctx, organisation, refs[0])
	wants(t, err, seal.ErrUnknown)
	if all, err := e.ring.Refs(ctx, organisation, []domain.CitizenID{c}); err != nil || len(all) != 0 {
		t.Fatal("who is being erased has a reference", err)
	}
	_, err = e.ring.Ref(ctx, organisation, c)
	wants(t, err, eventstore.ErrErased)
	check(t, e.ring.DestroySubject(ctx, c, seal.Suppression{}))
	_, err = e.ring.ByRef(ctx, organisation, refs[0])
	wants(t, err, seal.ErrUnknown)
}

func derived(t *testing.T, e *env) {
	ctx := t.Context()
	a, b := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	id := func(r *Ring, c domain.CitizenID, issuer domain.Organisation, typ domain.DocumentType, ref string) domain.DocumentID {
		t.Helper()
		got, err := r.DocumentID(ctx, c, issuer, typ, ref)
		check(t, err)
		if got.Version() != 8 || got.Variant() != uuid.RFC4122 {
			t.Fatalf("version %d, %v", got.Version(), got.Variant())
		}
		return got
	}
	first := id(e.ring, a, organisation, "isiPlusCard", "ref")
	if again := id(e.process(t, seal.Config{}), a, organisation, "isiPlusCard", "ref"); again != first {
		t.Fatal("another process makes another id")
	}
	seen := map[domain.DocumentID]bool{first: true}
	for _, other := range []domain.DocumentID{
		id(e.ring, b, organisation, "isiPlusCard", "ref"),
		id(e.ring, a, "0308357159", "isiPlusCard", "ref"),
		id(e.ring, a, organisation, "diploma", "ref"),
		id(e.ring, a, organisation, "isiPlusCard", "ref2"),
		id(e.ring, a, organisation, "isiPlusCar", "dref"), // the border between parts counts
	} {
		if seen[other] {
			t.Fatal("two documents share an id")
		}
		seen[other] = true
	}
	tag := func(c domain.CitizenID, content string) [16]byte {
		t.Helper()
		got, err := e.ring.ContentTag(ctx, c, []byte(content))
		check(t, err)
		return got
	}
	once, again := tag(a, "{}"), tag(a, "{}")
	if once != again || once == tag(b, "{}") || once == tag(a, "{ }") {
		t.Fatal("tags")
	}
	e.erase(t, a, seal.Suppression{})
	_, err := e.ring.DocumentID(ctx, a, organisation, "isiPlusCard", "ref")
	wants(t, err, eventstore.ErrErased)
	_, err = e.ring.ContentTag(ctx, a, nil)
	wants(t, err, eventstore.ErrErased)
}

func moved(t *testing.T, e *env) {
	a, b := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	here, sibling, theirs := place(stream(t)), place(stream(t)), place(stream(t))
	part := sealed(t, e.ring, a, here, "secret")
	ofSibling := sealed(t, e.ring, a, sibling, "secret")
	ofTheirs := sealed(t, e.ring, b, theirs, "secret")
	opens(t, e.ring, here, part, "secret")
	opens(t, e.process(t, seal.Config{}), here, part, "secret")

	refuses(t, e.ring, sibling, part, eventstore.ErrTampered)
	refuses(t, e.ring, theirs, part, eventstore.ErrTampered)
	refuses(t, e.ring, place(stream(t)), part, eventstore.ErrTampered) // a stream without a key
	otherEvent, otherType := here, here
	otherEvent.ID = uuid.New()
	otherType.Type = "document.issued/2"
	refuses(t, e.ring, otherEvent, part, eventstore.ErrTampered)
	refuses(t, e.ring, otherType, part, eventstore.ErrTampered)
	otherFacts, later, notKnown := here, here, here
	otherFacts.Facts[31] = 1
	later.Revision++
	notKnown.Revision = eventstore.AnyRevision
	for _, p := range []eventstore.Place{otherFacts, later, notKnown} {
		refuses(t, e.ring, p, part, eventstore.ErrTampered)
	}
	// What was sealed before its revision was known opens at every one, and nowhere else.
	anywhere := sealed(t, e.ring, a, notKnown, "secret")
	for _, p := range []eventstore.Place{here, later, notKnown} {
		opens(t, e.ring, p, anywhere, "secret")
	}
	refuses(t, e.ring, otherFacts, anywhere, eventstore.ErrTampered)
	// The key id of another key, with everything else in place.
	for _, donor := range [][]byte{ofSibling, ofTheirs} {
		forged := bytes.Clone(part)
		copy(forged[3:19], donor[3:19])
		refuses(t, e.ring, here, forged, eventstore.ErrTampered)
		for _, p := range []eventstore.Place{sibling, theirs} {
			refuses(t, e.ring, p, forged, eventstore.ErrTampered)
		}
	}
	empty := sealed(t, e.ring, a, here, "")
	opens(t, e.ring, here, empty, "")
	if len(empty) != seal.Overhead {
		t.Fatalf("%d bytes around nothing", len(empty))
	}
	if bytes.Equal(sealed(t, e.ring, a, here, "secret"), part) {
		t.Fatal("sealing twice gives the same bytes")
	}
}

func bits(t *testing.T, e *env) {
	c := Citizen(t, e.ring, 1)
	p := place(stream(t))
	part := sealed(t, e.ring, c, p, "secret")
	for i := range len(part) * 8 {
		bad := bytes.Clone(part)
		bad[i/8] ^= 1 << (i % 8)
		refuses(t, e.ring, p, bad, eventstore.ErrTampered)
	}
	for n := range part {
		refuses(t, e.ring, p, part[:n], eventstore.ErrTampered)
	}
	refuses(t, e.ring, p, append(bytes.Clone(part), 0), eventstore.ErrTampered)
}

func oneKey(t *testing.T, e *env) {
	c := Citizen(t, e.ring, 1)
	other := e.process(t, seal.Config{})
	s := stream(t)
	ids := make([]uuid.UUID, 32)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			r := e.ring
			if i%2 == 1 {
				r = other
			}
			part, err := seal.Sealer{Ring: r.Ring}.Seal(t.Context(), c, place(s), []byte("x"))
			if err != nil {
				t.Error(err)
				return
			}
			ids[i], _ = seal.KeyID(part)
		})
	}
	wg.Wait()
	keys, err := e.ring.StreamKeys(t.Context(), c)
	if err != nil || len(keys) != 1 || keys[0].Stream != s || keys[0].Destroyed {
		t.Fatal(keys, err)
	}
	for _, id := range ids {
		if id != keys[0].ID {
			t.Fatal("sealed with a key that is not in the ring")
		}
	}
}

func otherCitizen(t *testing.T, e *env) {
	a, b := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	s := stream(t)
	sealed(t, e.ring, a, place(s), "x")
	refusesToSeal(t, e.ring, b, s, seal.ErrOtherCitizen)
	refusesToSeal(t, e.process(t, seal.Config{}), b, s, seal.ErrOtherCitizen) // nothing in memory
	refusesToSeal(t, e.ring, domain.CitizenID{UUID: uuid.New()}, stream(t), seal.ErrUnknown)
}

func erased(t *testing.T, e *env) {
	ctx := t.Context()
	c, bystander := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	p, other := place(stream(t)), place(stream(t))
	part, theirs := sealed(t, e.ring, c, p, "secret"), sealed(t, e.ring, bystander, other, "mine")
	wants(t, e.ring.DestroySubject(ctx, c, seal.Suppression{}), seal.ErrNotErasing)
	opens(t, e.ring, p, part, "secret")

	gone := func(r *Ring) {
		t.Helper()
		refuses(t, r, p, part, eventstore.ErrErased)
		refusesToSeal(t, r, c, p.Stream, eventstore.ErrErased)
		refusesToSeal(t, r, c, stream(t), eventstore.ErrErased)
		_, err := r.SSINOf(ctx, c)
		wants(t, err, eventstore.ErrErased)
		_, err = r.Resolve(ctx, SSIN(1))
		wants(t, err, eventstore.ErrErased)
		check(t, r.Prefetch(ctx, []domain.CitizenID{c}))
		check(t, r.PrefetchStreams(ctx, []eventstore.Stream{p.Stream}))
		check(t, r.PrefetchStreamsOf(ctx, c, []eventstore.Stream{p.Stream}))
		refuses(t, r, p, part, eventstore.ErrErased)
		opens(t, r, other, theirs, "mine")
	}
	for range 2 {
		check(t, e.ring.BeginErase(ctx, c))
		gone(e.ring)
		check(t, e.ring.Activate(c)) // a registration that comes late revives nobody
	}
	gone(e.process(t, seal.Config{}))
	if l, err := e.ring.Erasing(ctx); err != nil || len(l) != 1 || l[0] != c {
		t.Fatal(l, err)
	}
	for range 2 {
		check(t, e.ring.DestroySubject(ctx, c, seal.Suppression{}))
		gone(e.ring)
	}
	check(t, e.ring.BeginErase(ctx, c)) // too late, and harmless
	gone(e.process(t, seal.Config{}))
	if l, err := e.ring.Erasing(ctx); err != nil || len(l) != 0 {
		t.Fatal(l, err)
	}
	keys, err := e.ring.StreamKeys(ctx, c)
	if err != nil || len(keys) != 1 || !keys[0].Destroyed { // the certificate names them
		t.Fatal(keys, err)
	}
	wants(t, e.ring.BeginErase(ctx, domain.CitizenID{UUID: uuid.New()}), seal.ErrUnknown)
	wants(t, e.ring.DestroySubject(ctx, domain.CitizenID{UUID: uuid.New()}, seal.Suppression{}), seal.ErrUnknown)
}

func streamDestroyed(t *testing.T, e *env) {
	ctx := t.Context()
	c := Citizen(t, e.ring, 1)
	p, other := place(stream(t)), place(stream(t))
	part, kept := sealed(t, e.ring, c, p, "secret"), sealed(t, e.ring, c, other, "kept")
	wants(t, e.ring.DestroyStreamKeys(ctx, p.Stream, stream(t)), seal.ErrUnknown)
	opens(t, e.ring, p, part, "secret")
	for range 2 {
		check(t, e.ring.DestroyStreamKeys(ctx, p.Stream))
		for _, r := range []*Ring{e.ring, e.process(t, seal.Config{})} {
			refuses(t, r, p, part, eventstore.ErrErased)
			refusesToSeal(t, r, c, p.Stream, eventstore.ErrErased)
			opens(t, r, other, kept, "kept")
		}
	}
}

// clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func otherProcess(t *testing.T, e *env) {
	ctx := t.Context()
	hands := &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	other := e.process(t, seal.Config{Now: hands.Now})
	a, b, bystander := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2), Citizen(t, e.ring, 3)
	pa, pb, pc := place(stream(t)), place(stream(t)), place(stream(t))
	ofA, ofB, ofC := sealed(t, e.ring, a, pa, "a"), sealed(t, e.ring, b, pb, "b"), sealed(t, e.ring, bystander, pc, "c")
	opens(t, other, pa, ofA, "a")
	opens(t, other, pb, ofB, "b")
	opens(t, other, pc, ofC, "c")

	e.erase(t, a, seal.Suppression{})
	check(t, e.ring.DestroyStreamKeys(ctx, pb.Stream))
	// New keys are decided in the database, whatever the lease says.
	refusesToSeal(t, other, a, stream(t), eventstore.ErrErased)
	hands.advance(other.Lease())
	calls := e.kek.Calls("Unwrap")
	refuses(t, other, pa, ofA, eventstore.ErrErased)
	refuses(t, other, pb, ofB, eventstore.ErrErased)
	opens(t, other, pc, ofC, "c")
	if n := e.kek.Calls("Unwrap") - calls; n != 0 {
		t.Errorf("renewing the lease cost %d calls to the keeper: it forgot more than was destroyed", n)
	}
	// A clock that is set back must not stretch a lease for ever, nor break it.
	hands.advance(-time.Hour)
	opens(t, other, pc, ofC, "c")
}

// sentUnderLease: leases on keys that are destroyed end, here and where the list of
// destructions is read, and those on other keys do not.
func sentUnderLease(t *testing.T, e *env) {
	ctx := t.Context()
	hands := &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	other := e.process(t, seal.Config{Now: hands.Now})
	a, b, bystander := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2), Citizen(t, e.ring, 3)
	var streams []eventstore.Stream
	for _, c := range []domain.CitizenID{a, b, bystander} {
		p := place(stream(t))
		sealed(t, e.ring, c, p, "x")
		streams = append(streams, p.Stream)
	}
	type underWay struct {
		*seal.KeyLease
		ended chan error
	}
	var all []underWay
	for _, r := range []*Ring{e.ring, other} {
		for _, s := range streams {
			ended := make(chan error, 2)
			l := r.NewKeyLease(func(why error) { ended <- why })
			check(t, l.Cover(ctx, s))
			all = append(all, underWay{l, ended})
		}
	}
	for i, end := range []func() error{
		func() error { return e.ring.BeginErase(ctx, a) },
		func() error { return e.ring.DestroyStreamKeys(ctx, streams[1]) },
	} {
		done := make(chan error, 1)
		go func() { done <- end() }()
		wants(t, <-all[i].ended, eventstore.ErrErased)
		all[i].Release()
		check(t, <-done)
	}
	hands.advance(other.Lease())
	for i, l := range all {
		left, err := l.Left(ctx)
		if i%3 == 2 { // the bystander's
			check(t, err)
			if left <= 0 || left >= other.Lease() {
				t.Errorf("%v left", left)
			}
			continue
		}
		wants(t, err, eventstore.ErrErased)
		if i >= 3 {
			wants(t, <-l.ended, eventstore.ErrErased)
		}
		if len(l.ended) > 0 {
			t.Error("a lease ended twice")
		}
		wants(t, l.Cover(ctx, streams[2]), eventstore.ErrErased)
	}
}

// auditReplaced: a name says which version of the audit key made it, is told as that of the
// same login while the version is left, and the last but one is.
func auditReplaced(t *testing.T, e *env) {
	ctx := t.Context()
	other := e.process(t, seal.Config{})
	c, d := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	var names []string // of one login, by version
	for version := 1; version <= 4; version++ {
		r := []*Ring{e.ring, other}[version%2] // which is a version or two behind
		if version > 1 {
			got, err := r.RotateAudit(ctx)
			check(t, err)
			if got != version {
				t.Fatalf("version %d, want %d", got, version)
			}
		}
		a := r.Audit()
		name := a.Subject("login")
		names = append(names, name)
		all := map[string]bool{name: true, a.Subject("another"): true, a.Citizen(c): true, a.Citizen(d): true, a.Subject(c.String()): true}
		if len(all) != 5 || a.Subject("") != "" || a.Citizen(domain.CitizenID{}) != "" {
			t.Errorf("names %v", all)
		}
		for one := range all {
			if !strings.HasPrefix(one, fmt.Sprintf("%d.", version)) {
				t.Errorf("%s does not say that version %d made it", one, version)
			}
		}
		for v, former := range names {
			left := v+1 >= version-1
			if slices.Contains(a.Subjects("login"), former) != left || a.Comparable(former) != left || slices.Contains(a.Subjects("another"), former) {
				t.Errorf("in version %d, of version %d: %v", version, v+1, a.Subjects("login"))
			}
		}
		if unversioned, comparable := slices.IndexFunc(a.Subjects("login"), func(n string) bool { return !strings.Contains(n, ".") }) >= 0, a.Comparable("0123456789abcdefABCDEF"); unversioned != (version <= 2) || comparable != unversioned {
			t.Errorf("in version %d a name from before names had versions: %t, %t", version, unversioned, comparable)
		}
	}
	if a := e.process(t, seal.Config{}).Audit(); a.Subject("login") != names[3] || a.Comparable(names[1]) || !a.Comparable(names[2]) || a.Comparable("") {
		t.Error("another process has other names")
	}
	rows, err := keysdb.Do(ctx, e.db, func(tx *keysdb.Tx) (n int, err error) {
		err = tx.Row(`SELECT count(*) FROM deployment_keys WHERE name = 'audit'`, nil, &n)
		return n, err
	})
	if err != nil || rows != 2 {
		t.Errorf("%d versions are left, %v", rows, err)
	}

	tag := func(c domain.CitizenID, login string) string {
		name, err := other.CitizenLoginTag(ctx, c, login)
		check(t, err)
		return name
	}
	one := tag(c, "login")
	if one != tag(c, "login") || one == tag(d, "login") || one == tag(c, "another") || !seal.IsLoginTag(one) || seal.IsLoginTag(names[3]) || other.Audit().Comparable(one) {
		t.Errorf("the name of a citizen's login is %s", one)
	}
	e.erase(t, c, seal.Suppression{})
	_, err = e.ring.CitizenLoginTag(ctx, c, "login")
	wants(t, err, eventstore.ErrErased)
}

// listHasGap: a process that slept for longer than the list of destructions goes back
// forgets everything, for what is missing in the list may be what it holds.
func listHasGap(t *testing.T, e *env) {
	ctx := t.Context()
	for _, end := range []string{"the beginning is tidied away", "the end is lost"} {
		hands := &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
		other := e.process(t, seal.Config{Now: hands.Now})
		a, b := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
		pa, pb := place(stream(t)), place(stream(t))
		ofA, ofB := sealed(t, e.ring, a, pa, "a"), sealed(t, e.ring, b, pb, "b")
		opens(t, other, pa, ofA, "a")
		opens(t, other, pb, ofB, "b")
		first, second := pa.Stream, pb.Stream
		if end == "the end is lost" {
			first, second = second, first
		}
		check(t, e.ring.DestroyStreamKeys(ctx, first))
		check(t, e.ring.DestroyStreamKeys(ctx, second))
		_, err := keysdb.Do(ctx, e.db, func(tx *keysdb.Tx) (int64, error) {
			return tx.Delete(Table(t, e.db, "destructions"), `stream = ?`, string(pa.Stream))
		})
		check(t, err)
		hands.advance(other.Lease())
		refuses(t, other, pa, ofA, eventstore.ErrErased)
		refuses(t, other, pb, ofB, eventstore.ErrErased)
	}
}

// nothingOfTheErased: no row but those of their streams names an erased citizen: their
// references and numbers are gone.
func nothingOfTheErased(t *testing.T, e *env) {
	ctx := t.Context()
	gone, stays := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	for _, citizen := range []domain.CitizenID{gone, stays} {
		_, err := e.ring.Ref(ctx, organisation, citizen)
		check(t, err)
	}
	e.erase(t, gone, seal.Suppression{})
	for _, table := range []string{"citizen_refs", "subject_ssins"} {
		rows := rowsOf(t, e.db, table)
		if len(rows) != 1 || string(rows[0]["citizen"].([]byte)) != string(stays.UUID[:]) {
			t.Errorf("%s has %d rows", table, len(rows))
		}
	}
}

// keysAreBoundToTheirCitizen: a wrapped data key opens for its citizen and for nobody else,
// whoever can write in the database.
func keysAreBoundToTheirCitizen(t *testing.T, e *env) {
	a, b := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	wrapped := ofCitizen(t, e.db, "subjects", a)["wrapped"].([]byte)
	for _, c := range []struct {
		citizen domain.CitizenID
		want    error
	}{{a, nil}, {b, seal.ErrRefused}} {
		plain, err := e.kek.Unwrap(t.Context(), []seal.UnwrapItem{{Wrapped: wrapped, AAD: c.citizen.UUID[:]}})
		check(t, err)
		wants(t, plain[0].Err, c.want)
	}
}

// destroyRaces: whatever happens at the same time, after the destruction returned
// nothing opens, in this process or a new one.
func destroyRaces(t *testing.T, e *env) {
	ctx := t.Context()
	for round := range 20 {
		c := Citizen(t, e.ring, round)
		p := place(stream(t))
		part := sealed(t, e.ring, c, p, "secret")
		stop := make(chan struct{})
		var wg sync.WaitGroup
		loop := func(f func() error) {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if err := f(); err != nil && !errors.Is(err, eventstore.ErrErased) {
						t.Error(err)
						return
					}
				}
			})
		}
		sealer := seal.Sealer{Ring: e.ring.Ring}
		loop(func() error { _, err := sealer.Seal(ctx, c, place(p.Stream), []byte("x")); return err })
		loop(func() error { _, err := (seal.Opener{Ring: e.ring.Ring}).Open(ctx, nil, p, part); return err })
		loop(func() error { return e.ring.PrefetchStreams(ctx, []eventstore.Stream{p.Stream}) })
		loop(func() error { return e.ring.PrefetchStreamsOf(ctx, c, []eventstore.Stream{p.Stream}) })
		loop(func() error { e.ring.Ring.Forget(c); return e.ring.Prefetch(ctx, []domain.CitizenID{c}) })
		loop(func() error { _, err := e.ring.ContentTag(ctx, c, nil); return err })
		var err error
		if round%2 == 0 {
			err = e.ring.BeginErase(ctx, c)
		} else {
			err = e.ring.DestroyStreamKeys(ctx, p.Stream)
		}
		check(t, err)
		for range 50 {
			refuses(t, e.ring, p, part, eventstore.ErrErased)
			refusesToSeal(t, e.ring, c, p.Stream, eventstore.ErrErased)
		}
		close(stop)
		wg.Wait()
		refuses(t, e.ring, p, part, eventstore.ErrErased)
	}
}

func restored(t *testing.T, e *env) {
	ctx := t.Context()
	// As a copy from before the destructions would be: everything is still there.
	c, d, bystander := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2), Citizen(t, e.ring, 3)
	pc, pd, pb := place(stream(t)), place(stream(t)), place(stream(t))
	ofC, ofD, ofB := sealed(t, e.ring, c, pc, "c"), sealed(t, e.ring, d, pd, "d"), sealed(t, e.ring, bystander, pb, "b")
	check(t, e.ring.BeginErase(ctx, d)) // an erasure the copy caught halfway
	never, neverStream := domain.CitizenID{UUID: uuid.New()}, stream(t)
	citizens := []seal.DestroyedSubject{{Citizen: c, Suppression: seal.Suppression{Basis: "06.1c"}}, {Citizen: d}, {Citizen: never}}
	streams := []seal.DestroyedStream{{Stream: pb.Stream, Citizen: bystander}, {Stream: neverStream, Citizen: bystander}}
	for range 2 {
		check(t, e.ring.ReapplyDestroyed(ctx, citizens, streams))
		for _, r := range []*Ring{e.ring, e.process(t, seal.Config{})} {
			refuses(t, r, pc, ofC, eventstore.ErrErased)
			refuses(t, r, pd, ofD, eventstore.ErrErased)
			refuses(t, r, pb, ofB, eventstore.ErrErased)
			refusesToSeal(t, r, never, stream(t), eventstore.ErrErased)
			refusesToSeal(t, r, bystander, neverStream, eventstore.ErrErased)
			sealed(t, r, bystander, place(stream(t)), "lives on")
			_, _, err := r.Enroll(ctx, SSIN(1))
			wants(t, err, seal.ErrCitizenErased)
			s, remembered, err := r.Suppressed(ctx, SSIN(1))
			if err != nil || !remembered || s.Basis != "06.1c" {
				t.Fatal(s, remembered, err)
			}
		}
	}
}

func suppressionEnds(t *testing.T, e *env) {
	ctx := t.Context()
	hands := &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	r := e.process(t, seal.Config{Now: hands.Now})
	wants(t, r.EndSuppression(ctx, SSIN(1), seal.Suppression{Until: hands.Now()}), seal.ErrNotErased)
	former, beside := Citizen(t, r, 1), Citizen(t, r, 2)
	wants(t, r.EndSuppression(ctx, SSIN(1), seal.Suppression{Until: hands.Now()}), seal.ErrNotErased)
	for _, c := range []domain.CitizenID{former, beside} {
		check(t, r.BeginErase(ctx, c))
		check(t, r.DestroySubject(ctx, c, seal.Suppression{Basis: "06.1c"}))
	}
	until := hands.Now().Add(time.Hour)
	check(t, r.EndSuppression(ctx, SSIN(1), seal.Suppression{Until: until, Basis: "06.1e"}))
	check(t, r.PurgeSuppressions(ctx))
	if s, ok, err := r.Suppressed(ctx, SSIN(1)); err != nil || !ok || !s.Until.Equal(until) || s.Basis != "06.1e" {
		t.Fatal(s, ok, err)
	}
	_, _, err := r.Enroll(ctx, SSIN(1))
	wants(t, err, seal.ErrCitizenErased)
	hands.advance(time.Hour)
	if _, ok, err := r.Suppressed(ctx, SSIN(1)); err != nil || ok {
		t.Fatal("what has ended counts until it is removed", err)
	}
	check(t, r.PurgeSuppressions(ctx))
	hands.advance(-time.Hour)
	if _, ok, err := r.Suppressed(ctx, SSIN(1)); err != nil || ok {
		t.Fatal("what has ended is still remembered", err)
	}
	if life, isNew, err := r.Enroll(ctx, SSIN(1)); err != nil || !isNew || life == former {
		t.Fatal(isNew, err)
	}
	_, _, err = r.Enroll(ctx, SSIN(2))
	wants(t, err, seal.ErrCitizenErased)

	one, other := domain.ReleaseID{UUID: uuid.New()}, domain.ReleaseID{UUID: uuid.New()}
	tags := map[[16]byte]bool{r.ReleaseTag(one, SSIN(1), [16]byte{}): true, r.ReleaseTag(one, SSIN(2), [16]byte{}): true, r.ReleaseTag(other, SSIN(1), [16]byte{}): true}
	if len(tags) != 3 || r.ReleaseTag(one, SSIN(1), [16]byte{}) != e.ring.ReleaseTag(one, SSIN(1), [16]byte{}) {
		t.Error("a tag is of one release and one number, the same in every process")
	}
}

func suppressed(t *testing.T, e *env) {
	ctx := t.Context()
	hands := &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	r := e.process(t, seal.Config{Now: hands.Now})
	_, _, err := r.EnrollNewLife(ctx, SSIN(1))
	wants(t, err, seal.ErrNotErased)
	former := Citizen(t, r, 1)
	p := place(stream(t))
	part := sealed(t, r, former, p, "secret")
	if again, _, err := r.EnrollNewLife(ctx, SSIN(1)); err != nil || again != former {
		t.Fatal("whoever is registered needs no new life", err)
	}
	check(t, r.BeginErase(ctx, former))
	_, _, err = r.Enroll(ctx, SSIN(1))
	wants(t, err, seal.ErrCitizenErased)
	_, _, err = r.EnrollNewLife(ctx, SSIN(1))
	wants(t, err, seal.ErrCitizenErased)
	until := hands.Now().Add(10 * 365 * 24 * time.Hour)
	check(t, r.DestroySubject(ctx, former, seal.Suppression{Until: until, Basis: "06.1e"}))
	_, _, err = r.Enroll(ctx, SSIN(1))
	wants(t, err, seal.ErrCitizenErased)
	if s, ok, err := r.Suppressed(ctx, SSIN(1)); err != nil || !ok || !s.Until.Equal(until) || s.Basis != "06.1e" {
		t.Fatal(s, ok, err)
	}
	if _, ok, err := r.Suppressed(ctx, SSIN(2)); err != nil || ok {
		t.Fatal("a stranger is suppressed", err)
	}

	var lives []domain.CitizenID
	for range 2 {
		life, isNew, err := r.EnrollNewLife(ctx, SSIN(1))
		if err != nil || !isNew || life == former {
			t.Fatal(isNew, err)
		}
		lives = append(lives, life)
	}
	if lives[0] != lives[1] {
		t.Fatal("asked twice, two lives")
	}
	if got, err := r.Resolve(ctx, SSIN(1)); err != nil || got != lives[0] {
		t.Fatal(err)
	}
	refuses(t, r, p, part, eventstore.ErrErased)
	refusesToSeal(t, r, lives[0], p.Stream, seal.ErrOtherCitizen)
	sealed(t, r, lives[0], place(stream(t)), "a new life")

	check(t, r.BeginErase(ctx, lives[0]))
	check(t, r.DestroySubject(ctx, lives[0], seal.Suppression{Until: hands.Now().Add(time.Hour)}))
	hands.advance(2 * time.Hour) // the term has passed: nothing is remembered
	if _, isNew, err := r.Enroll(ctx, SSIN(1)); err != nil || !isNew {
		t.Fatal(isNew, err)
	}
}

var errAway = fmt.Errorf("%w: test", eventstore.ErrKeysUnavailable)

func withoutKeeper(t *testing.T, e *env) {
	c := Citizen(t, e.ring, 1)
	e.kek.Before(func(string) error { return errAway })
	e.erase(t, c, seal.Suppression{})
	_, _, err := e.ring.Enroll(t.Context(), SSIN(1))
	wants(t, err, seal.ErrCitizenErased)
}

func keeperAway(t *testing.T, e *env) {
	ctx := t.Context()
	c := Citizen(t, e.ring, 1)
	p := place(stream(t))
	part := sealed(t, e.ring, c, p, "secret")
	other := e.process(t, seal.Config{})
	e.kek.Before(func(string) error { return errAway })
	opens(t, e.ring, p, part, "secret") // warm
	refuses(t, other, p, part, eventstore.ErrKeysUnavailable)
	refusesToSeal(t, other, c, p.Stream, eventstore.ErrKeysUnavailable)
	_, _, err := other.Enroll(ctx, SSIN(2))
	wants(t, err, eventstore.ErrKeysUnavailable)
	wants(t, other.Prefetch(ctx, []domain.CitizenID{c}), eventstore.ErrKeysUnavailable)
	wants(t, e.ring.CheckKeeper(ctx), eventstore.ErrKeysUnavailable) // whatever is warm
	if _, err := other.Resolve(ctx, SSIN(1)); err != nil {
		t.Fatal("a person is found without the keeper", err)
	}
	_, err = seal.OpenRing(ctx, e.db, e.kek, seal.Config{})
	wants(t, err, eventstore.ErrKeysUnavailable)

	e.kek.Before(nil)
	check(t, e.ring.CheckKeeper(ctx))
	opens(t, other, p, part, "secret")
	if _, err := other.Resolve(ctx, SSIN(2)); !errors.Is(err, seal.ErrUnknown) {
		t.Fatal("an enrolment that failed left a citizen", err)
	}
	// The key of another deployment.
	_, err = seal.OpenRing(ctx, e.db, OpenKeeper(t, t.TempDir()), seal.Config{})
	wants(t, err, seal.ErrRefused)

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = seal.Sealer{Ring: other.Ring}.Seal(cancelled, c, place(stream(t)), nil)
	wants(t, err, context.Canceled)
	check(t, other.Close())
	refuses(t, other, p, part, eventstore.ErrKeysUnavailable)
}

func prefetch(t *testing.T, e *env) {
	const n = 2500
	ctx := t.Context()
	citizens := make([]domain.CitizenID, n)
	places := make([]eventstore.Place, n)
	parts := make([][]byte, n)
	var wg sync.WaitGroup
	for worker := range 50 {
		wg.Go(func() {
			for i := worker; i < n; i += 50 {
				var err error
				if citizens[i], _, err = e.ring.Enroll(ctx, SSIN(i)); err != nil {
					t.Error(err)
					return
				}
				places[i] = place(stream(t))
				if parts[i], err = (seal.Sealer{Ring: e.ring.Ring}).Seal(ctx, citizens[i], places[i], []byte("x")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, byStream := range []bool{false, true} {
		other := e.process(t, seal.Config{})
		calls := e.kek.Calls("Unwrap")
		if byStream {
			streams := make([]eventstore.Stream, n)
			for i, p := range places {
				streams[i] = p.Stream
			}
			check(t, other.PrefetchStreams(ctx, streams))
		} else {
			check(t, other.Prefetch(ctx, append(citizens, domain.CitizenID{UUID: uuid.New()})))
		}
		if got := e.kek.Calls("Unwrap") - calls; got > n/seal.MaxBatch+2 {
			t.Errorf("%d citizens took %d calls", n, got)
		}
		calls = e.kek.Calls("Unwrap")
		for i := range n {
			opens(t, other, places[i], parts[i], "x")
		}
		if got := e.kek.Calls("Unwrap") - calls; got != 0 {
			t.Errorf("%d calls after the prefetch", got)
		}
	}
}

func warm(t *testing.T, e *env) {
	ctx := t.Context()
	c := Citizen(t, e.ring, 1)
	p := place(stream(t))
	part := sealed(t, e.ring, c, p, "secret")
	check(t, e.db.Close())
	e.kek.Before(func(string) error { return errAway })
	for range 100 {
		opens(t, e.ring, p, part, "secret")
		sealed(t, e.ring, c, p, "more")
		_, err := e.ring.ContentTag(ctx, c, nil)
		check(t, err)
	}
	refusesToSeal(t, e.ring, c, stream(t), eventstore.ErrKeysUnavailable)
}

func unremembered(t *testing.T, e *env) {
	ctx := t.Context()
	c := Citizen(t, e.ring, 1)
	db := e.another()
	other := OpenRing(t, db, e.kek, seal.Config{})
	for range 2 {
		if found, err := other.ResolveUnremembered(ctx, SSIN(1)); err != nil || found != c {
			t.Fatal(found, err)
		}
	}
	check(t, e.ring.ImitateStreamKey(ctx)) // and the citizen is active, for changes keep their order
	if found, err := e.ring.Resolve(ctx, SSIN(1)); err != nil || found != c {
		t.Fatal(found, err)
	}
	check(t, e.db.Close())
	if found, err := e.ring.Resolve(ctx, SSIN(1)); err != nil || found != c {
		t.Fatal("forgotten", err)
	}
	for n := 1; n <= 2; n++ {
		_, err := e.ring.ResolveUnremembered(ctx, SSIN(n))
		wants(t, err, eventstore.ErrKeysUnavailable)
	}
	wants(t, e.ring.ImitateStreamKey(ctx), eventstore.ErrKeysUnavailable)
	check(t, db.Close())
	_, err := other.Resolve(ctx, SSIN(1)) // a guess left nothing in memory
	wants(t, err, eventstore.ErrKeysUnavailable)
}

func singleFlight(t *testing.T, e *env) {
	c := Citizen(t, e.ring, 1)
	p := place(stream(t))
	part := sealed(t, e.ring, c, p, "x")
	other := e.process(t, seal.Config{})
	calls := e.kek.Calls("Unwrap")
	var asking sync.WaitGroup // the keeper answers when all have come
	asking.Add(64)
	e.kek.Before(func(string) error { asking.Wait(); return nil })
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			asking.Done()
			var err error
			if i%2 == 0 {
				_, err = (seal.Opener{Ring: other.Ring}).Open(t.Context(), nil, p, part)
			} else {
				_, err = other.ContentTag(t.Context(), c, nil)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	e.kek.Before(nil)
	if got := e.kek.Calls("Unwrap") - calls; got != 1 {
		t.Errorf("one key took %d calls to the keeper", got)
	}
}

func destroyedIsWarm(t *testing.T, e *env) {
	ctx := t.Context()
	c, keeps := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	p, one := place(stream(t)), place(stream(t))
	part, ofOne := sealed(t, e.ring, c, p, "x"), sealed(t, e.ring, keeps, one, "x")
	e.erase(t, c, seal.Suppression{})
	check(t, e.ring.DestroyStreamKeys(ctx, one.Stream))
	for range 2 {
		refuses(t, e.ring, p, part, eventstore.ErrErased)
		refuses(t, e.ring, one, ofOne, eventstore.ErrErased)
		_, err := e.ring.ContentTag(ctx, c, nil)
		wants(t, err, eventstore.ErrErased)
		e.kek.Before(func(string) error { return errAway }) // the second time from memory alone
		check(t, e.db.Close())
	}
}

func rewrapAll(t *testing.T, e *env) {
	ctx := t.Context()
	const n = 30
	places := make([]eventstore.Place, n)
	parts := make([][]byte, n)
	for i := range n {
		c := Citizen(t, e.ring, i)
		places[i] = place(stream(t))
		parts[i] = sealed(t, e.ring, c, places[i], "x")
	}
	gone := Citizen(t, e.ring, n)
	e.erase(t, gone, seal.Suppression{})
	_, err := e.kek.Rotate(ctx)
	check(t, err)
	before, err := e.ring.Status(ctx)
	check(t, err)
	if before.Versions.Latest != 2 || before.Behind() != before.ByVersion[1] || before.Behind() < n || before.Destroyed != 1 || before.Streams != n || before.Suppressed != 1 {
		t.Fatalf("%+v", before)
	}

	// It is stopped halfway, and called again.
	e.kek.Before(func(string) error { return errAway })
	wants(t, e.ring.RewrapAll(ctx, nil), eventstore.ErrKeysUnavailable)
	e.kek.Before(nil)
	told := 0
	check(t, e.ring.RewrapAll(ctx, func(done, total int) {
		told = done
		if total != before.Behind() {
			t.Errorf("total %d", total)
		}
	}))
	if told != before.Behind() {
		t.Errorf("the last report was %d of %d", told, before.Behind())
	}
	after, err := e.ring.Status(ctx)
	check(t, err)
	if after.Behind() != 0 || after.ByVersion[2] != before.Behind() {
		t.Fatalf("%+v", after)
	}
	check(t, e.ring.RewrapAll(ctx, nil))
	check(t, e.kek.SetMinDecryption(ctx, 2))
	check(t, e.kek.Trim(ctx, 2))
	other := e.process(t, seal.Config{})
	for i := range n {
		opens(t, other, places[i], parts[i], "x")
	}
}

func rewrapAgainstDestruction(t *testing.T, e *env) {
	ctx := t.Context()
	c := Citizen(t, e.ring, 1)
	p := place(stream(t))
	part := sealed(t, e.ring, c, p, "x")
	_, err := e.kek.Rotate(ctx)
	check(t, err)
	calls := 0
	e.kek.Before(func(method string) error {
		if method == "Rewrap" {
			if calls++; calls == 2 { // the citizens, after the deployment keys: read, not stored
				e.erase(t, c, seal.Suppression{})
			}
		}
		return nil
	})
	check(t, e.ring.RewrapAll(ctx, nil))
	e.kek.Before(nil)
	if calls != 2 {
		t.Fatalf("%d calls to Rewrap: nothing raced", calls)
	}
	refuses(t, e.process(t, seal.Config{}), p, part, eventstore.ErrErased)
	row, err := e.db.Read(`SELECT count(*) FROM subjects WHERE wrapped IS NULL`)
	check(t, err)
	var gone int
	if err := row.Get(&gone); err != nil || gone != 1 {
		t.Fatal("rewrapping brought a destroyed key back", err)
	}
}

func backups(t *testing.T, e *env) {
	ctx := t.Context()
	if _, found, err := e.ring.LastBackup(ctx); err != nil || found {
		t.Fatal(found, err)
	}
	taken := time.Date(2026, 11, 22, 12, 0, 0, 1000, time.UTC)
	good := seal.BackupNote{Taken: taken, Verified: taken.Add(time.Minute), OldestVersion: 2, SHA256: [32]byte{1}}
	for _, spoil := range []func(*seal.BackupNote){
		func(n *seal.BackupNote) { n.Taken = time.Time{} },
		func(n *seal.BackupNote) { n.Verified = taken.Add(-time.Microsecond) },
		func(n *seal.BackupNote) { n.Verified = time.Time{} },
		func(n *seal.BackupNote) { n.OldestVersion = 0 },
		func(n *seal.BackupNote) { n.SHA256 = [32]byte{} },
	} {
		bad := good
		spoil(&bad)
		wants(t, e.ring.NoteBackup(ctx, bad), eventstore.ErrInvalid)
	}
	older := good
	older.Taken, older.SHA256 = taken.Add(-time.Hour), [32]byte{2}
	for _, n := range []seal.BackupNote{good, good, older} {
		check(t, e.ring.NoteBackup(ctx, n))
	}
	for _, r := range []*Ring{e.ring, e.process(t, seal.Config{})} {
		if got, found, err := r.LastBackup(ctx); err != nil || !found || got != good {
			t.Fatal(got, found, err)
		}
	}
	if trimmed, err := e.ring.Trimmed(ctx); err != nil || len(trimmed) != 0 {
		t.Fatal(trimmed, err)
	}
	if s, err := e.ring.Status(ctx); err != nil || s.Oldest() != 1 {
		t.Fatal(s, err)
	}
}

func smallCaches(t *testing.T, e *env) {
	r := e.process(t, seal.Config{Streams: 16, Subjects: 16})
	const n = 100
	places := make([]eventstore.Place, n)
	parts := make([][]byte, n)
	citizens := make([]domain.CitizenID, n)
	for i := range n {
		citizens[i] = Citizen(t, r, i)
		places[i] = place(stream(t))
		parts[i] = sealed(t, r, citizens[i], places[i], "x")
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range n {
				j := (i*7 + worker) % n
				if got, err := (seal.Opener{Ring: r.Ring}).Open(t.Context(), nil, places[j], parts[j]); err != nil || string(got) != "x" {
					t.Error(err)
				}
				if _, err := r.ContentTag(t.Context(), citizens[j], nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// trim makes n further versions of the key-encryption key, wraps everything by the
// last one and destroys the others.
func (e *env) trim(t *testing.T, n int, noted time.Time) (oldest int) {
	t.Helper()
	ctx := t.Context()
	for range n {
		var err error
		oldest, err = e.kek.Rotate(ctx)
		check(t, err)
	}
	check(t, e.ring.RewrapAll(ctx, nil))
	check(t, e.kek.SetMinDecryption(ctx, oldest))
	check(t, e.kek.Trim(ctx, oldest))
	rotations := Table(t, e.db, "rotations")
	_, err := keysdb.Do(ctx, e.db, func(tx *keysdb.Tx) (int64, error) {
		for version := 1; version < oldest; version++ {
			if _, err := tx.InsertNew(rotations, version, 0, 0, 0, 0); err != nil {
				return 0, err
			}
			if _, err := tx.Update(rotations, `version = ? AND trimmed = 0`, []any{version}, func(e *keysdb.Entry) { e.Set("trimmed", noted.UnixMicro()) }); err != nil {
				return 0, err
			}
		}
		return 0, nil
	})
	check(t, err)
	return oldest
}

func (e *env) destroyedSubject(t *testing.T, id domain.CitizenID) (seal.Destruction, error) {
	t.Helper()
	all, err := e.ring.Destructions(t.Context())
	check(t, err)
	return all.Subject(t.Context(), id)
}

func (e *env) destroyedStream(t *testing.T, name eventstore.Stream) (seal.Destruction, error) {
	t.Helper()
	all, err := e.ring.Destructions(t.Context())
	check(t, err)
	return all.Stream(t.Context(), name)
}

func destructions(t *testing.T, e *env) {
	ctx := t.Context()
	gone, keeps := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2)
	s := stream(t)
	sealed(t, e.ring, keeps, place(s), "x")
	_, err := e.destroyedSubject(t, gone)
	wants(t, err, seal.ErrUnknown)
	_, err = e.destroyedStream(t, s)
	wants(t, err, seal.ErrUnknown)

	noted := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	oldest := e.trim(t, 1, noted) // what wrapped these before is gone, and does not count
	began := time.Now().UTC().Add(-time.Millisecond)
	check(t, e.ring.BeginErase(ctx, gone))
	check(t, e.ring.DestroySubject(ctx, gone, seal.Suppression{Basis: "law"}))
	check(t, e.ring.DestroyStreamKeys(ctx, s))
	check(t, e.ring.ReplaceDataKey(ctx, keeps))
	both := func() (of [2]seal.Destruction) {
		t.Helper()
		for i, ask := range []func() (seal.Destruction, error){
			func() (seal.Destruction, error) { return e.destroyedSubject(t, gone) },
			func() (seal.Destruction, error) { return e.destroyedStream(t, s) },
		} {
			var err error
			of[i], err = ask()
			check(t, err)
		}
		return of
	}
	first := both()
	for _, d := range first {
		if d.WrappedBy != oldest || d.Oldest != oldest || !d.TrimmedAt.IsZero() || d.At.Before(began) || d.At.After(time.Now()) {
			t.Fatalf("%+v", d)
		}
	}
	check(t, e.ring.DestroySubject(ctx, gone, seal.Suppression{Basis: "law"})) // again, and nothing moves
	check(t, e.ring.DestroyStreamKeys(ctx, s))
	if both() != first {
		t.Fatal("a repetition changed what is known")
	}
	later := noted.Add(time.Hour)
	oldest = e.trim(t, 2, later)
	for i, d := range both() {
		if d.WrappedBy != first[i].WrappedBy || d.Oldest != oldest || !d.TrimmedAt.Equal(later) || !d.At.Equal(first[i].At) {
			t.Fatalf("%+v", d)
		}
	}

	// What a restored copy makes destroy again counts from then, under the newest version.
	again, other := Citizen(t, e.ring, 3), stream(t)
	sealed(t, e.ring, keeps, place(other), "x")
	unknown := domain.CitizenID{UUID: uuid.New()}
	strange := stream(t)
	newest, err := e.kek.Rotate(ctx)
	check(t, err)
	check(t, e.ring.ReapplyDestroyed(ctx, []seal.DestroyedSubject{{Citizen: again}, {Citizen: unknown}}, []seal.DestroyedStream{{Stream: other, Citizen: keeps}, {Stream: strange, Citizen: keeps}}))
	for _, id := range []domain.CitizenID{again, unknown} {
		if d, err := e.destroyedSubject(t, id); err != nil || d.WrappedBy != newest || d.At.Before(began) {
			t.Errorf("%+v %v", d, err)
		}
	}
	for _, name := range []eventstore.Stream{other, strange} {
		if d, err := e.destroyedStream(t, name); err != nil || d.WrappedBy != newest || d.At.Before(began) {
			t.Errorf("%+v %v", d, err)
		}
	}

	// What was destroyed before this was kept counts from when it is asked for.
	_, err = keysdb.Do(ctx, e.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Update(Table(t, e.db, "subjects"), "", nil, func(e *keysdb.Entry) {
			e.Set("destroyed", 0)
			e.Set("destroyed_version", 0)
		})
	})
	check(t, err)
	d, err := e.destroyedSubject(t, gone)
	if err != nil || d.WrappedBy != newest || d.At.Before(first[0].At) {
		t.Fatalf("%+v %v", d, err)
	}
	if settled, err := e.destroyedSubject(t, gone); err != nil || settled != d {
		t.Fatalf("%+v %v", settled, err)
	}
}

func signingKeys(t *testing.T, e *env) {
	ctx := t.Context()
	key := seal.SigningKey{Purpose: "erasure", ID: "one", Public: make([]byte, 32)}
	for _, bad := range []seal.SigningKey{{}, {Purpose: "erasure", ID: "one"}, {Purpose: "erasure", Public: key.Public}, {ID: "one", Public: key.Public}} {
		wants(t, e.ring.NoteSigningKey(ctx, bad), eventstore.ErrInvalid)
	}
	forged := key
	forged.Public = bytes.Repeat([]byte{1}, 32)
	for _, k := range []seal.SigningKey{key, key, forged} { // a name keeps its key
		check(t, e.ring.NoteSigningKey(ctx, k))
	}
	all, err := e.process(t, seal.Config{}).SigningKeys(ctx)
	if err != nil || len(all) != 1 || all[0].Purpose != "erasure" || all[0].ID != "one" || !bytes.Equal(all[0].Public, key.Public) {
		t.Fatal(all, err)
	}
}
