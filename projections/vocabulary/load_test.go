package vocabulary_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	samples "coffre/deploy/registry"
	"coffre/domain/registry"
	. "coffre/projections/vocabulary"
)

// sampleFiles is a copy of the sample files to change.
func sampleFiles(t *testing.T) fstest.MapFS {
	t.Helper()
	files := make(fstest.MapFS)
	err := fs.WalkDir(samples.Files, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(samples.Files, file)
		files[file] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return files
}

func replace(t *testing.T, files fstest.MapFS, file, old, by string) {
	t.Helper()
	was := string(files[file].Data)
	now := strings.Replace(was, old, by, 1)
	if was == now {
		t.Fatalf("%s does not hold %q", file, old)
	}
	files[file] = &fstest.MapFile{Data: []byte(now)}
}

func TestOrderOfFilesSaysNothing(t *testing.T) {
	files := sampleFiles(t)
	want, err := Load(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	files["organisations/zz.json"] = files["organisations/0203430576.json"]
	delete(files, "organisations/0203430576.json")
	files["README.md"] = &fstest.MapFile{Data: []byte("not read")}
	replace(t, files, "documentTypes/diploma.json", `"schema": {`, `"schema":{   `)
	got, err := Load(files, nil)
	if err != nil || !got.Equal(want) {
		t.Errorf("the same words in other places differ: %v", err)
	}
}

// Every mistake is told, with the file it is in.
func TestLoadTellsEveryMistake(t *testing.T) {
	files := sampleFiles(t)
	replace(t, files, "purposes.json", `"code": "socialTariff"`, `"kode": "socialTariff"`)
	replace(t, files, "organisations/0203430576.json", `"dailyQuota"`, `"dailyQuotas"`)
	replace(t, files, "documentTypes/diploma.json", `{`, `{"name": "x", `)
	files["documentTypes/broken.json"] = &fstest.MapFile{Data: []byte(`{`)}
	files["colours.json"] = &fstest.MapFile{Data: []byte(`{"items": []}`)}
	files["documentTypes/old/diploma.json"] = &fstest.MapFile{Data: []byte(`{}`)}
	_, err := Load(files, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, file := range []string{"purposes.json", "organisations/0203430576.json", "documentTypes/diploma.json", "documentTypes/broken.json", "colours.json", "documentTypes/old/diploma.json"} {
		if !strings.Contains("\n"+err.Error(), "\n"+file+": ") {
			t.Errorf("nothing is told of %s:\n%v", file, err)
		}
	}
}

// A file that an editor saved with a byte-order mark holds what it would without.
func TestF15LoadFilesWithAByteOrderMark(t *testing.T) {
	files := sampleFiles(t)
	want, err := Load(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		file.Data = append([]byte("\ufeff"), file.Data...)
	}
	if got, err := Load(files, nil); err != nil || !got.Equal(want) {
		t.Errorf("not the same: %v", err)
	}
}

func TestLoadTellsBrokenRulesWithTheirFile(t *testing.T) {
	files := sampleFiles(t)
	replace(t, files, "reasons.json", `"nl": "Verloren", `, ``)
	replace(t, files, "organisations/0203430576.json", `"carSharing"`, `"carShare"`)
	replace(t, files, "documentTypes/diploma.json", `"fields": ["title", "level"]`, `"fields": ["titel", "level"]`)
	replace(t, files, "languages.json", `"code": "de"`, `"code": "da"`)
	replace(t, files, "consentTexts.json", `"purpose": "carSharing"`, `"purpose": "carShare"`)
	_, err := Load(files, nil)
	for file, want := range map[string]error{
		"reasons.json": registry.ErrLabel, "organisations/0203430576.json": registry.ErrUnresolved,
		"documentTypes/diploma.json": ErrSchema, "languages.json": registry.ErrUnresolved,
		"consentTexts.json": registry.ErrUnresolved,
	} {
		if !errors.Is(err, want) || !strings.Contains("\n"+err.Error(), "\n"+file+": ") {
			t.Errorf("%s: %v is not told:\n%v", file, want, err)
		}
	}
}

// Text that a screen would obey is told with its file, its place and its language, and not
// repeated.
func TestF36UnprintableTextIsToldWithItsFile(t *testing.T) {
	files := sampleFiles(t)
	replace(t, files, "reasons.json", `"nl": "Verloren"`, `"nl": "Ver\u202eloren"`)
	replace(t, files, "consentTexts.json", `"fr": "`, `"fr": "\u001b[2J`)
	_, err := Load(files, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"\nreasons.json: reasons ", "label in nl: a control character", "\nconsentTexts.json: consentTexts ", "label in fr: a control character"} {
		if !strings.Contains("\n"+err.Error(), want) {
			t.Errorf("%q is not told:\n%v", want, err)
		}
	}
	if strings.ContainsAny(err.Error(), "\u202e\x1b") {
		t.Errorf("the text is repeated: %q", err.Error())
	}
}

// A registry without a text to show is refused when it is to be published, with the file of
// the organisation that asks for consent; one that is in force already is served.
func TestLoadAsksForConsentTexts(t *testing.T) {
	files := sampleFiles(t)
	all, err := Load(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	delete(files, "consentTexts.json")
	if _, err := Load(files, nil); !errors.Is(err, registry.ErrText) || !strings.Contains("\n"+err.Error(), "\norganisations/0203430576.json: ") {
		t.Errorf("err = %v", err)
	}
	all.ConsentTexts = nil
	if _, err := Compile(registry.Published{Version: 1, Registry: all}); err != nil {
		t.Errorf("one in force is not served: %v", err)
	}
}

func TestBelgianCodesMustExist(t *testing.T) {
	triple := func(scheme, code, label string) string {
		return `<http://vocab.belgif.be/auth/` + scheme + `/` + code + `#id> <http://www.w3.org/2004/02/skos/core#prefLabel> ` + label + " .\n"
	}
	var all strings.Builder
	for _, code := range []string{"01", "02", "03", "04", "05"} {
		all.WriteString(triple("gdpr-juridical", code, `"\u00e9tiquette `+code+`"@fr`))
	}
	belgif := fstest.MapFS{"gdpr-juridical.nt": {Data: []byte(all.String())}}
	if _, err := Load(samples.Files, belgif); err == nil || !strings.Contains(err.Error(), `gdpr-juridical.nt: has no code "06"`) {
		t.Errorf("err = %v", err)
	}
	belgif["gdpr-juridical.nt"].Data = append(belgif["gdpr-juridical.nt"].Data, triple("gdpr-juridical", "06", `"six"@fr`)...)
	r, err := Load(samples.Files, belgif)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.LegalBases[0].Labels; got.FR != "étiquette 01" || got.NL != "Toestemming" {
		t.Errorf("labels %+v", got)
	}
	belgif["gdpr-juridical.nt"].Data = []byte("nonsense\n")
	if _, err := Load(samples.Files, belgif); err == nil || !strings.Contains(err.Error(), "gdpr-juridical.nt: line 1: ") {
		t.Errorf("err = %v", err)
	}
}
