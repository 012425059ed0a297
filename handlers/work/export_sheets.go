package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/eventstore/seal"
	"coffre/handlers/contract"
	"coffre/handlers/contract/table"
	"coffre/projections/accesslog"
	"coffre/projections/consentlog"
)

// sheet writes one kind of export in any format.
type sheet interface {
	write(ctx context.Context, work *Worker, m ExportManifest, end exportEnd, w io.Writer, progress func(rows int64)) (rows int64, err error)
	columns() []table.Column
}

// sheets are the kinds of exports that a privacy officer can ask for.
var sheets = map[contract.ExportKind]sheet{
	contract.ExportKindConsentLog: sheetOf[consentlog.Line, consentLogRow]{
		func(ctx context.Context, work *Worker, m ExportManifest, end exportEnd) iter.Seq2[consentlog.Line, error] {
			return work.ConsentLog.Export(ctx, end.leaf, m.Filter)
		},
		func(l *consentlog.Line) []domain.CitizenID { return []domain.CitizenID{l.Citizen} }, consentLogRowOf,
	},
	contract.ExportKindRegister: sheetOf[consentlog.Consent, registerRow]{
		func(ctx context.Context, work *Worker, m ExportManifest, end exportEnd) iter.Seq2[consentlog.Consent, error] {
			return work.ConsentLog.ExportConsents(ctx, end.leaf, end.at, m.Filter)
		},
		func(c *consentlog.Consent) []domain.CitizenID { return []domain.CitizenID{c.Citizen} }, registerRowOf,
	},
	contract.ExportKindAccessLog:  sheetOf[accesslog.Entry, accessLogRow]{accessesOf(accesslog.Exported{}), aboutAndReader, accessLogRowOf},
	contract.ExportKindRefusals:   sheetOf[accesslog.Entry, refusalRow]{accessesOf(accesslog.Exported{Refused: true}), aboutAndReader, refusalRowOf},
	contract.ExportKindAuditTrail: sheetOf[accesslog.Entry, auditTrailRow]{auditTrail, func(e *accesslog.Entry) []domain.CitizenID { return []domain.CitizenID{e.Citizen} }, auditTrailRowOf},
}

func accessesOf(of accesslog.Exported) func(context.Context, *Worker, ExportManifest, exportEnd) iter.Seq2[accesslog.Entry, error] {
	return func(ctx context.Context, work *Worker, m ExportManifest, end exportEnd) iter.Seq2[accesslog.Entry, error] {
		f := of
		f.Filter = accesslog.Filter{Now: end.at, Consumer: m.Filter.Consumer, Purpose: m.Filter.Purpose, From: m.Filter.From, Until: m.Filter.Until}
		if m.Filter.Citizen != nil {
			f.Citizens = append([]domain.CitizenID{*m.Filter.Citizen}, m.Filter.Former...)
		}
		return work.AccessLog.Export(ctx, end.leaf, f)
	}
}

func aboutAndReader(e *accesslog.Entry) []domain.CitizenID {
	return []domain.CitizenID{e.Citizen, e.Reader}
}

// sheetOf is a kind whose rows are T, made of what a read model tells.
type sheetOf[E, T any] struct {
	told     func(context.Context, *Worker, ExportManifest, exportEnd) iter.Seq2[E, error]
	citizens func(*E) []domain.CitizenID // whom a row names; the zero id is nobody
	row      func(*E, references) T
}

func (s sheetOf[E, T]) columns() []table.Column { return table.Columns[T]() }

// rowsAtOnce is how many rows of an export are in memory, and how often progress is told.
const rowsAtOnce = 1000

