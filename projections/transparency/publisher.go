package transparency

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/checkpoints"
	"coffre/eventstore/proof"
	"coffre/projections"
)

// Bounds of publishing.
const (
	// DefaultEvery is the least time between two checkpoints, DefaultEvents how many events
	// are enough for one before.
	DefaultEvery  = time.Second
	DefaultEvents = 1000
	// Refresh is how old a checkpoint gets while nothing happens: then the same leaves are
	// signed again, so that its age tells whether the log is still proved.
	Refresh = time.Minute

	tail        = 256 // leaves at the end of a checkpoint that are compared with the log
	retryAfter  = time.Second
	looksPerRun = 4 // how often the tree is looked at in the time between two checkpoints
	finishLook  = 5 * time.Millisecond
)

// Errors of a log that is not the one that was signed. Nothing more is signed then.
var (
	// ErrCut: the log has fewer events than its last checkpoint.
	ErrCut = errors.New("the log is shorter than its last checkpoint")
	// ErrChanged: the log has other events than its last checkpoint.
	ErrChanged = errors.New("the log is another than that of its last checkpoint")
)

// wayOn ends the sentence of a log that does not fit its last checkpoint.
const wayOn = "put back the log that was signed, or restore a backup into an empty directory; where neither can be had, `coffre restore --accept-loss DIR` goes on without what was lost (deploy/runbooks/backup.md, \"The log and its checkpoint\")"

// cutError names both ends, and the way on.
func cutError(c proof.Checkpoint, size int64) error {
	return fmt.Errorf("%w: the checkpoint of %s has %d events, the log has %d: %s", ErrCut, c.Time.Format(time.RFC3339), c.Size, size, wayOn)
}

func changedError(c proof.Checkpoint, what string) error {
	return fmt.Errorf("%w: the checkpoint of %s has %d events under the root %x, and %s: %s", ErrChanged, c.Time.Format(time.RFC3339), c.Size, c.Root[:8], what, wayOn)
}

// Keys is the port to the public keys whose checkpoints count.
type Keys interface {
	// Note records durably the key of that name; again does nothing.
	Note(ctx context.Context, id string, public ed25519.PublicKey) error
	// Public returns every key that ever signed the log.
	Public(ctx context.Context) ([]ed25519.PublicKey, error)
}

// Publisher signs checkpoints of a tree and keeps them. Of several processes one at a time
// should run it; when two do, each checkpoint is kept by one of them. All of it is for
// concurrent use.
type Publisher struct {
	Tree    *Tree
	Log     eventstore.Store
	Leaves  eventstore.LeafIndex
	Signer  proof.Signer
	Keys    Keys
	Kept    checkpoints.Place // in the databases, where checkpoints are served from
	Outside checkpoints.Place // outside of them; nil: nowhere
	Now     func() time.Time
	Logger  *slog.Logger
	Every   time.Duration // 0: DefaultEvery
	Events  int64         // 0: DefaultEvents

	mu    sync.Mutex      // held while a checkpoint is made; guards what follows
	noted map[string]bool // names of keys that are on record
	last  signed
}

// signed is a checkpoint with its note; a nil note stands for none.
type signed struct {
	proof.Checkpoint
	note []byte
}

func (s signed) losses() int {
	if s.note == nil {
		return 0
	}
	_, losses, err := proof.SplitOrigin(s.Origin)
	if err != nil {
		return 0 // nobody opened it then
	}
	return losses
}

// newer reports whether s was signed after o.
func (s signed) newer(o signed) bool {
	switch {
	case s.note == nil || o.note == nil:
		return o.note == nil && s.note != nil
	case s.losses() != o.losses():
		return s.losses() > o.losses()
	case s.Size != o.Size:
		return s.Size > o.Size
	}
	return s.Time.After(o.Time)
}

// open reads what a place keeps and verifies it.
func (p *Publisher) open(ctx context.Context, place checkpoints.Place) (signed, error) {
	if place == nil {
		return signed{}, nil
	}
	note, err := place.Last(ctx)
	if err != nil || note == nil {
		return signed{}, err
	}
	c, err := p.Verify(ctx, note)
	if err != nil {
		return signed{}, err
	}
	return signed{c, note}, nil
}

