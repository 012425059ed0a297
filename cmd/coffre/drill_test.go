package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/eventstore/seal/transit/vaulttest"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// The drill: the program as it is shipped, under load, killed again and again on
// one directory. Its clients do what the contract asks of them: they repeat what
// was not answered, with the same key and body. What they were told must be true
// in the end, and nothing may have happened twice.

// asProgram is set in the processes of the drill, which are this test binary.
const asProgram = "COFFRE_TEST_PROGRAM"

// TestMain lets the test binary be the program, for as long as its standard input
// is open, so that no process outlives the test that started it.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(vaulttest.Main(m))
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(exitFailed)
	}()
	main()
}

// drillAddress is where a process says that it serves.
var drillAddress = regexp.MustCompile(`http://(127\.0\.0\.1:[0-9]+)`)

const (
	drillClients = 16
	sharedPeople = 8                // whom all clients issue to
	readyIn      = 30 * time.Second // after which a start counts as hung
)

// TestKillServeUnderLoad kills a server at random moments, while it serves and
// while it starts, and ends it politely at last (I1, I2, C-4, A-1).
func TestKillServeUnderLoad(t *testing.T) {
	t.Parallel()
	kills := 5
	if os.Getenv("COFFRE_SOAK") == "1" {
		kills = 40
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, drillClients))
	d := newDrill(t)
	ctx, fail := context.WithCancelCause(t.Context())
	defer fail(nil)

	var clients sync.WaitGroup
	for i := range drillClients {
		c := &drillClient{drill: d, rng: rand.New(rand.NewPCG(seed, uint64(i))), name: fmt.Sprintf("drill-%d", i)}
		clients.Go(func() {
			if err := c.live(ctx); err != nil && ctx.Err() == nil { // the others stop for the first who fails
				t.Error(err)
				fail(err)
			}
		})
	}
	rotations := 0
	clients.Go(func() {
		var err error
		if rotations, err = d.rotate(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
			fail(err)
		}
	})
	underLoad := func(least, most int) (*serving, error) {
		s, err := d.start(ctx)
		if err != nil {
			return nil, err
		}
		return s, d.burn(ctx, least+rng.IntN(most-least))
	}
	err := func() error {
		for range kills {
			s, err := underLoad(50, 300)
			if err != nil {
				return err
			}
			s.kill()
			if rng.IntN(3) == 0 { // and once more before it is ready
				if s, err = d.launch(); err != nil {
					return err
				}
				select {
				case <-time.After(time.Duration(rng.Int64N(int64(d.longest)))): // a moment of the start, whichever
				case <-s.ended:
				}
				s.kill()
			}
		}
		s, err := underLoad(50, 100)
		if err != nil {
			return err
		}
		d.leaving.Store(true)
		return s.terminate(ctx)
	}()
	if err != nil && ctx.Err() == nil {
		t.Error(err)
		fail(err)
	}
	clients.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Logf("%d requests, %d of them repeated after a kill; longest start %s; keys rotated %d times", d.sent.Load(), d.repeated.Load(), d.longest, rotations)
	if d.repeated.Load() == 0 {
		t.Error("no kill left a request without an answer")
	}
	d.check(t)
}

// rotate replaces the key-encryption key and the pepper, over and over, until the
// server is told to end, and returns how often both were asked for.
func (d *drill) rotate(ctx context.Context) (n int, err error) {
	for !d.leaving.Load() {
		for _, path := range []string{"/keys/rotate", "/keys/rotatePepper"} {
			r, err := d.ask(ctx, call{grant: asOperator, path: path, key: uuid.New()})
			switch {
			case errors.Is(err, errLeft):
				return n, nil
			case err != nil:
				return n, err
			case r.status == http.StatusConflict: // the former one is still under way
			case r.status == http.StatusAccepted:
				n++
			case r.status == http.StatusServiceUnavailable && d.leaving.Load():
			default:
				return n, fmt.Errorf("%s was answered %d: %s", path, r.status, r.body)
			}
		}
	}
	return n, nil
}

