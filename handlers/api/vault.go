package api

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/eventstore/blob"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/shred"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/consentlog"
	"coffre/projections/erasures"
	"coffre/projections/evidence"
	"coffre/projections/vocabulary"
	"coffre/projections/wallet"
)

// Vault answers every call of the contract: one file per use case, each reading
// the request, building one command or asking one read model. It decides nothing
// that the domain decides. All fields are required unless they say otherwise;
// its methods may be called concurrently.
type Vault struct {
	Log      *eventstore.Log
	Keys     *seal.Ring
	Signer   seal.Signer // of the log
	Codec    eventstore.Codec
	Opener   eventstore.Opener
	Requests *requests.Table
	Words    *vocabulary.Holder
	Runner   *projections.Runner

	Wallets    *wallet.Wallets
	ConsentLog *consentlog.Log
	AccessLog  *accesslog.Log
	Evidence   *evidence.Evidence
	Erasures   *erasures.Erasures

	Destroyer  *seal.Destroyer
	Rotator    *seal.Rotator
	Shreds     *shred.List   // of destroyed keys
	EraseAfter time.Duration // how long other processes may still use a key: seal.Ring.Lease; 0 when there are none
	Keeper     string        // where the key-encryption key lives, as operators read it
	// CertificateSigner signs certificates of erasure, which nothing else of the application can
	// (rule E-2). nil: nothing is erased here.
	CertificateSigner seal.Signer
	// Retentions are those that the operator states for copies of the key ring and of its
	// keeper. nil: none is stated, and no certificate is final (rule E-3).
	Retentions *citizen.Retentions
	Blobs      blob.Store // sealed files of documents
	Exports    string     // folder of export files, readable by its owner only
	Backups    Backups    // nil: the databases are backed up by their own tools

	Now   func() time.Time
	NewID func() uuid.UUID // random
	Slog  *slog.Logger

	audited  recent       // readings of the log that are on record
	refusals refusalBook  // that wait to be recorded
	outcomes outcomeQueue // of accesses, that wait to be recorded
	reach    reach        // whom consumers reached today
	tasks    tasks        // that go on after their request was answered
	rewrap   progress     // of the rotation under way, or the last one
	repepper progress     // of the pepper's
	shown    shownRegistry
	signing  notedKeys // signing keys that are remembered
}

// noCitizen is whose key seals streams that have nothing personal.
var noCitizen domain.CitizenID

// intent is what one request that changes something brings to each of its writes.
type intent struct {
	call   *edge.Call
	actor  domain.Actor
	at     time.Time // the one moment of the whole request, UTC, whole microseconds
	words  *vocabulary.View
	id     func(i int) uuid.UUID
	settle bool
}

// stepSize is how many events one step of a request may append.
const stepSize = 100

// write returns what is recorded with the events of one step. Steps of one
// request have numbers of their own, so that a repetition derives the same event
// ids whatever the first attempt left undone.
func (in intent) write(step int, s eventstore.Stream, citizen domain.CitizenID, basedOn ...eventstore.Reference) eventstore.Write {
	return eventstore.Write{
		Stream: s, Citizen: citizen, Settle: in.settle,
		Meta: eventstore.Meta{Actor: in.actor, OnBehalfOf: in.call.OnBehalfOf, Correlation: in.call.Trace, Registry: in.words.Version(), BasedOn: basedOn},
		ID:   func(i int) uuid.UUID { return in.id(step*stepSize + i) },
	}
}

var errReason = domain.NewError(domain.Invalid, "unknownReason", "the registry knows no such reason for this")

// reason refuses a reason that is not in the registry's list of its kind, so that
// what stands in clear is a word of ours. None is the command's to judge.
func (in intent) reason(kind registry.ReasonKind, code domain.ReasonCode) error {
	if code != "" && !in.words.Reason(kind, code) {
		return errReason
	}
	return nil
}

