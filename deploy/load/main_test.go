package main

import "testing"

// Times that rise for three seconds after a kill are back in three; those that rise before the
// next kill again count until then.
func TestJudge(t *testing.T) {
	bySecond := map[int64][]float64{}
	for s := int64(100); s < 160; s++ {
		took := 10.0
		switch {
		case s >= 120 && s < 123:
			took = 400
		case s == 145:
			took = 90
		}
		for range 50 {
			bySecond[s] = append(bySecond[s], took)
		}
	}
	r := judge(bySecond, 100, []int64{120, 140}, 5)
	if r.MedianP99 != 10 || r.Requests != 3000 || r.Seconds != 60 {
		t.Fatalf("%+v", r)
	}
	if r.Before != 10 || len(r.AfterKills) != 4 || r.AfterKills[0] != 400 || r.AfterKills[1] != 90 || r.AfterKills[2] != 10 {
		t.Fatalf("%v before, %v after", r.Before, r.AfterKills)
	}
	if r.BackIn[0] != 3 || r.BackIn[1] != 6 || r.SlowestBack != 6 {
		t.Fatalf("back in %v", r.BackIn)
	}
}

// Answers are slow when they stay slow: a slow second is none, and the rate is that of the second
// before the first of six.
func TestBends(t *testing.T) {
	bySecond := map[int64][]float64{}
	for s := int64(0); s < 60; s++ {
		took := 10.0
		if s == 20 || s >= 40 {
			took = 400
		}
		for range s + 1 {
			bySecond[s] = append(bySecond[s], took)
		}
	}
	if r := judge(bySecond, 0, nil, 0); r.BendsAt != 40 {
		t.Errorf("bends at %d", r.BendsAt)
	}
	for s := range int64(60) {
		bySecond[s] = []float64{10}
	}
	if r := judge(bySecond, 0, nil, 0); r.BendsAt != 0 {
		t.Errorf("bends at %d, though nothing is slow", r.BendsAt)
	}
}

// Memory that grows after the first minute is told in MiB for ten minutes; what it grew before is not.
func TestGrown(t *testing.T) {
	all := map[int][]sample{}
	for s := range int64(600) {
		level, rising := 100.0, 100+float64(s)/60
		if s < warm {
			level = 50
		}
		all[1] = append(all[1], sample{s, level, 40})
		all[2] = append(all[2], sample{s, rising, 40 + int(s/100)})
	}
	got := grown(all)
	if len(got) != 2 || got[0] != (Process{1, 100, 0, [2]int{40, 40}}) || got[1] != (Process{2, 110, 10, [2]int{40, 45}}) {
		t.Errorf("%+v", got)
	}
}
