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
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"

	samples "coffre/deploy/registry"
	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/eventstore/blob"
	"coffre/eventstore/certificates"
	"coffre/eventstore/codec"
	"coffre/eventstore/exports"
	"coffre/eventstore/jobs"
	"coffre/eventstore/quotas"
	"coffre/eventstore/replays"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/shred"
	"coffre/eventstore/sessions"
	"coffre/eventstore/traffic"
	"coffre/handlers/acting"
	"coffre/handlers/api"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/reactors"
	"coffre/handlers/reactors/webhook"
	"coffre/handlers/work"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/consentlog"
	"coffre/projections/erasures"
	"coffre/projections/evidence"
	"coffre/projections/signals"
	"coffre/projections/terms"
	"coffre/projections/transparency"
	"coffre/projections/vocabulary"
	"coffre/projections/wallet"
)

// Gather is how long the log of a server waits for company; measured for many HTTP
// clients.
const Gather = 700 * time.Microsecond

// Options say how the vault of a data directory is opened. The zero value is right for a
// command that opens a directory for a moment.
type Options struct {
	Logger   *slog.Logger // default: nothing is logged
	Registry fs.FS        // published when the log holds none; default: the samples
	Belgif   fs.FS        // Belgian code lists for labels; nil: short labels
	// OIDC says which provider's tokens count. Without one those of `coffre token` do, in a
	// vault that never had one.
	OIDC *OIDCConfig
	// Login says as which client of that provider the pages log people in; nil: no pages are
	// served but in a vault for trying out.
	Login *LoginConfig
	// Contact is the address that the pages name for people who cannot use one; "": none.
	Contact string
	// Certificates are what the process shows to those who connect, and whom it trusts there; nil:
	// TLS ends in front of it.
	Certificates *Certificates
	// KurrentCertFile is what KurrentDB's clients are shown, whose end is looked at; "": nothing.
	KurrentCertFile string
	// Public is where callers reach the vault, as they write it; nil: tokens that are bound to
	// a key are refused.
	Public *url.URL
	// Dev asks for a vault for trying out: Open refuses one that ever had an issuer.
	Dev     bool
	Webhook *WebhookOptions // nil: nobody is told
	Ebox    *EboxConfig     // nil: nobody is written to
	Brokers *BrokersConfig  // nil: nobody is told through a broker
	Prices  *api.Prices     // nil: nothing has a price
	Traces  *Traces         // nil: nothing is recorded
	// Gather is how long the log waits for company before it syncs few appends.
	Gather  time.Duration
	Transit *TransitConfig // nil: keys lie in a file beside the data
	Blobs   *BlobsConfig   // nil: files of documents lie in a folder beside the data
	Stores  StoresConfig
	// Checkpoints says where the last checkpoint of the log lies outside the databases.
	Checkpoints CheckpointsConfig
	// Witnesses are asked to cosign checkpoints; nil: none are.
	Witnesses *WitnessesConfig
	// KeyLease is how long keys in memory are used without asking whether they were
	// destroyed, and how long an erasure waits where processes share the keys; all of
	// them must have the same. 0 means seal.MaxLease.
	KeyLease time.Duration
	// Retentions are those stated for copies of keys; nil: none, and no erasure is final.
	Retentions *citizen.Retentions
	// SuppressionReview is how long an erasure is remembered before it is due for a review;
	// 0: as long as by default.
	SuppressionReview time.Duration
	// Limits are the bounds of budgets that differ from their defaults.
	Limits acting.Limits
	// Duty is what this process does with keys; where processes share them, each has one.
	Duty Duty
	// Opening is told how far Open is; nil: nobody asks.
	Opening *Opening
	// Sealing, when set, stands before what the log seals with and the answers open with:
	// tests show with it what would be seen if nothing were sealed.
	Sealing func(eventstore.Sealer, eventstore.Opener) (eventstore.Sealer, eventstore.Opener)

	acceptLoss bool // see AcceptLoss
}

// Open puts the vault of a directory together, which the caller owns, and starts it.
func Open(ctx context.Context, dir DataDir, o Options) (_ *Instance, err error) {
	if err := dir.restoredWhole(); err != nil {
		return nil, err
	}
	a := newAssembly(ctx, dir, o)
	defer func() {
		if err != nil {
			o.Opening.failed()
			err = errors.Join(err, a.Close())
		}
	}()
	for _, step := range []struct {
		doing contract.StartStep
		parts []func(context.Context) error
	}{
		{contract.StartStepDatabases, []func(context.Context) error{a.openTracer, a.openStores}},
		{contract.StartStepKeys, []func(context.Context) error{a.openKeys}},
		{contract.StartStepLog, []func(context.Context) error{a.openLog}},
		{contract.StartStepDatabases, []func(context.Context) error{
			a.openReadModels, a.openCheckpoints, a.openWitnesses, a.openFiles, a.compareFiles, a.compareSettings, a.makeCore, a.openReactors, a.openNotices,
		}},
		{contract.StartStepLog, []func(context.Context) error{a.compareEnds}},
		{contract.StartStepWork, []func(context.Context) error{a.openBackups, a.nameProvider, a.makeHandlers}},
		{contract.StartStepReadModels, []func(context.Context) error{a.start, a.checkEbox, a.checkBrokers, a.recordActs}},
	} {
		o.Opening.begin(step.doing, a)
		for _, part := range step.parts {
			if err := part(ctx); err != nil {
				return nil, err
			}
		}
	}
	return a.Instance, nil
}

