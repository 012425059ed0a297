package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"coffre/cmd/coffre/bench"
	"coffre/domain"
	"coffre/eventstore"
	"coffre/handlers/api"
	"coffre/handlers/contract"
	"coffre/handlers/edge/apitest"
	"coffre/handlers/edge/token"
	"coffre/handlers/work"
)

// caller names one of the callers of the access matrix.
type caller string

// The callers of the access matrix. Every document is a diploma that the source issued, and
// every consent is for the reader.
const (
	nobody caller = "nobody" // without a token
	forged caller = "forged" // with a token that nobody signed
	noRole caller = "noRole" // with a token whose role is none of the vault's

	source        caller = "source"       // the issuer of the document
	sayer         caller = "sayer"        // an issuer with every right to say facts of persons
	otherIssuer   caller = "otherIssuer"  // an issuer without any tie to the citizen
	strayIssuer   caller = "strayIssuer"  // an issuer that is not in the registry
	reader        caller = "reader"       // the consumer that the consent is for, with a basis by law as well
	otherReader   caller = "otherReader"  // a consumer that may ask for consents, and has none
	idleReader    caller = "idleReader"   // a consumer that is registered for nothing
	strayReader   caller = "strayReader"  // a consumer that is not in the registry
	self          caller = "self"         // the citizen
	relative      caller = "relative"     // the citizen's representative, who reads and consents
	former        caller = "former"       // a representative whose mandate was ended
	invited       caller = "invited"      // a representative who did not accept the mandate
	otherCitizen  caller = "otherCitizen" // a citizen without any tie to the citizen
	erased        caller = "erased"       // a citizen whose keys were destroyed
	unknown       caller = "unknown"      // a person whom the vault does not know
	anAuditor     caller = "auditor"
	anOfficer     caller = "officer"
	secondOfficer caller = "secondOfficer" // a second privacy officer
	anOperator    caller = "operator"
)

// answers are the statuses that callers get for a thing of theirs.
type answers map[caller]int

// by returns the same status for several callers.
func by(status int, who ...caller) answers {
	a := make(answers)
	for _, i := range who {
		a[i] = status
	}
	return a
}

// and adds the same status for several callers more.
func (a answers) and(status int, who ...caller) answers {
	maps.Copy(a, by(status, who...))
	return a
}

// problem returns the same problem for several callers.
func problem(name string, who ...caller) map[caller]string {
	a := make(map[caller]string)
	for _, i := range who {
		a[i] = name
	}
	return a
}

// with adds another problem for one more caller.
func with(a map[caller]string, who caller, name string) map[caller]string {
	a[who] = name
	return a
}

// cell is a row of the access matrix: a way to call one operation, and who gets which answer.
// {name} in the query and the body stands for an identifier, as in a path of the contract.
type cell struct {
	query, body string
	// may has everybody who is answered otherwise than a stranger about a thing of the citizen.
	// A caller in two roles of the contract's list is one caller.
	may answers
	// refusal is the problem, or the status, for everybody else in a role that the contract
	// lists, about the citizen's thing, and for everybody about what does not exist.
	refusal string
	// refusals has the callers for whom it is another: not even asked who the citizen is.
	refusals map[caller]string
	// absent has those callers who get no refusal about what does not exist.
	absent answers
	// shows is an identifier that stands in the answer to those who may, in a list that names
	// nobody; strangers get the list without it.
	shows string
	// before brings the citizen's things into the state in which who may succeeds.
	before func(t *testing.T, m *matrix, things holdings)
	// fresh says that each caller gets a citizen of their own, because the call changes things.
	fresh bool
}

const (
	theDiploma       = `{"ssin":"{ssin}","documentType":"diploma","sourceReference":"{fresh}","validFrom":"2006-07-01","content":{"title":"{title}","institution":"University","awardedOn":"2006-06-30","level":7}}`
	theGrant         = `{"citizenId":"{citizenId}","consumer":"0671516647","purpose":"recruitment","documentTypes":["diploma"],"shownText":{"text":"{recruitment}","language":"en","version":"1"}}`
	theAsking        = `{"ssin":"{ssin}","purpose":"recruitment","documentTypes":["diploma"],"message":"May we see it?"}`
	theProposal      = `{"ssin":"{ssin}","kind":"newLife","legalBasis":"legalObligation"}`
	theHold          = `{"reason":"litigation","caseReference":"2026/1"}`
	theSuspension    = `{"reason":"underReview"}`
	theProvider      = `{"provider":{"issuer":"https://login2.example","audience":"coffre","settings":["claims.onBehalfOf=onBehalfOf","claims.organization=organization","claims.role=role","claims.scope=scope","claims.ssin=ssin","roles.citizen=citizen","types=at+jwt"]},"reason":"replaced"}`
	theInvestigation = `{"purpose":"recruitment","legalBasis":"publicTask","deliberation":"EX-26/050","reason":"allowanceFraud","until":"2030-01-01T00:00:00Z"}`
	theExport        = `{"kind":"consentLog","format":"csv","reason":"audit"}`
	byTheLaw         = `"purpose":"recruitment","procedure":"publicJobApplication","legalBasis":"publicTask","deliberation":"EX-26/050"`
)

