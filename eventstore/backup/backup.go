// Package backup writes what a vault is into one encrypted archive, and reads it
// back: the key ring, the log, what the reactors did, and the attachments. Read models
// are not in it, because they follow from the log; neither is the key-encryption key
// nor the shred list, which are kept apart so that a stolen or an old archive opens
// nothing that was destroyed since.
//
// An archive is an age file (age-encryption.org/v1) whose content is a tar file:
// backup.json, then each part in members of at most 1 MiB, then the attachments, and
// at last manifest.json with the length and hash of everything before it. age finds
// every byte changed, left out or added; it does not tell who made the file.
//
// Invariant: nothing is written but through age, and both directions take constant
// memory.
package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"
	"time"

	"filippo.io/age"
)

// Format is the form of the archives that this program writes, and the newest that
// it reads.
const Format = 1

// Names of members, and limits.
const (
	leadName     = "backup.json"
	manifestName = "manifest.json"
	partsFolder  = "parts/"
	blobsFolder  = "blobs/"
	chunk        = 1 << 20  // bytes of a member of a part
	maxManifest  = 64 << 10 // bytes
	maxParts     = 16
	maxBlobName  = 200
)

// Errors of reading.
var (
	// ErrDamaged: the file is no archive, or not as it was written: changed, cut off, or
	// with something behind it.
	ErrDamaged = errors.New("backup: the file is not a whole backup: damaged, cut off, or none")
	// ErrNotForUs: none of the identities opens the archive.
	ErrNotForUs = errors.New("backup: none of these identities opens the file")
	// ErrNewer: a later version of Coffre wrote the archive.
	ErrNewer = errors.New("backup: the file was written by a newer version of Coffre")
)

// Sum is a SHA-256, in hexadecimal where it is text.
type Sum [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler.
func (s Sum) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(s[:])), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Sum) UnmarshalText(b []byte) error {
	if n, err := hex.Decode(s[:], b[:min(len(b), 2*len(s))]); err != nil || n != len(s) || len(b) != 2*len(s) {
		return errors.New("backup: not a SHA-256 in hexadecimal")
	}
	return nil
}

// Log is the end of the log in an archive.
type Log struct {
	Records int64     `json:"records"`
	Last    Sum       `json:"last"` // leaf hash of the last record (docs/log-format.md); zero when there is none
	At      time.Time `json:"at"`   // when it was recorded
}

// Keys are the versions of the key-encryption key that the key ring needs.
type Keys struct {
	Oldest int `json:"oldest"`
	Latest int `json:"latest"`
}

// Part is what a manifest says of one part.
type Part struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	SHA256 Sum    `json:"sha256"`
}

// BlobTotal is what a manifest says of all attachments: SHA256 is over each one's
// name, a zero byte, its length in eight bytes and its content, in the order of names.
type BlobTotal struct {
	Count  int64 `json:"count"`
	Size   int64 `json:"size"` // bytes
	SHA256 Sum   `json:"sha256"`
}

// Manifest describes the contents of an archive.
type Manifest struct {
	Format   int       `json:"format"`
	Software string    `json:"software"` // that wrote it
	Taken    time.Time `json:"taken"`    // the moment whose state it holds
	Finished time.Time `json:"finished"`
	Log      Log       `json:"log"`
	Keys     Keys      `json:"keys"`
	Parts    []Part    `json:"parts"`
	Blobs    BlobTotal `json:"blobs"`
}

// lead is the first member: enough to know whether the rest can be read.
type lead struct {
	Format   int       `json:"format"`
	Software string    `json:"software"`
	Taken    time.Time `json:"taken"`
}

// Source is one part to be written.
type Source struct {
	Name string // letters
	io.WriterTo
}

// Blobs gives the attachments, which are encrypted already.
type Blobs interface {
	// Walk calls each for every attachment in the order of names, each a path of
	// letters, digits and "._-" between slashes. What open says of one that was erased
	// meanwhile is fs.ErrNotExist.
	Walk(ctx context.Context, each func(name string, size int64, open func() (io.ReadCloser, error)) error) error
}

// Contents are the parts and attachments that go into an archive. Software, Taken, Log and Keys of the
// manifest are the caller's to fill.
type Contents struct {
	Manifest Manifest
	Parts    []Source
	Blobs    Blobs // nil: there are none
	Now      func() time.Time
}

