package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/contract/wire"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

const knownCitizens = 1000

// issuing is T2: documents issued over HTTP for citizens the vault knows, and in a
// line of its own for citizens it meets for the first time.
func (b *bench) issuing(ctx context.Context) (err error) {
	dir, err := b.folder("T2")
	if err != nil {
		return err
	}
	v, err := serveAlone(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	noop, err := listen(http.HandlerFunc(decodeOnly))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, noop.Close()) }()
	bearer, err := v.token(token.Grant{Role: domain.RoleIssuer, Organisation: issuerNumber})
	if err != nil {
		return err
	}
	known := issuer{bearer: bearer}
	if err := inParallel(ctx, knownCitizens, func(ctx context.Context, i int) error { return known.issue(ctx, v.site, i) }); err != nil {
		return err
	}
	var turn, fresh atomic.Int64
	fresh.Store(knownCitizens)
	next := func() int { return int(turn.Add(1)) % knownCitizens }
	baseline := func(ctx context.Context) (pace, error) {
		return load(ctx, callers, b.span, func(ctx context.Context, _ int) error { return known.issue(ctx, noop, next()) })
	}
	got, err := b.compare(ctx, "T2", baseline, v.settled(func(ctx context.Context) (pace, error) {
		return load(ctx, callers, b.span, func(ctx context.Context, _ int) error { return known.issue(ctx, v.site, next()) })
	}))
	if err != nil {
		return err
	}
	const decoding = "the same requests, decoded and answered 201"
	if err := b.tell(got.measure("T2", "1/s", decoding, ">= 0.22")); err != nil {
		return err
	}
	got, err = b.compare(ctx, "T2new", baseline, v.settled(func(ctx context.Context) (pace, error) {
		return load(ctx, callers, b.span, func(ctx context.Context, _ int) error {
			return known.issue(ctx, v.site, int(fresh.Add(1)))
		})
	}))
	if err != nil {
		return err
	}
	return b.tell(got.measure("T2.newCitizen", "1/s", decoding, ">= 0.12"))
}

// issuer sends documents, each with a source reference of its own.
type issuer struct {
	bearer string
	number atomic.Int64
}

func (i *issuer) issue(ctx context.Context, to *site, person int) error {
	return to.send(ctx, http.MethodPost, "/documents", i.bearer, i.body(person), http.StatusCreated)
}

// body returns the request to issue one more document to a person.
func (i *issuer) body(person int) []byte {
	return fmt.Appendf(nil, `{"ssin":"%s","documentType":"%s","sourceReference":"%s","validFrom":"%s","content":%s}`,
		SSIN(person).Reveal(), documentType, reference(int(i.number.Add(1))), validFrom, content())
}

// decodeOnly is the baseline of T2: one typed, strict decode.
func decodeOnly(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, edge.MaxBody))
	var in contract.DocumentIssue
	if err == nil {
		err = wire.Unmarshal(body, &in)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Location", contract.Base+"/documents/0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"href":"/vault/v1/documents/0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44","documentId":"0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44","citizenRef":"0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44","version":1,"state":"valid"}`)
}

// served is a vault behind a server on loopback, as `coffre serve` has it.
type served struct {
	*vault.Instance
	site    *site
	dir     vault.DataDir
	key     *token.DevKey
	release func() error
}

// serveAlone opens the vault of a directory and serves it on a port of its own.
func serveAlone(ctx context.Context, dir vault.DataDir) (*served, error) {
	return serveWith(ctx, dir, vault.Options{Gather: vault.Gather})
}

// serveWith opens a vault as the options say and serves it on a port of its own.
func serveWith(ctx context.Context, dir vault.DataDir, o vault.Options) (_ *served, err error) {
	v := &served{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.Close())
		}
	}()
	if v.release, err = dir.Own(); err != nil {
		return nil, err
	}
	if v.Instance, err = vault.Open(ctx, dir, o); err != nil {
		return nil, err
	}
	if v.key, err = token.OpenDevKey(dir.File(vault.DevKeyFile)); err != nil {
		return nil, err
	}
	if v.site, err = listen(v.Handler()); err != nil {
		return nil, err
	}
	return v, v.Runner.CatchUp(ctx)
}

// Close ends the server, then the vault.
func (v *served) Close() error {
	var errs []error
	if v.site != nil {
		errs = append(errs, v.site.Close())
	}
	if v.Instance != nil {
		errs = append(errs, v.Instance.Close())
	}
	if v.release != nil {
		errs = append(errs, v.release())
	}
	return errors.Join(errs...)
}

func (v *served) token(g token.Grant) (string, error) {
	g.Scopes = edge.Scopes(g.Role)
	return v.key.Mint(g, time.Now(), 12*time.Hour)
}

// settled lets the read models catch up after a round, so that their work is not
// done in the baseline's time.
func (v *served) settled(s side) side {
	return func(ctx context.Context) (pace, error) {
		rate, err := s(ctx)
		return rate, errors.Join(err, v.Runner.CatchUp(ctx))
	}
}

// site is a server on loopback and the clients' connections to it, which stay open.
type site struct {
	url    string
	server *http.Server
	client *http.Client
	ended  chan error
}

func listen(h http.Handler) (*site, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := at(l.Addr().String())
	s.server, s.ended = edge.NewHTTPServer(h), make(chan error, 1)
	go func() { s.ended <- s.server.Serve(edge.StrictListener(l)) }()
	return s, nil
}

// at is a server that runs already.
func at(address string) *site {
	return &site{url: "http://" + address + contract.Base, client: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: callers, MaxConnsPerHost: callers, DisableCompression: true,
	}}}
}

func (s *site) Close() error {
	s.client.CloseIdleConnections()
	if s.server == nil {
		return nil
	}
	err := s.server.Close()
	if ended := <-s.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// send makes one request and reads its answer, which must have that status.
func (s *site) send(ctx context.Context, method, path, bearer string, body []byte, want int) error {
	return s.ask(ctx, method, path, bearer, body, want, io.Discard)
}

func (s *site) ask(ctx context.Context, method, path, bearer string, body []byte, want int, into io.Writer) error {
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header["Authorization"] = []string{"Bearer " + bearer}
	if body != nil {
		r.Header["Content-Type"] = []string{"application/json"}
		r.Header["Idempotency-Key"] = []string{uuid.NewString()}
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != want {
		problem, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10)) // of a vault without a real person's data
		return fmt.Errorf("%s %s was answered %d: %s", method, path, answer.StatusCode, problem)
	}
	_, err = io.Copy(into, answer.Body)
	return err
}
