package api

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/mandate"
	"coffre/domain/registry"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// A history is a vault and what a test knows of it by itself: who is whose representative by
// whose word, who is born when, who lives, and what the registry says.
type history struct {
	tv       *testVault
	rand     *rand.Rand
	people   []int
	numbers  map[int]contract.SSIN // of each person, the one of today
	born     map[int]domain.Date   // by that number
	dead     map[int]bool
	rights   map[domain.Organisation][]registry.Attestation
	age      int
	mandates []*knownMandate
	serial   int
}

// knownMandate is a mandate as the test knows it.
type knownMandate struct {
	id          domain.MandateID
	kind        mandate.Ground
	whom, who   int
	source      domain.Organisation
	until, born domain.Date
	card        bool // it is about ISI+ cards only, by an issued card
	accepted    bool
	ended       bool
	attested    bool // its source had the right when it was granted
}

// Whatever happens in whatever order, a citizen acts for another exactly while a mandate
// lives that is attested: asked of the one place that decides, for everybody and everybody
// else, after every step.
func TestF26NobodySpeaksForAnotherInAnyHistory(t *testing.T) {
	spoke := 0
	for range 4 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("M-1.10 M-1.11 M-1.12 seed %d", seed), func(t *testing.T) {
			h := newHistory(t, seed)
			for range 30 {
				h.step(t)
				spoke += h.check(t)
			}
		})
	}
	if spoke == 0 {
		t.Error("nobody ever spoke for anybody")
	}
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{
		tv: newVault(t), rand: rand.New(rand.NewPCG(seed, 26)), people: []int{1, 2, child(1), child(2)},
		numbers: map[int]contract.SSIN{}, born: map[int]domain.Date{}, dead: map[int]bool{}, age: 16,
		rights: map[domain.Organisation][]registry.Attestation{
			homeAffairs: {registry.Parentage, registry.Death, registry.NationalNumber}, socialSecurity: {registry.Parentage}, justice: {registry.CourtAppointment},
		},
	}
	for _, p := range h.people {
		h.tv.household(t, p)
		h.numbers[p], h.born[p] = ssin(p), map[bool]domain.Date{true: "1900-01-01", false: "2016-04-05"}[p < child(0)]
	}
	return h
}

func pick[E any](h *history, from ...E) E { return from[h.rand.IntN(len(from))] }

func (h *history) today() domain.Date { return domain.BelgianDate(h.tv.Clock.Now()) }

// step does one thing, lawful or not; what is refused changes nothing.
func (h *history) step(t *testing.T) {
	t.Helper()
	whom, who := pick(h, h.people...), pick(h, h.people...)
	if whom == who {
		return
	}
	switch h.rand.IntN(10) {
	case 0, 1, 2:
		h.issue(t, whom, who)
	case 3, 4:
		kind := pick(h, mandate.ParentOfMinor, mandate.AppointedByCourt)
		h.grant(t, issuer(pick(h, homeAffairs, justice, healthInsurance)), kind, whom, who)
	case 5:
		h.grant(t, citizenCaller(h.tv.person(t, whom)), mandate.Representation, whom, who)
	case 6:
		h.end(t)
	case 7:
		h.replaceNumber(t, whom)
	case 8:
		h.publish(t)
	case 9:
		if h.rand.IntN(6) == 0 {
			h.tv.Clock.Advance(time.Hour)
			h.die(t, whom)
			return
		}
		h.tv.Clock.Advance(time.Duration(1+h.rand.IntN(500)) * 24 * time.Hour)
	}
	h.tv.waitForReadModels(t)
}

func (h *history) issue(t *testing.T, whom, who int) {
	by, born := pick(h, socialSecurity, healthInsurance), pick(h, h.born[whom], "2016-04-05", "2012-02-29", "1982-01-01")
	if born < "1920" {
		born = "1982-01-01"
	}
	body := contract.DocumentIssue{SSIN: h.numbers[whom], DocumentType: "isiPlusCard", SourceReference: uuid.NewString(), ValidFrom: "2020-01-01", ValidUntil: "2060-01-01",
		Content: contract.Content(`{"name":"Canary","birthDate":"` + string(born) + `"}`), Parents: []contract.SSIN{h.numbers[who]}}
	if _, _, err := h.tv.issueAs(t, by, uuid.New(), body); err != nil || !h.today().Before(born.AddYears(18)) {
		return
	}
	known := slices.ContainsFunc(h.mandates, func(m *knownMandate) bool { return m.card && m.whom == whom && m.who == who })
	if !known {
		h.mandates = append(h.mandates, &knownMandate{kind: mandate.ParentOfMinor, whom: whom, who: who, source: by, card: true, accepted: true,
			until: born.AddYears(18), born: domain.Earlier(born, h.born[whom]), attested: slices.Contains(h.rights[by], registry.Parentage)})
	}
}

