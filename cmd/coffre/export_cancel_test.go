package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/handlers/contract"
)

// A privacy officer cancels an export with one command, which says how the export is then.
func TestExportCancel(t *testing.T) {
	sh := answering(t, func(w http.ResponseWriter, r *http.Request) {
		var ask contract.ExportCancel
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || r.Method+" "+r.URL.Path != "POST /vault/v1/exports/"+exportID+"/cancel" || ask.Reason != "noLongerWanted" {
			t.Errorf("asked for %s %s, %+v, %v", r.Method, r.URL.Path, ask, err)
		}
		answer(t, w, 200, contract.Export{ExportID: uuid.MustParse(exportID), Status: contract.TaskProgress{State: contract.TaskStateCancelled}})
	})
	if out := sh.must(0, "export", "cancel", exportID, "--reason", "noLongerWanted", "--data", t.TempDir()).out; !strings.Contains(out, "cancelled") {
		t.Errorf("out %q", out)
	}
	sh.must(exitUsage, "export", "cancel", exportID, "--data", t.TempDir())
	sh.must(exitUsage, "export", "cancel", "mine", "--reason", "noLongerWanted", "--data", t.TempDir())
}
