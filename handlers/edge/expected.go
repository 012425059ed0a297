package edge

import (
	"fmt"
	"strconv"
	"strings"
)

// Names of issues that concern the whole of something and no member of it. A JSON Pointer
// to a member begins with a slash, so no member has one of these.
const (
	wholeBody  = "body"
	wholeQuery = "query"
)

// expected says in words what a value of the shape is, so that a refusal shows the way out:
// its type, its form, its bounds, an example. It holds words of the contract only.
func (s *shape) expected() string {
	var words string
	switch s.kind {
	case object, anyObject:
		words = "an object"
	case array:
		words = "an array" + s.bounds("item")
	case boolean:
		words = "true or false"
	case integer:
		return fmt.Sprintf("a whole number from %d to %d", s.min, s.max)
	default:
		switch {
		case len(s.enum) > 0:
			return "one of " + strings.Join(s.enum, ", ")
		case s.pattern != nil:
			return s.suchAs("text" + s.bounds("character") + ": " + s.form)
		case s.form != "":
			words = s.form
		default:
			words = "text"
		}
		words += s.bounds("character")
	}
	return s.suchAs(words)
}

// suchAs adds an example, where there is one.
func (s *shape) suchAs(words string) string {
	if s.example != "" {
		words += ", such as " + s.example
	}
	return words
}

// bounds says how many items or characters there may be, "" when any number may.
func (s *shape) bounds(unit string) string {
	switch {
	case s.bounded && s.min == s.max:
		return " of " + counted(s.min, unit)
	case s.bounded && s.min > 0:
		return " of " + strconv.FormatInt(s.min, 10) + " to " + counted(s.max, unit)
	case s.bounded:
		return " of at most " + counted(s.max, unit)
	case s.min > 0:
		return " of at least " + counted(s.min, unit)
	}
	return ""
}

func counted(n int64, unit string) string {
	if n != 1 {
		unit += "s"
	}
	return strconv.FormatInt(n, 10) + " " + unit
}

// listed returns the names after an introduction, or none when there are no names.
func listed(introduction string, names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return introduction + strings.Join(names, ", ")
}

// maxMemberName bounds the names of a caller that a refusal repeats.
const maxMemberName = 40

// MemberName returns a name that a caller gave to a member or a parameter when it may be
// repeated to them: a lower-case letter and letters after it, as programs name members. In
// any other text, such as a number or words, there could be a value; it is "" then.
func MemberName(name string) string {
	if len(name) > maxMemberName || name == "" || name[0] < 'a' || name[0] > 'z' {
		return ""
	}
	for i := range len(name) {
		if c := name[i] | 0x20; c < 'a' || c > 'z' {
			return ""
		}
	}
	return name
}
