package token

import (
	"errors"
	"fmt"
	"time"
)

// ErrInvalid and ErrExpired report a token that does not count. An error of this package
// that wraps neither means that the token could not be judged.
var (
	ErrInvalid = errors.New("token is not valid")
	// ErrExpired wraps ErrInvalid.
	ErrExpired = fmt.Errorf("%w: it expired", ErrInvalid)
)

// Rejection says which claim or check of a token failed, for one line of the log and for the
// answer. Its texts are made of constants and of the configuration, never of the token. It
// wraps ErrInvalid.
type Rejection struct {
	Check  string // the claim or the check, such as aud, signature or dpop.htu
	Reason string // what is wrong, for the log
	Detail string // the same for the caller; it does not say what only an attacker asks for
	// Challenge is the error of the WWW-Authenticate header: invalid_token,
	// invalid_dpop_proof or use_dpop_nonce.
	Challenge string
	// Proof says that the caller came with the DPoP scheme, or has to.
	Proof bool

	expired bool
}

// Error returns the check and the reason.
func (r *Rejection) Error() string { return ErrInvalid.Error() + ": " + r.Check + " " + r.Reason }

// Unwrap returns ErrInvalid or ErrExpired.
func (r *Rejection) Unwrap() error {
	if r.expired {
		return ErrExpired
	}
	return ErrInvalid
}

// Challenges of RFC 6750 and RFC 9449.
const (
	invalidToken = "invalid_token"
	invalidProof = "invalid_dpop_proof"
	useNonce     = "use_dpop_nonce"
)

// reject returns the rejection of a token whose caller is told the same as the log.
func reject(check, reason string) *Rejection {
	return &Rejection{Check: check, Reason: reason, Detail: check + ": " + reason, Challenge: invalidToken}
}

// rejectKey returns the rejection of a token whose signature is not known to be the
// provider's. The caller is not told why.
func rejectKey(check, reason string) *Rejection {
	return &Rejection{Check: check, Reason: reason, Detail: "signature: no key of the identity provider verifies it", Challenge: invalidToken}
}

// UnavailableError reports that callers cannot be known now, why in whole, and when to try
// again. Whoever caused it has told the operator already.
type UnavailableError struct {
	Reason string
	After  time.Duration
}

// Error returns the reason.
func (e *UnavailableError) Error() string { return "callers cannot be known now: " + e.Reason }
