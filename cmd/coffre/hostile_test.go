package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/apitest"
	"coffre/handlers/edge/token"
)

// rig is a real vault with tokens, without a network.
type rig struct {
	*vault.Instance
	dir   vault.DataDir
	key   *token.DevKey
	front http.Handler // asked instead of the vault's own; nil: that one
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := vault.DataDir(t.TempDir())
	v, err := vault.Open(t.Context(), dir, vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	key, err := token.OpenDevKey(dir.File(vault.DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Instance: v, dir: dir, key: key}
	if err := v.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// bearer mints a token for a grant, with every scope its role has.
func (r *rig) bearer(t *testing.T, g token.Grant) string {
	t.Helper()
	if g.Scopes == nil {
		g.Scopes = edge.Scopes(g.Role)
	}
	bearer, err := r.key.Mint(g, time.Now(), 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return bearer
}

func (r *rig) ask(req *http.Request, bearer string) *httptest.ResponseRecorder {
	req.Header.Set("Authorization", "Bearer "+bearer)
	w := httptest.NewRecorder()
	front := r.front
	if front == nil {
		front = r.Handler()
	}
	front.ServeHTTP(w, req)
	return w
}

const (
	orgA = domain.Organisation("0206731645")
	orgB = domain.Organisation("0206653946")
)

// grantFor is somebody of a role.
func grantFor(role domain.Role, o domain.Organisation, c domain.CitizenID) token.Grant {
	g := token.Grant{Role: role, Subject: "subject-of-" + string(role)}
	switch role {
	case domain.RoleIssuer, domain.RoleConsumer:
		g.Organisation = o
	case domain.RoleCitizen:
		g.Citizen = c
	}
	return g
}

// malform returns a body that cannot be right, in one of the ways in which bodies
// are wrong by accident and on purpose.
func malform(rng *rand.Rand, body []byte) []byte {
	at := func(b []byte) int { return rng.IntN(len(b)) }
	switch rng.IntN(11) {
	case 0:
		return body[:at(body)] // cut short
	case 1:
		return append(bytes.Clone(body), body...) // twice
	case 2:
		return []byte(strings.Replace(string(body), "{", fmt.Sprintf(`{"m%d":1,`, rng.Uint32()), 1)) // an unknown member
	case 3:
		i := at(body)
		return append(append(bytes.Clone(body[:i]), 0xff, 0xfe), body[i:]...) // not UTF-8
	case 4:
		return []byte(strings.Repeat(`{"a":`, 200+rng.IntN(2000))) // deep
	case 5:
		return []byte(`[` + string(body) + `]`) // of another kind
	case 6:
		return []byte(strings.ToUpper(string(body))) // case variants
	case 7:
		return []byte(strings.Replace(string(body), `":`, `":null,"x":`, 1))
	case 8:
		return append([]byte("\ufeff"), body...) // byte order mark
	case 9:
		return []byte(strings.ReplaceAll(string(body), `"`, `'`))
	}
	return append(bytes.Clone(body), byte(rng.IntN(256)), 'x') // something behind
}

// TestMalformedRequests: 10,000 random malformed requests are refused with a
// problem each, store nothing and leave the memory as it was.
func TestMalformedRequests(t *testing.T) {
	r := newRig(t)
	var calls []apitest.Call
	bearers := map[string]string{}
	for _, c := range apitest.Calls(t, contract.YAML()) {
		if c.Schema != nil && len(c.Roles) > 0 && string(c.Body) != "{}" {
			calls = append(calls, c)
			role := domain.Role(c.Roles[0])
			bearers[c.OperationID] = r.bearer(t, grantFor(role, orgA, domain.CitizenID{UUID: [16]byte{1}}))
		}
	}
	if len(calls) < 15 {
		t.Fatalf("only %d operations with a body", len(calls))
	}
	before, err := r.Core.Log.Store().Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const seed, requests = 20261122, 10_000
	rng := rand.New(rand.NewPCG(seed, 0))
	var low, high runtime.MemStats
	for i := range requests {
		c := calls[rng.IntN(len(calls))]
		body := malform(rng, c.Body)
		if len(body) == 0 { // where nothing need be said, that is a request
			body = []byte("{")
		}
		w := r.ask(c.Request(body), bearers[c.OperationID])
		if w.Code < 400 || w.Code > 499 {
			t.Fatalf("seed %d, request %d, %s answered %d to %.80q", seed, i, c.OperationID, w.Code, body)
		}
		if got := w.Header().Get("Content-Type"); got != "application/problem+json" || !strings.Contains(w.Body.String(), `"type":"urn:problem-type:`) {
			t.Fatalf("seed %d, request %d, %s: no typed problem (%s)", seed, i, c.OperationID, got)
		}
		if i == requests/5 {
			runtime.GC()
			runtime.ReadMemStats(&low)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&high)
	if grown := int64(high.HeapAlloc) - int64(low.HeapAlloc); grown > 8<<20 {
		t.Errorf("the heap grew by %d bytes over %d refused requests", grown, requests*4/5)
	}
	after, err := r.Core.Log.Store().Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after != before {
		t.Errorf("refused requests appended to the log: %v, before %v", after, before)
	}
}
