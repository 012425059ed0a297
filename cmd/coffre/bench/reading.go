package bench

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	secret "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/ncruces/go-sqlite3"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/consent"
	"coffre/eventstore"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/contract"
	"coffre/handlers/contract/wire"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

const (
	readingCitizens                     = 1000   // whose wallets are read, of all there are
	coldCitizens                        = 24_000 // whose streams are seven times, and who are one and a half times, what a ring keeps
	benchConsumer   domain.Organisation = "0671516647"
	benchPurpose    domain.Purpose      = "recruitment"
)

// walletReading is T3: citizens read their own wallets, with keys in memory; and, in a
// line of its own, any of more citizens than the caches of the ring hold.
func (b *bench) walletReading(ctx context.Context) error {
	dir, err := b.folder("T3")
	if err != nil {
		return err
	}
	if err := populate(ctx, dir, readingCitizens*(1+documentsEach)); err != nil {
		return err
	}
	const flavour = "the same rows by primary key, opened, over HTTP"
	got, err := b.wallets(ctx, "T3", dir, readingCitizens, readingCitizens)
	if err != nil {
		return err
	}
	if err := b.tell(got.measure("T3", "1/s", flavour, ">= 0.65")); err != nil {
		return err
	}
	if dir, err = b.folder("T3-cold"); err != nil {
		return err
	}
	if err := populate(ctx, dir, coldCitizens*(1+documentsEach)); err != nil {
		return err
	}
	if got, err = b.wallets(ctx, "T3cold", dir, coldCitizens, coldCitizens); err != nil {
		return err
	}
	return b.tell(got.measure("T3.cold", "1/s", flavour, ">= 0.5"))
}

