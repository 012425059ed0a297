package sqlite_test

import (
	"bufio"
	"context"
	"encoding/hex"
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
	"coffre/eventstore/sqlite"
	"coffre/eventstore/storetest"
)

// childDir is set in the process that TestKill kills.
const childDir = "COFFRE_TEST_APPENDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := appender(dir, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// appender appends from many goroutines until it is killed. Each acknowledgement
// goes to out after the store gave it: position, size of the batch and its ids.
func appender(dir string, out io.Writer) error {
	s, err := sqlite.Open(context.Background(), dir, sqlite.Options{})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "open")
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for n := 0; ; n++ {
				records := storetest.Records(1 + (i+n)%4)
				done, err := s.Append(context.Background(), eventstore.Batch{
					Stream: eventstore.Stream(fmt.Sprintf("consent-%d", (i*7+n)%40)), Expected: eventstore.Any, Records: records,
				})
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				var line strings.Builder
				fmt.Fprintf(&line, "%d", done.Position.Commit)
				for _, r := range records {
					line.WriteString(" " + hex.EncodeToString(r.ID[:]))
				}
				mu.Lock()
				fmt.Fprintln(out, line.String())
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return nil
}

// TestKill kills a process that appends, at a random moment, again and again on one
// directory (scenario R4). What was acknowledged must be there, in its place, once
// (I1, I2), batches whole, order dense, and everything must verify (I4).
func TestKill(t *testing.T) {
	rounds := 8
	if os.Getenv("COFFRE_SOAK") == "1" {
		rounds = 200
	}
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	dir := t.TempDir()
	var read eventstore.Position // verified in earlier rounds
	total := 0
	for round := range rounds {
		acks := killOne(t, dir, time.Duration(5+random.IntN(200))*time.Millisecond)
		s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		there := map[uuid.UUID]eventstore.Position{}
		next := read.Commit + 1
		for r, err := range s.ReadAll(t.Context(), read, 1<<30) {
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if _, twice := there[r.ID]; twice || r.Position.Commit != next {
				t.Fatalf("round %d: record %d is at %v, twice: %t", round, next, r.Position, twice)
			}
			there[r.ID] = r.Position
			next++
			read = r.Position
		}
		for _, a := range acks {
			for i, id := range a.ids {
				want := a.position - uint64(len(a.ids)-1-i)
				if there[id].Commit != want {
					t.Fatalf("round %d: an acknowledged record of position %d is at %v", round, want, there[id])
				}
			}
		}
		total += len(acks)
		if damaged, err := s.Verify(t.Context(), eventstore.Position{}, nil); err != nil || len(damaged) > 0 {
			t.Fatalf("round %d: %v, %v", round, damaged, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if total < rounds {
		t.Fatalf("only %d acknowledgements in %d rounds: nothing was killed at work", total, rounds)
	}
	t.Logf("%d acknowledgements survived %d kills", total, rounds)
}

type ack struct {
	position uint64
	ids      []uuid.UUID
}

// killOne runs an appender for a while after it has opened the log, kills it, and
// returns what it had acknowledged.
func killOne(t *testing.T, dir string, after time.Duration) []ack {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), exe)
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "open\n" {
		t.Fatalf("the appender says %q, %v", line, err)
	}
	timer := time.AfterFunc(after, func() { child.Process.Kill() })
	defer timer.Stop()
	var acks []ack
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // the last line may be cut; it was acknowledged all the same, but nobody read it
		}
		acks = append(acks, parse(t, line))
	}
	if err := child.Wait(); err == nil || child.ProcessState.Exited() {
		t.Fatalf("the appender ended by itself: %v", err)
	}
	return acks
}

func parse(t *testing.T, line string) (a ack) {
	t.Helper()
	fields := strings.Fields(line)
	if _, err := fmt.Sscan(fields[0], &a.position); err != nil {
		t.Fatal(err)
	}
	for _, f := range fields[1:] {
		a.ids = append(a.ids, uuid.MustParse(f))
	}
	return a
}
