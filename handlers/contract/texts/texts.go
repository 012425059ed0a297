// Package texts holds what citizens read of the vault itself, in its four languages: the
// headings, words and sentences around their data. The texts lie in a data file for each
// language, by keys that all four have; what the registry names (types of document,
// organisations, purposes) is translated there, not here.
package texts

import (
	"embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"coffre/domain"
)

// Fallback is spoken where a language is asked for that the vault does not speak.
const Fallback domain.Language = "nl"

//go:embed nl.json fr.json de.json en.json
var files embed.FS

var all = Load(files, "", "nl", "fr", "de", "en")

// Load reads the texts of these languages from the files LANGUAGE.json of a folder in files,
// whose name ends with a slash, or is "". It panics where a file is missing or does not read: a
// broken program.
func Load(files embed.FS, folder string, languages ...domain.Language) map[domain.Language]map[string]string {
	read := make(map[domain.Language]map[string]string, len(languages))
	for _, lang := range languages {
		content, err := files.ReadFile(folder + string(lang) + ".json")
		var table map[string]string
		if err == nil {
			err = json.Unmarshal(content, &table)
		}
		if err != nil { // a broken program
			panic(fmt.Sprintf("texts in %s: %v", lang, err))
		}
		read[lang] = table
	}
	return read
}

// Lookup returns the text of a key in a language, in Fallback for one that the vault does not
// speak, and whether there is one.
func Lookup(lang domain.Language, key string) (string, bool) {
	table, spoken := all[lang]
	if !spoken {
		table = all[Fallback]
	}
	text, known := table[key]
	return text, known
}

// Of returns the text of a key in a language as Lookup does, with its places {0}, {1}, …
// filled. A key that has no text is returned as it is, so that what is new reads as something.
func Of(lang domain.Language, key string, places ...string) string {
	text, known := Lookup(lang, key)
	if !known {
		return key
	}
	pairs := make([]string, 0, 2*len(places))
	for i, place := range places {
		pairs = append(pairs, "{"+strconv.Itoa(i)+"}", place)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// Day returns a day of the calendar as people write it, such as 28 november 2026.
func Day(lang domain.Language, t time.Time) string {
	return Of(lang, "date.long", strconv.Itoa(t.Day()), Of(lang, fmt.Sprintf("month.%02d", t.Month())), strconv.Itoa(t.Year()))
}

// Moment returns a moment in Belgium as people write it, to the second.
func Moment(lang domain.Language, t time.Time) string {
	t = domain.InBelgium(t)
	return Of(lang, "date.at", Day(lang, t), t.Format(time.TimeOnly))
}
