package work

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/handlers/acting"
	"coffre/handlers/certificate"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/consentlog"
)

// ExportManifest is the stored description of an export: its filter, its state and, once
// the content is complete, the number of its rows and their SHA-256 in hexadecimal digits.
type ExportManifest struct {
	Export    uuid.UUID                `json:"export"`
	Kind      contract.ExportKind      `json:"kind"`
	Format    contract.ExportFormat    `json:"format"`
	Dialect   contract.ExportDialect   `json:"dialect,omitempty"`
	Separator contract.ExportSeparator `json:"separator,omitempty"`
	Filter    consentlog.Filter        `json:"narrowedTo"`
	// Former are the former lives of the person that Filter names.
	Former []domain.CitizenID `json:"former,omitempty"`
	// AsOf and Leaf are set together when the file tells what was known at a moment: up to a
	// leaf, -1 before the first one.
	AsOf      *time.Time         `json:"asOf,omitempty"`
	Leaf      *int64             `json:"leaf,omitempty"`
	State     contract.TaskState `json:"state"`
	Created   time.Time          `json:"created"`
	Completed time.Time          `json:"completed,omitzero"`
	Rows      int64              `json:"rows"`
	Sha256    string             `json:"sha256,omitempty"`
	// Events is how many events of the log the content tells of: the first ones. Checkpoint
	// covers them, and without AsOf ends where the content ends; absent where the log is not
	// signed.
	Events     int64  `json:"events,omitempty"`
	Checkpoint string `json:"checkpoint,omitempty"`
	// Signed is the manifest that goes with the file, as a signed note; absent where the log is
	// not signed.
	Signed string `json:"signed,omitempty"`
}

// SaveExport keeps a new export, durably.
func (work *Worker) SaveExport(ctx context.Context, m ExportManifest) error {
	return work.exports.Add(ctx, m)
}

// ExportManifest returns the manifest of an export. It returns edge.ErrNoResource for an
// export that does not exist or has expired.
func (work *Worker) ExportManifest(ctx context.Context, id uuid.UUID) (ExportManifest, error) {
	m, err := work.exports.Find(ctx, id)
	switch {
	case err != nil:
		return ExportManifest{}, err
	case work.exportExpired(m):
		return ExportManifest{}, edge.ErrNoResource
	}
	return m, nil
}

// OpenExport returns the content of an export that is done and its size in bytes. The caller
// closes it. Errors are those of Exports.Open.
func (work *Worker) OpenExport(ctx context.Context, m ExportManifest) (io.ReadSeekCloser, int64, error) {
	return work.exports.Open(ctx, m)
}

// exportExpired reports whether an export is older than ExportLifetime.
func (work *Worker) exportExpired(m ExportManifest) bool {
	return work.Now().Sub(m.Created) >= ExportLifetime
}

// Exports returns the manifests of all exports that are kept, in the order in which they were
// asked for.
func (work *Worker) Exports(ctx context.Context) ([]ExportManifest, error) {
	return work.exports.All(ctx)
}

// resumeExports makes the exports again that a crash cut off, of this process or of one that
// is gone.
func (work *Worker) resumeExports(ctx context.Context) error {
	all, err := work.exports.Unfinished(ctx)
	for _, m := range all {
		if !work.exportExpired(m) {
			work.EnqueueExport(m)
		}
	}
	return err
}

