package disclosure

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/google/uuid"

	"coffre/eventstore/blob"
	"coffre/eventstore/seal"
	"coffre/handlers/edge"
)

// OpenExportContent returns the content of an export, which lies sealed under a key of its own
// in a store of files; size is its bytes, 1 or more, before it was sealed. The first piece is
// opened here, so that a content that cannot be read is refused before an answer begins. The
// caller closes it. It returns blob.ErrNotFound, and errors of the store and of tampering.
func OpenExportContent(ctx context.Context, from blob.Store, name uuid.UUID, key []byte, size int64) (io.ReadSeekCloser, error) {
	file := seal.OpenFile(key, size, func(offset int64) (io.ReadCloser, error) { return from.Open(ctx, name, offset) })
	begun := bufio.NewReaderSize(file, edge.PieceSize)
	if _, err := begun.Peek(1); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &exportContent{begun, file}, nil
}

// exportContent reads a sealed file by pieces.
type exportContent struct {
	*bufio.Reader
	file *seal.OpenedFile
}

// Seek implements io.Seeker. It opens the piece there.
func (c *exportContent) Seek(offset int64, whence int) (int64, error) {
	at, err := c.file.Seek(offset, whence)
	if err != nil {
		return 0, err
	}
	c.Reset(c.file)
	if _, err := c.Peek(1); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return at, nil
}

// Close implements io.Closer.
func (c *exportContent) Close() error { return c.file.Close() }
