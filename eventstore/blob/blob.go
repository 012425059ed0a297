// Package blob is the port behind which large sealed files lie, outside the log and
// the databases: a folder on one machine, or a store that speaks S3.
//
// Invariant: what lies here was sealed before it came, under a key that is kept
// elsewhere, and its name is a random UUID: whoever reads all of it learns how many
// files there are, how large, and when they came.
package blob

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/google/uuid"
)

var (
	// ErrNotFound: there is no blob of that name.
	ErrNotFound = errors.New("blob: no such blob")
	// ErrExists: there is a blob of that name. A blob never changes.
	ErrExists = errors.New("blob: there is such a blob already")
	// ErrSize: the content does not have the size that was said.
	ErrSize = errors.New("blob: the content has another size than was said")
	// ErrUnavailable: the medium cannot be reached, refuses, or has no room.
	ErrUnavailable = errors.New("blob: not available now")
)

// Store keeps blobs. All methods may be called concurrently. Errors of the medium
// wrap ErrUnavailable; when ctx ended they wrap ctx.Err() too.
type Store interface {
	// Put stores what content gives until io.EOF, in memory that does not grow with it.
	// size is how many bytes that is. On nil the blob is there, whole and durable. On an error nothing of it is there, unless the medium did not answer:
	// then it may be there whole, and Delete settles it. An error of content is wrapped.
	// It returns ErrSize when content has more or fewer bytes than size, and ErrExists for a name that is taken, whose blob stays as it was.
	Put(ctx context.Context, name uuid.UUID, content io.Reader, size int64) error

	// Open returns the bytes of a blob from an offset, 0 or more, to its end; beyond
	// the end there are none. ctx bounds the reading too. The caller closes it. It
	// returns ErrNotFound.
	Open(ctx context.Context, name uuid.UUID, offset int64) (io.ReadCloser, error)

	// Delete removes a blob, durably. One that is not there is no error.
	Delete(ctx context.Context, name uuid.UUID) error

	// Walk calls each with every blob that is there from beginning to end of the walk,
	// in no order, and ends with its error if it returns one. What is not a blob is
	// passed over. each may call Delete.
	Walk(ctx context.Context, each func(Info) error) error
}

// Info describes a stored blob.
type Info struct {
	Name   uuid.UUID
	Size   int64 // bytes
	Stored time.Time
}
