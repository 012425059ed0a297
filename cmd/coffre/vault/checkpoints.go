package vault

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/checkpoints"
	"coffre/eventstore/proof"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/transit"
	"coffre/handlers/contract"
	"coffre/projections/transparency"
)

// CheckpointsConfig says where the last checkpoint of the log is kept outside the databases,
// and how often one is signed.
type CheckpointsConfig struct {
	At     string        // COFFRE_CHECKPOINTS: file:PATH, vault-kv:MOUNT/PATH or postgres-other:postgres://...; default a file in the data directory
	Every  time.Duration // COFFRE_CHECKPOINT_EVERY: 0 means 1s
	Events int64         // COFFRE_CHECKPOINT_EVENTS: as many events are enough before; 0 means 1000
}

const (
	checkpointFile  = "log.checkpoint" // the last one, where nothing else is said
	inFile          = "file:"
	inOtherPostgres = "postgres-other:"
	inVault         = "vault-kv:"
)

// Variables of checkpoints.
const (
	CheckpointsVariable      = "COFFRE_CHECKPOINTS"
	CheckpointEveryVariable  = "COFFRE_CHECKPOINT_EVERY"
	CheckpointEventsVariable = "COFFRE_CHECKPOINT_EVENTS"
)

// Bounds of how often a checkpoint is signed.
const (
	minEvery, maxEvery = 100 * time.Millisecond, time.Hour
	maxEvents          = 1_000_000
)

// ReadCheckpoints reads where and how often from three texts, which may be empty, and
// reports all that is wrong with them without repeating an address.
func ReadCheckpoints(at, every, events string) (c CheckpointsConfig, err error) {
	var wrong []error
	c.At = at
	path, file := strings.CutPrefix(at, inFile)
	address, other := strings.CutPrefix(at, inOtherPostgres)
	secret, kept := strings.CutPrefix(at, inVault)
	if _, _, ok := transit.KVPlace(secret); at != "" && (!file || path == "") && (!other || !OnPostgres(address)) && (!kept || !ok) {
		wrong = append(wrong, errors.New(CheckpointsVariable+" is file:PATH, vault-kv:MOUNT/PATH or postgres-other:postgres://user@host:port/database"))
	}
	if every != "" {
		if c.Every, err = time.ParseDuration(every); err != nil || c.Every < minEvery || c.Every > maxEvery {
			wrong = append(wrong, fmt.Errorf("%s is a duration from %s to %s, such as 1s", CheckpointEveryVariable, minEvery, maxEvery))
		}
	}
	if events != "" {
		if c.Events, err = strconv.ParseInt(events, 10, 64); err != nil || c.Events < 1 || c.Events > maxEvents {
			wrong = append(wrong, fmt.Errorf("%s is a number of events, from 1 to %d", CheckpointEventsVariable, maxEvents))
		}
	}
	return c, errors.Join(wrong...)
}

// errNoVault says which Vault is meant.
var errNoVault = errors.New(CheckpointsVariable + ": vault-kv: is in the Vault of COFFRE_VAULT_ADDR, which is not set")

// errSamePlace says that a restore of the databases would take the checkpoint back, too.
var errSamePlace = errors.New(CheckpointsVariable + ": the last checkpoint must lie in another database than the vault, or a restore takes both back")

// openCheckpoints opens what keeps checkpoints, and makes what publishes them.
func (a *assembly) openCheckpoints(ctx context.Context) error {
	kept, err := checkpoints.In(ctx, a.places.keys)
	if err != nil {
		return err
	}
	outside, err := a.outside(ctx)
	if err != nil {
		return err
	}
	a.publisher = &transparency.Publisher{
		Tree: a.models.tree, Log: a.store, Leaves: a.places.leafIndex(), Signer: a.keeper.signer, Keys: logKeys{a.Ring},
		Kept: kept, Outside: outside, Now: time.Now, Logger: a.o.Logger, Every: a.o.Checkpoints.Every, Events: a.o.Checkpoints.Events,
	}
	return nil
}

// outside opens the place of the last checkpoint outside the databases.
func (a *assembly) outside(ctx context.Context) (checkpoints.Place, error) {
	if address, other := strings.CutPrefix(a.o.Checkpoints.At, inOtherPostgres); other && (address == a.places.at.Log || address == a.places.at.Keys || address == a.places.at.ReadModels) {
		return nil, errSamePlace
	}
	place, doubts, err := a.o.Checkpoints.openOutside(ctx, a.dir, a.o.Transit, a.onClose)
	for _, doubt := range doubts {
		a.o.Logger.WarnContext(ctx, doubt)
	}
	return place, err
}

