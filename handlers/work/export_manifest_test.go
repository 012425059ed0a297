package work

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/handlers/contract"
	"coffre/projections/consentlog"
)

// An export that waits when a newer vault starts is made of what was asked for: in the
// manifests of former versions a zero time stood for no bound.
func TestManifestsOfFormerVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x"+manifestSuffix)
	read := func(filter string) consentlog.Filter {
		t.Helper()
		if err := os.WriteFile(path, []byte(`{"export":"0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44","kind":"consentLog","format":"csv",`+filter+`,"state":"processing","created":"2026-03-01T12:00:00Z","rows":0}`), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := readManifest(path)
		if err != nil || m.State != contract.TaskStateProcessing {
			t.Fatalf("%+v, %v", m, err)
		}
		return m.Filter
	}
	former := read(`"filter":{"Citizen":"00000000-0000-0000-0000-000000000000","Consumer":"0671516647","Purpose":"","From":"0001-01-01T00:00:00Z","Until":"2026-02-01T00:00:00Z"}`)
	if former.Citizen != nil || former.Consumer != "0671516647" || former.From != nil || former.Until == nil || former.Until.Month() != time.February {
		t.Errorf("a former manifest: %+v", former)
	}
	if now := read(`"narrowedTo":{"until":"0001-01-01T00:00:00Z"}`); now.From != nil || now.Until == nil || !now.Until.IsZero() {
		t.Errorf("F1 a manifest until a zero time: %+v", now)
	}
	folder := NewExportFolder(t.TempDir())
	id := uuid.New()
	if err := folder.Add(t.Context(), ExportManifest{Export: id, Filter: consentlog.Filter{Until: new(time.Time{})}}); err != nil {
		t.Fatal(err)
	}
	if m, err := folder.Find(t.Context(), id); err != nil || m.Filter.From != nil || m.Filter.Until == nil || !m.Filter.Until.IsZero() {
		t.Errorf("F1 kept and read: %+v, %v", m.Filter, err)
	}
}
