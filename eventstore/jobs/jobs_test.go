package jobs_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore/jobs"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
)

// clock is the time of all processes.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time       { return time.UnixMicro(c.at.Load()).UTC() }
func (c *clock) pass(d time.Duration) { c.at.Add(d.Microseconds()) }

// onEach runs a test on a file and on a PostgreSQL; process opens the table as one more does.
func onEach(t *testing.T, test func(t *testing.T, c *clock, process func() *jobs.Table)) {
	run := func(t *testing.T, open func() *keysdb.DB) {
		c := &clock{}
		c.at.Store(time.Date(2026, time.June, 15, 12, 0, 0, 0, time.UTC).UnixMicro())
		test(t, c, func() *jobs.Table {
			t.Helper()
			table, err := jobs.Open(t.Context(), open(), c.now)
			if err != nil {
				t.Fatal(err)
			}
			return table
		})
	}
	t.Run("SQLite", func(t *testing.T) {
		db := ringtest.OpenDB(t, t.TempDir())
		run(t, func() *keysdb.DB { return db })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := pgtest.Shared(t).Database(t)
		run(t, func() *keysdb.DB { return ringtest.OpenPostgres(t, dsn) })
	})
}

func request(t *testing.T, table *jobs.Table, id uuid.UUID, on string) (jobs.Job, bool) {
	t.Helper()
	job, ours, err := table.Request(t.Context(), id, "rebuild", on)
	if err != nil {
		t.Fatal(err)
	}
	return job, ours
}

// is looks a job up and compares it with what it has to be.
func is(t *testing.T, table *jobs.Table, want jobs.Job) {
	t.Helper()
	got, found, err := table.Find(t.Context(), want.ID)
	if err != nil || !found || got != want {
		t.Fatalf("found %v, %v\n got %+v\nwant %+v", found, err, got, want)
	}
}

