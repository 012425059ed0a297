package api

import (
	"fmt"
	"time"

	"coffre/domain/consent"
	"coffre/handlers/contract"
	"coffre/handlers/contract/texts"
	"coffre/projections/consentlog"
	"coffre/projections/vocabulary"
)

// The consent record and receipt of ISO/IEC TS 27560:2023 as JSON-LD, in the terms of the Data
// Privacy Vocabulary (DPV 2) as its guide to that standard maps them. The context stands in the
// document, so that reading it asks no network. docs/receipts.md has the map.

const (
	isoRecord  = "https://w3id.org/dpv/schema/dpv-27560#record"
	isoReceipt = "https://w3id.org/dpv/schema/dpv-27560#receipt"

	// coffreIRI begins what the vault names itself.
	coffreIRI = "urn:coffre:"
	uuidIRI   = "urn:uuid:"
	timeType  = "xsd:dateTime"
)

// linked is a node, a value or the context of a JSON-LD document. What is signed is its form of
// RFC 8785, so the order of its members is no matter.
type linked map[string]any

// isoContext gives every name in a receipt its IRI.
var isoContext = linked{
	"dpv": "https://w3id.org/dpv#", "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#", "loc": "https://w3id.org/dpv/loc#",
	"dct": "http://purl.org/dc/terms/", "xsd": "http://www.w3.org/2001/XMLSchema#", "coffre": coffreIRI,
	"state": "coffre:state", "stateAt": linked{"@id": "coffre:stateAt", "@type": timeType},
	"inLog": linked{"@id": "coffre:inLog", "@type": "@json"}, signatureName: "coffre:signature",
}

// signatureName is the member that a receipt is signed in.
const signatureName = "signature"

// dpvStates are the terms of the vocabulary for the states of a consent.
var dpvStates = map[consentlog.State]string{
	consentlog.IsRequested: "dpv:ConsentRequested", consentlog.IsRefused: "dpv:ConsentRefused", consentlog.IsWithdrawn: "dpv:ConsentWithdrawn",
	consentlog.IsExpired: "dpv:ConsentExpired", consentlog.IsExhausted: "dpv:ConsentExpired", consentlog.IsGranted: "dpv:ConsentGiven",
}

// rights are the articles of the GDPR that give a citizen rights over what the consent is about.
var rights = []string{"A15", "A16", "A17", "A18", "A7-3", "A77"}

// authority is the supervisory authority of Belgium; its name and address are texts.
const (
	authorityIRI     = "https://www.dataprotectionauthority.be"
	authorityContact = "contact@apd-gba.be"
)

func at(id string) linked                { return linked{"@id": id} }
func typed(value, as string) linked      { return linked{"@value": value, "@type": as} }
func moment(t time.Time) linked          { return typed(t.UTC().Format(time.RFC3339Nano), timeType) }
func (f receiptFacts) said(s string) any { return linked{"@value": s, "@language": string(f.lang)} }

// text returns a text of the vault in the language of the receipt.
func (f receiptFacts) text(key string) string { return texts.Of(f.lang, "receipt."+key) }

// iso27560 returns the record and receipt of ISO/IEC TS 27560:2023.
func (f receiptFacts) iso27560() linked {
	id, subject, consumer := f.Consent.Consent.String(), f.Citizen.String(), coffreIRI+"organisation:"+string(f.Terms.Consumer)
	controller := linked{
		"@id": consumer, "@type": "dpv:DataController", "dct:identifier": string(f.Terms.Consumer), "dpv:hasName": f.said(f.controller()), "dpv:hasAddress": at("loc:" + country),
	}
	if email := f.consumer.Contact.Email; email != "" {
		controller["dpv:hasContact"] = email
	}
	notice := linked{"@type": "dpv:ConsentNotice"}
	if url := f.consumer.Contact.URL; url != "" {
		notice["dct:source"] = at(url)
	}
	if f.shown.Text != "" {
		notice["dct:description"] = linked{"@value": f.shown.Text, "@language": string(f.shown.Language)}
		notice["dct:hasVersion"] = string(f.shown.Version)
	}
	out := linked{
		"@context": isoContext, "@id": uuidIRI + id + "#receipt", "@type": "dpv:ConsentReceipt",
		"dct:identifier": id, "dct:conformsTo": at(isoReceipt), "dct:language": string(f.lang),
		"state": string(f.State), "stateAt": f.stateAt.UTC().Format(time.RFC3339Nano),
		"dpv:hasRecordOfActivity": linked{
			"@id": uuidIRI + id, "@type": "dpv:ConsentRecord", "dct:identifier": id, "dct:conformsTo": at(isoRecord),
			"dpv:hasDataSubject":    linked{"@id": uuidIRI + subject, "@type": "dpv:DataSubject", "dct:identifier": subject},
			"dpv:hasDataController": controller, "dpv:hasJurisdiction": at("loc:" + country), "dpv:hasApplicableLaw": at("eu-gdpr:GDPR"),
			"dpv:hasLegalBasis": at("eu-gdpr:A6-1-a"), "dpv:hasNotice": notice, "dpv:hasProcess": f.process(consumer),
			"dpv:hasConsentStatus": at(f.status()), "dct:hasPart": f.steps(uuidIRI+subject, consumer),
			"dpv:hasConsentControl": linked{"@type": "dpv:WithdrawConsent", "dct:description": f.said(f.text("withdrawal"))},
			"dpv:hasRight":          f.rights(),
			"dpv:hasAuthority": linked{
				"@id": authorityIRI, "@type": "dpv:DataProtectionAuthority", "dpv:hasName": f.said(f.text("authority")),
				"dpv:hasAddress": f.said(f.text("authorityAddress")), "dpv:hasContact": authorityContact,
			},
		},
	}
	if f.inLog.Checkpoint != "" {
		out["inLog"] = f.inLog
	}
	return out
}

