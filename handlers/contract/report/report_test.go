package report

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/contract/texts"
)

const sample = `{"createdAt":"2026-11-28T09:15:00Z","citizenId":"0198c0de-0000-7000-8000-000000000001","rights":"You may <ask>.","ssin":[{"ssin":"40010100104"}],` +
	`"documents":[{"documentId":"0198c0de-0000-7000-8000-000000000002","documentType":"householdComposition","label":"Household","issuer":"0203430576","issuerName":"Register","state":"valid",` +
	`"versions":[{"version":1,"recordedAt":"2026-01-02T03:04:05Z","validFrom":"2026-01-02","href":"/vault/v1/x","content":{"label":"<script>","members":[{"name":"A & B"},{"name":"C"}],"state":"valid","born":"1940-01-01"}}]}],` +
	`"consents":[],"accesses":[{"href":"/x","at":"2026-07-01T10:00:00Z","kind":"document","role":"consumer","outcome":"disclosed","organizationName":"Agency","label":"Household","fields":["members"],"purposeLabel":"Benefit","legalBasis":"consent","consentId":"0198c0de-0000-7000-8000-000000000003"},` +
	`{"href":"/x","at":"2026-07-01T10:00:00Z","kind":"presence","role":"privacyOfficer","outcome":"mayHaveBeenDisclosed","answers":[{"documentType":"x","label":"Card","outcome":"notHeld"}]}],"mandates":[]}`

func pageOf(t testing.TB, report string, lang domain.Language) string {
	t.Helper()
	var out bytes.Buffer
	form := Form{Language: lang, Label: func(member, code string) string {
		if member == "legalBasis" {
			return "[" + code + "]"
		}
		return code
	}}
	if err := Page(&out, strings.NewReader(report), form); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// A page says what the report says, in the language asked for: codes as words, days and moments
// as people write them, and a document's content exactly as the source gave it.
func TestAPageSaysWhatTheReportSays(t *testing.T) {
	got := pageOf(t, sample, "fr")
	for _, want := range []string{
		`<html lang="fr">`, "<title>Tout ce que le coffre conserve à votre sujet</title>", "Établi le 28 novembre 2026 à 10:15:00", "You may &lt;ask&gt;.",
		"<dt>numéro national</dt><dd>40010100104</dd>", "<h3>Document 1: Household</h3>", "<dt>état</dt><dd>valable</dd>",
		"<dt>valable du</dt><dd>2 janvier 2026</dd>", "<dt>label</dt><dd>&lt;script&gt;</dd>", "<dt>name</dt><dd>A &amp; B</dd>", "<dt>state</dt><dd>valid</dd>",
		"<dt>born</dt><dd>1940-01-01</dd>", "Rien.",
		`<th scope="row">1 juillet 2026 à 12:00:00</th><td>Agency</td><td>un document; Household; members</td><td>Benefit</td><td>[consent]; Consentement 0198c0de-0000-7000-8000-000000000003</td><td>communiqué</td>`,
		`<td>délégué à la protection des données</td><td>la présence d&#39;un document; Card absent</td><td></td><td></td><td>peut-être communiqué</td>`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(got, "/vault/v1/x") || strings.Contains(got, "<script") {
		t.Error("an address of the API, or a script")
	}
}

// Whatever a document holds, a page is well-formed, has one main part, headings that skip no
// level, and no element that runs or loads anything.
func TestAPageIsWellFormedAndStill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hostile := rapid.SampledFrom([]string{`<img src=x onerror=alert(1)>`, `</dd></dl></main>`, `"><script>`, "\u202e", `&#x3c;script&#x3e;`, ``})
		var content strings.Builder
		var value func(depth int)
		value = func(depth int) {
			switch n := rapid.IntRange(0, 5).Draw(t, "kind"); {
			case n == 0 && depth < 4:
				content.WriteString(`{`)
				for i := range rapid.IntRange(0, 3).Draw(t, "members") {
					if i > 0 {
						content.WriteString(",")
					}
					content.WriteString(quote(t, hostile.Draw(t, "name")+string(rune('a'+i))) + ":")
					value(depth + 1)
				}
				content.WriteString(`}`)
			case n == 1 && depth < 4:
				content.WriteString(`[`)
				for i := range rapid.IntRange(0, 3).Draw(t, "elements") {
					if i > 0 {
						content.WriteString(",")
					}
					value(depth + 1)
				}
				content.WriteString(`]`)
			case n == 2:
				content.WriteString(`1.50`)
			case n == 3:
				content.WriteString(`null`)
			default:
				content.WriteString(quote(t, hostile.Draw(t, "value")))
			}
		}
		value(0)
		r := strings.Replace(sample, `"content":{`, `"content":`+content.String()+`,"x":{`, 1)
		var out bytes.Buffer
		if err := Page(&out, strings.NewReader(r), Form{Language: "de"}); err != nil {
			t.Fatal(err)
		}
		wellFormed(t, out.String())
	})
}

