package work

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/domain/consent"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/contract/wire"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/consentlog"
)

// ExportManifest is the stored description of an export: its filter, its state and, once
// the content is complete, the number of its rows and their SHA-256 in hexadecimal digits.
type ExportManifest struct {
	Export    uuid.UUID             `json:"export"`
	Kind      contract.ExportKind   `json:"kind"`
	Format    contract.ExportFormat `json:"format"`
	Filter    consentlog.Filter     `json:"narrowedTo"`
	State     contract.TaskState    `json:"state"`
	Created   time.Time             `json:"created"`
	Completed time.Time             `json:"completed,omitzero"`
	Rows      int64                 `json:"rows"`
	Sha256    string                `json:"sha256,omitempty"`
	// Checkpoint covers every event that the content was made of; absent when none did in time.
	Checkpoint string `json:"checkpoint,omitempty"`
}

// SaveExport keeps a new export, durably.
func (work *Worker) SaveExport(ctx context.Context, m ExportManifest) error {
	return work.exports.Add(ctx, m)
}

// ExportManifest returns the manifest of an export. It returns edge.ErrNoResource for an
// export that does not exist or has expired.
func (work *Worker) ExportManifest(ctx context.Context, id uuid.UUID) (ExportManifest, error) {
	m, err := work.exports.Find(ctx, id)
	switch {
	case err != nil:
		return ExportManifest{}, err
	case work.exportExpired(m):
		return ExportManifest{}, edge.ErrNoResource
	}
	return m, nil
}

// OpenExport returns the content of an export that is done and its size in bytes. The caller
// closes it. Errors are those of Exports.Open.
func (work *Worker) OpenExport(ctx context.Context, m ExportManifest) (io.ReadCloser, int64, error) {
	return work.exports.Open(ctx, m)
}

// exportExpired reports whether an export is older than ExportLifetime.
func (work *Worker) exportExpired(m ExportManifest) bool {
	return work.Now().Sub(m.Created) >= ExportLifetime
}

// Exports returns the manifests of all exports that are kept, in the order in which they were
// asked for.
func (work *Worker) Exports(ctx context.Context) ([]ExportManifest, error) {
	return work.exports.All(ctx)
}

// resumeExports makes the exports again that a crash cut off, of this process or of one that
// is gone.
func (work *Worker) resumeExports(ctx context.Context) error {
	all, err := work.exports.Unfinished(ctx)
	for _, m := range all {
		if !work.exportExpired(m) {
			work.EnqueueExport(m)
		}
	}
	return err
}

