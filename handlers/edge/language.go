package edge

import (
	"net/http"
	"strconv"
	"strings"

	"coffre/domain"
	"coffre/handlers/contract"
)

// Languages lists the languages of the vault's labels; the first is the fallback.
var Languages = []domain.Language{"nl", "fr", "de", "en"}

// InLanguage returns a link to an operation that has lang with the language that the request's
// query asked for; without one it returns the link as it is.
func (c *Call) InLanguage(link contract.Href) contract.Href {
	if c.Asked == "" {
		return link
	}
	separator := "?"
	if strings.Contains(link, "?") {
		separator = "&"
	}
	return link + separator + "lang=" + string(c.Asked)
}

// negotiate returns the language of an answer: what the query asks for, else the
// best of Accept-Language, else the fallback. The query's value fits the contract. asked is "" where the query asks for none.
func negotiate(r *http.Request) (best, asked domain.Language) {
	if asked := domain.Language(r.URL.Query().Get("lang")); asked != "" {
		return asked, asked
	}
	return BestLanguage(r), ""
}

// BestLanguage returns the best of the languages that a request's Accept-Language names (RFC
// 9110, section 12.5.4; regions are ignored), else the fallback.
func BestLanguage(r *http.Request) domain.Language {
	best := Languages[0]
	weight := 0.0
	for part := range strings.SplitSeq(strings.Join(r.Header["Accept-Language"], ","), ",") {
		tag, params, _ := strings.Cut(strings.ToLower(part), ";")
		q := 1.0
		if value, given := strings.CutPrefix(strings.TrimSpace(params), "q="); given {
			var err error
			if q, err = strconv.ParseFloat(value, 64); err != nil || q > 1 {
				continue
			}
		}
		primary, _, _ := strings.Cut(strings.TrimSpace(tag), "-")
		for _, l := range Languages {
			if string(l) == primary && q > weight {
				best, weight = l, q
			}
		}
	}
	return best
}
