package vocabulary_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/consent"
	"coffre/domain/registry"
	. "coffre/projections/vocabulary"
)

const (
	onss     = domain.Organisation("0206731645")
	economy  = domain.Organisation("0314595348")
	flanders = domain.Organisation("0316380841")
	rail     = domain.Organisation("0203430576")
	mobility = domain.Organisation("0308357852")
)

// with compiles the sample registry after a change to a copy of it.
func with(t testing.TB, change func(*registry.Registry)) *View {
	t.Helper()
	r := sampleView(t).Registry()
	r.Organisations = slices.Clone(r.Organisations)
	r.DocumentTypes = slices.Clone(r.DocumentTypes)
	r.Purposes = slices.Clone(r.Purposes)
	r.LegalBases = slices.Clone(r.LegalBases)
	r.Procedures = slices.Clone(r.Procedures)
	r.Reasons = slices.Clone(r.Reasons)
	change(&r)
	v, err := Compile(registry.Published{Version: 2, Registry: r})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestWhoMayIssue(t *testing.T) {
	v := sampleView(t)
	for _, c := range []struct {
		org  domain.Organisation
		typ  domain.DocumentType
		want bool
	}{
		{onss, "isiPlusCard", true}, {mobility, "drivingLicence", true},
		{mobility, "isiPlusCard", false}, {"0202239951", "isiPlusCard", false}, {onss, "passport", false}, {"", "", false},
	} {
		if got := v.MayIssue(c.org, c.typ); got != c.want {
			t.Errorf("D-1 %s may issue %s: %v", c.org, c.typ, got)
		}
	}
	if got := v.Issues(mobility); !slices.Equal(got, []domain.DocumentType{"drivingLicence"}) {
		t.Errorf("issues %v", got)
	}
	retired := with(t, func(r *registry.Registry) {
		for i := range r.DocumentTypes {
			r.DocumentTypes[i].Retired = r.DocumentTypes[i].Name == "isiPlusCard"
		}
		for i := range r.Organisations {
			r.Organisations[i].Retired = r.Organisations[i].Number == mobility
		}
	})
	if retired.MayIssue(onss, "isiPlusCard") || retired.MayIssue(mobility, "drivingLicence") {
		t.Error("the retired issue or are issued")
	}
	if _, ok := retired.DocumentType("isiPlusCard"); !ok {
		t.Error("a retired type is unknown")
	}
}

// lawful reports whether the domain sees a basis by law for anything of a type in what
// a view says of the consumer.
func lawful(v *View, consumer domain.Organisation, purpose domain.Purpose, procedure domain.Procedure, basis domain.LegalBasis, number domain.Deliberation, name domain.DocumentType) bool {
	question := access.Question{Kind: access.OpenedDocument, Purpose: purpose, Procedure: procedure}
	if t, known := v.DocumentType(name); known {
		question.Type = *t
	}
	_, err := access.AuthorizeByLaw{
		Question: question, LegalBasis: basis, Deliberation: number, Registrations: v.Registrations(consumer),
		By: domain.Actor{Role: domain.RoleConsumer, Organisation: consumer},
	}.Basis()
	return !errors.Is(err, access.ErrNoBasis)
}

// every part of a basis by law has to be the registered one.
func TestLawfulBasis(t *testing.T) {
	type basis struct {
		org     domain.Organisation
		purpose domain.Purpose
		basis   domain.LegalBasis
		number  domain.Deliberation
		typ     domain.DocumentType
	}
	ask := func(v *View, b basis) bool {
		return lawful(v, b.org, b.purpose, "socialTariffGrant", b.basis, b.number, b.typ)
	}
	v := sampleView(t)
	good := basis{economy, "socialTariff", "legalObligation", "EX-26/040", "socialBenefitStatement"}
	if !ask(v, good) {
		t.Fatal("the registered basis is not lawful")
	}
	for name, change := range map[string]func(*basis){
		"another consumer":                     func(b *basis) { b.org = flanders },
		"no consumer":                          func(b *basis) { b.org = "" },
		"another purpose":                      func(b *basis) { b.purpose = "schoolAllowance" },
		"another legal basis":                  func(b *basis) { b.basis = "publicTask" },
		"consent as legal basis":               func(b *basis) { b.basis = "consent" },
		"no deliberation":                      func(b *basis) { b.number = "" },
		"the deliberation of other types":      func(b *basis) { b.number = "EX-26/041" },
		"a type of another deliberation":       func(b *basis) { b.typ = "householdComposition" },
		"a type that is not registered at all": func(b *basis) { b.typ = "diploma" },
		"an unknown type":                      func(b *basis) { b.typ = "passport" },
	} {
		b := good
		change(&b)
		if ask(v, b) {
			t.Errorf("A-4 %s is lawful", name)
		}
	}
	for name, change := range map[string]func(*registry.Registry){
		"organisation": func(r *registry.Registry) {
			for i := range r.Organisations {
				r.Organisations[i].Retired = true
			}
		},
		"purpose": func(r *registry.Registry) {
			for i := range r.Purposes {
				r.Purposes[i].Retired = true
			}
		},
		"legal basis": func(r *registry.Registry) {
			for i := range r.LegalBases {
				r.LegalBases[i].Retired = true
			}
		},
	} {
		if ask(with(t, change), good) {
			t.Errorf("A-4 a retired %s is a basis", name)
		}
	}
	if ask(new(View), good) {
		t.Error("the empty view allows something")
	}
}

func TestConsentAndProcedures(t *testing.T) {
	v := sampleView(t)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	mayAskConsent := func(consumer domain.Organisation, purpose domain.Purpose, name domain.DocumentType) bool {
		_, err := consent.Request{
			Terms: consent.Terms{Consumer: consumer, Purpose: purpose, Types: []domain.DocumentType{name}}, Registrations: v.Registrations(consumer),
			By: domain.Actor{Role: domain.RoleConsumer, Organisation: consumer}, At: at,
		}.Decide(consent.State{})
		if err != nil && !errors.Is(err, consent.ErrNotRegistered) {
			t.Fatal(err)
		}
		return err == nil
	}
	mayRunProcedure := func(v *View, consumer domain.Organisation, purpose domain.Purpose, p domain.Procedure, name domain.DocumentType) bool {
		return v.ProcedureInUse(p) && lawful(v, consumer, purpose, p, "publicTask", "EX-26/010", name)
	}
	for _, c := range []struct {
		what      string
		got, want bool
	}{
		{"consent where registered", mayAskConsent(rail, "familyDiscount", "householdComposition"), true},
		{"consent for another type", mayAskConsent(rail, "familyDiscount", "diploma"), false},
		{"consent where only law is registered", mayAskConsent(economy, "socialTariff", "socialBenefitStatement"), false},
		{"procedure where registered", mayRunProcedure(v, flanders, "schoolAllowance", "schoolEnrolmentAllowance", "isiPlusCard"), true},
		{"procedure of another purpose", mayRunProcedure(v, flanders, "schoolAllowance", "housingAllowanceRequest", "isiPlusCard"), false},
		{"procedure of another consumer", mayRunProcedure(v, rail, "schoolAllowance", "schoolEnrolmentAllowance", "isiPlusCard"), false},
		{"procedure that nobody knows", v.ProcedureInUse("canary"), false},
		{"a reason of its kind", v.Reason(registry.ReasonRevocation, "stolen"), true},
		{"a reason of another kind", v.Reason(registry.ReasonErasure, "stolen"), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", c.what, c.got)
		}
	}
	without := with(t, func(r *registry.Registry) {
		for i := range r.Procedures {
			r.Procedures[i].Retired = true
		}
		for i := range r.Reasons {
			r.Reasons[i].Retired = true
		}
	})
	if mayRunProcedure(without, flanders, "schoolAllowance", "schoolEnrolmentAllowance", "isiPlusCard") || without.Reason(registry.ReasonRevocation, "stolen") {
		t.Error("retired words are still used")
	}
}

// the procedure's own minimum, else the purpose's, else nothing. A predicate is
// learnt where the registry offers it, or the field that it tells of.
func TestMinimum(t *testing.T) {
	v := sampleView(t)
	both := []registry.PredicateName{"ageOver12", "ageOver18"}
	for _, c := range []struct {
		typ       domain.DocumentType
		purpose   domain.Purpose
		procedure domain.Procedure
		fields    []domain.Field
		answers   []registry.PredicateName
	}{
		{"isiPlusCard", "schoolAllowance", "schoolEnrolmentAllowance", []domain.Field{"name", "birthDate"}, both},
		{"isiPlusCard", "schoolAllowance", "", []domain.Field{"birthDate"}, both},
		{"isiPlusCard", "schoolAllowance", "other", []domain.Field{"birthDate"}, both},
		{"isiPlusCard", "ageVerification", "", nil, both},
		{"isiPlusCard", "socialTariff", "", nil, nil},
		{"passport", "schoolAllowance", "", nil, nil},
	} {
		question := access.Question{Kind: access.OpenedDocument, Purpose: c.purpose, Procedure: c.procedure}
		if known, ok := v.DocumentType(c.typ); ok {
			question.Type = *known
		}
		got, err := question.Covered(nil)
		if !slices.Equal(got, c.fields) || (err == nil) != (len(c.fields) > 0) {
			t.Errorf("A-2 %s for %s in %q: fields %v, %v", c.typ, c.purpose, c.procedure, got, err)
		}
		var answers []registry.PredicateName
		for _, p := range both {
			question.Kind, question.Predicate = access.OpenedPredicate, p
			if _, err := question.Covered(nil); err == nil {
				answers = append(answers, p)
			}
		}
		if !slices.Equal(answers, c.answers) {
			t.Errorf("A-2 %s for %s in %q: predicates %v", c.typ, c.purpose, c.procedure, answers)
		}
	}
}

func TestAgePredicates(t *testing.T) {
	v := sampleView(t)
	for _, c := range []struct {
		content string
		on      domain.Date
		want    bool
		err     error
	}{
		{`{"birthDate":"2008-05-01"}`, "2026-04-30", false, nil},
		{`{"birthDate":"2008-05-01"}`, "2026-05-01", true, nil},
		{`{"birthDate":"2008-02-29"}`, "2026-02-28", false, nil},
		{`{"birthDate":"2008-02-29"}`, "2026-03-01", true, nil},
		{`{"birthDate":"9990-01-01"}`, "2026-03-01", false, nil},
		{`{"birthDate":"1953"}`, "2026-03-01", true, nil}, // F5
		{`{"birthDate":"2008"}`, "2025-12-31", false, nil},
		{`{"birthDate":"2008"}`, "2026-01-01", false, ErrUndecided},
		{`{"birthDate":"2008"}`, "2026-12-30", false, ErrUndecided},
		{`{"birthDate":"2008"}`, "2026-12-31", true, nil},
		{`{"birthDate":"2008-05"}`, "2026-04-30", false, nil},
		{`{"birthDate":"2008-05"}`, "2026-05-01", false, ErrUndecided},
		{`{"birthDate":"2008-05-00"}`, "2026-05-30", false, ErrUndecided},
		{`{"birthDate":"2008-05"}`, "2026-05-31", true, nil},
		{`{"birthDate":"2008-00-00"}`, "2026-12-31", true, nil},
		{`{"birthDate":"9999"}`, "2026-03-01", false, nil},
		{`{"birthDate":"0000-05-01"}`, "2026-03-01", false, ErrUndecided},
		{`{}`, "2026-03-01", false, ErrUndecided},
		{`{"birthDate":""}`, "2026-03-01", false, ErrUndecided},
		{`{"birthDate":18}`, "2026-03-01", false, ErrUndecided},
		{`[]`, "2026-03-01", false, ErrUndecided},
		{`{`, "2026-03-01", false, ErrUndecided},
	} {
		got, err := v.Predicate(card, "ageOver18", domain.JSON(c.content), c.on)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s on %s: %v, %v", c.content, c.on, got, err)
		}
	}
	if _, err := v.Predicate(card, "isRich", domain.JSON(`{}`), "2026-03-01"); !errors.Is(err, ErrUnknownPredicate) {
		t.Errorf("an unknown question: %v", err)
	}
	if _, err := v.Predicate("passport", "ageOver18", domain.JSON(`{}`), "2026-03-01"); !errors.Is(err, ErrUnknownType) {
		t.Errorf("an unknown type: %v", err)
	}
}

