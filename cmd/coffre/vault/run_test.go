package vault

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// A vault whose registry cannot be served does not open, and says why; what was opened
// for it is closed, so that it opens as soon as there is one.
func TestOpenWithoutARegistry(t *testing.T) {
	dir := DataDir(t.TempDir())
	for range 2 {
		v, err := Open(t.Context(), dir, Options{Registry: fstest.MapFS{}})
		if err == nil {
			v.Close()
			t.Fatal("it opens without a registry")
		}
		if !strings.HasPrefix(err.Error(), "load the registry: ") {
			t.Errorf("it says %q", err)
		}
	}
	v, err := Open(t.Context(), dir, Options{Registry: os.DirFS("../../../deploy/registry")})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

// A part that fails is told, and the others go on until the instance is closed.
func TestRunTellsWhichPartFailed(t *testing.T) {
	v := &Instance{failed: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	broken, ended := errors.New("broken"), make(chan bool, 1)
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		v.run(ctx, []part{
			{"goes on", func(ctx context.Context) error { <-ctx.Done(); ended <- true; return ctx.Err() }},
			{"fails", func(context.Context) error { return broken }},
			{"ends", func(context.Context) error { return nil }},
		})
	}()
	if err := <-v.Failed(); !errors.Is(err, broken) || err.Error() != "fails: broken" {
		t.Errorf("told %v", err)
	}
	if len(ended) > 0 {
		t.Error("the part that goes on was stopped")
	}
	cancel()
	<-ran
	select {
	case err := <-v.Failed():
		t.Errorf("a part that was told to end failed: %v", err)
	default:
	}
}
