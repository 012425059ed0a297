package main

import (
	"strings"
	"testing"
	"time"

	"coffre/handlers/contract"
)

// TestKeysSchedule: what is left of a rotation comes before the next one, each step no earlier than the
// one before it, and what is overdue is told.
func TestKeysSchedule(t *testing.T) {
	day := func(text string) time.Time {
		at, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	keks := []contract.KeyEncryptionKey{
		{Version: 1, RetiredAt: day("2025-01-03"), TrimmedAt: day("2025-01-04")},
		{Version: 2, CreatedAt: day("2025-01-02"), RetiredAt: day("2026-01-05")},
		{Version: 3, Current: true, CreatedAt: day("2026-01-02")},
	}
	const next = " rotate 2026-07-02 backUp 2026-07-02 retire 2026-07-02 trim 2026-07-09 destroySnapshots 2026-08-08"
	for _, c := range []struct {
		step      contract.RotationStep
		now, want string
	}{
		{contract.RotationStepRotate, "2026-07-03", next},
		{contract.RotationStepRotate, "2026-07-04", strings.ReplaceAll(next, "2026-07-02", "2026-07-02!")},
		{contract.RotationStepRewrap, "2026-01-02", " backUp 2026-01-02 retire 2026-01-02 trim 2026-01-09 destroySnapshots 2026-02-08" + next},
		{contract.RotationStepBackUp, "2026-01-04", " backUp 2026-01-02! retire 2026-01-02! trim 2026-01-09 destroySnapshots 2026-02-08" + next},
		{contract.RotationStepRetire, "2026-01-02", " retire 2026-01-02 trim 2026-01-09 destroySnapshots 2026-02-08" + next},
		{contract.RotationStepTrim, "2026-01-14", " trim 2026-01-12! destroySnapshots 2026-02-11" + next},
	} {
		got := ""
		for _, a := range (rotationCalendar{months: 6, wait: 7, snapshots: 30}).of(contract.KeyState{KeyEncryptionKeys: keks, NextStep: c.step}, day(c.now)) {
			got += " " + a.Step + " " + a.Due.Format(time.DateOnly)
			if a.Overdue {
				got += "!"
			}
			if a.Final == "" {
				t.Errorf("%s says nothing of what is final", a.Step)
			}
		}
		if got != c.want {
			t.Errorf("%s on %s:\n%s, want\n%s", c.step, c.now, got, c.want)
		}
	}
}