// accessMatrix has every operation of the contract.
var accessMatrix = map[string][]cell{
	"acceptMandate":     {{may: by(200, invited), refusal: "resourceNotFound", fresh: true}},
	"accessAttachment":  {{body: `{` + byTheLaw + `}`, may: by(200, reader), refusal: "noBasis"}, {body: `{"purpose":"recruitment","procedure":"publicJobApplication","consentId":"{consentId}"}`, may: by(200, reader), refusal: "noBasis"}},
	"accessDocument":    {{body: `{` + byTheLaw + `}`, may: by(200, reader), refusal: "noBasis"}, {body: `{"purpose":"recruitment","procedure":"publicJobApplication","consentId":"{consentId}"}`, may: by(200, reader), refusal: "noBasis"}},
	"answerPetition":    {{body: `{"outcome":"rejected","text":"It is right."}`, may: by(204, source).and(403, anOfficer, secondOfficer), refusal: "resourceNotFound", fresh: true}},
	"approveCorrection": {{may: by(200, secondOfficer).and(403, anOfficer), refusal: "resourceNotFound", fresh: true, before: deathContested}},
	"approveErasure":    {{may: by(202, anOfficer, secondOfficer), refusal: "resourceNotFound", fresh: true, before: unrestricted}},
	"approveRelease":    {{body: `{"ssin":"{ssin}"}`, may: by(200, secondOfficer).and(403, anOfficer), refusal: "resourceNotFound", fresh: true, before: proposed}},
	"correctDeath":      {{body: `{"ssin":"{ssin}"}`, may: by(204, sayer), refusal: "resourceNotFound", refusals: problem("deathRightMissing", source, otherIssuer), fresh: true, before: reportedDead}},
	"createBackup":      {{body: `{"recipients":["{recipient}"]}`, may: by(200, anOperator)}},
	"cancelExport":      {{body: `{"reason":"noLongerWanted"}`, may: by(200, anOfficer, secondOfficer), refusal: "resourceNotFound", before: exportWaiting}},
	"createExport":      {{body: theExport, may: by(202, anOfficer, secondOfficer)}},
	"endMandate":        {{body: `{}`, may: by(200, self, invited), refusal: "resourceNotFound", fresh: true}},
	"getAccessLog":      {{may: by(200, self, relative, anOfficer, secondOfficer), refusal: "resourceNotFound", absent: by(200, anOfficer, secondOfficer)}},
	"getAttachment":     {{may: by(200, source, self, relative), refusal: "resourceNotFound"}},
	"getConsentHistory": {
		{may: by(200, self, relative, anOfficer, secondOfficer), refusal: "resourceNotFound"},
	},
	"listConsentDisclosures": {
		{may: by(200, self, relative, anOfficer, secondOfficer), refusal: "resourceNotFound"},
	},
	"getCitizen": {
		{body: `{"ssin":"{ssin}"}`, may: by(200, source, sayer, otherIssuer, reader), refusal: "resourceNotFound", refusals: problem("badRequest", self, relative, former, invited, otherCitizen, erased, unknown, anOfficer, secondOfficer)},
		{body: `{"ssin":"{ssin}","reason":"complaint","caseReference":"2026/1"}`, may: by(200, anOfficer, secondOfficer), refusal: "badRequest", absent: by(404, anOfficer, secondOfficer)},
		{body: `{}`, may: by(200, self), refusal: "200", shows: "citizenId", refusals: with(problem("badRequest", source, sayer, otherIssuer, reader, otherReader, idleReader, anOfficer, secondOfficer), unknown, "resourceNotFound")},
	},
	"getConsent":            {{may: by(200, self, relative, reader, anOfficer, secondOfficer), refusal: "resourceNotFound"}},
	"getConsentReceipt":     {{may: by(200, self, relative, anOfficer, secondOfficer), refusal: "resourceNotFound"}},
	"getDocument":           {{may: by(200, source, self, relative), refusal: "resourceNotFound"}},
	"getDocumentVersions":   {{may: by(200, source, self, relative), refusal: "resourceNotFound"}},
	"getErasure":            {{may: by(200, self, anOfficer, secondOfficer), refusal: "resourceNotFound"}},
	"getErasureCertificate": {{may: by(409, self, anOfficer, secondOfficer), refusal: "resourceNotFound"}},
	"getExport":             {{may: by(200, anOfficer, secondOfficer), refusal: "resourceNotFound", before: exportMade}},
	"getExportContent":      {{may: by(200, anOfficer, secondOfficer), refusal: "resourceNotFound", before: exportMade}},
	"getHealth":             {{}},
	"getUsageHeartbeat":     {{}},
	"extendPetition":        {{body: `{"text":"We have to look."}`, may: by(200, source).and(403, anOfficer, secondOfficer), refusal: "resourceNotFound", fresh: true}},
	"findUsage":             {{query: "userCode={ssin}", refusal: "resourceNotFound"}},                        // the header names nobody here
	"getUsagePeriod":        {{may: by(200, self, relative, former, invited, otherCitizen, erased, unknown)}}, // each their own
	"getKeys":               {{may: by(200, anOperator)}},
	"getRebuild":            {{refusal: "resourceNotFound"}},
	"getComparison":         {{refusal: "resourceNotFound"}},
	"getRegistry":           {{}},
	"getCondition":          {{may: by(200, anOperator)}},
	"getProcessingRegister": {{may: by(200, anOfficer, secondOfficer)}},
	"getRelease":            {{may: by(200, anOfficer, secondOfficer), refusal: "resourceNotFound", before: proposed}},
	"getPetition":           {{may: by(200, self, relative, source, anOfficer, secondOfficer), refusal: "resourceNotFound"}},
	"getPreferences":        {{may: by(200, self), refusal: "resourceNotFound"}},
	"getRestriction":        {{may: by(200, self, anOfficer, secondOfficer), refusal: "resourceNotFound"}},
	"getSigningKeys":        {{}},
	"getWallet":             {{may: by(200, self, relative, anAuditor), refusal: "resourceNotFound", absent: by(200, anAuditor)}},
	"grantConsent":          {{body: theGrant, may: by(201, self, relative), refusal: "resourceNotFound", fresh: true}},
	"grantConsentRequest":   {{body: `{"shownText":{"text":"{recruitment}","language":"en","version":"1"}}`, may: by(200, self, relative), refusal: "resourceNotFound", fresh: true}},
	"grantMandate": {
		{body: `{"representativeSsin":"{ssin}","kind":"representation","actions":["read"],"until":"2030-01-01"}`, may: by(400, self), absent: by(201, self), refusal: "201",
			refusals: map[caller]string{source: "badRequest", sayer: "badRequest", otherIssuer: "badRequest", erased: "mandateAmongLiving", unknown: "mayNotGrantMandate"}},
		{body: `{"ssin":"{ssin}","representativeSsin":"{newSsin}","kind":"appointedByCourt","actions":["read"],"until":"2030-01-01"}`, refusal: "badRequest", refusals: problem("courtAppointmentRightMissing", source, sayer, otherIssuer)},
	},
	"listInvestigations": {{may: by(200, reader, otherReader, idleReader, anOfficer, secondOfficer, anAuditor)}},
	"openInvestigation":  {{body: theInvestigation, may: by(403, reader, otherReader, idleReader)}},
	"renewInvestigation": {{body: `{"until":"2030-01-01T00:00:00Z"}`, refusal: "resourceNotFound"}},
	"liftInvestigation":  {{refusal: "resourceNotFound"}},
	"issueDocument":      {{body: theDiploma, may: by(201, source), refusal: "notIssuer", absent: by(201, source), fresh: true}},
	"liftHold":           {{may: by(204, anOfficer, secondOfficer), refusal: "resourceNotFound", before: underHold, fresh: true}},
	"liftRestriction": {
		{body: `{}`, may: by(204, self).and(400, anOfficer, secondOfficer), refusal: "resourceNotFound", fresh: true},
		{body: `{"citizenInformed":"2026-01-01"}`, may: by(400, self).and(204, anOfficer, secondOfficer), refusal: "resourceNotFound", fresh: true},
	},
	"listConsentRequests":     {{query: "pageSize=200", may: by(200, self, reader), refusal: "200", shows: "consentRequestId"}, {query: "citizenId={citizenId}", may: by(200, self, relative), refusal: "resourceNotFound"}},
	"listConsents":            {{query: "pageSize=200", may: by(200, self, reader), refusal: "200", shows: "consentId"}, {query: "citizenId={citizenId}", may: by(200, self, relative), refusal: "resourceNotFound"}},
	"listCorrections":         {{may: by(200, anOfficer, secondOfficer), absent: by(200, anOfficer, secondOfficer)}},
	"listConsentDocuments":    {{may: by(200, reader), refusal: "noBasis"}},
	"listAttachments":         {{may: by(200, source, sayer, otherIssuer, anOperator)}},
	"listErasures":            {{may: by(200, anOfficer, secondOfficer)}},
	"listHolds":               {{may: by(200, anOfficer, secondOfficer)}},
	"listAccessGroups":        {{may: by(200, self, relative, anOfficer, secondOfficer), refusal: "resourceNotFound", absent: by(200, anOfficer, secondOfficer)}},
	"listAllRestrictions":     {{may: by(200, anOfficer, secondOfficer)}},
	"listReleases":            {{may: by(200, anOfficer, secondOfficer)}},
	"listSuppressions":        {{may: by(200, anOfficer, secondOfficer)}},
	"listExports":             {{may: by(200, anOfficer, secondOfficer)}},
	"listDueErasures":         {{may: by(200, anOfficer, secondOfficer, anOperator)}},
	"listEvents":              {{may: by(200, anAuditor)}},
	"getCheckpoint":           {{may: by(200, anAuditor)}},
	"createComparison":        {{body: `{"reason":"audit"}`, may: by(202, anAuditor)}},
	"listComparisons":         {{may: by(200, anAuditor)}},
	"proveInclusion":          {{query: "leaf=0", may: by(200, anAuditor)}, {query: "leaf=9000000000", may: by(400, anAuditor)}},
	"proveConsistency":        {{query: "former=1", may: by(200, anAuditor)}, {query: "former=1&size=9000000000", may: by(400, anAuditor)}},
	"listMandates":            {{may: by(200, self, relative, former, invited), refusal: "200", shows: "citizenId"}},
	"listWebhooks":            {{may: by(200, anOperator)}},
	"getIdentityProvider":     {{may: by(200, anOperator, anOfficer, secondOfficer, anAuditor)}},
	"proposeIdentityProvider": {{body: theProvider, may: by(409, anOperator, anOfficer, secondOfficer)}},
	"approveIdentityProvider": {{refusal: "resourceNotFound"}},
	"confirmIdentityProvider": {{may: by(409, anOfficer, secondOfficer)}},
	"listReactors":            {{may: by(200, anOperator)}},
	"pauseReactor":            {{body: `{"reason":"maintenance"}`, refusal: "resourceNotFound"}},
	"resumeReactor":           {{body: `{"reason":"maintenance"}`, refusal: "resourceNotFound"}},
	"listPoison":              {{may: by(200, anOperator)}},
	"listEboxMessages":        {{may: by(200, anOperator)}},
	"retryEboxMessages":       {{body: `{"reason":"repaired"}`, refusal: "resourceNotFound"}},
	"retryPoison":             {{body: `{"reactor":"ends","leaf":4711,"reason":"repaired"}`, refusal: "resourceNotFound"}},
	"dropPoison":              {{body: `{"reactor":"ends","leaf":4711,"reason":"repaired"}`, refusal: "resourceNotFound"}},
	"enableWebhook":           {{refusal: "resourceNotFound"}},
	"replayWebhook":           {{body: `{}`, refusal: "resourceNotFound"}},
	"rotateWebhook":           {{refusal: "resourceNotFound"}},
	"listProjections":         {{may: by(200, anOperator)}},
	"listPetitions":           {{may: by(200, self, source, anOfficer, secondOfficer), refusal: "200", shows: "petitionId"}, {query: "citizenId={citizenId}", may: by(200, self, relative, anOfficer, secondOfficer), refusal: "resourceNotFound", absent: by(200, anOfficer, secondOfficer)}},
	"listSignals":             {{query: "pageSize=200&type=be.coffre.vault.v1.documents.notify.issued", may: by(200, source), refusal: "200", shows: "documentId"}, {query: "pageSize=200&type=be.coffre.vault.v1.consents.notify.granted", may: by(200, reader), refusal: "200", shows: "consentId"}},
	"listRestrictions":        {{may: by(200, self, anOfficer, secondOfficer), refusal: "resourceNotFound", absent: by(200, anOfficer, secondOfficer)}},
	"makePetition":            {{body: `{"documentId":"{documentId}","text":"It is not right."}`, may: by(201, self, relative), refusal: "resourceNotFound", fresh: true}},
	"setPreferences":          {{body: `{"language":"fr","documentNotices":"eboxEach","expiryNotices":"none","accessNotices":"eboxDaily","consentNotices":"eboxEach"}`, may: by(200, self), refusal: "resourceNotFound", fresh: true}},
	"placeHold":               {{body: theHold, may: by(201, anOfficer, secondOfficer), refusal: "resourceNotFound", fresh: true}},
	"proposeCorrection":       {{body: `{"kind":"deathInError"}`, may: by(202, anOfficer, secondOfficer), refusal: "resourceNotFound", fresh: true, before: reportedDead}},
	"proposeRelease":          {{body: theProposal, may: by(202, anOfficer, secondOfficer), refusal: "202", fresh: true, before: destroyed}},
	"publishRegistry":         {{body: `{registry}`, may: by(200, anOperator)}},
	"queryAffectedPersons":    {{body: `{"documentType":"diploma","consumer":"0316380841","from":"2026-01-01T00:00:00Z","until":"2026-02-01T00:00:00Z","reason":"audit"}`, may: by(200, anOfficer, secondOfficer), absent: by(200, anOfficer, secondOfficer)}},
	"getTraffic":              {{may: by(200, anOperator)}},
	"getMonthlyUsage":         {{refusal: "200"}},
	"getFigures":              {{may: by(200, anOfficer, secondOfficer), absent: by(200, anOfficer, secondOfficer)}},
	"queryConsentLog":         {{body: `{"citizenId":"{citizenId}"}`, may: by(200, anOfficer, secondOfficer), absent: by(200, anOfficer, secondOfficer)}},
	"queryDocuments":          {{query: "pageSize=200", body: `{}`, may: by(200, source), refusal: "200", shows: "documentId"}, {body: `{"ssin":"{ssin}"}`, may: by(200, source, sayer), refusal: "200"}},
	"queryEvidence":           {{body: `{"ssin":"{ssin}",` + byTheLaw + `,"needs":[{"documentType":"diploma"}]}`, may: by(200, reader), refusal: "noBasis", absent: by(200, reader)}},
	"rebuildProjection":       {{may: by(202, anOperator), refusal: "resourceNotFound"}},
	"refuseConsentRequest":    {{may: by(200, self, relative), refusal: "resourceNotFound", fresh: true}},
	"reinstateDocument":       {{body: `{"reason":"reviewClosed"}`, may: by(200, source), refusal: "resourceNotFound", before: suspended, fresh: true}},
	"replaceSsin":             {{body: `{"ssin":"{ssin}","replacedBy":"{newSsin}"}`, may: by(204, sayer), refusal: "resourceNotFound", refusals: problem("nationalNumberRightMissing", source, otherIssuer), fresh: true}},
	"reportBackupElsewhere":   {{body: `{"takenAt":"2026-03-01T02:00:00Z","sha256":"{sha256}"}`, may: by(200, anOperator), before: backedUpElsewhere}},
	"reportDeath":             {{body: `{"ssin":"{ssin}","date":"2026-01-01"}`, may: by(204, sayer), refusal: "resourceNotFound", refusals: problem("deathRightMissing", source, otherIssuer), fresh: true}},
	"reportVerifiedBackup":    {{body: `{"sha256":"{sha256}"}`, may: by(200, anOperator), before: backedUp}},
	"requestConsent":          {{body: theAsking, may: by(202, reader), refusal: "consumerNotRegistered", absent: by(202, reader), fresh: true}},
	"requestErasure":          {{body: `{"citizenId":"{citizenId}","scope":"citizen","reason":"citizenRequest"}`, may: by(202, self, anOfficer, secondOfficer), refusal: "resourceNotFound", fresh: true, before: unrestricted}},
	"restrictProcessing":      {{body: `{"reason":"accuracyContested"}`, may: by(201, self, anOfficer, secondOfficer), refusal: "resourceNotFound", fresh: true}},
	"retireKeys":              {{may: by(200, anOperator)}},
	"revokeDocument":          {{body: `{"reason":"issuedInError"}`, may: by(200, source), refusal: "resourceNotFound", fresh: true}},
	"rotateAudit":             {{may: by(200, anOperator)}},
	"rotateRequests":          {{may: by(200, anOperator)}},
	"rotateKeys":              {{may: by(202, anOperator)}},
	"rotatePepper":            {{may: by(202, anOperator)}},
	"subjectAccessReport":     {{body: `{}`, may: by(200, self, anOfficer, secondOfficer), refusal: "resourceNotFound"}},
	"suspendDocument":         {{body: theSuspension, may: by(200, source), refusal: "resourceNotFound", fresh: true}},
	"trimKeys":                {{may: by(409, anOperator)}},
	"updateDocument":          {{body: `{"effectiveFrom":"2026-01-01","content":{"title":"Other","institution":"University","awardedOn":"2006-06-30","level":7}}`, may: by(200, source), refusal: "resourceNotFound", fresh: true}},
	"uploadAttachment":        {{may: by(201, source, sayer, otherIssuer)}},
	"validateConsent":         {{body: `{"ssin":"{ssin}","documentType":"diploma",` + byTheLaw + `}`, may: by(200, reader), refusal: "200"}},
	"withdrawConsent":         {{may: by(200, self, relative), refusal: "resourceNotFound", fresh: true}},

	"listWebhookSubscriptions":  {{refusal: "200"}},
	"createWebhookSubscription": {{body: `{"url":"https://127.0.0.1/"}`, refusal: "badRequest"}},
	"listWebhookDeliveries":     {{refusal: "resourceNotFound"}},
	"enableWebhookSubscription": {{refusal: "resourceNotFound"}},
	"replayWebhookSubscription": {{body: `{}`, refusal: "resourceNotFound"}},
	"rotateWebhookSubscription": {{body: `{}`, refusal: "resourceNotFound"}},
	"removeWebhookSubscription": {{refusal: "resourceNotFound"}},
}

