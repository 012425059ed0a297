package vault

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"

	"coffre/domain/citizen"
	"coffre/eventstore/postgres/pgtest"
	"coffre/handlers/acting"
)

// saidSettings takes of a log what a process says of settings.
type saidSettings struct {
	mu   sync.Mutex
	told []string
}

func (s *saidSettings) Enabled(context.Context, slog.Level) bool { return true }
func (s *saidSettings) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *saidSettings) WithGroup(string) slog.Handler            { return s }

func (s *saidSettings) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if names, ok := a.Value.Any().([]string); ok && a.Key == "settings" {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.told = append(s.told, names...)
		}
		return true
	})
	return nil
}

func (s *saidSettings) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told)
}

// A process that was started with another key of tokens, or other settings that all must share, than
// one that runs on the same keys is told which; one with the same is told nothing, and neither is one
// whose neighbour has ended.
func TestAProcessIsToldWhatItDoesNotShare(t *testing.T) {
	at := pgtest.Shared(t).Database(t)
	first, second := DataDir(t.TempDir()), DataDir(t.TempDir())
	open := func(dir DataDir, o Options) (*Instance, []string) {
		t.Helper()
		var said saidSettings
		o.Duty, o.Dev, o.Stores, o.Logger = Alone, true, StoresConfig{Log: at}, slog.New(&said)
		v, err := Open(t.Context(), dir, o)
		if err != nil {
			t.Fatal(err)
		}
		return v, said.names()
	}
	shut := func(v *Instance) {
		t.Helper()
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
	copied := func(name string) {
		t.Helper()
		content, err := os.ReadFile(first.File(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(second.File(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one, told := open(first, Options{})
	if len(told) > 0 {
		t.Errorf("alone it is told of %q", told)
	}
	copied(KEKFile)
	two, told := open(second, Options{Limits: acting.Limits{"uploads.caller": 3}, Retentions: &citizen.Retentions{Backups: 30}})
	if want := []string{retentionSettings, "COFFRE_LIMITS", DevKeyFile}; !slices.Equal(told, want) {
		t.Errorf("it is told of %q, want %q", told, want)
	}
	shut(two)
	copied(DevKeyFile)
	two, told = open(second, Options{})
	if len(told) > 0 {
		t.Errorf("with all the same it is told of %q", told)
	}
	shut(one)
	shut(two)
	two, told = open(second, Options{Limits: acting.Limits{"uploads.caller": 3}})
	if len(told) > 0 {
		t.Errorf("when nobody else runs it is told of %q", told)
	}
	shut(two)
}
