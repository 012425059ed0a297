package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"coffre/domain"
)

// Limits of what a registry may say. They bound what a clear string in the log
// can carry; none is a limit of law.
const (
	MaxLabel = 1000 // bytes of a label or description
	MaxText  = 4000 // bytes of a consent text in one language
	MaxCode  = 64   // bytes of a code
	MaxYears = 150  // of a retention or an age
	MaxQuota = 100_000_000
	// MaxHidden is for how many days an investigation may hide accesses before it is renewed.
	MaxHidden = 366
)

var (
	ErrCode       = domain.NewError(domain.Invalid, "registryCode", "a code is 1 to 64 letters, digits, '.', '-' or '_', of the form its list asks for, and stands once in its list")
	ErrLabel      = domain.NewError(domain.Invalid, "registryLabel", "a label is present in nl, fr, de and en, says something, and holds no control character and none that turns the direction of text")
	ErrUnresolved = domain.NewError(domain.Invalid, "registryUnresolved", "what is referred to stands in the registry")
	ErrIncomplete = domain.NewError(domain.Invalid, "registryIncomplete", "a necessary part is missing or out of range")
	ErrBasis      = domain.NewError(domain.Invalid, "registryBasis", "a registration is by law with a legal basis other than consent and a deliberation number, or by consent, or both")
	ErrText       = domain.NewError(domain.Invalid, "registryConsentText", "a purpose for which consent may be asked has a text to show in nl, fr, de and en, with no places to fill in but {consumer} and {purpose}; a version once published keeps its words")
	ErrRight      = domain.NewError(domain.Invalid, "registryRight", "an organisation attests known facts, each named once; minors decide from an age of 12 to 18")
	ErrMinimum    = domain.NewError(domain.Invalid, "registryMinimum", "whoever may read a type for a purpose may learn some field or answer of it, and only what the type offers")
)

// List names one of the lists of a registry, as its JSON member does.
type List string

const (
	ListOrganisations List = "organisations"
	ListDocumentTypes List = "documentTypes"
	ListProcedures    List = "procedures"
	ListPurposes      List = "purposes"
	ListFinalities    List = "finalities"
	ListLegalBases    List = "legalBases"
	ListCategories    List = "dataCategories"
	ListReasons       List = "reasons"
	ListLanguages     List = "languages"
	ListConsentTexts  List = "consentTexts"
	ListSettings      List = "settings" // which have no codes
)

// Place is where in a registry something stands. Reasons have the code
// "kind/code", predicates "type/predicate", consent texts "purpose/version".
type Place struct {
	List List
	Code string
}

// Mistake is a rule that a registry breaks at a place. It unwraps to the refusal.
type Mistake struct {
	Place Place
	What  string // the detail, with codes of the registry; never anything of a person
	Err   *domain.Error
}

func (m Mistake) Error() string {
	return fmt.Sprintf("%s %q: %s: %s", m.Place.List, m.Place.Code, m.What, m.Err.Slug)
}

func (m Mistake) Unwrap() error { return m.Err }

// Check returns every mistake by the rules for each text, in a stable order:
// those that a registry can be judged by alone.
//
//   - R-4 every label and description is there in nl, fr, de and en
//   - R-5 codes are well formed and stand once in their list; organisations have enterprise numbers
//   - R-6 what is referred to stands in the registry
//   - R-7 a type has a schema, an issuer, a category, and a retention with its rule
//   - R-8 a basis by law has a deliberation number and is not consent; without any basis by law consent may be asked
//   - R-9 a reader of a type may learn some field or answer of it; predicates are of the closed vocabulary
//   - R-10 an organisation says where citizens can ask; a consumer has a daily quota
//   - R-12 a consent text has no places to fill in but those that are known
//   - R-13 an organisation attests facts by rights of a closed list; minors decide from an age of 12 to 18
//
// That schemas are valid and declare the fields named is judged where JSON is
// understood, in projections/vocabulary.
func Check(r Registry) []Mistake {
	c := checker{have: make(map[Place]bool)}
	for _, list := range words(r) {
		c.words(list)
	}
	for _, l := range []domain.Language{"nl", "fr", "de", "en"} {
		c.refer(Place{ListLanguages, string(l)}, ListLanguages, string(l))
	}
	for _, b := range r.LegalBases {
		at := Place{ListLegalBases, string(b.Code)}
		if !slices.Contains([]string{"6(1)(a)", "6(1)(b)", "6(1)(c)", "6(1)(d)", "6(1)(e)", "6(1)(f)"}, b.Article) || !wellFormed(b.Juridical) {
			c.add(at, ErrIncomplete, "article of the GDPR or Belgian code")
		}
	}
	for _, p := range r.Purposes {
		at := Place{ListPurposes, string(p.Code)}
		if len(p.Finalities) == 0 {
			c.add(at, ErrIncomplete, "finalities")
		}
		for _, f := range p.Finalities {
			c.refer(at, ListFinalities, string(f))
		}
	}
	for _, t := range r.DocumentTypes {
		c.documentType(t)
	}
	for _, o := range r.Organisations {
		c.organisation(r, o)
	}
	for _, t := range r.ConsentTexts {
		c.consentText(t)
	}
	c.checkSettings(r.Settings)
	return c.sorted()
}