// review is the term after which the memory of an erasure is due for a review.
func (o Options) review() time.Duration {
	return cmp.Or(o.SuppressionReview, defaultReviewDays*24*time.Hour)
}

// assembly is an instance that is being put together, part by part, each of what those
// before it opened. What a part opens is closed by the instance, last opened first.
type assembly struct {
	*Instance
	dir    DataDir
	o      Options
	life   context.Context // ends when the instance is closed
	end    context.CancelFunc
	places *stores
	logEnd logEnd

	sealer    eventstore.Sealer
	opener    eventstore.Opener
	destroyer *seal.Destroyer
	rotator   *seal.Rotator
	requests  *requests.Table
	quotas    *quotas.Table
	replays   *replays.Table
	sessions  *sessions.Table
	traffic   *traffic.Table
	shreds    *shred.List
	log       *eventstore.Log
	models    readModels
	files     blob.Store
	provided  bool // a provider vouches for callers, or once did
}

// readModels are all there are.
type readModels struct {
	wallets   *wallet.Wallets
	consents  *consentlog.Log
	accesses  *accesslog.Log
	evidence  *evidence.Evidence
	forgotten *erasures.Erasures
	tree      *transparency.Tree
	signals   *signals.Signals
	terms     *terms.Terms
}

// newModels are all the read models there are, unbuilt.
func newModels() readModels {
	return readModels{wallet.New(), consentlog.New(), accesslog.New(), evidence.New(), erasures.New(), transparency.New(), signals.New(), terms.New()}
}

// all lists the read models.
func (m readModels) all() []projections.Projection {
	return []projections.Projection{m.wallets, m.consents, m.accesses, m.evidence, m.forgotten, m.tree, m.signals, m.terms}
}

func newAssembly(ctx context.Context, dir DataDir, o Options) *assembly {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = samples.Files
	}
	a := &assembly{Instance: &Instance{alarm: newAlarm(o.Logger), trusts: o.trustFiles(), failed: make(chan error, 8), gone: make(chan struct{})}, dir: dir, o: o}
	a.models = newModels()
	a.life, a.end = context.WithCancel(context.WithoutCancel(ctx))
	a.onClose(func() error { a.end(); return nil })
	return a
}

// openStores opens the log's store; the other databases are opened when their turn
// comes.
func (a *assembly) openStores(ctx context.Context) (err error) {
	if a.places, err = openStores(ctx, a.dir, a.o, a.alarm.report, a.onClose); err != nil {
		return err
	}
	a.store = a.places.log
	a.room = a.places.room
	return nil
}

// openKeys opens the keeper and the key ring, and what of requests is remembered
// beside them.
func (a *assembly) openKeys(ctx context.Context) (err error) {
	if a.keeper, err = a.places.openKeysUnder(ctx, a.o.Transit.of(a.o.Duty)); err != nil {
		return err
	}
	a.keys = a.places.keys
	a.keys.OnDamage(tellDamage(context.WithoutCancel(ctx), a.o.Logger))
	if a.Ring, err = seal.OpenRing(ctx, a.places.keys, a.keeper, seal.Config{Lease: a.o.KeyLease}); err != nil {
		return err
	}
	a.onClose(a.Ring.Close)
	if err := a.takeAuthorities(ctx); err != nil {
		return err
	}
	a.sealer, a.opener = seal.Sealer{Ring: a.Ring}, seal.Opener{Ring: a.Ring}
	if a.o.Sealing != nil {
		a.sealer, a.opener = a.o.Sealing(a.sealer, a.opener)
	}
	a.requests, err = requests.Open(ctx, a.places.keys, a.Ring.RequestMAC, nil)
	if err != nil {
		return err
	}
	if a.quotas, err = quotas.Open(ctx, a.places.keys, a.Ring.RequestMAC, quotas.Options{Logger: a.o.Logger, Others: a.Ring.OtherRequestMACs}); err != nil {
		return err
	}
	if a.replays, err = replays.Open(ctx, a.places.keys, a.Ring.RequestMAC, replays.Options{Logger: a.o.Logger, Others: a.Ring.OtherRequestMACs}); err != nil {
		return err
	}
	if a.sessions, err = sessions.Open(ctx, a.places.keys); err != nil {
		return err
	}
	if a.traffic, err = traffic.Open(ctx, a.places.keys, traffic.Options{Logger: a.o.Logger}); err != nil {
		return err
	}
	a.requests = a.requests.AlsoUnder(a.Ring.OtherRequestMACs).RefusingWhen(a.shortOfReserve)
	if a.places.shared() {
		process, err := a.dir.process()
		if err != nil {
			return err
		}
		a.requests = a.requests.HeldBy(process)
	}
	return a.requests.EndLeases(ctx) // everybody's, where this process is alone
}

