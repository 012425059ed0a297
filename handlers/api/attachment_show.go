package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/document"
	"coffre/eventstore/blob"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// GetAttachment implements GET /documents/{id}/attachments/{attachmentId} for the
// document's issuer and its holders, with the steps of rule A-1.
func (v *Vault) GetAttachment(ctx context.Context, r contract.GetAttachmentRequestObject) (contract.GetAttachmentResponseObject, error) {
	in := v.intend(ctx)
	d, err := v.view(ctx, in, r.DocumentID, viewing{access.OpenedAttachment, access.OpenedAttachment, r.AttachmentID})
	if err != nil {
		return nil, err
	}
	file, err := v.fileOf(ctx, d.attested, r.AttachmentID)
	if err != nil {
		v.failed(in, d.authorized, err)
		return nil, err
	}
	return v.sendFile(ctx, in, d.authorized, file, r.Params.Range)
}

// AccessAttachment implements POST /documents/{id}/attachments/{attachmentId}/access:
// rules, for one file of the current version.
func (v *Vault) AccessAttachment(ctx context.Context, r contract.AccessAttachmentRequestObject) (contract.AccessAttachmentResponseObject, error) {
	in := v.intend(ctx)
	request := requestOf(in.call, r.Params.IdempotencyKey)
	begun, err := v.Requests.Begin(ctx, request)
	if err != nil {
		return nil, err
	}
	b := r.Body
	d, err := v.disclose(ctx, in, reading{
		basis:    basis{consent: b.ConsentID, legalBasis: b.LegalBasis, deliberation: b.Deliberation},
		document: r.DocumentID, attachment: r.AttachmentID,
		access:  domain.AccessID{UUID: requests.EventID(request.Owner, request.Operation, request.Key, 0)},
		purpose: b.Purpose, procedure: b.Procedure, caseReference: b.CaseReference, seen: begun.Standing == requests.Repeat,
	})
	if begun.Standing != requests.Repeat {
		if kept := v.keepKey(begun.Claim, d, err); kept != nil && err == nil {
			err = kept
		}
	}
	if err != nil {
		return nil, err
	}
	for _, f := range d.files {
		if f.ID == r.AttachmentID {
			return v.sendFile(ctx, in, d.authorized, f, r.Params.Range)
		}
	}
	err = fmt.Errorf("version %d names a file that its personal part does not have", d.authorized.Version)
	v.failed(in, d.authorized, err)
	return nil, err
}

// failed records that nothing came of an access; the subject's own is not recorded.
func (v *Vault) failed(in intent, a access.Authorized, why error) {
	if !a.Access.IsZero() {
		v.told(in, a, access.Failed, why)
	}
}

// piece is what is held of a file: one sealed package of it.
const piece = 64 << 10

// sentFile is a file, or a range of it, on its way to a reader in constant memory.
type sentFile struct {
	v  *Vault
	in intent
	document.Attachment
	file           *seal.OpenedFile
	begin          []byte // its first bytes, opened before the answer began
	from, to, left int64  // to is not in it; left to be read after begin
	ranged         bool
	unsent         error // why it did not go to its end, if it did not
}

var errUnsent = errors.New("a file was not sent to its end")

// sendFile opens the beginning of what was asked for, so that what cannot be read is
// refused before the answer begins.
func (v *Vault) sendFile(ctx context.Context, in intent, a access.Authorized, f document.Attachment, header string) (*sentFile, error) {
	s := &sentFile{v: v, in: in, Attachment: f, unsent: errUnsent}
	var err error
	if s.from, s.to, s.ranged, err = rangeOf(header, f.Size); err != nil {
		v.failed(in, a, err)
		return nil, err
	}
	// It may take longer than a request may; each piece has a deadline of its own.
	ctx = context.WithoutCancel(ctx)
	s.file = seal.OpenFile(f.Key, f.Size, func(offset int64) (io.ReadCloser, error) { return v.Blobs.Open(ctx, f.ID.UUID, offset) })
	s.begin = make([]byte, min(s.to-s.from, piece))
	if _, err = s.file.Seek(s.from, io.SeekStart); err == nil {
		_, err = io.ReadFull(s.file, s.begin)
	}
	if err != nil {
		err = errors.Join(fileFault(err), s.file.Close())
		v.failed(in, a, err)
		return nil, err
	}
	s.left = s.to - s.from - int64(len(s.begin))
	in.call.OnAnswered(func(whole bool) {
		if whole {
			v.looked(in, a)
		} else {
			v.failed(in, a, s.unsent)
		}
	})
	return s, nil
}

