package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"coffre/cmd/coffre/vault"
	"coffre/handlers/contract"
)

// TestLanguageReachesHeadingsAndStates shows a wallet in each language.
func TestLanguageReachesHeadingsAndStates(t *testing.T) {
	s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(t, w, 200, contract.Wallet{Items: []contract.WalletItem{{Label: "X", State: contract.DocumentStateNotYetValid}}})
	})
	for lang, said := range map[string][]string{
		"en": {"documents  1", "STATE", "UNTIL", "READERS", "notYetValid"},
		"nl": {"documenten  1", "TOESTAND", "TOT", "LEZERS", "nog niet geldig"},
		"fr": {"documents  1", "ÉTAT", "AU", "LECTEURS", "pas encore valable"},
		"de": {"Dokumente  1", "ZUSTAND", "BIS", "LESER", "noch nicht gültig"},
	} {
		got := s.must(0, "wallet", "show", "--data", t.TempDir(), "--citizen", anna, "--lang", lang)
		for _, word := range said {
			if !strings.Contains(got.out, word) {
				t.Errorf("%s: %q is not in\n%s", lang, word, got.out)
			}
		}
	}
}

// TestEveryLanguageHasEveryWord finds a word or a state that a language lacks, a value of an enum
// that no language says, and one that the contract does not have.
func TestEveryLanguageHasEveryWord(t *testing.T) {
	if len(words) != 4 || len(words["en"]) < 150 {
		t.Fatalf("%d languages, %d words", len(words), len(words["en"]))
	}
	for lang, table := range words {
		for key, text := range words["en"] {
			if said := table[key]; said == "" || strings.Count(said, "%d") != strings.Count(text, "%d") {
				t.Errorf("%s: %s is %q", lang, key, said)
			}
		}
		if len(table) != len(words["en"]) {
			t.Errorf("%s has words that English has not", lang)
		}
	}
	enums := map[string]bool{}
	for key, text := range words["en"] {
		enum, value, _ := strings.Cut(key, ".")
		enums[enum] = true
		if text != value {
			t.Errorf("%s is %q in English, not what stands in the code", key, text)
		}
	}
	delete(enums, "word")
	doc, err := openapi3.NewLoader().LoadFromData(contract.YAML())
	if err != nil {
		t.Fatal(err)
	}
	for enum := range enums {
		schema := doc.Components.Schemas[strings.ToUpper(enum[:1])+enum[1:]]
		if schema == nil {
			t.Errorf("the contract has no %s", enum)
			continue
		}
		values := map[string]bool{}
		for _, value := range schema.Value.Enum {
			values[value.(string)] = true
			if _, said := words["en"][enum+"."+value.(string)]; !said {
				t.Errorf("%s of %s is said in no language", value, enum)
			}
		}
		for key := range words["en"] {
			if value, of := strings.CutPrefix(key, enum+"."); of && !values[value] {
				t.Errorf("the contract has no %s", key)
			}
		}
	}
}

// TestALanguageThatIsNotSpokenIsEnglish: a value of a later contract is said as it stands there.
func TestALanguageThatIsNotSpokenIsEnglish(t *testing.T) {
	if s := speaker("es"); s.word("issuer") != "issuer" || s.state("valid") != "valid" || s.state("ofLater") != "ofLater" {
		t.Error(s.word("issuer"), s.state("valid"), s.state("ofLater"))
	}
}

