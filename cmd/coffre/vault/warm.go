package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/wallet"
)

// A process that was just started opens connections, prepares statements and unwraps keys while
// its first callers wait. It does that for the people of the log's last events before it says
// that it is ready: docs/decisions/0092-warm-starts.md.

// Bounds of a rehearsal.
const (
	rehearseIn      = 500 * time.Millisecond // after which it is broken off
	rehearsedEvents = 500                    // the last ones of the log
	rehearsedPeople = 16                     // whose wallets and access logs are looked up
	rehearsedAtOnce = 4                      // as many as the largest pool that reads has connections
	rehearsedLooks  = 20                     // entries of an access log
)

// getReady runs the rehearsal, if there is one, for as long as it may take.
func (v *Instance) getReady(ctx context.Context) {
	if v.rehearse == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, rehearseIn)
	defer cancel()
	v.rehearse(ctx)
}

// rehearsal reads what the first callers are likely to ask for, and shows nothing of it to
// anybody: sealed parts stay sealed. What it cannot do is done for the first callers.
func (a *assembly) rehearsal(ctx context.Context) {
	last, err := lastEvents(ctx, a.store, a.places.leafIndex())
	if err == nil && len(last.documents) > 0 { // else nobody uses the vault yet
		var parts errgroup.Group
		parts.SetLimit(rehearsedAtOnce)
		parts.Go(func() error { return a.Ring.PrefetchStreams(ctx, last.sealed) })
		parts.Go(func() error { return a.Ring.ImitateStreamKey(ctx) }) // for the connection that writes keys
		each := (len(last.documents) + rehearsedAtOnce - 1) / rehearsedAtOnce
		for some := range slices.Chunk(last.documents, each) {
			parts.Go(func() error { return a.rehearseWallets(ctx, some) })
		}
		err = parts.Wait()
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		a.o.Logger.InfoContext(ctx, "not everything was got ready beforehand, so the first requests take longer", slog.Any("error", err))
	}
}

// recent is what the last events of the log name, the latest first.
type recent struct {
	sealed    []eventstore.Stream // those with something sealed
	documents []domain.DocumentID // rehearsedPeople at most
}

// lastEvents reads the last events of the log.
func lastEvents(ctx context.Context, store eventstore.Store, leaves eventstore.LeafIndex) (recent, error) {
	head, err := store.Head(ctx)
	if err != nil {
		return recent{}, fmt.Errorf("last events: %w", err)
	}
	last, err := leaves.Leaf(ctx, head)
	if err != nil {
		return recent{}, fmt.Errorf("last events: %w", err)
	}
	after, err := leaves.Position(ctx, last-rehearsedEvents)
	if err != nil {
		return recent{}, fmt.Errorf("last events: %w", err)
	}
	at := make(map[eventstore.Stream]int) // the last event of each stream
	n := 0
	for r, err := range store.ReadAll(ctx, after, rehearsedEvents) {
		if err != nil {
			return recent{}, fmt.Errorf("last events: %w", err)
		}
		if n++; r.Sealed != nil {
			at[r.Stream] = n
		}
	}
	var out recent
	out.sealed = slices.SortedFunc(maps.Keys(at), func(a, b eventstore.Stream) int { return at[b] - at[a] })
	for _, stream := range out.sealed {
		if id, ok := documentOf(stream); ok && len(out.documents) < rehearsedPeople {
			out.documents = append(out.documents, id)
		}
	}
	return out, nil
}

// documentOf returns the document whose stream it is.
func documentOf(stream eventstore.Stream) (domain.DocumentID, bool) {
	text, ok := strings.CutPrefix(string(stream), "document-")
	if !ok {
		return domain.DocumentID{}, false
	}
	id, err := uuid.Parse(text)
	return domain.DocumentID{UUID: id}, err == nil
}

// rehearseWallets looks up what the holders of documents would see first, with the keys of it.
func (a *assembly) rehearseWallets(ctx context.Context, documents []domain.DocumentID) error {
	seen := make(map[domain.CitizenID]bool)
	for _, id := range documents {
		for _, err := range a.log.Read(ctx, acting.DocumentStream(id), 0) {
			if err != nil {
				return err
			}
		}
		d, found, err := a.models.wallets.Document(ctx, id, projections.Latest)
		if err != nil {
			return err
		}
		if !found || seen[d.Citizen] {
			continue
		}
		seen[d.Citizen] = true
		var held []eventstore.Stream
		if err := a.models.wallets.Of(ctx, d.Citizen, projections.Latest, func(h *wallet.Held) error {
			held = append(held, acting.DocumentStream(h.Document.Document))
			return nil
		}); err != nil {
			return err
		}
		if err := a.Ring.PrefetchStreamsOf(ctx, d.Citizen, held); err != nil && !errors.Is(err, eventstore.ErrErased) {
			return err
		}
		if _, err := a.models.accesses.Of(ctx, d.Citizen, projections.Latest, accesslog.Filter{}, projections.Latest, rehearsedLooks); err != nil {
			return err
		}
	}
	return nil
}