// drill is one directory, the server on it and what its clients were told.
type drill struct {
	t    *testing.T
	dir  vault.DataDir
	key  *token.DevKey
	http *http.Client

	sent, repeated atomic.Int64
	fuse           atomic.Int64 // requests until blown
	blown          chan struct{}
	leaving        atomic.Bool // the server was told to end
	people         atomic.Int64
	longest        time.Duration // from a start until the server was ready

	env     []string      // of the server, beside the test's own
	options vault.Options // to open what it left

	mu      sync.Mutex
	now     *serving
	changed chan struct{} // closed when now is another
	told    promised
	waits   []time.Duration // until an answer that somebody should come back later
}

// promised is what the clients were told.
type promised struct {
	documents map[domain.DocumentID]paper
	consents  map[domain.ConsentID]permission
	disclosed map[domain.AccessID]domain.ConsentID
	refused   map[domain.ConsentID]int // accesses under it
}

type paper struct {
	person, version int
	revoked         bool
}

type permission struct {
	person    int
	withdrawn bool
}

// holders are the people of whom something is known, in order.
func (p promised) holders() []int {
	people := map[int]bool{}
	for _, one := range p.documents {
		people[one.person] = true
	}
	return slices.Sorted(maps.Keys(people))
}

func newDrill(t *testing.T) *drill {
	dir := vault.DataDir(t.TempDir())
	key, err := token.OpenDevKey(dir.File(vault.DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	d := &drill{
		t: t, dir: dir, key: key, blown: make(chan struct{}, 1), changed: make(chan struct{}),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * drillClients}},
		told: promised{map[domain.DocumentID]paper{}, map[domain.ConsentID]permission{}, map[domain.AccessID]domain.ConsentID{}, map[domain.ConsentID]int{}},
	}
	d.people.Store(sharedPeople)
	t.Cleanup(d.http.CloseIdleConnections)
	return d
}

// serving is one life of the server.
type serving struct {
	cmd     *exec.Cmd
	address chan string
	url     string // once it is ready
	killed  atomic.Bool
	ended   chan struct{}
	said    []string // good when ended, as err
	err     error
}

// launch starts a server on the directory.
func (d *drill) launch() (*serving, error) { return d.launchIn(d.dir) }

// launchIn starts a server on a directory, with these among its arguments.
func (d *drill) launchIn(dir vault.DataDir, more ...string) (*serving, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &serving{address: make(chan string, 1), ended: make(chan struct{})}
	s.cmd = exec.Command(program, append([]string{"serve", "--dev", "--listen", "127.0.0.1:0", "--data", string(dir)}, more...)...)
	s.cmd.Env = slices.Concat(os.Environ(), d.env, []string{asProgram + "=1"})
	if _, err := s.cmd.StdinPipe(); err != nil { // its end is closed when we end, however
		return nil, err
	}
	words, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.ended)
		defer close(s.address)
		lines := bufio.NewScanner(words)
		for lines.Scan() {
			s.said = append(s.said, lines.Text())
			if found := drillAddress.FindStringSubmatch(lines.Text()); found != nil && len(s.address) == 0 {
				s.address <- found[1]
			}
		}
		s.err = errors.Join(lines.Err(), s.cmd.Wait())
	}()
	d.t.Cleanup(func() {
		s.kill()
		for _, line := range s.said {
			for _, bad := range []string{`"level":"ERROR"`, "DATA RACE", "panic:", "fatal error:"} {
				if strings.Contains(line, bad) {
					d.t.Errorf("the server said:\n%s", strings.Join(s.said, "\n"))
					return
				}
			}
		}
	})
	return s, nil
}

// start launches a server, waits until it is ready and shows it to the clients.
func (d *drill) start(ctx context.Context) (*serving, error) {
	ctx, cancel := context.WithTimeout(ctx, readyIn)
	defer cancel()
	began := time.Now()
	s, err := d.launch()
	if err != nil {
		return nil, err
	}
	if err := d.awaitReady(ctx, s); err != nil {
		return nil, err
	}
	d.longest = max(d.longest, time.Since(began))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = s
	close(d.changed)
	d.changed = make(chan struct{})
	return s, nil
}

