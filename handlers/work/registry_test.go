package work

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"coffre/handlers/acting"
	"coffre/handlers/disclosure"
)

// While the databases are away the log says once that the registry is not refreshed, and once
// more when the reason changes or it is refreshed again.
func TestRegistryRefreshIsToldOnce(t *testing.T) {
	var log bytes.Buffer
	work := &Worker{Discloser: disclosure.New(disclosure.Config{Recorder: &acting.Recorder{Slog: slog.New(slog.NewTextHandler(&log, nil))}})}
	away, full := errors.New("away"), errors.New("full")
	told := ""
	for _, err := range []error{nil, away, away, fmt.Errorf("%w", away), full, full, nil, nil, away} {
		told = work.tellRegistry(t.Context(), told, err)
	}
	var says []string
	for line := range strings.Lines(log.String()) {
		level, _, _ := strings.Cut(strings.SplitN(line, "level=", 2)[1], " ")
		says = append(says, level)
	}
	if got := strings.Join(says, " "); got != "ERROR ERROR INFO ERROR" {
		t.Errorf("told %s:\n%s", got, &log)
	}
}
