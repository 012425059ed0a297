package ringtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
)

// FlipEveryColumn changes one bit in each column of each table whose rows carry MACs, in
// turn, and fails the test unless a walk names the row each time, and nothing once the bit
// is back. The columns are those of the database, so none can be forgotten. Every table
// must have a row.
func FlipEveryColumn(t *testing.T, db *keysdb.DB) {
	t.Helper()
	whole(t, db)
	for _, table := range db.Tables() {
		FlipOnly(t, db, table.Name)
	}
}

// FlipOnly is FlipEveryColumn for one table.
func FlipOnly(t *testing.T, db *keysdb.DB, name string) {
	t.Helper()
	table, turned := Table(t, db, name), 0
	for _, column := range Columns(t, db, name) {
		if column == table.Number {
			continue // the database's own: no index or key rests on it
		}
		undo, changed := Flip(t, db, table, column, func(int64) bool { return true })
		if !changed { // the database itself refuses the value
			continue
		}
		turned++
		found, err := db.Check(t.Context())
		if err != nil || len(found) != 1 || found[0].Table != name || found[0].Row == "" {
			t.Errorf("%s.%s changed, and the walk found %v, %v", name, column, found, err)
		}
		undo()
		whole(t, db)
	}
	if turned < 2 {
		t.Errorf("%d columns of %s were changed", turned, name)
	}
}

// whole fails the test when a walk finds something.
func whole(t *testing.T, db *keysdb.DB) {
	t.Helper()
	if found, err := db.Check(t.Context()); err != nil || len(found) > 0 || len(db.Damaged()) > 0 {
		t.Fatalf("%v %v %v", found, db.Damaged(), err)
	}
}

// Columns lists the columns that a table has in the database.
func Columns(t *testing.T, db *keysdb.DB, table string) []string {
	t.Helper()
	s, err := db.Read(`SELECT * FROM ` + table + ` LIMIT 0`)
	check(t, err)
	rows, err := s.QueryxContext(t.Context())
	check(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	check(t, err)
	return columns
}

// rowsOf returns the rows of a table as they lie in the database, by their MAC.
func rowsOf(t *testing.T, db *keysdb.DB, table string) []map[string]any {
	t.Helper()
	s, err := db.Read(`SELECT * FROM ` + table + ` ORDER BY mac`)
	check(t, err)
	rows, err := s.QueryxContext(t.Context())
	check(t, err)
	defer rows.Close()
	var all []map[string]any
	for rows.Next() {
		row := map[string]any{}
		check(t, rows.MapScan(row))
		all = append(all, row)
	}
	check(t, rows.Err())
	return all
}

// Flip changes one bit of a column of the first row whose number is wanted, past everything
// that keeps MACs true, and returns what changes it back; false when the database refuses
// the value. A table without numbers has 0 for all.
func Flip(t *testing.T, db *keysdb.DB, table *keysdb.Table, column string, wanted func(number int64) bool) (undo func(), changed bool) {
	t.Helper()
	for _, row := range rowsOf(t, db, table.Name) {
		number, _ := row[table.Number].(int64)
		if wanted(number) {
			return flip(t, db, table, column, row)
		}
	}
	t.Fatalf("%s has no such row", table.Name)
	return nil, false
}

func flip(t *testing.T, db *keysdb.DB, table *keysdb.Table, column string, row map[string]any) (undo func(), changed bool) {
	t.Helper()
	var flipped any
	var err error
	for _, flipped = range flippedBit(row[column]) {
		if err = put(t, db, table, column, flipped, row); err == nil {
			break
		}
	}
	if err != nil {
		if !strings.Contains(strings.ToLower(err.Error()), "check") {
			t.Fatalf("%s.%s: %v", table.Name, column, err)
		}
		return nil, false
	}
	return func() {
		t.Helper()
		now := map[string]any{}
		for name, value := range row {
			now[name] = value
		}
		now[column] = flipped
		check(t, put(t, db, table, column, row[column], now))
	}, true
}

// flipAll changes a bit in each of several columns of a row.
func flipAll(t *testing.T, db *keysdb.DB, table *keysdb.Table, row map[string]any, columns ...string) (undo func()) {
	t.Helper()
	var undos []func()
	for _, column := range columns {
		u, _ := flip(t, db, table, column, row)
		undos = append(undos, u)
		for _, now := range rowsOf(t, db, table.Name) {
			if string(now["mac"].([]byte)) == string(row["mac"].([]byte)) {
				row = now
			}
		}
	}
	slices.Reverse(undos)
	return func() {
		for _, undo := range undos {
			undo()
		}
	}
}

// put stores a value in the row that has these others.
func put(t *testing.T, db *keysdb.DB, table *keysdb.Table, column string, value any, row map[string]any) error {
	where, args := []string{}, []any{value}
	keys := table.Key
	if table.Number != "" {
		keys = []string{table.Number}
	}
	for _, key := range keys {
		where, args = append(where, key+" = ?"), append(args, row[key])
	}
	n, err := keysdb.Do(t.Context(), db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`UPDATE `+table.Name+` SET `+column+` = ? WHERE `+strings.Join(where, " AND "), args...)
	})
	if err == nil && n != 1 {
		err = fmt.Errorf("%d rows of %s", n, table.Name)
	}
	return err
}

