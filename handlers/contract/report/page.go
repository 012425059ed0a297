package report

import (
	"bufio"
	"html"
	"io"

	"coffre/domain"
	"coffre/handlers/contract/texts"
)

// page is paper in HTML: landmarks, headings in order, lists of terms, one table with a
// caption and heads of columns.
type page struct {
	w     *bufio.Writer
	depth int // of the lists of terms that are open
	open  bool
}

func newPage(w io.Writer) *page { return &page{w: bufio.NewWriter(w), depth: -1} }

// Style is the only style sheet of a page, by whose hash a policy may allow it.
const Style = `:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem;overflow-wrap:anywhere}` +
	`h1{font-size:1.6rem}h2{font-size:1.3rem;border-bottom:1px solid;margin-top:2rem}h3{font-size:1.1rem}` +
	`dl{margin:0;padding-left:1rem;border-left:2px solid}dt{font-weight:600}dd{margin:0 0 .4rem 1rem;white-space:pre-line}` +
	`table{border-collapse:collapse;width:100%}caption{text-align:left;font-weight:600}th,td{border:1px solid;padding:.3rem;text-align:left;vertical-align:top}` +
	`.wide{overflow-x:auto}.skip{position:absolute;left:-999rem}.skip:focus{position:static}:focus-visible{outline:3px solid}` +
	`@media print{nav,.skip{display:none}article{break-inside:avoid}}`

func (p *page) put(parts ...string) {
	for _, part := range parts {
		_, _ = p.w.WriteString(part) // a bufio.Writer keeps its first error for Flush
	}
}

func (p *page) begin(lang domain.Language, title, made string, sections []section) {
	t := html.EscapeString(title)
	p.put(`<!doctype html><html lang="`, string(lang), `"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">`,
		`<meta name="robots" content="noindex"><title>`, t, `</title><style>`, Style, `</style></head><body>`,
		`<a class="skip" href="#main">`, html.EscapeString(texts.Of(lang, "report.skip")), `</a>`,
		`<header><h1>`, t, `</h1><p>`, html.EscapeString(made), `</p></header>`,
		`<nav aria-label="`, html.EscapeString(texts.Of(lang, "report.contents")), `"><ul>`)
	for _, s := range sections {
		p.put(`<li><a href="#`, s.name, `">`, html.EscapeString(s.heading), `</a></li>`)
	}
	p.put(`</ul></nav><main id="main" tabindex="-1">`)
}

func (p *page) section(s section) {
	p.put(`<section aria-labelledby="`, s.name, `"><h2 id="`, s.name, `">`, html.EscapeString(s.heading), `</h2>`)
}

func (p *page) item(heading string) { p.put(`<article><h3>`, html.EscapeString(heading), `</h3>`) }

// pair writes a term and its value, after it opened or closed lists until they are depth deep.
func (p *page) pair(depth int, term, value string) {
	p.level(depth)
	if p.open { // the value of the pair before, which nothing followed
		p.put(`</dd>`)
	}
	p.put(`<dt>`, html.EscapeString(term), `</dt><dd>`, html.EscapeString(value))
	p.open = true
}

// level opens and closes lists of terms until they are depth deep; -1 closes all.
func (p *page) level(depth int) {
	for ; p.depth < depth; p.depth++ {
		p.put(`<dl>`)
		p.open = false
	}
	for ; p.depth > depth; p.depth-- {
		if p.open {
			p.put(`</dd>`)
		}
		p.put(`</dl>`)
		p.open = p.depth > 0
	}
}

func (p *page) endItem() {
	p.level(-1)
	p.put(`</article>`)
}

func (p *page) table(caption string, columns []string) {
	p.put(`<div class="wide" role="region" tabindex="0" aria-label="`, html.EscapeString(caption), `"><table><caption>`, html.EscapeString(caption), `</caption><thead><tr>`)
	for _, c := range columns {
		p.put(`<th scope="col">`, html.EscapeString(c), `</th>`)
	}
	p.put(`</tr></thead><tbody>`)
}

func (p *page) row(cells []string) {
	p.put(`<tr>`)
	for i, c := range cells {
		if i == 0 {
			p.put(`<th scope="row">`, html.EscapeString(c), `</th>`)
			continue
		}
		p.put(`<td>`, html.EscapeString(c), `</td>`)
	}
	p.put(`</tr>`)
}

func (p *page) endTable() { p.put(`</tbody></table></div>`) }

func (p *page) paragraph(text string) { p.put(`<p>`, html.EscapeString(text), `</p>`) }

func (p *page) endSection() { p.put(`</section>`) }

func (p *page) end() error {
	p.put(`</main></body></html>`, "\n")
	return p.w.Flush()
}