func (s sheetOf[E, T]) write(ctx context.Context, work *Worker, m ExportManifest, end exportEnd, w io.Writer, progress func(int64)) (rows int64, err error) {
	to := table.New[T](table.Form{Format: m.Format, Dialect: m.Dialect, Separator: m.Separator, Name: string(m.Kind)}, w)
	refs := references{{}: ""} // the zero id is nobody
	some := make([]E, 0, rowsAtOnce)
	flush := func() error {
		var named []domain.CitizenID
		for i := range some {
			named = append(named, s.citizens(&some[i])...)
		}
		if err := refs.find(ctx, work, named); err != nil {
			return err
		}
		for i := range some {
			row := s.row(&some[i], refs)
			if err := to.Write(&row); err != nil {
				return err
			}
		}
		rows += int64(len(some))
		some = some[:0]
		progress(rows)
		return nil
	}
	if end.leaf >= 0 { // something was recorded by then
		for e, err := range s.told(ctx, work, m, end) {
			if err != nil {
				return 0, err
			}
			if some = append(some, e); len(some) == rowsAtOnce {
				if err := flush(); err != nil {
					return 0, err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return 0, err
	}
	return rows, to.End()
}

// privacyOffice is the organisation for which citizens have the references that exports name
// them by: one for all privacy officers, who speak for no organisation of the registry.
const privacyOffice domain.Organisation = ""

// CitizenOfExport returns the citizen whom exports name by a reference, as the person that
// survived a merge; the zero id for nobody.
func (work *Worker) CitizenOfExport(ctx context.Context, ref domain.CitizenRef) (domain.CitizenID, error) {
	id, err := work.Keys.ByRef(ctx, privacyOffice, ref)
	if errors.Is(err, seal.ErrUnknown) {
		id, err = domain.CitizenID{}, nil
	}
	if err != nil {
		return domain.CitizenID{}, err
	}
	return work.Survivor(ctx, id)
}

// OfficersRefs returns what privacy officers know citizens by, as exports name them. Whoever was
// erased is not among the answers.
func (work *Worker) OfficersRefs(ctx context.Context, citizens []domain.CitizenID) (map[domain.CitizenID]domain.CitizenRef, error) {
	refs, err := work.Keys.Refs(ctx, privacyOffice, citizens)
	if err != nil {
		return nil, fmt.Errorf("references of citizens: %w", err)
	}
	return refs, nil
}

// references are what privacy officers know citizens by; "" is remembered of whoever was
// erased.
type references map[domain.CitizenID]string

// maxReferences bounds the references in memory.
const maxReferences = 50_000

// find adds the references of citizens who may be among those that are remembered already.
func (r references) find(ctx context.Context, work *Worker, citizens []domain.CitizenID) error {
	if len(r) > maxReferences {
		clear(r)
		r[domain.CitizenID{}] = ""
	}
	var unknown []domain.CitizenID
	for _, c := range citizens {
		if _, known := r[c]; !known {
			r[c] = ""
			unknown = append(unknown, c)
		}
	}
	found, err := work.OfficersRefs(ctx, unknown)
	if err != nil {
		return err
	}
	for c, ref := range found {
		r[c] = ref.String()
	}
	return nil
}

// consentLogRow is one decision about a consent.
type consentLogRow struct {
	DecidedAt     time.Time    `json:"decidedAt,omitzero" parquet:"decidedAt,timestamp(microsecond:utc),optional" about:"when it was decided, UTC"`
	Decision      string       `json:"decision" parquet:"decision" about:"requested, granted, refused or withdrawn"`
	ConsentID     string       `json:"consentId" parquet:"consentId" about:"the consent"`
	CitizenRef    string       `json:"citizenRef,omitzero" parquet:"citizenRef,optional" about:"whose consent it is, by the privacy officers' reference; absent after an erasure"`
	Consumer      table.Digits `json:"consumer" parquet:"consumer" about:"enterprise number of who asked for it"`
	Purpose       string       `json:"purpose" parquet:"purpose" about:"code of the registry"`
	DocumentTypes []string     `json:"documentTypes,omitzero" parquet:"documentTypes,list" about:"types of documents that it is for"`
	DocumentIDs   []string     `json:"documentIds,omitzero" parquet:"documentIds,list" about:"single documents that it is for; any of the types when there is none"`
	FieldNames    []string     `json:"fieldNames,omitzero" parquet:"fieldNames,list" about:"fields that it is for; all when there is none"`
	ValidUntil    time.Time    `json:"validUntil,omitzero" parquet:"validUntil,timestamp(microsecond:utc),optional" about:"when the consent ends, as far as known at the decision, exclusive"`
	MaxUses       int          `json:"maxUses,omitzero" parquet:"maxUses,optional" about:"how often it may be used; as often as needed when absent"`
	Frequency     string       `json:"frequency,omitzero" parquet:"frequency,optional" about:"how often in a time, as 3 per day"`
	DataLifeDays  int          `json:"dataLifeDays,omitzero" parquet:"dataLifeDays,optional" about:"days that the consumer may keep what it read"`
	ActorRole     string       `json:"actorRole" parquet:"actorRole" about:"who decided: citizen, representative, consumer (asked), system (death)"`
	MandateID     string       `json:"mandateId,omitzero" parquet:"mandateId,optional" about:"under which a representative decided"`
	ReasonCode    string       `json:"reasonCode,omitzero" parquet:"reasonCode,optional" about:"code of a withdrawal"`
}

func consentLogRowOf(l *consentlog.Line, refs references) consentLogRow {
	limits := contract.LimitsShown(l.Terms.Limits)
	return consentLogRow{
		DecidedAt: l.At, Decision: string(l.Act), ConsentID: l.Consent.String(), CitizenRef: refs[l.Citizen], Consumer: table.Digits(l.Consumer), Purpose: string(l.Purpose),
		DocumentTypes: codes(l.Terms.Types), DocumentIDs: ids(l.Terms.Documents), FieldNames: codes(l.Terms.Fields), ValidUntil: l.Until,
		MaxUses: limits.Uses, Frequency: frequencyText(limits), DataLifeDays: limits.DataLife, ActorRole: string(DeciderRole(l.Decision)), MandateID: idText(l.Mandate), ReasonCode: string(l.Reason),
	}
}

// registerRow is one consent as it was at the end of the export: the register of consents.
type registerRow struct {
	ConsentID     string       `json:"consentId" parquet:"consentId" about:"the consent"`
	CitizenRef    string       `json:"citizenRef,omitzero" parquet:"citizenRef,optional" about:"whose it is, by the privacy officers' reference; absent after an erasure, and of a request that reached nobody"`
	Consumer      table.Digits `json:"consumer" parquet:"consumer" about:"enterprise number of who asked for it"`
	Purpose       string       `json:"purpose" parquet:"purpose" about:"code of the registry"`
	ConsentState  string       `json:"consentState" parquet:"consentState" about:"requested, granted, refused, withdrawn, expired or exhausted, where the file ends"`
	DocumentTypes []string     `json:"documentTypes,omitzero" parquet:"documentTypes,list" about:"types of documents that it is for"`
	DocumentIDs   []string     `json:"documentIds,omitzero" parquet:"documentIds,list" about:"single documents that it is for; any of the types when there is none"`
	FieldNames    []string     `json:"fieldNames,omitzero" parquet:"fieldNames,list" about:"fields that it is for; all when there is none"`
	RequestedAt   time.Time    `json:"requestedAt,omitzero" parquet:"requestedAt,timestamp(microsecond:utc),optional" about:"when the consumer asked, UTC"`
	GrantedAt     time.Time    `json:"grantedAt,omitzero" parquet:"grantedAt,timestamp(microsecond:utc),optional" about:"when the citizen granted it, UTC"`
	EndedAt       time.Time    `json:"endedAt,omitzero" parquet:"endedAt,timestamp(microsecond:utc),optional" about:"when it was refused or withdrawn, UTC"`
	ValidUntil    time.Time    `json:"validUntil,omitzero" parquet:"validUntil,timestamp(microsecond:utc),optional" about:"when it ends by itself, exclusive"`
	MaxUses       int          `json:"maxUses,omitzero" parquet:"maxUses,optional" about:"how often it may be used; as often as needed when absent"`
	TimesUsed     int          `json:"timesUsed,omitzero" parquet:"timesUsed,optional" about:"accesses under it; repeats of the same access do not count"`
	Frequency     string       `json:"frequency,omitzero" parquet:"frequency,optional" about:"how often in a time, as 3 per day"`
	DataLifeDays  int          `json:"dataLifeDays,omitzero" parquet:"dataLifeDays,optional" about:"days that the consumer may keep what it read"`
	MandateID     string       `json:"mandateId,omitzero" parquet:"mandateId,optional" about:"under which a representative granted it"`
	EndMandateID  string       `json:"endMandateId,omitzero" parquet:"endMandateId,optional" about:"under which a representative ended it"`
	ReasonCode    string       `json:"reasonCode,omitzero" parquet:"reasonCode,optional" about:"code of a withdrawal"`
}

func registerRowOf(c *consentlog.Consent, refs references) registerRow {
	limits := contract.LimitsShown(c.Terms.Limits)
	return registerRow{
		ConsentID: c.Consent.String(), CitizenRef: refs[c.Citizen], Consumer: table.Digits(c.Terms.Consumer), Purpose: string(c.Terms.Purpose), ConsentState: string(c.State),
		DocumentTypes: codes(c.Terms.Types), DocumentIDs: ids(c.Terms.Documents), FieldNames: codes(c.Terms.Fields),
		RequestedAt: c.RequestedAt, GrantedAt: c.GrantedAt, EndedAt: c.EndedAt, ValidUntil: c.Terms.Until,
		MaxUses: limits.Uses, TimesUsed: c.Uses, Frequency: frequencyText(limits), DataLifeDays: limits.DataLife,
		MandateID: idText(c.Mandate), EndMandateID: idText(c.EndMandate), ReasonCode: string(c.Reason),
	}
}

// accessLogRow is one attempt to read something of a citizen that was not refused.
type accessLogRow struct {
	AuthorisedAt    time.Time    `json:"authorisedAt,omitzero" parquet:"authorisedAt,timestamp(microsecond:utc),optional" about:"when it was authorised, UTC"`
	CitizenRef      string       `json:"citizenRef,omitzero" parquet:"citizenRef,optional" about:"about whom, by the privacy officers' reference; absent after an erasure"`
	AccessKind      string       `json:"accessKind" parquet:"accessKind" about:"what was opened or told: document, attachment, presence, lookup, …"`
	Outcome         string       `json:"outcome" parquet:"outcome" about:"disclosed, withheld, failed, or mayHaveBeenDisclosed while nobody recorded what came of it"`
	OutcomeAt       time.Time    `json:"outcomeAt,omitzero" parquet:"outcomeAt,timestamp(microsecond:utc),optional" about:"when the outcome was known, UTC"`
	ReasonCode      string       `json:"reasonCode,omitzero" parquet:"reasonCode,optional" about:"why it was withheld, or why an officer looked somebody up"`
	ReaderRole      string       `json:"readerRole" parquet:"readerRole" about:"who read: consumer, issuer, representative, privacyOfficer, …"`
	Consumer        table.Digits `json:"consumer,omitzero" parquet:"consumer,optional" about:"enterprise number of the organisation that read"`
	ReaderRef       string       `json:"readerRef,omitzero" parquet:"readerRef,optional" about:"the representative who read, by the privacy officers' reference"`
	MandateID       string       `json:"mandateId,omitzero" parquet:"mandateId,optional" about:"under which a representative read"`
	AccessID        string       `json:"accessId" parquet:"accessId" about:"the access, the same for its repeats"`
	AttemptNumber   int          `json:"attemptNumber,omitzero" parquet:"attemptNumber,optional" about:"counts the repeats of an access from 1"`
	DocumentID      string       `json:"documentId,omitzero" parquet:"documentId,optional" about:"the document"`
	DocumentVersion int          `json:"documentVersion,omitzero" parquet:"documentVersion,optional" about:"the version that was read"`
	DocumentType    string       `json:"documentType,omitzero" parquet:"documentType,optional" about:"code of the registry"`
	FieldNames      []string     `json:"fieldNames,omitzero" parquet:"fieldNames,list" about:"fields that were disclosed; all when there is none"`
	PredicateName   string       `json:"predicateName,omitzero" parquet:"predicateName,optional" about:"predicate that was answered in the place of the document"`
	ToldPresence    []string     `json:"toldPresence,omitzero" parquet:"toldPresence,list" about:"what was told of presence, as documentType:held"`
	Purpose         string       `json:"purpose,omitzero" parquet:"purpose,optional" about:"code of the registry"`
	ProcedureCode   string       `json:"procedureCode,omitzero" parquet:"procedureCode,optional" about:"code of the registry"`
	ConsentID       string       `json:"consentId,omitzero" parquet:"consentId,optional" about:"the consent that it relied on"`
	LegalBasis      string       `json:"legalBasis,omitzero" parquet:"legalBasis,optional" about:"the basis by law that it relied on"`
	Deliberation    string       `json:"deliberation,omitzero" parquet:"deliberation,optional" about:"number of the deliberation that allows it"`
}

func accessLogRowOf(e *accesslog.Entry, refs references) accessLogRow {
	return accessLogRow{
		AuthorisedAt: e.At, CitizenRef: refs[e.Citizen], AccessKind: string(e.Kind), Outcome: string(e.Outcome), OutcomeAt: e.OutcomeAt, ReasonCode: string(e.Reason),
		ReaderRole: string(e.Role), Consumer: table.Digits(e.Consumer), ReaderRef: refs[e.Reader], MandateID: idText(e.Mandate), AccessID: idText(e.Access), AttemptNumber: e.Attempt,
		DocumentID: idText(e.Document), DocumentVersion: e.Version, DocumentType: string(e.Type), FieldNames: codes(e.Fields), PredicateName: e.Predicate, ToldPresence: answersText(e.Answers),
		Purpose: string(e.Purpose), ProcedureCode: string(e.Procedure), ConsentID: idText(e.Consent), LegalBasis: string(e.LegalBasis), Deliberation: string(e.Deliberation),
	}
}

// refusalRow is refused attempts of one consumer about one citizen.
type refusalRow struct {
	RefusedAt     time.Time    `json:"refusedAt,omitzero" parquet:"refusedAt,timestamp(microsecond:utc),optional" about:"when it was refused, UTC; of several the first"`
	CitizenRef    string       `json:"citizenRef,omitzero" parquet:"citizenRef,optional" about:"about whom, by the privacy officers' reference; absent after an erasure"`
	Consumer      table.Digits `json:"consumer,omitzero" parquet:"consumer,optional" about:"enterprise number of who tried"`
	DocumentID    string       `json:"documentId,omitzero" parquet:"documentId,optional" about:"the document that was asked for"`
	DocumentType  string       `json:"documentType,omitzero" parquet:"documentType,optional" about:"code of the registry"`
	Purpose       string       `json:"purpose,omitzero" parquet:"purpose,optional" about:"code of the registry"`
	ProcedureCode string       `json:"procedureCode,omitzero" parquet:"procedureCode,optional" about:"code of the registry"`
	ReasonCode    string       `json:"reasonCode" parquet:"reasonCode" about:"why it was refused"`
	Attempts      int          `json:"attempts" parquet:"attempts" about:"refusals that were recorded together"`
}

func refusalRowOf(e *accesslog.Entry, refs references) refusalRow {
	return refusalRow{
		RefusedAt: e.At, CitizenRef: refs[e.Citizen], Consumer: table.Digits(e.Consumer), DocumentID: idText(e.Document), DocumentType: string(e.Type),
		Purpose: string(e.Purpose), ProcedureCode: string(e.Procedure), ReasonCode: string(e.Reason), Attempts: e.Count,
	}
}

// frequencyText is "3 per day"; "" for no bound.
func frequencyText(l contract.ConsentLimits) string {
	if l.Frequency.Uses == 0 {
		return ""
	}
	return strconv.Itoa(l.Frequency.Uses) + " per " + string(l.Frequency.Per)
}

// codes returns codes as text.
func codes[T ~string](all []T) []string {
	if len(all) == 0 {
		return nil
	}
	texts := make([]string, len(all))
	for i, code := range all {
		texts[i] = string(code)
	}
	return texts
}

// ids returns identifiers as text.
func ids[T fmt.Stringer](all []T) []string {
	if len(all) == 0 {
		return nil
	}
	texts := make([]string, len(all))
	for i, id := range all {
		texts[i] = id.String()
	}
	return texts
}

// idText is an identifier as text; "" when it is absent.
func idText[T interface {
	IsZero() bool
	String() string
}](id T) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

func answersText(all []access.Answer) []string {
	if len(all) == 0 {
		return nil
	}
	texts := make([]string, len(all))
	for i, a := range all {
		texts[i] = string(a.Type) + ":" + string(a.Presence)
	}
	return texts
}