// TestAMistypedDirectoryStaysAsItIs types names of folders that hold no vault.
func TestAMistypedDirectoryStaysAsItIs(t *testing.T) {
	s := onDisk(t)
	parent := t.TempDir()
	missing, others := filepath.Join(parent, "dtaa"), filepath.Join(parent, "home")
	if err := os.Mkdir(others, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(others, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"token", "--role", "auditor"}, {"health"}, {"registry", "show"}, {"registry", "apply", "../../deploy/registry"},
		{"projections", "rebuild", "wallet"}, {"audit", "replay"}, {"keys", "rotate"}, {"keys", "check"}, {"keys", "restore", "--from", "sqlite:elsewhere"}, {"erase", "keys"},
	} {
		for dir, says := range map[string]string{missing: "there is no vault in " + missing, others: "holds other things and no vault"} {
			got := s.must(exitFailed, append(command, "--data", dir)...)
			if !strings.Contains(got.err, says) || got.out != "" {
				t.Errorf("%v: out %q, err %q", command, got.out, got.err)
			}
		}
	}
	// Also those that make a vault make none among other things.
	if got := s.must(exitFailed, "documents", "import", "--data", others, os.DevNull); !strings.Contains(got.err, "no vault") {
		t.Errorf("import: %q", got.err)
	}
	if _, err := os.Lstat(missing); !os.IsNotExist(err) {
		t.Errorf("the mistyped directory is there: %v", err)
	}
	info, err := os.Stat(others)
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the folder of other things was changed: %v, %v", info.Mode(), err)
	}
	if all, err := os.ReadDir(others); err != nil || len(all) != 1 {
		t.Errorf("the folder of other things holds %v, %v", all, err)
	}
	if got := s.must(0, "documents", "import", "--data", missing, os.DevNull); !strings.Contains(got.err, "A new vault is made in "+missing) {
		t.Errorf("import says nothing of the new vault: %q", got.err)
	}
}

// TestOpenCallsNeedNoToken asks a vault elsewhere what everybody may.
func TestOpenCallsNeedNoToken(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("%s: a token was sent", r.URL.Path)
		}
		switch r.URL.Path {
		case "/vault/v1/health":
			answer(t, w, 200, contract.Health{Status: contract.HealthStatusUP})
		case "/vault/v1/registry":
			answer(t, w, 200, contract.Registry{Version: 7})
		case "/vault/v1/signingKeys":
			answer(t, w, 200, contract.SigningKeys{})
		default:
			t.Errorf("asked for %s", r.URL.Path)
		}
	}))
	defer elsewhere.Close()
	s := onDisk(t)
	for _, command := range [][]string{{"health"}, {"registry", "show"}, {"erase", "keys"}} {
		s.must(0, append(command, "--url", elsewhere.URL)...)
	}
}

// Lists for citizens follow --lang in headings and states.
func TestLanguageReachesConsentsAndMandates(t *testing.T) {
	s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/mandates") {
			answer(t, w, 200, contract.Mandates{Items: []contract.Mandate{{State: contract.MandateStateEnded}}})
			return
		}
		if lang := r.URL.Query().Get("lang"); lang == "" {
			t.Error("the labels are asked for in no language")
		}
		answer(t, w, 200, contract.Consents{Items: []contract.Consent{{State: contract.ConsentStateWithdrawn, Purpose: "familyDiscount", PurposeLabel: "for families"}}})
	})
	for lang, said := range map[string]struct{ consents, mandates []string }{
		"en": {[]string{"CONSENT", "COVERS", "withdrawn", "for families"}, []string{"MANDATE", "OTHER PARTY", "ended", "all"}},
		"nl": {[]string{"TOESTEMMING", "OMVAT", "ingetrokken"}, []string{"MANDAAT", "ANDERE PARTIJ", "beëindigd", "alle"}},
		"fr": {[]string{"CONSENTEMENT", "COUVRE", "retiré"}, []string{"MANDAT", "AUTRE PARTIE", "terminé", "tous"}},
		"de": {[]string{"EINWILLIGUNG", "UMFASST", "widerrufen"}, []string{"MANDAT", "ANDERE SEITE", "beendet", "alle"}},
	} {
		for list, words := range map[string][]string{"consents": said.consents, "mandates": said.mandates} {
			got := s.must(0, list, "list", "--data", t.TempDir(), "--citizen", anna, "--lang", lang)
			for _, word := range words {
				if !strings.Contains(got.out, word) {
					t.Errorf("%s, %s: %q is not in\n%s", list, lang, word, got.out)
				}
			}
		}
	}
	for _, list := range []string{"consents", "mandates"} {
		s.must(exitUsage, list, "list", "--data", t.TempDir(), "--citizen", anna, "--lang", "es")
	}
}

