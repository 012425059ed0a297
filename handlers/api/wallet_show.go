package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/vocabulary"
	"coffre/projections/wallet"
)

// GetWallet implements GET /citizens/{id}/wallet: the documents that a citizen holds, their
// state, and who may read them. Citizens see their own documents without a record; documents
// held for others, and the wallet of another, only after one (rule A-1); an auditor sees no
// content. Contents are copied from the opened parts into the answer without being decoded.
func (v *Vault) GetWallet(ctx context.Context, r contract.GetWalletRequestObject) (contract.GetWalletResponseObject, error) {
	in := v.NewIntent(ctx)
	if err := v.WaitForToken(ctx, r.Params.CoffreMinPosition, v.Wallets.Name()); err != nil {
		return nil, err
	}
	page := &walletPage{
		v: v, ctx: ctx, in: in, citizen: r.CitizenID, lang: in.Call.Language, knownAt: in.At, day: domain.BelgianDate(in.At),
		leaf: projections.Latest, after: wallet.Start, size: defaultWalletPage,
	}
	if r.Params.PageSize > 0 {
		page.size = min(int(r.Params.PageSize), edge.MaxPage)
	}
	if err := page.setTimes(r.Params); err != nil {
		return nil, err
	}
	if err := page.admit(); err != nil {
		return nil, err
	}
	page.takeBuffers()
	if err := page.write(r.Params); err != nil {
		page.returnBuffers()
		return nil, err
	}
	v.RecordOnceAnswered(in, page.authorized...)
	return page, nil
}

// defaultWalletPage is the number of documents on a page of a wallet for whoever asks for none.
const defaultWalletPage = 100

// walletPage writes one page of a wallet, and is then the answer.
type walletPage struct {
	v       *Vault
	ctx     context.Context
	in      acting.Intent
	citizen domain.CitizenID
	lang    domain.Language

	leaf           int64       // last leaf that counts: the knowledge of the vault
	knownAt        time.Time   // time of that knowledge
	day            domain.Date // day on which the states are told
	dayGiven       bool        // validAt was given
	withoutContent bool        // for an auditor

	life  int         // index of the life in whose documents the page begins
	after wallet.Rank // of the last document on the page before
	size  int         // documents on the page, at most
	more  bool        // there are documents behind the page

	representation disclosure.Representation
	authorized     []access.Authorized // one for each person represented
	represented    map[domain.CitizenID]*representedPerson
	readers        []wallet.Reader // of the person whose documents are written now

	*walletBuffers
	items int
}

// representedPerson is a person whose documents the caller holds under mandates.
type representedPerson struct {
	representation disclosure.Representation
	recorded       bool // the access is on record
	readers        []wallet.Reader
}

// walletBuffers are pooled buffers. Their bytes are personal, and are overwritten when they
// return to the pool.
type walletBuffers struct {
	out   []byte
	plain []byte // one opened part

	streams []eventstore.Stream // whose keys are brought into memory together
}

var walletPool = sync.Pool{New: func() any { return new(walletBuffers) }}

// maxPooledBuffer is the capacity in bytes above which a buffer is not reused.
const maxPooledBuffer = 1 << 20

func (p *walletPage) takeBuffers() { p.walletBuffers = walletPool.Get().(*walletBuffers) }

// returnBuffers overwrites the buffers and returns them to the pool.
func (p *walletPage) returnBuffers() {
	b := p.walletBuffers
	p.walletBuffers = nil
	clear(b.out)
	clear(b.plain[:cap(b.plain)])
	if cap(b.out) > maxPooledBuffer || cap(b.plain) > maxPooledBuffer {
		return
	}
	b.out, b.plain = b.out[:0], b.plain[:0]
	walletPool.Put(b)
}

// VisitGetWalletResponse writes the answer.
func (p *walletPage) VisitGetWalletResponse(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(p.out)))
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(p.out)
	p.returnBuffers()
	if err != nil {
		return fmt.Errorf("write the wallet: %w", err)
	}
	return nil
}

// setTimes sets the knowledge (asOf) and the day (validAt) of the answer. Without validAt the
// day is that of the knowledge.
func (p *walletPage) setTimes(params contract.GetWalletParams) error {
	if params.AsOf != nil {
		c, err := p.v.setClocks(p.ctx, p.in.At, params.AsOf, "", p.v.Wallets.Name())
		if err != nil {
			return err
		}
		p.leaf, p.knownAt, p.day = c.leaf, c.at, c.day
	}
	if params.After != "" {
		place, err := p.v.PlaceFrom(p.list(params), params.After, 5)
		if err != nil {
			return err
		}
		p.leaf, p.knownAt = place[0], time.UnixMicro(place[1]).UTC()
		p.life, p.after = int(place[2]), wallet.Rank{Granted: place[3], Issued: place[4]}
		p.day = domain.BelgianDate(p.knownAt)
		if err := p.v.WaitForLeaf(p.ctx, p.leaf, p.v.Wallets.Name()); err != nil {
			return err
		}
	}
	if params.ValidAt != "" {
		p.day, p.dayGiven = params.ValidAt, true
	}
	return nil
}

