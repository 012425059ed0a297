package work

import (
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"time"

	"coffre/domain"
	"coffre/handlers/contract/table"
	"coffre/handlers/edge"
	"coffre/projections/accesslog"
)

// auditTrailYears is for how many years an act stands in the Belgian audit trail, counted from 1
// January after it (ATREQ01).
const auditTrailYears = 10

// auditTrailFrom returns the first moment whose acts stand in the audit trail at a time.
func auditTrailFrom(at time.Time) time.Time {
	return newYear(domain.InBelgium(at).Year() - auditTrailYears)
}

// auditTrailEnd returns the first moment at which an act stands in the audit trail no more.
func auditTrailEnd(act time.Time) time.Time {
	return newYear(domain.InBelgium(act).Year() + 1 + auditTrailYears)
}

// newYear returns the moment at which a year begins in Belgium.
func newYear(year int) time.Time {
	return domain.BelgianMidnight(domain.Date(fmt.Sprintf("%04d-01-01", year)))
}

// auditTrail yields what succeeded (ATREQ04), of the years that are kept.
func auditTrail(ctx context.Context, work *Worker, m ExportManifest, end exportEnd) iter.Seq2[accesslog.Entry, error] {
	if kept := auditTrailFrom(end.at); m.Filter.From == nil || m.Filter.From.Before(kept) {
		m.Filter.From = &kept
	}
	return accessesOf(accesslog.Exported{Successes: true})(ctx, work, m, end)
}

// auditTrailRow is one call that had something of a citizen read or told, as ATREQ01 to ATREQ04 ask.
type auditTrailRow struct {
	RecordedAt         time.Time    `json:"recordedAt,omitzero" parquet:"recordedAt,timestamp(microsecond:utc),optional" about:"TIMESTAMP: when it was recorded, UTC, before anything was disclosed"`
	SubjectTokenHashed string       `json:"subjectTokenHashed,omitzero" parquet:"subjectTokenHashed,optional" about:"SUBJECT_TOKEN_HASHED: the SHA-256 of the access token, in hexadecimal digits"`
	ClientID           string       `json:"clientId,omitzero" parquet:"clientId,optional" about:"CLIENT_ID: the application that the provider gave the token to, where the token says so"`
	RequestMethod      string       `json:"requestMethod,omitzero" parquet:"requestMethod,optional" about:"API_CALL_REQUEST_METHOD"`
	RequestURL         string       `json:"requestUrl,omitzero" parquet:"requestUrl,optional" about:"API_CALL_REQUEST_URL: the path, with the names of what stands in it"`
	ResponseCode       int          `json:"responseCode,omitzero" parquet:"responseCode,optional" about:"API_CALL_RESPONSE_CODE; absent while nobody recorded that it was disclosed"`
	CallRecord         string       `json:"callRecord" parquet:"callRecord" about:"recorded; notRecordedThen, before a version that recorded the call; noCall, where the vault itself sent it"`
	Outcome            string       `json:"outcome" parquet:"outcome" about:"disclosed, or mayHaveBeenDisclosed while nobody recorded what came of it"`
	KeptUntil          time.Time    `json:"keptUntil,omitzero" parquet:"keptUntil,timestamp(microsecond:utc),optional" about:"until when it stands in the audit trail, UTC, exclusive"`
	CitizenRef         string       `json:"citizenRef,omitzero" parquet:"citizenRef,optional" about:"about whom, by the privacy officers' reference; absent after an erasure"`
	ReaderRole         string       `json:"readerRole" parquet:"readerRole" about:"who called: consumer, issuer, representative, privacyOfficer, …"`
	Consumer           table.Digits `json:"consumer,omitzero" parquet:"consumer,optional" about:"enterprise number of the organisation that called"`
	OnBehalfOf         table.Digits `json:"onBehalfOf,omitzero" parquet:"onBehalfOf,optional" about:"enterprise number of the organisation for which a service integrator called"`
	MandateID          string       `json:"mandateId,omitzero" parquet:"mandateId,optional" about:"under which a representative called"`
	AccessKind         string       `json:"accessKind" parquet:"accessKind" about:"what was opened or told: document, attachment, presence, lookup, …"`
	AccessID           string       `json:"accessId" parquet:"accessId" about:"the access, the same for its repeats"`
	DocumentID         string       `json:"documentId,omitzero" parquet:"documentId,optional" about:"the document"`
	DocumentVersion    int          `json:"documentVersion,omitzero" parquet:"documentVersion,optional" about:"the version that was read"`
	DocumentType       string       `json:"documentType,omitzero" parquet:"documentType,optional" about:"code of the registry"`
	FieldNames         []string     `json:"fieldNames,omitzero" parquet:"fieldNames,list" about:"fields that were disclosed; all when there is none"`
	ToldPresence       []string     `json:"toldPresence,omitzero" parquet:"toldPresence,list" about:"what was told of presence, as documentType:held"`
	Purpose            string       `json:"purpose,omitzero" parquet:"purpose,optional" about:"code of the registry"`
	ConsentID          string       `json:"consentId,omitzero" parquet:"consentId,optional" about:"the consent that it relied on"`
	LegalBasis         string       `json:"legalBasis,omitzero" parquet:"legalBasis,optional" about:"the basis by law that it relied on"`
	Deliberation       string       `json:"deliberation,omitzero" parquet:"deliberation,optional" about:"number of the deliberation that allows it"`
}

// What the audit trail tells of the call of an access.
const (
	callRecorded        = "recorded"
	callNotRecordedThen = "notRecordedThen"
	noCall              = "noCall"
)

func auditTrailRowOf(e *accesslog.Entry, refs references) auditTrailRow {
	row := auditTrailRow{
		RecordedAt: e.At, SubjectTokenHashed: hex.EncodeToString(e.Token), ClientID: e.Client, CallRecord: callRecorded, Outcome: string(e.Outcome), KeptUntil: auditTrailEnd(e.At),
		CitizenRef: refs[e.Citizen], ReaderRole: string(e.Role), Consumer: table.Digits(e.Consumer), OnBehalfOf: table.Digits(e.OnBehalfOf), MandateID: idText(e.Mandate),
		AccessKind: string(e.Kind), AccessID: idText(e.Access), DocumentID: idText(e.Document), DocumentVersion: e.Version, DocumentType: string(e.Type),
		FieldNames: codes(e.Fields), ToldPresence: answersText(e.Answers), Purpose: string(e.Purpose), ConsentID: idText(e.Consent), LegalBasis: string(e.LegalBasis), Deliberation: string(e.Deliberation),
	}
	switch route, known := edge.RouteOf(e.Operation); {
	case e.Role == domain.RoleSystem:
		row.CallRecord = noCall
	case e.Operation == "":
		row.CallRecord = callNotRecordedThen
	case known:
		row.RequestMethod, row.RequestURL = route.Method, route.Path
		if e.Outcome == accesslog.Disclosed {
			row.ResponseCode = route.Success
		}
	}
	return row
}
