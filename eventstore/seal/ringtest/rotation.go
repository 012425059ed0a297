package ringtest

import (
	"errors"
	"math/rand/v2"
	"slices"
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

// backUp notes a copy of the ring as it is now.
func (e *env) backUp(t testing.TB) {
	t.Helper()
	s, err := e.ring.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	NoteBackup(t, e.ring.Ledger, time.Now().Add(time.Second), s.Oldest())
}

// NoteBackup notes a copy of the ring that was taken then and needs that version.
func NoteBackup(t testing.TB, l seal.Ledger, taken time.Time, oldest int) {
	t.Helper()
	sum := [32]byte{1}
	id := uuid.New()
	copy(sum[1:], id[:])
	if err := l.NoteBackup(t.Context(), seal.BackupNote{Taken: taken, Verified: taken, OldestVersion: oldest, SHA256: sum}); err != nil {
		t.Fatal(err)
	}
}

func (e *env) next(t *testing.T, want seal.Step) {
	t.Helper()
	if step, err := e.ring.NextStep(t.Context()); err != nil || step != want {
		t.Fatalf("next is %q, %v; want %q", step, err, want)
	}
}

// rotate takes a rotation to its end.
func (e *env) rotate(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	_, err := e.ring.Rotate(ctx)
	check(t, err)
	check(t, e.ring.RewrapAll(ctx, nil))
	e.backUp(t)
	check(t, e.ring.Retire(ctx))
	check(t, e.ring.Trim(ctx))
}

func rotationInOrder(t *testing.T, e *env) {
	ctx := t.Context()
	c, p := Citizen(t, e.ring, 1), place(stream(t))
	part := sealed(t, e.ring, c, p, "x")
	e.next(t, seal.StepRotate)
	check(t, e.ring.Retire(ctx)) // there is nothing to retire
	check(t, e.ring.Trim(ctx))

	for round := 2; round <= 3; round++ {
		if version, err := e.ring.Rotate(ctx); err != nil || version != round {
			t.Fatal(version, err)
		}
		e.next(t, seal.StepRewrap)
		e.backUp(t) // before the rewrap: it does not count
		wants(t, e.ring.Retire(ctx), seal.ErrNotRewrapped)
		wants(t, e.ring.Trim(ctx), seal.ErrNotRetired)
		check(t, e.ring.RewrapAll(ctx, nil))
		e.next(t, seal.StepBackUp)
		wants(t, e.ring.Retire(ctx), seal.ErrNoBackup)
		e.backUp(t)
		e.next(t, seal.StepRetire)
		wants(t, e.ring.Trim(ctx), seal.ErrNotRetired)
		for range 2 {
			check(t, e.ring.Retire(ctx))
			e.next(t, seal.StepTrim)
		}
		if trimmed, err := e.ring.Trimmed(ctx); err != nil || len(trimmed) != round-2 {
			t.Fatal(trimmed, err)
		}
		for range 2 {
			check(t, e.ring.Trim(ctx))
			e.next(t, seal.StepRotate)
		}
		check(t, e.ring.Retire(ctx))
		if v, err := e.kek.Versions(ctx); err != nil || v != (seal.Versions{Latest: round, MinDecryption: round, MinAvailable: round}) {
			t.Fatal(v, err)
		}
		opens(t, e.process(t, seal.Config{}), p, part, "x")
	}
	all, err := e.ring.Rotations(ctx)
	if err != nil || len(all) != 3 || !all[0].Rotated.IsZero() || all[1].Rotated.IsZero() || all[1].Rewrapped.Before(all[1].Rotated) ||
		all[1].Retired.Before(all[1].Rewrapped) || all[1].Trimmed.Before(all[1].Retired) || !all[2].Retired.IsZero() || !all[2].Trimmed.IsZero() {
		t.Fatalf("%+v %v", all, err)
	}
	trimmed, err := e.ring.Trimmed(ctx)
	if err != nil || len(trimmed) != 2 || trimmed[0].Version != 1 || trimmed[1].Version != 2 || !trimmed[1].At.Equal(all[1].Trimmed) {
		t.Fatal(trimmed, err)
	}
}

func rotationElsewhere(t *testing.T, e *env) {
	ctx := t.Context()
	hands := &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	start, last := hands.Now(), byte(0)
	r := e.process(t, seal.Config{Now: hands.Now})
	report := func(taken time.Time) int {
		t.Helper()
		last++
		n, err := r.NoteBackupElsewhere(ctx, seal.BackupNote{Taken: taken, Verified: taken, OldestVersion: 99, SHA256: [32]byte{last}})
		check(t, err)
		return n.OldestVersion
	}
	for round := 2; round <= 3; round++ {
		hands.advance(time.Hour)
		_, err := r.Rotate(ctx)
		check(t, err)
		if got := report(hands.Now()); got != round-1 {
			t.Fatalf("while version %d wraps: %d", round-1, got)
		}
		hands.advance(time.Hour)
		check(t, r.RewrapAll(ctx, nil))
		if got := report(hands.Now().Add(-time.Microsecond)); got != round-1 {
			t.Fatalf("before the end of the rewrap: %d", got)
		}
		if got := report(start); got != 1 {
			t.Fatalf("before any rotation: %d", got)
		}
		wants(t, r.Retire(ctx), seal.ErrNoBackup)
		if got := report(hands.Now()); got != round {
			t.Fatalf("after the rewrap: %d, not %d", got, round)
		}
		check(t, r.Retire(ctx))
		check(t, r.Trim(ctx))
	}
	// The first note of a copy stays.
	again := seal.BackupNote{Taken: hands.Now(), Verified: hands.Now().Add(time.Hour), SHA256: [32]byte{last}}
	if n, err := r.NoteBackupElsewhere(ctx, again); err != nil || n.OldestVersion != 3 || !n.Verified.Equal(hands.Now()) {
		t.Fatalf("%+v %v", n, err)
	}
	again.Taken = start
	_, err := r.NoteBackupElsewhere(ctx, again)
	wants(t, err, seal.ErrReportedOtherwise)
	_, err = r.NoteBackupElsewhere(ctx, seal.BackupNote{Taken: start, Verified: start})
	wants(t, err, eventstore.ErrInvalid)
}

func rotationBackup(t *testing.T, e *env) {
	ctx := t.Context()
	hands := &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	r := e.process(t, seal.Config{Now: hands.Now})
	_, err := r.Rotate(ctx)
	check(t, err)
	check(t, r.RewrapAll(ctx, nil))
	NoteBackup(t, r.Ledger, hands.Now().Add(-time.Microsecond), 2) // taken before the end of the rewrap
	wants(t, r.Retire(ctx), seal.ErrNoBackup)
	NoteBackup(t, r.Ledger, hands.Now().Add(time.Hour), 1) // needs what would be destroyed
	wants(t, r.Retire(ctx), seal.ErrNoBackup)
	check(t, e.kek.SetMinDecryption(ctx, 2)) // past the ring
	wants(t, r.Trim(ctx), seal.ErrNoBackup)
	NoteBackup(t, r.Ledger, hands.Now(), 2)
	check(t, r.Trim(ctx))

	// Something is wrapped by an older version after all.
	_, err = r.Rotate(ctx)
	check(t, err)
	check(t, r.RewrapAll(ctx, nil))
	NoteBackup(t, r.Ledger, hands.Now(), 3)
	check(t, r.Retire(ctx))
	for _, table := range []string{"deployment_keys", "subjects"} {
		Citizen(t, r, 1)
		for _, version := range []int{2, 3} {
			_, err := keysdb.Do(ctx, e.db, func(tx *keysdb.Tx) (int64, error) {
				return tx.Update(Table(t, e.db, table), "", nil, func(e *keysdb.Entry) { e.Set("kek_version", version) })
			})
			check(t, err)
			if version == 2 {
				wants(t, r.Trim(ctx), seal.ErrNotRewrapped)
			}
		}
	}
	check(t, r.Trim(ctx))
}

// once runs f at the first call of the method, between its effect and its answer or
// before either.
func once(method string, f func()) func(string) {
	var done atomic.Bool
	return func(called string) {
		if called == method && done.CompareAndSwap(false, true) {
			f()
		}
	}
}

func wrappedBeforeRotation(t *testing.T, e *env) {
	ctx := t.Context()
	e.kek.After(once("Wrap", func() { e.rotate(t) }))
	c := Citizen(t, e.ring, 1) // its key was wrapped by a version that is destroyed when it is stored
	e.kek.After(nil)
	if s, err := e.ring.Status(ctx); err != nil || s.Behind() != 0 || s.ByVersion[1] != 0 {
		t.Fatalf("%+v %v", s, err)
	}
	if number, err := e.process(t, seal.Config{}).SSINOf(ctx, c); err != nil || number != SSIN(1) {
		t.Fatal(err)
	}
	e.kek.After(once("Wrap", func() { e.rotate(t) }))
	check(t, e.ring.BeginPepper(ctx))
	e.kek.After(nil)
	e.process(t, seal.Config{})
}

func readBeforeRotation(t *testing.T, e *env) {
	c, p := Citizen(t, e.ring, 1), place(stream(t))
	part := sealed(t, e.ring, c, p, "x")
	other := e.process(t, seal.Config{})
	rotate := once("Unwrap", func() { e.rotate(t) })
	e.kek.Before(func(method string) error { rotate(method); return nil })
	opens(t, other, p, part, "x") // its row was read before
	rotate = once("Unwrap", func() { e.rotate(t) })
	opens(t, e.process(t, seal.Config{}), p, part, "x") // and those of the deployment
	e.kek.Before(nil)
	if v, err := e.kek.Versions(t.Context()); err != nil || v.MinAvailable != 3 {
		t.Fatal(v, err)
	}
}

// load has people enrolled, found and read through several processes until stop is
// called, which returns how often each was done. Nothing may fail.
func (e *env) load(t *testing.T, rings ...*Ring) (stop func() int) {
	var done, people atomic.Int64
	ended := make(chan struct{})
	var wg sync.WaitGroup
	for worker, r := range rings {
		wg.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				n := 1_000_000*(worker+1) + int(people.Add(1))
				c, isNew, err := r.Enroll(t.Context(), SSIN(n))
				if err != nil || !isNew {
					t.Error(isNew, err)
					return
				}
				p := place(eventstore.Stream("document-" + uuid.NewString()))
				part, err := seal.Sealer{Ring: r.Ring}.Seal(t.Context(), c, p, []byte("x"))
				if err != nil {
					t.Error(err)
					return
				}
				for _, reader := range rings {
					reader.Ring.Forget(c)
					if _, err := (seal.Opener{Ring: reader.Ring}).Open(t.Context(), nil, p, part); err != nil {
						t.Error(err)
					}
					if got, err := reader.Resolve(t.Context(), SSIN(n)); err != nil || got != c {
						t.Error("a citizen is not found:", err)
					}
					if number, err := reader.SSINOf(t.Context(), c); err != nil || number != SSIN(n) {
						t.Error(err)
					}
				}
				done.Add(1)
			}
		})
	}
	return func() int {
		close(ended)
		wg.Wait()
		return int(done.Load())
	}
}