// process returns what the citizen consented to: who does what with which data, and for how long.
func (f receiptFacts) process(consumer string) linked {
	purpose := linked{"@id": coffreIRI + "purpose:" + string(f.Terms.Purpose), "@type": "dpv:Purpose", "dct:title": f.said(f.purpose())}
	var kinds []any
	for _, category := range f.categories() {
		kinds = append(kinds, f.said(category))
	}
	if kinds != nil {
		purpose["dct:subject"] = kinds
	}
	return linked{
		"@type": "dpv:Process", "dpv:hasPurpose": purpose, "dpv:hasPersonalData": f.data(), "dpv:hasRecipient": at(consumer),
		"dpv:hasRecipientThirdParty": at("dpv:NotApplicable"), // nobody else is told
		"dpv:hasProcessing":          linked{"@type": "dpv:Retrieve", "dct:description": f.said(f.text("processing"))},
		"dpv:hasIndicationMethod":    f.said(f.text("collection")),
		"dpv:hasStorageCondition":    []any{linked{"@type": "dpv:StorageLocation", "dpv:hasLocation": at("loc:" + country)}, f.dataLife()},
	}
}

// data returns the types of document that the consent covers, each with its categories of data
// and, where only some may be read, its fields.
func (f receiptFacts) data() []any {
	all := []any{}
	special := f.specialCategories()
	for _, t := range f.types {
		class, fields, subjects := "dpv:PersonalData", []any{}, []any{}
		for _, category := range t.Categories {
			if special[category] {
				class = "dpv:SpecialCategoryPersonalData"
			}
			subjects = append(subjects, f.said(f.words.Label(vocabulary.DataCategories, string(category), f.lang)))
		}
		for _, field := range f.Terms.Fields {
			fields = append(fields, string(field))
		}
		one := linked{
			"@id": coffreIRI + "documentType:" + string(t.Name), "@type": class, "dct:title": f.said(f.words.Label(vocabulary.DocumentTypes, string(t.Name), f.lang)),
			"dpv:hasNecessity": at("dpv:Required"), "dct:subject": subjects,
		}
		if len(fields) > 0 {
			one["coffre:field"] = fields
		}
		all = append(all, one)
	}
	return all
}

// status returns the vocabulary's term for the state of the consent.
func (f receiptFacts) status() string {
	switch {
	case f.State == consentlog.IsGranted && !f.Renews.IsZero():
		return "dpv:RenewedConsentGiven"
	case f.State == consentlog.IsWithdrawn && f.Reason == consent.ByDeath: // not by the citizen
		return "dpv:ConsentRevoked"
	}
	return dpvStates[f.State]
}

// steps returns what happened to the consent, oldest first.
func (f receiptFacts) steps(subject, consumer string) []any {
	valid := linked{"@type": "dpv:UntilTimeDuration", "dct:valid": moment(f.Terms.Until)}
	step := func(class, status string, t time.Time, by string) linked {
		s := linked{"@type": class, "dpv:hasConsentStatus": at(status), "dpv:isIndicatedAtTime": moment(t), "dpv:hasDuration": valid}
		if by != "" {
			s["dpv:isIndicatedBy"] = at(by)
		}
		return s
	}
	const explicit, given = "dpv:ExplicitlyExpressedConsent", "dpv:ConsentGiven"
	all := []any{}
	if !f.RequestedAt.IsZero() {
		all = append(all, step(explicit, "dpv:ConsentRequested", f.RequestedAt, consumer))
	}
	by := subject
	if !f.Mandate.IsZero() {
		by = uuidIRI + f.Mandate.String()
	}
	if f.Renews.IsZero() {
		all = append(all, step(explicit, given, f.GrantedAt, by))
	} else {
		all = append(all, step(explicit, "dpv:RenewedConsentGiven", f.GrantedAt, by))
	}
	switch f.State {
	case consentlog.IsWithdrawn:
		by := subject
		if f.Reason == consent.ByDeath {
			by = ""
		} else if !f.EndMandate.IsZero() {
			by = uuidIRI + f.EndMandate.String()
		}
		all = append(all, step(explicit, f.status(), f.EndedAt, by))
	case consentlog.IsExpired:
		all = append(all, step("dpv:Consent", f.status(), f.Terms.Until, ""))
	}
	return all
}

func (f receiptFacts) rights() []any {
	all := []any{}
	for _, article := range rights {
		all = append(all, linked{"@id": "eu-gdpr:" + article, "dct:title": f.said(texts.Of(f.lang, "receipt.right."+article))})
	}
	return all
}

// dataLife returns the time for which the consumer may keep the data that it read.
func (f receiptFacts) dataLife() linked {
	if days := f.Terms.Limits.DataLife; days > 0 {
		return linked{
			"@type": []string{"dpv:StorageDuration", "dpv:TemporalDuration"}, "dct:extent": typed(fmt.Sprintf("P%dD", days), "xsd:duration"),
			"dct:description": f.said(f.text("fromEachReading")),
		}
	}
	return linked{"@type": []string{"dpv:StorageDuration", "dpv:UntilEventDuration"}, "dct:description": f.said(f.text("asLongAsNeeded"))}
}

// mediaType returns how a receipt is called over HTTP.
func mediaType(format contract.ReceiptFormat) string {
	if format == contract.ReceiptFormatIso27560 {
		return "application/ld+json"
	}
	return "application/json"
}
