//go:build load

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/cmd/coffre/bench"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// What deploy/load/run says by its variables.
var (
	loadTool    = os.Getenv("COFFRE_LOAD_K6")      // the program k6
	loadScript  = os.Getenv("COFFRE_LOAD_SCRIPT")  // launch.js
	loadResults = os.Getenv("COFFRE_LOAD_RESULTS") // folder for what is measured
	loadTrouble = os.Getenv("COFFRE_LOAD_TROUBLE") // kill, roll or none
)

const (
	loadProcesses = 3
	loadPeople    = 400
	troubleEvery  = 20 * time.Second
)

// world is what launch.js sends requests with.
type world struct {
	Sites    []string       `json:"sites"`
	Issuer   string         `json:"issuer"`
	Consumer string         `json:"consumer"`
	Purpose  string         `json:"purpose"`
	People   []string       `json:"people"` // national numbers of invented people
	Citizens []loadCitizen  `json:"citizens"`
	Uses     []loadUse      `json:"uses"`
	Document map[string]any `json:"document"`
}

type loadCitizen struct {
	ID    domain.CitizenID `json:"id"`
	Token string           `json:"token"`
}

type loadUse struct {
	Document domain.DocumentID `json:"document"`
	Consent  domain.ConsentID  `json:"consent"`
}

// TestLoad is target T19: three processes on one PostgreSQL with keys in Vault, requests that
// begin when they are due, and every twenty seconds a process that is killed, or asked to end, and
// started again. Every document that a client was told of is there in the end.
func TestLoad(t *testing.T) {
	t.Setenv("COFFRE_LIMITS", "documents.pair=1000000,calls.citizen=1000000")
	f := newFleet(t, loadProcesses)
	at := make([]string, loadProcesses) // where each listens, in each of its lives
	for n := range at {
		at[n] = freeAddress(t)
	}
	begin := func(n int) {
		s, err := f.launchIn(f.dirs[n], "--leave-notice", "1s", "--listen", at[n])
		if err != nil {
			t.Error(err)
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*readyIn)
		defer cancel()
		if err := f.awaitReady(ctx, s); err != nil {
			t.Error(err)
		}
		f.all[n] = s
	}
	var starts sync.WaitGroup
	for n := range at {
		starts.Go(func() { begin(n) })
	}
	starts.Wait()
	if t.Failed() {
		t.FailNow()
	}
	w := f.settleWorld(t)
	for _, address := range at {
		w.Sites = append(w.Sites, "http://"+address+contract.Base)
	}
	written := filepath.Join(t.TempDir(), "world.json") // it holds tokens
	body, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(written, body, 0o600); err != nil {
		t.Fatal(err)
	}

	said := filepath.Join(loadResults, "said.log")
	cmd := exec.CommandContext(t.Context(), loadTool, "run", "--quiet", "--no-usage-report", "--log-format", "raw", "--console-output", said,
		"--summary-export", filepath.Join(loadResults, "summary.json"), "--out", "csv="+filepath.Join(loadResults, "requests.csv"), loadScript)
	cmd.Env = append(os.Environ(), "WORLD="+written)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	moments, err := os.Create(filepath.Join(loadResults, "kills.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer moments.Close()
	clock := time.NewTicker(troubleEvery)
	defer clock.Stop()
	for n := 0; ; n = (n + 1) % loadProcesses {
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("k6 says that a threshold was crossed, or failed: %v", err)
			}
			f.allAcknowledged(t, said)
			return
		case <-clock.C:
		}
		if loadTrouble == "none" {
			continue
		}
		fmt.Fprintln(moments, time.Now().Unix())
		if loadTrouble == "roll" {
			ctx, cancel := context.WithTimeout(t.Context(), readyIn)
			err := f.all[n].terminate(ctx)
			cancel()
			if err != nil {
				t.Error(err)
			}
		} else {
			f.all[n].kill()
		}
		begin(n)
	}
}

// settleWorld has people with documents and consents in the vault.
func (f *fleet) settleWorld(t *testing.T) world {
	t.Helper()
	w := world{Purpose: "familyDiscount", Citizens: make([]loadCitizen, loadPeople), Uses: make([]loadUse, loadPeople), People: make([]string, loadPeople),
		Document: map[string]any{"documentType": "householdComposition", "validFrom": "2026-01-01", "content": json.RawMessage(household(1))}}
	mint := func(g token.Grant) string {
		g.Scopes = edge.Scopes(g.Role)
		bearer, err := f.key.Mint(g, time.Now(), 12*time.Hour)
		if err != nil {
			t.Error(err)
		}
		return bearer
	}
	w.Issuer, w.Consumer = mint(drillIssuer), mint(drillConsumer)
	next := make(chan int)
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for n := range next {
				for i := range 3 {
					r, _, err := f.post(t.Context(), f.all[n%len(f.all)], issueTo(n, fmt.Sprintf("world-%d-%d", n, i)), "")
					var got contract.DocumentReceipt
					if err == nil {
						err = json.Unmarshal(r.body, &got)
					}
					if err != nil || r.status != http.StatusCreated {
						t.Errorf("%d %s %v", r.status, r.body, err)
						return
					}
					w.Uses[n].Document = got.DocumentID
				}
				w.People[n] = bench.SSIN(n).Reveal()
				grant := call{grant: drillCitizen(n), path: "/consents", key: uuid.New(), body: `{"consumer":"` + string(railways) + `","purpose":"familyDiscount","documentTypes":["householdComposition"],` +
					`"shownText":{"text":"` + discountText() + `","language":"en","version":"1"}}`}
				r, _, err := f.post(t.Context(), f.all[n%len(f.all)], grant, "")
				var given contract.ConsentReceiptShort
				if err == nil {
					err = json.Unmarshal(r.body, &given)
				}
				if err != nil || r.status != http.StatusCreated {
					t.Errorf("%d %s %v", r.status, r.body, err)
					return
				}
				w.Uses[n].Consent = given.ConsentID
				r, _, err = f.post(t.Context(), f.all[n%len(f.all)], call{grant: drillCitizen(n), path: "/citizens/get", body: `{}`}, "")
				var person struct{ CitizenID domain.CitizenID }
				if err == nil {
					err = json.Unmarshal(r.body, &person)
				}
				if err != nil || r.status != http.StatusOK {
					t.Errorf("%d %s %v", r.status, r.body, err)
					return
				}
				w.Citizens[n] = loadCitizen{ID: person.CitizenID, Token: mint(drillCitizen(n))}
			}
		})
	}
	for n := range loadPeople {
		next <- n
	}
	close(next)
	clients.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return w
}

// allAcknowledged asks for every document that launch.js was told of.
func (f *fleet) allAcknowledged(t *testing.T, said string) {
	t.Helper()
	file, err := os.Open(said)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	bearer, err := f.key.Mint(token.Grant{Role: drillIssuer.Role, Organisation: drillIssuer.Organisation, Scopes: edge.Scopes(drillIssuer.Role)}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	told, lost := 0, 0
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		_, id, is := strings.Cut(lines.Text(), "acknowledged ")
		if !is {
			continue
		}
		told++
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.all[told%len(f.all)].url+contract.Base+"/documents/"+strings.TrimSpace(id), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+bearer)
		answer, err := f.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
			lost++
			t.Errorf("a document that was acknowledged: %d", answer.StatusCode)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d documents acknowledged, %d lost", told, lost)
	if told == 0 {
		t.Error("no document was acknowledged")
	}
}
