package vault

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
)

// The operator is told what a full disk still takes: with a reserve what must pass, on a
// server nothing.
func TestOperatorIsToldOfAFullDisk(t *testing.T) {
	for reserve, want := range map[bool]string{true: "only withdrawals, revocations and the like are recorded", false: "nothing is recorded"} {
		var told bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // one look
		watchRoom(ctx, func() bool { return true }, reserve, slog.New(slog.NewTextHandler(&told, nil)))
		if strings.Count(told.String(), "the disk is full: "+want) != 1 {
			t.Errorf("with a reserve %t: %q", reserve, told.String())
		}
	}
}
