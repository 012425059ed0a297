package edge

import (
	"net/http"
	"strconv"
	"strings"

	"coffre/domain"
)

// Languages lists the languages of the vault's labels; the first is the fallback.
var Languages = []domain.Language{"nl", "fr", "de", "en"}

// negotiate returns the language of an answer: what the query asks for, else the
// best of Accept-Language (RFC 9110, section 12.5.4; regions are ignored), else
// the fallback. The query's value fits the contract.
func negotiate(r *http.Request) domain.Language {
	if asked := r.URL.Query().Get("lang"); asked != "" {
		return domain.Language(asked)
	}
	best, weight := Languages[0], 0.0
	for part := range strings.SplitSeq(strings.Join(r.Header["Accept-Language"], ","), ",") {
		tag, params, _ := strings.Cut(part, ";")
		q := 1.0
		if value, given := strings.CutPrefix(strings.TrimSpace(params), "q="); given {
			var err error
			if q, err = strconv.ParseFloat(value, 64); err != nil || q > 1 {
				continue
			}
		}
		primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		for _, l := range Languages {
			if string(l) == primary && q > weight {
				best, weight = l, q
			}
		}
	}
	return best
}