// forCitizen says for whom a representative acts.
func forCitizen(w eventstore.Write, represented domain.CitizenID) eventstore.Write {
	w.Meta.Represents = represented
	return w
}

// actor names the caller in words that stay in the log for ever.
func (v *Vault) actor(c *edge.Call) domain.Actor {
	return domain.Actor{Role: c.Role, Organisation: c.Organisation, Citizen: c.Citizen, Subject: v.auditSubject(c.Subject)}
}

// auditSubject is the subject of a token as the log names it: an HMAC under the
// audit key, of which 128 bits tell people apart.
func (v *Vault) auditSubject(subject string) string {
	if subject == "" {
		return ""
	}
	sum := v.Keys.DeploymentKey(seal.AuditKey).MAC([]byte("subject/v1\x00"), []byte(subject))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// intend begins a change that the idempotency table does not guard.
func (v *Vault) intend(ctx context.Context) intent {
	call := edge.CallFrom(ctx)
	fresh := v.NewID()
	return intent{
		call: call, actor: v.actor(call), at: v.Now().UTC().Truncate(time.Microsecond), words: v.Words.Current(),
		id: func(i int) uuid.UUID { return uuid.NewSHA1(fresh, binary.BigEndian.AppendUint32(nil, uint32(i))) },
	}
}

// owner is whose idempotency keys these are: an organisation's, a citizen's, or
// those of one officer or operator.
func owner(c *edge.Call) string {
	switch {
	case c.Role == domain.RoleIssuer, c.Role == domain.RoleConsumer:
		return "org:" + string(c.Organisation)
	case !c.Citizen.IsZero():
		return "citizen:" + c.Citizen.String()
	}
	return "subject:" + c.Subject
}

// position makes the token a caller may send back to see this write.
func (v *Vault) position(ctx context.Context, p eventstore.Position) (contract.PositionToken, error) {
	if p.IsZero() {
		var err error
		if p, err = v.Log.Head(ctx); err != nil {
			return "", fmt.Errorf("position: %w", err)
		}
	}
	leaf, err := v.Log.Leaves().Leaf(ctx, p)
	if err != nil {
		return "", fmt.Errorf("position: %w", err)
	}
	return edge.LeafToken(leaf), nil
}

// patience is how long a read waits for the position it must see (design: 2 s).
const patience = 2 * time.Second

// ErrLagging: a read model has not come as far as the caller wants to see.
var ErrLagging = domain.NewError(domain.Stale, "projectionLagging", "what you wrote is not visible yet; ask again")

// seen waits until the read models have the position the caller must see.
func (v *Vault) seen(ctx context.Context, token contract.CoffreMinPosition, names ...string) error {
	if token == "" {
		return nil
	}
	leaf, err := edge.LeafOf(token)
	if err != nil {
		return err
	}
	p, err := v.Log.Leaves().Position(ctx, leaf)
	if err != nil {
		return fmt.Errorf("position: %w", err)
	}
	return v.shows(ctx, p, ErrLagging, names...)
}

// abreast waits until the read models show what the log holds now, for decisions
// that must see all of it.
func (v *Vault) abreast(ctx context.Context, names ...string) error {
	head, err := v.Log.Head(ctx)
	if err != nil {
		return fmt.Errorf("head of the log: %w", err)
	}
	return v.shows(ctx, head, errBehind, names...)
}

// errBehind answers where not the caller but a decision needs to see all of the log.
var errBehind = domain.NewError(domain.Unavailable, "projectionLagging", "the read models are behind the log; try again")

// shows waits until the read models show a position, at most for patience; then
// late is the answer.
func (v *Vault) shows(ctx context.Context, p eventstore.Position, late *domain.Error, names ...string) error {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, name := range names {
		if err := v.Runner.WaitFor(wait, name, p); err != nil {
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				return late
			}
			return fmt.Errorf("wait for %s: %w", name, err)
		}
	}
	return nil
}