// wallets compares the reading of wallets, of so many readers in a vault of so many
// citizens, with that of as many raw rows. Both sides choose the next reader at random.
func (b *bench) wallets(ctx context.Context, name string, dir vault.DataDir, citizens, readers int) (_ compared, err error) {
	v, err := serveAlone(ctx, dir)
	if err != nil {
		return compared{}, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	n := min(citizens, readers)
	paths, bearers := make([]string, n), make([]string, n)
	if err := inParallel(ctx, n, func(ctx context.Context, i int) error {
		id, err := v.Ring.Resolve(ctx, SSIN(i*(citizens/n)))
		if err != nil {
			return err
		}
		paths[i] = "/citizens/" + id.String() + "/wallet"
		bearers[i], err = v.token(token.Grant{Role: domain.RoleCitizen, Citizen: id})
		return err
	}); err != nil {
		return compared{}, err
	}
	raw, err := newRawWallets(ctx, dir.File("raw-wallets.db"), citizens)
	if err != nil {
		return compared{}, err
	}
	defer func() { err = errors.Join(err, raw.Close()) }()
	noop, err := listen(raw)
	if err != nil {
		return compared{}, err
	}
	defer func() { err = errors.Join(err, noop.Close()) }()
	return b.compare(ctx, name, func(ctx context.Context) (pace, error) {
		return load(ctx, callers, b.span, func(ctx context.Context, _ int) error {
			i := rand.IntN(n)
			return noop.send(ctx, http.MethodGet, "/raw/"+strconv.Itoa(i*(citizens/n)), bearers[i], nil, http.StatusOK)
		})
	}, func(ctx context.Context) (pace, error) {
		return load(ctx, callers, b.span, func(ctx context.Context, _ int) error {
			i := rand.IntN(n)
			return v.site.send(ctx, http.MethodGet, paths[i], bearers[i], nil, http.StatusOK)
		})
	})
}

// rawWallets is the baseline of T3: rows as a wallet has them, read by their
// primary keys, opened with one key, and written out.
type rawWallets struct {
	citizens int
	aead     cipher.AEAD
	readers  chan *rawReader
	writer   *sqlite3.Conn
}

type rawReader struct {
	conn   *sqlite3.Conn
	query  *sqlite3.Stmt
	answer []byte
}

// rawReaders are as many connections as a read model's queries have.
const rawReaders = 2

func newRawWallets(ctx context.Context, path string, citizens int) (_ *rawWallets, err error) {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		return nil, err
	}
	w := &rawWallets{citizens: citizens, readers: make(chan *rawReader, rawReaders)}
	if w.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, err
	}
	if w.writer, err = sqlitedb.OpenConn(ctx, path, sqlitedb.Options{}, sqlitedb.Write); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if err := w.fill(ctx); err != nil {
		return nil, err
	}
	for range rawReaders {
		conn, err := sqlitedb.OpenConn(ctx, path, sqlitedb.Options{Cache: 8 << 20}, sqlitedb.Read)
		if err != nil {
			return nil, err
		}
		r := &rawReader{conn: conn}
		w.readers <- r
		if r.query, _, err = conn.Prepare(`SELECT document, type, issuer, version, state, valid_from, issued_at, sealed FROM held WHERE id IN (?` +
			strings.Repeat(", ?", documentsEach-1) + `)`); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *rawWallets) fill(ctx context.Context) error {
	if err := w.writer.Exec(`CREATE TABLE held (id INTEGER PRIMARY KEY, document BLOB, type TEXT, issuer TEXT, version INTEGER, state TEXT, valid_from TEXT, issued_at INTEGER, sealed BLOB) STRICT`); err != nil {
		return err
	}
	insert, _, err := w.writer.Prepare(`INSERT INTO held VALUES (?, ?, 'diploma', '0316380841', 1, 'active', '2026-01-01', 1767225600000000, ?)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	plain := make([]byte, payload)
	for i := range plain {
		plain[i] = 'a' + byte(i%26)
	}
	total := w.citizens * documentsEach
	for at := 0; at < total; {
		if err := errors.Join(ctx.Err(), w.writer.Exec(`BEGIN IMMEDIATE`)); err != nil {
			return err
		}
		for last := min(at+4096, total); at < last; at++ {
			var id uuid.UUID
			secret.Read(id[:])
			if err := errors.Join(insert.BindInt64(1, int64(at)), insert.BindBlob(2, id[:]), insert.BindBlob(3, w.aead.Seal(nil, nil, plain, id[:])), insert.Exec()); err != nil {
				return err
			}
		}
		if err := w.writer.Exec(`COMMIT`); err != nil {
			return err
		}
	}
	return nil
}

// Close waits for the readers.
func (w *rawWallets) Close() error {
	var errs []error
	for range len(w.readers) { // the server is down: all are here
		r := <-w.readers
		if r.query != nil {
			_ = r.query.Close() // the error of its last use, which was dealt with then
		}
		errs = append(errs, r.conn.Close())
	}
	return errors.Join(append(errs, w.writer.Close())...)
}

// ServeHTTP answers /raw/N with the documents of the N-th citizen.
func (w *rawWallets) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	citizen, err := strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	if err != nil {
		out.WriteHeader(http.StatusNotFound)
		return
	}
	reader := <-w.readers
	defer func() { w.readers <- reader }()
	answer, err := w.read(reader, citizen)
	if err != nil {
		out.WriteHeader(http.StatusInternalServerError)
		return
	}
	h := out.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = out.Write(answer) // nothing to do about a client that left
}

func (w *rawWallets) read(r *rawReader, citizen int) ([]byte, error) {
	for i := range documentsEach {
		if err := r.query.BindInt64(i+1, int64(i*w.citizens+citizen)); err != nil {
			return nil, err
		}
	}
	b := append(r.answer[:0], `{"items":[`...)
	n := 0
	for r.query.Step() {
		if n++; n > 1 {
			b = append(b, ',')
		}
		id := r.query.ColumnRawBlob(0)
		b = fmt.Appendf(b, `{"documentId":"%x","documentType":"%s","issuer":"%s","version":%d,"state":"%s","validFrom":"%s","issuedAt":%d,"content":"`,
			id, r.query.ColumnRawText(1), r.query.ColumnRawText(2), r.query.ColumnInt64(3), r.query.ColumnRawText(4), r.query.ColumnRawText(5), r.query.ColumnInt64(6))
		opened, err := w.aead.Open(b, nil, r.query.ColumnRawBlob(7), id)
		if err != nil {
			return nil, err
		}
		b = append(opened, `"}`...)
	}
	err := errors.Join(r.query.Err(), r.query.Reset())
	if err == nil && n != documentsEach {
		err = fmt.Errorf("%d rows", n)
	}
	r.answer = append(b, `]}`...)
	return r.answer, err
}

// accessing is T4: a consumer reads documents under consents, each reading on
// record before anything is opened, beside a server that makes one durable row for the
// same request; T4b: everybody under one consent, beside T4.
func (b *bench) accessing(ctx context.Context) (err error) {
	dir, err := b.folder("T4")
	if err != nil {
		return err
	}
	grants, err := consented(ctx, dir)
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	v, err := serveAlone(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	bearer, err := v.token(token.Grant{Role: domain.RoleConsumer, Organisation: benchConsumer})
	if err != nil {
		return err
	}
	recorder, err := newRawRecorder(ctx, dir.File("raw-accesses.db"), v.Core.Log.Store(), grants[0].stream())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, recorder.Close()) }()
	noop, err := listen(recorder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, noop.Close()) }()
	read := func(ctx context.Context, at *site, g granted) error {
		body := fmt.Appendf(nil, `{"purpose":"%s","consentId":"%s"}`, benchPurpose, g.consent)
		return at.send(ctx, http.MethodPost, "/documents/"+g.document.String()+"/access", bearer, body, http.StatusOK)
	}
	anyOf := func(at *site) side {
		return v.settled(func(ctx context.Context) (pace, error) {
			return load(ctx, callers, b.span, func(ctx context.Context, _ int) error {
				return read(ctx, at, grants[rand.IntN(len(grants))])
			})
		})
	}
	got, err := b.compare(ctx, "T4", anyOf(noop), anyOf(v.site))
	if err != nil {
		return err
	}
	if err := b.tell(got.measure("T4", "1/s", "the same requests, decoded, one durable raw row each", ">= 0.25")); err != nil {
		return err
	}
	// Whoever is refused as busy ends the round with an error: none may be.
	got, err = b.compare(ctx, "T4b", anyOf(v.site), v.settled(func(ctx context.Context) (pace, error) {
		return load(ctx, callers, b.span, func(ctx context.Context, _ int) error { return read(ctx, v.site, grants[0]) })
	}))
	if err != nil {
		return err
	}
	return b.tell(got.measure("T4b", "1/s", "over all consents (T4)", ">= 0.8"))
}