// damagedCheckpoint says what to do about bytes that are no checkpoint.
func damagedCheckpoint(err error) error {
	if !errors.Is(err, proof.ErrCheckpoint) {
		return err
	}
	return fmt.Errorf("%w: it is damaged. Put back a copy of it; where there is none, and you know that the databases were not restored since, remove it: the other place has one, and the next is kept in both (deploy/runbooks/backup.md, \"The log and its checkpoint\")", err)
}

// openBoth reads and verifies what both places keep.
func (p *Publisher) openBoth(ctx context.Context) (kept, outside signed, err error) {
	if kept, err = p.open(ctx, p.Kept); err != nil {
		return kept, outside, fmt.Errorf("the last checkpoint in the databases: %w", damagedCheckpoint(err))
	}
	if outside, err = p.open(ctx, p.Outside); err != nil {
		return kept, outside, fmt.Errorf("the last checkpoint outside the databases: %w", damagedCheckpoint(err))
	}
	return kept, outside, nil
}

// Verify returns the checkpoint of a note that a key of this vault has signed.
func (p *Publisher) Verify(ctx context.Context, note []byte) (proof.Checkpoint, error) {
	keys, err := p.Keys.Public(ctx)
	if err != nil {
		return proof.Checkpoint{}, err
	}
	c, err := proof.Open(note, keys...)
	if errors.Is(err, proof.ErrSignature) { // a key that is not on record yet may have
		if key, _, keyErr := p.Signer.PublicKey(ctx, ""); keyErr == nil {
			c, err = proof.Open(note, key)
		}
	}
	return c, err
}

// Newest returns the last checkpoint that any place keeps, verified; ok is false when there is
// none.
func (p *Publisher) Newest(ctx context.Context) (c proof.Checkpoint, ok bool, err error) {
	kept, outside, err := p.openBoth(ctx)
	if err != nil {
		return c, false, err
	}
	if outside.newer(kept) {
		kept = outside
	}
	return kept.Checkpoint, kept.note != nil, nil
}

// Last returns the last checkpoint that is served, nil when there is none yet, or none since a
// loss was accepted: what was signed before covers events that are not there any more.
func (p *Publisher) Last(ctx context.Context) ([]byte, error) {
	note, err := p.Kept.Last(ctx)
	if err != nil || note == nil {
		return nil, err
	}
	h, err := p.Tree.head(ctx)
	if errors.Is(err, projections.ErrNotReady) {
		return note, nil
	} else if err != nil {
		return nil, err
	}
	c, err := proof.Peek(note)
	if err != nil || h.losses > (signed{c, note}).losses() {
		return nil, err
	}
	return note, nil
}

// Compare compares the log with the last checkpoint, wherever it is kept, and returns ErrCut
// or ErrChanged when they differ. Where the tree has not come that far nothing is compared
// yet: [Publisher.Run] compares when it has.
func (p *Publisher) Compare(ctx context.Context) error {
	kept, outside, err := p.openBoth(ctx)
	if err != nil {
		return err
	}
	h, err := p.Tree.head(ctx)
	if errors.Is(err, projections.ErrNotReady) {
		return nil
	} else if err != nil {
		return err
	}
	for _, c := range []signed{kept, outside} {
		if err := p.fits(ctx, c, h); err != nil && !errors.Is(err, errLater) {
			return err
		}
	}
	return nil
}

// errLater: the tree has not come so far that a checkpoint can be compared with it.
var errLater = errors.New("transparency: the tree has not come that far")