func TestLabelsFallBack(t *testing.T) {
	v := sampleView(t)
	for _, c := range []struct {
		list WordList
		code string
		lang domain.Language
		want string
	}{
		{DocumentTypes, "diploma", "nl", "Diploma"}, {DocumentTypes, "diploma", "fr", "Diplôme"}, {DocumentTypes, "diploma", "de", "Diplom"},
		{DocumentTypes, "drivingLicence", "pt", "Driving licence"}, {DocumentTypes, "passport", "nl", "passport"},
		{Organisations, string(onss), "fr", "Office national de sécurité sociale"}, {Purposes, "socialTariff", "de", "Sozialtarif für Energie"},
		{Procedures, "socialTariffGrant", "en", "Grant of the social tariff"}, {LegalBases, "consent", "fr", "Consentement"},
		{DataCategories, "G3", "en", "Family members"}, {Finalities, "B2_01", "nl", "Toelagen"}, {Languages, "de", "en", "German"},
		{Predicates, "ageOver18", "nl", "Minstens 18 jaar"},
		{Reasons(registry.ReasonRevocation), "stolen", "nl", "Gestolen"}, {Reasons(registry.ReasonErasure), "stolen", "nl", "stolen"},
	} {
		if got := v.Label(c.list, c.code, c.lang); got != c.want {
			t.Errorf("%s %s in %s: %q", c.list, c.code, c.lang, got)
		}
	}
}

