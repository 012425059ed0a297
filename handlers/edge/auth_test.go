package edge

import (
	"net/http"
	"strings"
	"testing"
)

// callNamed returns a good request of an operation.
func callNamed(t *testing.T, operation string) *http.Request {
	t.Helper()
	for _, c := range calls(t) {
		if c.OperationID == operation {
			return c.Request(c.Body)
		}
	}
	t.Fatalf("the contract has no %s", operation)
	return nil
}

// F13: each 401 is one line of the log that names the claim or check that failed, and the
// answer's detail says it too; neither repeats what came.
func TestF13RefusedTokensAreLogged(t *testing.T) {
	for header, tc := range map[string]struct{ check, detail string }{
		"":               {"check=authorization reason=\"no access token came\"", ""},
		"Bearer ":        {"check=authorization", "authorization: "},
		"Basic secret":   {"check=authorization", "authorization: "},
		"Bearer nobody":  {"check=token", ""},
		"Bearer foreign": {"check=aud reason=\"does not name this vault's audience\"", "aud: does not name"},
		"Bearer expired": {"check=token", ""},
		"Bearer bound":   {"check=cnf.jkt", "cnf.jkt: "},
	} {
		e, r := newEdge(t), callNamed(t, "issueDocument")
		r.Header.Del("Authorization")
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		w := e.send(r)
		if w.Code != http.StatusUnauthorized || len(e.reached) != 0 || tc.detail != "" && !strings.Contains(w.Body.String(), `"detail":"`+tc.detail) {
			t.Errorf("%q: %d %s", header, w.Code, w.Body)
		}
		line := e.log.String()
		if strings.Count(line, "\n") != 1 || !strings.Contains(line, "access token refused") || !strings.Contains(line, tc.check) || !strings.Contains(line, "operation=issueDocument") ||
			!strings.Contains(line, w.Header().Get("BelGov-Trace-Id")) || strings.Contains(line, "secret") || strings.Contains(line, "nobody") || strings.Contains(line, "foreign") {
			t.Errorf("%q: the log says %q, want %q", header, line, tc.check)
		}
	}
}

// F40: while the identity provider is away, callers are told the true wait, and the log, which
// the provider's keys keep, gets no line for each of them.
func TestF40OutageIsNoLineForEachRequest(t *testing.T) {
	e, r := newEdge(t), callNamed(t, "issueDocument")
	r.Header.Set("Authorization", "Bearer keyless")
	if w := e.send(r); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "11" || !strings.Contains(w.Body.String(), "identityUnavailable") {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
	if e.log.Len() != 0 {
		t.Errorf("the log says %q", e.log)
	}
}

// A caller learns from each refusal how to come back: with a bearer token, or with a proof and
// the nonce of now (RFC 9449).
func TestChallenges(t *testing.T) {
	const algorithms = `algs="ES256 EdDSA PS256 RS256"`
	for name, tc := range map[string]struct {
		authorization string
		proofs        []string
		challenges    []string
		nonce         bool
	}{
		"nothing":            {"", nil, []string{`Bearer realm="coffre"`, "DPoP " + algorithms}, false},
		"a bad bearer token": {"Bearer foreign", nil, []string{`Bearer realm="coffre", error="invalid_token"`, "DPoP " + algorithms}, false},
		"a bound one":        {"Bearer bound", nil, []string{`DPoP realm="coffre", error="invalid_token", ` + algorithms}, false},
		"without a nonce":    {"DPoP bound", []string{"x"}, []string{`DPoP realm="coffre", error="use_dpop_nonce", ` + algorithms}, true},
		"with two proofs":    {"DPoP bound", []string{"nonce of now", "nonce of now"}, []string{`DPoP realm="coffre", error="use_dpop_nonce", ` + algorithms}, true},
		"a good proof":       {"dpop bound", []string{"nonce of now"}, nil, true},
	} {
		e, r := newEdge(t), callNamed(t, "issueDocument")
		e.Nonce = func() string { return "of now" }
		r.Header.Del("Authorization")
		if tc.authorization != "" {
			r.Header.Set("Authorization", tc.authorization)
		}
		for _, proof := range tc.proofs {
			r.Header.Add("DPoP", proof)
		}
		w := e.send(r)
		got := w.Header().Values("WWW-Authenticate")
		if strings.Join(got, "\n") != strings.Join(tc.challenges, "\n") || (w.Code == http.StatusUnauthorized) != (tc.challenges != nil) || (len(e.reached) == 1) != (tc.challenges == nil) {
			t.Errorf("%s: %d, %q", name, w.Code, got)
		}
		if (w.Header().Get("DPoP-Nonce") == "of now") != tc.nonce {
			t.Errorf("%s: the nonce %q", name, w.Header().Get("DPoP-Nonce"))
		}
	}
}
