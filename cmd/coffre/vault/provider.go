package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// ErrProvided says that a vault cannot be tried out, because it was in service.
var ErrProvided = errors.New("an OpenID provider vouched for the callers of this vault, so --dev is refused; name the provider with --oidc-issuer, or make another vault for trying out")

// ErrOtherProvider says that a process was started with another provider than the one on
// record, or with other settings that decide who somebody is.
var ErrOtherProvider = errors.New("another identity provider is on record")

// nameProvider puts on record which provider vouches for callers where none is, refuses to
// start with another one (rule I-1), and finds out whether one ever did.
func (a *assembly) nameProvider(ctx context.Context) error {
	if a.o.OIDC == nil {
		r, err := a.Core.Providers(ctx)
		if err != nil {
			return err
		}
		if a.provided = !r.Provider.IsZero(); a.provided && a.o.Dev {
			return ErrProvided
		}
		return nil
	}
	a.provided = true
	mine, err := a.o.OIDC.Provider()
	if err != nil {
		return err
	}
	r, err := a.Core.NameProvider(ctx, mine)
	if errors.Is(err, audit.ErrOtherProvider) {
		return otherProvider(r.Providers, mine, time.Now())
	}
	if err != nil {
		return err
	}
	if a.recover(r); a.unconfirmed.Load() {
		a.o.Logger.WarnContext(ctx, "the identity provider was changed without the former one, and nobody is let in until a privacy officer for whom it vouches confirms it: coffre identity confirm")
	}
	return nil
}

// otherProvider says of both providers what they are, and how the one becomes the other.
func otherProvider(r audit.Providers, mine audit.Provider, now time.Time) error {
	differ := ""
	if names := token.Differences(r.Provider.Settings, mine.Settings); len(names) > 0 && r.Provider.Audience != "" {
		differ = " and other " + strings.Join(names, ", ")
	}
	way := "two persons change it: coffre identity propose, and a privacy officer's coffre identity approve, under the provider on record; where that one is gone for good, two accounts of this machine (coffre identity propose --reason gone)"
	switch change := r.Change; {
	case !change.Provider.Equal(mine):
	case change.ApprovedAt.IsZero():
		way = fmt.Sprintf("the change to it was proposed on %s and is not approved: coffre identity approve %s", change.ProposedAt.Format(time.DateOnly), change.ID)
	case !now.Before(change.Until()):
		way = fmt.Sprintf("the change to it counted until %s: coffre identity propose", change.Until().Format(time.DateOnly))
	}
	return fmt.Errorf("%w: %s vouches for the callers of this vault, and this start names %s%s; %s", ErrOtherProvider, nameOf(r.Provider), nameOf(mine), differ, way)
}

func nameOf(p audit.Provider) string {
	if p.Audience == "" {
		return p.Issuer
	}
	return p.Issuer + " with the audience " + p.Audience
}

// recover remembers whether the record says that a recovery waits to be confirmed.
func (v *Instance) recover(r acting.ProviderRecord) { v.unconfirmed.Store(r.Recovery != uuid.Nil) }

// recovers reports whether a recovery of the provider waits to be confirmed. While it does
// the record is read anew each time, because another process may confirm it.
func (v *Instance) recovers(ctx context.Context) (bool, error) {
	if !v.unconfirmed.Load() {
		return false, nil
	}
	r, err := v.Core.Providers(ctx)
	if err == nil {
		v.recover(r)
	}
	return v.unconfirmed.Load(), err
}

// recovering is recovers for the health, which does not wait for a log that is away.
func (v *Instance) recovering(ctx context.Context) bool {
	waits, err := v.recovers(ctx)
	return waits || err != nil
}

// confirmed lets in those for whom a provider vouches, unless it was recovered: then only
// privacy officers are, to confirm it (rule I-4).
type confirmed struct {
	edge.Authenticator
	waits func(context.Context) (bool, error)
}

// ErrUnconfirmed refuses callers while a recovery of the provider waits to be confirmed.
var ErrUnconfirmed = domain.NewError(domain.Unavailable, "identityProviderUnconfirmed", "the identity provider was changed without the former one, and no privacy officer has confirmed it yet; try again later")

// toConfirm are the operations by which a recovery is looked at and confirmed.
var toConfirm = map[string]bool{"getIdentityProvider": true, "confirmIdentityProvider": true}

// Authenticate implements edge.Authenticator.
func (c confirmed) Authenticate(ctx context.Context, p token.Presented) (edge.Caller, error) {
	caller, err := c.Authenticator.Authenticate(ctx, p)
	if err != nil || caller.Role == domain.RolePrivacyOfficer && toConfirm[edge.CallFrom(ctx).Operation] {
		return caller, err
	}
	waits, err := c.waits(ctx)
	if err == nil && waits {
		err = ErrUnconfirmed
	}
	if err != nil {
		return edge.Caller{}, err
	}
	return caller, nil
}
