package acting

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/quotas"
	"coffre/handlers/edge"
)

// Refusals of callers who ask more of the vault, or leave more in it, than they may. None
// depends on whether the vault knows a person (rule A-9).
var (
	ErrUnknownOrganisation = domain.NewError(domain.Forbidden, "unknownOrganisation", "the registry does not have your organisation; the operator of the vault adds it")
	ErrTooManyCalls        = domain.NewError(domain.TooMany, "tooManyRequests", "you have called as often as you may in one minute")
	ErrBudget              = domain.NewError(domain.TooMany, "budgetExceeded", "you have as much of this open, or under way, as you may; settle some of it or try again later")
)

// Budget bounds how much of one thing callers leave in the vault or have under way, in all
// processes together.
type Budget struct {
	Name  string
	What  string        // takes a place, as docs/limits.md says it
	Until string        // when the place ends, as docs/limits.md says it
	Lasts time.Duration // how long a place is taken that nobody gives back; 0: the use case says
	quotas.Bounds
	// Retry is the wait that a refusal names.
	Retry time.Duration
}

const day = 24 * time.Hour

// The budgets. docs/limits.md lists them with the operations that each of them bounds.
var (
	CitizenActs = Budget{
		Name: "citizenActs", What: "acts of a citizen", Until: "a day after it was taken", Lasts: day, Retry: time.Hour,
		Bounds: quotas.Bounds{Caller: quotas.Bound{Places: 500}},
	}
	OfficeActs = Budget{
		Name: "officeActs", What: "acts of an operator, officer or auditor", Until: "a day after it was taken", Lasts: day, Retry: time.Hour,
		Bounds: quotas.Bounds{Caller: quotas.Bound{Places: 20_000}},
	}
	Uploads = Budget{
		Name: "uploads", What: "files that no document names yet, with their bytes", Until: "when a document names it, or it is removed: a day after it came", Lasts: day + 2*time.Hour, Retry: time.Hour,
		Bounds: quotas.Bounds{Caller: quotas.Bound{Places: 1000, Bytes: 1 << 30}, All: quotas.Bound{Places: 10_000, Bytes: 10 << 30}},
	}
	ConsentRequests = Budget{
		Name: "consentRequests", What: "requests for consent that nobody answered", Until: "when the citizen answers, or the end that was asked for", Retry: day,
		Bounds: quotas.Bounds{Pair: quotas.Bound{Places: 5}, Caller: quotas.Bound{Places: 100_000}, Person: quotas.Bound{Places: 50}, All: quotas.Bound{Places: 2_000_000}},
	}
	OpenMandates = Budget{
		Name: "mandates", What: "mandates that a citizen granted and nobody accepted, counted about the representative", Until: "when it is accepted or ended, or after a year", Lasts: 366 * day, Retry: day,
		Bounds: quotas.Bounds{Pair: quotas.Bound{Places: 5}, Caller: quotas.Bound{Places: 20}, Person: quotas.Bound{Places: 50}},
	}
	PersonActs = Budget{
		Name: "personActs", What: "requests for erasure, restrictions and holds, of one kind", Until: "a day after it was taken", Lasts: day, Retry: time.Hour,
		Bounds: quotas.Bounds{Pair: quotas.Bound{Places: 100}, Caller: quotas.Bound{Places: 10_000}},
	}
	OpenPetitions = Budget{
		Name: "petitions", What: "disputes, requests to rectify and objections that nobody answered", Until: "when it is answered, or after a year", Lasts: 366 * day, Retry: day,
		Bounds: quotas.Bounds{Caller: quotas.Bound{Places: 50}, Person: quotas.Bound{Places: 50}, All: quotas.Bound{Places: 2_000_000}},
	}
	Statements = Budget{
		Name: "statements", What: "deaths, replaced numbers and mandates that an authentic source states", Until: "a day after it was taken", Lasts: day, Retry: time.Hour,
		Bounds: quotas.Bounds{Pair: quotas.Bound{Places: 200}, Caller: quotas.Bound{Places: 1_000_000}},
	}
	IssuedDocuments = Budget{
		Name: "documents", What: "documents issued; they are counted, and none is given back", Until: "the day is over in Belgium", Retry: time.Hour,
		Bounds: quotas.Bounds{Pair: quotas.Bound{Places: 1000}, Caller: quotas.Bound{Places: 1_000_000}},
	}
	DocumentChanges = Budget{
		Name: "documentChanges", What: "updates and reinstatements of one document", Until: "a day after it was taken", Lasts: day, Retry: time.Hour,
		Bounds: quotas.Bounds{Pair: quotas.Bound{Places: 200}, Caller: quotas.Bound{Places: 1_000_000}},
	}
	InvestigationActs = Budget{
		Name: "investigationActs", What: "investigations that an organisation opens or renews", Until: "a day after it was taken", Lasts: day, Retry: time.Hour,
		Bounds: quotas.Bounds{Caller: quotas.Bound{Places: 1000}},
	}
	WebhookActs = Budget{
		Name: "webhookActs", What: "webhooks that an organisation asks for, also where the receiver does not want it, and what it asks of them", Until: "a day after it was taken", Lasts: day, Retry: time.Hour,
		Bounds: quotas.Bounds{Caller: quotas.Bound{Places: 1000}},
	}
	Reports = Budget{
		Name: "reports", What: "reports about a citizen that are being made", Until: "when it is made, or after a minute", Lasts: 2 * edge.MaxTime, Retry: 5 * time.Second,
		Bounds: quotas.Bounds{Caller: quotas.Bound{Places: 1}, Person: quotas.Bound{Places: 2}, All: quotas.Bound{Places: 6}},
	}
	Exports = Budget{
		Name: "exports", What: "exports that are kept", Until: "when it is removed", Retry: time.Hour,
		Bounds: quotas.Bounds{Caller: quotas.Bound{Places: 20}, All: quotas.Bound{Places: 100}},
	}
)