// takeAuthorities takes over the ring what the duty of this process needs, and says where
// nothing but the program keeps the authorities apart.
func (a *assembly) takeAuthorities(ctx context.Context) (err error) {
	if a.o.Duty.destroys() {
		if a.destroyer, err = a.Ring.TakeDestroyer(); err != nil {
			return err
		}
	}
	if a.o.Duty.rotates() {
		if a.rotator, err = a.Ring.TakeRotator(a.keeper.rotator); err != nil {
			return err
		}
	}
	if !a.places.shared() {
		return nil
	}
	owned, err := a.places.keys.Owned(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("rights in the key database: %w", err)
	case a.o.Duty == Alone:
		a.o.Logger.WarnContext(ctx, "this process answers requests, destroys keys and replaces them: with coffre destroyer and coffre rotator beside it the database itself keeps that apart")
	case owned:
		a.o.Logger.WarnContext(ctx, "the role of this process owns the key database, which refuses it nothing: coffre store prepare makes a role for each duty")
	}
	return nil
}

// openLog opens the log over its store and compares it with the key ring.
func (a *assembly) openLog(ctx context.Context) error {
	a.log = eventstore.NewLog(eventstore.Options{
		Store: a.store, Codec: codec.Catalog, Sealer: a.sealer, Leaves: a.places.leafIndex(), Appended: a.logEnd.reached, Knows: a.models.knows,
	})
	a.shreds = shred.Open(a.dir.File(ShredFile))
	var ring keyRing = checkedRing{a.Ring}
	if a.destroyer != nil {
		ring = servedRing{a.Ring, a.destroyer}
	}
	return guard(ctx, a.log, a.places.keys, ring, a.shreds)
}

// openReadModels opens the read models; they follow the log when the instance runs.
func (a *assembly) openReadModels(ctx context.Context) error {
	if err := a.places.openModels(ctx); err != nil {
		return err
	}
	o := projections.Options{Medium: a.places.models, Store: a.store, Codec: codec.Catalog, Logger: a.o.Logger, Leaves: a.places.leafIndex()}
	var err error
	a.Runner, err = projections.New(o, a.models.all()...)
	return err
}

// openFiles opens the store of documents' files and the folder of exports.
func (a *assembly) openFiles(ctx context.Context) error {
	if err := os.MkdirAll(a.dir.File(exportFolder), 0o700); err != nil {
		return fmt.Errorf("export folder: %w", err)
	}
	files, closeFiles, err := openBlobs(ctx, a.dir, a.o.Blobs)
	if err != nil {
		return err
	}
	a.files = files
	a.onClose(closeFiles)
	return nil
}

// makeCore makes what answers the contract of what was opened.
func (a *assembly) makeCore(ctx context.Context) error {
	recorder := &acting.Recorder{
		Log: a.log, Keys: a.Ring, Requests: a.requests, Quotas: a.quotas, Limits: a.o.Limits, Words: &vocabulary.Holder{}, Runner: a.Runner,
		Now: time.Now, NewID: uuid.New, Slog: a.o.Logger,
	}
	discloser := disclosure.New(disclosure.Config{
		Recorder: recorder, Opener: a.opener, Codec: codec.Catalog, Wallets: a.models.wallets, AccessLog: a.models.accesses, Blobs: a.files,
	})
	certified, err := certificates.In(ctx, a.places.keys)
	if err != nil {
		return err
	}
	under, err := jobs.Open(ctx, a.places.keys, nil)
	if err != nil {
		return err
	}
	working := work.Config{
		Discloser: discloser, Destroyer: a.destroyer, Rotator: a.rotator, Shreds: a.shreds,
		Others: a.o.Duty != Alone, Answers: a.o.Duty.answers(), Certified: certified, Jobs: under,
		ConsentLog: a.models.consents, Erasures: a.models.forgotten, Keeper: a.keeper.name,
		LogSigner: a.keeper.signer, Proof: a.publisher, Retentions: a.o.Retentions,
	}
	if a.o.Duty.destroys() {
		working.CertificateSigner = a.keeper.certifier
	}
	if working.Exports, err = a.exports(ctx); err != nil {
		return err
	}
	if a.o.Duty.answers() {
		if working.Compare, err = a.compares(); err != nil {
			return err
		}
	}
	if a.places.shared() {
		working.EraseAfter = a.Ring.Lease()
		if a.o.Blobs == nil {
			a.o.Logger.WarnContext(ctx, "files of documents and exports lie in this process's directory, where others do not find them: with several processes set COFFRE_BLOBS")
		}
	}
	if a.o.Duty.answers() {
		a.rehearse = a.rehearsal
	}
	a.Core = &api.Vault{Worker: work.New(working), Evidence: a.models.evidence, Signals: a.models.signals, Witnesses: a.cosigning, Review: a.o.review(), Traffic: a.traffic, Prices: a.o.Prices}
	return nil
}

