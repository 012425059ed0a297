package domain

import (
	"testing"
	"time"
	_ "time/tzdata"
)

func TestBelgianDate(t *testing.T) {
	brussels, err := time.LoadLocation("Europe/Brussels")
	if err != nil {
		t.Fatal(err)
	}
	end := time.Date(2045, 1, 1, 0, 0, 0, 0, time.UTC)
	for at := time.Date(1996, 1, 1, 0, 0, 0, 0, time.UTC); at.Before(end); at = at.Add(30 * time.Minute) {
		if got, want := BelgianDate(at), DateOf(at.In(brussels)); got != want {
			t.Fatalf("%v: %s, want %s", at, got, want)
		}
	}
}
