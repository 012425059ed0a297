package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
)

// Documents of a benchmark are diplomas, as the sample registry has them.
const (
	documentType  domain.DocumentType = "diploma"
	issuerNumber  domain.Organisation = "0316380841"
	validFrom     domain.Date         = "2026-01-01"
	documentsEach                     = 10 // documents in a wallet
)

// content returns the content of a diploma, in the form of RFC 8785, of such a length
// that the personal part of document.issued has as many bytes as payload says.
var content = sync.OnceValue(func() domain.JSON {
	content := func(wide int) domain.JSON {
		title := strings.Repeat("ë", wide) + strings.Repeat("t", 300-wide) // two bytes each, and one
		return domain.JSON(`{"awardedOn":"2024-06-30","credits":180,"diplomaNumber":"` + strings.Repeat("7", 100) +
			`","field":"0610","grade":"` + strings.Repeat("g", 100) + `","institution":"` + strings.Repeat("i", 300) +
			`","language":"nl","level":6,"title":"` + title + `"}`)
	}
	e := issued(domain.DocumentID{}, domain.CitizenID{}, content(0), 0)
	_, _, personal, err := codec.Catalog.Encode(e)
	if err != nil {
		panic(err) // an event of the catalogue
	}
	return content(payload - len(personal))
})

func reference(n int) string { return fmt.Sprintf("bench-%012d", n) }

func issued(id domain.DocumentID, holder domain.CitizenID, content domain.JSON, number int) document.Issued {
	return document.Issued{
		Document: id, Citizen: holder, Type: documentType, Issuer: issuerNumber, ValidFrom: validFrom,
		Categories: []domain.DataCategory{"N1", "N3"}, At: time.Now().UTC().Truncate(time.Microsecond),
		Personal: &document.IssuedPersonal{SourceReference: reference(number), Content: content},
	}
}

// SSIN is the number of the n-th invented person; see inventSSIN.
func SSIN(n int) domain.SSIN {
	rest := n / 998
	digits := int64(rest/196%100)*10_000_000 + int64(13+rest%7)*100_000 + int64(1+rest/7%28)*1_000 + int64(n%998+1)
	ssin, err := domain.ParseSSIN(fmt.Sprintf("%09d%02d", digits, 97-digits%97))
	if err != nil {
		panic(err) // the rule above is the rule it checks
	}
	return ssin
}

// meta returns the metadata of each event of a benchmark.
func meta(by eventstore.Reference) eventstore.Meta {
	return eventstore.Meta{
		Actor:       domain.Actor{Role: domain.RoleIssuer, Organisation: issuerNumber, Subject: "aGFzaGhhc2hoYXNoaGFzaA"},
		Correlation: uuid.New(), Registry: 1, BasedOn: []eventstore.Reference{by},
	}
}

// sealedLog is the writing side alone: log and keys, without server and read models.
type sealedLog struct {
	store   eventstore.Store
	ring    *seal.Ring
	sealer  seal.Sealer
	log     *eventstore.Log
	closers []func() error
}

func (l *sealedLog) Close() error {
	var errs []error
	for i := len(l.closers) - 1; i >= 0; i-- {
		errs = append(errs, l.closers[i]())
	}
	return errors.Join(errs...)
}

// openLog opens the writing side of a directory as vault.Open does.
func openLog(ctx context.Context, dir vault.DataDir, keeper *vault.TransitConfig) (*sealedLog, error) {
	store, err := sqlite.Open(ctx, string(dir), sqlite.Options{Gather: vault.Gather})
	if err != nil {
		return nil, err
	}
	return sealOver(ctx, store, dir, keeper)
}

