// Package consentlog answers a privacy officer's question: which decisions about
// consent were taken, by whom, for whom, for what, when, and what became of them?
// It also tells a citizen, and those who act on a death, which consents there are.
//
// Queries take a leaf as asOf; negative or projections.Latest means everything seen
// so far. What a citizen was shown stays sealed.
//
// Invariant: each decision is one line for ever, in log order; of an erased citizen
// the lines stay and nothing sealed does.
package consentlog

import (
	"context"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/eventstore"
	"coffre/projections"
)

// Log is the projection and its queries, which may be called concurrently.
type Log struct{ view projections.View }

var _ projections.Projection = (*Log)(nil)

// New returns a log that answers projections.ErrNotReady until a runner has built it.
func New() *Log { return &Log{} }

// Name implements projections.Projection.
func (l *Log) Name() string { return "consentlog" }

// Version implements projections.Projection.
func (l *Log) Version() int { return 4 }

// Schema implements projections.Projection.
func (l *Log) Schema() projections.Schema { return schema }

// Categories implements projections.Projection.
func (l *Log) Categories() []string { return []string{"consent", "citizen"} }

// View implements projections.Projection.
func (l *Log) View() *projections.View { return &l.view }

// Act is what was done about a consent.
type Act string

const (
	Requested Act = "requested"
	Granted   Act = "granted"
	Refused   Act = "refused"
	Withdrawn Act = "withdrawn"
)

// Decision is one line of the log.
type Decision struct {
	Leaf     int64
	Consent  domain.ConsentID
	Citizen  domain.CitizenID
	Consumer domain.Organisation
	Purpose  domain.Purpose
	Act      Act
	At       time.Time
	Until    time.Time         // end of the consent as far as known at the decision, exclusive
	Mandate  domain.MandateID  // under which a representative decided
	Reason   domain.ReasonCode // of a withdrawal
}

// State is how far a consent had come at a leaf and a time.
type State string

const (
	IsRequested State = "requested"
	IsGranted   State = "granted" // in force, but for the limit on frequency
	IsRefused   State = "refused"
	IsWithdrawn State = "withdrawn"
	IsExpired   State = "expired" // of a request, too
	IsExhausted State = "exhausted"
)

// Consent is a consent as it was at a leaf. Leaves are projections.Latest, times
// zero, for what had not happened.
type Consent struct {
	Consent domain.ConsentID
	Citizen domain.CitizenID // absent of a request that reached nobody
	Terms   consent.Terms    // as granted, else as requested
	Tracked bool             // a request whose consumer may see it wait
	State   State
	Uses    int // accesses under it; repeats of the same access do not count

	RequestedAt, GrantedAt, EndedAt       time.Time
	RequestedLeaf, GrantedLeaf, EndedLeaf int64
	FirstLeaf                             int64 // of the request, or of the grant when nobody asked: its place in lists
	Mandate, EndMandate                   domain.MandateID
	Renews                                domain.ConsentID  // the consent in whose place it was granted
	Reason                                domain.ReasonCode // of a withdrawal
}

// Answered reports whether the citizen ever granted or refused the consent.
func (c Consent) Answered() bool { return !c.GrantedAt.IsZero() || c.State == IsRefused }

// AsConsumer returns the consent as its consumer may see it at a time. What the citizen has not
// answered waits until the day on which the consent would have ended, whatever became of the
// citizen and whether or not the vault knows them (rule A-6).
func (c Consent) AsConsumer(now time.Time) Consent {
	if c.Answered() {
		return c
	}
	c.State, c.EndedAt, c.EndedLeaf, c.EndMandate, c.Reason = IsRequested, time.Time{}, projections.Latest, domain.MandateID{}, ""
	if !now.Before(c.Terms.Until) {
		c.State = IsExpired
	}
	return c
}

// Use is one access under a consent.
type Use struct {
	Leaf   int64
	Access domain.AccessID
	At     time.Time
}

// Shown is the sealed part of a request or a grant: the message to the citizen, or
// what the citizen was shown (rule C-5).
type Shown struct {
	Leaf   int64
	Act    Act
	Place  eventstore.Place
	Sealed eventstore.Kept
}

// Filter narrows a query to the members that it names.
type Filter struct {
	Citizen  *domain.CitizenID   `json:"citizen,omitempty"`
	Former   []domain.CitizenID  `json:"-"` // with Citizen: or of one of these
	Consumer domain.Organisation `json:"consumer,omitempty"`
	Purpose  domain.Purpose      `json:"purpose,omitempty"`
	From     *time.Time          `json:"from,omitempty"`  // of the decision, inclusive; of a consent: when it began
	Until    *time.Time          `json:"until,omitempty"` // exclusive
}

// WithdrawnAfter returns the consents whose withdrawal the tables of a consent log show
// after a leaf, in log order: those that would be in force again if the log ended there.
func WithdrawnAfter(ctx context.Context, tables projections.Tables, leaf int64) (consents []domain.ConsentID, err error) {
	err = tables.Each(ctx, `SELECT consent FROM decisions WHERE leaf > ? AND kind = ? ORDER BY leaf`, []any{leaf, string(Withdrawn)}, func(row projections.Row) error {
		id, err := uuid.FromBytes(row.Bytes(0))
		if err == nil {
			consents = append(consents, domain.ConsentID{UUID: id})
		}
		return err
	})
	return consents, err
}
