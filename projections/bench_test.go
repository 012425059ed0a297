package projections_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

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
	"coffre/projections/evidence"
	"coffre/projections/projectiontest"
	"coffre/projections/wallet"
)

// fill appends what a year of ordinary use leaves: per citizen two documents of
// 1 KiB, an update, a consent, three uses of it with their outcomes.
func fill(b *testing.B, store eventstore.Store, citizens int) (events int) {
	b.Helper()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	add := func(s string, id uuid.UUID, sealed int, facts ...any) {
		batch := eventstore.Batch{Stream: eventstore.Stream(s + "-" + id.String()), Expected: eventstore.Any}
		for _, f := range facts {
			typ, clear, _, err := codec.Catalog.Encode(f)
			if err != nil {
				b.Fatal(err)
			}
			r := eventstore.Record{ID: uuid.New(), Type: typ, Clear: clear, Time: at, Meta: []byte(`{"actor":{"role":"issuer","org":"0206731645","sub":"aGFzaGhhc2hoYXNoaGFzaA"},"schemaVersion":1,"registry":1}`)}
			if sealed > 0 {
				r.Sealed = make([]byte, sealed)
				rand.Read(r.Sealed)
			}
			batch.Records = append(batch.Records, r)
			events++
		}
		if _, err := store.Append(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	for range citizens {
		who := domain.CitizenID{UUID: uuid.New()}
		add("citizen", who.UUID, 0, citizen.Registered{Citizen: who, At: at})
		for i := range 2 {
			id := domain.DocumentID{UUID: uuid.New()}
			facts := []any{document.Issued{Document: id, Citizen: who, Type: "isiPlusCard", Issuer: "0206731645", ValidFrom: "2026-01-01", ValidUntil: "2030-12-31", Categories: []domain.DataCategory{"A01"}, At: at}}
			if i == 0 {
				facts = append(facts, document.Updated{Document: id, Version: 2, Replaces: 1, Reason: "correction", EffectiveFrom: "2026-02-01", ValidFrom: "2026-01-01", At: at})
			}
			add("document", id.UUID, 1100, facts...)
		}
		c := domain.ConsentID{UUID: uuid.New()}
		add("consent", c.UUID, 200, consent.Granted{Consent: c, Citizen: who, At: at, Terms: consent.Terms{Consumer: "0308357753", Purpose: "housingAllowance", Types: []domain.DocumentType{"isiPlusCard"}, Until: at.AddDate(1, 0, 0)}})
		for range 3 {
			a := domain.AccessID{UUID: uuid.New()}
			add("consent", c.UUID, 90, access.Authorized{Access: a, Citizen: who, Kind: access.OpenedDocument, Role: domain.RoleConsumer, Consumer: "0308357753", Document: domain.DocumentID{UUID: uuid.New()}, Version: 1, Type: "isiPlusCard", Purpose: "housingAllowance", Procedure: "housingApplication", Consent: c, Attempt: 1, At: at})
			add("access", who.UUID, 0, access.Disclosed{Access: a, Citizen: who, Outcome: access.Delivered, Attempt: 1, At: at})
		}
	}
	return events
}

func everyProjection() []projections.Projection {
	return []projections.Projection{wallet.New(), consentlog.New(), accesslog.New(), evidence.New()}
}

// BenchmarkRebuild is target T5: all projections from the log, beside the same rows
// inserted raw into tables that have their indexes, in batches, durably.
func BenchmarkRebuild(b *testing.B) {
	store, err := sqlite.Open(b.Context(), b.TempDir(), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	events := fill(b, store, 3000)
	dir := b.TempDir()
	all := everyProjection()
	medium, _ := projectiontest.OpenMedium(b, dir)
	r, err := projections.New(projections.Options{Medium: medium, Store: store, Codec: codec.Catalog, Logger: slog.New(slog.DiscardHandler)}, all...)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	if err := r.CatchUp(ctx); err != nil {
		b.Fatal(err)
	}
	var ours, raw time.Duration
	rows := 0
	for b.Loop() {
		began := time.Now()
		if err := r.Rebuild(ctx); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(began)
		took, n := rawInsert(b, dir, all)
		raw += took
		rows = n
	}
	stop()
	<-done
	b.ReportMetric(float64(events*b.N)/ours.Seconds(), "events/s")
	b.ReportMetric(float64(rows*b.N)/ours.Seconds(), "rows/s")
	b.ReportMetric(float64(rows*b.N)/raw.Seconds(), "rawRows/s")
	b.ReportMetric(raw.Seconds()/ours.Seconds(), "ratio")
}

// rawInsert copies every row of the read models into one new database and returns
// how long the inserts took.
func rawInsert(b *testing.B, dir string, all []projections.Projection) (took time.Duration, n int) {
	b.Helper()
	ctx := context.Background()
	for _, p := range all {
		files, err := filepath.Glob(filepath.Join(dir, p.Name()+".v*.db"))
		if err != nil || len(files) == 0 {
			b.Fatal("no read model", err)
		}
		from, err := sqlitedb.Open(ctx, files[len(files)-1], sqlitedb.Options{})
		if err != nil {
			b.Fatal(err)
		}
		to, err := sqlitedb.Open(ctx, filepath.Join(b.TempDir(), "raw.db"), sqlitedb.Options{})
		if err != nil {
			b.Fatal(err)
		}
		schema := p.Schema()
		if _, err := to.Writer.Exec(strings.ReplaceAll(schema.Tables, "BIGINT PRIMARY KEY", "INTEGER PRIMARY KEY") + schema.Indexes); err != nil {
			b.Fatal(err)
		}
		var tables []string
		if err := to.Reader.Select(&tables, `SELECT name FROM sqlite_schema WHERE type = 'table'`); err != nil {
			b.Fatal(err)
		}
		for _, table := range tables {
			all := [][]any{}
			rows, err := from.Reader.Queryx(`SELECT * FROM ` + table + ` ORDER BY rowid`)
			if err != nil {
				b.Fatal(err)
			}
			for rows.Next() {
				values, err := rows.SliceScan()
				if err != nil {
					b.Fatal(err)
				}
				all = append(all, values)
			}
			if len(all) == 0 {
				continue
			}
			began := time.Now()
			insertAll(b, to.Writer, table, all)
			took += time.Since(began)
			n += len(all)
		}
		from.Close()
		to.Close()
	}
	return took, n
}

func insertAll(b *testing.B, db *sqlx.DB, table string, all [][]any) {
	for len(all) > 0 {
		batch := all[:min(len(all), 4096)]
		all = all[len(batch):]
		tx, err := db.Beginx()
		if err != nil {
			b.Fatal(err)
		}
		s, err := tx.Preparex(fmt.Sprintf(`INSERT INTO %s VALUES (?%s)`, table, strings.Repeat(", ?", len(batch[0])-1)))
		if err != nil {
			b.Fatal(err)
		}
		for _, row := range batch {
			if _, err := s.Exec(row...); err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}
