package api

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/handlers/contract"
)

// Privacy officers find every export that is kept, page by page, whoever asked for it.
func TestExportsAreListed(t *testing.T) {
	tv := newVault(t)
	second := officer
	second.Subject = "second officer"
	var asked []uuid.UUID
	for range 4 {
		asked = append(asked, tv.export(t, contract.ExportCreate{Format: contract.ExportFormatJsonl}))
		if len(asked) != 2 { // the second and the third are of one moment
			tv.Clock.Advance(time.Minute)
		}
	}
	tv.waitIdle(t)
	list := func(p contract.ListExportsParams) (ids []uuid.UUID, pages int) {
		t.Helper()
		for {
			answer, err := tv.ListExports(tv.as(t, second, "listExports", nil), contract.ListExportsRequestObject{Params: p})
			if err != nil {
				t.Fatal(err)
			}
			page := answer.(contract.ListExports200JSONResponse)
			for _, e := range page.Items {
				ids = append(ids, e.ExportID)
			}
			pages++
			if p.After = page.NextCursor; p.After == "" {
				return ids, pages
			}
		}
	}
	slices.SortFunc(asked[1:3], func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	if got, pages := list(contract.ListExportsParams{PageSize: 1}); !slices.Equal(got, asked) || pages != 3 {
		t.Errorf("%v on %d pages, want %v", got, pages, asked)
	}
	done := contract.ListExportsParams{State: []contract.TaskState{contract.TaskStateDone}}
	if got, _ := list(done); !slices.Equal(got, asked) {
		t.Errorf("done: %v", got)
	}
	done.State = []contract.TaskState{contract.TaskStateFailed}
	if got, _ := list(done); len(got) != 0 {
		t.Errorf("failed: %v", got)
	}
}
