package wallet

import "errors"

// What was stored does not decode. The causes would quote it.
var (
	errScope = errors.New("a mandate's scope does not decode")
	errTerms = errors.New("a consent's terms do not decode")
)
