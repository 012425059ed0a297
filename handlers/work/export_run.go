package work

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/contract/wire"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/consentlog"
)

// An export is two files in one folder, named by its id alone: a manifest and, once it is
// complete, the content. Both hold ids, codes and times only, and are readable by their
// owner only. An export whose manifest says "processing" at a start was cut off by a crash
// and is made again.

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

// ExportFile returns the path of an export's content.
func (work *Worker) ExportFile(m ExportManifest) string {
	return filepath.Join(work.exports, m.Export.String()+"."+string(m.Format))
}

const manifestSuffix = ".manifest"

func (work *Worker) manifestFile(id uuid.UUID) string {
	return filepath.Join(work.exports, id.String()+manifestSuffix)
}

// SaveExportManifest stores a manifest durably in place of the one before.
func (work *Worker) SaveExportManifest(m ExportManifest) error {
	b, err := json.Marshal(m)
	if err == nil {
		err = writeAtomically(work.manifestFile(m.Export), func(w io.Writer) error {
			_, err := w.Write(b)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("keep an export's manifest: %w", err)
	}
	return nil
}

// ExportManifest reads the manifest of an export. It returns edge.ErrNoResource for an
// export that does not exist or has expired.
func (work *Worker) ExportManifest(id uuid.UUID) (ExportManifest, error) {
	m, err := readManifest(work.manifestFile(id))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ExportManifest{}, edge.ErrNoResource
	case err != nil:
		return ExportManifest{}, err
	case work.exportExpired(m):
		return ExportManifest{}, edge.ErrNoResource
	}
	return m, nil
}

// exportExpired reports whether an export is older than ExportLifetime.
func (work *Worker) exportExpired(m ExportManifest) bool {
	return work.Now().Sub(m.Created) >= ExportLifetime
}

func readManifest(path string) (ExportManifest, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return ExportManifest{}, fmt.Errorf("read an export's manifest: %w", err)
	}
	var m ExportManifest
	var former formerManifest
	if json.Unmarshal(b, &m) != nil || json.Unmarshal(b, &former) != nil {
		return ExportManifest{}, errors.New("read an export's manifest: not readable")
	}
	if f := former.Filter; f != nil {
		m.Filter = f.narrowed()
	}
	return m, nil
}

// formerManifest is the part of a manifest that was written otherwise once: a filter whose
// zero times stood for no bound. Such exports may be waiting when a newer vault starts.
type formerManifest struct {
	Filter *formerFilter `json:"filter"`
}

type formerFilter struct {
	Consumer    domain.Organisation
	Purpose     domain.Purpose
	From, Until time.Time
}

func (f formerFilter) narrowed() consentlog.Filter {
	out := consentlog.Filter{Consumer: f.Consumer, Purpose: f.Purpose}
	if (f.From != time.Time{}) {
		out.From = &f.From
	}
	if (f.Until != time.Time{}) {
		out.Until = &f.Until
	}
	return out
}

func (work *Worker) manifests() ([]ExportManifest, error) {
	entries, err := os.ReadDir(work.exports) // and no pattern, in which the folder's name would count
	if err != nil {
		return nil, fmt.Errorf("list exports: %w", err)
	}
	var all []ExportManifest
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), manifestSuffix) {
			continue
		}
		m, err := readManifest(filepath.Join(work.exports, entry.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// Exports returns the manifests of all exports that are kept, in the order in which they were
// asked for.
func (work *Worker) Exports() ([]ExportManifest, error) {
	all, err := work.manifests()
	slices.SortFunc(all, func(a, b ExportManifest) int {
		return cmp.Or(a.Created.Compare(b.Created), bytes.Compare(a.Export[:], b.Export[:]))
	})
	return all, err
}

// resumeExports makes the exports again that a crash cut off.
func (work *Worker) resumeExports() error {
	all, err := work.manifests()
	for _, m := range all {
		if m.State == contract.TaskStateProcessing {
			work.EnqueueExport(m)
		}
	}
	return err
}

// removeOldExports removes the files of expired exports.
func (work *Worker) removeOldExports() error {
	all, err := work.manifests()
	if err != nil {
		return err
	}
	for _, m := range all {
		if !work.exportExpired(m) {
			continue
		}
		for _, path := range []string{work.ExportFile(m), partPath(work.ExportFile(m)), work.manifestFile(m.Export)} {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove an old export: %w", err)
			}
		}
	}
	return nil
}

// EnqueueExport enqueues the task that writes an export's content. An export that fails
// stays failed: another one has to be requested, which is on record, too.
func (work *Worker) EnqueueExport(m ExportManifest) {
	work.tasks.enqueue("export "+m.Export.String(), func(ctx context.Context) error {
		rows, sum, err := work.writeExport(ctx, m)
		if err == nil {
			m.Checkpoint, err = work.checkpointAfter(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err() // the next start makes it
		case errors.Is(err, acting.ErrModelsBehind):
			return err
		}
		m.State, m.Completed, m.Rows, m.Sha256 = contract.TaskStateDone, work.Timestamp(), rows, sum
		if err != nil {
			work.Slog.ErrorContext(ctx, "an export failed", slog.String("export", m.Export.String()), slog.Any("error", err))
			m.State, m.Rows, m.Sha256, m.Checkpoint = contract.TaskStateFailed, 0, "", ""
		}
		return work.SaveExportManifest(m)
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
	head, err := work.Log.Head(ctx)
	if err != nil {
		return "", fmt.Errorf("end of the log: %w", err)
	}
	leaf, err := work.Log.Leaves().Leaf(ctx, head)
	if err != nil {
		return "", fmt.Errorf("end of the log: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, checkpointTime)
	defer cancel()
	note, err := work.Proof.Await(limited, leaf)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = nil
	}
	return string(note), err
}

func (work *Worker) writeExport(ctx context.Context, m ExportManifest) (rows int64, sum string, err error) {
	if err := work.WaitForHead(ctx, work.ConsentLog.Name()); err != nil {
		return 0, "", err
	}
	hash := sha256.New()
	err = writeAtomically(work.ExportFile(m), func(w io.Writer) error {
		lines := rowWriters[m.Format](io.MultiWriter(w, hash))
		for d, err := range work.ConsentLog.Export(ctx, projections.Latest, m.Filter, "") {
			if err != nil {
				return err
			}
			item, err := work.ConsentLogItem(ctx, d)
			if err != nil {
				return err
			}
			if err := lines.write(item); err != nil {
				return err
			}
			rows++
		}
		return lines.end()
	})
	return rows, hex.EncodeToString(hash.Sum(nil)), err
}

// partPath returns the path of the unfinished file, beside the one it becomes.
func partPath(path string) string { return path + ".part" }

// writeAtomically creates a file from the bytes that write gives: complete and durable, or
// not at all.
func writeAtomically(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(partPath(path), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(f, 1<<16)
	err = write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(partPath(path)))
	}
	if err := os.Rename(partPath(path), path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
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
