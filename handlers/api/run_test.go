package api

import (
	"context"
	"errors"
	"testing"

	"coffre/handlers/work"
)

// Work that other processes left undone is resumed when this process has its turn, under a
// name that all releases share; when that part fails, Run ends with its error.
func TestRunInheritsInTurn(t *testing.T) {
	tv := newVault(t)
	tv.stop()
	lost := errors.New("lost")
	begun, turns := make(chan error, 1), make(chan string, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	run := func(fails bool) {
		ended <- tv.Run(ctx, work.RunOptions{
			Ready: func(err error) { begun <- err },
			RunExclusively: func(ctx context.Context, name string, run func(context.Context) error) error {
				turns <- name
				if fails {
					return lost
				}
				return run(ctx)
			},
		})
	}
	go run(false)
	if err := <-begun; err != nil {
		t.Fatal(err)
	}
	if name := <-turns; name != "work" {
		t.Errorf("it waits for the turn of %q", name)
	}
	if err := tv.WaitIdle(t.Context()); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it was told to end and says %v", err)
	}
	ctx = t.Context()
	go run(true)
	<-begun
	<-turns
	if err := <-ended; !errors.Is(err, lost) {
		t.Errorf("it ended with %v", err)
	}
}
