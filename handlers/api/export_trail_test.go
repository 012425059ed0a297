package api

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
)

// The audit trail tells each call that succeeded with the hash of its token, the application and
// the call itself; nothing that was refused, or is known to have failed; and of each year for ten
// years from the next 1 January (ATREQ01, ATREQ03, ATREQ04).
func TestAuditTrail(t *testing.T) {
	tv := newVault(t)
	document := tv.household(t, 1)
	given := tv.consentTo(t, tv.person(t, 1), discount)
	who := consumer(railways)
	who.TokenHash, who.Client = sha256.Sum256([]byte("a token")), "railways-app"
	lawful := contract.AccessRequest{Purpose: "familyDiscount", ConsentID: &given}
	if _, err := tv.read(t, who, document, uuid.New(), lawful); err != nil {
		t.Fatal(err)
	}
	if _, err := tv.read(t, who, document, uuid.New(), contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &given}); err == nil {
		t.Fatal("read for another purpose")
	}
	tv.afterAppend(t, func() { tv.revokeDirectly(t, homeAffairs, document) })
	if _, err := tv.read(t, who, document, uuid.New(), lawful); err == nil { // whose outcome is that it was withheld
		t.Fatal("read what was revoked")
	}
	tv.Store.SetRule(nil)
	in := tv.NewIntent(tv.as(t, officer, "getCitizen", nil))
	if _, err := tv.RecordLookup(t.Context(), in, disclosure.Lookup{Reason: "complaint"}, tv.person(t, 1)); err != nil { // of which nobody records the outcome
		t.Fatal(err)
	}
	tv.waitIdle(t)
	trail := tv.table(t, contract.ExportCreate{Kind: contract.ExportKindAuditTrail})
	if len(trail) != 2 {
		t.Fatalf("%d rows: %v", len(trail), trail)
	}
	if row := trail[1]; row["accessKind"] != "lookup" || row["outcome"] != "mayHaveBeenDisclosed" || row["responseCode"] != "" || row["requestUrl"] != "/vault/v1/citizens/get" || row["subjectTokenHashed"] != "" {
		t.Errorf("what may have been disclosed: %v", row)
	}
	hash := sha256.Sum256([]byte("a token"))
	for name, want := range map[string]string{
		"subjectTokenHashed": hex.EncodeToString(hash[:]), "clientId": "railways-app", "requestMethod": "POST", "requestUrl": "/vault/v1/documents/{documentId}/access",
		"responseCode": "200", "callRecord": "recorded", "outcome": "disclosed", "documentId": document.String(), "keptUntil": "2036-12-31T23:00:00Z",
	} {
		if got := trail[0][name]; got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	// On the last day of the tenth year it is told, and on the next day no more.
	until := time.Date(2036, time.December, 31, 23, 0, 0, 0, time.UTC)
	tv.Clock.Advance(until.Add(-time.Minute).Sub(tv.Clock.Now()))
	if rows := tv.table(t, contract.ExportCreate{Kind: contract.ExportKindAuditTrail}); len(rows) != 2 {
		t.Errorf("in the tenth year: %v", rows)
	}
	tv.Clock.Advance(2 * time.Minute)
	if rows := tv.table(t, contract.ExportCreate{Kind: contract.ExportKindAuditTrail}); len(rows) != 0 {
		t.Errorf("after the tenth year: %v", rows)
	}
	if rows := tv.table(t, contract.ExportCreate{Kind: contract.ExportKindAccessLog}); len(rows) != 3 {
		t.Errorf("the wider log: %v", rows)
	}
}
