package api

import (
	"context"
	"fmt"
	"slices"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/mandate"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/erasures"
	"coffre/projections/vocabulary"
)

// GetAccessLog implements GET /citizens/{id}/accessLog, newest first: for the citizen,
// without a record of the reading; for a representative, within the mandate; for privacy
// officers, whose reading is recorded as a reading of the log.
func (v *Vault) GetAccessLog(ctx context.Context, r contract.GetAccessLogRequestObject) (contract.GetAccessLogResponseObject, error) {
	p := r.Params
	if err := v.WaitForToken(ctx, p.CoffreMinPosition, v.AccessLog.Name()); err != nil {
		return nil, err
	}
	before, err := v.LeafFrom("getAccessLog", p.After, projections.Latest)
	if err != nil {
		return nil, err
	}
	in := v.NewIntent(ctx)
	words := in.TypesAt("documentType", p.DocumentType)
	for _, number := range p.Organization {
		words = append(words, in.OrganisationAt("organization", number))
	}
	if p.Purpose != "" {
		words = append(words, in.PurposeAt("purpose", p.Purpose))
	}
	if err := acting.CheckWords(words...); err != nil {
		return nil, err
	}
	a, authorized, err := v.admitAccessLogReader(ctx, in, r.CitizenID)
	if err != nil {
		return nil, err
	}
	size := edge.PageSize(p.PageSize)
	links := accessLogLinks(r.CitizenID, p)
	page := contract.AccessLog{Self: links.At(p.After), Items: []contract.AccessLogItem{}, PageSize: size}
	filter := accesslog.Filter{Now: in.At, List: accesslog.List(p.List), Purpose: p.Purpose, From: p.From, Until: p.Until}
	if len(p.Organization) == 1 {
		filter.Consumer = p.Organization[0]
	}
	lives, err := v.Wallets.Lives(ctx, r.CitizenID, projections.Latest)
	if err != nil {
		return nil, err
	}
	if page.Coverage, err = v.accessCoverage(ctx, in, a, lives); err != nil {
		return nil, err
	}
	tell := v.accessTeller(in, a)
	for seen := 0; ; {
		entries, err := v.AccessLog.OfAll(ctx, lives, projections.Latest, filter, before, edge.MaxPage)
		if err != nil {
			return nil, err
		}
		for i := range entries {
			e := &entries[i]
			if matchesEntry(p, e) && visibleEntry(a, e.Type) {
				if len(page.Items) == size {
					page.Next, page.NextCursor = links.Next(v.Cursor("getAccessLog", before))
					v.RecordDelivered(in, authorized)
					return contract.GetAccessLog200JSONResponse(page), nil
				}
				item, err := tell.item(ctx, e)
				if err != nil {
					return nil, err
				}
				if p.AccessID != nil {
					proven, err := v.inLog(ctx, e.Leaf)
					if err != nil {
						return nil, err
					}
					if proven.Checkpoint != "" {
						page.InLog = append(page.InLog, proven)
					}
				}
				page.Items = append(page.Items, item)
			}
			before = e.Leaf
		}
		seen += len(entries)
		if len(entries) == edge.MaxPage && seen >= edge.MaxScanned {
			page.Next, page.NextCursor = links.Next(v.Cursor("getAccessLog", before))
		}
		if len(entries) < edge.MaxPage || page.Next != "" {
			v.RecordDelivered(in, authorized)
			return contract.GetAccessLog200JSONResponse(page), nil
		}
	}
}

// admitAccessLogReader admits the callers who may read a citizen's access log: the citizen,
// their representatives and privacy officers, who act for nobody. It returns the access that
// was recorded for a representative.
func (v *Vault) admitAccessLogReader(ctx context.Context, in acting.Intent, subject domain.CitizenID) (disclosure.Representation, access.Authorized, error) {
	if in.Actor.Role == domain.RolePrivacyOfficer {
		return disclosure.Representation{By: in.Actor}, access.Authorized{}, v.recordLogRead(ctx, 0, contract.ListEventsParams{Category: []contract.StreamCategory{"access"}, Stream: string(acting.CitizenStream(subject))})
	}
	if subject.IsZero() {
		return disclosure.Representation{}, access.Authorized{}, edge.ErrNoResource
	}
	a, err := v.ActFor(ctx, in, &subject, mandate.Read)
	if err != nil {
		return disclosure.Representation{}, access.Authorized{}, err
	}
	authorized, err := v.AuthorizeRepresentative(ctx, in, a, a.MandateFor(nil))
	return a, authorized, err
}

