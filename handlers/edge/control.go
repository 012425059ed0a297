package edge

import (
	"context"
	"strconv"

	"coffre/domain"
	"coffre/handlers/edge/token"
)

// Account is an account of the operating system, as the kernel names it. Its number is
// its identity: two names of one number are one account.
type Account struct{ UID uint32 }

type accountKey struct{}

// WithAccount returns a context of requests that a process of the account sends.
func WithAccount(ctx context.Context, a Account) context.Context {
	return context.WithValue(ctx, accountKey{}, a)
}

// ControlSocket finds the callers of a data directory's control socket, and implements
// Authenticator. A caller is the account whose process is at the other end, whatever
// name its token claims, except in a vault for trying out.
type ControlSocket struct {
	// Own accepts the tokens that commands on this machine make for themselves.
	Own Authenticator
	// Provided says that an OpenID provider vouches for the vault's callers. Then nobody
	// comes through the socket but operators, whose role reads no content, and they say
	// why: everybody else has a token of the provider. Without a provider, in a vault for
	// trying out, tokens are believed as they are.
	Provided bool
}

var (
	ErrSocketRole    = domain.NewError(domain.Forbidden, "controlSocketRole", "an OpenID provider vouches for the callers of this vault, so its data directory (--data) is for operators only; use --url with a token of the provider")
	ErrSocketWhy     = domain.NewError(domain.Forbidden, "controlSocketReason", "who works on the vault's own machine says why; use --why, and --case for a reference")
	ErrSocketAccount = domain.NewError(domain.Forbidden, "controlSocketAccount", "this system does not tell whose process is asking; use --url with a token of the provider")
)

// withoutReason lists the operations for which nobody has to say why. Each command asks
// them while it waits for the read models, and they tell nothing of anybody.
var withoutReason = map[string]bool{"listProjections": true}

// Authenticate implements Authenticator. The subject of a caller is the number of the
// account, so that where two persons are needed two accounts are, that of root included.
func (s ControlSocket) Authenticate(ctx context.Context, p token.Presented) (Caller, error) {
	caller, err := s.Own.Authenticate(ctx, p)
	if err != nil {
		return Caller{}, err
	}
	caller.Door = domain.ControlSocket
	if !s.Provided {
		return caller, nil
	}
	account, known := ctx.Value(accountKey{}).(Account)
	switch {
	case caller.Role != domain.RoleOperator:
		return Caller{}, ErrSocketRole
	case !known:
		return Caller{}, ErrSocketAccount
	case caller.Why == "" && !withoutReason[CallFrom(ctx).Operation]:
		return Caller{}, ErrSocketWhy
	}
	caller.Subject = "os-account:" + strconv.FormatUint(uint64(account.UID), 10)
	caller.Organisation, caller.OnBehalfOf = "", "" // a process speaks for nobody else
	return caller, nil
}
