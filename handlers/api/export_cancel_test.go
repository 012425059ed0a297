package api

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/work"
)

func (tv *testVault) cancelExport(t testing.TB, who edge.Caller, id uuid.UUID) (contract.Export, error) {
	t.Helper()
	body := contract.ExportCancel{Reason: "noLongerWanted"}
	answer, err := tv.CancelExport(tv.as(t, who, "cancelExport", body), contract.CancelExportRequestObject{
		ExportID: id, Params: contract.CancelExportParams{IdempotencyKey: uuid.New()}, Body: &body,
	})
	if err != nil {
		return contract.Export{}, err
	}
	return contract.Export(answer.(contract.CancelExport200JSONResponse)), nil
}

// cancelled checks that an export is told as cancelled everywhere, and that nothing of its file
// is left.
func (tv *testVault) cancelled(t testing.TB, id uuid.UUID) {
	t.Helper()
	now, err := tv.exported(t, id)
	if err != nil || now.Status.State != contract.TaskStateCancelled || now.Status.Completed.IsZero() || now.Content != "" || now.Sha256 != "" || now.Manifest != "" || now.Rows != nil {
		t.Errorf("%+v %v", now, err)
	}
	list, err := tv.ListExports(tv.as(t, officer, "listExports", nil), contract.ListExportsRequestObject{Params: contract.ListExportsParams{State: []contract.TaskState{contract.TaskStateCancelled}}})
	if err != nil || len(list.(contract.ListExports200JSONResponse).Items) != 1 || list.(contract.ListExports200JSONResponse).Items[0].ExportID != id {
		t.Errorf("listed: %+v %v", list, err)
	}
	if _, err := tv.GetExportContent(tv.as(t, officer, "getExportContent", nil), contract.GetExportContentRequestObject{ExportID: id}); problemOf(err) != "exportNotDone" {
		t.Errorf("its content: %v", err)
	}
	if files, err := os.ReadDir(tv.exportFolder()); err != nil || len(files) != 1 {
		t.Errorf("left: %v %v", files, err)
	}
}

// An export that waits is cancelled, by any officer and once, and no start makes it or keeps
// what a crash left of it.
func TestExportThatWaitsIsCancelled(t *testing.T) {
	tv := newVault(t)
	tv.grantAndWithdraw(t)
	tv.stop()
	id := tv.export(t, contract.ExportCreate{Format: contract.ExportFormatCsv})
	second := officer
	second.Subject = "second officer"
	for range 2 {
		if now, err := tv.cancelExport(t, second, id); err != nil || now.Status.State != contract.TaskStateCancelled {
			t.Errorf("%+v %v", now, err)
		}
	}
	tv.cancelled(t, id)
	var on []audit.Operated
	for _, o := range recorded[audit.Operated](t, tv) {
		if o.Act == audit.CancelExport {
			on = append(on, o)
		}
	}
	if len(on) != 1 || on[0].On != id.String() || on[0].Reason != "noLongerWanted" {
		t.Errorf("on record: %+v", on)
	}
	if err := os.WriteFile(filepath.Join(tv.exportFolder(), id.String()+".csv.part"), []byte("half a li"), 0o600); err != nil {
		t.Fatal(err)
	}
	tv.restart()
	tv.waitIdle(t)
	tv.cancelled(t, id)
	if _, err := tv.cancelExport(t, officer, uuid.New()); problemOf(err) != "resourceNotFound" {
		t.Errorf("an export nobody asked for: %v", err)
	}
}

// slowExports keeps exports whose writing begins and then waits for its context to end.
type slowExports struct {
	*work.ExportFolder
	begun chan struct{}
}

func (s slowExports) Make(ctx context.Context, m work.ExportManifest, write func(context.Context, io.Writer) error, end func(error) (work.ExportManifest, error)) error {
	return s.ExportFolder.Make(ctx, m, func(ctx context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "half a li")
		close(s.begun)
		<-ctx.Done()
		return errors.Join(err, ctx.Err())
	}, end)
}

// An export that is being made stops when it is cancelled.
func TestExportThatIsMadeIsCancelled(t *testing.T) {
	tv := newVault(t)
	slow := slowExports{tv.Settings.Work.Exports.(*work.ExportFolder), make(chan struct{})}
	tv.restart(func(s *settings) { s.Work.Exports = slow })
	id := tv.export(t, contract.ExportCreate{Format: contract.ExportFormatCsv})
	<-slow.begun
	if now, err := tv.cancelExport(t, officer, id); err != nil || now.Status.State != contract.TaskStateCancelled {
		t.Fatalf("%+v %v", now, err)
	}
	tv.waitIdle(t)
	tv.Settings.Work.Exports = slow.ExportFolder
	tv.cancelled(t, id)
}

// What has ended stays as it is: its file is there, and nothing is on record.
func TestExportThatEndedIsNotCancelled(t *testing.T) {
	tv := newVault(t)
	id := tv.export(t, contract.ExportCreate{Format: contract.ExportFormatCsv})
	tv.waitIdle(t)
	if _, err := tv.cancelExport(t, officer, id); problemOf(err) != "exportEnded" {
		t.Errorf("%v", err)
	}
	for _, o := range recorded[audit.Operated](t, tv) {
		if o.Act == audit.CancelExport {
			t.Errorf("on record: %+v", o)
		}
	}
	if w := tv.fetch(t, id); w.Body.Len() == 0 {
		t.Error("its file is gone")
	}
}
