package main

import (
	"strings"
	"testing"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// A citizen answers the requests of an organisation at the command line: one with less than was
// asked for and the text of the registry, one with no; and what was answered is no request.
func TestCitizenAnswersRequestsForConsent(t *testing.T) {
	const someone = `84022711082`
	dir, person := t.TempDir(), file(t, "ssin", someone)
	s := onDisk(t)
	s.in = `{"ssin":"` + someone + `","documentType":"householdComposition","sourceReference":"h-1","validFrom":"2026-03-01","content":{"asOf":"2026-03-01","householdSize":3,"members":[]}}`
	s.must(0, "documents", "import", "--data", dir, "--org", "0308356862", "-")
	s.in = ""
	r := rigOn(t, vault.DataDir(dir))
	var asked [2]contract.ConsentReceiptShort
	for i := range asked {
		r.post(t, token.Grant{Role: domain.RoleConsumer, Organisation: railways}, "/consentRequests", `{"ssin":"`+someone+`","purpose":"familyDiscount","documentTypes":["householdComposition"]}`, &asked[i])
	}
	r.close(t)
	yes, no := asked[0].ConsentID.String(), asked[1].ConsentID.String()
	at := func(args ...string) []string { return append(args, "--data", dir, "--ssin-file", person) }
	if got := s.must(0, at("consents", "list")...); strings.Count(got.out, "requested") != 2 {
		t.Fatalf("not listed as requested:\n%s", got.out)
	}
	given := s.must(0, at("consents", "accept", yes, "--uses", "2", "--lang", "fr")...)
	if !strings.Contains(given.out, "granted") || !strings.Contains(given.err, "Réduction pour familles") {
		t.Errorf("out %q, err %q", given.out, given.err)
	}
	if got := s.must(0, at("consents", "list")...); !strings.Contains(got.out, "0 of 2") {
		t.Errorf("its limit is not listed:\n%s", got.out)
	}
	if got := s.must(0, at("consents", "refuse", no)...); !strings.Contains(got.out, "refused") {
		t.Errorf("out %q", got.out)
	}
	for _, answered := range []string{yes, no} {
		if got := s.must(exitFailed, at("consents", "accept", answered)...); !strings.Contains(got.err, "waits for an answer") || got.out != "" {
			t.Errorf("out %q, err %q", got.out, got.err)
		}
	}
	s.must(exitFailed, at("consents", "refuse", yes)...)
	s.must(exitUsage, at("consents", "accept", yes, "--uses", "0")...)
}