// fits compares a checkpoint with the tree and the end of the log. A checkpoint from before
// a loss that the log tells of is passed over: what it had is not there any more.
func (p *Publisher) fits(ctx context.Context, c signed, h head) error {
	if c.note == nil || h.losses > c.losses() {
		return nil
	}
	if h.size < c.Size {
		end, err := p.Log.Head(ctx)
		if err != nil {
			return fmt.Errorf("end of the log: %w", err)
		}
		leaf, err := p.Leaves.Leaf(ctx, end)
		if err != nil {
			return fmt.Errorf("end of the log: %w", err)
		}
		if leaf+1 < c.Size {
			// The loss may have been accepted, in an event that the tree has not seen.
			if h.size < leaf+1 {
				return errLater
			}
			return cutError(c.Checkpoint, leaf+1)
		}
		return errLater
	}
	if first, _, err := proof.SplitOrigin(c.Origin); err != nil {
		return err
	} else if first != h.first {
		return changedError(c.Checkpoint, "the log begins with another event")
	}
	if c.losses() > h.losses {
		return changedError(c.Checkpoint, "the log does not tell of a loss that was accepted")
	}
	root, err := proof.Root(ctx, p.Tree, c.Size)
	if err != nil {
		return err
	}
	if root != c.Root {
		return changedError(c.Checkpoint, fmt.Sprintf("the first %d events of the log have the root %x", c.Size, root[:8]))
	}
	return p.sameTail(ctx, c)
}

// sameTail compares the last leaves of a checkpoint, as the tree holds them, with the log:
// the tree may be a former one beside an exchanged log.
func (p *Publisher) sameTail(ctx context.Context, c signed) error {
	first := max(c.Size-tail, 0)
	if first == c.Size {
		return nil
	}
	want, err := p.Tree.Nodes(ctx, 0, first, int(c.Size-first))
	if err != nil {
		return err
	}
	after, err := p.Leaves.Position(ctx, first-1)
	if err != nil {
		return err
	}
	for len(want) > 0 {
		n := 0
		for r, err := range p.Log.ReadAll(ctx, after, tail) {
			if err != nil {
				return fmt.Errorf("read the log: %w", err)
			}
			n, after = n+1, r.Position
			if !projections.Ours(r.Stream.Category()) {
				continue
			}
			if hash := proof.SumOf(&r); hash != want[0] {
				if want, err = p.withoutGone(ctx, c, want, r.Position); err != nil {
					return err
				}
				if len(want) == 0 {
					return nil
				}
				if hash != want[0] {
					return changedError(c.Checkpoint, fmt.Sprintf("event %d of the log is another", c.Size-int64(len(want))))
				}
			}
			if want = want[1:]; len(want) == 0 {
				break
			}
		}
		if n == 0 {
			return changedError(c.Checkpoint, fmt.Sprintf("event %d of the log is not there", c.Size-int64(len(want))))
		}
	}
	return nil
}

// withoutGone returns the leaves of want that lie at a position or behind it. Where positions
// leave gaps (KurrentDB) an administrator can delete a stream and scavenge: the index of
// leaves reports each record that is gone in the midst of the log, and nothing else ends with
// it. A store with dense positions has no such gaps, and none are passed over.
func (p *Publisher) withoutGone(ctx context.Context, c signed, want []proof.Hash, at eventstore.Position) ([]proof.Hash, error) {
	if _, dense := p.Leaves.(eventstore.DenseLeaves); dense {
		return want, nil
	}
	for len(want) > 0 {
		place, err := p.Leaves.Position(ctx, c.Size-int64(len(want)))
		if err != nil {
			return nil, err
		}
		if place.Compare(at) >= 0 {
			break
		}
		want = want[1:]
	}
	return want, nil
}

// Publishing takes these steps; a crash between two of them leaves what the comment says,
// and resume goes on from there:
//
//	 the tree holds the leaves, in one transaction with its position
//	(1) → their hashes are read again, and the root is computed from what was read
//	(2) → the leaves of the last checkpoint are found unchanged below that root
//	(3) → the checkpoint is signed
//	      crash: nobody has seen it, and it agrees with every later one
//	(4) → its key is on record
//	(5) → it takes the last one's place outside the databases
//	      crash: outside is newer; resume brings it into the databases
//	(6) → it takes the last one's place in the databases, from where it is served
//	      crash: done

