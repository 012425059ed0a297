package vaulttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	vault "github.com/hashicorp/vault/api"

	"coffre/eventstore/faulty/faultnet"
	"coffre/eventstore/testserver"
)

// Server is a Vault server that was initialised, unsealed and provisioned. One
// test uses it at a time; the keys that unseal it are in memory only.
type Server struct {
	Address string          // https, of the proxy
	CAFile  string          // PEM of the authority of its certificate
	Proxy   *faultnet.Proxy // between the clients and the server

	dir, root string // of its files; of the project
	binary    string
	ports     [2]int // of the API and of the cluster
	api       *vault.Client
	unsealKey string

	mu      sync.Mutex
	ended   chan struct{} // closed when the process is gone
	process *os.Process
}

const (
	bootTime = 2 * time.Minute // to be up on a busy machine
	lookTime = 20 * time.Millisecond
	tries    = 5 // ports
)

// Start starts a server until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Proxy.Heal()
		if t.Failed() {
			t.Logf("the end of Vault's log:\n%s", s.log())
		}
		s.stop()
	})
	return s
}

var shared struct {
	sync.Mutex
	server *Server
}

// Main runs a package's tests and stops what [Shared] started: what TestMain calls.
func Main(m *testing.M) int {
	defer func() {
		if shared.server != nil {
			shared.server.stop()
		}
	}()
	return m.Run()
}

// Shared returns this process's server with a fresh mount and fresh keys. Its
// package calls [Main]; tests that use it do not run in parallel.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s, err := start(context.WithoutCancel(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		shared.server = s
	}
	s := shared.server
	s.Proxy.Heal()
	s.Fresh(t)
	t.Cleanup(func() {
		s.Proxy.Heal()
		if t.Failed() {
			t.Logf("the end of Vault's log:\n%s", s.log())
		}
	})
	return s
}

func start(ctx context.Context) (_ *Server, err error) {
	s := &Server{}
	if s.root, err = testserver.Root(); err != nil {
		return nil, err
	}
	if s.binary, err = Binary(ctx); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "vault"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, s.log())
			s.stop()
		}
	}()
	s.CAFile = s.file("ca.pem")
	if err := writeCertificates(s.CAFile, s.file("cert.pem"), s.file("key.pem")); err != nil {
		return nil, err
	}
	if err := os.Mkdir(s.file("raft"), 0o700); err != nil {
		return nil, err
	}
	if err := s.bootSomewhere(ctx); err != nil {
		return nil, err
	}
	if s.Proxy, err = faultnet.New(s.listen()); err != nil {
		return nil, err
	}
	s.Address = "https://" + s.Proxy.Addr()
	answer, err := s.api.Sys().InitWithContext(ctx, &vault.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		return nil, fmt.Errorf("init: %w", err)
	}
	s.unsealKey = answer.KeysB64[0]
	s.api.SetToken(answer.RootToken)
	if err := s.unseal(ctx); err != nil {
		return nil, err
	}
	return s, s.provision(ctx)
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }
func (s *Server) listen() string          { return fmt.Sprintf("127.0.0.1:%d", s.ports[0]) }

// log returns the end of what the server wrote.
func (s *Server) log() []byte {
	b, _ := os.ReadFile(s.file("log"))
	return tail(b)
}

// tail is the end of a long output.
func tail(out []byte) []byte {
	const most = 4000
	return out[max(0, len(out)-most):]
}

