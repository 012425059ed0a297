package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/cmd/coffre/bench"
	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/eventstore/memory"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/transit/vaulttest"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// The fleet: several processes of the program as it is shipped, each with a
// directory of its own, on one PostgreSQL, with keys in one Vault.

// takeOverIn is how long a read model may rest when the process that kept it up is
// gone; the rest is for a busy machine.
const takeOverIn = 10 * time.Second

type fleet struct {
	*drill
	dirs []vault.DataDir
	all  []*serving // by directory; nil while none is running
}

func newFleet(t *testing.T, size int) *fleet {
	t.Helper()
	return newFleetOn(t, size, pgtest.Shared(t).Database(t))
}

// newFleetOn returns a fleet that is not started, on an empty database.
func newFleetOn(t *testing.T, size int, database string) *fleet {
	t.Helper()
	f := &fleet{drill: newDrill(t), all: make([]*serving, size)}
	transit := vaultOf(t, vaulttest.Shared(t))
	f.env = []string{
		vault.StoreVariable + "=" + database,
		"COFFRE_VAULT_ADDR=" + transit.Address, "COFFRE_VAULT_CA_FILE=" + transit.CAFile, "COFFRE_VAULT_TIMEOUT=" + transit.Timeout.String(),
		"COFFRE_VAULT_ROLE=" + transit.Application.Role, "COFFRE_VAULT_SECRET_ID_FILE=" + transit.Application.SecretIDFile,
	}
	// The tokens of `coffre token` are the directory's own, so all have the same key.
	key, err := os.ReadFile(f.dir.File(vault.DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	for range size {
		dir := vault.DataDir(t.TempDir())
		if err := os.WriteFile(dir.File(vault.DevKeyFile), key, 0o600); err != nil {
			t.Fatal(err)
		}
		f.dirs = append(f.dirs, dir)
	}
	return f
}

// start launches the processes named, at once, and waits until they are ready.
func (f *fleet) start(t *testing.T, numbers ...int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*readyIn)
	defer cancel()
	var wg sync.WaitGroup
	for _, n := range numbers {
		s, err := f.launchIn(f.dirs[n], "--leave-notice", "1s")
		if err != nil {
			t.Fatal(err)
		}
		f.all[n] = s
		wg.Go(func() {
			if err := f.awaitReady(ctx, s); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// post sends one request to one process, once, and returns its whole answer.
func (f *fleet) post(ctx context.Context, s *serving, c call, minimum string) (reply, http.Header, error) {
	c.grant.Scopes = edge.Scopes(c.grant.Role)
	bearer, err := f.key.Mint(c.grant, time.Now(), time.Hour)
	if err != nil {
		return reply{}, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+contract.Base+c.path, io.NopCloser(strings.NewReader(c.body)))
	if err != nil {
		return reply{}, nil, err
	}
	req.ContentLength = int64(len(c.body))
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Authorization": "Bearer " + bearer, "Coffre-Min-Position": minimum, "Idempotency-Key": c.key.String(),
	} {
		if value != "" && value != uuid.Nil.String() {
			req.Header.Set(name, value)
		}
	}
	answer, err := f.http.Do(req)
	if err != nil {
		return reply{}, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return reply{status: answer.StatusCode, body: body, by: s}, answer.Header, err
}

// issueTo is a request that makes a document of a person.
func issueTo(person int, reference string) call {
	return call{grant: drillIssuer, path: "/documents", key: uuid.New(), body: fmt.Sprintf(
		`{"ssin":"%s","documentType":"householdComposition","sourceReference":"%s","validFrom":"2026-01-01","content":%s}`, bench.SSIN(person).Reveal(), reference, household(1))}
}

// issue has a process make a document, and returns its id and position.
func (f *fleet) issue(t *testing.T, s *serving, person int, reference string) (domain.DocumentID, string) {
	t.Helper()
	r, h, err := f.post(t.Context(), s, issueTo(person, reference), "")
	var got contract.DocumentReceipt
	if err == nil {
		err = json.Unmarshal(r.body, &got)
	}
	if err != nil || r.status != http.StatusCreated || h.Get("Coffre-Position") == "" {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return got.DocumentID, h.Get("Coffre-Position")
}

// shows waits until a process shows the document at that position, as a caller does:
// it asks again after an answer that the read models are not there yet.
func (f *fleet) shows(t *testing.T, s *serving, id domain.DocumentID, at string, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var r reply
	err := poll(ctx, func() (done bool, _ time.Time, err error) {
		r, _, err = f.post(ctx, s, call{grant: drillIssuer, path: "/documents/query?pageSize=100", body: `{}`}, at)
		switch {
		case err != nil:
			return false, time.Time{}, err
		case r.status == http.StatusPreconditionFailed, r.status == http.StatusServiceUnavailable:
			return false, time.Time{}, nil
		}
		return true, time.Time{}, nil
	})
	if err != nil || r.status != http.StatusOK || !bytes.Contains(r.body, []byte(id.String())) {
		t.Fatalf("what was written is not shown within %v: %d %s %v", within, r.status, r.body, err)
	}
}

// Three processes share one vault: they start at once on an empty database, a key
// sent to all at once makes one document, what one has written another shows, and
// when any is killed the others go on.
func TestSeveralProcessesOnOnePostgreSQL(t *testing.T) {
	newFleet(t, 3).sharesOneVault(t)
}

// The same with the events behind KurrentDB's protocol, where each process numbers
// the leaves for itself.
func TestSeveralProcessesOnOneKurrentDB(t *testing.T) {
	f := newFleet(t, 3)
	_, database, _ := strings.Cut(f.env[0], "=")
	f.env[0] = vault.StoreVariable + "=" + onWire(t, memory.New())
	f.env = append(f.env, vault.ReadModelsVariable+"="+database, vault.KeysVariable+"="+database)
	f.sharesOneVault(t)
}

// sharesOneVault plays what three processes of one vault must do.
func (f *fleet) sharesOneVault(t *testing.T) {
	t.Helper()
	f.start(t, 0, 1, 2)

	for n := range 8 {
		c := issueTo(n, fmt.Sprintf("once-%d", n))
		var wg sync.WaitGroup
		ids := make([]domain.DocumentID, len(f.all))
		for i, s := range f.all {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), readyIn)
				defer cancel()
				err := poll(ctx, func() (bool, time.Time, error) {
					r, _, err := f.post(ctx, s, c, "")
					if err != nil || r.status == http.StatusConflict && bytes.Contains(r.body, []byte("requestInFlight")) {
						return false, time.Time{}, err
					}
					if r.status != http.StatusCreated {
						return false, time.Time{}, fmt.Errorf("%d %s", r.status, r.body)
					}
					var got contract.DocumentReceipt
					err = json.Unmarshal(r.body, &got)
					ids[i] = got.DocumentID
					return true, time.Time{}, err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
		if ids[0] != ids[1] || ids[1] != ids[2] {
			t.Fatal("one request became several documents")
		}
	}

	for n := range 12 { // read your writes, whoever wrote them
		id, at := f.issue(t, f.all[n%3], n%4, fmt.Sprintf("shown-%d", n))
		f.shows(t, f.all[(n+1)%3], id, at, takeOverIn)
	}

	for n := range 3 { // whichever kept the read models up is among them
		f.all[n].kill()
		other := f.all[(n+1)%3]
		began := time.Now()
		id, at := f.issue(t, other, 5, fmt.Sprintf("after-%d", n))
		f.shows(t, other, id, at, takeOverIn)
		t.Logf("without process %d: shown after %v", n, time.Since(began))
		f.start(t, n)
		f.shows(t, f.all[n], id, at, takeOverIn)
	}
}

// Processes are replaced one after the other while clients that ask /readyz first
// send requests: none fails (R11).
func TestRollingRestart(t *testing.T) {
	rounds := 1
	if os.Getenv("COFFRE_SOAK") == "1" {
		rounds = 10
	}
	t.Setenv("COFFRE_LIMITS", "documents.pair=1000000") // each client issues to one person as fast as it can
	f := newFleet(t, 2)
	f.start(t, 0, 1)

	// What a load balancer knows: who was ready when it last asked.
	var mu sync.Mutex
	ready := append([]*serving{}, f.all...)
	look, stopLooking := context.WithCancel(t.Context())
	var looking sync.WaitGroup
	looking.Go(func() {
		for look.Err() == nil {
			var now []*serving
			mu.Lock()
			known := append([]*serving{}, f.all...)
			mu.Unlock()
			for _, s := range known {
				if s == nil || s.url == "" {
					continue
				}
				answer, err := f.http.Get(s.url + "/readyz")
				if err != nil {
					continue
				}
				answer.Body.Close()
				if answer.StatusCode == http.StatusOK {
					now = append(now, s)
				}
			}
			mu.Lock()
			ready = now
			mu.Unlock()
			select {
			case <-time.After(50 * time.Millisecond): // as often as it asks
			case <-look.Done():
			}
		}
	})
	var sent atomic.Int64
	work, stopWorking := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			for n := 0; work.Err() == nil; n++ {
				mu.Lock()
				among := ready
				mu.Unlock()
				if len(among) == 0 {
					t.Error("nobody is ready")
					return
				}
				to := among[n%len(among)]
				r, _, err := f.post(context.WithoutCancel(work), to, issueTo(c, fmt.Sprintf("rolling-%d-%d", c, n)), "")
				if err != nil || r.status != http.StatusCreated {
					t.Errorf("client %d: %d %s %v", c, r.status, r.body, err)
					return
				}
				sent.Add(1)
			}
		})
	}
	for range rounds {
		for n := range f.all {
			before := sent.Load()
			ctx, cancel := context.WithTimeout(t.Context(), readyIn)
			mu.Lock()
			leaving := f.all[n]
			mu.Unlock()
			err := leaving.terminate(ctx)
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			s, err := f.launchIn(f.dirs[n], "--leave-notice", "1s")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel = context.WithTimeout(t.Context(), 2*readyIn)
			err = f.awaitReady(ctx, s)
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			f.all[n] = s
			mu.Unlock()
			// Whoever rolls on waits until the balancer sends requests to the new one.
			if err := poll(t.Context(), func() (bool, time.Time, error) {
				mu.Lock()
				defer mu.Unlock()
				return slices.Contains(ready, s), time.Time{}, nil
			}); err != nil {
				t.Fatal(err)
			}
			if sent.Load() == before {
				t.Error("nothing was asked meanwhile: this shows nothing")
			}
		}
	}
	stopWorking()
	clients.Wait()
	stopLooking()
	looking.Wait()
	t.Logf("%d requests, %d restarts", sent.Load(), 2*rounds)
}
