package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// TestSlice walks one path through every layer, on the real wiring: an
// administration issues, the citizen sees it, nobody else does, what is stored
// says nothing, and what is erased is gone while the log is whole.
func TestSlice(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	p := newProgram(terminal{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
	v, err := p.connect(ctx, where{data: dir}, true)
	if err != nil {
		t.Fatal(err)
	}
	f := inventFamily(p.now())
	anna, other := f.aunt, f.mother
	issuer := v.as(token.Grant{Role: domain.RoleIssuer, Organisation: socialSecurity})
	issue := func(to invented, title string) (contract.DocumentReceipt, error) {
		r, err := client.Read[contract.DocumentReceipt](issuer.IssueDocument(ctx, contract.IssueDocumentParams{IdempotencyKey: key()}, contract.DocumentIssue{
			SSIN: to.wire(), DocumentType: identityData, SourceReference: "slice-" + title, ValidFrom: "2024-01-01",
			Content: content(map[string]any{"given_name": to.given, "family_name": to.family, "birthdate": to.born}),
		}))
		return r.Body, err
	}
	issued, err := issue(anna, "anna")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := issue(other, "other"); err != nil {
		t.Fatal(err)
	}

	as := func(i invented) *client.Client { return v.as(token.Grant{Role: domain.RoleCitizen, SSIN: i.ssin}) }
	id, err := who{}.id(ctx, as(anna))
	if err != nil {
		t.Fatal(err)
	}
	w, err := client.Read[contract.Wallet](as(anna).GetWallet(ctx, id, contract.GetWalletParams{}))
	if err != nil || len(w.Body.Items) != 1 || !strings.Contains(string(w.Body.Items[0].Content), anna.family) {
		t.Fatalf("the citizen sees %d documents, %v", len(w.Body.Items), err)
	}
	var no *client.Refusal
	if _, err := client.Read[contract.Wallet](as(other).GetWallet(ctx, id, contract.GetWalletParams{})); !errors.As(err, &no) || no.Status != 404 {
		t.Errorf("another citizen's answer is %v, want 404", err)
	}
	if _, err := client.Read[contract.VaultDocument](as(other).GetDocument(ctx, issued.DocumentID, contract.GetDocumentParams{})); !errors.As(err, &no) || no.Status != 404 {
		t.Errorf("another citizen's answer is %v, want 404", err)
	}

	asked, err := client.Read[contract.Erasure](as(anna).RequestErasure(ctx, contract.RequestErasureParams{IdempotencyKey: key()}, contract.ErasureRequest{CitizenID: id, Scope: contract.ErasureScopeCitizen, Reason: "citizenRequest"}))
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
	if _, err := client.Read[contract.VaultDocument](issuer.GetDocument(ctx, issued.DocumentID, contract.GetDocumentParams{})); !errors.As(err, &no) || no.Status != 410 {
		t.Errorf("the issuer's answer after the erasure is %v, want 410", err)
	}
	if _, err := issue(anna, "again"); !errors.As(err, &no) || no.Slug() != "citizenErased" {
		t.Errorf("issuing to an erased person: %v", err)
	}
	var types []string
	if _, err := (replay{citizen: &id}).run(ctx, v.as(asAuditor), func(e contract.LogEvent) error { types = append(types, e.Type); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"citizen.registered", "document.issued", "citizen.erasure-requested", "citizen.erasure-approved", "citizen.erasure-started", "citizen.key-destroyed"} {
		if !strings.Contains(strings.Join(types, " "), want) {
			t.Errorf("%s is not in the log any more", want)
		}
	}
	if err := v.close(); err != nil {
		t.Fatal(err)
	}

	files := 0
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		for _, word := range []string{anna.family, anna.given, anna.ssin.Reveal(), string(other.born), "slice-anna"} {
			if bytes.Contains(b, []byte(word)) {
				t.Errorf("%s holds what is personal", d.Name())
			}
		}
		return err
	}); err != nil || files < 4 {
		t.Fatalf("%d files, %v", files, err)
	}
}
