package main

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/cmd/coffre/vault"
	"coffre/eventstore"
	"coffre/eventstore/kurrent/kurrenttest"
	"coffre/eventstore/postgres"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/proof"
	"coffre/eventstore/proof/bundle"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/edge/token"
)

// drilledStores make what a drilled vault lies in.
var drilledStores = map[string]func(*testing.T) vault.StoresConfig{
	"SQLite":     func(*testing.T) vault.StoresConfig { return vault.StoresConfig{} },
	"PostgreSQL": func(t *testing.T) vault.StoresConfig { return vault.StoresConfig{Log: pgtest.Shared(t).Database(t)} },
}

// drilled is a vault that nobody serves, for somebody who may write to its databases.
type drilled struct {
	dir    vault.DataDir
	stores vault.StoresConfig
	keys   string // file with the public keys, as an auditor kept it
	last   proof.Checkpoint
}

// newDrilled fills a vault, closes it, and keeps what an auditor would.
func newDrilled(t *testing.T, stores vault.StoresConfig) *drilled {
	t.Helper()
	d := &drilled{dir: vault.DataDir(t.TempDir()), stores: stores}
	r := d.open(t)
	for n := range 20 {
		if w := r.issue(t, uuid.New(), ssinA, fmt.Sprint("drill ", n)); w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	r.settle(t, ssinB, ssinA, "drill") // streams of several events
	_, d.last = r.checkpoint(t)
	d.keys = filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(d.keys, r.get(t, anyAuditor, "/signingKeys").Body.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *drilled) open(t *testing.T) *rig {
	t.Helper()
	v, err := vault.Open(t.Context(), d.dir, vault.Options{Stores: d.stores})
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.OpenDevKey(d.dir.File(vault.DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &rig{Instance: v, dir: d.dir, key: key}
}

// shell types commands beside the vault's databases.
func (d *drilled) shell(t *testing.T) *shell {
	return &shell{t: t, adapt: func(p *program) {
		p.Getenv = func(name string) string {
			if name == vault.StoreVariable {
				return d.stores.Log
			}
			return ""
		}
	}}
}

// verify runs coffre audit verify on the directory.
func (d *drilled) verify(t *testing.T, code int, args ...string) bundle.Report {
	t.Helper()
	got := d.shell(t).must(code, append([]string{"audit", "verify", string(d.dir), "--key", d.keys, "--json"}, args...)...)
	var r bundle.Report
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		t.Fatalf("%v: %s", err, got.out)
	}
	return r
}

// log opens the table of events for whoever may write to it, and the store that reads it.
func (d *drilled) log(t *testing.T) (*sqlx.DB, eventstore.Store) {
	t.Helper()
	if d.stores.Log != "" {
		db, err := pgdb.Open(pgtest.Shared(t).Superuser(t, d.stores.Log), pgdb.Options{Schema: "coffre_log", Conns: 1})
		if err != nil {
			t.Fatal(err)
		}
		var schema string
		if err := db.Get(&schema, `SELECT schemaname FROM pg_tables WHERE tablename = 'events'`); err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{`SET search_path TO ` + schema, `ALTER TABLE events DISABLE TRIGGER ALL`, `ALTER TABLE events DROP CONSTRAINT IF EXISTS events_position_check, DROP CONSTRAINT IF EXISTS events_check, DROP CONSTRAINT IF EXISTS events_stream_revision_key`} {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(err)
			}
		}
		store, err := postgres.Open(t.Context(), d.stores.Log, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = store.Close(), db.Close() })
		return db, store
	}
	db, err := sqlitedb.Open(t.Context(), d.dir.File(sqlite.FileName), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{`DROP TRIGGER IF EXISTS events_are_never_changed`, `DROP TRIGGER IF EXISTS events_are_never_deleted`} {
		if _, err := db.Writer.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	store, err := sqlite.Open(t.Context(), string(d.dir), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = store.Close(), db.Close() })
	return db.Writer, store
}

// record returns the record of a leaf.
func record(t *testing.T, s eventstore.Store, leaf int64) eventstore.Record {
	t.Helper()
	after, err := eventstore.DenseLeaves{}.Position(t.Context(), leaf-1)
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range s.ReadAll(t.Context(), after, 1) {
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	t.Fatalf("no leaf %d", leaf)
	return eventstore.Record{}
}

// sum is the checksum that whoever changes a record writes beside it at a position.
func sum(db *sqlx.DB, r eventstore.Record, position int64) []byte {
	h := proof.LeafHash(&r)
	return bind(db, h[:], position)
}

// bind returns a checksum as it lies at a position, and of one that lies there the checksum:
// in SQLite the two are combined.
func bind(db *sqlx.DB, sum []byte, position int64) []byte {
	if db.DriverName() == "pgx" {
		return sum
	}
	sum = slices.Clone(sum)
	binary.BigEndian.PutUint64(sum, binary.BigEndian.Uint64(sum)^uint64(position))
	return sum
}

// Whoever may write to the database of a vault changes it in ten ways, and fixes the
// checksums; each is caught and named, in SQLite and in PostgreSQL.
func TestTamperDrills(t *testing.T) {
	const leaf = 12 // whose position is one more
	exec := func(t *testing.T, db *sqlx.DB, statement string, args ...any) {
		t.Helper()
		result, err := db.Exec(db.Rebind(statement), args...)
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			t.Fatalf("%s: %d rows, %v", statement, n, err)
		}
	}
	// moveTo gives every event from a position to another one a new place, with its checksum.
	moveTo := func(t *testing.T, db *sqlx.DB, from, to int64, place func(int64) int64) {
		var rows []struct {
			Position int64
			Sum      []byte
		}
		if err := db.Select(&rows, db.Rebind(`SELECT position, sum FROM events WHERE position BETWEEN ? AND ?`), from, to); err != nil || len(rows) == 0 {
			t.Fatal(rows, err)
		}
		for _, r := range rows {
			at := place(r.Position)
			exec(t, db, `UPDATE events SET position = ?, sum = ? WHERE position = ?`, -at, bind(db, bind(db, r.Sum, r.Position), at), r.Position)
		}
		exec(t, db, `UPDATE events SET position = -position WHERE position < 0`)
	}
	move := func(t *testing.T, db *sqlx.DB, from, by int64) {
		moveTo(t, db, from, math.MaxInt32, func(position int64) int64 { return position + by })
	}
	drills := map[string]struct {
		do   func(t *testing.T, db *sqlx.DB, s eventstore.Store)
		kind bundle.Kind
		says string
	}{
		"one bit of a record": {func(t *testing.T, db *sqlx.DB, s eventstore.Store) {
			r := record(t, s, leaf)
			r.Meta[3] ^= 1
			exec(t, db, `UPDATE events SET meta = ? WHERE position = ?`, r.Meta, leaf+1)
		}, bundle.Altered, "leaf 12 is not in the store as it was recorded"},
		"one bit of a record, with its checksum": {func(t *testing.T, db *sqlx.DB, s eventstore.Store) {
			r := record(t, s, leaf)
			r.Sealed = append([]byte(nil), r.Sealed...)
			r.Meta[3] ^= 1
			exec(t, db, `UPDATE events SET meta = ?, sum = ? WHERE position = ?`, r.Meta, sum(db, r, leaf+1), leaf+1)
		}, bundle.Altered, "leaf 12, "},
		"clear facts exchanged beside an untouched sealed part": {func(t *testing.T, db *sqlx.DB, s eventstore.Store) {
			r := record(t, s, leaf)
			r.Clear = []byte(strings.Replace(string(r.Clear), "2", "3", 1))
			exec(t, db, `UPDATE events SET clear = ?, sum = ? WHERE position = ?`, r.Clear, sum(db, r, leaf+1), leaf+1)
		}, bundle.Altered, "leaf 12, "},
		"one event deleted": {func(t *testing.T, db *sqlx.DB, s eventstore.Store) {
			exec(t, db, `DELETE FROM events WHERE position = ?`, leaf+1)
		}, bundle.Altered, "leaf 12 is not in the store as it was recorded: damaged, or gone"},
		"one event dropped, and the others moved up": {func(t *testing.T, db *sqlx.DB, s eventstore.Store) {
			exec(t, db, `DELETE FROM events WHERE position = ?`, leaf+1)
			move(t, db, leaf+2, -1)
		}, bundle.Dropped, "leaf 12 is gone; it stood before "},
		"two swapped": {func(t *testing.T, db *sqlx.DB, s eventstore.Store) {
			moveTo(t, db, leaf+1, leaf+2, func(position int64) int64 { return 2*leaf + 3 - position })
		}, bundle.Swapped, "leaves 12 and 13 stand in each other's place"},
		"one inserted": {func(t *testing.T, db *sqlx.DB, s eventstore.Store) {
			r := record(t, s, leaf)
			move(t, db, leaf+1, 1)
			r.ID, r.Revision = uuid.New(), r.Revision+7
			exec(t, db, `INSERT INTO events (position, stream, revision, type, time, id, sum, meta, clear, sealed)
				SELECT ?, stream, revision + 7, type, time, ?, ?, meta, clear, sealed FROM events WHERE position = ?`, leaf+1, r.ID[:], sum(db, r, leaf+1), leaf+2)
		}, bundle.Inserted, "before leaf 12 stands "},
		"the tail cut off": {func(t *testing.T, db *sqlx.DB, s eventstore.Store) {
			exec(t, db, `DELETE FROM events WHERE position > ?`, leaf+1)
		}, bundle.Cut, "leaves 13 to "},
	}
	for on, stores := range drilledStores {
		t.Run(on, func(t *testing.T) {
			untouched := newDrilled(t, stores(t))
			if r := untouched.verify(t, 0); r.Wrong != 0 || r.Verified < 20 || !r.Trusted {
				t.Fatalf("before anything: %+v", r)
			}
			for name, drill := range drills {
				t.Run(name, func(t *testing.T) {
					d := untouched.copy(t)
					db, store := d.log(t)
					drill.do(t, db, store)
					r := d.verify(t, exitTamper)
					if r.Wrong != 1 || r.Findings[0].Kind != drill.kind || !strings.Contains(r.Findings[0].Says, drill.says) {
						t.Fatalf("%+v", r.Findings)
					}
				})
			}
		})
	}
}

// One bit of any record is found, and the record named.
func TestOneBitOfAnyRecordIsNamed(t *testing.T) {
	for on, stores := range drilledStores {
		t.Run(on, func(t *testing.T) {
			d := newDrilled(t, stores(t))
			db, _ := d.log(t)
			columns := []string{"meta", "clear", "id", "sum", "sealed"}
			for leaf := range d.last.Size {
				column := columns[leaf%int64(len(columns))]
				var row struct {
					ID                       uuid.UUID
					Meta, Clear, Sealed, Sum []byte
				}
				if err := db.Get(&row, db.Rebind(`SELECT id, meta, clear, sealed, sum FROM events WHERE position = ?`), leaf+1); err != nil {
					t.Fatal(err)
				}
				if column == "sealed" && len(row.Sealed) == 0 {
					column = "id"
				}
				was := map[string][]byte{"meta": row.Meta, "clear": row.Clear, "id": row.ID[:], "sum": row.Sum, "sealed": row.Sealed}[column]
				changed, bit := slices.Clone(was), int(leaf*37)%(8*len(was))
				changed[bit/8] ^= 1 << (bit % 8)
				put := db.Rebind(`UPDATE events SET ` + column + ` = ? WHERE position = ?`)
				execute(t, db.DB, put, changed, leaf+1)
				r := d.verify(t, exitTamper)
				if r.Wrong != 1 || r.Findings[0].Kind != bundle.Altered || r.Findings[0].Leaf != leaf {
					t.Errorf("bit %d of the %s of leaf %d: %+v", bit, column, leaf, r.Findings)
				}
				execute(t, db.DB, put, was, leaf+1)
			}
			d.verify(t, 0)
		})
	}
}

// A stream that an administrator of KurrentDB deletes or truncates is named at once, and each
// of its leaves when the server has taken them away.
func TestTamperDrillsOnKurrentDB(t *testing.T) {
	for how, remove := range map[string]func(*kurrenttest.Server, string){
		"deleted for good": (*kurrenttest.Server).DeleteForGood,
		"deleted softly":   (*kurrenttest.Server).DeleteSoftly,
		"truncated":        func(s *kurrenttest.Server, stream string) { s.TruncateBefore(stream, 1) },
		"kept in part":     func(s *kurrenttest.Server, stream string) { s.KeepLast(stream, 1) },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			server := kurrenttest.Start(t)
			d := newDrilled(t, vault.StoresConfig{Log: server.Address})
			if r := d.verify(t, 0); r.Wrong != 0 || r.Verified < 20 || !r.Trusted {
				t.Fatalf("before anything: %+v", r)
			}
			stream, leaf := d.stream(t, func(leaves []int64) bool { return len(leaves) > 1 })
			remove(server, stream)
			r := d.verify(t, exitTamper)
			if r.Wrong != 1 || r.Findings[0].Kind != bundle.Deleted || r.Findings[0].Stream != stream || r.Verified != d.last.Size {
				t.Fatalf("%+v", r)
			}
			server.Scavenge()
			r = d.verify(t, exitTamper)
			last := r.Findings[len(r.Findings)-1]
			if r.Findings[0].Kind != bundle.Dropped || r.Findings[0].Leaf != leaf || last.Kind != bundle.Deleted || last.Stream != stream {
				t.Fatalf("scavenged: %+v", r)
			}
		})
	}
	t.Run("the end of the log deleted", func(t *testing.T) {
		t.Parallel()
		server := kurrenttest.Start(t)
		d := newDrilled(t, vault.StoresConfig{Log: server.Address})
		stream, _ := d.stream(t, func(leaves []int64) bool { return leaves[len(leaves)-1] == d.last.Size-1 })
		server.DeleteForGood(stream)
		server.Scavenge()
		r := d.verify(t, exitTamper)
		ends := slices.ContainsFunc(r.Findings, func(f bundle.Finding) bool {
			return f.Kind == bundle.Cut || f.Kind == bundle.Dropped && f.Leaf == d.last.Size-1
		})
		if last := r.Findings[len(r.Findings)-1]; !ends || last.Kind != bundle.Deleted || last.Stream != stream {
			t.Fatalf("%+v", r)
		}
	})
}

