package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/ncruces/go-sqlite3"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/edge/token"
)

const (
	copyBatch   = 1024
	copyFlavour = "the rows of both databases read and inserted raw, 1,024 to a transaction"
)

// copying is T22: the large vault copied into another directory, and taken as a backup,
// beside the rows of its log and its key database read and inserted by nothing else.
func (b *bench) copying(ctx context.Context) (err error) {
	from, err := b.large(ctx)
	if err != nil {
		return err
	}
	events := int64(b.largeEvents())
	raw := func(ctx context.Context) (pace, error) {
		to, err := b.emptied("T22-raw")
		if err != nil {
			return pace{}, err
		}
		began := time.Now()
		for _, name := range []string{sqlite.FileName, "keys.db"} {
			if err := copyRows(ctx, from.File(name), to.File(name)); err != nil {
				return pace{}, fmt.Errorf("%s: %w", name, err)
			}
		}
		return over(events, began), nil
	}
	got, err := b.compare(ctx, "T22copy", raw, func(ctx context.Context) (pace, error) {
		to, err := b.emptied("T22-copy")
		if err != nil {
			return pace{}, err
		}
		began := time.Now()
		_, err = vault.Copy{
			Source: vault.CopyEnd{Dir: from, At: vault.StoresConfig{}.In(from)}, Target: vault.CopyEnd{Dir: to, At: vault.StoresConfig{}.In(to)},
			Logger: slog.New(slog.DiscardHandler), Progress: func(int64, string, bool) vault.Bar { return noBar{} },
		}.Run(ctx)
		return over(events, began), err
	})
	if err != nil {
		return fmt.Errorf("store copy: %w", err)
	}
	if err := b.tell(got.measure("T22.copy", "events/s", copyFlavour, ">= 0.4")); err != nil {
		return err
	}
	v, err := serveAlone(ctx, from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	if got, err = b.compare(ctx, "T22backup", raw, func(ctx context.Context) (pace, error) {
		began := time.Now()
		err := v.backUp(ctx, b.Dir)
		return over(events, began), err
	}); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return b.tell(got.measure("T22.backup", "events/s", copyFlavour, ">= 0.4"))
}

// emptied returns an empty folder below the run's own.
func (b *bench) emptied(name string) (vault.DataDir, error) {
	if err := os.RemoveAll(filepath.Join(b.Dir, name)); err != nil {
		return "", err
	}
	return b.folder(name)
}

type noBar struct{}

func (noBar) Add(int64) {}
func (noBar) Done()     {}

// backUp takes a backup over the API into a file, which it syncs and removes.
func (v *served) backUp(ctx context.Context, dir string) (err error) {
	who, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	bearer, err := v.token(token.Grant{Role: domain.RoleOperator})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "backup-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	body := fmt.Appendf(nil, `{"recipients":["%s"]}`, who.Recipient())
	if err := v.site.ask(ctx, http.MethodPost, "/backups", bearer, body, http.StatusOK, f); err != nil {
		return err
	}
	return f.Sync()
}

// copyRows makes the tables of a database anew in another file, with their indexes, and
// inserts their rows, table after table.
func copyRows(ctx context.Context, from, to string) (err error) {
	in, err := sqlitedb.OpenConn(ctx, from, rawOptions, sqlitedb.Read)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := sqlitedb.OpenConn(ctx, to, rawOptions, sqlitedb.Write)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	var tables []string
	schema, _, err := in.Prepare(`SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type = 'table' DESC`)
	if err != nil {
		return err
	}
	for schema.Step() {
		if err := out.Exec(schema.ColumnText(2)); err != nil {
			return err
		}
		if schema.ColumnText(0) == "table" {
			tables = append(tables, schema.ColumnText(1))
		}
	}
	err = errors.Join(schema.Err(), schema.Close())
	for _, table := range tables {
		if err == nil {
			err = copyTable(ctx, in, out, table)
		}
	}
	return err
}

func copyTable(ctx context.Context, in, out *sqlite3.Conn, table string) (err error) {
	rows, _, err := in.Prepare(`SELECT * FROM "` + table + `"`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns := rows.ColumnCount()
	insert, _, err := out.Prepare(`INSERT OR REPLACE INTO "` + table + `" VALUES (` + strings.Join(slices.Repeat([]string{"?"}, columns), ",") + `)`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, insert.Close()) }()
	if err := out.Exec(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	for n := 1; rows.Step(); n++ {
		for i := range columns {
			if err := bindColumn(insert, i+1, rows, i); err != nil {
				return err
			}
		}
		if err := insert.Exec(); err != nil {
			return err
		}
		if n%copyBatch == 0 {
			if err := errors.Join(ctx.Err(), out.Exec(`COMMIT; BEGIN IMMEDIATE`)); err != nil {
				return err
			}
		}
	}
	return errors.Join(rows.Err(), out.Exec(`COMMIT`))
}

func bindColumn(insert *sqlite3.Stmt, param int, rows *sqlite3.Stmt, column int) error {
	switch rows.ColumnType(column) {
	case sqlite3.INTEGER:
		return insert.BindInt64(param, rows.ColumnInt64(column))
	case sqlite3.TEXT:
		return insert.BindText(param, rows.ColumnText(column))
	case sqlite3.BLOB:
		return insert.BindBlob(param, rows.ColumnRawBlob(column))
	default: // no table has fractions
		return insert.BindNull(param)
	}
}
