package work

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
)

// The destroyer carries out approved erasures (rules E-2, E-3). It acts as Coffre itself,
// never as the persons who requested or approved, and opens nothing but sealed dates on
// which a duty to keep depends. The steps for a whole citizen are:
//
//	approved → citizen.erasure-started  at the revision the judgement saw: no hold slips in before it
//	         → the duties are judged again, on the log up to that start: an issuer who was told that
//	           a document is recorded had it recorded before. If one stands: citizen.erasure-stopped
//	         → Destroyer.BeginErase     from here nobody uses the keys, other processes for a lease more
//	         → the lease runs out
//	         → the stream is folded again: a hold that raced with the start still stops it
//	         → Destroyer.DestroySubject the keys are gone, durably
//	         → the shred list           so that no restored copy brings them back
//	         → citizen.key-destroyed    what is gone is on record; read models forget
//
// For one document the content key is destroyed and the citizen gets another data key, because
// old copies have the content key under the former one (Destroyer.ReplaceDataKey). Then the lease
// runs out, and document.content-destroyed and citizen.erasure-completed are recorded. Every step
// may be repeated and every event has one id for ever, so an erasure whose process ends
// between two steps is resumed at the next start.

// eraseTask names the task that carries out the erasures of a citizen.
func eraseTask(id domain.CitizenID) string { return "erase " + id.String() }

// MayBeErased reports whether what is approved here will be carried out (rule E-2): by this
// process, which needs the destroyer and a signer of certificates, or by one of its own.
func (work *Worker) MayBeErased() bool { return work.erases() || work.others }

// erases reports whether this process carries out erasures.
func (work *Worker) erases() bool { return work.destroyer != nil && work.certifier != nil }

// EnqueueErasures enqueues the task that carries out the citizen's approved and started
// erasures, if there are any. Where this process does not erase they wait for one that does.
func (work *Worker) EnqueueErasures(id domain.CitizenID, s citizen.State) {
	if !work.erases() {
		return
	}
	for _, e := range s.Erasures {
		if pendingErasure(s, e) {
			work.tasks.enqueue(eraseTask(id), func(ctx context.Context) error { return work.eraseAll(ctx, id) })
			return
		}
	}
}

// EnqueueErasuresOf enqueues the approved and started erasures of all lives of a citizen.
func (work *Worker) EnqueueErasuresOf(ctx context.Context, id domain.CitizenID) error {
	if !work.erases() {
		return nil
	}
	person, err := work.LoadPerson(ctx, id)
	if err != nil {
		return err
	}
	for _, life := range person.Lives {
		state, _, err := acting.Citizens.Load(ctx, work.Log, acting.CitizenStream(life))
		if err != nil {
			return err
		}
		work.EnqueueErasures(life, state)
	}
	return nil
}

// pendingErasure reports whether an erasure was approved and is still to be done. The erasure
// of the whole citizen settles those of single documents.
func pendingErasure(s citizen.State, e citizen.Erasure) bool {
	return !e.Survivors && (e.Step == citizen.Approved || e.Step == citizen.Started) && s.Standing() != citizen.Erased
}

// resume takes up the work that a former process left undone: registrations whose key is
// durable and whose event may be missing, approved or started erasures and those that
// became final, unfinished exports, data keys still to be replaced, keys still to be wrapped
// again. The runner of the read models must be running.
func (work *Worker) resume(ctx context.Context) error {
	var failed []error // a part that fails does not hold up the others
	if work.answers {
		failed = append(failed, work.registerPending(ctx), work.tidy(ctx), work.resumeExports(ctx))
	}
	if work.destroyer != nil {
		work.tasks.enqueue("replace data keys", work.destroyer.ReplaceDataKeys)
		failed = append(failed, work.resumeErasures(ctx), work.FinaliseErasures(ctx))
		if !work.answers {
			failed = append(failed, work.keepCertificates(ctx))
		}
	}
	if work.rotator != nil {
		failed = append(failed, work.resumeRewrap(ctx), work.resumePepper(ctx))
	}
	return errors.Join(append(failed, work.noteSigningKeys(ctx))...)
}

// approvalsPause bounds how often a process that only destroys asks what was approved.
const approvalsPause = time.Second

