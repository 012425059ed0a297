package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/document"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/ringtest"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// transfer is a file that a client reads over a connection without buffers: a byte that it
// has was handed to it.
type transfer struct {
	client net.Conn
	ended  chan struct{} // no more bytes come

	mu  sync.Mutex
	got bytes.Buffer
	at  time.Time // of the last byte
}

// served is a vault as the server serves it.
type served struct {
	*Vault
	server *edge.Server
}

func (s served) GetHealth(ctx context.Context, r contract.GetHealthRequestObject) (contract.GetHealthResponseObject, error) {
	return s.server.GetHealth(ctx, r)
}

func (s served) GetCondition(ctx context.Context, r contract.GetConditionRequestObject) (contract.GetConditionResponseObject, error) {
	return s.server.GetCondition(ctx, r)
}

// oneCaller is an identity provider that knows one caller.
type oneCaller struct{ edge.Caller }

func (c oneCaller) Authenticate(context.Context, token.Presented) (edge.Caller, error) {
	who := c.Caller
	who.Scopes = edge.Scopes(who.Role)
	return who, nil
}

// oneConnection is a listener with one connection.
type oneConnection struct {
	conns chan net.Conn
}

func (l oneConnection) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (oneConnection) Close() error   { return nil }
func (oneConnection) Addr() net.Addr { return &net.UnixAddr{} }

// transfer begins to read a file: a piece of bytes, then a pause, and so on until the end.
func (tv *testVault) transfer(t *testing.T, who edge.Caller, method, target, body string, piece int, pause time.Duration) *transfer {
	t.Helper()
	e := &edge.Server{Auth: oneCaller{who}, Now: tv.Clock.Now, NewID: uuid.New, Slog: tv.Slog, ErrorAnswers: acting.ErrorAnswers, Admit: tv.Admit}
	server := edge.NewHTTPServer(e.Handler(served{tv.Vault, e}))
	client, conn := net.Pipe()
	l := oneConnection{make(chan net.Conn, 1)}
	l.conns <- conn
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		client.Close()
		close(l.conns)
		_ = server.Close()
		<-served
	})
	_, err := fmt.Fprintf(client, "%s %s HTTP/1.1\r\nHost: vault\r\nAuthorization: Bearer x\r\nConnection: close\r\nIdempotency-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		method, target, uuid.NewString(), len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	f := &transfer{client: client, ended: make(chan struct{})}
	go func() {
		defer close(f.ended)
		b := make([]byte, piece)
		for {
			n, err := io.ReadFull(client, b)
			f.mu.Lock()
			if f.got.Write(b[:n]); n > 0 {
				f.at = time.Now()
			}
			f.mu.Unlock()
			if err != nil {
				return
			}
			select {
			case <-time.After(pause):
			case <-t.Context().Done():
				return
			}
		}
	}()
	synctest.Wait()
	if got := f.received(); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") {
		t.Fatalf("answered %.300q", got)
	}
	return f
}

func (f *transfer) received() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got.String()
}

// whole reports whether all of a file came.
func (f *transfer) whole(content []byte) bool {
	_, body, _ := strings.Cut(f.received(), "\r\n\r\n")
	return body == string(content)
}