// list names the wallet whose pages a cursor leads through: whose, and as of when.
func (p *walletPage) list(params contract.GetWalletParams) string {
	return walletLinks(p.citizen, contract.GetWalletParams{AsOf: params.AsOf, ValidAt: params.ValidAt}).At("")
}

// admit refuses callers other than the citizen, their representatives, and auditors, whose
// reading is recorded as a reading of the log.
func (p *walletPage) admit() (err error) {
	if p.in.Actor.Role == domain.RoleAuditor {
		p.withoutContent = true
		return p.v.recordLogRead(p.ctx, 0, contract.ListEventsParams{Category: []contract.StreamCategory{"document"}, Stream: string(acting.CitizenStream(p.citizen))})
	}
	if p.citizen.IsZero() {
		return edge.ErrNoResource
	}
	if p.representation, err = p.v.ActFor(p.ctx, p.in, &p.citizen, mandate.Read); err != nil || p.representation.Self() {
		return err
	}
	authorized, err := p.v.AuthorizeRepresentative(p.ctx, p.in, p.representation, p.representation.MandateFor(nil))
	if err != nil {
		return err
	}
	p.authorized = append(p.authorized, authorized)
	return nil
}

// write writes the page. A wallet of several pages is told as of the leaf that the read model
// had come to at the first of them, so that page is begun again there.
func (p *walletPage) write(params contract.GetWalletParams) error {
	if err := p.writePage(params); err != nil || !p.more || p.leaf != projections.Latest {
		return err
	}
	at, err := p.v.Wallets.View().Checkpoint(p.ctx)
	if err != nil {
		return fmt.Errorf("how far the wallets are: %w", err)
	}
	p.leaf = at.Next - 1
	for id, o := range p.represented {
		if o.readers, err = p.readersOfPerson(id); err != nil {
			return err
		}
	}
	return p.writePage(params)
}

func (p *walletPage) writePage(params contract.GetWalletParams) error {
	links := walletLinks(p.citizen, params)
	clear(p.out)
	p.out, p.items, p.more = append(p.out[:0], `{"self":`...), 0, false
	p.writeText(links.At(params.After))
	p.out = append(p.out, `,"citizenId":"`...)
	p.writeID(p.citizen.UUID)
	p.out = append(p.out, '"')
	if params.AsOf != nil {
		p.writeMember("asOf", params.AsOf.Format(time.RFC3339Nano))
	}
	p.writeMember("validAt", string(params.ValidAt))
	p.out = append(p.out, `,"pageSize":`...)
	p.out = strconv.AppendInt(p.out, int64(p.size), 10)
	p.out = append(p.out, `,"items":[`...)
	life, last := p.life, p.after
	if p.leaf >= 0 {
		lives, err := p.v.Wallets.Lives(p.ctx, p.citizen, p.leaf)
		if err != nil {
			return err
		}
		own, err := p.readersOf(lives)
		if err != nil {
			return err
		}
		for ; life < len(lives); life, last = life+1, wallet.Start {
			if last, err = p.writeLife(lives[life], last, own); err != nil {
				return err
			}
			if p.more {
				break
			}
		}
	}
	p.out = append(p.out, ']')
	if p.more {
		next, cursor := links.Next(p.v.Cursor(p.list(params), p.leaf, p.knownAt.UnixMicro(), int64(life), last.Granted, last.Issued))
		p.writeMember("next", next)
		p.writeMember("nextCursor", cursor)
	}
	p.out = append(p.out, "}\n"...)
	return nil
}