// followApprovals enqueues what other processes approve, as the log grows, until ctx ends.
func (work *Worker) followApprovals(ctx context.Context) error {
	for {
		head, err := work.Log.Head(ctx)
		if err == nil {
			work.tasks.enqueue("approved", work.resumeErasures)
			err = work.Log.Wait(ctx, head)
		}
		if ctx.Err() != nil || wait(ctx, approvalsPause) != nil {
			return nil // its turn is over
		}
		if err != nil {
			work.Slog.ErrorContext(ctx, "the log cannot be followed for approved erasures; it is tried again", slog.Any("error", err))
		}
	}
}

// registerPending registers the citizens who have a key and no event because a process
// ended between the two. A citizen whom a request is just registering may be among them,
// which does no harm.
func (work *Worker) registerPending(ctx context.Context) error {
	pending, err := work.Keys.Pending(ctx)
	if err != nil {
		return err
	}
	for _, id := range pending {
		w := work.SystemWrite(acting.CitizenStream(id))
		if _, err := acting.Citizens.Transact(ctx, work.Log, w, citizen.Register{Citizen: id, By: w.Meta.Actor, At: work.Timestamp()}); err != nil {
			return fmt.Errorf("register a pending citizen: %w", err)
		}
		if err := work.Keys.Activate(id); err != nil {
			return err
		}
	}
	return nil
}

func (work *Worker) resumeErasures(ctx context.Context) error {
	if err := work.WaitForHead(ctx, work.Erasures.Name()); err != nil {
		return err
	}
	unfinished, err := work.Erasures.Unfinished(ctx)
	if err != nil {
		return err
	}
	begun, err := work.Keys.Erasing(ctx)
	if err != nil {
		return err
	}
	for _, e := range unfinished {
		begun = append(begun, e.Citizen)
	}
	for _, id := range begun {
		state, _, err := acting.Citizens.Load(ctx, work.Log, acting.CitizenStream(id))
		if err != nil {
			return err
		}
		work.EnqueueErasures(id, state)
	}
	return nil
}

// eraseAll carries out every approved erasure of a citizen, single documents first, so that
// each has its own record before the citizen's key is destroyed.
func (work *Worker) eraseAll(ctx context.Context, id domain.CitizenID) error {
	state, _, err := acting.Citizens.Load(ctx, work.Log, acting.CitizenStream(id))
	if err != nil {
		return err
	}
	all := slices.Clone(state.Erasures)
	slices.SortStableFunc(all, func(a, b citizen.Erasure) int {
		return cmp.Compare(scopeOrder[a.Scope], scopeOrder[b.Scope])
	})
	var waits, fault error // an erasure that waits for a person does not hold up the others
	for _, e := range all {
		if !pendingErasure(state, e) {
			continue
		}
		switch err := work.erase(ctx, id, e); {
		case err == nil:
		case needsIntervention(err):
			waits = err
		default:
			fault = err
		}
	}
	return cmp.Or(fault, waits)
}

var scopeOrder = map[citizen.Scope]int{citizen.OneDocument: 0, citizen.WholeCitizen: 1}

func (work *Worker) erase(ctx context.Context, id domain.CitizenID, e citizen.Erasure) error {
	if e.Step == citizen.Approved {
		if err := work.startErasure(ctx, id, e.ID); err != nil {
			return err
		}
	}
	if err := work.rejudgeDuties(ctx, id, e); err != nil {
		return err
	}
	work.Slog.InfoContext(ctx, "an erasure is under way", slog.String("erasure", e.ID.String()), slog.String("scope", string(e.Scope)))
	var err error
	if e.Scope == citizen.OneDocument {
		err = work.eraseDocument(ctx, id, e)
	} else {
		err = work.eraseCitizen(ctx, id, e)
	}
	if err != nil {
		return err
	}
	work.Slog.InfoContext(ctx, "an erasure is done", slog.String("erasure", e.ID.String()))
	if work.answers {
		work.tasks.enqueue("files", work.tidyFiles) // removes the files that no key opens any more
		return nil
	}
	return work.keepCertificate(ctx, id, e.ID)
}

// erasureWrite returns the write of the named step of an erasure. A repetition of the step
// gives its events the same ids.
func (work *Worker) erasureWrite(s eventstore.Stream, e domain.ErasureID, name string, basedOn ...eventstore.Reference) eventstore.Write {
	w := work.SystemWrite(s)
	w.Settle, w.Meta.BasedOn, w.Meta.Correlation = true, basedOn, e.UUID
	w.ID = func(i int) uuid.UUID { return uuid.NewSHA1(e.UUID, fmt.Append(nil, name, " ", i)) }
	return w
}

