package api

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"coffre/handlers/contract"
)

// BenchmarkQueryByReference looks among 1,000 documents of as many citizens, which is as many as
// one call looks at, for the last one: by its reference alone, and by reference and citizen.
func BenchmarkQueryByReference(b *testing.B) {
	tv := newVault(b)
	for n := range queryScanLimit {
		body := contract.DocumentIssue{SSIN: ssin(n + 1), DocumentType: "householdComposition", SourceReference: fmt.Sprint("r-", n), ValidFrom: "2026-01-01", Content: contract.Content(household)}
		if _, _, err := tv.issueAs(b, homeAffairs, uuid.New(), body); err != nil {
			b.Fatal(err)
		}
	}
	tv.waitForReadModels(b)
	const last = queryScanLimit - 1
	for name, body := range map[string]contract.DocumentQuery{
		"alone":         {SourceReference: []contract.SourceReference{fmt.Sprint("r-", last)}},
		"of a citizen":  {SourceReference: []contract.SourceReference{fmt.Sprint("r-", last)}, SSIN: ssin(last + 1)},
		"every of them": {},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				answer, err := tv.QueryDocuments(tv.as(b, issuer(homeAffairs), "queryDocuments", body), contract.QueryDocumentsRequestObject{Body: &body})
				if err != nil || len(answer.(contract.QueryDocuments200JSONResponse).Items) == 0 {
					b.Fatal("nothing is found", err)
				}
			}
		})
	}
}
