// Package report writes a subject access report for people: as a page that any browser
// shows and a screen reader leads through, or as a PDF for those who want a file to keep.
// It reads the report as the API sends it, so that both say what the machine-readable form
// says, and never has more of it in memory than one item of a list (a PDF: its pages).
package report

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"coffre/domain"
	"coffre/handlers/contract/texts"
)

// Form is how a report for people is written.
type Form struct {
	Language domain.Language
	// Label returns what a code of the registry is called that stands in a member such as
	// legalBasis; the code itself for one that has no name.
	Label func(member, code string) string
	// Title and Made are the keys of the texts above the report, and Sections its parts; those
	// of a subject access report where they are not said.
	Title, Made string
	Sections    []string
}

// Page writes a report as one HTML page without script, without a request to anywhere else.
// A report that does not read is an error; what was written before is no whole page.
func Page(w io.Writer, report io.Reader, f Form) error {
	page := newPage(w)
	if err := f.write(page, report); err != nil {
		return err
	}
	return page.end()
}

// PDF writes a report as a PDF of A4 pages with bookmarks. It is not tagged for assistive
// technology: the page is.
func PDF(w io.Writer, report io.Reader, f Form) error {
	sheets := newSheets(f.Language)
	if err := f.write(sheets, report); err != nil {
		return err
	}
	return sheets.end(w)
}

// paper is what a report is written on.
type paper interface {
	begin(lang domain.Language, title, made string, sections []section)
	section(s section)
	item(heading string)
	pair(depth int, term, value string) // value "" begins what lies deeper
	table(caption string, columns []string)
	row(cells []string)
	endTable()
	endItem()
	paragraph(text string)
	endSection()
}

type section struct{ name, heading string }

// always are the parts that every report has.
var always = []string{"documents", "consents", "accesses", "mandates"}

// paragraphs are the members that are one text.
var paragraphs = []string{"rights", "measures"}

// coded are the members whose values have texts of their own.
var coded = []string{"state", "kind", "role", "outcome", "heldAs", "actions", "scope", "per", "language", "askedBy", "list", "petitionState", "documentNotices", "expiryNotices", "accessNotices", "consentNotices", "subjects", "places", "end", "then", "retentionFrom"}

// addresses are members that lead programs on, and people nowhere.
var addresses = []string{"href", "certificate"}

// columns are those of the table of readings.
var columns = []string{"at", "organizationName", "kind", "purposeLabel", "legalBasis", "outcome"}

var errReport = errors.New("the report does not read")

func (f Form) write(p paper, report io.Reader) error {
	d := jsontext.NewDecoder(report)
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return errors.Join(errReport, err)
	}
	made := ""
	begun := false
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return errors.Join(errReport, err)
		}
		member := name.String()
		switch {
		case member == "createdAt":
			v, err := d.ReadValue()
			if err != nil {
				return errors.Join(errReport, err)
			}
			made = f.moment(v)
			continue
		case !begun:
			begun = true
			p.begin(f.Language, texts.Of(f.Language, cmp.Or(f.Title, "report.title")), texts.Of(f.Language, cmp.Or(f.Made, "report.made"), made), f.sections())
		}
		if err := f.part(p, d, member); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

func (f Form) sections() []section {
	names := f.Sections
	if names == nil {
		names = always
	}
	all := make([]section, len(names))
	for i, name := range names {
		all[i] = section{name, f.heading(name)}
	}
	return all
}

func (f Form) heading(name string) string {
	if name == "rights" {
		return texts.Of(f.Language, "report.rights")
	}
	return texts.Of(f.Language, "section."+name)
}

// part writes one member of the report.
func (f Form) part(p paper, d *jsontext.Decoder, member string) error {
	if d.PeekKind() != '[' {
		v, err := d.ReadValue()
		if err != nil {
			return errors.Join(errReport, err)
		}
		if slices.Contains(paragraphs, member) {
			p.section(section{member, f.heading(member)})
			p.paragraph(plain(v))
			p.endSection()
		}
		return nil
	}
	if _, err := d.ReadToken(); err != nil {
		return errors.Join(errReport, err)
	}
	p.section(section{member, f.heading(member)})
	asTable := member == "accesses"
	n := 0
	for ; d.PeekKind() != ']'; n++ {
		item, err := d.ReadValue()
		if err != nil {
			return errors.Join(errReport, err)
		}
		if asTable {
			if n == 0 {
				p.table(f.heading(member), f.columns())
			}
			cells, err := f.cells(item)
			if err != nil {
				return err
			}
			p.row(cells)
			continue
		}
		p.item(f.itemHeading(member, n+1, item))
		if err := f.object(p, 0, item, false); err != nil {
			return err
		}
		p.endItem()
	}
	switch {
	case n == 0:
		p.paragraph(texts.Of(f.Language, "report.nothing"))
	case asTable:
		p.endTable()
	}
	p.endSection()
	_, err := d.ReadToken()
	return err
}

// itemHeading returns what one item of a list is called: its number and name.
func (f Form) itemHeading(section string, n int, item jsontext.Value) string {
	heading := texts.Of(f.Language, "report.item", texts.Of(f.Language, "one."+section), fmt.Sprint(n))
	for _, name := range []string{"label", "consumerName", "kind"} {
		if v := member(item, name); v != nil {
			return heading + ": " + f.value(name, v)
		}
	}
	return heading
}

func (f Form) columns() []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = texts.Of(f.Language, "member."+c)
	}
	return names
}

