package seal

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// contentKey is the key of one stream while it lives in memory.
type contentKey struct {
	citizen domain.CitizenID
	id      uuid.UUID
	gen     uint64 // of the ring before it was read
	live    bool   // false: nothing but a memory of the destruction
	// The keys are for the garbage collector to overwrite, because several callers use them
	// at once.
	content    key // seals parts
	commitment key // of parts that are sealed now
	whole      key // the content key itself, which sealed parts of the first form
	// expanded is the content key as AES-GCM uses it, four times its bytes: kept from when
	// something was opened with it, because most streams are written once.
	expanded atomic.Pointer[cipher.AEAD]
}

// aead returns what seals and opens with the content key.
func (k *contentKey) aead(keep bool) (cipher.AEAD, error) {
	if expanded := k.expanded.Load(); expanded != nil {
		return *expanded, nil
	}
	aead, err := newAEAD(k.content[:])
	if err == nil && keep {
		k.expanded.Store(&aead)
	}
	return aead, err
}

// States of a stream's key.
const (
	keyLive      = 1
	keyDestroyed = 2
)

// contentKey returns the key of a stream, under a valid lease.
func (r *Ring) contentKey(ctx context.Context, stream eventstore.Stream) (*contentKey, error) {
	if err := r.leased(ctx); err != nil {
		return nil, err
	}
	k, ok := r.streams.get(stream)
	for !ok {
		var err error
		if k, err = r.loadStreams.one(ctx, stream); err != nil {
			return nil, err
		}
		ok = k.gen == r.gen.Load()
	}
	if !k.live {
		return nil, eventstore.ErrErased
	}
	return k, nil
}

// streamRow is a stream's key as stored.
type streamRow struct {
	citizen, id, wrapped []byte
	state                int
	number               int // of the citizen's DEK that wraps it
}

// errReplaced: the citizen's key in memory is not the one that wraps the content key, for
// it was replaced a moment ago.
var errReplaced = errors.New("seal: the citizen's data key was replaced meanwhile")

// readStreams reads and unwraps content keys into the cache.
func (r *Ring) readStreams(ctx context.Context, streams []eventstore.Stream) []loaded[*contentKey] {
	ctx, cancel := r.patient(ctx)
	defer cancel()
	out := r.readStreamsOnce(ctx, byStream, nil, streams)
	for range maxStale {
		var again []eventstore.Stream
		var of []int
		for i := range out {
			if errors.Is(out[i].err, errReplaced) {
				again, of = append(again, streams[i]), append(of, i)
			}
		}
		if len(again) == 0 {
			break
		}
		for n, k := range r.readStreamsOnce(ctx, byStream, nil, again) {
			out[of[n]] = k
		}
	}
	return out
}

// How readStreamsOnce finds rows. Those of one citizen are found in one place of an index,
// where others lie as far apart as the names of streams, which are random.
const (
	byStream  = `k.stream IN `
	byCitizen = `k.citizen = ? AND k.stream IN `
)

// readStreamsOnce reads the keys of streams that condition finds, with the arguments that
// stand in it before the streams, and puts them into the cache. The error of a stream that it
// does not find is ErrUnknown, of one that changed meanwhile errReplaced.
func (r *Ring) readStreamsOnce(ctx context.Context, condition string, before []any, streams []eventstore.Stream) []loaded[*contentKey] {
	r.keyReads.Add(1)
	out := make([]loaded[*contentKey], len(streams))
	index := make(map[eventstore.Stream]int, len(streams))
	args := make([]any, len(streams))
	for i, stream := range streams {
		out[i].err = ErrUnknown
		index[stream] = i
		args[i] = string(stream)
	}
	gen := r.gen.Load()
	found := make(map[int]streamRow, len(streams))
	var citizens []domain.CitizenID
	err := r.joinedIn(ctx, selectStreams+condition, before, args, []*keysdb.Table{streamKeys, indexKeys}, func(rows []*keysdb.Entry, damage error) error {
		i, asked := index[eventstore.Stream(rows[0].Text("stream"))]
		switch {
		case !asked: // a damaged row that an index finds by what it was
			return nil
		case damage != nil:
			out[i].err = damage
			return nil
		}
		citizen, err := citizenOf(rows[0])
		if err != nil {
			return err
		}
		found[i] = streamRowOf(rows[0], rows[1])
		citizens = append(citizens, citizen)
		return nil
	})
	var held map[domain.CitizenID]loaded[*subject]
	if err == nil {
		held, err = r.subjectsOf(ctx, citizens, true)
	}
	if err != nil {
		for i := range out {
			out[i].err = fmt.Errorf("read content keys: %w: %w", eventstore.ErrKeysUnavailable, err)
		}
		return out
	}
	for i, row := range found {
		out[i].value, out[i].err = r.openContentKey(streams[i], row, held, gen)
		if out[i].err == nil {
			r.streams.put(streams[i], out[i].value, r.unmoved(gen))
		}
	}
	return out
}

// selectStreams reads the stored keys of streams, each with the number of the data key that
// wraps it while it is live: all of a citizen's are under their present one.
var selectStreams = `SELECT ` + streamKeys.Of("k") + `, ` + indexKeys.Of("i") + ` FROM stream_keys k LEFT JOIN index_keys i ON i.citizen = k.citizen WHERE `