// awaitReady returns once the server has said where it is and that it is ready.
func (d *drill) awaitReady(ctx context.Context, s *serving) error {
	select {
	case address, ok := <-s.address:
		if !ok {
			<-s.ended
			return fmt.Errorf("the server ended at its start: %w\n%s", s.err, strings.Join(s.said, "\n"))
		}
		s.url = "http://" + address
	case <-ctx.Done():
		return fmt.Errorf("the server does not start: %w", context.Cause(ctx))
	}
	if err := poll(ctx, func() (bool, time.Time, error) {
		answer, err := d.http.Get(s.url + "/readyz")
		if err != nil {
			return false, time.Time{}, err
		}
		return answer.StatusCode == http.StatusOK, time.Time{}, answer.Body.Close()
	}); err != nil {
		return fmt.Errorf("the server does not become ready: %w", err)
	}
	return nil
}

// kill ends the server as nothing else does, and waits for its end.
func (s *serving) kill() {
	s.killed.Store(true)
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.ended
}

// terminate asks the server to end, which it must do well.
func (s *serving) terminate(ctx context.Context) error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.ended:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.err != nil {
		return fmt.Errorf("the server's end: %w\n%s", s.err, strings.Join(s.said, "\n"))
	}
	return nil
}

// burn waits until so many requests more were sent. The last of them is on its way.
func (d *drill) burn(ctx context.Context, n int) error {
	d.fuse.Store(int64(n))
	select {
	case <-d.blown:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// other returns the server, once it is another than the one that failed.
func (d *drill) other(ctx context.Context, failed *serving) (*serving, error) {
	for {
		d.mu.Lock()
		s, changed := d.now, d.changed
		d.mu.Unlock()
		if s != failed {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

var (
	errLeft = errors.New("the server left") // as it was told to
	errCut  = errors.New("the answer was cut")
)

// call is one request, the same each time it is sent.
type call struct {
	grant         token.Grant
	path, ifMatch string
	body          string
	key           uuid.UUID
	pass          bool // it must be answered now, whatever is away
}

// reply is an answer, whole.
type reply struct {
	status int
	body   []byte
	by     *serving
	later  string // when to come back
}

// ask sends a call until it is answered.
func (d *drill) ask(ctx context.Context, c call) (reply, error) {
	var r reply
	var failed *serving
	c.grant.Scopes = edge.Scopes(c.grant.Role)
	bearer, err := d.key.Mint(c.grant, time.Now(), 12*time.Hour)
	if err != nil {
		return r, err
	}
	err = poll(ctx, func() (bool, time.Time, error) {
		s, err := d.other(ctx, failed)
		if err != nil {
			return false, time.Time{}, err
		}
		if failed != nil {
			d.repeated.Add(1)
		}
		d.sent.Add(1)
		if d.fuse.Add(-1) == 0 {
			d.blown <- struct{}{}
		}
		sent := time.Now()
		r, err = d.send(ctx, s, c, bearer)
		busy := err == nil && (r.status == http.StatusServiceUnavailable || r.status == http.StatusTooManyRequests)
		switch {
		case busy && (r.later == "" || c.pass) && !d.leaving.Load():
			return false, time.Time{}, fmt.Errorf("%s was answered %d, to come back after %q: %s", c.path, r.status, r.later, r.body)
		case busy:
			d.mu.Lock()
			d.waits = append(d.waits, time.Since(sent))
			d.mu.Unlock()
			if d.leaving.Load() && r.status == http.StatusTooManyRequests {
				return false, time.Time{}, errLeft // it would have to come back later, and nobody will be there
			}
			return d.leaving.Load(), time.Time{}, nil
		case err == nil:
			return true, time.Time{}, nil
		case s.killed.Load():
			failed = s
			return false, time.Time{}, nil
		case d.leaving.Load() && !errors.Is(err, errCut):
			return false, time.Time{}, errLeft
		}
		return false, time.Time{}, fmt.Errorf("%s: a living server did not answer: %w", c.path, err)
	})
	return r, err
}

// send sends a call once.
func (d *drill) send(ctx context.Context, s *serving, c call, bearer string) (reply, error) {
	// The body is of no type that net/http would send again by itself.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+contract.Base+c.path, io.NopCloser(strings.NewReader(c.body)))
	if err != nil {
		return reply{}, err
	}
	req.ContentLength = int64(len(c.body))
	if c.body == "" {
		req.Body = nil
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Idempotency-Key", c.key.String())
	if c.ifMatch != "" {
		req.Header.Set("If-Match", c.ifMatch)
	}
	answer, err := d.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return reply{}, errors.Join(errCut, err)
	}
	return reply{answer.StatusCode, body, s, answer.Header.Get("Retry-After")}, nil
}
