// Package xmlfile judges whether the bytes of a file are XML that the vault takes: one
// element in UTF-8, well formed (XML 1.0) and namespace-well-formed (Namespaces in XML 1.0),
// with no document type, so with no entities of its own, with no style sheet, and with
// nothing that a browser would run. The standard library's decoder takes more: repeated
// attributes, attributes without a blank between them, prefixes that stand for nothing, a
// declaration in the midst.
//
// Invariant: what it takes, expat takes with namespaces on; it reads once and holds at most
// the names of open elements and one tag.
package xmlfile

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits, so that judging a file takes little memory.
const (
	MaxDepth      = 64      // elements within each other
	MaxPiece      = 1 << 20 // bytes of one tag, text, comment or instruction
	MaxAttributes = 1000    // of one element, declarations of namespaces included
)

// ErrRefused says that a file is not XML that is taken. It tells nothing of the content.
var ErrRefused = errors.New("not XML that is taken")

// Check reads from to its end, or to where it is refused. Its errors are ErrRefused and
// those of from.
func Check(from io.Reader) error {
	s := &scanner{in: bufio.NewReader(from), spaces: map[string][]string{"xml": {xmlSpace}}}
	if s.document() {
		return nil
	}
	if s.fault != nil {
		return s.fault
	}
	return ErrRefused
}

const (
	xmlSpace   = "http://www.w3.org/XML/1998/namespace"
	xmlnsSpace = "http://www.w3.org/2000/xmlns/"
	xlessSpace = "" // of names without a prefix, where none is declared
)

// activeSpaces are the namespaces of files that a browser runs.
var activeSpaces = map[string]bool{"http://www.w3.org/2000/svg": true, "http://www.w3.org/1999/xhtml": true}

// none stands for the end of the file, for a byte that no XML holds, and for one too many.
const none rune = -1

type scanner struct {
	in     *bufio.Reader
	ahead  rune // the next character, once it was peeked at
	peeked bool
	left   int   // bytes that the present piece may still have
	ill    bool  // none was not the end of the file
	fault  error // of the reader
	open   []element
	rooted bool                // the root was opened
	spaces map[string][]string // namespaces by prefix, the innermost last
}

// element is an open element.
type element struct {
	name     name
	declares []string // prefixes
}

// name is a name as it is written, with what stands before its colon.
type name struct{ prefix, local string }

// peek returns the next character without taking it.
func (s *scanner) peek() rune {
	if s.peeked {
		return s.ahead
	}
	c, size, err := s.in.ReadRune()
	if s.left -= size; err == nil && (s.left < 0 || c == utf8.RuneError && size == 1 || !legal(c)) {
		s.ill, c = true, none
	}
	if err != nil {
		c = none
		if err != io.EOF {
			s.fault = err
		}
	}
	s.ahead, s.peeked = c, true
	return c
}

// next takes the next character. After none it returns none for ever.
func (s *scanner) next() rune {
	c := s.peek()
	s.peeked = c == none
	return c
}

// take takes the next character if it is c.
func (s *scanner) take(c rune) bool {
	if s.peek() != c {
		return false
	}
	s.next()
	return true
}

// takeAll takes the characters of word.
func (s *scanner) takeAll(word string) bool {
	for _, c := range word {
		if !s.take(c) {
			return false
		}
	}
	return true
}

// takeBlanks takes white space and reports whether there was any.
func (s *scanner) takeBlanks() bool {
	found := false
	for blank(s.peek()) {
		s.next()
		found = true
	}
	return found
}

// document reads the whole file.
func (s *scanner) document() bool {
	s.left = MaxPiece
	s.take('\ufeff')
	for first := true; ; first = false {
		s.left = MaxPiece
		switch c := s.peek(); {
		case c == none:
			return !s.ill && s.fault == nil && s.rooted && len(s.open) == 0
		case c == '<':
			s.next()
			if !s.markup(first) {
				return false
			}
		case len(s.open) > 0:
			if !s.text() {
				return false
			}
		case !s.takeBlanks():
			return false
		}
	}
}

