package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"coffre/domain"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/apitest"
	"coffre/handlers/edge/token"
)

// F30: an organisation that the registry does not have is refused by every operation that
// organisations have, on every way in.
func TestF30UnknownOrganisationsAreRefusedEverywhere(t *testing.T) {
	r := newRig(t)
	tried := 0
	for _, c := range apitest.Calls(t, contract.YAML()) {
		for _, role := range []domain.Role{domain.RoleIssuer, domain.RoleConsumer} {
			if !slices.Contains(c.Roles, string(role)) {
				continue
			}
			for way, front := range map[string]http.Handler{"public address": r.Handler(), "control socket": r.Control()} {
				req := httptest.NewRequest(c.Method, c.Path, bytes.NewReader(c.Body))
				req.Header = c.Header.Clone()
				req.Header.Set("Authorization", "Bearer "+r.bearer(t, token.Grant{Role: role, Organisation: "0202239951", Subject: "clerk"}))
				w := httptest.NewRecorder()
				front.ServeHTTP(w, req)
				tried++
				if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), ":unknownOrganisation") {
					t.Errorf("%s by a %s, %s: %d %s", c.OperationID, role, way, w.Code, w.Body)
				}
			}
		}
	}
	if tried < 40 {
		t.Errorf("%d tries only", tried)
	}
}

// compareWithBudgets fails the test unless a run of all operations took places in just the
// budgets that docs/limits.md says: in each of an operation's own, and in the acts of a day
// where citizens or the office record something. taken has the budgets by operation.
func compareWithBudgets(t *testing.T, taken map[string][]string) {
	t.Helper()
	for _, c := range apitest.Calls(t, contract.YAML()) {
		var own, acts []string
		for _, b := range acting.BudgetsOf[c.OperationID] {
			own = append(own, b.Name)
		}
		for _, role := range c.Roles {
			if b := acting.ActsOf(domain.Role(role)); b != nil && c.Header.Get("Idempotency-Key") != "" && !acting.TakesBack[c.OperationID] {
				acts = append(acts, b.Name)
			}
		}
		for _, b := range own {
			if !slices.Contains(taken[c.OperationID], b) {
				t.Errorf("%s takes no place in %s, and docs/limits.md says that it does", c.OperationID, b)
			}
		}
		if acts != nil && !slices.ContainsFunc(acts, func(b string) bool { return slices.Contains(taken[c.OperationID], b) }) {
			t.Errorf("%s is no act of a day, and docs/limits.md says that it is", c.OperationID)
		}
		for _, b := range taken[c.OperationID] {
			if !slices.Contains(own, b) && !slices.Contains(acts, b) {
				t.Errorf("%s takes a place in %s, and docs/limits.md does not say so", c.OperationID, b)
			}
		}
	}
}

const limitsFile = "../../docs/limits.md"

// Bounds of operations besides the calls of a minute, the acts of a day and the budgets of
// acting.BudgetsOf, as docs/limits.md says them.
const (
	byPeople    = "citizens that an organisation names in a day (A-7); its refusals of a minute (A-7)"
	bySources   = "one document for each citizen, type and source reference (D-4)"
	byPage      = "a page of at most 200"
	byOne       = "one thing, from memory or one stream"
	byPieces    = "sent in pieces, each within 15 s"
	byOnce      = "one under way: a second is refused or joins the first"
	byNothing   = "takes something back: never refused for a budget"
	byOwnState  = "changes one thing that is there"
	byNames     = "citizens that an organisation names in a day (A-7), each person named; its refusals of a minute (A-7)"
	byProposals = "twenty corrections of a citizen that wait for a decision (P-6)"
)

