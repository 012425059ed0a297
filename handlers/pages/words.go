package pages

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/contract/texts"
	"coffre/handlers/edge"
)

//go:embed texts/nl.json texts/fr.json texts/de.json texts/en.json
var textFiles embed.FS

// allTexts holds what people read on pages, by language and key. What the registry names is
// translated there, not here.
var allTexts = loadTexts()

func loadTexts() map[domain.Language]map[string]string {
	read := make(map[domain.Language]map[string]string)
	for _, lang := range edge.Languages {
		var table map[string]string
		content, err := textFiles.ReadFile("texts/" + string(lang) + ".json")
		if err == nil {
			err = json.Unmarshal(content, &table)
		}
		if err != nil { // a broken program
			panic(fmt.Sprintf("texts of pages in %s: %v", lang, err))
		}
		read[lang] = table
	}
	return read
}

// tongue is the language that a page speaks.
type tongue domain.Language

// say returns the text of a key with its places {0}, {1}, … filled. It panics for a key that
// has none: a broken program.
func (l tongue) say(key string, places ...string) string {
	text, known := allTexts[domain.Language(l)][key]
	if !known {
		panic("no text for " + key)
	}
	for i, place := range places {
		text = strings.ReplaceAll(text, "{"+strconv.Itoa(i)+"}", place)
	}
	return text
}

// whose says something of the citizen whom a page is about: of whoever reads it, or of another person
// in whose name they act.
func (p page) whose(own, of string, places ...string) string {
	if p.of != "" {
		return p.say(of, places...)
	}
	return p.say(own, places...)
}

// month returns a month as people write it, such as november 2026.
func (l tongue) month(yearMonth string) string {
	return strings.TrimLeft(l.day(contract.Day(yearMonth+"-01")), "1. ")
}

// day returns a day as people write it, such as 28 november 2026.
func (l tongue) day(d contract.Day) string {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return string(d)
	}
	return texts.Day(domain.Language(l), t)
}

// moment returns a moment in Belgium as people write it, such as 28 november 2026 om 09:30.
func (l tongue) moment(t time.Time) string {
	at := texts.Moment(domain.Language(l), t)
	return at[:max(0, len(at)-len(":05"))]
}

// value returns the words for a value of the contract, such as revoked.
func (l tongue) value(v string) string { return texts.Of(domain.Language(l), "value."+v) }

// label returns a label of the registry.
func (l tongue) label(m contract.MultiLanguage) string {
	switch l {
	case "fr":
		return m.Fr
	case "de":
		return m.De
	case "en":
		return m.En
	}
	return m.Nl
}

const languageCookie = "coffre-language"

// spoken returns the language of a page: what was chosen, else the best of Accept-Language,
// else the first of edge.Languages.
func spoken(r *http.Request) tongue {
	if c, err := r.Cookie(languageCookie); err == nil && known(c.Value) {
		return tongue(c.Value)
	}
	return tongue(edge.BestLanguage(r))
}

func known(lang string) bool {
	_, speaks := allTexts[domain.Language(lang)]
	return speaks
}