// matrix is a vault with the callers of the access matrix.
type matrix struct {
	*rig
	calls   map[string]apitest.Call
	callers map[caller]token.Grant // without nobody, forged and self
	numbers map[caller]string      // of citizens
	bearers map[string]string
	people  int      // made so far
	foreign holdings // of a citizen without a tie to any caller but the source
	shared  holdings // of a citizen whom calls that change nothing are about
	backups api.Backups
	cells   int // judged so far
	// withdrawInvitation ends the mandate that the invited of the citizen before did not accept.
	withdrawInvitation func()
}

// person returns the number of a person who was not named before.
func (m *matrix) person() string {
	m.people++
	return bench.SSIN(7_000_000 + m.people).Reveal()
}

const diplomaSource, strayOrg = domain.Organisation("0220916609"), domain.Organisation("0123456749")

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{rig: newRig(t), calls: make(map[string]apitest.Call), numbers: make(map[caller]string), bearers: make(map[string]string), withdrawInvitation: func() {}}
	for _, c := range apitest.Calls(t, contract.YAML()) {
		m.calls[c.OperationID] = c
	}
	issuer := func(o domain.Organisation) token.Grant { return grantFor(domain.RoleIssuer, o, domain.CitizenID{}) }
	consumer := func(o domain.Organisation) token.Grant {
		return grantFor(domain.RoleConsumer, o, domain.CitizenID{})
	}
	office := func(r domain.Role) token.Grant { return grantFor(r, "", domain.CitizenID{}) }
	m.callers = map[caller]token.Grant{
		noRole: {Role: "janitor", Subject: "x", Scopes: []string{"documents:read"}},
		source: issuer(diplomaSource), sayer: issuer("0308356862"), otherIssuer: issuer(orgB), strayIssuer: issuer(strayOrg),
		reader: consumer(mayAsk), otherReader: consumer("0203430576"), idleReader: consumer(registeredForNothing), strayReader: consumer(strayOrg),
		anAuditor: office(domain.RoleAuditor), anOfficer: office(domain.RolePrivacyOfficer), anOperator: office(domain.RoleOperator),
		unknown: {Role: domain.RoleCitizen, Subject: "unknown", SSIN: bench.SSIN(7_999_999)},
	}
	second := m.callers[anOfficer]
	second.Subject = "second officer"
	m.callers[secondOfficer] = second
	for _, who := range []caller{relative, former, invited, otherCitizen} {
		ssin := m.person()
		m.issue(t, ssin, "a title of "+string(who))
		g := grantFor(domain.RoleCitizen, "", m.citizen(t, ssin))
		g.Subject = string(who)
		m.callers[who], m.numbers[who] = g, ssin
	}
	gone := make(holdings)
	destroyed(t, m, gone)
	m.callers[erased] = m.grant(t, self, gone)
	m.foreign, m.shared, m.backups = m.settleCitizen(t, false), m.settleCitizen(t, true), m.Core.Backups
	return m
}

