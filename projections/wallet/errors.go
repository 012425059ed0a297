package wallet

import "errors"

var errScope = errors.New("a mandate's scope does not decode") // the cause would quote it
