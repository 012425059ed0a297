package audit

import (
	"slices"
	"time"

	"coffre/domain"
)

// Act is something that somebody does with the vault itself, or looks up in it, and that
// no other event tells. It has the name of the contract's operation, or of the command
// that no operation stands for.
type Act string

const (
	CreateBackup          Act = "createBackup"
	ReportVerifiedBackup  Act = "reportVerifiedBackup"
	ReportBackupElsewhere Act = "reportBackupElsewhere"
	RebuildProjection     Act = "rebuildProjection"
	RotateKeys            Act = "rotateKeys"
	RetireKeys            Act = "retireKeys"
	TrimKeys              Act = "trimKeys"
	RotatePepper          Act = "rotatePepper"
	RotateAudit           Act = "rotateAudit"
	RotateRequests        Act = "rotateRequests"
	EnableWebhook         Act = "enableWebhook"
	ReplayWebhook         Act = "replayWebhook"
	RotateWebhook         Act = "rotateWebhook"
	PauseReactor          Act = "pauseReactor"
	ResumeReactor         Act = "resumeReactor"
	RetryPoison           Act = "retryPoison"
	DropPoison            Act = "dropPoison"
	RetryEbox             Act = "retryEboxMessages"
	CreateSubscription    Act = "createWebhookSubscription"
	EnableSubscription    Act = "enableWebhookSubscription"
	ReplaySubscription    Act = "replayWebhookSubscription"
	RotateSubscription    Act = "rotateWebhookSubscription"
	RemoveSubscription    Act = "removeWebhookSubscription"
	EndSubscription       Act = "webhookGone" // by the vault itself, because the receiver answered 410
	RestoreBackup         Act = "restore"
	RestoreKeyRows        Act = "keysRestore"
	CopyStore             Act = "storeCopy"

	LookUpCitizen          Act = "getCitizen"
	ReadConsent            Act = "getConsent"
	ReadConsentHistory     Act = "getConsentHistory"
	ListConsentDisclosures Act = "listConsentDisclosures"
	QueryConsentLog        Act = "queryConsentLog"
	ReadFigures            Act = "getFigures"
	DownloadExport         Act = "getExportContent"
	CancelExport           Act = "cancelExport"
	ReadErasure            Act = "getErasure"
	ReadErasureCertificate Act = "getErasureCertificate"
	ListErasures           Act = "listErasures"
	ListDueErasures        Act = "listDueErasures"
	ListRestrictions       Act = "listRestrictions"
	ReadRestriction        Act = "getRestriction"
	ListCorrections        Act = "listCorrections"
	ListHolds              Act = "listHolds"
	ListAllRestrictions    Act = "listAllRestrictions"
	ListReleases           Act = "listReleases"
	ListSuppressions       Act = "listSuppressions"
	ListAttachments        Act = "listAttachments"
	ListPetitions          Act = "listPetitions"
	ReadPetition           Act = "getPetition"
	ListSignals            Act = "listSignals"
	ListInvestigations     Act = "listInvestigations"
	CompareModels          Act = "createComparison"
)

// Acts lists every act there is.
var Acts = []Act{
	CreateBackup, ReportVerifiedBackup, ReportBackupElsewhere, RebuildProjection, RotateKeys, RetireKeys, TrimKeys, RotatePepper, RotateAudit, RotateRequests,
	EnableWebhook, ReplayWebhook, RotateWebhook, PauseReactor, ResumeReactor, RetryPoison, DropPoison, RetryEbox, CreateSubscription, EnableSubscription, ReplaySubscription, RotateSubscription, RemoveSubscription, EndSubscription, RestoreBackup, RestoreKeyRows, CopyStore,
	LookUpCitizen, ReadConsent, ReadConsentHistory, ListConsentDisclosures, QueryConsentLog, ReadFigures, DownloadExport, CancelExport, ReadErasure, ReadErasureCertificate, ListErasures, ListDueErasures, ListRestrictions, ReadRestriction, ListCorrections,
	ListHolds, ListAllRestrictions, ListReleases, ListSuppressions, ListAttachments, ListPetitions, ReadPetition, ListSignals, ListInvestigations, CompareModels,
}

// Operated records that somebody set out to do an act. It stands before the act's effect
// and before anything is handed out, so it does not tell whether the act succeeded; of what
// happened while nobody served the vault the next start records it. Who it was, and why where that is asked, stands in the event's metadata.
type Operated struct {
	Act Act `json:"act"`
	// On is what was acted on: an id that the vault made, or the name of a read model or a
	// reactor, of an event that a reactor set aside with its leaf ("ends/4711"). "" where there
	// is one only.
	On       string              `json:"on,omitempty"`
	Citizen  domain.CitizenID    `json:"citizen,omitzero"`   // whose facts are looked at, where it is one person
	Consumer domain.Organisation `json:"consumer,omitempty"` // the search was narrowed to it
	Purpose  domain.Purpose      `json:"purpose,omitempty"`  // the same
	Digest   string              `json:"digest,omitempty"`   // SHA-256 of the backup that is reported or restored, in hexadecimal
	Reason   domain.ReasonCode   `json:"reason,omitempty"`   // why, where the act asks for it in its request
	At       time.Time           `json:"at"`
}

func (Operated) AuditEvent() {}

// ErrAct refuses to record an act that has no name.
var ErrAct = domain.NewError(domain.Invalid, "unknownAct", "there is no such act")

// Operate records an act. Its strings are ids that the vault made, digests, and words of
// the registry, which the caller has checked.
type Operate Operated

// Decide records an act that has a name, whatever came before.
func (c Operate) Decide(State) ([]Event, error) {
	if !slices.Contains(Acts, c.Act) {
		return nil, ErrAct
	}
	return []Event{Operated(c)}, nil
}
