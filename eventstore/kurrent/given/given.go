// Package given starts a real KurrentDB where somebody has one: a program that the variable
// COFFRE_TEST_KURRENT_START names, for tests of the adapter and for measuring it. Without the
// variable both are done on a server of ours that speaks the protocol.
package given

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"coffre/eventstore/kurrent"
)

// Variable names the program. It takes a port of loopback and a directory, becomes the server
// there, without TLS, and keeps its events in the directory, or in memory where that is empty.
// It takes appends of 16 MiB: the contract of stores has some that are larger than its default.
const Variable = "COFFRE_TEST_KURRENT_START"

// Program returns the program; "" where none is given.
func Program() string { return os.Getenv(Variable) }

// startTime bounds how long a server takes until it answers, an election of its leader included.
const startTime = time.Minute

// Server is a server that runs or was killed. It is used by one goroutine.
type Server struct {
	Address string // a connection string

	port, dir string
	process   *exec.Cmd
}

// Start starts a server on a free port of loopback, and returns once it answers.
func Start(ctx context.Context, dir string) (*Server, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		return nil, err
	}
	s := &Server{Address: "esdb://127.0.0.1:" + port + "?tls=false", port: port, dir: dir}
	return s, s.Again(ctx)
}

// Again starts a server that was killed, on the same port and directory, and returns once it
// answers.
func (s *Server) Again(ctx context.Context) error {
	process := exec.Command(Program(), s.port, s.dir)
	if err := process.Start(); err != nil {
		return fmt.Errorf("%s: %w", Variable, err)
	}
	s.process = process
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := s.answers(ctx); err != nil {
		return errors.Join(fmt.Errorf("%s: the server does not answer: %w", Variable, err), s.Kill())
	}
	return nil
}

// answers returns once the end of the log can be read.
func (s *Server) answers(ctx context.Context) error {
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		store, err := kurrent.Open(ctx, s.Address, kurrent.Options{})
		if err == nil {
			_, err = store.Head(ctx)
			err = errors.Join(err, store.Close())
		}
		if err == nil {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return err
		}
	}
}

// Kill ends the server as kill -9 does. One that was killed already stays so.
func (s *Server) Kill() error {
	if s.process == nil {
		return nil
	}
	err := s.process.Process.Kill()
	_ = s.process.Wait() // it says that it was killed
	s.process = nil
	return err
}
