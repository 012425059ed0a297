package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jmoiron/sqlx"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/consent"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

const (
	exportedCitizens   = 2000
	decisionsOfConsent = 10 // rows of the log of each consent
	exportLook         = 10 * time.Millisecond

	// maxWorkbookRows is the most that T17 exports as a workbook.
	maxWorkbookRows = 1_000_000
)

// exportedRows is how many rows of the consent log T17 exports.
func (b *bench) exportedRows() int {
	if b.Full {
		return 10_000_000
	}
	return 100_000
}

// exporting is T17: the consent log exported in each format by a process that serves, from the
// request until the file is there, beside a COPY of the same columns by PostgreSQL, and by a
// program that reads them from SQLite and writes CSV; and the most memory of that process while
// it exports.
func (b *bench) exporting(ctx context.Context) (err error) {
	dir, err := b.folder("T17")
	if err != nil {
		return err
	}
	rows := b.exportedRows()
	if err := decided(ctx, dir, rows); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	p, err := startServing(ctx, dir, "COFFRE_LIMITS=exports.caller=1000,exports.all=1000") // each round keeps its files
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	key, err := token.OpenDevKey(dir.File(vault.DevKeyFile))
	if err != nil {
		return err
	}
	bearer, err := key.Mint(token.Grant{Role: domain.RolePrivacyOfficer, Scopes: edge.Scopes(domain.RolePrivacyOfficer)}, time.Now(), 24*time.Hour)
	if err != nil {
		return err
	}
	o := officer{p.site, bearer}
	file := dir.File("T17.csv")
	if err := o.fetch(ctx, contract.ExportFormatCsv, file, rows); err != nil { // makes the references, and waits for the read models
		return fmt.Errorf("first export: %w", err)
	}
	if err := reactedToAll(ctx, p.site, key); err != nil {
		return fmt.Errorf("reactors: %w", err)
	}
	if err := forgetPeak(p.cmd.Process.Pid); err != nil { // the start built the read models
		return err
	}
	raw, closeRaw, err := rawTable(ctx, dir.File("T17.db"), file)
	if err != nil {
		return fmt.Errorf("rows of the baseline: %w", err)
	}
	defer func() { err = errors.Join(err, closeRaw()) }()
	baselines := []baseline{{"", "the same columns read from SQLite and written as CSV", raw}}
	if b.Postgres != "" {
		copied, drop, err := b.copyOut(ctx, file, rows)
		if err != nil {
			return fmt.Errorf("rows in PostgreSQL: %w", err)
		}
		defer func() { err = errors.Join(err, drop()) }()
		baselines = append(baselines, baseline{".pg", "COPY of the same columns by PostgreSQL", copied})
	}
	for _, f := range []struct {
		format contract.ExportFormat
		target string
	}{{contract.ExportFormatCsv, ">= 0.3"}, {contract.ExportFormatJsonl, ">= 0.3"}, {contract.ExportFormatParquet, ">= 0.2"}, {contract.ExportFormatXlsx, ">= 0.05"}} {
		if f.format == contract.ExportFormatXlsx && rows > maxWorkbookRows {
			continue
		}
		for _, base := range baselines {
			got, err := b.compare(ctx, "T17."+string(f.format)+base.suffix, base.side, func(ctx context.Context) (pace, error) {
				began := time.Now()
				_, err := o.export(ctx, f.format, rows)
				return over(rows, began), err
			})
			if err != nil {
				return err
			}
			m := got.measure("T17."+string(f.format)+base.suffix, "rows/s", base.flavour, f.target)
			m.ProcessorMicros, m.BaselineProcessorMicros = 0, 0 // the server is another process
			if err := b.tell(m); err != nil {
				return err
			}
		}
	}
	most, err := peakMemory(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	return b.tell(Measure{Name: "T17.rss", Value: float64(most) / (1 << 20), Unit: "MiB", Target: "<= 150"})
}

// reactedToAll returns once the reactors of a vault have passed all of its events: until then they
// take a part of the processor that no export has.
func reactedToAll(ctx context.Context, at *site, key *token.DevKey) error {
	bearer, err := key.Mint(token.Grant{Role: domain.RoleOperator, Scopes: edge.Scopes(domain.RoleOperator)}, time.Now(), 24*time.Hour)
	if err != nil {
		return err
	}
	return until(ctx, exportLook, func() (bool, error) {
		var said bytes.Buffer
		if err := at.ask(ctx, http.MethodGet, "/reactors", bearer, nil, http.StatusOK, &said); err != nil {
			return false, err
		}
		var all contract.Reactors
		if err := json.Unmarshal(said.Bytes(), &all); err != nil {
			return false, err
		}
		return !slices.ContainsFunc(all.Items, func(r contract.Reactor) bool { return r.Behind > 0 }), nil
	})
}

// baseline is what T17 is measured beside.
type baseline struct {
	suffix, flavour string
	side            side
}

// officer asks for exports.
type officer struct {
	at     *site
	bearer string
}

var errExport = errors.New("the export failed, or has other rows")

// export has a file made and returns its place.
func (o officer) export(ctx context.Context, format contract.ExportFormat, rows int) (content string, err error) {
	body := fmt.Appendf(nil, `{"kind":"consentLog","format":"%s","reason":"audit"}`, format)
	var said bytes.Buffer
	if err := o.at.ask(ctx, http.MethodPost, "/exports", o.bearer, body, http.StatusAccepted, &said); err != nil {
		return "", err
	}
	var e contract.Export
	if err := json.Unmarshal(said.Bytes(), &e); err != nil {
		return "", err
	}
	at := "/exports/" + e.ExportID.String()
	err = until(ctx, exportLook, func() (bool, error) {
		said.Reset()
		if err := o.at.ask(ctx, http.MethodGet, at, o.bearer, nil, http.StatusOK, &said); err != nil {
			return false, err
		}
		var e contract.Export
		if err := json.Unmarshal(said.Bytes(), &e); err != nil {
			return false, err
		}
		done := e.Status.State == contract.TaskStateDone
		if e.Status.State == contract.TaskStateFailed || done && (e.Rows == nil || *e.Rows != int64(rows)) {
			return false, errExport
		}
		return done, nil
	})
	return at + "/content", err
}

// fetch exports into a file.
func (o officer) fetch(ctx context.Context, format contract.ExportFormat, path string, rows int) error {
	content, err := o.export(ctx, format, rows)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(o.at.ask(ctx, http.MethodGet, content, o.bearer, nil, http.StatusOK, f), f.Close())
}

// decided fills a new directory with a log of so many decisions about consents. Sealed parts
// are absent: no export opens them.
func decided(ctx context.Context, dir vault.DataDir, rows int) (err error) {
	l, err := openLog(ctx, dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	holders, err := l.enrol(ctx, 0, exportedCitizens)
	if err != nil {
		return err
	}
	at := time.Now().UTC().Truncate(time.Microsecond)
	return inParallel(ctx, rows/decisionsOfConsent, func(ctx context.Context, i int) error {
		id := domain.ConsentID{UUID: uuid.New()}
		terms := consent.Terms{Consumer: benchConsumer, Purpose: benchPurpose, Types: []domain.DocumentType{"diploma"}, Until: at.AddDate(0, 6, i%180)}
		facts := []any{consent.Granted{Consent: id, Citizen: holders[i%len(holders)], Terms: terms, At: at}}
		for len(facts) < decisionsOfConsent {
			facts = append(facts, consent.Withdrawn{Consent: id, Reason: "noLongerWanted", At: at})
		}
		batch := eventstore.Batch{Stream: eventstore.Stream("consent-" + id.String()), Expected: eventstore.NoStream}
		for _, fact := range facts {
			typ, clear, _, err := codec.Catalog.Encode(fact)
			if err != nil {
				return err
			}
			batch.Records = append(batch.Records, eventstore.Record{ID: uuid.New(), Type: typ, Clear: clear, Time: at,
				Meta: []byte(`{"actor":{"role":"citizen","sub":"aGFzaGhhc2hoYXNoaGFzaA"},"schemaVersion":1,"registry":1}`)})
		}
		_, err := l.store.Append(ctx, batch)
		return err
	})
}

// rawTable puts the lines of a CSV file into a table of SQLite, and returns what reads all of
// them and writes CSV, as the shell of SQLite does.
func rawTable(ctx context.Context, path, file string) (_ side, end func() error, err error) {
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	in, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer in.Close() // it was only read
	lines := csv.NewReader(in)
	names, err := lines.Read()
	if err != nil {
		return nil, nil, err
	}
	tx, err := db.Writer.BeginTxx(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	columns, marks := "", ""
	for i := range names {
		columns += ", c" + strconv.Itoa(i) + " TEXT"
		marks += ", ?"
	}
	if _, err := tx.ExecContext(ctx, `CREATE TABLE rows (`+columns[2:]+`)`); err != nil {
		return nil, nil, errors.Join(err, tx.Rollback())
	}
	insert, err := tx.PrepareContext(ctx, `INSERT INTO rows VALUES (`+marks[2:]+`)`)
	if err != nil {
		return nil, nil, errors.Join(err, tx.Rollback())
	}
	rows := 0
	for {
		line, err := lines.Read()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, errors.Join(err, tx.Rollback())
		}
		values := make([]any, len(line))
		for i := range line {
			values[i] = line[i]
		}
		if _, err := insert.ExecContext(ctx, values...); err != nil {
			return nil, nil, errors.Join(err, tx.Rollback())
		}
		rows++
	}
	if err := tx.Commit(); err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context) (pace, error) {
		began := time.Now()
		err := readRaw(ctx, db.Reader, path+".csv", len(names))
		return over(rows, began), err
	}, db.Close, nil
}

func readRaw(ctx context.Context, db *sqlx.DB, path string, columns int) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	all, err := db.QueryContext(ctx, `SELECT * FROM rows`)
	if err != nil {
		return err
	}
	defer all.Close()
	to := csv.NewWriter(out)
	line, into := make([]string, columns), make([]any, columns)
	for i := range line {
		into[i] = &line[i]
	}
	for all.Next() {
		if err := all.Scan(into...); err != nil {
			return err
		}
		if err := to.Write(line); err != nil {
			return err
		}
	}
	to.Flush()
	return errors.Join(all.Err(), to.Error())
}

