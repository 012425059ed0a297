package ebox

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"coffre/domain"
	"coffre/domain/citizen"
)

//go:embed texts/*.json
var textFiles embed.FS

// texts are what messages say in one language, by key.
type texts map[string]string

// textKeys lists the keys that every language has.
func textKeys() []string {
	keys := []string{"anything", "more", "purpose", "footer", "attachment"}
	for topic, all := range kinds {
		keys = append(keys, "subject."+string(topic)+".daily")
		for _, k := range all {
			keys = append(keys, "subject."+string(k), "line."+string(k))
		}
	}
	slices.Sort(keys)
	return keys
}

// loadTexts reads the texts of every language.
func loadTexts() (map[domain.Language]texts, error) {
	all := map[domain.Language]texts{}
	for _, lang := range citizen.Languages {
		b, err := textFiles.ReadFile("texts/" + string(lang) + ".json")
		if err != nil {
			return nil, fmt.Errorf("ebox: texts: %w", err)
		}
		var t texts
		if err := json.Unmarshal(b, &t); err != nil {
			return nil, fmt.Errorf("ebox: texts in %s: %w", lang, err)
		}
		all[lang] = t
	}
	return all, nil
}

const (
	// maxSubject is eBox's limit, in characters.
	maxSubject = 255
	// maxLines bounds the notices in the body of a message; the others stand in a file.
	maxLines = 20
	// maxListed bounds the notices that one message names.
	maxListed = 2000
)

// Letter is what a message says, in one language.
type Letter struct {
	Language domain.Language
	Subject  string
	Body     string
	// List holds every line where the body has not room for all; "" else. Title is its name.
	List, Title string
}

// compose writes the letter about notices of one topic, of which there is at least one.
func (e *Ebox) compose(lang domain.Language, topic Topic, daily bool, notices []Notice, all int) Letter {
	t, ok := e.texts[lang]
	if !ok {
		lang, t = defaultLanguage, e.texts[defaultLanguage]
	}
	subject := t.say("subject."+string(notices[0].Kind), e.words(lang, notices[0]))
	if daily {
		subject = t.say("subject."+string(topic)+".daily", map[string]string{"count": strconv.Itoa(all)})
	}
	lines := make([]string, 0, len(notices))
	for _, n := range notices {
		words := e.words(lang, n)
		line := t.say("line."+string(n.Kind), words)
		if n.Purpose != "" {
			line += " " + t.say("purpose", words)
		}
		lines = append(lines, line)
	}
	letter := Letter{Language: lang, Subject: cut(subject, maxSubject)}
	shown := lines
	if len(lines) > maxLines {
		letter.List, letter.Title = strings.Join(lines, "\n")+"\n", cut(t["attachment"], maxSubject)
		shown = append(slices.Clone(lines[:maxLines]), t.say("more", map[string]string{"count": strconv.Itoa(all - maxLines)}))
	}
	letter.Body = strings.Join(shown, "\n") + "\n\n" + t["footer"]
	return letter
}

// words returns what the texts name of a notice.
func (e *Ebox) words(lang domain.Language, n Notice) map[string]string {
	name := func(list Labels, code string) string {
		if code == "" {
			return e.texts[lang]["anything"]
		}
		return e.o.Vault.Label(list, code, lang)
	}
	return map[string]string{
		"type": name(TypeLabels, string(n.Type)), "organisation": name(OrganisationLabels, string(n.Organisation)),
		"purpose": name(PurposeLabels, string(n.Purpose)), "date": dayIn(lang, domain.BelgianDate(n.At).AddDays(n.Days)),
	}
}

// dayIn writes a day as people in Belgium do in a language.
func dayIn(lang domain.Language, d domain.Date) string {
	t, err := time.Parse(time.DateOnly, string(d))
	switch {
	case err != nil:
		return ""
	case lang == "de":
		return t.Format("02.01.2006")
	}
	return t.Format("02/01/2006")
}

// say returns a text with its placeholders, {type} among them, replaced once each.
func (t texts) say(key string, words map[string]string) string {
	pairs := make([]string, 0, 2*len(words))
	for name, word := range words {
		pairs = append(pairs, "{"+name+"}", word)
	}
	return strings.NewReplacer(pairs...).Replace(t[key])
}

// cut shortens a text to so many characters.
func cut(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}
