package edge

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"coffre/domain"
	"coffre/handlers/edge/token"
)

// claiming is an Authenticator that takes for a token what it says: a role, and after a
// slash why its holder comes. Its callers claim to be somebody and of some organisation.
type claiming struct{}

func (claiming) Authenticate(ctx context.Context, p token.Presented) (Caller, error) {
	role, why, _ := strings.Cut(p.Token, "/")
	c, err := believing{}.Authenticate(ctx, token.Bearer(role))
	c.Subject, c.Organisation, c.Why, c.Case = "somebody", "0671516647", domain.WorkReason(why), "INC-1"
	return c, err
}

// atSocket sends a good request of an operation through a control socket.
func atSocket(t *testing.T, s ControlSocket, c call, bearer string, account *Account) (*httptest.ResponseRecorder, *Caller) {
	t.Helper()
	e := newEdge(t)
	e.Auth = s
	var reached *Caller
	e.do = func(_ http.ResponseWriter, r *http.Request) { reached = &CallFrom(r.Context()).Caller }
	r := c.Request(c.Body)
	r.Header.Set("Authorization", "Bearer "+bearer)
	if account != nil {
		r = r.WithContext(WithAccount(r.Context(), *account))
	}
	return e.send(r), reached
}

// Where a provider vouches for callers, the control socket serves operators alone, each
// known by the account of their process and with why they came.
func TestControlSocketServesOperatorsAlone(t *testing.T) {
	operators := map[string]bool{
		"getCondition": true, "getTraffic": true, "getMonthlyUsage": true,
		"listDueErasures": true, "listProjections": true, "getRebuild": true, "listWebhooks": true, "listReactors": true, "listPoison": true, "pauseReactor": true, "resumeReactor": true, "retryPoison": true, "dropPoison": true, "listEboxMessages": true, "retryEboxMessages": true, "listWebhookSubscriptions": true, "listWebhookDeliveries": true, "enableWebhookSubscription": true, "replayWebhookSubscription": true, "removeWebhookSubscription": true, "listAttachments": true, "getIdentityProvider": true, "proposeIdentityProvider": true, "approveIdentityProvider": true, "enableWebhook": true, "replayWebhook": true, "rotateWebhook": true, "rebuildProjection": true, "getKeys": true, "rotateKeys": true,
		"createBackup": true, "reportVerifiedBackup": true, "reportBackupElsewhere": true, "retireKeys": true, "trimKeys": true,
		"rotatePepper": true, "rotateAudit": true, "rotateRequests": true, "publishRegistry": true,
	}
	s := ControlSocket{Own: claiming{}, Provided: true}
	served := 0
	for _, c := range calls(t) {
		if len(c.Roles) == 0 {
			continue // nobody's in particular
		}
		for _, role := range []domain.Role{domain.RoleIssuer, domain.RoleConsumer, domain.RoleCitizen, domain.RoleAuditor, domain.RolePrivacyOfficer, domain.RoleOperator} {
			w, caller := atSocket(t, s, c, string(role)+"/maintenance", &Account{UID: 1000})
			switch {
			case role != domain.RoleOperator:
				if caller != nil {
					t.Errorf("%s was served to role %s", c.OperationID, role)
				}
				refused(t, w, http.StatusForbidden, "urn:problem-type:coffre:controlSocketRole")
			case !slices.Contains(c.Roles, string(role)):
				if caller != nil {
					t.Errorf("%s was served to role %s", c.OperationID, role)
				}
				refused(t, w, http.StatusForbidden, "urn:problem-type:belgif:missingPermission")
			case caller == nil:
				t.Errorf("%s was not served: %s", c.OperationID, w.Body)
			default:
				served++
				if !operators[c.OperationID] {
					t.Errorf("%s is served to operators: if it discloses nothing of a citizen, add it to the list", c.OperationID)
				}
				if caller.Subject != "os-account:1000" || caller.Door != domain.ControlSocket || caller.Why != "maintenance" || caller.Case != "INC-1" || !caller.Organisation.IsZero() {
					t.Errorf("%s: the caller is %+v", c.OperationID, caller)
				}
			}
		}
	}
	if served != len(operators) {
		t.Errorf("%d operations were served, want %d", served, len(operators))
	}
}

// Nobody is served before they say why, but for the state of the read models.
func TestControlSocketAsksWhy(t *testing.T) {
	s := ControlSocket{Own: claiming{}, Provided: true}
	for _, c := range calls(t) {
		if !slices.Contains(c.Roles, string(domain.RoleOperator)) {
			continue
		}
		w, caller := atSocket(t, s, c, string(domain.RoleOperator), &Account{UID: 1000})
		if c.OperationID == "listProjections" {
			if caller == nil {
				t.Errorf("the state of the read models was refused: %s", w.Body)
			}
			continue
		}
		if caller != nil {
			t.Errorf("%s was served without a reason", c.OperationID)
		}
		refused(t, w, http.StatusForbidden, "urn:problem-type:coffre:controlSocketReason")
	}
}

// Two persons at the control socket are two accounts, whatever they call themselves; root
// is one account, and a process whose account is unknown is nobody.
func TestTwoPersonsAtTheControlSocketAreTwoAccounts(t *testing.T) {
	s := ControlSocket{Own: naming{}, Provided: true}
	subject := func(name string, account *Account) string {
		ctx := context.Background()
		if account != nil {
			ctx = WithAccount(ctx, *account)
		}
		c, err := s.Authenticate(ctx, token.Bearer(name))
		if err != nil {
			return err.Error()
		}
		return c.Subject
	}
	anna, root := &Account{UID: 1000}, &Account{UID: 0}
	if subject("anna", anna) != subject("ben", anna) || subject("anna", root) != subject("ben", root) {
		t.Error("one account is two persons by calling itself otherwise")
	}
	if subject("anna", anna) == subject("anna", root) {
		t.Error("two accounts are one person")
	}
	if got := subject("anna", nil); !strings.Contains(got, ErrSocketAccount.Slug) {
		t.Errorf("a process whose account is not known is %q", got)
	}
}

// naming is an Authenticator that takes a token for the name of an operator.
type naming struct{}

func (naming) Authenticate(_ context.Context, p token.Presented) (Caller, error) {
	return Caller{Role: domain.RoleOperator, Subject: p.Token, Why: "maintenance"}, nil
}

// In a vault for trying out tokens are believed at the control socket, as elsewhere.
func TestControlSocketBelievesTokensWithoutAProvider(t *testing.T) {
	s := ControlSocket{Own: claiming{}}
	for _, c := range calls(t) {
		for _, role := range c.Roles {
			_, caller := atSocket(t, s, c, role, nil)
			if caller == nil || caller.Subject != "somebody" || caller.Role != domain.Role(role) || caller.Door != domain.ControlSocket {
				t.Errorf("%s by role %s: %+v", c.OperationID, role, caller)
			}
		}
	}
}
