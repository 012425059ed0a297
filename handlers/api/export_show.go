package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/handlers/work"
)

// GetExport implements GET /exports/{id}: the state of an export. Any privacy officer may
// follow the export of another.
func (v *Vault) GetExport(ctx context.Context, r contract.GetExportRequestObject) (contract.GetExportResponseObject, error) {
	m, err := v.ExportManifest(ctx, r.ExportID)
	if err != nil {
		return nil, err
	}
	return contract.GetExport200JSONResponse(v.exportItem(m)), nil
}

func (v *Vault) exportItem(m work.ExportManifest) contract.Export {
	item := contract.Export{
		Href: contract.ExportHref(m.Export), ExportID: m.Export, Kind: m.Kind, Format: m.Format, Sha256: m.Sha256, Checkpoint: m.Checkpoint, Manifest: m.Signed,
		Status: contract.TaskProgress{State: m.State, Completed: m.Completed},
	}
	switch m.State {
	case contract.TaskStateProcessing:
		item.Status.PollAfter = v.Now().UTC().Add(edge.PollAfter)
		if rows, here := v.ExportProgress(m.Export); here {
			item.Rows = &rows
		}
	case contract.TaskStateFailed:
		item.Status.Problem = edge.TaskProblem(errExport)
	case contract.TaskStateDone:
		item.Content, item.Rows, item.Events = item.Href+"/content", &m.Rows, &m.Events
	}
	return item
}

var (
	errExport        = domain.NewError(domain.Unavailable, "exportFailed", "the file could not be made; ask for a new export")
	errExportNotDone = domain.NewError(domain.Conflict, "exportNotDone", "the file is not there yet")
)

// GetExportContent implements GET /exports/{id}/content: the file of an export that is
// done, once the download is on record.
func (v *Vault) GetExportContent(ctx context.Context, r contract.GetExportContentRequestObject) (contract.GetExportContentResponseObject, error) {
	m, err := v.ExportManifest(ctx, r.ExportID)
	switch {
	case err != nil:
		return nil, err
	case m.State != contract.TaskStateDone:
		return nil, errExportNotDone
	}
	if err := v.recordLook(ctx, v.NewIntent(ctx), audit.Operate{Act: audit.DownloadExport, On: m.Export.String()}); err != nil {
		return nil, err
	}
	content, size, err := v.OpenExport(ctx, m)
	if err != nil {
		return nil, err
	}
	answer := &exportContent{ExportManifest: m, file: content, sent: disclosure.Whole(size)}
	if err := answer.narrow(r.Params, size); err != nil {
		return nil, errors.Join(err, content.Close())
	}
	return answer, nil
}

// exportContent sends a file of any size in constant memory, for as long as the client goes
// on reading.
type exportContent struct {
	work.ExportManifest
	file io.ReadSeekCloser
	sent disclosure.ByteRange
}

// resumed reports whether a download of the format may go on where it broke off: a reader of
// lines can use what came so far, and one of the other formats starts at the file's end.
func (c *exportContent) resumed() bool {
	return c.Format == contract.ExportFormatCsv || c.Format == contract.ExportFormatJsonl
}

func (c *exportContent) tag() string { return `"` + c.Sha256 + `"` }

// narrow takes the range that is asked for, where the format has ranges and the asker means
// this file.
func (c *exportContent) narrow(p contract.GetExportContentParams, size int64) (err error) {
	if !c.resumed() || p.IfRange != "" && p.IfRange != c.tag() {
		return nil
	}
	if c.sent, err = disclosure.ParseRange(p.Range, size); err != nil {
		return err
	}
	if _, err := c.file.Seek(c.sent.From, io.SeekStart); err != nil {
		return fmt.Errorf("find the rest of an export: %w", err)
	}
	return nil
}

var mediaTypes = map[contract.ExportFormat]string{
	contract.ExportFormatCsv:     "text/csv",
	contract.ExportFormatJsonl:   "application/jsonl",
	contract.ExportFormatXlsx:    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	contract.ExportFormatParquet: "application/vnd.apache.parquet",
}

// fileNames are how the files of each kind are called, before the number of the export.
var fileNames = map[contract.ExportKind]string{
	contract.ExportKindConsentLog: "consent-log", contract.ExportKindAccessLog: "access-log",
	contract.ExportKindRefusals: "refusals", contract.ExportKindRegister: "register-of-consents",
	contract.ExportKindAuditTrail: "audit-trail",
}

// VisitGetExportContentResponse implements GetExportContentResponseObject.
func (c *exportContent) VisitGetExportContentResponse(w http.ResponseWriter) (err error) {
	defer func() { err = errors.Join(err, c.file.Close()) }()
	h := w.Header()
	h.Set("Content-Type", mediaTypes[c.Format])
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-%s.%s"`, fileNames[c.Kind], c.Export, c.Format))
	h.Set("ETag", c.tag())
	h.Set("Accept-Ranges", "none")
	if c.resumed() {
		h.Set("Accept-Ranges", "bytes")
	}
	w.WriteHeader(c.sent.Head(h))
	if _, err := io.CopyBuffer(edge.NewDeadlineWriter(w), io.LimitReader(c.file, c.sent.Length()), make([]byte, 1<<20)); err != nil {
		return fmt.Errorf("send an export: %w", err)
	}
	return nil
}
