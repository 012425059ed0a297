// Command loadplot reads what k6 wrote of every request (--out csv), when processes were killed and
// how much memory they had, draws that over time as SVG, and tells in how many seconds the slowest
// hundredth of the requests was as before after each kill, how many requests a second were answered
// before answers became slow, and by how much memory grew.
package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/stat"
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

// Answers have become slow when a second's slowest hundredth takes as many milliseconds, and again in
// each of so many seconds after it.
const (
	bent    = 250
	bentFor = 5
)

// warm is how many seconds at the start say nothing of how memory grows: caches fill.
const warm = 60

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
	BendsAt     int     `json:"bendsAt"`       // requests answered in the second before answers became slow; 0: they never did
	Kills       []int   `json:"kills"`         // seconds from the start
	BackIn      []int   `json:"backIn"`        // seconds after each kill until a second's p99 was as before
	SlowestBack int     `json:"slowestBackIn"` // the most of them
	// The slowest hundredth of all requests before the first kill, and of those answered in the first
	// five seconds after any, the next five and so on; a second alone has few.
	Before     float64   `json:"p99Before"`
	AfterKills []float64 `json:"p99AfterKills"`
	// What the processes had, each, that were there all the time; none of those that were killed.
	Processes []Process `json:"processes"`
}

// Process is how the memory of a process grew.
type Process struct {
	Number      int     `json:"process"`
	Most        float64 `json:"mostMiB"`
	Growth      float64 `json:"growthMiBIn10Minutes"` // the slope of the line nearest to all samples after the first minute
	Descriptors [2]int  `json:"descriptors"`          // at the end of the first minute, and at the end
}

// sample is what a process had at one moment.
type sample struct {
	second      int64
	mebibytes   float64
	descriptors int
}