// represented makes the n-th person one who may read for another, and returns the mandate.
func (tv *testVault) represented(t *testing.T, by domain.CitizenID, n int) domain.MandateID {
	t.Helper()
	granted, err := tv.grantMandate(t, citizenCaller(by), contract.MandateGrant{
		Kind: contract.MandateKindRepresentation, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: "2027-01-01", RepresentativeSSIN: ssin(n),
	})
	if err == nil {
		_, err = tv.AcceptMandate(tv.as(t, citizenCaller(tv.person(t, n)), "acceptMandate", nil), contract.AcceptMandateRequestObject{
			MandateID: granted.MandateID, Params: contract.AcceptMandateParams{IdempotencyKey: uuid.New()},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return granted.MandateID
}

const schoolAllowanceByLaw = `{"purpose":"schoolAllowance","procedure":"schoolEnrolmentAllowance","legalBasis":"publicTask","deliberation":"EX-26/010"}`

// E-3: a file of 10 MB that is read at a trickle is cut before its key counts as destroyed,
// in the process that destroys it and in every other; no byte of it comes after.
func TestErasureCutsTransfers(t *testing.T) {
	content := largePDF(10 << 20)
	for _, elsewhere := range []bool{false, true} {
		for _, scope := range []contract.ErasureScope{contract.ErasureScopeCitizen, contract.ErasureScopeDocument} {
			for _, reader := range []string{"holder", "issuer", "consumer"} {
				t.Run(fmt.Sprintf("%s by %s, in another process: %t", scope, reader, elsewhere), func(t *testing.T) {
					dir := t.TempDir()
					synctest.Test(t, func(t *testing.T) {
						tv := newVaultOn(t, dir, ringtest.OpenDB(t, dir), allowFiles)
						id, file := tv.householdWithFile(t, 1, content)
						who := tv.person(t, 1)
						tv.waitIdle(t)
						at := tv
						if elsewhere {
							tv.restart(func(s *settings) { s.Work.EraseAfter = seal.MaxLease })
							at = tv.otherProcess(t, time.Now)
							at.start()
							t.Cleanup(func() { at.stop() })
						}
						f := map[string]func() *transfer{
							"holder": func() *transfer {
								return at.transfer(t, citizenCaller(who), "GET", contract.AttachmentHref(id, file), "", 8<<10, time.Second)
							},
							"issuer": func() *transfer {
								return at.transfer(t, issuer(homeAffairs), "GET", contract.AttachmentHref(id, file), "", 8<<10, time.Second)
							},
							"consumer": func() *transfer {
								return at.transfer(t, consumer(flanders), "POST", contract.AttachmentHref(id, file)+"/access", schoolAllowanceByLaw, 8<<10, time.Second)
							},
						}[reader]()
						one := domain.DocumentID{}
						if scope == contract.ErasureScopeDocument {
							one = id
						}
						time.Sleep(20 * time.Second)
						if n := len(f.received()); n < 100<<10 || n > 200<<10 {
							t.Fatalf("%d bytes came in 20 seconds", n)
						}
						tv.erase(t, who, one)
						if err := tv.WaitIdle(t.Context()); err != nil {
							t.Fatal(err)
						}
						got := f.received()
						time.Sleep(time.Hour)
						<-f.ended
						if now := f.received(); len(now) != len(got) {
							t.Errorf("E-3 %d bytes came after the keys were destroyed", len(now)-len(got))
						}
						if err := at.Settle(t.Context()); err != nil {
							t.Fatal(err)
						}
						tv.waitIdle(t)
						if reader == "holder" {
							return
						}
						told := recorded[access.Disclosed](t, tv)
						if last := told[len(told)-1]; last.Outcome != access.Failed || last.Reason != "erased" && last.Reason != "documentErased" {
							t.Errorf("the outcome is %+v", last)
						}
					})
				})
			}
		}
	}
}

// C-4, D-2, M-1: a transfer under way ends, within ten seconds, when the same reader would
// be refused the file anew, and goes on to its end when not; its record says why it ended.
func TestTransferEndsWhenTheFileWouldBeRefused(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	content := largePDF(300_000)
	type party struct {
		id      domain.DocumentID
		parent  domain.CitizenID
		consent domain.ConsentID
		mandate domain.MandateID
	}
	acts := map[string]func(*testing.T, *testVault, party){
		"nothing": func(*testing.T, *testVault, party) {},
		"withdrawal": func(t *testing.T, tv *testVault, p party) {
			if err := tv.withdraw(t, tv.person(t, 1), p.consent); err != nil {
				t.Error(err)
			}
		},
		"revocation": func(t *testing.T, tv *testVault, p party) { tv.revokeDirectly(t, homeAffairs, p.id) },
		"suspension": func(t *testing.T, tv *testVault, p party) {
			if _, err := acting.Documents.TransactReserved(t.Context(), tv.Log, eventstore.Write{Stream: acting.DocumentStream(p.id)}, document.Suspend{Expected: document.Expectation{Any: true},
				Reason: "underInvestigation", By: domain.Actor{Role: domain.RoleIssuer, Organisation: homeAffairs}, At: tv.Clock.Now(),
			}); err != nil {
				t.Error(err)
			}
		},
		"the mandate's end": func(t *testing.T, tv *testVault, p party) {
			tv.endMandate(t, p.mandate, domain.Actor{Role: domain.RoleCitizen, Citizen: tv.person(t, 1)}, "")
		},
		"the consent's end": func(_ *testing.T, tv *testVault, _ party) { tv.Clock.Advance(2 * time.Hour) },
		"a death":           func(t *testing.T, tv *testVault, _ party) { tv.reportDeath(t, 1) },
		"a registration that ends": func(t *testing.T, tv *testVault, _ party) {
			tv.publish(t, allowFiles, func(r *registry.Registry) { organisation(t, r, flanders).Registrations = nil })
		},
	}
	ended := map[string]int{} // by reader
	for what, act := range acts {
		for _, reader := range []string{"holder", "issuer", "representative", "by law", "by consent"} {
			wait := time.Duration(random.IntN(8000)) * time.Millisecond
			t.Run(fmt.Sprintf("%s, %s after %v", reader, what, wait), func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					tv := newVaultOn(t, dir, ringtest.OpenDB(t, dir), allowFiles)
					id, file := tv.householdWithFile(t, 1, content)
					child, p := tv.person(t, 1), party{id: id}
					tv.household(t, 2)
					p.parent = tv.person(t, 2)
					p.mandate = tv.represented(t, child, 2)
					p.consent = tv.consentTo(t, child, contract.ConsentGrant{Until: new(tv.Clock.Now().Add(time.Hour))})
					tv.waitIdle(t)
					begin := func() (method, target, body string, who edge.Caller) {
						target = contract.AttachmentHref(id, file)
						switch reader {
						case "holder":
							return "GET", target, "", citizenCaller(child)
						case "issuer":
							return "GET", target, "", issuer(homeAffairs)
						case "representative":
							return "GET", target, "", citizenCaller(p.parent)
						case "by law":
							return "POST", target + "/access", schoolAllowanceByLaw, consumer(flanders)
						}
						return "POST", target + "/access", `{"purpose":"schoolAllowance","consentId":"` + p.consent.String() + `"}`, consumer(flanders)
					}
					method, target, body, who := begin()
					f := tv.transfer(t, who, method, target, body, 64<<10, 4*time.Second)
					time.Sleep(wait)
					act(t, tv, p)
					acted := time.Now()
					<-f.ended
					if err := tv.Settle(t.Context()); err != nil {
						t.Fatal(err)
					}
					told := recorded[access.Disclosed](t, tv)

					var refused string
					if method == "GET" {
						_, _, err := tv.download(t, who, id, file, "bytes=0-3")
						refused = slugOf(err)
					} else {
						request := contract.AttachmentAccessRequest{Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010"}
						if reader == "by consent" {
							request = contract.AttachmentAccessRequest{Purpose: "schoolAllowance", ConsentID: new(p.consent)}
						}
						_, err := tv.accessFile(t, who, id, file, uuid.New(), "bytes=0-3", request)
						refused = slugOf(err)
					}
					if refused == "" {
						if !f.whole(content) {
							t.Errorf("the file is still to be had, and its transfer ended after %v", time.Since(acted))
						}
						return
					}
					ended[reader]++
					if f.whole(content) || f.at.Sub(acted) > 10*time.Second {
						t.Errorf("refused as %s anew, and sent until %v after: all of it %t", refused, f.at.Sub(acted), f.whole(content))
					}
					if reader == "holder" {
						return
					}
					if len(told) == 0 {
						t.Fatal("no outcome")
					}
					if last := told[len(told)-1]; last.Outcome != access.Failed || string(last.Reason) != refused && refused != "resourceNotFound" {
						t.Errorf("refused as %s anew, on record is %+v", refused, last)
					}
				})
			})
		}
	}
	if ended["by consent"] < 4 || ended["by law"] < 3 || ended["representative"] < 2 {
		t.Errorf("too few transfers ended for this test to tell: %v", ended)
	}
}

// M-1: a mandate that ends between the record of a look and the look itself shows nothing,
// in whichever read of the second judgement its last day passes.
func TestMandateThatEndsInBetween(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	tv.household(t, 2)
	child, parent := tv.person(t, 1), tv.person(t, 2)
	tv.represented(t, child, 2)
	tv.waitIdle(t)
	for name, tc := range map[string]struct {
		reads int // of streams, in the second judgement
		read  func() error
	}{
		"a wallet": {3, func() error { // the mandate, both persons
			_, _, err := tv.wallet(t, citizenCaller(parent), child, contract.GetWalletParams{})
			return err
		}},
		"a document": {5, func() error { // the document, its citizen, the mandate, both persons
			_, err := tv.show(t, citizenCaller(parent), id)
			return err
		}},
	} {
		if err := tc.read(); err != nil {
			t.Fatal(name, err)
		}
		for n := 1; n <= tc.reads; n++ {
			tv.waitIdle(t)
			var appended atomic.Bool
			var reads atomic.Int64
			tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
				switch c.Method {
				case faulty.Append:
					appended.Store(true)
				case faulty.ReadStream:
					if appended.Load() && reads.Add(1) == int64(n) {
						tv.Clock.Advance(365 * 24 * time.Hour)
					}
				}
				return faulty.Fault{}
			})
			err := tc.read()
			tv.Store.SetRule(nil)
			if err == nil || reads.Load() < int64(n) {
				t.Errorf("%s: %v when the mandate ended in read %d of %d", name, err, n, reads.Load())
			}
			tv.waitIdle(t)
			told := recorded[access.Disclosed](t, tv)
			if last := told[len(told)-1]; last.Outcome != access.Withheld {
				t.Errorf("%s, read %d: the outcome is %+v", name, n, last)
			}
			tv.Clock.Advance(-365 * 24 * time.Hour)
		}
	}
}
