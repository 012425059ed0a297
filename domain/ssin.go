package domain

import "fmt"

// SSIN is a Belgian national register or BIS number (NISS, INSZ), checked. It
// never prints: String, GoString and every fmt verb show a placeholder. It
// enters in a request body or a login claim and is sealed at once.
type SSIN struct{ digits string }

var errBadSSIN = NewError(Invalid, "invalidSsin", "an SSIN has eleven digits of which the last two check the others")

// ParseSSIN accepts eleven digits YYMMDDSSSCC whose check digits are right for a
// birth before 2000 (CC = 97 - N mod 97, N the first nine digits) or from 2000
// (N with 2 put before it), as the Royal Decree of 3 April 1984 and the National
// Register's instructions say. The date part is not judged: BIS numbers add 20
// or 40 to the month, and unknown or impossible dates were issued to real people.
// Serials 000 and 999 are refused in national register numbers, whose month is at
// most 12, because they were never issued there; BIS numbers have them. The error
// never quotes its input, and is ErrCheckDigits where nothing but those is wrong.
func ParseSSIN(s string) (SSIN, error) {
	if len(s) != 11 {
		return SSIN{}, errBadSSIN
	}
	var n, check int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return SSIN{}, errBadSSIN
		}
		if i < 9 {
			n = n*10 + int64(s[i]-'0')
		} else {
			check = check*10 + int64(s[i]-'0')
		}
	}
	if check != 97-n%97 && check != 97-(2_000_000_000+n)%97 {
		return SSIN{}, misread{errBadSSIN}
	}
	serial, month := n%1000, n/100_000%100
	if (serial == 0 || serial == 999) && month <= 12 {
		return SSIN{}, errBadSSIN
	}
	return SSIN{s}, nil
}

// Reveal returns the eleven digits. Callers seal, hash under a key, or compare
// them; they never log, store or send them in clear.
func (s SSIN) Reveal() string { return s.digits }

// IsZero reports whether the number is absent.
func (s SSIN) IsZero() bool { return s.digits == "" }

func (s SSIN) String() string             { return "(ssin)" }
func (s SSIN) GoString() string           { return "(ssin)" }
func (s SSIN) Format(f fmt.State, _ rune) { fmt.Fprint(f, "(ssin)") }

// Century returns 1900 or 2000, the century the check digits prove: since 2*10^9
// is no multiple of 97, no number is right for both.
func (s SSIN) Century() int {
	var n, check int64
	for i := range len(s.digits) {
		if i < 9 {
			n = n*10 + int64(s.digits[i]-'0')
		} else {
			check = check*10 + int64(s.digits[i]-'0')
		}
	}
	if check == 97-n%97 {
		return 1900
	}
	return 2000
}
