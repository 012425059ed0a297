package xmlfile

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// taken are files that expat takes too, with namespaces on.
var taken = []string{
	`<a/>`, `<a b="1" c='2'/>`, "<a\n\tb = \"1\"\r/>", `<a ></a >`, `<a><b/>x<b></b></a>`,
	"\ufeff<a/>", "\ufeff<?xml version='1.0'?><a/>", "\n<a/>\n", "<a/><!-- x --><?p x?>\n",
	`<?xml version="1.0"?><a/>`, `<?xml version="1.0" encoding="UTF-8"?><a/>`, `<?xml version = '1.0'  encoding='utf-8' standalone='no' ?><a/>`,
	`<?xml version="1.0" standalone="yes"?><a/>`,
	`<a><![CDATA[]]></a>`, `<a><![CDATA[<&>]]]></a>`, `<a><![CDATA[x]]y]]></a>`,
	`<a>&amp;&lt;&gt;&apos;&quot;&#65;&#x41;&#xD7FF;&#x10FFFF;</a>`, `<a b="&#10;&lt;"/>`, `<a b=">"/>`, `<a>></a>`, `<a>]]</a>`, `<a>] ]></a>`,
	`<a><!----></a>`, `<a><!-- - --></a>`, `<?p?><a/>`, `<?p a??><a/>`, `<?p ??><a/>`, `<?p <>?><a/>`, `<?xmlx?><a/>`,
	`<q:a xmlns:q="u"/>`, `<q:a xmlns:q="u"><q:b q:c="1" c="2"/></q:a>`, `<a xmlns="u"><b xmlns=""/></a>`, `<a xml:lang="fr"/>`, `<xml:a/>`,
	`<a xmlns:xml="http://www.w3.org/XML/1998/namespace"/>`, `<a xmlns:q="u" xmlns:r="u"><q:b/><r:b/></a>`, `<a xmlns:q="u"><b xmlns:q="v"><q:c/></b><q:c/></a>`,
	`<élan é="ü"/>`, `<_-./>`, `<a·/>`, "<a>\u0085\ufffd\U0001f600</a>", `<a>` + "\u202e" + `</a>`,
	`<a xmlns="urn:x"><html/></a>`, `<q:svg xmlns:q="urn:x"/>`,
}

// refused are files that expat refuses too, with namespaces on.
var refused = []string{
	``, ` `, `x`, `<`, `<a`, `<a>`, `<a/`, `</a>`, `<a></b>`, `<a><b></a></b>`, `<a/><b/>`, `<a/>x`, `x<a/>`, `<a/>&#32;`, `< a/>`, `<a / >`, `<a/ >`, `</ a>`, `<a></ a>`,
	`<a b="1" b="2"/>`, `<a b="1"c="2"/>`, `<a b/>`, `<a b=1/>`, `<a b="1'/>`, `<a b="<"/>`, `<a b="&"/>`, `<a b="&x;"/>`, `<a 1="1"/>`, `<a b="1" / c="2">`,
	`<q:a/>`, `<a q:b="1"/>`, `<a xmlns:q=""/>`, `<a xmlns:q="u" xmlns:q="v"/>`, `<a xmlns="u" xmlns="v"/>`, `<a xmlns:xmlns="u"/>`, `<a xmlns:xml="u"/>`,
	`<a xmlns:q="http://www.w3.org/XML/1998/namespace"/>`, `<a xmlns="http://www.w3.org/XML/1998/namespace"/>`,
	`<a xmlns:q="http://www.w3.org/2000/xmlns/"/>`, `<a xmlns="http://www.w3.org/2000/xmlns/"/>`, `<xmlns:a/>`,
	`<a xmlns:q="u" xmlns:r="u" q:b="1" r:b="2"/>`, `<a xmlns:q="u" q:b="1" q:b="2"/>`, `<a><b xmlns:q="u"/><q:c/></a>`, `<a:/>`, `<:a/>`, `<a:b:c/>`, `<a xmlns:q="u"><q:a:b/></a>`, `<a xmlns:="u"/>`,
	`<a xmlns:q="u" xmlns:r="&#117;" q:b="1" r:b="2"/>`,
	`<a><?xml version="1.0"?></a>`, `<a/><?xml version="1.0"?>`, ` <?xml version="1.0"?><a/>`, `<?XML version="1.0"?><a/>`, `<?Xml?><a/>`, `<?xml?><a/>`, `<?xml ?><a/>`, `<?xml encoding="UTF-8"?><a/>`,
	`<?xml version="1.0"encoding="UTF-8"?><a/>`, `<?xml version="1.0" standalone="maybe"?><a/>`, `<?xml version="1.0" standalone="yes" encoding="UTF-8"?><a/>`, `<?xml version="1.0" version="1.0"?><a/>`,
	`<?xml version="1.0" x="y"?><a/>`, `<?xml version="1.0"?`, `<?xml version="1.0"><a/>`, "\ufeff\ufeff<a/>",
	`<a/><![CDATA[]]>`, `<![CDATA[]]><a/>`, `<a><![CDATA[]]</a>`, `<a><![cdata[]]></a>`, `<a>]]></a>`, `<a>]]]></a>`,
	`<a><!-- -- --></a>`, `<a><!----->x</a>`, `<a><!-></a>`, `<!-- x`, `<??><a/>`, `<? p?><a/>`, `<?p`, `<?p x`, `<?p x?`, `<?1?><a/>`, `<?a:b?><a/>`, `<?p?x?><a/>`,
	`<a>&</a>`, `<a>&;</a>`, `<a>&x;</a>`, `<a>&amp</a>`, `<a>& amp;</a>`, `<a>&#;</a>`, `<a>&#x;</a>`, `<a>&#0;</a>`, `<a>&#8;</a>`, `<a>&#xD800;</a>`, `<a>&#xFFFE;</a>`, `<a>&#x110000;</a>`, `<a>&#99999999999;</a>`, `<a>&#X41;</a>`, `<a>&#4a;</a>`, `&amp;<a/>`,
	"<a>\x00</a>", "<a>\x08</a>", "<a>\xff</a>", "<a>\xed\xa0\x80</a>", "<a>\xc0\x80</a>", "<a>\uffff</a>", "<a\xff/>", "<a b='\x01'/>", "<!--\x01--><a/>", "<?p \x01?><a/>",
	`<-a/>`, `<.a/>`, `<1/>`, `<·/>`, "<\U00010000/>", "<a\u037e/>",
}

