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
	if r.BackIn[0] != 3 || r.BackIn[1] != 6 || r.SlowestBack != 6 {
		t.Fatalf("back in %v", r.BackIn)
	}
}
