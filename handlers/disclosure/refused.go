package disclosure

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/handlers/acting"
	"coffre/projections/vocabulary"
)

const (
	// refusalsInterval is how long refusals beyond those recorded apart wait to be
	// recorded together.
	refusalsInterval = time.Minute
	// tidyRefusals is how many refusals of one organisation wait before those beyond a
	// minute's threshold are counted together in memory.
	tidyRefusals = 4 * access.ApartPerMinute
	// maxRefusalsWaiting bounds what waits for one organisation, once all are counted
	// together that can be. What concerns one citizen is never counted with anything else,
	// so beyond it the organisation is answered 503 instead of its refusals.
	maxRefusalsWaiting = 4096
	// maxRefusalsPerAppend bounds the facts of one append.
	maxRefusalsPerAppend = 100
)

// ErrRefusalsWait answers an organisation of which no more refusals can be kept until some
// are recorded.
var ErrRefusalsWait = domain.NewError(domain.Unavailable, "refusalsNotRecorded", "what was refused to this organisation cannot be recorded now; try again")

// QueueRefusal queues the record of an organisation's refusal (rule A-3), which [Discloser.Run]
// makes durable, and returns err; ErrRefusalsWait when there is no room to keep it, whomever
// the request named. A fault is not recorded, neither is a refusal that the organisation
// can wait out. Of the request only words of the registry are recorded.
func (dis *Discloser) QueueRefusal(in acting.Intent, asked access.Refused, err error) error {
	return dis.QueueRefusals(in, err, asked)
}

// QueueRefusals does the same for one refusal that concerns several persons: it counts once,
// and is recorded of each.
func (dis *Discloser) QueueRefusals(in acting.Intent, err error, asked ...access.Refused) error {
	var said *domain.Error
	if !errors.As(err, &said) || said.Code == domain.Unavailable || in.Actor.Role != domain.RoleConsumer && in.Actor.Role != domain.RoleIssuer {
		return err
	}
	dis.Quotas.Refused(in.Actor.Organisation, in.At)
	for _, one := range asked {
		if !dis.queueRefusal(in, one, recordedReason(err)) {
			return ErrRefusalsWait
		}
	}
	return err
}

// QueueRestricted queues the record that a restriction of processing kept something from a
// consumer whose answer says that there is nothing (rule P-5). It counts as no refusal, since
// the same answer counts as none where nothing is held. ErrRefusalsWait says that there is no
// room to keep it.
func (dis *Discloser) QueueRestricted(in acting.Intent, asked access.Refused) error {
	if !dis.queueRefusal(in, asked, access.Restricted) {
		return ErrRefusalsWait
	}
	return nil
}

// queueRefusal queues one refusal with its reason, and reports false when there is no room.
func (dis *Discloser) queueRefusal(in acting.Intent, one access.Refused, reason domain.ReasonCode) bool {
	one.Consumer, one.Reason, one.At = in.Actor.Organisation, reason, in.At
	return dis.refusals.add(RegistryWordsOnly(in.Words, one))
}

// RegistryWordsOnly removes from a refusal the words that the registry does not have,
// because a refusal is stored in clear.
func RegistryWordsOnly(words *vocabulary.View, r access.Refused) access.Refused {
	if _, known := words.DocumentType(r.Type); !known {
		r.Type = ""
	}
	if _, known := words.Purpose(r.Purpose); !known {
		r.Purpose = ""
	}
	if _, known := words.Procedure(r.Procedure); !known {
		r.Procedure = ""
	}
	return r
}

// refusalQueue holds refusals until they are recorded: the first of a minute apart, the
// others counted together, those about each citizen among themselves. When it is emptied
// depends on how many requests an organisation was refused, and not on whom they named. The
// zero value is empty; it may be used concurrently. Its memory is bounded for each
// organisation.
type refusalQueue struct {
	mu            sync.Mutex
	organisations map[domain.Organisation]*waitingRefusals
	signal        chan struct{}
	flushing      sync.Mutex // one flush at a time, so that order is kept
}

