package citizen

import (
	"slices"

	"coffre/domain"
)

// Preferences are what a citizen chose: the language that they are written to in, what they
// want to hear of, and by which way.
type Preferences struct {
	Language  domain.Language `json:"language"`
	Documents NoticeWay       `json:"documents"` // issued, updated, suspended, reinstated, revoked
	Expiries  NoticeWay       `json:"expiries"`  // a document ends soon
	Accesses  NoticeWay       `json:"accesses"`  // somebody read, or was refused
	Consents  NoticeWay       `json:"consents"`  // asked for, about to end, ended
}

// NoticeWay is the way by which a citizen hears of something, and how often.
type NoticeWay string

const (
	ByEboxEach  NoticeWay = "eboxEach"  // a message in My eBox each time
	ByEboxDaily NoticeWay = "eboxDaily" // one message in My eBox for a day
	NoNotice    NoticeWay = "none"
)

// Languages are those in which citizens are written to.
var Languages = []domain.Language{"nl", "fr", "de", "en"}

// NoticeWays lists every way.
var NoticeWays = []NoticeWay{ByEboxEach, ByEboxDaily, NoNotice}

// DefaultPreferences are those of a citizen who chose none: they hear at once of what concerns
// their documents and consents, and once a day of who read them.
func DefaultPreferences(l domain.Language) Preferences {
	return Preferences{Language: l, Documents: ByEboxEach, Expiries: ByEboxEach, Accesses: ByEboxDaily, Consents: ByEboxEach}
}

// complete reports whether every preference has a value that is known.
func (p Preferences) complete() bool {
	if !slices.Contains(Languages, p.Language) {
		return false
	}
	for _, way := range []NoticeWay{p.Documents, p.Expiries, p.Accesses, p.Consents} {
		if !slices.Contains(NoticeWays, way) {
			return false
		}
	}
	return true
}