func (work *Worker) startErasure(ctx context.Context, id domain.CitizenID, e domain.ErasureID) error {
	at := work.Timestamp()
	documents, refs, err := work.RetentionDuties(ctx, work.Words.Current(), id, domain.BelgianDate(at))
	if err != nil {
		return err
	}
	w := work.erasureWrite(acting.CitizenStream(id), e, "started", refs...)
	others, err := work.OtherLives(ctx, id)
	if err != nil {
		return err
	}
	_, err = acting.Citizens.Transact(ctx, work.Log, w, citizen.StartErasure{Erasure: e, Documents: documents, Others: others, By: w.Meta.Actor, At: at})
	return err
}

// rejudgeDuties stops a started erasure when the law obliges to keep a document that the
// judgement before the start did not see (rule E-1). Once keys are withdrawn the question
// has been answered, and rejudgeDuties does nothing.
func (work *Worker) rejudgeDuties(ctx context.Context, id domain.CitizenID, e citizen.Erasure) error {
	begun, err := work.keysWithdrawn(ctx, id, e)
	if err != nil || begun {
		return err
	}
	at, position, err := work.erasureStart(ctx, id, e.ID)
	if err != nil {
		return err
	}
	documents, refs, err := work.RetentionDutiesAt(ctx, work.Words.Current(), id, domain.BelgianDate(at), position)
	if err != nil {
		return fmt.Errorf("judge an erasure again: %w", err)
	}
	w := work.erasureWrite(acting.CitizenStream(id), e.ID, "stopped", refs...)
	done, err := acting.Citizens.Transact(ctx, work.Log, w, citizen.StopErasure{Erasure: e.ID, Documents: documents, StartedAt: at, By: w.Meta.Actor, At: work.Timestamp()})
	if err != nil {
		return err
	}
	if now, _ := done.State.Erasure(e.ID); now.Step == citizen.Stopped {
		return citizen.ErrRetentionDuty
	}
	return nil
}

// keysWithdrawn reports whether the keys that an erasure destroys are out of use already.
func (work *Worker) keysWithdrawn(ctx context.Context, id domain.CitizenID, e citizen.Erasure) (bool, error) {
	fate, err := work.Keys.FateOf(ctx, id)
	if err != nil || fate != seal.InUse || e.Scope == citizen.WholeCitizen {
		return fate != seal.InUse, err
	}
	return work.contentKeyDestroyed(ctx, id, e.Document)
}

// contentKeyDestroyed reports whether the content key of a citizen's document is destroyed.
func (work *Worker) contentKeyDestroyed(ctx context.Context, id domain.CitizenID, d domain.DocumentID) (bool, error) {
	keys, err := work.Keys.StreamKeys(ctx, id)
	return slices.ContainsFunc(keys, func(k seal.StreamKey) bool { return k.Destroyed && k.Stream == acting.DocumentStream(d) }), err
}

// erasureStart returns the time of citizen.erasure-started and its position in the log.
func (work *Worker) erasureStart(ctx context.Context, id domain.CitizenID, erasure domain.ErasureID) (time.Time, eventstore.Position, error) {
	for e, err := range work.Log.Read(ctx, acting.CitizenStream(id), 0) {
		if err != nil {
			return time.Time{}, eventstore.Position{}, fmt.Errorf("read citizen: %w", err)
		}
		if f, ok := e.Data.(citizen.ErasureStarted); ok && f.Erasure == erasure {
			return f.At, e.Position, nil
		}
	}
	return time.Time{}, eventstore.Position{}, citizen.ErrNotStarted
}

// checkDestroyable folds the citizen's stream once more and returns the refusal when a hold
// stands in the way of the erasure (rule E-1).
func (work *Worker) checkDestroyable(ctx context.Context, id domain.CitizenID, e domain.ErasureID) error {
	state, _, err := acting.Citizens.Load(ctx, work.Log, acting.CitizenStream(id))
	if err != nil {
		return err
	}
	others, err := work.OtherLives(ctx, id)
	if err != nil {
		return err
	}
	return state.MayDestroy(e, others...)
}