// CheckTexts returns the purposes for which consent may be asked without a text to show (rule
// R-12), and the words that cannot be shown, or that a screen would obey. It
// is apart from Check, because registries are in force that were published before there were
// texts, under which nobody consents, or before words were looked at.
func CheckTexts(r Registry) []Mistake {
	var c checker
	for _, list := range words(r) {
		for _, w := range list {
			c.showable(w.place, w.labels)
		}
	}
	for _, t := range r.DocumentTypes {
		at := Place{ListDocumentTypes, string(t.Name)}
		c.showable(at, t.Descriptions)
		for _, p := range t.Predicates {
			c.showable(at, p.Labels)
		}
	}
	for _, o := range r.Organisations {
		at := Place{ListOrganisations, string(o.Number)}
		c.shows(at, ErrIncomplete, "contact", o.Contact.Email)
		c.shows(at, ErrIncomplete, "contact", o.Contact.URL)
		for _, reg := range o.Registrations {
			for _, b := range reg.Bases {
				c.shows(at, ErrBasis, "deliberation", string(b.Deliberation))
			}
		}
	}
	retired := make(map[domain.Purpose]bool)
	for _, p := range r.Purposes {
		retired[p.Code] = p.Retired
	}
	for _, o := range r.Organisations {
		for _, reg := range o.Registrations {
			shown := func(t ConsentText) bool { return t.Purpose == reg.Purpose && !t.Retired }
			if reg.Consent && !o.Retired && !retired[reg.Purpose] && !slices.ContainsFunc(r.ConsentTexts, shown) {
				c.add(Place{ListOrganisations, string(o.Number)}, ErrText, fmt.Sprintf("consentTexts has none for purpose %q", reg.Purpose))
			}
		}
	}
	return c.sorted()
}

// consentText implements for one text.
func (c *checker) consentText(t ConsentText) {
	at := t.place()
	c.refer(at, ListPurposes, string(t.Purpose))
	c.texts(at, t.Texts, MaxText)
	for _, text := range []string{t.Texts.NL, t.Texts.FR, t.Texts.DE, t.Texts.EN} {
		if strings.ContainsAny(ShownText(text, "", ""), "{}") {
			c.add(at, ErrText, "an unknown place to fill in")
			return
		}
	}
}

// checker gathers mistakes, and knows which words there are.
type checker struct {
	have     map[Place]bool
	mistakes []Mistake
}

func (c *checker) add(at Place, err *domain.Error, what string) {
	c.mistakes = append(c.mistakes, Mistake{at, what, err})
}

func (c *checker) sorted() []Mistake {
	slices.SortStableFunc(c.mistakes, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Place.List, b.Place.List), cmp.Compare(a.Place.Code, b.Place.Code))
	})
	return c.mistakes
}

// words implements for one list.
func (c *checker) words(list []word) {
	for _, w := range list {
		switch {
		case !w.formed:
			c.add(w.place, ErrCode, "the code is not well formed")
		case c.have[w.place]:
			c.add(w.place, ErrCode, "the code stands there twice")
		}
		c.have[w.place] = true
		if w.place.List != ListConsentTexts { // whose texts are no labels
			c.labels(w.place, w.labels)
		}
	}
}

func (c *checker) labels(at Place, l Labels) { c.texts(at, l, MaxLabel) }

// texts refuses words that are absent in a language, or longer than most bytes.
func (c *checker) texts(at Place, l Labels, most int) {
	for i, text := range []string{l.NL, l.FR, l.DE, l.EN} {
		if text == "" || len(text) > most || strings.TrimSpace(text) != text {
			c.add(at, ErrLabel, "label in "+[]string{"nl", "fr", "de", "en"}[i])
		}
	}
}

