package pgdb

import (
	"net"
	"testing"
)

// Looking at a connection does not wait for whoever reads it.
func TestPeekBesideAReader(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	reading, read := make(chan struct{}), make(chan error, 1)
	go func() {
		var one [1]byte
		close(reading)
		_, err := ours.Read(one[:])
		read <- err
	}()
	<-reading
	for range 1000 { // the reader comes to wait somewhere on the way
		if state := peek(ours); state != silent {
			t.Fatalf("a silent connection is %v", state)
		}
	}
	if _, err := theirs.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	var end [1]byte
	if _, err := ours.Read(end[:]); err == nil {
		t.Fatal("the other side did not leave")
	}
	if state := peek(ours); state != ended {
		t.Fatalf("a connection that was left is %v", state)
	}
}
