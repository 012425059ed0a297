package wallet_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/projections/projectiontest"
	"coffre/projections/wallet"
)

const benchDocuments = 10

// benchWallets returns wallets of ten documents of 1 KiB, and whose they are.
func benchWallets(b *testing.B, citizens int) (*wallet.Wallets, []domain.CitizenID, string) {
	b.Helper()
	w := projectiontest.NewWorld()
	holders := make([]domain.CitizenID, citizens)
	for i := range holders {
		holders[i].UUID = uuid.New()
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for range benchDocuments { // spread over the file, as years of issuing do
		for _, holder := range holders {
			id := domain.DocumentID{UUID: uuid.New()}
			typ, clear, _, err := codec.Catalog.Encode(document.Issued{Document: id, Citizen: holder, Type: "isiPlusCard", Issuer: "0206731645", ValidFrom: "2026-01-01", ValidUntil: "2030-12-31", At: at})
			if err != nil {
				b.Fatal(err)
			}
			r := eventstore.Record{ID: uuid.New(), Type: typ, Clear: clear, Meta: []byte(`{}`), Time: at, Sealed: make([]byte, 1100)}
			rand.Read(r.Sealed)
			if _, err := w.Append(context.Background(), eventstore.Batch{Stream: eventstore.Stream("document-" + id.String()), Expected: eventstore.Any, Records: []eventstore.Record{r}}); err != nil {
				b.Fatal(err)
			}
		}
	}
	wallets, dir := wallet.New(), b.TempDir()
	projectiontest.Start(b, w, dir, wallets).CaughtUp(b)
	return wallets, holders, dir
}

func BenchmarkOf(b *testing.B) {
	wallets, holders, dir := benchWallets(b, 2000)
	b.Run("wallet", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				n := 0
				err := wallets.Of(context.Background(), holders[i%len(holders)], -1, func(h *wallet.Held) error {
					n += len(h.Sealed)
					return nil
				})
				if err != nil || n != benchDocuments*1140 {
					b.Error(n, err)
				}
			}
		})
	})
	files, err := filepath.Glob(filepath.Join(dir, "wallet.*.db"))
	if err != nil || len(files) != 1 {
		b.Fatal(files, err)
	}
	db, err := sqlitedb.Open(context.Background(), files[0], sqlitedb.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s, err := db.Reader.Preparex(`SELECT citizen, document, type, version, state, sealed FROM versions WHERE from_leaf IN (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("raw", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			args := make([]any, benchDocuments)
			var c [6]sql.RawBytes
			for i := 0; pb.Next(); i++ {
				for j := range args {
					args[j] = int64(j*len(holders) + i%len(holders))
				}
				rows, err := s.Queryx(args...)
				if err != nil {
					b.Error(err)
					return
				}
				n := 0
				for rows.Next() {
					if err := rows.Scan(&c[0], &c[1], &c[2], &c[3], &c[4], &c[5]); err != nil {
						b.Error(err)
					}
					n += len(c[5])
				}
				if rows.Close(); n != benchDocuments*1140 {
					b.Error(fmt.Sprint(n))
				}
			}
		})
	})
}