// cells returns one reading as a row: who read is the organisation, else the role; what, with
// the type of document, fields and answers; why, with procedure and case.
func (f Form) cells(item jsontext.Value) ([]string, error) {
	got := map[string][]string{}
	err := members(item, func(name string, v jsontext.Value) error {
		in := ""
		switch name {
		case "at", "organizationName", "kind", "purposeLabel", "legalBasis", "outcome":
			in = name
		case "role":
			if member(item, "organizationName") == nil {
				in = "organizationName"
			}
		case "label", "fields", "predicate":
			in = "kind"
		case "answers":
			in = "kind"
			return elements(v, func(one jsontext.Value) error {
				got[in] = append(got[in], f.value("label", member(one, "label"))+" "+f.value("outcome", member(one, "outcome")))
				return nil
			})
		case "procedure", "deliberation", "caseReference":
			in = "purposeLabel"
		case "consentId":
			in = "legalBasis"
		case "reason":
			in = "outcome"
		}
		if in == "" {
			return nil
		}
		var all []string
		if v.Kind() == '[' {
			if err := elements(v, func(one jsontext.Value) error { all = append(all, f.value(name, one)); return nil }); err != nil {
				return err
			}
		} else {
			all = append(all, f.value(name, v))
		}
		text := strings.Join(all, ", ")
		if name == "consentId" {
			text = texts.Of(f.Language, "one.consents") + " " + text
		}
		got[in] = append(got[in], text)
		return nil
	})
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = strings.Join(got[c], "; ")
	}
	return row, err
}

// object writes the members of an object as pairs of a term and a value. Those of a document's
// content keep the names that the authentic source gives them.
func (f Form) object(p paper, depth int, v jsontext.Value, raw bool) error {
	if v.Kind() != '{' {
		p.pair(depth, "", plain(v))
		return nil
	}
	return members(v, func(name string, v jsontext.Value) error {
		if !raw && slices.Contains(addresses, name) {
			return nil
		}
		term := name
		if !raw {
			term = texts.Of(f.Language, "member."+name)
		}
		inside := raw || name == "content"
		switch v.Kind() {
		case '{':
			p.pair(depth, term, "")
			return f.object(p, depth+1, v, inside)
		case '[':
			return f.list(p, depth, term, name, v, inside)
		}
		p.pair(depth, term, f.shown(name, v, raw))
		return nil
	})
}

func (f Form) list(p paper, depth int, term, name string, v jsontext.Value, raw bool) error {
	var simple []string
	n := 0
	err := elements(v, func(one jsontext.Value) error {
		n++
		switch one.Kind() {
		case '{', '[':
			p.pair(depth, fmt.Sprintf("%s %d", term, n), "")
			if one.Kind() == '[' {
				return f.list(p, depth+1, term, name, one, raw)
			}
			return f.object(p, depth+1, one, raw)
		}
		simple = append(simple, f.shown(name, one, raw))
		return nil
	})
	if len(simple) > 0 {
		p.pair(depth, term, strings.Join(simple, ", "))
	}
	return err
}

// shown returns a value: as it stands inside a document's content.
func (f Form) shown(name string, v jsontext.Value, raw bool) string {
	if raw {
		return plain(v)
	}
	return f.value(name, v)
}

// value returns the value of a member as people read it.
func (f Form) value(name string, v jsontext.Value) string {
	text := plain(v)
	switch {
	case text == "" || v.Kind() != '"':
		return text
	case slices.Contains(coded, name):
		for _, key := range []string{"value." + name + "." + text, "value." + text} {
			if said, known := texts.Lookup(f.Language, key); known {
				return said
			}
		}
	}
	if strings.HasSuffix(name, "At") || name == "at" {
		return f.moment(v)
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return texts.Day(f.Language, t)
	}
	if f.Label != nil {
		return f.Label(name, text)
	}
	return text
}

func (f Form) moment(v jsontext.Value) string {
	t, err := time.Parse(time.RFC3339Nano, plain(v))
	if err != nil {
		return plain(v)
	}
	return texts.Moment(f.Language, t)
}

// plain returns a JSON value as text: strings without quotes.
func plain(v jsontext.Value) string {
	if v.Kind() != '"' {
		return string(bytes.TrimSpace(v))
	}
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return ""
	}
	return string(text)
}

// member returns a member of an object, nil where there is none.
func member(object jsontext.Value, name string) (found jsontext.Value) {
	_ = members(object, func(n string, v jsontext.Value) error { // what does not read has no members
		if n == name {
			found = v.Clone()
		}
		return nil
	})
	return found
}

// members calls a function with each member of an object, in its order.
func members(object jsontext.Value, each func(name string, v jsontext.Value) error) error {
	return walk(object, '}', func(d *jsontext.Decoder) error {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		key := name.String()
		v, err := d.ReadValue()
		if err != nil {
			return err
		}
		return each(key, v)
	})
}

// elements calls a function with each element of a list.
func elements(list jsontext.Value, each func(jsontext.Value) error) error {
	return walk(list, ']', func(d *jsontext.Decoder) error {
		v, err := d.ReadValue()
		if err != nil {
			return err
		}
		return each(v)
	})
}

func walk(v jsontext.Value, end jsontext.Kind, next func(*jsontext.Decoder) error) error {
	d := jsontext.NewDecoder(bytes.NewReader(v))
	if _, err := d.ReadToken(); err != nil {
		return errors.Join(errReport, err)
	}
	for d.PeekKind() != end {
		if err := next(d); err != nil {
			return errors.Join(errReport, err)
		}
	}
	return nil
}
