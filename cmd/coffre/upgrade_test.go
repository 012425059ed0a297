package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestUpgradeCheckTells runs the command on a vault of this release, for people and for machines.
func TestUpgradeCheckTells(t *testing.T) {
	dir := t.TempDir()
	if code, _, said, _ := started(t, nil, "upgrade", "check", "--data", dir+"/none"); code != exitFailed || !strings.Contains(said, "there is no vault") {
		t.Errorf("%d %s", code, said)
	}
	if code, _, said, _ := started(t, nil, "demo", "--data", dir); code != 0 {
		t.Fatal(said)
	}
	code, out, said, _ := started(t, nil, "upgrade", "check", "--data", dir)
	if code != 0 || !strings.Contains(out, "keys: seal") || !strings.Contains(out, "no: one process owns a data directory") {
		t.Errorf("%d %s %s", code, out, said)
	}
	code, out, said, _ = started(t, nil, "upgrade", "check", "--data", dir, "--json")
	var told struct {
		Events  int64   `json:"events"`
		Tables  []any   `json:"tables"`
		Seconds float64 `json:"rebuildSecondsAtMost"`
	}
	if err := json.Unmarshal([]byte(out), &told); err != nil || code != 0 || told.Events == 0 || len(told.Tables) < 10 {
		t.Errorf("%d %s %s %v", code, out, said, err)
	}
}
