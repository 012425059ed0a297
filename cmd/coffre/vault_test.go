package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/eventstore/seal/transit/vaulttest"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// vaultOf is the configuration for a Vault of the tests, with all its identities.
func vaultOf(t *testing.T, s *vaulttest.Server) *vault.TransitConfig {
	t.Helper()
	identity := func(name string) vault.TransitLogin {
		login := s.Login(t, name)
		return vault.TransitLogin{Role: login.RoleID, SecretIDFile: login.SecretIDFile}
	}
	return &vault.TransitConfig{
		Address: s.Address, CAFile: s.CAFile, Timeout: 20 * time.Second, // as slow as a busy machine
		Application: identity(vaulttest.Application), Rotator: identity(vaulttest.Rotator), Destroyer: identity(vaulttest.Destroyer),
	}
}

// inVault is a program over a directory whose keys lie in Vault, with what it opened.
type inVault struct {
	connection
	t      *testing.T
	dir    string
	opened *vault.Instance
	logs   *bytes.Buffer
}

func openInVault(t *testing.T, cfg *vault.TransitConfig) *inVault {
	t.Helper()
	return openInVaultAt(t, t.TempDir(), cfg)
}

func openInVaultAt(t *testing.T, dir string, cfg *vault.TransitConfig) *inVault {
	t.Helper()
	v := &inVault{t: t, dir: dir, logs: &bytes.Buffer{}}
	p := newProgram(terminal{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
	p.open = func(ctx context.Context, dir vault.DataDir) (_ runningVault, err error) {
		v.opened, err = vault.Open(ctx, dir, vault.Options{Transit: cfg, Logger: slog.New(slog.NewJSONHandler(v.logs, nil))})
		return v.opened, err
	}
	var err error
	if v.connection, err = p.connect(t.Context(), where{data: v.dir}, true); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *inVault) citizen(i invented) *client.Client {
	return v.as(token.Grant{Role: domain.RoleCitizen, SSIN: i.ssin})
}

func (v *inVault) issue(to invented, reference string) (contract.DocumentReceipt, error) {
	r, err := client.Read[contract.DocumentReceipt](v.as(token.Grant{Role: domain.RoleIssuer, Organisation: homeAffairs}).IssueDocument(v.t.Context(),
		contract.IssueDocumentParams{IdempotencyKey: key()}, contract.DocumentIssue{
			SSIN: to.wire(), DocumentType: householdComposition, SourceReference: reference, ValidFrom: "2025-01-01",
			Content: content(map[string]any{"asOf": "2026-01-01", "householdSize": 3, "members": []any{map[string]any{"relation": "partner"}}}),
		}))
	return r.Body, err
}

// page returns a page of the edge, that of operators for /metrics.
func (v *inVault) page(path string) (int, string) {
	w, h := httptest.NewRecorder(), v.opened.Handler()
	if path == "/metrics" {
		h = v.opened.Operators()
	}
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// keysAway fails the test unless err says to come back when the keys are there.
func keysAway(t *testing.T, what string, err error) {
	t.Helper()
	var no *client.Refusal
	if !errors.As(err, &no) || no.Status != http.StatusServiceUnavailable || no.Slug() != "keysUnavailable" || no.RetryAfter <= 0 {
		t.Errorf("%s: %v, want 503 keysUnavailable with Retry-After", what, err)
	}
}

// TestVaultGoesAndComesBack tells one life with the keys in a real Vault, which is
// sealed in the middle of it.
func TestVaultGoesAndComesBack(t *testing.T) {
	ctx := t.Context()
	s := vaulttest.Shared(t)
	v := openInVault(t, vaultOf(t, s))
	f := inventFamily(time.Now())
	mother := v.citizen(f.mother)
	rail := v.as(token.Grant{Role: domain.RoleConsumer, Organisation: railways})
	household, err := v.issue(f.mother, "slice-mother")
	if err != nil {
		t.Fatal(err)
	}
	id, err := who{}.id(ctx, mother)
	if err != nil {
		t.Fatal(err)
	}
	grant := func() (domain.ConsentID, error) {
		r, err := client.Read[contract.ConsentReceiptShort](mother.GrantConsent(ctx, contract.GrantConsentParams{IdempotencyKey: key()}, contract.ConsentGrant{
			Consumer: railways, Purpose: familyDiscount, DocumentTypes: []domain.DocumentType{householdComposition}, Fields: []domain.Field{"householdSize"},
			ShownText: contract.ShownText{Text: discountText(), Language: "en", Version: "1"},
		}))
		return r.Body.ConsentID, err
	}
	read := func(consent domain.ConsentID) error {
		r, err := client.Read[contract.AccessAnswer](rail.AccessDocument(ctx, household.DocumentID, contract.AccessDocumentParams{IdempotencyKey: key()}, contract.AccessRequest{
			Purpose: familyDiscount, ConsentID: &consent, CaseReference: "slice-case",
		}))
		if err == nil && !strings.Contains(string(r.Body.Content), "householdSize") {
			t.Error("the access shows nothing")
		}
		return err
	}
	wallet := func() error {
		w, err := client.Read[contract.Wallet](mother.GetWallet(ctx, id, contract.GetWalletParams{}))
		if err == nil && (len(w.Body.Items) != 1 || !strings.Contains(string(w.Body.Items[0].Content), "householdSize")) {
			t.Errorf("the wallet shows %d documents", len(w.Body.Items))
		}
		return err
	}
	consent, err := grant()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []error{read(consent), wallet()} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if code, _ := v.page("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d", code)
	}
	if _, body := v.page(contract.Base + "/health"); !strings.Contains(body, string(contract.HealthStatusUP)) {
		t.Errorf("health: %s", body)
	}
	if _, body := v.page("/metrics"); strings.Count(body, "coffre_vault_logged_in{") != 3 || !strings.Contains(body, `coffre_vault_breaker_open{identity="application"} 0`) {
		t.Error("the metrics do not tell how Vault is")
	}

	s.Seal(t)
	if err := wallet(); err != nil {
		t.Errorf("what is warm needs no Vault: %v", err)
	}
	v.opened.Ring.Forget(id) // as another process, or this one after a while
	_, err = v.issue(f.aunt, "slice-aunt")
	keysAway(t, "issue to somebody new", err)
	_, err = v.issue(f.mother, "slice-again")
	keysAway(t, "issue another", err)
	keysAway(t, "wallet", wallet())
	keysAway(t, "access", read(consent))
	_, err = grant()
	keysAway(t, "grant", err)
	for range 5 { // now nobody is even asked
		keysAway(t, "wallet", wallet())
	}
	if v.opened.Health(ctx) != contract.HealthStatusDEGRADED {
		t.Error("the health is not degraded")
	}
	if _, body := v.page("/metrics"); !strings.Contains(body, `coffre_vault_breaker_open{identity="application"} 1`) {
		t.Error("the metrics do not tell that the breaker is open")
	}
	if code, _ := v.page("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d, and withdrawals need this process", code)
	}
	// What needs no key goes on.
	if _, err := client.Read[contract.ConsentReceiptShort](mother.WithdrawConsent(ctx, consent, contract.WithdrawConsentParams{IdempotencyKey: key()})); err != nil {
		t.Errorf("withdraw: %v", err)
	}
	issuer := v.as(token.Grant{Role: domain.RoleIssuer, Organisation: homeAffairs})
	if _, err := client.Read[contract.DocumentReceipt](issuer.RevokeDocument(ctx, household.DocumentID, contract.RevokeDocumentParams{IdempotencyKey: key(), IfMatch: `"1"`}, contract.DocumentRevocation{Reason: "issuedInError"})); err != nil {
		t.Errorf("revoke: %v", err)
	}
	if _, err := client.Read[contract.AccessLog](mother.GetAccessLog(ctx, id, contract.GetAccessLogParams{})); err != nil {
		t.Errorf("access log: %v", err)
	}
	if _, err := client.Read[contract.Erasure](mother.RequestErasure(ctx, contract.RequestErasureParams{IdempotencyKey: key()}, contract.ErasureRequest{CitizenID: id, Scope: contract.ErasureScopeCitizen, Reason: "citizenRequest"})); err != nil {
		t.Errorf("request an erasure: %v", err)
	}

	s.Unseal(t)
	eventually(t, wallet)
	eventually(t, func() error { _, err := v.issue(f.aunt, "slice-aunt"); return err })
	eventually(t, func() error { _, err := grant(); return err })
	if v.opened.Health(ctx) != contract.HealthStatusUP {
		t.Error("the health is not up again")
	}
	if err := v.close(); err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{"slice-mother": true, "slice-aunt": true, "slice-again": true, "slice-case": true, "householdSize\":3": true, f.mother.ssin.Reveal(): true, f.aunt.ssin.Reveal(): true, discountText(): true}
	hits := map[string]string{}
	finder := newFinder(words)
	if files := finder.below(t, hits, v.dir, s.Dir()); files < 8 {
		t.Fatalf("looked into %d files only", files)
	}
	finder.in("the log", v.logs.Bytes(), hits)
	for word, where := range hits {
		t.Errorf("%q stands in %s", word, where)
	}
}

// eventually asks again until it works: a breaker closes after a while.
func eventually(t *testing.T, call func() error) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := call()
		var no *client.Refusal
		if err == nil {
			return
		}
		if !errors.As(err, &no) || no.Status != http.StatusServiceUnavailable {
			t.Fatalf("on the way back: %v", err)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("it does not come back: %v", err)
		case <-ticker.C:
		}
	}
}