// markup reads what follows a "<"; first says that nothing stood before it.
func (s *scanner) markup(first bool) bool {
	switch {
	case s.take('?'):
		return s.instruction(first)
	case s.take('/'):
		return s.endTag()
	case !s.take('!'):
		return s.startTag()
	case s.take('-'):
		return s.take('-') && s.comment()
	}
	return len(s.open) > 0 && s.takeAll("[CDATA[") && s.characterData() // and no document type
}

// text reads up to the next "<".
func (s *scanner) text() bool {
	brackets := 0
	for {
		switch c := s.peek(); {
		case c == '<' || c == none:
			return true // after none document decides
		case c == '&':
			if _, ok := s.reference(); !ok {
				return false
			}
			brackets = 0
			continue
		case c == ']':
			brackets++
		case c == '>' && brackets >= 2:
			return false
		default:
			brackets = 0
		}
		s.next()
	}
}

// reference reads a reference and returns the character it stands for.
func (s *scanner) reference() (rune, bool) {
	s.next() // the ampersand
	if !s.take('#') {
		n, ok := s.plainName()
		c, known := map[string]rune{"amp": '&', "lt": '<', "gt": '>', "apos": '\'', "quot": '"'}[n]
		return c, ok && known && s.take(';')
	}
	base := rune(10)
	if s.take('x') {
		base = 16
	}
	var c rune
	for digits := 0; ; digits++ {
		d := digit(s.peek())
		if d < 0 || d >= base {
			return c, digits > 0 && legal(c) && s.take(';')
		}
		if c = c*base + d; c > utf8.MaxRune {
			return 0, false
		}
		s.next()
	}
}

// comment reads what follows "<!--".
func (s *scanner) comment() bool {
	for {
		switch s.next() {
		case none:
			return false
		case '-':
			if s.take('-') {
				return s.take('>')
			}
		}
	}
}

// characterData reads what follows "<![CDATA[".
func (s *scanner) characterData() bool {
	for brackets := 0; ; {
		switch c := s.next(); {
		case c == none:
			return false
		case c == ']':
			brackets++
		case c == '>' && brackets >= 2:
			return true
		default:
			brackets = 0
		}
	}
}

// instruction reads what follows "<?": the declaration, where nothing stood before it, or a
// processing instruction.
func (s *scanner) instruction(first bool) bool {
	target, ok := s.plainName()
	switch {
	case !ok:
		return false
	case target == "xml":
		return first && s.declaration()
	case strings.EqualFold(target, "xml"), target == "xml-stylesheet":
		return false
	case s.take('?'):
		return s.take('>')
	case !s.takeBlanks():
		return false
	}
	for {
		switch s.next() {
		case none:
			return false
		case '?':
			for s.take('?') {
			}
			if s.take('>') {
				return true
			}
		}
	}
}

// declaration reads what follows "<?xml".
func (s *scanner) declaration() bool {
	said := 0 // how many of the three were said or passed over
	for {
		blanks := s.takeBlanks()
		if s.take('?') {
			return said > 0 && s.take('>')
		}
		if !blanks {
			return false
		}
		key, ok := s.plainName()
		if !ok || !s.equals() {
			return false
		}
		value, ok := s.quoted()
		switch {
		case !ok:
			return false
		case key == "version" && said == 0 && value == "1.0":
			said = 1
		case key == "encoding" && said == 1 && strings.EqualFold(value, "utf-8"):
			said = 2
		case key == "standalone" && (said == 1 || said == 2) && (value == "yes" || value == "no"):
			said = 3
		default:
			return false
		}
	}
}

// equals reads an equals sign and the blanks around it.
func (s *scanner) equals() bool {
	s.takeBlanks()
	found := s.take('=')
	s.takeBlanks()
	return found
}

// quoted reads a value of the declaration or of an attribute, in quotes, with references
// resolved and white space as blanks.
func (s *scanner) quoted() (string, bool) {
	quote := s.next()
	if quote != '"' && quote != '\'' {
		return "", false
	}
	var value strings.Builder
	for {
		switch c := s.peek(); {
		case c == none || c == '<':
			return "", false
		case c == quote:
			s.next()
			return value.String(), true
		case c == '&':
			r, ok := s.reference()
			if !ok {
				return "", false
			}
			value.WriteRune(r)
			continue
		case blank(c):
			value.WriteByte(' ')
		default:
			value.WriteRune(c)
		}
		s.next()
	}
}

