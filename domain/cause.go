package domain

import "errors"

// Cause is one part of a command that a refusal is about.
type Cause struct {
	// Of names the part as the contract does, with slashes between the steps and without one
	// before the first: "limits/frequency/uses", "fields/2".
	Of string
	// Expected says in one English sentence what may stand there; it carries no rejected value.
	Expected string
}

// caused is a refusal with its causes; errors.Is and errors.As find the refusal.
type caused struct {
	refusal *Error
	causes  []Cause
}

func (c caused) Error() string { return c.refusal.Error() }
func (c caused) Unwrap() error { return c.refusal }

// Because returns the refusal with the parts of the command that it is about, and the refusal
// itself when none is named.
func Because(refusal *Error, causes ...Cause) error {
	if len(causes) == 0 {
		return refusal
	}
	return caused{refusal, causes}
}

// CausesOf returns the causes of a refusal; nil when it names none.
func CausesOf(err error) []Cause {
	var c caused
	errors.As(err, &c)
	return c.causes
}
