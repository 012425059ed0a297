package registry_test

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"coffre/domain"
	"coffre/domain/domaintest"
	. "coffre/domain/registry"
)

const (
	issuer   = "0206731645"
	consumer = "0671516647"
)

var (
	operator = domain.Actor{Role: domain.RoleOperator, Subject: "s"}
	system   = domain.Actor{Role: domain.RoleSystem}
)

func say(s string) Labels { return Labels{s + " nl", s + " fr", s + " de", s + " en"} }

// small is the smallest registry in which everything occurs. Each call returns
// memory of its own.
func small() Registry {
	return Registry{
		Organisations: []Organisation{
			{Number: issuer, Names: say("issuer"), Contact: Contact{"a@issuer.example", "https://issuer.example"},
				Attests: []Attestation{Parentage, Death}},
			{
				Number: consumer, Names: say("consumer"), Contact: Contact{"a@consumer.example", "https://consumer.example"}, DailyQuota: 10,
				Registrations: []Registration{{
					Purpose: "help", Types: []domain.DocumentType{"card"}, Procedures: []domain.Procedure{"ask"},
					Bases: []Basis{{LegalBasis: "publicTask", Deliberation: "26/001"}}, Consent: true,
				}},
			},
		},
		DocumentTypes: []DocumentType{{
			Name: "card", Labels: say("card"), Descriptions: say("a card"), Categories: []domain.DataCategory{"A1"},
			Issuers: []domain.Organisation{issuer}, Schema: domain.JSON(`{}`),
			Retention:          Retention{Years: 10, From: FromEnd, Rule: "law", Then: Destroy, Duty: true},
			ValidityIsPersonal: true, Holders: Holders{ParentsUntil: 18},
			Minimum: []Minimum{
				{Purpose: "help", Fields: []domain.Field{"birthDate"}},
				{Purpose: "help", Procedure: "ask", Predicates: []PredicateName{"ageOver18"}},
			},
			Predicates: []Predicate{{"ageOver18", say("over 18"), AgeAtLeast{"birthDate", 18}}},
		}},
		Procedures: []Procedure{{Code: "ask", Labels: say("ask")}},
		Purposes:   []Purpose{{Code: "help", Labels: say("help"), Finalities: []FinalityCode{"F1_01"}}},
		Finalities: []Finality{{Code: "F1_01", Labels: say("rights")}},
		LegalBases: []LegalBasis{
			{Code: "consent", Labels: say("consent"), Article: ConsentArticle, Juridical: "01"},
			{Code: "publicTask", Labels: say("task"), Article: "6(1)(e)", Juridical: "05"},
		},
		Categories:   []Category{{Code: "A1", Labels: say("identity"), Sensitive: true}},
		Reasons:      []Reason{{Kind: ReasonRetention, Code: "law", Labels: say("law")}, {Kind: ReasonRevocation, Code: "lost", Labels: say("lost")}},
		Languages:    []Language{{"nl", say("nl")}, {"fr", say("fr")}, {"de", say("de")}, {"en", say("en")}},
		ConsentTexts: []ConsentText{{Purpose: "help", Version: "1", Texts: say("You let {consumer} read for {purpose}")}},
		Settings:     Settings{MinorsDecideFrom: 16},
	}
}

func but(change func(*Registry)) Registry {
	r := small()
	change(&r)
	return r
}

func publish(v domain.RegistryVersion, change func(*Registry)) Publish {
	return Publish{Version: v, Registry: but(change), By: operator}
}

func same(*Registry) {}

func withoutConsent(r *Registry) {
	r.Organisations[1].Registrations[0].Consent, r.ConsentTexts = false, nil
}

func despite(r *Registry) {
	r.Organisations[1].Registrations[0].Bases[0].DespiteRestriction = LegalClaims
}

func retiredPurpose(r *Registry) { r.Purposes[0].Retired, r.ConsentTexts[0].Retired = true, true }

func anotherText(r *Registry) {
	r.ConsentTexts = append(r.ConsentTexts, ConsentText{Purpose: "help", Version: "2", Texts: say("You let them read")})
	r.ConsentTexts[0].Retired = true
}

