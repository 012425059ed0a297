package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
)

// An officer sees with one command every hold, restriction and release, however many pages they
// are, and a state that is none is named.
func TestOfficersListsShowEveryPage(t *testing.T) {
	ids := []uuid.UUID{newErasureID(1).UUID, newErasureID(2).UUID}
	for command, c := range map[string]struct {
		path, state string
		page        func(id uuid.UUID, next contract.Cursor) any
	}{
		"holds list": {"/vault/v1/legalHolds", "standing", func(id uuid.UUID, next contract.Cursor) any {
			return contract.LegalHolds{Items: []contract.LegalHold{{LegalHoldID: domain.HoldID{UUID: id}, Reason: "litigation"}}, NextCursor: next}
		}},
		"restrictions all": {"/vault/v1/restrictions", "lifted", func(id uuid.UUID, next contract.Cursor) any {
			return contract.Restrictions{Items: []contract.Restriction{{RestrictionID: domain.RestrictionID{UUID: id}, Reason: "objection"}}, NextCursor: next}
		}},
		"releases list": {"/vault/v1/releases", "proposed", func(id uuid.UUID, next contract.Cursor) any {
			return contract.Releases{Items: []contract.Release{{ReleaseID: domain.ReleaseID{UUID: id}, Kind: contract.ReleaseKindEnd, State: contract.ReleaseStateProposed}}, NextCursor: next}
		}},
		"suppressions list": {"/vault/v1/suppressions", "reviewDue", func(id uuid.UUID, next contract.Cursor) any {
			return contract.Suppressions{Items: []contract.Suppression{{SuppressionID: id, LegalBasis: "legalObligation", State: contract.SuppressionStateReviewDue, Since: "2020-01-02"}}, NextCursor: next}
		}},
	} {
		var asked []string
		sh := answering(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method+" "+r.URL.Path != "GET "+c.path {
				t.Errorf("asked for %s %s", r.Method, r.URL.Path)
			}
			asked = append(asked, r.URL.Query().Encode())
			next := "theNext"
			if len(asked) > 1 {
				next = ""
			}
			answer(t, w, 200, c.page(ids[min(len(asked), 2)-1], next))
		})
		out := sh.must(0, append(strings.Fields(command), "--data", t.TempDir(), "--state", c.state)...).out
		for _, id := range ids {
			if strings.Count(out, id.String()) != 1 {
				t.Errorf("%s: %s is not shown once in\n%s", command, id, out)
			}
		}
		if want := []string{"pageSize=200&state=" + c.state, "after=theNext&pageSize=200&state=" + c.state}; !slices.Equal(asked, want) {
			t.Errorf("%s asked for %q", command, asked)
		}
		if got := sh.must(2, append(strings.Fields(command), "--data", t.TempDir(), "--state", "canary")...); !strings.Contains(got.err, c.state) {
			t.Errorf("%s: the states are not named: %s", command, got.err)
		}
	}
}

// An officer forbids an erasure, sees that they did, asks for all that is held of the person,
// and allows it again, with nothing but the command line.
func TestOfficerPlacesAndLiftsAHoldAndReports(t *testing.T) {
	const someone = `84022711082`
	dir, person := t.TempDir(), file(t, "ssin", someone)
	s := onDisk(t)
	s.in = `{"ssin":"` + someone + `","documentType":"marriageCertificate","sourceReference":"m-1","validFrom":"2026-03-01","content":{"certificateNumber":"1","country":"BE","date":"2026-03-01"}}`
	s.must(0, "documents", "import", "--data", dir, "-")
	s.in = ""
	found := jsonLines(t, s.must(0, "citizens", "find", "--data", dir, "--ssin-file", person, "--reason", "legalDuty", "--json").out)
	citizen, _ := found[0]["citizenId"].(string)
	if got := s.must(exitUsage, "holds", "place", "--data", dir, "--citizen", citizen, "--reason", "litigaton"); !strings.Contains(got.err, "did you mean litigation?") {
		t.Errorf("a mistyped reason: %q", got.err)
	}
	placed := jsonLines(t, s.must(0, "holds", "place", "--data", dir, "--citizen", citizen, "--reason", "litigation", "--case-file", file(t, "case", "C-17"), "--json").out)
	hold, _ := placed[0]["legalHoldId"].(string)
	if placed[0]["citizenId"] != citizen || placed[0]["reason"] != "litigation" || hold == "" {
		t.Fatalf("placed is %v", placed)
	}
	if got := s.must(0, "holds", "list", "--data", dir, "--state", "standing"); !strings.Contains(got.out, hold) {
		t.Errorf("it does not stand in\n%s", got.out)
	}
	asked := s.run("erase", "request", "--data", dir, "--citizen", citizen, "--json")
	if asked.code == 0 {
		id, _ := jsonLines(t, asked.out)[0]["erasureId"].(string)
		asked = s.run("erase", "approve", "--data", dir, "--subject", "bert", "--yes", id)
	}
	if asked.code != exitFailed || !strings.Contains(asked.err, "legalHold") {
		t.Errorf("while it stands an erasure ends with %d, %q", asked.code, asked.err)
	}
	for _, by := range [][]string{{"--citizen", citizen, "--officer", "anna"}, {"--ssin-file", person}} {
		out := filepath.Join(t.TempDir(), "report.json")
		s.must(0, append([]string{"citizens", "report", "--data", dir, "--lang", "nl", "--out", out}, by...)...)
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		var report contract.SubjectAccessReport
		if err := json.Unmarshal(b, &report); err != nil {
			t.Fatal(err)
		}
		if len(report.Documents) != 1 || len(report.LegalHolds) != 1 || report.LegalHolds[0].CaseReference != "C-17" || !strings.Contains(report.Rights, "Gegevensbeschermingsautoriteit") {
			t.Errorf("%v: the report has %d documents, holds %v, rights %q", by, len(report.Documents), report.LegalHolds, report.Rights)
		}
	}
	for format, begins := range map[string]string{"html": "<!DOCTYPE html>", "pdf": "%PDF-"} {
		out := filepath.Join(t.TempDir(), "report")
		s.must(0, "citizens", "report", "--data", dir, "--ssin-file", person, "--format", format, "--out", out)
		if b, err := os.ReadFile(out); err != nil || !strings.HasPrefix(strings.ToLower(string(b)), strings.ToLower(begins)) {
			t.Errorf("%s begins with %.20q, %v", format, b, err)
		}
	}
	s.must(exitUsage, "citizens", "report", "--data", dir, "--ssin-file", person, "--format", "docx", "--out", "-")
	if got := s.must(0, "accesses", "list", "--data", dir, "--citizen", citizen, "--lang", "nl"); strings.Count(got.out, "verslag van alle gegevens") != 4 {
		t.Errorf("the citizen does not see the four reports in\n%s", got.out)
	}
	s.must(0, "holds", "lift", "--data", dir, "--citizen", citizen, hold)
	if got := s.must(0, "holds", "list", "--data", dir, "--state", "standing"); strings.Contains(got.out, hold) {
		t.Errorf("it still stands in\n%s", got.out)
	}
	s.must(exitFailed, "holds", "lift", "--data", dir, "--citizen", citizen, uuid.NewString())
}

