package seal

import (
	"context"
	"crypto/cipher"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// contentKey is the key of one stream while it lives in memory.
type contentKey struct {
	citizen domain.CitizenID
	id      uuid.UUID
	gen     uint64      // of the ring before it was read
	aead    cipher.AEAD // nil: nothing but a memory of the destruction
}

// States of a stream's key.
const (
	keyLive      = 1
	keyDestroyed = 2
)

// unmoved reports, when asked, whether nothing was forgotten since gen.
func (r *Ring) unmoved(gen uint64) func() bool {
	return func() bool { return r.gen.Load() == gen }
}

// subject returns the citizen's keys, under a valid lease.
func (r *Ring) subject(ctx context.Context, citizen domain.CitizenID) (*subject, error) {
	if err := r.leased(ctx); err != nil {
		return nil, err
	}
	s, ok := r.subjects.get(citizen)
	for !ok {
		var err error
		if s, err = r.loadSubjects.one(ctx, citizen); err != nil {
			return nil, err
		}
		// A load that began before something was forgotten may have seen it still
		// there: ask again.
		ok = s.gen == r.gen.Load()
	}
	if s.erased {
		return nil, eventstore.ErrErased
	}
	return s, nil
}

// using calls use with the citizen's keys, again if they left memory meanwhile,
// and returns its result only if the keys were not destroyed meanwhile.
func (r *Ring) using(ctx context.Context, citizen domain.CitizenID, use func(*subject) error) error {
	for {
		gen := r.gen.Load()
		s, err := r.subject(ctx, citizen)
		if err != nil {
			return err
		}
		var result error
		if !s.with(func() { result = use(s) }) {
			continue
		}
		if r.gen.Load() != gen || !r.lease.covers(r.cfg.Now(), r.cfg.Lease) {
			if _, err := r.subject(ctx, citizen); err != nil {
				return err
			}
		}
		return result
	}
}

// readSubjects reads and unwraps DEKs into the cache.
func (r *Ring) readSubjects(ctx context.Context, citizens []domain.CitizenID) []loaded[*subject] {
	ctx, cancel := r.patient(ctx)
	defer cancel()
	out := r.readSubjectsOnce(ctx, citizens)
	// A key that was wrapped again, and whose former version was retired, between the
	// reading of its row and the unwrapping is there under the latest version.
	var retired []domain.CitizenID
	var of []int
	for i := range out {
		if errors.Is(out[i].err, ErrRetired) {
			retired, of = append(retired, citizens[i]), append(of, i)
		}
	}
	if len(retired) > 0 {
		for n, again := range r.readSubjectsOnce(ctx, retired) {
			out[of[n]] = again
		}
	}
	return out
}

func (r *Ring) readSubjectsOnce(ctx context.Context, citizens []domain.CitizenID) []loaded[*subject] {
	out := make([]loaded[*subject], len(citizens))
	index := make(map[domain.CitizenID]int, len(citizens))
	args := make([]any, len(citizens))
	for i, citizen := range citizens {
		out[i].err = ErrUnknown
		index[citizen] = i
		args[i] = citizen.UUID[:]
	}
	gen := r.gen.Load()
	var items []UnwrapItem
	var of []int // the citizen of each item
	err := r.rowsIn(ctx, `SELECT citizen, state, wrapped FROM subjects WHERE citizen IN `, args, func(scan func(...any) error) error {
		var id, wrapped []byte
		var st state
		if err := scan(&id, &st, &wrapped); err != nil {
			return err
		}
		citizen, err := citizenID(id)
		if err != nil {
			return err
		}
		i := index[citizen]
		if !st.usable() {
			out[i] = loaded[*subject]{value: &subject{citizen: citizen, gen: gen, erased: true}}
			return nil
		}
		items = append(items, UnwrapItem{Wrapped: wrapped, AAD: dekAAD(citizen)})
		of = append(of, i)
		return nil
	})
	var plain []Unwrapped
	if err == nil && len(items) > 0 {
		plain, err = r.kek.Unwrap(ctx, items)
	}
	if err != nil {
		for i := range out {
			out[i] = loaded[*subject]{err: fmt.Errorf("read data keys: %w: %w", eventstore.ErrKeysUnavailable, err)}
		}
		return out
	}
	for n, i := range of {
		out[i].value, out[i].err = unwrapped(citizens[i], plain[n], gen)
	}
	for i := range out {
		if out[i].err == nil {
			r.subjects.put(citizens[i], out[i].value, r.unmoved(gen))
		}
	}
	return out
}

func unwrapped(citizen domain.CitizenID, u Unwrapped, gen uint64) (*subject, error) {
	if u.Err != nil {
		return nil, keeperError(u.Err)
	}
	defer clear(u.Plain)
	if len(u.Plain) != keySize {
		return nil, keeperError(ErrRefused)
	}
	return newSubject(citizen, u.Plain, gen)
}

// rowsIn runs query with a list of parameters after it. The list is filled up to
// one of few lengths with its last element, so that few statements are prepared.
func (r *Ring) rowsIn(ctx context.Context, query string, args []any, each func(scan func(...any) error) error) error {
	for _, length := range []int{1, 10, 100, MaxBatch} {
		if len(args) > length {
			continue
		}
		for len(args) < length {
			args = append(args, args[len(args)-1])
		}
		return r.rows(ctx, query+"("+strings.Repeat("?,", length-1)+"?)", args, each)
	}
	return fmt.Errorf("%d parameters: %w", len(args), ErrBatch)
}

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
	if k.aead == nil {
		return nil, eventstore.ErrErased
	}
	return k, nil
}

