package transit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	vault "github.com/hashicorp/vault/api"
	"github.com/sony/gobreaker/v2"

	"coffre/eventstore"
	"coffre/eventstore/spans"
)

// client is one identity's connection to Vault.
type client struct {
	cfg       Config
	role      role
	login     Login
	timeout   atomic.Int64 // time.Duration of one call
	http      *http.Client
	anonymous *vault.Client
	breaker   *gobreaker.TwoStepCircuitBreaker[struct{}]

	session atomic.Pointer[session] // nil: it has ended
	turn    chan struct{}           // of capacity 1: held while logging in
	renewed chan struct{}           // of capacity 1: there is another session
	closed  atomic.Bool
	stop    context.CancelFunc
	wg      sync.WaitGroup

	signing signingKeys
}

func newClient(cfg Config, r role, login Login) (*client, error) {
	c := &client{cfg: cfg, role: r, login: login, turn: make(chan struct{}, 1), renewed: make(chan struct{}, 1)}
	c.timeout.Store(int64(cfg.Timeout))
	if r == rotator {
		c.timeout.Store(int64(longTask))
	}
	transport, err := cfg.transport(c.patience())
	if err != nil {
		return nil, err
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if c.anonymous, err = c.newAPI(); err != nil {
		return nil, err
	}
	c.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: r.String(), Timeout: cfg.OpenFor,
		ReadyToTrip:  func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= tripAfter },
		IsSuccessful: func(err error) bool { return !errors.Is(err, eventstore.ErrKeysUnavailable) },
		IsExcluded:   func(err error) bool { return errors.Is(err, errLeft) },
		OnStateChange: func(name string, _, to gobreaker.State) {
			cfg.Logger.Warn("circuit breaker of Vault", "identity", name, "state", to.String())
		},
	})
	c.stop = func() {}
	return c, nil
}

// newAPI returns Vault's own client without a token and without what it takes from
// the environment: its retries cost seconds, and a redirect would take the token
// elsewhere.
func (c *client) newAPI() (*vault.Client, error) {
	api, err := vault.NewClient(&vault.Config{Address: c.cfg.Address, HttpClient: c.http, MaxRetries: 0, DisableRedirects: true})
	if err != nil {
		return nil, fmt.Errorf("vault client: %w", err)
	}
	api.ClearToken()
	api.ClearNamespace()
	if c.cfg.Namespace != "" {
		api.SetNamespace(c.cfg.Namespace)
	}
	return api, nil
}

// start logs in, checks what we may do, and keeps the session.
func (c *client) start(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, max(c.patience(), startTime))
	defer cancel()
	_, err := c.signIn(limited, nil)
	if err == nil {
		err = c.checkRights(limited)
	}
	if err == nil {
		err = c.checkKeys(limited)
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("vault, %s: %w", c.role, err)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	c.wg.Go(func() { c.keepSession(background) })
	return nil
}

// startTime bounds the first login with its checks: nobody waits for an answer yet.
const startTime = 10 * time.Second

func (c *client) close() {
	if c.closed.Swap(true) {
		return
	}
	c.stop()
	c.wg.Wait()
	if s := c.session.Swap(nil); s != nil {
		ctx, cancel := context.WithTimeout(context.Background(), c.cfg.Timeout)
		defer cancel()
		_, _, _ = send(ctx, s.api, http.MethodPut, "auth/token/revoke-self", nil) // it ends by itself if not now
	}
	c.http.CloseIdleConnections()
}

// patience is how long one call may take.
func (c *client) patience() time.Duration { return time.Duration(c.timeout.Load()) }

func (c *client) state() State {
	return State{Identity: c.role.String(), LoggedIn: c.session.Load() != nil, Open: c.breaker.State() == gobreaker.StateOpen}
}

// ErrAway is wrapped by the error of a call for which Vault was away: sealed, starting, slow or
// out of reach. Asked later it may answer.
var ErrAway = errors.New("no answer from Vault now")

// away is such an error.
type away string

func (a away) Error() string { return string(a) }

// Is reports whether an error that was away is looked for.
func (a away) Is(target error) bool { return target == ErrAway }

// What is wrong with a call, without anything Vault said.
var (
	errClosed   = errors.New("closed")
	errDenied   = errors.New("permission denied")
	errSealed   = away("sealed, starting or without a leader")
	errBusy     = away("too many calls")
	errStandby  = away("a standby that passes nothing on")
	errTimeout  = away("no answer in time")
	errTrust    = errors.New("its certificate is not trusted")
	errReach    = away("cannot be reached")
	errCut      = away("the connection broke")
	errAnswer   = errors.New("an answer of another kind than expected")
	errBreaker  = away("not asked: the calls before failed")
	errNotFound = errors.New("no such key or mount")
	errLeft     = errors.New("the caller has left")
)