// flippedBit returns a value with one bit changed; for NULL what may stand there instead,
// of which a column takes one.
func flippedBit(v any) []any {
	switch v := v.(type) {
	case nil:
		return []any{[]byte{1}, "x", int64(1)}
	case int64:
		return []any{v ^ 1, v ^ 1<<20} // the first may be another row's
	case string:
		if v == "" {
			return []any{"x"}
		}
		return []any{string([]byte{v[0] ^ 1}) + v[1:]}
	case []byte:
		flipped := append(slices.Clone(v), 1)[:max(1, len(v))]
		flipped[len(v)/2] ^= 1
		return []any{flipped}
	}
	panic(fmt.Sprintf("a column of type %T", v))
}

// full puts at least one row into every table of the ring, and returns two living citizens,
// each with a stream's sealed part; the third person is erased.
func (e *env) full(t *testing.T) (citizens [2]domain.CitizenID, places [2]eventstore.Place, parts [2][]byte) {
	t.Helper()
	ctx := t.Context()
	for i := range citizens {
		citizens[i] = Citizen(t, e.ring, i)
		places[i] = place(stream(t))
		parts[i] = sealed(t, e.ring, citizens[i], places[i], "secret")
		_, err := e.ring.Ref(ctx, organisation, citizens[i])
		check(t, err)
	}
	gone := Citizen(t, e.ring, 2)
	check(t, e.ring.BeginErase(ctx, gone))
	check(t, e.ring.DestroySubject(ctx, gone, seal.Suppression{Basis: "law"}))
	for range 2 { // one document erased and the data key replaced, one erased only
		erased := stream(t)
		sealed(t, e.ring, citizens[1], place(erased), "gone")
		check(t, e.ring.ReplaceDataKey(ctx, citizens[1]))
		check(t, e.ring.DestroyStreamKeys(ctx, erased))
	}
	_, err := e.ring.Make(ctx, domain.AttachmentID(citizens[0]), organisation, "text/plain")
	check(t, err)
	check(t, e.ring.NoteSigningKey(ctx, seal.SigningKey{Purpose: "log", ID: "log/1", Public: make([]byte, 32)}))
	check(t, e.ring.NoteBackup(ctx, seal.BackupNote{Taken: time.Now(), Verified: time.Now().Add(time.Second), OldestVersion: 1, SHA256: [32]byte{1}}))
	check(t, e.ring.RewrapAll(ctx, nil))
	return citizens, places, parts
}

func bitsNamed(t *testing.T, e *env) {
	e.full(t)
	FlipEveryColumn(t, e.db)
}

// columnsCovered: a column that no MAC covers would be the one that somebody changes.
func columnsCovered(t *testing.T, e *env) {
	for _, table := range e.db.Tables() {
		want := append(slices.Clone(table.Columns), "mac")
		if table.Number != "" {
			want = append(want, table.Number)
		}
		got := Columns(t, e.db, table.Name)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s has columns %v, and its MAC covers %v", table.Name, got, want)
		}
	}
}

