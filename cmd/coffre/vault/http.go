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
	"coffre/eventstore/traffic"
	"coffre/handlers/acting"
	"coffre/handlers/api"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// nobody vouches for nobody: the public address of a vault that has a provider, opened
// by a command that names none.
type nobody struct{}

// Authenticate implements edge.Authenticator.
func (nobody) Authenticate(context.Context, token.Presented) (edge.Caller, error) {
	return edge.Caller{}, token.ErrInvalid
}

// makeHandlers makes what answers over HTTP: one for everybody, one for the control
// socket, and one for operators.
func (a *assembly) makeHandlers(context.Context) error {
	own, provider, nonce, err := a.authenticators()
	if err != nil {
		return err
	}
	m := newMetrics(a.Instance)
	observe := func(o edge.Observed) {
		m.observe(o)
		a.traffic.Count(traffic.Request{At: o.Received, Took: o.Took, Role: o.Role, Organisation: o.Organisation, Operation: o.Operation, Status: o.Status, Problem: o.Problem})
	}
	serving := func(auth edge.Authenticator, nonce func() string) (*edge.Server, http.Handler) {
		server := &edge.Server{
			Auth: auth, Nonce: nonce, Now: time.Now, NewID: uuid.New, Slog: a.o.Logger, ErrorAnswers: acting.ErrorAnswers, Beat: edge.Beat, Admit: a.Core.Admit, NeverBusy: acting.TakesBack,
			Health: a.Health, Condition: a.Condition, Ready: a.ready, Detail: a.detail, Tile: a.Core.Tile, Metrics: m.handler(), Observe: observe, Trace: a.traceRequest(), UseCase: a.traceUseCase(), Alarm: a.alarm.fault, Refused: m.refuse,
		}
		return server, server.Handler(operations{server, a.Core})
	}
	_, a.control = serving(edge.ControlSocket{Own: own, Provided: a.provided}, nil)
	if a.o.Certificates.AskClients() {
		provider = edge.Certified{Authenticator: provider}
	}
	public, handler := serving(provider, nonce)
	m.underWay = public.UnderWay
	a.handler, a.operators = handler, public.Operators()
	return a.makePages(provider)
}

// operations answers every call of the contract: the edge its health, the vault
// the rest.
type operations struct {
	*edge.Server
	*api.Vault
}

// authenticators returns who vouches for callers: this directory's own key, whose tokens
// are for commands on this machine and for trying out, and the OpenID provider where one
// is configured, with the nonce for proofs that go with its tokens. Without one the same key
// does in a vault for trying out, else nobody.
func (a *assembly) authenticators() (own, provider edge.Authenticator, nonce func() string, err error) {
	resolve := func(ctx context.Context, ssin domain.SSIN) (domain.CitizenID, error) {
		id, err := a.Ring.Resolve(ctx, ssin)
		if errors.Is(err, seal.ErrUnknown) || errors.Is(err, eventstore.ErrErased) {
			return domain.CitizenID{}, nil
		}
		if err != nil {
			return domain.CitizenID{}, err
		}
		return a.Core.Survivor(ctx, id) // with whichever of their numbers they log in
	}
	key, err := token.OpenDevKey(a.dir.File(DevKeyFile))
	if err != nil {
		return nil, nil, nil, err
	}
	own = token.NewDev(key, resolve, time.Now)
	switch {
	case a.o.OIDC == nil && a.provided:
		return own, nobody{}, nil, nil
	case a.o.OIDC == nil:
		return own, own, nil, nil
	}
	if a.provider, err = a.keysOf(a.o.OIDC); err != nil {
		return nil, nil, nil, err
	}
	verifier := token.New(a.o.OIDC.Profile, a.provider, resolve, time.Now)
	verifier.Proofs = a.proofs(a.o.Public)
	if a.o.Public != nil {
		nonce = verifier.Proofs.Nonce
	}
	return own, confirmed{verifier, a.recovers}, nonce, nil
}
