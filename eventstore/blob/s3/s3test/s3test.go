// Package s3test runs a real S3 server, Versity's gateway over a folder, for tests.
//
// The binary is built from the module in s3server, once per version, and kept in the
// user's cache folder. To build it ahead of the tests, which takes about a minute:
//
//	go test -run TestServerIsBuilt -timeout 30m ./eventstore/blob/s3/s3test
package s3test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"coffre/eventstore/blob/s3"
	"coffre/eventstore/testserver"
)

const (
	command   = "github.com/versity/versitygw/cmd/versitygw"
	region    = "eu-west-1"
	startTime = 30 * time.Second
)

// Server is a running gateway, over TLS with a certificate of its own.
type Server struct {
	url    string
	roots  *x509.CertPool
	ca     []byte
	secret string
	admin  *minio.Client
}

// Start runs a server until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := start(t)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t testing.TB) (*Server, error) {
	binary, err := Binary(t.Context())
	if err != nil {
		return nil, err
	}
	dir := t.TempDir()
	for _, name := range []string{"objects", "meta", "versions"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return nil, err
		}
	}
	s := &Server{secret: rand.Text()}
	cert, key, err := s.certify(dir)
	if err != nil {
		return nil, err
	}
	for range 5 { // somebody else may take the port before the server does
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(binary, "--quiet", "--region", region, "--port", address, "--cert", cert, "--key", key,
			"posix", "--sidecar", filepath.Join(dir, "meta"), "--versioning-dir", filepath.Join(dir, "versions"), filepath.Join(dir, "objects"))
		cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=tester", "ROOT_SECRET_KEY="+s.secret)
		cmd.SysProcAttr = testserver.DieWithUs()
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		s.url = "https://" + address
		if err = s.answers(t.Context(), ended); err == nil {
			t.Cleanup(func() {
				_ = cmd.Process.Kill() // it may have ended
				<-ended
			})
			return s, s.connect()
		}
		_ = cmd.Process.Kill()
		t.Logf("the S3 server did not start: %v\n%s", err, said.Bytes())
	}
	return nil, errors.New("the S3 server does not start")
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// certify makes a certificate for this machine that the tests trust.
func (s *Server) certify(dir string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 3, 0),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.ca, s.roots = public, x509.NewCertPool()
	s.roots.AppendCertsFromPEM(public)
	return cert, key, errors.Join(os.WriteFile(cert, public, 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}

// answers waits until the server does.
func (s *Server) answers(ctx context.Context, ended chan error) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	client := http.Client{Transport: s.transport()}
	defer client.CloseIdleConnections()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
		if err != nil {
			return err
		}
		if response, err := client.Do(request); err == nil {
			return response.Body.Close()
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
}

func (s *Server) connect() (err error) {
	s.admin, err = minio.New(s.url[len("https://"):], &minio.Options{
		Creds: credentials.NewStaticV4("tester", s.secret, ""), Secure: true, Region: region, Transport: s.transport(),
	})
	return err
}

// Bucket makes an empty bucket and returns how to open it.
func (s *Server) Bucket(t testing.TB) s3.Options {
	t.Helper()
	raw := make([]byte, 8)
	rand.Read(raw)
	name := "test-" + hex.EncodeToString(raw)
	if err := s.admin.MakeBucket(t.Context(), name, minio.MakeBucketOptions{Region: region}); err != nil {
		t.Fatal(err)
	}
	return s3.Options{Endpoint: s.url, Region: region, Bucket: name, Prefix: "blobs/", AccessKey: "tester", SecretKey: s.secret, RootCAs: s.roots}
}

// Files writes the files that a configuration names: the authority of the server's
// certificate, and the secret that goes with a bucket.
func (s *Server) Files(t testing.TB, bucket s3.Options) (ca, secret string) {
	t.Helper()
	dir := t.TempDir()
	ca, secret = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "secret")
	if err := errors.Join(os.WriteFile(ca, s.ca, 0o600), os.WriteFile(secret, []byte(bucket.SecretKey+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return ca, secret
}

// KeepVersions has a bucket keep what is deleted from it.
func (s *Server) KeepVersions(t testing.TB, bucket string) {
	t.Helper()
	if err := s.admin.EnableVersioning(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
}

// Objects returns the names of everything in a bucket.
func (s *Server) Objects(t testing.TB, bucket string) (names []string) {
	t.Helper()
	for o := range s.admin.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		names = append(names, o.Key)
	}
	return names
}

// Add puts something into a bucket past the adapter.
func (s *Server) Add(t testing.TB, bucket, name string) {
	t.Helper()
	if _, err := s.admin.PutObject(t.Context(), bucket, name, bytes.NewReader([]byte("x")), 1, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
}

// module is the server's own.
var module = testserver.Module{Name: "s3server", Folder: "eventstore/blob/s3/s3server", Target: command}

// Binary returns the path of the server's binary, after building it where there is
// none, which takes about a minute.
func Binary(ctx context.Context) (string, error) { return module.Binary(ctx) }

func (s *Server) transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12}
	return t
}
