// Package s3 keeps blobs as objects of one bucket in a store that speaks S3, for
// vaults of several processes.
//
// A blob is one conditional PUT, so it appears whole or not at all and replaces
// nothing. The bucket must not keep versions: what is deleted has to be gone.
package s3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"coffre/eventstore/blob"
)

const (
	dialWithin   = 5 * time.Second
	answerWithin = 20 * time.Second
	attempts     = 3
	// peeked is what is held of a content to see whether more follows than was said.
	peeked = 4 << 10
)

// Options say where the bucket is. AccessKey and SecretKey never print.
type Options struct {
	// Endpoint is https://HOST[:PORT]; plain http is accepted for this machine only.
	Endpoint string
	Region   string // may be empty where the store has none
	Bucket   string // it exists
	Prefix   string // of the objects' names; may be empty
	// AccessKey and SecretKey may put, get, delete and list objects of the bucket.
	AccessKey, SecretKey string
	RootCAs              *x509.CertPool // nil: the system's
}

// Format prints where the bucket is, for every verb.
func (o Options) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "s3(%s, %s)", o.Endpoint, o.Bucket) }

// Store is a blob.Store in a bucket.
type Store struct {
	client         minio.Core
	transport      *http.Transport
	bucket, prefix string
}

var _ blob.Store = (*Store)(nil)

// Mistakes in the options.
var (
	ErrEndpoint  = errors.New("s3: the endpoint is https://HOST[:PORT]; plain http is for this machine only")
	ErrBucket    = errors.New("s3: there is no such bucket")
	ErrVersioned = errors.New("s3: the bucket keeps versions, so what is deleted would stay; use one that does not")
)

// Open connects to the bucket. It returns ErrEndpoint, ErrBucket or ErrVersioned for
// what an operator has to mend, else an error that wraps blob.ErrUnavailable.
func Open(ctx context.Context, o Options) (*Store, error) {
	at, err := url.Parse(o.Endpoint)
	if err != nil || at.Host == "" || at.Path != "" && at.Path != "/" || at.RawQuery != "" || at.User != nil ||
		at.Scheme != "https" && (at.Scheme != "http" || !thisMachine(at.Hostname())) {
		return nil, ErrEndpoint
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialWithin}).DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: dialWithin, ResponseHeaderTimeout: answerWithin, ExpectContinueTimeout: time.Second,
		MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Minute, DisableCompression: true, ForceAttemptHTTP2: true,
	}
	client, err := minio.New(at.Host, &minio.Options{
		Creds: credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""), Secure: at.Scheme == "https",
		Region: o.Region, Transport: transport, MaxRetries: attempts,
		TrailingHeaders: true, // so that the server sees where a content that breaks off should have ended
	})
	if err != nil {
		return nil, ErrEndpoint
	}
	s := &Store{client: minio.Core{Client: client}, transport: transport, bucket: o.Bucket, prefix: o.Prefix}
	there, err := client.BucketExists(ctx, o.Bucket)
	switch {
	case err != nil:
		return nil, unavailable(ctx, err)
	case !there:
		return nil, ErrBucket
	}
	// Not every store knows of versions; one that does not keeps none.
	if versions, err := client.GetBucketVersioning(ctx, o.Bucket); err == nil && versions.Status != "" {
		return nil, ErrVersioned
	}
	return s, nil
}

func thisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Close lets go of idle connections.
func (s *Store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

func (s *Store) key(name uuid.UUID) string { return s.prefix + name.String() }

// unavailable leaves out of an error what the library knows of addresses.
func unavailable(ctx context.Context, err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		err = fmt.Errorf("%s: %w", at.Op, at.Err)
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err)
	}
	return fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
}

