package disclosure

import (
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/access"
)

// refusals that cannot be recorded wait in bounded memory, and none is lost.
func TestRefusalQueueIsBounded(t *testing.T) {
	const consumer domain.Organisation = "0316380841"
	var queue refusalQueue
	at := time.Date(2026, time.June, 15, 10, 0, 0, 0, time.UTC)
	for range 100 {
		for range 50 {
			queue.add(access.Refused{Consumer: consumer, Reason: "noBasis", At: at})
			if waiting := len(queue.organisations[consumer].waiting); waiting > maxRefusalsWaiting {
				t.Fatalf("%d wait", waiting)
			}
		}
		for o, list := range queue.take(true) {
			queue.putBack(o, list)
			if waiting := len(queue.organisations[o].waiting); waiting > maxRefusalsWaiting {
				t.Fatalf("%d wait after they were put back", waiting)
			}
		}
		at = at.Add(time.Minute)
	}
	count := 0
	for _, r := range queue.take(true)[consumer] {
		count += max(r.Count, 1)
	}
	if count != 5000 {
		t.Errorf("%d refusals wait, want 5000", count)
	}
}