// matchesEntry reports whether an entry passes the filters of a call.
func matchesEntry(p contract.GetAccessLogParams, e *accesslog.Entry) bool {
	return (p.AccessID == nil || *p.AccessID == e.Access && !e.Access.IsZero()) &&
		(len(p.DocumentType) == 0 || slices.Contains(p.DocumentType, e.Type) || slices.ContainsFunc(e.Answers, func(a access.Answer) bool { return slices.Contains(p.DocumentType, a.Type) })) &&
		(len(p.Organization) == 0 || slices.Contains(p.Organization, e.Consumer))
}

// visibleEntry reports whether the reader may see entries about a type. A representative sees
// entries about the document types of the mandate; entries about no type only when the mandate
// covers every type.
func visibleEntry(a disclosure.Representation, t domain.DocumentType) bool {
	return a.By.Role != domain.RoleRepresentative || a.Covers(t)
}

// visibleReader returns the representative who read, for whoever may know: the citizen, the
// representative and a privacy officer. To other representatives it is somebody else's affair.
func visibleReader(a disclosure.Representation, reader domain.CitizenID) domain.CitizenID {
	if a.By.Role == domain.RoleRepresentative && reader != a.By.Citizen {
		return domain.CitizenID{}
	}
	return reader
}

// coverageDays is over how many days an access log counts what was read.
const coverageDays = 30

// accessCoverage returns since when the log is complete about a person, and how much of each
// list that the reader may see the last days have.
func (v *Vault) accessCoverage(ctx context.Context, in acting.Intent, a disclosure.Representation, lives []domain.CitizenID) (contract.AccessCoverage, error) {
	c := contract.AccessCoverage{LastDays: coverageDays}
	var err error
	if c.CompleteSince, err = v.AccessLog.CompleteSince(ctx, lives); err != nil {
		return c, err
	}
	filter := accesslog.Filter{Now: in.At, From: new(in.At.AddDate(0, 0, -coverageDays))}
	for cursor := int64(projections.Latest); ; {
		groups, err := v.AccessLog.Groups(ctx, lives, filter, cursor, edge.MaxPage)
		if err != nil {
			return c, err
		}
		for i := range groups {
			g := &groups[i]
			cursor = g.LastLeaf
			if !visibleEntry(a, g.Type) {
				continue
			}
			switch g.List {
			case accesslog.Accesses:
				c.Accesses += g.Count
			case accesslog.Told:
				c.Told += g.Count
			case accesslog.Refusals:
				c.Refused += g.Count
			}
		}
		if len(groups) < edge.MaxPage {
			return c, nil
		}
	}
}

// accessTeller tells entries of an access log to one reader. It remembers whose documents they
// are about, since many are about the same.
type accessTeller struct {
	*Vault
	in      acting.Intent
	reader  disclosure.Representation
	issuers map[domain.DocumentID]domain.Organisation
}

func (v *Vault) accessTeller(in acting.Intent, reader disclosure.Representation) accessTeller {
	return accessTeller{v, in, reader, map[domain.DocumentID]domain.Organisation{}}
}

// issuer returns the source of a document.
func (t accessTeller) issuer(ctx context.Context, id domain.DocumentID) (domain.Organisation, error) {
	if known, there := t.issuers[id]; there {
		return known, nil
	}
	held, _, err := t.Wallets.Document(ctx, id, projections.Latest)
	if err == nil {
		t.issuers[id] = held.Issuer
	}
	return held.Issuer, err
}