// TestF21EveryProcessTellsHowAJobGoes follows a job from another process than its own.
func TestF21EveryProcessTellsHowAJobGoes(t *testing.T) {
	onEach(t, func(t *testing.T, c *clock, process func() *jobs.Table) {
		here, there := process(), process()
		id := uuid.New()
		want := jobs.Job{ID: id, Kind: "rebuild", On: "wallet", State: jobs.Waiting, Requested: c.now()}
		if got, ours := request(t, here, id, "wallet"); got != want || !ours {
			t.Fatalf("%+v, ours %v", got, ours)
		}
		is(t, there, want)
		c.pass(time.Second)
		if err := here.Begin(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		want.State, want.Begun = jobs.Running, c.now()
		is(t, there, want)
		c.pass(time.Second)
		if err := here.End(t.Context(), id, "rebuildFailed"); err != nil {
			t.Fatal(err)
		}
		want.State, want.Ended, want.Reason = jobs.Failed, c.now(), "rebuildFailed"
		is(t, there, want)
		// What is over stays so.
		c.pass(time.Hour)
		for _, err := range []error{here.Begin(t.Context(), id), here.End(t.Context(), id, "")} {
			if err != nil {
				t.Fatal(err)
			}
		}
		is(t, there, want)
		if _, found, err := there.Find(t.Context(), uuid.New()); found || err != nil {
			t.Errorf("a job that nobody asked for: %v, %v", found, err)
		}
	})
}

// TestF21JobsUnderWayAreJoined asks for the same work from two processes.
func TestF21JobsUnderWayAreJoined(t *testing.T) {
	onEach(t, func(t *testing.T, c *clock, process func() *jobs.Table) {
		here, there := process(), process()
		first, again, other := uuid.New(), uuid.New(), uuid.New()
		request(t, here, first, "wallet")
		if got, ours := request(t, there, again, "wallet"); got.ID != first || ours {
			t.Errorf("not joined: %+v, ours %v", got, ours)
		}
		if got, ours := request(t, there, other, "evidence"); got.ID != other || !ours {
			t.Errorf("joined with something else: %+v, ours %v", got, ours)
		}
		if err := here.End(t.Context(), first, ""); err != nil {
			t.Fatal(err)
		}
		if got, ours := request(t, there, again, "wallet"); got.ID != again || !ours {
			t.Errorf("joined with what is over: %+v, ours %v", got, ours)
		}
		if got, ours := request(t, here, first, "wallet"); got.ID != first || ours || got.State != jobs.Done {
			t.Errorf("a repeated request: %+v, ours %v", got, ours)
		}
	})
}

// TestF21JobOfAProcessThatEnded lets the process of a job fall silent.
func TestF21JobOfAProcessThatEnded(t *testing.T) {
	onEach(t, func(t *testing.T, c *clock, process func() *jobs.Table) {
		here, there := process(), process()
		id := uuid.New()
		want, _ := request(t, here, id, "wallet")
		last := c.now()
		c.pass(jobs.Silence)
		is(t, there, want)
		c.pass(time.Microsecond)
		want.State, want.Reason, want.Ended = jobs.Failed, jobs.Interrupted, last
		is(t, there, want)
		if got, ours := request(t, there, uuid.New(), "wallet"); !ours || got.ID == id {
			t.Errorf("joined with what was interrupted: %+v", got)
		}
		c.pass(jobs.Kept)
		request(t, there, uuid.New(), "evidence")
		if _, found, err := there.Find(t.Context(), id); found || err != nil {
			t.Errorf("kept for ever: %v, %v", found, err)
		}
	})
}

// TestF21JobsThatGoOnAreVouchedFor lets a job take longer than its process may be silent.
func TestF21JobsThatGoOnAreVouchedFor(t *testing.T) {
	onEach(t, func(t *testing.T, c *clock, process func() *jobs.Table) {
		here, there := process(), process()
		want, _ := request(t, here, uuid.New(), "wallet")
		over, _ := request(t, here, uuid.New(), "evidence")
		if err := here.End(t.Context(), over.ID, ""); err != nil {
			t.Fatal(err)
		}
		over.State, over.Ended = jobs.Done, c.now()
		for range 5 {
			c.pass(jobs.Silence)
			if err := jobs.Vouch(here, t.Context()); err != nil {
				t.Fatal(err)
			}
			is(t, there, want)
			is(t, there, over)
		}
	})
}

// What a job found is told by every process, part by part, and goes with the job.
func TestFindingsGoWithTheirJob(t *testing.T) {
	onEach(t, func(t *testing.T, c *clock, process func() *jobs.Table) {
		here, there := process(), process()
		job, _ := request(t, here, uuid.New(), "wallet")
		for _, n := range []struct {
			part  int
			found string
		}{{1, "nothing yet"}, {0, "no row"}, {1, "three rows"}} {
			if err := here.Note(t.Context(), job.ID, n.part, []byte(n.found)); err != nil {
				t.Fatal(err)
			}
		}
		told := func() (all []string) {
			t.Helper()
			found, err := there.Findings(t.Context(), job.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				all = append(all, string(f))
			}
			return all
		}
		if got := told(); !slices.Equal(got, []string{"no row", "three rows"}) {
			t.Errorf("found %q", got)
		}
		if err := here.End(t.Context(), job.ID, ""); err != nil {
			t.Fatal(err)
		}
		c.pass(time.Hour)
		later, _ := request(t, there, uuid.New(), "wallet")
		last, err := here.Last(t.Context(), "rebuild", 5)
		if err != nil || len(last) != 2 || last[0] != later || last[1].ID != job.ID {
			t.Errorf("the last are %+v, %v", last, err)
		}
		if one, err := here.Last(t.Context(), "rebuild", 1); err != nil || len(one) != 1 || one[0] != later {
			t.Errorf("the last is %+v, %v", one, err)
		}
		if none, err := here.Last(t.Context(), "comparison", 5); err != nil || len(none) != 0 {
			t.Errorf("of another kind: %+v, %v", none, err)
		}
		c.pass(jobs.Kept)
		request(t, there, uuid.New(), "evidence")
		if got := told(); got != nil {
			t.Errorf("kept for ever: %q", got)
		}
	})
}
