package audit_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	. "coffre/domain/audit"
	"coffre/domain/domaintest"
)

// Who vouches for callers, rule by rule.
func TestRules(t *testing.T) {
	at := time.Date(2026, time.June, 15, 10, 0, 0, 0, time.UTC)
	later := func(d time.Duration) time.Time { return at.Add(d) }
	const day = 24 * time.Hour
	id, other := uuid.MustParse("0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44"), uuid.MustParse("1b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44")
	first := Provider{Issuer: "https://login.example", Audience: "coffre", Settings: []string{"types=at+jwt"}}
	remapped := Provider{Issuer: first.Issuer, Audience: "coffre", Settings: []string{"claims.ssin=nickname", "types=at+jwt"}}
	second := Provider{Issuer: "https://login2.example", Audience: "coffre", Settings: []string{"types=at+jwt"}}
	operator := domain.Actor{Role: domain.RoleOperator, Subject: "1.a"}
	officer := domain.Actor{Role: domain.RolePrivacyOfficer, Subject: "1.b"}
	machine := domain.Actor{Role: domain.RoleOperator, Subject: "1.c", Door: domain.ControlSocket}
	colleague := domain.Actor{Role: domain.RoleOperator, Subject: "1.d", Door: domain.ControlSocket}
	named := ProviderNamed{Provider: first, At: at}
	proposed := ProviderChangeProposed{Provider: second, Change: id, Reason: ProviderReplaced, At: at}
	gone := ProviderChangeProposed{Provider: second, Change: id, Reason: ProviderGone, At: at}
	approved := ProviderChangeApproved{Change: id, At: at}
	taken := ProviderNamed{Provider: second, Change: id, At: at}
	recovered := ProviderNamed{Provider: second, Change: id, Recovered: true, At: at}
	approve := func(by, of domain.Actor, when time.Time) ApproveProvider {
		return ApproveProvider{Change: id, ProposedBy: of, Comparable: true, By: by, At: when}
	}
	given := func(e ...Event) []Event { return e }
	domaintest.Run(t, Evolve, []domaintest.Scenario[State, Event]{
		{Name: "I-1 the first provider is put on record", When: NameProvider{Provider: first, At: at}, Then: given(named)},
		{Name: "I-1 the provider on record", Given: given(named), When: NameProvider{Provider: first, At: at}},
		{Name: "I-1 another issuer", Given: given(named), When: NameProvider{Provider: second, At: at}, Err: ErrOtherProvider},
		{Name: "I-1 another audience", Given: given(named), When: NameProvider{Provider: Provider{first.Issuer, "other", first.Settings}, At: at}, Err: ErrOtherProvider},
		{Name: "I-1 other settings", Given: given(named), When: NameProvider{Provider: remapped, At: at}, Err: ErrOtherProvider},
		{Name: "I-1 settings where none were on record", Given: given(ProviderNamed{Provider: Provider{Issuer: first.Issuer}, At: at}), When: NameProvider{Provider: first, At: at}, Then: given(named)},
		{Name: "I-1 another issuer where no settings were on record", Given: given(ProviderNamed{Provider: Provider{Issuer: first.Issuer}, At: at}), When: NameProvider{Provider: second, At: at}, Err: ErrOtherProvider},
		{Name: "I-1 what was only proposed", Given: given(named, proposed), When: NameProvider{Provider: second, At: at}, Err: ErrOtherProvider},
		{Name: "I-2 an operator proposes", Given: given(named), When: ProposeProvider{Change: id, Provider: second, Reason: ProviderReplaced, By: operator, At: at}, Then: given(proposed)},
		{Name: "I-2 an auditor proposes", Given: given(named), When: ProposeProvider{Change: id, Provider: second, Reason: ProviderReplaced, By: domain.Actor{Role: domain.RoleAuditor, Subject: "x"}, At: at}, Err: ErrMayNotChange},
		{Name: "I-2 without a reason", Given: given(named), When: ProposeProvider{Change: id, Provider: second, By: operator, At: at}, Err: ErrProviderReason},
		{Name: "I-2 for a vault that has none", When: ProposeProvider{Change: id, Provider: second, Reason: ProviderReplaced, By: operator, At: at}, Err: ErrNoProvider},
		{Name: "I-2 the one on record", Given: given(named), When: ProposeProvider{Change: id, Provider: first, Reason: ProviderReplaced, By: operator, At: at}, Err: ErrSameProvider},
		{Name: "I-2 proposed again", Given: given(named, proposed), When: ProposeProvider{Change: id, Provider: second, Reason: ProviderReplaced, By: operator, At: at}},
		{Name: "I-2 an officer approves", Given: given(named, proposed), When: approve(officer, operator, at), Then: given(approved)},
		{Name: "I-2 approved again", Given: given(named, proposed, approved), When: approve(officer, operator, at)},
		{Name: "I-2 an operator approves", Given: given(named, proposed), When: approve(colleague, operator, at), Err: ErrMayNotChange},
		{Name: "I-2 an auditor approves", Given: given(named, proposed), When: approve(domain.Actor{Role: domain.RoleAuditor, Subject: "x"}, operator, at), Err: ErrMayNotChange},
		{Name: "I-2 who proposed approves", Given: given(named, proposed), When: approve(officer, officer, at), Err: ErrProviderSecond},
		{Name: "I-2 who proposed under a former key approves", Given: given(named, proposed), When: ApproveProvider{Change: id, ProposedBy: operator, Aliases: []string{"1.b", "1.a"}, Comparable: true, By: officer, At: at}, Err: ErrProviderSecond},
		{Name: "I-2 who proposed cannot be told", Given: given(named, proposed), When: ApproveProvider{Change: id, ProposedBy: operator, By: officer, At: at}, Err: ErrProviderSecond},
		{Name: "I-2 another change is approved", Given: given(named, proposed), When: ApproveProvider{Change: other, ProposedBy: operator, Comparable: true, By: officer, At: at}, Err: ErrNoSuchChange},
		{Name: "I-2 nothing was proposed", Given: given(named), When: ApproveProvider{ProposedBy: operator, Comparable: true, By: officer, At: at}, Err: ErrNoSuchChange},
		{Name: "I-2 an approved change is taken up", Given: given(named, proposed, approved), When: NameProvider{Provider: second, At: at}, Then: given(taken)},
		{Name: "I-3 a proposal of seven days", Given: given(named, proposed), When: approve(officer, operator, later(7*day)), Err: ErrChangeLapsed},
		{Name: "I-3 a proposal of less", Given: given(named, proposed), When: approve(officer, operator, later(7*day-1)), Then: given(ProviderChangeApproved{Change: id, At: later(7*day - 1)})},
		{Name: "I-3 an approval of thirty days", Given: given(named, proposed, approved), When: NameProvider{Provider: second, At: later(30 * day)}, Err: ErrOtherProvider},
		{Name: "I-3 a later proposal counts", Given: given(named, proposed, ProviderChangeProposed{Provider: remapped, Change: other, Reason: ProviderRemapped, At: at}), When: approve(officer, operator, at), Err: ErrNoSuchChange},
		{Name: "I-3 a later proposal is not what was approved", Given: given(named, proposed, approved, ProviderChangeProposed{Provider: remapped, Change: other, Reason: ProviderRemapped, At: at}), When: NameProvider{Provider: second, At: at}, Err: ErrOtherProvider},
		{Name: "I-3 what was taken up is not taken up again", Given: given(named, proposed, approved, taken, ProviderNamed{Provider: first, Change: other, At: at}), When: NameProvider{Provider: second, At: later(day)}, Err: ErrOtherProvider},
		{Name: "I-4 a recovery is proposed over the API", Given: given(named), When: ProposeProvider{Change: id, Provider: second, Reason: ProviderGone, By: operator, At: at}, Err: ErrRecoveryPlace},
		{Name: "I-4 a recovery is proposed on the machine", Given: given(named), When: ProposeProvider{Change: id, Provider: second, Reason: ProviderGone, By: machine, At: at}, Then: given(gone)},
		{Name: "I-4 another account approves", Given: given(named, gone), When: approve(colleague, machine, at), Then: given(approved)},
		{Name: "I-4 the same account approves", Given: given(named, gone), When: approve(machine, machine, at), Err: ErrProviderSecond},
		{Name: "I-4 an officer approves a recovery", Given: given(named, gone), When: approve(officer, machine, at), Err: ErrRecoveryPlace},
		{Name: "I-4 a recovery is taken up", Given: given(named, gone, approved), When: NameProvider{Provider: second, At: at}, Then: given(recovered)},
		{Name: "I-4 an officer confirms", Given: given(named, gone, approved, recovered), When: ConfirmProvider{By: officer, At: at}, Then: given(ProviderConfirmed{Change: id, At: at})},
		{Name: "I-4 an operator confirms", Given: given(named, gone, approved, recovered), When: ConfirmProvider{By: operator, At: at}, Err: ErrMayNotConfirm},
		{Name: "I-4 confirmed already", Given: given(named, gone, approved, recovered, ProviderConfirmed{Change: id, At: at}), When: ConfirmProvider{By: officer, At: at}, Err: ErrNothingToConfirm},
		{Name: "I-4 after a change that was no recovery", Given: given(named, proposed, approved, taken), When: ConfirmProvider{By: officer, At: at}, Err: ErrNothingToConfirm},
		{Name: "I-4 what was recovered from is not started with", Given: given(named, gone, approved, recovered), When: NameProvider{Provider: first, At: at}, Err: ErrOtherProvider},
		{Name: "I-5 the former provider within a day", Given: given(named, proposed, approved, taken), When: NameProvider{Provider: first, At: later(day - 1)}},
		{Name: "I-5 the former provider after it", Given: given(named, proposed, approved, taken), When: NameProvider{Provider: first, At: later(day)}, Err: ErrOtherProvider},
	})
}
