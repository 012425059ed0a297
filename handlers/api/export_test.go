package api

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/work"
)

func (tv *testVault) export(t testing.TB, body contract.ExportCreate) uuid.UUID {
	t.Helper()
	body.Kind = cmp.Or(body.Kind, contract.ExportKindConsentLog)
	answer, err := tv.CreateExport(tv.as(t, officer, "createExport", body), contract.CreateExportRequestObject{
		Params: contract.CreateExportParams{IdempotencyKey: uuid.New()}, Body: &body,
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer.(contract.CreateExport202JSONResponse).Body.ExportID
}

// exportFolder returns where the exports of the only process lie.
func (tv *testVault) exportFolder() string {
	return tv.Settings.Work.Exports.(*work.ExportFolder).Dir
}

func (tv *testVault) exported(t testing.TB, id uuid.UUID) (contract.Export, error) {
	t.Helper()
	answer, err := tv.GetExport(tv.as(t, officer, "getExport", nil), contract.GetExportRequestObject{ExportID: id})
	if err != nil {
		return contract.Export{}, err
	}
	return contract.Export(answer.(contract.GetExport200JSONResponse)), nil
}

func (tv *testVault) fetch(t testing.TB, id uuid.UUID) *httptest.ResponseRecorder {
	t.Helper()
	answer, err := tv.GetExportContent(tv.as(t, officer, "getExportContent", nil), contract.GetExportContentRequestObject{ExportID: id})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := answer.VisitGetExportContentResponse(w); err != nil {
		t.Fatal(err)
	}
	return w
}

// discount is the request for a consent that railways may have.
var discount = contract.ConsentGrant{Consumer: railways, Purpose: "familyDiscount"}

// grantAndWithdraw grants and withdraws consents, for lines of the consent log.
func (tv *testVault) grantAndWithdraw(t testing.TB) {
	t.Helper()
	tv.household(t, 1)
	ana := tv.person(t, 1)
	for range 3 {
		if err := tv.withdraw(t, ana, tv.consentTo(t, ana, discount)); err != nil {
			t.Fatal(err)
		}
		tv.Clock.Advance(time.Minute)
	}
	tv.waitIdle(t)
}

func TestExportCSV(t *testing.T) {
	tv := newVault(t)
	tv.grantAndWithdraw(t)
	id := tv.export(t, contract.ExportCreate{Format: contract.ExportFormatCsv, Consumer: railways})
	if made := recorded[audit.ExportCreated](t, tv); len(made) != 1 || made[0].Export != id || made[0].Consumer != railways {
		t.Errorf("on record: %+v", made)
	}
	tv.waitIdle(t)
	done, err := tv.exported(t, id)
	if err != nil || done.Status.State != contract.TaskStateDone || !is(done.Rows, 6) || done.Status.Completed.IsZero() {
		t.Fatalf("%+v %v", done, err)
	}
	w := tv.fetch(t, id)
	sum := sha256.Sum256(w.Body.Bytes())
	if done.Sha256 != hex.EncodeToString(sum[:]) {
		t.Error("the hash is another file's")
	}
	if got := w.Header().Get("Content-Disposition"); !strings.HasPrefix(got, "attachment;") || w.Header().Get("Content-Type") != "text/csv" {
		t.Errorf("%v", w.Header())
	}
	if strings.Count(w.Body.String(), "\r\n") != 7 || strings.Contains(w.Body.String(), "Canary") {
		t.Errorf("%q", w.Body.String())
	}
	lines, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || len(lines) != 7 || strings.Join(lines[0], " ") != "decidedAt decision consentId citizenRef consumer purpose documentTypes documentIds fieldNames validUntil maxUses frequency dataLifeDays actorRole mandateId reasonCode" {
		t.Fatalf("%v %v", lines, err)
	}
	if lines[1][1] != "granted" || lines[2][1] != "withdrawn" || lines[1][4] != string(railways) || lines[1][6] != "householdComposition" || lines[1][13] != "citizen" {
		t.Errorf("%v", lines[1:3])
	}
	files, err := os.ReadDir(tv.exportFolder())
	if err != nil || len(files) != 2 {
		t.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || info.Mode().Perm() != 0o600 || !strings.HasPrefix(f.Name(), id.String()) {
			t.Errorf("%s %v %v", f.Name(), info.Mode(), err)
		}
	}
}

func TestExportJSONL(t *testing.T) {
	tv := newVault(t)
	tv.grantAndWithdraw(t)
	id := tv.export(t, contract.ExportCreate{Format: contract.ExportFormatJsonl, From: new(noon.Add(30 * time.Second))})
	tv.waitIdle(t)
	w := tv.fetch(t, id)
	var n int
	for line := range bytes.Lines(w.Body.Bytes()) {
		var item struct {
			CitizenRef domain.CitizenRef
			DecidedAt  time.Time
		}
		if err := json.Unmarshal(line, &item); err != nil || item.CitizenRef.IsZero() || item.DecidedAt.Before(noon.Add(30*time.Second)) {
			t.Fatalf("%s %v", line, err)
		}
		n++
	}
	if done, err := tv.exported(t, id); err != nil || n != 4 || !is(done.Rows, 4) {
		t.Errorf("%d lines, %+v %v", n, done, err)
	}
	if w.Header().Get("Content-Type") != "application/jsonl" {
		t.Error(w.Header())
	}
}

// A workbook is served as one, whole.
func TestExportXLSX(t *testing.T) {
	tv := newVault(t)
	tv.grantAndWithdraw(t)
	id := tv.export(t, contract.ExportCreate{Format: contract.ExportFormatXlsx})
	tv.waitIdle(t)
	w := tv.fetch(t, id)
	sum := sha256.Sum256(w.Body.Bytes())
	if done, err := tv.exported(t, id); err != nil || !is(done.Rows, 6) || done.Sha256 != hex.EncodeToString(sum[:]) {
		t.Errorf("%+v %v", done, err)
	}
	if _, err := zip.NewReader(bytes.NewReader(w.Body.Bytes()), int64(w.Body.Len())); err != nil {
		t.Error(err)
	}
	if got := w.Header(); got.Get("Content-Type") != "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" || !strings.HasSuffix(got.Get("Content-Disposition"), `.xlsx"`) {
		t.Errorf("%v", got)
	}
}

// An export whose process ends while the file is written is completed by the next start.
func TestExportSurvivesARestart(t *testing.T) {
	tv := newVault(t)
	tv.grantAndWithdraw(t)
	tv.stop()
	id := tv.export(t, contract.ExportCreate{Format: contract.ExportFormatCsv})
	if err := os.WriteFile(filepath.Join(tv.exportFolder(), id.String()+".csv.part"), []byte("half a li"), 0o600); err != nil {
		t.Fatal(err)
	}
	if now, err := tv.exported(t, id); err != nil || now.Status.State != contract.TaskStateProcessing || now.Status.PollAfter.IsZero() {
		t.Fatalf("%+v %v", now, err)
	}
	if _, err := tv.GetExportContent(tv.as(t, officer, "getExportContent", nil), contract.GetExportContentRequestObject{ExportID: id}); problemOf(err) != "exportNotDone" {
		t.Errorf("%v", err)
	}
	tv.restart()
	tv.waitIdle(t)
	if now, err := tv.exported(t, id); err != nil || now.Status.State != contract.TaskStateDone || !is(now.Rows, 6) {
		t.Errorf("%+v %v", now, err)
	}
	if files, err := os.ReadDir(tv.exportFolder()); err != nil || len(files) != 2 {
		t.Errorf("%v %v", files, err)
	}
}

func TestOldExportsAreRemoved(t *testing.T) {
	tv := newVault(t)
	id := tv.export(t, contract.ExportCreate{Format: contract.ExportFormatCsv})
	tv.waitIdle(t)
	tv.Clock.Advance(7*24*time.Hour - time.Minute)
	tv.fetch(t, id)
	tv.Clock.Advance(time.Minute)
	if _, err := tv.exported(t, id); problemOf(err) != "resourceNotFound" {
		t.Errorf("%v", err)
	}
	tv.restart()
	tv.waitIdle(t)
	if files, err := os.ReadDir(tv.exportFolder()); err != nil || len(files) != 0 {
		t.Errorf("%v %v", files, err)
	}
}

func TestFailedExport(t *testing.T) {
	tv := newVault(t)
	tv.stop()
	id := tv.export(t, contract.ExportCreate{Format: contract.ExportFormatCsv})
	if err := os.Mkdir(filepath.Join(tv.exportFolder(), id.String()+".csv.part"), 0o700); err != nil {
		t.Fatal(err)
	}
	tv.restart()
	tv.waitIdle(t)
	if now, err := tv.exported(t, id); err != nil || now.Status.State != contract.TaskStateFailed || now.Status.Problem.Type != edge.ProblemPrefix+"exportFailed" {
		t.Errorf("%+v %v", now, err)
	}
	if _, err := tv.exported(t, uuid.New()); problemOf(err) != "resourceNotFound" {
		t.Errorf("an export nobody asked for: %v", err)
	}
	body := contract.ExportCreate{Kind: contract.ExportKindConsentLog, Format: contract.ExportFormatCsv, Purpose: "=evil"}
	if _, err := tv.CreateExport(tv.as(t, officer, "createExport", body), contract.CreateExportRequestObject{Params: contract.CreateExportParams{IdempotencyKey: uuid.New()}, Body: &body}); problemOf(err) == "" {
		t.Error("a purpose the registry does not know is recorded in clear")
	}
}

func TestConsentLogNewestFirst(t *testing.T) {
	tv := newVault(t)
	tv.grantAndWithdraw(t)
	var seen []contract.ConsentLogItem
	ask := func(body contract.ConsentLogQuery, after contract.Cursor) contract.ConsentLog {
		t.Helper()
		answer, err := tv.QueryConsentLog(tv.as(t, officer, "queryConsentLog", body), contract.QueryConsentLogRequestObject{
			Params: contract.QueryConsentLogParams{After: after, PageSize: 4}, Body: &body,
		})
		if err != nil {
			t.Fatal(err)
		}
		return contract.ConsentLog(answer.(contract.QueryConsentLog200JSONResponse))
	}
	for cursor := contract.Cursor(""); ; {
		page := ask(contract.ConsentLogQuery{SSIN: ssin(1)}, cursor)
		seen = append(seen, page.Items...)
		if page.Next == "" {
			break
		}
		_, query, _ := strings.Cut(page.Next, "after=")
		cursor, _, _ = strings.Cut(query, "&")
	}
	if len(seen) != 6 || !slices.IsSortedFunc(seen, func(a, b contract.ConsentLogItem) int { return b.At.Compare(a.At) }) || seen[0].Decision != contract.ConsentDecisionWithdrawn {
		t.Errorf("%+v", seen)
	}
	if page := ask(contract.ConsentLogQuery{Decision: []contract.ConsentDecision{contract.ConsentDecisionGranted}}, ""); len(page.Items) != 3 {
		t.Errorf("%d granted", len(page.Items))
	}
	if page := ask(contract.ConsentLogQuery{SSIN: ssin(2)}, ""); len(page.Items) != 0 {
		t.Error("somebody unknown decided something")
	}
}

// A download that broke off goes on where it did, of the same file only, and of the formats that
// are read line by line.
func TestADownloadGoesOn(t *testing.T) {
	tv := newVault(t)
	tv.grantAndWithdraw(t)
	fetch := func(id uuid.UUID, p contract.GetExportContentParams) (*httptest.ResponseRecorder, error) {
		answer, err := tv.GetExportContent(tv.as(t, officer, "getExportContent", nil), contract.GetExportContentRequestObject{ExportID: id, Params: p})
		if err != nil {
			return nil, err
		}
		w := httptest.NewRecorder()
		return w, answer.VisitGetExportContentResponse(w)
	}
	for format, ranges := range map[contract.ExportFormat]string{
		contract.ExportFormatCsv: "bytes", contract.ExportFormatJsonl: "bytes", contract.ExportFormatXlsx: "none", contract.ExportFormatParquet: "none",
	} {
		id := tv.export(t, contract.ExportCreate{Format: format})
		tv.waitIdle(t)
		made, err := tv.exported(t, id)
		if err != nil {
			t.Fatal(err)
		}
		all := tv.fetch(t, id)
		whole, tag := all.Body.String(), all.Header().Get("ETag")
		if tag != `"`+made.Sha256+`"` || all.Header().Get("Accept-Ranges") != ranges {
			t.Errorf("%s: %v", format, all.Header())
		}
		for name, test := range map[string]struct {
			asked contract.GetExportContentParams
			from  int
			part  bool
		}{
			"of this file":       {contract.GetExportContentParams{Range: "bytes=100-", IfRange: tag}, 100, true},
			"of any file":        {contract.GetExportContentParams{Range: "bytes=1-"}, 1, true},
			"of another file":    {contract.GetExportContentParams{Range: "bytes=100-", IfRange: `"` + strings.Repeat("0", 64) + `"`}, 0, false},
			"by a date":          {contract.GetExportContentParams{Range: "bytes=100-", IfRange: "Sat, 28 Nov 2026 19:00:00 GMT"}, 0, false},
			"of nothing":         {contract.GetExportContentParams{IfRange: tag}, 0, false},
			"in another measure": {contract.GetExportContentParams{Range: "lines=3-", IfRange: tag}, 0, false},
		} {
			got, err := fetch(id, test.asked)
			if err != nil {
				t.Fatalf("%s, %s: %v", format, name, err)
			}
			status, from, where := http.StatusOK, 0, ""
			if test.part && ranges == "bytes" {
				status, from, where = http.StatusPartialContent, test.from, fmt.Sprintf("bytes %d-%d/%d", test.from, len(whole)-1, len(whole))
			}
			if got.Code != status || got.Body.String() != whole[from:] || got.Header().Get("Content-Range") != where || got.Header().Get("ETag") != tag || got.Header().Get("Content-Length") != fmt.Sprint(len(whole)-from) {
				t.Errorf("%s, %s: %d, %d bytes of %d, %v", format, name, got.Code, got.Body.Len(), len(whole), got.Header())
			}
		}
		if _, err := fetch(id, contract.GetExportContentParams{Range: fmt.Sprintf("bytes=%d-", len(whole))}); ranges == "bytes" && problemOf(err) != "rangeNotSatisfiable" {
			t.Errorf("%s: a range behind the end: %v", format, err)
		}
	}
}