// suppressionBasis is the legal basis for remembering that a person was erased, as an HMAC
// of their numbers: without that, erased would not stay erased (rule E-4).
const suppressionBasis domain.LegalBasis = "legalObligation"

// eraseCitizen forgets all lives of a citizen: first those that were merged, each with a
// record of its own, and then the surviving one, whose record covers all of them.
func (work *Worker) eraseCitizen(ctx context.Context, id domain.CitizenID, e citizen.Erasure) error {
	person, err := work.LoadPerson(ctx, id)
	if err != nil {
		return err
	}
	for _, life := range slices.Backward(person.Lives) { // all are out of use before any is destroyed
		if life != id {
			w := work.erasureWrite(acting.CitizenStream(life), e.ID, "started with the survivor "+life.String())
			if _, err := acting.Citizens.Transact(ctx, work.Log, w, citizen.EraseWithSurvivor{Erasure: e.ID, Lives: person.Lives, By: w.Meta.Actor, At: work.Timestamp()}); err != nil {
				return err
			}
		}
		fate, err := work.Keys.FateOf(ctx, life)
		if err != nil {
			return err
		}
		if fate != seal.Gone { // destroyed keys are put on record, whatever came since
			if err := work.withdrawKeys(ctx, life, e.ID); err != nil {
				return err
			}
		}
	}
	var streams []eventstore.Stream
	keys := []string{}
	for _, life := range slices.Backward(person.Lives) {
		s, k, err := work.destroyLife(ctx, life, e)
		if err != nil {
			return err
		}
		if streams, keys = append(streams, s...), append(keys, k...); life == id {
			continue
		}
		if err := work.recordDestroyed(ctx, life, e, "key-destroyed "+life.String(), s, k); err != nil {
			return err
		}
	}
	return work.recordDestroyed(ctx, id, e, "key-destroyed", streams, keys)
}

// recordDestroyed records that the keys of streams are destroyed.
func (work *Worker) recordDestroyed(ctx context.Context, life domain.CitizenID, e citizen.Erasure, name string, streams []eventstore.Stream, keys []string) error {
	unreadable, err := work.unreadableEvents(ctx, streams)
	if err != nil {
		return err
	}
	w := work.erasureWrite(acting.CitizenStream(life), e.ID, name)
	_, err = acting.Citizens.Transact(ctx, work.Log, w, citizen.DestroyKey{
		Erasure: e.ID, Keys: keys, Unreadable: unreadable.count, Digest: unreadable.digest, By: w.Meta.Actor, At: work.Timestamp(),
	})
	return err
}

// destroyLife destroys the keys of one life, and returns the streams and the ids of the keys.
func (work *Worker) destroyLife(ctx context.Context, id domain.CitizenID, e citizen.Erasure) ([]eventstore.Stream, []string, error) {
	gone := seal.DestroyedSubject{Citizen: id, Suppression: seal.Suppression{Basis: suppressionBasis}}
	if err := work.destroyer.DestroySubject(ctx, id, gone.Suppression); err != nil {
		return nil, nil, fmt.Errorf("destroy keys: %w", err)
	}
	at := work.Timestamp()
	if err := work.shreds.AddCitizen(gone, at); err != nil {
		return nil, nil, err
	}
	return work.destroyedStreams(ctx, id, e.ID)
}

// withdrawKeys takes the citizen's keys out of use in every process, and returns nil when
// they may be destroyed.
func (work *Worker) withdrawKeys(ctx context.Context, id domain.CitizenID, e domain.ErasureID) error {
	if err := work.checkDestroyable(ctx, id, e); err != nil { // a hold that is there already finds the keys in use
		return err
	}
	if err := work.destroyer.BeginErase(ctx, id); err != nil {
		return fmt.Errorf("begin erasure: %w", err)
	}
	if err := work.awaitLeaseEnd(ctx); err != nil {
		return err
	}
	return work.checkDestroyable(ctx, id, e)
}

