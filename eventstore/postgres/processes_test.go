package postgres_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/postgres"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/storetest"
)

// Set in processes that a test starts: the database, and what to do there.
const (
	childDSN  = "COFFRE_TEST_CHILD_DSN"
	childTask = "COFFRE_TEST_CHILD_TASK"
)

const (
	siblings    = 2
	siblingRuns = 60 // appends of one goroutine of a sibling
)

func TestMain(m *testing.M) {
	tasks := map[string]func(context.Context, eventstore.Store, io.Writer) error{"append": appending, "tail": tailing}
	if dsn := os.Getenv(childDSN); dsn != "" {
		ctx := context.Background()
		s, err := postgres.Open(ctx, dsn, postgres.Options{})
		if err == nil {
			fmt.Println("open")
			err = tasks[os.Getenv(childTask)](ctx, s, os.Stdout)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// settle repeats an append, with the same ids, through outages of the server.
func settle(ctx context.Context, s eventstore.Store, b eventstore.Batch) (eventstore.Appended, error) {
	for {
		done, err := s.Append(ctx, b)
		if err == nil || !errors.Is(err, eventstore.ErrUnavailable) && !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			return done, err
		}
		<-time.After(5 * time.Millisecond)
	}
}

// appending appends from many goroutines until it is killed. Each acknowledgement
// goes to out: the position and the batch's ids.
func appending(ctx context.Context, s eventstore.Store, out io.Writer) error {
	var mu sync.Mutex
	failed := make(chan error)
	for i := range 8 {
		go func() {
			for n := 0; ; n++ {
				b := eventstore.Batch{Stream: eventstore.Stream(fmt.Sprintf("consent-%d", (i*7+n)%20)), Expected: eventstore.Any, Records: storetest.Records(1 + (i+n)%4)}
				done, err := settle(ctx, s, b)
				if err != nil {
					failed <- err
					return
				}
				line := fmt.Sprint(done.Position.Commit)
				for _, r := range b.Records {
					line += " " + hex.EncodeToString(r.ID[:])
				}
				mu.Lock()
				fmt.Fprintln(out, line)
				mu.Unlock()
			}
		}()
	}
	return <-failed
}

// tailing appends a number of batches, in streams that its siblings append to as well,
// and tells what it saw of the log until all siblings were done: how many records, and
// a sum over their places and ids.
func tailing(ctx context.Context, s eventstore.Store, out io.Writer) error {
	failed := make(chan error, 9)
	go func() {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for n := range siblingRuns {
					b := eventstore.Batch{Stream: eventstore.Stream(fmt.Sprintf("consent-%d", (i+n)%10)), Expected: eventstore.Any, Records: storetest.Records(1 + n%3)}
					if _, err := s.Append(ctx, b); err != nil {
						failed <- err
						return
					}
				}
			})
		}
		wg.Wait()
		if _, err := s.Append(ctx, eventstore.Batch{Stream: "marker-1", Expected: eventstore.Any, Records: storetest.Records(1)}); err != nil {
			failed <- err
		}
	}()
	sum, count, markers := sha256.New(), uint64(0), 0
	for r, err := range eventstore.Tail(ctx, s, eventstore.Position{}) {
		if err != nil {
			return err
		}
		if count++; r.Position.Commit != count {
			return fmt.Errorf("record %d is at %v", count, r.Position)
		}
		fmt.Fprintln(sum, r.Position.Commit, r.ID)
		if r.Stream == "marker-1" {
			if markers++; markers == siblings {
				break
			}
		}
	}
	select {
	case err := <-failed:
		return err
	default:
	}
	_, err := fmt.Fprintf(out, "saw %d %x\n", count, sum.Sum(nil))
	return err
}

// child is a process with a store of its own.
type child struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func start(t *testing.T, task, dsn string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.CommandContext(t.Context(), exe)}
	c.cmd.Env = append(os.Environ(), childDSN+"="+dsn, childTask+"="+task)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewScanner(out)
	if !c.lines.Scan() || c.lines.Text() != "open" {
		t.Fatalf("the child says %q", c.lines.Text())
	}
	return c
}