func (h *history) grant(t *testing.T, by edge.Caller, kind mandate.Ground, whom, who int) {
	body := contract.MandateGrant{RepresentativeSSIN: h.numbers[who], Kind: contract.MandateKind(kind), Until: h.today().AddYears(pick(h, 1, 5, 17)),
		Actions: []contract.MandateAction{contract.MandateActionRead, contract.MandateActionConsent}}
	if by.Role == domain.RoleIssuer {
		body.SSIN = h.numbers[whom]
	}
	receipt, err := h.tv.grantMandate(t, by, body)
	if err != nil {
		return
	}
	m := &knownMandate{id: receipt.MandateID, kind: kind, whom: whom, who: who, source: by.Organisation, until: body.Until, born: h.born[whom],
		accepted: by.Role == domain.RoleIssuer, attested: slices.Contains(h.rights[by.Organisation], kind.Attestation())}
	h.mandates = append(h.mandates, m)
	if m.accepted || h.rand.IntN(3) == 0 {
		return
	}
	_, err = h.tv.AcceptMandate(h.tv.as(t, citizenCaller(h.tv.person(t, who)), "acceptMandate", nil), contract.AcceptMandateRequestObject{MandateID: m.id, Params: contract.AcceptMandateParams{IdempotencyKey: uuid.New()}})
	m.accepted = err == nil
}

func (h *history) end(t *testing.T) {
	if len(h.mandates) == 0 {
		return
	}
	m := pick(h, h.mandates...)
	if m.id.IsZero() { // by a card, whose mandate's id nobody was told
		return
	}
	body := contract.MandateEnd{}
	by := pick(h, citizenCaller(h.tv.person(t, m.who)), citizenCaller(h.tv.person(t, m.whom)), issuer(homeAffairs), issuer(justice))
	if by.Role == domain.RoleIssuer {
		body.Reason = mandate.Decision
	}
	if _, err := h.tv.EndMandate(h.tv.as(t, by, "endMandate", body), contract.EndMandateRequestObject{MandateID: m.id, Params: contract.EndMandateParams{IdempotencyKey: uuid.New()}, Body: &body}); err == nil {
		m.ended = true
	}
}

func (h *history) replaceNumber(t *testing.T, whom int) {
	h.serial++
	date := pick(h, "150101", "160000", "120229", "080101", "104000")
	var base int64
	if _, err := fmt.Sscan(fmt.Sprintf("1%s%03d", date, 100+h.serial), &base); err != nil {
		t.Fatal(err)
	}
	base -= 1_000_000_000
	number, err := domain.ParseSSIN(fmt.Sprintf("%09d%02d", base, 97-(2_000_000_000+base)%97))
	if err != nil {
		t.Fatal(err)
	}
	body := contract.SSINReplacement{SSIN: h.numbers[whom], ReplacedBy: contract.SSIN{SSIN: number}}
	if _, err := h.tv.ReplaceSSIN(h.tv.as(t, issuer(homeAffairs), "replaceSsin", body), contract.ReplaceSSINRequestObject{Params: contract.ReplaceSSINParams{IdempotencyKey: uuid.New()}, Body: &body}); err == nil {
		h.numbers[whom] = body.ReplacedBy
		h.born[whom] = map[string]domain.Date{"150101": "2015-01-01", "160000": "2016-01-01", "120229": "2012-02-29", "080101": "2008-01-01", "104000": "2010-01-01"}[date]
	}
}

