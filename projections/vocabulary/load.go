package vocabulary

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"coffre/domain/registry"
)

// Load reads a registry from files and checks it as Compile does.
//
//	organisations/*.json   one organisation each
//	documentTypes/*.json   one type of document each, schema included
//	procedures.json purposes.json finalities.json legalBases.json
//	dataCategories.json reasons.json languages.json
//	consentTexts.json                                  {"items": [...]}
//
// Members that are not of the registry, and JSON files it does not know, are
// mistakes; files that are not JSON are left alone. If belgif is not nil, labels
// of finalities, legal bases and data categories come from the Belgian code
// lists in it (gdpr-finality.nt, gdpr-juridical.nt, gdpr-category.nt) where they
// have them, and a code that such a list lacks is a mistake. All mistakes are
// joined, each with the file it is in.
func Load(files, belgif fs.FS) (registry.Registry, error) {
	l := loader{files: files, belgif: belgif, at: make(map[registry.Place]string)}
	r := l.read()
	l.useBelgianLabels(&r)
	sortWords(&r)
	for i := range r.DocumentTypes {
		if t := &r.DocumentTypes[i]; len(t.Schema) > 0 {
			if canonical, err := canonicalize(t.Schema); err == nil {
				t.Schema = canonical
			}
		}
	}
	if len(l.mistakes) == 0 { // else what follows from them would be told as well
		l.check(r)
	}
	if len(l.mistakes) > 0 {
		return registry.Registry{}, errors.Join(l.mistakes...)
	}
	return r, nil
}

type loader struct {
	files, belgif fs.FS
	at            map[registry.Place]string // the file a word was read from
	mistakes      []error
}

func (l *loader) add(file string, err error) {
	l.mistakes = append(l.mistakes, fmt.Errorf("%s: %w", file, err))
}

func (l *loader) read() registry.Registry {
	var r registry.Registry
	err := fs.WalkDir(l.files, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(file) != ".json" {
			return err
		}
		switch dir, base := path.Split(file); {
		case dir == "organisations/":
			one(l, file, &r.Organisations, func(o registry.Organisation) string { return string(o.Number) }, registry.ListOrganisations)
		case dir == "documentTypes/":
			one(l, file, &r.DocumentTypes, func(t registry.DocumentType) string { return string(t.Name) }, registry.ListDocumentTypes)
		case base == "procedures.json" && dir == "":
			many(l, file, &r.Procedures, func(p registry.Procedure) string { return string(p.Code) }, registry.ListProcedures)
		case base == "purposes.json" && dir == "":
			many(l, file, &r.Purposes, func(p registry.Purpose) string { return string(p.Code) }, registry.ListPurposes)
		case base == "finalities.json" && dir == "":
			many(l, file, &r.Finalities, func(f registry.Finality) string { return string(f.Code) }, registry.ListFinalities)
		case base == "legalBases.json" && dir == "":
			many(l, file, &r.LegalBases, func(b registry.LegalBasis) string { return string(b.Code) }, registry.ListLegalBases)
		case base == "dataCategories.json" && dir == "":
			many(l, file, &r.Categories, func(c registry.Category) string { return string(c.Code) }, registry.ListCategories)
		case base == "reasons.json" && dir == "":
			many(l, file, &r.Reasons, func(n registry.Reason) string { return string(n.Kind) + "/" + string(n.Code) }, registry.ListReasons)
		case base == "languages.json" && dir == "":
			many(l, file, &r.Languages, func(n registry.Language) string { return string(n.Code) }, registry.ListLanguages)
		case base == "settings.json" && dir == "":
			l.decode(file, &r.Settings)
		case base == "consentTexts.json" && dir == "":
			many(l, file, &r.ConsentTexts, func(t registry.ConsentText) string { return string(t.Purpose) + "/" + t.Version }, registry.ListConsentTexts)
		default:
			l.add(file, errors.New("is not a file of a registry"))
		}
		return nil
	})
	if err != nil {
		l.add(".", err)
	}
	return r
}

func one[E any](l *loader, file string, list *[]E, code func(E) string, name registry.List) {
	var e E
	if l.decode(file, &e) {
		l.at[registry.Place{List: name, Code: code(e)}] = file
		*list = append(*list, e)
	}
}

func many[E any](l *loader, file string, list *[]E, code func(E) string, name registry.List) {
	var f struct {
		Items []E `json:"items"`
	}
	if !l.decode(file, &f) {
		return
	}
	for _, e := range f.Items {
		l.at[registry.Place{List: name, Code: code(e)}] = file
	}
	*list = f.Items
}

