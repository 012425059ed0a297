package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"time"

	"coffre/cmd/coffre/vault"
	"coffre/eventstore/proof/bundle"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
)

// auditing is T14: the large vault verified as coffre audit verify does, beside its records
// read in order and hashed by nothing else.
func (b *bench) auditing(ctx context.Context) error {
	dir, err := b.large(ctx)
	if err != nil {
		return err
	}
	if err := publish(ctx, dir); err != nil {
		return err
	}
	got, err := b.compare(ctx, "T14", func(ctx context.Context) (pace, error) {
		began := time.Now()
		n, err := hashRows(ctx, dir.File(sqlite.FileName))
		return over(n, began), err
	}, func(ctx context.Context) (pace, error) {
		began := time.Now()
		n, err := verifyAll(ctx, dir)
		return over(n, began), err
	})
	if err != nil {
		return err
	}
	return b.tell(got.measure("T14."+b.largeName(), "events/s", "raw ordered SELECT and SHA-256 of each row", ">= 0.6"))
}

// publish lets a vault that nobody serves build its tree and sign a checkpoint of all of it.
func publish(ctx context.Context, dir vault.DataDir) (err error) {
	v, err := serveAlone(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	_, err = v.Core.Proof.Finish(ctx)
	return err
}

// verifyAll verifies a vault's log, and returns how many events there are.
func verifyAll(ctx context.Context, dir vault.DataDir) (n int64, err error) {
	source, err := vault.OpenAuditSource(ctx, dir, vault.Config{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	r, err := bundle.VerifySource(ctx, source, bundle.Options{})
	if err == nil && (r.Wrong > 0 || r.Verified != r.Size) {
		err = fmt.Errorf("%d of %d events are verified, %d findings", r.Verified, r.Size, r.Wrong)
	}
	return r.Events, err
}

// hashRows reads the rows of a log in order and hashes the bytes of each.
func hashRows(ctx context.Context, file string) (n int64, err error) {
	conn, err := sqlitedb.OpenConn(ctx, file, rawOptions, sqlitedb.Read)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	rows, _, err := conn.Prepare(`SELECT position, stream, revision, type, time, id, sum, meta, clear, sealed FROM events ORDER BY position`)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var row []byte
	var sum [sha256.Size]byte
	for rows.Step() {
		row = row[:0]
		for column := range rows.ColumnCount() {
			row = append(row, rows.ColumnRawBlob(column)...)
		}
		sum = sha256.Sum256(row)
		n++
	}
	runtime.KeepAlive(sum)
	return n, errors.Join(rows.Err(), ctx.Err())
}
