package edge

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
)

// timedLease is a lease of a given length, renewed at every look until it is ended.
type timedLease struct {
	mu       sync.Mutex
	length   time.Duration
	err      error
	released int
}

func (l *timedLease) Left(context.Context) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.length, l.err
}

func (l *timedLease) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.released++
}

// sending serves one request over a connection without buffers, which ends with the test,
// with a use case whose answer is written under a lease.
type sending struct {
	client net.Conn
	call   *Call
	lease  *timedLease
	wrote  error      // of the use case's writes
	ended  chan bool  // whether the whole answer was handed to the network
	err    chan error // of the server, once the connection is done with
}

// startSending begins a request whose answer has size bytes. before runs in the use case,
// under the lease.
func startSending(t *testing.T, size int, before func(*Call)) *sending {
	t.Helper()
	client, server := net.Pipe()
	s := &sending{client: client, lease: &timedLease{length: time.Hour}, ended: make(chan bool, 1), err: make(chan error, 1)}
	h := newServer().Handler(showing{show: func(ctx context.Context) (contract.GetDocumentResponseObject, error) {
		s.call = CallFrom(ctx)
		s.call.Lease(func(func(error)) Lease { return s.lease })
		s.call.OnAnswered(func(whole bool) { s.ended <- whole })
		if before != nil {
			before(s.call)
		}
		return visitor(func(w http.ResponseWriter) error {
			w.Header().Set("ETag", `"1"`)
			w.WriteHeader(http.StatusOK)
			_, s.wrote = io.Copy(w, io.LimitReader(letters{}, int64(size)))
			return s.wrote
		}), nil
	}})
	listener := &oneConn{conn: server, closed: make(chan struct{})}
	http := NewHTTPServer(h)
	go func() { s.err <- http.Serve(listener) }()
	t.Cleanup(func() {
		_ = http.Close()
		<-s.err
		client.Close()
	})
	if _, err := io.WriteString(client, "GET "+contract.Base+"/documents/"+uuid.NewString()+" HTTP/1.1\r\nHost: vault\r\nAuthorization: Bearer issuer\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return s
}

// take reads bytes of the answer, at most n, as slowly as one a step.
func (s *sending) take(n int, step time.Duration) (got int, err error) {
	b := make([]byte, 1)
	for ; got < n && err == nil; time.Sleep(step) {
		var m int
		m, err = s.client.Read(b)
		got += m
	}
	return got, err
}

// letters reads as an endless row of one letter.
type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'p'
	}
	return len(p), nil
}

// oneConn is a listener with one connection.
type oneConn struct {
	conn   net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{} }

// What is sent under a lease ends with it, also while nobody takes the bytes, and the
// reader gets none after that; an answer that did not begin says why.
func TestAnswerEndsWithItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSending(t, 10<<20, nil)
		if got, err := s.take(5, time.Second); got != 5 || err != nil {
			t.Fatal(got, err)
		}
		s.lease.mu.Lock()
		s.lease.length = 7 * time.Second
		s.lease.mu.Unlock()
		if got, err := s.take(PieceSize, 0); got != PieceSize || err != nil { // the next piece has the shorter deadline
			t.Fatal(got, err)
		}
		synctest.Wait()
		began := time.Now()
		if whole := <-s.ended; whole || time.Since(began) > 7*time.Second {
			t.Errorf("it ended whole: %t, after %v", whole, time.Since(began))
		}
		if got, err := s.take(1, 0); got != 0 || err == nil {
			t.Errorf("a byte came after the end: %v", err)
		}
		synctest.Wait()
		if s.lease.released != 1 || s.wrote == nil {
			t.Errorf("released %d times, written with %v", s.lease.released, s.wrote)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		why := domain.NewError(domain.Gone, "erased", "it was erased")
		s := startSending(t, 10<<20, nil)
		if got, err := s.take(100, 0); got != 100 || err != nil {
			t.Fatal(got, err)
		}
		synctest.Wait() // it waits for the reader
		began := time.Now()
		s.call.BreakOff(why)
		if whole := <-s.ended; whole || time.Since(began) != 0 || !errors.Is(s.wrote, why) {
			t.Errorf("it ended whole: %t, after %v, with %v", whole, time.Since(began), s.wrote)
		}
		if got, err := s.take(1, 0); got != 0 || err == nil {
			t.Errorf("a byte came after the end: %v", err)
		}
		s.call.BreakOff(errAway) // too late
	})
	for name, end := range map[string]func(*sending, error){
		"told":  func(s *sending, why error) { s.call.BreakOff(why) },
		"asked": func(s *sending, why error) { s.lease.mu.Lock(); s.lease.err = why; s.lease.mu.Unlock() },
	} {
		t.Run("before it began, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s *sending
				begun := make(chan struct{})
				s = startSending(t, 10<<20, func(*Call) { <-begun })
				synctest.Wait()
				end(s, errGone)
				close(begun)
				answer := make([]byte, 4096)
				n, err := s.client.Read(answer)
				if got := string(answer[:n]); err != nil || !strings.HasPrefix(got, "HTTP/1.1 410 Gone") || !strings.Contains(got, "urn:problem-type:coffre:gone") || strings.Contains(got, "ETag") || strings.Contains(got, "pppp") {
					t.Errorf("answered %v, %s", err, got)
				}
				synctest.Wait()
				if s.lease.released != 1 {
					t.Errorf("released %d times", s.lease.released)
				}
			})
		})
	}
}