// streamRow is a stream's key as stored.
type streamRow struct {
	citizen, id, wrapped []byte
	state                int
}

// readStreams reads and unwraps content keys into the cache.
func (r *Ring) readStreams(ctx context.Context, streams []eventstore.Stream) []loaded[*contentKey] {
	ctx, cancel := r.patient(ctx)
	defer cancel()
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
	err := r.rowsIn(ctx, `SELECT stream, citizen, key_id, state, wrapped FROM stream_keys WHERE stream IN `, args, func(scan func(...any) error) error {
		var stream string
		var row streamRow
		if err := scan(&stream, &row.citizen, &row.id, &row.state, &row.wrapped); err != nil {
			return err
		}
		citizen, err := citizenID(row.citizen)
		if err != nil {
			return err
		}
		found[index[eventstore.Stream(stream)]] = row
		citizens = append(citizens, citizen)
		return nil
	})
	var subjects map[domain.CitizenID]loaded[*subject]
	if err == nil {
		subjects, err = r.subjectsOf(ctx, citizens)
	}
	if err != nil {
		for i := range out {
			out[i].err = fmt.Errorf("read content keys: %w: %w", eventstore.ErrKeysUnavailable, err)
		}
		return out
	}
	for i, row := range found {
		out[i].value, out[i].err = openContentKey(streams[i], row, subjects, gen)
		if out[i].err == nil {
			r.streams.put(streams[i], out[i].value, r.unmoved(gen))
		}
	}
	return out
}

// subjectsOf returns the keys of many citizens, from memory where they are there.
func (r *Ring) subjectsOf(ctx context.Context, citizens []domain.CitizenID) (map[domain.CitizenID]loaded[*subject], error) {
	out := make(map[domain.CitizenID]loaded[*subject], len(citizens))
	var missing []domain.CitizenID
	for _, citizen := range citizens {
		if _, seen := out[citizen]; seen {
			continue
		}
		s, ok := r.subjects.get(citizen)
		if !ok {
			missing = append(missing, citizen)
		}
		out[citizen] = loaded[*subject]{value: s}
	}
	results, err := r.loadSubjects.many(ctx, missing)
	if err != nil {
		return nil, err
	}
	for i, citizen := range missing {
		out[citizen] = results[i]
	}
	return out, nil
}

func openContentKey(stream eventstore.Stream, row streamRow, subjects map[domain.CitizenID]loaded[*subject], gen uint64) (*contentKey, error) {
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
	}
	return k, k.unwrap(stream, subject.value, row.wrapped)
}