// removeOldExports removes expired exports.
func (work *Worker) removeOldExports(ctx context.Context) error {
	all, err := work.exports.All(ctx)
	if err != nil {
		return err
	}
	for _, m := range all {
		if !work.exportExpired(m) {
			continue
		}
		if err := work.exports.Remove(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// EnqueueExport enqueues the task that writes an export's content. An export that fails
// stays failed: another one has to be requested, which is on record, too.
func (work *Worker) EnqueueExport(m ExportManifest) {
	name := "export " + m.Export.String()
	if work.tasks.busy(name) {
		return // it is at it, or will be
	}
	work.tasks.enqueue(name, func(ctx context.Context) error {
		var rows int64
		var checkpoint string
		sum := sha256.New() // of this attempt
		return work.exports.Make(ctx, m, func(w io.Writer) (err error) {
			if rows, err = work.writeExport(ctx, m, io.MultiWriter(w, sum)); err == nil {
				checkpoint, err = work.checkpointAfter(ctx)
			}
			return err
		}, func(err error) (ExportManifest, error) {
			switch {
			case ctx.Err() != nil:
				return ExportManifest{}, ctx.Err() // the next start makes it
			case errors.Is(err, acting.ErrModelsBehind):
				return ExportManifest{}, err
			}
			ended := m
			ended.State, ended.Completed, ended.Rows, ended.Sha256 = contract.TaskStateDone, work.Timestamp(), rows, hex.EncodeToString(sum.Sum(nil))
			ended.Checkpoint = checkpoint
			if err != nil {
				work.Slog.ErrorContext(ctx, "an export failed", slog.String("export", m.Export.String()), slog.Any("error", err))
				ended.State, ended.Rows, ended.Sha256, ended.Checkpoint = contract.TaskStateFailed, 0, "", ""
			}
			return ended, nil
		})
	})
}

// checkpointTime bounds how long a finished export waits for a checkpoint that covers it.
const checkpointTime = 10 * time.Second

// checkpointAfter returns a checkpoint that covers the log as it is now, or nothing when none
// is signed in time.
func (work *Worker) checkpointAfter(ctx context.Context) (string, error) {
	if work.Proof == nil {
		return "", nil
	}
	limited, cancel := context.WithTimeout(ctx, checkpointTime)
	defer cancel()
	note, err := work.Proof.AwaitEnd(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = nil
	}
	return string(note), err
}

func (work *Worker) writeExport(ctx context.Context, m ExportManifest, w io.Writer) (rows int64, err error) {
	if err := work.WaitForHead(ctx, work.ConsentLog.Name()); err != nil {
		return 0, err
	}
	lines := rowWriters[m.Format](w)
	for d, err := range work.ConsentLog.Export(ctx, projections.Latest, m.Filter, "") {
		if err != nil {
			return 0, err
		}
		item, err := work.ConsentLogItem(ctx, d)
		if err != nil {
			return 0, err
		}
		if err := lines.write(item); err != nil {
			return 0, err
		}
		rows++
	}
	return rows, lines.end()
}

// rows writes an export line by line.
type rows interface {
	write(contract.ConsentLogItem) error
	end() error
}

var rowWriters = map[contract.ExportFormat]func(io.Writer) rows{
	contract.ExportFormatCsv:   newCSVRows,
	contract.ExportFormatJsonl: func(w io.Writer) rows { return jsonRows{wire.NewEncoder(w)} },
	contract.ExportFormatXlsx:  newXLSXRows,
}

// jsonRows writes one JSON object per line, with the names of the contract.
type jsonRows struct{ *wire.Encoder }

func (j jsonRows) write(item contract.ConsentLogItem) error { return j.Encode(item) }

func (j jsonRows) end() error { return nil }

// csvRows writes CSV by RFC 4180: a line of names first, CRLF, quotes where needed.
type csvRows struct{ *csv.Writer }

var csvNames = []string{
	"at", "decision", "consentId", "citizenId", "consumer", "purpose", "documentTypes", "documents", "fields",
	"until", "uses", "frequency", "dataLife", "role", "mandateId", "reason",
}

func newCSVRows(w io.Writer) rows {
	out := csvRows{csv.NewWriter(w)}
	out.UseCRLF = true
	_ = out.Write(csvNames) // it is buffered; Flush tells
	return out
}

func (c csvRows) write(i contract.ConsentLogItem) error {
	line := exportLine(i)
	for n := range line {
		line[n] = neutraliseFormula(line[n])
	}
	return c.Write(line)
}

// exportLine returns the values of a line in the order of csvNames.
func exportLine(i contract.ConsentLogItem) []string {
	frequency := ""
	if i.Limits.Frequency.Uses > 0 {
		frequency = fmt.Sprintf("%d per %s", i.Limits.Frequency.Uses, i.Limits.Frequency.Per)
	}
	mandate := ""
	if !i.MandateID.IsZero() {
		mandate = i.MandateID.String()
	}
	return []string{
		timeText(i.At), string(i.Decision), i.ConsentID.String(), i.CitizenID.String(), string(i.Consumer), string(i.Purpose),
		spaced(i.DocumentTypes), spaced(i.Documents), spaced(i.Fields), timeText(i.Until),
		numberText(i.Limits.Uses), frequency, numberText(i.Limits.DataLife), string(i.Role), mandate, string(i.Reason),
	}
}

func (c csvRows) end() error {
	c.Flush()
	return c.Error()
}

// neutraliseFormula prefixes a value that a spreadsheet would run as a formula.
func neutraliseFormula(value string) string {
	if value != "" && strings.ContainsRune("=+-@\t\r\n\x00", rune(value[0])) {
		return "'" + value
	}
	return value
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func numberText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// spaced joins words with spaces; no identifier or code of the vault contains one.
func spaced[T any](words []T) string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = fmt.Sprint(w)
	}
	return strings.Join(all, " ")
}

// ConsentLogItem returns a line of the consent log: the decision, the role of the person
// who took it, and the terms of the consent.
func (work *Worker) ConsentLogItem(ctx context.Context, d consentlog.Decision) (contract.ConsentLogItem, error) {
	c, known, err := work.ConsentLog.Consent(ctx, d.Consent, d.Leaf, d.At)
	if err != nil || !known {
		return contract.ConsentLogItem{}, errors.Join(err, errNoTerms(known))
	}
	item := contract.ConsentLogItem{
		Href: contract.ConsentHref(d.Consent), ConsentID: d.Consent, Decision: contract.ConsentDecision(d.Act), At: d.At, CitizenID: d.Citizen,
		Consumer: d.Consumer, Purpose: d.Purpose, Documents: c.Terms.Documents, DocumentTypes: c.Terms.Types, Fields: c.Terms.Fields,
		Until: d.Until, Limits: contract.LimitsShown(c.Terms.Limits), MandateID: d.Mandate, Reason: d.Reason, Role: deciderRole(d),
	}
	return item, nil
}

func errNoTerms(known bool) error {
	if known {
		return nil
	}
	return errors.New("a decision without a consent")
}

// deciderRole returns the role in which a decision was taken. A consent that ends by death
// is ended by the system.
func deciderRole(d consentlog.Decision) contract.ActorRole {
	switch {
	case d.Act == consentlog.Requested:
		return contract.ActorRoleConsumer
	case !d.Mandate.IsZero():
		return contract.ActorRoleRepresentative
	case d.Reason == consent.ByDeath:
		return contract.ActorRoleSystem
	}
	return contract.ActorRoleCitizen
}

// ExportLifetime is the age at which an export is removed.
const ExportLifetime = 7 * 24 * time.Hour