// rowsMissed: of every table a row that is gone is noticed, and so is one that was
// replaced by what it was before.
func rowsMissed(t *testing.T, e *env) {
	e.full(t)
	for _, table := range e.db.Tables() {
		before := rowsOf(t, e.db, table.Name)[0]
		exec(t, e.db, `DELETE FROM `+table.Name+` WHERE mac = ?`, before["mac"])
		want := keysdb.Damage{Table: table.Name}
		if found, err := e.db.Check(t.Context()); err != nil || !slices.Equal(found, []keysdb.Damage{want}) {
			t.Errorf("a row of %s is gone: %v, %v", table.Name, found, err)
		}
		insert(t, e.db, table.Name, before)
		whole(t, e.db)
	}
	table := Table(t, e.db, "subjects")
	before := rowsOf(t, e.db, table.Name)[0]
	_, err := keysdb.Do(t.Context(), e.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Update(table, `citizen = ?`, []any{before["citizen"]}, func(e *keysdb.Entry) { e.Set("created", e.Int("created")+2) })
	})
	check(t, err)
	whole(t, e.db)
	exec(t, e.db, `DELETE FROM subjects WHERE citizen = ?`, before["citizen"])
	insert(t, e.db, table.Name, before)
	if found, err := e.db.Check(t.Context()); err != nil || !slices.Equal(found, []keysdb.Damage{{Table: table.Name}}) {
		t.Errorf("an older row was put back: %v, %v", found, err)
	}
}

func exec(t *testing.T, db *keysdb.DB, query string, args ...any) {
	t.Helper()
	_, err := keysdb.Do(t.Context(), db, func(tx *keysdb.Tx) (int64, error) { return tx.Exec(query, args...) })
	check(t, err)
}

func insert(t *testing.T, db *keysdb.DB, table string, row map[string]any) {
	t.Helper()
	var columns []string
	var args []any
	for column, value := range row {
		columns, args = append(columns, column), append(args, value)
	}
	exec(t, db, `INSERT INTO `+table+` (`+strings.Join(columns, ", ")+`) VALUES (`+strings.Repeat("?, ", len(columns)-1)+`?)`, args...)
}

// ofCitizen returns the row of a table that names the citizen.
func ofCitizen(t *testing.T, db *keysdb.DB, table string, citizen domain.CitizenID) map[string]any {
	t.Helper()
	for _, row := range rowsOf(t, db, table) {
		if id, _ := row["citizen"].([]byte); string(id) == string(citizen.UUID[:]) {
			return row
		}
	}
	t.Fatalf("no row of %s names the citizen", table)
	return nil
}

// damagedCitizenAlone: whatever column of a citizen's rows is changed, they alone are
// answered that keys are unavailable; nobody is made anew in their place.
func damagedCitizenAlone(t *testing.T, e *env) {
	ctx := t.Context()
	citizens, places, parts := e.full(t)
	for _, c := range []struct {
		table string
		needs func(r *Ring, n int) error
	}{
		{"subjects", func(r *Ring, n int) error {
			_, err := seal.Opener{Ring: r.Ring}.Open(ctx, nil, places[n], parts[n])
			return err
		}},
		{"stream_keys", func(r *Ring, n int) error {
			_, err := seal.Opener{Ring: r.Ring}.Open(ctx, nil, places[n], parts[n])
			return err
		}},
		{"stream_keys", func(r *Ring, n int) error {
			return r.PrefetchStreamsOf(ctx, citizens[n], []eventstore.Stream{places[n].Stream})
		}},
		{"subject_ssins", func(r *Ring, n int) error {
			_, _, err := r.Enroll(ctx, SSIN(n))
			return err
		}},
		{"subject_ssins", func(r *Ring, n int) error {
			_, err := r.Resolve(ctx, SSIN(n))
			return err
		}},
		{"citizen_refs", func(r *Ring, n int) error {
			_, err := r.Ref(ctx, organisation, citizens[n])
			return err
		}},
	} {
		table := Table(t, e.db, c.table)
		for _, column := range append(slices.Clone(table.Columns), "mac") {
			if c.table == "stream_keys" && column == "stream" || c.table == "citizen_refs" && (column == "citizen" || column == "organisation") {
				continue // not found by it any more: only a walk sees it
			}
			undo, _ := flip(t, e.db, table, column, ofCitizen(t, e.db, c.table, citizens[0]))
			fresh := e.process(t, seal.Config{})
			if err := c.needs(fresh, 0); !errors.Is(err, eventstore.ErrKeysUnavailable) || !errors.Is(err, keysdb.ErrDamaged) {
				t.Errorf("%s.%s changed: %v", c.table, column, err)
			}
			if err := c.needs(fresh, 1); err != nil {
				t.Errorf("%s.%s of somebody else changed: %v", c.table, column, err)
			}
			undo()
			if err := c.needs(e.process(t, seal.Config{}), 0); err != nil {
				t.Errorf("%s.%s is whole again: %v", c.table, column, err)
			}
		}
	}
}

