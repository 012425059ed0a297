package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// turnsEach is how often each of two programs measures, in turns.
const turnsEach = 3

// Versus measures the targets of those names, or all, with another program of the same
// command and with this one, in turns, and tells each figure that both have: the other
// program's is the baseline. Of a value, ratio and processor time it takes the medians.
func Versus(ctx context.Context, other string, o Options, only []string) error {
	this, err := os.Executable()
	if err != nil {
		return err
	}
	b := &bench{Options: o}
	var turns [turnsEach][2]map[string]Measure
	var names []string
	for turn := range turns {
		for i, program := range []string{other, this} {
			found, err := b.figures(ctx, program, only)
			if err != nil {
				return fmt.Errorf("%s: %w", program, err)
			}
			if turns[turn][i] = map[string]Measure{}; turn == 0 && i == 1 {
				names = measureNames(found)
			}
			for _, m := range found {
				turns[turn][i][m.Name] = m
			}
		}
	}
	for _, name := range names {
		if m, both := versus(name, turns[:]); both {
			if err := b.tell(m); err != nil {
				return err
			}
		}
	}
	return nil
}

func measureNames(all []Measure) (names []string) {
	for _, m := range all {
		names = append(names, m.Name)
	}
	return names
}

// versus returns what the turns say of one figure; both is false unless each of them has it.
func versus(name string, turns [][2]map[string]Measure) (_ Measure, both bool) {
	var values, processor [2][]float64
	var ratios []float64
	m := Measure{Name: name, Baseline: "by the other program"}
	for _, turn := range turns {
		for i := range turn {
			got, has := turn[i][name]
			if !has {
				return Measure{}, false
			}
			m.Unit = got.Unit
			values[i], processor[i] = append(values[i], got.Value), append(processor[i], got.ProcessorMicros)
		}
		ratios = append(ratios, turn[1][name].Value/turn[0][name].Value)
	}
	m.BaselineValue, m.Value, m.Ratio = median(values[0]), median(values[1]), median(ratios)
	m.BaselineProcessorMicros, m.ProcessorMicros = median(processor[0]), median(processor[1])
	return m, true
}

// figures runs one program and returns what it measured.
func (b *bench) figures(ctx context.Context, program string, only []string) (all []Measure, err error) {
	args := []string{"bench", "--json", "--rounds", strconv.Itoa(b.Rounds), "--dir", b.Dir}
	if len(only) > 0 {
		args = append(args, "--only", strings.Join(only, ","))
	}
	if b.Postgres != "" {
		args = append(args, "--postgres", b.Postgres)
	}
	if b.Full {
		args = append(args, "--full")
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that it removes its directory
	cmd.Stderr = b.Err
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var m Measure
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("a line that is no measure: %w", err)
		}
		all = append(all, m)
	}
	return slices.Clip(all), nil
}