func run() error {
	from := flag.String("csv", "", "what k6 wrote with --out csv=FILE")
	kills := flag.String("kills", "", "file with the moment of each kill, seconds since 1970, one a line")
	to := flag.String("svg", "", "the drawing")
	title := flag.String("title", "", "what is drawn")
	skip := flag.Int("skip", 0, "seconds at the start that are not \"before\": the ramp")
	processes := flag.String("processes", "", "file with lines second,process,kilobytes,descriptors")
	memory := flag.String("memory", "", "the drawing of the processes' memory; none unless said")
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
	samples, err := readSamples(*processes)
	if err != nil {
		return err
	}
	if *memory != "" && len(at) == 0 {
		r.Processes = grown(samples)
	}
	if err := draw(bySecond, r, *title, *to); err != nil {
		return err
	}
	if *memory != "" {
		if err := drawMemory(samples, first, *title, *memory); err != nil {
			return err
		}
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

// readSamples returns what the processes had, by their number, in the order of time.
func readSamples(name string) (map[int][]sample, error) {
	all := map[int][]sample{}
	if name == "" {
		return all, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, line := range lines[min(1, len(lines)):] {
		var n [4]int64
		for i := range n {
			if n[i], err = strconv.ParseInt(line[i], 10, 64); err != nil {
				return nil, err
			}
		}
		all[int(n[1])] = append(all[int(n[1])], sample{n[0], float64(n[2]) / 1024, int(n[3])})
	}
	return all, nil
}

// grown tells how much each process's memory grew after the first minute.
func grown(all map[int][]sample) []Process {
	found := []Process{}
	for _, number := range slices.Sorted(maps.Keys(all)) {
		p := Process{Number: number}
		var x, y []float64
		for _, s := range all[number] {
			p.Most = max(p.Most, s.mebibytes)
			if s.second < all[number][0].second+warm {
				continue
			}
			if len(x) == 0 {
				p.Descriptors[0] = s.descriptors
			}
			p.Descriptors[1] = s.descriptors
			x, y = append(x, float64(s.second)), append(y, s.mebibytes)
		}
		if len(x) > 1 {
			_, slope := stat.LinearRegression(x, y, nil, false)
			p.Growth = math.Round(slope*6000) / 10
		}
		p.Most = math.Round(p.Most)
		found = append(found, p)
	}
	return found
}

// drawMemory draws the memory of each process.
func drawMemory(all map[int][]sample, first int64, title, to string) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "seconds", "MiB in memory"
	p.Y.Min = 0
	inks := []color.Color{color.RGBA{R: 0x1f, G: 0x6f, B: 0xb4, A: 0xff}, color.RGBA{R: 0xb4, G: 0x3a, B: 0x1f, A: 0xff}, color.RGBA{R: 0x3f, G: 0x8f, B: 0x3f, A: 0xff}}
	for i, number := range slices.Sorted(maps.Keys(all)) {
		var points plotter.XYs
		for _, s := range all[number] {
			points = append(points, plotter.XY{X: float64(s.second - first), Y: s.mebibytes})
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return err
		}
		line.Color, line.Width = inks[i%len(inks)], vg.Points(1)
		p.Add(line)
		p.Legend.Add(fmt.Sprintf("process %d", number), line)
	}
	return p.Save(20*vg.Centimeter, 9*vg.Centimeter, to)
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
	r := Report{Kills: []int{}, BackIn: []int{}, AfterKills: []float64{}, Processes: []Process{}}
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
	var p50, p99, calm []float64
	for second := first + int64(skip); second < before; second++ {
		if all := bySecond[second]; len(all) > 0 {
			calm = append(calm, all...)
			p50, p99 = append(p50, quantile(all, 0.5)), append(p99, quantile(all, 0.99))
		}
	}
	r.MedianP50, r.MedianP99 = quantile(p50, 0.5), quantile(p99, 0.5)
	r.Before = quantile(calm, 0.99)
	slow := 0
	for second := first + int64(skip); second <= last && r.BendsAt == 0; second++ {
		if all := bySecond[second]; len(all) > 0 && quantile(all, 0.99) > bent {
			slow++
		} else {
			slow = 0
		}
		if slow > bentFor {
			r.BendsAt = len(bySecond[second-bentFor-1])
		}
	}
	normal := max(leastSlow, backWithin*r.MedianP99)
	var after [4][]float64
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
			if n := int(second-kill) / 5; n < len(after) {
				after[n] = append(after[n], bySecond[second]...)
			}
		}
		r.Kills, r.BackIn = append(r.Kills, int(kill-first)), append(r.BackIn, back)
		r.SlowestBack = max(r.SlowestBack, back)
	}
	if len(kills) > 0 {
		for _, all := range after {
			r.AfterKills = append(r.AfterKills, quantile(all, 0.99))
		}
	}
	return r
}

func draw(bySecond map[int64][]float64, r Report, title, to string) error {
	p := plot.New()
	p.Title.Text = title
	p.X.Label.Text = "seconds"
	p.Y.Label.Text = "milliseconds, requests"
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
	}{{"ms, half of the requests", 0.5, color.RGBA{R: 0x1f, G: 0x6f, B: 0xb4, A: 0xff}}, {"ms, 99 of 100", 0.99, color.RGBA{R: 0xb4, G: 0x3a, B: 0x1f, A: 0xff}}} {
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
	var answered plotter.XYs
	for s := range r.Seconds - 1 { // the last one is not whole
		if n := len(bySecond[first+int64(s)]); n > 0 {
			answered = append(answered, plotter.XY{X: float64(s), Y: float64(n)})
		}
	}
	rate, err := plotter.NewLine(answered)
	if err != nil {
		return err
	}
	rate.Color, rate.Width = color.RGBA{R: 0x3f, G: 0x8f, B: 0x3f, A: 0xff}, vg.Points(0.7)
	p.Add(rate)
	p.Legend.Add("requests answered in the second", rate)
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
	p.Y.Max *= 10 // room for the legend
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
