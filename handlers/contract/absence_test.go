package contract

import (
	"slices"
	"testing"
)

// What the absence of an optional member of a request means, beside what could have stood
// there.
const (
	oneOfAChoice = "one of a choice, which needs another member in its place"
	showsAll     = "nothing is hidden from the citizen"
	saysLess     = "the request says less, and allows no more for that"
	allowsMore   = "absence is the widest there is; every value narrows it"
	meansNone    = "absence is the empty list, which may be sent as well"
	theCaller    = "the caller, who is known"
	theDefault   = "the default that the contract states"
)

// absences lists every optional member of a request, so that whoever adds one says what its
// absence allows. A member that is null is one that is left out. That is safe because null
// can mean nothing else for any of these: not "nobody", not "nothing", not "no more". For a
// member of which that is not so, null has to be refused before it is listed here.
var absences = map[string]string{
	"AccessRequest.caseReference": saysLess, "AccessRequest.consentId": oneOfAChoice, "AccessRequest.deliberation": oneOfAChoice, "AccessRequest.fields": allowsMore,
	"AccessRequest.legalBasis": oneOfAChoice, "AccessRequest.predicate": allowsMore, "AccessRequest.procedure": saysLess,
	"AccessRequest.investigationId": showsAll, "AttachmentAccessRequest.investigationId": showsAll, "EvidenceQuery.investigationId": showsAll,
	"AttachmentAccessRequest.caseReference": saysLess, "AttachmentAccessRequest.consentId": oneOfAChoice, "AttachmentAccessRequest.deliberation": oneOfAChoice,
	"AttachmentAccessRequest.legalBasis": oneOfAChoice, "AttachmentAccessRequest.procedure": saysLess,
	"CitizenGet.ssin": theCaller, "CitizenGet.purpose": saysLess, "CitizenGet.procedure": saysLess, "CitizenGet.caseReference": saysLess,
	"CitizenGet.reason":         saysLess, // an officer, who has to give one, is refused
	"AffectedPersonsQuery.asOf": theDefault,
	"ConsentAsk.fields":         allowsMore, "ConsentAsk.limits": allowsMore, "ConsentAsk.message": saysLess, "ConsentAsk.until": theDefault,
	"ConsentGrant.citizenId": theCaller, "ConsentGrant.documentTypes": oneOfAChoice, "ConsentGrant.documents": oneOfAChoice,
	"ConsentGrant.fields": allowsMore, "ConsentGrant.limits": allowsMore, "ConsentGrant.renews": "a first consent renews none", "ConsentGrant.until": theDefault,
	"ConsentLimits.dataLife": allowsMore, "ConsentLimits.frequency": allowsMore, "ConsentLimits.uses": allowsMore,
	"ConsentLogQuery.citizenId": allowsMore, "ConsentLogQuery.consumer": allowsMore, "ConsentLogQuery.decision": allowsMore, "ConsentLogQuery.from": allowsMore,
	"ConsentLogQuery.documentType": allowsMore, "ConsentLogQuery.legalBasis": allowsMore, "ConsentLogQuery.state": allowsMore, "ConsentLogQuery.stateAt": theDefault,
	"ConsentLogQuery.purpose": allowsMore, "ConsentLogQuery.ssin": allowsMore, "ConsentLogQuery.until": allowsMore,
	"ConsentRequestGrant.fields": allowsMore, "ConsentRequestGrant.limits": allowsMore, "ConsentRequestGrant.until": allowsMore,
	"ConsentValidation.citizenRef": oneOfAChoice, "ConsentValidation.consentId": oneOfAChoice, "ConsentValidation.deliberation": oneOfAChoice, "ConsentValidation.documentId": oneOfAChoice,
	"ConsentValidation.documentType": oneOfAChoice, "ConsentValidation.fields": allowsMore, "ConsentValidation.legalBasis": oneOfAChoice,
	"ConsentValidation.predicate": allowsMore, "ConsentValidation.procedure": saysLess, "ConsentValidation.ssin": oneOfAChoice,
	"CorrectionPropose.caseReference":      saysLess,
	"CorrectionPropose.survivingCitizenId": oneOfAChoice, // which kind tells
	"DeathCorrection.caseReference":        saysLess,
	"DocumentIssue.attachments":            meansNone, "DocumentIssue.parents": meansNone, "DocumentIssue.validUntil": allowsMore,
	"DocumentQuery.changedFrom": allowsMore, "DocumentQuery.citizenRef": allowsMore, "DocumentQuery.documentType": allowsMore, "DocumentQuery.sourceReference": allowsMore,
	"DocumentQuery.ssin": allowsMore, "DocumentQuery.state": allowsMore,
	"DocumentReinstatement.reason": saysLess, "DocumentRevocation.effectiveFrom": theDefault,
	"DocumentUpdate.attachments": meansNone, "DocumentUpdate.reason": saysLess, "DocumentUpdate.validFrom": theDefault, "DocumentUpdate.validUntil": theDefault,
	"ErasureRequest.documentId": oneOfAChoice, // which scope tells
	"EvidenceNeed.fields":       allowsMore, "EvidenceNeed.predicate": allowsMore,
	"EvidenceQuery.caseReference": saysLess, "EvidenceQuery.citizenRef": oneOfAChoice, "EvidenceQuery.consentId": oneOfAChoice, "EvidenceQuery.deliberation": oneOfAChoice,
	"EvidenceQuery.legalBasis": oneOfAChoice, "EvidenceQuery.presenceOnly": theDefault, "EvidenceQuery.procedure": saysLess, "EvidenceQuery.ssin": oneOfAChoice,
	"ExportCreate.asOf": allowsMore, "ExportCreate.citizenId": allowsMore, "ExportCreate.citizenRef": allowsMore, "ExportCreate.consumer": allowsMore, "ExportCreate.dialect": theDefault, "ExportCreate.from": allowsMore,
	"ExportCreate.purpose": allowsMore, "ExportCreate.separator": theDefault, "ExportCreate.ssin": allowsMore, "ExportCreate.until": allowsMore,
	"LegalHoldPlace.caseReference": saysLess,
	"MandateEnd.reason":            saysLess,
	"MandateGrant.documentTypes":   allowsMore, "MandateGrant.ssin": theCaller,
	"PetitionAnswer.text":     saysLess, // a rejection without is refused
	"PetitionMake.documentId": oneOfAChoice, "PetitionMake.entryId": oneOfAChoice, "PetitionMake.organization": oneOfAChoice, "PetitionMake.purpose": oneOfAChoice,
	"PetitionMake.restrict":           saysLess,
	"ReleasePropose.until":            oneOfAChoice, // which kind tells
	"RestrictionAsk.documentId":       allowsMore,   // a restriction of everything protects more
	"RestrictionLift.citizenInformed": saysLess,

	"WebhookSubscribe.signature": theDefault, "WebhookSubscribe.types": allowsMore, "WebhookSubscribe.documentTypes": allowsMore, "WebhookSubscribe.sources": allowsMore, "WebhookSubscribe.citizenRef": allowsMore,
	"WebhookSubscriptionReplay.eventId": allowsMore, "WebhookSubscriptionReplay.from": allowsMore, "WebhookSubscriptionReplay.until": allowsMore, "WebhookSubscriptionReplay.after": allowsMore,
	"WebhookSubscriptionRotate.finish": saysLess,
	"EboxRetry.messageId":              allowsMore,

	"WebhookReplay.eventId":       allowsMore,
	"SubjectAccessRequest.format": theDefault, "SubjectAccessRequest.lang": theDefault,
}

// F24: every optional member of a request is known to allow no more when it is null than null
// can have meant; and a list whose absence is wider than the empty list has an item, so that
// an empty list is never taken for no list.
func TestF24AbsenceAllowsNoMore(t *testing.T) {
	unused, lists := map[string]bool{}, 0
	for name := range absences {
		unused[name] = true
	}
	for name, s := range requestSchemas(t, readContract(t)) {
		for member, p := range s.Properties {
			if slices.Contains(s.Required, member) {
				continue
			}
			key := name + "." + member
			means := absences[key]
			if delete(unused, key); means == "" {
				t.Errorf("%s is not listed: say what its absence allows, beside every value and null", key)
			}
			if !p.Value.Type.Is("array") {
				if means == meansNone {
					t.Errorf("%s is no list", key)
				}
				continue
			}
			if lists++; (means == meansNone) != (p.Value.MinItems == 0) {
				t.Errorf("%s: an empty list may be sent exactly where it means the same as none", key)
			}
		}
	}
	for name := range unused {
		t.Errorf("%s is listed and is no optional member of a request", name)
	}
	if lists < 10 {
		t.Errorf("only %d lists", lists)
	}
}
