package certificates_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"coffre/eventstore/certificates"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite/sqlitedb"
)

// The latest certificate of an erasure is kept, beside the ring of one machine and of several.
func TestKept(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		db, err := keysdb.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		kept(t, db)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		db, _, err := keysdb.OpenPostgres(t.Context(), pgtest.Shared(t).Database(t))
		if err != nil {
			t.Fatal(err)
		}
		kept(t, db)
	})
}

func kept(t *testing.T, db *keysdb.DB) {
	defer db.Close()
	ctx := t.Context()
	k, err := certificates.In(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	one, other, who := uuid.New(), uuid.New(), uuid.New()
	if _, err := k.Find(ctx, one); !errors.Is(err, certificates.ErrNone) {
		t.Errorf("before anything: %v", err)
	}
	if same, err := k.Says(ctx, one, nil); same || err != nil {
		t.Errorf("before anything: %v, %v", same, err)
	}
	first := certificates.Certificate{Erasure: one, Citizen: who, Says: []byte("until May"), Signed: []byte(`{"signed":1}`)}
	last := certificates.Certificate{Erasure: one, Citizen: who, Final: true, Says: []byte("final"), Signed: []byte(`{"signed":2}`)}
	for _, c := range []certificates.Certificate{{Erasure: other, Citizen: who, Says: []byte("x"), Signed: []byte("y")}, first, first} {
		if err := k.Keep(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	open, err := k.Open(ctx)
	if err != nil || len(open) != 2 || open[0].Citizen != who || open[0].Erasure != one && open[1].Erasure != one {
		t.Errorf("open: %+v, %v", open, err)
	}
	if got, err := k.Find(ctx, one); string(got) != `{"signed":1}` || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	for says, want := range map[string]bool{"until May": true, "until June": false, "": false} {
		if same, err := k.Says(ctx, one, []byte(says)); same != want || err != nil {
			t.Errorf("%q: %v, %v", says, same, err)
		}
	}
	if err := k.Keep(ctx, last); err != nil {
		t.Fatal(err)
	}
	if k, err = certificates.In(ctx, db); err != nil { // as another process opens it
		t.Fatal(err)
	}
	if got, err := k.Find(ctx, one); string(got) != `{"signed":2}` || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if open, err := k.Open(ctx); err != nil || len(open) != 1 || open[0].Erasure != other {
		t.Errorf("open: %+v, %v", open, err)
	}
}
