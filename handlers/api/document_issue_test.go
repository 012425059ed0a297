package api

import (
	"sync"
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

// D-4: of issues of one document at once, under different keys and in one process or two, one
// makes it, and the others are answered as one after the other.
func TestIssuesAtOnceMakeOneDocument(t *testing.T) {
	for name, process := range map[string]func(*testVault) *testVault{
		"in one process": func(tv *testVault) *testVault { return tv },
		"in two":         func(tv *testVault) *testVault { return tv.otherProcess(t, tv.Clock.Now) },
	} {
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			tv.household(t, 1)
			processes := []*testVault{tv, process(tv)}
			before := len(recorded[document.Issued](t, tv))
			for i, n := range []int{1, 2} { // somebody whom the vault knows, and not
				body := contract.DocumentIssue{SSIN: ssin(n), DocumentType: "householdComposition", SourceReference: "at once", ValidFrom: "2026-01-01", Content: contract.Content(household)}
				const many = 16
				var made [many]bool
				var receipts [many]contract.DocumentReceipt
				var errs [many]error
				var all sync.WaitGroup
				for j := range many {
					all.Go(func() {
						made[j], receipts[j], errs[j] = processes[j%2].issueAs(t, homeAffairs, uuid.New(), body)
					})
				}
				all.Wait()
				times := 0
				for j := range many {
					if made[j] {
						times++
					}
					if errs[j] != nil || receipts[j] != receipts[0] {
						t.Errorf("%+v, %v; the first was answered %+v", receipts[j], errs[j], receipts[0])
					}
				}
				if events := len(recorded[document.Issued](t, tv)) - before; times != 1 || events != i+1 {
					t.Errorf("person %d: %d answers say that it is new, %d documents are on record in all", n, times, events)
				}
			}
		})
	}
}