// showable refuses words that show nothing, or that a screen would obey instead.
func (c *checker) showable(at Place, l Labels) {
	for i, text := range []string{l.NL, l.FR, l.DE, l.EN} {
		c.shows(at, ErrLabel, "label in "+[]string{"nl", "fr", "de", "en"}[i], text)
	}
}

func (c *checker) shows(at Place, err *domain.Error, what, text string) {
	switch {
	case text == "": // told by Check
	case domain.Blank(text):
		c.add(at, err, what+": it shows nothing")
	case domain.Unprintable(text):
		c.add(at, err, what+": a control character, or one that turns the direction of text")
	}
}

// refer implements R-6.
func (c *checker) refer(at Place, list List, code string) {
	if !c.have[Place{list, code}] {
		c.add(at, ErrUnresolved, fmt.Sprintf("%s %q is unknown", list, code))
	}
}

// documentType implements and, for what the type offers, R-9.
func (c *checker) documentType(t DocumentType) {
	at := Place{ListDocumentTypes, string(t.Name)}
	c.labels(at, t.Descriptions)
	if len(t.Schema) == 0 {
		c.add(at, ErrIncomplete, "schema")
	}
	if len(t.Categories) == 0 {
		c.add(at, ErrIncomplete, "dataCategories")
	}
	if len(t.Issuers) == 0 {
		c.add(at, ErrIncomplete, "issuers")
	}
	for _, cat := range t.Categories {
		c.refer(at, ListCategories, string(cat))
	}
	for _, o := range t.Issuers {
		c.refer(at, ListOrganisations, string(o))
	}
	c.refer(at, ListReasons, string(ReasonRetention)+"/"+string(t.Retention.Rule))
	if t.Retention.Years < 1 || t.Retention.Years > MaxYears ||
		t.Retention.From != FromIssue && t.Retention.From != FromEnd ||
		t.Retention.Then != Destroy && t.Retention.Then != Archive {
		c.add(at, ErrIncomplete, "retention")
	}
	if t.Holders.ParentsUntil < 0 || t.Holders.ParentsUntil > Majority {
		c.add(at, ErrIncomplete, "parentsUntil")
	}
	offered := make(map[PredicateName]bool)
	for _, p := range t.Predicates {
		c.labels(at, p.Labels)
		if !wellFormed(string(p.Name)) || offered[p.Name] {
			c.add(at, ErrCode, "predicate name")
		}
		offered[p.Name] = true
		if p.AgeAtLeast.Field == "" || p.AgeAtLeast.Years < 1 || p.AgeAtLeast.Years > MaxYears {
			c.add(at, ErrMinimum, "predicate without a known way to compute it")
		}
	}
	type use struct {
		purpose   domain.Purpose
		procedure domain.Procedure
	}
	seen := make(map[use]bool)
	for _, m := range t.Minimum {
		c.refer(at, ListPurposes, string(m.Purpose))
		if m.Procedure != "" {
			c.refer(at, ListProcedures, string(m.Procedure))
		}
		u := use{m.Purpose, m.Procedure}
		if seen[u] || len(m.Fields)+len(m.Predicates) == 0 || slices.Contains(m.Fields, "") {
			c.add(at, ErrMinimum, "minimum is empty or stated twice")
		}
		seen[u] = true
		for _, p := range m.Predicates {
			if !offered[p] {
				c.add(at, ErrMinimum, "minimum names a predicate the type does not offer")
			}
		}
	}
}

// organisation implements and, for what a consumer reads, R-9.
func (c *checker) organisation(r Registry, o Organisation) {
	at := Place{ListOrganisations, string(o.Number)}
	if !strings.Contains(o.Contact.Email, "@") || !strings.HasPrefix(o.Contact.URL, "https://") ||
		len(o.Contact.Email) > MaxLabel || len(o.Contact.URL) > MaxLabel {
		c.add(at, ErrIncomplete, "contact")
	}
	if o.DailyQuota < 0 || o.DailyQuota > MaxQuota || o.DailyQuota == 0 && len(o.Registrations) > 0 {
		c.add(at, ErrIncomplete, "dailyQuota")
	}
	c.checkAttestations(at, o.Attests)
	for _, reg := range o.Registrations {
		c.refer(at, ListPurposes, string(reg.Purpose))
		for _, p := range reg.Procedures {
			c.refer(at, ListProcedures, string(p))
		}
		if len(reg.Bases) == 0 && !reg.Consent {
			c.add(at, ErrBasis, "neither a basis by law nor consent")
		}
		for _, b := range reg.Bases {
			c.refer(at, ListLegalBases, string(b.LegalBasis))
			if d := string(b.Deliberation); d == "" || len(d) > MaxCode || strings.TrimSpace(d) != d || isConsent(r, b.LegalBasis) {
				c.add(at, ErrBasis, "basis by law")
			}
			if !slices.Contains(restrictionGrounds, b.DespiteRestriction) {
				c.add(at, ErrBasis, "despiteRestriction")
			}
			if b.HidesForDays < 0 || b.HidesForDays > MaxHidden {
				c.add(at, ErrBasis, "hidesForDays")
			}
		}
		if len(reg.Types) == 0 {
			c.add(at, ErrIncomplete, "documentTypes of a registration")
		}
		for _, name := range reg.Types {
			c.refer(at, ListDocumentTypes, string(name))
			if !offers(r, name, reg.Purpose) {
				c.add(at, ErrMinimum, fmt.Sprintf("nothing of %q may be learnt for %q", name, reg.Purpose))
			}
		}
	}
}

