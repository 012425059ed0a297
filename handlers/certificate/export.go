package certificate

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"

	"coffre/domain"
	"coffre/eventstore/proof"
	"coffre/handlers/contract"
)

// Errors of manifests of exports and of their files.
var (
	// ErrManifest reports bytes that are not a manifest of an export.
	ErrManifest = errors.New("not a manifest of an export")
	// ErrManifestContent reports a signed manifest that contradicts itself.
	ErrManifestContent = errors.New("the manifest contradicts itself")
	// ErrFile reports a file other than the one that the manifest is of.
	ErrFile = errors.New("the file is not the one that the manifest is of")
)

// manifestKind is the first line of every manifest.
const manifestKind = "coffre export manifest v1\n"

// Manifest says what an export tells: of what, up to where, in how many rows, and the hash of
// its file. It is signed with the key of the log, as a signed note of C2SP. It names no citizen.
type Manifest struct {
	Export    uuid.UUID                `json:"export"`
	Kind      contract.ExportKind      `json:"kind"`
	Format    contract.ExportFormat    `json:"format"`
	Dialect   contract.ExportDialect   `json:"dialect,omitempty"`
	Separator contract.ExportSeparator `json:"separator,omitempty"`
	Rows      int64                    `json:"rows"`
	Sha256    string                   `json:"sha256"` // of the file, in hexadecimal digits
	Events    int64                    `json:"events"` // of the log that it tells of: the first ones
	AsOf      *time.Time               `json:"asOf,omitempty"`
	OnePerson bool                     `json:"onePerson,omitempty"` // it is about one person
	Consumer  domain.Organisation      `json:"consumer,omitempty"`
	Purpose   domain.Purpose           `json:"purpose,omitempty"`
	From      *time.Time               `json:"from,omitempty"`
	Until     *time.Time               `json:"until,omitempty"`
	Asked     time.Time                `json:"asked"`
	// Checkpoint is the signed checkpoint that covers the events. Without AsOf it ends where they
	// end.
	Checkpoint string `json:"checkpoint"`
}

// SignManifest returns a manifest as a signed note under the origin of its checkpoint.
func SignManifest(ctx context.Context, m Manifest, signer proof.Signer) ([]byte, error) {
	c, err := m.check()
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(m)
	said := jsontext.Value(b)
	if err == nil {
		err = said.Canonicalize()
	}
	if err != nil {
		return nil, fmt.Errorf("encode a manifest: %w", err)
	}
	note, err := proof.SignText(ctx, manifestKind+string(said)+"\n", c.Origin, signer)
	if err != nil {
		return nil, fmt.Errorf("sign a manifest: %w", err)
	}
	return note, nil
}

// check returns the checkpoint of a manifest that does not contradict itself.
func (m Manifest) check() (proof.Checkpoint, error) {
	c, err := proof.Peek([]byte(m.Checkpoint))
	if err != nil || m.Events < 0 || c.Size < m.Events || m.AsOf == nil && c.Size != m.Events || m.Rows < 0 || len(m.Sha256) != 2*sha256.Size {
		return c, ErrManifestContent
	}
	return c, nil
}

// ReadManifest verifies a manifest, and the checkpoint in it, with public keys of the log that
// the reader trusts, and returns it. Its errors are ErrManifest, proof.ErrSignature and
// ErrManifestContent.
func ReadManifest(signed []byte, keys ...ed25519.PublicKey) (m Manifest, err error) {
	said, ok := bytes.CutPrefix(signed, []byte(manifestKind))
	line, _, ended := bytes.Cut(said, []byte("\n"))
	if !ok || !ended || json.Unmarshal(line, &m) != nil {
		return m, ErrManifest
	}
	c, err := m.check()
	if err != nil {
		return m, err
	}
	switch text, err := proof.OpenText(signed, c.Origin, keys...); {
	case errors.Is(err, proof.ErrStatement):
		return m, ErrManifest
	case err != nil:
		return m, err
	case text != manifestKind+string(line)+"\n":
		return m, ErrManifest
	}
	if _, err := proof.Open([]byte(m.Checkpoint), keys...); err != nil {
		return m, err
	}
	return m, nil
}