func rotationUnderLoad(t *testing.T, e *env) {
	other := e.process(t, seal.Config{Subjects: 16})
	stop := e.load(t, e.ring, other, e.ring, other)
	for range 5 {
		e.rotate(t)
		e.replacePepper(t, e.ring)
	}
	if n := stop(); n == 0 {
		t.Error("nothing was done meanwhile")
	}
	if s, err := e.ring.Status(t.Context()); err != nil || s.Behind() != 0 || s.Oldest() != 6 {
		t.Fatalf("%+v %v", s, err)
	}
}

// replacePepper takes a rotation of the pepper to its end, through any of the rings.
func (e *env) replacePepper(t *testing.T, rings ...*Ring) {
	t.Helper()
	ctx := t.Context()
	any := func() *Ring { return rings[rand.IntN(len(rings))] }
	check(t, any().BeginPepper(ctx))
	again := func(step func() error) { // while somebody is being erased
		t.Helper()
		err := step()
		for n := 0; n < 1000 && errors.Is(err, seal.ErrPepperIncomplete); n++ {
			err = step()
		}
		check(t, err)
	}
	again(func() error { return any().BackfillPepper(ctx, nil) })
	again(func() error { return any().SwitchPepper(ctx) })
	check(t, any().DropPepper(ctx, nil))
}

