package quotas_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coffre/domain"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/quotas"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
)

const (
	railways domain.Organisation = "0203430576"
	flanders domain.Organisation = "0316380841"
)

var errQuota = errors.New("no more today")

func judge(quota int) func(int, bool) error {
	return func(today int, already bool) error {
		if !already && today >= quota {
			return errQuota
		}
		return nil
	}
}

// deployment is a key database that several processes have open.
type deployment struct {
	open func() *keysdb.DB
	mac  func(parts ...[]byte) [32]byte
	now  atomic.Pointer[time.Time]
	told bytes.Buffer
	slog *slog.Logger // into told, one for all processes
}

func (d *deployment) at() time.Time { return *d.now.Load() }

func (d *deployment) advance(by time.Duration) {
	next := d.at().Add(by)
	d.now.Store(&next)
}

// process opens the table as one more process does.
func (d *deployment) process(t *testing.T) (*quotas.Table, *keysdb.DB) {
	t.Helper()
	db := d.open()
	table, err := quotas.Open(t.Context(), db, d.mac, quotas.Options{Now: d.at, Logger: d.slog})
	if err != nil {
		t.Fatal(err)
	}
	return table, db
}

// onEach runs a test on a file and on a PostgreSQL.
func onEach(t *testing.T, test func(t *testing.T, d *deployment)) {
	run := func(t *testing.T, open func() *keysdb.DB) {
		d := &deployment{open: open}
		d.slog = slog.New(slog.NewTextHandler(&d.told, nil))
		noon := time.Date(2026, time.June, 15, 12, 0, 0, 0, time.UTC)
		d.now.Store(&noon)
		d.mac = ringtest.New(t).DeploymentKey(seal.RequestKey).MAC
		test(t, d)
	}
	t.Run("SQLite", func(t *testing.T) {
		dir := t.TempDir()
		run(t, func() *keysdb.DB { return ringtest.OpenDB(t, dir) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := pgtest.Shared(t).Database(t)
		run(t, func() *keysdb.DB { return ringtest.OpenPostgres(t, dsn) })
	})
}

func (d *deployment) name(t *testing.T, table *quotas.Table, who domain.Organisation, person, quota int) error {
	t.Helper()
	err := table.Count(t.Context(), quotas.Naming{
		Organisation: who, Person: fmt.Appendf(nil, "person %d", person), Quota: quota, Judge: judge(quota), Operation: "getCitizen", At: d.at(),
		Floor: func(context.Context) (int, error) { return 0, nil },
	})
	if err != nil && !errors.Is(err, errQuota) {
		t.Fatal(err)
	}
	return err
}

// an organisation names so many people a day, each as often as it likes.
func TestQuotaOfADay(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		table, db := d.process(t)
		for _, step := range []struct {
			who    domain.Organisation
			person int
			want   error
		}{
			{railways, 1, nil}, {railways, 2, nil}, {railways, 1, nil}, {railways, 3, errQuota}, {railways, 2, nil},
			{flanders, 3, nil}, {railways, 3, errQuota},
		} {
			if err := d.name(t, table, step.who, step.person, 2); !errors.Is(err, step.want) {
				t.Errorf("%+v: %v", step, err)
			}
		}
		if told := strings.Count(d.told.String(), string(railways)); told != 1 || strings.Contains(d.told.String(), "person") {
			t.Errorf("the operator was told %d times: %s", told, d.told.String())
		}
		if totals := table.Totals(); len(totals) != 1 || totals[0] != (quotas.Totals{Operation: "getCitizen", People: 3, Exhausted: 2}) {
			t.Errorf("%+v", totals)
		}
		t.Run("it outlives the process", func(t *testing.T) {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			table, _ = d.process(t)
			if d.name(t, table, railways, 3, 2) == nil || d.name(t, table, railways, 2, 2) != nil {
				t.Error("who was counted is forgotten")
			}
		})
		t.Run("F10 another day in Belgium is another quota", func(t *testing.T) {
			table, _ := d.process(t)
			d.advance(10*time.Hour - time.Second) // 15 June, 21:59:59 UTC
			if err := d.name(t, table, railways, 3, 2); !errors.Is(err, errQuota) {
				t.Errorf("within the day: %v", err)
			}
			d.advance(time.Second)
			if err := d.name(t, table, railways, 3, 2); err != nil {
				t.Error(err)
			}
		})
	})
}