// An answer that holds personal data has an end of its own: a reader has MaxPiece for each
// piece and MaxAnswer, or what the use case says, for the whole.
func TestAnswerHasAnEnd(t *testing.T) {
	for _, tc := range []struct {
		name    string
		piece   time.Duration // in which the reader takes one
		sendFor time.Duration
		whole   bool
		ends    time.Duration // at most
	}{
		{"the reader stops", 24 * time.Hour, 0, false, MaxPiece},
		{"pieces come too slowly", MaxPiece + time.Second, 0, false, MaxPiece},
		{"all of it takes too long", MaxPiece - time.Second, 0, false, MaxAnswer},
		{"a file takes too long", MaxPiece - time.Second, 2 * time.Minute, false, 2 * time.Minute},
		{"it comes in time", time.Second, 0, true, MaxAnswer},
		{"a file comes in time", MaxPiece - time.Second, 20 * time.Minute, true, 20 * time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := startSending(t, 20*PieceSize, func(c *Call) {
					if tc.sendFor != 0 {
						c.SendFor(tc.sendFor)
					}
				})
				began := time.Now()
				go func() {
					b := make([]byte, PieceSize)
					for {
						if _, err := io.ReadFull(s.client, b); err != nil {
							return
						}
						select {
						case <-time.After(tc.piece):
						case <-t.Context().Done():
							return
						}
					}
				}()
				whole := <-s.ended
				if took := time.Since(began); whole != tc.whole || took > tc.ends {
					t.Errorf("whole: %t, after %v", whole, took)
				}
				if !tc.whole && !errors.Is(s.wrote, ErrReaderTooSlow) {
					t.Errorf("it ended with %v", s.wrote)
				}
			})
		})
	}
}

// An answer that is broken off is dropped with what the system keeps of it for a reader who
// has not taken it: the reader's end is a reset, not the rest.
func TestBrokenOffAnswerIsNotDeliveredByTheSystem(t *testing.T) {
	asked, ended := make(chan *Call, 1), make(chan struct{})
	h := newServer().Handler(showing{show: func(ctx context.Context) (contract.GetDocumentResponseObject, error) {
		call := CallFrom(ctx)
		call.Lease(func(func(error)) Lease { return &timedLease{length: time.Hour} })
		call.OnAnswered(func(bool) { close(ended) })
		return visitor(func(w http.ResponseWriter) error {
			w.WriteHeader(http.StatusOK)
			if _, err := io.Copy(w, io.LimitReader(letters{}, PieceSize)); err != nil {
				return err
			}
			asked <- call
			_, err := io.Copy(w, io.LimitReader(letters{}, 100<<20))
			return err
		}), nil
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewHTTPServer(h)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() { _ = server.Close(); <-served }()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := io.WriteString(client, "GET "+contract.Base+"/documents/"+uuid.NewString()+" HTTP/1.1\r\nHost: vault\r\nAuthorization: Bearer issuer\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	(<-asked).BreakOff(errGone)
	<-ended
	if n, err := io.Copy(io.Discard, client); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%d bytes came and then %v", n, err)
	}
}