func quote(t *rapid.T, s string) string {
	b, err := jsontext.AppendQuote(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func wellFormed(t *rapid.T, page string) {
	var open []string
	heading, mains := 0, 0
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 || mains != 1 {
				t.Fatalf("open: %v; %d main parts", open, mains)
			}
			return
		case html.StartTagToken:
			tok := z.Token()
			if slices.Contains([]string{"script", "img", "iframe", "object", "link", "form", "svg"}, tok.Data) {
				t.Fatalf("an element %s", tok.Data)
			}
			for _, a := range tok.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "src" || a.Key == "href" && !strings.HasPrefix(a.Val, "#") {
					t.Fatalf("%s has %s", tok.Data, a.Key)
				}
			}
			if tok.Data == "main" {
				mains++
			}
			if level := strings.IndexByte("0123456", tok.Data[len(tok.Data)-1]); len(tok.Data) == 2 && tok.Data[0] == 'h' && level > 0 {
				if level > heading+1 {
					t.Fatalf("h%d follows h%d", level, heading)
				}
				heading = level
			}
			if tok.Data != "meta" {
				open = append(open, tok.Data)
			}
			if last := len(open) - 2; last >= 0 && tok.Data == "dt" && open[last] != "dl" {
				t.Fatalf("dt in %s", open[last])
			}
		case html.EndTagToken:
			tok := z.Token()
			if len(open) == 0 || open[len(open)-1] != tok.Data {
				t.Fatalf("%v ends with %s", open, tok.Data)
			}
			open = open[:len(open)-1]
		}
	}
}

// A PDF is one for each language, and says on its first bytes what it is.
func TestAPDFIsMade(t *testing.T) {
	for _, lang := range []domain.Language{"nl", "fr", "de", "en"} {
		var out bytes.Buffer
		if err := PDF(&out, strings.NewReader(sample), Form{Language: lang}); err != nil {
			t.Fatal(err)
		}
		b := out.Bytes()
		if !bytes.HasPrefix(b, []byte("%PDF-1.")) || !bytes.Contains(b, []byte("/Lang ("+string(lang)+")")) || !bytes.HasSuffix(bytes.TrimSpace(b), []byte("%%EOF")) {
			t.Errorf("%s: %q …", lang, b[:min(len(b), 40)])
		}
	}
}

// A report that breaks off is an error, and no page ends as if it were whole.
func TestABrokenReportIsNoPage(t *testing.T) {
	for n := range len(sample) - 1 {
		var out bytes.Buffer
		if err := Page(&out, strings.NewReader(sample[:n]), Form{Language: "en"}); err == nil || strings.HasSuffix(out.String(), "</html>\n") {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

// Every member of the contract's report, and every value that is coded, has a text: what comes
// new to the contract cannot be forgotten here.
func TestEveryMemberOfAReportHasAText(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(contract.YAML())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[*openapi3.Schema]bool{}
	enums := map[string]bool{}
	n := 0
	var walk func(name string, s *openapi3.Schema, top bool)
	walk = func(name string, s *openapi3.Schema, top bool) {
		if len(s.Enum) > 0 {
			enums[name] = true
			if !slices.Contains(coded, name) {
				t.Errorf("%s has words of its own and is not coded", name)
			}
			for _, v := range s.Enum {
				_, own := texts.Lookup("nl", "value."+name+"."+v.(string))
				if _, known := texts.Lookup("nl", "value."+v.(string)); !known && !own {
					t.Errorf("%s: no text for %v", name, v)
				}
			}
		}
		if seen[s] && len(s.Enum) == 0 {
			return
		}
		seen[s] = true
		if s.Items != nil {
			walk(name, s.Items.Value, false)
		}
		for _, part := range slices.Concat(s.AllOf, s.OneOf, s.AnyOf) {
			walk(name, part.Value, top)
		}
		for member, p := range s.Properties {
			n++
			key := "member." + member
			if top {
				if key = "section." + member; slices.Contains([]string{"createdAt", "citizenId", "rights", "registryVersion", "measures"}, member) {
					key = "report.rights"
				} else if _, known := texts.Lookup("nl", "one."+member); !known {
					t.Errorf("no text for one of %s", member)
				}
			}
			if _, known := texts.Lookup("nl", key); !known && !slices.Contains(addresses, member) {
				t.Errorf("no text for %s", key)
			}
			walk(member, p.Value, false)
		}
	}
	walk("", doc.Components.Schemas["SubjectAccessReport"].Value, true)
	walk("", doc.Components.Schemas["ProcessingRegister"].Value, true)
	if n < 120 {
		t.Fatalf("only %d members", n)
	}
	for _, member := range coded {
		if !enums[member] {
			t.Errorf("%s has no words of its own", member)
		}
	}
}
