package vocabulary_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	samples "coffre/deploy/registry"
	"coffre/domain"
	"coffre/domain/domaintest"
	"coffre/domain/registry"
	. "coffre/projections/vocabulary"
)

// sampleView is the View of the embedded sample registry, without Belgian files.
func sampleView(t testing.TB) *View {
	t.Helper()
	r, err := Load(samples.Files, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Compile(registry.Published{Version: 1, Registry: r})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var launchTypes = []domain.DocumentType{
	"identityData", "isiPlusCard", "europeanHealthInsuranceCard", "drivingLicence", "marriageCertificate",
	"householdComposition", "socialBenefitStatement", "diploma", "a1Certificate",
}

func TestSamplesCanBePublished(t *testing.T) {
	v := sampleView(t)
	cmd := registry.Publish{Version: 1, Registry: v.Registry(), By: domain.Actor{Role: domain.RoleSystem}}
	if events, err := cmd.Decide(registry.State{}); err != nil || len(events) != 1 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for _, name := range launchTypes {
		if _, ok := v.DocumentType(name); !ok {
			t.Errorf("no %s", name)
		}
	}
	consentOnly, byLaw := 0, 0
	for _, o := range v.Registry().Organisations {
		law := 0
		for _, r := range o.Registrations {
			law += len(r.Bases)
		}
		switch {
		case law > 0:
			byLaw++
		case len(o.Registrations) > 0:
			consentOnly++
		}
	}
	if byLaw < 2 || consentOnly < 1 {
		t.Errorf("%d consumers by law, %d by consent only", byLaw, consentOnly)
	}
}

// A registry is stored as JSON: what comes back must be what was published, or
// publishing it again would record something.
func TestSamplesSurviveStorage(t *testing.T) {
	r := sampleView(t).Registry()
	stored, err := json.Marshal(registry.Published{Version: 1, Registry: r})
	if err != nil {
		t.Fatal(err)
	}
	var back registry.Published
	if err := json.Unmarshal(stored, &back); err != nil {
		t.Fatal(err)
	}
	if !back.Registry.Equal(r) {
		t.Error("a stored registry differs from the published one")
	}
	if len(stored) > MaxEncoded/2 {
		t.Errorf("the samples take %d bytes: too many to grow from", len(stored))
	}
}

func TestBelgianLabelsReplaceShortOnes(t *testing.T) {
	dir, ok := domaintest.SharedData(t, "belgif")
	if !ok {
		return
	}
	r, err := Load(samples.Files, os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	v, err := Compile(registry.Published{Version: 1, Registry: r})
	if err != nil {
		t.Fatal(err)
	}
	own, changed := sampleView(t), 0
	for _, c := range r.Categories {
		if v.Label(DataCategories, string(c.Code), "fr") != own.Label(DataCategories, string(c.Code), "fr") {
			changed++
		}
	}
	if changed < len(r.Categories)/2 {
		t.Errorf("only %d of %d categories got their Belgian label", changed, len(r.Categories))
	}
	for _, code := range []string{"consent", "publicTask"} {
		if v.Label(LegalBases, code, "nl") == own.Label(LegalBases, code, "nl") {
			t.Errorf("%s kept its own label", code)
		}
	}
}

// Every Belgian code list of the shared data can be read, escapes included.
func TestEveryBelgianFileIsRead(t *testing.T) {
	dir, ok := domaintest.SharedData(t, "belgif")
	if !ok {
		return
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.nt"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		err = ReadTriples(f, func(Triple) { n++ })
		f.Close()
		if err != nil || n < 20 {
			t.Errorf("%s: %d statements, %v", filepath.Base(file), n, err)
		}
	}
}

// The contents that people import satisfy the launch types' schemas and may be
// issued by the organisation that imports them.
func TestRealContentsAreAccepted(t *testing.T) {
	dir, ok := domaintest.SharedData(t, "import")
	if !ok {
		return
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	v, records := sampleView(t), 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, 1<<20)
		for n := 1; lines.Scan(); n++ {
			var line struct {
				DocumentType domain.DocumentType `json:"documentType"`
				Content      json.RawMessage     `json:"content"`
			}
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			records++
			if !v.MayIssue("0206731645", line.DocumentType) {
				t.Errorf("%s line %d: 0206731645 may not issue %s", filepath.Base(file), n, line.DocumentType)
			}
			if fast, _ := v.Judged(line.DocumentType, line.Content); !fast {
				t.Errorf("%s line %d: takes the slow way", filepath.Base(file), n)
			}
			canonical, issues, err := v.CheckContent(line.DocumentType, line.Content)
			if err != nil {
				t.Errorf("%s line %d: %v %v", filepath.Base(file), n, err, issues)
				continue
			}
			again, _, err := v.CheckContent(line.DocumentType, canonical)
			if err != nil || !bytes.Equal(again, canonical) {
				t.Errorf("%s line %d: the canonical form is not its own canonical form", filepath.Base(file), n)
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	if records < 200 {
		t.Errorf("only %d records", records)
	}
}

// Each content is as its source has it: a birth of which the day or the month is not known,
// one name only, European certificates as the public schemas of DC4EU allow them.
func TestContentsAsSourcesHaveThem(t *testing.T) {
	v := sampleView(t)
	for name, tc := range map[string]struct {
		typ     domain.DocumentType
		content string
	}{
		"F5 a year":                        {"identityData", `{"family_name":"Old","given_name":"Ann","birthdate":"1953"}`},
		"F5 a month":                       {"identityData", `{"family_name":"Old","given_name":"Ann","birthdate":"1953-08"}`},
		"F5 a year as a registry has it":   {"identityData", `{"family_name":"Old","given_name":"Ann","birthdate":"1953-00-00"}`},
		"F5 a month as a registry has it":  {"isiPlusCard", `{"name":"Ann","birthDate":"1953-08-00"}`},
		"F5 the day of the first schema":   {"europeanHealthInsuranceCard", `{"document_id":"A-1","competent_institution":{"institution_id":"AT:19789","institution_country":"AT"},"period_entitlement":{"starting_date":"2026-01-01","ending_date":"2026-12-31"},"social_security_pin":"1","subject":{"forename":"A","family_name":"B","date_of_birth":"1953"}}`},
		"F6 one name":                      {"identityData", `{"family_name":"Sukarno","birthdate":"1953-08-02"}`},
		"F14 a number with letters":        {"europeanHealthInsuranceCard", `{"document_number":"AT-2024-000123","issuing_country":"AT","issuing_authority":{"id":"AT:19789"},"starting_date":"2026-01-01","ending_date":"2026-12-31"}`},
		"F14 no issuing country":           {"europeanHealthInsuranceCard", `{"document_number":"80246802460003420696","issuing_authority":{"id":"CLEISS","name":"SUNET"},"starting_date":"2026-01-01","ending_date":"2026-12-31"}`},
		"F14 no dates of entitlement":      {"europeanHealthInsuranceCard", `{"document_number":"1234","issuing_country":"AT","issuing_authority":{"id":"1","name":"A"},"authentic_source":{"id":"1","name":"A"},"date_of_issuance":"2026-01-01","personal_administrative_number":"0123456789012345678901234567890123456789"}`},
		"F14 the card by the first schema": {"europeanHealthInsuranceCard", `{"social_security_pin":"1234 567 89","period_entitlement":{"starting_date":"2026-01-01","ending_date":"2026-12-31"},"document_id":"AT-2024-000123","competent_institution":{"institution_id":"AT:19789","institution_name":"A","institution_country":"AT"}}`},
		"F14 an employer":                  {"a1Certificate", `{"certificateNumber":"AT-2024-000123","applicableLegislation":"BE","startDate":"2026-01-01","article":"12(1)","activity":"employed","workCountries":["FR"],"employer":{"name":"A"}}`},
		"F14 two employers":                {"a1Certificate", `{"certificateNumber":"AT-2024-000123","applicableLegislation":"BE","startDate":"2026-01-01","article":"13(1)","activity":"employed","workCountries":["FR","NL"],"employer":[{"name":"A","enterpriseNumber":"0206731645"},{"name":"B","country":"FR"}]}`},
		"F14 the credential":               {"a1Certificate", `{"personal_administrative_number":"12345","employer":{"id":"1","name":"A","country":"FR"},"work_address":{"locality":"Paris","country":"FR"},"legislation_country":"BE","status_confirmation":"01","issuing_authority":{"id":"1","name":"A"},"issuing_country":"BE","date_of_expiry":"2027-01-01","date_of_issuance":"2026-01-01","authentic_source":{"id":"1","name":"A"},"ending_date":"2026-12-31","starting_date":"2026-01-01","document_number":"BE-1"}`},
		"F14 two employers and two places": {"a1Certificate", `{"personal_administrative_number":"12345","employer":[{"id":"1","name":"A","country":"FR"},{"id":"2","name":"B","country":"NL"}],"work_address":[{"locality":"Paris","country":"FR"},{"locality":"Breda","country":"NL"}],"legislation_country":"BE","status_confirmation":"02","issuing_authority":{"id":"1","name":"A"},"issuing_country":"BE","date_of_issuance":"2026-01-01","authentic_source":{"id":"1","name":"A"},"ending_date":"2026-12-31","starting_date":"2026-01-01","document_number":"BE-1"}`},
		"F14 two employers, first schema":  {"a1Certificate", `{"social_security_pin":"1234 567 89","nationality":["BE","YUCS"],"details_of_employment":[{"type_of_employment":"01","name":"A","ids_of_employer":[{"employer_id":"1","type_of_id":"01"}],"address":{"town":"Paris","country":"FR"}},{"type_of_employment":"02","name":"B","address":{"street":"S","postal_code":"1","town":"Breda","country":"NL"}}],"places_of_work":[{"a_fixed_place_of_work_exist":true,"country_work":"FR","place_of_work":[{"company_vessel_name":"V","flag_state_home_base":"BE","ids_of_company":[{"company_id":"1","type_of_id":"98"}],"address":{"town":"Paris"}}]},{"a_fixed_place_of_work_exist":false,"country_work":"NL"}],"decision_legislation_applicable":{"member_state_which_legislation_applies":"BE","transitional_rules_apply":false,"starting_date":"2026-01-01","ending_date":"2499-01-01"},"status_confirmation":"02","unique_number_of_issued_document":"AT-2024-000123","competent_institution":{"institution_id":"BE:19789","institution_name":"A","country_code":"BE"}}`},
	} {
		if _, issues, err := v.CheckContent(tc.typ, []byte(tc.content)); err != nil {
			t.Errorf("%s: %v %v", name, err, issues)
		}
		if fast, slow := v.Judged(tc.typ, []byte(tc.content)); !fast || !slow {
			t.Errorf("%s: fast %t, by the library %t", name, fast, slow)
		}
	}
	for name, tc := range map[string]struct {
		typ     domain.DocumentType
		content string
	}{
		"F5 a month that is not":      {"identityData", `{"family_name":"Old","birthdate":"1953-13"}`},
		"F5 no year":                  {"identityData", `{"family_name":"Old","birthdate":"0000-08-02"}`},
		"F6 no name":                  {"identityData", `{"given_name":"Ann","birthdate":"1953"}`},
		"F14 half of each":            {"europeanHealthInsuranceCard", `{"document_number":"1","period_entitlement":{"starting_date":"2026-01-01","ending_date":"2026-12-31"}}`},
		"F14 no number":               {"a1Certificate", `{"legislation_country":"BE","starting_date":"2026-01-01","employer":{"name":"A"}}`},
		"F14 employers that are none": {"a1Certificate", `{"document_number":"1","legislation_country":"BE","starting_date":"2026-01-01","employer":[]}`},
	} {
		if _, _, err := v.CheckContent(tc.typ, []byte(tc.content)); !errors.Is(err, ErrContent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The test persons of DC4EU hold cards and identity data that the launch types take as they are.
func TestF14ContentsOfDC4EU(t *testing.T) {
	dir, ok := domaintest.SharedData(t, "dc4eu")
	if !ok {
		return
	}
	v := sampleView(t)
	for file, typ := range map[string]domain.DocumentType{"ehic.json": "europeanHealthInsuranceCard", "pid-1-8.json": "identityData"} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		var persons map[string]struct {
			Content json.RawMessage `json:"document_data"`
		}
		if err := json.Unmarshal(data, &persons); err != nil || len(persons) < 50 {
			t.Fatalf("%s: %d persons, %v", file, len(persons), err)
		}
		for id, p := range persons {
			if _, issues, err := v.CheckContent(typ, p.Content); err != nil {
				t.Errorf("%s %s: %v %v", file, id, err, issues)
			}
		}
	}
}