// Officers' lists follow --lang in headings, states and roles.
func TestLanguageReachesOfficersLists(t *testing.T) {
	s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/legalHolds"):
			answer(t, w, 200, contract.LegalHolds{Items: []contract.LegalHold{{Reason: "litigation"}}})
		case strings.HasSuffix(r.URL.Path, "/restrictions"):
			answer(t, w, 200, contract.Restrictions{Items: []contract.Restriction{{Reason: "objection", AskedBy: contract.ActorRoleCitizen}}})
		case strings.HasSuffix(r.URL.Path, "/releases"):
			answer(t, w, 200, contract.Releases{Items: []contract.Release{{Kind: contract.ReleaseKindNewLife, State: contract.ReleaseStateProposed}}})
		case strings.HasSuffix(r.URL.Path, "/erasures"):
			answer(t, w, 200, contract.Erasures{Items: []contract.Erasure{{Scope: contract.ErasureScopeDocument, State: contract.ErasureStateKeysDestroyed}}})
		case strings.HasSuffix(r.URL.Path, "/corrections"):
			answer(t, w, 200, contract.Corrections{Items: []contract.Correction{{Kind: contract.CorrectionKindDeathInError, State: contract.CorrectionStateLapsed, ProposedBy: contract.ActorRolePrivacyOfficer}}})
		}
	})
	for command, said := range map[string]map[string][]string{
		"holds list": {"en": {"HOLD", "LIFTED"}, "nl": {"WISVERBOD", "OPGEHEVEN"}, "fr": {"INTERDICTION D'EFFACER", "LEVÉE"}, "de": {"LÖSCHVERBOT", "AUFGEHOBEN"}},
		"restrictions all": {
			"en": {"RESTRICTION", "ASKED BY", "all", "citizen"}, "nl": {"BEPERKING", "alle", "burger"}, "fr": {"LIMITATION", "tous", "citoyen"}, "de": {"EINSCHRÄNKUNG", "alle", "Bürger"},
		},
		"restrictions list --citizen " + anna: {
			"en": {"citizen", "everything"}, "nl": {"beperkingen", "alles", "burger"}, "fr": {"limitations", "tout", "citoyen"}, "de": {"Einschränkungen", "alles", "Bürger"},
		},
		"releases list": {"en": {"newLife", "proposed"}, "nl": {"VRIJGAVE", "nieuw leven", "voorgesteld"}, "fr": {"nouvelle vie", "proposée"}, "de": {"neues Leben", "vorgeschlagen"}},
		"erase list":    {"en": {"keysDestroyed", "document"}, "nl": {"WISSING", "sleutels vernietigd"}, "fr": {"clés détruites"}, "de": {"Schlüssel vernichtet", "Dokument"}},
		"corrections list --citizen " + anna: {
			"en": {"deathInError", "lapsed", "privacyOfficer"}, "nl": {"overlijden ten onrechte gemeld", "vervallen"}, "fr": {"caduque"}, "de": {"irrtümlich gemeldeter Tod", "verfallen"},
		},
	} {
		for lang, words := range said {
			got := s.must(0, append(strings.Fields(command), "--data", t.TempDir(), "--lang", lang)...)
			for _, word := range words {
				if !strings.Contains(got.out, word) {
					t.Errorf("%s, %s: %q is not in\n%s", command, lang, word, got.out)
				}
			}
		}
		s.must(exitUsage, append(strings.Fields(command), "--data", t.TempDir(), "--lang", "es")...)
	}
}