// The list of accesses answers "who read my data" in the language that is asked for, labels
// included: as the citizen, or as the officer who is named.
func TestAccessesTellWhoReadWhat(t *testing.T) {
	asked := ""
	s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path + "?" + r.URL.RawQuery
		if strings.HasSuffix(r.URL.Path, "/groups") {
			answer(t, w, 200, contract.AccessGroups{Items: []contract.AccessGroup{{
				Kind: contract.AccessKindDocument, Role: contract.ActorRoleConsumer, Organization: "0203430576", OrganizationName: "SNCB", Label: "Composition de ménage", Count: 12,
			}}})
			return
		}
		answer(t, w, 200, contract.AccessLog{Coverage: contract.AccessCoverage{LastDays: 30, CompleteSince: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}, Items: []contract.AccessLogItem{
			{
				Kind: contract.AccessKindDocument, Role: contract.ActorRoleConsumer, Organization: "0203430576", OrganizationName: "SNCB", OnBehalfOf: "0316381138",
				Label: "Composition de ménage", Fields: []contract.FieldName{"householdSize"}, PurposeLabel: "Réduction pour familles",
				LegalBasis: "publicTask", Deliberation: "EX-26/010", Outcome: contract.AccessOutcomeDisclosed,
			},
			{Kind: contract.AccessKindLookup, Role: contract.ActorRolePrivacyOfficer, Outcome: contract.AccessOutcomeRefused, Reason: "consentWithdrawn", OnBehalfOf: ""},
		}})
	})
	dir := t.TempDir()
	for lang, want := range map[string][]string{
		"en": {"Nobody read or asked anything in the last 30 days. Complete since 2026-01-01", "WHEN", "READER", "disclosed", "lookup", "privacyOfficer", "refused: consentWithdrawn"},
		"nl": {"WANNEER", "LEZER", "meegedeeld", "opzoeking van het nummer", "geweigerd: consentWithdrawn"},
		"fr": {"QUAND", "LECTEUR", "communiqué", "recherche du numéro", "délégué à la protection des données", "refusé: consentWithdrawn"},
		"de": {"WANN", "LESER", "mitgeteilt", "Suche nach der Nummer", "verweigert: consentWithdrawn"},
	} {
		got := s.must(0, "accesses", "list", "--data", dir, "--citizen", anna, "--lang", lang)
		for _, word := range append(want, "0203430576 SNCB ("+speaker(lang).word("for")+" 0316381138)", "Composition de ménage (householdSize)", "Réduction pour familles", "publicTask EX-26/010") {
			if !strings.Contains(got.out, word) {
				t.Errorf("%s: %q is not in\n%s", lang, word, got.out)
			}
		}
		if !strings.Contains(asked, "/citizens/"+anna+"/accessLog?") || !strings.Contains(asked, "lang="+lang) {
			t.Errorf("%s: asked for %s", lang, asked)
		}
	}
	s.must(0, "accesses", "list", "--data", dir, "--citizen", anna, "--officer", "bert")
	s.must(exitUsage, "accesses", "list", "--data", dir, "--citizen", anna, "--lang", "es")
	s.must(exitUsage, "accesses", "list", "--data", dir, "--citizen", anna, "--from", "yesterday")
	s.must(exitUsage, "accesses", "list", "--data", dir, "--citizen", anna, "--list", "everything")
	got := s.must(0, "accesses", "groups", "--data", dir, "--citizen", anna, "--lang", "fr", "--list", "accesses")
	if !strings.Contains(got.out, "FOIS") || !strings.Contains(got.out, "12") || !strings.Contains(got.out, "Composition de ménage") || !strings.Contains(asked, "list=accesses") {
		t.Errorf("%s\nasked for %s", got.out, asked)
	}
}

