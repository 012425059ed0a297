package api

import (
	"context"
	"slices"
	"time"

	"coffre/domain"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/vocabulary"
)

// ListAccessGroups implements GET /citizens/{id}/accessLog/groups: the access log with what
// repeats grouped, for the readers of the access log, and on record as a reading of it is.
func (v *Vault) ListAccessGroups(ctx context.Context, r contract.ListAccessGroupsRequestObject) (contract.ListAccessGroupsResponseObject, error) {
	p := r.Params
	if err := v.WaitForToken(ctx, p.CoffreMinPosition, v.AccessLog.Name()); err != nil {
		return nil, err
	}
	before, err := v.LeafFrom("listAccessGroups", p.After, projections.Latest)
	if err != nil {
		return nil, err
	}
	in := v.NewIntent(ctx)
	var words []acting.Word
	for _, number := range p.Organization {
		words = append(words, in.OrganisationAt("organization", number))
	}
	if err := acting.CheckWords(words...); err != nil {
		return nil, err
	}
	a, authorized, err := v.admitAccessLogReader(ctx, in, r.CitizenID)
	if err != nil {
		return nil, err
	}
	lives, err := v.Wallets.Lives(ctx, r.CitizenID, projections.Latest)
	if err != nil {
		return nil, err
	}
	filter := accesslog.Filter{Now: in.At, List: accesslog.List(p.List), From: p.From, Until: p.Until}
	if len(p.Organization) == 1 {
		filter.Consumer = p.Organization[0]
	}
	size := edge.PageSize(p.PageSize)
	links := accessGroupLinks(r.CitizenID, p)
	page := contract.AccessGroups{Self: links.At(p.After), Items: []contract.AccessGroup{}, PageSize: size}
	for page.Next == "" {
		groups, err := v.AccessLog.Groups(ctx, lives, filter, before, edge.MaxPage)
		if err != nil {
			return nil, err
		}
		for i := range groups {
			g := &groups[i]
			if len(page.Items) == size {
				page.Next, page.NextCursor = links.Next(v.Cursor("listAccessGroups", before))
				break
			}
			if visibleEntry(a, g.Type) && (len(p.Organization) == 0 || slices.Contains(p.Organization, g.Consumer)) {
				page.Items = append(page.Items, accessGroup(in, a, r.CitizenID, g))
			}
			before = g.LastLeaf
		}
		if len(groups) < edge.MaxPage {
			break
		}
	}
	v.RecordDelivered(in, authorized)
	return contract.ListAccessGroups200JSONResponse(page), nil
}

// sameWeekday is on how many days in Belgium something happens, all of them the same day of
// the week, before that is said of it.
const sameWeekday = 3

// accessGroup returns a group as the contract shows it, with the link to its accesses.
func accessGroup(in acting.Intent, a disclosure.Representation, whose domain.CitizenID, g *accesslog.Group) contract.AccessGroup {
	say := accessWords{in.Words, in.Call.Language}
	one := contract.AccessGroup{
		List: contract.AccessList(g.List), Kind: contract.AccessKind(g.Kind), Role: contract.ActorRole(g.Role), Outcome: contract.AccessOutcome(g.Outcome), Reason: g.Reason,
		Organization: g.Consumer, OrganizationName: say.organisation(g.Consumer), Contact: say.contact(g.Consumer),
		OnBehalfOf: g.OnBehalfOf, OnBehalfOfName: say.organisation(g.OnBehalfOf), ReaderCitizenID: visibleReader(a, g.Reader), MandateID: g.Mandate,
		DocumentType: g.Type, Label: say.of(vocabulary.DocumentTypes, string(g.Type)), Categories: say.categories(g.Type), Fields: g.Fields, Predicate: g.Predicate,
		Purpose: g.Purpose, PurposeLabel: say.of(vocabulary.Purposes, string(g.Purpose)), Procedure: g.Procedure, ProcedureLabel: say.of(vocabulary.Procedures, string(g.Procedure)),
		ConsentID: g.Consent, LegalBasis: g.LegalBasis, LegalBasisLabel: say.of(vocabulary.LegalBases, string(g.LegalBasis)), LegalArticle: say.article(g.LegalBasis), Deliberation: g.Deliberation,
		Hidden: say.hidden(g.Investigation, g.HiddenUntil, g.HiddenFor),
		Count:  g.Count, Days: g.Days, FirstAt: g.First, LastAt: g.Last,
	}
	if g.Kind == accesslog.Refusal {
		one.Kind = contract.AccessKindDocument
	}
	if g.Days >= sameWeekday {
		one.Weekday = g.Weekday
	}
	query := contract.GetAccessLogParams{List: one.List, Purpose: g.Purpose, From: &g.First, Until: new(g.Last.Add(time.Microsecond)), Lang: in.Call.Asked}
	if g.Consumer != "" {
		query.Organization = []contract.EnterpriseNumber{g.Consumer}
	}
	if g.Type != "" {
		query.DocumentType = []contract.DocumentTypeCode{g.Type}
	}
	one.Href = accessLogLinks(whose, query).At("")
	return one
}

func accessGroupLinks(id domain.CitizenID, p contract.ListAccessGroupsParams) edge.PageLinks {
	return edge.LinksTo(contract.AccessGroupsHref(id)).Texts("organization", edge.AsStrings(p.Organization)).
		Text("list", string(p.List)).Time("from", p.From).Time("until", p.Until).Text("lang", string(p.Lang)).Number("pageSize", p.PageSize)
}

// accessWords says the words of an access log in one language; "" for what is absent.
type accessWords struct {
	words *vocabulary.View
	lang  domain.Language
}

func (s accessWords) of(list vocabulary.WordList, code string) string {
	if code == "" {
		return ""
	}
	return s.words.Label(list, code, s.lang)
}

func (s accessWords) purpose(p domain.Purpose) string { return s.of(vocabulary.Purposes, string(p)) }

func (s accessWords) organisation(o domain.Organisation) string {
	return s.of(vocabulary.Organisations, string(o))
}

// contact returns where a citizen asks an organisation about what it did.
func (s accessWords) contact(o domain.Organisation) contract.ReaderContact {
	if org, known := s.words.Organisation(o); known {
		return contract.ReaderContact{Email: org.Contact.Email, URL: org.Contact.URL}
	}
	return contract.ReaderContact{}
}

// article returns the article of the GDPR that a legal basis stands for.
func (s accessWords) article(code domain.LegalBasis) string {
	if basis, known := s.words.LegalBasis(code); known {
		return basis.Article
	}
	return ""
}

// categories returns the categories of the data in a document of a type.
func (s accessWords) categories(t domain.DocumentType) []contract.DataCategoryLabel {
	of, known := s.words.DocumentType(t)
	if !known {
		return nil
	}
	var all []contract.DataCategoryLabel
	for _, code := range of.Categories {
		category, known := s.words.Category(code)
		all = append(all, contract.DataCategoryLabel{Code: code, Label: s.of(vocabulary.DataCategories, string(code)), Sensitive: known && category.Sensitive})
	}
	return all
}
