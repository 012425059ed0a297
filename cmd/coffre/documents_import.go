package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// How an import asks.
const (
	inFlight  = 8                // requests at a time
	maxLine   = edge.MaxBody     // bytes
	retries   = 8                // of one line, when the vault is busy or away
	firstWait = time.Second / 4  // before the first of them; it doubles
	lastWait  = 30 * time.Second // at most, whatever the vault asks for
)

func newDocumentsImport(p *program) *cobra.Command {
	var at where
	var org string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "import FILE...", Short: "Issue documents from files with one request a line",
		Long: `Each line is the body of POST /vault/v1/documents; - is standard input. Eight requests are
under way at a time, those about one citizen in the order of their lines. An import that was
interrupted is begun again with the same files: what is there already is counted as unchanged
and nothing is recorded. Each refused line is told on standard error with its number and the
reason, never with what it says. A data directory that is not there is made, and said.`,
		Example: `  coffre documents import --data data cards.jsonl
  zcat cards.jsonl.gz | coffre documents import --data data -
  coffre documents import --url https://vault.example --token-file issuer.token --json cards.jsonl licences.jsonl`,
		Args: takes("FILE..."),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			g, err := asIssuer(org)
			if err != nil {
				return err
			}
			for _, name := range args { // before a vault is made for them
				if _, err := os.Stat(name); name != "-" && err != nil {
					return fmt.Errorf("%s: %w", name, files.Cause(err))
				}
			}
			v, err := p.connect(cmd.Context(), at, true)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, v.close()) }()
			i := &importer{p: p, c: v.as(g), asJSON: asJSON, many: len(args) > 1}
			for _, name := range args {
				if err = i.file(cmd.Context(), name); err != nil {
					break
				}
			}
			return errors.Join(err, i.summary(err == nil))
		},
	}
	at.flags(cmd)
	orgFlag(cmd, &org)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// importer issues what lies in files, a document a line.
type importer struct {
	p      *program
	c      *client.Client
	asJSON bool
	many   bool // files; then a line is told with its file

	mu                                sync.Mutex
	bar                               progress
	lines, issued, unchanged, refused int
}

// line is a line of a file that is imported.
type line struct {
	file   string
	number int
	body   []byte
}

func (i *importer) file(ctx context.Context, name string) (err error) {
	in, size := i.p.In, int64(-1)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, files.Cause(err))
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
		in = f
	}
	i.bar = i.p.progress(size, name, true)
	defer i.bar.Done()

	group, ctx := errgroup.WithContext(ctx)
	// Lines about one citizen go to one worker, so they keep their order.
	var workers [inFlight]chan line
	for n := range workers {
		workers[n] = make(chan line, 4)
		group.Go(func() error {
			for l := range workers[n] {
				if err := i.issue(ctx, l); err != nil {
					return err
				}
			}
			return nil
		})
	}
	seed := maphash.MakeSeed()
	group.Go(func() error {
		defer func() {
			for _, w := range workers {
				close(w)
			}
		}()
		return i.read(name, in, func(l line) error {
			var of struct {
				SSIN string `json:"ssin"`
			}
			_ = json.Unmarshal(l.body, &of) // what cannot be read is refused by the vault
			select {
			case workers[maphash.String(seed, of.SSIN)%inFlight] <- l:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	return group.Wait()
}

// read calls each with every line that is not empty. A line that is too long is
// refused without being held in memory.
func (i *importer) read(name string, in io.Reader, each func(line) error) error {
	r := bufio.NewReaderSize(in, maxLine+1)
	for number := 1; ; number++ {
		b, err := r.ReadSlice('\n')
		i.advance(len(b))
		tooLong := false
		for errors.Is(err, bufio.ErrBufferFull) {
			tooLong = true
			b, err = r.ReadSlice('\n')
			i.advance(len(b))
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", name, files.Cause(err))
		}
		if number == 1 {
			b = bytes.TrimPrefix(b, []byte(files.ByteOrderMark)) // which editors and spreadsheets put there
		}
		body := bytes.TrimSpace(b)
		switch l := (line{file: name, number: number}); {
		case tooLong:
			i.refuse(l, &client.Refusal{Problem: contract.Problem{
				Type: "urn:problem-type:belgif:payloadTooLarge", Detail: fmt.Sprintf("a line has at most %d bytes", maxLine),
			}})
		case len(body) > 0:
			l.body = bytes.Clone(body)
			if err := each(l); err != nil {
				return err
			}
		}
		if err != nil {
			return nil // the end
		}
	}
}

func (i *importer) advance(n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.bar.Add(int64(n))
}

// issue sends one line until the vault says yes or no.
func (i *importer) issue(ctx context.Context, l line) error {
	// Random, not made from the line: the vault keeps keys in clear, and a hash of
	// personal data must not lie there. Sending a line again in another run finds the
	// document that is there (rule D-4).
	params := contract.IssueDocumentParams{IdempotencyKey: uuid.New()}
	wait := firstWait
	for try := 0; ; try++ {
		r, err := client.Read[contract.DocumentReceipt](i.c.IssueDocumentLine(ctx, params, l.body))
		if err == nil {
			i.count(r.Status)
			return nil
		}
		again, after := worthAgain(err)
		if !again || try == retries || ctx.Err() != nil {
			var no *client.Refusal
			if errors.As(err, &no) && no.Status < 500 && no.Status != 401 && no.Status != 429 {
				i.refuse(l, no)
				return nil
			}
			return fmt.Errorf("line %d: %w", l.number, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(max(wait, after), lastWait)):
		}
		wait *= 2
	}
}

// worthAgain reports whether the same request may be answered otherwise in a
// while, and how long the vault asks to wait.
func worthAgain(err error) (bool, time.Duration) {
	var no *client.Refusal
	if !errors.As(err, &no) {
		return true, 0 // no answer; the same key settles what became of it
	}
	return no.Status == 429 || no.Status == 503 || no.Slug() == "requestInFlight", no.RetryAfter
}

func (i *importer) count(status int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lines++
	if status == 200 {
		i.unchanged++
	} else {
		i.issued++
	}
}

// refused is a refused line as --json prints it.
type refused struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line"`
	Type   string `json:"type"`
	Detail string `json:"detail"`
}

func (i *importer) refuse(l line, no *client.Refusal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lines++
	i.refused++
	i.bar.clear()
	place := fmt.Sprintf("line %d", l.number)
	if i.many {
		place = l.file + " " + place
	}
	// The vault's words never repeat a value of the request.
	detail := strings.TrimPrefix(no.Error(), no.Slug()+": ")
	fmt.Fprintf(i.p.Err, "%s: refused: %s: %s\n", printable(place), printable(no.Type), printable(detail))
	if i.asJSON {
		_ = i.p.printJSON(refused{File: l.file, Line: l.number, Type: no.Type, Detail: detail}) // the summary tells of a broken output
	}
}

// summary says what came of the lines; a finished import of which some were
// refused has an exit code of its own.
func (i *importer) summary(finished bool) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	var err error
	if i.asJSON {
		err = i.p.printJSON(map[string]int{"lines": i.lines, "issued": i.issued, "unchanged": i.unchanged, "refused": i.refused})
	} else {
		_, err = fmt.Fprintf(i.p.Out, "%d lines: %d issued, %d unchanged, %d refused\n", i.lines, i.issued, i.unchanged, i.refused)
	}
	if err == nil && finished && i.refused > 0 {
		return &exitError{code: exitRefused}
	}
	return err
}
