package contract

import (
	"fmt"

	"github.com/google/uuid"

	"coffre/domain"
)

// ConsentHref is the address of a consent.
func ConsentHref(id domain.ConsentID) Href {
	return Base + "/consents/" + id.String()
}

// ConsentDocumentsHref is the address of the list of documents that a consent covers.
func ConsentDocumentsHref(id domain.ConsentID) Href { return ConsentHref(id) + "/documents" }

// DocumentHref is the address of a document.
func DocumentHref(id domain.DocumentID) Href {
	return fmt.Sprintf("%s/documents/%s", Base, id)
}

// AttachmentHref is the address of a file of a document.
func AttachmentHref(document domain.DocumentID, id domain.AttachmentID) Href {
	return fmt.Sprintf("%s/attachments/%s", DocumentHref(document), id)
}

// UnclaimedAttachmentHref is the address of a file that no document names: the list that holds
// it alone.
func UnclaimedAttachmentHref(id domain.AttachmentID) Href {
	return fmt.Sprintf("%s/attachments?attachmentId=%s", Base, id)
}

// VersionHref is the address of one version of a document; versions count from 1.
func VersionHref(id domain.DocumentID, version int) Href {
	return fmt.Sprintf("%s/versions?version=%d", DocumentHref(id), version)
}

// ErasureHref is the address of a request for erasure.
func ErasureHref(id domain.ErasureID) Href {
	return fmt.Sprintf("%s/erasures/%s", Base, id)
}

// ReleaseHref is the address of a release of an erased person's number.
func ReleaseHref(id domain.ReleaseID) Href {
	return fmt.Sprintf("%s/releases/%s", Base, id)
}

// ExportHref is the address of an export.
func ExportHref(id uuid.UUID) Href { return fmt.Sprintf("%s/exports/%s", Base, id) }

// RebuildHref is the address of a rebuild of a read model.
func RebuildHref(id uuid.UUID) Href { return fmt.Sprintf("%s/rebuilds/%s", Base, id) }

// ComparisonHref is the address of a comparison of the read models with the log.
func ComparisonHref(id uuid.UUID) Href { return fmt.Sprintf("%s/comparisons/%s", Base, id) }

// MandateHref is the address of a mandate: the list that holds it alone.
func MandateHref(id domain.MandateID) Href {
	return fmt.Sprintf("%s/mandates?mandateId=%s", Base, id)
}

// CorrectionsHref returns the link to what was proposed to correct about a citizen.
func CorrectionsHref(whose domain.CitizenID) Href {
	return Base + "/citizens/" + whose.String() + "/corrections"
}

// HoldHref is the address of a legal hold: the list that holds it alone.
func HoldHref(id domain.HoldID) Href {
	return fmt.Sprintf("%s/legalHolds?legalHoldId=%s", Base, id)
}

// PreferencesHref returns the link to what a citizen chose to hear of.
func PreferencesHref(c domain.CitizenID) Href {
	return Base + "/citizens/" + c.String() + "/preferences"
}

// PetitionHref returns the link to a petition.
func PetitionHref(id domain.PetitionID) Href { return Base + "/petitions/" + id.String() }

// InvestigationHref is the address of an investigation: the list that holds it alone.
func InvestigationHref(id domain.InvestigationID) Href {
	return fmt.Sprintf("%s/investigations?investigationId=%s", Base, id)
}

// AccessGroupsHref returns the link to a citizen's access log with what repeats grouped.
func AccessGroupsHref(whose domain.CitizenID) Href {
	return Base + "/citizens/" + whose.String() + "/accessLog/groups"
}

// SuppressionHref returns the link to what is remembered of one number of an erased person.
func SuppressionHref(id uuid.UUID) Href {
	return fmt.Sprintf("%s/suppressions?suppressionId=%s", Base, id)
}

// RestrictionHref returns the link to a restriction of processing of a citizen.
func RestrictionHref(whose domain.CitizenID, id domain.RestrictionID) Href {
	return RestrictionsHref(whose) + "/" + id.String()
}

// RestrictionsHref returns the link to the restrictions of processing of a citizen.
func RestrictionsHref(whose domain.CitizenID) Href {
	return Base + "/citizens/" + whose.String() + "/restrictions"
}