// fileFault is a fault, even where the port has a word for it: a file that a document
// names is never simply not there.
func fileFault(err error) error {
	if errors.Is(err, blob.ErrNotFound) {
		return errors.New("a document names a file that is not stored")
	}
	return err
}

// VisitGetAttachmentResponse implements GetAttachmentResponseObject.
func (s *sentFile) VisitGetAttachmentResponse(w http.ResponseWriter) error { return s.send(w) }

// VisitAccessAttachmentResponse implements AccessAttachmentResponseObject.
func (s *sentFile) VisitAccessAttachmentResponse(w http.ResponseWriter) error { return s.send(w) }

var fileSuffixes = map[document.MediaType]string{document.PDF: "pdf", document.PNG: "png", document.JPEG: "jpg", document.XML: "xml"}

// send writes the answer. What cannot be opened ends the connection, so that no
// reader takes what came before it for the whole.
func (s *sentFile) send(w http.ResponseWriter) (err error) {
	defer func() {
		err = errors.Join(err, s.file.Close())
		if err != nil {
			s.unsent = err
			s.v.Slog.Warn("a file was not sent to its end", slog.String("operation", s.in.call.Operation), slog.String("trace", s.in.call.Trace.String()), slog.Any("error", err))
			panic(http.ErrAbortHandler)
		}
	}()
	h := w.Header()
	h.Set("Content-Type", string(s.Type))
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="attachment-%s.%s"`, s.ID, fileSuffixes[s.Type]))
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.FormatInt(s.to-s.from, 10))
	status := http.StatusOK
	if s.ranged {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", s.from, s.to-1, s.Size))
		status = http.StatusPartialContent
	}
	w.WriteHeader(status)
	out := edge.Patiently(w)
	for next := s.begin; ; {
		if _, err := out.Write(next); err != nil {
			return fmt.Errorf("send a file: %w", err)
		}
		if s.left == 0 {
			return nil
		}
		next = s.begin[:min(s.left, int64(len(s.begin)))]
		if _, err := io.ReadFull(s.file, next); err != nil {
			return fileFault(err)
		}
		s.left -= int64(len(next))
	}
}

// rangeOf reads a Range header (RFC 9110 section 14): to is not in the range. What is
// not one range of bytes asks for the whole.
func rangeOf(header string, size int64) (from, to int64, ranged bool, err error) {
	spec, bytes := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !bytes || !dash || strings.Contains(last, ",") {
		return 0, size, false, nil
	}
	a, okA := position(first)
	b, okB := position(last)
	switch {
	case first == "" && okB: // the last b bytes
		a, b = max(0, size-b), size-1
	case okA && last == "":
		b = size - 1
	case !okA || !okB || b < a:
		return 0, size, false, nil
	}
	if a >= size || first == "" && a == size {
		return 0, 0, false, unsatisfiable(size)
	}
	return a, min(b, size-1) + 1, true, nil
}

func position(digits string) (int64, bool) {
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

// unsatisfiable is the answer to a range that begins behind the end.
func unsatisfiable(size int64) error {
	return &edge.Refusal{Problem: contract.Problem{Type: edge.Coffre + "rangeNotSatisfiable", Title: "Range Not Satisfiable", Status: http.StatusRequestedRangeNotSatisfiable}, Size: size}
}