// suppressionDamaged: an erased person is not issued to because a row of suppressions was
// changed or is gone, and nobody else waits for it but who would be new.
func suppressionDamaged(t *testing.T, e *env) {
	ctx := t.Context()
	e.full(t)
	table := Table(t, e.db, "suppressions")
	someone := 10
	for _, column := range append(slices.Clone(table.Columns), "mac") {
		undo, _ := Flip(t, e.db, table, column, func(int64) bool { return true })
		if _, _, err := e.ring.Enroll(ctx, SSIN(2)); !errors.Is(err, keysdb.ErrDamaged) {
			t.Errorf("suppressions.%s changed: %v", column, err)
		}
		if _, err := e.ring.Resolve(ctx, SSIN(2)); !errors.Is(err, keysdb.ErrDamaged) {
			t.Errorf("suppressions.%s changed: %v", column, err)
		}
		if _, ok, err := e.ring.Suppressed(ctx, SSIN(2)); !errors.Is(err, keysdb.ErrDamaged) {
			t.Errorf("suppressions.%s changed, and is read: %t, %v", column, ok, err)
		}
		if err := e.ring.EndSuppression(ctx, SSIN(2), seal.Suppression{Basis: "law"}); !errors.Is(err, keysdb.ErrDamaged) {
			t.Errorf("suppressions.%s changed, and ends: %v", column, err)
		}
		someone++
		if _, isNew, err := e.ring.Enroll(ctx, SSIN(someone)); err != nil || !isNew {
			t.Errorf("suppressions.%s changed, and somebody new: %v %v", column, isNew, err)
		}
		undo()
		if _, _, err := e.ring.Enroll(ctx, SSIN(2)); !errors.Is(err, seal.ErrCitizenErased) {
			t.Errorf("suppressions.%s is whole again: %v", column, err)
		}
	}
	row := rowsOf(t, e.db, table.Name)[0]
	undo, _ := Flip(t, e.db, table, "basis", func(int64) bool { return true })
	if all, err := e.ring.Suppressions(ctx, time.Now(), nil, nil, -1, 10); err != nil || len(all) != 0 {
		t.Errorf("a list passes over a damaged row: %v %v", all, err)
	}
	undo()
	if all, err := e.ring.Suppressions(ctx, time.Now(), nil, nil, -1, 10); err != nil || len(all) != 1 || all[0].Basis != "law" || all[0].Since.IsZero() {
		t.Errorf("a list: %v %v", all, err)
	}
	undo = flipAll(t, e.db, table, row, "ssin", "echo")
	started := e.process(t, seal.Config{})
	if _, _, err := started.Enroll(ctx, SSIN(2)); !errors.Is(err, keysdb.ErrDamaged) {
		t.Errorf("both columns that find a suppression changed: %v", err)
	}
	if _, isNew, err := started.Enroll(ctx, SSIN(someone+1)); err != nil || !isNew {
		t.Errorf("both columns that find a suppression changed, and somebody new: %v %v", isNew, err)
	}
	undo()
	whole(t, e.db)
	exec(t, e.db, `DELETE FROM suppressions`)
	started = e.process(t, seal.Config{}) // a start finds it before anything is served
	for _, n := range []int{2, 100} {
		if _, _, err := started.Enroll(ctx, SSIN(n)); !errors.Is(err, keysdb.ErrDamaged) {
			t.Errorf("suppressions are gone, person %d: %v", n, err)
		}
	}
	if _, _, err := started.Enroll(ctx, SSIN(0)); err != nil {
		t.Errorf("suppressions are gone, a known person: %v", err)
	}
}

