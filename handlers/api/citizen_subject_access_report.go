package api

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/contract/report"
	"coffre/handlers/contract/texts"
	"coffre/handlers/contract/wire"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/erasures"
	"coffre/projections/vocabulary"
)

// Purpose and legal basis of a report about a citizen: the right of access.
const (
	rightOfAccess domain.Purpose    = "subjectAccess"
	byLegalDuty   domain.LegalBasis = "legalObligation"
)

// SubjectAccessReport implements POST /citizens/{id}/subjectAccessReport: everything
// the vault holds about a citizen (GDPR art. 15), for them or for a privacy
// officer. The access is on record before anything is opened (rule A-1). The same
// key does not make the report again (rule A-8): a caller who did not get it uses another.
func (v *Vault) SubjectAccessReport(ctx context.Context, r contract.SubjectAccessReportRequestObject) (_ contract.SubjectAccessReportResponseObject, err error) {
	call := edge.CallFrom(ctx)
	if err := v.ActAlone(ctx, call, r.CitizenID); err != nil {
		return nil, err
	}
	making := v.NewID()
	if err := v.Take(ctx, call, &acting.Reports, acting.Room{ID: making, Person: r.CitizenID.UUID[:]}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil { // else it is made while it is sent
			v.Free(&acting.Reports, making)
		}
	}()
	type recorded struct{ At contract.PositionToken }
	var in acting.Intent
	var authorized access.Authorized
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, now acting.Intent) (recorded, error) {
		person, err := v.LoadPerson(ctx, r.CitizenID)
		if err != nil {
			return recorded{}, err
		}
		in = now
		if authorized, err = v.authorizeReport(ctx, in, person, access.OpenedSubjectAccessReport); err != nil {
			return recorded{}, disclosure.HideNoBasis(err)
		}
		head, err := v.Log.Head(ctx)
		if err != nil {
			return recorded{}, fmt.Errorf("head of the log: %w", err)
		}
		at, err := v.PositionToken(ctx, head)
		return recorded{at}, err
	})
	switch {
	case err != nil:
		return nil, err
	case authorized.Access.IsZero(): // this key was used
		return nil, access.ErrAlreadyUsed
	}
	if err := v.readyToReport(ctx, r.CitizenID); err != nil {
		return nil, v.Withhold(ctx, in, authorized, err)
	}
	call.OnAnswered(func(bool) { v.Free(&acting.Reports, making) })
	v.RecordOnceAnswered(in, authorized)
	return &reportAnswer{v: v, ctx: ctx, in: withLanguage(in, r.Body.Lang), format: r.Body.Format, citizen: r.CitizenID, authorized: authorized, at: done.At}, nil
}

// authorizeReport records that the data of a citizen are about to be opened into a file
// (rules ).
func (v *Vault) authorizeReport(ctx context.Context, in acting.Intent, who acting.Person, kind access.Opened) (access.Authorized, error) {
	w := acting.WithCall(in.Write(0, acting.AccessStream(who.ID, in.At), who.ID, who.At), in.Call)
	result, err := acting.Accesses.Transact(ctx, v.Log, w, access.AuthorizeReport{
		Access: domain.AccessID{UUID: v.NewID()}, Citizen: who.ID, Kind: kind, Purpose: rightOfAccess, LegalBasis: byLegalDuty,
		Standing: who.Standing, By: in.Actor, At: in.At,
	})
	if err != nil {
		return access.Authorized{}, err
	}
	return disclosure.AuthorizedIn(result.Events)
}

// withLanguage returns the intent with another language for its answer; an empty one is the
// first language of the contract.
func withLanguage(in acting.Intent, lang domain.Language) acting.Intent {
	call := *in.Call
	if call.Language = lang; lang == "" {
		call.Language = edge.Languages[0]
	}
	in.Call = &call
	return in
}

// readyToReport waits until the read models have the whole log, and refuses a citizen about
// whom there is nothing any more.
func (v *Vault) readyToReport(ctx context.Context, id domain.CitizenID) error {
	if err := v.WaitForHead(ctx, v.Wallets.Name(), v.ConsentLog.Name(), v.AccessLog.Name(), v.Erasures.Name()); err != nil {
		return err
	}
	person, err := v.LoadPerson(ctx, id)
	if err == nil && person.Standing != citizen.Living && person.Standing != citizen.Dead { // it changed since
		err = access.ErrDocumentGone
	}
	return err
}

// reportHead is the number of bytes of a report that are made before the first is sent. Up to
// there a report that cannot be made is a problem; a longer one is broken off.
const reportHead = 64 << 10

// reportAnswer is a report that is sent while it is made, document by document and page by
// page, so that its length costs no memory.
type reportAnswer struct {
	v          *Vault
	ctx        context.Context
	in         acting.Intent
	format     contract.ReportFormat // "" for JSON
	citizen    domain.CitizenID
	authorized access.Authorized
	at         contract.PositionToken
}

