package transit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	vault "github.com/hashicorp/vault/api"
)

// Login is how an identity proves itself to Vault: an [AppRole] or a [Kubernetes]
// service account.
type Login interface {
	check() error
	path() string
	// body is read at every login: what proves us may have been replaced.
	body() (map[string]string, error)
}

// AppRole logs in by a role's id and a secret that lies in a file.
type AppRole struct {
	Mount        string // of the auth method; default "approle"
	RoleID       string // required; not a secret
	SecretIDFile string // required; the file holds the secret_id alone
}

// Kubernetes logs in by a service account's token.
type Kubernetes struct {
	Mount     string // of the auth method; default "kubernetes"
	Role      string // required
	TokenFile string // default: where Kubernetes projects it
}

const (
	serviceAccountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"
	maxProof            = 64 << 10 // bytes of a file that proves us
)

func (a AppRole) check() error {
	if a.RoleID == "" || a.SecretIDFile == "" {
		return errors.New("vault AppRole: role id and secret id file are both needed")
	}
	return checkAuthMount(a.Mount)
}

func (a AppRole) path() string { return "auth/" + orDefault(a.Mount, "approle") + "/login" }

func (a AppRole) body() (map[string]string, error) {
	secret, err := readProof(a.SecretIDFile)
	return map[string]string{"role_id": a.RoleID, "secret_id": secret}, err
}

func (k Kubernetes) check() error {
	if k.Role == "" {
		return errors.New("vault Kubernetes login: a role is needed")
	}
	return checkAuthMount(k.Mount)
}

func (k Kubernetes) path() string { return "auth/" + orDefault(k.Mount, "kubernetes") + "/login" }

func (k Kubernetes) body() (map[string]string, error) {
	jwt, err := readProof(orDefault(k.TokenFile, serviceAccountToken))
	return map[string]string{"role": k.Role, "jwt": jwt}, err
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func checkAuthMount(mount string) error {
	if mount != "" && !mountPattern.MatchString(mount) {
		return errMount
	}
	return nil
}

// readProof never quotes what it read, and names the file without its folder.
func readProof(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		var in *os.PathError
		if errors.As(err, &in) {
			err = in.Err
		}
		return "", fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxProof))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	proof := strings.TrimSpace(string(b))
	if proof == "" {
		return "", fmt.Errorf("read %s: it is empty", filepath.Base(path))
	}
	return proof, nil
}

// session is one token's life.
type session struct {
	api    *vault.Client // sends the token
	secret *vault.Secret
	since  time.Time
}

// signIn returns a session other than stale, made now if nobody else just made
// one. Vault's refusal of a token that is fresh has another reason than its end.
func (c *client) signIn(ctx context.Context, stale *session) (*session, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s := c.session.Load(); s != nil && s != stale {
		return s, nil
	}
	if c.closed.Load() {
		return nil, errClosed
	}
	if stale != nil && time.Since(stale.since) < freshToken {
		return nil, errDenied
	}
	proof, err := c.login.body()
	if err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	body, err := json.Marshal(proof)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	status, answer, err := send(ctx, c.anonymous, http.MethodPut, c.login.path(), body)
	if err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	defer clear(answer)
	if status != http.StatusOK {
		return nil, fmt.Errorf("log in: %w", statusError(status))
	}
	secret, err := vault.ParseSecret(bytes.NewReader(answer))
	if err != nil || secret == nil || secret.Auth == nil || secret.Auth.ClientToken == "" {
		return nil, fmt.Errorf("log in: %w", errAnswer)
	}
	s := &session{secret: secret, since: time.Now()}
	if s.api, err = c.newAPI(); err != nil {
		return nil, err
	}
	s.api.SetToken(secret.Auth.ClientToken)
	c.session.Store(s)
	select { // wakes keepSession, unless it is awake
	case c.renewed <- struct{}{}:
	default:
	}
	c.cfg.Logger.InfoContext(ctx, "logged in to Vault", "identity", c.role.String())
	return s, nil
}

// Waits between failed logins.
const (
	firstWait = 200 * time.Millisecond
	lastWait  = 10 * time.Second
)

// keepSession renews the token while it may be renewed and logs in again when it
// ends, until ctx does.
func (c *client) keepSession(ctx context.Context) {
	wait := firstWait
	for ctx.Err() == nil {
		s := c.session.Load()
		if s != nil {
			c.watch(ctx, s)
			wait = firstWait
			continue
		}
		limited, cancel := context.WithTimeout(ctx, c.patience())
		_, err := c.signIn(limited, nil)
		cancel()
		if err == nil || ctx.Err() != nil {
			continue
		}
		c.cfg.Logger.WarnContext(ctx, "cannot log in to Vault", "identity", c.role.String(), "error", err)
		select {
		case <-ctx.Done():
		case <-c.renewed: // somebody's call did
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, lastWait)
	}
}

// watch returns when the session has ended or is another.
func (c *client) watch(ctx context.Context, s *session) {
	watcher, err := s.api.NewLifetimeWatcher(&vault.LifetimeWatcherInput{Secret: s.secret})
	if err != nil {
		c.session.CompareAndSwap(s, nil)
		return
	}
	ended := make(chan struct{})
	go func() { defer close(ended); watcher.Start() }()
	defer func() { watcher.Stop(); <-ended }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-watcher.DoneCh(): // with or without an error the token is at its end
			c.session.CompareAndSwap(s, nil)
			return
		case <-watcher.RenewCh():
		case <-c.renewed:
			if c.session.Load() != s {
				return
			}
		}
	}
}