func streamRowOf(e, index *keysdb.Entry) streamRow {
	return streamRow{citizen: e.Bytes("citizen"), id: e.Bytes("key_id"), wrapped: e.Bytes("wrapped"), state: int(e.Int("state")), number: numberOf(index)}
}

// openContentKey returns errReplaced, after the citizen was forgotten, when row and
// subject are of two moments.
func (r *Ring) openContentKey(stream eventstore.Stream, row streamRow, subjects map[domain.CitizenID]loaded[*subject], gen uint64) (*contentKey, error) {
	citizen, err := citizenID(row.citizen)
	if err != nil {
		return nil, err
	}
	id, err := uuid.FromBytes(row.id)
	if err != nil {
		return nil, fmt.Errorf("content key id: %w", err)
	}
	k := &contentKey{citizen: citizen, id: id, gen: gen}
	subject := subjects[citizen]
	switch {
	case row.state == keyDestroyed:
		return k, nil
	case subject.err != nil:
		return nil, subject.err
	case subject.value.erased:
		return k, nil
	case subject.value.number != row.number:
		r.Forget(citizen)
		return nil, fmt.Errorf("content key: %w: %w", eventstore.ErrKeysUnavailable, errReplaced)
	}
	return k, k.unwrap(stream, subject.value, row.wrapped)
}

func (k *contentKey) unwrap(stream eventstore.Stream, s *subject, wrapped []byte) error {
	plain, err := s.contentKeys.Open(nil, nil, wrapped, contentKeyAAD(stream, k.id))
	if err != nil || len(plain) != keySize {
		return fmt.Errorf("content key: %w: %w", eventstore.ErrKeysUnavailable, ErrRefused)
	}
	defer clear(plain)
	return k.expand(plain)
}

// expand derives from a content key the keys that it is used by.
func (k *contentKey) expand(plain []byte) error {
	var err error
	if k.content, err = subKey(plain, infoSealedContent); err != nil {
		return err
	}
	if k.commitment, err = subKey(plain, infoCommitment); err != nil {
		return err
	}
	k.whole, k.live = key(plain), true
	return nil
}

// makeContentKey returns the key of a stream that is not in memory, and makes it,
// durably, when there is none.
func (r *Ring) makeContentKey(ctx context.Context, citizen domain.CitizenID, stream eventstore.Stream) (*contentKey, error) {
	if stream == "" || len(stream) > eventstore.MaxStreamName {
		return nil, fmt.Errorf("stream name: %w", eventstore.ErrInvalid)
	}
	for {
		gen := r.gen.Load()
		s, err := r.subject(ctx, citizen)
		if err != nil {
			return nil, err
		}
		id, err := uuid.NewRandom()
		if err != nil {
			return nil, fmt.Errorf("make key id: %w", err)
		}
		plain := newKey()
		wrapped := s.contentKeys.Seal(nil, nil, plain[:], contentKeyAAD(stream, id))
		row, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (streamRow, error) {
			return r.storeContentKey(tx, s, stream, streamRow{citizen: citizen.UUID[:], id: id[:], wrapped: wrapped, state: keyLive, number: s.number})
		})
		clear(plain[:])
		switch {
		case errors.Is(err, errReplaced):
			r.Forget(citizen)
			continue
		case err != nil:
			return nil, unavailable(ctx, "make content key", err)
		case row.citizen == nil:
			return nil, eventstore.ErrErased
		case [16]byte(row.citizen) != citizen.UUID:
			return nil, ErrOtherCitizen
		}
		k, err := r.openContentKey(stream, row, map[domain.CitizenID]loaded[*subject]{citizen: {value: s}}, gen)
		if errors.Is(err, errReplaced) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !r.streams.put(stream, k, r.unmoved(gen)) {
			continue // something was forgotten meanwhile: look again whether it was this
		}
		if !k.live {
			return nil, eventstore.ErrErased
		}
		return k, nil
	}
}

// storeContentKey stores a new key and returns it, or the one that the stream has already;
// a row without a citizen when they may have no more keys. It returns errReplaced when the
// key is wrapped by a former data key of the citizen.
func (r *Ring) storeContentKey(tx *keysdb.Tx, s *subject, stream eventstore.Stream, row streamRow) (streamRow, error) {
	// State and data key are asked in the transaction that stores the key: from the moment
	// an erasure has begun no key appears, and none under a data key that was replaced.
	added, err := tx.AddWhere(r.db.Known(streamKeys, string(stream), row.citizen, row.id, row.state, row.wrapped, 0, 0),
		`FROM subjects s LEFT JOIN index_keys i ON i.citizen = s.citizen WHERE s.citizen = ? AND s.state IN (1, 2) AND coalesce(i.dek, 1) = ?`, row.citizen, row.number)
	if err != nil || added {
		return row, err
	}
	found := false
	var there streamRow
	err = tx.Joined(selectStreams+`k.stream = ?`, []any{string(stream)}, []*keysdb.Table{streamKeys, indexKeys}, func(rows []*keysdb.Entry) error {
		found, there = true, streamRowOf(rows[0], rows[1])
		return nil
	})
	if err != nil || found {
		return there, err
	}
	st, err := stateOf(tx, s.citizen)
	if err == nil && st.usable() {
		err = errReplaced
	}
	return streamRow{state: keyDestroyed}, err
}