func TestRules(t *testing.T) {
	first := []Event{Published{1, small()}}
	retire := func(r *Registry) { r.DocumentTypes[0].Retired = true }
	domaintest.Run(t, Evolve, []domaintest.Scenario[State, Event]{
		{Name: "R-1 an operator publishes", When: publish(1, same), Then: first},
		{Name: "R-1 Coffre itself publishes on an empty log", When: Publish{1, small(), system}, Then: first},
		{Name: "R-1 Coffre itself changes nothing later", Given: first, When: Publish{2, but(retire), system}, Err: ErrNotAllowed},
		{Name: "R-1 nobody else publishes", When: Publish{1, small(), domain.Actor{Role: domain.RoleIssuer, Organisation: issuer}}, Err: ErrNotAllowed},
		{Name: "R-2 the same again decides nothing", Given: first, When: publish(2, same)},
		{Name: "R-2 the same again decides nothing, whatever version was meant", Given: first, When: publish(1, same)},
		{Name: "R-2 an empty list is an absent list", Given: first, When: publish(2, func(r *Registry) { r.Organisations[0].Registrations = []Registration{} })},
		{Name: "R-3 the next version", Given: first, When: publish(2, retire), Then: []Event{Published{2, but(retire)}}},
		{Name: "R-3 a version that was taken by another", Given: first, When: publish(1, retire), Err: ErrVersion},
		{Name: "R-3 no version is left out", Given: first, When: publish(3, retire), Err: ErrVersion},
		{Name: "R-3 versions start at 1", When: publish(0, same), Err: ErrVersion},
		{Name: "R-4 a label lacks a language", When: publish(1, func(r *Registry) { r.Purposes[0].Labels.DE = "" }), Err: ErrLabel},
		{Name: "R-4 a description lacks a language", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Descriptions.FR = "" }), Err: ErrLabel},
		{Name: "R-4 a predicate's label lacks a language", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Predicates[0].Labels.NL = "" }), Err: ErrLabel},
		{Name: "R-4 a label has a limit", When: publish(1, func(r *Registry) { r.Purposes[0].Labels.DE = strings.Repeat("x", MaxLabel+1) }), Err: ErrLabel},
		{Name: "R-4 a label shows nothing", When: publish(1, func(r *Registry) { r.Purposes[0].Labels.DE = "\u200b\u3164" }), Err: ErrLabel},
		{Name: "R-4 a label would be obeyed by a terminal", When: publish(1, func(r *Registry) { r.Purposes[0].Labels.DE = "a\x1b[2Jb" }), Err: ErrLabel},
		{Name: "R-4 a label turns the direction of text", When: publish(1, func(r *Registry) { r.Reasons[0].Labels.FR = "a\u202eb" }), Err: ErrLabel},
		{Name: "R-4 a description turns the direction of text", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Descriptions.FR = "a\u2066b" }), Err: ErrLabel},
		{Name: "R-4 a predicate's label is unprintable", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Predicates[0].Labels.NL = "a\x00b" }), Err: ErrLabel},
		{Name: "R-4 an organisation's name is unprintable", When: publish(1, func(r *Registry) { r.Organisations[0].Names.EN = "a\x7fb" }), Err: ErrLabel},
		{Name: "R-4 a consent text is unprintable", When: publish(1, func(r *Registry) { r.ConsentTexts[0].Texts.DE = "a\u202eb" }), Err: ErrLabel},
		{Name: "R-10 where citizens can ask is unprintable", When: publish(1, func(r *Registry) { r.Organisations[0].Contact.Email = "a@b\u202e" }), Err: ErrIncomplete},
		{Name: "R-8 a deliberation number is unprintable", When: publish(1, func(r *Registry) { r.Organisations[1].Registrations[0].Bases[0].Deliberation = "26/\x001" }), Err: ErrBasis},
		{Name: "R-5 a code stands twice", When: publish(1, func(r *Registry) { r.Purposes = append(r.Purposes, r.Purposes[0]) }), Err: ErrCode},
		{Name: "R-5 a code is not well formed", When: publish(1, func(r *Registry) { r.Procedures[0].Code = "a b" }), Err: ErrCode},
		{Name: "R-5 an enterprise number is wrong", When: publish(1, func(r *Registry) { r.Organisations[0].Number = "0206731646" }), Err: ErrCode},
		{Name: "R-5 a kind of reason is unknown", When: publish(1, func(r *Registry) { r.Reasons[1].Kind = "whim" }), Err: ErrCode},
		{Name: "R-6 an issuer is unknown", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Issuers[0] = "0202239951" }), Err: ErrUnresolved},
		{Name: "R-6 a category is unknown", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Categories[0] = "Z9" }), Err: ErrUnresolved},
		{Name: "R-6 a purpose is unknown", When: publish(1, func(r *Registry) { r.Organisations[1].Registrations[0].Purpose = "fun" }), Err: ErrUnresolved},
		{Name: "R-6 a type is unknown", When: publish(1, func(r *Registry) { r.Organisations[1].Registrations[0].Types[0] = "box" }), Err: ErrUnresolved},
		{Name: "R-6 a procedure is unknown", When: publish(1, func(r *Registry) { r.Organisations[1].Registrations[0].Procedures[0] = "x" }), Err: ErrUnresolved},
		{Name: "R-6 a legal basis is unknown", When: publish(1, func(r *Registry) { r.Organisations[1].Registrations[0].Bases[0].LegalBasis = "x" }), Err: ErrUnresolved},
		{Name: "R-6 a minimum's procedure is unknown", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Minimum[1].Procedure = "x" }), Err: ErrUnresolved},
		{Name: "R-6 a retention rule is unknown", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Retention.Rule = "lost" }), Err: ErrUnresolved},
		{Name: "R-6 a finality is unknown", When: publish(1, func(r *Registry) { r.Purposes[0].Finalities[0] = "Z" }), Err: ErrUnresolved},
		{Name: "R-6 a language is missing", When: publish(1, func(r *Registry) { r.Languages = r.Languages[1:] }), Err: ErrUnresolved},
		{Name: "R-4 a consent text lacks a language", When: publish(1, func(r *Registry) { r.ConsentTexts[0].Texts.DE = "" }), Err: ErrLabel},
		{Name: "R-4 a consent text has a limit", When: publish(1, func(r *Registry) { r.ConsentTexts[0].Texts.DE = strings.Repeat("x", MaxText+1) }), Err: ErrLabel},
		{Name: "R-4 a consent text may be longer than a label", When: publish(1, func(r *Registry) { r.ConsentTexts[0].Texts.DE = strings.Repeat("x", MaxText) }),
			Then: []Event{Published{1, but(func(r *Registry) { r.ConsentTexts[0].Texts.DE = strings.Repeat("x", MaxText) })}}},
		{Name: "R-5 a version of a consent text stands twice", When: publish(1, func(r *Registry) { r.ConsentTexts = append(r.ConsentTexts, r.ConsentTexts[0]) }), Err: ErrCode},
		{Name: "R-5 a version of a consent text is not well formed", When: publish(1, func(r *Registry) { r.ConsentTexts[0].Version = "the first" }), Err: ErrCode},
		{Name: "R-6 a consent text's purpose is unknown", When: publish(1, func(r *Registry) { r.ConsentTexts[0].Purpose = "fun" }), Err: ErrUnresolved},
		{Name: "R-12 consent may be asked and there is no text to show", When: publish(1, func(r *Registry) { r.ConsentTexts = nil }), Err: ErrText},
		{Name: "R-12 consent may be asked and all texts are retired", When: publish(1, func(r *Registry) { r.ConsentTexts[0].Retired = true }), Err: ErrText},
		{Name: "R-12 a retired purpose needs no text", When: publish(1, retiredPurpose), Then: []Event{Published{1, but(retiredPurpose)}}},
		{Name: "R-12 without consent no text is needed", When: publish(1, withoutConsent), Then: []Event{Published{1, but(withoutConsent)}}},
		{Name: "R-12 a text with a place for something personal", When: publish(1, func(r *Registry) { r.ConsentTexts[0].Texts.FR = "{citizen} lets you read" }), Err: ErrText},
		{Name: "R-12 a published text is changed", Given: first, When: publish(2, func(r *Registry) { r.ConsentTexts[0].Texts.NL = "You let anybody read" }), Err: ErrText},
		{Name: "R-12 another version of a text", Given: first, When: publish(2, anotherText), Then: []Event{Published{2, but(anotherText)}}},
		{Name: "R-11 a text once published is removed", Given: []Event{Published{1, but(anotherText)}}, When: publish(2, same), Err: ErrRemoved},
		{Name: "R-7 no schema", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Schema = nil }), Err: ErrIncomplete},
		{Name: "R-7 no issuer", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Issuers = nil }), Err: ErrIncomplete},
		{Name: "R-7 no category", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Categories = nil }), Err: ErrIncomplete},
		{Name: "R-7 no retention", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Retention.Years = 0 }), Err: ErrIncomplete},
		{Name: "R-7 retention from an unknown moment", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Retention.From = "" }), Err: ErrIncomplete},
		{Name: "R-7 nobody is a child at 19", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Holders.ParentsUntil = 19 }), Err: ErrIncomplete},
		{Name: "R-7 a legal basis of no article", When: publish(1, func(r *Registry) { r.LegalBases[1].Article = "9" }), Err: ErrIncomplete},
		{Name: "R-7 a purpose without Belgian codes", When: publish(1, func(r *Registry) { r.Purposes[0].Finalities = nil }), Err: ErrIncomplete},
		{Name: "R-8 no deliberation number", When: publish(1, func(r *Registry) { r.Organisations[1].Registrations[0].Bases[0].Deliberation = "" }), Err: ErrBasis},
		{Name: "R-8 a ground despite a restriction that the law does not list", When: publish(1, func(r *Registry) { r.Organisations[1].Registrations[0].Bases[0].DespiteRestriction = "haste" }), Err: ErrBasis},
		{Name: "R-8 a ground despite a restriction", When: publish(1, despite), Then: []Event{Published{1, but(despite)}}},
		{Name: "R-8 consent is no basis by law", When: publish(1, func(r *Registry) { r.Organisations[1].Registrations[0].Bases[0].LegalBasis = "consent" }), Err: ErrBasis},
		{Name: "R-8 neither law nor consent", When: publish(1, func(r *Registry) {
			r.Organisations[1].Registrations[0].Bases, r.Organisations[1].Registrations[0].Consent = nil, false
		}), Err: ErrBasis},
		{Name: "R-9 nothing may be learnt", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Minimum = nil }), Err: ErrMinimum},
		{Name: "R-9 an empty minimum", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Minimum[0].Fields = nil }), Err: ErrMinimum},
		{Name: "R-9 two minimums for one use", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Minimum[1].Procedure = "" }), Err: ErrMinimum},
		{Name: "R-9 a predicate that is not offered", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Predicates = nil }), Err: ErrMinimum},
		{Name: "R-9 a predicate that cannot be computed", When: publish(1, func(r *Registry) { r.DocumentTypes[0].Predicates[0].AgeAtLeast.Years = 0 }), Err: ErrMinimum},
		{Name: "R-10 no contact", When: publish(1, func(r *Registry) { r.Organisations[0].Contact.Email = "" }), Err: ErrIncomplete},
		{Name: "R-10 a consumer without quota", When: publish(1, func(r *Registry) { r.Organisations[1].DailyQuota = 0 }), Err: ErrIncomplete},
		{Name: "R-13 a right that is none", When: publish(1, func(r *Registry) { r.Organisations[0].Attests[0] = "wisdom" }), Err: ErrRight},
		{Name: "R-13 a right is named once", When: publish(1, func(r *Registry) { r.Organisations[0].Attests[1] = Parentage }), Err: ErrRight},
		{Name: "R-13 a right may be taken back", Given: first, When: publish(2, unattested), Then: []Event{Published{2, but(unattested)}}},
		{Name: "R-13 a registry may say nothing of the age", When: publish(1, untold), Then: []Event{Published{1, but(untold)}}},
		{Name: "R-13 no child decides alone", When: publish(1, func(r *Registry) { r.Settings.MinorsDecideFrom = 11 }), Err: ErrRight},
		{Name: "R-13 nobody is a minor at 19", When: publish(1, func(r *Registry) { r.Settings.MinorsDecideFrom = 19 }), Err: ErrRight},
		{Name: "R-11 a type is not removed", Given: first, When: publish(2, func(r *Registry) {
			r.DocumentTypes, r.Organisations[1].Registrations = nil, nil
		}), Err: ErrRemoved},
		{Name: "R-11 an organisation is not removed", Given: first, When: publish(2, func(r *Registry) { r.Organisations = r.Organisations[:1] }), Err: ErrRemoved},
		{Name: "R-11 a reason is not removed", Given: first, When: publish(2, func(r *Registry) { r.Reasons = r.Reasons[:1] }), Err: ErrRemoved},
		{Name: "R-11 a predicate is not removed", Given: first, When: publish(2, func(r *Registry) {
			r.DocumentTypes[0].Predicates, r.DocumentTypes[0].Minimum = nil, r.DocumentTypes[0].Minimum[:1]
		}), Err: ErrRemoved},
		{Name: "R-11 validity that was personal stays personal", Given: first, When: publish(2, func(r *Registry) { r.DocumentTypes[0].ValidityIsPersonal = false }), Err: ErrRemoved},
	})
}

