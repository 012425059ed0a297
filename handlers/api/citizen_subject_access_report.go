package api

import (
	"context"
	"fmt"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/accesslog"
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
func (v *Vault) SubjectAccessReport(ctx context.Context, r contract.SubjectAccessReportRequestObject) (contract.SubjectAccessReportResponseObject, error) {
	call := edge.CallFrom(ctx)
	if err := disclosure.ActAlone(call, r.CitizenID); err != nil {
		return nil, err
	}
	making := v.NewID()
	if err := v.Take(ctx, call, &acting.Reports, acting.Room{ID: making, Person: r.CitizenID.UUID[:]}); err != nil {
		return nil, err
	}
	defer v.Free(&acting.Reports, making)
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
	report, err := v.report(ctx, withLanguage(in, r.Body.Lang), r.CitizenID)
	if err != nil {
		return nil, v.Withhold(ctx, in, authorized, err)
	}
	v.RecordOnceAnswered(in, authorized)
	return contract.SubjectAccessReport200JSONResponse{Body: report, Headers: contract.SubjectAccessReport200ResponseHeaders{CoffrePosition: done.At}}, nil
}

// authorizeReport records that the data of a citizen are about to be opened into a file
// (rules ).
func (v *Vault) authorizeReport(ctx context.Context, in acting.Intent, who acting.Person, kind access.Opened) (access.Authorized, error) {
	w := in.Write(0, acting.AccessStream(who.ID, in.At), who.ID, who.At)
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

// report opens all data about a citizen, as the log has them now.
func (v *Vault) report(ctx context.Context, in acting.Intent, id domain.CitizenID) (contract.SubjectAccessReport, error) {
	if err := v.WaitForHead(ctx, v.Wallets.Name(), v.ConsentLog.Name(), v.AccessLog.Name(), v.Erasures.Name()); err != nil {
		return contract.SubjectAccessReport{}, err
	}
	person, err := v.LoadPerson(ctx, id)
	switch {
	case err != nil:
		return contract.SubjectAccessReport{}, err
	case person.Standing != citizen.Living && person.Standing != citizen.Dead: // it changed since
		return contract.SubjectAccessReport{}, access.ErrDocumentGone
	}
	r := contract.SubjectAccessReport{CreatedAt: in.At, CitizenID: id, Rights: rightsTexts[in.Call.Language]}
	for _, part := range []func(context.Context, acting.Intent, *contract.SubjectAccessReport) error{
		v.reportNumbers, v.reportDocuments, v.reportConsents, v.reportAccesses, v.reportMandates,
		v.reportHolds, v.reportRestrictions, v.reportErasures, v.reportNotices,
	} {
		if err := part(ctx, in, &r); err != nil {
			return contract.SubjectAccessReport{}, err
		}
	}
	return r, nil
}

// reportNumbers adds every number by which the person is found, the latest last.
func (v *Vault) reportNumbers(ctx context.Context, _ acting.Intent, r *contract.SubjectAccessReport) error {
	numbers, err := v.OpenSSINs(ctx, r.CitizenID)
	for _, n := range numbers {
		r.SSIN = append(r.SSIN, contract.SSIN{SSIN: n})
	}
	return err
}

func (v *Vault) reportDocuments(ctx context.Context, in acting.Intent, r *contract.SubjectAccessReport) error {
	r.Documents = []contract.ReportDocument{}
	held, err := v.DocumentsOf(ctx, r.CitizenID)
	if err != nil {
		return err
	}
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
		r.Documents = append(r.Documents, item)
	}
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

func (v *Vault) reportConsents(ctx context.Context, in acting.Intent, r *contract.SubjectAccessReport) error {
	r.Consents = []contract.Consent{}
	all, err := v.ConsentLog.Of(ctx, r.CitizenID, projections.Latest, in.At)
	if err != nil {
		return err
	}
	for i := range all {
		item := consentItem(in.Words, in.Call.Language, &all[i])
		item.CitizenID, item.MandateID = all[i].Citizen, all[i].Mandate
		if err := v.openShownTexts(ctx, &item); err != nil {
			return err
		}
		r.Consents = append(r.Consents, item)
	}
	return nil
}

func (v *Vault) reportAccesses(ctx context.Context, in acting.Intent, r *contract.SubjectAccessReport) error {
	r.Accesses = []contract.AccessLogItem{}
	// The report tells the citizen everything, also when an officer requests it.
	a := disclosure.Representation{By: domain.Actor{Role: domain.RoleCitizen, Citizen: r.CitizenID}, Citizen: r.CitizenID}
	for before := projections.Latest; ; {
		page, err := v.AccessLog.Of(ctx, r.CitizenID, projections.Latest, accesslog.Filter{}, before, edge.MaxPage)
		if err != nil {
			return err
		}
		for i := range page {
			item, err := v.accessItem(ctx, in, a, &page[i])
			if err != nil {
				return err
			}
			r.Accesses, before = append(r.Accesses, item), page[i].Leaf
		}
		if len(page) < edge.MaxPage {
			return nil
		}
	}
}

func (v *Vault) reportMandates(ctx context.Context, in acting.Intent, r *contract.SubjectAccessReport) error {
	r.Mandates = []contract.Mandate{}
	all, err := v.MandatesOnEitherSide(ctx, r.CitizenID)
	if err != nil {
		return err
	}
	for _, m := range all {
		item, err := v.mandateItem(ctx, m, r.CitizenID, domain.BelgianDate(in.At))
		if err != nil {
			return err
		}
		r.Mandates = append(r.Mandates, item)
	}
	return nil
}

func (v *Vault) reportHolds(ctx context.Context, _ acting.Intent, r *contract.SubjectAccessReport) error {
	holds, err := v.OpenHolds(ctx, r.CitizenID)
	for _, h := range holds {
		r.LegalHolds = append(r.LegalHolds, contract.ReportLegalHold{
			LegalHoldID: h.ID, Reason: h.Reason, CaseReference: h.CaseReference, PlacedAt: h.PlacedAt, LiftedAt: h.LiftedAt,
		})
	}
	return err
}

func (v *Vault) reportRestrictions(ctx context.Context, _ acting.Intent, r *contract.SubjectAccessReport) (err error) {
	r.Restrictions, err = v.restrictionsOf(ctx, r.CitizenID)
	return err
}

func (v *Vault) reportErasures(ctx context.Context, _ acting.Intent, r *contract.SubjectAccessReport) error {
	all, err := v.Erasures.Of(ctx, r.CitizenID)
	for _, e := range all {
		r.Erasures = append(r.Erasures, erasureItem(e))
	}
	return err
}

// reportNotices adds what the webhook was told of the citizen's documents.
func (v *Vault) reportNotices(ctx context.Context, _ acting.Intent, r *contract.SubjectAccessReport) error {
	if v.Notices == nil || len(r.Documents) == 0 {
		return nil
	}
	var documents []domain.DocumentID
	for _, d := range r.Documents {
		documents = append(documents, d.DocumentID)
	}
	all, err := v.Notices.About(ctx, documents)
	for _, n := range all {
		r.Notices = append(r.Notices, contract.ReportNotice{EventID: n.Event, DocumentID: n.Document, State: contract.NoticeState(n.State), ChangedAt: n.Changed})
	}
	return err
}

// retentionText tells in a language how long documents of a type are kept, and why.
func retentionText(words *vocabulary.View, r registry.Retention, lang domain.Language) string {
	why := words.Label(vocabulary.Reasons(registry.ReasonRetention), string(r.Rule), lang)
	return fmt.Sprintf(retentionTexts[lang][r.From], r.Years, why)
}

var retentionTexts = map[domain.Language]map[registry.RetentionFrom]string{
	"nl": {registry.FromIssue: "%d jaar vanaf de uitreiking: %s", registry.FromEnd: "%d jaar na het einde: %s"},
	"fr": {registry.FromIssue: "%d ans à partir de la délivrance : %s", registry.FromEnd: "%d ans après la fin : %s"},
	"de": {registry.FromIssue: "%d Jahre ab der Ausstellung: %s", registry.FromEnd: "%d Jahre nach dem Ende: %s"},
	"en": {registry.FromIssue: "%d years from the issue: %s", registry.FromEnd: "%d years after the end: %s"},
}

// rightsTexts are the information that GDPR art. 15(1)(e) and (f) require, by language.
var rightsTexts = map[domain.Language]string{
	"nl": "U kunt vragen om gegevens te verbeteren, te wissen of de verwerking te beperken, en u kunt er bezwaar tegen maken. Een klacht richt u tot de Gegevensbeschermingsautoriteit: www.gegevensbeschermingsautoriteit.be.",
	"fr": "Vous pouvez demander de rectifier ou d'effacer des données, d'en limiter le traitement, et vous y opposer. Une plainte s'adresse à l'Autorité de protection des données : www.autoriteprotectiondonnees.be.",
	"de": "Sie können verlangen, dass Daten berichtigt oder gelöscht werden oder ihre Verarbeitung eingeschränkt wird, und ihr widersprechen. Eine Beschwerde richten Sie an die Datenschutzbehörde: www.datenschutzbehorde.be.",
	"en": "You may ask to have data rectified or erased or their processing restricted, and you may object to it. A complaint goes to the Data Protection Authority: www.dataprotectionauthority.be.",
}
