// Package vault puts one vault together: stores, keys, read models, the core and its
// background work, behind one handler. It is where ports meet their adapters, and
// nobody else but benchmarks and tests imports one. It knows nothing of commands,
// flags or terminals; the environment it reads with [FromEnv].
//
// A [DataDir] belongs to one process at a time. [Open] makes an [Instance] of it,
// which serves until Close; [Restore] makes one of a backup, and [Copy] brings a whole
// vault to other databases.
package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	samples "coffre/deploy/registry"
	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/shred"
	"coffre/handlers/api"
	"coffre/handlers/api/token"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/consentlog"
	"coffre/projections/erasures"
	"coffre/projections/evidence"
	"coffre/projections/vocabulary"
	"coffre/projections/wallet"
)

// Gather is how long the log of a server waits for company; measured for many HTTP
// clients.
const Gather = 700 * time.Microsecond

// Options say how a vault on this machine is opened. The zero value is right
// for a command that opens a directory for a moment.
type Options struct {
	Logger   *slog.Logger // default: nothing is logged
	Registry fs.FS        // published when the log holds none; default: the samples
	Belgif   fs.FS        // Belgian code lists for labels; nil: short labels
	// OIDCIssuer and OIDCAudience say whose tokens count; "" trusts `coffre token`.
	OIDCIssuer, OIDCAudience string
	Webhook                  *WebhookOptions // nil: nobody is told
	// Gather is how long the log waits for company before it syncs few appends.
	Gather  time.Duration
	Transit *TransitConfig // nil: keys lie in a file beside the data
	Blobs   *BlobsConfig   // nil: files of documents lie in a folder beside the data
	Stores  StoresConfig
	// Retentions are those stated for copies of keys; nil: none, and no erasure is final.
	Retentions *citizen.Retentions
	// Sealing, when set, stands before what the log and the answers seal and open with:
	// tests show with it what would be seen if nothing were sealed.
	Sealing func(eventstore.Sealer) eventstore.Sealer
}

// Instance is everything of one data directory, put together and running.
type Instance struct {
	handler http.Handler
	control http.Handler // the same for the control socket, where this directory's own tokens count
	Core    *api.Vault
	keeper  Keeper
	store   eventstore.Store
	Ring    *seal.Ring
	Runner  *projections.Runner
	damaged atomic.Int64   // records that the scrubber found last
	failed  chan error     // a part that had to go on has stopped
	closers []func() error // in the order of opening
	leaving sync.Once
	gone    chan struct{} // closed when no more requests should be sent here
}

// Handler answers the whole API.
func (v *Instance) Handler() http.Handler { return v.handler }

// Control answers the same on the control socket, where this directory's own tokens
// count.
func (v *Instance) Control() http.Handler { return v.control }

// Failed tells of a part that had to go on and has stopped.
func (v *Instance) Failed() <-chan error { return v.failed }

// OfferKurrent offers the log to KurrentDB's clients until end is called. Where is the
// connection string; "" when it is not offered.
func (v *Instance) OfferKurrent(ctx context.Context, l KurrentListener) (where string, end func(), err error) {
	return l.Offer(ctx, v.store, v.Core.Slog, v.failed)
}

// Close stops everything, last opened first. What was acknowledged stays.
func (v *Instance) Close() error {
	v.Leave()
	var errs []error
	for i := len(v.closers) - 1; i >= 0; i-- {
		errs = append(errs, v.closers[i]())
	}
	v.closers = nil
	return errors.Join(errs...)
}

// Leave says that no more requests should come; those under way are answered.
func (v *Instance) Leave() { v.leaving.Do(func() { close(v.gone) }) }

