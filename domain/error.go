package domain

import "errors"

// Code is the kind of "no" a rule answers with. The HTTP edge maps each code to
// exactly one status.
type Code string

const (
	Invalid         Code = "invalid"         // could never succeed, whatever the state (400)
	Unauthenticated Code = "unauthenticated" // say who you are first (401)
	Forbidden       Code = "forbidden"       // not for this actor (403)
	NotFound        Code = "notFound"        // no such thing, or none this actor may know of (404)
	Conflict        Code = "conflict"        // not in the present state (409)
	Gone            Code = "gone"            // existed, and was erased (410)
	Stale           Code = "stale"           // the caller's precondition no longer holds (412)
	Unprocessable   Code = "unprocessable"   // the key was used for another request (422)
	TooMany         Code = "tooMany"         // over a limit (429)
	Unavailable     Code = "unavailable"     // a part we need is away; try later (503)
	Full            Code = "full"            // no room to write (507)
)

// Codes lists every code, for tests that demand a status for each.
var Codes = []Code{Invalid, Unauthenticated, Forbidden, NotFound, Conflict, Gone, Stale, Unprocessable, TooMany, Unavailable, Full}

// Error is a refusal: an answer the rules give on purpose and the caller may
// read. Any other error is a fault, to be logged and hidden.
type Error struct {
	Code   Code
	Slug   string // stable, lowerCamelCase, for programs: "consentWithdrawn"
	Detail string // one English sentence; carries no personal data and no rejected value
}

// NewError returns a refusal. Declare each as a package variable next to the
// rule that answers with it, so that tests can match it with errors.Is.
func NewError(code Code, slug, detail string) *Error {
	return &Error{code, slug, detail}
}

func (e *Error) Error() string { return e.Slug + ": " + e.Detail }

// ErrCheckDigits is matched by the refusal of a number whose form is right and whose check
// digits do not check it, so that whoever mistyped it is told.
var ErrCheckDigits = errors.New("the check digits are wrong")

// misread is a refusal that matches ErrCheckDigits.
type misread struct{ refusal *Error }

func (m misread) Error() string      { return m.refusal.Error() }
func (m misread) Unwrap() error      { return m.refusal }
func (misread) Is(target error) bool { return target == ErrCheckDigits }
