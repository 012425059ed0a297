package disclosure

import (
	"bytes"
	"context"
	"fmt"

	"github.com/go-json-experiment/json"

	"coffre/domain/consent"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/handlers/acting"
)

// maxProven bounds the grants that are remembered as proven.
const maxProven = 16_384

// proveConsent returns an error that wraps eventstore.ErrIntegrity unless the terms of a
// granted consent are those that its personal part was sealed beside: folding a stream
// opens nothing, so it takes clear facts for what they say. It opens what the citizen was
// shown, for the comparison only; a key that is destroyed or away is an error as well.
func (dis *Discloser) proveConsent(ctx context.Context, s consent.State) error {
	return dis.proveGrant(ctx, acting.ConsentStream(s.Consent), func(fact any) bool {
		g, ok := fact.(consent.Granted)
		return ok && g.Consent == s.Consent && g.Citizen == s.Citizen && g.At.Equal(s.GrantedAt) && g.Mandate == s.Mandate && sameTerms(g.Terms, s.Terms)
	})
}

// proveMandate is proveConsent for who represents whom, and for what.
func (dis *Discloser) proveMandate(ctx context.Context, s mandate.State) error {
	return dis.proveGrant(ctx, acting.MandateStream(s.Mandate), func(fact any) bool {
		g, ok := fact.(mandate.Granted)
		return ok && g.Mandate == s.Mandate && g.Citizen == s.Citizen && g.Representative == s.Representative &&
			g.Kind == s.Kind && g.Source == s.Source && sameWritten(g.Scope, s.Scope)
	})
}

// sameTerms compares terms that were read with terms that were just recorded: times may
// differ in how they are held in memory.
func sameTerms(a, b consent.Terms) bool {
	same := a.Until.Equal(b.Until)
	a.Until = b.Until
	return same && sameWritten(a, b)
}

// sameWritten compares two values of one type by what would be stored of them, so that a
// field that comes counts.
func sameWritten(a, b any) bool {
	one, err := json.Marshal(a)
	if err != nil {
		return false
	}
	other, err := json.Marshal(b)
	return err == nil && bytes.Equal(one, other)
}

// proveGrant opens every grant of a stream beside its facts, and reports whether the
// newest is the one that the caller folded. A grant without a personal part proves nothing:
// each has one. What was proven is remembered without its personal part.
func (dis *Discloser) proveGrant(ctx context.Context, stream eventstore.Stream, folded func(fact any) bool) error {
	if fact, ok := dis.proven.Get(stream); ok && folded(fact) {
		return nil
	}
	var newest any
	for e, err := range dis.Log.Read(ctx, stream, 0) {
		if err != nil {
			return fmt.Errorf("read %s: %w", stream.Category(), err)
		}
		switch e.Data.(type) {
		case consent.Granted, mandate.Granted:
		default:
			continue
		}
		if e.Sealed == nil {
			return fmt.Errorf("a grant without a personal part: %w", &eventstore.Corrupt{Stream: stream, Revision: e.Revision, Position: e.Position})
		}
		if _, err := eventstore.OpenEvent(ctx, dis.opener, dis.codec, e); err != nil {
			return err
		}
		newest = e.Data
	}
	if !folded(newest) {
		return fmt.Errorf("a grant that is not what was folded: %w", &eventstore.Corrupt{Stream: stream, Revision: -1})
	}
	dis.proven.Add(stream, newest)
	return nil
}
