package edge

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"coffre/domain"
)

// Beat is how long an answer waits, counted from the arrival of its request, that must not
// tell by its time what was looked at for it; one that is not ready by then waits for the
// next multiple. What the vault does for a refusal takes far less, so that all of them
// leave after one.
const Beat = 20 * time.Millisecond

// tick is the interval of the moments at which waiting answers leave.
const tick = 2 * time.Millisecond

// outsiders are the roles of callers who must not learn whom or what the vault knows.
var outsiders = []domain.Role{domain.RoleIssuer, domain.RoleConsumer, domain.RoleCitizen}

// WaitForBeat returns at the next multiple of so many beats since the request came, or when
// ctx ends. It returns at once where the server has no beat, and outside a server.
func (c *Call) WaitForBeat(ctx context.Context, beats int) {
	if c.beat <= 0 {
		return
	}
	every := time.Duration(beats) * c.beat
	past := time.Since(c.arrived)
	select {
	case <-c.ticks.next(c.arrived.Add(past - past%every + every)):
	case <-ctx.Done():
	}
}

// refuse answers a request with the error of a use case. A refusal that a use case decided
// upon what it found leaves on a beat (rule A-9), so that the same refusal for two reasons
// takes one time; faults, and refusals that the caller can wait out, leave at once.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	call := CallFrom(r.Context())
	p, _, _, known := Describe(err, s.ErrorAnswers)
	if known && p.Status < http.StatusInternalServerError && slices.Contains(outsiders, call.Role) {
		call.WaitForBeat(r.Context(), 1)
	}
	s.problem(w, r, err)
}

// ticker wakes those who wait for a moment at the ticks of one clock, whichever began to
// wait when. Each with a timer of its own would be woken with an error that depends on when
// it was set, and so on what was done before: the runtime sleeps whole milliseconds. It
// costs nothing while nobody waits. The zero value is ready; it may be used concurrently.
type ticker struct {
	sleep func(time.Duration) // nil: sleepExactly

	mu      sync.Mutex
	zero    time.Time               // of tick 0
	waiting map[int64]chan struct{} // by the tick that closes it
}

// next returns a channel that is closed at the first tick at or after t.
func (k *ticker) next(t time.Time) <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	idle := len(k.waiting) == 0
	if k.waiting == nil {
		k.begin()
	}
	n := int64((t.Sub(k.zero) + tick - 1) / tick)
	if k.waiting[n] == nil {
		k.waiting[n] = make(chan struct{})
	}
	if idle {
		go k.run()
	}
	return k.waiting[n]
}

// begin makes now the tick 0.
func (k *ticker) begin() { k.zero, k.waiting = time.Now(), make(map[int64]chan struct{}) }

// run wakes everybody whose tick has come, until nobody waits.
func (k *ticker) run() {
	sleep := k.sleep
	if sleep == nil {
		sleep = sleepExactly
	}
	for more := true; more; {
		sleep(tick - time.Since(k.zero)%tick)
		k.mu.Lock()
		now := int64(time.Since(k.zero) / tick)
		for n, c := range k.waiting {
			if n <= now {
				close(c)
				delete(k.waiting, n)
			}
		}
		more = len(k.waiting) > 0
		k.mu.Unlock()
	}
}
