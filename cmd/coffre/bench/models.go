package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/consentlog"
	"coffre/projections/erasures"
	"coffre/projections/evidence"
	"coffre/projections/signals"
	"coffre/projections/sqlitemodels"
	"coffre/projections/terms"
	"coffre/projections/transparency"
	"coffre/projections/wallet"
)

const (
	eventsOfAYear    = 11 // see aYear
	rebuiltCitizens  = 3000
	largestVault     = 10_000_000 // events
	rebuildOfLargest = 5 * time.Minute
)

// rebuilt returns every read model that a vault keeps.
func rebuilt() []projections.Projection {
	return []projections.Projection{wallet.New(), consentlog.New(), accesslog.New(), evidence.New(), erasures.New(), transparency.New(), signals.New(), terms.New()}
}

// rebuilding is T5: all read models from the log, beside the same rows inserted
// into the same tables, with their indexes, 4,096 to a transaction, durably. A full
// run also builds them from a log of ten million events, once and beside nothing.
func (b *bench) rebuilding(ctx context.Context) error {
	if err := b.rebuildingBesideRaw(ctx); err != nil || !b.Full {
		return err
	}
	return b.buildingLargest(ctx)
}

// buildingLargest tells how long the read models take to be built from ten million events.
func (b *bench) buildingLargest(ctx context.Context) (err error) {
	dir, store, err := b.yearsOf(ctx, "T5-largest", largestVault/eventsOfAYear)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	began := time.Now()
	_, end, err := buildModels(ctx, dir.File("readmodels"), store, rebuilt())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	return b.tell(Measure{Name: "T5.10M", Value: time.Since(began).Seconds(), Unit: "s", Target: fmt.Sprintf("<= %.0f", rebuildOfLargest.Seconds())})
}

// yearsOf fills a new log with the year of so many citizens.
func (b *bench) yearsOf(ctx context.Context, name string, citizens int) (vault.DataDir, *sqlite.Store, error) {
	dir, err := b.folder(name)
	if err != nil {
		return "", nil, err
	}
	store, err := sqlite.Open(ctx, string(dir), sqlite.Options{})
	if err != nil {
		return "", nil, err
	}
	if err := inParallel(ctx, citizens, func(ctx context.Context, _ int) error { return aYear(ctx, store) }); err != nil {
		return "", nil, errors.Join(err, store.Close())
	}
	return dir, store, nil
}

// buildModels builds read models in a folder. The runner goes on until end is called.
func buildModels(ctx context.Context, folder string, store eventstore.Store, models []projections.Projection) (_ *projections.Runner, end func() error, err error) {
	medium, err := sqlitemodels.Open(folder)
	if err != nil {
		return nil, nil, err
	}
	r, err := projections.New(projections.Options{Medium: medium, Store: store, Codec: codec.Catalog, Logger: slog.New(slog.DiscardHandler)}, models...)
	if err != nil {
		return nil, nil, err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(running) }()
	end = func() error { stop(); return <-ended }
	if err := r.CatchUp(ctx); err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return r, end, nil
}

func (b *bench) rebuildingBesideRaw(ctx context.Context) (err error) {
	dir, store, err := b.yearsOf(ctx, "T5", rebuiltCitizens)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	models, folder := rebuilt(), dir.File("readmodels")
	r, end, err := buildModels(ctx, folder, store, models)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	var all []tableRows
	rows := 0
	for _, m := range models {
		tables, err := readModel(ctx, folder, m)
		if err != nil {
			return err
		}
		for _, t := range tables {
			rows += len(t.rows)
		}
		all = append(all, tables...)
	}
	round := 0
	got, err := b.compare(ctx, "T5", func(ctx context.Context) (pace, error) {
		round++
		took, err := insertModels(ctx, dir.File(fmt.Sprintf("raw-%d", round)), all)
		return pace{float64(rows) / took.Seconds(), float64(rows)}, err
	}, func(ctx context.Context) (pace, error) {
		began := time.Now()
		err := r.Rebuild(ctx)
		return over(rows, began), err
	})
	if err != nil {
		return err
	}
	return b.tell(got.measure("T5", "rows/s", "raw inserts of the same rows, 4096 to a transaction", ">= 0.6"))
}