// The rotator rotates and the destroyer certifies, each by a login of its own;
// without one the answer is 503, and nothing is done in another's name.
func TestIdentitiesOfVault(t *testing.T) {
	ctx := t.Context()
	s := vaulttest.Shared(t)
	all := vaultOf(t, s)
	alone := *all
	alone.Rotator, alone.Destroyer = vault.TransitLogin{}, vault.TransitLogin{}
	for _, cfg := range []*vault.TransitConfig{&alone, all} {
		v := openInVault(t, cfg)
		f := inventFamily(time.Now())
		if _, err := v.issue(f.aunt, "slice-aunt"); err != nil {
			t.Fatal(err)
		}
		aunt := v.citizen(f.aunt)
		id, err := who{}.id(ctx, aunt)
		if err != nil {
			t.Fatal(err)
		}
		asked, err := client.Read[contract.Erasure](aunt.RequestErasure(ctx, contract.RequestErasureParams{IdempotencyKey: key()}, contract.ErasureRequest{CitizenID: id, Scope: contract.ErasureScopeCitizen, Reason: "citizenRequest"}))
		if err != nil {
			t.Fatal(err)
		}
		operator, officer := v.as(asOperator), v.as(token.Grant{Role: domain.RolePrivacyOfficer})
		before, err := client.Read[contract.KeyState](operator.GetKeys(ctx))
		if err != nil || before.Body.Provider != "Vault" {
			t.Fatal(before.Body.Provider, err)
		}
		_, rotated := client.Read[contract.KeyState](operator.RotateKeys(ctx, contract.RotateKeysParams{IdempotencyKey: key()}))
		_, approved := client.Read[contract.Erasure](officer.ApproveErasure(ctx, asked.Body.ErasureID, contract.ApproveErasureParams{IdempotencyKey: key()}))
		if cfg == &alone {
			for slug, err := range map[string]error{"identityNotConfigured": rotated, "destroyerMissing": approved} {
				var no *client.Refusal
				if !errors.As(err, &no) || no.Status != http.StatusServiceUnavailable || no.Slug() != slug || no.RetryAfter <= 0 {
					t.Errorf("without a login for it: %v, want %s", err, slug)
				}
			}
			if e, err := client.Read[contract.Erasure](officer.GetErasure(ctx, asked.Body.ErasureID, contract.GetErasureParams{})); err != nil || e.Body.State != contract.ErasureStateRequested {
				t.Errorf("the erasure is %s, %v", e.Body.State, err)
			}
		} else {
			if rotated != nil || approved != nil {
				t.Fatal(rotated, approved)
			}
			eventually(t, func() error {
				return poll(ctx, func() (bool, time.Time, error) {
					e, err := client.Read[contract.Erasure](officer.GetErasure(ctx, asked.Body.ErasureID, contract.GetErasureParams{}))
					return e.Body.State == contract.ErasureStateKeysDestroyed || e.Body.State == contract.ErasureStateFinal, time.Time{}, err
				})
			})
			var c client.Reply[contract.ErasureCertificate]
			eventually(t, func() (err error) {
				c, err = client.Read[contract.ErasureCertificate](officer.GetErasureCertificate(ctx, asked.Body.ErasureID))
				return err
			})
			if !strings.HasPrefix(c.Body.SigningKey, "vault-erasure-v1-") {
				t.Errorf("the certificate is signed by %q", c.Body.SigningKey)
			}
		}
		if err := v.close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Yesterday's copies of everything come back, Vault's too: the erased stay erased,
// the others read, and the copies say nothing to whoever has them.
func TestEverythingOfYesterdayComesBack(t *testing.T) {
	ctx := t.Context()
	s := vaulttest.Shared(t)
	cfg := vaultOf(t, s)
	v := openInVault(t, cfg)
	f := inventFamily(time.Now())
	for _, i := range []invented{f.aunt, f.mother} {
		if _, err := v.issue(i, "drill-"+i.given); err != nil {
			t.Fatal(err)
		}
	}
	auntsID, err := who{}.id(ctx, v.citizen(f.aunt))
	if err != nil {
		t.Fatal(err)
	}
	mothersID, err := who{}.id(ctx, v.citizen(f.mother))
	if err != nil {
		t.Fatal(err)
	}
	id, identity := ageKey(t)
	archive := filepath.Join(t.TempDir(), "yesterday.age")
	sh := &shell{t: t} // the directory's owner runs in this process, and is asked by its socket
	sh.must(0, "backup", "--data", v.dir, "--out", archive, "--recipient", id.Recipient().String())
	snapshot := s.Snapshot(t)

	if _, err := client.Read[contract.KeyState](v.as(asOperator).RotateKeys(ctx, contract.RotateKeysParams{IdempotencyKey: key()})); err != nil {
		t.Fatal(err)
	}
	asked, err := client.Read[contract.Erasure](v.citizen(f.aunt).RequestErasure(ctx, contract.RequestErasureParams{IdempotencyKey: key()}, contract.ErasureRequest{CitizenID: auntsID, Scope: contract.ErasureScopeCitizen, Reason: "citizenRequest"}))
	if err != nil {
		t.Fatal(err)
	}
	officer := v.as(token.Grant{Role: domain.RolePrivacyOfficer})
	if _, err := client.Read[contract.Erasure](officer.ApproveErasure(ctx, asked.Body.ErasureID, contract.ApproveErasureParams{IdempotencyKey: key()})); err != nil {
		t.Fatal(err)
	}
	if err := poll(ctx, func() (bool, time.Time, error) {
		e, err := client.Read[contract.Erasure](officer.GetErasure(ctx, asked.Body.ErasureID, contract.GetErasureParams{}))
		return e.Body.State == contract.ErasureStateKeysDestroyed || e.Body.State == contract.ErasureStateFinal, time.Time{}, err
	}); err != nil {
		t.Fatal(err)
	}
	if err := v.close(); err != nil {
		t.Fatal(err)
	}

	s.Restore(t, snapshot)
	restored := filepath.Join(t.TempDir(), "restored")
	sh.must(0, "restore", archive, "--data", restored, "--identity-file", identity, "--shred-list", vault.DataDir(v.dir).File(vault.ShredFile))
	again := openInVaultAt(t, restored, cfg)
	w, err := client.Read[contract.Wallet](again.citizen(f.mother).GetWallet(ctx, mothersID, contract.GetWalletParams{}))
	if err != nil || len(w.Body.Items) != 1 || !strings.Contains(string(w.Body.Items[0].Content), "householdSize") {
		t.Errorf("who was not erased reads %d documents: %v", len(w.Body.Items), err)
	}
	var no *client.Refusal
	if _, err := again.issue(f.aunt, "drill-"+f.aunt.given); !errors.As(err, &no) || no.Slug() != "citizenErased" {
		t.Errorf("issuing to who was erased: %v", err)
	}
	if err := again.close(); err != nil {
		t.Fatal(err)
	}
	hits := map[string]string{}
	words := map[string]bool{"drill-" + f.aunt.given: true, "drill-" + f.mother.given: true, f.aunt.ssin.Reveal(): true, f.mother.ssin.Reveal(): true}
	if files := newFinder(words).below(t, hits, v.dir, restored, filepath.Dir(archive), s.Dir()); files < 15 {
		t.Fatalf("looked into %d files only", files)
	}
	for word, where := range hits {
		t.Errorf("%q stands in %s", word, where)
	}
}

// An operator's year with Vault: rotate, back up and verify, retire, trim; what was
// trimmed is gone from Vault, and everything opens.
func TestRotationInVault(t *testing.T) {
	ctx := t.Context()
	s := vaulttest.Shared(t)
	v := openInVault(t, vaultOf(t, s))
	f := inventFamily(time.Now())
	if _, err := v.issue(f.mother, "slice-mother"); err != nil {
		t.Fatal(err)
	}
	mother := v.citizen(f.mother)
	id, err := who{}.id(ctx, mother)
	if err != nil {
		t.Fatal(err)
	}
	recipient, identity := ageKey(t)
	sh := &shell{t: t} // the directory's owner runs in this process, and is asked by its socket
	sh.must(0, "keys", "rotate", "--data", v.dir)
	if got := sh.must(exitFailed, "keys", "retire", "--data", v.dir); !strings.Contains(got.err, "restored for a test") {
		t.Error(got.err)
	}
	sh.must(0, "backup", "--data", v.dir, "--out", filepath.Join(t.TempDir(), "late.age"), "--recipient", recipient.Recipient().String(), "--verify", "--identity-file", identity)
	sh.must(0, "keys", "retire", "--data", v.dir)
	sh.must(0, "keys", "trim", "--data", v.dir, "--yes")
	key, err := s.Admin().Logical().ReadWithContext(ctx, "coffre/keys/kek")
	if err != nil || fmt.Sprintf("%v %v %v", key.Data["latest_version"], key.Data["min_decryption_version"], key.Data["min_available_version"]) != "2 2 2" {
		t.Errorf("Vault's key is at %v, %v", key, err)
	}
	v.opened.Ring.Forget(id)
	w, err := client.Read[contract.Wallet](mother.GetWallet(ctx, id, contract.GetWalletParams{}))
	if err != nil || len(w.Body.Items) != 1 || !strings.Contains(string(w.Body.Items[0].Content), "householdSize") {
		t.Errorf("%d documents, %v", len(w.Body.Items), err)
	}
	if err := v.close(); err != nil {
		t.Fatal(err)
	}
}

// A directory keeps the keeper it was made with, and nothing of it is changed by
// whoever comes with another.
func TestKeepersAreNotMixed(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := vaultOf(t, s)
	open := func(dir vault.DataDir, cfg *vault.TransitConfig) error {
		v, err := vault.Open(t.Context(), dir, vault.Options{Transit: cfg})
		if err != nil {
			return err
		}
		return v.Close()
	}
	inFile, inVault := vault.DataDir(t.TempDir()), vault.DataDir(t.TempDir())
	for range 2 {
		if err := errors.Join(open(inFile, nil), open(inVault, cfg)); err != nil {
			t.Fatal(err)
		}
		if err := open(inFile, cfg); !errors.Is(err, vault.ErrKeysInFile) {
			t.Errorf("a directory with a key file, opened with Vault: %v", err)
		}
		if err := open(inVault, nil); !errors.Is(err, vault.ErrKeysInTransit) {
			t.Errorf("a directory with its keys in Vault, opened without: %v", err)
		}
		if _, err := os.Stat(inVault.File(vault.KEKFile)); !errors.Is(err, fs.ErrNotExist) {
			t.Error("a key file was made", err)
		}
	}
	// Without the mark nothing tells where the keys are, and no key file is made for them.
	if err := os.Remove(inVault.File(vault.TransitMark)); err != nil {
		t.Fatal(err)
	}
	if err := open(inVault, nil); !errors.Is(err, vault.ErrNoKeyFile) {
		t.Error(err)
	}
	if _, err := os.Stat(inVault.File(vault.KEKFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a key file was made", err)
	}
	if err := open(inVault, cfg); err != nil {
		t.Error(err)
	}
	// Another Vault, or another mount of it, has not the key.
	s.Fresh(t)
	if err := open(inVault, cfg); err == nil || !strings.Contains(err.Error(), "is not the one of this database") {
		t.Errorf("another Vault's key: %v", err)
	}
}