// Open is the one place where ports meet their adapters. The caller owns
// the directory.
func Open(ctx context.Context, dir DataDir, o Options) (_ *Instance, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = samples.Files
	}
	if err := dir.restoredWhole(); err != nil {
		return nil, err
	}
	v := &Instance{failed: make(chan error, 8), gone: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.Close())
		}
	}()
	onClose := func(f func() error) { v.closers = append(v.closers, f) }

	places, err := openStores(ctx, dir, o, onClose)
	if err != nil {
		return nil, err
	}
	v.store = places.log
	if v.keeper, err = OpenKeeper(ctx, dir, o.Transit, o.Logger); err != nil {
		return nil, err
	}
	onClose(v.keeper.Close)
	if err := places.openKeys(ctx); err != nil {
		return nil, err
	}
	keys := places.keys
	if v.Ring, err = seal.OpenRing(ctx, keys, v.keeper, seal.Config{}); err != nil {
		return nil, err
	}
	onClose(v.Ring.Close)
	table, err := requests.Open(ctx, keys, v.Ring.DeploymentKey(seal.RequestKey).MAC, nil)
	if err != nil {
		return nil, err
	}
	if places.shared() {
		process, err := dir.process()
		if err != nil {
			return nil, err
		}
		table = table.HeldBy(process)
	}
	if err := table.EndLeases(ctx); err != nil { // everybody's, where this process is alone
		return nil, err
	}
	var sealer eventstore.Sealer = seal.Sealer{Ring: v.Ring}
	if o.Sealing != nil {
		sealer = o.Sealing(sealer)
	}
	log := eventstore.NewLog(eventstore.Options{Store: v.store, Codec: codec.Catalog, Sealer: sealer, Leaves: places.leafIndex()})
	shreds := shred.Open(dir.File(ShredFile))
	if err := guard(ctx, log, keys, v.Ring, shreds); err != nil {
		return nil, err
	}

	wallets, consents, accesses, held, forgotten := wallet.New(), consentlog.New(), accesslog.New(), evidence.New(), erasures.New()
	models, err := places.openModels(ctx)
	if err != nil {
		return nil, err
	}
	models.Store, models.Codec, models.Logger, models.Leaves = v.store, codec.Catalog, o.Logger, places.leafIndex()
	if v.Runner, err = projections.New(models, wallets, consents, accesses, held, forgotten); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir.File(exportFolder), 0o700); err != nil {
		return nil, fmt.Errorf("export folder: %w", err)
	}
	files, closeFiles, err := openBlobs(ctx, dir, o.Blobs)
	if err != nil {
		return nil, err
	}
	onClose(closeFiles)
	v.Core = &api.Vault{
		Log: log, Keys: v.Ring, Rotator: v.keeper.rotator, Signer: v.keeper.signer, Destroyer: v.keeper.destroyer, Codec: codec.Catalog, Sealer: sealer, Requests: table,
		Words: &vocabulary.Holder{}, Runner: v.Runner,
		Wallets: wallets, ConsentLog: consents, AccessLog: accesses, Evidence: held, Erasures: forgotten,
		Shreds: shreds, Retentions: o.Retentions, Keeper: v.keeper.name, Blobs: files, Exports: dir.File(exportFolder),
		Now: time.Now, NewID: uuid.New, Slog: o.Logger,
	}

	if places.shared() {
		v.Core.EraseAfter = v.Ring.Lease()
		if o.Blobs == nil {
			o.Logger.WarnContext(ctx, "files of documents lie in this process's directory, where others do not find them: with several processes set COFFRE_BLOBS")
		}
	}
	if err := places.openReactors(ctx); err != nil {
		return nil, err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	if places.inOneDirectory() { // else the databases have tools of their own
		if v.Core.Backups, err = newBackups(ctx, background, dir, keys, filesOf(dir, files, o.Blobs != nil)); err != nil {
			stop()
			return nil, err
		}
	}
	var running sync.WaitGroup
	onClose(func() error { stop(); running.Wait(); return nil })
	keep := func(what string, run func(context.Context) error) {
		running.Go(func() {
			if err := run(background); err != nil && background.Err() == nil {
				v.failed <- fmt.Errorf("%s: %w", what, err)
			}
		})
	}
	keep("read models", v.Runner.Run)
	if places.leaves != nil {
		keep("leaves", places.leaves.Run)
	}
	begun := make(chan error, 1)
	work := api.RunOptions{Registry: o.Registry, Belgif: o.Belgif, Begun: func(err error) { begun <- err }}
	if places.shared() {
		work.InTurn = func(ctx context.Context, name string, run func(context.Context) error) error {
			return inTurn(ctx, places.lease, name, run)
		}
	}
	keep("core", func(ctx context.Context) error { return v.Core.Run(ctx, work) })
	select {
	case err := <-begun:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if own, ok := v.store.(scrubber); ok { // else the server verifies its own
		keep("scrubber", func(ctx context.Context) error {
			return inTurn(ctx, places.lease, "scrubber", func(ctx context.Context) error { return scrub(ctx, own, o.Logger, &v.damaged) })
		})
	}
	keep("reactors", func(ctx context.Context) error {
		return inTurn(ctx, places.lease, "reactors", func(ctx context.Context) error {
			return react(ctx, places.reactors, o, log, v.Core, v.Runner)
		})
	})

	own, provider, err := authenticators(dir, o, v.Ring)
	if err != nil {
		return nil, err
	}
	m := newMetrics(v)
	serving := func(auth api.Authenticator) http.Handler {
		server := &api.Server{
			Auth: auth, Now: time.Now, NewID: uuid.New, Slog: o.Logger,
			Health: v.Health, Ready: v.ready, Metrics: m.handler(), Observe: m.observe,
		}
		return server.Handler(operations{server, v.Core})
	}
	v.handler, v.control = serving(provider), serving(own)
	return v, nil
}

// operations answers every call of the contract: the edge its health, the vault
// the rest.
type operations struct {
	*api.Server
	*api.Vault
}

// authenticators returns who vouches for callers: this directory's own key, whose
// tokens are for its owner and for trying out, and the OpenID provider where one is
// configured, else the same key.
func authenticators(dir DataDir, o Options, ring *seal.Ring) (own, provider *token.Verifier, err error) {
	resolve := func(ctx context.Context, ssin domain.SSIN) (domain.CitizenID, error) {
		id, err := ring.Resolve(ctx, ssin)
		if errors.Is(err, seal.ErrUnknown) || errors.Is(err, eventstore.ErrErased) {
			return domain.CitizenID{}, nil
		}
		return id, err
	}
	key, err := token.OpenDevKey(dir.File(DevKeyFile))
	if err != nil {
		return nil, nil, err
	}
	own = token.NewDev(key, resolve, time.Now)
	if o.OIDCIssuer == "" {
		return own, own, nil
	}
	keys, err := token.NewDiscovered(o.OIDCIssuer, nil, time.Now)
	if err != nil {
		return nil, nil, err
	}
	return own, token.New(o.OIDCIssuer, o.OIDCAudience, keys, resolve, time.Now), nil
}

// ready says whether requests should be sent here: every read model answers and
// the process is not leaving. Keys that are away are no reason: withdrawals,
// revocations and metadata go on without them; health and metrics tell. Nor is the
// log: metadata go on without it, and no other process has another one.
func (v *Instance) ready(context.Context) error {
	select {
	case <-v.gone:
		return errors.New("the process is stopping")
	default:
	}
	if names := v.Runner.Starting(); len(names) > 0 {
		return fmt.Errorf("read model %s is being opened", names[0])
	}
	return nil
}

// Health says what clients may expect: everything, or less while a read model is
// built, stopped or far behind, or the keys are away.
func (v *Instance) Health(ctx context.Context) api.HealthStatus {
	all, err := v.Runner.Status(ctx)
	if err != nil {
		return api.HealthStatusDOWN
	}
	if !v.keeper.well(ctx) {
		return api.HealthStatusDEGRADED
	}
	for _, s := range all {
		if s.State != projections.Live && s.State != projections.CatchingUp {
			return api.HealthStatusDEGRADED
		}
	}
	return api.HealthStatusUP
}