// resume finds the last checkpoint, compares both places with the log, and brings the older
// place up to the newer one. It returns errLater until the tree has come far enough.
func (p *Publisher) resume(ctx context.Context) error {
	kept, outside, err := p.openBoth(ctx)
	if err != nil {
		return err
	}
	h, err := p.Tree.head(ctx)
	if err != nil {
		return err
	}
	for _, c := range []signed{kept, outside} {
		if err := p.fits(ctx, c, h); err != nil {
			return err
		}
	}
	last := kept
	switch {
	case outside.newer(kept):
		last = outside
		if err := p.Kept.Replace(ctx, kept.note, outside.note); err != nil {
			return err
		}
	case p.Outside != nil && kept.newer(outside): // its first start there, or another process published
		if err := p.Outside.Replace(ctx, outside.note, kept.note); err != nil {
			return err
		}
	}
	p.last = last
	return nil
}

// Publish signs and keeps one checkpoint of what the tree holds, if there is something new
// or the last one is old. It returns whether it did, and ErrCut or ErrChanged when the log
// does not fit the last checkpoint.
func (p *Publisher) Publish(ctx context.Context) (bool, error) { return p.publish(ctx, p.every()) }

// publish is Publish where few events are signed that long after the last checkpoint.
func (p *Publisher) publish(ctx context.Context, every time.Duration) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last.note == nil {
		if err := p.resume(ctx); err != nil {
			return false, err
		}
	}
	h, err := p.Tree.head(ctx)
	if err != nil || h.size == 0 {
		return false, err
	}
	now := p.Now().UTC().Truncate(time.Microsecond)
	if err := p.fits(ctx, p.last, h); err != nil { // (2)
		return false, err
	}
	next := proof.Checkpoint{Origin: proof.Origin(h.first, h.losses), Size: h.size, Time: now}
	if p.last.note != nil {
		switch since := now.Sub(p.last.Time); {
		case since <= 0:
			return false, fmt.Errorf("the clock is %s behind the last checkpoint; none is signed until it is past", -since)
		case next.Origin == p.last.Origin && next.Size == p.last.Size && since < Refresh:
			return false, nil
		case next.Size-p.last.Size < p.events() && since < every:
			return false, nil
		}
	}
	if next.Root, err = proof.Root(ctx, p.Tree, h.size); err != nil { // (1)
		return false, err
	}
	note, err := p.sign(ctx, next) // (3), (4)
	if err != nil {
		return false, err
	}
	if p.Outside != nil {
		if err := p.Outside.Replace(ctx, p.last.note, note); err != nil { // (5)
			return false, p.forget(err)
		}
	}
	if err := p.Kept.Replace(ctx, p.last.note, note); err != nil { // (6)
		return false, p.forget(err)
	}
	p.last = signed{next, note}
	return true, nil
}

// forget makes the next Publish find out where both places are, after a step whose outcome
// is unknown or that another process took.
func (p *Publisher) forget(err error) error {
	p.last = signed{}
	return err
}

func (p *Publisher) sign(ctx context.Context, c proof.Checkpoint) ([]byte, error) {
	note, err := proof.Sign(ctx, c, p.Signer)
	if err != nil {
		return nil, err
	}
	public, id, err := p.Signer.PublicKey(ctx, "")
	if err != nil {
		return nil, err
	}
	if _, err := proof.Open(note, public); err != nil {
		return nil, err // somebody rotated the key meanwhile; the next try has the new one
	}
	if !p.noted[id] {
		if err := p.Keys.Note(ctx, id, public); err != nil {
			return nil, err
		}
		p.noted = map[string]bool{id: true}
	}
	return note, nil
}

func (p *Publisher) every() time.Duration {
	if p.Every > 0 {
		return p.Every
	}
	return DefaultEvery
}

func (p *Publisher) events() int64 {
	if p.Events > 0 {
		return p.Events
	}
	return DefaultEvents
}

