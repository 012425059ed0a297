package postgres

import (
	"bytes"
	"errors"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
)

// TestDiskFullForReal keeps the log on a small file system of its own and fills it
// (scenario R6). It needs the right to mount.
func TestDiskFullForReal(t *testing.T) {
	server := pgtest.Start(t)
	dsn := server.Database(t)
	_, resize := server.SmallDisk(t, dsn, 24)
	s := openStore(t, dsn, Options{})
	appended := 0
	add := func() error {
		b := some1("consent-1")
		b.Records[0].Sealed = bytes.Repeat([]byte{7}, 50<<10)
		_, err := s.Append(t.Context(), b)
		if err == nil {
			appended++
		}
		return err
	}
	var err error
	for err == nil {
		err = add()
	}
	if !errors.Is(err, eventstore.ErrDiskFull) || appended < 50 {
		t.Fatalf("after %d appends: %v, want ErrDiskFull", appended, err)
	}
	if !s.Short() {
		t.Error("nothing says that the disk is full")
	}
	if n, err := readAll(t.Context(), s); err != nil || n != appended {
		t.Fatalf("on a full disk %d records, %v, want %d", n, err, appended)
	}
	// It opens and reads on a full disk.
	if n, err := readAll(t.Context(), openStore(t, dsn, Options{})); err != nil || n != appended {
		t.Fatalf("opened on a full disk: %d records, %v, want %d", n, err, appended)
	}
	resize(64)
	for range 20 { // without being reopened
		if err := add(); err != nil {
			t.Fatalf("with room again: %v", err)
		}
	}
	if n, err := readAll(t.Context(), s); err != nil || n != appended {
		t.Fatalf("%d records, %v, want %d", n, err, appended)
	}
}
