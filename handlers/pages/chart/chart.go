// Package chart draws numbers as SVG, on the server and without a script. Every chart has its
// numbers in a table beside it and a text that says what it shows; nothing is told by colour
// alone.
package chart

import (
	"fmt"
	"strconv"
)

// Bar is one number of a chart of bars.
type Bar struct {
	Label  string
	Number int64  // at least 0
	Shown  string // the number as people write it
}

// Column is one place on the axis of a chart of columns: its parts stand on each other.
type Column struct {
	Label string
	Short string // what stands below the column; "" is the label
	Parts []Part // one for each name of the chart, in its order
}

// Part is a part of a column.
type Part struct {
	Number int64  // at least 0
	Shown  string // the number as people write it
}

// The sizes of drawings, in their own units.
const (
	barWidth, barHeight = 100, 10
	width, height       = 320, 160
	foot                = 20 // for the labels below the columns
)

// share returns how long a number is drawn where the greatest is all long; whatever is not 0 is
// seen.
func share(number, greatest, all int64) string {
	if number <= 0 || greatest <= 0 {
		return "0"
	}
	return strconv.FormatFloat(max(1, float64(number)/float64(greatest)*float64(all)), 'f', 1, 64)
}

func greatestBar(bars []Bar) (greatest int64) {
	for _, b := range bars {
		greatest = max(greatest, b.Number)
	}
	return greatest
}

// box is a part of a column as it is drawn.
type box struct {
	x, y, width, height, class string
}

// boxes returns the parts of columns as they are drawn, those of a column from below.
func boxes(columns []Column) (all []box) {
	var greatest int64
	for _, c := range columns {
		var sum int64
		for _, p := range c.Parts {
			sum += p.Number
		}
		greatest = max(greatest, sum)
	}
	if greatest == 0 {
		return nil
	}
	step := float64(width) / float64(len(columns))
	for i, c := range columns {
		y := float64(height - foot)
		for n, p := range c.Parts {
			if p.Number <= 0 {
				continue
			}
			high := float64(p.Number) / float64(greatest) * float64(height-foot)
			y -= high
			all = append(all, box{number(float64(i)*step + step*0.15), number(y), number(step * 0.7), number(high), fmt.Sprintf("part%d", n%Colours)})
		}
	}
	return all
}

// Colours is how many colours the parts of columns have; the stylesheet names them part0, part1, ….
const Colours = 4

// mostLabels is how many labels have room below the columns.
const mostLabels = 12

// labelled reports whether the label of a column is drawn: every one, or every second, third, …
func labelled(i, of int) bool { return i%((of+mostLabels-1)/mostLabels) == 0 }

func number(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

// middle returns where the label of a column stands.
func middle(i, of int) string { return number(float64(width) / float64(of) * (float64(i) + 0.5)) }

func view(wide, high int) string { return fmt.Sprintf("0 0 %d %d", wide, high) }
