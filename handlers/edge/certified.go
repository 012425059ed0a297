package edge

import (
	"context"
	"crypto/sha256"
	"slices"

	"coffre/domain"
	"coffre/handlers/edge/token"
)

// partners are the roles of other administrations' machines.
var partners = []domain.Role{domain.RoleIssuer, domain.RoleConsumer}

// Certified admits partners, issuers and consumers, only over a connection on which they
// showed a client's certificate that an authority vouches for; people need none. Whoever is
// who, the Authenticator says.
type Certified struct{ Authenticator }

// Authenticate implements Authenticator.
func (c Certified) Authenticate(ctx context.Context, p token.Presented) (Caller, error) {
	caller, err := c.Authenticator.Authenticate(ctx, p)
	if err == nil && slices.Contains(partners, caller.Role) && p.Certificate == [sha256.Size]byte{} {
		return Caller{}, errUncertified
	}
	return caller, err
}

var errUncertified = &token.Rejection{
	Check: "certificate", Reason: "a caller of this role shows a TLS client certificate, and the connection showed none",
	Detail: "certificate: issuers and consumers show a TLS client certificate of an authority that this vault trusts", Challenge: "invalid_token",
}