func unattested(r *Registry) { r.Organisations[0].Attests = nil }
func untold(r *Registry)     { r.Settings.MinorsDecideFrom = 0 }

// a fact is stated by issuers with the right to, and the refusal says which is missing.
func TestF26WhoMayAttest(t *testing.T) {
	r := small()
	by := func(role domain.Role, o domain.Organisation) domain.Actor {
		return domain.Actor{Role: role, Organisation: o}
	}
	for a, missing := range map[Attestation]*domain.Error{Parentage: ErrParentageRight, CourtAppointment: ErrCourtAppointmentRight, Death: ErrDeathRight, NationalNumber: ErrNationalNumberRight} {
		has := slices.Contains(r.Organisations[0].Attests, a)
		if err := a.Check(by(domain.RoleIssuer, issuer), r.Attestors(a)); (err == nil) != has || !has && !errors.Is(err, missing) {
			t.Errorf("%s: %v", a, err)
		}
		if !strings.Contains(missing.Detail, `"`+string(a)+`"`) {
			t.Errorf("%s: the refusal does not name the right", a)
		}
		for _, who := range []domain.Actor{by(domain.RoleIssuer, consumer), by(domain.RoleConsumer, issuer), by(domain.RoleIssuer, ""), by(domain.RoleCitizen, ""), {}} {
			if err := a.Check(who, append(r.Attestors(a), "")); !errors.Is(err, missing) {
				t.Errorf("%s: %+v: %v", a, who, err)
			}
		}
		if r.Attested(a, issuer) != has || r.Attested(a, consumer) || r.Attested(a, "") {
			t.Errorf("%s: whose word counts", a)
		}
	}
	if got := r.Unattested(); !slices.Equal(got, []Attestation{CourtAppointment, NationalNumber}) {
		t.Errorf("nobody attests %v", got)
	}
	r.Organisations[0].Retired = true
	if len(r.Attestors(Parentage)) != 0 || !r.Attested(Parentage, issuer) {
		t.Error("who is retired attests no more, and what they attested counts")
	}
	if got := (Registry{}).Unattested(); !slices.Equal(got, Attestations) {
		t.Errorf("of an older registry nobody attests %v", got)
	}
}