// aYear appends what a year of ordinary use leaves of one citizen: two documents,
// an update, a consent, and three uses of it with their outcomes. Sealed parts are
// random bytes: read models never open them.
func aYear(ctx context.Context, store eventstore.Store) error {
	at := time.Now().UTC().Truncate(time.Microsecond)
	who, consentID := domain.CitizenID{UUID: uuid.New()}, domain.ConsentID{UUID: uuid.New()}
	var add []eventstore.Batch
	stream := func(category string, id uuid.UUID) {
		add = append(add, eventstore.Batch{Stream: eventstore.Stream(category + "-" + id.String()), Expected: eventstore.NoStream})
	}
	event := func(sealed int, fact any) error {
		typ, clear, _, err := codec.Catalog.Encode(fact)
		if err != nil {
			return err
		}
		r := eventstore.Record{ID: uuid.New(), Type: typ, Clear: clear, Time: at, Meta: []byte(`{"actor":{"role":"issuer","org":"0316380841","sub":"aGFzaGhhc2hoYXNoaGFzaA"},"schemaVersion":1,"registry":1}`)}
		if sealed > 0 {
			r.Sealed = make([]byte, sealed)
			rand.Read(r.Sealed)
		}
		last := &add[len(add)-1]
		last.Records = append(last.Records, r)
		return nil
	}
	stream("citizen", who.UUID)
	errs := []error{event(0, citizen.Registered{Citizen: who, At: at})}
	var documents [2]domain.DocumentID
	for i := range documents {
		documents[i].UUID = uuid.New()
		stream("document", documents[i].UUID)
		errs = append(errs, event(payload+46, issued(documents[i], who, nil, i)))
	}
	errs = append(errs, event(payload+46, document.Updated{Document: documents[1], Version: 2, Replaces: 1, Reason: "correction", EffectiveFrom: "2026-02-01", ValidFrom: validFrom, At: at}))
	stream("consent", consentID.UUID)
	errs = append(errs, event(200, consent.Granted{Consent: consentID, Citizen: who, At: at, Terms: consent.Terms{
		Consumer: "0308357753", Purpose: "recruitment", Types: []domain.DocumentType{documentType}, Until: at.AddDate(1, 0, 0)}}))
	var uses [3]domain.AccessID
	for i := range uses {
		uses[i].UUID = uuid.New()
		errs = append(errs, event(90, access.Authorized{Access: uses[i], Citizen: who, Kind: access.OpenedDocument, Role: domain.RoleConsumer, Consumer: "0308357753",
			Document: documents[0], Version: 1, Type: documentType, Purpose: "recruitment", Consent: consentID, Attempt: 1, At: at}))
	}
	stream("access", who.UUID)
	for _, use := range uses {
		errs = append(errs, event(0, access.Disclosed{Access: use, Citizen: who, Outcome: access.Delivered, Attempt: 1, At: at}))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, batch := range add {
		if _, err := store.Append(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// tableRows is the content of one table of a read model.
type tableRows struct {
	model  string
	schema string // of the whole model
	name   string
	rows   [][]any
}

// readModel reads the tables a model has in force.
func readModel(ctx context.Context, folder string, p projections.Projection) (all []tableRows, err error) {
	files, err := filepath.Glob(filepath.Join(folder, p.Name()+".v*.db"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no tables of %s (%w)", p.Name(), err)
	}
	db, err := sqlitedb.Open(ctx, files[len(files)-1], sqlitedb.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var names []string
	if err := db.Reader.SelectContext(ctx, &names, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`); err != nil {
		return nil, err
	}
	schema := p.Schema()
	for _, name := range names {
		t := tableRows{model: p.Name(), name: name, schema: strings.ReplaceAll(schema.Tables, "BIGINT PRIMARY KEY", "INTEGER PRIMARY KEY") + schema.Indexes}
		if !strings.Contains(t.schema, "CREATE TABLE "+name) {
			continue // the runner's own
		}
		rows, err := db.Reader.QueryxContext(ctx, `SELECT * FROM `+name+` ORDER BY rowid`)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			values, err := rows.SliceScan()
			if err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			t.rows = append(t.rows, values)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// insertModels writes the tables into new files, one for each model, and returns
// how long the inserts took.
func insertModels(ctx context.Context, path string, all []tableRows) (took time.Duration, err error) {
	files := map[string]*sqlitedb.DB{}
	defer func() {
		for _, db := range files {
			err = errors.Join(err, db.Close())
		}
	}()
	for _, t := range all {
		db := files[t.model]
		if db == nil {
			if db, err = sqlitedb.Open(ctx, path+t.model+".db", sqlitedb.Options{}); err != nil {
				return 0, err
			}
			files[t.model] = db
			if _, err := db.Writer.ExecContext(ctx, t.schema); err != nil {
				return 0, err
			}
		}
		began := time.Now()
		for rows := t.rows; len(rows) > 0; {
			n := min(len(rows), 4096)
			if err := insertRows(ctx, db.Writer, t.name, rows[:n]); err != nil {
				return 0, err
			}
			rows = rows[n:]
		}
		took += time.Since(began)
	}
	return took, nil
}

func insertRows(ctx context.Context, db *sqlx.DB, table string, rows [][]any) error {
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	s, err := tx.PreparexContext(ctx, fmt.Sprintf(`INSERT INTO %s VALUES (?%s)`, table, strings.Repeat(", ?", len(rows[0])-1)))
	for i := 0; err == nil && i < len(rows); i++ {
		_, err = s.ExecContext(ctx, rows[i]...)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