// openOutside opens the place that At names, of a vault in a directory; onClose is told what
// closes it. doubts are sentences for the operator about the database.
func (c CheckpointsConfig) openOutside(ctx context.Context, dir DataDir, keys *TransitConfig, onClose func(func() error)) (_ checkpoints.Place, doubts []string, err error) {
	if secret, kept := strings.CutPrefix(c.At, inVault); kept {
		if keys == nil {
			return nil, nil, errNoVault
		}
		place, err := transit.OpenKV(ctx, keys.Adapter(), secret)
		if err != nil {
			return nil, nil, fmt.Errorf("last checkpoint: %w", err)
		}
		onClose(place.Close)
		return place, nil, nil
	}
	if path, file := strings.CutPrefix(c.At, inFile); file {
		return checkpoints.InFile(path), nil, nil
	}
	address, other := strings.CutPrefix(c.At, inOtherPostgres)
	if !other {
		return checkpoints.InFile(dir.File(checkpointFile)), nil, nil
	}
	db, doubts, err := keysdb.OpenPostgres(ctx, address)
	if err != nil {
		return nil, nil, fmt.Errorf("last checkpoint: %w", err)
	}
	onClose(db.Close)
	place, err := checkpoints.In(ctx, db)
	return place, doubts, err
}

// logKeys are the public keys that ever signed the log, as the key ring has them on record.
type logKeys struct{ ring *seal.Ring }

func (k logKeys) Note(ctx context.Context, id string, public ed25519.PublicKey) error {
	return k.ring.Ledger().NoteSigningKey(ctx, seal.SigningKey{Purpose: string(contract.SigningPurposeLog), ID: id, Public: public})
}

func (k logKeys) Public(ctx context.Context) ([]ed25519.PublicKey, error) {
	all, err := k.ring.Ledger().SigningKeys(ctx)
	var public []ed25519.PublicKey
	for _, one := range all {
		if one.Purpose == string(contract.SigningPurposeLog) {
			public = append(public, one.Public)
		}
	}
	return public, err
}

// checkpointWitness is the last checkpoint, which has seen as many events as it covers. One
// from before a loss that was accepted saw a log that is not there any more.
func (a *assembly) checkpointWitness() witness {
	return witness{audit.Checkpoint, "the last checkpoint", func(ctx context.Context) (string, eventstore.Position, error) {
		c, ok, err := a.publisher.Newest(ctx)
		if err != nil || !ok || c.Size == 0 {
			return "", eventstore.Position{}, err
		}
		accepted, err := keysdb.Do(ctx, a.places.keys, func(tx *keysdb.Tx) (n int, err error) {
			err = tx.Row(`SELECT count(*) FROM losses WHERE at > ?`, []any{c.Time.UnixMicro()}, &n)
			return n, err
		})
		if err != nil || accepted > 0 || a.places.ahead != nil {
			return "", eventstore.Position{}, err // of a leaf index that is ahead its own witness tells
		}
		at, err := a.places.leafIndex().Position(ctx, c.Size-1)
		return saysCheckpoint(c), at, err
	}}
}

const (
	treeOpens = 5 * time.Second // the longest that a start waits for a tree that is there to be opened
	treeLook  = 2 * time.Millisecond
)

// compareCheckpoint compares the log with its last checkpoint once the tree over it is
// opened. A tree that has to be built, or is opened too slowly, is compared by the
// publisher when it is there, which ends the process then; nothing is signed before.
func (a *assembly) compareCheckpoint(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, treeOpens)
	defer cancel()
	look := time.NewTicker(treeLook)
	defer look.Stop()
	for slices.Contains(a.Runner.Starting(), a.models.tree.Name()) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(a.life)
		}
	}
	return a.publisher.Compare(ctx)
}

// lastCheckpointWait is the longest that a process that stops takes to have its last events
// signed.
const lastCheckpointWait = 3 * time.Second

// SignEnd has a checkpoint cover the end of the log, within a few seconds. A process that stops
// calls it once nobody asks it any more, so that what it leaves behind is proved to its end.
// Events that no checkpoint covers are lost to nobody: the next start has them signed.
func (v *Instance) SignEnd(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastCheckpointWait)
	defer cancel()
	_, _ = v.publisher.Finish(ctx) // what is not signed now is signed at the next start
}

// saysCheckpoint tells people what a checkpoint covers.
func saysCheckpoint(c proof.Checkpoint) string {
	return fmt.Sprintf("of %s, with %d events under the root %x,", c.Time.Format(time.RFC3339), c.Size, c.Root[:8])
}

// lateCheckpoint is how old the last checkpoint may be before an operator should look: it is
// signed again each minute.
const lateCheckpoint = 5 * time.Minute

// proofDetail tells operators how old the last checkpoint is, and who cosigned.
func (v *Instance) proofDetail(ctx context.Context, w witnesses) string {
	says := v.checkpointDetail(ctx)
	if cosigned := v.witnessesDetail(ctx, w); cosigned != "" {
		says += "; " + cosigned
	}
	return says
}

func (v *Instance) checkpointDetail(ctx context.Context) string {
	age, ok, err := v.publisher.Age(ctx)
	switch {
	case err != nil:
		return "the last checkpoint of the log cannot be read"
	case !ok:
		size, err := v.publisher.Tree.Size(ctx)
		if err != nil {
			return "no checkpoint of the log is signed yet; the tree over it is being built"
		}
		return fmt.Sprintf("no checkpoint of the log is signed yet; the tree has %d events", size)
	case age > lateCheckpoint:
		return fmt.Sprintf("the last checkpoint of the log is late: it is %s old", age.Round(time.Second))
	}
	return fmt.Sprintf("the last checkpoint of the log is %s old", age.Round(time.Second))
}