// damagedNumberIsNotAnothers: nobody gets the number of somebody whose index is damaged, or
// one that may be an erased person's.
func damagedNumberIsNotAnothers(t *testing.T, e *env) {
	ctx := t.Context()
	citizens, _, _ := e.full(t)
	table := Table(t, e.db, "subject_ssins")
	undo, _ := flip(t, e.db, table, "blind", ofCitizen(t, e.db, table.Name, citizens[0]))
	if err := e.process(t, seal.Config{}).AddSSIN(ctx, citizens[1], SSIN(0)); !errors.Is(err, keysdb.ErrDamaged) {
		t.Errorf("the number of somebody whose index is damaged: %v", err)
	}
	undo()
	undo = flipAll(t, e.db, table, ofCitizen(t, e.db, table.Name, citizens[0]), "blind", "suppression")
	if found, err := e.db.Check(ctx); err != nil || len(found) != 1 {
		t.Fatalf("%v %v", found, err)
	}
	if err := e.ring.AddSSIN(ctx, citizens[1], SSIN(0)); !errors.Is(err, keysdb.ErrDamaged) {
		t.Errorf("the number of somebody whose row nothing finds: %v", err)
	}
	if _, _, err := e.ring.Enroll(ctx, SSIN(0)); !errors.Is(err, keysdb.ErrDamaged) {
		t.Errorf("somebody whose row nothing finds: %v", err)
	}
	if _, isNew, err := e.ring.Enroll(ctx, SSIN(30)); err != nil || !isNew {
		t.Errorf("somebody new beside a row that nothing finds: %v %v", isNew, err)
	}
	undo()
	whole(t, e.db)
	fresh := e.process(t, seal.Config{})
	if err := fresh.AddSSIN(ctx, citizens[1], SSIN(0)); !errors.Is(err, seal.ErrSSINTaken) {
		t.Errorf("the index is whole again: %v", err)
	}
	for _, n := range []int{20, 21, 20} { // the last is a former one of theirs
		check(t, fresh.AddSSIN(ctx, citizens[1], SSIN(n)))
	}
	whole(t, e.db)
	exec(t, e.db, `DELETE FROM suppressions`)
	started := e.process(t, seal.Config{})
	if err := started.AddSSIN(ctx, citizens[1], SSIN(2)); !errors.Is(err, keysdb.ErrDamaged) {
		t.Errorf("the number of an erased person whose suppression is gone: %v", err)
	}
	if err := started.AddSSIN(ctx, citizens[1], SSIN(21)); err != nil {
		t.Errorf("their own former number: %v", err)
	}
}

// damageHidesNothing: a row that is gone, or that an older one replaced, is noticed beside
// damaged rows of its table, and also where one stands in its place: an erased person is not
// issued to.
func damageHidesNothing(t *testing.T, e *env) {
	e.full(t)
	gone := rowsOf(t, e.db, "suppressions")[0]
	other := map[string]any{"ssin": make([]byte, 32), "echo": make([]byte, 32), "until": int64(0), "basis": "law", "since": int64(0), "mac": make([]byte, 16)}
	exec(t, e.db, `DELETE FROM suppressions WHERE mac = ?`, gone["mac"])
	insert(t, e.db, "suppressions", other)
	started := e.process(t, seal.Config{})
	for _, n := range []int{2, 100} {
		if _, _, err := started.Enroll(t.Context(), SSIN(n)); !errors.Is(err, keysdb.ErrDamaged) {
			t.Errorf("another row is in the place of a suppression, person %d: %v", n, err)
		}
	}
	exec(t, e.db, `DELETE FROM suppressions WHERE ssin = ?`, other["ssin"])
	insert(t, e.db, "suppressions", gone)
	whole(t, e.db)

	table := Table(t, e.db, "subjects")
	rows := rowsOf(t, e.db, table.Name)
	_, err := keysdb.Do(t.Context(), e.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Update(table, `citizen = ?`, []any{rows[0]["citizen"]}, func(e *keysdb.Entry) { e.Set("created", e.Int("created")+2) })
	})
	check(t, err)
	exec(t, e.db, `DELETE FROM subjects WHERE citizen = ?`, rows[0]["citizen"])
	insert(t, e.db, table.Name, rows[0])
	for _, column := range []string{"wrapped", "mac"} {
		undo, _ := flip(t, e.db, table, column, rows[1])
		if found, err := e.db.Check(t.Context()); err != nil || len(found) != 2 || found[0] != (keysdb.Damage{Table: table.Name}) {
			t.Errorf("an older row beside one whose %s is damaged: %v, %v", column, found, err)
		}
		undo()
	}
}