func (l *loader) decode(file string, into any) bool {
	data, err := fs.ReadFile(l.files, file)
	if err == nil {
		data = bytes.TrimPrefix(data, []byte("\ufeff")) // a byte-order mark, which editors put there
		err = json.Unmarshal(data, into, json.RejectUnknownMembers(true), jsontext.AllowDuplicateNames(false))
	}
	if err != nil {
		l.add(file, err)
	}
	return err == nil
}

// check adds what Compile would refuse, and what may be served but no longer published, each
// mistake with its file.
func (l *loader) check(r registry.Registry) {
	_, err := Compile(registry.Published{Version: 1, Registry: r})
	all := leaves(err)
	for _, m := range registry.CheckTexts(r) {
		all = append(all, m)
	}
	for _, err := range all {
		file := "."
		var m registry.Mistake
		var t typeMistake
		switch {
		case errors.As(err, &m):
			file = cmp.Or(l.at[m.Place], string(m.Place.List)+".json")
		case errors.As(err, &t):
			file = l.at[registry.Place{List: registry.ListDocumentTypes, Code: string(t.name)}]
		}
		l.add(file, err)
	}
}

// leaves returns the errors that were joined into one.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, leaves(e)...)
	}
	return all
}

// useBelgianLabels replaces labels of Belgian codes by those of the code lists.
func (l *loader) useBelgianLabels(r *registry.Registry) {
	if l.belgif == nil {
		return
	}
	relabel(l, "gdpr-finality", r.Finalities, func(f *registry.Finality) (string, *registry.Labels) { return string(f.Code), &f.Labels })
	relabel(l, "gdpr-juridical", r.LegalBases, func(b *registry.LegalBasis) (string, *registry.Labels) { return b.Juridical, &b.Labels })
	relabel(l, "gdpr-category", r.Categories, func(c *registry.Category) (string, *registry.Labels) { return string(c.Code), &c.Labels })
}

func relabel[E any](l *loader, scheme string, list []E, of func(*E) (string, *registry.Labels)) {
	file := scheme + ".nt"
	f, err := l.belgif.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		l.add(file, err)
		return
	}
	defer f.Close()
	known, err := readConcepts(f, scheme)
	if err != nil {
		l.add(file, err)
		return
	}
	for i := range list {
		code, labels := of(&list[i])
		belgian, ok := known[code]
		if !ok {
			l.add(file, fmt.Errorf("has no code %q", code))
			continue
		}
		labels.NL = cmp.Or(belgian.NL, labels.NL)
		labels.FR = cmp.Or(belgian.FR, labels.FR)
		labels.DE = cmp.Or(belgian.DE, labels.DE)
		labels.EN = cmp.Or(belgian.EN, labels.EN)
	}
}

// sortWords puts every list in the order of its codes, so that the order of
// files and of entries in them says nothing.
func sortWords(r *registry.Registry) {
	slices.SortStableFunc(r.Organisations, func(a, b registry.Organisation) int { return cmp.Compare(a.Number, b.Number) })
	slices.SortStableFunc(r.DocumentTypes, func(a, b registry.DocumentType) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(r.Procedures, func(a, b registry.Procedure) int { return cmp.Compare(a.Code, b.Code) })
	slices.SortStableFunc(r.Purposes, func(a, b registry.Purpose) int { return cmp.Compare(a.Code, b.Code) })
	slices.SortStableFunc(r.Finalities, func(a, b registry.Finality) int { return cmp.Compare(a.Code, b.Code) })
	slices.SortStableFunc(r.LegalBases, func(a, b registry.LegalBasis) int { return cmp.Compare(a.Code, b.Code) })
	slices.SortStableFunc(r.Categories, func(a, b registry.Category) int { return cmp.Compare(a.Code, b.Code) })
	slices.SortStableFunc(r.Reasons, func(a, b registry.Reason) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Code, b.Code))
	})
	slices.SortStableFunc(r.Languages, func(a, b registry.Language) int {
		return strings.Compare(string(a.Code), string(b.Code))
	})
	slices.SortStableFunc(r.ConsentTexts, func(a, b registry.ConsentText) int {
		return cmp.Or(cmp.Compare(a.Purpose, b.Purpose), cmp.Compare(a.Version, b.Version))
	})
}