// stream returns a stream whose leaves are as wanted, and the first of them.
func (d *drilled) stream(t *testing.T, wanted func(leaves []int64) bool) (name string, first int64) {
	t.Helper()
	source, err := vault.OpenAuditSource(t.Context(), d.dir, vault.Config{Stores: d.stores})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	leaves := make(map[string][]int64)
	for e, err := range source.LogEvents(t.Context(), d.last.Size) {
		if err != nil {
			t.Fatal(err)
		}
		leaves[e.Stream] = append(leaves[e.Stream], e.Leaf)
	}
	for name, its := range leaves {
		if wanted(its) {
			return name, its[0]
		}
	}
	t.Fatal("there is no such stream")
	return "", 0
}

// Whoever rewrites the tree, signs again, or puts everything back, is found out by the key and
// the checkpoint that an auditor kept.
func TestTamperDrillsAgainstAnAuditor(t *testing.T) {
	for on, stores := range drilledStores {
		t.Run(on, func(t *testing.T) {
			untouched := newDrilled(t, stores(t))
			t.Run("a tile edited", func(t *testing.T) {
				d := untouched.copy(t)
				d.table(t, "readmodels/transparency.*.db", "leaves", func(db *sqlx.DB) {
					execute(t, db.DB, db.Rebind(`UPDATE leaves SET hash = ? WHERE from_leaf = 5`), make([]byte, 32))
				})
				if r := d.verify(t, exitTamper); r.Wrong != 1 || r.Findings[0].Kind != bundle.Tile || r.Findings[0].Leaf != 5 {
					t.Fatalf("%+v", r.Findings)
				}
			})
			for by, kind := range map[string]bundle.Kind{"another key": bundle.Signature, "an earlier time": bundle.Moved} {
				t.Run("signed again with "+by, func(t *testing.T) {
					d := untouched.copy(t)
					_, private, err := ed25519.GenerateKey(nil)
					if err != nil {
						t.Fatal(err)
					}
					c := d.last
					if kind == bundle.Moved {
						c.Time, private = c.Time.Add(-48*time.Hour), localKey(t, d.dir)
					}
					note, err := proof.Sign(t.Context(), c, onlyKey{private})
					if err != nil {
						t.Fatal(err)
					}
					d.putCheckpoint(t, note)
					if r := d.verify(t, exitTamper); r.Wrong == 0 || r.Findings[0].Kind != kind {
						t.Fatalf("%+v", r.Findings)
					}
				})
			}
			t.Run("yesterday's vault put back", func(t *testing.T) {
				d := untouched.copy(t)
				yesterday := d.copy(t)
				kept := d.goOn(t, "since")
				d.verify(t, 0, "--checkpoint", kept)
				yesterday.verify(t, 0) // by itself it is whole
				if got := yesterday.verify(t, exitTamper, "--checkpoint", kept); got.Wrong != 1 || got.Findings[0].Kind != bundle.Cut {
					t.Fatalf("%+v", got.Findings)
				}
			})
			t.Run("yesterday's log put back under today's checkpoint", func(t *testing.T) {
				d := untouched.copy(t)
				yesterday := d.copy(t)
				d.goOn(t, "one", "two", "three")
				today, err := os.ReadFile(d.dir.File("log.checkpoint"))
				if err != nil {
					t.Fatal(err)
				}
				yesterday.putCheckpoint(t, today)
				if got := yesterday.verify(t, exitTamper); got.Wrong == 0 || got.Findings[0].Kind != bundle.Cut || got.Findings[0].Leaf != d.last.Size {
					t.Fatalf("%+v", got.Findings)
				}
			})
			t.Run("two histories shown to two auditors", func(t *testing.T) {
				d := untouched.copy(t)
				other := d.copy(t)
				kept := d.goOn(t, "one", "two", "three")
				other.goOn(t, "four", "five", "six", "seven")
				if got := other.verify(t, exitTamper, "--checkpoint", kept); got.Wrong != 1 || got.Findings[0].Kind != bundle.Forked {
					t.Fatalf("%+v", got.Findings)
				}
				d.verify(t, 0, "--checkpoint", kept)
			})
		})
	}
}