func (h *history) publish(t *testing.T) {
	h.age = pick(h, 0, 12, 16, 18)
	h.rights = map[domain.Organisation][]registry.Attestation{homeAffairs: {registry.Death, registry.NationalNumber}}
	for _, o := range []domain.Organisation{homeAffairs, socialSecurity, justice, healthInsurance} {
		for _, a := range []registry.Attestation{registry.Parentage, registry.CourtAppointment} {
			if h.rand.IntN(2) == 0 {
				h.rights[o] = append(h.rights[o], a)
			}
		}
	}
	h.tv.publish(t, func(r *registry.Registry) {
		for i := range r.Organisations {
			r.Organisations[i].Attests = h.rights[r.Organisations[i].Number]
		}
		r.Settings.MinorsDecideFrom = h.age
		organisation(t, r, railways).DailyQuota = 10_000 + int(h.tv.Words.Current().Version()) // another registry than the one before
	})
}

func (h *history) die(t *testing.T, whom int) {
	body := contract.DeathReport{SSIN: h.numbers[whom], Date: "2026-06-14"}
	if _, err := h.tv.ReportDeath(h.tv.as(t, issuer(homeAffairs), "reportDeath", body), contract.ReportDeathRequestObject{Params: contract.ReportDeathParams{IdempotencyKey: uuid.New()}, Body: &body}); err != nil {
		t.Fatal(err)
	}
	h.dead[whom] = true
	h.tv.waitForReadModels(t)
}

// of tells whether who was born on a day has an age today.
func (h *history) of(born domain.Date, years int) bool {
	return !h.today().Before(born.AddYears(years))
}

// decidingAge is the age from which a minor decides.
func (h *history) decidingAge() int {
	if h.age == 0 {
		return 18
	}
	return max(h.age, 12)
}

// speaks tells once more by what rules a mandate speaks today.
func (h *history) speaks(m *knownMandate) bool {
	decides, of := h.decidingAge(), h.of
	switch {
	case m.ended || !m.accepted || h.dead[m.who] || h.dead[m.whom]:
		return false
	case m.kind == mandate.Representation:
		return h.today().Before(m.until) && of(h.born[m.whom], decides)
	case !slices.Contains(h.rights[m.source], m.kind.Attestation()) || !h.today().Before(m.until):
		return false
	case m.kind == mandate.AppointedByCourt:
		return true
	}
	if of(m.born, 18) || !h.today().Before(m.born.AddYears(18)) {
		return false // beyond the majority, at which it was recorded to end
	}
	if of(h.born[m.whom], 18) {
		m.ended = true // what contradicts the number is ended when somebody tries
		return false
	}
	return !of(m.born, decides) && !of(h.born[m.whom], decides)
}

// check asks for everybody and everybody else, and returns for how many pairs one speaks.
func (h *history) check(t *testing.T) (spoke int) {
	t.Helper()
	for _, m := range h.mandates {
		if m.kind != mandate.Representation && !m.attested {
			t.Fatalf("%s was granted by %s, which had no right", m.kind, m.source)
		}
	}
	for _, who := range h.people {
		for _, whom := range h.people {
			if who == whom {
				continue
			}
			want := false
			for _, m := range h.mandates {
				if m.who == who && m.whom == whom {
					want = h.speaks(m) || want
				}
			}
			for _, action := range []mandate.Action{mandate.Read, mandate.Consent} {
				in := h.tv.NewIntent(h.tv.as(t, citizenCaller(h.tv.person(t, who)), "getWallet", nil))
				want := want && (action == mandate.Read || h.of(h.born[who], h.decidingAge())) // no child decides for others
				a, err := h.tv.ActFor(t.Context(), in, new(h.tv.person(t, whom)), action)
				if got := err == nil; got != want || got && (a.Self() || len(a.Mandates) == 0) || !got && (slugOf(err) != "resourceNotFound" || len(a.Mandates) > 0) {
					t.Fatalf("on %s, from the age of %d: %d acts for %d (%s): %v, want %v: %s", h.today(), h.age, who, whom, action, err, want, h.tell())
				}
			}
			if want {
				spoke++
			}
		}
	}
	return spoke
}

func (h *history) tell() string {
	text := fmt.Sprintf("rights %v, born %v, dead %v", h.rights, h.born, h.dead)
	for _, m := range h.mandates {
		text += fmt.Sprintf("; %+v", *m)
	}
	return text
}