func isConsent(r Registry, code domain.LegalBasis) bool {
	return slices.ContainsFunc(r.LegalBases, func(b LegalBasis) bool { return b.Code == code && b.Article == ConsentArticle })
}

// offers reports whether something of the type may be learnt for the purpose.
func offers(r Registry, name domain.DocumentType, purpose domain.Purpose) bool {
	return slices.ContainsFunc(r.DocumentTypes, func(t DocumentType) bool {
		return t.Name == name && slices.ContainsFunc(t.Minimum, func(m Minimum) bool { return m.Purpose == purpose })
	})
}

// word is what all entries of all lists have in common.
type word struct {
	place  Place
	labels Labels
	formed bool
}

// words returns the entries of every list.
func words(r Registry) [][]word {
	return [][]word{
		gather(r.Organisations, func(o Organisation) word {
			_, err := domain.ParseOrganisation(string(o.Number))
			return word{Place{ListOrganisations, string(o.Number)}, o.Names, err == nil}
		}),
		gather(r.DocumentTypes, func(t DocumentType) word { return wordOf(ListDocumentTypes, string(t.Name), t.Labels) }),
		gather(r.Procedures, func(p Procedure) word { return wordOf(ListProcedures, string(p.Code), p.Labels) }),
		gather(r.Purposes, func(p Purpose) word { return wordOf(ListPurposes, string(p.Code), p.Labels) }),
		gather(r.Finalities, func(f Finality) word { return wordOf(ListFinalities, string(f.Code), f.Labels) }),
		gather(r.LegalBases, func(b LegalBasis) word { return wordOf(ListLegalBases, string(b.Code), b.Labels) }),
		gather(r.Categories, func(d Category) word { return wordOf(ListCategories, string(d.Code), d.Labels) }),
		gather(r.Reasons, func(n Reason) word {
			formed := wellFormed(string(n.Code)) && slices.Contains(ReasonKinds, n.Kind)
			return word{Place{ListReasons, string(n.Kind) + "/" + string(n.Code)}, n.Labels, formed}
		}),
		gather(r.Languages, func(l Language) word { return wordOf(ListLanguages, string(l.Code), l.Labels) }),
		gather(r.ConsentTexts, func(t ConsentText) word {
			return word{t.place(), t.Texts, wellFormed(string(t.Purpose)) && wellFormed(t.Version) && len(t.Version) <= maxTextVersion}
		}),
	}
}

// maxTextVersion bounds the version of a consent text, in bytes, as the contract does.
const maxTextVersion = 32

func (t ConsentText) place() Place {
	return Place{ListConsentTexts, string(t.Purpose) + "/" + t.Version}
}

// ShownText returns a text of a ConsentText as a citizen is shown it: with the name of the
// organisation and the label of the purpose, both in the language of the text.
func ShownText(text, consumer, purpose string) string {
	return strings.NewReplacer(ConsumerPlace, consumer, PurposePlace, purpose).Replace(text)
}

func gather[E any](list []E, f func(E) word) []word {
	all := make([]word, len(list))
	for i, e := range list {
		all[i] = f(e)
	}
	return all
}

func wordOf(list List, code string, labels Labels) word {
	return word{Place{list, code}, labels, wellFormed(code)}
}

func wellFormed(code string) bool {
	for i := range len(code) {
		b := code[i]
		alnum := b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
		if !alnum && (i == 0 || b != '.' && b != '-' && b != '_') {
			return false
		}
	}
	return code != "" && len(code) <= MaxCode
}
