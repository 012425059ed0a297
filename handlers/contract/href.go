package contract

import (
	"fmt"

	"github.com/google/uuid"

	"coffre/domain"
)

func ConsentHref(id domain.ConsentID) Href {
	return Base + "/consents/" + id.String()
}

func DocumentHref(id domain.DocumentID) Href {
	return fmt.Sprintf("%s/documents/%s", Base, id)
}

func AttachmentHref(document domain.DocumentID, id domain.AttachmentID) Href {
	return fmt.Sprintf("%s/attachments/%s", DocumentHref(document), id)
}

func VersionHref(id domain.DocumentID, version int) Href {
	return fmt.Sprintf("%s/versions?version=%d", DocumentHref(id), version)
}

func ErasureHref(id domain.ErasureID) Href {
	return fmt.Sprintf("%s/erasures/%s", Base, id)
}

func ExportHref(id uuid.UUID) Href { return fmt.Sprintf("%s/exports/%s", Base, id) }

func MandateHref(id domain.MandateID) Href {
	return fmt.Sprintf("%s/mandates?mandateId=%s", Base, id)
}