// MakeFormer makes the database of an open ring what it was before rows carried MACs.
func MakeFormer(t *testing.T, db *keysdb.DB, kek seal.KEK) {
	t.Helper()
	ctx := t.Context()
	for _, row := range rowsOf(t, db, "deployment_keys") {
		name, version := row["name"].(string), row["version"].(int64)
		plain, err := kek.Unwrap(ctx, []seal.UnwrapItem{{Wrapped: row["wrapped"].([]byte), AAD: fmt.Appendf(nil, "coffre/deployment-key/v2/%s/%d", name, version)}})
		check(t, errors.Join(err, plain[0].Err))
		wrapped, err := kek.Wrap(ctx, []seal.WrapItem{{Plain: plain[0].Plain, AAD: fmt.Appendf(nil, "coffre/deployment-key/v1/%s/%d", name, version)}})
		check(t, errors.Join(err, wrapped[0].Err))
		exec(t, db, `UPDATE deployment_keys SET wrapped = ? WHERE name = ? AND version = ?`, wrapped[0].Bytes, name, version)
	}
	exec(t, db, `DELETE FROM deployment_keys WHERE name = 'rows'`)
	exec(t, db, `UPDATE suppressions SET echo = NULL`)
	withoutMACs(t, db, db.Tables())
}

func withoutMACs(t *testing.T, db *keysdb.DB, tables []*keysdb.Table) {
	t.Helper()
	for _, table := range tables {
		exec(t, db, `UPDATE `+table.Name+` SET mac = NULL`)
	}
	exec(t, db, `DELETE FROM row_sums`)
}

// upgraded: a ring from before gets its MACs once.
func upgraded(t *testing.T, e *env) {
	ctx := t.Context()
	_, places, parts := e.full(t)
	for n := range 1100 { // more than one batch
		exec(t, e.db, `INSERT INTO suppressions (ssin, until, basis) VALUES (?, 0, 'law')`, append(make([]byte, 30), byte(n>>8), byte(n)))
	}
	MakeFormer(t, e.db, e.kek)
	db := e.another()
	r := OpenRing(t, db, e.kek, seal.Config{})
	whole(t, db)
	if _, _, err := r.Enroll(ctx, SSIN(2)); !errors.Is(err, seal.ErrCitizenErased) {
		t.Error(err)
	}
	opens(t, r, places[0], parts[0], "secret")
	FlipEveryColumn(t, db)
	check(t, r.RewrapAll(ctx, nil))
	OpenRing(t, e.another(), e.kek, seal.Config{})
}

// macsStay: a ring whose MACs were taken away is not taken for one from before.
func macsStay(t *testing.T, e *env) {
	_, places, parts := e.full(t)
	tables := e.db.Tables()
	exec(t, e.db, `UPDATE subjects SET mac = NULL`)
	if _, err := (seal.Opener{Ring: e.process(t, seal.Config{}).Ring}).Open(t.Context(), nil, places[0], parts[0]); !errors.Is(err, keysdb.ErrDamaged) {
		t.Errorf("without its MAC a row is %v", err)
	}
	withoutMACs(t, e.db, tables)
	refuses := func(what string) {
		t.Helper()
		r, err := seal.OpenRing(context.WithoutCancel(t.Context()), e.another(), e.kek, seal.Config{})
		if err == nil {
			_ = r.Close()
			t.Errorf("a ring opened %s", what)
		}
		for _, table := range tables {
			for _, row := range rowsOf(t, e.db, table.Name) {
				if row["mac"] != nil {
					t.Fatalf("%s: a row of %s got a new MAC", what, table.Name)
				}
			}
		}
	}
	refuses("without MACs and sums")
	exec(t, e.db, `DELETE FROM deployment_keys WHERE name = 'rows'`)
	refuses("without MACs, sums and the key of its rows")
}