func (k *contentKey) unwrap(stream eventstore.Stream, s *subject, wrapped []byte) error {
	plain, err := s.contentKeys.Open(nil, nil, wrapped, contentKeyAAD(stream, k.id))
	if err != nil || len(plain) != keySize {
		return fmt.Errorf("content key: %w: %w", eventstore.ErrKeysUnavailable, ErrRefused)
	}
	defer clear(plain)
	k.aead, err = newAEAD(plain)
	return err
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
			// The state is asked in the transaction that stores the key: from the moment an
			// erasure has begun no key appears.
			n, err := tx.Exec(`INSERT INTO stream_keys (stream, citizen, key_id, state, wrapped)
				SELECT ?, citizen, ?, ?, ? FROM subjects WHERE citizen = ? AND state IN (1, 2)
				ON CONFLICT (stream) DO NOTHING`, string(stream), id[:], keyLive, wrapped, citizen.UUID[:])
			if err != nil {
				return streamRow{}, err
			}
			if n == 1 {
				return streamRow{citizen: citizen.UUID[:], id: id[:], wrapped: wrapped, state: keyLive}, nil
			}
			var row streamRow
			err = tx.Row(`SELECT citizen, key_id, state, wrapped FROM stream_keys WHERE stream = ?`, []any{string(stream)},
				&row.citizen, &row.id, &row.state, &row.wrapped)
			if errors.Is(err, sql.ErrNoRows) { // the citizen may have no more keys
				return streamRow{state: keyDestroyed}, nil
			}
			return row, err
		})
		clear(plain[:])
		switch {
		case err != nil:
			return nil, unavailable(ctx, "make content key", err)
		case row.citizen == nil:
			return nil, eventstore.ErrErased
		case [16]byte(row.citizen) != citizen.UUID:
			return nil, ErrOtherCitizen
		}
		k, err := openContentKey(stream, row, map[domain.CitizenID]loaded[*subject]{citizen: {value: s}}, gen)
		if err != nil {
			return nil, err
		}
		if !r.streams.put(stream, k, r.unmoved(gen)) {
			continue // something was forgotten meanwhile: look again whether it was this
		}
		if k.aead == nil {
			return nil, eventstore.ErrErased
		}
		return k, nil
	}
}

// Prefetch brings the keys of citizens into memory with about one call to the
// key-encryption key per thousand. Citizens that are unknown or erased are passed
// over: whoever opens something of theirs is told. Beyond [Config.Subjects] the
// first ones leave again.
func (r *Ring) Prefetch(ctx context.Context, citizens []domain.CitizenID) error {
	if err := r.leased(ctx); err != nil {
		return err
	}
	subjects, err := r.subjectsOf(ctx, citizens)
	if err != nil {
		return err
	}
	for _, s := range subjects {
		if s.err != nil && !errors.Is(s.err, ErrUnknown) {
			return s.err
		}
	}
	return nil
}

// PrefetchStreams brings the content keys of streams into memory, and their
// citizens' keys as [Ring.Prefetch] does.
func (r *Ring) PrefetchStreams(ctx context.Context, streams []eventstore.Stream) error {
	if err := r.leased(ctx); err != nil {
		return err
	}
	missing := make([]eventstore.Stream, 0, len(streams))
	for _, stream := range streams {
		if _, ok := r.streams.get(stream); !ok {
			missing = append(missing, stream)
		}
	}
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
	err := r.rows(ctx, `SELECT stream, key_id, state FROM stream_keys WHERE citizen = ? ORDER BY id`, []any{citizen.UUID[:]}, func(scan func(...any) error) error {
		var stream string
		var id []byte
		var st int
		if err := scan(&stream, &id, &st); err != nil {
			return err
		}
		parsed, err := uuid.FromBytes(id)
		out = append(out, StreamKey{eventstore.Stream(stream), parsed, st == keyDestroyed})
		return err
	})
	return out, unavailable(ctx, "read stream keys", err)
}
