package pages

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"coffre/handlers/contract"
)

// oneDocument is a document with what it says.
type oneDocument struct {
	id, state, validity, issuer, issued string
	facts                               []fact
	files                               []fileView
	looked, wrong, erase                string // addresses
}

// fact is a member of a document's content, with its value or with members of its own.
type fact struct {
	name, value string
	inner       []fact
	english     bool // the value is: it has names of data
}

type fileView struct{ href, name string }

// serveDocument shows one document.
func (p *Pages) serveDocument(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	d, err := get[contract.VaultDocument](r.Context(), p, s, "/documents/"+id, url.Values{"lang": {string(s.tongue)}})
	if err != nil {
		return err
	}
	pg := s.page("document.title")
	v := oneDocument{
		id: id, state: string(d.State), validity: pg.validity(d.ValidFrom, d.ValidUntil), issuer: cmp.Or(d.IssuerName, string(d.Issuer)), issued: pg.moment(d.IssuedAt),
		looked: pg.to("/looked/each", "documentType", string(d.DocumentType)),
		wrong:  pg.to("/dispute", "document", id),
	}
	if s.of == "" {
		v.erase = pg.to("/erase", "document", id)
	}
	if v.facts, err = pg.facts(d.Content); err != nil {
		return err
	}
	for i, f := range d.Attachments {
		v.files = append(v.files, fileView{
			pg.to("/documents/" + id + "/files/" + f.AttachmentID.String()),
			pg.say("document.file", strconv.Itoa(i+1), f.MediaType, strconv.FormatInt((f.Size+1023)/1024, 10)),
		})
	}
	return p.show(w, r, http.StatusOK, documentPage(pg, cmp.Or(d.Label, string(d.DocumentType)), v))
}

// serveFile hands on a file of a document.
func (p *Pages) serveFile(w http.ResponseWriter, r *http.Request, s session) error {
	id, err := idFrom(r, "id")
	if err != nil {
		return err
	}
	file, err := idFrom(r, "file")
	if err != nil {
		return err
	}
	ask, err := request(r.Context(), s, http.MethodGet, "/documents/"+id+"/attachments/"+file, http.NoBody)
	if err != nil {
		return err
	}
	return p.pass(w, ask)
}

// facts reads a document's content in its order. Numbers are shown as they are written.
func (l tongue) facts(content contract.Content) ([]fact, error) {
	if len(content) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.UseNumber()
	whole, err := l.factFrom(d)
	if err != nil {
		return nil, fmt.Errorf("read a document's content: not JSON") // the error would quote it
	}
	return whole.inner, nil
}

// factFrom reads the next value.
func (l tongue) factFrom(d *json.Decoder) (f fact, err error) {
	t, err := d.Token()
	if err != nil {
		return f, err
	}
	switch t := t.(type) {
	case json.Delim:
		for n := 1; d.More(); n++ {
			name := strconv.Itoa(n)
			if t == '{' {
				key, err := d.Token()
				if err != nil {
					return f, err
				}
				name = readable(fmt.Sprint(key))
			}
			one, err := l.factFrom(d)
			if err != nil {
				return f, err
			}
			one.name = name
			f.inner = append(f.inner, one)
		}
		_, err = d.Token()
	case bool:
		f.value = l.say("document." + strconv.FormatBool(t))
	case nil:
		f.value = "-"
	default:
		f.value = fmt.Sprint(t)
		if aDay.MatchString(f.value) {
			f.value = l.day(contract.Day(f.value))
		}
	}
	return f, err
}

var aDay = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)

// readable puts blanks into the name of a field: birthDate is birth date.
func readable(name string) string {
	var b strings.Builder
	for i, c := range name {
		if unicode.IsUpper(c) && i > 0 {
			b.WriteByte(' ')
			c = unicode.ToLower(c)
		}
		if c == '_' {
			c = ' '
		}
		b.WriteRune(c)
	}
	return b.String()
}
