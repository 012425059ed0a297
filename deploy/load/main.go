// Command loadplot reads what k6 wrote of every request (--out csv) and when processes were
// killed, draws both over time as SVG, and tells in how many seconds the slowest hundredth of the
// requests was as before after each kill.
package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"io"
	"os"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// Requests of a kind are metrics of launch.js: one value, in milliseconds, when each was answered.
const answeredIn = "whole"

// backWithin is how many times what it was before is still "as before".
const backWithin = 1.5

// leastSlow is what is never called slow, in milliseconds: below it, a second's slowest
// hundredth, which is a few requests, says more of the machine than of the vault.
const leastSlow = 50

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "loadplot:", err)
		os.Exit(1)
	}
}

// Report is what the run was like.
type Report struct {
	Seconds     int     `json:"seconds"`
	Requests    int     `json:"requests"`
	MedianP50   float64 `json:"p50"`           // milliseconds, median of the seconds before the first kill
	MedianP99   float64 `json:"p99"`           // the same of the slowest hundredth
	Kills       []int   `json:"kills"`         // seconds from the start
	BackIn      []int   `json:"backIn"`        // seconds after each kill until a second's p99 was as before
	SlowestBack int     `json:"slowestBackIn"` // the most of them
}

func run() error {
	from := flag.String("csv", "", "what k6 wrote with --out csv=FILE")
	kills := flag.String("kills", "", "file with the moment of each kill, seconds since 1970, one a line")
	to := flag.String("svg", "", "the drawing")
	title := flag.String("title", "", "what is drawn")
	skip := flag.Int("skip", 0, "seconds at the start that are not \"before\": the ramp")
	flag.Parse()
	if *from == "" || *to == "" {
		return errors.New("--csv and --svg are needed")
	}
	bySecond, first, err := readTrend(*from)
	if err != nil {
		return err
	}
	at, err := readMoments(*kills)
	if err != nil {
		return err
	}
	r := judge(bySecond, first, at, *skip)
	if err := draw(bySecond, r, *title, *to); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// readTrend returns the times of requests by the second they were answered in.
func readTrend(name string) (bySecond map[int64][]float64, first int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	lines := csv.NewReader(f)
	lines.FieldsPerRecord = -1
	header, err := lines.Read()
	if err != nil {
		return nil, 0, err
	}
	metric, when, value := slices.Index(header, "metric_name"), slices.Index(header, "timestamp"), slices.Index(header, "metric_value")
	if metric < 0 || when < 0 || value < 0 {
		return nil, 0, fmt.Errorf("%s has no columns metric_name, timestamp and metric_value", name)
	}
	bySecond = map[int64][]float64{}
	for {
		line, err := lines.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		if line[metric] != answeredIn {
			continue
		}
		second, err := strconv.ParseInt(line[when], 10, 64)
		if err != nil {
			return nil, 0, err
		}
		took, err := strconv.ParseFloat(line[value], 64)
		if err != nil {
			return nil, 0, err
		}
		bySecond[second] = append(bySecond[second], took)
		if first == 0 || second < first {
			first = second
		}
	}
	if len(bySecond) == 0 {
		return nil, 0, fmt.Errorf("%s has no line of %s", name, answeredIn)
	}
	return bySecond, first, nil
}

func readMoments(name string) (all []int64, err error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for {
		var at int64
		if _, err := fmt.Fscan(f, &at); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, at)
	}
}

// quantile returns the q-th part of values, which it sorts.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}

func judge(bySecond map[int64][]float64, first int64, kills []int64, skip int) Report {
	r := Report{Kills: []int{}, BackIn: []int{}}
	last := first
	for second, all := range bySecond {
		last = max(last, second)
		r.Requests += len(all)
	}
	r.Seconds = int(last-first) + 1
	before := last + 1
	if len(kills) > 0 {
		before = kills[0]
	}
	var p50, p99 []float64
	for second := first + int64(skip); second < before; second++ {
		if all := bySecond[second]; len(all) > 0 {
			p50, p99 = append(p50, quantile(all, 0.5)), append(p99, quantile(all, 0.99))
		}
	}
	r.MedianP50, r.MedianP99 = quantile(p50, 0.5), quantile(p99, 0.5)
	normal := max(leastSlow, backWithin*r.MedianP99)
	for i, kill := range kills {
		end := last
		if i+1 < len(kills) {
			end = min(end, kills[i+1]-1)
		}
		// The last slow second after the kill, in which nothing else was killed.
		back := 0
		for second := kill; second <= end; second++ {
			if quantile(bySecond[second], 0.99) > normal {
				back = int(second-kill) + 1
			}
		}
		r.Kills, r.BackIn = append(r.Kills, int(kill-first)), append(r.BackIn, back)
		r.SlowestBack = max(r.SlowestBack, back)
	}
	return r
}

func draw(bySecond map[int64][]float64, r Report, title, to string) error {
	p := plot.New()
	p.Title.Text = title
	p.X.Label.Text = "seconds"
	p.Y.Label.Text = "milliseconds from the first try to the last answer"
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.LogTicks{Prec: -1}
	first := int64(0)
	for second := range bySecond {
		if first == 0 || second < first {
			first = second
		}
	}
	for _, q := range []struct {
		name string
		part float64
		ink  color.Color
	}{{"half of the requests", 0.5, color.RGBA{R: 0x1f, G: 0x6f, B: 0xb4, A: 0xff}}, {"99 of 100", 0.99, color.RGBA{R: 0xb4, G: 0x3a, B: 0x1f, A: 0xff}}} {
		var points plotter.XYs
		for s := range r.Seconds {
			if all := bySecond[first+int64(s)]; len(all) > 0 {
				points = append(points, plotter.XY{X: float64(s), Y: max(0.5, quantile(all, q.part))})
			}
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return err
		}
		line.Color, line.Width = q.ink, vg.Points(1)
		p.Add(line)
		p.Legend.Add(q.name, line)
	}
	_, _, least, most := plotter.XYRange(pointsOf(bySecond, first, r.Seconds))
	for i, kill := range r.Kills {
		line, err := plotter.NewLine(plotter.XYs{{X: float64(kill), Y: max(0.5, least)}, {X: float64(kill), Y: max(1, most)}})
		if err != nil {
			return err
		}
		line.Color, line.Dashes = color.Gray{Y: 0x80}, []vg.Length{vg.Points(3), vg.Points(3)}
		p.Add(line)
		if i == 0 {
			p.Legend.Add("a process killed", line)
		}
	}
	p.Legend.Top = true
	return p.Save(20*vg.Centimeter, 9*vg.Centimeter, to)
}

// pointsOf returns the slowest hundredth of each second.
func pointsOf(bySecond map[int64][]float64, first int64, seconds int) (all plotter.XYs) {
	for s := range seconds {
		if values := bySecond[first+int64(s)]; len(values) > 0 {
			all = append(all, plotter.XY{X: float64(s), Y: quantile(values, 0.99)})
		}
	}
	return all
}