func codeOf(err error) string { return minio.ToErrorResponse(err).Code }

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name uuid.UUID, content io.Reader, size int64) error {
	if err := ctx.Err(); err != nil {
		return unavailable(ctx, err)
	}
	source := &source{from: bufio.NewReaderSize(content, peeked), size: size}
	if size == 0 { // then the client asks for nothing
		if _, err := source.Read(nil); err != nil && err != io.EOF {
			return source.error()
		}
	}
	// The library gives only a body that cannot be read again a single attempt.
	o := minio.PutObjectOptions{ContentType: "application/octet-stream", DisableMultipart: true, Checksum: minio.ChecksumCRC32C}
	o.SetMatchETagExcept("*")
	var body io.Reader = source
	if size == 0 {
		body = bytes.NewReader(nil)
	}
	_, err := s.client.Client.PutObject(ctx, s.bucket, s.key(name), body, size, o)
	switch {
	case source.err != nil:
		return source.error()
	case err == nil:
		return nil
	case source.ended && source.n < size:
		return blob.ErrSize
	}
	switch codeOf(err) {
	case "PreconditionFailed":
		return blob.ErrExists
	case "ConditionalRequestConflict", "OperationAborted": // another puts it: whose it is shows now
		if _, err := s.client.Client.StatObject(ctx, s.bucket, s.key(name), minio.StatObjectOptions{}); err == nil {
			return blob.ErrExists
		}
	}
	return unavailable(ctx, err)
}

// source hands the content of a blob on. It sees whether more follows than was said before it
// gives the last byte, so that the server does not get all that it waits for.
type source struct {
	from  *bufio.Reader
	size  int64
	n     int64
	ended bool
	err   error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	p = p[:min(int64(len(p)), s.size-s.n)]
	n, err := 0, error(nil)
	if len(p) > 0 {
		n, err = s.from.Read(p)
	}
	s.n += int64(n)
	if s.n == s.size && err == nil {
		if _, err = s.from.Peek(1); err == nil {
			s.err = blob.ErrSize
			return 0, s.err
		}
	}
	switch {
	case err == io.EOF:
		s.ended = true
	case err != nil:
		s.err = err
		return 0, err
	}
	return n, err
}

// error is what was wrong with the content.
func (s *source) error() error {
	if errors.Is(s.err, blob.ErrSize) {
		return blob.ErrSize
	}
	return fmt.Errorf("blob: read the content: %w", s.err)
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, name uuid.UUID, offset int64) (io.ReadCloser, error) {
	var o minio.GetObjectOptions
	if offset > 0 {
		if err := o.SetRange(offset, 0); err != nil {
			return nil, fmt.Errorf("blob: from %d: %w", offset, err)
		}
	}
	body, _, _, err := s.client.GetObject(ctx, s.bucket, s.key(name), o)
	if err == nil {
		return &reader{ctx, body}, nil
	}
	switch codeOf(err) {
	case "NoSuchKey":
		return nil, blob.ErrNotFound
	case "InvalidRange": // beyond the end there is nothing
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	return nil, unavailable(ctx, err)
}

type reader struct {
	ctx  context.Context
	body io.ReadCloser
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if err != nil && err != io.EOF {
		err = unavailable(r.ctx, err)
	}
	return n, err
}

func (r *reader) Close() error {
	_ = r.body.Close() // it was only read
	return nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name uuid.UUID) error {
	err := s.client.RemoveObject(ctx, s.bucket, s.key(name), minio.RemoveObjectOptions{})
	if err != nil && codeOf(err) != "NoSuchKey" {
		return unavailable(ctx, err)
	}
	return nil
}

// Walk implements blob.Store.
func (s *Store) Walk(ctx context.Context, each func(blob.Info) error) error {
	for object := range s.client.Client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix, Recursive: true}) {
		if object.Err != nil {
			return unavailable(ctx, object.Err)
		}
		text := strings.TrimPrefix(object.Key, s.prefix)
		name, err := uuid.Parse(text)
		if err != nil || name.String() != text {
			continue
		}
		if err := each(blob.Info{Name: name, Size: object.Size, Stored: object.LastModified}); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return unavailable(ctx, err)
	}
	return nil
}
