//go:build load

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	loadBefore  = os.Getenv("COFFRE_LOAD_HAPROXY") // the program haproxy; "": clients go to the processes themselves
	loadConfig  = os.Getenv("COFFRE_LOAD_CONFIG")  // haproxy.cfg
	loadPeople  = os.Getenv("COFFRE_LOAD_PEOPLE")  // how many people have documents
)

const (
	loadProcesses = 3
	troubleEvery  = 20 * time.Second
	sampledEvery  = 5 * time.Second
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
// begin when they are due, and after forty seconds every twenty a process that is killed, or asked to
// end, and started again. Every document that a client was told of is there in the end.
func TestLoad(t *testing.T) {
	t.Setenv("COFFRE_LIMITS", "documents.pair=1000000,calls.citizen=1000000")
	f := newFleet(t, loadProcesses)
	at := make([]string, loadProcesses) // where each listens, in each of its lives
	for n := range at {
		at[n] = freeAddress(t)
	}
	begin := func(n int) {
		began := time.Now()
		s, err := f.launchIn(f.dirs[n], "--leave-notice", "2s", "--listen", at[n])
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
		t.Logf("process %d is ready %d ms after its start", n+1, time.Since(began).Milliseconds())
	}
	var starts sync.WaitGroup
	for n := range at {
		starts.Go(func() { begin(n) })
	}
	starts.Wait()
	if t.Failed() {
		t.FailNow()
	}
	people, err := strconv.Atoi(loadPeople)
	if err != nil || people < 1 {
		t.Fatalf("COFFRE_LOAD_PEOPLE is how many people have documents: %v", err)
	}
	w := f.settleWorld(t, people)
	sites := at
	if loadBefore != "" {
		sites = []string{balance(t, at)}
	}
	for _, address := range sites {
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
	samples, err := os.Create(filepath.Join(loadResults, "processes.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer samples.Close()
	fmt.Fprintln(samples, "second,process,kilobytes,descriptors")
	clock, look := time.NewTicker(troubleEvery), time.NewTicker(sampledEvery)
	defer clock.Stop()
	defer look.Stop()
	for n, calm := 0, true; ; {
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("k6 says that a threshold was crossed, or failed: %v", err)
			}
			f.allAcknowledged(t, said)
			return
		case <-look.C:
			f.sample(t, samples)
			continue
		case <-clock.C:
		}
		if loadTrouble == "none" || calm {
			calm = false // what it is like before the first is known then
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
		n = (n + 1) % loadProcesses
	}
}

// balance starts HAProxy before the processes, until the test ends, and returns its address.
func balance(t *testing.T, at []string) string {
	t.Helper()
	front := freeAddress(t)
	cmd := exec.CommandContext(t.Context(), loadBefore, "-db", "-f", loadConfig)
	cmd.Env = append(os.Environ(), "AT="+front, "ONE="+at[0], "TWO="+at[1], "THREE="+at[2])
	log, err := os.Create(filepath.Join(loadResults, "haproxy.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait() // it was killed
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := poll(t.Context(), func() (bool, time.Time, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+front+"/readyz", nil)
		if err != nil {
			return false, time.Time{}, err
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, time.Time{}, nil // it does not listen yet
		}
		return answer.StatusCode == http.StatusOK, time.Time{}, answer.Body.Close()
	}); err != nil {
		t.Fatal(err)
	}
	return front
}

// sample notes the memory and the descriptors of each process.
func (f *fleet) sample(t *testing.T, to io.Writer) {
	t.Helper()
	for n, s := range f.all {
		of := fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
		status, err := os.ReadFile(of + "status")
		if err != nil {
			t.Error(err)
			continue
		}
		descriptors, err := os.ReadDir(of + "fd")
		if err != nil {
			t.Error(err)
			continue
		}
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			t.Errorf("process %d has no memory", n)
			continue
		}
		fmt.Fprintf(to, "%d,%d,%s,%d\n", time.Now().Unix(), n+1, fields[0], len(descriptors))
	}
}

// settleWorld has people with documents and consents in the vault.
func (f *fleet) settleWorld(t *testing.T, people int) world {
	t.Helper()
	w := world{Purpose: "familyDiscount", Citizens: make([]loadCitizen, people), Uses: make([]loadUse, people), People: make([]string, people),
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
	for n := range people {
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
