package work

import (
	"bufio"
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

// An export is two files in one folder, named by its id alone: a manifest and,
// once it is whole, the content. Both hold ids, codes and times only, and are
// readable by their owner only. A manifest that says "processing" at start is of an
// export that a crash cut off: it is made again.

// Manifest is what is kept of an export.
type Manifest struct {
	Export    uuid.UUID             `json:"export"`
	Kind      contract.ExportKind   `json:"kind"`
	Format    contract.ExportFormat `json:"format"`
	Filter    consentlog.Filter     `json:"filter"`
	State     contract.TaskState    `json:"state"`
	Created   time.Time             `json:"created"`
	Completed time.Time             `json:"completed,omitzero"`
	Rows      int64                 `json:"rows"`
	Sha256    string                `json:"sha256,omitempty"`
}

func (work *Worker) ExportFile(m Manifest) string {
	return filepath.Join(work.exports, m.Export.String()+"."+string(m.Format))
}

const manifestSuffix = ".manifest"

func (work *Worker) manifestFile(id uuid.UUID) string {
	return filepath.Join(work.exports, id.String()+manifestSuffix)
}

func (work *Worker) KeepManifest(m Manifest) error {
	b, err := json.Marshal(m)
	if err == nil {
		err = writeWhole(work.manifestFile(m.Export), func(w io.Writer) error {
			_, err := w.Write(b)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("keep an export's manifest: %w", err)
	}
	return nil
}

// Manifest reads one that is not too old, or refuses.
func (work *Worker) Manifest(id uuid.UUID) (Manifest, error) {
	m, err := readManifest(work.manifestFile(id))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Manifest{}, edge.ErrNoResource
	case err != nil:
		return Manifest{}, err
	case work.tooOld(m):
		return Manifest{}, edge.ErrNoResource
	}
	return m, nil
}

func (work *Worker) tooOld(m Manifest) bool { return work.Now().Sub(m.Created) >= exportKeptFor }

func readManifest(path string) (Manifest, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Manifest{}, fmt.Errorf("read an export's manifest: %w", err)
	}
	var m Manifest
	if json.Unmarshal(b, &m) != nil {
		return Manifest{}, errors.New("read an export's manifest: not readable")
	}
	return m, nil
}

func (work *Worker) manifests() ([]Manifest, error) {
	paths, err := filepath.Glob(filepath.Join(work.exports, "*"+manifestSuffix))
	if err != nil {
		return nil, fmt.Errorf("list exports: %w", err)
	}
	var all []Manifest
	for _, path := range paths {
		m, err := readManifest(path)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// resumeExports makes again what a crash cut off.
func (work *Worker) resumeExports() error {
	all, err := work.manifests()
	for _, m := range all {
		if m.State == contract.TaskStateProcessing {
			work.MakeExport(m)
		}
	}
	return err
}

// removeOldExports removes files that nobody is shown any more.
func (work *Worker) removeOldExports() error {
	all, err := work.manifests()
	if err != nil {
		return err
	}
	for _, m := range all {
		if !work.tooOld(m) {
			continue
		}
		for _, path := range []string{work.ExportFile(m), temporary(work.ExportFile(m)), work.manifestFile(m.Export)} {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove an old export: %w", err)
			}
		}
	}
	return nil
}

// MakeExport has the file made. What cannot be made fails for good: who needs it
// asks for another, which is on record, too.
func (work *Worker) MakeExport(m Manifest) {
	work.tasks.put("export "+m.Export.String(), func(ctx context.Context) error {
		rows, sum, err := work.writeExport(ctx, m)
		switch {
		case ctx.Err() != nil:
			return ctx.Err() // the next start makes it
		case errors.Is(err, acting.ErrModelsBehind):
			return err
		}
		m.State, m.Completed, m.Rows, m.Sha256 = contract.TaskStateDone, work.Timestamp(), rows, sum
		if err != nil {
			work.Slog.ErrorContext(ctx, "an export failed", slog.String("export", m.Export.String()), slog.Any("error", err))
			m.State, m.Rows, m.Sha256 = contract.TaskStateFailed, 0, ""
		}
		return work.KeepManifest(m)
	})
}

func (work *Worker) writeExport(ctx context.Context, m Manifest) (rows int64, sum string, err error) {
	if err := work.WaitForHead(ctx, work.ConsentLog.Name()); err != nil {
		return 0, "", err
	}
	hash := sha256.New()
	err = writeWhole(work.ExportFile(m), func(w io.Writer) error {
		lines := rowWriters[m.Format](io.MultiWriter(w, hash))
		for d, err := range work.ConsentLog.Export(ctx, projections.Latest, m.Filter, "") {
			if err != nil {
				return err
			}
			item, err := work.DecisionItem(ctx, d)
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

// temporary names the file that is being written, beside the one it becomes.
func temporary(path string) string { return path + ".part" }

// writeWhole makes a file of what write writes: whole and durable, or not at all.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(temporary(path), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
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
		return errors.Join(err, os.Remove(temporary(path)))
	}
	if err := os.Rename(temporary(path), path); err != nil {
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
}

// jsonRows writes one JSON object a line, in the words of the contract.
type jsonRows struct{ *wire.Encoder }

func (j jsonRows) write(item contract.ConsentLogItem) error { return j.Encode(item) }

func (j jsonRows) end() error { return nil }

// csvRows writes RFC 4180: a line of names first, CRLF, quotes where needed.
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
	frequency := ""
	if i.Limits.Frequency.Uses > 0 {
		frequency = fmt.Sprintf("%d per %s", i.Limits.Frequency.Uses, i.Limits.Frequency.Per)
	}
	mandate := ""
	if !i.MandateID.IsZero() {
		mandate = i.MandateID.String()
	}
	line := []string{
		timeText(i.At), string(i.Decision), i.ConsentID.String(), i.CitizenID.String(), string(i.Consumer), string(i.Purpose),
		spaced(i.DocumentTypes), spaced(i.Documents), spaced(i.Fields), timeText(i.Until),
		numberText(i.Limits.Uses), frequency, numberText(i.Limits.DataLife), string(i.Role), mandate, string(i.Reason),
	}
	for n := range line {
		line[n] = inert(line[n])
	}
	return c.Write(line)
}

func (c csvRows) end() error {
	c.Flush()
	return c.Error()
}

// inert keeps a spreadsheet from taking a value for a formula.
func inert(value string) string {
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

// spaced writes words with spaces between them; none of ours holds one.
func spaced[T any](words []T) string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = fmt.Sprint(w)
	}
	return strings.Join(all, " ")
}

// DecisionItem is a line of the consent log: what was decided, by whom, about what.
func (work *Worker) DecisionItem(ctx context.Context, d consentlog.Decision) (contract.ConsentLogItem, error) {
	c, known, err := work.ConsentLog.Consent(ctx, d.Consent, d.Leaf, d.At)
	if err != nil || !known {
		return contract.ConsentLogItem{}, errors.Join(err, errNoTerms(known))
	}
	item := contract.ConsentLogItem{
		Href: contract.ConsentHref(d.Consent), ConsentID: d.Consent, Decision: contract.ConsentDecision(d.Act), At: d.At, CitizenID: d.Citizen,
		Consumer: d.Consumer, Purpose: d.Purpose, Documents: c.Terms.Documents, DocumentTypes: c.Terms.Types, Fields: c.Terms.Fields,
		Until: d.Until, Limits: contract.LimitsShown(c.Terms.Limits), MandateID: d.Mandate, Reason: d.Reason, Role: decidedBy(d),
	}
	return item, nil
}

func errNoTerms(known bool) error {
	if known {
		return nil
	}
	return errors.New("a decision without a consent")
}

// decidedBy is in which role a decision was taken. The end of a consent by death is
// nobody's.
func decidedBy(d consentlog.Decision) contract.ActorRole {
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

// exportKeptFor is how old exports get.
const exportKeptFor = 7 * 24 * time.Hour