// Budgets are all budgets.
var Budgets = []*Budget{&CitizenActs, &OfficeActs, &Uploads, &ConsentRequests, &OpenMandates, &PersonActs, &OpenPetitions, &Statements, &IssuedDocuments, &DocumentChanges, &InvestigationActs, &WebhookActs, &Reports, &Exports}

// BudgetsOf lists the budgets in which the use case of an operation takes places, besides
// the acts of the caller's role; Take refuses to take any other.
var BudgetsOf = map[string][]*Budget{
	"issueDocument": {&IssuedDocuments}, "uploadAttachment": {&Uploads}, "requestConsent": {&ConsentRequests}, "grantMandate": {&OpenMandates, &Statements},
	"reportDeath": {&Statements}, "correctDeath": {&Statements}, "replaceSsin": {&Statements},
	"requestErasure": {&PersonActs}, "placeHold": {&PersonActs}, "restrictProcessing": {&PersonActs},
	"makePetition":      {&OpenPetitions},
	"openInvestigation": {&InvestigationActs}, "renewInvestigation": {&InvestigationActs},
	"createWebhookSubscription": {&WebhookActs}, "enableWebhookSubscription": {&WebhookActs}, "replayWebhookSubscription": {&WebhookActs}, "rotateWebhookSubscription": {&WebhookActs},
	"updateDocument": {&DocumentChanges}, "reinstateDocument": {&DocumentChanges},
	"subjectAccessReport": {&Reports}, "createExport": {&Exports},
}

// CallsOfRole is how often one caller of a role may call in a minute; organisations have one
// figure for all who speak for them.
var CallsOfRole = map[domain.Role]int64{
	domain.RoleCitizen: 6000, domain.RoleIssuer: 1_200_000, domain.RoleConsumer: 1_200_000,
	domain.RoleAuditor: 60_000, domain.RolePrivacyOfficer: 60_000, domain.RoleOperator: 60_000,
}

// Limits are the bounds that an operator changed, by name: "uploads.caller.bytes",
// "calls.citizen". The zero value changes none.
type Limits map[string]int64

// bounds lists the bounds of a budget by the end of their names.
func boundsOf(b *quotas.Bounds) map[string]*quotas.Bound {
	return map[string]*quotas.Bound{"caller": &b.Caller, "pair": &b.Pair, "person": &b.Person, "all": &b.All}
}