// copyOut puts the lines of a CSV file into a table of PostgreSQL, and returns what copies them
// out as CSV.
func (b *bench) copyOut(ctx context.Context, file string, rows int) (_ side, drop func() error, err error) {
	dsn, dropAll, err := b.database(ctx)
	if err != nil {
		return nil, nil, err
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, nil, errors.Join(err, dropAll())
	}
	drop = func() error { return errors.Join(conn.Close(context.WithoutCancel(ctx)), dropAll()) }
	in, err := os.Open(file)
	if err != nil {
		return nil, nil, errors.Join(err, drop())
	}
	defer in.Close() // it was only read
	names, err := csv.NewReader(io.LimitReader(in, 1<<12)).Read()
	if err == nil {
		_, err = in.Seek(0, io.SeekStart)
	}
	columns := ""
	for _, name := range names {
		columns += `, "` + name + `" text`
	}
	if err == nil {
		_, err = conn.Exec(ctx, `CREATE UNLOGGED TABLE rows (`+columns[2:]+`)`)
	}
	if err == nil {
		_, err = conn.PgConn().CopyFrom(ctx, in, `COPY rows FROM STDIN (FORMAT csv, HEADER true)`)
	}
	if err != nil {
		return nil, nil, errors.Join(err, drop())
	}
	return func(ctx context.Context) (pace, error) {
		out, err := os.Create(file + ".copied")
		if err != nil {
			return pace{}, err
		}
		began := time.Now()
		_, err = conn.PgConn().CopyTo(ctx, out, `COPY (SELECT * FROM rows) TO STDOUT (FORMAT csv, HEADER true)`)
		return over(rows, began), errors.Join(err, out.Close())
	}, drop, nil
}
