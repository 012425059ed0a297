package api

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
)

func (tv *testVault) accessesOf(t testing.TB, who edge.Caller, whose domain.CitizenID, p contract.GetAccessLogParams) (contract.AccessLog, error) {
	t.Helper()
	answer, err := tv.GetAccessLog(tv.as(t, who, "getAccessLog", nil), contract.GetAccessLogRequestObject{CitizenID: whose, Params: p})
	if err != nil {
		return contract.AccessLog{}, err
	}
	return contract.AccessLog(answer.(contract.GetAccessLog200JSONResponse)), nil
}

func TestAccessLog(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, child(1))
	card := tv.childCard(t, child(1), 2)
	who := tv.person(t, child(1))
	me := citizenCaller(who)
	first, err := tv.read(t, consumer(flanders), home, uuid.New(), allowance)
	if err != nil {
		t.Fatal(err)
	}
	tv.Clock.Advance(time.Hour)
	given, err := tv.grantAs(t, citizenCaller(tv.person(t, 2)), contract.ConsentGrant{CitizenID: &who, Consumer: railways, Purpose: "ageVerification", DocumentTypes: []contract.DocumentTypeCode{"isiPlusCard"}})
	if err != nil {
		t.Fatal(err)
	}
	c := given.ConsentID
	second, err := tv.read(t, consumer(railways), card, uuid.New(), contract.AccessRequest{Purpose: "ageVerification", ConsentID: &c, Predicate: contract.AskedPredicate{Name: "ageOver12"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tv.read(t, consumer(economy), home, uuid.New(), allowance); !errors.Is(err, access.ErrNoBasis) {
		t.Fatal(err)
	}
	tv.waitIdle(t)

	t.Run("A-1 A-3 the citizen sees who, what, why and what came of it", func(t *testing.T) {
		before := len(recorded[any](t, tv))
		got, err := tv.accessesOf(t, me, who, contract.GetAccessLogParams{})
		if err != nil || len(got.Items) != 3 {
			t.Fatalf("%+v, %v", got, err)
		}
		refused, byConsent, byLaw := got.Items[0], got.Items[1], got.Items[2]
		if refused.Outcome != "refused" || refused.Organization != economy || refused.Reason != "noBasis" || !refused.AccessID.IsZero() {
			t.Errorf("%+v", refused)
		}
		if byConsent.AccessID != second.AccessID || byConsent.ConsentID != c || byConsent.Kind != "predicate" || byConsent.Predicate != "ageOver12" || byConsent.OrganizationName != "Belgian Railways" || byConsent.Outcome != "disclosed" {
			t.Errorf("%+v", byConsent)
		}
		if byLaw.AccessID != first.AccessID || byLaw.LegalBasis != "publicTask" || byLaw.Deliberation != "EX-26/010" || len(byLaw.Fields) != 2 ||
			byLaw.CaseReference != allowance.CaseReference || byLaw.Label != "Household composition" || byLaw.PurposeLabel != "School allowance" || byLaw.Role != "consumer" {
			t.Errorf("%+v", byLaw)
		}
		if byLaw.Source != homeAffairs || byLaw.SourceName == "" || byLaw.LegalArticle != "6(1)(e)" || byLaw.LegalBasisLabel == "" || byLaw.ProcedureLabel == "" || byLaw.Contact.Email == "" {
			t.Errorf("from where, why and whom to ask: %+v", byLaw)
		}
		if len(byLaw.Categories) == 0 || byLaw.Categories[0].Label == "" || byLaw.Categories[0].Label == string(byLaw.Categories[0].Code) {
			t.Errorf("which categories: %+v", byLaw.Categories)
		}
		if refused.List != contract.AccessListRefused || byLaw.List != contract.AccessListAccesses || refused.Source != "" {
			t.Errorf("%+v %+v", refused, byLaw)
		}
		if after := len(recorded[any](t, tv)); after != before {
			t.Errorf("%d facts recorded", after-before)
		}
	})
	t.Run("page by page, and filtered", func(t *testing.T) {
		var p contract.GetAccessLogParams
		p.PageSize = 1
		var seen []contract.AccessID
		for {
			got, err := tv.accessesOf(t, me, who, p)
			if err != nil || len(got.Items) != 1 {
				t.Fatalf("%+v, %v", got, err)
			}
			seen = append(seen, got.Items[0].AccessID)
			if got.Next == "" {
				break
			}
			_, query, _ := strings.Cut(got.Next, "after=")
			p.After, _, _ = strings.Cut(query, "&")
		}
		if len(seen) != 3 || seen[2] != first.AccessID {
			t.Errorf("%v", seen)
		}
		for name, test := range map[string]struct {
			p contract.GetAccessLogParams
			n int
		}{
			"one access":    {contract.GetAccessLogParams{AccessID: new(first.AccessID)}, 1},
			"a type":        {contract.GetAccessLogParams{DocumentType: []contract.DocumentTypeCode{"isiPlusCard"}}, 1},
			"an issuer":     {contract.GetAccessLogParams{Organization: []contract.EnterpriseNumber{flanders}}, 1},
			"organisations": {contract.GetAccessLogParams{Organization: []contract.EnterpriseNumber{flanders, railways}}, 2},
			"until":         {contract.GetAccessLogParams{Until: new(noon.Add(time.Minute))}, 1},
			"from":          {contract.GetAccessLogParams{From: new(noon.Add(time.Minute))}, 2},
			"a purpose":     {contract.GetAccessLogParams{Purpose: "ageVerification"}, 1},
			"refusals":      {contract.GetAccessLogParams{List: contract.AccessListRefused}, 1},
			"accesses":      {contract.GetAccessLogParams{List: contract.AccessListAccesses}, 2},
			"told":          {contract.GetAccessLogParams{List: contract.AccessListTold}, 0},
		} {
			if got, err := tv.accessesOf(t, me, who, test.p); err != nil || len(got.Items) != test.n {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	})
	t.Run("without keys, without the case reference", func(t *testing.T) {
		defer tv.Opener.set(keysAway{})()
		got, err := tv.accessesOf(t, me, who, contract.GetAccessLogParams{})
		if err != nil || len(got.Items) != 3 || got.Items[2].CaseReference != "" {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("a privacy officer reads on record, and no case reference", func(t *testing.T) {
		got, err := tv.accessesOf(t, officeCaller(domain.RolePrivacyOfficer), who, contract.GetAccessLogParams{})
		if err != nil || len(got.Items) != 3 || got.Items[2].CaseReference != "" {
			t.Errorf("%+v, %v", got, err)
		}
		if reads := recorded[audit.LogRead](t, tv); len(reads) != 1 || reads[0].Category != "access" {
			t.Errorf("%+v", reads)
		}
	})
	t.Run("M-1.2 A-1 a representative sees what the mandate is about, on record", func(t *testing.T) {
		got, err := tv.accessesOf(t, citizenCaller(tv.person(t, 2)), who, contract.GetAccessLogParams{})
		if err != nil || len(got.Items) != 1 || got.Items[0].AccessID != second.AccessID {
			t.Errorf("%+v, %v", got, err)
		}
		if c := got.Coverage; c.Accesses != 1 || c.Told != 0 || c.Refused != 0 { // of the household composition nothing
			t.Errorf("they are told of others: %+v", c)
		}
		if all := recorded[access.Authorized](t, tv); len(all) != 3 || all[2].Role != domain.RoleRepresentative {
			t.Errorf("%+v", all)
		}
	})
	t.Run("M-1.2 a representative learns of no other reader of the household", func(t *testing.T) {
		other := domain.CitizenID{UUID: uuid.New()}
		mine := disclosure.Representation{By: domain.Actor{Role: domain.RoleRepresentative, Citizen: who}, Citizen: who}
		if visibleReader(mine, other) != (domain.CitizenID{}) || visibleReader(mine, who) != who || visibleReader(disclosure.Representation{By: domain.Actor{Role: domain.RoleCitizen}}, other) != other {
			t.Error("another representative is named, or one's own is not")
		}
	})
	t.Run("A-6 somebody else's is not there", func(t *testing.T) {
		tv.household(t, 3)
		for _, whose := range []domain.CitizenID{who, {UUID: uuid.New()}, {}} {
			if _, err := tv.accessesOf(t, citizenCaller(tv.person(t, 3)), whose, contract.GetAccessLogParams{}); !whose.IsZero() && !errors.Is(err, edge.ErrNoResource) || whose.IsZero() && err == nil {
				t.Errorf("%v", err)
			}
		}
	})
}

func (tv *testVault) accessGroupsOf(t testing.TB, who edge.Caller, whose domain.CitizenID, p contract.ListAccessGroupsParams) (contract.AccessGroups, error) {
	t.Helper()
	answer, err := tv.ListAccessGroups(tv.as(t, who, "listAccessGroups", nil), contract.ListAccessGroupsRequestObject{CitizenID: whose, Params: p})
	if err != nil {
		return contract.AccessGroups{}, err
	}
	return contract.AccessGroups(answer.(contract.ListAccessGroups200JSONResponse)), nil
}

// What repeats in an access log is one group, which says how often and leads to its accesses;
// nobody reads groups who may not read the log.
func TestAccessGroups(t *testing.T) {
	tv := newVault(t)
	home, other := tv.household(t, 1), tv.household(t, 2)
	who := tv.person(t, 1)
	me := citizenCaller(who)
	for range 3 { // on three Mondays
		if _, err := tv.read(t, consumer(flanders), home, uuid.New(), allowance); err != nil {
			t.Fatal(err)
		}
		tv.Clock.Advance(7 * 24 * time.Hour)
	}
	if _, err := tv.read(t, consumer(flanders), other, uuid.New(), allowance); err != nil {
		t.Fatal(err)
	}
	if _, err := tv.read(t, consumer(economy), home, uuid.New(), allowance); !errors.Is(err, access.ErrNoBasis) {
		t.Fatal(err)
	}
	tv.waitIdle(t)
	got, err := tv.accessGroupsOf(t, me, who, contract.ListAccessGroupsParams{})
	if err != nil || len(got.Items) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	refused, read := got.Items[0], got.Items[1]
	if refused.List != contract.AccessListRefused || refused.Count != 1 || refused.Organization != economy {
		t.Errorf("%+v", refused)
	}
	if read.Count != 3 || read.Days != 3 || read.Weekday != 1 || read.Organization != flanders || read.Purpose != "schoolAllowance" || read.PurposeLabel == "" || !read.FirstAt.Before(read.LastAt) || len(read.Fields) != 2 {
		t.Errorf("%+v", read)
	}
	_, query, _ := strings.Cut(read.Href, "?")
	for _, part := range []string{"list=accesses", "organization=" + string(flanders), "purpose=schoolAllowance", "documentType=householdComposition"} {
		if !strings.Contains(query, part) {
			t.Errorf("%s does not lead to the group's accesses: %s", read.Href, part)
		}
	}
	if all, err := tv.accessesOf(t, me, who, contract.GetAccessLogParams{List: read.List, Organization: []contract.EnterpriseNumber{flanders}, From: &read.FirstAt, Until: new(read.LastAt.Add(time.Microsecond))}); err != nil || len(all.Items) != read.Count {
		t.Errorf("%+v, %v", all, err)
	}
	for name, test := range map[string]struct {
		p contract.ListAccessGroupsParams
		n int
	}{
		"a list":   {contract.ListAccessGroupsParams{List: contract.AccessListRefused}, 1},
		"a reader": {contract.ListAccessGroupsParams{Organization: []contract.EnterpriseNumber{flanders}}, 1},
		"readers":  {contract.ListAccessGroupsParams{Organization: []contract.EnterpriseNumber{flanders, economy}}, 2},
		"until":    {contract.ListAccessGroupsParams{Until: new(noon.Add(time.Minute))}, 1},
	} {
		if got, err := tv.accessGroupsOf(t, me, who, test.p); err != nil || len(got.Items) != test.n {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	first, err := tv.accessGroupsOf(t, me, who, contract.ListAccessGroupsParams{PageSize: 1})
	if err != nil || len(first.Items) != 1 || first.Next == "" {
		t.Fatalf("%+v, %v", first, err)
	}
	if second, err := tv.accessGroupsOf(t, me, who, contract.ListAccessGroupsParams{PageSize: 1, After: first.NextCursor}); err != nil || len(second.Items) != 1 || second.Items[0].Count != 3 || second.Next != "" {
		t.Errorf("%+v, %v", second, err)
	}
	if _, err := tv.accessGroupsOf(t, citizenCaller(tv.person(t, 2)), who, contract.ListAccessGroupsParams{}); !errors.Is(err, edge.ErrNoResource) {
		t.Errorf("A-6 %v", err)
	}
	if _, err := tv.accessGroupsOf(t, officeCaller(domain.RolePrivacyOfficer), who, contract.ListAccessGroupsParams{}); err != nil {
		t.Error(err)
	}
	if reads := recorded[audit.LogRead](t, tv); len(reads) != 1 || reads[0].Category != "access" {
		t.Errorf("an officer's reading is not on record: %+v", reads)
	}
}

// An access log says since when it is complete, and that nobody read anything of late.
func TestAccessLogTellsCoverageAndAbsence(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	who := tv.person(t, 1)
	coverage := func() contract.AccessCoverage {
		t.Helper()
		tv.waitIdle(t)
		got, err := tv.accessesOf(t, citizenCaller(who), who, contract.GetAccessLogParams{PageSize: 1})
		if err != nil {
			t.Fatal(err)
		}
		return got.Coverage
	}
	want := contract.AccessCoverage{CompleteSince: noon, LastDays: 30}
	if got := coverage(); got != want {
		t.Errorf("nobody read: %+v", got)
	}
	for range 2 {
		if _, err := tv.read(t, consumer(flanders), home, uuid.New(), allowance); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tv.read(t, consumer(economy), home, uuid.New(), allowance); !errors.Is(err, access.ErrNoBasis) {
		t.Fatal(err)
	}
	want.Accesses, want.Refused = 2, 1
	if got := coverage(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	tv.Clock.Advance(31 * 24 * time.Hour)
	want.Accesses, want.Refused = 0, 0
	if got := coverage(); got != want {
		t.Errorf("31 days later: %+v, want %+v", got, want)
	}
}