// startTag reads what follows the "<" of a start tag or of an empty element's.
func (s *scanner) startTag() bool {
	n, ok := s.qualifiedName()
	if !ok || len(s.open) == MaxDepth || s.rooted && len(s.open) == 0 {
		return false
	}
	s.rooted = true
	s.open = append(s.open, element{name: n})
	attributes, empty, ok := s.attributes()
	if !ok {
		return false
	}
	space, ok := s.spaceOf(n.prefix)
	if !ok || activeSpaces[space] || space == xlessSpace && (strings.EqualFold(n.local, "html") || strings.EqualFold(n.local, "svg")) {
		return false
	}
	if !s.distinct(attributes) {
		return false
	}
	if empty {
		s.closeElement()
	}
	return true
}

// attributes reads the attributes of a start tag and the end of it, declares the namespaces
// and returns the other attributes.
func (s *scanner) attributes() (others []name, empty, ok bool) {
	for count := 0; ; count++ {
		blanks := s.takeBlanks()
		switch {
		case s.take('>'):
			return others, false, true
		case s.take('/'):
			return others, true, s.take('>')
		case !blanks || count == MaxAttributes:
			return nil, false, false
		}
		n, ok := s.qualifiedName()
		if !ok || !s.equals() {
			return nil, false, false
		}
		value, ok := s.quoted()
		switch {
		case !ok:
			return nil, false, false
		case n.prefix == "xmlns":
			ok = n.local != "xmlns" && value != "" && s.declare(n.local, value)
		case n == name{"", "xmlns"}:
			ok = s.declare("", value)
		default:
			others = append(others, n)
		}
		if !ok {
			return nil, false, false
		}
	}
}

// declare lets a prefix stand for a namespace in the innermost element; "" is the prefix of
// elements without one.
func (s *scanner) declare(prefix, space string) bool {
	e := &s.open[len(s.open)-1]
	for _, p := range e.declares {
		if p == prefix {
			return false
		}
	}
	if space == xmlnsSpace || (space == xmlSpace) != (prefix == "xml") {
		return false
	}
	e.declares = append(e.declares, prefix)
	s.spaces[prefix] = append(s.spaces[prefix], space)
	return true
}

// spaceOf returns the namespace that a prefix stands for.
func (s *scanner) spaceOf(prefix string) (string, bool) {
	if all := s.spaces[prefix]; len(all) > 0 {
		return all[len(all)-1], true
	}
	return xlessSpace, prefix == ""
}

// distinct reports whether no two of an element's attributes have the same name in the same
// namespace, and every prefix stands for one. Attributes without a prefix are in none.
func (s *scanner) distinct(attributes []name) bool {
	if len(attributes) == 0 {
		return true
	}
	seen := make(map[name]bool, len(attributes))
	for _, a := range attributes {
		if a.prefix != "" {
			space, ok := s.spaceOf(a.prefix)
			if !ok {
				return false
			}
			a.prefix = space
		}
		if seen[a] {
			return false
		}
		seen[a] = true
	}
	return true
}

// endTag reads what follows "</".
func (s *scanner) endTag() bool {
	n, ok := s.qualifiedName()
	if !ok || len(s.open) == 0 || s.open[len(s.open)-1].name != n {
		return false
	}
	s.takeBlanks()
	s.closeElement()
	return s.take('>')
}

// closeElement closes the innermost element.
func (s *scanner) closeElement() {
	e := s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	for _, prefix := range e.declares {
		if all := s.spaces[prefix]; len(all) > 1 {
			s.spaces[prefix] = all[:len(all)-1]
		} else {
			delete(s.spaces, prefix)
		}
	}
}

// qualifiedName reads a name with at most one colon, within it.
func (s *scanner) qualifiedName() (name, bool) {
	first, ok := s.plainName()
	if !ok || !s.take(':') {
		return name{local: first}, ok
	}
	second, ok := s.plainName()
	return name{first, second}, ok && s.peek() != ':'
}

// plainName reads a name without a colon.
func (s *scanner) plainName() (string, bool) {
	if !beginsName(s.peek()) {
		return "", false
	}
	var n strings.Builder
	for continuesName(s.peek()) {
		n.WriteRune(s.next())
	}
	return n.String(), true
}
