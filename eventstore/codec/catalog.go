package codec

import (
	"coffre/domain/access"
	"coffre/domain/audit"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/investigation"
	"coffre/domain/mandate"
	"coffre/domain/petition"
	"coffre/domain/registry"
	"coffre/domain/release"
	"coffre/domain/term"
)

// Catalog lists every event ever stored: everything that can ever have happened.
// A line is never changed or removed once released; a new form gets a new line,
// and the old one becomes an Upcast.
var Catalog = New(
	Event[citizen.Registered]("citizen.registered/1"),
	Event[citizen.Deceased]("citizen.deceased/1"),
	Event[citizen.DeathCorrectionProposed]("citizen.death-correction-proposed/1"),
	Event[citizen.DeathCorrected]("citizen.death-corrected/1"),
	Event[citizen.MergeProposed]("citizen.merge-proposed/1"),
	Event[citizen.Merged]("citizen.merged/1"),
	Event[citizen.MergedInto]("citizen.merged-into/1"),
	Event[citizen.SeparationProposed]("citizen.separation-proposed/1"),
	Event[citizen.Separated]("citizen.separated/1"),
	Event[citizen.SSINReplaced]("citizen.ssin-replaced/1"),
	Event[citizen.LegalHoldPlaced]("citizen.legal-hold-placed/1"),
	Event[citizen.LegalHoldLifted]("citizen.legal-hold-lifted/1"),
	Event[citizen.ProcessingRestricted]("citizen.processing-restricted/1"),
	Event[citizen.RestrictionLifted]("citizen.restriction-lifted/1"),
	Event[citizen.PreferencesSet]("citizen.preferences-set/1"),
	Event[citizen.ErasureRequested]("citizen.erasure-requested/1"),
	Event[citizen.ErasureApproved]("citizen.erasure-approved/1"),
	Event[citizen.ErasureStarted]("citizen.erasure-started/1"),
	Event[citizen.KeyDestroyed]("citizen.key-destroyed/1"),
	Event[citizen.ErasureCompleted]("citizen.erasure-completed/1"),
	Event[citizen.ErasureStopped]("citizen.erasure-stopped/1"),
	Event[citizen.ErasureFinalised]("citizen.erasure-finalised/1"),

	Upcast("document.issued/1", issuedV1.today),
	Event[document.Issued]("document.issued/2"),
	Upcast("document.updated/1", updatedV1.today),
	Event[document.Updated]("document.updated/2"),
	Event[document.Revoked]("document.revoked/1"),
	Event[document.Suspended]("document.suspended/1"),
	Event[document.Reinstated]("document.reinstated/1"),
	Event[document.ContentDestroyed]("document.content-destroyed/1"),

	Upcast("consent.requested/1", requestedV1.today),
	Event[consent.Requested]("consent.requested/2"),
	Upcast("consent.granted/1", grantedV1.today),
	Event[consent.Granted]("consent.granted/2"),
	Event[consent.Refused]("consent.refused/1"),
	Event[consent.Withdrawn]("consent.withdrawn/1"),

	Upcast("access.authorized/1", authorizedV1.today),
	Upcast("access.authorized/2", authorizedV2.today),
	Event[access.Authorized]("access.authorized/3"),
	Event[access.Disclosed]("access.disclosed/1"),
	Upcast("access.told/1", toldV1.today),
	Event[access.Told]("access.told/2"),
	Event[access.Named]("access.named/1"),
	Upcast("access.refused/1", refusedV1.today),
	Event[access.Refused]("access.refused/2"),

	Upcast("access.disputed/1", disputedV1.today),
	Event[petition.Disputed]("access.disputed/2"),
	Event[petition.DisputeAnswered]("access.dispute-answered/1"),
	Upcast("petition.requested/1", petitionedV1.today),
	Event[petition.Requested]("petition.requested/2"),
	Event[petition.Answered]("petition.answered/1"),
	Event[petition.Extended]("petition.extended/1"),

	Upcast("mandate.granted/1", mandateV1.today),
	Event[mandate.Granted]("mandate.granted/2"),
	Event[mandate.Accepted]("mandate.accepted/1"),
	Event[mandate.Ended]("mandate.ended/1"),

	Event[term.Announced]("term.announced/1"),

	Event[release.Proposed]("release.proposed/1"),
	Event[release.Approved]("release.approved/1"),
	Event[release.Completed]("release.completed/1"),

	Event[investigation.Opened]("investigation.opened/1"),
	Event[investigation.Renewed]("investigation.renewed/1"),
	Event[investigation.Lifted]("investigation.lifted/1"),

	Upcast("registry.published/1", publishedV1.today),
	Upcast("registry.published/2", publishedV2.today),
	Upcast("registry.published/3", publishedV3.today),
	Event[registry.Published]("registry.published/4"),

	Upcast("audit.log-read/1", logReadV1.today),
	Event[audit.LogRead]("audit.log-read/2"),
	Upcast("audit.export-created/1", exportCreatedV1.today),
	Event[audit.ExportCreated]("audit.export-created/2"),
	Event[audit.AffectedAsked]("audit.affected-asked/1"),
	Event[audit.LossAccepted]("audit.loss-accepted/1"),
	Upcast("audit.operated/1", operatedV1.today),
	Event[audit.Operated]("audit.operated/2"),
	Upcast("audit.provider-named/1", providerNamedV1.today),
	Event[audit.ProviderNamed]("audit.provider-named/2"),
	Event[audit.ProviderChangeProposed]("audit.provider-change-proposed/1"),
	Event[audit.ProviderChangeApproved]("audit.provider-change-approved/1"),
	Event[audit.ProviderConfirmed]("audit.provider-confirmed/1"),
)
