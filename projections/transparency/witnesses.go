package transparency

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"coffre/eventstore/checkpoints"
	"coffre/eventstore/proof"
	"coffre/eventstore/witness"
	"coffre/projections"
)

// Bounds of asking witnesses.
const (
	askTime   = 10 * time.Second // the longest that one call may take
	askTries  = 3                // a size, the proof from there, and once more when another process was faster
	firstRest = time.Second      // after a call that failed; doubled each time
	lastRest  = time.Minute
)

// Cosigner is the port to one witness; [witness.Client] is its adapter. Its errors are those
// of witness.Client.Add.
type Cosigner interface {
	Add(ctx context.Context, r witness.Request) (proof.Cosignature, error)
}

// Trouble says why a witness does not cosign; "" when it does.
type Trouble string

// Troubles of a witness. The last three say that somebody shows, or was shown, another history.
const (
	Away       Trouble = "away"       // it does not answer, or not in time
	Strange    Trouble = "strange"    // it answers what the protocol does not say
	UnknownLog Trouble = "unknownLog" // it was not told of this log
	UnknownKey Trouble = "unknownKey" // it was not told of the key that signs the log
	Unkept     Trouble = "unkept"     // this vault could not prove the checkpoint to it, or not keep its cosignature
	Forgot     Trouble = "forgot"     // it says that it cosigned less than it did: an old state was put back
	Ahead      Trouble = "ahead"      // it cosigned more events than this log has
	Disagrees  Trouble = "disagrees"  // it cosigned another history of this log
)

// Grave reports whether a trouble is more than a witness that is away or not set up.
func (t Trouble) Grave() bool { return t == Forgot || t == Ahead || t == Disagrees }

// WitnessStatus tells how a witness does.
type WitnessStatus struct {
	Name    string // in the policy, with ? for what is no UTF-8
	Trouble Trouble
	Last    time.Time // of the last checkpoint that it cosigned; zero when there is none
}

// Witnesses offers the last checkpoint to the witnesses of a policy, and keeps their
// cosignatures. It stops nothing: checkpoints are published and served without it. Run runs
// once at a time, in the process that publishes; the other methods may be called concurrently,
// in every process.
type Witnesses struct {
	Publisher *Publisher
	Policy    proof.Policy
	Ask       map[string]Cosigner // by the witness's name in the policy
	Kept      *checkpoints.Cosigned
	Now       func() time.Time
	Logger    *slog.Logger

	mu    sync.Mutex
	watch map[string]*watched // by name
}

// watched is what this process knows of a witness; Witnesses.mu guards it.
type watched struct {
	busy    bool      // it is being asked
	rests   time.Time // until when it is left alone
	rest    time.Duration
	last    []byte // the note that it cosigned last
	trouble Trouble
}

func (w *Witnesses) of(name string) *watched {
	if w.watch == nil {
		w.watch = map[string]*watched{}
	}
	if w.watch[name] == nil {
		w.watch[name] = &watched{}
	}
	return w.watch[name]
}