func TestDecidingAge(t *testing.T) {
	if got := (Settings{}).DecidingAge(); got != 18 {
		t.Errorf("without a word in the registry from %d", got)
	}
	if got := (Settings{MinorsDecideFrom: 14}).DecidingAge(); got != 14 {
		t.Errorf("from %d", got)
	}
}

// A person who repairs a registry wants to hear everything at once.
func TestEveryMistakeIsTold(t *testing.T) {
	bad := but(func(r *Registry) { r.Purposes[0].Labels.DE, r.DocumentTypes[0].Issuers = "", nil })
	_, err := Publish{1, bad, operator}.Decide(State{})
	if !errors.Is(err, ErrLabel) || !errors.Is(err, ErrIncomplete) {
		t.Errorf("err = %v", err)
	}
	if got := Check(bad); len(got) != 2 || got[0].Place != (Place{ListDocumentTypes, "card"}) || got[1].Place != (Place{ListPurposes, "help"}) {
		t.Errorf("mistakes: %v", got)
	}
}

// Whatever leaf of a registry changes, the registries differ: a field that Equal
// forgot would make a change to it impossible to publish.
func TestEqualSeesEveryField(t *testing.T) {
	leaves := 0
	var walk func(path string, at func(*Registry) reflect.Value)
	walk = func(path string, at func(*Registry) reflect.Value) {
		r := small()
		v := at(&r)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Name, func(r *Registry) reflect.Value { return at(r).Field(i) })
			}
			return
		case reflect.Slice:
			for i := range v.Len() {
				walk(path, func(r *Registry) reflect.Value { return at(r).Index(i) })
			}
			if v.Len() == 0 {
				return
			}
			v.Set(v.Slice(0, v.Len()-1))
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int, reflect.Uint8:
			if v.CanInt() {
				v.SetInt(v.Int() + 1)
			} else {
				v.SetUint(v.Uint() + 1)
			}
		default:
			t.Fatalf("%s: unexpected kind %s", path, v.Kind())
		}
		leaves++
		if r.Equal(small()) || small().Equal(r) {
			t.Errorf("a change of %s goes unseen", path)
		}
	}
	walk("Registry", func(r *Registry) reflect.Value { return reflect.ValueOf(r).Elem() })
	if leaves < 100 || !small().Equal(small()) {
		t.Fatalf("looked at %d leaves only, or a registry does not equal itself", leaves)
	}
}