// exports opens what keeps exports: in the directory of the only process, or where all
// processes find them.
func (a *assembly) exports(ctx context.Context) (work.Exports, error) {
	if !a.places.shared() {
		return work.NewExportFolder(a.dir.File(exportFolder)), exports.Migrate(ctx, a.places.keys)
	}
	process, err := a.dir.process()
	if err != nil {
		return nil, err
	}
	table, err := exports.Open(ctx, a.places.keys, a.Ring.RequestMACAt, process, nil)
	if err != nil {
		return nil, err
	}
	return work.NewSharedExports(table, a.files, a.dir.File(exportFolder))
}

// openReactors opens what the reactors remember, in a process that reacts.
func (a *assembly) openReactors(ctx context.Context) error {
	if !a.o.Duty.answers() {
		return nil
	}
	return a.places.openReactors(ctx)
}

// openNotices lets the core read what the reactors told others, and operators see to the webhook.
func (a *assembly) openNotices(ctx context.Context) error {
	if !a.o.Duty.answers() {
		return nil
	}
	told, err := webhook.NewTold(ctx, a.places.reactors)
	if err != nil {
		return err
	}
	desk, err := webhook.NewDesk(ctx, a.places.reactors)
	if err != nil {
		return err
	}
	a.Core.Notices, a.Core.Webhooks = notices{told}, webhooks{desk}
	a.Core.Reactors = reactorDesk{reactors.Desk{DB: a.places.reactors}, a.log}
	if a.book, err = webhook.NewBook(ctx, a.places.reactors, a.Ring.Secrets()); err != nil {
		return err
	}
	policy := webhook.Policy{Dev: a.o.Dev}
	a.Core.Subscriptions = subscriptions{a.book, policy}
	a.sender = webhook.NewSender(webhook.SenderOptions{
		Book: a.book, Policy: policy, Logger: a.o.Logger, Tracer: a.tracer, Next: signalsFor(a.Core),
		Ended: func(ctx context.Context, s webhook.Subscription, event uuid.UUID) error {
			return a.Core.RecordGone(ctx, s.ID, event)
		},
	})
	if err := a.openClock(ctx); err != nil {
		return err
	}
	if err := a.openEbox(ctx); err != nil {
		return err
	}
	if err := a.openBrokers(ctx); err != nil {
		return err
	}
	if a.o.Webhook == nil {
		return nil
	}
	a.hook, err = a.o.Webhook.open(ctx, a.places.reactors, a.log, a.tracer, a.o.Logger)
	return err
}

// openBackups lets the core take backups where the directory holds everything, or PostgreSQL
// log and keys; else the databases have tools of their own. Those PostgreSQL has, too.
func (a *assembly) openBackups(ctx context.Context) error {
	var open func(context.Context) (moment, error)
	switch {
	case a.places.inOneDirectory():
		open = a.dir.openMoment
	case OnPostgres(a.places.at.Log) && a.o.Duty.answers(): // and so the keys
		open = func(life context.Context) (moment, error) {
			if err := a.hasFiles(life); err != nil {
				return nil, err
			}
			return a.places.openMoment(life)
		}
		a.Core.OwnTools = true
	default:
		return nil
	}
	b, err := newBackups(ctx, a.life, a.places.keys, filesOf(a.dir, a.files, a.o.Blobs != nil), open)
	if err != nil {
		return err
	}
	a.Core.Backups = b
	return nil
}

// hasFiles returns api.ErrFilesElsewhere when files of documents lie in the directories of other
// processes, where a backup of this one would not find them.
func (a *assembly) hasFiles(ctx context.Context) error {
	if a.o.Blobs != nil {
		return nil
	}
	here := map[uuid.UUID]bool{}
	if err := a.files.Walk(ctx, func(i blob.Info) error { here[i.Name] = true; return nil }); err != nil {
		return err
	}
	known, err := seal.StoredFiles(ctx, a.places.keys) // last, so that what is removed meanwhile is not missed
	if err != nil {
		return err
	}
	if slices.ContainsFunc(known, func(id domain.AttachmentID) bool { return !here[id.UUID] }) {
		return api.ErrFilesElsewhere
	}
	return nil
}
