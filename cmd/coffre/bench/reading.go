package bench

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/ncruces/go-sqlite3"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/consent"
	"coffre/eventstore"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/edge/token"
)

const (
	readingCitizens                     = 1000 // whose wallets are read, of all there are
	benchConsumer   domain.Organisation = "0671516647"
	benchPurpose    domain.Purpose      = "recruitment"
)

// walletReading is T3: citizens read their own wallets.
func (b *bench) walletReading(ctx context.Context) error {
	dir, err := b.folder("T3")
	if err != nil {
		return err
	}
	if err := populate(ctx, dir, readingCitizens*(1+documentsEach)); err != nil {
		return err
	}
	got, err := b.wallets(ctx, dir, readingCitizens)
	if err != nil {
		return err
	}
	return b.tell(Measure{"T3", got.subject, "1/s", "the same rows by primary key, opened, over HTTP", got.baseline, got.ratio, ">= 0.6"})
}

// wallets compares the reading of wallets of a vault of so many citizens with that
// of as many raw rows.
func (b *bench) wallets(ctx context.Context, dir vault.DataDir, citizens int) (_ compared, err error) {
	v, err := serveAlone(ctx, dir)
	if err != nil {
		return compared{}, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	n := min(citizens, readingCitizens)
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
	var turn atomic.Int64
	return b.compare(ctx, "T3", func(ctx context.Context) (float64, error) {
		return load(ctx, callers, b.span, func(ctx context.Context, _ int) error {
			i := int(turn.Add(1)) % n
			return noop.send(ctx, http.MethodGet, "/raw/"+strconv.Itoa(i*(citizens/n)), bearers[i], nil, http.StatusOK)
		})
	}, func(ctx context.Context) (float64, error) {
		return load(ctx, callers, b.span, func(ctx context.Context, _ int) error {
			i := int(turn.Add(1)) % n
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
			rand.Read(id[:])
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
// record before anything is opened, beside T2 on the same vault; T4b: everybody
// under one consent.
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
	source, err := v.token(token.Grant{Role: domain.RoleIssuer, Organisation: issuerNumber})
	if err != nil {
		return err
	}
	bearer, err := v.token(token.Grant{Role: domain.RoleConsumer, Organisation: benchConsumer})
	if err != nil {
		return err
	}
	known := issuer{bearer: source}
	known.number.Store(int64(len(grants))) // beyond the references that are taken
	var turn atomic.Int64
	issuing := v.settled(func(ctx context.Context) (float64, error) {
		return load(ctx, callers, b.span, func(ctx context.Context, _ int) error {
			return known.issue(ctx, v.site, int(turn.Add(1))%readingCitizens)
		})
	})
	read := func(ctx context.Context, g granted) error {
		body := fmt.Appendf(nil, `{"purpose":"%s","consentId":"%s"}`, benchPurpose, g.consent)
		return v.site.send(ctx, http.MethodPost, "/documents/"+g.document.String()+"/access", bearer, body, http.StatusOK)
	}
	got, err := b.compare(ctx, "T4", issuing, v.settled(func(ctx context.Context) (float64, error) {
		return load(ctx, callers, b.span, func(ctx context.Context, _ int) error {
			return read(ctx, grants[int(turn.Add(1))%len(grants)])
		})
	}))
	if err != nil {
		return err
	}
	if err := b.tell(Measure{"T4", got.subject, "1/s", "POST /documents on the same vault (T2)", got.baseline, got.ratio, ">= 0.7"}); err != nil {
		return err
	}
	// Whoever is refused as busy ends the round with an error: none may be.
	got, err = b.compare(ctx, "T4b", issuing, v.settled(func(ctx context.Context) (float64, error) {
		return load(ctx, callers, b.span, func(ctx context.Context, _ int) error { return read(ctx, grants[0]) })
	}))
	if err != nil {
		return err
	}
	return b.tell(Measure{"T4b", got.subject, "1/s", "POST /documents on the same vault (T2)", got.baseline, got.ratio, ">= 0.1"})
}

// granted is a document and the consent under which it may be read.
type granted struct {
	document domain.DocumentID
	consent  domain.ConsentID
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
