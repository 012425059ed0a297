package acting

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore"
)

// ErrProviderRecord says that somebody without the vault's keys wrote to the record of who
// vouches for its callers.
var ErrProviderRecord = errors.New("the record of who vouches for the callers of this vault is not as the vault wrote it: somebody wrote to its log")

// ProviderRecord is what is on record about the OpenID provider that vouches for the
// vault's callers.
type ProviderRecord struct {
	audit.Providers
	ProposedBy domain.Actor // of the change that waits
}

// Providers returns what is on record about the provider. The log tells, so that it holds
// for every process, every data directory and every copy of the vault; each event shows by
// its proof that the vault wrote it. It returns an error that wraps ErrProviderRecord when
// one does not.
func (rec *Recorder) Providers(ctx context.Context) (r ProviderRecord, err error) {
	var state audit.State
	for e, err := range rec.Log.Read(ctx, ProviderStream, 0) {
		if err != nil {
			return ProviderRecord{}, fmt.Errorf("who vouches for callers: %w", err)
		}
		meta, err := e.Metadata()
		if err != nil {
			return ProviderRecord{}, fmt.Errorf("who vouches for callers: %w", err)
		}
		about, ok := e.Data.(audit.ProviderEvent)
		if !ok {
			return ProviderRecord{}, fmt.Errorf("%w (event %d)", ErrProviderRecord, e.Revision)
		}
		// Before there were proofs a name was all there was.
		if named, isName := about.(audit.ProviderNamed); len(about.Proven()) > 0 || len(state.Providers.Proof) > 0 || !isName || named.Audience != "" {
			proof, err := rec.proveProvider(state.Providers.Proof, about, meta.Actor)
			if err != nil {
				return ProviderRecord{}, err
			}
			if !hmac.Equal(proof, about.Proven()) {
				return ProviderRecord{}, fmt.Errorf("%w (event %d)", ErrProviderRecord, e.Revision)
			}
		}
		if _, ok := about.(audit.ProviderChangeProposed); ok {
			r.ProposedBy = meta.Actor
		}
		state = audit.Evolve(state, about)
	}
	r.Providers = state.Providers
	return r, nil
}

// NameProvider puts on record with which provider a process is started, and returns the
// record then. It refuses with audit.ErrOtherProvider unless that provider is the first one,
// on record, or approved by two persons (rules I-1 to I-5), and returns the record too.
func (rec *Recorder) NameProvider(ctx context.Context, p audit.Provider) (ProviderRecord, error) {
	r, err := rec.changeProviders(ctx, rec.SystemWrite(ProviderStream), audit.NameProvider{Provider: p, At: rec.Timestamp()})
	if err != nil && !errors.Is(err, audit.ErrOtherProvider) {
		err = fmt.Errorf("record who vouches for callers: %w", err)
	}
	return r, err
}

// ChangeProviders records one step of a change of the provider, with which a person goes on
// in a request, and returns the record then and the place of the step.
func (rec *Recorder) ChangeProviders(ctx context.Context, in Intent, cmd eventstore.Command[audit.State, audit.Event]) (ProviderRecord, error) {
	return rec.changeProviders(ctx, in.Write(0, ProviderStream, NoCitizen), cmd)
}

func (rec *Recorder) changeProviders(ctx context.Context, w eventstore.Write, cmd eventstore.Command[audit.State, audit.Event]) (ProviderRecord, error) {
	r, err := rec.Providers(ctx) // nothing is built on what the vault did not write
	if err != nil {
		return r, err
	}
	if _, err := Audits.Transact(ctx, rec.Log, w, proven{cmd, rec, w.Meta.Actor}); err != nil {
		return r, err
	}
	return rec.Providers(ctx)
}

// proven is a command whose events carry their proof.
type proven struct {
	eventstore.Command[audit.State, audit.Event]
	rec *Recorder
	by  domain.Actor
}

// Decide implements eventstore.Command.
func (c proven) Decide(s audit.State) ([]audit.Event, error) {
	events, err := c.Command.Decide(s)
	before := s.Providers.Proof
	for i, e := range events {
		about, ok := e.(audit.ProviderEvent)
		if !ok {
			return nil, fmt.Errorf("an event about something else among those of the provider: %T", e)
		}
		if before, err = c.rec.proveProvider(before, about, c.by); err != nil {
			return nil, err
		}
		events[i] = about.WithProof(before)
	}
	return events, err
}

// proveProvider returns the proof of an event about the provider: an HMAC under a key of the
// vault over the proof of the event before it, its kind, what it says, and who acted. The
// order of the members here and in the events is for ever; a new one is left out when empty.
func (rec *Recorder) proveProvider(before []byte, e audit.ProviderEvent, by domain.Actor) ([]byte, error) {
	said, err := json.Marshal(struct {
		Before []byte
		Kind   string
		Says   audit.ProviderEvent
		Role   domain.Role
		By     string
		Door   domain.Door
	}{before, kindOf(e), e.WithProof(nil), by.Role, by.Subject, by.Door})
	if err != nil {
		return nil, fmt.Errorf("prove who vouches for callers: %w", err)
	}
	sum, err := rec.Keys.ProveProvider(said)
	return sum[:], err
}

// kindOf returns what an event about the provider is called in its proof, for ever.
func kindOf(e audit.ProviderEvent) string {
	switch e.(type) {
	case audit.ProviderNamed:
		return "named"
	case audit.ProviderChangeProposed:
		return "proposed"
	case audit.ProviderChangeApproved:
		return "approved"
	case audit.ProviderConfirmed:
		return "confirmed"
	}
	panic("acting: an event about the provider without a case in kindOf")
}
