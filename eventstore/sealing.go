package eventstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
)

// Place is where a sealed part stands and what the record says beside it. The part is
// bound to all of it: moved anywhere else, or with anything beside it changed, it does
// not open.
type Place struct {
	Stream Stream
	ID     uuid.UUID // of the event
	Type   string    // stored name with form
	// Revision is AnyRevision when a record is sealed before anybody knows where it will
	// stand in its stream; such a part opens at every revision.
	Revision Revision
	Facts    Facts
}

// AnyRevision stands for a revision that is not known yet.
const AnyRevision Revision = -1

// Facts is a digest of what a record says in clear: SHA-256 over its recorded time, the
// SHA-256 of its metadata and the SHA-256 of its clear part, all as they are stored
// (docs/log-format.md, "Sealed part").
type Facts [sha256.Size]byte

func factsOf(at time.Time, meta, clear []byte) Facts {
	var said [8 + 2*sha256.Size]byte
	binary.BigEndian.PutUint64(said[:], uint64(at.UnixMicro()))
	sum := sha256.Sum256(meta)
	copy(said[8:], sum[:])
	sum = sha256.Sum256(clear)
	copy(said[8+sha256.Size:], sum[:])
	return sha256.Sum256(said[:])
}

// Place returns where the record's sealed part belongs.
func (r *Record) Place() Place {
	return Place{Stream: r.Stream, ID: r.ID, Type: r.Type, Revision: r.Revision, Facts: factsOf(r.Time, r.Meta, r.Clear)}
}

// Kept is a sealed part as a read model keeps it: before the bytes lie the revision and
// the facts that they are bound to, because a row does not hold the record itself. So it
// opens from there as it does from the log, and only if the model took it from the
// record that it was sealed for.
type Kept []byte

const keptSize = 8 + len(Facts{}) // before the sealed part

// Keep returns the record's sealed part for a read model; nil when it has none.
func (r *Record) Keep() Kept {
	if r.Sealed == nil {
		return nil
	}
	facts := factsOf(r.Time, r.Meta, r.Clear)
	k := make(Kept, 0, keptSize+len(r.Sealed))
	k = binary.BigEndian.AppendUint64(k, uint64(r.Revision))
	k = append(k, facts[:]...)
	return append(k, r.Sealed...)
}

// notOpened says of an error of an Opener what did not open; of tampering also where.
func notOpened(p Place, at Position, err error) error {
	if errors.Is(err, ErrTampered) {
		return fmt.Errorf("open %s: %w: %w", p.Type, err, &Corrupt{Stream: p.Stream, Revision: p.Revision, Position: at})
	}
	return fmt.Errorf("open %s: %w", p.Type, err)
}

// OpenKept decrypts a sealed part that a read model keeps and appends the plaintext to
// dst. Stream, ID and Type of p are the record's; the rest of it is in k. Its errors are
// those of [OpenEvent]; a row does not tell a position.
func OpenKept(ctx context.Context, o Opener, dst []byte, p Place, k Kept) ([]byte, error) {
	if len(k) < keptSize {
		return nil, notOpened(p, Position{}, ErrTampered)
	}
	p.Revision = Revision(binary.BigEndian.Uint64(k))
	copy(p.Facts[:], k[8:])
	plain, err := o.Open(ctx, dst, p, k[keptSize:])
	if err != nil {
		return nil, notOpened(p, Position{}, err)
	}
	return plain, nil
}

// Sealer encrypts the personal parts of events, and can open none. See package seal.
// All methods may be called concurrently.
type Sealer interface {
	// Seal encrypts plain under the content key of p.Stream, which belongs to the
	// citizen, and binds it to p; it makes the key, durably, before it first uses it. It
	// returns ErrErased when the citizen's or the stream's key was destroyed, and an
	// error that wraps ErrKeysUnavailable when the keys cannot be reached: then nothing
	// may be stored.
	Seal(ctx context.Context, citizen domain.CitizenID, p Place, plain []byte) ([]byte, error)
}

// Opener decrypts the personal parts of events. Opening is a disclosure: whoever holds
// an Opener may see plaintext, and records the access first. All methods may be called
// concurrently.
type Opener interface {
	// Open appends the plaintext to dst. It returns ErrErased when the key was
	// destroyed, ErrKeysUnavailable when the keys cannot be reached, and ErrTampered
	// when the bytes were not sealed for this place, or not beside these facts.
	Open(ctx context.Context, dst []byte, p Place, sealed []byte) ([]byte, error)
}

// OpenEvent decrypts the personal part of e and returns the event with it, or the
// event as it is when it has none. Its errors are those of [Opener.Open] and of c;
// tampering is also a *Corrupt, which tells where.
func OpenEvent(ctx context.Context, o Opener, c Codec, e Event) (any, error) {
	if e.Sealed == nil {
		return e.Data, nil
	}
	personal, err := o.Open(ctx, nil, e.Place(), e.Sealed)
	if err != nil {
		return nil, notOpened(e.Place(), e.Position, err)
	}
	return c.Decode(e.Type, e.Clear, personal)
}

// Errors of sealing and opening.
var (
	ErrErased          = errors.New("seal: the key was destroyed")
	ErrKeysUnavailable = errors.New("seal: the keys cannot be reached")
	ErrTampered        = fmt.Errorf("seal: the sealed part was not sealed for this place and these facts: %w", ErrIntegrity)
)
