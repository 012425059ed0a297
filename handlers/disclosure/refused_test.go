package disclosure

import (
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/access"
)

// refusals that cannot be recorded wait in bounded memory, and none is lost.
func TestRefusalBookIsBounded(t *testing.T) {
	const consumer domain.Organisation = "0316380841"
	var book refusalBook
	at := time.Date(2026, time.June, 15, 10, 0, 0, 0, time.UTC)
	for range 100 {
		for range 50 {
			book.note(access.Refused{Consumer: consumer, Reason: "noBasis", At: at})
			if waiting := len(book.of[consumer].waiting); waiting > refusalsKept {
				t.Fatalf("%d wait", waiting)
			}
		}
		for o, list := range book.take(true) {
			book.putBack(o, list)
			if waiting := len(book.of[o].waiting); waiting > refusalsKept {
				t.Fatalf("%d wait after they were put back", waiting)
			}
		}
		at = at.Add(time.Minute)
	}
	count := 0
	for _, r := range book.take(true)[consumer] {
		count += max(r.Count, 1)
	}
	if count != 5000 {
		t.Errorf("%d refusals wait, want 5000", count)
	}
}