var boundsBesides = map[string]string{
	"issueDocument": byNames + "; " + bySources, "grantMandate": "by a source: " + byNames, "updateDocument": byOwnState, "reinstateDocument": byOwnState,
	"revokeDocument": byNothing, "suspendDocument": byNothing, "withdrawConsent": byNothing, "refuseConsentRequest": byNothing, "endMandate": byNothing,
	"queryDocuments": byPeople + "; " + byPage, "getDocument": byOne, "getDocumentVersions": byPage, "accessDocument": byPeople, "accessAttachment": byPeople + "; " + byPieces,
	"getAttachment": byPieces, "getCitizen": byPeople, "reportDeath": byNames + "; " + byOwnState, "replaceSsin": byNames, "getWallet": byPage, "getAccessLog": byPage, "listAccessGroups": byPage, "findUsage": "at most 1000 of at most 100,000", "getUsagePeriod": byOne, "getUsageHeartbeat": "answered from memory, at most once a second anew",
	"getPreferences": byOne, "setPreferences": "the acts of a day", "listWebhookSubscriptions": "at most twenty of an organisation", "createWebhookSubscription": "at most twenty of an organisation", "listWebhookDeliveries": byPage, "enableWebhookSubscription": byOwnState, "replayWebhookSubscription": byOwnState, "rotateWebhookSubscription": byOwnState, "removeWebhookSubscription": byNothing,
	"listSignals": byPage, "listPetitions": byPage, "getPetition": byOne, "answerPetition": byOwnState, "extendPetition": byOwnState,
	"listInvestigations": byPage, "renewInvestigation": byOwnState, "liftInvestigation": byNothing,
	"liftHold": byOwnState, "listRestrictions": byPage, "getRestriction": byOne, "liftRestriction": byOwnState,
	"correctDeath": byNames + "; " + byProposals, "proposeCorrection": byProposals, "approveCorrection": byOwnState, "listCorrections": byOne,
	"listConsents": byPage, "grantConsent": byOwnState, "validateConsent": byPeople, "getConsent": byOne, "getConsentReceipt": byOne, "getConsentHistory": byOne, "listConsentDisclosures": byPage,
	"listConsentRequests": byPage, "requestConsent": byPeople, "grantConsentRequest": byOwnState, "queryEvidence": byPeople,
	"listMandates": "the mandates of one citizen", "acceptMandate": byOwnState, "listEvents": "a page of at most 1000, on record once per session and range", "queryConsentLog": byPage, "queryAffectedPersons": byPage, "getFigures": "groups of at least ten people, counted in pages",
	"getExport": byOne, "cancelExport": byOwnState, "listExports": byPage, "listErasures": byPage, "listAttachments": byPage, "listHolds": byPage, "listAllRestrictions": byPage, "listReleases": byPage, "listSuppressions": byPage, "listConsentDocuments": byPeople, "getExportContent": byPieces, "getErasure": byOne, "approveErasure": byOwnState, "getErasureCertificate": byOne,
	"proposeRelease": "the acts of a day", "getRelease": byOne, "approveRelease": byOwnState, "listDueErasures": byPage, "getSigningKeys": byOne,
	"getCheckpoint": byOne, "proveInclusion": byOne, "proveConsistency": byOne,
	"listProjections": byOne, "getRebuild": byOne, "listWebhooks": byOne, "listReactors": byOne, "getTraffic": "the sums of one month", "getMonthlyUsage": "the sums of one month", "listPoison": byOne, "pauseReactor": byOwnState, "resumeReactor": byOwnState, "retryPoison": byOwnState, "dropPoison": byOwnState, "listEboxMessages": byOne, "retryEboxMessages": byOwnState, "getIdentityProvider": byOne, "proposeIdentityProvider": "the acts of a day", "approveIdentityProvider": byOwnState, "confirmIdentityProvider": byOwnState, "enableWebhook": byOwnState, "replayWebhook": byOwnState, "rotateWebhook": byOwnState, "rebuildProjection": byOnce, "createComparison": byOnce, "getComparison": byOne, "listComparisons": "the last 20", "getKeys": byOne, "rotateKeys": byOnce, "createBackup": byOnce + "; " + byPieces, "reportVerifiedBackup": "the acts of a day",
	"reportBackupElsewhere": "the acts of a day", "retireKeys": byOnce, "trimKeys": byOnce, "rotatePepper": byOnce, "rotateAudit": byOnce, "rotateRequests": byOnce,
	"getRegistry": byOne, "getProcessingRegister": byOne, "getCondition": byOne, "publishRegistry": "one version after the other", "getHealth": "answered from memory, at most once a second anew",
}

// requestsAtATime says how many requests one process answers at a time.
func requestsAtATime() string {
	var roles []string
	for role, n := range edge.MaxUnderWayOf {
		roles = append(roles, fmt.Sprintf("%s %d", role, n))
	}
	slices.Sort(roles)
	return fmt.Sprintf("One process answers %d requests at a time (503 `busy`), and of one caller, by role: %s (429 `tooManyRequests`). What takes something back has room beyond that.\n\n", edge.MaxUnderWay, strings.Join(roles, ", "))
}

