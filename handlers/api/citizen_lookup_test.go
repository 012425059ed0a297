package api

import (
	"strings"
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// lookUp asks for the name of a citizen.
func (tv *testVault) lookUp(t testing.TB, by edge.Caller, body contract.CitizenGet) (contract.Citizen, error) {
	t.Helper()
	ctx := tv.as(t, by, "getCitizen", body)
	answer, err := tv.GetCitizen(ctx, contract.GetCitizenRequestObject{Body: &body})
	if err != nil {
		return contract.Citizen{}, err
	}
	writeAnswer(t, ctx, answer.VisitGetCitizenResponse)
	return contract.Citizen(answer.(contract.GetCitizen200JSONResponse)), nil
}

// whoever finds a citizen by number leaves a record that the citizen sees.
func TestTheCitizenSeesWhoLookedThemUp(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	me := citizenCaller(ana)
	log := func(t *testing.T) []contract.AccessLogItem {
		t.Helper()
		tv.waitIdle(t)
		answer, err := tv.GetAccessLog(tv.as(t, me, "getAccessLog", nil), contract.GetAccessLogRequestObject{CitizenID: ana})
		if err != nil {
			t.Fatal(err)
		}
		return answer.(contract.GetAccessLog200JSONResponse).Items
	}
	look := func(t *testing.T, by edge.Caller, body contract.CitizenGet, slug string) contract.Citizen {
		t.Helper()
		got, err := tv.lookUp(t, by, body)
		if slugOf(err) != slug {
			t.Fatalf("%q, want %q", slugOf(err), slug)
		}
		return got
	}
	t.Run("A-11 an issuer and a consumer, each once a day", func(t *testing.T) {
		for range 2 {
			look(t, issuer(homeAffairs), contract.CitizenGet{SSIN: ssin(1)}, "")
			look(t, consumer(flanders), contract.CitizenGet{SSIN: ssin(1), Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance"}, "")
		}
		items := log(t)
		if len(items) != 2 {
			t.Fatalf("%+v", items)
		}
		if by := items[0]; by.Kind != contract.AccessKindLookup || by.Role != contract.ActorRoleConsumer || by.Organization != flanders || by.OrganizationName == "" ||
			by.Purpose != "schoolAllowance" || by.PurposeLabel == "" || by.Procedure != "schoolEnrolmentAllowance" || by.Outcome != contract.AccessOutcomeDisclosed {
			t.Errorf("%+v", by)
		}
		if by := items[1]; by.Kind != contract.AccessKindLookup || by.Role != contract.ActorRoleIssuer || by.Organization != homeAffairs || by.Outcome != contract.AccessOutcomeDisclosed {
			t.Errorf("%+v", by)
		}
		tv.Clock.Advance(24 * time.Hour)
		look(t, issuer(homeAffairs), contract.CitizenGet{SSIN: ssin(1)}, "")
		if n := len(log(t)); n != 3 {
			t.Errorf("%d entries the next day", n)
		}
	})
	t.Run("A-11 each that names a case, which is sealed", func(t *testing.T) {
		before := len(log(t))
		for _, reference := range []contract.CaseReference{"quetzal 1", "quetzal 2", "quetzal 2"} {
			look(t, consumer(flanders), contract.CitizenGet{SSIN: ssin(1), CaseReference: reference}, "")
		}
		items := log(t)
		if len(items) != before+3 || items[0].CaseReference != "quetzal 2" || items[2].CaseReference != "quetzal 1" {
			t.Errorf("%+v", items)
		}
		for _, r := range tv.log(t) {
			if strings.Contains(string(r.Clear), "quetzal") {
				t.Errorf("%s holds a case in clear", r.Type)
			}
		}
	})
	t.Run("A-11 an officer, in the audit stream as well", func(t *testing.T) {
		before := len(log(t))
		if got := look(t, officer, contract.CitizenGet{SSIN: ssin(1), Reason: contract.LookupReasonComplaint, CaseReference: "quetzal 3"}, ""); got.CitizenID != ana || !got.CitizenRef.IsZero() {
			t.Errorf("%+v", got)
		}
		look(t, officer, contract.CitizenGet{SSIN: ssin(999), Reason: contract.LookupReasonComplaint}, "resourceNotFound")
		items := log(t)
		if len(items) != before+1 || items[0].Kind != contract.AccessKindLookup || items[0].Role != contract.ActorRolePrivacyOfficer || items[0].Reason != "complaint" || items[0].CaseReference != "quetzal 3" || items[0].Outcome != contract.AccessOutcomeDisclosed {
			t.Errorf("%+v", items[0])
		}
		var acts []audit.Operated
		for _, act := range recorded[audit.Operated](t, tv) {
			if act.Act == audit.LookUpCitizen {
				acts = append(acts, act)
			}
		}
		if len(acts) != 2 || acts[0].Citizen != ana || !acts[1].Citizen.IsZero() {
			t.Errorf("%+v", acts)
		}
	})
	t.Run("A-11 words that are none are refused, whoever is named", func(t *testing.T) {
		before := len(tv.log(t))
		for _, n := range []int{1, 999} {
			look(t, consumer(flanders), contract.CitizenGet{SSIN: ssin(n), Purpose: "curiosity"}, "unknownWord")
			look(t, consumer(flanders), contract.CitizenGet{SSIN: ssin(n), Procedure: "curiosity"}, "unknownWord")
			look(t, consumer(flanders), contract.CitizenGet{SSIN: ssin(n), Reason: contract.LookupReasonComplaint}, "reasonNotYours")
			look(t, officer, contract.CitizenGet{SSIN: ssin(n)}, "lookupReason")
			look(t, me, contract.CitizenGet{SSIN: ssin(n)}, "ssinMissing")
		}
		if more := len(tv.log(t)) - before; more != 0 {
			t.Errorf("%d facts", more)
		}
	})
	t.Run("A-11 a citizen's own leaves nothing", func(t *testing.T) {
		before := len(tv.log(t))
		if got := look(t, me, contract.CitizenGet{}, ""); got.CitizenID != ana {
			t.Errorf("%+v", got)
		}
		if more := len(tv.log(t)) - before; more != 0 {
			t.Errorf("%d facts", more)
		}
	})
	t.Run("A-11 nothing is told that cannot be recorded", func(t *testing.T) {
		tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
			if c.Method == faulty.Append {
				return faulty.Fault{Before: eventstore.ErrUnavailable}
			}
			return faulty.Fault{}
		})
		defer tv.Store.SetRule(nil)
		for _, n := range []int{1, 999} { // whoever is named
			for _, by := range []edge.Caller{issuer(homeAffairs), consumer(flanders), officer} {
				body := contract.CitizenGet{SSIN: ssin(n), Purpose: "schoolAllowance"}
				if by.Role == domain.RolePrivacyOfficer {
					body.Reason = contract.LookupReasonComplaint
				}
				if by.Role == domain.RoleIssuer { // who is registered for no purpose
					body.Purpose, body.CaseReference = "", "quetzal 6"
				}
				if got, err := tv.lookUp(t, by, body); err == nil || slugOf(err) == "resourceNotFound" {
					t.Errorf("%s was told of %d: %+v, %v", by.Role, n, got, err)
				}
			}
		}
	})
	t.Run("A-11 a consent withdrawn meanwhile: nothing is told, and that is on record", func(t *testing.T) {
		tv.household(t, 2)
		who := tv.person(t, 2)
		c := tv.consentTo(t, who, contract.ConsentGrant{Consumer: railways, Purpose: "familyDiscount"})
		look(t, consumer(railways), contract.CitizenGet{SSIN: ssin(2), CaseReference: "1"}, "")
		tv.waitIdle(t)
		defer tv.Store.SetRule(nil)
		tv.beforeAppend(1, func() {
			if err := tv.withdraw(t, who, c); err != nil {
				t.Error(err)
			}
		})
		look(t, consumer(railways), contract.CitizenGet{SSIN: ssin(2), CaseReference: "2"}, "resourceNotFound")
		tv.waitIdle(t)
		outcomes := recorded[access.Disclosed](t, tv)
		if last := outcomes[len(outcomes)-1]; last.Citizen != who || last.Outcome != access.Withheld || last.Reason != "resourceNotFound" {
			t.Errorf("%+v", last)
		}
	})
	t.Run("A-6 the same is recorded of somebody whom the vault does not know, and nothing that names them", func(t *testing.T) {
		before := len(tv.log(t))
		for range 2 {
			look(t, consumer(flanders), contract.CitizenGet{SSIN: ssin(999), Purpose: "schoolAllowance", CaseReference: "quetzal 4"}, "resourceNotFound")
		}
		tv.waitIdle(t)
		records := tv.log(t)[before:]
		for _, r := range records {
			if r.Sealed != nil || strings.Contains(string(r.Clear), `"citizen"`) {
				t.Errorf("%s names somebody: %s", r.Type, r.Clear)
			}
		}
		all := recorded[access.Named](t, tv)
		last := all[len(all)-1]
		if len(records) != 2 || records[0].Stream == records[1].Stream || records[1].Stream != acting.UnknownStream(last.Access, tv.Clock.Now()) || last.Organisation != flanders || last.Purpose != "schoolAllowance" {
			t.Errorf("%d facts, %+v", len(records), last)
		}
	})
	t.Run("A-11 the report holds every look-up", func(t *testing.T) {
		report, err := tv.reportOn(t, me, ana, domain.AccessID{UUID: tv.NewID()}.UUID)
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[string]int{}
		for _, a := range report.Accesses {
			if a.Kind == contract.AccessKindLookup {
				kinds[string(a.Role)+" "+string(a.Purpose)+" "+a.CaseReference]++
			}
		}
		for _, want := range []string{"consumer schoolAllowance ", "consumer  quetzal 1", "privacyOfficer  quetzal 3", "issuer  "} {
			if kinds[want] == 0 {
				t.Errorf("no look-up by %q in %v", want, kinds)
			}
		}
	})
}