// Names returns every name of a limit with its default, in order.
func (Limits) Names() (names []string, defaults map[string]int64) {
	defaults = make(map[string]int64)
	for role, calls := range CallsOfRole {
		defaults[quotas.CallsBudget+"."+string(role)] = calls
	}
	for _, b := range Budgets {
		bounds := b.Bounds
		for scope, bound := range boundsOf(&bounds) {
			if bound.Places > 0 {
				defaults[b.Name+"."+scope] = bound.Places
			}
			if bound.Bytes > 0 {
				defaults[b.Name+"."+scope+".bytes"] = bound.Bytes
			}
		}
	}
	for name := range defaults {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, defaults
}

var errLimits = errors.New("limits are a list such as uploads.caller=1000,calls.citizen=6000; docs/limits.md has the names, and no number is below 1")

// ParseLimits reads limits from a list with commas. An empty text changes none.
func ParseLimits(text string) (Limits, error) {
	if text == "" {
		return nil, nil
	}
	limits := make(Limits)
	_, defaults := limits.Names()
	for one := range strings.SplitSeq(text, ",") {
		name, number, found := strings.Cut(strings.TrimSpace(one), "=")
		n, err := strconv.ParseInt(number, 10, 64)
		_, known := defaults[name]
		_, twice := limits[name]
		if !found || err != nil || n < 1 || !known || twice {
			return nil, errLimits
		}
		limits[name] = n
	}
	return limits, nil
}

// of returns the bounds of a budget as they are in force.
func (l Limits) of(b *Budget) quotas.Bounds {
	bounds := b.Bounds
	if len(l) == 0 {
		return bounds
	}
	for scope, bound := range boundsOf(&bounds) {
		if n, changed := l[b.Name+"."+scope]; changed {
			bound.Places = n
		}
		if n, changed := l[b.Name+"."+scope+".bytes"]; changed {
			bound.Bytes = n
		}
	}
	return bounds
}

// Told returns the bounds of a budget that are in force, such as "caller 20", in the order of
// their names.
func (l Limits) Told(b *Budget) (all []string) {
	bounds := l.of(b)
	for scope, bound := range boundsOf(&bounds) {
		if bound.Places > 0 {
			all = append(all, fmt.Sprintf("%s %d", scope, bound.Places))
		}
		if bound.Bytes > 0 {
			all = append(all, fmt.Sprintf("%s %d bytes", scope, bound.Bytes))
		}
	}
	slices.Sort(all)
	return all
}

// CallsOf returns how often one caller of a role may call in a minute.
func (l Limits) CallsOf(role domain.Role) int64 {
	if n, changed := l[quotas.CallsBudget+"."+string(role)]; changed {
		return n
	}
	return CallsOfRole[role]
}

// Admit judges a caller before anything of the request is read or looked up: an organisation
// has to be in the registry, and nobody calls more often in a minute than they may. What
// takes something back is never refused for having called too often (rule C-6).
func (rec *Recorder) Admit(_ context.Context, call *edge.Call) error {
	if call.Role == domain.RoleIssuer || call.Role == domain.RoleConsumer {
		if _, known := rec.Words.Current().Organisation(call.Organisation); !known {
			return ErrUnknownOrganisation
		}
	}
	if now := rec.Now(); !rec.Quotas.Called(RequestOwner(call), int(rec.Limits.CallsOf(call.Role)), now) && !TakesBack[call.Operation] {
		return edge.RetryAfter(ErrTooManyCalls, now.Truncate(time.Minute).Add(time.Minute).Sub(now))
	}
	return nil
}

// TakesBack lists the operations by which somebody takes back what they gave, or stops
// something: no budget refuses them.
var TakesBack = map[string]bool{
	"withdrawConsent": true, "refuseConsentRequest": true, "endMandate": true, "revokeDocument": true, "suspendDocument": true,
	"liftInvestigation": true, "removeWebhookSubscription": true,
}

// Room is what a place is taken for.
type Room struct {
	ID     uuid.UUID
	Person []byte    // whom it is about, known to the vault or not, or which document; nil: nobody
	Bytes  int64     // of what is left; 0: they are not counted
	Until  time.Time // in place of the budget's Lasts
	Class  eventstore.Class
}

// Take takes a place in a budget for the caller, or refuses with ErrBudget.
func (rec *Recorder) Take(ctx context.Context, call *edge.Call, b *Budget, r Room) error {
	if err := mayTake(call, b); err != nil {
		return err
	}
	at := rec.Timestamp()
	if r.Until.IsZero() {
		r.Until = at.Add(b.Lasts)
	}
	err := rec.Quotas.Take(ctx, quotas.Place{
		Budget: b.Name, Operation: call.Operation, ID: r.ID, Caller: RequestOwner(call), Person: r.Person, Bytes: r.Bytes, At: at, Until: r.Until,
		Bounds: rec.Limits.of(b), Refusal: ErrBudget, Class: r.Class,
	})
	if errors.Is(err, ErrBudget) {
		return edge.RetryAfter(fmt.Errorf("%s: %w", b.Name, err), b.Retry)
	}
	return err
}

// mayTake returns a fault for an operation that BudgetsOf does not list for a budget.
func mayTake(call *edge.Call, b *Budget) error {
	if b != ActsOf(call.Role) && !slices.Contains(BudgetsOf[call.Operation], b) {
		return fmt.Errorf("%s is not among the operations that take places in %s", call.Operation, b.Name)
	}
	return nil
}

// Add counts one more of what the caller leaves of a budget today about a person, or refuses
// with ErrBudget. It waits for no durable write. takeBack uncounts what was not left after all.
func (rec *Recorder) Add(ctx context.Context, call *edge.Call, b *Budget, person []byte) (takeBack func(), err error) {
	if err := mayTake(call, b); err != nil {
		return nil, err
	}
	takeBack, err = rec.Quotas.Add(ctx, quotas.Amount{
		Budget: b.Name, Operation: call.Operation, Caller: RequestOwner(call), Person: person, At: rec.Timestamp(), Bounds: rec.Limits.of(b), Refusal: ErrBudget,
	})
	if errors.Is(err, ErrBudget) {
		return nil, edge.RetryAfter(fmt.Errorf("%s: %w", b.Name, err), b.Retry)
	}
	return takeBack, err
}

// FreeIfRefused gives back the place of an act that ended with err and left nothing.
func (rec *Recorder) FreeIfRefused(b *Budget, id uuid.UUID, err error) {
	if err != nil && !MayHaveWritten(err) {
		rec.Free(b, id)
	}
}

// Free gives a place back, if it is still taken.
func (rec *Recorder) Free(b *Budget, id uuid.UUID) { rec.Quotas.Free(b.Name, id) }

// ActsOf returns the budget of the acts of a caller's role; nil for organisations, whose acts
// are bounded by whom they name and what they leave.
func ActsOf(role domain.Role) *Budget {
	switch role {
	case domain.RoleCitizen:
		return &CitizenActs
	case domain.RoleAuditor, domain.RolePrivacyOfficer, domain.RoleOperator:
		return &OfficeActs
	}
	return nil
}
