package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// identity changes who vouches for callers: as two persons do, and by a recovery.
func (r *rig) identity(t *testing.T) {
	t.Helper()
	provider := func(issuer string) (audit.Provider, string) {
		is, err := vault.NewOIDC(issuer).Provider()
		if err != nil {
			t.Fatal(err)
		}
		said, err := json.Marshal(contract.IdentityProviderPropose{
			Provider: contract.IdentityProvider{Issuer: is.Issuer, Audience: is.Audience, Settings: is.Settings}, Reason: contract.IdentityProviderReasonReplaced,
		})
		if err != nil {
			t.Fatal(err)
		}
		return is, string(said)
	}
	name := func(is audit.Provider) {
		t.Helper()
		if _, err := r.Core.NameProvider(t.Context(), is); err != nil {
			t.Fatal(err)
		}
	}
	operator, officer := grantFor(domain.RoleOperator, "", domain.CitizenID{}), grantFor(domain.RolePrivacyOfficer, "", domain.CitizenID{})
	first, _ := provider("https://login.example")
	second, body := provider("https://login2.example")
	third, recovery := provider("https://login3.example")
	name(first)
	var waits struct{ ChangeID uuid.UUID }
	r.post(t, operator, "/identityProvider/changes", body, &waits)
	r.post(t, officer, "/identityProvider/changes/"+waits.ChangeID.String()+"/approve", "", &struct{}{})
	name(second)

	account := func(name string) (by edge.Caller) {
		return edge.Caller{Role: domain.RoleOperator, Subject: name, Door: domain.ControlSocket, Why: "exercise"}
	}
	ctx := func(by edge.Caller, operation string, body any) *edge.Call {
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return &edge.Call{Caller: by, Operation: operation, Body: raw, Trace: uuid.New()}
	}
	var ask contract.ProposeIdentityProviderJSONRequestBody
	if err := json.Unmarshal([]byte(recovery), &ask); err != nil {
		t.Fatal(err)
	}
	ask.Reason = contract.IdentityProviderReasonGone
	asked, err := r.Core.ProposeIdentityProvider(edge.WithCall(t.Context(), ctx(account("one"), "proposeIdentityProvider", ask)),
		contract.ProposeIdentityProviderRequestObject{Params: contract.ProposeIdentityProviderParams{IdempotencyKey: uuid.New()}, Body: &ask})
	if err != nil {
		t.Fatal(err)
	}
	id := asked.(contract.ProposeIdentityProvider202JSONResponse).Body.ChangeID
	if _, err := r.Core.ApproveIdentityProvider(edge.WithCall(t.Context(), ctx(account("two"), "approveIdentityProvider", nil)),
		contract.ApproveIdentityProviderRequestObject{ChangeID: id, Params: contract.ApproveIdentityProviderParams{IdempotencyKey: uuid.New()}}); err != nil {
		t.Fatal(err)
	}
	name(third)
	if w := r.get(t, officer, "/identityProvider"); !strings.Contains(w.Body.String(), `"confirmed":false`) {
		t.Errorf("%s", w.Body)
	}
	r.post(t, officer, "/identityProvider/confirm", "", &struct{}{})
}

// A provider is proposed, approved and looked at from the command line, in words that a
// person understands, and what is no provider is refused before a vault is asked.
func TestIdentityCommands(t *testing.T) {
	dir := t.TempDir()
	stop := servedWith(t, vault.DataDir(dir), vault.Options{OIDC: vault.NewOIDC("https://login.example")})
	defer func() { stop() }()
	s := onDisk(t)
	if got := s.must(0, "identity", "show", "--data", dir, "--why", "inspection"); !strings.Contains(got.out, "https://login.example") || !strings.Contains(got.out, "types=at+jwt") {
		t.Errorf("%q", got.out)
	}
	propose := []string{"identity", "propose", "--data", dir, "--why", "incident", "--reason", "gone", "--json", "--oidc-issuer", "https://login2.example", "--oidc-claims", "ssin=egovNRN"}
	var change contract.IdentityProviderChange
	if err := json.Unmarshal([]byte(s.must(0, propose...).out), &change); err != nil || change.State != contract.IdentityProviderChangeStateProposed {
		t.Fatalf("%+v, %v", change, err)
	}
	if got := s.must(exitFailed, "identity", "approve", "--data", dir, "--why", "incident", change.ChangeID.String()); !strings.Contains(got.err, "secondPersonNeeded") {
		t.Errorf("%q", got.err)
	}
	if got := s.must(0, "identity", "show", "--data", dir, "--why", "inspection"); !strings.Contains(got.out, "claims.ssin=egovNRN") || !strings.Contains(got.out, change.ChangeID.String()) {
		t.Errorf("%q", got.out)
	}
	for want, args := range map[string][]string{
		"--oidc-issuer":     {"identity", "propose", "--data", dir, "--why", "incident", "--reason", "replaced"},
		"--reason is":       {"identity", "propose", "--data", dir, "--why", "incident", "--reason", "boredom", "--oidc-issuer", "https://login2.example"},
		"CHANGE is a UUID":  {"identity", "approve", "--data", dir, "--why", "incident", "1"},
		"CHANGE is missing": {"identity", "approve", "--data", dir},
	} {
		if got := s.must(exitUsage, args...); !strings.Contains(got.err, want) {
			t.Errorf("%q does not say %q", got.err, want)
		}
	}
	if got := s.must(exitFailed, "identity", "confirm", "--data", dir, "--why", "incident"); !strings.Contains(got.err, "controlSocketRole") {
		t.Errorf("%q", got.err)
	}
	stop()
	stop = func() {}
	got := s.run("serve", "--data", dir, "--listen", "127.0.0.1:0", "--oidc-issuer", "https://login2.example", "--oidc-claims", "ssin=egovNRN")
	if got.code != exitFailed || !strings.Contains(got.err, "https://login.example") || !strings.Contains(got.err, "coffre identity approve "+change.ChangeID.String()) {
		t.Errorf("%d, %q", got.code, got.err)
	}
}

// A proposal of what no process can be started with is refused, and says where.
func TestProposedProviderIsChecked(t *testing.T) {
	r := newRig(t)
	operator := token.Grant{Role: domain.RoleOperator}
	for name, provider := range map[string]string{
		"settings": `{"issuer":"https://login.example","audience":"coffre","settings":["types=at+jwt"]}`,
		"issuer":   `{"issuer":"http://login.example","audience":"coffre","settings":[]}`,
	} {
		w := r.send(t, operator, "/identityProvider/changes", `{"provider":`+provider+`,"reason":"replaced"}`)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "providerSettings") || !strings.Contains(w.Body.String(), `"name":"/provider"`) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
