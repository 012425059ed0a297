package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/document"
	"coffre/handlers/edge/token"
)

// The log of T15: citizens whose documents change again and again.
const (
	changingDocuments = 20 // of each citizen
	changesEach       = 10 // events of each document, the first included
)

// asOf is T15: citizens with 200 events each, one for each client, read their own wallet as the
// vault knew it at a random past instant, beside the wallet as it is now.
func (b *bench) asOf(ctx context.Context) (err error) {
	dir, err := b.folder("T15")
	if err != nil {
		return err
	}
	all, first, last, err := changing(ctx, dir)
	if err != nil {
		return err
	}
	v, err := serveAlone(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	bearers := make([]string, len(all))
	for i, who := range all {
		if bearers[i], err = v.token(token.Grant{Role: domain.RoleCitizen, Citizen: who}); err != nil {
			return err
		}
	}
	read := func(query func() string) side {
		return func(ctx context.Context) (pace, error) {
			return load(ctx, callers, b.span, func(ctx context.Context, caller int) error {
				return v.site.send(ctx, http.MethodGet, "/citizens/"+all[caller].String()+"/wallet"+query(), bearers[caller], nil, http.StatusOK)
			})
		}
	}
	got, err := b.compare(ctx, "T15", read(func() string { return "" }), read(func() string {
		at := first.Add(rand.N(last.Sub(first)))
		return "?asOf=" + url.QueryEscape(at.UTC().Format(time.RFC3339Nano))
	}))
	if err != nil {
		return err
	}
	return b.tell(got.measure("T15", "1/s", "the wallet as it is now", ">= 0.3"))
}

// changing fills a vault for T15. It returns the citizens, when the last of the documents was
// issued and when the last of them changed.
func changing(ctx context.Context, dir vault.DataDir) (all []domain.CitizenID, first, last time.Time, err error) {
	l, err := openLog(ctx, dir, nil)
	if err != nil {
		return nil, first, last, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if all, err = l.enrol(ctx, 0, callers); err != nil {
		return nil, first, last, err
	}
	streams, err := l.issue(ctx, all, changingDocuments)
	if err != nil {
		return nil, first, last, err
	}
	first = time.Now()
	for n := 2; n <= changesEach; n++ {
		err := inParallel(ctx, len(streams), func(ctx context.Context, i int) error {
			id, err := uuid.Parse(strings.TrimPrefix(string(streams[i]), "document-"))
			if err != nil {
				return err
			}
			return l.put(ctx, streams[i], all[i%len(all)], document.Updated{
				Document: domain.DocumentID{UUID: id}, Version: n, Replaces: n - 1, Reason: "correction", EffectiveFrom: validFrom, ValidFrom: validFrom,
				At: time.Now().UTC().Truncate(time.Microsecond), Personal: &document.UpdatedPersonal{Content: content()},
			})
		})
		if err != nil {
			return nil, first, last, err
		}
	}
	return all, first, time.Now(), nil
}