// sealOver puts the keys of a directory over a store, which it closes.
func sealOver(ctx context.Context, store eventstore.Store, dir vault.DataDir, keeper *vault.TransitConfig) (_ *sealedLog, err error) {
	l := &sealedLog{store: store, closers: []func() error{store.Close}}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	kek, err := vault.OpenKeeper(ctx, dir, keeper, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	l.closers = append(l.closers, kek.Close)
	keys, err := keysdb.Open(ctx, dir.File("keys.db"), sqlitedb.Options{})
	if err != nil {
		return nil, err
	}
	l.closers = append(l.closers, keys.Close)
	if l.ring, err = seal.OpenRing(ctx, keys, kek, seal.Config{}); err != nil {
		return nil, err
	}
	l.closers = append(l.closers, l.ring.Close)
	l.sealer = seal.Sealer{Ring: l.ring}
	l.log = eventstore.NewLog(eventstore.Options{Store: l.store, Codec: codec.Catalog, Sealer: l.sealer})
	return l, nil
}

// put appends events to a stream without deciding anything.
func (l *sealedLog) put(ctx context.Context, s eventstore.Stream, holder domain.CitizenID, events ...any) error {
	_, err := counting.Transact(ctx, l.log, write(s, holder), recorded(events))
	return err
}

// begin is put for a stream that most likely does not exist, as the document of a new
// reference.
func (l *sealedLog) begin(ctx context.Context, s eventstore.Stream, holder domain.CitizenID, events ...any) error {
	w := write(s, holder)
	w.Fresh = true
	_, err := counting.Transact(ctx, l.log, w, recorded(events))
	return err
}

func write(s eventstore.Stream, holder domain.CitizenID) eventstore.Write {
	return eventstore.Write{Stream: s, Citizen: holder, Meta: meta(eventstore.At(s, 0))}
}

// counting folds any stream to the number of its events.
var counting = eventstore.Decider[int, any]{Evolve: func(n int, _ any) int { return n + 1 }}

// recorded is a command that always happens.
type recorded []any

func (r recorded) Decide(int) ([]any, error) { return r, nil }

// enrol makes n citizens from the first-th on, with their registrations.
func (l *sealedLog) enrol(ctx context.Context, first, n int) ([]domain.CitizenID, error) {
	all := make([]domain.CitizenID, n)
	err := inParallel(ctx, n, func(ctx context.Context, i int) error {
		id, _, err := l.ring.Enroll(ctx, SSIN(first+i))
		if err != nil {
			return err
		}
		all[i] = id
		registered := citizen.Registered{Citizen: id, At: time.Now().UTC().Truncate(time.Microsecond)}
		if err := l.put(ctx, eventstore.Stream("citizen-"+id.String()), id, registered); err != nil {
			return err
		}
		return l.ring.Activate(id)
	})
	return all, err
}

// issue gives each holder so many documents, spread over the log as years of
// issuing do, and returns their streams.
func (l *sealedLog) issue(ctx context.Context, holders []domain.CitizenID, each int) ([]eventstore.Stream, error) {
	streams := make([]eventstore.Stream, len(holders)*each)
	err := inParallel(ctx, len(streams), func(ctx context.Context, i int) error {
		id := domain.DocumentID{UUID: uuid.New()}
		streams[i] = eventstore.Stream("document-" + id.String())
		holder := holders[i%len(holders)]
		return l.put(ctx, streams[i], holder, issued(id, holder, content(), i))
	})
	return streams, err
}

// populate fills a new directory with a vault of about so many events: citizens
// with documentsEach documents each.
func populate(ctx context.Context, dir vault.DataDir, events int) (err error) {
	l, err := openLog(ctx, dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	holders, err := l.enrol(ctx, 0, events/(1+documentsEach))
	if err != nil {
		return err
	}
	_, err = l.issue(ctx, holders, documentsEach)
	return err
}

// inParallel calls do for each index from 0 to n-1, with as many callers at a time as
// the benchmarks have.
func inParallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan int)
	go func() {
		defer close(next)
		for i := range n {
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := range next {
				if ctx.Err() != nil {
					continue // the rest is taken, so that nobody waits
				}
				if err := do(ctx, i); err != nil {
					stop(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
