package wallet

import (
	"context"
	"fmt"
	"sync"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/projections"
)

// buffer holds the rows of one query, so that the tables are free again before
// anybody looks at them. Buffers are reused.
type buffer struct {
	rows  []row
	bytes []byte
}

type row struct {
	held     Held
	from, to int // of the sealed part in bytes; to is negative when there is none
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func (w *Wallets) buffer() *buffer { return buffers.Get().(*buffer) }

// keptBuffer bounds what a reused buffer may weigh.
const keptBuffer = 1 << 20

func (b *buffer) release() {
	if cap(b.bytes) > keptBuffer {
		return
	}
	clear(b.rows)
	b.rows, b.bytes = b.rows[:0], b.bytes[:0]
	buffers.Put(b)
}

func (w *Wallets) collect(ctx context.Context, b *buffer, query string, args ...any) error {
	err := w.view.Each(ctx, query, args, func(r projections.Row) error {
		b.add(&w.strings, r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	// Only now are the bytes where they stay.
	for i := range b.rows {
		if r := &b.rows[i]; r.to >= 0 {
			r.held.Sealed = b.bytes[r.from:r.to:r.to]
		}
	}
	return nil
}

// add copies a row of documentColumns, behind an id of the query's own.
func (b *buffer) add(strings *interner, from projections.Row) {
	b.rows = append(b.rows, row{})
	r := &b.rows[len(b.rows)-1]
	d := &r.held.Document
	copy(d.Document.UUID[:], from.Bytes(1))
	copy(d.Citizen.UUID[:], from.Bytes(2))
	d.Type = domain.DocumentType(strings.intern(from.Text(3)))
	d.Issuer = domain.Organisation(strings.intern(from.Text(4)))
	d.Version = int(from.Int64(5))
	d.State = DocumentState(strings.intern(from.Text(6)))
	d.Reason = domain.ReasonCode(strings.intern(from.Text(7)))
	d.ValidFrom, d.ValidUntil = domain.Date(strings.intern(from.Text(8))), domain.Date(strings.intern(from.Text(9)))
	d.PersonalValidity = from.Int64(10) != 0
	d.EffectiveFrom, d.RevokedFrom = domain.Date(strings.intern(from.Text(11))), domain.Date(strings.intern(from.Text(12)))
	d.IssuedAt, d.ChangedAt = projections.Instant(from.Int64(13)), projections.Instant(from.Int64(14))
	d.IssuedLeaf, d.FromLeaf, d.ToLeaf = from.Int64(15), from.Int64(16), from.Int64(17)
	d.Destroyed = from.Int64(18) != 0
	d.Place.Stream = eventstore.Stream(from.Text(19))
	copy(d.Place.ID[:], from.Bytes(20))
	d.Place.Type = strings.intern(from.Text(21))
	r.to = -1
	if sealed := from.Bytes(22); sealed != nil {
		r.from = len(b.bytes)
		b.bytes = append(b.bytes, sealed...)
		r.to = len(b.bytes)
	}
}

// interner keeps one copy of each short word of the registry and each date, of which
// there are few.
type interner struct {
	mu   sync.RWMutex
	kept map[string]string
}

const keptStrings = 1 << 14

func (w *interner) intern(raw []byte) string {
	if len(raw) == 0 {
		return ""
	}
	w.mu.RLock()
	s, ok := w.kept[string(raw)]
	w.mu.RUnlock()
	if ok {
		return s
	}
	s = string(raw)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kept == nil || len(w.kept) >= keptStrings {
		w.kept = map[string]string{}
	}
	w.kept[s] = s
	return s
}
