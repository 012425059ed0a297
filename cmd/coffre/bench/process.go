package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// sizes is T7.
func (b *bench) sizes(ctx context.Context) error {
	return errors.Join(b.bytesPerEvent(ctx), b.residentMemory(ctx))
}

// residentMemory serves from a process of its own and loads it as T2 does.
func (b *bench) residentMemory(ctx context.Context) (err error) {
	dir, err := b.folder("T7-serve")
	if err != nil {
		return err
	}
	p, err := startServing(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	key, err := token.OpenDevKey(dir.File(vault.DevKeyFile))
	if err != nil {
		return err
	}
	bearer, err := key.Mint(token.Grant{Role: domain.RoleIssuer, Organisation: issuerNumber, Scopes: edge.Scopes(domain.RoleIssuer)}, time.Now(), time.Hour)
	if err != nil {
		return err
	}
	known := issuer{bearer: bearer}
	if _, err := load(ctx, callers, time.Duration(b.Rounds)*b.span, func(ctx context.Context, caller int) error {
		return known.issue(ctx, p.site, caller)
	}); err != nil {
		return err
	}
	most, err := peakMemory(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	return b.tell(Measure{Name: "T7.rss", Value: float64(most) / (1 << 20), Unit: "MiB", Target: "<= 160"})
}

// peakMemory is the most a process had resident, as Linux tells it.
func peakMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of a process is known on Linux only: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if kib, is := strings.CutPrefix(line, "VmHWM:"); is {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kib), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("the system does not tell a process's memory")
}

// forgetPeak has peakMemory tell of what a process held from now on.
func forgetPeak(pid int) error {
	// The number is of proc(5): it resets the peak of the resident set alone.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("the peak of a process's memory is not forgotten: %w", err)
	}
	return nil
}

// process is this program, serving a directory.
type process struct {
	cmd  *exec.Cmd
	site *site
	took time.Duration // from its start until it was ready for requests
	text chan error    // what it said was read to its end
	said lastWords
}

// lastWords is the end of what a process said, for whoever must find out why it ended. It is read
// once all was said.
type lastWords []byte

const keptWords = 256 << 10 // bytes: a panic with all goroutines

func (w *lastWords) Write(p []byte) (int, error) {
	all := append(*w, p...)
	*w = all[max(0, len(all)-keptWords):]
	return len(p), nil
}

var servedAddress = regexp.MustCompile(`http://(127\.0\.0\.1:[0-9]+)`)

// startServing starts one, with that in its environment.
func startServing(ctx context.Context, dir vault.DataDir, env ...string) (_ *process, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, program, "serve", "--dev", "--listen", "127.0.0.1:0", "--data", string(dir)), text: make(chan error, 1)}
	p.cmd.Env = append(withoutVault(), env...)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(os.Interrupt) }
	words, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.stop())
		}
	}()
	address := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(io.TeeReader(words, &p.said))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if found := servedAddress.FindStringSubmatch(lines.Text()); found != nil && len(address) == 0 {
				address <- found[1]
			}
		}
		close(address)
		p.text <- lines.Err()
	}()
	served, ok := <-address
	if !ok {
		return nil, errors.New("the server ended at its start")
	}
	p.site = at(served)
	ready := strings.TrimSuffix(p.site.url, contract.Base) + "/readyz"
	err = until(ctx, 5*time.Millisecond, func() (bool, error) {
		answer, err := p.site.client.Get(ready)
		if err != nil {
			return false, err
		}
		_ = answer.Body.Close() // it was not read
		return answer.StatusCode == http.StatusOK, nil
	})
	p.took = time.Since(began)
	return p, err
}

// until asks at once and then so often until the answer is yes, an error or the end of ctx.
func until(ctx context.Context, every time.Duration, ask func() (bool, error)) error {
	look := time.NewTicker(every)
	defer look.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stop ends the server as Ctrl-C does.
func (p *process) stop() error {
	if p.site != nil {
		p.site.client.CloseIdleConnections()
	}
	err := p.cmd.Process.Signal(os.Interrupt)
	if err := errors.Join(err, <-p.text, p.cmd.Wait()); err != nil {
		return fmt.Errorf("the server did not end well: %w; it said:\n%s", err, p.said)
	}
	return nil
}

// starts is T20.
func (b *bench) starts(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	info, err := os.Stat(program)
	if err != nil {
		return err
	}
	if err := b.tell(Measure{Name: "T20.binary", Value: float64(info.Size()) / 1e6, Unit: "MB", Target: "<= 50"}); err != nil {
		return err
	}
	n := 0
	empty, err := b.repeat(ctx, "T20", func(ctx context.Context) (pace, error) {
		n++
		dir, err := b.folder(fmt.Sprintf("T20-%d", n))
		if err != nil {
			return pace{}, err
		}
		return b.startTime(ctx, dir)
	})
	if err != nil {
		return err
	}
	if err := b.tell(Measure{Name: "T20.startEmpty", Value: empty, Unit: "s", Target: "<= 0.2"}); err != nil {
		return err
	}
	if err := b.startLarge(ctx); err != nil || !b.Full {
		return err
	}
	return b.build(ctx)
}

// startTime starts a server, ends it, and returns how many seconds passed until it
// was ready.
func (b *bench) startTime(ctx context.Context, dir vault.DataDir) (pace, error) {
	p, err := startServing(ctx, dir)
	if err != nil {
		return pace{}, err
	}
	return pace{p.took.Seconds(), 1}, p.stop()
}

// startLarge starts on the large vault, whose read models exist.
func (b *bench) startLarge(ctx context.Context) error {
	dir, err := b.large(ctx)
	if err != nil {
		return err
	}
	v, err := vault.Open(ctx, dir, vault.Options{}) // once, so that the read models are built
	if err != nil {
		return err
	}
	if err := errors.Join(v.Runner.CatchUp(ctx), v.Close()); err != nil {
		return err
	}
	took, err := b.repeat(ctx, "T20", func(ctx context.Context) (pace, error) { return b.startTime(ctx, dir) })
	if err != nil {
		return err
	}
	return b.tell(Measure{Name: "T20.start" + b.largeName(), Value: took, Unit: "s", Target: "<= 0.5"})
}

// build compiles the program with an empty build cache, as `make build` does.
func (b *bench) build(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join("cmd", "coffre", "main.go")); err != nil {
		_, err := fmt.Fprintln(b.Err, "T20.build: not measured, the sources are not in this directory")
		return err
	}
	cache, err := b.folder("gocache")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "grpcnotrace", "-trimpath", "-ldflags", "-s -w", "-o", cache.File("coffre"), "./cmd/coffre")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOCACHE="+string(cache), "GOPROXY=off", "GOFLAGS=-mod=mod")
	cmd.Stderr = b.Err
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	return b.tell(Measure{Name: "T20.build", Value: time.Since(began).Seconds(), Unit: "s", Target: "<= 120"})
}