// of processes that ask for the last places each place is given once.
func TestQuotaAcrossProcesses(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		one, _ := d.process(t)
		other, _ := d.process(t)
		const quota = 7
		var all sync.WaitGroup
		var within atomic.Int64
		for person := range 5 * quota {
			all.Go(func() {
				table := []*quotas.Table{one, other}[person%2]
				if d.name(t, table, railways, person, quota) == nil {
					within.Add(1)
				}
			})
		}
		all.Wait()
		if within.Load() != quota {
			t.Errorf("%d people, want %d", within.Load(), quota)
		}
	})
}

// who was admitted without waiting is counted all the same.
func TestQuotaFarFromItsEnd(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		table, db := d.process(t)
		for person := range 40 {
			if err := d.name(t, table, railways, person, 100_000); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil { // writes what is queued
			t.Fatal(err)
		}
		table, _ = d.process(t)
		for person := range 40 {
			if err := d.name(t, table, railways, person, 40); err != nil {
				t.Errorf("person %d was not counted: %v", person, err)
			}
		}
		if d.name(t, table, railways, 40, 40) == nil {
			t.Error("one more was admitted")
		}
	})
}

// what the log knows counts where the table has lost it.
func TestQuotaAtLeastTheLogs(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		table, _ := d.process(t)
		n := quotas.Naming{
			Organisation: railways, Person: []byte("a"), Quota: 5, Judge: judge(5), At: d.at(),
			Floor: func(context.Context) (int, error) { return 5, nil },
		}
		table.Refused(railways, d.at()) // which asks for no floor
		if err := table.Count(t.Context(), n); !errors.Is(err, errQuota) {
			t.Error(err)
		}
		broken := errors.New("the log is away")
		n.Organisation, n.Floor = flanders, func(context.Context) (int, error) { return 0, broken }
		if err := table.Count(t.Context(), n); !errors.Is(err, broken) {
			t.Error(err)
		}
	})
}

// the refusals of a minute add up over processes and restarts.
func TestRefusalsOfAMinute(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		one, first := d.process(t)
		other, second := d.process(t)
		refusals := func(table *quotas.Table) int {
			t.Helper()
			n, err := table.Refusals(t.Context(), railways, d.at())
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := refusals(one); n != 0 {
			t.Errorf("%d before the first", n)
		}
		for range 30 {
			one.Refused(railways, d.at())
			other.Refused(railways, d.at())
			other.Refused(flanders, d.at())
		}
		if n := refusals(one); n < 30 {
			t.Errorf("a process knows %d of its own 30", n)
		}
		for _, db := range []*keysdb.DB{first, second} {
			if err := db.Close(); err != nil { // writes what is queued
				t.Fatal(err)
			}
		}
		table, _ := d.process(t)
		if n := refusals(table); n != 60 {
			t.Errorf("%d refusals of both", n)
		}
		table.Slowed(railways, "getCitizen")
		table.Slowed(railways, "getCitizen")
		if totals := table.Totals(); len(totals) != 1 || totals[0].Slowed != 2 || strings.Count(d.told.String(), string(railways)) != 1 {
			t.Errorf("%+v, told %s", totals, d.told.String())
		}
		d.advance(time.Minute)
		if n := refusals(table); n != 0 {
			t.Errorf("%d in the next minute", n)
		}
	})
}

// The rows name nobody and are deleted once their day is over.
func TestQuotaRows(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		table, db := d.process(t)
		rows := func(from string) (n int) {
			t.Helper()
			s, err := db.Read(`SELECT count(*) FROM ` + from)
			if err == nil {
				err = s.Get(&n)
			}
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		for day := range 2 {
			for _, who := range []domain.Organisation{railways, flanders} {
				if err := d.name(t, table, who, 1, 10); err != nil {
					t.Fatal(err)
				}
				table.Refused(who, d.at())
			}
			if day == 0 {
				d.advance(24 * time.Hour)
			}
		}
		if n := rows(`(SELECT DISTINCT person FROM quota_people WHERE length(person) = 16) AS p`); n != 4 {
			t.Errorf("one person has %d digests for two organisations and two days", n)
		}
		if err := table.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		if people, days, minutes := rows("quota_people"), rows("quota_days"), rows("quota_minutes"); people != 2 || days != 2 || minutes != 2 {
			t.Errorf("%d people, %d days, %d minutes are left", people, days, minutes)
		}
		d.advance(24 * time.Hour)
		if err := table.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := rows("quota_people") + rows("quota_days") + rows("quota_minutes"); left != 0 {
			t.Errorf("%d rows are left", left)
		}
	})
}
