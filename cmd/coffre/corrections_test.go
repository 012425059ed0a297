package main

import (
	"strings"
	"testing"

	"coffre/handlers/contract"
)

// P-7, E-3: a person whose two numbers were merged is forgotten under both; every start after
// that finds the erasure in the log, and both numbers stay erased.
func TestMergedPersonStaysErasedAcrossStarts(t *testing.T) {
	e := newErasing(t)
	find := func(ssin string) string {
		t.Helper()
		var found contract.Citizen
		e.decode(e.must(0, e.at("citizens", "find", "--json", "--ssin-file", file(t, "one.txt", ssin), "--reason", "correction")...).out, &found)
		return found.CitizenID.String()
	}
	former, survivor := find(otherSSIN), find(erasedSSIN)
	var proposed contract.Correction
	e.decode(e.must(0, e.at("corrections", "propose", "--json", "--citizen", former, "--kind", "merge", "--survivor", survivor)...).out, &proposed)
	e.must(exitFailed, e.at("corrections", "approve", "--citizen", former, proposed.CorrectionID.String())...)
	e.must(0, e.at("corrections", "approve", "--subject", "second", "--citizen", former, proposed.CorrectionID.String())...)
	if got := e.must(0, e.at("corrections", "list", "--citizen", former)...).out; !strings.Contains(got, "completed") {
		t.Errorf("%q", got)
	}
	if got := find(otherSSIN); got != survivor {
		t.Errorf("the former number leads to %s", got)
	}
	e.erase()
	for range 2 { // each command opens the vault anew
		got := e.must(exitRefused, e.at("documents", "import", "--org", "0308356862", e.file)...)
		if got.out != "3 lines: 0 issued, 0 unchanged, 3 refused\n" || strings.Count(got.err, "citizenErased") != 3 {
			t.Errorf("E-4 %q %q", got.out, got.err)
		}
	}
	if got := replayed(t, e.shell, e.dir)["citizen.key-destroyed"]; got != 2.0 {
		t.Errorf("E-3 recorded %v times", got)
	}
}