// Two processes append to the same streams of one log at the same time: positions are
// dense, nothing is lost, and the tail of each sees everything in the one order.
func TestTwoProcesses(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	var children []*child
	for range siblings {
		children = append(children, start(t, "tail", dsn))
	}
	var saw []string
	for _, c := range children {
		if !c.lines.Scan() {
			t.Fatal("a child saw nothing")
		}
		saw = append(saw, c.lines.Text())
		if err := c.cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	sum, count, perStream := sha256.New(), 0, map[eventstore.Stream]eventstore.Revision{}
	for r, err := range open(t, dsn, postgres.Options{}).ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		if count++; r.Revision != perStream[r.Stream] {
			t.Fatalf("%s@%d where %d is next", r.Stream, r.Revision, perStream[r.Stream])
		}
		perStream[r.Stream]++
		fmt.Fprintln(sum, r.Position.Commit, r.ID)
	}
	if want := siblings * (8*siblingRuns*2 + 1); count != want {
		t.Errorf("%d records, want %d", count, want)
	}
	want := fmt.Sprintf("saw %d %x", count, sum.Sum(nil))
	for i, got := range saw {
		if got != want {
			t.Errorf("process %d %s; in the log: %s", i, got, want)
		}
	}
}

// TestKill kills, at random moments, a process that appends, or the server, while
// another process appends too (scenario R4). What was acknowledged to either must be
// there, in its place, once.
func TestKill(t *testing.T) {
	rounds := 6
	if os.Getenv("COFFRE_SOAK") == "1" {
		rounds = 60
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	server := pgtest.Start(t)
	dsn := server.Database(t)
	told := map[uuid.UUID]uint64{} // by the processes, of the last record of a batch
	for round := range rounds {
		var mu sync.Mutex
		var reading sync.WaitGroup
		children := []*child{start(t, "append", dsn), start(t, "append", dsn)}
		for _, c := range children {
			reading.Go(func() {
				for c.lines.Scan() {
					ids, at := parse(t, c.lines.Text())
					mu.Lock()
					for i, id := range ids {
						told[id] = at - uint64(len(ids)-1-i)
					}
					mu.Unlock()
				}
			})
		}
		moment := func() { <-time.After(time.Duration(50+random.IntN(250)) * time.Millisecond) }
		moment()
		if round%2 == 0 {
			children[0].cmd.Process.Kill()
		} else {
			server.Crash(t)
			moment()
			server.Start(t)
		}
		moment()
		for _, c := range children {
			c.cmd.Process.Kill()
		}
		reading.Wait()
		for _, c := range children {
			if err := c.cmd.Wait(); err == nil || c.cmd.ProcessState.Exited() {
				t.Fatalf("round %d: a process ended by itself: %v", round, err)
			}
		}
	}
	s := open(t, dsn, postgres.Options{})
	there := map[uuid.UUID]uint64{}
	for r, err := range s.ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := there[r.ID]; twice || r.Position.Commit != uint64(len(there)+1) {
			t.Fatalf("record %d is at %v, twice: %t", len(there)+1, r.Position, twice)
		}
		there[r.ID] = r.Position.Commit
	}
	for id, at := range told {
		if there[id] != at {
			t.Fatalf("an acknowledged record of position %d is at %d", at, there[id])
		}
	}
	if len(told) < 100*rounds {
		t.Fatalf("only %d acknowledged records in %d rounds: nothing was killed at work", len(told), rounds)
	}
	if damaged, err := s.Verify(t.Context(), eventstore.Position{}, nil); err != nil || len(damaged) > 0 {
		t.Fatalf("%v, %v", damaged, err)
	}
	t.Logf("%d acknowledged records survived %d kills", len(told), rounds)
}

// parse reads an acknowledgement; one that was cut short in its line is none.
func parse(t *testing.T, line string) (ids []uuid.UUID, at uint64) {
	fields := strings.Fields(line)
	if len(fields) < 2 || len(fields[len(fields)-1]) != 32 {
		return nil, 0
	}
	if _, err := fmt.Sscan(fields[0], &at); err != nil {
		t.Errorf("a child says %q", line)
		return nil, 0
	}
	for _, f := range fields[1:] {
		id, err := uuid.Parse(f)
		if err != nil {
			t.Errorf("a child says %q", line)
			return nil, 0
		}
		ids = append(ids, id)
	}
	return ids, at
}