type waitingRefusals struct {
	minute  time.Time // the newest one in which something was refused
	count   int       // in that minute
	urgent  bool      // something waits that is recorded apart
	waiting []access.Refused
	tidyAt  int // how many may wait until they are counted together
}

// urgentSignal returns the channel that receives when a refusal is to be recorded at once.
func (b *refusalQueue) urgentSignal() chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.signal == nil {
		b.signal = make(chan struct{}, 1)
	}
	return b.signal
}

// add queues a refusal, and reports false when there is no room for it.
func (b *refusalQueue) add(r access.Refused) bool {
	signal := b.urgentSignal()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.organisations == nil {
		b.organisations = make(map[domain.Organisation]*waitingRefusals)
	}
	h := b.organisations[r.Consumer]
	if h == nil {
		h = new(waitingRefusals)
		b.organisations[r.Consumer] = h
	}
	if minute := r.At.Truncate(time.Minute); minute.After(h.minute) {
		h.minute, h.count = minute, 0
	}
	if len(h.waiting) >= maxRefusalsWaiting {
		return false
	}
	h.count++
	h.add(r)
	if h.count > access.ApartPerMinute {
		return true
	}
	h.urgent = true
	select {
	case signal <- struct{}{}:
	default:
	}
	return true
}

// add queues refusals, and counts together those beyond the threshold of their minute; when
// too many are left, also those of several minutes.
func (h *waitingRefusals) add(more ...access.Refused) {
	h.waiting = append(h.waiting, more...)
	if len(h.waiting) <= max(h.tidyAt, tidyRefusals) {
		return
	}
	h.waiting = access.Aggregate(access.RefusalState{}, h.waiting)
	if len(h.waiting) >= maxRefusalsWaiting {
		h.waiting = access.Together(h.waiting)
	}
	h.tidyAt = min(2*len(h.waiting), maxRefusalsWaiting-1)
}

// take returns the queued refusals of all organisations, or of those that have one to
// record apart.
func (b *refusalQueue) take(all bool) map[domain.Organisation][]access.Refused {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := make(map[domain.Organisation][]access.Refused)
	for o, h := range b.organisations {
		switch {
		case len(h.waiting) > 0 && (all || h.urgent):
			taken[o], h.waiting, h.urgent, h.tidyAt = h.waiting, nil, false, 0
		case all && len(h.waiting) == 0:
			delete(b.organisations, o) // nothing was refused since the last time
		}
	}
	return taken
}

// putBack queues refusals again that could not be recorded.
func (b *refusalQueue) putBack(o domain.Organisation, list []access.Refused) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.organisations[o]
	if h == nil {
		h = new(waitingRefusals)
		b.organisations[o] = h
	}
	later := h.waiting
	h.waiting = list
	h.add(later...)
}

// recordRefusals records all queued refusals, or only those of organisations that have one
// to record apart.
func (dis *Discloser) recordRefusals(ctx context.Context, all bool) {
	dis.refusals.flushing.Lock()
	defer dis.refusals.flushing.Unlock()
	for o, list := range dis.refusals.take(all) {
		for len(list) > 0 {
			n := 1
			for n < min(len(list), maxRefusalsPerAppend) && acting.RefusalStream(o, list[n].At) == acting.RefusalStream(o, list[0].At) {
				n++
			}
			if err := dis.appendRefusals(ctx, o, list[:n]); err != nil {
				dis.refusals.putBack(o, list)
				dis.Slog.WarnContext(ctx, "refusals wait to be recorded", slog.Any("error", err))
				break
			}
			list = list[n:]
		}
	}
}

// appendRefusals records refusals of one organisation on one day.
func (dis *Discloser) appendRefusals(ctx context.Context, o domain.Organisation, list []access.Refused) error {
	w := dis.SystemWrite(acting.RefusalStream(o, list[0].At))
	w.Meta.OnBehalfOf = o
	_, err := acting.Refusals.Transact(ctx, dis.Log, w, access.RecordRefusals{Refusals: list})
	return err
}
