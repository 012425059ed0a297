package token

import (
	"context"
	"crypto/subtle"
	"time"
)

// SignIn is what an ID token says of a login at the provider (OpenID Connect Core 1.0, section 2).
type SignIn struct {
	Subject string    // as access tokens of the same person have it
	At      time.Time // when the person proved who they are; zero: the provider does not say
}

// SignIns judges the ID tokens that one client of a provider gets. It may be used concurrently.
type SignIns struct{ v *Verifier }

// NewSignIns returns the judge of the ID tokens that a provider gives a client. Issuer,
// algorithms, length and times are judged as of access tokens; a typ may be absent.
func NewSignIns(profile Profile, keys Keys, client string, now func() time.Time) *SignIns {
	profile.Audience, profile.Types = client, []string{"JWT", ""}
	return &SignIns{&Verifier{profile: profile, keys: keys, now: now, signIn: true}}
}

// SignIn returns what an ID token says that was given for a login with a nonce. Errors that wrap
// ErrInvalid mean that the token does not count; any other that it cannot be judged now.
func (s *SignIns) SignIn(ctx context.Context, idToken, nonce string) (SignIn, error) {
	if len(idToken) > s.v.profile.MaxBytes {
		return SignIn{}, reject("size", "the ID token is too long")
	}
	_, payload, err := s.v.signed(ctx, idToken)
	if err != nil {
		return SignIn{}, err
	}
	c, err := readClaims(payload)
	if err != nil {
		return SignIn{}, err
	}
	if _, err := s.v.judge(c, s.v.now()); err != nil {
		return SignIn{}, err
	}
	client := s.v.profile.Audience
	audience, _, err := c.list("aud", "aud")
	if err != nil {
		return SignIn{}, err
	}
	party, named, err := c.text("azp")
	if err != nil || named && party != client || !named && len(audience) > 1 {
		return SignIn{}, reject("azp", "names another client")
	}
	if said, _, err := c.text("nonce"); err != nil || subtle.ConstantTimeCompare([]byte(said), []byte(nonce)) != 1 {
		return SignIn{}, reject("nonce", "is another login's")
	}
	subject, _, err := c.text("sub")
	if err != nil {
		return SignIn{}, err
	}
	at, _, err := c.moment("auth_time")
	if err == nil && s.v.now().Add(leeway).Before(at) {
		err = reject("auth_time", "lies in the future")
	}
	return SignIn{subject, at}, err
}
