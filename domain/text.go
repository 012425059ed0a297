package domain

import "unicode"

// Unprintable reports whether a text holds a character that a screen or a log would obey
// instead of showing it: a control character other than tab and line end, or one that turns
// the direction of what follows (U+202A to U+202E, U+2066 to U+2069), by which a text shows
// as another. Marks that letters of Arabic, Hebrew and other scripts need are none.
func Unprintable(text string) bool {
	for _, c := range text {
		switch {
		case c < ' ' && c != '\t' && c != '\n' && c != '\r', c >= 0x7f && c <= 0x9f, c >= 0x202a && c <= 0x202e, c >= 0x2066 && c <= 0x2069:
			return true
		}
	}
	return false
}

// Blank reports whether a text shows nothing: it is empty, or of white space and characters
// without a width only.
func Blank(text string) bool {
	for _, c := range text {
		if c != brailleBlank && !unicode.IsSpace(c) && !unicode.In(c, unicode.Z, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
			return false
		}
	}
	return true
}

// brailleBlank is a letter of Braille without dots.
const brailleBlank = '\u2800'