// notTaken are files that are well-formed and that the vault refuses nevertheless.
var notTaken = []string{
	`<!DOCTYPE a><a/>`, `<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>`, `<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd"><a/>`,
	`<?xml-stylesheet href="x"?><a/>`, `<a><?xml-stylesheet href="x"?></a>`,
	`<html/>`, `<HTML/>`, `<a><SVG/></a>`, `<html xmlns="http://www.w3.org/1999/xhtml"/>`, `<a><s:script xmlns:s="http://www.w3.org/1999/xhtml"/></a>`, `<svg xmlns="http://www.w3.org/2000/svg"/>`,
	`<a xmlns:s="http://www.w3.org/2000/&#115;vg"><s:b/></a>`, `<a xmlns="urn:x"><html xmlns=""/></a>`,
	`<?xml version="1.1"?><a/>`, `<?xml version="1.0" encoding="ISO-8859-1"?><a/>`, "\xff\xfe<\x00a\x00/\x00>\x00",
}

func TestF9XMLIsWellFormedAndNamespaceWellFormed(t *testing.T) {
	for _, file := range taken {
		for how, from := range readers(file) {
			if err := Check(from); err != nil {
				t.Errorf("%s: %s is refused: %v", how, file, err)
			}
		}
	}
	for _, list := range [][]string{refused, notTaken} {
		for _, file := range list {
			for how, from := range readers(file) {
				if err := Check(from); !errors.Is(err, ErrRefused) {
					t.Errorf("%s: %s is taken: %v", how, file, err)
				}
			}
		}
	}
}

func readers(file string) map[string]io.Reader {
	return map[string]io.Reader{"at once": strings.NewReader(file), "byte by byte": iotest.OneByteReader(strings.NewReader(file))}
}

// A file at a limit is taken, one beyond it refused.
func TestLimits(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("<a>", n) + strings.Repeat("</a>", n) }
	attributes := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, " a%d=''", i)
		}
		return "<a" + b.String() + "/>"
	}
	for name, tc := range map[string]struct {
		file string
		fits bool
	}{
		"as deep as may be":            {nested(MaxDepth), true},
		"too deep":                     {nested(MaxDepth + 1), false},
		"attributes":                   {attributes(MaxAttributes), true},
		"an attribute too many":        {attributes(MaxAttributes + 1), false},
		"a long text":                  {"<a>" + strings.Repeat("x", MaxPiece-1) + "</a>", true},
		"too long a text":              {"<a>" + strings.Repeat("x", MaxPiece+1) + "</a>", false},
		"too long a name":              {"<" + strings.Repeat("x", MaxPiece+1) + "/>", false},
		"too long a comment":           {"<a/><!--" + strings.Repeat("x", MaxPiece+1) + "-->", false},
		"many pieces of no great size": {"<a>" + strings.Repeat("<b>"+strings.Repeat("x", 1000)+"</b>", 3*MaxPiece/1000) + "</a>", true},
	} {
		if err := Check(strings.NewReader(tc.file)); (err == nil) != tc.fits {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The error of a reader is told, so that a body that was cut off is not called bad XML.
func TestReadersErrorIsTold(t *testing.T) {
	for _, begun := range []string{"", "<a>", "<a", "<a>x"} {
		if err := Check(io.MultiReader(strings.NewReader(begun), iotest.ErrReader(io.ErrUnexpectedEOF))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %q: %v", begun, err)
		}
	}
}

// The standard library keeps the same tables of the characters of names.
func TestCharactersOfNames(t *testing.T) {
	for c := rune(0x80); c < 0x10000; c++ {
		if c >= 0xd800 && c < 0xe000 {
			continue
		}
		for form, ours := range map[string]bool{"<%c/>": beginsName(c), "<a%c/>": continuesName(c)} {
			_, err := xml.NewDecoder(strings.NewReader(fmt.Sprintf(form, c))).RawToken()
			if (err == nil) != ours {
				t.Errorf("%U in %s: %t, want %t", c, form, ours, err == nil)
			}
		}
	}
}

// FuzzCheck compares with the standard library's decoder: whatever it refuses is refused
// here. Whatever is taken has each start tag's attributes once.
func FuzzCheck(f *testing.F) {
	for _, list := range [][]string{taken, refused, notTaken} {
		for _, file := range list {
			f.Add([]byte(file))
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if Check(strings.NewReader(string(file))) != nil {
			return
		}
		d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(string(file), "\ufeff")))
		for {
			token, err := d.Token()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatalf("taken, and the standard library says: %v", err)
			}
			if start, ok := token.(xml.StartElement); ok {
				seen := make(map[xml.Name]bool)
				for _, a := range start.Attr {
					if seen[a.Name] {
						t.Fatalf("an attribute twice")
					}
					seen[a.Name] = true
				}
			}
		}
	})
}
