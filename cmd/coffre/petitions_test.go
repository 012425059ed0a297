package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coffre/domain"
	"coffre/handlers/contract"
)

// A citizen asks for rectification and disputes an access, whoever is to answer sees what waits
// and answers, and the citizen sees the answer: with nothing but the command line, on which
// nobody's words stand.
func TestPetitionsFromBothSides(t *testing.T) {
	const someone, says, because = `84022711082`, "It is not my name.", "The register says so."
	dir, person := t.TempDir(), file(t, "ssin", someone)
	s := onDisk(t)
	s.in = `{"ssin":"` + someone + `","documentType":"marriageCertificate","sourceReference":"m-1","validFrom":"2026-03-01","content":{"certificateNumber":"1","country":"BE","date":"2026-03-01"}}`
	s.must(0, "documents", "import", "--data", dir, "-")
	s.in = ""
	held, _ := jsonLines(t, s.must(0, "wallet", "show", "--data", dir, "--ssin-file", person, "--json").out)[0]["items"].([]any)
	if len(held) != 1 {
		t.Fatalf("the wallet holds %v", held)
	}
	document, _ := held[0].(map[string]any)["documentId"].(string)
	text, answer := file(t, "text", says), file(t, "answer", because)

	asked := jsonLines(t, s.must(0, "petitions", "rectify", "--data", dir, "--ssin-file", person, "--text-file", text, "--restrict", "--json", document).out)[0]
	rectification, _ := asked["petitionId"].(string)
	if asked["kind"] != "rectification" || asked["state"] != "open" || asked["documentId"] != document || asked["restricts"] != true {
		t.Fatalf("asked is %v", asked)
	}
	s.must(0, "citizens", "report", "--data", dir, "--ssin-file", person, "--out", filepath.Join(t.TempDir(), "report.json"))
	entries := jsonLines(t, s.must(0, "accesses", "list", "--data", dir, "--ssin-file", person, "--list", "accesses", "--json").out)
	entry, _ := entries[0]["entryId"].(string)
	disputed := jsonLines(t, s.must(0, "petitions", "dispute", "--data", dir, "--ssin-file", person, "--text-file", text, "--json", entry).out)[0]
	dispute, _ := disputed["petitionId"].(string)
	if disputed["kind"] != "dispute" || disputed["organization"] != nil {
		t.Fatalf("disputed is %v", disputed)
	}
	s.must(exitFailed, "petitions", "object", "--data", dir, "--ssin-file", person, "--text-file", text, "--organization", "0316380841", "--purpose", "schoolAllowance") // it read nothing

	for _, by := range [][]string{{"mine", "--ssin-file", person}, {"list", "--state", "open"}} {
		got := s.must(0, append([]string{"petitions", by[0], "--data", dir}, by[1:]...)...).out
		if !strings.Contains(got, rectification) || !strings.Contains(got, dispute) || strings.Contains(got, says) {
			t.Errorf("%v shows\n%s", by, got)
		}
	}
	issuer := []string{"--data", dir, "--organization", "0206731645", "--issuer"}
	if got := s.must(0, append([]string{"petitions", "show", rectification}, issuer...)...).out; !strings.Contains(got, says) {
		t.Errorf("the issuer does not read what is wrong:\n%s", got)
	}
	s.must(exitFailed, append([]string{"petitions", "show", dispute}, issuer...)...) // it is none of its affair
	s.must(exitFailed, append([]string{"petitions", "answer", rectification, "--outcome", "upheld"}, issuer...)...)
	s.must(exitUsage, append([]string{"petitions", "answer", rectification, "--outcome", "perhaps"}, issuer...)...)
	longer := jsonLines(t, s.must(0, append([]string{"petitions", "extend", rectification, "--text-file", answer, "--json"}, issuer...)...).out)[0]
	if deadline, _ := longer["deadline"].(string); deadline != string(domain.BelgianDate(time.Now()).AddMonths(3)) || longer["extendedAt"] == nil {
		t.Errorf("extended is %v", longer)
	}
	s.must(exitFailed, append([]string{"petitions", "extend", rectification, "--text-file", answer}, issuer...)...)
	s.must(0, append([]string{"petitions", "answer", rectification, "--outcome", "rejected", "--text-file", answer}, issuer...)...)
	s.must(0, "petitions", "answer", dispute, "--data", dir, "--outcome", "upheld")
	if got := s.must(0, "petitions", "list", "--data", dir, "--state", "open").out; strings.Contains(got, rectification) || strings.Contains(got, dispute) {
		t.Errorf("what was answered waits in\n%s", got)
	}
	got := jsonLines(t, s.must(0, "petitions", "show", rectification, "--data", dir, "--json").out)[0]
	if got["outcome"] != "rejected" || got["answer"] != because || got["state"] != "answered" {
		t.Errorf("answered is %v", got)
	}
}

// A consumer opens an investigation, renews it and lifts it, and an officer sees it, with nothing
// but the command line; the citizen's log says that what one hides is shown when it is over.
func TestInvestigationsFromTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	s := onDisk(t)
	open := []string{"investigations", "open", "--data", dir, "--organization", "0316380841", "--purpose", "schoolAllowance", "--legal-basis", "publicTask", "--reason", "allowanceFraud", "--json"}
	until := func(days int) string { return string(domain.BelgianDate(time.Now()).AddDays(days)) }
	if got := s.must(exitFailed, append(open, "--deliberation", "EX-26/010", "--until", until(30))...); !strings.Contains(got.err, "mayNotHide") {
		t.Errorf("under a basis that does not let it: %q", got.err)
	}
	id, _ := jsonLines(t, s.must(0, append(open, "--deliberation", "EX-26/012", "--until", until(30))...).out)[0]["investigationId"].(string)
	s.must(0, "investigations", "renew", id, "--data", dir, "--organization", "0316380841", "--until", until(60))
	s.must(exitFailed, "investigations", "lift", id, "--data", dir, "--organization", "0203430576")
	for _, by := range [][]string{nil, {"--organization", "0316380841"}} {
		if got := s.must(0, append([]string{"investigations", "list", "--data", dir, "--state", string(contract.InvestigationStateOpen)}, by...)...).out; !strings.Contains(got, id) || !strings.Contains(got, until(60)) {
			t.Errorf("%v shows\n%s", by, got)
		}
	}
	s.must(exitUsage, "investigations", "list", "--data", dir, "--state", "perhaps")
	s.must(0, "investigations", "lift", id, "--data", dir)
	if got := s.must(0, "investigations", "list", "--data", dir, "--state", "open").out; strings.Contains(got, id) {
		t.Errorf("it is open in\n%s", got)
	}
}
