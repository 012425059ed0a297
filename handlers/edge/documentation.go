package edge

import (
	"cmp"
	"html"
	"io"
	"net/http"
	"slices"
	"strings"
)

// The page at /doc is a table of the contract's operations with the roles that may call them.
// It is written by hand: html/template would keep every method of every type in the program,
// which makes it larger by half.
const (
	documentationHead = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Coffre: the API</title></head>
<body>
<h1>Coffre: the API</h1>
<p>The contract: <a href="doc/openapi.yaml">openapi.yaml</a> (OpenAPI 3.0.3).</p>
<table>
<caption>What may be asked, and by whom</caption>
<thead><tr><th scope="col">Call</th><th scope="col">Does</th><th scope="col">Roles</th><th scope="col">Scope</th></tr></thead>
<tbody>
`
	documentationTail = `</tbody>
</table>
</body>
</html>
`
)

type docRow struct{ Method, Path, Summary, Roles, Scope string }

func (rt *routes) serveDoc(w http.ResponseWriter, r *http.Request) {
	var rows []docRow
	for _, op := range rt.contract {
		method, path, _ := strings.Cut(op.pattern, " ")
		row := docRow{method, path, op.summary, "everybody", ""}
		if !op.public {
			names := make([]string, len(op.roles))
			for i, role := range op.roles {
				names[i] = string(role)
			}
			row.Roles, row.Scope = strings.Join(names, ", "), op.scope
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b docRow) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
	})
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	var page strings.Builder
	page.WriteString(documentationHead)
	for _, row := range rows {
		page.WriteString("<tr>")
		for _, cell := range []string{"<code>" + html.EscapeString(row.Method+" "+row.Path) + "</code>", html.EscapeString(row.Summary), html.EscapeString(row.Roles), html.EscapeString(row.Scope)} {
			page.WriteString("<td>" + cell + "</td>")
		}
		page.WriteString("</tr>\n")
	}
	page.WriteString(documentationTail)
	_, _ = io.WriteString(w, page.String()) // the client has gone
}