// removeOldExports removes expired exports.
func (work *Worker) removeOldExports(ctx context.Context) error {
	all, err := work.exports.All(ctx)
	if err != nil {
		return err
	}
	for _, m := range all {
		if !work.exportExpired(m) {
			continue
		}
		if err := work.exports.Remove(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// EnqueueExport enqueues the task that writes an export's content. An export that fails
// stays failed: another one has to be requested, which is on record, too.
func (work *Worker) EnqueueExport(m ExportManifest) {
	name := "export " + m.Export.String()
	if work.tasks.busy(name) {
		return // it is at it, or will be
	}
	work.tasks.enqueue(name, func(ctx context.Context) error {
		var rows int64
		var end exportEnd
		sum := sha256.New() // of this attempt
		making, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		work.stops.Store(m.Export, stop)
		defer work.stops.Delete(m.Export)
		err := work.exports.Make(making, m, func(ctx context.Context, w io.Writer) (err error) {
			if end, err = work.exportEnd(ctx, m); err == nil {
				rows, err = work.exportContent(ctx, m, end, io.MultiWriter(w, sum))
			}
			return err
		}, func(err error) (ExportManifest, error) {
			switch {
			case making.Err() != nil:
				return ExportManifest{}, making.Err() // the next start makes it, unless it was cancelled
			case passes(err):
				return ExportManifest{}, err
			}
			ended := m
			ended.State, ended.Completed = contract.TaskStateDone, work.Timestamp()
			ended.Rows, ended.Sha256, ended.Events, ended.Checkpoint = rows, hex.EncodeToString(sum.Sum(nil)), end.leaf+1, end.checkpoint
			if err != nil {
				work.Slog.ErrorContext(ctx, "an export failed", slog.String("export", m.Export.String()), slog.Any("error", err))
				ended.State, ended.Rows, ended.Sha256, ended.Events, ended.Checkpoint = contract.TaskStateFailed, 0, "", 0, ""
			}
			if ended.State == contract.TaskStateDone && ended.Checkpoint != "" {
				if ended.Signed, err = work.signExport(ctx, ended); err != nil {
					return ExportManifest{}, err // it passes: the log was signed a moment ago
				}
			}
			return ended, nil
		})
		if errors.Is(context.Cause(making), errCancelled) {
			return nil
		}
		return err
	})
}

var errCancelled = errors.New("the export was cancelled")

// StopExport ends an export that is queued or being made, in whatever process, and removes
// what is stored of it. Its task here stops at once, that of another process within
// [exports.VouchEvery]. It returns the manifest that stands, which is another one where the
// export had ended before, and edge.ErrNoResource for an export that does not exist.
func (work *Worker) StopExport(ctx context.Context, m ExportManifest) (ExportManifest, error) {
	cancelled := m
	cancelled.State, cancelled.Completed = contract.TaskStateCancelled, work.Timestamp()
	now, err := work.exports.Cancel(ctx, cancelled)
	if now.State == contract.TaskStateCancelled {
		if stop, here := work.stops.Load(m.Export); here {
			stop.(context.CancelCauseFunc)(errCancelled)
		}
	}
	return now, err
}

// clearCancelled removes what a crash left of exports that were cancelled.
func (work *Worker) clearCancelled(ctx context.Context) error {
	all, err := work.exports.All(ctx)
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.State != contract.TaskStateCancelled {
			continue
		}
		if _, err := work.exports.Cancel(ctx, m); err != nil && !errors.Is(err, edge.ErrNoResource) {
			return err
		}
	}
	return nil
}

// signExport returns the signed manifest of an export that is done.
func (work *Worker) signExport(ctx context.Context, m ExportManifest) (string, error) {
	note, err := certificate.SignManifest(ctx, certificate.Manifest{
		Export: m.Export, Kind: m.Kind, Format: m.Format, Dialect: m.Dialect, Separator: m.Separator, Rows: m.Rows, Sha256: m.Sha256, Events: m.Events, AsOf: m.AsOf,
		OnePerson: m.Filter.Citizen != nil, Consumer: m.Filter.Consumer, Purpose: m.Filter.Purpose, From: m.Filter.From, Until: m.Filter.Until, Asked: m.Created, Checkpoint: m.Checkpoint,
	}, work.logSigner)
	return string(note), err
}

// passes reports whether an export that failed with err will go well later: read models that
// are behind or being built, keys, databases or the signer of the log that are away.
func passes(err error) bool {
	for _, away := range []error{acting.ErrModelsBehind, projections.ErrNotReady, eventstore.ErrUnavailable, eventstore.ErrKeysUnavailable, errNotSignedYet} {
		if errors.Is(err, away) {
			return true
		}
	}
	return false
}

// checkpointTime bounds how long an attempt at an export waits for the checkpoint that it ends
// at.
const checkpointTime = 10 * time.Second

var errNotSignedYet = errors.New("no checkpoint covers the events of the export yet")

// exportEnd is where an export ends.
type exportEnd struct {
	leaf       int64     // the last one told of; -1 for none
	at         time.Time // the moment in which states are told
	checkpoint string    // covers the leaf; "" where the log is not signed
}

// exportEnd returns where an export ends, to which the read models have come: at the leaf that
// was asked for, or else at the next checkpoint that covers everything recorded so far. It
// returns errNotSignedYet when none is signed in time.
func (work *Worker) exportEnd(ctx context.Context, m ExportManifest) (end exportEnd, err error) {
	end.at = m.Created
	switch {
	case m.Leaf != nil:
		end.leaf, end.at = *m.Leaf, *m.AsOf
	default:
		head, err := work.Log.Head(ctx)
		if err != nil {
			return end, fmt.Errorf("end of the log: %w", err)
		}
		if end.leaf, err = work.Log.Leaves().Leaf(ctx, head); err != nil {
			return end, fmt.Errorf("end of the log: %w", err)
		}
	}
	if work.Proof != nil {
		limited, cancel := context.WithTimeout(ctx, checkpointTime)
		defer cancel()
		note, err := work.Proof.Await(limited, max(end.leaf, 0))
		switch {
		case err == nil:
		case ctx.Err() == nil && limited.Err() != nil:
			return end, errNotSignedYet
		default:
			return end, err
		}
		c, err := proof.Peek(note)
		if err != nil {
			return end, err
		}
		end.checkpoint = string(note)
		if m.Leaf == nil {
			end.leaf, end.at = c.Size-1, c.Time
		}
	}
	return end, work.WaitForHead(ctx, work.ConsentLog.Name(), work.AccessLog.Name())
}

// exportContent writes the content of an export, and returns the number of its rows.
func (work *Worker) exportContent(ctx context.Context, m ExportManifest, end exportEnd, w io.Writer) (rows int64, err error) {
	s, known := sheets[m.Kind]
	if !known {
		return 0, fmt.Errorf("an export of kind %q", m.Kind)
	}
	m.Filter.Former = m.Former
	var made atomic.Int64
	work.making.Store(m.Export, &made)
	defer work.making.Delete(m.Export)
	return s.write(ctx, work, m, end, w, made.Store)
}

// ExportProgress returns how many rows of an export are written so far; ok is false when this
// process is not making it.
func (work *Worker) ExportProgress(id uuid.UUID) (rows int64, ok bool) {
	made, ok := work.making.Load(id)
	if !ok {
		return 0, false
	}
	return made.(*atomic.Int64).Load(), true
}

// ConsentLogItem returns a line of the consent log: the decision, the role of the person
// who took it, and the terms of the consent.
func (work *Worker) ConsentLogItem(ctx context.Context, d consentlog.Decision) (contract.ConsentLogItem, error) {
	c, known, err := work.ConsentLog.Consent(ctx, d.Consent, d.Leaf, d.At)
	if err != nil || !known {
		return contract.ConsentLogItem{}, errors.Join(err, errNoTerms(known))
	}
	item := contract.ConsentLogItem{
		Href: contract.ConsentHref(d.Consent), ConsentID: d.Consent, Decision: contract.ConsentDecision(d.Act), At: d.At, CitizenID: d.Citizen,
		Consumer: d.Consumer, Purpose: d.Purpose, Documents: c.Terms.Documents, DocumentTypes: c.Terms.Types, Fields: c.Terms.Fields,
		Until: d.Until, Limits: contract.LimitsShown(c.Terms.Limits), MandateID: d.Mandate, Reason: d.Reason, Role: DeciderRole(d),
	}
	return item, nil
}

func errNoTerms(known bool) error {
	if known {
		return nil
	}
	return errors.New("a decision without a consent")
}

// DeciderRole returns the role in which a decision was taken. A consent that ends by death
// is ended by the system.
func DeciderRole(d consentlog.Decision) contract.ActorRole {
	switch {
	case d.Act == consentlog.Requested:
		return contract.ActorRoleConsumer
	case !d.Mandate.IsZero():
		return contract.ActorRoleRepresentative
	case d.Reason == consent.ByDeath:
		return contract.ActorRoleSystem
	}
	return contract.ActorRoleCitizen
}

// ExportLifetime is the age at which an export is removed.
const ExportLifetime = 7 * 24 * time.Hour
