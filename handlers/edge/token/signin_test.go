package token

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"
)

// An ID token counts that the provider gave this client for this login; it says when the person
// proved who they are, where the provider tells it.
func TestAnIDTokenSaysWhenSomebodyLoggedIn(t *testing.T) {
	judge := NewSignIns(NewProfile(issuer, "coffre"), public(), "the-client", func() time.Time { return now })
	said := map[string]any{"iss": issuer, "aud": "the-client", "sub": "anna", "nonce": "the-nonce", "exp": now.Unix() + 60, "iat": now.Unix(), "auth_time": now.Unix() - 20}
	with := func(header string, change map[string]any) string {
		all := maps.Clone(said)
		for name, value := range change {
			if all[name] = value; value == nil {
				delete(all, name)
			}
		}
		return raw(header, text(all), withEd)
	}
	const head = `{"alg":"EdDSA","kid":"ed","typ":"JWT"}`
	for name, tc := range map[string]struct {
		token string
		at    time.Time
	}{
		"as it is":           {with(head, nil), now.Add(-20 * time.Second)},
		"without a typ":      {with(`{"alg":"EdDSA","kid":"ed"}`, nil), now.Add(-20 * time.Second)},
		"its client twice":   {with(head, map[string]any{"aud": []string{"the-client", "another"}, "azp": "the-client"}), now.Add(-20 * time.Second)},
		"without its moment": {with(head, map[string]any{"auth_time": nil}), time.Time{}},
	} {
		got, err := judge.SignIn(context.Background(), tc.token, "the-nonce")
		if err != nil || got.Subject != "anna" || !got.At.Equal(tc.at) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, token := range map[string]string{
		"another login's":       with(head, map[string]any{"nonce": "another"}),
		"no login's":            with(head, map[string]any{"nonce": nil}),
		"another client's":      with(head, map[string]any{"aud": "coffre"}),
		"for another client":    with(head, map[string]any{"azp": "another"}),
		"of several clients":    with(head, map[string]any{"aud": []string{"the-client", "another"}}),
		"another provider's":    with(head, map[string]any{"iss": "https://evil.example"}),
		"expired":               with(head, map[string]any{"exp": now.Unix() - 1}),
		"a moment to come":      with(head, map[string]any{"auth_time": now.Unix() + 3600}),
		"a moment that is none": with(head, map[string]any{"auth_time": "now"}),
		"an access token":       with(`{"alg":"EdDSA","kid":"ed","typ":"at+jwt"}`, nil),
		"signed by nobody":      raw(head, text(said), func([]byte) []byte { return make([]byte, 64) }),
		"without a signature":   raw(`{"alg":"none"}`, text(said), func([]byte) []byte { return nil }),
		"nothing":               "",
	} {
		if got, err := judge.SignIn(context.Background(), token, "the-nonce"); !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrExpired) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