// Run publishes until ctx ends. It goes on while the keys, the log or a place are away, and
// says so once; it returns ErrCut or ErrChanged when the log does not fit what was signed.
func (p *Publisher) Run(ctx context.Context) error {
	p.mu.Lock()
	p.last = signed{} // another process may have published since
	p.mu.Unlock()
	look := time.NewTicker(max(p.every()/looksPerRun, time.Millisecond))
	defer look.Stop()
	told := false
	for {
		_, err := p.Publish(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrCut), errors.Is(err, ErrChanged), errors.Is(err, proof.ErrSignature), errors.Is(err, proof.ErrCheckpoint):
			return err
		case err != nil && !passing(err):
			if !told {
				p.Logger.WarnContext(ctx, "no checkpoint of the log is published now", "error", err)
			}
			told = true
			rest := time.NewTimer(retryAfter)
			select {
			case <-rest.C:
			case <-ctx.Done():
			}
			rest.Stop()
		case err == nil && told:
			p.Logger.InfoContext(ctx, "checkpoints of the log are published again")
			told = false
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// passing reports whether the next try may well get past an error: the tree has not come so
// far, or another process published.
func passing(err error) bool {
	return errors.Is(err, errLater) || errors.Is(err, projections.ErrNotReady) || errors.Is(err, checkpoints.ErrOvertaken)
}

// Age returns how long ago the last checkpoint was signed, as the databases tell it; ok is
// false when there is none.
func (p *Publisher) Age(ctx context.Context) (age time.Duration, ok bool, err error) {
	note, err := p.Kept.Last(ctx)
	if err != nil || note == nil {
		return 0, false, err
	}
	c, err := proof.Peek(note)
	if err != nil {
		return 0, false, err
	}
	return p.Now().Sub(c.Time), true, nil
}

// Covered returns the last checkpoint if it covers a leaf, nil otherwise.
func (p *Publisher) Covered(ctx context.Context, leaf int64) ([]byte, error) {
	h, err := p.Tree.head(ctx)
	if errors.Is(err, projections.ErrNotReady) || err == nil && h.size <= leaf {
		return nil, nil // nobody knows yet whether a loss was accepted before that leaf
	} else if err != nil {
		return nil, err
	}
	note, err := p.Last(ctx)
	if err != nil || note == nil {
		return nil, err
	}
	c, err := proof.Peek(note)
	if err != nil || c.Size <= leaf {
		return nil, err
	}
	return bytes.Clone(note), nil
}

// Finish returns a checkpoint that covers the log as it ends at the call, nil when the log is
// empty, and signs one itself without waiting for the time between two checkpoints. It is for a
// process that stops, whether or not Run goes on beside it. The error is ctx's, or says why
// nothing can be signed.
func (p *Publisher) Finish(ctx context.Context) ([]byte, error) {
	leaf, err := p.lastLeaf(ctx)
	if err != nil || leaf < 0 {
		return nil, err
	}
	look := time.NewTicker(finishLook)
	defer look.Stop()
	for {
		note, err := p.Covered(ctx, leaf)
		if err != nil || note != nil {
			return note, err
		}
		done, err := p.publish(ctx, 0)
		switch {
		case done:
			continue
		case err != nil && !passing(err):
			return nil, err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// AwaitEnd returns a checkpoint that covers the log as it ends at the call, as Await does.
func (p *Publisher) AwaitEnd(ctx context.Context) ([]byte, error) {
	leaf, err := p.lastLeaf(ctx)
	if err != nil {
		return nil, err
	}
	return p.Await(ctx, leaf)
}

// lastLeaf returns the number of the log's last leaf, -1 for an empty log.
func (p *Publisher) lastLeaf(ctx context.Context) (int64, error) {
	end, err := p.Log.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("end of the log: %w", err)
	}
	leaf, err := p.Leaves.Leaf(ctx, end)
	if err != nil {
		return 0, fmt.Errorf("end of the log: %w", err)
	}
	return leaf, nil
}

// Await returns a checkpoint that covers a leaf, as soon as there is one, or ctx's error.
// Whatever process publishes, it is found in the databases.
func (p *Publisher) Await(ctx context.Context, leaf int64) ([]byte, error) {
	look := time.NewTicker(max(p.every()/looksPerRun, time.Millisecond))
	defer look.Stop()
	for {
		note, err := p.Covered(ctx, leaf)
		if err != nil || note != nil {
			return note, err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