func TestRetentionUntil(t *testing.T) {
	for _, c := range []struct {
		from                RetentionFrom
		issued, ended, want domain.Date
	}{
		{FromIssue, "2026-03-01", "", "2036-03-01"},
		{FromIssue, "2024-02-29", "2025-01-01", "2034-03-01"},
		{FromEnd, "2026-03-01", "2027-12-31", "2037-12-31"},
		{FromEnd, "2026-03-01", "", ""},
	} {
		if got := (Retention{Years: 10, From: c.from}).Until(c.issued, c.ended); got != c.want {
			t.Errorf("%+v: until %q", c, got)
		}
	}
}

// changes are edits of a registry, lawful and not.
var changes = map[string]func(*Registry){
	"same": same,
	"retire": func(r *Registry) {
		for i := range r.DocumentTypes {
			r.DocumentTypes[i].Retired = true
		}
	},
	"reword": func(r *Registry) { r.Purposes[0].Labels.EN += "." },
	"quota":  func(r *Registry) { r.Organisations[1].DailyQuota++ },
	"newReason": func(r *Registry) {
		r.Reasons = append(r.Reasons, Reason{Kind: ReasonErasure, Code: "asked", Labels: say("asked")})
	},
	"newType": func(r *Registry) {
		d := small().DocumentTypes[0]
		d.Name = "other"
		r.DocumentTypes = append(r.DocumentTypes, d)
	},
	"dropReason": func(r *Registry) { r.Reasons = r.Reasons[:1] },
	"dropType":   func(r *Registry) { r.DocumentTypes = r.DocumentTypes[:0] },
	"unlabel":    func(r *Registry) { r.Procedures[0].Labels.FR = "" },
	"unpersonal": func(r *Registry) {
		for i := range r.DocumentTypes {
			r.DocumentTypes[i].ValidityIsPersonal = false
		}
	},
	"unattested":   unattested,
	"untold":       untold,
	"unregistered": func(r *Registry) { r.Organisations[1].Registrations = nil },
}