// Every operation of the contract has a budget, and docs/limits.md says which.
func TestEveryOperationHasItsBudget(t *testing.T) {
	var doc strings.Builder
	doc.WriteString("# What callers may ask for and leave\n\n" +
		"Made by `TestEveryOperationHasItsBudget` of `cmd/coffre` from the contract, the budgets of `handlers/acting` and the table beside the test; `go test ./cmd/coffre -run TestEveryOperationHasItsBudget -update` makes it anew.\n\n" +
		"Every call passes one way in, on the public address and on the control socket alike (`acting.Recorder.Admit`): an organisation has to be in the registry (403 `unknownOrganisation`), and calls of a minute are counted (429 `tooManyRequests`). What a call leaves in the vault takes a place in a budget (429 `budgetExceeded`). All counts lie in the key database, so they hold for all processes together and outlive a restart. Refusals come with `Retry-After`, leave nothing, and are the same whether the vault knows a person or not: whoever is unknown counts like everybody else (rule A-9). `coffre_budget_taken_total` and `coffre_budget_refused_total` count them by budget and operation; one line of the log says when a budget was used up for the first time.\n\n" +
		requestsAtATime() +
		"## Budgets\n\n" +
		"`COFFRE_LIMITS` changes numbers by name, the same in all processes: `COFFRE_LIMITS=uploads.caller=2000,calls.citizen=600`. *Caller* is an organisation, a citizen, or one person of the office; *pair* one caller about one citizen (or document); *person* all callers about one citizen. How many people an organisation names in a day is its `dailyQuota` in the registry. For a first load by an issuer publish a registry in which it covers the people, and raise `documents.caller` where that is fewer than the documents ([decision 33](decisions/0033-whoever-names-a-number-counts.md)).\n\n" +
		"| budget | what takes a place | until | the wait that a refusal names | limits |\n|---|---|---|---|---|\n")
	names, defaults := acting.Limits(nil).Names()
	limits := func(prefix string) string {
		var cells []string
		for _, name := range names {
			if strings.HasPrefix(name, prefix+".") {
				cells = append(cells, fmt.Sprintf("`%s` %d", name, defaults[name]))
			}
		}
		return strings.Join(cells, "<br>")
	}
	fmt.Fprintf(&doc, "| calls | calls of a caller, by role | the minute is over | until then | %s |\n", limits("calls"))
	for _, b := range acting.Budgets {
		cell := limits(b.Name)
		if cell == "" || b.What == "" || b.Until == "" || b.Retry < time.Second {
			t.Errorf("%s bounds nothing, or does not say what", b.Name)
		}
		fmt.Fprintf(&doc, "| %s | %s | %s | %s | %s |\n", b.Name, b.What, b.Until, b.Retry, cell)
	}
	doc.WriteString("\n## Operations\n\nCalls of a minute bound every operation that needs a token; acts of a day bound whatever citizens and the office record.\n\n| operation | roles | acts of a day | budgets | besides |\n|---|---|---|---|---|\n")
	besides, budgets, takesBack := maps.Clone(boundsBesides), maps.Clone(acting.BudgetsOf), maps.Clone(acting.TakesBack)
	for _, c := range apitest.Calls(t, contract.YAML()) {
		var acts, takes []string
		for _, role := range c.Roles {
			if b := acting.ActsOf(domain.Role(role)); b != nil && c.Header.Get("Idempotency-Key") != "" && !acting.TakesBack[c.OperationID] && !slices.Contains(acts, b.Name) {
				acts = append(acts, b.Name)
			}
		}
		for _, b := range acting.BudgetsOf[c.OperationID] {
			takes = append(takes, b.Name)
		}
		if takes == nil && besides[c.OperationID] == "" {
			t.Errorf("what bounds %s?", c.OperationID)
		}
		if writes := c.Header.Get("Idempotency-Key") != ""; writes && takes == nil && acts == nil && besides[c.OperationID] != byNothing && !strings.Contains(besides[c.OperationID], byPeople) {
			t.Errorf("%s leaves something in the vault, and no budget bounds it", c.OperationID)
		}
		if (besides[c.OperationID] == byNothing) != acting.TakesBack[c.OperationID] || acting.TakesBack[c.OperationID] && takes != nil {
			t.Errorf("%s takes something back, and is bounded, or the other way round", c.OperationID)
		}
		roles := strings.Join(c.Roles, ", ")
		if roles == "" {
			roles = "everybody"
		}
		fmt.Fprintf(&doc, "| %s | %s | %s | %s | %s |\n", c.OperationID, roles, cmp.Or(strings.Join(acts, ", "), "–"), cmp.Or(strings.Join(takes, ", "), "–"), cmp.Or(besides[c.OperationID], "–"))
		delete(besides, c.OperationID)
		delete(budgets, c.OperationID)
		delete(takesBack, c.OperationID)
	}
	if len(besides)+len(budgets)+len(takesBack) > 0 {
		t.Errorf("the contract has none of these: %v, %v, %v", besides, budgets, takesBack)
	}
	if *update {
		if err := os.WriteFile(limitsFile, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(limitsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != doc.String() {
		t.Error("docs/limits.md is behind the code: go test ./cmd/coffre -run TestEveryOperationHasItsBudget -update")
	}
}
