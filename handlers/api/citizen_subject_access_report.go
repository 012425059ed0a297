package api

import (
	"context"
	"fmt"
	"slices"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/vocabulary"
)

// What a report about a citizen is made under: the right of access.
const (
	rightOfAccess domain.Purpose    = "subjectAccess"
	byLegalDuty   domain.LegalBasis = "legalObligation"
)

// SubjectAccessReport implements POST /citizens/{id}/subjectAccessReport: everything
// the vault holds about a citizen (GDPR art. 15), for them or for a privacy
// officer. That it is made is on record before anything is opened (rule A-1). The
// same key does not make it again (rule A-8): who did not get it asks anew.
func (v *Vault) SubjectAccessReport(ctx context.Context, r contract.SubjectAccessReportRequestObject) (contract.SubjectAccessReportResponseObject, error) {
	call := edge.CallFrom(ctx)
	if call.Role == domain.RoleCitizen && call.Citizen != r.CitizenID {
		return nil, edge.ErrNoResource
	}
	type recorded struct{ At contract.PositionToken }
	var in intent
	var authorized access.Authorized
	done, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, now intent) (recorded, error) {
		person, err := v.meet(ctx, r.CitizenID)
		if err != nil {
			return recorded{}, err
		}
		in = now
		if authorized, err = v.authorizeReport(ctx, in, person, access.OpenedSubjectAccessReport); err != nil {
			return recorded{}, hidden(err)
		}
		head, err := v.Log.Head(ctx)
		if err != nil {
			return recorded{}, fmt.Errorf("head of the log: %w", err)
		}
		at, err := v.position(ctx, head)
		return recorded{at}, err
	})
	switch {
	case err != nil:
		return nil, err
	case authorized.Access.IsZero(): // this key was used
		return nil, access.ErrAlreadyUsed
	}
	report, err := v.report(ctx, in.speaking(r.Body.Lang), r.CitizenID)
	if err != nil {
		return nil, v.withhold(ctx, in, authorized, err)
	}
	v.recordOnceAnswered(in, authorized)
	return contract.SubjectAccessReport200JSONResponse{Body: report, Headers: contract.SubjectAccessReport200ResponseHeaders{CoffrePosition: done.At}}, nil
}

// authorizeReport records that what the vault holds of a citizen is about to be
// opened into a file (rules ).
func (v *Vault) authorizeReport(ctx context.Context, in intent, who person, kind access.Opened) (access.Authorized, error) {
	w := in.write(0, accessStream(who.id, in.at), who.id, who.at)
	result, err := accesses.Transact(ctx, v.Log, w, access.AuthorizeReport{
		Access: domain.AccessID{UUID: v.NewID()}, Citizen: who.id, Kind: kind, Purpose: rightOfAccess, LegalBasis: byLegalDuty,
		Standing: who.standing, By: in.actor, At: in.at,
	})
	if err != nil {
		return access.Authorized{}, err
	}
	return authorizedIn(result.Events)
}

// speaking returns the intent with the language of its answer.
func (in intent) speaking(lang domain.Language) intent {
	call := *in.call
	if call.Language = lang; lang == "" {
		call.Language = edge.Languages[0]
	}
	in.call = &call
	return in
}

// report opens all there is about a citizen, as the log has it now.
func (v *Vault) report(ctx context.Context, in intent, id domain.CitizenID) (contract.SubjectAccessReport, error) {
	if err := v.abreast(ctx, v.Wallets.Name(), v.ConsentLog.Name(), v.AccessLog.Name()); err != nil {
		return contract.SubjectAccessReport{}, err
	}
	person, err := v.meet(ctx, id)
	switch {
	case err != nil:
		return contract.SubjectAccessReport{}, err
	case person.standing != citizen.Living && person.standing != citizen.Dead: // it changed since
		return contract.SubjectAccessReport{}, access.ErrDocumentGone
	}
	r := contract.SubjectAccessReport{CreatedAt: in.at, CitizenID: id, Rights: rightsIn[in.call.Language]}
	for _, part := range []func(context.Context, intent, *contract.SubjectAccessReport) error{
		v.reportNumbers, v.reportDocuments, v.reportConsents, v.reportAccesses, v.reportMandates,
	} {
		if err := part(ctx, in, &r); err != nil {
			return contract.SubjectAccessReport{}, err
		}
	}
	return r, nil
}

// reportNumbers tells every number the person is found by, the latest last.
func (v *Vault) reportNumbers(ctx context.Context, _ intent, r *contract.SubjectAccessReport) error {
	add := func(digits string) error {
		n, err := domain.ParseSSIN(digits)
		if err == nil && !slices.Contains(r.SSIN, contract.SSIN{SSIN: n}) {
			r.SSIN = append(r.SSIN, contract.SSIN{SSIN: n})
		}
		return err
	}
	for e, err := range v.Log.Read(ctx, citizenStream(r.CitizenID), 0) {
		if err != nil {
			return fmt.Errorf("read citizen: %w", err)
		}
		if _, replaced := e.Data.(citizen.SSINReplaced); !replaced {
			continue
		}
		opened, err := eventstore.OpenEvent(ctx, v.Opener, v.Codec, e)
		if err != nil {
			return err
		}
		f, ok := opened.(citizen.SSINReplaced)
		if !ok || f.Personal == nil {
			return fmt.Errorf("%s holds no number", e.Type)
		}
		if err := add(f.Personal.Former); err != nil {
			return err
		}
	}
	now, err := v.Keys.SSINOf(ctx, r.CitizenID)
	if err != nil {
		return err
	}
	latest := contract.SSIN{SSIN: now}
	r.SSIN = append(slices.DeleteFunc(r.SSIN, func(n contract.SSIN) bool { return n == latest }), latest)
	return nil
}

