package pages

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"coffre/handlers/contract"
)

// manyThings are categories of streams whose events are about a thing each: no state follows from
// what they said last.
var manyThings = []string{"access", "audit", "refusal", "registry"}

// uses are types of event that stand in the stream of a consent and are about a use of it.
var uses = []string{"access.authorized", "access.disclosed", "access.told", "access.refused", "access.named"}

// folded is what a stream said last of each member that its events have in clear.
type folded []fact

// with returns the state after an event, and what of it the event changed, beside what was said
// before. What changed besides the moment is told only.
func (f folded) with(l tongue, kind string, facts []fact) (after folded, changed []fact) {
	if slices.Contains(uses, kind) {
		return f, nil
	}
	after = slices.Clone(f)
	for _, one := range facts {
		at := slices.IndexFunc(after, func(o fact) bool { return o.name == one.name })
		switch {
		case at < 0:
			after = append(after, one)
		case sameFact(after[at], one):
			continue
		default:
			if before := after[at]; len(before.inner) == 0 && len(one.inner) == 0 {
				after[at] = one
				one.value = l.say("stream.was", one.value, before.value)
			} else {
				after[at] = one
			}
		}
		if one.name != readable("at") {
			changed = append(changed, one)
		}
	}
	return after, changed
}

func sameFact(a, b fact) bool {
	return a.name == b.name && a.value == b.value && slices.EqualFunc(a.inner, b.inner, sameFact)
}

// foldedUntil returns what a stream said last before a cursor.
func (p *Pages) foldedUntil(ctx context.Context, s session, pg page, stream, cursor string) (state folded, err error) {
	last, err := contract.ParseLeafToken(cursor)
	if err != nil {
		return nil, errNoPage
	}
	for ask := (url.Values{"stream": {stream}, "pageSize": {"1000"}}); ; {
		found, err := get[contract.LogEvents](ctx, p, s, "/events", ask)
		if err != nil {
			return nil, err
		}
		for _, e := range found.Items {
			leaf, err := contract.ParseLeafToken(string(e.Cursor))
			if err != nil {
				return nil, err
			}
			if leaf > last {
				return state, nil
			}
			if facts, err := pg.facts(contract.Content(e.Facts)); err == nil {
				state, _ = state.with(pg.tongue, string(e.Type), facts)
			}
		}
		if found.NextCursor == "" {
			return state, nil
		}
		ask.Set("after", string(found.NextCursor))
	}
}

// folds reports whether a state follows from what a stream said last.
func folds(stream string) bool {
	category, _, _ := strings.Cut(stream, "-")
	return !slices.Contains(manyThings, category)
}
