package traffic_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"coffre/domain"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
	"coffre/eventstore/traffic"
)

const railways domain.Organisation = "0203430576"

var noon = time.Date(2026, time.November, 29, 11, 0, 0, 0, time.UTC)

// onEach runs a test on a file and on a PostgreSQL, which open opens once more each time.
func onEach(t *testing.T, test func(t *testing.T, open func() *keysdb.DB)) {
	t.Run("SQLite", func(t *testing.T) {
		dir := t.TempDir()
		test(t, func() *keysdb.DB { return ringtest.OpenDB(t, dir) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := pgtest.Shared(t).Database(t)
		test(t, func() *keysdb.DB { return ringtest.OpenPostgres(t, dsn) })
	})
}

func open(t *testing.T, db *keysdb.DB, o traffic.Options) *traffic.Table {
	t.Helper()
	table, err := traffic.Open(t.Context(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func flush(t *testing.T, table *traffic.Table) {
	t.Helper()
	if err := table.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func of(t *testing.T, table *traffic.Table, month traffic.Month) []traffic.Count {
	t.Helper()
	all, err := table.Of(t.Context(), month, "")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func days(t *testing.T, table *traffic.Table, month traffic.Month) []traffic.Day {
	t.Helper()
	all, err := table.Days(t.Context(), month)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Counts of all processes add up, and outlive the processes.
func TestCountsAddUp(t *testing.T) {
	onEach(t, func(t *testing.T, again func() *keysdb.DB) {
		db := again()
		tables := []*traffic.Table{open(t, db, traffic.Options{}), open(t, db, traffic.Options{})}
		for i, table := range tables {
			for range 3 + i {
				table.Count(traffic.Request{At: noon, Took: 40 * time.Millisecond, Role: domain.RoleConsumer, Organisation: railways, Operation: "accessDocument", Status: 200})
			}
			table.Count(traffic.Request{At: noon, Took: time.Minute, Role: domain.RoleConsumer, Organisation: railways, Operation: "accessDocument", Status: 403, Problem: "noBasis"})
			table.Count(traffic.Request{At: noon.AddDate(0, 0, -1), Took: time.Second, Status: 503, Problem: "busy"})
			flush(t, table)
			flush(t, table) // nothing new
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		after := open(t, again(), traffic.Options{})
		want := []traffic.Count{
			{Status: 503, Problem: "busy", Took: [7]int64{3: 2}},
			{Role: domain.RoleConsumer, Organisation: railways, Operation: "accessDocument", Status: 200, Took: [7]int64{1: 7}},
			{Role: domain.RoleConsumer, Organisation: railways, Operation: "accessDocument", Status: 403, Problem: "noBasis", Took: [7]int64{6: 2}},
		}
		if got := of(t, after, 202611); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		wantDays := []traffic.Day{{Date: "2026-11-28", Requests: 2, Failed: 2}, {Date: "2026-11-29", Requests: 9, Refused: 2}}
		if got := days(t, after, 202611); fmt.Sprint(got) != fmt.Sprint(wantDays) {
			t.Errorf("days %+v", got)
		}
		if got := of(t, after, 202610); len(got) != 0 {
			t.Errorf("October has %+v", got)
		}
		if got, err := after.Of(t.Context(), 202611, railways); err != nil || len(got) != 2 {
			t.Errorf("of one organisation: %+v, %v", got, err)
		}
	})
}

// Only issuers and consumers are told apart by their organisation: an officer of a small one may
// be one person.
func TestOnlyPartnersAreNamed(t *testing.T) {
	table := open(t, ringtest.OpenDB(t, t.TempDir()), traffic.Options{})
	for _, role := range []domain.Role{domain.RoleCitizen, domain.RolePrivacyOfficer, domain.RoleAuditor, domain.RoleOperator, domain.RoleIssuer} {
		table.Count(traffic.Request{At: noon, Role: role, Organisation: railways, Operation: "getWallet", Status: 200})
	}
	flush(t, table)
	for _, c := range of(t, table, 202611) {
		if (c.Organisation != "") != (c.Role == domain.RoleIssuer) {
			t.Errorf("%+v", c)
		}
	}
}

// A day belongs to the month that Belgium has: an hour before midnight UTC it is the next one.
func TestMonthsAreBelgian(t *testing.T) {
	table := open(t, ringtest.OpenDB(t, t.TempDir()), traffic.Options{})
	table.Count(traffic.Request{At: time.Date(2026, time.December, 31, 23, 30, 0, 0, time.UTC), Status: 200})
	flush(t, table)
	if got := days(t, table, 202701); len(got) != 1 || got[0].Date != "2027-01-01" || len(of(t, table, 202701)) != 1 {
		t.Errorf("%+v", got)
	}
	for m, want := range map[traffic.Month]traffic.Month{202701: 202512, 202611: 202510} {
		if m.Before(13) != want {
			t.Errorf("13 months before %d is %d", m, m.Before(13))
		}
	}
}

// A write whose end nobody knows is made again, and counts once.
func TestAWriteInDoubtCountsOnce(t *testing.T) {
	onEach(t, func(t *testing.T, again func() *keysdb.DB) {
		db := again()
		table := open(t, db, traffic.Options{})
		for i := range 200 { // several writes
			table.Count(traffic.Request{At: noon, Operation: fmt.Sprintf("operation%d", i), Status: 200})
		}
		doubts := 0
		for {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- table.Flush(ctx) }()
			if doubts < 20 {
				cancel() // before, while, or after it is written
			}
			err := <-done
			cancel()
			if err == nil {
				break
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			doubts++
		}
		flush(t, table)
		var n int64
		for _, c := range of(t, table, 202611) {
			n += c.Requests()
		}
		if n != 200 || days(t, table, 202611)[0].Requests != 200 {
			t.Errorf("%d requests are counted, of 200, after %d doubts", n, doubts)
		}
	})
}

// A process whose database is away keeps its counts, tells once, and stores them when it is back
// or when it ends; what is old is deleted.
func TestRun(t *testing.T) {
	var told bytes.Buffer
	db := ringtest.OpenDB(t, t.TempDir())
	now := time.Now()
	table := open(t, db, traffic.Options{Logger: slog.New(slog.NewTextHandler(&told, nil)), Now: func() time.Time { return now }})
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := table.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	table.Count(traffic.Request{At: noon, Operation: "getWallet", Status: 200})
	cancel()
	ended.Wait()
	if got := of(t, table, 202611); len(got) != 1 || told.Len() > 0 {
		t.Errorf("%+v, %s", got, &told)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	table.Count(traffic.Request{At: noon, Status: 200})
	if err := table.Flush(t.Context()); err == nil {
		t.Error("a closed database took counts")
	}
}

// Counts are as old as the first that the table has not taken, whatever came since, and none is
// once it took all.
func TestUnwrittenCountsHaveAnAge(t *testing.T) {
	db := ringtest.OpenDB(t, t.TempDir())
	now := noon
	table := open(t, db, traffic.Options{Now: func() time.Time { return now }})
	aged := func(want time.Duration) {
		t.Helper()
		if got := table.Unwritten(); got != want {
			t.Errorf("the oldest count waits for %v, want %v", got, want)
		}
	}
	status := 200
	count := func() { // of another kind each
		table.Count(traffic.Request{At: now, Status: status})
		status++
	}
	aged(0)
	count()
	now = now.Add(time.Minute)
	count()
	aged(time.Minute)
	flush(t, table)
	aged(0)
	count()
	now = now.Add(time.Minute)
	away, cancel := context.WithCancel(t.Context())
	cancel()
	if err := table.Flush(away); err == nil {
		t.Fatal("it is written by a context that has ended")
	}
	count()
	now = now.Add(time.Hour)
	aged(time.Hour + time.Minute)
	flush(t, table) // what was left over
	aged(time.Hour)
	flush(t, table)
	aged(0)
	count()
	now = now.Add(-time.Hour) // the clock is set back
	aged(0)
}

// Thirteen months are kept beside the one under way.
func TestThirteenMonthsAreKept(t *testing.T) {
	db := ringtest.OpenDB(t, t.TempDir())
	now := noon
	table := open(t, db, traffic.Options{Now: func() time.Time { return now }})
	for _, at := range []time.Time{noon, noon.AddDate(-1, -1, 0), noon.AddDate(-1, -2, 0)} {
		table.Count(traffic.Request{At: at, Status: 200})
	}
	flush(t, table)
	if err := table.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	for month, want := range map[traffic.Month]int{202611: 1, 202510: 1, 202509: 0} {
		if got := of(t, table, month); len(got) != want || len(days(t, table, month)) != want {
			t.Errorf("%d: %+v", month, got)
		}
	}
}

// However many different requests come, a process tells so many apart and no more.
func TestMemoryIsBounded(t *testing.T) {
	table := open(t, ringtest.OpenDB(t, t.TempDir()), traffic.Options{})
	const many = 1<<14 + 100
	for i := range many {
		table.Count(traffic.Request{At: noon, Operation: fmt.Sprintf("operation%d", i), Status: 200})
	}
	flush(t, table)
	all, n := of(t, table, 202611), int64(0)
	for _, c := range all {
		n += c.Requests()
	}
	if len(all) != 1<<14+1 || n != many {
		t.Errorf("%d groups of %d requests", len(all), n)
	}
}

// What a request pays for being counted.
func BenchmarkCount(b *testing.B) {
	table, err := traffic.Open(b.Context(), ringtest.OpenDB(b, b.TempDir()), traffic.Options{})
	if err != nil {
		b.Fatal(err)
	}
	r := traffic.Request{At: noon, Took: time.Millisecond, Role: domain.RoleConsumer, Organisation: railways, Operation: "accessDocument", Status: 200}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			table.Count(r)
		}
	})
}