// Whatever is asked, in whatever order: versions count by one from 1, what is in
// force breaks no rule, no word ever goes, and asking again changes nothing.
func TestAnyOrderOfPublishing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := slices.Sorted(maps.Keys(changes))
		var s State
		ever := map[domain.DocumentType]bool{}
		for range rapid.IntRange(1, 12).Draw(t, "commands") {
			r := small()
			for _, n := range rapid.SliceOfN(rapid.SampledFrom(names), 0, 3).Draw(t, "changes") {
				changes[n](&r)
			}
			cmd := Publish{
				Version:  s.Version + domain.RegistryVersion(rapid.IntRange(0, 2).Draw(t, "ahead")),
				Registry: r,
				By:       rapid.SampledFrom([]domain.Actor{operator, operator, operator, system, {Role: domain.RoleAuditor}}).Draw(t, "by"),
			}
			events, err := cmd.Decide(s)
			if again, err2 := cmd.Decide(s); !reflect.DeepEqual(again, events) || (err == nil) != (err2 == nil) {
				t.Fatal("two answers to one question")
			}
			if err != nil && len(events) > 0 || len(events) > 1 {
				t.Fatalf("%d events with error %v", len(events), err)
			}
			before := s.Version
			for _, e := range events {
				s = Evolve(s, e)
			}
			if s.Version != before+domain.RegistryVersion(len(events)) {
				t.Fatalf("version %d after %d", s.Version, before)
			}
			if s.Version == 0 {
				continue
			}
			if bad := Check(s.Registry); len(bad) > 0 {
				t.Fatalf("in force with mistakes: %v", bad)
			}
			now := map[domain.DocumentType]bool{}
			for _, d := range s.Registry.DocumentTypes {
				now[d.Name], ever[d.Name] = true, true
			}
			if len(now) != len(ever) {
				t.Fatal("a type went")
			}
			repeat := Publish{s.Version + 1, s.Registry, operator}
			if again, err := repeat.Decide(s); len(again) > 0 || err != nil {
				t.Fatalf("publishing again decided %v, %v", again, err)
			}
		}
	})
}
