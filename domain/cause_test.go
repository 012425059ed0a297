package domain

import (
	"errors"
	"fmt"
	"testing"
)

// A refusal with causes is matched as the refusal, and its causes are found through whatever
// wraps it.
func TestCausesOfARefusal(t *testing.T) {
	refusal := NewError(Invalid, "consentLimits", "a limit is out of range")
	err := fmt.Errorf("decide: %w", Because(refusal, Cause{"limits/uses", "a whole number from 1 to 3"}, Cause{"until", "ahead"}))
	if !errors.Is(err, refusal) || len(CausesOf(err)) != 2 || CausesOf(err)[0].Of != "limits/uses" {
		t.Errorf("%v with %v", err, CausesOf(err))
	}
	var said *Error
	if !errors.As(err, &said) || said != refusal {
		t.Errorf("the refusal is %v", said)
	}
	if Because(refusal) != error(refusal) || CausesOf(refusal) != nil || CausesOf(nil) != nil {
		t.Error("a refusal without causes has some")
	}
}