// File is the bytes of an export.
type File interface {
	io.Reader
	io.ReaderAt
}

// CheckFile returns nil when a file of that many bytes is the one of the manifest: by its hash,
// and by the rows that it has. Otherwise the error is ErrFile. looked is told of bytes that
// were hashed. It returns ctx's error, too.
func (m Manifest) CheckFile(ctx context.Context, f File, size int64, looked func(bytes int64)) error {
	sum := sha256.New()
	counted := counter(func(n int64) error {
		looked(n)
		return ctx.Err()
	})
	if _, err := io.Copy(sum, io.TeeReader(io.NewSectionReader(f, 0, size), counted)); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != m.Sha256 {
		return fmt.Errorf("%w: its SHA-256 is another", ErrFile)
	}
	rows, err := m.countRows(f, size)
	if err != nil {
		return fmt.Errorf("%w: it is no %s", ErrFile, m.Format) // the cause would quote it
	}
	if rows != m.Rows {
		return fmt.Errorf("%w: it has %d rows and not %d", ErrFile, rows, m.Rows)
	}
	return nil
}

// counter is told how many bytes are written to it, and ends that with an error.
type counter func(int64) error

func (c counter) Write(b []byte) (int, error) { return len(b), c(int64(len(b))) }

// countRows counts the rows of a file in its own format.
func (m Manifest) countRows(f File, size int64) (rows int64, err error) {
	in := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 1<<16)
	switch m.Format {
	case contract.ExportFormatParquet:
		file, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
		if err != nil {
			return 0, err
		}
		return file.NumRows(), nil
	case contract.ExportFormatXlsx:
		return rowsOfWorkbook(f, size)
	case contract.ExportFormatJsonl:
		for {
			_, err := in.ReadSlice('\n')
			switch {
			case err == nil:
				rows++
			case errors.Is(err, bufio.ErrBufferFull):
			case errors.Is(err, io.EOF):
				return rows, nil
			default:
				return 0, err
			}
		}
	default:
		lines := csv.NewReader(in)
		lines.ReuseRecord, lines.LazyQuotes = true, true
		lines.Comma = m.comma()
		for rows = -1; ; rows++ { // the first line has names
			if _, err := lines.Read(); errors.Is(err, io.EOF) {
				return max(rows, 0), nil
			} else if err != nil {
				return 0, err
			}
		}
	}
}

// comma returns what stands between the values of CSV.
func (m Manifest) comma() rune {
	switch {
	case m.Separator == contract.ExportSeparatorTab:
		return '\t'
	case m.Separator == contract.ExportSeparatorSemicolon, m.Separator == "" && m.Dialect == contract.ExportDialectSpreadsheet:
		return ';'
	}
	return ','
}

// rowsOfWorkbook counts the rows of all sheets, without the names on top of each.
func rowsOfWorkbook(f File, size int64) (rows int64, err error) {
	book, err := zip.NewReader(f, size)
	if err != nil {
		return 0, err
	}
	for _, part := range book.File {
		if !strings.HasPrefix(part.Name, "xl/worksheets/") {
			continue
		}
		sheet, err := part.Open()
		if err != nil {
			return 0, err
		}
		n, err := rowsOfSheet(sheet)
		if err = errors.Join(err, sheet.Close()); err != nil {
			return 0, err
		}
		rows += n - 1
	}
	return rows, nil
}

func rowsOfSheet(sheet io.Reader) (rows int64, err error) {
	for tokens := xml.NewDecoder(bufio.NewReaderSize(sheet, 1<<16)); ; {
		token, err := tokens.RawToken()
		if errors.Is(err, io.EOF) {
			return rows, nil
		} else if err != nil {
			return 0, err
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "row" {
			rows++
		}
	}
}