// statusError tells what an answer means. A node that was unsealed and does not know yet who leads
// answers 500, and a balancer before Vault 502 or 504.
func statusError(status int) error {
	switch {
	case status == http.StatusForbidden:
		return errDenied
	case status == http.StatusServiceUnavailable:
		return errSealed
	case status == http.StatusNotFound:
		return errNotFound
	case status == http.StatusTooManyRequests:
		return errBusy
	case status == http.StatusTemporaryRedirect:
		return errStandby
	case status >= http.StatusInternalServerError:
		return away(fmt.Sprintf("status %d", status))
	}
	return fmt.Errorf("status %d", status)
}

// transportError keeps the kind of a failure and drops its text.
func transportError(err error) error {
	var untrusted *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var timeout net.Error
	var op *net.OpError
	switch {
	case errors.As(err, &untrusted), errors.As(err, &authority), errors.As(err, &host):
		return errTrust
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return errTimeout
	case errors.As(err, &op) && op.Op == "dial":
		return errReach
	}
	return errCut
}

// call sends one request, once more where that may help, through the breaker, and
// decodes the data of an answer with status 200 or one of the others accepted.
// A nil in is a read. The caller's own context ending is told as its error, all
// else wraps eventstore.ErrKeysUnavailable.
func (c *client) call(ctx context.Context, doing, path string, in any, accept int, out any) (status int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	done, err := c.breaker.Allow()
	if err != nil {
		return 0, c.unavailable(doing, errBreaker)
	}
	limited, cancel := context.WithTimeout(ctx, c.patience())
	defer cancel()
	limited, span := spans.Call(limited, "vault")
	span.Word("coffre.doing", spans.Word(doing))
	defer func() { span.End(err) }()
	status, err = c.exchange(limited, path, in, accept, out)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		done(errLeft)
		return 0, ctx.Err()
	default:
		err = c.unavailable(doing, err)
	}
	done(err)
	return status, err
}

func (c *client) unavailable(doing string, why error) error {
	return fmt.Errorf("vault, %s: %s: %w: %w", c.role, doing, why, eventstore.ErrKeysUnavailable)
}

// answerTaker reads an answer itself, where its status tells what it holds.
type answerTaker interface {
	take(status int, answer []byte) error
}

// exchange tries twice at most: a broken connection may have been an old one, and a
// refused token may have ended. What must not happen twice is not tried again once
// it may have happened.
func (c *client) exchange(ctx context.Context, path string, in any, accept int, out any) (status int, err error) {
	method, body := http.MethodGet, []byte(nil)
	if in != nil {
		method = http.MethodPut
		if body, err = json.Marshal(in); err != nil {
			return 0, err
		}
		defer clear(body)
	}
	s := c.session.Load()
	if s == nil {
		if s, err = c.signIn(ctx, nil); err != nil {
			return 0, err
		}
	}
	for again := true; ; again = false {
		status, answer, err := send(ctx, s.api, method, path, body)
		switch {
		case again && errors.Is(err, errCut) && ctx.Err() == nil && !strings.HasSuffix(path, rotatePath):
			continue
		case err != nil:
			return 0, err
		case again && status == http.StatusForbidden:
			clear(answer)
			if s, err = c.signIn(ctx, s); err != nil {
				return 0, err
			}
			continue
		}
		defer clear(answer)
		if status != http.StatusOK && status != http.StatusNoContent && status != accept {
			return 0, statusError(status)
		}
		switch out := out.(type) {
		case nil:
			return status, nil
		case answerTaker:
			return status, out.take(status, answer)
		}
		var data struct {
			Data json.RawMessage `json:"data"`
		}
		if json.Unmarshal(answer, &data) != nil {
			return 0, errAnswer
		}
		if len(data.Data) == 0 && status != http.StatusOK {
			return 0, statusError(status)
		}
		if json.Unmarshal(data.Data, out) != nil {
			return 0, errAnswer
		}
		clear(data.Data)
		return status, nil
	}
}

// send makes one request with Vault's client and returns the answer whatever its
// status. Its errors are those above.
func send(ctx context.Context, api *vault.Client, method, path string, body []byte) (status int, answer []byte, err error) {
	var r *vault.Response
	if method == http.MethodGet {
		r, err = api.Logical().ReadRawWithContext(ctx, path)
	} else {
		r, err = api.Logical().WriteRawWithContext(ctx, path, body)
	}
	if r == nil {
		if err == nil {
			return 0, nil, errAnswer
		}
		return 0, nil, transportError(err)
	}
	defer r.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	if err != nil {
		return 0, nil, transportError(err)
	}
	return r.StatusCode, answer, nil
}