// writeLife writes the documents of one life from behind a rank on, and returns the rank of the
// last that the page has room for. readers are those of the person's own documents.
func (p *walletPage) writeLife(life domain.CitizenID, after wallet.Rank, readers []wallet.Reader) (last wallet.Rank, err error) {
	last = after
	err = p.v.Wallets.From(p.ctx, life, p.leaf, after, p.size+1, func(held iter.Seq[*wallet.Held]) (bool, error) {
		if err := p.prefetchKeys(life, held); err != nil {
			return false, err
		}
		for h := range held {
			if p.more = p.items == p.size; p.more {
				return false, nil
			}
			if h.Mandate == nil {
				p.readers = readers
			}
			last = h.Rank()
			if err := p.writeHeld(h); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	return last, err
}

// readersOfPerson returns the consents that stand, of all lives of a person.
func (p *walletPage) readersOfPerson(who domain.CitizenID) ([]wallet.Reader, error) {
	lives, err := p.v.Wallets.Lives(p.ctx, who, p.leaf)
	if err != nil {
		return nil, err
	}
	return p.readersOf(lives)
}

// readersOf returns the consents that stand, of these lives of a person.
func (p *walletPage) readersOf(lives []domain.CitizenID) (all []wallet.Reader, err error) {
	for _, life := range lives {
		more, err := p.v.Wallets.Readers(p.ctx, life, p.leaf)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// prefetchKeys brings the keys of documents of one life into memory together: one reading of
// the key database, and one call to the key-encryption key at most, instead of as many as there
// are documents. Keys of the persons whom they represent come one by one, after the access is
// on record.
func (p *walletPage) prefetchKeys(life domain.CitizenID, held iter.Seq[*wallet.Held]) error {
	if p.withoutContent {
		return nil
	}
	p.streams = p.streams[:0]
	for h := range held {
		if h.Mandate == nil && !h.Destroyed && h.Sealed != nil && (p.representation.Self() || p.holds(p.representation, h.Type)) {
			p.streams = append(p.streams, h.Place.Stream)
		}
	}
	if err := p.v.Keys.PrefetchStreamsOf(p.ctx, life, p.streams); err != nil && !errors.Is(err, eventstore.ErrErased) {
		return fmt.Errorf("read the keys of a wallet: %w", err)
	}
	return nil
}

// writeHeld writes one document that the person holds, if the caller may see it.
func (p *walletPage) writeHeld(h *wallet.Held) error {
	switch {
	case h.Mandate != nil && (p.withoutContent || !p.representation.Self()):
		return nil // documents held for others are for the citizen's own eyes
	case h.Mandate != nil:
		return p.writeRepresented(h)
	case !p.withoutContent && !p.representation.Self() && !p.holds(p.representation, h.Type):
		return nil
	}
	return p.writeDocument(&h.Document, p.representation)
}

// holds reports whether a representative holds documents of the type on the day
// of the call.
func (p *walletPage) holds(a disclosure.Representation, t domain.DocumentType) bool {
	known, ok := p.in.Words.DocumentType(t)
	return ok && slices.ContainsFunc(a.Mandates, func(m mandate.InForce) bool { return m.Holds(*known, domain.BelgianDate(p.in.At)) })
}

// writeRepresented writes a document of a person whom the citizen represents, after the access
// is on record. Without a mandate in force nothing is written.
func (p *walletPage) writeRepresented(h *wallet.Held) error {
	o, err := p.representedPerson(h.Citizen)
	if err != nil || !p.holds(o.representation, h.Type) {
		return err
	}
	if !o.recorded {
		authorized, err := p.v.AuthorizeRepresentative(p.ctx, p.in, o.representation, o.representation.MandateFor([]domain.DocumentType{h.Type}))
		var refusal *domain.Error
		switch {
		case errors.As(err, &refusal) && refusal.Code != domain.Unavailable:
			o.representation.Mandates = nil // it ended just now
			return nil
		case err != nil:
			return err
		}
		if o.readers, err = p.readersOfPerson(h.Citizen); err != nil {
			return err
		}
		p.authorized, o.recorded = append(p.authorized, authorized), true
	}
	p.readers = o.readers
	return p.writeDocument(&h.Document, o.representation)
}

// representedPerson returns a person with the mandates in force under which the citizen holds
// their documents.
func (p *walletPage) representedPerson(id domain.CitizenID) (*representedPerson, error) {
	if o := p.represented[id]; o != nil {
		return o, nil
	}
	a, err := p.v.ActFor(p.ctx, p.in, &id, mandate.Read)
	var refusal *domain.Error
	if err != nil && !errors.As(err, &refusal) { // a mandate that cannot be read shows nothing (M-1.9)
		return nil, err
	}
	o := &representedPerson{representation: a}
	if p.represented == nil {
		p.represented = make(map[domain.CitizenID]*representedPerson)
	}
	p.represented[id] = o
	return o, nil
}

// writeDocument writes one document with its version and state on the day.
func (p *walletPage) writeDocument(d *wallet.Document, a disclosure.Representation) error {
	part, err := p.open(d)
	if err != nil {
		return err
	}
	from, until, effective, state := d.ValidFrom, d.ValidUntil, d.EffectiveFrom, d.State
	if d.PersonalValidity {
		from, until, effective = part.validFrom, part.validUntil, part.effectiveFrom
	}
	if !p.rowSuffices(d, from, effective) {
		found, rest, ok, err := p.versionInForce(d)
		if err != nil || !ok {
			return err
		}
		if part, err = p.open(found); err != nil { // anew: others were opened since
			return err
		}
		d, from, until, effective, state = found, rest.from, rest.until, rest.effective, rest.state
	}
	p.writeItem(d, part, from, until, effective, p.status(d, part, state, from, until), a)
	return nil
}

// rowSuffices reports whether the row alone tells the version and state of the document on
// the day: both are in effect by then, and the row has dates of its own.
func (p *walletPage) rowSuffices(d *wallet.Document, from, effective domain.Date) bool {
	return !p.dayGiven && (d.Version == 1 || from != "" && effective != "" && effective <= p.day) &&
		(d.State != wallet.Revoked || d.RevokedFrom <= p.day)
}

// versionDates are the dates of a document's version, and the document's state on a day.
type versionDates struct {
	from, until, effective domain.Date
	state                  wallet.DocumentState
}

// versionInForce returns the version in force on the day among all that were known; false
// when there was none.
func (p *walletPage) versionInForce(d *wallet.Document) (*wallet.Document, versionDates, bool, error) {
	rows, err := p.v.Wallets.Versions(p.ctx, d.Document, p.leaf)
	if err != nil {
		return nil, versionDates{}, false, err
	}
	dates := make(map[int]versionDates, len(rows))
	of := func(row *wallet.Document) (versionDates, error) {
		if known, ok := dates[row.Version]; ok {
			return known, nil
		}
		one := versionDates{from: row.ValidFrom, until: row.ValidUntil, effective: row.EffectiveFrom}
		if row.PersonalValidity {
			part, err := p.open(row)
			if err != nil {
				return versionDates{}, err
			}
			one = versionDates{from: part.validFrom, until: part.validUntil, effective: part.effectiveFrom}
		}
		dates[row.Version] = one
		return one, nil
	}
	in, state, ok, err := wallet.InForce(rows, p.day, domain.BelgianDate, func(row *wallet.Document) (domain.Date, error) {
		one, err := of(row)
		return one.effective, err
	})
	if err != nil || !ok {
		return nil, versionDates{}, false, err
	}
	found, err := of(in)
	if err != nil {
		return nil, versionDates{}, false, err
	}
	// A later version without dates keeps those of the version before (rule D-3).
	for version := in.Version - 1; found.from == "" && version > 0; version-- {
		for i := range rows {
			if rows[i].Version != version {
				continue
			}
			before, err := of(&rows[i])
			if err != nil {
				return nil, versionDates{}, false, err
			}
			found.from, found.until = before.from, before.until
			break
		}
	}
	found.state = state
	return in, found, true, nil
}

// status returns the state of the document on the day. For readers who may not see the dates
// the document counts as valid unless a clear fact says otherwise.
func (p *walletPage) status(d *wallet.Document, part personalPart, state wallet.DocumentState, from, until domain.Date) contract.DocumentState {
	switch {
	case d.Destroyed || part.keyDestroyed:
		return contract.DocumentStateErased
	case state == wallet.Revoked:
		return contract.DocumentStateRevoked
	case state == wallet.Suspended:
		return contract.DocumentStateSuspended
	case from != "" && p.day < from:
		return contract.DocumentStateNotYetValid
	case until != "" && until < p.day:
		return contract.DocumentStateExpired
	}
	return contract.DocumentStateValid
}

// open opens the sealed part of a row. Its content is valid until the next call. The part is
// empty for an auditor and for an erased document.
func (p *walletPage) open(d *wallet.Document) (personalPart, error) {
	if p.withoutContent || d.Destroyed || d.Sealed == nil {
		return personalPart{}, nil
	}
	plain, err := p.v.OpenSealedBytes(p.ctx, p.plain[:0], d.Place, d.Sealed)
	if errors.Is(err, eventstore.ErrErased) {
		return personalPart{keyDestroyed: true}, nil
	}
	if err != nil {
		return personalPart{}, err
	}
	p.plain = plain
	part, ok := splitPersonal(plain)
	if !ok {
		return personalPart{}, fmt.Errorf("%s: its personal part does not decode", d.Place.Type)
	}
	return part, nil
}

// writeItem writes one document, with the members of the contract's WalletItem.
func (p *walletPage) writeItem(d *wallet.Document, part personalPart, from, until, effective domain.Date, state contract.DocumentState, a disclosure.Representation) {
	if p.items++; p.items > 1 {
		p.out = append(p.out, ',')
	}
	p.out = append(p.out, `{"href":"`...)
	p.out = append(p.out, contract.Base...)
	p.out = append(p.out, `/documents/`...)
	p.writeID(d.Document.UUID)
	if asked := p.in.Call.Asked; asked != "" { // as edge.Call.InLanguage does
		p.out = append(append(p.out, `?lang=`...), asked...)
	}
	p.out = append(p.out, `","documentId":"`...)
	p.writeID(d.Document.UUID)
	p.out = append(p.out, '"')
	p.writeMember("documentType", string(d.Type))
	p.writeMember("label", p.in.Words.Label(vocabulary.DocumentTypes, string(d.Type), p.lang))
	p.writeMember("issuer", string(d.Issuer))
	p.writeMember("issuerName", p.in.Words.Label(vocabulary.Organisations, string(d.Issuer), p.lang))
	p.out = append(p.out, `,"version":`...)
	p.out = strconv.AppendInt(p.out, int64(d.Version), 10)
	p.writeMember("state", string(state))
	p.writeMember("reason", string(d.Reason))
	p.writeMember("validFrom", string(from))
	p.writeMember("validUntil", string(until))
	p.writeMember("effectiveFrom", string(effective))
	if part.content != nil {
		p.out = append(p.out, `,"content":`...)
		p.out = append(p.out, part.content...)
	}
	p.writeAttachments(d, part)
	if state != contract.DocumentStateRevoked && state != contract.DocumentStateErased { // which nobody may read any more
		p.writeReaders(d)
	}
	if p.withoutContent || a.Self() {
		p.writeMember("heldAs", string(contract.HeldAsSubject))
	} else {
		p.writeMember("heldAs", string(contract.HeldAsRepresentative))
		p.writeMember("representedCitizenId", d.Citizen.String())
		p.writeMember("mandateId", a.MandateFor([]domain.DocumentType{d.Type}).ID.String())
	}
	p.out = append(p.out, '}')
}

// writeReaders writes the consents under which a consumer may read the document.
func (p *walletPage) writeReaders(d *wallet.Document) {
	first := true
	for i := range p.readers {
		r := &p.readers[i]
		if !p.knownAt.Before(r.Terms.Until) || !r.Covers(d.Document, d.Type, d.IssuedLeaf) {
			continue
		}
		if first {
			p.out = append(p.out, `,"whoMayRead":[`...)
		} else {
			p.out = append(p.out, ',')
		}
		first = false
		p.out = append(p.out, `{"consentId":"`...)
		p.writeID(r.Consent.UUID)
		p.out = append(p.out, '"')
		p.writeMember("organization", string(r.Terms.Consumer))
		p.writeMember("organizationName", p.in.Words.Label(vocabulary.Organisations, string(r.Terms.Consumer), p.lang))
		p.writeMember("purpose", string(r.Terms.Purpose))
		p.writeMember("purposeLabel", p.in.Words.Label(vocabulary.Purposes, string(r.Terms.Purpose), p.lang))
		p.writeMember("until", r.Terms.Until.Format(time.RFC3339Nano))
		p.out = append(p.out, '}')
	}
	if !first {
		p.out = append(p.out, ']')
	}
}

// writeMember writes a member that is not the first of its object; nothing when the value is
// empty.
func (p *walletPage) writeMember(name, value string) {
	if value == "" {
		return
	}
	p.out = append(p.out, ',', '"')
	p.out = append(p.out, name...)
	p.out = append(p.out, '"', ':')
	p.writeText(value)
}

// writeText writes a JSON string.
func (p *walletPage) writeText(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			p.out, _ = jsontext.AppendQuote(p.out, s) // labels are UTF-8; what is not is replaced
			return
		}
	}
	p.out = append(p.out, '"')
	p.out = append(p.out, s...)
	p.out = append(p.out, '"')
}

// writeID writes a UUID in its usual form.
func (p *walletPage) writeID(id uuid.UUID) {
	for i, part := range [][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			p.out = append(p.out, '-')
		}
		p.out = hex.AppendEncode(p.out, part)
	}
}

func walletLinks(id domain.CitizenID, params contract.GetWalletParams) edge.PageLinks {
	return edge.LinksTo(contract.Base+"/citizens/"+id.String()+"/wallet").Time("asOf", params.AsOf).
		Text("validAt", string(params.ValidAt)).Text("lang", string(params.Lang)).Number("pageSize", params.PageSize)
}
