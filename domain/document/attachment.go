package document

import (
	"fmt"
	"slices"

	"coffre/domain"
)

// MaxAttachments bounds the files of one version.
const MaxAttachments = 10

// MediaType is one of the kinds of file that a document may have.
type MediaType string

const (
	PDF  MediaType = "application/pdf"
	PNG  MediaType = "image/png"
	JPEG MediaType = "image/jpeg"
	XML  MediaType = "application/xml"
)

// MediaTypes lists every kind of file that there is.
var MediaTypes = []MediaType{PDF, PNG, JPEG, XML}

var (
	ErrAttachments = domain.NewError(domain.Invalid, "invalidAttachments", "a version has at most 10 attachments, each named once")
	// ErrNoAttachment answers alike for one that never was, that was removed for nobody
	// attachmentIDs it in time, and for somebody else's.
	ErrNoAttachment = domain.NewError(domain.NotFound, "attachmentNotFound", "no such attachment, or it is part of another document")
)

// Attachment is one file of a version, as its personal part has it. The file
// itself lies elsewhere, sealed under Key, so that whoever destroys the key of the
// document's content destroys this one with it.
type Attachment struct {
	ID     domain.AttachmentID `json:"id"`
	Type   MediaType           `json:"type"`
	Size   int64               `json:"size"`   // bytes of the file
	Digest []byte              `json:"digest"` // its SHA-256
	Key    FileKey             `json:"key"`
}

// FileKey is the 32 bytes that open one file. It never prints.
type FileKey []byte

func (k FileKey) String() string   { return "(file key)" }
func (k FileKey) GoString() string { return k.String() }

// Format prints the placeholder for every verb.
func (k FileKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// attachmentIDs returns the ids of attachments, or a refusal when there are too many
// or one stands twice.
func attachmentIDs(all []Attachment) ([]domain.AttachmentID, error) {
	if len(all) > MaxAttachments {
		return nil, ErrAttachments
	}
	var ids []domain.AttachmentID
	for _, a := range all {
		if a.ID.IsZero() || slices.Contains(ids, a.ID) {
			return nil, ErrAttachments
		}
		ids = append(ids, a.ID)
	}
	return ids, nil
}

// Names reports whether a version of the document has that attachment.
func (s State) Names(id domain.AttachmentID) bool { return s.VersionNaming(id) != 0 }

// VersionNaming returns the number of the first version that has that attachment, 0
// when none has.
func (s State) VersionNaming(id domain.AttachmentID) int {
	return 1 + slices.IndexFunc(s.Versions, func(v Version) bool { return slices.Contains(v.Attachments, id) })
}