func (work *Worker) eraseDocument(ctx context.Context, id domain.CitizenID, e citizen.Erasure) error {
	stream := acting.DocumentStream(e.Document)
	gone, err := work.contentKeyDestroyed(ctx, id, e.Document)
	if err == nil && !gone { // a destroyed key is put on record, whatever came since
		err = work.checkDestroyable(ctx, id, e.ID)
	}
	if err != nil {
		return err
	}
	if err := work.destroyer.DestroyStreamKeys(ctx, stream); err != nil {
		return fmt.Errorf("destroy content key: %w", err)
	}
	at := work.Timestamp()
	if err := work.shreds.AddStream(seal.DestroyedStream{Stream: stream, Citizen: id}, at); err != nil {
		return err
	}
	if err := work.destroyer.ReplaceDataKey(ctx, id); err != nil {
		return fmt.Errorf("replace the data key: %w", err)
	}
	if err := work.awaitLeaseEnd(ctx); err != nil {
		return err
	}
	all, err := work.Keys.StreamKeys(ctx, id)
	if err != nil {
		return err
	}
	key := ""
	for _, k := range all {
		if k.Stream == stream {
			key = k.ID.String()
		}
	}
	unreadable, err := work.unreadableEvents(ctx, []eventstore.Stream{stream})
	if err != nil {
		return err
	}
	state, _, err := acting.Citizens.Load(ctx, work.Log, acting.CitizenStream(id))
	if err != nil {
		return err
	}
	begun, _ := state.Erasure(e.ID)
	w := work.erasureWrite(stream, e.ID, "content-destroyed")
	done, err := acting.Documents.Transact(ctx, work.Log, w, document.DestroyContent{
		Citizen: id, Erasure: begun, Key: key, Unreadable: unreadable.count, Digest: unreadable.digest, By: w.Meta.Actor, At: at,
	})
	if err != nil {
		return err
	}
	w = work.erasureWrite(acting.CitizenStream(id), e.ID, "completed", eventstore.At(stream, done.Revision))
	_, err = acting.Citizens.Transact(ctx, work.Log, w, citizen.CompleteErasure{Erasure: e.ID, By: w.Meta.Actor, At: at})
	return err
}

// awaitLeaseEnd waits until the leases of other processes have run out, so that none holds
// a key any more (rule E-3).
func (work *Worker) awaitLeaseEnd(ctx context.Context) error {
	if work.eraseAfter <= 0 {
		return nil
	}
	work.Slog.InfoContext(ctx, "an erasure waits until no process can hold a key", slog.Duration("lease", work.eraseAfter))
	return wait(ctx, work.eraseAfter)
}

// destroyedStreams returns the streams whose keys this erasure of a citizen destroyed, and
// the ids of the keys. Documents erased before have records of their own and are left out.
func (work *Worker) destroyedStreams(ctx context.Context, id domain.CitizenID, e domain.ErasureID) ([]eventstore.Stream, []string, error) {
	all, err := work.Keys.StreamKeys(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	var streams []eventstore.Stream
	keys := []string{}
	for _, k := range all {
		if k.Stream.Category() == "document" {
			state, _, err := acting.Documents.Load(ctx, work.Log, k.Stream)
			if err != nil {
				return nil, nil, err
			}
			if state.Erased {
				continue
			}
		}
		streams, keys = append(streams, k.Stream), append(keys, k.ID.String())
	}
	return streams, keys, nil
}

// unreadableEvents summarises the sealed events that no key opens any more.
type unreadableEvents struct {
	count  int64
	digest []byte // SHA-256 over their leaf hashes in log order
}

// unreadableEvents summarises the sealed events of streams up to the end of the log as it
// is now. Their leaf hashes stand in the log for ever, so anybody can check the digest
// without a key: it is over the first events, in log order, that the keys sealed.
func (work *Worker) unreadableEvents(ctx context.Context, streams []eventstore.Stream) (unreadableEvents, error) {
	type leaf struct {
		at   eventstore.Position
		hash proof.Hash
	}
	var all []leaf
	head, err := work.Log.Head(ctx)
	if err != nil {
		return unreadableEvents{}, fmt.Errorf("head of the log: %w", err)
	}
	for _, s := range streams {
		for r, err := range work.Log.Store().ReadStream(ctx, s, 0) {
			if err != nil {
				return unreadableEvents{}, fmt.Errorf("read %s: %w", s.Category(), err)
			}
			if r.Sealed != nil && r.Position.Compare(head) <= 0 {
				all = append(all, leaf{r.Position, proof.SumOf(&r)})
			}
		}
	}
	slices.SortFunc(all, func(a, b leaf) int { return a.at.Compare(b.at) })
	sum := sha256.New()
	for _, l := range all {
		sum.Write(l.hash[:])
	}
	return unreadableEvents{int64(len(all)), sum.Sum(nil)}, nil
}
