package api

import (
	"testing"

	"github.com/google/uuid"

	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/handlers/contract"
)

// A refused issue leaves no document behind, and a mistake in the document itself registers
// nobody either.
func TestRefusedIssueLeavesNothing(t *testing.T) {
	tv := newVault(t)
	good := contract.DocumentIssue{SSIN: ssin(child(1)), DocumentType: "isiPlusCard", SourceReference: "card", ValidFrom: "2026-01-01", ValidUntil: "2028-12-31", Content: contract.Content(childCard)}
	with := func(f func(*contract.DocumentIssue)) contract.DocumentIssue { b := good; f(&b); return b }
	home := contract.DocumentIssue{SSIN: ssin(1), DocumentType: "householdComposition", SourceReference: "home", ValidFrom: "2026-01-01", Content: contract.Content(household), Parents: []contract.SSIN{ssin(2)}}
	for name, body := range map[string]struct {
		contract.DocumentIssue
		slug string
	}{
		"D-6 it ends before it begins":      {with(func(b *contract.DocumentIssue) { b.ValidUntil = "2025-12-31" }), "invalidValidity"},
		"M-1.4 a child its own parent":      {with(func(b *contract.DocumentIssue) { b.Parents = []contract.SSIN{ssin(2), b.SSIN} }), "mandateToSelf"},
		"M-1.6 parents without a birth day": {home, "birthDateMissing"},
	} {
		by := socialSecurity
		if body.DocumentType == home.DocumentType {
			by = homeAffairs
		}
		if _, _, err := tv.issueAs(t, by, uuid.New(), body.DocumentIssue); slugOf(err) != body.slug {
			t.Errorf("%s: %v", name, err)
		}
		if d, c := len(recorded[document.Issued](t, tv)), len(recorded[citizen.Registered](t, tv)); d+c != 0 {
			t.Errorf("%s: %d documents, %d people", name, d, c)
		}
	}
	tv.household(t, 3)
	tv.reportDeath(t, 3)
	if _, _, err := tv.issueAs(t, socialSecurity, uuid.New(), with(func(b *contract.DocumentIssue) { b.Parents = []contract.SSIN{ssin(2), ssin(3)} })); slugOf(err) != "mandateRefused" {
		t.Errorf("M-1.8 a dead parent: %v", err)
	}
	if d, m := len(recorded[document.Issued](t, tv)), len(recorded[mandate.Granted](t, tv)); d != 1 || m != 0 {
		t.Errorf("M-1.8 a dead parent: %d documents, %d mandates", d, m)
	}
}
