package vocabulary

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"coffre/domain/registry"
)

// maxLine bounds a line of N-Triples, in bytes.
const maxLine = 64 << 10

const prefLabel = "http://www.w3.org/2004/02/skos/core#prefLabel"

// readConcepts returns the preferred labels of the concepts of a Belgian code
// list in N-Triples (W3C Recommendation of 25 February 2014), by the code at the
// end of their address: ".../gdpr-category/A1#id" is A1. A language without a
// label stays empty; of several labels in a language the first counts.
func readConcepts(r io.Reader, scheme string) (map[string]registry.Labels, error) {
	prefix := "http://vocab.belgif.be/auth/" + scheme + "/"
	known := make(map[string]registry.Labels)
	err := readTriples(r, func(t triple) {
		rest, ours := strings.CutPrefix(t.subject, prefix)
		if !ours || t.predicate != prefLabel {
			return
		}
		code := strings.TrimSuffix(rest, "#id")
		l := known[code]
		for lang, at := range map[string]*string{"nl": &l.NL, "fr": &l.FR, "de": &l.DE, "en": &l.EN} {
			if t.language == lang && *at == "" {
				*at = strings.TrimSpace(t.object)
			}
		}
		known[code] = l
	})
	return known, err
}

// triple is one statement. Blank nodes keep their "_:"; language is lower case
// and only literals may have one.
type triple struct{ subject, predicate, object, language string }

// readTriples calls each for every statement, in order. Its error names the line.
func readTriples(r io.Reader, each func(triple)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	for n := 1; lines.Scan(); n++ {
		t, ok, err := parseTriple(lines.Text())
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if ok {
			each(t)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read N-Triples: %w", err)
	}
	return nil
}

// parseTriple reads one line; ok is false for an empty one or a comment.
func parseTriple(line string) (t triple, ok bool, err error) {
	if !utf8.ValidString(line) {
		return t, false, errors.New("is not UTF-8")
	}
	p := lineParser{rest: line}
	p.space()
	if p.rest == "" || p.rest[0] == '#' {
		return t, false, nil
	}
	if t.subject, err = p.node(); err != nil {
		return t, false, fmt.Errorf("subject: %w", err)
	}
	p.space()
	if t.predicate, err = p.iri(); err != nil {
		return t, false, fmt.Errorf("predicate: %w", err)
	}
	p.space()
	if strings.HasPrefix(p.rest, `"`) {
		t.object, t.language, err = p.literal()
	} else {
		t.object, err = p.node()
	}
	if err != nil {
		return t, false, fmt.Errorf("object: %w", err)
	}
	p.space()
	if !p.take(".") {
		return t, false, errors.New("does not end with a full stop")
	}
	p.space()
	if p.rest != "" && p.rest[0] != '#' {
		return t, false, errors.New("goes on after its full stop")
	}
	return t, true, nil
}

type lineParser struct{ rest string }

func (p *lineParser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

func (p *lineParser) take(s string) bool {
	rest, ok := strings.CutPrefix(p.rest, s)
	p.rest = rest
	return ok
}

func (p *lineParser) node() (string, error) {
	if !strings.HasPrefix(p.rest, "_:") {
		return p.iri()
	}
	end := strings.IndexAny(p.rest, " \t<\"")
	if end <= len("_:") {
		return "", errors.New("blank node has no name")
	}
	name := p.rest[:end]
	p.rest = p.rest[end:]
	return name, nil
}

func (p *lineParser) iri() (string, error) {
	if !p.take("<") {
		return "", errors.New("is no address in angle brackets")
	}
	raw, rest, found := strings.Cut(p.rest, ">")
	if !found || strings.ContainsAny(raw, "<\"{}|^` \t") {
		return "", errors.New("is no address in angle brackets")
	}
	p.rest = rest
	return unescape(raw, "")
}

func (p *lineParser) literal() (text, language string, err error) {
	p.take(`"`)
	end := 0
	for end < len(p.rest) && p.rest[end] != '"' {
		if p.rest[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(p.rest) {
		return "", "", errors.New("text does not end")
	}
	raw := p.rest[:end]
	p.rest = p.rest[end+1:]
	switch {
	case p.take("@"):
		end := 0
		for end < len(p.rest) && (p.rest[end] == '-' || isAlnum(p.rest[end])) {
			end++
		}
		if end == 0 {
			return "", "", errors.New("language is empty")
		}
		language = strings.ToLower(p.rest[:end])
		p.rest = p.rest[end:]
	case p.take("^^"):
		if _, err := p.iri(); err != nil {
			return "", "", fmt.Errorf("datatype: %w", err)
		}
	}
	text, err = unescape(raw, `tbnrf"'\`)
	return text, language, err
}

func isAlnum(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

// unescape replaces \uXXXX, \UXXXXXXXX and the single letters allowed here.
func unescape(raw, letters string) (string, error) {
	if !strings.Contains(raw, `\`) {
		return raw, nil
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			b.WriteByte(raw[i])
			continue
		}
		i++
		if i == len(raw) {
			return "", errors.New("escape is cut off")
		}
		digits := map[byte]int{'u': 4, 'U': 8}[raw[i]]
		switch at := strings.IndexByte(letters, raw[i]); {
		case digits > 0:
			if i+digits >= len(raw) {
				return "", errors.New("escape is cut off")
			}
			r, err := strconv.ParseUint(raw[i+1:i+1+digits], 16, 32)
			if err != nil || r > utf8.MaxRune || !utf8.ValidRune(rune(r)) {
				return "", errors.New("escape is no character")
			}
			b.WriteRune(rune(r))
			i += digits
		case at >= 0:
			b.WriteByte("\t\b\n\r\f\"'\\"[at])
		default:
			return "", errors.New("escape is unknown")
		}
	}
	return b.String(), nil
}
