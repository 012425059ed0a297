package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/handlers/contract"
)

// A privacy officer sees with one command every export that is kept, however many pages.
func TestExportListShowsEveryPage(t *testing.T) {
	ids := []uuid.UUID{uuid.New(), uuid.New()}
	asked := 0
	sh := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method+" "+r.URL.Path != "GET /vault/v1/exports" {
			t.Errorf("asked for %s %s", r.Method, r.URL.Path)
		}
		page := contract.ExportList{Items: []contract.Export{{ExportID: ids[asked], Kind: contract.ExportKindConsentLog, Format: contract.ExportFormatCsv, Status: contract.TaskProgress{State: contract.TaskStateDone}}}}
		if asked++; asked == 1 {
			page.NextCursor = "theNext"
		} else if r.URL.Query().Get("after") != "theNext" {
			t.Errorf("the second page was asked for by %s", r.URL.RawQuery)
		}
		answer(t, w, 200, page)
	})
	out := sh.must(0, "export", "list", "--data", t.TempDir()).out
	for _, id := range ids {
		if strings.Count(out, id.String()) != 1 {
			t.Errorf("%s is not shown once in\n%s", id, out)
		}
	}
}