// Write writes an archive that each of the recipients can open, and returns its
// manifest. What w got when Write fails is no archive.
func Write(ctx context.Context, w io.Writer, to []age.Recipient, c Contents) (Manifest, error) {
	if len(to) == 0 {
		return Manifest{}, ErrRecipient
	}
	sealed, err := age.Encrypt(w, to...)
	if err != nil {
		return Manifest{}, fmt.Errorf("encrypt the backup: %w", err)
	}
	out := &writer{ctx: ctx, tar: tar.NewWriter(sealed), manifest: c.Manifest}
	out.manifest.Format = Format
	if err := out.write(c); err != nil {
		return Manifest{}, fmt.Errorf("write the backup: %w", err)
	}
	if err := sealed.Close(); err != nil {
		return Manifest{}, fmt.Errorf("encrypt the backup: %w", err)
	}
	return out.manifest, nil
}

type writer struct {
	ctx      context.Context
	tar      *tar.Writer
	manifest Manifest
}

func (w *writer) write(c Contents) error {
	m := &w.manifest
	if err := w.json(leadName, lead{m.Format, m.Software, m.Taken}); err != nil {
		return err
	}
	for _, part := range c.Parts {
		if err := w.part(part); err != nil {
			return fmt.Errorf("%s: %w", part.Name, err)
		}
	}
	if err := w.blobs(c.Blobs); err != nil {
		return fmt.Errorf("attachments: %w", err)
	}
	m.Finished = c.Now().UTC()
	if err := w.json(manifestName, m); err != nil {
		return err
	}
	return w.tar.Close()
}

func (w *writer) header(name string, size int64) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	return w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, Format: tar.FormatPAX})
}

func (w *writer) member(name string, content []byte) error {
	if err := w.header(name, int64(len(content))); err != nil {
		return err
	}
	_, err := w.tar.Write(content)
	return err
}

func (w *writer) json(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return w.member(name, b)
}

func (w *writer) part(s Source) error {
	pieces := &pieces{w: w, name: s.Name, sum: sha256.New()}
	if _, err := s.WriteTo(pieces); err != nil {
		return err
	}
	if err := pieces.flush(); err != nil {
		return err
	}
	part := Part{Name: s.Name, Size: pieces.size}
	pieces.sum.Sum(part.SHA256[:0])
	w.manifest.Parts = append(w.manifest.Parts, part)
	return nil
}

// pieces makes members of a part whose length nobody knows before its end.
type pieces struct {
	w    *writer
	name string
	sum  hash.Hash
	size int64
	n    int
	buf  bytes.Buffer
}

func (p *pieces) Write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 {
		room := min(chunk-p.buf.Len(), len(b))
		p.buf.Write(b[:room])
		b, written = b[room:], written+room
		if p.buf.Len() == chunk {
			if err := p.flush(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

func (p *pieces) flush() error {
	if p.buf.Len() == 0 && p.n > 0 {
		return nil
	}
	p.sum.Write(p.buf.Bytes())
	p.size += int64(p.buf.Len())
	err := p.w.member(pieceName(p.name, p.n), p.buf.Bytes())
	p.buf.Reset()
	p.n++
	return err
}

func pieceName(part string, n int) string { return fmt.Sprintf("%s%s/%08d", partsFolder, part, n) }

func (w *writer) blobs(all Blobs) error {
	sum := sha256.New()
	total := &w.manifest.Blobs
	if all != nil {
		err := all.Walk(w.ctx, func(name string, size int64, open func() (io.ReadCloser, error)) error {
			if !blobName(name) {
				return errors.New("a name that no attachment has")
			}
			content, err := open()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			} else if err != nil {
				return err
			}
			defer content.Close()
			if err := w.header(blobsFolder+name, size); err != nil {
				return err
			}
			beginBlob(sum, name, size)
			if _, err := io.CopyN(io.MultiWriter(w.tar, sum), content, size); err != nil {
				return err
			}
			total.Count++
			total.Size += size
			return nil
		})
		if err != nil {
			return err
		}
	}
	sum.Sum(total.SHA256[:0])
	return nil
}

func beginBlob(sum hash.Hash, name string, size int64) {
	fmt.Fprintf(sum, "%s\x00", name)
	var length [8]byte
	for i := range length {
		length[i] = byte(size >> (56 - 8*i))
	}
	sum.Write(length[:])
}

// blobName reports whether a name is one that an attachment may have: a path that
// leads nowhere but below the folder it is put in.
func blobName(name string) bool {
	if len(name) > maxBlobName || name == "." || !fs.ValidPath(name) {
		return false
	}
	for _, step := range strings.Split(name, "/") {
		if strings.HasPrefix(step, ".") {
			return false
		}
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") == ""
}
