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

// quotaLedger counts the citizens of today whom the access log's read model has not counted
// yet, so that its lag cannot be used to exceed a quota (rule A-7). Another process's
// newest accesses count when the read model has them. The zero value is empty; it may be
// used concurrently.
type quotaLedger struct {
	mu        sync.Mutex
	day       string // UTC; what is older is forgotten
	consumers map[domain.Organisation]*consumerUse
}

// consumerUse counts the citizens whom one consumer reached today, as far as this process
// knows.
type consumerUse struct {
	counted     int                 // by the read model, at most
	countedUpTo eventstore.Position // what that count knows at least
	recent      map[domain.CitizenID]*citizenUse
	// unrecorded holds the citizens of whom the consumer learnt something that is on no
	// record, such as the types of their documents.
	unrecorded map[domain.CitizenID]bool
}

type citizenUse struct {
	underWay   int
	at         eventstore.Position // of the newest authorisation; zero before it is known
	unrecorded bool                // among those asked about, once nothing is under way
}

// QuotaClaim is the right of a consumer to read one citizen today. It counts against the
// quota until it ends, with one call of End or EndUnrecorded.
type QuotaClaim struct {
	ledger   *quotaLedger
	use      *consumerUse
	consumer domain.Organisation
	citizen  domain.CitizenID
}

// ClaimQuota judges whether a consumer may read one more citizen today (rule A-7) and
// returns the claim, which the caller ends.
func (dis *Discloser) ClaimQuota(ctx context.Context, in acting.Intent, citizen domain.CitizenID) (QuotaClaim, error) {
	consumer := in.Actor.Organisation
	known, err := dis.AccessLog.View().Checkpoint(ctx) // before the count, which then has at least that
	if err != nil {
		return QuotaClaim{}, err
	}
	count, among, err := dis.AccessLog.Reach(ctx, consumer, in.At, citizen)
	if err != nil {
		return QuotaClaim{}, err
	}
	r := &dis.quotas
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.today(in.At, consumer)
	of.counted = max(of.counted, count)
	if known.Position.Compare(of.countedUpTo) > 0 {
		of.countedUpTo = known.Position
		for id, n := range of.recent {
			if n.underWay == 0 && n.at.Compare(of.countedUpTo) <= 0 {
				delete(of.recent, id)
			}
		}
	}
	if among {
		delete(of.unrecorded, citizen)
	}
	among = among || of.recent[citizen] != nil || of.unrecorded[citizen]
	if err := access.WithinQuota(of.counted+len(of.recent)+len(of.unrecorded), in.Words.Quota(consumer), among); err != nil {
		return QuotaClaim{}, err
	}
	n := of.recent[citizen]
	if n == nil {
		n = &citizenUse{unrecorded: of.unrecorded[citizen]}
		of.recent[citizen] = n
		delete(of.unrecorded, citizen)
	}
	n.underWay++
	return QuotaClaim{r, of, consumer, citizen}, nil
}

// today returns the counts of a consumer, under the lock.
func (r *quotaLedger) today(at time.Time, consumer domain.Organisation) *consumerUse {
	if day := at.UTC().Format(time.DateOnly); day > r.day {
		r.day, r.consumers = day, make(map[domain.Organisation]*consumerUse)
	}
	of := r.consumers[consumer]
	if of == nil {
		of = &consumerUse{recent: make(map[domain.CitizenID]*citizenUse), unrecorded: make(map[domain.CitizenID]bool)}
		r.consumers[consumer] = of
	}
	return of
}

// End ends a claim with the position of the recorded authorisation. The zero position means
// that nothing was authorised, and frees the place.
func (t QuotaClaim) End(at eventstore.Position) {
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	t.release(at)
}

func (t QuotaClaim) release(at eventstore.Position) {
	n := t.use.recent[t.citizen]
	n.underWay--
	if at.Compare(n.at) > 0 {
		n.at = at
	}
	if n.underWay > 0 || !n.at.IsZero() {
		return
	}
	delete(t.use.recent, t.citizen)
	if n.unrecorded {
		t.use.unrecorded[t.citizen] = true
	}
}

// EndUnrecorded ends a claim whose consumer learnt something that is not recorded; the
// citizen counts until the end of the day.
func (t QuotaClaim) EndUnrecorded() {
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	t.use.recent[t.citizen].unrecorded = true
	t.release(eventstore.Position{})
}