// indexes counts the rows by pepper.
func (e *env) indexes(t *testing.T) map[int]int {
	t.Helper()
	s, err := e.db.Read(`SELECT pepper_version, count(*) AS n FROM subject_ssins GROUP BY pepper_version`)
	check(t, err)
	var rows []struct {
		Version int `db:"pepper_version"`
		N       int `db:"n"`
	}
	check(t, s.Select(&rows))
	out := map[int]int{}
	for _, row := range rows {
		out[row.Version] = row.N
	}
	return out
}

func pepperReplaced(t *testing.T, e *env) {
	ctx := t.Context()
	const n = 1200 // more than a batch
	citizens := make([]domain.CitizenID, n)
	var wg sync.WaitGroup
	for worker := range 40 {
		wg.Go(func() {
			for i := worker; i < n; i += 40 {
				var err error
				if citizens[i], _, err = e.ring.Enroll(ctx, SSIN(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	other := e.process(t, seal.Config{})
	check(t, e.ring.BeginPepper(ctx))
	told, calls := 0, e.kek.Calls("Unwrap")
	check(t, other.BackfillPepper(ctx, func(done, total int) {
		told = done
		if total != n {
			t.Errorf("total %d", total)
		}
	}))
	if told != n {
		t.Errorf("told of %d", told)
	}
	if got := e.kek.Calls("Unwrap") - calls; got > n/seal.MaxBatch+2 {
		t.Errorf("%d numbers took %d calls to the keeper", n, got)
	}
	check(t, e.ring.SwitchPepper(ctx))
	check(t, other.DropPepper(ctx, nil))
	if rows := e.indexes(t); len(rows) != 1 || rows[2] != n {
		t.Fatal(rows)
	}
	if s, err := e.ring.PepperStatus(ctx); err != nil || s != (seal.PepperStatus{Phase: seal.PepperSettled, Version: 2}) {
		t.Fatalf("%+v %v", s, err)
	}
	row, err := e.db.Read(`SELECT count(*) FROM deployment_keys WHERE name = 'pepper'`)
	check(t, err)
	var peppers int
	if err := row.Get(&peppers); err != nil || peppers != 1 {
		t.Fatal("the old pepper is still there", err)
	}
	for _, r := range []*Ring{e.ring, other, e.process(t, seal.Config{})} {
		for i, c := range citizens {
			if got, err := r.Resolve(ctx, SSIN(i)); err != nil || got != c {
				t.Fatal(i, err)
			}
		}
		_, err := r.Resolve(ctx, SSIN(n))
		wants(t, err, seal.ErrUnknown)
	}
}

func pepperInOrder(t *testing.T, e *env) {
	ctx := t.Context()
	c := Citizen(t, e.ring, 1)
	phase := func(want seal.PepperPhase, version, missing, left int) {
		t.Helper()
		if s, err := e.ring.PepperStatus(ctx); err != nil || s != (seal.PepperStatus{Phase: want, Version: version, Missing: missing, Left: left}) {
			t.Fatalf("%+v %v", s, err)
		}
		if got, err := e.ring.Resolve(ctx, SSIN(1)); err != nil || got != c {
			t.Fatal(err)
		}
	}
	phase(seal.PepperSettled, 1, 0, 0)
	wants(t, e.ring.BackfillPepper(ctx, nil), seal.ErrPepperPhase)
	wants(t, e.ring.SwitchPepper(ctx), seal.ErrPepperPhase)
	check(t, e.ring.DropPepper(ctx, nil)) // nothing is left of a former one

	check(t, e.ring.BeginPepper(ctx))
	phase(seal.PepperDoubled, 1, 1, 0)
	wants(t, e.ring.BeginPepper(ctx), seal.ErrPepperUnderWay)
	if err := e.ring.SwitchPepper(ctx); err == nil {
		t.Fatal("switched to an index that misses a citizen")
	}
	wants(t, e.ring.DropPepper(ctx, nil), seal.ErrPepperPhase)
	for range 2 {
		check(t, e.ring.BackfillPepper(ctx, nil))
		phase(seal.PepperDoubled, 1, 0, 0)
	}
	for range 2 {
		check(t, e.ring.SwitchPepper(ctx))
		phase(seal.PepperSwitched, 2, 0, 0)
	}
	wants(t, e.ring.BeginPepper(ctx), seal.ErrPepperUnderWay)
	check(t, e.ring.BackfillPepper(ctx, nil))
	for range 2 {
		check(t, e.ring.DropPepper(ctx, nil))
		phase(seal.PepperSettled, 2, 0, 0)
	}
	e.replacePepper(t, e.ring)
	phase(seal.PepperSettled, 3, 0, 0)
}

// pepperBehind: a process that saw no step since the one before, or none at all,
// enrols nobody twice and misses nobody.
func pepperBehind(t *testing.T, e *env) {
	ctx := t.Context()
	taker := Citizen(t, e.ring, 9_999)
	early := Citizen(t, e.ring, 0)
	steps := []func() error{
		func() error { return e.ring.BeginPepper(ctx) },
		func() error { return e.ring.BackfillPepper(ctx, nil) },
		func() error { return e.ring.SwitchPepper(ctx) },
		func() error { return e.ring.DropPepper(ctx, nil) },
	}
	for after := range len(steps) + 1 { // how many steps of the rotation the other saw
		for to := after; to <= len(steps); to++ {
			for _, first := range []string{"enrolled here", "enrolled there", "enrolled at once", "resolve", "number"} {
				for _, s := range steps[:after] {
					check(t, s())
				}
				behind := e.process(t, seal.Config{})
				n := 1 + after*1000 + to*100
				was := Citizen(t, e.ring, n)
				goOn := func() {
					for _, s := range steps[after:to] {
						check(t, s())
					}
				}
				if first != "enrolled at once" {
					goOn()
				}
				same := func(a, b domain.CitizenID, err error) {
					t.Helper()
					if err != nil || a != b {
						t.Fatalf("seen %d steps of %d, %s: two citizens for one person, or none: %v", after, to, first, err)
					}
				}
				switch first {
				case "enrolled here":
					c := Citizen(t, e.ring, n+1)
					again, _, err := behind.Enroll(ctx, SSIN(n+1))
					same(c, again, err)
				case "enrolled there":
					c := Citizen(t, behind, n+2)
					again, _, err := e.ring.Enroll(ctx, SSIN(n+2))
					same(c, again, err)
				case "enrolled at once": // the other has looked, and has its key, and has stored nothing
					var c domain.CitizenID
					e.kek.After(once("Wrap", func() { goOn(); c = Citizen(t, e.ring, n+4) }))
					got, _, err := behind.Enroll(ctx, SSIN(n+4))
					e.kek.After(nil)
					same(c, got, err)
				case "resolve":
					got, err := behind.Resolve(ctx, SSIN(n))
					same(was, got, err)
					got, err = behind.Resolve(ctx, SSIN(0))
					same(early, got, err)
				case "number":
					wants(t, behind.AddSSIN(ctx, taker, SSIN(n)), seal.ErrSSINTaken)
					check(t, behind.AddSSIN(ctx, was, SSIN(n+3)))
					got, err := e.ring.Resolve(ctx, SSIN(n+3))
					same(was, got, err)
					wants(t, e.ring.AddSSIN(ctx, taker, SSIN(n+3)), seal.ErrSSINTaken)
					check(t, behind.AddSSIN(ctx, was, SSIN(n)))
				}
				if to > 0 && to < len(steps) {
					for _, s := range []func() error{steps[1], steps[2], steps[3]} {
						check(t, s())
					}
				}
			}
		}
	}
}

func pepperErasing(t *testing.T, e *env) {
	ctx := t.Context()
	stays, goes, gone := Citizen(t, e.ring, 1), Citizen(t, e.ring, 2), Citizen(t, e.ring, 3)
	check(t, e.ring.BeginErase(ctx, goes))
	check(t, e.ring.BeginPepper(ctx))
	// Destroyed between the reading of the number and the storing of its index.
	e.ring.Ring.Forget(gone)
	erase := once("Unwrap", func() { e.erase(t, gone, seal.Suppression{}) })
	e.kek.Before(func(method string) error { erase(method); return nil })
	if err := e.ring.BackfillPepper(ctx, nil); err == nil {
		t.Fatal("a citizen who is being erased was opened, or forgotten")
	}
	e.kek.Before(nil)
	if s, err := e.ring.PepperStatus(ctx); err != nil || s.Missing != 1 || s.Waiting != 1 {
		t.Fatalf("%+v %v", s, err)
	}
	if err := e.ring.SwitchPepper(ctx); err == nil {
		t.Fatal("switched to an index that misses a citizen")
	}
	for _, n := range []int{2, 3} {
		_, _, err := e.ring.Enroll(ctx, SSIN(n))
		wants(t, err, seal.ErrCitizenErased)
	}
	_, _, err := e.ring.EnrollNewLife(ctx, SSIN(2))
	wants(t, err, seal.ErrCitizenErased)
	check(t, e.ring.DestroySubject(ctx, goes, seal.Suppression{}))
	check(t, e.ring.BackfillPepper(ctx, nil))
	check(t, e.ring.SwitchPepper(ctx))
	check(t, e.ring.BeginErase(ctx, stays)) // in the later steps everyone has both
	_, err = e.ring.Resolve(ctx, SSIN(1))
	wants(t, err, eventstore.ErrErased)
	check(t, e.ring.DropPepper(ctx, nil))
	check(t, e.ring.DestroySubject(ctx, stays, seal.Suppression{}))
	if rows := e.indexes(t); len(rows) != 0 {
		t.Fatal("numbers of the erased are left", rows)
	}
	for _, n := range []int{1, 2, 3} {
		_, _, err := e.ring.Enroll(ctx, SSIN(n))
		wants(t, err, seal.ErrCitizenErased)
	}
}

func pepperNumbers(t *testing.T, e *env) {
	ctx := t.Context()
	c := Citizen(t, e.ring, 1)
	latest := func(want int) {
		t.Helper()
		if number, err := e.ring.SSINOf(ctx, c); err != nil || number != SSIN(want) {
			t.Fatal("not the latest number", err)
		}
	}
	check(t, e.ring.AddSSIN(ctx, c, SSIN(2)))
	check(t, e.ring.BeginPepper(ctx))
	check(t, e.ring.AddSSIN(ctx, c, SSIN(3)))
	check(t, e.ring.BackfillPepper(ctx, nil)) // 1 and 2 come after 3
	latest(3)
	check(t, e.ring.AddSSIN(ctx, c, SSIN(1))) // a former number is the latest again
	latest(1)
	check(t, e.ring.SwitchPepper(ctx))
	latest(1)
	check(t, e.ring.AddSSIN(ctx, c, SSIN(2)))
	check(t, e.ring.DropPepper(ctx, nil))
	latest(2)
	if rows := e.indexes(t); len(rows) != 1 || rows[2] != 3 {
		t.Fatal(rows)
	}
	for _, n := range []int{1, 2, 3} {
		if got, err := e.ring.Resolve(ctx, SSIN(n)); err != nil || got != c {
			t.Fatal(n, err)
		}
	}
}

// pepperRaces: two processes enrol, find, renumber and erase the same few people
// while peppers are replaced through either. What each was told holds for both.
func pepperRaces(t *testing.T, e *env) {
	ctx := t.Context()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rings := []*Ring{e.ring, e.process(t, seal.Config{Subjects: 16})}
	const people = 12
	type life struct {
		sync.Mutex
		citizen domain.CitizenID // zero before the first enrolment
		erased  bool
		taken   sync.RWMutex // held for writing while the person is erased
	}
	lives := make([]life, people)
	ended := make(chan struct{})
	var wg sync.WaitGroup
	var acts atomic.Int64
	for worker := range 6 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(worker)))
			for {
				select {
				case <-ended:
					return
				default:
				}
				acts.Add(1)
				n := random.IntN(people)
				r, l := rings[random.IntN(2)], &lives[n]
				if random.IntN(400) == 0 { // gone for good; nobody else is at it
					l.taken.Lock()
					if !l.citizen.IsZero() && !l.erased {
						l.erased = true
						if err := errors.Join(r.BeginErase(ctx, l.citizen), r.DestroySubject(ctx, l.citizen, seal.Suppression{})); err != nil {
							t.Error(err)
						}
						for _, other := range rings { // as after the lease
							other.Ring.Forget(l.citizen)
						}
					}
					l.taken.Unlock()
					continue
				}
				l.taken.RLock()
				l.Lock()
				known := l.citizen
				l.Unlock()
				var got domain.CitizenID
				var err error
				switch random.IntN(4) {
				case 0:
					if got, err = r.Resolve(ctx, SSIN(n)); known.IsZero() && errors.Is(err, seal.ErrUnknown) {
						got, err = known, nil
					}
				case 1, 2:
					got, _, err = r.Enroll(ctx, SSIN(n))
				case 3:
					got = known
					if !known.IsZero() && !l.erased {
						err = r.AddSSIN(ctx, known, SSIN(n))
					}
				}
				switch l.Lock(); {
				case l.erased:
					if !known.IsZero() && err != nil && !errors.Is(err, seal.ErrCitizenErased) && !errors.Is(err, eventstore.ErrErased) {
						t.Errorf("person %d, erased: %v", n, err)
					} else if err == nil && got != known {
						t.Errorf("person %d lives again", n)
					}
				case err != nil:
					t.Errorf("person %d: %v", n, err)
				case l.citizen.IsZero():
					l.citizen = got
				case !got.IsZero() && got != l.citizen:
					t.Errorf("person %d is two citizens", n)
				}
				l.Unlock()
				l.taken.RUnlock()
			}
		})
	}
	for range 8 {
		e.replacePepper(t, rings...)
	}
	close(ended)
	wg.Wait()
	t.Logf("%d acts", acts.Load())
	living := 0
	for n := range lives {
		if l := &lives[n]; !l.citizen.IsZero() && !l.erased {
			living++
			for _, r := range append(rings, e.process(t, seal.Config{})) {
				if got, err := r.Resolve(ctx, SSIN(n)); err != nil || got != l.citizen {
					t.Errorf("person %d: %v", n, err)
				}
			}
		}
	}
	if rows := e.indexes(t); len(rows) > 1 || rows[9] != living {
		t.Errorf("%v for %d people", rows, living)
	}
	if acts.Load() < 100 {
		t.Error("too little happened for a race")
	}
}

// suppressionKeyReplaced: whoever was erased stays erased while the suppression key is replaced
// and after it, under whichever version they are remembered; a version goes when it remembers
// nobody, and what stands beside the living in old copies is under a key that is gone then.
func suppressionKeyReplaced(t *testing.T, e *env) {
	ctx := t.Context()
	other := e.process(t, seal.Config{})
	erase := func(r *Ring, n int) {
		t.Helper()
		c := Citizen(t, r, n)
		check(t, r.BeginErase(ctx, c))
		check(t, r.DestroySubject(ctx, c, seal.Suppression{Basis: "law"}))
	}
	erased := func(when string, people ...int) {
		t.Helper()
		for _, n := range people {
			for _, r := range []*Ring{e.ring, other} {
				if _, _, err := r.Enroll(ctx, SSIN(n)); !errors.Is(err, seal.ErrCitizenErased) {
					t.Errorf("%s: person %d is issued to: %v", when, n, err)
				}
				if _, err := r.Resolve(ctx, SSIN(n)); !errors.Is(err, eventstore.ErrErased) {
					t.Errorf("%s: person %d: %v", when, n, err)
				}
				if _, remembered, err := r.Suppressed(ctx, SSIN(n)); err != nil || !remembered {
					t.Errorf("%s: person %d is not remembered: %v", when, n, err)
				}
			}
		}
		if found, err := e.ring.Check(ctx); err != nil || len(found) > 0 {
			t.Errorf("%s: %v %v", when, found, err)
		}
	}
	versions := func(want ...int) {
		t.Helper()
		var got []int
		for _, row := range rowsOf(t, e.db, "deployment_keys") {
			if row["name"] == "suppression" {
				got = append(got, int(row["version"].(int64)))
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("versions %v of the suppression key, want %v", got, want)
		}
	}
	living := Citizen(t, e.ring, 100)
	digest := e.column(t, `SELECT suppression FROM subject_ssins WHERE citizen = ?`, living.UUID[:])
	release := domain.ReleaseID{UUID: uuid.New()}
	tag := e.ring.ReleaseTag(release, SSIN(1), [16]byte{})
	erase(e.ring, 1)
	erased("before", 1)
	versions(1)
	check(t, e.ring.BeginPepper(ctx))
	versions(1, 2)
	erase(other, 2) // its only number is indexed under one pepper, or both
	erase(e.ring, 3)
	erased("doubled", 1, 2, 3)
	check(t, e.ring.BackfillPepper(ctx, nil))
	check(t, e.ring.SwitchPepper(ctx))
	erase(other, 4)
	erased("switched", 1, 2, 3, 4)
	check(t, other.DropPepper(ctx, nil))
	versions(1, 2)
	erase(e.ring, 5)
	erased("after", 1, 2, 3, 4, 5)
	if after := e.column(t, `SELECT suppression FROM subject_ssins WHERE citizen = ?`, living.UUID[:]); string(after) == string(digest) {
		t.Error("the digest beside a living person's number is under the former key")
	}
	if all, err := e.ring.Suppressions(ctx, time.Now(), nil, nil, -1, 100); err != nil || len(all) != 5 {
		t.Errorf("%d are remembered, each once: %v", len(all), err)
	}
	for n, want := range map[int]bool{1: true, 2: false} {
		if got := other.ReleaseTag(release, SSIN(n), tag); (got == tag) != want {
			t.Errorf("a release that was proposed under the former key, of person %d: %t", n, got == tag)
		}
	}
	life, isNew, err := other.EnrollNewLife(ctx, SSIN(1))
	if err != nil || !isNew {
		t.Fatal(isNew, err)
	}
	check(t, e.ring.EndSuppression(ctx, SSIN(2), seal.Suppression{Until: time.Now().Add(time.Hour)}))
	wants(t, e.ring.EndSuppression(ctx, SSIN(100), seal.Suppression{Until: time.Now().Add(time.Hour)}), seal.ErrNotErased)
	e.replacePepper(t, e.ring, other)
	if got, err := e.ring.Resolve(ctx, SSIN(1)); err != nil || got != life {
		t.Errorf("a new life: %v", err)
	}
	erased("once more", 2, 3, 4, 5)
	if _, _, err := e.ring.EnrollNewLife(ctx, SSIN(3)); err != nil {
		t.Error(err)
	}
	if _, err := e.ring.Resolve(ctx, SSIN(101)); !errors.Is(err, seal.ErrUnknown) {
		t.Error(err)
	}
	for _, n := range []int{2, 4, 5} {
		_, _, err := other.EnrollNewLife(ctx, SSIN(n))
		check(t, err)
	}
	e.replacePepper(t, other, e.ring)
	versions(4) // nobody is remembered under the others
	erased("nobody")
}

// requestKeyReplaced: a new version is in force when every process knows it, the former one is
// looked under for as long as anything digested under it counts, and what was in force at a
// moment stays so for ever.
func requestKeyReplaced(t *testing.T, e *env) {
	ctx := t.Context()
	hands := &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	r, other := e.process(t, seal.Config{Now: hands.Now}), e.process(t, seal.Config{Now: hands.Now})
	under := func(r *Ring) string { sum := r.RequestMAC([]byte("one")); return string(sum[:]) }
	also := func(r *Ring) (all []string) {
		for _, mac := range r.OtherRequestMACs() {
			sum := mac([]byte("one"))
			all = append(all, string(sum[:]))
		}
		return all
	}
	at := func(when time.Time) string { sum := r.RequestMACAt(when)([]byte("one")); return string(sum[:]) }
	first, begun := under(r), hands.Now()
	if under(other) != first || len(also(r)) != 0 {
		t.Fatal("before")
	}
	version, err := r.RotateRequests(ctx)
	if err != nil || version != 2 {
		t.Fatal(version, err)
	}
	if under(r) != first || len(also(r)) != 1 {
		t.Error("it is in force before others know it")
	}
	_, err = r.RotateRequests(ctx)
	wants(t, err, seal.ErrRequestKeyYoung)
	next := also(r)[0]
	hands.advance(61 * time.Second) // two leases
	for _, process := range []*Ring{r, e.process(t, seal.Config{Now: hands.Now})} {
		if under(process) != next || !slices.Equal(also(process), []string{first}) {
			t.Error("it is not in force, or the former one is not looked under")
		}
	}
	if at(begun) != first || at(hands.Now()) != next {
		t.Error("what was in force at a moment changed")
	}
	hands.advance(8*24*time.Hour + time.Second)
	if under(r) != next || len(also(r)) != 0 || at(begun) != first {
		t.Error("after what it digested is forgotten")
	}
	if version, err = e.process(t, seal.Config{Now: hands.Now}).RotateRequests(ctx); err != nil || version != 3 {
		t.Fatal(version, err)
	}
	hands.advance(2 * time.Minute)
	last := e.process(t, seal.Config{Now: hands.Now})
	if under(last) == next || !slices.Equal(also(last), []string{next}) {
		t.Error("the third version")
	}
	var left []int64
	for _, row := range rowsOf(t, e.db, "deployment_keys") {
		if row["name"] == "request" {
			left = append(left, row["version"].(int64))
		}
	}
	if slices.Sort(left); !slices.Equal(left, []int64{2, 3}) {
		t.Errorf("versions %v are left", left)
	}
}