// bootSomewhere boots on ports that stay the server's. They lie below those the
// system gives out, so that a restart finds them free.
func (s *Server) bootSomewhere(ctx context.Context) (err error) {
	for range tries {
		for i := range s.ports {
			s.ports[i] = 15000 + rand.N(15000)
		}
		config := fmt.Sprintf(`storage "raft" {
  path                   = %q
  node_id                = "test"
  performance_multiplier = 1
}
listener "tcp" {
  address         = "127.0.0.1:%d"
  cluster_address = "127.0.0.1:%d"
  tls_cert_file   = %q
  tls_key_file    = %q
}
api_addr      = "https://127.0.0.1:%[2]d"
cluster_addr  = "https://127.0.0.1:%[3]d"
disable_mlock = true
`, s.file("raft"), s.ports[0], s.ports[1], s.file("cert.pem"), s.file("key.pem"))
		if err := os.WriteFile(s.file("config.hcl"), []byte(config), 0o600); err != nil {
			return err
		}
		if s.api, err = s.client(); err != nil {
			return err
		}
		if err = s.boot(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// client speaks to the server past the proxy.
func (s *Server) client() (*vault.Client, error) {
	config := vault.DefaultConfig()
	if config.Error != nil {
		return nil, config.Error
	}
	config.Address, config.MaxRetries = "https://"+s.listen(), 0
	if err := config.ConfigureTLS(&vault.TLSConfig{CACert: s.CAFile}); err != nil {
		return nil, err
	}
	c, err := vault.NewClient(config)
	if err != nil {
		return nil, err
	}
	c.ClearToken()
	c.ClearNamespace()
	return c, nil
}

// boot starts the process and waits until it answers, sealed.
func (s *Server) boot(ctx context.Context) error {
	out, err := os.OpenFile(s.file("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(s.binary, "server", "-config="+s.file("config.hcl"))
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = s.dir, out, out, testserver.DieWithUs()
	cmd.Env = s.environment()
	ended, started := make(chan struct{}), make(chan error, 1)
	go func() {
		// The child dies with the thread that started it, so this one stays.
		runtime.LockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.mu.Lock()
	s.process, s.ended = cmd.Process, ended
	s.mu.Unlock()
	return s.until(ctx, "answer", func(ctx context.Context) bool {
		_, err := s.api.Sys().SealStatusWithContext(ctx)
		return err == nil
	})
}

// environment is ours without anything that steers Vault.
func (s *Server) environment() (env []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "VAULT_") {
			env = append(env, v)
		}
	}
	return env
}

// until asks again and again whether the server is where it should be.
func (s *Server) until(ctx context.Context, what string, there func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	ticker := time.NewTicker(lookTime)
	defer ticker.Stop()
	for !there(ctx) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("vault did not %s within %v", what, bootTime)
		case <-s.ended:
			return fmt.Errorf("vault ended before it did %s", what)
		case <-ticker.C:
		}
	}
	return nil
}

func (s *Server) unseal(ctx context.Context) error {
	if _, err := s.api.Sys().UnsealWithContext(ctx, s.unsealKey); err != nil {
		return fmt.Errorf("unseal: %w", err)
	}
	return s.until(ctx, "become active", func(ctx context.Context) bool {
		h, err := s.api.Sys().HealthWithContext(ctx)
		return err == nil && h.Initialized && !h.Sealed && !h.Standby
	})
}

// kill ends the process as a power cut would.
func (s *Server) kill() {
	s.mu.Lock()
	process, ended := s.process, s.ended
	s.mu.Unlock()
	if process == nil {
		return
	}
	_ = process.Signal(syscall.SIGKILL)
	<-ended
}

func (s *Server) stop() {
	s.kill()
	if s.Proxy != nil {
		_ = s.Proxy.Close()
	}
	_ = os.RemoveAll(s.dir)
}

// Seal seals the server: it answers 503 to everything until [Server.Unseal].
func (s *Server) Seal(t testing.TB) {
	t.Helper()
	if err := s.api.Sys().SealWithContext(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Unseal unseals the server and waits until it is active.
func (s *Server) Unseal(t testing.TB) {
	t.Helper()
	if err := s.unseal(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server's process at once.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.kill()
}

// Boot starts the process again after [Server.Kill]; it is sealed then.
func (s *Server) Boot(t testing.TB) {
	t.Helper()
	if err := s.boot(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Restart kills the server, starts it and unseals it.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Kill(t)
	s.Boot(t)
	s.Unseal(t)
}

// Snapshot returns the server's whole state.
func (s *Server) Snapshot(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.api.Sys().RaftSnapshotWithContext(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Restore sets the server back to a snapshot of its own.
func (s *Server) Restore(t testing.TB, snapshot []byte) {
	t.Helper()
	if err := s.api.Sys().RaftSnapshotRestoreWithContext(t.Context(), bytes.NewReader(snapshot), false); err != nil {
		t.Fatal(err)
	}
	if err := s.unseal(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Audit makes the server keep an audit log and returns its path.
func (s *Server) Audit(t testing.TB) string {
	t.Helper()
	path := s.file("audit.log")
	err := s.api.Sys().EnableAuditWithOptionsWithContext(t.Context(), "file", &vault.EnableAuditOptions{Type: "file", Options: map[string]string{"file_path": path}})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// UnsealKey is what opens the server, for tests that look for it elsewhere.
func (s *Server) UnsealKey() string { return s.unsealKey }

// Dir is the folder of everything the server stores and writes.
func (s *Server) Dir() string { return s.dir }

// Admin is the administrator's client, which may do everything and goes past the
// proxy.
func (s *Server) Admin() *vault.Client { return s.api }

// As returns the client of a token, past the proxy.
func (s *Server) As(t testing.TB, token string) *vault.Client {
	t.Helper()
	c, err := s.client()
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken(token)
	return c
}

// Refused reports whether Vault answered that this may not be done.
func Refused(err error) bool {
	var answer *vault.ResponseError
	return errors.As(err, &answer) && answer.StatusCode == http.StatusForbidden
}
