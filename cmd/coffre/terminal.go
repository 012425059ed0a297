package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"

	"github.com/go-json-experiment/json"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"coffre/cmd/coffre/vault"
)

// terminal is the input and output of a command: data on Out, words on Err.
type terminal struct {
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
	Getenv  func(string) string // nil: no variable is set
	Environ func() []string     // all variables, NAME=TEXT; nil: none is looked for by another name
	Name    string              // of the program, as it was typed; "": coffre
}

func (t terminal) env(name string) string {
	if t.Getenv == nil {
		return ""
	}
	return t.Getenv(name)
}

// name is how the person types the program.
func (t terminal) name() string {
	if strings.ContainsRune(t.Name, os.PathSeparator) && !strings.ContainsAny(t.Name, " \t\n'\"\\$`*?[]()<>&;|!#~") {
		return t.Name
	}
	return "coffre" // found by the shell, or not to be typed without quotes
}

// isTerminal reports whether a person is at the other end of a reader or writer.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Colours, in the numbers of ECMA-48.
const (
	bold  = "1"
	red   = "31"
	green = "32"
	faint = "2"
)

// colour returns s in that colour when w is a person's terminal and they did not
// ask for none (no-color.org).
func (t terminal) colour(w io.Writer, colour, s string) string {
	if t.env("NO_COLOR") != "" || t.env("TERM") == "dumb" || !isTerminal(w) {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// printable returns s without what could steer a terminal or hide text in it:
// control and format characters of Unicode. A line feed or tab becomes a space.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029', r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
}

// printJSON writes v as one line of JSON on Out, with what could steer a terminal escaped.
func (t terminal) printJSON(v any) error {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	var out strings.Builder
	for _, r := range string(b) {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&out, `\u%04x`, unit)
			}
		} else {
			out.WriteRune(r)
		}
	}
	out.WriteByte('\n')
	_, err = io.WriteString(t.Out, out.String())
	return err
}

// table is rows of text under headings, for people.
type table struct {
	w    *tabwriter.Writer
	rows int
}

func (t terminal) table(headings ...string) *table {
	tb := &table{w: tabwriter.NewWriter(t.Out, 0, 0, 2, ' ', 0)}
	tb.row(headings...)
	tb.rows = 0
	return tb
}

func (tb *table) row(cells ...string) {
	tb.rows++
	for i, c := range cells {
		cells[i] = printable(c)
		if c == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(tb.w, strings.Join(cells, "\t")) // Flush tells of any error
}

func (tb *table) flush() error { return tb.w.Flush() }

// facts prints what is known of one thing, a line for each fact that is there.
func (t terminal) facts(pairs ...string) error {
	w := tabwriter.NewWriter(t.Out, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", pairs[i], printable(pairs[i+1])) // Flush tells of any error
		}
	}
	return w.Flush()
}

// progress is a bar on Err, for a person who waits. Without a terminal it is
// nothing.
type progress struct{ bar *progressbar.ProgressBar }

// progress starts a bar of total units, -1 when that is not known; bytes tells
// that the units are bytes.
func (t terminal) progress(total int64, what string, bytes bool) progress {
	if !isTerminal(t.Err) || t.env("TERM") == "dumb" {
		return progress{}
	}
	return progress{progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(t.Err),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100_000_000), // 0.1 s
		progressbar.OptionFullWidth(),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionEnableColorCodes(false),
	)}
}

// bars is progress for whoever knows nothing of a terminal.
func (t terminal) bars(total int64, what string, bytes bool) vault.Bar {
	return t.progress(total, what, bytes)
}

// Add moves the bar by n units.
func (p progress) Add(n int64) {
	if p.bar != nil {
		_ = p.bar.Add64(n) // a bar that cannot be drawn is no reason to stop
	}
}

// clear takes the bar off the screen, so that a line can be written; it comes
// back with the next add.
func (p progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

// Done takes the bar away.
func (p progress) Done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
