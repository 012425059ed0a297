package vault

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/handlers/api"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// makeHandlers makes what answers over HTTP: one for everybody, one for the control
// socket.
func (a *assembly) makeHandlers(context.Context) error {
	own, provider, err := authenticators(a.dir, a.o, a.Ring)
	if err != nil {
		return err
	}
	m := newMetrics(a.Instance)
	serving := func(auth edge.Authenticator) http.Handler {
		server := &edge.Server{
			Auth: auth, Now: time.Now, NewID: uuid.New, Slog: a.o.Logger, ErrorAnswers: acting.ErrorAnswers,
			Health: a.Health, Ready: a.ready, Metrics: m.handler(), Observe: m.observe,
		}
		return server.Handler(operations{server, a.Core})
	}
	a.handler, a.control = serving(provider), serving(own)
	return nil
}

// operations answers every call of the contract: the edge its health, the vault
// the rest.
type operations struct {
	*edge.Server
	*api.Vault
}

// authenticators returns who vouches for callers: this directory's own key, whose
// tokens are for its owner and for trying out, and the OpenID provider where one is
// configured, else the same key.
func authenticators(dir DataDir, o Options, ring *seal.Ring) (own, provider *token.Verifier, err error) {
	resolve := func(ctx context.Context, ssin domain.SSIN) (domain.CitizenID, error) {
		id, err := ring.Resolve(ctx, ssin)
		if errors.Is(err, seal.ErrUnknown) || errors.Is(err, eventstore.ErrErased) {
			return domain.CitizenID{}, nil
		}
		return id, err
	}
	key, err := token.OpenDevKey(dir.File(DevKeyFile))
	if err != nil {
		return nil, nil, err
	}
	own = token.NewDev(key, resolve, time.Now)
	if o.OIDCIssuer == "" {
		return own, own, nil
	}
	keys, err := token.NewProviderKeys(o.OIDCIssuer, nil, time.Now)
	if err != nil {
		return nil, nil, err
	}
	return own, token.New(o.OIDCIssuer, o.OIDCAudience, keys, resolve, time.Now), nil
}