// A word that the registry, or the vault, does not have is named with what comes near, where
// the vault's answer says no more than that there is no such thing.
func TestUnknownWordsAreNamed(t *testing.T) {
	labels := contract.MultiLanguage{En: "x"}
	s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method+" "+r.URL.Path == "GET /vault/v1/registry" {
			answer(t, w, 200, contract.Registry{
				DocumentTypes: []contract.RegistryDocumentType{{DocumentType: "householdComposition", Labels: labels}},
				Purposes:      []contract.RegistryCode{{Code: "familyDiscount", Labels: labels}},
				Reasons: []contract.RegistryReason{
					{Kind: contract.ReasonKindErasure, Code: "citizenRequest", Labels: labels}, {Kind: contract.ReasonKindRestriction, Code: "objection", Labels: labels},
				},
			})
			return
		}
		refuse(t, w, 404, "resourceNotFound", "there is no such thing")
	})
	dir := t.TempDir()
	text := file(t, "text", "I agree")
	for says, args := range map[string][]string{
		`--reason: the registry has no "citizenReqest" for this; did you mean citizenRequest?`: {"erase", "request", "--citizen", anna, "--reason", "citizenReqest"},
		`--reason: the registry has no "citizenRequest" for this (`:                            {"restrictions", "ask", "--citizen", anna, "--reason", "citizenRequest"},
		`--purpose: the registry has no "familyDiscnt" for this; did you mean familyDiscount?`: {"export", "consentLog", "--reason", "audit", "--out", "-", "--purpose", "familyDiscnt"},
		`--type: the registry has no "household" for this`:                                     {"consents", "grant", "--citizen", anna, "--consumer", "0203430576", "--purpose", "familyDiscount", "--type", "household", "--text-file", text},
		`no read model "walet"; did you mean wallet? (there are wallet)`:                       {"projections", "rebuild", "walet"},
		"--reason is one of subjectRequest":                                                    {"citizens", "find", "--ssin-file", text, "--reason", "curiosity"},
	} {
		got := s.must(exitUsage, append(args, "--data", dir)...)
		if !strings.Contains(got.err, says) || got.out != "" {
			t.Errorf("%v: out %q, err %q; want %q", args, got.out, got.err, says)
		}
	}
	// What the registry has is no mistake of the word's: the vault's answer stands.
	if got := s.must(exitFailed, "erase", "request", "--citizen", anna, "--data", dir); !strings.Contains(got.err, "resourceNotFound") {
		t.Errorf("err %q", got.err)
	}
}

// Retiring and trimming where there is nothing to retire and nothing to trim is told.
func TestNothingToRetireOrTrimIsSaid(t *testing.T) {
	now := contract.KeyState{KeyEncryptionKeys: []contract.KeyEncryptionKey{{Version: 1}, {Version: 2, Current: true}}}
	s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && now.KeyEncryptionKeys[0].RetiredAt.IsZero() {
			now.KeyEncryptionKeys[0].RetiredAt = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		answer(t, w, 200, now)
	})
	dir := t.TempDir()
	if got := s.must(0, "keys", "retire", "--data", dir); strings.Contains(got.err, "nothing") {
		t.Errorf("a version was retired: %q", got.err)
	}
	if got := s.must(0, "keys", "retire", "--data", dir); !strings.Contains(got.err, "nothing to retire") {
		t.Errorf("err %q", got.err)
	}
	if got := s.must(0, "keys", "trim", "--yes", "--data", dir, "--json"); !strings.Contains(got.err, "nothing to trim") || !strings.HasPrefix(got.out, "{") {
		t.Errorf("out %q, err %q", got.out, got.err)
	}
}

// What a server's start tells a person to type begins with the program as they typed it.
func TestTheProgramIsNamedAsItWasTyped(t *testing.T) {
	for typed, want := range map[string]string{"./bin/coffre": "./bin/coffre", "coffre": "coffre", "": "coffre", "/opt/my tools/coffre": "coffre", "/tmp/$(x)/coffre": "coffre"} {
		program := terminal{Name: typed}.name()
		if program != want {
			t.Errorf("%q is %q, want %q", typed, program, want)
		}
		if said := whatToTry(serveOptions{Dev: true, Data: "data"}, program, "127.0.0.1:8080"); !strings.Contains(said, "\n  "+want+" demo --data data\n") || !strings.Contains(said, "$("+want+" token ") {
			t.Errorf("it says\n%s", said)
		}
	}
}

// A build that knows no revision says so.
func TestVersionSaysThatItsRevisionIsUnknown(t *testing.T) {
	v, err := vault.ReadVersions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := v.Revision
	if want == "" {
		want = "unknown; it was built without the history of its sources"
	}
	if got := (&shell{t: t}).must(0, "version"); !strings.Contains(got.out, want) {
		t.Errorf("%q", got.out)
	}
}
