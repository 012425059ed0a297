package disclosure

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
)

// refusal returns a refusal about nothing, of one consumer.
func refusal(at time.Time) access.Refused {
	return access.Refused{Consumer: "0316380841", Reason: "noBasis", At: at}
}

// what concerns a citizen stays by itself, however many refusals about others wait and
// for however long; what finds no room is not answered as a refusal.
func TestNoiseHidesNobodyWhileItWaits(t *testing.T) {
	const consumer domain.Organisation = "0316380841"
	ana := domain.CitizenID{UUID: uuid.New()}
	var queue refusalQueue
	at := time.Date(2026, time.June, 15, 10, 0, 0, 0, time.UTC)
	tries, others, refused := 0, 0, 0
	for minute := range 200 {
		for n := range 50 {
			r := refusal(at.Add(time.Duration(minute) * time.Minute))
			switch {
			case n%10 == 7:
				r.Citizen = ana
			case n%2 == 0:
				r.Citizen = domain.CitizenID{UUID: uuid.New()}
			}
			switch {
			case !queue.add(r):
				refused++
			case r.Citizen == ana:
				tries++
			case !r.Citizen.IsZero():
				others++
			}
			if waiting := len(queue.organisations[consumer].waiting); waiting > maxRefusalsWaiting {
				t.Fatalf("%d wait", waiting)
			}
		}
	}
	for _, r := range queue.take(true)[consumer] {
		switch {
		case r.Citizen == ana:
			tries -= r.Count
		case !r.Citizen.IsZero():
			others -= r.Count
		}
	}
	if tries != 0 || others != 0 || refused == 0 {
		t.Errorf("%d tries on one citizen and %d on others are not on record; %d found no room", tries, others, refused)
	}
}

// when the queue asks to be emptied does not tell whom a request named.
func TestRefusalQueueKeepsSilence(t *testing.T) {
	at := time.Date(2026, time.June, 15, 10, 0, 0, 0, time.UTC)
	emptied := func(citizen func() domain.CitizenID) (when []int) {
		var queue refusalQueue
		for n := range 3 * access.ApartPerMinute {
			r := refusal(at)
			r.Citizen = citizen()
			queue.add(r)
			select {
			case <-queue.urgentSignal():
				queue.take(false)
				when = append(when, n)
			default:
			}
		}
		return when
	}
	known := emptied(func() domain.CitizenID { return domain.CitizenID{UUID: uuid.New()} })
	unknown := emptied(func() domain.CitizenID { return domain.CitizenID{} })
	if !slices.Equal(known, unknown) || len(known) != access.ApartPerMinute {
		t.Errorf("of the known after %v, of the unknown after %v", known, unknown)
	}
}

// refusals that cannot be recorded wait in bounded memory, and none is lost.
func TestRefusalQueueIsBounded(t *testing.T) {
	const consumer domain.Organisation = "0316380841"
	var queue refusalQueue
	at := time.Date(2026, time.June, 15, 10, 0, 0, 0, time.UTC)
	for range 100 {
		for range 50 {
			queue.add(refusal(at))
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