// Run offers checkpoints until ctx ends.
func (w *Witnesses) Run(ctx context.Context) error {
	look := time.NewTicker(max(w.Publisher.every()/looksPerRun, time.Millisecond))
	defer look.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		if note, err := w.Publisher.Last(ctx); err == nil && note != nil {
			w.round(ctx, note, &asking)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// round offers one checkpoint to every witness that is free and has not cosigned it, and waits
// until there are enough cosignatures, or all have answered. So witnesses of different speed
// come to cosign the same one, and one that is slow or away holds up none that is not needed
// beside it. Whoever is still asked then goes on.
func (w *Witnesses) round(ctx context.Context, note []byte, asking *sync.WaitGroup) {
	ctx, cancel := context.WithCancel(ctx)
	answered := make(chan struct{}, len(w.Policy.Witnesses))
	asked := 0
	for _, one := range w.Policy.Witnesses {
		ask := w.Ask[one.Name]
		if ask == nil || !w.take(one.Name, note) {
			continue
		}
		asked++
		asking.Go(func() {
			w.ask(ctx, one, ask, note)
			answered <- struct{}{}
		})
	}
	if asked == 0 {
		cancel()
		return
	}
	left := asked
	for ; left > 0 && !w.enough(ctx, note); left-- {
		select {
		case <-answered:
		case <-ctx.Done():
		}
	}
	asking.Go(func() {
		for ; left > 0; left-- {
			<-answered
		}
		cancel()
	})
}

// take marks a witness as being asked, unless it is, rests, or has cosigned the note.
func (w *Witnesses) take(name string, note []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.of(name)
	if s.busy || w.Now().Before(s.rests) || bytes.Equal(s.last, note) {
		return false
	}
	s.busy = true
	return true
}

// ask asks one witness and keeps what it answers.
func (w *Witnesses) ask(ctx context.Context, one proof.PolicyWitness, ask Cosigner, note []byte) {
	limited, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	forgot, err := w.cosign(limited, one, ask, note)
	trouble := troubleOf(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.of(one.Name)
	s.busy = false
	switch {
	case ctx.Err() != nil:
		return
	case err == nil:
		s.last, s.rest, s.rests = note, 0, time.Time{}
	default:
		s.rest = min(max(2*s.rest, firstRest), lastRest)
		s.rests = w.Now().Add(s.rest)
	}
	if forgot || s.trouble == Forgot && !trouble.Grave() { // until somebody looked, and started anew
		trouble = Forgot
	}
	if trouble == s.trouble {
		return
	}
	switch was := s.trouble; {
	case trouble.Grave():
		w.Logger.ErrorContext(ctx, "a witness tells of another history of this log, or forgot; see deploy/runbooks/witnesses.md", "witness", one.Name, "trouble", string(trouble))
	case trouble != "":
		w.Logger.WarnContext(ctx, "a witness does not cosign", "witness", one.Name, "trouble", string(trouble))
	case was != "":
		w.Logger.InfoContext(ctx, "a witness cosigns again", "witness", one.Name)
	}
	s.trouble = trouble
}

// errUnkept: the databases of the vault were away.
var errUnkept = errors.New("transparency: a cosignature was not asked for, or not kept")

// errAhead: the witness cosigned more than is offered.
var errAhead = errors.New("transparency: the witness cosigned a larger checkpoint")

// cosign asks one witness for its cosignature, from where it is, and keeps it. forgot tells
// that it once was further than it says.
func (w *Witnesses) cosign(ctx context.Context, one proof.PolicyWitness, ask Cosigner, note []byte) (forgot bool, err error) {
	c, err := proof.Peek(note)
	if err != nil {
		return false, err
	}
	all, err := w.Kept.Seen(ctx, c.Origin)
	if err != nil {
		return false, errors.Join(errUnkept, err)
	}
	seen := all[one.Key.String()].Size
	old := min(seen, c.Size)
	for range askTries {
		r := witness.Request{Old: old, Checkpoint: note}
		if old > 0 && old < c.Size {
			if r.Proof, err = proof.ProveConsistency(ctx, w.Publisher.Tree, old, c.Size); err != nil {
				return forgot, errors.Join(errUnkept, err)
			}
		}
		var other *witness.SizeError
		cosignature, err := ask.Add(ctx, r)
		switch {
		case errors.As(err, &other) && other.Size > c.Size:
			return forgot, errAhead
		case errors.As(err, &other):
			forgot = forgot || other.Size < seen
			old = other.Size
			continue
		case err != nil:
			return forgot, err
		}
		if err := w.Kept.Keep(ctx, note, cosignature, w.isEnough); err != nil {
			return forgot, errors.Join(errUnkept, err)
		}
		return forgot, nil
	}
	return forgot, witness.ErrAnswer // each time another size
}

func troubleOf(err error) Trouble {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errUnkept):
		return Unkept
	case errors.Is(err, errAhead):
		return Ahead
	case errors.Is(err, witness.ErrForked), errors.Is(err, witness.ErrInconsistent):
		return Disagrees
	case errors.Is(err, proof.ErrOrigin):
		return UnknownLog
	case errors.Is(err, proof.ErrSignature):
		return UnknownKey
	case errors.Is(err, witness.ErrAway):
		return Away
	}
	return Strange
}

// isEnough reports whether the cosignatures on a note are those that the policy asks for.
func (w *Witnesses) isEnough(note []byte) bool {
	all, wrong, err := proof.Cosignatures(note, w.Policy.Keys())
	return err == nil && len(wrong) == 0 && w.Policy.NeedsAny() && w.Policy.Enough(all)
}

// enough reports the same of what is kept of a checkpoint.
func (w *Witnesses) enough(ctx context.Context, note []byte) bool {
	cosigned, err := w.Kept.Of(ctx, note)
	return err == nil && w.isEnough(cosigned)
}

// Cosigned returns a checkpoint with the cosignatures that are kept of it.
func (w *Witnesses) Cosigned(ctx context.Context, note []byte) ([]byte, error) {
	return w.Kept.Of(ctx, note)
}

// Enough returns the last checkpoint of the log with as many cosignatures as the policy asks
// for, nil when there is none.
func (w *Witnesses) Enough(ctx context.Context) ([]byte, error) {
	note, err := w.Publisher.Last(ctx)
	if err != nil || note == nil {
		return nil, err
	}
	c, err := proof.Peek(note)
	if err != nil {
		return nil, err
	}
	return w.Kept.Enough(ctx, c.Origin)
}

// Status tells of each witness that is asked. What this process does not know, because another
// one asks, is "". It may be asked of nil, where nobody publishes.
func (w *Witnesses) Status(ctx context.Context) ([]WitnessStatus, error) {
	if w == nil {
		return nil, nil
	}
	h, err := w.Publisher.Tree.head(ctx)
	if errors.Is(err, projections.ErrNotReady) {
		h, err = head{}, nil
	}
	if err != nil {
		return nil, err
	}
	seen, err := w.Kept.Seen(ctx, proof.Origin(h.first, h.losses))
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []WitnessStatus
	for _, one := range w.Policy.Witnesses {
		if w.Ask[one.Name] == nil {
			continue
		}
		s := WitnessStatus{Name: strings.ToValidUTF8(one.Name, "?"), Trouble: w.of(one.Name).trouble}
		if last, known := seen[one.Key.String()]; known {
			s.Last = time.UnixMicro(last.Signed).UTC()
		}
		all = append(all, s)
	}
	return all, nil
}