func (v *Vault) reportDocuments(ctx context.Context, in intent, r *contract.SubjectAccessReport) error {
	r.Documents = []contract.ReportDocument{}
	held, err := v.documentsOf(ctx, r.CitizenID)
	if err != nil {
		return err
	}
	for _, id := range held {
		d, err := v.attested(ctx, id)
		if err == nil {
			d, err = v.withDates(ctx, d)
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

func (v *Vault) reportDocument(ctx context.Context, in intent, d attested) (contract.ReportDocument, error) {
	s, lang := d.state, in.call.Language
	item := contract.ReportDocument{
		DocumentID: s.Document, DocumentType: s.Type, Label: in.words.Label(vocabulary.DocumentTypes, string(s.Type), lang),
		Issuer: s.Issuer, IssuerName: in.words.Label(vocabulary.Organisations, string(s.Issuer), lang),
		State: contract.DocumentState(s.StatusAt(domain.BelgianDate(in.at))), Versions: []contract.DocumentVersionItem{},
	}
	if t, known := in.words.DocumentType(s.Type); known {
		item.Categories, item.Retention = t.Categories, retentionIn(in.words, t.Retention, lang)
	}
	if s.Erased {
		return item, nil
	}
	first, err := v.firstPart(ctx, d)
	if err != nil {
		return contract.ReportDocument{}, err
	}
	item.SourceReference = first.SourceReference
	for version := 1; version <= len(d.contents); version++ {
		one, err := v.versionItem(ctx, d, version)
		if err != nil {
			return contract.ReportDocument{}, err
		}
		item.Versions = append(item.Versions, one)
	}
	return item, nil
}

func (v *Vault) reportConsents(ctx context.Context, in intent, r *contract.SubjectAccessReport) error {
	r.Consents = []contract.Consent{}
	all, err := v.ConsentLog.Of(ctx, r.CitizenID, projections.Latest, in.at)
	if err != nil {
		return err
	}
	for i := range all {
		item := consentItem(in.words, in.call.Language, &all[i])
		item.CitizenID, item.MandateID = all[i].Citizen, all[i].Mandate
		if err := v.showTexts(ctx, &item); err != nil {
			return err
		}
		r.Consents = append(r.Consents, item)
	}
	return nil
}

func (v *Vault) reportAccesses(ctx context.Context, in intent, r *contract.SubjectAccessReport) error {
	r.Accesses = []contract.AccessLogItem{}
	// The citizen is told all, whoever has the report made.
	a := acting{by: domain.Actor{Role: domain.RoleCitizen, Citizen: r.CitizenID}, citizen: r.CitizenID}
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

func (v *Vault) reportMandates(ctx context.Context, in intent, r *contract.SubjectAccessReport) error {
	r.Mandates = []contract.Mandate{}
	all, err := v.mandatesOf(ctx, r.CitizenID)
	for _, m := range all {
		r.Mandates = append(r.Mandates, v.mandateItem(ctx, m, r.CitizenID, domain.BelgianDate(in.at)))
	}
	return err
}

// retentionIn says how long documents of a type are kept, and why.
func retentionIn(words *vocabulary.View, r registry.Retention, lang domain.Language) string {
	why := words.Label(vocabulary.Reasons(registry.ReasonRetention), string(r.Rule), lang)
	return fmt.Sprintf(retentionSays[lang][r.From], r.Years, why)
}

var retentionSays = map[domain.Language]map[registry.RetentionFrom]string{
	"nl": {registry.FromIssue: "%d jaar vanaf de uitreiking: %s", registry.FromEnd: "%d jaar na het einde: %s"},
	"fr": {registry.FromIssue: "%d ans à partir de la délivrance : %s", registry.FromEnd: "%d ans après la fin : %s"},
	"de": {registry.FromIssue: "%d Jahre ab der Ausstellung: %s", registry.FromEnd: "%d Jahre nach dem Ende: %s"},
	"en": {registry.FromIssue: "%d years from the issue: %s", registry.FromEnd: "%d years after the end: %s"},
}

// rightsIn is what GDPR art. 15(1)(e) and (f) want told.
var rightsIn = map[domain.Language]string{
	"nl": "U kunt vragen om gegevens te verbeteren, te wissen of de verwerking te beperken, en u kunt er bezwaar tegen maken. Een klacht richt u tot de Gegevensbeschermingsautoriteit: www.gegevensbeschermingsautoriteit.be.",
	"fr": "Vous pouvez demander de rectifier ou d'effacer des données, d'en limiter le traitement, et vous y opposer. Une plainte s'adresse à l'Autorité de protection des données : www.autoriteprotectiondonnees.be.",
	"de": "Sie können verlangen, dass Daten berichtigt oder gelöscht werden oder ihre Verarbeitung eingeschränkt wird, und ihr widersprechen. Eine Beschwerde richten Sie an die Datenschutzbehörde: www.datenschutzbehorde.be.",
	"en": "You may ask to have data rectified or erased or their processing restricted, and you may object to it. A complaint goes to the Data Protection Authority: www.dataprotectionauthority.be.",
}
