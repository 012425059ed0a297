package backup

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"filippo.io/age"

	"coffre/eventstore/sqlite/sqlitedb"
)

// Target takes the parts and attachments of an archive in the order in which they come. Until Read returned nil none of it
// may be used: that the file was cut off shows at its end only.
type Target interface {
	// Part takes one part, to the end of r. It returns ErrUnknownPart for one that it
	// has no place for.
	Part(ctx context.Context, name string, r io.Reader) error
	// Blob takes one attachment, to the end of r.
	Blob(ctx context.Context, name string, size int64, r io.Reader) error
}

// ErrUnknownPart: an archive holds a part that this program does not know.
var ErrUnknownPart = fmt.Errorf("%w: it has a part that this program does not know", ErrNewer)

// Read opens an archive with one of the identities, gives it to into, and returns
// its manifest, which what was read agrees with. It returns ErrDamaged, ErrNotForUs,
// ErrNewer, or an error of into or ctx.
func Read(ctx context.Context, r io.Reader, with []age.Identity, into Target) (Manifest, error) {
	plain, err := age.Decrypt(bufio.NewReaderSize(r, 64<<10), with...)
	if _, others := errors.AsType[*age.NoIdentityMatchError](err); others {
		return Manifest{}, ErrNotForUs
	} else if err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	in := &reader{ctx: ctx, plain: plain, tar: tar.NewReader(plain), into: into, blobSum: sha256.New()}
	m, err := in.read()
	if err != nil {
		return Manifest{}, err
	}
	return m, nil
}

type reader struct {
	ctx     context.Context
	plain   io.Reader
	tar     *tar.Reader
	into    Target
	next    *tar.Header // read ahead
	parts   []Part
	blobs   BlobTotal
	blobSum hash.Hash
	last    string // the attachment before
}

// damaged says that the archive is not as it was written, and how.
func damaged(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return ErrDamaged
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// header returns the next member's, io.EOF behind the last.
func (r *reader) header() (*tar.Header, error) {
	if h := r.next; h != nil {
		r.next = nil
		return h, nil
	}
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	h, err := r.tar.Next()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	} else if err != nil {
		return nil, damaged(err)
	}
	if h.Typeflag != tar.TypeReg || h.Size < 0 {
		return nil, ErrDamaged
	}
	return h, nil
}

// must is header where the archive may not end yet.
func (r *reader) must() (*tar.Header, error) {
	h, err := r.header()
	if errors.Is(err, io.EOF) {
		return nil, ErrDamaged
	}
	return h, err
}

func (r *reader) json(into any) error {
	b, err := io.ReadAll(io.LimitReader(r.tar, maxManifest+1))
	if err != nil || len(b) > maxManifest {
		return damaged(err)
	}
	if json.Unmarshal(b, into) != nil {
		return ErrDamaged
	}
	return nil
}

func (r *reader) read() (Manifest, error) {
	h, err := r.must()
	if err != nil {
		return Manifest{}, err
	}
	var first lead
	if h.Name != leadName {
		return Manifest{}, ErrDamaged
	} else if err := r.json(&first); err != nil {
		return Manifest{}, err
	} else if first.Format > Format {
		return Manifest{}, ErrNewer
	} else if first.Format < 1 {
		return Manifest{}, ErrDamaged
	}
	for {
		h, err := r.must()
		if err != nil {
			return Manifest{}, err
		}
		switch {
		case h.Name == manifestName:
			return r.manifest(first)
		case strings.HasPrefix(h.Name, partsFolder) && r.blobs.Count == 0:
			err = r.part(h)
		case strings.HasPrefix(h.Name, blobsFolder):
			err = r.blob(h)
		default:
			err = ErrDamaged
		}
		if err != nil {
			return Manifest{}, err
		}
	}
}

func (r *reader) part(h *tar.Header) error {
	name, _, _ := strings.Cut(strings.TrimPrefix(h.Name, partsFolder), "/")
	known := slices.ContainsFunc(r.parts, func(p Part) bool { return p.Name == name })
	if known || h.Name != pieceName(name, 0) || len(r.parts) == maxParts {
		return ErrDamaged
	}
	in := &partReader{r: r, name: name, sum: sha256.New()}
	err := r.into.Part(r.ctx, name, in)
	switch {
	case in.err != nil:
		return in.err
	case errors.Is(err, sqlitedb.ErrCopy):
		return damaged(err)
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case !in.ended:
		return damaged(fmt.Errorf("%s is longer than it should be", name))
	}
	part := Part{Name: name, Size: in.size}
	in.sum.Sum(part.SHA256[:0])
	r.parts = append(r.parts, part)
	return nil
}

// partReader joins the members of one part.
type partReader struct {
	r     *reader
	name  string
	n     int
	sum   hash.Hash
	size  int64
	ended bool
	err   error // of the archive, whatever the target makes of it
}

func (p *partReader) Read(b []byte) (int, error) {
	for {
		if p.err != nil {
			return 0, p.err
		}
		if p.ended {
			return 0, io.EOF
		}
		n, err := p.r.tar.Read(b)
		p.sum.Write(b[:n])
		p.size += int64(n)
		switch {
		case n > 0:
			return n, nil
		case errors.Is(err, io.EOF):
			p.err = p.advance()
		case err != nil:
			p.err = damaged(err)
		}
	}
}

// advance goes to the part's next member, or ends it.
func (p *partReader) advance() error {
	h, err := p.r.must()
	if err != nil {
		return err
	}
	p.n++
	if h.Name != pieceName(p.name, p.n) {
		p.r.next, p.ended = h, true
	}
	return nil
}

func (r *reader) blob(h *tar.Header) error {
	name := strings.TrimPrefix(h.Name, blobsFolder)
	if !blobName(name) || name == r.last {
		return ErrDamaged
	}
	r.last = name
	beginBlob(r.blobSum, name, h.Size)
	in := &watched{r: io.TeeReader(r.tar, r.blobSum)}
	err := r.into.Blob(r.ctx, name, h.Size, in)
	switch {
	case in.err != nil:
		return damaged(in.err)
	case err != nil:
		return fmt.Errorf("an attachment: %w", err)
	case in.n != h.Size:
		return damaged(errors.New("an attachment is longer than it should be"))
	}
	r.blobs.Count++
	r.blobs.Size += h.Size
	return nil
}

// watched remembers what went wrong while it was read.
type watched struct {
	r   io.Reader
	n   int64
	err error
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	w.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// manifest reads it, sees to it that nothing follows, and holds what was read
// against it.
func (r *reader) manifest(first lead) (Manifest, error) {
	var m Manifest
	if err := r.json(&m); err != nil {
		return Manifest{}, err
	}
	if _, err := r.header(); !errors.Is(err, io.EOF) {
		return Manifest{}, damaged(err)
	}
	if n, err := io.Copy(io.Discard, r.plain); err != nil || n > 0 {
		return Manifest{}, damaged(err)
	}
	r.blobSum.Sum(r.blobs.SHA256[:0])
	if m.Format != first.Format || m.Software != first.Software || !m.Taken.Equal(first.Taken) || !slices.Equal(m.Parts, r.parts) || m.Blobs != r.blobs {
		return Manifest{}, damaged(errors.New("its parts are not those of its manifest"))
	}
	return m, nil
}
