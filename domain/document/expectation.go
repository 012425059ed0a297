package document

import "slices"

// Expectation is the version that a caller expects a document to have, by which of two
// changes of one version one wins (rule D-3). The zero value is never met.
type Expectation struct {
	Any      bool  // whatever version there is
	Versions []int // one of these; numbers that are no version are allowed
}

// ExpectVersion returns the expectation of one version.
func ExpectVersion(n int) Expectation { return Expectation{Versions: []int{n}} }

func (e Expectation) metBy(current int) bool { return e.Any || slices.Contains(e.Versions, current) }
