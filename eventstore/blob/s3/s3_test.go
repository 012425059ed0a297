package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/eventstore/blob"
	"coffre/eventstore/blob/blobtest"
	"coffre/eventstore/blob/s3"
	"coffre/eventstore/blob/s3/s3test"
	"coffre/eventstore/faulty/faultyblob"
)

// opened remembers how a store was opened, to open it again.
type opened struct {
	*s3.Store
	options s3.Options
}

func open(t *testing.T, o s3.Options) opened {
	t.Helper()
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return opened{s, o}
}

func TestStore(t *testing.T) {
	server := s3test.Start(t)
	blobtest.Run(t, func(t *testing.T, again blob.Store) blob.Store {
		if again != nil {
			return open(t, again.(opened).options)
		}
		return open(t, server.Bucket(t))
	})
}

func TestBehindFaults(t *testing.T) {
	server := s3test.Start(t)
	blobtest.Run(t, func(t *testing.T, again blob.Store) blob.Store {
		if again != nil {
			return again
		}
		return faultyblob.New(open(t, server.Bucket(t)), nil)
	})
}

// An operator is told at start what has to be mended.
func TestOpenRefuses(t *testing.T) {
	server := s3test.Start(t)
	with := func(f func(*s3.Options)) s3.Options { o := server.Bucket(t); f(&o); return o }
	versioned := server.Bucket(t)
	server.KeepVersions(t, versioned.Bucket)
	for name, tc := range map[string]struct {
		options s3.Options
		want    error
	}{
		"plain http to elsewhere": {with(func(o *s3.Options) { o.Endpoint = "http://192.0.2.1:9000" }), s3.ErrEndpoint},
		"no address":              {with(func(o *s3.Options) { o.Endpoint = "" }), s3.ErrEndpoint},
		"a path":                  {with(func(o *s3.Options) { o.Endpoint += "/bucket" }), s3.ErrEndpoint},
		"a password in it":        {with(func(o *s3.Options) { o.Endpoint = "https://a:b@127.0.0.1" }), s3.ErrEndpoint},
		"no bucket":               {with(func(o *s3.Options) { o.Bucket = "nobody-has-it" }), s3.ErrBucket},
		"a wrong secret":          {with(func(o *s3.Options) { o.SecretKey = "canary" }), blob.ErrUnavailable},
		"an unknown authority":    {with(func(o *s3.Options) { o.RootCAs = nil }), blob.ErrUnavailable},
		"versions are kept":       {versioned, s3.ErrVersioned},
	} {
		_, err := s3.Open(t.Context(), tc.options)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		} else if text := err.Error(); strings.Contains(text, "canary") || strings.Contains(text, tc.options.SecretKey) {
			t.Errorf("%s: the error tells a secret", name)
		}
	}
}

// Objects that are not blobs are somebody else's; an upload that broke off leaves
// nothing.
func TestOnlyBlobs(t *testing.T) {
	server := s3test.Start(t)
	o := server.Bucket(t)
	s := open(t, o)
	server.Add(t, o.Bucket, "elsewhere/"+uuid.NewString())
	server.Add(t, o.Bucket, o.Prefix+"readme")
	name := blobtest.Put(t, s, []byte("x"))
	if all := blobtest.Names(t, s); len(all) != 1 || all[name].Size != 1 {
		t.Errorf("%v", all)
	}
	if err := s.Put(t.Context(), uuid.New(), bytes.NewReader(make([]byte, 8<<20)), 9<<20); !errors.Is(err, blob.ErrSize) {
		t.Errorf("%v", err)
	}
	if got := server.Objects(t, o.Bucket); len(got) != 3 {
		t.Errorf("%q", got)
	}
}

// A store that is away is told as such, without its address.
func TestAway(t *testing.T) {
	server := s3test.Start(t)
	o := server.Bucket(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Endpoint = "https://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s3.Open(t.Context(), o); !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestOptionsDoNotPrint(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if said := fmt.Sprintf(verb, s3.Options{Endpoint: "https://here", Bucket: "b", AccessKey: "canary", SecretKey: "canary"}); strings.Contains(said, "canary") || !strings.Contains(said, "here") {
			t.Errorf("%s: %s", verb, said)
		}
	}
}

// Closing a reader early does not break the next one.
func TestManyReaders(t *testing.T) {
	server := s3test.Start(t)
	s := open(t, server.Bucket(t))
	name := blobtest.Put(t, s, make([]byte, 1<<20))
	for range 50 {
		r, err := s.Open(t.Context(), name, 5)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
