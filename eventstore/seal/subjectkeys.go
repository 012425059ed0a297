package seal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

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

// selectSubjects reads the stored keys of citizens. One statement: a data key and the index
// keys under it are of one moment.
var selectSubjects = `SELECT ` + subjects.Of("s") + `, ` + indexKeys.Of("i") + ` FROM subjects s LEFT JOIN index_keys i ON i.citizen = s.citizen WHERE `

// subjectRow is a citizen's keys as stored.
type subjectRow struct {
	citizen domain.CitizenID
	state   state
	wrapped []byte // the DEK
	version int    // of the key-encryption key that wraps it
	number  int    // of the DEK among those of the citizen, from 1
	index   []byte // the index keys under it; nil for the first
}

func subjectRowOf(subject, index *keysdb.Entry) (row subjectRow, err error) {
	row = subjectRow{state: stateOfEntry(subject), wrapped: subject.Bytes("wrapped"), version: int(subject.Int("kek_version")), number: numberOf(index)}
	if index != nil {
		row.index = index.Bytes("wrapped")
	}
	row.citizen, err = citizenOf(subject)
	return row, err
}

// numberOf returns the number of the data key that index, a row of index_keys or nil, is
// under.
func numberOf(index *keysdb.Entry) int {
	if index == nil {
		return 1
	}
	return int(index.Int("dek"))
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
	var rows []subjectRow
	err := r.joinedIn(ctx, selectSubjects+`s.citizen IN `, nil, args, []*keysdb.Table{subjects, indexKeys}, func(found []*keysdb.Entry, damage error) error {
		row, err := subjectRowOf(found[0], found[1])
		i, asked := index[row.citizen]
		switch {
		case err != nil || !asked: // a damaged row that an index finds by what it was
			return nil
		case damage != nil:
			out[i].err = damage
			return nil
		case !row.state.usable():
			out[i] = loaded[*subject]{value: &subject{citizen: row.citizen, gen: gen, erased: true}}
			return nil
		}
		items = append(items, UnwrapItem{Wrapped: row.wrapped, AAD: dekAAD(row.citizen)})
		of, rows = append(of, i), append(rows, row)
		return nil
	})
	for i := 0; i < len(out) && err == nil; i++ {
		if out[i].err != ErrUnknown || slices.Contains(of, i) {
			continue
		}
		var known bool
		if known, err = r.mentioned(ctx, citizens[i]); known {
			out[i].err = r.db.Missing(subjects)
		}
	}
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
		out[i].value, out[i].err = unwrapped(rows[n], plain[n], gen)
	}
	for i := range out {
		if out[i].err == nil {
			r.subjects.put(citizens[i], out[i].value, r.unmoved(gen))
		}
	}
	return out
}

func unwrapped(row subjectRow, u Unwrapped, gen uint64) (*subject, error) {
	if u.Err != nil {
		return nil, keeperError(u.Err)
	}
	defer clear(u.Plain)
	if len(u.Plain) != keySize {
		return nil, keeperError(ErrRefused)
	}
	return newSubject(row.citizen, u.Plain, row.number, row.index, gen)
}

// subjectsOf returns the keys of many citizens, from memory where they are there. current says
// that something is opened with them and kept: then none is one that was forgotten since its
// load began.
func (r *Ring) subjectsOf(ctx context.Context, citizens []domain.CitizenID, current bool) (map[domain.CitizenID]loaded[*subject], error) {
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
	for len(missing) > 0 {
		results, err := r.loadSubjects.many(ctx, missing)
		if err != nil {
			return nil, err
		}
		var again []domain.CitizenID
		for i, citizen := range missing {
			// As in subject: a load that was under way, and was joined, may have seen what was
			// forgotten since.
			if current && results[i].err == nil && results[i].value.gen != r.gen.Load() {
				again = append(again, citizen)
				continue
			}
			out[citizen] = results[i]
		}
		missing = again
	}
	return out, nil
}

// Prefetch brings the keys of citizens into memory with about one call to the
// key-encryption key per thousand. Citizens that are unknown or erased are passed
// over: whoever opens something of theirs is told. Beyond [Config.Subjects] the
// first ones leave again.
func (r *Ring) Prefetch(ctx context.Context, citizens []domain.CitizenID) error {
	if err := r.leased(ctx); err != nil {
		return err
	}
	subjects, err := r.subjectsOf(ctx, citizens, false)
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