// suppressionDeleted: whoever deletes the memory of an erased person lets nobody in, not even
// until the next walk: the running process misses the row when the person would be enrolled.
// Who is somebody else is enrolled meanwhile.
func suppressionDeleted(t *testing.T, e *env) {
	ctx := t.Context()
	const erased = 6
	for n := range erased {
		c := Citizen(t, e.ring, n)
		check(t, e.ring.BeginErase(ctx, c))
		check(t, e.ring.DestroySubject(ctx, c, seal.Suppression{Basis: "law"}))
	}
	whole(t, e.db)
	someone := 100
	for name, tc := range map[string]struct {
		hit       func(row map[string]any)
		mend      func(row, order map[string]any)
		strangers bool // are enrolled all the same
	}{
		"its row": {
			func(row map[string]any) { exec(t, e.db, `DELETE FROM suppressions WHERE ssin = ?`, row["ssin"]) },
			func(row, _ map[string]any) { insert(t, e.db, "suppressions", row) }, true},
		"its row and its place in the order": {
			func(row map[string]any) {
				exec(t, e.db, `DELETE FROM suppressions WHERE ssin = ?`, row["ssin"])
				exec(t, e.db, `DELETE FROM suppression_order WHERE ssin = ?`, row["ssin"])
			},
			func(row, order map[string]any) {
				insert(t, e.db, "suppressions", row)
				insert(t, e.db, "suppression_order", order)
			}, true},
	} {
		for _, row := range rowsOf(t, e.db, "suppressions") {
			var order map[string]any
			for _, one := range rowsOf(t, e.db, "suppression_order") {
				if string(one["ssin"].([]byte)) == string(row["ssin"].([]byte)) {
					order = one
				}
			}
			tc.hit(row)
			missed := 0
			for n := range erased {
				_, _, err := e.ring.Enroll(ctx, SSIN(n))
				_, _, life := e.ring.EnrollNewLife(ctx, SSIN(n))
				switch {
				case errors.Is(err, keysdb.ErrDamaged) && errors.Is(life, keysdb.ErrDamaged):
					missed++
				case !errors.Is(err, seal.ErrCitizenErased):
					t.Errorf("%s is gone, and an erased person: %v, %v", name, err, life)
				case life != nil:
					t.Errorf("%s is gone, and another's new life: %v", name, life)
				default:
					c, err := e.ring.Resolve(ctx, SSIN(n))
					check(t, err)
					check(t, e.ring.BeginErase(ctx, c))
					check(t, e.ring.DestroySubject(ctx, c, seal.Suppression{Basis: "law"}))
				}
			}
			if missed != 1 {
				t.Errorf("%s is gone: %d persons were missed", name, missed)
			}
			enrolled := false
			for range 40 {
				someone++
				_, isNew, err := e.ring.Enroll(ctx, SSIN(someone))
				enrolled = enrolled || err == nil && isNew
			}
			if enrolled != tc.strangers {
				t.Errorf("%s is gone: somebody new enrolled %v", name, enrolled)
			}
			tc.mend(row, order)
			whole(t, e.db)
		}
	}
	// Without its order nothing is known to be absent; a start makes it of the suppressions,
	// and only while none of these is missing. No erasure waits for it.
	exec(t, e.db, `DELETE FROM suppression_order`)
	if _, _, err := e.ring.Enroll(ctx, SSIN(99)); !errors.Is(err, keysdb.ErrDamaged) {
		t.Errorf("the order is gone, and somebody new: %v", err)
	}
	last := Citizen(t, e.process(t, seal.Config{}), 98)
	exec(t, e.db, `DELETE FROM suppression_order WHERE ssin = ?`, rowsOf(t, e.db, "suppression_order")[0]["ssin"])
	check(t, e.ring.BeginErase(ctx, last))
	check(t, e.ring.DestroySubject(ctx, last, seal.Suppression{Basis: "law"}))
	if _, _, err := e.ring.Enroll(ctx, SSIN(98)); !errors.Is(err, seal.ErrCitizenErased) {
		t.Errorf("erased while the order was damaged: %v", err)
	}
	gone := rowsOf(t, e.db, "suppressions")[0]
	exec(t, e.db, `DELETE FROM suppressions WHERE ssin = ?`, gone["ssin"])
	if found, err := e.process(t, seal.Config{}).Check(ctx); err != nil || !slices.Contains(found, keysdb.Damage{Table: "suppressions"}) {
		t.Errorf("a start made a suppression that is gone unmissed: %v %v", found, err)
	}
	insert(t, e.db, "suppressions", gone)
	fresh := e.process(t, seal.Config{})
	whole(t, e.db)
	for _, n := range []int{0, 1, 2, 3, 4, 5, 98} {
		if _, _, err := fresh.Enroll(ctx, SSIN(n)); !errors.Is(err, seal.ErrCitizenErased) {
			t.Errorf("after all was mended, person %d: %v", n, err)
		}
	}
	if _, isNew, err := fresh.Enroll(ctx, SSIN(99)); err != nil || !isNew {
		t.Errorf("after all was mended, somebody new: %v %v", isNew, err)
	}
}
