package vocabulary_test

import (
	"bufio"
	"bytes"
	"encoding/json"
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
