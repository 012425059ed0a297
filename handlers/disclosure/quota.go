package disclosure

import (
	"context"
	"sync"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/eventstore"
	"coffre/handlers/acting"
)

// reach counts what the access log's read model has not counted yet, so that its
// lag cannot be used to exceed a quota (rule A-7). Another process's newest
// accesses are known when the read model has them. The zero value is empty; it
// may be used concurrently.
type reach struct {
	mu  sync.Mutex
	day string // UTC; what is older is forgotten
	of  map[domain.Organisation]*reached
}

// reached is whom one consumer reached today, as far as this process knows.
type reached struct {
	counted int                 // by the read model, at most
	seen    eventstore.Position // what that count knows at least
	newer   map[domain.CitizenID]*newReach
	// asked are citizens of whom the consumer only learnt what they hold, which is
	// on no record.
	asked map[domain.CitizenID]bool
}

type newReach struct {
	underWay int
	at       eventstore.Position // of the newest authorisation; zero before it is known
	asked    bool                // among those asked about, once nothing is under way
}

// turn is the right to read one citizen today. It ends with done or kept.
type turn struct {
	reach    *reach
	of       *reached
	consumer domain.Organisation
	citizen  domain.CitizenID
}

// Admit judges A-7 for one citizen more.
func (dis *Discloser) Admit(ctx context.Context, in acting.Intent, citizen domain.CitizenID) (turn, error) {
	consumer := in.Actor.Organisation
	known, err := dis.AccessLog.View().Checkpoint(ctx) // before the count, which then has at least that
	if err != nil {
		return turn{}, err
	}
	count, among, err := dis.AccessLog.Reach(ctx, consumer, in.At, citizen)
	if err != nil {
		return turn{}, err
	}
	r := &dis.reach
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.today(in.At, consumer)
	of.counted = max(of.counted, count)
	if known.Position.Compare(of.seen) > 0 {
		of.seen = known.Position
		for id, n := range of.newer {
			if n.underWay == 0 && n.at.Compare(of.seen) <= 0 {
				delete(of.newer, id)
			}
		}
	}
	if among {
		delete(of.asked, citizen)
	}
	among = among || of.newer[citizen] != nil || of.asked[citizen]
	if err := access.WithinQuota(of.counted+len(of.newer)+len(of.asked), in.Words.Quota(consumer), among); err != nil {
		return turn{}, err
	}
	n := of.newer[citizen]
	if n == nil {
		n = &newReach{asked: of.asked[citizen]}
		of.newer[citizen] = n
		delete(of.asked, citizen)
	}
	n.underWay++
	return turn{r, of, consumer, citizen}, nil
}

// today returns the counts of a consumer, under the lock.
func (r *reach) today(at time.Time, consumer domain.Organisation) *reached {
	if day := at.UTC().Format(time.DateOnly); day > r.day {
		r.day, r.of = day, make(map[domain.Organisation]*reached)
	}
	of := r.of[consumer]
	if of == nil {
		of = &reached{newer: make(map[domain.CitizenID]*newReach), asked: make(map[domain.CitizenID]bool)}
		r.of[consumer] = of
	}
	return of
}

// Done ends a turn with where its authorisation was recorded; the zero position
// says that none was.
func (t turn) Done(at eventstore.Position) {
	t.reach.mu.Lock()
	defer t.reach.mu.Unlock()
	t.end(at)
}

func (t turn) end(at eventstore.Position) {
	n := t.of.newer[t.citizen]
	n.underWay--
	if at.Compare(n.at) > 0 {
		n.at = at
	}
	if n.underWay > 0 || !n.at.IsZero() {
		return
	}
	delete(t.of.newer, t.citizen)
	if n.asked {
		t.of.asked[t.citizen] = true
	}
}

// Kept ends a turn in which the consumer learnt something that is not recorded.
func (t turn) Kept() {
	t.reach.mu.Lock()
	defer t.reach.mu.Unlock()
	t.of.newer[t.citizen].asked = true
	t.end(eventstore.Position{})
}