// granted is a document and the consent under which it may be read.
type granted struct {
	document domain.DocumentID
	consent  domain.ConsentID
}

func (g granted) stream() eventstore.Stream {
	return eventstore.Stream("document-" + g.document.String())
}

// rawRecorder is the baseline of T4: each request is decoded, and answered once a row with
// the bytes of a record is durable. Rows that wait at the same time share a transaction.
type rawRecorder struct {
	log    *rawLog
	queue  chan chan error
	ended  chan struct{}
	answer []byte
}

func newRawRecorder(ctx context.Context, path string, store eventstore.Store, like eventstore.Stream) (*rawRecorder, error) {
	l, err := newRawLog(ctx, path, store, like, 0, true)
	if err != nil {
		return nil, err
	}
	r := &rawRecorder{log: l, queue: make(chan chan error, callers), ended: make(chan struct{}), answer: append([]byte(`{"content":`), content()...)}
	r.answer = append(r.answer, '}')
	go r.write()
	return r, nil
}

func (r *rawRecorder) write() {
	defer close(r.ended)
	for first := range r.queue {
		waiting := []chan error{first}
		for len(waiting) < rawBatch && len(r.queue) > 0 {
			waiting = append(waiting, <-r.queue)
		}
		err := r.log.batch(len(waiting), true)
		for _, w := range waiting {
			w <- err
		}
	}
}

// Close ends the writer. No request is under way any more.
func (r *rawRecorder) Close() error {
	close(r.queue)
	<-r.ended
	return r.log.Close()
}

// ServeHTTP implements http.Handler.
func (r *rawRecorder) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, edge.MaxBody))
	var in contract.AccessRequest
	if err == nil {
		err = wire.Unmarshal(body, &in)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	durable := make(chan error, 1)
	r.queue <- durable
	if err := <-durable; err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(r.answer) // nothing to do about a client that left
}

// consented fills a directory with citizens, their documents, and a consent for
// each document.
func consented(ctx context.Context, dir vault.DataDir) (all []granted, err error) {
	l, err := openLog(ctx, dir, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	holders, err := l.enrol(ctx, 0, readingCitizens)
	if err != nil {
		return nil, err
	}
	streams, err := l.issue(ctx, holders, documentsEach)
	if err != nil {
		return nil, err
	}
	all = make([]granted, len(streams))
	return all, inParallel(ctx, len(streams), func(ctx context.Context, i int) error {
		id, err := uuid.Parse(strings.TrimPrefix(string(streams[i]), "document-"))
		if err != nil {
			return err
		}
		g := granted{domain.DocumentID{UUID: id}, domain.ConsentID{UUID: uuid.New()}}
		all[i] = g
		at := time.Now().UTC().Truncate(time.Microsecond)
		return l.put(ctx, eventstore.Stream("consent-"+g.consent.String()), holders[i%len(holders)], consent.Granted{
			Consent: g.consent, Citizen: holders[i%len(holders)], At: at,
			Terms:    consent.Terms{Consumer: benchConsumer, Purpose: benchPurpose, Documents: []domain.DocumentID{g.document}, Until: at.AddDate(0, 6, 0)},
			Personal: &consent.GrantedPersonal{Shown: consent.Shown{Text: "You allow this to be read.", Language: "en", Version: "1"}},
		})
	})
}