// goOn lets the vault serve, issue documents and end, and returns a file with the checkpoint
// after that.
func (d *drilled) goOn(t *testing.T, references ...string) (kept string) {
	t.Helper()
	r := d.open(t)
	for _, reference := range references {
		r.issue(t, uuid.New(), ssinB, reference)
	}
	note, _ := r.checkpoint(t)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	kept = filepath.Join(t.TempDir(), "kept.checkpoint")
	if err := os.WriteFile(kept, []byte(note), 0o600); err != nil {
		t.Fatal(err)
	}
	return kept
}

// copy returns another vault with the same directory and databases.
func (d *drilled) copy(t *testing.T) *drilled {
	t.Helper()
	other := *d
	other.dir = vault.DataDir(filepath.Join(t.TempDir(), "copy"))
	if err := os.CopyFS(string(other.dir), os.DirFS(string(d.dir))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", vault.KEKFile, vault.DevKeyFile} { // CopyFS opens them to others
		info, err := os.Stat(d.dir.File(name))
		if err == nil {
			err = os.Chmod(other.dir.File(name), info.Mode())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if d.stores.Log != "" {
		other.stores.Log = pgtest.Shared(t).Copy(t, d.stores.Log)
	}
	return &other
}

// table hands on a database that has a table: a file of the directory, or the schema of
// PostgreSQL, for a superuser.
func (d *drilled) table(t *testing.T, files, table string, use func(*sqlx.DB)) {
	t.Helper()
	if d.stores.Log != "" {
		var schema string
		db, err := pgdb.Open(pgtest.Shared(t).Superuser(t, d.stores.Log), pgdb.Options{Schema: "coffre_log", Conns: 1})
		if err == nil {
			err = db.Get(&schema, `SELECT schemaname FROM pg_tables WHERE tablename = $1`, table)
		}
		if err != nil {
			t.Fatal(err)
		}
		execute(t, db.DB, `SET search_path TO `+schema)
		use(db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	found, err := filepath.Glob(d.dir.File(files))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	db, err := sqlitedb.Open(t.Context(), found[0], sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	use(db.Writer)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// putCheckpoint replaces the last checkpoint wherever the vault keeps it.
func (d *drilled) putCheckpoint(t *testing.T, note []byte) {
	t.Helper()
	if err := os.WriteFile(d.dir.File("log.checkpoint"), note, 0o600); err != nil {
		t.Fatal(err)
	}
	d.table(t, vault.KeysFile, "checkpoint_last", func(db *sqlx.DB) {
		execute(t, db.DB, db.Rebind(`UPDATE checkpoint_last SET note = ?`), note)
	})
}

// onlyKey signs as whoever has a private key may.
type onlyKey struct{ private ed25519.PrivateKey }

func (k onlyKey) Sign(_ context.Context, message []byte) ([]byte, string, error) {
	return ed25519.Sign(k.private, message), "", nil
}

func (k onlyKey) PublicKey(context.Context, string) (ed25519.PublicKey, string, error) {
	return k.private.Public().(ed25519.PublicKey), "", nil
}

// localKey returns the key that signs the log of a directory.
func localKey(t *testing.T, dir vault.DataDir) ed25519.PrivateKey {
	t.Helper()
	b, err := os.ReadFile(dir.File(vault.KEKFile))
	var file struct{ SigningSeed []byte }
	if err == nil {
		err = json.Unmarshal(b, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ed25519.NewKeyFromSeed(file.SigningSeed)
}