// MakeStreamKey sees to it that the citizen's stream has a durable key, for a caller
// who has other work to wait for before Seal needs one. Its errors are those of Seal.
func (r *Ring) MakeStreamKey(ctx context.Context, citizen domain.CitizenID, stream eventstore.Stream) error {
	_, err := r.sealingKey(ctx, citizen, stream)
	return err
}

// CheckKeeper returns the error for which no key could be made or opened now, nil when the
// key-encryption key answers. It asks whatever is in memory here, so that a call that needs
// keys for some persons only fails alike for all of them (rule A-6).
func (r *Ring) CheckKeeper(ctx context.Context) error {
	probe := newKey()
	_, err := r.wraps.one(ctx, &WrapItem{Plain: probe[:], AAD: []byte("coffre/probe/v1")})
	return err
}

// ImitateStreamKey waits as long as [Ring.MakeStreamKey] waits for a new stream, and
// leaves nothing: for a caller who must not tell by the time that there is nobody to make
// a key for (rule A-9).
func (r *Ring) ImitateStreamKey(ctx context.Context) error {
	if err := r.leased(ctx); err != nil {
		return err
	}
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`UPDATE imitations SET n = n + 1 WHERE id = 1`)
	})
	return unavailable(ctx, "imitate a content key", err)
}

// sealingKey returns the key of the citizen's stream and makes it if need be.
func (r *Ring) sealingKey(ctx context.Context, citizen domain.CitizenID, stream eventstore.Stream) (*contentKey, error) {
	if err := r.leased(ctx); err != nil {
		return nil, err
	}
	k, ok := r.streams.get(stream)
	if !ok {
		return r.makeContentKey(ctx, citizen, stream)
	}
	switch {
	case k.citizen != citizen:
		return nil, ErrOtherCitizen
	case !k.live:
		return nil, eventstore.ErrErased
	}
	return k, nil
}

// PrefetchStreams brings the content keys of streams into memory, and their
// citizens' keys as [Ring.Prefetch] does.
func (r *Ring) PrefetchStreams(ctx context.Context, streams []eventstore.Stream) error {
	if err := r.leased(ctx); err != nil {
		return err
	}
	return r.loadMissing(ctx, r.missing(streams))
}

// PrefetchStreamsOf is PrefetchStreams for streams of one citizen, whose keys it finds faster:
// in one place of an index, and without gathering what others ask for.
func (r *Ring) PrefetchStreamsOf(ctx context.Context, citizen domain.CitizenID, streams []eventstore.Stream) error {
	if err := r.leased(ctx); err != nil {
		return err
	}
	var elsewhere []eventstore.Stream // of another citizen, or changed meanwhile
	for some := range slices.Chunk(r.missing(streams), MaxBatch) {
		patient, cancel := r.patient(ctx)
		found := r.readStreamsOnce(patient, byCitizen, []any{citizen.UUID[:]}, some)
		cancel()
		for i, k := range found {
			switch {
			case errors.Is(k.err, ErrUnknown), errors.Is(k.err, errReplaced):
				elsewhere = append(elsewhere, some[i])
			case k.err != nil:
				return k.err
			}
		}
	}
	return r.loadMissing(ctx, elsewhere)
}

// missing returns the streams whose keys are not in memory.
func (r *Ring) missing(streams []eventstore.Stream) []eventstore.Stream {
	missing := make([]eventstore.Stream, 0, len(streams))
	for _, stream := range streams {
		if _, ok := r.streams.get(stream); !ok {
			missing = append(missing, stream)
		}
	}
	return missing
}

func (r *Ring) loadMissing(ctx context.Context, missing []eventstore.Stream) error {
	results, err := r.loadStreams.many(ctx, missing)
	if err != nil {
		return err
	}
	for _, k := range results {
		if k.err != nil && !errors.Is(k.err, ErrUnknown) {
			return k.err
		}
	}
	return nil
}

// StreamKey describes the key of one stream without showing it.
type StreamKey struct {
	Stream    eventstore.Stream
	ID        uuid.UUID
	Destroyed bool
}

// StreamKeys lists the keys of a citizen's streams in the order they were made,
// destroyed ones too.
func (r *Ring) StreamKeys(ctx context.Context, citizen domain.CitizenID) ([]StreamKey, error) {
	var out []StreamKey
	err := r.db.Each(ctx, streamKeys, `citizen = ? ORDER BY id`, []any{citizen.UUID[:]}, func(e *keysdb.Entry, damage error) error {
		if damage != nil {
			return damage
		}
		id, err := uuid.FromBytes(e.Bytes("key_id"))
		out = append(out, StreamKey{eventstore.Stream(e.Text("stream")), id, e.Int("state") == keyDestroyed})
		return err
	})
	return out, unavailable(ctx, "read stream keys", err)
}