func (t accessTeller) item(ctx context.Context, e *accesslog.Entry) (contract.AccessLogItem, error) {
	v, in, a := t.Vault, t.in, t.reader
	words, lang := in.Words, in.Call.Language
	say := accessWords{words, lang}
	item := contract.AccessLogItem{
		EntryID: e.ID(), AccessID: e.Access, At: e.At, List: contract.AccessList(e.List()), Kind: contract.AccessKind(e.Kind), Role: contract.ActorRole(e.Role), Outcome: contract.AccessOutcome(e.Outcome),
		Organization: e.Consumer, OrganizationName: say.organisation(e.Consumer), Contact: say.contact(e.Consumer),
		OnBehalfOf: e.OnBehalfOf, OnBehalfOfName: say.organisation(e.OnBehalfOf), ReaderCitizenID: visibleReader(a, e.Reader), MandateID: e.Mandate,
		DocumentID: e.Document, DocumentType: e.Type, Label: say.of(vocabulary.DocumentTypes, string(e.Type)), Categories: say.categories(e.Type),
		Version: e.Version, Fields: e.Fields, Predicate: e.Predicate,
		Purpose: e.Purpose, PurposeLabel: say.of(vocabulary.Purposes, string(e.Purpose)), Procedure: e.Procedure, ProcedureLabel: say.of(vocabulary.Procedures, string(e.Procedure)),
		ConsentID: e.Consent, LegalBasis: e.LegalBasis, LegalBasisLabel: say.of(vocabulary.LegalBases, string(e.LegalBasis)), LegalArticle: say.article(e.LegalBasis), Deliberation: e.Deliberation,
		Reason: e.Reason, Attempts: e.Attempt, Hidden: say.hidden(e.Investigation, e.HiddenUntil, e.HiddenFor),
	}
	if e.Kind == accesslog.Refusal {
		item.Kind, item.Attempts = contract.AccessKindDocument, e.Count
	}
	if !e.Access.IsZero() && !e.Document.IsZero() { // of a refusal nothing came from anywhere
		source, err := t.issuer(ctx, e.Document)
		if err != nil {
			return contract.AccessLogItem{}, err
		}
		item.Source, item.SourceName = source, say.organisation(source)
	}
	for _, a := range e.Answers {
		item.Answers = append(item.Answers, contract.PresenceTold{
			DocumentType: a.Type, DocumentID: a.Document, Version: a.Version, Label: words.Label(vocabulary.DocumentTypes, string(a.Type), lang), Outcome: contract.EvidenceOutcome(a.Presence),
		})
	}
	item.Href = accessLogLinks(e.Citizen, contract.GetAccessLogParams{AccessID: &e.Access, Lang: in.Call.Asked}).At("")
	if e.Access.IsZero() {
		item.Href = accessLogLinks(e.Citizen, contract.GetAccessLogParams{PageSize: 1, Lang: in.Call.Asked}).At(v.Cursor("getAccessLog", e.Leaf+1))
	}
	if err := v.addDispute(ctx, in, e, &item); err != nil {
		return contract.AccessLogItem{}, err
	}
	if !a.Self() || e.Sealed == nil {
		return item, nil
	}
	reference, err := v.caseReference(ctx, e)
	item.CaseReference = reference
	return item, err
}

// addDispute adds how far the dispute of an entry is, if there is one.
func (v *Vault) addDispute(ctx context.Context, in acting.Intent, e *accesslog.Entry, item *contract.AccessLogItem) error {
	today, id := domain.BelgianDate(in.At), e.ID().Dispute()
	found, err := v.Erasures.Petitions(ctx, erasures.PetitionFilter{Petition: &id}, today, -1, 1)
	if err == nil && len(found) == 1 {
		item.PetitionID, item.PetitionState = id, contract.PetitionState(found[0].StateOn(today))
	}
	return err
}

// caseReference opens the consumer's file number for the citizen. It is empty while keys are
// unavailable.
func (v *Vault) caseReference(ctx context.Context, e *accesslog.Entry) (contract.CaseReference, error) {
	var personal *access.AuthorizedPersonal
	var err error
	switch e.Kind {
	case access.OpenedPresence:
		var told access.Told
		told, err = disclosure.OpenSealedPart[access.Told](ctx, v.Discloser, e.Place, e.Sealed)
		personal = told.Personal
	case access.OpenedLookup:
		var named access.Named
		named, err = disclosure.OpenSealedPart[access.Named](ctx, v.Discloser, e.Place, e.Sealed)
		personal = named.Personal
	default:
		var authorized access.Authorized
		authorized, err = disclosure.OpenSealedPart[access.Authorized](ctx, v.Discloser, e.Place, e.Sealed)
		personal = authorized.Personal
	}
	switch {
	case disclosure.KeyMissing(err):
		return "", nil
	case err != nil:
		return "", err
	case personal == nil:
		return "", fmt.Errorf("%s holds no case reference", e.Place.Type)
	}
	return personal.CaseReference, nil
}

func accessLogLinks(id domain.CitizenID, p contract.GetAccessLogParams) edge.PageLinks {
	return edge.AddID(edge.LinksTo(contract.Base+"/citizens/"+id.String()+"/accessLog"), "accessId", p.AccessID).
		Texts("documentType", edge.AsStrings(p.DocumentType)).Texts("organization", edge.AsStrings(p.Organization)).
		Text("list", string(p.List)).Text("purpose", string(p.Purpose)).Time("from", p.From).Time("until", p.Until).Text("lang", string(p.Lang)).Number("pageSize", p.PageSize)
}