// VisitSubjectAccessReportResponse implements contract.SubjectAccessReportResponseObject. A
// report that cannot be finished is broken off, so that its beginning does not pass for all.
func (a *reportAnswer) VisitSubjectAccessReportResponse(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", reportTypes[a.format])
	h.Set("Coffre-Position", a.at)
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="report-%s.%s"`, a.authorized.Access, cmp.Or(a.format, contract.ReportFormatJSON)))
	if a.format == contract.ReportFormatHTML {
		h.Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'")
	}
	sent := &countingWriter{Writer: w}
	buffered := bufio.NewWriterSize(sent, reportHead)
	err := a.writeIn(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	switch {
	case err == nil:
		return nil
	case sent.n == 0:
		return a.v.Withhold(a.ctx, a.in, a.authorized, err)
	}
	a.v.Slog.ErrorContext(a.ctx, "a report was broken off", slog.Int64("bytes", sent.n), slog.Any("error", err))
	panic(http.ErrAbortHandler)
}

// reportTypes are the media types of a report.
var reportTypes = map[contract.ReportFormat]string{
	"": "application/json", contract.ReportFormatJSON: "application/json",
	contract.ReportFormatHTML: "text/html; charset=utf-8", contract.ReportFormatPdf: "application/pdf",
}

// writeIn writes the report in the form that was asked for. A page and a PDF are made from the
// very report that programs get, while it is written.
func (a *reportAnswer) writeIn(w io.Writer) error {
	form := report.Page
	switch a.format {
	case contract.ReportFormatHTML:
	case contract.ReportFormatPdf:
		form = report.PDF
	default:
		return a.write(w)
	}
	made, making := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := a.write(making)
		written <- errors.Join(err, making.CloseWithError(err))
	}()
	err := form(w, made, report.Form{Language: a.in.Call.Language, Label: a.label})
	_ = made.CloseWithError(err) // ends the other side, whose error says why; it never fails
	if cause := <-written; cause != nil && (err == nil || !errors.Is(cause, err)) {
		return cause
	}
	return err
}

// label returns what the registry calls a code that stands in a member of a report.
func (a *reportAnswer) label(member, code string) string {
	lists := reportWords[member]
	for _, list := range lists {
		if said := a.in.Words.Label(list, code, a.in.Call.Language); said != code {
			return said
		}
	}
	return code
}

// reportWords are the lists of the registry that have the codes of a member.
var reportWords = map[string][]vocabulary.WordList{
	"documentType": {vocabulary.DocumentTypes}, "documentTypes": {vocabulary.DocumentTypes},
	"purpose": {vocabulary.Purposes}, "procedure": {vocabulary.Procedures}, "legalBasis": {vocabulary.LegalBases},
	"categories": {vocabulary.DataCategories}, "predicate": {vocabulary.Predicates}, "onBehalfOf": {vocabulary.Organisations},
	"source": {vocabulary.Organisations}, "rule": {vocabulary.Reasons(registry.ReasonRetention)}, "reason": everyReason(),
}

func everyReason() []vocabulary.WordList {
	lists := make([]vocabulary.WordList, len(registry.ReasonKinds))
	for i, kind := range registry.ReasonKinds {
		lists[i] = vocabulary.Reasons(kind)
	}
	return lists
}

// write writes all data about the citizen, as the log has them now.
func (a *reportAnswer) write(to io.Writer) error {
	w := &reportWriter{Writer: bufio.NewWriter(to)}
	w.raw("{")
	w.member("createdAt", a.in.At)
	w.member("citizenId", a.citizen)
	// What GDPR art. 15(1)(e) and (f) require to be told.
	w.member("rights", texts.Of(a.in.Call.Language, "report.yourRights"))
	for _, part := range []func(context.Context, acting.Intent, domain.CitizenID, *reportWriter) error{
		a.v.reportNumbers, a.v.reportDocuments, a.v.reportConsents, a.v.reportAccesses, a.v.reportMandates,
		a.v.reportHolds, a.v.reportRestrictions, a.v.reportPreferences, a.v.reportPetitions, a.v.reportErasures, a.v.reportNotices,
	} {
		if err := part(a.ctx, a.in, a.citizen, w); err != nil {
			return err
		}
		if w.err != nil {
			return w.err
		}
	}
	w.raw("}\n")
	if w.err != nil {
		return w.err
	}
	return w.Flush()
}

// countingWriter counts what was written.
type countingWriter struct {
	io.Writer
	n int64
}

// Write implements io.Writer.
func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	w.n += int64(n)
	return n, err
}

// reportWriter writes the members of a report, and keeps the first error.
type reportWriter struct {
	*bufio.Writer
	members, items int
	documents      []domain.DocumentID // that it holds
	err            error
}

func (w *reportWriter) raw(text string) {
	if w.err == nil {
		_, w.err = w.WriteString(text)
	}
}

func (w *reportWriter) value(v any) {
	if w.err == nil {
		w.err = wire.NewEncoder(w.Writer).Encode(v)
	}
}

// begin begins a member.
func (w *reportWriter) begin(name string) {
	if w.members > 0 {
		w.raw(",")
	}
	w.members++
	w.raw(`"` + name + `":`)
}

func (w *reportWriter) member(name string, v any) {
	w.begin(name)
	w.value(v)
}

// list begins a list, to which item adds, and which end ends.
func (w *reportWriter) list(name string) {
	w.begin(name)
	w.raw("[")
	w.items = 0
}

func (w *reportWriter) item(v any) error {
	if w.items > 0 {
		w.raw(",")
	}
	w.items++
	w.value(v)
	return w.err
}

func (w *reportWriter) end() { w.raw("]") }

// some writes a member that is absent when it has nothing.
func some[T any](w *reportWriter, name string, all []T) {
	if len(all) > 0 {
		w.member(name, all)
	}
}

// reportNumbers adds every number by which the person is found, the latest last.
func (v *Vault) reportNumbers(ctx context.Context, _ acting.Intent, id domain.CitizenID, w *reportWriter) error {
	numbers, err := v.OpenSSINs(ctx, id)
	all := make([]contract.SSIN, 0, len(numbers))
	for _, n := range numbers {
		all = append(all, contract.SSIN{SSIN: n})
	}
	some(w, "ssin", all)
	return err
}

func (v *Vault) reportDocuments(ctx context.Context, in acting.Intent, id domain.CitizenID, w *reportWriter) error {
	held, err := v.DocumentsOf(ctx, id)
	if err != nil {
		return err
	}
	w.documents = held
	w.list("documents")
	for _, id := range held {
		d, err := v.LoadDocument(ctx, id)
		if err == nil {
			d, err = v.OpenDates(ctx, d)
		}
		if err != nil {
			return err
		}
		item, err := v.reportDocument(ctx, in, d)
		if err != nil {
			return err
		}
		if err := w.item(item); err != nil {
			return err
		}
	}
	w.end()
	return nil
}

func (v *Vault) reportDocument(ctx context.Context, in acting.Intent, d disclosure.LoadedDocument) (contract.ReportDocument, error) {
	s, lang := d.State, in.Call.Language
	item := contract.ReportDocument{
		DocumentID: s.Document, DocumentType: s.Type, Label: in.Words.Label(vocabulary.DocumentTypes, string(s.Type), lang),
		Issuer: s.Issuer, IssuerName: in.Words.Label(vocabulary.Organisations, string(s.Issuer), lang),
		State: contract.DocumentState(s.StatusAt(domain.BelgianDate(in.At))), Versions: []contract.DocumentVersionItem{},
	}
	if t, known := in.Words.DocumentType(s.Type); known {
		item.Categories, item.Retention = t.Categories, retentionText(in.Words, t.Retention, lang)
	}
	if s.Erased {
		return item, nil
	}
	first, err := v.OpenIssued(ctx, d)
	if err != nil {
		return contract.ReportDocument{}, err
	}
	item.SourceReference = first.SourceReference
	for version := 1; version <= len(d.ContentEvents); version++ {
		one, err := v.versionItem(ctx, d, version)
		if err != nil {
			return contract.ReportDocument{}, err
		}
		item.Versions = append(item.Versions, one)
	}
	return item, nil
}

func (v *Vault) reportConsents(ctx context.Context, in acting.Intent, id domain.CitizenID, w *reportWriter) error {
	all, err := v.consentsOf(ctx, id, clocks{leaf: projections.Latest, at: in.At, day: domain.BelgianDate(in.At)})
	if err != nil {
		return err
	}
	w.list("consents")
	for i := range all {
		item := consentItem(in, &all[i])
		item.CitizenID, item.MandateID = all[i].Citizen, all[i].Mandate
		if err := v.openShownTexts(ctx, &item, projections.Latest); err != nil {
			return err
		}
		if err := w.item(item); err != nil {
			return err
		}
	}
	w.end()
	return nil
}

func (v *Vault) reportAccesses(ctx context.Context, in acting.Intent, id domain.CitizenID, w *reportWriter) error {
	person, err := v.LoadPerson(ctx, id)
	if err != nil {
		return err
	}
	w.list("accesses")
	// The report tells the citizen everything, also when an officer requests it.
	a := disclosure.Representation{By: domain.Actor{Role: domain.RoleCitizen, Citizen: id}, Citizen: id}
	tell := v.accessTeller(in, a)
	for e, err := range v.AccessLog.Each(ctx, person.Lives, accesslog.Filter{Now: in.At}) {
		if err != nil {
			return err
		}
		item, err := tell.item(ctx, &e)
		if err != nil {
			return err
		}
		if err := w.item(item); err != nil {
			return err
		}
	}
	w.end()
	return nil
}

func (v *Vault) reportMandates(ctx context.Context, in acting.Intent, id domain.CitizenID, w *reportWriter) error {
	items := []contract.Mandate{}
	all, err := v.MandatesOnEitherSide(ctx, id)
	if err != nil {
		return err
	}
	person, err := v.LoadPerson(ctx, id)
	if err != nil {
		return err
	}
	for _, m := range all {
		item, err := v.mandateItem(ctx, m, person, clocks{day: domain.BelgianDate(in.At)})
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	w.member("mandates", items)
	return nil
}

func (v *Vault) reportHolds(ctx context.Context, _ acting.Intent, id domain.CitizenID, w *reportWriter) error {
	holds, err := v.OpenHolds(ctx, id)
	var items []contract.ReportLegalHold
	for _, h := range holds {
		items = append(items, contract.ReportLegalHold{
			LegalHoldID: h.ID, Reason: h.Reason, CaseReference: h.CaseReference, PlacedAt: h.PlacedAt, LiftedAt: h.LiftedAt,
		})
	}
	some(w, "legalHolds", items)
	return err
}

// reportPreferences adds what the citizen ever chose to hear of.
func (v *Vault) reportPreferences(ctx context.Context, _ acting.Intent, id domain.CitizenID, w *reportWriter) error {
	all, err := v.OpenPreferences(ctx, id, nil)
	if err != nil {
		return err
	}
	items := make([]contract.Preferences, 0, len(all))
	for _, one := range all {
		items = append(items, preferencesItem(id, one))
	}
	some(w, "preferences", items)
	return nil
}

// reportPetitions adds what the citizen disputed, asked to rectify and objected to, with the
// words of both sides.
func (v *Vault) reportPetitions(ctx context.Context, in acting.Intent, id domain.CitizenID, w *reportWriter) error {
	lives, err := v.Wallets.Lives(ctx, id, projections.Latest)
	if err != nil {
		return err
	}
	var all []contract.Petition
	for cursor := int64(-1); ; {
		page, err := v.Erasures.Petitions(ctx, erasures.PetitionFilter{Citizens: lives}, domain.BelgianDate(in.At), cursor, edge.MaxPage)
		if err != nil {
			return err
		}
		for _, one := range page {
			opened, err := v.OpenPetition(ctx, one.Petition)
			if err != nil {
				return err
			}
			item := v.petitionItem(in, one)
			item.CitizenID, item.Text, item.Extension, item.Answer = one.Citizen, opened.Text, opened.Extension, opened.Answer
			all, cursor = append(all, item), one.FirstLeaf
		}
		if len(page) < edge.MaxPage {
			break
		}
	}
	some(w, "petitions", all)
	return nil
}

func (v *Vault) reportRestrictions(ctx context.Context, _ acting.Intent, id domain.CitizenID, w *reportWriter) error {
	all, err := v.restrictionsOf(ctx, id)
	some(w, "restrictions", all)
	return err
}

func (v *Vault) reportErasures(ctx context.Context, _ acting.Intent, id domain.CitizenID, w *reportWriter) error {
	person, err := v.LoadPerson(ctx, id)
	if err != nil {
		return err
	}
	var items []contract.Erasure
	for _, life := range person.Lives {
		all, err := v.Erasures.Of(ctx, life)
		if err != nil {
			return err
		}
		for _, e := range all {
			items = append(items, erasureItem(e))
		}
	}
	some(w, "erasures", items)
	return nil
}

// reportNotices adds what the webhook was told of the citizen's documents.
func (v *Vault) reportNotices(ctx context.Context, _ acting.Intent, _ domain.CitizenID, w *reportWriter) error {
	if v.Notices == nil || len(w.documents) == 0 {
		return nil
	}
	all, err := v.Notices.About(ctx, w.documents)
	var items []contract.ReportNotice
	for _, n := range all {
		items = append(items, contract.ReportNotice{EventID: n.Event, DocumentID: n.Document, State: contract.NoticeState(n.State), ChangedAt: n.Changed})
	}
	some(w, "notices", items)
	return err
}

// retentionText tells in a language how long documents of a type are kept, and why.
func retentionText(words *vocabulary.View, r registry.Retention, lang domain.Language) string {
	why := words.Label(vocabulary.Reasons(registry.ReasonRetention), string(r.Rule), lang)
	return texts.Of(lang, "retention."+string(r.From), strconv.Itoa(r.Years), why)
}
