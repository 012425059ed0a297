package seal_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/ringtest"
)

// keptLease is a lease that remembers why it ended; nil: it has not.
type keptLease struct {
	*seal.KeyLease
	ended error
	times int
}

func takeLease(t *testing.T, r *ringtest.Ring, stream eventstore.Stream) *keptLease {
	t.Helper()
	l := &keptLease{}
	l.KeyLease = r.NewKeyLease(func(why error) { l.ended, l.times = why, l.times+1 })
	if stream != "" {
		check(t, l.Cover(t.Context(), stream))
	}
	return l
}

// endedBy fails the test unless the lease ended, once, for that reason.
func (l *keptLease) endedBy(t *testing.T, want error) {
	t.Helper()
	synctest.Wait()
	if l.times != 1 || !errors.Is(l.ended, want) {
		t.Errorf("the lease ended %d times, the last with %v, want %v", l.times, l.ended, want)
	}
	if left, err := l.Left(t.Context()); !errors.Is(err, want) {
		t.Errorf("a lease that ended has %v left, %v", left, err)
	}
}

func (l *keptLease) holds(t *testing.T) {
	t.Helper()
	if left, err := l.Left(t.Context()); err != nil || left <= 0 || l.ended != nil {
		t.Errorf("somebody else's answer was broken off: %v left, %v, %v", left, err, l.ended)
	}
}

// E-3: what keys opened is sent no longer than they may be used. In the process that ends
// their use it has stopped when BeginErase or DestroyStreamKeys returns, in another one
// it stops within the lease, and in one that cannot ask when its own lease has run out.
func TestAnswersUnderWayEndWithTheirKeys(t *testing.T) {
	const citizen, document = "citizen", "document"
	for _, scope := range []string{citizen, document} {
		for _, away := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, the other process is cut off: %t", scope, away), func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					kek, db := ringtest.OpenKeeper(t, dir), ringtest.OpenDB(t, dir)
					one, other := ringtest.OpenRing(t, ringtest.OpenDB(t, dir), kek, seal.Config{}), ringtest.OpenRing(t, db, kek, seal.Config{})
					c := ringtest.Citizen(t, one, 1)
					for n, of := range []domain.CitizenID{c, ringtest.Citizen(t, one, 2)} {
						_, err := seal.Sealer{Ring: one.Ring}.Seal(t.Context(), of, place(n), []byte("secret"))
						check(t, err)
					}
					here := []*keptLease{takeLease(t, one, place(0).Stream)}
					if scope == citizen { // whose number is sealed in no stream
						here = append(here, takeLease(t, one, ""))
						here[1].CoverCitizen(c)
					}
					beside, there, besideThere := takeLease(t, one, place(1).Stream), takeLease(t, other, place(0).Stream), takeLease(t, other, place(1).Stream)
					time.Sleep(7 * time.Second)
					if away {
						check(t, db.Close())
					}
					began, done := time.Now(), make(chan error, 1)
					go func() {
						if scope == citizen {
							done <- one.BeginErase(t.Context(), c)
						} else {
							done <- one.DestroyStreamKeys(t.Context(), place(0).Stream)
						}
					}()
					for _, l := range here {
						l.endedBy(t, eventstore.ErrErased)
						select {
						case err := <-done:
							t.Fatalf("it returned while an answer is under way: %v", err)
						default:
						}
						l.Release()
					}
					check(t, <-done)
					beside.holds(t)

					for there.ended == nil {
						left, err := there.Left(t.Context())
						if end := began.Add(other.Lease()); err == nil && !time.Now().Add(left).Before(end) {
							t.Fatalf("after %v it may be sent for %v more, beyond the lease of %v", time.Since(began), left, other.Lease())
						}
						time.Sleep(100 * time.Millisecond)
						synctest.Wait()
					}
					if took := time.Since(began); took >= other.Lease() {
						t.Errorf("the other process stopped after %v", took)
					}
					if away {
						there.endedBy(t, eventstore.ErrKeysUnavailable)
					} else {
						there.endedBy(t, eventstore.ErrErased)
						besideThere.holds(t)
					}
					if err := there.Cover(t.Context(), place(1).Stream); err == nil {
						t.Error("a lease that ended covers another key")
					}
				})
			})
		}
	}
}