// issue issues a diploma with a file and returns both.
func (m *matrix) issue(t *testing.T, ssin, title string) (document, file string) {
	t.Helper()
	file = m.upload(t, m.callers[source], apitest.PDF)
	var made struct{ DocumentID string }
	body := strings.Replace(fill(t, theDiploma, holdings{"ssin": ssin, "title": title}), `"content"`, `"attachments":["`+file+`"],"content"`, 1)
	m.post(t, m.callers[source], "/documents", body, &made)
	return made.DocumentID, file
}

const theHousehold = `{"ssin":"{ssin}","documentType":"householdComposition","sourceReference":"{fresh}","validFrom":"2026-01-01","content":{"asOf":"2026-01-01","householdSize":1,"members":[]}}`

// destroyed makes a citizen, of whom no law obliges to keep anything, and erases them; they
// are the one whom the things name from then on.
func destroyed(t *testing.T, m *matrix, things holdings) {
	t.Helper()
	things["ssin"] = m.person()
	m.post(t, m.callers[sayer], "/documents", fill(t, theHousehold, things), nil)
	id := m.citizen(t, things["ssin"])
	things["citizenId"] = id.String()
	var made struct{ ErasureID string }
	m.post(t, m.grant(t, self, things), "/erasures", fill(t, `{"citizenId":"{citizenId}","scope":"citizen","reason":"citizenRequest"}`, things), &made)
	m.post(t, m.callers[secondOfficer], "/erasures/"+made.ErasureID+"/approve", "", nil)
	if err := m.Core.WaitIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// settleCitizen returns the things of a new citizen who has one of each kind; tied to the
// callers, or to nobody of them but the source.
func (m *matrix) settleCitizen(t *testing.T, tied bool) holdings {
	t.Helper()
	ssin := m.person()
	things := holdings{"ssin": ssin, "title": "Master " + uuid.NewString(), "projectionName": "consentlog"}
	things["documentId"], things["attachmentId"] = m.issue(t, ssin, things["title"])
	citizen := m.citizen(t, ssin)
	things["citizenId"] = citizen.String()
	me := grantFor(domain.RoleCitizen, "", citizen)
	var made struct {
		DocumentID, ConsentID, MandateID, ErasureID, RestrictionID, PetitionID string
	}
	m.post(t, m.callers[sayer], "/documents", fill(t, theHousehold, things), &made)
	m.post(t, me, "/consents", fill(t, theGrant, things), &made)
	things["consentId"] = made.ConsentID
	m.post(t, m.callers[reader], "/consentRequests", fill(t, theAsking, things), &made)
	things["consentRequestId"] = made.ConsentID
	if tied { // the invited have a mandate of one citizen at a time, within what may wait for them
		m.withdrawInvitation()
		m.withdrawInvitation = func() { m.send(t, me, "/mandates/"+things["mandateId"]+"/end", `{}`) }
	}
	for _, who := range []caller{relative, former, invited} {
		g := m.callers[who]
		number := m.numbers[who]
		if !tied {
			number = m.numbers[otherCitizen]
		}
		m.post(t, me, "/mandates", `{"representativeSsin":"`+number+`","kind":"representation","actions":["read","consent"],"until":"2035-01-01"}`, &made)
		things["mandateId"] = made.MandateID
		if who != invited && tied {
			m.post(t, g, "/mandates/"+made.MandateID+"/accept", "", nil)
		}
		if who == former || !tied {
			m.post(t, me, "/mandates/"+made.MandateID+"/end", `{}`, &made)
		}
	}
	m.post(t, me, "/erasures", fill(t, `{"citizenId":"{citizenId}","scope":"document","documentId":"`+made.DocumentID+`","reason":"citizenRequest"}`, things), &made)
	things["erasureId"] = made.ErasureID
	m.post(t, me, "/citizens/"+citizen.String()+"/restrictions", `{"reason":"accuracyContested","documentId":"`+made.DocumentID+`"}`, &made)
	things["restrictionId"] = made.RestrictionID
	m.post(t, me, "/citizens/"+citizen.String()+"/petitions", fill(t, `{"documentId":"{documentId}","text":"It is not right."}`, things), &made)
	things["petitionId"] = made.PetitionID
	if err := m.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return things
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

// fill puts identifiers into the places of a text, and what each call has anew.
func fill(t *testing.T, text string, things holdings) string {
	t.Helper()
	return placeholder.ReplaceAllStringFunc(text, func(place string) string {
		switch name := strings.Trim(place, "{}"); name {
		case "fresh":
			return uuid.NewString()
		case "recruitment":
			return recruitmentText()
		case "registry":
			return registryBody(t)
		default:
			value, known := things[name]
			if !known {
				t.Fatalf("nothing stands for %s", place)
			}
			return value
		}
	})
}

// proposed makes the citizen erased and their return proposed.
func proposed(t *testing.T, m *matrix, things holdings) {
	t.Helper()
	destroyed(t, m, things)
	var made struct{ ReleaseID string }
	m.post(t, m.callers[anOfficer], "/releases", fill(t, theProposal, things), &made)
	things["releaseId"] = made.ReleaseID
}

// unrestricted lifts the restriction.
func unrestricted(t *testing.T, m *matrix, things holdings) {
	t.Helper()
	m.post(t, m.grant(t, self, things), "/citizens/"+things["citizenId"]+"/restrictions/"+things["restrictionId"]+"/lift", `{}`, nil)
}

// reportedDead has the authentic source say that the citizen died.
func reportedDead(t *testing.T, m *matrix, things holdings) {
	t.Helper()
	m.post(t, m.callers[sayer], "/citizens/reportDeath", fill(t, `{"ssin":"{ssin}","date":"2026-01-01"}`, things), nil)
}

// deathContested has an officer propose that the citizen's death was reported in error.
func deathContested(t *testing.T, m *matrix, things holdings) {
	t.Helper()
	reportedDead(t, m, things)
	var made struct{ CorrectionID string }
	m.post(t, m.callers[anOfficer], "/citizens/"+things["citizenId"]+"/corrections", `{"kind":"deathInError"}`, &made)
	things["correctionId"] = made.CorrectionID
}

func underHold(t *testing.T, m *matrix, things holdings) {
	t.Helper()
	var made struct{ LegalHoldID string }
	m.post(t, m.callers[anOfficer], "/citizens/"+things["citizenId"]+"/legalHolds", theHold, &made)
	things["legalHoldId"] = made.LegalHoldID
}

func suspended(t *testing.T, m *matrix, things holdings) {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, contract.Base+"/documents/"+things["documentId"]+"/suspend", strings.NewReader(theSuspension))
	req.Header = m.calls["suspendDocument"].Header.Clone()
	req.Header.Set("Idempotency-Key", uuid.NewString())
	if w := m.ask(req, m.bearer(t, m.callers[source])); w.Code != http.StatusOK {
		t.Fatalf("suspend: %d %s", w.Code, w.Body)
	}
}

func exportMade(t *testing.T, m *matrix, things holdings) {
	t.Helper()
	var made struct{ ExportID string }
	m.post(t, m.callers[anOfficer], "/exports", theExport, &made)
	things["exportId"] = made.ExportID
	if err := m.Core.WaitIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// exportWaiting has an export that nobody makes.
func exportWaiting(t *testing.T, m *matrix, things holdings) {
	t.Helper()
	things["exportId"] = m.waitingExport(t).String()
}

// waitingExport returns an export that was asked for and that nobody makes.
func (r *rig) waitingExport(t *testing.T) uuid.UUID {
	t.Helper()
	waits := work.ExportManifest{
		Export: uuid.New(), Kind: contract.ExportKindConsentLog, Format: contract.ExportFormatCsv, State: contract.TaskStateProcessing, Created: time.Now().UTC(),
	}
	if err := r.Core.SaveExport(t.Context(), waits); err != nil {
		t.Fatal(err)
	}
	return waits.Export
}

// backedUpElsewhere has the databases backed up by tools of their own.
func backedUpElsewhere(_ *testing.T, m *matrix, things holdings) {
	m.Core.Backups = nil
	things["sha256"] = strings.Repeat("a", 64)
}

func backedUp(t *testing.T, m *matrix, things holdings) {
	t.Helper()
	m.Core.Backups = m.backups
	id, _ := ageKey(t)
	taken := m.post(t, m.callers[anOperator], "/backups", `{"recipients":["`+id.Recipient().String()+`"]}`, nil)
	things["sha256"] = fmt.Sprintf("%x", sha256.Sum256(taken.Body.Bytes()))
}

// grant returns the claims of a caller about a citizen's things.
func (m *matrix) grant(t *testing.T, who caller, things holdings) token.Grant {
	t.Helper()
	if who != self {
		return m.callers[who]
	}
	id, err := uuid.Parse(cmp.Or(things["self"], things["citizenId"]))
	if err != nil {
		t.Fatal(err)
	}
	return grantFor(domain.RoleCitizen, "", domain.CitizenID{UUID: id})
}

// call calls an operation as somebody and returns the identifiers that were sent, with all
// else of the request, and the answer.
func (m *matrix) call(t *testing.T, c apitest.Call, row cell, who caller, things holdings) (sent string, w *httptest.ResponseRecorder) {
	t.Helper()
	_, path, _ := strings.Cut(c.Pattern, " ")
	path = fill(t, path, things)
	if row.query != "" {
		path += "?" + fill(t, row.query, things)
	}
	body := c.Body
	if row.body != "" {
		body = []byte(fill(t, row.body, things))
	}
	req := httptest.NewRequest(c.Method, path, bytes.NewReader(body))
	req.Header = c.Header.Clone()
	if req.Header.Get("Idempotency-Key") != "" {
		req.Header.Set("Idempotency-Key", uuid.NewString())
	}
	m.cells++
	return path + string(body), m.askAs(t, req, who, things)
}

// askAs sends a request as somebody; as the citizen, and without scopes, where the things say so.
func (m *matrix) askAs(t *testing.T, req *http.Request, who caller, things holdings) *httptest.ResponseRecorder {
	t.Helper()
	switch who {
	case nobody:
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, req)
		return w
	case forged:
		return m.ask(req, "e30.e30.AAAA")
	}
	g := m.grant(t, who, things)
	key := fmt.Sprint(who, g.Citizen, things["scopes"])
	if things["scopes"] == "none" {
		g.Scopes = []string{}
	}
	if m.bearers[key] == "" {
		m.bearers[key] = m.bearer(t, g)
	}
	return m.ask(req, m.bearers[key])
}

// nothing returns identifiers of what does not exist, for all that a text or a citizen has.
func (m *matrix) nothing(things holdings) holdings {
	none := holdings{"self": cmp.Or(things["self"], things["citizenId"])}
	for name := range things {
		switch name {
		case "ssin", "newSsin":
			none[name] = m.person()
		case "title", "recipient", "sha256", "self":
			none[name] = things[name]
		case "projectionName":
			none[name] = "nothing"
		default:
			none[name] = uuid.NewString()
		}
	}
	return none
}

// problemOf returns the name of an answer's problem, or its status when it is none.
func problemOf(w *httptest.ResponseRecorder) string {
	var p struct{ Type string }
	if w.Code < 400 || json.Unmarshal(w.Body.Bytes(), &p) != nil {
		return fmt.Sprint(w.Code)
	}
	return p.Type[strings.LastIndex(p.Type, ":")+1:]
}

// everybody returns every caller.
func (m *matrix) everybody() []caller {
	return append(slices.Sorted(maps.Keys(m.callers)), nobody, forged, self)
}

// every operation of the contract is called as everybody: about the citizen's things,
// another citizen's and what does not exist. Those whom the row names are answered as it
// says; everybody else is as if the thing did not exist, to the byte and in every header, and
// learns no identifier and no word of what is not theirs. Whoever has no permission is refused
// before anything is looked at, which leaves nothing in the log.
func TestAccessMatrix(t *testing.T) {
	t.Parallel() // most of its calls are refused, and wait for their beat
	m := newMatrix(t)
	for id := range accessMatrix {
		if _, there := m.calls[id]; !there {
			t.Errorf("%s is no operation of the contract", id)
		}
	}
	var guarded []apitest.Call
	for _, id := range slices.Sorted(maps.Keys(m.calls)) {
		c := m.calls[id]
		switch anybody := needsNoToken(c); {
		case len(accessMatrix[id]) == 0:
			t.Errorf("%s has no row: say who may call it about what", id)
		case anybody != (len(c.Roles) == 0):
			t.Errorf("%s lists roles %v, and needs no token: %v", id, c.Roles, anybody)
		case anybody:
			m.checkOpen(t, c)
		default:
			guarded = append(guarded, c)
		}
	}
	before := m.head(t)
	for _, c := range guarded {
		m.checkClosed(t, c)
	}
	if after := m.head(t); after != before {
		t.Errorf("calls without permission left something in the log: %v, before %v", after, before)
	}
	for _, c := range guarded {
		for _, row := range accessMatrix[c.OperationID] {
			m.checkRow(t, c, row)
		}
	}
	if m.cells < 3000 {
		t.Errorf("only %d calls were made", m.cells)
	}
	t.Logf("%d calls of %d operations as %d callers", m.cells, len(m.calls), len(m.everybody()))
}

// needsNoToken reports whether the contract lets a call pass without a token.
func needsNoToken(c apitest.Call) bool {
	return c.Security != nil && (len(*c.Security) == 0 || slices.ContainsFunc(*c.Security, func(r openapi3.SecurityRequirement) bool { return len(r) == 0 }))
}

// head returns where the log ends once all that was begun is done.
func (m *matrix) head(t *testing.T) eventstore.Position {
	t.Helper()
	if err := m.Core.WaitIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Core.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	head, err := m.Core.Log.Store().Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// checkOpen calls an operation that needs no token as everybody.
func (m *matrix) checkOpen(t *testing.T, c apitest.Call) {
	t.Helper()
	for _, who := range m.everybody() {
		sent, w := m.call(t, c, cell{}, who, m.shared)
		want := "200"
		switch takesToken := len(*c.Security) > 0; {
		case takesToken && (who == forged || who == noRole):
			want = "invalidAccessToken"
		case takesToken && (who == strayIssuer || who == strayReader):
			want = "unknownOrganisation"
		}
		if got := problemOf(w); got != want {
			t.Errorf("%s as %s: %d %s, want %s", c.OperationID, who, w.Code, got, want)
		}
		m.checkNothingShown(t, c, who, m.shared, sent, w)
	}
}

// checkClosed calls an operation as everybody to whom it is closed, about a citizen's things,
// about nothing, and with a request that cannot be read, and as those to whom it is open with
// tokens that lack its scope.
func (m *matrix) checkClosed(t *testing.T, c apitest.Call) {
	t.Helper()
	noScope := make(map[string]bool)
	for _, who := range m.everybody() {
		want, listed := "missingPermission", slices.Contains(c.Roles, string(m.grant(t, who, m.shared).Role))
		switch {
		case who == nobody:
			want = "noAccessToken"
		case who == forged, who == noRole:
			want = "invalidAccessToken"
		case listed && (who == strayIssuer || who == strayReader):
			want = "unknownOrganisation"
		case listed:
			role := string(m.grant(t, who, m.shared).Role)
			if noScope[role] {
				continue
			}
			noScope[role], want = true, "missingScope"
		}
		var answers []string
		ask := func(row cell, things holdings) {
			if want == "missingScope" {
				things = maps.Clone(things)
				things["scopes"] = "none"
			}
			_, w := m.call(t, c, row, who, things)
			if got := problemOf(w); got != want {
				t.Errorf("%s as %s: %d %s, want %s", c.OperationID, who, w.Code, got, want)
			}
			answers = append(answers, whole(w))
		}
		for _, row := range accessMatrix[c.OperationID] {
			ask(row, m.complete(t, c, row, m.shared))
			ask(row, m.complete(t, c, row, m.nothing(m.shared)))
		}
		garbled := holdings{"self": m.shared["citizenId"]}
		for _, name := range parameter.FindAllStringSubmatch(c.Pattern, -1) {
			garbled[name[1]] = "x"
		}
		ask(cell{query: "x=1", body: `{"x`}, garbled)
		if all := slices.Compact(answers); len(all) != 1 {
			t.Errorf("%s as %s depends on what is asked for:\n%s", c.OperationID, who, strings.Join(all, "\n"))
		}
	}
}

// complete adds to a citizen's things what a call names and the citizen has none of.
func (m *matrix) complete(t *testing.T, c apitest.Call, row cell, things holdings) holdings {
	t.Helper()
	all := maps.Clone(things)
	for _, name := range placesOf(c, row) {
		if _, there := all[name]; there {
			continue
		}
		switch name {
		case "newSsin":
			all[name] = m.person()
		case "sha256":
			all[name] = strings.Repeat("0", 64)
		case "recipient":
			id, _ := ageKey(t)
			all[name] = id.Recipient().String()
		case "fresh", "recruitment", "registry":
		default:
			all[name] = uuid.NewString()
		}
	}
	return all
}

// placesOf returns the names of the places that a call fills in.
func placesOf(c apitest.Call, row cell) []string {
	names := placeholder.FindAllString(c.Pattern+row.query+row.body, -1)
	for i, name := range names {
		names[i] = strings.Trim(name, "{}")
	}
	return names
}

// asksAbout reports whether a call names a person or a thing.
func asksAbout(c apitest.Call, row cell) bool {
	return slices.ContainsFunc(placesOf(c, row), func(name string) bool {
		return !slices.Contains([]string{"fresh", "recruitment", "registry", "recipient", "sha256", "title", "newSsin"}, name)
	})
}

// settled returns the things that the calls of a row are about.
func (m *matrix) settled(t *testing.T, c apitest.Call, row cell) holdings {
	t.Helper()
	things := m.shared
	if row.fresh || row.before != nil {
		things = m.settleCitizen(t, true)
	}
	if row.before != nil {
		row.before(t, m, things)
	}
	if err := m.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m.complete(t, c, row, things)
}

// checkRow calls an operation as everybody to whom it is open: first as strangers, then as
// those who may.
func (m *matrix) checkRow(t *testing.T, c apitest.Call, row cell) {
	t.Helper()
	things := m.settled(t, c, row)
	var mayCall []caller
	for _, who := range m.everybody() {
		switch _, may := row.may[who]; {
		case who == nobody, who == strayIssuer, who == strayReader, !slices.Contains(c.Roles, string(m.grant(t, who, things).Role)):
		case may:
			mayCall = append(mayCall, who)
		default:
			m.checkStranger(t, c, row, who, things)
		}
	}
	if len(mayCall) != len(row.may) {
		t.Errorf("%s: the row has callers whose role the contract does not list: %v, of whom may call %v", c.OperationID, row.may, mayCall)
	}
	for i, who := range mayCall {
		if i > 0 && row.fresh {
			things = m.settled(t, c, row)
		}
		if asksAbout(c, row) {
			m.checkNothing(t, c, row, who, things)
		}
		_, w := m.call(t, c, row, who, things)
		if w.Code != row.may[who] {
			t.Errorf("%s as %s: %d %s, want %d", c.OperationID, who, w.Code, problemOf(w), row.may[who])
		}
		if row.shows != "" && !strings.Contains(w.Body.String(), things[row.shows]) {
			t.Errorf("%s does not show %s the %s", c.OperationID, who, row.shows)
		}
		if err := m.Core.WaitIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// checkStranger calls an operation about a citizen's things as somebody who has none of them.
func (m *matrix) checkStranger(t *testing.T, c apitest.Call, row cell, who caller, things holdings) {
	t.Helper()
	sent, w := m.call(t, c, row, who, things)
	if got, want := problemOf(w), cmp.Or(row.refusals[who], row.refusal); got != want {
		t.Errorf("%s as %s, about another's: %d %s, want %s", c.OperationID, who, w.Code, got, want)
	}
	m.checkNothingShown(t, c, who, things, sent, w)
	if !asksAbout(c, row) {
		return
	}
	_, of := m.call(t, c, row, who, m.nothing(things))
	if known, unknown := whole(w), whole(of); known != unknown {
		t.Errorf("%s as %s tells what exists:\n another's %s\n nothing   %s", c.OperationID, who, known, unknown)
	}
}

// checkNothing calls an operation about what does not exist, and what another citizen has, as
// somebody who has such a thing.
func (m *matrix) checkNothing(t *testing.T, c apitest.Call, row cell, who caller, things holdings) {
	t.Helper()
	_, of := m.call(t, c, row, who, m.nothing(things))
	want := row.refusal
	if status, answered := row.absent[who]; answered {
		want = fmt.Sprint(status)
	}
	if problemOf(of) != want && fmt.Sprint(of.Code) != want {
		t.Errorf("%s as %s, about nothing: %d %s, want %s", c.OperationID, who, of.Code, problemOf(of), want)
	}
	if m.grant(t, who, things).Role != domain.RoleCitizen {
		return // an organisation's or the office's caller, who is a stranger in other cells
	}
	others := maps.Clone(m.foreign)
	others["self"] = things["citizenId"]
	sent, w := m.call(t, c, row, who, m.complete(t, c, row, others))
	m.checkNothingShown(t, c, who, m.foreign, sent, w)
	if known, unknown := whole(w), whole(of); known != unknown {
		t.Errorf("%s as %s tells what exists:\n another's %s\n nothing   %s", c.OperationID, who, known, unknown)
	}
}

// checkNothingShown looks for identifiers and words of a citizen in an answer to a stranger,
// but for those that the stranger sent.
func (m *matrix) checkNothingShown(t *testing.T, c apitest.Call, who caller, things holdings, sent string, w *httptest.ResponseRecorder) {
	t.Helper()
	answer := w.Body.String() + fmt.Sprint(w.Header())
	for name, value := range things {
		if name != "projectionName" && name != "self" && !strings.Contains(sent, value) && strings.Contains(answer, value) {
			t.Errorf("%s shows %s the %s of another", c.OperationID, who, name)
		}
	}
}