func TestOtherQuestions(t *testing.T) {
	v := sampleView(t)
	if o, ok := v.Organisation(onss); !ok || o.Contact.Email == "" {
		t.Error("no organisation")
	}
	if _, ok := v.Organisation("0202239951"); ok {
		t.Error("an unknown organisation")
	}
	if v.Quota(economy) < 1 || v.Quota("0202239951") != 0 || v.Quota(mobility) != 0 {
		t.Error("A-7 quota")
	}
	if r, ok := v.Retention("marriageCertificate"); !ok || !r.Duty || r.Until("2026-01-01", "") != "2126-01-01" {
		t.Error("E-1 retention")
	}
	if _, ok := v.Retention("passport"); ok {
		t.Error("retention of an unknown type")
	}
	if p, ok := v.Purpose("socialTariff"); !ok || len(p.Finalities) == 0 {
		t.Error("no purpose")
	}
	if !slices.ContainsFunc(v.Registry().LegalBases, func(b registry.LegalBasis) bool { return b.Code == "legalObligation" && b.Article == "6(1)(c)" }) {
		t.Error("no legal basis")
	}
	if _, ok := v.Procedure("socialTariffGrant"); !ok {
		t.Error("no procedure")
	}
}

func TestHolderServesTheHighestVersion(t *testing.T) {
	var h Holder
	if v := h.Current(); v.Version() != 0 || v.MayIssue(onss, card) || v.Label(Purposes, "x", "nl") != "x" {
		t.Fatal("the first view allows something")
	}
	r := sampleView(t).Registry()
	var all sync.WaitGroup
	for version := range domain.RegistryVersion(8) {
		all.Go(func() {
			if err := h.Apply(registry.Published{Version: version + 1, Registry: r}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := h.Current().Version(); got != 8 {
		t.Errorf("version %d is served", got)
	}
	if err := h.Apply(registry.Published{Version: 3, Registry: registry.Registry{}}); err != nil || h.Current().Version() != 8 {
		t.Errorf("an old version was taken: %v", err)
	}
	bad := r
	bad.Languages = nil
	if err := h.Apply(registry.Published{Version: 9, Registry: bad}); !errors.Is(err, registry.ErrUnresolved) || h.Current().Version() != 8 {
		t.Errorf("a registry with mistakes was taken: %v", err)
	}
}

func TestTooLargeARegistryIsRefused(t *testing.T) {
	r := sampleView(t).Registry()
	r.Procedures = slices.Clone(r.Procedures)
	long := strings.Repeat("x", registry.MaxLabel)
	for i := range 120 {
		code := domain.Procedure("p" + strings.Repeat("q", i%60) + string(rune('a'+i%26)))
		r.Procedures = append(r.Procedures, registry.Procedure{Code: code, Labels: registry.Labels{NL: long, FR: long, DE: long, EN: long}})
	}
	if _, err := Compile(registry.Published{Version: 1, Registry: r}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("err = %v", err)
	}
}

// Schemas that leave content open, reach elsewhere or do not fit their type.
func TestSchemasAreRefused(t *testing.T) {
	const head = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,`
	for name, schema := range map[string]string{
		"no dialect":             `{"type":"object","additionalProperties":false,"properties":{"n":{"type":"string"}}}`,
		"not an object":          `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"array","items":{"type":"string"}}`,
		"open":                   `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"n":{"type":"string"}}}`,
		"open below":             head + `"properties":{"n":{"type":"object"}}}`,
		"open among others":      head + `"properties":{"n":{"type":["string","object"]}}}`,
		"open in an array":       head + `"properties":{"n":{"type":"array"}}}`,
		"open in a definition":   head + `"$defs":{"d":{}},"properties":{"n":{"$ref":"#/$defs/d"}}}`,
		"open in an alternative": head + `"properties":{"n":{"anyOf":[{"type":"string"},{}]}}}`,
		"required of nothing":    `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,"properties":{"n":{"anyOf":[{"required":["a"]}]}}}`,
		"more than required":     head + `"properties":{"n":{"type":"string"}},"anyOf":[{"required":["n"],"minLength":1}]}`,
		"anything":               head + `"properties":{"n":true}}`,
		"names by pattern":       head + `"patternProperties":{".*":{"type":"string"}}}`,
		"a schema for others":    `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":{"type":"string"}}`,
		"an unknown keyword":     head + `"properties":{"n":{"type":"string","lenght":3}}}`,
		"an unknown format":      head + `"properties":{"n":{"type":"string","format":"dates"}}}`,
		"a file":                 head + `"properties":{"n":{"$ref":"file:///etc/hosts"}}}`,
		"the network":            head + `"properties":{"n":{"$ref":"https://example.org/schema"}}}`,
		"a dangling reference":   head + `"properties":{"n":{"$ref":"#/$defs/none"}}}`,
		"a wrong pattern":        head + `"properties":{"n":{"type":"string","pattern":"("}}}`,
		"a wrong keyword value":  head + `"properties":{"n":{"type":"string","maxLength":"3"}}}`,
		"not JSON":               `{`,
		"objects as codes":       head + `"properties":{"n":{"enum":[{"a":1}]}}}`,
	} {
		r := numbers(t)
		r.DocumentTypes[len(r.DocumentTypes)-1].Schema = domain.JSON(schema)
		if _, err := Compile(registry.Published{Version: 1, Registry: r}); !errors.Is(err, ErrSchema) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*registry.DocumentType){
		"a field that is not declared": func(d *registry.DocumentType) {
			d.Minimum = []registry.Minimum{{Purpose: "recruitment", Fields: []domain.Field{"m"}}}
		},
		"an age of what is not a date": func(d *registry.DocumentType) {
			d.Predicates = []registry.Predicate{{Name: "old", Labels: d.Labels, AgeAtLeast: registry.AgeAtLeast{Field: "n", Years: 3}}}
		},
		"an age of what is not declared": func(d *registry.DocumentType) {
			d.Predicates = []registry.Predicate{{Name: "old", Labels: d.Labels, AgeAtLeast: registry.AgeAtLeast{Field: "m", Years: 3}}}
		},
	} {
		r := numbers(t)
		change(&r.DocumentTypes[len(r.DocumentTypes)-1])
		if _, err := Compile(registry.Published{Version: 1, Registry: r}); !errors.Is(err, ErrSchema) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBirthDate(t *testing.T) {
	v := sampleView(t)
	born, ok := v.BirthDate("isiPlusCard", domain.JSON(`{"name":"a","birthDate":"2014-02-28"}`))
	if !ok || born != "2014-02-28" {
		t.Fatal(born, ok)
	}
	if born, ok := v.BirthDate("isiPlusCard", domain.JSON(`{"birthDate":"2014-02"}`)); !ok || born != "2014-02-01" { // F5
		t.Errorf("born in a month: %s, %t", born, ok)
	}
	for _, none := range []struct {
		name    domain.DocumentType
		content string
	}{{"isiPlusCard", `{"name":"a"}`}, {"isiPlusCard", `{"birthDate":"soon"}`}, {"marriageCertificate", `{"birthDate":"2014-02-28"}`}, {"unknown", `{}`}} {
		if born, ok := v.BirthDate(none.name, domain.JSON(none.content)); ok {
			t.Errorf("%s: %s", none.name, born)
		}
	}
}

// C-5: the text a citizen is shown is that of the registry in force for the purpose, the
// language and the version, with the organisation and the purpose named in that language.
func TestConsentText(t *testing.T) {
	all := sampleView(t).Registry()
	all.ConsentTexts = append(slices.Clone(all.ConsentTexts), registry.ConsentText{
		Purpose: "familyDiscount", Version: "0", Retired: true, Texts: registry.Labels{NL: "n", FR: "f", DE: "d", EN: "e"},
	}, registry.ConsentText{
		Purpose: "familyDiscount", Version: "2", Texts: registry.Labels{NL: "n", FR: "{consumer} lit : {purpose}", DE: "d", EN: "e"},
	})
	v, err := Compile(registry.Published{Version: 1, Registry: all})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		purpose domain.Purpose
		lang    domain.Language
		version string
		want    string
	}{
		{"familyDiscount", "fr", "2", "SNCB lit : Réduction pour familles"},
		{"familyDiscount", "en", "2", "e"},
		{"familyDiscount", "en", "0", ""}, // retired
		{"familyDiscount", "en", "3", ""},
		{"familyDiscount", "it", "2", ""},
		{"notification", "en", "2", ""},
		{"", "", "", ""},
	} {
		if got := v.ConsentText(tc.purpose, "0203430576", tc.lang, tc.version); got != tc.want {
			t.Errorf("%s in %q, version %q: %q, want %q", tc.purpose, tc.lang, tc.version, got, tc.want)
		}
	}
	if got := new(View).ConsentText("familyDiscount", "0203430576", "en", "2"); got != "" {
		t.Errorf("of no registry: %q", got)
	}
}
